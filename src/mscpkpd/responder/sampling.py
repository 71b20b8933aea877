"""Draws from a posterior: importance resampling around its modes, and a random-walk sampler where that is not enough.

Each normal of the prior mixture has its own mode; a multivariate t distribution stands at every one of them, so that a
posterior between two parts of the prior is covered. The effective number of draws says whether it worked: below a tenth
of the proposals the proposal is fitted again, and if that does not help an adaptive Metropolis sampler takes over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

from mscpkpd.errors import FitError, UnknownName
from mscpkpd.responder.mixtures import FloatArray, JointPrior

__all__ = ["METHODS", "LogLikelihood", "PosteriorSample", "sample_posterior"]

LogLikelihood = Callable[[FloatArray], FloatArray]

METHODS = ("auto", "importance", "metropolis")
FREEDOM = 5.0  # of the t proposals: tails heavier than any posterior of this model
LEAST_WEIGHT = 0.1  # of each mode in the proposal, whatever its Laplace evidence
LEAST_EFFECTIVE = 0.1  # share of the proposals
REFITS = 2
CHAINS, WARM_UP, STEPS = 24, 1500, 3000
LARGEST_R_HAT = 1.03
STEP = 1e-3  # of finite differences, in prior SDs


@dataclass(frozen=True)
class PosteriorSample:
    """Equally weighted draws and how good they are.

    Attributes
    ----------
    draws : array of shape (n, d)
        On the free scale.
    ess : float
        Effective number of independent draws.
    method : str
        "importance", "importance, refitted" or "metropolis".
    ok : bool
        Whether the method's own check passed.
    check : str
        That check in words.
    """

    draws: FloatArray
    ess: float
    method: str
    ok: bool
    check: str


def sample_posterior(
    log_likelihood: LogLikelihood, prior: JointPrior, draws: int, rng: np.random.Generator, method: str = "auto"
) -> PosteriorSample:
    """Draw from ``prior * likelihood``.

    Parameters
    ----------
    log_likelihood : callable
        Takes rows of parameters on the free scale, shape (n, d); returns shape (n,).
    prior : JointPrior
        Mixtures of normals on that scale.
    draws : int
        Number of draws to return.
    rng : numpy.random.Generator
        Source of the numbers: the same state gives the same draws.
    method : str
        "auto", "importance" or "metropolis".

    Returns
    -------
    PosteriorSample

    Raises
    ------
    FitError
        If the likelihood is not finite at the centre of the prior.
    """
    if method not in METHODS:
        raise UnknownName.among("method", method, METHODS)
    modes = [_mode(log_likelihood, component) for component in prior.components()]
    if method != "metropolis":
        sample = _importance(log_likelihood, prior, _Proposal.at(modes), draws, rng)
        if sample.ok or method == "importance":
            return sample
    return _metropolis(log_likelihood, prior, modes, draws, rng)


# ---- modes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mode:
    """A normal approximation of the posterior under one normal of the prior."""

    log_mass: float
    centre: FloatArray
    root: FloatArray  # lower Cholesky factor of the covariance


def _mode(log_likelihood: LogLikelihood, component: tuple[float, FloatArray, FloatArray]) -> _Mode:
    log_weight, mean, sd = component

    def log_posterior(v: FloatArray) -> FloatArray:
        return np.asarray(log_likelihood(mean + sd * v) - 0.5 * np.sum(v**2, axis=-1))

    def loss(v: FloatArray) -> tuple[float, FloatArray]:
        steps = np.concatenate([np.zeros((1, len(v))), STEP * np.eye(len(v)), -STEP * np.eye(len(v))])
        values = log_posterior(v + steps)
        ahead, behind = np.split(values[1:], 2)
        return -float(values[0]), -(ahead - behind) / (2 * STEP)

    if not np.isfinite(log_likelihood(mean[None])[0]):
        raise FitError(
            "the likelihood of this cohort is not finite at the centre of the prior",
            hint="check levels and units of the cohort",
        )
    best = minimize(loss, np.zeros(len(mean)), jac=True, method="BFGS", options={"gtol": 1e-3, "maxiter": 200})
    covariance, log_determinant = _inverse(-_curvature(log_posterior, best.x))
    log_mass = log_weight - float(best.fun) - 0.5 * log_determinant
    return _Mode(log_mass, mean + sd * best.x, sd[:, None] * _cholesky(covariance))


def _curvature(function: Callable[[FloatArray], FloatArray], v: FloatArray) -> FloatArray:
    """Matrix of second derivatives by central differences, all points in one call."""
    size, step = len(v), 10 * STEP
    pairs = [(j, k) for j in range(size) for k in range(j + 1)]
    unit = step * np.eye(size)
    corners = [v + a * unit[j] + b * unit[k] for j, k in pairs for a in (1, -1) for b in (1, -1)]
    values = function(np.array(corners)).reshape(-1, 4) @ np.array([1.0, -1.0, -1.0, 1.0]) / (4 * step**2)
    matrix = np.zeros((size, size))
    for (j, k), value in zip(pairs, values, strict=True):
        matrix[j, k] = matrix[k, j] = value
    return matrix


def _inverse(precision: FloatArray) -> tuple[FloatArray, float]:
    """Inverse and log determinant, in units of the prior; no direction wider than 1.8 prior SDs."""
    values, vectors = np.linalg.eigh(precision)
    values = np.maximum(values, 0.3)
    return (vectors / values) @ vectors.T, float(np.log(values).sum())


# ---- importance resampling -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Proposal:
    """A mixture of multivariate t distributions."""

    weights: FloatArray
    centres: tuple[FloatArray, ...]
    roots: tuple[FloatArray, ...]

    @classmethod
    def at(cls, modes: list[_Mode]) -> _Proposal:
        masses = np.array([mode.log_mass for mode in modes])
        weights = np.maximum(np.exp(masses - logsumexp(masses)), LEAST_WEIGHT)
        return cls(weights / weights.sum(), tuple(mode.centre for mode in modes), tuple(mode.root for mode in modes))

    def refitted(self, draws: FloatArray, weights: FloatArray) -> _Proposal:
        """Add the weighted moments of earlier draws as the main part."""
        centre = weights @ draws
        away = draws - centre
        covariance = 1.2 * (away.T * weights) @ away + 1e-9 * np.diag(np.var(draws, axis=0))
        own = np.concatenate([[0.7], 0.3 * self.weights])
        return _Proposal(own, (centre, *self.centres), (_cholesky(covariance), *self.roots))

    def sample(self, size: int, rng: np.random.Generator) -> FloatArray:
        part = rng.choice(len(self.weights), size=size, p=self.weights)
        noise = rng.standard_normal((size, len(self.centres[0])))
        noise /= np.sqrt(rng.chisquare(FREEDOM, size) / FREEDOM)[:, None]
        spread = np.einsum("nij,nj->ni", np.array(self.roots)[part], noise)
        return np.asarray(np.array(self.centres)[part] + spread)

    def log_density(self, draws: FloatArray) -> FloatArray:
        d = draws.shape[1]
        constant = float(gammaln((FREEDOM + d) / 2) - gammaln(FREEDOM / 2)) - 0.5 * d * math.log(FREEDOM * math.pi)
        terms = []
        for weight, centre, root in zip(self.weights, self.centres, self.roots, strict=True):
            distance = np.sum(np.linalg.solve(root, (draws - centre).T) ** 2, axis=0)
            scale = math.log(weight) - float(np.log(np.abs(np.diag(root))).sum())
            terms.append(scale + constant - 0.5 * (FREEDOM + d) * np.log1p(distance / FREEDOM))
        return np.asarray(logsumexp(terms, axis=0))


def _importance(
    log_likelihood: LogLikelihood, prior: JointPrior, proposal: _Proposal, draws: int, rng: np.random.Generator
) -> PosteriorSample:
    size = 2 * draws
    method = "importance"
    for attempt in range(REFITS + 1):
        points = proposal.sample(size, rng)
        log_weights = log_likelihood(points) + prior.log_density(points) - proposal.log_density(points)
        log_weights[~np.isfinite(log_weights)] = -np.inf
        weights = np.exp(log_weights - logsumexp(log_weights))
        ess = 1.0 / float(np.sum(weights**2))
        if ess >= LEAST_EFFECTIVE * size or attempt == REFITS:
            break
        # tempered, so that the few heavy draws of a bad proposal do not collapse the next one
        tempered = np.exp(0.5 * (log_weights - log_weights.max()))
        proposal = proposal.refitted(points, tempered / tempered.sum())
        method = "importance, refitted"
    check = f"{ess:.0f} effective of {size} proposals (a tenth is required)"
    chosen = points[_systematic(weights, draws, rng)]
    return PosteriorSample(chosen, min(ess, draws), method, ess >= LEAST_EFFECTIVE * size, check)


def _systematic(weights: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """Indices of `size` draws, each repeated in proportion to its weight, in random order."""
    positions = (rng.random() + np.arange(size)) / size
    indices = np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)
    return np.asarray(rng.permutation(indices))


# ---- adaptive Metropolis -------------------------------------------------------------------------------------------


def _metropolis(
    log_likelihood: LogLikelihood, prior: JointPrior, modes: list[_Mode], draws: int, rng: np.random.Generator
) -> PosteriorSample:
    """Random-walk chains side by side; the proposal learns covariance and step size during warm-up, then is frozen."""
    start = _Proposal.at(modes)
    state = start.sample(CHAINS, rng)
    current = log_likelihood(state) + prior.log_density(state)
    root = start.roots[int(np.argmax(start.weights))]
    scale = 2.38 / math.sqrt(state.shape[1])
    kept: list[FloatArray] = []
    recent: list[FloatArray] = []
    for step in range(WARM_UP + STEPS):
        proposed = state + scale * rng.standard_normal(state.shape) @ root.T
        candidate = log_likelihood(proposed) + prior.log_density(proposed)
        accepted = np.log(rng.random(CHAINS)) < candidate - current
        state = np.where(accepted[:, None], proposed, state)
        current = np.where(accepted, candidate, current)
        (recent if step < WARM_UP else kept).append(state)
        if step < WARM_UP:
            scale *= math.exp((float(accepted.mean()) - 0.25) / math.sqrt(1 + step))
            if step % 300 == 299:
                root = _root_of(np.concatenate(recent[-300:]))
    return _chains_to_sample(np.array(kept), draws, rng)


def _root_of(points: FloatArray) -> FloatArray:
    covariance = np.cov(points, rowvar=False).reshape(points.shape[1], -1)
    return _cholesky(covariance + 1e-9 * np.diag(np.diag(covariance)))


def _cholesky(covariance: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.cholesky(covariance), float)


def _chains_to_sample(chains: FloatArray, draws: int, rng: np.random.Generator) -> PosteriorSample:
    """Thin chains of shape (steps, chains, d) and judge them by split R-hat."""
    halves = np.concatenate(np.split(chains, 2), axis=1)
    within = halves.var(axis=0, ddof=1).mean(axis=0)
    between = halves.mean(axis=0).var(axis=0, ddof=1)
    r_hat = float(np.sqrt(1 + np.max(between / within)))
    # the variance of the means of chain halves says how many independent draws a half is worth
    ess = float(halves.shape[1] * np.min(within / between))
    every = chains.reshape(-1, chains.shape[-1])
    chosen = (
        every[rng.permutation(len(every))[:draws]]
        if len(every) >= draws
        else every[rng.integers(len(every), size=draws)]
    )
    check = (
        f"largest R-hat {r_hat:.3f} of {CHAINS} chains (at most {LARGEST_R_HAT} is required), {ess:.0f} effective draws"
    )
    return PosteriorSample(chosen, min(ess, draws), "metropolis", r_hat <= LARGEST_R_HAT, check)
