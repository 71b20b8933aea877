"""Scores of patients: P(response) with its uncertainty, where the uncertainty comes from, and what to beware of.

Every patient is scored alone: the own level also weighs the draws (a level far from expectation says something about
platform and population), the levels of other patients in the table do not, and all patients share one stream of random
numbers, that of their platform, plate, trial and centre excepted. Adding a patient therefore changes nothing for the
others (G3), and of two patients who differ in one thing the scores differ by that thing alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit, ndtri

from mscpkpd.responder.companions import UNVERIFIED
from mscpkpd.responder.definition import EXTRAS
from mscpkpd.responder.draws import CENTRE, OFFSET, PLATE, TRIAL, TRIAL_SLOPE, Draws
from mscpkpd.responder.likelihood import Theta, latent, latent_values, log_evidence, shift
from mscpkpd.responder.samples import Groups, Samples, extras_of, samples_of

if TYPE_CHECKING:
    from mscpkpd.cohort import Patient
    from mscpkpd.responder.definition import Definition
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["INTERVALS", "Batch", "CohortFacts", "Predictions", "batches", "flags_of", "groups_in"]

INTERVALS = {"": 0.95, "_80": 0.80, "_50": 0.50}
FARTHEST_Z = 2.5
FEWEST_EFFECTIVE = 100
PRIOR_DOMINATED = 0.5
SMALL = 30
MOST_NUMBERS = 120_000  # in one array of a batch: about 1 MB, so that it stays in the cache
STREAMS = 17


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
    trials : tuple of str
        Names, where there are several.
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
    trials: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Predictions:
    """P(response) of some patients.

    Attributes
    ----------
    p : array of shape (draws, n)
        One value for each draw of parameters, true level and missing covariates.
    weights : array of shape (draws, n)
        Of the draws; those of a patient sum to 1.
    variance : array of shape (n,)
        Of the logit.
    shares : dict of str to array of shape (n,)
        Of that variance: measurement, intercept, trial, slope, covariates; they sum to 1.
    z : array of shape (n,)
        The level as measured, less the mean offset of its platform, in spreads from the centre; nan if missing.
    """

    p: FloatArray
    weights: FloatArray
    variance: FloatArray
    shares: dict[str, FloatArray]
    z: FloatArray

    @property
    def mean(self) -> FloatArray:
        """P(response), shape (n,)."""
        return np.asarray(np.einsum("dn,dn->n", self.weights, self.p))

    @property
    def effective(self) -> FloatArray:
        """Effective number of draws, shape (n,)."""
        return np.asarray(1.0 / np.einsum("dn,dn->n", self.weights, self.weights))

    def quantiles(self, probabilities: Sequence[float]) -> FloatArray:
        """Return quantiles, shape (n, number of probabilities)."""
        p, weights = np.ascontiguousarray(self.p.T), np.ascontiguousarray(self.weights.T)
        order = np.argsort(p, axis=1)
        below = np.take_along_axis(weights, order, axis=1)
        below = np.cumsum(below, axis=1) - 0.5 * below
        rows = zip(below, np.take_along_axis(p, order, axis=1), strict=True)
        return np.array([np.interp(probabilities, at, values) for at, values in rows])

    def above(self, threshold: float) -> FloatArray:
        """Return the posterior probability that P(response) exceeds a threshold, shape (n,)."""
        return np.asarray(np.einsum("dn,dn->n", self.weights, (self.p > threshold).astype(float)))

    def gain_above(self, threshold: float) -> FloatArray:
        """Return the posterior mean of what P(response) exceeds a threshold by, shape (n,)."""
        return np.asarray(np.einsum("dn,dn->n", self.weights, np.maximum(self.p - threshold, 0.0)))


def groups_in(definition: Definition, draws: Draws) -> Groups:
    """Return what the patients shared whose cohort gave these draws."""
    return Groups(
        (definition.reference_platform, *draws.columns(OFFSET)),
        tuple(draws.columns(PLATE)),
        tuple(draws.columns(TRIAL)),
        tuple(draws.columns(CENTRE)),
        tuple(name for name in EXTRAS if name in draws.names),
    )


def batches(patients: Sequence[Patient], draws: int, taught: Groups) -> Iterator[tuple[list[int], Groups]]:
    """Divide patients into batches with the same covariates, small enough for the cache; indices, what they share."""
    size = max(1, MOST_NUMBERS // draws)
    alike: dict[tuple[str, ...], list[int]] = {}
    for k, patient in enumerate(patients):
        own = extras_of((patient,))
        alike.setdefault(tuple(name for name in EXTRAS if name in own or name in taught.extras), []).append(k)
    for extras, members in alike.items():
        for first in range(0, len(members), size):
            chosen = members[first : first + size]
            yield chosen, _shared(taught, [patients[k] for k in chosen], extras)


def _shared(taught: Groups, patients: Sequence[Patient], extras: tuple[str, ...]) -> Groups:
    """Names of platforms, plates, trials and centres of a batch; one that the cohort did not have is a new one."""
    measured = [(patient.platform, patient.plate) for patient in patients]
    measured += [(one.platform, one.plate) for patient in patients for one in patient.replicates]
    names = {taught.platforms[0].casefold(): taught.platforms[0]}
    for platform, _ in measured:
        names.setdefault(platform.casefold(), platform)
    plates = dict.fromkeys(plate for _, plate in measured if plate or taught.plates)
    trials = dict.fromkeys(patient.trial for patient in patients) if taught.trials else {}
    centres = dict.fromkeys(patient.centre for patient in patients) if taught.centres else {}
    return Groups(tuple(names.values()), tuple(plates), tuple(trials), tuple(centres), extras)


class Batch:
    """Some patients with what their levels say about each draw.

    Parameters
    ----------
    definition : Definition
        The responder file.
    draws : Draws
        Of the posterior or the prior.
    patients : sequence of Patient
        Levels, platforms and covariates.
    groups : Groups
        What they share; see `batches`.
    seed : int
        Of the random numbers.
    """

    def __init__(
        self, definition: Definition, draws: Draws, patients: Sequence[Patient], groups: Groups, seed: int
    ) -> None:
        self._definition, self._groups, self._seed = definition, groups, seed
        self._samples = samples_of(definition, patients, groups.platforms, groups)
        self._theta = _theta(definition, draws, groups, seed)
        self._moments = latent(self._theta, self._samples)
        log_weights = log_evidence(self._theta, self._samples)
        self._weights = np.exp(log_weights - log_weights.max(axis=0))
        self._weights /= self._weights.sum(axis=0)
        self._streams = _streams(len(draws), seed)
        measured = [patient.level is not None for patient in patients]
        offsets = self._theta.offset.mean(axis=0)[self._samples.platform]
        z = (self._samples.level - offsets - self._samples.centre) / self._samples.spread
        self._z = np.where(measured, z, np.nan)

    def predict(self) -> Predictions:
        """Return predictions.

        ``logit p = alpha + effects + b1 z + gamma'c`` with z drawn given the level and c drawn where a covariate is
        missing. The variance splits into the part of the true level given the draw (measurement), and covariances of
        the other terms with their sum.
        """
        theta, samples = self._theta, self._samples
        noise, probability, _ = self._streams
        terms, step = self._terms(theta)
        variance, shares = _shares(terms, self._weights, self._measurement(step))
        x = latent_values(theta, samples, self._moments, noise, probability)
        logit = step * (x - samples.centre) + terms["intercept"] + terms["trial"] + terms["covariates"]
        return Predictions(np.asarray(expit(logit, out=logit)), self._weights, variance, shares, self._z)

    def variance_with(self, coefficients: Draws) -> FloatArray:
        """Return var(logit p) with coefficients of other draws, levels and offsets as they are, shape (n,)."""
        other = _theta(self._definition, coefficients, self._groups, self._seed)
        terms, step = self._terms(other)
        total = sum(terms.values(), start=np.zeros((1, 1)))
        mean = np.einsum("dn,dn->n", self._weights, total)
        return np.asarray(np.einsum("dn,dn->n", self._weights, (total - mean) ** 2) + self._measurement(step))

    def _terms(self, theta: Theta) -> tuple[dict[str, FloatArray], FloatArray]:
        samples = self._samples
        step = (theta.b1[:, None] + shift(theta.slope, samples.trial)) / samples.spread
        terms = {
            "intercept": theta.alpha[:, None],
            "trial": shift(theta.trial, samples.trial) + shift(theta.centre, samples.clinic),
            "slope": step * (self._moments[0] - samples.centre),
            "covariates": _covariates(theta, samples, self._streams[2]),
        }
        return terms, step

    def _measurement(self, step: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("dn,dn->n", self._weights, (step * self._moments[1]) ** 2))


def _streams(n: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard normal numbers and two rows of uniform ones, each stratified over the draws."""
    rng = np.random.default_rng([seed, STREAMS])
    uniform = [(rng.permutation(n) + 0.5) / n for _ in range(3)]
    return np.asarray(ndtri(uniform[0])), uniform[1], uniform[2]


