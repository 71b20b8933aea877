"""Which layout a table has: tidy, wide, or one that is refused with the step that converts it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mscpkpd.data.record import KNOWN_COLUMNS
from mscpkpd.data.tables import Row, Table
from mscpkpd.errors import DataError, closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mscpkpd.data.findings import Findings

__all__ = ["check_tidy", "tidy_of_wide"]

PER_VALUE = ("output", "value", "unit", "stat", "sd", "n", "lower", "upper", "censoring", "lloq", "uloq")
OTHER_NAMES = {
    "subject": ("id", "animal", "animal_id", "mouse", "rat", "patient", "patient_id", "subject_id", "usubjid"),
    "time": ("time_h", "hours", "hour", "day", "days", "t", "timepoint", "time_point"),
    "output": ("organ", "tissue", "dvid", "ytype", "analyte", "endpoint", "marker", "variable", "compartment"),
    "value": ("dv", "result", "measurement", "conc", "concentration", "y", "observation", "percent", "cells"),
}
LOOKS_NUMERIC = re.compile(r"[<>]?=?\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?")


def check_tidy(table: Table, findings: Findings) -> None:
    """Note each column that a tidy table must have and this one lacks.

    Raises
    ------
    DataError
        If the table looks wide; the message holds the line that reads it.
    """
    missing = [column for column in ("subject", "time", "output", "value") if column not in table.columns]
    if "value" in missing and {"lower", "upper"} <= set(table.columns):
        missing.remove("value")
    outputs = _outputs(table)
    if {"output", "value"} <= set(missing) and outputs and "subject" in table.columns:
        shown = ", ".join(f"'{table.titles[name]}'" for name in outputs[:4])
        raise DataError(
            f"looks wide: no columns 'output' and 'value', but {shown}",
            where=table.source,
            hint=f'read_study("{table.source}", layout="wide")',
        )
    for column in missing:
        near = [name for name in OTHER_NAMES[column] if name in table.columns] or closest(column, table.columns)
        listed = ", ".join(table.columns[:20])
        hint = f"rename '{table.titles[near[0]]}' to '{column}'" if near else f"it has {listed}"
        findings.add(f"no column '{column}'", expected="subject, time, output, value", hint=hint)


def tidy_of_wide(table: Table, findings: Findings, *, unit_given: bool) -> Table:
    """Turn a table with one column for each output into a tidy one.

    Parameters
    ----------
    table : Table
        Columns with a unit in the header are outputs; so are all other columns of numbers.
    findings : Findings
        Where columns without unit are noted.
    unit_given : bool
        Whether the caller stated a unit for all values.

    Returns
    -------
    Table
        One row for each cell that is not missing, numbered as the row it stands in.
    """
    for column in PER_VALUE:
        if column in table.columns:
            hint = "layout='tidy' with one row for each value"
            findings.add(f"column '{column}' in a wide table", expected="one column for each output", hint=hint)
    outputs = _outputs(table)
    if not outputs:
        findings.add("no column of an output", hint="headers such as 'lung_cells [cells]'")
    for name in outputs:
        if not table.units.get(name) and not unit_given:
            title = table.titles[name]
            findings.add("no unit", column=title, hint=f"the header '{title} [cells]', or unit='cells' for all")
    kept = [name for name in table.columns if name not in outputs]
    rows = tuple(tidy for row in table.rows for tidy in _unpivoted(table, row, kept, outputs))
    columns = (*kept, "output", "value", "unit")
    units = {name: unit for name, unit in table.units.items() if name in kept}
    return Table(table.source, columns, units, {name: table.titles.get(name, name) for name in columns}, rows)


def _unpivoted(table: Table, row: Row, kept: Sequence[str], outputs: Sequence[str]) -> Iterator[Row]:
    common = {name: row.cells[name] for name in kept if name in row.cells}
    present = [name for name in outputs if name in row.cells]
    for name in present:
        cells = common | {"output": table.titles[name], "value": row.cells[name]}
        if table.units.get(name):
            cells["unit"] = table.units[name]
        yield Row(row.number, cells, {"value": table.titles[name]})
    if not present:
        yield Row(row.number, common)


def _outputs(table: Table) -> list[str]:
    """Return columns that hold one output each: with a unit in the header, or numbers in all cells."""
    found = []
    for name in table.columns:
        if name in KNOWN_COLUMNS:
            continue
        texts = [row.cells[name] for row in table.rows if name in row.cells]
        if table.units.get(name) or (texts and all(LOOKS_NUMERIC.fullmatch(text) for text in texts)):
            found.append(name)
    return found
