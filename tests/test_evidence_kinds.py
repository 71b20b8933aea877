"""Compositions, biased methods, survival and peaks: predictions, densities, slopes and recovery (Q2, Q5 to Q7)."""

from __future__ import annotations

from dataclasses import replace

import jax
import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evidence_models import DOSE, VALUES, evidence, liver, lung, two_organs
from mscpkpd.counted import counted_rows, deviance_residuals
from mscpkpd.data import study_from_frame
from mscpkpd.errors import DataError, MscError, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.densities import densities, spread_of
from mscpkpd.fitting.hierarchy import build_hierarchy
from mscpkpd.fitting.replicates import observe, shown
from mscpkpd.model import Covariance, Variability
from mscpkpd.population import pose_population
from mscpkpd.problem import pose
from test_evidence import within
from test_quantities import by_numpy, by_pymc, check_gradients, posed
from toy import toy_model

BASE = {"subject": "m1", "time_unit": "h", "route": "iv", "dose": 1000, "dose_unit": "cells"}


def frame(rows: list[dict[str, object]]):
    return study_from_frame(pd.DataFrame([{**BASE, **row} for row in rows]), name="evidence")


# ---- compositions ----------------------------------------------------------------------------------------------------


def shares(time: float, *percent: float, **extra: object) -> list[dict[str, object]]:
    organs = ("lung_cells", "liver_cells")
    row = {"quantity": "share", "time": time, "unit": "%", "sample": f"at {time}", **extra}
    return [{**row, "output": organ, "value": value} for organ, value in zip(organs, percent, strict=True)]


def three(**extra: object):
    """A third organ, so that a composition is more than one ratio."""
    row = {"quantity": "share", "time": 6.0, "unit": "%", "sample": "at 6.0", "output": "spleen", "value": 5.0}
    return [*shares(6.0, 70.0, 25.0, **extra), {**row, **extra}]


def with_spleen(folder):
    described = two_organs(folder)
    spleen = replace(described.output("liver_cells"), name="spleen", expression=described.output("marker").expression)
    return replace(described, outputs=(*described.outputs, spleen))


def test_a_composition_is_what_is_left_when_the_total_is_integrated_out(tmp_path):
    """Three organs with independent lognormal errors, of which only shares are known: by quadrature over the total.

    The density of shares is that of their D - 1 orthonormal log-ratios times 1/(root(D) prod(x)) (Q5).
    """
    problem = replace(pose(with_spleen(tmp_path), frame(three())), tolerance=1e-12)
    f = [lung(6.0), liver(6.0), 5 + 0.01 * lung(6.0)]
    x = [mpmath.mpf("0.70"), mpmath.mpf("0.25"), mpmath.mpf("0.05")]
    s = mpmath.mpf("0.2")

    def organ(amount, mean):
        z = (mpmath.log(amount) - mpmath.log(mpmath.mpf(float(mean)))) / s
        return mpmath.exp(-(z**2) / 2) / (amount * s * mpmath.sqrt(2 * mpmath.pi))

    def joint(log_total):
        total = mpmath.exp(log_total)
        return mpmath.fprod(organ(total * a, b) for a, b in zip(x, f, strict=True)) * total**3

    with mpmath.workdps(40):
        peak = mpmath.fsum(mpmath.log(mpmath.mpf(float(b)) / a) for a, b in zip(x, f, strict=True)) / 3
        marginal = mpmath.quad(joint, [peak + k * s for k in (-40, -8, -2, 0, 2, 8, 40)])
        jacobian = mpmath.log(mpmath.sqrt(3) * mpmath.fprod(x))
        expected = float(mpmath.log(marginal) + jacobian)
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-7, abs=1e-7)  # log(2 pi)/2 of PyMC is in single precision
    check_gradients(problem)


def test_a_composition_does_not_depend_on_its_scale_or_order(tmp_path):
    """Shares in % of what was found, in %ID or as fractions, in any order of rows, say the same (Q5)."""
    model = with_spleen(tmp_path)
    percent = by_numpy(pose(model, frame(three())))
    doses = [{**row, "unit": "%ID", "value": 0.4 * row["value"]} for row in three()]
    assert by_numpy(pose(model, frame(doses))) == pytest.approx(percent, rel=1e-12)
    assert by_numpy(pose(model, frame(three()[::-1]))) == pytest.approx(percent, rel=1e-12)


