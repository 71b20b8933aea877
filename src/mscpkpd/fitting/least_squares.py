"""Weighted least squares with lmfit: a quick answer, on the transformed scale of each parameter.

Residuals are weighted by the noise of their output. Its size is estimated from the residuals and the fit repeated
(iteratively reweighted), or taken from the data where rows carry their own standard deviation. A censored row adds
its log probability: r = sqrt(-2 log P).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import lmfit
import numpy as np
from scipy.special import log_ndtr
from scipy.stats import norm, t

from mscpkpd.errors import FitError
from mscpkpd.problem import Problem

__all__ = ["Estimate", "estimate", "identified"]

ROUNDS = 4
# A parameter counts as identified if the data alone would leave less than this share of its prior SD ...
INFORMATIVE = 0.5
# ... and the columns of the others do not explain it: largest condition number of the scaled information.
CONDITION = 1e4
BOX = 1e-6  # bounds of the search: prior quantiles
SCALES = {"additive": 0, "proportional": 0, "lognormal": 0, "power": 0, "student": 1}


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
        Candidates whose standard error from the data alone is below half of their prior SD.
    reasons : dict of str to str
        Why each other candidate is left out.
    """
    work = _Residuals(problem, problem.names)
    jacobian = work.jacobian(work.start)
    prior_sd = np.array([parameter.prior.free_moments()[1] for parameter in problem.free])
    keep = [k for k, name in enumerate(problem.names) if np.any(jacobian[:, k] != 0)]
    reasons = {name: "no effect on the data" for k, name in enumerate(problem.names) if k not in keep}
    while keep:
        scaled = jacobian[:, keep] * prior_sd[keep]
        relative = _relative_errors(scaled)
        worst = int(np.argmax(relative))
        if relative[worst] <= INFORMATIVE and len(keep) < len(work):
            break
        name = problem.names[keep.pop(worst)]
        reasons[name] = f"its standard error would be {min(relative[worst], 1e6):.3g} times its prior SD"
    noise = _noise_scales(problem)
    return tuple(problem.names[k] for k in keep), {k: v for k, v in reasons.items() if k not in noise}


def _relative_errors(scaled: np.ndarray) -> np.ndarray:
    """Standard errors in units of the prior SD; infinite along directions that the data do not see."""
    _, singular, rotation = np.linalg.svd(scaled, full_matrices=False)
    small = singular < singular[0] / CONDITION
    variance = np.where(small, 1e12, 1.0 / np.maximum(singular, 1e-300) ** 2)
    if scaled.shape[0] < scaled.shape[1]:
        return np.asarray(np.full(scaled.shape[1], 1e6) * (1 + np.linalg.norm(scaled, axis=0).max() - np.linalg.norm(scaled, axis=0)))
    return np.asarray(np.sqrt(variance @ rotation**2))


def estimate(problem: Problem, names: Collection[str]) -> Estimate:
    """Fit the named parameters, the others held at the model's values.

    Parameters
    ----------
    problem : Problem
    names : collection of str
        Free parameters to estimate, without noise parameters.

    Returns
    -------
    Estimate

    Raises
    ------
    FitError
        If the model cannot be solved at the start values, or there are fewer rows than parameters.

    Notes
    -----
    Levenberg-Marquardt through lmfit with the engine's exact Jacobian; bounds are the 1e-6 and 1 - 1e-6 quantiles of
    the priors.
    """
    work = _Residuals(problem, tuple(name for name in problem.names if name in names))
    if len(work) < len(work.names):
        raise FitError(f"{len(work.names)} parameters from {len(work)} rows", expected="at least as many rows as parameters")
    if not np.all(np.isfinite(work(work.start))):
        raise FitError("the model cannot be predicted at the start values", hint="other values, or fix a parameter")
    scales = _noise_scales(problem)
    z, minimizer, result = work.start, None, None
    for _ in range(ROUNDS if scales else 1):
        work.freeze(z)
        minimizer, result = _minimize(work, z)
        z = np.array([result.params[f"z_{name}"].value for name in work.names])
        work.rescale(z, scales)
    assert minimizer is not None
    information = work.jacobian(z).T @ work.jacobian(z)
    covariance = np.linalg.pinv(information) if work.names else np.zeros((0, 0))
    degrees = float(len(work) - len(work.names)) if scales else float("inf")
    noise = {name: work.values[name] for name in scales}
    final = minimizer

    def interval(**options: Any) -> Any:
        return lmfit.conf_interval(final, result, **options)

    return Estimate(
        work.names, z, covariance, noise, degrees, bool(result.success), str(result.message), result, interval
    )


