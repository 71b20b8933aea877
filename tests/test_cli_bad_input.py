"""Bad input at the shell: exit status 2, one message with place, expectation and advice, nothing half-written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mscpkpd.cli import run
from mscpkpd.templates import template

MODEL = template("model")
HEADER = "subject,time,time_unit,output,value,unit,dose,dose_unit,route"
ROW = "M01,1,h,lung_cells,6.1e5,cells,1e6,cells,iv"
STUDY = f"{HEADER}\n{ROW}\nM01,24,h,lung_cells,3.3e5,cells,1e6,cells,iv\n"
COHORT = "patient,cxcl10_0h,unit,platform,response\nP1,640,pg/mL,ELISA,1\nP2,310,pg/mL,ELISA,0\n"
SCHEDULES = '[schedule.once]\namount = "1e6 cells"\nroute = "iv"\n'
TWO = "two_functional_compartments"
GARBAGE = 200_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder with one good file of each kind; the working directory."""
    files = {"model.toml": MODEL, "study.csv": STUDY, "cohort.csv": COHORT, "schedules.toml": SCHEDULES}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(folder: Path, capsys) -> Callable[..., str]:
    """Run a command that must be refused; gives its message after the checks that hold for every refusal."""

    def check(*words: str) -> str:
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        began = time.perf_counter()
        status = run(words)
        seconds = time.perf_counter() - began
        out, err = capsys.readouterr()
        assert status == 2, f"{out}\n{err}"
        assert out == ""
        assert "Traceback" not in err
        assert err.count("mscpkpd: ") <= 1
        assert len(err.strip().splitlines()) == 1 or "problems\n  - " in err
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "something was written"
        assert seconds < 10
        return err.strip()

    return check


def fit(data: str = "study.csv", model: str = "model.toml", *more: str) -> tuple[str, ...]:
    return ("fit", model, data, "--method", "least_squares", "--out", "run", *more)


def simulate(*more: str, model: str = "model.toml") -> tuple[str, ...]:
    return ("simulate", model, "--dose", "1e6 cells", "--route", "iv", "--until", "1 d", "--out", "sims.csv", *more)


# Study tables: the same message from `check` and from `fit`

STUDIES = {
    "wrong unit": (STUDY.replace("6.1e5,cells", "6.1e5,cels"), "row 2, column 'unit': .*'cels'.* Try: .*cells"),
    "negative dose": (
        STUDY.replace(",1e6,cells", ",-1e6,cells"),
        "row 2, column 'dose': negative dose '-1e6'; expected",
    ),
    "negative duration": (
        f"{HEADER},duration,duration_unit\n{ROW},-5,min\n",
        "row 2, column 'duration|dose': .*-.*expected 0 or more",
    ),
    "missing column": (STUDY.replace("value", "amount"), "no column 'value'; expected subject, time, output, value"),
    "text in a number": (STUDY.replace("6.1e5", "many"), "row 2, column 'value': 'many'.*.*number"),
    "text in a time": (STUDY.replace("M01,24", "M01,soon"), "row 3, column 'time': 'soon'"),
    "duplicate column": (STUDY.replace("time_unit", "time"), "row 1: column name 'time' stands twice"),
    "duplicate row": (STUDY.replace("M01,24", "M01,1"), "row 3: subject 'M01', time 1 h.* also in row 2.* Try: "),
    "censored value without limit": (
        f"{HEADER},censoring\nM01,1,h,lung_cells,,cells,1e6,cells,iv,left\n",
        "row 2, column 'censoring|value|upper|row 2.*limit",
    ),
    "no doses": ("subject,time,time_unit,output,value,unit\nM01,1,h,lung_cells,5,cells\n", "no doses; expected a dose"),
    "missing unit": (f"{HEADER}\n{ROW.replace('6.1e5,cells', '6.1e5,')}\n", "row 2, column 'unit|value': .*unit"),
    "too few cells": (STUDY + "M02,1,h\n", "row 4: 3 cells, the header has 9"),
    "over 100 % of the dose": (
        STUDY.replace("6.1e5,cells", "140,%ID"),
        "row 2.*140.*100.* Try: ",
    ),
    "nothing but a header": (HEADER + "\n", "a header without rows"),
    "empty": ("", "the file is empty. Try: mscpkpd new study"),
}