def test_a_share_a_thousand_standard_deviations_away(tmp_path):
    """The density of a hopeless composition is a number with a slope."""
    problem = replace(pose(two_organs(tmp_path).fix(b=1e-3), frame(shares(6.0, 70.0, 30.0))), tolerance=1e-12)
    with mpmath.workdps(40):
        observed = mpmath.log(mpmath.mpf(7) / 3)
        meant = mpmath.log(mpmath.mpf(float(lung(6.0))) / mpmath.mpf(float(liver(6.0))))
        sd = mpmath.mpf("1e-3") * mpmath.sqrt(2)
        plain = -((observed - meant) ** 2) / (2 * sd**2) - mpmath.log(sd * mpmath.sqrt(2 * mpmath.pi))
        expected = float(plain + mpmath.log(mpmath.sqrt(2)))  # ilr is the log-ratio over the root of 2
    assert expected < -30_000
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-7)


def test_recovery_is_the_sum_of_the_organs_over_the_dose(tmp_path):
    """The total of a sample is an observation of its own (Q5)."""
    total = {
        "quantity": "recovery",
        "output": "lung_cells",
        "time": 6.0,
        "unit": "%",
        "value": 80.0,
        "sample": "at 6.0",
    }
    problem = posed(tmp_path, *shares(6.0, 70.0, 30.0), total)
    value = problem.predict(problem.start).value
    assert value[2] == pytest.approx((lung(6.0) + liver(6.0)) / DOSE, rel=1e-8)
    seen = problem.rows.as_shares(problem.rows.value)
    np.testing.assert_allclose(seen, [0.7, 0.3, 0.8], rtol=1e-12)
    expected = np.array([lung(6.0), liver(6.0)]) / (lung(6.0) + liver(6.0))
    np.testing.assert_allclose(shown(problem, value, problem.values(problem.start))[:2], expected, rtol=1e-8)
    check_gradients(problem)


def test_more_than_the_dose_is_a_warning_with_the_animal():
    """Mass balance: a recovery above 100 %, shares in %ID above it and shares that miss 100 % are notes, no errors."""
    total = {
        "quantity": "recovery",
        "output": "lung_cells",
        "time": 6.0,
        "unit": "%",
        "value": 131.0,
        "sample": "at 6.0",
    }
    notes = frame([*shares(6.0, 70.0, 30.0), {**total, "subject": "m7"}]).notes
    assert "subject 'm7' at 6 h: 131 % of the dose recovered" in notes
    notes = frame(shares(6.0, 70.0, 45.0, unit="%ID")).notes
    assert any("subject 'm1' at 6 h: 2 outputs sum to 115 %ID, more than the dose" in note for note in notes)
    notes = frame(shares(6.0, 60.0, 20.0)).notes
    assert any("shares add up to 80 %; they are taken as parts of that" in note for note in notes)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (shares(6.0, 100.0, 0.0), r"row 3, column 'value'.*'share' of 0.*together with another one"),
        (shares(6.0, 70.0, 30.0)[:1], r"row 2: the share of 'lung_cells' is the only one of its sample"),
        (shares(6.0, 70.0, 30.0, stat="mean", sd=3, n=4), r"row 2, column 'sd'.*sd of a share"),
        (
            [*shares(6.0, 70.0, 25.0), {**shares(6.0, 5.0, 1.0)[0], "output": "marker"}],
            r"the shares of one sample have the noises additive\(0.5\) and lognormal\(b\)",
        ),
    ],
)
def test_compositions_that_say_nothing_are_refused(tmp_path, rows, message):
    """With row and column, and what to do."""
    with pytest.raises(MscError, match=message):
        pose(two_organs(tmp_path), frame(rows))


