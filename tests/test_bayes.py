"""The PyMC model: its density against an independent calculation, its gradient against differences."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy import stats

from mscpkpd.errors import ParameterError
from mscpkpd.expressions import parse
from mscpkpd.fitting import api
from mscpkpd.fitting.bayes import build_pymc
from mscpkpd.parameters import Prior
from mscpkpd.problem import Problem, pose
from toy import study_of, toy_model

FAST = "FAST_COMPILE"  # the graph as it is, in Python: compiling costs more than evaluating
TIMES = (1.0, 4.0, 9.0)
VALUES = {"k": 0.13, "F": 0.7, "a": 2.0, "b": 0.25}
KINDS = {
    "value": [{"time": t, "value": v} for t, v in zip(TIMES, (70.0, 30.0, 25.0), strict=True)],
    "left": [{"time": t, "value": 20.0, "upper": 20.0, "censoring": "left"} for t in TIMES],
    "right": [{"time": t, "value": 60.0, "lower": 60.0, "censoring": "right"} for t in TIMES],
    "interval": [{"time": t, "value": 40.0, "lower": 30.0, "upper": 50.0, "censoring": "interval"} for t in TIMES],
    "mean": [{"time": t, "value": 55.0, "sd": 9.0, "n": 4, "stat": "mean"} for t in TIMES],
}
NOISES = ("lognormal(b)", "proportional(b)", "additive(a)", "combined1(a, b)", "combined2(a, b)", "student(4, a)")


def spread(noise: str, f: np.ndarray) -> np.ndarray:
    """Standard deviation written out again (R1 to R8)."""
    a, b = VALUES["a"], VALUES["b"]
    return {
        "lognormal(b)": np.full_like(f, b),
        "proportional(b)": b * f,
        "additive(a)": np.full_like(f, a),
        "combined1(a, b)": a + b * f,
        "combined2(a, b)": np.hypot(a, b * f),
        "student(4, a)": np.full_like(f, a),
    }[noise]


def expected(kind: str, noise: str) -> float:
    """Log likelihood of the rows by SciPy, from the closed form of the model."""
    f = 1000 * VALUES["F"] / 10 * np.exp(-VALUES["k"] * np.array(TIMES))
    sd, log = spread(noise, f), noise.startswith("lognormal")
    center = np.log(f) if log else f
    family = stats.t(4, center, sd) if noise.startswith("student") else stats.norm(center, sd)

    def on(x: float | np.ndarray) -> float | np.ndarray:
        return np.log(x) if log else x

    if kind == "value":
        y = np.array([row["value"] for row in KINDS["value"]])
        return float(np.sum(family.logpdf(on(y)) - (np.log(y) if log else 0.0)))
    if kind == "left":
        return float(np.sum(family.logcdf(on(20.0))))
    if kind == "right":
        return float(np.sum(family.logsf(on(60.0))))
    if kind == "interval":
        return float(np.sum(np.log(family.cdf(on(50.0)) - family.cdf(on(30.0)))))
    return float(np.sum(stats.norm(f, 9.0 / 2.0).logpdf(55.0)))  # a mean with its sd needs no noise model (B16)


def prior_density(problem: Problem) -> float:
    """Log prior of the transformed parameters, Jacobian included."""
    return sum(float(p.prior.log_density_free(p.prior.to_free(VALUES[p.name]))) for p in problem.free)


def point_of(problem: Problem, shift: dict[str, float] | None = None) -> dict[str, float]:
    suffix = {"log": "_log__", "logit": "_logodds__", "identity": ""}
    moved = shift or {}
    return {
        p.name + suffix[p.prior.transform]: float(p.prior.to_free(VALUES[p.name])) + moved.get(p.name, 0.0)
        for p in problem.free
    }


def problem_of(tmp_path, kind: str, noise: str) -> Problem:
    return pose(toy_model(tmp_path, noise), study_of(KINDS[kind]))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_log_density_is_that_of_an_independent_calculation(tmp_path, kind, noise):
    """Every kind of row with every noise model (R1 to R8, B1 to B9, B16), to 1e-6 of the solver's solution."""
    problem = problem_of(tmp_path, kind, noise)
    got = build_pymc(problem).compile_logp(mode=FAST)(point_of(problem))
    # the solver's predictions are exact to about 1e-8, which residuals of some standard deviations multiply
    assert got == pytest.approx(expected(kind, noise) + prior_density(problem), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", ["left", "right", "interval"])
def test_tails_do_not_underflow(tmp_path, kind):
    """A censored row 100 standard deviations away has a finite density and slope (B11)."""
    rows = {
        "left": {"value": 1e-9, "upper": 1e-9, "censoring": "left"},
        "right": {"value": 1e15, "lower": 1e15, "censoring": "right"},
        "interval": {"value": 1.5e15, "lower": 1e15, "upper": 2e15, "censoring": "interval"},
    }
    problem = pose(toy_model(tmp_path), study_of([{"time": 1.0, **rows[kind]}]))
    model = build_pymc(problem)
    density = float(model.compile_logp(mode=FAST)(point_of(problem)))
    assert np.isfinite(density)
    assert density < -1000
    assert np.all(np.isfinite(model.compile_dlogp(mode=FAST)(point_of(problem))))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("noise", ["lognormal(b)", "combined2(a, b)"])
def test_the_gradient_is_that_of_central_differences(tmp_path, kind, noise):
    """Every derivative, through prediction, noise and prior, to 1e-5."""
    problem = problem_of(tmp_path, kind, noise)
    model = build_pymc(problem)
    density, gradient = model.compile_logp(mode=FAST), model.compile_dlogp(mode=FAST)(point_of(problem))
    step = 1e-3
    for k, name in enumerate(problem.names):
        at = [float(density(point_of(problem, {name: s * step}))) for s in (-2, -1, 1, 2)]
        slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=2e-5 * max(1.0, float(np.max(np.abs(gradient)))))


