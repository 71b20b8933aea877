"""The quantities of an SBML file: what each id means, where it starts, and its unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from mscpkpd.sbml.names import ROW_NAMESPACE
from mscpkpd.sbml.unit_definitions import definition_text, read_unit

if TYPE_CHECKING:
    import libsbml

__all__ = ["Quantity", "quantities", "reaction_unit", "time_unit"]


@dataclass(frozen=True)
class Quantity:
    """One id of the file that formulas may use.

    Attributes
    ----------
    id, about : str
        As in the file.
    kind : str
        "compartment", "parameter", "species" or "stoichiometry".
    value : float or None
        Value in the meaning of the id, or of what `per` says; None where the file gives none.
    factor : str
        Id of the compartment that `value` must be multiplied with ("*c") or divided by ("/c"); else empty.
    unit : str or None
        Text of its unit.
    volume : str
        Of a species whose id means a concentration: its compartment.
    compartment : str
        Of a species: its compartment.
    changes : bool
        Of a species: whether reactions change it.
    row : dict of str to str
        What our own annotation says.
    """

    id: str
    about: str
    kind: str
    value: float | None
    unit: str | None
    row: dict[str, str]
    factor: str = ""
    volume: str = ""
    compartment: str = ""
    changes: bool = False


def quantities(model: libsbml.Model) -> Iterator[Quantity]:
    """Yield compartments, parameters, species and named stoichiometries in the order of the file."""
    for i in range(model.getNumCompartments()):
        one = model.getCompartment(i)
        value = one.getSize() if one.isSetSize() else 1.0 if _is_flat(one) else None  # of no dimension: never used
        yield Quantity(one.getId(), one.getName(), "compartment", value, _unit(model, one), _row(one))
    for i in range(model.getNumParameters()):
        one = model.getParameter(i)
        value = one.getValue() if one.isSetValue() else None
        yield Quantity(one.getId(), one.getName(), "parameter", value, _unit(model, one), _row(one))
    for i in range(model.getNumSpecies()):
        yield _species(model, model.getSpecies(i))
    for i in range(model.getNumReactions()):
        reaction = model.getReaction(i)
        for sides in (reaction.getListOfReactants(), reaction.getListOfProducts()):
            for one in sides:
                if one.isSetId():
                    value = one.getStoichiometry() if one.isSetStoichiometry() else None
                    yield Quantity(one.getId(), one.getName(), "stoichiometry", value, "1", _row(one))


def _species(model: libsbml.Model, one: libsbml.Species) -> Quantity:
    compartment = model.getCompartment(one.getCompartment())
    amount = one.getHasOnlySubstanceUnits() or _is_flat(compartment)
    value, factor = None, ""
    if one.isSetInitialAmount():
        value, factor = one.getInitialAmount(), "" if amount else f"/{one.getCompartment()}"
    elif one.isSetInitialConcentration():
        value, factor = one.getInitialConcentration(), f"*{one.getCompartment()}" if amount else ""
    unit = read_unit(model, one.getSubstanceUnits() or model.getSubstanceUnits()) if amount else _unit(model, one)
    return Quantity(
        one.getId(), one.getName(), "species", value, unit, _row(one), factor,
        "" if amount else one.getCompartment(), one.getCompartment(),
        not one.getBoundaryCondition() and not one.getConstant(),
    )  # fmt: skip


def _is_flat(compartment: libsbml.Compartment) -> bool:
    return bool(compartment.isSetSpatialDimensions() and compartment.getSpatialDimensionsAsDouble() == 0)


def _unit(model: libsbml.Model, one: libsbml.SBase) -> str | None:
    """Unit of an element: as it names it, else as libSBML derives it."""
    named = one.getUnits() if hasattr(one, "getUnits") else ""
    if named and (text := read_unit(model, named)) is not None:
        return text
    definition = one.getDerivedUnitDefinition()
    return definition_text(definition) if definition is not None and definition.getNumUnits() else None


def time_unit(model: libsbml.Model) -> str | None:
    """Return the unit of time of a file; None where it names none."""
    return read_unit(model, model.getTimeUnits()) if model.isSetTimeUnits() else None


def reaction_unit(model: libsbml.Model) -> str | None:
    """Return the unit of the rates of reactions; None where the file names none."""
    extent = read_unit(model, model.getExtentUnits()) if model.isSetExtentUnits() else None
    time = time_unit(model)
    return f"{extent}/{time}" if extent and time else None


def _row(one: libsbml.SBase) -> dict[str, str]:
    """What our own annotation says about an element."""
    if not one.isSetAnnotation():
        return {}
    try:
        top = ET.fromstring(one.getAnnotationString())  # noqa: S314 - libSBML has parsed the file already
    except ET.ParseError:
        return {}
    found = top.find(f"{{{ROW_NAMESPACE}}}row")
    return dict(found.attrib) if found is not None else {}
