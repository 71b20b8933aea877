"""Events at fixed times: what adds to a state is a dose, what sets anything else is a formula in time."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mscpkpd.dosing import Dose
from mscpkpd.errors import ModelError
from mscpkpd.expressions import TIME, Expression, parse
from mscpkpd.model import Route
from mscpkpd.sbml.names import own_name
from mscpkpd.sbml.substitution import substituted_text

if TYPE_CHECKING:
    import libsbml

    from mscpkpd.sbml.formulas import MathReader

__all__ = ["Happening", "as_dose", "increment", "read_event", "signed_sum", "stepwise", "terms"]

LATER = {
    "AST_RELATIONAL_GEQ": (0, 1),
    "AST_RELATIONAL_GT": (0, 1),
    "AST_RELATIONAL_LEQ": (1, 0),
    "AST_RELATIONAL_LT": (1, 0),
}
FIXED = "an event at a time that parameters fix, such as time >= 24"


@dataclass(frozen=True)
class Happening:
    """An event at a fixed time.

    Attributes
    ----------
    name, where : str
        Id of the event; file and event for messages.
    moment : Expression
        When, model time unit.
    sets : tuple of (str, Expression)
        Name and the formula whose value it takes.
    shares_values : bool
        Whether events of one moment all use the values before any of them.
    """

    name: str
    where: str
    moment: Expression
    sets: tuple[tuple[str, Expression], ...]
    shares_values: bool


def read_event(event: libsbml.Event, number: int, math: MathReader, moving: Collection[str]) -> Happening | None:
    """Read one event.

    Parameters
    ----------
    event : libsbml.Event
        The event.
    number : int
        Its place among the events, for one without id.
    math : MathReader
        Reader of formulas.
    moving : collection of str
        Names that change in time, `t` included.

    Returns
    -------
    Happening or None
        None for an event that never happens because its trigger holds from the start.

    Raises
    ------
    ModelError
        For a delay, a priority, or a trigger that depends on more than time.
    """
    name = event.getId() or f"event_{number}"
    where = f"event {name}"
    place = f"{math.where}, {where}"
    for what, there in (("a delay", event.isSetDelay()), ("a priority", event.isSetPriority())):
        if there:
            raise ModelError(f"the event has {what}", where=place, expected=FIXED, hint="put it into the time itself")
    moment, strict = _moment(event, math, where)
    if moment.names & set(moving):
        problem = f"the event depends on what changes in time: {', '.join(sorted(moment.names & set(moving)))}"
        raise ModelError(problem, where=place, expected=FIXED, hint="a piecewise rate that depends on the state")
    at = moment.number
    if at is not None and event.getTrigger().getInitialValue() and (at < 0 or (at == 0 and not strict)):
        return None
    moment = moment if at is None or at >= 0 else parse("0")
    local = {TIME: f"({moment})"}
    sets = []
    for i in range(event.getNumEventAssignments()):
        one = event.getEventAssignment(i)
        variable = math.names[one.getVariable()]
        formula = math.formula(one.getMath(), f"{where}, {one.getVariable()}")
        sets.append((variable, parse(substituted_text(formula.text, local), where=place)))
    return Happening(name, place, moment, tuple(sets), event.getUseValuesFromTriggerTime())


def _moment(event: libsbml.Event, math: MathReader, where: str) -> tuple[Expression, bool]:
    """The time of a trigger ``time >= T``, and whether it is ``>``."""
    import libsbml

    trigger = event.getTrigger()
    condition = trigger.getMath() if trigger is not None else None
    for kind, (left, right) in LATER.items():
        if condition is None or condition.getNumChildren() != 2:
            break
        right_kind = condition.getType() == getattr(libsbml, kind)
        if right_kind and condition.getChild(left).getType() == libsbml.AST_NAME_TIME:
            return math.formula(condition.getChild(right), f"{where}, trigger"), kind.endswith("T")
    shown = libsbml.formulaToL3String(condition) if condition is not None else "nothing"
    problem = f"the event happens when {shown}"
    raise ModelError(problem, where=f"{math.where}, {where}", expected=FIXED, hint="write its times out")


def increment(happening: Happening, variable: str, formula: Expression, moving: Collection[str]) -> Expression:
    """Return what an event adds to a state.

    Parameters
    ----------
    happening : Happening
        The event.
    variable : str
        The state.
    formula : Expression
        Its new value.
    moving : collection of str
        Names that change in time, `t` included.

    Raises
    ------
    ModelError
        If the event sets the state, or adds something that changes in time.
    """
    signs = list(terms(ast.parse(formula.text, mode="eval").body, 1))
    own = [k for k, (sign, term) in enumerate(signs) if sign == 1 and ast.unparse(term) == variable]
    rest = [signed for k, signed in enumerate(signs) if own and k != own[0]]
    added = parse(signed_sum(rest), where=happening.where) if rest else parse("0")
    if not own or variable in added.names:
        problem = f"the event sets '{variable}' to {formula}"
        expected = f"an event that adds: {variable} + ..."
        raise ModelError(problem, where=happening.where, expected=expected, hint="a dose instead of a reset")
    changing = sorted(added.names & set(moving))
    if changing:
        problem = f"the event adds {added} to '{variable}', which depends on {', '.join(changing)}"
        expected = "an amount that parameters fix"
        raise ModelError(problem, where=happening.where, expected=expected, hint="an amount that is a parameter")
    return added


def terms(node: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    """Return the terms of a sum with their signs."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        other = sign if isinstance(node.op, ast.Add) else -sign
        return [*terms(node.left, sign), *terms(node.right, other)]
    if isinstance(node, ast.UnaryOp):
        return terms(node.operand, -sign if isinstance(node.op, ast.USub) else sign)
    return [(sign, node)]


