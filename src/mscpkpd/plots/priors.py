"""What the priors predict, beside the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.plots.style import DATA, MUTED, PRIOR, WARN, Marks, blank_axes, finish, legend_of, plain, sheet, wrapped
from mscpkpd.predictive.priors import RARE, PriorPredictive
from mscpkpd.rounding import unit_text

__all__ = ["prior_check"]

ACROSS, WIDE, HIGH = 2, 3.4, 2.6
DECADES = 30.0  # largest over smallest value from which a logarithmic axis is used


def prior_check(found: PriorPredictive, *, marks: Marks | None = None) -> Figure:
    """Draw the observations of each output on the band of what the priors predict for them.

    Parameters
    ----------
    found : PriorPredictive
        From ``msc.prior_predictive``.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each output, one position for each row in the order of time; surprising rows stand out.
    """
    names = list(dict.fromkeys(found.table["output"]))
    across = min(ACROSS, len(names))
    deep = -(-len(names) // across)
    figure, axes = sheet(across, deep, width=max(5.2, WIDE * across), height=HIGH * deep)
    for ax in axes.flat[len(names) :]:
        blank_axes(ax)
    for ax, name in zip(axes.flat, names, strict=False):
        _panel(ax, found, name)
    foot = " ".join([found.verdict, *(f"{each.sentence}." for each in found.conflicts)])
    return finish(
        figure, "What the priors predict", marks=marks or Marks(synthetic=found.synthetic), legend=legend_of(axes),
        subtitle=f"{found.model}, {found.study}: 95 % of new observations under {found.draws} draws of the priors.",
        columns=2, foot=wrapped(foot, 6.0),
    )  # fmt: skip


def _panel(ax: Axes, found: PriorPredictive, name: str) -> None:
    table = found.table[found.table["output"] == name].sort_values("time", kind="stable")
    place = np.arange(len(table))
    bounds = table[["lower_new", "upper_new"]].to_numpy(float)
    ax.vlines(place, bounds[:, 0], bounds[:, 1], color=PRIOR, alpha=0.5, linewidth=4, label="95 % under the priors")
    ax.plot(place, table["predicted"], "_", color=MUTED, label="median prediction")
    shown = _shown(table)
    rare = table["probability"].to_numpy() < RARE
    for mine, colour, label in ((~rare, DATA, "observed, or its limit"), (rare, WARN, "surprising")):
        if np.any(mine):
            ax.plot(place[mine], shown[mine], "o", markersize=3, color=colour, label=label)
    positive = np.concatenate([shown, bounds[:, 1]])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    if len(positive) and positive.max() > DECADES * positive.min():
        ax.set_yscale("log")
    ticks = place[:: max(1, len(place) // 6)]
    ax.set_xticks(ticks, [f"{time:g}" for time in table["time"].to_numpy()[ticks]])
    ax.set_xlabel(plain(f"row, at time [{found.time}]"))
    unit = unit_text(found.units[name])
    ax.set_ylabel(plain(f"{name} [{unit}]" if unit else name))


def _shown(table: pd.DataFrame) -> np.ndarray:
    value = table["observed"].to_numpy(float)
    limit = table["upper_limit"].fillna(table["lower_limit"]).to_numpy(float)
    return np.where(np.isfinite(value), value, limit)
