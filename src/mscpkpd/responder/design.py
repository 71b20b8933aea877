"""Planning a study of CXCL10 and response: how many patients, what they would teach, whether to enrich.

Everything simulated is SYNTHETIC. No function here returns a threshold of CXCL10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri

from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.synthetic import SCENARIOS, synthetic_cohort

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.responder.mixtures import FloatArray
    from mscpkpd.responder.model import Responder

__all__ = [
    "MARKERS",
    "AdaptiveDesign",
    "adaptive_design",
    "assurance",
    "enrichment_power",
    "sample_size",
    "slope_learning",
]

MARKERS = ("none", "prognostic", "predictive", "mixed")
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
TWO_SIDED = 0.05
SINGLE_ARM_AUC = 0.645
SHRINKAGE, OPTIMISM = 0.9, 0.05
CERTAIN = 0.95
FEWEST_REPLICATES = 10


def sample_size(
    auc: float = 0.70,
    parameters: int = 1,
    rate: float = 0.60,
    *,
    shrinkage: float = SHRINKAGE,
    margins: Sequence[float] = (0.05, 0.10),
) -> pd.DataFrame:
    """Return how many patients a logistic prediction model needs, by the criteria of Riley.

    Parameters
    ----------
    auc : float
        Expected of the model, a probability above 0.5.
    parameters : int
        Number of slopes.
    rate : float
        Response rate, a fraction.
    shrinkage : float
        Wanted mean shrinkage, a fraction.
    margins : sequence of float
        Wanted precision of the response rate [1].

    Returns
    -------
    DataFrame
        criterion, patients; the largest is needed. ``attrs["r2"]`` is the Cox-Snell R2 that the AUC implies for a
        normal linear predictor.

    Raises
    ------
    UsageError
        If an argument is out of range.

    References
    ----------
    Riley 2019, Stat Med 38:1276; R2 from the AUC as in Riley 2021, Stat Med 40:859. Rounded up.

    Examples
    --------
    >>> sample_size(0.70).patients.tolist()
    [73, 25, 369, 93]
    """
    if not (0.5 < auc < 1 and 0 < rate < 1 and parameters >= 1 and 0 < shrinkage < 1):
        raise UsageError(
            f"auc={auc}, parameters={parameters}, rate={rate}, shrinkage={shrinkage}",
            expected="auc above 0.5, at least one parameter, fractions between 0 and 1",
        )
    r2, largest = _cox_snell(auc, rate)
    rows = [(f"shrinkage of {shrinkage:g}", _for_shrinkage(parameters, r2, shrinkage))]
    smaller = r2 / (r2 + OPTIMISM * largest)
    rows.append((f"optimism of R2 below {OPTIMISM:g}", _for_shrinkage(parameters, r2, smaller)))
    z = float(ndtri(1 - TWO_SIDED / 2))
    rows += [(f"response rate to +/-{margin:g}", (z / margin) ** 2 * rate * (1 - rate)) for margin in margins]
    table = pd.DataFrame({"criterion": [name for name, _ in rows], "patients": [math.ceil(n) for _, n in rows]})
    table.attrs.update(banner=BANNER, r2=r2, auc=auc, parameters=parameters, rate=rate)
    return table


def _for_shrinkage(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


def _cox_snell(auc: float, rate: float) -> tuple[float, float]:
    """R2 of a linear predictor that is normal with equal SD in both outcomes, and the largest possible R2."""
    d = math.sqrt(2) * float(ndtri(auc))
    prior = math.log(rate / (1 - rate))
    total = 0.0
    for weight, mean, sign in ((rate, d, 1.0), (1 - rate, 0.0, -1.0)):
        logit = prior + d * (mean + _NODES) - d**2 / 2
        total += weight * float(_WEIGHTS @ np.log(expit(sign * logit)))
    without = rate * math.log(rate) + (1 - rate) * math.log(1 - rate)
    return 1 - math.exp(-2 * (total - without)), 1 - math.exp(2 * without)


def slope_learning(
    responder: Responder,
    sizes: Sequence[int] = (20, 40, 80, 160),
    scenarios: Sequence[str] = tuple(SCENARIOS),
    *,
    replicates: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what SYNTHETIC cohorts of several sizes would teach about the slope.

    Parameters
    ----------
    responder : Responder
        The model with its priors.
    sizes : sequence of int
        Patients.
    scenarios : sequence of str
        Truths, see `mscpkpd.responder.synthetic`.
    replicates : int
        Cohorts of each size and scenario, at least 10.
    seed : int
        The same seed gives the same table.

    Returns
    -------
    DataFrame
        scenario, b1, patients, positive and negative (fraction of cohorts with P(b1 > 0), P(b1 < 0) above 0.95),
        mean_estimate, mean_sd, replicates.

    Raises
    ------
    UsageError
        For too few replicates.
    UnknownName
        For another scenario.
    """
    if replicates < FEWEST_REPLICATES:
        raise UsageError(f"replicates={replicates}", expected=f"at least {FEWEST_REPLICATES}")
    rows = []
    for name in scenarios:
        for n in sizes:
            slopes = [_slope(responder, name, n, seed + k) for k in range(replicates)]
            positive = np.array([np.mean(draws > 0) for draws in slopes])
            rows.append(
                {
                    "scenario": name,
                    "b1": SCENARIOS[name].b1,
                    "patients": n,
                    "positive": float(np.mean(positive > CERTAIN)),
                    "negative": float(np.mean(positive < 1 - CERTAIN)),
                    "mean_estimate": float(np.mean([draws.mean() for draws in slopes])),
                    "mean_sd": float(np.mean([draws.std() for draws in slopes])),
                    "replicates": replicates,
                }
            )
    table = pd.DataFrame(rows)
    table.attrs.update(banner=BANNER, notes=("SYNTHETIC cohorts",), slope=responder.definition.slope)
    return table


