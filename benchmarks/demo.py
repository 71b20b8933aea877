"""How long does the demo take after installation? Only with BENCH_DEMO=1: it takes minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from _record import Row, Target, quick
from _timing import seconds


def main() -> None:
    row = Row("demo", "The demo, after installation", "three fits, a simulation, scores", "s", Target(360.0))
    if quick() or os.environ.get("BENCH_DEMO") != "1":
        print(f"{row.title}: not run (BENCH_DEMO=1 make bench)")
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from mscpkpd.cli import main; main()", "demo", "--out", folder]
        row.add("mscpkpd demo", seconds(lambda: subprocess.run(command, capture_output=True, check=True)))
    row.finish()


if __name__ == "__main__":
    main()
