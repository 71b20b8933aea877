"""docs/evidence_fit.md: written from tables of draws that passed their checks, and held to them."""

from __future__ import annotations

from pathlib import Path

import draw_evidence
import pandas as pd
import write_evidence_page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "evidence"


def test_the_page_is_what_its_tables_say():
    assert write_evidence_page.text() == (ROOT / "docs" / "evidence_fit.md").read_text()


def test_the_fits_behind_the_page_passed_their_checks():
    """What did not converge may stand in the table of fits, and nowhere else."""
    runs = pd.read_csv(FOLDER / "runs.csv", keep_default_na=False)
    whole = runs[(runs["stages"] == 1) & (runs["without"] == "")]
    assert len(whole) == 1
    assert whole["converged"].all()
    good = runs[runs["converged"]]
    assert (good["r_hat"] <= 1.01).all()
    assert (good["ess"] >= 400).all()
    assert (good["divergences"] == 0).all()
    shifts, rows, stages = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("shifts", "rows", "stages"))
    without = set(good["without"]) - {""}
    assert set(shifts["without"]) == without
    assert set(rows.loc[rows["held_out_lower"].notna(), "study"]) == without
    assert set(stages["stages"]) == set(good["stages"])


def test_the_figures_can_be_drawn_from_the_tables(tmp_path):
    draw_evidence.figures(draw_evidence.read(FOLDER), tmp_path)
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert {"evidence_posterior.png", "evidence_rows.png"} <= set(drawn)
    for name in drawn:
        assert (tmp_path / name).stat().st_size > 10_000
        assert (ROOT / "docs" / "figures" / name).is_file()
