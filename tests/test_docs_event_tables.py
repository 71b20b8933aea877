"""docs/event_tables.md does what it says: its Python and its shell commands run as printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from printed import blocks_of, files_of, page, run_python, run_shell, work_in

PAGE = page("event_tables.md")
BLOCKS = blocks_of(PAGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file of the page, as printed."""
    files = files_of(BLOCKS, "csv")
    assert len(files) == len([kind for kind, _ in BLOCKS if kind == "csv"])
    return work_in(tmp_path, files, monkeypatch)


def test_the_python_blocks_run_and_print_what_stands_below_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run_python(BLOCKS, "event_tables.md", capsys)
    for kind, text in BLOCKS:
        if kind == "text":
            assert text in printed
    assert "True" in printed
    assert {"raw.png", "again.csv"} <= {path.name for path in folder.iterdir()}


def test_the_shell_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shell(BLOCKS, capsys) == 5
    assert {"rows.csv", "times.csv", "all.csv"} <= {path.name for path in folder.iterdir()}
