"""Event tables, rule by rule: the name of each test begins with the rule of the conventions that it holds us to.

Closed forms are those of section 14.1 of the conventions: one compartment, CL 5, V 50, dose 100.
"""

from __future__ import annotations

from math import exp

import numpy as np
import pandas as pd
import pytest

from event_models import TEXT, conc, frame, loaded, one_compartment
from mscpkpd.data import study_from_frame
from mscpkpd.errors import DataError, DosingError, UsageError
from mscpkpd.modelfile import load_model
from mscpkpd.noncompartmental import nca
from mscpkpd.observations import bind
from mscpkpd.problem import pose
from mscpkpd.simulation import simulate

UNITS = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
K = 0.1
near = {"rel": 1e-6, "abs": 1e-12}


def study(text: str, **options: object):
    return study_from_frame(frame(text), **{**UNITS, **options})


# ---- closed forms (14.1) ---------------------------------------------------------------------------------------------

CLOSED = {
    "E5 oral": (
        "ID TIME EVID AMT CMT\n1 0 1 100 oral\n1 1 0 . oral", {"CL": 1.1, "V": 20.0, "KA": 1.5}, [3.7544376530],
    ),
    "E6 RATE 50, F 0.5": (
        "ID TIME EVID AMT RATE CMT\n1 0 1 100 50 iv\n1 1 0 . . iv\n1 2 0 . . iv", {"F": 0.5},
        [0.9516258196, 0.8610666496],
    ),
    "E8 modelled duration 2, F 0.5": (
        "ID TIME EVID AMT RATE CMT\n1 0 1 100 -2 slow\n1 1 0 . . slow\n1 2 0 . . slow", {"F": 0.5},
        [0.4758129098, 0.9063462346],
    ),
    "E9 DUR 2, F 0.5": (
        "ID TIME EVID AMT DUR CMT\n1 0 1 100 2 iv\n1 1 0 . . iv\n1 2 0 . . iv", {"F": 0.5},
        [0.4758129098, 0.9063462346],
    ),
    "E7 modelled rate 50, F 0.5, as E6": (
        "ID TIME EVID AMT RATE CMT\n1 0 1 100 -1 pump\n1 1 0 . . iv\n1 2 0 . . iv", {"F": 0.5, "R": 50.0},
        [0.9516258196, 0.8610666496],
    ),
    "E11 RATE 50, v 0.8": (
        "ID TIME EVID AMT RATE VIAB CMT\n1 0 1 100 50 0.8 thaw\n1 2 0 . . . thaw", {}, [1.4501539754],
    ),
    "E15, E17, E2 lag 3, ADDL 1": (
        "ID TIME EVID AMT ADDL II CMT\n1 0 1 100 1 12 iv\n1 12 0 . . . iv\n1 15 0 . . . iv", {"L": 3.0},
        [0.8131393195, 2.6023884238],
    ),
    "E32 reset": (
        "ID TIME EVID AMT ADDL II CMT\n1 0 1 100 1 12 iv\n1 6 3 . . . 1\n1 6 0 . . . 1\n1 12 0 . . . 1\n1 20 2 . . . 1",
        {}, [0.0, 0.0, 0.0],
    ),
    "E33 reset and dose": (
        "ID TIME EVID AMT ADDL II CMT\n1 0 1 100 1 12 iv\n1 6 4 50 . . iv\n1 6 0 . . . iv\n1 12 0 . . . iv", {},
        [1.0, 0.5488116361],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOSED)
def test_closed_forms_hold_to_1e_6(case: str) -> None:
    text, values, expected = CLOSED[case]
    assert conc(text, **values) == pytest.approx(expected, **near)


# ---- data rules ------------------------------------------------------------------------------------------------------


def test_d1_subjects_that_stand_apart_need_regroup() -> None:
    text = "ID TIME AMT CMT DV\n1 0 100 iv .\n2 0 100 iv .\n1 1 . iv 5\n2 1 . iv 6"
    with pytest.raises(DataError, match=r"'1' stand apart.*\(D1\)"):
        study(text)
    assert [record.value for record in study(text, regroup=True).records] == [5.0, 6.0]


def test_d2_time_restarts_at_a_reset_alone() -> None:
    text = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 10 0 . iv\n1 0 {} 50 iv\n1 10 0 . iv"
    assert conc(text.format(4)) == pytest.approx([2 * exp(-1), exp(-1)], **near)
    with pytest.raises(DataError, match=r"time 0 after 10.*\(D2\)"):
        conc(text.format(1))


def test_d3_dv_counts_where_evid_and_mdv_are_0() -> None:
    made = study("ID TIME EVID AMT CMT DV MDV\n1 0 1 100 iv 0 1\n1 1 0 . iv 5 1\n1 2 0 . iv 6 0\n1 3 2 . iv 7 1")
    assert [record.value for record in made.records] == [6.0]


def test_d4_an_observation_without_value_is_predicted_and_has_no_likelihood() -> None:
    text = "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 1 0 . iv .\n1 2 0 . iv 5"
    assert len(study(text)) == 1
    assert len(conc(text)) == 2


def test_d5_without_evid_a_row_with_amt_is_a_dose() -> None:
    made = study("ID TIME AMT CMT DV\n1 0 100 iv .\n1 1 0 iv 5")
    assert [len(subject.regimen) for subject in made.subjects] == [1]
    assert len(made) == 1


@pytest.mark.parametrize(("cmt", "expected"), [("central", 2.0), ("1", 2.0), ("2", 0.0), ("iv", 1.0), ("depot", 0.0)])
def test_d6_a_dose_goes_to_a_route_else_a_state_else_the_nth_state(cmt: str, expected: float) -> None:
    text = f"ID TIME EVID AMT CMT\n1 0 1 100 {cmt}\n1 0 0 . iv"
    assert conc(text, F=0.5) == pytest.approx([expected])  # E12: a state has F = 1


def test_d6_outputs_by_dvid_else_by_cmt() -> None:
    text = "ID TIME EVID AMT CMT DVID DV\n1 0 1 100 1 . .\n1 1 0 . 9 2 5"
    assert study(text, outputs={2: "conc"}).outputs == ("conc",)
    assert study("ID TIME EVID AMT CMT DV\n1 0 1 100 1 .\n1 1 0 . 2 5", outputs={2: "c2"}).outputs == ("c2",)
    assert study(text.replace(" 2 5", " conc 5"), outputs=None).outputs == ("conc",)


def test_d6_a_number_that_no_state_has_is_refused_when_the_model_is_known() -> None:
    made = study("ID TIME EVID AMT CMT DV\n1 0 1 100 7 .\n1 1 0 . 7 5")
    with pytest.raises(DataError, match=r"CMT 7 does not exist: 'one' has 2 states \(D6\)"):
        bind(one_compartment(), made)


@pytest.mark.parametrize("missing", [".", "NA", ""])
def test_d7_three_ways_to_say_missing(missing: str) -> None:
    table = pd.DataFrame({"ID": ["1", "1"], "TIME": ["0", "1"], "AMT": ["100", missing], "CMT": ["iv", "iv"],
                          "DV": [missing, "5"]})  # fmt: skip
    assert len(study_from_frame(table, **UNITS)) == 1


def test_d7_cmt_may_be_absent_with_one_place_to_go() -> None:
    text = "ID TIME EVID AMT\n1 0 1 100\n1 0 0 ."
    with pytest.raises(DataError, match=r"no CMT, and 'one' has 6 routes \(D7\)"):
        conc(text)
    alone = "\n".join(
        line for line in TEXT.splitlines() if not line.startswith(("thaw", "slow", "pump", "oral", "split"))
    )
    assert conc(text, loaded(alone)) == pytest.approx([2.0])


def test_d13_a_model_in_days_reads_days_and_converts_hours() -> None:
    days = loaded(TEXT.replace('time = "h"', 'time = "d"').replace('"L/h"', '"L/d"').replace('"1/h"', '"1/d"').replace(
        'unit = "h"', 'unit = "d"').replace('"mg/h"', '"mg/d"'))  # fmt: skip
    text = "ID TIME EVID AMT RATE ADDL II CMT\n1 0 1 100 50 2 3 iv\n1 6 0 . . . . iv"
    scaled = frame(text.replace("50 2 3", "50 2 72").replace("1 6 0", "1 144 0")).rename(
        columns={"TIME": "TIME [h]", "AMT": "AMT [mg]", "RATE": "RATE [mg/d]"}
    )
    assert conc(text, days) == conc(text)
    assert simulate(days, events=scaled)["conc"].tolist() == pytest.approx(conc(text), **near)


def test_d13_units_of_the_header_are_converted() -> None:
    text = "ID TIME AMT RATE CMT\n1 0 0.1 0.05 iv\n1 0.0416666666667 . . iv"
    table = frame(text).rename(columns={"TIME": "TIME [d]", "AMT": "AMT [g]", "RATE": "RATE [g/h]"})
    assert simulate(one_compartment(), events=table)["conc"].tolist() == pytest.approx([10 * (1 - exp(-0.1))], **near)


def test_d15_order_and_unknown_columns_are_kept() -> None:
    made = study("ID TIME AMT CMT DV MOOD\n2 0 100 iv . good\n2 1 . iv 5 bad\n1 0 100 iv . good\n1 1 . iv 6 good")
    assert [subject.id for subject in made.subjects] == ["2", "1"]
    assert [dict(record.extra)["mood"] for record in made.records] == ["bad", "good"]
    assert made.subject("1").covariates == (("mood", "good"),)
    assert any("MOOD varies within a subject" in note for note in made.notes)


def test_d12_a_change_of_occasion_without_a_dose_is_said() -> None:
    made = study("ID TIME AMT CMT DV OCC\n1 0 100 iv . 1\n1 1 . iv 5 1\n1 2 . iv 5 2")
    assert made.notes == ("row 4: OCC changes without a dose, as in 1 row (D12)",)
    assert [record.occasion for record in made.records] == ["1", "2"]
    additional = (
        "ID TIME AMT ADDL II CMT DV OCC\n1 0 100 1 8 iv . 1\n1 1 . . . iv 5 1\n1 8 . . . iv 5 2\n1 9 . . . iv 4 2"
    )
    assert not study(additional).notes, "an additional dose is one"
    assert not study_from_frame(study(additional).to_nonmem()).notes, "rows of doses need not state it"


# ---- events ----------------------------------------------------------------------------------------------------------


def test_e1_duplicates_and_order_are_kept() -> None:
    made = study("ID TIME AMT CMT DV\n1 0 100 iv .\n1 0 100 iv .\n1 1 . iv 5\n1 1 . iv 5\n1 1 . iv 4")
    assert [record.value for record in made.records] == [5.0, 5.0, 4.0]
    assert len(made.subject("1").regimen) == 2


def test_e2_an_observation_at_an_additional_dose_contains_it_whatever_the_rounding() -> None:
    text = "ID TIME EVID AMT ADDL II CMT\n1 0.1 1 100 2 0.1 iv\n1 0.3 0 . . . iv"
    assert 0.1 + 2 * 0.1 > 0.3
    assert conc(text) == pytest.approx([2 * (1 + exp(-0.01) + exp(-0.02))], **near)


def test_e3_a_row_before_the_dose_of_its_time_is_of_the_time_before() -> None:
    text = "ID TIME EVID AMT CMT\n1 0 0 . iv\n1 0 1 100 iv\n1 0 0 . iv\n1 12 0 . iv\n1 12 1 100 iv\n1 12 2 . iv"
    trough = 2 * exp(-1.2)
    assert conc(text) == pytest.approx([0.0, 2.0, trough, trough + 2], **near)


def test_e3_holds_in_a_fit() -> None:
    text = "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 12 0 . iv 1\n1 12 1 100 iv .\n1 12 0 . iv 2\n1 24 0 . iv 1"
    problem = pose(one_compartment().with_prior("CL", "lognormal(5, 0.3)"), study(text), free=["CL"])
    trough = 2 * exp(-1.2)
    expected = [trough, trough + 2, (trough + 2) * exp(-1.2)]
    assert problem.predict(np.array([5.0])).value == pytest.approx(expected, **near)


def test_e3_holds_in_a_non_compartmental_analysis() -> None:
    text = """ID TIME EVID AMT CMT DV
        1 0 0 . iv 0.1
        1 0 1 100 iv .
        1 0 0 . iv 10
        1 4 0 . iv 6
        1 12 0 . iv 3
        1 12 1 100 iv .
        1 12 0 . iv 12
        1 16 0 . iv 7
        1 24 0 . iv 4"""
    table = nca(study(text))
    found = {(row.dose, row.parameter): row.value for row in table.itertuples()}
    assert [found[dose, "c0"] for dose in ("1", "2")] == [10.0, 12.0]
    assert [found[dose, "cmax"] for dose in ("1", "2")] == [10.0, 12.0]
    assert found["1", "auc_tau"] == pytest.approx(4 * 4 / np.log(10 / 6) + 3 * 8 / np.log(2), rel=1e-6)


def test_e4_a_requested_time_is_after_all_records_of_its_time() -> None:
    table = frame("ID TIME EVID AMT CMT\n7 0 0 . iv\n7 0 1 100 iv\n8 0 1 50 iv")
    rows = simulate(one_compartment(), events=table, times=[0, 5], outputs=["conc"])
    assert rows.columns.tolist() == ["ID", "TIME", "EVID", "DVID", "conc"]
    assert rows["ID"].tolist() == [7, 7, 8, 8]
    assert rows["conc"].tolist() == pytest.approx([2, 2 * exp(-0.5), 1, exp(-0.5)], **near)


def test_e5_a_bolus_is_a_jump_whatever_the_route_says() -> None:
    assert conc("ID TIME EVID AMT RATE CMT\n1 0 1 100 0 slow\n1 0 0 . . slow") == pytest.approx([2.0])
    problem = pose(
        one_compartment().with_prior("CL", "lognormal(5, 0.3)"),
        study("ID TIME EVID AMT RATE CMT DV\n1 0 1 100 0 slow .\n1 1 0 . . slow 2"), free=["CL"],
    )  # fmt: skip
    assert problem.predict(np.array([5.0])).value == pytest.approx([2 * exp(-0.1)], **near)


def test_e6_f_lengthens_an_infusion_whose_rate_is_given_in_a_fit_too() -> None:
    made = study("ID TIME EVID AMT RATE CMT DV\n1 0 1 100 50 iv .\n1 1 0 . . iv 2\n1 2 0 . . iv 2")
    problem = pose(one_compartment().with_prior("F", "lognormal(1, 0.5)"), made, free=["F"])
    found = problem.predict(np.array([0.5]), jacobian=True)
    assert found.value == pytest.approx([0.9516258196, 0.8610666496], **near)
    above, below = (problem.predict(np.array([0.5 + h])).value for h in (1e-4, -1e-4))
    # at 1 the infusion has just ended: a longer one adds nothing yet, a shorter one is missed
    assert found.jacobian[1, 0] == pytest.approx((above - below)[1] / 2e-4, rel=1e-5)


def test_e7_e8_a_fit_refuses_a_rate_or_duration_that_the_route_does_not_have() -> None:
    text = "ID TIME EVID AMT RATE CMT DV\n1 0 1 100 {} {} .\n1 1 0 . . iv 2"
    for code, route, message in ((-1, "slow", "no rate .E7"), (-2, "pump", "no duration .E8"), (-2, "1", "E8")):
        with pytest.raises(DataError, match=message):
            bind(one_compartment(), study(text.format(code, route)))
    _, groups = bind(one_compartment(), study(text.format(-2, "slow")))
    assert groups[0].regimen.doses[0].duration == 0.0


def test_e12_f_above_1_and_f_0() -> None:
    text = "ID TIME EVID AMT RATE CMT\n1 0 1 100 {} iv\n1 0.5 0 . . iv"
    assert conc(text.format(0), F=1.5) == pytest.approx([3 * exp(-0.05)], **near)
    assert conc(text.format(0), F=0.0) == conc(text.format(50), F=0.0) == [0.0]


def test_e13_a_rate_is_split_as_the_fractions() -> None:
    text = "ID TIME EVID AMT RATE CMT\n1 0 1 100 50 split\n1 1 0 . . split"
    rows = simulate(one_compartment(), events=frame(text))
    assert rows["depot"].tolist() == pytest.approx([20 / 1.5 * (1 - exp(-1.5))], **near)


def test_e14_infusions_add_up_and_a_bolus_does_not_disturb_them() -> None:
    both = "ID TIME EVID AMT DUR CMT\n1 0 1 100 4 iv\n1 1 1 60 2 iv\n1 2 1 10 0 iv\n1 3 0 . . iv"
    single = [both.splitlines()[k] for k in (1, 2, 3)]
    parts = [conc("\n".join([both.splitlines()[0], line, both.splitlines()[4]])) for line in single]
    assert conc(both) == pytest.approx(np.sum(parts, axis=0), **near)


def test_e15_a_negative_lag_is_refused() -> None:
    with pytest.raises(DosingError, match="lag -1 of route 'iv' is negative.*E15"):
        conc("ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 1 0 . iv", L=-1.0)


def test_e18_additional_doses_repeat_rate_and_viable_fraction() -> None:
    short = "ID TIME EVID AMT RATE VIAB ADDL II CMT\n1 0 1 100 50 0.5 2 8 thaw\n1 20 0 . . . . . thaw"
    long = (
        "ID TIME EVID AMT RATE VIAB CMT\n"
        + "".join(f"1 {t} 1 100 50 0.5 thaw\n" for t in (0, 8, 16))
        + "1 20 0 . . . thaw"
    )
    assert conc(short) == pytest.approx(conc(long), rel=1e-9)


def test_e19_an_interval_that_nothing_uses_is_said() -> None:
    text = "ID TIME AMT II CMT DV\n1 0 100 12 iv .\n1 1 . . iv 5"
    assert study(text).notes == ("row 2: II without ADDL or SS is ignored (E19)",)
    assert simulate(one_compartment(), events=frame(text)).attrs["notes"] == study(text).notes


def test_e20_rows_in_between_do_not_cancel_additional_doses() -> None:
    text = "ID TIME EVID AMT ADDL II CMT\n1 0 1 100 1 12 iv\n1 6 1 100 . . iv\n1 12 0 . . . iv"
    assert conc(text) == pytest.approx([2 * (exp(-1.2) + exp(-0.6) + 1)], **near)


def test_e32_a_reset_ends_infusions_and_drops_lagged_doses() -> None:
    text = "ID TIME EVID AMT DUR CMT\n1 0 1 100 10 iv\n1 1 1 100 . oral\n1 2 3 . . iv\n1 8 0 . . iv"
    assert conc(text, L=3.0) == [0.0]


def test_e32_a_reset_returns_to_the_start_value() -> None:
    started = TEXT.replace('central = { unit = "mg", about', 'central = { unit = "mg", start = "R*D", about')
    text = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 5 3 . iv\n1 5 0 . iv\n1 6 0 . iv"
    assert conc(text, loaded(started)) == pytest.approx([2.0, 2 * exp(-0.1)], **near)


def test_e32_a_model_that_names_the_time_follows_resets_and_refuses_times_before_0() -> None:
    moving = loaded(TEXT.replace('central = "KA*depot', 'central = "KA*depot + 0.1*where(t < D, 1, 2)*CL/V*central'))
    text = "ID TIME EVID AMT CMT\n1 {} 1 100 iv\n1 5 {} {} iv\n1 6 0 . iv"
    assert conc(text.format(0, 3, "."), moving) == [0.0]
    assert conc(text.format(0, 4, 50), moving) == pytest.approx([exp(-0.08)], **near)  # the clock goes on: t > D
    with pytest.raises(DataError, match="row 2, column 'TIME': time -1 before 0 in a model that names t"):
        conc(text.format(-1, 3, "."), moving)


def test_e32_a_model_that_names_the_time_starts_again_where_time_restarts() -> None:
    moving = loaded(TEXT.replace('central = "KA*depot', 'central = "KA*depot + 0.1*where(t < D, 1, 2)*CL/V*central'))
    text = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 5 0 . iv\n1 1 4 50 iv\n1 2 0 . iv\n1 3 0 . iv"
    expected = [2 * exp(-0.5 + 0.02 + 0.06), exp(-0.09), exp(-0.17)]
    assert conc(text, moving) == pytest.approx(expected, **near)


def test_e33_a_lagged_dose_of_a_reset_row_enters_later() -> None:
    text = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 6 4 50 iv\n1 8 0 . iv\n1 10 0 . iv"
    assert conc(text, L=3.0) == pytest.approx([0.0, exp(-0.1)], **near)


def test_e35_evid_2_yields_a_row_and_changes_nothing() -> None:
    text = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 3 2 . iv\n1 5 0 . iv"
    rows = simulate(one_compartment(), events=frame(text))
    assert rows["EVID"].tolist() == [2, 0]
    assert rows["conc"].tolist() == pytest.approx([2 * exp(-0.3), 2 * exp(-0.5)], **near)


OWN_ROW = "Try: a row of its own for a dose"
NAMES = (
    "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 5 0 . iv\n1 5 {} 20 central\n1 5 0 . iv\n1 6 {} 3 1\n1 6 0 . iv\n1 7 0 . iv"
)


def test_e36_a_state_is_replaced_or_multiplied_and_a_phantom_does_nothing() -> None:
    expected = [2 * exp(-0.5), 0.4, 1.2 * exp(-0.1), 1.2 * exp(-0.2)]
    assert conc(NAMES.format("replace", "multiply")) == pytest.approx(expected, **near)
    silent = "ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 5 phantom . iv\n1 5 0 . iv"
    assert conc(silent) == pytest.approx([2 * exp(-0.5)], **near)
    zero = "ID TIME EVID AMT CMT\n1 0 1 100 oral\n1 1 replace 0 depot\n1 1 multiply 0 central\n1 5 0 . iv"
    assert conc(zero) == [0.0]


def test_e36_infusions_and_lagged_doses_go_on() -> None:
    doses = "1 0 1 100 10 thaw\n1 4 1 70 . iv"
    text = f"ID TIME EVID AMT DUR CMT\n{doses}\n1 5 replace 0 . central\n1 6 0 . . iv\n1 9 0 . . iv"
    running = [2 * (1 - exp(-0.1)), 2 * (1 - exp(-0.4)) + 1.4 * exp(-0.2)]
    assert conc(text, L=3.0) == pytest.approx(running, **near)


def test_d11_numbers_above_4_are_read_where_the_dialect_is_declared() -> None:
    model, by_name = one_compartment(), conc(NAMES.format("replace", "multiply"))
    assert simulate(model, events=frame(NAMES.format(5, 6)), dialect="rxode2")["conc"].tolist() == by_name
    set_twice = simulate(model, events=frame(NAMES.format(8, 8)), dialect="mrgsolve")["conc"].tolist()
    assert set_twice == pytest.approx([2 * exp(-0.5), 0.4, 0.06, 0.06 * exp(-0.1)], **near)
    with pytest.raises(UsageError, match="dialect='phoenix'; expected rxode2 or mrgsolve or nonmem or monolix"):
        simulate(model, events=frame(NAMES.format(5, 6)), dialect="phoenix")


def test_d11_a_number_of_another_dialect_is_refused_with_a_hint() -> None:
    with pytest.raises(DataError) as caught:
        simulate(one_compartment(), events=frame(NAMES.format("replace", 6)), dialect="mrgsolve")
    assert str(caught.value) == (
        "events: row 6, column 'EVID': EVID 6 means multiply (rxode2) in one program and nothing or something else in "
        "others (D11); expected 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose, replace, multiply, phantom. "
        "Try: the name of the event, or the dialect whose number it is: dialect='rxode2' or dialect='mrgsolve'"
    )


FITTED = """ID TIME EVID AMT CMT DV
1 0 1 100 iv .
1 5 0 . iv 1
1 5 {} 20 central .
1 5 0 . iv 1
1 6 {} 3 1 .
1 6.5 phantom . iv .
1 7 0 . iv 1"""


def test_d11_e36_named_events_are_fitted_with_derivatives() -> None:
    """D11, E36: by name or by number, in `read_study` and in a fit, and differentiated through."""
    by_name = study(FITTED.format("replace", "multiply"))
    assert study(FITTED.format(5, 6), dialect="rxode2").digest == by_name.digest
    model = one_compartment().with_prior("CL", "lognormal(5, 0.3)").with_prior("V", "lognormal(50, 0.3)")
    problem = pose(model, by_name, free=["CL", "V"])
    assert problem.sampled_by == "stiff"  # the exact engine cannot set or multiply a state
    found = problem.predict(np.array([5.0, 50.0]), jacobian=True)
    after = 1.2 * exp(-0.2)  # 20 mg replaced at 5 h, times 3 at 6 h, seen at 7 h
    assert found.value == pytest.approx([2 * exp(-0.5), 0.4, after], **near)
    slopes = [
        [-2 * exp(-0.5) * 5 / 50, -2 * exp(-0.5) / 50 * 0.5],
        [0.0, -0.4 / 50],
        [-after * 2 / 50, -after / 50 * 0.8],
    ]
    assert found.jacobian == pytest.approx(np.array(slopes), **near)


def test_e36_a_phantom_leaves_the_exact_engine_at_work() -> None:
    text = "ID TIME EVID AMT CMT DV\n1 0 1 100 central .\n1 2 phantom . central .\n1 5 0 . iv 1"
    model = one_compartment().with_prior("CL", "lognormal(5, 0.3)")
    problem = pose(model, study(text), free=["CL"])
    assert problem.sampled_by == "exact"
    assert problem.linearized(np.array([5.0]))[0] == pytest.approx([2 * exp(-0.5)], **near)


def test_e36_a_fit_refuses_what_is_no_state() -> None:
    made = study("ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 5 replace 20 iv .\n1 6 0 . iv 1")
    with pytest.raises(DataError, match=r"'replace' of 'iv', which is no state \(E36\)"):
        bind(one_compartment(), made)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1 5 replace 20 . iv",
            "column 'CMT': EVID replace of 'iv', which is no state (E36). Try: one of central, depot",
        ),
        (
            "1 5 multiply . . central",
            "column 'AMT': no AMT on a row with EVID multiply (E36); expected a number. Try: the factor",
        ),
        (
            "1 5 multiply 2 9 central",
            "column 'II': II 9 on a row with EVID multiply (E36); expected 0 or missing. " + OWN_ROW,
        ),
    ],
)
def test_e36_what_does_not_apply_is_refused(row: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        conc(f"ID TIME EVID AMT II CMT\n1 0 1 100 . iv\n{row}\n1 6 0 . . iv")
    assert str(caught.value) == f"events: row 3, {message}"


# ---- covariates ------------------------------------------------------------------------------------------------------


def test_k1_a_column_called_as_a_parameter_is_its_value_for_that_subject() -> None:
    text = "ID TIME EVID AMT CMT CL\n1 0 1 100 iv 5\n1 1 0 . iv 5\n2 0 1 100 iv 10\n2 1 0 . iv 10"
    assert conc(text) == pytest.approx([2 * exp(-0.1), 2 * exp(-0.2)], **near)
    with pytest.raises(UsageError, match="'CL' is a column of the table"):
        conc(text, CL=4.0)
    changed = text.replace("1 1 0 . iv 5", "1 1 0 . iv 6")  # nocb: `test_covariates` has the rules
    assert conc(changed)[0] == pytest.approx(2 * exp(-6 / 50), **near)


def test_k1_a_fit_takes_a_column_that_is_a_parameter_for_its_subject() -> None:
    made = study("ID TIME EVID AMT CMT DV CL\n1 0 1 100 iv . 7\n1 1 0 . iv 2 7")
    rows, (group,) = bind(one_compartment(), made)
    assert rows.covariates["CL"].tolist() == [7.0]
    assert group.course is not None
    assert group.course.at(0.5) == (7.0,)


# ---- censoring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cens", "limit", "kind", "lower", "upper"),
    [
        (0, ".", "value", None, None),
        (1, ".", "left", None, 5.0),
        (-1, ".", "right", 5.0, None),
        (1, "2", "interval", 2.0, 5.0),
        (-1, "9", "interval", 5.0, 9.0),
        (0, "2", "value", None, None),
        (1, "0", "interval", 0.0, 5.0),
    ],
)
def test_b1_b2_censoring(cens: int, limit: str, kind: str, lower: float | None, upper: float | None) -> None:
    (record,) = study(f"ID TIME AMT CMT DV CENS LIMIT\n1 0 100 iv . . .\n1 1 . iv 5 {cens} {limit}").records
    assert (record.kind, record.lower, record.upper) == (kind, lower, upper)
    assert record.truncation == (2.0 if cens == 0 and limit == "2" else None)  # which only M2 uses


