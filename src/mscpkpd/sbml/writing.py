"""Write a model with its doses as SBML Level 3 Version 2 core.

Amounts become species whose symbols mean amounts, other states parameters; all of them change by rate rules. Derived
quantities and outputs become assignment rules, doses events. What SBML has no word for stands in annotations: noise,
organ and method of outputs. Priors and the origin of numbers stay in the model file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from mscpkpd.dosing import Regimen
from mscpkpd.errors import ModelError
from mscpkpd.files import whole_file
from mscpkpd.model import Derived, Model, Output, State
from mscpkpd.sbml.dose_events import Share, doses_of, infusions_into, write_doses
from mscpkpd.sbml.mathml import HILL, HILL_BODY, MathWriter
from mscpkpd.sbml.names import annotation, sid
from mscpkpd.sbml.unit_definitions import UnitWriter
from mscpkpd.units import parse_unit, to_unit

if TYPE_CHECKING:
    import libsbml

__all__ = ["write_sbml"]

BODY = "body"
AMOUNTS = ({"[cell]"}, {"[copy]"}, {"[animal]"}, {"[mass]"}, {"[substance]"})
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def write_sbml(
    model: Model, path: str | os.PathLike[str], regimen: Regimen | None = None, weight: str | float | None = None
) -> Path:
    """Write a model, and what is given, as one SBML file.

    Parameters
    ----------
    model : Model
        The model.
    path : str or path
        The file; it appears under this name only when it is complete.
    regimen : Regimen, optional
        Doses, written as events; those of the model itself by default.
    weight : str or float, optional
        Body weight such as ``"70 kg"``, or a number in kg; needed for doses per kg.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DosingError
        For a dose per kg without a weight, or an impossible duration.
    UnknownName
        For a route that the model does not have.
    ModelError
        If libSBML finds the result wrong.
    UsageError
        If the file cannot be written.

    Notes
    -----
    SBML Level 3 Version 2 core (hucka_2019). Rules E1 to E15 of the conventions become events.
    """
    import libsbml

    kilograms = to_unit(weight, "kg") if isinstance(weight, str) else weight
    document = _Document(model, model.doses if regimen is None else regimen, kilograms).made()
    _refuse_errors(document, str(path))
    with whole_file(Path(path)) as part:
        libsbml.writeSBMLToFile(document, str(part))
    return Path(path)


def _refuse_errors(document: libsbml.SBMLDocument, where: str) -> None:
    import libsbml

    document.setConsistencyChecks(libsbml.LIBSBML_CAT_UNITS_CONSISTENCY, False)
    document.checkConsistency()
    problems = [document.getError(i) for i in range(document.getNumErrors())]
    wrong = [p.getMessage().strip() for p in problems if p.getSeverity() >= libsbml.LIBSBML_SEV_ERROR]
    if wrong:
        raise ModelError.of(wrong, where=where)


class _Document:
    """One SBML document that is being made."""

    def __init__(self, model: Model, regimen: Regimen, weight: float | None) -> None:
        import libsbml

        self.described, self.document = model, libsbml.SBMLDocument(3, 2)
        self.model = self.document.createModel()
        self.taken = {*model.units, model.name}
        self.units = UnitWriter(self.model)
        self.names = {HILL: self._id(HILL)}
        self.math = MathWriter(dict(model.units), self.units, self.names)
        self.body = ""
        self.shares: tuple[Share, ...] = doses_of(model, regimen, weight, self.taken)

    def _id(self, text: str) -> str:
        name = sid(text, self.taken)
        self.taken.add(name)
        return name

    def made(self) -> libsbml.SBMLDocument:
        """Write everything; the parts follow the order of the model file."""
        self._head()
        for row in self.described.parameters:
            self._quantity(row.name, row.unit, row.about, value=row.value)
        for state in self.described.states:
            self._state(state)
        for derived in self.described.derived:
            self._assigned(derived)
        for output in self.described.outputs:
            if output.name not in self.described.state_names:
                self._assigned(output)
            else:
                self._annotate(self.model.getElementBySId(output.name), output)
        write_doses(self.model, self.shares, self.math, self.described, self.taken)
        self._rates()
        if self.math.uses_hill:
            self._hill()
        return self.document

    def _head(self) -> None:
        model = self.described
        self.model.setId(sid(model.name, ()))
        self.model.setName(model.title)
        self.model.setTimeUnits(self.units(model.time))
        if model.about:
            self.model.setNotes(f"<p {XHTML}>{escape(model.about)}</p>")

    def _quantity(self, name: str, unit: str, about: str, value: float | None = None) -> libsbml.Parameter:
        row = self.model.createParameter()
        row.setId(name)
        row.setUnits(self.units(unit))
        row.setConstant(value is not None)
        if value is not None:
            row.setValue(value)
        if about:
            row.setName(about)
        return row

    def _state(self, state: State) -> None:
        amount = {str(dimension) for dimension in parse_unit(state.unit).dimensionality}
        row = self._species(state) if amount in AMOUNTS and _is_plain(state.unit) else None
        if row is None:
            row = self._quantity(state.name, state.unit, state.about)
        number = 0.0 if state.start is None else state.start.number
        if state.start is not None and number is None:
            start = self.model.createInitialAssignment()
            start.setSymbol(state.name)
            start.setMath(self.math.formula(state.start, state.unit))
        elif row.getElementName() == "species":
            row.setInitialAmount(number)
        else:
            row.setValue(number)

    def _species(self, state: State) -> libsbml.Species:
        if not self.body:
            self._compartment()
        row = self.model.createSpecies()
        row.setId(state.name)
        row.setName(state.about)
        row.setCompartment(self.body)
        row.setSubstanceUnits(self.units(state.unit))
        row.setHasOnlySubstanceUnits(True)
        row.setBoundaryCondition(True)
        row.setConstant(False)
        return row

    def _compartment(self) -> None:
        """Species need one; no formula uses it, because their symbols mean amounts."""
        self.body = self._id(BODY)
        body = self.model.createCompartment()
        body.setId(self.body)
        body.setName("Where all amounts are; it has no meaning")
        body.setAnnotation(annotation({"table": "none"}))
        body.setSpatialDimensions(3)
        body.setSize(1.0)
        body.setUnits("litre")
        body.setConstant(True)

    def _assigned(self, row: Derived | Output) -> None:
        made = self._quantity(row.name, row.unit, row.about)
        rule = self.model.createAssignmentRule()
        rule.setVariable(row.name)
        rule.setMath(self.math.formula(row.expression, row.unit))
        if isinstance(row, Output):
            self._annotate(made, row)
        else:
            made.setAnnotation(annotation({"table": "derived"}))

    def _annotate(self, made: libsbml.SBase, output: Output) -> None:
        noise = str(output.noise) if output.noise else ""
        facts = {"table": "outputs", "noise": noise, "organ": output.organ, "method": output.method}
        facts |= {"blq": output.blq} if output.blq != "M3" else {}
        made.setAnnotation(annotation(facts))

    def _rates(self) -> None:
        time = self.described.time
        for name, rate in self.described.rates:
            unit = f"{self.described.units[name]}/{time}" if self.described.units[name] != "1" else f"1/{time}"
            terms = infusions_into(name, self.shares, self.math)
            total = self.math.formula(rate, unit) if rate.number != 0 or not terms else terms.pop(0)
            for term in terms:
                total = self.math.apply("+", total, term)
            rule = self.model.createRateRule()
            rule.setVariable(name)
            rule.setMath(total)

    def _hill(self) -> None:
        import libsbml

        definition = self.model.createFunctionDefinition()
        definition.setId(self.names[HILL])
        definition.setName("x^h / (x^h + e^h)")
        definition.setMath(libsbml.parseL3Formula(f"lambda(x, e, h, {HILL_BODY})"))


def _is_plain(unit: str) -> bool:
    """Whether a unit is one amount, not a square or an inverse of it."""
    exponents = list(parse_unit(unit).dimensionality.values())
    return exponents == [1]
