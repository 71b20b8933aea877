"""Steady states: laws first, then every number of section 14.1 of the conventions, then what is said and refused.

Names of tests begin with the rule that they hold us to. CL 5, V 50, dose 100, unless a test says otherwise.
"""

from __future__ import annotations

import re
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import conc, frame, one_compartment
from mscpkpd.administration import administered
from mscpkpd.data import study_from_frame
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.steady import collecting, superposes
from mscpkpd.engine.system import build_system
from mscpkpd.errors import DosingError
from mscpkpd.problem import pose
from mscpkpd.simulation import simulate
from reference.runs import run
from reference.small_models import model, parameter, route

UNITS = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
K = 0.1
near = {"rel": 1e-6, "abs": 1e-12}
few = settings(max_examples=15, deadline=None)
TIMES = np.array([0.0, 1.3, 5.2, 11.9, 13.7, 30.0])

ROUTES = (
    route("oral", {"depot": "F"}, lag="L"),
    route("iv", {"central": "F"}, lag="L"),
    route("timed", {"central": "F"}, lag="L", duration="D"),
    route("rated", {"central": "F"}, lag="L", rate="R"),
    route("both", {"central": "0.6*F", "depot": "0.4*F"}, lag="L"),
)
OTHERS = (
    parameter("V", 50.0, "L"),
    parameter("F", 0.8),
    parameter("L", 0.5, "h"),
    parameter("D", 3.0, "h"),
    parameter("R", 30.0, "mg/h"),
    parameter("s", 0.1),
)
OUTPUTS = {"conc": ("central/V", "mg/L", "proportional(s)")}
LINEAR = model(
    {"depot": "-KA*depot", "central": "KA*depot - (k + k12)*central + k21*deep", "deep": "k12*central - k21*deep"},
    (parameter("KA", 1.5, "1/h"), parameter("k", 0.1, "1/h"), parameter("k12", 0.3, "1/h"),
     parameter("k21", 0.2, "1/h"), *OTHERS),
    routes=ROUTES, outputs=OUTPUTS,
)  # fmt: skip
SATURABLE = model(
    {
        "depot": "-KA*depot",
        "central": "KA*depot - Vmax*central/(Km*V + central)",
        "gone": "Vmax*central/(Km*V + central)",
    },
    (parameter("KA", 1.5, "1/h"), parameter("Vmax", 20.0, "mg/h"), parameter("Km", 2.0, "mg/L"), *OTHERS),
    routes=ROUTES, outputs=OUTPUTS,
)  # fmt: skip
# a receptor that is neither made nor lost: the free and the bound keep their sum
BOUND = model(
    {
        "central": "-k*central - kon*central*free + koff*bound",
        "free": "-kon*central*free + koff*bound",
        "bound": "kon*central*free - koff*bound",
    },
    (parameter("k", 0.1, "1/h"), parameter("kon", 0.01, "1/(h*mg)"), parameter("koff", 0.5, "1/h"),
     parameter("total", 20.0, "mg")),
    routes=(route("iv", {"central": "1"}),), starts={"free": "total"},
)  # fmt: skip
# a turnover that the drug inhibits
TURNOVER = model(
    {"central": "-k*central", "effect": "kin*(1 - central/(ec + central)) - kout*effect"},
    (parameter("k", 0.1, "1/h"), parameter("kin", 5.0, "mg/h"), parameter("kout", 0.4, "1/h"),
     parameter("ec", 30.0, "mg")),
    routes=(route("iv", {"central": "1"}),), starts={"effect": "kin/kout"},
)  # fmt: skip
MODELS = {"linear": LINEAR, "saturable": SATURABLE}


def dose(amount: float = 100.0, by: str = "iv", at: float = 0.0, **more: Any) -> Dose:
    return Dose(at, amount, "mg", by, **more)


def steady(amount: float = 100.0, by: str = "iv", every: float = 12.0, **more: Any) -> Dose:
    return dose(amount, by, steady=more.pop("steady", "reached"), every=every, **more)


def solved(of: Any, *doses: Dose, times: Any = TIMES, name: str = "central", **more: Any) -> np.ndarray:
    return run(of, Regimen(doses), times, ("conc",) if of.outputs else None, **more)[name]


# ---- laws ------------------------------------------------------------------------------------------------------------

