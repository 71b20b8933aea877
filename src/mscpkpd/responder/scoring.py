"""Scores of patients: P(response) with its uncertainty, where the uncertainty comes from, and what to beware of.

Every patient is scored alone: the own level also weighs the draws (a level far from expectation says something about
platform and population), the levels of other patients in the table do not, and the random stream belongs to the name
of the patient. Adding a patient therefore changes nothing for the others (G3).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp

from mscpkpd.responder.draws import OFFSET, Draws
from mscpkpd.responder.likelihood import covariate_ways, draw_latent, latent, log_evidence, samples_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.cohort import Patient
    from mscpkpd.responder.definition import Definition
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["INTERVALS", "CohortFacts", "Prediction", "flags_of", "predict"]

INTERVALS = {"": 0.95, "_80": 0.80, "_50": 0.50}
FARTHEST_Z = 2.5
FEWEST_EFFECTIVE = 100
PRIOR_DOMINATED = 0.5
SMALL = 30


class CohortFacts(NamedTuple):
    """What may be known about the cohort of an update once its patients are forgotten.

    Attributes
    ----------
    source, digest : str
        File name and SHA-256.
    patients, labelled, responders : int
        Counts.
    platforms : tuple of str
        Seen in it.
    grades : tuple of str
        Seen in it.
    children, adults : int
        Counts.
    synthetic : bool
        Whether any patient is invented.
    """

    source: str
    digest: str
    patients: int
    labelled: int
    responders: int
    platforms: tuple[str, ...]
    grades: tuple[str, ...]
    children: int
    adults: int
    synthetic: bool


@dataclass(frozen=True, eq=False)
class Prediction:
    """P(response) of one patient.

    Attributes
    ----------
    p : array of shape (n,)
        One value for each draw of parameters, true level and missing covariates.
    weights : array of shape (n,)
        Of the draws; they sum to 1.
    variance : float
        Of the logit.
    shares : dict of str to float
        Of that variance: measurement, intercept, slope, covariates; they sum to 1.
    z : float
        The level as measured, less the mean offset of its platform, in spreads from the centre; nan if missing.
    """

    p: FloatArray
    weights: FloatArray
    variance: float
    shares: dict[str, float]
    z: float

    @property
    def mean(self) -> float:
        """P(response)."""
        return float(self.weights @ self.p)

    @property
    def effective(self) -> float:
        """Effective number of draws."""
        return 1.0 / float(np.sum(self.weights**2))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the central interval of this probability."""
        order = np.argsort(self.p)
        below = np.cumsum(self.weights[order]) - 0.5 * self.weights[order]
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], below, self.p[order])
        return float(low), float(high)

    def above(self, threshold: float) -> float:
        """Return the posterior probability that P(response) exceeds a threshold."""
        return float(self.weights @ (self.p > threshold))


def predict(definition: Definition, draws: Draws, patient: Patient, seed: int) -> Prediction:
    """Predict one patient.

    Parameters
    ----------
    definition : Definition
        The responder file.
    draws : Draws
        Of the posterior or the prior.
    patient : Patient
        Level, platform and covariates.
    seed : int
        Of the stream that belongs to this patient.

    Returns
    -------
    Prediction
        ``logit p = alpha + b1 z + gamma'c`` with z drawn given the level and c drawn where a covariate is missing. The
        variance splits into the part of the true level given the draw (measurement), and covariances of the three terms
        with their sum.
    """
    rng = np.random.default_rng([seed, zlib.crc32(patient.id.encode())])
    offset = _offset(definition, draws, patient.platform, rng)
    theta = draws.theta(offset)
    # the only platform of this one-patient cohort is column 0, whatever its name
    samples = samples_of(definition, [patient], [patient.platform])
    log_weights = log_evidence(theta, samples)[:, 0]
    weights = np.exp(log_weights - logsumexp(log_weights))
    centre, deviation = (column[:, 0] for column in latent(theta, samples))
    covariates = np.sum(theta.gamma * _drawn_covariates(definition, patient, len(draws), rng), axis=1)
    step = theta.b1 / samples.spread
    logit = theta.alpha + covariates + step * (draw_latent(theta, samples, rng) - samples.centre)
    terms = {"intercept": theta.alpha, "slope": step * (centre - samples.centre), "covariates": covariates}
    variance, shares = _shares(terms, weights, float(weights @ (step * deviation) ** 2))
    z = (
        math.nan
        if patient.level is None
        else (float(samples.level[0] - offset.mean()) - samples.centre) / samples.spread
    )
    return Prediction(np.asarray(expit(logit)), weights, variance, shares, z)


