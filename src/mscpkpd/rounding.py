"""Numbers as people read them: few digits, powers of ten, and never a false precision."""

from __future__ import annotations

import math

__all__ = ["decimals", "number", "span", "time_scale", "unit_text"]

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNKNOWN = "–"
LONG_TIME = 72.0  # hours from which days read better


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a few significant digits.

    Parameters
    ----------
    value : float or None
        Any number, in any unit.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Plain from 0.001 to 100 000, else with a power of ten; a dash for what is missing.
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if 1e-3 <= abs(rounded) < 1e5:
        text = f"{rounded:.{digits}g}" if abs(rounded) < 10**digits else f"{rounded:.0f}"
        return text.replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = f"10{str(int(exponent)).translate(SUPERSCRIPT)}"
    head = "" if mantissa == "1" else f"{mantissa} × "
    return f"{head}{power}".replace("-", "−")


def decimals(value: float | None, places: int = 2) -> str:
    """Write a number with a fixed number of decimals; a dash for what is missing."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def span(lower: float | None, upper: float | None, digits: int = 3) -> str:
    """Write an interval, "0.27 to 0.34"; a dash where there is none."""
    if lower is None or upper is None or math.isnan(lower) or math.isnan(upper):
        return UNKNOWN
    return f"{number(lower, digits)} to {number(upper, digits)}"


def time_scale(unit: str, longest: float) -> tuple[float, str]:
    """Choose how to show times: hours become days where the longest is more than three days.

    Parameters
    ----------
    unit : str
        Unit of the times.
    longest : float
        Longest time to show, in that unit.

    Returns
    -------
    factor : float
        What to multiply times with, dimensionless.
    unit : str
        Name of the unit shown.
    """
    if unit == "h" and longest > LONG_TIME:
        return 1 / 24, "days"
    return 1.0, {"h": "hours", "d": "days"}.get(unit, unit)


def unit_text(unit: object) -> str:
    """Write a unit; nothing for what has none."""
    return "" if str(unit) == "1" else str(unit).replace("*", " ")