@pytest.mark.parametrize(("text", "message"), STUDIES.values(), ids=STUDIES)
@pytest.mark.parametrize("command", ["check", "fit"])
def test_bad_study(folder: Path, refused, text: str, message: str, command: str) -> None:
    (folder / "bad.csv").write_text(text)
    words = ("check", "bad.csv") if command == "check" else fit("bad.csv")
    assert re.search(message, refused(*words))


# What only the model can judge

MISFITS = {
    "organ not in the model": (STUDY.replace("lung_cells", "lunge_cells"), "row 2.*'lunge_cells'.*lung_cells"),
    "unit of another dimension": (STUDY.replace("6.1e5,cells", "6.1e5,pg/mL"), "row 2.*pg/mL.*cells"),
    "route not in the model": (STUDY.replace(",iv", ",ivv"), "'ivv'.*iv"),
}


@pytest.mark.parametrize(("text", "message"), MISFITS.values(), ids=MISFITS)
def test_study_that_does_not_fit_the_model(folder: Path, refused, text: str, message: str) -> None:
    (folder / "bad.csv").write_text(text)
    assert re.search(message, refused(*fit("bad.csv")))


# Dose tables

DOSES = "subject,time [h],dose,dose_unit,route,duration [min]\nM01,0,1e6,cells,iv,2\n"
DOSE_TABLES = {
    "negative dose": (DOSES.replace("1e6", "-1e6"), "row 2, column 'dose': negative dose '-1e6'"),
    "negative duration": (DOSES.replace("iv,2", "iv,-2"), "row 2, column 'duration': .*'-2'; expected 0 or more"),
    "no unit": (DOSES.replace("1e6,cells", "1e6,"), "row 2, column 'dose': dose '1e6' has no unit"),
    "no time": (DOSES.replace("time [h]", "when"), "no column 'time'; expected subject, time, dose"),
}


@pytest.mark.parametrize(("text", "message"), DOSE_TABLES.values(), ids=DOSE_TABLES)
def test_bad_dose_table(folder: Path, refused, text: str, message: str) -> None:
    (folder / "bad_doses.csv").write_text(text)
    assert re.search(message, refused("check", "bad_doses.csv"))


def test_doses_beside_a_study_that_has_doses(folder: Path, refused) -> None:
    (folder / "second.csv").write_text(DOSES)
    assert "doses stand both here and in second.csv" in refused(
        *fit("study.csv", "model.toml", "--doses", "second.csv")
    )


# Cohorts: the same message from `check` and from `score`

COHORTS = {
    "wrong unit": (COHORT.replace("640,pg/mL", "640,kg"), "row 2, column 'unit': 'kg'.*expected pg/mL"),
    "negative level": (COHORT.replace("640", "-640"), "row 2, column 'cxcl10_0h': '-640'; expected a level above 0"),
    "text in a number": (COHORT.replace("640", "high"), "row 2, column 'cxcl10_0h': 'high'"),
    "missing column": (COHORT.replace("unit", "units"), "no column 'unit'.* Try: rename column 'units'"),
    "duplicate patient": (COHORT.replace("P2", "P1"), "row 3, column 'patient': 'P1' stands in row 2 already"),
    "limits that cross": ("patient,cxcl10_0h,unit,platform,lloq,uloq\nP1,6,pg/mL,ELISA,9,8\n", "row 2, column 'lloq'"),
    "limit without number": (COHORT.replace("640", "<"), "row 2, column 'cxcl10_0h': '<'; expected .*<7.8"),
}


@pytest.mark.parametrize(("text", "message"), COHORTS.values(), ids=COHORTS)
@pytest.mark.parametrize("words", [("check",), ("score",), ("score", "cohort.csv", "--out", "scores.csv", "--cohort")])
def test_bad_cohort(folder: Path, refused, text: str, message: str, words: tuple[str, ...]) -> None:
    (folder / "bad.csv").write_text(text)
    assert re.search(message, refused(*words, "bad.csv"))


