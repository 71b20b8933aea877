"""Profile likelihoods: what the data say about one parameter when all others may follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.errors import UsageError
from mscpkpd.fitting.profiling import Profile
from mscpkpd.plots.style import (
    AXIS,
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
from mscpkpd.rounding import number, unit_text

__all__ = ["likelihood_profile"]

ACROSS, WIDE, HIGH = 3, 2.7, 2.3
TOP = 2.2  # of the deviance shown, in limits


def likelihood_profile(profiles: Profile | Sequence[Profile], *, marks: Marks | None = None) -> Figure:
    """Draw the deviance along each parameter, with its interval and the parabola of the curvature.

    Parameters
    ----------
    profiles : Profile or sequence of Profile
        From ``msc.profile``.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UsageError
        Without a profile.
    """
    shown = [profiles] if isinstance(profiles, Profile) else list(profiles)
    if not shown:
        raise UsageError("no profile to draw", hint="msc.profile(fit, 'k_L')")
    across = min(ACROSS, len(shown))
    deep = -(-len(shown) // across)
    figure, axes = sheet(across, deep, width=max(3.6, WIDE * across), height=HIGH * deep)
    for ax in axes.flat[len(shown) :]:
        blank_axes(ax)
    for ax, each in zip(axes.flat, shown, strict=False):
        _panel(ax, each)
    for ax in axes[:, 0]:
        ax.set_ylabel("deviance")
    open_ones = [each.parameter for each in shown if not each.closed]
    foot = f"Not bounded by the data on both sides: {', '.join(open_ones)}." if open_ones else ""
    marks = marks or Marks(synthetic=any(each.synthetic for each in shown))
    subtitle = f"Interval: below the line, at {shown[0].level:.0%}; dashed: what the curvature at the optimum says."
    return finish(
        figure, "Profile likelihood", marks=marks, subtitle=subtitle, legend=legend_of(axes), columns=2, foot=foot
    )


def _panel(ax: Axes, each: Profile) -> None:
    table, top = each.table, TOP * each.limit
    positive = bool((table["value"] > 0).all())
    ax.plot(table["value"], table["deviance"], color=FIT, marker="o", markersize=2.5, linewidth=1.2, label="profile")
    ends = np.array(each.asymptotic)
    low, high = np.log(ends) if positive else ends
    grid = np.linspace(float(low), float(high), 60)
    middle = np.log(each.estimate) if positive else each.estimate
    parabola = each.limit * ((grid - middle) / (0.5 * (grid[-1] - grid[0]))) ** 2
    ax.plot(
        np.exp(grid) if positive else grid,
        parabola,
        color=MUTED,
        linestyle="--",
        linewidth=0.9,
        label="curvature alone",
    )
    ax.axhline(each.limit, color=AXIS, linewidth=0.9)
    ax.axvline(each.estimate, color=SERIES[1], linewidth=0.9, label="optimum")
    for end in (each.lower, each.upper):
        if np.isfinite(end) and table["value"].min() <= end <= table["value"].max():
            ax.axvline(end, color=FIT, linewidth=0.7, linestyle=":")
    if positive and table["value"].max() > 3 * table["value"].min():
        ax.set_xscale("log")
    ax.set_ylim(0, top)
    unit = unit_text(each.unit)
    ax.set_xlabel(plain(f"{each.parameter} [{unit}]" if unit else each.parameter))
    ax.set_title(
        plain(f"{number(each.lower)} to {number(each.upper)}"), loc="left", fontsize=SMALL,
        color="black" if each.closed else WARN,
    )  # fmt: skip