def test_new_compositions_add_up_and_spread_as_they_should(tmp_path):
    """Simulated shares are closed; the log-ratio of two organs has the variance of two lognormal errors."""
    problem = posed(tmp_path, *shares(6.0, 70.0, 30.0))
    f, values = problem.predict(problem.start).value, problem.values(problem.start)
    rng = np.random.default_rng(0)
    drawn = np.array([problem.rows.as_shares(observe(problem, f, values, rng)) for _ in range(4000)])
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0, rtol=1e-12)
    spread = np.std(np.log(drawn[:, 0] / drawn[:, 1]))
    assert spread == pytest.approx(np.sqrt(2) * VALUES["b"], rel=4 / np.sqrt(2 * 4000))


def test_compositions_are_recovered_by_least_squares_and_map(tmp_path):
    """Shares alone tell the rates and their noise, whatever was recovered."""
    rng, rows = np.random.default_rng(5), []
    for k, time in enumerate(np.linspace(1.0, 40.0, 40)):
        amounts = np.array([lung(time), liver(time)]) * np.exp(VALUES["b"] * rng.standard_normal(2))
        percent = 100 * amounts / amounts.sum()
        rows += shares(float(time), *percent, subject=f"m{k}")
    truth = {name: VALUES[name] for name in ("k", "q", "b")}
    found = fit(two_organs(tmp_path), frame(rows), "map")
    assert found.ok
    within(found, truth)
    quick = fit(two_organs(tmp_path), frame(rows), "least_squares", free=["k", "q", "b"])
    table = quick.table.set_index("parameter")
    assert table.loc["b", "estimate"] == pytest.approx(VALUES["b"], rel=4 / np.sqrt(2 * 40))
    within(quick, {"k": 0.1, "q": 0.03})
    observed = quick.predictions["observed"].to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(observed.sum(axis=1), 1.0, rtol=1e-9)


# ---- methods that are biased -----------------------------------------------------------------------------------------


def test_a_biased_method_sees_its_factor_of_the_amount(tmp_path):
    """Rows of a method with a bias are predicted as factor times output; others, and other quantities, are not (Q6)."""
    rows = [{"method": method, "time": 6.0, "value": 500.0} for method in ("PET", "pet", "qPCR", "")]
    rows = [{**row, "replicate": k} for k, row in enumerate(rows)]
    problem = posed(tmp_path, *rows)
    expected = lung(6.0) * np.array([1.5, 1.5, 1.0, 1.0])
    np.testing.assert_allclose(problem.predict(problem.start).value, expected, rtol=1e-8)
    check_gradients(posed(tmp_path, *rows[1:3]))


def test_a_bias_is_recovered_relative_to_a_reference_and_said_to_be_unknown_without(tmp_path):
    """With another method the factor is learned; without, the fit says that only its prior tells it (Q6)."""
    rng, rows = np.random.default_rng(7), []
    for time in np.linspace(1.0, 25.0, 24):
        for method, factor in (("PET", 1.5), ("qPCR", 1.0)):
            value = factor * lung(time) * np.exp(VALUES["b"] * rng.standard_normal())
            rows.append({"method": method, "output": "lung_cells", "unit": "cells", "time": time, "value": value})
    found = fit(two_organs(tmp_path), frame(rows), "least_squares", free=["k", "pet", "b"])
    within(found, {"k": 0.1, "pet": 1.5})
    assert not any("pet" in note for note in found.notes)
    alone = fit(two_organs(tmp_path), frame(rows[::2]), "map")
    assert any(note.startswith("pet: no row of 'lung_cells' by another method than PET") for note in alone.notes)


