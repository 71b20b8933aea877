"""Covariates as a model takes them: the columns of a table that are called as its parameters (K1 to K7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mscpkpd.data import Record, Study, Subject
from mscpkpd.data.covariates import Varying
from mscpkpd.engine.course import Course, Given, Track
from mscpkpd.engine.system import build_system
from mscpkpd.errors import DataError, MscError
from mscpkpd.model import Model
from mscpkpd.units import scale_factor, to_unit

__all__ = ["CovariateColumns", "check_line", "factor_of", "parameter_of", "said_of", "track_of"]

IS = " is "  # between a column and one of its categories
WEIGHTS = ("wt", "weight")  # body weight stands in a field of its own; a parameter of this name is the same


def parameter_of(model: Model, title: str) -> str:
    """Return the parameter that a column states: its very name, else the only one that differs in case; else blank.

    Parameters
    ----------
    model : Model
    title : str
        Name of the column.

    Returns
    -------
    str
    """
    if title in model.parameter_names:
        return title
    near = [name for name in model.parameter_names if name.casefold() == title.casefold()]
    return near[0] if len(near) == 1 else ""


def factor_of(model: Model, name: str, unit: str, where: str = "") -> float:
    """Return the factor from the unit of a column to that of its parameter; 1 where either has none.

    Raises
    ------
    UnitError
        For a unit of another dimension.
    """
    own = model.parameter(name).unit
    return 1.0 if not unit or own == "1" else scale_factor(unit, own, where=where)


def check_line(model: Model, name: str, values: Collection[float], where: str = "") -> None:
    """Refuse a straight line between categories: numbers without unit that are all whole (K4).

    Raises
    ------
    DataError
    """
    if model.parameter(name).unit == "1" and all(value == int(value) for value in values):
        shown = ", ".join(f"{value:g}" for value in sorted(set(values))[:5])
        problem = f"covariates='linear' for '{name}', whose values {shown} are categories (K4)"
        hint = f"covariates={{'{name}': 'locf'}}"
        raise DataError(problem, where=where, expected="locf or nocb for whole numbers without unit", hint=hint)


def track_of(name: str, rule: str, times: Sequence[float], values: Sequence[float]) -> Track:
    """Return the records of a covariate without those that change nothing, so that equal courses are equal.

    Parameters
    ----------
    name : str
        The parameter.
    rule : str
        "locf", "nocb" or "linear".
    times : sequence of float
        Hours, ascending.
    values : sequence of float
        In the unit of the parameter.

    Returns
    -------
    Track
    """
    pairs = list(zip(times, values, strict=True))
    if len(set(values)) == 1:
        return Track(name, "locf", (0.0,), (values[0],))
    if rule == "locf":
        pairs = [pair for k, pair in enumerate(pairs) if k == 0 or pair[1] != pairs[k - 1][1]]
    elif rule == "nocb":
        pairs = [pair for k, pair in enumerate(pairs) if k == len(pairs) - 1 or pair[1] != pairs[k + 1][1]]
    return Track(name, rule, tuple(time for time, _ in pairs), tuple(value for _, value in pairs))


def said_of(rules: Mapping[str, str]) -> list[str]:
    """Return what a result says about covariates that change (K1)."""
    return [f"{name} changes within subjects: {rule} between its records (K1)" for name, rule in rules.items()]


class CovariateColumns:
    """Columns of a study that are parameters which its outputs depend on (K1).

    Parameters
    ----------
    model : Model
    study : Study
    outputs : tuple of str
        What is observed.
    findings : list of MscError
        Where is noted what is wrong.

    Attributes
    ----------
    names : dict of str to str
        Parameter by column.
    rules : dict of str to str
        What holds between the records, by parameter that changes within a subject.
    """

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
        stated |= self._categories()
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

    def _categories(self) -> dict[str, str]:
        """Parameters that are 1 for the subjects of a category: sex_female where the column sex says female (P6)."""
        found = {}
        for column in ("species", *dict.fromkeys(name for s in self.study.subjects for name, _ in s.covariates)):
            texts = {_texts(subject).get(column, "").casefold() for subject in self.study.subjects} - {""}
            for row in self.model.parameters:
                category = row.name.casefold().removeprefix(f"{column.casefold()}_")
                if not row.prior.is_free and category != row.name.casefold() and category in texts:
                    found[f"{column}{IS}{category}"] = row.name
        return found

    def _find(self, problem: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        self.findings.append(DataError(problem, where=where, expected=expected, hint=hint))

    def course(self, subject: Subject) -> Course | None:
        """Covariates of one subject; what is wrong with them becomes a finding."""
        before = len(self.findings)
        found: dict[str, tuple[Track, Varying | None]] = {}
        varying = {each.name: each for each in subject.varying}
        for column, name in self.names.items():
            track = self._changing(subject, varying[column], name) if column in varying else None
            number = None if column in varying else self._constant(subject, column, name)
            if number is not None:
                track = Track(name, "locf", (0.0,), (number,))
            if track is not None:
                found.setdefault(name, (track, varying.get(column)))
        missing = [name for name in dict.fromkeys(self.names.values()) if name not in found]
        if missing and len(self.findings) == before:
            hint = "a value in one of its rows, or without the subject"
            self._find(f"subject '{subject.id}' has no '{missing[0]}', which others have (K1)", hint=hint)
        if not found or len(self.findings) > before:
            return None
        course = Course(tuple(track for track, _ in found.values()))
        return replace(course, given=self._given(subject, found.values())) if course.varies else course

    def _given(self, subject: Subject, found: Collection[tuple[Track, Varying | None]]) -> tuple[Given, ...]:
        """What the record of each dose says; in a tidy table doses have none."""
        given = []
        for k, dose in enumerate(subject.regimen.doses):
            said = [records.at_doses[k] if records and records.at_doses else (dose.time, "") for _, records in found]
            columns = [records.name if records else "" for _, records in found]
            own = tuple(
                self._number(subject, column, text) if column else None
                for column, (_, text) in zip(columns, said, strict=True)
            )
            time = next((time for time, _ in said if time != dose.time), dose.time)
            given.append(Given(time, own))
        return tuple(given)

    def _constant(self, subject: Subject, column: str, name: str) -> float | None:
        if IS in column:
            title, category = column.split(IS)
            said = _texts(subject).get(title, "").casefold()
            return float(said == category) if said else None
        text = dict(subject.covariates).get(column)
        if text is not None:
            return self._number(subject, column, text)
        if column not in WEIGHTS or subject.weight is None:
            return None
        return subject.weight * factor_of(self.model, name, "kg")

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
            return number * factor_of(self.model, name, self.study.covariate(column).unit, where)
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


def _texts(subject: Subject) -> dict[str, str]:
    """Columns of a subject that may hold categories."""
    return {**dict(subject.covariates), "species": subject.species}
