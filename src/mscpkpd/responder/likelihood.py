"""The likelihood of a cohort: measured or censored CXCL10 levels, latent true levels integrated out, and responses.

For patient i with latent ``x ~ N(mu_x, s_x)``, level ``w = x + offset + plate + e``, ``e ~ N(0, s_u)`` and response y::

    p(w, y) = p(w) * integral p(y | x) p(x | w) dx

A measured w leaves x normal: 15-node Gauss-Hermite quadrature. Below or above a limit, w is integrated as well, over
its truncated normal distribution (20-node Gauss-Legendre on its probability scale). Measured replicates count as their
mean with the error SD divided by the root of their number, and the density of their spread; a replicate beyond a limit
weighs the nodes with its normal probability. Draws are the first axis of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, ndtri_exp

from mscpkpd.responder.mixtures import HALF_LOG_2PI, FloatArray, IntArray
from mscpkpd.responder.samples import Kind, Replicates, Samples

__all__ = ["CohortLikelihood", "Theta", "latent", "latent_values", "log_evidence", "shift"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(20)
_PROBABILITY, _PROBABILITY_WEIGHTS = 0.5 * (_LEGENDRE + 1), 0.5 * _LEGENDRE_WEIGHTS
_CENSORED_NODES = len(_NODES) * len(_PROBABILITY)
MOST_NUMBERS = 2_000_000  # in one temporary array: 16 MB
NEVER_SEEN = 1e-300  # floor of a probability before its logarithm
SIDES = ((Kind.BELOW, 1.0), (Kind.ABOVE, -1.0))


class Theta(NamedTuple):
    """Parameters on their natural scales, n draws.

    Attributes
    ----------
    alpha, b1 : array of shape (n,)
        Intercept and slope per `spread`, logit units.
    gamma : array of shape (n, number of covariates)
        Grade, liver, child, and what else the cohort has.
    mu_x, s_x, s_u : array of shape (n,)
        ln pg/mL, ln, ln.
    offset : array of shape (n, number of platforms)
        ln; the first platform is the reference, offset 0.
    plate : array of shape (n, number of plates) or None
        Shifts of plates, ln.
    trial, centre : array of shape (n, number of them) or None
        Shifts of the intercept, logit units.
    slope : array of shape (n, number of trials) or None
        Shifts of b1.
    """

    alpha: FloatArray
    b1: FloatArray
    gamma: FloatArray
    mu_x: FloatArray
    s_x: FloatArray
    s_u: FloatArray
    offset: FloatArray
    plate: FloatArray | None = None
    trial: FloatArray | None = None
    centre: FloatArray | None = None
    slope: FloatArray | None = None

    def part(self, rows: slice) -> Theta:
        """Return some of the draws."""
        return Theta(*(None if values is None else values[rows] for values in self))  # type: ignore[arg-type] # the first seven are arrays


class CohortLikelihood:
    """The log likelihood of a cohort as a function of parameter draws.

    Parameters
    ----------
    samples : Samples
        The cohort; patients without a response inform the levels only.
    """

    def __init__(self, samples: Samples) -> None:
        known = samples.only(samples.sign != 0)
        self._samples = samples
        censored, repeated = np.isin(known.kind, (Kind.BELOW, Kind.ABOVE)), _with_limits(known)
        parts = [known.only((censored == a) & (repeated == b)) for a in (False, True) for b in (False, True)]
        self._groups = [_Responses.of(group) for group in parts if len(group.level)]
        nodes = max(
            (
                len(group.samples.weight) * (_CENSORED_NODES if group.censored else len(_NODES))
                for group in self._groups
            ),
            default=1,
        )
        self._step = max(1, MOST_NUMBERS // nodes)

    def __call__(self, theta: Theta) -> FloatArray:
        """Return log likelihoods of n draws, shape (n,): densities of measured, probabilities of censored levels."""
        total = log_evidence(theta, self._samples).sum(axis=1)
        for first in range(0, len(total), self._step):
            rows = slice(first, first + self._step)
            for group in self._groups:
                total[rows] += group.log_probability(theta.part(rows))
        return np.asarray(total)


@dataclass(frozen=True)
class _Responses:
    """Patients with a response, all of them censored or none."""

    samples: Samples
    owner: IntArray  # patient of each row of the design
    censored: bool

    @classmethod
    def of(cls, samples: Samples) -> _Responses:
        sizes = np.diff(np.append(samples.start, len(samples.weight)))
        censored = bool(np.isin(samples.kind[0], (Kind.BELOW, Kind.ABOVE)))
        return cls(samples, np.repeat(np.arange(len(samples.level)), sizes), censored)

    def log_probability(self, theta: Theta) -> FloatArray:
        """Return log p(y | w) summed over the patients, shape (draws,)."""
        samples = self.samples
        x, weights = _nodes(theta, samples, censored=self.censored)
        step = (_slope(theta, samples) / samples.spread)[:, :, None] * (x - samples.centre)
        fixed = _intercept(theta, samples)[:, self.owner] + theta.gamma @ samples.design.T
        probability = expit(samples.sign[self.owner][:, None] * (fixed[:, :, None] + step[:, self.owner]))
        if weights.ndim == 1:
            averaged = probability @ weights
        else:
            averaged = np.einsum("drq,drq->dr", probability, weights[:, self.owner])
        summed = np.add.reduceat(averaged * samples.weight, samples.start, axis=1)
        return np.asarray(np.log(summed + NEVER_SEEN).sum(axis=1))


def _intercept(theta: Theta, samples: Samples) -> FloatArray:
    """Intercept of each patient, shape (draws, n)."""
    shifts = shift(theta.trial, samples.trial) + shift(theta.centre, samples.clinic)
    return np.asarray(theta.alpha[:, None] + shifts)


def _slope(theta: Theta, samples: Samples) -> FloatArray:
    """Slope of each patient, shape (draws, n)."""
    return np.asarray(theta.b1[:, None] + shift(theta.slope, samples.trial))


def shift(values: FloatArray | None, columns: IntArray) -> FloatArray:
    """Return the shift of each patient, shape (draws, n) or (1, n); 0 where there is none."""
    if values is None:
        return np.zeros((1, len(columns)))
    return np.where(columns >= 0, values[:, columns], 0.0)


# ---- levels --------------------------------------------------------------------------------------------------------


class _Known(NamedTuple):
    """What is known of the levels without their shifts: shapes (draws, n), (draws, n or 1), (draws, n) or 0."""

    level: FloatArray
    variance: FloatArray  # of the error
    log_spread: FloatArray | float  # log density of replicates around their mean


def _known(theta: Theta, samples: Samples) -> _Known:
    """Levels less their shifts; measured replicates become their mean."""
    level = samples.level - theta.offset[:, samples.platform] - shift(theta.plate, samples.plate)
    variance = theta.s_u[:, None] ** 2
    more = samples.more
    if more is None or not (more.kind == Kind.MEASURED).any():
        return _Known(level, variance, 0.0)
    chosen = more.kind == Kind.MEASURED
    member = (more.owner[chosen][:, None] == np.arange(len(samples.level))).astype(float)
    values = _replicate_levels(theta, more)[:, chosen]
    count = 1.0 + member.sum(axis=0)
    total, squares = level + values @ member, level**2 + values**2 @ member
    mean = total / count
    log_spread = -0.5 * (squares - count * mean**2) / variance - 0.5 * np.log(count)
    log_spread = log_spread - (count - 1) * (0.5 * np.log(variance) + HALF_LOG_2PI)
    return _Known(mean, variance / count, log_spread)


def _replicate_levels(theta: Theta, more: Replicates) -> FloatArray:
    return np.asarray(more.level - theta.offset[:, more.platform] - shift(theta.plate, more.plate))


def _with_limits(samples: Samples) -> NDArray[np.bool_]:
    """Patients who have a replicate beyond a limit."""
    found = np.zeros(len(samples.level), bool)
    if samples.more is not None:
        found[samples.more.owner[samples.more.kind != Kind.MEASURED]] = True
    return found


def log_evidence(theta: Theta, samples: Samples) -> FloatArray:
    """Return log p(w), shape (draws, n): normal density, log Phi below or above a limit (B5, B9, B11), 0 if missing."""
    known = _known(theta, samples)
    sd = np.sqrt(theta.s_x[:, None] ** 2 + known.variance)
    scaled = (known.level - theta.mu_x[:, None]) / sd
    total = -0.5 * scaled**2 + (known.log_spread - np.log(sd) - HALF_LOG_2PI)
    for kind, side in SIDES:
        if (chosen := samples.kind == kind).any():
            total[:, chosen] = log_ndtr(side * scaled[:, chosen])
    if (chosen := samples.kind == Kind.MISSING).any():
        total[:, chosen] = 0.0
    repeated = _with_limits(samples)
    for censored in (False, True):
        chosen = repeated & (np.isin(samples.kind, (Kind.BELOW, Kind.ABOVE)) == censored)
        if chosen.any():
            part = samples.only(chosen)
            nodes, weights = _plain_nodes(theta, part, censored=censored)
            total[:, chosen] += np.log(_beyond(theta, part, nodes) @ weights + NEVER_SEEN)
    return np.asarray(total)


def _nodes(theta: Theta, samples: Samples, *, censored: bool) -> tuple[FloatArray, FloatArray]:
    """Nodes of p(x | all measurements), shape (draws, n, q), and their weights, shape (q,) or (draws, n, q)."""
    nodes, weights = _plain_nodes(theta, samples, censored=censored)
    if not _with_limits(samples).any():
        return nodes, weights
    own = weights * _beyond(theta, samples, nodes)
    return nodes, own / (own.sum(axis=-1, keepdims=True) + NEVER_SEEN)


def _plain_nodes(theta: Theta, samples: Samples, *, censored: bool) -> tuple[FloatArray, FloatArray]:
    if censored:
        return _censored_nodes(theta, samples)
    centre, deviation = _moments(theta, samples)
    return centre[..., None] + deviation[..., None] * _NODES, _WEIGHTS


def _beyond(theta: Theta, samples: Samples, nodes: FloatArray) -> FloatArray:
    """Probability that the replicates beyond limits lie there, at nodes of x; shape of the nodes."""
    log_probability = np.zeros_like(nodes)
    more = samples.more
    if more is not None:
        limits = _replicate_levels(theta, more)
        for k in np.flatnonzero(more.kind != Kind.MEASURED):
            side = 1.0 if more.kind[k] == Kind.BELOW else -1.0
            away = (limits[:, k, None] - nodes[:, more.owner[k]]) / theta.s_u[:, None]
            log_probability[:, more.owner[k]] += log_ndtr(side * away)
    return np.asarray(np.exp(log_probability))


def _censored_nodes(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Nodes of p(x | w beyond its limit), shape (draws, n, 300), and their weights."""
    level = _truncated(theta, samples, np.log(_PROBABILITY))
    slope, deviation = (values[..., None] for values in _given_level(theta, theta.s_u[:, None] ** 2))
    mu_x = theta.mu_x[:, None, None]
    nodes = (mu_x + slope * (level - mu_x))[..., None] + deviation[..., None] * _NODES
    return nodes.reshape(*nodes.shape[:2], -1), np.outer(_PROBABILITY_WEIGHTS, _WEIGHTS).ravel()


