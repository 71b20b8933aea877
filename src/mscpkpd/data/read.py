"""Read a study: from a file or a frame to checked subjects and records, or one error with everything that is wrong."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mscpkpd.data.assays import PERCENT_OF_DOSE
from mscpkpd.data.cells import Reading
from mscpkpd.data.covariates import COVARIATES, Covariate, declared, records_beside, with_points
from mscpkpd.data.event_checks import check_dialect
from mscpkpd.data.event_study import TAD_NOTE, study_of_events
from mscpkpd.data.events import is_event_table
from mscpkpd.data.findings import Findings
from mscpkpd.data.layout import check_tidy, tidy_of_wide
from mscpkpd.data.record import KNOWN_COLUMNS
from mscpkpd.data.rows import is_observation, record_of
from mscpkpd.data.study import Study
from mscpkpd.data.subjects import regimens_of, subjects_of
from mscpkpd.data.tables import Table, read_table, sheet_names, table_of_frame
from mscpkpd.errors import UsageError
from mscpkpd.units import to_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mscpkpd.data.covariates import Interpolation
    from mscpkpd.data.record import Record
    from mscpkpd.dosing import Regimen

__all__ = ["read_doses", "read_study", "study_from_frame"]

Layout = Literal["tidy", "wide"]
DOSES = "doses"
MOST_NOTES = 20
CLOSED = 2.0  # percent that the shares of a sample may miss by rounding


def read_study(
    path: str | Path,
    *,
    name: str = "",
    sheet: str | None = None,
    layout: Layout = "tidy",
    decimal: str = ".",
    unit: str | None = None,
    time_unit: str | None = None,
    doses: str | Path | pd.DataFrame | None = None,
    amount_unit: str | None = None,
    outputs: str | Mapping[int | str, str] | None = None,
    routes: str | Mapping[int | str, str] | None = None,
    regroup: bool = False,
    dialect: str = "",
    organ_mass: Mapping[str, str] | None = None,
    covariates: Interpolation | None = None,
) -> Study:
    """Read observations and doses from a file: a tidy table, or a NONMEM-style event table.

    Parameters
    ----------
    path : str or Path
        CSV, TSV, Excel or Parquet file, one row for each observation: subject, time, output, value and, where known,
        unit, stat (value, mean, median, range), sd, n, lower, upper, censoring (none, left, right, interval), lod,
        lloq, method, organ, species, route, dose, dose_unit, dose_time, duration, viability, lot, occasion, study,
        weight, replicate, and those of docs/measurements.md: sample, pooled, organ_mass, calibration and others. A
        column quantity says that something else than the output at the time was observed, such as a half-life
        (docs/evidence.md).
        Missing is blank, "." or "NA" (D7). Values may be written "<7.8" or ">500". A table with ID, TIME and
        EVID or AMT is read as NONMEM means it: AMT, RATE, DUR, ADDL, II, CMT, DVID, DV, MDV, CENS, LIMIT, VIAB, OCC.
    name : str
        Name of the study; by default that of the file.
    sheet : str or None
        Sheet of an Excel file; by default the first.
    layout : "tidy" or "wide"
        "wide": one column for each output, with its unit in the header, such as ``lung_cells [cells]``.
    decimal : "." or ","
        Decimal sign.
    unit, time_unit : str or None
        Unit of the values and of the times where neither a column nor the header states one. Units are never guessed.
    doses : path, DataFrame or None
        Second table with a row for each dose: subject, time, dose, dose_unit, route, and where needed duration,
        viability, lot, every and doses. By default a sheet ``doses`` of the same file, or a file ``NAME_doses`` beside
        it, if there is one. An event table has none.
    amount_unit : str or None
        Unit of AMT of an event table where the header, such as ``AMT [cells]``, does not state it.
    outputs : str or mapping, optional
        Names of what an event table observes: by DVID, else by CMT, ``{1: "conc"}``; one name for everything.
    routes : str or mapping, optional
        Routes by the CMT of a dose, ``{1: "iv"}``; one for all. A number without a name is a state of the model (D6).
    regroup : bool
        Whether rows of one subject of an event table may stand apart (D1).
    dialect : "", "rxode2" or "mrgsolve"
        Whose numbers of EVID above 4 an event table uses (D11); the names replace, multiply and phantom are always
        read.
    organ_mass : mapping of str to str, optional
        Masses of organs or outputs, such as ``{"lung": "0.17 g"}``, where no column `organ_mass` has them (T7).
    covariates : str or mapping of str to str, optional
        What holds between the records of a column that changes within a subject and is called as a parameter: "locf",
        "nocb" or "linear", for all columns or by name, ``{"WT": "linear"}``. An event table is "nocb" by default; a
        tidy table must declare it before a model can use such a column (K1).

    Returns
    -------
    Study
        Times in hours; values in their own units, percent of dose as "%ID" or "%ID/g".

    Raises
    ------
    DataError
        With everything that is wrong, by row and column, and what to try (D14).
    UsageError
        For an unknown layout, decimal sign or dialect, or doses beside an event table.

    Notes
    -----
    Columns follow rules D1 to D15, censoring B1, B2 and B14, summaries B16 (mean and sd of one subject behind a range
    or a median), amounts per body weight T4. Rows of a tidy table need no order. Rows of an event table do (E1): an
    observation before a dose of the same time is of the time before it (E3).
    """
    path = Path(path)
    check_dialect(dialect)
    with _without_collection():
        table = read_table(path, sheet)
        if is_event_table(table):
            reading = _event_reading(table, decimal, unit, time_unit, amount_unit, doses, organ_mass)
            return study_of_events(
                reading, name or path.stem, outputs, routes, regroup=regroup, dialect=dialect, covariates=covariates
            )
        found, notes = _dose_table(path, sheet, doses)
        study = _study(table, found, notes, name or path.stem, layout, decimal, unit, time_unit, organ_mass, covariates)
        beside = path.with_name(f"{path.stem}_{COVARIATES}{path.suffix}")
        return _with_records(study, read_table(beside)) if beside.is_file() else study


def study_from_frame(
    frame: pd.DataFrame,
    doses: str | Path | pd.DataFrame | None = None,
    *,
    name: str = "frame",
    layout: Layout = "tidy",
    decimal: str = ".",
    unit: str | None = None,
    time_unit: str | None = None,
    amount_unit: str | None = None,
    outputs: str | Mapping[int | str, str] | None = None,
    routes: str | Mapping[int | str, str] | None = None,
    regroup: bool = False,
    dialect: str = "",
    organ_mass: Mapping[str, str] | None = None,
    covariates: Interpolation | None = None,
) -> Study:
    """Read observations and doses from a DataFrame.

    Parameters
    ----------
    frame : DataFrame
        Columns as in `read_study`; the index is ignored. Messages count rows as in a CSV file: the first is row 2.
    doses : path, DataFrame or None
        Second table with a row for each dose.
    name, layout, decimal, unit, time_unit, amount_unit, outputs, routes, regroup, dialect, organ_mass, covariates
        As for `read_study`.

    Returns
    -------
    Study
        As for `read_study`.

    Raises
    ------
    DataError
        As for `read_study`.

    Notes
    -----
    Rules as for `read_study`.
    """
    check_dialect(dialect)
    with _without_collection():
        table = table_of_frame(frame)
        if is_event_table(table):
            reading = _event_reading(table, decimal, unit, time_unit, amount_unit, doses, organ_mass)
            return study_of_events(
                reading, name, outputs, routes, regroup=regroup, dialect=dialect, covariates=covariates
            )
        found, notes = _dose_table(None, None, doses)
        return _study(table, found, notes, name, layout, decimal, unit, time_unit, organ_mass, covariates)


def read_doses(path: str | Path, *, decimal: str = ".", time_unit: str | None = None) -> dict[str, Regimen]:
    """Read a table of doses without its study, to check it.

    Parameters
    ----------
    path : str or Path
        Columns as in the second table of `read_study`.
    decimal : "." or ","
        Decimal sign.
    time_unit : str or None
        Unit of the times where neither a column nor the header states one.

    Returns
    -------
    dict of str to Regimen
        By subject, in order of the file.

    Raises
    ------
    DataError
        With everything that is wrong, by row and column.
    """
    table = read_table(path, _doses_sheet(Path(path)))
    reading = Reading(table, Findings(table.source), decimal, {"time": time_unit} if time_unit else {})
    regimens = regimens_of(reading)
    reading.findings.stop()
    return regimens


@contextmanager
def _without_collection() -> Iterator[None]:
    """Hold back the garbage collector: a long table makes many objects, no cycles, and each pass visits all of them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _event_reading(  # noqa: PLR0917  (all of them, once, from the two public functions)
    table: Table,
    decimal: str,
    unit: str | None,
    time_unit: str | None,
    amount_unit: str | None,
    doses: str | Path | pd.DataFrame | None,
    organ_mass: Mapping[str, str] | None,
) -> Reading:
    if decimal not in (".", ","):
        raise UsageError(f"decimal = {decimal!r}", expected="'.' or ','")
    if doses is not None:
        raise UsageError("doses beside an event table", where=table.source, hint="its rows with EVID 1 are the doses")
    stated = {"dv": unit, "time": time_unit, "amt": amount_unit}
    given = {column: text for column, text in stated.items() if text}
    return Reading(table, Findings(table.source), decimal, given, _masses(organ_mass))


