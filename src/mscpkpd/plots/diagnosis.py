"""What was looked at in a fit: goodness of fit, residuals, predictive checks, rows and subjects that pull."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.stats import norm

from mscpkpd.diagnostics.checkup import Diagnosis
from mscpkpd.diagnostics.comparison import Comparison
from mscpkpd.diagnostics.leave_out import limit_of
from mscpkpd.diagnostics.sampling import diverging
from mscpkpd.diagnostics.verdicts import UNUSUAL
from mscpkpd.plots.individuals import individual_fits
from mscpkpd.plots.predictive import prediction_errors, visual_check
from mscpkpd.plots.priors import prior_check
from mscpkpd.plots.style import AXIS, DATA, FIT, MUTED, SERIES, SMALL, WARN, Marks, finish, legend_of, plain, sheet

__all__ = ["check_figures", "comparison", "goodness_of_fit", "influence_plot", "leave_one_out", "residual_plots"]

ACROSS = 3
WIDE = 20.0  # largest over smallest value for a log axis
MOST = 25  # subjects that are drawn
CENSORED = ("left", "right", "interval")


def check_figures(diagnosis: Diagnosis) -> dict[str, Figure]:
    """Draw everything that was looked at; see `Diagnosis.plot`."""
    marks, tables = _marks(diagnosis), diagnosis.tables
    figures = {
        "goodness_of_fit": goodness_of_fit(tables["residuals"], marks=marks),
        "residuals": residual_plots(tables["residuals"], diagnosis.fit.model.time, marks=marks),
    }
    drawn: tuple[tuple[str, int, Callable[[pd.DataFrame], Figure]], ...] = (
        ("residual_groups", 1, lambda table: _groups(table, marks)),
        ("predictive_checks", 1, lambda table: _statistics(table, marks)),
        ("loo", 1, lambda table: leave_one_out(table, marks=marks)),
        ("influence_by_subject", 2, lambda table: influence_plot(table, "subject", marks=marks)),
        ("influence_by_study", 2, lambda table: influence_plot(table, "study", marks=marks)),
        ("divergences", 2, lambda _: _divergent(diagnosis, marks)),
        ("correlations", 1, lambda _: _pairs(diagnosis, marks)),
    )
    for name, least, draw in drawn:
        if len(tables.get(name, ())) >= least:
            figures[name] = draw(tables[name])
    return figures | _replicated(diagnosis, marks)


def _replicated(diagnosis: Diagnosis, marks: Marks) -> dict[str, Figure]:
    """What compares the data with replicates of single subjects."""
    figures = {
        name: visual_check(check, marks=marks)
        for name, check in (("vpc", diagnosis.vpc), ("vpc_corrected", diagnosis.corrected_vpc))
        if check is not None
    }
    if diagnosis.prior is not None:
        figures["prior"] = prior_check(diagnosis.prior, marks=marks)
    if diagnosis.npde is not None:
        figures["npde"] = prediction_errors(diagnosis.npde, marks=marks)
    individuals = diagnosis.fit.individuals
    if individuals is not None and "subject" in individuals.columns:
        figures["individuals"] = individual_fits(diagnosis.fit, marks=marks)
    return figures


def _marks(diagnosis: Diagnosis) -> Marks:
    warning = "" if diagnosis.fit.converged else "NOT A RESULT: the fit does not pass its checks"
    return Marks(synthetic=diagnosis.fit.study.synthetic, warning=warning)


def _panels(names: list[str], height: float = 2.6) -> tuple[Figure, np.ndarray]:
    across = min(ACROSS, len(names))
    deep = -(-len(names) // across)
    figure, axes = sheet(across, deep, width=max(3.8, 2.7 * across), height=height * deep)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    return figure, axes


def goodness_of_fit(residuals: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show what was observed against what is predicted for the same row.

    Parameters
    ----------
    residuals : pandas.DataFrame
        Table `residuals` of a diagnosis.
    marks : Marks, optional

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each output; colours are methods, or organs where one method was used.
    """
    names = [str(name) for name in dict.fromkeys(residuals["output"])]
    figure, axes = _panels(names)
    colour = _colours(residuals)
    for ax, name in zip(axes.flat, names, strict=False):
        part = residuals[residuals["output"] == name]
        values = part[["observed", "predicted"]].to_numpy(float)
        finite = values[np.isfinite(values) & (values > 0)]
        log = bool(len(finite)) and bool(finite.max() / finite.min() > WIDE)
        _scatter(ax, part, "predicted", "observed", colour)
        if log:
            shown = part[part["kind"].isin(["value", "mean", "logmean"]) & (part["predicted"] > 0)]
            least = float(np.nanmin(part.loc[part["observed"] > 0, "observed"]))
            if len(shown):
                least = min(least, float(shown["predicted"].min()))
            ax.set_xscale("log")
            ax.set_yscale("log")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_minor_formatter(NullFormatter())
            ends = (least / 2, 2 * float(finite.max()))
            ax.set_xlim(*ends)
            ax.set_ylim(*ends)
        else:
            ends = (float(np.nanmin(values)), float(np.nanmax(values)))
        ax.plot(ends, ends, color=AXIS, lw=1.0, zorder=1)
        ax.set_title(plain(name), fontsize=SMALL, loc="left")
        ax.set_xlabel("predicted", fontsize=SMALL)
    for ax in axes[:, 0]:
        ax.set_ylabel("observed", fontsize=SMALL)
    foot = "On the line, both agree. Hollow: a limit, at the limit."
    return finish(figure, "Observed and predicted", marks=marks, foot=foot, legend=legend_of(axes), columns=4)


