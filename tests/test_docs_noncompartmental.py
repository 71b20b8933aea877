"""docs/noncompartmental.md does what it says: its Python and its shell commands run as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mscpkpd import cli
from mscpkpd.noncompartmental import COLUMNS
from mscpkpd.noncompartmental.rules import Rules

PAGE = (Path(__file__).parents[1] / "docs" / "noncompartmental.md").read_text(encoding="utf-8")
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


def test_the_python_blocks_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "noncompartmental.md", "exec"), names)  # noqa: S102 - the page is the test
    printed = capsys.readouterr().out
    (answers,) = (text for kind, text in BLOCKS if kind == "text")
    assert answers in printed
    for expected in ("AUCIFO", "N5: lambda_z", "at 0, 2, 4, 8, 12, 24 h", "dose/AUCtau at steady state"):
        assert expected in printed
    assert "interval-censored: between 90 and 180 d" in printed
    assert re.search(r"\bse +\d", printed)
    assert (folder / "terminal.png").is_file()


def test_the_shell_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "mscpkpd"
        assert cli.run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    assert {"nca.csv", "profiles.png"} <= {path.name for path in folder.iterdir()}


def test_every_column_and_every_rule_is_on_the_page() -> None:
    assert {name for name in COLUMNS if f"`{name}`" not in PAGE} == set()
    assert {
        number for number in Rules().sentences() if re.fullmatch(r"N\d+", number) and f"| {number} |" not in PAGE
    } == set()
