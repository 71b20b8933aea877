"""The rows of a NONMEM-style event table as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.data.tables import Row, Table

__all__ = [
    "COLUMNS",
    "NAMED",
    "Event",
    "SameTime",
    "by_subject",
    "counted_on",
    "given_times",
    "is_event_table",
    "renamed",
]

# columns with a meaning (2.1); everything else is a covariate or a property of its row
COLUMNS = (
    "id", "time", "evid", "cmt", "dvid", "dv", "mdv", "amt", "amt_unit", "viab", "rate", "dur", "addl", "ii", "ss",
    "cens", "limit", "lloq", "lod", "occ", "lot", "study", "unit", "tad",
)  # fmt: skip
NAMED = {5: "replace", 6: "multiply", 7: "phantom"}  # events that have names and no number of their own (D11)
OTHER_NAMES = {"ytype": "dvid", "tinf": "dur"}


@dataclass(frozen=True, slots=True)
class Event:
    """One row.

    Attributes
    ----------
    row : Row
        Its text and number.
    subject : str
        ID.
    time : float
        In the unit that was asked for.
    evid : int
        0 to 4; 5 and above for events with a name (`NAMED`).
    observed : bool
        MDV = 0: the row brings a value (D4).
    amount : float
        AMT in its own unit.
    rate, duration, interval : float
        RATE in units of AMT per unit of time, DUR and II; 0 where missing.
    additional : int
        ADDL.
    viable : float or None
        VIAB.
    steady : int
        SS: 1 replaces the states by their steady state (E21), 2 adds it (E28).
    """

    row: Row
    subject: str
    time: float
    evid: int
    observed: bool
    amount: float = 0.0
    rate: float = 0.0
    duration: float = 0.0
    interval: float = 0.0
    additional: int = 0
    viable: float | None = None
    steady: int = 0

    @property
    def doses(self) -> bool:
        """Whether the row gives a dose."""
        return self.evid in (1, 4)

    @property
    def resets(self) -> bool:
        """Whether the row resets every state."""
        return self.evid in (3, 4)

    @property
    def acts(self) -> bool:
        """Whether the row does anything to the states."""
        return self.evid in (1, 3, 4, 5, 6)

    @property
    def stands(self) -> bool:
        """Whether the row stands in a regimen: it acts, or counts as a dose for the time after one (E38)."""
        return self.evid != 0 and self.evid != 2  # noqa: PLR1714 - asked of every row of long tables

    @property
    def named(self) -> str:
        """Name of the event where it has one (E36)."""
        return NAMED.get(self.evid, "")

    @property
    def constant(self) -> bool:
        """Whether the row is that of an endless infusion (E27)."""
        return self.steady == 1 and self.amount == 0

    @property
    def times(self) -> tuple[float, ...]:
        """Nominal times of the dose and its additional doses (E17)."""
        return tuple(self.time + number * self.interval for number in range(self.additional + 1))


class SameTime:
    """Times that differ by rounding alone, such as 0.1 + 0.2 and 0.3, are one time."""

    RELATIVE = 1e-11

    @classmethod
    def holds(cls, one: float, other: float) -> bool:
        """Whether two times are the same."""
        return abs(one - other) <= cls.RELATIVE * max(1.0, abs(one), abs(other))


def is_event_table(table: Table) -> bool:
    """Whether the columns are those of an event table: TIME with EVID or AMT, or ID, TIME, DV with MDV or CMT."""
    columns = {OTHER_NAMES.get(name, name) for name in table.columns}
    if {"subject", "output"} & columns:
        return False
    return bool(columns & {"evid", "amt"}) or ({"id", "time", "dv"} <= columns and bool(columns & {"mdv", "cmt"}))


def renamed(table: Table) -> Table:
    """Return the table with one name for each meaning: YTYPE is DVID, TINF is DUR."""
    old = {name for name in table.columns if name in OTHER_NAMES and OTHER_NAMES[name] not in table.columns}
    if not old:
        return table

    def new(name: str) -> str:
        return OTHER_NAMES[name] if name in old else name

    return replace(
        table,
        columns=tuple(map(new, table.columns)),
        units={new(name): unit for name, unit in table.units.items()},
        titles={new(name): title for name, title in table.titles.items()},
        rows=tuple(replace(row, cells={new(name): text for name, text in row.cells.items()}) for row in table.rows),
    )


def given_times(events: Sequence[Event]) -> list[tuple[float, ...]]:
    """Return the times at which each row that acts really acts, for the rows of one episode in their order.

    Additional doses that were due after a later reset (E32) or a later steady state (E22) are never given. Those due at
    its very time are: they come first, and are undone by it (E2).

    Parameters
    ----------
    events : sequence of Event
        Rows that dose or reset.

    Returns
    -------
    list of tuple of float
        For each row, its own time and those of its additional doses.
    """
    found: list[tuple[float, ...]] = []
    end = float("inf")
    for event in reversed(events):
        found.append(tuple(time for time in event.times if time <= end) if event.doses else (event.time,))
        if event.resets or event.steady == 1:
            end = min(end, event.time)
    return found[::-1]


def by_subject(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the rows of each subject, in order of first appearance."""
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.subject, []).append(event)
    return found


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
