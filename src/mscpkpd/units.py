"""Units of measurement: parse, compare and convert, with advice where a unit is not known.

Pint does the work behind a private registry; nothing of pint leaves this module except the opaque `Unit`. Added to
pint's own units are cells, copies, animals, photons, sections of tissue and international units, each a dimension of
its own, so that ``cells/kg`` is never taken for ``1/kg``.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import cast

import pint

from mscpkpd.errors import UnitError, closest

__all__ = [
    "Unit",
    "divided",
    "multiplied",
    "parse_quantity",
    "parse_unit",
    "raised",
    "same_dimension",
    "same_size",
    "scale_factor",
    "to_unit",
    "unit_factor",
    "unit_text",
]

Unit = pint.Unit

DEFINITIONS = (
    "cell = [cell]",
    "copies = [copy] = _ = copy",
    "animal = [animal]",
    "photon = [photon]",
    "section = [section]",  # of a tissue; to pint a square mile
    "international_unit = [activity] = IU",
)
# what an unknown unit is compared with: the words that people of this field write
COMMON = (
    "%", "percent", "s", "min", "h", "d", "week", "year", "cells", "cells/kg", "cells/h", "cells/mL", "cells/uL",
    "copies", "copies/ug", "animal", "kg", "g", "mg", "ug", "ng", "pg", "fg", "L", "dL", "mL", "uL", "mol",
    "mmol", "umol", "nmol", "pmol", "M", "mM", "uM", "nM", "pM", "1/h", "1/d", "mL/h", "L/h", "L/d", "mL/min",
    "pg/mL", "ng/mL", "ug/mL", "mg/L", "pg/cell/h", "IU",
)  # fmt: skip
EXAMPLES = "'1/h', 'cells/kg', 'pg/mL', or '1' for none"
LONGEST = 100
AREA_OR_VOLUME = re.compile(r"(?<![A-Za-z])([kcmnu]?m)([23])(?!\w)")
QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
CHARACTERS = re.compile(r"[\w /*^().%+-]*", re.ASCII)
# pint reads PG/ML as petagram per megalitre and dd as a tenth of a day: a slip of the pen, never a unit of this field
SLIP = re.compile(
    r"\b(?:(?:quetta|ronna|yotta|zetta|exa|peta|tera|hecto|deca)[a-z]+"
    r"|(?:mega|giga)(?:gram|liter|meter|molar|mole)|[a-z]+(?:minute|hour|day|week|month|year))\b"
)
# the micro sign and the Greek letter mean the same
MICRO = str.maketrans({"\u00b5": "u", "\u03bc": "u"})


@cache
def _registry() -> pint.UnitRegistry[float]:
    registry: pint.UnitRegistry[float] = pint.UnitRegistry(on_redefinition="ignore")
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
        return _parsed(text)
    except UnitError as error:
        raise UnitError(error.problem, where=where, expected=error.expected, hint=error.hint) from None


@cache
def _parsed(text: str) -> Unit:
    plain = AREA_OR_VOLUME.sub(r"\1**\2", text.translate(MICRO)).strip()
    if not plain:
        raise UnitError("the unit is empty", expected="a unit", hint="'1' for a number without unit")
    if len(text) > LONGEST or not CHARACTERS.fullmatch(plain):
        raise _unknown(text[:LONGEST])
    try:
        unit = _registry().parse_units(plain)
        base = _registry().get_base_units(unit)[1]
        zero, one = (float(_registry().convert(number, unit, base)) for number in (0.0, 1.0))
    except Exception:  # noqa: BLE001 - pint raises a dozen kinds here, tokenizer and assertion errors among them
        raise _unknown(text) from None
    if SLIP.search(str(unit)):
        raise _unknown(text)
    if zero != 0 or not math.isfinite(one):
        raise UnitError(f"unit '{text}' does not start at 0", expected="a scale that does", hint="'K' for temperatures")
    return unit


def _unknown(text: str) -> UnitError:
    near = closest(text, COMMON)
    hint = " or ".join(f"'{match}'" for match in near) if near else EXAMPLES
    return UnitError(f"unknown unit '{text}'", expected="a unit of measurement", hint=hint)


def unit_text(unit: Unit) -> str:
    """Return the short text of a unit, ``"1"`` if it has none: ``"cell/h"``, ``"pg/mL"``."""
    text = f"{unit:~C}".translate(MICRO)
    return re.sub(r"\b([a-z]?)l\b", r"\1L", text) or "1"


def multiplied(one: Unit, other: Unit) -> Unit:
    """Return the unit of a product; prefixes stay as written: pg/mL times L is L*pg/mL."""
    return cast(Unit, one * other)


def divided(one: Unit, other: Unit) -> Unit:
    """Return the unit of a quotient; prefixes stay as written."""
    return cast(Unit, one / other)


def raised(unit: Unit, exponent: float) -> Unit:
    """Return the unit of a power."""
    return cast(Unit, unit**exponent)


def unit_factor(source: Unit, target: Unit) -> float:
    """Return the factor that turns numbers in `source` into numbers in `target`; both are of one dimension."""
    if source == target:
        return 1.0
    factor = float(_registry().convert(1.0, source, target))
    # pint goes through base units: 1000 stays 1000, and a minute stays 1/60 of an hour, to the last digit
    for power in (1, -1):
        whole = round(factor**power)
        if math.isclose(factor**power, whole, rel_tol=1e-12):
            return float(whole) ** power
    return factor


def same_size(one: Unit, other: Unit) -> bool:
    """Say whether two units are of one dimension and of one size: pg/mL and ng/L are."""
    return one == other or (one.dimensionality == other.dimensionality and unit_factor(one, other) == 1.0)


@cache
def _factor(source: str, target: str) -> float:
    if source == target and source in COMMON:
        return 1.0  # without reading all definitions, which takes longer than most tables
    one, other = parse_unit(source), parse_unit(target)
    if one.dimensionality != other.dimensionality:
        raise UnitError(f"cannot turn {source} into {target}", expected=f"a unit like {target}")
    return unit_factor(one, other)


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
        The number, and the unit as written.

    Raises
    ------
    UnitError
        If the number or the unit is missing or not understood; no unit is ever added silently.
    """
    match = QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(
            f"'{text}' is no quantity", where=where, expected="a number and a unit", hint="'7 d' or '2e6 cells/kg'"
        )
    number, unit = match.groups()
    if not unit:
        hint = f"'{number} h' or '{number} cells'"
        raise UnitError(f"'{text}' has no unit", where=where, expected="a number and a unit", hint=hint)
    parse_unit(unit, where)
    if not math.isfinite(float(number)):
        raise UnitError(f"'{text}' is not finite", where=where, expected="a finite number and a unit")
    return float(number), unit


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
        expected = f"a text with a unit like {target}"
        raise UnitError(f"{text!r} has no unit", where=where, expected=expected, hint=f"'{text} {target}'")
    value, unit = parse_quantity(text, where)
    if not same_dimension(unit, target):
        raise UnitError(f"'{text}' is in {unit}", where=where, expected=f"a unit like {target}")
    return value * scale_factor(unit, target, where)
