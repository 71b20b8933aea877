r"""Formulas as LaTeX, for pages and papers.

Names become symbols: ``k_L`` is :math:`k_{L}`, ``sigma_img`` is :math:`\sigma_{img}`, ``lung`` is upright. The syntax
tree is walked; nothing is evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mscpkpd.errors import ExpressionError
from mscpkpd.expressions.language import COMPARISONS, Expression, tree

__all__ = ["latex_name", "latex_number", "latex_terms", "latex_unit", "to_latex"]

GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"),
}
LETTERS = {**{name: f"\\{name}" for name in GREEK}, "eps": r"\varepsilon"}
SIGNS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge"}
WORDS = {"exp": r"\exp", "log": r"\ln", "min": r"\min", "max": r"\max"}
SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly the parts of a formula hold together
NUMBER = re.compile(r"(-?[\d.]+)(?:e([+-]?\d+))?")


def to_latex(expression: Expression) -> str:
    r"""Return a formula as LaTeX for math mode.

    Parameters
    ----------
    expression : Expression
        The formula.

    Returns
    -------
    str
        ``to(x, "u")`` is written as x in square brackets with the unit below: the number of units u in x.

    Examples
    --------
    >>> from mscpkpd.expressions import parse
    >>> to_latex(parse("-k_L*lung/(1 + x**2)"))
    '-\\frac{k_{L} \\cdot \\mathrm{lung}}{1 + x^{2}}'
    """
    return _written(tree(expression.text))[0]


def latex_terms(expression: Expression) -> tuple[str, ...]:
    """Return the terms of a sum, each with its sign, so that a long formula can be broken between them."""
    return tuple(_terms(tree(expression.text), "+"))


def latex_name(name: str) -> str:
    r"""Return a name as a symbol: k_L as ``k_{L}``, rho_L as ``\rho_{L}``, label_lung as ``\mathrm{label\_lung}``.

    A letter, a Greek letter or a word with a capital in front carries the rest as index; other words stay whole.
    """
    head, *rest = name.split("_")
    letter = re.fullmatch(r"([A-Za-z])(\d+)", head)
    if letter:
        return _indexed(letter[1], [letter[2], *rest])
    if head in LETTERS or len(head) == 1:
        return _indexed(LETTERS.get(head, head), rest)
    if not head.islower() or (rest and all(part.isdigit() for part in rest)):
        return _indexed(rf"\mathrm{{{head}}}", rest)
    whole = name.replace("_", r"\_")
    return rf"\mathrm{{{whole}}}"


def latex_number(value: float) -> str:
    """Return a number with a power of ten where Python would write an e."""
    text = repr(float(value)).removesuffix(".0")
    if text.lstrip("-").isdigit() and len(text.rstrip("0")) < len(text) - 4:
        text = f"{value:e}"
    found = NUMBER.fullmatch(text)
    if found is None or found[2] is None:
        return text
    mantissa, power = re.sub(r"\.?0+$", "", found[1]) if "." in found[1] else found[1], rf"10^{{{int(found[2])}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"


def latex_unit(unit: str) -> str:
    r"""Return a unit upright, as ``\mathrm{pg/mL}``; nothing for the unit 1."""
    if unit in ("", "1"):
        return ""
    text = re.sub(r"\*\*\(?(-?[\d.]+)\)?", r"^{\1}", unit).replace("*", r" \cdot ")
    for plain, written in (("%", r"\%"), ("_", r"\_"), (" per ", "/")):
        text = text.replace(plain, written)
    return rf"\mathrm{{{text}}}"


def _indexed(symbol: str, index: list[str]) -> str:
    parts = [LETTERS.get(part, part) for part in index]
    return f"{symbol}_{{{','.join(parts)}}}" if parts else symbol


def _terms(node: ast.expr, sign: str) -> Iterator[str]:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right) if sign == "+":
            yield from _terms(left, sign)
            yield from _terms(right, "+") if isinstance(op, ast.Add) else [f"- {_inside(right, PRODUCT)}"]
        case _:
            text = _inside(node, SUM)
            yield text if text.startswith("-") else f"{sign} {text}"


def _inside(node: ast.expr, least: int) -> str:
    """A part of a formula, in brackets where it holds together less than its place asks for."""
    text, strength = _written(node)
    return text if strength >= least else rf"\left({text}\right)"


def _written(node: ast.expr) -> tuple[str, int]:
    """A part of a formula, and how tightly it holds together."""
    match node:
        case ast.Constant(value=int() | float() as number):
            text = latex_number(number)
            return text, PRODUCT if "times" in text else POWER if "^" in text else ATOM
        case ast.Name(id=name):
            return latex_name(name), ATOM
        case ast.UnaryOp(op=op, operand=operand):
            return (_inside(operand, SUM), SUM) if isinstance(op, ast.UAdd) else (f"-{_inside(operand, PRODUCT)}", SUM)
        case ast.BinOp():
            return _operation(node)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call(name, args)
    raise ExpressionError(f"'{ast.unparse(node)}' cannot be written in LaTeX")


def _operation(node: ast.BinOp) -> tuple[str, int]:
    left, right = node.left, node.right
    match node.op:
        case ast.Add():
            return f"{_inside(left, SUM)} + {_after(right, SUM)}", SUM
        case ast.Sub():
            return f"{_inside(left, SUM)} - {_after(right, PRODUCT)}", SUM
        case ast.Mult():
            if _only_factor(left):  # Python reads -k*x as (-k)*x
                return f"{_written(left)[0]} \\cdot {_after(right, PRODUCT)}", SUM
            return f"{_inside(left, PRODUCT)} \\cdot {_after(right, PRODUCT)}", PRODUCT
        case ast.Div():
            sign, top = _signed(left)
            return rf"{sign}\frac{{{top}}}{{{_written(right)[0]}}}", SUM if sign else PRODUCT
    return f"{_inside(left, ATOM)}^{{{_written(right)[0]}}}", POWER


def _signed(node: ast.expr) -> tuple[str, str]:
    """A minus in front of a whole numerator stands in front of the fraction."""
    text, _ = _written(node)
    if text.startswith("-") and _only_factor(node):
        return "-", text[1:]
    return "", text


def _only_factor(node: ast.expr) -> bool:
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        node = node.left
    return isinstance(node, ast.UnaryOp)


def _after(node: ast.expr, least: int) -> str:
    """What follows an operator: a minus of its own stands in brackets."""
    text = _inside(node, least)
    return rf"\left({text}\right)" if text.startswith("-") else text


def _call(name: str, args: list[ast.expr]) -> tuple[str, int]:
    if name == "where":
        yes, no = (_written(part)[0] for part in args[1:])
        rows = rf"{yes} & \mathrm{{if}}\ {_condition(args[0])} \\ {no} & \mathrm{{otherwise}}"
        return rf"\begin{{cases}} {rows} \end{{cases}}", PRODUCT
    if name == "to":
        unit = args[1].value if isinstance(args[1], ast.Constant) else ""
        return rf"\left[{_written(args[0])[0]}\right]_{{{latex_unit(str(unit)) or '1'}}}", ATOM
    if name == "hill":
        power = _written(args[2])[0]
        if power == "1":
            top, half = (_inside(part, PRODUCT) for part in args[:2])
        else:
            top, half = (f"{_inside(part, ATOM)}^{{{power}}}" for part in args[:2])
        return rf"\frac{{{top}}}{{{top} + {half}}}", PRODUCT
    inner = ", ".join(_written(part)[0] for part in args)
    if name == "sqrt":
        return rf"\sqrt{{{inner}}}", ATOM
    if name == "abs":
        return rf"\left|{inner}\right|", ATOM
    return rf"{WORDS[name]}\left({inner}\right)", ATOM


def _condition(node: ast.expr) -> str:
    if not isinstance(node, ast.Compare):
        raise ExpressionError(f"'{ast.unparse(node)}' is no comparison")
    sign = SIGNS[COMPARISONS[type(node.ops[0])]]
    return f"{_written(node.left)[0]} {sign} {_written(node.comparators[0])[0]}"
