"""libRoadRunner: SBML compiled to machine code, solved by CVODE; the model is compiled once, subjects are a loop.

States and doses are set between segments, which is quicker than SBML events that CVODE has to find.
"""

from __future__ import annotations

from collections.abc import Callable

import libsbml
import numpy as np
import roadrunner
import sympy
from _posed import TINY, Posed
from sympy.printing.c import C99CodePrinter

NAME = "libRoadRunner"
SBML = (3, 2)


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times)."""
    runner = _runner(posed, tolerance)
    model, simulate = runner.model, runner.simulate
    plan = [(mine, *np.unique([begin, *posed.times[mine], end], return_inverse=True))
            for mine, begin, end in zip(posed.inside, posed.edges, posed.edges[1:], strict=False)]  # fmt: skip
    infused = bool(np.any(posed.inflow))

    def solve(values: np.ndarray) -> np.ndarray:
        entering = np.moveaxis(posed.entering(values.T), 2, 0)
        states = np.empty((len(posed.states), len(values), len(posed.times)))
        for i, (numbers, (start, *into)) in enumerate(zip(values, entering, strict=True)):
            state = start
            for k, (mine, at, back) in enumerate(plan):
                model.setFloatingSpeciesAmounts(state + posed.bolus[k] @ into)
                model.setGlobalParameterValues(np.append(numbers, posed.inflow[k] @ into) if infused else numbers)
                path = simulate(times=at)
                states[:, i, mine], state = path[back[1:-1]].T, path[-1]
        everyone = np.broadcast_to(values.T[..., None], (len(values.T), *states.shape[1:]))
        return np.moveaxis(posed.outputs(states, everyone), 0, 1)

    return solve


def _runner(posed: Posed, tolerance: float) -> roadrunner.RoadRunner:
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    runner = roadrunner.RoadRunner(sbml_of(posed))
    runner.selections = list(map(str, posed.states))
    runner.integrator.relative_tolerance = tolerance
    runner.integrator.absolute_tolerance = tolerance
    runner.integrator.maximum_num_steps = 100_000
    return runner


def sbml_of(posed: Posed) -> str:
    """A species for each state, made by one reaction at its rate of change; inflow is a parameter of its own."""
    document = libsbml.SBMLDocument(*SBML)
    model = document.createModel()
    space = model.createCompartment()
    space.setId("everywhere")
    space.setSize(1.0)
    space.setConstant(True)
    for symbol, value in zip(posed.parameters, posed.nominal, strict=True):
        _parameter(model, str(symbol), value)
    for symbol, rate in zip(posed.states, posed.rhs, strict=True):
        formula = _Printer().doprint(rate)
        if np.any(posed.inflow):
            _parameter(model, f"inflow_{symbol}", 0.0)
            formula = f"{formula} + inflow_{symbol}"
        _state(model, str(symbol), formula)
    return str(libsbml.writeSBMLToString(document))


def _parameter(model: libsbml.Model, name: str, value: float) -> None:
    parameter = model.createParameter()
    parameter.setId(name)
    parameter.setValue(value)
    parameter.setConstant(False)


def _state(model: libsbml.Model, name: str, formula: str) -> None:
    species = model.createSpecies()
    species.setId(name)
    species.setCompartment("everywhere")
    species.setInitialAmount(0.0)
    species.setHasOnlySubstanceUnits(True)
    species.setBoundaryCondition(False)
    species.setConstant(False)
    reaction = model.createReaction()
    reaction.setId(f"change_of_{name}")
    reaction.setReversible(False)
    product = reaction.createProduct()
    product.setSpecies(name)
    product.setStoichiometry(1.0)
    product.setConstant(True)
    math = libsbml.parseL3Formula(formula)
    if math is None:
        raise ValueError(f"not a formula of SBML: {formula}")
    reaction.createKineticLaw().setMath(math)


class _Printer(C99CodePrinter):
    """Formulas of SBML level 3."""

    def _print_Hill(self, call: sympy.Function) -> str:
        x, half, exponent = map(self.doprint, call.args)
        ratio = f"pow(max({x}, {TINY}) / ({half}), {exponent})"
        return f"({ratio} / (1 + {ratio}))"
