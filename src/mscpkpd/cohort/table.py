"""Cohort tables: one row a patient, with CXCL10 before the first infusion and, where known, the response.

Columns: ``patient, cxcl10_0h, [cxcl10_24h], unit, platform, [lloq, uloq], [grade, liver, age, centre], [response]``,
and ``synthetic`` or ``label`` for invented patients. A level may be written ``<7.8`` or ``>500``. Further columns:
``trial``, ``plate``, ``delay`` [d], ``child`` where the age is not known, ``basiliximab``, ``ruxolitinib``, ``viral``,
``st2 [pg/mL]``, ``reg3a [pg/mL]`` and
replicates of the same sample, ``cxcl10_0h_2`` to ``cxcl10_0h_4`` with ``platform_2`` and ``plate_2`` where they differ.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.cohort.patients import PLAUSIBLE, UNIT, Patient
from mscpkpd.cohort.rows import COMPANIONS, FLAGS, OPTIONAL, REPLICATES, TEMPLATE, CohortReader, count_text
from mscpkpd.data.cells import Reading
from mscpkpd.data.findings import Findings
from mscpkpd.data.tables import read_table, table_of_frame
from mscpkpd.errors import CohortError, DataError, closest
from mscpkpd.parameters import number_text

if TYPE_CHECKING:
    from mscpkpd.data.tables import Table

__all__ = ["Cohort", "cohort_from_frame", "read_cohort"]

FEWEST = 2  # patients with one outcome only, of which a note is made


@dataclass(frozen=True)
class Cohort:
    """Patients of one table.

    Attributes
    ----------
    patients : tuple of Patient
        In the order of the file.
    source : str
        Name of the file.
    notes : tuple of str
        What was read in a way that a reader of results must know.
    """

    patients: tuple[Patient, ...]
    source: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of_one(
        cls, cxcl10: float | str, unit: str, platform: str, *, patient: str = "patient", **columns: Any
    ) -> Cohort:
        """Make a cohort of one patient.

        Parameters
        ----------
        cxcl10 : float or str
            Level before the first infusion, in `unit`; text for a censored one (``"<7.8"``).
        unit : str
            Unit of the level, such as "pg/mL".
        platform : str
            Assay platform, such as "ELISA".
        patient : str
            Name.
        **columns
            Any other column of a cohort table: grade, liver, age [years], lloq, uloq, ...

        Raises
        ------
        CohortError
            As `read_cohort`.

        Examples
        --------
        >>> print(Cohort.of_one(640, "pg/mL", "ELISA", grade="C").patients[0].level)
        640
        """
        unknown = [name for name in columns if name not in OPTIONAL]
        if unknown:
            hint = " or ".join(closest(unknown[0], OPTIONAL)) or ", ".join(OPTIONAL)
            raise CohortError(f"'{unknown[0]}' is no column of a cohort", where="one patient", hint=hint)
        values = {"patient": patient, "cxcl10_0h": cxcl10, "unit": unit, "platform": platform}
        given = {name: value for name, value in columns.items() if value is not None}
        return cohort_from_frame(pd.DataFrame([values | given], dtype=object), source="one patient")

    def __len__(self) -> int:
        return len(self.patients)

    def __str__(self) -> str:
        platforms = Counter(patient.platform for patient in self.patients)
        listed = ", ".join(f"{name} {n}" for name, n in platforms.items())
        label = "SYNTHETIC " if self.synthetic else ""
        lines = [f"{label}cohort {self.source}: {count_text(len(self), 'patient')}; {listed}"]
        if self.labelled:
            lines.append(f"{self.responders} of {len(self.labelled)} with a known outcome responded")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    @property
    def synthetic(self) -> bool:
        """Whether any patient is invented."""
        return any(patient.synthetic for patient in self.patients)

    @property
    def labelled(self) -> tuple[Patient, ...]:
        """The patients whose response is known."""
        return tuple(patient for patient in self.patients if patient.response is not None)

    @property
    def responders(self) -> int:
        """Number of patients who responded."""
        return sum(patient.response == 1 for patient in self.patients)

    @property
    def digest(self) -> str:
        """SHA-256 of the table as text."""
        return hashlib.sha256(self.to_frame().to_csv(index=False).encode()).hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return the table as in a cohort file, levels in pg/mL as text; `cohort_from_frame` reads it back."""
        frame = pd.DataFrame(
            {
                "patient": patient.id,
                "cxcl10_0h": _text(patient.level),
                "cxcl10_24h": _text(patient.level_24h),
                "unit": UNIT,
                "platform": patient.platform,
                "grade": _text(patient.grade),
                "liver": _text(patient.liver),
                "age": _text(patient.age),
                "centre": patient.centre,
                "response": _text(patient.response),
                "synthetic": _text(patient.synthetic),
                **_optional(patient),
            }
            for patient in self.patients
        )
        unused = [name for name in frame.columns[11:] if (frame[name] == "").all()]
        return frame.drop(columns=unused)

    def together(self, *others: Cohort) -> Cohort:
        """Return one cohort of several tables, for example of several trials.

        Parameters
        ----------
        *others : Cohort
            Further tables; give each its name in the column ``trial``.

        Returns
        -------
        Cohort

        Raises
        ------
        CohortError
            If a patient stands in two of them: the same patient never counts twice.
        """
        tables = (self, *others)
        patients = tuple(patient for table in tables for patient in table.patients)
        twice = [name for name, n in Counter(patient.id for patient in patients).items() if n > 1]
        if twice:
            raise CohortError(
                f"{count_text(len(twice), 'patient')} in two tables ({', '.join(twice[:5])})",
                where=" + ".join(table.source for table in tables),
                hint="the same patients never count twice: leave them out of one table, or rename those who differ",
            )
        notes = tuple(note for table in tables for note in table.notes)
        return Cohort(patients, " + ".join(table.source for table in tables), notes)


