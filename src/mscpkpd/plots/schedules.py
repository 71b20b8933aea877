"""Dosing schedules side by side: what is predicted over time, and the exposures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from mscpkpd.plots.style import MUTED, SERIES, SMALL, Marks, finish, plain, sheet, wrapped
from mscpkpd.rounding import number, time_scale

__all__ = ["PRIOR_ONLY", "exposure_comparison", "prediction_title", "schedules_side_by_side"]

PRIOR_ONLY = "prior only"
WIDE_RANGE = 30.0
FLOOR = 1e-6  # of the highest median: what is lower is nothing
METRICS = {"auc": "AUC", "peak": "peak", "time_of_peak": "time of the peak", "time_above": "time above"}


def prediction_title(sims: xr.Dataset, output: str) -> str:
    """Title of a prediction; it says "prior only" where the data did not inform what it rests on."""
    attrs = sims[output].attrs
    about = str(attrs.get("long_name") or output)
    if attrs.get("prior_only"):
        return f"{about} ({PRIOR_ONLY})"
    return f"{about} (in part near the prior)" if attrs.get("little_learned") else about


def _origin(sims: xr.Dataset, output: str) -> str:
    attrs = sims[output].attrs
    parts = []
    if attrs.get("prior_only"):
        parts.append(f"Prior only: the data said nothing about {attrs['prior_only']}.")
    if attrs.get("little_learned"):
        parts.append(f"Little learned, so near the prior: {attrs['little_learned']}.")
    return " ".join(parts)


def schedules_side_by_side(
    sims: xr.Dataset, output: str, *, marks: Marks | None = None, remarks: Mapping[str, str] | None = None
) -> Figure:
    """Show one output under every schedule.

    Parameters
    ----------
    sims : xarray.Dataset
        Made by `simulate`.
    output : str
        An output or state in it.
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    remarks : mapping of str to str, optional
        What to say under the name of a schedule, such as "schedule recalled".

    Returns
    -------
    matplotlib.figure.Figure
        Median with bands of 50 and 95 % of subjects and draws, one panel a schedule.
    """
    names = [str(name) for name in sims["schedule"].to_numpy()]
    columns = min(len(names), 3)
    rows = int(np.ceil(len(names) / columns))
    figure, axes = sheet(columns, rows, width=2.35 * columns + 0.6, height=2.5 * rows + 0.3, sharex=True, sharey=True)
    factor, unit = time_scale(str(sims["time"].attrs.get("units", "")), float(sims["time"].max()))
    time = sims["time"].to_numpy() * factor
    remarks = remarks or {}
    lines = max((wrapped(text, 2.1, 7).count("\n") + 1 for text in remarks.values() if text), default=0)
    values = sims[output].to_numpy()
    quantiles = [_quantiles(values[k]) for k in range(len(names))]
    for k, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        _bands(ax, time, quantiles[k], SERIES[k % len(SERIES)])
        ax.set_title(plain(name), fontsize=SMALL + 1, weight="bold", pad=5 + 9 * lines)
        said = wrapped(remarks.get(name, ""), 2.1, 7)
        ax.text(0.5, 1.02, plain(said), transform=ax.transAxes, ha="center", fontsize=7, color=MUTED)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(f"time [{unit}]")
    for ax in axes[:, 0]:
        ax.set_ylabel(plain(_label(output, sims[output].attrs.get("units", ""))))
    _limit(axes, np.array(quantiles))
    foot = "Line: median; dark band: 50 %, pale band: 95 % of subjects and draws."
    subtitle = " ".join(part for part in (_origin(sims, output),) if part)
    return finish(figure, prediction_title(sims, output), marks=marks, subtitle=subtitle, foot=foot)


def _label(output: str, unit: object) -> str:
    return output if unit in ("", "1") else f"{output} [{unit}]"


def _quantiles(values: np.ndarray) -> np.ndarray:
    """2.5, 25, 50, 75 and 97.5 % over subjects and draws that could be solved, shape (5, n_times)."""
    paths = values.reshape(-1, values.shape[-1])
    good = paths[np.all(np.isfinite(paths), axis=1)]
    if len(good) == 0:
        return np.full((5, values.shape[-1]), np.nan)
    return np.asarray(np.percentile(good, [2.5, 25, 50, 75, 97.5], axis=0))


def _bands(ax: Axes, time: np.ndarray, quantiles: np.ndarray, colour: str) -> None:
    ax.fill_between(time, quantiles[0], quantiles[4], color=colour, alpha=0.18, lw=0)
    ax.fill_between(time, quantiles[1], quantiles[3], color=colour, alpha=0.38, lw=0)
    ax.plot(time, quantiles[2], color=colour, lw=1.3)
    ax.grid(axis="y", color="#ECECEC", lw=0.7)
    ax.set_axisbelow(True)


def _limit(axes: np.ndarray, quantiles: np.ndarray) -> None:
    """Log axis for what spans orders of magnitude, cut where there is nothing left to see."""
    first = axes.flat[0]
    finite = quantiles[np.isfinite(quantiles) & (quantiles > 0)]
    if len(finite) == 0:
        return
    top, low = float(finite.max()), float(finite.min())
    if top / low > WIDE_RANGE:
        median = quantiles[:, 2][np.isfinite(quantiles[:, 2])]
        first.set_yscale("log")
        first.set_ylim(max(low / 1.5, float(median.max()) * FLOOR), top * 1.6)
        first.yaxis.set_minor_formatter(NullFormatter())
    else:
        first.set_ylim(0, top * 1.06)


def exposure_comparison(table: pd.DataFrame, output: str, *, title: str = "", marks: Marks | None = None) -> Figure:
    """Compare the exposure to one output between schedules.

    Parameters
    ----------
    table : pandas.DataFrame
        Made by `exposure`.
    output : str
        What it is about.
    title : str
        Title of the figure; the name of the output by default.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        Median and central 95 % of each metric, one panel each.
    """
    metrics = [name for name in METRICS if name in set(table["metric"]) and name != "time_of_peak"]
    names = list(dict.fromkeys(str(name) for name in table["schedule"]))
    figure, axes = sheet(len(metrics), width=2.6 * len(metrics) + 1.0, height=0.75 + 0.3 * len(names), sharey=True)
    places = np.arange(len(names))[::-1]
    for ax, metric in zip(axes.flat, metrics, strict=True):
        part = table[table["metric"] == metric].set_index("schedule").loc[names]
        median, lower, upper = (part[column].to_numpy(dtype=float) for column in ("median", "lower", "upper"))
        for k, y in enumerate(places):
            colour = SERIES[k % len(SERIES)]
            ax.plot([lower[k], upper[k]], [y, y], color=colour, lw=2.2, solid_capstyle="round", alpha=0.6)
            ax.plot(median[k], y, "o", color=colour, ms=6)
            ax.annotate(number(median[k]), (median[k], y), xytext=(0, 6), textcoords="offset points", ha="center",
                        fontsize=7, color=MUTED)  # fmt: skip
        if np.all(lower > 0) and np.nanmax(upper) / np.nanmin(lower) > WIDE_RANGE:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            ax.xaxis.set_minor_formatter(NullFormatter())  # labels of every minor tick would overlap
        else:
            top = float(np.nanmax(upper, initial=0.0)) or 1.0
            ax.set_xlim(-0.04 * top, 1.06 * top)
            ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x, 2)))
        ax.set_ylim(-0.5, len(names) - 0.2)
        ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL + 0.5)
        ax.set_xlabel(plain(f"{METRICS[metric]} [{str(part['unit'].iloc[0]).replace('*', ' ')}]"))
        ax.grid(axis="x", color="#ECECEC", lw=0.7)
        ax.set_axisbelow(True)
    foot = "Point: median; line: central 95 % of subjects and draws."
    return finish(figure, title or output, marks=marks, subtitle="Exposure by schedule", foot=foot)