def test_a_bias_that_differs_between_batches_is_learned_batch_by_batch(tmp_path):
    """[variability] of the bias over lots: rows of that method alone move, and each of 12 lots finds its factor."""
    model = replace(two_organs(tmp_path), variability=(Variability("pet", "lot", 0.3),))
    rng, rows = np.random.default_rng(3), []
    factors = 1.5 * np.exp(0.4 * rng.standard_normal(12))
    for k, factor in enumerate(factors):
        for time in (2.0, 10.0, 20.0):
            for method, times in (("PET", factor), ("qPCR", 1.0)):
                value = float(times * lung(time) * np.exp(0.05 * rng.standard_normal()))
                rows.append({"subject": f"m{k}", "lot": f"L{k}", "method": method, "time": time, "value": value})
    study = evidence(*rows)
    population = pose_population(model, study)
    start = population.problem.start
    moved = population.predict(start, np.full(12, 0.1)).value / population.predict(start, np.zeros(12)).value
    np.testing.assert_allclose(moved, np.where([row["method"] == "PET" for row in rows], np.exp(0.1), 1.0), rtol=1e-9)
    found = fit(model, study, "focei", free=["k", "pet", "b"])
    assert found.ok
    lots = found.individuals.set_index("lot").loc[[f"L{k}" for k in range(12)]]
    # three values with 5 % of noise each: four standard errors of a factor
    np.testing.assert_allclose(np.log(lots["pet"]), np.log(factors), atol=4 * 0.05 / np.sqrt(3))


# ---- survival --------------------------------------------------------------------------------------------------------


def gained(t: float) -> mpmath.mpf:
    """Cumulative hazard at a time."""
    h0, harm, k = (mpmath.mpf(str(VALUES[name])) for name in ("h0", "harm", "k"))
    return h0 * t + harm * 1000 * (1 - mpmath.exp(-k * t)) / k


@pytest.mark.parametrize(("time", "k", "n"), [(48.0, 7, 10), (48.0, 0, 10), (48.0, 10, 10), (1e-3, 0, 3), (4e5, 2, 3)])
def test_how_many_are_alive_is_binomial_through_the_hazard(tmp_path, time, k, n):
    """S = exp(-H), H integrated by the engine; tails to 1e-8 by mpmath: all dead at once, many alive at H = 800."""
    problem = posed(tmp_path, {"quantity": "alive", "output": "hazard", "time": time, "value": k, "n": n})
    with mpmath.workdps(60):
        h = gained(time)
        expected = mpmath.log(mpmath.binomial(n, k)) - k * h + (n - k) * mpmath.log(-mpmath.expm1(-h))
    assert by_numpy(problem) == pytest.approx(float(expected), rel=1e-8, abs=1e-8)
    assert by_pymc(problem) == pytest.approx(float(expected), rel=1e-8, abs=1e-8)
    if time == 48.0:
        check_gradients(problem)


def test_a_cumulative_hazard_may_be_the_output(tmp_path):
    """An output without a unit is the cumulative hazard itself (Q7)."""
    problem = posed(tmp_path, {"quantity": "alive", "output": "risk", "time": 48.0, "value": 7, "n": 10})
    expected = stats.binom(10, np.exp(-2 * 48 * VALUES["h0"])).logpmf(7)
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8)


EVENTS = {
    "event": ({"value": 30.0}, lambda: mpmath.log(hazard(30)) - gained(30)),
    "event in days, observed from 6 h": (
        {"value": 1.25, "unit": "d", "time": 6.0},
        lambda: mpmath.log(hazard(30)) - (gained(30) - gained(6)),
    ),
    "alive at the end": ({"value": 60.0, "censoring": "right"}, lambda: -gained(60)),
    "dead at the first look": ({"value": 24.0, "censoring": "left"}, lambda: mpmath.log(-mpmath.expm1(-gained(24)))),
    "between two looks": (
        {"lower": 24.0, "upper": 48.0, "value": None, "censoring": "interval"},
        lambda: mpmath.log(mpmath.exp(-gained(24)) - mpmath.exp(-gained(48))),
    ),
    "long after everybody": ({"value": 5e5, "censoring": "right"}, lambda: -gained(5e5)),
}


def hazard(t: float) -> mpmath.mpf:
    h0, harm, k = (mpmath.mpf(str(VALUES[name])) for name in ("h0", "harm", "k"))
    return h0 + harm * 1000 * mpmath.exp(-k * t)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_the_time_of_an_event_has_the_density_of_the_hazard(tmp_path, name):
    """log h(T) - H(T) for an event, -H for an animal that was alive, and what lies between, by mpmath to 1e-8 (Q7)."""
    row, log_density = EVENTS[name]
    problem = posed(tmp_path, {"quantity": "event_time", "output": "hazard", "unit": "h", **row})
    with mpmath.workdps(60):
        expected = float(log_density())
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    if name in ("event in days, observed from 6 h", "between two looks"):
        check_gradients(problem)


