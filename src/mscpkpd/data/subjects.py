"""Subjects and their doses out of the rows of a study, or out of a second table of doses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mscpkpd.data.covariates import Varying
from mscpkpd.data.dose_properties import Properties, bedside_viability, dose_properties, entering, with_spread
from mscpkpd.data.record import KNOWN_COLUMNS
from mscpkpd.data.study import Subject
from mscpkpd.dosing import Dose, Regimen, infusion
from mscpkpd.errors import DosingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mscpkpd.data.cells import Reading
    from mscpkpd.data.tables import Row

__all__ = ["DOSE_COLUMNS", "regimens_of", "subjects_of"]

Given = list[tuple[Dose, Properties]]

# what makes a dose in the rows of a study; rows that repeat all of it speak of the same dose
DOSE_COLUMNS = (
    "dose", "dose_unit", "route", "dose_time", "dose_time_unit", "duration", "duration_unit", "viability",
    "every", "every_unit", "doses", "timed_by", "viability_thaw", "infusion_loss", "cells_per_vial", "dose_activity",
)  # fmt: skip
# in a second table alone: what happens to the states just before a dose
BEFORE = ("steady", "rate", "reset", "event")
DOSE_HINT = "a header such as 'dose [cells/kg]' or a column 'dose_unit'"
UNTREATED_HINT = "its dose, or dose 0 for an untreated control"


def subjects_of(reading: Reading, doses: Reading | None, notes: list[str] | None = None) -> tuple[Subject, ...]:
    """Return the subjects of a table.

    Parameters
    ----------
    reading : Reading
        Tidy table; problems are noted in its findings.
    doses : Reading or None
        Second table with a row for each dose.
    notes : list of str, optional
        Where is noted what a user should know about the doses.

    Returns
    -------
    tuple of Subject
        In order of first appearance, with all that could be read.
    """
    rows = _by_subject(reading)
    notes = [] if notes is None else notes
    given: dict[str, Given]
    if doses is not None:
        given = _second_table(reading, doses, rows, notes)
    elif not reading.table.has("dose"):
        hint = "columns dose, dose_unit and route, or a second table: doses='FILE.csv' or a sheet 'doses'"
        reading.findings.add("no doses", expected="a dose for each subject; 0 for untreated", hint=hint)
        given = {}
    else:
        given = {name: _from_rows(reading, name, own, notes) for name, own in rows.items()}
    return tuple(_subject(reading, name, own, given.get(name, [])) for name, own in rows.items())


def _by_subject(reading: Reading) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in reading.table.rows:
        if row.text("subject"):
            rows.setdefault(row.text("subject"), []).append(row)
    return rows


def _subject(reading: Reading, name: str, rows: Sequence[Row], given: Given) -> Subject:
    regimen = Regimen(tuple(dose for dose, _ in given))
    known = tuple(properties for _, properties in sorted(given, key=lambda pair: pair[0].time))
    weight = None
    weighed = _constant(reading, name, rows, "weight", hint="one weight, that at dosing")
    if weighed is not None:
        weight = reading.measure(
            weighed, "weight", "kg", hint="a header such as 'weight [g]' or a column 'weight_unit'"
        )
        if weight is not None and weight <= 0:
            reading.note(weighed, "weight", f"weight '{weighed.text('weight')}'", expected="a number above 0")
    species = _constant(reading, name, rows, "species", hint="a name of its own for each subject")
    _constant(reading, name, rows, "study", hint="a name of its own for each subject of each study")
    if weight is None and any(dose.unit.endswith("/kg") for dose in regimen.doses):
        hint = "a column 'weight [kg]', or the dose in cells"
        reading.note(rows[0], "weight", f"subject '{name}' is dosed per kg without a weight (T4)", hint=hint)
    constant, varying = _covariates(reading, rows)
    return Subject(name, regimen, weight, species.text("species") if species else "", constant,
                   known if any(known) else (), varying)  # fmt: skip


def _constant(reading: Reading, name: str, rows: Sequence[Row], column: str, hint: str) -> Row | None:
    """Return the first row that states a column which must not change within a subject."""
    stated = [row for row in rows if row.text(column)]
    for row in stated:
        if row.text(column).casefold() != stated[0].text(column).casefold():
            first = f"'{stated[0].text(column)}' in row {stated[0].number}"
            reading.note(row, column, f"'{row.text(column)}' for subject '{name}', but {first}", hint=hint)
            break
    return stated[0] if stated else None


def _covariates(reading: Reading, rows: Sequence[Row]) -> tuple[tuple[tuple[str, str], ...], tuple[Varying, ...]]:
    names = [name for name in dict.fromkeys(name for row in rows for name in row.cells) if name not in KNOWN_COLUMNS]
    constant, varying = [], []
    for name in names:
        texts = {row.text(name) for row in rows if row.text(name)}
        if len(texts) == 1:
            constant.append((name, texts.pop()))
        elif len(texts) > 1:
            varying.append(_varying(reading, rows, name))
    return tuple(constant), tuple(each for each in varying if each is not None)


def _varying(reading: Reading, rows: Sequence[Row], name: str) -> Varying | None:
    """Records of a column in order of time; rows of a tidy table have none (K7)."""
    said = [row for row in rows if row.text(name) and row.text("time")]
    before = len(reading.findings)
    times = [reading.hours(row, "time") for row in said]
    del reading.findings.lines[before:]  # reported with the observations
    timed = sorted(
        ((time, row.text(name)) for time, row in zip(times, said, strict=True) if time is not None),
        key=lambda pair: pair[0],
    )
    return Varying(name, tuple(time for time, _ in timed), tuple(text for _, text in timed)) if timed else None


def _from_rows(reading: Reading, name: str, rows: Sequence[Row], notes: list[str]) -> Given:
    dosed = [row for row in rows if row.text("dose")]
    if not dosed:
        reading.note(rows[0], "dose", f"subject '{name}' has no dose", hint=UNTREATED_HINT)
        return []
    first = dosed[0]
    stated = [column for column in DOSE_COLUMNS if column in reading.table.columns]
    same = [first.text(column) for column in stated]
    for row in dosed[1:]:
        if [row.text(column) for column in stated] != same:
            problem = f"subject '{name}' has another dose in row {first.number}"
            hint = "repeated doses in a second table: doses='FILE.csv', a sheet 'doses' or NAME_doses.csv beside"
            reading.note(row, "dose", problem, expected="one dose for each subject in these columns", hint=hint)
            return []
    lots = {row.text("lot") for row in rows if row.text("lot")}
    lot = lots.pop() if len(lots) == 1 else ""
    return _given(reading, first, "dose_time", lot, notes, fallback=reading.unit(first, "time"))


def _second_table(
    reading: Reading, doses: Reading, rows: Mapping[str, Sequence[Row]], notes: list[str]
) -> dict[str, Given]:
    if reading.table.has("dose"):
        problem = f"doses stand both here and in {doses.table.source}"
        reading.findings.add(problem, column="dose", hint="delete one of them")
        return {}
    given = _given_in(doses, notes)
    for name, own in rows.items() if given or not doses.findings else ():
        if name not in given:
            problem = f"subject '{name}' has no dose in {doses.table.source}"
            reading.note(own[0], "subject", problem, hint=UNTREATED_HINT)
    return given


def regimens_of(doses: Reading) -> dict[str, Regimen]:
    """Return the doses of each subject in a table with a row for each dose; problems are noted in its findings."""
    return {name: Regimen(tuple(dose for dose, _ in given)) for name, given in _given_in(doses, []).items()}


def _given_in(doses: Reading, notes: list[str]) -> dict[str, Given]:
    for column in ("subject", "time", "dose"):
        if column not in doses.table.columns:
            hint = f"columns of {doses.table.source}: {', '.join(doses.table.columns[:20])}"
            doses.findings.add(f"no column '{column}'", expected="subject, time, dose, dose_unit, route", hint=hint)
            return {}
    given: dict[str, Given] = {}
    for row in doses.table.rows:
        name = row.text("subject")
        if not name or not row.text("dose"):
            doses.note(row, "subject" if not name else "dose", "missing", hint="one row for each dose")
            continue
        given.setdefault(name, []).extend(_given(doses, row, "time", row.text("lot"), notes))
    return given


def _given(reading: Reading, row: Row, time_column: str, lot: str, notes: list[str], fallback: str = "") -> Given:
    """Doses of one row, each with its properties (T3)."""
    properties = dose_properties(reading, row)
    return [
        (with_spread(dose, properties), properties)
        for dose in _regimen(reading, row, time_column, lot, notes, fallback)
    ]


def _regimen(reading: Reading, row: Row, time_column: str, lot: str, notes: list[str], fallback: str = "") -> Regimen:
    """Read the dose of one row, with `every` and `doses` where it is repeated; none where it is 0 or wrong."""
    before = len(reading.findings)
    amount, unit = reading.quantity(row, "dose") or (0.0, "")
    if any(row.text(column) for column in BEFORE):
        return _after(reading, row, time_column, lot, amount, unit)
    if amount == 0:
        return Regimen()
    if not unit:
        reading.note(row, "dose", f"dose '{row.text('dose')}' has no unit", hint=DOSE_HINT)
    if amount < 0:
        reading.note(row, "dose", f"negative dose '{row.text('dose')}'", expected="a number above 0 (D10)")
    if not row.text("route"):
        reading.note(row, "route", "missing beside a dose", hint="iv, ia, ip, im, sc, intratracheal, ...")
    amount, unit = entering(reading, row, amount, unit)
    start = reading.hours(row, time_column, fallback) if row.text(time_column) else 0.0
    duration, every = (reading.hours(row, column) for column in ("duration", "every"))
    doses, viable = reading.whole(row, "doses"), bedside_viability(reading, row, notes)
    if len(reading.findings) > before or start is None:
        return Regimen()
    try:
        regimen = infusion(
            f"{amount!r} {unit}", row.text("route"), f"{duration or 0.0!r} h", at=f"{start!r} h",
            every=None if every is None else f"{every!r} h", doses=doses, viable=viable, lot=lot,
        )  # fmt: skip
        timed_by = row.text("timed_by")
        return Regimen(tuple(replace(dose, timed_by=timed_by) for dose in regimen)) if timed_by else regimen
    except DosingError as error:
        column = "viability" if "viable" in error.problem else "dose"
        reading.note(row, column, error.problem, expected=error.expected, hint=error.hint)
        return Regimen()


def _after(reading: Reading, row: Row, time_column: str, lot: str, amount: float, unit: str) -> Regimen:
    """One dose that finds the states reset, or at a steady state (E21 to E34)."""
    time, duration, every = (reading.hours(row, column) or 0.0 for column in (time_column, "duration", "every"))
    rate, viable = reading.number(row, "rate") or 0.0, reading.number(row, "viability")
    try:
        dose = Dose(
            time, amount, unit, row.text("route"), duration, viable, lot, row.text("timed_by"), row.text("steady"),
            every, rate, reset=reading.truth(row, "reset"), event=row.text("event").casefold(),
        )  # fmt: skip
    except DosingError as error:
        reading.note(row, "dose", error.problem, expected=error.expected, hint=error.hint)
        return Regimen()
    return Regimen((dose,))
