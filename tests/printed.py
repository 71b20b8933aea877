"""Pages of ``docs/`` under test: their files are written, their Python and shell commands run as printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from mscpkpd import cli

DOCS = Path(__file__).parents[1] / "docs"

Blocks = Sequence[tuple[str, str]]


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Kind and content of each block of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def files_of(blocks: Blocks, *kinds: str) -> dict[str, str]:
    """Blocks of some kinds by the name of the file in their first line."""
    named = ((re.match(r"# ([\w.]+)", text), text) for kind, text in blocks if kind in kinds)
    return {match[1]: text for match, text in named if match}


def work_in(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files into a folder and make it the working directory."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def run_python(blocks: Blocks, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the Python blocks one after the other, as one program; returns what they print."""
    names: dict[str, object] = {}
    for kind, code in blocks:
        if kind == "python":
            exec(compile(code, name, "exec"), names)  # noqa: S102 - the page is the test
    return capsys.readouterr().out


def run_shell(blocks: Blocks, capsys: pytest.CaptureFixture[str]) -> int:
    """Run the shell commands, each of which must succeed; returns how many there are."""
    commands = [line for kind, block in blocks if kind == "sh" for line in block.splitlines()]
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "mscpkpd"
        assert cli.run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    return len(commands)