def test_survival_is_recovered(tmp_path):
    """Event times and counts of the living, drawn from the closed form of the cumulative hazard."""
    rng, rows = np.random.default_rng(11), []
    k = VALUES["k"]

    def total(t):
        return VALUES["h0"] * t + 3e-5 * DOSE * (1 - np.exp(-k * t)) / k

    grid = np.geomspace(1e-3, 2e4, 20_000)
    for animal in range(80):
        time = float(np.interp(rng.exponential(), total(grid), grid))
        row = {"subject": f"m{animal}", "quantity": "event_time", "output": "hazard", "unit": "h", "time": 0.0}
        rows.append({**row, "value": min(time, 400.0), "censoring": "right" if time > 400 else "none"})
    for time in (10.0, 30.0, 100.0, 250.0):
        alive = int(rng.binomial(60, np.exp(-total(time))))
        rows.append(
            {"subject": f"g{time}", "quantity": "alive", "output": "hazard", "time": time, "value": alive, "n": 60}
        )
    study = frame([{"unit": "1", **row} for row in rows])
    found = fit(two_organs(tmp_path), study, "map", free=["h0", "harm"])
    assert found.ok
    within(found, {"h0": VALUES["h0"], "harm": 3e-5})
    counts = found.predictions[found.predictions["kind"] == "alive"]
    np.testing.assert_allclose(counts["predicted"], 60 * np.exp(-total(counts["time"].to_numpy())), rtol=0.2)


def test_what_no_hazard_can_say_is_refused(tmp_path):
    """An output that is no hazard, an event before observation, and FOCE of events."""
    row = {"quantity": "event_time", "unit": "h", "value": 30.0}
    with pytest.raises(MscError, match=r"'risk' in 1 .*expected a hazard in 1/h"):
        pose(two_organs(tmp_path), evidence({**row, "output": "risk"}))
    with pytest.raises(MscError, match=r"output 'lung_cells' is in cells; expected a hazard in 1/\(h\)"):
        pose(two_organs(tmp_path), evidence({**row, "output": "lung_cells"}))
    with pytest.raises(DataError, match=r"row 2: an event at 30 h of an animal observed from 40 h on"):
        pose(two_organs(tmp_path), evidence({**row, "output": "hazard", "time": 40.0}))
    with pytest.raises(UsageError, match=r"focei with the times of events.*method='laplace'"):
        fit(two_organs(tmp_path), evidence({**row, "output": "hazard"}), "focei")


# ---- peaks -----------------------------------------------------------------------------------------------------------

TOP = np.log(0.1 / 0.03) / (0.1 - 0.03)


@pytest.mark.parametrize("window", [(0.0, 72.0), (2.0, 200.0), (0.0, 20.0)])
def test_a_peak_is_the_top_of_the_curve(tmp_path, window):
    """Value and time of the maximum by a parabola through a grid, against the closed form (Q2)."""
    row = {"output": "liver_cells", "time": window[0], "time_to": window[1]}
    height = {**row, "quantity": "peak", "value": 500.0}
    moment = {**row, "quantity": "peak_time", "value": 15.0, "unit": "h"}
    problem = posed(tmp_path, height, moment)
    value = problem.predict(problem.start).value
    assert value[0] == pytest.approx(liver(TOP), rel=5e-5)
    assert value[1] == pytest.approx(TOP, rel=2e-3)
    if window[1] == 72.0:
        check_gradients(problem)


@pytest.mark.slow
def test_a_peak_by_jax(tmp_path):
    """The same function, traced."""
    row = {"output": "liver_cells", "time": 0.0, "time_to": 72.0}
    height = {**row, "quantity": "peak", "value": 500.0}
    problem = posed(tmp_path, height, {**row, "quantity": "peak_time", "value": 15.0, "unit": "h"})
    rows, pull = jax.vjp(problem.traced(), problem.start)
    found = problem.predict(problem.start, jacobian=True)
    np.testing.assert_allclose(rows, found.value, rtol=1e-6)
    np.testing.assert_allclose(pull(np.ones(2))[0], found.jacobian.sum(axis=0), rtol=1e-4, atol=1e-6)


