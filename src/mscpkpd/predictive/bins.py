"""Bins of times for a visual predictive check (V2)."""

from __future__ import annotations

import numpy as np

from mscpkpd.errors import UsageError

__all__ = ["KINDS", "binned"]

KINDS = ("ties", "counts", "kmeans")
DEFAULT_COUNT = 8


def binned(times: np.ndarray, kind: str, count: int | None = None) -> np.ndarray:
    """Number the bin of each time, ascending.

    Parameters
    ----------
    times : array of shape (n_rows,)
        Any unit.
    kind : str
        "ties": one bin per distinct time. "counts": about equal numbers of rows; equal times stay together.
        "kmeans": clusters, so that gaps between planned visits become limits.
    count : int, optional
        Bins for "counts" and "kmeans"; 8 by default, never more than there are distinct times.

    Returns
    -------
    array of int, shape (n_rows,)

    Raises
    ------
    UsageError
        If the kind is unknown, or the number is given for "ties" or below 1.
    """
    if kind not in KINDS:
        raise UsageError(f"bins = '{kind}'", expected="one of " + ", ".join(f"'{each}'" for each in KINDS))
    if count is not None and (kind == "ties" or count < 1):
        expected = "none: each distinct time is a bin" if kind == "ties" else "1 or more"
        raise UsageError(f"{count} bins with bins = '{kind}'", expected=expected, hint="bins='counts'")
    distinct, inverse = np.unique(times, return_inverse=True)
    wanted = min(count or DEFAULT_COUNT, len(distinct))
    if kind == "ties" or wanted == len(distinct):
        return np.asarray(inverse)
    rows = np.bincount(inverse)
    label = _equal_numbers(rows, wanted) if kind == "counts" else _nearest(distinct, rows, wanted)
    return np.asarray(label[inverse])


def _equal_numbers(rows: np.ndarray, wanted: int) -> np.ndarray:
    """By the rows before the middle of each time, so that equal times stay together."""
    middle = np.cumsum(rows) - rows / 2
    raw = np.minimum((wanted * middle / rows.sum()).astype(int), wanted - 1)
    return np.unique(raw, return_inverse=True)[1]


def _nearest(distinct: np.ndarray, rows: np.ndarray, wanted: int) -> np.ndarray:
    """The partition into intervals with the least sum of squares, found exactly, interval by interval."""
    n, distinct = len(distinct), distinct - np.average(distinct, weights=rows)
    weight, first, second = (np.concatenate([[0.0], np.cumsum(rows * distinct**power)]) for power in (0, 1, 2))

    def spread(i: np.ndarray, j: int) -> np.ndarray:
        """Sum of squares about the mean of the times i to j - 1."""
        total, moment = weight[j] - weight[i], first[j] - first[i]
        return np.asarray(second[j] - second[i] - moment**2 / total)

    cost, cut = np.full((wanted + 1, n + 1), np.inf), np.zeros((wanted + 1, n + 1), dtype=int)
    cost[0, 0] = 0.0
    for k in range(1, wanted + 1):
        for j in range(k, n + 1):
            begins = np.arange(k - 1, j)
            sums = cost[k - 1, begins] + spread(begins, j)
            best = int(np.argmin(sums))
            cost[k, j], cut[k, j] = sums[best], begins[best]
    labels, j = np.zeros(n, dtype=int), n
    for k in range(wanted, 0, -1):
        labels[cut[k, j] : j] = k - 1
        j = cut[k, j]
    return labels
