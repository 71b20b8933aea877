"""The closed language: a whitelist over Python's ``ast``.

A formula that `parse` lets through holds only numbers, names, arithmetic and the functions of `FUNCTIONS`; its size and
its constants are limited, so that working with it ends soon. Text is never evaluated.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from operator import add, mul, sub, truediv

from mscpkpd.errors import ExpressionError, UnknownName, closest

__all__ = [
    "COMPARISONS",
    "FUNCTIONS",
    "OPERATORS",
    "TIME",
    "Expression",
    "check_name",
    "constant",
    "parse",
    "plain",
    "shortened",
    "tree",
]

TIME = "t"
MOST_CHARACTERS, MOST_DEPTH, MOST_NODES = 2000, 50, 500
LARGEST_EXPONENT = 100.0
# function -> fewest and most arguments
FUNCTIONS = {
    "exp": (1, 1),
    "log": (1, 1),
    "sqrt": (1, 1),
    "abs": (1, 1),
    "min": (2, 20),
    "max": (2, 20),
    "hill": (3, 3),
    "where": (3, 3),
    "to": (2, 2),
}
OPERATORS: dict[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
COMPARISONS: dict[type[ast.AST], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
LANGUAGE = f"numbers, names, + - * / **, and {', '.join(FUNCTIONS)}"
FORMS = {"hill": "hill(x, ec50, h)", "where": "where(t < Tmax, a, b)", "to": 'to(x, "ng/mL")'}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
ODD_CHARACTER = re.compile(r"[^\w .+\-*/()<>=!,\"'%]", re.ASCII)


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
        return constant(tree(self.text))


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
        formula = plain(text)
        names = _checked(formula)
    except ExpressionError as error:
        raise ExpressionError(error.problem, where=where, expected=error.expected, hint=error.hint) from None
    for name in sorted(names - {TIME}):
        if known is not None and name not in known:
            hint = UnknownName.among("name", name, known).hint
            raise ExpressionError(f"unknown name '{name}' in '{shortened(formula)}'", where=where, hint=hint)
    return Expression(formula, names)


def check_name(name: str, where: str = "") -> None:
    """Check that `name` can be a name in formulas.

    Parameters
    ----------
    name : str
        A letter, then letters, digits and underscores; no word of the language or of Python.
    where : str
        File and key, for the error message.

    Raises
    ------
    ExpressionError
        If it cannot.
    """
    if not NAME.fullmatch(name):
        expected = "a letter, then letters, digits and _"
        raise ExpressionError(f"name {name!r}", where=where, expected=expected, hint="k_L or rho_L")
    if keyword.iskeyword(name) or name in FUNCTIONS or name in (TIME, "viable"):
        hint = f"another name, such as '{name}_1'"
        raise ExpressionError(f"name '{name}' has a meaning of its own", where=where, hint=hint)


def shortened(text: str) -> str:
    """Return at most 80 characters of a text."""
    return text if len(text) <= 80 else text[:77] + "..."


def plain(text: object) -> str:
    """Return a formula with single blanks; refuse what cannot be one by its length or its characters."""
    if not isinstance(text, str):
        raise ExpressionError(f"{text!r} is no formula", expected="a text", hint=f'"{text}"')
    if len(text) > MOST_CHARACTERS:
        raise _too_large(f"the formula has {len(text)} characters", f"at most {MOST_CHARACTERS}")
    formula = " ".join(text.split())
    if not formula:
        raise ExpressionError("the formula is empty", expected="a formula", hint='"0"')
    if "^" in formula:
        raise ExpressionError(f"'^' in '{shortened(formula)}'", hint="'**' for powers")
    odd = ODD_CHARACTER.search(formula)
    if odd:
        raise ExpressionError(f"character {odd.group()!r} in '{shortened(formula)}'", expected=LANGUAGE)
    return formula


@lru_cache(maxsize=4096)
def tree(formula: str) -> ast.expr:
    """Return the syntax tree of a text that `plain` has made; it is not checked yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1if" is deprecated Python, and refused here a moment later
            return ast.parse(formula, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        why = error.msg if isinstance(error, SyntaxError) else "it is too deep or too long"
        raise ExpressionError(f"'{shortened(formula)}' cannot be read: {why}", expected=LANGUAGE) from None


@lru_cache(maxsize=4096)
def _checked(formula: str) -> frozenset[str]:
    """Return the names of a formula, or raise where it leaves the language."""
    top = tree(formula)
    _check_size(top, formula)
    names: set[str] = set()
    _check(top, formula, names)
    value = constant(top)
    if value is not None and not math.isfinite(value):
        problem = f"'{shortened(formula)}' is not a finite number"
        raise ExpressionError(problem, hint="check for a division by 0 and for too large a number")
    return frozenset(names)


def _too_large(problem: str, expected: str) -> ExpressionError:
    return ExpressionError(problem, expected=expected, hint="a [derived] row for a part of it")


def _check_size(top: ast.expr, formula: str) -> None:
    """Limit nodes and depth; the left side of a chain such as a + b + c is no deeper than the chain."""
    count, stack = 0, [(top, 1)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if count > MOST_NODES or depth > MOST_DEPTH:
            limit = f"at most {MOST_NODES} parts, nested at most {MOST_DEPTH} deep"
            raise _too_large(f"'{shortened(formula)}' is too large", limit)
        chain = node.left if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow) else None
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        stack += [(child, depth if child is chain else depth + 1) for child in children]


def _check(node: ast.AST, formula: str, names: set[str]) -> None:
    """Walk the tree; anything that no case names is refused."""
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            pass
        case ast.Name(id=name) if not name.startswith("_") and name not in FUNCTIONS:
            names.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, formula, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            _check(left, formula, names)
            _check(right, formula, names)
            _check_constant(node, formula)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, args, formula, names)
            _check_constant(node, formula)
        case _:
            raise _refused(node, formula)


