"""Units of measurement: parse, compare and convert, with advice where a unit is not known.

Pint does the work behind a private registry; nothing of pint leaves this module except the opaque `Unit`. Added to
pint's own units are cells, copies, animals, photons and international units, each a dimension of its own, so that
``cells/kg`` is never taken for ``1/kg``.
"""

from __future__ import annotations

import math
import re
from functools import cache

import pint

from mscpkpd.errors import UnitError, closest

__all__ = ["Unit", "parse_quantity", "parse_unit", "same_dimension", "scale_factor", "to_unit", "unit_text"]

Unit = pint.Unit

DEFINITIONS = (
    "cell = [cell]",
    "copies = [copy] = _ = copy",
    "animal = [animal]",
    "photon = [photon]",
    "international_unit = [activity] = IU",
)
# what an unknown unit is compared with: the words that people of this field write
COMMON = (
    "1", "%", "percent", "s", "min", "h", "d", "week", "year", "cells", "cells/kg", "cells/h", "copies", "copies/ug", "animal",
    "kg", "g", "mg", "ug", "ng", "pg", "fg", "L", "dL", "mL", "uL", "mol", "mmol", "umol", "nmol", "pmol", "M", "mM", "uM", "nM", "pM",
    "1/h", "1/d", "mL/h", "L/h", "L/d", "mL/min", "pg/mL", "ng/mL", "ug/mL", "mg/L", "pg/cell/h", "cells/mL", "cells/uL", "IU", "photon",
)  # fmt: skip
LONGEST = 100
AREA_OR_VOLUME = re.compile(r"(?<![A-Za-z])([kcmnu]?m)([23])(?![\w])")
QUANTITY = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")
CHARACTERS = re.compile(r"[\w\s/*^().%+-]*", re.ASCII)
# micro sign and Greek mu mean the same letter
MICRO = str.maketrans({"µ": "u", "μ": "u"})


@cache
def _registry() -> pint.UnitRegistry[float]:
    registry: pint.UnitRegistry[float] = pint.UnitRegistry()
    for definition in DEFINITIONS:
        registry.define(definition)
    return registry


def parse_unit(text: str, where: str = "") -> Unit:
    """Return the unit that `text` names.

    Parameters
    ----------
    text : str
        A unit such as ``"1/h"``, ``"pg/mL"``, ``"cells/kg"``, ``"%"``; ``"1"`` is dimensionless.
    where : str
        File and key, for the error message.

    Returns
    -------
    Unit
        An opaque unit; see `unit_text`.

    Raises
    ------
    UnitError
        If the unit is not known; the message holds the closest known units.

    Examples
    --------
    >>> unit_text(parse_unit("pg/mL/h"))
    'pg/h/mL'
    """
    try:
        return _parse_unit(text)
    except UnitError as error:
        raise UnitError(error.problem, where=where, expected=error.expected, hint=error.hint) from None


@cache
def _parse_unit(text: str) -> Unit:
    if not isinstance(text, str) or not text.strip():
        raise UnitError(f"unit {text!r} is empty", expected="a unit", hint="'1' for a number without unit")
    plain = AREA_OR_VOLUME.sub(r"\1**\2", text.translate(MICRO))
    if len(text) > LONGEST or not CHARACTERS.fullmatch(plain) or "***" in plain:
        raise _unknown(text[:LONGEST])
    try:
        unit = _registry().parse_units(plain)
        factor = _registry().get_base_units(unit)[0]
    except Exception:  # pint raises a dozen kinds, token and assertion errors among them
        raise _unknown(text) from None
    if not unit_is_scale(unit) or not math.isfinite(float(factor)):
        raise UnitError(f"unit '{text}' has an offset or is not finite", hint="a plain scale, such as 'K' for temperatures")
    return unit


def unit_is_scale(unit: Unit) -> bool:
    """Say whether numbers in this unit may be multiplied (degrees Celsius may not)."""
    return all(_registry()._units[name].is_multiplicative for name in unit._units)


