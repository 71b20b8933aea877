"""Simulated truth is found again: intervals hold it as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mscpkpd.data import Study
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.result import Fit
from toy import study_of, toy_model

LEVEL = 0.90
TIMES = np.repeat([0.5, 2.0, 5.0, 10.0, 20.0, 30.0], 3)
LIMIT = 1.0


def simulated(rng: np.random.Generator, k: float, share: float, sd: float) -> Study:
    """A destructive study with lognormal noise and values under a limit."""
    f = 1000 * share / 10 * np.exp(-k * TIMES)
    rows = []
    for i, (t, y) in enumerate(zip(TIMES, f * np.exp(sd * rng.standard_normal(len(TIMES))), strict=True)):
        row = {"subject": f"m{i}", "time": t, "value": y}
        rows.append(row if y >= LIMIT else {**row, "value": LIMIT, "upper": LIMIT, "censoring": "left"})
    return study_of(rows)


def hits(result: Fit, truth: dict[str, float], shrink: float = 1.0) -> list[bool]:
    """Whether the central 90 % of the draws, or a shrunken part around the median, hold the truth."""
    found = []
    for name, true in truth.items():
        draws = result.posterior.flat()[name]
        low, mid, high = np.percentile(draws, [50 * (1 - LEVEL), 50, 50 * (1 + LEVEL)])
        found.append(bool(mid - shrink * (mid - low) <= true <= mid + shrink * (high - mid)))
    return found


def within_99_percent(found: list[bool]) -> bool:
    """Whether the number of hits lies in the central 99 % of a binomial with the claimed level."""
    low, high = binom.interval(0.99, len(found), LEVEL)
    return bool(low <= sum(found) <= high)


@pytest.mark.slow
def test_intervals_of_least_squares_hold_the_truth_and_halved_ones_do_not(tmp_path, record_property):
    """100 studies, k and F: pooled hits of 90 % intervals are binomial; with halved intervals the same test fails."""
    model, rng = toy_model(tmp_path), np.random.default_rng(100)
    whole, halved = [], []
    for _ in range(100):
        k, share = 0.1 * np.exp(0.3 * rng.standard_normal()), rng.uniform(0.5, 0.75)
        result = fit(model, simulated(rng, k, share, 0.2), "least_squares", free=["k", "F", "b"])
        assert result.converged, result.verdict
        whole += hits(result, {"k": k, "F": share})
        halved += hits(result, {"k": k, "F": share}, shrink=0.5)
    record_property("summary", f"recovery by least squares: {sum(whole)} of {len(whole)}, halved {sum(halved)}")
    assert within_99_percent(whole), f"{sum(whole)} of {len(whole)}"
    assert not within_99_percent(halved), f"{sum(halved)} of {len(halved)}"


@pytest.mark.slow
def test_intervals_of_nuts_hold_the_truth_and_halved_ones_do_not(tmp_path, record_property):
    """20 studies with truth drawn from the priors: pooled hits are binomial; with halved intervals the test fails."""
    model, rng = toy_model(tmp_path), np.random.default_rng(20)
    priors = {name: model.parameter(name).prior for name in ("k", "F", "b")}
    whole, halved = [], []
    for seed in range(20):
        truth = {name: float(prior.sample(rng, 1)[0]) for name, prior in priors.items()}
        study = simulated(rng, truth["k"], truth["F"], truth["b"])
        result = fit(model, study, "nuts", seed=seed, draws=400, tune=300, chains=2)
        whole += hits(result, truth)
        halved += hits(result, truth, shrink=0.5)
    record_property("summary", f"recovery by NUTS: {sum(whole)} of {len(whole)}, halved {sum(halved)}")
    assert within_99_percent(whole), f"{sum(whole)} of {len(whole)}"
    assert not within_99_percent(halved), f"{sum(halved)} of {len(halved)}"
