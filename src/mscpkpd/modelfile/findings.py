"""What is wrong in one file, collected so that it is reported together (D14), and typed reading of raw TOML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mscpkpd.errors import InputError, ModelError, MscError, UnknownName
from mscpkpd.expressions import shortened

__all__ = ["FORMAT", "ROWS", "Findings"]

FORMAT = 1
# what a row of each table may look like
ROWS = {
    "parameters": '{ value = 0.03, unit = "1/h", source = "...", evidence = "read" }',
    "states": '{ unit = "cells", about = "..." }',
    "chains": '{ stages = 4, unit = "cells", rate = "stages*k_L", in = "k_B*blood" }',
    "routes": '{ into = { blood = "1" } }',
    "derived": '{ is = "log(2)/k_L", unit = "h" }',
    "rates": '"-k_L*lung"',
    "outputs": '{ is = "lung", unit = "cells", noise = "lognormal(s)" }',
    "variability": "{ subject = 0.3 }",
    "covariance": '{ form = "diagonal" }',
}
EXAMPLES = {"unit": 'unit = "cells", or unit = "1" for none', "is": 'is = "lung + liver"'}
Made = TypeVar("Made")


@dataclass
class Findings:
    """Findings of one file.

    Attributes
    ----------
    path : str
        The file.
    found : list of MscError
        Findings in file order.
    """

    path: str
    found: list[MscError] = field(default_factory=list)

    def add(self, problem: str, where: str = "", *, expected: str = "", hint: str = "") -> None:
        """Note a finding; `where` is the table and key."""
        self.found.append(ModelError(problem, where=where, expected=expected, hint=hint))

    def attempt(self, make: Callable[[], Made]) -> Made | None:
        """Return what `make` returns, or note its error and return None."""
        try:
            return make()
        except InputError as error:
            self.found.append(error)
            return None

    def stop(self) -> None:
        """Raise `ModelError` with all findings, if there are any."""
        if self.found:
            raise ModelError.of(self.found, where=self.path)

    def keys(self, row: Mapping[str, Any], known: Iterable[str], where: str = "") -> None:
        """Note every key that is not known."""
        for key in row:
            if key not in known:
                kind = "table" if isinstance(row[key], dict) and not where else "key"
                self.found.append(UnknownName.among(kind, key, tuple(known), where=where))

    def need(self, row: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
        """Note every key that is missing."""
        for key in keys:
            if key not in row:
                self.add(f"no {key}", where, expected=f'{key} = "..."', hint=EXAMPLES.get(key, ""))

    def format(self, raw: Mapping[str, Any]) -> None:
        """Note a missing or unknown version of the file format."""
        given = raw.get("format")
        if given != FORMAT or isinstance(given, bool):
            problem = "format is missing" if given is None else f"format is {given!r}"
            hint = "put it into the first line of the file" if given is None else "a newer mscpkpd for a newer format"
            self.add(problem, expected=f"format = {FORMAT}", hint=hint)

    def text(self, row: Mapping[str, Any], key: str, where: str = "", default: str = "") -> str:
        """Return a text."""
        value = row.get(key, default)
        if isinstance(value, str):
            return value
        self.add(
            f"{key} is {shortened(repr(value))}",
            where,
            expected="a text in quotes",
            hint=f'{key} = "{shortened(str(value))}"',
        )
        return default

    def number(self, row: Mapping[str, Any], key: str, where: str) -> float | None:
        """Return a finite number, or None where the key is absent."""
        value = row.get(key)
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool | str) else float(value)
        except (TypeError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
        hint = f"{key} = 0.03, without quotes and unit"
        self.add(f"{key} is {shortened(repr(value))}", where, expected="a finite number", hint=hint)
        return None

    def texts(self, row: Mapping[str, Any], key: str, where: str = "") -> tuple[str, ...]:
        """Return a list of texts."""
        value = row.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.add(f"{key} is {value!r}", where, expected="a list of texts", hint=f'{key} = ["lee_2009"]')
        return ()

    def rows(self, raw: Mapping[str, Any], table: str, shape: type = dict) -> Iterator[tuple[str, Any, str]]:
        """Yield name, row and place of each row of a table that has the right shape."""
        rows = raw.get(table, {})
        if not isinstance(rows, dict):
            self.add(f"{table} is {rows!r}", expected=f"a table [{table}]", hint=f"[{table}], and its rows below")
            return
        form = "a row in braces" if shape is dict else "a formula in quotes"
        for name, row in rows.items():
            where = f"[{table}].{name}"
            if isinstance(row, shape):
                yield name, row, where
            else:
                self.add(f"the row is {shortened(repr(row))}", where, expected=form, hint=f"{name} = {ROWS[table]}")
