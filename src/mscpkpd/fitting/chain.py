"""Chains of a sampled fit in one worker, each stretch written to disk as it is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.kept import Leg, Place, so_far
from mscpkpd.fitting.workers import Say
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["Chains", "compile_problem", "run_leg"]

EVERY_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Chains:
    """What a worker is asked to draw.

    Attributes
    ----------
    problem : Problem or Population
    frame : Frame
        Coordinates in which the posterior is about standard normal.
    legs : tuple of Leg
        One after the other.
    target_accept : float
    folder : str
        Where draws go.
    """

    problem: Problem | Population
    frame: Frame
    legs: tuple[Leg, ...]
    target_accept: float
    folder: str

    def run(self, say: Say) -> None:
        """Draw."""
        meter = _Meter(say)
        compiled = compile_problem(self.problem, self.frame, meter)
        place = Place(Path(self.folder))
        for leg in self.legs:
            meter.begin(leg, place.store(leg))
            run_leg(compiled, leg, place, self.target_accept)
            meter.end()


def compile_problem(problem: Problem | Population, frame: Frame, passed: Callable[[], None]) -> Any:
    """Compile the log density of a problem in a frame for the sampler; `passed` is called at each draw."""
    from mscpkpd.fitting.repeated import Repeated  # PyMC and JAX are slow to load

    return Repeated().density(problem, frame).for_sampler(passed)


def run_leg(compiled: Any, leg: Leg, place: Place, target_accept: float) -> None:
    """Draw one stretch of a chain into its store.

    Raises
    ------
    KeyboardInterrupt
        If the sampler was told to stop; what was drawn is in the store.
    """
    import nutpie

    store = place.store(leg)
    store.mkdir(parents=True)
    if leg.start is not None:
        compiled = begun_at(compiled, leg.start)
    nutpie.sample(
        compiled, draws=leg.draws, tune=leg.tune, chains=1, cores=1, seed=leg.seed, progress_bar=False,
        target_accept=target_accept, return_raw_trace=True, zarr_store=nutpie.zarr_store.LocalStore(str(store)),
    )  # fmt: skip
    if so_far(store)[0] < leg.draws:  # nutpie takes an interrupt for the end
        raise KeyboardInterrupt
    place.finish(leg)


def begun_at(compiled: Any, start: np.ndarray) -> Any:
    """The same compiled model, whose chains begin at a point without jitter."""
    return replace(compiled, _make_initial_points=lambda _: start.copy())


class _Meter:
    """Counts draws and says so about once a second, with what the store shows by then."""

    def __init__(self, say: Say) -> None:
        self.say, self.drawn, self.last = say, 0, 0.0
        self.leg, self.store = Leg(-1, 0, 0, 0, 0), Path()

    def begin(self, leg: Leg, store: Path) -> None:
        self.leg, self.store, self.drawn = leg, store, 0

    def end(self) -> None:
        self.drawn = self.leg.tune + self.leg.draws
        self._report()

    def __call__(self) -> None:
        self.drawn += 1
        if time.monotonic() - self.last > EVERY_SECONDS:
            self._report()

    def _report(self) -> None:
        _, diverging, step = so_far(self.store)
        self.last = time.monotonic()
        self.say(
            chain=self.leg.chain, drawn=min(self.drawn, self.leg.tune + self.leg.draws), diverging=diverging, step=step
        )
