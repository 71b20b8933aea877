"""PEtab problems, version 1: an SBML model, conditions, observables, measurements and parameters.

Formulas, placeholders, transformations and distributions follow the specification of version 1 (schmiester_2021).
Numbers of the tables are in the units of the model, which PEtab does not know.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from mscpkpd.data.record import Record
from mscpkpd.data.study import Study, Subject
from mscpkpd.engine.solve import solve
from mscpkpd.engine.system import System, build_system
from mscpkpd.errors import DataError, MscError, SolveError, UnknownName, UsageError
from mscpkpd.exchange.petab_files import read_files
from mscpkpd.exchange.petab_model import Bound, bind_model
from mscpkpd.exchange.petab_rows import (
    PetabCondition,
    PetabMeasurement,
    PetabObservable,
    PetabParameter,
    Value,
    conditions,
    measurements,
    observables,
    parameters,
)
from mscpkpd.expressions import TIME
from mscpkpd.model import Model
from mscpkpd.units import to_unit

__all__ = ["PetabProblem", "load_petab"]

TOLERANCE = 1e-9
# when a steady state is looked for, in time units of the model, and how little may change from one time to the next
LONG = tuple(10.0**k for k in range(1, 10))
STEADY = 1e-7


@dataclass(frozen=True)
class PetabProblem:
    """A model, conditions, measurements and parameters.

    Attributes
    ----------
    name : str
        Name of the YAML file.
    model : Model
        The SBML model with nominal values, its doses, and an output for each observable.
    conditions : tuple of PetabCondition
        What each condition sets.
    observables : tuple of PetabObservable
        Formulas and noise.
    measurements : tuple of PetabMeasurement
        In the order of the tables.
    parameters : tuple of PetabParameter
        Scales, bounds, nominal values and what is estimated.
    """

    name: str
    model: Model
    conditions: tuple[PetabCondition, ...]
    observables: tuple[PetabObservable, ...]
    measurements: tuple[PetabMeasurement, ...]
    parameters: tuple[PetabParameter, ...]
    _bound: Bound = field(repr=False, compare=False)

    @property
    def nominal(self) -> dict[str, float]:
        """Nominal value of each parameter, on its natural scale, in the unit of the model."""
        return {parameter.name: parameter.nominal for parameter in self.parameters}

    @property
    def estimated(self) -> tuple[str, ...]:
        """Parameters to estimate."""
        return tuple(parameter.name for parameter in self.parameters if parameter.estimated)

    def log_likelihood(self, parameters: Mapping[str, float] | None = None, *, scaled: bool = False) -> float:
        """Return the log-likelihood of all measurements.

        Parameters
        ----------
        parameters : mapping of str to float, optional
            Values that replace nominal ones, in the unit of the model.
        scaled : bool
            Whether they are on the scale of each parameter ("log10" and so on) rather than natural.

        Returns
        -------
        float
            Natural logarithm of the density of the measurements in their units [1].

        Raises
        ------
        UnknownName
            For a parameter that the problem does not have.
        SolveError
            If the equations could not be solved, or a steady state was not reached.
        """
        predicted, spread = self._predictions(parameters, scaled=scaled)
        measured = np.array([row.value for row in self.measurements])
        names = np.array([row.observable for row in self.measurements])
        total = 0.0
        for observable in self.observables:
            mine = names == observable.name
            total += float(np.sum(observable.log_density(measured[mine], predicted[mine], spread[mine])))
        return total

    def simulate(self, parameters: Mapping[str, float] | None = None, *, scaled: bool = False) -> np.ndarray:
        """Return the prediction of each measurement.

        Parameters
        ----------
        parameters, scaled
            As for `log_likelihood`.

        Returns
        -------
        array of shape (n_measurements,)
            In the unit of each observable.

        Raises
        ------
        UnknownName
            For a parameter that the problem does not have.
        SolveError
            If the equations could not be solved, or a steady state was not reached.
        """
        return self._predictions(parameters, scaled=scaled)[0]

    @property
    def study(self) -> Study:
        """The measurements as a study, one subject for each condition, where a study can say all of it.

        Raises
        ------
        UsageError
            Where conditions set anything, or measurements come with parameters of their own or after a steady state.
        """
        for row in self.measurements:
            if row.observable_parameters or row.noise_parameters or row.before or math.isinf(row.time):
                what = "a measurement has parameters of its own, or follows a steady state"
                raise UsageError(what, where=row.where, hint="problem.log_likelihood(...)")
        for condition in self.conditions:
            if condition.sets:
                names = ", ".join(name for name, _ in condition.sets)
                what = f"condition {condition.name} sets {names}, and a study has one model for all subjects"
                raise UsageError(what, where=self.name, hint="problem.log_likelihood(...)")
        hours = to_unit(f"1 {self.model.time}", "h")
        records = tuple(
            Record(
                k, row.condition, row.time * hours, "h", self._bound.outputs[self._position[row.observable]], "value",
                row.value, None, None, None, None, "1", where=row.where,
            )
            for k, row in enumerate(self.measurements, 2)
        )  # fmt: skip
        subjects = tuple(
            Subject(name, self.model.doses) for name in dict.fromkeys(row.condition for row in self.measurements)
        )
        return Study(self.name, subjects, records, self.name)

    # ---- solving ---------------------------------------------------------------------------------------------------

    @cached_property
    def _system(self) -> System:
        wanted = (*self._bound.outputs, *self._bound.spreads)
        return build_system(self._bound.free, wanted, self.model.doses.routes)

    @cached_property
    def _starts(self) -> System:
        """The start values that the model itself has."""
        return build_system(self.model, self._system.states, self.model.doses.routes)

    def _values(self, given: Mapping[str, float] | None, *, scaled: bool) -> dict[str, float]:
        """Parameters of the problem on the natural scale."""
        values = self.nominal
        scales = {parameter.name: parameter.scale for parameter in self.parameters}
        back: dict[str, Callable[[float], float]] = {"lin": float, "log": math.exp, "log10": _ten_to_the}
        for name, value in (given or {}).items():
            if name not in values:
                raise UnknownName.among("parameter", name, list(values), where=self.name)
            values[name] = back[scales[name]](value) if scaled else float(value)
        return values

    def _predictions(self, given: Mapping[str, float] | None, *, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
        values = self._values(given, scaled=scaled)
        predicted, spread = np.empty(len(self.measurements)), np.empty(len(self.measurements))
        for (before, condition), mine in self._experiments().items():
            rows = [self.measurements[k] for k in mine]
            both = self._experiment(before, condition, rows, values)
            predicted[mine], spread[mine] = both
        return predicted, spread

    def _experiments(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for k, row in enumerate(self.measurements):
            found.setdefault((row.before, row.condition), []).append(k)
        return found

    def _experiment(
        self, before: str, condition: str, rows: list[PetabMeasurement], values: Mapping[str, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and spreads of the rows of one condition."""
        start = None
        if before:
            start = self._steady(*self._setting(before, values, None))
        setting, state = self._setting(condition, values, start)
        times = np.array([row.time for row in rows])
        finite = np.isfinite(times)
        states = np.empty((len(self._system.states), len(rows)))
        if np.any(finite):
            states[:, finite] = self._solved(setting, state, times[finite])
        if not np.all(finite):
            states[:, ~finite] = self._steady(setting, state)[:, None]
        columns = [self._column(name, setting, rows, values) for name in self._system.parameters]
        shown = np.where(finite, times, LONG[-1])
        seen = self._system.observed_function.value(*states, *columns, shown, shape=times.shape)
        which = [self._position[row.observable] for row in rows]
        count, each = len(self.observables), np.arange(len(rows))
        return seen[which, each], seen[np.array(which) + count, each]

    @cached_property
    def _position(self) -> dict[str, int]:
        return {observable.name: k for k, observable in enumerate(self.observables)}

    def _setting(
        self, condition: str, values: Mapping[str, float], start: np.ndarray | None
    ) -> tuple[dict[str, float], np.ndarray]:
        """Values of the model under a condition, and where its states start."""
        names = self._bound.names
        setting = {**self._bound.free.values, **{names[name]: value for name, value in values.items()}}
        sets = dict(next(each for each in self.conditions if each.name == condition).sets)
        taken = {names[name]: value if isinstance(value, float) else values[value] for name, value in sets.items()}
        setting |= {name: value for name, value in taken.items() if name in setting}
        if start is None:
            numbers = [setting[name] for name in self._starts.parameters]
            start = self._starts.start_function.value(*numbers)
        state = np.array([taken.get(name, s) for name, s in zip(self._system.states, start, strict=True)])
        return setting, state

    def _column(
        self, name: str, setting: Mapping[str, float], rows: list[PetabMeasurement], values: Mapping[str, float]
    ) -> np.ndarray:
        """A parameter of the system for each row: places in formulas differ from row to row."""
        column = np.full(len(rows), setting[name])
        for k, row in enumerate(rows):
            own = self._row_values(row)
            if name in own:
                value = own[name]
                column[k] = value if isinstance(value, float) else values[value]
        return column

    def _row_values(self, row: PetabMeasurement) -> dict[str, Value]:
        names = self._bound.names
        places = [("observableParameter", row.observable_parameters), ("noiseParameter", row.noise_parameters)]
        return {
            names[f"{word}{k}_{row.observable}"]: value
            for word, numbers in places
            for k, value in enumerate(numbers, 1)
        }

    def _solved(self, setting: Mapping[str, float], state: np.ndarray, times: np.ndarray) -> np.ndarray:
        starts = {self._bound.starts[name]: value for name, value in zip(self._system.states, state, strict=True)}
        numbers = np.array([{**setting, **starts}[name] for name in self._system.parameters])
        hours = to_unit(f"1 {self.model.time}", "h")
        path = solve(self._system, self.model.doses, times, numbers, hours=hours, tolerance=TOLERANCE)
        if not path.ok:
            raise SolveError(f"a condition could not be solved: {path.failure}", where=self.name)
        return path.states

    def _steady(self, setting: Mapping[str, float], state: np.ndarray) -> np.ndarray:
        """Where the states settle."""
        states = self._solved(setting, state, np.array(LONG))
        for one, other in zip(states.T, states.T[1:], strict=False):
            if np.all(np.abs(other - one) <= STEADY * (np.abs(other) + TOLERANCE * np.max(np.abs(states)))):
                return np.asarray(other)
        raise SolveError(f"no steady state within {LONG[-1]:g} {self.model.time}", where=self.name)


