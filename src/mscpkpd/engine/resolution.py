"""How finely intervals are divided: chosen from the fastest rate, and finer where a solve says that it must be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mscpkpd.engine.compiled import Found
from mscpkpd.engine.propagator import REACH
from mscpkpd.engine.system import System
from mscpkpd.engine.traced import equations_of
from mscpkpd.errors import SolveError

__all__ = ["LEVELS", "MOST_LEVELS", "SHARE", "Resolution", "finer_than", "guessed", "met"]

# Few sizes, because each is compiled. Levels span a factor of 2^48 between the fastest rate and the longest interval.
LEVELS, MOST_LEVELS, MOST_STEPS = 2, 48, 16
# By the least tolerance that they are meant for: fastest rate times the first group of steps, steps in each group of
# one size, and points in each step. With the last, what is a millionth of what it was or will be keeps nine digits.
MEANT_FOR = ((1e-6, 4.0, 1, 8), (5e-9, 4.0, 2, 8), (0.0, 0.25, 4, 9))
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
    points : int
        Collocation points in each step.
    """

    levels: int
    steps: int = 4
    points: int = 9


def met(values: np.ndarray, changing: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
    """All parameters that intervals meet, a column for each that differs.

    Parameters
    ----------
    values : array of shape (n_parameters, n_subjects)
    changing : tuple of int
        Positions of those that change from one interval to the next.
    numbers : array of shape (n_changing, n_intervals, n_subjects)
        What they are; one subject may stand for all.

    Returns
    -------
    array of shape (n_parameters, n_columns)
        The same object where nothing changes.
    """
    if not changing:
        return values
    wide = np.repeat(values[:, None], numbers.shape[1], axis=1)
    wide[list(changing)] = numbers
    return np.unique(wide.reshape(len(values), -1), axis=1)


def guessed(
    system: System, values: np.ndarray, switches: np.ndarray, longest: np.ndarray, tolerance: float
) -> list[Resolution | None]:
    """Resolve the fastest constant rate of each subject, so that most solves need no second one.

    Parameters
    ----------
    system : System
        Equations.
    values : array of shape (n_parameters, n_subjects)
        In the order of the system.
    switches : array of shape (n_switches, n_intervals)
        0 before a switch, 1 from then on.
    longest : array of shape (n_subjects,) or (1,)
        Length of the longest interval.
    tolerance : float
        What may be left out.

    Returns
    -------
    list of Resolution or None
        None where a rate is not finite, or too fast.
    """
    equations, count = equations_of(system), values.shape[1]
    longest = np.broadcast_to(longest, count)
    size = len(equations.block)
    fastest = np.zeros(count)
    first, steps, points = _meant_for(tolerance)
    with np.errstate(all="ignore"):  # what is not finite is found below
        for pattern in np.unique(switches, axis=1).T:
            numbers = np.abs(equations.speeds.value(*values, *pattern, shape=(count,)))
            matrix = numbers[: size**2].reshape(size, size, count)
            for each in (matrix.sum(axis=0), numbers[size**2 :]):
                fastest = np.maximum(fastest, each.max(axis=0, initial=0.0))
        octaves = np.log2(np.maximum(fastest * longest / first, 1.0))
    coarse = np.where(np.isfinite(octaves), np.ceil(np.nan_to_num(octaves) / LEVELS), np.inf)
    levels = LEVELS * np.maximum(coarse, 2)
    return [Resolution(int(n), steps, points) if n <= MOST_LEVELS else None for n in levels]


def _meant_for(tolerance: float) -> tuple[float, int, int]:
    return next((first, steps, points) for least, first, steps, points in MEANT_FOR if tolerance >= least)


def finer_than(found: Found, k: int, resolution: Resolution, tolerance: float) -> Resolution:
    """Choose the next resolution to try; the same where it is enough.

    Parameters
    ----------
    found : Found
        Of several subjects.
    k : int
        One of them.
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
    reach, early, late = float(found.reach[k]), float(found.early[k]), float(found.late[k])
    if not (np.isfinite(reach) and np.isfinite(early) and np.isfinite(late)):
        raise SolveError("a state is not finite")
    levels, steps, points = resolution
    if reach > REACH or early > SHARE * tolerance:
        levels += 2 * LEVELS
    if late > SHARE * tolerance:
        steps *= 2
    if levels > MOST_LEVELS or steps > MOST_STEPS:
        raise SolveError(f"{levels} sizes of {steps} steps would be needed to resolve the states")
    return Resolution(levels, steps, points)
