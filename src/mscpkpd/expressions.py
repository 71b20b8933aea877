"""Formulas of model files: a small closed language, parsed by a whitelist over Python's ``ast``.

::

    numbers, names, t        + - * / **  and brackets
    exp(x) log(x) sqrt(x) abs(x)   min(a, b, ...) max(a, b, ...)
    hill(x, ec50, h)         x**h / (x**h + ec50**h)
    where(t < Tmax, a, b)    a while the comparison holds, else b
    to(x, "ng/mL")           x converted to another unit of its dimension

Text from a file is never evaluated as Python and never given to SymPy's parser (rule 3 of the project). The same
parser reads the calls of priors and noise models, such as ``lognormal(20, 0.8)``.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import mul, truediv
from typing import Any

import sympy

from mscpkpd.errors import ExpressionError, MscError, ParameterError, UnitError, UnknownName, closest
from mscpkpd.units import Unit, parse_unit, unit_factor, unit_text

__all__ = ["FUNCTIONS", "TIME", "Expression", "Hill", "check_name", "check_unit", "parse", "parse_call", "to_sympy"]

TIME = "t"
MOST_CHARACTERS, MOST_DEPTH, MOST_NODES = 2000, 50, 500
LARGEST_EXPONENT = 100.0
# function -> fewest and most arguments
FUNCTIONS = {"exp": (1, 1), "log": (1, 1), "sqrt": (1, 1), "abs": (1, 1), "min": (2, 20), "max": (2, 20), "hill": (3, 3), "where": (3, 3), "to": (2, 2)}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
LANGUAGE = f"numbers, names, + - * / **, and {', '.join(FUNCTIONS)}"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Expression:
    """A formula that has passed the whitelist; make one with `parse`.

    Attributes
    ----------
    text : str
        The formula as written, with single blanks.
    names : frozenset of str
        Names it uses, the time `t` included.
    """

    text: str
    names: frozenset[str]

    def __str__(self) -> str:
        return self.text

    @property
    def number(self) -> float | None:
        """The value, where the formula is a constant; else None."""
        return _constant(_tree(self.text))

    def unit(self, units: Mapping[str, str], where: str = "") -> Unit | None:
        """Return the unit of the value as written; None for 0, which fits every unit.

        Parameters
        ----------
        units : mapping of str to str
            Unit of every name, the time `t` included.
        where : str
            File and key, for error messages.

        Raises
        ------
        UnitError
            If the dimensions within the formula do not fit.
        """
        try:
            return _unit(_tree(self.text), units)
        except MscError as error:
            raise UnitError(f"in '{self.text}': {error.problem}", where=where, expected=error.expected, hint=error.hint) from None


def parse(text: str, where: str = "", known: Collection[str] | None = None) -> Expression:
    """Read a formula.

    Parameters
    ----------
    text : str
        The formula, at most 2000 characters.
    where : str
        File and key, for error messages.
    known : collection of str, optional
        Names that may be used; `t` is always known. Every name passes where this is not given.

    Returns
    -------
    Expression
        The checked formula.

    Raises
    ------
    ExpressionError
        If the text is not in the language, or uses an unknown name (the message holds the closest known ones).

    Examples
    --------
    >>> sorted(parse("rho_L*k_B*blood - k_L*lung").names)
    ['blood', 'k_B', 'k_L', 'lung', 'rho_L']
    """
    try:
        plain = _plain(text)
        names = _checked(plain)
    except ExpressionError as error:
        raise ExpressionError(error.problem, where=where, expected=error.expected, hint=error.hint) from None
    if known is not None:
        for name in sorted(names - {TIME}):
            if name not in known:
                hint = UnknownName.among("name", name, known).hint
                raise ExpressionError(f"unknown name '{name}' in '{plain}'", where=where, hint=hint)
    return Expression(plain, names)


def check_name(name: str, where: str = "") -> None:
    """Raise `ExpressionError` where `name` cannot be a name in formulas (letters, digits, _; no word of the language)."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ExpressionError(f"name {name!r}", where=where, expected="a letter, then letters, digits and _", hint="k_L or rho_L")
    if keyword.iskeyword(name) or name in FUNCTIONS or name in (TIME, "viable"):
        raise ExpressionError(f"name '{name}' has a meaning of its own", where=where, hint=f"another name, such as '{name}_1'")


