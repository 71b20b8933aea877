"""A page as one file: escaped text, tables, embedded figures, and a style that reads on a phone and prints."""

from __future__ import annotations

import base64
import html
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mscpkpd.plots.style import DPI, Marks

__all__ = [
    "Column",
    "Html",
    "bullets",
    "details",
    "element",
    "escaped",
    "gallery",
    "image",
    "joined",
    "notice",
    "page",
    "paragraph",
    "section",
    "table",
]


SCREEN = 96  # dots per inch that a browser assumes
WIDTHS = {"large": 540, "wide": 640}  # pixels from which a figure is not shrunk on a phone, or takes a row of its own


class Html(str):
    """Text that is markup already; every other text is escaped before it gets onto a page."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Return text as markup that shows it; markup stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def joined(*parts: object) -> Html:
    """Join parts into one piece of markup."""
    return Html("".join(escaped(part) for part in parts))


def element(tag: str, *content: object, **attributes: str) -> Html:
    """Return an element; ``class_`` stands for the attribute ``class``."""
    written = "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items() if value)
    return Html(f"<{tag}{written}>{joined(*content)}</{tag}>")


def paragraph(*content: object, class_: str = "") -> Html:
    """Return a paragraph."""
    return element("p", *content, class_=class_)


def bullets(items: Iterable[object]) -> Html:
    """Return a list; nothing for no items."""
    found = [element("li", item) for item in items]
    return element("ul", *found) if found else Html("")


def notice(*lines: object, kind: str = "warning") -> Html:
    """Return a box that nobody overlooks; nothing for no lines."""
    return element("div", *(element("p", line) for line in lines), class_=f"notice {kind}") if lines else Html("")


def section(title: str, *content: object, level: int = 2, anchor: str = "") -> Html:
    """Return a section with its heading."""
    return element("section", element(f"h{level}", title), *content, id=anchor)


def details(summary: str, *content: object) -> Html:
    """Return a part that is closed until the reader opens it."""
    return element("details", element("summary", summary), *content)


class Column(NamedTuple):
    """One column of a table: its title, the cell of a row, and whether it holds numbers, which stand to the right."""

    title: str
    cell: Callable[[Mapping[Any, Any]], object]
    numeric: bool = False


def table(rows: Iterable[Mapping[Any, Any]], columns: Sequence[Column], *, caption: str = "") -> Html:
    """Return a table of records.

    Parameters
    ----------
    rows : iterable of mappings
    columns : sequence of Column
    caption : str
        Above the table.
    """

    def line(tag: str, cells: Iterable[object]) -> Html:
        pairs = zip(cells, columns, strict=True)
        return element("tr", *(element(tag, cell, class_="n" if column.numeric else "") for cell, column in pairs))

    head = element("thead", line("th", (column.title for column in columns)))
    body = element("tbody", *(line("td", [column.cell(row) for column in columns]) for row in rows))
    title = element("caption", caption) if caption else Html("")
    return element("div", element("table", title, head, body), class_="scroll")


def image(path: Path, alt: str, *, caption: str = "") -> Html:
    """Embed a PNG at its true size; a large one scrolls on a narrow screen rather than shrink beyond reading."""
    content = path.read_bytes()
    width, height = (round(pixels * SCREEN / DPI) for pixels in struct.unpack(">II", content[16:24]))
    data = base64.b64encode(content).decode("ascii")
    picture = Html(
        f'<img alt="{html.escape(alt)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
    )
    under = element("figcaption", caption) if caption else Html("")
    classes = " ".join(name for name, limit in WIDTHS.items() if width > limit)
    return element("figure", element("div", picture, class_="scroll"), under, class_=classes)


def gallery(figures: Iterable[Html]) -> Html:
    """Put figures beside each other where there is room."""
    return element("div", *figures, class_="gallery")


def page(title: str, *content: object, marks: Marks, contents: Sequence[tuple[str, str]] = ()) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Title and first heading.
    *content
        Under the title and its marks.
    marks : Marks
        What stands above everything else.
    contents : sequence of (str, str)
        Anchor and title of each part, for the list of contents.
    """
    first = notice(*([marks.warning] if marks.warning else []))
    links = [element("a", name, href=f"#{anchor}") for anchor, name in contents]
    listed = element("nav", *links) if links else Html("")
    synthetic = element("p", "SYNTHETIC data: invented, not measured.", class_="synthetic") if marks.synthetic else ""
    body = element("main", first, element("h1", title), synthetic, *content[:1], listed, *content[1:])
    short = "; ".join(line.partition(":")[0] for line in marks.lines)
    mark = element("div", short, class_="ribbon") if short else Html("")
    return PAGE.format(title=html.escape(title), style=STYLE, body=joined(mark, body))


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

STYLE = """
:root { color-scheme: light; --ink: #1d2125; --soft: #5c6670; --line: #e1e5e9; --paper: #fff; --accent: #0072b2;
  --warn: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; overflow-wrap: break-word; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .6rem 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.08rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: 1rem; margin: 1.3rem 0 .3rem; color: var(--soft); }
p, ul { max-width: 46rem; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1.2rem 0; font-size: .92rem; }
.lead p { font-size: 1.08rem; }
.soft, figcaption { color: var(--soft); font-size: .88rem; }
.notice { border-left: 4px solid var(--warn); background: #fbefee; padding: .5rem .9rem; margin: .8rem 0;
  max-width: 46rem; }
.notice p { margin: .2rem 0; font-weight: 600; }
.notice.banner p, .notice.note p { font-weight: 400; }
.notice.note { border-color: var(--accent); background: #eef5fa; }
.ribbon { background: var(--warn); color: #fff; font-weight: 700; text-align: center; padding: .3rem .6rem;
  position: sticky; top: 0; z-index: 5; }
.synthetic { color: var(--warn); font-weight: 600; }
td strong { white-space: nowrap; }
td small { display: block; min-width: 9rem; color: var(--soft); font-size: .8rem; }
.gallery { display: grid; gap: .4rem 1.6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); align-items: start; }
figure { margin: 1rem 0; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; }
.gallery figure.wide { grid-column: 1 / -1; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.4; margin: .6rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .32rem .6rem .32rem 0;
  border-bottom: 1px solid var(--line); min-width: 3.2rem; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td .source { display: inline-block; min-width: 11rem; color: var(--soft); }
.word { font-size: .8rem; padding: 0 .4em; border-radius: .6em; background: #e9eef2; white-space: nowrap; }
.word.assumed, .word.recalled { background: #fbe9d7; }
.word.read, .word.derived { background: #e0f0e8; }
.alert { color: var(--warn); font-weight: 600; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); }
pre { font-size: .8rem; overflow-x: auto; background: #f6f8fa; padding: .7rem; }
@media (max-width: 44rem) { figure.large img { max-width: none; width: auto; } h1 { font-size: 1.4rem; } }
@media print {
  body { font-size: 10pt; } main { max-width: none; padding: 0; } nav { display: none; } .ribbon { position: static; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } td .source { min-width: 9rem; }
  figure, tr, .notice { break-inside: avoid; } h2, h3 { break-after: avoid; } figure img { max-height: 22cm;
  width: auto; }
  .gallery { grid-template-columns: 1fr 1fr; }
}
@page { margin: 15mm; }
"""
