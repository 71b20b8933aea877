"""Weighted least squares: the truth without noise, the right errors, censored rows, and what a design identifies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from mscpkpd.dosing import bolus
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.least_squares import estimate, identified, quantile
from mscpkpd.fitting.residuals import Residuals
from mscpkpd.problem import pose
from reference.small_models import model, one_compartment, parameter, route, study

TRUTH = {"k": 0.17, "V": 41.0}
TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0])
NOISES = ["lognormal(s)", "proportional(s)", "additive(s)"]


def conc(t, k, v):
    """Closed form of the compartment after 100 mg."""
    return 100 / v * np.exp(-k * np.asarray(t))


def rows(values, times=TIMES, **more):
    return [
        {"time": t, "output": "conc", "value": y, "unit": "mg/L", **more} for t, y in zip(times, values, strict=True)
    ]


def noisy(seed, n=1, sd=0.2, noise="lognormal(s)"):
    """Synthetic values with a known spread."""
    rng, times = np.random.default_rng(seed), np.tile(TIMES, n)
    f, error = conc(times, k=TRUTH["k"], v=TRUTH["V"]), sd * rng.standard_normal(len(times))
    values = {"lognormal(s)": f * np.exp(error), "proportional(s)": f * (1 + error), "additive(s)": f + error}[noise]
    return rows(values, times)


def optimum(found):
    return dict(zip(found.names, np.exp(found.free_values), strict=True))


# ---- the truth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
def test_data_without_noise_give_the_truth(noise):
    """To 1e-6, from the start values of the model; what is left for the noise is that of the solver."""
    problem = pose(one_compartment(noise=noise), study(*rows(conc(TIMES, TRUTH["k"], TRUTH["V"]))))
    found = estimate(problem, ("k", "V"))
    assert found.success
    for name, value in TRUTH.items():
        assert optimum(found)[name] == pytest.approx(value, rel=1e-6)
    assert found.noise["s"] < 1e-6


@pytest.mark.parametrize("noise", NOISES)
def test_a_perfect_start_is_no_accident(noise):
    """Values predicted by the model itself leave residuals of exactly 0: the optimum is where it starts."""
    described = one_compartment(noise=noise)
    first = pose(described, study(*rows(np.ones(len(TIMES)))))
    problem = pose(described, study(*rows(first.predict(first.start).value)))
    found = estimate(problem, ("k", "V"))
    assert optimum(found) == pytest.approx({"k": 0.1, "V": 50.0}, rel=1e-7)
    assert np.all(np.isfinite(found.covariance))


def test_several_subjects_and_doses_without_noise():
    """Doses of their own, in two groups."""
    first = [{**row, "subject": "a", "dose": "100 mg"} for row in rows(conc(TIMES, k=0.2, v=30.0))]
    second = [{**row, "subject": "b", "dose": "250 mg"} for row in rows(2.5 * conc(TIMES, k=0.2, v=30.0))]
    found = estimate(pose(one_compartment(), study(*first, *second)), ("k", "V"))
    assert optimum(found) == pytest.approx({"k": 0.2, "V": 30.0}, rel=1e-6)


def test_the_start_does_not_matter():
    """From nine times too fast or slow, where the last predictions are less than the solver can tell from nothing."""
    problem_rows = noisy(3)
    found = [
        estimate(
            pose(one_compartment(k=f"lognormal({k}, 2)").replace_values({"k": k}), study(*problem_rows)), ("k", "V")
        )
        for k in (0.02, 0.17, 1.5)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.free_values, found[0].free_values, rtol=0, atol=1e-6)


# ---- errors of the estimates -----------------------------------------------------------------------------------------


def test_standard_errors_are_those_of_the_information_matrix():
    """Lognormal error: s^2 (J'J)^-1 with J = d log f / d log theta written out: -k t by k and -1 by V."""
    data = noisy(5, n=4)
    found = estimate(pose(one_compartment(), study(*data)), ("k", "V"))
    y, t = np.log([row["value"] for row in data]), np.array([row["time"] for row in data])
    design = np.column_stack([np.ones_like(t), -t])
    (level, k), sum_of_squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    s = np.sqrt(sum_of_squares[0] / (len(y) - 2))
    assert optimum(found) == pytest.approx({"k": k, "V": 100 / np.exp(level)}, rel=1e-6)
    assert found.noise["s"] == pytest.approx(s, rel=1e-4)
    jacobian = np.column_stack([-k * t, -np.ones_like(t)])
    np.testing.assert_allclose(found.covariance, s**2 * np.linalg.inv(jacobian.T @ jacobian), rtol=1e-4)
    assert found.degrees == len(y) - 2


def test_a_mean_with_its_sd_weighs_as_its_standard_error():
    """B16: sd/sqrt(n) on the scale of the mean; errors then need no residual variance and no t quantile."""
    means = rows(conc(TIMES, 0.2, 30.0) * (1 + 0.05 * np.cos(TIMES)), sd=0.3, n=9, stat="mean")
    problem = pose(one_compartment(), study(*means))
    found = estimate(problem, ("k", "V"))
    y = np.array([row["value"] for row in means])

    def loss(z):
        return np.sum(((y - conc(TIMES, *np.exp(z))) / 0.1) ** 2)

    best = minimize(loss, np.log([0.2, 30.0]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    np.testing.assert_allclose(found.free_values, best.x, atol=1e-6)
    k, v = np.exp(best.x)
    jacobian = np.column_stack([-k * TIMES * conc(TIMES, k, v), -conc(TIMES, k, v)]) / 0.1
    np.testing.assert_allclose(found.covariance, np.linalg.inv(jacobian.T @ jacobian), rtol=1e-4)
    assert found.degrees == float("inf")
    assert found.noise == {}


def test_the_residuals_have_the_jacobian_they_claim():
    """Every kind of row: derivative of the residuals by the transformed parameters against central differences."""
    mixed = [
        *rows([1.9, 0.4], [1.0, 8.0]),
        {"time": 12.0, "output": "conc", "value": 0.5, "upper": 0.5, "unit": "mg/L", "censoring": "left"},
        {"time": 2.0, "output": "conc", "value": 1.5, "lower": 1.5, "unit": "mg/L", "censoring": "right"},
        {"time": 4.0, "output": "conc", "lower": 1.2, "upper": 2.5, "unit": "mg/L", "censoring": "interval"},
        {"time": 5.0, "output": "conc", "value": 1.1, "sd": 0.2, "n": 4, "stat": "mean", "unit": "mg/L"},
        {
            "time": 6.0,
            "output": "conc",
            "value": 1.0,
            "lower": 0.8,
            "upper": 1.3,
            "n": 5,
            "stat": "median",
            "unit": "mg/L",
        },
    ]
    for noise in NOISES:
        work = Residuals(pose(one_compartment(noise=noise), study(*mixed)), ("k", "V"))
        z = work.start + np.array([0.1, -0.2])
        work.freeze(z)
        step = 1e-4
        for column, unit in enumerate(np.eye(2)):
            slope = (work(z + step * unit) - work(z - step * unit)) / (2 * step)
            np.testing.assert_allclose(work.jacobian(z)[:, column], slope, rtol=2e-6, atol=2e-6)


def test_a_censored_row_adds_its_log_probability():
    """The squares of the residuals are -2 log P (B5, B8, B9, B11), also far in the tails."""
    limits = [
        {"time": 1.0, "value": 0.01, "upper": 0.01, "censoring": "left"},
        {"time": 1.0, "value": 5.0, "upper": 5.0, "censoring": "left"},
        {"time": 1.0, "value": 90.0, "lower": 90.0, "censoring": "right"},
        {"time": 1.0, "lower": 1.0, "upper": 2.0, "censoring": "interval"},
        {"time": 1.0, "lower": 70.0, "upper": 71.0, "censoring": "interval"},
    ]
    made = study(*({"output": "conc", "unit": "mg/L", **row} for row in limits))
    problem = pose(one_compartment(), made)
    work = Residuals(problem, ("k", "V"))
    f, s = np.log(problem.predict(problem.start).value[0]), 0.1
    law = stats.norm(f, s)
    far = -0.5 * np.array([(np.log(x) - f) / s for x in (70.0, 71.0)]) ** 2
    expected = [
        law.logcdf(np.log(0.01)),
        law.logcdf(np.log(5.0)),
        law.logsf(np.log(90.0)),
        np.log(law.cdf(np.log(2.0)) - law.cdf(np.log(1.0))),
    ]
    squares = work(work.start) ** 2
    np.testing.assert_allclose(-0.5 * squares[:4], expected, rtol=1e-6, atol=1e-12)
    assert far[1] - 10 < -0.5 * squares[4] < far[0]  # between the densities at its ends, up to a factor


def test_values_under_the_limit_are_used_and_not_replaced():
    """Censored fits find k where dropping or replacing the rows under the limit does not (B5 against M1 and M5)."""
    limit, times = 0.25, np.tile([1.0, 4.0, 8.0, 12.0, 18.0, 24.0], 60)
    rng = np.random.default_rng(11)
    y = conc(times, TRUTH["k"], TRUTH["V"]) * np.exp(0.5 * rng.standard_normal(len(times)))
    seen = [
        {"time": t, "output": "conc", "unit": "mg/L", "value": x}
        if x > limit
        else {"time": t, "output": "conc", "unit": "mg/L", "value": limit, "upper": limit, "censoring": "left"}
        for t, x in zip(times, y, strict=True)
    ]
    problem = pose(one_compartment(), study(*seen))
    found = estimate(problem, ("k", "V"))
    error = np.sqrt(found.covariance[0, 0])
    assert abs(np.log(optimum(found)["k"] / TRUTH["k"])) < 3 * error
    kept = [row for row in seen if "censoring" not in row]
    dropped = estimate(pose(one_compartment(), study(*kept)), ("k", "V"))
    assert optimum(dropped)["k"] < TRUTH["k"] * np.exp(-3 * error)


def test_confidence_limits_by_profiling_are_there_on_request():
    """lmfit's `conf_interval`: symmetric and as wide as the standard errors say, in this nearly linear problem."""
    found = estimate(pose(one_compartment(), study(*noisy(7, n=3))), ("k", "V"))
    limits = found.interval(sigmas=[1])
    for column, name in enumerate(found.names):
        levels = [value for _, value in limits[f"z_{name}"]]
        assert levels[1] == pytest.approx(found.free_values[column], abs=1e-6)
        width = np.sqrt(found.covariance[column, column]) * stats.t.ppf(0.5 + stats.norm.cdf(1) - 0.5, found.degrees)
        assert levels[2] - levels[1] == pytest.approx(width, rel=0.02)
        assert levels[1] - levels[0] == pytest.approx(width, rel=0.02)


def test_quantiles_widen_for_few_rows():
    assert quantile(float("inf"), 0.95) == pytest.approx(1.959964, rel=1e-6)
    assert quantile(5.0, 0.95) == pytest.approx(2.570582, rel=1e-6)


# ---- what a design identifies ----------------------------------------------------------------------------------------


def two_pools():
    """Uptake and loss of a compartment that is seen, a product of two parameters, and a state that is not seen."""
    return model(
        {"a": "-(ka + kb)*a", "b": "ka*a - kc*b"},
        (
            parameter("ka", 0.2, "1/h", "lognormal(0.2, 0.5)"),
            parameter("kb", 0.3, "1/h", "lognormal(0.3, 0.5)"),
            parameter("kc", 0.05, "1/h", "lognormal(0.05, 0.5)"),
            parameter("s", 0.1, "1", "lognormal(0.1, 1)"),
        ),
        routes=(route("iv", {"a": "1"}),),
        outputs={"first": ("a", "mg", "lognormal(s)"), "second": ("b", "mg", "lognormal(s)")},
    )


def pool_rows(output, times=TIMES):
    return [{"time": t, "output": output, "value": 10.0, "unit": "mg"} for t in times]


def test_a_sum_of_two_rates_tells_neither():
    """Only ka + kb is seen in the first pool: both go, one by one, until the rest is told; kc has no effect at all."""
    problem = pose(two_pools(), study(*pool_rows("first")))
    names, reasons = identified(problem)
    assert set(names) < {"ka", "kb"}
    assert len(names) == 1
    assert problem.names == ("ka", "kb", "s")
    (dropped,) = set(reasons)
    assert dropped in {"ka", "kb"}
    assert "cannot tell it from other parameters" in reasons[dropped]


def test_two_outputs_tell_all_rates():
    problem = pose(two_pools(), study(*pool_rows("first"), *pool_rows("second")))
    assert identified(problem) == (("ka", "kb", "kc"), {})


def test_early_times_do_not_tell_a_late_rate():
    """Within an hour kc has hardly acted: the data would leave it wider than its prior."""
    early = np.array([0.1, 0.2, 0.4, 0.8])
    names, reasons = identified(pose(two_pools(), study(*pool_rows("first", early), *pool_rows("second", early))))
    assert "kc" not in names
    assert "kc" in reasons


def test_fewer_rows_than_parameters_identify_fewer():
    names, _ = identified(pose(two_pools(), study(*pool_rows("second", [6.0]))))
    assert len(names) == 0
    with pytest.raises(
        UsageError, match="the design identifies no parameter. Try: --free a,b, or fit with method='nuts'"
    ):
        fit(two_pools(), study(*pool_rows("second", [6.0])))


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_more_parameters_than_rows_are_refused():
    problem = pose(two_pools(), study(*pool_rows("second", [6.0, 9.0])))
    with pytest.raises(FitError, match="3 parameters from 2 rows; expected at least as many rows as parameters"):
        estimate(problem, ("ka", "kb", "kc"))


def test_a_start_that_cannot_be_solved_is_refused_with_its_reason():
    explosive = model(
        {"x": "k*x**2/m"},
        (
            parameter("k", 1.0, "1/h", "lognormal(1, 1)"),
            parameter("m", 1.0, "mg"),
            parameter("s", 0.1, "1", "lognormal(0.1, 1)"),
        ),
        outputs={"seen": ("x", "mg", "lognormal(s)")},
    )
    assert bolus("1 mg", "x").routes == ("x",)
    data = study({"time": 5.0, "output": "seen", "value": 3.0, "unit": "mg"}, dose="1 mg", route="x")
    with pytest.raises(
        FitError, match="cannot be predicted at the start values: the solver stopped.*Try: other values"
    ):
        estimate(pose(explosive, data), ("k",))
