"""Areas under a curve given at points: linear, or linear up and logarithmic down (N4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["area", "interpolated", "moment", "steps_area", "steps_moment", "trapezoid_weights"]

SERIES = 1e-2  # below this exponent the closed form of a moment loses digits to cancellation


def area(time: np.ndarray, value: np.ndarray, *, log: bool) -> float:
    """Return the area under a curve.

    Parameters
    ----------
    time, value : array of shape (n,)
        Ascending times and values, in any units.
    log : bool
        Whether falling steps are exponential; else all are straight lines.

    Returns
    -------
    float
        In the unit of value times time; 0 for one point.
    """
    return float(np.sum(steps_area(time, value, log=log)))


def moment(time: np.ndarray, value: np.ndarray, *, log: bool) -> float:
    """Return the area under time times value, with the same steps as `area`."""
    return float(np.sum(steps_moment(time, value, log=log)))


def steps_area(time: np.ndarray, value: np.ndarray, *, log: bool) -> np.ndarray:
    """Area of each step, array of shape (n - 1,): (c1 - c2)/k where it falls exponentially, else the trapezoid."""
    width, left, right = np.diff(time), value[:-1], value[1:]
    areas = width * (left + right) / 2
    falls = _falls(left, right) & log
    drop = left[falls] - right[falls]
    areas[falls] = drop * width[falls] / np.log1p(drop / right[falls])
    return np.asarray(areas)


def steps_moment(time: np.ndarray, value: np.ndarray, *, log: bool) -> np.ndarray:
    """Area under time times value of each step, array of shape (n - 1,)."""
    width, left, right = np.diff(time), value[:-1], value[1:]
    # t*c at both ends, as everybody computes it, also where both t and c change
    moments = width * (time[:-1] * left + time[1:] * right) / 2
    falls = _falls(left, right) & log
    drop = left[falls] - right[falls]
    x = np.log1p(drop / right[falls])
    within = left[falls] * width[falls] ** 2 * _mean_place(x)
    moments[falls] = time[:-1][falls] * drop * width[falls] / x + within
    return np.asarray(moments)


def _falls(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left > right * (1 + 1e-9)) & (right > 0))


def _mean_place(x: np.ndarray) -> np.ndarray:
    """Integral of s exp(-x s) over s from 0 to 1, to all digits also for small x."""
    series = 1 / 2 - x / 3 + x**2 / 8 - x**3 / 30 + x**4 / 144 - x**5 / 840
    safe = np.where(x > SERIES, x, 1.0)
    return np.where(x > SERIES, (1 - np.exp(-safe) * (1 + safe)) / safe**2, series)


def interpolated(time: np.ndarray, value: np.ndarray, at: float, *, log: bool) -> float:
    """Return the value of the curve at a time between its ends, on the same steps as `area`."""
    k = min(int(np.searchsorted(time, at, side="right")) - 1, len(time) - 2)
    if time[k] == at:
        return float(value[k])
    share = (at - time[k]) / (time[k + 1] - time[k])
    if log and bool(_falls(value[k : k + 1], value[k + 1 : k + 2])[0]):
        return float(value[k] * (value[k + 1] / value[k]) ** share)
    return float((1 - share) * value[k] + share * value[k + 1])


def trapezoid_weights(time: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the weight of each value in the linear area from `start` to `end`.

    Parameters
    ----------
    time : array of shape (n,)
        Ascending times.
    start, end : float
        Limits in the unit of `time`, both within it.

    Returns
    -------
    array of shape (n,)
        In the unit of time; the area is their product with the values (N9).
    """
    weights = np.zeros(len(time))
    for k, (left, right) in enumerate(pairwise(time)):
        low, high = max(left, start), min(right, end)
        if low < high:
            share = ((low + high) / 2 - left) / (right - left)
            weights[k] += (high - low) * (1 - share)
            weights[k + 1] += (high - low) * share
    return weights
