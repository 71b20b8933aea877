"""Doses and regimens: what was given, when, by which route and for how long.

A `Regimen` is a value: it can be printed, added and shifted, and always holds its doses one by one in order of time.

>>> weekly = infusion("1e6 cells/kg", route="iv", over="30 min", every="7 d", doses=4)
>>> boost = weekly + bolus("2e6 cells/kg", route="iv", at="35 d")
>>> len(boost)
5
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mscpkpd.errors import DosingError, UnitError
from mscpkpd.units import parse_quantity, same_dimension, to_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Dose", "Regimen", "bolus", "check_spread", "hours", "infusion", "route_name"]

TIME_HINT = "a number and a time unit, such as '35 d', '84 h' or '30 min'"
AMOUNT_HINT = "a number and a unit, such as '2e6 cells/kg' or '1e8 cells'"
MOST_DOSES = 10_000
TIMED_BY = ("", "bolus", "rate", "model rate", "model duration")
STEADY = ("", "reached", "added", "constant")
EVENTS = ("", "replace", "multiply", "phantom")
WORDS = ("name", "about", "source", "evidence", "note")
# pint would cancel "mg/kg"; per body weight is therefore read from the text of the unit
PER_WEIGHT = re.compile(r"\s*(?:/|\bper\b)\s*kg$")
# T3: these five are short, all other routes are written in full
ROUTES = {
    "intravenous": "iv",
    "intraarterial": "ia",
    "intraperitoneal": "ip",
    "intramuscular": "im",
    "subcutaneous": "sc",
    "iv": "iv",
    "ia": "ia",
    "ip": "ip",
    "im": "im",
    "sc": "sc",
}


def route_name(text: str) -> str:
    """Return the name of a route as rule T3 writes it.

    Parameters
    ----------
    text : str
        "iv", "I.V.", "intravenous", "intratracheal", ...

    Returns
    -------
    str
        "iv", "ia", "ip", "im" or "sc" for these five, otherwise `text` without outer blanks.
    """
    bare = re.sub(r"[\s._-]", "", text).casefold()
    return ROUTES.get(bare, text.strip())


def check_spread(what: str, mean: float | None, sd: float) -> None:
    """Refuse an SD that no fraction of this mean has.

    Parameters
    ----------
    what : str
        Name, for the message.
    mean : float or None
        Mean, a fraction; None where it is not stated.
    sd : float
        Standard deviation, a fraction; 0 where it is not stated.

    Raises
    ------
    DosingError
        For a negative SD, one without a mean, or one of the square root of mean*(1 - mean) or more.
    """
    if sd == 0:
        return
    if mean is None:
        raise DosingError(f"SD {sd:g} of a {what} that is not stated (T3)", hint="the fraction beside its SD")
    if not 0 < sd < math.sqrt(mean * (1 - mean)):
        limit = math.sqrt(mean * (1 - mean))
        raise DosingError(f"SD {sd:g} of a {what} of {mean:g} (T3)", expected=f"above 0 and below {limit:.3g}")


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose.

    Attributes
    ----------
    time : float
        Start of the dose [h], not negative.
    amount : float
        Amount in `unit`, above 0 (D10); 0 for a reset that gives nothing and for a constant infusion (E27). Total cells
        where `viable` is given, else viable cells (T1).
    unit : str
        "cells", "cells/kg" or another unit of amount, with "/kg" if it is per body weight.
    route : str
        Name of the route (T3).
    duration : float
        Duration of an infusion [h]; 0 is a bolus.
    viable : float or None
        Viable fraction of the amount, 0 to 1; None where the route or nothing states it.
    lot : str
        Lot of the product.
    timed_by : str
        What the table says about the duration. "": `duration` as it stands, where 0 leaves it to the route. "bolus": a
        jump, whatever the route says (E5). "rate": `duration` is AMT/RATE, which F lengthens (E6). "model rate" and
        "model duration": the route must have one (E7, E8).
    steady : str
        "reached": the dose finds the states as endless equal doses, `every` apart, have left them (SS 1, E21).
        "added": what these would have left is added to the states (SS 2, E28). "constant": the states are those of an
        endless infusion at `rate`, which stops at `time` (E27). "": nothing is implied before the dose.
    every : float
        Interval of the doses that `steady` implies [h]; 0 without.
    rate : float
        Rate of a constant infusion that has come to a steady state [`unit`/h]; 0 where the route has one.
    reset : bool
        Whether every state returns to its start value just before (E32, E33): earlier infusions end, and doses that
        have not entered yet are dropped.
    event : str
        "replace": the state that `route` names becomes `amount`. "multiply": it becomes `amount` times as large (E36).
        "phantom": nothing happens, but for the time after a dose (E38). "": a dose.

    viable_sd : float
        SD of `viable`, a fraction; 0 where it is not stated. `simulate` draws within it.
    loss, loss_sd : float
        Fraction that has stayed in bag, line and filter, without which `amount` is stated, and its SD.

    Raises
    ------
    DosingError
        For an amount, time, duration or fraction that is impossible.
    """

    time: float
    amount: float
    unit: str
    route: str
    duration: float = 0.0
    viable: float | None = None
    lot: str = ""
    timed_by: str = ""
    steady: str = ""
    every: float = 0.0
    rate: float = 0.0
    reset: bool = False
    event: str = ""
    viable_sd: float = 0.0
    loss: float = 0.0
    loss_sd: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "route", route_name(self.route))
        object.__setattr__(self, "unit", PER_WEIGHT.sub("/kg", self.unit.strip()))
        self._check_steady()
        empty = self.amount == 0 and (self.steady == "constant" or (self.reset and not self.steady))
        empty = empty or self._is_event()
        if not (math.isfinite(self.amount) and (self.amount > 0 or empty)):
            raise DosingError(
                f"dose of {self.amount:g} {self.unit}", expected="a finite amount above 0", hint=AMOUNT_HINT
            )
        for what, value in (("time", self.time), ("duration", self.duration)):
            if not (math.isfinite(value) and value >= 0):
                raise DosingError(
                    f"{what} of a dose is {value:g} h", expected="a finite number, 0 or more", hint=TIME_HINT
                )
        if self.viable is not None and not 0 <= self.viable <= 1:
            raise DosingError(f"viable fraction {self.viable:g}", expected="a number from 0 to 1", hint="0.9 for 90 %")
        if not 0 <= self.loss < 1:
            raise DosingError(f"loss {self.loss:g} of a dose", expected="a fraction from 0 to below 1")
        check_spread("viable fraction", self.viable, self.viable_sd)
        check_spread("loss", self.loss, self.loss_sd)
        if self.timed_by not in TIMED_BY:
            raise DosingError(f"timed_by '{self.timed_by}'", expected=", ".join(map(repr, TIMED_BY)))
        if not self.unit:
            raise DosingError(f"dose of {self.amount:g} has no unit", hint=AMOUNT_HINT)
        if not self.route:
            raise DosingError(f"dose of {self.amount:g} {self.unit} has no route", hint="route='iv'")

    def _is_event(self) -> bool:
        if self.event not in EVENTS:
            raise DosingError(f"event '{self.event}'", expected=", ".join(map(repr, EVENTS)))
        if self.event and (self.duration or self.steady or self.reset or self.timed_by):
            raise DosingError(f"'{self.event}' of '{self.route}' with a duration, a steady state or a reset (E36)")
        return self.event != ""

    def _check_steady(self) -> None:
        if self.steady not in STEADY:
            raise DosingError(f"steady '{self.steady}'", expected=", ".join(map(repr, STEADY)))
        if self.steady == "constant":
            modelled = self.timed_by == "model rate"
            if self.amount != 0 or self.every != 0 or not (modelled or (math.isfinite(self.rate) and self.rate > 0)):
                problem = f"constant infusion of {self.amount:g} {self.unit} at {self.rate:g} {self.unit}/h"
                raise DosingError(problem, expected="amount 0, every 0, a rate above 0 (E27)", hint="rate=10.0")
        elif self.steady and not (math.isfinite(self.every) and self.every > 0):
            problem = f"steady state of doses every {self.every:g} h"
            raise DosingError(problem, expected="an interval above 0 (E19)", hint="every=12.0, in hours")
        elif not self.steady and self.every != 0:
            problem = f"every = {self.every:g} h without a steady state (E19)"
            raise DosingError(problem, hint="steady='reached', or bolus(..., every='12 h', doses=4)")

    @property
    def gives(self) -> bool:
        """Whether anything is given: not so for a reset alone, an infusion that stops (E27), and named events (E36)."""
        return self.amount > 0 and not self.event

    @property
    def end(self) -> float:
        """End of the dose [h]; equal to `time` for a bolus."""
        return self.time + self.duration

    @property
    def absolute_unit(self) -> str:
        """Unit of the amount that enters the body: "cells" for "cells/kg"."""
        return self.unit.removesuffix("/kg")

    def cells(self, weight_kg: float | None = None) -> float:
        """Return the amount that enters the body, in `absolute_unit`.

        Parameters
        ----------
        weight_kg : float or None
            Body weight [kg]; needed for a dose per body weight only (T4).

        Returns
        -------
        float
            Amount, not corrected for viability; 0 for what is no dose (E36).

        Raises
        ------
        DosingError
            For a dose per body weight without a weight.
        """
        if self.event:
            return 0.0
        if not self.unit.endswith("/kg"):
            return self.amount
        if weight_kg is None:
            raise DosingError(
                f"dose of {self.amount:g} {self.unit} at {self.time:g} h needs a body weight (T4)",
                hint="weight='70 kg', or a column `weight [kg]` in the data",
            )
        if not (math.isfinite(weight_kg) and weight_kg > 0):
            raise DosingError(
                f"body weight of {weight_kg:g} kg", expected="a finite number above 0", hint="weight='70 kg'"
            )
        return self.amount * weight_kg


