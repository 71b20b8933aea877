"""The exact engine: what it can solve, and that it agrees with closed forms, Radau and the stiff engine (L9)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from mscpkpd.dosing import Dose, Regimen, bolus, infusion
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.exact import change_when_finer, pull_back, solve_exactly
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import build_system
from mscpkpd.engine.timeline import timeline
from mscpkpd.errors import ModelError, UsageError
from mscpkpd.modelfile import load_model
from reference import solver
from reference.cases import SHIPPED, SLOPE_TIMES, SLOPES_OF, every_route, key, model_of, schedules
from reference.runs import run
from reference.small_models import COMPARTMENT, doses, model, parameter, route

CLOSED_FORM = 1e-9  # what section 14.1 of the conventions asks of an exact model
RADAU = 1e-7  # ten times closer than rule L9 asks
FLOOR = 1e-9  # of the largest value of the series
SLOPE = 1e-6  # L9
FADED = 1e-11  # of the largest value: what has decayed to nothing keeps no digits of its own
STEP = 1e-30  # imaginary: derivatives of the closed forms without any cancellation

HERE = Path(__file__).parent / "reference"
STORED = json.loads((HERE / "states.json").read_text())["cases"]
STORED_SLOPES = json.loads((HERE / "slopes.json").read_text())["cases"]

loaded = cache(load_model)


def exactly(*args, **options):
    """Solve by the exact engine."""
    return run(*args, engine="exact", **options)


def order_of(described, asked=None):
    """What kind of equations the states of a model have."""
    return solving_order(build_system(described, asked or described.state_names, described.route_names))


# ---- what can be solved --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("two_functional_compartments", "mouse", "14 states are linear, m and il10 follow one after the other: exact"),
        ("turnover_loss_inhibited", None, "3 states are linear, response follows: exact"),
        ("pk_michaelis_menten", None, "feedback within central: stiff"),
        ("sepsis_reynolds", None, "feedback between bacteria, phagocytes, damage and ca: stiff"),
    ],
)
def test_the_states_of_a_shipped_model_are_sorted(name, values, expected):
    assert str(order_of(loaded(name, values))) == expected


def test_only_states_that_are_asked_for_count():
    """The label of a model with feedback elsewhere is linear."""
    options = loaded("two_functional_options", "mouse")
    assert not order_of(options).exact
    assert order_of(options, ("lung_label",)).exact


def small(rates, *names, **more):
    """A model of a few states whose parameters all have the value 0.5."""
    units = {"k": "1/h", "T": "h", "M": "mg"}
    return model(rates, tuple(parameter(name, 0.5, units.get(name, "1")) for name in names), **more)


FED = {"routes": (route("iv", {"a": "1"}),)}


def test_a_block_holds_what_exchanges_and_what_feeds_it():
    rates = {"a": "-k*a", "b": "k*a - k*b + k*c", "c": "k*b - k*c", "d": "k*c - k*d"}
    order = order_of(small(rates, "k", **FED))
    assert order.block == ("a", "b", "c")
    assert order.alone == ("d",)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"a": "-k*a", "b": "k*a*(1 - b/M) - k*b"}, "1 state is linear, b follows: exact"),
        ({"a": "-k*a", "b": "k*t/T*a - k*b"}, "1 state is linear, b follows: exact"),
        ({"a": "-where(t < T, k, 2*k)*a"}, "1 state is linear: exact"),
        ({"a": "-k*a", "b": "k*M*hill(a, M, 2) - k*b"}, "1 state is linear, b follows: exact"),
        ({"a": "-k*a", "b": "k*max(a, M) - k*b"}, "a corner in the rate of b: stiff"),
        ({"a": "-k*a", "b": "where(a < M, k, 0*k)*M - k*b"}, "a corner in the rate of b: stiff"),
        ({"a": "-k*a*a/M"}, "feedback within a: stiff"),
        ({"a": "-k*a*b/M", "b": "k*a - k*b"}, "feedback between a and b: stiff"),
        ({"a": "-k*t/T*a + k*b", "b": "k*a - k*b"}, "feedback between a and b: stiff"),
        ({"a": "-k*a*a/M", "b": "k*a - k*b"}, "feedback within a: stiff"),
    ],
)
def test_what_can_be_solved_exactly(rates, expected):
    assert str(order_of(small(rates, "k", "T", "M", **FED))) == expected


def test_feedback_is_refused_by_name_and_left_to_the_stiff_engine():
    square = small({"a": "-k*a*a/M"}, "k", "M", **FED)
    regimen = bolus("1 mg", "iv")
    with pytest.raises(ModelError, match="the exact engine cannot solve this: feedback within a"):
        exactly(square, regimen, (1.0,))
    assert run(square, regimen, (1.0,), engine="auto")["a"][0] == pytest.approx(0.5, rel=1e-7)


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match="engine='best'"):
        run(small({"a": "-k*a"}, "k", **FED), bolus("1 mg", "iv"), (1.0,), engine="best")


# ---- closed forms (14.1) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regimen", "times", "expected"),
    [
        pytest.param(doses((0, 100, "half_rate")), (1, 2), (0.9516258196, 0.8610666496), id="E7 rate 50, F 0.5"),
        pytest.param(doses((0, 50, "iv", 1)), (1, 2), (0.9516258196, 0.8610666496), id="E6 rate 50 over 1"),
        pytest.param(doses((0, 100, "half_duration")), (1, 2), (0.4758129098, 0.9063462346), id="E8 F 0.5"),
        pytest.param(doses((0, 100, "half", 2)), (1, 2), (0.4758129098, 0.9063462346), id="E9 F 0.5"),
        pytest.param(doses((0, 100, "viable_rate")), (2,), (1.4501539754,), id="E11 v of the route"),
        pytest.param(doses((0, 100, "lagged"), (12, 100, "lagged")), (12, 15), (0.8131393195, 2.6023884238), id="E15"),
        pytest.param(doses((0, 100, "iv")), (0, 12), (2.0, 0.6023884238), id="E4 E5"),
    ],
)
def test_closed_forms_of_one_compartment(regimen, times, expected):
    """CL 5, V 50, dose 100, concentration: every printed digit."""
    np.testing.assert_allclose(
        exactly(COMPARTMENT, regimen, times, ("conc",))["conc"], expected, rtol=1e-10, atol=5e-11
    )


def test_oral_absorption():
    """KA 1.5, CL 1.1, V 20, dose 100, 1000 x amount/V at t = 1: 3754.4376530 (E5)."""
    oral = model(
        {"gut": "-KA*gut", "central": "KA*gut - CL/V*central"},
        (parameter("KA", 1.5, "1/h"), parameter("CL", 1.1, "L/h"), parameter("V", 20.0, "L")),
        routes=(route("po", {"gut": "1"}),),
        outputs={"conc": ("1000*central/V", "mg/L", None)},
    )
    found = exactly(oral, bolus("100 mg", "po"), (1,), ("conc",))["conc"]
    np.testing.assert_allclose(found, 3754.4376530, rtol=CLOSED_FORM)


def test_overlapping_infusions_reach_the_periodic_state():
    """E14, E25: an infusion of 18 h every 12 h; phases 0, 6, 18 and 24 of the periodic state."""
    regimen = infusion("100 mg", "iv", "18 h", every="12 h", doses=40)
    found = exactly(COMPARTMENT, regimen, 39 * 12 + np.array([0, 6, 18, 24]), ("conc",))["conc"]
    expected = [1.5048263264, 1.8285070069, 1.3271866026, 0.7283754508]
    np.testing.assert_allclose(found, expected, rtol=CLOSED_FORM)


def linear(matrix, **more):
    """A linear model with dx/dt = A x and doses into the first state."""
    names = [f"x{i}" for i in range(len(matrix))]
    entries = {f"a{i}{j}": float(v) for i, row in enumerate(matrix) for j, v in enumerate(row) if v}
    rates = {
        name: " + ".join(f"a{i}{j}*{names[j]}" for j, v in enumerate(matrix[i]) if v) or f"0*{name}*a00"
        for i, name in enumerate(names)
    }
    return model(
        rates, tuple(parameter(n, v, "1/h") for n, v in entries.items()), routes=(route("iv", {"x0": "1"}),), **more
    )


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param([[-1, 0.2], [1, -0.2]], id="zero eigenvalue"),
        pytest.param([[-1, 1e-12], [1, -1]], id="nearly defective"),
        pytest.param([[-0.5, 0.25], [0.0, -0.5]], id="defective, upper"),
        pytest.param([[-1e6, 1e6 - 0.5], [1e6, -1e6]], id="stiffness 1e6"),
        pytest.param([[-3, 0, 0.1], [3, -3, 0], [0, 3, -3]], id="ring of three stages"),
        pytest.param([[-20, 0.5, 1e-3], [12, -0.5, 0], [8, 0, -1e-3]], id="lung, tissue and blood"),
    ],
)
def test_linear_blocks_are_matrix_exponentials(matrix):
    """Against SciPy's matrix exponential: bolus, and an infusion by augmentation."""
    times, n = np.array([1e-7, 1e-3, 0.1, 1.0, 7.3, 40.0]), len(matrix)
    given_mg = np.eye(n)[0] * 100
    described = linear(matrix)
    found = exactly(described, bolus("100 mg", "iv"), times)
    a = np.array(matrix, float)
    rtol = CLOSED_FORM + 1e-16 * np.max(np.abs(a)) * times[-1]  # the problem itself keeps no more digits
    expected = np.array([expm(a * t) @ given_mg for t in times]).T
    for i in range(n):
        np.testing.assert_allclose(found[f"x{i}"], expected[i], rtol=rtol, atol=FADED * np.max(np.abs(expected[i])))
    augmented = np.block([[a, given_mg[:, None] / 50], [np.zeros((1, n + 1))]])
    infused = exactly(described, infusion("100 mg", "iv", "50 h"), times)
    expected = np.array([expm(augmented * t)[:n, n] for t in times]).T
    for i in range(n):
        np.testing.assert_allclose(infused[f"x{i}"], expected[i], rtol=rtol, atol=FADED * np.max(np.abs(expected[i])))


