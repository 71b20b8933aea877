"""When the equations of one subject change: doses, lags, infusions, resets and switches, with derivatives.

Times and amounts may depend on parameters (lag, modelled duration, viable fraction). Each change therefore carries
its own derivatives with respect to the free parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.course import Driven
from mscpkpd.engine.system import Numeric, System
from mscpkpd.errors import DosingError
from mscpkpd.units import scale_factor

__all__ = ["Change", "Steady", "covariate_changes", "dose_name", "timeline", "without_residue"]

# An infusion shorter than this, in units of the time since the start, is a bolus at its middle (L6): the clock could
# not tell its end from its beginning.
BRIEF = 1e-9
# Multiples of the interval between doses that differ by rounding alone are the same multiple.
SAME_PHASE = 1e-12

_Pair = tuple[np.ndarray, np.ndarray]  # numbers and their derivatives


@dataclass(frozen=True)
class Steady:
    """Endless equal doses before a change: what they leave in the states is still to be solved (E21 to E28).

    Attributes
    ----------
    interval : float
        Time between the doses, in the time unit of the model; 0 for an endless infusion (E27).
    rate : array of shape (n_states,)
        What runs when an interval begins, just before the dose that may enter there; all there is for E27.
    d_rate : array of shape (n_states, n_free)
        Its derivatives.
    changes : tuple of Change
        What happens within an interval, in order of time; times count from its begin.
    name : str
        The dose, for messages.
    values : array of shape (n_parameters,) or None
        Parameters in force at the time of the dose (E31); None for those of all times.
    """

    interval: float
    rate: np.ndarray
    d_rate: np.ndarray
    changes: tuple[Change, ...]
    name: str
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Change:
    """One moment at which amounts jump, infusion rates change, states start again or a switch turns on.

    Attributes
    ----------
    time : float
        In the time unit of the model.
    d_time : array of shape (n_free,)
        Its derivatives.
    jump, rate : array of shape (n_states,)
        Added to the amounts and to the infusion rates.
    d_jump, d_rate : array of shape (n_states, n_free)
        Their derivatives.
    switch : int
        Index of the switch that turns on; -1 for none.
    factor : array of shape (n_states,) or None
        What the amounts are multiplied by before `jump` is added (E36); None for 1. Such a change never moves.
    reset : bool
        Whether the states take their start values and all infusion rates become zero before `jump` and `rate` are
        added (E32). Such a change never moves: `d_time` is zero. What earlier doses still had to do is left out of the
        timeline.
    steady : Steady or None
        Doses whose steady state is still to be added to `jump`; None where there is nothing to solve.
    numbers : array of shape (n_changing,) or None
        Covariates from then on, in the order of `Driven.changing`; None where they go on as they were.
    """

    time: float
    d_time: np.ndarray
    jump: np.ndarray
    d_jump: np.ndarray
    rate: np.ndarray
    d_rate: np.ndarray
    switch: int = -1
    reset: bool = False
    steady: Steady | None = None
    factor: np.ndarray | None = None
    numbers: np.ndarray | None = None


def timeline(
    system: System,
    regimen: Regimen,
    values: np.ndarray,
    free: np.ndarray,
    weight: float | None = None,
    hours: float = 1.0,
    *,
    driven: Driven | None = None,
) -> tuple[Change, ...]:
    """List the changes of one subject in order of time.

    Parameters
    ----------
    system : System
        Equations and routes.
    regimen : Regimen
        Doses, times in hours.
    values : array of shape (n_parameters,)
        Parameter values in the order of `system.parameters`.
    free : array of int, shape (n_free,)
        Positions of the parameters to differentiate by.
    weight : float, optional
        Body weight in kg, for doses per kg.
    hours : float
        Length of the model's time unit in hours.
    driven : Driven, optional
        Covariates; `system` is then its system, and `values` are those of time 0.

    Returns
    -------
    tuple of Change
        Where times are equal covariates come first, then doses in the order of the regimen (E1). Steady states are
        described, not solved.

    Raises
    ------
    DosingError
        If a lag or a duration is negative (E15), or a rate not above 0.
    UnitError
        If the unit of a dose does not fit its route.
    """
    doses = _Doses(system, values, free, weight, hours, driven)
    changes: list[Change] = []
    for k, dose in enumerate(regimen.doses):
        if dose.reset or dose.steady in ("reached", "constant"):  # E22, E32: what has not happened yet never will
            changes = [change for change in changes if change.time <= dose.time / hours]
        changes += doses.changes(dose, k)
    changes += _switch_changes(system, values, free)
    if driven is not None:  # E34: they survive a reset
        changes = covariate_changes(driven, len(system.states), len(free)) + changes
    return tuple(sorted(changes, key=lambda change: change.time))


def covariate_changes(driven: Driven, states: int, free: int) -> list[Change]:
    """Return the moments at which covariates change, the first at time 0 (K8).

    Parameters
    ----------
    driven : Driven
    states, free : int
        Numbers of states and of parameters to differentiate by.

    Returns
    -------
    list of Change
    """
    still, none, d_none = np.zeros(free), np.zeros(states), np.zeros((states, free))
    return [Change(time, still, none, d_none, none, d_none, numbers=numbers) for time, numbers in driven.segments]


@dataclass(frozen=True)
class _Entry:
    """How one dose enters: when after its nominal time, for how long, and what; with derivatives."""

    lag: float
    d_lag: np.ndarray
    length: float
    d_length: np.ndarray
    into: np.ndarray
    d_into: np.ndarray

    @property
    def speed(self) -> np.ndarray:
        return self.into / self.length

    @property
    def d_speed(self) -> np.ndarray:
        return self.d_into / self.length - np.outer(self.into, self.d_length) / self.length**2


@dataclass(frozen=True)
class _Values:
    """Parameters on the record of a dose, and when the dose enters; slopes of covariates where they move there."""

    record: np.ndarray
    entering: np.ndarray
    slopes: np.ndarray | None = None


class _Doses:
    """Turns doses into changes for one set of values."""

    def __init__(
        self,
        system: System,
        values: np.ndarray,
        free: np.ndarray,
        weight: float | None,
        hours: float,
        driven: Driven | None,
    ) -> None:
        self.system, self.first, self.free, self.weight, self.hours = system, values, free, weight, hours
        self.driven = driven
        n = len(system.states)
        self.still = np.zeros(len(free))
        self.none, self.d_none = np.zeros(n), np.zeros((n, len(free)))

    def changes(self, dose: Dose, k: int) -> list[Change]:
        """Everything that the dose of place k changes, in any order."""
        time = dose.time / self.hours
        if dose.event:
            return [] if dose.event == "phantom" else [self._named(dose, time)]
        own = self._own(dose, k)
        found = []
        if dose.reset:
            found.append(self._anew(time, own))
        if dose.steady == "constant":
            found.append(self._equilibrium(dose, time, own))
        if not dose.gives:
            return found
        if dose.steady:
            found += self._steady(dose, self._entry(dose, own), time, own)
        return found + self._given(self._entry(dose, self._entering(dose, k, own)), time)

    def _own(self, dose: Dose, k: int) -> _Values:
        """Parameters in force on the record of a dose (K6)."""
        if self.driven is None:
            return _Values(self.first, self.first)
        held = self.driven.holding(self.first, self.driven.held(k, dose.time))
        return _Values(held, held)

    def _entering(self, dose: Dose, k: int, own: _Values) -> _Values:
        """The same with those of the moment at which it enters, for its amount (E16)."""
        if self.driven is None or not self.driven.changing:
            return own
        n = len(self.system.states)
        form = self.system.routes[dose.route]
        lag, slopes = 0.0, None
        if form.lag != 0:
            function = self.system.route_functions[dose.route]
            lag = float(function.value(*own.record, 1.0)[n]) * self.hours
            slopes = self.driven.slopes(dose.time + lag)
        entering = self.driven.holding(self.first, self.driven.entering(k, dose.time, lag))
        return _Values(own.record, entering, slopes)

    def _anew(self, time: float, own: _Values, steady: Steady | None = None, rate: _Pair | None = None) -> Change:
        """A change at which states take the start values of this time; `first` are those of time 0 (E32, E34)."""
        change = self._change(time, rate=rate, reset=True, steady=steady)
        if self.driven is None or np.array_equal(own.record, self.first):
            return change
        function = self.system.start_function
        now, then = function.value(*own.record), function.value(*self.first)
        slope = 0.0
        if len(self.free):
            slope = (function.jacobian(*own.record) - function.jacobian(*self.first))[:, self.free]
        return replace(change, jump=change.jump + now - then, d_jump=change.d_jump + slope)

    def _change(
        self,
        time: float,
        d_time: np.ndarray | None = None,
        *,
        jump: tuple[np.ndarray, np.ndarray] | None = None,
        rate: tuple[np.ndarray, np.ndarray] | None = None,
        reset: bool = False,
        steady: Steady | None = None,
    ) -> Change:
        """A change with zeros for what is not given."""
        moved = self.still if d_time is None else d_time
        jumps, d_jumps = jump or (self.none, self.d_none)
        rates, d_rates = rate or (self.none, self.d_none)
        return Change(time, moved, jumps, d_jumps, rates, d_rates, reset=reset, steady=steady)

    def _named(self, dose: Dose, time: float) -> Change:
        """E36: a state is set, or multiplied."""
        form = self.system.routes[dose.route]
        there = np.array([1.0 if share == 1 else 0.0 for share in form.into])
        if dose.event == "multiply":
            return replace(self._change(time), factor=1 + (dose.amount - 1) * there)
        amount = dose.amount * _converted(dose.absolute_unit, form.unit, dose.route)
        return replace(self._change(time, jump=(amount * there, self.d_none)), factor=1 - there)

    def _given(self, entry: _Entry, time: float) -> list[Change]:
        """The changes of a dose of nominal time `time`."""
        start = time + entry.lag
        if entry.length == 0:
            return [self._change(start, entry.d_lag, jump=(entry.into, entry.d_into))]
        speed, d_speed = entry.speed, entry.d_speed
        return [
            self._change(start, entry.d_lag, rate=(speed, d_speed)),
            self._change(start + entry.length, entry.d_lag + entry.d_length, rate=(-speed, -d_speed)),
        ]

    def _entry(self, dose: Dose, own: _Values) -> _Entry:
        form = self.system.routes[dose.route]
        n = len(self.system.states)
        numbers, derivative = self._numbers(dose, own)
        amount = dose.cells(self.weight) * _converted(dose.absolute_unit, form.unit, dose.route)
        lag, d_lag = float(numbers[n]), derivative[n]
        if lag < 0:
            raise DosingError(f"lag {lag:g} of route '{dose.route}' is negative", expected="a lag of at least 0 (E15)")
        length, d_length = dose.duration / self.hours, self.still
        if dose.timed_by == "rate":  # F lengthens an infusion whose rate is given (E6, E10)
            whole, d_whole = self._whole(dose, own, derivative[n])
            length, d_length = length * whole, length * d_whole
        elif dose.duration == 0 and form.duration is not None:
            length, d_length = float(numbers[n + 1]), derivative[n + 1]
        elif dose.duration == 0 and form.rate is not None:
            rate, whole = numbers[n + 1 : n + 3]  # as for a given rate (E7, E10)
            _check_rate(rate, dose.route)
            length = float(amount * whole / rate)
            d_length = amount / rate * (derivative[n + 2] - whole / rate * derivative[n + 1])
        if length < 0:
            raise DosingError(f"duration {length:g} of a dose by '{dose.route}' is negative", expected="at least 0")
        into, d_into = amount * numbers[:n], amount * derivative[:n]
        if length <= BRIEF * max(1.0, dose.time / self.hours + lag):
            return _Entry(lag + length / 2, d_lag + d_length / 2, 0.0, self.still, into, d_into)
        return _Entry(lag, d_lag, length, d_length, into, d_into)

    def _numbers(self, dose: Dose, own: _Values) -> tuple[np.ndarray, np.ndarray]:
        """What the functions of a route give for a dose, with derivatives; amounts are those of its entry (E16)."""
        numbers, slope = self._numbers_at(dose, own.record, self.free)
        if own.entering is own.record:
            return numbers, slope
        n, form = len(self.system.states), self.system.routes[dose.route]
        late = [*range(n), *([n + 2] if form.duration is None and form.rate is not None else [])]  # with F
        entering, by_free = self._numbers_at(dose, own.entering, self.free)
        if own.slopes is not None:
            by_time = self._numbers_at(dose, own.entering, self._places)[1] @ own.slopes
            by_free = by_free + np.outer(by_time, slope[n])
        numbers[late], slope[late] = entering[late], by_free[late]
        return numbers, slope

    def _numbers_at(self, dose: Dose, values: np.ndarray, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for one set of values, with derivatives by the parameters at these places."""
        function = self.system.route_functions[dose.route]
        viable, d_viable = _viable(self.system, dose, values, by)
        numbers = function.value(*values, viable)
        if not len(by):  # forming derivatives costs seconds in a large model
            return numbers, np.zeros((len(numbers), 0))
        jacobian = function.jacobian(*values, viable)
        return numbers, jacobian[:, by] + np.outer(jacobian[:, -1], d_viable)

    @property
    def _places(self) -> np.ndarray:
        return np.array(() if self.driven is None else self.driven.places, dtype=int)

    def _whole(self, dose: Dose, own: _Values, d_lag: np.ndarray) -> tuple[float, np.ndarray]:
        """Bioavailability of a dose when it enters, with derivatives."""
        whole, d_whole = _whole(self.system, dose.route, own.entering, self.free)
        if own.slopes is not None:
            d_whole = d_whole + _whole(self.system, dose.route, own.entering, self._places)[1] @ own.slopes * d_lag
        return whole, d_whole

    # ---- steady state ------------------------------------------------------------------------------------------------

    def _equilibrium(self, dose: Dose, time: float, own: _Values) -> Change:
        """E27: an infusion without end or beginning, which stops now; neither F nor lag applies to it."""
        form = self.system.routes[dose.route]
        n = len(self.system.states)
        numbers, derivative = self._numbers(dose, own)
        rate, d_rate = dose.rate * self.hours, self.still
        if dose.timed_by == "model rate":
            rate, d_rate = float(numbers[n + 1]), derivative[n + 1]
            _check_rate(rate, dose.route)
        else:
            one = replace(dose, amount=1.0, steady="", rate=0.0)
            rate *= one.cells(self.weight) * _converted(dose.absolute_unit, form.unit, dose.route)
        whole, d_whole = _whole(self.system, dose.route, own.record, self.free)
        name, values = dose_name(dose.time), self._in_force(own)
        if whole == 0:  # nothing of the dose arrives, whatever its rate (E12)
            return self._anew(time, own, Steady(0.0, self.none, self.d_none, (), name, values))
        share, d_share = numbers[:n] / whole, derivative[:n] / whole - np.outer(numbers[:n], d_whole) / whole**2
        speed, d_speed = rate * share, rate * d_share + np.outer(share, d_rate)
        return self._anew(time, own, Steady(0.0, speed, d_speed, (), name, values))

    def _in_force(self, own: _Values) -> np.ndarray | None:
        return None if self.driven is None else own.record

    def _steady(self, dose: Dose, entry: _Entry, time: float, own: _Values) -> list[Change]:
        """Endless equal doses before `time`: their steady state, and what of them is still to come (E23 to E25)."""
        interval = dose.every / self.hours
        passed, late = _multiple(entry.lag, interval)
        latest = max(passed + (late > 0), 1)  # the last implied dose that has entered lies that many intervals back
        phase = late if late > 0 or passed == 0 else interval
        pending = [change for k in range(1, latest) for change in self._given(entry, time - k * interval)]
        replaces = dose.steady == "reached"
        if entry.length == 0:
            inside = [self._change(phase, entry.d_lag, jump=(entry.into, entry.d_into))]
            steady = Steady(interval, self.none, self.d_none, tuple(inside), dose_name(dose.time), self._in_force(own))
            return [self._anew(time, own, steady) if replaces else self._change(time, steady=steady), *pending]
        ended, rest = _multiple(entry.lag + entry.length, interval)
        running = range(latest, ended + (rest > 0))  # those that have entered and not ended
        speed, d_speed = entry.speed, entry.d_speed
        d_end = entry.d_lag + entry.d_length
        inside = [
            self._change(phase, entry.d_lag, rate=(speed, d_speed)),
            self._change(rest if rest > 0 else interval, d_end, rate=(-speed, -d_speed)),
        ]
        now = (len(running) * speed, len(running) * d_speed)
        inside.sort(key=lambda change: change.time)
        steady = Steady(interval, *now, tuple(inside), dose_name(dose.time), self._in_force(own))
        ends = [self._change(time + (ended - k) * interval + rest, d_end, rate=(-speed, -d_speed)) for k in running]
        first = self._anew(time, own, steady, rate=now) if replaces else self._change(time, rate=now, steady=steady)
        return [first, *ends, *pending]


