"""Files that are wrong on purpose: their comments say what is broken and which message is expected."""

from __future__ import annotations

import re
from pathlib import Path


def comments(path: Path, start: str) -> list[str]:
    """The comment lines of a file that begin with a word."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"# {start}").strip() for line in lines if line.startswith(f"# {start}")]


def assert_advice(message: str) -> None:
    """Every finding of a message says what was expected or what to try."""
    for finding in message.split("\n  - ")[1:] or [message]:
        assert "Try: " in finding or "; expected " in finding


def assert_small_and_explained(path: Path, most_lines: int) -> None:
    """A broken file is short, its first line says in words what is broken, and a message is expected."""
    text = path.read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if not line.startswith("#")]) <= most_lines
    assert re.match(r"# [A-Z][^\n]{10,110}\.\n", text)
    assert comments(path, "expect:")
