"""Time after the latest dose (E38): of the rows of an event table, and of the records of a study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mscpkpd.data.events import SameTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.data.events import Event
    from mscpkpd.dosing import Dose

__all__ = ["after_dose", "after_doses_of_rows"]


def after_dose(doses: Sequence[Dose], time: float, pre_dose: int = 0) -> float | None:
    """Return the time since the latest dose of the episode, nominal and not lagged (E38).

    Parameters
    ----------
    doses : sequence of Dose
        In order of time, additional doses one by one.
    time : float
        Of the record [h].
    pre_dose : int
        How many of the doses of that very time come after the record (E3).

    Returns
    -------
    float or None
        [h]; None before the first dose.
    """
    past = [dose for dose in doses if dose.time <= time or SameTime.holds(dose.time, time)]
    last: float | None = None
    for dose in past[: len(past) - pre_dose]:
        last = None if dose.reset else last
        if dose.gives or dose.steady or dose.event == "phantom":
            last = dose.time
    return None if last is None else max(time - last, 0.0)


def after_doses_of_rows(own: Sequence[Event]) -> list[float]:
    """Return the time since the latest dose at each row of one subject, after what the row itself does (E3, E38).

    Parameters
    ----------
    own : sequence of Event
        Rows of one subject, in order.

    Returns
    -------
    list of float
        In the unit of `Event.time`; NaN before the first dose of an episode.
    """
    last = math.nan
    pending: list[tuple[Event, int]] = []  # rows with doses to come, and how many have come
    found: list[float] = []
    for event in own:
        if event.resets:
            last = math.nan
        if event.resets or event.steady == 1:  # additional doses that have not come never will (E22, E32)
            pending = []
        if event.doses or event.named == "phantom":
            pending.append((event, 0))
        waiting = []
        for dose, given in pending:
            times = [time for time in dose.times[given:] if time <= event.time or SameTime.holds(time, event.time)]
            last = max(times, default=last) if math.isnan(last) else max([last, *times])
            if given + len(times) <= dose.additional:
                waiting.append((dose, given + len(times)))
        pending = waiting
        found.append(max(event.time - last, 0.0) if not math.isnan(last) else math.nan)
    return found