CASES = {
    "E21 bolus": ({}, {"L": 0.0}),
    "E21 oral": ({"by": "oral"}, {"L": 0.0}),
    "E23 lag": ({"by": "oral"}, {"L": 3.3}),
    "E23 lag equal to II": ({}, {"L": 12.0}),
    "E24 lag beyond II": ({"by": "oral"}, {"L": 31.0}),
    "E24 lag of two II": ({}, {"L": 24.0}),
    "E21 infusion": ({"duration": 2.0}, {"L": 0.0}),
    "E23 infusion over T": ({"duration": 7.0}, {"L": 8.0}),
    "E25 infusion longer than II": ({"duration": 30.0}, {"L": 0.0}),
    "E24, E25 both": ({"duration": 30.0}, {"L": 17.0}),
    "E26 infusion of II": ({"duration": 12.0}, {"L": 0.0}),
    "E26 infusion of II with lag": ({"duration": 12.0}, {"L": 5.0}),
    "E25 infusion of two II": ({"duration": 24.0}, {"L": 0.0}),
    "E8 modelled duration": ({"by": "timed"}, {"L": 0.0, "D": 15.0}),
    "E7 modelled rate": ({"by": "rated"}, {"L": 1.0}),
    "E13 two states": ({"by": "both", "duration": 1.0}, {"L": 1.0}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("of", MODELS)
def test_l4_the_steady_state_is_the_limit_of_many_doses(case: str, of: str) -> None:
    options, values = CASES[case]
    many = [dose(at=12.0 * k, **options) for k in range(60)]
    limit = solved(MODELS[of], *many, times=59 * 12.0 + TIMES, values=values)
    found = solved(MODELS[of], steady(**options), values=values)
    np.testing.assert_allclose(found, limit, rtol=1e-6, atol=1e-6 * np.max(limit))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("of", MODELS)
def test_l4_the_steady_state_comes_back_after_one_interval(case: str, of: str) -> None:
    """A later record of the same doses finds the state that it would replace, with whatever still runs or waits."""
    options, values = CASES[case]
    again = solved(MODELS[of], steady(**options), dose(at=12.0, **options), times=12.0 + TIMES, values=values)
    np.testing.assert_allclose(again, solved(MODELS[of], steady(**options), values=values), rtol=1e-7, atol=1e-8)


@few
@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["oral", "iv", "timed", "rated", "both"]),
    st.integers(0, 40).map(lambda n: n / 2),
    st.sampled_from([0.0, 0.5, 4.0, 6.0, 9.0]),
    st.sampled_from([4.0, 6.0, 7.3]),
)
def test_l4_for_any_lag_duration_and_interval(of: str, by: str, lag: float, duration: float, every: float) -> None:
    options = {"by": by, "amount": 40.0, "duration": duration if by in ("iv", "oral", "both") else 0.0}
    doses = [dose(at=every * k, **options) for k in range(5)]
    first = steady(every=every, **options)
    later = solved(MODELS[of], first, *doses[1:], times=4 * every + TIMES, values={"L": lag})
    np.testing.assert_allclose(later, solved(MODELS[of], first, values={"L": lag}), rtol=1e-6, atol=1e-7)


