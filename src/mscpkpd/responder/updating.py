"""What a cohort may teach, by its size, and how it is taught.

==============================================  ===============================================================
patients with a known response                  updated
==============================================  ===============================================================
fewer than 30, or one outcome only              "alpha": the intercept
30 to 100                                       "slope": the intercept and one slope on the published predictor
more than 100, or 60 responders and 40 others   "full": every coefficient
==============================================  ===============================================================

The distribution of levels (mu_x, s_x, s_u, platform offsets) is learned at every size. What is not updated keeps its
prior, whose width therefore stays in every score. While only part is updated, the rest stands at its prior mean in the
likelihood. The published predictor is ``LP = b1 z + gamma'c`` at prior means; its slope k has the prior that the priors
of b1 and gamma imply for their projection on that direction, ``k ~ Normal(1, 1/sqrt(sum((mean/sd)**2)))``, so that no
data gives the prior back exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mscpkpd.errors import CohortError, UnknownName, UsageError
from mscpkpd.responder.definition import COVARIATES
from mscpkpd.responder.draws import (
    CENTRE,
    LEVELS,
    OFFSET,
    PLATE,
    SLOPE_ON_PREDICTOR,
    TRIAL,
    TRIAL_SLOPE,
    Draws,
    effects_scaled,
    names_of,
    prior_draws,
    prior_of,
)
from mscpkpd.responder.likelihood import CohortLikelihood, Groups, Samples, Theta, groups_of, samples_of
from mscpkpd.responder.mixtures import FloatArray, JointPrior, NormalMixture
from mscpkpd.responder.sampling import LogLikelihood, PosteriorSample, sample_posterior

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition

__all__ = ["LEARN", "Question", "Rule", "Updated", "posterior_draws", "predictor_slope_prior", "question_of", "rule_for"]

METHODS = ("auto", "importance", "metropolis", "nuts")
LEARN = ("auto", "alpha", "slope", "full")
FEW, MANY = 30, 100
MANY_RESPONDERS, MANY_OTHERS = 60, 40
WORDS = {
    "alpha": "the intercept",
    "slope": "the intercept and one slope on the published predictor",
    "full": "every coefficient",
}


class Rule(NamedTuple):
    """What is updated, and why in words."""

    learn: str
    reason: str


@dataclass(frozen=True, eq=False)
class Updated:
    """Result of an update."""

    rule: Rule
    draws: Draws
    sample: PosteriorSample
    groups: Groups


def rule_for(cohort: Cohort, learn: str = "auto") -> Rule:
    """Say what a cohort may update.

    Parameters
    ----------
    cohort : Cohort
        Patients; those without a response do not count.
    learn : str
        "auto" for the table in the module's head, or "alpha", "slope", "full" to overrule it.

    Raises
    ------
    CohortError
        If no response is known.
    UnknownName
        For another word.
    """
    if learn not in LEARN:
        raise UnknownName.among("learn", learn, LEARN)
    n, responders = len(cohort.labelled), cohort.responders
    if n == 0:
        hint = "a column 'response' with 1 or 0; score() for patients whose response is not known"
        raise CohortError("no patient has a known response", where=cohort.source, hint=hint)
    counts = f"{n} with a known response, {responders} responded"
    if learn != "auto":
        return Rule(
            learn, f"{counts}: {WORDS[learn]} updated on request; the rule for this size is '{_rule(n, responders)}'"
        )
    allowed = _rule(n, responders)
    one_class = ", all of one outcome," if responders in (0, n) else ""
    rest = "" if allowed == "full" else "; the CXCL10 slope on its own keeps its prior (learn='full' overrules this)"
    return Rule(allowed, f"{counts}:{one_class} {WORDS[allowed]} updated{rest}")


def _rule(n: int, responders: int) -> str:
    if n < FEW or responders in (0, n):
        return "alpha"
    many = n > MANY or (responders >= MANY_RESPONDERS and n - responders >= MANY_OTHERS)
    return "full" if many else "slope"


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

    def log_likelihood(self) -> LogLikelihood:
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


def posterior_draws(
    definition: Definition, cohort: Cohort, *, learn: str, draws: int, rng: np.random.Generator, method: str
) -> Updated:
    """Update the prior with a cohort; see `Responder.update`."""
    rule = rule_for(cohort, learn)
    question = question_of(definition, cohort, rule.learn)
    if method not in METHODS:
        raise UnknownName.among("method", method, METHODS)
    if method == "nuts":
        sample = _by_nuts(question, draws, rng)
    else:
        way = "importance" if method == "auto" else method
        sample = sample_posterior(question.log_likelihood(), question.prior, draws, rng, way)
        if not sample.ok and method == "auto":
            sample = _by_nuts(question, draws, rng)
    before = prior_draws(definition, question.groups.platforms, draws, rng, question.groups)
    return Updated(rule, _completed(question, sample.draws, before), sample, question.groups)


def _by_nuts(question: Question, draws: int, rng: np.random.Generator) -> PosteriorSample:
    from mscpkpd.responder.nuts import nuts_sample

    return nuts_sample(question, draws, int(rng.integers(2**31)))


def _completed(question: Question, z: FloatArray, from_prior: Draws) -> Draws:
    """Join what was updated with the prior of the rest."""
    updated = question.columns(z)
    free = {*question.prior.names}
    columns = {name: updated[name] if name in free else from_prior.column(name) for name in from_prior.names}
    if SLOPE_ON_PREDICTOR in free:
        columns |= _moved_along(question, from_prior, updated[SLOPE_ON_PREDICTOR])
        columns[SLOPE_ON_PREDICTOR] = updated[SLOPE_ON_PREDICTOR]
    return Draws(tuple(columns), np.column_stack(list(columns.values())))


def _moved_along(question: Question, from_prior: Draws, k: FloatArray) -> dict[str, FloatArray]:
    """Replace the component of prior draws along the published predictor by k times it; what is across it stays."""
    names = question.slopes
    means = np.array([question.definition.prior(name).mean for name in names])
    variances = np.array([question.definition.prior(name).sd ** 2 for name in names])
    slopes = np.column_stack([from_prior.column(name) for name in names])
    along = slopes @ (means / variances) / float(means @ (means / variances))
    moved = slopes + (k - along)[:, None] * means
    return dict(zip(names, moved.T, strict=True))
