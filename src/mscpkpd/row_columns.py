"""What a table of row output says beyond its values: CMT, DV, time after dose, prediction, residual (section 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mscpkpd.data.after_dose import after_doses_of_rows
from mscpkpd.data.cells import Reading
from mscpkpd.data.events import Event, by_subject
from mscpkpd.errors import UnitError
from mscpkpd.model import Model
from mscpkpd.units import scale_factor

__all__ = ["observed_by", "row_columns"]


def observed_by(model: Model, events: Sequence[Event]) -> list[str]:
    """Return the output of each row; blank where nothing says which.

    Parameters
    ----------
    model : Model
    events : sequence of Event

    Returns
    -------
    list of str
        That of DVID, else the only one that observes the state CMT (D6), else the only one there is.
    """
    names = (*model.output_names, *model.state_names)
    only = model.output_names[0] if len(model.output_names) == 1 else ""
    of_state = {state: _only_output_of(model, state) for state in model.state_names}
    numbered = {str(n): state for n, state in enumerate(model.state_names, 1)}
    found = []
    for event in events:
        dvid, cmt = event.row.text("dvid"), event.row.text("cmt").removesuffix(".0")
        place = numbered.get(cmt, cmt)
        found.append(dvid if dvid in names else only or ("" if dvid else of_state.get(place, "")))
    return found


def _only_output_of(model: Model, state: str) -> str:
    seeing = [output.name for output in model.outputs if state in output.expression.names]
    return seeing[0] if len(seeing) == 1 else ""


def row_columns(
    model: Model, reading: Reading, rows: Sequence[Event], asked: Sequence[Event], values: Mapping[str, np.ndarray]
) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the columns CMT, DV, TAD, PRED and RES of the asked rows, and what a user should know of them.

    Parameters
    ----------
    model : Model
        Without random effects, so that PRED is what it predicts with the covariates of the row's subject.
    reading : Reading
        The table.
    rows, asked : sequence of Event
        All rows, and those of the output; times in the unit of the model.
    values : mapping of str to array of shape (n_asked,)
        By output, at the asked rows.

    Returns
    -------
    columns : dict of str to list
        TAD in the unit of TIME, PRED and RES in that of the output. RES is missing on rows that are censored (B15) and
        where DV is in a unit that is not that of the output.
    notes : list of str
    """
    after = {id(e): t for own in by_subject(rows).values() for e, t in zip(own, after_doses_of_rows(own), strict=True)}
    unit = reading.table.units.get("time", model.time)
    scale = scale_factor(model.time, unit)
    outputs = observed_by(model, asked)
    pred = [float(values[name][k]) if name in values else math.nan for k, name in enumerate(outputs)]
    seen = [_number(reading, event) for event in asked]
    factors = [_factor(model, reading, event, name) for event, name in zip(asked, outputs, strict=True)]
    res = [y * factor - f for y, factor, f in zip(seen, factors, pred, strict=True)]
    notes = []
    if any(event.observed and not name for event, name in zip(asked, outputs, strict=True)):
        notes.append(f"PRED is missing where nothing says which of {', '.join(model.output_names)} is observed (D6)")
    rows_of_output = zip(asked, factors, outputs, strict=True)
    if any(e.observed and name and math.isnan(factor) and not _censored(e) for e, factor, name in rows_of_output):
        notes.append("RES is missing where DV is in a unit that is not that of the output (D13)")
    return {
        "CMT": [event.row.text("cmt") or None for event in asked], "DV": list(seen),
        "TAD": [float(f"{after[id(event)] * scale:.12g}") for event in asked], "PRED": list(pred), "RES": list(res),
    }, notes  # fmt: skip


def _number(reading: Reading, event: Event) -> float:
    number = reading.number(event.row, "dv") if event.observed else None
    return math.nan if number is None else number


def _censored(event: Event) -> bool:
    return event.row.text("cens") not in ("", "0", "0.0")


def _factor(model: Model, reading: Reading, event: Event, output: str) -> float:
    """From DV to the unit of its output; NaN where there is no residual."""
    if not (event.observed and output) or _censored(event):
        return math.nan
    unit = event.row.text("unit") or reading.table.units.get("dv", "")
    try:
        return scale_factor(unit, model.units[output]) if unit else 1.0
    except UnitError:
        return math.nan
