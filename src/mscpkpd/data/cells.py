"""Numbers, units and times out of the text of a table; what cannot be read becomes a finding."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from mscpkpd.data.assays import PERCENT_OF_DOSE, assay_unit
from mscpkpd.data.findings import shortened
from mscpkpd.errors import UnitError
from mscpkpd.units import scale_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mscpkpd.data.findings import Findings
    from mscpkpd.data.tables import Row, Table

__all__ = ["PERCENT_OF_DOSE", "TIME_HINT", "Reading", "known_unit"]

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
PLAIN = re.compile(NUMBER)
QUANTITY = re.compile(rf"(?P<number>{NUMBER})(?:\s+(?P<unit>\S.*)|(?P<glued>[A-Za-zµμ%].*))?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?!\d)")
NOT_FINITE = frozenset(("inf", "+inf", "-inf", "infinity", "-infinity", "nan"))
TIME_HINT = "a header such as 'time [h]', a column 'time_unit', or time_unit='h'"


@lru_cache(maxsize=1024)
def _factor(unit: str, target: str) -> float:
    return scale_factor(unit, target)


@lru_cache(maxsize=1024)
def known_unit(text: str) -> str:
    """Return the unit of an observation as it is kept; see `assay_unit`."""
    return assay_unit(text)


@dataclass(frozen=True, slots=True)
class Reading:
    """A table being read.

    Attributes
    ----------
    table : Table
        Its text.
    findings : Findings
        Where problems are noted.
    decimal : str
        Decimal sign, "." or ",".
    units : mapping of str to str
        Units by column that the caller stated.
    masses : mapping of str to float
        Masses of organs that the caller stated [g] (T7).
    """

    table: Table
    findings: Findings
    decimal: str = "."
    units: Mapping[str, str] = field(default_factory=dict)
    masses: Mapping[str, float] = field(default_factory=dict)

    def number(self, row: Row, column: str) -> float | None:
        """Return a finite number without unit; None where it is missing or wrong."""
        text = row.cells.get(column)
        if not text:
            return None
        if self.decimal == "." and PLAIN.fullmatch(text):  # nearly every cell
            return self._finite(row, column, text, text)
        found = self._matched(text)
        if found and (found["unit"] or found["glued"]):
            hint = "the unit in the column 'unit' or in the header" if column == "value" else "the number alone"
            self._not_a_number(row, column, text, hint)
            return None
        if found is None:
            self._not_a_number(row, column, text)
            return None
        return self._finite(row, column, text, found["number"])

    def whole(self, row: Row, column: str) -> int | None:
        """Return a whole number of at least 1; None where it is missing or wrong."""
        number = self.number(row, column)
        if number is None:
            return None
        if number < 1 or number != int(number):
            self.note(row, column, f"'{row.text(column)}' is no count", expected="a whole number, 1 or more")
            return None
        return int(number)

    def above_zero(self, row: Row, column: str, target: str, hint: str) -> float | None:
        """Return a quantity above 0 in the unit `target`; None where it is missing or wrong."""
        value = self.measure(row, column, target, hint=hint) if column in row.cells else None
        if value is not None and value <= 0:
            self.note(row, column, f"'{row.text(column)}'", expected="a number above 0", hint="NA if it is not known")
            return None
        return value

    def fraction(self, row: Row, column: str) -> float | None:
        """Return a number from 0 to 1; None where it is missing or wrong."""
        value = self.number(row, column)
        if value is not None and not 0 <= value <= 1:
            self.note(row, column, f"'{row.text(column)}'", expected="a number from 0 to 1", hint="0.9 for 90 %")
            return None
        return value

    def truth(self, row: Row, column: str) -> bool:
        """Return whether a cell says yes."""
        return row.text(column).casefold() in ("true", "yes", "1", "y")

    def unit(self, row: Row, column: str) -> str:
        """Return the unit stated for a cell by its unit column, its header or the caller; blank if none is.

        Two statements that differ are a finding.
        """
        own = "unit" if column == "value" else f"{column}_unit"
        stated = (row.cells.get(own), self.table.units.get(column), self.units.get(column))
        distinct = [text for text in stated if text]
        if len(distinct) > 1 and len(distinct := list(dict.fromkeys(distinct))) > 1:
            listed = " and ".join(f"'{text}'" for text in distinct)
            self.note(row, column, f"unit stated as {listed}", hint=f"one unit in '{own}', header or argument")
        return distinct[0] if distinct else ""

    def quantity(self, row: Row, column: str, fallback: str = "") -> tuple[float, str] | None:
        """Return a number and its unit, which may stand in the same cell ("30 min").

        Parameters
        ----------
        row : Row
        column : str
        fallback : str
            Unit where nothing states one.

        Returns
        -------
        tuple of float and str, or None
            None where the number is missing or wrong. The unit may be blank.
        """
        text = row.text(column)
        found = self._matched(text) if text and not PLAIN.fullmatch(text) else None
        own = (found["unit"] or found["glued"] or "").strip() if found else ""
        if found is None or not own:
            number = self.number(row, column)
            return None if number is None else (number, self.unit(row, column) or fallback)
        number = self._finite(row, column, text, found["number"])
        return None if number is None else (number, own)

    def measure(self, row: Row, column: str, target: str, *, hint: str, fallback: str = "") -> float | None:
        """Return a quantity in the unit `target`; None where it is missing or wrong.

        A number without any unit is a finding, unless it is 0.
        """
        found = self.quantity(row, column, fallback)
        if found is None:
            return None
        number, unit = found
        if not unit:
            if number != 0:
                self.note(row, column, f"'{row.text(column)}' has no unit", hint=hint)
            return 0.0 if number == 0 else None
        try:
            return number * _factor(unit, target)
        except UnitError as error:
            self.note(row, column, str(error), hint=hint if not error.hint else "")
            return None

    def hours(self, row: Row, column: str, fallback: str = "") -> float | None:
        """Return a time [h], not negative; None where it is missing or wrong."""
        hint = TIME_HINT if column == "time" else f"a header such as '{column} [h]' or a column '{column}_unit'"
        value = self.measure(row, column, "h", hint=hint, fallback=fallback)
        if value is not None and value < 0:
            hint = "times count from the start; shift them so that the first event is at 0"
            self.note(row, column, f"negative time '{row.text(column)}'", expected="0 or more", hint=hint)
            return None
        return None if value is None else float(f"{value:.12g}")  # 0.1 d is 2.4 h, not 2.4000000000000004

    def note(self, row: Row, column: str, problem: str, *, expected: str = "", hint: str = "") -> None:
        """Add a finding about one cell."""
        title = row.titles.get(column) or self.table.titles.get(column, column)
        self.findings.add(problem, row=row.number, column=title, expected=expected, hint=hint)

    def _matched(self, text: str) -> re.Match[str] | None:
        if self.decimal == ",":
            if THOUSANDS.match(text):
                return None  # 1.500 is 1500 to whoever writes 1,5; spreadsheets hand over 1.5 as it is
            text = text.replace(",", ".") if "." not in text else text
        return QUANTITY.fullmatch(text)

    def _finite(self, row: Row, column: str, text: str, digits: str) -> float | None:
        value = float(digits)
        if not math.isfinite(value):
            self.note(row, column, f"'{shortened(text)}' is not finite", expected="a number", hint="NA if missing")
            return None
        return value

    def _not_a_number(self, row: Row, column: str, text: str, hint: str = "NA for a missing value") -> None:
        plain = text.strip()
        if plain.casefold() in NOT_FINITE:
            self.note(row, column, f"'{plain}' is not finite", expected="a number", hint="NA for a missing value")
            return
        if self.decimal == "." and DECIMAL_COMMA.fullmatch(plain):
            hint = "decimal=',' if the comma is a decimal comma"
        elif re.fullmatch(r"[+-]?[\d.,' ]+", plain):
            hint = "no thousands separators; decimal=',' for decimal commas"
        self.note(row, column, f"'{shortened(plain)}' is not a number", hint=hint)
