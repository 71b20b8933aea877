"""Which points of a model the records of a study ask for: outputs of subjects at times (Q1 to Q7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mscpkpd.conversions import given_by
from mscpkpd.covariates import CovariateColumns
from mscpkpd.data import PERCENT_OF_DOSE, Record, Study
from mscpkpd.engine.course import Course
from mscpkpd.errors import DataError, MscError, UnitError, UnknownName
from mscpkpd.model import Model, Output
from mscpkpd.model.observed import biased_by, made_name, observed_as
from mscpkpd.quantities import Part, Points, window
from mscpkpd.units import same_dimension, scale_factor, to_unit

__all__ = ["WITHOUT_NOISE", "Asked", "check_noise", "given_before", "observed_by", "observed_name"]

WITHOUT_NOISE = ("positive", "present", "alive", "event_time")  # whose likelihood is a probability
OF_SAMPLES = ("share", "recovery")
EVENTS = {"value": "event", "right": "event_after", "left": "event_within", "interval": "event_within"}


class Spot(NamedTuple):
    """A point, by name: an output of a subject after some of its doses, at a time [h]."""

    output: str
    subject: str
    cut: int | None
    time: float


def observed_by(model: Model, study: Study) -> Model:
    """Return the model with an output for each thing that the records of a study observe.

    Parameters
    ----------
    model : Model
    study : Study

    Returns
    -------
    Model
        The same one where all of them observe its outputs.

    Raises
    ------
    ModelError
        If an output cannot be observed so.
    """
    wanted = dict.fromkeys(
        (record.output, record.quantity, "" if record.quantity else record.method)
        for record in study.records
        if record.output in model.output_names
        and (record.quantity or (record.method and biased_by(model.output(record.output), record.method)))
    )
    return observed_as(model, wanted)


def observed_name(model: Model, record: Record) -> str:
    """Name of the output that a record observes."""
    if record.quantity:
        return made_name(record.output, record.quantity)
    if record.method and biased_by(model.output(record.output), record.method):
        return made_name(record.output, record.method)
    return record.output


def given_before(study: Study, record: Record) -> int | None:
    """How many doses act on a record that precedes a dose of its own time (E3); None for all of them."""
    if not record.pre_dose:
        return None
    doses = study.subject(record.subject).regimen.doses
    return sum(dose.time <= record.time * (1 + 1e-11) for dose in doses) - record.pre_dose


def check_noise(output: Output, record: Record) -> None:
    """Refuse a row whose quantity nothing says how well it is known.

    Raises
    ------
    DataError
    """
    if output.quantity == "share" and (output.noise is None or not output.noise.is_log):
        raise DataError(
            f"a share of '{output.of}', whose noise is {output.noise or 'not declared'} (Q5)", where=record.where,
            expected="lognormal noise", hint=f"noise = \"lognormal(s)\" for '{output.of}'",
        )  # fmt: skip
    if output.quantity == "recovery" and record.sd is None and (output.noise is None or not output.noise.is_log):
        raise DataError(
            f"a recovery of '{output.of}', whose noise is {output.noise or 'not declared'} (Q5)", where=record.where,
            expected="lognormal noise, or an sd",
            hint=f"quantities = {{ recovery = \"lognormal(0.2)\" }} for '{output.of}' in the model file",
        )  # fmt: skip
    if output.noise is None and record.sd is None:
        raise DataError(
            f"'{output.quantity}' of '{output.of}' has neither an sd nor a noise (Q1)", where=record.where,
            expected="how well it is known",
            hint=f'stat mean with sd and n, or quantities = {{ {output.quantity} = "lognormal(0.3)" }} for '
            f"'{output.of}' in the model file",
        )  # fmt: skip


class Asked:
    """What the records of a study ask a model for.

    Parameters
    ----------
    model : Model
        With the outputs that the records observe.
    study : Study
    findings : list of MscError
        Where problems are noted.

    Attributes
    ----------
    outputs : tuple of str
        Observed, or needed for what is observed, in the order of the model.
    cuts : list of (str, int or None)
        Subjects, and numbers of doses after which they are asked about.
    compound : bool
        Whether any row is more than one point.
    closed : array of shape (n_rows,)
        What the value of each row is divided by: for shares the geometric mean of their sample (Q5), else 1.
    unlike : array of bool of shape (n_rows,), or None
    sample : array of int, shape (n_rows,), or None
        As in `Rows`.
    """

    def __init__(self, model: Model, study: Study, findings: list[MscError]) -> None:
        self.model, self.study = model, study
        self._samples = _samples(study)
        self._spots: list[list[Spot]] = []
        self._numbers: list[tuple[float, ...]] = []
        for record in study.records:
            spots: list[Spot] = [_own(study, record)]
            numbers: tuple[float, ...] = ()
            try:
                if record.output in model.output_names:
                    spots, numbers = self._asked(record)
            except MscError as error:
                findings.append(error)
            self._spots.append(spots)
            self._numbers.append(numbers)
        seen = {spot.output for spots in self._spots for spot in spots}
        seen |= {observed_name(model, record) for record in study.records if record.output in model.output_names}
        self.outputs = tuple(name for name in model.output_names if name in seen)
        asked = {(spot.subject, spot.cut): None for spots in self._spots for spot in spots}
        asked |= {(record.subject, given_before(study, record)): None for record in study.records}
        self.cuts = list(asked)
        kinds = {record.quantity for record in study.records}
        self.compound = bool(kinds - {"", "positive", "present"})
        unlike = [len({spot.subject for spot in spots}) > 1 for spots in self._spots]
        self.unlike = np.array(unlike) if any(unlike) else None
        known: dict[tuple[object, ...], int] = {}
        sample = [
            known.setdefault(_sample(record), len(known)) if record.quantity == "share" else -1
            for record in study.records
        ]
        self.sample = np.array(sample) if known else None
        self.closed = np.array([self._middle(record) for record in study.records])

    def points(
        self,
        place: Mapping[str, int],
        position: Mapping[tuple[str, int | None], int],
        columns_of: CovariateColumns,
        courses: Mapping[str, Course | None],
    ) -> Points:
        """Lay out all points.

        Parameters
        ----------
        place : mapping of str to int
            Positions of the outputs.
        position : mapping of (str, int or None) to int
            Group of each subject after some of its doses.
        columns_of : CovariateColumns
        courses : mapping of str to (Course or None)
            Covariates of each subject.
        """
        records = self.study.records
        flat = [(row, spot) for row, spots in enumerate(self._spots) for spot in spots]
        first = np.cumsum([0, *(len(spots) for spots in self._spots)])
        hours = to_unit(f"1 {self.model.time}", "h")
        meant = [
            records[row] if len(self._spots[row]) == 1
            else replace(records[row], subject=spot.subject, time=spot.time, extra=())
            for row, spot in flat
        ]  # fmt: skip
        shapes: dict[tuple[str, int, int], list[int]] = defaultdict(list)
        for row, (record, spots) in enumerate(zip(records, self._spots, strict=True)):
            function = EVENTS[record.kind] if record.quantity == "event_time" else record.quantity
            plain = function in ("", "positive", "present")
            shapes["" if plain else function, len(spots), len(self._numbers[row])].append(row)
        plain_rows = np.array(shapes.pop(("", 1, 0), []), dtype=int)
        parts = tuple(
            Part(name, np.array(rows), np.array([first[r] + np.arange(count) for r in rows]),
                 np.array([self._numbers[r] for r in rows], dtype=float))
            for (name, count, _), rows in shapes.items()
        )  # fmt: skip
        return Points(
            output=np.array([place[spot.output] for _, spot in flat]),
            group=np.array([position[spot.subject, spot.cut] for _, spot in flat]),
            time=np.array([spot.time / hours for _, spot in flat]),
            row=np.array([row for row, _ in flat]),
            plain=np.array([plain_rows, first[plain_rows]], dtype=int),
            parts=parts,
            covariates=columns_of.at_rows(meant, courses),
        )

    def _asked(self, record: Record) -> tuple[list[Spot], tuple[float, ...]]:
        """Points of a record, and what else its function needs, in the unit of time of the model."""
        own = _own(self.study, record)._replace(output=observed_name(self.model, record))
        hours = to_unit(f"1 {self.model.time}", "h")
        match record.quantity:
            case "half_life":
                end = record.time_to or record.time
                return [own, own._replace(time=end)], ((end - record.time) / hours,)
            case "ratio":
                return [own, *self._below(record, own)], ()
            case "fold_change" | "difference":
                return [own, self._baseline(record, own)], ()
            case "share" | "recovery":
                return self._organs(record, own)
            case "peak" | "peak_time":
                times = window(record.time, record.time_to or record.time)
                return [own._replace(time=float(time)) for time in times], tuple(times / hours)
            case "alive":
                return [own, own._replace(time=0.0)], ()
            case "event_time":
                return self._event(record, own)
            case "positive" | "present":
                self._check_detection(record)
        return [own], ()

    def _middle(self, record: Record) -> float:
        if record.quantity != "share":
            return 1.0
        shares = [each.value * _part(each) for each in self._samples[_sample(record)] if each.quantity == "share"]
        return float(np.exp(np.mean(np.log(shares))))

    def _below(self, record: Record, own: Spot) -> list[Spot]:
        """What stands below the line of a ratio."""
        if record.versus_subject and record.versus_subject not in {subject.id for subject in self.study.subjects}:
            raise UnknownName.among(
                "subject", record.versus_subject, [s.id for s in self.study.subjects],
                where=f"{record.where}, column versus_subject",
            )  # fmt: skip
        names = [name.strip() for name in (record.versus or record.output).split("+")]
        for name in names:
            if name not in self.model.output_names:
                where = f"{record.where}, column versus"
                raise UnknownName.among("output", name, self.model.output_names, where=where)
            if not same_dimension(self.model.output(name).unit, self.model.output(record.output).unit):
                raise UnitError(
                    f"'{name}' in {self.model.output(name).unit} below '{record.output}' in "
                    f"{self.model.output(record.output).unit}", where=f"{record.where}, column versus",
                    expected="two of one unit", hint="an output of the same unit",
                )  # fmt: skip
        other = record.versus_subject or record.subject
        return [own._replace(output=name, subject=other) for name in names]

    def _baseline(self, record: Record, own: Spot) -> Spot:
        """The point that a change is from: before any dose where no time is stated (Q3)."""
        if record.time_from is None:
            return own._replace(time=0.0, cut=0)
        return own._replace(time=record.time_from)

    def _organs(self, record: Record, own: Spot) -> tuple[list[Spot], tuple[float, ...]]:
        """All organs of the sample of a record, its own first."""
        mates = self._samples[_sample(record)]
        names = dict.fromkeys(
            [record.output, *(each.output for each in mates if each.output in self.model.output_names)]
        )
        organs = [own._replace(output=name) for name in names]
        if record.quantity == "recovery":
            unit = self.model.output(record.output).unit
            if not same_dimension(unit, "cells"):
                hint = "an output in cells"
                raise UnitError(f"recovery of '{record.output}' in {unit} (Q5)", where=record.where, hint=hint)
            given = given_by(self.study.subject(record.subject), record) * scale_factor("cells", unit)
            if given <= 0:
                raise DataError(
                    "a recovery at a time before any dose", where=record.where, hint="a dose time before it"
                )
            return organs, (given,)
        if len([each for each in mates if each.quantity == "share"]) < 2:
            raise DataError(
                f"the share of '{record.output}' is the only one of its sample (Q5)", where=record.where,
                hint="a row for each organ, with the same subject, time and sample",
            )  # fmt: skip
        shares = [each for each in mates if each.quantity == "share"]
        noises = {
            str(self.model.output(each.output).noise) for each in shares if each.output in self.model.output_names
        }
        if len(noises) > 1:
            raise DataError(
                f"the shares of one sample have the noises {' and '.join(sorted(noises))} (Q5)", where=record.where,
                expected="one lognormal(s) for all organs of a composition", hint='noise = "lognormal(s)" for each',
            )  # fmt: skip
        kept = dict.fromkeys([record.output, *(each.output for each in shares)])
        return [own._replace(output=name) for name in kept], ()

    def _event(self, record: Record, own: Spot) -> tuple[list[Spot], tuple[float, ...]]:
        """Points of an event, in the order of its function (Q7)."""
        output = self.model.output(record.output)
        if not same_dimension(output.unit, f"1/({self.model.time})"):
            raise UnitError(
                f"the time of an event of '{output.name}' in {output.unit} (Q7)", where=record.where,
                expected=f"a hazard in 1/{self.model.time}", hint="rows 'alive' may have a cumulative hazard",
            )  # fmt: skip
        hours = scale_factor(record.unit, "h", where=record.where)
        begin = record.time
        at = [x * hours for x in (record.lower, record.upper, record.value) if x is not None]
        if min(at) <= begin and record.kind != "left":
            raise DataError(
                f"an event at {min(at):g} h of an animal observed from {begin:g} h on", where=record.where,
                hint="'time' is when observation began, usually 0; the time of the event is the value",
            )  # fmt: skip
        start = own._replace(time=begin)
        if record.kind == "value":
            factor = scale_factor(output.unit, f"1/({self.model.time})")
            then = own._replace(time=at[-1])
            return [then._replace(output=output.name), then, start], (factor,)
        if record.kind == "right":
            return [own._replace(time=at[0]), start], ()
        low = record.lower * hours if record.lower is not None else begin
        high = (record.upper or record.value) * hours
        return [own._replace(time=low), own._replace(time=high), start], ()

    def _check_detection(self, record: Record) -> None:
        if self.model.output(record.output).detection is None:
            raise DataError(
                f"'{record.quantity}' of '{record.output}', whose model has no limit of detection (Q4)",
                where=record.where, hint=f"detection = \"probit(lod, s)\" for '{record.output}' in the model file",
            )  # fmt: skip


def _own(study: Study, record: Record) -> Spot:
    return Spot(record.output, record.subject, given_before(study, record), record.time)


def _part(record: Record) -> float:
    """Shares of one sample may be in % and in %ID: both are parts of what was found."""
    return 0.01 if record.unit == PERCENT_OF_DOSE else scale_factor(record.unit, "1", where=record.where)


def _sample(record: Record) -> tuple[object, ...]:
    """What the organs of one composition share."""
    return (
        record.subject,
        record.study,
        record.sample,
        record.time,
        record.replicate,
        record.pre_dose,
        record.occasion,
    )


def _samples(study: Study) -> Mapping[tuple[object, ...], list[Record]]:
    found: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in study.records:
        if record.quantity in ("", *OF_SAMPLES):
            found[_sample(record)].append(record)
    return found