def test_survivors_of_an_erlang_chain():
    """Stages of one rate: x_n = (k t)^(n-1)/(n-1)! exp(-k t), a defective matrix."""
    k, stages = 0.153, [f"s{i}" for i in range(6)]
    rates = {name: (f"k*{stages[i - 1]} - " if i else "-") + f"k*{name}" for i, name in enumerate(stages)}
    chain = model(rates, (parameter("k", k, "1/h"),), routes=(route("iv", {"s0": "1"}),))
    times = np.array([1.0, 24.0, 48.0, 96.0])
    found = exactly(chain, bolus("100 mg", "iv"), times)
    expected = 100 * np.exp(-k * times)
    for i, name in enumerate(stages):
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, err_msg=name)
        expected = expected * k * times / (i + 1)


# ---- derivatives through events ------------------------------------------------------------------------------------

P = {"k": 0.3, "F": 0.7, "v": 0.6, "L": 0.75, "D": 1.25, "R": 30.0, "x0": 5.0, "T": 5.0}
UNITS = {"k": "1/h", "L": "h", "D": "h", "R": "mg/h", "x0": "mg", "T": "h"}
AT = np.array([0.5, 1.2, 2.1, 3.3, 6.0, 9.0])
ONE = model(
    {"x": "-where(t < T, k, 2*k)*x"},
    tuple(parameter(name, value, UNITS.get(name, "1")) for name, value in P.items()),
    routes=(
        route("slow", {"x": "F*viable"}, viable="v", lag="L", duration="D"),
        route("rated", {"x": "F*viable"}, viable="v", lag="L", rate="R"),
    ),
    starts={"x": "x0"},
)


