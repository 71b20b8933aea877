"""Cohort tables: one row a patient, with CXCL10 before the first infusion and, where known, the response.

Columns: ``patient, cxcl10_0h, [cxcl10_24h], unit, platform, [lloq, uloq], [grade, liver, age, centre], [response]``, and
``synthetic`` or ``label`` for invented patients. A level may be written ``<7.8`` or ``>500``.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.data.cells import Reading
from mscpkpd.data.findings import Findings, shortened
from mscpkpd.data.tables import read_table, table_of_frame
from mscpkpd.errors import CohortError, DataError, UnitError, closest
from mscpkpd.units import scale_factor

if TYPE_CHECKING:
    from pathlib import Path

    from mscpkpd.data.tables import Row, Table

__all__ = ["COLUMNS", "GRADES", "Cohort", "Level", "Patient", "cohort_from_frame", "read_cohort"]

REQUIRED = ("patient", "cxcl10_0h", "unit", "platform")
OPTIONAL = ("cxcl10_24h", "lloq", "uloq", "grade", "liver", "age", "centre", "response", "synthetic", "label")
COLUMNS = REQUIRED + OPTIONAL
UNIT = "pg/mL"
GRADES = "ABCD"
ROMAN = {"I": "A", "II": "B", "III": "C", "IV": "D", "1": "A", "2": "B", "3": "C", "4": "D"}
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
RESPONSES = {**dict.fromkeys((*YES, "cr", "pr"), 1), **dict.fromkeys((*NO, "nr"), 0)}
LEVEL = re.compile(r"(?P<sign><=?|>=?|≤|≥)?\s*(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)")
OLDEST = 110
ADULT = 18
# outside these no assay and no disease in the tables of the responder file lies: most likely another unit
PLAUSIBLE = (1.0, 50_000.0)
TEMPLATE = "mscpkpd new cohort FILE.csv writes a template"


@dataclass(frozen=True, slots=True)
class Level:
    """One CXCL10 level.

    Attributes
    ----------
    value : float
        Level, pg/mL; the limit of a censored one.
    censoring : str
        "none", "left" (below `value`) or "right" (above it).
    """

    value: float
    censoring: str = "none"

    def __str__(self) -> str:
        return {"none": "", "left": "<", "right": ">"}[self.censoring] + f"{self.value:.10g}"

    @property
    def plausible(self) -> bool:
        """Whether a level of this size has been seen anywhere; if not, the unit is in doubt."""
        low, high = PLAUSIBLE
        return self.value <= high and (self.value >= low or self.censoring == "left")


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient before the first infusion; None is "not known".

    Attributes
    ----------
    id : str
        Name of the patient in the table.
    level : Level or None
        CXCL10 before the first infusion.
    platform : str
        Assay platform.
    grade : str or None
        "A" to "D" (IBMTR).
    liver : bool or None
        Liver involved (stage 1 or more).
    age : float or None
        Age, years.
    response : int or None
        1 overall response (CR or PR) at day 28, 0 none.
    level_24h : Level or None
        CXCL10 24 h after the first infusion.
    centre : str
        Treating centre; blank if not given.
    synthetic : bool
        Whether the patient is invented.
    row : int
        Row in the file.
    """

    id: str
    level: Level | None
    platform: str
    grade: str | None = None
    liver: bool | None = None
    age: float | None = None
    response: int | None = None
    level_24h: Level | None = None
    centre: str = ""
    synthetic: bool = False
    row: int = field(default=0, compare=False)

    @property
    def child(self) -> bool | None:
        """Whether the patient is below 18 years of age."""
        return None if self.age is None else self.age < ADULT


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
    def of_one(cls, cxcl10: float | str, unit: str, platform: str, *, patient: str = "patient", **columns: Any) -> Cohort:
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
        platforms = ", ".join(f"{name} {n}" for name, n in Counter(patient.platform for patient in self.patients).items())
        lines = [f"{'SYNTHETIC ' if self.synthetic else ''}cohort {self.source}: {_count(len(self), 'patient')}; {platforms}"]
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
        """Return the table in the columns of a cohort file, levels in pg/mL as text; `cohort_from_frame` reads it back."""
        return pd.DataFrame(
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
            }
            for patient in self.patients
        )


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
    """Make a cohort of a DataFrame with the columns of a cohort table; else as `read_cohort`."""
    try:
        table = table_of_frame(frame, source)
    except DataError as error:
        raise CohortError(error.problem, where=error.where, expected=error.expected, hint=TEMPLATE) from error
    return _cohort(table, unit, platform, decimal)


