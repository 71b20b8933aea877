"""Values files: numbers laid over the parameters of a model, file after file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.modelfile import rows
from mscpkpd.modelfile.extending import TABLES, Layers
from mscpkpd.modelfile.findings import Findings
from mscpkpd.modelfile.library import Table, is_file, library_path, locate, read_toml, stems

__all__ = ["Values", "kinds_of", "lay_values", "overlays_of", "sufficient_overlays", "usable_overlays"]

Values = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

VALUES_KEYS = ("format", "name", "model", "kind", "title", "about", "reference", "parameters")
# what belongs to a number, and is dropped with it where a values file gives another
NUMBER_KEYS = ("value", "source", "evidence", "low", "high", "note")
PRIOR_KEYS = ("prior", "prior_source", "prior_without")


def lay_values(layers: Layers, values: Values) -> str:
    """Lay values files over the parameters of a model, left to right; for a name, those of the models below first.

    Parameters
    ----------
    layers : Layers
        The model; its content is changed.
    values : str, path or sequence of them
        Names of values files of the model, or paths; a text may hold several, separated by commas.

    Returns
    -------
    str
        The same as one text, with commas.

    Raises
    ------
    ModelError
        With file, parameter and key, if a file cannot be used.
    UnknownName
        For a name that is no values file of the model.
    """
    before = layers.raw.get("values")
    names = [before] if isinstance(before, str) and before else []
    given = list(_split(values))
    _refuse_two_of_a_kind(layers.chain, given)
    names += [_lay(layers, file) for one in given for file in _files(layers.chain, one)]
    layers.raw["values"] = ",".join(dict.fromkeys(names))
    return ",".join(os.fspath(one) for one in given)


def overlays_of(chain: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the values files that are shipped for a model and those that it extends."""
    return tuple(sorted({stem for name in chain for stem in stems(library_path() / "values" / name)}))


def sufficient_overlays(chain: tuple[str, ...], missing: Sequence[str]) -> tuple[str, ...]:
    """Return the shipped values files that give every missing number; pairs ``mouse,tsg6`` where none alone does."""
    known = overlays_of(chain)
    if not missing:
        return known
    given = {overlay: _parameters_of(chain, overlay) for overlay in known}
    alone = tuple(overlay for overlay in known if set(missing) <= given[overlay])
    # in a pair, what belongs to a model further below stands first: the species, then the product
    below = sorted(known, key=lambda overlay: (-_lowest(chain, overlay), overlay))
    pairs = ((one, other) for one, other in combinations(below, 2) if set(missing) <= given[one] | given[other])
    return alone or tuple(",".join(pair) for pair in pairs if not kinds_of(chain, pair[0]) & kinds_of(chain, pair[1]))


def kinds_of(chain: tuple[str, ...], values: str | os.PathLike[str]) -> set[str]:
    """Return the kinds that the values files of a name, or the file of a path, call themselves: species, mediator."""
    kinds = {read_toml(file).get("kind") for file in _files(chain, values)}
    return {kind for kind in kinds if isinstance(kind, str) and kind}


def _refuse_two_of_a_kind(chain: tuple[str, ...], given: Sequence[str | os.PathLike[str]]) -> None:
    """Refuse a second species, mediator, ...: its numbers would mix with those of the first."""
    first: dict[str, str] = {}
    for one in given:
        name = Path(one).stem  # a file of the same name as a shipped one belongs on top of it
        for kind in kinds_of(chain, one):
            if first.setdefault(kind, name) != name:
                problem = f"values '{first[kind]}' and '{name}' are both of the kind {kind}: their numbers would mix"
                hint = f"values='{first[kind]}' or values='{name}'"
                raise ModelError(problem, where=chain[0], expected="one values file of each kind", hint=hint)


def usable_overlays(chain: tuple[str, ...], sufficient: Sequence[str]) -> tuple[str, ...]:
    """Return the values files of a model without those of a kind, such as species, that does not complete it."""
    needed = {one for some in sufficient for one in some.split(",")}
    kinds = {kind for one in needed for kind in kinds_of(chain, one)}
    return tuple(one for one in overlays_of(chain) if one in needed or not kinds_of(chain, one) & kinds)