def test_l1_a_steady_state_scales_with_the_dose_in_a_linear_model() -> None:
    twice = solved(LINEAR, steady(200.0, duration=15.0))
    np.testing.assert_allclose(twice, 2 * solved(LINEAR, steady(100.0, duration=15.0)), rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_l1_e28_an_added_steady_state_adds_its_own_response(case: str) -> None:
    """With any lag and duration: doses that are implied, run on or have not entered yet add to what goes on."""
    options, values = CASES[case]
    before = (dose(70.0, "oral"), dose(80.0, duration=9.0, at=1.0))
    alone = solved(LINEAR, *before, values=values, times=6.0 + TIMES)
    own = solved(LINEAR, steady(at=6.0, **options), values=values, times=6.0 + TIMES)
    both = solved(LINEAR, *before, steady(at=6.0, steady="added", **options), values=values, times=6.0 + TIMES)
    np.testing.assert_allclose(both, alone + own, rtol=1e-6, atol=1e-7)


def test_l6_a_brief_infusion_is_a_bolus_at_steady_state() -> None:
    times = TIMES[1:]
    brief = solved(LINEAR, steady(duration=1e-8), times=times)
    np.testing.assert_allclose(brief, solved(LINEAR, steady(), times=times), rtol=1e-7)


FREE = {
    "E21 oral": ("oral", {}, {}, ("KA", "F", "L")),
    "E24 lag beyond II": ("oral", {}, {"L": 15.0}, ("KA", "F", "L")),
    "E21 modelled duration": ("timed", {}, {}, ("F", "L", "D")),
    "E25 modelled duration beyond II": ("timed", {}, {"D": 18.0}, ("F", "L", "D")),
    "E26 modelled duration of II": ("timed", {}, {"D": 12.0}, ("F", "L", "D")),
    "E21 modelled rate": ("rated", {}, {}, ("F", "L", "R")),
    "E6 given rate": ("iv", {"duration": 2.0, "timed_by": "rate"}, {}, ("F", "L")),
    "E13 two states": ("both", {"duration": 2.0}, {}, ("KA", "F", "L")),
}
OWN = {"linear": ("k", "k12", "k21"), "saturable": ("Vmax", "Km")}


def differences(of: Any, doses: tuple[Dose, ...], name: str, values: dict[str, float], by: str) -> np.ndarray:
    """Central differences of fourth order."""
    base = {**of.values, **values}
    h = 1e-3 * (abs(base[by]) or 1.0)

    def at(shift: float) -> np.ndarray:
        return solved(of, *doses, name=name, values={**base, by: base[by] + shift}, tolerance=1e-11)

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def assert_slopes(of: Any, doses: tuple[Dose, ...], by: tuple[str, ...], values: dict[str, float], name: str) -> None:
    found = run(of, Regimen(doses), TIMES, ("conc",) if of.outputs else None, by=by, values=values)
    for parameter_name in by:
        expected = differences(of, doses, name, values, parameter_name)
        size = 1e-6 * np.max(np.abs(expected)) + 1e-9 * np.max(np.abs(found[name]))
        np.testing.assert_allclose(
            found.slope(name, parameter_name), expected, rtol=1e-5, atol=size, err_msg=parameter_name
        )


@pytest.mark.parametrize("case", FREE)
@pytest.mark.parametrize("of", MODELS)
def test_l8_derivatives_go_through_a_steady_state(case: str, of: str) -> None:
    """G2: by lag, F, duration, rate and every rate constant, against central differences."""
    by, options, values, names = FREE[case]
    own = tuple(name for name in names if by in ("oral", "both") or name != "KA")
    assert_slopes(MODELS[of], (steady(by=by, **options),), (*OWN[of], *own), values, "central")


@pytest.mark.parametrize("of", MODELS)
def test_l8_derivatives_go_through_an_endless_infusion(of: str) -> None:
    """E27, with a given and with a modelled rate."""
    assert_slopes(MODELS[of], (dose(0.0, rate=9.0, steady="constant"),), OWN[of], {}, "central")
    modelled = dose(0.0, "rated", steady="constant", timed_by="model rate")
    assert_slopes(MODELS[of], (modelled,), (*OWN[of], "R"), {"R": 9.0}, "central")


def test_l8_derivatives_go_through_what_is_conserved() -> None:
    for name in ("central", "bound"):
        assert_slopes(BOUND, (steady(30.0),), ("k", "kon", "koff", "total"), {}, name)


def test_l8_derivatives_go_through_an_added_steady_state() -> None:
    both = (dose(80.0, "oral"), steady(60.0, "oral", 8.0, at=5.0, steady="added"))
    assert_slopes(LINEAR, both, ("KA", "k", "k12", "k21", "F", "L"), {"L": 2.0}, "central")


def test_e18_additional_doses_follow_a_steady_state() -> None:
    """ADDL with SS: the additional doses are plain ones, so the steady state goes on."""
    table = "ID TIME EVID AMT ADDL II SS CMT\n1 0 1 100 2 12 1 iv\n" + "1 {} 0 . . . . iv\n" * 4
    assert conc(table.format(0, 12, 24, 36), L=0.0) == pytest.approx([2.8620255214] * 3 + [0.8620255214], **near)


# ---- every number of 14.1 -------------------------------------------------------------------------------------------

HEAD = "ID TIME EVID AMT RATE DUR ADDL II SS CMT"
NUMBERS = {
    "E21 SS bolus, just after the dose and trough": (
        ("1 0 1 100 . . . 12 1 iv",), {}, {0: 2.8620255214, 12: 0.8620255214},
    ),
    "E21 SS infusion, duration 2": (
        ("1 0 1 100 . 2 . 12 1 iv",), {}, {2: 2.5939860547, 12: 0.9542741402},
    ),
    "E21 SS infusion by RATE": (
        ("1 0 1 100 50 . . 12 1 iv",), {}, {2: 2.5939860547, 12: 0.9542741402},
    ),
    "E21 SS infusion by modelled duration": (
        ("1 0 1 100 -2 . . 12 1 slow",), {}, {2: 2.5939860547, 12: 0.9542741402},
    ),
    "E21 SS infusion by modelled rate": (
        ("1 0 1 100 -1 . . 12 1 pump",), {}, {2: 2.5939860547, 12: 0.9542741402},
    ),
    "E23 SS bolus, L 3": (
        ("1 0 1 100 . . . 12 1 iv",), {"L": 3.0}, {0: 1.1636127424, 3: 2.8620255214},
    ),
    "E24 SS bolus, L 15": (
        ("1 0 1 100 . . . 12 1 iv",), {"L": 15.0},
        {0: 1.1636127424, 3: 2.8620255214, 15: 2.8620255214, 27: 0.8620255214},
    ),
    "E25 SS infusion, duration 18": (
        ("1 0 1 100 . 18 . 12 1 iv",), {},
        {0: 1.5048263264, 6: 1.8285070069, 18: 1.3271866026, 24: 0.7283754508},
    ),
    "E26 SS infusion, duration 12": (
        ("1 0 1 100 . 12 . 12 1 iv",), {}, {0: 1.6666666667, 12: 1.6666666667, 24: 0.5019903532},
    ),
    "E27 SS constant infusion, RATE 10": (
        ("1 0 1 0 10 . . . 1 iv",), {}, {0: 2.0, 12: 0.6023884238},
    ),
    "E27 SS constant infusion, modelled rate 10, whatever F and L": (
        ("1 0 1 0 -1 . . . 1 pump",), {"R": 10.0, "F": 0.5, "L": 3.0}, {0: 2.0, 12: 0.6023884238},
    ),
    "E28 SS 1 with ADDL, then SS 2": (
        ("1 0 1 100 . . 1 12 1 iv", "1 5 1 60 . . . 8 2 iv"), {}, {5: 3.9150656927, 12: 3.9441640864},
    ),
    "E29 SS 1 on EVID 4": (
        ("1 0 1 500 . 30 . . . iv", "1 7 4 100 . . . 12 1 iv"), {}, {7: 2.8620255214, 19: 0.8620255214},
    ),
    "E29, E23 SS 1 on EVID 4, L 3": (
        ("1 0 1 500 . 30 . . . iv", "1 7 4 100 . . . 12 1 iv"), {"L": 3.0}, {7: 1.1636127424, 10: 2.8620255214},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_14_1_hold_to_1e_6_in_a_table(case: str) -> None:
    rows, values, expected = NUMBERS[case]
    asked = "\n".join(f"1 {time} 0 . . . . . . iv" for time in expected)
    assert conc("\n".join([HEAD, *rows, asked]), **values) == pytest.approx(list(expected.values()), **near)


@pytest.mark.parametrize("case", [name for name in NUMBERS if "F and L" not in name])
def test_numbers_of_14_1_hold_to_1e_6_in_a_fit(case: str) -> None:
    """The same through `read_study`, a problem and its prediction, with the derivative by CL."""
    rows, values, expected = NUMBERS[case]
    asked = "\n".join(f"1 {time} 0 . . . . . . iv 1" for time in expected)
    table = frame("\n".join([f"{HEAD} DV", *(f"{row} ." for row in rows), asked]))
    chosen = one_compartment().fix(**values).with_prior("CL", "lognormal(5, 0.3)")
    problem = pose(chosen, study_from_frame(table, **UNITS), free=["CL"])
    found = problem.predict(np.array([5.0]), jacobian=True)
    assert found.value == pytest.approx(list(expected.values()), **near)
    above, below = (problem.predict(np.array([5.0 + h])).value for h in (1e-3, -1e-3))
    assert found.jacobian[:, 0] == pytest.approx((above - below) / 2e-3, rel=1e-5, abs=1e-7)


# ---- what else the rules say ----------------------------------------------------------------------------------------


def test_e20_e22_a_steady_state_ends_infusions_and_drops_pending_and_additional_doses() -> None:
    before = "1 0 1 500 . 30 . . . thaw\n1 1 1 70 . . 9 2 . thaw\n1 2 1 80 . . . . . oral\n"
    after = "1 5 1 100 . . . 12 1 {}\n1 5 0 . . . . . . iv\n1 9 0 . . . . . . iv\n1 17 0 . . . . . . iv"
    table = f"{HEAD}\n{before}{after.format('thaw')}"
    trough = 0.8620255214
    expected = [trough + 2, (trough + 2) * exp(-0.4), trough]
    assert conc(table, L=6.0) == pytest.approx(expected, **near)  # the oral dose would have entered at 8


def test_e22_what_an_earlier_row_gives_at_the_very_time_is_undone_and_seen_before() -> None:
    table = f"{HEAD}\n1 0 1 100 . . 1 5 . iv\n1 5 0 . . . . . . iv\n1 5 1 100 . . . 12 1 iv\n1 5 0 . . . . . . iv"
    assert conc(table) == pytest.approx([2 * (1 + exp(-0.5)), 2.8620255214], **near)


def test_e27_a_rate_per_body_weight_takes_the_weight() -> None:
    per_kg = Dose(0.0, 0.0, "mg/kg", "iv", steady="constant", rate=0.25)
    found = solved(LINEAR, per_kg, weight=40.0)
    np.testing.assert_allclose(found, solved(LINEAR, dose(0.0, rate=10.0, steady="constant")), rtol=1e-9)
    with pytest.raises(DosingError, match="needs a body weight .T4."):
        solved(LINEAR, per_kg)


def test_e13_e27_a_rate_is_split_as_the_fractions_whatever_f() -> None:
    found = run(LINEAR, Regimen((dose(0.0, "both", rate=10.0, steady="constant"),)), [0.0], ("conc", "depot"))
    assert found["depot"] == pytest.approx([4.0 / 1.5], **near)
    assert found["central"] == pytest.approx([100.0], **near)


def test_e28_what_runs_and_waits_goes_on_beside_an_added_steady_state() -> None:
    plain = "1 0 1 100 . 10 . . . thaw\n1 1 1 70 . . 3 4 . thaw\n1 2 1 80 . . . . . iv\n"
    asked = "".join(f"1 {time} 0 . . . . . . iv\n" for time in (4, 7, 9, 20))
    alone = conc(f"{HEAD}\n{plain}{asked}", L=6.0)
    added = conc(f"{HEAD}\n{plain}1 4 1 60 . 2 . 8 2 thaw\n{asked}", L=6.0)
    own = conc(f"{HEAD}\n1 4 1 60 . 2 . 8 1 thaw\n{asked}", L=6.0)
    assert np.array(added) == pytest.approx(np.array(alone) + np.array(own), **near)


def test_e28_a_model_in_which_responses_do_not_add_up_says_so() -> None:
    rows = simulate(SATURABLE, events=frame(f"{HEAD}\n1 0 1 10 . . . 12 2 iv\n1 1 0 . . . . . . iv"), outputs=["conc"])
    assert rows.attrs["notes"] == ("row 2: SS 2 adds responses, which do not add up in 'small' (E28)",)
    made = study_from_frame(frame(f"{HEAD} DV\n1 0 1 10 . . . 12 2 iv .\n1 1 0 . . . . . . iv 1"), **UNITS)
    assert made.notes == ("row 2: SS 2 adds responses, which is right for models in which they add up (E28)",)
    assert not superposes(build_system(SATURABLE, ("conc",), ("iv",)))
    assert not superposes(build_system(TURNOVER, ("effect",), ("iv",)))
    assert superposes(build_system(LINEAR, ("conc",), ("iv",)))


def test_e30_ss_3_is_read_as_1_with_a_notice() -> None:
    rows = simulate(one_compartment(), events=frame(f"{HEAD}\n1 0 1 100 . . . 12 3 iv\n1 0 0 . . . . . . iv"))
    assert rows["conc"].tolist() == pytest.approx([2.8620255214], **near)
    assert rows.attrs["notes"] == ("row 2: SS 3 is read as SS 1 (E30)",)


def test_e31_a_steady_state_near_saturation_is_found_without_counting_doses() -> None:
    """At 99.7 % of what can be removed it takes thousands of doses; the balance of one interval is the exact answer."""
    found = run(SATURABLE, Regimen((steady(299.0),)), [0.0, 12.0 - 1e-9], ("conc",), values={"F": 0.8, "L": 0.0})
    high, low = found["conc"]
    # of dC/dt = -Vmax/V C/(Km + C): Km ln(high/low) + high - low = Vmax/V tau, and high - low = F dose/V
    assert 2 * np.log(high / low) + high - low == pytest.approx(20 / 50 * 12, rel=1e-8)
    assert high - low == pytest.approx(0.8 * 299 / 50, rel=1e-7)


def test_e31_what_only_collects_begins_again_and_is_named() -> None:
    assert collecting(build_system(SATURABLE, ("gone",), ("iv",))) == ("gone",)
    rows = simulate(
        SATURABLE, events=frame(f"{HEAD}\n1 3 1 60 . . . 12 1 iv\n1 3 0 . . . . . . iv\n1 15 0 . . . . . . iv")
    )
    assert rows["gone"].tolist() == pytest.approx([0.0, 48.0], rel=1e-5)
    expected = "row 2: no steady state of what only collects, 'gone': it begins again there (E31)"
    assert rows.attrs["notes"] == (expected,)


def test_e31_what_is_conserved_keeps_its_start_value() -> None:
    found = run(BOUND, Regimen((steady(30.0),)), TIMES)
    np.testing.assert_allclose(found["free"] + found["bound"], 20.0, rtol=1e-8)
    assert found["bound"][0] > 1.0


def test_e31_a_turnover_that_starts_elsewhere_is_found() -> None:
    doses = [dose(100.0, at=12.0 * k) for k in range(41)]
    limit = run(TURNOVER, Regimen(tuple(doses)), 480.0 + TIMES)["effect"]
    np.testing.assert_allclose(run(TURNOVER, Regimen((steady(),)), TIMES)["effect"], limit, rtol=1e-7)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            steady(400.0),
            r"no steady state before the dose of time 0 \(E31\): 'central' still changes by 80 in an interval of 12",
        ),
        (
            dose(0.0, rate=30.0, steady="constant"),
            r"no steady state before the dose of time 0 \(E31\): 'central' still changes by 10 per unit of time",
        ),
    ],
)
def test_e31_no_steady_state_is_a_labelled_failure(one: Dose, message: str) -> None:
    """More than can be removed: 320 of at most 240 mg in 12 h, 30 of at most 20 mg/h."""
    path = run(SATURABLE, Regimen((one,)), TIMES, ("conc",)).path
    assert not path.ok
    assert np.all(np.isnan(path.states))
    assert re.fullmatch(message, path.failure), path.failure