def _check_constant(node: ast.BinOp | ast.Call, formula: str) -> None:
    """A constant part is a finite number, a constant exponent a moderate one: 10**10**10 would take for ever."""
    value = constant(node)
    if value is not None and not math.isfinite(value):
        problem = f"'{ast.unparse(node)}' in '{shortened(formula)}' is not a finite number"
        raise ExpressionError(problem, hint="check for a division by 0 and for too large a number")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and constant(node.right) == 0:
        problem = f"'{ast.unparse(node)}' in '{shortened(formula)}' divides by 0"
        raise ExpressionError(problem, hint="a parameter in place of 0")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent = constant(node.right)
        if exponent is not None and abs(exponent) > LARGEST_EXPONENT:
            problem = f"exponent {exponent:g} in '{shortened(formula)}'"
            raise ExpressionError(
                problem, expected=f"at most {LARGEST_EXPONENT:g}", hint="exp(k*log(x)) if it is meant"
            )


def _check_call(name: str, args: list[ast.expr], formula: str, names: set[str]) -> None:
    place = f"in '{shortened(formula)}'"
    if name not in FUNCTIONS:
        hint = " or ".join(f"'{match}'" for match in closest(name, FUNCTIONS)) or f"one of {', '.join(FUNCTIONS)}"
        raise ExpressionError(f"unknown function '{name}' {place}", hint=hint)
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(args) <= most:
        counts = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise ExpressionError(
            f"{name} with {len(args)} arguments {place}", expected=f"{counts} arguments", hint=FORMS.get(name, "")
        )
    if name == "to":
        if not (isinstance(args[1], ast.Constant) and isinstance(args[1].value, str)):
            problem = f"second argument of to {place}"
            raise ExpressionError(problem, expected="a unit in quotes", hint='to(x, "ng/mL")')
        args = args[:1]
    if name == "where":
        _check_comparison(args[0], formula, names)
        args = args[1:]
    for argument in args:
        _check(argument, formula, names)


def _check_comparison(node: ast.expr, formula: str, names: set[str]) -> None:
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS):
        problem = f"first argument of where in '{shortened(formula)}'"
        raise ExpressionError(problem, expected="one comparison with < <= > >=", hint="where(t < Tmax, a, b)")
    _check(node.left, formula, names)
    _check(node.comparators[0], formula, names)


def _refused(node: ast.AST, formula: str) -> ExpressionError:
    part = f"'{shortened(ast.unparse(node))}' in '{shortened(formula)}'"
    if isinstance(node, ast.Compare):
        hint = "comparisons only as the first argument of where(a < b, x, y)"
        return ExpressionError(f"comparison {part}", hint=hint)
    hint = "a parameter or a [derived] row for what it should be"
    return ExpressionError(f"{part} is not in the language of formulas", expected=LANGUAGE, hint=hint)


# ---- constants ---------------------------------------------------------------------------------------------------

FOLD: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "min": min,
    "max": max,
    "hill": lambda x, e, h: math.pow(x, h) / (math.pow(x, h) + math.pow(e, h)),
    "+": add,
    "-": sub,
    "*": mul,
    "/": truediv,
    "**": math.pow,
}


def constant(node: ast.AST) -> float | None:
    """Return the value of a constant part; None where it holds a name, infinity or nan where it has no finite value."""
    try:
        return _folded(node)
    except (OverflowError, ZeroDivisionError, ValueError):
        return math.nan


def _folded(node: ast.AST) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=op, operand=operand):
            value = _folded(operand)
            return value if value is None or isinstance(op, ast.UAdd) else -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _applied(OPERATORS[type(op)], [left, right])
        case ast.Call(func=ast.Name(id=name), args=args) if name in FOLD:
            return _applied(name, args)
    return None


def _applied(operation: str, parts: list[ast.expr]) -> float | None:
    values = [_folded(part) for part in parts]
    known = [value for value in values if value is not None]
    return float(FOLD[operation](*known)) if len(known) == len(values) else None
