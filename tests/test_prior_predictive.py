"""What the priors predict, rows and parameters that contradict them; and fits that begin where others ended."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mscpkpd.errors import UsageError
from mscpkpd.fitting import api
from mscpkpd.fitting.api import METHODS, fit
from mscpkpd.fitting.conflicts import conflicts, conflicts_of_draws
from mscpkpd.model import Variability
from mscpkpd.parameters import Prior
from mscpkpd.plots import prior_check
from mscpkpd.predictive.priors import prior_predictive
from mscpkpd.problem import FreeParameter
from population_models import linear, table
from reference.small_models import one_compartment, study

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0])


def rows(k=0.1, v=50.0, sd=0.1, seed=0, **more):
    rng = np.random.default_rng(seed)
    values = 100 / v * np.exp(-k * TIMES + sd * rng.standard_normal(len(TIMES)))
    return [
        {"time": t, "output": "conc", "value": y, "unit": "mg/L", **more} for t, y in zip(TIMES, values, strict=True)
    ]


# ---- the check of one prior ------------------------------------------------------------------------------------------


def test_a_prior_that_is_right_is_called_wrong_as_often_as_the_level_says():
    """Normal mean with known spread: the probability is uniform under the prior predictive (Kolmogorov-Smirnov)."""
    rng, sd, spread, n = np.random.default_rng(1), 2.0, 3.0, 4
    p = FreeParameter("m", Prior("normal", (1.0, sd)), 1.0)
    variance = 1.0 / (1.0 / sd**2 + n / spread**2)
    chances = []
    for _ in range(400):
        data = rng.normal(rng.normal(1.0, sd), spread, n)
        mean = variance * (1.0 / sd**2 + data.sum() / spread**2)
        # a level of one per parameter shows every probability
        found = _all_conflicts(p, mean, variance)
        chances.append(found)
    assert stats.kstest(chances, "uniform").pvalue > 0.001


def _all_conflicts(p, mean, variance):
    from mscpkpd.fitting import conflicts as module

    level, module.LEVEL = module.LEVEL, 2.0
    try:
        return conflicts([p], {p.name: (mean, variance)}, {p.name: "1"})[0].probability
    finally:
        module.LEVEL = level


def test_what_the_data_say_nothing_about_is_in_no_conflict():
    """A posterior as wide as its prior has no room to be far out; one far out is named with numbers and advice."""
    k = FreeParameter("k", Prior("lognormal", (0.1, 0.5)), 0.1)
    mean, sd = k.prior.free_moments()
    assert conflicts([k], {"k": (mean + 0.1 * sd, 0.99 * sd**2)}, {"k": "1/h"}) == ()
    assert conflicts([k], {"k": (mean + 2.0 * sd, 0.1 * sd**2)}, {"k": "1/h"}) == ()
    (found,) = conflicts([k], {"k": (mean + 4.0 * sd, 0.1 * sd**2)}, {"k": "1/h"})
    assert found.probability == pytest.approx(2 * stats.norm.sf(4.0 / np.sqrt(0.9)))
    assert "the data put k at" in found.sentence
    assert "lognormal(0.1, 0.5)" in found.sentence
    draws = k.prior.from_free(mean + 4 * sd + 0.3 * sd * np.random.default_rng(0).standard_normal((2, 4000)))
    (again,) = conflicts_of_draws([k], {"k": draws}, {"k": "1/h"})
    assert again.estimate == pytest.approx(found.estimate, rel=0.02)


# ---- a study under its priors ----------------------------------------------------------------------------------------


def test_the_bands_are_those_of_the_priors():
    """Of ln conc at one time: normal with the variances of k t, ln V and the noise, to 15 %; same seed, same."""
    described, data = one_compartment(k="lognormal(0.1, 0.05)").replace_values({"s": 0.3}), study(*rows())
    found = prior_predictive(described, data, 400, free=("k", "V"), seed=3)
    cv2 = np.log1p(0.05**2), np.log1p(float(described.parameter("V").prior.args[1]) ** 2)
    row = found.table.iloc[4]
    sd = np.sqrt((0.1 * 8.0) ** 2 * cv2[0] + cv2[1] + 0.3**2)
    width = np.log(row["upper_new"] / row["lower_new"]) / (2 * 1.96)
    assert width == pytest.approx(sd, rel=0.15)
    assert row["predicted"] == pytest.approx(2.0 * np.exp(-0.8), rel=0.1)
    pd.testing.assert_frame_equal(found.table, prior_predictive(described, data, 400, free=("k", "V"), seed=3).table)
    assert found.conflicts == ()
    assert len(found.surprising) == 0
    assert found.verdict.startswith("Priors and data go together")


def test_a_prior_that_contradicts_the_data_is_named_with_the_rows():
    """k of the data is 12 times that of a narrow prior: k is in conflict, late rows are surprising; V is not."""
    described = one_compartment(k="lognormal(0.01, 0.3)").replace_values({"s": 0.1})
    found = prior_predictive(described, study(*rows(k=0.12)), 300, free=("k", "V"), seed=1)
    assert [each.parameter for each in found.conflicts] == ["k"]
    assert "contradict each other: k;" in found.verdict
    assert set(found.surprising["time"]) >= {18.0, 24.0}
    assert "prior-data conflict: the data put k at" in str(found)
    figure = prior_check(found)
    assert figure.axes[0].get_ylabel() == "conc [mg/L]"
    sampled = fit(described, study(*rows(k=0.12)), "map", free=("k", "V"))
    assert any("prior-data conflict" in note and " k at " in note for note in sampled.notes)


def test_censored_rows_have_the_chance_of_what_they_say():
    """Below a limit far above the prediction: 1; below one far under it: next to none."""
    data = study(
        {"time": 1.0, "output": "conc", "value": None, "unit": "mg/L", "censoring": "left", "upper": 500.0},
        {"time": 2.0, "output": "conc", "value": None, "unit": "mg/L", "censoring": "left", "upper": 1e-4},
        {"time": 2.0, "output": "conc", "value": 1.6, "unit": "mg/L", "censoring": "none", "upper": None},
    )
    found = prior_predictive(one_compartment(), data, 200, free=("k", "V"))
    assert found.table["probability"].iloc[0] == pytest.approx(1.0)
    assert found.table["probability"].iloc[1] == pytest.approx(1 / 201)
    assert found.table["probability"].iloc[2] > 0.05
    with pytest.raises(UsageError, match="n=3 draws are too few"):
        prior_predictive(one_compartment(), data, 3)


def test_random_effects_widen_the_bands():
    effect = Variability("c0", "subject", 4.0, prior=Prior("halfnormal", (6.0,)))
    data = [
        {"subject": s, "time": t, "output": "conc", "value": 9.0, "unit": "mg/L"} for s in "abcd" for t in (1.0, 2.0)
    ]
    made = table(data, dose="100 mg", route="iv")
    with_effects = prior_predictive(linear(effect), made, 200, seed=1)
    without = prior_predictive(linear(effect), made, 200, random=False, seed=1)
    widths = [np.mean(f.table["upper_new"] - f.table["lower_new"]) for f in (with_effects, without)]
    assert widths[0] > 1.15 * widths[1]


# ---- from any method to any ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_begins_where_an_earlier_fit_ended(method, monkeypatch):
    """The problem that a method receives starts at the estimates, spreads included, of a fit by another."""
    seen = {}

    class Enough(Exception):
        pass

    def stop(problem, *_, **__):
        seen["problem"] = problem
        raise Enough

    monkeypatch.setattr(api, "_approximate", stop)
    monkeypatch.setattr(api, "_posterior", stop)
    monkeypatch.setattr("mscpkpd.fitting.estimated.estimated_fit", stop)
    effect = Variability("c0", "subject", 2.0, prior=Prior("halfnormal", (2.0,)))
    data = [
        {"subject": s, "time": t, "output": "conc", "value": 9.0, "unit": "mg/L"} for s in "abcd" for t in (1.0, 2.0)
    ]
    earlier = SimpleNamespace(estimates={"c0": 8.5, "slope": 0.25, "omega_sd_c0": 1.25, "omega2_c0": 1.5, "CL": 3.0})
    with pytest.raises(Enough):
        fit(linear(effect), table(data, dose="100 mg", route="iv"), method, start=earlier)
    posed = seen["problem"]
    inner = getattr(posed, "problem", posed)
    starts = {p.name: p.start for p in inner.free}
    assert starts["c0"] == 8.5
    assert starts["slope"] == 0.25
    assert starts["s"] == 0.5  # not in the earlier fit: as the model has it
    if method != "least_squares":
        assert [e.sd for e in posed.effects] == [1.25]


@pytest.mark.slow
def test_one_fit_leads_to_the_next():
    """Least squares to Pathfinder to NUTS to map to SMC: each converges, and they agree within their errors."""
    described, data = one_compartment(), study(*rows(k=0.17, v=41.0, sd=0.2))
    found, estimates = None, {}
    options = {"nuts": {"draws": 500, "tune": 300, "chains": 2}, "smc": {"draws": 500, "chains": 2}, "pathfinder": {}}
    for method in ("least_squares", "pathfinder", "nuts", "map", "smc"):
        found = fit(described, data, method, free=("k", "V", "s"), start=found, seed=1, **options.get(method, {}))
        assert found.converged, found.verdict
        estimates[method] = found.estimates["k"]
    spread = found.table.set_index("parameter").loc["k", "sd"]
    assert max(estimates.values()) - min(estimates.values()) < spread


def test_an_empty_estimate_is_no_start():
    from mscpkpd.fitting.api import _or

    assert _or(None, 2.0) == 2.0
    assert _or(float("nan"), 2.0) == 2.0
    assert _or(3.0, 2.0) == 3.0
