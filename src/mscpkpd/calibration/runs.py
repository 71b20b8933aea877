"""Many simulated studies, on several processors, kept as they are finished and resumed where they stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from mscpkpd.calibration.experiment import Experiment, Ranked
from mscpkpd.calibration.posteriors import Sampling
from mscpkpd.calibration.ranks import Calibration, judged
from mscpkpd.data import Study
from mscpkpd.designs import Design
from mscpkpd.errors import InputError, UsageError
from mscpkpd.fitting.nuts import TARGET_ACCEPT
from mscpkpd.fitting.workers import ONE_THREAD
from mscpkpd.model import Model

__all__ = ["calibrate"]

RANKED = 99  # draws behind a rank
SETTINGS, DONE = "settings.json", "studies.jsonl"
COLUMNS = ["study", "quantity", "truth", "rank", "mean", "sd"]

Progress = Callable[[int, int], None]

_WORK: list[Experiment] = []  # of this worker


def calibrate(
    model: Model,
    design: Design | Study,
    n: int = 200,
    *,
    method: str = "nuts",
    draws: int = 250,
    tune: int = 300,
    chains: int = 2,
    target_accept: float = TARGET_ACCEPT,
    fix: Mapping[str, float] | None = None,
    seed: int = 0,
    cores: int | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Fit many studies simulated from the priors, and see whether the posteriors hold the truth as often as they say.

    Parameters
    ----------
    model : Model
        With priors.
    design : Design or Study
        What is observed. Of a study, doses, times, limits and numbers of subjects count, and no value.
    n : int
        Simulated studies.
    method : str
        Of `fit`.
    draws, tune, chains : int
        Of every fit. "nuts" adds as many chains again, and again, where draws are too few for a rank: fewer than 1.5
        effective ones for each that is ranked, or parts that do not agree.
    target_accept : float
        Acceptance that the sampler's step size aims at, a probability.
    fix : mapping of str to float, optional
        Parameters held at these values, in the units of the model.
    seed : int
        Same seed, same ranks, on any number of cores.
    cores : int, optional
        Studies at a time; all processors by default.
    folder : str or Path, optional
        Where finished studies are kept; the same call goes on from there.
    progress : callable, optional
        Called with the studies done and all of them.

    Returns
    -------
    Calibration

    Raises
    ------
    UsageError
        For fewer than 20 studies, or draws too few for the ranks.
    InputError
        If the folder holds studies of something else.

    Notes
    -----
    Talts et al. 2018; the band by which all ranks are judged together is that of Saeilynoja et al. 2022. Truths are
    parameters drawn from their priors, spreads and correlations of random effects from theirs, and random effects of
    new groups. A worker compiles the log density once and puts the numbers of each study into it ("nuts"). Studies
    whose draws stay too few are counted as failures; divergent transitions are counted, and their studies ranked.
    """
    if n < 20 or draws * chains < RANKED:
        raise UsageError(
            f"{n} studies, {draws * chains} draws each", expected=f"at least 20 studies with {RANKED} draws"
        )
    template = design.study(model) if isinstance(design, Design) else design
    sampling = Sampling(draws, tune, chains, target_accept)
    experiment = Experiment(model, template, method, RANKED, sampling, dict(fix or {}), seed)
    settings = {
        "model": model.name, "values": model.values_name, "design": template.name, "digest": template.digest,
        "priors": {p.name: str(p.prior) for p in model.parameters if p.prior.is_free},
        "method": method, **asdict(sampling), "fix": dict(fix or {}), "seed": seed, "draws_ranked": RANKED,
    }  # fmt: skip
    place = None if folder is None else _place(Path(folder), settings)
    done = {each.study: each for each in _kept(place) if each.study < n}
    missing = [k for k in range(n) if k not in done]
    for found in _run(experiment, missing, cores or os.cpu_count() or 1):
        done[found.study] = found
        if place is not None:
            with place.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
        if progress:
            progress(len(done), n)
    ordered = [done[k] for k in range(n)]
    effort = {
        "seconds": round(sum(each.seconds for each in ordered), 1),
        "divergent": sum(each.divergent > 0 for each in ordered),
        "again": sum(each.attempts > 1 for each in ordered),
        "censored": sum(each.censored for each in ordered) / (n * len(template.records)),
    }
    ranks = pd.DataFrame([(each.study, *row) for each in ordered for row in each.rows], columns=COLUMNS)
    failures = {each.study: each.failure for each in ordered if each.failure}
    return Calibration(ranks, judged(ranks, RANKED), failures, RANKED, {**settings, "studies": n, **effort})


def _place(folder: Path, settings: dict[str, object]) -> Path:
    """The file of finished studies; they must be of the same experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    record, text = folder / SETTINGS, json.dumps(settings, indent=2)
    if record.exists() and json.loads(record.read_text()) != json.loads(text):
        raise InputError(
            "the studies kept here are of another model, design or settings", where=str(folder), hint="another folder"
        )
    record.write_text(text + "\n")
    kept = folder / DONE
    if kept.exists() and not kept.read_bytes().endswith(b"\n"):  # cut off while it was written
        with kept.open("a") as file:
            file.write("\n")
    return kept


def _kept(place: Path | None) -> Iterator[Ranked]:
    """Studies of an earlier run; a last line that was cut off is fitted again."""
    if place is None or not place.exists():
        return
    for line in place.read_text().splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        yield Ranked(**{**found, "rows": tuple(tuple(row) for row in found["rows"])})


def _run(experiment: Experiment, numbers: list[int], cores: int) -> Iterator[Ranked]:
    """Each study once; in this process where one processor is wanted."""
    if cores == 1 or len(numbers) < 2:
        yield from map(experiment.run, numbers)
        return
    with ProcessPoolExecutor(cores, get_context("spawn"), _prepare, (experiment,)) as pool:
        waiting = [pool.submit(_one, number) for number in numbers]
        try:
            for each in as_completed(waiting):
                yield each.result()
        finally:
            for each in waiting:
                each.cancel()


def _prepare(experiment: Experiment) -> None:
    """In a worker: the experiment of all its studies, which keeps what it compiles."""
    os.environ.update(ONE_THREAD)  # read when JAX is loaded, which happens later
    _WORK.append(experiment)


def _one(number: int) -> Ranked:
    return _WORK[-1].run(number)