@dataclass(frozen=True, slots=True)
class Regimen:
    """Doses in order of time.

    Attributes
    ----------
    doses : tuple of Dose
        Sorted by time; doses of equal time keep the order in which they were given. Empty: an untreated control.
    name, about, source, evidence, note : str
        Name, meaning and origin of the regimen.
    """

    doses: tuple[Dose, ...] = ()
    name: str = ""
    about: str = ""
    source: str = ""
    evidence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "doses", tuple(sorted(self.doses, key=lambda dose: dose.time)))

    def __len__(self) -> int:
        return len(self.doses)

    def __iter__(self) -> Iterator[Dose]:
        return iter(self.doses)

    def __add__(self, other: object) -> Regimen:
        if not isinstance(other, Regimen):
            return NotImplemented
        return Regimen(
            self.doses + other.doses,
            *(_joined(getattr(self, word), getattr(other, word)) for word in WORDS),
        )

    def shifted(self, by: str) -> Regimen:
        """Return the same doses later.

        Parameters
        ----------
        by : str
            Shift such as "35 d"; negative to move doses earlier, not before time 0.

        Returns
        -------
        Regimen
            Doses at time + `by`.

        Raises
        ------
        DosingError
            If `by` is not a time, or a dose would start before 0.
        """
        later = hours(by, "by")
        return replace(self, doses=tuple(replace(dose, time=dose.time + later) for dose in self.doses))

    def named(self, name: str) -> Regimen:
        """Return the same regimen under another name.

        Parameters
        ----------
        name : str
            New name.
        """
        return replace(self, name=name)

    def expand(self) -> tuple[Dose, ...]:
        """Return every dose in order of time; repeated doses are always held one by one (E17)."""
        return self.doses

    @property
    def kinds(self) -> str:
        """The doses in a few words, each kind once: "1e+06 cells iv"; "no dose" where none gives anything."""
        given = (f"{dose.amount:.3g} {dose.unit} {dose.route}" for dose in self.doses if dose.gives)
        return ", ".join(dict.fromkeys(given)) or "no dose"

    @property
    def routes(self) -> tuple[str, ...]:
        """Routes used, in order of first use."""
        return tuple(dict.fromkeys(dose.route for dose in self.doses))

    @property
    def end(self) -> float:
        """End of the last dose [h]; 0 without doses."""
        return max((dose.end for dose in self.doses), default=0.0)

    def __str__(self) -> str:
        title = f"Regimen {self.name}".strip()
        if not self.doses:
            return f"{title}: no doses"
        rows = [("#", "time", "amount", "route", "over", "viable", "lot", "before"), *_table_rows(self.doses)]
        kept = [column for column in zip(*rows, strict=True) if any(column[1:])]
        widths = [max(map(len, column)) for column in kept]
        lines = [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in zip(*kept, strict=True)
        ]
        count = "1 dose" if len(self) == 1 else f"{len(self)} doses"
        about = f" ({self.about})" if self.about else ""
        return "\n".join([f"{title}: {count}{about}", *lines])


