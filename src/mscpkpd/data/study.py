"""A study: who was dosed how, and what was observed."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mscpkpd.data.record import Record
    from mscpkpd.dosing import Regimen

__all__ = ["Study", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject, or one group that was reported as a whole.

    Attributes
    ----------
    id : str
        Name in the table.
    regimen : Regimen
        What was given; empty for an untreated control.
    weight : float or None
        Body weight [kg].
    species : str
        Blank if not stated.
    covariates : tuple of (str, str)
        Other columns that are constant within the subject, as text.
    """

    id: str
    regimen: Regimen
    weight: float | None = None
    species: str = ""
    covariates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Study:
    """Checked observations and doses of one table; made by `read_study` and `study_from_frame`.

    Attributes
    ----------
    name : str
        Name of the study, by default that of its file.
    subjects : tuple of Subject
        In order of first appearance.
    records : tuple of Record
        In order of the file (D15).
    source : str
        File, or "frame".
    synthetic : bool
        Whether a row or the file name says SYNTHETIC.
    studies : tuple of str
        Names in the column `study`, in order of first appearance.
    notes : tuple of str
        What was noticed and allowed.
    """

    name: str
    subjects: tuple[Subject, ...]
    records: tuple[Record, ...]
    source: str = ""
    synthetic: bool = False
    studies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _by_id: Mapping[str, Subject] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {subject.id: subject for subject in self.subjects})

    def __len__(self) -> int:
        return len(self.records)

    def subject(self, id: str) -> Subject:  # noqa: A002  (the name of the attribute)
        """Return a subject by name.

        Raises
        ------
        UnknownName
            With the closest names.
        """
        if id not in self._by_id:
            raise UnknownName.among("subject", id, self._by_id, where=self.source)
        return self._by_id[id]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what was observed, in order of first appearance."""
        return tuple(dict.fromkeys(record.output for record in self.records))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of subjects, doses and records; independent of file name, row numbers and unit of time."""
        content = [[asdict(subject) for subject in self.subjects]]
        content.append([{**asdict(record), "row": 0, "where": ""} for record in self.records])
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return the observations as a tidy table.

        Returns
        -------
        DataFrame
            One row for each record, with time [h]; `study_from_frame` reads it together with `doses_frame`. A median
            and its quartiles are on their own scale again.
        """
        return pd.DataFrame([self._row(record) for record in self.records])

    def doses_frame(self) -> pd.DataFrame:
        """Return the doses as the second table of a study: one row for each dose, 0 for an untreated control."""
        return pd.DataFrame([row for subject in self.subjects for row in _dose_rows(subject)])

    def _row(self, record: Record) -> dict[str, Any]:
        subject = self.subject(record.subject)
        row = asdict(record)
        for name in ("row", "where", "kind", "extra"):
            del row[name]
        row["censoring"] = record.kind if record.kind in ("left", "right", "interval") else "none"
        if record.kind == "logmean":
            for name in ("value", "lower", "upper"):
                row[name] = _exp(row[name])
        if record.stat != "mean":
            row["sd"] = None  # of a range or a median it is computed again
        row |= {"species": subject.species, "weight": subject.weight, "weight_unit": "kg" if subject.weight else None}
        return row | dict(subject.covariates) | dict(record.extra)

    def __str__(self) -> str:
        count = f"{_count(len(self.subjects), 'subject')}, {_count(len(self.records), 'record')}"
        lines = [f"Study {self.name} ({self.source}): {count}"]
        if self.synthetic:
            lines.append("  SYNTHETIC: not measured")
        species = sorted({subject.species for subject in self.subjects if subject.species})
        if species:
            lines.append(f"  species: {', '.join(species)}")
        lines += [f"  {line}" for line in self._output_lines()]
        regimens = Counter(_doses_text(subject.regimen) for subject in self.subjects)
        lines += [f"  doses: {text} ({_count(number, 'subject')})" for text, number in regimens.items()]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def _output_lines(self) -> Iterator[str]:
        for output in self.outputs:
            records = [record for record in self.records if record.output == output]
            units = ", ".join(dict.fromkeys(record.unit for record in records))
            kinds = Counter(record.kind for record in records)
            counted = ", ".join(f"{number} {_KIND_WORDS[kind]}" for kind, number in kinds.items())
            yield f"{output} [{units}]: {counted}; time {_span([record.time for record in records])}"


_KIND_WORDS = {
    "value": "observed",
    "left": "below a limit",
    "right": "above a limit",
    "interval": "between limits",
    "mean": "mean",
    "logmean": "median",
}


def _exp(value: float | None) -> float | None:
    return None if value is None else float(f"{math.exp(value):.14g}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _span(times: Iterable[float]) -> str:
    distinct = sorted(set(times))
    if len(distinct) == 1:
        return f"{distinct[0]:g} h"
    return f"{distinct[0]:g} to {distinct[-1]:g} h ({len(distinct)} times)"


def _doses_text(regimen: Regimen) -> str:
    if not regimen.doses:
        return "none (untreated)"
    distinct = dict.fromkeys(f"{dose.amount:g} {dose.unit} {dose.route}" for dose in regimen.doses)
    shown = ", ".join(list(distinct)[:3]) + (", ..." if len(distinct) > 3 else "")
    times = _span([dose.time for dose in regimen.doses])
    return f"{_count(len(regimen), 'dose')} of {shown} at {times}"


def _dose_rows(subject: Subject) -> Iterator[dict[str, Any]]:
    if not subject.regimen.doses:
        yield {"subject": subject.id, "dose": 0.0}
    for dose in subject.regimen.doses:
        yield {
            "subject": subject.id,
            "time": dose.time,
            "time_unit": "h",
            "dose": dose.amount,
            "dose_unit": dose.unit,
            "route": dose.route,
            "duration": dose.duration,
            "duration_unit": "h",
            "viability": dose.viable,
            "lot": dose.lot,
        }
