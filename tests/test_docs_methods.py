"""docs/methods.md does what it says: its Python runs as printed; every method is on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from mscpkpd.fitting.api import METHODS
from printed import blocks_of, page, run_python, work_in

TEXT = page("methods.md")
BLOCKS = blocks_of(TEXT)


def test_every_method_is_on_the_page():
    for method in METHODS:
        assert f"`{method}`" in TEXT, method


def test_the_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    folder = work_in(tmp_path, {}, monkeypatch)
    printed = run_python(BLOCKS, "methods.md", capsys)
    for expected in (
        "Priors and data go together",
        "Priors and data contradict each other: CL",
        "of 6 starts reached the best optimum",
        "95% profile-likelihood interval",
        "percentile interval of 40 bootstrap samples (subjects)",
        "times the standard error of the curvature",
    ):
        assert expected in printed
    assert {"priors.png", "profiles.png"} <= {path.name for path in folder.iterdir()}
