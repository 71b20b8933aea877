# ruff: noqa: INP001 (a script, not a package)
"""Simulation-based calibration of every plan in calibration/: what ``make sbc`` runs.

Finished studies are kept; interrupt it, and the same command goes on. Summaries, ranks and figures go to
docs/calibration/. Run from the root of the repository: ``python scripts/sbc.py [NAME ...]``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mscpkpd.calibration.plans import publish, read_plan
from mscpkpd.files import whole_file
from mscpkpd.plots import rank_plots, save

ROOT = Path(__file__).parents[1]
EVERY_SECONDS = 20.0
ORDER = ("hierarchical", "core_lognormal", "core_lloq", "label_shares", "mixed_evidence")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Teller:
    """Says how far it is and how long it may still take."""

    def __init__(self, name: str) -> None:
        self.name, self.began, self.last, self.first = name, time.monotonic(), 0.0, None

    def __call__(self, done: int, wanted: int) -> None:
        """Report."""
        now = time.monotonic()
        if self.first is None:
            self.first = done - 1
        if now - self.last < EVERY_SECONDS and done < wanted:
            return
        self.last = now
        left = (now - self.began) / (done - self.first) * (wanted - done) / 60
        say(f"{self.name}: {done} of {wanted} studies, about {left:.0f} min left")


def main() -> int:
    """Run what is asked for; 3 where a calibration does not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="plans; all by default")
    parser.add_argument("--runs", type=Path, default=ROOT / "sbc-runs", help="where finished studies are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration", help="where results go")
    parser.add_argument("--cores", type=int, help="studies at a time; all processors by default")
    asked = parser.parse_args()
    plans = {path.stem: path for path in (ROOT / "calibration").glob("*.toml") if "format" not in path.read_text()}
    names = asked.names or sorted(plans, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    passed = True
    for name in names:
        plan = read_plan(plans[name])
        found = plan.run(asked.runs / name, asked.cores, Teller(name))
        publish(plan, found, asked.out)
        with whole_file(asked.out / f"{name}_SYNTHETIC.png") as part:
            save(rank_plots(found), part)
        say(f"{name}: {found.verdict}")
        passed = passed and found.passed
    return 0 if passed else 3


if __name__ == "__main__":
    raise SystemExit(main())
