"""A problem: what there is to learn, and predictions with derivatives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.problem import pose
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
