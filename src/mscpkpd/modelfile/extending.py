"""``extend`` and ``without``: one model file laid over another, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.modelfile.findings import Findings
from mscpkpd.modelfile.library import Table, is_file, library_path, locate, models, read_toml

__all__ = ["TABLES", "Layers", "layered"]

TABLES = ("parameters", "states", "chains", "routes", "derived", "rates", "outputs", "variability", "covariance")
# a row of the second table means nothing without the row of its name in the first
FOLLOWS = {"states": "rates", "parameters": "variability"}


@dataclass(frozen=True)
class Layers:
    """A model file with what it extends.

    Attributes
    ----------
    raw : dict
        Content, as that of one file.
    chain : tuple of str
        Names of the models, from the file itself to the one that extends nothing.
    removed : frozenset of str
        Parameters that one of the models leaves out of those below it.
    """

    raw: Table
    chain: tuple[str, ...]
    removed: frozenset[str] = frozenset()


def layered(path: Path, above: tuple[Path, ...] = ()) -> Layers:
    """Return the content of a model file laid over that of the model that it extends.

    Parameters
    ----------
    path : Path
        The file.
    above : tuple of Path
        Files that led to this one.

    Raises
    ------
    ModelError
        For a file that cannot be read, models that extend each other, and rows that cannot be left out.
    UnknownName
        For a model that is not in the library.
    """
    if path.resolve() in above:
        circle = " -> ".join(file.stem for file in (*above, path))
        raise ModelError(
            f"models extend each other in a circle: {circle}", where=f"{path}: extend", hint="a model without extend"
        )
    raw = read_toml(path)
    name = str(raw.get("name", path.stem))
    parent, without = raw.pop("extend", None), raw.pop("without", None)
    findings = Findings(str(path))
    _find_doubles(raw, findings)
    if parent is None:
        if without is not None:
            findings.add("the file extends no model", "without", hint='extend = "two_functional_compartments"')
        findings.stop()
        return Layers(raw, (name,))
    if not isinstance(parent, str):
        expected = "the name or path of a model"
        raise ModelError(
            f"extend is {parent!r}", where=str(path), expected=expected, hint='extend = "two_functional_compartments"'
        )
    base = layered(_parent_file(parent, path), (*above, path.resolve()))
    left_out = _leave_out(base.raw, [] if without is None else without, findings)
    _lay(base.raw, raw, findings)
    findings.stop()
    parameters = _rows(base.raw, "parameters")
    removed = frozenset(parameter for parameter in base.removed | left_out if parameter not in parameters)
    return Layers(base.raw, (name, *base.chain), removed)


def _parent_file(parent: str, path: Path) -> Path:
    """Return the file that `extend` means: a path from the folder of the file, a shipped name, or a file beside it."""
    beside = path.parent / parent
    if is_file(beside):
        return beside
    try:
        return locate("model", parent, [library_path() / "pkpd", path.parent], models())
    except UnknownName as error:
        raise UnknownName(error.problem, where=f"{path}: extend", expected=error.expected, hint=error.hint) from None
    except ModelError as error:
        raise ModelError(error.problem, where=f"{path}: extend", expected=error.expected, hint=error.hint) from None


def _rows(raw: Mapping[str, Any], table: str) -> Table:
    rows = raw.get(table)
    return rows if isinstance(rows, dict) else {}


def _find_doubles(raw: Table, findings: Findings) -> None:
    """One file writes a state either by itself or as a chain."""
    for table in ("states", "rates"):
        for name in sorted(_rows(raw, "chains").keys() & _rows(raw, table).keys()):
            findings.add(f"'{name}' stands in [{table}] too", f"[chains].{name}", hint="one of the two rows")


def _leave_out(base: Table, without: object, findings: Findings) -> frozenset[str]:
    """Remove rows of the base, and what means nothing without them; return the parameters among them."""
    known = [f"{table}.{name}" for table in TABLES for name in _rows(base, table)]
    rows = findings.texts({"without": without}, "without")
    for row in rows:
        if row not in known:
            findings.found.append(UnknownName.among("row", row, known, where="without"))
            continue
        table, _, name = row.partition(".")
        base[table].pop(name, None)  # gone already where it stands twice, or followed another
        _rows(base, FOLLOWS.get(table, "")).pop(name, None)
        if table in ("states", "chains") and isinstance(conserved := base.get("conserved"), list):
            base["conserved"] = [state for state in conserved if state != name]
    return frozenset(row.removeprefix("parameters.") for row in rows if row.startswith("parameters."))


def _lay(base: Table, raw: Table, findings: Findings) -> None:
    """Lay the rows of a file over those of its base; a row of the same name is replaced whole."""
    chains = _rows(base, "chains")
    for name in _rows(raw, "states"):
        chains.pop(name, None)  # written out again as a single state
    for name in sorted(_rows(raw, "rates").keys() & (chains.keys() - _rows(raw, "chains").keys())):
        hint = f"a row [chains].{name}, or [states].{name} for a single state"
        findings.add(f"'{name}' is a chain of states", f"[rates].{name}", hint=hint)
    for name, row in _rows(raw, "chains").items():
        if isinstance(row, dict) and isinstance(chains.get(name), dict) and "rate" not in row:
            raw["chains"][name] = {**chains[name], **row}  # the same chain, but for the keys that are given
    for key, value in raw.items():
        both = key in TABLES and isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **value} if both else value
