"""Sequential Monte Carlo: particles of the prior led to the posterior through tempered likelihoods.

Del Moral, Doucet and Jasra 2006, J R Stat Soc B 68, 411. Each stage raises the power of the likelihood as far as half
of the particles still count, draws them again by weight and moves them. Moves are differences of two other particles
(ter Braak 2006, Stat Comput 16, 239), which fit each of several modes and jump between them. The product of the mean
weights estimates the evidence. Several independent runs say how well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import logsumexp

from mscpkpd.fitting.coordinates import Coordinates, lkj_exponents
from mscpkpd.fitting.draws import Check, diagnose
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.log_density import LogDensity
from mscpkpd.fitting.nuts import Progress
from mscpkpd.fitting.parametrization import draw_names
from mscpkpd.fitting.sampled import Drawn, Sampling
from mscpkpd.fitting.workers import Say, run_jobs, workers_for
from mscpkpd.population import Population

__all__ = ["Run", "led_from_prior", "one_run", "prior_points"]

KEPT = 0.5  # share of the particles that must count after a stage
MOVES, LAST_MOVES = 1.0, 3.0  # accepted moves of a particle in each stage and in the last, in dimensions
FEWEST_MOVES, MOST_TRIES = 4.0, 300
JUMP = 0.1  # share of the moves that propose a whole difference, from mode to mode
TARGET = 0.25  # acceptance that the length of moves aims at
AGREE = 0.5  # standard deviation of the log evidence between runs beyond which it says little


class Density(Protocol):
    """Log density and log prior at points, shape (n, size)."""

    size: int

    def value(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both, shape (n,)."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run.

    Attributes
    ----------
    x : array of shape (n, size)
        Particles of the posterior.
    log_evidence : float
    stages : int
    moved : float
        Accepted moves of a particle in the last stage.
    """

    x: np.ndarray
    log_evidence: float
    stages: int
    moved: float


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs for a worker."""

    population: Population
    numbers: tuple[int, ...]
    seed: int
    particles: int

    def run(self, say: Say) -> list[tuple[int, Run, np.ndarray]]:
        """Number, run, and its particles on their natural scale."""
        size = len(draw_names(self.population))
        density = LogDensity(self.population, Frame(np.zeros(size), np.eye(size)))
        found = []
        for number in self.numbers:
            rng = np.random.default_rng([self.seed, number])
            start = prior_points(self.population, rng, self.particles)
            run = one_run(density, start, rng, lambda power, n=number: say(run=n, power=power))
            found.append((number, run, density.natural(run.x)))
        return found


def led_from_prior(population: Population, seed: int, how: Sampling, progress: Progress | None) -> Drawn:
    """Draw a posterior that may have several modes, and its evidence.

    Parameters
    ----------
    population : Population
    seed : int
        Same seed, same draws, on any number of processors.
    how : Sampling
        As many runs as chains, as many particles in each as draws.
    progress : callable or None

    Returns
    -------
    Drawn
    """
    workers, powers = workers_for(how.cores, how.chains), dict.fromkeys(range(how.chains), 0.0)

    def report(said: Mapping[str, Any]) -> None:
        powers[int(said["run"])] = float(said["power"])
        if progress:
            progress(int(100 * sum(powers.values())), 100 * how.chains, f"power {min(powers.values()):.3g}")

    jobs = [Runs(population, tuple(range(w, how.chains, workers)), seed, how.draws) for w in range(workers)]
    ended = sorted((run for part in run_jobs(jobs, report) for run in part), key=lambda run: run[0])
    natural = np.stack([each[2] for each in ended])
    names = draw_names(population)
    values = {name: natural[..., k] for k, name in enumerate(names)}
    table, checks = diagnose(values, {})
    logs = np.array([each[1].log_evidence for each in ended])
    evidence, spread = (
        float(logsumexp(logs) - np.log(len(logs))),
        float(np.std(logs, ddof=1)) if len(logs) > 1 else np.nan,
    )
    statistics = {"log_evidence": evidence, "log_evidence_se": spread / float(np.sqrt(len(logs)))}
    return Drawn(
        population,
        values,
        {},
        {str(name): dict(row) for name, row in table.iterrows()},
        (*(check for check in checks if check.name in ("r_hat", "ess")), *_checks([e[1] for e in ended], spread)),
        {"draws": how.draws, "chains": how.chains, "statistics": statistics, "stages": [e[1].stages for e in ended]},
        (f"{len(logs)} runs of {how.draws} particles; log evidence {evidence:.2f}, SD between runs {spread:.2g}",),
    )


def _checks(runs: list[Run], spread: float) -> tuple[Check, ...]:
    least, size = min(run.moved for run in runs), runs[0].x.shape[1]
    moved, agree = least >= size, not spread > AGREE
    lost = "the particles hardly moved; take method='nuts', or fewer parameters."
    judged = "they agree." if agree else "too far apart to compare models; take more draws."
    return (
        Check(
            "moves", bool(moved),
            f"{least:.1f} accepted moves of a particle for {size} dimensions: {'enough.' if moved else lost}",
        ),
        Check(
            "evidence", bool(agree),
            f"Log evidence of the runs differs by {spread:.2g} (SD), limit {AGREE}: {judged}",
        ),
    )  # fmt: skip


def prior_points(population: Population, rng: np.random.Generator, n: int) -> np.ndarray:
    """Draws of the prior of everything that is sampled, on its transformed scale, shape (n, size)."""
    coordinates = Coordinates(population)
    priors = [p.prior for p in population.problem.free]
    priors += [population.effects[k].prior for k in coordinates.free_effects]
    columns = [np.asarray(prior.to_free(prior.sample(rng, n)), dtype=float) for prior in priors]
    for level in population.levels:
        columns += [np.arctanh(2.0 * rng.beta(b, b, n) - 1.0) for b in (lkj_exponents(level) if level.full else ())]
    units = sum(len(level.labels) * len(level.effects) for level in population.levels)
    return np.concatenate([np.stack(columns, axis=1), rng.standard_normal((n, units))], axis=1)


def one_run(density: Density, start: np.ndarray, rng: np.random.Generator, tell: Any = None) -> Run:
    """Lead particles of the prior to the posterior.

    Parameters
    ----------
    density : LogDensity
        In coordinates in which `start` stands.
    start : array of shape (n, size)
        Draws of the prior.
    rng : numpy.random.Generator
    tell : callable, optional
        Receives the power reached after each stage.
    """
    n, x = len(start), start
    total, prior = density.value(x)
    power, evidence, stages, moved, length = 0.0, 0.0, 0, 0.0, 1.0
    while power < 1.0:
        likelihood = total - prior
        step = _step(likelihood, power)
        logs = step * likelihood
        evidence += float(logsumexp(logs) - np.log(n))
        picked = _resampled(np.exp(logs - logsumexp(logs)), rng)
        x, total, prior = x[picked], total[picked], prior[picked]
        power = 1.0 if power + step > 1.0 - 1e-12 else power + step
        wanted = max(FEWEST_MOVES, (LAST_MOVES if power == 1.0 else MOVES) * density.size)
        x, total, prior, moved, length = _moved(density, (x, total, prior), power, wanted, length, rng)
        stages += 1
        if tell:
            tell(power)
    order = rng.permutation(n)
    return Run(x[order], evidence, stages, moved)


def _step(likelihood: np.ndarray, power: float) -> float:
    """How far the power may rise."""

    def counting(step: float) -> float:
        logs = step * likelihood
        return float(np.exp(2 * logsumexp(logs) - logsumexp(2 * logs)))

    high, wanted = 1.0 - power, KEPT * max(1, int(np.sum(np.isfinite(likelihood))))
    if counting(high) >= wanted:
        return high
    low = 0.0
    for _ in range(60):
        middle = 0.5 * (low + high) if low > 0 else high * 0.1
        low, high = (middle, high) if counting(middle) >= wanted else (low, middle)
        if low > 0 and high - low < 1e-3 * high:
            break
    return low if low > 0 else high


def _resampled(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling."""
    marks = (rng.random() + np.arange(len(weights))) / len(weights)
    return np.minimum(np.searchsorted(np.cumsum(weights), marks), len(weights) - 1)