# Model files, and everything else in TOML

MODELS = {
    "code in a rate": (
        MODEL.replace('"-k_B*blood"', "\"__import__('os').system('touch hacked')\""),
        r"\[rates\].blood",
    ),
    "unknown name in a rate": (MODEL.replace('"-k_B*blood"', '"-k_Q*blood"'), r"\[rates\].blood.*'k_Q'.*'?k_B"),
    "wrong unit in a rate": (MODEL.replace('"-k_B*blood"', '"-k_B*blood**2"'), r"\[rates\].blood.*expected cell/h"),
    "duplicate key": (
        MODEL.replace("[states]", "[states]\nlung = { unit = 'cells', about = 'twice' }"),
        "not valid TOML.*line",
    ),
    "unknown unit": (MODEL.replace('blood = { unit = "cells"', 'blood = { unit = "cels"'), "'cels'.*cells"),
    "text in a number": (
        MODEL.replace("value = 20,", 'value = "many",'),
        r"\[parameters\].k_B.*'many'.*a finite number",
    ),
    "prior that is none": (MODEL.replace("lognormal(20, 0.8)", "lognormal(20)"), r"\[parameters\].k_B.*lognormal"),
    "unknown key": (MODEL.replace("evidence", "evidense", 2), "unknown key 'evidense'.* Try: 'evidence'"),
    "no states": ('format = 1\ntitle = "x"\n', "expected .states. and .rates. of a model"),
    "empty": ("", "expected .states. and .rates. of a model"),
    "no TOML": ("subject,time\nM01,3\n", "not valid TOML"),
}


@pytest.mark.parametrize(("text", "message"), MODELS.values(), ids=MODELS)
def test_bad_model(folder: Path, refused, text: str, message: str) -> None:
    (folder / "bad.toml").write_text(text)
    assert re.search(message, refused("check", "bad.toml"), re.DOTALL)
    for words in (simulate(model="bad.toml"), fit(model="bad.toml"), ("models", "bad.toml")):
        refused(*words)
    assert not (folder / "hacked").exists()


SCHEDULE_FILES = {
    "negative dose": (
        SCHEDULES.replace("1e6", "-1e6"),
        r"\[schedule.once\].*-1e\+06 cells; expected a finite amount above 0",
    ),
    "negative duration": (
        SCHEDULES + 'over = "-1 h"\n',
        r"\[schedule.once\].*over = '-1 h' is negative; expected 0 or more",
    ),
    "unknown key": (SCHEDULES + 'evry = "7 d"\n', "unknown key 'evry'. Try: every"),
    "dose without unit": (SCHEDULES.replace("1e6 cells", "1e6"), "amount = '1e6'"),
    "wrong unit": (SCHEDULES.replace("1e6 cells", "1e6 cels"), "amount = '1e6 cels'.*cells"),
    "duplicate key": (SCHEDULES + 'route = "ip"\n', "line 4"),
    "unknown regimen": ('[schedule.a]\nregimen = "ryoncill"\n', "unknown regimen 'ryoncill'. Try: 'ryoncil'"),
}


@pytest.mark.parametrize(("text", "message"), SCHEDULE_FILES.values(), ids=SCHEDULE_FILES)
def test_bad_schedules(folder: Path, refused, text: str, message: str) -> None:
    (folder / "bad.toml").write_text(text)
    assert re.search(message, refused("check", "bad.toml"))
    simulated = refused("simulate", "model.toml", "--schedules", "bad.toml", "--out", "sims.csv")
    assert re.search(message, simulated)


def test_bad_values_file(folder: Path, refused) -> None:
    (folder / "bad.toml").write_text('format = 1\nmodel = "model"\n[parameters]\nk_Q = { value = 1 }\n')
    assert "unknown parameter 'k_Q'" in refused("check", "bad.toml")
    (folder / "bad.toml").write_text("format = 1\n[parameters]\nk_B = { value = 1 }\n")
    assert 'no model is named; expected model = "..."' in refused("check", "bad.toml")


