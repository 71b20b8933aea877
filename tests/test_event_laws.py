"""Laws of event tables (conventions 14.3), and that a study comes back from every table that it is written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import frame, one_compartment
from mscpkpd import cli, plots
from mscpkpd.data import Study, study_from_frame
from mscpkpd.errors import UsageError
from mscpkpd.modelfile import load_model, models
from mscpkpd.simulation import simulate

COLUMNS = ("ID", "TIME", "EVID", "AMT", "RATE", "DUR", "ADDL", "II", "CMT")
few = settings(max_examples=15, deadline=None)
tenths = st.integers(0, 300).map(lambda n: n / 10)
ROUTES = ("iv", "oral", "slow", "pump", "central", "split")


def row(subject: str = "1", time: float = 0.0, evid: int = 0, **more: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS, 0), "CMT": "iv", "ID": subject, "TIME": time, "EVID": evid, **more}


@st.composite
def dose_rows(draw: st.DrawFn) -> dict[str, Any]:
    route = draw(st.sampled_from(ROUTES))
    modelled = {"slow": [-2.0], "pump": [-1.0]}.get(route, [])
    timed = draw(st.sampled_from([{}, {"DUR": 1.5}, {"RATE": 25.0}, *({"RATE": code} for code in modelled)]))
    many = draw(st.sampled_from([{}, {"ADDL": 3, "II": 2.5}]))
    return row(time=draw(tenths), evid=1, AMT=draw(st.integers(1, 200)), CMT=route, **timed, **many)


@st.composite
def tables(draw: st.DrawFn, subject: str = "1") -> list[dict[str, Any]]:
    doses = draw(st.lists(dose_rows(), min_size=1, max_size=3))
    seen = [
        row(time=time, evid=draw(st.sampled_from([0, 2]))) for time in draw(st.lists(tenths, min_size=1, max_size=4))
    ]
    return sorted([{**each, "ID": subject} for each in [*doses, *seen]], key=lambda each: each["TIME"])


def values(rows: list[dict[str, Any]], **options: Any) -> np.ndarray:
    """Outputs and states at the rows, with a lag, an F and a viable fraction that are not trivial."""
    made = simulate(one_compartment(), events=pd.DataFrame(rows), parameters={"F": 0.7, "L": 0.5}, **options)
    return made.drop(columns=["ID", "TIME", "EVID", "DVID"]).to_numpy()


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """L9: agreement to 1e-6 of the value and 1e-9 of the largest one."""
    return bool(np.all(np.abs(one - other) <= 1e-6 * np.abs(other) + 1e-8 * np.max(np.abs(other), initial=1e-6)))


# ---- laws -----------------------------------------------------------------------------------------------------------


@few
@given(tables(), st.integers(-500, 500))
def test_l2_shifting_all_times_moves_the_result(rows: list[dict[str, Any]], by: int) -> None:
    assert agree(values([{**each, "TIME": each["TIME"] + by / 10} for each in rows]), values(rows))


@few
@given(tables())
def test_l7_additional_doses_are_doses_of_their_own(rows: list[dict[str, Any]]) -> None:
    written = [
        {**each, "TIME": each["TIME"] + number * each["II"], "ADDL": 0, "II": 0}
        for each in rows
        for number in range(each["ADDL"] + 1)
    ]
    moment = {each["TIME"] for each in written if each["EVID"] == 1}
    apart = [each for each in written if each["EVID"] == 1 or each["TIME"] not in moment]
    asked = [each for each in rows if each["EVID"] == 1 or each["TIME"] not in moment]
    if any(each["EVID"] != 1 for each in asked):
        ordered = sorted(apart, key=lambda each: each["TIME"])
        assert agree(values(ordered), values(asked))


@few
@given(tables())
def test_l7_a_dose_split_in_two_is_the_whole(rows: list[dict[str, Any]]) -> None:
    halves = []
    for each in rows:
        part = {**each, "AMT": each["AMT"] / 2}
        # half of an infusion at a given rate is as long at half the rate; a modelled rate cannot be halved
        part["RATE"] = each["RATE"] / 2 if each["RATE"] > 0 else each["RATE"]
        halves += [part, part] if each["EVID"] == 1 and each["RATE"] != -1 else [each]
    assert agree(values(halves), values(rows))


@few
@given(st.tuples(tables("1"), tables("2"), tables("3")))
def test_l10_permuting_subjects_permutes_the_rows(each: tuple[list[dict[str, Any]], ...]) -> None:
    forward, back = values([r for rows in each for r in rows]), values([r for rows in each[::-1] for r in rows])
    sizes = [sum(r["EVID"] != 1 for r in rows) for rows in each]
    parts = np.split(forward, np.cumsum(sizes)[:-1])
    assert np.array_equal(np.concatenate(parts[::-1]), back)


@few
@given(tables(), tenths)
def test_adding_an_observation_changes_nothing_else(rows: list[dict[str, Any]], time: float) -> None:
    place = next((k for k, each in enumerate(rows) if each["TIME"] > time), len(rows))
    if place == 0:
        place, time = 1, rows[0]["TIME"]  # a row before all others would be where the subject starts
    more = [*rows[:place], row(time=time), *rows[place:]]
    kept = [each is not more[place] for each in more if each["EVID"] != 1]
    assert agree(values(more)[kept], values(rows))


@few
@given(tables(), st.integers(2, 9))
def test_l1_scaling_the_doses_scales_the_result(rows: list[dict[str, Any]], factor: int) -> None:
    scaled = [{**each, "AMT": factor * each["AMT"]} for each in rows]
    for one, each in zip(scaled, rows, strict=True):
        one["RATE"] = factor * each["RATE"] if each["RATE"] > 0 else each["RATE"]
    if all(each["RATE"] != -1 for each in rows):
        assert agree(values(scaled), factor * values(rows))


def test_l6_an_infusion_that_becomes_short_becomes_a_bolus() -> None:
    text = "ID TIME EVID AMT DUR CMT\n1 0 1 100 {} iv\n1 5 0 . . iv"
    bolus, brief = (simulate(one_compartment(), events=frame(text.format(d)))["conc"][0] for d in ("0", "1e-7"))
    assert brief == pytest.approx(bolus, rel=1e-7)


def test_consecutive_infusions_are_one_long_one() -> None:
    long = [row(evid=1, AMT=120, DUR=12), row(time=15)]
    short = [row(evid=1, AMT=10, DUR=1, ADDL=11, II=1), row(time=15)]
    assert agree(values(short), values(long))


@pytest.mark.parametrize(
    "name", [name for name in models() if name.startswith(("pk_", "pkpd", "turnover", "growth", "cart"))]
)
def test_standard_models_take_event_tables_and_agree_with_regimens(name: str) -> None:
    from mscpkpd.dosing import bolus

    model = load_model(name)
    place = model.route_names[0] if model.route_names else model.state_names[0]
    unit = model.amount_unit(place) if model.route_names else model.state(place).unit
    hours = [0.5, 3.0, 10.0, 30.0]
    table = pd.DataFrame([row(evid=1, AMT=10, ADDL=1, II=8, CMT=place), *(row(time=t, CMT=place) for t in hours)])
    rows = simulate(model, events=table.drop(columns=["RATE", "DUR"]))
    every = f"8 {model.time}"
    sims = simulate(model, bolus(f"10 {unit}", place, every=every, doses=2), times=hours)
    plain = not model.route_names or model.route(place).duration is None
    for output in (*model.output_names, *model.state_names):
        if plain:
            assert rows[output].tolist() == pytest.approx(sims[output].to_numpy()[0, 0, 0].tolist(), rel=1e-6, abs=1e-9)


# ---- there and back -------------------------------------------------------------------------------------------------


@st.composite
def studies(draw: st.DrawFn) -> Study:
    rows: list[dict[str, Any]] = []
    for subject in draw(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)):
        weight = draw(st.sampled_from([None, 70]))
        for each in draw(tables(subject)):
            more: dict[str, Any] = {"WEIGHT [kg]": weight, "DV": None, "MDV": 1, "CENS": 0, "LIMIT": None, "DVID": 1}
            if each["EVID"] == 0:
                cens, limit = draw(st.sampled_from([(0, None), (1, None), (-1, None), (1, 0.5), (-1, 99.5)]))
                more |= {"DV": draw(st.integers(1, 80)), "MDV": 0, "CENS": cens, "LIMIT": limit}
                more |= {"DVID": draw(st.sampled_from([1, 2])), "OCC": draw(st.sampled_from(["1", "2"]))}
            elif each["EVID"] == 1:
                more |= {"VIAB": draw(st.sampled_from([None, 0.8])), "LOT": draw(st.sampled_from([None, "L1"]))}
            rows.append({**each, **more})
    rows.append({**row("Z", 1.0), "DVID": 1, "DV": 3, "MDV": 0, "CENS": 0})
    return study_from_frame(
        pd.DataFrame(rows), time_unit="h", unit="mg/L", amount_unit="mg", outputs={1: "conc", 2: "effect"}
    )


@few
@given(studies())
def test_a_study_comes_back_from_both_tables(made: Study) -> None:
    doses = None if made.doses_fit_in_rows else made.doses_frame()
    for back in (study_from_frame(made.to_nonmem()), study_from_frame(made.to_tidy(), doses)):
        assert back.digest == made.digest
        assert [record.pre_dose for record in back.records] == [record.pre_dose for record in made.records]
        assert all(back.subject(subject.id).regimen == subject.regimen for subject in made.subjects)
        assert back.summary().equals(made.summary())


def test_summaries_of_a_publication_come_back_too() -> None:
    common = {
        "subject": "g",
        "time": 24,
        "time_unit": "h",
        "dose": 1e6,
        "dose_unit": "cells",
        "route": "iv",
        "species": "rat",
    }
    rows = [
        {**common, "output": "lung", "unit": "%ID", "value": 30, "sd": 4, "n": 5, "stat": "mean"},
        {**common, "output": "il10", "unit": "pg/mL", "value": 9, "lower": 5, "upper": 12, "n": 8, "stat": "median"},
        {**common, "output": "liver", "unit": "%ID", "lower": 5, "upper": 12, "n": 4, "stat": "range"},
        {**common, "subject": "control", "dose": 0, "output": "il10", "unit": "pg/mL", "value": "<3", "replicate": "2"},
        {**common, "subject": "control", "dose": 0, "output": "il10", "unit": "pg/mL", "value": 4, "replicate": "1"},
    ]
    made = study_from_frame(pd.DataFrame(rows))
    table = made.to_nonmem()
    assert {"UNIT", "AMT [cells]", "TIME [h]", "STAT", "SD", "N"} <= set(table.columns)
    assert study_from_frame(table).digest == made.digest


def test_summary_counts_by_output_and_subject() -> None:
    text = "ID TIME AMT CMT DV CENS\n1 0 100 iv . .\n1 1 . iv 5 0\n1 3 . iv 2 1\n2 0 100 iv . .\n2 2 . iv 1 1"
    made = study_from_frame(frame(text), time_unit="h", amount_unit="mg", unit="mg/L", outputs="conc")
    table = made.summary()
    assert table.columns.tolist() == [
        "output", "unit", "subject", "n", "censored", "first", "last", "minimum", "maximum",
    ]  # fmt: skip
    assert table.iloc[0].tolist() == ["conc", "mg/L", "1", 2, 1, 1.0, 3.0, 5.0, 5.0]
    assert table["censored"].tolist() == [1, 1]
    assert np.isnan(table["minimum"][1])


# ---- figure and shell -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["output", "subject"])
@pytest.mark.parametrize("log", [False, True])
def test_raw_data_by_output_and_by_subject(tmp_path: Path, by: str, log: bool) -> None:  # noqa: FBT001 - a case
    text = (
        "ID TIME AMT CMT DVID DV CENS LIMIT\n1 0 100 iv 1 . . .\n1 1 . iv 1 5 0 .\n1 3 . iv 2 2 1 .\n2 2 . iv 1 4 1 2"
    )
    made = study_from_frame(frame(text), time_unit="h", amount_unit="mg", unit="mg/L", outputs={1: "a", 2: "b"})
    figure = plots.raw_data(made, by=by, log=log)
    shown = {ax.get_title() for ax in figure.axes if ax.get_visible()}
    assert shown == ({"a", "b"} if by == "output" else {"1", "2"})
    plots.save(figure, tmp_path / "raw.png")
    with pytest.raises(UsageError, match="by='time'"):
        plots.raw_data(made, by="time")


def test_raw_data_of_subjects_can_be_compared() -> None:
    """A panel for each subject and unit; the same scales for one unit, and a look of its own for each name."""
    assays = (("conc", "mg/L", 1.0), ("il10", "pg/mL", 100.0))
    rows = [
        {"ID": str(k), "TIME [h]": t, "EVID": 0, "CMT": "iv", "DVID": name, "DV": v * (k + 1), "UNIT": unit}
        for k in range(8)
        for t in (1, 2)
        for name, unit, v in assays
    ]
    made = study_from_frame(pd.DataFrame(rows))
    figure = plots.raw_data(made, by="subject")
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_ylabel() for ax in panels[:4]] == ["mg/L", "pg/mL"] * 2
    for unit, top in (("mg/L", 8.0), ("pg/mL", 800.0)):
        (limits,) = {ax.get_ylim() for ax in panels if ax.get_ylabel() == unit}
        assert limits[0] < limits[1] and limits[1] >= top  # noqa: PT018
    lines = [
        line for ax in plots.raw_data(made, by="output").axes[:1] for line in ax.lines if line.get_label()[0] != "_"
    ]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 8


def test_the_shell_simulates_an_event_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, out = tmp_path / "events.csv", tmp_path / "out.csv"
    events.write_text("ID,TIME,EVID,AMT,CMT\n1,0,1,100,iv\n1,5,0,.,iv\n1,6,2,.,iv\n2,0,0,.,iv\n", encoding="utf-8")
    assert cli.run(["simulate", "pk_one_compartment", "--events", str(events), "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert table.columns.tolist() == ["ID", "TIME", "EVID", "DVID", "conc", "depot", "central", "eliminated"]
    assert table["conc"].tolist() == pytest.approx([2 * np.exp(-0.5), 2 * np.exp(-0.6), 0.0], rel=1e-6)
    assert "3 rows of 2 subjects" in capsys.readouterr().out
    words = ["simulate", "pk_one_compartment", "--events", str(events), "--out"]
    assert cli.run([*words, str(out), "--times", "0,5", "--set", "CL=10", "--outputs", "conc", "--json"]) == 0
    assert pd.read_csv(out)["conc"].tolist() == pytest.approx([2, 2 * np.exp(-1), 0, 0], rel=1e-6)
    assert cli.run([*words, str(tmp_path / "folder")]) == 2
    assert cli.run([*words, str(out), "--draws", "3"]) == 2
    assert "--draws beside --events" in capsys.readouterr().err


def test_the_shell_is_told_the_dialect_and_the_masses_of_organs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D11, T7: `--dialect` and `--organ-mass` in check, fit, simulate and nca; refused with the option to try."""
    events = tmp_path / "events.csv"
    rows = "ID,TIME [h],EVID,AMT [mg],CMT,DVID,DV [mg/L]\n1,0,1,100,iv,.,.\n1,2,5,50,central,.,.\n"
    events.write_text(rows + "1,4,0,.,iv,conc,0.9\n1,6,0,.,iv,conc,0.8\n1,8,0,.,iv,conc,0.6\n", encoding="utf-8")
    out, told = tmp_path / "out.csv", ["--dialect", "rxode2"]
    simulated = ["simulate", "pk_one_compartment", "--events", str(events), "--out", str(out)]
    for words in (["check", str(events)], simulated, ["nca", str(events)]):
        assert cli.run(words) == 2
        assert "--dialect rxode2 or --dialect mrgsolve" in capsys.readouterr().err
        assert cli.run([*words, *told]) == 0
    assert pd.read_csv(out)["conc"][0] == pytest.approx(np.exp(-0.2), rel=1e-6)
    run = ["fit", "pk_one_compartment", str(events), "--out", str(tmp_path / "run"), "--method", "least_squares"]
    assert cli.run([*run, "--free", "CL", *told]) in (0, 3)
    assert cli.run(["simulate", "pk_one_compartment", "--untreated", "--out", str(out), *told]) == 2
    assert "--dialect without --events" in capsys.readouterr().err
    shares = tmp_path / "shares.csv"
    shares.write_text("ID,TIME [h],EVID,AMT [cells],CMT,DV [%ID/g]\n1,0,1,1e6,iv,.\n1,2,0,.,lung_cells,30\n")
    assert cli.run(["check", str(shares), "--organ-mass", "lung_cells=0.17 g"]) == 0
    for masses in ("lung_cells", "a=1 g,a=2 g", "lung_cells=3 h"):
        assert cli.run(["check", str(shares), "--organ-mass", masses]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_does_not_go_with_events_is_refused() -> None:
    table = pd.DataFrame([row(evid=1, AMT=1), row(time=1)])
    with pytest.raises(UsageError, match="draws, until beside events"):
        simulate(one_compartment(), events=table, draws=3, until="3 d")  # type: ignore[call-overload]


# ---- more laws ------------------------------------------------------------------------------------------------------


@few
@given(st.integers(2, 12), st.sampled_from([0.5, 1.0, 1.5]), st.sampled_from(["iv", "oral", "split"]), st.data())
def test_l7_consecutive_infusions_are_one_long_one(count: int, length: float, route: str, data: st.DataObject) -> None:
    """L7: n infusions, one after the other, written as rows, as ADDL, and as one; by DUR and by RATE."""
    seen = [row(time=time) for time in sorted(data.draw(st.lists(tenths, min_size=1, max_size=4)))]
    rate = {"RATE": 10.0 / length}
    by_rate = [row(evid=1, AMT=10.0 * count, CMT=route, **rate)]
    long = [row(evid=1, AMT=10.0 * count, DUR=length * count, CMT=route)]
    short = [row(evid=1, AMT=10, DUR=length, ADDL=count - 1, II=length, CMT=route)]
    rows = [row(evid=1, time=k * length, AMT=10, DUR=length, CMT=route) for k in range(count)]
    forms = [sorted([*form, *seen], key=lambda each: each["TIME"]) for form in (long, short, rows)]
    one, *others = (values(form) for form in forms)
    for other in others:
        assert agree(other, one)
    if route == "split":  # its fractions sum to 1: F does not lengthen an infusion whose rate is given (E10)
        assert agree(values(sorted([*by_rate, *seen], key=lambda each: each["TIME"])), one)


@few
@given(tables(), st.sampled_from([1e-7, 1e-9, 1e-11]))
def test_l6_an_infusion_becomes_a_bolus_as_its_duration_becomes_nothing(
    rows: list[dict[str, Any]], length: float
) -> None:
    """L6: whatever else goes on; but at the very time of a dose, which a bolus has entered and an infusion has not."""
    moments = {each["TIME"] + k * each["II"] for each in rows if each["EVID"] == 1 for k in range(each["ADDL"] + 1)}
    moments |= {moment + 0.5 for moment in moments}  # the lag of `values`
    apart = [each for each in rows if each["EVID"] == 1 or all(abs(each["TIME"] - m) > 1e-6 for m in moments)]
    asked = [each["EVID"] != 1 for each in apart]
    bolus = [{**each, "DUR": 0, "RATE": 0} if each["EVID"] == 1 else each for each in apart]
    brief = [{**each, "DUR": length, "RATE": 0} if each["EVID"] == 1 else each for each in apart]
    if any(asked):
        one, other = values(bolus), values(brief)
        assert np.all(np.abs(one - other) <= 1e-6 * np.max(np.abs(one), initial=1e-6))


@few
@given(
    st.sampled_from(["iv", "oral", "slow", "split"]), st.sampled_from([4.0, 6.5, 12.0]),
    st.sampled_from([{}, {"DUR": 1.5}, {"DUR": 9.0}, {"RATE": 25.0}]), st.lists(tenths, min_size=1, max_size=3),
)  # fmt: skip
def test_l4_a_steady_state_dose_is_the_limit_of_many_doses(
    route: str, every: float, timed: dict[str, float], times: list[float]
) -> None:
    """L4, E21 to E26: 60 intervals on, a table of plain doses ends where SS 1 begins."""
    seen = [row(time=time) for time in sorted(times)]
    steady = [{**row(evid=1, AMT=50, CMT=route, II=every, **timed), "SS": 1}, *seen]
    many = [row(evid=1, AMT=50, CMT=route, ADDL=60, II=every, **timed)]
    later = [{**each, "TIME": each["TIME"] + 60 * every} for each in seen]
    assert agree(values(steady), values([*many, *later]))


@few
@given(st.tuples(tables("1"), tables("2")))
def test_l1_two_regimens_together_give_the_sum(both: tuple[list[dict[str, Any]], ...]) -> None:
    """L1: superposition of the doses of two tables, seen at the times of the first."""
    first, second = ([{**each, "ID": "1"} for each in rows] for rows in both)
    seen, doses = ([each for each in first if (each["EVID"] == 1) is dosing] for dosing in (False, True))
    more = [each for each in second if each["EVID"] == 1]
    moments = {each["TIME"] for each in (*doses, *more)}
    asked = [each for each in seen if each["TIME"] not in moments]
    start = [row(time=0.0, evid=2)]  # one begin for all of them
    sums = [
        values(sorted([*start, *given_, *asked], key=lambda each: each["TIME"]))
        for given_ in (doses, more, doses + more)
    ]
    assert agree(sums[0] + sums[1], sums[2])


CELLS = {
    "id": ["1", "1", "A 7", ""], "time": ["0", "1.5", "2", "7.25", "-1", "1e2", "x", "", "2020-01-01", "00", "3."],
    "evid": ["0", "0", "0", "0", "0", "1", "2", "3", "4", "0.0", "", "7"],
    "cmt": ["iv", "1", "-1", ""], "dv": ["", "5", "BLQ", "0"], "mdv": ["", "0", "1", "1.0", "2"],
    "cens": ["", "0", "0", "1", "0.0"], "limit": ["", "3"],
    "amt": ["", "0", "10", "0.0"], "rate": ["", "0", "5"], "dur": ["", "1"], "addl": ["", "2"], "ii": ["", "0", "8"],
    "ss": ["", "0", "1"], "viab": ["", "0.5", "2"],
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(texts) for name, texts in CELLS.items()}))
def test_plain_rows_mean_the_same_by_the_short_way_and_by_the_long_one(cells: dict[str, str]) -> None:
    """Most rows of long tables are a value at a time, and are read without asking every rule again."""
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.event_checks import _Rows
    from mscpkpd.data.findings import Findings
    from mscpkpd.data.tables import Row, Table

    row = Row(2, {name: text for name, text in cells.items() if text})
    columns = tuple({**cells, "id": "", "time": ""})
    for unit in (1.0, 24.0):
        scales = {"time": unit, "dur": unit, "ii": unit, "rate": 1 / unit}
        reading = Reading(Table("x", columns, {}, {name: name for name in columns}, (row,)), Findings("x"))
        rows = _Rows(reading, scales, "")
        plain = rows._plain(row)
        if plain is not None:
            assert rows._any(row) == plain
            assert not reading.findings.lines
            assert not rows.notes
