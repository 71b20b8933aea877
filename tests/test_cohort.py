"""Cohort tables: what is read, what is read with a note, and what is refused with advice (D14)."""

import time

import pandas as pd
import pytest

import mscpkpd as msc
from mscpkpd.cohort import Cohort, Level, Patient, cohort_from_frame, read_cohort
from mscpkpd.errors import CohortError

HEAD = "patient,cxcl10_0h,unit,platform"


@pytest.fixture
def read(tmp_path):
    def cohort(text: str | bytes, name: str = "trial.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_cohort(path, **options)

    return cohort


def patient(columns: str = "", cells: str = "", *, level: str = "640", unit: str = "pg/mL", platform: str = "ELISA"):
    """One row of a table with some more columns."""
    more = f",{columns}" if columns else ""
    rest = f",{cells}" if columns else ""
    return f"{HEAD}{more}\nP1,{level},{unit},{platform}{rest}\n"


# ---- what is read --------------------------------------------------------------------------------------------------


def test_every_column_is_read(read):
    columns = "cxcl10_24h,lloq,uloq,grade,liver,age,centre,response,synthetic"
    (one,) = read(patient(columns, "320,7.8,5000,C,1,9,Lyon,1,false")).patients
    assert one == Patient(
        "P1",
        Level(640.0),
        "ELISA",
        grade="C",
        liver=True,
        age=9.0,
        response=1,
        level_24h=Level(320.0),
        centre="Lyon",
    )
    assert one.child
    assert one.row == 2


def test_what_is_not_given_is_not_known(read):
    (one,) = read(patient("grade,liver,age,response", ",NA,.,")).patients
    assert (one.grade, one.liver, one.age, one.child, one.response) == (None,) * 5


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("640", Level(640.0)),
        ("6.4e2", Level(640.0)),
        ("<7.8", Level(7.8, "left")),
        ("< 7.8", Level(7.8, "left")),
        ("<=7.8", Level(7.8, "left")),
        (">500", Level(500.0, "right")),
        ("≥500", Level(500.0, "right")),
    ],
)
def test_levels_and_limits(read, text, level):
    assert read(patient(level=text)).patients[0].level == level


def test_a_number_outside_its_own_limits_is_censored_and_said(read):
    below, above = (read(patient("lloq,uloq", "78,5000", level=text)) for text in ("40", "5100"))
    assert below.patients[0].level == Level(78.0, "left")
    assert above.patients[0].level == Level(5000.0, "right")
    assert "outside its own lloq or uloq was read as below or above that limit (1 patient)" in below.notes[0]


@pytest.mark.parametrize(
    ("unit", "value", "expected"), [("ng/mL", "0.64", 640.0), ("pg/ml", "640", 640.0), ("ng/L", "640", 640.0)]
)
def test_units_are_converted_to_pg_per_ml(read, unit, value, expected):
    """A law: the same concentration in another unit is the same patient."""
    assert read(patient(level=value, unit=unit)).patients[0].level.value == pytest.approx(expected, rel=1e-12)


def test_limits_are_in_the_unit_of_their_row(read):
    (one,) = read(patient("lloq", "0.078", level="0.01", unit="ng/mL")).patients
    assert one.level == Level(78.0, "left")


def test_unit_and_platform_may_stand_in_header_or_argument(read):
    by_column = read(patient())
    assert read("patient,cxcl10_0h [pg/mL],platform\nP1,640,ELISA\n") == by_column
    assert read("patient,cxcl10_0h\nP1,640\n", unit="pg/mL", platform="ELISA") == by_column


def test_semicolons_decimal_commas_comments_and_case(read):
    text = "# made by hand\nPatient;CXCL10_0h;Unit;Platform\nP1;640,5;pg/mL;ELISA\n"
    assert read(text, decimal=",").patients[0].level == Level(640.5)


def test_excel(tmp_path):
    path = tmp_path / "trial.xlsx"
    frame = pd.DataFrame({"patient": [1, 2], "cxcl10_0h": [640, "<7.8"], "unit": "pg/mL", "platform": "ELISA"})
    frame.to_excel(path, index=False)
    assert [one.level for one in read_cohort(path).patients] == [Level(640.0), Level(7.8, "left")]


def test_response_words_are_read_with_a_note(read):
    rows = "".join(f"{name},640,pg/mL,ELISA,{name}\n" for name in ("CR", "PR", "NR"))
    cohort = read(f"{HEAD},response\n{rows}")
    assert [one.response for one in cohort.patients] == [1, 1, 0]
    assert cohort.responders == 2
    assert "CR and PR were read as response 1, NR as 0 (3 patients)" in cohort.notes


@pytest.mark.parametrize(("text", "grade"), [("b", "B"), ("Grade D", "D"), ("III", "C"), ("4", "D"), ("", None)])
def test_grades(read, text, grade):
    assert read(patient("grade", text)).patients[0].grade == grade


def test_roman_grades_make_a_note(read):
    assert "grades I to IV were read as A to D" in read(patient("grade", "III")).notes[0]


