"""Several searches from different starts: how many find the best optimum, and what else there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mscpkpd.errors import FitError
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.least_squares import Estimate, estimate
from mscpkpd.fitting.nuts import Progress
from mscpkpd.fitting.residuals import BOX
from mscpkpd.fitting.workers import Say, run_spread, workers_for
from mscpkpd.problem import FreeParameter, Problem

__all__ = ["Ends", "searched"]

SAME = 0.01  # of minus2ll: searches that end this close have reached the same optimum
APART = 0.5  # standard errors: an optimum this far away, and no worse, is another one


@dataclass(frozen=True, eq=False)
class End:
    """Where a search ended: minus2ll, transformed values, or why it did not."""

    number: int
    minus2ll: float
    z: np.ndarray
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Ends:
    """Where all searches ended.

    Attributes
    ----------
    ends : tuple of End
    errors : array of shape (n,)
        Standard errors at the best one, transformed scale.
    names : tuple of str
    """

    ends: tuple[End, ...]
    errors: np.ndarray
    names: tuple[str, ...]

    @cached_property
    def best(self) -> End:
        """The end with the least minus2ll."""
        return min(self.ends, key=lambda end: end.minus2ll)

    @cached_property
    def twins(self) -> tuple[str, ...]:
        """Parameters that another end, no worse, puts elsewhere."""
        equal = [end for end in self.ends if end.minus2ll - self.best.minus2ll < SAME]
        moved = np.array([np.abs(end.z - self.best.z) for end in equal]).max(axis=0)
        return tuple(name for name, apart in zip(self.names, moved > APART * self.errors, strict=True) if apart)

    @property
    def sentence(self) -> str:
        """How many starts reached the best optimum, and where the others ended."""
        above = np.array([end.minus2ll - self.best.minus2ll for end in self.ends])
        reached, failed = int(np.sum(above < SAME)), int(np.sum(~np.isfinite(above)))
        text = f"{reached} of {len(self.ends)} starts reached the best optimum (minus2ll {self.best.minus2ll:.2f})"
        worse = above[np.isfinite(above) & (above >= SAME)]
        if len(worse):
            text += f"; {len(worse)} ended elsewhere, the best of them {worse.min():.3g} above it"
        if failed:
            text += f"; {failed} ended nowhere"
        if self.twins:
            text += (
                f"; other values of {', '.join(self.twins)} fit as well: the data do not determine them, so fix one or "
                "use method='nuts'"
            )
        elif reached == 1:
            text += "; one start alone says little, so take more"
        return text + "."


@dataclass(frozen=True, eq=False)
class Searches:
    """Searches for a worker."""

    problem: Problem
    names: tuple[str, ...]
    starts: tuple[tuple[int, np.ndarray], ...]

    def run(self, say: Say) -> list[End]:
        """Search from each start."""
        ends = []
        for number, theta in self.starts:
            ends.append(_end(self.problem, self.names, number, theta))
            say(search=number)
        return ends


def searched(
    problem: Problem, first: Estimate, starts: int, seed: int, cores: int | None, progress: Progress | None
) -> tuple[Estimate, Ends]:
    """Search from more starts, drawn from the priors.

    Parameters
    ----------
    problem : Problem
    first : Estimate
        Of the search from the usual start, which is one of the starts.
    starts : int
        At least 2.
    seed : int
        Same seed, same starts, on any number of processors.
    cores : int or None
        Processes; all processors unless given.
    progress : callable or None

    Returns
    -------
    Estimate
        The best.
    Ends
    """
    drawn = [(k, _start(problem, first.names, seed, k)) for k in range(1, starts)]
    workers = workers_for(cores, len(drawn))
    jobs = [Searches(problem, first.names, tuple(drawn[w::workers])) for w in range(workers)]
    done = [1]

    def report(_: object) -> None:
        done[0] += 1
        if progress:
            progress(done[0], starts, "starts")

    ends: Sequence[End] = [end for found in run_spread(jobs, report) for end in found]
    here = End(0, _minus2ll(problem, first), first.free_values)
    ordered = (here, *sorted(ends, key=lambda end: end.number))
    best = min(ordered, key=lambda end: end.minus2ll)
    if here.minus2ll - best.minus2ll > SAME:
        start = _placed(problem, first.names, best.z)
        first = estimate(replace(problem, free=start), first.names)
    return first, Ends(ordered, np.sqrt(np.diag(first.covariance)), first.names)


def _start(problem: Problem, names: tuple[str, ...], seed: int, number: int) -> np.ndarray:
    """Values drawn from the priors; every start has a stream of its own."""
    rng, theta = np.random.default_rng([seed, number]), problem.start
    for k, p in enumerate(problem.free):
        if p.name in names:
            low, high = sorted(float(p.prior.quantile(q)) for q in BOX)
            theta[k] = float(np.clip(p.prior.sample(rng, 1)[0], low, high))
    return theta


def _placed(problem: Problem, names: tuple[str, ...], z: np.ndarray) -> tuple[FreeParameter, ...]:
    values = dict(zip(names, z, strict=True))
    return tuple(
        replace(p, start=float(p.prior.from_free(values[p.name]))) if p.name in values else p for p in problem.free
    )


def _end(problem: Problem, names: tuple[str, ...], number: int, theta: np.ndarray) -> End:
    free = tuple(replace(p, start=float(value)) for p, value in zip(problem.free, theta, strict=True))
    there = replace(problem, free=free)
    try:
        found = estimate(there, names)
    except (FitError, np.linalg.LinAlgError, ValueError) as error:
        return End(number, np.inf, np.full(len(names), np.nan), str(error).splitlines()[0])
    return End(number, _minus2ll(there, found), found.free_values)


def _minus2ll(problem: Problem, found: Estimate) -> float:
    """Of all rows, with the noise that the residuals show."""
    known = {p.name: p.prior for p in problem.free}
    values = {n: float(known[n].from_free(z)) for n, z in zip(found.names, found.free_values, strict=True)}
    values |= found.noise
    theta = np.array([values.get(p.name, p.start) for p in problem.free])
    prediction = problem.predict(theta)
    if prediction.failure:
        return np.inf
    total = float(-2.0 * np.sum(densities(problem, prediction.value, problem.values(theta)).value))
    return total if np.isfinite(total) else np.inf
