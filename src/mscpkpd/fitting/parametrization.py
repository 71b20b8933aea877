"""How a sampler sees a population: centred or not, and a frame in which the joint posterior is about standard normal.

Random effects in units of their spread (non-centred) suit groups that have few data, random effects as they are
(centred) groups whose own data say nearly all about them. The choice is made effect by effect, at the mode of the
posterior with random effects integrated out: of two that correlate, one may be well known and the other not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mscpkpd.errors import FitError
from mscpkpd.fitting.coordinates import Coordinates, Spreads
from mscpkpd.fitting.focei import Maximum, maximize
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.joint_mode import joint_frame
from mscpkpd.population import Population

__all__ = ["as_sampled", "draw_names", "parametrized", "population_frame"]

# An effect is sampled centred where the data of its groups leave less than this share of its variance.
WELL_KNOWN = 0.5
STEP = 1e-5  # of central differences of the change between both forms
# Above this n the 2 n^2 searches for random effects behind the curvature cost more than they save; the joint mode does.
MOST_COORDINATES = 20


def draw_names(population: Population) -> tuple[str, ...]:
    """Names of what a sampler draws: `Coordinates.names`, then every random effect, if there is one."""
    return (*Coordinates(population).names, *population.eta_names)


def parametrized(population: Population) -> tuple[Population, Frame]:
    """Choose for each random effect between the centred and the non-centred form, and find a frame.

    Parameters
    ----------
    population : Population

    Returns
    -------
    Population
        With the effects that are sampled centred.
    Frame
        About the mode with random effects integrated out, or, where there are many coordinates, the joint mode; the
        priors alone where it cannot be found.
    """
    if len(Coordinates(population).names) > MOST_COORDINATES:
        return population, joint_frame(population) or _prior_frame(population)
    try:
        found = maximize(population, "focei", with_priors=True)
    except (FitError, np.linalg.LinAlgError, ValueError):
        found = None
    if found is None or not found.concave or not found.mode.converged:
        return population, _prior_frame(population)
    spreads, variances = found.coordinates.spreads(found.x), np.diag(found.mode.covariance)
    centred, first = [], 0
    for k, level in enumerate(population.levels):
        sd = spreads.sd[first : first + len(level.effects)]
        first += len(level.effects)
        share = np.mean(population.eta_of(k, variances), axis=0) / sd**2
        centred += [effect.name for effect, left in zip(level.effects, share, strict=True) if left < WELL_KNOWN]
    chosen = replace(population, centred=tuple(centred))
    return chosen, population_frame(chosen, found)


def _prior_frame(population: Population) -> Frame:
    coordinates = Coordinates(population)
    priors = [p.prior for p in population.problem.free]
    priors += [population.effects[k].prior for k in coordinates.free_effects]
    center = np.concatenate([coordinates.start, np.zeros(population.offsets[-1])])
    scale = np.ones(len(center))
    scale[: len(priors)] = [prior.free_moments()[1] for prior in priors]
    return Frame(center, np.diag(scale))


def population_frame(population: Population, found: Maximum) -> Frame:
    """Coordinates in which the joint posterior of typical values, spreads and random effects is about standard normal.

    Parameters
    ----------
    population : Population
    found : Maximum
        Of the posterior with random effects integrated out.

    Returns
    -------
    Frame

    Notes
    -----
    With x the coordinates, u the random effects as sampled: x has the covariance of the maximum; u given x has that of
    its mode, which drifts with x.
    """
    coordinates, x, eta = found.coordinates, found.x, found.mode.eta
    n, total = len(x), len(eta)
    center = np.concatenate([x, as_sampled(population, eta, coordinates.spreads(x))])
    moves = STEP * np.eye(n)
    drift = [
        as_sampled(population, eta + found.drift @ move, coordinates.spreads(x + move))
        - as_sampled(population, eta - found.drift @ move, coordinates.spreads(x - move))
        for move in moves
    ]
    units = np.eye(total)
    here = coordinates.spreads(x)
    whiten = np.stack([as_sampled(population, unit, here) for unit in units], axis=1) if total else units
    axes = np.zeros((n + total, n + total))
    axes[:n, :n] = np.linalg.cholesky(found.covariance)
    if total:
        axes[n:, :n] = np.stack(drift, axis=1) / (2 * STEP) @ axes[:n, :n]
        axes[n:, n:] = np.linalg.cholesky(whiten @ found.mode.covariance @ whiten.T)
    return Frame(center, axes)


def as_sampled(population: Population, eta: np.ndarray, spreads: Spreads) -> np.ndarray:
    """Random effects as a sampler has them: as they are where they are centred, else in units of their spread."""
    parts, first = [np.zeros(0)], 0
    for k, level in enumerate(population.levels):
        block = population.eta_of(k, eta)
        sd = spreads.sd[first : first + len(level.effects)]
        whitened = np.linalg.solve(spreads.roots[k], (block / sd).T).T
        centred = [effect.name in population.centred for effect in level.effects]
        first += len(level.effects)
        parts.append(np.where(centred, block, whitened).reshape(-1))
    return np.concatenate(parts)