# ---- reading -----------------------------------------------------------------------------------------------------


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise ExpressionError(f"{text!r} is no formula", expected="a text", hint=f'"{text}"')
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"the formula has {len(text)} characters", expected=f"at most {MOST_CHARACTERS}", hint="a [derived] row for a part of it")
    plain = " ".join(text.split())
    if not plain:
        raise ExpressionError("the formula is empty", expected="a formula", hint='"0"')
    if "^" in plain:
        raise ExpressionError(f"'^' in '{plain}'", hint="'**' for powers")
    odd = re.search(r"[^\w .+\-*/()<>=!,\"'%]", plain, re.ASCII)
    if odd:
        raise ExpressionError(f"character {odd.group()!r} in '{_short(plain)}'", expected=LANGUAGE)
    return plain


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


@lru_cache(maxsize=4096)
def _tree(plain: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1if" is a deprecated spelling for Python and an error for us all the same
            return ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        why = error.msg if isinstance(error, SyntaxError) else "it is too deep or too long"
        raise ExpressionError(f"'{_short(plain)}' cannot be read: {why}", expected=LANGUAGE) from None


@lru_cache(maxsize=4096)
def _checked(plain: str) -> frozenset[str]:
    tree = _tree(plain)
    _check_size(tree, plain)
    names: set[str] = set()
    _check(tree, plain, names)
    value = _constant(tree)
    if value is not None and not math.isfinite(value):
        raise ExpressionError(f"'{_short(plain)}' is not a finite number")
    return frozenset(names)


def _check_size(tree: ast.expr, plain: str) -> None:
    """Limit nodes and depth; the left side of a chain such as a + b + c is no deeper than the chain."""
    count, stack = 0, [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if count > MOST_NODES or depth > MOST_DEPTH:
            limit = f"at most {MOST_NODES} parts, nested at most {MOST_DEPTH} deep"
            raise ExpressionError(f"'{_short(plain)}' is too large", expected=limit, hint="a [derived] row for a part of it")
        chain = node.left if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow) else None
        stack += [(child, depth if child is chain else depth + 1) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _check(node: ast.AST, plain: str, names: set[str]) -> None:
    match node:
        case ast.Constant(value=bool() | str() | None):
            raise _refused(node, plain)
        case ast.Constant(value=int() | float()):
            pass
        case ast.Name(id=name):
            if name.startswith("_") or name in FUNCTIONS:
                raise _refused(node, plain)
            names.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, plain, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            _check(left, plain, names)
            _check(right, plain, names)
            _check_constant(node, plain)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, args, plain, names)
            _check_constant(node, plain)
        case _:
            raise _refused(node, plain)


def _check_constant(node: ast.BinOp | ast.Call, plain: str) -> None:
    """A constant part is a finite number, and a constant exponent a moderate one: 10**10**10 would take for ever."""
    value = _constant(node)
    if value is not None and not math.isfinite(value):
        raise ExpressionError(f"'{ast.unparse(node)}' in '{_short(plain)}' is not a finite number")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent = _constant(node.right)
        if exponent is not None and abs(exponent) > LARGEST_EXPONENT:
            raise ExpressionError(f"exponent {exponent:g} in '{_short(plain)}'", expected=f"at most {LARGEST_EXPONENT:g}")


def _check_call(name: str, args: list[ast.expr], plain: str, names: set[str]) -> None:
    if name not in FUNCTIONS:
        near = closest(name, FUNCTIONS)
        hint = " or ".join(f"'{match}'" for match in near) or f"one of {', '.join(FUNCTIONS)}"
        raise ExpressionError(f"unknown function '{name}' in '{_short(plain)}'", hint=hint)
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(args) <= most:
        counts = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise ExpressionError(f"{name} with {len(args)} arguments in '{_short(plain)}'", expected=f"{counts} arguments")
    if name == "to":
        if not (isinstance(args[1], ast.Constant) and isinstance(args[1].value, str)):
            raise ExpressionError(f"second argument of to in '{_short(plain)}'", expected="a unit in quotes", hint='to(x, "ng/mL")')
        _check(args[0], plain, names)
        return
    if name == "where":
        _check_comparison(args[0], plain, names)
        args = args[1:]
    for argument in args:
        _check(argument, plain, names)


def _check_comparison(node: ast.expr, plain: str, names: set[str]) -> None:
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS):
        raise ExpressionError(f"first argument of where in '{_short(plain)}'", expected="one comparison with < <= > >=", hint="where(t < Tmax, a, b)")
    _check(node.left, plain, names)
    _check(node.comparators[0], plain, names)


