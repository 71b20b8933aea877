# ruff: noqa: INP001 (a script, not a package)
"""What figures and page of the published evidence have in common: where tables are, and what things are called."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "evidence"
HALF = "half-life of living cells in lung [h]"
STRONG = 0.5  # posterior SD: a shift that is worth a word or a colour
CALLED = {
    "gholamrezanezhad_2011": "Gholamrezanezhad 2011", "lee_2009": "Lee 2009", "eggenhofer_2012": "Eggenhofer 2012",
    "toma_2009": "Toma 2009", "francois_2014": "Francois 2014", "wuttisarnwattana_2020": "Wuttisarnwattana 2020",
    "assis_2010": "Assis 2010",
}  # fmt: skip
