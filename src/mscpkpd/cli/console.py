"""What a command shows: text, tables and JSON on standard output, messages on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WIDTH", "say", "show_json", "show_table", "table_records", "warn"]

WIDTH = 200  # of tables that nobody sees on a terminal: wide enough to be searched line by line


def say(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def warn(text: str) -> None:
    """Print a message on standard error."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_json(content: Any) -> None:
    """Print the machine-readable result; a number that is not finite becomes null."""
    say(json.dumps(_plain(content), indent=2, ensure_ascii=False))


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without frame; a cell that is too long for its column continues in the next line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else WIDTH
    # brackets are units here, not markup
    Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False).print(table)


def table_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain mappings."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if hasattr(content, "item"):  # NumPy scalar
        content = content.item()
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content if isinstance(content, bool | int | str | None) else str(content)
