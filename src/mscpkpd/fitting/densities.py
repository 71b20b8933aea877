"""Log density of every row given its prediction, with its derivative and information: what a population fit sums.

The formulas are those of `noise` (R1 to R10, B4 to B9, B16); here with derivatives by the prediction, through the mean
and through the spread, which is what FOCE with interaction means (P11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mscpkpd.counted import counted_rows
from mscpkpd.fitting.scale import on_scale
from mscpkpd.noise import Noise
from mscpkpd.observations import Rows
from mscpkpd.problem import Problem
from mscpkpd.tails import (
    HALF_LOG_2PI,
    log_normal_cdf,
    log_normal_density,
    log_student_cdf,
    log_student_density,
)
from mscpkpd.variability import SUMMARIES

__all__ = ["LOG_2PI", "RowDensity", "densities", "gaussian_rows", "spread_of"]

TINY = 1e-30  # keeps the logarithm of a prediction finite where the model says zero
LOG_2PI = 2 * HALF_LOG_2PI
LEAST = 1e-3  # share of the information of a row that is left where it is known not to be below something


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
    """Which rows are uncensored and Gaussian, on some scale (P9), shape (n_rows,)."""
    rows, other = problem.rows, np.zeros(len(problem.rows), dtype=bool)
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        other[rows.output == k] = noise is not None and not noise.is_gaussian
    return np.asarray(np.isin(rows.kind, ("value", *SUMMARIES)) & ~(other & ~rows.has_own_sd) & np.isnan(rows.floor))


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
    if noise.form in ("additive", "lognormal", "boxcox", "yeojohnson"):
        return np.zeros_like(f)
    if noise.is_count:
        more = 2 * np.maximum(f, 0.0) / float(noise.value("size", values)) if noise.kind == "negbinomial" else 0.0
        return np.asarray(0.5 * (1.0 + more) / np.maximum(sd, TINY))
    b, c, size = float(noise.value("b", values)), float(noise.value("c", values)), np.maximum(np.abs(f), TINY)
    relative = np.sign(f) * b * c * size ** (c - 1)
    return np.asarray(relative * b * size**c / np.maximum(sd, TINY) if noise.form == "combined2" else relative)


class _Spread(NamedTuple):
    """Center and spread of some rows on the scale of their error, with derivatives by the prediction."""

    center: np.ndarray
    sd: np.ndarray
    d_center: np.ndarray
    d_sd: np.ndarray
    degrees: np.ndarray

    def of(self, mine: np.ndarray) -> _Spread:
        """Those of some rows."""
        return _Spread(*(each[mine] for each in self))


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
        Of a row whose residual follows that of another (R9): given that one.
    """
    sd, d_sd = spread_of(problem, f if frozen is None else frozen, values)
    d_sd = d_sd if frozen is None else np.zeros_like(d_sd)
    rows, scale = problem.rows, on_scale(problem, f, values)
    spread = _Spread(scale.center, sd, scale.d_center, d_sd, _degrees(problem, values))
    exact = _exact((scale.value - scale.center) / sd, spread)
    out = [exact.value + scale.gain, exact.slope, exact.information]
    for kind in ("left", "right", "interval"):
        mine = rows.kind == kind
        if np.any(mine):
            _put(out, mine, _censored(kind, (scale.lower[mine], scale.upper[mine]), spread.of(mine)))
    with np.errstate(divide="ignore", invalid="ignore"):
        closed = np.where(rows.spared > 0, rows.spared * (np.log(sd) + HALF_LOG_2PI), 0.0)
    out[0] = out[0] + closed  # a composition is one number less than its rows (Q5)
    for kind in ("positive", "alive", "event"):
        own = np.flatnonzero(rows.kind == kind)
        if len(own):
            _put(out, own, RowDensity(*counted_rows(problem, f, values, own)))
    for k, name in enumerate(rows.outputs):
        noise, mine = problem.model.output(name).noise, (rows.output == k) & ~np.isin(rows.kind, SUMMARIES)
        if noise is not None and noise.is_count and np.any(mine):
            _put(out, mine, _counted(noise, rows, mine, f[mine], values))
        elif noise is not None and noise.kind == "ar1" and np.any(mine):
            at = np.flatnonzero(mine & (rows.kind == "value"))
            _follow(out, at, (noise, rows, values), (scale.value - scale.center) / sd, spread)
    held = np.isfinite(rows.floor) & ~_counted_rows(problem)
    if np.any(held):  # given that the row is not below its floor (B4, B6)
        part = _censored("right", (scale.floor[held], scale.floor[held]), spread.of(held))
        left = np.maximum(out[2][held] - part.information, LEAST * out[2][held])
        _put(out, held, RowDensity(out[0][held] - part.value, out[1][held] - part.slope, left))
    _put(out, rows.kind == "dropped", RowDensity(*np.zeros((3, int(np.sum(rows.kind == "dropped"))))))
    return RowDensity(*out)


def _counted_rows(problem: Problem) -> np.ndarray:
    rows, noises = problem.rows, [problem.model.output(name).noise for name in problem.rows.outputs]
    return np.isin(rows.output, [k for k, noise in enumerate(noises) if noise is not None and noise.is_count])


def _put(out: list[np.ndarray], mine: np.ndarray, part: RowDensity) -> None:
    for whole, piece in zip(out, (part.value, part.slope, part.information), strict=True):
        whole[mine] = piece


def _degrees(problem: Problem, values: Mapping[str, float]) -> np.ndarray:
    """Degrees of freedom of each row; infinite where it is Gaussian."""
    rows, degrees = problem.rows, np.full(len(problem.rows), np.inf)
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        if noise is not None and noise.kind == "student":
            degrees[(rows.output == k) & ~np.isin(rows.kind, SUMMARIES)] = float(noise.value("nu", values))
    return degrees


