"""Published facts beside what the priors alone predict."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.plots.style import DATA, FIT, MUTED, PRIOR, SERIES, SMALL, Marks, finish, legend_of, plain, sheet

__all__ = ["estimates_and_truth", "facts_and_priors"]


def facts_and_priors(table: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show published numbers beside prior predictions.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns label, unit, lower, lower_50, median, upper_50, upper (of the prediction, in `unit`), observed, sd,
        bound ("", "<"), informed (whether the fact was used to write a prior) and recalled (bool).
    marks : Marks
        QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for each unit.
    """
    units = list(dict.fromkeys(table["unit"]))
    parts = [table[table["unit"] == unit] for unit in units]
    heights = [len(part) + 0.6 for part in parts]
    figure, axes = sheet(
        1, len(parts), width=6.6, height=0.36 * sum(heights) + 0.55 * len(parts) + 0.35, height_ratios=heights
    )
    for ax, unit, part in zip(axes[:, 0], units, parts, strict=True):
        _facts(ax, part)
        ax.set_xlabel(plain(unit))
        ax.set_xlim(left=0)
    foot = "Means and bounds of single studies: they cannot test the model alone."
    return finish(
        figure, "Preclinical facts beside the prior predictions of the rat and mouse models (prior only)", marks=marks,
        foot=foot, legend=legend_of(axes), columns=1,
    )  # fmt: skip


def _facts(ax: Axes, part: pd.DataFrame) -> None:
    places = np.arange(len(part))[::-1]
    colours = [PRIOR if informed else FIT for informed in part["informed"]]
    ax.hlines(places, part["lower"], part["upper"], color=colours, lw=2.0, alpha=0.7)
    ax.hlines(places, part["lower_50"], part["upper_50"], color=colours, lw=6.5, alpha=0.5)
    for y, (_, row) in zip(places, part.iterrows(), strict=True):
        if not np.isfinite(row["observed"]):
            continue
        marker = "<" if row["bound"] == "<" else "o"
        hollow = bool(row["recalled"])
        xerr = row["sd"] if np.isfinite(row["sd"]) else None
        ax.errorbar(
            row["observed"], y, xerr=xerr, fmt=marker, ms=6, color=SERIES[1] if hollow else DATA,
            mfc="white" if hollow else DATA, capsize=3, elinewidth=1.1, zorder=4,
        )  # fmt: skip
    ax.set_yticks(places, [plain(str(label)) for label in part["label"]], fontsize=SMALL)
    ax.set_ylim(-0.6, len(part) - 0.4)
    ax.grid(axis="x", color="#ECECEC", lw=0.7)
    ax.set_axisbelow(True)
    ax.plot([], [], color=FIT, lw=4, alpha=0.6, label="prior prediction, 50 and 95 %")
    ax.plot([], [], color=PRIOR, lw=4, alpha=0.6, label="the same, fact informed a prior: not independent")
    ax.plot([], [], "o", color=DATA, ms=6, label="published, with SD where known")
    if part["recalled"].any():
        ax.plot([], [], "o", mec=SERIES[1], mfc="white", ms=6, ls="", label="published, from memory (recalled)")
    if (part["bound"] == "<").any():
        ax.plot([], [], "<", color=DATA, ms=6, ls="", label="published: below this")


def estimates_and_truth(table: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show estimates from invented data against the values that the data were made with.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns parameter, estimate, lower, upper, truth; all in the unit of the parameter.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        Estimate over truth with its interval.
    """
    figure, axes = sheet(width=5.2, height=0.7 + 0.27 * len(table))
    ax = axes[0, 0]
    places = np.arange(len(table))[::-1]
    ratio = {name: (table[name] / table["truth"]).to_numpy(dtype=float) for name in ("lower", "estimate", "upper")}
    held = (table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])
    colours = [FIT if inside else SERIES[1] for inside in held]
    ax.axvline(1.0, color=MUTED, lw=1, ls=":")
    ax.hlines(places, ratio["lower"], ratio["upper"], color=colours, lw=2)
    ax.scatter(ratio["estimate"], places, s=30, c=colours, zorder=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:g}")
    ax.tick_params(axis="x", which="minor", labelsize=7)
    ax.set_yticks(places, [plain(str(name)) for name in table["parameter"]], fontsize=SMALL)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel("estimate / value that the data were made with")
    missed = int((~held).sum())
    foot = f"95 % intervals; {missed} of {len(table)} miss the value (orange)." if missed else "95 % intervals."
    return finish(figure, "Estimates against the known values", marks=marks, foot=foot)