def test_e31_a_failure_in_a_table_names_subject_and_row() -> None:
    first = "7 0 1 10 . . . . . iv\n7 5 1 100 . . . 12 1 oral\n7 6 0 . . . . . . iv"
    table = f"{HEAD}\n{first}\n8 0 1 10 . . . . . iv\n8 0 0 . . . . . . iv"
    rows = simulate(one_compartment(), events=frame(table), outputs=["conc"], parameters={"CL": 0.0})
    (failure,) = rows.attrs["failures"]
    reason = "no steady state before the dose of time 5 (E31): 'central' still changes by 100 in an interval of 12"
    assert failure == f"subject '7', row 3: {reason}"
    assert np.isnan(rows["conc"][0])
    assert rows["conc"][1] == pytest.approx(0.2)


def test_e31_a_rate_that_grows_with_the_time_has_no_steady_state() -> None:
    drifting = model(
        {"central": "-k*(1 + t/c)*central"}, (parameter("k", 0.1, "1/h"), parameter("c", 100.0, "h")),
        routes=(route("iv", {"central": "1"}),),
    )  # fmt: skip
    path = run(drifting, Regimen((steady(at=24.0),)), 24.0 + TIMES).path
    assert path.failure == (
        "no steady state before the dose of time 24 (E31): the rates name the time t and differ from one interval to "
        "the next"
    )


