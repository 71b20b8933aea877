"""What a value below the limit of quantification counts for: the methods M1 to M7, declared per output (B3 to B10).

========  =============================================  ==========================================================
method    a value that was quantified                    a value below the limit
========  =============================================  ==========================================================
M1        its density                                    is left out
M2        its density, given that it is not below        is left out (B4)
M3        its density                                    the probability below the limit (B5)
M4        its density, given that it is not below 0      the probability between 0 and the limit, given the same (B6)
M5        its density                                    half the limit takes its place (B10)
M6        its density                                    the same, but one for each run of such values (B10)
M7        its density                                    0 takes its place (B10)
========  =============================================  ==========================================================

A row that states both bounds is a probability between them under every method (B8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from mscpkpd.errors import DataError, UnknownName
from mscpkpd.model import BLQ_METHODS, Model, Output
from mscpkpd.observations import Rows

__all__ = ["treated", "with_blq"]

SINGLE = ("value", "left", "right", "interval")
DROPPED = ("M1", "M2", "M6")


def with_blq(model: Model, blq: str | Mapping[str, str] | None) -> Model:
    """Declare methods for values below the limit of quantification.

    Parameters
    ----------
    model : Model
    blq : str, mapping of str to str, or None
        "M1" to "M7" for all outputs, or by output; None leaves the model as it is.

    Returns
    -------
    Model

    Raises
    ------
    UnknownName
        For a method or an output that does not exist.
    """
    if blq is None:
        return model
    chosen = dict.fromkeys(model.output_names, blq) if isinstance(blq, str) else dict(blq)
    for name, method in chosen.items():
        if name not in model.output_names:
            raise UnknownName.among("output", name, model.output_names, where="blq")
        if method not in BLQ_METHODS:
            raise UnknownName.among("method", method, BLQ_METHODS, where="blq")
    return replace(model, outputs=tuple(replace(o, blq=chosen.get(o.name, o.blq)) for o in model.outputs))


def treated(model: Model, rows: Rows) -> Rows:
    """Apply the method of each output to its rows.

    Parameters
    ----------
    model : Model
        Declares the methods.
    rows : Rows
        With all rows below a limit as what they are.

    Returns
    -------
    Rows
        As many: kind "dropped" marks those that a method leaves out; others stand in place of those that it replaces;
        `floor` says where it conditions on not being below something.

    Raises
    ------
    DataError
        With every row that a method cannot take.
    """
    methods = [model.output(name).blq for name in rows.outputs]
    if all(method == "M3" for method in methods):
        return rows
    kind, value, lower = rows.kind.astype("<U8"), rows.value.copy(), rows.lower.copy()
    floor, kept = rows.floor.copy(), np.ones(len(rows), dtype=bool)
    findings: list[DataError] = []
    for k, method in enumerate(methods):
        output, mine = model.output(rows.outputs[k]), rows.output == k
        below = mine & (rows.kind == "left")
        if method in DROPPED:
            kept &= ~below
        if method == "M2":
            floor[mine] = _bounds(rows, mine, below, findings)[mine]
            findings += _beneath(rows, mine & (rows.value < floor))
        elif method == "M4" and output.noise is not None and not (output.noise.is_positive or output.noise.is_count):
            floor[mine & np.isin(kind, SINGLE)] = 0.0
            lower[below], kind[below] = 0.0, "interval"
            inside = mine & (kind == "interval")
            lower[inside] = np.maximum(lower[inside], 0.0)
        elif method in ("M5", "M6", "M7"):
            put = below if method != "M6" else _one_of_each_run(rows, mine, below)
            kept |= put
            value[put], kind[put] = (0.0 if method == "M7" else 0.5 * rows.upper[put]), "value"
            findings += _unable(output, rows, put, value)
    if findings:
        raise DataError.of(findings, where=f"values below the limit of quantification, model '{model.name}'")
    if not np.any(kept):
        hint = "blq = 'M3', which keeps them as what they are"
        raise DataError("every row is below its limit of quantification, and left out", hint=hint)
    kind[~kept] = "dropped"
    return replace(rows, kind=kind, value=value, lower=lower, floor=floor)


def _bounds(rows: Rows, mine: np.ndarray, below: np.ndarray, findings: list[DataError]) -> np.ndarray:
    """The limit above which each quantified row was kept: its own, else the one that all censored rows share (B4)."""
    bound = np.where(mine & (rows.kind == "value"), rows.lloq, np.nan)
    shared = np.unique(rows.upper[below])
    if len(shared) == 1:
        bound = np.where(mine & (rows.kind == "value") & np.isnan(bound), shared[0], bound)
    open_ = np.flatnonzero(mine & (rows.kind == "value") & np.isnan(bound))
    why = "and no row is below one" if len(shared) == 0 else "and those of the rows below one differ"
    for i in open_[: 1 if len(shared) == 0 else None]:
        name = rows.outputs[rows.output[i]]
        problem = f"M2 needs the limit of quantification of '{name}': the row states none, {why} (B4)"
        findings.append(DataError(problem, where=rows.where[i], hint="a column 'lloq', or blq = 'M3'"))
    return np.asarray(bound)


def _beneath(rows: Rows, wrong: np.ndarray) -> Iterator[DataError]:
    for i in np.flatnonzero(wrong):
        problem = f"value {rows.value[i]:g} of '{rows.outputs[rows.output[i]]}' is below the limit of its row (B4)"
        yield DataError(problem, where=rows.where[i], hint="CENS 1, or no limit: M2 is about values above it")


def _one_of_each_run(rows: Rows, mine: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The rows that M6 keeps: the first of each run after a quantified value, the last of one that only precedes."""
    put = np.zeros(len(rows), dtype=bool)
    for series in _series(rows, mine):
        blq = below[series]
        quantified = np.flatnonzero(~blq)
        if len(quantified) == 0:
            continue
        first = quantified[0]
        if first > 0:
            put[series[first - 1]] = True
        put[series[1:][blq[1:] & ~blq[:-1]]] = True
    return put


def _series(rows: Rows, mine: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of single subjects by subject, in the order of their times."""
    single = mine & np.isin(rows.kind, SINGLE)
    subjects = np.array(rows.subject)
    for subject in dict.fromkeys(subjects[single]):
        own = np.flatnonzero(single & (subjects == subject))
        yield own[np.argsort(rows.time[own], kind="stable")]


def _unable(output: Output, rows: Rows, put: np.ndarray, value: np.ndarray) -> Iterator[DataError]:
    """What stands in the place of a value, and cannot be one."""
    noise = output.noise
    for i in np.flatnonzero(put):
        if noise is None or not (noise.is_positive or noise.is_count):
            return
        if (noise.is_positive and value[i] <= 0) or (noise.is_count and value[i] % 1):
            placed = f"{output.blq} puts {value[i]:g} in the place of a value of '{output.name}'"
            yield DataError(f"{placed}, which {noise} excludes (B10)", where=rows.where[i], hint="blq = 'M3'")
