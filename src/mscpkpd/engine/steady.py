"""Steady states: what endless equal doses leave in the states, solved and never approached by counting doses (E31).

The states x just before a dose are a fixed point of one interval: Phi(x) = x. Newton's method finds it with the
derivatives of Phi by x, which the flow carries along; for linear equations, whose flow is a matrix exponential, its
first step is exact. The derivatives by the parameters follow from those of one interval,

    dx/dtheta = (1 - dPhi/dx)^-1 dPhi/dtheta,

so that gradients go through a steady state without approximation. An endless infusion (E27) is the same with the rates
of change in place of Phi(x) - x. What a system conserves (a receptor, free and bound) keeps its start value. A state
that only collects, such as an amount eliminated, has no steady state: it begins again at its start value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import sympy
from scipy.linalg import matrix_balance

from mscpkpd.engine.course import Driven
from mscpkpd.engine.linear import LinearWalk, core_of
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import TIME, System
from mscpkpd.engine.timeline import Change, Steady
from mscpkpd.engine.walk import Begin, Walk, beginning
from mscpkpd.errors import SolveError

__all__ = ["collecting", "settled", "superposes"]

# E31 asks for 1e-8: the last step of Newton's method is a tenth of that, and each interval is solved finer than the
# rest of a trajectory, because an error in it grows by the accumulation ratio.
LAST_STEP, FINER, FINEST = 1e-9, 1e-2, 1e-12
STALLED = 100.0  # multiple of the last step at which rounding alone may hold the method up
MOST_STEPS, MOST_HALVINGS, FIRST_INTERVALS = 40, 8, 2
CONSERVED = 1e-10  # a rate of return that is so small beside the fastest is none
UNSTABLE = 1e-6  # by so much an error may grow in one interval
NEGLIGIBLE = 1e-9  # a state whose usual size is that of rounding in the largest one is not followed to its last digits
NOTHING = 1e-14  # an amount below zero by less than this share of the usual size is rounding
SMALL = 1e-3  # amounts below this share of the usual size of a state are compared with the size
BOUNDARY = 0.9  # an amount goes at most so far towards zero in one step


def settled(
    system: System,
    changes: Sequence[Change],
    values: np.ndarray,
    free: np.ndarray,
    tolerance: float,
    scale: np.ndarray,
    *,
    driven: Driven | None = None,
) -> tuple[Change, ...]:
    """Solve every steady state of a timeline.

    Parameters
    ----------
    system : System
        Equations.
    changes : sequence of Change
        In order of time.
    values : array of shape (n_parameters,)
        In the order of the system.
    free : array of int, shape (n_free,)
        Positions of the parameters to differentiate by.
    tolerance : float
        Relative tolerance of the solve that follows.
    scale : array of shape (n_states,)
        Order of magnitude of each state.
    driven : Driven, optional
        Covariates; in each steady state they are those in force at its time.

    Returns
    -------
    tuple of Change
        Each steady state is now a jump with its derivatives: onto the start values where the change resets (E21),
        onto the present state otherwise (E28).

    Raises
    ------
    SolveError
        Where there is no steady state, with the dose, the state and how much it still changes.

    Notes
    -----
    Conventions E21 to E31. Switches are those in force at the time of the dose.
    """
    switches = np.zeros(len(system.switches))
    found = []
    for change in changes:
        if change.switch >= 0:
            switches[change.switch] = 1.0
        if change.steady is not None:
            settling = _Settling(
                system, change, change.steady, values if change.steady.values is None else change.steady.values, free,
                switches=_on_at(changes, change.time, switches), tolerance=tolerance, scale=scale, driven=driven,
            )  # fmt: skip
            found.append(settling.change())
        else:
            found.append(change)
    return tuple(found)


def _on_at(changes: Sequence[Change], time: float, switches: np.ndarray) -> np.ndarray:
    """Switches at a time, those of this very time included: they stand after the doses in a timeline."""
    on = switches.copy()
    for change in changes:
        if change.switch >= 0 and change.time <= time:
            on[change.switch] = 1.0
    return on


def collecting(system: System) -> tuple[str, ...]:
    """States that only collect: neither their own rate nor that of another state depends on them.

    Parameters
    ----------
    system : System

    Returns
    -------
    tuple of str
        Such states, and those on which only such states depend.
    """
    core = set(core_of(system))
    return tuple(name for i, name in enumerate(system.states) if i not in core)


@lru_cache(maxsize=256)
def superposes(system: System) -> bool:
    """Say whether responses add up, as SS = 2 takes for granted (E28): linear rates without a constant or the time.

    Parameters
    ----------
    system : System

    Returns
    -------
    bool
    """
    empty = dict.fromkeys(system.state_symbols, sympy.Integer(0))
    still = all(rate.xreplace(empty) == 0 for rate in system.rhs) and all(value == 0 for value in system.start)
    return still and set(system.states) <= set(solving_order(system).linear)


def _names_time(system: System) -> bool:
    return any(TIME in rate.free_symbols for rate in system.rhs)


@dataclass(frozen=True)
class _Residual:
    """What must become zero at a steady state, and its derivatives by the states and by the free parameters."""

    value: np.ndarray
    by_state: np.ndarray
    by_free: np.ndarray


class _Settling:
    """Solves one steady state."""

    def __init__(
        self,
        system: System,
        change: Change,
        steady: Steady,
        values: np.ndarray,
        free: np.ndarray,
        *,
        switches: np.ndarray,
        tolerance: float,
        scale: np.ndarray,
        driven: Driven | None,
    ) -> None:
        self.driven = driven
        self.system, self.at, self.steady, self.values, self.free = system, change, steady, values, free
        self.switches, self.scale = switches, scale
        self.core = list(core_of(system))
        size = scale[self.core]
        self.size = np.maximum(size, NEGLIGIBLE * np.max(size, initial=0.0))
        self.start = beginning(system, values, free)
        self.linear = {system.states[i] for i in self.core} <= set(solving_order(system).linear)
        self.tolerance = max(FINER * tolerance, FINEST)
        self.last_step = max(LAST_STEP, 10 * self.tolerance)

    def change(self) -> Change:
        """The change with the steady state as a jump."""
        state, slope = np.zeros_like(self.start.state), np.zeros_like(self.start.slope)
        if self.core:
            state[self.core], slope[self.core] = self._solved()
        if self.at.reset:
            state[self.core] -= self.start.state[self.core]
            slope[self.core] -= self.start.slope[self.core]
        return replace(self.at, jump=self.at.jump + state, d_jump=self.at.d_jump + slope, steady=None)

    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        residual = self._equilibrium if self.steady.interval == 0 else self._interval
        x, last = self._newton(residual)
        self._check(x, last)
        began, d_began = self.start.state[self.core], self.start.slope[self.core]
        moved = _step(last.by_state, -last.by_free, d_began)
        x = x + _step(last.by_state, -last.value, began - x)
        return np.where((x < 0) & (x > -NOTHING * self.size) & (began >= 0), 0.0, x), moved

    # ---- Newton's method ---------------------------------------------------------------------------------------------

    def _newton(self, residual: Callable[[np.ndarray], _Residual]) -> tuple[np.ndarray, _Residual]:
        """The root, but for a last step."""
        began = self.start.state[self.core]
        x = self._guess(residual)
        now = residual(x)
        relative = np.inf
        for _ in range(MOST_STEPS):
            step = _step(now.by_state, -now.value, began - x)
            relative = float(np.max(np.abs(step) / (np.abs(x) + SMALL * self.size)))
            if relative <= self.last_step:
                break
            taken = self._taken(residual, x, step, now)
            if taken is None:
                break
            x, now = taken
        enough = STALLED * self.last_step
        # what the equations conserve may leave a rest that no step removes: doses that pile up
        if relative <= enough and np.all(np.abs(now.value) <= enough * (np.abs(x) + SMALL * self.size)):
            return x, now
        raise self._failure(now)

    def _guess(self, residual: Callable[[np.ndarray], _Residual]) -> np.ndarray:
        """Where the method begins: the start values, or a few doses later where equations are not linear."""
        x = self.start.state[self.core]
        if self.linear or self.steady.interval == 0:
            return x
        for _ in range(FIRST_INTERVALS):
            x = x + residual(x).value
        return x

    def _taken(
        self, residual: Callable[[np.ndarray], _Residual], x: np.ndarray, step: np.ndarray, now: _Residual
    ) -> tuple[np.ndarray, _Residual] | None:
        """A step that brings the root nearer; shorter ones are tried where the whole one does not."""
        length = 1.0 if self.linear else _inside(x, step, self.size)
        for _ in range(MOST_HALVINGS):
            try:
                after = residual(x + length * step)
            except SolveError:
                after = None
            if after is not None and (self.linear or self._far(after) < self._far(now)):
                return x + length * step, after
            length /= 2
        return None

    def _far(self, residual: _Residual) -> float:
        return float(np.max(np.abs(residual.value) / self.size)) if np.all(np.isfinite(residual.value)) else np.inf

    # ---- what becomes zero -------------------------------------------------------------------------------------------

    def _equilibrium(self, x: np.ndarray) -> _Residual:
        """E27: rates of change under a constant infusion."""
        state = self.start.state.copy()
        state[self.core] = x
        inputs = (*state, *self.values, *self.switches, self.at.time)
        rhs = self.system.rhs_function
        value = (rhs.value(*inputs) + self.steady.rate)[self.core]
        jacobian = rhs.jacobian(*inputs)[self.core]
        n = len(self.start.state)
        by_free = jacobian[:, n + self.free] + self.steady.d_rate[self.core]
        return _Residual(value, jacobian[:, self.core], by_free)

    def _interval(self, x: np.ndarray) -> _Residual:
        """What one interval changes."""
        m, n_free = len(self.core), len(self.free)
        state, slope = self.start.state.copy(), np.zeros((len(self.start.state), n_free + m))
        state[self.core] = x
        slope[self.core, n_free:] = np.eye(m)
        since = self.at.time - self.steady.interval if _names_time(self.system) else 0.0
        d_rate = _padded(self.steady.d_rate, slope.shape[1])
        begin = Begin(since, state, slope, self.steady.rate, d_rate, self.switches)
        changes = [_shifted(change, since, slope.shape[1]) for change in self.steady.changes]
        pass_through = LinearWalk if self.linear else Walk
        walk = pass_through(
            self.system, self.values, self.free, changes, self.tolerance, self.scale, begin=begin, careful=True,
            driven=self.driven,
        )  # fmt: skip
        ends, slopes = walk.through(np.array([since + self.steady.interval]))
        moved = slopes[self.core, 0]
        return _Residual(ends[self.core, 0] - x, moved[:, n_free:] - np.eye(m), moved[:, :n_free])

    # ---- whether it is one -------------------------------------------------------------------------------------------

    def _check(self, x: np.ndarray, last: _Residual) -> None:
        """Refuse what endless doses would never reach: a state that is not finite, or from which they lead away."""
        if self.steady.interval == 0:
            roots = np.linalg.eigvals(last.by_state)
            away = np.max(roots.real) > UNSTABLE * np.max(np.abs(roots))
        else:
            away = np.max(np.abs(np.linalg.eigvals(last.by_state + np.eye(len(x))))) > 1 + UNSTABLE
        if away:
            raise SolveError(f"{self._no_state}: doses would lead away from it")
        began = self.start.state[self.core]
        below = np.flatnonzero((x < -STALLED * self.last_step * self.size) & (began >= 0))
        if len(below) and not self.linear:
            name = self.system.states[self.core[int(below[0])]]
            raise SolveError(f"{self._no_state}: '{name}' would be {x[below[0]]:.3g}")
        if self.steady.interval > 0 and _names_time(self.system) and not self._periodic(x):
            raise SolveError(f"{self._no_state}: the rates name the time t and differ from one interval to the next")

    def _periodic(self, x: np.ndarray) -> bool:
        state = self.start.state.copy()
        state[self.core] = x
        rhs, interval = self.system.rhs_function, self.steady.interval
        for phase in np.linspace(0.0, interval, 7):
            one, other = (
                rhs.value(*state, *self.values, *self.switches, self.at.time + phase - back)[self.core]
                for back in (interval, 0.0)
            )
            if not np.allclose(one, other, rtol=1e-9, atol=1e-9 * float(np.max(np.abs(other)))):
                return False
        return True

    @property
    def _no_state(self) -> str:
        return f"no steady state before the {self.steady.name} (E31)"

    def _failure(self, last: _Residual) -> SolveError:
        """Names the state that runs away: the one most along the direction in which the equations hold least."""
        if not (np.all(np.isfinite(last.value)) and np.all(np.isfinite(last.by_state))):
            return SolveError(f"{self._no_state}: the states of one interval are not finite")
        balanced, unit = _balanced(last.by_state)
        u, _, v = np.linalg.svd(balanced)
        worst = int(np.argmax(np.abs(v[-1] * u[:, -1])))
        left = float(u[:, -1] @ (last.value / unit) / (u[worst, -1] / unit[worst]))
        within = f"in an interval of {self.steady.interval:g}" if self.steady.interval else "per unit of time"
        name = self.system.states[self.core[worst]]
        return SolveError(f"{self._no_state}: '{name}' still changes by {left:.3g} {within}")


def _step(jacobian: np.ndarray, wanted: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Solve jacobian @ step = wanted; along what the equations conserve, the step leads where `onto` says."""
    if not np.all(np.isfinite(jacobian)) or not np.all(np.isfinite(wanted)):
        return np.full_like(wanted, np.nan)
    balanced, unit = _balanced(jacobian)
    right, target = (wanted.T / unit).T, (onto.T / unit).T
    conserved = _conserved(jacobian)
    if conserved == 0:
        try:
            return np.asarray((np.linalg.solve(balanced, right).T * unit).T)
        except np.linalg.LinAlgError:
            return np.full_like(wanted, np.nan)
    u, s, v = np.linalg.svd(balanced)
    kept = len(s) - conserved
    step = v[:kept].T @ ((u[:, :kept].T @ right).T / s[:kept]).T
    laws, along = u[:, kept:].T, v[kept:].T
    step = step + along @ np.linalg.lstsq(laws @ along, laws @ (target - step), rcond=None)[0]
    return np.asarray((step.T * unit).T)


