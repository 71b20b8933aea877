"""Linear equations through changes by matrix exponentials, exact to rounding, with derivatives."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import sympy
from scipy.linalg import expm, expm_frechet

from mscpkpd.engine.system import Numeric, System
from mscpkpd.engine.walk import Walk

__all__ = ["LinearWalk", "core_of"]


@lru_cache(maxsize=256)
def core_of(system: System) -> tuple[int, ...]:
    """Return the positions of the states that something depends on; the others only collect.

    Parameters
    ----------
    system : System

    Returns
    -------
    tuple of int
        In the order of the system.
    """
    left = dict(zip(system.state_symbols, system.rhs, strict=True))
    while True:
        used = set[sympy.Symbol]().union(*(rate.free_symbols for rate in left.values()))
        kept = {symbol: rate for symbol, rate in left.items() if symbol in used}
        if len(kept) == len(left):
            return tuple(i for i, symbol in enumerate(system.state_symbols) if symbol in kept)
        left = kept


class LinearWalk(Walk):
    """A pass over linear equations by matrix exponentials; states that only collect are left as they are."""

    def _interval(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        core, length = list(core_of(self.system)), float(times[-1]) - self.now
        matrices = _matrices(self.system)
        numbers = (*self.values, *self.switches)
        m = len(core)
        flow = self._generator(matrices.value(*numbers), self.rate[core])
        whole = expm(flow * length)
        state, slope = self.state.copy(), self.slope.copy()
        at = np.append(self.state[core], 1.0)
        state[core] = (whole @ at)[:m]
        slope[core] = whole[:m, :m] @ self.slope[core]
        moved = matrices.jacobian(*numbers)[:, self.free] if len(self.free) else np.zeros((0, 0))
        for k in range(len(self.free)):
            along = self._generator(moved[:, k], self.d_rate[core, k])
            if np.any(along):
                slope[core, k] += (expm_frechet(flow * length, along * length, compute_expm=False) @ at)[:m]
        return state[:, None], slope[:, None]

    def _generator(self, entries: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """The matrix whose exponential carries the states and a 1 below them."""
        m = len(rate)
        out = np.zeros((m + 1, m + 1))
        out[:m] = entries.reshape(m, m + 1)
        out[:m, m] += rate
        return out


@lru_cache(maxsize=256)
def _matrices(system: System) -> Numeric:
    """Coefficients of the rates by row, and the constants after them, as a function of parameters and switches."""
    core = core_of(system)
    symbols = [system.state_symbols[i] for i in core]
    empty = dict.fromkeys(system.state_symbols, sympy.Integer(0))
    entries = []
    for i in core:
        rate = sympy.expand(system.rhs[i])
        entries += [sympy.diff(rate, symbol) for symbol in symbols]
        entries.append(rate.xreplace(empty))
    return Numeric(entries, (*system.parameter_symbols, *(switch.symbol for switch in system.switches)))