def residual_plots(residuals: pd.DataFrame, time_unit: str, *, marks: Marks | None = None) -> Figure:
    """Show residuals against time, against the prediction, and against the normal distribution.

    Parameters
    ----------
    residuals : pandas.DataFrame
        Table `residuals` of a diagnosis.
    time_unit : str
        Of the model.
    marks : Marks, optional

    Returns
    -------
    matplotlib.figure.Figure
        A line of three panels for each output.
    """
    known = residuals[np.isfinite(residuals["score"].to_numpy(float))]
    names = [str(name) for name in dict.fromkeys(known["output"])] or ["no row has a residual"]
    figure, axes = sheet(3, len(names), width=8.2, height=2.1 * len(names))
    colour = _colours(residuals)
    for row, name in zip(axes, names, strict=True):
        part = known[known["output"] == name]
        for ax, column, label in zip(row[:2], ("time", "predicted"), (f"time [{time_unit}]", "predicted"), strict=True):
            _scatter(ax, part, column, "score", colour)
            for level in (-1.96, 0.0, 1.96):
                ax.axhline(level, color=MUTED, lw=0.8, ls=":" if level else "-")
            ax.set_xlabel(label, fontsize=SMALL)
        positive = part["predicted"][part["predicted"] > 0]
        if len(positive) and len(positive) == len(part) and positive.max() / positive.min() > WIDE:
            row[1].set_xscale("log")
            row[1].xaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel(plain(f"{name}: residual [SD]"), fontsize=SMALL)
        _normal(row[2], part["score"].to_numpy(float))
    foot = (
        "In SD of the noise; under the right model 95 % lie between the dotted lines. Right: on the line, they are "
        "normal."
    )
    return finish(figure, "Residuals", marks=marks, foot=foot, legend=legend_of(axes[:, :2]), columns=4)


def _colours(residuals: pd.DataFrame) -> Callable[[pd.DataFrame], list[tuple[str, str, pd.DataFrame]]]:
    """Parts of a table with their labels and colours: by method, else by organ, else all alike."""
    chosen = next((by for by in ("method", "organ", "study") if len(set(residuals[by])) > 1), "")
    labels = [str(name) for name in dict.fromkeys(residuals[chosen])] if chosen else []
    inks = {name: SERIES[k % len(SERIES)] for k, name in enumerate(labels)}

    def parts(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
        if not chosen:
            return [("one row", DATA, table)]
        return [(name or f"no {chosen}", inks[name], table[table[chosen] == name]) for name in labels]

    return parts


def _scatter(
    ax: Axes, table: pd.DataFrame, x: str, y: str, colour: Callable[..., list[tuple[str, str, pd.DataFrame]]]
) -> None:
    for label, ink, part in colour(table):
        hollow = part["kind"].isin(CENSORED)
        full, limits = part[~hollow], part[hollow]
        if len(full):
            ax.scatter(full[x], full[y], s=13, color=ink, alpha=0.6, lw=0, label=label, zorder=3)
        if len(limits) and y == "observed":
            ax.scatter(limits[x], limits[y], s=17, marker="v", facecolor="none", edgecolor=ink, lw=0.8, zorder=2)


def _normal(ax: Axes, values: np.ndarray) -> None:
    ordered, n = np.sort(values), len(values)
    if n:
        places = norm.ppf((np.arange(n) + 0.5) / n)
        ax.scatter(places, ordered, s=9, color=DATA, alpha=0.6, lw=0)
        ends = np.array([min(places[0], ordered[0]), max(places[-1], ordered[-1])])
        ax.plot(ends, ends, color=AXIS, lw=1.0, zorder=1)
    ax.set_xlabel("normal quantile", fontsize=SMALL)


def _groups(table: pd.DataFrame, marks: Marks) -> Figure:
    """Mean residual of each group with its 95 % interval under the model."""
    figure, axes = sheet(1, 1, width=5.6, height=0.7 + 0.22 * len(table))
    ax, places = axes[0, 0], np.arange(len(table))[::-1]
    half = 1.96 / np.sqrt(table["n"].to_numpy(float))
    ax.hlines(places, -half, half, color=AXIS, lw=5, label="95 % of such means under the model")
    odd = table["shifted"].to_numpy(bool)
    for mine, ink, label in ((~odd, FIT, "mean residual"), (odd, WARN, "off the model")):
        if np.any(mine):
            ax.scatter(table["mean"][mine], places[mine], s=22, color=ink, zorder=3, label=label)
    ax.axvline(0, color=MUTED, lw=0.8)
    names = [f"{row['by']} {row['group']} (n = {row['n']})" for row in table.to_dict("records")]
    ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL)
    ax.set_xlabel("mean residual [SD of the noise]", fontsize=SMALL)
    return finish(figure, "Residuals by group", marks=marks, legend=legend_of(axes), columns=3)


