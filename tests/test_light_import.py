"""`import mscpkpd` and `mscpkpd --help` load nothing slow: nobody waits for what a command does not use.

How long they take is measured by ``benchmarks/import_time.py``, not here: a timed test fails on a busy machine.
"""

from __future__ import annotations

import json

import pytest

SLOW = {
    *("arviz", "jax", "lmfit", "matplotlib", "numba", "nutpie", "openpyxl", "pandas", "pint"),
    *("pydiffsol", "pymc", "pytensor", "scipy", "sympy", "xarray"),
}

IMPORT = "import mscpkpd"
HELP = """
import sys
from mscpkpd.cli import main
sys.argv = ["mscpkpd", "--help"]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""
LIST_MODULES = "\nimport json, sys; print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_nothing_slow_is_loaded(python, code: str) -> None:
    loaded = set(json.loads(python(code + LIST_MODULES).splitlines()[-1]))
    assert "mscpkpd" in loaded
    assert loaded & SLOW == set()


def test_a_public_name_loads_when_it_is_used(python) -> None:
    loaded = "print('mscpkpd.dosing' in sys.modules)"
    assert python(f"import sys, mscpkpd; {loaded}; mscpkpd.bolus; {loaded}").split() == ["False", "True"]
