"""Latent responder classes where labels are missing, with the diagnostics that usually forbid their use.

Levels and changes of responders and the others are two normals of equal covariance::

    (x, d) | K = k ~ N2(m_k, S),  K ~ Bernoulli(pi),  pi ~ Beta(24, 16),  d lower in responders
    a known response tells K up to Se, Sp ~ Beta(18, 2)

K is summed out, errors of measurement are part of S. An equal-variance mixture is unimodal below a Mahalanobis distance
D of 2, and what is known of CXCL10 suggests 0.55 (level alone) to 1.13 (both): unlabelled patients hardly tell classes.
Classes of patients are refused where more than half of the labels are missing and the posterior of D does not lie above
2; the prior of the responder fraction is all that can then be said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtr

from mscpkpd.errors import CohortError, FitError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.mixtures import FloatArray, JointPrior, NormalMixture
from mscpkpd.responder.sampling import sample_posterior

if TYPE_CHECKING:
    from mscpkpd.cohort import Cohort
    from mscpkpd.responder.definition import Definition

__all__ = ["BIMODAL", "Classes", "fit_classes", "separation"]

BIMODAL = 2.0  # distance below which an equal-variance mixture has one mode
MOST_MISSING = 0.5
FRACTION, ACCURACY = (24.0, 16.0), (18.0, 2.0)  # Beta priors of pi, and of Se and Sp
FEWEST = 20
GAP = NormalMixture.parse("halfnormal(0.5)")  # of the means of the change, ln units; assumed
STANDARD = NormalMixture("normal(0, 1)", (1.0,), (0.0,), (1.0,))


def separation(baseline: float, change: float = 0.0, correlation: float = 0.0) -> float:
    """Return the Mahalanobis distance of two classes from standardised differences of level and change.

    Parameters
    ----------
    baseline, change : float
        Differences of the class means in SDs within classes, dimensionless.
    correlation : float
        Of level and change within classes [1].

    Returns
    -------
    float
        D, dimensionless: 0.55 for the level alone in the base scenario, 1.13 for both.

    Raises
    ------
    Raises nothing.

    Examples
    --------
    >>> round(separation(0.55, -1.11, -0.3), 2)
    1.13
    """
    square = (baseline**2 - 2 * correlation * baseline * change + change**2) / (1 - correlation**2)
    return math.sqrt(square)


@dataclass(frozen=True, eq=False)
class Classes:
    """The fitted mixture.

    Attributes
    ----------
    distance : array of shape (draws,)
        Mahalanobis distance D of the classes, dimensionless.
    fraction : array of shape (draws,)
        Responder fraction pi, a fraction.
    probability : array of shape (patients,)
        P(responder class) of each patient, a probability; not to be shown where `refusal` is not blank.
    patients : tuple of str
        Their names.
    missing : float
        Share of labels that are missing, a fraction.
    refusal : str
        Why classes are not shown; blank if they may be.
    ok : bool
        Whether the draws passed their check.
    check : str
        That check in words.
    synthetic : bool
        Whether any patient is invented.
    """

    distance: FloatArray
    fraction: FloatArray
    probability: FloatArray
    patients: tuple[str, ...]
    missing: float
    refusal: str
    ok: bool
    check: str
    synthetic: bool

    def table(self) -> pd.DataFrame:
        """Return patient and p_class, the probability of the responder class.

        Raises
        ------
        FitError
            If classes must not be shown, with the reason and what can be said instead.
        """
        if self.refusal:
            raise FitError(self.refusal, hint="collect the responses; until then the prior of the rate is all there is")
        table = pd.DataFrame({"patient": self.patients, "p_class": self.probability})
        table.attrs.update(banner=BANNER, notes=("SYNTHETIC cohort",) * self.synthetic)
        return table

    def __str__(self) -> str:
        low, middle, high = np.quantile(self.distance, [0.025, 0.5, 0.975])
        a, b = FRACTION
        lower, upper = betaincinv(a, b, [0.025, 0.975])
        prior = f"prior of the responder fraction {a / (a + b):.2f} ({lower:.2f} to {upper:.2f})"
        head = [] if self.ok else [f"NOT RELIABLE: {self.check}"]
        lines = [
            *head,
            BANNER,
            f"{'SYNTHETIC ' * self.synthetic}{len(self.patients)} patients, {self.missing:.0%} of the labels missing",
            f"separation D {middle:.2f} ({low:.2f} to {high:.2f}); two classes show as two modes above {BIMODAL:g}",
        ]
        if self.refusal:
            return "\n".join([*lines, f"NO CLASSES: {self.refusal}", prior])
        return "\n".join([*lines, f"responder fraction {self.fraction.mean():.2f}"])


def fit_classes(definition: Definition, cohort: Cohort, *, seed: int, draws: int) -> Classes:
    """Fit the mixture to patients with both levels measured; see `Responder.latent_classes`."""
    usable = [
        patient
        for patient in cohort.patients
        if patient.level is not None
        and patient.level_24h is not None
        and patient.level.censoring == patient.level_24h.censoring == "none"
    ]
    if len(usable) < FEWEST or len({patient.platform.casefold() for patient in usable}) > 1:
        raise CohortError(
            f"{len(usable)} patients with both levels measured, on {len({p.platform for p in usable})} platforms",
            where=cohort.source,
            expected=f"at least {FEWEST} on one platform",
        )
    first = np.array([math.log(patient.level.value) for patient in usable if patient.level])
    change = np.array([math.log(patient.level_24h.value) for patient in usable if patient.level_24h]) - first
    sign = np.array([0 if patient.response is None else 2 * patient.response - 1 for patient in usable])
    data = np.column_stack([first, change])
    names = ("pi", "se", "sp", "mean_x", "mean_d", "gap_x", "gap_d", "s_x", "s_d", "rho")
    prior = JointPrior(names, (STANDARD,) * len(names))

    def log_likelihood(z: FloatArray) -> FloatArray:
        yes, no = _log_classes(definition, z, data, sign)
        return np.asarray(np.logaddexp(yes, no).sum(axis=1))

    sample = sample_posterior(log_likelihood, prior, draws, np.random.default_rng(seed), "auto")
    yes, no = _log_classes(definition, sample.draws, data, sign)
    values = _values(definition, sample.draws)
    distance = _distance(values)
    missing = float(np.mean(sign == 0))
    return Classes(
        distance,
        values["pi"],
        np.mean(1 / (1 + np.exp(no - yes)), axis=0),
        tuple(patient.id for patient in usable),
        missing,
        _refusal(missing, distance),
        sample.ok,
        f"{sample.method}: {sample.check}",
        cohort.synthetic,
    )


def _refusal(missing: float, distance: FloatArray) -> str:
    above = float(np.mean(distance > BIMODAL))
    if missing <= MOST_MISSING or above > 0.5:
        return ""
    return (
        f"{missing:.0%} of the labels are missing and the classes are not apart (posterior median of D "
        f"{np.median(distance):.2f}, below {BIMODAL:g}): who belongs where cannot be told"
    )


def _values(definition: Definition, z: FloatArray) -> dict[str, FloatArray]:
    """Parameters of standard normal rows."""
    columns = dict(zip(("pi", "se", "sp", "mean_x", "mean_d", "gap_x", "gap_d", "s_x", "s_d", "rho"), z.T, strict=True))
    uniform = {name: np.clip(ndtr(columns[name]), 1e-12, 1 - 1e-12) for name in ("pi", "se", "sp")}
    mu_x, mu_d = definition.prior("mu_x"), definition.prior("mu_d")
    scale_x, scale_d = definition.prior("s_x"), definition.prior("s_d")
    return {
        "pi": np.asarray(betaincinv(*FRACTION, uniform["pi"])),
        "se": np.asarray(betaincinv(*ACCURACY, uniform["se"])),
        "sp": np.asarray(betaincinv(*ACCURACY, uniform["sp"])),
        "mean_x": mu_x.mean + mu_x.sd * columns["mean_x"],
        "mean_d": mu_d.mean + mu_d.sd * columns["mean_d"],
        "gap_x": 0.5 * columns["gap_x"],
        # the order of the classes: responders fall more
        "gap_d": -GAP.natural(columns["gap_d"]),
        "s_x": np.exp(scale_x.mean + scale_x.sd * columns["s_x"]),
        "s_d": np.exp(math.log(math.hypot(0.35, 0.42)) + scale_d.sd * columns["s_d"]),
        "rho": np.tanh(0.4 * columns["rho"]),
    }


def _distance(values: dict[str, FloatArray]) -> FloatArray:
    a, b, rho = values["gap_x"] / values["s_x"], values["gap_d"] / values["s_d"], values["rho"]
    return np.asarray(np.sqrt((a**2 - 2 * rho * a * b + b**2) / (1 - rho**2)))


def _log_classes(
    definition: Definition, z: FloatArray, data: FloatArray, sign: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log probability of each patient's data together with either class, shapes (draws, patients)."""
    values = {name: column[:, None] for name, column in _values(definition, z).items()}
    label_yes = np.where(sign == 0, 1.0, np.where(sign > 0, values["se"], 1 - values["se"]))
    label_no = np.where(sign == 0, 1.0, np.where(sign > 0, 1 - values["sp"], values["sp"]))
    found = []
    for share, label, side in ((values["pi"], label_yes, 0.5), (1 - values["pi"], label_no, -0.5)):
        a = (data[:, 0] - values["mean_x"] - side * values["gap_x"]) / values["s_x"]
        b = (data[:, 1] - values["mean_d"] - side * values["gap_d"]) / values["s_d"]
        rest = 1 - values["rho"] ** 2
        density = -0.5 * (a**2 - 2 * values["rho"] * a * b + b**2) / rest
        density = density - np.log(values["s_x"] * values["s_d"]) - 0.5 * np.log(rest) - math.log(2 * math.pi)
        found.append(density + np.log(share) + np.log(label))
    return found[0], found[1]