def _balanced(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix in units of the states in which its rows and columns are alike, and these units."""
    balanced, (unit, _) = matrix_balance(jacobian, permute=False, separate=True)
    return np.asarray(balanced), np.asarray(unit)


def _conserved(jacobian: np.ndarray) -> int:
    """How many quantities the equations conserve."""
    roots = np.abs(np.linalg.eigvals(jacobian))
    return int(np.sum(roots <= CONSERVED * np.max(roots)))


def _inside(x: np.ndarray, step: np.ndarray, size: np.ndarray) -> float:
    """How much of a step may be taken without an amount above zero falling to zero or below."""
    falling = (x > 1e-9 * size) & (step < 0)
    return float(min(1.0, np.min(BOUNDARY * x[falling] / -step[falling], initial=np.inf)))


def _padded(slope: np.ndarray, columns: int) -> np.ndarray:
    """The same derivatives, and zeros by what they do not depend on."""
    out = np.zeros((*slope.shape[:-1], columns))
    out[..., : slope.shape[-1]] = slope
    return out


def _shifted(change: Change, by: float, columns: int) -> Change:
    return replace(
        change,
        time=change.time + by,
        d_time=_padded(change.d_time, columns),
        d_jump=_padded(change.d_jump, columns),
        d_rate=_padded(change.d_rate, columns),
    )
