"""The mode of the joint posterior of a population, random effects and all, as a frame for a sampler.

Where there are many coordinates, the mode with random effects integrated out costs more than sampling: its curvature
takes 2 n^2 searches. The joint mode in non-centred form needs one gradient a step, and its curvature 2 n of them. It is
no estimate (its spreads are too small), but a sampler only asks it for directions and widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize

from mscpkpd.fitting.coordinates import Coordinates, Spreads
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.frame import Frame
from mscpkpd.population import Population

__all__ = ["joint_frame"]

STEP = 1e-4  # of central differences, on scales where a prior has about unit width
MOST_ITERATIONS = 300
FARTHEST = 1e10  # what a search is told where the model cannot be solved
# Of the curvature along any direction, in units of the prior's: less would let a sampler start far outside the prior.
FLATTEST = 0.25


@dataclass(frozen=True, eq=False)
class _Joint:
    """Log density of parameters, spreads and random effects in units of their spread, with its gradient."""

    population: Population

    @cached_property
    def coordinates(self) -> Coordinates:
        return Coordinates(self.population)

    @cached_property
    def noise(self) -> tuple[int, ...]:
        """Free parameters that act on the density of rows without changing a prediction."""
        known = self.population.positions
        return tuple(k for k, name in enumerate(self.population.problem.names) if name not in known)

    @property
    def start(self) -> np.ndarray:
        return np.concatenate([self.coordinates.start, np.zeros(self.population.offsets[-1])])

    def effects(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Random effects of coordinates and of standard normal variables."""
        found = self.coordinates.spreads(x)
        return np.concatenate(
            [np.zeros(0), *(self._level(k, block @ root.T, found) for k, block, root in self._blocks(u, found))]
        )

    def _level(self, k: int, mixed: np.ndarray, found: Spreads) -> np.ndarray:
        first = sum(len(level.effects) for level in self.population.levels[:k])
        return np.asarray((mixed * found.sd[first : first + mixed.shape[1]]).reshape(-1))

    def _blocks(self, u: np.ndarray, found: Spreads) -> list[tuple[int, np.ndarray, np.ndarray]]:
        return [(k, self.population.eta_of(k, u), found.roots[k]) for k in range(len(self.population.levels))]

    def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log density, and its gradient."""
        n = len(self.coordinates.names)
        x, u = z[:n], z[n:]
        theta, eta = self.coordinates.theta(x), self.effects(x, u)
        problem = self.population.problem
        found = self.population.predict(theta, eta, by_eta=True, by_theta=True)
        rows = densities(problem, found.value, problem.values(theta))
        value = float(np.sum(rows.value)) + self.coordinates.log_prior(x) - 0.5 * float(u @ u)
        if not np.isfinite(value) or not np.all(np.isfinite(rows.slope)):
            return FARTHEST, np.zeros(len(z))
        slope = np.zeros(len(z))
        for k, prior in enumerate(parameter.prior for parameter in problem.free):
            slope[k] = float(rows.slope @ found.by_theta[:, k]) * float(prior.dx_dz(x[k]))
        for k in self.noise:
            slope[k] += self._by_noise(found.value, x, k)
        by_eta = np.zeros(len(eta))
        for e, places in enumerate(self.population.places):
            mine = places[self.population.case]
            np.add.at(by_eta, mine[mine >= 0], (rows.slope * found.by_eta[:, e])[mine >= 0])
        slope[n:] = self._by_units(by_eta, x) - u
        for k in range(len(problem.free), n):
            up, down = (self.effects(x + sign * STEP * np.eye(n)[k], u) for sign in (1, -1))
            slope[k] = float(by_eta @ (up - down)) / (2 * STEP)
        slope[:n] += self._prior_slope(x)
        return -value, -slope

    def _by_noise(self, f: np.ndarray, x: np.ndarray, k: int) -> float:
        problem, move = self.population.problem, STEP * np.eye(len(x))[k]
        up, down = (
            float(np.sum(densities(problem, f, problem.values(self.coordinates.theta(x + sign * move))).value))
            for sign in (1, -1)
        )
        return (up - down) / (2 * STEP)

    def _by_units(self, by_eta: np.ndarray, x: np.ndarray) -> np.ndarray:
        found = self.coordinates.spreads(x)
        parts = [np.zeros(0)]
        for k, block, root in self._blocks(by_eta, found):
            parts.append((self._level(k, block, found).reshape(block.shape) @ root).reshape(-1))
        return np.concatenate(parts)

    def _prior_slope(self, x: np.ndarray) -> np.ndarray:
        moves = STEP * np.eye(len(x))
        log_prior = self.coordinates.log_prior
        return np.array([(log_prior(x + move) - log_prior(x - move)) / (2 * STEP) for move in moves])


def joint_frame(population: Population) -> Frame | None:
    """Coordinates about the joint mode, in the non-centred form.

    Parameters
    ----------
    population : Population
        Whose levels are all sampled in units of their spread.

    Returns
    -------
    Frame or None
        None where no mode was found.
    """
    joint = _Joint(population)
    scale = _prior_widths(joint)
    found = minimize(
        lambda y: _scaled(joint, y, scale),
        joint.start / scale,
        jac=True,
        method="BFGS",
        options={"maxiter": MOST_ITERATIONS, "gtol": 1e-2},
    )
    if not found.fun < FARTHEST:
        return None
    y = np.asarray(found.x)
    moves = STEP * np.eye(len(y))
    hessian = np.array(
        [(_scaled(joint, y + move, scale)[1] - _scaled(joint, y - move, scale)[1]) / (2 * STEP) for move in moves]
    )
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    if not np.all(np.isfinite(values)):
        return None
    covariance = vectors / np.maximum(values, FLATTEST) @ vectors.T
    return Frame(y * scale, np.linalg.cholesky(scale[:, None] * covariance * scale))


def _scaled(joint: _Joint, y: np.ndarray, scale: np.ndarray) -> tuple[float, np.ndarray]:
    value, slope = joint(y * scale)
    return value, slope * scale


def _prior_widths(joint: _Joint) -> np.ndarray:
    population = joint.population
    priors = [p.prior for p in population.problem.free]
    priors += [population.effects[k].prior for k in joint.coordinates.free_effects]
    widths = np.ones(len(joint.start))
    widths[: len(priors)] = [prior.free_moments()[1] for prior in priors]
    return widths