def _statistics(table: pd.DataFrame, marks: Marks) -> Figure:
    """Each statistic where the replicates have it: their middle at 0, the ends of their 95 % interval at -1 and 1."""
    table = table[table["upper"] > table["lower"]]
    figure, axes = sheet(1, 1, width=6.0, height=0.7 + 0.2 * max(len(table), 1))
    ax, places = axes[0, 0], np.arange(len(table))[::-1]
    away = table["observed"] - table["median"]
    half = np.where(away > 0, table["upper"] - table["median"], table["median"] - table["lower"])
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.clip(np.nan_to_num(away.to_numpy(float) / half, nan=0.0, posinf=3.0, neginf=-3.0), -3.0, 3.0)
    ax.axvspan(-1, 1, color=FIT, alpha=0.12, lw=0, label="95 % of the replicates")
    odd = table["odd"].to_numpy(bool)
    for mine, ink, label in ((~odd, DATA, "data"), (odd, WARN, "data, unlike replicates")):
        if np.any(mine):
            ax.scatter(place[mine], places[mine], s=20, color=ink, zorder=3, label=label)
    names = [
        f"{r['output']}: {r['statistic']}" + f" of {r['rows']}" * (r["rows"] != "single")
        for r in table.to_dict("records")
    ]
    ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL)
    ax.set_xlim(-3.2, 3.2)
    ax.set_xticks([-1, 0, 1], ["2.5 %", "median", "97.5 %"])
    ax.set_ylim(-0.7, len(table) - 0.3)
    ax.grid(axis="y", color=AXIS, lw=0.3)
    foot = "Statistics of the data on the scale of those of replicates. Those that no replicate varies are left out."
    return finish(figure, "Posterior predictive checks", marks=marks, foot=foot, legend=legend_of(axes), columns=3)


