"""The page of scored patients: banner first, then the scores, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mscpkpd.plots import save, scored_patients
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import FIGURES, Content, Part, made_with, origin, read_record, settings_table
from mscpkpd.report.html import Html, bullets, details, element, image, joined, notice, paragraph, table
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.scorer import Scorer, load_scorer
from mscpkpd.rounding import decimals, number, span

__all__ = ["SCORER", "SCORES", "score_content"]

SCORER, SCORES = "scorer", "scores.csv"
MOST_ROWS = 500


def score_content(folder: Path, *, show_data: bool = True) -> Content:
    """Draw the figure of a score folder and say what it holds.

    Parameters
    ----------
    folder : Path
        Run folder of scores.
    show_data : bool
        Whether patients are shown.
    """
    record = read_record(folder)
    scorer = load_scorer(folder / SCORER)
    scores = pd.read_csv(folder / SCORES, dtype={"patient": str}, keep_default_na=False, na_values={"p_response": [""]})
    marks = _marks(scorer, scores, record)
    pictures = folder / FIGURES
    pictures.mkdir(exist_ok=True)
    path = pictures / "scores.png"
    path.unlink(missing_ok=True)
    shown: Html = paragraph("Patients are left out.", class_="soft")
    if show_data and len(scores):
        alt = "Probability of response of each patient with its intervals"
        shown = joined(image(save(scored_patients(scores, marks=marks), path), alt), _table(scores))
    parts = (
        Part("Scores", joined(notice(BANNER, kind="banner"), shown, paragraph(_outcome(scorer), class_="soft"))),
        Part("What the scores rest on", joined(_cohort(scorer), _parameters(scorer))),
        Part("How it was made", joined(bullets(record.get("notes", [])), settings_table(_settings(scorer, record)))),
    )
    return Content(
        "Probability of response from CXCL10 before the first infusion", _found(scores, scorer), marks, parts
    )


def _marks(scorer: Scorer, scores: pd.DataFrame, record: Mapping[str, Any]) -> Marks:
    invented = bool(scores["flags"].astype(str).str.contains("SYNTHETIC").any())
    synthetic = invented or bool(record.get("synthetic")) or bool(scorer.facts and scorer.facts.synthetic)
    warning = "" if scorer.ok else f"NOT RELIABLE: {scorer.check}"
    return Marks(synthetic=synthetic, quick=bool(record.get("quick")), warning=warning)


def _outcome(scorer: Scorer) -> str:
    return f"Outcome: {scorer.definition.outcome}. {scorer.definition.estimand}".strip()


def _found(scores: pd.DataFrame, scorer: Scorer) -> tuple[str, ...]:
    if scores.empty:
        return ("No patient was scored.",)
    p, share = scores["p_response"], scores["prior_share"]
    width = (scores["upper"] - scores["lower"]).median()
    cohort = "without a cohort" if scorer.facts is None else f"with {_cohort_words(scorer)}"
    return (
        f"{len(scores)} patients were scored {cohort}: P(response) from {decimals(p.min())} to {decimals(p.max())}; half "
        f"of the 95 % intervals are wider than {decimals(width)}.",
        f"For {int((share > 0.5).sum())} of them more than half of the uncertainty is that of the prior.",
    )


def _cohort_words(scorer: Scorer) -> str:
    facts = scorer.facts
    if facts is None:
        return "no cohort"
    kind = "SYNTHETIC cohort" if facts.synthetic else "cohort"
    return f"a {kind} of {facts.labelled} with a known response, {facts.responders} of whom responded"


def _table(scores: pd.DataFrame) -> Html:
    ordered = scores.sort_values("p_response", ascending=False, kind="stable")
    rows = [
        (element("strong", row["patient"]), decimals(row["p_response"]), f"{decimals(row['lower'])} to {decimals(row['upper'])}",
         decimals(row["p_prior_only"]), f"{100 * row['prior_share']:.0f} %", row["flags"])
        for row in ordered.head(MOST_ROWS).to_dict("records")
    ]  # fmt: skip
    header = ("patient", "P(response)", "central 95 %", "prior only", "prior share", "flags")
    return table(header, rows, numbers=(1, 2, 3, 4), caption="Probabilities, highest first")


def _cohort(scorer: Scorer) -> Html:
    lines = [f"Cohort: {_cohort_words(scorer)}."]
    if scorer.rate is not None:
        lines.append(f"Response rate: {scorer.rate}.")
    lines.append(f"Slope prior: {scorer.definition.slope}. Draws: {scorer.method} {scorer.check}".strip())
    return joined(bullets(lines), bullets(scorer.notes))


def _parameters(scorer: Scorer) -> Html:
    rows = []
    for row in scorer.summary().to_dict("records"):
        name = str(row["parameter"])
        known = [p for p in scorer.definition.parameters if p.name == ("offset" if name.startswith("offset") else name)]
        about = known[0].about if known else "slope on the linear predictor of the published model"
        where = origin(known[0].evidence, known[0].source) if known else Html("")
        rows.append((element("strong", name), about, number(row["estimate"]), span(row["lower"], row["upper"]),
                     "" if row["unit"] == "1" else row["unit"], decimals(max(row["learned"], 0.0)), where))  # fmt: skip
    header = ("parameter", "meaning", "mean", "central 95 %", "unit", "learned", "evidence and source of the prior")
    body = table(header, rows, numbers=(2, 3, 5))
    return details(f"{len(rows)} parameters with the origin of their priors", body)


def _settings(scorer: Scorer, record: Mapping[str, Any]) -> dict[str, Any]:
    own = {"responder": scorer.definition.name, "slope prior": scorer.definition.slope, "updated": scorer.updated,
           "seed": scorer.seed}  # fmt: skip
    return {**own, **made_with(record)}
