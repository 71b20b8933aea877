"""Log densities of rows that have a probability instead of a noise: k of n positive or alive, and events (Q4, Q7).

All of it stays in logarithms: a prediction a thousand standard deviations from what was seen has a finite density and
slope.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from mscpkpd.problem import Problem
from mscpkpd.tails import HALF_LOG_2PI, log_normal_cdf

__all__ = ["Counted", "counted_rows", "log_choose", "probabilities", "scores"]

TINY = 1e-30  # keeps the logarithm of a prediction finite where the model says zero


class Counted(NamedTuple):
    """Log density of rows, its derivative by their predictions, and the expected information about them."""

    value: np.ndarray
    slope: np.ndarray
    information: np.ndarray


def log_choose(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Logarithm of the number of ways to take k of n."""
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def scores(problem: Problem, f: np.ndarray, values: Mapping[str, float], mine: np.ndarray) -> np.ndarray:
    """Probits of detection of some rows: (log f - log lod)/s, shape (n_mine,)."""
    lod, s = _limits(problem, values, mine)
    return np.asarray((np.log(np.maximum(f[mine], TINY)) - np.log(lod)) / s)


def counted_rows(problem: Problem, f: np.ndarray, values: Mapping[str, float], mine: np.ndarray) -> Counted:
    """Log density of rows of one kind: "positive", "alive" or "event".

    Parameters
    ----------
    problem : Problem
    f : array of shape (n_rows,)
        Predictions of all rows.
    values : mapping of str to float
        Parameters.
    mine : array of int, shape (n_mine,)
        Rows.

    Returns
    -------
    Counted
        The information of an event is NaN: its prediction is the log density itself.
    """
    rows, kind = problem.rows, str(problem.rows.kind[mine[0]])
    if kind == "event":
        nothing = np.full(len(mine), np.nan)
        return Counted(f[mine], np.where(np.isfinite(f[mine]), 1.0, np.nan), nothing)
    k, n = rows.value[mine], rows.count[mine]
    if kind == "alive":
        return _alive(f[mine], k, n)
    u = scores(problem, f, values, mine)
    s = _limits(problem, values, mine)[1]
    by_f = np.where(f[mine] > TINY, 1.0 / np.maximum(f[mine], TINY), 0.0) / s
    return _positive(u, by_f, k, n)


def probabilities(problem: Problem, f: np.ndarray, values: Mapping[str, float], mine: np.ndarray) -> np.ndarray:
    """Probability of one animal to be positive or alive, for rows of one such kind, shape (n_mine,)."""
    if problem.rows.kind[mine[0]] == "alive":
        return np.asarray(np.exp(-np.maximum(f[mine], 0.0)))
    return np.asarray(np.exp(log_normal_cdf(scores(problem, f, values, mine))))


def _limits(problem: Problem, values: Mapping[str, float], mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, found = problem.rows, np.ones((2, len(problem.rows)))
    for k in np.unique(rows.output[mine]):
        detection = problem.model.output(rows.outputs[k]).detection
        if detection is not None:
            found[:, rows.output == k] = np.array(detection.of(values), dtype=float)[:, None]
    return found[0, mine], found[1, mine]


def _positive(u: np.ndarray, by_f: np.ndarray, k: np.ndarray, n: np.ndarray) -> Counted:
    """Of n, k positive, each with probability Phi(u)."""
    log_p, log_q = log_normal_cdf(u), log_normal_cdf(-u)
    log_density = -HALF_LOG_2PI - 0.5 * u**2
    up, down = np.exp(log_density - log_p), np.exp(log_density - log_q)
    value = log_choose(k, n) + _times(k, log_p) + _times(n - k, log_q)
    slope = (_times(k, up) - _times(n - k, down)) * by_f
    return Counted(value, slope, n * np.exp(2 * log_density - log_p - log_q) * by_f**2)


def _alive(gained: np.ndarray, k: np.ndarray, n: np.ndarray) -> Counted:
    """Of n, k alive, each with probability exp(-H)."""
    h = np.maximum(gained, TINY)  # rounding of a solver may leave less than nothing
    per_death = np.exp(-h) / -np.expm1(-h)
    value = log_choose(k, n) - _times(k, h) + _times(n - k, np.log(-np.expm1(-h)))
    return Counted(value, -k + _times(n - k, per_death), n * per_death)


def _times(count: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A product that is 0 where nobody was counted, whatever the other factor."""
    return np.asarray(np.where(count == 0, 0.0, count * np.where(count == 0, 0.0, x)))
