"""Regimen files: courses of equal doses, each number with its source and how well it is known."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from mscpkpd.dosing import Regimen, bolus, infusion
from mscpkpd.modelfile.findings import Findings
from mscpkpd.modelfile.library import Table, library_path, locate, read_toml, regimens
from mscpkpd.parameters import EVIDENCE

__all__ = ["load_regimen"]

REGIMEN_KEYS = ("format", "name", "title", "about", "reference", "note", "course")
NUMBER_KEYS = ("amount", "doses", "every", "over", "at")
NUMBER_FORM = '{ value = ..., source = "...", evidence = "..." }'


@dataclass(frozen=True)
class _Course:
    """Equal doses at equal intervals."""

    route: str
    numbers: dict[str, Any]
    origins: tuple[tuple[str, str, str], ...]  # key, source, evidence

    def regimen(self) -> Regimen:
        options = dict(self.numbers)
        amount = options.pop("amount")
        give = infusion if "over" in options else bolus
        return give(amount, self.route, **options)


def load_regimen(name: str | os.PathLike[str]) -> Regimen:
    """Read a regimen.

    Parameters
    ----------
    name : str or path
        A name of the shipped library (`regimens`) or the path of a regimen file.

    Returns
    -------
    Regimen
        Its `evidence` is the weakest of its numbers; its `source` says what each number rests on.

    Raises
    ------
    ModelError
        All findings of the file together.
    UnknownName
        For a name that is not in the library; the message holds the closest ones.

    Notes
    -----
    The sources are those of the file: labels of approved products and trial reports, named for each number. Doses
    at equal intervals are held one by one (E17).

    Examples
    --------
    >>> len(load_regimen("ryoncil"))
    8
    """
    path = locate("regimen", name, [library_path() / "regimens"], regimens())
    raw = read_toml(path)
    findings = Findings(str(path))
    findings.keys(raw, REGIMEN_KEYS)
    findings.format(raw)
    courses = _courses(raw, findings)
    words = {key: findings.text(raw, key) for key in ("title", "about", "note")}
    stem = findings.text(raw, "name", default=path.stem)
    findings.texts(raw, "reference")
    findings.stop()
    parts = [part for course in courses if (part := findings.attempt(course.regimen)) is not None]
    findings.stop()
    origins = list(dict.fromkeys(origin for course in courses for origin in course.origins))
    return replace(
        reduce(add, parts),
        name=stem,
        about=". ".join(words[key].rstrip(".") for key in ("title", "about") if words[key]),
        source="; ".join(f"{key}: {source} ({evidence})" for key, source, evidence in origins),
        evidence=max((evidence for _, _, evidence in origins), key=EVIDENCE.index),
        note=words["note"],
    )


def _courses(raw: Table, findings: Findings) -> list[_Course]:
    courses = raw.get("course")
    if not isinstance(courses, list) or not courses or not all(isinstance(course, dict) for course in courses):
        findings.add("there is no [[course]]", expected="one or more tables [[course]]")
        return []
    return [_course(course, f"[[course]] {number}", findings) for number, course in enumerate(courses, 1)]


def _course(course: Table, where: str, findings: Findings) -> _Course:
    findings.keys(course, ("route", *NUMBER_KEYS), where)
    findings.need(course, ("route",), where)
    if "amount" not in course:
        findings.add("no amount", where, expected=f"amount = {NUMBER_FORM}")
    numbers, origins = {}, []
    for key in NUMBER_KEYS:
        if key in course:
            numbers[key], origin = _number(course[key], f"{where}, {key}", findings)
            origins.append((key, *origin))
    return _Course(findings.text(course, "route", where), numbers, tuple(origins))


def _number(row: Any, where: str, findings: Findings) -> tuple[Any, tuple[str, str]]:
    """Return a number as written, and its source and evidence; a number without them is refused."""
    if not isinstance(row, dict) or "value" not in row:
        findings.add(f"the number is {row!r}", where, expected=NUMBER_FORM)
        return None, ("", "")
    findings.keys(row, ("value", "source", "evidence"), where)
    source, evidence = findings.text(row, "source", where), findings.text(row, "evidence", where)
    if not source or evidence not in EVIDENCE:
        problem = f"source is '{source}', evidence is '{evidence}'"
        findings.add(problem, where, expected=f"a source, and one of {', '.join(EVIDENCE)}")
    return row["value"], (source, evidence)