def signed_sum(parts: list[tuple[int, ast.expr]]) -> str:
    """Return terms with their signs as text."""
    total: ast.expr | None = None
    for sign, term in parts:
        if total is None:
            total = term if sign > 0 else ast.UnaryOp(ast.USub(), term)
        else:
            total = ast.BinOp(total, ast.Add() if sign > 0 else ast.Sub(), term)
    return ast.unparse(total) if total is not None else "0"


def stepwise(
    name: str,
    start: str,
    happenings: list[Happening],
    moving: Collection[str],
    number: Callable[[Expression, str], float],
    moment: Callable[[float], str],
) -> Expression:
    """Return a quantity that only events change as a formula in time.

    Parameters
    ----------
    name : str
        The quantity.
    start : str
        Its formula before the first event.
    happenings : list of Happening
        Events that set it.
    moving : collection of str
        Names that change in time, `t` included.
    number : callable
        Gives the value of a formula of constants; takes where it stands, too.
    moment : callable
        Gives the text of a time that is a number.

    Raises
    ------
    ModelError
        If a value depends on what changes in time.
    """
    ordered = sorted(happenings, key=lambda each: number(each.moment, each.where))
    steps, before = [start], start
    for each in ordered:
        text = substituted_text(dict(each.sets)[name].text, {name: f"({before})"})
        formula = parse(text, where=each.where)
        changing = sorted(formula.names & set(moving))
        if changing:
            problem = f"the event sets '{name}' to {formula}, which depends on {', '.join(changing)}"
            raise ModelError(problem, where=each.where, expected="a value that parameters fix", hint="a parameter")
        before = formula.text
        steps.append(before)
    text = steps[-1]
    for each, earlier in zip(reversed(ordered), reversed(steps[:-1]), strict=True):
        at = each.moment.number
        if at != 0:  # what happens at time 0 holds from the start
            text = f"where({TIME} < {each.moment if at is None else moment(at)}, {earlier}, {text})"
    return parse(text, where=ordered[-1].where if ordered else "")


def as_dose(
    happening: Happening, added: tuple[tuple[str, Expression], ...], model_hours: float, taken: Collection[str]
) -> tuple[Route, Dose]:
    """Return an event that adds to states as a route, whose shares are the amounts, and one dose of 1.

    Parameters
    ----------
    happening : Happening
        The event.
    added : tuple of (str, Expression)
        State and what it receives.
    model_hours : float
        Length of the model's time unit [h].
    taken : collection of str
        Names that the route cannot have.
    """
    name, at = own_name(happening.name, taken), happening.moment.number
    # hours and back must give the very time, or an observation at that time would stand on the wrong side of the dose
    exact = at is not None and (at * model_hours) / model_hours == at
    time = at * model_hours if at is not None and exact else 0.0
    route = Route(name, added, lag=None if exact else happening.moment, about=f"Event {happening.name} of the file")
    return route, Dose(time, 1.0, "1", name)
