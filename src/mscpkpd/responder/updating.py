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

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mscpkpd.errors import CohortError, UnknownName
from mscpkpd.responder.draws import SLOPE_ON_PREDICTOR, Draws, prior_draws
from mscpkpd.responder.mixtures import FloatArray
from mscpkpd.responder.nuts import nuts_sample
from mscpkpd.responder.question import Question, question_of
from mscpkpd.responder.samples import Groups
from mscpkpd.responder.sampling import PosteriorSample, sample_posterior

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition

__all__ = ["LEARN", "Rule", "Updated", "posterior_draws", "rule_for"]

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
