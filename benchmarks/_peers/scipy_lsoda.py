"""SciPy's LSODA, right-hand side in plain Python floats: the fastest form that needs no compiler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from _posed import Posed, lambdified
from scipy.integrate import odeint

NAME = "SciPy LSODA"


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times)."""
    rates = rates_of(posed)
    ends = posed.edges[1:]

    def solve(values: np.ndarray) -> np.ndarray:
        return np.array([posed.outputs(one(numbers), numbers[:, None]) for numbers in values])

    def one(numbers: np.ndarray) -> np.ndarray:
        state, *into = posed.entering(numbers)
        states = np.empty((len(state), len(posed.times)))
        plain = numbers.tolist()
        for k, mine in enumerate(posed.inside):
            state = state + posed.bolus[k] @ into
            at = np.array([posed.edges[k], *posed.times[mine], ends[k]])
            inflow = (posed.inflow[k] @ into).tolist()
            path = odeint(
                rates, state, at, (plain, inflow), tfirst=True, rtol=tolerance, atol=tolerance, mxstep=100_000
            )
            states[:, mine], state = path[1:-1].T, path[-1]
        return states

    return solve


def rates_of(posed: Posed) -> Callable[..., list[float]]:
    """Time, states, parameters and inflow to rates of change, all in lists of floats."""
    rates = lambdified((posed.states, posed.parameters), (posed.rhs,), max, "math")

    def function(_: float, states: np.ndarray, numbers: list[float], inflow: list[float]) -> list[float]:
        return [a + b for a, b in zip(rates(states.tolist(), numbers)[0], inflow, strict=True)]

    return function
