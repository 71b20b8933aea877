"""Derivatives by parameters, start values and every number of a dose (G2, L8): closed forms and stored slopes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mscpkpd.dosing import Dose, Regimen, bolus
from reference import solver
from reference.cases import SLOPE_TIMES, SLOPES_OF, every_route, key, model_of
from reference.runs import run
from reference.small_models import model, parameter, route

STEP = 1e-30  # imaginary: derivatives of the closed forms without any cancellation
EXACT = 1e-6  # of a small model at the default tolerance
SHIPPED = 1e-5  # what the project promises

STORED = json.loads((Path(__file__).parent / "reference" / "slopes.json").read_text())["cases"]


# ---- small models with closed forms ----------------------------------------------------------------------------------


def after_bolus(t, amount, k):
    return amount * np.exp(-k * t) * (np.real(t) >= 0)


def after_infusion(t, amount, length, k):
    """Amount in a compartment at time t after the start of an infusion."""
    t, length = np.asarray(t, complex), complex(length)
    during = amount / length / k * (1 - np.exp(-k * t))
    after = amount / length / k * (1 - np.exp(-k * length)) * np.exp(-k * (t - length))
    return np.where(t.real < 0, 0, np.where(t.real < length.real, during, after))


P = {"k": 0.3, "L": 1.7, "D": 2.4, "R": 30.0, "F": 0.6, "v": 0.8, "x0": 5.0}
UNITS = {"k": "1/h", "L": "h", "D": "h", "R": "mg/h", "F": "1", "v": "1", "x0": "mg"}
ONE = model(
    {"x": "-k*x"},
    tuple(parameter(name, value, UNITS[name]) for name, value in P.items()),
    routes=(
        route("bolus", {"x": "F*viable"}, viable="v"),
        route("lagged", {"x": "F"}, lag="L"),
        route("lag_of_two", {"x": "F"}, lag="L + 0.5*D"),
        route("slow", {"x": "F*viable"}, viable="v", lag="L", duration="D"),
        route("by_rate", {"x": "F*viable"}, viable="v", lag="L", rate="R"),
    ),
    starts={"x": "x0"},
)
AT = np.array([0.3, 2.0, 3.1, 5.0, 9.0, 20.0])


def expected_bolus(t, p):
    return after_bolus(t - 1, 100 * p["F"] * p["v"], p["k"])


def expected_lagged(t, p):
    return sum(after_bolus(t - start - p["L"], 100 * p["F"], p["k"]) for start in (1, 7))


def expected_lag_of_two(t, p):
    return after_bolus(t - 1 - p["L"] - 0.5 * p["D"], 100 * p["F"], p["k"])


def expected_slow(t, p):
    return sum(after_infusion(t - start - p["L"], 100 * p["F"] * p["v"], p["D"], p["k"]) for start in (1, 2, 7))


def expected_by_rate(t, p):
    # E7: the rate is v R, during F AMT/R
    return after_infusion(t - 1 - p["L"], 100 * p["F"] * p["v"], 100 * p["F"] / p["R"], p["k"])


def expected_own_duration(t, p):
    # the duration of a dose row replaces that of its route (E9), as its own viable fraction does (T1)
    return after_infusion(t - 1 - p["L"], 100 * p["F"] * 0.9, 1.5, p["k"])


def doses(name, *starts, duration=0.0, viable=None):
    return Regimen(tuple(Dose(start, 100.0, "mg", name, duration, viable) for start in starts))


@pytest.mark.parametrize(
    ("regimen", "expected"),
    [
        pytest.param(doses("bolus", 1), expected_bolus, id="bolus, F, viable"),
        pytest.param(doses("lagged", 1, 7), expected_lagged, id="lag"),
        pytest.param(doses("lag_of_two", 1), expected_lag_of_two, id="lag made of two parameters"),
        pytest.param(doses("slow", 1, 2, 7), expected_slow, id="modelled durations that overlap"),
        pytest.param(doses("by_rate", 1), expected_by_rate, id="modelled rate"),
        pytest.param(doses("slow", 1, duration=1.5, viable=0.9), expected_own_duration, id="the row's own numbers"),
    ],
)
def test_derivatives_by_every_number_of_a_dose(regimen, expected):
    """L8: by k, F, v, L, D, R and the start value, through every event, against the closed form (E5 to E16)."""
    found = run(ONE, regimen, AT, by=tuple(P))

    def truth(p):
        return p["x0"] * np.exp(-p["k"] * AT) + expected(AT, p)

    np.testing.assert_allclose(found["x"], truth(P).real, rtol=EXACT)
    for name, value in P.items():
        slope = np.imag(truth({**P, name: value + 1j * STEP})) / STEP
        np.testing.assert_allclose(
            found.slope("x", name), slope, rtol=EXACT, atol=EXACT * np.max(np.abs(slope)), err_msg=name
        )


def test_derivatives_by_a_switch_time():
    """T12: loss at rate k until T and 2 k after it, with an infusion that runs across the switch."""
    switched = model(
        {"x": "-where(t < T, k, 2*k)*x"},
        (parameter("k", 0.3, "1/h"), parameter("T", 2.5, "h"), parameter("D", 4.0, "h")),
        routes=(route("iv", {"x": "1"}, duration="D"),),
    )
    regimen = bolus("100 mg", "iv")
    times = np.array([1.0, 2.0, 3.0, 4.5, 8.0])

    def truth(p):
        k, turn, rate = p["k"], p["T"], 100 / p["D"]
        before = rate / k * (1 - np.exp(-k * turn))
        end = before * np.exp(-2 * k * (p["D"] - turn)) + rate / 2 / k * (1 - np.exp(-2 * k * (p["D"] - turn)))
        return np.where(
            times < turn.real,
            rate / k * (1 - np.exp(-k * times)),
            np.where(
                times < p["D"].real,
                before * np.exp(-2 * k * (times - turn)) + rate / 2 / k * (1 - np.exp(-2 * k * (times - turn))),
                end * np.exp(-2 * k * (times - p["D"])),
            ),
        )

    values = {name: complex(value) for name, value in switched.values.items()}
    found = run(switched, regimen, times, by=("k", "T", "D"))
    np.testing.assert_allclose(found["x"], truth(values).real, rtol=EXACT)
    for name, value in values.items():
        slope = np.imag(truth({**values, name: value + 1j * STEP})) / STEP
        np.testing.assert_allclose(found.slope("x", name), slope, rtol=EXACT, atol=EXACT * np.max(np.abs(slope)))


@pytest.mark.parametrize("form", ["where(t < T, k, 3*k)", "where(t/T < 1, k, 3*k)", "where(2*t > 2*T, 3*k, k)"])
def test_a_switch_time_moves_the_result_however_it_is_written(form):
    """x = k T + 3 k (t - T): dx/dT = -2 k after T and 0 before."""
    ramp = model({"x": form}, (parameter("k", 1.5, "mg/h"), parameter("T", 2.0, "h")))
    found = run(ramp, Regimen(()), (1, 3, 5), by=("T", "k"))
    np.testing.assert_allclose(found.slope("x", "T"), [0, -3, -3], atol=1e-7)
    np.testing.assert_allclose(found.slope("x", "k"), [1, 5, 11], rtol=1e-7)


def test_a_slow_model_has_exact_slopes_from_the_first_moment_on():
    """dx/dk = -t x. The solver's first step knows no slope; without a very short one the error is 1e-4 at t = 1."""
    slow = model({"x": "-k*x"}, (parameter("k", 0.1, "1/h"), parameter("x0", 1.0, "mg")), starts={"x": "x0"})
    times = np.array([1e-3, 0.01, 0.1, 1.0, 10.0])
    found = run(slow, Regimen(()), times, by=("k", "x0"))
    np.testing.assert_allclose(found.slope("x", "k"), -times * np.exp(-0.1 * times), rtol=1e-5)
    np.testing.assert_allclose(found.slope("x", "k")[2:], (-times * np.exp(-0.1 * times))[2:], rtol=1e-6)
    np.testing.assert_allclose(found.slope("x", "x0"), np.exp(-0.1 * times), rtol=1e-7)


