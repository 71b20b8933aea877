"""One record from one row of a tidy table, with censoring (B1, B2, B14) and summaries (B16)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mscpkpd.data.assays import PERCENT_OF_DOSE, is_share
from mscpkpd.data.cells import known_unit
from mscpkpd.data.measured import COLUMNS as MEASURED
from mscpkpd.data.measured import corrected_for_decay, detection_limit, measured_how
from mscpkpd.data.quantities import COUNTS, DIMENSIONLESS, check_quantity, what_of
from mscpkpd.data.record import KNOWN_COLUMNS, QUANTITY_FIELDS, Record
from mscpkpd.data.summaries import D2, log_of_quartiles, mean_of_range
from mscpkpd.errors import UnitError, closest
from mscpkpd.units import same_dimension

if TYPE_CHECKING:
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.tables import Row

__all__ = ["IN_UNIT_OF_VALUE", "is_observation", "record_of"]

CENSORING = ("none", "left", "right", "interval")
STATS = ("value", "mean", "median", "range")
WORDS = ("method", "organ", "study", "occasion", "lot", "replicate")
BESIDE_A_VALUE = frozenset(
    ("lower", "upper", "sd", "lloq", "uloq", "lod", "lod_reaction", "sem", "se", "n", "censoring", "truncation")
)
IN_UNIT_OF_VALUE = frozenset(("lower", "upper", "sd", "lod", "lloq", "uloq", "truncation"))
# what laboratories write instead of a number (B14)
NOT_DETECTED = ("nd", "n.d.", "not detected", "undetected", "<lod", "< lod")
NOT_QUANTIFIED = ("dnq", "detected", "detected not quantified", "detected, not quantified")
BELOW_LLOQ = ("blq", "bloq", "blloq", "<lloq", "< lloq", "<loq", "< loq")
WORDS_FOR_LIMITS = frozenset((*NOT_DETECTED, *NOT_QUANTIFIED, *BELOW_LLOQ))
LIMIT = re.compile(r"(?P<sign>[<>])=?\s*(?P<number>\S.*)")
UNIT_HINT = "a column 'unit', a header such as 'value [cells]', or unit='cells'"


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers of a row as read, and what `censoring` and `value` say together."""

    value: float | None
    lower: float | None
    upper: float | None
    sd: float | None
    n: int | None
    censoring: str
    lod: float | None = None
    lloq: float | None = None
    uloq: float | None = None
    truncation: float | None = None

    def times(self, factor: float) -> _Numbers:
        """All of them by the same factor."""
        if factor == 1:
            return self
        names = ("value", "lower", "upper", "sd", "lod", "lloq", "uloq", "truncation")
        scaled = {name: number * factor for name in names if (number := getattr(self, name)) is not None}
        return replace(self, **scaled)


def is_observation(row: Row) -> bool:
    """Say whether a row observes anything: it may also only carry a dose or a missing value."""
    cells = row.cells
    if "value" in cells or "lower" in cells or "upper" in cells:
        return True
    return row.text("censoring").casefold() not in ("", "none")


