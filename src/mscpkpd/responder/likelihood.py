"""The likelihood of a cohort: measured or censored CXCL10 levels, latent true levels integrated out, and responses.

For patient i with latent ``x ~ N(mu_x, s_x)``, level ``w = x + offset + e``, ``e ~ N(0, s_u)`` and response y::

    p(w, y) = p(w) * integral p(y | x) p(x | w) dx

A measured w leaves x normal: 15-node Gauss-Hermite quadrature. Below or above a limit, w is integrated as well, over
its truncated normal distribution (20-node Gauss-Legendre on its probability scale). Draws are the first axis of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, ndtri_exp

from mscpkpd.responder.mixtures import HALF_LOG_2PI, FloatArray, IntArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.cohort import Patient
    from mscpkpd.responder.definition import Definition

__all__ = [
    "CohortLikelihood",
    "Kind",
    "Samples",
    "Theta",
    "covariate_ways",
    "draw_latent",
    "latent",
    "log_evidence",
    "platform_names",
    "samples_of",
]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(20)
_PROBABILITY, _PROBABILITY_WEIGHTS = 0.5 * (_LEGENDRE + 1), 0.5 * _LEGENDRE_WEIGHTS
_CENSORED_NODES = len(_NODES) * len(_PROBABILITY)
MOST_NUMBERS = 2_000_000  # in one temporary array: 16 MB
NEVER_SEEN = 1e-300  # floor of a probability before its logarithm


class Kind(IntEnum):
    """What is known of a level."""

    MEASURED = 0
    BELOW = 1
    ABOVE = 2
    MISSING = 3


class Theta(NamedTuple):
    """Parameters on their natural scales, n draws.

    Attributes
    ----------
    alpha, b1 : array of shape (n,)
        Intercept and slope per `spread`, logit units.
    gamma : array of shape (n, 3)
        Grade, liver, child.
    mu_x, s_x, s_u : array of shape (n,)
        ln pg/mL, ln, ln.
    offset : array of shape (n, number of platforms)
        ln; the first platform is the reference, offset 0.
    """

    alpha: FloatArray
    b1: FloatArray
    gamma: FloatArray
    mu_x: FloatArray
    s_x: FloatArray
    s_u: FloatArray
    offset: FloatArray

    def part(self, rows: slice) -> Theta:
        """Return some of the draws."""
        return Theta(*(values[rows] for values in self))


@dataclass(frozen=True)
class Samples:
    """A cohort as arrays.

    Attributes
    ----------
    level : array of shape (n,)
        ln pg/mL: the level or its limit; 0 where missing.
    kind : array of shape (n,)
        See `Kind`.
    platform : array of shape (n,)
        Column of the offsets.
    sign : array of shape (n,)
        +1 responded, -1 did not, 0 not known.
    start : array of shape (n,)
        First row of each patient in `design`: one row for each way to fill in missing covariates.
    design : array of shape (rows, 3)
        Grade steps from C, liver - its centre, child - its centre.
    weight : array of shape (rows,)
        Probability of each row; 1 where nothing is missing.
    centre, spread : float
        Of z = (x - centre)/spread, ln pg/mL and ln.
    """

    level: FloatArray
    kind: IntArray
    platform: IntArray
    sign: IntArray
    start: IntArray
    design: FloatArray
    weight: FloatArray
    centre: float
    spread: float

    def only(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return the patients of a boolean mask."""
        ends = np.append(self.start[1:], len(self.weight))
        picked = [np.arange(a, b) for a, b in zip(self.start[chosen], ends[chosen], strict=True)]
        rows = np.concatenate(picked) if picked else np.zeros(0, int)
        start = np.cumsum([0, *(len(rows) for rows in picked)])[:-1].astype(int)
        return replace(
            self,
            level=self.level[chosen],
            kind=self.kind[chosen],
            platform=self.platform[chosen],
            sign=self.sign[chosen],
            start=start,
            design=self.design[rows],
            weight=self.weight[rows],
        )


