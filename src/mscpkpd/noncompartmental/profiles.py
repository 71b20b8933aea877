"""From the records of a study to profiles: values of one output of one subject in order of time, with its doses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal

import numpy as np

from mscpkpd.data import PERCENT_OF_DOSE, Record, Study, Subject
from mscpkpd.dosing import Dose
from mscpkpd.errors import DataError, UnitError
from mscpkpd.noncompartmental.rules import Rules
from mscpkpd.units import same_dimension, scale_factor

__all__ = ["UNTIMED", "Given", "Kind", "Profile", "Spread", "given_to", "profiles_of"]

BEFORE = 1e-9  # relative
UNTIMED = "RATE -1 or -2: the duration of the infusion is not in the table"  # E7, E8
MODELLED = ("model rate", "model duration")
Kind = Literal["bolus", "infusion", "extravascular"]


@dataclass(frozen=True, slots=True)
class Given:
    """All that was given at one time.

    Attributes
    ----------
    time, duration : float
        Start and duration [unit of time of the result]; NaN for the duration that only a model knows (E7, E8).
    amount : float
        Amount that enters, viable where the viable fraction is stated [`unit`] (T1); NaN where several kinds of things
        were given at once.
    total : float or None
        Amount with what is not viable [`unit`]; None where that is not stated.
    unit : str
        Absolute unit of the amount.
    kind : str
        "bolus", "infusion" or "extravascular".
    route : str
        Name of the route.
    steady : bool
        Whether the interval after it is one of a steady state, as the table says: SS 1 (E21), or equal doses that
        follow one at the same interval.
    every : float
        Interval of the doses that SS implies [unit of time of the result]; 0 without.
    later : bool
        Whether doses that the table implies came before: SS 1 and 2.
    """

    time: float
    amount: float
    total: float | None
    unit: str
    kind: Kind
    duration: float
    route: str
    steady: bool = False
    every: float = 0.0
    later: bool = False


@dataclass(frozen=True)
class Spread:
    """How well the means of a sparse design are known.

    Attributes
    ----------
    covariance : array of shape (n_times, n_times)
        Of the means, in the unit of the values squared; NaN where it cannot be had.
    batches : tuple of (tuple of int, int), or None
        Indices of the times that the same animals share, and the number of these animals; None where animals and times
        do not fall into such batches, so that there are no degrees of freedom.
    reason : str
        Why a standard error is missing, where it is.
    """

    covariance: np.ndarray
    batches: tuple[tuple[tuple[int, ...], int], ...] | None
    reason: str = ""


@dataclass(frozen=True)
class Profile:
    """Values of one output over time.

    Attributes
    ----------
    study, subject, output, assay, unit : str
        What it is of. `assay` is the column `method` of the data.
    time : array of shape (n,)
        Ascending [unit of time of the result], each time once.
    value : array of shape (n,)
        In `unit`; NaN where it is below or above a limit.
    limit : array of shape (n,)
        The limit where a value is below it [`unit`]; else NaN.
    above : array of bool of shape (n,)
        Whether the value is above its limit.
    given : tuple of Given
        Doses in order of time.
    n : int
        Number of animals or subjects.
    spread : Spread or None
        For means only.
    basis : str
        What the values are, for the table.
    occasion : str
        Where times begin anew with each occasion, which one.
    """

    study: str
    subject: str
    output: str
    assay: str
    unit: str
    time: np.ndarray
    value: np.ndarray
    limit: np.ndarray
    above: np.ndarray
    given: tuple[Given, ...]
    n: int = 1
    spread: Spread | None = None
    basis: str = ""
    occasion: str = ""

    @property
    def below(self) -> np.ndarray:
        """Whether each value is below its limit, array of bool of shape (n,)."""
        return np.asarray(~np.isfinite(self.value) & ~self.above)


def profiles_of(study: Study, rules: Rules) -> list[Profile]:
    """Return the profiles of single subjects and of reported means, in order of first appearance."""
    keys: dict[tuple[str, str, str, str, bool], list[Record]] = {}
    for record in study.records:
        if record.quantity:  # a half-life or a ratio is no point of a curve
            continue
        summary = record.kind in ("mean", "logmean")
        key = (record.study, record.subject, record.output, record.method, summary)
        keys.setdefault(key, []).append(record)
    made = []
    for (name, subject, output, assay, summary), occasion, records, doses in _parts(study, keys):
        given = given_to(study.subject(subject), doses, rules)
        unit = records[0].unit
        samples = list(_samples(records, unit, rules))
        times, values, limits, above, variances = (np.array(column) for column in zip(*samples, strict=True))
        counts = [record.n or 1 for record in records]
        spread = _reported(variances, times, records, rules) if summary else None
        made.append(Profile(
            name, subject, output, assay, unit, times, values, limits, above.astype(bool), given,
            max(counts) if summary else 1, spread, "reported means" if summary else "", occasion,
        ))  # fmt: skip
    return made


Key = tuple[str, str, str, str, bool]
Part = tuple[Key, str, list[Record], tuple[Dose, ...]]


def _parts(study: Study, keys: dict[Key, list[Record]]) -> Iterator[Part]:
    """Records that are one curve, with the doses that it belongs to: by occasion, and by episode (E32)."""
    for key, records in keys.items():
        doses = study.subject(key[1]).regimen.doses
        resets = [dose.time for dose in doses if dose.reset]
        for occasion, part in _occasions(records):
            if not resets:
                yield key, occasion, part, doses
            for number in range(len(resets) + 1) if resets else ():
                given = tuple(dose for k, dose in enumerate(doses) if sum(d.reset for d in doses[: k + 1]) == number)
                own = [_within(record, given) for record in part if _resets_before(record, doses) == number]
                if own:
                    yield key, ", ".join(filter(None, (occasion, f"episode {number + 1}"))), own, given


def _resets_before(record: Record, doses: Sequence[Dose]) -> int:
    """Number of resets before a record; one of its own time counts unless the record precedes it (E3)."""
    past = [dose for dose in doses if dose.time <= record.time * (1 + BEFORE)]
    return sum(dose.reset for dose in past[: len(past) - record.pre_dose])


def _within(record: Record, given: Sequence[Dose]) -> Record:
    """A record that precedes doses of its own episode alone."""
    together = sum(math.isclose(dose.time, record.time, rel_tol=BEFORE) for dose in given)
    return replace(record, pre_dose=min(record.pre_dose, together)) if record.pre_dose else record


def _occasions(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Split records by occasion where their times overlap: then time begins anew with each of them."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.occasion, []).append(record)
    spans = sorted((min(r.time for r in part), max(r.time for r in part)) for part in found.values())
    if any(begin <= end for (_, end), (begin, _) in pairwise(spans)):
        return list(found.items())
    return [("", list(records))]


# ---- doses -----------------------------------------------------------------------------------------------------------


def given_to(subject: Subject, doses: Sequence[Dose], rules: Rules) -> tuple[Given, ...]:
    """Return what a subject was given by some of its doses; those that start together are one."""
    given = [dose for dose in doses if dose.gives]
    return tuple(_still_steady(
        _together([_given(dose, subject.weight, rules) for dose in same])
        for _, same in groupby(given, key=lambda dose: dose.time)
    ))  # fmt: skip


def _still_steady(given: Iterable[Given]) -> Iterator[Given]:
    """Doses that keep up a steady state are at it, too: equal ones at its interval."""
    before: Given | None = None
    for dose in given:
        kept_up = before is not None and before.steady and _goes_on(before, dose)
        before = replace(dose, steady=True, every=before.every) if before is not None and kept_up else dose
        yield before


def _goes_on(before: Given, dose: Given) -> bool:
    same = (before.amount, before.unit, before.route, before.kind) == (dose.amount, dose.unit, dose.route, dose.kind)
    return same and math.isclose(dose.time - before.time, before.every, rel_tol=BEFORE)


def _given(dose: Dose, weight: float | None, rules: Rules) -> Given:
    factor = scale_factor("h", rules.time)
    stated = dose.cells(weight)
    amount = stated if dose.viable is None else stated * dose.viable
    kind: Kind = "extravascular"
    if dose.route in rules.intravascular:
        kind = "infusion" if dose.duration > 0 or dose.timed_by in MODELLED else "bolus"
    duration = math.nan if kind == "infusion" and dose.timed_by in MODELLED else dose.duration * factor
    return Given(
        dose.time * factor, amount, None if dose.viable is None else stated, dose.absolute_unit, kind,
        duration, dose.route, dose.steady == "reached", dose.every * factor, bool(dose.steady),
    )  # fmt: skip


def _together(doses: Sequence[Given]) -> Given:
    first = doses[0]
    if len(doses) == 1:
        return first
    kinds = {dose.kind for dose in doses}
    kind: Kind = first.kind if len(kinds) == 1 else "extravascular"
    duration = float(np.max([dose.duration for dose in doses]))  # NaN if any is
    route = " and ".join(dict.fromkeys(dose.route for dose in doses))
    if not all(same_dimension(dose.unit, first.unit) for dose in doses):  # cells and a drug: no amount of both
        return Given(first.time, math.nan, None, " and ".join(dose.unit for dose in doses), kind, duration, route)
    factors = [scale_factor(dose.unit, first.unit) for dose in doses]
    amount = sum(dose.amount * factor for dose, factor in zip(doses, factors, strict=True))
    known = all(dose.total is not None for dose in doses)
    total = sum((dose.total or 0.0) * factor for dose, factor in zip(doses, factors, strict=True)) if known else None
    return Given(first.time, amount, total, first.unit, kind, duration, route)


# ---- values ----------------------------------------------------------------------------------------------------------

Sample = tuple[float, float, float, bool, float]  # time, value, limit, above, variance of a mean


def _samples(records: Iterable[Record], unit: str, rules: Rules) -> Iterator[Sample]:
    """Samples in order of time, replicates averaged."""
    factor = scale_factor("h", rules.time)
    for time, same in groupby(sorted(records, key=_moment), key=_moment):
        replicates = [_sample(record, unit) for record in same]
        yield (time * factor, *_average(replicates))


def _moment(record: Record) -> float:
    """Time of a record; a moment earlier where it precedes a dose of its own time (E3)."""
    return record.time - BEFORE * max(record.time, 1.0) if record.pre_dose else record.time


def _sample(record: Record, unit: str) -> tuple[float, float, bool, float]:
    """Value, limit below which it is, whether it is above a limit, and the variance of a mean."""
    scale = _scale(record, unit)
    nan = np.nan
    if record.kind == "right":
        return nan, nan, True, nan
    if record.kind in ("left", "interval"):  # detected and not quantified counts as below the limit (B14)
        limit = record.upper if record.upper is not None else record.value
        return nan, limit * scale, False, nan
    value = (np.exp(record.value) if record.kind == "logmean" else record.value) * scale
    if not value > 0:
        return nan, 0.0, False, _variance(record, scale)
    return float(value), nan, False, _variance(record, scale)


def _variance(record: Record, scale: float) -> float:
    if record.kind != "mean" or record.sd is None or not record.n:
        return np.nan
    sd = record.sd * scale
    return sd * sd / record.n  # infinite where a power would be an error


def _scale(record: Record, unit: str) -> float:
    if record.unit == unit:
        return 1.0
    if PERCENT_OF_DOSE in (record.unit, unit):
        problem = f"'{record.output}' of subject '{record.subject}' is in {unit} and in {record.unit}"
        raise DataError(problem, where=record.where, hint="one unit for each output and method")
    try:
        return scale_factor(record.unit, unit)
    except UnitError as error:
        problem = f"'{record.output}' of subject '{record.subject}' is in {unit} and in {record.unit}"
        raise DataError(problem, where=record.where, hint="one unit for each output and method") from error


def _average(replicates: Sequence[tuple[float, float, bool, float]]) -> tuple[float, float, bool, float]:
    if len(replicates) == 1:
        return replicates[0]
    values, limits, above, variances = (np.array(column, dtype=float) for column in zip(*replicates, strict=True))
    if above.any():
        return np.nan, np.nan, True, np.nan
    if np.isnan(values).all():
        return np.nan, float(np.max(limits)), False, np.nan
    filled = np.where(np.isnan(values), limits / 2, values)
    return float(np.mean(filled)), np.nan, False, float(np.sum(variances)) / len(values) ** 2


def _reported(variances: np.ndarray, times: np.ndarray, records: Sequence[Record], rules: Rules) -> Spread:
    """Spread of means that were reported with SD and n: each time has its own animals, as nothing says otherwise."""
    factor = scale_factor("h", rules.time)
    animals = {time: sum(record.n or 1 for record in records if record.time * factor == time) for time in times}
    unknown = times[np.isnan(variances)]
    reason = f"no SD of the mean at {unknown[0]:g} {rules.time}" if len(unknown) else ""
    return Spread(np.diag(variances), tuple(((k,), animals[time]) for k, time in enumerate(times)), reason)
