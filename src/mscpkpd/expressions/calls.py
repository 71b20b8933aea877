"""Calls with constant arguments, as priors and noise models are written: ``lognormal(20, 0.8)``."""

from __future__ import annotations

import ast
import math

from mscpkpd.errors import ExpressionError, ParameterError
from mscpkpd.expressions.language import constant, plain, shortened, tree

__all__ = ["parse_call", "parse_nested_call"]

Call = tuple[str, tuple[str | float, ...]]

EXAMPLE = "lognormal(20, 0.8)"


def parse_call(text: str, where: str = "") -> tuple[str, tuple[str | float, ...]]:
    """Read a word with arguments that are numbers or names.

    Parameters
    ----------
    text : str
        For example ``"lognormal(20, 0.8)"``, ``"combined2(a, b)"`` or ``"fixed"``.
    where : str
        File and key, for the error message.

    Returns
    -------
    tuple of (str, tuple of str or float)
        The word and its arguments.

    Raises
    ------
    ParameterError
        If the text has another form.

    Examples
    --------
    >>> parse_call("lognormal(20, 0.8)")
    ('lognormal', (20.0, 0.8))
    """
    try:
        top = tree(plain(text))
    except ExpressionError as error:
        raise ParameterError(error.problem, where=where, hint=f"a text such as '{EXAMPLE}'") from None
    match top:
        case ast.Name(id=name):
            return name, ()
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return name, tuple(_argument(argument, text, where) for argument in args)
    problem = f"'{shortened(text)}' cannot be read"
    raise ParameterError(problem, where=where, expected="name(number, ...)", hint=EXAMPLE)


def parse_nested_call(text: str, where: str = "") -> tuple[str, tuple[str | float, ...], Call | None]:
    """Read a call whose last argument may be a call itself, such as ``"student(4, proportional(b))"``.

    Parameters
    ----------
    text : str
        As for `parse_call`.
    where : str
        File and key, for the error message.

    Returns
    -------
    word : str
    arguments : tuple of str or float
        Without the call inside.
    inside : tuple of (str, tuple of str or float), or None
        The call inside, if there is one.

    Raises
    ------
    ParameterError
        If the text has another form.

    Examples
    --------
    >>> parse_nested_call("student(4, proportional(b))")
    ('student', (4.0,), ('proportional', ('b',)))
    """
    try:
        top = tree(plain(text))
    except ExpressionError:
        top = None
    match top:
        case ast.Call(func=ast.Name(id=name), args=[*args, ast.Call() as last], keywords=[]):
            first = tuple(_argument(argument, text, where) for argument in args)
            return name, first, parse_call(ast.unparse(last), where)
    name, first = parse_call(text, where)
    return name, first, None


def _argument(node: ast.expr, text: str, where: str) -> str | float:
    if isinstance(node, ast.Name):
        return node.id
    value = constant(node) if isinstance(node, ast.Constant | ast.UnaryOp | ast.BinOp) else None
    if value is None or not math.isfinite(value):
        problem = f"'{shortened(ast.unparse(node))}' in '{shortened(text)}'"
        raise ParameterError(problem, where=where, expected="a finite number or a name", hint=EXAMPLE)
    return value