def _multiple(length: float, interval: float) -> tuple[int, float]:
    """Whole intervals in a length, and the rest; rounding alone makes no rest."""
    count = length / interval
    near = round(count)
    if abs(count - near) <= SAME_PHASE * max(1.0, near):
        return near, 0.0
    whole = math.floor(count)
    return whole, length - whole * interval


def dose_name(time: float) -> str:
    """Return what messages call a dose of this nominal time, in the unit of `Dose.time`."""
    return f"dose of time {time:g}"


def _check_rate(rate: float, route: str) -> None:
    if rate <= 0:
        raise DosingError(f"rate {rate:g} of a dose by '{route}'", expected="a rate above 0 (E7)")


@lru_cache(maxsize=256)
def _converted(unit: str, wanted: str, route: str) -> float:
    """Factor from the unit of a dose to that of its route; a model without units takes numbers as they are."""
    return 1.0 if wanted == "1" else scale_factor(unit, wanted, where=f"dose by '{route}'")


def _whole(system: System, route: str, values: np.ndarray, free: np.ndarray) -> tuple[float, np.ndarray]:
    """Bioavailability F of a route (E13) and its derivatives."""
    function = _whole_function(system, route)
    d_whole = function.jacobian(*values)[0][free] if len(free) else np.zeros(0)
    return float(function.value(*values)[0]), d_whole


