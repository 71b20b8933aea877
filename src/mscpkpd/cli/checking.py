"""``mscpkpd check``: what kind of file each one is, and whether it can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, warn
from mscpkpd.cli.options import (
    AmountUnit,
    DataUnit,
    Decimal,
    Dialect,
    Layout,
    Observed,
    OrganMass,
    Routes,
    TimeUnit,
)
from mscpkpd.cli.options import Json as JsonOption
from mscpkpd.cli.words import in_shell_words, read_mapping, read_quantities
from mscpkpd.errors import InputError, UsageError, closest

__all__ = ["Verdict", "check", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """What one file is, and what is wrong with it.

    Attributes
    ----------
    file, kind : str
        The file, and "model", "values", "regimen", "schedules", "responder", "study", "doses" or "cohort".
    about : str
        What it holds.
    notes : tuple of str
        What a user should know although nothing is wrong.
    problem : str
        Blank for a file that can be used.
    """

    file: str
    kind: str
    about: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Reading:
    """How tables are written, as the options say."""

    layout: str = "tidy"
    decimal: str = "."
    unit: str | None = None
    time_unit: str | None = None
    amount_unit: str | None = None
    outputs: str | Mapping[int | str, str] | None = None
    routes: str | Mapping[int | str, str] | None = None
    dialect: str = ""
    organ_mass: Mapping[str, str] | None = None


Found = tuple[str, tuple[str, ...]]  # what a file holds, and notes


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Model, data, regimen, cohort files.")],
    *,
    layout: Layout = "tidy",
    decimal: Decimal = ".",
    unit: DataUnit = None,
    time_unit: TimeUnit = None,
    amount_unit: AmountUnit = None,
    outputs: Observed = None,
    routes: Routes = None,
    dialect: Dialect = "",
    organ_mass: OrganMass = None,
    as_json: JsonOption = False,
) -> int:
    """Check files: 'ok', or what is wrong, where, and what to try."""
    names = read_mapping(outputs, "--outputs"), read_mapping(routes, "--routes")
    masses = read_quantities(organ_mass, "--organ-mass")
    reading = Reading(layout, decimal, unit, time_unit, amount_unit, *names, dialect=dialect, organ_mass=masses)
    verdicts = []
    for file in files:
        verdict = verdict_of(file, reading)
        verdicts.append(verdict)
        if not as_json:
            _show(verdict)
    if as_json:
        show_json([{**vars(verdict), "ok": not verdict.problem} for verdict in verdicts])
    return 2 if any(verdict.problem for verdict in verdicts) else 0


def _show(verdict: Verdict) -> None:
    if verdict.problem:
        named = verdict.problem.startswith((verdict.file, Path(verdict.file).name))
        warn(verdict.problem if named else f"{verdict.file}: {verdict.problem}")
    else:
        say(f"{verdict.file}: ok: {verdict.kind}, {verdict.about}", *(f"  note: {note}" for note in verdict.notes))


def verdict_of(file: Path, reading: Reading | None = None) -> Verdict:
    """Return what a file is and whether it can be used."""
    kind = "file"
    try:
        _check_there(file)
        kind, examine = _examination(file, reading or Reading())
        with in_shell_words(*vars(Reading()), "values"):
            about, notes = examine()
    except InputError as error:
        return Verdict(str(file), kind, problem=str(error))
    return Verdict(str(file), kind, about, notes)


def _check_there(file: Path) -> None:
    if file.is_dir():
        raise UsageError("is a folder", where=str(file), expected="a file")
    if not file.exists():
        near = closest(file.name, [other.name for other in file.parent.glob("*")]) if file.parent.is_dir() else ()
        raise UsageError("there is no such file", where=str(file), hint=" or ".join(near) or "check the path")


def _examination(file: Path, reading: Reading) -> tuple[str, Callable[[], Found]]:
    """Return the kind of a file and the function that reads it as such."""
    if file.suffix.casefold() == ".toml":
        return _toml_examination(file)
    from mscpkpd.data.record import KNOWN_COLUMNS
    from mscpkpd.data.tables import column_names

    columns = set(column_names(file))
    if any(name.startswith("cxcl10") for name in columns) or ("patient" in columns and "platform" in columns):
        return "cohort", lambda: _cohort(file, reading)
    named = file.stem.casefold().endswith("doses")  # as read_study looks for beside a study
    if named or {"subject", "dose"} <= columns <= KNOWN_COLUMNS - {"output", "value"}:
        return "doses", lambda: _doses(file, reading)
    return "study", lambda: _study(file, reading)


# ---- tables ------------------------------------------------------------------------------------------------------


def _study(file: Path, reading: Reading) -> Found:
    from mscpkpd.data import read_study

    options: dict[str, Any] = vars(reading)
    study = read_study(file, **options)
    label = "SYNTHETIC, " if study.synthetic else ""
    outputs = ", ".join(study.outputs)
    about = f"{label}{_count(len(study.subjects), 'subject')}, {_count(len(study.records), 'record')} of {outputs}"
    return about, study.notes


def _doses(file: Path, reading: Reading) -> Found:
    from mscpkpd.data import read_doses

    regimens = read_doses(file, decimal=reading.decimal, time_unit=reading.time_unit)
    count = sum(len(regimen) for regimen in regimens.values())
    return f"{_count(count, 'dose')} of {_count(len(regimens), 'subject')}", ("read without its study",)


def _cohort(file: Path, reading: Reading) -> Found:
    from mscpkpd.cohort import read_cohort

    cohort = read_cohort(file, unit=reading.unit or "", decimal=reading.decimal)
    label = "SYNTHETIC, " if cohort.synthetic else ""
    about = f"{label}{_count(len(cohort), 'patient')}, {len(cohort.labelled)} with a known outcome"
    return about, cohort.notes


# ---- TOML files --------------------------------------------------------------------------------------------------


def _toml_examination(file: Path) -> tuple[str, Callable[[], Found]]:
    from mscpkpd.modelfile.library import read_toml

    raw = read_toml(file)
    if "schedule" in raw:
        return "schedules", lambda: _schedules(file)
    if "course" in raw:
        return "regimen", lambda: _regimen(file)
    if raw.get("kind") == "responder":
        return "responder", lambda: _responder(file)
    if {"states", "rates", "extend"} & raw.keys():
        return "model", lambda: _model(file)
    if "parameters" in raw:
        return "values", lambda: _values(file, raw)
    listed = ", ".join(list(raw)[:10]) or "nothing"
    expected = (
        "[states] and [rates] of a model, [parameters] of a values file, [[course]] of a regimen, or [schedule.NAME]"
    )
    raise UsageError(f"holds {listed}", where=str(file), expected=expected, hint="mscpkpd new model FILE.toml")


def _model(file: Path) -> Found:
    from mscpkpd.modelfile import declaration, load_model

    declared = declaration(file)
    overlays = declared.sufficient if declared.without_value else ()
    model, *_ = [load_model(file, values=overlay) for overlay in overlays or (None,)]
    counts = (len(model.states), "state"), (len(model.parameters), "parameter"), (len(model.outputs), "output")
    about = ", ".join(_count(number, word) for number, word in counts)
    shared = (f"numbers come from values files, each checked: {', '.join(overlays)}",) if overlays else ()
    return f"{model.name}: {about}", (*shared, *model.notices)


def _values(file: Path, raw: Mapping[str, Any]) -> Found:
    from mscpkpd.modelfile import load_model, overlays_besides

    name = raw.get("model")
    if not isinstance(name, str) or not name:
        raise UsageError("no model is named", where=str(file), expected='model = "..."', hint="the model it belongs to")
    beside = file.parent / f"{name}.toml"
    chosen = beside if beside.is_file() else name
    below = overlays_besides(chosen, file)
    model, *_ = [load_model(chosen, values=(first, file)) for first in below] or [load_model(chosen, values=file)]
    shared = (f"other numbers come from values files, each checked: {', '.join(below)}",) if below else ()
    return f"{_count(len(raw['parameters']), 'number')} for {model.name}", (*shared, *model.notices)


def _regimen(file: Path) -> Found:
    from mscpkpd.modelfile import load_regimen

    regimen = load_regimen(file)
    return f"{_count(len(regimen), 'dose')}", (regimen.note,) if regimen.note else ()


def _schedules(file: Path) -> Found:
    from mscpkpd.dosing import read_schedules
    from mscpkpd.modelfile import load_regimen

    schedules = read_schedules(file, load_regimen)
    return ", ".join(f"{name}: {_count(len(regimen), 'dose')}" for name, regimen in schedules.items()), ()


def _responder(file: Path) -> Found:
    from mscpkpd.responder import load_responder

    return load_responder(file).definition.title, ()


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
