"""A problem: a model, a study, and the parameters to learn; it predicts, with derivatives, and nothing else.

The free parameters are those that the observed outputs depend on and that have a prior of their own. A parameter
whose prior was read from a study that is being fitted takes its wide prior instead, so that no row counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mscpkpd.blq import treated
from mscpkpd.data import Study
from mscpkpd.data.quantities import DIMENSIONLESS
from mscpkpd.engine.course import driven_together
from mscpkpd.engine.plan import plan_of
from mscpkpd.engine.solve import solve
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System, build_system
from mscpkpd.errors import DataError, SolveError, UnknownName, UsageError
from mscpkpd.model import Model
from mscpkpd.noise import Noise
from mscpkpd.observations import Group, Rows, bind
from mscpkpd.observed_points import observed_by
from mscpkpd.parameters import Prior
from mscpkpd.units import to_unit

if TYPE_CHECKING:
    from mscpkpd.engine.predictions import Predictions

__all__ = [
    "FIT_TOLERANCE",
    "FreeParameter",
    "Prediction",
    "Problem",
    "pose",
    "refuse_broken_series",
    "refuse_impossible_rows",
    "refuse_unclear_columns",
]

FIT_TOLERANCE = 1e-8  # relative, of the solver; looser values bias variance estimates (G10)

TRIED = 500  # draws of the priors for which a compiled density is to be fine enough
OF_DESIGN = ("system", "_positions", "sampled_by", "exactly", "hours")  # what does not depend on values of rows
NOTHING = 1e-30  # a prediction below this is one of nothing at all
ENDLESS = 1e15  # and a ratio above this one to nothing


@dataclass(frozen=True)
class FreeParameter:
    """A parameter to learn.

    Attributes
    ----------
    name : str
    prior : Prior
        The prior in force for this study.
    start : float
        Where a search begins, in the parameter's unit.
    widened_for : tuple of str
        Studies whose rows informed the usual prior, which is therefore replaced.
    """

    name: str
    prior: Prior
    start: float
    widened_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """Predicted values of all rows.

    Attributes
    ----------
    value : array of shape (n_rows,)
        In the units of the outputs; NaN where a solve failed.
    jacobian : array of shape (n_rows, n_free)
        By the free parameters on their natural scale; shape (n_rows, 0) where it was not asked for.
    failure : str
        Why a solve failed; empty where all is well.
    """

    value: np.ndarray
    jacobian: np.ndarray
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Problem:
    """A model bound to a study.

    Attributes
    ----------
    model : Model
    study : Study
    rows : Rows
        Observations in the model's units.
    groups : tuple of Group
        Subjects dosed alike.
    free : tuple of FreeParameter
    fixed : tuple of str
        Parameters that the observed outputs depend on and that are held at the value of the model.
    uninformed : tuple of str
        Parameters with a prior that no observed output depends on: the data cannot say anything about them.
    tolerance : float
        Of the engine, relative.
    engine : str
        What samples: "stiff", or "auto" for the exact engine where it can.
    """

    model: Model
    study: Study
    rows: Rows
    groups: tuple[Group, ...]
    free: tuple[FreeParameter, ...]
    fixed: tuple[str, ...]
    uninformed: tuple[str, ...]
    tolerance: float = FIT_TOLERANCE
    engine: str = "auto"

    def __getstate__(self) -> dict[str, object]:
        """Compiled functions do not travel between processes; they are made again where they are needed."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def rebound(self, rows: Rows) -> Problem:
        """The same problem with other observations of the same design.

        Parameters
        ----------
        rows : Rows
            In place of those of the study: same outputs and times, row by row; values, limits and kinds may differ.

        Returns
        -------
        Problem
            What depends on the design alone is shared with this one, compiled functions included.

        Raises
        ------
        DataError
            If the design is another.
        """
        same = ("output", "group", "time")
        if any(not np.array_equal(getattr(rows, each), getattr(self.rows, each)) for each in same):
            raise DataError(f"these rows are of another design than '{self.study.name}'")
        found = replace(self, rows=rows)
        found.__dict__.update({name: self.__dict__[name] for name in OF_DESIGN if name in self.__dict__})
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        return tuple(parameter.name for parameter in self.free)

    @property
    def start(self) -> np.ndarray:
        """Start values of the free parameters, natural scale, shape (n_free,)."""
        return np.array([parameter.start for parameter in self.free])

    @cached_property
    def system(self) -> System:
        """The equations that the observed outputs need."""
        routes = {dose.route for group in self.groups for dose in group.regimen.doses}
        return build_system(self.model, self.rows.outputs, tuple(sorted(routes)))

    @cached_property
    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the free parameters of the system stand in it, and among the free ones."""
        kept = self.system.parameters
        pairs = [(kept.index(name), k) for k, name in enumerate(self.names) if name in kept]
        array = np.array(pairs, dtype=int).reshape(-1, 2)
        return array[:, 0], array[:, 1]

    def values(self, theta: np.ndarray) -> dict[str, float]:
        """All parameter values of the model with the free ones replaced by `theta`, natural scale."""
        return {**self.model.values, **dict(zip(self.names, map(float, theta), strict=True))}

    def _numbers(self, theta: np.ndarray) -> np.ndarray:
        """Values of the parameters of the system, in its order."""
        values = self.values(theta)
        return np.array([values[name] for name in self.system.parameters])

    def predict(self, theta: np.ndarray, *, jacobian: bool = False) -> Prediction:
        """Predict every row.

        Parameters
        ----------
        theta : array of shape (n_free,)
            Free parameters on their natural scale.
        jacobian : bool
            Whether derivatives are wanted.

        Returns
        -------
        Prediction
        """
        numbers = self._numbers(theta)
        places, columns = self._positions
        points = self.rows.points
        value = np.full(len(points), np.nan)
        slope = np.zeros((len(points), len(self.free) if jacobian else 0))
        failure = ""
        for k, group in enumerate(self.groups):
            mine = np.flatnonzero(points.group == k)
            if len(mine) == 0:
                continue
            value[mine], part, reason = self.predict_group(group, mine, numbers, places if jacobian else None)
            failure = failure or reason
            if part is not None:
                slope[np.ix_(mine, columns)] = part
        return Prediction(points.rows(value), points.chained(value, slope), failure)

    @cached_property
    def sampled_by(self) -> str:
        """The engine that a sampler uses: "exact" where it can, unless `engine` is "stiff"."""
        if self.engine == "stiff" or not self.system.states or not solving_order(self.system).exact:
            return "stiff"
        moments = np.array([1.0])
        system, drives = driven_together(self.system, [group.course for group in self.groups], self.hours)
        if not solving_order(system).exact:  # a covariate that follows a straight line moves coefficients (K4)
            return "stiff"
        pairs = zip(self.groups, drives, strict=True)
        plans = (plan_of(system, group.regimen, moments, self.hours, driven) for group, driven in pairs)
        return "stiff" if any(plan is None for plan in plans) else "exact"

    @cached_property
    def exactly(self) -> Predictions | None:
        """All points by the exact engine; None where it does not solve them."""
        if self.sampled_by == "stiff":
            return None
        from mscpkpd.engine.predictions import predictions_of  # JAX is slow to load

        points, groups = self.rows.points, [(group.regimen, group.weight) for group in self.groups]
        return predictions_of(
            self.system, groups, subject=points.group, output=points.output, time=points.time, hours=self.hours,
            tolerance=self.tolerance, courses=[group.course for group in self.groups], own=points.covariates,
        )  # fmt: skip

    def linearized(self, theta: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Predict every row by the exact engine, and keep what a backward pass needs.

        Parameters
        ----------
        theta : array of shape (n_free,)
            Free parameters on their natural scale.

        Returns
        -------
        rows : array of shape (n_rows,)
            NaN where a solve failed.
        back : callable
            From weights of the rows, shape (n_rows,), to the derivatives of their weighted sum, shape (n_free,).

        Raises
        ------
        UsageError
            If the exact engine cannot solve this problem.
        """
        if self.exactly is None:
            raise UsageError("the exact engine cannot solve this problem", hint="problem.predict(theta, jacobian=True)")
        numbers = self._numbers(theta)
        places, columns = self._positions
        nothing = np.full(len(self.free), np.nan)
        try:
            predicted, back = self.exactly.linearized(np.repeat(numbers[:, None], len(self.groups), axis=1))
        except SolveError:
            return np.full(len(self.rows), np.nan), lambda _: nothing

        def back_through(weights: np.ndarray) -> np.ndarray:
            gradient = np.zeros(len(self.free))
            gradient[columns] = back(self.rows.points.pulled(predicted, weights)).sum(axis=1)[places]
            return gradient

        return self.rows.points.rows(predicted), back_through

    def traced(self) -> Callable[[Any], Any]:
        """Predict all rows as a function of `theta` that JAX can trace and differentiate, by the exact engine.

        Returns
        -------
        callable
            From free parameters on their natural scale, shape (n_free,), to rows, shape (n_rows,); NaN where the
            steps, which are chosen for draws of the priors, are not fine enough.

        Raises
        ------
        UsageError
            If the exact engine cannot solve this problem.
        """
        if self.exactly is None:
            raise UsageError("the exact engine cannot solve this problem", hint="engine='stiff'")
        numbers = self._numbers(self.start)
        places, columns = self._positions
        free = np.zeros((len(numbers), len(self.free)))
        free[places, columns] = 1.0
        held = np.where(free.any(axis=1), 0.0, numbers)[:, None]
        alike = np.ones((1, len(self.groups)))
        rng = np.random.default_rng(0)
        draws = np.stack([parameter.prior.sample(rng, TRIED) for parameter in self.free])
        predicted = self.exactly.traced(held + free @ draws)
        points, operations = self.rows.points, self.exactly.operations
        return lambda theta: points.rows(predicted((held + free @ theta[:, None]) * alike), operations)

    def predict_group(
        self, group: Group, mine: np.ndarray, numbers: np.ndarray, places: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None, str]:
        """Predict points of one group with values of its own.

        Parameters
        ----------
        group : Group
        mine : array of int, shape (n_mine,)
            Points.
        numbers : array of shape (n_parameters,)
            Values of the parameters of the system, in its order and their units.
        places : array of int, shape (n_places,), or None
            Parameters to differentiate by.

        Returns
        -------
        value : array of shape (n_mine,)
            In the units of the outputs; NaN where the solve failed.
        slope : array of shape (n_mine, n_places), or None
            In the units of the outputs by those of the parameters.
        failure : str
            Why the solve failed; empty where all is well.
        """
        points = self.rows.points
        times = points.time[mine]
        free = () if places is None else tuple(int(i) for i in places)
        path = solve(
            self.system, group.regimen, times, numbers, free=free, weight=group.weight, hours=self.hours,
            tolerance=self.tolerance, course=group.course,
        )  # fmt: skip
        output, each = points.output[mine], np.arange(len(mine))
        own = [points.covariates[name][mine] if name in points.covariates else value
               for name, value in zip(self.system.parameters, numbers, strict=True)]  # fmt: skip
        columns, shape = [*path.states, *own, times], times.shape
        value = self.system.observed_function.value(*columns, shape=shape)[output, each]
        if places is None:
            return value, None, path.failure
        full = self.system.observed_function.jacobian(*columns, shape=shape)[output, :, each]
        n = len(self.system.states)
        slope = full[:, n:-1][:, places]
        if path.sensitivities is not None:
            slope = slope + np.einsum("rn,nrf->rf", full[:, :n], path.sensitivities)
        return value, slope, path.failure

    @cached_property
    def hours(self) -> float:
        """Length of the model's time unit in hours."""
        return to_unit(f"1 {self.model.time}", "h")


