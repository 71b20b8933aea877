"""The terminal phase: which last values, and how fast they fall (N5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "Line", "initial_line", "line_through", "terminal_line"]

FEWEST = 3
TOLERANCE = 1e-4  # of the adjusted R2, within which more points are better
FLAT = 1e-9  # a fall of the logarithm that is rounding


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through logarithms of values.

    Attributes
    ----------
    slope : float
        Of ln(value) [1/unit of time].
    start : float
        ln(value) at time 0 [1].
    r2, adjusted : float
        R2 and adjusted R2 [1].
    times : tuple of float
        Times of the points used.
    """

    slope: float
    start: float
    r2: float
    adjusted: float
    times: tuple[float, ...]

    @property
    def rate(self) -> float:
        """How fast the values fall [1/unit of time]."""
        return -self.slope

    def at(self, time: float) -> float:
        """Value of the line at a time, in the unit of the values."""
        return float(np.exp(self.start + self.slope * time))


def line_through(time: np.ndarray, value: np.ndarray) -> Line:
    """Fit ln(value) by least squares; at least 3 points with different times."""
    logs = np.log(value)
    centre, level = np.mean(time), np.mean(logs)
    slope = float(np.sum((time - centre) * (logs - level)) / np.sum((time - centre) ** 2))
    total = float(np.sum((logs - level) ** 2))
    rest = float(np.sum((logs - level - slope * (time - centre)) ** 2))
    n = len(time)
    r2 = 1 - rest / total if total > 0 else 0.0
    adjusted = 1 - (1 - r2) * (n - 1) / (n - 2)
    return Line(slope, float(level - slope * centre), r2, adjusted, tuple(float(t) for t in time))


def terminal_line(time: np.ndarray, value: np.ndarray, *, after: float, with_peak: bool) -> Line | str:
    """Choose the last points of best adjusted R2 (N5).

    Parameters
    ----------
    time, value : array of shape (n,)
        Quantifiable values.
    after : float
        Points before this time do not count: the end of an infusion, or of values above their limit.
    with_peak : bool
        Whether the largest value may be one of them.

    Returns
    -------
    Line or str
        The line, or why there is none.
    """
    if len(time) == 0:
        return "no quantifiable value"
    peak = float(time[int(np.argmax(value))])
    allowed = (time >= after) & ((time >= peak) if with_peak else (time > peak))
    t, c = time[allowed], value[allowed]
    if len(t) < FEWEST:
        where = "from Cmax on" if with_peak else "after Cmax"
        return f"{len(t)} quantifiable value{'' if len(t) == 1 else 's'} {where}, lambda_z needs 3"
    lines = [line_through(t[-n:], c[-n:]) for n in range(FEWEST, len(t) + 1)]
    falling = [line for line in lines if line.slope * (line.times[-1] - line.times[0]) < -FLAT]
    if not falling:
        return "the last values do not fall"
    return _best(falling)


def initial_line(time: np.ndarray, value: np.ndarray) -> Line | str:
    """Choose the first points of best adjusted R2: the mirror image of N5 (T10).

    Parameters
    ----------
    time, value : array of shape (n,)
        Quantifiable values from Cmax to the one before the terminal phase.

    Returns
    -------
    Line or str
        The line, or why there is none.
    """
    if len(time) < FEWEST:
        count = f"{len(time)} value{'' if len(time) == 1 else 's'}"
        return f"{count} from Cmax to the terminal phase, an initial half-life needs 3"
    return _best([line_through(time[:n], value[:n]) for n in range(FEWEST, len(time) + 1)])


def _best(lines: list[Line]) -> Line:
    """Best adjusted R2; within the tolerance of it the most points."""
    best = max(line.adjusted for line in lines)
    return max((line for line in lines if line.adjusted >= best - TOLERANCE), key=lambda line: len(line.times))
