"""Covariates that change within a subject: each rule K1 to K9 in event tables, and what messages say."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covariate_models import touched
from event_models import TEXT, frame, loaded, one_compartment
from mscpkpd import cli
from mscpkpd.data import read_study, study_from_frame
from mscpkpd.errors import DataError, ModelError, UnknownName, UsageError
from mscpkpd.observations import bind
from mscpkpd.simulation import simulate

near = {"rel": 1e-6}  # L9
few = settings(max_examples=15, deadline=None)
# a bolus of 100; the clearance is 5 x with x = 1 at t = 0 and x = 2 at t = 12
TABLE = "ID TIME EVID AMT CMT CL\n1 0 1 100 central 5\n1 12 0 . central 10"
RULES = ("locf", "nocb", "linear")


def run(text: str, covariates: Any = None, **options: Any) -> pd.DataFrame:
    return simulate(one_compartment(), events=frame(text), covariates=covariates, outputs=["conc"], **options)


def conc(text: str, covariates: Any = None, **options: Any) -> list[float]:
    return list(run(text, covariates, **options)["conc"])


def amounts(text: str, covariates: Any = None, **values: float) -> list[float]:
    """Amount in the central state of the model that a covariate touches, without loss."""
    nothing = {"CL": 0.0, "Q": 0.0}
    made = simulate(touched(), events=frame(text), covariates=covariates, parameters={**nothing, **values})
    return list(made["central"])


# ---- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param("nocb", 0.1814359066, id="K2 nocb"),
        pytest.param("locf", 0.6023884238, id="K3 locf"),
        pytest.param("linear", 0.3305977764, id="K4 linear"),
    ],
)
def test_k2_k3_k4_the_numbers_of_the_conventions(rule: str, expected: float) -> None:
    assert conc(TABLE, rule) == pytest.approx([expected], **near)


def test_k1_the_rule_is_declared_and_written_into_the_result() -> None:
    """An event table is nocb, that of rxode2 locf; a rule can be declared for all columns, or for one."""
    for covariates, dialect, rule in (
        (None, "", "nocb"),
        (None, "mrgsolve", "nocb"),
        (None, "nonmem", "nocb"),
        (None, "rxode2", "locf"),
        (None, "monolix", "locf"),
        ("linear", "rxode2", "linear"),
        ({"cl": "linear"}, "", "linear"),
    ):
        made = run(TABLE, covariates, dialect=dialect)
        assert made.attrs["covariates"] == {"CL": rule}
        assert made.attrs["notes"] == (f"CL changes within subjects: {rule} between its records (K1)",)
        assert list(made["conc"]) == conc(TABLE, rule)


def test_k1_each_covariate_has_a_rule_of_its_own() -> None:
    text = "ID TIME EVID AMT CMT CL V\n1 0 1 100 central 5 50\n1 12 0 . central 10 100\n1 12 0 . central 10 100"
    own = run(text, {"CL": "locf", "V": "nocb"})
    assert own.attrs["covariates"] == {"CL": "locf", "V": "nocb"}
    assert list(own["conc"]) == pytest.approx([exp(-12 * 5 / 100)] * 2, **near)


@pytest.mark.parametrize("rule", RULES)
def test_k5_before_the_first_record_and_after_the_last(rule: str) -> None:
    text = "ID TIME EVID AMT CMT CL\n1 0 1 100 central .\n1 6 0 . central 5\n1 12 0 . central 10\n1 24 0 . central ."
    found = conc(text, rule)
    assert found[0] == pytest.approx(2 * exp(-0.1 * 6), **near)  # the first value holds from the start
    assert found[2] == pytest.approx(found[1] * exp(-0.2 * 12), **near)  # the last one to the end


def test_k6_the_lag_of_a_dose_is_that_of_its_own_record() -> None:
    """By nocb the value until the dose is the record's own, and after it that of the next; the lag is the own one."""
    text = "ID TIME EVID AMT CMT x\n1 0 2 . iv 1.5\n1 4 1 100 iv 2.5\n1 5.2 0 . iv 1.5\n1 5.3 0 . iv 1.5"
    for rule in RULES:
        assert np.sign(amounts(text, rule)) == pytest.approx([0, 0, 1])  # lag 0.5*2.5 h: from 5.25 h on


