"""Logarithms of distribution functions that hold any distance from the centre, for any library of arrays (B11, B13).

Each is written once, in operations that NumPy and PyTensor share, so that PyTensor can differentiate it and hand it on
to Numba or JAX. Integrals are sums over fixed points: a trapezoidal rule after a substitution that makes both ends
vanish doubly exponentially (Takahasi & Mori 1974), for which only the integrand's decay matters, not its width.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

__all__ = [
    "HALF_LOG_2PI",
    "NUMPY",
    "Library",
    "log_difference",
    "log_negbinomial",
    "log_negbinomial_tails",
    "log_normal_cdf",
    "log_normal_density",
    "log_poisson",
    "log_poisson_tails",
    "log_student_cdf",
    "log_student_density",
]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
TINY = 1e-300
LARGE = 20.0  # from here on Stirling's series is exact to the last digit

# Points for integrals over (0, inf) of what falls about as exp(-u) or faster.
STEP = 0.1
TAU = np.arange(-3.4, 5.2, STEP)
POINTS = np.exp(TAU - np.exp(-TAU))
WEIGHTS = STEP * POINTS * (1.0 + np.exp(-TAU))

# Points for the normal tail; the error is exp(-pi sqrt(2) |z| / step), and |z| >= 1 here.
NORMAL_STEP = 0.14
NORMAL_POINTS = (np.arange(43) + 0.5) * NORMAL_STEP
NORMAL_WEIGHTS = 2 * NORMAL_STEP * np.exp(-(NORMAL_POINTS**2)) / (math.sqrt(2) * math.pi)

# Points for integrals over (0, 1) of what is smooth there.
_X, _W = np.polynomial.legendre.leggauss(32)
UNIT_POINTS, UNIT_WEIGHTS = 0.5 * (_X + 1.0), 0.5 * _W


class Library(Protocol):
    """Functions of arrays, one name each in NumPy and PyTensor."""

    exp: Any
    log: Any
    log1p: Any
    expm1: Any
    sqrt: Any
    abs: Any
    where: Any
    maximum: Any
    minimum: Any
    gammaln: Any
    erfc: Any
    array: Any


def _array(x: Any) -> np.ndarray:
    return np.asarray(x, dtype=float)


def _gammaln(x: Any) -> Any:
    from scipy.special import gammaln

    return gammaln(x)


def _erfc(x: Any) -> Any:
    from scipy.special import erfc

    return erfc(x)


class _NumPy:
    exp, log, log1p, expm1, sqrt, abs = np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.abs
    where, maximum, minimum = staticmethod(np.where), np.maximum, np.minimum
    array, gammaln, erfc = staticmethod(_array), staticmethod(_gammaln), staticmethod(_erfc)


NUMPY: Library = _NumPy()


def log_difference(big: Any, small: Any, xp: Library = NUMPY) -> Any:
    """Return log(exp(big) - exp(small)) for big >= small."""
    gap = xp.minimum(small - xp.where(big > -np.inf, big, 0.0), -TINY)
    return big + xp.where(gap < -math.log(2), xp.log1p(-xp.exp(gap)), xp.log(-xp.expm1(xp.maximum(gap, -1.0))))


# ---- normal and Student's t ------------------------------------------------------------------------------------------


def log_normal_density(z: Any) -> Any:
    """Return the log of the standard normal density."""
    return -HALF_LOG_2PI - 0.5 * z**2


def log_normal_cdf(z: Any, xp: Library = NUMPY) -> Any:
    """Return the log of the standard normal distribution function, to 13 digits at any distance.

    Notes
    -----
    Below -1 from exp(x^2) erfc(x) = x/pi * integral of exp(-t^2)/(x^2 + t^2) by the trapezoidal rule (Chiarella &
    Reichel 1968).
    """
    z = xp.array(z)
    far = xp.maximum(-z, 1.0)[..., None]
    tail = -0.5 * far[..., 0] ** 2 + xp.log((NORMAL_WEIGHTS / (far + 2 * NORMAL_POINTS**2 / far)).sum(axis=-1))
    near = 0.5 * xp.erfc(-xp.minimum(xp.maximum(z, -1.0), 1.0) / math.sqrt(2))
    above = -0.5 * xp.erfc(xp.maximum(z, 1.0) / math.sqrt(2))
    return xp.where(z < -1, tail, xp.where(z < 1, xp.log(near), xp.log1p(above)))


def log_student_density(z: Any, nu: Any, xp: Library = NUMPY) -> Any:
    """Return the log of the density of Student's t with `nu` degrees of freedom."""
    return _log_gamma_half(0.5 * nu, xp) - 0.5 * xp.log(nu * math.pi) - 0.5 * (nu + 1) * xp.log1p(z**2 / nu)


