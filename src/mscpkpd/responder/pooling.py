"""Response rates without any marker: the random-effects pool of published cohorts, and the closed-form update."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, expit, log_expit, ndtr

from mscpkpd.errors import ModelError, UnknownName, UsageError

__all__ = ["PooledRate", "RateUpdate", "Trial", "parse_trials", "pool_rates", "select", "update_rate"]

FloatArray = NDArray[np.float64]
# grids: fine against the posterior SDs of mu (0.1 to 0.3) and tau (0.1 to 0.3); eta by the trapezoidal rule
MU_REACH, MU_CELLS = 1.6, 80
TAU_CELLS = 90
ETA = np.linspace(-6.0, 6.0, 97)
RATE_POINTS = np.linspace(-5.0, 6.0, 1101)
SUBSETS = {
    "all": "every pooled cohort",
    "UC": "umbilical cord cells",
    "BM": "bone marrow cells",
    "children": "children alone",
    "prospective": "prospective cohorts",
}
ROBUST_WEIGHT, WIDE = 0.8, "normal(0, 1.5)"  # of the informative part of a prior, and what stands beside it
WIDENED = 0.35 / 0.26  # SD of a new cohort for publication bias and differences of products, over the pooled one


class Trial(NamedTuple):
    """One row of the trial table that holds counts."""

    study: str
    n: int
    responders: int
    tissue: str
    pooled: bool
    prospective: bool
    evidence: str
    children: bool = False
    source: str = ""


class Interval(NamedTuple):
    """Median and central 95 % interval."""

    median: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.lower:.3f}-{self.upper:.3f})"


@dataclass(frozen=True)
class PooledRate:
    """Random-effects pool of response rates.

    Attributes
    ----------
    subset : str
        Which cohorts.
    trials : tuple of str
        Their keys.
    responders, patients : int
        Totals.
    rate : Interval
        Population response rate.
    tau : Interval
        Between-trial SD of the logit.
    new_cohort : Interval
        Response rate of a new cohort.
    mean_logit, sd_logit : float
        Posterior mean and SD of the population logit [1].
    mean_new, sd_new : float
        Mean and SD of the logit of a new cohort [1].
    table : tuple of Trial
        The cohorts with counts, as pooled.
    shrunken : tuple of Interval
        Response rate of each cohort given all of them.
    """

    subset: str
    trials: tuple[str, ...]
    responders: int
    patients: int
    rate: Interval
    tau: Interval
    new_cohort: Interval
    mean_logit: float
    sd_logit: float
    mean_new: float = math.nan
    sd_new: float = math.nan
    table: tuple[Trial, ...] = ()
    shrunken: tuple[Interval, ...] = ()

    def robust_prior(self) -> str:
        """Return a prior of alpha for a new cohort: the pooled one, widened, with a wide part for a cohort unlike them.

        Returns
        -------
        str
            A mixture on the logit scale, for ``Responder.with_prior("alpha", ...)``. The SD of a new cohort is widened
            by 0.35/0.26, as in the shipped file, for publication bias and differences between products.
        """
        informative = f"normal({self.mean_new:.3f}, {WIDENED * self.sd_new:.3f})"
        return f"{ROBUST_WEIGHT:g}*{informative} + {1 - ROBUST_WEIGHT:g}*{WIDE}"

    def __str__(self) -> str:
        which = SUBSETS.get(self.subset, self.subset)
        counts = f"{len(self.trials)} cohorts ({which}), {self.responders} of {self.patients} responded"
        rates = f"population rate {self.rate}, tau {self.tau}, new cohort {self.new_cohort}"
        return f"{counts}: {rates}; median and 95 % interval"


def parse_trials(text: str, where: str = "") -> tuple[Trial, ...]:
    """Read the trial table.

    Parameters
    ----------
    text : str
        CSV with the columns study, n, responders, tissue, in_pool, prospective, evidence; rows without counts are
        left out.
    where : str
        File, for messages.

    Returns
    -------
    tuple of Trial

    Raises
    ------
    ModelError
        If a column is missing, a count is impossible, a study stands twice, or a pooled row has no counts.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    missing = {"study", "n", "responders", "tissue", "in_pool", "prospective", "evidence"} - set(
        rows[0] if rows else ()
    )
    if missing:
        raise ModelError(
            f"no column {', '.join(sorted(missing))}", where=where, hint="the columns of the shipped trial table"
        )
    seen: set[str] = set()
    trials = []
    for line, row in enumerate(rows, 2):
        if row["study"] in seen:
            raise ModelError(
                f"study '{row['study']}' stands twice",
                where=f"{where} row {line}",
                hint="the same patients never count twice",
            )
        seen.add(row["study"])
        if row["n"] and row["responders"]:
            trials.append(_trial(row, f"{where} row {line}"))
        elif row["in_pool"] == "true":
            raise ModelError(
                f"'{row['study']}' is in the pool without counts",
                where=f"{where} row {line}",
                expected="n and responders",
            )
    return tuple(trials)