def _joined(one: str, other: str) -> str:
    return " + ".join(dict.fromkeys(text for text in (one, other) if text))


def _table_rows(doses: Sequence[Dose]) -> Iterator[tuple[str, ...]]:
    for number, dose in enumerate(doses, 1):
        yield (
            str(number),
            _span(dose.time),
            f"{dose.amount:g} {dose.unit}",
            dose.route,
            dose.event if not dose.gives else _span(dose.duration) if dose.duration else "bolus",
            "" if dose.viable is None else f"{dose.viable:g}" + (f" ({dose.viable_sd:g})" if dose.viable_sd else ""),
            dose.lot,
            _before(dose),
        )


def _before(dose: Dose) -> str:
    """What has happened to the states just before a dose."""
    rate = f"at {dose.rate:g} {dose.unit}/h" if dose.rate else "at the rate of the route"
    words = {
        "": "",
        "reached": f"steady state, every {_span(dose.every)}",
        "added": f"steady state added, every {_span(dose.every)}",
        "constant": f"steady state of an infusion {rate}",
    }
    return ", ".join(filter(None, ("reset" if dose.reset else "", words[dose.steady])))


def _span(value: float) -> str:
    """Write a time as people say it: minutes below one hour, days beside hours from one day on."""
    if 0 < value < 1:
        return f"{60 * value:.6g} min"
    days = f" ({value / 24:.6g} d)" if value >= 24 else ""
    return f"{value:.6g} h{days}"