def test_the_model_is_an_ordinary_pymc_model(tmp_path):
    """One variable per free parameter under its own name; a user may add terms."""
    import pymc as pm

    with api.to_pymc(toy_model(tmp_path), study_of(KINDS["value"])) as model:
        pm.Potential("mine", -(model["k"] ** 2))
    assert {v.name for v in model.free_RVs} == {"k", "F", "b"}
    assert "idle" not in model.named_vars


def test_a_prior_without_a_form_is_refused():
    """A discrete prior cannot be sampled by NUTS."""
    from mscpkpd.fitting.bayes import _distribution

    with pytest.raises(ParameterError, match=r"prior discrete\(1, 5\) of 'n_d' cannot be sampled"):
        _distribution("n_d", Prior("discrete", (1.0, 5.0)))


# ---- to the last digits: the solver at 1e-12, so that only the likelihood is compared


# PyMC keeps the constants of its normal distribution in single precision: log(2 pi)/2 moves no posterior, and the root
# of 2 moves the logarithm of a tail by 4e-8 at most.
CONSTANT, TAIL = 2e-8, 5e-8


def density_of(problem: Problem) -> float:
    """Log likelihood alone."""
    exact = replace(problem, tolerance=1e-12)
    model = build_pymc(exact)
    return float(model.compile_logp([*model.observed_RVs, *model.potentials], mode=FAST)(point_of(exact)))


def predicted(times) -> np.ndarray:
    return 100 * VALUES["F"] * np.exp(-VALUES["k"] * np.asarray(times))


@pytest.mark.parametrize(
    ("noise", "unit", "sd"),
    [
        ("power(a, 0.8)", "cells**0.2/mL**0.2", lambda f: VALUES["a"] * f**0.8),
        ("combined1(3, a, 0.7)", "cells**0.3/mL**0.3", lambda f: 3 + VALUES["a"] * f**0.7),
        ("combined2(3, a, 1.3)", "mL**0.3/cells**0.3", lambda f: np.sqrt(9 + (VALUES["a"] * f**1.3) ** 2)),
        ("proportional(0.2)", "cells/mL", lambda f: 0.2 * f),
    ],
)
def test_exponents_and_numbers_in_noise_models(tmp_path, noise, unit, sd):
    """R3 to R5 with an exponent of their own, and noise models with numbers in place of parameters."""
    problem = pose(toy_model(tmp_path, noise, unit), study_of(KINDS["value"]))
    f, y = predicted(TIMES), np.array([row["value"] for row in KINDS["value"]])
    expected_sum = np.sum(stats.norm(f, sd(f)).logpdf(y))
    assert density_of(problem) == pytest.approx(expected_sum, rel=1e-8, abs=len(y) * CONSTANT)


