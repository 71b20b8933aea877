"""All known answers, computed again and written as a table."""

from __future__ import annotations

import csv
import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mscpkpd.files import whole_folder
from mscpkpd.plots.style import Marks
from mscpkpd.report.html import Column, details, notice, page, paragraph, section, table
from mscpkpd.rounding import number
from mscpkpd.validation import cells, core, gvhd, pbk, pkpd, sepsis
from mscpkpd.validation.answers import KnownAnswer, Outcome, judged

__all__ = ["MARK", "known_answers", "rerun", "rows_of", "write_table"]

MARK = "validation.json"
GROUPS = {
    "cells and label": cells.ANSWERS,
    "core": core.ANSWERS,
    "sepsis": sepsis.ANSWERS,
    "acute GVHD": gvhd.ANSWERS,
    "PBK": pbk.ANSWERS,
    "molecules": pkpd.ANSWERS,
}
COLUMNS = (
    "group",
    "name",
    "source",
    "model",
    "values",
    "expected",
    "got",
    "tolerance",
    "unit",
    "bound",
    "pass",
    "problem",
)


def known_answers() -> dict[str, tuple[KnownAnswer, ...]]:
    """Return all known answers, by group.

    Returns
    -------
    dict of tuple of KnownAnswer by str
    """
    return dict(GROUPS)


def rerun(
    answers: Mapping[str, Iterable[KnownAnswer]] | None = None, tell: Callable[[int, int], object] | None = None
) -> dict[str, tuple[Outcome, ...]]:
    """Compute known answers again, through the engine.

    Parameters
    ----------
    answers : mapping of str to iterable of KnownAnswer, optional
        By group; all of them by default.
    tell : callable, optional
        Is told how many are done, of how many.

    Returns
    -------
    dict of tuple of Outcome by str
        By group, in the order of the answers; none is left out.
    """
    groups = {name: tuple(group) for name, group in (answers or GROUPS).items()}
    total, done = sum(map(len, groups.values())), 0
    found: dict[str, tuple[Outcome, ...]] = {}
    for name, group in groups.items():
        outcomes = []
        for answer in group:
            outcomes.append(judged(answer))
            done += 1
            if tell is not None:
                tell(done, total)
        found[name] = tuple(outcomes)
    return found


def rows_of(outcomes: Mapping[str, Sequence[Outcome]]) -> list[dict[str, Any]]:
    """Return outcomes as records with the columns of the table."""
    return [_record(group, outcome) for group, found in outcomes.items() for outcome in found]


def _record(group: str, outcome: Outcome) -> dict[str, Any]:
    answer = outcome.answer
    return {
        "group": group,
        "name": answer.name,
        "source": answer.source,
        "model": answer.model,
        "values": ", ".join(answer.values),
        "expected": answer.expected,
        "got": outcome.got if math.isfinite(outcome.got) else None,
        "tolerance": answer.tolerance,
        "unit": answer.unit,
        "bound": answer.bound,
        "pass": outcome.passed,
        "problem": outcome.problem,
    }


def write_table(outcomes: Mapping[str, Sequence[Outcome]], folder: str | Path) -> Path:
    """Write outcomes as CSV, JSON and one page.

    Parameters
    ----------
    outcomes : mapping of str to sequence of Outcome
        By group.
    folder : str or Path
        It appears when it is complete; an earlier one of the same kind is replaced.

    Returns
    -------
    Path
        The folder, with validation.csv, validation.json and validation.html.

    Raises
    ------
    UsageError
        If the name is taken by something else, or the place cannot be written to.
    """
    rows, made = rows_of(outcomes), _made_with()
    with whole_folder(folder, MARK) as path:
        with (path / "validation.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        content = {"made_with": made, "passed": all(row["pass"] for row in rows), "answers": rows}
        (path / MARK).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
        (path / "validation.html").write_text(_page(rows, made), encoding="utf-8")
    return Path(folder)


def _made_with() -> dict[str, str]:
    packages = {name: version(name) for name in ("mscpkpd", "numpy", "scipy", "sympy", "pydiffsol")}
    return {"python": platform.python_version(), "machine": platform.platform(), **packages}


def _page(rows: Sequence[Mapping[str, Any]], made: Mapping[str, str]) -> str:
    failed = [row for row in rows if not row["pass"]]
    verdict = f"{len(rows) - len(failed)} of {len(rows)} known answers pass."
    columns = (
        Column("known answer", lambda row: row["name"]),
        Column("model", lambda row: f"{row['model']} {row['values']}"),
        Column("source", lambda row: row["source"]),
        Column(
            "expected", lambda row: f"{row['bound']} {number(row['expected'], 5)} {_unit(row)}".strip(), numeric=True
        ),
        Column("got", lambda row: row["problem"] or number(row["got"], 5), numeric=True),
        Column("tolerance", lambda row: number(row["tolerance"]), numeric=True),
        Column("pass", lambda row: "yes" if row["pass"] else "NO"),
    )
    groups = dict.fromkeys(row["group"] for row in rows)
    parts = [section(name, table([row for row in rows if row["group"] == name], columns)) for name in groups]
    marks = Marks(warning="" if not failed else f"{len(failed)} known answers FAIL")
    versions = ", ".join(f"{name} {value}" for name, value in made.items())
    lead = [notice(*(f"{row['name']} ({row['model']})" for row in failed))] if failed else []
    about = paragraph(verdict, " Each number is known without this program and was computed again on this machine.")
    return page("Known answers", about, *lead, *parts, details("Made with", paragraph(versions)), marks=marks)


def _unit(row: Mapping[str, Any]) -> str:
    return "" if row["unit"] == "1" else str(row["unit"])