def _slope(responder: Responder, scenario: str, n: int, seed: int) -> FloatArray:
    cohort = synthetic_cohort(scenario, n, seed=seed)
    return responder.update(cohort, learn="full", seed=seed, draws=500, contrast=False).draws.column("b1")


# ---- enrichment ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truth:
    """Response rates of both arms over a standard normal marker."""

    control: tuple[float, float]  # intercept and slope of the logit
    treated: tuple[float, float]

    def rates(self, share: float) -> tuple[float, float]:
        """Control and treated rate in the upper share of the marker."""
        return _rate(self.control, share), _rate(self.treated, share)

    def low(self, share: float) -> tuple[float, float]:
        """Rates below it."""
        everybody, upper = self.rates(1.0), self.rates(share)
        control, treated = ((a - share * b) / (1 - share) for a, b in zip(everybody, upper, strict=True))
        return control, treated


def _rate(arm: tuple[float, float], share: float) -> float:
    z = np.linspace(-8.0, 8.0, 4001) if share >= 1 else np.linspace(float(ndtri(1 - share)), 8.0, 4001)
    density = np.exp(-0.5 * z**2)
    return float(np.sum(expit(arm[0] + arm[1] * z) * density) / np.sum(density))


def _intercept(rate: float, slope: float) -> float:
    return float(brentq(lambda a: _rate((a, slope), 1.0) - rate, -10, 10))


def _auc(intercept: float, slope: float) -> float:
    z = np.linspace(-8.0, 8.0, 2001)
    density = np.exp(-0.5 * z**2)
    p = expit(intercept + slope * z)
    yes, no = density * p, density * (1 - p)
    below = np.cumsum(no) - 0.5 * no
    return float(np.sum(yes * below) / (yes.sum() * no.sum()))