def pose(
    model: Model, study: Study, free: Collection[str] | None = None, fix: Mapping[str, float] | None = None
) -> Problem:
    """Bind a model to a study and decide what there is to learn.

    Parameters
    ----------
    model : Model
        With values for every parameter.
    study : Study
        Observations and doses.
    free : collection of str, optional
        Parameters to learn; by default all with a prior that the observed outputs depend on.
    fix : mapping of str to float, optional
        Parameters to hold at these values, in the units of the model.

    Returns
    -------
    Problem

    Raises
    ------
    UnknownName
        For a parameter that the model does not have.
    UsageError
        If a parameter is both free and fixed, or nothing is left to learn.
    DataError
        If the study does not fit the model.
    """
    model = model.fix(**fix) if fix else model
    for name in free or ():
        if name not in model.parameter_names:
            raise UnknownName.among("parameter", name, model.parameter_names)
    both = sorted(set(free or ()) & set(fix or ()))
    if both:
        raise UsageError(f"{', '.join(both)} cannot be both free and fixed")
    model = observed_by(model, study)
    rows, groups = bind(model, study)
    rows = treated(model, rows)
    routes = tuple(sorted({dose.route for group in groups for dose in group.regimen.doses}))
    involved = {*build_system(model, rows.outputs, routes).parameters, *_noise_names(model, rows)}
    with_prior = set(model.free_names) - rows.covariates.keys() if free is None else set(free)
    _refuse_columns(model, rows, with_prior, fix or {})
    informed = tuple(name for name in model.parameter_names if name in with_prior & involved)
    if not informed:
        raise UsageError(
            "no free parameter affects the observed outputs", hint=f"free one of: {', '.join(sorted(involved))}"
        )
    learned = tuple(_free(model, name, study) for name in informed)
    return Problem(
        model,
        study,
        rows,
        groups,
        learned,
        tuple(name for name in model.parameter_names if name in involved - set(informed) - rows.covariates.keys()),
        tuple(name for name in model.free_names if name not in involved),
    )


