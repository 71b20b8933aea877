"""Dosing events: the closed forms of section 14.1 of the conventions, and the laws L1 to L8 and L10."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mscpkpd.dosing import Dose, Regimen, bolus, infusion
from mscpkpd.engine import stiff
from mscpkpd.engine.system import build_system
from mscpkpd.engine.timeline import timeline
from mscpkpd.errors import DosingError, UnitError
from reference.runs import run
from reference.small_models import COMPARTMENT, doses, model, parameter, route

CLOSED_FORM = 1e-6  # what L9 asks of an adaptive solver at its default tolerance
LAW = 1e-7  # both sides of a law are solved at 1e-8, with different steps


EVERY_12 = {"every": "12 h", "doses": 2}


@pytest.mark.parametrize(
    ("regimen", "times", "expected"),
    [
        pytest.param(doses((0, 100, "half_rate")), (1, 2), (0.9516258196, 0.8610666496), id="E7 rate 50, F 0.5"),
        pytest.param(doses((0, 50, "iv", 1)), (1, 2), (0.9516258196, 0.8610666496), id="E6 rate 50 over 1"),
        pytest.param(doses((0, 100, "half_duration")), (1, 2), (0.4758129098, 0.9063462346), id="E8 F 0.5"),
        pytest.param(doses((0, 100, "half", 2)), (1, 2), (0.4758129098, 0.9063462346), id="E9 F 0.5"),
        pytest.param(doses((0, 100, "viable_rate")), (2,), (1.4501539754,), id="E11 v of the route"),
        pytest.param(doses((0, 100, "viable", 2, 0.8)), (2,), (1.4501539754,), id="E11 v of the row"),
        pytest.param(bolus("100 mg", "lagged", **EVERY_12), (12, 15), (0.8131393195, 2.6023884238), id="E15 E17 E2"),
        pytest.param(bolus("100 mg", "iv"), (0, 12), (2.0, 0.6023884238), id="E4 E5"),
        pytest.param(bolus("100 mg", "central"), (0, 12), (2.0, 0.6023884238), id="E12 into a state"),
    ],
)
def test_closed_forms_of_one_compartment(regimen, times, expected):
    """CL 5, V 50, dose 100, concentration: every digit of the table to the tolerance of an adaptive solver (L9)."""
    np.testing.assert_allclose(run(COMPARTMENT, regimen, times, ("conc",))["conc"], expected, rtol=CLOSED_FORM)


def test_oral_absorption():
    """KA 1.5, CL 1.1, V 20, dose 100, 1000 x amount/V at t = 1: 3754.4376530 (E5)."""
    oral = model(
        {"gut": "-KA*gut", "central": "KA*gut - CL/V*central"},
        (parameter("KA", 1.5, "1/h"), parameter("CL", 1.1, "L/h"), parameter("V", 20.0, "L")),
        routes=(route("po", {"gut": "1"}),),
        outputs={"conc": ("1000*central/V", "mg/L", None)},
    )
    found = run(oral, bolus("100 mg", "po"), (1,), ("conc",))["conc"]
    np.testing.assert_allclose(found, 3754.4376530, rtol=CLOSED_FORM)


@pytest.mark.parametrize("interval", [12, 24])
def test_many_doses_reach_the_steady_state_of_the_formula(interval):
    """Doses to the limit are one of the independent routes of 14.2: C = 2 e^(-k t)/(1 - e^(-k II)) (E21)."""
    found = run(COMPARTMENT, bolus("100 mg", "iv", every=f"{interval} h", doses=40), (39.0 * interval, 40.0 * interval))
    peak = 100 / (1 - np.exp(-0.1 * interval))
    np.testing.assert_allclose(found["central"], [peak, peak * np.exp(-0.1 * interval)], rtol=CLOSED_FORM)


def test_the_steady_state_of_an_infusion_that_never_ends():
    """E26 and E27: rate 10 into CL 5 holds C = 2."""
    found = run(COMPARTMENT, doses((0, 2000, "iv", 200)), (150, 200), ("conc",))["conc"]
    np.testing.assert_allclose(found, 2.0, rtol=CLOSED_FORM)


def test_overlapping_infusions_add_up_and_a_bolus_disturbs_none():
    """E14, E25: an infusion of 18 h every 12 h; at phase 6 of the periodic state C = 1.8285070069."""
    regimen = infusion("100 mg", "iv", "18 h", every="12 h", doses=40)
    times = 39 * 12 + np.array([0, 6, 18, 24])
    found = run(COMPARTMENT, regimen, times, ("conc",))["conc"]
    # the table repeats for ever; here the 40th dose is the last, so only the phases until its end compare
    expected = [1.5048263264, 1.8285070069, 1.3271866026, 0.7283754508]
    np.testing.assert_allclose(found, expected, rtol=CLOSED_FORM)
    with_bolus = run(COMPARTMENT, regimen + bolus("50 mg", "iv", at="474 h"), times, ("conc",))["conc"]
    np.testing.assert_allclose(with_bolus - found, np.exp(-0.1 * (times - 474)) * (times >= 474), atol=CLOSED_FORM)


# ---- laws ------------------------------------------------------------------------------------------------------------

LINEAR = model(
    {"depot": "-ka*depot", "central": "ka*depot - (k10 + k12)*central + k21*far", "far": "k12*central - k21*far"},
    (
        *(parameter(name, value, "1/h") for name, value in (("ka", 0.9), ("k10", 0.3), ("k12", 2.0), ("k21", 0.15))),
        parameter("L", 0.7, "h"),
        parameter("D", 1.3, "h"),
    ),
    routes=(
        route("iv", {"central": "1"}),
        route("sc", {"depot": "0.6", "central": "0.1"}),
        route("late", {"depot": "1"}, lag="L"),
        route("slow", {"central": "1"}, duration="D"),
    ),
)
DOSES = st.builds(
    lambda time, amount, name, length: Dose(time / 4, float(amount), "mg", name, length / 4),
    time=st.integers(0, 40),
    amount=st.integers(1, 100),
    name=st.sampled_from(["iv", "sc", "late", "slow", "far"]),
    length=st.sampled_from([0, 0, 2, 6]),
)
REGIMENS = st.lists(DOSES, min_size=1, max_size=4).map(lambda rows: Regimen(tuple(rows)))
TIMES = np.array([0, 0.3, 1, 2.5, 4, 7.1, 10, 13, 20, 30])


def states(regimen, times=TIMES, described=LINEAR, **options):
    found = run(described, regimen, times, **options)
    return np.array([found[name] for name in described.state_names])


def close(found, expected, tolerance=LAW):
    """Agree relative to the largest value: what an absolute solver tolerance promises."""
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.max(np.abs(expected)) + 1e-300)


@given(REGIMENS, REGIMENS)
@settings(max_examples=25)
def test_superposition(one, other):
    """L1: in a linear model two regimens together give the sum of their responses."""
    close(states(one + other), states(one) + states(other))


@given(REGIMENS, st.sampled_from([1.0, 7.25, 100.0]))
@settings(max_examples=15)
def test_time_shift(regimen, shift):
    """L2: all doses and times later by one constant, the result moves by the same constant."""
    close(states(regimen.shifted(f"{shift} h"), TIMES + shift), states(regimen))


@given(REGIMENS, st.sampled_from([0.25, 2.0, 1000.0]))
@settings(max_examples=15)
def test_a_linear_response_scales_with_the_dose(regimen, factor):
    """L1: the same regimen with every amount times one number."""
    scaled = Regimen(tuple(Dose(d.time, d.amount * factor, d.unit, d.route, d.duration) for d in regimen.doses))
    close(states(scaled), factor * states(regimen))


@given(st.lists(DOSES, min_size=2, max_size=5), st.randoms())
@settings(max_examples=15)
def test_the_order_of_rows_does_not_matter(rows, random):
    """L10: doses are events in time, whatever the order in which they are listed."""
    shuffled = list(rows)
    random.shuffle(shuffled)
    close(states(Regimen(tuple(shuffled))), states(Regimen(tuple(rows))))


def test_amounts_and_losses_are_what_was_given():
    """L3: states and eliminated amount equal F v AMT of the doses so far, also in the middle of an infusion."""
    closed = model(
        {"central": "-k*central", "out": "k*central"},
        (parameter("k", 0.3, "1/h"),),
        routes=(route("iv", {"central": "0.5*viable"}),),
    )
    found = states(doses((0, 100, "iv", 4, 0.8), (6, 10, "iv")), np.array([0, 1, 4, 6, 20]), closed)
    np.testing.assert_allclose(found.sum(axis=0), [0, 10, 40, 45, 45], rtol=1e-8)


@pytest.mark.parametrize("length", [1e-4, 1e-6, 1e-9, 1e-12])
def test_a_duration_of_almost_nothing_is_a_bolus(length):
    """L6: duration to 0. The difference is of the order of the duration times the fastest rate, 2 per h."""
    times = TIMES + 0.01
    found = states(doses((1, 50, "iv", length), (300, 20, "iv", length)), np.append(times, 301.0))
    close(found, states(doses((1, 50, "iv"), (300, 20, "iv")), np.append(times, 301.0)), 3 * length + LAW)


@pytest.mark.parametrize("lag", [0.0, 1e-4, 1e-6, 1e-9])
def test_a_lag_of_almost_nothing_is_no_lag(lag):
    """L6: lag to 0, seen after the dose."""
    times = TIMES + 0.01
    found = states(doses((0, 50, "late"), (3, 20, "late")), times, values={"L": lag})
    close(found, states(doses((0, 50, "depot"), (3, 20, "depot")), times), 30 * lag + LAW)


def test_a_modelled_duration_of_zero_is_a_bolus():
    """L6 at its limit, for E8."""
    close(states(doses((0, 50, "slow")), values={"D": 0.0}), states(doses((0, 50, "iv"))))


@pytest.mark.parametrize("name", ["iv", "late", "slow"])
def test_repeated_doses_are_rows(name):
    """L7: additional doses equal the same doses written as rows, lag and modelled duration included (E17, E18)."""
    rows = doses(*((5.0 * k, 30, name) for k in range(4)))
    np.testing.assert_array_equal(states(bolus("30 mg", name, every="5 h", doses=4)), states(rows))


def test_a_split_bolus_is_the_whole():
    """L7: two halves at one time."""
    close(states(doses((2, 25, "sc"), (2, 25, "sc"))), states(doses((2, 50, "sc"))))


def test_infusions_one_after_the_other_are_one_infusion():
    """Equal rates that follow each other without a gap."""
    parts = doses(*((float(k), 10, "iv", 1.0) for k in range(6)))
    close(states(parts), states(doses((0, 60, "iv", 6.0))))


def test_an_infusion_that_ended_leaves_no_rate_behind():
    """Rounding of three overlapping rates must not go on feeding a state after their end."""
    regimen = doses((0, 0.1, "iv", 0.3), (0.1, 0.2, "iv", 0.7), (0.2, 0.3, "iv", 0.1))
    late = states(regimen, np.array([0.0, 2000.0]))[:, 1]
    assert np.all(np.abs(late) < 1e-12)


# ---- times -----------------------------------------------------------------------------------------------------------


def test_a_time_of_a_dose_is_after_it_and_times_may_come_in_any_order():
    """E4; the asked times are answered one by one, repeats included."""
    found = states(doses((2, 50, "iv")), np.array([2.0, 1.0, 30.0, 2.0, 0.0]))
    np.testing.assert_array_equal(found[:, 0], found[:, 3])
    assert found[1].tolist()[:2] == [50.0, 0.0]
    assert found[1, 4] == 0.0


def test_other_times_do_not_change_a_value():
    """L10 within a subject: what else is asked moves a value by no more than the tolerance."""
    regimen = doses((0, 50, "sc"), (4, 20, "iv", 2))
    few = states(regimen, np.array([7.1]))[:, 0]
    close(states(regimen, np.append(TIMES, 500.0))[:, 5], few)


def test_before_time_zero_nothing_moves():
    """Start values are those at time 0 and before: a pre-dose row of one subject changes no other row (L10)."""
    filling = model(
        {"x": "c - k*x"},
        (parameter("k", 0.5, "1/h"), parameter("c", 1.0, "mg/h"), parameter("x0", 7.0, "mg")),
        starts={"x": "x0"},
    )
    found = run(filling, Regimen(()), (-10, -1, 0, 2), by=("x0",))
    np.testing.assert_allclose(found["x"], [7, 7, 7, 2 + 5 * np.exp(-1)], rtol=1e-7)
    np.testing.assert_allclose(found.slope("x", "x0"), [1, 1, 1, np.exp(-1)], rtol=1e-7)
    np.testing.assert_allclose(run(filling, Regimen(()), (2,))["x"], found["x"][3:], rtol=1e-7)


def test_no_time_asked_gives_nothing():
    found = run(LINEAR, doses((0, 50, "iv")), ())
    assert found.path.states.shape == (3, 0)
    assert found.path.ok


@pytest.mark.parametrize(("time", "factor"), [("d", 24.0), ("min", 1 / 60)])
def test_a_model_may_count_in_another_unit_of_time(time, factor):
    """L5: rates per day instead of per hour, lag and duration in days; doses stay in hours."""
    rates = {name: LINEAR.values[name] * factor for name in ("ka", "k10", "k12", "k21")}
    spans = {name: LINEAR.values[name] / factor for name in ("L", "D")}
    units = {**dict.fromkeys(rates, f"1/{time}"), **dict.fromkeys(spans, time)}
    values = {**rates, **spans}
    other = model(
        {name: str(rate) for name, rate in LINEAR.rates},
        tuple(parameter(name, values[name], units[name]) for name in LINEAR.parameter_names),
        routes=LINEAR.routes,
        time=time,
    )
    regimen = doses((1, 50, "sc"), (3, 20, "late"), (4, 20, "slow"), (6, 9, "iv", 2.5))
    close(states(regimen, TIMES / factor, other), states(regimen))


def test_cells_may_count_in_millions():
    """L5: the same model with its states in millions of cells and doses in millions."""
    one = model({"lung": "-k*lung"}, (parameter("k", 0.03, "1/h"),), units={"lung": "cells"})
    other = model({"lung": "-k*lung"}, (parameter("k", 0.03, "1/h"),), units={"lung": "Mcell"})
    cells = run(one, Regimen((Dose(0, 2e6, "cells", "lung"),)), TIMES)["lung"]
    millions = run(other, Regimen((Dose(0, 2.0, "Mcell", "lung"),)), TIMES)["lung"]
    close(1e6 * millions, cells)


@pytest.mark.parametrize("amount", ["1000 ug", "1e-3 g", "1e6 ng"])
def test_a_dose_is_converted_to_the_unit_of_its_route(amount):
    close(states(bolus(amount, "sc")), states(bolus("1 mg", "sc")))
    assert run(COMPARTMENT, bolus(amount, "half"), (0,))["central"] == pytest.approx(0.5)


def test_a_dose_in_another_kind_of_unit_is_refused():
    with pytest.raises(UnitError, match="dose by 'half': cannot turn cells into mg; expected a unit like mg"):
        run(COMPARTMENT, bolus("1e6 cells", "half"), (0,))


# ---- doses that cannot be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("late", {"L": -0.5}, r"lag -0.5 of route 'late' is negative; expected a lag of at least 0 \(E15\)"),
        ("slow", {"D": -1.0}, "duration -1 of a dose by 'slow' is negative"),
    ],
)
def test_a_negative_lag_or_duration_is_refused(name, values, message):
    with pytest.raises(DosingError, match=message):
        states(doses((0, 50, name)), values=values)


@pytest.mark.parametrize("rate", [0.0, -3.0])
def test_a_rate_that_never_delivers_is_refused(rate):
    with pytest.raises(DosingError, match=f"rate {rate:g} of a dose by 'half_rate'; expected a rate above 0"):
        states(doses((0, 50, "half_rate")), described=COMPARTMENT, values={"R": rate})


def test_a_dose_per_body_weight_needs_a_weight():
    """T4: refused without a weight; with one, the amount is multiplied by it."""
    cells = model({"lung": "-k*lung"}, (parameter("k", 0.03, "1/h"),), units={"lung": "cells"})
    regimen = Regimen((Dose(0, 2e6, "cells/kg", "lung"),))
    with pytest.raises(DosingError, match="needs a body weight"):
        run(cells, regimen, (0,))
    assert run(cells, regimen, (0,), weight=70.0)["lung"][0] == 1.4e8


def test_f_of_zero_delivers_nothing():
    """E12."""
    assert np.all(states(doses((0, 50, "half")), described=COMPARTMENT, values={"F": 0.0}) == 0)
    assert np.all(states(doses((0, 50, "half_rate")), described=COMPARTMENT, values={"F": 0.0}) == 0)


def test_f_may_exceed_one():
    """E12; F lengthens an infusion whose rate is given, and speeds one whose duration is given (E10)."""
    by_rate = run(COMPARTMENT, doses((0, 100, "half_rate")), (4, 6), values={"F": 2.0, "k": 1e-9})["central"]
    by_duration = run(COMPARTMENT, doses((0, 100, "half_duration")), (1, 6), values={"F": 2.0, "k": 1e-9})["central"]
    np.testing.assert_allclose(by_rate, [200, 200], rtol=CLOSED_FORM)
    np.testing.assert_allclose(by_duration, [100, 200], rtol=CLOSED_FORM)


def test_a_given_rate_is_shared_in_the_shares_of_the_fractions():
    """E13: fractions 0.3 and 0.1 of 100 at rate 20: 40 in 2 h, three quarters of it into one state.

    The duration is that of the whole dose even where only one of the two states is kept.
    """
    split = model(
        {"a": "-0*k*a", "b": "-0*k*b"},
        (parameter("k", 1.0, "1/h"), parameter("R", 20.0, "mg/h")),
        routes=(route("iv", {"a": "0.3", "b": "0.1"}, rate="R"),),
        outputs={"seen": ("a", "mg", None)},
    )
    both = run(split, doses((0, 100, "iv")), (1, 2, 3))
    np.testing.assert_allclose(both["a"], [15, 30, 30], rtol=CLOSED_FORM)
    np.testing.assert_allclose(both["b"], [5, 10, 10], rtol=CLOSED_FORM)
    np.testing.assert_allclose(run(split, doses((0, 100, "iv")), (1, 2, 3), ("seen",))["seen"], [15, 30, 30], rtol=1e-6)


def test_changes_come_in_the_order_of_time():
    """Starts and ends of infusions between other doses; a lag moves both ends."""
    system = build_system(LINEAR, LINEAR.state_names, ("iv", "late"))
    regimen = doses((3, 1, "iv"), (0, 1, "iv", 4), (1, 1, "late"))
    values = np.array([LINEAR.values[name] for name in system.parameters])
    changes = timeline(system, regimen, values, np.array([], dtype=int))
    assert [change.time for change in changes] == [0, 1.7, 3, 4]
    assert [float(change.rate.sum()) for change in changes] == [0.25, 0, 0, -0.25]


# ---- failures are labelled outcomes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e6, 1e300])
@pytest.mark.parametrize("by", [(), ("k",)])
def test_impossible_numbers_end_in_a_reason(value, by):
    """No exception and no partial answer, whatever a sampler tries."""
    found = run(COMPARTMENT, doses((0, 100, "iv")), (1, 2, 16), values={"k": value}, by=by)
    assert not found.path.ok
    assert "the solver stopped between 0 and 16" in found.path.failure
    assert np.all(np.isnan(found.path.states))


def test_a_lag_that_is_no_number_ends_in_a_reason():
    assert not run(LINEAR, doses((0, 50, "late")), TIMES, values={"L": np.nan}).path.ok


def test_a_solver_that_panics_is_replaced(monkeypatch):
    """The compiled solver may panic, which is no Exception, and then stays locked: it is dropped and made again."""

    class PanicError(BaseException):
        pass

    class Panicking:
        def solve_dense(self, *_):
            raise PanicError("this should not happen")

    regimen = doses((0, 100, "iv"))
    sound = run(COMPARTMENT, regimen, (1, 2))["central"]
    real = stiff._ode

    def broken(*_):
        return Panicking()

    broken.cache_clear = real.cache_clear
    monkeypatch.setattr(stiff, "_ode", broken)
    found = run(COMPARTMENT, regimen, (1, 2))
    assert found.path.failure == "the solver stopped between 0 and 2: this should not happen"
    assert real.cache_info().currsize == 0
    monkeypatch.undo()
    np.testing.assert_array_equal(run(COMPARTMENT, regimen, (1, 2))["central"], sound)


def test_an_interrupt_stays_an_interrupt(monkeypatch):
    class Interrupted:
        def solve_dense(self, *_):
            raise KeyboardInterrupt

    monkeypatch.setattr(stiff, "_ode", lambda *_: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run(COMPARTMENT, doses((0, 100, "iv")), (1, 2))
