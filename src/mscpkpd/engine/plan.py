"""A regimen whose events depend on no parameter, laid out once for all draws and subjects.

Most regimens are such: the moments of all doses are known, and only what a dose becomes in each state depends on the
parameters of a subject. The layout counts amounts by the way that they enter, not by state, so that it holds no number
of any subject.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import sympy

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.course import Driven
from mscpkpd.engine.intervals import Intervals, intervals_of
from mscpkpd.engine.system import RouteForm, System
from mscpkpd.engine.timeline import covariate_changes, timeline

__all__ = ["Plan", "Way", "plan_of"]


class Way(NamedTuple):
    """How doses enter.

    Attributes
    ----------
    route : str
    viable : float or None
        Viable fraction of the doses where they have their own.
    per_weight : bool
        Whether amounts are per kg of body weight.
    own : tuple of float
        Covariates that change, when the doses enter; empty where the route does not depend on them.
    """

    route: str
    viable: float | None
    per_weight: bool
    own: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Plan:
    """The events of a subject.

    Attributes
    ----------
    ways : tuple of Way
        How doses enter.
    intervals : Intervals
        With one row of `jumps` and `rates` for each way: amounts and amounts per time before they are shared out, for
        1 kg of body weight where they are per weight.
    infused : tuple of int
        States that an infusion enters.
    changing : tuple of int
        Parameters that change from one interval to the next; the first `varying` of them are covariates.
    varying : int
    """

    ways: tuple[Way, ...]
    intervals: Intervals
    infused: tuple[int, ...]
    changing: tuple[int, ...] = ()
    varying: int = 0


def plan_of(
    system: System, regimen: Regimen, times: np.ndarray, hours: float, driven: Driven | None = None
) -> Plan | None:
    """Lay out a regimen.

    Parameters
    ----------
    system : System
        Equations.
    regimen : Regimen
        Doses, in hours.
    times : array of shape (n_times,)
        Asked times in the model's time unit.
    hours : float
        Length of the model's time unit in hours.
    driven : Driven, optional
        Covariates, of this system.

    Returns
    -------
    Plan or None
        None where an event depends on a parameter, or on a steady state that has to be solved, or a state starts anew
        at a value that depends on a covariate that changes.

    Raises
    ------
    DosingError
        If the doses are impossible.
    """
    if system.switches or any(_moves(system.routes[dose.route], dose) for dose in regimen.doses):
        return None
    varying = tuple(k for k, track in enumerate(driven.course.tracks) if track.varies) if driven else ()
    changing = driven.changing if driven else ()
    symbols = {system.parameter_symbols[i] for i in changing[: len(varying)]}
    if any(dose.reset for dose in regimen.doses) and any(start.free_symbols & symbols for start in system.start):
        return None
    each = [_way(system, dose, k, driven, varying) for k, dose in enumerate(regimen.doses)]
    ways = tuple(dict.fromkeys(each))
    names = tuple(f"way_{k}" for k in range(len(ways)))
    place = dict(zip(ways, names, strict=True))
    doses = (replace(dose, route=place[way], viable=None) for dose, way in zip(regimen.doses, each, strict=True))
    none = np.array([], dtype=int)
    changes = timeline(_bare(system, ways, names), Regimen(tuple(doses)), np.zeros(0), none, 1.0, hours)
    if driven is not None and changing:
        changes = tuple(sorted((*covariate_changes(driven, len(ways), 0), *changes), key=lambda change: change.time))
    # subjects whose covariates change at other times shall still have one shape
    intervals = intervals_of(
        changes, times, (len(ways), 0, 0), padded=bool(changing), changing=len(changing), apart=bool(changing)
    )
    running = {way.route for way, rate in zip(ways, intervals.rates, strict=True) if np.any(rate != 0)}
    shares = [system.routes[route].into for route in running]
    infused = tuple(i for i in range(len(system.states)) if any(into[i] != 0 for into in shares))
    return Plan(ways, intervals, infused, changing, len(varying))


def _way(system: System, dose: Dose, k: int, driven: Driven | None, varying: tuple[int, ...]) -> Way:
    own: tuple[float, ...] = ()
    if driven is not None and varying:
        form = system.routes[dose.route]
        used = {str(symbol) for share in (*form.into, form.viable) for symbol in share.free_symbols}
        if used & {driven.course.names[i] for i in varying}:
            values = driven.entering(k, dose.time, 0.0)  # a lag depends on parameters, and then there is no plan
            own = tuple(values[i] for i in varying)
    return Way(dose.route, dose.viable, dose.unit.endswith("/kg"), own)


def _moves(form: RouteForm, dose: Dose) -> bool:
    """Whether the moments of a dose depend on a parameter; F lengthens an infusion of given rate (E6)."""
    if dose.steady or dose.event in ("replace", "multiply"):
        return True
    lengthened = (form.whole,) if dose.timed_by == "rate" else ()
    return any(expression.free_symbols for expression in (form.lag, *form.timing, *lengthened))


@lru_cache(maxsize=256)
def _bare(system: System, ways: tuple[Way, ...], names: tuple[str, ...]) -> System:
    """A system whose states are the ways themselves, so that its timeline counts amounts by way."""
    zeros = (sympy.Integer(0),) * len(ways)
    routes = {}
    for k, (way, name) in enumerate(zip(ways, names, strict=True)):
        own = (*zeros[:k], sympy.Integer(1), *zeros[k + 1 :])
        routes[name] = replace(system.routes[way.route], name=name, states=names, into=own, viable=sympy.Integer(1))
    return System(names, (), (), zeros, zeros, (), routes, (), ())
