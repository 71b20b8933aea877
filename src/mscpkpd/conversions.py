"""A value of an assay in the unit of an output: shares of the dose, mass of the organ, calibration (T5 to T7)."""

from __future__ import annotations

import re

from mscpkpd.data import PERCENT_OF_DOSE, PERCENT_PER_GRAM, Record, Subject
from mscpkpd.errors import DataError, UnitError
from mscpkpd.model import Output
from mscpkpd.units import same_dimension, scale_factor, to_unit

__all__ = ["factor_of", "given_by"]

ACTIVITY = re.compile(r"[pnumkMG]?(?:Bq|Ci)")
PER_GRAM = re.compile(r"(?P<counted>.+)/\s*[a-z]*g")


def factor_of(output: Output, subject: Subject, record: Record) -> float:
    """Return what turns the value of a record into the unit of the output that it observes.

    Parameters
    ----------
    output : Output
        Of the model.
    subject : Subject
        Whose doses a share of the dose is of.
    record : Record
        Its unit, and the mass of the organ and the calibration where they are stated.

    Returns
    -------
    float
        [unit of the output/unit of the record].

    Raises
    ------
    UnitError, DataError
        For a unit that nothing turns into that of the output; says what is missing.
    """
    if record.unit == PERCENT_OF_DOSE and record.quantity in ("share", "recovery"):
        return 0.01  # of what was found, or of the dose, as the quantity says (Q5)
    if record.unit == PERCENT_OF_DOSE:
        return _share(output, subject, record)
    if record.unit == PERCENT_PER_GRAM:
        return _mass(output, record) * _share(output, subject, record)
    if same_dimension(record.unit, output.unit):
        return scale_factor(record.unit, output.unit, where=record.where)
    if record.calibration is not None:
        return _calibrated(output, record)
    if ACTIVITY.fullmatch(record.unit) and output.unit == "cells":
        return _active(subject, record)
    per_organ = f"({record.unit})*g"
    if PER_GRAM.fullmatch(record.unit) and same_dimension(per_organ, output.unit):
        return _mass(output, record) * scale_factor(per_organ, output.unit, where=record.where)
    return scale_factor(record.unit, output.unit, where=record.where)  # says what the two units are


def _share(output: Output, subject: Subject, record: Record) -> float:
    """Percent of the dose given so far, as cells."""
    given = given_by(subject, record)
    if given <= 0:
        problem = f"{record.value:g} {record.unit} at a time before any dose"
        raise DataError(problem, where=record.where, hint="a dose time before the row")
    if output.unit != "cells":
        raise UnitError(
            f"{record.unit} cannot be an amount of '{output.name}' [{output.unit}]",
            where=record.where,
            expected="an output in cells",
            hint="one of the *_label or *_cells outputs",
        )
    return given / 100.0


def given_by(subject: Subject, record: Record) -> float:
    """Return the amount of all doses until a record, in the absolute unit of the doses."""
    """Return the amount of all doses until a record, in the absolute unit of the doses."""
    return sum(dose.cells(subject.weight) for dose in subject.regimen.doses if dose.time <= _hours(record))


def _hours(record: Record) -> float:
    return record.time * to_unit(f"1 {record.time_unit}", "h", where=record.where)


def _mass(output: Output, record: Record) -> float:
    """Mass of the organ [g]; amounts per gram become amounts per organ only with it (T7)."""
    if record.organ_mass is None:
        organ = record.organ or output.name
        raise UnitError(
            f"{record.unit} of '{organ}' needs the mass of '{organ}' to be an amount of '{output.name}' (T7)",
            where=record.where,
            hint=f"a column 'organ_mass [g]', or organ_mass={{'{organ}': '0.2 g'}} in read_study",
        )
    return record.organ_mass


def _calibrated(output: Output, record: Record) -> float:
    """Signal over the signal of one unit of what is counted (T5)."""
    counted = f"({record.unit})/({record.calibration_unit})"
    if not same_dimension(counted, output.unit):
        raise UnitError(
            f"calibration in {record.calibration_unit} does not turn {record.unit} into {output.unit} (T5)",
            where=record.where,
            expected=f"{record.unit} for each {output.unit}",
        )
    return scale_factor(counted, output.unit, where=record.where) / float(record.calibration or 1.0)


def _active(subject: Subject, record: Record) -> float:
    """Activity over that of the doses so far, times the cells of these doses; decay-corrected alike (T6)."""
    if not record.decay:
        raise DataError(
            f"{record.unit} without saying whether it is decay-corrected (T6)", where=record.where,
            hint="a column 'decay_corrected' with yes, or no beside a half-life",
        )  # fmt: skip
    activity = 0.0
    for place, dose in enumerate(subject.regimen.doses):
        if dose.time > _hours(record):
            break
        if not dose.gives:
            continue
        stated = subject.property_of(place, "dose_activity")
        if not stated:
            raise DataError(
                f"{record.unit} becomes cells only through the activity of the dose (T5)", where=record.where,
                hint="a column 'dose_activity [MBq]', at the reference time of the values",
            )  # fmt: skip
        activity += to_unit(stated, "MBq", where=record.where)
    if activity <= 0:
        problem = f"{record.value:g} {record.unit} at a time before any dose"
        raise DataError(problem, where=record.where, hint="a dose time before the row")
    return scale_factor(record.unit, "MBq") * given_by(subject, record) / activity