@lru_cache(maxsize=256)
def _whole_function(system: System, route: str) -> Numeric:
    whole = system.routes[route].whole.expand()
    unknown = sorted(map(str, whole.free_symbols - set(system.parameter_symbols)))
    if unknown:
        problem = f"RATE of a dose by '{route}', whose F depends on {', '.join(unknown)}, which no asked output needs"
        raise DosingError(problem, expected="a duration, which F does not change (E10)", hint="DUR instead of RATE")
    return Numeric((whole,), system.parameter_symbols)


def _viable(system: System, dose: Dose, values: np.ndarray, free: np.ndarray) -> tuple[float, np.ndarray]:
    """Viable fraction of a dose: its own where it has one (T1), else that of its route."""
    if dose.viable is not None:
        return dose.viable, np.zeros(len(free))
    function = system.viable_functions[dose.route]
    if not function.expressions[0].free_symbols <= set(system.parameter_symbols):
        return 1.0, np.zeros(len(free))  # no kept state asks for it
    return float(function.value(*values)[0]), function.jacobian(*values)[0][free]


def _switch_changes(system: System, values: np.ndarray, free: np.ndarray) -> list[Change]:
    if not system.switches:
        return []
    n = len(system.states)
    times = system.switch_function.value(*values)
    derivatives = system.switch_function.jacobian(*values)[:, free]
    none, d_none = np.zeros(n), np.zeros((n, len(free)))
    return [
        Change(float(t), d, none, d_none, none, d_none, i)
        for i, (t, d) in enumerate(zip(times, derivatives, strict=True))
    ]


def without_residue(rate: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Set to zero what rounding leaves when the last infusion into a state ends.

    Parameters
    ----------
    rate, before : array of one shape
        Infusion rates after and before a change.

    Returns
    -------
    array of that shape
    """
    return np.where(np.abs(rate) <= 1e-12 * np.abs(before), 0.0, rate)
