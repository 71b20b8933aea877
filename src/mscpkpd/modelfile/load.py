"""Read a model file, with what it extends and with a values file laid over it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.model import Model, check
from mscpkpd.modelfile import rows
from mscpkpd.modelfile.findings import Findings
from mscpkpd.modelfile.library import Table, library_path, locate, models, read_toml, values_of

__all__ = ["Declaration", "declaration", "load_model"]

TABLES = ("parameters", "states", "routes", "derived", "rates", "outputs", "variability")
MODEL_KEYS = ("format", "name", "title", "about", "time", "extend", "values", "reference", "conserved", *TABLES)
VALUES_KEYS = ("format", "name", "model", "title", "about", "reference", "parameters")
# what belongs to a number, and is dropped with it where a values file gives another
NUMBER_KEYS = ("value", "source", "evidence", "low", "high", "note")
PRIOR_KEYS = ("prior", "prior_source", "prior_without")


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
        The checked model. Its `notices` name formulas whose unit has the right dimension and another size.

    Raises
    ------
    ModelError
        All findings of the file together, each with table and key; or that numbers are missing, which `values=` gives.
    UnknownName
        For a name that is not in the library; the message holds the closest ones.

    Notes
    -----
    The format is a convention of this package: every number stands with its unit, prior, source and evidence, and
    each rate, route and output is checked for its unit. A model that extends another, or takes values from a file,
    is checked as a whole.

    Examples
    --------
    >>> load_model("two_functional_compartments", values="mouse").parameter("k_B").value
    60.0
    """
    path = locate("model", name_or_path, [library_path() / "pkpd"], models())
    raw, chain = _extended(path, ())
    if values is not None:
        raw["values"] = _overlay(raw, values, chain)
    findings = Findings(str(path))
    model = replace(_model(raw, chain, findings), source_path=str(path))
    findings.stop()
    return replace(model, notices=check(model, shipped=library_path() in path.resolve().parents))


@dataclass(frozen=True)
class Declaration:
    """What a model file says before any numbers are laid over it.

    Attributes
    ----------
    name, title, about : str
        As in the file.
    parameters : dict of str to dict
        Raw rows of the table of parameters.
    without_value : tuple of str
        Parameters that take their number from a values file.
    overlays : tuple of str
        Values files that are shipped for the model.
    """

    name: str
    title: str
    about: str
    parameters: dict[str, Table]
    without_value: tuple[str, ...]
    overlays: tuple[str, ...]


def declaration(name_or_path: str | os.PathLike[str]) -> Declaration:
    """Read what a model declares, also one whose numbers are in values files; formulas are not checked.

    Parameters
    ----------
    name_or_path : str or path
        As for `load_model`.

    Raises
    ------
    ModelError
        For a file that cannot be read.
    UnknownName
        For a name that is not in the library.
    """
    path = locate("model", name_or_path, [library_path() / "pkpd"], models())
    raw, chain = _extended(path, ())
    table = raw.get("parameters")
    rows = {name: row for name, row in table.items() if isinstance(row, dict)} if isinstance(table, dict) else {}
    title, about = (str(raw.get(key, "")) for key in ("title", "about"))
    missing = tuple(name for name, row in rows.items() if "value" not in row)
    return Declaration(chain[0], title, about, rows, missing, _overlays(chain))


def _extended(path: Path, above: tuple[Path, ...]) -> tuple[Table, tuple[str, ...]]:
    """Return the content of a model file laid over that of the model it extends, and their names, from it upwards."""
    if path in above:
        circle = " -> ".join(file.stem for file in (*above, path))
        raise ModelError(f"models extend each other in a circle: {circle}", where=str(path))
    raw = read_toml(path)
    name = str(raw.get("name", path.stem))
    parent = raw.pop("extend", None)
    if parent is None:
        return raw, (name,)
    if not isinstance(parent, str):
        raise ModelError(f"extend is {parent!r}", where=str(path), expected="the name or path of a model")
    base, chain = _extended(_parent_file(parent, path), (*above, path))
    for key, value in raw.items():
        both = key in TABLES and isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **value} if both else value
    return base, (name, *chain)


