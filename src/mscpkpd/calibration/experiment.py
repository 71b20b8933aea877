"""One simulated study: a truth from the priors, data from the truth, a posterior from the data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.calibration.posteriors import Drawn, Sampling, sampled
from mscpkpd.calibration.ranks import rank_of
from mscpkpd.calibration.truths import Truth, drawn_truth, simulated_rows, simulated_study
from mscpkpd.data import Study
from mscpkpd.errors import MscError
from mscpkpd.fitting.api import fit
from mscpkpd.model import Model
from mscpkpd.population import Population, pose_population

if TYPE_CHECKING:
    from mscpkpd.fitting.repeated import Repeated

__all__ = ["Experiment", "Ranked"]

SAME = ("value", "mean", "logmean")  # kinds that a row has in every simulated study, where it has no limits


@dataclass(frozen=True)
class Ranked:
    """Where the truths of one study stand among its draws.

    Attributes
    ----------
    study : int
        Number of the simulated study.
    rows : tuple of (str, float, int, float, float)
        Quantity, truth, rank, mean and sd of the draws.
    failure : str
        Why there are none; empty where there are.
    seconds : float
        Processor time that it took [s].
    divergent : int
        Transitions that the sampler could not follow.
    attempts : int
        How often chains were added to it.
    censored : int
        Rows beyond a limit.
    """

    study: int
    rows: tuple[tuple[str, float, int, float, float], ...]
    failure: str = ""
    seconds: float = field(default=0.0, compare=False)
    divergent: int = 0
    attempts: int = 1
    censored: int = 0


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is repeated.

    Attributes
    ----------
    model : Model
    template : Study
        Who is dosed how and what is observed when; its values stand for nothing, its limits count.
    method : str
        Of `fit`.
    ranked : int
        Draws behind a rank.
    sampling : Sampling
    fix : mapping of str to float
        Parameters that are held.
    seed : int
        Of everything.
    """

    model: Model
    template: Study
    method: str
    ranked: int
    sampling: Sampling
    fix: Mapping[str, float]
    seed: int

    def __getstate__(self) -> dict[str, object]:
        """Compiled functions do not travel between processes; they are made again where they are needed."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def population(self) -> Population:
        """The design bound to the model, with its random effects."""
        random = False if self.method == "least_squares" else None
        return pose_population(self.model, self.template, fix=self.fix, random=random)

    @cached_property
    def _repeated(self) -> Repeated:
        from mscpkpd.fitting.repeated import Repeated  # JAX and PyMC are slow to load

        population = self.population
        _ = population.exactly if population.levels else population.problem.exactly  # shared by all studies
        limited = any(record.kind not in SAME or record.lloq or record.uloq for record in self.template.records)
        return Repeated(apart=limited)

    def run(self, number: int) -> Ranked:
        """Simulate and fit one study; what depends on its number depends on nothing else.

        Parameters
        ----------
        number : int
            From 0.
        """
        began = time.process_time()
        rng = np.random.default_rng([self.seed, number])
        beyond = 0
        try:
            truth, f = drawn_truth(self.population, rng)
            values = self.population.problem.values(truth.theta)
            if self.method == "nuts":
                made = simulated_rows(self.population.problem, f, values, rng)
                beyond = int(np.sum(np.isin(made.kind, ("left", "right", "interval"))))
                seen, seed = self.population.rebound(made), int(rng.integers(2**31))
                found = sampled(self._repeated, seen, truth, self.sampling, seed=seed, ranked=self.ranked)
            else:
                study = simulated_study(self.population.problem, f, values, rng)
                beyond = sum(record.kind in ("left", "right", "interval") for record in study.records)
                found = self._fitted(truth, study, int(rng.integers(2**31)))
        except MscError as error:
            found = Drawn({}, {}, failure=str(error).splitlines()[0])
        rows: tuple[tuple[str, float, int, float, float], ...] = ()
        if not found.failure:
            rows = tuple(_row(name, true, found.draws[name], self.ranked, rng) for name, true in found.truths.items())
        seconds = round(time.process_time() - began, 3)
        return Ranked(number, rows, found.failure, seconds, found.divergent, found.attempts, beyond)

    def _fitted(self, truth: Truth, study: Study, seed: int) -> Drawn:
        how = self.sampling
        found = fit(
            self.model, study, self.method, fix=self.fix, cores=1, seed=seed, draws=how.draws, tune=how.tune,
            chains=how.chains,
        )  # fmt: skip
        if not found.converged:
            return Drawn({}, {}, failure=found.verdict)
        flat = found.posterior.flat()
        return Drawn({name: true for name, true in truth.named.items() if name in flat}, flat)


def _row(
    name: str, true: float, draws: np.ndarray, ranked: int, rng: np.random.Generator
) -> tuple[str, float, int, float, float]:
    return name, true, rank_of(true, draws, ranked, rng), float(draws.mean()), float(draws.std())
