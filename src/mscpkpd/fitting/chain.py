"""One worker of a sampled fit: ``python -m mscpkpd.fitting.chain JOB`` runs chains and reports as it goes.

Chains run in processes of their own because the solver holds Python's global lock. A worker is a plain program, not
a fork, so that scripts and notebooks need no guard. It speaks JSON lines on standard output.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mscpkpd.problem import Problem

__all__ = ["Job", "run_chain"]

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do.

    Attributes
    ----------
    problem : Problem
    draws, tune : int
    target_accept : float
    chains : tuple of (int, int)
        Number and seed of each chain to run.
    folder : str
        Where results go, one file per chain.
    """

    problem: Problem
    draws: int
    tune: int
    target_accept: float
    chains: tuple[tuple[int, int], ...]
    folder: str


def compile_problem(problem: Problem) -> Any:
    """Compile the PyMC model of a problem for the sampler."""
    import nutpie  # noqa: PLC0415

    from mscpkpd.fitting.bayes import build_pymc  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba announces that it calls back into Python for the prediction
        return nutpie.compile_pymc_model(build_pymc(problem), backend="numba")


def run_chain(
    compiled: Any, job: Job, seed: int, report: Callable[[int], None]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Sample one chain.

    Returns
    -------
    posterior, statistics : dict of str to array of shape (1, n_draws)
    """
    import nutpie  # noqa: PLC0415

    from mscpkpd.fitting.draws import arrays_of, drawn  # noqa: PLC0415

    sampler = nutpie.sample(
        compiled, draws=job.draws, tune=job.tune, chains=1, cores=1, seed=seed, progress_bar=False, blocking=False,
        target_accept=job.target_accept,
    )  # fmt: skip
    try:
        while not sampler.is_finished:
            try:
                sampler.wait(timeout=POLL_SECONDS)
            except TimeoutError:
                report(drawn(sampler.inspect()))
        trace = sampler.wait()
    except KeyboardInterrupt:
        sampler.abort()
        raise
    return arrays_of(trace, job.problem.names)


def main(path: str) -> int:
    """Run the job in the file at `path`; one JSON line per report."""
    job: Job = pickle.loads(Path(path).read_bytes())  # noqa: S301 (written by our own parent process)
    _say(state="compiling")
    compiled = compile_problem(job.problem)
    for number, seed in job.chains:
        result = run_chain(compiled, job, seed, lambda n, k=number: _say(chain=k, drawn=n))  # type: ignore[misc]
        target = Path(job.folder) / f"chain-{number}.pickle"
        target.write_bytes(pickle.dumps(result))
        _say(chain=number, drawn=job.draws + job.tune, done=str(target))
    return 0


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