def _ten_to_the(exponent: float) -> float:
    return float(10.0**exponent)


def load_petab(path: str | os.PathLike[str]) -> PetabProblem:
    """Read a PEtab problem of version 1.

    Parameters
    ----------
    path : str or path
        The YAML file of the problem.

    Returns
    -------
    PetabProblem
        Model, conditions, observables, measurements and parameters; its `log_likelihood` can be asked for.

    Raises
    ------
    DataError
        If a table is wrong, or the problem uses what is not supported, by name: version 2, several models, mappings,
        steady states of a model with doses or a clock.
    ModelError
        If the SBML file cannot be read.
    UnknownName
        For a column, condition, observable or parameter that nothing defines.

    Notes
    -----
    PEtab version 1 (schmiester_2021).
    """
    files = read_files(Path(path))
    tables = (
        parameters(files.parameters),
        conditions(files.conditions),
        observables(files.observables),
        measurements(files.measurements),
    )
    bound = bind_model(files, *tables)
    known, sets, seen, rows = tables
    problem = PetabProblem(files.path.stem, bound.model, sets, seen, rows, known, bound)
    findings = list(_findings(problem))
    if findings:
        raise DataError.of(findings, where=str(files.path))
    return problem


def _findings(problem: PetabProblem) -> Iterator[MscError]:
    """Ids that nothing defines, and steady states that there cannot be."""
    known = list(problem.nominal)
    for condition in problem.conditions:
        for name, value in condition.sets:
            if isinstance(value, str) and value not in known:
                yield UnknownName.among("parameter", value, known, where=f"condition {condition.name}, {name}")
    moving = len(problem.model.doses) > 0 or any(TIME in rate.names for _, rate in problem.model.rates)
    for row in problem.measurements:
        yield from _row_findings(problem, row, known)
        if moving and (row.before or math.isinf(row.time)):
            what = "a steady state of a model with events, or with a time in its rates, is not supported"
            yield DataError(what, where=row.where, hint="a model without them before the first measurement")


def _row_findings(problem: PetabProblem, row: PetabMeasurement, known: list[str]) -> Iterator[MscError]:
    conditions = [condition.name for condition in problem.conditions]
    observables = [observable.name for observable in problem.observables]
    for name in filter(None, (row.condition, row.before)):
        if name not in conditions:
            yield UnknownName.among("condition", name, conditions, where=row.where)
    if row.observable not in observables:
        yield UnknownName.among("observable", row.observable, observables, where=row.where)
    for value in (*row.observable_parameters, *row.noise_parameters):
        if isinstance(value, str) and value not in known:
            yield UnknownName.among("parameter", value, known, where=row.where)