def leave_one_out(rows: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show the Pareto k of every row: which rows the fit cannot do without.

    Parameters
    ----------
    rows : pandas.DataFrame
        Table `loo` of a diagnosis.
    marks : Marks, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(1, 1, width=6.4, height=2.6)
    ax, k = axes[0, 0], rows["pareto_k"].to_numpy(float)
    bad, finite = rows["bad"].to_numpy(bool), np.clip(k, -0.5, 1.6)
    each = np.arange(len(rows))
    limit = _limit(rows)
    ax.axhline(limit, color=WARN, lw=0.9, ls="--", label=f"limit {limit:.2f}")
    ax.scatter(each[~bad], finite[~bad], s=11, color=FIT, alpha=0.7, lw=0, label="can be left out")
    if np.any(bad):
        ax.scatter(each[bad], finite[bad], s=24, color=WARN, label="cannot, without another fit")
        for i in np.argsort(-np.where(bad, k, -np.inf))[: min(6, int(bad.sum()))]:
            ax.annotate(plain(str(rows["subject"].iloc[i])), (each[i], finite[i]), xytext=(4, 2),
                        textcoords="offset points", fontsize=SMALL - 1, color=WARN)  # fmt: skip
    ax.set_xlabel("row of the data", fontsize=SMALL)
    ax.set_ylabel("Pareto k", fontsize=SMALL)
    return finish(figure, "Leaving rows out", marks=marks, legend=legend_of(axes), columns=3)


def _limit(rows: pd.DataFrame) -> float:
    return float(rows.attrs.get("limit", limit_of(4000)))


def influence_plot(table: pd.DataFrame, by: str, *, marks: Marks | None = None) -> Figure:
    """Show how far the estimate that moves most would move without each subject or study.

    Parameters
    ----------
    table : pandas.DataFrame
        Table `influence_by_subject` or `influence_by_study` of a diagnosis.
    by : str
        "subject" or "study".
    marks : Marks, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = table.head(MOST)
    figure, axes = sheet(1, 1, width=5.8, height=0.7 + 0.2 * len(shown))
    ax, places = axes[0, 0], np.arange(len(shown))[::-1]
    sure = shown["trusted"].to_numpy(bool)
    how, doubt = "by weighing draws", "at least; only another fit can tell"
    if shown["pareto_k"].isna().all():
        how, doubt = "by a step from the maximum", "about; only another fit can tell"
    for mine, ink, label in ((sure, FIT, how), (~sure, WARN, doubt)):
        if np.any(mine):
            ax.hlines(places[mine], 0, shown["shift"][mine], color=ink, lw=1.2)
            ax.scatter(shown["shift"][mine], places[mine], s=22, color=ink, label=label, zorder=3)
    bounds = UNUSUAL * shown["usual"].to_numpy(float)
    for sign, label in ((-1, "more than its share beyond"), (1, "_nolegend_")):
        ax.plot(sign * bounds, places, "|", color=MUTED, ms=6, label=label)
    ax.axvline(0.0, color=MUTED, lw=0.8)
    names = [f"{r[by] or 'no ' + by}: {r['parameter']}" for r in shown.to_dict("records")]
    ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL)
    ax.set_ylim(-0.7, len(shown) - 0.3)
    ax.set_xlabel(f"change of the estimate without that {by} [its SD]", fontsize=SMALL)
    left = len(table) - len(shown)
    foot = f"The {len(shown)} that move an estimate most; {left} more are not drawn." if left else ""
    return finish(figure, f"Influence by {by}", marks=marks, foot=foot, legend=legend_of(axes), columns=3)


def _draws(diagnosis: Diagnosis) -> dict[str, np.ndarray]:
    return {name: np.asarray(x).reshape(-1) for name, x in diagnosis.fit.posterior.learned.items()}


def _divergent(diagnosis: Diagnosis, marks: Marks) -> Figure:
    """Divergent draws among the others, over the two parameters in which they lie farthest away."""
    first, second = diagnosis.tables["divergences"]["parameter"].iloc[:2]
    draws = _draws(diagnosis)
    marked = diverging(diagnosis.fit)
    assert marked is not None  # noqa: S101 - the table of their places is not empty
    figure, axes = sheet(1, 1, width=4.4, height=3.2)
    ax = axes[0, 0]
    ax.scatter(draws[first][~marked], draws[second][~marked], s=5, color=FIT, alpha=0.25, lw=0, label="draws")
    ax.scatter(draws[first][marked], draws[second][marked], s=16, color=WARN, label="divergent draws", zorder=3)
    ax.set_xlabel(plain(first), fontsize=SMALL)
    ax.set_ylabel(plain(second), fontsize=SMALL)
    return finish(figure, "Where the sampler diverged", marks=marks, legend=legend_of(axes))


def _pairs(diagnosis: Diagnosis, marks: Marks) -> Figure:
    """The pairs that are most alike."""
    pairs = diagnosis.tables["correlations"].head(ACROSS).to_dict("records")
    draws = _draws(diagnosis)
    figure, axes = sheet(len(pairs), 1, width=max(3.4, 2.5 * len(pairs)), height=2.4)
    for ax, row in zip(axes.flat, pairs, strict=True):
        ax.scatter(draws[row["first"]], draws[row["second"]], s=4, color=FIT, alpha=0.2, lw=0)
        ax.set_xlabel(plain(str(row["first"])), fontsize=SMALL)
        ax.set_ylabel(plain(str(row["second"])), fontsize=SMALL)
        ax.set_title(f"rank correlation {row['correlation']:.2f}", fontsize=SMALL)
    return finish(figure, "Known only together", marks=marks)


def comparison(found: Comparison, *, marks: Marks | None = None) -> Figure:
    """Show how much worse each fit predicts left-out rows than the best one, and the weights.

    Parameters
    ----------
    found : Comparison
        From ``msc.compare``.
    marks : Marks, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = found.table
    figure, axes = sheet(
        2, 1, width=6.4, height=0.8 + 0.32 * len(table), sharey=True, gridspec_kw={"width_ratios": [2.2, 1.0]}
    )
    places = np.arange(len(table))[::-1]
    left, right = axes[0]
    left.errorbar(table["elpd_diff"], places, xerr=2 * table["diff_se"], fmt="o", color=FIT, ms=5, elinewidth=1.2,
                  capsize=3, label="difference and two standard errors")  # fmt: skip
    left.axvline(0.0, color=MUTED, lw=0.8)
    left.set_xlabel("elpd, difference to the best", fontsize=SMALL)
    left.set_yticks(places, [plain(str(name)) for name in table.index], fontsize=SMALL)
    left.set_ylim(-0.6, len(table) - 0.4)
    right.barh(places, table["weight"], height=0.45, color=SERIES[5])
    right.set_xlim(0, 1)
    right.set_xlabel(f"weight ({found.weights.replace('_', '-')})", fontsize=SMALL)
    return finish(
        figure, "Which fit predicts best", marks=marks, foot=found.sentence, legend=legend_of(axes), columns=1
    )
