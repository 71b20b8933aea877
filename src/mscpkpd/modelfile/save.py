"""Write a `Model` as one complete model file: rows aligned, nothing left to other files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mscpkpd.errors import UsageError
from mscpkpd.expressions import Expression
from mscpkpd.files import whole_file
from mscpkpd.model import Covariance, Model, Output, Route
from mscpkpd.model.observed import as_described
from mscpkpd.modelfile.findings import FORMAT
from mscpkpd.parameters import Parameter

__all__ = ["save_model"]


def save_model(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write a model as one TOML file that loads to an equal model.

    Parameters
    ----------
    model : Model
        The model.
    path : str or path
        The file; it appears under this name only when it is complete.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        If the file cannot be written, or the model has doses of its own, which a model file does not hold.
    """
    target = Path(path)
    if model.doses:
        hint = "model.to_sbml(path), or replace(model, doses=Regimen()) and a regimen file beside it"
        raise UsageError(f"{len(model.doses)} doses belong to model '{model.name}'", where=str(target), hint=hint)
    with whole_file(target) as part:
        part.write_text("\n".join(_lines(model)) + "\n", encoding="utf-8")
    return target


def _lines(model: Model) -> Iterator[str]:
    model = as_described(model)
    head = {
        "format": FORMAT,
        "name": model.name,
        "title": model.title,
        "about": model.about,
        "time": model.time,
        "values": model.values_name,
        "reference": model.references,
        "conserved": model.conserved,
    }
    yield from _aligned({key: _value(value) for key, value in head.items() if value})
    tables = {
        "parameters": {row.name: _parameter_row(row) for row in model.parameters},
        "states": {row.name: _row({"unit": row.unit, "about": row.about, "start": row.start}) for row in model.states},
        "routes": {row.name: _route_row(row, model.time) for row in model.routes},
        "derived": {
            row.name: _row({"is": row.expression, "unit": row.unit, "about": row.about}) for row in model.derived
        },
        "rates": {state: _value(str(rate)) for state, rate in model.rates},
        "outputs": {row.name: _output_row(row) for row in model.outputs},
        "variability": _variability_rows(model),
        **({"covariance": {row.level: _covariance_row(row) for row in model.covariance}} if model.covariance else {}),
    }
    for table, rows in tables.items():
        yield f"\n[{table}]"
        yield from _aligned(rows)


def _aligned(rows: Mapping[str, str]) -> Iterator[str]:
    width = max((len(key) for key in rows), default=0)
    yield from (f"{key.ljust(width)} = {text}" for key, text in rows.items())


def _value(value: object) -> str:
    """Return a TOML value."""
    if isinstance(value, _Inline):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # a JSON text is a TOML text, but for the character 127
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _entries(entries: Mapping[str, object]) -> str:
    kept = {key: value for key, value in entries.items() if value is not None and value not in ("", ())}
    return ", ".join(f"{key} = {_value(value)}" for key, value in kept.items())


def _row(entries: Mapping[str, object]) -> str:
    return f"{{ {_entries(entries)} }}"


def _parameter_row(row: Parameter) -> str:
    keys = ("value", "unit", "prior", "about", "source", "evidence", "low", "high", "prior_source", "prior_without")
    return _row({key: getattr(row, key) for key in (*keys, "note")})


def _route_row(row: Route, time: str) -> str:
    into = _row({state: fraction for state, fraction in row.into})  # noqa: C416 - the types differ
    timed = {"lag": _time_text(row.lag, time), "duration": _time_text(row.duration, time)}
    rest = _entries({"viable": row.viable, **timed, "rate": row.rate, "about": row.about})
    return f"{{ into = {into}{', ' if rest else ''}{rest} }}"


def _time_text(expression: Expression | None, time: str) -> str | None:
    """A constant time carries its unit in a file."""
    if expression is None or expression.number is None:
        return None if expression is None else str(expression)
    return f"{expression} {time}"


def _output_row(row: Output) -> str:
    shape = {"is": row.expression, "unit": row.unit, "noise": row.noise}
    quantities = _table((name, str(noise)) for name, noise in row.quantities)
    more = {
        "blq": row.blq if row.blq != "M3" else "",
        "detection": row.detection,
        "quantities": quantities,
        "bias": _table(row.bias),
    }
    return _row({**shape, "about": row.about, "organ": row.organ, "method": row.method, **more})


class _Inline(str):
    """A value that is TOML already."""

    __slots__ = ()


def _table(pairs: Iterable[tuple[str, str]]) -> _Inline:
    """A table within a row; blank where it is empty."""
    entries = ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {_value(text)}" for key, text in pairs)
    return _Inline(f"{{ {entries} }}" if entries else "")


def _variability_rows(model: Model) -> dict[str, str]:
    rows: dict[str, dict[str, object]] = {}
    for row in model.variability:
        entries = rows.setdefault(row.parameter, {})
        entries[row.level] = row.sd
        entries.update(shape=row.shape, prior=row.prior, source=row.source, evidence=row.evidence)
    return {name: _row(entries) for name, entries in rows.items()}


def _covariance_row(row: Covariance) -> str:
    correlations = {f"corr_{a}__{b}": number for a, b, number in row.correlations}
    return _row({"form": row.form, "lkj": row.lkj, **correlations})