def _dose_table(
    path: Path | None, sheet: str | None, doses: str | Path | pd.DataFrame | None
) -> tuple[Table | None, list[str]]:
    if isinstance(doses, pd.DataFrame):
        return table_of_frame(doses, "doses frame"), []
    if doses is not None:
        return read_table(doses, _doses_sheet(Path(doses))), []
    if path is None:
        return None, []
    own = _doses_sheet(path)
    if own is not None and own != sheet and sheet_names(path)[0] != own:
        return read_table(path, own), [f"doses from the sheet '{own}'"]
    beside = path.with_name(f"{path.stem}_{DOSES}{path.suffix}")
    if beside.is_file():
        return read_table(beside, _doses_sheet(beside)), [f"doses from {beside.name}"]
    return None, []


def _doses_sheet(path: Path) -> str | None:
    return next((sheet for sheet in sheet_names(path) if sheet.strip().casefold() == DOSES), None)


def _study(  # noqa: PLR0917  (all of them, once, from the two public functions)
    table: Table,
    doses: Table | None,
    notes: list[str],
    name: str,
    layout: Layout,
    decimal: str,
    unit: str | None,
    time_unit: str | None,
    organ_mass: Mapping[str, str] | None,
    covariates: Interpolation | None,
) -> Study:
    if layout not in ("tidy", "wide"):
        raise UsageError(f"layout = {layout!r}", expected="'tidy' or 'wide'")
    if decimal not in (".", ","):
        raise UsageError(f"decimal = {decimal!r}", expected="'.' or ','")
    findings = Findings(table.source)
    if layout == "wide":
        table = tidy_of_wide(table, findings, unit_given=unit is not None)
        findings.stop()
    check_tidy(table, findings)
    findings.stop()
    table = with_points(table, decimal, KNOWN_COLUMNS)
    times = {"time": time_unit, "dose_time": time_unit}
    stated = {column: text for column, text in {"value": unit, **times}.items() if text}
    reading = Reading(table, findings, decimal, stated, _masses(organ_mass))
    second = None if doses is None else Reading(doses, Findings(doses.source), decimal, stated)
    records = _records(reading, notes)
    if findings.full:
        findings.stop()
    subjects = subjects_of(reading, second, notes)
    _check_repeats(records, findings)
    if not records and not findings.lines:
        findings.add("no observation", hint="rows with an output and a value")
    if second is not None:
        findings.lines += [f"{second.table.source}: {line}" for line in second.findings.lines]
    findings.stop()
    notes += _sums(records)
    interpolation = declared(covariates, "", table.columns)
    changing = dict.fromkeys(each.name for subject in subjects for each in subject.varying)
    kept = (name for name in table.columns if name not in KNOWN_COLUMNS)
    known = [
        Covariate(each, table.units.get(each, ""), interpolation.of(each) if each in changing else "") for each in kept
    ]
    notes += [f"{each.name} varies within a subject: {each.rule} between its records, where a model uses it (K1)"
              for each in known if each.rule]  # fmt: skip
    notes += [TAD_NOTE] if "tad" in table.columns else []
    return Study(
        name,
        subjects,
        tuple(records),
        table.source,
        "SYNTHETIC" in table.source.upper() or any(reading.truth(row, "synthetic") for row in table.rows),
        tuple(dict.fromkeys(row.text("study") for row in table.rows if row.text("study"))),
        _at_most(notes),
        tuple(each for each in known if each.unit or each.rule),
    )


