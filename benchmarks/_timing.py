"""Medians of ways that are measured in turns, on as many cores as the question says."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = (3, 40)  # at least, at most
TURN = 0.05  # s: a turn repeats what is shorter, since a sampler or a search asks again and again, too


@dataclass(frozen=True)
class Way:
    """One way to do a job.

    Attributes
    ----------
    name : str
    call : callable
        Does it once.
    units : int
        How many subjects, gradients or fits one call does; times are per unit.
    tolerance : float or None
        What the solver was asked for.
    error : float or None
        How far its answer is from the reference.
    note : str
    """

    name: str
    call: Callable[[], object]
    units: int = 1
    tolerance: float | None = None
    error: float | None = None
    ready: bool = False
    baseline: bool = False


@dataclass(frozen=True)
class Timing:
    """Median and quartiles of one way, in ms a unit."""

    way: Way
    median: float
    low: float
    high: float
    rounds: int


def one_core() -> None:
    """Keep this process and its threads on one core; call it before anything is computed."""
    os.environ |= {"OMP_NUM_THREADS": "1", "PJRT_NPROC": "1"}  # as XLA does by itself on a machine of one core
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measured(ways: Sequence[Way], *, budget: float = 30.0) -> list[Timing]:
    """Time ways in turns, so that a busy moment of the machine hits all of them; a turn is one long call, or many.

    Parameters
    ----------
    ways : sequence of Way
        Each that is not ready is called once before the clock starts: compiled, cached and paged in.
    budget : float
        Seconds after which no further round begins; a way that takes a third of it is timed once.
    """
    for way in ways:
        if not way.ready:
            way.call()
    repeats = [1] * len(ways)
    times: list[list[float]] = [[] for _ in ways]
    least, most = ROUNDS
    begin, rounds = time.perf_counter(), 0
    while rounds < least or (rounds < most and time.perf_counter() - begin < budget):
        rounds += 1
        for k, (way, found) in enumerate(zip(ways, times, strict=True)):
            if not found or found[0] * way.units < 1e3 * budget / 3:
                took = sum(seconds(way.call) for _ in range(repeats[k])) / repeats[k]
                found.append(1e3 * took / way.units)
                repeats[k] = max(1, int(TURN / took))
    return [_timing(way, found) for way, found in zip(ways, times, strict=True)]


def _timing(way: Way, found: list[float]) -> Timing:
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return Timing(way, middle, low, high, len(found))
