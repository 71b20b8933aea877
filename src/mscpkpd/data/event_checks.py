"""Read the rows of an event table; each broken rule is a finding with its row (D1 to D15, E7 to E19)."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

from mscpkpd.data.dose_properties import VIALS, bedside_viability, entering
from mscpkpd.data.events import NAMED, Event, by_subject
from mscpkpd.data.findings import shortened
from mscpkpd.data.record import DOSE_PROPERTIES
from mscpkpd.data.tables import Row
from mscpkpd.errors import UnitError, UsageError
from mscpkpd.units import scale_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mscpkpd.data.cells import Reading

__all__ = ["DIALECTS", "SIMPLE", "as_tidy_dose", "check_dialect", "read_events"]

DOSING = ("amt", "rate", "dur", "addl", "ii", "ss")
# cells that make a row more than a value at a time, or one that has to be looked at twice
NOT_PLAIN = frozenset((*DOSING, "viab", "limit"))
MOST_ADDITIONAL = 10_000
# a number as most are written, without sign and exponent
SIMPLE = re.compile(r"\d{1,15}(\.\d*)?")
DATE = re.compile(r"\d+\s*[-/:]\s*\d+")
TIME_UNIT_HINT = "the header 'TIME [h]', or time_unit='h'"
# by EVID: what a row does
EVENTS = {0: "observation", 1: "dose", 2: "other", 3: "reset", 4: "reset and dose"}
# by dialect: numbers of events that have names and no number that all programs share (D11)
DIALECTS = {"rxode2": {"5": "replace", "6": "multiply", "7": "phantom"}, "mrgsolve": {"8": "replace"},
            "nonmem": {}, "monolix": {}}  # fmt: skip


DIALECT_HINT = "the name of the event, or the dialect whose number it is: " + " or ".join(
    f"dialect='{name}'" for name, numbers in DIALECTS.items() if numbers
)


def check_dialect(dialect: str) -> None:
    """Refuse a dialect that is not known.

    Raises
    ------
    UsageError
        With those that are.
    """
    if dialect not in ("", *DIALECTS):
        raise UsageError(f"dialect='{dialect}'", expected=" or ".join(DIALECTS))


def as_tidy_dose(reading: Reading, row: Row) -> Row:
    """Return the row of a dose in the words of a tidy table, so that its properties mean the same (T3)."""
    unit = row.text("amt_unit") or reading.table.units.get("amt", "") or reading.units.get("amt", "")
    cells = {name: row.cells[name] for name in DOSE_PROPERTIES if name in row.cells}
    words = {"dose": row.text("amt"), "dose_unit": unit, "viability": row.text("viab")}
    titles = {"dose": reading.table.titles.get("amt", "AMT"), "viability": reading.table.titles.get("viab", "VIAB")}
    return Row(row.number, {**cells, **{name: text for name, text in words.items() if text}}, titles)


def read_events(
    reading: Reading, time: str, *, time_unit: str = "", regroup: bool = False, dialect: str = ""
) -> tuple[tuple[Event, ...], list[str]]:
    """Read and check every row.

    Parameters
    ----------
    reading : Reading
        Table and stated units; problems are noted in its findings.
    time : str
        Unit of time that is wanted.
    time_unit : str
        Unit of TIME where neither the header nor the caller states one; blank: it must be stated (D13).
    regroup : bool
        Whether rows of one subject may stand apart (D1).
    dialect : "", "rxode2" or "mrgsolve"
        Whose numbers of EVID above 4 to read (D11); blank reads names alone.

    Returns
    -------
    events : tuple of Event
        Rows that could be read, in order of the file.
    notes : list of str
        What was noticed and allowed.
    """
    table = reading.table
    for column in ("id", "time"):
        if column not in table.columns:
            hint = f"it has {', '.join(table.titles[name] for name in table.columns[:20])}"
            reading.findings.add(
                f"no column '{column.upper()}'", expected="ID and TIME in every event table", hint=hint
            )
    if reading.findings.lines:
        return (), []
    rows = _Rows(reading, _scales(reading, time, time_unit), dialect)
    events = []
    for row in table.rows:
        event = rows.event(row)
        if event is not None:
            events.append(event)
        elif reading.findings.full:
            break
    grouped = by_subject(events)
    _check_order(reading, table.rows, grouped, regroup)
    return tuple(events), [*rows.notes, *(_occasion_notes(grouped) if "occ" in table.columns else [])]


def _scales(reading: Reading, target: str, time_unit: str) -> Mapping[str, float]:
    """Factors from the units of the table to the unit of time that is wanted, by column."""
    table = reading.table
    time = _stated(reading, "time") or time_unit
    if not time:
        reading.findings.add("no unit", column=table.titles["time"], hint=f"{TIME_UNIT_HINT} (D13)")
        time = target
    scales = {"time": _factor(reading, "time", time, target)}
    for column in ("ii", "dur"):
        own = table.units.get(column, "")
        scales[column] = _factor(reading, column, own, target) if own else scales["time"]
    amount = _stated(reading, "amt")
    rate = table.units.get("rate", "")
    scales["rate"] = 1 / scales["time"] if scales["time"] else 1.0
    if rate and amount:
        scales["rate"] = _factor(reading, "rate", rate, f"{amount}/{target}")
    elif rate:
        reading.findings.add("a unit of RATE without a unit of AMT (D13)", column="RATE", hint="the header 'AMT [mg]'")
    return scales


def _stated(reading: Reading, column: str) -> str:
    header, argument = reading.table.units.get(column, ""), reading.units.get(column, "")
    if header and argument and header != argument:
        title = reading.table.titles.get(column, column)
        reading.findings.add(
            f"unit stated as '{header}' and '{argument}' (D13)", column=title, hint="one unit, in header or argument"
        )
    return header or argument


def _factor(reading: Reading, column: str, unit: str, target: str) -> float:
    try:
        return scale_factor(unit, target)
    except UnitError as error:
        title = reading.table.titles.get(column, column.upper())
        expected = error.expected or f"a unit such as {target}"
        reading.findings.add(f"{error.problem} (D13)", column=title, expected=expected, hint=error.hint or target)
        return 1.0


class _Rows:
    """Reads one row after the other; holds what was noticed."""

    def __init__(self, reading: Reading, scales: Mapping[str, float], dialect: str) -> None:
        self.reading, self.scales, self.dialect = reading, scales, dialect
        self.has_evid = "evid" in reading.table.columns
        self.needs_cmt = "cmt" in reading.table.columns
        self.points = reading.decimal == "."
        self.notes: list[str] = []

    def event(self, row: Row) -> Event | None:
        """One row; None where anything is wrong with it."""
        return self._plain(row) or self._any(row)

    def _plain(self, row: Row) -> Event | None:
        """A row that is a value at a time and nothing else: most are, and tables are long. None for all others."""
        cells = row.cells
        if not self.points:
            return None
        if not cells.keys().isdisjoint(NOT_PLAIN) and any(cells.get(name, "0") != "0" for name in NOT_PLAIN):
            return None
        if cells.get("evid", "" if self.has_evid else "0") != "0" or cells.get("cens", "0") != "0":
            return None
        subject, time, stated, value = cells.get("id"), cells.get("time", ""), cells.get("mdv"), "dv" in cells
        wrong = stated not in (None, "0", "1") or (stated == "0" and not value)
        if wrong or not subject or not SIMPLE.fullmatch(time):
            return None
        if self.needs_cmt and cells.get("cmt", "-")[0] == "-":
            return None
        number, scale = float(time), self.scales["time"]
        number = number if scale == 1 else float(f"{number * scale:.12g}")
        return Event(row, subject, number, 0, value and stated != "1")

    def _any(self, row: Row) -> Event | None:
        before = len(self.reading.findings)
        subject, time = row.text("id"), self._time(row)
        if not subject:
            self._note(row, "id", "missing (D7)", hint="the subject, in every row")
        if "cmt" in self.reading.table.columns and not row.text("cmt"):
            self._note(row, "cmt", "missing (D7)", hint="a compartment or route in every row, or no column CMT at all")
        elif row.text("cmt").startswith("-"):
            self._note(row, "cmt", f"'{row.text('cmt')}' turns a compartment off (E37)", hint="a positive number")
        numbers = {name: self._number(row, name) for name in DOSING}
        evid = self._evid(row, numbers)
        if evid is None or len(self.reading.findings) > before or time is None:
            return None
        self._check_event(row, numbers, evid)
        observed = self._observed(row, evid)
        viable = self._viable(row)
        amount, rate, duration, interval = (numbers[name] for name in ("amt", "rate", "dur", "ii"))
        if evid in (1, 4) and amount > 0:
            amount, rate, viable = self._entering(row, amount, rate, viable)
        if len(self.reading.findings) > before:
            return None
        if rate > 0:
            rate *= self.scales["rate"]
        duration, interval = duration * self.scales["dur"], interval * self.scales["ii"]
        steady = int(numbers["ss"])
        if steady == 3:
            self.notes.append(f"row {row.number}: SS 3 is read as SS 1 (E30)")
            steady = 1
        return Event(
            row, subject, time, evid, observed, amount, rate, duration, interval, int(numbers["addl"]), viable, steady
        )

    # ---- single cells ----------------------------------------------------------------------------------------------

    def _note(self, row: Row, column: str, problem: str, *, expected: str = "", hint: str = "") -> None:
        title = self.reading.table.titles.get(column, column.upper())
        self.reading.findings.add(problem, row=row.number, column=title, expected=expected, hint=hint)

    def _number(self, row: Row, column: str) -> float:
        return (self.reading.number(row, column) or 0.0) if column in row.cells else 0.0

    def _time(self, row: Row) -> float | None:
        text = row.text("time")
        if not text:
            self._note(row, "time", "missing (D7)", hint="a time in every row")
            return None
        if DATE.search(text):
            hint = "time since the first record as a number, in hours or days"
            self._note(
                row, "time", f"'{shortened(text)}' is a date or a clock time (D2)", expected="a number", hint=hint
            )
            return None
        time = self.reading.number(row, "time")
        scale = self.scales["time"]
        return time if time is None or scale == 1 else float(f"{time * scale:.12g}")

    def _evid(self, row: Row, numbers: Mapping[str, float]) -> int | None:
        if not self.has_evid:
            return 1 if numbers["amt"] > 0 or numbers["ss"] > 0 else 0  # D5
        text = row.text("evid")
        if not text:
            self._note(row, "evid", "missing (D7)", hint="0 for an observation, 1 for a dose, or no column EVID at all")
            return None
        evid = next((number for number in EVENTS if text in (str(number), f"{number}.0")), None)
        if evid is None:
            name = DIALECTS.get(self.dialect, {}).get(text.removesuffix(".0"), text.casefold())
            evid = next((number for number, known in NAMED.items() if known == name), None)
        if evid is None:
            self._unknown_event(row, text)
            return None
        return evid

    def _unknown_event(self, row: Row, text: str) -> None:
        known = ", ".join([*(f"{number} {name}" for number, name in EVENTS.items()), *NAMED.values()])
        plain = text.removesuffix(".0").casefold()
        meant = [f"{names[plain]} ({dialect})" for dialect, names in DIALECTS.items() if plain in names]
        problem, hint = f"EVID '{shortened(text)}' is not known (D11)", "doses, observations and resets as EVID 0 to 4"
        if meant:
            problem = f"EVID {text} means {meant[0]} in one program and nothing or something else in others (D11)"
            hint = DIALECT_HINT
        self._note(row, "evid", problem, expected=known, hint=hint)

    def _viable(self, row: Row) -> float | None:
        viable = self.reading.number(row, "viab") if "viab" in row.cells else None
        if viable is not None and not 0 <= viable <= 1:
            hint = "0.9 for 90 %"
            self._note(
                row, "viab", f"viable fraction '{row.text('viab')}' (T1)", expected="a number from 0 to 1", hint=hint
            )
        return viable

    def _entering(
        self, row: Row, amount: float, rate: float, viable: float | None
    ) -> tuple[float, float, float | None]:
        """Amount in cells without what is lost (T3), the rate that brings it in the same time, and what of it lives.

        The viable fraction is that at the bedside, else that at thaw with a note (T2).
        """
        dose = as_tidy_dose(self.reading, row)
        if viable is None and "viability_thaw" in row.cells:
            viable = bedside_viability(self.reading, dose, self.notes)
        if dose.text("dose_unit").casefold() not in VIALS and "infusion_loss" not in row.cells:
            return amount, rate, viable
        left, _ = entering(self.reading, dose, amount, dose.text("dose_unit"))
        return left, rate * left / amount if rate > 0 else rate, viable

    # ---- rules of a row ----------------------------------------------------------------------------------------------

    def _check_event(self, row: Row, numbers: Mapping[str, float], evid: int) -> None:
        if evid in NAMED:
            self._check_named(row, numbers, NAMED[evid])
        elif evid in (1, 4):
            self._check_dose(row, numbers, evid)
        else:
            self._check_no_dose(row, numbers, evid)

    def _check_dose(self, row: Row, numbers: Mapping[str, float], evid: int) -> None:
        self._check_steady(row, numbers)
        amount, rate, duration, interval = (numbers[name] for name in ("amt", "rate", "dur", "ii"))
        if amount <= 0 and not self._constant(numbers):
            said = f"AMT '{row.text('amt')}'" if row.text("amt") else "no AMT"
            hint = "the amount; EVID 2 for a row that gives nothing"
            if evid == 4:
                hint = "the amount; EVID 3 for a reset alone"
            self._note(row, "amt", f"{said} on a dose row (D10)", expected="a number above 0", hint=hint)
        if rate and duration:
            problem = f"RATE {row.text('rate')} and DUR {row.text('dur')} in one row (D9)"
            self._note(row, "rate", problem, expected="one of them", hint="DUR 0 or missing beside RATE")
        if rate < 0 and rate not in (-1, -2):
            expected = "a rate above 0, -1 (rate of the model) or -2 (duration of the model)"
            self._note(row, "rate", f"RATE {row.text('rate')} (E7, E8)", expected=expected, hint="RATE 0 for a bolus")
        if duration < 0:
            self._note(row, "dur", f"negative DUR '{row.text('dur')}' (E9)", expected="0 or more", hint="0 for a bolus")
        self._check_additional(row, numbers, interval)

    def _check_additional(self, row: Row, numbers: Mapping[str, float], interval: float) -> None:
        additional = numbers["addl"]
        if additional < 0 or additional != int(additional) or additional > MOST_ADDITIONAL:
            expected = f"a whole number from 0 to {MOST_ADDITIONAL}"
            self._note(row, "addl", f"ADDL '{row.text('addl')}' (E17)", expected=expected, hint="0 for one dose")
        elif interval < 0:
            self._note(
                row,
                "ii",
                f"negative II '{row.text('ii')}' (E19)",
                expected="an interval above 0",
                hint="0 without ADDL",
            )
        elif additional > 0 and interval == 0 and not numbers["ss"]:
            problem = f"ADDL {row.text('addl')} without II (E19)"
            self._note(row, "ii", problem, expected="an interval above 0", hint="the time between two doses in II")
        elif interval > 0 and additional == 0 and not numbers["ss"]:
            self.notes.append(f"row {row.number}: II without ADDL or SS is ignored (E19)")

    def _check_named(self, row: Row, numbers: Mapping[str, float], name: str) -> None:
        """E36: a state and a number, and nothing of what belongs to doses."""
        for column in DOSING[1:] if name != "phantom" else DOSING:
            if numbers[column]:
                problem = f"{column.upper()} {row.text(column)} on a row with EVID {name} (E36)"
                self._note(row, column, problem, expected="0 or missing", hint="a row of its own for a dose")
        if name != "phantom" and not row.text("amt"):
            hint = "the new amount" if name == "replace" else "the factor"
            self._note(row, "amt", f"no AMT on a row with EVID {name} (E36)", expected="a number", hint=hint)

    def _check_steady(self, row: Row, numbers: Mapping[str, float]) -> None:
        steady = numbers["ss"]
        if steady not in (0, 1, 2, 3):
            self._note(
                row, "ss", f"SS '{row.text('ss')}'", expected="0, 1 or 2 (E21, E28)", hint="0 for no steady state"
            )
        elif steady and self._constant(numbers):
            self._check_constant(row, numbers)
        elif steady and numbers["ii"] == 0:
            problem = f"SS {row.text('ss')} without II (E19)"
            hint = "the time between two doses in II; for an infusion without end AMT 0 and its RATE (E27)"
            self._note(row, "ii", problem, expected="an interval above 0", hint=hint)

    def _constant(self, numbers: Mapping[str, float]) -> bool:
        """Whether a row is that of an endless infusion, right or wrong (E27)."""
        rated = numbers["rate"] > 0 or numbers["rate"] == -1
        return numbers["ss"] > 0 and numbers["amt"] == 0 and numbers["ii"] == 0 and rated

    def _check_constant(self, row: Row, numbers: Mapping[str, float]) -> None:
        """E27: what an endless infusion cannot have."""
        if numbers["ss"] == 2:
            hint = "SS 1, or doses with an AMT and II to add"
            self._note(row, "ss", "SS 2 with AMT 0: nothing to add (E27, E28)", hint=hint)
        if numbers["addl"]:
            problem = f"ADDL {row.text('addl')} beside an endless infusion (E27)"
            self._note(row, "addl", problem, expected="0 or missing", hint="a row of its own for the doses that follow")

    def _check_no_dose(self, row: Row, numbers: Mapping[str, float], evid: int) -> None:
        for name, number in numbers.items():
            if number != 0:
                problem = f"{name.upper()} {row.text(name)} on a row with EVID {evid} (D8)"
                hint = "EVID 4 if the row is a reset and a dose" if evid == 3 else "EVID 1 if the row is a dose"
                self._note(row, name, problem, expected="0 or missing", hint=hint)

    def _observed(self, row: Row, evid: int) -> bool:
        value = row.text("dv")
        stated = row.text("mdv")
        if stated not in ("", "0", "1", "0.0", "1.0"):
            self._note(row, "mdv", f"MDV '{stated}'", expected="0 or 1 (D4)", hint="1 where DV is not to be used")
            return False
        missing = stated.startswith("1")
        if evid != 0:
            if value and not missing and self._meant(row):
                problem = f"DV {shortened(value)} on a row with EVID {evid} is not read (D3)"
                self._note(row, "dv", problem, hint="a row of its own with EVID 0, or MDV 1")
            return False
        if row.text("cens") not in ("", "0", "0.0") and not value and not missing:
            problem = f"CENS {row.text('cens')} without DV (B1)"
            self._note(row, "dv", problem, expected="the limit of quantification", hint="the limit in DV, or MDV 1")
            return False
        if row.text("limit") and not value and not missing:
            problem = f"LIMIT {row.text('limit')} without DV: an interval needs both bounds (B2)"
            self._note(row, "dv", problem, hint="CENS 1 with DV and LIMIT, or MDV 1")
            return False
        if stated.startswith("0") and not value:
            self._note(row, "dv", "MDV 0 without DV (D4)", hint="a value, or MDV 1")
            return False
        return bool(value) and not missing

    def _meant(self, row: Row) -> bool:
        try:
            return float(row.text("dv")) != 0  # many programs write 0 where nothing was observed
        except ValueError:
            return True


# ---- rules of several rows ------------------------------------------------------------------------------------------


def _check_order(
    reading: Reading,
    rows: Sequence[Row],
    grouped: Mapping[str, Sequence[Event]],
    regroup: bool,  # noqa: FBT001
) -> None:
    """Note subjects that stand apart (D1) and times that go back (D2)."""
    last, seen, reported = "", dict[str, int](), set[str]()
    for row in rows:
        subject = row.cells.get("id", "")
        if subject == last:
            seen[subject] = row.number
            continue
        if subject and subject in seen and subject not in reported and not regroup:
            problem = f"rows of subject '{subject}' stand apart, the others end in row {seen[subject]} (D1)"
            reported.add(subject)
            hint = "sort by ID, or regroup=True in read_study; another ID if it is another subject"
            reading.findings.add(problem, row=row.number, column=reading.table.titles["id"], hint=hint)
        if subject:
            seen[subject], last = row.number, subject
    for own in grouped.values():
        for before, event in pairwise(own):
            if event.time < before.time and not event.resets:
                text, earlier = event.row.text("time"), before.row.text("time")
                problem = f"time {text} after {earlier} in row {before.row.number} (D2)"
                hint = "rows of a subject in order of time; only a reset (EVID 3, 4) may restart it"
                column = reading.table.titles["time"]
                reading.findings.add(problem, row=event.row.number, column=column, hint=hint)


def _occasion_notes(grouped: Mapping[str, Sequence[Event]]) -> list[str]:
    """Say where OCC changes without a dose in between, additional ones included (D12)."""
    changed = []
    for own in grouped.values():
        stated = [event for event in own if event.row.text("occ")]
        given = sorted(time for event in own if event.doses for time in event.times) if len(stated) > 1 else []
        for before, event in pairwise(stated):
            if event.row.text("occ") == before.row.text("occ") or event.resets or event.time < before.time:
                continue
            place = bisect_left(given, before.time)
            if place == len(given) or given[place] > event.time:
                changed.append(event.row.number)
    if not changed:
        return []
    count = "1 row" if len(changed) == 1 else f"{len(changed)} rows"
    return [f"row {changed[0]}: OCC changes without a dose, as in {count} (D12)"]
