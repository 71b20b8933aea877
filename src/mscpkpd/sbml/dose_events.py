"""Doses as SBML events: a bolus adds its shares to the states, an infusion switches a rate on and off.

Doses that enter at the same time by the same lag share one event, because values of events at one time are all taken
before any of them changes a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.errors import DosingError, UnknownName
from mscpkpd.expressions import Expression, parse, to_sympy
from mscpkpd.model import VIABLE, Model, Route
from mscpkpd.sbml.names import annotation, sid
from mscpkpd.sbml.substitution import substituted
from mscpkpd.units import divided, parse_unit, scale_factor, to_unit, unit_text

if TYPE_CHECKING:
    import libsbml

    from mscpkpd.sbml.mathml import MathWriter

__all__ = ["Share", "doses_of", "infusions_into", "write_doses"]

BRIEF = 1e-9  # an infusion shorter than this is a bolus at its middle, as in the engine (L6)


@dataclass(frozen=True)
class Share:
    """One dose as events need it.

    Attributes
    ----------
    number : int
        Place in the regimen, from 1.
    dose : Dose
        The dose.
    route : Route
        Its route.
    amount, value, unit
        Id of the parameter that holds the amount; the amount and its unit.
    into : tuple of (str, Expression)
        State and the share of the dose that it receives.
    duration : Expression
        Duration of an infusion, model time unit; 0 for a bolus.
    infusion : str
        Id of the parameter that holds the rate of the infusion; empty for a bolus.
    """

    number: int
    dose: Dose
    route: Route
    amount: str
    value: float
    unit: str
    into: tuple[tuple[str, Expression], ...]
    duration: Expression
    infusion: str = ""


def doses_of(model: Model, regimen: Regimen, weight: float | None, taken: set[str]) -> tuple[Share, ...]:
    """Say what each dose of a regimen becomes.

    Parameters
    ----------
    model : Model
        The model.
    regimen : Regimen
        Doses.
    weight : float or None
        Body weight [kg].
    taken : set of str
        Ids in use; those of the doses are added.

    Raises
    ------
    DosingError
        For a dose per kg without a weight, a negative duration, a reset or steady state, or what is no dose (E36).
    UnknownName
        For a route that the model does not have.
    """
    shares = []
    for number, dose in enumerate(regimen.doses, 1):
        if dose.event:
            problem = f"'{dose.event}' of '{dose.route}' at {dose.time:g} h is no dose (E36)"
            raise DosingError(problem, hint="doses without events such as replace and multiply")
        if dose.reset or dose.steady:
            what = "a reset" if dose.reset else "a steady state"
            problem = f"dose {number} at {dose.time:g} h comes after {what}, which an SBML event cannot say"
            raise DosingError(problem, hint="doses without reset and steady state")
        route = _route(model, dose)
        amount = sid(f"dose_{number}", taken)
        taken.add(amount)
        value, unit = _amount(model, dose, route, weight)
        length = _duration(model, dose, route, amount)
        infused = _number(model, length, route, {amount: (value, unit)}) > BRIEF
        infusion = sid(f"infusion_{number}", taken) if infused else ""
        taken.add(infusion)
        into = tuple((state, _with_viable(share, dose, route)) for state, share in route.into)
        shares.append(Share(number, dose, route, amount, value, unit, into, length, infusion))
    return tuple(shares)


def _amount(model: Model, dose: Dose, route: Route, weight: float | None) -> tuple[float, str]:
    """The amount in the unit that the shares of its route are shares of."""
    known = route.name in model.route_names
    unit = model.amount_unit(route.name) if known else model.state(route.name).unit
    factor = 1.0 if unit == "1" else scale_factor(dose.absolute_unit, unit, where=f"dose by '{route.name}'")
    return dose.cells(weight) * factor, unit


def _route(model: Model, dose: Dose) -> Route:
    if dose.route in model.route_names:
        return model.route(dose.route)
    if dose.route in model.state_names:
        return Route(dose.route, ((dose.route, parse("1")),))  # E12: straight into a state
    raise UnknownName.among("route", dose.route, (*model.route_names, *model.state_names))


def _with_viable(share: Expression, dose: Dose, route: Route) -> Expression:
    """A share with the viable fraction of its dose (T1): a number of its own, else the parameter of the route."""
    if VIABLE not in share.names:
        return share
    viable = repr(float(dose.viable)) if dose.viable is not None else route.viable or "1"
    return substituted(share, {VIABLE: viable})


def _duration(model: Model, dose: Dose, route: Route, amount: str) -> Expression:
    if dose.duration > 0:
        return parse(repr(dose.duration / to_unit(f"1 {model.time}", "h")))
    if route.duration is not None:
        return route.duration
    if route.rate is None:
        return parse("0")
    whole = " + ".join(f"({substituted(share, {VIABLE: '1'})})" for _, share in route.into)
    return parse(f"{amount}*({whole})/({route.rate})")  # F lengthens an infusion whose rate is given (E7, E10)


def _number(model: Model, expression: Expression, route: Route, amounts: dict[str, tuple[float, str]]) -> float:
    """The duration of a dose with the values of the model."""
    import sympy

    units = {**model.units, **{name: unit for name, (_, unit) in amounts.items()}}
    value = to_sympy(expression, units)
    for row in reversed(model.derived_in_order):
        value = value.subs(sympy.Symbol(row.name, real=True), to_sympy(row.expression, units))
    numbers = {**model.values, **{name: number for name, (number, _) in amounts.items()}}
    number = float(value.subs({sympy.Symbol(name, real=True): number for name, number in numbers.items()}))
    if number < 0:
        raise DosingError(f"duration {number:g} of a dose by '{route.name}' is negative", expected="at least 0")
    return number


def write_doses(
    model: libsbml.Model, shares: tuple[Share, ...], math: MathWriter, described: Model, taken: set[str]
) -> None:
    """Write parameters and events of doses.

    Parameters
    ----------
    model : libsbml.Model
        Receives them.
    shares : tuple of Share
        Doses; their states and routes stand in the model already.
    math : MathWriter
        Writer of formulas.
    described : Model
        The model that is written.
    taken : set of str
        Ids in use.
    """
    hours = to_unit(f"1 {described.time}", "h")
    boluses: dict[tuple[float, str], list[Share]] = {}
    for share in shares:
        amount = _parameter(model, share.amount, share.value, math.unit_ids(share.unit), f"dose {share.number}")
        amount.setAnnotation(annotation({"table": "doses", "route": share.dose.route}))
        math.units[share.amount] = share.unit
        start = share.dose.time / hours
        if share.infusion:
            _write_infusion(model, share, start, math, described.time, taken)
        else:
            boluses.setdefault((start, str(share.route.lag or "")), []).append(share)
    for number, ((start, _), together) in enumerate(boluses.items(), 1):
        lag = together[0].route.lag
        event = _event(model, f"bolus_{number}", _sum(math, start, described.time, [lag]), math, taken)
        for state in dict.fromkeys(state for share in together for state, _ in share.into):
            parts = [math.name(state)]
            for share in together:
                parts += [_into(math, share, part) for target, part in share.into if target == state]
            _assign(event, state, _added(math, parts))


def _write_infusion(
    model: libsbml.Model, share: Share, start: float, math: MathWriter, time: str, taken: set[str]
) -> None:
    """A rate that is switched on and off."""
    unit = unit_text(divided(parse_unit(share.unit), parse_unit(time)))
    row = _parameter(model, share.infusion, 0.0, math.unit_ids(unit), f"infusion of dose {share.number}")
    row.setConstant(False)
    on = _event(model, f"{share.infusion}_on", _sum(math, start, time, [share.route.lag]), math, taken)
    _assign(on, share.infusion, math.apply("/", math.name(share.amount), math.formula(share.duration, time)))
    off = _event(
        model, f"{share.infusion}_off", _sum(math, start, time, [share.route.lag, share.duration]), math, taken
    )
    _assign(off, share.infusion, math.number(0.0, unit))


def _into(math: MathWriter, share: Share, part: Expression, what: str = "") -> libsbml.ASTNode:
    """What a state receives: the amount, or the rate of an infusion, times its share."""
    amount = math.name(what or share.amount)
    return amount if part.number == 1 else math.apply("*", amount, math.formula(part))


def infusions_into(state: str, shares: tuple[Share, ...], math: MathWriter) -> list[libsbml.ASTNode]:
    """Return the terms that infusions add to the rate of a state."""
    return [
        _into(math, share, part, share.infusion)
        for share in shares
        if share.infusion
        for target, part in share.into
        if target == state
    ]


def _added(math: MathWriter, parts: list[libsbml.ASTNode]) -> libsbml.ASTNode:
    total = parts[0]
    for part in parts[1:]:
        total = math.apply("+", total, part)
    return total


def _sum(math: MathWriter, start: float, time: str, later: list[Expression | None]) -> libsbml.ASTNode:
    """A time: what is known now as one number, then what parameters add."""
    terms = [part for part in later if part is not None]
    known = start + sum(part.number for part in terms if part.number is not None)
    moving = [math.formula(part, time) for part in terms if part.number is None]
    return _added(math, [*([math.number(known, time)] if known or not moving else []), *moving])


def _parameter(model: libsbml.Model, name: str, value: float, unit: str, about: str) -> libsbml.Parameter:
    row = model.createParameter()
    row.setId(name)
    row.setName(about)
    row.setValue(value)
    row.setUnits(unit)
    row.setConstant(True)
    return row


def _event(
    model: libsbml.Model, name: str, moment: libsbml.ASTNode, math: MathWriter, taken: set[str]
) -> libsbml.Event:
    """An event that happens once, at a time; also at time 0."""
    event = model.createEvent()
    event.setId(sid(name, taken))
    taken.add(event.getId())
    event.setUseValuesFromTriggerTime(True)
    trigger = event.createTrigger()
    trigger.setInitialValue(False)
    trigger.setPersistent(True)
    trigger.setMath(math.apply(">=", math.name("t"), moment))
    return event


def _assign(event: libsbml.Event, variable: str, value: libsbml.ASTNode) -> None:
    assignment = event.createEventAssignment()
    assignment.setVariable(variable)
    assignment.setMath(value)
