"""``mscpkpd validate``: the known answers, computed again on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table
from mscpkpd.cli.options import Json
from mscpkpd.cli.progress import progress
from mscpkpd.files import check_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["validate"]

FAILED = 3


def validate(
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the table as CSV, JSON and page.")] = None,
    as_json: Json = False,
) -> int:
    """Compute again what is known about the models without this program (about a minute)."""
    from mscpkpd.validation.table import MARK, rerun, rows_of, write_table

    if out is not None:
        check_place(out, MARK)
    with progress("known answers") as tell:
        outcomes = rerun(tell=tell)
    rows = rows_of(outcomes)
    passed = all(row["pass"] for row in rows)
    if out is not None:
        write_table(outcomes, out)
    if as_json:
        show_json({"passed": passed, "answers": rows, "folder": None if out is None else str(out)})
    else:
        _show(rows, out)
    return 0 if passed else FAILED


def _show(rows: Sequence[dict[str, Any]], out: Path | None) -> None:
    failed = [row for row in rows if not row["pass"]]
    say(f"FAILED: {len(failed)} of {len(rows)} known answers" if failed else f"All {len(rows)} known answers pass")
    header = ("known answer", "model", "source", "expected", "got", "tolerance", "pass")
    show_table(header, _cells([*failed, *(row for row in rows if row["pass"])]))
    if out is not None:
        say(f"Wrote {out}. Open {out / 'validation.html'}")


def _cells(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        expected = f"{row['bound']} {row['expected']:.6g}{unit}".strip()
        got = row["problem"] or f"{row['got']:.6g}"
        model = f"{row['model']} {row['values']}".strip()
        yield (
            row["name"],
            model,
            row["source"],
            expected,
            got,
            f"{row['tolerance']:.2g}",
            "yes" if row["pass"] else "NO",
        )