def log_student_cdf(z: Any, nu: Any, xp: Library = NUMPY) -> Any:
    """Return the log of the distribution function of Student's t, to 10 digits for `nu` from 0.2 to 1e12."""
    z, nu = xp.array(z), xp.array(nu)
    tail = _log_student_tail(xp.maximum(xp.abs(z), 1.0), nu, xp)
    inner = xp.minimum(xp.maximum(z, -1.0), 1.0)
    density = xp.exp(log_student_density(inner[..., None] * UNIT_POINTS, nu[..., None], xp))
    near = xp.log(0.5 + inner * (density * UNIT_WEIGHTS).sum(axis=-1))
    return xp.where(z < -1, tail, xp.where(z < 1, near, xp.log1p(-xp.exp(tail))))


def _log_student_tail(x: Any, nu: Any, xp: Library) -> Any:
    """Log P(T > x) for x >= 1, half the incomplete beta function I_w(nu/2, 1/2) at w = nu/(nu + x^2)."""
    spread = xp.log1p(x**2 / nu)
    rest = -0.5 * xp.log(-xp.expm1(-(spread[..., None] + 2 * POINTS / nu[..., None])))
    integral = (WEIGHTS * xp.exp(rest - POINTS)).sum(axis=-1)
    constant = _log_gamma_half(0.5 * nu, xp) - 0.5 * math.log(math.pi) - xp.log(nu)
    return constant - 0.5 * nu * spread + xp.log(integral)


# ---- counts ----------------------------------------------------------------------------------------------------------


def log_poisson(y: Any, f: Any, xp: Library = NUMPY) -> Any:
    """Return the log probability of a count with mean `f` above 0."""
    return y * xp.log(f) - f - xp.gammaln(y + 1.0)


def log_poisson_tails(k: Any, f: Any, xp: Library = NUMPY) -> tuple[Any, Any]:
    """Return log P(Y <= k) and log P(Y > k) of a count with mean `f` above 0, for whole k >= -1."""
    k, f = xp.array(k), xp.array(f)
    n = xp.maximum(k, 0.0)
    lower_first = f > n + 0.5
    mean = xp.where(lower_first, f, n + 1.0)  # each integral where it is small, and any number elsewhere
    step = 1.0 / (1.0 - n / mean + xp.sqrt(n) / mean)
    s = step[..., None] * POINTS
    inside = n[..., None] * xp.log1p(s / mean[..., None]) - s
    lower = log_poisson(n, mean, xp) + xp.log(step * (WEIGHTS * xp.exp(inside)).sum(axis=-1))
    mean = xp.where(lower_first, n + 0.5, f)
    step = 1.0 / (n + 1.0 - mean + xp.sqrt(mean))
    v = step[..., None] * POINTS
    inside = -(n + 1.0)[..., None] * v - mean[..., None] * xp.expm1(-v)
    upper = log_poisson(n, mean, xp) + xp.log(mean * step * (WEIGHTS * xp.exp(inside)).sum(axis=-1))
    return _both(k, lower_first, lower, upper, xp)