def loss_until(t, p):
    return p["k"] * np.where(t.real < p["T"].real, t, 2 * t - p["T"])


def after(start, length, speed, p):
    """Amount of one infusion into a compartment whose loss doubles at T, which lies after its end."""
    ended = np.minimum(AT, (start + length).real)
    end = np.where((start + length).real > AT, AT + 0j, start + length)
    left = speed / p["k"] * (1 - np.exp(-p["k"] * (end - start))) * np.exp(loss_until(end, p) - loss_until(AT + 0j, p))
    return np.where(ended > start.real, left, 0)


@pytest.mark.parametrize("name", ["slow", "rated"])
def test_derivatives_by_every_number_of_a_dose(name):
    """L8: by k, F, v, L, D, R, the start value and a switch time, through every event, against the closed form."""
    found = exactly(ONE, doses((1, 100, name)), AT, by=tuple(P))

    def truth(p):
        if name == "slow":
            length, speed = p["D"], 100 * p["F"] * p["v"] / p["D"]
        else:
            length, speed = 100 * p["F"] / p["R"], p["R"] * p["v"]
        return p["x0"] * np.exp(-loss_until(AT + 0j, p)) + after(1 + p["L"], length, speed, p)

    at = {each: complex(value) for each, value in P.items()}
    np.testing.assert_allclose(found["x"], truth(at).real, rtol=CLOSED_FORM)
    for each, value in at.items():
        slope = np.imag(truth({**at, each: value + 1j * STEP})) / STEP
        atol = 1e-9 * np.max(np.abs(slope)) + 1e-12
        np.testing.assert_allclose(found.slope("x", each), slope, rtol=1e-8, atol=atol, err_msg=each)