def _parent_file(parent: str, path: Path) -> Path:
    """Return the file that `extend` means: a path from the folder of the file, a shipped name, or a file beside it."""
    beside = path.parent / parent
    return beside if beside.is_file() else locate("model", parent, [library_path() / "pkpd", path.parent], models())


def _overlays(chain: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stem for name in chain for stem in values_of(name)))


# ---- values files ------------------------------------------------------------------------------------------------


def _overlay(raw: Table, values: str | os.PathLike[str], chain: tuple[str, ...]) -> str:
    """Lay the parameters of a values file over those of the model; return the name of the values."""
    known = _overlays(chain)
    folders = [library_path() / "values" / name for name in chain]
    path = locate(f"values file of {chain[0]}", values, folders, known)
    extra = read_toml(path)
    findings = Findings(str(path))
    findings.keys(extra, VALUES_KEYS)
    findings.format(extra)
    name, model = findings.text(extra, "name", default=path.stem), findings.text(extra, "model", default=chain[0])
    if model not in chain:
        findings.add(f"these values are for the model '{model}'", "model", expected=f"'{chain[0]}'")
    parameters = raw["parameters"] if isinstance(raw.get("parameters"), dict) else {}
    for parameter, row, where in findings.rows(extra, "parameters"):
        if isinstance(parameters.get(parameter), dict):
            parameters[parameter] = _overlaid(parameters[parameter], row, findings, where)
        else:
            findings.found.append(UnknownName.among("parameter", parameter, tuple(parameters), where=where))
    references = findings.texts(extra, "reference")
    findings.stop()
    if isinstance(raw.setdefault("reference", []), list):
        raw["reference"] += [key for key in references if key not in raw["reference"]]
    return name


def _overlaid(base: Table, row: Table, findings: Findings, where: str) -> Table:
    """Return a row of the model with the number of a values file; its prior stays where the file gives none."""
    findings.keys(row, rows.PARAMETER_KEYS, where)
    missing = [key for key in ("source", "evidence") if not row.get(key)]
    if missing:
        expected = "a source: a values file cannot hold a number without one"
        findings.add(f"no {' and no '.join(missing)}", where, expected=expected)
    if "value" not in row:
        findings.add("no value", where, expected="a number")
    if row.get("unit", base.get("unit")) != base.get("unit"):
        hint = "convert the number and say so in its note"
        findings.add(f"unit is '{row['unit']}'", where, expected=f"'{base.get('unit')}' as in the model", hint=hint)
    dropped = (*NUMBER_KEYS, *PRIOR_KEYS) if "prior" in row else NUMBER_KEYS
    return {**{key: value for key, value in base.items() if key not in dropped}, **row}


# ---- raw content to a Model --------------------------------------------------------------------------------------


def _model(raw: Table, chain: tuple[str, ...], findings: Findings) -> Model:
    findings.keys(raw, MODEL_KEYS)
    findings.format(raw)
    for table in ("states", "rates"):
        if table not in raw:
            findings.add(f"there is no table [{table}]", expected=f"a table [{table}]")
    time = findings.text(raw, "time", default="h")
    parameters, without_value = rows.read_parameters(raw, findings)
    if without_value:
        _say_missing(without_value, chain, findings)
    return Model(
        name=findings.text(raw, "name", default=chain[0]),
        title=findings.text(raw, "title"),
        about=findings.text(raw, "about"),
        time=time,
        parameters=parameters,
        states=tuple(rows.read_states(raw, findings)),
        routes=tuple(rows.read_routes(raw, time, findings)),
        derived=tuple(rows.read_derived(raw, findings)),
        rates=tuple(rows.read_rates(raw, findings)),
        outputs=tuple(rows.read_outputs(raw, findings)),
        variability=tuple(rows.read_variability(raw, findings)),
        references=findings.texts(raw, "reference"),
        values_name=findings.text(raw, "values"),
        conserved=findings.texts(raw, "conserved"),
    )


def _say_missing(names: tuple[str, ...], chain: tuple[str, ...], findings: Findings) -> None:
    verb = "has" if len(names) == 1 else "have"
    hint = " or ".join(f"values='{overlay}'" for overlay in _overlays(chain)) or "value = ... in the row"
    expected = "a value in the row or in a values file"
    findings.add(f"{', '.join(names)} {verb} no value", "[parameters]", expected=expected, hint=hint)