def read_cohort(
    path: str | Path, *, sheet: str | None = None, unit: str = "", platform: str = "", decimal: str = "."
) -> Cohort:
    """Read a cohort table.

    Parameters
    ----------
    path : str or Path
        CSV (comma, semicolon or tab), TSV or .xlsx file of at most 50 MB with the columns of the module's head. Lines
        that start with # are comments.
    sheet : str, optional
        Excel sheet; the first one by default.
    unit : str, optional
        Unit of the levels and limits, where neither a column ``unit`` nor the header (``cxcl10_0h [pg/mL]``) states it.
    platform : str, optional
        Assay platform, where no column states it.
    decimal : str
        Decimal sign, "." or ",".

    Returns
    -------
    Cohort
        Levels in pg/mL. Numbers outside their own ``lloq`` and ``uloq`` are censored at that limit.

    Raises
    ------
    CohortError
        With everything that is wrong in the file: row, column, value, what was expected, what to try (D14).

    Notes
    -----
    A response is 1, 0, or CR and PR (1) and NR (0). Grades I to IV are read as A to D. A child is below 18 years.
    Whatever is read with such a meaning, or looks implausible, stands in the notes of the cohort.
    """
    try:
        table = read_table(path, sheet)
    except DataError as error:
        hint = TEMPLATE if "writes a template" in error.hint else error.hint
        raise CohortError(error.problem, where=error.where, expected=error.expected, hint=hint) from error
    return _cohort(table, unit, platform, decimal)


def cohort_from_frame(
    frame: pd.DataFrame, *, unit: str = "", platform: str = "", decimal: str = ".", source: str = "frame"
) -> Cohort:
    """Make a cohort of a DataFrame.

    Parameters
    ----------
    frame : DataFrame
        With the columns of a cohort table; the index is ignored.
    unit, platform, decimal : str
        As in `read_cohort`.
    source : str
        Name for messages.

    Returns
    -------
    Cohort

    Raises
    ------
    CohortError
        As `read_cohort`.

    Notes
    -----
    Rows are numbered as in the CSV file that the frame would make: the first is row 2.
    """
    try:
        table = table_of_frame(frame, source)
    except DataError as error:
        raise CohortError(error.problem, where=error.where, expected=error.expected, hint=TEMPLATE) from error
    return _cohort(table, unit, platform, decimal)


def _cohort(table: Table, unit: str, platform: str, decimal: str) -> Cohort:
    reader = CohortReader(Reading(table, Findings(table.source), decimal), unit, platform)
    patients = reader.patients()
    if reader.findings.lines:
        raise CohortError.of(reader.findings.lines, where=table.source)
    return Cohort(patients, table.source, (*reader.notes, *_plausibility(patients), *_outcomes(patients)))


def _plausibility(patients: tuple[Patient, ...]) -> tuple[str, ...]:
    rows = [str(patient.row) for patient in patients if patient.level is not None and not patient.level.plausible]
    if not rows:
        return ()
    shown = ", ".join(rows[:10]) + (", ..." if len(rows) > 10 else "")
    low, high = PLAUSIBLE
    question = "ng/mL instead of pg/mL, or the reverse?"
    return (f"implausible CXCL10 in row {shown}: outside {low:g} to {high:g} pg/mL; {question}",)


def _outcomes(patients: tuple[Patient, ...]) -> tuple[str, ...]:
    known = [patient.response for patient in patients if patient.response is not None]
    if 0 < len(known) < len(patients) / 2:
        unknown = len(patients) - len(known)
        return (f"{unknown} of {len(patients)} responses are missing: ask why before any fit; they teach levels only",)
    if len(known) < FEWEST or len(set(known)) > 1:
        return ()
    what = "responded" if known[0] else "did not respond"
    return (f"all {len(known)} patients with a known outcome {what}: nothing to learn about their differences",)


def _optional(patient: Patient) -> dict[str, str]:
    """Columns that few tables have."""
    plain = {name: _text(getattr(patient, name)) for name in ("trial", "plate", "delay", *FLAGS)}
    plain["child"] = _text(patient.minor)
    companions = {f"{name} [{UNIT}]": _text(getattr(patient, name)) for name in COMPANIONS}
    replicates: dict[str, str] = {name: "" for names in REPLICATES for name in names}
    for names, one in zip(REPLICATES, patient.replicates, strict=False):
        replicates |= dict(zip(names, (_text(one.level), one.platform, one.plate), strict=True))
    return plain | companions | replicates


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return number_text(value) if isinstance(value, float) else str(value)
