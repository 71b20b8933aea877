"""Parameters that are data: covariates of one subject, and how they go on between their records (K1 to K8).

A parameter that is constant between its records is a list of numbers, one for each interval of the timeline. One that
follows a straight line needs two numbers more, its slope and the time from which it counts: in the equations it is
replaced by ``x + slope*(t - since)``, and these numbers are constant between records again. So every engine that can
change numbers at an event can follow a covariate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import sympy

from mscpkpd.engine.system import TIME, System
from mscpkpd.errors import ModelError

__all__ = ["LINE", "Course", "Driven", "Given", "Track", "drive", "driven_together", "moving_system"]

LINE, SINCE = " slope", " since"  # what the numbers of a straight line are called, after its parameter
SAME = 1e-11  # times that differ by less, relatively, are one time


@dataclass(frozen=True)
class Track:
    """The records of one covariate.

    Attributes
    ----------
    name : str
        The parameter.
    rule : str
        "locf", "nocb" or "linear".
    times : tuple of float
        Hours, as in `Dose.time`, ascending; several records may share a time.
    values : tuple of float
        In the unit of the parameter.
    """

    name: str
    rule: str
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def varies(self) -> bool:
        """Whether it ever changes."""
        return any(value != self.values[0] for value in self.values)

    def at(self, time: float) -> float:
        """Value at a time [h]: of records that share it the first by nocb, else the last (K2 to K6)."""
        if self.rule == "nocb":
            return self.values[min(self._first(time), len(self.times) - 1)]
        return self.after(time)[0]

    def after(self, time: float) -> tuple[float, float]:
        """Value just after a time [h], and its slope [1/h]."""
        last = self._last(time)
        if last == len(self.times) - 1:  # K5
            return self.values[-1], 0.0
        if self.rule == "nocb":
            return self.values[last + 1], 0.0
        if last < 0:  # K5
            return self.values[0], 0.0
        if self.rule == "locf":
            return self.values[last], 0.0
        slope = (self.values[last + 1] - self.values[last]) / (self.times[last + 1] - self.times[last])
        return self.values[last] + slope * (time - self.times[last]), slope

    def _first(self, time: float) -> int:
        """Position of the first record at or after a time."""
        return int(np.searchsorted(self.times, time - SAME * max(1.0, abs(time)), side="left"))

    def _last(self, time: float) -> int:
        """Position of the last record at or before a time; -1 for none."""
        return int(np.searchsorted(self.times, time + SAME * max(1.0, abs(time)), side="right")) - 1


@dataclass(frozen=True)
class Given:
    """What the record of a dose says about covariates.

    Attributes
    ----------
    time : float
        Of the record [h]; additional doses have that of the record that they belong to (E16).
    own : tuple of (float or None)
        By track; None where the record says nothing (K7).
    """

    time: float
    own: tuple[float | None, ...]


@dataclass(frozen=True)
class Course:
    """All covariates of one subject that are parameters of a model.

    Attributes
    ----------
    tracks : tuple of Track
    given : tuple of Given
        In the order of the doses of the regimen; empty where doses have no record of their own.
    """

    tracks: tuple[Track, ...]
    given: tuple[Given, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(track.name for track in self.tracks)

    @property
    def varies(self) -> bool:
        """Whether any of them ever changes."""
        return any(track.varies for track in self.tracks)

    def at(self, time: float) -> tuple[float, ...]:
        """Value of each at a time [h]."""
        return tuple(track.at(time) for track in self.tracks)

    def first(self, doses: int) -> Course:
        """The same for the first doses of the regimen alone."""
        return replace(self, given=self.given[:doses])


@lru_cache(maxsize=256)
def moving_system(system: System, names: tuple[str, ...]) -> System:
    """Let parameters follow straight lines.

    Parameters
    ----------
    system : System
    names : tuple of str
        Parameters that move between events.

    Returns
    -------
    System
        With a slope and a time for each of them as parameters after all others. Only the rates move: start values,
        doses and outputs take numbers of their moment.
    """
    if not names:
        return system
    lines, added = {}, []
    for name in names:
        symbol = sympy.Symbol(name, real=True)
        slope, since = (sympy.Symbol(f"{name}{word}", real=True) for word in (LINE, SINCE))
        lines[symbol] = symbol + slope * (TIME - since)
        added += [slope, since]
    return replace(
        system,
        parameters=(*system.parameters, *map(str, added)),
        rhs=tuple(rate.xreplace(lines) for rate in system.rhs),
        nominal=(*system.nominal, *(0.0 for _ in added)),
    )


@dataclass(frozen=True, eq=False)
class Driven:
    """A course bound to the equations of a system.

    Attributes
    ----------
    system : System
        With the parameters that straight lines need.
    course : Course
        Of parameters that the system has.
    hours : float
        Length of the model's time unit in hours.
    lines : tuple of str
        Parameters that follow straight lines.
    """

    system: System
    course: Course
    hours: float
    lines: tuple[str, ...]

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Positions of the parameters in the system."""
        return tuple(self.system.parameters.index(name) for name in self.course.names)

    @cached_property
    def changing(self) -> tuple[int, ...]:
        """Positions of the numbers that change from one interval to the next; slopes and times come last."""
        varying = [track.name for track in self.course.tracks if track.varies]
        lines = [name for name in self.lines if name in varying]
        names = [*varying, *(f"{name}{word}" for name in lines for word in (LINE, SINCE))]
        return tuple(self.system.parameters.index(name) for name in names)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Positions of all numbers that are data."""
        lines = [f"{name}{word}" for name in self.lines for word in (LINE, SINCE)]
        return (*self.places, *(self.system.parameters.index(name) for name in lines))

    def values(self, values: np.ndarray, time: float = 0.0) -> np.ndarray:
        """Parameters of the system at a time [h], shape (n_parameters,)."""
        return self.holding(values, self.course.at(time))

    def holding(self, values: np.ndarray, own: tuple[float, ...]) -> np.ndarray:
        """Parameters of the system with these values of the covariates; none of them moves."""
        found = np.zeros(len(self.system.parameters))
        found[: len(values)] = values
        found[len(self.system.parameters) - 2 * len(self.lines) :] = 0.0
        found[list(self.places)] = own
        return found

    @cached_property
    def segments(self) -> tuple[tuple[float, np.ndarray], ...]:
        """Begin of each stretch between change points [model time unit] and the changing numbers in it (K8)."""
        varying = [track for track in self.course.tracks if track.varies]
        moments = sorted({time for track in varying for time in track.times if time > 0})
        found: list[tuple[float, np.ndarray]] = []
        for moment in (0.0, *moments) if varying else ():
            after = [track.after(moment) for track in varying]
            lines = [
                number
                for track, (_, slope) in zip(varying, after, strict=True)
                if track.name in self.lines
                for number in (slope * self.hours, moment / self.hours)
            ]
            numbers = np.array([*(value for value, _ in after), *lines])
            flat = all(slope == 0 for _, slope in after)
            if not found or not flat or not np.array_equal(found[-1][1][: len(varying)], numbers[: len(varying)]):
                found.append((moment / self.hours, numbers))
        return tuple(found)

    def held(self, k: int, time: float) -> tuple[float, ...]:
        """Values for the lag, duration and rate of a dose: those of its record (E16, K6)."""
        if k >= len(self.course.given):
            return self.course.at(time)
        given = self.course.given[k]
        between = self.course.at(given.time)
        return tuple(at if own is None else own for own, at in zip(given.own, between, strict=True))

    def entering(self, k: int, time: float, lag: float) -> tuple[float, ...]:
        """Values for the amount of a dose: those of the time at which it enters [h] (E16, K8)."""
        own = k >= len(self.course.given) or abs(self.course.given[k].time - time) <= SAME * max(1.0, abs(time))
        return self.held(k, time) if own and lag == 0 else self.course.at(time + lag)

    def slopes(self, time: float) -> np.ndarray:
        """How fast each moves just after a time [h], per model time unit, shape (n_places,)."""
        return np.array([track.after(time)[1] * self.hours for track in self.course.tracks])


@lru_cache(maxsize=4096)
def drive(system: System, course: Course, hours: float, lines: tuple[str, ...] | None = None) -> Driven:
    """Bind a course to a system.

    Parameters
    ----------
    system : System
    course : Course
        Parameters that the system does not have are left out.
    hours : float
        Length of the model's time unit in hours.
    lines : tuple of str, optional
        Parameters to which the system shall give straight lines, whether or not this subject needs them.

    Returns
    -------
    Driven

    Raises
    ------
    ModelError
        If a ``where`` on the time depends on a covariate that changes: nothing says when it switches.
    """
    kept = [k for k, track in enumerate(course.tracks) if track.name in system.parameters]
    given = tuple(replace(each, own=tuple(each.own[k] for k in kept)) for each in course.given)
    tracks = tuple(course.tracks[k] for k in kept)
    for switch in system.switches:
        moved = [track.name for track in tracks if track.varies and track.name in map(str, switch.time.free_symbols)]
        if moved:
            problem = f"where(...) switches at a time that depends on '{moved[0]}', which changes within a subject"
            raise ModelError(problem, expected="one time of the switch", hint="one value for each subject (K1)")
    own = lines
    if own is None:
        own = tuple(track.name for track in tracks if track.varies and track.rule == "linear")
    return Driven(moving_system(system, own), Course(tracks, given), hours, own)


def driven_together(
    system: System, courses: Sequence[Course | None], hours: float
) -> tuple[System, list[Driven | None]]:
    """Bind the covariates of several subjects to one system.

    Parameters
    ----------
    system : System
    courses : sequence of (Course or None)
    hours : float
        Length of the model's time unit in hours.

    Returns
    -------
    system : System
        With straight lines for every covariate that follows one in any of the subjects (K4).
    driven : list of (Driven or None)
    """
    lines: dict[str, None] = {}
    for course in courses:
        for track in course.tracks if course else ():
            if track.rule == "linear" and track.varies and track.name in system.parameters:
                lines[track.name] = None
    drives = [None if course is None else drive(system, course, hours, tuple(lines)) for course in courses]
    return moving_system(system, tuple(lines)), drives
