"""Visual predictive checks and normalised prediction distribution errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from mscpkpd.plots.style import (
    DATA,
    FIT,
    MUTED,
    SERIES,
    SMALL,
    WARN,
    Marks,
    blank_axes,
    finish,
    legend_of,
    plain,
    sheet,
)
from mscpkpd.predictive import NPDE, VPC

__all__ = ["prediction_errors", "visual_check"]

WIDE, HIGH, LOW = 3.4, 2.7, 1.1  # inches of a panel; of the panel of fractions
COLUMNS = 3
OUTER, MIDDLE = SERIES[5], SERIES[1]  # bands of the outer percentiles and of the median
LOWEST = 0.6  # of the least value, where a percentile below the limit is drawn


def visual_check(check: VPC, *, log: bool | None = None, marks: Marks | None = None) -> Figure:
    """Draw a visual predictive check: percentiles of data as lines, those of replicates as bands (V1, V6).

    Parameters
    ----------
    check : VPC
        From ``msc.vpc``.
    log : bool, optional
        Logarithmic values; by default where all are above 0.
    marks : Marks, optional
        What the figure must say about its data.

    Returns
    -------
    Figure
    """
    panels = list(dict.fromkeys(zip(check.table["output"], check.table["stratum"], strict=True)))
    columns = min(COLUMNS, len(panels))
    rows, limits = -(-len(panels) // columns), len(check.blq) > 0
    each = 2 if limits else 1
    figure, axes = sheet(
        columns, each * rows, width=max(5.2, WIDE * columns), height=(HIGH + (LOW if limits else 0)) * rows,
        height_ratios=([HIGH, LOW] if limits else [HIGH]) * rows,
    )  # fmt: skip
    for k in range(rows * columns):
        i, j = each * (k // columns), k % columns
        below = axes[i + 1, j] if limits else None
        if k >= len(panels):
            for ax in (axes[i, j], below):
                if ax is not None:
                    blank_axes(ax)
            continue
        _panel(axes[i, j], check, *panels[k], log=log)
        if below is not None:
            _fractions(below, check, *panels[k])
            below.set_xlim(axes[i, j].get_xlim())
        (below or axes[i, j]).set_xlabel(f"time [{check.time_unit}]")
    foot = _foot(check)
    title = "Prediction-corrected visual predictive check" if check.settings["prediction-corrected"] else (
        "Visual predictive check"
    )  # fmt: skip
    subtitle = "Lines: 5th, 50th and 95th percentile of the data. Bands: 95 % interval of the same of simulated data."
    return finish(figure, title, marks=marks, subtitle=subtitle, foot=foot, legend=legend_of(axes), columns=2)


def _foot(check: VPC) -> str:
    s = check.settings
    made = f"{s['replicates']} replicates at {s['draws']} draws" if s["parameters"] == "draws" else (
        f"{s['replicates']} replicates at the estimates"
    )  # fmt: skip
    return " ".join(
        [f"{made}; bins: {s['bins']}; quantile type {s['quantile_type']}.", *(f"{n}." for n in check.notes)]
    )


def _part(table: pd.DataFrame, output: str, stratum: str) -> pd.DataFrame:
    return table[(table["output"] == output) & (table["stratum"] == stratum)]


def _panel(ax: Axes, check: VPC, output: str, stratum: str, *, log: bool | None) -> None:
    rows, points = _part(check.table, output, stratum), _part(check.points, output, stratum)
    finite = np.concatenate([rows[["observed", "lower", "upper"]].to_numpy().ravel(), points["value"].to_numpy()])
    finite = finite[np.isfinite(finite)]
    logarithmic = bool(np.all(finite > 0)) if log is None else log
    floor = _floor(finite, logarithmic=logarithmic)
    drawn = points[np.isfinite(points["value"])]
    ax.scatter(drawn["time"], drawn["value"], s=7, color=DATA, alpha=0.35, linewidths=0, label="data", zorder=2)
    for percentile, part in rows.groupby("percentile"):
        middle = percentile == 50
        band, ink = (MIDDLE, MIDDLE) if middle else (OUTER, FIT)
        times = part["time"].to_numpy()
        seen, low, high = (np.maximum(part[name].to_numpy(), floor) for name in ("observed", "lower", "upper"))
        label = "simulated median" if middle else "simulated 5th and 95th"
        if len(times) > 1:
            ax.fill_between(times, low, high, color=band, alpha=0.3, linewidth=0, label=label, zorder=1)
        else:
            ax.vlines(times, low, high, color=band, alpha=0.4, linewidth=8, label=label, zorder=1)
        label = "observed median" if middle else "observed 5th and 95th"
        ax.plot(times, seen, color=ink, linewidth=1.4, linestyle="-" if middle else "--", marker="o", markersize=2.5,
                label=label, zorder=3)  # fmt: skip
        hidden = np.isneginf(part["observed"].to_numpy())
        if np.any(hidden):
            ax.scatter(times[hidden], np.full(hidden.sum(), floor), marker="v", s=26, color=WARN, label="< LLOQ",
                       zorder=4)  # fmt: skip
    _limit_lines(ax, points)
    if logarithmic:
        ax.set_yscale("log")
    ax.set_ylabel(plain(f"{output} [{check.units[output]}]"))
    if stratum:
        ax.set_title(plain(stratum), loc="left", fontsize=SMALL)


def _floor(finite: np.ndarray, *, logarithmic: bool) -> float:
    if not len(finite):
        return 0.0
    least = float(finite.min())
    return LOWEST * least if logarithmic else least - 0.05 * (float(finite.max()) - least)


def _limit_lines(ax: Axes, points: pd.DataFrame) -> None:
    for limit in sorted(set(points["lloq"].dropna())):
        ax.axhline(limit, color=MUTED, linewidth=0.8, linestyle=":", label="limit of quantification")


def _fractions(ax: Axes, check: VPC, output: str, stratum: str) -> None:
    rows = _part(check.blq, output, stratum)
    if not len(rows):
        ax.text(0.5, 0.5, "no limit stated", transform=ax.transAxes, ha="center", va="center", color=MUTED, size=SMALL)
    elif len(rows) > 1:
        ax.fill_between(rows["time"], rows["lower"], rows["upper"], color=OUTER, alpha=0.3, linewidth=0)
    else:
        ax.vlines(rows["time"], rows["lower"], rows["upper"], color=OUTER, alpha=0.4, linewidth=8)
    ax.plot(rows["time"], rows["observed"], color=FIT, linewidth=1.4, marker="o", markersize=2.5)
    ax.set_ylim(-0.05, 1.05)
    ax.set_ylabel("share < LLOQ")


def prediction_errors(errors: NPDE, *, marks: Marks | None = None) -> Figure:
    """Draw normalised prediction distribution errors: against time, against the prediction, and their distribution.

    Parameters
    ----------
    errors : NPDE
        From ``msc.npde``.
    marks : Marks, optional
        What the figure must say about its data.

    Returns
    -------
    Figure
    """
    outputs = list(dict.fromkeys(errors.table["output"]))
    figure, axes = sheet(3, len(outputs), width=8.4, height=2.4 * len(outputs))
    for row, name in zip(axes, outputs, strict=True):
        part = errors.table[errors.table["output"] == name]
        for ax, column in zip(row[:2], ("time", "predicted"), strict=True):
            for censored, label, ink in ((False, "observed", DATA), (True, "below or above a limit (drawn, V9)", WARN)):
                some = part[part["censored"] == censored]
                if len(some):
                    ax.scatter(some[column], some["npde"], s=9, color=ink, alpha=0.5, linewidths=0, label=label)
            for level in (-1.96, 0.0, 1.96):
                ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=":" if level else "-")
            ax.set_xlabel(column)
        row[1].set_xscale("log" if part["predicted"].min() > 0 else "linear")
        row[0].set_ylabel(plain(f"{name}: NPDE"))
        _against_normal(row[2], part["npde"].to_numpy())
    foot = " ".join(line + "." for line in str(errors).splitlines()[1:])
    title = "Normalised prediction distribution errors"
    subtitle = "Under the true model they are independent and standard normal: 95 % lie between the dotted lines."
    return finish(figure, title, marks=marks, subtitle=subtitle, foot=foot, legend=legend_of(axes[:, :2]), columns=2)


def _against_normal(ax: Axes, values: np.ndarray) -> None:
    ordered, n = np.sort(values), len(values)
    expected = norm.ppf((np.arange(1, n + 1) - 0.5) / n)
    ends = np.array([min(expected[0], ordered[0]), max(expected[-1], ordered[-1])])
    ax.plot(ends, ends, color=MUTED, linewidth=0.8)
    ax.scatter(expected, ordered, s=9, color=FIT, alpha=0.6, linewidths=0)
    ax.set_xlabel("expected under the model")
    ax.set_ylabel("NPDE in order")
