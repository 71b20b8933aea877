"""The files of a PEtab problem: one YAML file that names tables and a model."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mscpkpd.errors import DataError, UnknownName

__all__ = ["PetabFiles", "Row", "read_files"]

REQUIRED = {
    "parameter": ("parameterId", "parameterScale", "estimate"),
    "condition": ("conditionId",),
    "observable": ("observableId", "observableFormula", "noiseFormula"),
    "measurement": ("observableId", "simulationConditionId", "time", "measurement"),
}
NOTHING = {"", "nan"}


@dataclass(frozen=True)
class Row:
    """One row of a table: cells by column, and where it stands."""

    cells: Mapping[str, str]
    where: str

    def text(self, column: str) -> str:
        """Return a cell without blanks; empty where the column is missing or the cell says nothing."""
        text = (self.cells.get(column) or "").strip()
        return "" if text.casefold() in NOTHING else text

    def number(self, column: str) -> float:
        """Return a cell as a number.

        Raises
        ------
        DataError
            If it is none.
        """
        return self.number_of(self.text(column), column)

    def number_of(self, text: str, column: str) -> float:
        """Return a text of this row as a number; see `number`."""
        try:
            return float(text)
        except ValueError:
            raise DataError(f"{column} is '{text}'", where=self.where, expected="a number", hint="0.5") from None


@dataclass(frozen=True)
class PetabFiles:
    """Tables of a problem, in the order of their files, and the file of its model."""

    path: Path
    model: Path
    parameters: tuple[Row, ...]
    conditions: tuple[Row, ...]
    observables: tuple[Row, ...]
    measurements: tuple[Row, ...]


def read_files(path: Path) -> PetabFiles:
    """Read the YAML file of a problem and the tables that it names.

    Parameters
    ----------
    path : Path
        The YAML file; its other files are named relative to it.

    Raises
    ------
    DataError
        If a file is missing or malformed, or the problem is not one of version 1 with one SBML model.
    """
    content = _yaml(path)
    version = str(content.get("format_version"))
    if version.split(".", maxsplit=1)[0] != "1":
        raise DataError(f"PEtab version {version}", where=str(path), expected="version 1", hint="format_version: 1")
    for key in ("extensions", "mapping_file", "mapping_files"):
        if content.get(key):
            raise DataError(f"'{key}' is not supported", where=str(path), hint="a problem without it")
    problems = content.get("problems") or []
    if not isinstance(problems, list) or len(problems) != 1 or not isinstance(problems[0], dict):
        count = len(problems) if isinstance(problems, list) else 0
        raise DataError(f"{count} problems in one file", where=str(path), expected="one", hint="one YAML file for each")
    problem = problems[0]
    if "model_files" in problem or problem.get("mapping_files"):
        raise DataError("'model_files' is not supported", where=str(path), expected="'sbml_files', as in version 1")
    models = _named(problem, "sbml_files", path)
    if len(models) != 1:
        raise DataError(f"{len(models)} SBML files", where=str(path), expected="one", hint="one problem for each model")
    tables = {kind: _tables(_named(problem, f"{kind}_files", path), kind) for kind in REQUIRED if kind != "parameter"}
    parameters = _tables(_named(content, "parameter_file", path), "parameter")
    return PetabFiles(
        path, models[0], parameters, tables["condition"], tables["observable"], tables["measurement"]
    )  # fmt: skip


def _yaml(path: Path) -> dict[str, object]:
    import yaml

    if not path.is_file():
        raise DataError("no such file", where=str(path), expected="the YAML file of a PEtab problem")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"no YAML: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(content, dict):
        raise DataError("no PEtab problem", where=str(path), expected="format_version, parameter_file, problems")
    return content


def _named(content: Mapping[str, object], key: str, path: Path) -> list[Path]:
    """Paths that a key of the YAML file names."""
    value = content.get(key)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise DataError(f"no '{key}'", where=str(path), hint=f"{key}: with the name of a file")
    return [path.parent / str(name) for name in names]


def _tables(paths: list[Path], kind: str) -> tuple[Row, ...]:
    return tuple(row for path in paths for row in _table(path, kind))


def _table(path: Path, kind: str) -> list[Row]:
    if not path.is_file():
        raise DataError("no such file", where=str(path), expected=f"the {kind} table")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = [name.strip() for name in reader.fieldnames or ()]
        rows = [
            Row(dict(zip(columns, (cell or "" for cell in cells.values()), strict=False)), f"{path}, line {k}")
            for k, cells in enumerate(reader, 2)
        ]
    for column in REQUIRED[kind]:
        if column not in columns:
            raise UnknownName.among(f"column of the {kind} table: it needs", column, columns, where=str(path))
    return rows