def test_a_peak_at_the_edge_of_its_window_is_its_edge(tmp_path):
    """What only falls is highest at the beginning, what only rises at the end."""
    row = {"quantity": "peak", "value": 500.0, "time": 1.0, "time_to": 9.0}
    moment = {**row, "quantity": "peak_time", "value": 5.0, "unit": "h"}
    for output, edge, height in (("lung_cells", 1.0, lung(1.0)), ("liver_cells", 9.0, liver(9.0))):
        problem = posed(tmp_path, {**row, "output": output}, {**moment, "output": output})
        np.testing.assert_allclose(problem.predict(problem.start).value, [height, edge], rtol=1e-8)


@pytest.mark.slow
def test_peaks_are_recovered(tmp_path):
    """Heights and times of peaks tell the two rates."""
    rng, rows = np.random.default_rng(2), []
    for k in range(10):
        row = {"subject": f"m{k}", "output": "liver_cells", "time": 0.0, "time_to": 72.0}
        height = liver(TOP) * np.exp(VALUES["b"] * rng.standard_normal())
        rows.append({**row, "quantity": "peak", "value": height, "unit": "cells"})
        rows.append({**row, "quantity": "peak_time", "value": TOP + 2 * rng.standard_normal(), "unit": "h"})
    found = fit(two_organs(tmp_path), frame(rows), "least_squares", free=["k", "q", "b"])
    within(found, {"k": 0.1, "q": 0.03})


# ---- random effects --------------------------------------------------------------------------------------------------


def varied(folder):
    described = two_organs(folder)
    spreads = (Variability("k", "subject", 0.3), Variability("q", "subject", 0.2))
    return replace(described, variability=spreads, covariance=(Covariance("subject", "diagonal"),))


def of_animals():
    """Half-lives, fold changes, counts, shares and values of three animals, and a ratio between groups."""
    rows = []
    for name, dose in (("m1", 1000), ("m2", 1000), ("m3", 500)):
        own = {"subject": name, "dose": dose, "output": "lung_cells"}
        rows += [
            {**own, "quantity": "half_life", "time": 2.0, "time_to": 20.0, "value": 7.0, "unit": "h"},
            {**own, "quantity": "fold_change", "output": "marker", "time": 3.0, "value": 2.0, "unit": "1"},
            {**own, "quantity": "present", "time": 40.0, "value": 1, "unit": "1"},
            {**own, "time": 5.0, "value": 500.0, "unit": "cells"},
            {**own, "time": 9.0, "value": 350.0, "unit": "cells"},
            *({**own, **row} | {"output": row["output"]} for row in shares(6.0, 70.0, 30.0)),
        ]
    between = {"quantity": "ratio", "output": "lung_cells", "versus_subject": "m3", "time": 6.0, "unit": "1"}
    counted = {"subject": "m1", "quantity": "positive", "output": "lung_cells", "time": 40.0, "unit": "1"}
    return frame([*rows, {**between, "value": 2.1}, {**counted, "value": 3, "n": 9}])


def test_random_effects_reach_rows_through_their_points(tmp_path):
    """Derivatives by effects and by parameters against differences; groups compared and counts of many have none."""
    population = pose_population(varied(tmp_path), of_animals())
    assert len(population.effects) == 2
    theta, rng = population.problem.start, np.random.default_rng(1)
    eta = 0.3 * rng.standard_normal(population.offsets[-1])
    found = population.predict(theta, eta, by_eta=True, by_theta=True)
    step, whole = 1e-5, np.zeros((len(found.value), len(eta)))
    for j in range(len(eta)):
        up, down = (population.predict(theta, eta + s * step * (np.arange(len(eta)) == j)).value for s in (1, -1))
        whole[:, j] = (up - down) / (2 * step)
    for e in range(len(population.effects)):
        places = population.places[e, population.case]
        mine = np.where(places >= 0, whole[np.arange(len(whole)), places], 0.0)
        np.testing.assert_allclose(found.by_eta[:, e], mine, rtol=2e-4, atol=1e-5)
    assert not found.by_eta[-2:].any()
    for j, name in enumerate(population.problem.names):
        move = theta * step * (np.arange(len(theta)) == j)
        up, down = (population.predict(theta + s * move, eta).value for s in (1, -1))
        np.testing.assert_allclose(found.by_theta[:, j] * theta[j], (up - down) / (2 * step), rtol=2e-4, atol=1e-4)
        assert name in population.problem.names