def test_k6_a_prediction_has_the_value_of_its_own_record() -> None:
    """Rows that share a time differ in nothing but their own value."""
    text = "ID TIME EVID AMT CMT V\n1 0 1 100 central 50\n1 0 0 . central 25\n1 0 0 . central 100\n1 0 0 . central ."
    for rule, last in (("nocb", 50), ("locf", 100), ("linear", 100)):
        assert conc(text, rule) == pytest.approx([4.0, 1.0, 100 / last], **near)


def test_k6_nocb_brings_the_first_of_a_time_and_locf_carries_the_last_on() -> None:
    text = (
        "ID TIME EVID AMT CMT CL\n1 0 1 100 central 5\n1 10 0 . central 10\n1 10 2 . central 20\n1 10 2 . central 5\n"
        "1 20 0 . central 15"
    )
    assert conc(text, "nocb") == pytest.approx([2 * exp(-2.0), *[2 * exp(-2.0)] * 2, 2 * exp(-2.0 - 3.0)], **near)
    assert conc(text, "locf") == pytest.approx([2 * exp(-1.0), *[2 * exp(-1.0)] * 2, 2 * exp(-1.0 - 1.0)], **near)


@pytest.mark.parametrize("rule", RULES)
def test_k7_a_row_without_the_covariate_is_no_record_of_it(rule: str) -> None:
    more = TABLE.replace("\n1 12", "\n1 3 2 . central .\n1 7 0 . central NA\n1 12")
    assert conc(more, rule)[2] == pytest.approx(conc(TABLE, rule)[0], **near)


def test_k8_a_change_while_an_infusion_runs() -> None:
    """20 mg/h from 0 to 5 h; the clearance doubles at 2 h."""
    text = "ID TIME EVID AMT RATE CMT CL\n1 0 1 100 20 central 5\n1 2 2 . . central 10\n1 8 0 . . central 10"
    at_2 = 20 / 0.1 * (1 - exp(-0.2))
    at_5 = at_2 * exp(-0.6) + 20 / 0.2 * (1 - exp(-0.6))
    assert conc(text, "locf")[-1] == pytest.approx(at_5 * exp(-0.6) / 50, **near)


def test_k8_additional_doses_take_their_fraction_when_they_enter_and_keep_their_lag_e16() -> None:
    """x = 1 at 0 h and 2 at 10 h: the dose of 12 h has F of its time and L of its record."""
    text = "ID TIME EVID AMT ADDL II CMT x\n1 0 1 100 1 12 iv 1\n1 10 2 . . . iv 2\n"
    text += "".join(f"1 {time} 0 . . . iv .\n" for time in (12.4, 12.6))
    assert amounts(text, "locf") == pytest.approx([70, 70, 210], **near)


def test_k8_a_lagged_dose_takes_the_fraction_of_the_time_at_which_it_enters() -> None:
    """L = 3 h; x moves from 1 at 0 h to 1.5 at 10 h."""
    text = "ID TIME EVID AMT CMT x\n1 0 1 100 iv 1\n1 8 0 . iv .\n1 10 2 . iv 1.5"
    for rule, x in (("locf", 1.0), ("nocb", 1.5), ("linear", 1.15)):
        assert amounts(text, rule, L=3.0)[0] == pytest.approx(70 * x, **near)


def test_e16_durations_and_rates_are_those_of_the_record() -> None:
    """RATE -2 lasts D x, RATE -1 flows at R x; F x of the latter is that of the time at which it enters."""
    rows = [
        "1 0 1 100 {} 1 12 {} 1",
        "1 1 0 . . . . {} .",
        "1 6 2 . . . . {} 3",
        "1 13 0 . . . . {} .",
        "1 30 0 . . . . {} .",
    ]
    text = "ID TIME EVID AMT RATE ADDL II CMT x\n" + "\n".join(rows)
    slow = amounts(text.format(-2, *["slow"] * 5), "locf")
    assert slow == pytest.approx([35, 70, 70 + 35, 140], **near)  # both last 2 h
    pump = amounts(text.format(-1, *["pump"] * 5), "locf")
    assert pump == pytest.approx([50, 70, 70 + 50, 70 + 210], **near)  # both flow at 50 mg/h