@pytest.mark.parametrize("values", [values for _, values in SLOPES_OF])
def test_slopes_of_the_core_agree_with_the_stored_ones(values):
    """By every parameter, against the variational equations by Radau."""
    described = model_of("two_functional_compartments", values)
    by = described.parameter_names
    kept = build_system(described, described.state_names, described.route_names).parameters
    found = exactly(described, every_route(values), SLOPE_TIMES, by=[name for name in by if name in kept])
    for name, states in STORED_SLOPES[key("two_functional_compartments", values)]["slopes"].items():
        for state, expected in states.items():
            slope = found.slope(state, name) if name in found.by else np.zeros(len(SLOPE_TIMES))
            nothing = 1e-13 * np.max(found[state]) / max(abs(described.values[name]), 1e-3)
            floor = SLOPE * np.max(np.abs(expected)) + nothing
            np.testing.assert_allclose(slope, expected, rtol=SLOPE, atol=floor, err_msg=f"d {state}/d {name}")


def test_reverse_mode_gives_the_weighted_sum_of_the_slopes():
    """By every number of a dose, through every event."""
    system = build_system(ONE, ONE.state_names, ONE.route_names)
    values = np.array([P[name] for name in system.parameters])
    free = np.arange(len(values))
    changes = timeline(system, doses((1, 100, "slow"), (2, 50, "rated")), values, free)
    weights = np.linspace(-1, 2, len(AT))[None]
    states, slopes = solve_exactly(system, changes, AT, values, free, 1e-9)
    again, gradient = pull_back(system, changes, AT, values, free, cotangent=weights, tolerance=1e-9)
    np.testing.assert_allclose(again, states, rtol=1e-13)
    np.testing.assert_allclose(gradient, np.einsum("nt,ntf->f", weights, slopes), rtol=1e-11)


# ---- shipped models ------------------------------------------------------------------------------------------------

QUICK = {"label", "cells_ageing", "pk_two_compartment", "turnover_loss_inhibited"}  # each is compiled first


def cases():
    """Models that are exact, with the long ones marked slow."""
    for name, values in SHIPPED:
        quick = name in QUICK and values in (None, "mouse")
        yield pytest.param(name, values, marks=() if quick else pytest.mark.slow, id=key(name, values))


