"""Sheets of Excel files as rows of values; merged cells, which hide all values but one, are refused."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from mscpkpd.data.encodings import CSV_HINT
from mscpkpd.data.findings import Findings
from mscpkpd.errors import DataError, closest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EXCEL", "names_of_sheets", "rows_of_sheet"]

EXCEL = (".xlsx", ".xlsm")
MOST_UNPACKED_BYTES = 500_000_000
CHUNK = 1 << 20
MERGED = b"mergeCell "
MERGED_HINT = "unmerge them, and write the value into each cell that it is meant for"

Values = tuple[int, Sequence[Any]]  # number of the row, and what its cells hold


def names_of_sheets(path: Path) -> tuple[str, ...]:
    """Return the sheets of an Excel file.

    Raises
    ------
    DataError
        If it cannot be read as one.
    """
    book = _open(path)
    try:
        return tuple(book.sheetnames)
    finally:
        book.close()


def rows_of_sheet(path: Path, sheet: str | None) -> list[Values]:
    """Return the rows of a sheet that hold anything, from its header on.

    Parameters
    ----------
    path : Path
        Excel file.
    sheet : str or None
        Name of the sheet; None is the first one.

    Returns
    -------
    list of (int, sequence)
        Number of the row, and its values. Rows above the header that start with # are left out.

    Raises
    ------
    DataError
        If the file or the sheet cannot be read, or with each merged range of the table.
    """
    book = _open(path)
    try:
        title = _chosen(book, path, sheet)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = list(enumerate(book[title].iter_rows(values_only=True), 1))
    except (ValueError, KeyError, ParseError) as error:
        raise DataError(f"sheet cannot be read ({error})", where=path.name, hint=CSV_HINT) from error
    finally:
        book.close()
    filled = [(number, values) for number, values in rows if any(map(_holds_anything, values))]
    table = list(dropwhile(lambda row: str(row[1][0] or "").lstrip().startswith("#"), filled))
    if table and _may_be_merged(path):
        _check_merged(path, title, table)
    return table


def _holds_anything(value: Any) -> bool:
    return value is not None and bool(str(value).strip())


def _open(path: Path, *, whole: bool = False) -> Any:  # openpyxl has no type information
    import openpyxl

    hint = "open it in a spreadsheet program and save it again as .xlsx or CSV"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_UNPACKED_BYTES:
            raise DataError(f"unpacks to {unpacked / 1e6:.0f} MB", where=path.name, hint=hint)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and drop-down lists, which are not read
            return openpyxl.load_workbook(path, read_only=not whole, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, ParseError, TypeError) as error:
        raise DataError(f"not a readable Excel file ({error})", where=path.name, hint=hint) from error


def _chosen(book: Any, path: Path, sheet: str | None) -> str:
    names: list[str] = book.sheetnames
    if sheet is not None and sheet not in names:
        near = closest(sheet, names) or names
        raise DataError(f"no sheet '{sheet}'", where=path.name, hint=" or ".join(f"'{name}'" for name in near))
    return sheet or names[0]


# ---- merged cells ----------------------------------------------------------------------------------------------------


def _may_be_merged(path: Path) -> bool:
    """Whether any sheet has merged cells: a quick look, because to know them all cells have to be kept in memory."""
    with zipfile.ZipFile(path) as archive:
        sheets = [name for name in archive.namelist() if "worksheets/" in name and name.endswith(".xml")]
        return any(_holds(archive, name, MERGED) for name in sheets)


def _holds(archive: zipfile.ZipFile, name: str, sign: bytes) -> bool:
    end = b""
    with archive.open(name) as file:
        while chunk := file.read(CHUNK):
            if sign in end + chunk:
                return True
            end = chunk[-len(sign) :]
    return False


def _check_merged(path: Path, title: str, table: Sequence[Values]) -> None:
    findings = Findings(path.name)
    book = _open(path, whole=True)
    try:
        ranges = sorted(book[title].merged_cells.ranges, key=lambda found: (found.min_row, found.min_col))
    finally:
        book.close()
    values = dict(table)
    header = table[0][1]
    for found in ranges:
        if found.max_row >= table[0][0] and any(_filled(values, found)):
            column = header[found.min_col - 1] if found.min_row > table[0][0] and found.min_col <= len(header) else None
            problem = f"cells {found.coord} are merged: only the first holds a value"
            findings.add(problem, row=found.min_row, column=str(column or ""), hint=MERGED_HINT)
    findings.stop()


def _filled(values: dict[int, Sequence[Any]], found: Any) -> Iterator[bool]:
    """Whether each cell of a range holds anything."""
    for number in range(found.min_row, found.max_row + 1):
        yield from map(_holds_anything, values.get(number, ())[found.min_col - 1 : found.max_col])
