"""Reactions as named flows, and what they do to species."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mscpkpd.errors import ModelError
from mscpkpd.expressions import Expression
from mscpkpd.parameters import number_text
from mscpkpd.sbml.quantities import Quantity
from mscpkpd.sbml.unit_definitions import read_unit

if TYPE_CHECKING:
    import libsbml

    from mscpkpd.sbml.formulas import MathReader

__all__ = ["Local", "flows", "local_parameters", "net_rates"]

Local = tuple[str, str, float, str | None]  # reaction, id, value, unit


def local_parameters(model: libsbml.Model) -> Iterator[Local]:
    """Yield the parameters that only one kinetic law knows."""
    for i in range(model.getNumReactions()):
        reaction = model.getReaction(i)
        law = reaction.getKineticLaw()
        for k in range(law.getNumLocalParameters()):
            one = law.getLocalParameter(k)
            yield reaction.getId(), one.getId(), one.getValue(), read_unit(model, one.getUnits())


def flows(model: libsbml.Model, math: MathReader, local: Mapping[tuple[str, str], str]) -> dict[str, Expression]:
    """Return the kinetic law of each reaction, by the name of the reaction.

    Parameters
    ----------
    model : libsbml.Model
        The file.
    math : MathReader
        Reader of formulas.
    local : mapping of (str, str) to str
        Names of local parameters, by reaction and id.
    """
    found = {}
    for i in range(model.getNumReactions()):
        reaction = model.getReaction(i)
        own = {name: text for (owner, name), text in local.items() if owner == reaction.getId()}
        where = f"kinetic law of reaction {reaction.getId()}"
        found[math.names[reaction.getId()]] = math.formula(reaction.getKineticLaw().getMath(), where, own)
    return found


def net_rates(model: libsbml.Model, species: Mapping[str, Quantity], math: MathReader) -> dict[str, str]:
    """Return what reactions do to each species that they change, as text, by the id of the species.

    Parameters
    ----------
    model : libsbml.Model
        The file.
    species : mapping of str to Quantity
        Quantities by id.
    math : MathReader
        Reader of formulas.

    Raises
    ------
    ModelError
        For a species reference without stoichiometry.
    """
    terms: dict[str, str] = {}
    for i in range(model.getNumReactions()):
        reaction = model.getReaction(i)
        for sign, sides in ((" - ", reaction.getListOfReactants()), (" + ", reaction.getListOfProducts())):
            for one in sides:
                if species[one.getSpecies()].changes:
                    part = _times(_stoichiometry(one, reaction, math), math.names[reaction.getId()])
                    before = terms.get(one.getSpecies(), "")
                    terms[one.getSpecies()] = f"{before}{sign}{part}"
    return {name: _rate(model, species[name], text.removeprefix(" + ").strip(), math) for name, text in terms.items()}


def _stoichiometry(one: libsbml.SpeciesReference, reaction: libsbml.Reaction, math: MathReader) -> str:
    if one.isSetId():
        return math.names[one.getId()]
    if not one.isSetStoichiometry():
        problem = f"no stoichiometry of {one.getSpecies()}"
        raise ModelError(problem, where=f"{math.where}, reaction {reaction.getId()}", hint='stoichiometry="1"')
    return number_text(one.getStoichiometry())


def _times(factor: str, text: str) -> str:
    return text if factor == "1" else f"{factor}*{text}"


def _rate(model: libsbml.Model, species: Quantity, text: str, math: MathReader) -> str:
    """Amounts of reactions as change of the species: times a conversion factor, per volume."""
    converted = model.getSpecies(species.id).getConversionFactor() or model.getConversionFactor()
    text = f"{math.names[converted]}*({text})" if converted else text
    return f"({text})/{math.names[species.volume]}" if species.volume else text