def test_e31_switches_are_those_in_force_at_the_time_of_the_dose() -> None:
    halved = model(
        {"central": "-k*where(t < T, 1, 0.5)*central"}, (parameter("k", 0.2, "1/h"), parameter("T", 10.0, "h")),
        routes=(route("iv", {"central": "1"}),),
    )  # fmt: skip
    found = run(halved, Regimen((steady(at=24.0),)), [24.0, 36.0])["central"]
    assert found == pytest.approx([143.101276070, 43.101276070], **near)
    found = run(halved, Regimen((steady(),)), [0.0], values={"k": 0.1})["central"]
    assert found == pytest.approx([143.101276070], **near)


def test_e31_growth_that_no_dose_holds_is_a_failure() -> None:
    growing = model({"cells": "g*cells"}, (parameter("g", 0.1, "1/h"),), routes=(route("iv", {"cells": "1"}),))
    failure = run(growing, Regimen((steady(),)), TIMES).path.failure
    assert failure == "no steady state before the dose of time 0 (E31): doses would lead away from it"


# ---- words and tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steady": "often"}, "steady 'often'; expected '', 'reached', 'added', 'constant'"),
        (
            {"steady": "reached"},
            "steady state of doses every 0 h; expected an interval above 0 (E19). Try: every=12.0, in hours",
        ),
        (
            {"every": 12.0},
            "every = 12 h without a steady state (E19). Try: steady='reached', or bolus(..., every='12 h', doses=4)",
        ),
        (
            {"amount": 5.0, "steady": "constant", "rate": 5},
            "constant infusion of 5 mg at 5 mg/h; expected amount 0, every 0, a rate above 0 (E27). Try: rate=10.0",
        ),
    ],
)
def test_an_impossible_steady_state_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DosingError) as caught:
        dose(**options)
    assert str(caught.value) == message


