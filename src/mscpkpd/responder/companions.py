"""Companion markers: the MAGIC probability from ST2 and REG3a. Its coefficients are from memory: UNVERIFIED."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mscpkpd.errors import UsageError

if TYPE_CHECKING:
    from mscpkpd.responder.definition import Definition

__all__ = ["UNVERIFIED", "magic_probability", "map_covariate"]

UNVERIFIED = "coefficients of the MAGIC probability are unverified (from memory of Hartwell 2017): check the paper"
INTERCEPT, ST2, REG3A = -11.263, 1.844, 0.577


def magic_probability(
    st2: float, reg3a: float, coefficients: tuple[float, float, float] = (INTERCEPT, ST2, REG3A)
) -> float:
    """Return the MAGIC probability of death without relapse: ``log(-log(1 - p)) = a + b log10(ST2) + c log10(REG3a)``.

    Parameters
    ----------
    st2, reg3a : float
        Levels before the first infusion [pg/mL].
    coefficients : tuple of float
        a, b, c [1]; unverified.

    Returns
    -------
    float
        A probability. It is prognosis of death without relapse, not of response to MSC.

    Raises
    ------
    UsageError
        If a level is not above 0.

    References
    ----------
    Hartwell 2017, JCI Insight e89798; coefficients recalled, link complementary log-log.

    Examples
    --------
    >>> round(magic_probability(1e4, 4e3), 2)
    0.15
    """
    return -math.expm1(-math.exp(_log_log(st2, reg3a, coefficients)))


def _log_log(st2: float, reg3a: float, coefficients: tuple[float, float, float]) -> float:
    if not (0 < st2 < math.inf and 0 < reg3a < math.inf):
        raise UsageError(f"ST2 {st2:g}, REG3a {reg3a:g}", expected="levels above 0 in pg/mL")
    a, b, c = coefficients
    return a + b * math.log10(st2) + c * math.log10(reg3a)


def map_covariate(definition: Definition, st2: float | None, reg3a: float | None) -> float | None:
    """Return the standardised covariate of the responder model; None where a marker is missing."""
    if st2 is None or reg3a is None:
        return None
    known = dict(definition.magic)
    centre = math.log(-math.log1p(-known["centre"]))
    return (_log_log(st2, reg3a, (known["intercept"], known["st2"], known["reg3a"])) - centre) / known["spread"]
