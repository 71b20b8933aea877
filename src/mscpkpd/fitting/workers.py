"""Work in processes of its own: ``python -m mscpkpd.fitting.workers JOB`` runs a job and reports as it goes.

The solver holds Python's global lock, so that threads do not help. A worker is a plain program, not a fork, so that
scripts and notebooks need no guard. It speaks JSON lines on standard output, and stops when its standard input ends:
then its parent was interrupted or killed, and nothing that nobody waits for keeps running.
"""

from __future__ import annotations

import _thread
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Protocol

from mscpkpd.errors import FitError

__all__ = ["Job", "Say", "run_jobs", "run_spread", "workers_for"]

# A worker has a core to itself, and sums in one order.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",  # a chain evaluates few subjects at a time, which an accelerator does more slowly
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "PJRT_NPROC": "1",  # else XLA hands small operations to threads, which takes longer than they do
}
GRACE = 10.0  # seconds in which a worker that was told to stop may finish its files
STOPPED = 130

Say = Callable[..., None]  # keywords of one report


class Job(Protocol):
    """Something to do in another process; it is pickled, and so is what it returns."""

    def run(self, say: Say) -> Any:
        """Do it; a KeyboardInterrupt means that nobody waits any more."""


def workers_for(cores: int | None, pieces: int) -> int:
    """How many processes share so many pieces of work."""
    return max(1, min(cores or os.cpu_count() or 1, pieces))


def run_jobs(jobs: Sequence[Job], report: Callable[[Mapping[str, Any]], None] | None = None) -> list[Any]:
    """Run jobs side by side, one process each.

    Parameters
    ----------
    jobs : sequence of Job
    report : callable, optional
        Receives what the jobs say.

    Returns
    -------
    list
        What each job returned.

    Raises
    ------
    FitError
        If a worker stopped; the message holds its last words.
    """
    with tempfile.TemporaryDirectory(prefix="mscpkpd-") as name:
        folder = Path(name)
        lines: Queue[tuple[int, str | None]] = Queue()
        workers: list[subprocess.Popen[str]] = []
        try:
            for w, job in enumerate(jobs):
                workers.append(_start(job, folder / f"job-{w}.pickle", w, lines))
            _listen(workers, folder, lines, report)
        finally:
            _end(workers)
        return [pickle.loads((folder / f"job-{w}.result").read_bytes()) for w in range(len(jobs))]  # noqa: S301 (our own)


def run_spread(jobs: Sequence[Job], report: Callable[[Mapping[str, Any]], None] | None = None) -> list[Any]:
    """Run jobs as `run_jobs` does, but one alone in this process, which is there already."""
    if len(jobs) > 1:
        return run_jobs(jobs, report)
    return [job.run(lambda **said: report(said) if report else None) for job in jobs]


def _listen(
    workers: Sequence[subprocess.Popen[str]],
    folder: Path,
    lines: Queue[tuple[int, str | None]],
    report: Callable[[Mapping[str, Any]], None] | None,
) -> None:
    running = len(workers)
    while running:
        try:
            w, line = lines.get(timeout=0.5)
        except Empty:
            continue
        if line is None:
            running -= 1
            _check(workers[w], folder / f"job-{w}.err")
        elif report:
            report(json.loads(line))


def _start(job: Job, path: Path, w: int, lines: Queue[tuple[int, str | None]]) -> subprocess.Popen[str]:
    path.write_bytes(pickle.dumps(job))
    with path.with_suffix(".err").open("w") as errors:
        worker = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "mscpkpd.fitting.workers", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # Ctrl-C is for the parent, which tells its workers
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
        raise FitError(f"a worker process stopped with status {worker.returncode}: {last[0]}")


def _end(workers: Sequence[subprocess.Popen[str]]) -> None:
    """Ask the workers that still run to stop, then make them."""
    for worker in workers:
        with suppress(OSError):
            if worker.stdin:
                worker.stdin.close()
    until = time.monotonic() + GRACE
    try:
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.0, until - time.monotonic()))
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


# ---- in the worker ---------------------------------------------------------------------------------------------------


def main(path: str) -> int:
    """Run the job in the file at `path`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        job: Job = pickle.loads(Path(path).read_bytes())  # noqa: S301 (written by our own parent process)
        result = job.run(_say)
    except KeyboardInterrupt:
        return STOPPED
    Path(path).with_suffix(".result").write_bytes(pickle.dumps(result))
    return 0


def _stop_with_parent() -> None:
    while os.read(0, 4096):
        pass
    _thread.interrupt_main()
    time.sleep(GRACE)  # compiled code that does not come back to Python hears of no interrupt
    os._exit(STOPPED)


def _say(**what: Any) -> None:
    with suppress(BrokenPipeError):  # the parent is gone: standard input says so, too
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(status)  # nothing is left to do, and threads of samplers may still run
