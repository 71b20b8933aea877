"""A study: who was dosed how, and what was observed."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.data.after_dose import after_dose
from mscpkpd.data.covariates import COVARIATES, Covariate, Varying, record_rows
from mscpkpd.data.dose_properties import Properties, stated_amount, stated_viability
from mscpkpd.data.exports import (
    dose_row,
    in_order,
    nonmem_frame,
    observation_row,
    silent_row,
    summary_frame,
    with_silent_rows,
)
from mscpkpd.data.record import ASSAY_FIELDS, QUANTITY_FIELDS
from mscpkpd.data.sampling import sampling_frame
from mscpkpd.dosing import Dose
from mscpkpd.errors import DataError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mscpkpd.data.record import Record
    from mscpkpd.dosing import Regimen

__all__ = ["Study", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject, or one group that was reported as a whole.

    Attributes
    ----------
    id : str
        Name in the table.
    regimen : Regimen
        What was given; empty for an untreated control.
    weight : float or None
        Body weight [kg].
    species : str
        Blank if not stated.
    covariates : tuple of (str, str)
        Other columns that are constant within the subject, as text.
    properties : tuple of tuple of (str, str)
        What else is known of each dose, in the order of `regimen`, as text by name (T3): donor, potency, thaw_time,
        viability_thaw, infusion_loss, ... Empty where nothing is.
    varying : tuple of Varying
        Other columns that change within the subject (K1 to K7).
    """

    id: str
    regimen: Regimen
    weight: float | None = None
    species: str = ""
    covariates: tuple[tuple[str, str], ...] = ()
    properties: tuple[Properties, ...] = ()
    varying: tuple[Varying, ...] = ()

    def property_of(self, dose: int, name: str) -> str:
        """Return a property of a dose, counted from 0; blank where it is not stated.

        Parameters
        ----------
        dose : int
            Place of the dose in `regimen`.
        name : str
            Name of the property.
        """
        return dict(self.properties[dose]).get(name, "") if self.properties else ""


