"""Large populations on an accelerator have the numbers that they have on a processor."""

from __future__ import annotations

import numpy as np
import pytest

from mscpkpd.dosing import infusion
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.system import build_system
from mscpkpd.modelfile import load_model

SAME = 1e-8  # relative to the largest value of each state


def test_a_population_is_the_same_on_an_accelerator():
    jax = pytest.importorskip("jax")
    if jax.default_backend() == "cpu":
        pytest.skip("no accelerator that JAX can use: pip install 'mscpkpd[gpu]' on a machine with an NVIDIA card")
    described = load_model("two_functional_compartments", values="human_70kg")
    system = build_system(described, ("lung_cells", "il10"), described.route_names)
    rng = np.random.default_rng(1)
    nominal = np.array([described.values[name] for name in system.parameters])
    values = nominal * rng.uniform(0.9, 1.0, (2000, len(nominal)))
    regimen = infusion("1.4e8 cells", "iv", "1 h", every="84 h", doses=4)
    given = (system, regimen, np.linspace(0.5, 400.0, 40), values)
    found = solve_batch(*given, tolerance=1e-8)
    with jax.default_device(jax.devices("cpu")[0]):
        expected = solve_batch(*given, tolerance=1e-8)
    assert np.all(np.abs(found - expected) <= SAME * np.max(np.abs(expected), axis=2, keepdims=True))
