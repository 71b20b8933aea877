"""From a model to the equations that an engine solves: only the states that the asked outputs need.

A `System` holds SymPy expressions and their numerical forms. Derived quantities are substituted, ``where`` becomes
a switch, and every state or parameter that no asked output depends on is left out: a label study does not pay for
cytokines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.expressions import Expression, Hill, to_sympy
from mscpkpd.model import Model

__all__ = ["RouteForm", "Switch", "System", "build_system"]

TIME = sympy.Symbol("t", real=True)
VIABLE = sympy.Symbol("viable", real=True)


@dataclass(frozen=True)
class Switch:
    """A time at which the equations change: `symbol` is 0 before `time` and 1 from then on."""

    symbol: sympy.Symbol
    time: sympy.Expr


@dataclass(frozen=True)
class RouteForm:
    """What one unit of a dose becomes: amounts per state, and lag, duration, rate where the model has them.

    `whole` is the bioavailability F of E13: what all states of the model together receive of viable cells; `unit` is
    that of the amount that the shares are shares of.
    """

    name: str
    unit: str
    states: tuple[str, ...]
    into: tuple[sympy.Expr, ...]
    whole: sympy.Expr
    viable: sympy.Expr
    lag: sympy.Expr
    duration: sympy.Expr | None
    rate: sympy.Expr | None

    @property
    def timing(self) -> tuple[sympy.Expr, ...]:
        """The modelled duration alone, or the modelled rate and F, or nothing."""
        if self.duration is not None:
            return (self.duration,)
        return () if self.rate is None else (self.rate, self.whole)

    def onto(self, states: tuple[str, ...]) -> RouteForm:
        """The same route with the amounts of `states` alone."""
        shares = dict(zip(self.states, self.into, strict=True))
        return replace(self, states=states, into=tuple(shares[name] for name in states))


class Numeric:
    """A vector of expressions as a NumPy function, with its derivatives; both compiled at first use."""

    def __init__(self, expressions: Iterable[sympy.Expr], arguments: tuple[sympy.Symbol, ...]) -> None:
        self.expressions = tuple(expressions)
        self.arguments = arguments

    @cached_property
    def _value(self) -> Callable[..., Any]:
        return _lambdify(self.arguments, list(self.expressions))

    @cached_property
    def _entries(self) -> tuple[tuple[tuple[int, int], ...], Callable[..., Any]]:
        """Positions of the derivatives that are not identically zero, and the function that gives them."""
        column = {argument: k for k, argument in enumerate(self.arguments)}
        places, entries = [], []
        for row, expression in enumerate(self.expressions):
            for symbol in sorted(expression.free_symbols & column.keys(), key=column.__getitem__):
                places.append((row, column[symbol]))
                entries.append(sympy.diff(expression, symbol))
        return tuple(places), _lambdify(self.arguments, entries)

    def value(self, *arguments: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Values, shape (n_expressions, *shape); each argument is a number or an array of that shape."""
        out = np.empty((len(self.expressions), *shape))
        for k, number in enumerate(self._value(*arguments)):
            out[k] = number
        return out

    def jacobian(self, *arguments: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Derivatives, shape (n_expressions, n_arguments, *shape)."""
        places, function = self._entries
        out = np.zeros((len(self.expressions), len(self.arguments), *shape))
        for place, number in zip(places, function(*arguments), strict=True):
            out[place] = number
        return out


@dataclass(frozen=True, eq=False)
class System:
    """The equations needed for some outputs of a model.

    Attributes
    ----------
    states, parameters, outputs : tuple of str
        Names kept, in the order of the model file.
    rhs, start : tuple of sympy.Expr
        One per state.
    observed : tuple of sympy.Expr
        One per output.
    routes : dict of RouteForm
        By route name.
    switches : tuple of Switch
        Times at which the right-hand side changes by a rule of the model.
    nominal : tuple of float
        Values of the kept parameters in the model; they set the scale of each state.
    """

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    outputs: tuple[str, ...]
    rhs: tuple[sympy.Expr, ...]
    start: tuple[sympy.Expr, ...]
    observed: tuple[sympy.Expr, ...]
    routes: Mapping[str, RouteForm]
    switches: tuple[Switch, ...]
    nominal: tuple[float, ...]

    @cached_property
    def parameter_symbols(self) -> tuple[sympy.Symbol, ...]:
        """Symbols of the parameters, in order."""
        return tuple(_symbol(name) for name in self.parameters)

    @cached_property
    def state_symbols(self) -> tuple[sympy.Symbol, ...]:
        """Symbols of the states, in order."""
        return tuple(_symbol(name) for name in self.states)

    @cached_property
    def rhs_function(self) -> Numeric:
        """Right-hand side as a function of states, parameters, switches and time."""
        switches = tuple(switch.symbol for switch in self.switches)
        return Numeric(self.rhs, (*self.state_symbols, *self.parameter_symbols, *switches, TIME))

    @cached_property
    def start_function(self) -> Numeric:
        """Start values as a function of the parameters."""
        return Numeric(self.start, self.parameter_symbols)

    @cached_property
    def observed_function(self) -> Numeric:
        """Outputs as a function of states, parameters and time."""
        return Numeric(self.observed, (*self.state_symbols, *self.parameter_symbols, TIME))

    @cached_property
    def switch_function(self) -> Numeric:
        """Switch times as a function of the parameters."""
        return Numeric((switch.time for switch in self.switches), self.parameter_symbols)

    @cached_property
    def route_functions(self) -> Mapping[str, Numeric]:
        """Per route: amounts per state, then lag, then duration or rate and F; of parameters and `viable`."""
        arguments = (*self.parameter_symbols, VIABLE)
        return {name: Numeric((*form.into, form.lag, *form.timing), arguments) for name, form in self.routes.items()}

    @cached_property
    def viable_functions(self) -> Mapping[str, Numeric]:
        """Per route: its declared viable fraction as a function of the parameters."""
        return {name: Numeric((form.viable,), self.parameter_symbols) for name, form in self.routes.items()}


@lru_cache(maxsize=64)
def build_system(model: Model, outputs: tuple[str, ...], routes: tuple[str, ...]) -> System:
    """Select and translate what `outputs` need when doses come by `routes`.

    Parameters
    ----------
    model : Model
        A checked model.
    outputs : tuple of str
        Names of outputs or states.
    routes : tuple of str
        Names of routes or states that doses use.

    Returns
    -------
    System

    Raises
    ------
    UnknownName
        For an output or route that the model does not have.
    ModelError
        For a condition on time that is not linear in time.
    """
    text = _Substitution(model)
    observed = [text.of_name(name) for name in outputs]
    rates = {name: text.of(expression) for name, expression in model.rates}
    starts = {s.name: text.of(s.start) if s.start else sympy.Integer(0) for s in model.states}
    forms = {name: _route_form(model, name, text) for name in routes}
    empty = {_symbol(name): sympy.Integer(0) for name in _always_empty(rates, starts, forms)}
    rates = {name: rate.xreplace(empty) for name, rate in rates.items()}
    observed = [expression.xreplace(empty) for expression in observed]
    states = _needed_states(observed, rates, model.state_names)
    switches: dict[sympy.Expr, Switch] = {}
    rhs = tuple(_switched(rates[name], switches, states) for name in states)
    start = tuple(starts[name] for name in states)
    kept = {name: form.onto(states) for name, form in forms.items()}
    used: set[str] = set()
    everything = [*observed, *rhs, *start, *(s.time for s in switches.values())]
    for form in kept.values():
        into_uses_viable = any(VIABLE in e.free_symbols for e in form.into)
        everything += [*form.into, form.lag, *form.timing, *([form.viable] if into_uses_viable else [])]
    for expression in everything:
        used |= {str(symbol) for symbol in expression.free_symbols}
    parameters = tuple(name for name in model.parameter_names if name in used)
    nominal = tuple(model.parameter(name).value for name in parameters)
    return System(
        states, parameters, tuple(outputs), rhs, start, tuple(observed), kept, tuple(switches.values()), nominal
    )


class _Substitution:
    """Expressions of a model as SymPy, with derived quantities written out."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.units = model.units
        self.derived: dict[sympy.Symbol, sympy.Expr] = {}
        pending = {d.name: d.expression for d in model.derived}
        while pending:
            ready = [name for name, e in pending.items() if not (e.names & pending.keys())]
            for name in ready:
                self.derived[_symbol(name)] = self.of(pending.pop(name))

    def of(self, expression: Expression) -> sympy.Expr:
        units = {**self.units, "viable": "1"}
        return to_sympy(expression, units).xreplace(self.derived)

    def of_name(self, name: str) -> sympy.Expr:
        if name in self.model.output_names:
            return self.of(self.model.output(name).expression)
        if name not in self.model.state_names:
            raise UnknownName.among("output", name, {*self.model.output_names, *self.model.state_names})
        return _symbol(name)


def _route_form(model: Model, name: str, text: _Substitution) -> RouteForm:
    zero, one = sympy.Integer(0), sympy.Integer(1)
    if name not in {route.name for route in model.routes}:
        target = model.state(name).name  # E12: a dose straight into a state has F = 1 and no lag
        shares = tuple(one if s == target else zero for s in model.state_names)
        return RouteForm(name, model.state(target).unit, model.state_names, shares, one, one, zero, None, None)
    route = model.route(name)
    into = dict(route.into)
    shares = tuple(text.of(into[s]) if s in into else zero for s in model.state_names)
    whole = sympy.Add(*shares).subs(VIABLE, 1)
    viable = _symbol(route.viable) if route.viable else one
    lag, duration, rate = (text.of(e) if e is not None else None for e in (route.lag, route.duration, route.rate))
    lag = zero if lag is None else lag
    return RouteForm(name, model.amount_unit(name), model.state_names, shares, whole, viable, lag, duration, rate)


def _always_empty(
    rates: Mapping[str, sympy.Expr], starts: Mapping[str, sympy.Expr], forms: Mapping[str, RouteForm]
) -> set[str]:
    """States that start at zero, receive no dose and gain nothing from any other state: they stay at zero."""
    dosed = {s for form in forms.values() for s, share in zip(form.states, form.into, strict=True) if share != 0}
    empty = {name for name in rates if starts[name] == 0 and name not in dosed}
    while True:
        zeros = {_symbol(name): sympy.Integer(0) for name in empty}
        filled = {name for name in empty if rates[name].xreplace(zeros) != 0}
        if not filled:
            return empty
        empty -= filled


def _needed_states(
    observed: Iterable[sympy.Expr], rates: Mapping[str, sympy.Expr], names: tuple[str, ...]
) -> tuple[str, ...]:
    needed: set[str] = set()
    frontier = {str(s) for e in observed for s in e.free_symbols} & set(names)
    while frontier:
        needed |= frontier
        frontier = {str(s) for name in frontier for s in rates[name].free_symbols} & set(names)
        frontier -= needed
    return tuple(name for name in names if name in needed)


def _switched(expression: sympy.Expr, switches: dict[sympy.Expr, Switch], states: tuple[str, ...]) -> sympy.Expr:
    """Replace each ``where`` by a weighted sum: by a switch where its condition is a time, else by a step."""

    def replace(piece: sympy.Piecewise) -> sympy.Expr:
        (yes, condition), (no, _) = piece.args
        indicator = _indicator(condition, switches, states)
        return _switched(yes, switches, states) * indicator + _switched(no, switches, states) * (1 - indicator)

    return expression.replace(lambda e: isinstance(e, sympy.Piecewise), replace)


def _indicator(condition: Any, switches: dict[sympy.Expr, Switch], states: tuple[str, ...]) -> sympy.Expr:
    if condition in (sympy.true, sympy.false):
        return sympy.Integer(1 if condition is sympy.true else 0)
    larger = condition.gts - condition.lts
    slope = sympy.diff(larger, TIME)
    depends_on_state = {str(s) for s in larger.free_symbols} & set(states)
    if slope.has(TIME) and not depends_on_state:
        problem = f"where({condition}, ...) switches at a time that the engine cannot find"
        raise ModelError(problem, expected="a condition linear in t", hint="where(t < T, ...)")
    if depends_on_state or slope == 0:
        return _step(larger) if condition.rel_op in (">=", "<=") else 1 - _step(-larger)
    time = sympy.simplify(-larger.subs(TIME, 0) / slope)
    if time not in switches:
        switches[time] = Switch(sympy.Symbol(f"switch_{len(switches)}", real=True), time)
    symbol, rising = switches[time].symbol, _step(slope)
    return symbol * rising + (1 - symbol) * (1 - rising)


def _step(expression: sympy.Expr) -> sympy.Expr:
    """1 where an expression is 0 or more, else 0."""
    return sympy.Heaviside(expression, 1)


def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


def _hill(x: Any, half: Any, exponent: Any) -> Any:
    amount = np.asarray(x, dtype=float)
    ratio = np.where(amount > 0, np.maximum(amount / half, 1e-30) ** exponent, 0.0)
    return ratio / (1.0 + ratio)


def _lambdify(arguments: tuple[sympy.Symbol, ...], expressions: Any) -> Callable[..., Any]:
    step = {"Heaviside": lambda x, at_0=0.5: np.heaviside(x, at_0), "DiracDelta": np.zeros_like, Hill.__name__: _hill}
    function: Callable[..., Any] = sympy.lambdify(arguments, expressions, modules=[step, "numpy"], cse=True)
    return function
