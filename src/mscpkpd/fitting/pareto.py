"""Pareto-smoothed importance weights (PSIS): weights whose tail is replaced by its fit, and how heavy that tail is.

Vehtari, Simpson, Gelman, Yao and Gabry 2024, Journal of Machine Learning Research 25(72); the generalised Pareto
distribution is fitted as Zhang and Stephens 2009 do, Technometrics 51, 316.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LIMIT", "smoothed"]

LIMIT = 0.7  # of the shape k: above it the weights say little, whatever their number
FEWEST = 5  # tail values that can be fitted
PRIOR_SCALE, PRIOR_COUNT = 3.0, 10.0


def smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Normalise importance weights and smooth their tail.

    Parameters
    ----------
    log_weights : array of shape (n,)
        Log of target over proposal, up to a constant; minus infinity is a weight of 0.

    Returns
    -------
    weights : array of shape (n,)
        Their sum is 1.
    k : float
        Shape of the tail; infinite where there is none to fit.
    """
    logs = np.asarray(log_weights, dtype=float)
    logs = logs - np.max(logs)
    count = int(np.ceil(min(0.2 * len(logs), 3.0 * np.sqrt(len(logs)))))
    order = np.argsort(logs, kind="stable")
    cutoff = max(float(logs[order[-count - 1]]), float(np.log(np.finfo(float).tiny)))
    tail = order[logs[order] > cutoff]
    k = np.inf
    if len(tail) >= FEWEST:
        above = np.exp(logs[tail]) - np.exp(cutoff)
        k, scale = _pareto(above)
        if np.isfinite(k):
            logs = logs.copy()
            logs[tail] = np.minimum(np.log(_quantiles(len(tail), k, scale) + np.exp(cutoff)), 0.0)
    weights = np.exp(logs - np.max(logs))
    return weights / weights.sum(), float(k)


def _pareto(above: np.ndarray) -> tuple[float, float]:
    """Shape and scale of sorted exceedances."""
    n = len(above)
    m = 30 + int(np.sqrt(n))
    b = 1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))
    b = b / (PRIOR_SCALE * above[int(n / 4 + 0.5) - 1]) + 1.0 / above[-1]
    k = np.mean(np.log1p(-b[:, None] * above), axis=1)
    profile = n * (np.log(-(b / k)) - k - 1.0)
    weight = 1.0 / np.sum(np.exp(profile - profile[:, None]), axis=1)
    real = weight >= 10 * np.finfo(float).eps
    weight, b = weight[real] / weight[real].sum(), b[real]
    best = float(np.sum(b * weight))
    shape = float(np.mean(np.log1p(-best * above)))
    return (n * shape + PRIOR_COUNT * 0.5) / (n + PRIOR_COUNT), -shape / best


def _quantiles(n: int, k: float, scale: float) -> np.ndarray:
    share = (np.arange(n) + 0.5) / n
    if abs(k) < np.finfo(float).eps:
        return np.asarray(-scale * np.log1p(-share))
    return np.asarray(scale * np.expm1(-k * np.log1p(-share)) / k)