def test_b14_not_detected_not_quantified_quantified() -> None:
    text = "ID TIME AMT CMT DV CENS LIMIT\n1 0 100 iv . . .\n1 1 . iv 8 0 .\n1 2 . iv 5 1 2\n1 3 . iv 2 1 ."
    assert [record.kind for record in study(text).records] == ["value", "interval", "left"]


def test_b1_a_value_below_its_lloq_must_be_censored() -> None:
    with pytest.raises(DataError, match=r"row 3, column 'DV': 1 is below the lloq 2 but not censored \(B1\)"):
        study("ID TIME AMT CMT DV LLOQ\n1 0 100 iv . 2\n1 1 . iv 1 2")


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_t1_viab_replaces_the_viable_fraction_of_the_route() -> None:
    text = "ID TIME EVID AMT VIAB CMT\n1 0 1 100 {} thaw\n1 0 0 . . thaw"
    assert conc(text.format("."), v0=0.8) == pytest.approx([1.6])
    assert conc(text.format("0.5"), v0=0.8) == pytest.approx([1.0])


def test_t4_cells_per_kg_take_the_weight_of_their_subject() -> None:
    model = load_model("two_functional_compartments", values="mouse")
    text = "ID TIME EVID AMT CMT WEIGHT\n1 0 1 1e6 ip 20\n1 0 0 . ip 20\n2 0 1 1e6 ip 40\n2 0 0 . ip 40"
    table = frame(text).rename(columns={"AMT": "AMT [cells/kg]", "WEIGHT": "WEIGHT [g]"})
    rows = simulate(model, events=table)
    cells = list(model.conserved)
    assert rows[cells].sum(axis=1).tolist() == pytest.approx([2e4, 4e4])
    bare = frame(text).rename(columns={"AMT": "AMT [cells/kg]"}).drop(columns="WEIGHT")
    with pytest.raises(DosingError, match="needs a body weight .T4."):
        simulate(model, events=bare)
    assert simulate(model, events=bare, weight="20 g")[cells].sum(axis=1).tolist() == pytest.approx([2e4, 2e4])