def hours(text: str | float, key: str) -> float:
    """Return a time such as "35 d" in hours.

    Parameters
    ----------
    text : str
        Number and unit of time.
    key : str
        Name of the argument, for messages.

    Returns
    -------
    float
        Time [h].

    Raises
    ------
    DosingError
        If `text` has no unit, or is no finite time.
    """
    if not isinstance(text, str):
        raise DosingError(f"{key} = {text!r} has no time unit", hint=TIME_HINT)
    try:
        value = to_unit(text, "h")
    except UnitError as error:
        raise DosingError(f"{key} = '{text}' is not a time: {error.problem}", hint=_advice(error, TIME_HINT)) from error
    return float(f"{value:.12g}")  # 30 min are 0.5 h, whatever the digits of a factor of 1/60


def _advice(error: UnitError, otherwise: str) -> str:
    return error.hint if error.problem.startswith("unknown unit") else otherwise


def _not_negative(text: str | float, key: str) -> float:
    value = hours(text, key)
    if value < 0:
        raise DosingError(f"{key} = '{text}' is negative", expected="0 or more", hint=TIME_HINT)
    return value


def _amount(text: str | float) -> tuple[float, str]:
    if not isinstance(text, str):
        raise DosingError(f"amount = {text!r} has no unit", hint=AMOUNT_HINT)
    try:
        value, unit = parse_quantity(text)
    except UnitError as error:
        raise DosingError(f"amount = '{text}': {error.problem}", hint=_advice(error, AMOUNT_HINT)) from error
    if same_dimension(unit, "h"):
        raise DosingError(f"amount = '{text}' is a time, not a dose", hint=AMOUNT_HINT)
    if same_dimension(unit, "cells/kg") and not PER_WEIGHT.search(unit):
        raise DosingError(f"amount = '{text}' is per body weight", expected="a unit that ends with /kg")
    return value, unit