def test_a_regimen_says_what_was_before_its_doses() -> None:
    regimen = Regimen(
        (steady(), steady(at=12.0, steady="added"), dose(0.0, at=24.0, rate=5.0, steady="constant"), dose(at=30.0))
    )
    assert str(regimen).splitlines() == [
        "Regimen: 4 doses",
        "  #  time           amount  route  over   before",
        "  1  0 h            100 mg  iv     bolus  steady state, every 12 h",
        "  2  12 h           100 mg  iv     bolus  steady state added, every 12 h",
        "  3  24 h (1 d)     0 mg    iv            steady state of an infusion at 5 mg/h",
        "  4  30 h (1.25 d)  100 mg  iv     bolus",
    ]


def test_a_study_with_steady_states_comes_back_from_both_tables() -> None:
    rows = [row for rows, _, _ in NUMBERS.values() for row in rows]
    lines = [f"{HEAD} DV"]
    for number, row in enumerate(rows, 1):
        subject = row.split(maxsplit=1)[1].replace("1 0 4", "1 0 1")
        lines += [f"{number} {subject} .", f"{number} 40 0 . . . . . . iv 3"]
    made = study_from_frame(frame("\n".join(lines)), **UNITS)
    for back in (study_from_frame(made.to_nonmem()), study_from_frame(made.to_tidy(), made.doses_frame())):
        assert back.digest == made.digest
        assert all(back.subject(subject.id).regimen == subject.regimen for subject in made.subjects)