@pytest.mark.parametrize(("text", "liver"), [("1", True), ("no", False), ("3", True), ("0", False), ("", None)])
def test_liver(read, text, liver):
    assert read(patient("liver", text)).patients[0].liver is liver


@pytest.mark.parametrize(("age", "child"), [("17.9", True), ("18", False), ("0.5", True)])
def test_a_child_is_below_eighteen(read, age, child):
    assert read(patient("age", age)).patients[0].child is child


@pytest.mark.parametrize(
    ("columns", "cells", "name"),
    [("synthetic", "true", "a.csv"), ("label", "SYNTHETIC", "a.csv"), ("", "", "cohort_SYNTHETIC.csv")],
)
def test_synthetic_patients_are_known_as_such(read, columns, cells, name):
    cohort = read(patient(columns, cells), name)
    assert cohort.synthetic
    assert str(cohort).startswith("SYNTHETIC cohort")


def test_columns_that_nothing_uses_are_named(read):
    assert read(patient("Weight,lot", "70,L1")).notes == ("columns not used: Weight, lot",)


@pytest.mark.parametrize("level", ["640000", "0.2"])
def test_a_level_of_an_unlikely_size_asks_for_its_unit(read, level):
    cohort = read(patient(level=level))
    assert "implausible CXCL10 in row 2" in cohort.notes[0]
    assert "ng/mL instead of pg/mL, or the reverse?" in cohort.notes[0]
    assert level not in cohort.notes[0], "notes are saved with a scorer, which holds no patient data"


def test_a_limit_below_the_range_is_plausible(read):
    assert read(patient(level="<0.5")).notes == ()


def test_one_outcome_only_makes_a_note(read):
    rows = "".join(f"P{k},640,pg/mL,ELISA,1\n" for k in range(3))
    assert "all 3 patients with a known outcome responded" in read(f"{HEAD},response\n{rows}").notes[0]


def test_a_missing_level_makes_a_note(read):
    cohort = read(f"{HEAD},age\nP1,,pg/mL,ELISA,9\n")
    assert cohort.patients[0].level is None
    assert "CXCL10 is missing for 1 patient" in cohort.notes[0]


def test_writing_and_reading_again_gives_the_same_cohort(repository):
    for name in ("cohort", "patients"):
        cohort = read_cohort(repository / f"models/data/cxcl10_{name}_SYNTHETIC.csv")
        again = cohort_from_frame(cohort.to_frame())
        assert again == cohort
        assert again.digest == cohort.digest


# ---- one patient ---------------------------------------------------------------------------------------------------


def test_one_patient():
    cohort = Cohort.of_one(0.64, "ng/mL", "ELISA", grade="C", liver=False, age=9)
    assert cohort.patients == (Patient("patient", Level(640.0), "ELISA", grade="C", liver=False, age=9.0),)
    assert Cohort.of_one("<7.8", "pg/mL", "ELISA", grade=None).patients[0].level == Level(7.8, "left")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cxcl10": -3}, r"one patient: row 2, column 'cxcl10_0h': '-3'; expected a level above 0"),
        ({"unit": "litres"}, r"column 'unit': 'litres'"),
        ({"graed": "C"}, r"'graed' is no column of a cohort. Try: grade"),
    ],
)
def test_one_patient_is_checked_like_a_table(options, message):
    with pytest.raises(CohortError, match=message):
        Cohort.of_one(**{"cxcl10": 640, "unit": "pg/mL", "platform": "ELISA"} | options)


# ---- what is refused -----------------------------------------------------------------------------------------------

