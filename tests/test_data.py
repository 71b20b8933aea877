"""Study tables: laws of units and layouts, censoring, summaries, doses, files."""

import math
import pickle
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscpkpd.data import Study, read_doses, read_study, study_from_frame
from mscpkpd.data.summaries import D2, log_of_quartiles, mean_of_range
from mscpkpd.dosing import Dose, Regimen, bolus, infusion
from mscpkpd.errors import DataError, UnknownName

HEAD = "subject,time [h],output,value,unit,dose,dose_unit,route"
PLAIN = f"{HEAD}\nM1,1,lung_cells,5e5,cells,1e6,cells,iv\nM1,24,lung_cells,2e5,cells,1e6,cells,iv\n"


@pytest.fixture
def read(tmp_path):
    """Write text to a file and read it as a study."""

    def study(text: str, name: str = "mouse.csv", **options) -> Study:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_study(path, **options)

    return study


def one_subject(first: str, *rows: str, columns: str = "") -> str:
    """A table of one subject with one dose and these rows: time, output, value, unit and further columns."""
    head = f"subject,dose,dose_unit,route,time [h],output,value,unit{columns}"
    return "\n".join([head, *(f"M1,1e6,cells,iv,{row}" for row in (first, *rows))]) + "\n"


# ---- laws ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8, unique=True))
def test_the_unit_of_time_changes_nothing(hours):
    def study(factor: float, unit: str) -> Study:
        rows = {"subject": "M1", "output": "lung", "value": 1.0, "unit": "cells", "dose": "1 cells", "route": "iv"}
        frame = pd.DataFrame([rows | {"time": hour / factor} for hour in hours])
        return study_from_frame(frame, time_unit=unit)

    by_hour, by_day, by_minute = study(1, "h"), study(24, "d"), study(1 / 60, "min")
    assert by_hour.digest == by_day.digest == by_minute.digest
    assert [record.time for record in by_day.records] == pytest.approx(hours)
    assert {record.time_unit for record in by_day.records} == {"h"}


@pytest.mark.parametrize(
    ("header", "column", "options"),
    [
        ("time [h]", "", {}),
        ("Time [h]", "", {}),
        ("time", ",time_unit", {}),
        ("time", "", {"time_unit": "h"}),
    ],
)
def test_units_in_header_column_or_argument_are_the_same(read, header, column, options):
    cell = ",h" if column else ""
    study = read(
        f"Subject,{header},OUTPUT,value [cells],dose [cells],route{column}\nM1,3,lung,7,1e6,iv{cell}\n", **options
    )
    plain = read(f"{HEAD}\nM1,3,lung,7,cells,1e6,cells,iv\n")
    assert study.digest == plain.digest


def test_a_unit_may_stand_in_the_cell_of_a_time_dose_duration_or_weight(read):
    text = "subject,time,output,value [cells],dose,route,dose_time,duration,weight\n"
    study = read(f"{text}M1,90 min,lung,7,1e6 cells/kg,iv,0.5h,30 min,25 g\n")
    assert study.records[0].time == 1.5
    assert study.subject("M1").weight == 0.025
    assert study.subject("M1").regimen.doses == (Dose(0.5, 1e6, "cells/kg", "iv", 0.5),)


def test_wide_and_tidy_are_the_same(read):
    wide = read(
        "subject,time [h],lung_cells [cells],il10 [pg/mL],dose [cells],route\n"
        "M1,1,5e5,<7.8,1e6,iv\nM1,24,2e5,NA,1e6,iv\nM2,24,.,90,1e6,iv\n",
        layout="wide",
    )
    tidy = read(
        f"{HEAD}\nM1,1,lung_cells,5e5,cells,1e6,cells,iv\nM1,1,il10,<7.8,pg/mL,1e6,cells,iv\n"
        "M1,24,lung_cells,2e5,cells,1e6,cells,iv\nM2,24,il10,90,pg/mL,1e6,cells,iv\n"
    )
    assert wide.records[1].kind == "left"
    assert [record.output for record in wide.records] == ["lung_cells", "il10", "lung_cells", "il10"]
    assert wide.subjects[0].regimen == tidy.subjects[0].regimen
    assert [record.value for record in wide.records] == [record.value for record in tidy.records]