def _lowest(chain: tuple[str, ...], overlay: str) -> int:
    folders = enumerate(library_path() / "values" / name for name in chain)
    return max(level for level, folder in folders if is_file(folder / f"{overlay}.toml"))


def _parameters_of(chain: tuple[str, ...], overlay: str) -> set[str]:
    contents = [read_toml(file).get("parameters") for file in _files(chain, overlay)]
    return {name for rows in contents if isinstance(rows, dict) for name in rows}


def _split(values: Values) -> Iterator[str | os.PathLike[str]]:
    if isinstance(values, str) and "," in values and not is_file(Path(values)):
        yield from (part.strip() for part in values.split(","))
    elif isinstance(values, str | os.PathLike):
        yield values
    else:
        for one in values:
            yield from _split(one)


def _files(chain: tuple[str, ...], values: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a name means, that of the lowest model first; or the one that a path means."""
    folders = [library_path() / "values" / name for name in reversed(chain)]
    if isinstance(values, str) and values and not {"/", "\\"} & set(values):
        shipped = [folder / f"{values}.toml" for folder in folders if is_file(folder / f"{values}.toml")]
        if shipped:
            return shipped
    return [locate(f"values file of {chain[0]}", values, (), overlays_of(chain))]


def _lay(layers: Layers, path: Path) -> str:
    """Lay the parameters of one values file over those of the model; return the name of the values."""
    extra, chain = read_toml(path), layers.chain
    findings = Findings(str(path))
    for table in (key for key in extra if key in TABLES and key not in VALUES_KEYS):
        hint = f"a model file that extends '{chain[0]}', with this table in it"
        findings.add(f"[{table}] stands in a values file", expected="numbers in [parameters] only", hint=hint)
    findings.keys(extra, (*VALUES_KEYS, *TABLES))
    findings.format(extra)
    name, model = findings.text(extra, "name", default=path.stem), findings.text(extra, "model", default=chain[0])
    if model not in chain:
        expected = " or ".join(f"'{known}'" for known in chain)
        findings.add(
            f"these values are for the model '{model}'", "model", expected=expected, hint="another model or values file"
        )
    parameters = layers.raw.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    for parameter, row, where in findings.rows(extra, "parameters"):
        if isinstance(parameters.get(parameter), dict):
            parameters[parameter] = _overlaid(parameters[parameter], row, findings, where)
        elif parameter not in layers.removed:
            findings.found.append(UnknownName.among("parameter", parameter, tuple(parameters), where=where))
    references = findings.texts(extra, "reference")
    findings.stop()
    if isinstance(layers.raw.setdefault("reference", []), list):
        layers.raw["reference"] += [key for key in references if key not in layers.raw["reference"]]
    return name


def _overlaid(base: Table, row: Table, findings: Findings, where: str) -> Table:
    """Return a row of the model with the number of a values file; its prior stays where the file gives none."""
    findings.keys(row, rows.PARAMETER_KEYS, where)
    missing = [key for key in ("source", "evidence") if not row.get(key)]
    if missing:
        expected = "a source: a values file cannot hold a number without one"
        hint = 'source = "where it was read", evidence = "read"'
        findings.add(f"no {' and no '.join(missing)}", where, expected=expected, hint=hint)
    if "value" not in row:
        findings.add("no value", where, expected="a number", hint="value = 0.03")
    if row.get("unit", base.get("unit")) != base.get("unit"):
        hint = "convert the number and say so in its note"
        findings.add(f"unit is '{row['unit']}'", where, expected=f"'{base.get('unit')}' as in the model", hint=hint)
    dropped = (*NUMBER_KEYS, *PRIOR_KEYS) if "prior" in row else NUMBER_KEYS
    return {**{key: value for key, value in base.items() if key not in dropped}, **row}