def _given_level(theta: Theta, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Regression of x on w, and SD of x given w; each of the shape of the error variance."""
    between = theta.s_x[:, None] ** 2
    return between / (between + variance), np.sqrt(between * variance / (between + variance))


def _truncated(theta: Theta, samples: Samples, log_probability: FloatArray) -> FloatArray:
    """Quantiles of a level given that it lies beyond its limit, shape (draws, n, q); exact far in the tail."""
    level = _known(theta, samples).level
    sd = np.hypot(theta.s_x, theta.s_u)[:, None]
    side = np.where(samples.kind == Kind.BELOW, 1.0, -1.0)
    log_mass = log_ndtr(side * (level - theta.mu_x[:, None]) / sd)
    depth = ndtri_exp(log_probability + log_mass[..., None])
    return np.asarray(theta.mu_x[:, None, None] + (side * sd)[..., None] * depth)


def _moments(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Mean and SD of x given the first measurement and its measured replicates, shapes (draws, n)."""
    known = _known(theta, samples)
    slope, sd = _given_level(theta, known.variance)
    level_sd = np.sqrt(theta.s_x[:, None] ** 2 + known.variance)
    scaled = (known.level - theta.mu_x[:, None]) / level_sd
    centre = theta.mu_x[:, None] + slope * level_sd * scaled
    deviation = np.broadcast_to(sd, scaled.shape)
    if (samples.kind == Kind.MEASURED).all():
        return centre, deviation
    deviation = deviation.copy()
    for kind, side in SIDES:
        if (chosen := samples.kind == kind).any():
            end = side * scaled[:, chosen]
            ratio = np.exp(-0.5 * end**2 - HALF_LOG_2PI - log_ndtr(end))
            step = np.broadcast_to(slope * level_sd, scaled.shape)[:, chosen]
            spread = step * np.sqrt(np.clip(1 - end * ratio - ratio**2, 0, 1))
            centre[:, chosen] = theta.mu_x[:, None] - side * step * ratio
            deviation[:, chosen] = np.hypot(deviation[:, chosen], spread)
    missing = samples.kind == Kind.MISSING
    centre[:, missing], deviation[:, missing] = theta.mu_x[:, None], theta.s_x[:, None]
    return centre, deviation


def latent(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Return mean and SD of x given its measurements, each of shape (draws, n), ln pg/mL and ln.

    Of a censored level, x has the moments of the truncated distribution; of a missing one, those of the population.
    """
    centre, deviation = _moments(theta, samples)
    repeated = _with_limits(samples)
    if repeated.any():
        deviation = deviation.copy()
    for censored in (False, True):
        chosen = repeated & (np.isin(samples.kind, (Kind.BELOW, Kind.ABOVE)) == censored)
        if chosen.any():
            nodes, weights = _nodes(theta, samples.only(chosen), censored=censored)
            centre[:, chosen] = mean = (nodes * weights).sum(axis=-1)
            deviation[:, chosen] = np.sqrt((weights * (nodes - mean[..., None]) ** 2).sum(axis=-1))
    return centre, deviation


def latent_values(
    theta: Theta,
    samples: Samples,
    moments: tuple[FloatArray, FloatArray],
    noise: FloatArray,
    probability: FloatArray,
) -> FloatArray:
    """Return one x [ln pg/mL] for each draw and patient, from normal noise and uniform numbers, shape (draws,).

    A level beyond a limit is drawn from its truncated distribution; with replicates beyond limits, x is normal.
    """
    centre, deviation = moments
    values = centre + deviation * noise[:, None]
    censored = np.isin(samples.kind, (Kind.BELOW, Kind.ABOVE)) & ~_with_limits(samples)
    if censored.any():
        part = samples.only(censored)
        level = _truncated(theta, part, np.log(probability)[:, None, None])[..., 0]
        slope, sd = _given_level(theta, theta.s_u[:, None] ** 2)
        values[:, censored] = theta.mu_x[:, None] + slope * (level - theta.mu_x[:, None]) + sd * noise[:, None]
    return np.asarray(values)
