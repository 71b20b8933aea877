"""Regimens and schedules written as TOML tables."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mscpkpd.dosing.regimen import Regimen, infusion
from mscpkpd.errors import DosingError, InputError, UnknownName, closest

__all__ = ["read_schedules", "regimen_from_table"]

WORDS = ("about", "source", "evidence", "note")
DOSE_KEYS = ("amount", "route", "over", "every", "doses", "viable", "lot")
KEYS = (*DOSE_KEYS, "at", "regimen", *WORDS)
MOST_BYTES = 1_000_000
DOSE_HINT = "amount = '2e6 cells/kg' and route = 'iv'"
NEW_HINT = "mscpkpd new schedules FILE.toml writes a template"


def regimen_from_table(
    table: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    name: str = "",
    where: str = "",
    load_regimen: Callable[[str], Regimen] | None = None,
) -> Regimen:
    """Make a regimen of one TOML table, or of several that are added.

    Parameters
    ----------
    table : mapping or sequence of mappings
        Keys amount, route, at, over, every, doses, viable, lot, or regimen (a name for `load_regimen`) with at; and
        about, source, evidence, note.
    name : str
        Name of the regimen.
    where : str
        File and table, for messages.
    load_regimen : callable or None
        Finds a shipped regimen by name.

    Returns
    -------
    Regimen
        All doses in order of time.

    Raises
    ------
    DosingError
        With every table that cannot be read.
    """
    parts = [table] if isinstance(table, Mapping) else list(table)
    if not parts:
        raise DosingError("no dose", where=where, hint=DOSE_HINT)
    findings: list[str] = []
    regimen = Regimen()
    for number, part in enumerate(parts, 1):
        place = f"{where} dose {number}" if len(parts) > 1 else where
        try:
            regimen = regimen + _part(part, load_regimen)
        except InputError as error:
            findings.append(f"{place}: {error}" if place else str(error))
    if findings:
        raise DosingError.of(findings)
    return regimen.named(name)


def _part(part: Mapping[str, Any], load_regimen: Callable[[str], Regimen] | None) -> Regimen:
    if not isinstance(part, Mapping):
        raise DosingError(f"{part!r} is not a table", hint=DOSE_HINT)
    for key in part:
        if key not in KEYS:
            near = closest(key, KEYS) or KEYS
            raise DosingError(f"unknown key '{key}'", hint=" or ".join(near))
    regimen = _doses_of(part, load_regimen)
    about, source, evidence, note = (str(part.get(key, getattr(regimen, key))) for key in WORDS)
    return replace(regimen, about=about, source=source, evidence=evidence, note=note)


def _doses_of(part: Mapping[str, Any], load_regimen: Callable[[str], Regimen] | None) -> Regimen:
    at = part.get("at", "0 h")
    if "regimen" in part:
        mixed = [key for key in DOSE_KEYS if key in part]
        if mixed:
            raise DosingError(f"'regimen' together with {', '.join(mixed)}", hint="only 'at' goes beside 'regimen'")
        if load_regimen is None:
            raise DosingError(
                f"regimen = '{part['regimen']}' cannot be looked up here", hint="amount and route instead"
            )
        return load_regimen(str(part["regimen"])).shifted(at)
    for key in ("amount", "route"):
        if key not in part:
            raise DosingError(f"no '{key}'", hint=DOSE_HINT)
    viable = part.get("viable")
    if viable is not None and (isinstance(viable, bool) or not isinstance(viable, int | float)):
        raise DosingError(f"viable = {viable!r}", expected="a number from 0 to 1", hint="viable = 0.9")
    options = {key: part[key] for key in ("every", "doses") if key in part}
    return infusion(
        part["amount"],
        str(part["route"]),
        part.get("over", "0 h"),
        at=at,
        viable=viable,
        lot=str(part.get("lot", "")),
        **options,
    )


def read_schedules(path: str | Path, load_regimen: Callable[[str], Regimen] | None = None) -> dict[str, Regimen]:
    """Read named regimens to compare.

    Parameters
    ----------
    path : str or Path
        TOML file with a table ``[schedule.NAME]`` for each schedule, or ``[[schedule.NAME]]`` once for each of its
        parts. Keys as in `regimen_from_table`.
    load_regimen : callable or None
        Finds a shipped regimen by name, for ``regimen = "ryoncil"``.

    Returns
    -------
    dict of str to Regimen
        In order of the file.

    Raises
    ------
    DosingError
        With everything in the file that cannot be read.
    UnknownName
        For a table other than ``schedule``.
    """
    path = Path(path)
    schedules = _schedule_tables(path)
    found: dict[str, Regimen] = {}
    findings: list[str] = []
    for name, table in schedules.items():
        where = f"{path.name} [schedule.{name}]"
        if not isinstance(table, Mapping | list):
            findings.append(f"{where}: {table!r} is not a table")
            continue
        try:
            found[name] = regimen_from_table(table, name=name, where=where, load_regimen=load_regimen)
        except InputError as error:
            findings.append(str(error))
    if findings:
        raise DosingError.of(findings, where=str(path))
    return found


def _schedule_tables(path: Path) -> Mapping[str, Any]:
    try:
        if path.is_dir():
            raise DosingError("is a folder", where=str(path), hint="the path of a TOML file")
        if path.stat().st_size > MOST_BYTES:
            raise DosingError("larger than 1 MB", where=str(path), expected="a TOML file of schedules", hint=NEW_HINT)
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DosingError(
            f"cannot be read ({error.strerror})", where=str(path), hint="the path of a TOML file"
        ) from error
    except UnicodeDecodeError as error:
        problem = f"not a TOML file: byte {error.start} is not UTF-8 text"
        raise DosingError(problem, where=str(path), hint=NEW_HINT) from error
    except tomllib.TOMLDecodeError as error:
        raise DosingError(f"not a TOML file ({error})", where=str(path), hint=NEW_HINT) from error
    unknown = [key for key in content if key != "schedule"]
    if unknown:
        raise UnknownName.among("table", unknown[0], ["schedule"], where=str(path))
    schedules = content.get("schedule", {})
    if not isinstance(schedules, Mapping) or not schedules:
        raise DosingError("no schedule", where=str(path), expected="tables [schedule.NAME]", hint=NEW_HINT)
    return schedules
