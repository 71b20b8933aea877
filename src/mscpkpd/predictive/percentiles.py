"""Percentiles of values some of which are only known to lie below or above all others."""

from __future__ import annotations

import numpy as np

__all__ = ["TYPES", "percentiles"]

TYPES = {7: (1.0, -1.0), 6: (0.0, 1.0)}  # position of the share p among n ordered values: a + p (n + b), from 1 (V3)


def percentiles(values: np.ndarray, shares: np.ndarray, kind: int = 7) -> np.ndarray:
    """Percentiles along the last dimension; infinite values are ranked, never averaged (V6).

    Parameters
    ----------
    values : array of shape (..., n)
        -inf for what lies below all others, inf for what lies above.
    shares : array of shape (n_shares,)
        Between 0 and 1.
    kind : int
        7 or 6 of Hyndman and Fan (V3).

    Returns
    -------
    array of shape (..., n_shares)
        -inf where a percentile falls among values that lie below.
    """
    ordered = np.sort(values, axis=-1)
    n = values.shape[-1]
    a, b = TYPES[kind]
    place = np.clip(a + np.asarray(shares) * (n + b), 1.0, n) - 1.0
    low = np.floor(place + 1e-12).astype(int)
    part = np.where(np.abs(place - low) < 1e-12, 0.0, place - low)
    first, second = ordered[..., low], ordered[..., np.minimum(low + 1, n - 1)]
    with np.errstate(invalid="ignore"):
        between = first + part * (second - first)
    # between a value and what is not quantified there is nothing to average: the percentile is not quantified
    unknown = np.where(np.isinf(first), first, second)
    ranked = np.where(part == 0, first, np.where(np.isinf(first) | np.isinf(second), unknown, between))
    return np.asarray(ranked)
