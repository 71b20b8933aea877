"""A problem whose parameters differ between subjects, lots, studies: predictions with derivatives by random effects.

Rows that share doses, covariates and the group of every level form one case, which is solved once. All random effects
stand in one vector `eta`: level by level, group by group, effect by effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mscpkpd.data import Study
from mscpkpd.dosing import Regimen
from mscpkpd.errors import SolveError
from mscpkpd.model import Model
from mscpkpd.observations import Rows
from mscpkpd.problem import TRIED, Problem, pose
from mscpkpd.variability import Effect, Level, label_of, levels_of

if TYPE_CHECKING:
    from mscpkpd.engine.predictions import Predictions

__all__ = ["Population", "PopulationPrediction", "pose_population"]


OF_DESIGN = ("sampled_by", "exactly")  # what is dear and does not depend on values of rows
CARRIED = 0.01  # share of a prediction that may stem from earlier occasions without a word


@dataclass(frozen=True)
class PopulationPrediction:
    """Predicted values of all rows.

    Attributes
    ----------
    value : array of shape (n_rows,)
        In the units of the outputs; NaN where a solve failed.
    by_eta : array of shape (n_rows, n_effects)
        Derivatives by the random effects of the row's own groups, in the units of the outputs; shape (n_rows, 0)
        where they were not asked for.
    by_theta : array of shape (n_rows, n_free)
        Derivatives by the free parameters on their natural scale; shape (n_rows, 0) where they were not asked for.
    failed : array of bool, shape (n_rows,)
    """

    value: np.ndarray
    by_eta: np.ndarray
    by_theta: np.ndarray
    failed: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """A problem with random effects.

    Attributes
    ----------
    problem : Problem
        What is typical, and the noise.
    levels : tuple of Level
        Random effects.
    case : array of int, shape (n_rows,)
        Case of each row.
    point_case : array of int, shape (n_points,)
        Case of each point that the rows are predicted from.
    group : array of int, shape (n_cases,)
        Position of each case in the groups of the problem.
    member : array of int, shape (n_levels, n_cases)
        Group of each case in each level; -1 where it has none, as reported means have no subject.
    notes : tuple of str
        Effects that were left out and why; priors that were chosen.
    centred : tuple of str
        Effects that a sampler takes as they are, such as "eta_CL"; all others are sampled in units of their spread.
    """

    problem: Problem
    levels: tuple[Level, ...]
    case: np.ndarray
    group: np.ndarray
    member: np.ndarray
    notes: tuple[str, ...] = ()
    centred: tuple[str, ...] = ()
    point_case: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    def __getstate__(self) -> dict[str, object]:
        """Compiled functions do not travel between processes; they are made again where they are needed."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def rebound(self, rows: Rows) -> Population:
        """The same population with other observations of the same design.

        Parameters
        ----------
        rows : Rows
            As for `Problem.rebound`.

        Returns
        -------
        Population
            What depends on the design alone is shared with this one, compiled functions included.

        Raises
        ------
        DataError
            If the design is another.
        """
        found = replace(self, problem=self.problem.rebound(rows))
        found.__dict__.update({name: self.__dict__[name] for name in OF_DESIGN if name in self.__dict__})
        return found

    # ---- the random effects ------------------------------------------------------------------------------------------

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """All effects, level by level."""
        return tuple(effect for level in self.levels for effect in level.effects)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each level begins in `eta`; the last number is the length of `eta`."""
        sizes = [len(level.labels) * len(level.effects) for level in self.levels]
        return tuple(int(x) for x in np.concatenate([[0], np.cumsum(sizes)]).astype(int))

    @cached_property
    def places(self) -> np.ndarray:
        """Position in `eta` of each effect for each case, shape (n_effects, n_cases); -1 where a case has none."""
        rows = []
        for k, level in enumerate(self.levels):
            for e in range(len(level.effects)):
                place = self.offsets[k] + self.member[k] * len(level.effects) + e
                rows.append(np.where(self.member[k] >= 0, place, -1))
        return np.array(rows, dtype=int).reshape(len(self.effects), len(self.group))

    @cached_property
    def eta_names(self) -> tuple[str, ...]:
        """``eta_CL[S1]`` for each entry of `eta`."""
        return tuple(
            f"{effect.name}[{label}]" for level in self.levels for label in level.labels for effect in level.effects
        )

    def eta_of(self, k: int, eta: np.ndarray) -> np.ndarray:
        """Effects of the k-th level, shape (..., n_groups, n_effects)."""
        level, mine = self.levels[k], slice(self.offsets[k], self.offsets[k + 1])
        return np.asarray(eta)[..., mine].reshape(*np.shape(eta)[:-1], len(level.labels), len(level.effects))

    # ---- values ------------------------------------------------------------------------------------------------------

    @cached_property
    def positions(self) -> dict[str, int]:
        """Place of each parameter of the system."""
        return {name: k for k, name in enumerate(self.problem.system.parameters)}

    @cached_property
    def moving(self) -> tuple[str, ...]:
        """Parameters of the system that are free or vary."""
        wanted = {*self.problem.names, *(effect.parameter for effect in self.effects)}
        return tuple(name for name in self.positions if name in wanted)

    def of_cases(self, eta: np.ndarray) -> np.ndarray:
        """Random effects of each case, shape (n_effects, n_cases); 0 where it has none."""
        extended = np.append(np.asarray(eta, dtype=float), 0.0)
        return np.asarray(extended[self.places])

    def typical(self, theta: np.ndarray) -> np.ndarray:
        """Values of the parameters of the system without random effects, shape (n_parameters, n_cases).

        Covariates have the value of the model here: an engine puts those of each subject in their place.
        """
        values = self.problem.values(theta)
        return np.array([values[name] for name in self.positions])[:, None] * np.ones(len(self.group))

    def individual(self, theta: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """Values of the parameters of the system for each case, shape (n_parameters, n_cases)."""
        table, each = self.typical(theta), self.of_cases(eta)
        for name, mine in self._effects_of.items():
            k, scale = self.positions[name], self.effects[mine[0]].scale
            added = sum(self.effects[e].scale.added(each[e]) for e in mine)
            table[k] = scale.from_free(scale.to_free(table[k]) + added)
        return table

    @cached_property
    def _effects_of(self) -> dict[str, list[int]]:
        """Effects of each parameter that varies."""
        found: dict[str, list[int]] = {}
        for e, effect in enumerate(self.effects):
            found.setdefault(effect.parameter, []).append(e)
        return found

    # ---- predictions -------------------------------------------------------------------------------------------------

    @cached_property
    def sampled_by(self) -> str:
        """The engine that predicts: "exact" where it can, unless the problem asks for "stiff"."""
        return "stiff" if self.problem.sampled_by == "stiff" or self.exactly is None else "exact"

    @cached_property
    def exactly(self) -> Predictions | None:
        """All rows by the exact engine; None where it does not solve them."""
        if self.problem.sampled_by == "stiff":
            return None
        from mscpkpd.engine.predictions import predictions_of  # JAX is slow to load

        points, groups = self.problem.rows.points, [self.problem.groups[g] for g in self.group]
        return predictions_of(
            self.problem.system, [(group.regimen, group.weight) for group in groups], subject=self.point_case,
            output=points.output, time=points.time, hours=self.problem.hours, tolerance=self.problem.tolerance,
            courses=[group.course for group in groups], own=points.covariates,
        )  # fmt: skip

    def predict(
        self, theta: np.ndarray, eta: np.ndarray, *, by_eta: bool = False, by_theta: bool = False
    ) -> PopulationPrediction:
        """Predict every row.

        Parameters
        ----------
        theta : array of shape (n_free,)
            Free parameters on their natural scale.
        eta : array of shape (n_eta,)
            Random effects, on the scales of their parameters.
        by_eta, by_theta : bool
            Which derivatives are wanted.

        Returns
        -------
        PopulationPrediction
        """
        names = self.moving if by_theta else tuple(self._effects_of) if by_eta else ()
        values, each = self.individual(theta, eta), self.of_cases(eta)
        value, slopes = self.solved(values, np.array([self.positions[name] for name in names], dtype=int))
        column = {name: k for k, name in enumerate(names)}
        count = len(value)
        of_eta, of_theta = np.zeros((count, len(self.effects) if by_eta else 0)), np.zeros((count, 0))
        bent = {
            name: self.effects[mine[0]].scale.slope(values[self.positions[name]])
            for name, mine in self._effects_of.items()
        }
        for e, effect in enumerate(self.effects if by_eta else ()):
            chain = bent[effect.parameter] * effect.scale.added_slope(each[e]) * (self.places[e] >= 0)
            of_eta[:, e] = slopes[:, column[effect.parameter]] * chain[self.point_case]
        if by_theta:
            of_theta = self._by_theta(theta, slopes, column, bent)
        points = self.problem.rows.points
        rows, of_theta = (
            points.rows(value),
            points.chained(value, of_theta) if by_theta else np.zeros((len(self.case), 0)),
        )
        return PopulationPrediction(rows, points.chained(value, of_eta), of_theta, ~np.isfinite(rows))

    def _by_theta(
        self, theta: np.ndarray, slopes: np.ndarray, column: Mapping[str, int], bent: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        out, typical = np.zeros((len(slopes), len(self.problem.names))), self.typical(theta)
        for k, name in enumerate(self.problem.names):
            if name not in column:
                continue
            out[:, k] = slopes[:, column[name]]
            if name in bent:
                start = self.effects[self._effects_of[name][0]].scale.slope(typical[self.positions[name]])
                out[:, k] *= (bent[name] / start)[self.point_case]
        return out

    def solved(self, values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict every point for given values of each case.

        Parameters
        ----------
        values : array of shape (n_parameters, n_cases)
            In the order of the system and the units of the model.
        places : array of int, shape (n_places,)
            Parameters to differentiate by.

        Returns
        -------
        points : array of shape (n_points,)
            In the units of the outputs; NaN where a solve failed.
        slopes : array of shape (n_points, n_places)
            In the units of the outputs by those of the parameters.
        """
        if self.exactly is not None:
            try:
                return self.exactly.sloped(values, places)
            except SolveError:
                pass  # one case that cannot be solved leaves the others alone
        value = np.full(len(self.point_case), np.nan)
        slopes = np.full((len(self.point_case), len(places)), np.nan)
        for c, g in enumerate(self.group):
            mine = np.flatnonzero(self.point_case == c)
            asked = places if len(places) else None
            value[mine], part, _ = self.problem.predict_group(self.problem.groups[g], mine, values[:, c], asked)
            if part is not None:
                slopes[mine] = part
        return value, slopes

    def traced(self) -> Callable[[Any], Any]:
        """Predict all points as a function of the values of each case that JAX can trace, by the exact engine.

        Returns
        -------
        callable
            From values of shape (n_parameters, n_cases) to points, (n_points,); NaN where the steps, which are chosen
            for draws of the priors and of the random effects, are not fine enough.
        """
        assert self.exactly is not None  # noqa: S101 (`sampled_by` said so)
        return self.exactly.traced(self._tried())

    def _tried(self) -> np.ndarray:
        """Values for which the steps of a traced prediction are to be fine enough, (n_parameters, n_tried)."""
        rng, free = np.random.default_rng(0), self.problem.free
        draws = np.stack([parameter.prior.sample(rng, TRIED) for parameter in free], axis=1)
        tables = []
        for theta in draws:
            sds = np.concatenate(
                [np.tile([e.sd for e in level.effects], len(level.labels)) for level in self.levels] or [np.zeros(0)]
            )
            tables.append(self.individual(theta, sds * rng.standard_normal(self.offsets[-1])))
        columns = np.concatenate(tables, axis=1)
        return np.asarray(columns[:, np.all(np.isfinite(columns), axis=0)])