def _theta(definition: Definition, draws: Draws, groups: Groups, seed: int) -> Theta:
    """Draws of the parameters of a batch; what the cohort did not have comes from the prior."""
    n = len(draws)

    def fresh(kind: str, name: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{kind}{name.casefold()}".encode())])

    def own(kind: str, names: tuple[str, ...], other: Callable[[str], FloatArray]) -> FloatArray | None:
        known = {name.casefold(): column for name, column in draws.columns(kind).items()}
        columns = [known[name.casefold()] if name.casefold() in known else other(name) for name in names]
        return np.column_stack(columns) if names else None

    def effect(kind: str, tau: str, names: tuple[str, ...]) -> FloatArray | None:
        if tau not in draws.names:
            return None
        return own(kind, names, lambda name: draws.column(tau) * fresh(kind, name).standard_normal(n))

    def coefficient(name: str) -> FloatArray:
        known = name in draws.names
        return draws.column(name) if known else definition.prior(name).sample(fresh("", name), n)

    offsets = own(OFFSET, groups.platforms[1:], lambda name: definition.prior("offset").sample(fresh(OFFSET, name), n))
    return Theta(
        alpha=draws.column("alpha"),
        b1=draws.column("b1"),
        gamma=np.column_stack([coefficient(name) for name in groups.covariates]),
        mu_x=draws.column("mu_x"),
        s_x=draws.column("s_x"),
        s_u=draws.column("s_u"),
        offset=np.column_stack([np.zeros(n), *([] if offsets is None else [offsets])]),
        plate=own(PLATE, groups.plates, lambda name: definition.prior("plate").sample(fresh(PLATE, name), n)),
        trial=effect(TRIAL, "tau_trial", groups.trials),
        centre=effect(CENTRE, "tau_centre", groups.centres),
        slope=effect(TRIAL_SLOPE, "tau_slope", groups.trials),
    )


def _covariates(theta: Theta, samples: Samples, choice: FloatArray) -> FloatArray:
    """Gamma'c for each draw and patient; where a covariate is missing, one way to fill it in for each draw."""
    ends = np.append(samples.start[1:], len(samples.weight))
    total = np.empty((len(choice), len(samples.start)))
    several = (ends - samples.start) > 1
    total[:, ~several] = theta.gamma @ samples.design[samples.start[~several]].T
    for k in np.flatnonzero(several):
        rows = slice(samples.start[k], ends[k])
        way = np.minimum(np.searchsorted(np.cumsum(samples.weight[rows]), choice), rows.stop - rows.start - 1)
        total[:, k] = np.sum(theta.gamma * samples.design[rows][way], axis=1)
    return total


def _shares(
    terms: dict[str, FloatArray], weights: FloatArray, measurement: FloatArray
) -> tuple[FloatArray, dict[str, FloatArray]]:
    total = sum(terms.values(), start=np.zeros((1, 1)))
    away = weights * (total - np.einsum("dn,dn->n", weights, total))
    parts = {
        name: np.einsum("dn,dn->n", np.broadcast_to(term, away.shape), away)
        for name, term in terms.items()
        if np.any(term)
    }
    variance = sum(parts.values(), start=measurement)
    nothing = np.zeros(len(measurement))
    shares = {name: parts.get(name, nothing) / variance for name in terms}
    return variance, {"measurement": measurement / variance, **shares}


def flags_of(
    reference: str,
    facts: CohortFacts | None,
    patient: Patient,
    *,
    z: float,
    effective: float,
    prior_share: float,
    several_trials: bool = False,
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
    z : float
        Standardised level; nan if missing.
    effective : float
        Effective number of draws.
    prior_share : float
        See `Scorer.score`.
    several_trials : bool
        Whether the cohort had several trials.
    """
    found = [
        *_level_flags(patient, z),
        *_platform_flags(reference, facts, patient),
        *_covariate_flags(facts, patient),
        *_confounders(patient),
    ]
    if facts is None:
        found.append("no cohort: the prior alone")
    elif facts.labelled < SMALL:
        found.append(f"small cohort ({facts.labelled} with a known response)")
    if facts is not None and prior_share >= PRIOR_DOMINATED:
        found.append("prior-dominated")
    if several_trials and facts is not None and patient.trial not in facts.trials:
        found.append("trial not in the cohort: its intercept is drawn from the spread between trials")
    if effective < FEWEST_EFFECTIVE:
        found.append(f"few effective draws ({effective:.0f})")
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


def _confounders(patient: Patient) -> Iterator[str]:
    if patient.viral:
        yield "viral infection: it raises CXCL10 by itself"
    if patient.ruxolitinib:
        yield "ruxolitinib: it lowers CXCL10 whatever the cells do"
    if patient.st2 is not None and patient.reg3a is not None:
        yield UNVERIFIED


def _platform_flags(reference: str, facts: CohortFacts | None, patient: Patient) -> Sequence[str]:
    known = (reference,) if facts is None else facts.platforms
    if patient.platform.casefold() in {name.casefold() for name in known}:
        return []
    whom = f"; its offset to {reference} is" if facts is None else " to the cohort: its offset is"
    return [f"platform '{patient.platform}' unknown{whom} from the prior alone"]


def _covariate_flags(facts: CohortFacts | None, patient: Patient) -> list[str]:
    values = {"grade": patient.grade, "liver": patient.liver, "age": patient.child}
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
