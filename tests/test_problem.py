"""A problem: what there is to learn, and predictions with derivatives."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from mscpkpd.errors import DataError, UnknownName, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.modelfile import load_model
from mscpkpd.problem import pose, refuse_impossible_rows
from toy import study_of, toy_model

ROWS = [{"time": t, "value": 50.0} for t in (1.0, 5.0, 20.0)]


def test_what_the_outputs_depend_on_is_learned_and_the_rest_is_named(tmp_path):
    """Free: with a prior and an effect; fixed: an effect and no prior; uninformed: a prior and no effect."""
    problem = pose(toy_model(tmp_path), study_of(ROWS))
    assert problem.names == ("k", "F", "b")
    assert problem.fixed == ("V",)
    assert problem.uninformed == ("idle", "a")


def test_predictions_are_the_closed_form_with_its_derivatives(tmp_path):
    """F D exp(-k t)/V and its slopes by k and F, to 1e-6."""
    problem = pose(toy_model(tmp_path), study_of(ROWS))
    theta = np.array([0.2, 0.6, 0.3])
    prediction = problem.predict(theta, jacobian=True)
    t = np.array([1.0, 5.0, 20.0])
    f = 1000 * 0.6 / 10 * np.exp(-0.2 * t)
    np.testing.assert_allclose(prediction.value, f, rtol=1e-6)
    np.testing.assert_allclose(prediction.jacobian[:, 0], -t * f, rtol=1e-5)
    np.testing.assert_allclose(prediction.jacobian[:, 1], f / 0.6, rtol=1e-5)
    np.testing.assert_array_equal(prediction.jacobian[:, 2], 0.0)
    assert problem.predict(theta).jacobian.shape == (3, 0)


def test_another_subject_changes_no_prediction(tmp_path):
    """Results do not depend on other subjects in the data (L10)."""
    model, theta = toy_model(tmp_path), np.array([0.2, 0.6, 0.3])
    alone = pose(model, study_of(ROWS)).predict(theta).value
    more = [*ROWS, {"subject": "s2", "time": 3.0, "value": 9.0, "dose": 77.0}]
    np.testing.assert_array_equal(pose(model, study_of(more)).predict(theta).value[:3], alone)


def test_no_row_informs_a_prior_and_is_fitted(tmp_path):
    """Where a study of `prior_source` is in the data, the wide prior holds and its reason is kept."""
    model = toy_model(tmp_path)
    usual = pose(model, study_of(ROWS)).free[0]
    wide = pose(model, study_of(ROWS, study="other")).free[0]
    assert (str(usual.prior), usual.widened_for) == ("lognormal(0.1, 0.5)", ())
    assert (str(wide.prior), wide.widened_for) == ("lognormal(0.2, 1)", ("other",))


def test_a_row_with_its_own_spread_needs_no_noise_parameter(tmp_path):
    """Means with sd and n carry their own error (B16): `b` is then uninformed."""
    rows = [{"time": t, "value": 50.0, "sd": 5.0, "n": 4, "stat": "mean"} for t in (1.0, 5.0)]
    assert "b" in pose(toy_model(tmp_path), study_of(rows)).uninformed


def test_free_and_fix_are_taken_at_their_word(tmp_path):
    """Only what is freed is learned; what is fixed has its value."""
    model = toy_model(tmp_path)
    assert pose(model, study_of(ROWS), free=["k"]).names == ("k",)
    fixed = pose(model, study_of(ROWS), fix={"F": 0.5})
    assert "F" not in fixed.names
    assert fixed.values(fixed.start)["F"] == 0.5


def test_a_problem_travels_between_processes(tmp_path):
    """Compiled functions stay behind and are made again."""
    problem = pose(toy_model(tmp_path), study_of(ROWS))
    before = problem.predict(problem.start).value
    again = pickle.loads(pickle.dumps(problem))  # noqa: S301 (our own)
    np.testing.assert_array_equal(again.predict(again.start).value, before)


def test_a_failed_solve_is_a_labelled_outcome(tmp_path):
    """NaN predictions and a reason, no exception."""
    problem = pose(toy_model(tmp_path), study_of(ROWS))
    prediction = problem.predict(np.array([np.nan, 0.6, 0.3]), jacobian=True)
    assert np.all(np.isnan(prediction.value))
    assert prediction.failure


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"free": ["kk"]}, UnknownName, "unknown parameter 'kk'. Try: 'k'"),
        ({"fix": {"f": 1.0}}, UnknownName, "'f'.*'F'"),
        ({"free": ["k"], "fix": {"k": 0.2}}, UsageError, "k cannot be both free and fixed"),
        ({"free": ["idle"]}, UsageError, "no free parameter affects the observed outputs. Try: free one of"),
        ({"free": ["V"]}, UsageError, "parameter 'V' has no prior to learn from.*with_prior"),
    ],
)
def test_mistakes_are_named(tmp_path, options, error, message):
    """Each message says what was given and what to try."""
    with pytest.raises(error, match=message):
        pose(toy_model(tmp_path), study_of(ROWS), **options)


# ---- predictions of the shipped model --------------------------------------------------------------------------------


def mouse_rows() -> list[dict[str, object]]:
    """Every observable output of the shipped model at three times, by two routes."""
    units = {"pge2_lung": "ng/mL", "pge2_plasma": "pg/mL", "il10": "pg/mL"}
    names = ("blood_cells", "lung_cells", "rest_cells", "lung_label", "liver_label", "spleen_label", *units)
    return [
        {"subject": route, "route": route, "time": t, "output": name, "value": 1.0, "unit": units.get(name, "cells")}
        for route in ("iv", "intra_articular")
        for t in (0.5, 6.0, 48.0)
        for name in names
    ]


def test_the_jacobian_of_every_output_is_that_of_differences():
    """Chain rule through states, outputs and doses: every free parameter against fourth-order differences at 1e-12.

    At the default tolerance to 1e-5 of the largest derivative of an output and parameter.
    """
    problem = pose(load_model("two_functional_compartments", "mouse"), study_of(mouse_rows(), dose=1e6))
    assert {"CL_P", "I10_0", "k_S", "F_v", "h_P"} <= set(problem.names)
    exact, found = replace(problem, tolerance=1e-12), problem.predict(problem.start, jacobian=True).jacobian
    for k, name in enumerate(problem.names):
        steps = np.zeros((4, len(problem.start)))
        steps[:, k] = 2e-3 * problem.start[k] * np.array([-2, -1, 1, 2])
        far, near, other, beyond = (exact.predict(problem.start + step).value for step in steps)
        slope = (far - 8 * near + 8 * other - beyond) / (12 * steps[2, k])
        # in units of the prediction: an elasticity below 1e-8 is below the tolerance of the solver
        size = np.abs(exact.predict(problem.start).value) / problem.start[k]
        largest = [np.max(np.abs(slope[problem.rows.output == o])) for o in problem.rows.output]
        assert np.all(np.abs(found[:, k] - slope) <= 1e-5 * np.abs(slope) + 1e-5 * np.array(largest) + 1e-7 * size), (
            name
        )


# ---- rows that no parameter value could explain (R13) ----------------------------------------------------------------

CONTROL = {"subject": "untreated", "dose": 0.0, "time": 5.0, "value": 2.0}


@pytest.mark.parametrize(
    ("noise", "extra", "refused"),
    [
        ("lognormal(b)", {}, True),
        ("proportional(b)", {}, True),
        ("power(b, 1)", {}, True),
        ("lognormal(b)", {"upper": 2.0, "censoring": "left"}, False),
        ("proportional(b)", {"upper": 2.0, "censoring": "left"}, True),
        ("lognormal(b)", {"sd": 1.0, "n": 3, "stat": "mean"}, False),
        ("additive(a)", {}, False),
        ("combined2(a, b)", {}, False),
        ("student(4, a)", {}, False),
    ],
)
def test_a_value_where_nothing_is_predicted_needs_a_noise_that_allows_it(tmp_path, noise, extra, refused):
    """R13: a control has no cells. Relative noise gives its value no chance; a fit would blow up the noise instead."""
    problem = pose(toy_model(tmp_path, noise), study_of([*ROWS, {**CONTROL, **extra}]))
    if not refused:
        refuse_impossible_rows(problem)
        return
    with pytest.raises(
        DataError, match=r"row 5.*'conc' is predicted to be 0 at 5 h, where .* no chance \(R13\). Try: add"
    ):
        refuse_impossible_rows(problem)


def test_every_impossible_row_is_named(tmp_path):
    """All together (D14), and by `fit` before it starts."""
    rows = [*ROWS, CONTROL, {**CONTROL, "time": 9.0}, {"subject": "early", "dose_time": 4.0, "time": 1.0, "value": 3.0}]
    data = study_of(rows, dose_time_unit="h")
    for method in ("least_squares", "nuts"):
        with pytest.raises(DataError, match="(?s)3 problems.*at 5 h.*at 9 h.*at 1 h"):
            fit(toy_model(tmp_path), data, method)


def test_a_mechanism_that_is_off_starts_at_the_median_of_its_prior(tmp_path):
    """A value of 0 switches off; freed by a prior, it starts where the prior says."""
    model = toy_model(tmp_path).replace_values({"k": 0.0})
    assert "k" not in pose(model, study_of(ROWS)).names
    freed = pose(model, study_of(ROWS), free=["k", "F"])
    assert dict(zip(freed.names, freed.start, strict=True)) == pytest.approx({"k": 0.1, "F": 0.8})