def test_the_hierarchical_model_has_the_density_of_its_rows(tmp_path):
    """The layer of quantities in the graph of PyMC, with random effects, and its gradient (P11, Q1)."""
    population = pose_population(varied(tmp_path), of_animals())
    problem = population.problem
    model = build_hierarchy(population)
    point = model.initial_point()
    rng = np.random.default_rng(2)
    unit = 0.5 * rng.standard_normal(point["unit_subject"].shape)
    point["unit_subject"] = unit
    named = {name: float(p.prior.to_free(p.start)) for name, p in zip(problem.names, problem.free, strict=True)}
    for name, value in named.items():
        point[next(k for k in point if k.startswith(f"{name}_"))] = np.array(value)
    terms = [*model.observed_RVs, *model.potentials]
    got = float(model.compile_logp(terms, mode="FAST_COMPILE")(point))
    sds = [np.exp(point[f"{effect.omega_sd}_log__"]) for effect in population.effects]
    eta = (unit * np.array(sds)).ravel()
    f = population.predict(problem.start, eta).value
    expected = float(np.sum(densities(problem, f, problem.values(problem.start)).value))
    # PyMC keeps log(2 pi)/2 in single precision; it takes a tail with a root of 2 in single precision
    assert got == pytest.approx(expected, abs=1e-5)
    gradient, density = model.compile_dlogp(mode="FAST_COMPILE")(point), model.compile_logp(mode="FAST_COMPILE")
    sizes = {v.name: int(np.size(point[v.name])) for v in model.value_vars}
    at = sum(sizes[v.name] for v in model.value_vars[: [v.name for v in model.value_vars].index("unit_subject")])
    moved = [density({**point, "unit_subject": unit + s * 1e-4 * (np.arange(unit.size) == 0).reshape(unit.shape)})
             for s in (1, -1)]  # fmt: skip
    assert gradient[at] == pytest.approx((moved[0] - moved[1]) / 2e-4, rel=1e-4, abs=1e-4)


def test_a_population_is_fitted_to_half_lives_of_animals(tmp_path):
    """`focei` of half-lives and values of twelve animals: the spread of k between them is found."""
    rng, rows = np.random.default_rng(4), []
    for animal in range(12):
        k = 0.1 * np.exp(0.4 * rng.standard_normal())
        own = {"subject": f"m{animal}", "output": "lung_cells"}
        for start in (1.0, 5.0, 9.0):
            half = np.log(2) / k * np.exp(0.1 * rng.standard_normal())
            rows.append(
                {**own, "quantity": "half_life", "time": start, "time_to": start + 8, "value": half, "unit": "h"}
            )
    described = replace(two_organs(tmp_path), variability=(Variability("k", "subject", 0.3),))
    found = fit(described, frame(rows), "focei", free=["k", "r"])
    assert found.ok
    known = found.table.set_index("parameter")["estimate"]
    assert known["omega_sd_k"] == pytest.approx(0.4, rel=0.6)
    assert known["r"] == pytest.approx(0.1, rel=0.5)
    assert len(found.predictions) == 36


