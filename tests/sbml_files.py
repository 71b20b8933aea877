"""SBML files for tests, made by libSBML from formulas as text; and libRoadRunner, which simulates them."""

from __future__ import annotations

import libsbml
import numpy as np
import roadrunner

roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)


class Maker:
    """One SBML document; every method adds one element."""

    def __init__(self, level=3, version=2, name="made"):
        self.document = libsbml.SBMLDocument(level, version)
        self.model = self.document.createModel()
        self.model.setId(name)

    @staticmethod
    def math(formula):
        """A formula as MathML; `delay`, `rateOf` and the like are symbols of SBML."""
        node = libsbml.parseL3Formula(formula)
        assert node is not None, libsbml.getLastParseL3Error()
        return node

    def compartment(self, name, size=1.0, *, constant=True, dimensions=3):
        """A volume."""
        one = self.model.createCompartment()
        one.setId(name)
        one.setConstant(constant)
        one.setSpatialDimensions(dimensions)
        if size is not None:
            one.setSize(size)
        return one

    def parameter(self, name, value=None, *, constant=True):
        """A number."""
        one = self.model.createParameter()
        one.setId(name)
        one.setConstant(constant)
        if value is not None:
            one.setValue(value)
        return one

    def species(self, name, compartment="c", *, amount=None, level=None, only_amount=False, boundary=False):
        """A species that starts with an amount or a concentration."""
        one = self.model.createSpecies()
        one.setId(name)
        one.setCompartment(compartment)
        one.setConstant(False)
        one.setBoundaryCondition(boundary)
        one.setHasOnlySubstanceUnits(only_amount)
        if amount is not None:
            one.setInitialAmount(amount)
        if level is not None:
            one.setInitialConcentration(level)
        return one

    def reaction(self, name, gone, made, formula, local=None, modifiers=()):
        """A reaction; sides are dicts of species and stoichiometry."""
        one = self.model.createReaction()
        one.setId(name)
        one.setReversible(False)
        if self.document.getVersion() == 1 or self.document.getLevel() < 3:
            one.setFast(False)
        for sides, create in ((gone, one.createReactant), (made, one.createProduct)):
            for species, number in sides.items():
                reference = create()
                reference.setSpecies(species)
                reference.setConstant(True)
                if number is not None:
                    reference.setStoichiometry(number)
        for species in modifiers:
            one.createModifier().setSpecies(species)
        if formula is not None:
            law = one.createKineticLaw()
            law.setMath(self.math(formula))
            for key, value in (local or {}).items():
                parameter = law.createLocalParameter() if self.document.getLevel() == 3 else law.createParameter()
                parameter.setId(key)
                parameter.setValue(value)
        return one

    def rule(self, kind, variable, formula):
        """An "Assignment", "Rate" or "Algebraic" rule."""
        one = getattr(self.model, f"create{kind}Rule")()
        if kind != "Algebraic":
            one.setVariable(variable)
        one.setMath(self.math(formula))
        return one

    def start(self, variable, formula):
        """An initial assignment."""
        one = self.model.createInitialAssignment()
        one.setSymbol(variable)
        one.setMath(self.math(formula))

    def function(self, name, formula):
        """A function definition, "lambda(x, x^2)"."""
        one = self.model.createFunctionDefinition()
        one.setId(name)
        one.setMath(self.math(formula))

    def event(self, name, trigger, sets, *, at_start=False, alone=True):
        """An event; `at_start` says whether its trigger counts as true before time 0."""
        one = self.model.createEvent()
        one.setId(name)
        one.setUseValuesFromTriggerTime(alone)
        condition = one.createTrigger()
        condition.setMath(self.math(trigger))
        condition.setInitialValue(at_start)
        condition.setPersistent(True)
        for variable, formula in sets.items():
            assignment = one.createEventAssignment()
            assignment.setVariable(variable)
            assignment.setMath(self.math(formula))
        return one

    def write(self, folder, name="made.xml"):
        """Write the file."""
        path = folder / name
        assert libsbml.writeSBMLToFile(self.document, str(path))
        return path


def roadrun(path, names, times, *, relative=1e-10, absolute=1e-12):
    """Values of ids at positive ascending times, by libRoadRunner; shape (n_times,) each."""
    runner = roadrunner.RoadRunner(str(path))
    integrator = runner.getIntegrator()
    settings = {
        "relative_tolerance": relative, "absolute_tolerance": absolute, "maximum_num_steps": 200_000, "stiff": True,
    }  # fmt: skip
    for key, value in settings.items():
        integrator.setValue(key, value)
    runner.timeCourseSelections = list(names)
    found = runner.simulate(times=[0.0, *map(float, times)])
    return {name: np.array(found[1:, k]) for k, name in enumerate(names)}


def complaints(path):
    """What libSBML finds wrong, and what it cannot check, as (severity, number, message)."""
    document = libsbml.readSBMLFromFile(str(path))
    document.checkConsistency()
    errors = [document.getError(i) for i in range(document.getNumErrors())]
    return [(each.getSeverity(), each.getErrorId(), each.getMessage()) for each in errors]
