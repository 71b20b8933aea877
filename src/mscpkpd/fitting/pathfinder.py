"""Pathfinder: normal approximations along paths of a search, the best of each, and what their draws are worth.

Zhang, Carpenter, Gelman and Vehtari 2022, Journal of Machine Learning Research 23(306). Several paths together are one
mixture; draws of it are weighed by posterior over mixture, not over the normal of their own path, so that an optimum
found by many paths does not count more than one found by few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import logsumexp

from mscpkpd.errors import FitError
from mscpkpd.fitting.draws import ESS_LIMIT, Check
from mscpkpd.fitting.frame import Frame, find_frame
from mscpkpd.fitting.log_density import LogDensity
from mscpkpd.fitting.nuts import Progress
from mscpkpd.fitting.parametrization import draw_names, parametrized
from mscpkpd.fitting.pareto import LIMIT, smoothed
from mscpkpd.fitting.sampled import Drawn, Sampling
from mscpkpd.fitting.workers import Say, run_jobs, workers_for
from mscpkpd.population import Population

__all__ = ["found_by_paths", "one_path"]

PATHS_PER_CHAIN = 2
WIDE = 2.0  # of the starts, in coordinates in which the posterior is about standard normal
TRIES = 20  # starts of a path that cannot be solved
HISTORY, MOST_STEPS = 6, 200
JUDGED_BY = 40  # draws behind the evidence lower bound of each point of a path
CURVED = 1e-10  # of s'y over |s||y|: a step that says less of the curvature is left out

Log = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Normal:
    """A normal approximation: mean and lower triangular root of its covariance."""

    mean: np.ndarray
    root: np.ndarray

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draws, shape (n, size)."""
        return np.asarray(self.mean + rng.standard_normal((n, len(self.mean))) @ self.root.T)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density at points, shape (n,)."""
        u = solve_triangular(self.root, (x - self.mean).T, lower=True)
        constant = 0.5 * len(self.mean) * np.log(2 * np.pi) + np.sum(np.log(np.diag(self.root)))
        return np.asarray(-0.5 * np.sum(u**2, axis=0) - constant)


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths for a worker."""

    population: Population
    frame: Frame
    numbers: tuple[int, ...]
    seed: int
    draws: int

    def run(self, say: Say) -> list[tuple[int, Normal | None, np.ndarray, np.ndarray, np.ndarray]]:
        """Number, approximation, draws of it, log density there, and the draws on their natural scale."""
        density = LogDensity(self.population, self.frame)
        found = []
        for number in self.numbers:
            rng = np.random.default_rng([self.seed, number])
            normal = one_path(density.gradient, lambda x: density.value(x)[0], density.size, rng)
            x = normal.sample(rng, self.draws) if normal else np.zeros((0, density.size))
            total = density.value(x)[0] if normal else np.zeros(0)
            found.append((number, normal, x, total, density.natural(x) if normal else np.zeros((0, 0))))
            say(path=number)
        return found