# ---- sampled ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nuts_samples_every_kind(tmp_path):
    """The compiled log density of a mixed table: the posterior holds the values that its rows were made from."""
    rows = [
        {
            "quantity": "half_life",
            "time": 2.0,
            "time_to": 24.0,
            "value": 6.9,
            "unit": "h",
            "stat": "mean",
            "sd": 1.5,
            "n": 4,
        },
        {"quantity": "ratio", "versus": "liver_cells", "time": 6.0, "value": 1.4, "unit": "1"},
        {"method": "PET", "time": 12.0, "value": 450.0, "unit": "cells"},
        {"method": "qPCR", "time": 12.0, "value": 300.0, "unit": "cells"},
        {"quantity": "positive", "time": 30.0, "value": 5, "n": 10, "unit": "1"},
        *shares(6.0, 57.0, 43.0),
        {"quantity": "peak_time", "output": "liver_cells", "time": 0.0, "time_to": 72.0, "value": TOP, "unit": "h"},
        {"quantity": "alive", "output": "hazard", "time": 100.0, "value": 4, "n": 8, "unit": "1"},
        {"quantity": "event_time", "output": "hazard", "time": 0.0, "value": 90.0, "unit": "h"},
    ]
    study = frame([{"output": "lung_cells", **row} for row in rows])
    found = fit(two_organs(tmp_path), study, "nuts", draws=400, tune=500, chains=2, seed=1)
    table = found.table.set_index("parameter")
    assert table["r_hat"].max() < 1.05
    for name in ("k", "q", "b", "r", "lod", "s", "pet", "h0"):
        assert table.loc[name, "lower"] < VALUES[name] < table.loc[name, "upper"], name


@pytest.mark.slow
def test_nuts_samples_quantities_with_random_effects(tmp_path):
    """The layer of quantities in a compiled hierarchical model."""
    found = fit(varied(tmp_path), of_animals(), "nuts", draws=200, tune=300, chains=2, seed=1)
    assert len(found.predictions) == 23
    assert np.all(np.isfinite(found.table["estimate"]))
    assert {"omega_sd_k", "omega_sd_q"} <= set(found.table["parameter"])


@pytest.mark.parametrize("row", [{"quantity": "positive", "time": 30.0}, {"quantity": "alive", "time": 48.0}])
def test_residuals_of_counts_say_how_far_the_density_is_below_its_maximum(tmp_path, row):
    """What finds the frame of a sampler: half the square is the loss of log density, with its slope (Q4, Q7)."""
    output = "hazard" if row["quantity"] == "alive" else "lung_cells"
    problem = posed(tmp_path, {**row, "output": output, "value": 3, "n": 10})
    values, mine = problem.values(problem.start), np.array([0])
    f = problem.predict(problem.start).value
    for shift in (0.2, 1.0, 5.0):
        residual, slope = deviance_residuals(problem, shift * f, values, mine)
        below = stats.binom(10, 0.3).logpmf(3) - counted_rows(problem, shift * f, values, mine).value
        assert 0.5 * residual[0] ** 2 == pytest.approx(below[0], rel=1e-9)
        up, down = (deviance_residuals(problem, (1 + s * 1e-6) * shift * f, values, mine)[0] for s in (1, -1))
        assert slope[0] == pytest.approx((up - down)[0] / (2e-6 * shift * f[0]), rel=1e-5)


# ---- new observations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["additive(a)", "proportional(b)", "lognormal(b)", "boxcox(b, 0.4)", "student(b, 4)"])
def test_new_means_without_an_sd_are_of_as_many_subjects_as_the_row(tmp_path, noise):
    """B16: they spread about the prediction as the density of the row says, the scale of its error being its own."""
    row = {"output": "conc", "time": 2.0, "value": 50.0, "unit": "cells/mL", "stat": "mean"}
    rows = [{**row, "subject": f"of {n}", "n": n} for n in (2, 50)]
    problem = pose(toy_model(tmp_path, noise), frame(rows))
    f, values = problem.predict(problem.start).value, problem.values(problem.start)
    rng = np.random.default_rng(2)
    drawn = np.array([observe(problem, f, values, rng) for _ in range(4000)])
    spread, _ = spread_of(problem, f, values)
    form = problem.model.output("conc").noise
    error = np.array([form.scaled(y, values) - form.scaled(f, values) for y in drawn])
    np.testing.assert_allclose(error.std(axis=0), spread, rtol=4 / np.sqrt(2 * 4000))
    assert spread[0] == pytest.approx(5 * spread[1])
