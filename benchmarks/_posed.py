"""One problem as everybody gets it: equations, doses, times and outputs, generated from a model of the library.

States are in units of their own size, so that one absolute tolerance means the same to all of them in every solver.
Doses are cut into segments: at the beginning of each, amounts are added to the states; within it, inflow is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.solve import solve
from mscpkpd.engine.system import System, build_system
from mscpkpd.model import Model

VIABLE = sympy.Symbol("viable", real=True)
TINY = 1e-30
NOTHING = 1e-20  # a state that stays below it has no size of its own

Expressions = tuple[sympy.Expr, ...]
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Posed:
    """A problem.

    Attributes
    ----------
    name : str
    model, system, regimen
        Where the equations come from; what our own engines are given.
    times : array of shape (n_times,)
        When outputs are wanted, increasing; one that coincides with a dose is after it.
    scale : array of shape (n_states,)
        Unit of each state in the equations below, a power of two.
    rhs, start : tuple of sympy.Expr
        Of the scaled states.
    observed : tuple of sympy.Expr
        Outputs as functions of the scaled states.
    into : tuple of tuple of sympy.Expr
        For each route what each scaled state receives of one unit of dose.
    edges : array of shape (n_segments + 1,)
        Where segments begin, and where the last one ends.
    bolus, inflow : array of shape (n_segments, n_routes)
        Amount given at the beginning of each segment; amount per time during it.
    """

    name: str
    model: Model
    system: System
    regimen: Regimen
    times: np.ndarray
    scale: np.ndarray
    rhs: Expressions
    start: Expressions
    observed: Expressions
    into: tuple[Expressions, ...]
    edges: np.ndarray
    bolus: np.ndarray
    inflow: np.ndarray

    @property
    def states(self) -> tuple[sympy.Symbol, ...]:
        return self.system.state_symbols

    @property
    def parameters(self) -> tuple[sympy.Symbol, ...]:
        return self.system.parameter_symbols

    @property
    def nominal(self) -> np.ndarray:
        return np.array(self.system.nominal)

    @cached_property
    def inside(self) -> tuple[np.ndarray, ...]:
        """For each segment the positions of the times in it; one at its end belongs to the next, if there is one."""
        which = np.searchsorted(self.edges[1:-1], self.times, side="right")
        return tuple(np.flatnonzero(which == k) for k in range(len(self.bolus)))

    @cached_property
    def entering(self) -> Function:
        """Parameters to start values and what a unit of dose by each route becomes, (1 + n_routes, n_states, ...)."""
        function = lambdified((self.parameters,), (self.start, *self.into), np.maximum, "numpy")
        return lambda values: _filled(function(values), np.shape(values)[1:])

    @cached_property
    def outputs(self) -> Function:
        """Scaled states (n_states, ...) and parameters (n_parameters, ...) to outputs (n_outputs, ...)."""
        function = lambdified((self.states, self.parameters), (self.observed,), np.maximum, "numpy")
        return lambda states, values: _filled(function(states, values), np.shape(states)[1:])[0]


def pose(name: str, model: Model, outputs: tuple[str, ...], regimen: Regimen, times: np.ndarray) -> Posed:
    """Generate the problem of some outputs of a model under boluses and infusions without lag."""
    times = np.asarray(times, dtype=float)
    system = build_system(model, outputs, regimen.routes)
    scale = _sizes(system, regimen, times)
    units = [sympy.Float(size) for size in scale]
    grown = {symbol: symbol * unit for symbol, unit in zip(system.state_symbols, units, strict=True)}

    def scaled(expressions: Iterable[sympy.Expr]) -> Expressions:
        return tuple(e.xreplace(grown) / u for e, u in zip(expressions, units, strict=True))

    forms = [system.routes[route] for route in regimen.routes]
    into = tuple(scaled(share.subs(VIABLE, form.viable) for share in form.into) for form in forms)
    observed = tuple(e.xreplace(grown) for e in system.observed)
    return Posed(
        name, model, system, regimen, times, scale, scaled(system.rhs), scaled(system.start), observed, into,
        *_segments(regimen.doses, regimen.routes, times[-1]),
    )  # fmt: skip


def lambdified(arguments: Any, rows: Sequence[Expressions], maximum: Function, modules: Any) -> Function:
    """Rows of expressions as a function of NumPy or of something that has the same names."""

    def hill(x: Any, half: Any, exponent: Any) -> Any:
        ratio = (maximum(x, TINY) / half) ** exponent  # a solver may step a little below zero
        return ratio / (1.0 + ratio)

    own = [{"Hill": hill}, *(modules if isinstance(modules, list) else [modules])]
    function: Function = sympy.lambdify(arguments, [list(row) for row in rows], modules=own, cse=True)
    return function


def _filled(rows: Sequence[Sequence[Any]], shape: tuple[int, ...]) -> np.ndarray:
    return np.array([[np.broadcast_to(each, shape) for each in row] for row in rows], dtype=float)


def _sizes(system: System, regimen: Regimen, times: np.ndarray) -> np.ndarray:
    """Largest value of each state at the values of the model, rounded to a power of two so that nothing is lost."""
    fine = np.union1d(times, np.linspace(0.0, times[-1], 200))
    largest = np.max(np.abs(solve(system, regimen, fine, np.array(system.nominal)).states), axis=1)
    return np.asarray(2.0 ** np.round(np.log2(np.where(largest > NOTHING, largest, 1.0))))


def _segments(doses: Sequence[Dose], routes: Sequence[str], end: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    moments = {0.0, *(d.time for d in doses), *(d.time + d.duration for d in doses)}
    edges = np.array([*sorted(t for t in moments if t < end), end])
    bolus, inflow = np.zeros((2, len(edges) - 1, len(routes)))
    for dose in doses:
        route = routes.index(dose.route)
        if dose.duration == 0.0:
            bolus[edges[:-1] == dose.time, route] += dose.amount
        else:
            during = (edges[:-1] >= dose.time) & (edges[:-1] < dose.time + dose.duration)
            inflow[during, route] += dose.amount / dose.duration
    return edges, bolus, inflow
