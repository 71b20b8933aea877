"""What the priors say could be observed, beside what was, before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.data import Study
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.conflicts import Conflict, conflicts_of_draws
from mscpkpd.fitting.coordinates import Coordinates, drawn_effects
from mscpkpd.fitting.frame import find_frame
from mscpkpd.fitting.parametrization import parametrized
from mscpkpd.fitting.replicates import observe, row_frame
from mscpkpd.model import Model
from mscpkpd.population import Population, pose_population

__all__ = ["PriorPredictive", "prior_predictive"]

FEWEST = 50
RARE = 0.01  # two-sided: rows further out than this are named
MOST_FAILED = 0.2  # share of the draws that the solver may not follow
ABOUT_MODE = 400  # draws of the normal approximation by which conflicts are judged

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Observations that the priors predict.

    Attributes
    ----------
    table : pandas.DataFrame
        Every row of the data with the median of its prediction (predicted), 95 % bands of the prediction (lower, upper)
        and of a new observation (lower_new, upper_new), and probability: of an observation at least as far out, or, of
        a row below, above or between limits, of what it says.
    conflicts : tuple of Conflict
        Parameters whose prior the data contradict.
    draws, failed : int
        Draws of the priors, and those that the solver could not follow.
    units : mapping of str to str
        Of the outputs.
    time : str
        Unit of the times.
    model, study : str
        Their names.
    synthetic : bool
        Whether the data are invented.
    """

    table: pd.DataFrame
    conflicts: tuple[Conflict, ...]
    draws: int
    failed: int
    units: Mapping[str, str]
    time: str
    model: str
    study: str
    synthetic: bool

    @property
    def surprising(self) -> pd.DataFrame:
        """Rows that the priors give a chance below 1 %, the least likely first."""
        return self.table[self.table["probability"] < RARE].sort_values("probability")

    @property
    def verdict(self) -> str:
        """One line: whether priors and data go together."""
        rows, few = len(self.surprising), RARE * len(self.table)
        if self.conflicts:
            names = ", ".join(each.parameter for each in self.conflicts)
            return f"Priors and data contradict each other: {names}; {rows} of {len(self.table)} rows are surprising."
        if rows > max(1.0, 3.0 * few):
            return (
                f"{rows} of {len(self.table)} rows are surprising under the priors, where {few:.2g} would be by chance."
            )
        return f"Priors and data go together: {rows} of {len(self.table)} rows are surprising, {few:.2g} by chance."

    def __str__(self) -> str:
        lines = [self.verdict, *(f"- {each.sentence}" for each in self.conflicts)]
        lines += [
            f"- {row.where}: {row.output} of {row.subject} at {row.time:g} {self.time}, chance {row.probability:.2g}"
            for row in self.surprising.head(10).itertuples()
        ]
        return "\n".join(lines)


def prior_predictive(
    model: Model,
    study: Study,
    n: int = 500,
    *,
    free: Collection[str] | None = None,
    fix: Mapping[str, float] | None = None,
    random: Collection[str] | bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> PriorPredictive:
    """Simulate what the priors say could be observed in a study, and compare it with what was.

    Parameters
    ----------
    model : Model
        With priors.
    study : Study
    n : int
        Draws of the priors, at least 50.
    free, fix, random
        As in `fit`.
    seed : int
        Same seed, same numbers.
    progress : callable, optional
        Called with the draws done and all of them.

    Returns
    -------
    PriorPredictive
        Draw it with ``msc.plots.prior_check``; ``print`` says what contradicts what.

    Raises
    ------
    UsageError
        For too few draws.
    FitError
        If the model cannot be solved for many of the draws.
    DataError
        If the study does not fit the model.

    Notes
    -----
    Random effects are drawn anew for each draw, and one new observation is drawn for each row, or a mean of as many. A
    parameter is in conflict where its posterior mean lies further out than the prior and the design allow (Evans and
    Moshonov 2006, Bayesian Analysis 1, 893), at a level of 1 % over all of them, with the posterior approximated about
    its mode. A prior that was read from a study is replaced by its wide one where that study is among the data.
    """
    from mscpkpd.fitting.tempering import prior_points  # PyMC is slow to load

    if n < FEWEST:
        raise UsageError(f"n={n} draws are too few", expected=f"at least {FEWEST}, better 500")
    population = pose_population(model, study, free, fix, random=random)
    problem, coordinates = population.problem, Coordinates(population)
    means, seen = [], []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        x = prior_points(population, rng, 1)[0][: len(coordinates.names)]
        theta = coordinates.theta(x)
        f = _predicted(population, theta, drawn_effects(population, coordinates.spreads(x), rng))
        if f is not None:
            means.append(f)
            seen.append(observe(problem, f, problem.values(theta), rng))
        if progress:
            progress(k + 1, n)
    if len(seen) < (1 - MOST_FAILED) * n:
        raise FitError(
            f"{n - len(seen)} of {n} draws of the priors could not be solved",
            hint="narrower priors, or fix a parameter",
        )
    mean, new = np.array(means), np.array(seen)
    table = row_frame(problem.rows, np.median(mean, axis=0), mean, new)
    table["probability"] = _probabilities(problem.rows.kind, table, new)
    outputs = {name: problem.model.output(name).unit for name in problem.rows.outputs}
    return PriorPredictive(
        table, _conflicts(population, seed), n, n - len(seen), outputs, problem.model.time, model.name, study.name,
        study.synthetic,
    )  # fmt: skip


def _predicted(population: Population, theta: np.ndarray, eta: np.ndarray) -> np.ndarray | None:
    if not population.levels:
        pooled = population.problem.predict(theta)
        return None if pooled.failure or not np.all(np.isfinite(pooled.value)) else pooled.value
    found = population.predict(theta, eta)
    return None if np.any(found.failed) or not np.all(np.isfinite(found.value)) else found.value


def _probabilities(kind: np.ndarray, table: pd.DataFrame, new: np.ndarray) -> np.ndarray:
    """Two-sided tail of each value; of a censored row the chance of what it says."""
    value, low, high = (table[name].to_numpy(float) for name in ("observed", "lower_limit", "upper_limit"))
    count = len(new) + 1
    with np.errstate(invalid="ignore"):
        tail = (1 + np.minimum((new <= value).sum(axis=0), (new >= value).sum(axis=0))) / count
        below, above = (1 + (new < high).sum(axis=0)) / count, (1 + (new > low).sum(axis=0)) / count
        between = (1 + ((new > low) & (new < high)).sum(axis=0)) / count
    found = np.minimum(2.0 * tail, 1.0)
    for name, chance in (("left", below), ("right", above), ("interval", between)):
        found = np.where(kind == name, chance, found)
    return np.asarray(found)


def _conflicts(population: Population, seed: int) -> tuple[Conflict, ...]:
    """Judged by the normal approximation of the posterior about its mode."""
    problem = population.problem
    frame = parametrized(population)[1] if population.levels else find_frame(problem)
    normal = np.random.default_rng(seed).standard_normal((ABOUT_MODE, len(frame.center)))
    placed = np.array([frame.place(x) for x in normal])
    draws = {p.name: p.prior.from_free(placed[:, k]) for k, p in enumerate(problem.free)}
    return conflicts_of_draws(problem.free, draws, {p.name: problem.model.parameter(p.name).unit for p in problem.free})
