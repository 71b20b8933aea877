"""Formulas as SymPy expressions, for engines that need derivatives."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import add, mul, pow, sub, truediv  # noqa: A004 - the power of two expressions
from typing import Any

import sympy

from mscpkpd.errors import ExpressionError
from mscpkpd.expressions.dimensions import node_unit, target_unit
from mscpkpd.expressions.language import COMPARISONS, OPERATORS, Expression, constant, tree
from mscpkpd.units import unit_factor

__all__ = ["Hill", "to_sympy"]


class Hill(sympy.Function):
    """``Hill(x, e, h)`` = x**h / (x**h + e**h), left unevaluated so that an engine can choose a safe form of it.

    The derivatives by e and h are written with ``Hill`` itself and are bounded; the one by x is written so that it is
    1/e, and not 0/0, at x = 0 and h = 1.
    """

    nargs = (3,)

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """Return the derivative by the argument of number `argindex`, from 1."""
        x, e, h = self.args
        slope = self * (1 - self)
        if argindex == 1:
            return h * x ** (h - 1) * e**h / (x**h + e**h) ** 2
        if argindex == 2:
            return -h * slope / e
        return sympy.Piecewise((slope * sympy.log(x / e), x > 0), (sympy.Integer(0), True))

    def _eval_is_real(self) -> bool:
        return True

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        x, e, h = self.args
        return (x**h / (x**h + e**h))._eval_evalf(prec)  # noqa: SLF001 - SymPy's own protocol


SYMPY: dict[str, Callable[..., Any]] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
    "abs": sympy.Abs,
    "min": sympy.Min,
    "max": sympy.Max,
    "hill": Hill,
    "+": add,
    "-": sub,
    "*": mul,
    "/": truediv,
    "**": pow,
    "<": sympy.Lt,
    "<=": sympy.Le,
    ">": sympy.Gt,
    ">=": sympy.Ge,
}


def to_sympy(expression: Expression, units: Mapping[str, str]) -> sympy.Expr:
    """Return the formula as a SymPy expression in the real symbols of its names.

    Parameters
    ----------
    expression : Expression
        The formula.
    units : mapping of str to str
        Unit of every name: ``to(x, "u")`` becomes a factor times x.

    Returns
    -------
    sympy.Expr
        ``hill`` becomes `Hill`, ``where`` becomes ``Piecewise``.

    Raises
    ------
    UnitError
        If the argument of a ``to`` cannot be converted.
    """
    return _translated(tree(expression.text), units)


@lru_cache(maxsize=1024)
def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


def _number(value: float) -> sympy.Expr:
    """Whole numbers stay whole, so that SymPy simplifies 1*x."""
    return sympy.Integer(int(value)) if value == int(value) and abs(value) < 2**53 else sympy.Float(value)


def _translated(node: ast.AST, units: Mapping[str, str]) -> sympy.Expr:
    value = constant(node)
    if value is not None:
        return _number(value)
    match node:
        case ast.Name(id=name):
            return _symbol(name)
        case ast.UnaryOp(op=op, operand=operand):
            inner = _translated(operand, units)
            return inner if isinstance(op, ast.UAdd) else -inner
        case ast.BinOp(left=left, op=op, right=right):
            return SYMPY[OPERATORS[type(op)]](_translated(left, units), _translated(right, units))
        case ast.Call(func=ast.Name(id="to"), args=args):
            return _converted(node, args, units)
        case ast.Call(func=ast.Name(id="where"), args=[ast.Compare() as comparison, yes, no]):
            condition = _compared(comparison, units)
            return sympy.Piecewise((_translated(yes, units), condition), (_translated(no, units), True))
        case ast.Call(func=ast.Name(id=name), args=args):
            return SYMPY[name](*(_translated(argument, units) for argument in args))
    raise ExpressionError(f"'{ast.unparse(node)}' cannot be turned into SymPy")


def _compared(node: ast.Compare, units: Mapping[str, str]) -> sympy.Basic:
    sides = (_translated(side, units) for side in (node.left, node.comparators[0]))
    return SYMPY[COMPARISONS[type(node.ops[0])]](*sides)


def _converted(node: ast.Call, args: list[ast.expr], units: Mapping[str, str]) -> sympy.Expr:
    node_unit(node, units)  # raises where the dimensions differ
    unit, inner = node_unit(args[0], units), _translated(args[0], units)
    return inner if unit is None else _number(unit_factor(unit, target_unit(args))) * inner
