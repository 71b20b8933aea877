"""Weighted least squares with lmfit: a quick answer, on the transformed scale of each parameter.

Residuals are weighted by the noise of their output. Its size is estimated from the residuals and the fit repeated
(iteratively reweighted), or taken from the data where rows carry their own standard deviation. A censored row adds
its log probability: r = sqrt(-2 log P).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import lmfit
import numpy as np
from scipy.stats import norm, t

from mscpkpd.errors import FitError
from mscpkpd.fitting.residuals import Residuals
from mscpkpd.problem import Problem

__all__ = ["Estimate", "estimate", "identified", "moved", "quantile"]

ROUNDS = 4
# A parameter counts as identified if the data alone say at least as much about it as its prior does: their standard
# error, in prior SD, stays below this.
INFORMATIVE = 1.0
UNSEEN = 1e-8  # information, in units of prior SD, that makes a direction without data finite


@dataclass(frozen=True, eq=False)
class Estimate:
    """Least-squares estimates on the transformed scale.

    Attributes
    ----------
    names : tuple of str
        Parameters estimated.
    free_values : array of shape (n,)
        Estimates, transformed scale.
    covariance : array of shape (n, n)
        Of `free_values`.
    noise : dict of str to float
        Noise parameters estimated from the residuals.
    degrees : float
        Degrees of freedom; infinite where every row carries its own standard deviation.
    success : bool
        Whether the search ended at an optimum.
    message : str
        What the optimiser said.
    result : lmfit.minimizer.MinimizerResult
    interval : callable
        Confidence limits by profiling (``lmfit.conf_interval``).
    """

    names: tuple[str, ...]
    free_values: np.ndarray
    covariance: np.ndarray
    noise: dict[str, float]
    degrees: float
    success: bool
    message: str
    result: Any
    interval: Callable[..., Any]


def identified(problem: Problem) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which parameters the design can tell, judged at the start values.

    Parameters
    ----------
    problem : Problem
        With candidates in `problem.free`.

    Returns
    -------
    names : tuple of str
        Candidates whose standard error from the data alone is below their prior SD.
    reasons : dict of str to str
        Why each other candidate is left out.
    """
    work = Residuals(problem, problem.names)
    prior_sd = np.array([problem.free[k].prior.free_moments()[1] for k in work.index])
    scaled = work.jacobian(work.start) * prior_sd
    keep = list(range(len(work.names)))
    reasons: dict[str, str] = {}
    while keep:
        relative = _relative_errors(scaled[:, keep])
        worst = int(np.argmax(relative))
        if relative[worst] <= INFORMATIVE and len(keep) < len(work):
            break
        reasons[work.names[keep.pop(worst)]] = _reason(float(relative[worst]))
    return tuple(work.names[k] for k in keep), reasons


def _relative_errors(scaled: np.ndarray) -> np.ndarray:
    """Standard errors from the data alone, in units of the prior SD; very large along directions not seen."""
    information = scaled.T @ scaled + UNSEEN * np.eye(scaled.shape[1])
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))


def _reason(relative: float) -> str:
    if relative > 30:
        return "the data do not show it, or cannot tell it from other parameters"
    return f"the data alone would leave it {relative:.2g} times its prior SD"


def estimate(problem: Problem, names: Collection[str], times: np.ndarray | None = None) -> Estimate:
    """Fit the named parameters, the others held at the model's values.

    Parameters
    ----------
    problem : Problem
    names : collection of str
        Free parameters to estimate, without noise parameters.
    times : array of shape (n_rows,), optional
        How often each row counts; once unless given.

    Returns
    -------
    Estimate

    Raises
    ------
    FitError
        If the model cannot be solved at the start values, or there are fewer rows than parameters.

    Notes
    -----
    Levenberg-Marquardt through lmfit with the engine's exact Jacobian; bounds are the 1e-6 and 1 - 1e-7 quantiles of
    the priors.
    """
    work = Residuals(problem, tuple(name for name in problem.names if name in names), times)
    if len(work) < len(work.names):
        raise FitError(
            f"{len(work.names)} parameters from {len(work)} rows", expected="at least as many rows as parameters"
        )
    failure = problem.predict(problem.start).failure
    if failure:
        raise FitError(
            f"the model cannot be predicted at the start values: {failure}", hint="other values, or fix a parameter"
        )
    z, minimizer, result = _round(work, work.start)
    for _ in range(ROUNDS - 1 if work.scales else 0):
        z, minimizer, result = _round(work, z)
    information = work.jacobian(z).T @ work.jacobian(z)
    covariance = np.linalg.pinv(information) if work.names else np.zeros((0, 0))
    each = 1.0 - problem.rows.spared  # a composition is one number less than its rows (Q5)
    count = float(np.sum(each if times is None else each * times))
    degrees = count - len(work.names) if work.scales else float("inf")
    noise = {name: work.values[name] for name in work.scales}
    final = minimizer

    def interval(**options: Any) -> Any:
        return lmfit.conf_interval(final, result, **options)

    return Estimate(
        work.names, z, covariance, noise, degrees, bool(result.success), str(result.message), result, interval
    )


def moved(problem: Problem, found: Estimate) -> Problem:
    """The same problem, starting from estimates."""
    priors = {p.name: p.prior for p in problem.free}
    values = {n: float(priors[n].from_free(z)) for n, z in zip(found.names, found.free_values, strict=True)}
    values.update(found.noise)
    return replace(problem, free=tuple(replace(p, start=values.get(p.name, p.start)) for p in problem.free))


def quantile(degrees: float, probability: float) -> float:
    """Two-sided quantile of Student's t, or of the normal where the degrees are infinite."""
    upper = 0.5 + probability / 2
    return float(norm.ppf(upper) if np.isinf(degrees) else t.ppf(upper, max(degrees, 1.0)))


def _round(work: Residuals, z: np.ndarray) -> tuple[np.ndarray, Any, Any]:
    """One search with the present weights, which are then set anew."""
    work.freeze(z)
    minimizer, result = _minimize(work, z)
    z = np.array([result.params[f"z_{name}"].value for name in work.names])
    work.rescale(z)
    return z, minimizer, result


def _minimize(work: Residuals, z: np.ndarray) -> tuple[Any, Any]:
    parameters = lmfit.Parameters()
    for name, value, (low, high) in zip(work.names, z, work.box, strict=True):
        inside = min(max(value, low + 1e-9), high - 1e-9)
        parameters.add(f"z_{name}", value=inside, min=low, max=high)

    def vector(p: lmfit.Parameters) -> np.ndarray:
        return np.array([p[f"z_{name}"].value for name in work.names])

    minimizer = lmfit.Minimizer(lambda p: work(vector(p)), parameters, scale_covar=False)
    result = minimizer.leastsq(Dfun=lambda p: work.jacobian(vector(p)).copy(), xtol=1e-9, ftol=1e-11, max_nfev=400)
    return minimizer, result
