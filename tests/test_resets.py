"""Resets (EVID 3 and 4, E32 to E34): laws, numbers of section 14.1 of the conventions, derivatives, tables and fits."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import TEXT, conc, frame, loaded, one_compartment
from mscpkpd.administration import administered
from mscpkpd.data import study_from_frame
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.system import build_system
from mscpkpd.engine.timeline import timeline
from mscpkpd.errors import DosingError
from mscpkpd.problem import pose
from mscpkpd.simulation import simulate
from reference.runs import run
from reference.small_models import model, parameter, route

UNITS = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
near = {"rel": 1e-6, "abs": 1e-12}
few = settings(max_examples=15, deadline=None)
TIMES = np.array([0.0, 1.3, 5.2, 8.0, 8.7, 11.9, 30.0])
# something is made from the start on, and not at balance there: a reset is seen without any dose
DRIFT = model(
    {"depot": "-KA*depot", "central": "kin + KA*depot - Vmax*central/(Km + central)"},
    (parameter("KA", 1.5, "1/h"), parameter("kin", 2.0, "mg/h"), parameter("Vmax", 12.0, "mg/h"),
     parameter("Km", 40.0, "mg"), parameter("base", 30.0, "mg"), parameter("F", 0.8), parameter("L", 0.5, "h"),
     parameter("D", 3.0, "h")),
    routes=(route("oral", {"depot": "F"}, lag="L"), route("iv", {"central": "F"}, lag="L", duration="D")),
    starts={"central": "base"},
)  # fmt: skip


def dose(at: float = 0.0, amount: float = 100.0, by: str = "oral", **more: Any) -> Dose:
    return Dose(at, amount, "mg", by, **more)


def reset(at: float) -> Dose:
    return dose(at, 0.0, reset=True)


def solved(*doses: Dose, times: Any = TIMES, **more: Any) -> np.ndarray:
    return run(DRIFT, Regimen(doses), times, **more)["central"]


# ---- laws -----------------------------------------------------------------------------------------------------------

some_doses = st.lists(
    st.tuples(st.integers(0, 15).map(lambda n: n / 2), st.sampled_from(["oral", "iv"]), st.sampled_from([30.0, 80.0])),
    max_size=4,
)


@few
@given(some_doses)
def test_e32_reset_then_nothing_is_the_beginning_again(rows: list[tuple[float, str, float]]) -> None:
    doses = sorted((dose(at, amount, by) for at, by, amount in rows), key=lambda each: each.time)
    after = solved(*doses, reset(8.0), times=8.0 + TIMES)
    np.testing.assert_allclose(after, solved(), rtol=1e-7)


@few
@given(some_doses, some_doses)
def test_e33_what_follows_a_reset_knows_nothing_of_what_was_before(
    before: list[tuple[float, str, float]], after: list[tuple[float, str, float]]
) -> None:
    first = sorted((dose(at, amount, by) for at, by, amount in before), key=lambda each: each.time)
    second = sorted((dose(at, amount, by) for at, by, amount in after), key=lambda each: each.time)
    together = Regimen((*first, reset(8.0))) + Regimen(tuple(second)).shifted("8 h")
    found = run(DRIFT, together, 8.0 + TIMES)["central"]
    np.testing.assert_allclose(found, solved(*second), rtol=1e-7)


def test_e32_what_is_before_a_reset_is_as_without_it() -> None:
    times = [0.0, 1.0, 7.999]
    np.testing.assert_allclose(solved(dose(), reset(8.0), times=times), solved(dose(), times=times), rtol=1e-8)


@pytest.mark.parametrize(
    "doses",
    [
        pytest.param((dose(), dose(3.0, by="iv"), reset(8.0)), id="E32 alone"),
        pytest.param((dose(), dose(6.0, by="iv"), dose(8.0, 50.0, reset=True)), id="E33 with a lagged dose"),
        pytest.param((dose(7.8), dose(8.0, 50.0, "iv", reset=True), reset(11.0)), id="E32 twice, a dose pending"),
        pytest.param((dose(), dose(8.0, 50.0, steady="reached", every=6.0, reset=True)), id="E29 with a steady state"),
    ],
)
def test_l8_derivatives_go_through_a_reset(doses: tuple[Dose, ...]) -> None:
    """G2: by lag, F, duration, start value and rate constants, against central differences of fourth order."""
    by = ("KA", "kin", "Vmax", "Km", "base", "F", "L", "D")
    found, base = run(DRIFT, Regimen(doses), TIMES, by=by), {each.name: each.value for each in DRIFT.parameters}
    for name in by:
        h = 1e-3 * base[name]

        def at(shift: float, name: str = name) -> np.ndarray:
            return solved(*doses, values={name: base[name] + shift}, tolerance=1e-11)

        expected = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        size = 2e-6 * np.max(np.abs(expected))
        np.testing.assert_allclose(found.slope("central", name), expected, rtol=1e-5, atol=size, err_msg=name)


# ---- numbers of 14.1 and rules --------------------------------------------------------------------------------------

HEAD = "ID TIME EVID AMT DUR ADDL II CMT DV"
E32 = f"{HEAD}\n1 0 1 100 . 1 12 iv .\n1 6 3 . . . . 1 .\n" + "".join(f"1 {t} 0 . . . . iv 1\n" for t in (6, 12, 20))
E33 = f"{HEAD}\n1 0 1 100 . 1 12 iv .\n1 6 4 50 . . . iv .\n1 6 0 . . . . iv 1\n1 12 0 . . . . iv 1"
CASES = {
    "E32 bolus, ADDL 1, EVID 3 at 6": (E32, {}, [0.0, 0.0, 0.0]),
    "E33 the same with EVID 4, AMT 50": (E33, {}, [1.0, 0.5488116361]),
    "E33 with lag 3": (E33, {"L": 3.0}, [0.0, exp(-0.3)]),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_of_14_1_hold_to_1e_6_in_a_table_and_in_a_fit(case: str) -> None:
    text, values, expected = CASES[case]
    assert conc(text, **values) == pytest.approx(expected, **near)
    chosen = one_compartment().fix(**values).with_prior("CL", "lognormal(5, 0.3)")
    problem = pose(chosen, study_from_frame(frame(text), **UNITS), free=["CL"])
    found = problem.predict(np.array([5.0]), jacobian=True)
    assert found.value == pytest.approx(expected, **near)
    above, below = (problem.predict(np.array([5.0 + h])).value for h in (1e-3, -1e-3))
    assert found.jacobian[:, 0] == pytest.approx((above - below) / 2e-3, rel=1e-5, abs=1e-8)


def test_e3_a_row_before_a_reset_of_its_time_is_of_the_time_before_in_a_fit_too() -> None:
    text = (
        "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 5 0 . iv 1\n1 5 3 . iv .\n1 5 0 . iv 1\n1 5 1 50 iv .\n1 5 0 . iv 1"
    )
    expected = [2 * exp(-0.5), 0.0, 1.0]
    assert conc(text) == pytest.approx(expected, **near)
    made = study_from_frame(frame(text), **UNITS)
    assert [record.pre_dose for record in made.records] == [2, 1, 0]
    problem = pose(one_compartment().with_prior("CL", "lognormal(5, 0.3)"), made, free=["CL"])
    assert problem.predict(np.array([5.0])).value == pytest.approx(expected, **near)


def test_e32_infusions_end_and_lagged_doses_are_dropped_in_a_fit_too() -> None:
    text = f"{HEAD}\n1 0 1 100 10 . . iv .\n1 1 1 100 . . . oral .\n1 2 3 . . . . iv .\n1 8 0 . . . . iv 1"
    problem = pose(
        one_compartment().fix(L=3.0).with_prior("CL", "lognormal(5, 0.3)"), study_from_frame(frame(text), **UNITS),
        free=["CL"],
    )  # fmt: skip
    assert problem.predict(np.array([5.0])).value.tolist() == [0.0]


def test_d2_a_study_counts_on_where_time_restarts() -> None:
    first = "1 0 1 100 iv .\n1 10 0 . iv 1\n1 2 4 50 iv .\n1 12 0 . iv 1"
    text = f"ID TIME EVID AMT CMT DV\n{first}\n2 0 1 10 iv .\n2 1 0 . iv 1"
    assert conc(text) == pytest.approx([2 * exp(-1), exp(-1), 0.2 * exp(-0.1)], **near)
    made = study_from_frame(frame(text), **UNITS)
    assert made.notes == ("row 4: time of subject '1' restarts and is counted on, 9 h later (D2)",)
    assert [record.time for record in made.records] == [10.0, 21.0, 1.0]
    problem = pose(one_compartment().with_prior("CL", "lognormal(5, 0.3)"), made, free=["CL"])
    assert problem.predict(np.array([5.0])).value == pytest.approx(conc(text), **near)


def test_e32_a_subject_without_a_dose_is_reset_too() -> None:
    started = TEXT.replace('central = { unit = "mg", about', 'central = { unit = "mg", start = "R*D", about')
    text = "ID TIME EVID AMT CMT DV\n1 0 2 . 1 .\n1 5 3 . 1 .\n1 6 0 . 1 1\n2 0 1 100 iv .\n2 1 0 . iv 1"
    expected = [2 * exp(-0.1), 4 * exp(-0.1)]
    assert conc(text, loaded(started)) == pytest.approx([2.0, *expected], **near)
    made = study_from_frame(frame(text), **UNITS)
    assert made.subject("1").regimen.doses == (Dose(5.0, 0.0, "mg", "iv", reset=True),)
    problem = pose(loaded(started).with_prior("CL", "lognormal(5, 0.3)"), made, free=["CL"])
    assert problem.predict(np.array([5.0])).value == pytest.approx(expected, **near)


def test_e34_parameters_of_a_subject_survive_a_reset() -> None:
    text = "ID TIME EVID AMT CMT CL\n1 0 1 100 iv 10\n1 5 4 50 iv 10\n1 6 0 . iv 10"
    assert conc(text) == pytest.approx([exp(-0.2)], **near)


def test_e32_switches_of_a_model_survive_a_reset() -> None:
    later = model(
        {"central": "-k*where(t < T, 1, 2)*central"}, (parameter("k", 0.1, "1/h"), parameter("T", 3.0, "h")),
        routes=(route("iv", {"central": "1"}),),
    )  # fmt: skip
    found = run(later, Regimen((dose(by="iv"), dose(5.0, by="iv", reset=True))), [5.0, 6.0], by=("T",))
    assert found["central"] == pytest.approx([100.0, 100 * exp(-0.2)], **near)
    assert found.slope("central", "T").tolist() == [0.0, 0.0]


# ---- words and tables -----------------------------------------------------------------------------------------------


def test_a_reset_is_a_change_that_never_moves_and_nothing_before_reaches_beyond_it() -> None:
    system = build_system(DRIFT, ("central",), ("iv", "oral"))
    values = np.array(system.nominal)
    doses = Regimen((dose(), dose(7.8), dose(7.0, by="iv"), dose(8.0, 50.0, reset=True)))
    changes = timeline(system, doses, values, np.arange(len(values)))
    assert [(change.time, change.reset) for change in changes] == [
        (0.5, False),
        (7.5, False),
        (8.0, True),
        (8.5, False),
    ]
    assert not np.any(changes[2].d_time)
    assert not np.any(changes[2].jump)


def test_a_reset_in_words() -> None:
    assert str(Regimen((dose(), reset(8.0), dose(9.0, reset=True)))).splitlines() == [
        "Regimen: 3 doses",
        "  #  time  amount  route  over   before",
        "  1  0 h   100 mg  oral   bolus",
        "  2  8 h   0 mg    oral          reset",
        "  3  9 h   100 mg  oral   bolus  reset",
    ]
    with pytest.raises(DosingError, match="dose of 0 mg; expected a finite amount above 0"):
        dose(amount=0.0)


def test_a_study_with_resets_comes_back_from_both_tables(tmp_path: Any) -> None:
    before = "1 0 1 100 iv A .\n1 5 0 . iv . 1\n1 5 3 . iv . .\n1 5 0 . iv . 1\n1 5 1 50 oral B ."
    text = f"ID TIME EVID AMT CMT LOT DV\n{before}\n1 6 4 50 iv B .\n1 9 0 . iv . 1"
    made = study_from_frame(frame(text), **UNITS)
    assert (
        str(made).splitlines()[2]
        == "  doses: 3 doses of 100 mg iv, 50 mg oral, 50 mg iv at 0 to 6 h (3 times), 2 resets (1 subject)"
    )
    assert made.to_nonmem()["EVID"].tolist() == [1, 0, 3, 0, 1, 4, 0]
    doses = tmp_path / "doses.csv"
    made.doses_frame().to_csv(doses, index=False)
    back = (
        study_from_frame(made.to_nonmem()),
        study_from_frame(made.to_tidy(), made.doses_frame()),
        study_from_frame(made.to_tidy(), pd.read_csv(doses)),
    )
    for one in back:
        assert one.digest == made.digest
        assert one.subject("1").regimen == made.subject("1").regimen
        assert [record.pre_dose for record in one.records] == [2, 1, 0]


def test_sbml_events_cannot_say_reset_or_steady_state(tmp_path: Any) -> None:
    with pytest.raises(DosingError) as caught:
        DRIFT.to_sbml(tmp_path / "drift.xml", regimen=Regimen((dose(), reset(8.0))))
    assert str(caught.value) == (
        "dose 2 at 8 h comes after a reset, which an SBML event cannot say. Try: doses without reset and steady state"
    )


def test_e36_named_events_of_a_regimen_need_a_state_and_no_sbml_event_says_them(tmp_path: Any) -> None:
    named = Regimen((dose(), dose(3.0, 50.0, "central", event="replace")))
    assert administered(DRIFT, named).doses[1].event == "replace"
    with pytest.raises(DosingError) as caught:
        administered(DRIFT, Regimen((dose(3.0, 50.0, "iv", event="multiply"),)))
    assert str(caught.value).startswith("'multiply' of 'iv', which is no state (E36). Try: one of ")
    with pytest.raises(DosingError, match=r"'replace' of 'central' at 3 h is no dose \(E36\)"):
        DRIFT.to_sbml(tmp_path / "drift.xml", regimen=named)


# ---- tables of everything -------------------------------------------------------------------------------------------

quarters = st.integers(0, 80).map(lambda n: n / 4)


@st.composite
def acting_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A dose, reset or steady state of any kind."""
    route = draw(st.sampled_from(["iv", "oral", "slow", "thaw"]))
    timed = draw(st.sampled_from([{}, {"DUR": 1.5}, {"DUR": 9.0}, {"RATE": 25.0}]))
    again = draw(st.sampled_from([{}, {"ADDL": 2, "II": 2.5}, {"SS": 1, "II": 6.0}, {"SS": 2, "II": 4.0, "ADDL": 1}]))
    evid = draw(st.sampled_from([1, 1, 1, 3, 4]))
    if evid == 3:
        return {"EVID": 3, "TIME": draw(quarters), "CMT": route}
    constant = {"SS": 1, "RATE": 5.0, "AMT": 0} if draw(st.integers(0, 7)) == 0 else {}
    given = {"AMT": draw(st.integers(10, 200)), **timed, **again}
    return {"EVID": evid, "TIME": draw(quarters), "CMT": route, **(constant or given)}


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = draw(st.lists(acting_rows(), min_size=1, max_size=5))
    seen = [{"EVID": 0, "TIME": time, "CMT": "iv"} for time in draw(st.lists(quarters, min_size=1, max_size=5))]
    return sorted([*rows, *seen], key=lambda row: row["TIME"])


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["ID", "TIME", "EVID", "AMT", "RATE", "DUR", "ADDL", "II", "SS", "CMT", "DV"]
    made = [{**dict.fromkeys(columns), "ID": 1, "DV": 1 if row["EVID"] == 0 else None, **row} for row in rows]
    return pd.DataFrame(made, columns=columns)