def _refused(node: ast.AST, plain: str) -> ExpressionError:
    part = _short(ast.unparse(node))
    if isinstance(node, ast.Compare):
        return ExpressionError(f"comparison '{part}' in '{_short(plain)}'", hint="comparisons only as the first argument of where(a < b, x, y)")
    return ExpressionError(f"'{part}' in '{_short(plain)}' is not in the language of formulas", expected=LANGUAGE)


def _constant(node: ast.AST) -> float | None:
    """Value of a constant part as a float; None where it holds a name; infinite or nan where it has no finite value."""
    try:
        return _fold(node)
    except (OverflowError, ZeroDivisionError, ValueError, TypeError):
        return math.nan


FOLD: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "abs": abs, "min": min, "max": max,
    "hill": lambda x, e, h: x**h / (x**h + e**h),
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": mul, "/": truediv, "**": math.pow,
}  # fmt: skip


def _fold(node: ast.AST) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=op, operand=operand):
            value = _fold(operand)
            return value if value is None or isinstance(op, ast.UAdd) else -value
        case ast.BinOp(left=left, op=op, right=right):
            return _folded(OPERATORS[type(op)], [left, right])
        case ast.Call(func=ast.Name(id=name), args=args) if name in FOLD:
            return _folded(name, args)
    return None


def _folded(operation: str, parts: list[ast.expr]) -> float | None:
    values = [_fold(part) for part in parts]
    known = [value for value in values if value is not None]
    return float(FOLD[operation](*known)) if len(known) == len(values) else None


# ---- units -------------------------------------------------------------------------------------------------------


def check_unit(expression: Expression, units: Mapping[str, str], expected: str, where: str = "", what: str = "value") -> float:
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
    if expression.number is not None:
        return 1.0
    unit = expression.unit(units, where)
    if unit is None:
        return 1.0
    if unit.dimensionality != target.dimensionality:
        raise UnitError(f"{what} is {unit_text(unit)}", where=where, expected=expected, hint=f"check the units in '{expression}'")
    return unit_factor(unit, target)


def _unit(node: ast.AST, units: Mapping[str, str]) -> Unit | None:
    match node:
        case ast.Constant(value=value):
            return None if value == 0 else parse_unit("1")
        case ast.Name(id=name):
            if name not in units:
                raise UnknownName.among("name", name, units)
            return parse_unit(units[name])
        case ast.UnaryOp(operand=operand):
            return _unit(operand, units)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            return _same([left, right], units, OPERATORS[type(op)])
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            one, other = _unit(left, units), _unit(right, units)
            return None if one is None or other is None else one * other
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            one, other = _unit(left, units), _unit(right, units)
            return None if one is None or other is None else one / other
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _power(base, exponent, units)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call_unit(name, args, units)
    raise ExpressionError(f"'{ast.unparse(node)}' has no unit")


