"""Files and frames as tables of text, with row numbers and the units of their headers.

Nothing is interpreted here: numbers stay text, so that a message can quote what stands in the file.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.data.encodings import CSV_HINT, delimiter_of, text_of
from mscpkpd.data.findings import Findings, shortened
from mscpkpd.data.workbooks import EXCEL, names_of_sheets, rows_of_sheet
from mscpkpd.errors import DataError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Row", "Table", "column_names", "read_table", "sheet_names", "table_of_frame"]

MISSING = frozenset(("", ".", "NA"))  # D7
MOST_BYTES = 50_000_000
MOST_COLUMNS = 1000
HEADER_UNIT = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\[\]]*)\]$")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    number : int
        Number of the row in the file, where the header usually is row 1.
    cells : mapping of str to str
        Text by column name; missing values (D7) are left out.
    titles : mapping of str to str
        Names to use in messages where they differ from those of the table.
    """

    number: int
    cells: Mapping[str, str]
    titles: Mapping[str, str] = field(default_factory=dict)

    def text(self, column: str) -> str:
        """Return the text of a cell; blank if missing."""
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Table:
    """Text of a table.

    Attributes
    ----------
    source : str
        Name of the file, for messages.
    columns : tuple of str
        Names in lower case and without unit, in order.
    units : mapping of str to str
        Units of the header: ``time [h]`` gives ``{"time": "h"}``.
    titles : mapping of str to str
        Names as written, without unit.
    rows : tuple of Row
        Rows that hold anything, in order of the file (D15).
    """

    source: str
    columns: tuple[str, ...]
    units: Mapping[str, str]
    titles: Mapping[str, str]
    rows: tuple[Row, ...]

    def has(self, column: str) -> bool:
        """Whether any row holds a value of this column."""
        return any(column in row.cells for row in self.rows)


def read_table(path: str | Path, sheet: str | None = None) -> Table:
    """Read a table as text.

    Parameters
    ----------
    path : str or Path
        CSV (comma, semicolon or tab), TSV, Excel (.xlsx) or Parquet file of at most 50 MB. Lines above the header
        that start with # are comments.
    sheet : str or None
        Name of the Excel sheet; None is the first one.

    Returns
    -------
    Table
        Text by row and column.

    Raises
    ------
    DataError
        If the file is missing, too large, no table or empty, a name stands twice in its header, or a row has too
        many or too few cells.
    """
    path = Path(path)
    _check_file(path)
    kind = path.suffix.casefold()
    if kind in EXCEL:
        return _table(path.name, _excel_rows(path, sheet))
    if sheet is not None:
        raise DataError(f"sheet '{sheet}' of a file that has none", where=path.name, hint="sheet only for .xlsx files")
    if kind == ".parquet":
        return _parquet(path)
    return _table(path.name, _text_rows(path))


