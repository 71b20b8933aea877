"""Covariates that change within a subject: their records, and what is declared about the time between them (K1, K7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mscpkpd.data.record import DOSE_PROPERTIES
from mscpkpd.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mscpkpd.data.events import Event

__all__ = ["RULES", "RULE_OF", "Covariate", "Declared", "Interpolation", "Varying", "counted_on", "declared",
           "is_covariate"]  # fmt: skip

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
        return all(_is_number(text) for text in self.texts)


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


def counted_on(events: Sequence[Event], gap: float) -> list[float]:
    """Return how much later each row of a subject is than its TIME says, where that restarts at a reset (D2).

    Parameters
    ----------
    events : sequence of Event
        Of one subject.
    gap : float
        Between two episodes, in the unit of their times.

    Returns
    -------
    list of float
    """
    found: list[float] = []
    last, shift = events[0].time if events else 0.0, 0.0
    for event in events:
        if event.resets and event.time + shift < last:
            shift = last + gap - event.time
        found.append(shift)
        last = event.time + shift
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
