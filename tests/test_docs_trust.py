"""docs/trust.md does what it says: its blocks run in order, exit as they say, and print what they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mscpkpd import cli
from printed import DOCS, blocks_of, page, work_in

TEXT = page("trust.md")
BLOCKS = blocks_of(TEXT)


def test_figures_of_the_page_exist():
    for name in re.findall(r"\(figures/(\w+\.png)\)", TEXT):
        assert (DOCS / "figures" / name).is_file()


@pytest.mark.slow  # samples once
def test_the_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Each fit exits as its line says, with the text that follows as its first line."""
    work_in(tmp_path, {}, monkeypatch)
    names: dict[str, object] = {}
    first, shown = "", []
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "trust.md", "exec"), names)  # noqa: S102 - the page is the test
            shown.append(capsys.readouterr().out)
        elif kind == "sh":
            for line in block.splitlines():
                expected = int((re.search(r"# exit (\d)", line) or [0, 0])[1])
                assert cli.run(shlex.split(line, comments=True)[1:]) == expected, line
                printed = capsys.readouterr().out.splitlines()[0]
                first = printed if line.startswith("mscpkpd fit") else first
        elif kind == "text":
            assert first.startswith(block.strip()), first
    said = "".join(shown)
    assert "Nothing speaks against this fit" in said
    assert "'clearance learned' predicts left-out rows best; 'clearance 4.5 L/h' is" in said
    assert (tmp_path / "check" / "check.html").is_file()