def test_bad_regimen_file(folder: Path, refused) -> None:
    (folder / "bad.toml").write_text('format = 1\n[[course]]\nroute = "iv"\namount = "2e6 cells/kg"\n')
    assert "[[course]] 1, amount" in refused("check", "bad.toml")


# Files that are no such files


def _garbage(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\x89garbage,")
        file.truncate(GARBAGE)  # a hole: takes no room on the disk


UNREADABLE = {
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "missing": (lambda _: None, "no such file|No such file|there is no file|cannot be read"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 40), "binary|UTF-8"),
    "not UTF-8": (lambda path: path.write_bytes(b"k\xe4se = 1\n"), "UTF-8"),
    "200 MB of garbage": (_garbage, "200 MB|200,000,000 bytes|(larger|more) than 1 MB"),
    "empty": (lambda path: path.touch(), "empty|nothing|states|schedule|kind 'None'"),
}
READERS = {
    "check table": ("bad.csv", ("check", "bad.csv")),
    "check TOML": ("bad.toml", ("check", "bad.toml")),
    "data": ("bad.csv", fit("bad.csv")),
    "doses": ("bad.csv", fit("study.csv", "model.toml", "--doses", "bad.csv")),
    "model to fit": ("bad.toml", fit("study.csv", "bad.toml")),
    "model to simulate": ("bad.toml", simulate(model="bad.toml")),
    "schedules": ("bad.toml", ("simulate", "model.toml", "--schedules", "bad.toml", "--out", "sims.csv")),
    "patients": ("bad.csv", ("score", "bad.csv", "--out", "scores.csv")),
    "cohort": ("bad.csv", ("score", "cohort.csv", "--cohort", "bad.csv", "--out", "scores.csv")),
    "responder": ("bad.toml", ("score", "cohort.csv", "--responder", "bad.toml", "--out", "scores.csv")),
    "fitted run": ("bad.run", simulate("--fit", "bad.run")),
    "run to report": ("bad.run", ("report", "bad.run")),
}


@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(("name", "words"), READERS.values(), ids=READERS)
def test_unreadable_file(folder: Path, refused, make, message: str, name: str, words: tuple[str, ...]) -> None:
    make(folder / name)
    text = refused(*words)
    assert name in text
    if not name.endswith(".run"):  # whatever is no run folder is "no run folder"
        assert re.search(message, text)


def test_excel_file_that_is_none(folder: Path, refused) -> None:
    (folder / "bad.xlsx").write_bytes(b"PK\x03\x04 not really")
    assert "not a readable Excel file" in refused("check", "bad.xlsx")


# Options


def giving(*more: str) -> tuple[str, ...]:
    return ("simulate", "model.toml", *more, "--out", "s.csv")