def pose_population(
    model: Model,
    study: Study,
    free: Collection[str] | None = None,
    fix: Mapping[str, float] | None = None,
    *,
    random: Collection[str] | bool | None = None,
    by_subject: bool = False,
) -> Population:
    """Bind a model to a study with the random effects that the model declares and the data can tell.

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
    random : collection of str, bool or None
        Random effects; see `levels_of`.
    by_subject : bool
        Whether each subject is a case of its own even where nothing that the model knows tells it from others.

    Returns
    -------
    Population
        Without levels where nothing varies.

    Raises
    ------
    UnknownName
        For a parameter or random effect that the model does not have.
    UsageError
        If nothing is left to learn, or a random effect that was asked for cannot be had.
    DataError
        If the study does not fit the model.
    """
    problem = pose(model, study, free, fix)
    levels, notes = levels_of(problem, random=random)
    population = _cases(problem, levels, notes, by_subject=by_subject)
    return replace(population, notes=(*notes, *_carried_over(population)))


def _carried_over(population: Population) -> tuple[str, ...]:
    """Say where what is left of earlier doses is carried with the parameters of a later occasion.

    A case is solved with its own parameters from time 0 on, which is exact where earlier doses have washed out.
    """
    problem = population.problem
    values = population.individual(problem.start, np.zeros(population.offsets[-1]))
    largest = 0.0
    for c, g in enumerate(population.group):
        mine, points = np.flatnonzero(population.case == c), np.flatnonzero(population.point_case == c)
        if not len(mine):  # a case of baselines alone
            continue
        own = np.array([subject == problem.rows.subject[mine[0]] for subject in problem.rows.subject])
        other = np.any(population.member[:, population.case] != population.member[:, c, None], axis=0)
        ends = problem.rows.time[own & other & (problem.rows.time < np.min(problem.rows.time[mine]))]
        if not len(ends):
            continue
        group = problem.groups[g]
        earlier = Regimen(tuple(dose for dose in group.regimen if dose.time <= np.max(ends) * problem.hours))
        left, _, _ = problem.predict_group(replace(group, regimen=earlier), points, values[:, c], None)
        whole, _, _ = problem.predict_group(group, points, values[:, c], None)
        largest = max(largest, float(np.max(np.abs(left)) / max(float(np.max(np.abs(whole))), 1e-300)))
    if not largest > CARRIED:
        return ()
    share = f"what is left of earlier occasions, up to {largest:.0%} of the prediction"
    return (
        f"{share}, is carried with the parameters of the present one, which is exact after a washout or a reset alone",
    )