# ---- the exact engine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_14_1_hold_to_every_printed_digit_with_the_exact_engine(case: str) -> None:
    rows, values, expected = NUMBERS[case]
    table = frame("\n".join([f"{HEAD} DV", *(f"{row} ." for row in rows), "1 40 0 . . . . . . iv 1"]))
    (subject,) = study_from_frame(table, **UNITS).subjects
    doses = administered(one_compartment(), subject.regimen)
    found = run(one_compartment(), doses, list(expected), ("conc",), values=values, engine="exact", tolerance=1e-10)
    np.testing.assert_allclose(found["conc"], list(expected.values()), rtol=0, atol=6e-11)


@pytest.mark.parametrize("case", ["E21 oral", "E24, E25 both", "E7 modelled rate"])
def test_l9_both_engines_agree_on_a_steady_state_and_its_derivatives(case: str) -> None:
    options, values = CASES[case]
    doses, by = Regimen((dose(30.0), steady(at=2.0, **options))), ("KA", "k", "k12", "k21", "F", "L", "D", "R")
    one, other = (run(LINEAR, doses, TIMES, ("conc",), by=by, values=values, engine=e) for e in ("exact", "stiff"))
    for name in ("central", "deep"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6, atol=1e-9 * np.max(other[name]))
        for each in by:
            size = 1e-6 * np.max(np.abs(other.slope(name, each))) + 1e-9
            np.testing.assert_allclose(one.slope(name, each), other.slope(name, each), rtol=1e-6, atol=size)