OPTIONS = {
    "unknown command": (("fitt",), "No such command 'fitt'.*fit.* Try: mscpkpd --help"),
    "unknown option": (("score", "--cohrt", "x.csv"), "--cohrt.*--cohort.* Try: mscpkpd score --help"),
    "missing argument": (("fit", "--out", "run"), "Missing argument"),
    "missing option": (("fit", "model.toml", "study.csv"), "Missing option '--out'"),
    "random effect of no spread": (
        ("fit", "model.toml", "study.csv", "--method", "map", "--random", "k_L", "--out", "run"),
        "--random.*k_L.*declares no random effects",
    ),
    "negative seed": (fit("study.csv", "model.toml", "--seed", "-1"), "value for '--seed'"),
    "no draws": (fit("study.csv", "model.toml", "--draws", "0"), "value for '--draws'"),
    "unknown method": (
        ("fit", "model.toml", "study.csv", "--method", "nutz", "--out", "run"),
        "unknown method 'nutz'. Try: 'nuts'",
    ),
    "unknown --free": (fit("study.csv", "model.toml", "--free", "k_Q"), "'k_Q'.* Try: .*k_"),
    "unknown --fix": (fit("study.csv", "model.toml", "--fix", "k_Q=1"), "'k_Q'.* Try: .*k_"),
    "--free twice": (fit("study.csv", "model.toml", "--free", "k_L,k_L"), "--free: 'k_L' stands twice"),
    "unknown layout": (fit("study.csv", "model.toml", "--layout", "wild"), "--layout wild; expected 'tidy' or 'wide'"),
    "sheet of a CSV file": (fit("study.csv", "model.toml", "--sheet", "a"), "sheet 'a' of a file that has none"),
    "unknown --set": (simulate("--set", "k_Q=1"), "--set: unknown parameter 'k_Q'. Try: .*k_"),
    "--set without number": (simulate("--set", "k_L"), "--set: 'k_L'; expected name=number. Try: --set k_L=0.03"),
    "--set to text": (simulate("--set", "k_L=fast"), "--set k_L: 'fast' is no number; expected a number, in the unit"),
    "--set to infinity": (simulate("--set", "k_L=inf"), "--set k_L: 'inf' is no number"),
    "--set negative": (simulate("--set", "k_L=-1"), r"--set: k_L=-1; expected a value inside lognormal\(0.03, 0.4\)"),
    "--set twice": (simulate("--set", "k_L=1,k_L=2"), "--set: 'k_L' stands twice"),
    "--set empty": (simulate("--set", "k_L=1,"), "--set: 'k_L=1,' has an empty part; expected a=1,b=2"),
    "unknown --outputs": (simulate("--outputs", "lungs"), "unknown output 'lungs'. Try: 'lung'"),
    "unknown --values": (simulate("--values", "moose", model=TWO), "'moose'.* Try: 'mouse'"),
    "no --values": (simulate(model=TWO), "have no value.* Try: --values human_70kg or --values mouse"),
    "unknown model": (simulate(model="two_compartments"), "model 'two_compartments'. Try: 'pk_two_compartment'"),
    "nothing given": (
        giving(),
        "nothing is given; expected one of --dose, --regimen, --schedules, --events, --untreated",
    ),
    "two things given": (simulate("--regimen", "ryoncil"), "--dose and --regimen together"),
    "details of a regimen": (
        giving("--regimen", "ryoncil", "--every", "7 d"),
        "--every together with --regimen; expected these only with --dose",
    ),
    "dose without route": (giving("--dose", "1e6 cells"), "--dose without --route"),
    "dose without unit": (giving("--dose", "1e6", "--route", "iv"), "--dose 1e6: '1e6' has no unit"),
    "negative dose": (
        giving("--dose", "-1e6 cells", "--route", "iv"),
        "dose of -1e.06 cells; expected a finite amount above 0",
    ),
    "dose per kg without weight": (
        giving("--regimen", "ryoncil"),
        'dose of 2e.06 cells/kg at 0 h needs a body weight .*Try: --weight "70 kg"',
    ),
    "unknown route": (giving("--dose", "1e6 cells", "--route", "ivv"), "unknown route 'ivv'. Try: 'iv'"),
    "negative --over": (simulate("--over", "-1 h"), '--over "-1 h" is negative; expected 0 or more'),
    "--doses without --every": (
        simulate("--doses", "3"),
        '--doses 3 without an interval. Try: --every "7 d" beside --doses 3',
    ),
    "--every of nothing": (simulate("--every", "0 h", "--doses", "3"), '--every "0 h"; expected an interval above 0'),
    "--until without unit": (simulate("--until", "28"), "'28' has no unit"),
    "--until of nothing": (simulate("--until", "0 d"), '--until "0 d"; expected a time after 0'),
    "--weight without unit": (simulate("--weight", "70"), "'70' has no unit"),
    "--weight of a time": (simulate("--weight", "70 h"), "kg"),
    "negative --weight": (simulate("--weight", "-70 kg"), "weight.*-70 kg.*above 0"),
    "--step below zero": (simulate("--step", "-1 h"), '--step "-1 h"; expected a time above 0'),
    "--step too fine": (
        simulate("--step", "1e-8 h"),
        "numbers; expected at most 3e.08. Try: fewer --subjects or --draws",
    ),
    "--times and --until": (simulate("--times", "0,1"), "--times and --until together"),
    "no subject": (simulate("--subjects", "0"), "value for '--subjects'"),
    "other table": (
        simulate("--out", "sims.xlsx"),
        "--out: 'sims.xlsx' ends with .xlsx; expected FILE.csv, or a folder",
    ),
    "nobody to score": (("score",), "no patient; expected either a table of patients or one level"),
    "a file and a level": (("score", "cohort.csv", "--cxcl10", "640"), "a file and --cxcl10"),
    "level without platform": (
        ("score", "--cxcl10", "640", "--unit", "pg/mL"),
        "--cxcl10 without --platform. Try: --unit pg/mL",
    ),
    "level of a wrong unit": (("score", "--cxcl10", "640", "--unit", "kg", "--platform", "ELISA"), "'kg'"),
    "negative level": (
        ("score", "--cxcl10", "-5", "--unit", "pg/mL", "--platform", "ELISA"),
        "'-5'; expected a level above 0",
    ),
    "covariate beside a file": (("score", "cohort.csv", "--grade", "C"), "--grade beside a file. Try: a column"),
    "unknown responder": (("score", "cohort.csv", "--responder", "cxcl9"), "'cxcl9'"),
    "unknown template": (("new", "studdy", "a.csv"), "unknown template 'studdy'. Try: 'study'"),
    "template that exists": (("new", "study", "study.csv"), "study.csv: the file exists. Try: another name"),
    "template of another ending": (
        ("new", "model", "m.csv"),
        "'m.csv' for a model; expected a file that ends with .toml",
    ),
    "unknown name to show": (("models", "two_functional"), "Try: 'two_functional_"),
}


