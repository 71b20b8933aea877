"""Which subjects and studies pull: how far estimates move where one of them is left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.leave_out import left_out
from mscpkpd.diagnostics.pointwise import PointwiseLikelihood

__all__ = ["influence"]

CONSTANT = 1e-9  # relative range of draws that are one number, as noise is in least squares


def influence(likelihood: PointwiseLikelihood, draws: Mapping[str, np.ndarray], by: str = "subject") -> pd.DataFrame:
    """Leave out every subject or study by weighing the draws.

    Parameters
    ----------
    likelihood : PointwiseLikelihood
    draws : mapping of str to array of shape (n_draws,)
        What may move, in the order of the draws of `likelihood`.
    by : {"subject", "study"}

    Returns
    -------
    pandas.DataFrame
        One row per subject or study, the most influential first: rows, elpd (log density given all others), pareto_k,
        trusted, parameter (the one that moves most), shift (of its mean, in SD of its draws), usual (shift that leaving
        out so large a share of the rows brings by chance, in SD), change (of its mean, in percent).

    Notes
    -----
    A large k says that the draws without it are too unlike those with it: it is influential, and only another fit
    without it says how much.
    """
    names, values = likelihood.summed(by)
    found = left_out(values, likelihood.efficiency)
    weights = np.exp(found.weights)
    moving = {name: column for name, column in draws.items() if np.ptp(column) > CONSTANT * np.max(np.abs(column))}
    columns = np.stack(list(moving.values()), axis=1)
    mean, sd = columns.mean(axis=0), columns.std(axis=0, ddof=1)
    without = weights.T @ columns
    shifts = (without - mean) / sd
    most = np.argmax(np.abs(shifts), axis=1)
    each = np.arange(len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = 100 * (without[each, most] - mean[most]) / np.abs(mean[most])
    counts = likelihood.rows[by].astype(str).value_counts()
    table = pd.DataFrame(
        {
            by: names,
            "rows": [int(counts[name]) for name in names],
            "elpd": found.elpd,
            "pareto_k": found.k,
            "trusted": ~found.bad,
            "parameter": [list(moving)[k] for k in most],
            "shift": shifts[each, most],
            "usual": _usual(counts.loc[list(names)].to_numpy(float)),
            "change": change,
        }
    )
    order = np.argsort(-np.abs(table["shift"].to_numpy()), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _usual(rows: np.ndarray) -> np.ndarray:
    """SD of the shift of an estimate, in its SD, where a share of equally informative rows is left out."""
    share = np.minimum(rows / rows.sum(), 0.999)
    return np.asarray(np.sqrt(share / (1.0 - share)))
