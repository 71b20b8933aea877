"""Bootstrap: the same fit to subjects drawn again, or to rows where a subject has one.

Subjects are drawn within their dosing group, and in destructive designs within their time, so that every sample has the
design of the study (Efron and Tibshirani 1993; for destructive sampling Mager and Goeller 1998, J Pharm Sci 87, 372).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.draws import INTERVAL
from mscpkpd.fitting.least_squares import Estimate, estimate, moved
from mscpkpd.fitting.nuts import Progress
from mscpkpd.fitting.workers import Say, run_spread, workers_for
from mscpkpd.problem import Problem

__all__ = ["Resampled", "bootstrapped", "strata"]

FEWEST = 5  # subjects below which rows are drawn instead
STREAM = 7  # of bootstrap samples, apart from those of starts


@dataclass(frozen=True, eq=False)
class Resampled:
    """Estimates from all samples that could be fitted.

    Attributes
    ----------
    values : dict of str to array of shape (n_samples,)
        Natural scale, noise included.
    unit : str
        What was drawn: "subjects" or "rows".
    wanted, failed : int
        Samples, and those among them that could not be fitted.
    """

    values: dict[str, np.ndarray]
    unit: str
    wanted: int
    failed: int

    @property
    def sentence(self) -> str:
        """What was drawn, and how much of it failed."""
        text = f"intervals from {self.wanted} bootstrap samples of {self.unit}, drawn within dosing group"
        return f"{text}; {self.failed} of them could not be fitted."

    def spread(self, name: str) -> dict[str, float]:
        """Percentile limits and SD of one parameter."""
        values = self.values[name]
        lower, upper = np.percentile(values, [50 * (1 - INTERVAL), 50 * (1 + INTERVAL)])
        return {"lower": float(lower), "upper": float(upper), "sd": float(np.std(values, ddof=1))}


@dataclass(frozen=True, eq=False)
class Samples:
    """Bootstrap samples for a worker."""

    problem: Problem
    names: tuple[str, ...]
    drawn_from: tuple[tuple[np.ndarray, ...], ...]
    numbers: tuple[int, ...]
    seed: int

    def run(self, say: Say) -> list[tuple[int, dict[str, float]]]:
        """Fit each sample; those that cannot be fitted are empty."""
        found = []
        for number in self.numbers:
            found.append((number, self._estimates(number)))
            say(sample=number)
        return found

    def _estimates(self, number: int) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, STREAM, number])
        times = np.zeros(len(self.problem.rows))
        for stratum in self.drawn_from:
            for k in rng.integers(len(stratum), size=len(stratum)):
                times[stratum[k]] += 1
        try:
            found = estimate(self.problem, self.names, times)
        except (FitError, np.linalg.LinAlgError, ValueError):
            return {}
        if not found.success:
            return {}
        priors = {p.name: p.prior for p in self.problem.free}
        values = {n: float(priors[n].from_free(z)) for n, z in zip(found.names, found.free_values, strict=True)}
        return {**values, **found.noise}


def bootstrapped(
    problem: Problem, found: Estimate, samples: int, seed: int, cores: int | None, progress: Progress | None
) -> Resampled:
    """Fit samples of the study.

    Parameters
    ----------
    problem : Problem
    found : Estimate
        Of the study itself, where every search starts.
    samples : int
    seed : int
        Same seed, same samples, on any number of processors.
    cores : int or None
        Processes; all processors unless given.
    progress : callable or None

    Returns
    -------
    Resampled

    Raises
    ------
    UsageError
        If there is nothing to draw from.
    """
    unit, drawn_from = strata(problem)
    workers, here = workers_for(cores, samples), moved(problem, found)
    jobs = [Samples(here, found.names, drawn_from, tuple(range(w, samples, workers)), seed) for w in range(workers)]
    done = [0]

    def report(_: object) -> None:
        done[0] += 1
        if progress:
            progress(done[0], samples, "bootstrap samples")

    each: Sequence[Any] = sorted((one for part in run_spread(jobs, report) for one in part), key=lambda one: one[0])
    fitted = [values for _, values in each if values]
    if len(fitted) < 2:
        raise FitError("no bootstrap sample could be fitted", hint="fewer free parameters, or no bootstrap")
    names = (*found.names, *found.noise)
    return Resampled(
        {name: np.array([values[name] for values in fitted]) for name in names}, unit, samples, samples - len(fitted)
    )


def strata(problem: Problem) -> tuple[str, tuple[tuple[np.ndarray, ...], ...]]:
    """What is drawn, and the rows of each unit by stratum.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    unit : str
        "subjects", "animals at each time" (destructive sampling) or "rows".
    strata : tuple of tuple of array of int
        Rows of each unit.

    Raises
    ------
    UsageError
        For fewer than 5 rows.
    """
    rows = problem.rows
    members: dict[str, list[int]] = {}
    for k, subject in enumerate(rows.subject):
        members.setdefault(subject, []).append(k)
    units = [np.array(mine) for mine in members.values()]
    if len(units) < FEWEST:
        if len(rows) < FEWEST:
            raise UsageError(f"{len(rows)} rows are too few for a bootstrap", expected=f"at least {FEWEST}")
        return "rows", (tuple(np.array([k]) for k in range(len(rows))),)
    destructive = all(len(set(rows.time[mine])) == 1 for mine in units)
    by_time = _grouped(units, [(int(rows.group[mine[0]]), float(rows.time[mine[0]])) for mine in units])
    if destructive and min(map(len, by_time)) >= 2:
        return "animals, within each time", by_time
    return "subjects", _grouped(units, [tuple(sorted({int(g) for g in rows.group[mine]})) for mine in units])


def _grouped(units: Sequence[np.ndarray], keys: Sequence[object]) -> tuple[tuple[np.ndarray, ...], ...]:
    found: dict[object, list[np.ndarray]] = {}
    for unit, key in zip(units, keys, strict=True):
        found.setdefault(key, []).append(unit)
    return tuple(tuple(own) for own in found.values())
