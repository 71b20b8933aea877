"""What an SBML file says, in the formulas and names of this package."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mscpkpd.errors import ModelError
from mscpkpd.expressions import TIME, Expression, parse
from mscpkpd.parameters import number_text
from mscpkpd.sbml.event_reading import Happening, read_event, stepwise
from mscpkpd.sbml.formulas import MathReader
from mscpkpd.sbml.names import own_name
from mscpkpd.sbml.quantities import Quantity, quantities
from mscpkpd.sbml.reactions import flows, local_parameters, net_rates
from mscpkpd.sbml.starts import at_start
from mscpkpd.sbml.substitution import substituted

if TYPE_CHECKING:
    import libsbml

__all__ = ["Contents"]


class Contents:
    """One file that is being read; every step is worked out once, when it is first needed.

    Parameters
    ----------
    file : libsbml.Model
        The model of the file.
    place : Path
        The file, for error messages.
    given : collection of str
        Ids whose values come from elsewhere.
    """

    def __init__(self, file: libsbml.Model, place: Path, given: Collection[str]) -> None:
        self.file, self.place, self.given = file, place, given
        self.quantities = {each.id: each for each in quantities(file)}
        self.names: dict[str, str] = {}
        reactions = [file.getReaction(i).getId() for i in range(file.getNumReactions())]
        for name in (*self.quantities, *reactions):
            self.names[name] = own_name(name, self.names.values())
        self.local = list(local_parameters(file))
        self.local_names: dict[tuple[str, str], str] = {}
        for reaction, name, _, _ in self.local:
            taken = {*self.names.values(), *self.local_names.values()}
            self.local_names[reaction, name] = own_name(f"{reaction}_{name}", taken)
        functions = {file.getFunctionDefinition(i).getId(): file.getFunctionDefinition(i)
                     for i in range(file.getNumFunctionDefinitions())}  # fmt: skip
        self.math = MathReader(self.names, functions, str(place))
        self.ids = {name: each for each, name in self.names.items()}

    @property
    def local_values(self) -> dict[str, float]:
        """Values of the parameters that only one kinetic law knows."""
        return {self.local_names[reaction, name]: value for reaction, name, value, _ in self.local}

    # ---- formulas, by our names ------------------------------------------------------------------------------------

    def _rules(self, kind: str) -> dict[str, Expression]:
        found = {}
        for i in range(self.file.getNumRules()):
            rule = self.file.getRule(i)
            if getattr(rule, f"is{kind}")():
                where = f"{kind.lower()} rule of {rule.getVariable()}"
                found[self.names[rule.getVariable()]] = self.math.formula(rule.getMath(), where)
        return found

    @cached_property
    def assigned(self) -> dict[str, Expression]:
        """Assignment rules."""
        return self._rules("Assignment")

    @cached_property
    def flows(self) -> dict[str, Expression]:
        """Rates of reactions."""
        return flows(self.file, self.math, self.local_names)

    @cached_property
    def initial(self) -> dict[str, Expression]:
        """Initial assignments."""
        found = {}
        for i in range(self.file.getNumInitialAssignments()):
            one = self.file.getInitialAssignment(i)
            where = f"initial assignment of {one.getSymbol()}"
            found[self.names[one.getSymbol()]] = self.math.formula(one.getMath(), where)
        return found

    @cached_property
    def rates(self) -> dict[str, Expression]:
        """Rate of change of each state."""
        found = self._rules("Rate")
        for species, text in net_rates(self.file, self.quantities, self.math).items():
            found[self.names[species]] = parse(text, where=f"{self.place}, reactions of {species}")
        return found

    # ---- what changes in time --------------------------------------------------------------------------------------

    @cached_property
    def stepped(self) -> frozenset[str]:
        """What events change and nothing else does."""
        targets = set()
        for i in range(self.file.getNumEvents()):
            event = self.file.getEvent(i)
            targets |= {event.getEventAssignment(k).getVariable() for k in range(event.getNumEventAssignments())}
        return frozenset(self.names[target] for target in targets) - self.rates.keys()

    @cached_property
    def moving(self) -> frozenset[str]:
        """Names that change in time, and the time itself."""
        moving = {TIME, *self.rates, *self.stepped}
        derived = {**self.assigned, **self.flows}
        while True:
            more = {name for name, formula in derived.items() if formula.names & moving} - moving
            if not more:
                return frozenset(moving)
            moving |= more

    @cached_property
    def happenings(self) -> tuple[Happening, ...]:
        """Events, in the order of the file."""
        found = (
            read_event(self.file.getEvent(i), i + 1, self.math, self.moving) for i in range(self.file.getNumEvents())
        )
        return tuple(each for each in found if each is not None)

    # ---- values at time 0 ------------------------------------------------------------------------------------------

    def _start(self, name: str) -> Expression:
        """What a name starts from; the formula may use names that change."""
        if name in self.initial:
            return self.initial[name]
        if name in self.assigned or name in self.flows:
            return self.assigned.get(name) or self.flows[name]
        if name in self.math.numbers:
            return parse(number_text(self.math.numbers[name][0]))
        if name not in self.ids:
            return parse(number_text(self.local_values[name]))
        quantity = self.quantities[self.ids[name]]
        text = number_text(self.value_of(quantity))
        if quantity.factor:
            text = f"{text}{quantity.factor[0]}{self.names[quantity.factor[1:]]}"
        return parse(text)

    def value_of(self, quantity: Quantity) -> float:
        """Return the number that the file gives a quantity; `ModelError` where it gives none."""
        if quantity.value is not None and not math.isnan(quantity.value):
            return quantity.value
        if quantity.id in self.given:
            return 0.0
        where = f"{self.place}, {quantity.kind} {quantity.id}"
        raise ModelError("no value at the start", where=where, hint="a value, or an initial assignment")

    def start_of(self, name: str) -> Expression:
        """Return the value of a name at time 0, in names that do not change."""
        return at_start(self._start(name), self.moving, self._start, f"{self.place}, start of {name}", (name,))

    def number_of(self, expression: Expression, where: str) -> float:
        """Return the value of a formula of constants, as the file has them."""
        texts = {name: f"({self.start_of(name)})" for name in expression.names}
        values = substituted(expression, texts)
        if not values.names:
            number = values.number
        else:
            number = self.number_of(values, where) if values.text != expression.text else None
        if number is None:
            raise ModelError(f"'{expression}' has no value that can be worked out", where=where, hint="a number")
        return number

    # ---- steps ------------------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> dict[str, Expression]:
        """What only events change, as formulas in time."""
        return {name: self._steps(name) for name in sorted(self.stepped)}

    def _steps(self, name: str) -> Expression:
        mine = [each for each in self.happenings if name in dict(each.sets)]
        start = str(self.start_of(name))
        return stepwise(name, start, mine, self.moving, self.number_of, self._moment)

    def _moment(self, at: float) -> str:
        """A time as text: with a unit it is a parameter, so that units can be checked."""
        if not self.file.isSetTimeUnits():
            return number_text(at)
        return self.math.number_name(at, self.file.getTimeUnits())
