"""Chains of a sampled fit: in worker processes, kept on disk as they are drawn, and gathered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mscpkpd.errors import InputError
from mscpkpd.fitting.chain import Chains
from mscpkpd.fitting.frame import Frame, find_frame
from mscpkpd.fitting.kept import Leg, Place
from mscpkpd.fitting.parametrization import draw_names, parametrized
from mscpkpd.fitting.workers import run_jobs, workers_for
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["TARGET_ACCEPT", "Arrays", "Progress", "drawing_place", "framed", "sample_chains"]

# Few data leave narrow tails, where parameters exchange roles; there the usual 0.8 takes steps that diverge.
TARGET_ACCEPT = 0.95

# Called with what is done and what is wanted, warm-up included, over all chains, and with what else is known in words.
Progress = Callable[[int, int, str], None]

Arrays = dict[str, np.ndarray]
Posed = TypeVar("Posed", Problem, Population)


def sample_chains(
    problem: Problem | Population,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    cores: int | None = None,
    target_accept: float = TARGET_ACCEPT,
    progress: Progress | None = None,
    frame: Frame | None = None,
    folder: Path | None = None,
) -> tuple[Arrays, Arrays]:
    """Sample chains of a problem.

    Parameters
    ----------
    problem : Problem or Population
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain; number of chains.
    seed : int
        Same seed, same draws, on any number of cores: each chain has a stream of its own.
    cores : int, optional
        Worker processes; by default as many as there are processors.
    target_accept : float
        Acceptance that the step size aims at.
    progress : callable, optional
        Receives draws done, draws wanted and words.
    frame : Frame, optional
        Coordinates of the sampler; found here unless given.
    folder : Path, optional
        Claimed for this run; draws that it holds are not drawn again.

    Returns
    -------
    posterior, statistics : dict of str to array of shape (chains, draws)

    Raises
    ------
    FitError
        If a worker stopped; the message holds its last words.
    """
    with drawing_place(folder) as place:
        if frame is None:
            if isinstance(problem, Population):
                problem, frame = framed(problem, place)
            else:
                problem, frame = framed(problem, place)
        legs = place.legs(chains, draws, tune, seed)
        workers = workers_for(cores, len(legs))
        jobs = [
            Chains(problem, frame, tuple(legs[w::workers]), target_accept, str(place.folder)) for w in range(workers)
        ]
        if legs:
            run_jobs(jobs, _Told(legs, chains * (draws + tune), progress) if progress else None)
        theta, statistics = place.collected(chains, draws)
    return {name: theta[..., k] for k, name in enumerate(_names(problem))}, statistics


@contextmanager
def drawing_place(folder: Path | None) -> Iterator[Place]:
    """Where draws go: a folder that stays, or one that goes when the block ends."""
    if folder is not None:
        yield Place(folder)
        return
    with tempfile.TemporaryDirectory(prefix="mscpkpd-") as name:
        yield Place(Path(name))


def framed(problem: Posed, place: Place) -> tuple[Posed, Frame]:
    """Coordinates of a run: those that its draws are in, or found and kept."""
    known = place.frame()
    if known and isinstance(problem, Population):
        odd = set(known[1]) - {effect.name for effect in problem.effects}
        if odd:
            raise InputError(
                f"the draws kept here are centred by {', '.join(sorted(odd))}, as another version had it",
                where=str(place.folder), hint="remove the folder to start anew",
            )  # fmt: skip
    if isinstance(problem, Population):
        frame, chosen = (known[0], replace(problem, centred=known[1])) if known else parametrized(problem)[::-1]
    else:
        frame, chosen = known[0] if known else find_frame(problem), problem
    if not known:
        place.keep_frame(frame, chosen.centred if isinstance(chosen, Population) else ())
    return chosen, frame


def _names(problem: Problem | Population) -> tuple[str, ...]:
    """Names of what a sampler draws."""
    return draw_names(problem) if isinstance(problem, Population) else problem.names


class _Told:
    """Reports of workers as progress over all chains."""

    def __init__(self, legs: list[Leg], wanted: int, progress: Progress) -> None:
        self.wanted, self.progress = wanted, progress
        self.before = wanted - sum(leg.tune + leg.draws for leg in legs)
        self.chains: dict[int, Mapping[str, Any]] = {}

    def __call__(self, report: Mapping[str, Any]) -> None:
        self.chains[int(report["chain"])] = report
        done = self.before + sum(int(each["drawn"]) for each in self.chains.values())
        steps = [each["step"] for each in self.chains.values() if each["step"] is not None]
        divergences = sum(int(each["diverging"]) for each in self.chains.values())
        words = f"{divergences} divergences" if divergences != 1 else "1 divergence"
        if steps:
            words += f", step size {min(steps):.3g}"
        self.progress(done, self.wanted, words)
