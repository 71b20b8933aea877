"""How long does a user wait for one simulated schedule, in a new process?

`mscpkpd simulate` of eight infusions with the caches warm, and what Python and the imports take of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _record import Row, Target, quick
from _timing import Way, measured

SHELL = "from mscpkpd.cli import main; main()"
SIMULATE = (
    "simulate", "two_functional_compartments", "--values", "human_70kg", "--dose", "1.4e8 cells", "--route", "iv",
    "--over", "1 h", "--every", "84 h", "--doses", "8", "--outputs", "lung_cells,pge2_plasma,il10",
)  # fmt: skip


def main() -> None:
    row = Row(
        "cold_start", "One schedule simulated by a new process, caches warm", "core, 8 infusions", "s", Target(3.0)
    )
    with tempfile.TemporaryDirectory() as folder:
        simulate = running("-c", SHELL, *SIMULATE, "--out", str(Path(folder) / "table.csv"))
        ways = [Way("mscpkpd simulate", simulate), Way("python -c pass", running("-c", "pass"), baseline=True)]
        row.add_timings(measured(ways, budget=1.0 if quick() else 20.0), factor=1e-3)
    row.finish()


def running(*arguments: str) -> Callable[[], object]:
    """A new Python with these arguments."""
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)


if __name__ == "__main__":
    main()