def _starts(at: str, every: str | None, doses: int | None) -> tuple[float, ...]:
    first = _not_negative(at, "at")
    if doses is None and every is not None:
        raise DosingError(f"every = '{every}' without the number of doses", hint="doses=4 beside every")
    count = _count(1 if doses is None else doses)
    if count == 1:
        return (first,)
    if every is None:
        raise DosingError(f"doses = {count} without an interval", hint=f"every='7 d' beside doses={count}")
    interval = hours(every, "every")
    if interval <= 0:
        raise DosingError(f"every = '{every}'", expected="an interval above 0 (E19)", hint=TIME_HINT)
    return tuple(first + number * interval for number in range(count))


def _count(doses: object) -> int:
    if isinstance(doses, bool) or not isinstance(doses, int) or doses < 1:
        raise DosingError(f"doses = {doses!r}", expected="a whole number, 1 or more", hint="doses=4")
    if doses > MOST_DOSES:
        raise DosingError(f"doses = {doses}", expected=f"at most {MOST_DOSES}", hint="an infusion with a long `over`")
    return doses


def bolus(
    amount: str,
    route: str,
    *,
    at: str = "0 h",
    every: str | None = None,
    doses: int | None = None,
    viable: float | None = None,
    viable_sd: float = 0.0,
    lot: str = "",
) -> Regimen:
    """Give the whole amount at once, one or several times.

    Parameters
    ----------
    amount : str
        Amount of each dose with its unit: "2e6 cells/kg", "1e8 cells".
    route : str
        Name of the route: "iv", "intratracheal", ...
    at : str
        Time of the first dose, such as "35 d".
    every : str or None
        Interval between doses, such as "7 d"; needed if `doses` is above 1.
    doses : int or None
        Number of doses; None is one dose.
    viable : float or None
        Viable fraction of the amount, 0 to 1 (T1).
    viable_sd : float
        Its SD, a fraction, within which `simulate` draws; 0 for none.
    lot : str
        Lot of the product.

    Returns
    -------
    Regimen
        One `Dose` for each time.

    Raises
    ------
    DosingError
        For a missing or unknown unit, a negative or zero amount, a negative time, or a number of doses that does not
        go with `every`.

    Notes
    -----
    Repeated doses are held one by one and equal the same doses written out (E17). The amount enters as a jump of
    F v AMT (E5); T3 and T4 say how routes and amounts are written.

    Examples
    --------
    >>> print(bolus("2e6 cells/kg", route="iv", every="7 d", doses=2))
    Regimen: 2 doses
      #  time         amount          route  over
      1  0 h          2e+06 cells/kg  iv     bolus
      2  168 h (7 d)  2e+06 cells/kg  iv     bolus
    """
    return infusion(amount, route, "0 h", at=at, every=every, doses=doses, viable=viable, viable_sd=viable_sd, lot=lot)


def infusion(
    amount: str,
    route: str,
    over: str,
    *,
    at: str = "0 h",
    every: str | None = None,
    doses: int | None = None,
    viable: float | None = None,
    viable_sd: float = 0.0,
    lot: str = "",
) -> Regimen:
    """Give the amount at a constant rate, one or several times.

    Parameters
    ----------
    over : str
        Duration of each dose, such as "30 min"; "0 min" is a bolus (L6).
    amount, route, every, doses, at, viable, viable_sd, lot
        As for `bolus`.

    Returns
    -------
    Regimen
        One `Dose` for each time.

    Raises
    ------
    DosingError
        As for `bolus`, and for a duration that is negative or no time.

    Notes
    -----
    The amount enters at the rate F v AMT/DUR during DUR (E9); the viable fraction v scales the rate, never the
    duration (E11).
    """
    duration = _not_negative(over, "over")
    value, unit = _amount(amount)
    starts = _starts(at, every, doses)
    return Regimen(
        tuple(Dose(start, value, unit, route, duration, viable, lot, viable_sd=viable_sd) for start in starts)
    )
