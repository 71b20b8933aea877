"""The landmark model: response from the level before the first infusion and its change at 24 h.

For patients who are alive and sampled at 24 h, already treated: it may inform continuing, never selecting::

    w0  = x + offset + e0        x ~ N(mu_x, s_x)                       e0, e24 ~ N(0, s_u), independent
    w24 = x + d + offset + e24   d ~ N(mu_d + r_dx (x - mu_x), s_d)
    logit P(response) = alpha + b1 z + b2 d/change_spread + gamma'c

Both samples are error-prone measurements of x and x + d, so that the error of the baseline is used once: the measured
difference never stands beside the measured baseline as if both were exact. Given both levels, b1 z + b2 d is normal,
and one Gauss-Hermite quadrature integrates it; a level beyond its limit is integrated over its truncated normal
distribution first. A patient without the 24 h level is averaged over the changes that go with the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, log_ndtr, logsumexp, ndtri_exp

from mscpkpd.errors import CohortError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.definition import COVARIATES
from mscpkpd.responder.draws import LEVELS, OFFSET, Draws
from mscpkpd.responder.mixtures import HALF_LOG_2PI, FloatArray, IntArray, JointPrior
from mscpkpd.responder.samples import KINDS, Kind, covariate_ways, platform_names
from mscpkpd.responder.sampling import PosteriorSample, sample_posterior

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort, Level, Patient
    from mscpkpd.responder.definition import Definition

__all__ = ["USE", "Landmark", "fit_landmark", "landmark_prior_draw", "largest_fall"]

USE = (
    "LANDMARK MODEL: of patients alive and sampled 24 h after the first infusion, already treated. "
    "It may inform continuing, never selecting."
)
CHANGE = ("mu_d", "s_d", "r_dx")
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS_15 = _WEIGHTS / _WEIGHTS.sum()
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(12)
_LOG_P, _LOG_P_WEIGHTS = np.log(0.5 * (_LEGENDRE + 1)), np.log(0.5 * _LEGENDRE_WEIGHTS)
MOST_NUMBERS = 2_000_000
FEWEST_PAIRS = 10
STREAM = 24


def largest_fall(half_life: float, hours: float = 24.0) -> float:
    """Return the largest fall of CXCL10 that its half-life allows, with all production blocked from time 0.

    Parameters
    ----------
    half_life : float
        Of CXCL10 in plasma [h].
    hours : float
        Since the block [h].

    Returns
    -------
    float
        Fraction of the level before: 0.98, 0.88, 0.75, 0.50, 0.29 for 4, 8, 12, 24, 48 h.

    Raises
    ------
    Raises nothing.
    """
    return -math.expm1(-hours * math.log(2) / half_life)


class _Theta(NamedTuple):
    """Parameters, n draws; see the head of the module."""

    alpha: FloatArray
    b1: FloatArray
    b2: FloatArray
    gamma: FloatArray
    mu_x: FloatArray
    s_x: FloatArray
    s_u: FloatArray
    mu_d: FloatArray
    s_d: FloatArray
    r_dx: FloatArray
    offset: FloatArray

    def part(self, rows: slice) -> _Theta:
        return _Theta(*(values[rows] for values in self))


@dataclass(frozen=True)
class _Pairs:
    """Patients whose two levels are known in the same way.

    Attributes
    ----------
    first, second : array of shape (n,)
        ln pg/mL or limits.
    kinds : tuple of Kind
        Of both; of BELOW and ABOVE the sides are in `sides`.
    sides : array of shape (n, 2)
        +1 below, -1 above.
    platform, sign : array of shape (n,)
    owner : array of shape (rows,)
        Patient of each way to fill in covariates.
    design, log_weight : array of shape (rows, 3) and (rows,)
    places : array of shape (n,)
        Of these patients in the table.
    """

    first: FloatArray
    second: FloatArray
    kinds: tuple[Kind, Kind]
    sides: FloatArray
    platform: IntArray
    sign: IntArray
    owner: IntArray
    design: FloatArray
    log_weight: FloatArray
    places: IntArray


def _pairs(definition: Definition, patients: Sequence[Patient], platforms: Sequence[str]) -> list[_Pairs]:
    columns = {name.casefold(): k for k, name in enumerate(platforms)}
    groups: dict[tuple[Kind, Kind], list[int]] = {}
    for k, patient in enumerate(patients):
        groups.setdefault((_group(patient.level), _group(patient.level_24h)), []).append(k)
    found = []
    for kinds, places in groups.items():
        chosen = [patients[k] for k in places]
        ways = [covariate_ways(definition, patient) for patient in chosen]
        found.append(
            _Pairs(
                np.array([_value(patient.level) for patient in chosen]),
                np.array([_value(patient.level_24h) for patient in chosen]),
                kinds,
                np.array([[_side(patient.level), _side(patient.level_24h)] for patient in chosen]),
                np.array([columns[patient.platform.casefold()] for patient in chosen]),
                np.array([0 if patient.response is None else 2 * patient.response - 1 for patient in chosen]),
                np.repeat(np.arange(len(chosen)), [len(weight) for _, weight in ways]),
                np.concatenate([design for design, _ in ways]),
                np.log(np.concatenate([weight for _, weight in ways])),
                np.array(places),
            )
        )
    return found


def _group(level: Level | None) -> Kind:
    """MEASURED, MISSING, or BELOW for a level beyond any limit."""
    if level is None:
        return Kind.MISSING
    return Kind.MEASURED if KINDS[level.censoring] == Kind.MEASURED else Kind.BELOW


def _value(level: Level | None) -> float:
    return 0.0 if level is None else math.log(level.value)


def _side(level: Level | None) -> float:
    return -1.0 if level is not None and level.censoring == "right" else 1.0


class _Given(NamedTuple):
    """A linear combination of x and d given the levels, at points of those beyond limits: shapes (draws, n, q)."""

    mean: FloatArray
    sd: FloatArray  # (draws, 1, 1)
    log_weight: FloatArray  # density or probability of the levels, and weight of the point


def _given(theta: _Theta, pairs: _Pairs, a: FloatArray, b: FloatArray, points: _Points) -> _Given:
    """Return a (x - mu_x) + b (d - its mean at mu_x) given the levels; a and b of shape (draws,)."""
    shift = theta.offset[:, pairs.platform]
    v, u, e = (column[:, None] ** 2 for column in (theta.s_x, theta.s_u, theta.s_d))
    slope = a[:, None] + b[:, None] * theta.r_dx[:, None]  # of the combination on x
    rise = 1 + theta.r_dx[:, None]  # of x + d on x
    mean = np.zeros((len(a), len(pairs.first), 1))
    variance = slope**2 * v + b[:, None] ** 2 * e
    log_weight = np.zeros_like(mean)
    between, with_second = rise * v, slope * rise * v + b[:, None] * e
    second_mean, second_variance = np.zeros_like(mean), rise**2 * v + e + u
    if pairs.kinds[0] != Kind.MISSING:
        own = v + u
        level, log_weight = _stage(
            pairs.first - shift - theta.mu_x[:, None], mean, own, pairs.sides[:, 0], pairs.kinds[0], points.first
        )
        mean = (slope * v / own)[..., None] * level
        second_mean = (between / own)[..., None] * level
        variance = variance - (slope * v) ** 2 / own
        second_variance = second_variance - between**2 / own
        with_second = with_second - slope * v * between / own
    if pairs.kinds[1] != Kind.MISSING:
        centred = pairs.second - shift - theta.mu_x[:, None] - theta.mu_d[:, None]
        level, log_second = _stage(
            centred, second_mean, second_variance, pairs.sides[:, 1], pairs.kinds[1], points.second
        )
        repeated = level.shape[-1] // mean.shape[-1]
        mean, log_weight, expected = (
            np.repeat(values, repeated, axis=-1) for values in (mean, log_weight, second_mean)
        )
        mean = mean + (with_second / second_variance)[..., None] * (level - expected)
        log_weight = log_weight + log_second
        variance = variance - with_second**2 / second_variance
    return _Given(mean, np.sqrt(np.maximum(variance, 1e-12))[..., None], log_weight)


class _Points(NamedTuple):
    """Log probabilities and log weights of the points for levels beyond limits; one random point for scores."""

    first: tuple[FloatArray, FloatArray]
    second: tuple[FloatArray, FloatArray]


_GRID = _Points((_LOG_P, _LOG_P_WEIGHTS), (_LOG_P, _LOG_P_WEIGHTS))


def _stage(
    centred: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    side: FloatArray,
    kind: Kind,
    points: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """One level given what is before: its points, and log density or log probability, shapes (draws, n, q)."""
    sd = np.sqrt(variance)[..., None]
    scaled = (centred[..., None] - mean) / sd
    if kind == Kind.MEASURED:
        density = -0.5 * scaled**2 - np.log(sd) - HALF_LOG_2PI
        return np.broadcast_to(centred[..., None], scaled.shape), density
    log_p, log_w = points
    toward = side[:, None]
    mass = log_ndtr(toward * scaled)
    depth = ndtri_exp(log_p + mass[..., None])
    level = mean[..., None] + (toward * sd)[..., None] * depth
    shape = (*scaled.shape[:2], -1)
    return level.reshape(shape), np.broadcast_to(mass[..., None] + log_w, depth.shape).reshape(shape)


def _log_likelihood(definition: Definition, theta: _Theta, pairs: _Pairs) -> FloatArray:
    """Log probability of levels and responses, summed over the patients, shape (draws,)."""
    a, b = theta.b1 / definition.spread, theta.b2 / definition.change_spread
    given = _given(theta, pairs, a, b, _GRID)
    known = pairs.sign != 0
    total = logsumexp(given.log_weight, axis=-1)
    if not known.any():
        return np.asarray(total.sum(axis=1))
    at = (theta.mu_x - math.log(definition.centre)) * a + b * theta.mu_d + theta.alpha
    fixed = at[:, None] + theta.gamma @ pairs.design.T
    place = given.mean[..., None] + given.sd[..., None] * _NODES  # (draws, n, q, 15)
    linear = fixed[:, :, None, None] + place[:, pairs.owner]
    linear *= pairs.sign[pairs.owner][:, None, None]
    averaged = expit(linear, out=linear) @ _WEIGHTS_15
    highest_point = given.log_weight.max(axis=-1, keepdims=True)
    share = np.exp(given.log_weight - highest_point)[:, pairs.owner]
    by_row = np.log((averaged * share).sum(axis=-1) + 1e-300) + highest_point[:, pairs.owner, 0]
    by_row = by_row + pairs.log_weight
    highest = by_row.max()
    summed = np.zeros_like(total)
    for k in range(by_row.shape[1]):
        summed[:, pairs.owner[k]] += np.exp(by_row[:, k] - highest)
    return np.asarray(np.where(known, np.log(summed + 1e-300) + highest, total).sum(axis=1))


# ---- fit -----------------------------------------------------------------------------------------------------------


def _prior(definition: Definition, platforms: Sequence[str]) -> JointPrior:
    names = ("alpha", "b1", "b2", *COVARIATES, *LEVELS, *CHANGE, *(OFFSET + name for name in platforms[1:]))
    return JointPrior(names, tuple(definition.prior("offset" if name.startswith(OFFSET) else name) for name in names))


def _theta(columns: dict[str, FloatArray], platforms: Sequence[str]) -> _Theta:
    offsets = [columns[OFFSET + name] for name in platforms[1:]]
    gamma = np.column_stack([columns[name] for name in COVARIATES])
    own = {name: columns[name] for name in ("alpha", "b1", "b2", *LEVELS, *CHANGE)}
    return _Theta(gamma=gamma, offset=np.column_stack([np.zeros(len(gamma)), *offsets]), **own)


def landmark_prior_draw(definition: Definition, platforms: Sequence[str], rng: np.random.Generator) -> dict[str, float]:
    """Return one draw of all parameters by name, natural scales."""
    prior = _prior(definition, platforms)
    z = prior.sample(rng, 1)
    return {
        name: float(mixture.natural(z[:, k])[0])
        for k, (name, mixture) in enumerate(zip(prior.names, prior.mixtures, strict=True))
    }


@dataclass(frozen=True, eq=False)
class Landmark:
    """The fitted landmark model.

    Attributes
    ----------
    definition : Definition
        Responder file.
    draws : Draws
        alpha, b1, b2, gammas, mu_x, s_x, s_u, mu_d, s_d, r_dx, offsets.
    platforms : tuple of str
        Of the cohort, the reference first.
    pairs, labelled : int
        Patients with both levels; with a known response.
    method, check : str
        How the draws were made, and their check in words.
    ess : float
        Effective number of draws [draws].
    ok : bool
        Whether the check passed.
    notes : tuple of str
        What a reader must know.
    synthetic : bool
        Whether any patient is invented.
    """

    definition: Definition
    draws: Draws
    platforms: tuple[str, ...]
    pairs: int
    labelled: int
    method: str
    check: str
    ess: float
    ok: bool
    notes: tuple[str, ...]
    synthetic: bool

    def score(self, patients: Cohort, *, seed: int = 0) -> pd.DataFrame:
        """Score patients who were sampled 24 h after the first infusion; for continuing, never for selecting.

        Parameters
        ----------
        patients : Cohort
            With ``cxcl10_24h`` where it is known; platforms must be those of the cohort.
        seed : int
            The same seed gives the same table.

        Returns
        -------
        DataFrame
            patient, p_response, lower, upper (95 %), p_without_24h (the same patient without the 24 h level), change
            (posterior mean of the true log fold change), change_lower, change_upper, flags. ``attrs`` holds banner and
            use.

        Raises
        ------
        CohortError
            For a platform that the cohort did not have.
        """
        known = {name.casefold() for name in self.platforms}
        for patient in patients.patients:
            if patient.platform.casefold() not in known:
                raise CohortError(
                    f"platform '{patient.platform}' of patient '{patient.id}' was not in the cohort",
                    where=patients.source,
                    expected=", ".join(self.platforms),
                )
        rows = dict(self._rows(patients.patients, seed))
        table = pd.DataFrame([rows[k] for k in range(len(patients))])
        table.attrs.update(banner=BANNER, use=USE, notes=self.notes, seed=seed)
        return table

    def _rows(self, patients: Sequence[Patient], seed: int) -> Iterator[tuple[int, dict[str, object]]]:
        theta = _theta({name: self.draws.column(name) for name in self.draws.names}, self.platforms)
        rng = np.random.default_rng([seed, STREAM])
        uniform = [rng.random(len(self.draws)) for _ in range(3)]
        noise = rng.standard_normal(len(self.draws))
        for pairs in _pairs(self.definition, patients, self.platforms):
            p, weights = self._probabilities(theta, pairs, uniform, noise)
            dropped = _without_second(pairs)
            p_before, weights_before = self._probabilities(theta, dropped, uniform, noise)
            change = self._changes(theta, pairs, uniform, noise)
            for k, place in enumerate(pairs.places):
                lower, upper = _interval(p[:, k], weights[:, k])
                low, high = _interval(change[:, k], weights[:, k])
                patient = patients[place]
                yield (
                    int(place),
                    {
                        "patient": patient.id,
                        "p_response": float(weights[:, k] @ p[:, k]),
                        "lower": lower,
                        "upper": upper,
                        "p_without_24h": float(weights_before[:, k] @ p_before[:, k]),
                        "change": float(weights[:, k] @ change[:, k]),
                        "change_lower": low,
                        "change_upper": high,
                        "flags": "; ".join(_flags(patient)),
                    },
                )

    def _probabilities(
        self, theta: _Theta, pairs: _Pairs, uniform: list[FloatArray], noise: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """P(response) for each draw, and the weights that the levels give the draws, shapes (draws, n)."""
        definition = self.definition
        a, b = theta.b1 / definition.spread, theta.b2 / definition.change_spread
        given = _given(theta, pairs, a, b, _random_points(uniform))
        at = theta.alpha + (theta.mu_x - math.log(definition.centre)) * a + b * theta.mu_d
        covariates = np.empty((len(a), len(pairs.first)))
        for k in range(len(pairs.first)):
            rows = pairs.owner == k
            weight = np.cumsum(np.exp(pairs.log_weight[rows]))
            way = np.minimum(np.searchsorted(weight, uniform[2]), len(weight) - 1)
            covariates[:, k] = np.sum(theta.gamma * pairs.design[rows][way], axis=1)
        logit = at[:, None] + covariates + given.mean[..., 0] + given.sd[..., 0] * noise[:, None]
        log_weight = given.log_weight[..., 0]
        weights = np.exp(log_weight - log_weight.max(axis=0))
        return np.asarray(expit(logit)), weights / weights.sum(axis=0)

    def _changes(self, theta: _Theta, pairs: _Pairs, uniform: list[FloatArray], noise: FloatArray) -> FloatArray:
        zero, one = np.zeros(len(noise)), np.ones(len(noise))
        given = _given(theta, pairs, zero, one, _random_points(uniform))
        return np.asarray(theta.mu_d[:, None] + given.mean[..., 0] + given.sd[..., 0] * noise[:, None])

    def summary(self) -> pd.DataFrame:
        """Return the parameter table: parameter, estimate, lower, upper (95 %), sd, learned."""
        prior = _prior(self.definition, self.platforms)
        rows = []
        for name, mixture in zip(prior.names, prior.mixtures, strict=True):
            values = self.draws.column(name)
            lower, upper = np.quantile(values, [0.025, 0.975])
            learned = 1.0 - float(mixture.free(values).var(ddof=1)) / mixture.sd**2
            row = {"parameter": name, "estimate": values.mean(), "lower": lower, "upper": upper}
            rows.append({**row, "sd": values.std(ddof=1), "learned": learned})
        table = pd.DataFrame(rows)
        table.attrs.update(banner=BANNER, use=USE, notes=self.notes)
        return table

    def __str__(self) -> str:
        head = [] if self.ok else [f"NOT RELIABLE: {self.check}"]
        label = "SYNTHETIC cohort" if self.synthetic else "cohort"
        counts = f"{label}: {self.labelled} with a known response, {self.pairs} with both levels"
        table = self.summary().to_string(index=False, float_format="{:.3g}".format)
        notes = (f"note: {note}" for note in self.notes)
        return "\n".join([*head, BANNER, USE, "", counts, f"draws: {self.method}, {self.check}", *notes, "", table])


def _random_points(uniform: list[FloatArray]) -> _Points:
    """One random point a draw for each level beyond its limit."""
    first, second = (np.log(values)[:, None, None, None] for values in uniform[:2])
    return _Points((first, np.zeros(1)), (second, np.zeros(1)))


def _without_second(pairs: _Pairs) -> _Pairs:
    kinds = (pairs.kinds[0], Kind.MISSING)
    values = {name: getattr(pairs, name) for name in pairs.__dataclass_fields__}
    return _Pairs(**(values | {"kinds": kinds}))


def _interval(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    order = np.argsort(values)
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    low, high = np.interp([0.025, 0.975], below, values[order])
    return float(low), float(high)


def _flags(patient: Patient) -> Iterator[str]:
    if patient.level_24h is None:
        yield "no level at 24 h: averaged over the changes that go with the baseline"
    if patient.level is None:
        yield "CXCL10 before the infusion missing"
    if patient.ruxolitinib:
        yield "ruxolitinib: it lowers CXCL10 whatever the cells do"
    if patient.viral:
        yield "viral infection: it raises CXCL10 by itself"
    if patient.synthetic:
        yield "SYNTHETIC patient"


def fit_landmark(definition: Definition, cohort: Cohort, *, seed: int, draws: int, method: str) -> Landmark:
    """Fit the landmark model; see `Responder.landmark`."""
    patients = cohort.patients
    both = sum(patient.level is not None and patient.level_24h is not None for patient in patients)
    labelled = len(cohort.labelled)
    if both < FEWEST_PAIRS or not labelled:
        raise CohortError(
            f"{both} patients with levels before and at 24 h, {labelled} with a known response",
            where=cohort.source,
            expected=f"at least {FEWEST_PAIRS} with both levels, some with a response",
            hint="update() for the model of the baseline alone",
        )
    platforms = platform_names(definition, patients)
    groups = _pairs(definition, patients, platforms)
    prior = _prior(definition, platforms)

    def log_likelihood(z: FloatArray) -> FloatArray:
        columns = {
            name: mixture.natural(z[:, k])
            for k, (name, mixture) in enumerate(zip(prior.names, prior.mixtures, strict=True))
        }
        theta, total = _theta(columns, platforms), np.zeros(len(z))
        for pairs in groups:
            points = 12 ** sum(kind == Kind.BELOW for kind in pairs.kinds)
            step = max(1, MOST_NUMBERS // (len(pairs.owner) * points * len(_NODES)))
            for first in range(0, len(z), step):
                rows = slice(first, first + step)
                total[rows] += _log_likelihood(definition, theta.part(rows), pairs)
        return total

    sample = sample_posterior(log_likelihood, prior, draws, np.random.default_rng(seed), method)
    values = [mixture.natural(sample.draws[:, k]) for k, mixture in enumerate(prior.mixtures)]
    return _landmark(definition, cohort, platforms, Draws(prior.names, np.column_stack(values)), sample, both)


def _landmark(
    definition: Definition,
    cohort: Cohort,
    platforms: tuple[str, ...],
    draws: Draws,
    sample: PosteriorSample,
    both: int,
) -> Landmark:
    notes = [USE]
    if cohort.synthetic:
        notes.append("SYNTHETIC cohort: the numbers describe no real patient")
    missing = len(cohort) - both
    if missing:
        notes.append(
            f"{missing} patients lack a level: a 24 h level that is missing because the patient died or was too ill is "
            "not missing at random"
        )
    if any(patient.replicates or patient.plate or patient.trial for patient in cohort.patients):
        notes.append("replicates, plates and trials are not in this model")
    return Landmark(
        definition, draws, platforms, both, len(cohort.labelled), sample.method, sample.check, sample.ess, sample.ok,
        tuple(notes), cohort.synthetic,
    )  # fmt: skip
