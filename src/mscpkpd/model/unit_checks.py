"""Units of a model: every rate, start, route, derived quantity, output and noise model has the declared dimension.

Numbers are taken as written and never converted silently: a unit of the right dimension and another size is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from mscpkpd.errors import ModelError, MscError, UnitError
from mscpkpd.expressions import TIME, Expression, check_unit, unit_of
from mscpkpd.model.description import Model
from mscpkpd.model.rows import VIABLE, Output, Route
from mscpkpd.units import Unit, divided, parse_unit, raised, scale_factor, unit_factor, unit_text

__all__ = ["unit_findings"]

# a function that returns the implied factor or raises, what it is about, and where that stands
UnitCheck = tuple[Callable[[], float], str, str]


def unit_findings(model: Model) -> tuple[list[MscError], list[str]]:
    """Check the units of a model whose names are in order.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    tuple of (list of MscError, list of str)
        What is wrong, and notices of implied factors other than 1.
    """
    findings, notices = [*_unknown_units(model)], []
    if findings or {unit for name, unit in model.units.items() if name != TIME} == {"1"}:
        return findings, []  # unit "1" throughout switches the check off
    for attempt, what, where in _checks(model):
        try:
            factor = attempt()
        except MscError as error:
            findings.append(error)
            continue
        if factor != 1.0:
            notices.append(f"{where}: the unit of {what} implies a factor {factor:g}; numbers are taken as written")
    return findings, notices


def _unknown_units(model: Model) -> Iterator[MscError]:
    places = {
        **{f"[parameters].{row.name}": row.unit for row in model.parameters},
        **{f"[states].{row.name}": row.unit for row in model.states},
        **{f"[derived].{row.name}": row.unit for row in model.derived},
        **{f"[outputs].{row.name}": row.unit for row in model.outputs},
    }
    for where, unit in places.items():
        try:
            parse_unit(unit, where)
        except UnitError as error:
            yield error
    try:
        scale_factor("h", model.time)
    except UnitError:
        yield ModelError(f"time is in '{model.time}'", where="time", expected="a unit of time", hint="h or d")


def _checks(model: Model) -> Iterator[UnitCheck]:
    units = {**model.units, VIABLE: "1"}
    for state in model.states:
        if state.start is not None:
            yield _formula(state.start, units, state.unit, f"start of {state.name}", f"[states].{state.name}")
    for derived in model.derived:
        yield _formula(derived.expression, units, derived.unit, derived.name, f"[derived].{derived.name}")
    for name, rate in model.rates:
        per_time = unit_text(divided(parse_unit(units[name]), parse_unit(model.time)))
        yield _formula(rate, units, per_time, f"rate of {name}", f"[rates].{name}")
    for route in model.routes:
        yield from _route_checks(route, units, model.time)
    for output in model.outputs:
        yield from _output_checks(output, units)
    for one, other in zip(model.conserved, model.conserved[1:], strict=False):
        yield partial(scale_factor, units[one], units[other], "conserved"), f"{one} and {other}", "conserved"


def _formula(expression: Expression, units: Mapping[str, str], expected: str, what: str, where: str) -> UnitCheck:
    return partial(check_unit, expression, units, expected, where, what), what, where


def _name(text: str) -> Expression:
    return Expression(text, frozenset((text,)))


def _route_checks(route: Route, units: Mapping[str, str], time: str) -> Iterator[UnitCheck]:
    """All states of a route agree on one unit of the dose; a modelled rate is in that unit per time (E7)."""
    where = f"[routes].{route.name}"
    for share in route.into:
        yield partial(_same_amount, route.into[0], share, units, where), f"the dose into {share[0]}", where
    if route.viable is not None:
        yield _formula(_name(route.viable), units, "1", f"viable fraction {route.viable}", where)
    for key, timed in (("lag", route.lag), ("duration", route.duration)):
        if timed is not None:
            yield _formula(timed, units, time, key, where)
    if route.rate is not None:
        per_time = unit_text(divided(parse_unit(units[route.into[0][0]]), parse_unit(time)))
        yield _formula(route.rate, units, per_time, "rate", where)


def _amount(share: tuple[str, Expression], units: Mapping[str, str], where: str) -> Unit:
    """Return the unit of a dose of which a state receives a share."""
    state, fraction = share
    unit = unit_of(fraction, units, f"{where}, into {state}")
    return parse_unit(units[state]) if unit is None else divided(parse_unit(units[state]), unit)


def _same_amount(
    first: tuple[str, Expression], share: tuple[str, Expression], units: Mapping[str, str], where: str
) -> float:
    expected, here = _amount(first, units, where), _amount(share, units, where)
    if expected.dimensionality != here.dimensionality:
        problem = f"the dose into {share[0]} is in {unit_text(here)}"
        hint = (
            f"a share with a unit, such as a parameter in {unit_text(divided(parse_unit(units[share[0]]), expected))}"
        )
        raise UnitError(problem, where=where, expected=f"{unit_text(expected)}, as into {first[0]}", hint=hint)
    return unit_factor(here, expected)


def _output_checks(output: Output, units: Mapping[str, str]) -> Iterator[UnitCheck]:
    where = f"[outputs].{output.name}"
    yield _formula(output.expression, units, output.unit, output.name, where)
    for method, factor in output.bias:
        yield _formula(_name(factor), units, "1", f"bias {factor} of {method}", where)
    if output.detection is not None:
        for argument, expected in ((output.detection.lod, output.unit), (output.detection.s, "1")):
            if isinstance(argument, str):
                yield _formula(_name(argument), units, expected, f"{argument} in {output.detection}", where)
    if output.noise is None:
        return
    arguments = output.noise.arguments
    power = arguments.get("c", 1.0)
    for name, value in arguments.items():
        if not isinstance(value, str) or (name == "b" and isinstance(power, str)):
            continue  # the unit of b in b f**c is open where c is estimated
        if name == "s" and output.noise.form in ("boxcox", "yeojohnson"):
            continue  # of the transformed scale, whose unit is open where lam is estimated (R7)
        expected = output.unit if name == "a" else "1"
        if name == "b" and not isinstance(power, str) and power != 1:
            expected = unit_text(raised(parse_unit(output.unit), 1.0 - power))
        yield _formula(_name(value), units, expected, f"{value} in {output.noise}", where)
