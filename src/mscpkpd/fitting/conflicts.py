"""Prior-data conflict: a prior under which what the data say about its parameter would be a surprise.

Before data are seen, the posterior mean of a parameter on its transformed scale varies about the prior mean with the
prior variance minus the (mean) posterior variance. How far out the actual posterior mean lies is a check of the prior
that counts what the data could not have told (Evans and Moshonov 2006, Bayesian Analysis 1, 893; exact where prior and
likelihood are normal).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from mscpkpd.problem import FreeParameter
from mscpkpd.rounding import number

__all__ = ["Conflict", "conflicts", "conflicts_of_draws"]

LEVEL = 0.01  # of all parameters together
TOLD = 0.05  # share of the prior variance that the data must have removed for there to be anything to compare


@dataclass(frozen=True)
class Conflict:
    """A parameter whose prior the data contradict.

    Attributes
    ----------
    parameter : str
    estimate : float
        Posterior mean of the transformed scale, in the unit of the parameter.
    unit : str
    prior : str
        As it was in force.
    probability : float
        Of a posterior mean at least as far out, if the prior were right; two-sided.
    """

    parameter: str
    estimate: float
    unit: str
    prior: str
    probability: float

    @property
    def sentence(self) -> str:
        """What contradicts what, and what to do."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"prior-data conflict: the data put {self.parameter} at {number(self.estimate)}{unit}, which its prior "
            f"{self.prior} would give with probability {number(self.probability, 2)}; check the unit and source of the "
            "prior and of the rows, or widen the prior"
        )


def conflicts(
    free: Iterable[FreeParameter], moments: Mapping[str, tuple[float, float]], units: Mapping[str, str]
) -> tuple[Conflict, ...]:
    """Name the parameters whose prior the data contradict.

    Parameters
    ----------
    free : iterable of FreeParameter
        With the priors in force.
    moments : mapping of str to (float, float)
        Mean and variance of the posterior of each, transformed scale; those without are not judged.
    units : mapping of str to str

    Returns
    -------
    tuple of Conflict
        The gravest first.
    """
    judged = []
    for p in free:
        if p.name not in moments:
            continue
        (mean, variance), (center, sd) = moments[p.name], p.prior.free_moments()
        room = sd**2 - variance
        if room > TOLD * sd**2:
            z = (mean - center) / np.sqrt(room)
            chance = float(2.0 * norm.sf(abs(z)))
            judged.append(Conflict(p.name, float(p.prior.from_free(mean)), units[p.name], str(p.prior), chance))
    found = (each for each in judged if each.probability < LEVEL / len(judged))
    return tuple(sorted(found, key=lambda each: each.probability))


def conflicts_of_draws(
    free: Iterable[FreeParameter], draws: Mapping[str, np.ndarray], units: Mapping[str, str]
) -> tuple[Conflict, ...]:
    """The same from draws of the posterior on the natural scale."""
    free = tuple(free)
    moments = {}
    for p in free:
        if p.name in draws:
            z = np.asarray(p.prior.to_free(np.asarray(draws[p.name]).reshape(-1)))
            moments[p.name] = (float(np.mean(z)), float(np.var(z, ddof=1)))
    return conflicts(free, moments, units)
