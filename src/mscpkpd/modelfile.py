"""Model files: TOML to `Model` and back, values files, and the shipped library.

A model file has the keys ``format, name, title, about, time, reference, conserved, extend`` and the tables
``[parameters] [states] [routes] [derived] [rates] [outputs] [variability]``, one row a line::

    k_L = { value = 0.0289, unit = "1/h", prior = "lognormal(0.0289, 0.4)", about = "...", source = "...", evidence = "read" }

``extend = "other"`` starts from another model and replaces or adds rows. A values file holds only ``[parameters]``,
each number with its source and evidence, and overlays them on a model.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mscpkpd.errors import InputError, ModelError, MscError, UnitError, UnknownName
from mscpkpd.expressions import Expression, parse
from mscpkpd.model import VIABLE, Derived, Model, Output, Route, State, Variability, check
from mscpkpd.noise import Noise
from mscpkpd.parameters import EVIDENCE, FIXED, Parameter, Prior, number_text
from mscpkpd.units import parse_quantity, to_unit

if TYPE_CHECKING:
    from mscpkpd.dosing import Regimen

__all__ = ["library_path", "load_model", "load_regimen", "models", "read_model", "regimens", "save_model", "values_of"]

FORMAT = 1
LARGEST_FILE = 1_000_000
TABLES = ("parameters", "states", "routes", "derived", "rates", "outputs", "variability")
TEXT_KEYS = ("name", "title", "about", "time", "extend", "values")
LIST_KEYS = ("reference", "conserved")
MODEL_KEYS = ("format", *TEXT_KEYS, *LIST_KEYS, *TABLES)
VALUES_KEYS = ("format", "name", "model", "title", "about", "reference", "parameters")
NUMBER_ORIGIN = ("source", "evidence", "low", "high", "note")
PRIOR_KEYS = ("prior", "prior_source", "prior_without")
PARAMETER_KEYS = ("value", "unit", "prior", "about", *NUMBER_ORIGIN, "prior_source", "prior_without")
STATE_KEYS = ("unit", "about", "start")
ROUTE_KEYS = ("into", "viable", "lag", "duration", "rate", "about")
DERIVED_KEYS = ("is", "unit", "about")
OUTPUT_KEYS = ("is", "unit", "noise", "about", "organ", "method")
COURSE_KEYS = ("route", "amount", "doses", "every", "over", "at")
REGIMEN_KEYS = ("format", "name", "title", "about", "reference", "note", "course")

Table = dict[str, Any]


# ---- library -----------------------------------------------------------------------------------------------------


def library_path() -> Path:
    """Return the folder of the shipped models: inside the package in a wheel, beside ``src`` in an editable install.

    Raises
    ------
    ModelError
        If the installation has no library.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "models", here.parents[2] / "models"):
        if (folder / "pkpd").is_dir():
            return folder
    raise ModelError("the library of models is missing", where=str(here.parent), hint="install mscpkpd again")


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in folder.glob("*.toml"))) if folder.is_dir() else ()


def models() -> tuple[str, ...]:
    """Return the names of the shipped models."""
    return _stems(library_path() / "pkpd")


def regimens() -> tuple[str, ...]:
    """Return the names of the shipped regimens."""
    return _stems(library_path() / "regimens")


def values_of(name: str) -> tuple[str, ...]:
    """Return the names of the values files shipped for a model, those of the models that it extends included."""
    folders = [name]
    file = library_path() / "pkpd" / f"{name}.toml"
    while file.is_file():
        parent = _read_toml(file).get("extend")
        if not isinstance(parent, str) or parent in folders:
            break
        folders.append(parent)
        file = library_path() / "pkpd" / f"{parent}.toml"
    found = (stem for folder in folders for stem in _stems(library_path() / "values" / folder))
    return tuple(sorted(set(found)))


