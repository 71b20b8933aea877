"""Simulation: the same numbers whatever else is simulated, and every choice visible in the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mscpkpd import simulation
from mscpkpd.dosing import bolus, infusion
from mscpkpd.errors import DosingError, FitError, UnknownName, UsageError
from mscpkpd.fitting.draws import Check
from mscpkpd.fitting.result import Fit, Posterior
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

OUTPUTS = ["lung_cells", "lung_label"]
ONCE = bolus("1e6 cells", route="iv")


@pytest.fixture(scope="module")
def mouse():
    return load_model("two_functional_compartments", values="mouse")


def fit_of(model, *, converged: bool = True, n: int = 50) -> Fit:
    """A fit by hand: draws of k_L, and IL-10 parameters that no data informed."""
    rng = np.random.default_rng(3)
    learned = {"k_L": 0.03 * np.exp(0.1 * rng.standard_normal((2, n)))}
    prior_only = {"Smax": rng.lognormal(0.0, 0.5, (2, n))}
    checks = (Check("r_hat", converged, "Largest R-hat 1.3: take more draws."),)
    settings = {"uninformed": ["Smax"]}
    study = type("Study", (), {"name": "by hand"})()
    table = pd.DataFrame({"parameter": ["k_L", "Smax"], "learned": [0.05, 0.0], "note": ["", "prior only"]})
    return Fit(model, study, "nuts", table, Posterior(learned, prior_only), None, checks, (), pd.DataFrame(), settings)


def test_a_data_set_has_dimensions_units_and_its_origin(mouse):
    """Dimensions (schedule, subject, draw, time), units in attrs, every output and state by default."""
    sims = simulate(mouse, {"one": ONCE}, times=[0.25, 24.0])
    assert sims["lung_cells"].dims == ("schedule", "subject", "draw", "time")
    assert sims["lung_cells"].attrs["units"] == "cells"
    assert sims["time"].attrs["units"] == "h"
    assert set(mouse.output_names) | set(mouse.state_names) <= set(sims.data_vars)
    assert sims.attrs["parameters"] == "parameter values of the model"
    assert sims.attrs["failures"] == 0


def test_same_seed_same_numbers_and_another_seed_others(mouse):
    """Seeds are arguments."""
    one, two, other = (
        simulate(mouse, ONCE, draws=3, subjects=2, times=[1.0], outputs=OUTPUTS, seed=seed) for seed in (5, 5, 6)
    )
    assert one.equals(two)
    assert not np.allclose(one["lung_cells"], other["lung_cells"])


def test_a_further_subject_or_schedule_changes_no_other_number(mouse):
    """One stream per subject and parameter (G3, L10)."""
    few = simulate(mouse, {"a": ONCE}, draws=2, subjects=2, times=[24.0], outputs=OUTPUTS, seed=1)
    many = simulate(mouse, {"b": ONCE + ONCE, "a": ONCE}, draws=2, subjects=4, times=[24.0], outputs=OUTPUTS, seed=1)
    np.testing.assert_array_equal(few["lung_cells"][0], many["lung_cells"].sel(schedule="a")[:2])


def test_subjects_vary_by_the_spread_of_the_model(mouse):
    """ln k_L varies with the declared SD (P2, P3): cells left at 24 h recover it (within 4 standard errors)."""
    spread = {v.parameter: v.sd for v in mouse.variability if v.level == "subject"}["k_L"]
    sims = simulate(
        mouse.fix(phi_L=1e-9, phi_T=1e-9), ONCE, subjects=300, times=[1.0, 25.0], outputs=["lung_cells"], seed=2
    )
    path = sims["lung_cells"].to_numpy()[0, :, 0]
    rate = np.log(path[:, 0] / path[:, 1]) / 24.0
    assert np.std(np.log(rate)) == pytest.approx(spread, abs=4 * spread / np.sqrt(2 * 300))


def test_doses_per_kg_need_a_weight_and_scale_with_it(mouse):
    """cells/kg times weight (T4)."""
    regimen = infusion("1e6 cells/kg", route="iv", over="30 min")
    with pytest.raises(DosingError, match="weight"):
        simulate(mouse, regimen, times=[1.0])
    same = dataclasses.replace(mouse, variability=())
    sims = simulate(same, regimen, times=[1.0], subjects=2, weight=["20 g", "40 g"], outputs=["blood"])
    light, heavy = sims["blood"].to_numpy()[0, :, 0, 0]
    base = simulate(same, regimen, times=[1.0], weight="20 g", outputs=["blood"])["blood"].item()
    assert light == pytest.approx(base, rel=1e-7)
    assert heavy / light == pytest.approx(2.0, rel=1e-6)


def test_the_default_grid_holds_every_dose_and_the_end(mouse):
    """Values stand at 0, at each dose, at each end of an infusion, and at `until`."""
    regimen = infusion("1e6 cells", route="iv", over="1 h", every="84 h", doses=3)
    time = simulate(mouse, regimen, until="10 d", outputs=["lung"])["time"].to_numpy()
    assert {0.0, 84.0, 85.0, 168.0, 169.0, 240.0} <= set(time)
    assert np.all(np.diff(time) > 0)
    regular = simulate(mouse, regimen, until="2 d", step="6 h", outputs=["lung"])["time"].to_numpy()
    np.testing.assert_allclose(regular, np.arange(0.0, 49.0, 6.0))


def test_draws_come_from_a_fit_and_say_what_rests_on_priors(mouse):
    """Outputs behind which a parameter was not informed name it; others do not."""
    sims = simulate(mouse, ONCE, draws=fit_of(mouse), n_draws=4, times=[24.0], outputs=["lung_cells", "il10"])
    assert sims.sizes["draw"] == 4
    assert sims["il10"].attrs["prior_only"] == "Smax"
    assert sims["lung_cells"].attrs["prior_only"] == ""
    assert sims["lung_cells"].attrs["little_learned"] == "k_L"
    assert len(np.unique(sims["lung_cells"])) == 4
    assert sims.attrs["parameters"] == "posterior of the nuts fit to 'by hand'"


def test_a_fit_that_has_not_converged_is_not_simulated_from(mouse):
    """A fit that has not converged is not a result."""
    with pytest.raises(FitError, match="NOT A RESULT: Largest R-hat 1.3"):
        simulate(mouse, ONCE, draws=fit_of(mouse, converged=False), times=[1.0])


def test_a_failed_solve_is_labelled_and_the_others_go_on(mouse, monkeypatch):
    """NaN where a solve failed, counted in the attributes."""
    from mscpkpd import simulation

    real, calls = simulation.solve, []

    def sometimes(*args, **kwargs):
        calls.append(1)
        path = real(*args, **kwargs)
        return dataclasses.replace(path, failure="stopped") if len(calls) == 2 else path

    monkeypatch.setattr(simulation, "solve", sometimes)
    sims = simulate(mouse, ONCE, draws=3, times=[1.0], outputs=["lung"])
    assert sims.attrs["failures"] == 1
    np.testing.assert_array_equal(sims["failed"][0, 0], [False, True, False])
    assert np.isnan(sims["lung"][0, 0, 1, 0])
    assert np.isfinite(sims["lung"][0, 0, [0, 2], 0]).all()


def test_progress_counts_every_solve(mouse):
    """The last report is (total, total)."""
    seen = []
    simulate(mouse, {"a": ONCE, "b": ONCE}, draws=2, times=[1.0], outputs=["lung"], progress=lambda *n: seen.append(n))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({}, UsageError, "neither until nor times is given. Try: until='60 d'"),
        ({"until": "-1 d"}, UsageError, "until='-1 d'; expected a time after 0"),
        ({"until": "1 d", "step": "2 d"}, UsageError, "step='2 d'; expected a time above 0 and at most 1 d"),
        ({"times": [2.0, 1.0]}, UsageError, "ascending finite numbers"),
        ({"times": [1.0], "subjects": 0}, UsageError, "0 subjects.*at least 1"),
        ({"times": [1.0], "draws": 0}, UsageError, "draws=0"),
        ({"times": [1.0], "outputs": ["lung_cell"]}, UnknownName, "unknown output 'lung_cell'. Try: 'lung_cells'"),
        ({"times": [1.0], "parameters": {"k_l": 1.0}}, UnknownName, "'k_l'.*'k_L'"),
        ({"times": [1.0], "subjects": 2, "weight": ["20 g"]}, UsageError, "1 weights for 2 subjects"),
        ({"times": [1.0], "weight": "0 kg"}, DosingError, "body weight above 0"),
    ],
)
def test_mistakes_are_named(mouse, changes, error, message):
    """Each message says what was given and what to try."""
    with pytest.raises(error, match=message):
        simulate(mouse, ONCE, **changes)


def test_an_unknown_route_is_named(mouse):
    """A route that the model does not have answers with the closest."""
    with pytest.raises(UnknownName, match="unknown route 'intratrachael'. Try: 'intratracheal'"):
        simulate(mouse, bolus("1e6 cells", route="intratrachael"), times=[1.0])


@pytest.mark.parametrize(
    "doses", [bolus("2e6 cells/kg", "iv"), infusion("1e8 cells", "iv", "1 h", every="24 h", doses=2)]
)
def test_many_solves_in_batches_are_the_same_as_one_by_one(monkeypatch, doses):
    """L9, L10: subjects, draws and body weights keep their places."""
    model = load_model("cells", values="human_70kg")
    asked = {"draws": 3, "subjects": 2, "weight": ["60 kg", "80 kg"], "until": "48 h", "step": "6 h", "seed": 1}
    alone, told = simulate(model, doses, **asked), []
    monkeypatch.setattr(simulation, "BATCH_FROM", 1)
    monkeypatch.setattr(simulation, "PORTION", 4)
    together = simulate(model, doses, **asked, progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 6), (6, 6)]
    assert not together["failed"].any()
    for name in alone.data_vars:
        size = float(np.abs(alone[name]).max())
        np.testing.assert_allclose(together[name], alone[name], rtol=1e-6, atol=1e-9 * size, err_msg=name)
