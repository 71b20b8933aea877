"""Covariates that change within a subject: their records, and what is declared about the time between them (K1, K7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mscpkpd.data.record import DOSE_PROPERTIES
from mscpkpd.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from mscpkpd.data.tables import Table

__all__ = ["COVARIATES", "RULES", "RULE_OF", "Covariate", "Declared", "Interpolation", "Varying", "declared",
           "is_covariate", "is_number", "record_rows", "records_beside", "with_points"]  # fmt: skip

COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
COVARIATES = "covariates"  # ends the name of a file beside a study
RULES = ("locf", "nocb", "linear")
# by dialect of an event table, "" for none (K1)
RULE_OF = {"": "nocb", "nonmem": "nocb", "mrgsolve": "nocb", "rxode2": "locf", "monolix": "locf"}

Interpolation = str | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Covariate:
    """A column that is a covariate.

    Attributes
    ----------
    name : str
        In small letters, as in `Subject.covariates`.
    unit : str
        That of the header; blank for none.
    rule : str
        "locf", "nocb" or "linear" between its records; blank where nothing is declared (K1).
    """

    name: str
    unit: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Varying:
    """A covariate that changes within a subject.

    Attributes
    ----------
    name : str
        As in `Covariate`.
    times : tuple of float
        Of its records [h], in order of time, then of the file; a row without it is none of them (K7).
    texts : tuple of str
        What they say.
    at_doses : tuple of (float, str)
        Of each dose in the order of the regimen: time of the record that it belongs to [h], which for additional doses
        is not their own (E16), and what that record says. Empty where doses have no records.
    """

    name: str
    times: tuple[float, ...]
    texts: tuple[str, ...]
    at_doses: tuple[tuple[float, str], ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether every record is a number."""
        return all(is_number(text) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared about a table.

    Attributes
    ----------
    default : str
        Rule of all covariates that are not in `own`; blank for none.
    own : tuple of (str, str)
        Rules of single covariates.
    """

    default: str = ""
    own: tuple[tuple[str, str], ...] = ()

    def of(self, name: str) -> str:
        """Rule of a covariate; blank where nothing is declared."""
        return dict(self.own).get(name.casefold(), self.default)


def declared(covariates: Interpolation | None, default: str, columns: Iterable[str]) -> Declared:
    """Check what a caller declares about the covariates of a table (K1).

    Parameters
    ----------
    covariates : str, mapping of str to str, or None
        A rule for all, or rules by column; None leaves it to the default.
    default : str
        Of the kind of table; blank for none.
    columns : iterable of str
        What the table has, in small letters.

    Returns
    -------
    Declared

    Raises
    ------
    UsageError
        For a rule that is none of the three.
    UnknownName
        For a column that the table does not have.
    """
    if covariates is None:
        return Declared(default)
    by_name = not isinstance(covariates, str)
    stated = {"": covariates} if isinstance(covariates, str) else dict(covariates)
    for name, rule in stated.items():
        if rule not in RULES:
            said = f"covariates={{'{name}': '{rule}'}}" if by_name else f"covariates='{rule}'"
            raise UsageError(said, expected="locf, nocb or linear (K1)", hint="covariates='locf'")
    if not by_name:
        return Declared(stated[""])
    known = set(columns)
    for name in stated:
        if name.casefold() not in known:
            raise UnknownName.among("covariate", name, known, where="covariates")
    return Declared(default, tuple((name.casefold(), rule) for name, rule in stated.items()))


def is_covariate(column: str) -> bool:
    """Whether a column without a meaning of its own may change: properties of a dose never do (K9)."""
    return column not in DOSE_PROPERTIES


def with_points(table: Table, decimal: str, known: Collection[str]) -> Table:
    """Return a table with a decimal point in columns without a meaning: they are kept as text, and read elsewhere.

    Parameters
    ----------
    table : Table
    decimal : "." or ","
        Decimal sign of the table.
    known : collection of str
        Columns with a meaning, which are left alone.

    Returns
    -------
    Table
    """
    if decimal == ".":
        return table
    rows = []
    for row in table.rows:
        cells = row.cells.items()
        kept = {
            name: text if name in known or not COMMA.fullmatch(text) else text.replace(",", ".") for name, text in cells
        }
        rows.append(replace(row, cells=kept))
    return replace(table, rows=tuple(rows))


def record_rows(
    subject: str, varying: Sequence[Varying], known: Callable[[str], Covariate]
) -> Iterator[dict[str, object]]:
    """Return what a study file cannot hold, for a file beside it: records of a subject, and what those of doses say.

    Parameters
    ----------
    subject : str
    varying : sequence of Varying
    known : callable
        From the name of a covariate to what is declared about it.

    Yields
    ------
    dict
        Columns subject, covariate, unit, rule, time [h], value, and dose: the number of a dose, blank for a record.
    """
    for each in varying:
        own = known(each.name)
        common = {"subject": subject, "covariate": each.name, "unit": own.unit, "rule": own.rule}
        for time, text in zip(each.times, each.texts, strict=True):
            yield {**common, "time": time, "value": text, "dose": None}
        for number, (time, text) in enumerate(each.at_doses, 1):
            yield {**common, "time": time, "value": text, "dose": str(number)}


def records_beside(table: Table) -> tuple[dict[str, list[Varying]], dict[str, Covariate]]:
    """Read what `record_rows` gave: covariates that change by subject, and what is declared by name."""
    records: dict[tuple[str, str], list[tuple[float, str]]] = {}
    at_doses: dict[tuple[str, str], list[tuple[float, str]]] = {}
    known: dict[str, Covariate] = {}
    for row in table.rows:
        key = row.text("subject"), row.text("covariate")
        said = float(row.text("time")), row.text("value")
        (at_doses if row.text("dose") else records).setdefault(key, []).append(said)
        known[key[1]] = Covariate(key[1], row.text("unit"), row.text("rule"))
    found: dict[str, list[Varying]] = {}
    for (subject, name), own in records.items():
        times, texts = zip(*own, strict=True)
        found.setdefault(subject, []).append(Varying(name, times, texts, tuple(at_doses.get((subject, name), ()))))
    return found, known


def is_number(text: str) -> bool:
    """Whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