def test_summaries_without_and_with_a_spread_of_their_own(tmp_path):
    """B16: a mean alone has the residual variance over n, a median the spread of its quartiles on the log scale."""
    f, b = predicted([4.0])[0], VALUES["b"]
    mean = study_of([{"time": 4.0, "value": 40.0, "n": 5, "stat": "mean"}])
    found = density_of(pose(toy_model(tmp_path, "proportional(b)"), mean))
    assert found == pytest.approx(stats.norm(f, b * f / np.sqrt(5)).logpdf(40.0), rel=1e-8, abs=CONSTANT)
    found = density_of(pose(toy_model(tmp_path, "lognormal(b)"), mean))
    assert found == pytest.approx(stats.norm(np.log(f), b / np.sqrt(5)).logpdf(np.log(40.0)), rel=1e-8, abs=CONSTANT)
    median = study_of([{"time": 4.0, "value": 40.0, "lower": 36.0, "upper": 44.0, "n": 6, "stat": "median"}])
    problem = pose(toy_model(tmp_path, "lognormal(b)"), median)
    center, spread = problem.rows.value[0], problem.rows.sd[0]
    assert center == pytest.approx(np.log(40.0), abs=0.02)
    assert density_of(problem) == pytest.approx(
        stats.norm(np.log(f), spread / np.sqrt(6)).logpdf(center), rel=1e-8, abs=CONSTANT
    )


@pytest.mark.parametrize("distance", [-40.0, -8.0, -1.0, 0.5, 9.0, 40.0])
def test_every_tail_is_right_to_seven_digits(tmp_path, distance):
    """Left, right and interval rows whose limit lies 40 SD below to 40 SD above the prediction (B11), by mpmath."""
    f, a = predicted([4.0])[0], VALUES["a"]
    low, high = f + distance * a, f + (distance + 1.5) * a
    shift = 1000.0  # added by the output below, so that limits of 40 SD below are amounts above 0
    rows = [
        {"time": 4.0, "output": "conc", "value": low + shift, "upper": low + shift, "censoring": "left"},
        {"time": 4.0, "output": "conc", "value": low + shift, "lower": low + shift, "censoring": "right"},
        {"time": 4.0, "output": "conc", "lower": low + shift, "upper": high + shift, "censoring": "interval"},
    ]
    described = toy_model(tmp_path, "additive(a)")
    output = replace(described.output("conc"), expression=parse(f"body/V*(1 + {shift}/{f}*body/body)"))
    raised = replace(described, outputs=tuple(output if o.name == "conc" else o for o in described.outputs))
    with mpmath.workdps(800):  # one minus the smallest tail still has its digits
        z, z_high = mpmath.mpf(low - f) / a, mpmath.mpf(high - f) / a
        expected_tails = [mpmath.log(mpmath.ncdf(z)), mpmath.log(mpmath.ncdf(-z))]
        expected_tails.append(mpmath.log(mpmath.ncdf(z_high) - mpmath.ncdf(z)))
        for row, tail in zip(rows, expected_tails, strict=True):
            problem = pose(raised, study_of([row]))
            # the solver leaves 1e-11 of the prediction, times the slope of the log density, 40 per SD
            assert density_of(problem) == pytest.approx(float(tail), rel=TAIL, abs=TAIL), row["censoring"]


def test_the_mode_of_a_pooled_posterior_is_where_its_gradient_vanishes(tmp_path):
    """`map` without random effects: derivatives of PyMC's log density are 0 there, to what 1e-3 of it leaves open."""
    model, study = toy_model(tmp_path), study_of(KINDS["value"])
    found = api.fit(model, study, "map")
    assert found.ok
    assert found.individuals is None
    problem = pose(model, study)
    best = dict(zip(found.table["parameter"], found.table["estimate"], strict=True))
    suffix = {"log": "_log__", "logit": "_logodds__", "identity": ""}
    at = {p.name + suffix[p.prior.transform]: p.prior.to_free(best[p.name]) for p in problem.free}
    np.testing.assert_allclose(build_pymc(problem).compile_dlogp(mode=FAST)(at), 0.0, atol=2e-2)