def test_doses_in_rows_a_second_table_a_file_beside_and_a_frame_are_the_same(read, tmp_path):
    rows = "subject,time [h],output,value,unit\nM1,1,lung,5,cells\nM2,1,lung,0,cells\n"
    doses = (
        "subject,time [d],dose,dose_unit,route,duration [min],every [d],doses\nM1,0,1e6,cells,iv,30,7,3\nM2,,0,,,,,\n"
    )
    inline = read(
        "subject,time [h],output,value,unit,dose,dose_unit,route,duration [min],every [d],doses\n"
        "M1,1,lung,5,cells,1e6,cells,iv,30,7,3\nM2,1,lung,0,cells,0,,,,,\n"
    )
    (tmp_path / "second.csv").write_text(doses)
    by_path = read(rows, doses=tmp_path / "second.csv")
    by_frame = read(rows, doses=pd.read_csv(tmp_path / "second.csv"))
    (tmp_path / "mouse_doses.csv").write_text(doses)
    beside = read(rows)
    expected = infusion("1e6 cells", "iv", "30 min", every="7 d", doses=3)
    for study in (inline, by_path, by_frame, beside):
        assert study.subject("M1").regimen == expected
        assert study.subject("M2").regimen == Regimen()
    assert "doses from mouse_doses.csv" in beside.notes


def test_explicit_doses_of_a_second_table_equal_every(read):
    rows = "subject,time [h],output,value,unit\nM1,1,lung,5,cells\n"
    columns = ["subject", "time [d]", "dose", "dose_unit", "route"]
    frame = pd.DataFrame([["M1", day, 1e6, "cells", "iv"] for day in (7, 0, 14)], columns=columns)
    assert read(rows, doses=frame).subject("M1").regimen == bolus("1e6 cells", "iv", every="7 d", doses=3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["M1", "M2"]),
            st.integers(0, 100),
            st.sampled_from(["value", "left", "right", "interval", "mean", "median", "range"]),
            st.floats(0.1, 1e6),
            st.floats(1.1, 3.0),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: (row[0], row[1]),
    )
)
def test_a_study_saved_and_read_again_has_the_same_digest(tmp_path_factory, rows):
    study = study_from_frame(pd.DataFrame([_any_row(*row) for row in rows]), time_unit="h")
    path = tmp_path_factory.mktemp("study") / "again.csv"
    study.save(path)
    again = read_study(path)
    assert again.digest == study.digest
    assert study_from_frame(study.to_frame()).digest == study.digest
    assert [record.kind for record in again.records] == [record.kind for record in study.records]


def _any_row(subject, time, kind, value, spread):
    row = {"subject": subject, "time": time, "output": "lung", "unit": "cells", "value": value, "sex": "f"}
    row |= {
        "dose": "1e6 cells/kg",
        "route": "iv",
        "duration": "5 min",
        "weight": "25 g",
        "species": "mouse",
        "lot": "A",
    }
    bounds = {"lower": value, "upper": value * spread}
    extra = {
        "left": {"censoring": "left"},
        "right": {"censoring": "right"},
        "interval": {"censoring": "interval", **bounds},
        "mean": {"stat": "mean", "sd": spread, "n": 5},
        "median": {"stat": "median", "value": value * math.sqrt(spread), "n": 4, **bounds},
        "range": {"stat": "range", "n": 4, "value": None, **bounds},
    }
    return row | extra.get(kind, {})


def test_repeated_doses_are_saved_in_a_second_file(read, tmp_path):
    doses = pd.DataFrame(
        {"subject": ["M1", "M1"], "time": [0, 24], "dose": ["1 cells", "2 cells"], "route": ["iv", "iv"]}
    )
    study = read("subject,time,output,value,unit\nM1,1,lung,5,cells\nM2,,,,\n", doses=pd.concat(
        [doses, pd.DataFrame({"subject": ["M2"], "time": [0], "dose": ["0"]})]), time_unit="h")  # fmt: skip
    assert not study.doses_fit_in_rows
    study.save(tmp_path / "saved.csv")
    assert (tmp_path / "saved_doses.csv").is_file()
    assert read_study(tmp_path / "saved.csv").digest == study.digest
    assert study_from_frame(study.to_frame(), study.doses_frame()).digest == study.digest


