"""The page of the demo: its three jobs on one page, what was found first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mscpkpd.plots import estimates_and_truth, facts_and_priors, save
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import FIGURES, Content, Part, made_with, origin, read_record, settings_table
from mscpkpd.report.html import Html, details, element, image, joined, notice, paragraph, section, table
from mscpkpd.rounding import decimals, number, span

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
        "Gholamrezanezhad 2011: 111In-oxine label in lung, liver and spleen of four patients with cirrhosis, first image "
        "and day 10. The published ranges are taken as means with the SD of one patient. Label is not living cells. "
        "Mirpour 2009 reports two of the same patients: shown, not counted twice."
    )
    return joined(
        about,
        _without_uninformed(contents["human"]),
        section("If the first image was taken at 0.5 h", _first_image(folder), level=3),
    )


def _first_image(folder: Path) -> Html:
    compared = _table(folder, "first_image")
    if compared.empty:
        return notice("Not computed.")
    text = paragraph(
        "One abstract dates the first image 2 h after the infusion, the other immediately after it. The same fit with 0.5 h "
        "shows what that changes; the shift is in posterior SDs of the fit at 2 h."
    )
    rows = [
        (element("strong", row["parameter"]), number(row["estimate"]), span(row["lower"], row["upper"]), decimals(max(row["learned"], 0.0)),
         number(row["estimate_early"]), span(row["lower_early"], row["upper_early"]), decimals(max(row["learned_early"], 0.0)),
         decimals(row["shift"]), "" if str(row["unit"]) == "1" else row["unit"])
        for row in compared.to_dict("records")
    ]  # fmt: skip
    header = ("parameter", "at 2 h", "95 %", "learned", "at 0.5 h", "95 %", "learned", "shift", "unit")
    most = max(compared.to_dict("records"), key=lambda row: abs(row["shift"]))
    largest = paragraph(f"Largest shift: {most['parameter']}, {decimals(most['shift'])} posterior SDs.", class_="soft")
    return joined(text, table(header, rows, numbers=range(1, 8)), largest)


# ---- preclinical -------------------------------------------------------------------------------------------------


def _preclinical(folder: Path, marks: Marks) -> Html:
    numbers, orders = _table(folder, "preclinical"), _table(folder, "orderings")
    if numbers.empty:
        return notice("Not computed.")
    figure = save(facts_and_priors(numbers, marks=marks), folder / FIGURES / "preclinical.png")
    about = paragraph(
        "Published means, bounds and orders in rats and mice beside what the models predict before any data: nothing here is "
        "fitted, every prediction is prior only. ", element("strong", "These facts cannot test the model alone"),
        ": they are single numbers of single studies, most without a spread, and those of ",
        ", ".join(_informing(numbers, orders)), " were used to write priors, so that agreement with them is no evidence.",
    )  # fmt: skip
    picture = image(
        figure, "Published facts beside prior predictions", caption="Prior only. Grey: the study informed a prior."
    )
    return joined(about, picture, _numbers(numbers), _orders(orders), _listed(_table(folder, "listed")))


def _informing(numbers: pd.DataFrame, orders: pd.DataFrame) -> list[str]:
    both = pd.concat([numbers, orders])
    used = both[both["informed_priors"].fillna("") != ""]
    return list(dict.fromkeys(" ".join(str(reference).split()[:2]) for reference in used["reference"]))


def _numbers(numbers: pd.DataFrame) -> Html:
    rows = []
    for row in numbers.to_dict("records"):
        observed = row["finding"] if isinstance(row["finding"], str) else number(row["observed"])
        observed = f"< {observed}" if row["bound"] == "<" else observed
        observed += f" ± {number(row['sd'])}" if row["sd"] == row["sd"] else ""  # noqa: PLR0124 - NaN
        rows.append((row["reference"], row["statement"], observed, f"{number(row['median'])} ({span(row['lower'], row['upper'])})",
                     row["predicted_as"], _informed(row["informed_priors"]), row["use"], origin(row["provenance"], "")))  # fmt: skip
    header = (
        "study",
        "published",
        "value",
        "prior prediction, median (95 %)",
        "predicted as",
        "informed the prior of",
        "use",
        "evidence",
    )
    return table(header, rows, numbers=(2,), caption="Numbers: percent, half-lives in h")


def _informed(names: object) -> str:
    return names if isinstance(names, str) and names else "none: independent"


def _orders(orders: pd.DataFrame) -> Html:
    rows = [
        (row["reference"], row["statement"], f"{100 * row['agree']:.0f} %", row["predicted_as"], _informed(row["informed_priors"]),
         row["use"], origin(row["provenance"], ""))
        for row in orders.to_dict("records")
    ]  # fmt: skip
    header = (
        "study",
        "published",
        "prior draws that agree",
        "a draw agrees if",
        "informed the prior of",
        "use",
        "evidence",
    )
    return table(header, rows, numbers=(2,), caption="Orders")


def _listed(listed: pd.DataFrame) -> Html:
    rows = [
        (
            row["reference"],
            row["species"],
            row["statement"],
            row["use"],
            origin(row["provenance"], ""),
            row["use_reason"],
        )
        for row in listed.fillna("").to_dict("records")
    ]
    body = table(("study", "species", "published", "use", "evidence", "why this use"), rows)
    return details(f"{len(rows)} further facts of the evidence table, with what a fit may do with them", body)


# ---- mouse, what is not informed, record -------------------------------------------------------------------------


def _mouse(folder: Path, contents: Mapping[str, Content], marks: Marks) -> Html:
    if "mouse" not in contents:
        return notice("Not computed.")
    about = paragraph(
        element("span", "SYNTHETIC: invented, not measured. ", class_="alert"),
        "A complete destructive study, made with the model itself: it shows that cells, PGE2 and IL-10 are fitted together, and "
        "says nothing about mice.",
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
    rows = [
        (element("strong", row["parameter"]), number(row["truth"]), number(row["estimate"]), span(row["lower"], row["upper"]),
         "" if str(row["unit"]) == "1" else row["unit"])
        for row in known.to_dict("records")
    ]  # fmt: skip
    header = ("parameter", "truth", "estimate", "95 % interval", "unit")
    words = paragraph(f"{inside} of {len(judged)} intervals hold the value that the data were made with.")
    return section(
        "Estimates against the truth (SYNTHETIC)", words, picture, table(header, rows, numbers=(1, 2, 3)), level=3
    )


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
