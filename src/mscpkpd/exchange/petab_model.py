"""The model behind a PEtab problem: observables become outputs, and every start value becomes a parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mscpkpd.errors import DataError, UnknownName
from mscpkpd.exchange.petab_files import PetabFiles
from mscpkpd.exchange.petab_rows import (
    PetabCondition,
    PetabMeasurement,
    PetabObservable,
    PetabParameter,
    formula,
)
from mscpkpd.expressions import TIME, Expression, parse
from mscpkpd.model import Derived, Model, Output, check
from mscpkpd.noise import Noise
from mscpkpd.parameters import Parameter
from mscpkpd.sbml.names import own_name
from mscpkpd.sbml.reading import read_named, without_units

__all__ = ["Bound", "bind_model"]


@dataclass(frozen=True)
class Bound:
    """A model with the observables of a problem.

    Attributes
    ----------
    model : Model
        As the file has it, with an output for each observable.
    free : Model
        The same with start values and places in formulas as parameters, and outputs for spreads.
    names : dict of str to str
        Name in the model of each id of the problem.
    outputs, spreads : tuple of str
        Output of `free` for each observable, and for its spread.
    starts : dict of str to str
        Parameter of `free` that holds the start of each state.
    """

    model: Model
    free: Model
    names: dict[str, str]
    outputs: tuple[str, ...]
    spreads: tuple[str, ...]
    starts: dict[str, str]


def bind_model(
    files: PetabFiles,
    parameters: tuple[PetabParameter, ...],
    conditions: tuple[PetabCondition, ...],
    observables: tuple[PetabObservable, ...],
    measurements: tuple[PetabMeasurement, ...],
) -> Bound:
    """Read the model of a problem and add what its tables need.

    Parameters
    ----------
    files : PetabFiles
        Files of the problem.
    parameters, conditions, observables, measurements
        Its tables.

    Raises
    ------
    DataError
        If a formula uses a name that nothing defines, or a condition sets what follows from other quantities.
    ModelError
        If the SBML file cannot be read.
    """
    set_by_conditions = {name for condition in conditions for name, _ in condition.sets}
    given = {parameter.name for parameter in parameters} | set_by_conditions
    read, names = read_named(files.model, given)
    # outputs of the file become derived quantities, so that formulas of observables may use them
    own = [Derived(o.name, o.unit, o.expression, o.about) for o in read.outputs if o.name not in read.state_names]
    read = replace(read, outputs=(), derived=(*read.derived, *own))
    read = _released(read, {names[name] for name in given if name in names}, str(files.path))
    taken = {*names.values()}
    extra: dict[str, float] = {parameter.name: parameter.nominal for parameter in parameters}
    extra |= dict.fromkeys(set_by_conditions - extra.keys(), 0.0)
    extra |= dict.fromkeys(_places(measurements), 1.0)
    added = []
    for name, value in extra.items():
        if name not in names:
            names[name] = own_name(name, taken)
            taken.add(names[name])
            added.append(Parameter(names[name], value, "1", source=files.path.name, evidence="read"))
    model = replace(read, parameters=(*read.parameters, *added))
    nominal = {names[p.name]: p.nominal for p in parameters if names[p.name] in model.parameter_names}
    return _with_observables(model.replace_values(nominal), names, taken, observables)


def _places(measurements: tuple[PetabMeasurement, ...]) -> list[str]:
    """Names that stand for the parameters of single measurements."""
    found: dict[str, None] = {}
    for row in measurements:
        for k in range(len(row.observable_parameters)):
            found[f"observableParameter{k + 1}_{row.observable}"] = None
        for k in range(len(row.noise_parameters)):
            found[f"noiseParameter{k + 1}_{row.observable}"] = None
    return list(found)


def _released(model: Model, given: set[str], where: str) -> Model:
    """Make parameters of what initial assignments give and the problem sets instead."""
    constants = set(model.parameter_names)
    for row in model.derived_in_order:
        if row.expression.names <= constants:
            constants.add(row.name)
    released = [row for row in model.derived if row.name in given]
    for row in released:
        if row.name not in constants:
            problem = f"'{row.name}' is set by the problem, and follows from {row.expression} in the model"
            raise DataError(problem, where=where, expected="a parameter, species or compartment")
    kept = tuple(row for row in model.derived if row.name not in given)
    more = tuple(Parameter(row.name, 0.0, row.unit, about=row.about, evidence="read") for row in released)
    return replace(model, derived=kept, parameters=(*model.parameters, *more))


def _with_observables(
    model: Model, names: dict[str, str], taken: set[str], observables: tuple[PetabObservable, ...]
) -> Bound:
    outputs, spreads = [], []
    for row in observables:
        output = own_name(row.name, taken)
        spread = own_name(f"spread_{row.name}", taken | {output})
        taken |= {output, spread}
        seen = formula(row.formula, names, row.where)
        noise = formula(row.noise, {**names, row.name: f"({seen})"}, row.where)
        for each in (seen, noise):
            _refuse_unknown(each.names, model, row.where)
        outputs.append(Output(output, seen, "1", _noise(row, noise, model), f"Observable {row.name}"))
        spreads.append(Output(spread, noise, "1", about=f"Spread of {row.name}"))
    complete = without_units(replace(model, outputs=tuple(outputs), notices=("PEtab has no units; none are checked",)))
    check(complete)
    starts = {}
    for state in complete.states:
        starts[state.name] = own_name(f"start_{state.name}", taken)
        taken.add(starts[state.name])
    states = tuple(replace(state, start=parse(starts[state.name])) for state in complete.states)
    more = tuple(Parameter(name, 0.0, "1") for name in starts.values())
    free = replace(
        complete, states=states, parameters=(*complete.parameters, *more), outputs=(*complete.outputs, *spreads)
    )
    names_of = (tuple(row.name for row in outputs), tuple(row.name for row in spreads))
    return Bound(complete, free, names, *names_of, starts)


def _noise(row: PetabObservable, spread: Expression, model: Model) -> Noise | None:
    """The noise model of this package that says the same, where there is one: one number or parameter as SD."""
    kind = {"lin": "additive", "log": "lognormal"}.get(row.transformation)
    if kind is None or row.distribution != "normal":
        return None
    if spread.number is not None:
        return Noise(kind, (spread.number,)) if spread.number > 0 else None
    return Noise(kind, (spread.text,)) if spread.text in model.parameter_names else None


def _refuse_unknown(used: frozenset[str], model: Model, where: str) -> None:
    known = {*model.parameter_names, *model.state_names, *(row.name for row in model.derived), TIME}
    for name in sorted(used - known):
        raise UnknownName.among("name", name, known, where=where)