def refuse_unclear_columns(problem: Problem, free: Collection[str] | None) -> None:
    """Refuse a column of the study that states a parameter with a prior, where nobody said what is to be learned.

    Parameters
    ----------
    problem : Problem
    free : collection of str, optional
        What was asked for.

    Raises
    ------
    DataError
        With the column.
    """
    if free is None:
        _refuse_columns(problem.model, problem.rows, problem.model.free_names, {})


def _refuse_columns(model: Model, rows: Rows, learned: Collection[str], fixed: Mapping[str, float]) -> None:
    """Refuse a column of the study that states what is to be learned, or what is held at another value."""
    for name, values in rows.covariates.items():
        if name in learned:
            problem = f"column '{name}' of the study is a parameter of '{model.name}' that is to be learned"
            hint = f"free=... without '{name}' to take it from the column, or another name for the column"
            raise DataError(problem, expected="one of the two", hint=hint)
        if name in fixed and np.any(values != fixed[name]):
            raise UsageError(f"'{name}' is a column of the study", where="fix", expected="one of the two")


def _free(model: Model, name: str, study: Study) -> FreeParameter:
    parameter = model.parameter(name)
    shared = tuple(key for key in parameter.prior_source if key in study.studies)
    prior = parameter.prior
    if not prior.is_free:
        hint = f"model.with_prior('{name}', 'lognormal(1, 0.5)')"
        raise UsageError(f"parameter '{name}' has no prior to learn from ({prior})", hint=hint)
    if shared and parameter.prior_without is not None:
        prior = parameter.prior_without
    start = parameter.value if parameter.value != 0 else prior.median  # 0 means off by default
    return FreeParameter(name, prior, float(start), shared)


