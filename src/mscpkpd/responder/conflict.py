"""Prior, cohort and both together: where they disagree, a reader must see it.

The cohort alone is the same model with wide priors, normal(0, 10), of intercept and slope; slopes of covariates and
levels keep their priors. Conflict is the two-sided tail of the difference between the cohort's estimate and the prior,
``2 Phi(-|m - m0|/sqrt(sd^2 + sd0^2))``: small where the prior did not expect such a cohort.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from mscpkpd.responder.draws import prior_of
from mscpkpd.responder.question import question_of
from mscpkpd.responder.sampling import sample_posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition
    from mscpkpd.responder.draws import Draws
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["SURPRISING", "Contrast", "contrasts_of"]

WIDE = "normal(0, 10)"
SURPRISING = 0.05
DRAWS = 1000
MEAN, LOWER, UPPER = 0, 1, 2
NAMES = ("alpha", "b1")


@dataclass(frozen=True)
class Contrast:
    """One parameter by the prior, by the cohort alone, and by both.

    Attributes
    ----------
    parameter : str
        alpha, b1 or mu_x.
    prior, cohort, posterior : tuple of float
        Mean, lower and upper end of the central 95 % interval, in the unit of the parameter.
    conflict : float
        Two-sided tail probability of the difference of prior and cohort.
    """

    parameter: str
    prior: tuple[float, float, float]
    cohort: tuple[float, float, float]
    posterior: tuple[float, float, float]
    conflict: float

    def as_row(self) -> list[object]:
        """Return the values as a plain list."""
        return [self.parameter, [*self.prior], [*self.cohort], [*self.posterior], self.conflict]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Contrast:
        """Return the contrast of a list made by `as_row`."""
        name, prior, cohort, posterior, conflict = row
        return cls(str(name), _triple(prior), _triple(cohort), _triple(posterior), float(conflict))

    def __str__(self) -> str:
        said = "prior and cohort DISAGREE" if self.conflict < SURPRISING else "no conflict of prior and cohort"
        prior, cohort, both = (_words(part) for part in (self.prior, self.cohort, self.posterior))
        found = f"{self.parameter}: prior {prior}, cohort alone {cohort}, together {both}"
        return f"{found}; {said} (tail {self.conflict:.2g})"


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    mean, lower, upper = values
    return float(mean), float(lower), float(upper)


def _words(values: tuple[float, float, float]) -> str:
    return f"{values[MEAN]:.2f} ({values[LOWER]:.2f} to {values[UPPER]:.2f})"


def contrasts_of(
    definition: Definition, cohort: Cohort, posterior: Draws, rng: np.random.Generator
) -> tuple[Contrast, ...]:
    """Return the contrasts of a cohort; none where it has one outcome only, which gives no estimate without a prior."""
    if cohort.responders in (0, len(cohort.labelled)):
        return ()
    shown = NAMES if any(patient.level is not None for patient in cohort.patients) else NAMES[:1]
    wide = definition
    for name in (*shown, "alpha_trials"):
        wide = wide.with_prior(name, WIDE, "contrast: the cohort alone")
    question = question_of(wide, cohort, "full")
    sample = sample_posterior(question.log_likelihood(), question.prior, DRAWS, rng, "importance")
    if not sample.ok:
        return ()
    alone = question.columns(sample.draws)
    several = bool(question.groups.trials)
    found = []
    for name in shown:
        prior = prior_of(definition, name, several_trials=several)
        before = (prior.mean, prior.quantile(0.025), prior.quantile(0.975))
        own = alone[name]
        distance = abs(float(own.mean()) - prior.mean) / math.hypot(float(own.std()), prior.sd)
        tail = float(2 * ndtr(-distance))
        found.append(Contrast(name, before, _three(own), _three(posterior.column(name)), tail))
    return tuple(found)


def _three(values: FloatArray) -> tuple[float, float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
