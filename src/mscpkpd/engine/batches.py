"""Many subjects with one regimen through the exact engine, in chunks.

Subjects are gathered by what a compiled solver needs to be the same: the number of intervals, the states that are
infused, the resolution. Each subject has the resolution that it would have alone, so that no subject moves another.
"""

from __future__ import annotations

from collections import defaultdict

import jax
import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.engine.compiled import Found
from mscpkpd.engine.exact import Given, compiled_solver, given_of
from mscpkpd.engine.resolution import Resolution, finer_than, guessed
from mscpkpd.engine.system import System
from mscpkpd.engine.timeline import timeline
from mscpkpd.errors import SolveError

__all__ = ["solve_batch"]

CHUNK = 64  # subjects solved together

Key = tuple[Resolution, tuple[int, ...], tuple[int, ...]]


def solve_batch(
    system: System,
    regimen: Regimen,
    times: np.ndarray,
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    hours: float = 1.0,
    tolerance: float,
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
    tolerance : float
        What may be left out, relative to the largest value of each state.

    Returns
    -------
    array of shape (n_subjects, n_states, n_times)
        NaN for subjects that cannot be solved.

    Raises
    ------
    DosingError
        If the doses are impossible for the values of a subject.
    ModelError
        If the system has feedback.
    """
    times = np.asarray(times, dtype=float)
    states = np.full((len(values), len(system.states), len(times)), np.nan)
    none = np.array([], dtype=int)
    waiting: dict[Key, list[tuple[int, Given]]] = defaultdict(list)
    for i, numbers in enumerate(values):
        weight = None if weights is None else float(weights[i])
        given = given_of(system, timeline(system, regimen, numbers, none, weight, hours), times, numbers, 0)
        if given is None:
            return np.zeros(states.shape)
        try:
            waiting[_key(given, guessed(system, numbers, given.intervals))].append((i, given))
        except SolveError:
            continue
    while waiting:
        key = next(iter(waiting))
        subjects = waiting.pop(key)
        for start in range(0, len(subjects), CHUNK):
            _solve(key, subjects[start : start + CHUNK], states, waiting, tolerance)
    return states


def _key(given: Given, resolution: Resolution) -> Key:
    return resolution, given.infused, (len(given.intervals.begins), len(given.intervals.sample))


def _solve(
    key: Key,
    subjects: list[tuple[int, Given]],
    states: np.ndarray,
    waiting: dict[Key, list[tuple[int, Given]]],
    tolerance: float,
) -> None:
    """Solve one chunk; who needs finer steps waits for them."""
    resolution, infused, _ = key
    last = subjects[-1][1]
    filled = [given for _, given in subjects] + [last] * (CHUNK - len(subjects))
    inputs, layout = jax.tree.map(lambda *each: np.stack(each), *((given.inputs, given.layout) for given in filled))
    found, _ = compiled_solver(last.system, infused, resolution, "batch")(inputs, None, layout)
    arrays = Found(*(np.asarray(each) for each in found))
    for k, (i, given) in enumerate(subjects):
        try:
            finer = finer_than(Found(*(each[k] for each in arrays)), resolution, tolerance)
        except SolveError:
            continue
        if finer == resolution:
            states[i] = arrays.states[k][:, : states.shape[2]]
        else:
            waiting[_key(given, finer)].append((i, given))
