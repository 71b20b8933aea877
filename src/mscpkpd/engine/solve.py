"""Solve a system through all its events, with derivatives that go through every event.

Between two changes the engine integrates in real time; at a change that happens at time T the states jump by D and
the right-hand side may change from f- to f+. Their derivatives follow the jump condition

    S+ = S- + dD/dtheta + (f- - f+) dT/dtheta

so that lag times, modelled durations and switch times have exact derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.engine.stiff import Interval, Program, compile_program
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System
from mscpkpd.engine.timeline import Change, timeline
from mscpkpd.errors import SolveError, UsageError

__all__ = ["DEFAULT_TOLERANCE", "Trajectory", "solve"]

# Relative. At 1e-8 a few designs of the library missed rule L9 by up to 40 %; at 3e-9 all have room, in 15 % more time.
DEFAULT_TOLERANCE = 3e-9
# Times that differ by rounding alone, such as 0.2 + 0.1 and 0.3, are one time: the solver refuses so short an interval.
MOMENT = 1e-13
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

    Returns
    -------
    Trajectory

    Raises
    ------
    DosingError
        If the doses are impossible for these values.
    ModelError
        If the exact engine is asked for a system with feedback.
    UsageError
        For another engine.

    Notes
    -----
    Conventions E1 to E19; derivatives by jump conditions (module docstring).
    """
    times = np.asarray(times, dtype=float)
    unique, back = np.unique(times, return_inverse=True)
    index = np.array(free, dtype=int)
    values = np.asarray(values, dtype=float)
    changes = timeline(system, regimen, values, index, weight, hours)
    try:
        found = _exactly(system, changes, unique, values, index, tolerance=tolerance, engine=engine)
        if found is None:
            scale = _scale(system, regimen, weight, hours, float(unique[-1]) if len(unique) else 0.0)
            found = _Walk(system, values, index, changes, tolerance, scale).through(unique)
        states, slopes = found
    except SolveError as error:
        states = np.full((len(system.states), len(unique)), np.nan)
        slopes = np.full((len(system.states), len(unique), len(index)), np.nan)
        return Trajectory(times, states[:, back], slopes[:, back] if free else None, str(error))
    return Trajectory(times, states[:, back], slopes[:, back] if free else None)


def _exactly(
    system: System,
    changes: tuple[Change, ...],
    times: np.ndarray,
    values: np.ndarray,
    free: np.ndarray,
    *,
    tolerance: float,
    engine: str,
) -> tuple[np.ndarray, np.ndarray] | None:
    """States and slopes by the exact engine; None where the other one is asked for, or has to do."""
    if engine not in ENGINES:
        raise UsageError(f"engine='{engine}'", expected=" or ".join(ENGINES))
    if engine == "stiff" or (engine == "auto" and not solving_order(system).exact):
        return None
    from mscpkpd.engine.exact import solve_exactly  # JAX is slow to load

    try:
        return solve_exactly(system, changes, times, values, free, tolerance)
    except SolveError:
        if engine == "exact":
            raise
        return None  # what grows or swings too fast for its steps