@pytest.mark.parametrize("exponent", [0.5, 0.7, 1.0, 2.3])
def test_a_free_hill_exponent_where_nothing_is_there_yet(exponent):
    """At x = 0 the Hill function and its derivatives by EC50 and exponent are 0, not 0/0 or 0 log 0."""
    effect = model(
        {"x": "-k*x", "y": "c*hill(x, e, h)"},
        (
            parameter("k", 0.2, "1/h"),
            parameter("c", 2.0, "mg/h"),
            parameter("e", 3.0, "mg"),
            parameter("h", exponent, "1"),
        ),
        routes=(route("iv", {"x": "1"}),),
    )
    regimen, times, by = bolus("10 mg", "iv", at="2 h"), np.array([1.0, 2.0, 2.5, 6.0, 20.0]), ("k", "c", "e", "h")
    found = run(effect, regimen, times, by=by)
    assert found.path.ok
    for name in by:
        slope = solver.solve(effect, regimen, times, by=name)[1][1]
        np.testing.assert_allclose(found.slope("y", name), slope, atol=3e-6 * np.max(np.abs(slope)), err_msg=name)
        assert np.all(np.abs(found.slope("y", name)[:2]) < 1e-9)


def test_a_parameter_that_does_nothing_has_no_slope():
    """By parameter: the start value does not act after it has decayed; what other routes use does not act here."""
    found = run(ONE, doses("bolus", 0), (1.0, 2.0), by=("L", "D", "R", "k"))
    for name in ("L", "D", "R"):
        assert np.all(found.slope("x", name) == 0)
    assert np.all(found.slope("x", "k") != 0)


