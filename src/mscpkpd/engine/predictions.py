"""Rows of several subjects by the exact engine, and the derivative of a weighted sum of them in one backward pass.

Subjects whose plans have one shape are solved together, whatever their doses and times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.engine.compiled import Found, Layout
from mscpkpd.engine.course import Course, Driven, driven_together
from mscpkpd.engine.plan import plan_of
from mscpkpd.engine.planned import Doses, Pick, Shape, doses_of, function_of, pulled, shape_of, solver_of
from mscpkpd.engine.propagator import REACH
from mscpkpd.engine.resolution import LEVELS, MOST_LEVELS, SHARE, Resolution, finer_than, guessed, met
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System
from mscpkpd.errors import SolveError

__all__ = ["Predictions", "predictions_of"]

MOST_TRIED = 20_000  # values for which steps that are chosen once are to be fine enough


@dataclass(frozen=True, eq=False)
class _Batch:
    """Subjects that are solved together.

    Attributes
    ----------
    shape : Shape
    subjects, rows : array of int
        Positions among all subjects and all rows.
    doses : Doses
    layout : Layout
    pick : Pick
        The rows, among the outputs, times and subjects of the batch.
    """

    shape: Shape
    subjects: np.ndarray
    rows: np.ndarray
    doses: Doses
    layout: Layout
    pick: Pick


@dataclass(frozen=True, eq=False)
class Predictions:
    """Rows of several subjects as a function of their parameters.

    Attributes
    ----------
    system : System
    count : int
        Number of rows.
    tolerance : float
        What may be left out, relative to the largest value of each state.

    Notes
    -----
    Covariates of a subject take the place of the parameters that are given for it (K1).
    """

    system: System
    count: int
    tolerance: float
    _batches: tuple[_Batch, ...]
    _covariates: _Covariates | None = None

    def linearized(self, values: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Predict, and keep what a backward pass needs.

        Parameters
        ----------
        values : array of shape (n_parameters, n_subjects)

        Returns
        -------
        rows : array of shape (n_rows,)
        back : callable
            From weights of the rows, shape (n_rows,), to the derivatives of their weighted sum, shape (n_parameters,
            n_subjects).

        Raises
        ------
        SolveError
            If a rate or a state is not finite, or the steps would have to be too many.
        """
        out, backs = np.empty(self.count), []
        covariates = self._covariates
        numbers = values if covariates is None else np.asarray(covariates.put_into(values))
        for batch in self._batches:
            rows, back, _ = self._resolved(batch, numbers)
            out[batch.rows] = rows
            backs.append(back)

        def back_through(weights: np.ndarray) -> np.ndarray:
            gradient = np.zeros(numbers.shape)
            for batch, back in zip(self._batches, backs, strict=True):
                gradient[:, batch.subjects] = pulled(back, weights[batch.rows])
            return gradient if covariates is None else np.where(covariates.data, 0.0, gradient)[: len(values)]

        return out, back_through

    def sloped(self, values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict, with the derivatives of each row by parameters of its own subject.

        Parameters
        ----------
        values : array of shape (n_parameters, n_subjects)
        places : array of int, shape (n_places,)
            Parameters to differentiate by.

        Returns
        -------
        rows : array of shape (n_rows,)
        slopes : array of shape (n_rows, n_places)

        Raises
        ------
        SolveError
            If a rate or a state is not finite, or the steps would have to be too many.
        """
        covariates = self._covariates
        numbers = values if covariates is None else np.asarray(covariates.put_into(values))
        directions = np.eye(len(numbers))[places]
        out, slopes = np.empty(self.count), np.empty((self.count, len(places)))
        for batch in self._batches:
            out[batch.rows], slopes[batch.rows], _ = self._resolved(batch, numbers, "sloped", directions)
        return out, slopes

    def traced(self, tried: np.ndarray) -> Callable[[Any], Any]:
        """The same rows as a function that JAX can trace, with steps that are chosen once.

        Parameters
        ----------
        tried : array of shape (n_parameters, n_tried)
            Values for which the steps are to be fine enough, such as draws of the priors.

        Returns
        -------
        callable
            Of values of shape (n_parameters, n_subjects); NaN where the steps, which have room for rates four times as
            fast, leave out more than a hundred times the tolerance.
        """
        chosen = [self._finest(batch, tried) for batch in self._batches]

        def rows(values: Any) -> Any:
            out = jnp.zeros(self.count)
            values = values if self._covariates is None else self._covariates.put_into(values)
            for batch, resolution in zip(self._batches, chosen, strict=True):
                solver = function_of(self.system, batch.shape, self._wanted, resolution, "rows")
                found, quality = solver(values[:, batch.subjects], batch.doses, batch.layout, batch.pick)
                bad = jnp.any(_poor(quality, self.tolerance))
                out = out.at[batch.rows].set(jnp.where(bad, jnp.nan, found))
            return out

        return rows

    @property
    def operations(self) -> Any:
        """What computes with traced rows: ``jax.numpy``."""
        return jnp

    def _finest(self, batch: _Batch, tried: np.ndarray) -> Resolution:
        if self._covariates is not None:
            tried = self._covariates.tried(tried, batch.subjects, batch.shape.changing, batch.layout.numbers)
        longest = np.full(tried.shape[1], np.max(batch.doses.lengths))
        finest = max(self._guessed(tried, longest))
        return finest._replace(levels=min(finest.levels + LEVELS, MOST_LEVELS))

    def _guessed(self, values: np.ndarray, longest: np.ndarray) -> list[Resolution]:
        each = guessed(self.system, values, np.zeros((0, 1)), longest, self.tolerance)
        finite = [one for one in each if one is not None]
        if not finite:
            raise SolveError("a rate is not finite, or too fast for any number of steps")
        return finite

    def _resolved(self, batch: _Batch, values: np.ndarray, mode: str = "linearized", *more: Any) -> tuple[Any, ...]:
        mine = values[:, batch.subjects]
        if not np.all(np.isfinite(mine)):
            raise SolveError("a parameter is not finite")
        changing = batch.shape.changing
        longest = np.max(batch.doses.lengths, axis=0) * np.ones(len(batch.subjects))
        longest = np.max(longest, keepdims=True) if changing else longest
        resolution = max(self._guessed(met(mine, changing, np.asarray(batch.layout.numbers)), longest))
        while True:
            solver = solver_of(self.system, batch.shape, self._wanted, resolution, mode)
            found = solver(mine, batch.doses, batch.layout, batch.pick, *more)
            quality = Found(None, *(np.asarray(each) for each in found[-1][1:]))
            finer = max(finer_than(quality, k, resolution, self.tolerance) for k in range(len(batch.subjects)))
            if finer == resolution:
                return tuple(found)
            resolution = finer

    @cached_property
    def _wanted(self) -> tuple[int, ...]:
        """States that the outputs ask for."""
        asked = set().union(*(each.free_symbols for each in self.system.observed))
        return tuple(i for i, symbol in enumerate(self.system.state_symbols) if symbol in asked)


@dataclass(frozen=True, eq=False)
class _Covariates:
    """Parameters that are data.

    Attributes
    ----------
    fixed : array of shape (n_parameters, n_subjects)
        What they are at time 0, of all parameters of the system, those of straight lines included.
    data : array of bool, shape (n_parameters, n_subjects)
        Which they are.
    """

    fixed: np.ndarray
    data: np.ndarray

    def put_into(self, values: Any) -> Any:
        """Parameters with the data in their places; traceable."""
        rest = jnp.zeros((len(self.fixed) - values.shape[0], values.shape[1]))
        return jnp.where(self.data, self.fixed, jnp.concatenate([jnp.asarray(values), rest]))

    def tried(self, tried: np.ndarray, subjects: np.ndarray, changing: tuple[int, ...], numbers: Any) -> np.ndarray:
        """Values to be tried with all covariates that some subjects meet, or with as many as is sensible."""
        met_there = met(self.fixed[:, subjects], changing, np.asarray(numbers))
        data = self.data[:, subjects[:1]]
        met_there = np.unique(np.where(data, met_there, 0.0), axis=1)
        step = -(-tried.shape[1] * met_there.shape[1] // MOST_TRIED)
        full = np.concatenate([tried, np.zeros((len(self.fixed) - len(tried), tried.shape[1]))])[:, ::step]
        wide = np.where(data[:, :, None], met_there[:, :, None], full[:, None])
        return wide.reshape(len(wide), -1)


def _poor(found: Found, tolerance: float) -> Any:
    """Whether more than a hundred times the tolerance may be left out: no other steps can be chosen in a trace."""
    most = 100 * SHARE * tolerance
    return ~((found.reach <= REACH) & (found.early <= most) & (found.late <= most))


def predictions_of(
    system: System,
    subjects: Sequence[tuple[Regimen, float | None]],
    *,
    subject: np.ndarray,
    output: np.ndarray,
    time: np.ndarray,
    hours: float,
    tolerance: float,
    courses: Sequence[Course | None] = (),
    own: Mapping[str, np.ndarray] | None = None,
) -> Predictions | None:
    """Lay out the rows of several subjects.

    Parameters
    ----------
    system : System
        Equations, with the outputs.
    subjects : sequence of (Regimen, float or None)
        Doses, and body weight in kg.
    subject, output : array of int, shape (n_rows,)
        Position of each row in `subjects` and in the outputs of the system.
    time : array of shape (n_rows,)
        In the model's time unit.
    hours : float
        Length of the model's time unit in hours.
    tolerance : float
        What may be left out, relative to the largest value of each state.
    courses : sequence of (Course or None), optional
        Covariates of each subject.
    own : mapping of str to array of shape (n_rows,), optional
        Covariates on the record of each row, by parameter (K6).

    Returns
    -------
    Predictions or None
        None where the exact engine cannot solve this, or moments of events depend on parameters.

    Raises
    ------
    DosingError
        If the doses are impossible.
    """
    system, drives = driven_together(system, courses or [None] * len(subjects), hours)
    if not system.states or not solving_order(system).exact:
        return None
    together: dict[Shape, list[Any]] = defaultdict(list)
    for k, ((regimen, weight), driven) in enumerate(zip(subjects, drives, strict=True)):
        mine = np.flatnonzero(subject == k)
        if len(mine) == 0:
            continue
        moments, place = np.unique(time[mine], return_inverse=True)
        plan = plan_of(system, regimen, moments, hours, driven)
        if plan is None or (weight is None and any(way.per_weight for way in plan.ways)):
            return None
        together[shape_of(plan)].append((k, plan, weight or 1.0, mine, place))
    batches = tuple(_batch(system, *item, output, own or {}) for item in together.items())
    return Predictions(system, len(time), tolerance, batches, _covariates(system, drives))


def _covariates(system: System, drives: Sequence[Driven | None]) -> _Covariates | None:
    if all(driven is None for driven in drives):
        return None
    data = np.zeros((len(system.parameters), len(drives)), dtype=bool)
    fixed = np.zeros(data.shape)
    for k, driven in enumerate(drives):
        if driven is not None:
            data[list(driven.inputs), k] = True
            fixed[:, k] = driven.values(np.zeros(0))
    return _Covariates(fixed, data)


def _batch(
    system: System, shape: Shape, members: list[Any], output: np.ndarray, own: Mapping[str, np.ndarray]
) -> _Batch:
    numbers, plans, weights, rows, places = zip(*members, strict=True)
    doses, layout = doses_of(plans, np.array(weights))
    whose = np.concatenate([np.full(len(mine), k) for k, mine in enumerate(rows)])
    mine = np.concatenate(rows)
    covariates = [own[system.parameters[i]][mine] for i in shape.changing[: shape.varying]]
    pick = Pick(output[mine], np.concatenate(places), whose, np.array(covariates).reshape(-1, len(mine)))
    doses, layout, pick = jax.tree.map(jnp.asarray, (doses, layout, pick))
    return _Batch(shape, np.array(numbers), mine, doses, layout, pick)
