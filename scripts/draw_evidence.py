# ruff: noqa: INP001 (a script, not a package)
"""Draw the figures of docs/evidence_fit.md from the tables in docs/evidence: ``python scripts/draw_evidence.py``.

With ``--tables DIR --out DIR`` from other tables; ``--quick`` marks those of a quick run.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from _evidence import CALLED, HALF, ROOT, STRONG, TABLES
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mscpkpd.plots.style import AXIS, DATA, FIT, INK, MUTED, PRIOR, Marks, finish, legend_of, save, sheet

FIGURES = ROOT / "docs" / "figures"
SPECIES = {"gholamrezanezhad_2011": "man", "toma_2009": "rat", "assis_2010": "rat"}  # all others: mouse
UNTAUGHT, OTHERS = "#B9B9B9", "#D55E00"
BANDS = (  # columns, colour, offset and width of a band, and what it is
    ("prior_", UNTAUGHT, 0.27, 1.6, "prior prediction, 95 %"),
    ("fitted_", FIT, 0.0, 3.0, "fit, 95 %"),
    ("held_out_", OTHERS, -0.27, 1.6, "predicted by the other studies, 95 %"),
)


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables."""
    return {name: pd.read_csv(folder / f"{name}.csv") for name in ("quantities", "shifts", "rows", "stages")}


def figures(tables: Mapping[str, pd.DataFrame], folder: Path, *, quick: bool = False) -> None:
    """Draw the figures of the page that there are numbers for."""
    folder.mkdir(parents=True, exist_ok=True)
    one, marks = tables["quantities"], Marks(quick=quick)
    save(posterior_figure(one[one["stages"] == 1], marks), folder / "evidence_posterior.png")
    save(row_figure(tables["rows"], marks), folder / "evidence_rows.png")
    if len(tables["shifts"]):
        save(study_figure(tables["shifts"], marks), folder / "evidence_studies.png")
    if len(tables["stages"]) > 1:
        save(stage_figure(tables["stages"], one, marks), folder / "evidence_stages.png")


def posterior_figure(table: pd.DataFrame, marks: Marks) -> Figure:
    """Prior and posterior of each quantity, in three panels by scale."""
    groups = [
        ("Share [fraction]", [q for q in table["quantity"] if q.startswith(("lung share", "share"))], "linear"),
        ("Half-life [h], logarithmic", [q for q in table["quantity"] if "[h]" in q], "log"),
        ("Spread between studies [SD on the log scale]", [q for q in table["quantity"] if q.startswith("spread")],
         "linear"),
    ]  # fmt: skip
    heights = [len(names) + 1.2 for _, names, _ in groups]
    figure, axes = sheet(1, 3, width=7.2, height=0.27 * sum(heights) + 1.0, height_ratios=heights)
    known = table.set_index("quantity")
    for ax, (label, names, scale) in zip(axes[:, 0], groups, strict=True):
        for y, name in enumerate(reversed(names)):
            row, told = known.loc[name], known.loc[name, "verdict"] == "learned"
            before, after = ([row[f"{prefix}{end}"] for end in ("lower", "upper")] for prefix in ("prior_", ""))
            line = {"solid_capstyle": "butt"}
            ax.plot(before, [y + 0.17] * 2, color=PRIOR, lw=2.2, label="prior, 95 %", **line)
            colour = FIT if told else UNTAUGHT
            called = "posterior, median and 95 %" if told else "posterior that is the prior again: prior only"
            ax.plot(after, [y - 0.17] * 2, color=colour, lw=4, label=called, **line)
            ax.plot(row["median"], y - 0.17, "o", ms=4.5, mfc="white", mec=colour, mew=1.4)
        ax.set_xscale(scale)
        ax.set_yticks(range(len(names)), [name.removesuffix(" [h]") for name in reversed(names)])
        ax.set_ylim(-0.7, len(names) - 0.3)
        ax.set_xlabel(label)
        if scale == "log":
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    foot = (
        "Label is not living cells, and DNA is not either. A spread that fewer than three groups inform is called "
        "prior only, whatever its interval."
    )
    title = "What the published evidence says, and what it leaves to the prior"
    return finish(figure, title, marks=marks, foot=foot, legend=legend_of(axes), columns=1)