@pytest.mark.parametrize(("name", "values"), list(cases()))
def test_every_state_agrees_with_radau(name, values):
    """L9, ten times closer: for every state at every time of every schedule."""
    described = loaded(name, values)
    if not order_of(described).exact:
        pytest.skip(str(order_of(described)))
    stored = STORED[key(name, values)]
    assert stored["digest"] == solver.digest(described), "run tests/reference/make_references.py"
    for schedule, (regimen, times, weight) in schedules(name, values).items():
        found = exactly(described, regimen, times, weight=weight)
        assert found.path.ok, f"{schedule}: {found.path.failure}"
        for state in described.state_names:
            expected = np.array(stored["schedules"][schedule].get(state, np.zeros(len(times))))
            floor = FLOOR * np.max(np.abs(expected))
            np.testing.assert_allclose(found[state], expected, RADAU, floor, err_msg=f"{schedule}: {state}")


CORE = "two_functional_compartments"
HOURS = np.array([0.0, 0.3, 1.0, 5.0, 11.0, 24.0, 50.0, 90.0, 168.0])


def drawn(described, seed):
    """Parameter values drawn from the priors, as a sampler may try them."""
    rng = np.random.default_rng(seed)
    values = described.values
    for name in described.free_names:
        values[name] = float(described.parameter(name).prior.sample(rng, 1)[0])
    return values


REGIMENS = st.builds(
    lambda one, two, three, length, amount: Regimen(
        (
            Dose(one / 4, 1e6, "cells", "iv", 0.0),
            Dose(two / 4, amount * 1e5, "cells", "ia", length / 4),
            Dose(three / 4, 1e6, "cells", "intra_articular", 1.0),
        )
    ),
    one=st.integers(0, 40),
    two=st.integers(1, 400),
    three=st.integers(1, 400),
    length=st.integers(1, 100),
    amount=st.integers(1, 50),
)


def agree(seed, regimen, by):
    """Both engines give the same states and slopes."""
    described = loaded(CORE, "mouse")
    values = drawn(described, seed)
    exact = exactly(described, regimen, HOURS, values=values, by=by)
    stiff = run(described, regimen, HOURS, values=values, by=by, tolerance=1e-10)
    assert exact.path.ok == stiff.path.ok, f"{exact.path.failure} {stiff.path.failure}"
    for state in described.state_names:
        size = np.max(np.abs(stiff[state]))
        np.testing.assert_allclose(exact[state], stiff[state], rtol=1e-6, atol=1e-9 * size, err_msg=state)
        for name in by:
            expected = stiff.slope(state, name)
            floor = 1e-5 * np.max(np.abs(expected)) + 1e-9 * size / abs(values[name])
            np.testing.assert_allclose(exact.slope(state, name), expected, rtol=1e-4, atol=floor, err_msg=name)


