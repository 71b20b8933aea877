"""A cohort as arrays: levels, limits and replicates, what patients share, ways to fill in missing covariates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mscpkpd.responder.companions import map_covariate
from mscpkpd.responder.definition import COVARIATES
from mscpkpd.responder.mixtures import FloatArray, IntArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.cohort import Patient
    from mscpkpd.responder.definition import Definition

__all__ = [
    "KINDS",
    "Groups",
    "Kind",
    "Replicates",
    "Samples",
    "covariate_ways",
    "extras_of",
    "groups_of",
    "platform_names",
    "samples_of",
]

LATE = 14.0  # days from steroids to MSC from which the delay counts
# a covariate that is missing and standard normal: three points with its mean, variance and kurtosis
_MISSING_POINTS: tuple[tuple[float, float], ...] = ((-(3.0**0.5), 1 / 6), (0.0, 2 / 3), (3.0**0.5, 1 / 6))


class Kind(IntEnum):
    """What is known of a level."""

    MEASURED = 0
    BELOW = 1
    ABOVE = 2
    MISSING = 3


KINDS = {"none": Kind.MEASURED, "left": Kind.BELOW, "right": Kind.ABOVE}


class Groups(NamedTuple):
    """What the patients of a cohort share.

    Attributes
    ----------
    platforms : tuple of str
        The reference platform first.
    plates, trials, centres : tuple of str
        Names; trials and centres only where there are at least two.
    extras : tuple of str
        Covariates that the cohort has besides grade, liver and child.
    """

    platforms: tuple[str, ...]
    plates: tuple[str, ...] = ()
    trials: tuple[str, ...] = ()
    centres: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        """Coefficients of the covariates in the model, in order."""
        return (*COVARIATES, *self.extras)

    @property
    def slopes(self) -> tuple[str, ...]:
        """Trials with a slope of their own: all, from three on."""
        return self.trials if len(self.trials) >= 3 else ()


@dataclass(frozen=True)
class Replicates:
    """More measurements of the same samples.

    Attributes
    ----------
    owner : array of shape (m,)
        Patient of each.
    level, kind, platform, plate : array of shape (m,)
        As in `Samples`.
    """

    owner: IntArray
    level: FloatArray
    kind: IntArray
    platform: IntArray
    plate: IntArray

    def only(self, chosen: NDArray[np.bool_]) -> Replicates | None:
        """Return those of the chosen patients, renumbered; None if there are none."""
        kept = chosen[self.owner]
        if not kept.any():
            return None
        place = np.cumsum(chosen) - 1
        return Replicates(
            place[self.owner[kept]], self.level[kept], self.kind[kept], self.platform[kept], self.plate[kept]
        )


@dataclass(frozen=True)
class Samples:
    """A cohort as arrays.

    Attributes
    ----------
    level : array of shape (n,)
        ln pg/mL: the level or its limit; 0 where missing. Of several measurements one that is not censored.
    kind : array of shape (n,)
        See `Kind`.
    platform : array of shape (n,)
        Column of the offsets.
    sign : array of shape (n,)
        +1 responded, -1 did not, 0 not known.
    start : array of shape (n,)
        First row of each patient in `design`: one row for each way to fill in missing covariates.
    design : array of shape (rows, number of covariates)
        Grade steps from C, liver - its centre, child - its centre, and what else the cohort has.
    weight : array of shape (rows,)
        Probability of each row; 1 where nothing is missing.
    centre, spread : float
        Of z = (x - centre)/spread, ln pg/mL and ln.
    plate, trial, clinic : array of shape (n,)
        Columns of the shifts of plate, trial and centre; -1 where there is none.
    more : Replicates or None
        Further measurements.
    """

    level: FloatArray
    kind: IntArray
    platform: IntArray
    sign: IntArray
    start: IntArray
    design: FloatArray
    weight: FloatArray
    centre: float
    spread: float
    plate: IntArray
    trial: IntArray
    clinic: IntArray
    more: Replicates | None = None

    def only(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return the patients of a boolean mask."""
        ends = np.append(self.start[1:], len(self.weight))
        picked = [np.arange(a, b) for a, b in zip(self.start[chosen], ends[chosen], strict=True)]
        rows = np.concatenate(picked) if picked else np.zeros(0, int)
        start = np.cumsum([0, *(len(rows) for rows in picked)])[:-1].astype(int)
        columns = ("level", "kind", "platform", "sign", "plate", "trial", "clinic")
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in columns},
            start=start,
            design=self.design[rows],
            weight=self.weight[rows],
            more=None if self.more is None else self.more.only(chosen),
        )


def platform_names(definition: Definition, patients: Sequence[Patient]) -> tuple[str, ...]:
    """Return the platforms of a cohort, the reference platform first; case does not matter."""
    names = {definition.reference_platform.casefold(): definition.reference_platform}
    for patient in patients:
        for platform in (patient.platform, *(one.platform for one in patient.replicates)):
            names.setdefault(platform.casefold(), platform)
    return tuple(names.values())


def extras_of(patients: Sequence[Patient]) -> tuple[str, ...]:
    """Return the coefficients of covariates beyond grade, liver and child that any of the patients has."""
    known = {
        "gamma_delay": any(patient.delay is not None for patient in patients),
        "gamma_basiliximab": any(patient.basiliximab is not None for patient in patients),
        "gamma_map": any(patient.st2 is not None and patient.reg3a is not None for patient in patients),
    }
    return tuple(name for name, there in known.items() if there)