def _trial(row: dict[str, str], where: str) -> Trial:
    try:
        n, responders = int(row["n"]), int(row["responders"])
    except ValueError:
        raise ModelError(
            f"n '{row['n']}', responders '{row['responders']}'", where=where, expected="whole numbers"
        ) from None
    if not 0 <= responders <= n or n < 1:
        raise ModelError(f"{responders} responders of {n}", where=where, expected="0 <= responders <= n")
    return Trial(
        row["study"],
        n,
        responders,
        row["tissue"],
        row["in_pool"] == "true",
        row["prospective"] == "true",
        row["evidence"],
        "paediatric" in row.get("population", ""),
        row.get("source", ""),
    )


def select(trials: Sequence[Trial], subset: str) -> tuple[Trial, ...]:
    """Return the pooled trials of a subset: "all", "UC", "BM", "children" or "prospective".

    Raises
    ------
    UnknownName
        For another subset.
    """
    if subset not in SUBSETS:
        raise UnknownName.among("subset of trials", subset, SUBSETS)
    return tuple(trial for trial in trials if trial.pooled and _belongs(trial, subset))


def _belongs(trial: Trial, subset: str) -> bool:
    kinds = {"prospective": trial.prospective, "children": trial.children}
    return kinds.get(subset, subset in ("all", trial.tissue))


def pool_rates(
    trials: Sequence[Trial], *, mu_sd: float = 10.0, tau_scale: float = 0.5, subset: str = "all"
) -> PooledRate:
    """Pool response rates with random effects, on a grid.

    ``responders ~ Binomial(n, expit(mu + tau*eta))``, ``eta ~ Normal(0, 1)``, ``mu ~ Normal(0, mu_sd)``,
    ``tau ~ HalfNormal(tau_scale)``; eta is integrated by the trapezoidal rule on 97 points.

    Parameters
    ----------
    trials : sequence of Trial
        At least one.
    mu_sd, tau_scale : float
        Priors, logit units.
    subset : str
        Name kept in the result.

    Returns
    -------
    PooledRate

    Notes
    -----
    Known answers for the 13 shipped cohorts: 0.603 (0.559-0.653), tau 0.18, new cohort 0.602 (0.475-0.727).
    """
    n = np.array([trial.n for trial in trials], float)
    responders = np.array([trial.responders for trial in trials], float)
    centre = math.log((responders.sum() + 1) / (n.sum() - responders.sum() + 1))
    mu_edges = centre + np.linspace(-MU_REACH, MU_REACH, MU_CELLS + 1)
    tau_edges = tau_scale * np.linspace(0.0, 4.0, TAU_CELLS + 1)
    mu, tau = (0.5 * (edges[1:] + edges[:-1]) for edges in (mu_edges, tau_edges))
    log_posterior = (
        _log_likelihood(responders, n, mu, tau) - 0.5 * (mu[:, None] / mu_sd) ** 2 - 0.5 * (tau / tau_scale) ** 2
    )
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior /= posterior.sum()
    of_mu, of_tau = posterior.sum(axis=1), posterior.sum(axis=0)
    mean = float(of_mu @ mu)
    spread = float(posterior.sum(axis=0) @ tau**2)
    return PooledRate(
        subset,
        tuple(trial.study for trial in trials),
        int(responders.sum()),
        int(n.sum()),
        rate=_interval(mu_edges, of_mu, logit=True),
        tau=_interval(tau_edges, of_tau),
        new_cohort=_new_cohort(mu, tau, posterior),
        mean_logit=mean,
        sd_logit=math.sqrt(float(of_mu @ (mu - mean) ** 2)),
        mean_new=mean,
        sd_new=math.sqrt(float(of_mu @ (mu - mean) ** 2) + spread),
        table=tuple(trials),
        shrunken=tuple(_shrunken(trial, mu, tau, posterior) for trial in trials),
    )


def _log_likelihood(responders: FloatArray, n: FloatArray, mu: FloatArray, tau: FloatArray) -> FloatArray:
    """Marginal log likelihood, shape (mu, tau)."""
    logit = mu[:, None, None] + tau[None, :, None] * ETA
    log_p, log_q = log_expit(logit), log_expit(-logit)
    weights = np.exp(-0.5 * ETA**2)
    total = np.zeros(logit.shape[:2])
    for y, size in zip(responders, n, strict=True):
        terms = y * log_p + (size - y) * log_q
        highest = terms.max(axis=-1, keepdims=True)
        total += highest[..., 0] + np.log(np.exp(terms - highest) @ weights)
    return total


def _interval(edges: FloatArray, mass: FloatArray, *, logit: bool = False) -> Interval:
    median, lower, upper = np.interp([0.5, 0.025, 0.975], np.concatenate([[0.0], np.cumsum(mass)]), edges)
    return Interval(*(float(expit(value)) if logit else float(value) for value in (median, lower, upper)))


def _new_cohort(mu: FloatArray, tau: FloatArray, posterior: FloatArray) -> Interval:
    cdf = np.array([np.sum(posterior * ndtr((point - mu[:, None]) / tau)) for point in RATE_POINTS])
    return Interval(*(float(expit(value)) for value in np.interp([0.5, 0.025, 0.975], cdf, RATE_POINTS)))


