"""What is asked of a cohort: which parameters are free, and how free values become parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.errors import UsageError
from mscpkpd.responder.definition import COVARIATES
from mscpkpd.responder.draws import (
    CENTRE,
    OFFSET,
    PLATE,
    SLOPE_ON_PREDICTOR,
    TRIAL,
    TRIAL_SLOPE,
    effects_scaled,
    names_of,
    prior_of,
)
from mscpkpd.responder.likelihood import CohortLikelihood, Theta
from mscpkpd.responder.mixtures import FloatArray, JointPrior, NormalMixture
from mscpkpd.responder.samples import Groups, Samples, groups_of, samples_of

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition

__all__ = ["Question", "predictor_slope_prior", "question_of"]


def predictor_slope_prior(definition: Definition, covariates: tuple[str, ...] = COVARIATES) -> NormalMixture:
    """Return the prior of the slope on the published predictor.

    Raises
    ------
    UsageError
        If every coefficient has prior mean 0, so that there is no predictor.
    """
    priors = [definition.prior(name) for name in ("b1", *covariates)]
    precision = sum((prior.mean / prior.sd) ** 2 for prior in priors)
    if precision == 0:
        raise UsageError(
            "no coefficient has a prior mean other than 0", where=definition.name, hint="learn='alpha' or learn='full'"
        )
    sd = 1 / math.sqrt(precision)
    return NormalMixture(f"normal(1, {sd:.4g})", (1.0,), (1.0,), (sd,))


@dataclass(frozen=True)
class Question:
    """A cohort, what is learned from it, and how free values become parameters.

    Attributes
    ----------
    definition : Definition
        Priors.
    learn : str
        "alpha", "slope" or "full".
    groups : Groups
        Platforms, plates, trials, centres and covariates of the cohort.
    samples : Samples
        Its patients.
    prior : JointPrior
        Of what is free.
    """

    definition: Definition
    learn: str
    groups: Groups
    samples: Samples
    prior: JointPrior

    @property
    def slopes(self) -> tuple[str, ...]:
        """Slopes of the linear predictor."""
        return ("b1", *self.groups.covariates)

    def columns(self, z: FloatArray) -> dict[str, FloatArray]:
        """Return parameters by name, natural scales, of free rows z; what is not free stands at its prior mean."""
        pairs = zip(self.prior.names, self.prior.mixtures, z.T, strict=True)
        found = effects_scaled({name: mixture.natural(column) for name, mixture, column in pairs})
        k = found.get(SLOPE_ON_PREDICTOR, np.ones(len(z)))
        return found | {name: k * self.definition.prior(name).mean for name in self.slopes if name not in found}

    def theta(self, z: FloatArray) -> Theta:
        """Return parameters of free rows z."""
        columns, groups = self.columns(z), self.groups
        offsets = [columns[OFFSET + name] for name in groups.platforms[1:]]
        return Theta(
            alpha=columns["alpha"],
            b1=columns["b1"],
            gamma=np.column_stack([columns[name] for name in groups.covariates]),
            mu_x=columns["mu_x"],
            s_x=columns["s_x"],
            s_u=columns["s_u"],
            offset=np.column_stack([np.zeros(len(z)), *offsets]),
            plate=_stacked(columns, PLATE, groups.plates),
            trial=_stacked(columns, TRIAL, groups.trials),
            centre=_stacked(columns, CENTRE, groups.centres),
            slope=_stacked(columns, TRIAL_SLOPE, groups.slopes),
        )

    def log_likelihood(self) -> Callable[[FloatArray], FloatArray]:
        """Return the log likelihood as a function of free rows."""
        likelihood = CohortLikelihood(self.samples)
        return lambda z: likelihood(self.theta(z))


def _stacked(columns: dict[str, FloatArray], prefix: str, names: tuple[str, ...]) -> FloatArray | None:
    return np.column_stack([columns[prefix + name] for name in names]) if names else None


def question_of(definition: Definition, cohort: Cohort, learn: str) -> Question:
    """Return what is asked of a cohort; `learn` is "alpha", "slope" or "full"."""
    groups = groups_of(definition, cohort.patients)
    outcome = {
        "alpha": ("alpha",),
        "slope": ("alpha", SLOPE_ON_PREDICTOR),
        "full": ("alpha", "b1", *groups.covariates),
    }[learn]
    every = names_of(groups)
    names = (*outcome, *every[every.index("mu_x") :])
    several = bool(groups.trials)
    priors = (
        predictor_slope_prior(definition, groups.covariates)
        if name == SLOPE_ON_PREDICTOR
        else prior_of(definition, name, several_trials=several)
        for name in names
    )
    samples = samples_of(definition, cohort.patients, groups.platforms, groups)
    return Question(definition, learn, groups, samples, JointPrior(names, tuple(priors)))
