"""Covariates as a model takes them: the columns of a table that are called as its parameters (K1 to K7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mscpkpd.engine.course import Course, Track
from mscpkpd.errors import DataError
from mscpkpd.model import Model
from mscpkpd.units import scale_factor

__all__ = ["check_line", "factor_of", "parameter_of", "said_of", "track_of", "used_of"]


def parameter_of(model: Model, title: str) -> str:
    """Return the parameter that a column states: its very name, else the only one that differs in case; else blank.

    Parameters
    ----------
    model : Model
    title : str
        Name of the column.

    Returns
    -------
    str
    """
    if title in model.parameter_names:
        return title
    near = [name for name in model.parameter_names if name.casefold() == title.casefold()]
    return near[0] if len(near) == 1 else ""


def factor_of(model: Model, name: str, unit: str, where: str = "") -> float:
    """Return the factor from the unit of a column to that of its parameter; 1 where either has none.

    Raises
    ------
    UnitError
        For a unit of another dimension.
    """
    own = model.parameter(name).unit
    return 1.0 if not unit or own == "1" else scale_factor(unit, own, where=where)


def check_line(model: Model, name: str, values: Collection[float], where: str = "") -> None:
    """Refuse a straight line between categories: numbers without unit that are all whole (K4).

    Raises
    ------
    DataError
    """
    if model.parameter(name).unit == "1" and all(value == int(value) for value in values):
        shown = ", ".join(f"{value:g}" for value in sorted(set(values))[:5])
        problem = f"covariates='linear' for '{name}', whose values {shown} are categories (K4)"
        hint = f"covariates={{'{name}': 'locf'}}"
        raise DataError(problem, where=where, expected="locf or nocb for whole numbers without unit", hint=hint)


def track_of(name: str, rule: str, times: Sequence[float], values: Sequence[float]) -> Track:
    """Return the records of a covariate without those that change nothing, so that equal courses are equal.

    Parameters
    ----------
    name : str
        The parameter.
    rule : str
        "locf", "nocb" or "linear".
    times : sequence of float
        Hours, ascending.
    values : sequence of float
        In the unit of the parameter.

    Returns
    -------
    Track
    """
    pairs = list(zip(times, values, strict=True))
    if len(set(values)) == 1:
        return Track(name, "locf", (0.0,), (values[0],))
    if rule == "locf":
        pairs = [pair for k, pair in enumerate(pairs) if k == 0 or pair[1] != pairs[k - 1][1]]
    elif rule == "nocb":
        pairs = [pair for k, pair in enumerate(pairs) if k == len(pairs) - 1 or pair[1] != pairs[k + 1][1]]
    return Track(name, rule, tuple(time for time, _ in pairs), tuple(value for _, value in pairs))


def used_of(course: Course, names: Collection[str]) -> Course | None:
    """Return the part of a course that a model uses; None for nothing."""
    kept = [k for k, track in enumerate(course.tracks) if track.name in names]
    tracks = tuple(course.tracks[k] for k in kept)
    if not tracks:
        return None
    if not any(track.varies for track in tracks):
        return Course(tracks)
    given = tuple(type(each)(each.time, tuple(each.own[k] for k in kept)) for each in course.given)
    return Course(tracks, given)


def said_of(rules: Mapping[str, str]) -> list[str]:
    """Return what a result says about covariates that change (K1)."""
    return [f"{name} changes within subjects: {rule} between its records (K1)" for name, rule in rules.items()]
