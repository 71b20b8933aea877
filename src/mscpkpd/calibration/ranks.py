"""Ranks of truths among posterior draws, and whether they are even.

If truths are drawn from the priors and data from the truths, the rank of a truth among independent posterior draws is
uniform (Talts et al. 2018). All ranks of a quantity are judged together, by a band around their cumulative
distribution that holds all of it with a stated probability (Saeilynoja, Buerkner and Vehtari 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binom

__all__ = ["LEVEL", "Calibration", "band", "judged", "rank_of", "unevenness"]

LEVEL = 0.99  # probability with which all ranks of all quantities stay inside their bands, if all is well
REPEATS = 20_000  # simulated sets of even ranks behind a band
COVERED = (0.5, 0.8, 0.9, 0.95)  # central intervals whose coverage is reported


@dataclass(frozen=True, eq=False)
class Calibration:
    """Simulation-based calibration of a model with a design.

    Attributes
    ----------
    ranks : pandas.DataFrame
        One row per simulated study and quantity: study (its number), quantity, truth, rank (0 to `draws`), mean and sd
        of its draws, in the unit of the quantity.
    table : pandas.DataFrame
        One row per quantity: quantity, n (studies), p (probability of ranks as uneven as these), p_adjusted (among
        all quantities), even (verdict), covered_50, covered_80, covered_90, covered_95 (share of truths inside these
        central intervals [1]), shrinkage (1 - mean posterior variance over the variance of the truths [1]), bias
        (mean of (posterior mean - truth) over the SD of the truths [1]).
    failures : mapping of int to str
        Studies that could not be fitted, with the reason: they count against the model, not for it.
    draws : int
        Independent draws behind every rank.
    settings : mapping
        Model, design, method, seed, numbers.
    """

    ranks: pd.DataFrame
    table: pd.DataFrame
    failures: Mapping[int, str]
    draws: int
    settings: Mapping[str, object]

    @property
    def passed(self) -> bool:
        """Whether the ranks of all quantities are even, and nearly all studies could be fitted."""
        return bool(len(self.table) and self.table["even"].all() and not self.too_many_failures)

    @property
    def too_many_failures(self) -> bool:
        """Whether more than one study in twenty could not be fitted: what is left is then no fair sample."""
        return len(self.failures) > 0.05 * (len(self.failures) + self.ranks["study"].nunique())

    @property
    def verdict(self) -> str:
        """One sentence."""
        n = self.ranks["study"].nunique()
        if not n:
            return "NOT A RESULT: no study could be fitted."
        if self.too_many_failures:
            return f"NOT A RESULT: {len(self.failures)} of {n + len(self.failures)} studies could not be fitted."
        uneven = [str(name) for name in self.table.loc[~self.table["even"], "quantity"]]
        if uneven:
            return f"NOT CALIBRATED: the ranks of {', '.join(uneven)} are uneven over {n} studies."
        return (
            f"Calibrated as far as {n} studies can tell: the ranks of all {len(self.table)} quantities lie within a "
            f"simultaneous {LEVEL:.0%} band."
        )

    def __str__(self) -> str:
        lines = [self.verdict, self.table.to_string(index=False, float_format="{:.3g}".format)]
        return "\n".join([*lines, *(f"study {k} failed: {why}" for k, why in self.failures.items())])


def rank_of(truth: float, draws: np.ndarray, count: int, rng: np.random.Generator) -> int:
    """Rank of a truth among `count` draws taken at even distances, from 0 to `count`.

    Parameters
    ----------
    truth : float
        In the unit of the draws.
    draws : array of shape (n_draws,)
        Of one posterior, thinned so far that those taken are nearly independent.
    count : int
        How many are taken.
    rng : numpy.random.Generator
        Ties are broken at random.
    """
    taken = draws[np.linspace(0, len(draws) - 1, count).round().astype(int)]
    below, equal = int(np.sum(taken < truth)), int(np.sum(taken == truth))
    return below + int(rng.integers(0, equal + 1))


def unevenness(ranks: np.ndarray, draws: int) -> float:
    """Least of the binomial tail probabilities of the cumulative numbers of ranks: small where they are uneven.

    Parameters
    ----------
    ranks : array of int, shape (n_studies,)
    draws : int
        Largest rank possible.

    Returns
    -------
    float
        Between 0 and 1.
    """
    return float(_statistic(np.bincount(ranks, minlength=draws + 1)[None], len(ranks))[0])


def _statistic(counts: np.ndarray, n: int) -> np.ndarray:
    """For numbers of each rank, shape (n_sets, n_ranks)."""
    reached = np.cumsum(counts, axis=1)[:, :-1]
    shares = np.arange(1, counts.shape[1]) / counts.shape[1]
    tails = np.minimum(binom.cdf(reached, n, shares), binom.sf(reached - 1, n, shares))
    return np.asarray(np.minimum(1.0, 2.0 * tails.min(axis=1)))


@lru_cache(maxsize=32)
def _by_chance(n: int, draws: int) -> np.ndarray:
    """Unevenness of ranks that are even, ascending; the random numbers are always the same."""
    rng = np.random.default_rng(0)
    even = np.full(draws + 1, 1.0 / (draws + 1))
    parts = [_statistic(rng.multinomial(n, even, size=REPEATS // 20), n) for _ in range(20)]
    return np.sort(np.concatenate(parts))


def band(n: int, draws: int, quantities: int = 1, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the cumulative share of ranks, within which all of it lies with a stated probability.

    Parameters
    ----------
    n : int
        Studies.
    draws : int
        Largest rank possible.
    quantities : int
        How many are judged together (Bonferroni).
    level : float
        Probability that all of them lie within.

    Returns
    -------
    lower, upper : array of shape (draws,)
        Shares of ranks up to 0, 1, ..., draws - 1 [1].
    """
    least = float(np.quantile(_by_chance(n, draws), (1 - level) / quantities, method="lower"))
    shares = np.arange(1, draws + 1) / (draws + 1)
    return binom.ppf(least / 2, n, shares) / n, binom.isf(least / 2, n, shares) / n


def judged(ranks: pd.DataFrame, draws: int) -> pd.DataFrame:
    """One row per quantity: are its ranks even, how often do its intervals hold the truth, what was learned."""
    rows = []
    names = list(dict.fromkeys(ranks["quantity"]))
    for name in names:
        part = ranks[ranks["quantity"] == name]
        found = part["rank"].to_numpy(dtype=int)
        n = len(found)
        chance = _by_chance(n, draws)
        p = (1 + int(np.searchsorted(chance, unevenness(found, draws) * (1 + 1e-9), side="right"))) / (1 + len(chance))
        adjusted = min(1.0, len(names) * p)
        share = (found + 0.5) / (draws + 1)
        covered = {f"covered_{100 * c:.0f}": float(np.mean(np.abs(share - 0.5) <= c / 2)) for c in COVERED}
        spread = float(np.var(part["truth"]))
        rows.append(
            {"quantity": name, "n": n, "p": p, "p_adjusted": adjusted, "even": adjusted > 1 - LEVEL, **covered,
             "shrinkage": 1 - float(np.mean(part["sd"] ** 2)) / spread if spread > 0 else np.nan,
             "bias": float(np.mean(part["mean"] - part["truth"])) / np.sqrt(spread) if spread > 0 else np.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)
