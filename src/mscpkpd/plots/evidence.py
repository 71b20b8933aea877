"""Facts that are no curve, such as half-lives, ratios and counts, beside what priors or a fit predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.data import Record
from mscpkpd.fitting.result import Fit
from mscpkpd.plots.observations import observed_rows
from mscpkpd.plots.style import DATA, FIT, MUTED, PRIOR, SERIES, SMALL, Marks, finish, legend_of, plain, sheet
from mscpkpd.rounding import number

__all__ = ["estimates_and_truth", "facts_and_fit", "facts_and_priors"]

COUNTED = ("positive", "alive")  # of n animals
PARTS = ("share", "recovery")  # fractions
FROM_ZERO = 30.0  # largest over smallest number from which an axis is logarithmic
ENDS = (
    "lower",
    "predicted",
    "upper",
    "lower_new",
    "upper_new",
    "observed",
    "low",
    "high",
    "lower_limit",
    "upper_limit",
)
MOST_FACTS = 60  # in one figure


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


def facts_and_fit(fit: Fit, *, marks: Marks | None = None, individuals: bool = True) -> Figure | None:
    """Show every observation that is no value at a time beside what the fit predicts for it.

    Parameters
    ----------
    fit : Fit
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    individuals : bool
        Whether rows of single subjects are shown; means and counts of animals always are.

    Returns
    -------
    matplotlib.figure.Figure or None
        One panel for each kind of number, with 95 % bands of the prediction and of new observations; None where the
        study has no such rows.
    """
    table = _facts_of(fit)
    if not individuals:
        table = table[~table["single"]]
    table = table[np.isfinite(table["predicted"])]
    left, table = max(len(table) - MOST_FACTS, 0), table.head(MOST_FACTS)
    if not len(table):
        return None
    parts = [part for _, part in table.groupby("axis", sort=False)]
    heights = [len(part) + 0.8 for part in parts]
    figure, axes = sheet(
        1, len(parts), width=6.8, height=0.24 * sum(heights) + 0.5 * len(parts) + 0.3, height_ratios=heights
    )
    for ax, part in zip(axes[:, 0], parts, strict=True):
        _beside(ax, part)
        ax.set_xlabel(plain(str(part["axis"].iloc[0])))
    foot = f"{left} more are in predictions.csv." if left else ""
    return finish(
        figure, "Facts that are no curve, beside the fit", marks=marks, foot=foot, legend=legend_of(axes), columns=2
    )


def _facts_of(fit: Fit) -> pd.DataFrame:
    """Rows of quantities with a label each, on the axes on which they are read."""
    table = observed_rows(fit)
    records = list(fit.study.records)
    table["label"] = [_label(record) for record in records]
    quantity = np.array([record.quantity for record in records])
    counted = np.isin(table["kind"], COUNTED)
    factor = np.where(counted, 100.0 / table["n"].to_numpy(float), np.where(np.isin(quantity, PARTS), 100.0, 1.0))
    table[list(ENDS)] = table[list(ENDS)].to_numpy(float) * factor[:, None]
    units = [fit.model.output(str(name)).unit for name in table["output"]]
    table["axis"] = [_axis(word, unit) for word, unit in zip(quantity, units, strict=True)]
    table["single"] &= ~(counted & (table["n"] > 1))
    found: pd.DataFrame = table[quantity != ""]
    return found


def _label(record: Record) -> str:
    word = record.quantity.replace("_", " ").replace("half life", "half-life")
    when = f"{number(record.time)} to {number(record.time_to)} h" if record.time_to else f"{number(record.time)} h"
    match record.quantity:
        case "alive" | "recovery":
            what = word
        case "positive" | "present":
            what = f"{record.output} {word}"
        case "ratio":
            what = f"ratio of {record.output} to {record.versus or record.versus_subject}"
        case _:
            what = f"{word} of {record.output}"
    return f"{record.subject}: {what}, {when}"


def _axis(quantity: str, unit: str) -> str:
    if quantity in ("positive", "present", "alive"):
        return "animals [%]"
    if quantity in PARTS:
        return "share [%]"
    if quantity in ("half_life", "peak_time"):
        return f"time [{unit}]"
    return "ratio" if unit == "1" else f"{quantity.replace('_', ' ')} [{unit}]"


def _beside(ax: Axes, part: pd.DataFrame) -> None:
    places = np.arange(len(part))[::-1]
    known = {name: part[name].to_numpy(float) for name in ENDS}
    line: dict[str, Any] = {"capstyle": "butt"}
    ax.hlines(places, known["lower_new"], known["upper_new"], color=FIT, alpha=0.22, lw=7, label="95 % of new "
              "observations", **line)  # fmt: skip
    ax.hlines(places, known["lower"], known["upper"], color=FIT, lw=2.6, label="95 % band of the fit", **line)
    ax.plot(known["predicted"], places, "|", color=FIT, ms=7, mew=1.6, label="prediction")
    kind = part["kind"].to_numpy()
    for mine, column, marker, label in (
        (~np.isin(kind, ("left", "right", "interval")), "observed", "o", "observed, with SD where stated"),
        (kind == "left", "upper_limit", "<", "below this"),
        (kind == "right", "lower_limit", ">", "above this"),
    ):
        if np.any(mine):
            ax.plot(known[column][mine], places[mine], marker, color=DATA, ms=4.8, label=label, zorder=4)
    spread = np.isfinite(known["low"]) & np.isfinite(known["high"])
    ax.hlines(places[spread], known["low"][spread], known["high"][spread], color=DATA, lw=1.0, zorder=3)
    between = kind == "interval"
    if np.any(between):
        ends = known["lower_limit"][between], known["upper_limit"][between]
        ax.hlines(places[between], *ends, color=DATA, lw=2, label="between two limits", zorder=4)
    ax.set_yticks(places, [plain(label) for label in part["label"]], fontsize=SMALL)
    ax.set_ylim(-0.7, len(part) - 0.3)
    ax.grid(axis="x", color="#ECECEC", lw=0.7)
    ax.set_axisbelow(True)
    percent = str(part["axis"].iloc[0]).endswith("[%]")
    if percent:
        ax.set_xlim(-2, max(102.0, 1.05 * float(np.nanmax([known["observed"], known["upper_new"]]))))
    seen = np.concatenate([known[name] for name in ("lower_new", "upper_new", "observed")])
    seen = seen[np.isfinite(seen)]
    if not percent and len(seen) and seen.min() > 0 and seen.max() / seen.min() > FROM_ZERO:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
