"""How well the numbers of the library are known: counts over model files and values files.

A number is a row with a value (or an SD) in the file that holds it: rows that a model inherits are counted where they
stand. A row that stands in several files with the same value and source is one number of the library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mscpkpd.modelfile.library import library_path, models, read_toml, values_of
from mscpkpd.parameters import EVIDENCE

__all__ = ["Provenance", "provenance"]

Number = tuple[str, float, str, str]  # name, value, source, evidence


@dataclass(frozen=True)
class Provenance:
    """Numbers by how well they are known.

    Attributes
    ----------
    name : str
        Model, or "library".
    counts : dict of int by str
        How many numbers are read, derived, recalled, review and assumed.
    """

    name: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return sum(self.counts.values())


def provenance() -> tuple[Provenance, ...]:
    """Count the numbers of the shipped library by their evidence.

    Returns
    -------
    tuple of Provenance
        One for each model with the numbers that its own files hold, then the whole library, each number once.

    Raises
    ------
    ModelError
        If a file of the library cannot be read.
    """
    own = {name: list(_numbers(name)) for name in models()}
    everything = {number for numbers in own.values() for number in numbers}
    return (*(_counted(name, set(numbers)) for name, numbers in own.items()), _counted("library", everything))


def _counted(name: str, numbers: Iterable[Number]) -> Provenance:
    found = Counter(number[3] for number in numbers)
    return Provenance(name, {word: found[word] for word in EVIDENCE})


def _numbers(name: str) -> Iterator[Number]:
    """Numbers in the file of a model and in its values files, without those of the model that it extends."""
    folder = library_path()
    yield from _rows(folder / "pkpd" / f"{name}.toml")
    for overlay in values_of(name):
        file = folder / "values" / name / f"{overlay}.toml"
        if file.is_file():
            yield from _rows(file)


def _rows(file: Path) -> Iterator[Number]:
    raw = read_toml(file)
    for parameter, row in _table(raw, "parameters"):
        if "value" in row:
            yield parameter, float(row["value"]), str(row.get("source", "")), str(row.get("evidence", "assumed"))
    for parameter, row in _table(raw, "variability"):
        for level, sd in row.items():
            if isinstance(sd, int | float):
                source, evidence = str(row.get("source", "")), str(row.get("evidence", "assumed"))
                yield f"SD of {parameter} between {level}s", float(sd), source, evidence


def _table(raw: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    table = raw.get(name)
    for key, row in table.items() if isinstance(table, dict) else ():
        if isinstance(row, dict):
            yield key, row