def test_e6_the_fraction_of_the_time_lengthens_an_infusion_of_given_rate() -> None:
    text = "ID TIME EVID AMT RATE CMT x\n1 0 2 . . fed 1\n1 10 1 100 50 fed 2\n1 12 0 . . fed 2\n1 13 0 . . fed 2"
    assert amounts(text, "locf")[1:] == pytest.approx([100, 140], **near)


def test_k9_a_property_of_doses_is_never_interpolated() -> None:
    text = TABLE.replace("CL", "potency")
    model = loaded(TEXT.replace("CL ", "potency ").replace("CL/V", "potency/V"))
    with pytest.raises(DataError, match=r"'potency' of subject '1' changes, and is a property of doses \(K9\)"):
        simulate(model, events=frame(text))


def test_e31_a_steady_state_has_the_covariates_in_force_at_its_time() -> None:
    text = "ID TIME EVID AMT SS II CMT CL\n1 0 2 . . . central 5\n1 24 1 100 1 12 central 10\n1 30 0 . . . central 20"
    peak = 2 / (1 - exp(-0.2 * 12))
    assert conc(text, "locf")[-1] == pytest.approx(peak * exp(-0.2 * 6), **near)
    assert conc(text, "nocb")[-1] == pytest.approx(peak * exp(-0.4 * 6), **near)
    assert conc(text, "linear")[-1] == pytest.approx(peak * exp(-0.3 * 6), **near)


def test_e27_an_endless_infusion_has_the_covariates_in_force_at_its_time() -> None:
    text = "ID TIME EVID AMT RATE SS CMT CL\n1 0 2 . . . central 5\n1 24 1 0 10 1 central 10\n1 30 0 . . . central 20"
    assert conc(text, "locf")[-1] == pytest.approx(10 / 10 * exp(-0.2 * 6), **near)
    assert conc(text, "nocb")[-1] == pytest.approx(10 / 10 * exp(-0.4 * 6), **near)


def test_e32_e34_a_reset_starts_from_the_covariate_of_its_time_which_goes_on() -> None:
    """The pool starts at B x; x is 1 at 0 h and 1.5 from 10 h on."""
    text = "ID TIME EVID AMT CMT x\n1 0 2 . fed 1\n1 10 2 . fed 1.5\n1 20 3 . fed .\n1 20 0 . fed .\n1 30 0 . fed ."
    made = simulate(touched(), events=frame(text), covariates="locf", outputs=["pool"])
    assert made["pool"].iloc[2] == pytest.approx(15.0, **near)
    limit = 10 / 1.5  # k B against k x pool
    assert made["pool"].iloc[3] == pytest.approx(limit + (15 - limit) * exp(-0.05 * 1.5 * 10), **near)


def test_e34_a_covariate_survives_a_reset_that_restarts_the_time() -> None:
    text = "ID TIME EVID AMT CMT CL\n1 0 1 100 central 5\n1 9 2 . central 10\n1 0 4 100 central .\n1 5 0 . central ."
    assert conc(text, "locf")[-1] == pytest.approx(2 * exp(-0.2 * 5), **near)


def test_e35_a_row_with_evid_2_carries_covariates() -> None:
    text = TABLE.replace("\n1 12 0 . central 10", "\n1 6 2 . central 10\n1 12 0 . central .")
    assert conc(text, "locf")[-1] == pytest.approx(2 * exp(-0.1 * 6 - 0.2 * 6), **near)


def test_e4_a_requested_time_has_the_value_of_that_time() -> None:
    text = "ID TIME EVID AMT CMT V\n1 0 1 100 central 50\n1 10 2 . central 100"
    for rule, middle in (("locf", 50), ("nocb", 100), ("linear", 75)):
        found = conc(text, rule, times=[0, 5, 10], parameters={"CL": 0.0})
        assert found == pytest.approx([2, 100 / middle, 1], **near)


