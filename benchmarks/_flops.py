"""Floating-point operations of a function of JAX, counted in what JAX is going to run: loops times their length."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

ELEMENTWISE = {
    "add", "sub", "mul", "div", "neg", "max", "min", "exp", "log", "log1p", "expm1", "pow", "sqrt", "rsqrt", "logistic",
    "integer_pow", "abs", "add_any", "square", "tanh", "select_n",
}  # fmt: skip
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr")


def counted(function: Callable[..., Any], *arguments: Any) -> float:
    """Additions, multiplications and elementary functions of one call, each counted as one.

    A loop whose length is not known beforehand is counted once, a solve of n equations as 2/3 n^3.
    """
    return _of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of(jaxpr: Any) -> float:
    return sum(_equation(each) for each in jaxpr.eqns)


def _equation(equation: Any) -> float:
    name, parameters = equation.primitive.name, equation.params
    size = sum(math.prod(out.aval.shape) for out in equation.outvars)
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return 2.0 * size * inner
    if name == "lu":
        *batch, n, _ = equation.invars[0].aval.shape
        return math.prod(batch) * 2.0 / 3.0 * n**3
    if name == "triangular_solve":
        return float(size * equation.invars[0].aval.shape[-1])
    if name in ("reduce_sum", "reduce_max", "cumsum"):
        return float(sum(math.prod(given.aval.shape) for given in equation.invars))
    if name == "cond":
        return max(_of(branch.jaxpr) for branch in parameters["branches"])
    inside = sum(_of(getattr(parameters[key], "jaxpr", parameters[key])) for key in INNER if key in parameters)
    if inside:
        return inside * parameters.get("length", 1)
    return float(size) if name in ELEMENTWISE else 0.0