# ---- censoring and summaries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "kind", "value", "lower", "upper"),
    [
        ("5,none,,", "value", 5, None, None),
        ("<7.8,,,", "left", 7.8, None, 7.8),
        ("< 7.8,left,,", "left", 7.8, None, 7.8),
        (">=500,,,", "right", 500, 500, None),
        ("7.8,left,,", "left", 7.8, None, 7.8),
        (",left,,7.8", "left", 7.8, None, 7.8),
        ("0,left,0,7.8", "left", 7.8, None, 7.8),
        ("7.8,left,1.5,", "interval", 4.65, 1.5, 7.8),  # B14: detected, not quantified
        ("500,right,,", "right", 500, 500, None),
        (",right,500,", "right", 500, 500, None),
        ("500,right,,800", "interval", 650, 500, 800),  # B2
        (",interval,2,6", "interval", 4, 2, 6),
    ],
)
def test_censoring(read, row, kind, value, lower, upper):
    cells = row.split(",")
    study = read(one_subject(f"1,il10,{cells[0]},pg/mL,{','.join(cells[1:])}", columns=",censoring,lower,upper"))
    record = study.records[0]
    assert (record.kind, record.lower, record.upper) == (kind, lower, upper)
    assert record.value == pytest.approx(value)


def test_a_limit_column_is_the_limit_of_censored_rows(read):
    text = one_subject("1,il10,0,pg/mL,left,7.8,500", "2,il10,900,pg/mL,right,7.8,500", "3,il10,9,pg/mL,,7.8,500",
                  columns=",censoring,lloq,uloq")  # fmt: skip
    left, right, seen = read(text).records
    assert (left.kind, left.value) == ("left", 7.8)
    assert (right.kind, right.value) == ("right", 500)
    assert (seen.kind, seen.value) == ("value", 9)


def test_mean_with_and_without_sd(read):
    columns = ",stat,sd,n"
    known, unknown = read(one_subject("1,il10,80,pg/mL,mean,30,5", "2,il10,70,pg/mL,mean,,5", columns=columns)).records
    assert (known.kind, known.value, known.sd, known.n) == ("mean", 80, 30, 5)
    assert (unknown.kind, unknown.sd, unknown.n) == ("mean", None, 5)


def test_range_is_midpoint_and_range_over_d2(read):
    record = read(one_subject("1,lung,30.25,%ID,range,4,27.0,33.5", columns=",stat,n,lower,upper")).records[0]
    assert (record.kind, record.stat, record.value) == ("mean", "range", 30.25)
    assert record.sd == pytest.approx(6.5 / 2.059)  # B16
    assert (record.lower, record.upper) == (27.0, 33.5)


def test_a_value_that_is_not_the_midpoint_is_noted(read):
    study = read(one_subject("6,limb,39,%ID,range,6,30,60", columns=",stat,n,lower,upper"))
    assert study.records[0].value == 45
    assert "row 2: the value 39 is not used, a range is its midpoint 45 (B16)" in study.notes


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        ("5,,,4,6", "row 2: lower and upper are not used beside a value"),
        ("5,mean,4,4,6", "row 2: lower and upper are not used beside a mean"),
    ],
)
def test_bounds_that_are_not_used_are_noted(read, cells, note):
    value, *others = cells.split(",")
    assert read(one_subject(f"1,lung,{value},cells,{','.join(others)}", columns=",stat,n,lower,upper")).notes == (note,)


def test_the_sd_of_a_range_is_computed_and_one_beside_it_noted(read):
    study = read(one_subject("1,lung,,cells,range,4,2,8,1", columns=",stat,n,lower,upper,sd"))
    assert study.records[0].sd == pytest.approx(6 / 2.059)
    assert study.notes == ("row 2: the sd is not used, a range has its limits (B16)",)


def test_many_notes_are_cut(read):
    rows = [f"{k},limb,3{k % 10},%ID,range,6,30,60" for k in range(40)]
    assert read(one_subject(*rows, columns=",stat,n,lower,upper")).notes[-1] == "and 20 more notes"


