"""Priors and parameters: transforms, densities, moments and quantiles agree with each other and with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from mscpkpd.errors import ExpressionError, ParameterError
from mscpkpd.parameters import EVIDENCE, FIXED, Parameter, Prior, number_text

FREE = [
    "lognormal(20, 0.8)",
    "lognormal(1e-05, 2)",
    "logitnormal(0.6, 0.35)",
    "logitnormal(0.013, 1.5)",
    "normal(-3, 2)",
    "halfnormal(0.5)",
    "beta(2, 5)",
    "beta(0.5, 0.5)",
]
ALL = [*FREE, "discrete(1, 5)", "fixed"]


def scipy_form(prior):
    """The same distribution in SciPy, on the natural scale."""
    match prior.family, prior.args:
        case "lognormal", (median, cv):
            return stats.lognorm(math.sqrt(math.log(1 + cv**2)), scale=median)
        case "normal", (mean, sd):
            return stats.norm(mean, sd)
        case "halfnormal", (scale,):
            return stats.halfnorm(scale=scale)
        case "beta", (a, b):
            return stats.beta(a, b)
    return None


@pytest.mark.parametrize("text", ALL)
def test_a_prior_reads_back(text):
    prior = Prior.parse(text)
    assert str(prior) == text
    assert Prior.parse(str(prior)) == prior


@given(st.floats(1e-12, 1e12), st.floats(1e-6, 100))
def test_every_number_reads_back(median, cv):
    prior = Prior("lognormal", (median, cv))
    assert Prior.parse(str(prior)) == prior


def test_each_family_has_its_free_scale():
    transforms = [Prior.parse(text).transform for text in FREE]
    assert transforms == ["log", "log", "logit", "logit", "identity", "log", "logit", "logit"]


@pytest.mark.parametrize("text", FREE)
@given(st.floats(-15, 15))
def test_free_and_natural_are_inverse(text, z):
    prior = Prior.parse(text)
    x = prior.from_free(z)
    assert prior.to_free(x) == pytest.approx(z, abs=1e-7, rel=1e-9)
    assert prior.holds(float(x))


@pytest.mark.parametrize("text", FREE)
@given(st.floats(-8, 8))
def test_derivatives_equal_differences(text, z):
    prior, step = Prior.parse(text), 1e-5
    slope = (prior.from_free(z + step) - prior.from_free(z - step)) / (2 * step)
    assert prior.dx_dz(z) == pytest.approx(float(slope), rel=1e-6, abs=1e-12)
    up, down = prior.log_density_free(z + step), prior.log_density_free(z - step)
    scale = 1 + abs(float(up)) * 1e-3
    assert prior.d_log_density_free(z) == pytest.approx(float(up - down) / (2 * step), rel=1e-5, abs=1e-4 * scale)


@pytest.mark.parametrize("text", FREE)
def test_the_density_integrates_to_one_with_the_stated_moments(text):
    prior = Prior.parse(text)
    mean, sd = prior.free_moments()
    ends = (mean - 25 * sd, mean + 25 * sd)  # the tails of a logit or a half-normal are only exponential

    def moment(power):
        return integrate.quad(
            lambda z: z**power * math.exp(prior.log_density_free(z)), *ends, points=[mean], limit=200
        )[0]

    assert moment(0) == pytest.approx(1, abs=1e-6)
    assert moment(1) == pytest.approx(mean, abs=1e-5 * sd)
    assert moment(2) - moment(1) ** 2 == pytest.approx(sd**2, rel=1e-4)


@pytest.mark.parametrize("text", [text for text in FREE if "logit" not in text])  # SciPy has no logit-normal
def test_the_density_carries_the_jacobian(text):
    prior = Prior.parse(text)
    reference = scipy_form(prior)
    z = np.linspace(-3, 3, 7)
    x = prior.from_free(z)
    np.testing.assert_allclose(
        prior.log_density_free(z), reference.logpdf(x) + np.log(prior.dx_dz(z)), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("text", FREE)
def test_quantiles_and_samples_agree(text):
    prior = Prior.parse(text)
    p = np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    reference = scipy_form(prior)
    if reference is not None:
        np.testing.assert_allclose(prior.quantile(p), reference.ppf(p), rtol=1e-9)
    draws = prior.sample(np.random.default_rng(1), 20_000)
    assert draws.shape == (20_000,)
    # 20,000 draws: the share below a quantile is known to 0.35 %
    below = (draws[:, None] <= prior.quantile(p)).mean(0)
    np.testing.assert_allclose(below, p, atol=0.013)
    assert prior.median == pytest.approx(float(prior.quantile(0.5)))


def test_the_median_is_the_first_argument():
    assert Prior.parse("lognormal(20, 0.8)").median == pytest.approx(20)
    assert Prior.parse("logitnormal(0.6, 0.35)").median == pytest.approx(0.6)


def test_the_cv_means_what_it_says():
    # sdlog = sqrt(ln(1 + cv^2)) is exactly the CV of a log-normal; cv/(1 - median) is the delta method for a logit
    assert scipy_form(Prior.parse("lognormal(3, 0.8)")).std() / scipy_form(
        Prior.parse("lognormal(3, 0.8)")
    ).mean() == pytest.approx(0.8)
    narrow = Prior.parse("logitnormal(0.6, 0.01)").sample(np.random.default_rng(2), 50_000)
    assert narrow.std() / narrow.mean() == pytest.approx(0.01, rel=0.02)


def test_a_discrete_prior_takes_whole_numbers():
    prior = Prior.parse("discrete(1, 5)")
    assert not prior.is_free
    assert prior.median == 3
    np.testing.assert_array_equal(prior.quantile([0, 0.2, 0.21, 1]), [1, 1, 2, 5])
    assert set(prior.sample(np.random.default_rng(3), 500)) == {1, 2, 3, 4, 5}
    assert prior.holds(5)
    assert not prior.holds(5.5)
    assert not prior.holds(6)


@pytest.mark.parametrize(
    "ask",
    [
        FIXED.free_moments,
        lambda: FIXED.median,
        lambda: FIXED.log_density_free(0.0),
        lambda: FIXED.d_log_density_free(0.0),
        lambda: FIXED.sample(np.random.default_rng(1)),
    ],
)
def test_a_fixed_parameter_has_no_distribution(ask):
    with pytest.raises(ParameterError, match="prior 'fixed' has no density; expected a prior that can be estimated"):
        ask()


def test_values_outside_the_support_have_no_finite_free_value():
    assert np.isneginf(Prior.parse("lognormal(1, 1)").to_free(0.0))
    assert np.isposinf(Prior.parse("logitnormal(0.5, 1)").to_free(1.0))
    assert np.isnan(Prior.parse("lognormal(1, 1)").to_free(-1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lognormal(20)", r"'lognormal\(20\)' has 1 arguments; expected lognormal\(median, cv\)"),
        ("lognormal(0, 1)", r"median is 0, expected above 0. Try: lognormal\(median, cv\)"),
        ("lognormal(-1, 0)", "median is -1, expected above 0; cv is 0, expected above 0"),
        ("logitnormal(1.2, 0.1)", "median is 1.2, expected between 0 and 1"),
        ("logitnormal(0.5, 0)", "cv is 0"),
        ("normal(0, -1)", "sd is -1"),
        ("halfnormal(0)", "scale is 0"),
        ("beta(0, 1)", "a is 0"),
        ("discrete(5, 1)", "limits are 5 and 1, expected two whole numbers in order"),
        ("discrete(1, 2.5)", "limits are 1 and 2.5"),
        ("fixed(1)", "has 1 arguments; expected fixed"),
        ("lognorml(20, 0.8)", "unknown prior 'lognorml'; expected one of lognormal, .*Try: lognormal"),
        ("uniform(0, 1)", "unknown prior 'uniform'; expected one of lognormal"),
        ("lognormal(k, 1)", r"uses a name; expected numbers"),
    ],
)
def test_an_impossible_prior_is_refused(text, message):
    with pytest.raises(ParameterError, match=f"^prior of k: .*{message}"):
        Prior.parse(text, where="prior of k")


@pytest.mark.parametrize(
    ("value", "text"), [(20.0, "20"), (0.1, "0.1"), (1e-05, "1e-05"), (2e22, "2e+22"), (-0.0, "-0")]
)
def test_numbers_are_written_shortly_and_exactly(value, text):
    assert number_text(value) == text
    assert float(text) == value


# ---- parameters


def parameter(**changes):
    row = {
        "name": "k_L",
        "value": 0.03,
        "unit": "1/h",
        "prior": Prior.parse("lognormal(0.03, 0.4)"),
        "evidence": "read",
    }
    return Parameter(**{**row, **changes})


def test_a_parameter_is_free_where_its_prior_is():
    assert parameter().is_free
    assert parameter().start == 0.03
    assert not parameter(prior=FIXED).is_free


def test_a_value_of_zero_switches_a_mechanism_off():
    off = parameter(value=0.0)
    assert off.is_off
    assert not off.is_free
    assert off.start == pytest.approx(0.03)


def test_zero_is_an_ordinary_value_where_the_prior_holds_it():
    shift = parameter(value=0.0, prior=Prior.parse("normal(0, 1)"))
    assert not shift.is_off
    assert shift.is_free
    assert shift.start == 0.0


def test_a_fixed_zero_is_not_off_but_fixed():
    assert not parameter(value=0.0, prior=FIXED).is_off


def test_fixing_drops_the_prior_and_what_it_came_from():
    fixed = parameter(prior_source=("lee_2009",), prior_without=Prior.parse("lognormal(0.03, 1)")).fixed_at(0.05)
    assert (fixed.value, fixed.prior, fixed.prior_source, fixed.prior_without) == (0.05, FIXED, (), None)


def test_every_evidence_word_is_known():
    assert {parameter(evidence=word).evidence for word in EVIDENCE} == {
        "read",
        "derived",
        "recalled",
        "assumed",
        "review",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": math.nan}, "k_L is nan; expected a finite number"),
        ({"value": math.inf}, "k_L is inf; expected a finite number"),
        ({"value": -0.1}, r"k_L is -0.1, outside its prior lognormal\(0.03, 0.4\). Try: another value or prior"),
        ({"value": 1.5, "prior": Prior.parse("logitnormal(0.5, 0.2)")}, "k_L is 1.5, outside its prior"),
        ({"evidence": "asumed"}, "evidence of k_L is 'asumed'; expected one of read, .*Try: assumed"),
        ({"low": 2.0, "high": 1.0}, "range of k_L is 2 to 1; expected low below high"),
    ],
)
def test_an_impossible_parameter_is_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        parameter(**changes)


def test_a_name_must_be_a_name():
    with pytest.raises(ExpressionError, match="name 'k-L'; expected a letter"):
        parameter(name="k-L")