def _truth(marker: str, control: float, treated: float, auc: float) -> _Truth:
    if marker not in MARKERS:
        raise UnknownName.among("marker", marker, MARKERS)
    if marker == "none" or auc == 0.5:
        slope = 0.0
    else:
        slope = float(brentq(lambda b: _auc(_intercept(treated, b), b) - auc, 0.0, 5.0))
    other = {"none": 0.0, "prognostic": slope, "predictive": 0.0, "mixed": slope / 2}[marker]
    return _Truth((_intercept(control, other), other), (_intercept(treated, slope), slope))


def _power(control: float, treated: float, n: int) -> float:
    """Two-sided test of two proportions, n patients 1:1."""
    each = n / 2
    pooled = (control + treated) / 2
    alternative = math.sqrt((control * (1 - control) + treated * (1 - treated)) / each)
    critical = float(ndtri(1 - TWO_SIDED / 2)) * math.sqrt(2 * pooled * (1 - pooled) / each)
    difference = treated - control
    return float(ndtr((difference - critical) / alternative) + ndtr((-difference - critical) / alternative))


def enrichment_power(
    marker: str = "predictive",
    sizes: Sequence[int] = (80, 160, 240, 400),
    *,
    control: float = 0.50,
    treated: float = 0.60,
    auc: float = SINGLE_ARM_AUC,
    share: float = 0.5,
    reliability: float = 1.0,
) -> pd.DataFrame:
    """Return the power of a randomised trial of all patients, and of one in those with a high marker.

    Parameters
    ----------
    marker : str
        "none", "prognostic" (same odds ratio of both arms at every level), "predictive" (control does not depend on it)
        or "mixed": all but the first have the same AUC in a single arm.
    sizes : sequence of int
        Patients randomised 1:1.
    control, treated : float
        Response rates of all patients, fractions.
    auc : float
        Of the marker in the treated arm, a probability.
    share : float
        Of patients with a high marker, a fraction; n/share are screened.
    reliability : float
        Of the measured marker, a fraction; below 1 the measured one selects.

    Returns
    -------
    DataFrame
        marker, patients, screened, all, enriched (power of a two-sided 5 % test of two proportions, normal
        approximation), and the rates behind them.

    Raises
    ------
    UnknownName
        For another marker.
    UsageError
        If a number is out of range.
    """
    if not (0 < control < 1 and 0 < treated < 1 and 0.5 <= auc < 1 and 0 < share < 1 and 0 < reliability <= 1):
        raise UsageError(
            f"control={control}, treated={treated}, auc={auc}, share={share}, reliability={reliability}",
            expected="fractions between 0 and 1, auc from 0.5",
        )
    truth = _truth(marker, control, treated, auc)
    high = _measured_high(truth, share, reliability)
    rows = [
        {
            "marker": marker,
            "patients": n,
            "screened": math.ceil(n / share),
            "all": _power(control, treated, n),
            "enriched": _power(*high, n),
            "control_high": high[0],
            "treated_high": high[1],
        }
        for n in sizes
    ]
    table = pd.DataFrame(rows)
    table.attrs.update(banner=BANNER, notes=("SYNTHETIC trials",), auc=auc, share=share, reliability=reliability)
    return table


def _measured_high(truth: _Truth, share: float, reliability: float) -> tuple[float, float]:
    """Rates among patients whose measured marker is high: the true one is known up to an error."""
    if reliability == 1:
        return truth.rates(share)
    z = np.linspace(-8.0, 8.0, 4001)
    chance = ndtr((math.sqrt(reliability) * z - float(ndtri(1 - share))) / math.sqrt(1 - reliability))
    density = np.exp(-0.5 * z**2) * chance
    rates = (np.sum(expit(arm[0] + arm[1] * z) * density) / density.sum() for arm in (truth.control, truth.treated))
    control, treated = (float(rate) for rate in rates)
    return control, treated


