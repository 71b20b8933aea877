"""`to_pymc(..., given=)`: parameters that a user writes as PyTensor expressions."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytest

import mscpkpd as msc
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.modelfile import library_path
from printed import blocks_of, page, run_python

FAST = "FAST_COMPILE"  # the graph as it is: compiling costs more than evaluating

# PyTensor looks for a BLAS at its first compilation, and says that there is none
pytestmark = pytest.mark.filterwarnings("ignore:PyTensor could not link")


@pytest.fixture(scope="module")
def model():
    return msc.load_model("theophylline")


@pytest.fixture(scope="module")
def study():
    return msc.read_study(library_path() / "data" / "theophylline_boeckmann_1994.csv")


def prior_of_file():
    return pm.LogNormal("CL", np.log(0.04), np.sqrt(np.log(2)))  # lognormal(0.04, 1): median and CV


def density(own: pm.Model, **changed: float) -> float:
    point = own.initial_point()
    rng = np.random.default_rng(1)
    for name in sorted(point):
        point[name] = point[name] + 0.1 * rng.standard_normal(np.shape(point[name]))
    return float(own.compile_logp(mode=FAST)({**point, **{name: np.asarray(x) for name, x in changed.items()}}))


def test_the_prior_of_the_file_written_by_hand_is_the_same_model(model, study):
    with pm.Model() as own:
        msc.to_pymc(model, study, given={"CL": prior_of_file()})
    usual = msc.to_pymc(model, study)
    assert {v.name for v in own.free_RVs} == {v.name for v in usual.free_RVs}
    assert density(own) == pytest.approx(density(usual), rel=1e-10)


def test_one_value_for_each_subject_is_that_of_the_subject(model, study):
    """Raising one subject's clearance changes the predictions of its rows alone, and as its random effect would."""
    factors = np.ones(len(study.subjects))
    factors[4] = 1.3
    with pm.Model() as own:
        msc.to_pymc(model, study, given={"CL": prior_of_file() * factors})
    usual = msc.to_pymc(model, study)
    mine = np.array([record.subject == study.subjects[4].id for record in study.records])
    found = own["prediction"].eval({own["CL"]: 0.04, **at_zero(own)})
    plain = usual["prediction"].eval({usual["CL"]: 0.04, **at_zero(usual)})
    raised = usual["prediction"].eval({usual["CL"]: 0.04 * 1.3, **at_zero(usual)})
    np.testing.assert_allclose(found[~mine], plain[~mine], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found[mine], raised[mine], rtol=1e-7, atol=1e-9)
    assert np.max(np.abs(raised[mine] - plain[mine])) > 0.3


def at_zero(own: pm.Model) -> dict:
    values = {"ke": 0.08, "ka": 1.5, "omega_sd_ka": 0.5, "omega_sd_CL": 0.2}
    return {own[name]: x for name, x in values.items()} | {own["unit_subject"]: np.zeros((12, 2))}


def test_the_gradient_reaches_a_covariate(model, study):
    weights = np.log([subject.weight / 70 for subject in study.subjects])
    with pm.Model() as own:
        slope = pm.Normal("slope", 0.0, 0.5)
        msc.to_pymc(model, study, given={"CL": prior_of_file() * pm.math.exp(slope * weights)})
    gradient = float(own.compile_dlogp([own["slope"]], mode=FAST)(own.initial_point())[0])
    step = 1e-4
    up, down = (
        float(own.compile_logp(mode=FAST)({**own.initial_point(), "slope": np.asarray(s)})) for s in (step, -step)
    )
    assert gradient == pytest.approx((up - down) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"clearance": 1.0}, UnknownName, "unknown parameter 'clearance'"),
        ({"weight": 70.0}, UsageError, "'weight' is given, but is not among the parameters to learn"),
        ({"CL": np.ones(3)}, UsageError, r"'CL' is given with shape \(3,\)"),
        (
            {"sigma_conc": np.ones(12)},
            UsageError,
            "'sigma_conc' of the noise is given for each subject",
        ),
    ],
)
def test_mistakes_are_named(model, study, given, error, message):
    with pytest.raises(error, match=message):
        msc.to_pymc(model, study, given=given)


def test_the_page_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    printed = run_python(blocks_of(page("own_terms.md")), "own_terms.md", capsys)
    assert "slope" in printed
