"""Response rates of trials, what a cohort taught, how scores did, and what a study would teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mscpkpd.plots.style import (
    AXIS,
    DATA,
    FIT,
    INK,
    MUTED,
    PRIOR,
    SERIES,
    SMALL,
    Marks,
    finish,
    legend_of,
    plain,
    sheet,
)
from mscpkpd.responder.banner import BANNER

if TYPE_CHECKING:
    from mscpkpd.responder.pooling import PooledRate

__all__ = [
    "calibration_plot",
    "decision_curves",
    "enrichment",
    "learning_curves",
    "level_and_change",
    "prior_and_cohort",
    "response_rates",
]

GRID = {"color": "#ECECEC", "lw": 0.7}


def response_rates(pooled: PooledRate, *, marks: Marks | None = None) -> Figure:
    """Show the response rates of published cohorts, each alone and given all, the pooled rate and a new cohort.

    Parameters
    ----------
    pooled : PooledRate
        Made by ``Responder.response_rate``.
    marks : Marks
        Warnings.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from mscpkpd.responder.pooling import update_rate

    rows = len(pooled.table) + 2
    figure, axes = sheet(width=6.4, height=0.7 + 0.25 * rows)
    ax = axes[0, 0]
    places = np.arange(rows)[::-1]
    names: list[str] = []
    for place, trial, shrunken in zip(places, pooled.table, pooled.shrunken, strict=False):
        low, high = update_rate(trial.responders, trial.n).without_prior
        own = trial.responders / trial.n
        ax.plot([low, high], [place + 0.13] * 2, color=PRIOR, lw=1.1, label="alone: rate, 95 %" if not names else None)
        ax.plot(own, place + 0.13, "s", color=PRIOR, ms=2 + 0.35 * np.sqrt(trial.n))
        ax.plot([shrunken.lower, shrunken.upper], [place - 0.13] * 2, color=FIT, lw=1.6)
        ax.plot(shrunken.median, place - 0.13, "o", color=FIT, ms=4, label="given all cohorts" if not names else None)
        names.append(f"{trial.study}  {trial.responders}/{trial.n}" + (" *" if trial.evidence != "read" else ""))
    last = [("population rate", pooled.rate), ("a new cohort", pooled.new_cohort)]
    for place, (name, interval), colour in zip(places[-2:], last, (SERIES[1], SERIES[2]), strict=True):
        ax.plot([interval.lower, interval.upper], [place] * 2, color=colour, lw=4, solid_capstyle="butt")
        ax.plot(interval.median, place, "D", color=colour, ms=6, mec="white")
        names.append(name)
    ax.axhline(1.5, color=AXIS, lw=0.8)
    ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL)
    ax.set_xlim(0, 1)
    ax.set_xlabel("overall response by day 28, under MSC, no marker")
    ax.grid(axis="x", **GRID)
    foot = f"{pooled}. * not read from the paper itself"
    return finish(figure, "Published response rates", marks=marks, foot=foot, legend=legend_of(axes))


