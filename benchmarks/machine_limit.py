"""How far is the exact engine from what this machine can do at all?

Floating-point operations of a chunk of subjects, counted in what JAX runs, over the time that it takes: in percent of
the rate at which NumPy multiplies matrices on the same core.
"""

from __future__ import annotations

import _ours
import _problems
import jax
import numpy as np
from _comparing import population
from _flops import counted
from _record import Row, quick
from _timing import Way, measured, one_core

CHUNK = 64
SIZE = 1000  # of the matrices


def main() -> None:
    one_core()
    posed = _problems.core()
    row = Row("machine_limit", "Work of the exact engine over the peak of one core", posed.name, "ms a subject")
    values = population(posed, CHUNK)
    solve, arguments = _ours.traced(posed, values)
    square = np.random.default_rng(0).standard_normal((SIZE, SIZE))
    ways = [
        Way(f"mscpkpd exact, compiled part, {CHUNK} subjects", lambda: jax.block_until_ready(solve(*arguments)), CHUNK),
        Way(f"NumPy, {SIZE} x {SIZE} matrices multiplied", lambda: square @ square, baseline=True),
    ]
    timings = measured(ways, budget=2.0 if quick() else 10.0)
    row.add_timings(timings)
    work = counted(solve.__wrapped__, *arguments) / CHUNK  # as traced, before it is compiled
    rate, peak = work / timings[0].median / 1e6, 2.0 * SIZE**3 / timings[1].median / 1e6
    row.facts |= {
        "operations a subject": round(work),
        "GFLOP/s": rate,
        "peak GFLOP/s": peak,
        "percent": 100 * rate / peak,
    }
    row.finish()


if __name__ == "__main__":
    main()