def test_d13_a_unit_in_the_header_is_converted() -> None:
    table = frame(TABLE.replace("CL\n", "CL\n")).rename(columns={"CL": "CL [mL/h]"})
    table["CL [mL/h]"] = ["5000", "10000"]
    assert list(simulate(one_compartment(), events=table, outputs=["conc"])["conc"]) == conc(TABLE)
    with pytest.raises(DataError, match=r"row 2, column 'CL': .*mg.*\(D13\)"):
        simulate(one_compartment(), events=frame(TABLE).rename(columns={"CL": "CL [mg]"}))


def test_a_body_weight_may_change_where_no_dose_is_per_kg() -> None:
    table = frame("ID TIME EVID AMT CMT WT\n1 0 1 100 central 70\n1 12 0 . central 80").rename(
        columns={"WT": "WT [kg]"}
    )
    assert list(simulate(one_compartment(), events=table, outputs=["conc"])["conc"]) == pytest.approx([2 * exp(-1.2)])


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("covariates", "error", "message"),
    [
        (
            "midpoint",
            UsageError,
            r"covariates='midpoint'; expected locf, nocb or linear \(K1\). Try: covariates='locf'",
        ),
        ({"CL": "spline"}, UsageError, r"covariates=\{'CL': 'spline'\}; expected locf, nocb or linear \(K1\)"),
        ({"WT": "locf"}, UnknownName, "unknown covariate 'WT'"),
    ],
)
def test_k1_a_rule_or_column_that_does_not_exist(covariates: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(TABLE, covariates)


def test_k4_categories_refuse_a_straight_line() -> None:
    """Whole numbers without a unit are taken for categories."""
    text = "ID TIME EVID AMT CMT F\n1 0 1 100 iv 1\n1 12 1 100 iv 2\n1 14 0 . iv 2"
    with pytest.raises(DataError) as caught:
        run(text, "linear")
    assert str(caught.value) == (
        "events: row 2, column 'F': covariates='linear' for 'F', whose values 1, 2 are categories (K4); expected locf "
        "or nocb for whole numbers without unit. Try: covariates={'F': 'locf'}"
    )
    assert conc(text, {"F": "locf"})


def test_a_covariate_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 3, column 'CL': 'high' is not a number"):
        run(TABLE.replace("central 10", "central high"))


def test_a_rule_without_events_is_refused() -> None:
    with pytest.raises(UsageError, match=r"covariates='locf' without events. Try: events= with a column"):
        simulate(one_compartment(), until="1 d", covariates="locf")


def test_a_switch_that_depends_on_a_covariate_that_changes_is_refused() -> None:
    model = loaded(TEXT.replace("CL/V*central", "where(t < D, CL, 2*CL)/V*central"))
    text = "ID TIME EVID AMT CMT D\n1 0 1 100 central 2\n1 12 0 . central 3.5"
    with pytest.raises(ModelError, match=r"switches at a time that depends on 'D', which changes within a subject"):
        simulate(model, events=frame(text))
    constant = text.replace("3.5", "2")
    made = simulate(model, events=frame(constant), outputs=["conc"])
    assert list(made["conc"]) == pytest.approx([2 * exp(-0.1 * 2 - 0.2 * 10)], **near)


# ---- laws ------------------------------------------------------------------------------------------------------------

tenths = st.integers(1, 200).map(lambda n: n / 10)
clearances = st.integers(1, 30).map(lambda n: n / 2)
courses = st.dictionaries(tenths, clearances, min_size=1, max_size=5).map(lambda each: sorted(each.items()))


def table_of(course: list[tuple[float, float | None]], by: float = 0.0) -> str:
    rows = [f"1 {by} 1 100 . central {course[0][1]}", f"1 {by} 1 60 20 central ."]
    rows += [f"1 {time + by} 0 . . central {'.' if value is None else value}" for time, value in course]
    return "ID TIME EVID AMT RATE CMT CL\n" + "\n".join([*rows, f"1 {30 + by} 0 . . central ."])


def agree(one: list[float], other: list[float]) -> bool:
    return bool(np.allclose(one, other, rtol=1e-6, atol=1e-9))


@few
@given(courses, st.sampled_from(RULES))
def test_a_covariate_that_stays_the_same_is_one_record(course: list[tuple[float, float]], rule: str) -> None:
    same = [(time, course[0][1]) for time, _ in course]
    once = [(time, None) for time, _ in course]
    once[0] = same[0]
    assert conc(table_of(same), rule) == conc(table_of(once), rule)


@few
@given(courses, st.sampled_from(RULES), tenths)
def test_a_record_that_repeats_what_holds_anyway_changes_nothing(
    course: list[tuple[float, float]], rule: str, time: float
) -> None:
    before = [each for each in course if each[0] < time]
    after = [each for each in course if each[0] > time]
    full = [(0.0, course[0][1]), *before]
    if rule == "linear" and after:
        share = (time - full[-1][0]) / (after[0][0] - full[-1][0])
        value = full[-1][1] + share * (after[0][1] - full[-1][1])
    else:
        value = after[0][1] if rule == "nocb" and after else full[-1][1]
    split = [*before, (time, value), *after]
    whole = [*before, (time, None), *after]
    first = f"central {course[0][1]}"
    one, other = (table_of([(each[0], each[1]) for each in rows]) for rows in (split, whole))
    begun = [text.replace(text.splitlines()[1], f"1 0.0 1 100 . {first}", 1) for text in (one, other)]
    assert agree(conc(begun[0], rule), conc(begun[1], rule))


@few
@given(courses, st.sampled_from(RULES), st.integers(-400, 400))
def test_l2_shifting_all_times_moves_the_result(course: list[tuple[float, float]], rule: str, by: int) -> None:
    assert agree(conc(table_of(course, by / 10), rule), conc(table_of(course), rule))


@few
@given(courses)
def test_locf_is_nocb_with_every_value_one_record_later(course: list[tuple[float, float]]) -> None:
    """The states, that is: a prediction has the value of its own record in both."""
    times = [0.0, *(time for time, _ in course)]
    values = [course[0][1], *(value for _, value in course)]
    later = [values[0], *values[:-1]]  # nocb: what holds before a record is its own value

    def table(numbers: list[float]) -> str:
        rows = [f"1 {time} 2 . central {value}" for time, value in zip(times, numbers, strict=True)]
        rows.insert(1, "1 0 1 100 central .")
        return "ID TIME EVID AMT CMT CL\n" + "\n".join([*rows, "1 20.5 0 . central ."])

    ends = {"locf": values[-1], "nocb": later[-1]}
    locf, nocb = conc(table(values), "locf"), conc(table([*later]), "nocb")
    rest = 20.5 - times[-1]  # after the last record each goes on with its last value
    assert agree(locf[:-1], nocb[:-1])
    assert locf[-1] * exp(ends["locf"] * rest / 50) == pytest.approx(nocb[-1] * exp(ends["nocb"] * rest / 50), rel=1e-6)


@few
@given(courses, st.sampled_from(RULES))
def test_a_column_that_the_model_does_not_use_changes_nothing(course: list[tuple[float, float]], rule: str) -> None:
    plain = frame(table_of(course))
    more = plain.assign(HEIGHT=[str(150 + k) for k in range(len(plain))], KA=[str(k + 0.5) for k in range(len(plain))])
    one, other = (simulate(one_compartment(), events=each, covariates=rule, outputs=["conc"]) for each in (plain, more))
    assert list(one["conc"]) == list(other["conc"])
    assert "KA" not in other.attrs["covariates"]


# ---- studies ---------------------------------------------------------------------------------------------------------

STUDY = (
    "ID TIME EVID AMT ADDL II CMT DVID DV CL OTHER\n1 0 1 100 1 12 central . . 5 a\n1 6 0 . . . conc conc 1.1 . b\n"
    "1 8 2 . . . conc . . 7 a\n1 12 0 . . . conc conc 2 10 a\n2 0 1 100 . . central . . 6 a\n"
    "2 6 0 . . . conc conc 1 6 a"
)


def study(covariates: Any = None) -> Any:
    return study_from_frame(frame(STUDY), unit="mg/L", time_unit="h", amount_unit="mg", covariates=covariates)


def test_k1_a_study_keeps_the_rule_and_the_records() -> None:
    made = study("linear")
    assert made.covariate("cl").rule == "linear"
    (cl, other) = made.subject("1").varying
    assert (cl.name, cl.times, cl.texts) == ("cl", (0, 8, 12), ("5", "7", "10"))
    assert cl.at_doses == ((0, "5"), (0, "5"))  # the additional dose belongs to the same record (E16)
    assert not other.numeric
    assert made.subject("2").covariates == (("cl", "6"), ("other", "a"))
    assert "CL varies within a subject: linear between its records, where a model uses it (K1)" in made.notes
    assert "OTHER varies within a subject: used by nothing (K1)" in made.notes
    assert study("linear").digest != study("locf").digest


def test_a_study_with_covariates_that_change_comes_back_from_every_table(tmp_path: Path) -> None:
    made = study()
    made.save(tmp_path / "kept.csv")
    assert (tmp_path / "kept_covariates.csv").is_file()
    again = read_study(tmp_path / "kept.csv")
    assert again.digest == made.digest
    assert again.subject("1").varying == made.subject("1").varying
    written = study_from_frame(made.to_nonmem())
    assert written.digest == made.digest
    assert made.to_nonmem()["EVID"].tolist().count(2) == 1  # the record at 8 h stands alone (E35)


def test_a_decimal_comma_is_read_in_covariates_too() -> None:
    text = STUDY.replace("1.1 . b", "1,1 . b").replace(". . 7 a", ". . 7,5 a").replace(" 6 a", " 6,5 a")
    made = study_from_frame(frame(text), unit="mg/L", time_unit="h", amount_unit="mg", decimal=",")
    assert made.subject("1").varying[0].texts == ("5", "7.5", "10")
    rows, _ = bind(one_compartment(), made)
    assert rows.covariates["CL"].tolist() == [7.5, 10, 6.5]


# ---- the shell -------------------------------------------------------------------------------------------------------


def test_the_shell_declares_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "events.csv", tmp_path / "rows.csv"
    table.write_text(TABLE.replace("central", "iv").replace(" ", ","), encoding="utf-8")
    words = ["simulate", "pk_one_compartment", "--events", str(table), "--outputs", "conc", "--out", str(out)]
    for said, rule, expected in (
        ((), "nocb", 0.1814359066),
        (("--covariates", "locf"), "locf", 0.6023884238),
        (("--covariates", "CL=linear"), "linear", 0.3305977764),
    ):
        assert cli.run([*words, *said]) == 0
        assert f"note: CL changes within subjects: {rule} between its records (K1)" in capsys.readouterr().out
        assert pd.read_csv(out)["conc"].tolist() == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("midpoint", "--covariates midpoint; expected locf, nocb or linear (K1). Try: --covariates locf"),
        ("CL=locf,CL=nocb", "--covariates: 'CL' stands twice"),
        ("CL=", "--covariates: 'CL='; expected name=rule. Try: --covariates WT=linear"),
    ],
)
def test_the_shell_says_what_is_wrong_with_a_rule(
    said: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "events.csv"
    table.write_text(TABLE.replace("central", "iv").replace(" ", ","), encoding="utf-8")
    words = ["simulate", "pk_one_compartment", "--events", str(table), "--out", str(tmp_path / "rows.csv")]
    assert cli.run([*words, "--covariates", said]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    given_alone = ["simulate", "pk_one_compartment", "--untreated", "--out", str(tmp_path / "rows.csv")]
    assert cli.run([*given_alone, "--covariates", "locf"]) == 2
    assert "--covariates without --events" in capsys.readouterr().err
