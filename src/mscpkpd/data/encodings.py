"""Bytes of a text file as text; where they are in another encoding, or in two, the cells that are."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mscpkpd.data.findings import Findings, shortened
from mscpkpd.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CSV_HINT", "delimiter_of", "text_of"]

CSV_HINT = "save it as CSV (UTF-8) or .xlsx"
LOST = "\N{REPLACEMENT CHARACTER}"
BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_of(data: bytes, source: str) -> str:
    """Return the text of a file.

    Parameters
    ----------
    data : bytes
        Its content; a byte-order mark of UTF-8 is read silently.
    source : str
        Name of the file, for messages.

    Returns
    -------
    str
        All of it, without the mark.

    Raises
    ------
    DataError
        If it is not UTF-8: each cell that is not, and whether other rows are, so that two encodings are mixed. If it is
        and an earlier program could not read it: each cell that has lost a character.
    """
    if data.startswith(UTF16):
        raise DataError("the text is UTF-16", where=source, hint=CSV_HINT)
    if b"\0" in data:
        raise DataError("holds NUL bytes: it is binary, not a text table", where=source, hint=CSV_HINT)
    text = data.decode("utf-8-sig", errors="replace")
    if LOST in text:
        findings = Findings(source)
        western = [line.decode("cp1252", errors="replace") for line in data.removeprefix(BOM).splitlines()]
        _note_lost(_Lines.of(text), western, findings)
        findings.stop()
    return text


def delimiter_of(text: str) -> str:
    """Return comma, semicolon or tab, whichever stands most often in the header."""
    header = _header(text.splitlines())
    return max(",;\t", key=header.count)  # the first of equals: a header of one column is read with commas


def _header(lines: Sequence[str]) -> str:
    return next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of a text table, and how they are split into cells."""

    lines: tuple[str, ...]
    header: str
    delimiter: str

    @classmethod
    def of(cls, text: str) -> _Lines:
        lines = tuple(re.split(r"\r\n|\n|\r", text))  # as bytes.splitlines does
        return cls(lines, _header(lines), delimiter_of(text))

    def cells(self, line: str) -> list[str]:
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=self.delimiter), [""])]
        except csv.Error:
            return [line]

    def lost(self, line: str) -> Iterator[int]:
        """Positions of the cells in which a character was lost."""
        return (place for place, cell in enumerate(self.cells(line)) if LOST in cell)


def _note_lost(table: _Lines, western: Sequence[str], findings: Findings) -> None:
    """Note each cell that is not UTF-8, in the letters of Western Europe, or holds the sign of a lost character."""
    sound = next((k for k, line in enumerate(table.lines, 1) if not line.isascii() and LOST not in line), 0)
    head = table.lines.index(table.header) + 1 if table.header else 0
    titles = table.cells(western[head - 1] if LOST in table.header else table.header)
    for number, line in enumerate(table.lines, 1):
        for place in table.lost(line) if LOST in line else ():
            column = titles[place] if number > head and place < len(titles) else ""
            cell = table.cells(western[number - 1])[place]
            if "\N{LATIN SMALL LETTER I WITH DIAERESIS}\N{INVERTED QUESTION MARK}" in cell:  # the sign itself, as bytes
                problem = f"'{shortened(table.cells(line)[place])}' has lost a character"
                hint = "the cell as it was meant: a program before read another encoding"
            else:
                problem = f"'{shortened(cell)}' is not UTF-8"
                hint = "save it as 'CSV UTF-8'"
                if sound:
                    problem += f", but row {sound} is: two encodings in one file"
                    hint = "these cells typed again, and the file saved as 'CSV UTF-8'"
            findings.add(problem, row=number, column=column, hint=hint)
        if findings.full:
            return
