"""A study in other forms: as a NONMEM-style event table, and in numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from mscpkpd.data.dose_properties import stated_amount, stated_viability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mscpkpd.data.dose_properties import Properties
    from mscpkpd.data.record import Record
    from mscpkpd.dosing import Dose

__all__ = ["dose_row", "in_order", "nonmem_frame", "observation_row", "silent_row", "summary_frame",
           "with_silent_rows"]  # fmt: skip

# columns in this order, the others after them; those in which nothing stands are left out
ALWAYS = ("ID", "TIME", "EVID", "AMT", "CMT", "DVID", "DV", "MDV")
FIRST = ("ID", "TIME", "EVID", "AMT", "AMT_UNIT", "RATE", "DUR", "II", "SS", "VIAB", "CMT", "DVID", "DV", "UNIT", "MDV",
         "CENS", "LIMIT", "OCC", "LOT", "STUDY")  # fmt: skip
RATES = {"model rate": -1.0, "model duration": -2.0}
STEADY = {"reached": 1, "added": 2, "constant": 1}
CENS = {"left": 1, "right": -1, "interval": 1}
SAME = ("method", "organ", "replicate", "stat", "sd", "n")


def in_order(doses: Sequence[Dose], records: Sequence[Record]) -> list[Dose | Record]:
    """Return doses and records in order of time; a record after the doses of its time, but for its `pre_dose` (E3)."""
    keyed: list[tuple[tuple[float, int, int], Dose | Record]] = []
    at: dict[float, int] = {}
    for dose in doses:
        at[dose.time] = at.get(dose.time, 0) + 1
        keyed.append(((dose.time, 2 * at[dose.time], 0), dose))
    for number, record in enumerate(records):
        before = max(at.get(record.time, 0) - record.pre_dose, 0)
        keyed.append(((record.time, 2 * before + 1, number), record))
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def dose_row(dose: Dose, properties: Properties = ()) -> dict[str, Any]:
    """Return a dose as a row with EVID 1, 3, 4 or its event; additional doses stand in rows of their own (E17)."""
    if dose.event:  # by its name: numbers of such events clash (D11)
        amount = None if dose.event == "phantom" else dose.amount
        row = {"EVID": dose.event, "AMT": amount, "AMT_UNIT": dose.unit, "CMT": dose.route, "MDV": 1}
        return {"TIME": dose.time, **row}
    if not dose.gives and not dose.steady:  # a reset alone (E32)
        return {"TIME": dose.time, "EVID": 3, "AMT_UNIT": dose.unit, "CMT": dose.route, "MDV": 1}
    rate, amount = RATES.get(dose.timed_by), stated_amount(dose.amount, properties)
    if dose.timed_by == "rate":
        rate = amount / dose.duration
    if dose.rate:
        rate = dose.rate
    timed = {"DUR": dose.duration or None} if rate is None else {"RATE": rate}
    steady = {"II": dose.every or None, "SS": STEADY[dose.steady]} if dose.steady else {}
    return {
        "TIME": dose.time, "EVID": 4 if dose.reset else 1, "AMT": amount, "AMT_UNIT": dose.unit, **timed, **steady,
        "VIAB": stated_viability(dose.viable, properties), "CMT": dose.route, "LOT": dose.lot or None, "MDV": 1,
        **{name.upper(): text for name, text in properties},
    }  # fmt: skip


def observation_row(record: Record, tidy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as a row with EVID 0, from its row in a tidy table."""
    row: dict[str, Any] = {
        "TIME": record.time, "EVID": 0, "CMT": record.output, "DVID": record.output, "MDV": 0, "CENS": 0,
        "UNIT": record.unit, "OCC": record.occasion or None, "LOT": record.lot or None, "STUDY": record.study or None,
    }  # fmt: skip
    row |= {name.upper(): tidy[name] for name in SAME if tidy[name] not in ("", None)}
    if record.stat == "value":
        row.pop("STAT", None)
    if record.kind == "interval":  # B2: DV is the limit of quantification, LIMIT the other bound
        return row | {"DV": record.upper, "LIMIT": record.lower, "CENS": CENS["interval"]}
    if record.kind in CENS:
        return row | {"DV": record.value, "CENS": CENS[record.kind]}
    return row | {"DV": tidy["value"], "LOWER": tidy["lower"], "UPPER": tidy["upper"]}


