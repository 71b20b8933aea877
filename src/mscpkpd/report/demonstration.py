"""The page of the demo: its three jobs on one page, what was found first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mscpkpd.plots import estimates_and_truth, save
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import (
    FIGURES,
    Content,
    Part,
    estimate_columns,
    made_with,
    read_record,
    settings_table,
    share,
    strong,
)
from mscpkpd.report.html import Column, Html, element, image, joined, notice, paragraph, section, table
from mscpkpd.report.preclinical import preclinical_part
from mscpkpd.rounding import decimals, number, unit_text

__all__ = ["demo_content"]

TABLES = "tables"
UNINFORMED = "What the data did not inform"
TITLE = "mscpkpd: three jobs on shipped data"


def demo_content(folder: Path, contents: Mapping[str, Content], *, show_data: bool = True) -> Content:
    """Put the parts of a demo on one page.

    Parameters
    ----------
    folder : Path
        Folder of the demo.
    contents : mapping of str to Content
        What its run folders have to say, by the name of the part.
    show_data : bool
        Whether single subjects are shown; the parts have decided for themselves.
    """
    record = read_record(folder)
    (folder / FIGURES).mkdir(exist_ok=True)
    faults = list(record.get("faults", []))
    if record.get("status") != "done":
        faults.append("the demo was interrupted; what was computed is shown")
    quick = bool(record.get("quick"))
    marks = Marks(quick=quick, warning=f"NOT A RESULT: {' '.join(faults)}" if faults and not quick else "")
    figures = Marks(quick=quick)
    parts = (
        Part("Human label data: fit", _human(folder, contents)),
        Part("Preclinical facts beside the priors", _preclinical(folder, figures)),
        Part("SYNTHETIC mouse study: fit", _mouse(folder, contents, figures)),
        Part(UNINFORMED, _uninformed(contents)),
        Part("Dosing schedules side by side", _whole(contents, "simulation", record)),
        Part("Scored patients", _whole(contents, "scores", record)),
        Part("How it was made", _made(folder, record, show_data=show_data)),
    )
    return Content(TITLE, tuple(record.get("found", ())), marks, parts)


def _whole(contents: Mapping[str, Content], key: str, record: Mapping[str, object]) -> Html:
    if key in contents:
        content = contents[key]
        synthetic = element("p", "SYNTHETIC data: invented, not measured.", class_="synthetic")
        return joined(synthetic if content.marks.synthetic else "", content.body())
    missing = record.get("missing")
    why = missing.get(key) if isinstance(missing, dict) else None
    return notice(why or "Not computed.")


def _without_uninformed(content: Content) -> Html:
    kept = tuple(part for part in content.parts if part.title != UNINFORMED)
    return Content(content.title, content.found, content.marks, kept).body()


def _table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / TABLES / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=True) if path.is_file() else pd.DataFrame()


# ---- human -------------------------------------------------------------------------------------------------------


def _human(folder: Path, contents: Mapping[str, Content]) -> Html:
    if "human" not in contents:
        return notice("Not computed.")
    about = paragraph(
        "Gholamrezanezhad 2011: 111In-oxine label in lung, liver and spleen of four patients with cirrhosis, at the "
        "first image and on day 10. Published ranges are taken as means with the SD of one patient. Label is not "
        "living cells. "
        "Mirpour 2009 reports two of the same patients: shown, not counted twice."
    )
    return joined(
        about,
        _without_uninformed(contents["human"]),
        section("If the first image was taken at 0.5 h", _first_image(folder), level=3),
    )


def _preclinical(folder: Path, marks: Marks) -> Html:
    numbers, orders, listed = (_table(folder, name) for name in ("preclinical", "orderings", "listed"))
    if numbers.empty:
        return notice("Not computed.")
    return preclinical_part(numbers, orders, listed, folder / FIGURES / "preclinical.png", marks)


def _first_image(folder: Path) -> Html:
    compared = _table(folder, "first_image")
    if compared.empty:
        return notice("Not computed.")
    text = paragraph(
        "One abstract dates the first image 2 h after the infusion, the other immediately after it. The same fit with "
        "0.5 h shows what that changes; the shift is in posterior SDs of the fit at 2 h."
    )
    columns = (
        Column("parameter", strong("parameter")),
        *estimate_columns("first image at 2 h"),
        Column("learned", share, numeric=True),
        *estimate_columns("at 0.5 h", "_early"),
        Column("learned", lambda row: share(row, "learned_early"), numeric=True),
        Column("shift", lambda row: decimals(row["shift"]), numeric=True),
        Column("unit", lambda row: unit_text(row["unit"])),
    )
    rows = compared.to_dict("records")
    most = max(rows, key=lambda row: abs(row["shift"]))
    largest = paragraph(f"Largest shift: {most['parameter']}, {decimals(most['shift'])} posterior SDs.", class_="soft")
    return joined(text, table(rows, columns), largest)


# ---- mouse, what is not informed, record -------------------------------------------------------------------------


def _mouse(folder: Path, contents: Mapping[str, Content], marks: Marks) -> Html:
    if "mouse" not in contents:
        return notice("Not computed.")
    about = paragraph(
        element("span", "SYNTHETIC: invented, not measured. ", class_="alert"),
        "A complete destructive study, made with the model itself: it shows that cells, PGE2 and IL-10 are fitted "
        "together, and says nothing about mice.",
    )  # fmt: skip
    return joined(about, _without_uninformed(contents["mouse"]), _truth(folder, marks))


def _truth(folder: Path, marks: Marks) -> Html:
    known = _table(folder, "truth")
    if known.empty:
        return Html("")
    judged = known.dropna(subset=["lower", "upper"])
    inside = int(((judged["lower"] <= judged["truth"]) & (judged["truth"] <= judged["upper"])).sum())
    figure = estimates_and_truth(judged, marks=Marks(synthetic=True, quick=marks.quick))
    picture = image(save(figure, folder / FIGURES / "truth_SYNTHETIC.png"), "Estimates over the values behind the data")
    columns = (
        Column("parameter", strong("parameter")),
        Column("truth", lambda row: number(row["truth"]), numeric=True),
        *estimate_columns("estimate"),
        Column("unit", lambda row: unit_text(row["unit"])),
    )
    words = paragraph(f"{inside} of {len(judged)} intervals hold the value that the data were made with.")
    body = table(known.to_dict("records"), columns)
    return section("Estimates against the truth (SYNTHETIC)", words, picture, body, level=3)


def _uninformed(contents: Mapping[str, Content]) -> Html:
    titles = {"human": "Human label data", "mouse": "SYNTHETIC mouse study"}
    return joined(
        *(
            section(title, *(part.body for part in contents[key].parts if part.title == UNINFORMED), level=3)
            for key, title in titles.items()
            if key in contents
        )
    )


def _made(folder: Path, record: Mapping[str, object], *, show_data: bool) -> Html:
    parts = record.get("parts")
    names = list(parts.values()) if isinstance(parts, dict) else []
    links = [
        element("li", element("a", name, href=f"{name}/report.html")) for name in names if (folder / str(name)).is_dir()
    ]
    left = "" if show_data else paragraph("Single subjects and patients are left out.", class_="soft")
    return joined(
        left,
        paragraph("Each part is a run folder with its own page:"),
        element("ul", *links),
        settings_table(made_with(record)),
    )