def assurance(
    responder: Responder,
    sizes: Sequence[int] = (80, 160, 240, 400),
    *,
    control: float = 0.50,
    effect: tuple[float, float] = (0.41, 0.46),
    interaction_sd: float = 0.5,
    draws: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the power averaged over what is not known: the effect, the slope b1 and the interaction.

    Parameters
    ----------
    responder : Responder
        Its prior of b1 is that of the treated arm, per SD of the marker.
    sizes : sequence of int
        Patients randomised 1:1.
    control : float
        Response rate of the control arm, a fraction.
    effect : tuple of float
        Mean and SD of the logit odds ratio of MSC [1]; by default Jiang 2024, 24/40 against 19/38.
    interaction_sd : float
        SD of the prior of the marker-by-arm interaction per SD of the marker, logit units, dimensionless; assumed.
    draws : int
        Of the prior.
    seed : int
        The same seed gives the same table.

    Returns
    -------
    DataFrame
        patients, all, enriched (assurance: mean power in the direction of MSC).

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    if not (0 < control < 1 and draws >= FEWEST_REPLICATES and effect[1] >= 0 and interaction_sd >= 0):
        raise UsageError(
            f"control={control}, draws={draws}", expected="a fraction, at least 10 draws, SDs of 0 or more"
        )
    rng = np.random.default_rng(seed)
    slope = responder.definition.prior("b1").sample(rng, draws)
    interaction = interaction_sd * rng.standard_normal(draws)
    ratio = effect[0] + effect[1] * rng.standard_normal(draws)
    truths = [
        _Truth((_intercept(control, b - i), b - i), (_intercept(control, b - i) + r, b))
        for b, i, r in zip(slope, interaction, ratio, strict=True)
    ]
    pairs = {share: [truth.rates(share) for truth in truths] for share in (1.0, 0.5)}
    rows = []
    for n in sizes:
        found = {
            name: float(np.mean([_power(*rates, n) * (rates[1] > rates[0]) for rates in pairs[share]]))
            for name, share in (("all", 1.0), ("enriched", 0.5))
        }
        rows.append({"patients": n, **found})
    table = pd.DataFrame(rows)
    table.attrs.update(banner=BANNER, notes=("priors partly assumed; SYNTHETIC trials",))
    return table


# ---- adaptive ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdaptiveDesign:
    """Operating characteristics of a two-stage design that may go on with marker-high patients alone.

    Attributes
    ----------
    marker : str
        Truth.
    patients : int
        Randomised in all.
    rejected, rejected_all, rejected_high : float
        Probability of any rejection, of that for all patients, of that for marker-high patients, fractions.
    enriched, stopped : float
        Probability of going on with marker-high patients alone, and of stopping for futility, fractions.
    mean_patients : float
        Randomised on average [patients].
    single_stage : float
        Power of the trial of all patients without an interim look, a fraction.
    replicates : int
        Simulated trials.
    """

    marker: str
    patients: int
    rejected: float
    rejected_all: float
    rejected_high: float
    enriched: float
    stopped: float
    mean_patients: float
    single_stage: float
    replicates: int


def adaptive_design(
    marker: str = "predictive",
    n: int = 240,
    *,
    control: float = 0.50,
    treated: float = 0.60,
    auc: float = SINGLE_ARM_AUC,
    first: float = 0.5,
    low_futility: float = 0.3,
    futility: float = 0.1,
    replicates: int = 5000,
    seed: int = 0,
) -> AdaptiveDesign:
    """Simulate: all-comers first, an interim look at the marker-by-arm interaction, then all or marker-high alone.

    Parameters
    ----------
    marker, control, treated, auc
        As in `enrichment_power`.
    n : int
        Patients in both stages.
    first : float
        Part of them before the look, a fraction.
    low_futility : float
        Marker-low patients are left out if their posterior probability of a better rate under MSC is below this.
    futility : float
        The trial stops if that of marker-high patients is below this, too.
    replicates : int
        Simulated trials.
    seed : int
        The same seed gives the same result.

    Returns
    -------
    AdaptiveDesign

    Raises
    ------
    UsageError
        If a number is out of range.
    UnknownName
        For another marker.

    Notes
    -----
    The marker divides at its median. Stages are combined by the inverse normal method with weights fixed in advance;
    the hypotheses for all and for marker-high patients form a closed test with Bonferroni for their intersection, so
    that the error of either is at most 2.5 % one-sided, whatever the look decides. Convention of this package.
    """
    if not (0.2 <= first <= 0.8 and 40 <= n <= 5000 and replicates >= FEWEST_REPLICATES):
        raise UsageError(
            f"n={n}, first={first}, replicates={replicates}", expected="n from 40 to 5000, first from 0.2 to 0.8"
        )
    truth = _truth(marker, control, treated, auc)
    rng = np.random.default_rng(seed)
    rates = {"high": truth.rates(0.5), "low": truth.low(0.5)}
    each = max(1, round(first * n / 4))  # per arm and half, before the look
    early = {half: _responses(rng, rates[half], each, replicates) for half in rates}
    better = {half: _better(early[half], each) for half in rates}
    high_only = (better["low"] < low_futility) & (better["high"] >= futility)
    stopped = (better["low"] < low_futility) & (better["high"] < futility)
    rest = (n - 4 * each) // 2  # per arm, after the look
    half = rest // 2
    late_high = _responses(rng, rates["high"], half, replicates)
    late_low = _responses(rng, rates["low"], half, replicates)
    late_only = _responses(rng, rates["high"], 2 * half, replicates)
    z1_all, z1_high = _z(early["high"] + early["low"], 2 * each), _z(early["high"], each)
    z2_all = _z(late_high + late_low, 2 * half)
    z2_high = np.where(high_only, _z(late_only, 2 * half), _z(late_high, half))
    weights = math.sqrt(4 * each / n), math.sqrt(1 - 4 * each / n)
    critical = float(ndtri(1 - TWO_SIDED / 2))
    both = weights[0] * _bonferroni(z1_all, z1_high)
    both = both + weights[1] * np.where(high_only, z2_high, _bonferroni(z2_all, z2_high))
    going = ~stopped & (both > critical)
    of_all = going & ~high_only & (weights[0] * z1_all + weights[1] * z2_all > critical)
    of_high = going & (weights[0] * z1_high + weights[1] * z2_high > critical)
    used = np.where(stopped, 4 * each, 4 * each + 4 * half)
    return AdaptiveDesign(
        marker,
        n,
        rejected=float(np.mean(of_all | of_high)),
        rejected_all=float(np.mean(of_all)),
        rejected_high=float(np.mean(of_high)),
        enriched=float(np.mean(high_only)),
        stopped=float(np.mean(stopped)),
        mean_patients=float(np.mean(used)),
        single_stage=_power(*truth.rates(1.0), n),
        replicates=replicates,
    )


def _responses(rng: np.random.Generator, rates: tuple[float, float], each: int, size: int) -> FloatArray:
    """Responders of control and MSC, shape (2, size)."""
    return np.array([rng.binomial(each, rate, size) for rate in rates], float)


def _z(responders: FloatArray, each: int) -> FloatArray:
    control, treated = responders / max(each, 1)
    pooled = np.clip((control + treated) / 2, 1e-9, 1 - 1e-9)
    return np.asarray((treated - control) / np.sqrt(2 * pooled * (1 - pooled) / max(each, 1)))


def _better(responders: FloatArray, each: int) -> FloatArray:
    """Posterior probability that MSC has the higher rate: uniform priors, normal approximation of both."""
    mean = (responders + 1) / (each + 2)
    variance = mean * (1 - mean) / (each + 3)
    return np.asarray(ndtr((mean[1] - mean[0]) / np.sqrt(variance.sum(axis=0))))


def _bonferroni(first: FloatArray, second: FloatArray) -> FloatArray:
    """One z value for the intersection of two one-sided hypotheses."""
    p = np.clip(2 * np.minimum(ndtr(-first), ndtr(-second)), 1e-15, 1 - 1e-15)
    return np.asarray(-ndtri(p))