def prior_and_cohort(comparison: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show intercept and slope by the prior, by the cohort alone and by both.

    Parameters
    ----------
    comparison : pandas.DataFrame
        ``Scorer.comparison``.
    marks : Marks
        SYNTHETIC, warnings.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(columns=max(1, len(comparison)), width=6.2, height=2.1)
    ways = (("prior", PRIOR), ("cohort", SERIES[1]), ("posterior", FIT))
    titles = {"alpha": "alpha: intercept", "b1": "b1: CXCL10, per factor 2.46"}
    for ax, row in zip(axes[0], comparison.to_dict("records"), strict=False):
        for place, (name, colour) in zip((2, 1, 0), ways, strict=True):
            label = {"prior": "prior", "cohort": "cohort alone", "posterior": "both together"}[name]
            ax.plot([row[f"{name}_lower"], row[f"{name}_upper"]], [place] * 2, color=colour, lw=3, label=label)
            ax.plot(row[name], place, "o", color=colour, ms=6, mec="white")
        ax.axvline(0, color=AXIS, lw=0.9)
        ax.set_yticks([])
        ax.set_ylim(-0.7, 2.7)
        ax.set_title(titles.get(str(row["parameter"]), str(row["parameter"])), fontsize=SMALL + 1)
        word = "prior and cohort disagree" if row["conflict"] < 0.05 else "no conflict"
        ax.set_xlabel(f"logit units; {word} (tail {row['conflict']:.2g})", fontsize=SMALL)
        ax.grid(axis="x", **GRID)
    return finish(
        figure, "What the cohort says, with and without the prior", marks=marks, foot="Mean and 95 % interval.",
        legend=legend_of(axes), columns=3,
    )  # fmt: skip


def calibration_plot(
    curve: pd.DataFrame, measures: pd.DataFrame, scores: np.ndarray | None = None, *, marks: Marks | None = None
) -> Figure:
    """Show the response rate at each score with its band.

    Parameters
    ----------
    curve : pandas.DataFrame
        ``Scorer.calibration_curve``.
    measures : pandas.DataFrame
        ``Scorer.calibration``.
    scores : array of shape (n,), optional
        Scores of the patients, probabilities: ticks under the curve.
    marks : Marks
        SYNTHETIC, warnings.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(width=4.9, height=3.9)
    ax = axes[0, 0]
    ax.plot([0, 1], [0, 1], color=AXIS, lw=1, label="perfect")
    ax.fill_between(curve["score"], curve["lower"], curve["upper"], color=FIT, alpha=0.18, lw=0, label="95 %")
    ax.plot(curve["score"], curve["observed"], color=FIT, lw=1.8, label="observed at each score")
    if scores is not None:
        ax.plot(scores, np.full(len(scores), 0.012), "|", color=DATA, ms=7, alpha=0.5)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("P(response), estimated")
    ax.set_ylabel("response rate, observed")
    found = {str(row["measure"]): row for row in measures.to_dict("records")}
    words = ("auc", "calibration_slope", "calibration_intercept", "observed_over_expected", "brier")
    said = ", ".join(
        f"{name.replace('_', ' ')} {found[name]['estimate']:.2f} "
        f"({found[name]['lower']:.2f} to {found[name]['upper']:.2f})"
        for name in words
    )
    n = int(found["patients"]["estimate"])
    return finish(figure, "Calibration", marks=marks, foot=f"{n} patients; {said}.", legend=legend_of(axes), columns=3)


def decision_curves(table: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show the net value of each strategy at each threshold, and how sure one is which is best.

    Parameters
    ----------
    table : pandas.DataFrame
        ``Scorer.decision_curve``.
    marks : Marks
        SYNTHETIC, warnings.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(rows=2, width=5.6, height=4.6, sharex=True, height_ratios=[2, 1])
    top, below = axes[:, 0]
    top.fill_between(table["threshold"], table["lower"], table["upper"], color=FIT, alpha=0.16, lw=0)
    top.plot(table["threshold"], table["net_value"], color=FIT, lw=1.9, label="by the score, 95 %")
    top.plot(table["threshold"], table["treat_all"], color=SERIES[1], lw=1.5, ls="--", label="treat all")
    top.plot(table["threshold"], table["treat_none"], color=MUTED, lw=1.2, label="treat none")
    below.plot(table["threshold"], table["p_best"], color=FIT, lw=1.7)
    below.plot(table["threshold"], table["p_best_all"], color=SERIES[1], lw=1.5, ls="--")
    below.plot(table["threshold"], table["p_best_none"], color=MUTED, lw=1.2)
    if "alternative" in table:
        top.plot(
            table["threshold"], table["alternative"], color=SERIES[2], lw=1.5, ls=":", label="declared alternative"
        )
        below.plot(table["threshold"], table["p_best_alternative"], color=SERIES[2], lw=1.5, ls=":")
    highest = float(table["treat_all"].iloc[0])
    top.set_ylim(-0.25 * highest, 1.12 * highest)
    top.set_ylabel("net value")
    below.set_ylabel("P(best)")
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("threshold of P(response), from utilities: alternative therapy + cost")
    foot = (
        "Responders reached less others treated, weighed by the odds of the threshold; it says nothing about what MSC "
        f"add. Largest expected value of knowing the best strategy: {table['evpi'].max():.3f}."
    )
    return finish(figure, "Decision curve", marks=marks, subtitle=BANNER, foot=foot, legend=legend_of(axes))


def learning_curves(table: pd.DataFrame) -> Figure:
    """Show how often cohorts of each size would find the direction of the slope.

    Parameters
    ----------
    table : pandas.DataFrame
        Made by `mscpkpd.responder.design.slope_learning`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(columns=2, width=6.6, height=2.9, sharey=True)
    for k, (name, rows) in enumerate(table.groupby("scenario", sort=False)):
        label = f"{name} (b1 {rows['b1'].iloc[0]:.2f})"
        for ax, column in zip(axes[0], ("positive", "negative"), strict=True):
            ax.plot(rows["patients"], rows[column], "o-", color=SERIES[k % len(SERIES)], ms=4, lw=1.5, label=label)
    for ax, word in zip(axes[0], ("P(b1 > 0) > 0.95", "P(b1 < 0) > 0.95"), strict=True):
        ax.axhline(0.05, color=AXIS, lw=0.9, ls=":")
        ax.set_title(word, fontsize=SMALL + 1)
        ax.set_xlabel("patients")
        ax.set_ylim(-0.03, 1.03)
        ax.set_xscale("log")
        ax.set_xticks(sorted(table["patients"].unique()), [str(n) for n in sorted(table["patients"].unique())])
        ax.minorticks_off()
        ax.grid(**GRID)
    axes[0, 0].set_ylabel("fraction of cohorts")
    foot = f"{int(table['replicates'].iloc[0])} cohorts each, slope prior '{table.attrs.get('slope', 'default')}'."
    marks = Marks(synthetic=True)
    return finish(figure, "What a cohort would teach about the slope", marks=marks, foot=foot, legend=legend_of(axes))


def enrichment(table: pd.DataFrame) -> Figure:
    """Show the power of randomising all patients and of randomising marker-high patients.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `mscpkpd.responder.design.enrichment_power`, of one marker or several.

    Returns
    -------
    matplotlib.figure.Figure
    """
    markers = list(dict.fromkeys(table["marker"]))
    figure, axes = sheet(columns=len(markers), width=1.2 + 1.75 * len(markers), height=2.6, sharey=True)
    for ax, marker in zip(axes[0], markers, strict=True):
        rows = table[table["marker"] == marker]
        ax.plot(rows["patients"], rows["all"], "-", color=AXIS, lw=4.5, label="all patients")
        ax.plot(
            rows["patients"],
            rows["enriched"],
            "o--",
            color=FIT,
            ms=4,
            label="marker-high alone (twice as many screened)",
        )
        ax.set_title(marker, fontsize=SMALL + 1, color=INK)
        ax.set_xlabel("randomised")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_ylim(0, 1.02)
        ax.grid(**GRID)
    axes[0, 0].set_ylabel("power")
    foot = (
        "A prognostic and a predictive marker have the same AUC in a single arm; only the predictive one makes an "
        "enriched trial stronger."
    )
    return finish(figure, "Enrichment", marks=Marks(synthetic=True), foot=foot, legend=legend_of(axes), columns=2)


def level_and_change(scores: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show estimated changes at 24 h, and what they do to the score.

    Parameters
    ----------
    scores : pandas.DataFrame
        Made by ``Landmark.score``.
    marks : Marks
        SYNTHETIC, warnings.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = sheet(columns=2, width=6.6, height=3.1)
    left, right = axes[0]
    table = scores.sort_values("change")
    places = np.arange(len(table))
    left.hlines(places, table["change_lower"], table["change_upper"], color=FIT, lw=0.9, alpha=0.5)
    left.plot(table["change"], places, "o", color=FIT, ms=2.6)
    left.axvline(0, color=AXIS, lw=0.9)
    left.set_yticks([])
    left.set_ylabel("patients")
    left.set_xlabel("true ln(CXCL10 at 24 h / before), 95 %")
    right.plot([0, 1], [0, 1], color=AXIS, lw=0.9)
    right.plot(scores["p_without_24h"], scores["p_response"], "o", color=FIT, ms=3.4, alpha=0.7)
    right.set_xlim(0, 1)
    right.set_ylim(0, 1)
    right.set_xlabel("P(response), level before alone")
    right.set_ylabel("with the level at 24 h")
    use = str(scores.attrs.get("use", ""))
    return finish(figure, "Level and change at 24 h", marks=marks, subtitle=use, foot=BANNER)