def _locate(kind: str, name: str | os.PathLike[str], folders: Iterable[Path], known: Callable[[], Iterable[str]]) -> Path:
    """Return the file of a shipped name or a path."""
    text = os.fspath(name)
    if isinstance(name, str) and "/" not in text and "\\" not in text:
        for folder in folders:
            if (folder / f"{text}.toml").is_file():
                return folder / f"{text}.toml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".toml" or path.parent != Path():
        raise ModelError(f"there is no file '{text}'", expected=f"the path of a {kind} file, or one of: {', '.join(known())}")
    raise UnknownName.among(kind, text, tuple(known()))


# ---- load --------------------------------------------------------------------------------------------------------


def load_model(name_or_path: str | os.PathLike[str], values: str | os.PathLike[str] | None = None) -> Model:
    """Read a model and check it.

    Parameters
    ----------
    name_or_path : str or path
        A name of the shipped library (`models`) or the path of a model file.
    values : str or path, optional
        A values file: a name that is shipped for the model (`values_of`) or a path.

    Returns
    -------
    Model
        The checked model.

    Raises
    ------
    ModelError
        All findings of the file together, each with table and key; or that numbers are missing, which `values=` gives.
    UnknownName
        For a name that is not in the library; the message holds the closest ones.

    Examples
    --------
    >>> load_model("two_functional_compartments", values="mouse").parameter("k_B").value
    60.0
    """
    return read_model(name_or_path, values)[0]


def read_model(name_or_path: str | os.PathLike[str], values: str | os.PathLike[str] | None = None) -> tuple[Model, tuple[str, ...]]:
    """Read a model as `load_model` does, and return with it the notices of the unit check.

    Returns
    -------
    tuple of (Model, tuple of str)
        The model, and formulas whose unit implies a scale factor other than 1 (none in shipped models).
    """
    path = _locate("model", name_or_path, [library_path() / "pkpd"], models)
    raw, chain = _extended(path, ())
    findings = _Findings(str(path))
    values_name = _text(raw, "values", findings)
    if values is not None:
        values_name = _overlay(raw, values, chain, findings)
    findings.stop()
    model = replace(_build(raw, chain, path.stem, findings), values_name=values_name, source_path=str(path))
    findings.stop()
    return model, check(model, shipped=library_path() in path.resolve().parents)


