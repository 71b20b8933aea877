"""What a design can tell: expected standard errors, and the parameters whose effects look alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.identifiability.report import Identifiability
from mscpkpd.plots.style import AXIS, FIT, MUTED, PRIOR, SMALL, WARN, Legend, Marks, finish, plain, sheet
from mscpkpd.rounding import decimals

__all__ = ["identifiability"]

PRECISE = 0.5  # the limit of the report
RANGE = (0.003, 30.0)  # relative standard errors that are drawn; beyond stands an arrow
ALIKE = 0.8  # pairs less alike than this are no reason to appear in the map
MOST = 10  # parameters in the map
BOLD, DARK = 0.95, 0.6  # cosines: the limit of the report for pairs; where the background needs white letters


def identifiability(report: Identifiability, *, marks: Marks | None = None) -> Figure:
    """Show how precisely a design would tell each parameter, and which of them look alike to it.

    Parameters
    ----------
    report : Identifiability
        From ``model.identifiability(design)``.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        Relative standard errors, the most precise first, and, where there are such, the cosines between the effects
        of the parameters that are hardest to separate.
    """
    table = report.table[report.table["influence"] > 0].copy()
    key = table["without_prior"].where(np.isfinite(table["without_prior"]), 1e3 + table["with_prior"].clip(upper=1e3))
    table = table.loc[key.sort_values(kind="stable").index]
    weakest = _weakest(report)
    height = 0.9 + 0.2 * max(len(table), len(weakest))
    if weakest:
        options = {"gridspec_kw": {"width_ratios": [1.15, 1.0]}}
        figure, axes = sheet(2, 1, width=7.6, height=max(height, 3.2), **options)
        _map(axes[0, 1], report.alignment.loc[weakest, weakest])
    else:
        figure, axes = sheet(1, 1, width=5.2, height=height)
    legend = _errors(axes[0, 0], table)
    foot = ""
    for exact, words in ((True, "Only together"), (False, "Nearly only together")):
        formulas = [formula for group in report.groups if group.exact is exact for formula in group.formulas]
        foot += f"{words}: {'; '.join(formulas)}. " if formulas else ""
    if report.without_influence:
        foot += f"Without influence, not drawn: {', '.join(report.without_influence)}. "
    if not np.all(np.isfinite(table["without_prior"])):
        foot += "An arrow: the data alone do not determine it. "
    if weakest:
        foot += "Right: 1 is the same effect on all observations, −1 the opposite one; only the most alike are shown."
    return finish(
        figure, f"What can be learned about {report.model}", marks=marks, subtitle=f"From {report.design}",
        legend=legend, columns=3, foot=foot,
    )  # fmt: skip


def _errors(ax: Axes, table: pd.DataFrame) -> Legend:
    """Dots of the standard errors over the SD of the prior; an arrow where there is none within the range."""
    places = np.arange(len(table))[::-1]
    low, high = RANGE
    ax.set_xscale("log")
    ax.set_xlim(low, high * 1.6)
    ax.set_ylim(-0.7, len(table) - 0.3)
    ax.axvspan(low, PRECISE, color=FIT, alpha=0.06, lw=0)
    prior = table["prior"].to_numpy(float)
    legend: Legend = {}
    for y, sd in zip(places, prior, strict=True):
        if np.isfinite(sd):
            ticks = ax.plot([sd, sd], [y - 0.36, y + 0.36], color=PRIOR, lw=2.2, solid_capstyle="butt")
            legend["prior"] = ticks[0]
    for column, colour, marker, label in (
        ("with_prior", FIT, "o", "with prior"),
        ("without_prior", "none", "D", "data alone, all others unknown"),
    ):
        errors = table[column].to_numpy(float)
        edge = WARN if colour == "none" else colour
        inside = np.isfinite(errors) & (errors <= high)
        drawn = np.clip(errors[inside], low, None)
        legend[label] = ax.scatter(
            drawn, places[inside], s=17, facecolor=colour, edgecolor=edge, marker=marker, zorder=3
        )
        if column == "without_prior":
            ax.scatter(np.full(np.sum(~inside), high * 1.15), places[~inside], s=15, color=WARN, marker=">", lw=0)
    ax.set_yticks(places, [plain(str(name)) for name in table.index], fontsize=SMALL)
    ax.set_xticks([0.01, 0.1, 0.5, 2, 10], ["1 %", "10 %", "50 %", "200 %", "1000 %"])
    ax.minorticks_off()
    ax.grid(axis="y", color=AXIS, lw=0.3)
    ax.set_axisbelow(True)
    ax.set_xlabel("relative standard error")
    return legend


def _map(ax: Axes, cosines: pd.DataFrame) -> None:
    n = len(cosines)
    below = np.where(np.tri(n, k=-1, dtype=bool), cosines.to_numpy(float), np.nan)[1:, :-1]
    ax.imshow(below, cmap="RdBu", vmin=-1.4, vmax=1.4)
    for (i, j), value in np.ndenumerate(below):
        if np.isfinite(value):
            text = decimals(value) if abs(value) < 0.995 else "1" if value > 0 else "−1"
            ax.text(
                j, i, text, ha="center", va="center", fontsize=SMALL - 1.5,
                weight="bold" if abs(value) >= BOLD else "normal", color="white" if abs(value) >= DARK else MUTED,
            )  # fmt: skip
    names = [plain(str(name)) for name in cosines.index]
    ax.set_yticks(range(n - 1), names[1:], fontsize=SMALL)
    ax.set_xticks(range(n - 1), names[:-1], fontsize=SMALL, rotation=90)
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_title("effects that look alike", fontsize=SMALL, color=MUTED, loc="right")


def _weakest(report: Identifiability) -> list[str]:
    """Parameters of the pairs that are most alike, in the order of the model."""
    seen = [name for name in report.alignment.index if report.table.loc[name, "alone"] <= 1.0]
    cosines = np.abs(report.alignment.loc[seen, seen].to_numpy(float))
    pairs = np.argwhere(np.triu(cosines >= ALIKE, k=1))
    chosen: list[str] = []
    for i, j in sorted(pairs.tolist(), key=lambda pair: -cosines[pair[0], pair[1]]):
        new = [seen[k] for k in (i, j) if seen[k] not in chosen]
        if len(chosen) + len(new) <= MOST:
            chosen += new
    return [name for name in seen if name in chosen]
