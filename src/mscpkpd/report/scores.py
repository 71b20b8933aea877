"""The page of scored patients: banner first, then the scores, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mscpkpd.plots import save, scored_patients
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import (
    FIGURES,
    Content,
    Part,
    estimate_columns,
    made_with,
    named,
    origin,
    read_record,
    settings_table,
    share,
    strong,
)
from mscpkpd.report.html import Column, Html, bullets, details, image, joined, paragraph, table
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.definition import ResponderParameter
from mscpkpd.responder.scorer import Scorer, load_scorer
from mscpkpd.rounding import decimals, unit_text

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
        Part("Scores", joined(shown, paragraph(_outcome(scorer), class_="soft"))),
        Part("What the scores rest on", joined(_cohort(scorer), _parameters(scorer))),
        Part("How it was made", joined(bullets(record.get("notes", [])), settings_table(_settings(scorer, record)))),
    )
    title = "Probability of response from CXCL10 before the first infusion"
    return Content(title, _found(scores, scorer), marks, parts, BANNER)


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
    p, weight = scores["p_response"], scores["prior_share"]
    width = (scores["upper"] - scores["lower"]).median()
    cohort = "without a cohort" if scorer.facts is None else f"with {_cohort_words(scorer)}"
    range_ = f"from {decimals(p.min())} to {decimals(p.max())}"
    first = f"{len(scores)} patients were scored {cohort}: P(response) {range_}; "
    return (
        f"{first}half of the 95 % intervals are wider than {decimals(width)}.",
        f"For {int((weight > 0.5).sum())} of them more than half of the uncertainty is that of the prior.",
    )


def _cohort_words(scorer: Scorer) -> str:
    facts = scorer.facts
    if facts is None:
        return "no cohort"
    kind = "SYNTHETIC cohort" if facts.synthetic else "cohort"
    return f"a {kind} of {facts.labelled} with a known response, {facts.responders} of whom responded"


def _table(scores: pd.DataFrame) -> Html:
    ordered = scores.sort_values("p_response", ascending=False, kind="stable").head(MOST_ROWS)
    columns = (
        Column("patient", strong("patient")),
        Column("P(response)", lambda row: decimals(row["p_response"]), numeric=True),
        Column("central 95 %", lambda row: f"{decimals(row['lower'])} to {decimals(row['upper'])}", numeric=True),
        Column("prior only", lambda row: decimals(row["p_prior_only"]), numeric=True),
        Column("prior share", lambda row: f"{100 * row['prior_share']:.0f} %", numeric=True),
        Column("flags", lambda row: row["flags"]),
    )
    return table(ordered.to_dict("records"), columns, caption="Probabilities, highest first")


def _cohort(scorer: Scorer) -> Html:
    lines = [f"Cohort: {_cohort_words(scorer)}."]
    if scorer.rate is not None:
        lines.append(f"Response rate: {scorer.rate}.")
    lines.append(f"Slope prior: {scorer.definition.slope}. Draws: {scorer.method} {scorer.check}".strip())
    return joined(bullets(lines), bullets(scorer.notes))


def _parameters(scorer: Scorer) -> Html:
    known = {parameter.name: parameter for parameter in scorer.definition.parameters}

    def prior(row: Mapping[Any, Any]) -> ResponderParameter | None:
        return known.get("offset" if row["parameter"].startswith("offset") else row["parameter"])

    def meaning(row: Mapping[Any, Any]) -> str:
        return found.about if (found := prior(row)) else "slope on the linear predictor of the published model"

    def source(row: Mapping[Any, Any]) -> Html:
        return origin(found.evidence, found.source) if (found := prior(row)) else Html("")

    columns = (
        Column("parameter", lambda row: named(row["parameter"], meaning(row))),
        *estimate_columns("mean"),
        Column("unit", lambda row: unit_text(row["unit"])),
        Column("learned", share, numeric=True),
        Column("evidence and source of the prior", source),
    )
    rows = scorer.summary().to_dict("records")
    return details(f"{len(rows)} parameters with the origin of their priors", table(rows, columns))


def _settings(scorer: Scorer, record: Mapping[str, Any]) -> dict[str, Any]:
    own = {"responder": scorer.definition.name, "slope prior": scorer.definition.slope, "updated": scorer.updated,
           "seed": scorer.seed}  # fmt: skip
    return {**own, **made_with(record)}
