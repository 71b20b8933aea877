"""States and outputs of one subject by name, as the engine gives them; equal questions are solved once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.solve import DEFAULT_TOLERANCE, solve
from mscpkpd.engine.system import System, build_system
from mscpkpd.errors import SolveError
from mscpkpd.model import Model
from mscpkpd.units import to_unit

__all__ = ["apart", "given", "linear", "solved"]

Changes = Mapping[str, float]


def given(amount: float, route: str = "iv", *, unit: str = "cells", over: float = 0.0, at: float = 0.0) -> Regimen:
    """Return one dose: an amount in its unit, by a route, over and at some hours."""
    return Regimen((Dose(at, amount, unit, route, over),))


def solved(
    model: Model,
    regimen: Regimen,
    times: Sequence[float] | np.ndarray,
    changes: Changes | None = None,
    *,
    weight: float | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> dict[str, np.ndarray]:
    """Solve all states and outputs of a model for one subject.

    Parameters
    ----------
    model : Model
        A checked model.
    regimen : Regimen
        What is given.
    times : sequence of float
        When [model time unit].
    changes : mapping of str to float, optional
        Other values of parameters [their unit].
    weight : float, optional
        Body weight [kg].
    tolerance : float
        Relative tolerance of the solver.

    Returns
    -------
    dict of arrays of shape (n_times,) by name
        States and outputs [their unit].

    Raises
    ------
    SolveError
        If the solver fails.
    """
    key = tuple(sorted((changes or {}).items()))
    return _solved(model, regimen, tuple(float(time) for time in times), key, weight, tolerance)


@lru_cache(maxsize=256)
def _solved(
    model: Model,
    regimen: Regimen,
    times: tuple[float, ...],
    changes: tuple[tuple[str, float], ...],
    weight: float | None,
    tolerance: float,
) -> dict[str, np.ndarray]:
    system, values = _system(model, regimen, dict(changes))
    hours = to_unit(f"1 {model.time}", "h")
    path = solve(system, regimen, np.array(times), values, weight=weight, hours=hours, tolerance=tolerance)
    if not path.ok:
        raise SolveError(path.failure, where=model.name)
    found = {name: np.zeros(len(times)) for name in model.state_names}  # states that nothing ever enters are left out
    found |= dict(zip(system.states, path.states, strict=True))
    shown = system.observed_function.value(*path.states, *values, path.times, shape=path.times.shape)
    return found | dict(zip(system.outputs, shown, strict=True))


def _system(model: Model, regimen: Regimen, changes: Changes) -> tuple[System, np.ndarray]:
    asked = tuple(dict.fromkeys((*model.state_names, *model.output_names)))
    system = build_system(model, asked, tuple(sorted({dose.route for dose in regimen})))
    for name in changes:
        model.parameter(name)  # an unknown one is an error, not a change without effect
    chosen = {**model.values, **changes}
    return system, np.array([chosen[name] for name in system.parameters])


def linear(
    model: Model, regimen: Regimen, names: Sequence[str], changes: Changes | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the start of states that are linear and depend on no others.

    Parameters
    ----------
    model : Model
        A checked model.
    regimen : Regimen
        Doses at time 0.
    names : sequence of str
        States of the block.
    changes : mapping of str to float, optional
        Other values of parameters [their unit].

    Returns
    -------
    matrix : array of shape (n_states, n_states)
        Per model time unit.
    start : array of shape (n_states,)
        [unit of the state]
    """
    system, values = _system(model, regimen, changes or {})
    switches = np.zeros(len(system.switches))
    with np.errstate(all="ignore"):  # derivatives of other states may have no value at zero
        jacobian = system.rhs_function.jacobian(*np.zeros(len(system.states)), *values, *switches, 0.0)
    matrix = np.zeros((len(names), len(names)))
    kept = [k for k, name in enumerate(names) if name in system.states]  # others stay empty
    places = [system.states.index(names[k]) for k in kept]
    matrix[np.ix_(kept, kept)] = jacobian[np.ix_(places, places)]
    begin = solved(model, regimen, (0.0,), changes)
    return matrix, np.array([begin[name][0] for name in names])


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of two series, relative to the second, where that is not negligible."""
    floor = 1e-9 * float(np.max(np.abs(expected)))
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), floor)))
