"""Data and fitted model together: one figure for each observed output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mscpkpd.fitting.result import Fit
from mscpkpd.plots.curves import given, group_of
from mscpkpd.plots.style import DATA, FIT, SERIES, SMALL, Marks, finish, legend_of, plain, sheet
from mscpkpd.rounding import number, time_scale
from mscpkpd.units import to_unit

__all__ = ["data_and_fit", "observed_rows"]

PERCENT = "%ID"
WIDE_RANGE = {True: 10.0, False: 30.0}  # largest over smallest value for a log axis, by whether noise is lognormal
MANY_TIMES, WIDE_TIMES = 4, 100.0  # likewise for time
SHOWN = SERIES[1]


@dataclass(frozen=True)
class _Scale:
    """What the axes of an output show."""

    percent: bool
    y_label: str
    log: bool
    log_time: bool
    time: float  # factor of times
    x_label: str


def data_and_fit(
    fit: Fit,
    curves: pd.DataFrame,
    output: str,
    *,
    marks: Marks | None = None,
    individuals: bool = True,
    shown: pd.DataFrame | None = None,
) -> Figure:
    """Show the data of one output with the fitted model.

    Parameters
    ----------
    fit : Fit
        Gives the observations.
    curves : pandas.DataFrame
        Made by `fitted_curves`.
    output : str
        Name of an observed output.
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    individuals : bool
        Whether rows of single subjects are drawn; means of several always are.
    shown : pandas.DataFrame, optional
        Further points that were not fitted: columns output, time, value (in the unit of the data), label.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each group of equal doses. Amounts are in percent of the dose where the data are.
    """
    mine = curves[curves["output"] == output]
    rows = observed_rows(fit)
    rows = rows[rows["output"] == output]
    groups = list(dict.fromkeys(mine["group"]))
    extra = pd.DataFrame() if shown is None else shown[shown["output"] == output]
    scale = _scale(fit, output, rows, mine)
    wide = 5.0 if len(groups) < 2 else 2.6 * min(len(groups), 3) + 0.8
    deep = int(np.ceil(len(groups) / 3))
    figure, axes = sheet(min(len(groups), 3), deep, width=wide, height=0.3 + 2.75 * deep, sharex=True, sharey=True)
    for ax, group in zip(axes.flat, groups, strict=False):
        one = mine[mine["group"] == group]
        _curve(ax, one, scale, individuals=bool(np.any(rows["single"])))
        _points(ax, rows[rows["group"] == group], scale, individuals=individuals)
        if len(groups) > 1:
            ax.set_title(plain(str(one["doses"].iloc[0])), fontsize=SMALL)
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    _further(axes.flat[0], extra, scale, individuals=individuals)
    _dress(axes, rows, mine, scale)
    about = fit.model.output(output).about
    return finish(
        figure, about or output, marks=marks, subtitle=f"{output}: data and fitted model", legend=legend_of(axes)
    )


def observed_rows(fit: Fit) -> pd.DataFrame:
    """Predictions of a fit with what is needed to show them.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    pandas.DataFrame
        As `Fit.predictions`, medians on the scale of the data, and: low and high, one SD of one subject below and
        above; group of equal doses; unit of the data; single (one subject, not a mean); given, the amount given by
        then where the data are in percent of it, else NaN.
    """
    table = fit.predictions.copy()
    hours, groups = to_unit(f"1 {fit.model.time}", "h"), group_of(fit)
    subjects = [fit.study.subject(str(name)) for name in table["subject"]]
    table["group"] = [groups[subject.id] for subject in subjects]
    made = [fit.model.output(str(name)) for name in table["output"]]
    pairs = zip(fit.study.records, made, strict=True)
    table["unit"] = [output.unit if output.quantity else record.unit for record, output in pairs]
    table[["low", "high"]] = np.transpose([table["observed"] - table["sd"], table["observed"] + table["sd"]])
    logarithms = table["kind"] == "logmean"
    natural = ["observed", "lower_limit", "upper_limit", "low", "high"]
    table.loc[logarithms, natural] = np.exp(table.loc[logarithms, natural])
    table["single"] = ~table["kind"].isin(["mean", "logmean"])
    table["given"] = [
        given(subject.regimen, subject.weight, float(time) * hours) if unit == PERCENT else np.nan
        for subject, time, unit in zip(subjects, table["time"], table["unit"], strict=True)
    ]
    return table


def _scale(fit: Fit, output: str, rows: pd.DataFrame, curves: pd.DataFrame) -> _Scale:
    definition = fit.model.output(output)
    percent = bool((rows["unit"] == PERCENT).all())
    values = np.abs(rows[["observed", "upper_limit"]].to_numpy(dtype=float))
    values = values[np.isfinite(values) & (values > 0)]
    spread = float(values.max() / values.min()) if len(values) else 1.0
    if not (rows["kind"] == "value").any() and rows["single"].all():
        spread = np.inf  # limits only: what is known is an order of magnitude
    lognormal = definition.noise is not None and definition.noise.is_log
    times = np.unique(rows["time"][rows["time"] > 0])
    far = len(times) >= MANY_TIMES and times[-1] / times[0] >= WIDE_TIMES
    factor, unit = time_scale(fit.model.time, float(curves["time"].max()))
    if far:
        factor, unit = 1.0, time_scale(fit.model.time, 0.0)[1]
    label = "% of the dose given" if percent else f"{output} [{definition.unit}]".replace(" [1]", "")
    log = spread > WIDE_RANGE[lognormal] and (lognormal or not percent)
    return _Scale(percent, label, log, far, factor, f"time [{unit}]")


def _amounts(table: pd.DataFrame, column: str, scale: _Scale) -> np.ndarray:
    values = table[column].to_numpy(dtype=float)
    if not scale.percent:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * values / table["given"].to_numpy(dtype=float))


def _curve(ax: Axes, curve: pd.DataFrame, scale: _Scale, *, individuals: bool) -> None:
    time = curve["time"].to_numpy() * scale.time
    ends = {name: _amounts(curve, name, scale) for name in ("lower", "upper", "median", "lower_new", "upper_new")}
    if individuals and np.isfinite(ends["upper_new"]).any():
        ax.fill_between(
            time, ends["lower_new"], ends["upper_new"], color=FIT, alpha=0.14, lw=0,
            label="95 % of new observations",
        )  # fmt: skip
    ax.fill_between(time, ends["lower"], ends["upper"], color=FIT, alpha=0.32, lw=0, label="95 % band of the model")
    ax.plot(time, ends["median"], color=FIT, lw=1.6, label="median of the model")


def _points(ax: Axes, rows: pd.DataFrame, scale: _Scale, *, individuals: bool) -> None:
    means = rows[~rows["single"]]
    if len(means):
        _means(ax, means, scale)
    if not individuals:
        return
    for kind, marker, column, label in (
        ("value", "o", "observed", "one subject"),
        ("left", "v", "upper_limit", "below this limit"),
        ("right", "^", "lower_limit", "above this limit"),
    ):
        part = rows[rows["kind"] == kind]
        if len(part):
            hollow = kind != "value"
            ax.plot(
                part["time"] * scale.time, _amounts(part, column, scale), marker, ms=5.0 if hollow else 4.2,
                mfc="white" if hollow else DATA, mec=SHOWN if hollow else "white", mew=1.2 if hollow else 0.5,
                label=label, zorder=4, clip_on=False,
            )  # fmt: skip
    between = rows[rows["kind"] == "interval"]
    if len(between):
        low, high = _amounts(between, "lower_limit", scale), _amounts(between, "upper_limit", scale)
        ax.vlines(between["time"] * scale.time, low, high, color=DATA, lw=2, label="between two limits", zorder=4)


def _means(ax: Axes, rows: pd.DataFrame, scale: _Scale) -> None:
    time = rows["time"].to_numpy() * scale.time
    counts = sorted({int(n) for n in rows["n"].dropna()})
    count = f" of {counts[0]}" if len(counts) == 1 else ""
    ax.vlines(
        time, _amounts(rows, "lower_new", scale), _amounts(rows, "upper_new", scale), color=FIT, alpha=0.35, lw=7,
        label=f"95 % of new means{count}", zorder=2,
    )  # fmt: skip
    middle = _amounts(rows, "observed", scale)
    low, high = (np.where(np.isfinite(x), x, middle) for x in (_amounts(rows, end, scale) for end in ("low", "high")))
    what = "median" if (rows["kind"] == "logmean").all() else "mean"
    ax.errorbar(
        time, middle, yerr=[middle - low, high - middle], fmt="o", ms=5, color=DATA, mec="white", mew=0.5,
        elinewidth=1.1, capsize=3, label=f"{what}{count} and SD of one subject", zorder=4,
    )  # fmt: skip


def _further(ax: Axes, extra: pd.DataFrame, scale: _Scale, *, individuals: bool) -> None:
    if not individuals or extra.empty:
        return
    for label, part in extra.groupby("label", sort=False):
        ax.plot(
            part["time"] * scale.time, part["value"], "D", ms=4.5, mfc="none", mec=SHOWN, mew=1.3,
            label=plain(f"{label}, not fitted"), zorder=5, clip_on=False,
        )  # fmt: skip


def _dress(axes: np.ndarray, rows: pd.DataFrame, curves: pd.DataFrame, scale: _Scale) -> None:
    for ax in axes[-1]:
        ax.set_xlabel(scale.x_label)
    for ax in axes[:, 0]:
        ax.set_ylabel(plain(scale.y_label))
    ax = axes.flat[0]
    times = rows["time"][rows["time"] > 0]
    if scale.log_time and len(times):
        ax.set_xscale("log")
        first = float(times.min()) / 2
        ax.set_xlim(first * scale.time, float(curves["time"].max()) * scale.time * 1.1)
        curves = curves[curves["time"] >= first]
        ax.xaxis.set_major_formatter("{x:g}")
    else:
        ax.set_xlim(left=-0.02 * float(curves["time"].max()) * scale.time)
    if scale.log:
        ax.set_yscale("log")
        ax.set_ylim(*_limits(rows, curves, scale))
    else:
        ax.set_ylim(0.0, 1.06 * _top(rows, curves, scale))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y, 3)))
    for one in axes.flat:
        one.grid(axis="y", color="#ECECEC", lw=0.7)
        one.set_axisbelow(True)


def _limits(rows: pd.DataFrame, curves: pd.DataFrame, scale: _Scale) -> tuple[float, float]:
    """Limits of a log axis from the data; a curve that falls for ever does not stretch it."""
    columns = ("observed", "lower_limit", "upper_limit")
    seen = np.concatenate([_amounts(rows, name, scale) for name in columns])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    return float(seen.min()) / 8, _top(rows, curves, scale) * 3


def _top(rows: pd.DataFrame, curves: pd.DataFrame, scale: _Scale) -> float:
    """Highest thing to see, in the unit of the axis."""
    inside = ("upper", "upper_new") if rows["single"].any() else ("upper",)
    values = [_amounts(curves, name, scale) for name in inside]
    values += [_amounts(rows, name, scale) for name in ("observed", "high", "upper_limit", "upper_new")]
    together = np.concatenate(values)
    return float(np.nanmax(together[np.isfinite(together)], initial=0.0)) or 1.0