def test_median_with_quartiles_is_mean_and_sd_of_the_logarithm(read):
    sd = 0.7
    quartile = math.exp(0.6744897501960817 * sd)
    row = f"1,il10,20,pg/mL,median,9,{20 / quartile!r},{20 * quartile!r}"
    record = read(one_subject(row, columns=",stat,n,lower,upper")).records[0]
    assert record.kind == "logmean"
    assert record.value == pytest.approx(math.log(20))
    assert record.sd == pytest.approx(sd)
    assert record.upper - record.value == pytest.approx(0.6744897501960817 * sd)


def test_summaries_scale_with_the_unit():
    assert mean_of_range(2, 10, 4) == pytest.approx([x / 1000 for x in mean_of_range(2000, 10000, 4)])
    (mean, sd), (scaled, same) = log_of_quartiles(5, 3, 8), log_of_quartiles(5000, 3000, 8000)
    assert scaled - mean == pytest.approx(math.log(1000))
    assert sd == pytest.approx(same)


def test_d2_is_the_expected_range_of_normal_values():
    # d2(n) = integral of 1 - (1 - Phi(x))^n - Phi(x)^n over the line, by the trapezoid on a wide grid
    grid = [-8 + k / 200 for k in range(3201)]
    for n, tabulated in D2.items():
        phi = [0.5 * math.erfc(-x / math.sqrt(2)) for x in grid]
        d2 = sum(1 - (1 - p) ** n - p**n for p in phi) / 200
        assert tabulated == pytest.approx(d2, abs=6e-4), n  # three decimals in the rule


# ---- subjects, doses, notes ------------------------------------------------------------------------------------------


def test_reading_keeps_order_unknown_columns_and_constant_covariates(read):
    text = one_subject("24,lung,5,cells,old,f", "1,lung,6,cells,new,f", columns=",comment,Sex")
    study = read(text)
    assert [record.time for record in study.records] == [24, 1]  # D15
    assert study.records[0].extra == (("comment", "old"), ("sex", "f"))
    assert study.subject("M1").covariates == (("sex", "f"),)


def test_all_spellings_of_percent_of_dose(read):
    units = ("%ID", "% ID", "percent of dose", "% of injected dose", "percent_of_dose", "% dose")
    study = read(one_subject(*(f"{k},lung,5,{unit}" for k, unit in enumerate(units))))
    assert {record.unit for record in study.records} == {"%ID"}


def test_organs_that_sum_to_more_than_the_dose_are_noted(read):
    study = read(one_subject("1,lung,70,%ID", "1,liver,45,%ID", "2,lung,50,%ID"))
    assert study.notes == ("subject 'M1' at 1 h: 2 outputs sum to 115 %ID, more than the dose",)
    assert "note: subject 'M1'" in str(study)


def test_a_share_above_100_may_be_a_mean_with_its_sd(read):
    assert read(one_subject("1,lung,104,%ID,mean,9,4", columns=",stat,sd,n")).records[0].value == 104


def test_replicates_lots_and_methods_may_repeat_a_time(read):
    rows = [f"1,lung,5,cells,{k},{lot},{method}" for k in (1, 2) for lot in "AB" for method in ("qPCR", "flow")]
    assert len(read(one_subject(*rows, columns=",replicate,lot,method"))) == 8


def test_rows_without_a_value_are_left_out_and_counted(read):
    study = read(f"{PLAIN}M1,48,lung_cells,NA,cells,,,\nM1,72,lung_cells,.,cells,,,\n")
    assert len(study) == 2
    assert "2 rows without a value left out" in study.notes


def test_lot_and_viability_reach_the_dose(read):
    study = read(one_subject("1,lung,5,cells,A17,0.9", columns=",lot,viability"))
    dose = study.subject("M1").regimen.doses[0]
    assert (dose.lot, dose.viable) == ("A17", 0.9)


def test_a_dose_without_a_time_is_at_zero_and_else_on_the_clock_of_the_rows(read):
    assert read(one_subject("1,lung,5,cells")).subject("M1").regimen.doses[0].time == 0
    days = read("subject,time [d],output,value [cells],dose [cells],route,dose_time\nM1,3,lung,7,1e6,iv,2\n")
    assert days.subject("M1").regimen.doses[0].time == 48


