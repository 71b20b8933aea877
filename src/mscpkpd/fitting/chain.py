"""One worker of a sampled fit: ``python -m mscpkpd.fitting.chain JOB`` runs chains and reports as it goes.

Chains run in processes of their own because the solver holds Python's global lock. A worker is a plain program, not
a fork, so that scripts and notebooks need no guard. It speaks JSON lines on standard output.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mscpkpd.fitting.draws import arrays_of
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.parametrization import draw_names
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["Job", "compile_problem", "run_chain"]

EVERY_SECONDS = 1.0
TOLL = "draws_passed"


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do.

    Attributes
    ----------
    problem : Problem or Population
    frame : Frame
        Coordinates in which the posterior is about standard normal.
    draws, tune : int
    target_accept : float
    chains : tuple of (int, int)
        Number and seed of each chain to run.
    folder : str
        Where results go, one file per chain.
    """

    problem: Problem | Population
    frame: Frame
    draws: int
    tune: int
    target_accept: float
    chains: tuple[tuple[int, int], ...]
    folder: str


def compile_problem(problem: Problem | Population, frame: Frame, passed: Callable[[], None]) -> Any:
    """Compile the PyMC model of a problem in a frame for the sampler; `passed` is called at each draw.

    What the exact engine solves becomes one compiled function; everything else calls back into Python.
    """
    import nutpie
    import pymc

    from mscpkpd.fitting.bayes import THETA, build_pymc
    from mscpkpd.fitting.hierarchy import build_hierarchy
    from mscpkpd.fitting.op import TollOp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba announces that it calls back into Python for the prediction
        model = build_hierarchy(problem, frame) if isinstance(problem, Population) else build_pymc(problem, frame)
        with model:
            pymc.Deterministic(TOLL, TollOp(passed)(model[THETA][0]))
        if problem.sampled_by == "stiff":
            return nutpie.compile_pymc_model(model, backend="numba")
        from mscpkpd.fitting.traced import teach_jax

        teach_jax()
        return nutpie.compile_pymc_model(model, backend="jax", gradient_backend="jax", freeze_model=False)


def run_chain(compiled: Any, job: Job, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Sample one chain.

    Returns
    -------
    posterior, statistics : dict of str to array of shape (1, n_draws)
    """
    import nutpie

    trace = nutpie.sample(
        compiled, draws=job.draws, tune=job.tune, chains=1, cores=1, seed=seed, progress_bar=False,
        target_accept=job.target_accept, save_warmup=False,
    )  # fmt: skip
    values, statistics = arrays_of(trace, "theta")
    return {name: values[..., k] for k, name in enumerate(drawn(job.problem))}, statistics


def drawn(problem: Problem | Population) -> tuple[str, ...]:
    """Names of what a sampler draws."""
    return draw_names(problem) if isinstance(problem, Population) else problem.names


class _Meter:
    """Counts draws and says so about once a second."""

    def __init__(self) -> None:
        self.chain, self.drawn, self.last = -1, 0, 0.0

    def __call__(self) -> None:
        self.drawn += 1
        now = time.monotonic()
        if now - self.last > EVERY_SECONDS:
            self.last = now
            _say(chain=self.chain, drawn=self.drawn)


def main(path: str) -> int:
    """Run the job in the file at `path`; one JSON line per report."""
    job: Job = pickle.loads(Path(path).read_bytes())  # noqa: S301 (written by our own parent process)
    meter = _Meter()
    compiled = compile_problem(job.problem, job.frame, meter)
    for number, seed in job.chains:
        meter.chain, meter.drawn = number, 0
        result = run_chain(compiled, job, seed)
        (Path(job.folder) / f"chain-{number}.pickle").write_bytes(pickle.dumps(result))
        _say(chain=number, drawn=job.draws + job.tune)
    return 0


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
