# ruff: noqa: INP001 (a script, not a package)
"""The acceptance of the responder model in numbers and one figure, from the lines that check_responder.py wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.calibration.ranks import band, judged
from mscpkpd.plots.style import AXIS, FIT, MUTED, SERIES, SMALL, Marks, finish, legend_of, save, sheet

RANKED = 99  # ranks are judged from 0 to this
GRID = np.arange(1, RANKED + 1) / (RANKED + 1)
TITLES = {"sbc": "fast path", "sbc-nuts": "NUTS", "landmark": "landmark model"}


def _ranks(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Shares of draws below the truth as ranks."""
    return pd.DataFrame(
        [
            {"study": row["k"], "quantity": name, "truth": 0.0, "mean": 0.0, "sd": 1.0,
             "rank": min(int(share * (RANKED + 1)), RANKED)}
            for row in rows for name, share in row["ranks"].items()
        ]
    )  # fmt: skip


def _calibration(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Coverage of 95 % intervals, and whether the ranks of all parameters lie in the band that holds them together."""
    judgement = judged(_ranks(rows), RANKED).set_index("quantity")
    found = {}
    for name, verdict in judgement.iterrows():
        shares = np.array([row["ranks"][name] for row in rows])
        coverage = float(np.mean((shares > 0.025) & (shares < 0.975)))
        found[str(name)] = {
            "coverage_95": round(coverage, 3), "p": round(float(verdict["p"]), 3), "even": bool(verdict["even"])
        }  # fmt: skip
    return {"cohorts": len(rows), "all_ok": all(row["ok"] for row in rows), "parameters": found}


def _agreement(rows: list[dict[str, Any]]) -> dict[str, Any]:
    differences = [max(abs(value) for value in row["difference"].values()) for row in rows]
    ratios = [value for row in rows for value in row["sd_ratio"].values()]
    return {
        "cohorts": len(rows),
        "largest_difference_of_means_in_sd": round(max(differences), 4),
        "sd_ratios": [round(min(ratios), 3), round(max(ratios), 3)],
        "least_effective_draws": round(min(min(row["fast_ess"], row["nuts_ess"]) for row in rows)),
    }


def _directions(rows: list[dict[str, Any]]) -> dict[str, Any]:
    null, back = (np.array([row[name] for row in rows]) for name in ("null", "reversed"))
    return {
        "cohorts": len(rows),
        "patients": 160,
        "reversed: P(b1 < 0) > 0.95": round(float(np.mean(back < 0.05)), 3),
        "null: P(b1 > 0) > 0.95": round(float(np.mean(null > 0.95)), 3),
        "null: P(b1 < 0) > 0.95": round(float(np.mean(null < 0.05)), 3),
    }


def write_summary(rows: dict[str, list[dict[str, Any]]], folder: Path) -> str:
    """Write acceptance.json and acceptance.png; return the summary as text."""
    summary: dict[str, Any] = {"patients": "SYNTHETIC, drawn from the prior or from a scenario"}
    summary |= {task: _calibration(rows[task]) for task in TITLES if rows[task]}
    summary |= {"agreement": _agreement(rows["agree"])} if rows["agree"] else {}
    summary |= {"directions": _directions(rows["scenarios"])} if rows["scenarios"] else {}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=2)
    (folder / "acceptance.json").write_text(text + "\n", encoding="utf-8")
    _figure({task: rows[task] for task in TITLES if rows[task]}, folder / "acceptance.png")
    return text


def _figure(rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    figure, axes = sheet(columns=len(rows), width=1.0 + 2.3 * len(rows), height=2.9, sharey=True)
    for ax, (task, lines) in zip(axes[0], rows.items(), strict=True):
        lower, upper = band(len(lines), RANKED, len(lines[0]["ranks"]))
        ax.fill_between(GRID, lower - GRID, upper - GRID, color=AXIS, alpha=0.4, lw=0, label="simultaneous 99 % band")
        for k, name in enumerate(lines[0]["ranks"]):
            ranks = np.sort([row["ranks"][name] for row in lines])
            ecdf = np.searchsorted(ranks, GRID, side="right") / len(ranks)
            main = {"alpha": FIT, "b1": SERIES[1], "b2": SERIES[2]}.get(name)
            ax.plot(GRID, ecdf - GRID, color=main or MUTED, lw=1.5 if main else 0.7, alpha=1 if main else 0.7,
                    label=name if main else ("other parameters" if k == 2 else None))  # fmt: skip
        ax.set_title(f"{TITLES[task]}, {len(lines)} cohorts", fontsize=SMALL + 1)
        ax.set_xlabel("rank of the truth")
        ax.set_xlim(0, 1)
    axes[0, 0].set_ylabel("ECDF of ranks less uniform")
    foot = (
        "n = 40, two platforms, levels beyond limits. The band holds the lines of all parameters of a panel together."
    )
    title = "Simulation-based calibration of the responder model"
    save(finish(figure, title, marks=Marks(synthetic=True), foot=foot, legend=legend_of(axes), columns=3), path)
