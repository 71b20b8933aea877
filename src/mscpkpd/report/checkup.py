"""The folder of a diagnosis: verdicts, tables, figures, and a page that shows them."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import pandas as pd

from mscpkpd.diagnostics.checkup import Diagnosis, verdict_table
from mscpkpd.files import whole_folder
from mscpkpd.plots.style import Marks, save
from mscpkpd.report.content import FIGURES, Content, Part, write_page
from mscpkpd.report.html import Column, Html, details, element, gallery, image, joined, paragraph, table

__all__ = ["VERDICTS", "write_check"]

VERDICTS, PAGE = "verdicts.csv", "check.html"
WORDS = {"fail": "FAILS", "warn": "with care", "ok": "holds", "not given": "not given"}
TITLES = {
    "goodness_of_fit": "Observed and predicted", "residuals": "Residuals", "residual_groups": "Residuals by group",
    "predictive_checks": "Posterior predictive checks", "vpc": "Visual predictive check",
    "vpc_corrected": "Prediction-corrected visual predictive check", "npde": "Prediction distribution errors",
    "loo": "Leaving rows out", "influence_by_subject": "Influence by subject",
    "influence_by_study": "Influence by study", "divergences": "Where the sampler diverged",
    "correlations": "Parameters that are known only together", "individuals": "Individual fits",
}  # fmt: skip
MOST_ROWS = 60


def write_check(diagnosis: Diagnosis, folder: str | Path) -> Path:
    """Write a diagnosis into a folder of its own, whole or not at all; see `Diagnosis.save`."""
    with whole_folder(folder, VERDICTS) as part:
        verdict_table(diagnosis).to_csv(part / VERDICTS, index=False)
        for name, each in diagnosis.tables.items():
            each.to_csv(part / f"{name}.csv", index=False)
        pictures = part / FIGURES
        pictures.mkdir()
        drawn = {name: save(figure, pictures / f"{name}.png") for name, figure in diagnosis.plot().items()}
        write_page(_content(diagnosis, drawn), part / PAGE)
    return Path(folder)


def _content(diagnosis: Diagnosis, drawn: dict[str, Path]) -> Content:
    fit = diagnosis.fit
    warning = "" if fit.converged else "NOT A RESULT: the fit does not pass its checks"
    pictures = [
        Part(TITLES.get(name, name), gallery([image(path, TITLES.get(name, name))])) for name, path in drawn.items()
    ]
    numbers = [
        details(f"{name} ({len(each)} rows)", _plain(each)) for name, each in diagnosis.tables.items() if len(each)
    ]
    more = paragraph("Every table stands in a file of its own beside this page.", class_="soft")
    return Content(
        f"Can it be trusted? {fit.method} fit of {fit.model.title or fit.model.name}, {fit.study.name}",
        (diagnosis.sentence,),
        Marks(synthetic=fit.study.synthetic, warning=warning),
        (Part("Verdicts", _verdicts(diagnosis)), *pictures, Part("Numbers", joined(more, *numbers))),
    )


def _verdicts(diagnosis: Diagnosis) -> Html:
    columns = (
        Column("looked at", lambda row: element("strong", row["each"].name)),
        Column("verdict", lambda row: _word(row["each"].status)),
        Column("what it means", lambda row: row["each"].sentence),
        Column("what to do next", lambda row: row["each"].advice),
    )
    return table([{"each": each} for each in diagnosis.verdicts], columns)


def _word(status: str) -> Html | str:
    return element("span", WORDS[status], class_="alert") if status in ("fail", "warn") else WORDS[status]


def _plain(each: pd.DataFrame) -> Html:
    shown = each.head(MOST_ROWS).map(lambda x: f"{x:.4g}" if isinstance(x, float) else x)
    columns = tuple(Column(str(name), itemgetter(name)) for name in shown.columns)
    return table(shown.to_dict("records"), columns)
