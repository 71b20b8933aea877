"""Units of measurement as SBML unit definitions, and back.

SBML has no cells, copies or animals: they are written as items, and the name of the definition keeps our text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mscpkpd.errors import UnitError
from mscpkpd.sbml.names import sid
from mscpkpd.units import multiplied, parse_unit, raised, unit_factor

if TYPE_CHECKING:
    import libsbml

__all__ = ["UnitWriter", "definition_text", "read_unit"]

# dimension -> our base unit and the kind of SBML that stands for it
BASES = {
    "[length]": ("m", "metre"),
    "[time]": ("s", "second"),
    "[mass]": ("kg", "kilogram"),
    "[substance]": ("mol", "mole"),
    "[temperature]": ("K", "kelvin"),
    "[current]": ("A", "ampere"),
    "[luminosity]": ("cd", "candela"),
    "[cell]": ("cell", "item"),
    "[copy]": ("copies", "item"),
    "[animal]": ("animal", "item"),
    "[photon]": ("photon", "item"),
    "[activity]": ("IU", "item"),
}
# kind of SBML -> our text; what is not listed has no unit here
KINDS = {
    "metre": "m",
    "second": "s",
    "kilogram": "kg",
    "gram": "g",
    "mole": "mol",
    "litre": "L",
    "kelvin": "K",
    "ampere": "A",
    "candela": "cd",
    "hertz": "Hz",
    "joule": "J",
    "pascal": "Pa",
    "newton": "N",
    "watt": "W",
    "volt": "V",
    "coulomb": "C",
    "becquerel": "Bq",
    "gray": "Gy",
    "dimensionless": "1",
}
PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", -2: "c", -1: "d", 0: "", 3: "k"}
SPANS = {60.0: "min", 3600.0: "h", 86400.0: "d", 604800.0: "week"}


class UnitWriter:
    """Makes unit definitions of a model when they are first asked for.

    Parameters
    ----------
    model : libsbml.Model
        The model that holds the definitions.
    """

    def __init__(self, model: libsbml.Model) -> None:
        self.model = model
        self.ids: dict[str, str] = {"1": "dimensionless"}

    def __call__(self, text: str) -> str:
        """Return the id of the definition of a unit."""
        if text not in self.ids:
            name = sid("unit_" + text.replace("/", "_per_").replace("%", "percent"), self.ids.values())
            definition = self.model.createUnitDefinition()
            definition.setId(name)
            definition.setName(text)
            _fill(definition, text)
            self.ids[text] = name
        return self.ids[text]


def _fill(definition: libsbml.UnitDefinition, text: str) -> None:
    import libsbml

    unit, base = parse_unit(text), parse_unit("1")
    parts: dict[str, float] = {}
    for dimension, power in unit.dimensionality.items():
        (ours, kind), exponent = BASES[str(dimension)], float(str(power))
        base = multiplied(base, raised(parse_unit(ours), exponent))
        parts[kind] = parts.get(kind, 0.0) + exponent
    factor = unit_factor(unit, base)
    if factor != 1.0 or not any(parts.values()):
        _add(definition, libsbml.UNIT_KIND_DIMENSIONLESS, 1.0, factor)
    for kind, exponent in parts.items():
        if exponent:
            _add(definition, libsbml.UnitKind_forName(kind), exponent, 1.0)


def _add(definition: libsbml.UnitDefinition, kind: int, exponent: float, multiplier: float) -> None:
    unit = definition.createUnit()
    unit.setKind(kind)
    unit.setExponent(exponent)
    unit.setScale(0)
    unit.setMultiplier(multiplier)


def read_unit(model: libsbml.Model, name: str) -> str | None:
    """Return the text of a unit of a file.

    Parameters
    ----------
    model : libsbml.Model
        The model that holds the definitions.
    name : str
        A kind of SBML, or the id of a unit definition.

    Returns
    -------
    str or None
        None where the file names no unit, or one that this package has no text for.
    """
    definition = model.getUnitDefinition(name)
    if definition is None:
        return KINDS.get(name)
    if definition.isSetName() and _means(definition, definition.getName()):
        return str(definition.getName())
    return definition_text(definition)


def definition_text(definition: libsbml.UnitDefinition) -> str | None:
    """Return the text of a unit definition by its parts; None where this package has none."""
    parts = [_part(definition.getUnit(i)) for i in range(definition.getNumUnits())]
    if None in parts:
        return None
    text = "*".join(part for part in parts if part and part != "1") or "1"
    return text if _means(definition, text) else None


def _means(definition: libsbml.UnitDefinition, text: str) -> bool:
    """Whether a text of ours, such as the name of a definition, says what the definition says."""
    import libsbml

    try:
        parse_unit(text)
    except UnitError:
        return False
    own = libsbml.UnitDefinition(definition.getLevel(), definition.getVersion())
    _fill(own, text)
    (one, kinds), (other, other_kinds) = _in_si(own), _in_si(definition)
    return kinds == other_kinds and math.isclose(one, other, rel_tol=1e-9)


def _in_si(definition: libsbml.UnitDefinition) -> tuple[float, dict[int, float]]:
    """A factor, and the exponent of each kind."""
    import libsbml

    plain, factor, kinds = libsbml.UnitDefinition.convertToSI(definition), 1.0, dict[int, float]()
    for i in range(plain.getNumUnits()):
        unit = plain.getUnit(i)
        exponent = unit.getExponentAsDouble()
        factor *= (unit.getMultiplier() * 10.0 ** unit.getScale()) ** exponent
        if unit.getKind() != libsbml.UNIT_KIND_DIMENSIONLESS:
            kinds[unit.getKind()] = kinds.get(unit.getKind(), 0.0) + exponent
    return factor, {kind: exponent for kind, exponent in kinds.items() if exponent}


def _part(unit: libsbml.Unit) -> str | None:
    """One factor of a unit definition as text; None where it cannot be written."""
    import libsbml

    kind, exponent = libsbml.UnitKind_toString(unit.getKind()), unit.getExponentAsDouble()
    size = unit.getMultiplier() * 10.0 ** unit.getScale()
    if kind not in KINDS:
        return None
    if KINDS[kind] == "1":
        return "1" if size == 1 else None
    if kind == "second" and size in SPANS:
        ours = SPANS[size]
    else:
        prefix = next((p for power, p in PREFIXES.items() if abs(size / 10.0**power - 1) < 1e-12), None)
        if prefix is None or (kind == "kilogram" and prefix):
            return None
        ours = prefix + KINDS[kind]
    return ours if exponent == 1 else f"{ours}**({exponent:g})"
