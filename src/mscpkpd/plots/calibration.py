"""Ranks of truths within the band that holds all of them if the posterior is right."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mscpkpd.calibration import Calibration
from mscpkpd.calibration.ranks import LEVEL, band
from mscpkpd.plots.style import FIT, MUTED, SERIES, SMALL, WARN, Marks, blank_axes, finish, plain, sheet

__all__ = ["rank_plots"]

COLUMNS, WIDE, HIGH = 4, 2.3, 1.9


def rank_plots(found: Calibration) -> Figure:
    """Draw the cumulative share of ranks minus what is expected, a panel for each quantity.

    Parameters
    ----------
    found : Calibration
        From ``msc.calibrate``; all its data are SYNTHETIC, and the figure says so.

    Returns
    -------
    Figure
    """
    names, total = list(found.table["quantity"]), len(found.table)
    columns = min(COLUMNS, max(1, total))
    rows = max(1, -(-total // columns))
    figure, axes = sheet(columns, rows, width=max(5.2, WIDE * columns), height=HIGH * rows, sharey=True)
    shares = np.arange(1, found.draws + 1) / (found.draws + 1)
    for ax in axes.flat[total:]:
        blank_axes(ax)
    for ax, name in zip(axes.flat, names, strict=False):
        ranks = found.ranks.loc[found.ranks["quantity"] == name, "rank"].to_numpy(dtype=int)
        lower, upper = band(len(ranks), found.draws, total)
        reached = np.cumsum(np.bincount(ranks, minlength=found.draws + 1))[:-1] / len(ranks)
        even = bool(found.table.loc[found.table["quantity"] == name, "even"].iloc[0])
        ax.fill_between(shares, lower - shares, upper - shares, color=SERIES[5], alpha=0.3, linewidth=0, step="mid")
        ax.axhline(0.0, color=MUTED, linewidth=0.8)
        ax.step(shares, reached - shares, where="mid", color=FIT if even else WARN, linewidth=1.2)
        ax.set_title(plain(name) + ("" if even else ": uneven"), loc="left", fontsize=SMALL)
        ax.set_xlabel("rank")
    for ax in axes[:, 0]:
        ax.set_ylabel("share - expected")
    subtitle = (
        f"Band: holds the lines of all {total} quantities with {LEVEL:.0%} probability if the posteriors are right."
    )
    title = "Simulation-based calibration"
    return finish(figure, title, marks=Marks(synthetic=True), subtitle=subtitle, foot=found.verdict)
