"""Bind the records of a study to the outputs of a model: names, units, doses, one array per column.

Values become numbers in the unit and time of the model's output. A percentage of the injected dose becomes an amount
through the dose of its subject. Subjects who were dosed alike form one group, which is solved once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mscpkpd.administration import administered
from mscpkpd.conversions import factor_of
from mscpkpd.covariates import CovariateColumns
from mscpkpd.data import Record, Study, Subject
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.course import Course
from mscpkpd.errors import DataError, MscError, UnknownName
from mscpkpd.model import Model, Output
from mscpkpd.units import to_unit

__all__ = ["Group", "Rows", "bind"]

WHOLE = 1e-9  # how far from a whole number the rounding of units may move a count
KINDS = ("value", "left", "right", "interval", "mean", "logmean", "dropped")


@dataclass(frozen=True)
class Group:
    """Subjects who received the same doses and have the same covariates, and so the same prediction.

    Attributes
    ----------
    regimen : Regimen
        Times in hours.
    weight : float or None
        Body weight in kg; None where no dose is per body weight.
    subjects : tuple of str
    course : Course or None
        Parameters that are covariates; None where there are none.
    """

    regimen: Regimen
    weight: float | None
    subjects: tuple[str, ...]
    course: Course | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """The observations of a study as arrays of shape (n_rows,), in the model's units.

    Attributes
    ----------
    output : array of int
        Position in `outputs`.
    group : array of int
        Position in the groups.
    time, value, lower, upper, sd, count, lloq : arrays of float
        NaN where a row has no such number. `count` is the number of subjects behind a mean; `lloq` the limit of
        quantification that the row states.
    floor : array of float
        What the row is known not to be below, where its probability is one given that (B4, B6); NaN elsewhere.
    kind : array of str
        "value", "left", "right", "interval", "mean", "logmean", or "dropped": left out by the method for values below
        the limit of quantification (B3).
    outputs : tuple of str
    where, subject : tuple of str
        Origin and subject of each row.
    covariates : dict of str to array
        Parameters that are covariates, as the record of each row states them, or else at its time (K6).
    rules : dict of str to str
        What holds between the records of those that change within a subject (K1).
    """

    output: np.ndarray
    group: np.ndarray
    time: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    sd: np.ndarray
    count: np.ndarray
    lloq: np.ndarray
    floor: np.ndarray
    kind: np.ndarray
    outputs: tuple[str, ...]
    where: tuple[str, ...]
    subject: tuple[str, ...]
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each row the one before it of the same subject and output, and the time since then (R9).

        Position -1 and NaN where there is none; summaries of several subjects, and what is left out, stand in no series.
        """
        before, gap = np.full(len(self), -1), np.full(len(self), np.nan)
        latest: dict[tuple[str, int], int] = {}
        for i in np.argsort(self.time, kind="stable"):
            if self.kind[i] not in ("mean", "logmean", "dropped"):
                key = (self.subject[i], int(self.output[i]))
                if key in latest:
                    before[i], gap[i] = latest[key], self.time[i] - self.time[latest[key]]
                latest[key] = int(i)
        return before, gap

    @property
    def has_own_sd(self) -> np.ndarray:
        """Which rows are summaries that bring their own spread and need no noise model (B16), shape (n_rows,)."""
        return np.asarray(np.isin(self.kind, ("mean", "logmean")) & np.isfinite(self.sd))


def bind(model: Model, study: Study) -> tuple[Rows, tuple[Group, ...]]:
    """Translate a study into the terms of a model.

    Parameters
    ----------
    model : Model
        Its outputs give names and units.
    study : Study
        Checked records and doses.

    Returns
    -------
    rows : Rows
    groups : tuple of Group

    Raises
    ------
    DataError
        With every finding: an output, route or organ that the model does not have, a unit of another dimension, a
        value that the noise model cannot produce.
    """
    findings: list[MscError] = []
    seen = {record.output for record in study.records}
    outputs = tuple(name for name in model.output_names if name in seen)
    columns_of = CovariateColumns(model, study, outputs, findings)
    courses = {subject.id: columns_of.course(subject) for subject in study.subjects}
    groups, position = _groups(model, study, findings, courses)
    columns: list[tuple[float, ...]] = []
    kept: list[Record] = []
    for record in study.records:
        try:
            columns.append(_numbers(model, study.subject(record.subject), record))
            kept.append(record)
        except MscError as error:
            findings.append(error)
    if findings:
        raise DataError.of(findings, where=f"study '{study.name}' with model '{model.name}'")
    if not kept:
        raise DataError(f"study '{study.name}' has no observations", hint="rows with an output and a value")
    time, value, lower, upper, sd, count, lloq = np.array(columns, dtype=float).T
    rows = Rows(
        output=np.array([outputs.index(record.output) for record in kept]),
        group=np.array([position[record.subject, _given_before(study, record)] for record in kept]),
        time=time,
        value=value,
        lower=lower,
        upper=upper,
        sd=sd,
        count=count,
        lloq=lloq,
        floor=np.full(len(kept), np.nan),
        kind=np.array([record.kind for record in kept]),
        outputs=outputs,
        where=tuple(record.where for record in kept),
        subject=tuple(record.subject for record in kept),
        covariates=columns_of.at_rows(kept, courses),
        rules=columns_of.rules,
    )
    return rows, groups


