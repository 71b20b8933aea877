"""Units of formulas: every sum, comparison and function gets parts that fit, and the whole has the declared unit."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from mscpkpd.errors import ExpressionError, MscError, UnitError, UnknownName
from mscpkpd.expressions.language import OPERATORS, Expression, constant, tree
from mscpkpd.units import Unit, divided, multiplied, parse_unit, raised, same_size, unit_factor, unit_text

__all__ = ["check_unit", "node_unit", "target_unit", "unit_of"]


def unit_of(expression: Expression, units: Mapping[str, str], where: str = "") -> Unit | None:
    """Return the unit of a formula as written: pg per mL stays pg/mL.

    Parameters
    ----------
    expression : Expression
        The formula.
    units : mapping of str to str
        Unit of every name, the time `t` included.
    where : str
        File and key, for error messages.

    Returns
    -------
    Unit or None
        None for 0, which fits every unit.

    Raises
    ------
    UnitError
        If the parts of the formula do not fit.
    """
    try:
        return node_unit(tree(expression.text), units)
    except MscError as error:
        problem = f"in '{expression}': {error.problem}"
        raise UnitError(problem, where=where, expected=error.expected, hint=error.hint) from None


def check_unit(
    expression: Expression, units: Mapping[str, str], expected: str, where: str = "", what: str = "value"
) -> float:
    """Check that a formula has the dimension of the unit `expected`.

    A constant formula is taken as written in the expected unit.

    Parameters
    ----------
    expression : Expression
        The formula.
    units : mapping of str to str
        Unit of every name, the time `t` included.
    expected : str
        Unit that the value should have.
    where, what : str
        File and key, and what the formula is, for the error message.

    Returns
    -------
    float
        The implied scale factor: 1.0 where the units agree, 0.001 where the formula is in pg and ng are expected.

    Raises
    ------
    UnitError
        For example "rate of lung is cell**2/h; expected cells/h".
    """
    target = parse_unit(expected, where)
    unit = None if expression.number is not None else unit_of(expression, units, where)
    if unit is None:
        return 1.0
    if unit.dimensionality != target.dimensionality:
        problem = f"{what} is {unit_text(unit)}"
        raise UnitError(problem, where=where, expected=expected, hint=f"check the units in '{expression}'")
    return unit_factor(unit, target)


def node_unit(node: ast.AST, units: Mapping[str, str]) -> Unit | None:
    """Return the unit of a part of a formula; None for 0."""
    match node:
        case ast.Constant(value=value):
            return None if value == 0 else parse_unit("1")
        case ast.Name(id=name):
            if name not in units:
                raise UnknownName.among("name", name, units)
            return parse_unit(units[name])
        case ast.UnaryOp(operand=operand):
            return node_unit(operand, units)
        case ast.BinOp(left=left, op=op, right=right):
            return _operation(left, OPERATORS[type(op)], right, units)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call(name, args, units)
    raise ExpressionError(f"'{ast.unparse(node)}' has no unit")


def _operation(left: ast.expr, operator: str, right: ast.expr, units: Mapping[str, str]) -> Unit | None:
    if operator in "+-":
        return _same((left, right), units, operator)
    if operator == "**":
        return _power(left, right, units)
    one, other = node_unit(left, units), node_unit(right, units)
    if one is None or other is None:
        return None
    return multiplied(one, other) if operator == "*" else divided(one, other)


def _same(nodes: Sequence[ast.expr], units: Mapping[str, str], what: str) -> Unit | None:
    """Return the one unit of all parts of a sum, a minimum or a comparison."""
    found = [(ast.unparse(node), unit) for node in nodes if (unit := node_unit(node, units)) is not None]
    for text, unit in found[1:]:
        first_text, first = found[0]
        if not same_size(unit, first):
            problem = f"{what}: '{first_text}' is {unit_text(first)} and '{text}' is {unit_text(unit)}"
            alike = unit.dimensionality == first.dimensionality
            hint = f'to({text}, "{unit_text(first)}")' if alike else "check the units of the names in both"
            raise UnitError(problem, expected="the same unit", hint=hint)
    return found[0][1] if found else None


def _pure(node: ast.expr, units: Mapping[str, str], what: str) -> Unit:
    """Return "no unit", or raise where a part has one."""
    none, unit = parse_unit("1"), node_unit(node, units)
    if unit is not None and not same_size(unit, none):
        problem = f"{what} '{ast.unparse(node)}' is {unit_text(unit)}"
        hint = 'to(x, "1")' if unit.dimensionality == none.dimensionality else "divide by a reference value"
        raise UnitError(problem, expected="a number without unit", hint=hint)
    return none


def _power(base: ast.expr, exponent: ast.expr, units: Mapping[str, str]) -> Unit | None:
    _pure(exponent, units, "exponent")
    unit, number = node_unit(base, units), constant(exponent)
    if unit is None:
        return None
    if number is None:
        return _pure(base, units, "with a name in the exponent, base")
    return raised(unit, number)


def _call(name: str, args: list[ast.expr], units: Mapping[str, str]) -> Unit | None:
    match name, args:
        case "exp" | "log", [x]:
            return _pure(x, units, f"argument of {name}")
        case "sqrt", [x]:
            unit = node_unit(x, units)
            return None if unit is None else raised(unit, 0.5)
        case "hill", [x, half, exponent]:
            _same((x, half), units, "hill")
            return _pure(exponent, units, "third argument of hill")
        case "where", [ast.Compare(left=left, comparators=[right]), yes, no]:
            _same((left, right), units, "comparison")
            return _same((yes, no), units, "where")
        case "to", [x, _]:
            return _converted(x, target_unit(args), units)
    return _same(args, units, name)


def _converted(x: ast.expr, target: Unit, units: Mapping[str, str]) -> Unit:
    unit = node_unit(x, units)
    if unit is not None and unit.dimensionality != target.dimensionality:
        problem = f"to: '{ast.unparse(x)}' is {unit_text(unit)}"
        hint = "to() changes the size of a unit, never what it measures"
        raise UnitError(problem, expected=f"a unit like {unit_text(target)}", hint=hint)
    return target


def target_unit(args: Sequence[ast.expr]) -> Unit:
    """Return the unit that a call ``to(x, "unit")`` names."""
    match args:
        case [_, ast.Constant(value=str() as text)]:
            return parse_unit(text)
    raise ExpressionError("to without a unit", expected="a unit in quotes", hint='to(x, "ng/mL")')
