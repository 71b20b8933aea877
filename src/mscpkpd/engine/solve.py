"""Solve a system through all its events, with derivatives that go through every event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.engine.course import Course, Driven, drive
from mscpkpd.engine.steady import settled
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System
from mscpkpd.engine.timeline import Change, timeline
from mscpkpd.engine.walk import Walk
from mscpkpd.errors import SolveError, UsageError

__all__ = ["DEFAULT_TOLERANCE", "Trajectory", "changes_of", "solve"]

# Relative. At 1e-8 a few designs of the library missed rule L9 by up to 40 %; at 3e-9 all have room, in 15 % more time.
DEFAULT_TOLERANCE = 3e-9
ROUGH = 1e-5  # relative tolerance of a solve that only finds out how large each state becomes
ENGINES = ("auto", "exact", "stiff")


@dataclass(frozen=True)
class Trajectory:
    """States of one subject over time; a failed solve is a labelled outcome, never an exception.

    Attributes
    ----------
    times : array of shape (n_times,)
        Model time unit.
    states : array of shape (n_states, n_times)
        NaN after a failure.
    sensitivities : array of shape (n_states, n_times, n_free) or None
        Derivatives by the free parameters.
    failure : str
        Empty where all is well, else the reason.
    """

    times: np.ndarray
    states: np.ndarray
    sensitivities: np.ndarray | None
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether the solve reached the last time."""
        return not self.failure


def solve(
    system: System,
    regimen: Regimen,
    times: np.ndarray,
    values: np.ndarray,
    *,
    free: tuple[int, ...] = (),
    weight: float | None = None,
    hours: float = 1.0,
    tolerance: float = DEFAULT_TOLERANCE,
    engine: str = "stiff",
    course: Course | None = None,
) -> Trajectory:
    """Solve a system for one subject.

    Parameters
    ----------
    system : System
        Equations.
    regimen : Regimen
        Doses, in hours.
    times : array of shape (n_times,)
        When states are wanted, in the model's time unit, in any order, repeats allowed. A time that coincides with
        a dose is after it (E4); before time 0 states have their start values.
    values : array of shape (n_parameters,)
        In the order of `system.parameters`.
    free : tuple of int
        Positions of the parameters to differentiate by; empty for none.
    weight : float, optional
        Body weight in kg.
    hours : float
        Length of the model's time unit in hours.
    tolerance : float
        Relative tolerance of the solver.
    engine : str
        "stiff", "exact", or "auto": exact where the system has no feedback.
    course : Course, optional
        Parameters that are covariates of this subject; they replace those in `values`.

    Returns
    -------
    Trajectory

    Raises
    ------
    DosingError
        If the doses are impossible for these values.
    ModelError
        If the exact engine is asked for a system with feedback, or for exchange whose coefficients follow a covariate
        along a straight line (K4).
    UsageError
        For another engine.

    Notes
    -----
    Conventions E1 to E34, K2 to K8. A steady state is solved first (E31) and then enters as a jump. Derivatives go by
    jump conditions (`engine.walk`).
    """
    times = np.asarray(times, dtype=float)
    unique, back = np.unique(times, return_inverse=True)
    index = np.array(free, dtype=int)
    values = np.asarray(values, dtype=float)
    until = float(unique[-1]) if len(unique) else 0.0
    driven = None if course is None else drive(system, course, hours)
    if driven is not None:
        system, values = driven.system, driven.values(values)
    try:
        changes = changes_of(
            system, regimen, values, index, weight=weight, hours=hours, until=until, tolerance=tolerance, driven=driven
        )
        found = _exactly(system, changes, unique, values, index, tolerance=tolerance, engine=engine, driven=driven)
        if found is None:
            scale = _scale(system, regimen, weight, hours, until, driven)
            careful = any(dose.steady for dose in regimen)
            walk = Walk(system, values, index, changes, tolerance, scale, careful=careful, driven=driven)
            found = walk.through(unique)
        states, slopes = found
    except SolveError as error:
        states = np.full((len(system.states), len(unique)), np.nan)
        slopes = np.full((len(system.states), len(unique), len(index)), np.nan)
        return Trajectory(times, states[:, back], slopes[:, back] if free else None, str(error))
    return Trajectory(times, states[:, back], slopes[:, back] if free else None)


