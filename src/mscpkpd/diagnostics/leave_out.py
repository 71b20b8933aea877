"""Leaving rows, subjects or studies out without fitting again: Pareto-smoothed importance sampling.

Vehtari, Gelman and Gabry, Stat Comput 2017;27:1413 (LOO); Vehtari, Simpson, Gelman, Yao and Gabry, J Mach Learn Res
2024;25(72) (smoothing, and the limit of k); Zhang and Stephens, Technometrics 2009;51:316 (the fit of the tail).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp

__all__ = ["LeftOut", "left_out", "limit_of", "smoothed"]

FEWEST = 5  # draws in a tail that can be fitted


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What the rest of the data predicts for each part that is left out.

    Attributes
    ----------
    elpd : array of shape (n_parts,)
        Log density of each part given all others; no unit but that of a log density.
    k : array of shape (n_parts,)
        Shape of the tail of its weights, dimensionless; above `limit` it is not to be trusted.
    p_loo : float
        Effective number of parameters, dimensionless.
    limit : float
        Of `k` [1], for this number of draws.
    weights : array of shape (n_draws, n_parts)
        Logarithms of normalised weights, dimensionless, that turn the draws into those without the part.
    """

    elpd: np.ndarray
    k: np.ndarray
    p_loo: float
    limit: float
    weights: np.ndarray

    @property
    def total(self) -> float:
        """Sum over all parts."""
        return float(np.sum(self.elpd))

    @property
    def error(self) -> float:
        """Standard error of the sum."""
        return float(np.sqrt(len(self.elpd) * np.var(self.elpd, ddof=1))) if len(self.elpd) > 1 else float("nan")

    @property
    def bad(self) -> np.ndarray:
        """Which parts are not to be trusted, shape (n_parts,)."""
        return np.asarray(~(self.k <= self.limit))


def limit_of(count: int) -> float:
    """Largest Pareto k at which so many draws still give a useful answer."""
    return float(min(1.0 - 1.0 / np.log10(max(count, 11)), 0.7))


def left_out(log_likelihood: np.ndarray, efficiency: float = 1.0) -> LeftOut:
    """Leave out one part after the other.

    Parameters
    ----------
    log_likelihood : array of shape (n_draws, n_parts)
        Of each part, independent of the others given a draw.
    efficiency : float
        Effective share of the draws [1].

    Returns
    -------
    LeftOut
    """
    weights, k = smoothed(-log_likelihood, efficiency)
    elpd = logsumexp(weights + log_likelihood, axis=0)
    count = len(log_likelihood)
    whole = logsumexp(log_likelihood, axis=0) - np.log(count)
    return LeftOut(np.asarray(elpd), k, float(np.sum(whole - elpd)), limit_of(count), weights)


def smoothed(log_ratios: np.ndarray, efficiency: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Normalise importance ratios with the largest of them replaced by quantiles of a Pareto distribution.

    Parameters
    ----------
    log_ratios : array of shape (n_draws, n_parts)
    efficiency : float
        Effective share of the draws [1].

    Returns
    -------
    weights : array of shape (n_draws, n_parts)
        Logarithms; each column sums to 1.
    k : array of shape (n_parts,)
        Infinite where the tail is too short to be fitted.
    """
    count = len(log_ratios)
    tail = int(np.ceil(min(0.2 * count, 3.0 * np.sqrt(count / efficiency))))
    weights, shapes = np.empty(log_ratios.shape), np.empty(log_ratios.shape[1])
    for j, column in enumerate(log_ratios.T):
        own = column - np.max(column)
        weights[:, j], shapes[j] = _tail_smoothed(own, tail)
    return weights - logsumexp(weights, axis=0), shapes


def _tail_smoothed(own: np.ndarray, tail: int) -> tuple[np.ndarray, float]:
    if tail < FEWEST or len(own) <= tail:
        return own, float("inf")
    if np.ptp(own) < 1e-12:  # a part that tells nothing changes no weight
        return own, float("-inf")
    order = np.argsort(own, kind="stable")
    cut = max(own[order[-tail - 1]], np.log(np.finfo(float).tiny))
    largest = order[-tail:]
    above = np.exp(own[largest]) - np.exp(cut)
    if np.ptp(own[largest]) < 1e-12:
        return own, float("-inf")
    shape, scale = _pareto(np.sort(above))
    out = own.copy()
    if np.isfinite(shape):
        places = (np.arange(tail) + 0.5) / tail
        with np.errstate(divide="ignore", over="ignore"):
            quantiles = scale * np.expm1(-shape * np.log1p(-places)) / shape if shape else -scale * np.log1p(-places)
            out[largest] = np.minimum(np.log(quantiles + np.exp(cut)), 0.0)
    return out, shape


def _pareto(ordered: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, by the estimator of Zhang and Stephens.

    The shape is drawn towards 0.5 with the weight of ten draws, as in the reference implementation.
    """
    n = len(ordered)
    grid = 30 + int(np.sqrt(n))
    at = np.arange(1, grid + 1) - 0.5
    quarter = ordered[int(n / 4 + 0.5) - 1]
    if quarter <= 0 or ordered[-1] <= 0:
        return float("inf"), float("nan")
    b = 1.0 / ordered[-1] + (1.0 - np.sqrt(grid / at)) / (3.0 * quarter)
    with np.errstate(invalid="ignore", divide="ignore"):
        shapes = np.mean(np.log1p(-b[:, None] * ordered), axis=1)
        likelihood = n * (np.log(-b / shapes) - shapes - 1.0)
    likelihood = np.where(np.isfinite(likelihood), likelihood, -np.inf)
    weights = np.exp(likelihood - logsumexp(likelihood))
    chosen = float(np.sum(b * weights))
    shape = float(np.mean(np.log1p(-chosen * ordered)))
    return (n * shape + 5.0) / (n + 10.0), -shape / chosen


def rows_with_trouble(found: LeftOut, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that cannot be left out without fitting again, the worst first.

    Parameters
    ----------
    found : LeftOut
        By row.
    rows : pandas.DataFrame
        Of `PointwiseLikelihood`.

    Returns
    -------
    pandas.DataFrame
    """
    table = rows.assign(elpd=found.elpd, pareto_k=found.k)
    return table[found.bad].sort_values("pareto_k", ascending=False, ignore_index=True)
