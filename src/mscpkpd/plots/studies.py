"""The raw data of a study: each value as it was observed, by subject and output."""

from __future__ import annotations

import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.data import Record, Study
from mscpkpd.errors import UsageError
from mscpkpd.plots.style import AXIS, MUTED, SERIES, SMALL, Marks, finish, legend_of, plain, sheet

__all__ = ["raw_data"]

MOST_SUBJECTS, ACROSS, MOST_PANELS = 12, 3, 24
MARKERS = ("o", "s", "D")  # once colours repeat; triangles are censored values
Look = tuple[str, str]  # colour and marker of a line


def raw_data(study: Study, *, by: str = "output", log: bool = False, marks: Marks | None = None) -> Figure:
    """Show every record of a study, without any model.

    Parameters
    ----------
    study : Study
        The data.
    by : "output" or "subject"
        A panel for each output, with a line for each subject; or one for each subject and unit, with a line for each
        output; panels of one unit then have the same scales.
    log : bool
        Whether values stand on a logarithmic scale.
    marks : Marks
        SYNTHETIC, QUICK, warnings; by default what the study says about itself.

    Returns
    -------
    matplotlib.figure.Figure
        At most 24 panels. Filled points are values; triangles point the way a censored value lies (B1), bars are
        intervals (B2); dotted lines are doses. A mean has the SD of one subject.
    """
    if by not in ("output", "subject"):
        raise UsageError(f"by='{by}'", expected="'output' or 'subject'")
    panels: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for record in study.records:
        title, line = (record.observed, record.subject) if by == "output" else (record.subject, record.observed)
        panels.setdefault((title, record.unit), {}).setdefault(line, []).append(record)
    names = dict.fromkeys(name for lines in panels.values() for name in lines)
    looks = {name: (SERIES[k % len(SERIES)], MARKERS[k // len(SERIES) % len(MARKERS)]) for k, name in enumerate(names)}
    shown = list(panels.items())[:MOST_PANELS]
    units = dict.fromkeys(unit for _, unit in panels)
    a_row_each = by == "subject" and 1 < len(units) <= ACROSS and len(shown) > len(units)
    across = len(units) if a_row_each else min(ACROSS, max(len(shown), 1))
    deep = max(1, -(-len(shown) // across))
    figure, axes = sheet(across, deep, width=2.3 * across + 0.6, height=2.1 * deep + 0.3)
    for ax, (panel, lines) in zip(axes.flat, shown, strict=False):
        _panel(ax, study, panel, lines, looks, log=log)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    if by == "subject":
        _share(axes.flat, [unit for (_, unit), _ in shown])
    left = len(panels) - len(shown)
    foot = f"{left} more panels are not shown." if left else ""
    many = len(names) > MOST_SUBJECTS
    return finish(
        figure, f"Data of {study.name}", marks=marks or Marks(synthetic=study.synthetic),
        subtitle="points: values; triangles: below or above a limit; bars: between limits; dotted: doses", foot=foot,
        legend=None if many else legend_of(axes), columns=4,
    )  # fmt: skip


def _share(axes: Iterable[Axes], units: list[str]) -> None:
    """Give panels of one unit the same scales, so that subjects can be compared."""
    pairs = list(zip(axes, units, strict=False))
    for ax, unit in pairs:
        alike = [other for other, own in pairs if own == unit]
        ax.set_ylim(min(each.get_ylim()[0] for each in alike), max(each.get_ylim()[1] for each in alike))
        ax.set_xlim(min(each.get_xlim()[0] for each, _ in pairs), max(each.get_xlim()[1] for each, _ in pairs))


def _panel(
    ax: Axes, study: Study, panel: tuple[str, str], lines: dict[str, list[Record]], looks: dict[str, Look], *, log: bool
) -> None:
    if log:
        ax.set_yscale("log")
    for name, records in lines.items():
        _line(ax, records, looks[name], plain(name))
    subjects = {record.subject for records in lines.values() for record in records}
    for time in {dose.time for name in subjects for dose in study.subject(name).regimen if dose.gives}:
        ax.axvline(time, color=AXIS, lw=0.6, ls=":", zorder=0)
    ax.set_title(plain(panel[0]), fontsize=SMALL)
    ax.set_xlabel("time [h]", fontsize=SMALL)
    ax.set_ylabel(plain(panel[1]), fontsize=SMALL, color=MUTED)
    ax.yaxis.get_offset_text().set_fontsize(SMALL)


PLOTTED = ("value", "mean", "logmean", "count")


def _line(ax: Axes, records: list[Record], look: Look, label: str) -> None:
    colour, marker = look
    ordered = sorted(records, key=lambda record: record.time)
    values = [(record.time, _value(record)) for record in ordered if record.kind in PLOTTED]
    ax.plot(*zip(*values, strict=True) if values else ([], []), f"{marker}-", color=colour, ms=3, lw=0.6, label=label)
    for record in ordered:
        if record.kind == "mean" and record.sd:
            ax.errorbar(record.time, record.value, yerr=record.sd, color=colour, lw=0.6, capsize=2)
        elif record.kind in ("left", "right"):
            ax.plot(record.time, record.value, "v" if record.kind == "left" else "^", color=colour, mfc="none", ms=4)
        elif record.kind == "interval" and record.lower is not None and record.upper is not None:
            ax.vlines(record.time, record.lower, record.upper, color=colour, lw=1.5, alpha=0.7)


def _value(record: Record) -> float:
    return math.exp(record.value) if record.kind == "logmean" else record.value