def record_of(reading: Reading, row: Row) -> tuple[Record | None, str]:
    """Read one observation.

    Parameters
    ----------
    reading : Reading
        The table; problems are noted in its findings.
    row : Row
        A row with an observation.

    Returns
    -------
    record : Record or None
        None if anything in the row is wrong.
    remark : str
        What the user should know about the row; usually blank.
    """
    before = len(reading.findings)
    time = reading.hours(row, "time")
    for column in ("subject", "time", "output"):
        if not row.text(column):
            reading.note(row, column, "missing", hint=f"every observation has a {column} (D7)")
    what = what_of(reading, row, time) if not row.cells.keys().isdisjoint(QUANTITY_FIELDS) else {}
    unit = _unit(reading, row, what.get("quantity", ""))
    stat = _word(reading, row, "stat", STATS)
    numbers = _numbers(reading, row, unit)
    if len(reading.findings) > before or time is None:
        return None, ""
    start = _blank(reading, row, time, unit, stat, numbers)
    if what:
        start = replace(start, **what)
    if reading.masses or not row.cells.keys().isdisjoint(MEASURED):
        factor, decay = corrected_for_decay(reading, row, time)
        numbers = numbers.times(factor)
        limits = {name: getattr(numbers, name) for name in ("lod", "lloq", "uloq", "truncation")}
        start = replace(start, value=numbers.value or 0.0, decay=decay, **limits, **measured_how(reading, row))
    if start.quantity in COUNTS:
        record = _count(reading, row, start, numbers)
    else:
        record = _summary(reading, row, start, numbers) if stat != "value" else _single(reading, row, start, numbers)
    if record is None or len(reading.findings) > before:
        return None, ""
    if record.quantity:
        check_quantity(reading, row, record)
    else:
        _check_size(reading, row, record)
    return (record if len(reading.findings) == before else None), _remark(record, numbers)


def _blank(reading: Reading, row: Row, time: float, unit: str, stat: str, numbers: _Numbers) -> Record:
    extra = tuple((name, text) for name, text in row.cells.items() if name not in KNOWN_COLUMNS)
    words: dict[str, Any] = {column: row.cells[column] for column in WORDS if column in row.cells}
    where = f"{reading.table.source} row {row.number}"
    return Record(
        row.number, row.text("subject"), time, "h", row.text("output"), "value", numbers.value or 0.0, None, None, None,
        None, unit, stat=stat, where=where, extra=extra, pre_dose=_pre_dose(reading, row), lod=numbers.lod,
        lloq=numbers.lloq, uloq=numbers.uloq, truncation=numbers.truncation, **words,
    )  # fmt: skip


def _pre_dose(reading: Reading, row: Row) -> int:
    return (reading.whole(row, "pre_dose") or 0) if "pre_dose" in row.cells else 0


def _unit(reading: Reading, row: Row, quantity: str) -> str:
    if quantity in COUNTS:
        return "1"
    stated = reading.unit(row, "value")
    if not stated and quantity in DIMENSIONLESS:
        return "1"
    if not stated:
        reading.note(row, "value", "no unit", hint=UNIT_HINT)
        return ""
    try:
        return known_unit(stated)
    except UnitError as error:
        reading.note(row, "unit", error.problem, expected=error.expected, hint=error.hint)
        return ""


def _word(reading: Reading, row: Row, column: str, allowed: tuple[str, ...]) -> str:
    if column not in row.cells:
        return allowed[0]
    word = row.text(column).casefold()
    if word not in allowed:
        near = closest(word, allowed) or allowed
        hint = " or ".join(near)
        reading.note(row, column, f"'{row.text(column)}'", expected=f"one of {', '.join(allowed)}", hint=hint)
    return word


def _numbers(reading: Reading, row: Row, unit: str) -> _Numbers:
    word = row.text("value").casefold()
    if row.cells.keys().isdisjoint(BESIDE_A_VALUE) and word[:1] not in ("<", ">") and word not in WORDS_FOR_LIMITS:
        return _Numbers(reading.number(row, "value"), None, None, None, None, "none")  # most rows
    _check_units(reading, row, unit)
    lod, lloq, uloq = detection_limit(reading, row, unit), reading.number(row, "lloq"), reading.number(row, "uloq")
    if lod is not None and not 0 < lod < (lloq or math.inf):
        reading.note(
            row, "lod", f"lod {lod:g} (B14)", expected="above 0 and below the lloq", hint="NA if it is not known"
        )
    if word in WORDS_FOR_LIMITS:
        return _limits_in_words(reading, row, word, (lod, lloq, uloq))
    censoring = _word(reading, row, "censoring", CENSORING)
    sign = LIMIT.fullmatch(row.text("value"))
    if sign is None:
        value = reading.number(row, "value")
    else:
        value, censoring = _limit_in_value(reading, row, sign, censoring)
    lower, upper, sd = (reading.number(row, column) for column in ("lower", "upper", "sd"))
    if censoring == "left" and upper is None:
        upper = lloq
    if censoring == "right" and lower is None:
        lower = uloq
    if censoring == "none" and value is not None:
        _check_quantified(reading, row, value, lloq, uloq)
    if sd is not None and sd <= 0:
        reading.note(row, "sd", f"'{row.text('sd')}'", expected="a number above 0", hint="NA if it is not known")
    if "sem" in row.cells or "se" in row.cells:
        reading.note(row, "sem", "a standard error", expected="sd and n", hint="sd = sem*sqrt(n)")
    truncation = reading.number(row, "truncation")
    return _Numbers(value, lower, upper, sd, reading.whole(row, "n"), censoring, lod, lloq, uloq, truncation)