def quantile(degrees: float, probability: float) -> float:
    """Two-sided quantile of Student's t, or of the normal where the degrees are infinite."""
    upper = 0.5 + probability / 2
    return float(norm.ppf(upper) if np.isinf(degrees) else t.ppf(upper, max(degrees, 1.0)))


def _minimize(work: _Residuals, z: np.ndarray) -> tuple[Any, Any]:
    parameters = lmfit.Parameters()
    for name, value, (low, high) in zip(work.names, z, work.box, strict=True):
        inside = min(max(value, low + 1e-9), high - 1e-9)
        parameters.add(f"z_{name}", value=inside, min=low, max=high)

    def vector(p: lmfit.Parameters) -> np.ndarray:
        return np.array([p[f"z_{name}"].value for name in work.names])

    minimizer = lmfit.Minimizer(lambda p: work(vector(p)), parameters, scale_covar=False)
    result = minimizer.leastsq(Dfun=lambda p: work.jacobian(vector(p)).copy(), xtol=1e-9, ftol=1e-11, max_nfev=400)
    return minimizer, result


def _noise_scales(problem: Problem) -> dict[str, int]:
    """Noise parameters that are plain factors of the residuals of one output, with that output's position."""
    found: dict[str, int] = {}
    for k, name in enumerate(problem.rows.outputs):
        noise = problem.model.output(name).noise
        if noise is not None and noise.kind in SCALES:
            argument = noise.args[SCALES[noise.kind]]
            if isinstance(argument, str) and argument in problem.names:
                found.setdefault(argument, k)
    return found