WRONG = {
    "text": (patient(level="high"), r"trial.csv: row 2, column 'cxcl10_0h': 'high'; expected a level above 0.*Try: "),
    "negative": (patient(level="-5"), r"'-5'; expected a level above 0.*Try: a level below the limit .* written <7.8"),
    "zero": (patient(level="0"), r"'0'; expected a level above 0.*Try: a level below the limit"),
    "unit in the cell": (patient(level="640 pg/mL"), r"'640 pg/mL'.*Try: the number alone, its unit in the column"),
    "decimal comma": (patient(level='"640,5"'), r"'640,5'.*Try: decimal=','"),
    "infinite": (patient(level="1e999"), r"'1e999'; expected a level above 0"),
    "no unit": (patient(unit=""), r"row 2, column 'unit': the cell is empty. Try: a column 'unit'"),
    "unknown unit": (patient(unit="pgml"), r"row 2, column 'unit': 'pgml': unknown unit.*expected pg/mL or ng/mL"),
    "molar": (patient(unit="nM"), r"column 'unit': 'nM': cannot turn nM into pg/mL; expected pg/mL or ng/mL"),
    "no platform": (patient(platform=""), r"row 2, column 'platform': the cell is empty. Try: .*platform='ELISA'"),
    "limit below zero": (patient("lloq", "-1"), r"column 'lloq': limit -1; expected above 0"),
    "limits crossed": (patient("lloq,uloq", "500,78"), r"column 'lloq': lloq 500 is not below uloq 78"),
    "coded 1 and 2": (
        patient("response", "1") + "P2,640,pg/mL,ELISA,2\n",
        r"row 3, column 'response': value '2' \(1 row\); expected 1, 0, CR, PR or NR. Try: which of 1 and 2 .* recode",
    ),
    "unknown response": (
        patient("response", "SD"),
        r"column 'response': 'SD'; expected 1 \(overall response at day 28",
    ),
    "months": (patient("age", "384"), r"column 'age': 384; expected years, 0 to 110. Try: .*months divided by 12"),
    "months in words": (patient("age", "8 months"), r"column 'age': '8 months'; expected a number of years"),
    "grade": (patient("grade", "V"), r"column 'grade': 'V'; expected A, B, C, D or I, II, III, IV"),
    "grade of two letters": (patient("grade", "BC"), r"column 'grade': 'BC'"),
    "liver": (patient("liver", "maybe"), r"column 'liver': 'maybe'; expected 1 or 0"),
    "twice": (patient() + "P1,320,pg/mL,ELISA\n", r"row 3, column 'patient': 'P1' stands in row 2 already"),
    "no name": (patient() + ",320,pg/mL,ELISA\n", r"row 3, column 'patient': the cell is empty"),
    "no columns": (
        "patient,cxcl10,unit\nP1,640,pg/mL\n",
        r"2 problems\n  - no column 'cxcl10_0h'.*Try: rename column 'cxcl10'\n  - no column 'platform'.*Try: a col",
    ),
    "header alone": (f"{HEAD}\n", r"a header without rows"),
    "empty": ("", r"the file is empty. Try: mscpkpd new cohort FILE.csv"),
    "binary": (b"patient\0cxcl10", r"NUL bytes: it is binary"),
    "two units": (
        "patient,cxcl10_0h [pg/mL],unit,platform\nP1,640,ng/mL,ELISA\n",
        r"column 'unit': unit stated as 'ng/mL' and 'pg/mL'. Try: one unit",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused_with_advice(read, case):
    text, message = WRONG[case]
    with pytest.raises(CohortError, match=message):
        read(text)


def test_header_and_argument_must_agree(read):
    with pytest.raises(CohortError, match=r"unit 'pg/mL' in the header, 'ng/mL' as argument. Try: one of them"):
        read("patient,cxcl10_0h [pg/mL],platform\nP1,640,ELISA\n", unit="ng/mL")


def test_all_findings_are_reported_together(read):
    text = f"{HEAD},age,response\nP1,high,pg/mL,ELISA,384,1\nP1,640,,,9,2\n"
    with pytest.raises(CohortError, match=r"trial.csv: 6 problems") as caught:
        read(text)
    message = str(caught.value)
    for part in ("row 2, column 'cxcl10_0h'", "row 2, column 'age'", "row 3, column 'patient'", "row 3, column 'unit'"):
        assert part in message
    assert message.index("row 2, column 'cxcl10_0h'") < message.index("row 3, column 'unit'")


def test_a_missing_file_is_refused(tmp_path):
    (tmp_path / "trial.csv").write_text("x")
    with pytest.raises(CohortError, match=r"trail.csv: cannot be read .* Try: 'trial.csv'"):
        read_cohort(tmp_path / "trail.csv")


def test_a_huge_file_is_refused_at_once(tmp_path):
    path = tmp_path / "trial.csv"
    with path.open("wb") as file:
        file.truncate(51_000_000)
    started = time.perf_counter()
    with pytest.raises(CohortError, match=r"51 MB is more than the limit of 50 MB"):
        read_cohort(path)
    assert time.perf_counter() - started < 1.0


def test_a_long_file_of_garbage_is_refused_within_seconds(read):
    started = time.perf_counter()
    with pytest.raises(CohortError, match=r"(?s)\d{4} problems.*and 9\d\d more"):
        read(f"{HEAD}\n" + "x,y,z,w\n" * 200_000)
    assert time.perf_counter() - started < 10.0


# ---- shipped files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), [("cohort", 60), ("patients", 10)])
def test_shipped_tables_are_labelled_synthetic(repository, name, size):
    path = repository / f"models/data/cxcl10_{name}_SYNTHETIC.csv"
    cohort = msc.read_cohort(path)
    assert len(cohort) == size
    assert all(one.synthetic and one.id.startswith("SYN-") for one in cohort.patients)
    table = pd.read_csv(path, dtype=str)
    assert set(table["label"]) == {"SYNTHETIC"}
    assert table["generator"].notna().all()


def test_shipped_patients_cover_the_difficult_cases(repository):
    patients = msc.read_cohort(repository / "models/data/cxcl10_patients_SYNTHETIC.csv").patients
    assert {one.level.censoring for one in patients} == {"none", "left", "right"}
    assert {one.grade for one in patients} == {"B", "C", "D", None}
    assert len({one.platform for one in patients}) == 3
    assert any(one.child for one in patients)
    assert all(one.response is None for one in patients)
