"""When the equations of one subject change: doses, lags, infusions and switches, with derivatives.

Times and amounts may depend on parameters (lag, modelled duration, viable fraction). Each change therefore carries
its own derivatives with respect to the free parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.system import System
from mscpkpd.errors import DosingError
from mscpkpd.units import scale_factor

__all__ = ["Change", "timeline"]

# An infusion shorter than this, in units of the time since the start, is a bolus at its middle (L6): the clock could
# not tell its end from its beginning.
BRIEF = 1e-9


@dataclass(frozen=True)
class Change:
    """One moment at which amounts jump, infusion rates change or a switch turns on.

    Attributes
    ----------
    time : float
        In the time unit of the model.
    d_time : array of shape (n_free,)
        Its derivatives.
    jump, rate : array of shape (n_states,)
        Added to the amounts and to the infusion rates.
    d_jump, d_rate : array of shape (n_states, n_free)
        Their derivatives.
    switch : int
        Index of the switch that turns on; -1 for none.
    """

    time: float
    d_time: np.ndarray
    jump: np.ndarray
    d_jump: np.ndarray
    rate: np.ndarray
    d_rate: np.ndarray
    switch: int = -1


def timeline(
    system: System,
    regimen: Regimen,
    values: np.ndarray,
    free: np.ndarray,
    weight: float | None = None,
    hours: float = 1.0,
) -> tuple[Change, ...]:
    """List the changes of one subject in order of time.

    Parameters
    ----------
    system : System
        Equations and routes.
    regimen : Regimen
        Doses, times in hours.
    values : array of shape (n_parameters,)
        Parameter values in the order of `system.parameters`.
    free : array of int, shape (n_free,)
        Positions of the parameters to differentiate by.
    weight : float, optional
        Body weight in kg, for doses per kg.
    hours : float
        Length of the model's time unit in hours.

    Returns
    -------
    tuple of Change
        Doses first where times are equal, in the order of the regimen (E1).

    Raises
    ------
    DosingError
        If a lag or a duration is negative (E15), or a rate not above 0.
    UnitError
        If the unit of a dose does not fit its route.
    """
    changes: list[Change] = []
    for dose in regimen.doses:
        changes += _dose_changes(system, dose, values, free, weight, hours)
    changes += _switch_changes(system, values, free)
    return tuple(sorted(changes, key=lambda change: change.time))


def _dose_changes(
    system: System, dose: Dose, values: np.ndarray, free: np.ndarray, weight: float | None, hours: float
) -> list[Change]:
    form = system.routes[dose.route]
    n = len(system.states)
    viable, d_viable = _viable(system, dose, values, free)
    amount = dose.cells(weight) * _converted(dose.absolute_unit, form.unit, dose.route)
    function = system.route_functions[dose.route]
    numbers = function.value(*values, viable)
    derivative = np.zeros((len(numbers), 0))
    if len(free):  # forming derivatives costs seconds in a large model
        jacobian = function.jacobian(*values, viable)
        derivative = jacobian[:, free] + np.outer(jacobian[:, -1], d_viable)
    into, d_into = amount * numbers[:n], amount * derivative[:n]
    lag, d_lag = numbers[n], derivative[n]
    if lag < 0:
        raise DosingError(f"lag {lag:g} of route '{dose.route}' is negative", expected="a lag of at least 0 (E15)")
    length, d_length = dose.duration / hours, np.zeros(len(free))
    if dose.duration == 0 and form.duration is not None:
        length, d_length = numbers[n + 1], derivative[n + 1]
    elif dose.duration == 0 and form.rate is not None:
        rate, whole = numbers[n + 1 : n + 3]  # F lengthens an infusion whose rate is given (E7, E10)
        if rate <= 0:
            raise DosingError(f"rate {rate:g} of a dose by '{dose.route}'", expected="a rate above 0 (E7)")
        length = amount * whole / rate
        d_length = amount / rate * (derivative[n + 2] - whole / rate * derivative[n + 1])
    start = dose.time / hours + lag
    none, d_none = np.zeros(n), np.zeros((n, len(free)))
    if length < 0:
        raise DosingError(f"duration {length:g} of a dose by '{dose.route}' is negative", expected="at least 0")
    if length <= BRIEF * max(1.0, start):
        return [Change(start + length / 2, d_lag + d_length / 2, into, d_into, none, d_none)]
    speed, d_speed = into / length, d_into / length - np.outer(into, d_length) / length**2
    return [
        Change(start, d_lag, none, d_none, speed, d_speed),
        Change(start + length, d_lag + d_length, none, d_none, -speed, -d_speed),
    ]


@lru_cache(maxsize=256)
def _converted(unit: str, wanted: str, route: str) -> float:
    """Factor from the unit of a dose to that of its route; a model without units takes numbers as they are."""
    return 1.0 if wanted == "1" else scale_factor(unit, wanted, where=f"dose by '{route}'")


def _viable(system: System, dose: Dose, values: np.ndarray, free: np.ndarray) -> tuple[float, np.ndarray]:
    """Viable fraction of a dose: its own where it has one (T1), else that of its route."""
    if dose.viable is not None:
        return dose.viable, np.zeros(len(free))
    function = system.viable_functions[dose.route]
    if not function.expressions[0].free_symbols <= set(system.parameter_symbols):
        return 1.0, np.zeros(len(free))  # no kept state asks for it
    return float(function.value(*values)[0]), function.jacobian(*values)[0][free]


def _switch_changes(system: System, values: np.ndarray, free: np.ndarray) -> list[Change]:
    if not system.switches:
        return []
    n = len(system.states)
    times = system.switch_function.value(*values)
    derivatives = system.switch_function.jacobian(*values)[:, free]
    none, d_none = np.zeros(n), np.zeros((n, len(free)))
    return [
        Change(float(t), d, none, d_none, none, d_none, i)
        for i, (t, d) in enumerate(zip(times, derivatives, strict=True))
    ]
