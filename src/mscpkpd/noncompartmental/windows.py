"""The time after one dose, or after the first one: which points make the curve, and how it begins (N1 to N3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mscpkpd.noncompartmental.profiles import Given, Profile
from mscpkpd.noncompartmental.rules import Rules
from mscpkpd.noncompartmental.terminal import Line, terminal_line

__all__ = ["ALL", "Curve", "Window", "windows_of"]

ALL = "all"  # label of the time from the first of several doses on


@dataclass(frozen=True)
class Curve:
    """Points between which areas are taken.

    Attributes
    ----------
    time, value : array of shape (n,)
        Time after the dose and value, up to tlast, and from there to values below the limit; units of the profile.
    last : int
        Index of tlast (N2).
    origin : array of shape (n, n_times)
        What each point owes to each value of the profile, dimensionless: 1 for a value itself, first derivatives for
        the first point after a bolus.
    begins : str
        Where the first point comes from.
    """

    time: np.ndarray
    value: np.ndarray
    last: int
    origin: np.ndarray
    begins: str


@dataclass(frozen=True)
class Window:
    """The values after a dose, up to the next one.

    Attributes
    ----------
    profile : Profile
        What it is a part of.
    label : str
        Number of the dose, `ALL` for the time from the first of several doses on, blank without a dose.
    given : Given or None
        The dose.
    start, end : float
        Time of this dose and of the next one; infinite if none follows [unit of time of the result].
    places : array of int of shape (n,)
        Which values of the profile.
    carried : float
        The last value before the dose, 0 if it is below the limit or there is none; NaN where earlier doses make it
        unknown.
    later : bool
        Whether other doses came before.
    parts : tuple of Window
        For `ALL`, the time after each dose.
    """

    profile: Profile
    label: str
    given: Given | None
    start: float
    end: float
    places: np.ndarray
    carried: float
    later: bool
    parts: tuple[Window, ...] = ()

    @property
    def time(self) -> np.ndarray:
        """Time after the dose, array of shape (n,), unit of time of the result."""
        return np.asarray(self.profile.time[self.places] - self.start)

    @property
    def value(self) -> np.ndarray:
        """Values, array of shape (n,), unit of the profile; NaN where below or above a limit."""
        return np.asarray(self.profile.value[self.places])

    @property
    def below(self) -> np.ndarray:
        """Whether each value is below its limit, array of bool of shape (n,)."""
        return np.asarray(self.profile.below[self.places])

    @property
    def kind(self) -> str:
        """Kind of the dose; blank without one."""
        return "" if self.given is None else self.given.kind

    @property
    def doses(self) -> tuple[Given, ...]:
        """Doses of this window: one, or all."""
        if self.given is None:
            return ()
        return self.profile.given if self.label == ALL else (self.given,)

    @property
    def trouble(self) -> str:
        """Why there is no largest value and no area; blank if there is."""
        above = self.profile.above[self.places]
        if above.any():
            return f"a value above its limit at {self.time[above][0]:g} after the dose"
        return "" if np.isfinite(self.value).any() else "no quantifiable value"

    def terminal(self) -> Line | str:
        """Return the terminal phase, or why there is none (N5)."""
        quantified = np.isfinite(self.value)
        above = self.time[self.profile.above[self.places]]
        ends = [dose.time + dose.duration - self.start for dose in self.doses if dose.kind != "bolus"]
        within = [end for end in ends if np.isfinite(end)]  # an unknown end is not after the largest value
        starts = [dose.time - self.start for dose in self.doses]
        after = max([0.0, *within, *starts, *np.nextafter(above[-1:], np.inf)])
        return terminal_line(self.time[quantified], self.value[quantified], after=after, with_peak=self.kind == "bolus")

    def curve(self, rules: Rules) -> Curve | str:
        """Return the points of the areas, or why there are none."""
        if self.trouble:
            return self.trouble
        joined = _joined(self.parts, rules) if self.parts else None
        return joined or self._curve(rules)

    def _curve(self, rules: Rules) -> Curve | str:
        quantified, below = np.flatnonzero(np.isfinite(self.value)), np.flatnonzero(self.below)
        first, last = quantified[0], quantified[-1]
        half = self.profile.limit[self.places] / 2 if rules.blq == "half" else np.zeros(len(self.places))
        kept = [k for k in range(len(self.places)) if k <= last and self._on_curve(k, int(first), rules)]
        tail = [k for k in below if k > last]
        points = [(self.time[k], 0.0 if k < first else half[k]) for k in kept]
        points = [(t, self.value[k]) if k in quantified else (t, c) for (t, c), k in zip(points, kept, strict=True)]
        origin = np.zeros((len(kept) + len(tail), len(self.profile.time)))
        for row, k in enumerate(kept):
            origin[row, self.places[k]] = float(k in quantified)
        points += [(self.time[k], half[k]) for k in tail]
        times, values = (np.array(column, dtype=float) for column in zip(*points, strict=True))
        return self._begun(Curve(times, values, len(kept) - 1, origin, "value at the dose"))

    def _on_curve(self, k: int, first: int, rules: Rules) -> bool:
        if not self.below[k]:
            return True
        if self.kind == "bolus" and self.time[k] == 0:
            return False  # a sample drawn just before the dose
        return k < first or rules.blq == "half"

    def _begun(self, curve: Curve) -> Curve | str:
        """Add the point at the dose where there is none (N3)."""
        if curve.time[0] <= 0:
            return curve
        if self.kind == "bolus":
            value, slopes, begins = _back_extrapolated(curve)
        elif np.isnan(self.carried):
            return "no value at the dose or before it, and earlier doses were given"
        else:
            value, slopes = self.carried, np.zeros(curve.origin.shape[1])
            begins = "last value before the dose" if self.carried else "0 at the dose"
        return Curve(
            np.concatenate([[0.0], curve.time]), np.concatenate([[value], curve.value]), curve.last + 1,
            np.vstack([slopes, curve.origin]), begins,
        )  # fmt: skip


def _back_extrapolated(curve: Curve) -> tuple[float, np.ndarray, str]:
    """Value at the time of a bolus, with its derivatives by the values of the profile."""
    if curve.value[0] == 0:
        return 0.0, np.zeros(curve.origin.shape[1]), "0, as the first value is below the limit"
    if curve.last > 0 and 0 < curve.value[1] < curve.value[0]:
        (t1, t2), (c1, c2) = curve.time[:2], curve.value[:2]
        value = float(c1 * (c1 / c2) ** (t1 / (t2 - t1)))
        slopes = value / (t2 - t1) * (t2 / c1 * curve.origin[0] - t1 / c2 * curve.origin[1])
        return value, slopes, "log-linear through the first two values"
    return float(curve.value[0]), curve.origin[0], "the first value, as the first two do not fall"


def _joined(parts: Sequence[Window], rules: Rules) -> Curve | None:
    """Join the curves after each dose, so that a bolus is a jump; None where one of them has no curve."""
    times: list[np.ndarray] = []
    values: list[np.ndarray] = []
    origins: list[np.ndarray] = []
    last = 0
    for number, part in enumerate(parts):
        curve = part.curve(rules)
        if isinstance(curve, str):
            return None
        whole = curve if number == len(parts) - 1 else _ended(curve, part)
        last = sum(len(part_times) for part_times in times) + curve.last
        times.append(whole.time + part.start - parts[0].start)
        values.append(whole.value)
        origins.append(whole.origin)
    begins = f"as after each of {len(parts)} doses"
    return Curve(np.concatenate(times), np.concatenate(values), last, np.vstack(origins), begins)


def _ended(curve: Curve, part: Window) -> Curve:
    """Carry a curve on to the next dose: with its terminal phase, or as it was at last."""
    end = part.end - part.start
    if curve.time[-1] >= end:
        return curve
    line, factor = part.terminal(), 1.0
    if isinstance(line, Line):
        factor = float(np.exp(-line.rate * (end - curve.time[-1])))
    return Curve(
        np.append(curve.time, end), np.append(curve.value, factor * curve.value[-1]), curve.last,
        np.vstack([curve.origin, factor * curve.origin[-1]]), curve.begins,
    )  # fmt: skip


def windows_of(profile: Profile) -> list[Window]:
    """Return the time after each dose, and for several doses the time from the first one on.

    A sample at the very time of a later dose belongs to that dose (E2); before an infusion or an extravascular dose,
    which change nothing at once, it ends the interval before as well.
    """
    given = profile.given
    everything = np.arange(len(profile.time))
    if not given:
        return [Window(profile, "", None, 0.0, np.inf, everything, 0.0, later=False)]
    made = [_window(profile, k) for k in range(len(given))]
    if len(given) > 1:
        first = given[0].time
        places = everything[profile.time >= first]
        made.append(
            Window(
                profile, ALL, given[0], first, np.inf, places, made[0].carried, later=given[0].later, parts=tuple(made)
            )
        )
    return made


def _window(profile: Profile, k: int) -> Window:
    dose, time = profile.given[k], profile.time
    following = profile.given[k + 1] if k + 1 < len(profile.given) else None
    end = np.inf if following is None else following.time
    inside = (time >= dose.time) & (time < end)
    if following is not None and following.kind != "bolus":
        inside |= time == end
    # what changes nothing at once leaves the value at its time as it was before
    before = np.flatnonzero(time < dose.time if dose.kind == "bolus" else time <= dose.time)
    later = k > 0 or dose.later
    carried = np.nan if later else 0.0
    if len(before):
        carried = 0.0 if profile.below[before[-1]] else float(profile.value[before[-1]])
    return Window(profile, str(k + 1), dose, dose.time, end, np.flatnonzero(inside), carried, later=later)