def _check_units(reading: Reading, row: Row, unit: str) -> None:
    """Refuse a limit or a spread in another unit than its value: both are numbers of one scale (D13)."""
    for column in IN_UNIT_OF_VALUE & row.cells.keys() & reading.table.units.keys():
        own = reading.table.units[column]
        if unit and own != unit and not _same_unit(own, unit):
            reading.note(row, column, f"{column} in {own} beside a value in {unit} (D13)", hint=f"numbers in {unit}")


def _same_unit(stated: str, unit: str) -> bool:
    """Whether a unit as written is that of the value: "copies/ug DNA" is copies/ug."""
    try:
        return known_unit(stated) == unit
    except UnitError:
        return False


def _limits_in_words(reading: Reading, row: Row, word: str, limits: tuple[float | None, ...]) -> _Numbers:
    """Read "ND", "DNQ" and "BLQ": not detected, detected but not quantified, not quantified (B14)."""
    lod, lloq, uloq = limits
    needed = {"lod": lod} if word in NOT_DETECTED else {"lloq": lloq}
    if word in NOT_QUANTIFIED:
        needed["lod"] = lod
    without = [name for name, limit in needed.items() if limit is None]
    if without:
        columns = " and ".join(f"'{name}'" for name in without)
        hint = f"the limit of the assay in {columns}, or a value such as '<7.8'"
        reading.note(row, "value", f"'{row.text('value')}' without {' and '.join(without)} (B14)", hint=hint)
    if row.text("censoring").casefold() not in ("", "none", "left", "interval"):
        problem = f"'{row.text('value')}' with censoring {row.text('censoring')}"
        reading.note(row, "value", problem, hint="leave censoring blank")
    sd, n = reading.number(row, "sd"), reading.whole(row, "n")
    if word in NOT_QUANTIFIED:
        return _Numbers(None, lod, lloq, sd, n, "interval", lod, lloq, uloq)
    return _Numbers(None, None, lod if word in NOT_DETECTED else lloq, sd, n, "left", lod, lloq, uloq)


def _limit_in_value(reading: Reading, row: Row, sign: re.Match[str], censoring: str) -> tuple[float | None, str]:
    """Read `<7.8` and `>500`."""
    means = "left" if sign["sign"] == "<" else "right"
    if censoring not in ("none", means):
        problem = f"'{row.text('value')}' with censoring {censoring}"
        reading.note(row, "value", problem, hint=f"censoring {means}, or the number alone")
    bare = replace(row, cells={**row.cells, "value": sign["number"]})
    return reading.number(bare, "value"), means


def _check_quantified(reading: Reading, row: Row, value: float, lloq: float | None, uloq: float | None) -> None:
    if lloq is not None and value < lloq:
        hint = f"censoring left with upper {lloq:g}, or the value '<{lloq:g}'"
        reading.note(row, "value", f"{value:g} is below the lloq {lloq:g} but not censored (B1)", hint=hint)
    if uloq is not None and value > uloq:
        hint = f"censoring right with lower {uloq:g}, or the value '>{uloq:g}'"
        reading.note(row, "value", f"{value:g} is above the uloq {uloq:g} but not censored (B1)", hint=hint)