def platform_names(definition: Definition, patients: Sequence[Patient]) -> tuple[str, ...]:
    """Return the platforms of a cohort, the reference platform first; case does not matter."""
    names = {definition.reference_platform.casefold(): definition.reference_platform}
    for patient in patients:
        names.setdefault(patient.platform.casefold(), patient.platform)
    return tuple(names.values())


def samples_of(definition: Definition, patients: Sequence[Patient], platforms: Sequence[str]) -> Samples:
    """Return patients as arrays; every platform must be among `platforms`."""
    columns = {name.casefold(): k for k, name in enumerate(platforms)}
    ways = [covariate_ways(definition, patient) for patient in patients]
    sizes = [len(weights) for _, weights in ways]
    kinds = {"none": Kind.MEASURED, "left": Kind.BELOW, "right": Kind.ABOVE}
    return Samples(
        level=np.array([0.0 if patient.level is None else np.log(patient.level.value) for patient in patients]),
        kind=np.array(
            [Kind.MISSING if patient.level is None else kinds[patient.level.censoring] for patient in patients]
        ),
        platform=np.array([columns[patient.platform.casefold()] for patient in patients]),
        sign=np.array([0 if patient.response is None else 2 * patient.response - 1 for patient in patients]),
        start=np.cumsum([0, *sizes])[:-1].astype(int),
        design=np.concatenate([design for design, _ in ways]),
        weight=np.concatenate([weights for _, weights in ways]),
        centre=float(np.log(definition.centre)),
        spread=definition.spread,
    )


def covariate_ways(definition: Definition, patient: Patient) -> tuple[FloatArray, FloatArray]:
    """Return the covariate rows that a patient may have, shape (ways, 3), and their probabilities."""
    steps = {"A": -2.0, "B": -1.0, "C": 0.0, "D": 1.0}
    grades = [(steps[name[-1]], definition.share(name)) for name in ("grade_B", "grade_C", "grade_D")]
    if patient.grade is not None:
        grades = [(steps[patient.grade], 1.0)]
    liver = _indicator(definition.share("liver"), value=patient.liver)
    child = _indicator(definition.share("child"), value=patient.child)
    rows = [((g, a, b), pg * pa * pb) for g, pg in grades for a, pa in liver for b, pb in child]
    return np.array([row for row, _ in rows]), np.array([weight for _, weight in rows])


def _indicator(share: float, *, value: bool | None) -> list[tuple[float, float]]:
    if value is None:
        return [(1.0 - share, share), (-share, 1.0 - share)]
    return [(float(value) - share, 1.0)]


class CohortLikelihood:
    """The log likelihood of a cohort as a function of parameter draws.

    Parameters
    ----------
    samples : Samples
        The cohort; patients without a response inform the levels only.
    """

    def __init__(self, samples: Samples) -> None:
        known = samples.only(samples.sign != 0)
        censored = np.isin(known.kind, (Kind.BELOW, Kind.ABOVE))
        self._samples = samples
        groups = (known.only(~censored), known.only(censored))
        self._groups = [_Responses.of(group) for group in groups if len(group.level)]
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
        x, weights = _censored_nodes(theta, samples) if self.censored else _nodes(theta, samples)
        slope = (theta.b1 / samples.spread)[:, None, None]
        fixed = theta.alpha[:, None] + theta.gamma @ samples.design.T
        linear = fixed[:, :, None] + (slope * (x - samples.centre))[:, self.owner]
        probability = (expit(samples.sign[self.owner][:, None] * linear) @ weights) * samples.weight
        return np.asarray(np.log(np.add.reduceat(probability, samples.start, axis=1) + NEVER_SEEN).sum(axis=1))


