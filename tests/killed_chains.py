"""Chains that can be killed: a standard normal whose density takes a while, sampled by the real sampler and workers.

``python killed_chains.py FOLDER`` draws until it is done; nothing is compiled, so that it starts at once.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mscpkpd.fitting import chain
from mscpkpd.fitting.kept import Leg, Place
from mscpkpd.fitting.workers import Say, run_jobs

CHAINS, DRAWS, TUNE, SEED, SIZE = 2, 160, 80, 3, 2
PAUSE = 0.002  # seconds of a density


def compiled():
    """What nutpie samples."""
    from nutpie.compiled_pyfunc import from_pyfunc

    def density():
        def of(x):
            time.sleep(PAUSE)
            return -0.5 * float(x @ x), -x

        return of

    def expand(*_):
        return lambda x: {"theta": x, "frame": x}

    kinds = [np.dtype("float64")] * 2
    return from_pyfunc(SIZE, density, expand, kinds, [(SIZE,)] * 2, ["theta", "frame"])


@dataclass(frozen=True, eq=False)
class Job:
    """As `chain.Chains`, of a density that needs no compiler."""

    legs: tuple[Leg, ...]
    folder: str

    def run(self, say: Say) -> None:
        """Draw."""
        for leg in self.legs:
            say(chain=leg.chain, drawn=0)
            chain.run_leg(compiled(), leg, Place(Path(self.folder)), 0.8)


def main(folder: str) -> int:
    """Draw what remains."""
    place = Place(Path(folder))
    place.claim({"seed": SEED})
    legs = place.legs(CHAINS, DRAWS, TUNE, SEED)
    sys.stdout.write(f"legs {[(leg.chain, leg.part, leg.before) for leg in legs]}\n")
    if legs:
        run_jobs([Job(tuple(legs), folder)], lambda _: None)
    return 0


if __name__ == "__main__":
    from killed_chains import main as run  # under its own name, so that workers find its jobs

    raise SystemExit(run(sys.argv[1]))
