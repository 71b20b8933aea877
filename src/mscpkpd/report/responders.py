"""The page of work on the responder model: a prior, an update, a calibration, a design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.plots.style import Marks, save
from mscpkpd.report.content import FIGURES, Content, Part, made_with, read_record, settings_table
from mscpkpd.report.html import Column, Html, bullets, details, element, image, joined, page, paragraph, table
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.reporting import SOURCE, Item
from mscpkpd.rounding import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Chapter", "checklist_page", "responder_content", "write_chapters"]

MOST_ROWS = 200
SECTIONS = "sections"


@dataclass(frozen=True)
class Chapter:
    """One part of the page.

    Attributes
    ----------
    title : str
        Heading.
    text : tuple of str
        Sentences under it.
    tables : mapping of str to DataFrame
        By the name of their file, without ending.
    figures : mapping of str to Figure
        By the name of their file, without ending.
    patients : bool
        Whether it shows single patients.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    patients: bool = False


def write_chapters(folder: Path, chapters: Sequence[Chapter]) -> list[dict[str, Any]]:
    """Write the tables and figures of chapters; return what the record must hold to show them again."""
    (folder / FIGURES).mkdir(exist_ok=True)
    for chapter in chapters:
        for name, frame in chapter.tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        for name, figure in chapter.figures.items():
            save(figure, folder / FIGURES / f"{name}.png")
    return [
        {
            "title": chapter.title,
            "text": list(chapter.text),
            "tables": list(chapter.tables),
            "figures": list(chapter.figures),
            "patients": chapter.patients,
        }
        for chapter in chapters
    ]


def responder_content(folder: Path, *, show_data: bool = True) -> Content:
    """Say what a folder of work on the responder model holds.

    Parameters
    ----------
    folder : Path
        Run folder.
    show_data : bool
        Whether patients are shown.
    """
    record = read_record(folder)
    parts = [Part(str(section["title"]), _body(folder, section, show_data=show_data)) for section in record[SECTIONS]]
    parts.append(Part("How it was made", joined(bullets(record.get("notes", [])), settings_table(_made(record)))))
    marks = Marks(synthetic=bool(record.get("synthetic")), warning=str(record.get("warning", "")))
    return Content(str(record["title"]), tuple(record.get("found", ())), marks, tuple(parts), BANNER)


def _made(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made_with(record).items() if name not in (SECTIONS, "warning")}


def _body(folder: Path, section: Mapping[str, Any], *, show_data: bool) -> Html:
    if section["patients"] and not show_data:
        return paragraph("Patients are left out.", class_="soft")
    shown = [image(folder / FIGURES / f"{name}.png", f"{section['title']}: {name}") for name in section["figures"]]
    tables = [_table(folder / f"{name}.csv", name) for name in section["tables"]]
    return joined(*(paragraph(line) for line in section["text"]), *shown, *tables)


def _table(path: Path, name: str) -> Html:
    frame = pd.read_csv(path, keep_default_na=False)
    columns = [Column(str(column), _cell(str(column)), numeric=_numeric(frame[column])) for column in frame.columns]
    rows = frame.head(MOST_ROWS).to_dict("records")
    return details(f"{name.replace('_', ' ')} ({len(frame)} rows)", table(rows, columns))


def _numeric(column: pd.Series[Any]) -> bool:
    return bool(pd.to_numeric(column.replace("", "0"), errors="coerce").notna().all())


def _cell(column: str) -> Any:
    def text(row: Mapping[Any, Any]) -> str:
        value = row[column]
        try:
            return number(float(value))
        except (TypeError, ValueError):
            return str(value)

    return text


def checklist_page(items: Sequence[Item], *, synthetic: bool) -> str:
    """Return the checklist as a page of its own."""
    columns = (
        Column("item", lambda row: element("strong", row["number"])),
        Column("what", lambda row: row["title"]),
        Column("answer", lambda row: row["answer"]),
    )
    rows = [item._asdict() for item in items]
    left = sum(not item.filled for item in items)
    lead = paragraph(f"{len(items)} entries, {left} left to the authors. {SOURCE}")
    banner = element("div", element("p", BANNER), class_="notice banner")
    return page("TRIPOD+AI checklist", banner, lead, table(rows, columns), marks=Marks(synthetic=synthetic))
