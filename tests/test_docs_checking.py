"""docs/checking_fits.md does what it says: its Python and its shell commands run as printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from printed import blocks_of, page, run_python, run_shell, work_in

BLOCKS = blocks_of(page("checking_fits.md"))


def test_the_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    folder = work_in(tmp_path, {}, monkeypatch)
    printed = run_python(BLOCKS, "checking_fits.md", capsys)
    (columns,) = (text for kind, text in BLOCKS if kind == "text")
    assert columns in printed
    for expected in ("All checks of the fit hold.", "observed percentiles lie in their intervals", "'mean is 0' is"):
        assert expected in printed
    assert run_shell(BLOCKS, capsys) == 2
    assert {"vpc.png", "npde.png", "run", "check"} <= {path.name for path in folder.iterdir()}