def _read_toml(path: Path) -> Table:
    """Return the raw content of a file of at most 1 MB."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ModelError(f"the file has {size:,} bytes", where=str(path), expected=f"at most {LARGEST_FILE:,}", hint="check the path")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"not valid TOML: {error}", where=str(path), hint="every key once; texts in quotes; one row a line") from None
    except (UnicodeDecodeError, RecursionError) as error:
        why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "tables nested too deep"
        raise ModelError(why, where=str(path), expected="a TOML file") from None
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _extended(path: Path, above: tuple[Path, ...]) -> tuple[Table, tuple[str, ...]]:
    """Return the content of a model file laid over that of the model it extends, and the names from it upwards."""
    if path in above:
        circle = " -> ".join(file.stem for file in (*above, path))
        raise ModelError(f"models extend each other in a circle: {circle}", where=str(path))
    raw = _read_toml(path)
    name = str(raw.get("name", path.stem))
    parent = raw.pop("extend", None)
    if parent is None:
        return raw, (name,)
    if not isinstance(parent, str):
        raise ModelError(f"extend is {parent!r}", where=str(path), expected="the name or path of a model")
    base, chain = _extended(_locate("model", parent, [path.parent, library_path() / "pkpd"], models), (*above, path))
    for key, value in raw.items():
        if key in TABLES and isinstance(value, dict) and isinstance(base.get(key), dict):
            base[key] = {**base[key], **value}
        else:
            base[key] = value
    return base, (name, *chain)


# ---- findings ----------------------------------------------------------------------------------------------------


@dataclass
class _Findings:
    """What is wrong in one file, collected so that it is reported together (D14)."""

    where: str
    found: list[MscError] = field(default_factory=list)

    def add(self, problem: str, key: str = "", **more: str) -> None:
        self.found.append(ModelError(problem, where=key, **more))

    def attempt(self, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, or note its error and return None."""
        try:
            return make()
        except InputError as error:
            self.found.append(error)
            return None

    def keys(self, row: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        for key in row:
            if key not in known:
                self.found.append(UnknownName.among("key", key, tuple(known), where=where))

    def stop(self) -> None:
        if self.found:
            raise ModelError.of(self.found, where=self.where)


def _text(row: Mapping[str, Any], key: str, findings: _Findings, where: str = "", default: str = "") -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        findings.add(f"{key} is {value!r}", where, expected="a text in quotes")
        return default
    return value


def _number(row: Mapping[str, Any], key: str, findings: _Findings, where: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        findings.add(f"{key} is {value!r}", where, expected="a finite number")
        return None
    return float(value)


def _texts(row: Mapping[str, Any], key: str, findings: _Findings, where: str = "") -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        findings.add(f"{key} is {value!r}", where, expected="a list of texts", hint=f'{key} = ["lee_2009"]')
        return ()
    return tuple(value)


def _rows(raw: Table, table: str, findings: _Findings, shape: type = dict) -> Iterator[tuple[str, Any, str]]:
    """Yield name, row and place of each row of a table that has the right shape."""
    rows = raw.get(table, {})
    if not isinstance(rows, dict):
        findings.add(f"{table} is {rows!r}", expected=f"a table [{table}]")
        return
    for name, row in rows.items():
        where = f"[{table}].{name}"
        if isinstance(row, shape):
            yield name, row, where
        else:
            form = 'a row such as { unit = "1/h" }' if shape is dict else 'a formula in quotes, such as "-k_L*lung"'
            findings.add(f"{row!r}", where, expected=form)


# ---- values files ------------------------------------------------------------------------------------------------


def _overlay(raw: Table, values: str | os.PathLike[str], chain: tuple[str, ...], findings: _Findings) -> str:
    """Lay the parameters of a values file over those of the model; return the name of the values."""
    known = tuple(dict.fromkeys(stem for name in chain for stem in values_of(name)))
    folders = [library_path() / "values" / name for name in chain]
    path = _locate(f"values file of {chain[0]}", values, folders, lambda: known)
    extra = _read_toml(path)
    here = _Findings(str(path))
    here.keys(extra, VALUES_KEYS, "")
    _check_format(extra, here)
    model = _text(extra, "model", here, default=chain[0])
    if model not in chain:
        here.add(f"the values are for the model '{model}'", "model", expected=f"'{chain[0]}'")
    parameters = raw.setdefault("parameters", {})
    for name, row, where in _rows(extra, "parameters", here):
        base = parameters.get(name)
        if not isinstance(base, dict):
            here.found.append(UnknownName.among("parameter", name, tuple(parameters), where=where))
            continue
        here.keys(row, PARAMETER_KEYS, where)
        _check_overlay_row(row, base, here, where)
        kept = {key: value for key, value in base.items() if key not in NUMBER_ORIGIN}
        if "prior" in row:
            kept = {key: value for key, value in kept.items() if key not in PRIOR_KEYS}
        parameters[name] = {**kept, **row}
    if isinstance(extra.get("reference"), list):
        raw["reference"] = list(dict.fromkeys([*raw.get("reference", []), *extra["reference"]]))
    here.stop()
    return _text(extra, "name", findings, default=path.stem)


def _check_overlay_row(row: Table, base: Table, findings: _Findings, where: str) -> None:
    missing = [key for key in ("source", "evidence") if not row.get(key)]
    if missing:
        findings.add(f"no {' and no '.join(missing)}", where, expected="a values file cannot hold a number without a source")
    if "value" not in row:
        findings.add("no value", where, expected="a number")
    if row.get("unit", base.get("unit")) != base.get("unit"):
        hint = "convert the number, and say so in its note"
        findings.add(f"unit is '{row['unit']}'", where, expected=f"'{base.get('unit')}' as in the model", hint=hint)


# ---- raw content to a Model --------------------------------------------------------------------------------------


def _check_format(raw: Table, findings: _Findings) -> None:
    if raw.get("format") != FORMAT or isinstance(raw.get("format"), bool):
        given = f"format is {raw['format']!r}" if "format" in raw else "format is missing"
        findings.add(given, expected=f"format = {FORMAT}", hint="the first line of the file")


def _build(raw: Table, chain: tuple[str, ...], stem: str, findings: _Findings) -> Model:
    findings.keys(raw, MODEL_KEYS, "")
    _check_format(raw, findings)
    for table in ("states", "rates"):
        if table not in raw:
            findings.add(f"there is no table [{table}]", expected=f"a table [{table}]")
    time = _text(raw, "time", findings, default="h")
    parameters = _parameters(raw, chain, findings)
    return Model(
        name=_text(raw, "name", findings, default=stem),
        title=_text(raw, "title", findings),
        about=_text(raw, "about", findings),
        time=time,
        parameters=parameters,
        states=tuple(_states(raw, findings)),
        routes=tuple(_routes(raw, time, findings)),
        derived=tuple(_derived(raw, findings)),
        rates=tuple(_rates(raw, findings)),
        outputs=tuple(_outputs(raw, findings)),
        variability=tuple(_variability(raw, findings)),
        references=_texts(raw, "reference", findings),
        conserved=_texts(raw, "conserved", findings),
    )


def _parameters(raw: Table, chain: tuple[str, ...], findings: _Findings) -> tuple[Parameter, ...]:
    made, open_names = [], []
    for name, row, where in _rows(raw, "parameters", findings):
        findings.keys(row, PARAMETER_KEYS, where)
        if "value" not in row:
            open_names.append(name)
            continue
        count = len(findings.found)
        arguments = _parameter_arguments(row, findings, where)
        if len(findings.found) == count:
            parameter = findings.attempt(lambda name=name, arguments=arguments, where=where: _parameter(name, arguments, where))  # type: ignore[misc]
            made += [parameter] if parameter else []
    if open_names:
        _say_open(open_names, chain, findings)
    return tuple(made)


def _say_open(names: list[str], chain: tuple[str, ...], findings: _Findings) -> None:
    overlays = tuple(dict.fromkeys(stem for model in chain for stem in values_of(model)))
    verb = "has" if len(names) == 1 else "have"
    hint = " or ".join(f"values='{overlay}'" for overlay in overlays) or "value = 0.1 in the row"
    findings.add(f"{', '.join(names)} {verb} no value", "[parameters]", expected="a value in the row or in a values file", hint=hint)


def _parameter_arguments(row: Table, findings: _Findings, where: str) -> Table:
    if "unit" not in row:
        findings.add("no unit", where, expected="a unit", hint='unit = "1/h", or unit = "1" for none')
    without = _text(row, "prior_without", findings, where)
    low, high, value = (_number(row, key, findings, where) for key in ("low", "high", "value"))
    if value and low is not None and high is not None and not low <= value <= high:
        findings.add(f"value {value:g} lies outside its range {low:g} to {high:g}", where, expected="low <= value <= high")
    prior = _text(row, "prior", findings, where, default="fixed")
    return {
        "value": value,
        "unit": _text(row, "unit", findings, where),
        "prior": findings.attempt(lambda: Prior.parse(prior, where)),
        "prior_without": findings.attempt(lambda: Prior.parse(without, where)) if without else None,
        "prior_source": _texts(row, "prior_source", findings, where),
        "evidence": _text(row, "evidence", findings, where, default="assumed"),
        "low": low,
        "high": high,
        **{key: _text(row, key, findings, where) for key in ("about", "source", "note")},
    }


def _parameter(name: str, arguments: Table, where: str) -> Parameter:
    try:
        return Parameter(name, **arguments)
    except InputError as error:
        raise ModelError(error.problem, where=where, expected=error.expected, hint=error.hint) from None


def _formula(text: Any, findings: _Findings, where: str) -> Expression:
    made = findings.attempt(lambda: parse(text, where))
    return made if isinstance(made, Expression) else parse("0")


def _states(raw: Table, findings: _Findings) -> Iterator[State]:
    for name, row, where in _rows(raw, "states", findings):
        findings.keys(row, STATE_KEYS, where)
        _need(row, ("unit",), findings, where)
        start = _formula(row["start"], findings, f"{where}, start") if "start" in row else None
        yield State(name, _text(row, "unit", findings, where, default="1"), _text(row, "about", findings, where), start)


def _need(row: Table, keys: tuple[str, ...], findings: _Findings, where: str) -> None:
    for key in keys:
        if key not in row:
            findings.add(f"no {key}", where, expected=f'{key} = "..."')


def _routes(raw: Table, time: str, findings: _Findings) -> Iterator[Route]:
    for name, row, where in _rows(raw, "routes", findings):
        findings.keys(row, ROUTE_KEYS, where)
        into = row.get("into")
        if not isinstance(into, dict):
            findings.add("no table into" if into is None else f"into is {into!r}", where, expected='into = { blood = "1" }')
            into = {}
        yield Route(
            name=name,
            into=tuple((state, _formula(text, findings, f"{where}, into {state}")) for state, text in into.items()),
            viable=_text(row, "viable", findings, where) or None,
            lag=_timed(row, "lag", time, findings, where),
            duration=_timed(row, "duration", time, findings, where),
            rate=_formula(row["rate"], findings, f"{where}, rate") if "rate" in row else None,
            about=_text(row, "about", findings, where),
        )


def _timed(row: Table, key: str, time: str, findings: _Findings, where: str) -> Expression | None:
    """Read a lag or a duration: a formula, or a quantity such as "30 min"."""
    text = row.get(key)
    if text is None:
        return None
    if isinstance(text, str) and _is_quantity(text):
        hours = findings.attempt(lambda: to_unit(text, time, f"{where}, {key}"))
        return parse(number_text(hours or 0.0))
    made = _formula(text, findings, f"{where}, {key}")
    if made.number:
        findings.add(f"{key} is {text} without a unit", where, expected="a time", hint=f'{key} = "{text} {time}"')
    return made


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except UnitError:
        return False
    return True


def _derived(raw: Table, findings: _Findings) -> Iterator[Derived]:
    for name, row, where in _rows(raw, "derived", findings):
        findings.keys(row, DERIVED_KEYS, where)
        _need(row, ("is", "unit"), findings, where)
        expression = _formula(row.get("is", "0"), findings, where)
        yield Derived(name, _text(row, "unit", findings, where, default="1"), expression, _text(row, "about", findings, where))


def _rates(raw: Table, findings: _Findings) -> Iterator[tuple[str, Expression]]:
    for name, text, where in _rows(raw, "rates", findings, str):
        yield name, _formula(text, findings, where)


def _outputs(raw: Table, findings: _Findings) -> Iterator[Output]:
    for name, row, where in _rows(raw, "outputs", findings):
        findings.keys(row, OUTPUT_KEYS, where)
        _need(row, ("is", "unit"), findings, where)
        text = _text(row, "noise", findings, where)
        noise = findings.attempt(lambda text=text, where=where: Noise.parse(text, f"{where}, noise")) if text else None  # type: ignore[misc]
        texts = {key: _text(row, key, findings, where) for key in ("about", "organ", "method")}
        unit = _text(row, "unit", findings, where, default="1")
        yield Output(name, _formula(row.get("is", "0"), findings, where), unit, noise, **texts)


def _variability(raw: Table, findings: _Findings) -> Iterator[Variability]:
    for name, row, where in _rows(raw, "variability", findings):
        source = _text(row, "source", findings, where)
        evidence = _text(row, "evidence", findings, where, default="assumed")
        if evidence not in EVIDENCE:
            findings.found.append(UnknownName.among("evidence", evidence, EVIDENCE, where=where))
        for level in row:
            sd = _number(row, level, findings, where) if level not in ("source", "evidence") else None
            if sd is not None:
                yield Variability(name, level, sd, source, evidence)


# ---- save --------------------------------------------------------------------------------------------------------


def save_model(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write a model as one complete TOML file that loads to an equal model.

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
    ModelError
        If the file cannot be written.
    """
    target = Path(path)
    part = target.with_name(f"{target.name}.part")
    try:
        part.write_text("\n".join(_toml(model)) + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise ModelError(f"cannot be written: {error.strerror}", where=str(target), hint="an existing folder") from None
    return target


def _toml(model: Model) -> Iterator[str]:
    heads = {
        "format": FORMAT,
        "name": model.name,
        "title": model.title,
        "about": model.about,
        "time": model.time,
        "values": model.values_name,
        "reference": list(model.references),
        "conserved": list(model.conserved),
    }
    yield from _aligned({key: _value(value) for key, value in heads.items() if value})
    tables: dict[str, dict[str, str]] = {
        "parameters": {row.name: _parameter_row(row) for row in model.parameters},
        "states": {row.name: _row({"unit": row.unit, "about": row.about, "start": row.start}) for row in model.states},
        "routes": {row.name: _route_row(row, model.time) for row in model.routes},
        "derived": {row.name: _row({"is": row.expression, "unit": row.unit, "about": row.about}) for row in model.derived},
        "rates": {state: _value(str(rate)) for state, rate in model.rates},
        "outputs": {row.name: _output_row(row) for row in model.outputs},
        "variability": _variability_rows(model),
    }
    for table, rows in tables.items():
        yield f"\n[{table}]"
        yield from _aligned(rows)


def _aligned(rows: Mapping[str, str]) -> Iterator[str]:
    width = max((len(key) for key in rows), default=0)
    yield from (f"{key.ljust(width)} = {text}" for key, text in rows.items())


def _value(value: object) -> str:
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # a JSON text is a TOML text, but for the character 127
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _row(entries: Mapping[str, object]) -> str:
    kept = {key: value for key, value in entries.items() if value is not None and value != "" and value != ()}
    return "{ " + ", ".join(f"{key} = {_value(value)}" for key, value in kept.items()) + " }"


def _parameter_row(row: Parameter) -> str:
    prior = row.prior if row.prior != FIXED else "fixed"
    entries = {"value": row.value, "unit": row.unit, "prior": prior, "about": row.about, "source": row.source, "evidence": row.evidence}
    return _row({**entries, **{key: getattr(row, key) for key in ("low", "high", "prior_source", "prior_without", "note")}})


def _route_row(row: Route, time: str) -> str:
    into = "{ " + ", ".join(f"{state} = {_value(str(fraction))}" for state, fraction in row.into) + " }"
    timed = {key: _time_text(getattr(row, key), time) for key in ("lag", "duration")}
    rest = _row({"viable": row.viable, **timed, "rate": row.rate, "about": row.about}).strip("{ }")
    return "{ into = " + into + (f", {rest}" if rest else "") + " }"


def _time_text(expression: Expression | None, time: str) -> str | None:
    if expression is None:
        return None
    return str(expression) if expression.number is None else f"{expression} {time}"


def _output_row(row: Output) -> str:
    return _row({"is": row.expression, "unit": row.unit, "noise": row.noise, "about": row.about, "organ": row.organ, "method": row.method})


def _variability_rows(model: Model) -> dict[str, str]:
    rows: dict[str, dict[str, object]] = {}
    for row in model.variability:
        entries = rows.setdefault(row.parameter, {})
        entries[row.level] = row.sd
        entries.update({key: value for key, value in (("source", row.source), ("evidence", row.evidence)) if value})
    return {name: _row(entries) for name, entries in rows.items()}


# ---- regimens ----------------------------------------------------------------------------------------------------


def load_regimen(name: str | os.PathLike[str]) -> Regimen:
    """Read a regimen: one or several courses of equal doses, each number with its source and evidence.

    Parameters
    ----------
    name : str or path
        A name of the shipped library (`regimens`) or the path of a regimen file.

    Returns
    -------
    Regimen
        Its `evidence` is the weakest of its numbers; `source` and `note` say which number rests on what.

    Raises
    ------
    ModelError
        All findings of the file together.
    UnknownName
        For a name that is not in the library; the message holds the closest ones.
    """
    path = _locate("regimen", name, [library_path() / "regimens"], regimens)
    raw = _read_toml(path)
    findings = _Findings(str(path))
    findings.keys(raw, REGIMEN_KEYS, "")
    _check_format(raw, findings)
    courses = raw.get("course")
    if not isinstance(courses, list) or not courses or not all(isinstance(course, dict) for course in courses):
        findings.add("there is no [[course]]", expected="one or more tables [[course]]")
        courses = []
    read = [_course(course, f"course {number}", findings) for number, course in enumerate(courses, 1)]
    title, about, note = (_text(raw, key, findings) for key in ("title", "about", "note"))
    stem = _text(raw, "name", findings, default=path.stem)
    findings.stop()
    made = [findings.attempt(lambda course=course: _infusion(course)) for course in read]  # type: ignore[misc]
    findings.stop()
    total = made[0]
    for course in made[1:]:
        total = total + course
    origins = list(dict.fromkeys(origin for course in read for origin in course["origins"]))
    weakest = max((origin[2] for origin in origins), key=EVIDENCE.index)
    source = "; ".join(f"{key}: {source} ({evidence})" for key, source, evidence in origins)
    return replace(total, name=stem, about=". ".join(text for text in (title, about) if text), source=source, evidence=weakest, note=note)


def _course(course: Table, where: str, findings: _Findings) -> Table:
    """Return the plain values of a course, and the origin of each of its numbers."""
    findings.keys(course, COURSE_KEYS, where)
    plain: Table = {"route": _text(course, "route", findings, where), "origins": []}
    if not plain["route"]:
        findings.add("no route", where, expected='route = "iv"')
    for key in COURSE_KEYS[1:]:
        row = course.get(key)
        if row is None:
            if key == "amount":
                findings.add("no amount", where, expected='amount = { value = "2e6 cells/kg", source = "...", evidence = "read" }')
            continue
        if not isinstance(row, dict) or "value" not in row:
            findings.add(f"{key} is {row!r}", where, expected=f'{key} = {{ value = ..., source = "...", evidence = "..." }}')
            continue
        findings.keys(row, ("value", "source", "evidence"), f"{where}, {key}")
        source, evidence = (_text(row, part, findings, f"{where}, {key}") for part in ("source", "evidence"))
        if not source or evidence not in EVIDENCE:
            findings.add(f"source '{source}', evidence '{evidence}'", f"{where}, {key}", expected=f"a source and one of {', '.join(EVIDENCE)}")
            continue
        plain[key] = row["value"]
        plain["origins"].append((key, source, evidence))
    return plain


def _infusion(course: Table) -> Regimen:
    from mscpkpd.dosing import bolus, infusion

    arguments = {key: course[key] for key in ("at", "every", "doses") if key in course}
    if "over" in course:
        return infusion(course["amount"], course["route"], over=course["over"], **arguments)
    return bolus(course["amount"], course["route"], **arguments)