@given(st.integers(0, 10_000), REGIMENS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_engines_agree_for_any_draw_and_regimen(seed, regimen):
    """L9 over the priors of the core."""
    agree(seed, regimen, ())


@pytest.mark.slow
@given(st.integers(0, 10_000), REGIMENS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_engines_agree_for_many_draws_with_slopes(seed, regimen):
    """L9 over the priors of the core, with derivatives; the stiff engine holds its own to about 1e-4."""
    agree(seed, regimen, ("k_L", "F_v", "rho_L", "k_T", "EC50_P"))


def test_equal_rates_are_no_special_case():
    """k_T = k_L exactly, almost, and not: continuous in the rate."""
    described = loaded(CORE, "mouse")
    rate = described.values["k_L"]
    regimen = bolus("1e6 cells", "iv")
    same, near = (
        exactly(described, regimen, HOURS, values={"k_T": rate * (1 + step)}, by=("k_T",)) for step in (0.0, 1e-9)
    )
    for state in ("lung", "liver", "label_liver", "m", "il10"):
        size = np.max(np.abs(same[state]))
        np.testing.assert_allclose(near[state], same[state], rtol=1e-7, atol=1e-10 * size)
        slope = np.max(np.abs(same.slope(state, "k_T")))
        np.testing.assert_allclose(near.slope(state, "k_T"), same.slope(state, "k_T"), rtol=1e-6, atol=1e-8 * slope)


def test_a_batch_is_its_subjects_one_by_one():
    """L10: other subjects move nothing, whatever their rates, lags and durations; a failure has no states."""
    system = build_system(ONE, ONE.state_names, ONE.route_names)
    regimen, rng = doses((1, 100, "slow"), (2, 50, "rated")), np.random.default_rng(1)
    spread = rng.lognormal(0, 0.5, (70, len(system.parameters)))
    values = np.array([P[name] for name in system.parameters]) * spread
    values[3, 0], values[5, 0] = np.nan, 3e5
    found = solve_batch(system, regimen, AT, values, tolerance=1e-9)
    none = np.array([], dtype=int)
    assert np.all(np.isnan(found[3]))
    for i in (0, 5, 17, 69):
        alone, _ = solve_exactly(system, timeline(system, regimen, values[i], none), AT, values[i], none, 1e-9)
        np.testing.assert_allclose(found[i], alone, rtol=1e-12, atol=1e-14)


# ---- laws ----------------------------------------------------------------------------------------------------------


def test_superposition_holds_to_rounding():
    """L1."""
    one, other = doses((0, 60, "iv"), (3, 20, "iv", 2)), doses((1, 50, "half"), (5, 20, "lagged"))
    apart = sum(exactly(COMPARTMENT, each, AT)["central"] for each in (one, other))
    np.testing.assert_allclose(exactly(COMPARTMENT, one + other, AT)["central"], apart, rtol=1e-9)


def test_a_time_shift_moves_the_result():
    """L2."""
    regimen = doses((0, 60, "iv"), (3, 20, "iv", 2))
    late = exactly(COMPARTMENT, regimen.shifted("240 h"), AT + 240)["central"]
    np.testing.assert_allclose(late, exactly(COMPARTMENT, regimen, AT)["central"], rtol=1e-9)


def test_times_may_come_in_any_order_and_a_time_of_a_dose_is_after_it():
    """E4; before time 0 nothing moves (L10)."""
    found = exactly(COMPARTMENT, doses((2, 50, "iv")), np.array([2.0, 1.0, 30.0, 2.0, 0.0, -5.0]))["central"]
    assert found[[0, 1, 3, 4, 5]].tolist() == [50.0, 0.0, 50.0, 0.0, 0.0]
    assert exactly(COMPARTMENT, doses((2, 50, "iv")), ()).path.states.shape == (1, 0)


def test_doses_after_the_last_time_do_not_matter():
    regimen = doses((0, 50, "iv"))
    later = regimen + doses((100, 50, "iv"))
    np.testing.assert_array_equal(
        exactly(COMPARTMENT, later, AT)["central"], exactly(COMPARTMENT, regimen, AT)["central"]
    )


def test_accuracy_is_checked_by_finer_steps():
    """The check repeats a solve at tighter settings and reports the change of each state."""
    described = loaded(CORE, "mouse")
    system = build_system(described, described.state_names, described.route_names)
    values = np.array([described.values[name] for name in system.parameters])
    changes = timeline(system, bolus("1e6 cells", "iv"), values, np.array([], int))
    change = change_when_finer(system, changes, HOURS, values, 1e-8)
    assert change.shape == (len(system.states),)
    assert np.all(change < 1e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_impossible_numbers_end_in_a_reason(value):
    """No exception and no partial answer, whatever a sampler tries."""
    found = exactly(COMPARTMENT, doses((0, 100, "iv")), (1, 2, 16), values={"k": value}, by=("k",))
    assert found.path.failure
    assert np.all(np.isnan(found.path.states))
    assert np.all(np.isnan(found.path.sensitivities))


def test_what_swings_too_fast_is_left_to_the_stiff_engine():
    """A pendulum over hundreds of turns: the exact engine says so, and `auto` takes the other one."""
    pendulum = small({"a": "k*b*c", "b": "-k*a*c"}, "k", "c", **FED)
    regimen, times, fast = bolus("1 mg", "iv"), (1.0, 50.0), {"c": 50.0}
    refused = exactly(pendulum, regimen, times, values=fast)
    assert "steps would be needed" in refused.path.failure
    found = run(pendulum, regimen, times, values=fast, engine="auto")
    np.testing.assert_allclose(found["a"], np.cos(25.0 * np.array(times)), atol=1e-4)
