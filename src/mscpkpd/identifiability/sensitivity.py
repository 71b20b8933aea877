"""Predictions and their derivatives on relative scales, at typical values and at random points around them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mscpkpd.counted import counted_rows
from mscpkpd.errors import SolveError
from mscpkpd.model import Model
from mscpkpd.noise import Noise
from mscpkpd.observations import Rows
from mscpkpd.problem import Problem

__all__ = ["Point", "Scale", "dense", "design_matrix", "points", "relative_rows", "scale_of", "solvable", "with_noise"]

TOLERANCES = (1e-9, 1e-8)  # of the solver, the first that it manages; its slopes are then good to about as much
SMALLEST = 1e-8  # predictions below this share of the largest of their series are rounding, and tell nothing
RELATIVE_FLOOR = 1e-3  # of the largest of its series: below it a change counts against this, not against the value
SPREAD = 0.4  # random points lie about this far from typical values, on the free scale
TIMES = 24  # of the dense grid


@dataclass(frozen=True, eq=False)
class Scale:
    """How the parameters are counted: those that are positive by their logarithm, so that errors are relative.

    Attributes
    ----------
    names : tuple of str
    index : array of int, shape (n,)
        Positions among the free parameters of the problem.
    start : array of shape (n,)
        Typical values, in the units of the parameters.
    logs : array of bool, shape (n,)
        Which are positive by their prior.
    shares : array of bool, shape (n,)
        Which lie between 0 and 1.
    unit : array of shape (n,)
        What an error of 1 means: the typical value, or the prior SD where that is 0.
    prior_sd : array of shape (n,)
        Relative SD of the prior; infinite without one.
    """

    names: tuple[str, ...]
    index: np.ndarray
    start: np.ndarray
    logs: np.ndarray
    shares: np.ndarray
    unit: np.ndarray
    prior_sd: np.ndarray

    def take(self, kept: np.ndarray) -> Scale:
        """The same for some of the parameters."""
        names = tuple(self.names[k] for k in kept)
        arrays = (self.index, self.start, self.logs, self.shares, self.unit, self.prior_sd)
        return Scale(names, *(array[kept] for array in arrays))


@dataclass(frozen=True, eq=False)
class Point:
    """Predictions at one set of parameter values.

    Attributes
    ----------
    theta : array of shape (n_free,)
        All free parameters of the problem.
    value : array of shape (n_rows,)
    slope : array of shape (n_rows, n)
        By the parameters of the scale, natural units.
    """

    theta: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def scale_of(problem: Problem, without_prior: frozenset[str]) -> Scale:
    """Scales of the free parameters that predictions depend on; what only describes noise is left out.

    Parameters
    ----------
    problem : Problem
    without_prior : frozenset of str
        Parameters whose prior is only a stand-in.

    Returns
    -------
    Scale
    """
    moving = [k for k, name in enumerate(problem.names) if name in problem.system.parameters]
    free = [problem.free[k] for k in moving]
    start = np.array([p.start for p in free], dtype=float)
    slope = np.array([float(p.prior.dx_dz(p.prior.to_free(p.start))) for p in free])
    sd = slope * np.array([p.prior.free_moments()[1] for p in free])
    unit = np.where(start == 0, sd, np.abs(start))
    has_prior = np.array([p.name not in without_prior for p in free], dtype=bool)
    return Scale(
        tuple(p.name for p in free),
        np.array(moving, dtype=int),
        start,
        np.array([p.prior.transform != "identity" for p in free], dtype=bool),
        np.array([p.prior.transform == "logit" for p in free], dtype=bool),
        unit,
        np.where(has_prior, sd / unit, np.inf),
    )


def dense(problem: Problem) -> Problem:
    """The same doses and outputs, observed as often as one likes: what it cannot tell, no sampling times can."""
    rows, points, hours = problem.rows, problem.rows.points, problem.hours
    output, group, time = [], [], []
    for k, each in enumerate(problem.groups):
        mine = points.group == k
        end = float(np.max(points.time[mine], initial=0.0))
        doses = [dose.time / hours for dose in each.regimen.doses if dose.time / hours < end]
        grid = np.geomspace(1e-3, 1.0, TIMES) * max(end, 0.0)
        last = max(doses, default=0.0)
        times = np.unique([*points.time[mine], *grid, *(last + (end - last) * np.geomspace(1e-3, 1.0, TIMES))])
        for which in np.unique(points.output[mine]):
            output += [which] * len(times)
            group += [k] * len(times)
            time += list(times)
    many, none = len(time), np.full(len(time), np.nan)
    grid_rows = Rows(
        np.array(output), np.array(group), np.array(time), none, none, none, none, none, none, none,
        np.full(many, "value"), rows.outputs, ("",) * many, ("",) * many,
        _covariates(problem, np.array(group), np.array(time)), rows.rules,
    )  # fmt: skip
    return replace(problem, rows=grid_rows)


def _covariates(problem: Problem, group: np.ndarray, time: np.ndarray) -> dict[str, np.ndarray]:
    """Covariates of each group at its times."""
    found = {name: np.empty(len(time)) for name in problem.rows.covariates}
    for row, (k, at) in enumerate(zip(group, time, strict=True)):
        course = problem.groups[k].course
        for track in course.tracks if course else ():
            found[track.name][row] = track.at(at * problem.hours)
    return found


def solvable(problem: Problem) -> Problem:
    """The problem at the tightest tolerance at which the solver manages the typical values.

    Raises
    ------
    SolveError
        If it manages none.
    """
    reason = ""
    for tolerance in TOLERANCES:
        tried = replace(problem, tolerance=tolerance)
        predicted = tried.predict(tried.start, jacobian=True)
        if not predicted.failure and np.all(np.isfinite(predicted.jacobian)):
            return tried
        reason = reason or predicted.failure or "a derivative is not finite"
    raise SolveError(f"the model cannot be predicted at its values: {reason}", hint="model.replace_values({...})")


def points(problem: Problem, scale: Scale, count: int) -> tuple[Point, ...]:
    """Predictions at the typical values and at `count` random points; those that cannot be solved are left out."""
    rng = np.random.default_rng(0)  # fixed: a report says the same whenever it is asked
    priors = [parameter.prior for parameter in problem.free]
    found: list[Point] = []
    for k in range(count + 1):
        theta = problem.start
        for j in scale.index if k else ():
            step = min(priors[j].free_moments()[1], SPREAD) * float(rng.standard_normal())
            theta[j] = float(priors[j].from_free(priors[j].to_free(theta[j]) + step))
        predicted = problem.predict(theta, jacobian=True)
        if not predicted.failure and np.all(np.isfinite(predicted.jacobian)):
            found.append(Point(theta, predicted.value, predicted.jacobian[:, scale.index]))
    return tuple(found)


def relative_rows(problem: Problem, value: np.ndarray) -> np.ndarray:
    """What to divide a change of each prediction by so that it is relative, shape (n_rows,); infinite where empty."""
    largest = _largest(problem.rows, value)
    size = np.maximum(np.abs(value), RELATIVE_FLOOR * largest)
    return np.where(size > 0, size, np.inf)


def design_matrix(problem: Problem, point: Point, by: np.ndarray) -> np.ndarray:
    """Slopes of the predictions in units of their noise, by parameters in units of `by`, shape (n_rows, n).

    The noise of a row is the standard error that a fit gives it: the SD of the noise model or of the row itself, on
    the logarithmic scale where the noise is lognormal, over the root of the number of subjects behind a mean.
    """
    rows, model, f = problem.rows, problem.model, point.value
    values = problem.values(point.theta)
    spread, log = np.ones(len(rows)), np.zeros(len(rows), dtype=bool)
    for k, name in enumerate(rows.outputs):
        mine, noise = rows.output == k, model.output(name).noise
        if noise is not None:
            spread[mine], log[mine] = noise.sd(f[mine], values), noise.is_log
            if not noise.is_log:  # on the scale of the output where the error stands on another (R7)
                spread[mine] = spread[mine] * np.exp(-noise.log_slope(f[mine], values))
    means = np.isin(rows.kind, ("mean", "logmean"))
    own = means & np.isfinite(rows.sd)
    spread = np.where(own, rows.sd, spread)
    spread = spread / np.sqrt(np.where(means & (rows.count > 0), rows.count, 1.0))
    log = (log & ~(own & (rows.kind == "mean"))) | (rows.kind == "logmean")
    size = np.where(log, spread * np.abs(f), spread)
    for kind in ("positive", "alive", "event"):
        mine = np.flatnonzero(rows.kind == kind)
        if len(mine):  # a probability tells as much as a value with this SD; the time of an event is not foreseen
            size[mine] = np.nan_to_num(counted_rows(problem, f, values, mine).information) ** -0.5
    seen = (size > 0) & np.isfinite(size) & (rows.kind != "dropped")
    seen &= ~(log & (np.abs(f) <= SMALLEST * _largest(rows, f)))
    return np.asarray(point.slope * by / np.where(seen, size, np.inf)[:, None])


def _largest(rows: Rows, value: np.ndarray) -> np.ndarray:
    """Largest prediction of the series that each row belongs to."""
    largest = np.zeros(len(rows))
    for k in range(len(rows.outputs)):
        for group in np.unique(rows.group):
            mine = (rows.output == k) & (rows.group == group)
            largest[mine] = np.max(np.abs(value[mine]), initial=0.0)
    return largest


def with_noise(model: Model, noise: Noise) -> Model:
    """The model with a noise model for every output that has none."""
    return replace(model, outputs=tuple(o if o.noise is not None else replace(o, noise=noise) for o in model.outputs))
