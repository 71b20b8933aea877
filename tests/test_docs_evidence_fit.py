"""docs/evidence_fit.md: written from tables of draws that passed their checks, and held to them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def script(name):
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_its_tables_say():
    assert script("write_evidence_page").text() == (ROOT / "docs" / "evidence_fit.md").read_text()


def test_the_tables_of_the_page_passed_their_checks():
    runs = pd.read_csv(ROOT / "docs" / "evidence" / "runs.csv", keep_default_na=False)
    assert runs["converged"].all()
    assert (runs["r_hat"] <= 1.01).all()
    assert (runs["ess"] >= 400).all()
    assert (runs["divergences"] == 0).all()


def test_the_figures_can_be_drawn_from_the_tables(tmp_path):
    module = script("fit_evidence")
    found = {
        name: pd.read_csv(ROOT / "docs" / "evidence" / f"{name}.csv")
        for name in ("quantities", "shifts", "rows", "scores")
    }
    module.figures(found, 1, tmp_path, quick=False)
    for name in ("evidence_posterior", "evidence_rows"):
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
        assert (ROOT / "docs" / "figures" / f"{name}.png").is_file()
