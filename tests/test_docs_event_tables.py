"""docs/event_tables.md does what it says: its Python and its shell commands run as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mscpkpd import cli

PAGE = (Path(__file__).parents[1] / "docs" / "event_tables.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file of the page, as printed."""
    for kind, text in BLOCKS:
        if kind == "csv":
            name = re.match(r"# ([\w.]+)", text)
            assert name is not None
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_blocks_run_and_print_what_stands_below_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {}
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "event_tables.md", "exec"), names)  # noqa: S102 - the page is the test
    printed = capsys.readouterr().out
    for kind, text in BLOCKS:
        if kind == "text":
            assert text in printed
    assert "True" in printed
    assert {"raw.png", "again.csv"} <= {path.name for path in folder.iterdir()}


def test_the_shell_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(commands) == 3
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "mscpkpd"
        assert cli.run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    assert {"rows.csv", "times.csv"} <= {path.name for path in folder.iterdir()}