def _cohort(table: Table, unit: str, platform: str, decimal: str) -> Cohort:
    reader = _CohortReader(Reading(table, Findings(table.source), decimal), unit, platform)
    patients = reader.patients()
    if reader.findings.lines:
        raise CohortError.of(reader.findings.lines, where=table.source)
    return Cohort(patients, table.source, (*reader.notes, *_plausibility(patients)))


class _CohortReader:
    """Rows into patients; what is wrong becomes a finding, what is read with a meaning becomes a note."""

    def __init__(self, reading: Reading, unit: str, platform: str) -> None:
        self.reading, self.table, self.findings = reading, reading.table, reading.findings
        self._unit, self._platform = unit, platform
        self._seen: dict[str, int] = {}
        self._notes: Counter[str] = Counter()

    def patients(self) -> tuple[Patient, ...]:
        """Return the patients; incomplete where there are findings."""
        self._check_columns()
        if self.findings:
            return ()
        self._check_response_codes()
        return tuple(self._patient(row) for row in self.table.rows if not self.findings.full)

    @property
    def notes(self) -> tuple[str, ...]:
        unused = [self.table.titles[name] for name in self.table.columns if name not in COLUMNS]
        lines = [text.replace("{n}", _count(n, "patient")) for text, n in self._notes.items()]
        return (*lines, *([f"columns not used: {', '.join(map(shortened, unused[:20]))}"] if unused else []))

    def _check_columns(self) -> None:
        stated = {"unit": self._unit or self.table.units.get("cxcl10_0h", ""), "platform": self._platform}
        for name in REQUIRED:
            if name in self.table.columns or stated.get(name):
                continue
            near = [other for other in closest(name, self.table.columns) if other not in COLUMNS]
            hint = f"rename column '{near[0]}'" if near else _HINTS.get(name, TEMPLATE)
            self.findings.add(f"no column '{name}'", expected=", ".join(REQUIRED), hint=hint)

    def _check_response_codes(self) -> None:
        rows = [row.number for row in self.table.rows if row.text("response") in ("2", "2.0")]
        if rows:
            hint = "which of 1 and 2 is the response cannot be guessed: recode to 1 (responded) and 0 (did not)"
            where = f"value '2' ({_count(len(rows), 'row')})"
            self.findings.add(where, row=rows[0], column="response", expected="1, 0, CR, PR or NR", hint=hint)

    def _patient(self, row: Row) -> Patient:
        factor = self._factor(row)
        limits = self._limits(row, factor)
        return Patient(
            id=self._id(row),
            level=self._level(row, "cxcl10_0h", factor, limits),
            platform=self._required(row, "platform", self._platform, _HINTS["platform"]),
            grade=self._grade(row),
            liver=self._liver(row),
            age=self._age(row),
            response=self._response(row),
            level_24h=self._level(row, "cxcl10_24h", factor, limits),
            centre=row.text("centre"),
            synthetic=self._synthetic(row),
            row=row.number,
        )

    def _required(self, row: Row, column: str, stated: str, hint: str) -> str:
        text = row.text(column) or stated
        if not text:
            self.reading.note(row, column, "the cell is empty", hint=hint)
        return text

    def _id(self, row: Row) -> str:
        name = self._required(row, "patient", "", "a name or number for each patient")
        first = self._seen.setdefault(name, row.number)
        if name and first != row.number:
            hint = "keep the sample before the first infusion"
            self.reading.note(row, "patient", f"'{shortened(name)}' stands in row {first} already", expected="one row a patient", hint=hint)
        return name

    def _factor(self, row: Row) -> float:
        stated = dict.fromkeys((row.text("unit"), self.table.units.get("cxcl10_0h", ""), self._unit))
        units = [text for text in stated if text]
        if len(units) > 1:
            self.reading.note(row, "unit", f"unit stated as {' and '.join(units)}", hint="one unit in column, header or argument")
        if not units:
            self.reading.note(row, "unit", "the cell is empty", hint=_HINTS["unit"])
            return 1.0
        try:
            return scale_factor(units[0], UNIT)
        except UnitError as error:
            self.reading.note(row, "unit", f"'{shortened(units[0])}': {error.problem}", expected="pg/mL or ng/mL")
            return 1.0

    def _limits(self, row: Row, factor: float) -> tuple[float, float]:
        low, high = (self.reading.number(row, name) for name in ("lloq", "uloq"))
        for name, limit in (("lloq", low), ("uloq", high)):
            if limit is not None and limit <= 0:
                self.reading.note(row, name, f"limit {limit:g}", expected="above 0")
        if low is not None and high is not None and low >= high:
            self.reading.note(row, "lloq", f"lloq {low:g} is not below uloq {high:g}")
        return (0.0 if low is None else low * factor), (math.inf if high is None else high * factor)

    def _level(self, row: Row, column: str, factor: float, limits: tuple[float, float]) -> Level | None:
        text = row.text(column)
        if not text:
            if column == "cxcl10_0h":
                self._notes["CXCL10 is missing for {n}: they stand at the average of the others"] += 1
            return None
        plain = text.replace(",", ".") if self.reading.decimal == "," else text
        found = LEVEL.fullmatch(plain)
        value = float(found["number"]) if found else math.nan
        if not found or not (0 < value < math.inf):
            self.reading.note(row, column, f"'{shortened(text)}'", expected=_LEVEL_EXPECTED, hint=_level_hint(plain))
            return None
        return self._censored(Level(value * factor, _side(found["sign"])), limits)

    def _censored(self, level: Level, limits: tuple[float, float]) -> Level:
        low, high = limits
        if level.censoring != "none" or low <= level.value <= high:
            return level
        self._notes["a number outside its own lloq or uloq was read as below or above that limit ({n})"] += 1
        return Level(low, "left") if level.value < low else Level(high, "right")

    def _grade(self, row: Row) -> str | None:
        text = row.text("grade").upper().removeprefix("GRADE").strip()
        if text in ROMAN:
            self._notes["grades I to IV were read as A to D ({n}); the two scales are close, not equal"] += 1
            return ROMAN[text]
        if text and text not in GRADES:
            self.reading.note(row, "grade", f"'{shortened(text)}'", expected="A, B, C, D or I, II, III, IV", hint="blank if not known")
        return text or None

    def _liver(self, row: Row) -> bool | None:
        text = row.text("liver").casefold()
        if text in ("2", "3", "4"):
            self._notes["liver was read as a stage: 1 or more is involved ({n} above 1)"] += 1
            return True
        if text and text not in YES + NO:
            self.reading.note(row, "liver", f"'{shortened(text)}'", expected="1 or 0, yes or no, or a stage 0 to 4")
        return text in YES if text else None

    def _age(self, row: Row) -> float | None:
        text = row.text("age")
        hint = "age in years: months divided by 12"
        if re.search(r"[A-Za-z]", text):
            self.reading.note(row, "age", f"'{shortened(text)}'", expected="a number of years", hint=hint)
            return None
        age = self.reading.number(row, "age")
        if age is not None and not 0 <= age <= OLDEST:
            self.reading.note(row, "age", f"{age:g}", expected=f"years, 0 to {OLDEST}", hint=hint)
        return age

    def _response(self, row: Row) -> int | None:
        text = row.text("response").casefold().removesuffix(".0")
        if text in ("cr", "pr", "nr"):
            self._notes["CR and PR were read as response 1, NR as 0 ({n})"] += 1
        elif text and text not in RESPONSES and text != "2":
            expected = "1 (overall response at day 28), 0, CR, PR or NR"
            self.reading.note(row, "response", f"'{shortened(row.text('response'))}'", expected=expected, hint="blank if not known")
        return RESPONSES.get(text)

    def _synthetic(self, row: Row) -> bool:
        return (
            row.text("synthetic").casefold() in YES
            or "synthetic" in row.text("label").casefold()
            or "synthetic" in self.table.source.casefold()
        )