def _same(nodes: list[ast.expr], units: Mapping[str, str], operation: str) -> Unit | None:
    """Return the one unit of all parts of a sum, a minimum or a comparison."""
    found = [(node, unit) for node in nodes if (unit := _unit(node, units)) is not None]
    for node, unit in found[1:]:
        first, (one_node, one) = unit, found[0]
        if first.dimensionality != one.dimensionality or unit_factor(first, one) != 1.0:
            parts = f"'{ast.unparse(one_node)}' is {unit_text(one)} and '{ast.unparse(node)}' is {unit_text(unit)}"
            hint = f'to(x, "{unit_text(one)}")' if first.dimensionality == one.dimensionality else ""
            raise UnitError(f"{operation}: {parts}", expected="the same unit", hint=hint)
    return found[0][1] if found else None


def _pure(node: ast.expr, units: Mapping[str, str], what: str) -> None:
    """Raise where a part is not a plain number."""
    unit = _unit(node, units)
    if unit is not None and (unit.dimensionality != parse_unit("1").dimensionality or unit_factor(unit, parse_unit("1")) != 1.0):
        raise UnitError(f"{what} '{ast.unparse(node)}' is {unit_text(unit)}", expected="a number without unit", hint="divide by a reference value")


def _power(base: ast.expr, exponent: ast.expr, units: Mapping[str, str]) -> Unit | None:
    _pure(exponent, units, "exponent")
    unit = _unit(base, units)
    number = _constant(exponent)
    if unit is None or unit == parse_unit("1"):
        return unit
    if number is None:
        _pure(base, units, "base of a power with a name in its exponent")
        return parse_unit("1")
    return unit**number


def _call_unit(name: str, args: list[ast.expr], units: Mapping[str, str]) -> Unit | None:
    if name in ("exp", "log"):
        _pure(args[0], units, f"argument of {name}")
        return parse_unit("1")
    if name == "sqrt":
        unit = _unit(args[0], units)
        return None if unit is None else unit**0.5
    if name == "hill":
        _same(args[:2], units, "hill")
        _pure(args[2], units, "third argument of hill")
        return parse_unit("1")
    if name == "where":
        assert isinstance(args[0], ast.Compare)  # the whitelist let nothing else through
        _same([args[0].left, args[0].comparators[0]], units, "comparison")
        return _same(args[1:], units, "where")
    if name == "to":
        target = parse_unit(_target(args))
        unit = _unit(args[0], units)
        if unit is not None and unit.dimensionality != target.dimensionality:
            raise UnitError(f"to: '{ast.unparse(args[0])}' is {unit_text(unit)}", expected=f"a unit like {_target(args)}")
        return target
    return _same(args, units, name)


def _target(args: list[ast.expr]) -> str:
    assert isinstance(args[1], ast.Constant)  # the whitelist let nothing else through
    return str(args[1].value)


# ---- SymPy -------------------------------------------------------------------------------------------------------


class Hill(sympy.Function):
    """``Hill(x, e, h)`` = x**h / (x**h + e**h), left unevaluated so that an engine can choose a safe form of it.

    The derivatives are written with ``Hill`` itself, so that they are bounded wherever the function is.
    """

    nargs = (3,)

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        x, e, h = self.args
        slope = self * (1 - self)
        if argindex == 1:
            # x**(h - 1) and not 1/x: at x = 0 and h = 1 the slope is 1/e
            return h * x ** (h - 1) * e**h / (x**h + e**h) ** 2
        if argindex == 2:
            return -h * slope / e
        return sympy.Piecewise((slope * sympy.log(x / e), x > 0), (sympy.Integer(0), True))

    def _eval_is_real(self) -> bool:
        return True

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        x, e, h = self.args
        return (x**h / (x**h + e**h))._eval_evalf(prec)


