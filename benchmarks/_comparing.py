"""What several scripts ask, populations and gradients: everybody is made as exact as asked, and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from _accuracy import (
    OUTPUTS,
    SLOPES,
    InexactError,
    directional,
    error,
    loosest,
    random_directions,
    reference,
    slope_error,
)
from _density import Density
from _peers import offering
from _posed import Posed
from _record import Row, quick
from _timing import Way, measured, one_core

Answer = Callable[[np.ndarray], np.ndarray]

SPREAD = 0.3  # SD of each learned parameter in a population, on the scale of its prior
BUDGET = 15.0  # seconds of timing a question, as far as three rounds fit
CALIBRATED = 3  # subjects on which accuracy is judged
SLOW = {
    "SciPy LSODA": 20,
    "CasADi CVODES": 50,
    "libRoadRunner": 500,
    "diffrax Kvaerno5": 256,
}  # subjects that are timed


def population(posed: Posed, count: int) -> np.ndarray:
    """Parameters of subjects, shape (count, n_parameters)."""
    rng = np.random.default_rng(7)
    values = np.tile(posed.nominal, (count, 1))
    for k, name in enumerate(posed.system.parameters):
        parameter = posed.model.parameter(name)
        if parameter.prior.is_free and parameter.value != 0:
            z = float(parameter.prior.to_free(parameter.value)) + SPREAD * rng.standard_normal(count)
            values[:, k] = parameter.prior.from_free(z)
    return values


def compare_populations(row: Row, posed: Posed, count: int, ours: dict[str, Any]) -> None:
    """Time everybody on one core; loops over subjects are timed on a part of the population."""
    one_core()
    values = population(posed, 64 if quick() else count)
    few = values[: 1 if quick() else CALIBRATED]
    right = reference(posed, few)
    peers, row.skipped = offering("solver")
    makers = {**ours, **{peer.NAME: peer.solver for peer in peers}}
    ways = []
    for name, make in makers.items():
        part = values[: SLOW.get(name, len(values))]
        trial = Trial(name, partial(make, posed), OUTPUTS, lambda solve: error(solve(few), right))
        ways += calibrated(row, trial, part, len(part))
    row.facts["subjects"] = len(values)
    row.add_timings(measured(ways, budget=2.0 if quick() else BUDGET))


def compare_gradients(row: Row, density: Density, ours: dict[str, Any]) -> None:
    """Time one gradient of everybody on one core, in ms a subject."""
    one_core()
    z, subjects = density.z0, len(density.data)
    directions = random_directions(len(z), 1 if quick() else 4)
    right = directional(density, z, directions, _exact(density))
    peers, row.skipped = offering("gradient")
    makers = {**ours, **{peer.NAME: peer.gradient for peer in peers}}
    ways = []
    for name, make in makers.items():
        trial = Trial(name, partial(make, density), SLOPES, lambda slopes: slope_error(slopes(z), directions, right))
        ways += calibrated(row, trial, z, subjects, ready=True)
    row.facts |= {"coordinates": len(z), "states": len(density.posed.states), "subjects": subjects}
    row.add_timings(measured(ways, budget=2.0 if quick() else BUDGET))


@dataclass(frozen=True)
class Trial:
    """Somebody who has to show that the answer is right.

    Attributes
    ----------
    name : str
    make : callable
        Tolerance to a function that gives answers.
    allowed : float
        Largest error.
    wrong : callable
        Such a function to its error.
    """

    name: str
    make: Callable[[float], Answer]
    allowed: float
    wrong: Callable[[Answer], float]


def calibrated(row: Row, trial: Trial, argument: np.ndarray, units: int, *, ready: bool = False) -> list[Way]:
    """A way at its loosest tolerance; one that fails is noted and takes no part."""
    made: dict[float, Answer] = {}

    def off(tolerance: float) -> float:
        made[tolerance] = trial.make(tolerance)
        return trial.wrong(made[tolerance])

    try:
        tolerance, found = loosest(off, trial.allowed)
    except Exception as reason:  # noqa: BLE001 (a peer that breaks is a finding, not the end of the benchmark)
        first = (str(reason).splitlines() or [""])[0]
        row.skipped[trial.name] = first if isinstance(reason, InexactError) else f"{type(reason).__name__}: {first}"
        return []
    answer = made[tolerance]
    return [Way(trial.name, lambda: answer(argument), units, tolerance, found, ready=ready)]


def _exact(density: Density) -> Callable[[np.ndarray], np.ndarray]:
    """A solver for differences: quicker than the reference, and as good as it to 1e-10."""
    from _peers import scipy_lsoda

    return scipy_lsoda.solver(density.posed, 1e-12)
