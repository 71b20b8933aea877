"""Whether the log density depends on the tolerance of the solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.posterior import population_of
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.result import Fit
from mscpkpd.population import Population

__all__ = ["LARGEST_CHANGE", "tolerance_sensitivity"]

DRAWS = 5
FINER = 1e-2  # of the tolerance
LARGEST_CHANGE = 0.01  # of the log density: a hundredth of what counts in any comparison


def tolerance_sensitivity(fit: Fit, population: Population | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Compute the log likelihood again with a tolerance that is a hundred times tighter.

    Parameters
    ----------
    fit : Fit
    population : Population, optional
        Its problem, where it is bound already.
    seed : int
        Which draws are taken.

    Returns
    -------
    pandas.DataFrame
        One row per draw: log_likelihood, finer (with the tighter tolerance), change. Random effects are 0 here: the
        solver does not know them.
    """
    population = population or population_of(fit)
    problem, flat = population.problem, fit.posterior.flat()
    count = len(next(iter(flat.values())))
    picked = np.random.default_rng(seed).choice(count, size=min(DRAWS, count), replace=False)
    tight = replace(population, problem=replace(problem, tolerance=problem.tolerance * FINER))
    rows = []
    for k in picked:
        theta = np.array([float(flat[p.name][k]) if p.name in flat else p.start for p in problem.free])
        usual, finer = (_log_likelihood(each, theta) for each in (population, tight))
        rows.append((usual, finer, finer - usual))
    table = pd.DataFrame(rows, columns=["log_likelihood", "finer", "change"])
    table.attrs |= {"tolerance": problem.tolerance, "finer": problem.tolerance * FINER}
    return table


def _log_likelihood(population: Population, theta: np.ndarray) -> float:
    problem = population.problem
    f = population.predict(theta, np.zeros(population.offsets[-1])).value
    with np.errstate(all="ignore"):
        return float(np.sum(densities(problem, f, problem.values(theta)).value))
