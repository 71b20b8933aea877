"""Priors of the responder model: mixtures of normals on the free scale, with densities and draws in closed form."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr, ndtri

from mscpkpd.errors import ParameterError
from mscpkpd.parameters import Prior

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FloatArray", "IntArray", "JointPrior", "NormalMixture", "parse_terms"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
TERM = re.compile(r"(?P<weight>[\d.]+)\s*\*\s*(?P<prior>.+)")
BETWEEN_TERMS = re.compile(r"\+(?![^()]*\))")


def parse_terms(text: str, where: str = "") -> tuple[tuple[float, Prior], ...]:
    """Read a prior or a weighted sum of priors, such as ``"0.8*normal(0.42, 0.35) + 0.2*normal(0, 1.5)"``.

    Parameters
    ----------
    text : str
        One prior, or terms ``weight*prior`` whose weights sum to 1.
    where : str
        File and key, for messages.

    Returns
    -------
    tuple of (float, Prior)
        Weight and prior of each term.

    Raises
    ------
    ParameterError
        If a term is no prior, or the weights do not sum to 1.
    """
    parts = [part.strip() for part in BETWEEN_TERMS.split(text)]
    terms = [TERM.fullmatch(part) for part in parts]
    if len(parts) == 1 and terms[0] is None:
        return ((1.0, Prior.parse(text, where)),)
    if any(term is None for term in terms):
        raise ParameterError(
            f"'{text}' is no mixture", where=where, expected="0.8*normal(0.4, 0.3) + 0.2*normal(0, 1.5)"
        )
    weighted = tuple((float(term["weight"]), Prior.parse(term["prior"], where)) for term in terms if term)
    total = sum(weight for weight, _ in weighted)
    if not math.isclose(total, 1.0, abs_tol=1e-9):
        raise ParameterError(f"weights of '{text}' sum to {total:g}", where=where, expected="1")
    return weighted


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normals for one parameter, on its free scale z.

    Attributes
    ----------
    text : str
        As written in the file.
    weights, means, sds : tuple of float
        Of the components, in the unit of z.
    transform : str
        "identity"; "log" where the parameter is exp(z); "halfnormal" where it is a half-normal quantile of Phi(z).
    scale : float
        Of the half-normal distribution, in the unit of the parameter.
    """

    text: str
    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    transform: str = "identity"
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str, where: str = "") -> NormalMixture:
        """Read `text`, see `parse_terms`.

        Raises
        ------
        ParameterError
            If a term is neither normal nor lognormal, or terms of both kinds are mixed.
        """
        terms = parse_terms(text, where)
        kinds = {prior.family for _, prior in terms}
        if kinds == {"halfnormal"} and len(terms) == 1:
            return cls(text, (1.0,), (0.0,), (1.0,), "halfnormal", terms[0][1].args[-1])
        if len(kinds) > 1 or not kinds <= {"normal", "lognormal"}:
            raise ParameterError(
                f"prior '{text}'",
                where=where,
                expected="normal(mean, sd) or lognormal(median, cv), or a mixture of one kind",
            )
        weights, priors = zip(*terms, strict=True)
        means, sds = zip(*(prior.free_moments() for prior in priors), strict=True)
        return cls(text, weights, means, sds, priors[0].transform)

    @property
    def mean(self) -> float:
        """Mean of z."""
        return float(np.dot(self.weights, self.means))

    @property
    def sd(self) -> float:
        """Standard deviation of z."""
        second = np.dot(self.weights, np.square(self.sds) + np.square(self.means))
        return math.sqrt(float(second) - self.mean**2)

    def natural(self, z: FloatArray) -> FloatArray:
        """Return values of the parameter at z, any shape."""
        if self.transform == "log":
            return np.asarray(np.exp(z))
        return np.asarray(-self.scale * ndtri(0.5 * ndtr(-z))) if self.transform == "halfnormal" else z

    def free(self, values: FloatArray) -> FloatArray:
        """Return z of values of the parameter, any shape."""
        if self.transform == "log":
            return np.asarray(np.log(values))
        return np.asarray(-ndtri(2 * ndtr(-values / self.scale))) if self.transform == "halfnormal" else values

    def cdf(self, z: float) -> float:
        """Probability of a value below z."""
        return float(np.dot(self.weights, ndtr((z - np.asarray(self.means)) / np.asarray(self.sds))))

    def quantile(self, p: float) -> float:
        """Return the value of z below which lies the probability p, 0 < p < 1."""
        low, high = min(self.means) - 40 * max(self.sds), max(self.means) + 40 * max(self.sds)
        return float(brentq(lambda z: self.cdf(z) - p, low, high, xtol=1e-12))

    def plus(self, other: NormalMixture, factor: float) -> NormalMixture:
        """Return the distribution of z + factor * z', with z' from `other` and independent."""
        own = zip(self.weights, self.means, self.sds, strict=True)
        others = zip(other.weights, other.means, other.sds, strict=True)
        pairs = list(itertools.product(own, others))
        return NormalMixture(
            f"{self.text} + {factor:g}*({other.text})",
            tuple(a[0] * b[0] for a, b in pairs),
            tuple(a[1] + factor * b[1] for a, b in pairs),
            tuple(math.hypot(a[2], factor * b[2]) for a, b in pairs),
        )

    def log_density(self, z: FloatArray) -> FloatArray:
        """Return the log density at z, any shape."""
        scaled = (z[..., None] - np.asarray(self.means)) / np.asarray(self.sds)
        terms = np.log(self.weights) - np.log(self.sds) - HALF_LOG_2PI - 0.5 * scaled**2
        return np.asarray(logsumexp(terms, axis=-1))

    def sample(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Return `size` random values of z."""
        component = rng.choice(len(self.weights), size=size, p=np.asarray(self.weights) / sum(self.weights))
        return np.asarray(self.means)[component] + np.asarray(self.sds)[component] * rng.standard_normal(size)


@dataclass(frozen=True)
class JointPrior:
    """Independent priors of several parameters.

    Attributes
    ----------
    names : tuple of str
        Parameters, in the order of the columns of all arrays.
    mixtures : tuple of NormalMixture
        Their priors.
    """

    names: tuple[str, ...]
    mixtures: tuple[NormalMixture, ...]

    @cached_property
    def sd(self) -> FloatArray:
        """Standard deviations, shape (d,)."""
        return np.array([mixture.sd for mixture in self.mixtures])

    def log_density(self, z: FloatArray) -> FloatArray:
        """Return log densities, shape (n,), of rows z, shape (n, d)."""
        columns = (mixture.log_density(z[:, k]) for k, mixture in enumerate(self.mixtures))
        return np.asarray(sum(columns, start=np.zeros(len(z))))

    def components(self) -> Iterator[tuple[float, FloatArray, FloatArray]]:
        """Yield log weight, means (d,) and sds (d,) of each normal of which the joint prior is the mixture."""
        for choice in itertools.product(*(range(len(mixture.weights)) for mixture in self.mixtures)):
            picked = list(zip(self.mixtures, choice, strict=True))
            log_weight = sum(math.log(mixture.weights[k]) for mixture, k in picked)
            means = np.array([mixture.means[k] for mixture, k in picked])
            yield log_weight, means, np.array([mixture.sds[k] for mixture, k in picked])

    def sample(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Return random rows, shape (size, d)."""
        return np.column_stack([mixture.sample(rng, size) for mixture in self.mixtures])
