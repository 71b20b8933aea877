"""Read SBML Level 3 core as a `Model`.

The id of a species means in our formulas what it means in SBML: an amount where it has only substance units, else a
concentration. What rate rules or reactions change becomes a state; assignment rules become derived quantities, or
outputs where nothing uses them; reactions become derived flows; events at fixed times become doses or steps in time;
everything else is a parameter. Units are taken over where every quantity has one and all of them fit; else the model
has unit 1 throughout, and a notice says so.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.errors import ModelError, MscError
from mscpkpd.expressions import TIME, Expression, parse
from mscpkpd.model import Derived, Model, Output, Route, State, check
from mscpkpd.noise import Noise
from mscpkpd.parameters import Parameter
from mscpkpd.sbml.contents import Contents
from mscpkpd.sbml.document import open_document
from mscpkpd.sbml.dose_reading import with_doses
from mscpkpd.sbml.event_reading import Happening, as_dose, increment
from mscpkpd.sbml.quantities import reaction_unit, time_unit
from mscpkpd.sbml.unit_definitions import read_unit
from mscpkpd.units import to_unit

if TYPE_CHECKING:
    pass

__all__ = ["read_named", "read_sbml", "without_units"]

NO_TIME = "h"  # what the time of a file without units is counted in


def read_sbml(path: str | os.PathLike[str]) -> Model:
    """Read a model, with the doses that its events give.

    Parameters
    ----------
    path : str or path
        An SBML file of Level 3, or of an earlier level that libSBML converts.

    Returns
    -------
    Model
        With `doses` where the file has events that add to states, and `notices` about units.

    Raises
    ------
    ModelError
        If the file is missing, broken, or holds what cannot be read: packages, algebraic rules, fast reactions, delays,
        events that depend on states or set them, and functions that the language of formulas lacks. Each is named.

    Notes
    -----
    SBML Level 3 Version 2 core (hucka_2019).
    """
    return read_named(path)[0]


def read_named(path: str | os.PathLike[str], given: Collection[str] = ()) -> tuple[Model, dict[str, str]]:
    """Read a model, and say which name each id of the file has in it.

    Parameters
    ----------
    path : str or path
        As for `read_sbml`.
    given : collection of str
        Ids whose values come from elsewhere, so that the file need not hold them; they are 0 here.

    Raises
    ------
    ModelError
        As for `read_sbml`.
    """
    place = Path(path)
    document = open_document(place)
    reader = _Reader(document.getModel(), place, given)
    return reader.checked(), dict(reader.names)


class _Reader(Contents):
    """The contents of a file as rows of a model."""

    # ---- rows ------------------------------------------------------------------------------------------------------

    def checked(self) -> Model:
        """The model with the units of the file where they fit, else without."""
        marked = {self.names[q.id]: q.row["route"] for q in self.quantities.values() if "route" in q.row}
        model = with_doses(self._model(self._units()), self.math.numbers, marked, self.moving)
        try:
            if not model.notices and not check(model):
                return model
            reason = "the units of the file are incomplete" if model.notices else "the units imply factors"
        except MscError as error:
            reason = f"the units of the file do not fit: {error.message}"
        plain = without_units(model)
        check(plain)
        time = "" if self.file.isSetTimeUnits() else f"; time is taken to be in {plain.time}"
        return replace(plain, notices=(f"{reason}; units are not checked{time}",))

    def _units(self) -> dict[str, str | None]:
        _ = (self.assigned, self.rates, self.initial, self.happenings, self.steps)  # they name numbers with units
        rate = reaction_unit(self.file)
        found: dict[str, str | None] = {self.names[q.id]: q.unit for q in self.quantities.values()}
        found |= dict.fromkeys(self.flows, rate)
        found |= {self.local_names[reaction, name]: unit for reaction, name, _, unit in self.local}
        found |= {name: read_unit(self.file, unit) for name, (_, unit) in self.math.numbers.items()}
        return found | {TIME: time_unit(self.file)}

    def _model(self, units: dict[str, str | None]) -> Model:
        known = {name: unit or "1" for name, unit in units.items()}
        time = units[TIME] or NO_TIME
        routes, doses = self._doses(time)
        derived, outputs = self._assigned_rows(known)
        title = self.file.getName() or self.file.getId() or self.place.stem
        missing = ("units are missing",) if None in units.values() else ()
        return Model(
            name=self.file.getId() or self.place.stem,
            title=title,
            time=time,
            parameters=tuple(self._parameters(known)),
            states=tuple(self._state(name, known) for name in self.rates),
            routes=routes,
            rates=tuple(self.rates.items()),
            derived=derived,
            outputs=outputs,
            doses=doses,
            source_path=str(self.place),
            notices=missing,
        )

    def _about(self, name: str) -> str:
        return self.quantities[self.ids[name]].about if self.ids.get(name) in self.quantities else ""

    def _state(self, name: str, units: dict[str, str]) -> State:
        volume = self.names.get(self.quantities[self.ids[name]].volume)
        if volume in self.moving:
            problem = f"compartment '{volume}' changes, and '{name}' is a concentration in it"
            hint = "hasOnlySubstanceUnits, so that the species is an amount"
            raise ModelError(problem, where=f"{self.place}, species {name}", hint=hint)
        start = self.start_of(name)
        return State(name, units[name], self._about(name), None if start.number == 0 else start)

    def _parameters(self, units: dict[str, str]) -> Iterator[Parameter]:
        held: dict[str, float] = {}
        changed = {*self.rates, *self.assigned, *self.flows, *self.stepped, *self.initial}
        for quantity in self.quantities.values():
            ours = quantity.row.get("table") == "none"  # the compartment that our own files need
            if self.names[quantity.id] not in changed and not quantity.factor and not ours:
                held[self.names[quantity.id]] = self.value_of(quantity)
        held |= self.local_values
        held |= {name: value for name, (value, _) in self.math.numbers.items()}
        for name, value in held.items():
            source, about = f"{self.place.name}", self._about(name)
            yield Parameter(name, value, units[name], about=about, source=source, evidence="read")

    def _assigned_rows(self, units: dict[str, str]) -> tuple[tuple[Derived, ...], tuple[Output, ...]]:
        """Everything that follows from other quantities; what nothing else uses is an output."""
        formulas = {**self.assigned, **self.flows, **self.steps}
        for quantity in self.quantities.values():
            name = self.names[quantity.id]
            if name not in {*formulas, *self.rates} and (name in self.initial or quantity.factor):
                formulas[name] = self.start_of(name)
        used: set[str] = set().union(*(formula.names for formula in (*formulas.values(), *self.rates.values())))
        used = used.union(*(self.start_of(name).names for name in self.rates), *self._dose_names())
        derived, outputs = [], []
        for name, formula in formulas.items():
            row = self.quantities[self.ids[name]].row if self.ids[name] in self.quantities else {}
            if row.get("table") == "outputs" or (name not in used and name in self.assigned and "table" not in row):
                outputs.append(self._output(name, formula, units[name], row))
            else:
                derived.append(Derived(name, units[name], formula, self._about(name)))
        for name in self.rates:
            row = self.quantities[self.ids[name]].row
            if row.get("table") == "outputs":
                outputs.append(self._output(name, parse(name), units[name], row))
        return tuple(derived), tuple(outputs)

    def _output(self, name: str, formula: Expression, unit: str, row: dict[str, str]) -> Output:
        noise = Noise.parse(row["noise"], where=f"{self.place}, {name}") if row.get("noise") else None
        words = (row.get("organ", ""), row.get("method", ""), row.get("blq") or "M3")
        return Output(name, formula, unit, noise, self._about(name), *words)

    # ---- events ----------------------------------------------------------------------------------------------------

    def _dose_names(self) -> list[frozenset[str]]:
        return [formula.names for each in self.happenings for _, formula in each.sets]

    def _doses(self, time: str) -> tuple[tuple[Route, ...], Regimen]:
        routes: list[Route] = []
        doses: list[Dose] = []
        hours = to_unit(f"1 {time}", "h")
        for each in self.happenings:
            added = tuple(
                (state, increment(each, state, formula, self.moving))
                for state, formula in each.sets
                if state in self.rates
            )
            if added:
                route, dose = as_dose(each, added, hours, {*self.names.values(), *(route.name for route in routes)})
                routes.append(route)
                doses.append(dose)
        self._refuse_lost_doses()
        return tuple(routes), Regimen(tuple(doses), name="events" if doses else "")

    def _refuse_lost_doses(self) -> None:
        """Two events of one moment that both use the state before either: SBML keeps the second alone."""
        seen: dict[tuple[str, str], Happening] = {}
        for each in self.happenings:
            for state, _ in each.sets:
                key = (state, str(each.moment))
                if key in seen and each.shares_values and seen[key].shares_values:
                    problem = f"events {seen[key].name} and {each.name} change '{state}' at one time"
                    hint = 'one event for both, or useValuesFromTriggerTime="false"'
                    raise ModelError(problem, where=each.where, expected="one event for a state and a time", hint=hint)
                seen[key] = each


def without_units(model: Model) -> Model:
    """The model with unit 1 throughout, which switches the check of units off."""
    return replace(
        model,
        parameters=tuple(row.changed(unit="1") for row in model.parameters),
        states=tuple(replace(row, unit="1") for row in model.states),
        derived=tuple(replace(row, unit="1") for row in model.derived),
        outputs=tuple(replace(row, unit="1") for row in model.outputs),
    )