_HINTS = {
    "unit": "a column 'unit' (pg/mL, ng/mL), a header 'cxcl10_0h [pg/mL]', or unit='pg/mL'",
    "platform": "a column 'platform' (ELISA, Luminex, ...), or platform='ELISA'; levels of two platforms differ up to fivefold",
}
_LEVEL_EXPECTED = "a level above 0, or a limit such as <7.8 or >500"


def _level_hint(text: str) -> str:
    if re.fullmatch(r"\d+,\d+", text):
        return "decimal=',' if the comma is a decimal comma; no thousands separators"
    if re.fullmatch(r"[<>]?\s*[-0.]+|-.*", text):
        return "a level below the limit of quantification is written <7.8"
    return "the number alone, its unit in the column 'unit'; blank if not measured"


def _side(sign: str | None) -> str:
    return "none" if not sign else "left" if sign[0] in "<≤" else "right"


def _plausibility(patients: tuple[Patient, ...]) -> tuple[str, ...]:
    odd = [patient for patient in patients if patient.level is not None and not patient.level.plausible]
    if not odd:
        return ()
    shown = ", ".join(f"row {patient.row} {patient.level} pg/mL" for patient in odd[:5])
    return (f"implausible CXCL10 ({_count(len(odd), 'patient')}: {shown}): was the unit ng/mL instead of pg/mL, or the reverse?",)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else f"{value:.10g}" if isinstance(value, float) else str(value)