def _level_moments(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Mean and SD of a level before it is measured, shapes (draws, n) and (draws, 1)."""
    mean = theta.mu_x[:, None] + theta.offset[:, samples.platform]
    return mean, np.hypot(theta.s_x, theta.s_u)[:, None]


def log_evidence(theta: Theta, samples: Samples) -> FloatArray:
    """Return log p(w), shape (draws, n): normal density, log Phi below or above a limit (B5, B9, B11), 0 if missing."""
    mean, sd = _level_moments(theta, samples)
    scaled = (samples.level - mean) / sd
    measured = -0.5 * scaled**2 - np.log(sd) - HALF_LOG_2PI
    choices = [measured, log_ndtr(scaled), log_ndtr(-scaled), np.zeros_like(scaled)]
    return np.asarray(np.choose(samples.kind, choices))


def _nodes(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Nodes of p(x | w) of measured and missing levels, shape (draws, n, 15), and their weights."""
    centre, deviation = latent(theta, samples)
    return centre[..., None] + deviation[..., None] * _NODES, _WEIGHTS


def _censored_nodes(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Nodes of p(x | w beyond its limit), shape (draws, n, 300), and their weights."""
    level = _truncated(theta, samples, np.log(_PROBABILITY))
    deviation = _given_level(theta)[1][:, None, None, None]
    nodes = _latent_mean(theta, samples, level)[..., None] + deviation * _NODES
    return nodes.reshape(*nodes.shape[:2], -1), np.outer(_PROBABILITY_WEIGHTS, _WEIGHTS).ravel()


def _given_level(theta: Theta) -> tuple[FloatArray, FloatArray]:
    """Regression of x on w, and SD of x given w; each of shape (draws,)."""
    variance = theta.s_x**2 + theta.s_u**2
    return theta.s_x**2 / variance, theta.s_x * theta.s_u / np.sqrt(variance)


def _latent_mean(theta: Theta, samples: Samples, level: FloatArray) -> FloatArray:
    """Mean of x given levels w of shape (draws, n, q)."""
    slope = _given_level(theta)[0][:, None, None]
    expected = theta.mu_x[:, None] + theta.offset[:, samples.platform]
    return np.asarray(theta.mu_x[:, None, None] + slope * (level - expected[..., None]))


def _truncated(theta: Theta, samples: Samples, log_probability: FloatArray) -> FloatArray:
    """Quantiles of a level given that it lies beyond its limit, shape (draws, n, q); exact far in the tail."""
    mean, sd = _level_moments(theta, samples)
    side = np.where(samples.kind == Kind.BELOW, 1.0, -1.0)
    log_mass = log_ndtr(side * (samples.level - mean) / sd)
    depth = ndtri_exp(log_probability + log_mass[..., None])
    return np.asarray(mean[..., None] + (side * sd)[..., None] * depth)


def latent(theta: Theta, samples: Samples) -> tuple[FloatArray, FloatArray]:
    """Return mean and SD of x given its level, each of shape (draws, n), ln pg/mL and ln.

    Of a censored level, x has the moments of the truncated distribution; of a missing one, those of the population.
    """
    slope, sd = _given_level(theta)
    before, level_sd = _level_moments(theta, samples)
    scaled = (samples.level - before) / level_sd
    shift, spread = np.zeros_like(scaled), np.zeros_like(scaled)
    for kind, side in ((Kind.BELOW, 1.0), (Kind.ABOVE, -1.0)):
        end = side * scaled
        ratio = np.exp(-0.5 * end**2 - HALF_LOG_2PI - log_ndtr(end))
        shift = np.where(samples.kind == kind, -side * ratio, shift)
        spread = np.where(samples.kind == kind, np.sqrt(np.clip(1 - end * ratio - ratio**2, 0, 1)), spread)
    shift = np.where(samples.kind == Kind.MEASURED, scaled, shift)
    centre = theta.mu_x[:, None] + slope[:, None] * level_sd * shift
    deviation = np.hypot(sd[:, None], slope[:, None] * level_sd * spread)
    return centre, np.where(samples.kind == Kind.MISSING, theta.s_x[:, None], deviation)


def draw_latent(theta: Theta, samples: Samples, rng: np.random.Generator) -> FloatArray:
    """Return one random x [ln pg/mL] for each draw, of a single patient; shape (draws,)."""
    noise = rng.standard_normal(len(theta.mu_x))
    if samples.kind[0] in (Kind.MEASURED, Kind.MISSING):
        centre, deviation = latent(theta, samples)
        return np.asarray(centre[:, 0] + deviation[:, 0] * noise)
    level = _truncated(theta, samples, np.log(1.0 - rng.random((len(noise), 1, 1))))
    return np.asarray(_latent_mean(theta, samples, level)[:, 0, 0] + _given_level(theta)[1] * noise)
