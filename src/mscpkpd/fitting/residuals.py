"""Weighted residuals of a problem and their exact Jacobian, on the transformed scale of the parameters."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import norm

from mscpkpd.errors import UsageError
from mscpkpd.fitting.scale import on_scale
from mscpkpd.problem import Problem

__all__ = ["Residuals"]

FEWEST = 0.1  # SD of a count where next to none is predicted
# Quantiles of the priors that bound a search. They are not symmetric: a start at every prior median would be the zero
# of the variables of the bounded search, which takes its first step in proportion to their size and would end there.
BOX = (1e-6, 1.0 - 1e-7)
REFUSED = 1e6  # residual of every row where the model cannot be solved
# Forms of noise whose scale is a plain factor of the residuals, and which argument it is.
SCALES = {"additive": "a", "proportional": "b", "lognormal": "s", "power": "b", "boxcox": "s", "yeojohnson": "s"}


class Residuals:
    """Weighted residuals of the rows and their Jacobian, as functions of the transformed parameters.

    Parameters
    ----------
    problem : Problem
    names : tuple of str
        Parameters that vary; noise parameters among them are left out and follow from the residuals.

    Attributes
    ----------
    names : tuple of str
        Parameters that vary, noise aside.
    index : array of int
        Their positions among the free parameters of the problem.
    start : array of shape (n_names,)
        Start values, transformed scale.
    box : list of (float, float)
        Bounds, transformed scale: prior quantiles.
    scales : tuple of str
        Noise parameters that are plain factors of residuals.
    times : array of shape (n_rows,) or None
        How often each row counts, for resampling; None where each counts once.
    """

    def __init__(self, problem: Problem, names: tuple[str, ...], times: np.ndarray | None = None) -> None:
        _refuse_counts(problem)
        self.problem = problem
        self.times = times
        self._scaled = _noise_scales(problem)
        self.scales = tuple(self._scaled)
        self.names = tuple(name for name in names if name not in self._scaled)
        self.index = np.array([problem.names.index(name) for name in self.names], dtype=int)
        self.priors = [problem.free[i].prior for i in self.index]
        starts = [problem.free[i].start for i in self.index]
        self.start = np.array([float(p.to_free(s)) for p, s in zip(self.priors, starts, strict=True)])
        self.box = [tuple(sorted(float(p.to_free(p.quantile(q))) for q in BOX)) for p in self.priors]
        self.theta = problem.start
        self.values: dict[str, float] = problem.values(problem.start)
        self.weights: np.ndarray | None = None
        self._cache: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Rows that are used."""
        return int(np.sum(self.problem.rows.kind != "dropped"))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Residuals, shape (n_rows,)."""
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

    def noise_rows(self) -> dict[str, int]:
        """How many rows inform each noise scale."""
        return {name: int(np.sum(self._informing(name))) for name in self.scales}

    def rescale(self, z: np.ndarray) -> None:
        """Set each noise scale to what its residuals show, and the weights with it."""
        residuals = self(z)
        often = np.ones(len(self)) if self.times is None else self.times
        often = often * (1.0 - self.problem.rows.spared)  # a composition is one number less than its rows (Q5)
        squares = residuals**2
        share = 1.0 - len(self.names) / often.sum()
        for name in self.scales:
            mine = self._informing(name)
            if often[mine].sum() > 0 and share > 0:
                self.values[name] *= float(np.sqrt(np.sum(squares[mine]) / often[mine].sum() / share))
        self.theta = np.array([self.values[name] for name in self.problem.names])
        self.freeze(z)

    def _informing(self, name: str) -> np.ndarray:
        rows = self.problem.rows
        outputs = [k for k, output in enumerate(rows.outputs) if name in _arguments(self.problem, output)]
        return np.asarray(np.isin(rows.output, outputs) & (rows.kind == "value"))

    def _spread(self, f: np.ndarray) -> np.ndarray:
        rows, spread = self.problem.rows, np.ones(len(self.problem.rows))
        for k, name in enumerate(rows.outputs):
            mine = rows.output == k
            noise = self.problem.model.output(name).noise
            if noise is not None:
                spread[mine] = np.maximum(noise.sd(f[mine], self.values), FEWEST if noise.is_count else 0.0)
        many = np.isin(rows.kind, ("mean", "logmean"))
        own = np.where(np.isfinite(rows.sd), rows.sd, spread)
        return np.asarray(np.where(many, own / np.sqrt(np.where(many, rows.count, 1.0)), spread))

    def _evaluate(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = np.asarray(z).tobytes()
        if self._cache is not None and self._cache[0] == key:
            return self._cache[1], self._cache[2]
        prediction = self.problem.predict(self.natural(z), jacobian=True)
        dx_dz = np.array([float(p.dx_dz(x)) for p, x in zip(self.priors, z, strict=True)])
        slope = prediction.jacobian[:, self.index] * dx_dz
        residual, derivative = self._weighted(prediction.value)
        jacobian = derivative[:, None] * slope
        if prediction.failure:  # a step to where the model cannot be solved is refused, not an end
            residual, jacobian = np.full_like(residual, REFUSED), np.zeros_like(jacobian)
        if self.times is not None:
            residual, jacobian = residual * np.sqrt(self.times), jacobian * np.sqrt(self.times)[:, None]
        self._cache = (key, residual, jacobian)
        return residual, jacobian

    def _weighted(self, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals and their derivative by the prediction."""
        rows = self.problem.rows
        spread = self._spread(f) if self.weights is None else self.weights
        center, d_center, value, lower, upper, *_ = on_scale(self.problem, f, self.values)
        residual, slope = (center - value) / spread, 1.0 / spread
        for kind, limits in (("left", upper), ("right", lower)):
            mine = rows.kind == kind
            sign = 1.0 if kind == "left" else -1.0
            residual[mine], slope[mine] = _tail(sign * (limits - center)[mine] / spread[mine], -sign / spread[mine])
        mine = rows.kind == "interval"
        a, b = ((limit - center)[mine] / spread[mine] for limit in (lower, upper))
        residual[mine], slope[mine] = _between(a, b, spread[mine])
        used = rows.kind != "dropped"
        return np.where(used, residual, 0.0), np.where(used, slope * d_center, 0.0)


def _refuse_counts(problem: Problem) -> None:
    """Refuse rows without residuals: how many were positive or alive, and when something happened."""
    rows = problem.rows
    if np.any(rows.without_noise):
        first = int(np.flatnonzero(rows.without_noise)[0])
        made = problem.model.output(rows.outputs[rows.output[first]])
        raise UsageError(
            f"least squares with '{made.quantity}' of '{made.of}', which has no residual (Q4)", where=rows.where[first],
            hint="method='map' or method='nuts'",
        )  # fmt: skip


def _noise_scales(problem: Problem) -> dict[str, int]:
    """Noise parameters that are plain factors of the residuals of one output, with that output's position."""
    found: dict[str, int] = {}
    for k, name in enumerate(problem.rows.outputs):
        noise = problem.model.output(name).noise
        if noise is not None and noise.form in SCALES:
            argument = noise.arguments[SCALES[noise.form]]
            if isinstance(argument, str) and argument in problem.names:
                found.setdefault(argument, k)
    return found


def _arguments(problem: Problem, output: str) -> tuple[str | float, ...]:
    noise = problem.model.output(output).noise
    return noise.args if noise is not None else ()


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