def _with_records(study: Study, table: Table) -> Study:
    """The study with the covariates that `Study.save` has written beside it."""
    varying, known = records_beside(table)
    subjects = []
    for each in study.subjects:
        own = tuple(varying.get(each.id, ()))
        changing = {record.name for record in own}  # of which the rows of observations may show one value alone
        constant = tuple(pair for pair in each.covariates if pair[0] not in changing)
        subjects.append(replace(each, varying=own, covariates=constant))
    stated = {**{each.name: each for each in study.covariates}, **known}
    notes = (f"{each.name} varies within a subject: {each.rule} between its records, where a model uses it (K1)"
             for each in known.values() if each.rule)  # fmt: skip
    return replace(
        study, subjects=tuple(subjects), covariates=tuple(stated.values()), notes=_at_most([*study.notes, *notes])
    )


def _masses(organ_mass: Mapping[str, str] | None) -> dict[str, float]:
    """Masses of organs [g] out of the argument of that name (T7)."""
    if organ_mass is None:
        return {}
    hint = "organ_mass={'lung': '0.17 g'}"
    if not isinstance(organ_mass, Mapping):
        raise UsageError(f"organ_mass = {organ_mass!r}", expected="masses by organ or output", hint=hint)
    masses = {name: to_unit(mass, "g", where=f"organ_mass of {name}") for name, mass in organ_mass.items()}
    for name, mass in masses.items():
        if not mass > 0:
            raise UsageError(f"organ_mass of '{name}' is {organ_mass[name]}", expected="a mass above 0", hint=hint)
    return masses