def _noise_names(model: Model, rows: Rows) -> set[str]:
    """Noise parameters of the outputs that have a row whose spread is not given by the data."""
    needed: set[str] = set()
    for k, name in enumerate(rows.outputs):
        noise, detection, mine = model.output(name).noise, model.output(name).detection, rows.output == k
        used = ~rows.has_own_sd & ~rows.without_noise & (rows.kind != "dropped")
        if noise is not None and np.any(mine & used):
            needed |= set(noise.parameters)
        if detection is not None and np.any(mine & (rows.kind == "positive")):
            needed |= set(detection.parameters)
    return needed


def refuse_impossible_rows(problem: Problem) -> None:
    """Refuse rows that have no chance where the model predicts nothing at all: controls, and ratios to nothing.

    Parameters
    ----------
    problem : Problem
        Bound model and study; predicted at its start values.

    Raises
    ------
    DataError
        With every such row (R13): no spread around a prediction of 0, a value under lognormal noise, or a ratio or fold
        change whose lower part is predicted to be 0 (Q3).
    """
    f, values, rows = problem.predict(problem.start).value, problem.values(problem.start), problem.rows
    findings: list[DataError] = []
    for k, name in enumerate(rows.outputs):
        noise = problem.model.output(name).noise
        used = ~rows.has_own_sd & ~rows.without_noise & (rows.kind != "dropped")
        mine = np.flatnonzero((rows.output == k) & used & (np.abs(f) <= NOTHING))
        if noise is None or len(mine) == 0:
            continue
        findings += [_impossible(problem, name, i) for i in mine.tolist() if _has_no_chance(noise, rows, i, values)]
    ratio = np.isin([problem.model.output(name).quantity for name in rows.outputs], DIMENSIONLESS)[rows.output]
    findings += [_of_nothing(problem, i) for i in np.flatnonzero(ratio & (f > ENDLESS)).tolist()]
    if findings:
        raise DataError.of(findings, where=f"study '{problem.study.name}' with model '{problem.model.name}'")


