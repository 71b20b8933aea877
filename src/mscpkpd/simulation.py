"""Simulate dosing schedules over subjects and parameter draws."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import xarray as xr

from mscpkpd.administration import administered
from mscpkpd.data.covariates import Interpolation
from mscpkpd.dose_draws import drawn_regimens, is_uncertain
from mscpkpd.dosing import Regimen
from mscpkpd.engine.course import Course, drive
from mscpkpd.engine.solve import DEFAULT_TOLERANCE, solve
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System, build_system
from mscpkpd.errors import DosingError, UnknownName, UsageError
from mscpkpd.event_output import EventTable, RowOutput, simulate_events
from mscpkpd.fitting.result import Fit
from mscpkpd.model import Model
from mscpkpd.units import to_unit
from mscpkpd.variability import scale_of

__all__ = ["follow", "simulate"]

# Hours after the start of each dose that every default grid holds, so that first passes are not stepped over.
AFTER_DOSE = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0)
GRID = 240
# From so many solves of a schedule on, a model without feedback is solved in batches, so many at a time.
BATCH_FROM, PORTION, BATCH_TOLERANCE = 1000, 1024, 1e-8


@dataclass(frozen=True, eq=False)
class _Population:
    """Parameter values of every draw and subject, arrays of shape (n_draws, n_subjects), and weights [kg]."""

    values: Mapping[str, np.ndarray]
    weights: tuple[float | None, ...]
    draws: int
    origin: str

    def of(self, names: Sequence[str]) -> np.ndarray:
        """One row of values per solve, subject by subject and draw by draw."""
        rows = np.empty((len(self.weights) * self.draws, len(names)))
        for k, name in enumerate(names):
            rows[:, k] = self.values[name].T.reshape(-1)
        return rows

    @property
    def weight_of_each(self) -> tuple[float | None, ...]:
        """Body weight of each solve."""
        return tuple(weight for weight in self.weights for _ in range(self.draws))


@overload
def simulate(
    model: Model,
    schedules: Regimen | Mapping[str, Regimen] | None = None,
    *,
    events: None = None,
    draws: Fit | int | None = None,
    n_draws: int = 100,
    subjects: int = 1,
    weight: str | Sequence[str] | None = None,
    until: str | None = None,
    times: Sequence[float] | None = None,
    step: str | None = None,
    outputs: Sequence[str] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset: ...


@overload
def simulate(
    model: Model,
    *,
    events: EventTable,
    weight: str | None = None,
    times: Sequence[float] | None = None,
    outputs: Sequence[str] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    dialect: str = "",
    rows: str = "observed",
    covariates: Interpolation | None = None,
) -> RowOutput: ...


def simulate(
    model: Model,
    schedules: Regimen | Mapping[str, Regimen] | None = None,
    *,
    events: EventTable | None = None,
    draws: Fit | int | None = None,
    n_draws: int = 100,
    subjects: int = 1,
    weight: str | Sequence[str] | None = None,
    until: str | None = None,
    times: Sequence[float] | None = None,
    step: str | None = None,
    outputs: Sequence[str] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    dialect: str = "",
    rows: str = "observed",
    covariates: Interpolation | None = None,
) -> xr.Dataset | RowOutput:
    """Simulate schedules for subjects and parameter draws, or the rows of an event table.

    Parameters
    ----------
    model : Model
        With values for every parameter.
    schedules : Regimen or mapping of str to Regimen, optional
        What is given; a mapping compares schedules by name. The same subjects and draws receive every schedule. By
        default the doses that belong to the model itself, such as the events of an SBML file.
    events : DataFrame or path, optional
        NONMEM-style event table: who gets what, and when values are wanted. Numbers are in the units of the model where
        the header states none; a column that is called as a parameter is the value of that parameter for its subject,
        and may change from row to row. Only `weight`, `times`, `outputs`, `parameters`, `dialect`, `rows` and
        `covariates` go with it.
    draws : Fit, int or None
        Parameter uncertainty: the posterior of a fit, that many draws from the priors, or none (the model's values).
        With draws, viable fractions and losses of doses vary within their SD, too (T3).
    n_draws : int
        How many draws to take from a fit.
    subjects : int
        Subjects; more than one vary by the model's between-subject spread.
    weight : str or sequence of str, optional
        Body weight, "70 kg", one for all or one per subject. Needed for doses per kg.
    until : str, optional
        End of the simulation, such as "60 d". Needed unless `times` is given.
    times : sequence of float, optional
        Exact times in the model's time unit, ascending.
    step : str, optional
        Distance of a regular grid, such as "1 h". By default a grid that is dense after each dose.
    outputs : sequence of str, optional
        Outputs and states wanted; all by default.
    parameters : mapping of str to float, optional
        Values that replace those of the model, in its units.
    seed : int
        Same seed, same numbers. A further subject or schedule changes none of the others.
    progress : callable, optional
        Receives solves done and solves wanted.
    dialect : "", "nonmem", "mrgsolve", "rxode2" or "monolix"
        Whose table `events` is: whose numbers of EVID above 4 it uses (rxode2 and mrgsolve have such; the names
        replace, multiply and phantom are always read, D11 and E36), and whose rule for covariates holds: locf for
        rxode2 and monolix, else nocb (K1).
    rows : "observed" or "all"
        Of `events`: rows with EVID 0 and 2, or every row with the state just after its own event, and CMT, DV, TAD
        (time after the latest dose, E38), PRED and RES beside (section 8 of the conventions).
    covariates : str or mapping of str to str, optional
        What holds between the records of columns of `events` that are parameters: "locf", "nocb" or "linear", for all
        or by column, ``{"WT": "linear"}`` (K1 to K8).

    Returns
    -------
    xarray.Dataset
        Dimensions (schedule, subject, draw, time), one variable per output and state with its unit in
        ``attrs["units"]``; `time` in the model's unit. ``failed`` marks solves that could not be carried out
        (their values are NaN); ``attrs["failures"]`` counts them. With a fit, ``attrs["prior_only"]`` of a variable
        names the parameters behind it that the data could not inform, ``attrs["little_learned"]`` those of which they
        taught less than a tenth.

        With `events` a pandas.DataFrame: a row for each row with EVID 0 or 2 in the given order, or for each subject
        and time in `times`, with ID, TIME, EVID, DVID and a column for each output and state; units, notes, failures
        and the rules of covariates are in its ``attrs``.

    Raises
    ------
    UsageError
        If neither `until` nor `times` is given, a number is out of range, or nothing says what is given to a model that
        has routes.
    DosingError
        For a dose per kg without a weight, or a route that the model does not have.
    UnknownName
        For an unknown output or parameter.
    DataError
        With everything that is wrong with the event table, by row and column.
    FitError
        If `draws` is a fit that has not converged.

    Notes
    -----
    A value at the time of a dose is after it (rule E4); in an event table rows count in their order (E1 to E3), steady
    states are solved (E31), and covariates change by the rule declared for them (K1). Between-subject deviations are
    normal on the transformed scale of their parameter (P2; with the spreads of a fit that has them), with one random
    stream per subject and parameter (G3). From 1000
    solves of a schedule on, a model without feedback is solved in batches by the exact engine: the same to 1e-6.
    """
    if events is not None:
        others = {"schedules": schedules, "draws": draws, "until": until, "step": step, "progress": progress}
        beside = [name for name, value in others.items() if value is not None] + ["subjects"] * (subjects != 1)
        if beside or not (weight is None or isinstance(weight, str)):
            problem = f"{', '.join(beside) or 'several weights'} beside events"
            raise UsageError(problem, expected="the subjects, doses and times of the table alone")
        return simulate_events(
            model, events, outputs=outputs, times=times, parameters=parameters, weight=weight, dialect=dialect,
            rows=rows, covariates=covariates,
        )  # fmt: skip
    if covariates is not None:
        hint = "events= with a column for each covariate, or parameters={...} for one value"
        raise UsageError(f"covariates={covariates!r} without events", hint=hint)
    return follow(
        model, schedules, draws=draws, n_draws=n_draws, subjects=subjects, weight=weight, until=until, times=times,
        step=step, outputs=outputs, parameters=parameters, seed=seed, progress=progress,
    )  # fmt: skip


def follow(
    model: Model,
    schedules: Regimen | Mapping[str, Regimen] | None,
    *,
    draws: Fit | int | None = None,
    n_draws: int = 100,
    subjects: int = 1,
    weight: str | Sequence[str] | None = None,
    until: str | None = None,
    times: Sequence[float] | None = None,
    step: str | None = None,
    outputs: Sequence[str] | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    course: Course | None = None,
) -> xr.Dataset:
    """Simulate schedules, perhaps with the covariates of one subject; see `simulate`."""
    schedules = _own_doses(model) if schedules is None else schedules
    named = {schedules.name or "schedule": schedules} if isinstance(schedules, Regimen) else dict(schedules)
    if not named or subjects < 1 or n_draws < 1:
        raise UsageError(f"{len(named)} schedules, {subjects} subjects, {n_draws} draws", expected="at least 1 of each")
    wanted = _wanted(model, outputs)
    model = model.fix(**parameters) if parameters else model
    named = {name: administered(model, regimen, name) for name, regimen in named.items()}
    hours = to_unit(f"1 {model.time}", "h")
    grid = _grid(named, hours, until, times, step)
    population = _population(model, draws, n_draws, subjects, weight, seed)
    routes = _routes(model, named)
    system = build_system(model, wanted, routes)
    each = population.of(system.parameters)
    driven = system if course is None else drive(system, course, hours).system
    vague = is_uncertain(named.values())
    out = np.empty((len(wanted), len(named), len(each), len(grid)))
    for s, regimen in enumerate(named.values()):
        tell = _counted(progress, s * len(each), len(named) * len(each))
        how: dict[str, Any] = {
            "weights": population.weight_of_each, "hours": hours, "tell": tell, "course": course,
        }  # fmt: skip
        if vague and draws is not None:
            own = drawn_regimens(regimen, seed, subjects, population.draws)
            out[:, s] = _one_by_one(system, own, grid, each, **how)
        elif _many(driven, len(each)):
            out[:, s] = _together(system, regimen, grid, each, **how)
        else:
            out[:, s] = _one_by_one(system, [regimen] * len(each), grid, each, **how)
    out = out.reshape(len(wanted), len(named), subjects, population.draws, len(grid))
    failed = np.all(np.isnan(out), axis=(0, 4))
    sims = _dataset(model, wanted, named, grid, out, failed)
    sims.attrs.update(parameters=population.origin, seed=seed)
    if vague:
        drawn = "drawn within their SD" if draws is not None else "as stated: their SD is used with draws alone"
        sims.attrs["doses"] = f"viable fractions and losses {drawn} (T3)"
    for name in wanted:
        sims[name].attrs.update(_grounds(model, name, routes, draws))
    return sims


def _own_doses(model: Model) -> Regimen:
    if model.routes and not model.doses:
        hint = "simulate(model, bolus('1e6 cells', 'iv'), ...), or Regimen() for no dose"
        raise UsageError(f"no schedule is given, and model '{model.name}' has no doses of its own", hint=hint)
    return model.doses


def _grounds(model: Model, output: str, routes: tuple[str, ...], draws: Fit | int | None) -> dict[str, str]:
    """What an output rests on beside the data: parameters that these could not inform, or taught little about."""
    only, few = (draws.uninformed, draws.little_learned()) if isinstance(draws, Fit) else ((), {})
    behind = build_system(model, (output,), routes).parameters
    return {
        "prior_only": ", ".join(name for name in behind if name in only),
        "little_learned": ", ".join(name for name in behind if name in few),
    }


def _many(system: System, solves: int) -> bool:
    """Whether a batch is worth the seconds that it takes to compile."""
    return solves >= BATCH_FROM and bool(system.states) and solving_order(system).exact


def _counted(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total) if progress else None


def _one_by_one(
    system: System,
    regimens: Sequence[Regimen],
    grid: np.ndarray,
    each: np.ndarray,
    weights: Sequence[float | None],
    *,
    hours: float,
    tell: Callable[[int], None],
    course: Course | None,
) -> np.ndarray:
    """Outputs of every solve, shape (n_outputs, n_solves, n_times); NaN where one failed."""
    out = np.full((len(system.outputs), len(each), len(grid)), np.nan)
    for k, (regimen, values, weight) in enumerate(zip(regimens, each, weights, strict=True)):
        path = solve(
            system, regimen, grid, values, weight=weight, hours=hours, tolerance=DEFAULT_TOLERANCE, course=course
        )
        if path.ok:
            at_times = _with(system, values[:, None], grid * hours, course)
            out[:, k] = system.observed_function.value(*path.states, *at_times, grid, shape=grid.shape)
        tell(k + 1)
    return out


def _together(
    system: System,
    regimen: Regimen,
    grid: np.ndarray,
    each: np.ndarray,
    weights: Sequence[float | None],
    *,
    hours: float,
    tell: Callable[[int], None],
    course: Course | None,
) -> np.ndarray:
    """The same by the exact engine, many solves at a time."""
    from mscpkpd.engine.batches import solve_batch  # JAX is slow to load

    kilograms = None if weights[0] is None else np.array(weights, dtype=float)
    out = np.empty((len(system.outputs), len(each), len(grid)))
    for begin in range(0, len(each), PORTION):
        mine = slice(begin, begin + PORTION)
        states = solve_batch(
            system, regimen, grid, each[mine], hours=hours, tolerance=BATCH_TOLERANCE,
            weights=None if kilograms is None else kilograms[mine], course=course,
        )  # fmt: skip
        columns = (*np.moveaxis(states, 1, 0), *_with(system, each[mine].T[:, :, None], grid * hours, course), grid)
        out[:, mine] = system.observed_function.value(*columns, shape=(len(states), len(grid)))
        tell(min(begin + PORTION, len(each)))
    return out


def _with(system: System, values: np.ndarray, hours: np.ndarray, course: Course | None) -> list[np.ndarray]:
    """Parameters at times [h]: covariates are those of the time."""
    found = list(values)
    for track in course.tracks if course else ():
        if track.name in system.parameters:
            found[system.parameters.index(track.name)] = np.array([track.at(time) for time in hours])
    return found


def _wanted(model: Model, outputs: Sequence[str] | None) -> tuple[str, ...]:
    everything = (*model.output_names, *(name for name in model.state_names if name not in model.output_names))
    for name in outputs or ():
        if name not in everything:
            raise UnknownName.among("output", name, everything)
    return tuple(outputs) if outputs else everything


def _routes(model: Model, schedules: Mapping[str, Regimen]) -> tuple[str, ...]:
    known = {*(route.name for route in model.routes), *model.state_names}
    used = {dose.route for regimen in schedules.values() for dose in regimen.doses}
    for route in sorted(used - known):
        raise UnknownName.among("route", route, known)
    return tuple(sorted(used))


def _grid(
    schedules: Mapping[str, Regimen], hours: float, until: str | None, times: Sequence[float] | None, step: str | None
) -> np.ndarray:
    if times is not None:
        grid = np.asarray(times, dtype=float)
        if grid.ndim != 1 or len(grid) == 0 or not np.all(np.isfinite(grid)) or np.any(np.diff(grid) < 0):
            raise UsageError(f"times={list(times)[:5]}...", expected="one or more ascending finite numbers")
        return grid
    if until is None:
        raise UsageError("neither until nor times is given", hint="until='60 d'")
    end = to_unit(until, "h")
    if end <= 0:
        raise UsageError(f"until='{until}'", expected="a time after 0")
    if step is not None:
        width = to_unit(step, "h")
        if not 0 < width <= end:
            raise UsageError(f"step='{step}'", expected=f"a time above 0 and at most {until}")
        regular = np.arange(0.0, end, width)
        return np.append(regular[regular < end - 1e-9 * width], end) / hours
    doses = {dose.time for regimen in schedules.values() for dose in regimen.doses}
    ends = {dose.time + dose.duration for regimen in schedules.values() for dose in regimen.doses}
    dense = {time + after for time in doses for after in AFTER_DOSE} | ends
    grid = np.unique(np.concatenate([np.linspace(0.0, end, GRID), sorted(dense)]))
    return np.asarray(grid[grid <= end] / hours)


def _population(
    model: Model, draws: Fit | int | None, n_draws: int, subjects: int, weight: str | Sequence[str] | None, seed: int
) -> _Population:
    base, origin = _base_values(model, draws, n_draws, seed)
    count = len(next(iter(base.values())))
    values = {name: np.repeat(column[:, None], subjects, axis=1) for name, column in base.items()}
    if subjects > 1:
        entries = [entry for entry in model.variability if entry.level == "subject"]
        etas = [
            np.stack([_deviations(seed, entry.parameter, i, count) for i in range(subjects)], axis=1)
            for entry in entries
        ]
        names = [entry.parameter for entry in entries]
        for entry, eta in zip(entries, _correlated(model, names, etas, base), strict=True):
            scale = scale_of(entry, model.parameter(entry.parameter).prior)
            sd = base.get(f"omega_sd_{entry.parameter}", np.full(count, entry.sd))[:, None]
            values[entry.parameter] = scale.from_free(scale.to_free(values[entry.parameter]) + scale.added(sd * eta))
    return _Population(values, _weights(weight, subjects), count, origin)


def _correlated(
    model: Model, names: Sequence[str], etas: Sequence[np.ndarray], base: Mapping[str, np.ndarray]
) -> Sequence[np.ndarray]:
    """Deviations with the correlations that a fit has found, else those that the model file states (P7)."""
    stated = {frozenset((a, b)): r for c in model.covariance if c.level == "subject" for a, b, r in c.correlations}
    found = [(i, j, base.get(f"corr_{names[j]}__{names[i]}")) for i in range(len(names)) for j in range(i)]
    if not stated and all(r is None for *_, r in found):
        return etas
    matrix = np.tile(np.eye(len(names)), (len(etas[0]), 1, 1))
    for i, j, r in found:
        matrix[:, i, j] = matrix[:, j, i] = stated.get(frozenset((names[i], names[j])), 0.0) if r is None else r
    mixed = np.einsum("dij,jds->ids", np.linalg.cholesky(matrix), np.stack(etas))
    return list(mixed)


def _deviations(seed: int, parameter: str, subject: int, count: int) -> np.ndarray:
    """Standard normal deviations of one subject and parameter, one per draw, from a stream of their own."""
    return np.random.default_rng([seed, zlib.crc32(parameter.encode()), subject]).standard_normal(count)


def _base_values(model: Model, draws: Fit | int | None, n_draws: int, seed: int) -> tuple[dict[str, np.ndarray], str]:
    if draws is None:
        return {name: np.array([value]) for name, value in model.values.items()}, "parameter values of the model"
    if isinstance(draws, Fit):
        sampled = draws.sample(n_draws, seed)
        fixed = {name: np.full(n_draws, v) for name, v in model.values.items() if name not in sampled}
        held = {p.name for p in model.parameters if not p.prior.is_free}  # fixed by hand after the fit
        spreads = ("omega_sd_", "corr_")
        kept = {
            name: values for name, values in sampled.items()
            if (name in model.parameter_names and name not in held) or name.startswith(spreads)
        }  # fmt: skip
        constant = {name: np.full(n_draws, model.values[name]) for name in held}
        return {**fixed, **kept, **constant}, f"posterior of the {draws.method} fit to '{draws.study.name}'"
    if draws < 1:
        raise UsageError(f"draws={draws}", expected="a fit, or a number of prior draws of at least 1")
    values = {name: np.full(draws, value) for name, value in model.values.items()}
    for name in model.free_names:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values[name] = np.asarray(model.parameter(name).prior.sample(rng, draws))
    return values, "priors of the model"


def _weights(weight: str | Sequence[str] | None, subjects: int) -> tuple[float | None, ...]:
    if weight is None:
        return (None,) * subjects
    texts = [weight] * subjects if isinstance(weight, str) else list(weight)
    if len(texts) != subjects:
        raise UsageError(f"{len(texts)} weights for {subjects} subjects", expected="one, or one per subject")
    numbers = [to_unit(text, "kg") for text in texts]
    if min(numbers) <= 0:
        raise DosingError(f"weight '{texts[int(np.argmin(numbers))]}'", expected="a body weight above 0")
    return tuple(numbers)


def _dataset(
    model: Model,
    wanted: tuple[str, ...],
    schedules: Mapping[str, Regimen],
    grid: np.ndarray,
    out: np.ndarray,
    failed: np.ndarray,
) -> xr.Dataset:
    dims = ("schedule", "subject", "draw", "time")
    units = model.units
    data = {
        name: xr.Variable(dims, out[k], {"units": units[name], "long_name": _about(model, name)})
        for k, name in enumerate(wanted)
    }
    data["failed"] = xr.Variable(dims[:3], failed, {"long_name": "solve could not be carried out"})
    coords = {
        "schedule": list(schedules),
        "subject": np.arange(out.shape[2]),
        "draw": np.arange(out.shape[3]),
        "time": xr.Variable("time", grid, {"units": model.time}),
    }
    attrs = {
        "model": model.name,
        "values": model.values_name,
        "failures": int(failed.sum()),
        **{f"schedule {name}": str(regimen) for name, regimen in schedules.items()},
    }
    return xr.Dataset(data, coords, attrs)


def _about(model: Model, name: str) -> str:
    return model.output(name).about if name in model.output_names else model.state(name).about