def found_by_paths(population: Population, seed: int, how: Sampling, progress: Progress | None) -> Drawn:
    """Approximate a posterior.

    Parameters
    ----------
    population : Population
    seed : int
        Same seed, same draws, on any number of processors.
    how : Sampling
        Draws and chains; two paths for each chain.
    progress : callable or None

    Returns
    -------
    Drawn

    Raises
    ------
    FitError
        If no path ends at an approximation.
    """
    chosen, frame = parametrized(population) if population.levels else (population, find_frame(population.problem))
    paths, wanted = PATHS_PER_CHAIN * how.chains, how.chains * how.draws
    workers, done = workers_for(how.cores, paths), [0]

    def report(_: Mapping[str, Any]) -> None:
        done[0] += 1
        if progress:
            progress(done[0], paths, "paths")

    each = -(-wanted // paths)
    jobs = [Paths(chosen, frame, tuple(range(w, paths, workers)), seed, each) for w in range(workers)]
    ended = sorted((path for part in run_jobs(jobs, report) for path in part), key=lambda path: path[0])
    normals = [path[1] for path in ended if path[1] is not None]
    if not normals:
        raise FitError("no path of the search ended at an approximation", hint="method='nuts', or another start")
    x, total, natural = (np.concatenate([path[k] for path in ended if path[1] is not None]) for k in (2, 3, 4))
    mixture = logsumexp([normal.log_density(x) for normal in normals], axis=0) - np.log(len(normals))
    weights, k = smoothed(total - mixture)
    picked = np.random.default_rng([seed, paths]).choice(len(x), size=wanted, p=weights)
    values = natural[picked].reshape(how.chains, how.draws, -1)
    effective = float(1.0 / np.sum(weights**2))
    names = draw_names(chosen)
    return Drawn(
        chosen,
        {name: values[..., j] for j, name in enumerate(names)},
        {},
        {name: {"ess_bulk": effective, "ess_tail": effective} for name in names},
        _checks(k, effective),
        {"paths": paths, "paths_used": len(normals), "pareto_k": k, "draws": how.draws, "chains": how.chains},
        (f"normal approximations from {len(normals)} of {paths} paths, weighed by the posterior; Pareto k {k:.2f}",),
    )


def _checks(k: float, effective: float) -> tuple[Check, ...]:
    good, heavy = k <= LIMIT, "the approximation misses parts of the posterior; use method='nuts'."
    judged = "the weights can be trusted." if good else heavy
    enough = effective >= ESS_LIMIT
    return (
        Check("pareto_k", bool(good), f"Pareto k {k:.2f}, limit {LIMIT}: {judged}"),
        Check(
            "ess", bool(enough),
            f"Effective sample size {effective:.0f}, limit {ESS_LIMIT}: {'enough.' if enough else 'take more draws.'}",
        ),
    )  # fmt: skip


def one_path(
    gradient: Callable[[np.ndarray], tuple[float, np.ndarray]], value: Log, size: int, rng: np.random.Generator
) -> Normal | None:
    """Search from a random start and return the best normal approximation on the way; None where there is none.

    Parameters
    ----------
    gradient : callable
        Log density and its gradient at a point.
    value : callable
        Log density at many points.
    size : int
        Dimensions.
    rng : numpy.random.Generator
    """
    known: dict[bytes, tuple[float, np.ndarray]] = {}

    def downhill(x: np.ndarray) -> tuple[float, np.ndarray]:
        log, slope = gradient(x)
        if not (np.isfinite(log) and np.all(np.isfinite(slope))):
            return 1e100, np.zeros(size)
        known[x.tobytes()] = (-log, -slope)
        return -log, -slope

    start = next((x for x in WIDE * rng.standard_normal((TRIES, size)) if downhill(x)[0] < 1e100), None)
    if start is None:
        return None
    points = [start]
    minimize(
        downhill, start, jac=True, method="L-BFGS-B", callback=lambda x: points.append(np.array(x)),
        options={"maxcor": HISTORY, "maxiter": MOST_STEPS},
    )  # fmt: skip
    path = [(x, known[x.tobytes()][1]) for x in points if x.tobytes() in known]
    best: tuple[float, Normal | None] = (-np.inf, None)
    for normal in _approximations(path):
        x = normal.sample(rng, JUDGED_BY)
        bound = float(np.mean(value(x) - normal.log_density(x)))
        if bound > best[0]:
            best = (bound, normal)
    return best[1]


def _approximations(path: list[tuple[np.ndarray, np.ndarray]]) -> list[Normal]:
    """The normal of each point of a path, from the last steps before it (algorithms 3 and 4 of the paper)."""
    found: list[Normal] = []
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    scale = np.ones(len(path[0][0]))
    for (before, g0), (x, g) in pairwise(path):
        s, y = x - before, g - g0
        if s @ y > CURVED * np.linalg.norm(s) * np.linalg.norm(y):
            scale = _rescaled(scale, s, y)
            steps = [*steps, (s, y)][-HISTORY:]
        covariance = _inverse_hessian(scale, steps)
        try:
            found.append(Normal(x - covariance @ g, np.linalg.cholesky(covariance)))
        except np.linalg.LinAlgError:
            continue
    return found


def _rescaled(scale: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Diagonal of the inverse Hessian after a step (Gilbert and Lemarechal 1989)."""
    a, b, c = y @ (scale * y), y @ s, s @ (s / scale)
    inverse = a / (b * scale) + y**2 / b - a * s**2 / (b * c * scale**2)
    return np.where(inverse > 0, 1.0 / np.where(inverse > 0, inverse, 1.0), scale)


def _inverse_hessian(scale: np.ndarray, steps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Limited-memory inverse Hessian in its compact form (Byrd, Nocedal and Schnabel 1994)."""
    if not steps:
        return np.diag(scale)
    s, y = (np.stack([step[k] for step in steps], axis=1) for k in (0, 1))
    both = s.T @ y
    upper, diagonal = np.triu(both), np.diag(np.diag(both))
    inverse = np.linalg.inv(upper)
    beta = np.hstack([scale[:, None] * y, s])
    corner = inverse.T @ (diagonal + y.T @ (scale[:, None] * y)) @ inverse
    gamma = np.block([[np.zeros_like(both), -inverse], [-inverse.T, corner]])
    return np.asarray(np.diag(scale) + beta @ gamma @ beta.T)