def _has_no_chance(noise: Noise, rows: Rows, row: int, values: Mapping[str, float]) -> bool:
    """Whether a row cannot be where the model predicts nothing."""
    if noise.is_count:  # none where none is expected is certain
        none = {"value": rows.value[row] == 0, "left": True, "interval": rows.lower[row] <= 0}
        return not none.get(str(rows.kind[row]), False)
    if noise.is_log or (noise.is_positive and float(noise.value("lam", values)) <= 0):
        return bool(rows.kind[row] != "left")
    return bool(noise.sd(0.0, values) == 0)


def refuse_broken_series(problem: Problem) -> None:
    """Refuse rows of an output with correlated residuals (R9) that do not make a series of values.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    DataError
        With every row that is censored, a summary without its own spread, or one of several at one time.
    """
    rows, findings = problem.rows, list[DataError]()
    for k, name in enumerate(rows.outputs):
        output = problem.model.output(name)
        if output.noise is None or output.noise.kind != "ar1":
            continue
        for free in problem.free:
            if free.name == output.noise.arguments["rho"] and free.prior.transform != "logit":
                given = f"prior {free.prior} of '{free.name}', the correlation of residuals of '{name}' (R9)"
                findings.append(DataError(given, expected="one between 0 and 1", hint="beta(2, 2)"))
        for i in np.flatnonzero((rows.output == k) & ~rows.has_own_sd & (rows.kind != "dropped")):
            where, plain = rows.where[i], f"noise = '{output.noise.single}'"
            if rows.kind[i] in ("mean", "logmean"):
                what = f"a mean of '{name}', whose residuals correlate (R9)"
                findings.append(DataError(what, where=where, hint=f"its sd, or {plain}"))
            elif rows.kind[i] != "value" or np.isfinite(rows.floor[i]):
                what = f"'{name}' is not a plain value, and its residuals correlate (R9)"
                hint = f"blq = 'M1' or 'M6' for values below the limit, or {plain}"
                findings.append(DataError(what, where=where, hint=hint))
            elif rows.before[1][i] == 0:
                what = f"a second value of '{name}' at one time, and residuals correlate (R9): it would be the same"
                findings.append(DataError(what, where=where, hint=f"the mean of both, or {plain}"))
    if findings:
        raise DataError.of(findings, where=f"study '{problem.study.name}' with model '{problem.model.name}'")


def _impossible(problem: Problem, output: str, row: int) -> DataError:
    noise = problem.model.output(output).noise
    return DataError(
        f"'{output}' is predicted to be 0 at {problem.rows.time[row]:g} {problem.model.time}, where {noise} gives a "
        "value no chance (R13)",
        where=problem.rows.where[row],
        hint=f"additive or combined2 noise for '{output}', a baseline in the model, or leave the row out",
    )


def _of_nothing(problem: Problem, row: int) -> DataError:
    record = problem.study.records[row]
    if record.quantity == "ratio":
        other = record.versus or f"'{record.output}' of {record.versus_subject}"
        what, hint = f"a ratio to {other}, of which nothing is predicted", "a later time, or leave the row out"
    else:
        since = "before any dose" if record.time_from is None else f"at {record.time_from:g} h"
        what = f"a fold change of '{record.output}' from {since}, where nothing is predicted"
        hint = "time_from after the dose, quantity = difference, or a baseline in the model"
    return DataError(what, where=problem.rows.where[row], hint=hint)