@pytest.mark.parametrize(("words", "message"), OPTIONS.values(), ids=OPTIONS)
def test_bad_option(refused, words: tuple[str, ...], message: str) -> None:
    text = refused(*words)
    assert re.search(message, text), text


def test_times_must_ascend(refused) -> None:
    words = ("simulate", "model.toml", "--dose", "1e6 cells", "--route", "iv", "--out", "s.csv", "--times")
    assert "--times: 1 stands after 2; expected times in ascending order" in refused(*words, "0,2,1")
    assert "--times: 'soon' is no number" in refused(*words, "0,soon")
    assert "--times: '0,,1' has an empty part" in refused(*words, "0,,1")


# Places to write to

OUT = "mscpkpd: .*(does not exist|cannot write here|is a folder|is no earlier run)"
COMMANDS = {
    "fit": fit()[:-1],
    "simulate": simulate()[:-1],
    "score": ("score", "cohort.csv", "--out"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("out", ["study.csv/result", "/proc/nowhere/result", "/dev/null/result"])
def test_place_that_cannot_be(refused, words: tuple[str, ...], out: str) -> None:
    assert re.match(OUT, refused(*words, out))


@pytest.mark.parametrize("words", [COMMANDS["simulate"], COMMANDS["score"]], ids=["simulate", "score"])
def test_table_in_a_folder_that_does_not_exist(refused, words: tuple[str, ...]) -> None:
    assert re.search("folder .*nowhere does not exist. Try: mkdir -p .*nowhere", refused(*words, "nowhere/result.csv"))


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_folder_that_no_run_made(folder: Path, refused, words: tuple[str, ...]) -> None:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.txt").write_text("years of work")
    assert "thesis exists and is no earlier run. Try: another --out" in refused(*words, "thesis")


def test_several_files_are_all_checked(folder: Path, capsys) -> None:
    (folder / "bad.csv").write_text(STUDY.replace("6.1e5", "many"))
    assert run(["check", "model.toml", "bad.csv", "study.csv", "missing.csv"]) == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["model.toml", "study.csv"]
    assert [line.split(":")[0] for line in err.splitlines()] == ["bad.csv", "missing.csv"]
