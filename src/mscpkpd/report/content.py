"""What every page is made of: a title, what was found, marks, and sections; and words that several pages use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mscpkpd.errors import InputError
from mscpkpd.plots.style import Marks
from mscpkpd.report.html import Column, Html, element, escaped, joined, notice, page, section, table
from mscpkpd.rounding import decimals, number, span

__all__ = [
    "FIGURES",
    "MARK",
    "PAGE",
    "Content",
    "Part",
    "estimate_columns",
    "made_with",
    "named",
    "origin",
    "read_record",
    "settings_table",
    "share",
    "strong",
    "write_page",
]

MARK = "provenance.json"  # every run folder holds it
PAGE = "report.html"
FIGURES = "figures"
# of a record: what a page shows in words, not in its table of settings
ELSEWHERE = (
    "format",
    "kind",
    "schedules",
    "notes",
    "title",
    "synthetic",
    "quick",
    "found",
    "faults",
    "missing",
    "parts",
)


@dataclass(frozen=True)
class Part:
    """A titled part of a page.

    Attributes
    ----------
    title : str
    body : Html
    """

    title: str
    body: Html


@dataclass(frozen=True)
class Content:
    """What a run folder has to say.

    Attributes
    ----------
    title : str
    found : tuple of str
        Sentences that come first.
    marks : Marks
        SYNTHETIC, QUICK, warnings.
    parts : tuple of Part
    banner : str
        What must stand before any number.
    """

    title: str
    found: tuple[object, ...]
    marks: Marks
    parts: tuple[Part, ...]
    banner: str = ""

    @property
    def lead(self) -> Html:
        """Banner and first sentences."""
        banner = notice(self.banner, kind="banner") if self.banner else Html("")
        return joined(banner, *(element("p", sentence) for sentence in self.found))

    def body(self, level: int = 3) -> Html:
        """The parts as sections of a larger page."""
        warnings = notice(*([self.marks.warning] if self.marks.warning else []))
        return joined(warnings, self.lead, *(section(part.title, part.body, level=level) for part in self.parts))


def write_page(content: Content, path: Path) -> None:
    """Write a page of its own."""
    lead = element("div", content.lead, class_="lead")
    anchors = [(f"part-{k}", part.title) for k, part in enumerate(content.parts, 1)]
    sections = [
        section(part.title, part.body, anchor=anchor) for part, (anchor, _) in zip(content.parts, anchors, strict=True)
    ]
    text = page(content.title, lead, *sections, marks=content.marks, contents=anchors)
    path.write_text(text, encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a run folder.

    Raises
    ------
    InputError
        If the folder is none.
    """
    try:
        record = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is no run folder: {error}", expected=f"a folder with {MARK}", hint="the folder given to --out"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{folder} is no run folder", where=str(folder / MARK), expected="a JSON object")
    return record


def origin(evidence: str, source: str) -> Html:
    """How well a number is known, and where it comes from."""
    word = element("span", evidence, class_=f"word {evidence}") if evidence else escaped("")
    return joined(word, " ", element("span", source, class_="source")) if source else word


def made_with(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says about how the folder came about, without what the page shows elsewhere."""
    return {name: value for name, value in record.items() if name not in ELSEWHERE}


def settings_table(settings: Mapping[str, Any]) -> Html:
    """What was asked for, and the versions of what computed it."""
    rows = [{"name": name, "value": _one_line(value)} for name, value in settings.items()]
    return table(rows, (Column("setting", lambda row: row["name"]), Column("value", lambda row: row["value"])))


def strong(key: str) -> Callable[[Mapping[Any, Any]], Html]:
    """A cell in bold."""
    return lambda row: element("strong", row[key])


def named(name: str, meaning: str) -> Html:
    """A name with what it means under it."""
    return joined(element("strong", name), element("small", meaning))


def share(row: Mapping[Any, Any], key: str = "learned") -> str:
    """Share of the prior variance that is gone; a posterior that is wider by chance has learned 0."""
    return decimals(max(row[key], 0.0))


def estimate_columns(title: str, ending: str = "") -> tuple[Column, Column]:
    """An estimate and its interval, from the columns estimate, lower and upper with this ending."""
    return (
        Column(title, lambda row: number(row[f"estimate{ending}"]), numeric=True),
        Column("95 % interval", lambda row: span(row[f"lower{ending}"], row[f"upper{ending}"]), numeric=True),
    )


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_one_line(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
