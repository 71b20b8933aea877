"""PyMC's own ``pymc.ode``: SciPy's odeint on states and sensitivities, at the tolerances of odeint, one dose only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from _density import Density
from _posed import Posed, lambdified
from pymc.ode import DifferentialEquation

NAME = "PyMC pymc.ode"


def gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:  # noqa: ARG001 (it has none)
    """Coordinates (n,) to the gradient of the log density (n,)."""
    if len(density.data) > 1:
        raise NotImplementedError("tens of seconds to compile for each subject")
    z = pt.dvector("z")
    values = density.values(z, pt)[0]
    total = density.of(z, outputs_of(density.posed, values)[None], pt)
    function: Callable[[np.ndarray], np.ndarray] = pytensor.function([z], pytensor.grad(total, z))
    return function


def outputs_of(posed: Posed, values: Any) -> Any:
    """Parameters, a vector of PyTensor, to outputs (n_outputs, n_times)."""
    if len(posed.bolus) > 1:
        raise NotImplementedError("pymc.ode knows no doses after the first")
    arguments = (posed.states, posed.parameters)
    rates = lambdified(arguments, (posed.rhs,), pt.maximum, [{"exp": pt.exp}, "math"])
    entering = lambdified(arguments[1:], (posed.start, *posed.into), pt.maximum, "math")
    observed = lambdified(arguments, (posed.observed,), pt.maximum, "math")
    count = len(posed.parameters)
    solve = DifferentialEquation(
        lambda y, _, p: rates([y[k] for k in range(len(posed.states))], [p[k] for k in range(count)])[0],
        posed.times, n_states=len(posed.states), n_theta=count,
    )  # fmt: skip
    parts = [values[k] for k in range(count)]
    start, *into = [pt.stack([pt.as_tensor_variable(each, dtype="float64") for each in row]) for row in entering(parts)]
    states = solve(start + sum(a * share for a, share in zip(posed.bolus[0], into, strict=True)), values)
    row = observed([states[:, k] for k in range(len(posed.states))], parts)[0]
    return pt.stack([each + pt.zeros(len(posed.times)) for each in row])