def test_asking_for_slopes_does_not_change_the_states():
    """The same numbers with and without derivatives, to the tolerance of the solver."""
    human = model_of("two_functional_compartments", "human_70kg")
    regimen = every_route("human_70kg")
    plain = run(human, regimen, SLOPE_TIMES)
    with_slopes = run(human, regimen, SLOPE_TIMES, by=("k_L", "F_v"))
    np.testing.assert_allclose(with_slopes.path.states, plain.path.states, rtol=3e-7)


def test_slopes_do_not_depend_on_which_others_are_asked():
    human = model_of("two_functional_compartments", "human_70kg")
    regimen = every_route("human_70kg")
    one = run(human, regimen, SLOPE_TIMES, by=("k_L",)).slope("lung", "k_L")
    many = run(human, regimen, SLOPE_TIMES, by=("rho_L", "k_L", "k_S")).slope("lung", "k_L")
    np.testing.assert_allclose(one, many, rtol=1e-5)


def test_a_failed_solve_has_no_slopes():
    """A labelled outcome: NaN of the right shape, a reason, no exception."""
    explosion = model({"x": "k*x**2/m"}, (parameter("k", 1.0, "1/h"), parameter("m", 1.0, "mg")))
    found = run(explosion, bolus("1 mg", "x"), (0.5, 2.0), by=("k", "m"))
    assert not found.path.ok
    assert "the solver stopped between 0 and 2" in found.path.failure
    assert found.path.states.shape == (1, 2)
    assert found.path.sensitivities.shape == (1, 2, 2)
    assert np.all(np.isnan(found.path.sensitivities))
    assert np.all(np.isnan(found.path.states))


# ---- the shipped models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "values"), SLOPES_OF)
def test_slopes_of_a_shipped_model(name, values):
    """Every state by every parameter, over vein, artery and joint, against the variational equations by Radau.

    At the default tolerance to 1e-5 of the largest slope of the series, and, as L9 counts, to 1e-5 of each value.
    """
    described, stored = model_of(name, values), STORED[key(name, values)]
    assert stored["digest"] == solver.digest(described), "run tests/reference/make_references.py"
    regimen = every_route(values)
    system = run(described, regimen, SLOPE_TIMES).system
    by = tuple(parameter for parameter in stored["slopes"] if parameter in system.parameters)
    usual = run(described, regimen, SLOPE_TIMES, by=by)
    tight = run(described, regimen, SLOPE_TIMES, by=by, tolerance=1e-10)
    for state in described.state_names:
        for parameter_name in stored["slopes"]:
            expected = np.array(stored["slopes"][parameter_name].get(state, np.zeros(len(SLOPE_TIMES))))
            if parameter_name not in by:
                assert np.all(expected == 0), parameter_name
                continue
            largest = np.max(np.abs(expected))
            label = f"d {state} / d {parameter_name}"
            # below this a change of the parameter by its own size moves the state by less than the solver's tolerance
            floor = np.max(usual[state]) / abs(described.values[parameter_name])
            for made, tolerance, share in ((usual, 1e-8, 1.0), (tight, 1e-10, 1e-3)):
                slope, small = made.slope(state, parameter_name), SHIPPED * share * largest + tolerance * floor
                np.testing.assert_allclose(slope, expected, rtol=SHIPPED, atol=small, err_msg=label)


@pytest.mark.slow
@pytest.mark.parametrize("parameter_name", ["k_B", "F_v", "phi_L", "h_P", "eps_bed", "I10_0"])
def test_the_stored_slopes_are_those_of_differences_too(parameter_name):
    """Fourth-order differences of the independent solver: the stored slopes are no artefact of how they were made."""
    described, values = model_of("two_functional_compartments", "mouse"), "mouse"
    stored = STORED[key("two_functional_compartments", values)]["slopes"][parameter_name]
    value = described.values[parameter_name]
    step = 2e-3 * value
    far, near = (
        [
            solver.solve(described, every_route(values), SLOPE_TIMES, {parameter_name: value + sign * k * step})
            for sign in (1, -1)
        ]
        for k in (2, 1)
    )
    slopes = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * step)
    for state, found, amount in zip(described.state_names, slopes, near[0], strict=True):
        expected = np.array(stored.get(state, np.zeros(len(SLOPE_TIMES))))
        rounding = 1e-13 * np.max(np.abs(amount)) / step
        atol = 1e-6 * np.max(np.abs(expected)) + rounding
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol, err_msg=state)