def log_negbinomial(y: Any, f: Any, size: Any, xp: Library = NUMPY) -> Any:
    """Return the log probability of a count with mean `f` above 0 and variance f + f^2/size."""
    share = xp.log(f) - xp.log(size + f)
    return _log_rise(size, y, xp) - xp.gammaln(y + 1.0) - size * xp.log1p(f / size) + y * share


def log_negbinomial_tails(k: Any, f: Any, size: Any, xp: Library = NUMPY) -> tuple[Any, Any]:
    """Return log P(Y <= k) and log P(Y > k) of a count with mean `f` above 0 and variance f + f^2/size."""
    k, f, size = xp.array(k), xp.array(f), xp.array(size)
    n = xp.maximum(k, 0.0)
    lower_first = f > n + 0.5
    mean = xp.where(lower_first, f, n + 1.0)
    odds = size / mean
    step = 1.0 / (size * (1.0 - n / mean) + xp.sqrt(n) * xp.sqrt(odds * (1.0 + odds)))
    v = step[..., None] * POINTS
    inside = -size[..., None] * v + n[..., None] * xp.log1p(-odds[..., None] * xp.expm1(-v))
    integral = step * (WEIGHTS * xp.exp(inside)).sum(axis=-1)
    lower = log_negbinomial(n, mean, size, xp) + xp.log((size + n) * integral)
    mean = xp.where(lower_first, n + 0.5, f)
    odds = mean / size
    step = 1.0 / ((n + 1.0) - (size - 1.0) * odds + xp.sqrt(size * odds * (1.0 + odds)))
    v = step[..., None] * POINTS
    inside = -(n + 1.0)[..., None] * v + (size - 1.0)[..., None] * xp.log1p(-odds[..., None] * xp.expm1(-v))
    integral = step * (WEIGHTS * xp.exp(inside)).sum(axis=-1)
    upper = log_negbinomial(n, mean, size, xp) + xp.log((size + n) * mean / size * integral)
    return _both(k, lower_first, lower, upper, xp)


def _both(k: Any, lower_first: Any, lower: Any, upper: Any, xp: Library) -> tuple[Any, Any]:
    """Each tail from its own integral where that is the small one, else from the other; nothing lies below 0."""
    below = xp.where(lower_first, lower, _log_rest(xp.where(lower_first, -1.0, upper), xp))
    above = xp.where(lower_first, _log_rest(xp.where(lower_first, lower, -1.0), xp), upper)
    return xp.where(k < 0, -np.inf, below), xp.where(k < 0, 0.0, above)


def _log_rest(log_p: Any, xp: Library) -> Any:
    """Return log(1 - p)."""
    return xp.where(log_p < -math.log(2), xp.log1p(-xp.exp(log_p)), xp.log(-xp.expm1(xp.minimum(log_p, -TINY))))


# ---- differences of log Gamma ----------------------------------------------------------------------------------------


def _log_gamma_half(x: Any, xp: Library) -> Any:
    """Return log Gamma(x + 1/2) - log Gamma(x), which cancels where x is large."""
    x = xp.array(x)
    big = xp.maximum(x, LARGE)
    r = 1.0 / big**2
    series = (-1 / 8 + r * (1 / 192 + r * (-1 / 640 + r * (17 / 14336 - r * 31 / 18432)))) / big
    small = xp.minimum(x, LARGE)
    return xp.where(x > LARGE, 0.5 * xp.log(big) + series, xp.gammaln(small + 0.5) - xp.gammaln(small))


def _log_rise(x: Any, n: Any, xp: Library) -> Any:
    """Return log Gamma(x + n) - log Gamma(x), which cancels where x is large."""
    x, n = xp.array(x), xp.array(n)
    big = xp.maximum(x, LARGE)
    series = _stirling(big + n) - _stirling(big)
    large = (big - 0.5) * xp.log1p(n / big) + n * xp.log(big + n) - n + series
    small = xp.minimum(x, LARGE)
    return xp.where(x > LARGE, large, xp.gammaln(small + n) - xp.gammaln(small))


def _stirling(x: Any) -> Any:
    r = 1.0 / x**2
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / x
