"""What kind of equations a system has: a linear block, states that follow one after the other, and the rest.

A state is linear when its rate is linear, with constant coefficients, in states that are themselves linear. It follows
when its rate is linear in itself, given states that are solved before it. Everything else is feedback. A system
without feedback can be solved exactly; ``where(t < T, ...)`` does not matter, because an engine stops at T.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sympy
from sympy.utilities.iterables import strongly_connected_components

from mscpkpd.engine.system import TIME, System

__all__ = ["SolvingOrder", "solving_order"]

# Functions with a corner or a step: no polynomial follows them across it.
CORNERS = (sympy.Heaviside, sympy.Abs, sympy.Max, sympy.Min, sympy.Piecewise, sympy.sign)


@dataclass(frozen=True)
class SolvingOrder:
    """The states of a system, sorted.

    Attributes
    ----------
    linear, following, rest : tuple of str
        Linear with constant coefficients; linear in themselves given those before; neither. In the order in which
        they can be solved.
    block : tuple of str
        The linear states that exchange with one another, and those that feed them: they are solved together.
    alone : tuple of str
        All other states that can be solved exactly, one after the other.
    reasons : tuple of str
        Why the first states of `rest` cannot be solved exactly; the others depend on these.
    """

    linear: tuple[str, ...]
    following: tuple[str, ...]
    rest: tuple[str, ...]
    block: tuple[str, ...]
    alone: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every state can be solved exactly."""
        return not self.rest

    def __str__(self) -> str:
        """Say the finding in one line."""
        if self.rest:
            return f"{'; '.join(self.reasons)}: stiff"
        parts = []
        if self.linear:
            parts.append(f"{len(self.linear)} {'state is' if len(self.linear) == 1 else 'states are'} linear")
        if self.following:
            several = len(self.following) > 1
            parts.append(f"{_listed(self.following)} {'follow one after the other' if several else 'follows'}")
        return f"{', '.join(parts) or 'no states'}: exact"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _between(loop: tuple[str, ...]) -> str:
    shown = loop if len(loop) <= 4 else (*loop[:3], f"{len(loop) - 3} more")
    return f"{'between' if len(loop) > 1 else 'within'} {_listed(shown)}"


@lru_cache(maxsize=256)
def solving_order(system: System) -> SolvingOrder:
    """Sort the states of a system.

    Parameters
    ----------
    system : System
        Equations.

    Returns
    -------
    SolvingOrder
    """
    rates = dict(zip(system.states, map(sympy.expand, system.rhs), strict=True))
    symbols = dict(zip(system.states, system.state_symbols, strict=True))
    needs = {name: {n for n in rates if symbols[n] in rates[name].free_symbols} for name in rates}
    linear: list[str] = []
    following: list[str] = []
    rest: list[str] = []
    block: set[str] = set()
    reasons: list[str] = []
    for group in _groups(needs):
        outer = set().union(*(needs[name] for name in group)) - set(group)
        if outer <= set(linear) and all(_constant(rates[name], symbols.values()) for name in group):
            linear += group
            block |= set(group) | _before(group, needs) if len(group) > 1 else set()
        elif len(group) == 1 and not outer & set(rest) and _follows(rates[group[0]], symbols[group[0]], symbols):
            following += group
        else:
            rest += group
            if not outer & set(rest) or len(group) > 1:
                members = tuple(name for name in system.states if name in group)
                cornered = [name for name in members if _has_corner(rates[name], {*symbols.values(), TIME})]
                reasons.append(_reason(members, cornered))
    together = tuple(name for name in linear if name in block)
    alone = tuple(name for name in (*linear, *following) if name not in block)
    return SolvingOrder(tuple(linear), tuple(following), tuple(rest), together, alone, tuple(reasons))


def _groups(needs: dict[str, set[str]]) -> list[list[str]]:
    """States that depend on one another, each group after those that it depends on."""
    edges = [(name, other) for name, others in needs.items() for other in needs if other in others]
    return [list(group) for group in strongly_connected_components((list(needs), edges))]


def _before(group: Iterable[str], needs: dict[str, set[str]]) -> set[str]:
    """Every state that the group depends on, directly or not."""
    found: set[str] = set()
    frontier = set(group)
    while frontier:
        frontier = set().union(*(needs[name] for name in frontier)) - found
        found |= frontier
    return found


def _constant(rate: sympy.Expr, states: Iterable[sympy.Symbol]) -> bool:
    """Whether a rate is linear in the states, with coefficients and a constant that do not change between events."""
    moving = {*states, TIME}
    partial = [sympy.expand(sympy.diff(rate, state)) for state in states if state in rate.free_symbols]
    rests = rate.xreplace(dict.fromkeys(states, sympy.Integer(0)))
    return not any(expression.free_symbols & moving for expression in (*partial, rests))


def _follows(rate: sympy.Expr, state: sympy.Symbol, symbols: dict[str, sympy.Symbol]) -> bool:
    """Whether a rate is linear in its own state, and smooth in everything that moves."""
    moving = {*symbols.values(), TIME}
    if _has_corner(rate, moving):
        return False
    return state not in sympy.expand(sympy.diff(rate, state)).free_symbols


def _has_corner(rate: sympy.Expr, moving: set[sympy.Symbol]) -> bool:
    return any(corner.free_symbols & moving for corner in rate.atoms(*CORNERS))


def _reason(members: tuple[str, ...], cornered: list[str]) -> str:
    if len(members) > 1 or not cornered:
        return f"feedback {_between(members)}"
    return f"a corner in the rate of {members[0]}"