@pytest.mark.parametrize(("name", "synthetic"), [("mouse.csv", False), ("mouse_SYNTHETIC.csv", True)])
def test_synthetic_by_file_name(read, name, synthetic):
    assert read(PLAIN, name).synthetic is synthetic


def test_synthetic_by_column(read, tmp_path):
    study = read(one_subject("1,lung,5,cells,true", columns=",synthetic"))
    assert study.synthetic
    assert "SYNTHETIC: not measured" in str(study)
    study.save(tmp_path / "again.csv")
    assert read_study(tmp_path / "again.csv").synthetic


def test_summary(read):
    text = (
        "subject,species,time [h],output,value,unit,dose,dose_unit,route\n"
        "M1,mouse,1,lung,5e5,cells,1e6,cells,iv\nM1,mouse,24,lung,<2e3,cells,,,\nM2,mouse,1,lung,0,cells,0,,\n"
    )
    assert str(read(text)) == (
        "Study mouse (mouse.csv): 2 subjects, 3 records\n"
        "  species: mouse\n"
        "  lung [cells]: 2 observed, 1 below a limit; time 1 to 24 h (2 times)\n"
        "  doses: 1 dose of 1e+06 cells iv at 0 h (1 subject)\n"
        "  doses: none (untreated) (1 subject)"
    )


def test_a_study_pickles_and_finds_its_subjects(read):
    study = read(PLAIN, name_of := "mouse.csv")
    assert pickle.loads(pickle.dumps(study)) == study  # noqa: S301  (our own bytes)
    assert study.subject("M1").id == "M1"
    assert study.records[0].where == f"{name_of} row 2"
    assert study.outputs == ("lung_cells",)
    with pytest.raises(UnknownName, match="unknown subject 'M11'. Try: 'M1'"):
        study.subject("M11")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("comma.csv", PLAIN, {}),
        ("tab.tsv", PLAIN.replace(",", "\t"), {}),
        ("semicolon.csv", PLAIN.replace(",", ";"), {}),
        ("bom.csv", "\ufeff" + PLAIN, {}),
        ("windows.csv", PLAIN.replace("\n", "\r\n"), {}),
        ("comment.csv", "# what this is\n#,,,\n\n" + PLAIN, {}),
        ("blank_columns.csv", PLAIN.replace("\n", ",,\n"), {}),
        ("european.csv", PLAIN.replace(",", ";").replace("5e5", "500000,0"), {"decimal": ","}),
        ("quoted.csv", PLAIN.replace("lung_cells", '"lung_cells"'), {}),
    ],
)
def test_ways_to_write_the_same_table(read, name, text, options):
    assert read(text, name, **options).digest == read(PLAIN).digest


def test_rows_are_numbered_as_in_the_file(read):
    rows = 'M1,1,lung,5,cells,1,cells,iv,"two\nlines"\n\nM1,2,lung,6,cells,1,cells,iv,\n'
    text = f"# comment\n\n{HEAD},note\n{rows}"
    assert [record.row for record in read(text).records] == [4, 7]


def test_a_subject_may_begin_with_a_hash(read):
    assert read(PLAIN.replace("M1", "#1")).subjects[0].id == "#1"


@pytest.fixture
def book(tmp_path):
    def make(**sheets) -> Path:
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, rows in sheets.items():
            sheet = workbook.create_sheet(title)
            for row in rows:
                sheet.append(row)
        workbook.save(tmp_path / "study.xlsx")
        return tmp_path / "study.xlsx"

    return make


def test_excel_with_a_sheet_of_doses(book):
    observed = ["subject", "time [h]", "output", "value", "unit"]
    dosed = ["subject", "time [h]", "dose", "dose_unit", "route"]
    path = book(
        data=[observed, [1, 1, "lung", 5e5, "cells"], [], [2, 24.5, "lung", "<7", "cells"]],
        doses=[dosed, [1, 0, 1e6, "cells", "iv"], [2, 0, 1e6, "cells", "iv"]],
    )
    study = read_study(path)
    assert [record.row for record in study.records] == [2, 4]
    assert study.records[1].time == 24.5
    assert [subject.id for subject in study.subjects] == ["1", "2"]
    assert study.notes == ("doses from the sheet 'doses'",)
    assert read_study(path, sheet="data", doses=path).digest == study.digest
    with pytest.raises(DataError, match="no sheet 'dta'. Try: 'data'"):
        read_study(path, sheet="dta")