def _shrunken(trial: Trial, mu: FloatArray, tau: FloatArray, posterior: FloatArray) -> Interval:
    """Response rate of one cohort given all: its own counts weigh the grid of its rate under each mu and tau."""
    logit = RATE_POINTS[::5]
    own = trial.responders * log_expit(logit) + (trial.n - trial.responders) * log_expit(-logit)
    own = np.exp(own - own.max())
    density = np.zeros(len(logit))
    for k, sd in enumerate(tau):
        normal = np.exp(-0.5 * ((logit - mu[:, None]) / sd) ** 2) * own
        density += (posterior[:, k] / np.maximum(normal.sum(axis=1), 1e-300)) @ normal
    cdf = np.cumsum(density) - 0.5 * density
    return Interval(*(float(expit(value)) for value in np.interp([0.5, 0.025, 0.975], cdf / density.sum(), logit)))


@dataclass(frozen=True)
class RateUpdate:
    """Response rate of one cohort without covariates, a mixture of beta distributions after the data.

    Attributes
    ----------
    responders, n : int
        The data.
    weights : tuple of float
        Posterior probability of each component, in the order of the prior.
    components : tuple of (float, float)
        Their a and b [patients].
    prior_tail : float
        Two-sided prior predictive probability of a count as extreme as this one; where it is small, prior and cohort
        disagree.
    """

    responders: int
    n: int
    weights: tuple[float, ...]
    components: tuple[tuple[float, float], ...]
    prior_tail: float

    @property
    def mean(self) -> float:
        """Posterior mean of the response rate."""
        return sum(weight * a / (a + b) for weight, (a, b) in zip(self.weights, self.components, strict=True))

    def quantile(self, p: float) -> float:
        """Return the rate below which lies a probability.

        Parameters
        ----------
        p : float
            The probability.

        Returns
        -------
        float
            The rate, a fraction, to 1e-4.
        """
        grid = np.linspace(0.0, 1.0, 10_001)
        cdf = sum(weight * betainc(a, b, grid) for weight, (a, b) in zip(self.weights, self.components, strict=True))
        return float(np.interp(p, cdf, grid))

    @property
    def without_prior(self) -> tuple[float, float]:
        """Wilson 95 % interval of the observed rate."""
        z2, rate = 3.841458820694124, self.responders / self.n
        centre = (rate + z2 / (2 * self.n)) / (1 + z2 / self.n)
        half = math.sqrt(z2) * math.sqrt(rate * (1 - rate) / self.n + z2 / (4 * self.n**2)) / (1 + z2 / self.n)
        return centre - half, centre + half

    def __str__(self) -> str:
        low, high = self.without_prior
        observed = f"{self.responders / self.n:.2f} ({low:.2f}-{high:.2f}) without the prior"
        informed = f"{self.mean:.2f} ({self.quantile(0.025):.2f}-{self.quantile(0.975):.2f}) with it"
        tail = f"prior predictive tail probability {self.prior_tail:.2g}"
        weight = f"weight on the informative part {self.weights[0]:.2f}"
        return f"{self.responders} of {self.n} responded: {observed}, {informed}; {weight}; {tail}"


def update_rate(
    responders: int, n: int, prior: Sequence[tuple[float, float, float]] = ((0.8, 24.0, 16.0), (0.2, 1.0, 1.0))
) -> RateUpdate:
    """Update a mixture-of-beta prior with one cohort: each weight times B(a + r, b + n - r)/B(a, b).

    Parameters
    ----------
    responders, n : int
        0 <= responders <= n, n > 0.
    prior : sequence of (weight, a, b)
        Components; the first is the informative one.

    Returns
    -------
    RateUpdate

    Raises
    ------
    UsageError
        If the counts are impossible.

    Notes
    -----
    The default is the beta form of the response rate of a new cohort, 0.8 Beta(24, 16) + 0.2 Beta(1, 1). Known answers
    (weight, mean): 12 of 20 0.92, 0.60; 6 of 20 0.53, 0.41; 18 of 20 0.45, 0.79; 8 of 40 0.02, 0.22.
    """
    if not 0 <= responders <= n or n < 1:
        raise UsageError(f"{responders} responders of {n}", expected="0 <= responders <= n, n at least 1")
    weights, a, b = (np.array(column) for column in zip(*prior, strict=True))
    log_weights = np.log(weights) + betaln(a + responders, b + n - responders) - betaln(a, b)
    posterior = np.exp(log_weights - log_weights.max())
    posterior /= posterior.sum()
    counts = np.arange(n + 1)[:, None]
    log_binomial = -betaln(counts + 1, n - counts + 1) - math.log(n + 1)
    predictive = np.exp(log_binomial + betaln(a + counts, b + n - counts) - betaln(a, b)) @ weights
    tail = 2 * min(predictive[: responders + 1].sum(), predictive[responders:].sum())
    after = tuple((float(x) + responders, float(y) + n - responders) for x, y in zip(a, b, strict=True))
    return RateUpdate(responders, n, tuple(map(float, posterior)), after, min(1.0, float(tail)))
