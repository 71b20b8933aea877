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
    "negative dose": (STUDY.replace(",1e6,cells", ",-1e6,cells"), "row 2, column 'dose': negative dose '-1e6'; expected"),
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
