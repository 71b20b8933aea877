"""The raw data of a study: each value as it was observed, by subject and output."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.data import Record, Study
from mscpkpd.errors import UsageError
from mscpkpd.plots.style import AXIS, MUTED, SERIES, SMALL, Marks, finish, legend_of, plain, sheet

__all__ = ["raw_data"]

MOST_SUBJECTS, ACROSS, MOST_PANELS = 12, 3, 24


def raw_data(study: Study, *, by: str = "output", log: bool = False, marks: Marks | None = None) -> Figure:
    """Show every record of a study, without any model.

    Parameters
    ----------
    study : Study
        The data.
    by : "output" or "subject"
        A panel for each output, with a line for each subject, or the other way round.
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
    panels: dict[tuple[str, str], dict[tuple[str, str], list[Record]]] = {}
    for record in study.records:
        output, subject = (record.output, record.unit), (record.subject, "")
        panel, line = (output, subject) if by == "output" else (subject, output)
        panels.setdefault(panel, {}).setdefault(line, []).append(record)
    shown = list(panels.items())[:MOST_PANELS]
    across = min(ACROSS, max(len(shown), 1))
    deep = max(1, -(-len(shown) // across))
    figure, axes = sheet(across, deep, width=2.3 * across + 0.6, height=2.1 * deep + 0.3)
    for ax, (panel, lines) in zip(axes.flat, shown, strict=False):
        _panel(ax, study, panel, lines, log=log)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    left = len(panels) - len(shown)
    foot = f"{left} more panels are not shown." if left else ""
    many = max((len(lines) for _, lines in shown), default=0) > MOST_SUBJECTS
    return finish(
        figure, f"Data of {study.name}", marks=marks or Marks(synthetic=study.synthetic),
        subtitle="points: values; triangles: below or above a limit; bars: between limits; dotted: doses", foot=foot,
        legend=None if many else legend_of(axes), columns=4,
    )  # fmt: skip


def _panel(
    ax: Axes, study: Study, panel: tuple[str, str], lines: dict[tuple[str, str], list[Record]], *, log: bool
) -> None:
    if log:
        ax.set_yscale("log")
    for number, ((name, unit), records) in enumerate(lines.items()):
        label = f"{name} [{unit}]" if unit else name
        _line(ax, records, SERIES[number % len(SERIES)], plain(label))
    subjects = {record.subject for records in lines.values() for record in records}
    for time in {dose.time for name in subjects for dose in study.subject(name).regimen if dose.gives}:
        ax.axvline(time, color=AXIS, lw=0.6, ls=":", zorder=0)
    ax.set_title(plain(panel[0]), fontsize=SMALL)
    ax.set_xlabel("time [h]", fontsize=SMALL)
    ax.set_ylabel(plain(panel[1]), fontsize=SMALL, color=MUTED)


def _line(ax: Axes, records: list[Record], colour: str, label: str) -> None:
    ordered = sorted(records, key=lambda record: record.time)
    values = [(record.time, _value(record)) for record in ordered if record.kind in ("value", "mean", "logmean")]
    ax.plot(*zip(*values, strict=True) if values else ([], []), "o-", color=colour, ms=3, lw=0.6, label=label)
    for record in ordered:
        if record.kind == "mean" and record.sd:
            ax.errorbar(record.time, record.value, yerr=record.sd, color=colour, lw=0.6, capsize=2)
        elif record.kind in ("left", "right"):
            ax.plot(record.time, record.value, "v" if record.kind == "left" else "^", color=colour, mfc="none", ms=4)
        elif record.kind == "interval" and record.lower is not None and record.upper is not None:
            ax.vlines(record.time, record.lower, record.upper, color=colour, lw=1.5)


def _value(record: Record) -> float:
    return math.exp(record.value) if record.kind == "logmean" else record.value
