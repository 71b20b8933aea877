"""How right an answer is: a reference at 1e-12 by a method that is none of the peers', and the tolerance each needs.

The reference is SciPy's Radau with the exact Jacobian. Errors are relative to the largest value of each output.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy
from _density import Density
from _posed import TINY, Posed, lambdified
from scipy.integrate import solve_ivp

REFERENCE = 1e-12
OUTPUTS, SLOPES = 1e-6, 1e-5  # errors allowed: of outputs, of gradients
LADDER = tuple(m * 10.0**-e for e in range(4, 13) for m in (1.0, 0.3))

Solve = Callable[[np.ndarray], np.ndarray]


def reference(posed: Posed, values: np.ndarray) -> np.ndarray:
    """Outputs of subjects (n, n_parameters), shape (n, n_outputs, n_times), to about 1e-12."""
    rates = lambdified((posed.states, posed.parameters), (posed.rhs,), max, "math")
    matrix = sympy.Matrix(posed.rhs).jacobian(posed.states)
    slopes = lambdified((posed.states, posed.parameters), matrix.tolist(), max, "math")
    return np.array([_one(posed, numbers, rates, slopes) for numbers in values])


def _one(posed: Posed, numbers: np.ndarray, rates: Callable[..., list], slopes: Callable[..., list]) -> np.ndarray:
    state, *into = posed.entering(numbers)
    states = np.empty((len(state), len(posed.times)))
    plain = numbers.tolist()
    for k, mine in enumerate(posed.inside):
        state, inflow = state + posed.bolus[k] @ into, posed.inflow[k] @ into
        span = (posed.edges[k], posed.edges[k + 1])
        at, back = np.unique(np.append(posed.times[mine], span[1]), return_inverse=True)
        path = solve_ivp(
            lambda _, y, inflow=inflow: np.array(rates(y.tolist(), plain)[0]) + inflow, span, state, method="Radau",
            jac=lambda _, y: np.array(slopes(np.maximum(y, TINY).tolist(), plain)), t_eval=at,
            rtol=REFERENCE, atol=1e-3 * REFERENCE,
        ).y[:, back]  # fmt: skip
        states[:, mine], state = path[:, :-1], path[:, -1]
    return posed.outputs(states, numbers[:, None])


def directional(
    density: Density, z: np.ndarray, directions: np.ndarray, solve: Solve, step: float = 3e-3
) -> np.ndarray:
    """Slopes of a log density along directions (k, n), by differences of the fourth order of a very exact solver."""

    def at(moved: np.ndarray) -> float:
        return float(density.of(moved, solve(density.values(moved))))

    def slope(d: np.ndarray) -> float:
        near, far = at(z + step * d) - at(z - step * d), at(z + 2 * step * d) - at(z - 2 * step * d)
        return (8.0 * near - far) / (12.0 * step)

    return np.array([slope(d) for d in directions])


def error(found: np.ndarray, right: np.ndarray) -> float:
    """Largest error of outputs (n, n_outputs, n_times), each relative to the largest value of its curve."""
    size = np.max(np.abs(right), axis=-1, keepdims=True)
    return float(np.max(np.abs(found - right) / size))


def loosest(answer: Callable[[float], float], target: float) -> tuple[float, float]:
    """The loosest tolerance with which an answer is as right as asked, and how wrong it still is.

    Parameters
    ----------
    answer : callable
        Tolerance to error.
    target : float
        Largest error allowed.

    Raises
    ------
    InexactError
        If none is; the message says how near it came.
    """
    found = np.inf
    for tolerance in LADDER:
        found = answer(tolerance)
        if found <= target:
            return tolerance, found
    raise InexactError(f"error {found:.1e} at its tightest tolerance, {target:g} is asked for")


class InexactError(Exception):
    """A solver that cannot be as accurate as asked takes no part."""


def slope_error(found: np.ndarray, directions: np.ndarray, right: np.ndarray) -> float:
    """Error of a gradient relative to its length, judged by its slopes along random directions."""
    off = np.sqrt(np.mean((directions @ found - right) ** 2) * len(found))
    return float(off / np.linalg.norm(found))


def random_directions(n: int, count: int = 4) -> np.ndarray:
    """Directions of length 1, shape (count, n)."""
    drawn = np.random.default_rng(2).standard_normal((count, n))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
