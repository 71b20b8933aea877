"""Run the chains of a sampled fit in worker processes and gather what they drew."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from queue import Empty, Queue

import numpy as np

from mscpkpd.errors import FitError
from mscpkpd.fitting.chain import Job
from mscpkpd.fitting.frame import Frame, find_frame
from mscpkpd.fitting.parametrization import parametrized
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["TARGET_ACCEPT", "Progress", "sample_chains"]

# Few data leave narrow tails, where parameters exchange roles; there the usual 0.8 takes steps that diverge.
TARGET_ACCEPT = 0.95

# A worker has a core to itself, and sums in one order.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",  # a chain evaluates few subjects at a time, which an accelerator does more slowly
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

# Called with the draws done so far and the draws wanted, warm-up included, over all chains.
Progress = Callable[[int, int], None]

Arrays = dict[str, np.ndarray]


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
        Receives draws done and draws wanted.
    frame : Frame, optional
        Coordinates of the sampler; found here for a `Problem`.

    Returns
    -------
    posterior, statistics : dict of str to array of shape (chains, draws)

    Raises
    ------
    FitError
        If a worker stopped; the message holds its last words.
    """
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(chains)]
    workers = max(1, min(cores or os.cpu_count() or 1, chains))
    if frame is None:
        if isinstance(problem, Population):
            problem, frame = parametrized(problem)
        else:
            frame = find_frame(problem)
    with tempfile.TemporaryDirectory(prefix="mscpkpd-") as folder:
        jobs = [
            Job(
                problem,
                frame,
                draws,
                tune,
                target_accept,
                tuple((k, seeds[k]) for k in range(w, chains, workers)),
                folder,
            )
            for w in range(workers)
        ]
        _run(jobs, Path(folder), chains * (draws + tune), progress)
        results = [pickle.loads((Path(folder) / f"chain-{k}.pickle").read_bytes()) for k in range(chains)]  # noqa: S301
    return _joined([r[0] for r in results]), _joined([r[1] for r in results])


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts], axis=0) for name in parts[0]}


def _run(jobs: list[Job], folder: Path, wanted: int, progress: Progress | None) -> None:
    lines: Queue[tuple[int, str | None]] = Queue()
    workers = [_start(job, folder / f"job-{w}.pickle", w, lines) for w, job in enumerate(jobs)]
    done: dict[int, int] = {}
    running = len(workers)
    try:
        while running:
            try:
                w, line = lines.get(timeout=0.5)
            except Empty:
                continue
            if line is None:
                running -= 1
                _check(workers[w], folder / f"job-{w}.err")
            else:
                _note(json.loads(line), done)
                if progress:
                    progress(sum(done.values()), wanted)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def _note(report: Mapping[str, object], done: dict[int, int]) -> None:
    if "chain" in report:
        done[int(str(report["chain"]))] = int(str(report["drawn"]))


def _start(job: Job, path: Path, w: int, lines: Queue[tuple[int, str | None]]) -> subprocess.Popen[str]:
    path.write_bytes(pickle.dumps(job))
    environment = {**os.environ, **ONE_THREAD}
    with path.with_suffix(".err").open("w") as errors:
        worker = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "mscpkpd.fitting.chain", str(path)],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip

    def listen() -> None:
        with worker.stdout or nullcontext(()) as said:
            for line in said:
                if line.startswith("{"):
                    lines.put((w, line))
        lines.put((w, None))

    threading.Thread(target=listen, daemon=True).start()
    return worker


def _check(worker: subprocess.Popen[str], errors: Path) -> None:
    if worker.wait() != 0:
        last = errors.read_text().strip().splitlines()[-1:] or ["no message"]
        raise FitError(f"a sampling process stopped with status {worker.returncode}: {last[0]}")
