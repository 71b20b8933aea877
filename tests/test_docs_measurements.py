"""docs/measurements.md does what it says: its Python prints what stands below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from printed import blocks_of, files_of, page, run_python, work_in

PAGE = page("measurements.md")
BLOCKS = blocks_of(PAGE)


def test_the_python_blocks_run_and_print_what_stands_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of(BLOCKS, "csv")
    assert len(files) == len([kind for kind, _ in BLOCKS if kind == "csv"])
    work_in(tmp_path, files, monkeypatch)
    printed = run_python(BLOCKS, "measurements.md", capsys)
    texts = [text for kind, text in BLOCKS if kind == "text"]
    assert len(texts) == len([kind for kind, _ in BLOCKS if kind == "python"])
    for text in texts:
        assert text in printed