def silent_row() -> dict[str, Any]:
    """Return the row of a subject that has neither dose nor record: EVID 2 (E35)."""
    return {"TIME": 0.0, "EVID": 2, "CMT": "1", "MDV": 1}


def with_silent_rows(
    rows: Sequence[dict[str, Any]], records: Sequence[tuple[str, Sequence[float], Sequence[str]]]
) -> list[dict[str, Any]]:
    """Return rows with one more, of EVID 2, for each record of a covariate that stands in none of them (E35).

    Parameters
    ----------
    rows : sequence of dict
        In order of time.
    records : sequence of (str, sequence of float, sequence of str)
        Column, times and texts of each covariate.

    Returns
    -------
    list of dict
        In order of time.
    """
    silent: list[dict[str, Any]] = []
    for column, times, texts in records:
        shown = Counter((row["TIME"], row[column]) for row in rows if row.get(column) is not None)
        for said in zip(times, texts, strict=True):
            if shown[said] > 0:
                shown[said] -= 1
                continue
            row = next((row for row in silent if row["TIME"] == said[0] and column not in row), None)
            if row is None:
                silent.append({**silent_row(), "TIME": said[0], "CMT": rows[0]["CMT"], column: said[1]})
            else:
                row[column] = said[1]
    return sorted([*rows, *silent], key=lambda row: row["TIME"])


def nonmem_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with units in the header, or in columns where there are several (D13)."""
    frame = pd.DataFrame(list(rows), dtype=object)
    for column in ALWAYS:
        if column not in frame:
            frame[column] = None
    kept = [column for column in FIRST if column in frame]
    frame = frame[[*kept, *(column for column in frame if column not in kept)]]
    header = {"TIME": "TIME [h]", "DUR": "DUR [h]", "II": "II [h]", "TAD": "TAD [h]", "WEIGHT": "WEIGHT [kg]"}
    for column, unit in (("AMT", "AMT_UNIT"), ("DV", "UNIT")):
        units = list(frame[unit].dropna().unique()) if unit in frame else []
        if len(units) == 1:
            header[column] = f"{column} [{units[0]}]"
            frame = frame.drop(columns=unit)
    empty = [column for column in frame if column not in ALWAYS and not frame[column].notna().any()]
    frame = frame.drop(columns=empty)
    named = any(isinstance(evid, str) for evid in frame["EVID"])
    whole = dict.fromkeys(("MDV",) if named else ("EVID", "MDV"), int)
    return frame.astype(whole).rename(columns=header).reset_index(drop=True)


def summary_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each output, unit and subject, in order of first appearance."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.observed, record.unit, record.subject), []).append(record)
    return pd.DataFrame(
        [_summary(*key, own) for key, own in found.items()],
        columns=["output", "unit", "subject", "n", "censored", "first", "last", "minimum", "maximum"],
    )


def _summary(output: str, unit: str, subject: str, records: Sequence[Record]) -> dict[str, Any]:
    censored = [record for record in records if record.kind in CENS]
    values = [
        math.exp(record.value) if record.kind == "logmean" else record.value
        for record in records
        if record.kind not in CENS
    ]
    times = [record.time for record in records]
    return {
        "output": output, "unit": unit, "subject": subject, "n": len(records), "censored": len(censored),
        "first": min(times), "last": max(times), "minimum": min(values, default=float("nan")),
        "maximum": max(values, default=float("nan")),
    }  # fmt: skip
