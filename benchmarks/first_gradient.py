"""How long does the first gradient take to compile?

The core with 24 coordinates; each in a new process: seconds of the first gradient less those of the second. Once with
an empty cache on disk, and once with what that left there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module

import _ours
import _problems
from _density import density
from _peers import MODULES, scipy_lsoda
from _record import Row, Target, quick
from _timing import one_core, seconds

TOLERANCE = 1e-7
PEERS = ("diffrax_kvaerno", "casadi_cvodes")


def main() -> None:
    row = Row("first_gradient", "Compiling the first gradient", _problems.core().name, "s", Target(3.0))
    with tempfile.TemporaryDirectory() as cache:
        row.add("mscpkpd exact, nothing cached", fresh("", cache))
        row.add("mscpkpd exact, cached on disk", fresh("", cache), baseline=True)  # a second start: nothing to compile
    for peer in () if quick() else PEERS:
        try:
            row.add(MODULES[peer][0], fresh(peer, None))
        except subprocess.CalledProcessError as error:
            row.skipped[MODULES[peer][0]] = error.stderr.splitlines()[-1]
    row.finish()


def fresh(peer: str, cache: str | None) -> float:
    """Seconds to compile in a new process."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache} if cache else None
    command = [sys.executable, __file__, f"only={peer}"]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(peer: str) -> float:
    """Seconds of the first gradient less those of the second."""
    one_core()
    posed = _problems.core()
    posterior = density(posed, scipy_lsoda.solver(posed, 1e-10))
    make: Callable = import_module(f"_peers.{peer}").gradient if peer else _ours.gradient
    z = posterior.z0
    first = seconds(lambda: make(posterior, TOLERANCE)(z))
    call = make(posterior, TOLERANCE)
    call(z)
    return first - seconds(lambda: call(z))


if __name__ == "__main__":
    only = [argument.removeprefix("only=") for argument in sys.argv[1:] if argument.startswith("only=")]
    if only:
        print(json.dumps(measure(only[0])))
    else:
        main()
