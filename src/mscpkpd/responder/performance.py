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

__all__ = ["auc_of_slope", "calibration", "calibration_curve", "decision_curve", "discrimination"]

REPLICATES = 1000
FEWEST = 10
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
CURVE = np.round(np.arange(0.05, 0.96, 0.025), 3)
ENOUGH_FOR_INDICES = 200  # patients from which on the distance of a flexible curve means something
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
        scores; from 200 patients on ici, the mean distance of the calibration curve from the diagonal.

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
    if n >= ENOUGH_FOR_INDICES:
        measures["ici"] = _mean_distance(scores, responses, weights)
        perfect["ici"] = 0.0
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


def discrimination(scores: FloatArray, responses: FloatArray) -> dict[str, float]:
    """Return auc, brier and calibration_slope of scores without intervals."""
    found = _measures(scores, responses, np.full((1, len(scores)), 1 / len(scores)))
    return {name: float(found[name][0]) for name in ("auc", "brier", "calibration_slope")}


def calibration_curve(
    scores: FloatArray, responses: FloatArray, rng: np.random.Generator, source: str = ""
) -> pd.DataFrame:
    """Return the response rate at each score, by logistic regression on logit score and its square.

    Parameters
    ----------
    scores, responses, rng, source
        As in `calibration`.

    Returns
    -------
    DataFrame
        score, observed, lower, upper (95 %, Bayesian bootstrap), within the range of the scores.

    Raises
    ------
    CohortError
        As `calibration`.
    """
    _check(responses, source)
    n = len(scores)
    weights = np.vstack([np.full(n, 1 / n), rng.dirichlet(np.ones(n), REPLICATES)])
    grid = CURVE[(scores.min() <= CURVE) & (scores.max() >= CURVE)]
    if len(grid) < 2:
        grid = np.linspace(scores.min(), scores.max(), 5)
    centre = float(logit(np.clip(scores, 1e-9, 1 - 1e-9)).mean())
    beta = _logistic(_curved(scores, centre), np.zeros(n), responses, weights)
    curves = expit(beta @ _curved(grid, centre).T)
    lower, upper = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return pd.DataFrame({"score": grid, "observed": curves[0], "lower": lower, "upper": upper})


def _curved(scores: FloatArray, centre: float) -> FloatArray:
    linear = logit(np.clip(scores, 1e-9, 1 - 1e-9)) - centre
    return np.column_stack([np.ones(len(scores)), linear, linear**2])


def _mean_distance(scores: FloatArray, responses: FloatArray, weights: FloatArray) -> FloatArray:
    design = _curved(scores, float(logit(np.clip(scores, 1e-9, 1 - 1e-9)).mean()))
    curves = expit(_logistic(design, np.zeros(len(scores)), responses, weights) @ design.T)
    return np.asarray((weights * np.abs(curves - scores)).sum(axis=1))


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
    scores: FloatArray,
    responses: FloatArray,
    rng: np.random.Generator,
    source: str = "",
    alternative: FloatArray | None = None,
) -> pd.DataFrame:
    """Return the net value of treating those whose score is at least a threshold t: ``TP/n - FP/n * t/(1 - t)``.

    Parameters
    ----------
    scores, responses, rng, source
        As in `calibration`.
    alternative : array of shape (n,), optional
        1 for patients whom another, declared rule treats, 0 for the others.

    Returns
    -------
    DataFrame
        threshold, net_value, lower, upper (95 %), treat_all, treat_none, p_best (posterior probability that the score
        is better than every other strategy), p_best_all, p_best_none and evpi, the expected value of knowing which
        strategy is best: E[max] - max E; with an alternative also alternative and p_best_alternative. It weighs
        responders reached against others treated; it says nothing about what MSC add.

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
        ways = {
            "score": weights @ (value * (scores >= threshold)),
            "all": weights @ value,
            "none": np.zeros(len(weights)),
        }
        if alternative is not None:
            ways["alternative"] = weights @ (value * alternative)
        rows.append(_at_threshold(float(threshold), ways))
    return pd.DataFrame(rows)


def _at_threshold(threshold: float, ways: dict[str, FloatArray]) -> dict[str, float]:
    by_way = np.array(list(ways.values()))
    drawn = by_way[:, 1:]
    # a tie is nobody's win: the score that treats everybody is not better than treating everybody
    best = {name: float(np.mean(drawn[k] > np.delete(drawn, k, axis=0).max(axis=0))) for k, name in enumerate(ways)}
    lower, upper = np.quantile(ways["score"][1:], [0.025, 0.975])
    row = {
        "threshold": threshold,
        "net_value": float(ways["score"][0]),
        "lower": float(lower),
        "upper": float(upper),
        "treat_all": float(ways["all"][0]),
        "treat_none": 0.0,
        "p_best": best["score"],
        "p_best_all": best["all"],
        "p_best_none": best["none"],
        "evpi": float(drawn.max(axis=0).mean() - drawn.mean(axis=1).max()),
    }
    if "alternative" in ways:
        row |= {"alternative": float(ways["alternative"][0]), "p_best_alternative": best["alternative"]}
    return row