@lru_cache(maxsize=1024)
def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


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
        If the argument of a ``to`` has no unit that can be converted.
    """
    return _sympy(_tree(expression.text), units)


SYMPY: dict[str, Callable[..., sympy.Expr]] = {
    "exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt, "abs": sympy.Abs, "min": sympy.Min, "max": sympy.Max, "hill": Hill,
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": mul, "/": truediv, "**": lambda a, b: a**b,
    "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge,
}  # fmt: skip


def _number(value: float) -> sympy.Expr:
    return sympy.Integer(int(value)) if value == int(value) and abs(value) < 2**53 else sympy.Float(value)


def _sympy(node: ast.AST, units: Mapping[str, str]) -> sympy.Expr:
    value = _constant(node)
    if value is not None:
        return _number(value)
    match node:
        case ast.Name(id=name):
            return _symbol(name)
        case ast.UnaryOp(op=op, operand=operand):
            inner = _sympy(operand, units)
            return inner if isinstance(op, ast.UAdd) else -inner
        case ast.BinOp(left=left, op=op, right=right):
            return SYMPY[OPERATORS[type(op)]](_sympy(left, units), _sympy(right, units))
        case ast.Call(func=ast.Name(id="to"), args=args):
            return _converted(args, units)
        case ast.Call(func=ast.Name(id="where"), args=[ast.Compare() as comparison, yes, no]):
            return sympy.Piecewise((_sympy(yes, units), _compared(comparison, units)), (_sympy(no, units), True))
        case ast.Call(func=ast.Name(id=name), args=args):
            return SYMPY[name](*(_sympy(argument, units) for argument in args))
    raise ExpressionError(f"'{ast.unparse(node)}' cannot be turned into SymPy")


def _compared(node: ast.Compare, units: Mapping[str, str]) -> sympy.Basic:
    return SYMPY[COMPARISONS[type(node.ops[0])]](_sympy(node.left, units), _sympy(node.comparators[0], units))


def _converted(args: list[ast.expr], units: Mapping[str, str]) -> sympy.Expr:
    unit, target = _unit(args[0], units), parse_unit(_target(args))
    inner = _sympy(args[0], units)
    if unit is None:
        return inner
    if unit.dimensionality != target.dimensionality:
        raise UnitError(f"to: '{ast.unparse(args[0])}' is {unit_text(unit)}", expected=f"a unit like {_target(args)}")
    return _number(unit_factor(unit, target)) * inner


# ---- calls of priors and noise models ----------------------------------------------------------------------------


def parse_call(text: str, where: str = "") -> tuple[str, tuple[str | float, ...]]:
    """Read ``"lognormal(20, 0.8)"`` as ``("lognormal", (20.0, 0.8))`` and ``"fixed"`` as ``("fixed", ())``.

    Parameters
    ----------
    text : str
        A word, or a word with numbers and names in brackets.
    where : str
        File and key, for the error message.

    Raises
    ------
    ParameterError
        If the text has another form.
    """
    try:
        tree = _tree(_plain(text))
    except ExpressionError as error:
        raise ParameterError(error.problem, where=where, hint="a text such as 'lognormal(20, 0.8)'") from None
    match tree:
        case ast.Name(id=name):
            return name, ()
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return name, tuple(_argument(argument, text, where) for argument in args)
    raise ParameterError(f"'{_short(text)}' cannot be read", where=where, expected="name(number, ...)", hint="lognormal(20, 0.8)")


def _argument(node: ast.expr, text: str, where: str) -> str | float:
    if isinstance(node, ast.Name):
        return node.id
    value = _constant(node) if not isinstance(node, ast.Call) else None
    if value is None or not math.isfinite(value):
        part = _short(ast.unparse(node))
        raise ParameterError(f"'{part}' in '{_short(text)}'", where=where, expected="a finite number or a name", hint="lognormal(20, 0.8)")
    return value