def _moved(
    density: Density,
    state: tuple[np.ndarray, np.ndarray, np.ndarray],
    power: float,
    wanted: float,
    length: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Metropolis moves along differences of two particles as they stood when the stage began."""
    x, total, prior = state
    crowd, n = x.copy(), len(x)
    usual = 2.38 / np.sqrt(2.0 * density.size)
    small = 1e-3 * np.std(crowd, axis=0) + 1e-12
    accepted = 0.0
    for _ in range(MOST_TRIES):
        first, second = rng.integers(n, size=n), rng.integers(n, size=n)
        jumps = rng.random(n) < JUMP
        scale = np.where(jumps, 1.0, usual * length)[:, None]
        proposed = x + scale * (crowd[first] - crowd[second]) + small * rng.standard_normal(x.shape)
        new_total, new_prior = density.value(proposed)
        gain = (new_prior - prior) + power * ((new_total - new_prior) - (total - prior))
        taken = np.log(rng.random(n)) < np.where(np.isfinite(new_total), gain, -np.inf)
        x, total, prior = (
            np.where(taken[:, None], proposed, x), np.where(taken, new_total, total), np.where(taken, new_prior, prior),
        )  # fmt: skip
        accepted += float(np.mean(taken))
        usual_taken = float(np.mean(taken[~jumps])) if np.any(~jumps) else TARGET
        length = float(np.clip(length * np.exp(usual_taken - TARGET), 0.05, 2.0))
        if accepted >= wanted:
            break
    return x, total, prior, accepted, length