def column_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of the columns of a file, in lower case; of a text file the header alone is looked at.

    Raises
    ------
    DataError
        If the file cannot be read; what is wrong with its table is left to `read_table`.
    """
    path = Path(path)
    if path.suffix.casefold() in (*EXCEL, ".parquet"):
        return read_table(path).columns
    _check_file(path)
    header = _text_rows(path, most=1)
    return tuple(name for name, _, _ in _names(header[0][1], 1, Findings(path.name))) if header else ()


def table_of_frame(frame: pd.DataFrame, source: str = "frame") -> Table:
    """Turn a DataFrame into a table of text.

    Parameters
    ----------
    frame : DataFrame
        Columns as in a file; the index is ignored.
    source : str
        Name for messages.

    Returns
    -------
    Table
        Rows numbered as in the CSV file that `frame` would make: the first is row 2.

    Raises
    ------
    DataError
        As `read_table`.
    """
    header = [_cell_text(name) for name in frame.columns]
    body = ([_cell_text(value) for value in values] for values in frame.itertuples(index=False, name=None))
    return _table(source, [(1, header), *enumerate(body, 2)])


def sheet_names(path: Path) -> tuple[str, ...]:
    """Return the sheets of an Excel file, none for other files."""
    if path.suffix.casefold() not in EXCEL:
        return ()
    _check_file(path)
    return names_of_sheets(path)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        near = closest(path.name, [other.name for other in path.parent.glob("*")]) if path.parent.is_dir() else ()
        hint = " or ".join(f"'{name}'" for name in near) or "the path of a CSV or Excel file"
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), hint=hint) from error
    if not path.is_file():
        raise DataError("is a folder", where=str(path), hint="the path of a CSV or Excel file")
    if size > MOST_BYTES:
        raise DataError(
            f"{size / 1e6:.0f} MB is more than the limit of {MOST_BYTES / 1e6:.0f} MB for a table",
            where=path.name,
            hint="a table of observations, without raw instrument output",
        )
    if size == 0:
        raise DataError("the file is empty", where=path.name, hint="mscpkpd new study FILE.csv writes a template")
    if path.suffix.casefold() == ".xls":
        raise DataError("the old Excel format .xls is not read", where=path.name, hint=CSV_HINT)


def _text_rows(path: Path, most: int | None = None) -> list[tuple[int, list[str]]]:
    text = text_of(path.read_bytes(), path.name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)) and (rows or not cells[0].lstrip().startswith("#")):
                rows.append((start, cells))
                if len(rows) == most:
                    break
            start = reader.line_num + 1
    except csv.Error as error:
        problem = f"row {start} cannot be split into cells ({error})"
        raise DataError(problem, where=path.name, hint="a quote that is not closed?") from error
    return rows


def _excel_rows(path: Path, sheet: str | None) -> list[tuple[int, list[str]]]:
    return [(number, [_cell_text(value) for value in values]) for number, values in rows_of_sheet(path, sheet)]


def _parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError("reading Parquet needs pyarrow", where=path.name, hint="pip install pyarrow, or CSV") from error
    except (ValueError, OSError) as error:
        raise DataError(f"not a readable Parquet file ({error})", where=path.name, hint=CSV_HINT) from error
    return table_of_frame(frame, path.name)


def _cell_text(value: Any) -> str:  # whatever a spreadsheet or a frame holds
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a subject 1 that became 1.0 beside a missing one
    return str(value)


def _table(source: str, rows: Sequence[tuple[int, Sequence[str]]]) -> Table:
    if not rows:
        raise DataError("no header", where=source, hint="mscpkpd new study FILE.csv writes a template")
    findings = Findings(source)
    header_row, header = rows[0]
    body = rows[1:]
    width = len(header)
    while width and not header[width - 1].strip() and not any(_beyond(cells, width) for _, cells in body):
        width -= 1  # columns without name and content, as spreadsheets leave them
    names = _names(header[:width], header_row, findings)
    findings.stop()
    if not body:
        raise DataError("a header without rows", where=source, hint="one row for each observation")
    units = {name: unit for name, _, unit in names if unit}
    titles = {name: title for name, title, _ in names}
    table_rows = tuple(_rows([name for name, _, _ in names], body, findings))
    findings.stop()
    return Table(source, tuple(titles), units, titles, table_rows)


def _beyond(cells: Sequence[str], width: int) -> bool:
    return len(cells) >= width and bool(cells[width - 1].strip())


def _names(header: Sequence[str], row: int, findings: Findings) -> list[tuple[str, str, str]]:
    """Return folded name, name as written and unit of each column."""
    if len(header) > MOST_COLUMNS:
        findings.add(f"{len(header)} columns", row=row, expected=f"at most {MOST_COLUMNS}", hint="one row a value")
        return []
    names = []
    seen: dict[str, int] = {}
    for position, cell in enumerate(header, 1):
        match = HEADER_UNIT.match(cell.strip())
        title, unit = (match["name"], match["unit"].strip()) if match else (cell.strip(), "")
        name = re.sub(r"[\s-]+", "_", title.casefold())
        if not name:
            findings.add(f"column {position} has no name", row=row, hint="a name in the header, or delete the column")
        elif name in seen:
            problem = f"column name '{shortened(title)}' stands twice (columns {seen[name]} and {position})"
            findings.add(problem, row=row, hint="one name each; names differ by more than case")
        seen[name] = position
        names.append((name, title, unit))
    return names


def _rows(names: Sequence[str], body: Iterable[tuple[int, Sequence[str]]], findings: Findings) -> Iterable[Row]:
    width = len(names)
    for number, cells in body:
        if len(cells) != width and (len(cells) < width or "".join(cells[width:]).strip()):
            problem = f"{len(cells)} cells, the header has {width}"
            findings.add(problem, row=number, hint="quotes around a cell that holds the separator; decimal points")
            if findings.full:
                return
            continue
        texts = map(str.strip, cells)  # those beyond the header are blank
        kept = {name: text for name, text in zip(names, texts, strict=False) if text not in MISSING}
        if kept:
            yield Row(number, kept)
