"""How every figure looks: colours, paper, axes, and the marks that no figure may be without.

Figures are made with the object interface of Matplotlib: no `pyplot`, no window, no change of its settings.
"""

from __future__ import annotations

import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "AXIS",
    "DATA",
    "DPI",
    "FIT",
    "INK",
    "MUTED",
    "PRIOR",
    "SERIES",
    "SMALL",
    "WARN",
    "Legend",
    "Marks",
    "blank_axes",
    "finish",
    "legend_of",
    "plain",
    "save",
    "sheet",
    "wrapped",
]

# Okabe and Ito: told apart by people with any kind of colour vision, and in grey
FIT, PRIOR, WARN = "#0072B2", "#8C8C8C", "#B3261E"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DATA, INK, MUTED, AXIS = "#1A1A1A", "#222222", "#5F5F5F", "#B5B5B5"

QUICK = "QUICK, not a result"
SMALL, NORMAL, LARGE = 8.0, 9.0, 10.0  # points
LINE = 0.165  # inches that a line of text takes
DPI = 160

Legend = dict[str, Any]  # handles by label


@dataclass(frozen=True)
class Marks:
    """What a figure or a page must say about its numbers.

    Attributes
    ----------
    synthetic : bool
        The data are invented.
    quick : bool
        Made with too few draws, on purpose.
    warning : str
        What else stands in front, such as that a fit has not converged; blank if nothing.
    """

    synthetic: bool = False
    quick: bool = False
    warning: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines that stand above everything else, the gravest first."""
        return (*([QUICK] if self.quick else []), *([self.warning] if self.warning else []))


def plain(text: str) -> str:
    """Return text that Matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def wrapped(text: str, width: float, size: float = SMALL) -> str:
    """Break text into lines that fit into `width` inches at `size` points."""
    letters = max(16, int(width * 72 / (0.53 * size)))
    return "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, letters) or [""])


def sheet(
    columns: int = 1, rows: int = 1, *, width: float = 5.2, height: float = 3.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its axes.

    Parameters
    ----------
    columns, rows : int
        Panels.
    width, height : float
        Of the whole figure without titles and notes [inches].
    **options
        As for ``Figure.subplots``.

    Returns
    -------
    figure : Figure
    axes : array of Axes, shape (rows, columns)
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        _quiet(ax)
    return figure, axes


def _quiet(ax: Axes) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(AXIS)
    ax.set_facecolor("white")
    ax.tick_params(which="both", color=AXIS, labelcolor=INK, labelsize=SMALL)
    ax.xaxis.label.set(fontsize=NORMAL, color=INK)
    ax.yaxis.label.set(fontsize=NORMAL, color=INK)
    ax.title.set(fontsize=NORMAL, color=INK)


def blank_axes(ax: Axes) -> None:
    """Take a panel that is not needed out of sight."""
    ax.set_visible(False)


def finish(
    figure: Figure,
    title: str,
    *,
    marks: Marks | None = None,
    subtitle: str = "",
    foot: str = "",
    legend: Legend | None = None,
    columns: int = 2,
) -> Figure:
    """Add title, marks, legend and notes around the panels and make the figure that much taller.

    Parameters
    ----------
    figure : Figure
        With its panels.
    title : str
        What is shown.
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    subtitle : str
        A second, smaller title.
    foot : str
        Notes under the panels.
    legend : mapping of str to artist, optional
        Handles by label; they stand under the panels and never on data.
    columns : int
        Of the legend.
    """
    marks = marks or Marks()
    width, height = figure.get_size_inches()
    room = width - 0.2
    parts = [(wrapped("\n".join(marks.lines), 0.9 * room, NORMAL), NORMAL, WARN, "bold")] if marks.lines else []
    parts.append((wrapped(title, 0.9 * room, LARGE), LARGE, INK, "bold"))
    if subtitle:
        parts.append((wrapped(subtitle, room), SMALL, MUTED, "normal"))
    below = wrapped(foot, room) if foot else ""
    if legend and columns * max(map(len, legend)) * 0.55 * SMALL / 72 > room - 0.45 * columns:
        columns = 1
    keys = 0.06 + 0.19 * -(-len(legend) // columns) if legend else 0.0
    notes = 0.08 + (_inches(below, SMALL) if below else 0.0)
    top, bottom = 0.1 + sum(_inches(text, size) for text, size, _, _ in parts), notes + keys
    total = height + top + bottom
    figure.set_size_inches(width, total)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0.0, bottom / total, 1.0, height / total))
    y = 1 - 0.07 / total
    for text, size, colour, weight in parts:
        figure.text(0.1 / width, y, plain(text), size=size, color=colour, weight=weight, va="top", linespacing=1.25)
        y -= _inches(text, size) / total
    if legend:
        corner = (0.02 / width, (notes - 0.03) / total)
        figure.legend(
            list(legend.values()),
            list(legend),
            loc="lower left",
            bbox_to_anchor=corner,
            ncols=columns,
            frameon=False,
            fontsize=SMALL,
            handlelength=1.8,
            columnspacing=1.4,
            labelspacing=0.35,
        ).set_in_layout(False)
    if below:
        figure.text(0.1 / width, 0.06 / total, plain(below), size=SMALL, color=MUTED, va="bottom", linespacing=1.25)
    if marks.synthetic:
        _watermark(figure, width)
    return figure


def legend_of(axes: np.ndarray) -> Legend:
    """Legend entries of several panels, each label once."""
    found: Legend = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def _inches(text: str, size: float) -> float:
    return (text.count("\n") + 1) * LINE * size / SMALL + 0.05


def _watermark(figure: Figure, width: float) -> None:
    figure.text(
        0.5, 0.5, "SYNTHETIC", size=9.5 * width, color=WARN, alpha=0.11, weight="bold", rotation=24, ha="center",
        va="center", zorder=10,
    )  # fmt: skip


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the same figure gives the same bytes."""
    with warnings.catch_warnings():
        # names of patients may be in any script; a box for a letter is better than a warning
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
    return path
