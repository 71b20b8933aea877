"""Bind the records of a study to the outputs of a model: names, units, doses, one array per column.

Values become numbers in the unit and time of the model's output. A percentage of the injected dose becomes an amount
through the dose of its subject. Subjects who were dosed alike form one group, which is solved once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from mscpkpd.model.observed import as_described
from mscpkpd.observed_points import WITHOUT_NOISE, Asked, check_noise, given_before, observed_by, observed_name
from mscpkpd.quantities import Points
from mscpkpd.units import to_unit

__all__ = ["Group", "Rows", "bind"]

WHOLE = 1e-9  # how far from a whole number the rounding of units may move a count


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
        quantification that the row states, or what its values are known not to be below (B2).
    floor : array of float
        What the row is known not to be below, where its probability is one given that (B4, B6); NaN elsewhere.
    kind : array of str
        "value", "left", "right", "interval", "mean", "logmean", or "dropped": left out by the method for values below
        the limit of quantification (B3); "positive" and "alive": `value` of `count` animals (Q4, Q7); "event": the
        prediction is a log density (Q7).
    outputs : tuple of str
        What the rows observe, and what else they are predicted from.
    where, subject : tuple of str
        Origin and subject of each row.
    covariates : dict of str to array
        Parameters that are covariates, as the record of each row states them, or else at its time (K6).
    rules : dict of str to str
        What holds between the records of those that change within a subject (K1).
    of : Points or None
        What the rows are predicted from, where that is not the output of each row at its time.
    unlike : array of bool of shape (n_rows,), or None
        Rows that compare groups with one another and are those of no subject; None where there are none.
    sample : array of int, shape (n_rows,), or None
        Composition that a row is an organ of (Q5), -1 for all other rows; None where there are none.
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
    of: Points | None = None
    unlike: np.ndarray | None = None
    sample: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def points(self) -> Points:
        """What an engine is asked for."""
        if self.of is not None:
            return self.of
        each = np.arange(len(self))
        return Points(self.output, self.group, self.time, each, np.array([each, each]), covariates=self.covariates)

    @cached_property
    def without_noise(self) -> np.ndarray:
        """Which rows have a probability instead of a noise model (Q4, Q7), shape (n_rows,)."""
        return np.isin(self.kind, ("positive", "alive", "event"))

    @cached_property
    def of_several(self) -> np.ndarray:
        """Which rows speak of several subjects at once and have no subject of their own, shape (n_rows,)."""
        counted = np.isin(self.kind, ("positive", "alive")) & (self.count > 1)
        unlike = np.zeros(len(self), dtype=bool) if self.unlike is None else self.unlike
        return np.asarray(np.isin(self.kind, ("mean", "logmean")) | counted | unlike)

    @cached_property
    def spared(self) -> np.ndarray:
        """Share of one log density that the closure of a composition leaves out of each row (Q5), shape (n_rows,).

        The D shares of a sample are D - 1 numbers: their log-ratios to the geometric mean add up to 0.
        """
        if self.sample is None:
            return np.zeros(len(self))
        mine = self.sample >= 0
        return np.asarray(np.where(mine, 1.0 / np.bincount(self.sample[mine])[self.sample], 0.0))

    def as_shares(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of shape (..., n_rows), of which those of a composition as fractions that add up to 1 (Q5)."""
        if self.sample is None:
            return numbers
        out = np.array(numbers)
        for sample in range(int(np.max(self.sample)) + 1):
            mine = self.sample == sample
            out[..., mine] /= np.sum(out[..., mine], axis=-1, keepdims=True)
        return out

    @cached_property
    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each row the one before it of the same subject and output, and the time since then (R9).

        Position -1 and NaN where there is none; summaries of several subjects and what is left out stand in no series.
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
    model = observed_by(model, study)
    asked = Asked(model, study, findings)
    outputs = asked.outputs
    columns_of = CovariateColumns(model, study, outputs, findings)
    courses = {subject.id: columns_of.course(subject) for subject in study.subjects}
    groups, position = _groups(model, study, findings, courses, asked.cuts)
    columns: list[tuple[float, ...]] = []
    for record in study.records:
        try:
            columns.append(_numbers(model, study.subject(record.subject), record))
        except MscError as error:
            findings.append(error)
    if findings:
        raise DataError.of(findings, where=f"study '{study.name}' with model '{model.name}'")
    kept = study.records
    if not kept:
        raise DataError(f"study '{study.name}' has no observations", hint="rows with an output and a value")
    time, value, lower, upper, sd, count, lloq = np.array(columns, dtype=float).T
    value = value / asked.closed
    place = {name: k for k, name in enumerate(outputs)}
    rows = Rows(
        output=np.array([place[observed_name(model, record)] for record in kept]),
        group=np.array([position[record.subject, given_before(study, record)] for record in kept]),
        time=time,
        value=value,
        lower=lower,
        upper=upper,
        sd=sd,
        count=count,
        lloq=lloq,
        floor=np.full(len(kept), np.nan),
        kind=np.array([_kind(record) for record in kept]),
        outputs=outputs,
        where=tuple(record.where for record in kept),
        subject=tuple(record.subject for record in kept),
        covariates=columns_of.at_rows(kept, courses),
        rules=columns_of.rules,
        of=asked.points(place, position, columns_of, courses) if asked.compound else None,
        unlike=asked.unlike,
        sample=asked.sample,
    )
    return rows, groups


def _kind(record: Record) -> str:
    """How the likelihood of a row is computed."""
    if record.quantity == "event_time":
        return "event"
    if record.kind == "count":
        return "alive" if record.quantity == "alive" else "positive"
    return record.kind


_Key = tuple[tuple[Dose, ...], float | None, Course | None]


def _groups(
    model: Model,
    study: Study,
    findings: list[MscError],
    courses: Mapping[str, Course | None],
    wanted: Iterable[tuple[str, int | None]],
) -> tuple[tuple[Group, ...], dict[tuple[str, int | None], int]]:
    """Groups, and the position of the one of each subject and, for records before a dose of their time, its doses."""
    members: dict[_Key, list[Subject]] = {}
    keys: dict[tuple[str, int | None], _Key] = {}
    known = {*(route.name for route in model.routes), *model.state_names}
    cuts: dict[str, dict[int | None, None]] = {subject.id: {None: None} for subject in study.subjects}
    for name, cut in wanted:
        cuts[name][cut] = None
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


def _numbers(model: Model, subject: Subject, record: Record) -> tuple[float, ...]:
    if record.output not in model.output_names:
        described = as_described(model).output_names
        raise UnknownName.among("output", record.output, described, where=record.where)
    output = model.output(observed_name(model, record))
    time = record.time * to_unit(f"1 {record.time_unit}", model.time, where=record.where)
    factor = factor_of(output, subject, record)
    shift = np.log(factor) if record.kind == "logmean" else None
    scaled = [_scaled(x, factor, shift) for x in (record.value, record.lower, record.upper)]
    sd = np.nan if record.sd is None else record.sd * (1.0 if shift is not None else factor)
    _check_support(output, record, scaled[0])
    limit = record.lloq if record.truncation is None else record.truncation
    lloq = np.nan if limit is None or shift is not None else limit * factor
    return (time, *scaled, sd, float(record.n) if record.n else np.nan, lloq)


def _scaled(x: float | None, factor: float, shift: float | None) -> float:
    if x is None:
        return float("nan")
    return x * factor if shift is None else x + shift


def _check_support(output: Output, record: Record, value: float) -> None:
    if output.quantity in WITHOUT_NOISE:
        return
    if output.quantity:
        check_noise(output, record)
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
