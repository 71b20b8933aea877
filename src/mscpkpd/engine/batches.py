"""Many subjects with one regimen through the exact engine, in chunks that stay in the cache of a core.

Each subject has the resolution that it would have alone, so that no subject moves another.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.engine.compiled import Found
from mscpkpd.engine.course import Course, drive
from mscpkpd.engine.exact import require_order
from mscpkpd.engine.plan import Plan, plan_of
from mscpkpd.engine.planned import doses_of, shape_of, solver_of, subjects_together
from mscpkpd.engine.resolution import Resolution, finer_than, guessed
from mscpkpd.engine.solve import solve
from mscpkpd.engine.system import System
from mscpkpd.errors import DosingError, SolveError

__all__ = ["solve_batch"]


def solve_batch(
    system: System,
    regimen: Regimen,
    times: np.ndarray,
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    hours: float = 1.0,
    wanted: tuple[int, ...] | None = None,
    tolerance: float,
    course: Course | None = None,
) -> np.ndarray:
    """Solve a system without feedback for many subjects.

    Parameters
    ----------
    system : System
        Equations.
    regimen : Regimen
        Doses, in hours.
    times : array of shape (n_times,)
        Model time unit.
    values : array of shape (n_subjects, n_parameters)
        In the order of the system.
    weights : array of shape (n_subjects,), optional
        Body weights in kg.
    hours : float
        Length of the model's time unit in hours.
    wanted : tuple of int, optional
        Positions of the states that are asked for; all by default.
    tolerance : float
        What may be left out, relative to the largest value of each state.
    course : Course, optional
        Parameters that are covariates, the same for all subjects; they replace those in `values`.

    Returns
    -------
    array of shape (n_subjects, n_wanted, n_times)
        NaN for subjects that cannot be solved.

    Raises
    ------
    DosingError
        If the doses are impossible for the values of a subject, or per kg without weights.
    ModelError
        If the system has feedback.
    """
    given = system
    driven = None if course is None else drive(system, course, hours)
    system = system if driven is None else driven.system
    require_order(system)
    times, values = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    wanted = tuple(range(len(system.states))) if wanted is None else tuple(wanted)
    if not wanted or len(times) == 0:
        return np.zeros((len(values), len(wanted), len(times)))
    plan = plan_of(system, regimen, times, hours, driven)
    if plan is None:
        return _one_by_one(
            given, regimen, times, values, weights, hours=hours, tolerance=tolerance, course=course
        )[:, list(wanted)]  # fmt: skip
    if driven is not None:
        values = np.stack([driven.values(numbers) for numbers in values])
    if weights is None and any(way.per_weight for way in plan.ways):
        raise DosingError("a dose per kg needs body weights", hint="weights=")
    kilograms = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    return _Subjects(system, plan, values.T, kilograms, wanted).solved(tolerance)[:, :, : len(times)]


@dataclass(frozen=True, eq=False)
class _Subjects:
    """Subjects of one plan; values of shape (n_parameters, n_subjects), weights in kg."""

    system: System
    plan: Plan
    values: np.ndarray
    weights: np.ndarray
    wanted: tuple[int, ...]

    def solved(self, tolerance: float) -> np.ndarray:
        """Solve chunk by chunk; who needs finer steps waits for them."""
        layout, count = self.plan.intervals, len(self.weights)
        states = np.full((count, len(self.wanted), len(layout.times)), np.nan)
        waiting: dict[Resolution, list[int]] = defaultdict(list)
        longest = np.full(count, layout.lengths.max())
        patterns = np.unique(layout.numbers, axis=1).T if self.plan.changing else [None]
        guesses = []
        for numbers in patterns:  # the fastest that an interval meets decides
            values = self.values.copy()
            values[list(self.plan.changing)] = 0.0 if numbers is None else numbers[:, None]
            guesses.append(guessed(self.system, values, layout.switches, longest, tolerance))
        for i, each in enumerate(zip(*guesses, strict=True)):
            resolution = None if None in each else max(one for one in each if one is not None)
            if resolution is not None:
                waiting[resolution].append(i)
        size = subjects_together()
        while waiting:
            resolution, subjects = waiting.popitem()
            for start in range(0, len(subjects), size):
                chosen = subjects[start : start + size]
                found = self._together(resolution, chosen, size)
                for k, i in enumerate(chosen):
                    finer = _finer(found, k, resolution, tolerance)
                    if finer == resolution:
                        states[i] = found.states[:, :, k]
                    elif finer is not None:
                        waiting[finer].append(i)
        return states

    def _together(self, resolution: Resolution, chosen: list[int], size: int) -> Found:
        filled = chosen + chosen[-1:] * (size - len(chosen))  # one size, compiled once
        doses, layout = doses_of([self.plan], self.weights[filled])
        solver = solver_of(self.system, shape_of(self.plan), self.wanted, resolution, "states")
        return Found(*(np.asarray(each) for each in solver(self.values[:, filled], doses, layout)))


def _finer(found: Found, k: int, resolution: Resolution, tolerance: float) -> Resolution | None:
    """The next resolution to try for a subject; None where there is none."""
    try:
        return finer_than(found, k, resolution, tolerance)
    except SolveError:
        return None


def _one_by_one(
    system: System,
    regimen: Regimen,
    times: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray | None,
    *,
    hours: float,
    tolerance: float,
    course: Course | None,
) -> np.ndarray:
    """Where the moments of events depend on the values of a subject."""
    kilograms = [None] * len(values) if weights is None else [float(weight) for weight in weights]
    paths = (
        solve(
            system,
            regimen,
            times,
            numbers,
            weight=weight,
            hours=hours,
            tolerance=tolerance,
            engine="exact",
            course=course,
        )
        for numbers, weight in zip(values, kilograms, strict=True)
    )
    return np.stack([path.states for path in paths])