def at_rows(rows: list[dict[str, Any]]) -> np.ndarray:
    values = {"F": 0.7, "L": 0.5}
    return simulate(one_compartment(), events=table_of(rows), parameters=values, outputs=["conc"])["conc"].to_numpy()


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.all(np.abs(one - other) <= 1e-6 * np.abs(other) + 1e-8 * np.max(np.abs(other), initial=1e-6)))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_a_fit_sees_what_a_simulation_of_the_table_sees(rows: list[dict[str, Any]]) -> None:
    """Two ways that share the engine alone: episodes row by row, and one solve of a study."""
    chosen = one_compartment().fix(F=0.7, L=0.5).with_prior("CL", "lognormal(5, 0.3)")
    problem = pose(chosen, study_from_frame(table_of(rows), **UNITS), free=["CL"])
    assert agree(problem.predict(np.array([5.0])).value, at_rows(rows))


@few
@given(tables(), st.integers(-80, 400))
def test_l2_shifting_all_times_moves_the_result_with_resets_and_steady_states(
    rows: list[dict[str, Any]], by: int
) -> None:
    assert agree(at_rows([{**row, "TIME": row["TIME"] + by / 4} for row in rows]), at_rows(rows))


@few
@given(tables(), quarters)
def test_an_observation_more_changes_nothing_else(rows: list[dict[str, Any]], time: float) -> None:
    place = next((k for k, row in enumerate(rows) if row["TIME"] > time), len(rows)) or 1
    more = [*rows[:place], {"EVID": 0, "TIME": max(time, rows[0]["TIME"]), "CMT": "iv"}, *rows[place:]]
    kept = [row is not more[place] for row in more if row["EVID"] == 0]
    assert agree(at_rows(more)[kept], at_rows(rows))
