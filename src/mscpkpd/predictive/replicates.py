"""Replicates of a study: what a fitted model says could have been observed in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mscpkpd.blq import with_blq
from mscpkpd.conversions import factor_of
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.coordinates import Spreads, drawn_effects, spreads_from
from mscpkpd.fitting.replicates import observe
from mscpkpd.fitting.result import SAMPLED, Fit
from mscpkpd.population import Population, pose_population
from mscpkpd.problem import Problem

__all__ = ["FEWEST", "Progress", "Replicates", "replicates"]

FEWEST = 500  # replicates under which percentiles of percentiles mean little (V1)
FROM_DRAWS = 200  # draws of the parameters that share the replicates: each costs a solve of every group

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Replicates:
    """Observations of single subjects, and as many simulated in their place.

    Attributes
    ----------
    output, subject, where : tuple of str
        Of each row; shape (n_rows,) as all arrays that follow.
    stratum : tuple of str
        Doses and route of the subject of each row.
    time : array of shape (n_rows,)
        Model time unit.
    observed : array of shape (n_rows,)
        In the unit of the output; -inf below the limit of quantification, inf above the upper one.
    lloq, uloq : array of shape (n_rows,)
        Limits in the unit of the output; NaN where none is known.
    predicted : array of shape (n_rows,)
        PRED: the prediction at the typical parameters.
    simulated : array of shape (n_replicates, n_rows)
        Without censoring.
    units : mapping of str to str
        Unit of each output.
    time_unit : str
        Of the model.
    settings : mapping
        Seed, numbers, what the parameters were.
    notes : tuple of str
        What was left out, and why.
    """

    output: tuple[str, ...]
    subject: tuple[str, ...]
    where: tuple[str, ...]
    stratum: tuple[str, ...]
    time: np.ndarray
    observed: np.ndarray
    lloq: np.ndarray
    uloq: np.ndarray
    predicted: np.ndarray
    simulated: np.ndarray
    units: Mapping[str, str]
    time_unit: str
    settings: Mapping[str, object]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time)

    def of(self, output: str) -> Replicates:
        """Keep the rows of one output."""
        return self.taken(np.flatnonzero(np.array(self.output) == output))

    def taken(self, rows: np.ndarray) -> Replicates:
        """Keep some rows, by their positions."""

        def of(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(texts[i] for i in rows)

        return replace(
            self, output=of(self.output), subject=of(self.subject), where=of(self.where), stratum=of(self.stratum),
            time=self.time[rows], observed=self.observed[rows], lloq=self.lloq[rows], uloq=self.uloq[rows],
            predicted=self.predicted[rows], simulated=self.simulated[:, rows],
        )  # fmt: skip

    def ranked(self) -> np.ndarray:
        """Simulated values under the limits of their rows: -inf below, inf above, shape (n_replicates, n_rows)."""
        low = np.where(self.simulated < self.lloq, -np.inf, self.simulated)
        return np.where(self.simulated > self.uloq, np.inf, low)


def replicates(
    fit: Fit, count: int = 1000, *, parameters: str = "", seed: int = 0, progress: Progress | None = None
) -> Replicates:
    """Simulate the study of a fit again and again: same subjects, doses, times and limits (V1).

    Parameters
    ----------
    fit : Fit
        Converged.
    count : int
        Replicates.
    parameters : str
        "estimate": all replicates at the estimates, as is usual after maximum likelihood. "draws": at draws of the
        posterior, so that its width shows. By default draws of a sampled fit and the estimate of any other.
    seed : int
        Of draws and noise.
    progress : callable, optional
        Called with the predictions done and all of them.

    Returns
    -------
    Replicates

    Raises
    ------
    FitError
        If the fit has not converged, or a prediction fails.
    UsageError
        If there are too few replicates, or no row of single subjects with a noise model.

    Notes
    -----
    Rows that summarise several subjects are left out: their distribution is not that of a subject. Random effects of a
    fit are drawn anew for each replicate. Rule V1.
    """
    if not fit.converged:
        raise FitError(fit.verdict, hint="a fit that has not converged has nothing to compare the data with")
    if count < FEWEST:
        raise UsageError(f"{count} replicates are too few", expected=f"at least {FEWEST}, better 1000 (V1)")
    chosen = parameters or ("draws" if fit.method in SAMPLED else "estimate")
    if chosen not in ("draws", "estimate"):
        raise UsageError(f"parameters = '{parameters}'", expected="'estimate' or 'draws'")
    # rows below a limit are ranked, whatever the fit made of them
    population = pose_population(with_blq(fit.model, "M3"), fit.study, random=fit.settings.get("random") or False)
    problem, nothing = population.problem, np.zeros(population.offsets[-1])
    single, left_out = _single_subjects(problem)
    predicted = _predicted(population, _estimate(fit, problem), nothing)
    simulated = np.empty((count, len(single)))
    thetas, spreads = _parameters(fit, population, chosen, count, seed)
    share = -(-count // len(thetas))
    among = np.isin(np.arange(len(problem.rows)), single)
    for k, theta in enumerate(thetas):
        pooled = None if population.levels else _predicted(population, theta, nothing)
        for j in range(k * share, min((k + 1) * share, count)):
            # one stream per replicate: as many as are asked for, the first ones stay what they were
            rng = np.random.default_rng([seed, j])
            f = pooled
            if f is None:  # other subjects each time
                f = _predicted(population, theta, drawn_effects(population, spreads[k], rng))
            simulated[j] = observe(problem, f, problem.values(theta), rng, among)[single]
        if progress:
            progress(k + 1, len(thetas))
    settings = {"replicates": count, "parameters": chosen, "draws": len(thetas), "seed": seed, "method": fit.method}
    return _assembled(problem, single, predicted[single], simulated, settings, left_out)


def _single_subjects(problem: Problem) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows that can be simulated, and what is said of the others."""
    rows = problem.rows
    outputs = [problem.model.output(rows.outputs[k]) for k in rows.output]
    noisy = np.array([output.noise is not None and not output.quantity for output in outputs])
    summary = rows.of_several
    kept = np.flatnonzero(noisy & ~summary)
    if len(kept) == 0:
        raise UsageError(
            f"study '{problem.study.name}' has no rows of single subjects with a noise model",
            hint="means and medians of groups have no visual predictive check; see fit.predictions",
        )
    notes = []
    if np.any(summary):
        notes.append(f"{int(summary.sum())} rows are summaries of several subjects and are left out")
    if np.any(~noisy & ~summary):
        notes.append(
            f"{int((~noisy & ~summary).sum())} rows have no noise model, or are no values over time, and are left out"
        )
    return kept, tuple(notes)


