"""Does a subject cost the same among a thousand and among a million, and does memory stay bounded?

The core, 100 times, on one core; the peak and the mean of each output of every subject are kept, not the curves. Each
size runs in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import _ours
import _problems
import numpy as np
from _comparing import population
from _record import Row, quick
from _timing import one_core

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SLICE = 10_000  # subjects whose curves are in memory together
TOLERANCE = 1e-6
PATIENCE = 120.0  # seconds; a size that would take longer is not run


def main() -> None:
    posed = _problems.core()
    row = Row("scaling", "Cost of a subject in large populations, on one core", posed.name, "ms a subject")
    each = 0.0
    for size in SIZES[: 1 if quick() else None]:
        name = f"mscpkpd exact, {size:,} subjects"
        if each * size / 1e3 > PATIENCE:
            row.skipped[name] = f"would take {each * size / 1e3:.0f} s"
            continue
        done = subprocess.run([sys.executable, __file__, str(size)], capture_output=True, check=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        each = 1e3 * found["seconds"] / size
        row.add(name, each, peak_gib=found["peak_gib"], note=f"peak memory {found['peak_gib']:.2f} GiB")
    row.finish()


def measure(size: int) -> dict[str, float]:
    """Seconds and peak memory of one size."""
    one_core()
    posed = _problems.core()
    solve = _ours.solver(posed, TOLERANCE)
    values = population(posed, min(size, SLICE))
    solve(values)  # compiled
    kept = np.empty((size, 2, len(posed.observed)))
    begin = time.perf_counter()
    for start in range(0, size, SLICE):
        found = solve(values[: min(SLICE, size - start)])
        part = slice(start, start + len(found))
        kept[part, 0], kept[part, 1] = found.max(axis=2), found.mean(axis=2)
    seconds = time.perf_counter() - begin
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return {"seconds": seconds, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    if sizes:
        print(json.dumps(measure(sizes[0])))
    else:
        main()
