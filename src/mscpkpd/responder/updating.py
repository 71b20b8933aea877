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
from mscpkpd.responder.draws import LEVELS, OFFSET, OUTCOME, SLOPE_ON_PREDICTOR, Draws, natural, prior_draws, prior_of
from mscpkpd.responder.likelihood import CohortLikelihood, Theta, platform_names, samples_of
from mscpkpd.responder.mixtures import FloatArray, JointPrior, NormalMixture
from mscpkpd.responder.sampling import PosteriorSample, sample_posterior

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition

__all__ = ["LEARN", "Rule", "Updated", "posterior_draws", "predictor_slope_prior", "rule_for"]

LEARN = ("auto", "alpha", "slope", "full")
FEW, MANY = 30, 100
MANY_RESPONDERS, MANY_OTHERS = 60, 40
SLOPES = ("b1", *COVARIATES)
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
    platforms: tuple[str, ...]


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


def predictor_slope_prior(definition: Definition) -> NormalMixture:
    """Return the prior of the slope on the published predictor.

    Raises
    ------
    UsageError
        If every coefficient has prior mean 0, so that there is no predictor.
    """
    precision = sum((definition.prior(name).mean / definition.prior(name).sd) ** 2 for name in SLOPES)
    if precision == 0:
        raise UsageError(
            "no coefficient has a prior mean other than 0", where=definition.name, hint="learn='alpha' or learn='full'"
        )
    sd = 1 / math.sqrt(precision)
    return NormalMixture(f"normal(1, {sd:.4g})", (1.0,), (1.0,), (sd,))


def posterior_draws(
    definition: Definition, cohort: Cohort, *, learn: str, draws: int, rng: np.random.Generator, method: str
) -> Updated:
    """Update the prior with a cohort; see `Responder.update`."""
    rule = rule_for(cohort, learn)
    platforms = platform_names(definition, cohort.patients)
    prior = _free_prior(definition, rule.learn, platforms)
    likelihood = CohortLikelihood(samples_of(definition, cohort.patients, platforms))
    means = {name: definition.prior(name).mean for name in OUTCOME}

    def log_likelihood(z: FloatArray) -> FloatArray:
        return likelihood(_theta(prior, means, z))

    sample = sample_posterior(log_likelihood, prior, draws, rng, method)
    full = _completed(definition, prior, sample.draws, prior_draws(definition, platforms, draws, rng))
    return Updated(rule, full, sample, platforms)


def _free_prior(definition: Definition, learn: str, platforms: tuple[str, ...]) -> JointPrior:
    outcome = {"alpha": ("alpha",), "slope": ("alpha", SLOPE_ON_PREDICTOR), "full": OUTCOME}[learn]
    names = (*outcome, *LEVELS, *(OFFSET + platform for platform in platforms[1:]))
    special = {SLOPE_ON_PREDICTOR: predictor_slope_prior(definition)} if learn == "slope" else {}
    return JointPrior(names, tuple(special.get(name) or prior_of(definition, name) for name in names))


def _theta(prior: JointPrior, means: dict[str, float], z: FloatArray) -> Theta:
    """Parameters of free rows z; coefficients that are not free stand at their prior means, times k where k is free."""
    columns = dict(zip(prior.names, z.T, strict=True))
    k = columns.get(SLOPE_ON_PREDICTOR, np.ones(len(z)))
    slopes = [columns.get(name, k * means[name]) for name in SLOPES]
    offsets = [columns[name] for name in prior.names if name.startswith(OFFSET)]
    return Theta(
        alpha=columns["alpha"],
        b1=slopes[0],
        gamma=np.column_stack(slopes[1:]),
        mu_x=columns["mu_x"],
        s_x=np.exp(columns["s_x"]),
        s_u=np.exp(columns["s_u"]),
        offset=np.column_stack([np.zeros(len(z)), *offsets]),
    )


def _completed(definition: Definition, prior: JointPrior, z: FloatArray, from_prior: Draws) -> Draws:
    """Join what was updated with the prior of the rest."""
    updated = {
        name: natural(mixture, column) for name, mixture, column in zip(prior.names, prior.mixtures, z.T, strict=True)
    }
    columns = {name: updated.get(name, from_prior.column(name)) for name in from_prior.names}
    if SLOPE_ON_PREDICTOR in updated:
        columns |= _moved_along(definition, from_prior, updated[SLOPE_ON_PREDICTOR])
        columns[SLOPE_ON_PREDICTOR] = updated[SLOPE_ON_PREDICTOR]
    return Draws(tuple(columns), np.column_stack(list(columns.values())))


def _moved_along(definition: Definition, from_prior: Draws, k: FloatArray) -> dict[str, FloatArray]:
    """Replace the component of prior draws along the published predictor by k times it; what is across it stays."""
    means = np.array([definition.prior(name).mean for name in SLOPES])
    variances = np.array([definition.prior(name).sd ** 2 for name in SLOPES])
    slopes = np.column_stack([from_prior.column(name) for name in SLOPES])
    along = slopes @ (means / variances) / float(means @ (means / variances))
    moved = slopes + (k - along)[:, None] * means
    return dict(zip(SLOPES, moved.T, strict=True))
