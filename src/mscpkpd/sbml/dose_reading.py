"""Doses found again in a model that was read: infusions that were steps of a rate, and amounts that were parameters.

A rate that is switched on and off at fixed times and is added to states, times shares that parameters fix, is an
infusion. A parameter that our own files mark as the amount of a dose is one. What does not fit exactly stays as it is.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.expressions import Expression, parse
from mscpkpd.model import Model, Route
from mscpkpd.sbml.event_reading import signed_sum, terms
from mscpkpd.sbml.names import own_name
from mscpkpd.units import to_unit

__all__ = ["with_doses"]

ONE = parse("1")
Into = tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class _Found:
    """A dose of 1 and what it puts where."""

    dose: Dose
    into: Into
    lag: Expression | None
    about: str


def with_doses(model: Model, numbers: Collection[str], amounts: Mapping[str, str], moving: Collection[str]) -> Model:
    """Return the model with infusions as doses, and with the amounts that doses had when the file was written.

    Parameters
    ----------
    model : Model
        As read: doses of 1 by routes of their own, infusions as derived quantities.
    numbers : collection of str
        Parameters that only stand for numbers with a unit; those that nothing uses any more are left out.
    amounts : mapping of str to str
        Parameters that are amounts of doses, and the routes of these doses.
    moving : collection of str
        Names that change in time, `t` included.
    """
    routes = {route.name: route for route in model.routes}
    found = [_Found(d, routes[d.route].into, routes[d.route].lag, routes[d.route].about) for d in model.doses]
    for name in [row.name for row in model.derived]:
        model, infused = _infusion(model, name, numbers, moving)
        found += infused
    model = replace(model, routes=(), doses=Regimen())
    kept: dict[tuple[object, ...], Route] = {}
    straight: set[str] = set()  # states that receive doses without a route (E12)
    doses = []
    for each in found:
        route, dose = _named(model, each, found, amounts)
        key = (route.name, tuple((state, share.text) for state, share in route.into), str(route.lag))
        if key not in kept:
            used = {other.name for other in kept.values()}
            if route.into == ((route.name, ONE),) and route.lag is None and route.name not in used:
                straight.add(route.name)
                kept[key] = route
            else:
                kept[key] = replace(route, name=own_name(route.name, used))
        doses.append(replace(dose, route=kept[key].name))
    model = replace(model, routes=tuple(route for route in kept.values() if route.name not in straight))
    doses = [_in_its_unit(model, dose) for dose in doses]
    model = replace(model, doses=Regimen(tuple(doses), name="events" if doses else ""))
    return _without_unused(model, {*numbers, *amounts})


def _in_its_unit(model: Model, dose: Dose) -> Dose:
    """A dose of 1 is 1 of what its shares are shares of."""
    if dose.unit != "1" or dose.route not in model.route_names:
        return dose
    return replace(dose, unit=model.amount_unit(dose.route))


# ---- infusions -------------------------------------------------------------------------------------------------------


def _infusion(model: Model, name: str, numbers: Collection[str], moving: Collection[str]) -> tuple[Model, list[_Found]]:
    """Take one derived quantity out of the rates, if it is a rate that is switched on and off."""
    row = next(row for row in model.derived if row.name == name)
    span = _on_and_off(model, row.expression, numbers)
    others = [d.expression for d in model.derived if d.name != name] + [o.expression for o in model.outputs]
    if span is None or any(name in each.names for each in others):
        return model, []
    begin, end, height = span
    hours = to_unit(f"1 {model.time}", "h")
    amount = _times_duration(model, height, end - begin, numbers)
    if amount is None or (begin * hours) / hours != begin:
        return model, []
    rates, into = [], []
    for state, rate in model.rates:
        left, share = _taken_out(rate, name, moving)
        if left is None:
            return model, []
        rates.append((state, left))
        if share is not None:
            into.append((state, parse(signed_sum([(1, _product(amount, share))]))))
    kept = tuple(row for row in model.derived if row.name != name)
    dose = Dose(begin * hours, 1.0, "1", name, (end - begin) * hours)
    return replace(model, rates=tuple(rates), derived=kept), [_Found(dose, tuple(into), None, row.about)]


def _on_and_off(model: Model, expression: Expression, numbers: Collection[str]) -> tuple[float, float, ast.expr] | None:
    """Begin, end and height of ``where(t < begin, 0, where(t < end, height, 0))``."""
    outer = _switched(model, ast.parse(expression.text, mode="eval").body, numbers)
    if outer is None:
        return None
    first, before, after = outer
    inner = _switched(model, after, numbers)
    if inner is None:
        return (0.0, first, before) if _is_zero(after) and not _is_zero(before) and first > 0 else None
    last, height, rest = inner
    fits = _is_zero(before) and _is_zero(rest) and last > first >= 0
    return (first, last, height) if fits else None


def _switched(model: Model, node: ast.expr, numbers: Collection[str]) -> tuple[float, ast.expr, ast.expr] | None:
    match node:
        case ast.Call(
            func=ast.Name(id="where"),
            args=[ast.Compare(left=ast.Name(id="t"), ops=[ast.Lt()], comparators=[at]), before, after],
        ):
            moment = _number(model, at, numbers)
            return None if moment is None else (moment, before, after)
    return None


def _number(model: Model, node: ast.expr, numbers: Collection[str]) -> float | None:
    if isinstance(node, ast.Name):
        return model.values[node.id] if node.id in numbers else None
    return float(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _times_duration(model: Model, height: ast.expr, length: float, numbers: Collection[str]) -> ast.expr | None:
    """The amount of an infusion: what was divided by its duration."""
    if not isinstance(height, ast.BinOp) or not isinstance(height.op, ast.Div):
        return None
    number = _number(model, height.right, numbers)
    return height.left if number is not None and math.isclose(number, length, rel_tol=1e-12) else None


def _taken_out(rate: Expression, name: str, moving: Collection[str]) -> tuple[Expression | None, ast.expr | None]:
    """A rate without an infusion, and the share that the infusion had; None for a rate that uses it otherwise."""
    if name not in rate.names:
        return rate, None
    parts = terms(ast.parse(rate.text, mode="eval").body, 1)
    mine = [(sign, term) for sign, term in parts if name in _names(term)]
    others = [(sign, term) for sign, term in parts if name not in _names(term)]
    if len(mine) != 1 or mine[0][0] != 1:
        return None, None
    there, share = _without(mine[0][1], name)
    share = ast.Constant(1) if share is None else share
    if not there or _names(share) & set(moving):
        return None, None
    return parse(signed_sum(others)), share


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _without(node: ast.expr, name: str) -> tuple[bool, ast.expr | None]:
    """A product without one of its factors; whether it was there, and what is left (None is 1)."""
    if isinstance(node, ast.Name):
        return node.id == name, None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        there, left = _without(node.left, name)
        if there:
            if left is None:
                left = None if isinstance(node.op, ast.Mult) else ast.Constant(1)
            return True, node.right if left is None else ast.BinOp(left, node.op, node.right)
        there, right = _without(node.right, name) if isinstance(node.op, ast.Mult) else (False, None)
        if there:
            return True, node.left if right is None else ast.BinOp(node.left, node.op, right)
    return False, node


def _product(one: ast.expr, other: ast.expr) -> ast.expr:
    return one if isinstance(other, ast.Constant) and other.value == 1 else ast.BinOp(one, ast.Mult(), other)


# ---- amounts ---------------------------------------------------------------------------------------------------------


def _named(model: Model, each: _Found, found: list[_Found], amounts: Mapping[str, str]) -> tuple[Route, Dose]:
    """The route and the dose with its own amount, where a parameter that our file marks is a factor of every share."""
    plain = Route(each.dose.route, each.into, lag=each.lag, about=each.about)
    number = each.into[0][1].number if len(each.into) == 1 and each.lag is None else None
    if number is not None and number > 0:  # straight into a state (E12)
        state = each.into[0][0]
        return Route(state, ((state, ONE),)), replace(each.dose, amount=number, unit=model.state(state).unit)
    for name, route in amounts.items():
        if name not in model.parameter_names or not all(name in share.names for _, share in each.into):
            continue
        parts = [(state, _without(ast.parse(share.text, mode="eval").body, name)) for state, share in each.into]
        used = [share for other in found if other is not each for _, share in other.into]
        used += _formulas(model)
        value = model.values[name]
        if value <= 0 or not all(there for _, (there, _) in parts) or any(name in formula.names for formula in used):
            continue
        shares = tuple((state, parse(ast.unparse(ast.Constant(1) if s is None else s))) for state, (_, s) in parts)
        dose = replace(each.dose, amount=value, unit=model.parameter(name).unit)
        return Route(route, shares, lag=each.lag), dose
    return plain, each.dose


def _formulas(model: Model) -> list[Expression]:
    """Rates, derived quantities, outputs and starts."""
    found = [formula for _, formula in model.rates]
    found += [derived.expression for derived in model.derived]
    found += [output.expression for output in model.outputs]
    return found + [state.start for state in model.states if state.start is not None]


def _without_unused(model: Model, candidates: Collection[str]) -> Model:
    """Leave out parameters that stood for numbers or doses, where nothing uses them any more."""
    formulas = _formulas(model)
    for route in model.routes:
        formulas += [share for _, share in route.into] + ([route.lag] if route.lag is not None else [])
    used = {name for formula in formulas for name in formula.names} | set(model.noise_parameters)
    kept = tuple(row for row in model.parameters if row.name in used or row.name not in candidates)
    return replace(model, parameters=kept)
