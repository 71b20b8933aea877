"""Bind the records of a study to the outputs of a model: names, units, doses, one array per column.

Values become numbers in the unit and time of the model's output. A percentage of the injected dose becomes an amount
through the dose of its subject. Subjects who were dosed alike form one group, which is solved once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mscpkpd.administration import administered
from mscpkpd.conversions import factor_of
from mscpkpd.covariates import check_line, parameter_of, track_of
from mscpkpd.covariates import factor_of as covariate_factor
from mscpkpd.data import Record, Study, Subject
from mscpkpd.data.covariates import Varying
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.course import Course, Given, Track
from mscpkpd.engine.system import build_system
from mscpkpd.errors import DataError, MscError, UnknownName
from mscpkpd.model import Model, Output
from mscpkpd.units import to_unit

__all__ = ["Group", "Rows", "bind"]

WEIGHTS = ("wt", "weight")  # body weight stands in a field of its own; a parameter of this name is the same
KINDS = ("value", "left", "right", "interval", "mean", "logmean")


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
    time, value, lower, upper, sd, count : arrays of float
        NaN where a row has no such number. `count` is the number of subjects behind a mean.
    kind : array of str
        "value", "left", "right", "interval", "mean" or "logmean".
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
    kind: np.ndarray
    outputs: tuple[str, ...]
    where: tuple[str, ...]
    subject: tuple[str, ...]
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

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
    columns_of = _Columns(model, study, outputs, findings)
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
    time, value, lower, upper, sd, count = np.array(columns, dtype=float).T
    rows = Rows(
        output=np.array([outputs.index(record.output) for record in kept]),
        group=np.array([position[record.subject, _given_before(study, record)] for record in kept]),
        time=time,
        value=value,
        lower=lower,
        upper=upper,
        sd=sd,
        count=count,
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


class _Columns:
    """Columns of a study that are parameters which its outputs depend on: covariates (K1)."""

    def __init__(self, model: Model, study: Study, outputs: tuple[str, ...], findings: list[MscError]) -> None:
        self.model, self.study, self.findings = model, study, findings
        self.rules: dict[str, str] = {}
        self.names = self._names(outputs)

    def _names(self, outputs: tuple[str, ...]) -> dict[str, str]:
        """Parameter by column."""
        columns = dict.fromkeys(
            name for s in self.study.subjects for name in (*dict(s.covariates), *(each.name for each in s.varying))
        )
        columns |= dict.fromkeys(name for name in WEIGHTS if any(s.weight is not None for s in self.study.subjects))
        stated = {column: parameter_of(self.model, column) for column in columns}
        if not any(stated.values()):
            return {}
        known = {*self.model.route_names, *self.model.state_names}
        routes = {d.route for s in self.study.subjects for d in s.regimen if d.route in known}
        needed = {*build_system(self.model, outputs, tuple(sorted(routes))).parameters}
        noises = (self.model.output(name).noise for name in outputs)
        noisy = {name for noise in noises if noise is not None for name in noise.parameters}
        for column, name in stated.items():
            if name in noisy:
                problem = f"column '{column}' is a parameter of the noise of model '{self.model.name}'"
                self._find(problem, hint="another name for the column: the noise has one value for all")
        return {column: name for column, name in stated.items() if name in needed - noisy}

    def _find(self, problem: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        self.findings.append(DataError(problem, where=where, expected=expected, hint=hint))

    def course(self, subject: Subject) -> Course | None:
        """Covariates of one subject; what is wrong with them becomes a finding."""
        before, tracks, own = len(self.findings), list[Track](), list[tuple[tuple[float, float | None], ...]]()
        varying = {each.name: each for each in subject.varying}
        for column, name in self.names.items():
            if name in (track.name for track in tracks):
                continue
            if column in varying:
                track = self._changing(subject, varying[column], name)
                if track is not None:
                    tracks.append(track)
                    said = varying[column].at_doses
                    own.append(tuple((time, self._number(subject, column, text)) for time, text in said))
                continue
            number = self._constant(subject, column, name)
            if number is not None:
                tracks.append(Track(name, "locf", (0.0,), (number,)))
                own.append(())
        for name in dict.fromkeys(self.names.values()):
            if name not in (track.name for track in tracks) and len(self.findings) == before:
                hint = "a value in one of its rows, or without the subject"
                self._find(f"subject '{subject.id}' has no '{name}', which others have (K1)", hint=hint)
        if not tracks or len(self.findings) > before:
            return None
        if not any(track.varies for track in tracks):
            return Course(tuple(tracks))
        given = tuple(
            Given(
                next((each[k][0] for each in own if each), dose.time),
                tuple(each[k][1] if each else None for each in own),
            )
            for k, dose in enumerate(subject.regimen.doses)
        )
        return Course(tuple(tracks), given)

    def _constant(self, subject: Subject, column: str, name: str) -> float | None:
        text = dict(subject.covariates).get(column)
        if text is not None:
            return self._number(subject, column, text)
        if column not in WEIGHTS or subject.weight is None:
            return None
        return subject.weight * covariate_factor(self.model, name, "kg")

    def _changing(self, subject: Subject, records: Varying, name: str) -> Track | None:
        rule, where = self.study.covariate(records.name).rule, f"subject '{subject.id}'"
        if not rule:
            problem = f"'{records.name}' changes, and nothing says what holds between its records (K1)"
            self._find(problem, where=where, expected="locf, nocb or linear", hint="covariates='locf'")
            return None
        numbers = [self._number(subject, records.name, text) for text in records.texts]
        values = [number for number in numbers if number is not None]
        if len(values) < len(numbers):
            return None
        self.rules[name] = rule
        try:
            if rule == "linear":
                check_line(self.model, name, values, where)
        except MscError as error:
            self.findings.append(error)
            return None
        return track_of(name, rule, records.times, values)

    def _number(self, subject: Subject, column: str, text: str) -> float | None:
        """A cell in the unit of its parameter; None where it says nothing."""
        if not text:
            return None
        where, name = f"subject '{subject.id}'", self.names[column]
        try:
            number = float(text)
        except ValueError:
            self._find(f"'{text}' in column '{column}', a parameter of the model", where=where, expected="a number")
            return None
        try:
            return number * covariate_factor(self.model, name, self.study.covariate(column).unit, where)
        except MscError as error:
            self.findings.append(error)
            return None

    def at_rows(self, records: Sequence[Record], courses: Mapping[str, Course | None]) -> dict[str, np.ndarray]:
        """Each covariate at each row, by parameter: of its own record (K6), or of its time where that says nothing."""
        found: dict[str, np.ndarray] = {}
        for column, name in self.names.items():
            if name not in found:
                found[name] = np.array([self._at(record, column, name, courses[record.subject]) for record in records])
        return found

    def _at(self, record: Record, column: str, name: str, course: Course | None) -> float:
        track = next(track for track in course.tracks if track.name == name) if course else None
        if track is None:
            return self.model.values[name]
        if not track.varies:
            return track.values[0]
        text = dict(record.extra).get(column, "")
        stated = self._number(self.study.subject(record.subject), column, text)
        hours = record.time * to_unit(f"1 {record.time_unit}", "h")
        return track.at(hours) if stated is None else stated


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
    return (time, *scaled, sd, float(record.n) if record.n else np.nan)


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
    if output.noise is not None and output.noise.is_log and plain and value <= 0:
        raise DataError(
            f"value {record.value:g} of '{output.name}' with lognormal noise",
            where=record.where,
            expected="a value above 0",
            hint="censoring = left with the limit in 'upper' if it was under the detection limit",
        )