def _cases(problem: Problem, levels: tuple[Level, ...], notes: tuple[str, ...], *, by_subject: bool) -> Population:
    study, rows = problem.study, problem.rows
    known: dict[tuple[int, tuple[int, ...], str], int] = {}
    case, owns = np.empty(len(rows), dtype=int), []
    unlike = np.zeros(len(rows), dtype=bool) if rows.unlike is None else rows.unlike
    places = [{label: k for k, label in enumerate(level.labels)} for level in levels]
    for r, record in enumerate(study.records):
        subject = study.subject(record.subject)
        own = tuple(
            -1
            if unlike[r] or (rows.of_several[r] and level.name in ("subject", "occasion"))
            else place[label_of(subject, record, level.name)]
            for level, place in zip(levels, places, strict=True)
        )
        owns.append((own, subject.id if by_subject else ""))
        case[r] = known.setdefault((int(rows.group[r]), *owns[-1]), len(known))
    points = rows.points
    asked = [(int(g), *owns[r]) for g, r in zip(points.group, points.row, strict=True)]
    point_case = np.array([known.setdefault(key, len(known)) for key in asked], dtype=int)
    keys = list(known)
    member = np.array([own for _, own, _ in keys], dtype=int).reshape(len(keys), len(levels)).T
    group = np.array([group for group, _, _ in keys])
    return Population(problem, levels, case, group, member, notes, point_case=point_case)