class _Walk:
    """One pass over the intervals between changes; holds the state that evolves and nothing else."""

    def __init__(
        self,
        system: System,
        values: np.ndarray,
        free: np.ndarray,
        changes: tuple[Change, ...],
        tolerance: float,
        scale: np.ndarray,
    ) -> None:
        self.system, self.values, self.free, self.changes = system, values, free, changes
        self.tolerance, self.scale = tolerance, scale
        n = len(system.states)
        self.state = system.start_function.value(*values)
        self.slope = system.start_function.jacobian(*values)[:, free] if n else np.zeros((0, len(free)))
        self.rate, self.d_rate = np.zeros(n), np.zeros((n, len(free)))
        self.switches = np.zeros(len(system.switches))
        self.infused = tuple(i for i in range(n) if any(change.rate[i] != 0 for change in changes))

    def through(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States and slopes at sorted, unique `times`, each after the changes of that time."""
        n = len(self.system.states)
        states, slopes = np.empty((n, len(times))), np.empty((n, len(times), len(self.free)))
        pending = list(self.changes)
        while pending and pending[0].time < 0:  # a switch of long ago: no dose lies before time 0
            self._turn_on(pending.pop(0))
        now, done = 0.0, int(np.searchsorted(times, 0.0))
        # start values are those at time 0 and before, so that a pre-dose row of one subject moves no other (L10)
        states[:, :done], slopes[:, :done] = self.state[:, None], self.slope[:, None]
        while done < len(times):
            while pending and pending[0].time <= now:
                self._apply(pending.pop(0))
            if times[done] == now:
                states[:, done], slopes[:, done] = self.state, self.slope
                done += 1
                continue
            until = min(pending[0].time, times[-1]) if pending else times[-1]
            inside = times[(times > now) & (times < until)]
            interval, slope = self._interval(now, np.append(inside, until))
            k = done + len(inside)
            states[:, done:k], slopes[:, done:k] = interval.states[:, :-1], slope[:, :-1]
            self.state, self.slope = interval.states[:, -1], slope[:, -1]
            now, done = until, k
        return states, slopes

    def _interval(self, now: float, times: np.ndarray) -> tuple[Interval, np.ndarray]:
        n, n_free = len(self.system.states), len(self.free)
        if n == 0 or times[-1] - now <= MOMENT * max(1.0, now):
            return Interval(_repeated(self.state, times), None), _repeated(self.slope, times)
        program = self._program()
        interval = program.run(
            self.values, self.state, self.rate, self.switches, begin=now, times=times, tolerance=self.tolerance
        )
        if not np.all(np.isfinite(interval.states)):
            raise SolveError(f"a state is not finite between {now:g} and {times[-1]:g}")
        if interval.sensitivities is None:
            return interval, np.zeros((n, len(times), 0))
        seeds = np.concatenate([np.eye(n_free), self.slope[list(program.starts)], self.d_rate[list(program.rates)]])
        return interval, np.einsum("int,if->ntf", interval.sensitivities, seeds)

    def _program(self) -> Program:
        everything = tuple(range(len(self.system.parameters)))
        all_states = tuple(range(len(self.system.states)))
        if len(self.free) == 0:
            # without sensitivities an input costs nothing: one program for all draws, subjects and intervals
            rates = all_states if self.infused else ()
            return compile_program(
                self.system, self.values, everything, all_states, rates, self.scale, sensitivities=False
            )
        starts = tuple(i for i in all_states if self.state[i] != 0 or np.any(self.slope[i] != 0))
        free = tuple(int(i) for i in self.free)
        return compile_program(self.system, self.values, free, starts, self.infused, self.scale, sensitivities=True)

    def _apply(self, change: Change) -> None:
        moves = np.any(change.d_time != 0)
        before = self._rhs(change.time) if moves else None
        self.state = self.state + change.jump
        self.slope = self.slope + change.d_jump
        self.rate = _without_residue(self.rate + change.rate, self.rate)
        self.d_rate = self.d_rate + change.d_rate
        self._turn_on(change)
        if before is not None:
            self.slope = self.slope + np.outer(before - self._rhs(change.time), change.d_time)

    def _turn_on(self, change: Change) -> None:
        if change.switch >= 0:
            self.switches = self.switches.copy()
            self.switches[change.switch] = 1.0

    def _rhs(self, time: float) -> np.ndarray:
        value = self.system.rhs_function.value(*self.state, *self.values, *self.switches, time)
        return np.asarray(value + self.rate)


def _repeated(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The same values at every time, as second dimension."""
    return np.stack([values] * len(times), axis=1)


def _without_residue(rate: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Set to zero what rounding leaves when the last infusion into a state ends."""
    return np.where(np.abs(rate) <= 1e-12 * np.abs(before), 0.0, rate)


@lru_cache(maxsize=512)
def _scale(system: System, regimen: Regimen, weight: float | None, hours: float, until: float) -> np.ndarray:
    """Order of magnitude of each state, from the model's own parameter values so that it depends on no draw."""
    values, none = np.array(system.nominal), np.array([], dtype=int)
    changes = timeline(system, regimen, values, none, weight, hours)
    span = max(until, 0.0)
    scale = _power_of_ten(_expected_size(system, values, changes, span))
    times = span * np.concatenate([[0.0], np.geomspace(1e-5, 1.0, 60)])
    try:
        states, _ = _Walk(system, values, none, changes, 1e-5, scale).through(np.unique(times))
    except SolveError:
        return scale
    return _power_of_ten(np.max(np.abs(states), axis=1)) if len(scale) else scale


def _expected_size(system: System, values: np.ndarray, changes: tuple[Change, ...], span: float) -> np.ndarray:
    """Guess the size of each state: what enters it, or else what flows in from the others until loss balances gain."""
    size = np.abs(system.start_function.value(*values))
    size += sum((np.abs(change.jump) for change in changes), np.zeros_like(size))
    size += np.abs(sum((change.rate * change.time for change in changes), np.zeros_like(size)))  # amounts infused

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
