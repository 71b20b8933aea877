"""From the rows of an event table to the subjects, doses and records of a study."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mscpkpd.data.cells import PERCENT_OF_DOSE, Reading, known_unit
from mscpkpd.data.covariates import RULE_OF, Covariate, Declared, Varying, declared, is_covariate, with_points
from mscpkpd.data.dose_properties import VIALS, Properties, dose_properties, with_spread
from mscpkpd.data.event_checks import SIMPLE, as_tidy_dose, read_events
from mscpkpd.data.events import COLUMNS, Event, SameTime, by_subject, counted_on, given_times, renamed
from mscpkpd.data.record import ASSAY_COLUMNS, KNOWN_COLUMNS, Record, like
from mscpkpd.data.record import COLUMNS as TIDY
from mscpkpd.data.rows import IN_UNIT_OF_VALUE, record_of
from mscpkpd.data.study import Study, Subject
from mscpkpd.data.tables import Row, Table
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.errors import DosingError, UnitError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mscpkpd.data.covariates import Interpolation

__all__ = ["BETWEEN_EPISODES", "TAD_NOTE", "dose_of", "dosed_by", "study_of_events"]

NUMBER = re.compile(r"\d+(\.0*)?")
# cells that mean the same in an event table and in a tidy one
KEPT = ("unit", "lot", "study", "lloq", "uloq", "method", "organ", "stat", "sd", "n", "lower", "upper", "replicate",
        *ASSAY_COLUMNS)  # fmt: skip
# cells that make a row more than a value
SPECIAL = frozenset(("limit", "lloq", "uloq", "unit", "method", "organ", "stat", "sd", "sem", "se", "n", "lower",
                     "upper", "replicate", *ASSAY_COLUMNS))  # fmt: skip
# what differs between records that are values and nothing else
PLAIN = ("row", "subject", "time", "output", "value", "study", "occasion", "lot", "where", "extra")
KNOWN = frozenset((*COLUMNS, *KNOWN_COLUMNS))
# tidy cell: the column to name in a message
TITLES = {
    "subject": "id", "time": "time", "value": "dv", "unit": "dv", "output": "dvid", "censoring": "cens",
    "lower": "limit", "upper": "dv", "truncation": "limit",
}  # fmt: skip
WEIGHTS = ("weight", "wt")
TAD_NOTE = "TAD is not read: it follows from the doses (E38)"
BETWEEN_EPISODES = 1.0  # hours: what is before a reset and what is after it never share a time
STEADY = {0: "", 1: "reached", 2: "added"}
TIMED_BY = {-1.0: "model rate", -2.0: "model duration"}


def study_of_events(
    reading: Reading,
    name: str,
    outputs: str | Mapping[int | str, str] | None,
    routes: str | Mapping[int | str, str] | None,
    *,
    regroup: bool = False,
    dialect: str = "",
    covariates: Interpolation | None = None,
) -> Study:
    """Read a study out of an event table.

    Parameters
    ----------
    reading : Reading
        Table, decimal sign and the units stated for `time`, `amt` and `dv`.
    name : str
        Name of the study.
    outputs : str or mapping, optional
        Names of what DVID, else CMT, observes; a text is the name of everything.
    routes : str or mapping, optional
        Routes by the CMT of a dose; a text is the route of all of them. A number without name stays a number: that of
        a state of the model (D6).
    regroup : bool
        Whether rows of one subject may stand apart (D1).
    dialect : str
        Whose numbers of EVID above 4 to read (D11), and whose rule for covariates holds (K1).
    covariates : str or mapping of str to str, optional
        "locf", "nocb" or "linear" between the records of covariates, or rules by column; by default that of the
        dialect (K1).

    Returns
    -------
    Study
        With times in hours.

    Raises
    ------
    DataError
        With everything that is wrong.
    """
    reading = Reading(renamed(reading.table), reading.findings, reading.decimal, reading.units, reading.masses)
    table = with_points(reading.table, reading.decimal, {*KNOWN, _weight_column(reading.table) or ""})
    reading = replace(reading, table=table)
    events, notes = read_events(reading, "h", regroup=regroup, dialect=dialect)
    rules = declared(covariates, RULE_OF[dialect], reading.table.columns)
    build = _Build(reading, _texts(outputs), _texts(routes), rules)
    events, restarts = _counted_on(events)
    notes += restarts
    notes += [
        f"row {event.row.number}: SS 2 adds responses, which is right for models in which they add up (E28)"
        for event in events
        if event.steady == 2
    ][:1]
    grouped = by_subject(events)
    build.giver = next((event for event in events if event.doses), None)
    for event in events:
        if event.doses:
            build.first_dose.setdefault(event.subject, event.time)
    subjects = tuple(build.subject(subject, own) for subject, own in grouped.items())
    if not build.unit_known:
        reading.findings.add(
            "no unit of DV (D13)", column="DV", hint="the header 'DV [cells]', a column UNIT, or unit='cells'"
        )
        build.check_outputs(events)
    records = [record for own in grouped.values() for record in build.records(own)] if build.unit_known else []
    if not records and not reading.findings.lines:
        reading.findings.add("no observation", hint="rows with EVID 0 and a DV; msc.simulate takes a table without")
    reading.findings.stop()
    records.sort(key=lambda record: record.row)
    notes += [TAD_NOTE] if "tad" in reading.table.columns else []
    silent = sum(event.evid in (0, 2) and not event.observed for event in events)
    if silent:
        notes.append(f"{silent} row{'s' if silent > 1 else ''} without a value left out (D4)")
    return Study(
        name, subjects, tuple(records), reading.table.source, _is_synthetic(reading),
        tuple(dict.fromkeys(row.cells["study"] for row in reading.table.rows if "study" in row.cells)),
        (*notes[:20], *sorted(build.notes)), build.declared(),
    )  # fmt: skip


def _counted_on(events: Sequence[Event]) -> tuple[tuple[Event, ...], list[str]]:
    """Events whose time goes on where it restarted at a reset (D2), and what has been done."""
    found, notes = list[Event](), list[str]()
    if not any(event.resets for event in events):
        return tuple(events), notes
    for subject, own in by_subject(events).items():
        before = 0.0
        for event, shift in zip(own, counted_on(own, BETWEEN_EPISODES), strict=True):
            if shift != before:
                problem = f"row {event.row.number}: time of subject '{subject}' restarts"
                notes.append(f"{problem} and is counted on, {shift:g} h later (D2)")
            found.append(replace(event, time=event.time + shift) if shift else event)
            before = shift
    return tuple(found), notes


def dosed_by(event: Event) -> str:
    """Return what the row says about the duration of its dose, as in `Dose.timed_by`."""
    if event.rate > 0:
        return "rate"
    return TIMED_BY.get(event.rate, "" if event.duration > 0 else "bolus")


def dose_of(
    event: Event, time: float, unit: str, route: str, duration: float, *, timed_by: str, first: bool, lot: str = ""
) -> Dose:
    """Return the `first` dose of a row, or an additional one: steady state and reset act on the first alone (E18).

    Raises
    ------
    DosingError
        For a dose that is impossible.
    """
    if not first:
        return Dose(time, event.amount, unit, route, duration, event.viable, lot, timed_by)
    if event.constant:
        modelled = event.rate < 0
        return Dose(
            time, 0.0, unit, route, 0.0, event.viable, lot, "model rate" if modelled else "", "constant",
            rate=0.0 if modelled else event.rate, reset=event.resets,
        )  # fmt: skip
    steady = STEADY[event.steady]
    every = event.interval if steady else 0.0
    return Dose(
        time, event.amount, unit, route, duration, event.viable, lot, timed_by, steady, every, reset=event.resets
    )


def _is_synthetic(reading: Reading) -> bool:
    named = "SYNTHETIC" in reading.table.source.upper()
    return named or any(reading.truth(row, "synthetic") for row in reading.table.rows if "synthetic" in row.cells)


def _texts(names: str | Mapping[int | str, str] | None) -> str | dict[str, str]:
    if names is None or isinstance(names, str):
        return names or {}
    return {str(key): value for key, value in names.items()}


class _Build:
    """Makes subjects and records; holds what is said once for a whole table."""

    def __init__(
        self, reading: Reading, outputs: str | dict[str, str], routes: str | dict[str, str], rules: Declared
    ) -> None:
        self.reading, self.outputs, self.routes, self.rules = reading, outputs, routes, rules
        self.changing: dict[str, None] = {}
        self.notes: set[str] = set()
        self.told: set[str] = set()
        self.first_dose: dict[str, float] = {}  # hours, by subject
        self.giver: Event | None = None  # the first dose of the table, for resets of subjects without one
        table = reading.table
        self.key = "dvid" if "dvid" in table.columns else "cmt"
        self.unit = self._one_unit()
        ordinary = Record(0, "", 0.0, "h", "", "value", 0.0, None, None, None, None, self.unit)
        self.plain = like(ordinary, *PLAIN)
        units = {name: table.units.get(name, "") for name in (*ASSAY_COLUMNS, *IN_UNIT_OF_VALUE)}
        units |= {"value": table.units.get("dv", ""), "weight": _weight_unit(table)}
        titles = {tidy: table.titles.get(own, own.upper()) for tidy, own in TITLES.items()}
        columns = (*TIDY, *table.columns)
        self.unknown = tuple(name for name in table.columns if name not in KNOWN)
        self.named: dict[str, str] = {}  # output by the text of a cell: rows repeat few of them
        self.tidy = Reading(
            Table(table.source, columns, {k: v for k, v in units.items() if v}, titles, ()),
            reading.findings,
            reading.decimal,
            {"value": reading.units["dv"], "time": "h"} if "dv" in reading.units else {"time": "h"},
            reading.masses,
        )

    @property
    def unit_known(self) -> bool:
        """Whether values have a unit, or there is none."""
        table = self.reading.table
        return "dv" not in table.columns or "unit" in table.columns or "dv" in table.units or "dv" in self.reading.units

    def _one_unit(self) -> str:
        """Unit of all values where it is stated once and is nothing special; blank otherwise."""
        stated = {self.reading.table.units.get("dv", ""), self.reading.units.get("dv", "")} - {""}
        try:
            unit = known_unit(stated.pop()) if len(stated) == 1 else ""
        except UnitError:
            return ""  # reported with the first row
        return "" if unit == PERCENT_OF_DOSE else unit

    # ---- subjects ----------------------------------------------------------------------------------------------------

    def subject(self, name: str, events: Sequence[Event]) -> Subject:
        acting = [event for event in events if event.stands]
        giver = next((event for event in acting if event.doses), self.giver)
        given: list[tuple[Dose, Properties, Event]] = []
        for event, times in zip(acting, given_times(acting), strict=True):
            if event.doses:
                properties = dose_properties(self.reading, as_tidy_dose(self.reading, event.row))
                given += [(with_spread(dose, properties), properties, event) for dose in self._doses(event, times)]
            else:
                others = self._named(event) if event.named else self._reset(event, giver)
                given += [(dose, (), event) for dose in others]
        given.sort(key=lambda each: each[0].time)  # as a regimen does
        weight = self._weight(name, events)
        per_kg = [event for event, unit in ((e, self._unit(e)) for e in events if e.doses) if unit.endswith("/kg")]
        if (
            weight is None
            and per_kg
            and not any(event.row.text(_weight_column(self.reading.table) or "") for event in events)
        ):
            hint = "a column 'WEIGHT [kg]', or the dose in cells"
            self._note(per_kg[0].row, "amt", f"subject '{name}' is dosed per kg without a weight (T4)", hint=hint)
        species = next((event.row.text("species") for event in events if event.row.text("species")), "")
        constant, varying = self._covariates(events, [event for _, _, event in given])
        known = tuple(properties for _, properties, _ in given)
        return Subject(
            name, Regimen(tuple(dose for dose, _, _ in given)), weight, species, constant,
            known if any(known) else (), varying=varying,
        )  # fmt: skip

    def _unit(self, event: Event) -> str:
        table = self.reading.table
        unit = event.row.text("amt_unit") or table.units.get("amt", "") or self.reading.units.get("amt", "")
        return "cells" if unit.casefold() in VIALS else unit

    def _doses(self, event: Event, times: Sequence[float]) -> list[Dose]:
        unit, route = self._unit(event), self._route(event)
        if not unit:
            self._once("amt", "no unit of AMT (D13)", "the header 'AMT [cells]', or amount_unit='cells'")
        if not unit or not route or not self._starts(event):
            return []
        duration = event.amount / event.rate if event.rate > 0 else event.duration
        lot, timed_by = event.row.text("lot"), dosed_by(event)
        try:
            return [
                dose_of(event, _exact(time), unit, route, _exact(duration), lot=lot, timed_by=timed_by, first=k == 0)
                for k, time in enumerate(times)
            ]
        except DosingError as error:
            self._note(event.row, "amt", error.problem, expected=error.expected, hint=error.hint)
            return []

    def _named(self, event: Event) -> list[Dose]:
        """E36: what happens to a state without being a dose; its CMT is a state, never a name in `routes`."""
        unit, state = self._unit(event), _plain(event.row.text("cmt"))
        if event.named == "replace" and not unit:
            self._once("amt", "no unit of AMT (D13)", "the header 'AMT [cells]', or amount_unit='cells'")
            return []
        if not state:
            self._note(event.row, "cmt", f"EVID {event.named} without CMT (E36)", hint="the state that it is about")
            return []
        if not self._starts(event):
            return []
        return [Dose(_exact(event.time), event.amount, unit or "1", state, event=event.named)]

    def _starts(self, event: Event) -> bool:
        if event.time >= 0:
            return True
        hint = "times count from the start; shift them so that the first event is at 0"
        self._note(event.row, "time", f"negative time '{event.row.text('time')}'", expected="0 or more", hint=hint)
        return False

    def _reset(self, event: Event, giver: Event | None) -> list[Dose]:
        """A reset alone (E32): a dose of nothing, by the route and in the unit of the first dose."""
        if not self._starts(event):
            return []
        unit, route = (self._unit(giver), self._route(giver)) if giver else ("", "")
        return [Dose(_exact(event.time), 0.0, unit or "cells", route or "1", reset=True)]

    def _route(self, event: Event) -> str:
        if isinstance(self.routes, str):
            return self.routes
        text = _plain(event.row.text("cmt"))
        if text in self.routes:
            return self.routes[text]
        if not text:
            self._once("cmt", "no CMT says where doses go (D6)", "a column CMT, or routes='iv'")
        elif self.routes and NUMBER.fullmatch(text):
            known = ", ".join(self.routes)
            self._note(event.row, "cmt", f"CMT {text} does not exist in routes (D6)", expected=f"one of {known}",
                       hint=f"routes={{{text}: 'iv'}}")  # fmt: skip
        return text

    def _weight(self, name: str, events: Sequence[Event]) -> float | None:
        column = _weight_column(self.reading.table)
        if column is None:
            return None
        stated = [event.row for event in events if event.row.text(column)]
        if not stated:
            return None
        different = next((row for row in stated if row.text(column) != stated[0].text(column)), None)
        if different is not None:
            if any(self._unit(event).endswith("/kg") for event in events if event.doses):
                problem = f"weight of subject '{name}' changes (K1)"
                self._note(different, column, problem, hint="one weight, that at dosing")
            return None
        row = Row(stated[0].number, {"weight": stated[0].text(column)}, {"weight": column.upper()})
        return self.tidy.measure(row, "weight", "kg", hint=f"the header '{column.upper()} [kg]'")

    def _covariates(
        self, events: Sequence[Event], dosing: Sequence[Event]
    ) -> tuple[tuple[tuple[str, str], ...], tuple[Varying, ...]]:
        """Columns that are constant within a subject, and those that are not; `dosing` has the row of each dose."""
        constant, varying = [], []
        weight = _weight_column(self.reading.table)
        for name in self.reading.table.columns:
            if name in KNOWN and name != weight:
                continue
            texts = {event.row.text(name) for event in events if event.row.text(name)}
            if len(texts) == 1 and name != weight:
                constant.append((name, texts.pop()))
            elif len(texts) > 1 and is_covariate(name):
                varying.append(self._varying(name, events, dosing))
            elif len(texts) > 1:
                self.notes.add(f"{self._title(name)} varies within a subject: kept with its rows, used by nothing (K9)")
        return tuple(constant), tuple(varying)

    def _varying(self, name: str, events: Sequence[Event], dosing: Sequence[Event]) -> Varying:
        said = [event for event in events if event.row.text(name)]  # K7
        at_doses = tuple((_exact(event.time), self._pointed(event, name)) for event in dosing)
        times = tuple(_exact(event.time) for event in said)
        found = Varying(name, times, tuple(self._pointed(event, name) for event in said), at_doses)
        self.changing[name] = None
        use = (
            f"{self.rules.of(name)} between its records, where a model uses it" if found.numeric else "used by nothing"
        )
        self.notes.add(f"{self._title(name)} varies within a subject: {use} (K1)")
        return found

    def _pointed(self, event: Event, name: str) -> str:
        """A cell with a decimal point; that of the body weight still has the sign of the table."""
        return event.row.text(name).replace(self.reading.decimal, ".") if name in WEIGHTS else event.row.text(name)

    def _title(self, name: str) -> str:
        return self.reading.table.titles[name]

    def declared(self) -> tuple[Covariate, ...]:
        """Unit and rule of each covariate that has one."""
        table = self.reading.table
        names = [name for name in table.columns if name not in KNOWN or name == _weight_column(table)]
        found = [
            Covariate(name, table.units.get(name, ""), self.rules.of(name) if name in self.changing else "")
            for name in names
        ]
        return tuple(each for each in found if each.unit or each.rule)

    # ---- records -----------------------------------------------------------------------------------------------------

    def records(self, events: Sequence[Event]) -> list[Record]:
        found = []
        last = max((place for place, event in enumerate(events) if event.stands), default=0)  # nothing waits after it
        for place, event in enumerate(events):
            if not event.observed:
                continue
            record = self._ordinary(event) if self._is_ordinary(event) else self._as_tidy(event)
            if record is not None:
                pending = self._pending(events, place) if place < last else 0
                found.append(replace(record, pre_dose=pending) if pending else record)
        return _numbered(found)

    def check_outputs(self, events: Sequence[Event]) -> None:
        """Note what has no name among the outputs, where values cannot be read."""
        for event in events:
            if event.observed:
                self._output(event)

    def _is_ordinary(self, event: Event) -> bool:
        """Whether a row is a value and nothing else: most are, and tables are long."""
        cells = event.row.cells
        plain = cells.keys().isdisjoint(SPECIAL) and cells.get("cens", "0") == "0" and not self.tidy.masses
        return plain and event.time >= 0 and self.unit != ""

    def _ordinary(self, event: Event) -> Record | None:
        output, text = self._output(event), event.row.cells["dv"]
        plain = self.reading.decimal == "." and SIMPLE.fullmatch(text)  # nearly every value
        value = float(text) if plain else self.reading.number(event.row, "dv")
        if output is None or value is None:
            return None
        if value < 0:
            return self._as_tidy(event)  # perhaps no count of cells
        number, cells = event.row.number, event.row.cells
        return self.plain(
            number, event.subject, event.time, output, value, cells.get("study", ""), cells.get("occ", ""),
            cells.get("lot", ""), f"{self.reading.table.source} row {number}", self._extra(event),
        )  # fmt: skip

    def _as_tidy(self, event: Event) -> Record | None:
        """A record by the rules of tidy tables, with censoring and summaries."""
        row = self._tidy_row(event)
        record = None if row is None else record_of(self.tidy, row)[0]
        return None if record is None else replace(record, extra=self._extra(event))

    def _pending(self, events: Sequence[Event], place: int) -> int:
        """How many doses and resets of the time of a row come after it (E3)."""
        time, pending = events[place].time, 0
        for event in events[place + 1 :]:
            if not SameTime.holds(event.time, time):
                break
            pending += event.stands
        return pending

    def _extra(self, event: Event) -> tuple[tuple[str, str], ...]:
        cells = event.row.cells
        return tuple([(name, cells[name]) for name in self.unknown if name in cells]) if self.unknown else ()

    def _tidy_row(self, event: Event) -> Row | None:
        output = self._output(event)
        censored = self._censored(event.row)
        if output is None or censored is None:
            return None
        cells = {name: event.row.text(name) for name in KEPT}
        cells |= {"value": event.row.text("dv"), "occasion": event.row.text("occ")}
        if "dose_time" not in cells and event.subject in self.first_dose:  # the reference time of decay (T6)
            cells["dose_time"] = self._decimal(self.first_dose[event.subject])
        cells |= {"subject": event.subject, "output": output, "time": self._decimal(event.time), **censored}
        return Row(event.row.number, {name: text for name, text in cells.items() if text})

    def _output(self, event: Event) -> str | None:
        if isinstance(self.outputs, str):
            return self.outputs
        stated = event.row.text(self.key)
        if stated in self.named:
            return self.named[stated]
        text = _plain(stated)
        if text in self.outputs:
            self.named[stated] = self.outputs[text]
            return self.outputs[text]
        title = self.key.upper()
        if not text:
            if self.key not in self.reading.table.columns:
                self._once("dv", "nothing says what DV observes (D6)", "a column DVID, or outputs='conc'")
            else:
                self._note(event.row, self.key, "missing on an observation (D7)", hint="the output that is observed")
            return None
        if NUMBER.fullmatch(text):
            problem = f"{title} {text} has no name (D6)"
            if self.outputs:
                expected = f"one of {', '.join(self.outputs)}"
                self._note(event.row, self.key, problem, expected=expected, hint=f"outputs={{{text}: 'conc'}}")
            else:
                self._once(self.key, problem, f"outputs={{{text}: 'conc'}}, or names of outputs in {title}")
            return None
        if self.outputs:
            near = closest(text, self.outputs) or tuple(self.outputs)
            self._note(event.row, self.key, f"'{text}' is not in outputs", hint=" or ".join(near))
            return None
        return text

    def _censored(self, row: Row) -> dict[str, str] | None:
        """Cells of a tidy row that say what CENS and LIMIT say (B1, B2)."""
        cens, limit, value = row.text("cens"), row.text("limit"), row.text("dv")
        if cens in ("", "0", "0.0", "none"):
            return {"truncation": limit} if limit else {}
        if cens not in ("1", "-1", "1.0", "-1.0"):
            expected = "0 observed, 1 below DV, -1 above DV (B1)"
            self._note(row, "cens", f"CENS '{cens}'", expected=expected, hint="1 with the limit in DV")
            return None
        below = not cens.startswith("-")
        if not limit:
            return (
                {"censoring": "left", "upper": value, "value": ""}
                if below
                else {"censoring": "right", "lower": value, "value": ""}
            )
        first, second = (limit, value) if below else (value, limit)
        numbers = [self.reading.number(row, name) for name in (("limit", "dv") if below else ("dv", "limit"))]
        if None in numbers:
            return None
        if numbers[0] >= numbers[1]:  # type: ignore[operator]  # None was excluded above
            side = "below" if below else "above"
            problem = f"LIMIT {limit} is not {side} DV {value} with CENS {cens} (B2)"
            self._note(row, "limit", problem, hint="the two bounds of the interval, DV the limit of quantification")
            return None
        return {"censoring": "interval", "lower": first, "upper": second, "value": ""}

    def _decimal(self, number: float) -> str:
        return repr(number).replace(".", self.reading.decimal)

    def _note(self, row: Row, column: str, problem: str, *, expected: str = "", hint: str = "") -> None:
        title = self.reading.table.titles.get(column, column.upper())
        self.reading.findings.add(problem, row=row.number, column=title, expected=expected, hint=hint)

    def _once(self, column: str, problem: str, hint: str) -> None:
        if problem not in self.told:
            self.told.add(problem)
            self.reading.findings.add(problem, column=self.reading.table.titles.get(column, column.upper()), hint=hint)


def _numbered(records: Sequence[Record]) -> list[Record]:
    """Tell records that say the same thing again (E1) from the first by their `replicate`."""
    if len({record.time for record in records}) == len(records):
        return list(records)
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for record in records:
        key = (record.study, record.time, record.output, record.method, record.lot, record.occasion, record.pre_dose,
               record.sample)  # fmt: skip
        number = seen[key, record.replicate] = seen.get((key, record.replicate), 0) + 1
        again = number > 1 and not record.replicate
        found.append(replace(record, replicate=str(number)) if again else record)
    return found


def _exact(number: float) -> float:
    return float(f"{number:.12g}")


def _plain(text: str) -> str:
    return text.split(".", maxsplit=1)[0] if NUMBER.fullmatch(text) else text


def _weight_column(table: Table) -> str | None:
    return next((name for name in WEIGHTS if table.units.get(name)), None)


def _weight_unit(table: Table) -> str:
    column = _weight_column(table)
    return table.units.get(column, "") if column else ""
