"""What the rows of an event table mean for a model: where doses go, and what is different about a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mscpkpd.administration import place_of, timing
from mscpkpd.covariates import check_line, factor_of, parameter_of
from mscpkpd.data.cells import Reading
from mscpkpd.data.covariates import Declared, is_covariate, is_number
from mscpkpd.data.dose_properties import VIALS
from mscpkpd.data.event_study import dosed_by
from mscpkpd.data.events import COLUMNS, Event, by_subject
from mscpkpd.data.tables import Table
from mscpkpd.errors import DataError, MscError, UnknownName, UsageError
from mscpkpd.model import Model
from mscpkpd.units import same_dimension, to_unit

__all__ = ["Plan"]


@dataclass(eq=False)
class Plan:
    """What the rows mean for a model: where doses go, and what is different about a subject.

    Attributes
    ----------
    model : Model
    reading : Reading
        The table; problems are noted in its findings.
    rows : sequence of Event
    parameters : mapping of str to float
        Values stated for all subjects.
    weight : str or None
        Body weight where no column states one.
    places : dict of int to str
        Route or state by row of the dose.
    changed : dict of str to dict
        Values of parameters that a column states, by subject.
    weights : dict of str to float or None
        In kg.
    varying : dict of str to dict
        Records of parameters that a column changes within a subject, by subject and parameter: the number that each
        row states, by row of the table.
    rules : dict of str to str
        What holds between the records, by parameter that a column states (K1).
    """

    model: Model
    reading: Reading
    rows: Sequence[Event]
    parameters: Mapping[str, float]
    weight: str | None
    places: dict[int, str] = field(default_factory=dict)
    changed: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, float | None] = field(default_factory=dict)
    interpolation: Declared = field(default_factory=Declared)
    varying: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for event in self.rows:
            if event.doses or (event.named and event.acts):
                self._place(event)
            else:
                self._check_observation(event)
        for subject, own in by_subject(self.rows).items():
            self._parameters(subject, own)
            self.weights[subject] = self._weight(subject, own)

    @property
    def table(self) -> Table:
        """The table as text."""
        return self.reading.table

    def unit(self, event: Event) -> str:
        """Unit of the amount of a dose: as stated, else that of the route."""
        place = self.places[event.row.number]
        unit = event.row.text("amt_unit") or self.table.units.get("amt", "") or self._own_unit(place)
        return "cells" if unit.casefold() in VIALS else unit

    def _own_unit(self, place: str) -> str:
        return self.model.amount_unit(place) if place in self.model.route_names else self.model.state(place).unit

    def _note(self, event: Event, column: str, error: MscError) -> None:
        title = self.table.titles.get(column, column.upper())
        self.reading.findings.add(
            error.problem, row=event.row.number, column=title, expected=error.expected, hint=error.hint
        )

    def _place(self, event: Event) -> None:
        text = event.row.text("cmt").removesuffix(".0")
        try:
            place = place_of(self.model, text) if text else self._only_place()
        except MscError as error:
            self._note(event, "cmt", error)
            return
        try:
            if event.named and place not in self.model.state_names:
                hint = f"one of {', '.join(self.model.state_names[:8])}"
                raise DataError(f"EVID {event.named} of '{place}', which is no state (E36)", hint=hint)
        except MscError as error:
            self._note(event, "cmt", error)
            return
        try:
            if not event.named:
                timing(self.model, place, dosed_by(event))
        except MscError as error:
            self._note(event, "rate", error)
        self.places[event.row.number] = place
        unit = self.unit(event)
        own = self._own_unit(place)
        try:
            fits = own == "1" or same_dimension(unit.removesuffix("/kg"), own)
        except MscError as error:
            self._note(event, "amt", error)
            return
        if not fits and event.named != "multiply":
            problem = f"AMT in {unit} by '{place}' (D13)"
            hint = "the header 'AMT [unit]', or a route that takes this unit"
            self._note(event, "amt", DataError(problem, expected=f"an amount in {own}", hint=hint))

    def _only_place(self) -> str:
        routes = self.model.route_names or self.model.state_names
        if len(routes) == 1:
            return routes[0]
        hint = f"a column CMT with one of {', '.join(routes[:8])}"
        raise DataError(f"no CMT, and '{self.model.name}' has {len(routes)} routes (D7)", hint=hint)

    def _check_observation(self, event: Event) -> None:
        """A name that stands in DVID or CMT must exist; what a number of DVID means is left to its author."""
        names = (*self.model.output_names, *self.model.state_names)
        dvid, cmt = event.row.text("dvid"), event.row.text("cmt").removesuffix(".0")
        if event.evid == 0 and dvid and not is_number(dvid) and dvid not in names:
            self._note(event, "dvid", UnknownName.among("output", dvid, names))
        known = {*names, *self.model.route_names}
        if cmt and cmt.isdigit() and int(cmt) > len(self.model.state_names) and not dvid:
            problem = f"CMT {cmt} does not exist: '{self.model.name}' has {len(self.model.state_names)} states (D6)"
            self._note(event, "cmt", DataError(problem, hint="the number of a state, or a column DVID"))
        elif cmt and not cmt.isdigit() and cmt not in known:
            self._note(event, "cmt", UnknownName.among("output", cmt, known))

    def _parameters(self, subject: str, own: Sequence[Event]) -> None:
        """Read the columns that are parameters: one number for the subject, or one for each record (K7)."""
        constant = self.changed[subject] = dict[str, float]()
        for column in self.table.columns:
            name = "" if column in COLUMNS else parameter_of(self.model, self.table.titles[column])
            stated = [event for event in own if event.row.text(column)] if name else []
            if not name or not stated:
                continue
            if name in self.parameters:
                raise UsageError(f"'{name}' is a column of the table", where="parameters", expected="one of the two")
            if self._varies(stated, column):
                numbers = {event.row.number: self._covariate(event, column, name) for event in stated}
                known = {row: number for row, number in numbers.items() if number is not None}
                if len(known) == len(numbers):
                    self._keep(subject, name, column, known, stated[0])
            else:
                number = self._covariate(stated[0], column, name)
                self.rules.setdefault(name, self.interpolation.of(column))
                if number is not None:
                    constant[name] = number

    def _varies(self, stated: Sequence[Event], column: str) -> bool:
        return any(event.row.text(column) != stated[0].row.text(column) for event in stated)

    def _keep(self, subject: str, name: str, column: str, numbers: dict[int, float], first: Event) -> None:
        rule = self.rules[name] = self.interpolation.of(column)
        try:
            if not is_covariate(column):
                problem = f"'{name}' of subject '{subject}' changes, and is a property of doses (K9)"
                raise DataError(problem, hint="one value for each subject, or a parameter of another name")
            if rule == "linear":
                check_line(self.model, name, numbers.values())
        except MscError as error:
            self._note(first, column, error)
            return
        self.varying.setdefault(subject, {})[name] = numbers

    def _covariate(self, event: Event, column: str, name: str) -> float | None:
        """What a row states, in the unit of the parameter."""
        number = self.reading.number(event.row, column)
        try:
            return None if number is None else number * factor_of(self.model, name, self.table.units.get(column, ""))
        except MscError as error:
            self._note(event, column, DataError(f"{error.problem} (D13)", expected=error.expected, hint=error.hint))
            return None

    def _weight(self, subject: str, own: Sequence[Event]) -> float | None:
        column = next((name for name in ("weight", "wt") if self.table.units.get(name)), "")
        stated = [event for event in own if column and event.row.text(column)]
        if not stated:
            return to_unit(self.weight, "kg") if self.weight else None
        if self._varies(stated, column):
            if any(self.unit(event).endswith("/kg") for event in own if event.row.number in self.places):
                problem = f"weight of subject '{subject}' changes (K1)"
                self._note(stated[0], column, DataError(problem, hint="one weight, that at dosing"))
            return None
        number = self.reading.number(stated[0].row, column)
        return None if number is None else number * to_unit(f"1 {self.table.units[column]}", "kg")
