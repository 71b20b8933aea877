"""Templates: each can be read as it stands, in every format."""

import openpyxl
import pytest

from mscpkpd.cohort import read_cohort
from mscpkpd.data import read_study
from mscpkpd.dosing import read_schedules
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.modelfile import load_model
from mscpkpd.templates import KINDS, template, write_template

TABLES = (".csv", ".tsv", ".xlsx")


@pytest.mark.parametrize("ending", TABLES)
def test_study_can_be_read(tmp_path, ending):
    study = read_study(write_template("study", tmp_path / f"study{ending}"))
    assert {record.kind for record in study.records} == {"value", "left", "mean"}
    assert study.digest == read_study(write_template("study", tmp_path / "plain.csv")).digest


@pytest.mark.parametrize("ending", TABLES)
def test_doses_can_be_read(tmp_path, ending):
    (tmp_path / "mouse.csv").write_text("subject,time [h],output,value,unit\nM01,1,lung,5,cells\nM03,1,lung,0,cells\n")
    study = read_study(tmp_path / "mouse.csv", doses=write_template("doses", tmp_path / f"any{ending}"))
    assert [len(subject.regimen) for subject in study.subjects] == [4, 0]


@pytest.mark.parametrize("ending", TABLES)
def test_cohort_can_be_read(tmp_path, ending):
    assert len(read_cohort(write_template("cohort", tmp_path / f"cohort{ending}")).patients) == 3


def test_model_and_schedules_can_be_read(tmp_path):
    model = load_model(write_template("model", tmp_path / "model.toml"))
    assert set(model.state_names) == {"blood", "lung"}
    schedules = read_schedules(write_template("schedules", tmp_path / "schedules.toml"))
    assert {name: len(regimen) for name, regimen in schedules.items()} == {"weekly": 4, "boost": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_and_key_is_explained(kind):
    text = template(kind)
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) < 190


def test_excel_has_a_bold_header_that_stays(tmp_path):
    book = openpyxl.load_workbook(write_template("doses", tmp_path / "doses.xlsx"))
    assert book.sheetnames == ["doses"]
    row = int(book["doses"].freeze_panes[1:]) - 1
    assert book["doses"].cell(row, 1).value == "subject"
    assert book["doses"].cell(row, 1).font.bold
    book.close()


def test_nothing_is_overwritten(tmp_path):
    path = write_template("study", tmp_path / "study.csv")
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"study.csv: the file exists. Try: another name"):
        write_template("study", path)
    assert path.read_text() == "mine"


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UnknownName, match="unknown template 'studdy'. Try: 'study'"):
        write_template("studdy", tmp_path / "study.csv")
    with pytest.raises(UsageError, match=r"'study.toml' for a study; expected a file that ends with .csv, .tsv, .xlsx"):
        write_template("study", tmp_path / "study.toml")
    with pytest.raises(UsageError, match=r"'model.csv' for a model; expected .*.toml. Try: model.toml"):
        write_template("model", tmp_path / "model.csv")
    with pytest.raises(UsageError, match="does not exist"):
        write_template("study", tmp_path / "none" / "study.csv")
