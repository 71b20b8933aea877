"""Residual error models: spreads, densities and censored probabilities against known answers and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from mscpkpd.errors import ParameterError, UnknownName
from mscpkpd.noise import Noise

VALUES = {"a": 0.5, "b": 0.2, "c": 0.8, "s": 0.4, "nu": 4.0}
TEXTS = [
    "additive(a)",
    "proportional(b)",
    "combined1(a, b)",
    "combined1(a, b, c)",
    "combined2(a, b)",
    "combined2(a, b, c)",
    "power(b, c)",
    "lognormal(s)",
    "student(nu, a)",
    "student(nu, combined2(a, b))",
    "yeojohnson(c, s)",
]


def test_known_log_likelihoods_of_one_row():
    # f = 1, sd = 0.5, LLOQ = 0.6, y = 1.2
    noise, lloq = Noise.parse("additive(0.5)"), 0.6
    seen = noise.log_density(1.2, 1.0, {})
    blq = noise.log_cdf(lloq, 1.0, {})
    above_zero = noise.log_sf(0.0, 1.0, {})
    assert seen == pytest.approx(-0.3057913526, abs=5e-11)  # M1, M3 (B5)
    assert seen - noise.log_sf(lloq, 1.0, {}) == pytest.approx(-0.0677176510, abs=5e-11)  # M2 (B4)
    assert seen - above_zero == pytest.approx(-0.2827784433, abs=5e-11)  # M4 (B6)
    assert blq == pytest.approx(-1.5518513192, abs=5e-11)  # M3 (B5)
    assert noise.log_interval(0.0, lloq, 1.0, {}) - above_zero == pytest.approx(-1.6424385433, abs=5e-11)  # M4 (B6)
    assert noise.log_interval(0.3, 0.6, 1.0, {}) == pytest.approx(-2.0318045042, abs=5e-11)  # B8
    assert noise.log_sf(1.5, 1.0, {}) == pytest.approx(-1.8410216450, abs=5e-11)  # B9


def test_the_far_tail_does_not_underflow():
    assert Noise.parse("additive(1)").log_cdf(-40.0, 0.0, {}) == pytest.approx(-804.6084420138, abs=5e-11)
    assert Noise.parse("additive(1)").log_sf(40.0, 0.0, {}) == pytest.approx(-804.6084420138, abs=5e-11)


def test_known_spreads():
    known = {"a": 0.2, "b": 0.2}
    assert Noise.parse("combined1(a, b)").sd(1.0, known) == pytest.approx(0.4)  # R3
    assert Noise.parse("combined2(a, b)").sd(1.0, known) == pytest.approx(0.2828427125, abs=5e-11)  # R4


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("additive(a)", lambda f: 0.5 + 0 * f),
        ("proportional(b)", lambda f: 0.2 * f),
        ("combined1(a, b)", lambda f: 0.5 + 0.2 * f),
        ("combined1(a, b, c)", lambda f: 0.5 + 0.2 * f**0.8),
        ("combined2(a, b)", lambda f: np.sqrt(0.25 + 0.04 * f**2)),
        ("combined2(a, b, c)", lambda f: np.sqrt(0.25 + 0.04 * f**1.6)),
        ("power(b, c)", lambda f: 0.2 * f**0.8),
        ("lognormal(s)", lambda f: 0.4 + 0 * f),
        ("student(nu, a)", lambda f: 0.5 + 0 * f),
    ],
)
def test_the_spread_is_the_one_of_the_table(text, formula):
    f = np.array([0.0, 0.1, 1.0, 250.0])
    np.testing.assert_allclose(Noise.parse(text).sd(f, VALUES), formula(f), rtol=1e-14)


def test_the_spread_does_not_mind_a_solver_below_zero():
    np.testing.assert_allclose(Noise.parse("power(b, c)").sd(np.array([-1e-12]), VALUES), 0.2 * 1e-12**0.8)


@pytest.mark.parametrize("text", TEXTS)
def test_a_noise_reads_back(text):
    assert str(Noise.parse(text)) == text
    assert Noise.parse(str(Noise.parse(text))) == Noise.parse(text)


def test_parameters_are_the_names_among_the_arguments():
    assert Noise.parse("combined2(a, 0.2)").parameters == ("a",)
    assert Noise.parse("combined1(a, a, c)").parameters == ("a", "c")
    assert Noise.parse("additive(1)").parameters == ()
    assert Noise.parse("combined2(a, 0.2)").arguments == {"a": "a", "b": 0.2}
    assert [text for text in TEXTS if Noise.parse(text).is_log] == ["lognormal(s)"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_density_integrates_to_one(text):
    noise = Noise.parse(text)
    lo = 0 if noise.is_positive else -np.inf
    total, _ = integrate.quad(lambda y: math.exp(noise.log_density(y, 2.0, VALUES)), lo, np.inf)
    assert total == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("text", TEXTS)
@given(st.floats(0.5, 5), st.floats(0.2, 6))
def test_the_density_is_the_slope_of_the_distribution(text, f, y):
    noise, step = Noise.parse(text), 1e-5
    up, down = (math.exp(noise.log_cdf(y + d, f, VALUES)) for d in (step, -step))
    assert (up - down) / (2 * step) == pytest.approx(math.exp(noise.log_density(y, f, VALUES)), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("text", TEXTS)
@given(st.floats(0.1, 20), st.floats(0.05, 10), st.floats(1.01, 5))
def test_an_interval_is_a_difference_and_all_parts_make_one(text, f, lo, ratio):
    noise, hi = Noise.parse(text), lo * ratio
    below, between, above = (
        float(p)
        for p in (
            noise.log_cdf(lo, f, VALUES),
            noise.log_interval(lo, hi, f, VALUES),
            noise.log_sf(hi, f, VALUES),
        )
    )
    assert math.exp(below) + math.exp(between) + math.exp(above) == pytest.approx(1, abs=1e-12)


def test_a_narrow_interval_far_out_keeps_its_digits():
    # at z = 30 both upper tails are 1e-198: the difference of probabilities near 1 would be 0
    noise = Noise.parse("additive(1)")
    exact = stats.norm.logpdf(30.0) + math.log(1e-3)
    assert noise.log_interval(30.0 - 5e-4, 30.0 + 5e-4, 0.0, {}) == pytest.approx(exact, rel=1e-5)
    assert noise.log_interval(-30.0 - 5e-4, -30.0 + 5e-4, 0.0, {}) == pytest.approx(exact, rel=1e-5)


def test_an_interval_needs_its_bounds_in_order():
    with pytest.raises(ParameterError, match="lower bound of an interval is not below its upper bound"):
        Noise.parse("additive(a)").log_interval(2.0, 1.0, 1.0, VALUES)


def test_lognormal_has_the_rules_of_the_log_scale():
    noise = Noise.parse("lognormal(s)")
    reference = stats.lognorm(0.4, scale=3.0)
    assert noise.log_density(2.0, 3.0, VALUES) == pytest.approx(reference.logpdf(2.0))  # R6, P10
    assert noise.log_cdf(2.0, 3.0, VALUES) == pytest.approx(reference.logcdf(2.0))  # B12
    assert noise.log_sf(2.0, 3.0, VALUES) == pytest.approx(reference.logsf(2.0))
    assert noise.log_sf(0.0, 3.0, VALUES) == 0  # M4 equals M3: positivity is certain
    assert noise.log_interval(0.0, 2.0, 3.0, VALUES) == pytest.approx(reference.logcdf(2.0))


def test_lognormal_at_its_edges():
    noise = Noise.parse("lognormal(s)")
    assert noise.log_density(0.0, 1.0, VALUES) == -np.inf
    assert noise.log_density(-1.0, 1.0, VALUES) == -np.inf
    assert noise.log_density(1.0, 0.0, VALUES) == -np.inf
    assert noise.log_cdf(1.0, 0.0, VALUES) == 0
    assert noise.log_cdf(0.0, 1.0, VALUES) == -np.inf
    assert noise.log_interval(0.5, 1.0, 0.0, VALUES) == -np.inf


def test_no_spread_makes_an_observation_impossible():
    assert Noise.parse("proportional(b)").log_density(0.0, 0.0, VALUES) == -np.inf


def test_a_prediction_that_does_not_exist_stays_visible():
    assert np.isnan(Noise.parse("additive(a)").log_density(1.0, np.nan, VALUES))
    assert np.isnan(Noise.parse("lognormal(s)").log_density(1.0, np.nan, VALUES))
    assert np.isnan(Noise.parse("proportional(b)").log_density(1.0, np.nan, VALUES))


def test_student_is_that_of_scipy():
    noise = Noise.parse("student(nu, a)")
    reference = stats.t(4.0, loc=1.0, scale=0.5)
    y = np.array([-3.0, 0.9, 4.0])
    np.testing.assert_allclose(noise.log_density(y, 1.0, VALUES), reference.logpdf(y), rtol=1e-12)
    np.testing.assert_allclose(noise.log_cdf(y, 1.0, VALUES), reference.logcdf(y), rtol=1e-9)  # B13
    np.testing.assert_allclose(noise.log_sf(y, 1.0, VALUES), reference.logsf(y), rtol=1e-9)


def test_everything_broadcasts():
    noise = Noise.parse("combined1(a, b)")
    f = np.linspace(1, 2, 3)
    many = {"a": np.array([[0.1], [0.2]]), "b": 0.3}
    assert noise.log_density(1.5, f, many).shape == (2, 3)
    assert noise.log_cdf(np.ones(3), f, many).shape == (2, 3)
    one = noise.log_interval(1.0, 1.2, f[1], {"a": 0.2, "b": 0.3})
    assert noise.log_interval(1.0, 1.2, f, many)[1, 1] == pytest.approx(float(one))


@pytest.mark.parametrize("text", TEXTS)
def test_samples_follow_the_distribution(text):
    noise = Noise.parse(text)
    draws = noise.sample(np.random.default_rng(4), np.full(4000, 2.0), VALUES)
    uniform = np.exp(noise.log_cdf(draws, 2.0, VALUES))
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("combined(a, b)", r"noise 'combined' has two meanings \(R11\). Try: combined1\(a, b\)"),
        ("combined", "two meanings"),
        ("lognorma(s)", "unknown noise 'lognorma'; expected one of additive, .*Try: lognormal"),
        ("additive(a, b)", r"'additive\(a, b\)' has 2 arguments; expected additive\(a\)"),
        ("additive", "has 0 arguments"),
        ("power(b)", r"has 1 arguments; expected power\(b, c\)"),
        ("additive(0)", r"a of noise 'additive\(0\)' is 0; expected a number above 0 or a parameter"),
        ("student(4, lognormal(s))", "'student' with 'lognormal' inside; expected student.nu, NOISE. around"),
        ("student(additive(a))", r"has 1 arguments; expected student\(nu, a\)"),
        ("ar1(0.5)", r"'ar1' with nothing inside; .*Try: ar1\(rho, lognormal\(s\)\)"),
        ("ar1(1, additive(a))", "rho of noise .* is 1; expected a number between 0 and 1"),
        ("ar1(rho, student(nu, a))", "'ar1' with 'student' inside"),
        ("poisson(proportional(b))", "noise 'poisson' stands around no other"),
        ("student(4, power(b, c*2))", "expected a finite number or a name"),
        ("proportional(b*2)", "expected a finite number or a name"),
    ],
)
def test_an_impossible_noise_is_refused(text, message):
    with pytest.raises(ParameterError, match=f"outputs.il10: .*{message}"):
        Noise.parse(text, where="outputs.il10")


def test_a_missing_value_is_named():
    with pytest.raises(UnknownName, match=r"noise additive\(sigma_a\): unknown parameter 'sigma_a'. Try: 'sigma_b'"):
        Noise.parse("additive(sigma_a)").sd(1.0, {"sigma_b": 1.0})