def groups_of(definition: Definition, patients: Sequence[Patient]) -> Groups:
    """Return what the patients of a cohort share."""
    every = (plate for patient in patients for plate in (patient.plate, *(one.plate for one in patient.replicates)))
    plates = dict.fromkeys(plate for plate in every if plate)
    trials = dict.fromkeys(patient.trial for patient in patients)
    centres = dict.fromkeys(patient.centre for patient in patients if patient.centre)
    return Groups(
        platform_names(definition, patients),
        tuple(plates),
        tuple(trials) if len(trials) > 1 else (),
        tuple(centres) if len(centres) > 1 else (),
        extras_of(patients),
    )


def samples_of(
    definition: Definition, patients: Sequence[Patient], platforms: Sequence[str], groups: Groups | None = None
) -> Samples:
    """Return patients as arrays; every platform must be among `platforms`."""
    groups = groups or Groups(tuple(platforms))
    columns = {name.casefold(): k for k, name in enumerate(platforms)}
    measured = [_measurements(patient) for patient in patients]
    first = [rows[0] for rows in measured]
    ways = [covariate_ways(definition, patient, groups.extras) for patient in patients]
    sizes = [len(weights) for _, weights in ways]
    more = [(k, *row) for k, rows in enumerate(measured) for row in rows[1:]]
    return Samples(
        level=np.array([level for level, *_ in first]),
        kind=np.array([kind for _, kind, *_ in first], int),
        platform=np.array([columns[platform.casefold()] for _, _, platform, _ in first], int),
        sign=np.array([0 if patient.response is None else 2 * patient.response - 1 for patient in patients]),
        start=np.cumsum([0, *sizes])[:-1].astype(int),
        design=np.concatenate([design for design, _ in ways]),
        weight=np.concatenate([weights for _, weights in ways]),
        centre=float(np.log(definition.centre)),
        spread=definition.spread,
        plate=np.array([_place(groups.plates, plate) for *_, plate in first], int),
        trial=np.array([_place(groups.trials, patient.trial) for patient in patients], int),
        clinic=np.array([_place(groups.centres, patient.centre) for patient in patients], int),
        more=_replicates(more, columns, groups) if more else None,
    )


def _replicates(rows: list[tuple[int, float, Kind, str, str]], columns: dict[str, int], groups: Groups) -> Replicates:
    owners, levels, kinds, platforms, plates = zip(*rows, strict=True)
    places = [columns[platform.casefold()] for platform in platforms]
    on = [_place(groups.plates, plate) for plate in plates]
    return Replicates(
        np.array(owners, int), np.array(levels), np.array(kinds, int), np.array(places, int), np.array(on, int)
    )


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _measurements(patient: Patient) -> list[tuple[float, Kind, str, str]]:
    """All measurements of a sample, those that are not censored first; one row of kind MISSING if there is none."""
    if patient.level is None:
        return [(0.0, Kind.MISSING, patient.platform, "")]
    given = [(patient.level, patient.platform, patient.plate)]
    given += [(one.level, one.platform, one.plate) for one in patient.replicates]
    rows = [(float(np.log(level.value)), KINDS[level.censoring], platform, plate) for level, platform, plate in given]
    return sorted(rows, key=lambda row: row[1] != Kind.MEASURED)


def covariate_ways(
    definition: Definition, patient: Patient, extras: Sequence[str] = ()
) -> tuple[FloatArray, FloatArray]:
    """Return the covariate rows that a patient may have, shape (ways, 3 and extras), and their probabilities."""
    known = (patient.grade, patient.liver, patient.child)
    found = [_core_ways(definition.shares, known), *(_extra(definition, patient, name) for name in extras)]
    rows: list[tuple[tuple[float, ...], float]] = [((), 1.0)]
    for choice in found:
        rows = [((*row, *values), weight * p) for row, weight in rows for values, p in choice]
    return np.array([row for row, _ in rows]), np.array([weight for _, weight in rows])


Ways = tuple[tuple[tuple[float, ...], float], ...]  # values of covariates, and the probability of each choice


@lru_cache(maxsize=1024)
def _core_ways(shares: tuple[tuple[str, float], ...], known: tuple[str | None, bool | None, bool | None]) -> Ways:
    """Ways to fill in grade, liver and child."""
    grade, liver, child = known
    share = dict(shares)
    steps = {"A": -2.0, "B": -1.0, "C": 0.0, "D": 1.0}
    grades = [(steps[name[-1]], share[name]) for name in ("grade_B", "grade_C", "grade_D")]
    if grade is not None:
        grades = [(steps[grade], 1.0)]
    choices = (grades, _indicator(share["liver"], value=liver), _indicator(share["child"], value=child))
    return tuple(((g, a, b), pg * pa * pb) for g, pg in choices[0] for a, pa in choices[1] for b, pb in choices[2])


def _extra(definition: Definition, patient: Patient, name: str) -> Ways:
    if name == "gamma_map":
        value = map_covariate(definition, patient.st2, patient.reg3a)
        points: tuple[tuple[float, float], ...] = _MISSING_POINTS if value is None else ((value, 1.0),)
    elif name == "gamma_delay":
        late = None if patient.delay is None else patient.delay >= LATE
        points = _indicator(definition.share("delay"), value=late)
    else:
        points = _indicator(definition.share("basiliximab"), value=patient.basiliximab)
    return tuple(((value,), p) for value, p in points)


def _indicator(share: float, *, value: bool | None) -> tuple[tuple[float, float], ...]:
    if value is None:
        return ((1.0 - share, share), (-share, 1.0 - share))
    return ((float(value) - share, 1.0),)