def _count(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    """Of n animals, k (Q4)."""
    k, n = numbers.value, numbers.n if numbers.n is not None else 1
    if numbers.n is None and start.quantity != "present":
        hint = "the number of animals in 'n': value 5 and n 10 for 5 of 10"
        reading.note(row, "n", f"'{start.quantity}' without n (Q4)", hint=hint)
        return None
    if start.stat != "value" or numbers.censoring != "none" or numbers.sd is not None:
        column = "stat" if start.stat != "value" else "censoring" if numbers.censoring != "none" else "sd"
        reading.note(
            row, column, f"{column} of '{start.quantity}' (Q4)", hint=f"leave {column} blank: a count has none"
        )
        return None
    if k is None or k != int(k) or not 0 <= k <= n:
        reading.note(
            row, "value", f"'{row.text('value')}' of {n}", expected=f"a whole number from 0 to {n} (Q4)",
            hint="the number of animals, not a share or a percentage",
        )  # fmt: skip
        return None
    return replace(start, kind="count", value=k, n=n)


def _single(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    if numbers.sd is not None or (numbers.n or 1) > 1:
        column = "sd" if numbers.sd is not None else "n"
        reading.note(row, column, f"{column} of a single value", hint="stat = mean, or leave it blank (B16)")
        return None
    if numbers.censoring == "left":
        return _left(reading, row, start, numbers)
    if numbers.censoring == "right":
        return _right(reading, row, start, numbers)
    if numbers.censoring == "interval":
        return _interval(reading, row, start, numbers.lower, numbers.upper)
    if numbers.value is None:
        hint = "censoring = interval, or stat = range, for bounds without a value"
        reading.note(row, "value", "missing beside lower or upper", hint=hint)
        return None
    return start


def _left(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    limit = numbers.upper if numbers.upper is not None else numbers.value
    if limit is None:
        hint = "the limit in 'upper' or 'value', such as value '<7.8'"
        reading.note(row, "censoring", "left-censored without a limit (B1)", hint=hint)
        return None
    if numbers.value is not None and numbers.value > limit:
        reading.note(row, "value", f"{numbers.value:g} is above the limit {limit:g}", hint="value repeats the limit")
        return None
    if numbers.lower is not None and numbers.lower > 0:  # B14: detected, not quantified
        return _interval(reading, row, start, numbers.lower, limit)
    return replace(start, kind="left", value=limit, upper=limit)


def _right(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    limit = numbers.lower if numbers.lower is not None else numbers.value
    if limit is None:
        hint = "the limit in 'lower' or 'value', such as value '>500'"
        reading.note(row, "censoring", "right-censored without a limit (B1)", hint=hint)
        return None
    if numbers.value is not None and numbers.value < limit:
        reading.note(row, "value", f"{numbers.value:g} is below the limit {limit:g}", hint="value repeats the limit")
        return None
    if numbers.upper is not None:
        return _interval(reading, row, start, limit, numbers.upper)
    return replace(start, kind="right", value=limit, lower=limit)


def _interval(reading: Reading, row: Row, start: Record, lower: float | None, upper: float | None) -> Record | None:
    if lower is None or upper is None:
        reading.note(row, "censoring", "interval without both bounds (B8)", hint="numbers in 'lower' and 'upper'")
        return None
    if not _ordered(reading, row, lower, upper):
        return None
    return replace(start, kind="interval", value=(lower + upper) / 2, lower=lower, upper=upper)


def _ordered(reading: Reading, row: Row, lower: float, upper: float) -> bool:
    if lower >= upper:
        reading.note(row, "lower", f"lower {lower:g} is not below upper {upper:g}", hint="exchange them")
    return lower < upper


def _summary(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    if numbers.censoring != "none":
        problem = f"censoring {numbers.censoring} of a {start.stat}"
        reading.note(row, "censoring", problem, hint="censoring none: a range is no interval-censored value (B16)")
        return None
    if numbers.n is None:
        hint = "the number of subjects in 'n'; n = 1 if it is not known, the cautious choice"
        reading.note(row, "n", f"{start.stat} without n (B16)", hint=hint)
        return None
    start = replace(start, kind="mean", n=numbers.n)
    if start.stat == "range":
        return _range(reading, row, start, numbers, numbers.n)
    if numbers.value is None:
        reading.note(row, "value", f"missing {start.stat}", hint="NA rows are left out; fill in or delete lower, upper")
        return None
    if start.stat == "median":
        return _median(reading, row, start, numbers)
    return replace(start, value=numbers.value, sd=numbers.sd)


def _range(reading: Reading, row: Row, start: Record, numbers: _Numbers, n: int) -> Record | None:
    if numbers.lower is None or numbers.upper is None:
        reading.note(row, "stat", "range without both limits", hint="numbers in 'lower' and 'upper'")
        return None
    if n not in D2:
        problem = f"range over n = {n}"
        reading.note(row, "n", problem, expected="n from 2 to 10 (B16)", hint="stat = mean with sd, if known")
        return None
    if not _ordered(reading, row, numbers.lower, numbers.upper):
        return None
    mean, sd = mean_of_range(numbers.lower, numbers.upper, n)
    return replace(start, value=mean, sd=sd, lower=numbers.lower, upper=numbers.upper)


def _median(reading: Reading, row: Row, start: Record, numbers: _Numbers) -> Record | None:
    value, lower, upper = numbers.value, numbers.lower, numbers.upper
    if value is None or lower is None or upper is None:
        hint = "first and third quartile in 'lower' and 'upper' (B16)"
        reading.note(row, "stat", "median without quartiles", hint=hint)
        return None
    if not 0 < lower < upper or not lower <= value <= upper:
        problem = f"quartiles {lower:g} and {upper:g} around the median {value:g}"
        reading.note(row, "lower", problem, expected="0 < lower <= median <= upper", hint="stat = mean with sd")
        return None
    mean, sd = log_of_quartiles(value, lower, upper)
    low, high = (log_of_quartiles(bound, lower, upper)[0] for bound in (lower, upper))
    return replace(start, kind="logmean", value=mean, sd=sd, lower=low, upper=high)


def _check_size(reading: Reading, row: Row, record: Record) -> None:
    """Refuse what no count of cells and no share of a dose can be."""
    if record.kind == "logmean" or (record.kind == "value" and 0 <= record.value <= 100):
        return
    smallest = min(x for x in (record.value, record.lower, record.upper) if x is not None)
    share = record.unit == PERCENT_OF_DOSE
    if smallest < 0 and (is_share(record.unit) or same_dimension(record.unit, "cells")):
        hint = "censoring = left with the limit in 'upper' for a value below the background"
        reading.note(row, "value", f"negative value {smallest:g} {record.unit}", expected="0 or more", hint=hint)
    if share and record.value > 100 and record.sd is None:
        problem = f"{record.value:g} % of the dose in one place"
        hint = "%ID of the whole dose, not of the organ; a measured excess needs stat = mean with its sd"
        reading.note(row, "value", problem, expected="at most 100 %ID", hint=hint)


def _remark(record: Record, numbers: _Numbers) -> str:
    given = numbers.value
    bounds = numbers.lower is not None or numbers.upper is not None
    if record.stat == "range" and given is not None and abs(given - record.value) > 1e-9 * abs(record.value):
        return f"row {record.row}: the value {given:g} is not used, a range is its midpoint {record.value:g} (B16)"
    if record.stat in ("median", "range") and numbers.sd is not None:
        return f"row {record.row}: the sd is not used, a {record.stat} has its limits (B16)"
    if bounds and record.kind in ("value", "mean") and record.stat != "range":
        return f"row {record.row}: lower and upper are not used beside a {record.stat}"
    return ""
