"""Scored patients: probability of response with its uncertainty, and what must stand beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mscpkpd.plots.style import AXIS, FIT, INK, MUTED, SERIES, SMALL, Marks, finish, legend_of, plain, sheet
from mscpkpd.responder.banner import BANNER

__all__ = ["scored_patients"]

DOMINATED = 0.5
MOST_PATIENTS = 60


def scored_patients(scores: pd.DataFrame, *, marks: Marks | None = None, banner: str = BANNER) -> Figure:
    """Show the scores of patients, highest first.

    Parameters
    ----------
    scores : pandas.DataFrame
        Made by ``Scorer.score``.
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    banner : str
        What every score must say about itself; it stands on the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Mean, 50 and 95 % intervals, the mean without the cohort, and the share of the prior. At most 60 patients.
    """
    table = scores.sort_values("p_response", ascending=False, kind="stable").head(MOST_PATIENTS)
    figure, axes = sheet(width=6.2, height=0.75 + 0.25 * len(table))
    ax = axes[0, 0]
    places = np.arange(len(table))[::-1]
    colours = [SERIES[4] if share > DOMINATED else FIT for share in table["prior_share"]]
    ax.hlines(places, table["lower"], table["upper"], color=colours, lw=1.6, alpha=0.65)
    ax.hlines(places, table["lower_50"], table["upper_50"], color=colours, lw=4.6, alpha=0.65)
    ax.plot(table["p_prior_only"], places, "D", ms=4.6, mfc="white", mec=MUTED, mew=1.1, label="prior only, no cohort")
    ax.scatter(table["p_response"], places, s=34, c=colours, edgecolors="white", linewidths=0.6, zorder=4)
    for y, share in zip(places, table["prior_share"], strict=True):
        ax.text(1.12, y, f"{100 * share:.0f} %", fontsize=SMALL, color=INK, ha="right", va="center")
    ax.text(1.12, len(table) - 0.35, "prior share", fontsize=7, color=MUTED, ha="right", va="bottom")
    ax.axvline(1.0, color=AXIS, lw=0.8)
    ax.set_xlim(0, 1.14)
    ax.set_ylim(-0.7, len(table) - 0.2)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.set_yticks(places, [plain(str(name)) for name in table["patient"]], fontsize=SMALL)
    ax.set_xlabel("P(response) by day 28, estimate under MSC")
    ax.grid(axis="x", color="#ECECEC", lw=0.7)
    ax.set_axisbelow(True)
    ax.plot([], [], "o-", color=FIT, ms=5, lw=3, label="with the cohort: mean, 50 and 95 %")
    ax.plot([], [], "o-", color=SERIES[4], ms=5, lw=3, label=f"the same, prior share above {100 * DOMINATED:.0f} %")
    left = len(scores) - len(table)
    more = f" {left} more patients are in the table." if left else ""
    return finish(
        figure, "Scored patients", marks=marks, subtitle=banner, foot=f"Sorted by P(response).{more}",
        legend=legend_of(axes),
    )  # fmt: skip
