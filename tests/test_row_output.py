"""Row output (section 8 of the conventions): every row in order, time after dose (E38), PRED and RES."""

from __future__ import annotations

import math
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import TEXT, frame, loaded, one_compartment
from mscpkpd import cli
from mscpkpd.data import study_from_frame
from mscpkpd.errors import UsageError
from mscpkpd.simulation import simulate

ROWS = """ID TIME EVID AMT ADDL II CMT DV CENS
1 0 0 . . . iv . .
1 0 1 100 2 4 iv . .
1 3 0 . . . iv 2 0
1 4 0 . . . iv 3 0
1 5 0 . . . iv 3 1
1 7 phantom . . . iv . .
1 7.5 2 . . . iv . .
1 8.5 3 . . . iv . .
1 9 0 . . . iv . .
1 10 1 50 . . oral . .
2 1 0 . . . iv 3 ."""
UNITS = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}


def every_row(text: str = ROWS, **options: Any) -> pd.DataFrame:
    return simulate(one_compartment(), events=frame(text), rows="all", **options)


def test_e1_e3_every_row_in_order_after_its_own_event() -> None:
    """E1, E3: a row for each row; the state just after the dose, the reset, or the event with a name (E36)."""
    table = every_row(parameters={"L": 0.0})
    assert table.columns.tolist() == [
        "ID", "TIME", "EVID", "CMT", "DVID", "DV", "TAD", "PRED", "RES", "conc", "central", "depot",
    ]  # fmt: skip
    given_ = frame(ROWS)
    assert table["ID"].tolist() == [int(x) for x in given_["ID"]]
    assert table["TIME"].tolist() == [float(x) for x in given_["TIME"]]
    assert [str(x) for x in table["EVID"]] == given_["EVID"].tolist()
    two = 2 * (1 + exp(-0.4))
    expected = [
        0, 2, 2 * exp(-0.3), two, two * exp(-0.1), two * exp(-0.3), two * exp(-0.35), 0, 0, 0, 0,
    ]  # fmt: skip
    assert table["conc"].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert table["depot"].tolist()[-2:] == pytest.approx([50.0, 0.0])
    assert table["PRED"].tolist() == table["conc"].tolist(), "there are no random effects, and one output"


def test_e36_the_row_of_a_named_event_shows_what_it_did() -> None:
    table = every_row("ID TIME EVID AMT CMT\n1 0 1 100 iv\n1 5 replace 20 central\n1 5 multiply 3 1")
    assert table["central"].tolist() == pytest.approx([100, 20, 60])


def test_the_rows_with_evid_0_and_2_are_the_same_in_both_forms() -> None:
    both = every_row()
    few = simulate(one_compartment(), events=frame(ROWS))
    assert few.columns.tolist() == ["ID", "TIME", "EVID", "DVID", "conc", "central", "depot"]
    kept = both[both["EVID"].isin([0, 2])].reset_index(drop=True)
    assert kept[few.columns].astype({"EVID": int}).equals(few)


def test_e38_time_after_the_latest_dose() -> None:
    """E38: nominal and not lagged, additional doses and phantoms included; missing before the first of an episode."""
    table = every_row(parameters={"L": 2.0})
    nan = math.nan
    assert table["TAD"].tolist() == pytest.approx([nan, 0, 3, 0, 1, 0, 0.5, nan, nan, 0, nan], nan_ok=True)
    assert table.attrs["units"]["TAD"] == "h"
    days = frame(ROWS).rename(columns={"TIME": "TIME [d]"})
    assert simulate(one_compartment(), events=days, rows="all")["TAD"].tolist()[2] == 3.0


def test_e38_time_after_dose_in_the_tables_of_a_study() -> None:
    """E38: the same times, computed and not read: a column TAD is no covariate."""
    made = study_from_frame(frame(ROWS), **UNITS)
    tidy = made.to_tidy(tad=True)
    assert tidy["tad"].tolist()[:3] == [3.0, 0.0, 1.0]
    assert math.isnan(tidy["tad"][3]), "subject 2 has no dose"
    table = made.to_nonmem(tad=True)
    rows = simulate(one_compartment(), events=table, rows="all")
    assert rows["TAD"].tolist() == pytest.approx(table["TAD [h]"].astype(float).tolist(), nan_ok=True)
    again = study_from_frame(table)
    assert again.digest == made.digest
    assert "TAD is not read: it follows from the doses (E38)" in again.notes
    assert all(not each.covariates for each in again.subjects)
    assert "TAD [h]" not in made.to_nonmem()


def test_e28_e22_steady_states_and_time_after_dose() -> None:
    """E22: SS 1 drops additional doses that have not come; SS 2 does not (E28)."""
    text = "ID TIME EVID AMT ADDL II SS CMT\n1 0 1 100 3 4 . iv\n1 5 1 100 . 9 {} iv\n1 8 0 . . . . iv"
    assert every_row(text.format(1))["TAD"].tolist() == [0.0, 0.0, 3.0]
    assert every_row(text.format(2))["TAD"].tolist() == [0.0, 0.0, 0.0]


