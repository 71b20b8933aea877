"""How well scores did on patients with known responses: discrimination, calibration and net value of acting on them.

Intervals are Bayesian bootstrap: Dirichlet weights on the patients, 1000 replicates.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr

from mscpkpd.errors import CohortError

if TYPE_CHECKING:
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["auc_of_slope", "calibration", "decision_curve"]

REPLICATES = 1000
FEWEST = 10
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
RIDGE = 0.01  # precision of a normal prior on intercept and slope: keeps separable holdouts finite
NEWTON_STEPS = 15


def auc_of_slope(b1: float, spread: float = 0.9, within_sd: float = 0.85) -> float:
    """Return the AUC of the true level that a slope implies: ``Phi(b1/spread * within_sd/sqrt(2))``.

    Parameters
    ----------
    b1 : float
        Slope of the logit per `spread`, dimensionless.
    spread, within_sd : float
        In ln units: the step of z, and the SD of ln CXCL10 within responders and within the others.

    Returns
    -------
    float
        A probability.

    Raises
    ------
    Raises nothing.

    Notes
    -----
    Two normal distributions of equal SD whose log odds have that slope.

    Examples
    --------
    >>> round(auc_of_slope(0.585), 3)
    0.652
    """
    return float(ndtr(b1 / spread * within_sd / math.sqrt(2)))


def _check(responses: FloatArray, source: str) -> None:
    positive = int(responses.sum())
    if len(responses) < FEWEST or positive in (0, len(responses)):
        problem = f"{len(responses)} patients with a known response, {positive} responded"
        raise CohortError(
            problem, where=source, expected=f"at least {FEWEST} patients, some of whom responded and some did not"
        )


def calibration(scores: FloatArray, responses: FloatArray, rng: np.random.Generator, source: str = "") -> pd.DataFrame:
    """Return measures of agreement between scores and responses.

    Parameters
    ----------
    scores, responses : array of shape (n,)
        P(response), and 1 or 0.
    rng : numpy.random.Generator
        Of the bootstrap.
    source : str
        File name, for messages.

    Returns
    -------
    DataFrame
        measure, estimate, lower, upper (95 %), perfect: patients; auc; brier; scaled_brier = 1 - brier/(r (1 - r));
        observed_over_expected; calibration_intercept (slope fixed at 1) and calibration_slope of responses on logit
        scores.

    Raises
    ------
    CohortError
        For fewer than 10 patients or one outcome only.
    """
    _check(responses, source)
    n = len(scores)
    weights = np.vstack([np.full(n, 1 / n), rng.dirichlet(np.ones(n), REPLICATES)])
    measures = _measures(scores, responses, weights)
    perfect = {"auc": 1.0, "brier": 0.0, "scaled_brier": 1.0, "observed_over_expected": 1.0}
    perfect |= {"calibration_intercept": 0.0, "calibration_slope": 1.0}
    rows = [{"measure": "patients", "estimate": float(n), "lower": math.nan, "upper": math.nan, "perfect": math.nan}]
    for name, values in measures.items():
        lower, upper = np.quantile(values[1:], [0.025, 0.975])
        rows.append(
            {
                "measure": name,
                "estimate": float(values[0]),
                "lower": float(lower),
                "upper": float(upper),
                "perfect": perfect[name],
            }
        )
    return pd.DataFrame(rows)


def _measures(scores: FloatArray, responses: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    rate = weights @ responses
    brier = weights @ (scores - responses) ** 2
    linear = logit(np.clip(scores, 1e-9, 1 - 1e-9))
    return {
        "auc": _auc(scores, responses, weights),
        "brier": brier,
        "scaled_brier": 1 - brier / (rate * (1 - rate)),
        "observed_over_expected": rate / (weights @ scores),
        "calibration_intercept": _logistic(np.ones((len(scores), 1)), linear, responses, weights)[:, 0],
        "calibration_slope": _logistic(np.column_stack([np.ones(len(scores)), linear]), 0 * linear, responses, weights)[
            :, 1
        ],
    }


def _auc(scores: FloatArray, responses: FloatArray, weights: FloatArray) -> FloatArray:
    yes, no = responses == 1, responses == 0
    wins = np.sign(scores[yes][:, None] - scores[no]) / 2 + 0.5
    pairs = np.einsum("bi,ij,bj->b", weights[:, yes], wins, weights[:, no], optimize=True)
    return np.asarray(pairs / (weights[:, yes].sum(axis=1) * weights[:, no].sum(axis=1)))


def _logistic(design: FloatArray, offset: FloatArray, responses: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted logistic regressions side by side by Newton's method, shape (replicates, coefficients)."""
    n, k = design.shape
    beta = np.zeros((len(weights), k))
    for _ in range(NEWTON_STEPS):
        p = expit(beta @ design.T + offset)
        gradient = n * (weights * (responses - p)) @ design - RIDGE * beta
        curvature = np.einsum(
            "bn,nj,nk->bjk", n * weights * p * (1 - p), design, design, optimize=True
        ) + RIDGE * np.eye(k)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        beta += np.clip(step, -2.0, 2.0)
    return beta


def decision_curve(
    scores: FloatArray, responses: FloatArray, rng: np.random.Generator, source: str = ""
) -> pd.DataFrame:
    """Return the net value of treating those whose score is at least a threshold t: ``TP/n - FP/n * t/(1 - t)``.

    Parameters
    ----------
    scores, responses, rng, source
        As in `calibration`.

    Returns
    -------
    DataFrame
        threshold, net_value, lower, upper (95 %), treat_all, treat_none, p_best (posterior probability that the score
        is better than both). It weighs responders reached against others treated; it says nothing about what MSC add.

    Raises
    ------
    CohortError
        As `calibration`.

    References
    ----------
    Vickers and Elkin 2006, Med Decis Making 26:565.
    """
    _check(responses, source)
    n = len(scores)
    weights = np.vstack([np.full(n, 1 / n), rng.dirichlet(np.ones(n), REPLICATES)])
    rows = []
    for threshold in THRESHOLDS:
        value = responses - (1 - responses) * threshold / (1 - threshold)
        by_score, everyone = weights @ (value * (scores >= threshold)), weights @ value
        lower, upper = np.quantile(by_score[1:], [0.025, 0.975])
        best = np.mean(by_score[1:] > np.maximum(everyone[1:], 0.0))
        row = {"threshold": threshold, "net_value": by_score[0], "lower": lower, "upper": upper}
        rows.append({**row, "treat_all": everyone[0], "treat_none": 0.0, "p_best": best})
    return pd.DataFrame(rows)
