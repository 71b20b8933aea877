"""The shell commands: what they print, write and return."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from mscpkpd import cli
from mscpkpd.cli import progress, words
from mscpkpd.cli.console import show_json
from mscpkpd.errors import FitError, UsageError
from mscpkpd.responder import BANNER
from mscpkpd.templates import KINDS, template

TWO = "two_functional_compartments"
LIBRARY = Path(__file__).parents[1] / "models"
PATIENTS, COHORT = LIBRARY / "data" / "cxcl10_patients_SYNTHETIC.csv", LIBRARY / "data" / "cxcl10_cohort_SYNTHETIC.csv"
# follows the model of the template with F_v = 0.9, k_B = 20, rho_L = 0.6, k_L = 0.03, and 10 % up and down
LUNG = {0.5: 5.8e5, 1: 4.7e5, 6: 5.0e5, 24: 2.4e5, 48: 1.4e5, 72: 5.7e4}
BLOOD = {0.05: 3.6e5, 0.1: 1.1e5, 0.2: 1.8e4}


class Answer(NamedTuple):
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def first_line(self) -> str:
        return self.out.splitlines()[0]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch, capsys) -> Callable[..., Answer]:
    """Run a command in an empty folder."""
    monkeypatch.delenv("MSCPKPD_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*given: object) -> Answer:
        status = cli.run([str(word) for word in given])
        return Answer(status, *capsys.readouterr())

    return command


def study_text() -> str:
    lines = ["subject,time [h],output,value,unit,dose,dose_unit,route"]
    values = [("lung_cells", *row) for row in LUNG.items()] + [("blood_cells", *row) for row in BLOOD.items()]
    lines += [f"S{k},{time},{output},{value},cells,1e6,cells,iv" for k, (output, time, value) in enumerate(values)]
    return "\n".join(lines)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A model and a study that fits it."""
    (tmp_path / "model.toml").write_text(template("model"))
    (tmp_path / "study.csv").write_text(study_text())
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A run folder of a least-squares fit."""
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "model.toml").write_text(template("model"))
    (folder / "study.csv").write_text(study_text())
    assert cli.run(["fit", str(folder / "model.toml"), str(folder / "study.csv"), "--method", "least_squares",
                    "--free", "k_B,rho_L,k_L", "--out", str(folder / "run")]) == 0  # fmt: skip
    return folder / "run"


def given(*more: object) -> tuple[object, ...]:
    return ("simulate", "model.toml", "--dose", "1e6 cells", "--route", "iv", *more)


# The program


def test_help_names_every_command(shell) -> None:
    for answer in (shell(), shell("--help")):
        assert answer.status == 0
        for name in ("demo", "models", "check", "fit", "simulate", "score", "new", "report"):
            assert re.search(rf"^\W+{name}\s", answer.out, re.MULTILINE)


@pytest.mark.parametrize("name", ["demo", "models", "check", "fit", "simulate", "score", "new", "report"])
def test_help_of_a_command(shell, name: str) -> None:
    answer = shell(name, "--help")
    assert answer.status == 0
    assert f"Usage: mscpkpd {name}" in answer.out
    assert "--json" in answer.out


def test_version(shell) -> None:
    assert re.fullmatch(r"mscpkpd \d+\.\d+.*\n", shell("--version").out)
    assert shell("--version", "--json").json["version"] in shell("--version").out


def test_the_installed_command_ends_with_its_status(tmp_path: Path) -> None:
    code = "from mscpkpd.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "missing.csv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("missing.csv: there is no such file")


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    code = "from mscpkpd.cli import main; main()"
    command = [sys.executable, "-c", code, "models", TWO, "--values", "mouse"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        running.stdout.close()
        complaint = running.stderr.read() if running.stderr else ""
    assert (running.returncode, complaint) == (0, "")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "mscpkpd: interrupted; nothing half-written was left"),
        (FitError("no start", hint="another"), 3, "mscpkpd: no start. Try: another"),
        (UsageError("not so"), 2, "mscpkpd: not so"),
        (PermissionError(13, "Permission denied", "here.csv"), 2, "mscpkpd: here.csv: Permission denied"),
        (OSError("odd"), 1, "mscpkpd: unexpected OSError: odd. This is a fault of mscpkpd. Please report"),
        (ZeroDivisionError("x/0\nmore"), 1, "mscpkpd: unexpected ZeroDivisionError: x/0. This is a fault of mscpkpd."),
        (MemoryError(), 1, "mscpkpd: unexpected MemoryError: MemoryError. This"),
    ],
)
def test_every_end_has_a_status_and_one_line(shell, monkeypatch, error: BaseException, status: int, message) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("mscpkpd.templates.write_template", fail)
    answer = shell("new", "study", "a.csv")
    assert answer.status == status
    assert answer.err.startswith(message)
    assert len(answer.err.splitlines()) == 1
    monkeypatch.setenv("MSCPKPD_DEBUG", "1")
    assert ("Traceback" in shell("new", "study", "a.csv").err) == (status != 130)


# models


def test_models_lists_the_library(shell) -> None:
    answer = shell("models")
    assert answer.status == 0
    assert re.search(rf"{TWO} +human_70kg, mouse, rat +MSC", answer.out)
    assert re.search(r"ryoncil +8 ", answer.out)
    assert re.search(r"ryoncil_continued +12 ", answer.out)
    assert "sr_agvhd_cxcl10" in answer.out
    content = shell("models", "--json").json
    assert next(row for row in content["models"] if row["name"] == TWO)["values"] == ["human_70kg", "mouse", "rat"]
    assert {row["name"] for row in content["regimens"]} >= {"ryoncil", "temcell", "amimestrocel"}


def test_models_shows_a_model(shell) -> None:
    answer = shell("models", TWO, "--values", "mouse")
    assert answer.out.startswith(f"{TWO} (values: mouse)")
    assert "d lung/dt =" in answer.out
    finding = "14 states are linear, m and il10 follow one after the other: exact"
    assert answer.out.rstrip().endswith(f"Equations: {finding} engine")
    content = shell("models", TWO, "--values", "mouse", "--json").json
    assert content["equations"] == finding
    assert {"name", "value", "unit", "prior", "source", "evidence"} <= content["parameters"][0].keys()
    assert "lung_cells" in {row["name"] for row in content["outputs"]}


def test_models_without_values_says_which_there_are(shell) -> None:
    answer = shell("models", TWO)
    assert answer.status == 0
    assert "13 parameters have no value of their own. Values files: human_70kg, mouse, rat." in answer.out
    assert re.search(r"rho_L +- +1 +Share", answer.out)
    assert re.search(r"k_L +0.0289 +1/h", answer.out)
    assert shell("models", TWO, "--json").json["without_value"][:2] == ["k_B", "rho_L"]


@pytest.mark.usefixtures("files")
def test_models_shows_files_regimens_and_responders(shell) -> None:
    assert shell("models", "model.toml").out.startswith("my_model: ")
    assert "8  588 h (24.5 d)" in shell("models", "ryoncil").out
    assert BANNER in shell("models", "sr_agvhd_cxcl10").out
    assert "8 doses" in shell("models", "ryoncil", "--json").json["text"]


# new and check


@pytest.mark.parametrize("kind", KINDS)
def test_every_template_passes_its_check(shell, kind: str) -> None:
    file = f"mine.{'toml' if kind in ('model', 'schedules') else 'csv'}"
    answer = shell("new", kind, file)
    assert answer.status == 0
    assert answer.out.endswith(f"Then: mscpkpd check {file}\n")
    checked = shell("check", file)
    assert checked.status == 0
    assert re.match(rf"{file}: ok: {kind}, .*\d", checked.out)
    assert shell("new", kind, f"again-{file}", "--json").json == {"file": f"again-{file}", "kind": kind}


def test_the_whole_library_passes(shell) -> None:
    tables = [*LIBRARY.glob("data/human*.csv"), *LIBRARY.glob("data/*SYNTHETIC.csv")]
    shipped = [*LIBRARY.glob("[prv]*/**/*.toml"), *tables]
    verdicts = shell("check", *shipped, "--json").json
    assert [verdict["problem"] for verdict in verdicts if not verdict["ok"]] == []
    kinds = {verdict["kind"] for verdict in verdicts}
    assert kinds == {"model", "values", "regimen", "responder", "study", "cohort"}
    assert all(verdict["about"] for verdict in verdicts)


def test_check_says_what_is_synthetic_and_what_to_know(shell) -> None:
    answer = shell("check", COHORT)
    assert "ok: cohort, SYNTHETIC, 60 patients, 60 with a known outcome" in answer.out
    assert "\n  note: columns not used: generator" in answer.out
    base = shell("check", LIBRARY / "pkpd" / f"{TWO}.toml").out
    assert "numbers come from values files, each checked: human_70kg, mouse, rat" in base


def test_check_reads_wide_tables_where_told(shell, tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("subject;time;lung [cells];dose [cells];route\nM1;1;1,5e5;1e6;iv\n")
    refused = shell("check", "wide.csv")
    assert refused.status == 2
    assert "--layout wide" in refused.err
    options = ("--layout", "wide", "--decimal", ",", "--time-unit", "d")
    assert "ok: study, 1 subject, 1 record of lung" in shell("check", "wide.csv", *options).out


def test_check_reports_as_json(shell, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("")
    answer = shell("check", "bad.csv", COHORT, "--json")
    assert answer.status == 2
    assert [verdict["ok"] for verdict in answer.json] == [False, True]
    assert "the file is empty" in answer.json[0]["problem"]


def test_check_finds_the_model_of_values_beside_them(shell, files: Path) -> None:
    row = '{ value = 30, source = "here", evidence = "read" }'
    (files / "fast.toml").write_text(f'format = 1\nmodel = "my_model"\n[parameters]\nk_B = {row}\n')
    (files / "my_model.toml").write_text(template("model"))
    assert "fast.toml: ok: values, 1 number for my_model" in shell("check", "fast.toml").out


# fit


def test_fit_writes_a_complete_run(fitted: Path) -> None:
    names = {path.name for path in fitted.iterdir()}
    wanted = {"summary.csv", "draws.nc", "predictions.csv", "model.toml", "data.csv", "provenance.json", "log.txt"}
    assert wanted | {"report.html", "figures"} <= names
    settings = json.loads((fitted / "provenance.json").read_text())["settings"]
    assert settings["command"].startswith("mscpkpd fit ")
    assert {"versions", "seed", "began", "ended", "seconds"} <= settings.keys()
    assert len(settings["inputs"]) == 2
    assert all(len(digest) == 64 for digest in settings["inputs"].values())
    assert "mscpkpd fit" in (fitted / "log.txt").read_text()


@pytest.mark.usefixtures("files")
def test_fit_prints_verdict_and_summary(shell) -> None:
    words = ("fit", "model.toml", "study.csv", "--method", "least_squares", "--fix", "F_v=0.9,k_B=20", "--out", "run")
    answer = shell(*words)
    assert answer.status == 0, answer.err
    assert answer.first_line == "All checks of the fit hold."
    assert re.search(r"parameter +estimate +lower +upper +unit .* learned +note", answer.out)
    estimate = re.search(r"^k_L +(\S+)", answer.out, re.MULTILINE)
    assert estimate
    assert float(estimate[1]) == pytest.approx(0.03, rel=0.15)
    assert not re.search(r"^k_B ", answer.out, re.MULTILINE)
    assert answer.out.endswith("Run folder: run. Open run/report.html\n")
    content = shell(*words, "--json").json
    assert content["converged"]
    assert {row["parameter"] for row in content["summary"]} >= {"rho_L", "k_L"}
    assert content["summary"][0]["learned"] is None


def test_a_fit_that_failed_its_checks_says_so_first(shell, files: Path, monkeypatch) -> None:
    from mscpkpd.fitting import api

    seen = {}

    def poor(*arguments: Any, **options: Any) -> Any:
        seen.update(options)
        options.pop("progress")(5, 10)
        found = original(*arguments, **options)
        return dataclasses.replace(found, checks=(dataclasses.replace(found.checks[0], ok=False),))

    original = api.fit
    monkeypatch.setattr(api, "fit", poor)
    words = ("--free", "k_L,rho_L", "--seed", "4", "--draws", "9", "--tune", "8", "--chains", "2")
    answer = shell("fit", "model.toml", "study.csv", "--method", "least_squares", *words, "--out", "run")
    assert answer.status == 3
    assert answer.first_line.startswith("NOT A RESULT: ")
    assert (seen["free"], seen["seed"], seen["draws"], seen["tune"], seen["chains"]) == (("k_L", "rho_L"), 4, 9, 8, 2)
    assert answer.err == "least_squares, study.csv: 5 of 10\n"
    assert shell(
        "simulate", "model.toml", "--fit", "run", "--dose", "1e6 cells", "--route", "iv", "--out", "s.csv"
    ) == (
        3,
        "",
        "mscpkpd: "
        + answer.first_line
        + ". Try: more draws, another start, or fewer free parameters; see fit.checks\n",
    )
    assert not (files / "s.csv").exists()


def test_fit_reads_wide_tables_with_doses_apart(shell, files: Path) -> None:
    rows = "\n".join(f"M{k};{time};{value:.0f}" for k, (time, value) in enumerate(LUNG.items()))
    (files / "wide.csv").write_text(f"subject;time;lung_cells\n{rows}\n")
    doses = "\n".join(f"M{k};0;1000000;iv" for k in range(len(LUNG)))
    (files / "given.csv").write_text(f"subject;time [h];dose [cells];route\n{doses}\n")
    table = ("--layout", "wide", "--unit", "cells", "--time-unit", "h", "--doses", "given.csv")
    answer = shell("fit", "model.toml", "wide.csv", "--method", "least_squares", *table, "--out", "run", "--json")
    assert answer.status in (0, 3), answer.err
    assert answer.json["method"] == "least_squares"


def test_what_stops_a_fit_leaves_nothing(shell, files: Path, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = set(files.iterdir())
    monkeypatch.setattr("mscpkpd.report.write_fit_run", stop)
    answer = shell("fit", "model.toml", "study.csv", "--method", "least_squares", "--free", "k_L", "--out", "run")
    assert answer.status == 130
    assert set(files.iterdir()) == before


# simulate


def test_simulate_writes_one_row_for_each_time(shell, files: Path) -> None:
    answer = shell(*given("--until", "2 d", "--step", "6 h", "--out", "sims.csv"))
    assert answer.status == 0, answer.err
    assert answer.out.endswith("Wrote sims.csv\n")
    table = pd.read_csv(files / "sims.csv")
    assert list(table.columns) == [
        *("schedule", "subject", "draw", "time"),
        *("blood_cells", "lung_cells", "blood", "lung"),
    ]
    assert list(table["time"]) == list(np.arange(0, 49, 6.0))
    expected = 9e5 * 0.6 * 20 / (20 - 0.03) * (np.exp(-0.03 * table["time"]) - np.exp(-20 * table["time"]))
    np.testing.assert_allclose(table["lung"], expected, rtol=1e-6, atol=1)


def test_simulate_gives_exactly_the_times_asked_for(shell, files: Path) -> None:
    assert shell(*given("--times", "0.1,1,1,2.5", "--out", "sims.csv")).status == 0
    table = pd.read_csv(files / "sims.csv")
    assert list(table["time"]) == [0.1, 1.0, 1.0, 2.5]
    assert table["lung"][1] == table["lung"][2]
    assert shell(*given("--times", "3", "--out", "sims.csv")).status == 0
    assert len(pd.read_csv(files / "sims.csv")) == 1


def test_simulate_runs_a_model_without_doses(shell, files: Path) -> None:
    answer = shell("simulate", "sepsis_reynolds", "--untreated", "--times", "0,24", "--out", "run.csv")
    assert answer.status == 0
    frame = pd.read_csv(files / "run.csv")
    assert set(frame["schedule"]) == {"untreated"}
    assert frame["bacteria"].iloc[1] < frame["bacteria"].iloc[0] or frame["damage"].iloc[1] > 0


def test_simulate_goes_on_for_four_weeks_after_the_last_dose(shell, files: Path) -> None:
    assert shell(*given("--every", "7d", "--doses", "2", "--over", "1h", "--out", "sims.csv")).status == 0
    assert pd.read_csv(files / "sims.csv")["time"].max() == 7 * 24 + 1 + 28 * 24


def test_simulate_sets_parameters_and_limits_columns(shell, files: Path) -> None:
    words = ("--times", "0.001", "--outputs", "blood")
    shell(*given(*words, "--out", "usual.csv"))
    assert shell(*given(*words, "--set", "F_v=0.45", "--out", "half.csv")).status == 0
    usual, half = (pd.read_csv(files / name) for name in ("usual.csv", "half.csv"))
    assert list(half.columns) == ["schedule", "subject", "draw", "time", "blood"]
    assert half["blood"][0] == pytest.approx(usual["blood"][0] / 2)


def test_simulate_compares_schedules_for_subjects_and_draws(shell, files: Path) -> None:
    (files / "two.toml").write_text(template("schedules"))
    words = ("--schedules", "two.toml", "--weight", "70 kg", "--subjects", "3", "--draws", "4", "--times", "0,100")
    answer = shell("simulate", "model.toml", *words, "--seed", "5", "--out", "sims.csv")
    assert answer.status == 0, answer.err
    assert answer.first_line == "my_model: 2 schedules, 3 subjects, 4 draws, 2 times; from priors of the model"
    assert "Peak: median, and 95 % of subjects and draws" in answer.out
    table = pd.read_csv(files / "sims.csv")
    assert len(table) == 2 * 3 * 4 * 2
    assert list(table["schedule"].unique()) == ["weekly", "boost"]
    first = (files / "sims.csv").read_bytes()
    shell("simulate", "model.toml", *words, "--seed", "5", "--out", "sims.csv")
    assert (files / "sims.csv").read_bytes() == first


def test_simulate_draws_from_a_fit(shell, files: Path, fitted: Path) -> None:
    words = ("--fit", fitted, "--draws", "6", "--times", "24", "--out", "sims.csv")
    answer = shell(*given(*words, "--json"))
    assert answer.status == 0, answer.err
    assert answer.json["parameters"] == "posterior of the least_squares fit to 'study'"
    assert answer.json["sizes"]["draw"] == 6
    assert pd.read_csv(files / "sims.csv")["lung_cells"].nunique() == 6
    other = shell("simulate", TWO, *given(*words)[2:])
    assert other.status == 2
    assert f"is a fit of my_model, not of {TWO}" in other.err


def test_simulate_with_a_shipped_regimen(shell) -> None:
    words = ("--values", "human_70kg", "--regimen", "ryoncil", "--weight", "70 kg", "--step", "24 h")
    answer = shell("simulate", TWO, *words, "--outputs", "lung,il10", "--out", "sims.csv", "--json")
    assert answer.status == 0, answer.err
    assert answer.json["units"] == {"time": "h", "lung": "cells", "il10": "pg/mL"}
    assert {row["schedule"] for row in answer.json["exposures"]} == {"ryoncil"}


def test_simulate_writes_a_run_folder(shell, files: Path) -> None:
    answer = shell(*given("--until", "2 d", "--draws", "3", "--out", "run", "--set", "F_v=0.8"))
    assert answer.status == 0, answer.err
    assert answer.out.endswith("Run folder: run. Open run/report.html\n")
    assert {"report.html", "exposures.csv", "provenance.json"} <= {path.name for path in (files / "run").iterdir()}
    record = json.loads((files / "run" / "provenance.json").read_text())
    assert record["set"] == {"F_v": 0.8}
    assert list(record["inputs"]) == ["model.toml"]
    assert shell("report", "run").out == f"Report: {Path('run/report.html')}\n"
    assert shell("report", "run", "--no-data", "--json").json["report"].endswith("report.html")


def test_failed_solves_are_said_first(shell, files: Path, monkeypatch) -> None:
    from mscpkpd import simulation

    original = simulation.simulate

    def failing(*arguments: Any, **options: Any) -> Any:
        sims = original(*arguments, **options)
        sims["failed"][0, 0, 1] = True
        for name in ("blood_cells", "lung_cells", "blood", "lung"):
            sims[name][0, 0, 1] = np.nan
        return sims.assign_attrs(failures=1)

    monkeypatch.setattr(simulation, "simulate", failing)
    words = given("--draws", "3", "--times", "0,1", "--out", "sims.csv")
    answer = shell(*words)
    assert answer.status == 3
    assert answer.first_line == "NOT COMPLETE: 1 of 3 solves failed; their rows are blank"
    assert pd.read_csv(files / "sims.csv")["lung"].isna().sum() == 2
    assert shell(*words, "--json").json["complete"] is False


# score


def test_the_banner_is_the_first_line_of_every_score(shell) -> None:
    answer = shell("score", "--cxcl10", "640", "--unit", "pg/mL", "--platform", "ELISA", "--grade", "C", "--age", "44")
    assert answer.status == 0, answer.err
    assert answer.first_line == BANNER
    assert re.search(r"patient +0\.\d\d +0\.\d\d to 0\.\d\d +1\.00 +", answer.out)
    assert "benefit" not in answer.out.replace(BANNER, "")
    assert not re.search(r"cut-?off|threshold", answer.out.replace(BANNER, ""))


def test_score_learns_from_a_cohort_and_writes_a_table(shell, tmp_path: Path) -> None:
    answer = shell("score", PATIENTS, "--cohort", COHORT, "--seed", "3", "--out", "scores.csv")
    assert answer.status == 0, answer.err
    assert answer.first_line == BANNER
    assert "SYNTHETIC patients" in answer.out
    assert answer.out.count("columns not used") == 1
    table = pd.read_csv(tmp_path / "scores.csv")
    assert len(table) == 10
    assert {"patient", "p_response", "lower", "upper", "prior_share", "flags"} <= set(table.columns)
    assert set(table["banner"]) == {BANNER}
    assert table["prior_share"].max() < 1.0
    content = shell("score", PATIENTS, "--cohort", COHORT, "--seed", "3", "--json").json
    assert content["banner"] == BANNER
    assert content["scores"][0]["p_response"] == pytest.approx(table["p_response"][0])


def test_score_writes_a_run_folder(shell, tmp_path: Path) -> None:
    answer = shell("score", PATIENTS, "--out", "run")
    assert answer.status == 0, answer.err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"scores.csv", "report.html", "provenance.json"} <= names


def test_draws_that_failed_their_check_are_said_before_the_banner(shell, monkeypatch, tmp_path: Path) -> None:
    from mscpkpd.responder import Responder

    original = Responder.scorer
    poor = {"ok": False, "check": "ESS 12 is below 400"}
    monkeypatch.setattr(Responder, "scorer", lambda *a, **k: dataclasses.replace(original(*a, **k), **poor))
    answer = shell("score", PATIENTS, "--out", "scores.csv")
    assert answer.status == 3
    assert answer.out.splitlines()[:2] == ["NOT RELIABLE: ESS 12 is below 400", BANNER]
    assert pd.read_csv(tmp_path / "scores.csv")["banner"][0].startswith("NOT RELIABLE: ESS 12 is below 400")
    assert shell("score", PATIENTS, "--json").json["ok"] is False


def test_score_fills_in_unit_and_platform_of_a_table(shell, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("patient,cxcl10_0h\nA,640\n")
    assert "--unit pg/mL" in shell("score", "p.csv").err
    assert shell("score", "p.csv", "--unit", "pg/mL", "--platform", "ELISA").status == 0


# demo


@pytest.mark.parametrize("status", [0, 3])
def test_demo_says_its_verdict_first_and_the_report_last(shell, monkeypatch, status: int) -> None:
    seen = []

    def run_demo(out: Path, quick: bool, progress: progress.Steps, seed: int) -> SimpleNamespace:  # noqa: FBT001
        seen.append((out, quick, seed))
        progress("fit", 1, 4)
        progress("score", 1, 1)
        return SimpleNamespace(report=out / "report.html", exit_status=status, first_line="QUICK, not a result")

    monkeypatch.setattr("mscpkpd.demo.run_demo", run_demo)
    answer = shell("demo", "--quick", "--out", "page", "--seed", "7")
    assert answer == (
        status,
        f"QUICK, not a result\nReport: {Path('page/report.html')}\n",
        "fit: 1 of 4\nscore: 1 of 1\n",
    )
    assert shell("demo", "--json").json["exit_status"] == status
    assert seen == [(Path("page"), True, 7), (Path("demo-report"), False, 1)]


# What commands share


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch) -> None:
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("sampling") as tell:
        for done in (0, 0, 0, *range(1, 15)):  # some time passes before the first draw
            tell(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "sampling: 0 of 100",
        "sampling: 3 of 100",
        "sampling: 8 of 100, about 1:32 min left",
        "sampling: 13 of 100, about 1:27 min left",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.steps() as tell:
        tell("sampling", 30, 40)
        tell("drawing", 1, 2)
        tell("sampling", 40, 40)
    assert "sampling" in terminal.getvalue()
    assert "40/40" in terminal.getvalue()


def test_json_has_no_nan(capsys) -> None:
    show_json({"a": np.float64("nan"), "b": (1, np.int64(2), Path("c")), "d": {"e": float("inf")}, 3: True})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, 2, "c"], "d": {"e": None}, "3": True}


def test_messages_speak_of_options() -> None:
    hint = "read_study(\"a.csv\", layout=\"wide\"), or time_unit='h', amount = '1 h', or other=1"
    with (
        pytest.raises(UsageError, match="no --dose 5 here") as caught,
        words.in_shell_words("layout", "time_unit", amount="dose"),
    ):
        raise UsageError("no amount = 5 here", hint=hint)
    assert caught.value.hint == '--layout wide, or --time-unit h, --dose "1 h", or other=1'


def test_lists_behind_options() -> None:
    assert words.read_names("a, b", "--free") == ("a", "b")
    assert words.read_names(None, "--free") is None
    assert words.read_settings("a=1, b=2e-3", "--set") == {"a": 1.0, "b": 2e-3}
    assert words.read_settings(None, "--set") == {}
    assert words.read_numbers("0,1,1,2.5", "--times") == [0, 1, 1, 2.5]
