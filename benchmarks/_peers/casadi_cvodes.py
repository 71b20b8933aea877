"""CasADi: SUNDIALS CVODES on its own expression graphs, with exact Jacobians and adjoint or forward sensitivities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import casadi
import numpy as np
from _density import Density
from _posed import Posed, lambdified

NAME = "CasADi CVODES"


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times)."""
    values = casadi.MX.sym("values", len(posed.parameters))
    function = casadi.Function("outputs", [values], [outputs_of(posed, tolerance, values)])
    return lambda numbers: np.array([np.asarray(function(each)) for each in numbers])


def gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Coordinates (n,) to the gradient of the log density (n,).

    By forward sensitivities of CVODES: its adjoint equations are slower here, with a hundred times to stop at.
    """
    posed, free = density.posed, density.places
    values = casadi.MX.sym("values", len(posed.parameters))
    outputs = outputs_of(posed, tolerance, values)
    seeds = casadi.DM.eye(len(posed.parameters))[:, free.tolist()]
    slopes = casadi.jtimes(casadi.vec(outputs), values, seeds)
    function = casadi.Function("slopes", [values], [outputs, slopes])

    def evaluate(z: np.ndarray) -> np.ndarray:
        found = [[np.asarray(part) for part in function(numbers)] for numbers in density.values(z)]
        outputs = np.array([part for part, _ in found])
        pull = np.moveaxis(density.pull(z, outputs), 1, 2).reshape(len(found), -1)  # CasADi counts columns first
        return density.slope(z, outputs, np.einsum("sr,srf->sf", pull, np.array([part for _, part in found])))

    return evaluate


def outputs_of(posed: Posed, tolerance: float, values: Any, **options: Any) -> Any:
    """Parameters, a symbol of CasADi (n_parameters,), to outputs (n_outputs, n_times)."""
    entering, observed = _entering(posed), _observed(posed)
    state, *into = casadi.horzsplit(entering(values))
    parts = []
    for k, mine in enumerate(posed.inside):
        at = np.append(posed.times[mine], posed.edges[k + 1])
        system = _system(posed)
        settings = {"reltol": tolerance, "abstol": tolerance, "max_num_steps": 100_000, **options}
        integrator = casadi.integrator(f"segment_{k}", "cvodes", system, posed.edges[k], at, settings)
        state = state + sum((a * share for a, share in zip(posed.bolus[k], into, strict=True)), 0.0)
        inflow = sum(
            (a * share for a, share in zip(posed.inflow[k], into, strict=True)), casadi.DM.zeros(len(posed.states))
        )
        path = integrator(x0=state, p=casadi.vertcat(values, inflow))["xf"]
        parts += [path[:, :-1]]
        state = path[:, -1]
    path = casadi.horzcat(*parts)
    return observed.map(path.shape[1])(path, casadi.repmat(values, 1, path.shape[1]))


def _system(posed: Posed) -> dict[str, Any]:
    states = casadi.SX.sym("states", len(posed.states))
    values = casadi.SX.sym("values", len(posed.parameters))
    inflow = casadi.SX.sym("inflow", len(posed.states))
    rates = _of(posed, posed.rhs)(casadi.vertsplit(states), casadi.vertsplit(values))[0]
    return {"x": states, "p": casadi.vertcat(values, inflow), "ode": casadi.vertcat(*rates) + inflow}


def _of(posed: Posed, *rows: Any) -> Callable[..., Any]:
    return lambdified((posed.states, posed.parameters), rows, casadi.fmax, [{"exp": casadi.exp}, "math"])


def _entering(posed: Posed) -> casadi.Function:
    values = casadi.SX.sym("values", len(posed.parameters))
    rows = _of(posed, posed.start, *posed.into)([0.0] * len(posed.states), casadi.vertsplit(values))
    return casadi.Function("entering", [values], [casadi.horzcat(*(casadi.vertcat(*row) for row in rows))])


def _observed(posed: Posed) -> casadi.Function:
    states, values = casadi.SX.sym("states", len(posed.states)), casadi.SX.sym("values", len(posed.parameters))
    row = _of(posed, posed.observed)(casadi.vertsplit(states), casadi.vertsplit(values))[0]
    return casadi.Function("observed", [states, values], [casadi.vertcat(*row)])