def test_frames_count_rows_as_their_csv_file_would():
    frame = pd.DataFrame(
        {"subject": [1, 2], "time": [1.0, 2.0], "output": "lung", "value": [5, None], "dose": 1e6, "route": "iv"}
    )
    with pytest.raises(DataError, match=r"(?s)frame: .*row 2, column 'dose': dose '1000000' has no unit"):
        study_from_frame(frame, unit="cells", time_unit="h")
    frame["dose_unit"] = "cells"
    study = study_from_frame(frame, unit="cells", time_unit="h", name="mine")
    assert (study.name, study.source, len(study)) == ("mine", "frame", 1)
    assert study.records[0].where == "frame row 2"


def test_parquet_where_pandas_can_read_it(tmp_path, monkeypatch):
    (tmp_path / "study.parquet").write_bytes(b"PAR1")
    frame = study_from_frame(pd.DataFrame([_any_row("M1", 1, "value", 5.0, 2.0)]), time_unit="h").to_frame()
    monkeypatch.setattr(pd, "read_parquet", lambda _: frame)
    assert len(read_study(tmp_path / "study.parquet")) == 1

    def missing(_):
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(DataError, match="needs pyarrow"):
        read_study(tmp_path / "study.parquet")


# ---- shipped data ----------------------------------------------------------------------------------------------------


def test_the_label_data_in_man(repository):
    study = read_study(repository / "models/data/human_111In_gholamrezanezhad_2011.csv")
    assert study.studies == ("gholamrezanezhad_2011",)
    assert [subject.species for subject in study.subjects] == ["human"]
    assert study.subjects[0].regimen == bolus("3.25e8 cells", "iv")
    assert not study.synthetic
    found = {(record.output, record.time): (record.value, record.lower, record.upper) for record in study.records}
    assert {key: pytest.approx(value) for key, value in found.items()} == {
        ("lung_label", 2): (30.25, 27.0, 33.5),
        ("lung_label", 240): (3.7, 2.0, 5.4),
        ("liver_label", 2): (1.4, 0.0, 2.8),
        ("liver_label", 240): (15.2, 13.0, 17.4),
        ("spleen_label", 2): (6.1, 2.0, 10.2),
        ("spleen_label", 240): (36.15, 30.1, 42.2),
    }
    assert {(record.kind, record.n, record.unit) for record in study.records} == {("mean", 4, "%ID")}
    assert study.records[0].sd == pytest.approx(3.15687, rel=1e-5)


def test_the_evidence_table_is_complete(repository):
    facts = pd.read_csv(repository / "models/data/biodistribution_evidence.csv", dtype=str, keep_default_na=False)
    assert len(facts) == 156
    assert set(facts["use"]) == {"fit", "shown", "ordering", "prior only", "no"}
    assert set(facts["provenance"]) == {"read", "derived", "recalled"}
    assert (facts[["study", "species", "route", "organ", "quantity", "value", "unit", "statement"]] != "").all(
        axis=None
    )
    assert set(facts[facts["study"] == "mirpour_2009"]["use"]) == {"shown"}  # two patients of the fitted four
    assert "fit" not in set(facts[facts["provenance"] == "recalled"]["use"])
    assert "fit" not in set(facts[facts["is_msc"] == "false"]["use"])
    readme = (repository / "models/data/README.md").read_text()
    assert all(f"`{column}`" in readme for column in facts.columns)


def test_doses_are_read_without_their_study(tmp_path):
    path = tmp_path / "doses.csv"
    path.write_text(
        "# comment\nsubject,time,dose,dose_unit,route,every,doses\nA,0,2e6,cells/kg,iv,7,2\nB,1,0,cells,iv,,\n"
    )
    with pytest.raises(DataError, match="row 3, column 'every': '7' has no unit"):
        read_doses(path)
    path.write_text(path.read_text().replace("every", "every [d]"))
    regimens = read_doses(path, time_unit="d")
    assert {name: [dose.time for dose in regimen] for name, regimen in regimens.items()} == {"A": [0, 168], "B": []}