def _records(reading: Reading, notes: list[str]) -> list[Record]:
    records = []
    unobserved = 0
    for row in reading.table.rows:
        if not is_observation(row):
            unobserved += bool(row.text("output"))
            continue
        record, remark = record_of(reading, row)
        if record is not None:
            records.append(record)
        if remark:
            notes.append(remark)
        if reading.findings.full:
            break
    if unobserved:
        notes.append(f"{unobserved} row{'s' if unobserved > 1 else ''} without a value left out")
    return records


def _check_repeats(records: Sequence[Record], findings: Findings) -> None:
    """Refuse two rows that say the same thing twice."""
    first: dict[tuple[object, ...], int] = {}
    for record in records:
        key = (record.subject, record.study, record.time, record.output, record.method, record.lot, record.sample)
        of = (record.quantity, record.versus, record.versus_subject, record.time_to, record.time_from)
        row = first.setdefault((*key, record.replicate, record.occasion, record.pre_dose, *of), record.row)
        if row != record.row:
            problem = (
                f"subject '{record.subject}', time {record.time:g} h, output '{record.observed}' also in row {row}"
            )
            findings.add(problem, row=record.row, hint="a column 'replicate' with 1, 2, ..., or delete one of them")


def _sums(records: Sequence[Record]) -> Iterator[str]:
    """Note where the organs of a subject hold more than its dose: possible within error, but worth a look."""
    sums: dict[tuple[str, float, str], dict[str, float]] = defaultdict(dict)
    for record in records:
        if record.unit == PERCENT_OF_DOSE and record.kind in ("value", "mean") and record.quantity in ("", "share"):
            sums[record.subject, record.time, record.method][record.output] = record.value
    yield from _shares(records)
    for (subject, time, _), values in sums.items():
        total = sum(values.values())
        if total > 100 and len(values) > 1:
            yield f"subject '{subject}' at {time:g} h: {len(values)} outputs sum to {total:.4g} %ID, more than the dose"


def _shares(records: Sequence[Record]) -> Iterator[str]:
    """Note where more was recovered than given, and where shares of a sample are no shares of all of it (Q5)."""
    whole: dict[tuple[str, float, str], float] = defaultdict(float)
    for record in records:
        hundred = record.value if record.unit in ("%", PERCENT_OF_DOSE) else 100 * record.value
        if record.quantity == "recovery" and hundred > 100:
            yield f"subject '{record.subject}' at {record.time:g} h: {hundred:.4g} % of the dose recovered"
        if record.quantity == "share" and record.unit != PERCENT_OF_DOSE:
            whole[record.subject, record.time, record.sample] += hundred
    for (subject, time, _), total in whole.items():
        if abs(total - 100) > CLOSED:
            yield f"subject '{subject}' at {time:g} h: shares add up to {total:.4g} %; they are taken as parts of that"


def _at_most(notes: Sequence[str]) -> tuple[str, ...]:
    if len(notes) <= MOST_NOTES:
        return tuple(notes)
    return (*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more notes")
