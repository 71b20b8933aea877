"""A fit that cannot be trusted says so first, in words, and exits 3; a good one does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mscpkpd import cli
from mscpkpd.data import study_from_frame
from mscpkpd.fitting.draws import diagnose
from mscpkpd.fitting.least_squares import estimate
from mscpkpd.fitting.trust import noise_findings, normal_scores, trust_checks
from mscpkpd.modelfile import load_model
from mscpkpd.problem import pose
from toy import study_of, toy_model

MODEL = "pk_one_compartment"
LEVEL = 0.02  # share of good fits that may fail
K, V = 0.1, 50.0  # CL 5 over V1 50


def concentrations(seed=0, *, subjects=20, route="iv", noise=None, factor=1.0, limit=0.0):
    """A table like that of docs/trust.md; `noise` makes a value of a prediction."""
    rng, rows = np.random.default_rng(seed), []
    noise = noise or (lambda f, rng: f * rng.lognormal(0, 0.15))
    for s in range(subjects):
        dose, study = (100.0 if s % 2 else 300.0), ("A" if s < subjects / 2 else "B")
        for time in (1.0, 4.0, 12.0, 24.0):
            f = dose / V * np.exp(-K * time)
            y = noise(f, rng) * (factor if study == "B" else 1.0)
            rows.append(
                {"subject": f"s{s}", "time": time, "time_unit": "h", "output": "conc", "value": max(y, limit),
                 "unit": "mg/L", "censoring": "left" if y < limit else "none", "upper": limit if y < limit else np.nan,
                 "dose": dose, "dose_unit": "mg", "route": route, "study": study}
            )  # fmt: skip
    return pd.DataFrame(rows)


def additive(f, rng):
    return abs(f + 0.15 * rng.standard_normal())


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def command(table, *words):
        table.to_csv("data.csv", index=False)
        status = cli.run(["fit", MODEL, "data.csv", *words, "--out", "run"])
        return status, capsys.readouterr().out.splitlines()[0]

    return command


LEAST_SQUARES = ("--method", "least_squares", "--free")


def test_a_good_fit_says_so_and_exits_0(shell):
    assert shell(concentrations(), *LEAST_SQUARES, "CL,V1") == (0, "All checks of the fit hold.")


def test_a_design_that_cannot_tell_parameters_apart_exits_3(shell):
    """Oral data alone know CL/F and V1/F; which direction changes nothing is said."""
    status, first = shell(concentrations(route="oral"), *LEAST_SQUARES, "CL,V1,F")
    assert status == 3
    assert first.startswith("NOT A RESULT: The design cannot tell CL, V1 and F apart: raising CL by 1 %")
    assert "Hold one of them at a known value" in first


def test_data_that_contradict_each_other_exit_3(shell):
    """Two laboratories, the second in another unit: both cannot be met."""
    status, first = shell(concentrations(factor=3.0), *LEAST_SQUARES, "CL,V1")
    assert status == 3
    assert first.startswith("NOT A RESULT: The data contradict each other: values of 'conc' from A lie below the model")
    assert "Look for another unit, dose or method" in first
    assert "noise" not in first  # what follows from the contradiction is not told as a second fault


def test_a_wrong_noise_model_exits_3(shell):
    status, first = shell(concentrations(noise=additive), *LEAST_SQUARES, "CL,V1")
    assert status == 3
    assert first.startswith("NOT A RESULT: The noise of 'conc', lognormal(sigma_conc), is wrong: residuals are smaller")
    assert "Try additive or combined2 noise in the model file" in first


def test_20_draws_exit_3(shell, monkeypatch):
    """R-hat of so few draws says nothing, whatever it is."""

    def good_chains(problem, *, draws, tune, chains, seed, progress=None, **_options):  # noqa: ARG001
        rng = np.random.default_rng(seed)
        near = {p.name: p.start * np.exp(0.01 * rng.standard_normal((chains, draws))) for p in problem.free}
        return near, {"diverging": np.zeros((chains, draws), bool), "energy": rng.standard_normal((chains, draws))}

    monkeypatch.setattr("mscpkpd.fitting.sampled.sample_chains", good_chains)
    status, first = shell(concentrations(), "--method", "nuts", "--draws", "20", "--free", "CL,V1,sigma_conc")
    assert status == 3
    expected = "NOT A RESULT: 20 draws in each of 4 chains: fewer than 400 in all, too few to judge or to use"
    assert first.startswith(expected)
    assert "take 1000 in each of 4 chains" in first


def test_few_draws_fail_whatever_their_r_hat():
    rng = np.random.default_rng(0)
    for draws, ok in ((99, False), (100, True)):
        _, checks = diagnose({"a": rng.standard_normal((4, draws))}, {})
        assert {check.name: check.ok for check in checks}["draws"] is ok


# ---- each check, and what it must not fail --------------------------------------------------------------------------


def judged(problem, values=None, table=None, method="least_squares", **options):
    values = problem.values(problem.start) | (values or {})
    predicted = problem.predict(np.array([values[name] for name in problem.names])).value
    table = pd.DataFrame({"parameter": problem.names, "learned": np.nan, "note": ""}) if table is None else table
    before, after = trust_checks(problem, predicted, values, table, method=method, **options)
    return {check.name: check for check in (*before, *after)}


def test_scores_of_rows_are_standard_normal_numbers(tmp_path):
    """By hand, for a lognormal value and a mean with its SD; a censored row has none."""
    rows = [
        {"time": 1.0, "value": 600.0, "output": "count", "unit": "cells"},
        {"time": 2.0, "value": 60.0, "sd": 8.0, "n": 4, "stat": "mean"},
        {"time": 9.0, "value": 5.0, "censoring": "left", "upper": 5.0},
    ]
    problem = pose(toy_model(tmp_path, "additive(a)"), study_of(rows))
    f = problem.predict(problem.start).value
    scores = normal_scores(problem, f, problem.values(problem.start))
    kinds = list(problem.rows.kind)
    value, mean = kinds.index("value"), kinds.index("mean")
    assert scores[value] == pytest.approx((np.log(600.0) - np.log(f[value])) / 0.3)
    assert scores[mean] == pytest.approx((60.0 - f[mean]) / 4.0)
    assert np.isnan(scores[kinds.index("left")])


@pytest.mark.parametrize(
    "noise", ["additive(a)", "proportional(b)", "combined1(a, b)", "student(4, a)", "lognormal(b)"]
)
def test_scores_far_in_the_tails_are_finite_and_monotone(tmp_path, noise):
    """1000 SD away on either side there is still a number: nothing is lost to rounding near 0 and 1."""
    model = toy_model(tmp_path, noise)
    values = dict(model.values) | {"a": 3.0, "b": 0.3}
    noise_ = model.output("conc").noise
    f, sd = 100.0, float(noise_.sd(100.0, values))
    steps = np.array([-30.0, -3.0, 0.0, 3.0, 30.0, 1000.0])
    y = f * np.exp(sd * steps) if noise_.is_log else f + sd * steps
    y = y[y > 0]
    problem = pose(model, study_of([{"time": 1.0 + k, "value": float(x)} for k, x in enumerate(y)]))
    scores = normal_scores(problem, np.full(len(y), f), values)
    assert np.all(np.isfinite(scores))
    assert np.all(np.diff(scores) > 0)


def test_two_reports_that_exclude_each_other_are_named(tmp_path):
    """Means with their SD at the same time after the same dose: both rows and both numbers are in the sentence."""
    rows = [
        {"time": 2.0, "value": value, "sd": 4.0, "n": 6, "stat": "mean", "subject": who}
        for who, value in (("one", 60.0), ("two", 110.0))
    ]
    found = judged(pose(toy_model(tmp_path, "additive(a)"), study_of(rows)))["data"]
    assert not found.ok
    assert "state 60 and 110 for 'conc' after the same doses at 2 h, more than their errors explain" in found.sentence
    rows[1]["value"] = 64.0
    assert judged(pose(toy_model(tmp_path, "additive(a)"), study_of(rows)))["data"].ok


def test_studies_may_differ_where_a_random_effect_lets_them():
    problem = pose(load_model(MODEL), study_from_frame(concentrations(factor=3.0)), ["CL", "V1"])
    values = {"V1": V / np.sqrt(3.0)}
    assert not judged(problem, values)["data"].ok
    assert judged(problem, values, levels=["study"])["data"].ok


def test_values_that_could_have_been_censored_are_not_held_against_the_noise(monkeypatch):
    """What remains of a truncated distribution is not normal, and that is no fault of the noise."""
    table = concentrations(limit=1.6, subjects=400)
    table = table[table["dose"] == 100.0]
    problem = pose(load_model(MODEL), study_from_frame(table), ["CL", "V1"])
    assert (problem.rows.kind == "left").mean() > 0.4
    assert judged(problem)["noise"].ok
    monkeypatch.setattr("mscpkpd.fitting.trust._bent", lambda problem, *_: np.zeros(len(problem.rows), bool))
    assert not judged(problem)["noise"].ok


def test_small_departures_from_the_noise_do_not_condemn_a_fit():
    """What theophylline has, a rank correlation of 0.3, is told by `check`, not by the verdict of the fit."""
    problem = pose(load_model(MODEL), study_from_frame(concentrations(subjects=60)), ["CL", "V1"])
    predicted = problem.predict(problem.start).value
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(len(predicted)) * predicted**0.25
    values = problem.values(problem.start)
    assert list(noise_findings(problem, predicted, scores, values)) == []
    (said,) = noise_findings(problem, predicted, scores, values, gross=False)
    assert "is not quite right: residuals are larger where more is predicted" in said


def test_a_posterior_that_is_the_prior_is_no_result():
    problem = pose(load_model(MODEL), study_from_frame(concentrations()), ["CL", "V1"])
    table = pd.DataFrame({"parameter": ["CL", "V1"], "learned": [0.01, -0.02], "note": ""})
    found = judged(problem, table=table, method="nuts")["design"]
    assert not found.ok
    assert "of no parameter did the data remove more than 1% of the prior variance" in found.sentence
    table["learned"] = [0.01, 0.3]
    assert judged(problem, table=table, method="nuts")["design"].ok


def test_few_good_fits_fail():
    """Data of the model itself: 2 of 100 may fail, and 4 of 30 have p = 0.003."""
    assert sum(false_alarms("censored", range(30))) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pooled", "censored", "destructive"])
def test_at_most_2_of_100_good_fits_fail(kind):
    """500 data sets; the share is below the level by the upper end of its 95 % interval."""
    failed = sum(false_alarms(kind, range(500)))
    assert failed / 500 + 1.96 * np.sqrt(max(failed, 1) / 500**2) < LEVEL


def false_alarms(kind, seeds):
    for seed in seeds:
        table = concentrations(seed + 1000, limit=0.6 if kind == "censored" else 0.0)
        if kind == "destructive":
            table["subject"] = [f"a{k}" for k in range(len(table))]
        problem = pose(load_model(MODEL), study_from_frame(table), ["CL", "V1", "sigma_conc"])
        found = estimate(problem, ("CL", "V1"))
        theta = [
            prior.from_free(z) for prior, z in zip((p.prior for p in problem.free), found.free_values, strict=False)
        ]
        values = {"CL": float(theta[0]), "V1": float(theta[1]), **found.noise}
        yield not all(check.ok for check in judged(problem, values).values())
