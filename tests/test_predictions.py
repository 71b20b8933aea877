"""Rows of several subjects by the exact engine, in one backward pass, and as JAX functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mscpkpd.data import read_study
from mscpkpd.dosing import Dose, Regimen, bolus
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.plan import plan_of
from mscpkpd.engine.solve import solve
from mscpkpd.engine.system import build_system
from mscpkpd.errors import DosingError, UsageError
from mscpkpd.fitting.bayes import build_pymc
from mscpkpd.fitting.chain import compile_problem
from mscpkpd.fitting.frame import find_frame
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.problem import pose
from reference.small_models import COMPARTMENT, doses

ENGINES = 1e-6  # L9
HUMAN = library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv"
SEVERAL = """subject,time,output,value,unit,dose,route,dose_time,weight
a,1 h,lung_label,20,%ID,1e8 cells,iv,0 h,70 kg
a,24 h,liver_label,10,%ID,1e8 cells,iv,0 h,70 kg
b,2 h,lung_label,30,%ID,2e6 cells/kg,iv,0 h,60 kg
b,2 h,spleen_label,3,%ID,2e6 cells/kg,iv,0 h,60 kg
b,90 h,lung_label,9,%ID,2e6 cells/kg,iv,0 h,60 kg
c,90 h,lung_label,9,%ID,2e6 cells/kg,iv,0 h,80 kg
"""


@pytest.fixture(scope="module")
def problem():
    return pose(load_model("label", values="human_70kg"), read_study(HUMAN))


def test_both_engines_give_the_same_rows_and_gradients(problem):
    """L9, through doses, outputs and pooled subjects."""
    weights = np.random.default_rng(0).normal(size=len(problem.rows))
    rows, back = problem.linearized(problem.start)
    stiff = problem.predict(problem.start, jacobian=True)
    np.testing.assert_allclose(rows, stiff.value, rtol=ENGINES)
    expected = weights @ stiff.jacobian
    np.testing.assert_allclose(back(weights), expected, rtol=ENGINES, atol=ENGINES * np.max(np.abs(expected)))


def test_subjects_of_one_shape_are_solved_together_and_move_nobody(tmp_path):
    """L10: doses per kg, other times and another number of rows."""
    (tmp_path / "several.csv").write_text(SEVERAL)
    several = pose(load_model("label", values="human_70kg"), read_study(tmp_path / "several.csv"))
    assert len(several.groups) == 3
    rows, back = several.linearized(several.start)
    stiff = several.predict(several.start, jacobian=True)
    np.testing.assert_allclose(rows, stiff.value, rtol=ENGINES)
    for k in range(len(rows)):
        one = np.eye(len(rows))[k]
        scale = np.max(np.abs(stiff.jacobian[k]))
        np.testing.assert_allclose(back(one), stiff.jacobian[k], rtol=ENGINES, atol=ENGINES * scale)


def test_a_value_that_cannot_be_solved_gives_nan(problem):
    theta = problem.start.copy()
    theta[problem.names.index("k_B")] = 1e300
    rows, back = problem.linearized(theta)
    assert np.all(np.isnan(rows))
    assert np.all(np.isnan(back(np.ones(len(rows)))))


def test_the_stiff_engine_can_be_asked_for(problem):
    stiff = replace(problem, engine="stiff")
    assert (problem.sampled_by, stiff.sampled_by) == ("exact", "stiff")
    for ask in (stiff.traced, lambda: stiff.linearized(stiff.start)):
        with pytest.raises(UsageError, match="the exact engine cannot solve this problem"):
            ask()


def test_the_sampled_density_is_that_of_pymc(problem):
    """Whole log density and gradient by JAX, against PyMC's own with the stiff engine; draws are counted."""
    frame, passed = find_frame(problem), []
    compiled = compile_problem(problem, frame, lambda: passed.append(1))
    described = build_pymc(replace(problem, engine="stiff"), frame)
    logp, slope = described.compile_logp(), described.compile_dlogp()
    density = compiled._make_logp_func()
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=len(problem.free)) * 0.5
        value, gradient = density(x)
        assert value == pytest.approx(float(logp({"frame": x})), abs=1e-6)
        expected = slope({"frame": x})
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.max(np.abs(expected)))


# ---- plans -----------------------------------------------------------------------------------------------------------

ONE = COMPARTMENT
AT = np.array([0.5, 3.0, 12.0, 30.0])


@pytest.mark.parametrize(
    ("regimen", "planned"),
    [
        (doses((0, 60, "iv"), (3, 20, "iv", 2)), True),
        (doses((0, 60, "lagged")), False),
        (doses((0, 60, "half_duration")), False),
        (Regimen((Dose(0.0, 60.0, "mg", "iv", steady="reached", every=12.0),)), False),
        (Regimen((Dose(0.0, 60.0, "mg", "iv"), Dose(6.0, 0.0, "mg", "iv", reset=True))), True),
    ],
)
def test_what_depends_on_no_parameter_is_planned(regimen, planned):
    system = build_system(ONE, ONE.state_names, tuple(sorted({*ONE.route_names, *regimen.routes})))
    assert (plan_of(system, regimen, AT, 1.0) is not None) == planned
    values = np.array([system.nominal, np.array(system.nominal) * 1.1])
    found = solve_batch(system, regimen, AT, values, tolerance=1e-9)
    for k in range(2):
        alone = solve(system, regimen, AT, values[k], tolerance=1e-10)
        np.testing.assert_allclose(found[k], alone.states, rtol=ENGINES, atol=1e-9 * np.max(alone.states))


def test_a_batch_has_only_the_states_that_are_asked_for_and_their_weights():
    described = load_model("cells", values="human_70kg")
    system = build_system(described, ("lung",), ("iv",))
    wanted = (system.states.index("lung"),)
    regimen, values = bolus("2e6 cells/kg", "iv"), np.array([system.nominal] * 2)
    found = solve_batch(system, regimen, AT, values, weights=np.array([60.0, 90.0]), wanted=wanted, tolerance=1e-9)
    assert found.shape == (2, 1, len(AT))
    np.testing.assert_allclose(found[1], 1.5 * found[0], rtol=1e-12)
    with pytest.raises(DosingError, match="a dose per kg needs body weights"):
        solve_batch(system, regimen, AT, values, tolerance=1e-9)