def _unknown(text: str) -> UnitError:
    words = re.findall(r"[^\W\d_]+|%", text)
    known = {word for unit in COMMON for word in re.findall(r"[^\W\d_]+|%", unit)}
    bad = [word for word in words if word not in known]
    near = closest(text, COMMON) or tuple(match for word in bad for match in closest(word, sorted(known)))
    hint = " or ".join(f"'{match}'" for match in near) if near else "a unit such as '1/h', 'cells/kg', 'pg/mL', or '1' for none"
    return UnitError(f"unknown unit '{text}'", expected="a unit of measurement", hint=hint)


def unit_text(unit: Unit) -> str:
    """Return the short text of a unit, ``"1"`` if it has none: ``"cell/h"``, ``"pg/mL"``."""
    text = f"{unit:~C}".replace("µ", "u").replace("μ", "u").replace("ml", "mL")
    text = re.sub(r"\bl\b", "L", text)
    return text or "1"


@cache
def _factor(source: str, target: str) -> float:
    one, other = parse_unit(source), parse_unit(target)
    if one.dimensionality != other.dimensionality:
        raise UnitError(f"cannot turn {source} into {target}", expected=f"a unit like {target}")
    return unit_factor(one, other)


def unit_factor(source: Unit, target: Unit) -> float:
    """Return the number that turns values in `source` into values in `target`; both have one dimension."""
    if source == target:
        return 1.0
    factor = float(_registry().convert(1.0, source, target))
    # 1 h is 3600 s only to 1e-16: keep whole factors whole
    return float(f"{factor:.13g}")


def scale_factor(source: str, target: str, where: str = "") -> float:
    """Return the factor that turns numbers in `source` into numbers in `target`.

    Parameters
    ----------
    source, target : str
        Units of one dimension.
    where : str
        File and key, for the error message.

    Returns
    -------
    float
        ``value_in_target = factor * value_in_source``.

    Raises
    ------
    UnitError
        If a unit is unknown or the dimensions differ.

    Examples
    --------
    >>> scale_factor("ng/mL", "pg/mL")
    1000.0
    """
    try:
        return _factor(source, target)
    except UnitError as error:
        raise UnitError(error.problem, where=where, expected=error.expected, hint=error.hint) from None


def same_dimension(a: str, b: str) -> bool:
    """Say whether numbers in unit `a` can be converted into unit `b`.

    Raises
    ------
    UnitError
        If a unit is unknown.
    """
    return bool(parse_unit(a).dimensionality == parse_unit(b).dimensionality)


def parse_quantity(text: str, where: str = "") -> tuple[float, str]:
    """Split a quantity into its number and its unit.

    Parameters
    ----------
    text : str
        For example ``"1e6 cells/kg"``, ``"30 min"``, ``"7 d"``.
    where : str
        File and key, for the error message.

    Returns
    -------
    tuple of (float, str)
        The number and the unit as written; ``"1"`` is never added silently.

    Raises
    ------
    UnitError
        If the number or the unit is missing or not understood.
    """
    match = QUANTITY.match(text) if isinstance(text, str) else None
    if match is None:
        raise UnitError(f"{text!r} is no quantity", where=where, expected="a number and a unit", hint="'7 d' or '2e6 cells/kg'")
    number, unit = match.groups()
    if not unit:
        raise UnitError(f"{text!r} has no unit", where=where, expected="a number and a unit", hint=f"'{number} h' or '{number} cells'")
    parse_unit(unit, where)
    value = float(number)
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not finite", where=where, expected="a finite number and a unit")
    return value, unit


def to_unit(text: str | float, target: str, where: str = "") -> float:
    """Return a quantity as a number in the unit `target`.

    Parameters
    ----------
    text : str
        A number with its unit, such as ``"7 d"``. A bare number is refused: its unit would be a guess.
    target : str
        Unit of the result.
    where : str
        File and key, for the error message.

    Returns
    -------
    float
        Value in `target`.

    Raises
    ------
    UnitError
        If the unit is missing, unknown or of another dimension.

    Examples
    --------
    >>> to_unit("7 d", "h")
    168.0
    """
    if not isinstance(text, str):
        raise UnitError(f"{text!r} has no unit", where=where, expected=f"a text with a unit like {target}", hint=f"'{text} {target}'")
    value, unit = parse_quantity(text, where)
    if not same_dimension(unit, target):
        raise UnitError(f"'{text}' is in {unit}", where=where, expected=f"a unit like {target}")
    return value * scale_factor(unit, target, where)