class _Residuals:
    """Weighted residuals of the rows and their Jacobian, as functions of the transformed parameters."""

    def __init__(self, problem: Problem, names: tuple[str, ...]) -> None:
        self.problem = problem
        self.names = tuple(name for name in names if name not in _noise_scales(problem))
        self.index = np.array([problem.names.index(name) for name in self.names], dtype=int)
        self.priors = [problem.free[i].prior for i in self.index]
        starts = [problem.free[i].start for i in self.index]
        self.start = np.array([float(p.to_free(s)) for p, s in zip(self.priors, starts, strict=True)])
        self.box = [tuple(sorted(float(p.to_free(p.quantile(q))) for q in (BOX, 1 - BOX))) for p in self.priors]
        self.theta = problem.start
        self.values: dict[str, float] = problem.values(problem.start)
        self.weights: np.ndarray | None = None
        self._cache: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.problem.rows)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return self._evaluate(z)[0]

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals, shape (n_rows, n_names)."""
        return self._evaluate(z)[1]

    def natural(self, z: np.ndarray) -> np.ndarray:
        """All free parameters on their natural scale."""
        theta = self.theta.copy()
        theta[self.index] = [float(p.from_free(x)) for p, x in zip(self.priors, z, strict=True)]
        return theta

    def freeze(self, z: np.ndarray) -> None:
        """Fix the weights of rows on the natural scale at the present prediction."""
        self._cache = None
        self.weights = self._spread(self.problem.predict(self.natural(z)).value)

    def rescale(self, z: np.ndarray, scales: dict[str, int]) -> None:
        """Set each noise scale to what its residuals show."""
        residuals = self(z)
        rows = self.problem.rows
        share = 1.0 - len(self.names) / len(rows)
        for name in scales:
            outputs = [k for k, o in enumerate(rows.outputs) if name in _arguments(self.problem, o)]
            mine = np.isin(rows.output, outputs) & (rows.kind == "value")
            if np.any(mine) and share > 0:
                self.values[name] *= float(np.sqrt(np.mean(residuals[mine] ** 2) / share))
        self.theta = np.array([self.values[name] for name in self.problem.names])
        self._cache = None
        self.freeze(z)

    def _spread(self, f: np.ndarray) -> np.ndarray:
        rows, spread = self.problem.rows, np.ones(len(self))
        for k, name in enumerate(rows.outputs):
            mine = rows.output == k
            noise = self.problem.model.output(name).noise
            if noise is not None:
                spread[mine] = noise.sd(f[mine], self.values)
        many = np.isin(rows.kind, ("mean", "logmean"))
        own = np.where(np.isfinite(rows.sd), rows.sd, spread)
        return np.asarray(np.where(many, own / np.sqrt(np.where(many, rows.count, 1.0)), spread))

    def _evaluate(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = np.asarray(z).tobytes()
        if self._cache is not None and self._cache[0] == key:
            return self._cache[1], self._cache[2]
        prediction = self.problem.predict(self.natural(z), jacobian=True)
        assert prediction.jacobian is not None
        dx_dz = np.array([float(p.dx_dz(x)) for p, x in zip(self.priors, z, strict=True)])
        slope = prediction.jacobian[:, self.index] * dx_dz
        residual, derivative = self._weighted(prediction.value)
        self._cache = (key, residual, derivative[:, None] * slope)
        return self._cache[1], self._cache[2]

    def _weighted(self, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals and their derivative by the prediction."""
        rows = self.problem.rows
        spread = self._spread(f) if self.weights is None else self.weights
        log = self._on_log_scale()
        safe = np.maximum(f, 1e-30)
        center, d_center = np.where(log, np.log(safe), f), np.where(log, 1.0 / safe, 1.0)
        value, lower, upper = (np.where(log & (rows.kind != "logmean"), _log(x), x) for x in (rows.value, rows.lower, rows.upper))
        residual, slope = (center - value) / spread, 1.0 / spread
        for kind, limits in (("left", upper), ("right", lower)):
            mine = rows.kind == kind
            sign = 1.0 if kind == "left" else -1.0
            residual[mine], slope[mine] = _tail(sign * (limits - center)[mine] / spread[mine], -sign / spread[mine])
        mine = rows.kind == "interval"
        residual[mine], slope[mine] = _between(*((x - center)[mine] / spread[mine] for x in (lower, upper)), spread[mine])
        return residual, slope * d_center

    def _on_log_scale(self) -> np.ndarray:
        rows, log = self.problem.rows, np.zeros(len(self), dtype=bool)
        for k, name in enumerate(rows.outputs):
            noise = self.problem.model.output(name).noise
            log[rows.output == k] = noise is not None and noise.is_log
        own_scale = (rows.kind == "mean") & np.isfinite(rows.sd)  # a mean with its sd stays on its own scale
        return (log & ~own_scale) | (rows.kind == "logmean")


def _arguments(problem: Problem, output: str) -> tuple[str | float, ...]:
    noise = problem.model.output(output).noise
    return noise.args if noise is not None else ()


def _log(x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(x, 1e-30))


def _tail(u: np.ndarray, du: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual whose square is -2 log Phi(u), and its derivative."""
    log_p = log_ndtr(u)
    residual = np.sqrt(np.maximum(-2.0 * log_p, 1e-300))
    hazard = np.exp(norm.logpdf(u) - log_p)
    return residual, -hazard * du / np.maximum(residual, 1e-150)


def _between(a: np.ndarray, b: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual whose square is -2 log(Phi(b) - Phi(a)), and its derivative by the centre."""
    mirrored = a > 0
    low, high = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    log_p = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
    residual = np.sqrt(np.maximum(-2.0 * log_p, 1e-300))
    density = np.exp(norm.logpdf(a) - log_p) - np.exp(norm.logpdf(b) - log_p)
    return residual, -density / spread / np.maximum(residual, 1e-150)
