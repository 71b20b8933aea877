"""docs/noncompartmental.md does what it says: its Python and its shell commands run as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mscpkpd.noncompartmental import COLUMNS
from mscpkpd.noncompartmental.rules import Rules
from printed import blocks_of, files_of, page, run_python, run_shell, work_in

PAGE = page("noncompartmental.md")
BLOCKS = blocks_of(PAGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file of the page, as printed."""
    files = files_of(BLOCKS, "csv")
    assert len(files) == len([kind for kind, _ in BLOCKS if kind == "csv"])
    return work_in(tmp_path, files, monkeypatch)


def test_the_python_blocks_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_python(BLOCKS, "noncompartmental.md", capsys)
    (answers,) = (text for kind, text in BLOCKS if kind == "text")
    assert answers in printed
    for expected in ("AUCIFO", "N5: lambda_z", "at 0, 2, 4, 8, 12, 24 h", "dose/AUCtau at steady state"):
        assert expected in printed
    assert "interval-censored: between 90 and 180 d" in printed
    assert re.search(r"\bse +\d", printed)
    assert (folder / "terminal.png").is_file()


def test_the_shell_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_shell(BLOCKS, capsys)
    assert {"nca.csv", "profiles.png"} <= {path.name for path in folder.iterdir()}


def test_every_column_and_every_rule_is_on_the_page() -> None:
    assert {name for name in COLUMNS if f"`{name}`" not in PAGE} == set()
    assert {
        number for number in Rules().sentences() if re.fullmatch(r"N\d+", number) and f"| {number} |" not in PAGE
    } == set()
