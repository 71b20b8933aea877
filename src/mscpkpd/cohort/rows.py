"""Rows of a cohort table as patients: every cell read, or refused with advice (D14)."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from mscpkpd.cohort.patients import ADULT, GRADES, UNIT, Level, Measurement, Patient
from mscpkpd.data.findings import shortened
from mscpkpd.errors import UnitError, closest
from mscpkpd.units import scale_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mscpkpd.data.cells import Reading
    from mscpkpd.data.tables import Row

__all__ = ["COLUMNS", "OPTIONAL", "REPLICATES", "TEMPLATE", "CohortReader", "count_text"]

REQUIRED = ("patient", "cxcl10_0h", "unit", "platform")
FLAGS = ("basiliximab", "ruxolitinib", "viral")
COMPANIONS = ("st2", "reg3a")
REPLICATES = tuple((f"cxcl10_0h_{k}", f"platform_{k}", f"plate_{k}") for k in (2, 3, 4))
OPTIONAL = (
    *("cxcl10_24h", "lloq", "uloq", "grade", "liver", "age", "centre", "response", "synthetic", "label"),
    *("trial", "plate", "delay", "child", *FLAGS, *COMPANIONS, *(name for names in REPLICATES for name in names)),
)
COLUMNS = REQUIRED + OPTIONAL
ROMAN = {"I": "A", "II": "B", "III": "C", "IV": "D", "1": "A", "2": "B", "3": "C", "4": "D"}
YES, NO, TWO = ("1", "1.0", "true", "yes", "y"), ("0", "0.0", "false", "no", "n"), ("2", "2.0")
RESPONSES = {**dict.fromkeys((*YES, "cr", "pr"), 1), **dict.fromkeys((*NO, "nr"), 0)}
LEVEL = re.compile(r"(?P<sign><=?|>=?|≤|≥)?\s*(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)")
OLDEST = 110
LONGEST_DELAY = 730
TEMPLATE = "mscpkpd new cohort FILE.csv writes a template"
HINTS = {
    "unit": "a column 'unit' (pg/mL, ng/mL), a header 'cxcl10_0h [pg/mL]', or unit='pg/mL'",
    "platform": "a column 'platform' (ELISA, Luminex, ...), or platform='ELISA': levels of two platforms differ",
}


class CohortReader:
    """Rows into patients; what is wrong becomes a finding, what is read with a meaning becomes a note."""

    def __init__(self, reading: Reading, unit: str, platform: str) -> None:
        self.reading, self.table, self.findings = reading, reading.table, reading.findings
        self._header_unit = self.table.units.get("cxcl10_0h", "")
        self._years = self._per_year()
        self._unit = unit or self._header_unit
        self._platform = platform
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
        """What was read with a meaning, and what was not used."""
        unused = [shortened(self.table.titles[name]) for name in self.table.columns if name not in COLUMNS]
        lines = [text.replace("{n}", count_text(n, "patient")) for text, n in self._notes.items()]
        return (*lines, f"columns not used: {', '.join(unused[:20])}") if unused else tuple(lines)

    def _check_columns(self) -> None:
        stated = {"unit": self._unit, "platform": self._platform}
        if self._header_unit not in ("", self._unit):
            self.findings.add(
                f"unit '{self._header_unit}' in the header, '{self._unit}' as argument", hint="one of them"
            )
        for name in REQUIRED:
            if name in self.table.columns or stated.get(name):
                continue
            near = [other for other in closest(name, self.table.columns) if other not in COLUMNS]
            hint = f"rename column '{near[0]}'" if near else HINTS.get(name, TEMPLATE)
            self.findings.add(f"no column '{name}'", expected=", ".join(REQUIRED), hint=hint)

    def _check_response_codes(self) -> None:
        rows = [row for row in self.table.rows if row.text("response") in TWO]
        if rows:
            hint = "which of 1 and 2 is the response cannot be guessed: recode to 1 (responded) and 0 (did not)"
            self._wrong(rows[0], "response", f"value '2' ({count_text(len(rows), 'row')})", "1, 0, CR, PR or NR", hint)

    def _wrong(self, row: Row, column: str, problem: str, expected: str = "", hint: str = "") -> None:
        self.reading.note(row, column, problem, expected=expected, hint=hint)

    def _patient(self, row: Row) -> Patient:
        factor = self._factor(row)
        limits = self._limits(row, factor)
        return Patient(
            id=self._id(row),
            level=self._level(row, "cxcl10_0h", factor, limits),
            platform=self._required(row, "platform", self._platform, HINTS["platform"]),
            grade=self._grade(row),
            liver=self._liver(row),
            age=self._age(row),
            response=self._response(row),
            level_24h=self._level(row, "cxcl10_24h", factor, limits),
            centre=row.text("centre"),
            synthetic=self._synthetic(row),
            row=row.number,
            trial=row.text("trial"),
            plate=row.text("plate"),
            replicates=tuple(self._replicates(row, factor, limits)),
            delay=self._delay(row),
            minor=self._minor(row),
            basiliximab=self._flag(row, "basiliximab"),
            ruxolitinib=self._flag(row, "ruxolitinib"),
            viral=self._flag(row, "viral"),
            st2=self._companion(row, "st2"),
            reg3a=self._companion(row, "reg3a"),
        )

    def _required(self, row: Row, column: str, stated: str, hint: str) -> str:
        text = row.text(column) or stated
        if not text:
            self._wrong(row, column, "the cell is empty", hint=hint)
        return text

    def _id(self, row: Row) -> str:
        name = self._required(row, "patient", "", "a name or number for each patient")
        first = self._seen.setdefault(name, row.number)
        if name and first != row.number:
            problem = f"'{shortened(name)}' stands in row {first} already"
            self._wrong(row, "patient", problem, "one row a patient", "keep the sample before the first infusion")
        return name

    def _factor(self, row: Row) -> float:
        unit = self._required(row, "unit", self._unit, HINTS["unit"])
        if self._unit and unit != self._unit:
            problem = f"unit stated as '{shortened(unit)}' and '{shortened(self._unit)}'"
            self._wrong(row, "unit", problem, hint="one unit in column, header or argument")
        try:
            return scale_factor(unit, UNIT) if unit else 1.0
        except UnitError as error:
            self._wrong(row, "unit", f"'{shortened(unit)}': {error.problem}", "pg/mL or ng/mL")
            return 1.0

    def _limits(self, row: Row, factor: float) -> tuple[float, float]:
        low, high = (self.reading.number(row, name) for name in ("lloq", "uloq"))
        for name, limit in (("lloq", low), ("uloq", high)):
            if limit is not None and limit <= 0:
                self._wrong(row, name, f"limit {limit:g}", "above 0")
        if low is not None and high is not None and low >= high:
            self._wrong(row, "lloq", f"lloq {low:g} is not below uloq {high:g}")
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
            expected = "a level above 0, or a limit such as <7.8 or >500"
            self._wrong(row, column, f"'{shortened(text)}'", expected, _level_hint(plain))
            return None
        return self._censored(Level(value * factor, _side(found["sign"])), limits)

    def _replicates(self, row: Row, factor: float, limits: tuple[float, float]) -> Iterator[Measurement]:
        """More measurements of the sample; a replicate stands on platform and plate of the first unless it says so."""
        for column, platform, plate in REPLICATES:
            level = self._level(row, column, factor, limits)
            if level is None:
                continue
            if not row.text("cxcl10_0h"):
                self._wrong(row, column, "a replicate of a missing level", "the first measurement in 'cxcl10_0h'")
            own = row.text(platform) or row.text("platform") or self._platform
            yield Measurement(level, own, row.text(plate) or row.text("plate"))

    def _delay(self, row: Row) -> float | None:
        delay = self.reading.number(row, "delay")
        if delay is not None and not 0 <= delay <= LONGEST_DELAY:
            self._wrong(
                row, "delay", f"{delay:g}", f"days from steroids to MSC, 0 to {LONGEST_DELAY}", "blank if unknown"
            )
            return None
        return delay

    def _minor(self, row: Row) -> bool | None:
        minor, age = self._flag(row, "child"), self.reading.number(row, "age")
        if minor is not None and age is not None and minor != (age / self._years < ADULT):
            self._wrong(
                row, "child", f"'{row.text('child')}' beside age {row.text('age')}", "one statement, or two that agree"
            )
        return minor

    def _flag(self, row: Row, name: str) -> bool | None:
        text = row.text(name).casefold()
        if text and text not in YES + NO:
            self._wrong(row, name, f"'{shortened(text)}'", "1 or 0, yes or no", "blank if not known")
        return text in YES if text else None

    def _companion(self, row: Row, name: str) -> float | None:
        """A companion marker in pg/mL; its unit stands in the header, because kits report pg/mL and ng/mL."""
        if not row.text(name):
            return None
        unit = self.table.units.get(name, "")
        if not unit:
            self._wrong(row, name, "no unit", hint=f"a header '{name} [pg/mL]' or '{name} [ng/mL]'")
            return None
        value = self.reading.number(row, name)
        if value is not None and value <= 0:
            self._wrong(row, name, f"{value:g}", "a level above 0", "blank if not measured")
            return None
        try:
            return None if value is None else value * scale_factor(unit, UNIT)
        except UnitError as error:
            self._wrong(row, name, f"'{shortened(unit)}': {error.problem}", "pg/mL or ng/mL")
            return None

    def _per_year(self) -> float:
        unit = self.table.units.get("age", "")
        known = {
            "": 1.0,
            "y": 1.0,
            "yr": 1.0,
            "year": 1.0,
            "years": 1.0,
            "a": 1.0,
            "month": 12.0,
            "months": 12.0,
            "mo": 12.0,
        }
        if unit.casefold() not in known:
            self.findings.add(f"unit '{shortened(unit)}' of age", expected="years or months")
        return known.get(unit.casefold(), 1.0)

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
        if text and text not in tuple(GRADES):
            self._wrong(row, "grade", f"'{shortened(text)}'", "A, B, C, D or I, II, III, IV", "blank if not known")
        return text or None

    def _liver(self, row: Row) -> bool | None:
        text = row.text("liver").casefold()
        if text in ("2", "3", "4"):
            self._notes["liver was read as a stage: 1 or more is involved ({n} above 1)"] += 1
            return True
        if text and text not in YES + NO:
            self._wrong(row, "liver", f"'{shortened(text)}'", "1 or 0, yes or no, or a stage 0 to 4")
        return text in YES if text else None

    def _age(self, row: Row) -> float | None:
        text = row.text("age")
        hint = "age in years: months divided by 12"
        if re.search(r"[A-Za-z]", text):
            self._wrong(row, "age", f"'{shortened(text)}'", "a number of years", hint)
            return None
        age = self.reading.number(row, "age")
        if age is not None and self._years != 1.0:
            self._notes["ages were read as months and divided by 12 ({n})"] += 1
            age /= self._years
        if age is not None and not 0 <= age <= OLDEST:
            self._wrong(row, "age", f"{age:g}", f"years, 0 to {OLDEST}", hint)
        return age

    def _response(self, row: Row) -> int | None:
        text = row.text("response").casefold()
        if text in ("cr", "pr", "nr"):
            self._notes["CR and PR were read as response 1, NR as 0 ({n})"] += 1
        elif text and text not in RESPONSES and text not in TWO:
            expected = "1 (overall response at day 28), 0, CR, PR or NR"
            self._wrong(row, "response", f"'{shortened(row.text('response'))}'", expected, "blank if not known")
        return RESPONSES.get(text)

    def _synthetic(self, row: Row) -> bool:
        said = "synthetic" in f"{row.text('label')} {self.table.source}".casefold()
        return said or row.text("synthetic").casefold() in YES


def _level_hint(text: str) -> str:
    if re.fullmatch(r"\d+,\d+", text):
        return "decimal=',' if the comma is a decimal comma; no thousands separators"
    if re.fullmatch(r"[<>]?\s*[-0.]+|-.*", text):
        return "a level below the limit of quantification is written <7.8"
    return "the number alone, its unit in the column 'unit'; blank if not measured"


def _side(sign: str | None) -> str:
    return "none" if not sign else "left" if sign[0] in "<≤" else "right"


def count_text(n: int, word: str) -> str:
    """Return "1 patient", "2 patients"."""
    return f"{n} {word}{'' if n == 1 else 's'}"