def _log_density(z: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the standard density at z, normal or Student's, and its derivative."""
    value, slope, mine = log_normal_density(z), -z, np.isfinite(degrees)
    if np.any(mine):
        nu, t = degrees[mine], z[mine]
        value[mine], slope[mine] = log_student_density(t, nu), -(nu + 1) * t / (nu + t**2)
    return value, slope


def _exact(z: np.ndarray, spread: _Spread) -> RowDensity:
    """A value: density of z = (y - center)/sd, over sd."""
    _, sd, d_center, d_sd, degrees = spread
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log_density, by_z = _log_density(z, degrees)
        slope = by_z * -(d_center + z * d_sd) / sd - d_sd / sd
        nu = np.where(np.isfinite(degrees), degrees, 1e12)
        information = ((nu + 1) / (nu + 3) * d_center**2 + 2 * nu / (nu + 3) * d_sd**2) / sd**2
        return RowDensity(log_density - np.log(sd), slope, information)


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
    value, mine = np.asarray(log_normal_cdf(z)), np.isfinite(degrees)
    if np.any(mine):
        value[mine] = log_student_cdf(z[mine], degrees[mine])
    return value


# ---- counts (R10) and series (R9) ------------------------------------------------------------------------------------


def _counted(noise: Noise, rows: Rows, mine: np.ndarray, f: np.ndarray, values: Mapping[str, float]) -> RowDensity:
    """Counts, and counts below, above or between limits (B13), given that they are not below their floor (B4)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean, kind = np.maximum(f, TINY), rows.kind[mine]
        size = float(noise.value("size", values)) if noise.kind == "negbinomial" else np.inf
        y = np.where(kind == "value", rows.value[mine], 0.0)
        pull = 1.0 if np.isinf(size) else (size + y) / (size + mean)
        value, slope = np.asarray(noise.log_density(y, mean, values)), y / mean - pull
        information = 1.0 / (mean + mean**2 / size)
        out = [value, slope, information]
        below = (np.where(kind == "right", np.floor(rows.lower[mine]) + 1.0, rows.lower[mine]), rows.upper[mine])
        for name in ("left", "right", "interval"):
            own = kind == name
            if np.any(own):
                limits = (None if name == "left" else below[0][own], None if name == "right" else below[1][own])
                _put(out, own, _between_counts(noise, limits, mean[own], size, values))
        floor = rows.floor[mine]
        held = np.isfinite(floor)
        if np.any(held):
            part = _between_counts(noise, (floor[held], None), mean[held], size, values)
            left = np.maximum(out[2][held] - part.information, LEAST * out[2][held])
            _put(out, held, RowDensity(out[0][held] - part.value, out[1][held] - part.slope, left))
    return RowDensity(*out)


def _between_counts(
    noise: Noise,
    limits: tuple[np.ndarray | None, np.ndarray | None],
    mean: np.ndarray,
    size: float,
    values: Mapping[str, float],
) -> RowDensity:
    """Log P(low <= Y < high), where a bound that is None is not there."""
    low, high = limits
    if low is None or high is None:
        log_p = noise.log_cdf(high, mean, values) if low is None else noise.log_kept(low, mean, values)
    else:
        log_p = noise.log_interval(low, high, mean, values)
    slope, curvature = np.zeros_like(mean), np.zeros_like(mean)
    for limit, sign in ((high, 1.0), (low, -1.0)):
        if limit is None:
            continue
        k = np.ceil(limit) - 1.0  # d/df P(Y <= k) is -P(Y = k), times more where the variance grows with f^2
        n = np.maximum(k, 0.0)
        more = 1.0 if np.isinf(size) else (size + n) / (size + mean)
        moved = -sign * more * np.exp(noise.log_density(n, mean, values) - log_p) * (k >= 0)
        turn = 1.0 if np.isinf(size) else (size + n + 1.0) / (size + mean)
        slope, curvature = slope + moved, curvature - moved * (n / mean - turn)
    return RowDensity(np.asarray(log_p), slope, np.maximum(curvature + slope**2, 0.0))


def _follow(
    out: list[np.ndarray],
    at: np.ndarray,
    of: tuple[Noise, Rows, Mapping[str, float]],
    z: np.ndarray,
    spread: _Spread,
) -> None:
    """Values given the residual of the one before (R9); what a row's prediction does to the next row is its slope, too.

    The information is that of each prediction alone: what two predictions share is left to the true curvature.
    """
    noise, rows, values = of
    place = np.full(len(rows), -1)
    place[at] = np.arange(len(at))
    before, gap = rows.before[0][at], rows.before[1][at]
    own = spread.of(at)
    first = before < 0
    ahead, kept = np.maximum(place[before], 0), np.where(first, 0.0, float(noise.value("rho", values)) ** gap)
    rest = 1.0 - kept**2
    z = z[at]
    out[0][at] += noise.series_terms(z, np.where(first, -1, ahead), gap, values) - log_normal_density(z)
    surprise = (z - kept * z[ahead]) / rest
    by_z, weight = -surprise, 1.0 / rest
    np.add.at(by_z, ahead, np.where(first, 0.0, kept * surprise))
    np.add.at(weight, ahead, np.where(first, 0.0, kept**2 / rest))
    out[1][at] = by_z * -(own.d_center + z * own.d_sd) / own.sd - own.d_sd / own.sd
    out[2][at] = (weight * own.d_center**2 + 2 * own.d_sd**2) / own.sd**2