@dataclass(frozen=True)
class Study:
    """Checked observations and doses of one table; made by `read_study` and `study_from_frame`.

    Attributes
    ----------
    name : str
        Name of the study, by default that of its file.
    subjects : tuple of Subject
        In order of first appearance.
    records : tuple of Record
        In order of the file (D15).
    source : str
        File, or "frame".
    synthetic : bool
        Whether a row or the file name says SYNTHETIC.
    studies : tuple of str
        Names in the column `study`, in order of first appearance.
    notes : tuple of str
        What was noticed and allowed.
    covariates : tuple of Covariate
        Unit of each column that has one, and the rule of each that changes within a subject (K1).
    """

    name: str
    subjects: tuple[Subject, ...]
    records: tuple[Record, ...]
    source: str = ""
    synthetic: bool = False
    studies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    covariates: tuple[Covariate, ...] = ()
    _by_id: Mapping[str, Subject] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {subject.id: subject for subject in self.subjects})

    def __len__(self) -> int:
        return len(self.records)

    def covariate(self, name: str) -> Covariate:
        """Return what is declared about a covariate.

        Parameters
        ----------
        name : str
            Name of the column, in small letters.
        """
        return next((each for each in self.covariates if each.name == name), Covariate(name))

    def subject(self, id: str) -> Subject:  # noqa: A002  (the name of the attribute)
        """Return a subject by name.

        Parameters
        ----------
        id : str
            Name in the table.

        Raises
        ------
        UnknownName
            With the closest names.
        """
        if id not in self._by_id:
            raise UnknownName.among("subject", id, self._by_id, where=self.source)
        return self._by_id[id]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what was observed, in order of first appearance."""
        return tuple(dict.fromkeys(record.output for record in self.records))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of subjects, doses and records.

        Independent of file name, order of rows and columns, unit of time and columns without a meaning; numbers count
        to 12 digits, so that a study that was saved and read again has the same digest. Numbers that change within a
        subject count where a rule is declared for them (K1).
        """
        rules = {each.name: each.rule for each in self.covariates if each.rule}
        subjects = [
            _plain(asdict(_counted(subject, rules)))
            for subject in sorted(self.subjects, key=lambda subject: subject.id)
        ]
        records = [_stated({**asdict(record), "row": 0, "where": "", "extra": ()}) for record in self.records]
        lines = sorted(json.dumps(_rounded(record), sort_keys=True) for record in records)
        names = sorted({each["name"] for subject in subjects for each in subject.get("varying", ())})
        declared = [[name, rules[name]] for name in names]
        content = json.dumps([_rounded(subjects), lines, *([declared] if declared else [])], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def doses_fit_in_rows(self) -> bool:
        """Whether every subject has at most one dose, so that no second table is needed."""
        lots: dict[str, set[str]] = {}
        for record in self.records:
            lots.setdefault(record.subject, set()).update({record.lot} - {""})
        return all(_fits_in_row(subject, lots.get(subject.id, set())) for subject in self.subjects)

    def to_frame(self, *, tad: bool = False) -> pd.DataFrame:
        """Return the study as a tidy table.

        Parameters
        ----------
        tad : bool
            Whether to add the time after the latest dose [h] as a column (E38).

        Returns
        -------
        DataFrame
            One row for each record, with time [h], and one for each subject without records. Doses stand in the rows
            where `doses_fit_in_rows`; otherwise `study_from_frame` needs `doses_frame` beside. A median and its
            quartiles are on their own scale again.
        """
        observed = {record.subject for record in self.records}
        rows = [self._row(record) | ({"tad": self._after_dose(record)} if tad else {}) for record in self.records]
        rows += [self._subject_row(subject) for subject in self.subjects if subject.id not in observed]
        return pd.DataFrame(rows).rename(columns=self._headers(str))

    def _headers(self, spelled: Callable[[str], str]) -> dict[str, str]:
        """Headers of covariates that have a unit, by the name of the column."""
        units = {spelled(each.name): each.unit for each in self.covariates if each.unit}
        return {name: f"{name} [{unit}]" for name, unit in units.items() if name.casefold() != "weight"}

    def _after_dose(self, record: Record) -> float | None:
        return after_dose(self.subject(record.subject).regimen.doses, record.time, record.pre_dose)

    def to_tidy(self, *, tad: bool = False) -> pd.DataFrame:
        """Return the study as a tidy table; another name of `to_frame`.

        Parameters
        ----------
        tad : bool
            Whether to add the time after the latest dose [h] as a column (E38).
        """
        return self.to_frame(tad=tad)

    def to_nonmem(self, *, tad: bool = False) -> pd.DataFrame:
        """Return the study as a NONMEM-style event table.

        Parameters
        ----------
        tad : bool
            Whether to add the time after the latest dose [h] as a column TAD (E38): 0 on the row of a dose.

        Returns
        -------
        DataFrame
            Subjects one after the other, rows in order of time (D2), with ID, TIME [h], EVID, AMT, CMT (the route),
            DVID (the output), DV, MDV and what else is known. Units stand in the header, or in the columns AMT_UNIT
            and UNIT where there are several. `study_from_frame` reads it back without loss; only a bolus that a route
            may stretch by a duration of its own comes back as a jump (E5).

        Raises
        ------
        DataError
            If a row observes a quantity, such as a half-life (Q1): an event table has no place for it.
        """
        records: dict[str, list[Record]] = {subject.id: [] for subject in self.subjects}
        for record in self.records:
            if record.quantity:
                problem = f"'{record.quantity}' of '{record.output}' has no form in an event table (Q1)"
                raise DataError(problem, where=record.where, hint="study.to_tidy()")
            records[record.subject].append(record)
        rows: list[dict[str, Any]] = []
        for subject in self.subjects:
            common = {"ID": subject.id, "SPECIES": subject.species or None, "WEIGHT": subject.weight}
            common |= {"SYNTHETIC": "true"} if self.synthetic else {}
            common |= {name.upper(): text for name, text in subject.covariates}
            known = dict(zip(map(id, subject.regimen.doses), subject.properties, strict=False))
            own = in_order(subject.regimen.doses, records[subject.id])
            says = _said_by_doses(subject)
            made = [
                {**dose_row(item, known.get(id(item), ())), **says.get(id(item), {})}
                if isinstance(item, Dose)
                else self._observation_row(item)
                for item in own
            ] or [silent_row()]
            if tad:
                made = [{**row, "TAD": after} for row, after in zip(made, _after_each(subject, own), strict=True)]
            made = with_silent_rows(made, [(each.name.upper(), each.times, each.texts) for each in subject.varying])
            rows += [{**common, **row} for row in made]
        return nonmem_frame(rows).rename(columns=self._headers(str.upper))

    def _observation_row(self, record: Record) -> dict[str, Any]:
        other = {name.upper(): text for name, text in record.extra}
        how = {name.upper(): value for name, value in _assay(record).items()}
        return other | observation_row(record, self._row(record)) | how

    def summary(self) -> pd.DataFrame:
        """Return what there is of each output and subject.

        Returns
        -------
        DataFrame
            Columns output, unit, subject, n (all records), censored (how many of them), first and last (times, h),
            minimum and maximum (of the values that are not censored, in `unit`; NaN without any).
        """
        return summary_frame(self.records)

    def sampling(self) -> pd.DataFrame:
        """Return how the study was sampled.

        Returns
        -------
        DataFrame
            One row for each output and method: design ("serial": subjects have several times; "destructive": one time
            for each animal, T9; "batches": each has few of many times; "one time"; "reported means"), subjects, times,
            times_each (most times of one subject), values, replicates (most values of one subject at one time), pooled
            (most subjects in one sample) and shared_samples (samples that another assay has measured, too). With one
            value for each animal, the spread between animals and that of the assay cannot be told apart.
        """
        return sampling_frame(self.records)

    def doses_frame(self) -> pd.DataFrame:
        """Return the doses as the second table of a study: one row for each dose, 0 for an untreated control."""
        return pd.DataFrame([row for subject in self.subjects for row in _dose_rows(subject)])

    def save(self, path: str | Path) -> None:
        """Write the study as CSV, to be read by `read_study`.

        Parameters
        ----------
        path : str or Path
            File; repeated doses go into a second file ``NAME_doses.csv`` beside it, covariates that change into
            ``NAME_covariates.csv``.
        """
        path = Path(path)
        self.to_frame().to_csv(path, index=False)
        if not self.doses_fit_in_rows:
            self.doses_frame().to_csv(path.with_name(f"{path.stem}_doses{path.suffix}"), index=False)
        records = [row for subject in self.subjects for row in record_rows(subject.id, subject.varying, self.covariate)]
        if records:
            pd.DataFrame(records).to_csv(path.with_name(f"{path.stem}_{COVARIATES}{path.suffix}"), index=False)

    def _row(self, record: Record) -> dict[str, Any]:
        row = {name: getattr(record, name) for name in _ROW_FIELDS}
        row |= {"pre_dose": record.pre_dose} if record.pre_dose else {}
        row["censoring"] = record.kind if record.kind in ("left", "right", "interval") else "none"
        if record.kind == "logmean":
            row |= {name: _exp(row[name]) for name in ("value", "lower", "upper")}
        row |= _assay(record)
        row |= {name: said for name in QUANTITY_FIELDS if (said := getattr(record, name)) not in ("", None)}
        row |= {f"{name}_unit": "h" for name in ("time_to", "time_from") if name in row}
        if record.stat != "mean":
            row["sd"] = None  # of a range or a median it is computed again
        return self._subject_row(self.subject(record.subject)) | row | dict(record.extra)

    def _subject_row(self, subject: Subject) -> dict[str, Any]:
        weight_unit = None if subject.weight is None else "kg"
        row = {"subject": subject.id, "species": subject.species, "weight": subject.weight, "weight_unit": weight_unit}
        if self.doses_fit_in_rows:
            dose = next(_dose_rows(subject))
            row |= {_IN_ROW.get(name, name): value for name, value in dose.items() if name not in ("subject", "lot")}
        if self.synthetic:
            row["synthetic"] = "true"
        return row | dict(subject.covariates)

    def __str__(self) -> str:
        count = f"{_count(len(self.subjects), 'subject')}, {_count(len(self.records), 'record')}"
        lines = [f"Study {self.name} ({self.source}): {count}"]
        if self.synthetic:
            lines.append("  SYNTHETIC: not measured")
        species = sorted({subject.species for subject in self.subjects if subject.species})
        if species:
            lines.append(f"  species: {', '.join(species)}")
        lines += [f"  {line}" for line in self._output_lines()]
        regimens = Counter(_doses_text(subject.regimen) for subject in self.subjects)
        lines += [f"  doses: {text} ({_count(number, 'subject')})" for text, number in regimens.items()]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def _output_lines(self) -> Iterator[str]:
        for output in dict.fromkeys(record.observed for record in self.records):
            records = [record for record in self.records if record.observed == output]
            units = ", ".join(dict.fromkeys(record.unit for record in records))
            kinds = Counter(record.kind for record in records)
            counted = ", ".join(f"{number} {_KIND_WORDS[kind]}" for kind, number in kinds.items())
            yield f"{output} [{units}]: {counted}; time {_span([record.time for record in records])}"


_ROW_FIELDS = (
    "subject", "time", "time_unit", "output", "value", "unit", "stat", "sd", "n", "lower", "upper",
    "method", "organ", "study", "occasion", "lot", "replicate",
)  # fmt: skip
_IN_ROW = {"time": "dose_time", "time_unit": "dose_time_unit"}
_KIND_WORDS = {
    "value": "observed",
    "left": "below a limit",
    "right": "above a limit",
    "interval": "between limits",
    "mean": "mean",
    "logmean": "median",
    "count": "counted",
}


def _after_each(subject: Subject, own: Sequence[Dose | Record]) -> Iterator[float | None]:
    """Time after the latest dose of each row of an event table, in its order; the one row of nobody has none."""
    doses = subject.regimen.doses
    for item in own:
        if isinstance(item, Dose):
            done = next(k for k, dose in enumerate(doses, 1) if dose is item)
            yield after_dose(doses[:done], item.time)
        else:
            yield after_dose(doses, item.time, item.pre_dose)
    if not own:
        yield None


def _stated(record: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known of the assay; corrected is corrected, wherever it was done."""
    absent = {name for name in (*ASSAY_FIELDS, *QUANTITY_FIELDS) if record[name] in ("", None)}
    record["decay"] = record["decay"] and "corrected"
    return {name: value for name, value in record.items() if name not in absent}


def _said_by_doses(subject: Subject) -> dict[int, dict[str, str]]:
    """Covariates that change, as the records of the doses state them; additional doses have no record (E16)."""
    found: dict[int, dict[str, str]] = {}
    for each in subject.varying:
        for dose, (time, text) in zip(subject.regimen.doses, each.at_doses, strict=False):
            if text and time == dose.time:
                found.setdefault(id(dose), {})[each.name.upper()] = text
    return found


def _assay(record: Record) -> dict[str, Any]:
    """Columns that say how a value was measured; a value that was corrected for decay is not corrected again (T6)."""
    row = {name: getattr(record, name) for name in ASSAY_FIELDS if getattr(record, name) not in ("", None)}
    if row.pop("decay", ""):
        row["decay_corrected"] = "yes"
    return row | ({"organ_mass_unit": "g"} if "organ_mass" in row else {})


def _counted(subject: Subject, rules: Mapping[str, str]) -> Subject:
    """The subject with those covariates alone that a model may use, at their times."""
    kept = (
        Varying(each.name, each.times, each.texts) for each in subject.varying if rules.get(each.name) and each.numeric
    )
    varying = tuple(sorted(kept, key=lambda each: each.name))
    return replace(subject, varying=varying, covariates=tuple(sorted(subject.covariates)))


def _plain(subject: dict[str, Any]) -> dict[str, Any]:
    """A bolus is a bolus, whether a table says so (E5) or nothing says otherwise; a plain dose says nothing else."""
    for name in ("properties", "varying"):
        if not subject[name]:
            del subject[name]
    for dose in subject["regimen"]["doses"]:
        dose["timed_by"] = dose["timed_by"].replace("bolus", "")
        for name in ("steady", "every", "rate", "reset", "event", "viable_sd", "loss", "loss_sd"):
            if not dose[name]:
                del dose[name]
    return subject


def _rounded(content: Any) -> Any:
    if isinstance(content, float):
        return float(f"{content:.12g}")
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content


def _exp(value: float | None) -> float | None:
    """Undo a logarithm exactly: the shortest number whose logarithm is `value` to the last digit."""
    if value is None:
        return None
    near = math.exp(value)
    shorter = (float(f"{near:.{digits}g}") for digits in (12, 15))
    return next((x for x in (*shorter, *_neighbours(near)) if math.log(x) == value), near)


def _neighbours(x: float) -> Iterator[float]:
    yield x
    above = below = x
    for _ in range(8):
        above, below = math.nextafter(above, math.inf), math.nextafter(below, 0.0)
        yield from (above, below)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _span(times: Iterable[float]) -> str:
    distinct = sorted(set(times))
    if len(distinct) == 1:
        return f"{distinct[0]:g} h"
    return f"{distinct[0]:g} to {distinct[-1]:g} h ({len(distinct)} times)"


def _doses_text(regimen: Regimen) -> str:
    if not regimen.doses:
        return "none (untreated)"
    given = [dose for dose in regimen.doses if dose.gives or dose.steady]
    resets = sum(dose.reset for dose in regimen.doses)
    others = dict.fromkeys(dose.event for dose in regimen.doses if dose.event)
    also = "".join([f", {_count(resets, 'reset')}" if resets else "", *(f", {name}" for name in others)])
    if not given:
        return f"none{also}"
    distinct = dict.fromkeys(f"{_amount_text(dose)} {dose.route}" for dose in given)
    shown = ", ".join(list(distinct)[:3]) + (", ..." if len(distinct) > 3 else "")
    times = _span([dose.time for dose in given])
    return f"{_count(len(given), 'dose')} of {shown} at {times}{also}"


def _amount_text(dose: Dose) -> str:
    known = f"{dose.rate:g} {dose.unit}/h" if dose.rate else "an endless infusion"
    amount = f"{dose.amount:g} {dose.unit}" if dose.gives else known
    return f"{amount} at steady state" if dose.steady else amount


def _fits_in_row(subject: Subject, lots: set[str]) -> bool:
    doses = subject.regimen.doses
    if any(dose.reset or dose.steady or dose.event for dose in doses):
        return False
    return not doses or (len(doses) == 1 and doses[0].lot == (next(iter(lots)) if len(lots) == 1 else ""))


def _dose_rows(subject: Subject) -> Iterator[dict[str, Any]]:
    if not subject.regimen.doses:
        yield {"subject": subject.id, "dose": 0.0}
    known = subject.properties or ((),) * len(subject.regimen)
    for dose, properties in zip(subject.regimen.doses, known, strict=True):
        yield {
            "subject": subject.id,
            "time": dose.time,
            "time_unit": "h",
            "dose": stated_amount(dose.amount, properties),
            "dose_unit": dose.unit,
            "route": dose.route,
            "duration": dose.duration,
            "duration_unit": "h",
            "viability": stated_viability(dose.viable, properties),
            "lot": dose.lot,
            **dict(properties),
            **({"timed_by": dose.timed_by} if dose.timed_by else {}),
            **({"steady": dose.steady, "every": dose.every or None, "every_unit": "h"} if dose.steady else {}),
            **({"rate": dose.rate} if dose.rate else {}),
            **({"reset": "true"} if dose.reset else {}),
            **({"event": dose.event} if dose.event else {}),
        }
