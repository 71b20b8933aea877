"""One pass of the stiff engine over the intervals between changes, with derivatives that go through every change.

Between two changes the engine integrates in real time; at a change that happens at time T the states jump by D and
the right-hand side may change from f- to f+. Their derivatives follow the jump condition

    S+ = S- + dD/dtheta + (f- - f+) dT/dtheta

so that lag times, modelled durations and switch times have exact derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mscpkpd.engine.course import Driven
from mscpkpd.engine.stiff import Interval, Program, compile_program
from mscpkpd.engine.system import System
from mscpkpd.engine.timeline import Change, without_residue
from mscpkpd.errors import SolveError

__all__ = ["Begin", "Walk", "beginning"]

# Times that differ by rounding alone, such as 0.2 + 0.1 and 0.3, are one time: the solver refuses so short an interval.
MOMENT = 1e-13


@dataclass(frozen=True)
class Begin:
    """Where a pass begins.

    Attributes
    ----------
    time : float
        Model time unit.
    state, rate : array of shape (n_states,)
        Amounts and infusion rates.
    slope, d_rate : array of shape (n_states, n_columns)
        Their derivatives by whatever is differentiated by.
    switches : array of shape (n_switches,)
        1 for what is on.
    """

    time: float
    state: np.ndarray
    slope: np.ndarray
    rate: np.ndarray
    d_rate: np.ndarray
    switches: np.ndarray


def beginning(system: System, values: np.ndarray, free: np.ndarray) -> Begin:
    """Return the start values at time 0, with derivatives by the free parameters.

    Parameters
    ----------
    system : System
    values : array of shape (n_parameters,)
    free : array of int, shape (n_free,)

    Returns
    -------
    Begin
    """
    n = len(system.states)
    state = system.start_function.value(*values)
    slope = system.start_function.jacobian(*values)[:, free] if n else np.zeros((0, len(free)))
    return Begin(0.0, state, slope, np.zeros(n), np.zeros((n, len(free))), np.zeros(len(system.switches)))


class Walk:
    """One pass over the intervals between changes; holds the state that evolves and nothing else.

    Parameters
    ----------
    system : System
    values : array of shape (n_parameters,)
    free : array of int, shape (n_free,)
        Parameters to differentiate by.
    changes : sequence of Change
        In order of time, none of them with a steady state to solve.
    tolerance : float
        Relative.
    scale : array of shape (n_states,)
        Order of magnitude of each state.
    begin : Begin, optional
        By default the start values. Its derivatives may have more columns than there are free parameters; those of the
        changes have as many.
    careful : bool
        Whether to control the error of the derivatives too: needed where states stand still and derivatives do not.
    driven : Driven, optional
        Covariates: numbers that change on the way. Start values are those of `values`.
    """

    def __init__(
        self,
        system: System,
        values: np.ndarray,
        free: np.ndarray,
        changes: Sequence[Change],
        tolerance: float,
        scale: np.ndarray,
        *,
        begin: Begin | None = None,
        careful: bool = False,
        driven: Driven | None = None,
    ) -> None:
        self.system, self.values, self.free, self.changes = system, values, free, changes
        self.first, self.driven = values, driven
        self.tolerance, self.scale, self.careful = tolerance, scale, careful
        begin = begin or beginning(system, values, free)
        self.now, self.state, self.slope = begin.time, begin.state, begin.slope
        self.rate, self.d_rate, self.switches = begin.rate, begin.d_rate, begin.switches
        infused = [begin.rate, *(change.rate for change in changes)]
        self.infused = tuple(i for i in range(len(system.states)) if any(rate[i] != 0 for rate in infused))

    def through(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States and slopes at sorted, unique `times`, each after the changes of that time."""
        n, columns = self.slope.shape
        states, slopes = np.empty((n, len(times))), np.empty((n, len(times), columns))
        pending = list(self.changes)
        while pending and pending[0].time < self.now:  # a switch of long ago: no dose lies before the begin
            self._turn_on(pending.pop(0))
        done = int(np.searchsorted(times, self.now))
        # start values are those at time 0 and before, so that a pre-dose row of one subject moves no other (L10)
        states[:, :done], slopes[:, :done] = self.state[:, None], self.slope[:, None]
        while done < len(times):
            while pending and pending[0].time <= self.now:
                self._apply(pending.pop(0))
            if times[done] == self.now:
                states[:, done], slopes[:, done] = self.state, self.slope
                done += 1
                continue
            until = min(pending[0].time, times[-1]) if pending else times[-1]
            inside = times[(times > self.now) & (times < until)]
            found, slope = self._interval(np.append(inside, until))
            k = done + len(inside)
            states[:, done:k], slopes[:, done:k] = found[:, :-1], slope[:, :-1]
            self.state, self.slope = found[:, -1], slope[:, -1]
            self.now, done = float(until), k
        return states, slopes

    def _interval(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States and slopes at `times`, all within one interval."""
        if len(self.state) == 0 or times[-1] - self.now <= MOMENT * max(1.0, abs(self.now)):
            return _repeated(self.state, times), _repeated(self.slope, times)
        program = self._program()
        interval = program.run(
            self.values, self.state, self.rate, self.switches, begin=self.now, times=times, tolerance=self.tolerance,
            careful=self.careful,
        )  # fmt: skip
        if not np.all(np.isfinite(interval.states)):
            raise SolveError(f"a state is not finite between {self.now:g} and {times[-1]:g}")
        return interval.states, self._slopes(program, interval, times)

    def _slopes(self, program: Program, interval: Interval, times: np.ndarray) -> np.ndarray:
        n, columns = self.slope.shape
        if interval.sensitivities is None:
            return np.zeros((n, len(times), columns))
        own = np.eye(len(self.free), columns)
        own = np.concatenate([own, np.zeros((len(program.inputs) - len(own), columns))])  # covariates are data
        seeds = np.concatenate([own, self.slope[list(program.starts)], self.d_rate[list(program.rates)]])
        return np.asarray(np.einsum("int,if->ntf", interval.sensitivities, seeds))

    def _program(self) -> Program:
        everything = tuple(range(len(self.system.parameters)))
        all_states = tuple(range(len(self.system.states)))
        if self.slope.shape[1] == 0:
            # without sensitivities an input costs nothing: one program for all draws, subjects and intervals
            rates = all_states if self.infused else ()
            return compile_program(
                self.system, self.values, everything, all_states, rates, self.scale, sensitivities=False
            )
        starts = tuple(i for i in all_states if self.state[i] != 0 or np.any(self.slope[i] != 0))
        free = tuple(int(i) for i in self.free)
        free += tuple(i for i in (self.driven.inputs if self.driven else ()) if i not in free)  # one program for all
        return compile_program(self.system, self.values, free, starts, self.infused, self.scale, sensitivities=True)

    def _apply(self, change: Change) -> None:
        if change.reset:
            start = beginning(self.system, self.first, self.free)
            self.state, self.slope, self.rate, self.d_rate = start.state, start.slope, start.rate, start.d_rate
        if change.factor is not None:
            self.state, self.slope = self.state * change.factor, self.slope * change.factor[:, None]
        moves = np.any(change.d_time != 0)
        before = self._rhs(change.time) if moves else None
        self.state = self.state + change.jump
        self.slope = self.slope + change.d_jump
        self.rate = without_residue(self.rate + change.rate, self.rate)
        self.d_rate = self.d_rate + change.d_rate
        self._turn_on(change)
        if before is not None:
            self.slope = self.slope + np.outer(before - self._rhs(change.time), change.d_time)

    def _turn_on(self, change: Change) -> None:
        if change.switch >= 0:
            self.switches = self.switches.copy()
            self.switches[change.switch] = 1.0
        if change.numbers is not None and self.driven is not None:
            self.values = self.values.copy()
            self.values[list(self.driven.changing)] = change.numbers

    def _rhs(self, time: float) -> np.ndarray:
        value = self.system.rhs_function.value(*self.state, *self.values, *self.switches, time)
        return np.asarray(value + self.rate)


def _repeated(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The same values at every time, as second dimension."""
    return np.stack([values] * len(times), axis=1)
