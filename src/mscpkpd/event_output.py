"""Simulate an event table: one row of output for each row with EVID 0 or 2, at exact times (conventions, section 8).

Numbers are in the units of the model unless the header states others. A subject starts at its first row, and again at
each reset, unless the model names the time ``t``: then it starts at t = 0, and again where its time restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.administration import AT_ONCE, bioavailability, timing
from mscpkpd.covariates import said_of, track_of
from mscpkpd.data.cells import Reading
from mscpkpd.data.covariates import RULE_OF, Interpolation, declared
from mscpkpd.data.dose_properties import SPREADS, UNUSED
from mscpkpd.data.event_checks import check_dialect, read_events
from mscpkpd.data.event_study import BETWEEN_EPISODES, dose_of, dosed_by
from mscpkpd.data.events import Event, SameTime, by_subject, counted_on, given_times, is_event_table, renamed
from mscpkpd.data.findings import Findings
from mscpkpd.data.tables import read_table, table_of_frame
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.course import Course, Given, Track, drive
from mscpkpd.engine.solve import DEFAULT_TOLERANCE, solve
from mscpkpd.engine.steady import collecting, superposes
from mscpkpd.engine.system import System, build_system
from mscpkpd.engine.timeline import dose_name, timeline
from mscpkpd.errors import DataError, UnknownName, UsageError
from mscpkpd.event_plan import Plan
from mscpkpd.model import Model
from mscpkpd.row_columns import observed_by, row_columns
from mscpkpd.units import to_unit

__all__ = ["EventTable", "RowOutput", "simulate_events"]

EventTable = pd.DataFrame | str | Path
RowOutput = pd.DataFrame
ALL_COLUMNS = ("ID", "TIME", "EVID", "CMT", "DVID", "DV", "TAD", "PRED", "RES")
NO_FREE = np.array([], dtype=int)


def simulate_events(
    model: Model,
    events: EventTable,
    *,
    outputs: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
    parameters: Mapping[str, float] | None = None,
    weight: str | None = None,
    decimal: str = ".",
    dialect: str = "",
    rows: str = "observed",
    covariates: Interpolation | None = None,
) -> RowOutput:
    """Simulate an event table.

    Parameters
    ----------
    model : Model
        With values for every parameter.
    events : DataFrame or path
        NONMEM-style table; numbers in the units of the model where the header states none.
    outputs : sequence of str, optional
        Outputs and states wanted; all by default.
    times : sequence of float, optional
        Times in the model's unit: a row for each subject and time instead of the rows of the table (E4).
    parameters : mapping of str to float, optional
        Values that replace those of the model, in its units.
    weight : str, optional
        Body weight of subjects without a column ``WEIGHT [kg]``, "70 kg".
    decimal : "." or ","
        Decimal sign.
    dialect : "", "nonmem", "mrgsolve", "rxode2" or "monolix"
        Whose numbers of EVID above 4 to read (D11), and whose rule for covariates (K1).
    rows : "observed" or "all"
        "observed" has the rows with EVID 0 and 2. "all" has every row with the state just after its own event (E3),
        and CMT, DV, TAD, PRED and RES beside (section 8 of the conventions).
    covariates : str or mapping of str to str, optional
        "locf", "nocb" or "linear" between the records of columns that are parameters, or rules by column (K1).

    Returns
    -------
    DataFrame
        ID, TIME, EVID, DVID and a column for each output and state; ``attrs`` has units, notes, failures and the rule
        of each covariate.
    """
    check_dialect(dialect)
    if rows not in ("observed", "all") or (rows == "all" and times is not None):
        beside = " beside times" if times is not None else ""
        raise UsageError(f"rows='{rows}'{beside}", expected="'observed' or 'all', the rows of the table")
    model = model.fix(**parameters) if parameters else model
    everything = (*model.output_names, *(name for name in model.state_names if name not in model.output_names))
    for name in outputs or ():
        if name not in everything:
            raise UnknownName.among("output", name, everything)
    wanted = tuple(outputs) if outputs else everything
    table = table_of_frame(events, "events") if isinstance(events, pd.DataFrame) else read_table(events)
    if not is_event_table(table):
        hint = f"it has {', '.join(table.columns[:20])}"
        raise DataError("no event table", where=table.source, expected="ID, TIME and EVID or AMT", hint=hint)
    reading = Reading(renamed(table), Findings(table.source), decimal)
    events_read, notes = read_events(reading, model.time, time_unit=model.time, dialect=dialect)
    rules = declared(covariates, RULE_OF[dialect], reading.table.columns)
    plan = Plan(model, reading, events_read, parameters or {}, weight, interpolation=rules)
    if not reading.findings.lines and not events_read:
        reading.findings.add("no row", hint="rows with EVID 0 for what is wanted")
    reading.findings.stop()
    everything_asked = rows == "all"
    predicted = [name for name in observed_by(model, events_read) if name] if everything_asked else []
    solver = _Solver(model, tuple(dict.fromkeys((*wanted, *predicted))), plan)
    solver.check_start(events_read, reading)
    reading.findings.stop()
    asked = [event for event in events_read if everything_asked or event.evid in (0, 2)]
    asked = _asked(events_read, times) if times is not None else asked
    values = dict(zip(solver.system.outputs, solver.solved(events_read, asked, at_rows=times is None).T, strict=True))
    labels = _labels(asked, reading, rows_asked=times is None)
    if everything_asked:
        columns, said = row_columns(model, reading, events_read, asked, values)
        labels |= columns
        notes += said
    frame = pd.DataFrame({**labels, **{name: values[name] for name in wanted}})
    if everything_asked:
        frame = frame[[*ALL_COLUMNS, *wanted]]
    time_unit = reading.table.units.get("time", model.time) if times is None else model.time
    units = {"TIME": time_unit, **({"TAD": time_unit} if everything_asked else {})}
    units |= {name: model.units[name] for name in wanted}
    notes += solver.notes(events_read)
    if unused := [reading.table.titles[name] for name in (*SPREADS, *UNUSED) if reading.table.has(name)]:
        notes.append(f"not used, a table is simulated once: {', '.join(unused)} (T3)")
    frame.attrs = {
        "model": model.name, "units": units, "notes": tuple(notes), "failures": solver.failures,
        "covariates": {name: rule for name, rule in plan.rules.items() if name in solver.used},
    }  # fmt: skip
    return frame


def _asked(rows: Sequence[Event], times: Sequence[float]) -> list[Event]:
    """Rows for requested times, each after all records of its time (E4)."""
    grid = np.asarray(times, dtype=float)
    if grid.ndim != 1 or len(grid) == 0 or not np.all(np.isfinite(grid)):
        raise UsageError(f"times={list(times)[:5]}", expected="one or more finite numbers")
    found = []
    for subject, own in by_subject(rows).items():
        for before, event in pairwise(own):
            if event.time < before.time:
                problem = f"time of subject '{subject}' restarts in row {event.row.number}: a time alone is ambiguous"
                raise UsageError(problem, where="times", hint="rows with EVID 2 at the times that are wanted")
        found += [Event(own[0].row, subject, float(time), 0, observed=False) for time in grid]
    return found


def _labels(asked: Sequence[Event], reading: Reading, *, rows_asked: bool) -> dict[str, list[Any]]:
    """What the rows say about themselves, as given."""
    dvid = [event.row.text("dvid") if rows_asked else "" for event in asked]
    time = [reading.number(event.row, "time") for event in asked] if rows_asked else [event.time for event in asked]
    return {
        "ID": _numbers([event.subject for event in asked]),
        "TIME": time,
        "EVID": [event.named or event.evid for event in asked],
        "DVID": _numbers(dvid),
    }


def _numbers(texts: Sequence[str]) -> list[Any]:
    """Numbers where all texts are; missing ones are NaN."""
    try:
        numbers = [float(text) if text else float("nan") for text in texts]
    except ValueError:
        return [text or None for text in texts]
    whole = all(number.is_integer() for number in numbers)
    return [int(number) for number in numbers] if whole else list(numbers)


@dataclass(frozen=True)
class _Episode:
    """Rows of one subject between resets."""

    start: float
    events: tuple[Event, ...]


class _Solver:
    """Solves one episode of one subject after the other."""

    def __init__(self, model: Model, wanted: tuple[str, ...], plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.system: System = build_system(model, wanted, tuple(sorted(set(plan.places.values()))))
        self.own = {parameter.name: parameter.value for parameter in model.parameters}
        self.failures: list[str] = []
        factors = {name for place in set(plan.places.values()) for name in bioavailability(model, place)[1]}
        self.used = {*self.system.parameters, *factors}
        self.gap = to_unit("1 h", model.time) * BETWEEN_EPISODES
        names = {str(s) for e in (*self.system.rhs, *self.system.observed) for s in e.free_symbols}
        self.explicit = "t" in names or bool(self.system.switches)

    def check_start(self, rows: Sequence[Event], reading: Reading) -> None:
        """Refuse what a model with explicit time cannot do: begin before 0."""
        for event in rows if self.explicit else ():
            if event.time < 0:
                hint = "times from 0, where the time t of its formulas begins"
                reading.findings.add(f"time {event.time:g} before 0 in a model that names t", row=event.row.number,
                                     column="TIME", hint=hint)  # fmt: skip

    def notes(self, rows: Sequence[Event]) -> list[str]:
        """What covariates and steady states of this model mean beyond what the table says."""
        changing = dict.fromkeys(name for own in self.plan.varying.values() for name in own if name in self.used)
        found = said_of({name: self.plan.rules[name] for name in changing})
        first = next((event.row.number for event in rows if event.steady), None)
        loose = collecting(self.system)
        if first is not None and loose:
            named = ", ".join(f"'{name}'" for name in loose)
            found.append(f"row {first}: no steady state of what only collects, {named}: it begins again there (E31)")
        added = next((event.row.number for event in rows if event.steady == 2), None)
        if added is not None and not superposes(self.system):
            found.append(f"row {added}: SS 2 adds responses, which do not add up in '{self.model.name}' (E28)")
        return found

    def solved(self, rows: Sequence[Event], asked: Sequence[Event], *, at_rows: bool) -> np.ndarray:
        """Values of every asked row, shape (n_rows, n_outputs)."""
        place = {id(event): number for number, event in enumerate(asked)}
        out = np.full((len(asked), len(self.system.outputs)), np.nan)
        requested = by_subject(asked)
        for subject, own in by_subject(rows).items():
            episodes = self._episodes(own)
            later = {id(event): by for event, by in zip(own, counted_on(own, self.gap), strict=True)}
            tracks = self._tracks(subject, own, later)
            for number, episode in enumerate(episodes):
                if at_rows:
                    mine = [event for event in episode.events if id(event) in place]
                else:
                    until = episodes[number + 1].start if number + 1 < len(episodes) else np.inf
                    since = -np.inf if number == 0 else episode.start
                    mine = [event for event in requested.get(subject, ()) if since <= event.time < until]
                if mine:
                    begin = episode.start + later[id(episode.events[0])]
                    shifted = tuple(replace(t, times=tuple(time - begin for time in t.times)) for t in tracks)
                    found = self._episode(subject, episode, mine, shifted, at_rows=at_rows)
                    out[[place[id(event)] for event in mine]] = found
        return out

    def _episodes(self, own: Sequence[Event]) -> list[_Episode]:
        """Where time goes back, and where states start again if the time itself does not matter."""
        cuts = [0, len(own)]
        for k, (before, event) in enumerate(pairwise(own), 1):
            if event.resets and (not self.explicit or event.time < before.time):
                cuts.insert(-1, k)
        parts = [own[begin:end] for begin, end in pairwise(cuts)]
        return [_Episode(0.0 if self.explicit else part[0].time, tuple(part)) for part in parts]

    def _tracks(self, subject: str, own: Sequence[Event], later: Mapping[int, float]) -> tuple[Track, ...]:
        """Covariates of a subject that change; they survive resets, whose clock goes on for them (E34)."""
        found = []
        for name, numbers in self.plan.varying.get(subject, {}).items():
            said = [event for event in own if event.row.number in numbers]
            times = [event.time + later[id(event)] for event in said]
            found.append(track_of(name, self.plan.rules[name], times, [numbers[event.row.number] for event in said]))
        return tuple(track for track in found if track.name in self.used)

    def _own(self, subject: str, event: Event, tracks: Sequence[Track]) -> tuple[float | None, ...]:
        """Covariates on the very record of an event; None where it says nothing (K6, K7)."""
        varying = self.plan.varying.get(subject, {})
        return tuple(varying[track.name].get(event.row.number) for track in tracks)

    def _episode(
        self, subject: str, episode: _Episode, mine: Sequence[Event], tracks: tuple[Track, ...], *, at_rows: bool
    ) -> np.ndarray:
        """Values of the asked rows of one episode; those before a dose of the same time see the doses above (E3)."""
        numbers = {**self.own, **self.plan.changed[subject]}
        varying = {track.name for track in tracks}
        acting = [event for event in episode.events if event.acts]
        order = {id(event): number for number, event in enumerate(episode.events)}
        sets: dict[int, list[int]] = {}
        for number, event in enumerate(mine):
            before = len(acting)
            if at_rows:
                above = [other for other in acting if order[id(other)] <= order[id(event)]]
                later = acting[len(above) :]
                before = len(above) if later and SameTime.holds(later[0].time, event.time) else before
            sets.setdefault(before, []).append(number)
        out = np.full((len(mine), len(self.system.outputs)), np.nan)
        for before, places in sets.items():
            doses: list[Dose] = []
            records: list[Given] = []
            for event, moments in zip(acting[:before], given_times(acting[:before]), strict=True):
                own = self._doses(event, moments, episode.start, numbers, varying)
                doses += own
                records += [Given(event.time - episode.start, self._own(subject, event, tracks))] * len(own)
            order_of = sorted(range(len(doses)), key=lambda k: doses[k].time)
            course = Course(tracks, tuple(records[k] for k in order_of)) if tracks else None
            times = np.array([mine[number].time - episode.start for number in places])
            at_rows_own = [self._own(subject, mine[number], tracks) if at_rows else None for number in places]
            named = {
                dose_name(event.time - episode.start): f", row {event.row.number}" for event in acting if event.steady
            }
            seen = _Seen(numbers, course, at_rows_own)
            out[places] = self._solve(subject, Regimen(tuple(doses)), times, seen, named).T
        return out

    def _doses(
        self, event: Event, times: Sequence[float], start: float, numbers: Mapping[str, float], varying: set[str]
    ) -> Sequence[Dose]:
        # times of these doses are in the model's unit of time: the engine is told that it is one hour long
        if event.named:
            place, unit = self.plan.places[event.row.number], self.plan.unit(event)
            return [Dose(max(event.time - start, 0.0), event.amount, unit, place, event=event.named)]
        if not event.doses:
            return [_reset(event.time - start)]
        place = self.plan.places[event.row.number]
        timed_by, duration = dosed_by(event), event.duration
        function, names = bioavailability(self.model, place)
        left = timed_by == "rate" and bool(varying.intersection(names))  # to the engine, which knows F of that time
        if left:
            duration = event.amount / event.rate
        elif timed_by == "rate":  # E6: F lengthens an infusion whose rate is given
            duration = event.amount / event.rate * float(function.value(*(numbers[name] for name in names))[0])
        if timed_by == "rate" and duration <= 0 and not event.constant:  # E12: F = 0 delivers nothing
            return [_reset(event.time - start)] if event.resets or event.steady == 1 else []
        if timing(self.model, place, timed_by):
            duration = AT_ONCE
        return [
            dose_of(
                event,
                max(time - start, 0.0),
                self.plan.unit(event),
                place,
                duration,
                timed_by="rate" if left else "",
                first=k == 0,
            )
            for k, time in enumerate(times)
        ]

    def _solve(
        self,
        subject: str,
        regimen: Regimen,
        times: np.ndarray,
        seen: _Seen,
        named: Mapping[str, str],
    ) -> np.ndarray:
        system, course = self.system, seen.course
        values = np.array([seen.numbers[name] for name in system.parameters])
        weight = self.plan.weights[subject]
        driven = None if course is None else drive(system, course, 1.0)
        inner = system if driven is None else driven.system
        at_first = values if driven is None else driven.values(values)
        changes = timeline(inner, regimen, at_first, NO_FREE, weight, 1.0, driven=driven)
        times = _on_changes(times, np.array([change.time for change in changes]))
        path = solve(
            system, regimen, times, values, weight=weight, hours=1.0, tolerance=DEFAULT_TOLERANCE, course=course
        )
        if not path.ok:
            row = next((row for name, row in named.items() if name in path.failure), "")
            self.failures.append(f"subject '{subject}'{row}: {path.failure}")
        return system.observed_function.value(*path.states, *seen.at(system, values, times), times, shape=times.shape)


@dataclass(frozen=True)
class _Seen:
    """Parameters of a subject, its covariates, and those that asked rows state; None where a row states none."""

    numbers: Mapping[str, float]
    course: Course | None
    own: Sequence[tuple[float | None, ...] | None]

    def at(self, system: System, values: np.ndarray, times: np.ndarray) -> list[Any]:
        """Parameters at the asked rows: those of their own record, else those of their time (K6)."""
        found: list[Any] = list(values)
        for k, track in enumerate(self.course.tracks if self.course else ()):
            stated = [None if own is None else own[k] for own in self.own]
            at = [track.at(time) if own is None else own for own, time in zip(stated, times, strict=True)]
            if track.name in system.parameters:
                found[system.parameters.index(track.name)] = np.array(at)
        return found


def _reset(time: float) -> Dose:
    """A dose of nothing by no route, which resets (E32)."""
    return Dose(max(time, 0.0), 0.0, "1", "none", reset=True)


def _on_changes(times: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Move times that precede a change by rounding alone onto it: the change has taken effect then (E2)."""
    if len(moments) == 0:
        return times
    same = times + SameTime.RELATIVE * np.maximum(1.0, np.abs(times))
    last = np.searchsorted(moments, same, side="right") - 1
    return np.where(last >= 0, np.maximum(times, moments[np.maximum(last, 0)]), times)