def changes_of(
    system: System,
    regimen: Regimen,
    values: np.ndarray,
    free: np.ndarray,
    *,
    weight: float | None = None,
    hours: float = 1.0,
    until: float = 0.0,
    tolerance: float = DEFAULT_TOLERANCE,
    driven: Driven | None = None,
) -> tuple[Change, ...]:
    """List the changes of one subject with every steady state solved.

    Parameters
    ----------
    system, regimen, values, weight, hours, tolerance
        As in `solve`.
    free : array of int, shape (n_free,)
        Positions of the parameters to differentiate by.
    until : float
        Last time that is wanted, in the model's time unit.
    driven : Driven, optional
        Covariates; `system` is then its system, and `values` are those of time 0.

    Returns
    -------
    tuple of Change
        In order of time; a steady state is a jump with derivatives.

    Raises
    ------
    DosingError
        If the doses are impossible for these values.
    SolveError
        Where there is no steady state (E31).
    """
    changes = timeline(system, regimen, values, free, weight, hours, driven=driven)
    if not any(change.steady for change in changes):
        return changes
    scale = _scale(system, regimen, weight, hours, until, driven)
    return settled(system, changes, values, free, tolerance, scale, driven=driven)


def _exactly(
    system: System,
    changes: tuple[Change, ...],
    times: np.ndarray,
    values: np.ndarray,
    free: np.ndarray,
    *,
    tolerance: float,
    engine: str,
    driven: Driven | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """States and slopes by the exact engine; None where the other one is asked for, or has to do."""
    if engine not in ENGINES:
        raise UsageError(f"engine='{engine}'", expected=" or ".join(ENGINES))
    if engine == "stiff" or (engine == "auto" and not solving_order(system).exact):
        return None
    if any(change.factor is not None for change in changes):  # the exact engine cannot set or multiply a state
        return None
    from mscpkpd.engine.exact import solve_exactly  # JAX is slow to load

    try:
        return solve_exactly(system, changes, times, values, free, tolerance, driven=driven)
    except SolveError:
        if engine == "exact":
            raise
        return None  # what grows or swings too fast for its steps


@lru_cache(maxsize=512)
def _scale(
    system: System, regimen: Regimen, weight: float | None, hours: float, until: float, driven: Driven | None
) -> np.ndarray:
    """Order of magnitude of each state, from the model's own parameter values so that it depends on no draw."""
    values, none = np.array(system.nominal), np.array([], dtype=int)
    if driven is not None:
        values = driven.values(values)
    changes = timeline(system, regimen, values, none, weight, hours, driven=driven)
    span = max(until, 0.0)
    scale = _power_of_ten(_expected_size(system, values, changes, span))
    times = np.unique(span * np.concatenate([[0.0], np.geomspace(1e-5, 1.0, 60)]))
    try:
        if any(change.steady for change in changes):
            # the doses that are given tell how large states become, and so what is small in those that are implied
            times = np.unique(np.append(times, [change.steady.interval for change in changes if change.steady]))
            given = [replace(change, steady=None) for change in changes]
            states, _ = Walk(system, values, none, given, ROUGH, scale, driven=driven).through(times)
            reached = np.max(np.abs(states), axis=1)
            rough = _power_of_ten(np.where(reached > 0, reached, scale))
            changes = settled(system, changes, values, none, ROUGH, rough, driven=driven)
        states, _ = Walk(system, values, none, changes, ROUGH, scale, driven=driven).through(times)
    except SolveError:
        return scale
    return _power_of_ten(np.max(np.abs(states), axis=1)) if len(scale) else scale


def _expected_size(system: System, values: np.ndarray, changes: tuple[Change, ...], span: float) -> np.ndarray:
    """Guess the size of each state: what enters it, or else what flows in from the others until loss balances gain."""
    size = np.abs(system.start_function.value(*values))
    size += sum((np.abs(change.jump) for change in changes), np.zeros_like(size))
    size += np.abs(sum((change.rate * change.time for change in changes), np.zeros_like(size)))  # amounts infused
    size += sum(
        (np.abs(change.steady.rate) * max(span, 1.0) for change in changes if change.steady), np.zeros_like(size)
    )

    def rates(amounts: np.ndarray) -> np.ndarray:
        before, after = (
            system.rhs_function.value(*amounts, *values, *np.full(len(system.switches), on), 0.0) for on in (0.0, 1.0)
        )
        return np.asarray(np.nan_to_num(np.where(np.abs(before) > np.abs(after), before, after)))

    with np.errstate(all="ignore"):  # a guess may lie where a formula has no value
        for _ in size:
            gain = np.abs(rates(size))
            for i in np.flatnonzero((size == 0) & (gain > 0)):
                size[i] = gain[i] * span
                loss = gain[i] - rates(size)[i]
                size[i] *= gain[i] / max(loss, gain[i])
    return np.asarray(size)


def _power_of_ten(size: np.ndarray) -> np.ndarray:
    positive = np.where(size > 0, size, 1.0)
    return np.asarray(10.0 ** np.round(np.log10(positive)))
