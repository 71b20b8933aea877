"""Doses as a model takes them: where a compartment number leads, and how long a dose lasts (D6, E5 to E12)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.system import Numeric, build_system
from mscpkpd.errors import DosingError, UnknownName
from mscpkpd.model import Model

__all__ = ["AT_ONCE", "administered", "bioavailability", "place_of", "timing"]

AT_ONCE = 1e-300  # a duration so short that every engine takes it for a jump, whatever the route says (E5)


def place_of(model: Model, text: str, where: str = "") -> str:
    """Return the route or state that a dose goes to (D6).

    Parameters
    ----------
    model : Model
    text : str
        Name of a route, else of a state, else n for the n-th state of the model file.
    where : str
        File and row, for messages.

    Returns
    -------
    str
        Name of a route or a state.

    Raises
    ------
    UnknownName
        Where there is none.
    DosingError
        For a number that no state has.
    """
    known = (*model.route_names, *model.state_names)
    if text in known:
        return text
    if text.isdigit():
        if 1 <= int(text) <= len(model.state_names):
            return model.state_names[int(text) - 1]
        listed = ", ".join(f"{n} {name}" for n, name in enumerate(model.state_names[:12], 1))
        problem = f"CMT {text} does not exist: '{model.name}' has {len(model.state_names)} states (D6)"
        raise DosingError(problem, where=where, expected=listed)
    raise UnknownName.among("route", text, known, where=where)


@lru_cache(maxsize=256)
def bioavailability(model: Model, place: str) -> tuple[Numeric, tuple[str, ...]]:
    """Return F, what all states together receive of viable cells (E13), and the parameters that it depends on."""
    form = build_system(model, (), (place,)).routes[place]
    names = tuple(sorted(str(symbol) for symbol in form.whole.free_symbols))
    symbols = tuple(sorted(form.whole.free_symbols, key=str))
    return Numeric((form.whole.expand(),), symbols), names


def timing(model: Model, place: str, timed_by: str, where: str = "") -> bool:
    """Say whether a bolus must be made one against the duration or rate of its route (E5).

    Raises
    ------
    DosingError
        If the dose leaves rate or duration to a route that has none (E7, E8).
    """
    route = model.route(place) if place in model.route_names else None
    wanted = timed_by.removeprefix("model ")
    if timed_by.startswith("model ") and (route is None or getattr(route, wanted) is None):
        code, rule = (-1, "E7") if wanted == "rate" else (-2, "E8")
        column = "RATE" if code == -1 else "DUR"
        hint = f"{wanted} = \"...\" for route '{place}' in the model file, or a number in {column}"
        raise DosingError(f"RATE {code}, but '{place}' has no {wanted} ({rule})", where=where, hint=hint)
    return timed_by == "bolus" and route is not None and (route.duration or route.rate) is not None


def administered(model: Model, regimen: Regimen, where: str = "") -> Regimen:
    """Return a regimen as an engine takes it for this model, whatever the values of its parameters.

    Parameters
    ----------
    model : Model
    regimen : Regimen
        Doses, perhaps from an event table.
    where : str
        Subject, for messages.

    Returns
    -------
    Regimen
        The same object where nothing is to be done.

    Raises
    ------
    UnknownName
        For a route that the model does not have.
    DosingError
        For a compartment, rate or duration that the model does not have (D6, E7, E8), and for a named event of what is
        no state (E36).
    """
    if all(not (dose.timed_by or dose.event) and not dose.route.isdigit() for dose in regimen):
        return regimen
    return replace(regimen, doses=tuple(_administered(model, dose, where) for dose in regimen))


def _administered(model: Model, dose: Dose, where: str) -> Dose:
    place = place_of(model, dose.route, where)
    if dose.event:
        if place not in model.state_names and dose.event != "phantom":
            hint = f"one of {', '.join(model.state_names[:8])}"
            raise DosingError(f"'{dose.event}' of '{place}', which is no state (E36)", where=where, hint=hint)
        return replace(dose, route=place)
    at_once = timing(model, place, dose.timed_by, where)
    # only an engine can follow a rate that is given where F changes the duration, or a rate that the model has
    kept = dose.timed_by == "rate" and bioavailability(model, place)[0].expressions[0] != 1
    kept = kept or dose.steady == "constant"
    timed_by = dose.timed_by if kept else ""
    return replace(dose, route=place, duration=AT_ONCE if at_once else dose.duration, timed_by=timed_by)