def row_figure(table: pd.DataFrame, marks: Marks) -> Figure:
    """Every row: observed, fitted, and predicted by the other studies."""
    amounts = table[(table["unit"] == "%ID") | (table["quantity"] == "fold_change")]
    lives, counts = table[table["quantity"] == "half_life"], table[table["quantity"].isin(("present", "positive"))]
    panels = [("Percent of the dose, or of what was arrested", amounts, "linear"), ("Half-life [h]", lives, "log"),
              ("Share of animals positive, or chance to find living cells", counts, "linear")]  # fmt: skip
    heights = [len(rows) + 1.5 for _, rows, _ in panels]
    figure, axes = sheet(1, 3, width=7.2, height=0.185 * sum(heights) + 1.2, height_ratios=heights)
    for ax, (label, rows, scale) in zip(axes[:, 0], panels, strict=True):
        for y, row in enumerate(reversed(rows.to_dict("records"))):
            factor = _factor(row)
            for prefix, colour, lift, width, name in BANDS:
                if np.isnan(row.get(f"{prefix}lower", np.nan)):
                    continue
                ends = [factor * row[f"{prefix}lower"], factor * row[f"{prefix}upper"]]
                ax.plot(ends, [y + lift] * 2, color=colour, lw=width, solid_capstyle="butt", label=name)
            if not np.isnan(row["observed_lower"]):
                ends = [row["observed_lower"], row["observed_upper"]]
                ax.plot(ends, [y] * 2, color=DATA, lw=0.8, label="observed range")
            ax.plot(factor * row["observed"], y, "D", color=DATA, ms=3.2, label="observed")
        ax.set_yticks(range(len(rows)), [_row_title(row) for row in reversed(rows.to_dict("records"))], fontsize=6.5)
        ax.set_ylim(-0.8, len(rows) - 0.2)
        ax.set_xscale(scale)
        ax.set_xlabel(label)
        if scale == "log":
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
            ax.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if x in (20, 50, 200) else "")
    foot = (
        "Bands are of the expected value; a new observation scatters more. Prior predictions are shown for comparison, "
        "they are not fits."
    )
    title = "Every fitted row beside its prediction"
    return finish(figure, title, marks=marks, foot=foot, legend=legend_of(axes), columns=2)


def _factor(row: Mapping[str, object]) -> float:
    """To percent of what was arrested, or to a share of the animals."""
    if row["quantity"] == "fold_change":
        return 100.0
    return 1.0 / float(str(row["n"])) if row["quantity"] in ("present", "positive") else 1.0


def _row_title(row: Mapping[str, object]) -> str:
    study = CALLED[str(row["study"])]
    what = {"half_life": "half-life", "fold_change": "left after", "present": "re-culture", "positive": "PCR"}.get(
        str(row["quantity"]), "label" if "label" in str(row["output"]) else "arrested"
    )
    hours = float(str(row["time"]))
    when = "" if row["quantity"] == "half_life" else f", {hours * 60:.0f} min" if hours < 1 else f", {hours:g} h"
    return f"{study}: {str(row['organ']).replace('_', ' ').replace(' muscle', '')}, {what}{when}"


def study_figure(shifts: pd.DataFrame, marks: Marks) -> Figure:
    """What moves without each study."""
    studies = [name for name in CALLED if name in set(shifts["without"])]
    names = list(dict.fromkeys(shifts["quantity"]))
    known = shifts.set_index(["quantity", "without"])["shift"]
    figure, axes = sheet(1, 1, width=7.2, height=0.26 * len(names) + 1.6)
    ax = axes[0, 0]
    for y, name in enumerate(reversed(names)):
        for x, study in enumerate(studies):
            shift = known[name, study]
            strong = abs(shift) >= STRONG
            look = {"color": INK if strong else MUTED, "weight": "bold" if strong else "normal", "size": 7.5}
            ax.text(x, y, f"{round(shift, 1) + 0.0:+.1f}", ha="center", va="center", **look)
            if strong:
                colour, depth = OTHERS if shift > 0 else FIT, min(0.5, 0.15 + 0.12 * abs(shift))
                ax.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, color=colour, alpha=depth, lw=0, zorder=0))
    called = ["\n".join((*CALLED[study].split(" "), SPECIES.get(study, "mouse"))) for study in studies]
    ax.set_xticks(range(len(studies)), called, fontsize=6)
    ax.set_yticks(range(len(names)), list(reversed(names)), fontsize=7)
    ax.set_xlim(-0.5, len(studies) - 0.5)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.tick_params(length=0)
    foot = (
        "Shift of the posterior mean where the study is left out, in posterior SD of the fit of all studies. Bold: at "
        "least half an SD. Orange: larger without the study."
    )
    return finish(figure, "Which studies pull", marks=marks, foot=foot)


def stage_figure(stages: pd.DataFrame, quantities: pd.DataFrame, marks: Marks) -> Figure:
    """Evidence for each number of stages, and the half-life that each finds."""
    figure, axes = sheet(2, 1, width=7.2, height=3.0)
    left, right = axes.ravel()
    left.axhline(0, color=AXIS, lw=0.8)
    bars = {"fmt": "o", "color": FIT, "ms": 5, "capsize": 3}
    left.errorbar(stages["stages"], stages["log_bayes_factor"], 2 * stages["error"], **bars)
    left.set_ylabel("Log evidence minus that of 1 stage")
    half = quantities[quantities["quantity"] == HALF]
    ends = np.abs(half[["lower", "upper"]].to_numpy().T - half["median"].to_numpy())
    right.errorbar(half["stages"], half["median"], ends, **bars)
    right.set_ylim(bottom=0)
    right.set_ylabel("Half-life of living cells in lung [h]")
    for ax in (left, right):
        ax.set_xticks(half["stages"], [f"{n}" for n in half["stages"]])
        ax.set_xlabel("Stages of ageing")
    foot = "Left: bars are two standard errors of the computation. Right: median and 95 % of the posterior."
    return finish(figure, "How many stages the evidence wants", marks=marks, foot=foot)


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables (docs/evidence)")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder of the figures (docs/figures)")
    parser.add_argument("--quick", action="store_true", help="mark the figures as those of a quick run")
    chosen = parser.parse_args()
    figures(read(chosen.tables), chosen.out, quick=chosen.quick)


if __name__ == "__main__":
    main()
