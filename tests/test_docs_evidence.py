"""docs/evidence.md does what it says: its table is read and fitted, and its Python prints what stands below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mscpkpd.data.quantities import QUANTITIES
from printed import blocks_of, files_of, page, run_python, work_in

PAGE = page("evidence.md")
BLOCKS = blocks_of(PAGE)


def test_the_table_has_each_quantity_and_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every quantity has its row in the table of kinds (Q1)."""
    files = files_of(BLOCKS, "csv", "toml")
    work_in(tmp_path, files, monkeypatch)
    printed = run_python(BLOCKS, "evidence.md", capsys)
    texts = [text for kind, text in BLOCKS if kind == "text"]
    assert len(texts) == len([kind for kind, _ in BLOCKS if kind == "python"])
    for text in texts:
        assert text in printed, printed
    for name in QUANTITIES:
        assert f"| `{name}` |" in PAGE
