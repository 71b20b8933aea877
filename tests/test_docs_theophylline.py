"""docs/theophylline.md does what it says: its Python and its shell command run, its table holds what the tests hold."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

import test_theophylline as known
from mscpkpd.data import read_study
from mscpkpd.fitting.api import fit
from mscpkpd.modelfile import library_path, load_model
from printed import DOCS, blocks_of, page, run_python, run_shell

PAGE = page("theophylline.md")
BLOCKS = blocks_of(PAGE)
LINES = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
ROWS = {cells[0]: [float(x) for x in cells[1:]] for cells in LINES if re.fullmatch(r"-?[\d.]+", cells[-1])}


def test_the_blocks_run_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(library_path() / "data" / "theophylline_boeckmann_1994.csv", tmp_path)
    printed = run_python(BLOCKS, "theophylline.md", capsys)
    assert "All checks of the fit hold." in printed
    assert "omega2_CL" in printed
    assert (tmp_path / "theophylline.png").is_file()
    assert run_shell(BLOCKS, capsys) == 1
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_declaration_is_that_of_the_shipped_model():
    shipped = (library_path() / "pkpd" / "theophylline.toml").read_text()
    declared = next(text for kind, text in BLOCKS if kind == "text")
    assert declared.strip() in shipped
    assert (DOCS / "figures" / "theophylline.png").is_file()


def test_the_numbers_of_r_are_those_of_the_tests():
    logs = {"ke": "ln ke", "ka": "ln ka", "CL": "ln CL"}
    for column, (typical, variances, sd, loglik) in enumerate(
        (
            (known.NLME, known.VARIANCES, known.RESIDUAL, known.LOGLIK),
            (known.NLMER, known.NLMER_VARIANCES, known.NLMER_SD, known.NLMER_LOGLIK),
        )
    ):
        expected = {logs[name]: value for name, value in typical.items()}
        expected |= {f"variance of {name.removeprefix('omega2_')}": value for name, value in variances.items()}
        expected |= {"residual SD [mg/L]": sd, "log-likelihood": loglik}
        for name, value in expected.items():
            assert ROWS[name][column] == pytest.approx(value, abs=6e-4), name


@pytest.mark.parametrize(("method", "column"), [("focei", 2), ("laplace", 3)])
def test_our_numbers_are_those_of_the_page(method, column):
    study = read_study(library_path() / "data" / "theophylline_boeckmann_1994.csv")
    found = fit(load_model("theophylline"), study, method)
    values = dict(zip(found.table["parameter"], found.table["estimate"], strict=True))
    got = {f"ln {name}": np.log(values[name]) for name in ("ke", "ka", "CL")}
    got |= {f"variance of {name}": values[f"omega2_{name}"] for name in ("ka", "CL")}
    got |= {"residual SD [mg/L]": values["sigma_conc"], "log-likelihood": found.statistics["log_likelihood"]}
    for name, value in got.items():
        assert ROWS[name][column] == pytest.approx(value, abs=6e-4), name