_Key = tuple[tuple[Dose, ...], float | None, Course | None]


def _groups(
    model: Model, study: Study, findings: list[MscError], courses: Mapping[str, Course | None]
) -> tuple[tuple[Group, ...], dict[tuple[str, int | None], int]]:
    """Groups, and the position of the one of each subject and, for records before a dose of their time, its doses."""
    members: dict[_Key, list[Subject]] = {}
    keys: dict[tuple[str, int | None], _Key] = {}
    known = {*(route.name for route in model.routes), *model.state_names}
    cuts: dict[str, dict[int | None, None]] = {subject.id: {None: None} for subject in study.subjects}
    for record in study.records:
        cuts[record.subject][_given_before(study, record)] = None
    for subject in study.subjects:
        foreign = sorted({dose.route for dose in subject.regimen.doses if not dose.route.isdigit()} - known)
        findings += [UnknownName.among("route", route, known, where=f"subject '{subject.id}'") for route in foreign]
        if foreign:
            continue
        try:
            doses = administered(model, subject.regimen, f"subject '{subject.id}'").doses
        except MscError as error:
            findings.append(error)
            continue
        weight = subject.weight if any(dose.unit.endswith("/kg") for dose in doses) else None
        course = courses[subject.id]
        for cut in cuts[subject.id]:
            own = None if course is None else course.first(len(doses) if cut is None else cut)
            keys[subject.id, cut] = key = (doses[:cut], weight, own)
            members.setdefault(key, []).append(subject)
    order = {key: number for number, key in enumerate(members)}
    groups = [
        Group(Regimen(doses), weight, tuple(s.id for s in own), course)
        for (doses, weight, course), own in members.items()
    ]
    return tuple(groups), {who: order[key] for who, key in keys.items()}


def _given_before(study: Study, record: Record) -> int | None:
    """How many doses act on a record that precedes a dose of its own time (E3); None for all of them."""
    if not record.pre_dose:
        return None
    doses = study.subject(record.subject).regimen.doses
    return sum(dose.time <= record.time * (1 + 1e-11) for dose in doses) - record.pre_dose


def _numbers(model: Model, subject: Subject, record: Record) -> tuple[float, ...]:
    if record.output not in model.output_names:
        raise UnknownName.among("output", record.output, model.output_names, where=record.where)
    output = model.output(record.output)
    time = record.time * to_unit(f"1 {record.time_unit}", model.time, where=record.where)
    factor = factor_of(output, subject, record)
    shift = np.log(factor) if record.kind == "logmean" else None
    scaled = [_scaled(x, factor, shift) for x in (record.value, record.lower, record.upper)]
    sd = np.nan if record.sd is None else record.sd * (1.0 if shift is not None else factor)
    _check_support(output, record, scaled[0])
    lloq = np.nan if record.lloq is None or shift is not None else record.lloq * factor
    return (time, *scaled, sd, float(record.n) if record.n else np.nan, lloq)


def _scaled(x: float | None, factor: float, shift: float | None) -> float:
    if x is None:
        return float("nan")
    return x * factor if shift is None else x + shift


def _check_support(output: Output, record: Record, value: float) -> None:
    if output.noise is None and record.sd is None:
        raise DataError(
            f"output '{output.name}' has no noise model and the row has no sd",
            where=record.where,
            hint=f"noise = \"lognormal(s)\" for '{output.name}' in the model file, or an sd column",
        )
    plain = record.kind == "value" or (record.kind == "mean" and record.sd is None)
    if output.noise is not None and output.noise.is_count and record.kind == "value":
        _check_count(output, record, value)
    if output.noise is not None and output.noise.is_positive and plain and value <= 0:
        raise DataError(
            f"value {record.value:g} of '{output.name}' with {output.noise.form} noise",
            where=record.where,
            expected="a value above 0",
            hint="censoring = left with the limit in 'upper' if it was under the detection limit",
        )


def _check_count(output: Output, record: Record, value: float) -> None:
    if value < 0 or abs(value - round(value)) > WHOLE * max(1.0, value):
        given = f"{record.value:g} {record.unit}"
        given += f", {value:g} {output.unit}," if record.unit != output.unit else ""
        raise DataError(
            f"value {given} of '{output.name}' is no count (R10)",
            where=record.where,
            expected=f"0, 1, 2, ... with {output.noise} noise",
            hint="the counts themselves, not a share or a mean of them; or a continuous noise model",
        )