def test_pred_is_that_of_the_output_that_the_row_observes() -> None:
    """D6: DVID, else the only output that sees the state; RES in its unit, missing where censored (B15)."""
    model = loaded(TEXT + 'gut = { is = "depot", unit = "mg", noise = "proportional(s)" }\n')
    text = """ID TIME EVID AMT CMT DVID DV CENS
        1 0 1 100 oral . . .
        1 1 0 . central conc 1.5 0
        1 1 0 . 2 . 10 0
        1 1 0 . 2 . 10 1
        1 1 0 . iv 7 4 0"""
    table = simulate(model, events=frame(text).rename(columns={"DV": "DV [mg]"}), rows="all", outputs=["conc"])
    assert table.columns.tolist()[-1] == "conc"
    gut = 100 * exp(-1.5)
    assert table["PRED"].tolist()[2:4] == pytest.approx([gut, gut], rel=1e-6)
    assert table["RES"][2] == pytest.approx(10 - gut, rel=1e-5)
    assert np.isnan(table["RES"][[0, 1, 3, 4]]).all(), "mg is no mg/L, a censored value, and no output"
    assert np.isnan(table["PRED"][4])
    assert [note.split(" where ")[0] for note in table.attrs["notes"]] == ["PRED is missing", "RES is missing"]


def test_the_unit_of_dv_is_turned_into_that_of_the_output() -> None:
    text = "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 5 0 . iv 1500"
    table = simulate(one_compartment(), events=frame(text).rename(columns={"DV": "DV [ug/L]"}), rows="all")
    assert table["RES"][1] == pytest.approx(1.5 - 2 * exp(-0.5), rel=1e-6)
    assert table["DV"][1] == 1500.0


def test_what_does_not_go_together_is_refused() -> None:
    for options in ({"rows": "some"}, {"rows": "all", "times": [1.0]}):
        with pytest.raises(UsageError, match=f"rows='{options['rows']}'"):
            simulate(one_compartment(), events=frame(ROWS), **options)


def test_the_shell_writes_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, out = tmp_path / "events.csv", tmp_path / "out.csv"
    events.write_text("ID,TIME,EVID,AMT,CMT,DV\n1,0,1,100,iv,.\n1,5,0,.,iv,1\n", encoding="utf-8")
    words = ["simulate", "pk_one_compartment", "--events", str(events), "--out", str(out)]
    assert cli.run([*words, "--rows", "all", "--outputs", "conc"]) == 0
    table = pd.read_csv(out)
    assert table.columns.tolist()[:9] == ["ID", "TIME", "EVID", "CMT", "DVID", "DV", "TAD", "PRED", "RES"]
    assert table["TAD"].tolist() == [0.0, 5.0]
    assert cli.run([*words, "--rows", "some"]) == 2
    assert "--rows some; expected" in capsys.readouterr().err
    assert cli.run(["simulate", "pk_one_compartment", "--untreated", "--out", str(out), "--rows", "all"]) == 2


@st.composite
def timed(draw: st.DrawFn) -> pd.DataFrame:
    """Doses, additional doses, resets, steady states and observations at whole hours."""
    kinds = st.sampled_from([
        {"EVID": 0}, {"EVID": 0}, {"EVID": 1, "AMT": 10}, {"EVID": 1, "AMT": 10, "ADDL": 3, "II": 4}, {"EVID": 3},
        {"EVID": 4, "AMT": 5}, {"EVID": 1, "AMT": 10, "II": 5, "SS": 1}, {"EVID": "phantom"},
    ])  # fmt: skip
    times = sorted(draw(st.lists(st.integers(0, 30), min_size=2, max_size=8)))
    rows = [{"ID": 1, "TIME": time, "CMT": "iv", **draw(kinds)} for time in times]
    rows.append({"ID": 1, "TIME": 31, "CMT": "iv", "EVID": 0, "DV": 1})
    return pd.DataFrame(rows)


@settings(max_examples=40, deadline=None)
@given(timed())
def test_e38_a_study_and_a_simulation_agree_on_time_after_dose(table: pd.DataFrame) -> None:
    """E38: the doses of a regimen, held one by one, and the rows of the table tell the same times."""
    from mscpkpd.data.after_dose import after_dose, after_doses_of_rows
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.event_checks import read_events
    from mscpkpd.data.findings import Findings
    from mscpkpd.data.tables import table_of_frame

    events, _ = read_events(Reading(table_of_frame(table), Findings("x"), ".", {"time": "h"}), "h")
    by_rows = after_doses_of_rows(events)
    doses = study_from_frame(table, **UNITS).subjects[0].regimen.doses
    last = after_dose(doses, 31.0)
    assert by_rows[-1] == (last if last is not None else pytest.approx(math.nan, nan_ok=True))
    moments = [event.time for event in events]
    for event, after in zip(events, by_rows, strict=True):
        if moments.count(event.time) == 1 and event.evid in (0, 2):
            alone = after_dose(doses, event.time)
            assert after == pytest.approx(math.nan if alone is None else alone, nan_ok=True)
