"""Statistics of the data beside those of data that the fitted model makes in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.posterior import population_of
from mscpkpd.fitting.coordinates import drawn_effects, spreads_from
from mscpkpd.fitting.replicates import observe
from mscpkpd.fitting.result import Fit
from mscpkpd.population import Population

__all__ = ["ODD", "predictive_checks"]

REPLICATES = 400
# what rows of a kind are called; those of other kinds go by its name
WORDS = {
    "value": "single", "left": "single", "right": "single", "interval": "single", "mean": "means", "logmean": "medians",
}  # fmt: skip
ODD = 0.005  # share in one tail from which a statistic is flagged
BELOW, ABOVE = ("left", "interval"), ("right",)
STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda y: y.mean(axis=-1),
    "spread": lambda y: y.std(axis=-1),
    "smallest": lambda y: y.min(axis=-1),
    "largest": lambda y: y.max(axis=-1),
}


def predictive_checks(
    fit: Fit, population: Population | None = None, *, count: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Compare statistics of the observations of each output with those of replicates.

    Parameters
    ----------
    fit : Fit
    population : Population, optional
        Its problem, where it is bound already.
    count : int
        Replicates, each at a draw of the parameters; random effects are those of new subjects.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per output, kind of rows and statistic: output, rows ("single", "means", "medians", ...), statistic, n,
        observed, lower, median, upper (95 % of the replicates), p (share of replicates that are at least as large,
        ties counted half), odd.

    Notes
    -----
    Values under a limit count as the limit, in data and replicates alike, so that both are the same statistic of what
    can be seen; their share is a statistic of its own. Medians are compared as logarithms.
    """
    population = population or population_of(fit)
    simulated = _replicates(fit, population, count, seed)
    return pd.DataFrame(list(_compared(population, simulated)))


def _replicates(fit: Fit, population: Population, count: int, seed: int) -> np.ndarray:
    """New observations of every row, shape (n_replicates, n_rows)."""
    problem, rng = population.problem, np.random.default_rng(seed)
    flat = fit.posterior.flat()
    available = len(next(iter(flat.values())))
    picked = rng.choice(available, size=min(count, available), replace=False)
    out = np.empty((len(picked), len(problem.rows)))
    for j, k in enumerate(picked):
        values = {name: float(draws[k]) for name, draws in flat.items()}
        theta = np.array([values.get(p.name, p.start) for p in problem.free])
        eta = drawn_effects(population, spreads_from(population, values), rng)
        f = population.predict(theta, eta).value
        out[j] = observe(problem, f, problem.values(theta), rng)
    seen = np.any(np.isfinite(out), axis=0)  # rows of some kinds are not drawn
    return out[np.all(np.isfinite(out[:, seen]), axis=1)]


def _compared(population: Population, simulated: np.ndarray) -> Iterator[dict[str, object]]:
    rows = population.problem.rows
    group = np.array([WORDS.get(str(kind), str(kind)) for kind in rows.kind])
    drawn = np.all(np.isfinite(simulated), axis=0) & (rows.kind != "dropped")
    for k, output in enumerate(rows.outputs):
        for word in dict.fromkeys(group):
            mine = (rows.output == k) & (group == word) & drawn
            if not np.any(mine):
                continue
            made = simulated[:, mine]
            made = np.log(np.maximum(made, 1e-300)) if word == "medians" else made
            kind, low, high = rows.kind[mine], rows.upper[mine], rows.lower[mine]
            seen = np.where(np.isin(kind, BELOW), low, np.where(np.isin(kind, ABOVE), high, rows.value[mine]))
            floor, roof = _limits(kind, low, high)
            head = {"output": output, "rows": word, "n": int(mine.sum())}
            if np.any(np.isin(kind, BELOW)):
                share, shares = np.mean(np.isin(kind, BELOW)), np.mean(made < floor, axis=1)
                yield {**head, "statistic": "share below the limit", **_placed(float(share), shares)}
            made, seen = (np.clip(y, floor, roof) for y in (made, seen))
            for name, statistic in STATISTICS.items():
                if mine.sum() > 1 or name == "mean":
                    yield {**head, "statistic": name, **_placed(float(statistic(seen)), statistic(made))}


def _limits(kind: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits under which each row stands: its own, or the least extreme of the other rows of its output."""
    below, above = np.isin(kind, BELOW), np.isin(kind, ABOVE)
    floor = np.where(below, low, np.min(low[below]) if np.any(below) else -np.inf)
    roof = np.where(above, high, np.max(high[above]) if np.any(above) else np.inf)
    return floor, roof


def _placed(observed: float, made: np.ndarray) -> dict[str, object]:
    p = float(np.mean(made > observed) + 0.5 * np.mean(made == observed))
    lower, median, upper = np.quantile(made, [0.025, 0.5, 0.975])
    return {
        "observed": observed, "lower": float(lower), "median": float(median), "upper": float(upper), "p": p,
        "odd": not ODD <= p <= 1 - ODD,
    }  # fmt: skip