def _offset(definition: Definition, draws: Draws, platform: str, rng: np.random.Generator) -> FloatArray:
    """Draws of the platform's offset: 0 for the reference, from the prior for a platform without data."""
    if platform.casefold() == definition.reference_platform.casefold():
        return np.zeros(len(draws))
    names = {name.removeprefix(OFFSET).casefold(): name for name in draws.names if name.startswith(OFFSET)}
    known = names.get(platform.casefold())
    return draws.column(known) if known else definition.prior("offset").sample(rng, len(draws))


def _drawn_covariates(definition: Definition, patient: Patient, n: int, rng: np.random.Generator) -> FloatArray:
    design, weights = covariate_ways(definition, patient)
    return np.asarray(design[rng.choice(len(weights), size=n, p=weights / weights.sum())])


def _shares(terms: dict[str, FloatArray], weights: FloatArray, measurement: float) -> tuple[float, dict[str, float]]:
    total = np.sum(list(terms.values()), axis=0)
    away = total - weights @ total
    parts = {name: float(weights @ (term * away)) for name, term in terms.items()}
    variance = sum(parts.values()) + measurement
    return variance, {"measurement": measurement / variance, **{name: part / variance for name, part in parts.items()}}


def flags_of(
    reference: str, facts: CohortFacts | None, patient: Patient, prediction: Prediction, prior_share: float
) -> tuple[str, ...]:
    """Return what a reader of this score must know.

    Parameters
    ----------
    reference : str
        Reference platform.
    facts : CohortFacts or None
        The cohort of the update; None for the prior alone.
    patient : Patient
        As scored.
    prediction : Prediction
        The score.
    prior_share : float
        See `Scorer.score`.
    """
    found = [
        *_level_flags(patient, prediction.z),
        *_platform_flags(reference, facts, patient),
        *_covariate_flags(facts, patient),
    ]
    if facts is None:
        found.append("no cohort: the prior alone")
    elif facts.labelled < SMALL:
        found.append(f"small cohort ({facts.labelled} with a known response)")
    if facts is not None and prior_share >= PRIOR_DOMINATED:
        found.append("prior-dominated")
    if prediction.effective < FEWEST_EFFECTIVE:
        found.append(f"few effective draws ({prediction.effective:.0f})")
    if patient.synthetic or (facts is not None and facts.synthetic):
        found.append(
            "SYNTHETIC "
            + " and ".join([*["patient"] * patient.synthetic, *["cohort"] * bool(facts and facts.synthetic)])
        )
    return tuple(found)


def _level_flags(patient: Patient, z: float) -> Sequence[str]:
    if patient.level is None:
        return ["CXCL10 missing: average over the population"]
    words = {"left": "below the limit of quantification", "right": "above the limit of quantification"}
    found = [words[patient.level.censoring]] if patient.level.censoring in words else []
    if abs(z) > FARTHEST_Z:
        found.append(f"level outside the range of the model (z = {z:.1f})")
    if not patient.level.plausible:
        found.append("implausible level: check the unit")
    return found


def _platform_flags(reference: str, facts: CohortFacts | None, patient: Patient) -> Sequence[str]:
    known = (reference,) if facts is None else facts.platforms
    if patient.platform.casefold() in {name.casefold() for name in known}:
        return []
    whom = f"; its offset to {reference} is" if facts is None else " to the cohort: its offset is"
    return [f"platform '{patient.platform}' unknown{whom} from the prior alone"]


def _covariate_flags(facts: CohortFacts | None, patient: Patient) -> list[str]:
    values = {"grade": patient.grade, "liver": patient.liver, "age": patient.age}
    missing = [name for name, value in values.items() if value is None]
    found = [f"{', '.join(missing)} missing: averaged over published shares"] if missing else []
    if patient.grade == "A" or (
        facts is not None and patient.grade and facts.grades and patient.grade not in facts.grades
    ):
        found.append(f"grade {patient.grade} outside the data")
    if facts is not None and patient.child is not None:
        unseen = (
            "child"
            if patient.child and not facts.children
            else "adult"
            if not patient.child and not facts.adults
            else ""
        )
        found += [f"no {unseen} in the cohort"] if unseen and facts.children + facts.adults else []
    return found
