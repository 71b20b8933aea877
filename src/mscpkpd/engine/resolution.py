"""How finely intervals are divided: chosen from the fastest rate, and finer where a solve says that it must be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mscpkpd.engine.compiled import Found
from mscpkpd.engine.intervals import Intervals
from mscpkpd.engine.propagator import REACH
from mscpkpd.engine.system import System
from mscpkpd.engine.traced import equations_of
from mscpkpd.errors import SolveError

__all__ = ["LEVELS", "Resolution", "finer_than", "guessed"]

# Few sizes, because each is compiled. Levels span a factor of 2^48 between the fastest rate and the longest interval.
LEVELS, MOST_LEVELS, MOST_STEPS = 8, 48, 12
# The last coefficient of a polynomial is about ten times what it leaves out, in steps as short as these.
SHARE = 10.0


class Resolution(NamedTuple):
    """How finely intervals are divided.

    Attributes
    ----------
    levels : int
        How often the size of the steps doubles.
    steps : int
        Steps in each group of one size.
    """

    levels: int
    steps: int = 3


def guessed(system: System, values: np.ndarray, intervals: Intervals) -> Resolution:
    """Resolve the fastest constant rate, so that most solves need no second one.

    Parameters
    ----------
    system : System
        Equations.
    values : array of shape (n_parameters,)
        In the order of the system.
    intervals : Intervals
        What changes when.

    Returns
    -------
    Resolution

    Raises
    ------
    SolveError
        If a rate is not finite, or too fast.
    """
    equations, unknown = equations_of(system), [np.nan] * len(system.states)
    fastest = 0.0
    for switches in np.unique(intervals.switches, axis=1).T:
        matrix = np.array(equations.matrix(*values, *switches), dtype=float).reshape((len(equations.block),) * 2)
        fastest = max(fastest, np.abs(matrix).sum(axis=0).max(initial=0.0))
        for rank in equations.ranks:
            if rank.constant:
                fastest = max(fastest, *map(abs, map(float, rank.losses(*unknown, *values, *switches, np.nan))))
    octaves = np.log2(max(fastest * intervals.lengths.max() / REACH, 1.0))
    if not np.isfinite(octaves):
        raise SolveError("a rate is not finite")
    return _bounded(Resolution(LEVELS * max(2, int(np.ceil(octaves / LEVELS)))))


def finer_than(found: Found, resolution: Resolution, tolerance: float) -> Resolution:
    """Choose the next resolution to try; the same where it is enough.

    Parameters
    ----------
    found : Found
        Of one subject.
    resolution : Resolution
        It was solved with.
    tolerance : float
        What may be left out.

    Returns
    -------
    Resolution

    Raises
    ------
    SolveError
        If a state is not finite, or the steps would have to be too many.
    """
    reach, early, late = float(found.reach), float(found.early), float(found.late)
    if not (np.isfinite(reach) and np.isfinite(early) and np.isfinite(late)):
        raise SolveError("a state is not finite")
    levels, steps = resolution
    if reach > REACH or early > SHARE * tolerance:
        levels += LEVELS
    if late > SHARE * tolerance:
        steps *= 2
    return _bounded(Resolution(levels, steps))


def _bounded(resolution: Resolution) -> Resolution:
    levels, steps = resolution
    if levels > MOST_LEVELS or steps > MOST_STEPS:
        raise SolveError(f"{levels} sizes of {steps} steps would be needed to resolve the states")
    return resolution
