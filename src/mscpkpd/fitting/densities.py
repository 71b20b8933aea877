"""Log density of every row given its prediction, with its derivative and information: what a population fit sums.

The formulas are those of `noise` (R1 to R8, B5 to B9, B16); here with derivatives by the prediction, through the mean
and through the spread, which is what FOCE with interaction means (P11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, log_ndtr, stdtr

from mscpkpd.counted import counted_rows
from mscpkpd.noise import HALF_LOG_2PI, Noise
from mscpkpd.problem import Problem
from mscpkpd.variability import SUMMARIES

__all__ = ["LOG_2PI", "RowDensity", "densities", "gaussian_rows", "spread_of"]

TINY = 1e-30  # keeps the logarithm of a prediction finite where the model says zero
LOG_2PI = 2 * HALF_LOG_2PI


@dataclass(frozen=True)
class RowDensity:
    """Log density of each row.

    Attributes
    ----------
    value : array of shape (n_rows,)
        On the scale of the observation (P10).
    slope : array of shape (n_rows,)
        Derivative by the prediction.
    information : array of shape (n_rows,)
        Expected information about the prediction, at least 0: what Gauss and Newton take for the curvature.
    """

    value: np.ndarray
    slope: np.ndarray
    information: np.ndarray


def gaussian_rows(problem: Problem) -> np.ndarray:
    """Which rows are uncensored and Gaussian, on their own scale or that of the logarithm (P9), shape (n_rows,)."""
    rows, student = problem.rows, np.zeros(len(problem.rows), dtype=bool)
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        student[rows.output == k] = noise is not None and noise.kind == "student"
    return np.asarray(np.isin(rows.kind, ("value", *SUMMARIES)) & ~(student & ~rows.has_own_sd))


def spread_of(problem: Problem, f: np.ndarray, values: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each row at its prediction, on the scale of its error, and its derivative.

    Parameters
    ----------
    problem : Problem
    f : array of shape (n_rows,)
        Predictions, in the units of the outputs.
    values : mapping of str to float
        Parameters.

    Returns
    -------
    sd, slope : array of shape (n_rows,)
        In the units of the outputs, or of their logarithm; NaN where a row needs no noise model.
    """
    rows = problem.rows
    sd, slope = np.full(len(rows), np.nan), np.zeros(len(rows))
    for k, name in enumerate(rows.outputs):
        noise, mine = problem.model.output(name).noise, rows.output == k
        if noise is not None:
            sd[mine] = noise.sd(f[mine], values)
            slope[mine] = _spread_slope(noise, f[mine], sd[mine], values)
    single = ~np.isin(rows.kind, SUMMARIES)
    share = np.where(single, 1.0, 1.0 / np.sqrt(np.where(single, 1.0, rows.count)))
    own = rows.has_own_sd
    return np.where(own, rows.sd, sd) * share, np.where(own, 0.0, slope) * share


def _spread_slope(noise: Noise, f: np.ndarray, sd: np.ndarray, values: Mapping[str, float]) -> np.ndarray:
    if noise.kind in ("additive", "student", "lognormal"):
        return np.zeros_like(f)
    given = {name: float(values[x]) if isinstance(x, str) else x for name, x in noise.arguments.items()}
    b, c, size = given["b"], given.get("c", 1.0), np.maximum(np.abs(f), TINY)
    relative = np.sign(f) * b * c * size ** (c - 1)
    return np.asarray(relative * b * size**c / np.maximum(sd, TINY) if noise.kind == "combined2" else relative)


def densities(
    problem: Problem, f: np.ndarray, values: Mapping[str, float], frozen: np.ndarray | None = None
) -> RowDensity:
    """Log density of each row.

    Parameters
    ----------
    problem : Problem
    f : array of shape (n_rows,)
        Predictions, in the units of the outputs.
    values : mapping of str to float
        Parameters.
    frozen : array of shape (n_rows,), optional
        Predictions at which the spread is taken instead: FOCE without interaction (P11).

    Returns
    -------
    RowDensity
    """
    sd, d_sd = spread_of(problem, f if frozen is None else frozen, values)
    d_sd = d_sd if frozen is None else np.zeros_like(d_sd)
    log = _on_log_scale(problem)
    safe = np.maximum(f, TINY)
    center, d_center = np.where(log, np.log(safe), f), np.where(log, np.where(f > TINY, 1.0 / safe, 0.0), 1.0)
    rows, degrees = problem.rows, _degrees(problem, values)
    logarithm = log & (rows.kind != "logmean")
    value, lower, upper = (
        np.where(logarithm, np.log(np.maximum(x, TINY)), x) for x in (rows.value, rows.lower, rows.upper)
    )
    jacobian = np.where(logarithm & (rows.kind == "value"), value, 0.0)
    exact = _exact((value - center) / sd, sd, d_center, d_sd, degrees)
    out = [exact.value - jacobian, exact.slope, exact.information]
    for kind in ("left", "right", "interval"):
        mine = rows.kind == kind
        if np.any(mine):
            spread = _Spread(center[mine], sd[mine], d_center[mine], d_sd[mine], degrees[mine])
            part = _censored(kind, (lower[mine], upper[mine]), spread)
            for whole, piece in zip(out, (part.value, part.slope, part.information), strict=True):
                whole[mine] = piece
    with np.errstate(divide="ignore"):
        out[0] = out[0] + rows.spared * (np.log(sd) + HALF_LOG_2PI)  # a composition is one number less (Q5)
    for kind in ("positive", "alive", "event"):
        mine = np.flatnonzero(rows.kind == kind)
        if len(mine):
            for whole, piece in zip(out, counted_rows(problem, f, values, mine), strict=True):
                whole[mine] = piece
    return RowDensity(*out)


