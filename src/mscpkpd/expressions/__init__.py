"""Formulas of model files: a small closed language, its units, and its translation to SymPy.

::

    numbers, names, t        + - * / **  and brackets
    exp(x) log(x) sqrt(x) abs(x)   min(a, b, ...) max(a, b, ...)
    hill(x, ec50, h)         x**h / (x**h + ec50**h)
    where(t < Tmax, a, b)    a while the comparison holds, else b
    to(x, "ng/mL")           x converted to another unit of its dimension

Text from a file is never evaluated as Python and never given to SymPy's parser.
"""

from mscpkpd.expressions.calls import parse_call, parse_nested_call
from mscpkpd.expressions.dimensions import check_unit, unit_of
from mscpkpd.expressions.language import FUNCTIONS, TIME, Expression, check_name, parse, shortened
from mscpkpd.expressions.symbolic import Hill, to_sympy

__all__ = [
    "FUNCTIONS",
    "TIME",
    "Expression",
    "Hill",
    "check_name",
    "check_unit",
    "parse",
    "parse_call",
    "parse_nested_call",
    "shortened",
    "to_sympy",
    "unit_of",
]
