"""README.md does what it says: its Python and its shell commands run, its links and names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import mscpkpd
from mscpkpd import cli
from mscpkpd.cohort.rows import COLUMNS as COHORT_COLUMNS
from mscpkpd.data.record import COLUMNS as STUDY_COLUMNS
from mscpkpd.parameters import EVIDENCE
from mscpkpd.responder import BANNER

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MINUTES = ("make ", "mscpkpd demo")  # what a test has no time for


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A working directory from which the shipped files have the paths that they have in a clone."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example_runs(folder: Path, monkeypatch, capsys) -> None:
    """With the quick estimate in place of the sampled posterior, and fewer subjects and draws."""
    fit, simulate = mscpkpd.fit, mscpkpd.simulate

    def quick(model: Any, study: Any, method: str, **options: Any) -> Any:
        return options["start"] if method == "nuts" else fit(model, study, method, **options)

    def small(*given: Any, **options: Any) -> Any:
        return simulate(*given, **{**options, "n_draws": 2, "subjects": 2})

    monkeypatch.setattr(mscpkpd, "fit", quick)
    monkeypatch.setattr(mscpkpd, "simulate", small)
    space: dict[str, Any] = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), space)  # noqa: S102 - the example is the test
    printed = capsys.readouterr().out
    assert printed.startswith("All checks of the fit hold.")
    assert "rho_L" in printed
    assert "time_above" in printed
    assert "SYN-P01" in printed
    assert BANNER in printed
    assert "if others are held" in printed
    assert (folder / "model.xml").is_file()
    assert (folder / "run" / "summary.csv").is_file()


def test_the_example_is_short() -> None:
    code = blocks("python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


def test_the_shell_commands_run(folder: Path, capsys) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith(MINUTES)]
    assert len(commands) > 6
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "mscpkpd"
        status = cli.run(words)
        assert status == 0, f"{line}\n{capsys.readouterr().err}"
    assert {"my_study.csv", "run", "sims.csv", "scores.csv"} <= {path.name for path in folder.iterdir()}


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_columns_and_provenance_words_are_those_of_the_code() -> None:
    tables = {
        name: set(re.findall(r"\w+", text))
        for name, text in re.findall(r"^\| (\w+) \| an? .*?\| (.*)\|$", README, re.MULTILINE)
    }
    listed = {
        name: {word for word in words if word in STUDY_COLUMNS + COHORT_COLUMNS} for name, words in tables.items()
    }
    assert set(STUDY_COLUMNS) - listed["study"] - listed["doses"] <= {
        *("time_unit", "weight_unit", "dose_time_unit", "duration_unit", "every_unit", "synthetic"),
        *("timed_by", "pre_dose", "tad"),  # written by Study.to_tidy, of a study that was an event table or on request
    }
    assert set(COHORT_COLUMNS) - listed["cohort"] == {"synthetic", "label"}
    assert all(f"`{word}`" in README for word in EVIDENCE)
