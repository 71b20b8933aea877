"""The equations of a system as functions that JAX can trace and differentiate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import sympy

from mscpkpd.engine.structure import SolvingOrder, solving_order
from mscpkpd.engine.system import TIME, VIABLE, Numeric, System
from mscpkpd.expressions import Hill

__all__ = ["Equations", "Rank", "equations_of"]

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Rank:
    """States, outside of the block, that need the block and the ranks before, but not one another.

    Attributes
    ----------
    states : tuple of int
        Positions in the system.
    constant : bool
        Whether the losses are constant between events.
    losses, gains : callable
        Of all states, parameters, switches and time: each a and each b in dy/dt = b - a y.
    """

    states: tuple[int, ...]
    constant: bool
    losses: Function
    gains: Function


@dataclass(frozen=True, eq=False)
class Equations:
    """Functions of parameters and switches.

    Attributes
    ----------
    order : SolvingOrder
    block : tuple of int
        Positions of the states of the linear block in the system.
    ranks : tuple of Rank
        All other states, in the order in which they can be solved.
    matrix, constant : callable
        Of parameters and switches: entries of A of the block, row by row, and what flows in by itself.
    constant_into : tuple of int
        Places in the block into which something may flow by itself.
    start : callable
        Of parameters: start values.
    into : dict of callable
        By route, of parameters and the viable fraction: what one unit of a dose becomes in each state.
    viable : dict of callable
        By route, of parameters: its viable fraction.
    observed : callable
        Of states, parameters and time: the outputs.
    speeds : Numeric
        Of parameters and switches: entries of A, and the losses that are constant; by NumPy.
    """

    order: SolvingOrder
    block: tuple[int, ...]
    ranks: tuple[Rank, ...]
    matrix: Function
    constant: Function
    constant_into: tuple[int, ...]
    start: Function
    into: Mapping[str, Function]
    viable: Mapping[str, Function]
    observed: Function
    speeds: Numeric


@lru_cache(maxsize=64)
def equations_of(system: System) -> Equations:
    """Translate a system.

    Parameters
    ----------
    system : System
        Equations without feedback.

    Returns
    -------
    Equations
    """
    order = solving_order(system)
    position = {name: k for k, name in enumerate(system.states)}
    outer = (*system.parameter_symbols, *(switch.symbol for switch in system.switches))
    block = tuple(position[name] for name in order.block)
    ranks = _ranks(system, tuple(position[name] for name in order.alone), outer)
    nothing = dict.fromkeys(system.state_symbols, sympy.Integer(0))
    rhs = [sympy.expand(expression) for expression in system.rhs]
    constants = [rhs[i].xreplace(nothing) for i in block]
    matrix = [sympy.diff(rhs[i], system.state_symbols[j]) for i in block for j in block]
    losses = [-sympy.diff(rhs[i], system.state_symbols[i]) for rank in ranks if rank.constant for i in rank.states]
    dosed = (*system.parameter_symbols, VIABLE)
    return Equations(
        order,
        block,
        ranks,
        _traceable(outer, matrix),
        _traceable(outer, constants),
        tuple(k for k, expression in enumerate(constants) if expression != 0),
        _traceable(system.parameter_symbols, system.start),
        {name: _traceable(dosed, form.into) for name, form in system.routes.items()},
        {name: _traceable(system.parameter_symbols, [form.viable]) for name, form in system.routes.items()},
        _traceable((*system.state_symbols, *system.parameter_symbols, TIME), system.observed),
        Numeric((*matrix, *losses), outer),
    )


def _ranks(system: System, alone: tuple[int, ...], outer: tuple[sympy.Symbol, ...]) -> tuple[Rank, ...]:
    """Gather states that can be solved together, each as early as it can be."""
    symbols, moving = system.state_symbols, {*system.state_symbols, TIME}
    arguments = (*symbols, *outer, TIME)
    losses = {i: -sympy.diff(sympy.expand(system.rhs[i]), symbols[i]) for i in alone}
    gains = {i: system.rhs[i].xreplace({symbols[i]: sympy.Integer(0)}) for i in alone}
    place: dict[int, int] = {}
    for i in alone:
        needed = (place[j] for j in alone if j != i and symbols[j] in system.rhs[i].free_symbols)
        place[i] = 1 + max(needed, default=-1)
    together: dict[tuple[int, bool], list[int]] = {}
    for i in sorted(alone, key=place.__getitem__):
        together.setdefault((place[i], not losses[i].free_symbols & moving), []).append(i)
    return tuple(
        Rank(
            tuple(states),
            constant,
            _traceable(arguments, [losses[i] for i in states]),
            _traceable(arguments, [gains[i] for i in states]),
        )
        for (_, constant), states in together.items()
    )


def _traceable(arguments: tuple[sympy.Symbol, ...], expressions: Any) -> Function:
    own = {Hill.__name__: _hill, "Heaviside": _step}
    made: Function = sympy.lambdify(arguments, list(expressions), modules=[own, jnp], cse=True)
    return made


def _hill(x: Any, half: Any, exponent: Any) -> jax.Array:
    """x**h/(x**h + e**h), with derivatives that are finite at x = 0 and for what rounding leaves below it."""
    if isinstance(exponent, int | float) and exponent == 1:
        return jnp.asarray(x / (half + x))
    positive = x > 0
    logarithm = jnp.log(jnp.where(positive, x, half) / half)
    return jnp.where(positive, jax.nn.sigmoid(exponent * logarithm), 0.0)


def _step(x: Any, _: Any = 1) -> jax.Array:
    """1 where x is 0 or more, else 0; of parameters alone."""
    return jnp.where(x >= 0, 1.0, 0.0)