def _on_log_scale(problem: Problem) -> np.ndarray:
    rows, log = problem.rows, np.zeros(len(problem.rows), dtype=bool)
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        log[rows.output == k] = noise is not None and noise.is_log
    own_scale = (rows.kind == "mean") & np.isfinite(rows.sd)  # a mean with its sd stays on its own scale
    return np.asarray((log & ~own_scale) | (rows.kind == "logmean"))


def _degrees(problem: Problem, values: Mapping[str, float]) -> np.ndarray:
    """Degrees of freedom of each row; infinite where it is Gaussian."""
    rows, degrees = problem.rows, np.full(len(problem.rows), np.inf)
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        if noise is not None and noise.kind == "student":
            first = noise.args[0]
            own = (rows.output == k) & ~np.isin(rows.kind, SUMMARIES)
            degrees[own] = values[first] if isinstance(first, str) else first
    return degrees


def _log_density(z: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the standard density at z, normal or Student's, and its derivative."""
    nu = np.where(np.isfinite(degrees), degrees, 1.0)
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    student = constant - 0.5 * (nu + 1) * np.log1p(z**2 / nu)
    gaussian = np.isinf(degrees)
    slope = np.where(gaussian, -z, -(nu + 1) * z / (nu + z**2))
    return np.where(gaussian, -HALF_LOG_2PI - 0.5 * z**2, student), slope


def _exact(z: np.ndarray, sd: np.ndarray, d_center: np.ndarray, d_sd: np.ndarray, degrees: np.ndarray) -> RowDensity:
    """A value: density of z = (y - center)/sd, over sd."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log_density, by_z = _log_density(z, degrees)
        slope = by_z * -(d_center + z * d_sd) / sd - d_sd / sd
        nu = np.where(np.isfinite(degrees), degrees, 1e12)
        information = ((nu + 1) / (nu + 3) * d_center**2 + 2 * nu / (nu + 3) * d_sd**2) / sd**2
        return RowDensity(log_density - np.log(sd), slope, information)


class _Spread(NamedTuple):
    """Center and spread of some rows on the scale of their error, with derivatives by the prediction."""

    center: np.ndarray
    sd: np.ndarray
    d_center: np.ndarray
    d_sd: np.ndarray
    degrees: np.ndarray


def _censored(kind: str, limits: tuple[np.ndarray, np.ndarray], spread: _Spread) -> RowDensity:
    """A row below, above or between limits; tails as logarithms, upper ones as lower ones of mirrored limits (B11)."""
    center, sd, d_center, d_sd, degrees = spread
    a, b = ((limit - center) / sd for limit in limits)
    move = tuple(-(d_center + x * d_sd) / sd for x in (a, b))
    if kind == "left":
        return _tail(b, move[1], degrees)
    if kind == "right":
        return _tail(-a, -move[0], degrees)
    mirrored = a > 0
    big, small = (_log_cdf(x, degrees) for x in (np.where(mirrored, -a, b), np.where(mirrored, -b, a)))
    log_p = big + np.log(-np.expm1(small - big))
    at_a, at_b = (np.exp(_log_density(x, degrees)[0] - log_p) for x in (a, b))
    slope = at_b * move[1] - at_a * move[0]
    curvature = (at_b * b - at_a * a + (at_b - at_a) ** 2) * (d_center / sd) ** 2
    return RowDensity(log_p, slope, np.maximum(curvature, 0.0))


def _tail(u: np.ndarray, move: np.ndarray, degrees: np.ndarray) -> RowDensity:
    """Log P(Z < u), for u that moves with the prediction."""
    log_p = _log_cdf(u, degrees)
    log_density, by_u = _log_density(u, degrees)
    hazard = np.exp(log_density - log_p)
    return RowDensity(log_p, hazard * move, np.maximum(hazard * (hazard - by_u), 0.0) * move**2)


def _log_cdf(z: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    gaussian = np.isinf(degrees)
    if np.all(gaussian):
        return np.asarray(log_ndtr(z))
    with np.errstate(divide="ignore"):
        student = np.log(stdtr(np.where(gaussian, 1.0, degrees), z))
    return np.asarray(np.where(gaussian, log_ndtr(z), student))