def _estimate(fit: Fit, problem: Problem) -> np.ndarray:
    known, start = fit.estimates, dict(zip(problem.names, problem.start, strict=True))
    return np.array([known.get(name, start[name]) for name in problem.names], dtype=float)


def _parameters(
    fit: Fit, population: Population, chosen: str, count: int, seed: int
) -> tuple[np.ndarray, list[Spreads]]:
    """Parameters of the replicates, shape (n_draws, n_free), and the spreads of random effects that go with them."""
    problem = population.problem
    if chosen == "estimate":
        return _estimate(fit, problem)[None], [spreads_from(population, fit.estimates)]
    drawn = fit.sample(min(FROM_DRAWS, count), seed)
    thetas = np.stack([drawn[name] for name in problem.names], axis=1)
    each = ({name: float(values[k]) for name, values in drawn.items()} for k in range(len(thetas)))
    return thetas, [spreads_from(population, values) for values in each]


def _predicted(population: Population, theta: np.ndarray, eta: np.ndarray) -> np.ndarray:
    if not population.levels:
        pooled = population.problem.predict(theta)
        value, failure = pooled.value, pooled.failure
    else:
        found = population.predict(theta, eta)
        value, failure = found.value, "a subject cannot be solved" if np.any(found.failed) else ""
    if failure:
        raise FitError(f"a prediction failed: {failure}", hint="fit.predictions shows where")
    return value


def _assembled(
    problem: Problem,
    single: np.ndarray,
    predicted: np.ndarray,
    simulated: np.ndarray,
    settings: Mapping[str, object],
    notes: tuple[str, ...],
) -> Replicates:
    rows = problem.rows
    names = tuple(rows.outputs[k] for k in rows.output[single])
    observed, lloq, uloq, more = _limits(problem, single, names)
    strata = [problem.groups[rows.group[i]].regimen.kinds for i in single]
    return Replicates(
        names,
        tuple(rows.subject[i] for i in single),
        tuple(rows.where[i] for i in single),
        tuple(strata),
        rows.time[single],
        observed,
        lloq,
        uloq,
        predicted,
        simulated,
        {name: problem.model.output(name).unit for name in dict.fromkeys(names)},
        problem.model.time,
        settings,
        notes + more,
    )


def _limits(
    problem: Problem, single: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Observed values with their censoring, and the limits under which each row was measured (B15).

    A row that states no limit has that of the censored rows of its output, if they all have the same one.
    """
    rows = problem.rows
    kind, value = rows.kind[single], rows.value[single]
    below = np.isin(kind, ("left", "interval"))  # detected but not quantified lies below the limit too (B14)
    above = kind == "right"
    lloq = np.where(below, rows.upper[single], _stated(problem, single, "lloq"))
    uloq = np.where(above, rows.lower[single], _stated(problem, single, "uloq"))
    notes = []
    for name in dict.fromkeys(names):
        mine = np.array(names) == name
        for limits, censored, side in ((lloq, below, "lower"), (uloq, above, "upper")):
            known = np.unique(limits[mine & censored])
            open_ = mine & np.isnan(limits)
            if len(known) == 1:
                limits[open_] = known[0]
            elif len(known) > 1 and np.any(open_):
                notes.append(
                    f"{name}: {int(open_.sum())} rows state no {side} limit and those of the censored rows differ; "
                    "their simulated values are not censored"
                )
    observed = np.where(below, -np.inf, np.where(above, np.inf, value))
    return observed, lloq, uloq, tuple(notes)


def _stated(problem: Problem, single: np.ndarray, name: str) -> np.ndarray:
    """A limit that the rows state, in the unit of their output."""
    out, study, model = np.full(len(single), np.nan), problem.study, problem.model
    for k, i in enumerate(single):
        record = study.records[i]
        limit = getattr(record, name)
        if limit is not None:
            out[k] = limit * factor_of(model.output(record.output), study.subject(record.subject), record)
    return out
