"""Everything wrong with one file, collected so that it is reported together (D14)."""

from __future__ import annotations

from dataclasses import dataclass, field

from mscpkpd.errors import DataError

__all__ = ["Findings", "shortened"]

MOST = 1000  # of a file of garbage nobody reads more; 50 are shown


@dataclass(slots=True)
class Findings:
    """Problems of one table, in order.

    Attributes
    ----------
    source : str
        Name of the file.
    lines : list of str
        One message for each problem.
    """

    source: str
    lines: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def full(self) -> bool:
        """Whether looking for more is pointless."""
        return len(self.lines) >= MOST

    def add(self, problem: str, *, row: int = 0, column: str = "", expected: str = "", hint: str = "") -> None:
        """Note a problem with its row (as in the file), column, and what to try."""
        places = [f"row {row}" if row else "", f"column '{shortened(column)}'" if column else ""]
        where = ", ".join(place for place in places if place)
        self.lines.append(DataError(problem, where=where, expected=expected, hint=hint).message)

    def stop(self) -> None:
        """Raise one `DataError` with everything found, if anything was.

        Raises
        ------
        DataError
            With at most 50 problems written out.
        """
        if self.lines:
            raise DataError.of(self.lines, where=self.source)


def shortened(text: str, length: int = 40) -> str:
    """Return `text` on one line and at most `length` characters long, for messages."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
