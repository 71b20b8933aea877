"""What a row observes of an output, where it is not its value at a time: columns, words and their sense (Q1 to Q7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mscpkpd.data.assays import PERCENT_OF_DOSE
from mscpkpd.errors import closest
from mscpkpd.units import same_dimension

if TYPE_CHECKING:
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.record import Record
    from mscpkpd.data.tables import Row

__all__ = ["COUNTS", "DIMENSIONLESS", "QUANTITIES", "TIMES", "check_quantity", "what_of"]

# word -> what it is, for messages
QUANTITIES = {
    "half_life": "a half-life between `time` and `time_to`",
    "ratio": "the output over `versus`, or over the same output of `versus_subject`",
    "fold_change": "the output over its value at `time_from`",
    "difference": "the output minus its value at `time_from`",
    "peak": "the largest value from `time` to `time_to`",
    "peak_time": "when the output is largest",
    "positive": "k of n animals with a positive assay",
    "present": "whether anything was found: 0 or 1",
    "share": "the share of an organ in what was found in a sample",
    "recovery": "what was found in a sample, as a share of the dose",
    "alive": "k of n animals alive",
    "event_time": "the time of an event",
}
TIMES = ("half_life", "peak_time", "event_time")  # whose value is a time
COUNTS = ("positive", "present", "alive")
DIMENSIONLESS = ("ratio", "fold_change")
SHARES = ("share", "recovery")
WINDOWS = ("half_life", "peak", "peak_time")
CHANGES = ("fold_change", "difference")
# which quantities a column belongs to
BELONGS = {"versus": ("ratio",), "versus_subject": ("ratio",), "time_to": WINDOWS, "time_from": CHANGES}
ABOVE_ZERO = (*TIMES, *SHARES)


def what_of(reading: Reading, row: Row, time: float | None) -> dict[str, Any]:
    """Read what a row observes.

    Parameters
    ----------
    reading : Reading
        The table; problems are noted in its findings.
    row : Row
    time : float or None
        Of the row [h].

    Returns
    -------
    dict
        Fields of `Record`; empty where the output itself is observed.
    """
    word = row.text("quantity").casefold().replace("-", "_").replace(" ", "_")
    if word and word not in QUANTITIES:
        near = closest(word, QUANTITIES) or ("blank for the output at the time",)
        expected = f"one of {', '.join(QUANTITIES)}"
        reading.note(row, "quantity", f"'{row.text('quantity')}'", expected=expected, hint=" or ".join(near))
        return {}
    for column, owners in BELONGS.items():
        if column in row.cells and word not in owners:
            said = f"quantity '{word}'" if word else "no quantity"
            reading.note(
                row, column, f"{column} with {said}", hint=f"quantity = {' or '.join(owners)}, or leave it blank"
            )
    if not word:
        return {}
    found: dict[str, Any] = {"quantity": word}
    found |= {name: row.cells[name] for name in ("versus", "versus_subject") if name in row.cells}
    for name in ("time_to", "time_from"):
        if name in row.cells:
            found[name] = reading.hours(row, name, reading.unit(row, "time"))
    _check_what(reading, row, time, found)
    return found


def _check_what(reading: Reading, row: Row, time: float | None, found: dict[str, Any]) -> None:
    word, end = found["quantity"], found.get("time_to")
    if word in WINDOWS and "time_to" not in row.cells:
        problem = f"'{word}' without the end of its window (Q2)"
        reading.note(row, "time_to", problem, hint="the window is from 'time' to 'time_to', such as 24 and 72 h")
    if end is not None and time is not None and end <= time:
        problem = f"the window ends at {end:g} h and begins at {time:g} h"
        reading.note(row, "time_to", problem, expected="time_to after time", hint="exchange them")
    if word == "ratio" and not {"versus", "versus_subject"} & row.cells.keys():
        hint = "an output in 'versus', such as liver_cells, or a subject in 'versus_subject'"
        reading.note(row, "versus", "a ratio to nothing (Q3)", hint=hint)


def check_quantity(reading: Reading, row: Row, record: Record) -> None:
    """Note a unit or a value that the quantity of a record cannot have."""
    word, unit = record.quantity, record.unit
    if word in TIMES and (unit == PERCENT_OF_DOSE or not same_dimension(unit, "h")):
        reading.note(row, "unit", f"'{word}' in {unit}", expected="a unit of time", hint="h or d in the column 'unit'")
    if word in DIMENSIONLESS and (unit == PERCENT_OF_DOSE or not same_dimension(unit, "1")):
        reading.note(row, "unit", f"'{word}' in {unit}", expected="no unit, or %", hint="1 in the column 'unit'")
    if word in SHARES and unit != PERCENT_OF_DOSE and not same_dimension(unit, "1"):
        reading.note(
            row, "unit", f"'{word}' in {unit}", expected="% or %ID", hint="% of what was found, %ID of the dose"
        )
    numbers = [record.value] if record.kind != "logmean" else []
    numbers += [x for x in (record.lower, record.upper) if x is not None and record.kind != "logmean"]
    if word in ABOVE_ZERO and any(x <= 0 for x in numbers):
        hint = "an organ without cells: together with another one in one row" if word == "share" else ""
        reading.note(row, "value", f"'{word}' of {min(numbers):g}", expected="a number above 0", hint=hint)
    if word == "share" and record.kind not in ("value", "mean"):
        hint = "organs with nothing found together with another one in one row"
        reading.note(row, "censoring", "a share that is censored or a range (Q5)", hint=hint)
    if word == "share" and record.sd is not None:
        hint = "leave sd blank: the noise of the output is that of a share"
        reading.note(row, "sd", "sd of a share (Q5)", hint=hint)
