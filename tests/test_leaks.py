"""Many fits in one process: what is compiled for one is used by the next, or let go."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from mscpkpd.engine import compiled as compiling

FITS, FIRST = 1000, 100
GROWTH = 1.1  # resident memory after the last fit over that after fit 100

MANY_FITS = """
    import sys
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from mscpkpd.data import study_from_frame
    from mscpkpd.fitting.api import fit
    from mscpkpd.modelfile import load_model

    FITS, FIRST, HELD = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "held"

    def resident():
        fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0])

    def data_of(k):
        rng = np.random.default_rng(k)
        times, dose = np.sort(rng.uniform(0.2, 24.0, 8)), 10.0 ** rng.uniform(0.0, 3.0)
        values = dose / 30.0 * np.exp(-0.1 * times) * rng.lognormal(0.0, 0.1, 8)
        rows = {"subject": "1", "time": times, "time_unit": "h", "output": "conc", "value": values,
                "unit": "mg/L", "dose": dose, "dose_unit": "mg", "dose_time": 0.0, "route": "iv"}
        return study_from_frame(pd.DataFrame(rows))

    model = load_model("pk_two_compartment")
    for k in range(FITS):
        held = {"Q2": 1.0 + 0.01 * k} if HELD else None  # a number of the compiled program
        fit(model, data_of(k), "least_squares", fix=held)
        if k + 1 in (FIRST, FITS):
            print(resident(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
@pytest.mark.parametrize("held", ["same", "held"])
def test_fits_of_different_data_leave_no_memory_behind(held):
    """The second time every fit also holds a parameter at a value of its own, which compiles a program for it."""
    program = [sys.executable, "-c", textwrap.dedent(MANY_FITS), str(FITS), str(FIRST), held]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    early, late = map(int, done.stdout.split())
    assert late < GROWTH * early, f"{early} kB after {FIRST} fits, {late} kB after {FITS}"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps of memory are read from /proc")
def test_what_is_compiled_is_forgotten_before_no_more_memory_can_be_mapped(monkeypatch):
    """A process may map some 65,000 pieces of memory; programs that are forgotten are compiled again when asked for."""
    room, most = 300, compiling._most_maps()
    limit = compiling._mapped() + room

    def steps(k: int):
        return lambda x: functools.reduce(lambda y, i: jnp.cumsum(jnp.sin(k * y + i))[::-1], range(10), x)

    functions = [compiling.compiled(steps(k)) for k in range(30)]
    monkeypatch.setattr(compiling, "MOST_MAPPED", limit / most)
    x, mapped, found = np.ones(5), [], []
    for function in functions:
        found.append(float(function(x)[0]))
        mapped.append(compiling._mapped())
    largest = max(np.diff(mapped))
    assert room < largest * len(functions), "too few programs to need the room"
    assert max(mapped) < limit + 2 * largest
    assert [float(function(x)[0]) for function in functions] == found
