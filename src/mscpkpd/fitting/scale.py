"""Predictions and observations of a problem on the scale on which the error of each row is additive (R6, R7, B12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mscpkpd.noise import LEAST, NOTHING_PREDICTED
from mscpkpd.problem import Problem

__all__ = ["OnScale", "on_scale"]

FAR_BELOW = -1e30  # stands for the logarithm of 0, and can be multiplied by 0


class OnScale(NamedTuple):
    """Arrays of shape (n_rows,), each on the scale of the error of its row.

    Attributes
    ----------
    center, d_center : array
        The prediction, and its derivative by the prediction as it is.
    value, lower, upper, floor : array
        As in `Rows`.
    gain : array
        What the log density of a value gains on the scale of y (P10), and that of a mean where the scale itself is
        estimated.
    """

    center: np.ndarray
    d_center: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    floor: np.ndarray
    gain: np.ndarray


def on_scale(problem: Problem, f: np.ndarray, values: Mapping[str, float]) -> OnScale:
    """Put predictions and observations on the scale of their error.

    Parameters
    ----------
    problem : Problem
    f : array of shape (n_rows,)
        Predictions, in the units of the outputs.
    values : mapping of str to float
        Parameters.

    Returns
    -------
    OnScale
        Means with their own SD stay on their own scale, and so do means of logarithms (B16).
    """
    rows = problem.rows
    center, d_center, gain = np.array(f, dtype=float), np.ones(len(rows)), np.zeros(len(rows))
    value, lower, upper, floor = (x.copy() for x in (rows.value, rows.lower, rows.upper, rows.floor))
    of_log = rows.kind == "logmean"
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        mine = (rows.output == k) & ~rows.has_own_sd & ~of_log
        if noise is None or noise.form not in ("lognormal", "boxcox", "yeojohnson") or not np.any(mine):
            continue
        center[mine] = noise.scaled(f[mine], values)
        safe = np.maximum(f[mine], NOTHING_PREDICTED) if noise.is_positive else f[mine]
        slope = np.exp(noise.log_slope(safe, values))
        # what the solver cannot tell from nothing has no slope either: a search would follow its rounding
        d_center[mine] = np.where((f[mine] > NOTHING_PREDICTED) | (not noise.is_positive), slope, 0.0)
        seen = mine & np.isin(rows.kind, ("value",) if noise.is_log else ("value", "mean"))
        gain[seen] = noise.log_slope(rows.value[seen], values)
        for number in (value, lower, upper, floor):
            low = number[mine] <= 0 if noise.is_positive else np.zeros(int(mine.sum()), dtype=bool)
            number[mine] = np.where(low, FAR_BELOW, noise.scaled(number[mine], values, least=LEAST))
    center[of_log] = np.log(np.maximum(f[of_log], NOTHING_PREDICTED))
    d_center[of_log] = np.where(f[of_log] > NOTHING_PREDICTED, 1.0 / np.maximum(f[of_log], NOTHING_PREDICTED), 0.0)
    return OnScale(center, d_center, value, lower, upper, floor, gain)
