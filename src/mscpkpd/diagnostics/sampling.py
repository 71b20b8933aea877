"""Where a sampler had trouble, and which parameters only make sense together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mscpkpd.fitting.result import Fit

__all__ = ["ALIKE", "correlations", "divergences", "diverging"]

ALIKE = 0.95  # rank correlation from which a pair is named
CONSTANT = 1e-9  # relative range of draws that are one number, as noise is in least squares


def diverging(fit: Fit) -> np.ndarray | None:
    """Which draws diverged, chain after chain; None where the method has no such thing."""
    try:
        return np.asarray(fit.draws["sample_stats"]["diverging"].values, dtype=bool).reshape(-1)
    except (KeyError, TypeError, AttributeError):  # no draws, no statistics, or another sampler
        return None


def divergences(fit: Fit) -> pd.DataFrame:
    """Where divergent draws lie among the others.

    Parameters
    ----------
    fit : Fit
        By nuts.

    Returns
    -------
    pandas.DataFrame
        One row per parameter, the most displaced first: parameter, divergent and rest (medians), distance (of the
        medians, in SD of the rest); empty where nothing diverged. ``attrs["count"]`` is their number.
    """
    columns = ["parameter", "divergent", "rest", "distance"]
    empty = pd.DataFrame(columns=columns)
    empty.attrs["count"] = 0
    marked = diverging(fit)
    if marked is None:
        return empty
    if not np.any(marked) or np.all(marked):
        empty.attrs["count"] = int(marked.sum())
        return empty
    rows = []
    for name, draws in fit.posterior.learned.items():
        values = np.asarray(draws).reshape(-1)
        there, rest = float(np.median(values[marked])), float(np.median(values[~marked]))
        spread = float(np.std(values[~marked]))
        rows.append((name, there, rest, (there - rest) / spread if spread > 0 else 0.0))
    table = pd.DataFrame(rows, columns=columns)
    table = table.iloc[np.argsort(-np.abs(table["distance"].to_numpy()), kind="stable")].reset_index(drop=True)
    table.attrs["count"] = int(marked.sum())
    return table


def correlations(fit: Fit, limit: float = ALIKE) -> pd.DataFrame:
    """Pairs of parameters whose draws are correlated.

    Parameters
    ----------
    fit : Fit
    limit : float
        Least absolute rank correlation [1] that is named.

    Returns
    -------
    pandas.DataFrame
        Columns first, second, correlation; the strongest first.
    """
    draws = {name: np.asarray(x).reshape(-1) for name, x in fit.posterior.learned.items()}
    draws = {name: x for name, x in draws.items() if np.ptp(x) > CONSTANT * np.max(np.abs(x))}
    columns = ["first", "second", "correlation"]
    if len(draws) < 2:
        return pd.DataFrame(columns=columns)
    matrix = np.corrcoef(np.stack([rankdata(x) for x in draws.values()]))
    known = pd.DataFrame(matrix, index=list(draws), columns=list(draws)).to_dict()
    pairs = [(a, b, float(known[a][b])) for a, b in combinations(draws, 2)]
    table = pd.DataFrame(pairs, columns=columns)
    table = table[table["correlation"].abs() >= limit]
    return table.sort_values("correlation", key=np.abs, ascending=False, kind="stable", ignore_index=True)
