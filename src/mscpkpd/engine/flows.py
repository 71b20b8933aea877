"""What flows where: arrows derived from the rates of a model, so that a picture cannot disagree with the equations.

Every rate is written as a sum of terms ``coefficient * part``, the part holding everything that depends on a state.
A part that leaves one state and enters another of the same dimension, with a share of the rate constant at which it
leaves, is a transfer. What leaves and enters nowhere goes outside; what enters and leaves nowhere is made. A state in
the part of a term that it does not lose itself is an influence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import sympy

from mscpkpd.engine.arrows import Entry, Flow, Influence, Structure, Term
from mscpkpd.engine.system import Numeric
from mscpkpd.engine.terms import is_share, netted, product_text, text_of
from mscpkpd.expressions import Expression, to_sympy
from mscpkpd.model import Model
from mscpkpd.units import same_dimension

__all__ = ["structure_of"]

TIME = sympy.Symbol("t", real=True)
VIABLE = sympy.Symbol("viable", real=True)
LONGEST = 26  # letters of a label that is written out
MOST_NAMES = 4  # of a label that is not
ROUNDING = 1e-9
POINTS = 60  # at which the sign of an influence is looked at


@dataclass(frozen=True)
class _Part:
    """One term of a rate: `coefficient` of parameters alone times `part` that depends on states."""

    owner: str
    coefficient: sympy.Expr
    part: sympy.Expr

    @property
    def whole(self) -> sympy.Expr:
        return self.coefficient * self.part


def structure_of(model: Model) -> Structure:
    """Derive the arrows of a model from its rates and routes.

    Parameters
    ----------
    model : Model
        A checked model.

    Returns
    -------
    Structure
        Flows between states, to and from outside, influences and entering doses, each in the order of the model.
    """
    return _Derivation(model).structure()


class _Derivation:
    """The rates of one model with everything that is asked of them more than once."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.symbols = {name: sympy.Symbol(name, real=True) for name in model.state_names}
        self.units = {**model.units, "viable": "1"}
        self.named: dict[str, sympy.Expr] = {}  # derived quantities, the states written out
        self.fixed: dict[sympy.Symbol, sympy.Expr] = {}  # derived quantities of parameters alone, written out
        self.gates: dict[sympy.Basic, sympy.Symbol] = {}
        for row in model.derived_in_order:
            formula = self._sympy(row.expression)
            if self._states_of(formula) or TIME in formula.free_symbols:
                self.named[row.name] = formula
            else:
                self.fixed[sympy.Symbol(row.name, real=True)] = formula.xreplace(self.fixed)
        self.numbers = self._numbers()
        self.floats = {symbol: sympy.Float(value) for symbol, value in self.numbers.items()}
        rates = {name: self._split(name, rate) for name, rate in model.rates}
        self.gains = {name: [part for part in parts if self._sign(part.coefficient) > 0]
                      for name, parts in rates.items()}  # fmt: skip
        self.losses = {name: [part for part in parts if self._sign(part.coefficient) < 0]
                       for name, parts in rates.items()}  # fmt: skip

    # ---- rates as terms --------------------------------------------------------------------------------------------

    def _sympy(self, expression: Expression) -> sympy.Expr:
        """A formula with the derived quantities that depend on states written out."""
        replaced = {sympy.Symbol(name, real=True): formula for name, formula in self.named.items()}
        return self._gated(to_sympy(expression, self.units).xreplace(replaced))

    def _gated(self, formula: sympy.Expr) -> sympy.Expr:
        """Each side of a ``where`` times a symbol of its own."""

        def opened(piece: sympy.Piecewise) -> sympy.Expr:
            (yes, condition), (no, _) = piece.args
            return self._gate(condition) * self._gated(yes) + self._gate(sympy.Not(condition)) * self._gated(no)

        return formula.replace(lambda e: isinstance(e, sympy.Piecewise), opened)

    def _gate(self, condition: sympy.Basic) -> sympy.Symbol:
        return self.gates.setdefault(condition, sympy.Symbol(f"gate_{len(self.gates)}", positive=True))

    def _states_of(self, formula: sympy.Expr) -> tuple[str, ...]:
        used = {str(symbol) for symbol in formula.free_symbols}
        for condition, gate in self.gates.items():
            if gate in formula.free_symbols:
                used |= {str(symbol) for symbol in condition.free_symbols}
        return tuple(name for name in self.symbols if name in used)

    def _split(self, owner: str, rate: Expression) -> list[_Part]:
        formula, whole = self._closed(self._sympy(rate))
        dependent = (*self.symbols.values(), TIME, *self.gates.values(), *whole)
        terms = sympy.Add.make_args(sympy.expand(formula, power_base=False, power_exp=False, log=False))
        by_part: dict[sympy.Expr, list[sympy.Expr]] = {}
        for term in terms:
            coefficient, part = term.as_independent(*dependent, as_Add=False)
            if coefficient != 0:
                by_part.setdefault(part.xreplace(whole), []).append(coefficient)
        return [_Part(owner, coefficient, part) for part, found in by_part.items() for coefficient in netted(found)]

    def _closed(self, formula: sympy.Expr) -> tuple[sympy.Expr, dict[sympy.Symbol, sympy.Expr]]:
        """A rate in which factors such as 1 - hill(x, e, h) are symbols, so that they stay whole, and these symbols."""
        whole: dict[sympy.Symbol, sympy.Expr] = {}

        def symbol(factor: sympy.Expr) -> sympy.Symbol:
            return next((s for s, f in whole.items() if f == factor), None) or new(factor)

        def new(factor: sympy.Expr) -> sympy.Symbol:
            made = sympy.Dummy(real=True)
            whole[made] = factor
            return made

        def close(part: sympy.Expr) -> sympy.Expr:
            if part.is_Add:
                return symbol(part) if self._regulates(part) else part.func(*(close(term) for term in part.args))
            return part.func(*(close(factor) for factor in part.args)) if part.is_Mul else part

        terms = sympy.Add.make_args(formula)
        return sympy.Add(*(close(term) if not term.is_Add else term for term in terms)), whole

    def _regulates(self, factor: sympy.Expr) -> bool:
        """Whether a sum depends on states only through saturating functions: it scales a rate and is no amount."""
        states = list(self.symbols.values())
        terms = [term for term in factor.args if term.has(*states)]
        return bool(terms) and not any(term.is_polynomial(*states) for term in terms)

    def _numbers(self) -> dict[sympy.Symbol, float]:
        """A value for every parameter at which signs are looked at: none is zero."""
        numbers = {}
        for row in self.model.parameters:
            low_high = [abs(x) for x in (row.high, row.low) if x]
            fallback = low_high[0] / 3 if low_high else 0.37
            numbers[sympy.Symbol(row.name, real=True)] = row.value or fallback
        return numbers

    def _sign(self, coefficient: sympy.Expr) -> float:
        return float(sympy.N(coefficient.xreplace(self.fixed).xreplace(self.floats)))

    def _off(self, formula: sympy.Expr) -> bool:
        """Whether the numbers of the model make a formula zero."""
        values = {sympy.Symbol(name, real=True): value for name, value in self.model.values.items()}
        zeros = {symbol: sympy.Integer(0) for symbol, value in values.items() if value == 0}
        return bool(zeros) and bool(formula.xreplace(self.fixed).xreplace(zeros) == 0)

    # ---- arrows ----------------------------------------------------------------------------------------------------

    def structure(self) -> Structure:
        """All arrows."""
        transfers: list[tuple[str, str, _Part]] = []
        outs: list[tuple[str, str, _Part]] = []
        for source, parts in self.losses.items():
            for loss in parts:
                if source not in self._states_of(loss.part):
                    continue  # taken away at a rate that does not know how much there is: an influence
                found = self._destinations(source, loss)
                if not found and self._brakes(loss):
                    continue  # the x of k*(1 - x): it slows what enters
                transfers += [(source, gain.owner, gain) for gain in found]
                rest = self._remainder(loss, found)
                if rest is not None:
                    outs.append((source, "", _Part(source, rest, loss.part)))
        sources: dict[tuple[str, int], set[str]] = {}
        for source, target, gain in transfers:
            sources.setdefault((target, id(gain)), set()).add(source)
        made = [("", name, gain) for name, parts in self.gains.items() for gain in parts
                if (name, id(gain)) not in sources and set(self._states_of(gain.part)) <= {name}]  # fmt: skip
        flows = [self._flow(*ends, [part for _, _, part in group]) for ends, group in _by_ends(transfers + outs + made)]
        return Structure(self.model.state_names, tuple(flows), tuple(self._influences(sources)), self._entries())

    def _destinations(self, source: str, loss: _Part) -> list[_Part]:
        """Terms of other rates that receive a share of what a state loses."""
        found = []
        for name, parts in self.gains.items():
            if name == source or not self._same_dimension(source, name):
                continue
            found += [gain for gain in parts if self._is_share(source, gain, loss)]
        if source in self.model.conserved and self._surplus(loss, found):
            found = [gain for gain in found if gain.owner in self.model.conserved]  # the others count what dies as well
        return found

    def _is_share(self, source: str, gain: _Part, loss: _Part) -> bool:
        """Whether a gain is a part of a loss: it has the rate constant of the loss.

        Between conserved states the share may depend on other states.
        """
        if gain.part == loss.part:
            return is_share(gain.coefficient, loss.coefficient)
        if not {source, gain.owner} <= set(self.model.conserved):
            return False
        share = sympy.cancel(gain.whole / loss.whole)
        return not share.free_symbols & loss.whole.free_symbols

    def _surplus(self, loss: _Part, found: Iterable[_Part]) -> bool:
        """Whether more arrives than leaves: something is counted twice."""
        if any(gain.part != loss.part for gain in found):
            return False
        arriving = sum(self._sign(gain.coefficient) for gain in found)
        leaving = -self._sign(loss.coefficient)
        return arriving > leaving * (1 + ROUNDING)

    def _same_dimension(self, one: str, other: str) -> bool:
        return same_dimension(self.model.units[one], self.model.units[other])

    def _brakes(self, loss: _Part) -> bool:
        """Whether a term is what a gain of the same state lacks for being full: k*x**2/K of k*x*(1 - x/K)."""
        own = self.symbols[loss.owner]
        slowed = [gain for gain in self.gains[loss.owner]
                  if self._states_of(gain.part) and gain.part * own == loss.part]  # fmt: skip
        return any(not sympy.fraction(sympy.cancel(loss.coefficient / gain.coefficient))[0].free_symbols
                   for gain in slowed)  # fmt: skip

    def _remainder(self, loss: _Part, found: Iterable[_Part]) -> sympy.Expr | None:
        """Coefficient of what enters no other state; None where all of it does."""
        if any(gain.part != loss.part for gain in found):  # all between conserved states
            rest = -loss.whole - sum(gain.whole for gain in found)
            if sympy.cancel(sympy.together(rest.xreplace(self.fixed))) == 0:
                return None
        rest = -loss.coefficient - sum(gain.coefficient for gain in found if gain.part == loss.part)
        nothing = sympy.expand(rest.xreplace(self.fixed)) == 0 or self._surplus(loss, found)
        return None if nothing else sympy.factor(rest)

    def _flow(self, source: str, target: str, parts: list[_Part]) -> Flow:
        total = sum(part.whole for part in parts)
        name = next((n for n, formula in self.named.items() if sympy.expand(formula - total) == 0), "")
        off = all(self._off(part.coefficient) for part in parts)
        divisor = self.symbols.get(source, sympy.Integer(1))
        grouped: dict[sympy.Expr, sympy.Expr] = {}
        for part in parts:
            grouped[part.part] = grouped.get(part.part, sympy.Integer(0)) + part.coefficient
        terms = tuple(self._term(c, part / divisor) for part, c in grouped.items())
        if name and any(term.names for term in terms):
            return Flow(source, target, (Term(name),), off)
        return Flow(source, target, terms, off)

    def _term(self, coefficient: sympy.Expr, part: sympy.Expr) -> Term:
        text = product_text(coefficient, self._sign)
        if part == 1:
            named = tuple(sorted(str(symbol) for symbol in coefficient.free_symbols))
            return Term(text) if len(text) <= LONGEST else Term("", named[:MOST_NAMES])
        states = self._states_of(part)
        whole = "" if any(gate in part.free_symbols for gate in self.gates.values()) else text_of(part)
        together = whole if text == "1" else f"{text}/{whole[2:]}" if whole.startswith("1/") else f"{text}*{whole}"
        if whole and len(together) <= LONGEST and part.is_Mul | part.is_Pow | part.is_Symbol:
            return Term(together)
        return Term(text if len(text) <= LONGEST else "", states or ("t",))

    def _influences(self, sources: Mapping[tuple[str, int], set[str]]) -> list[Influence]:
        """States in terms of other rates, but for what flows from them."""
        slopes: dict[tuple[str, str], list[_Part]] = {}
        for target in self.model.state_names:
            for part in (*self.gains[target], *self.losses[target]):
                # what a term takes away arrives elsewhere: its influences are drawn where it arrives
                moved = part in self.losses[target] and bool(self._destinations(target, part))
                carried = sources.get((target, id(part)), set())
                for state in self._states_of(part.part):
                    if state != target and state not in carried and not moved:
                        slopes.setdefault((state, target), []).append(part)
        return [self._influence(*ends, parts) for ends, parts in slopes.items()]

    def _influence(self, source: str, target: str, parts: list[_Part]) -> Influence:
        slope = sympy.diff(sum(part.whole for part in parts), self.symbols[source]).xreplace(self.fixed)
        return Influence(source, target, self._direction(slope), self._off(slope))

    def _direction(self, slope: sympy.Expr) -> int:
        """Sign of the slope of a rate by a state, looked at where all states are above zero."""
        slope = slope.xreplace(dict.fromkeys(self.gates.values(), sympy.Float(0.5)))
        arguments = (*self.symbols.values(), TIME, *self.numbers)
        rng = np.random.default_rng(0)
        points = 10.0 ** rng.uniform(-2, 4, (len(self.symbols) + 1, POINTS))
        for row, name in enumerate(self.symbols):
            if self.model.units[name] in ("1", "%"):  # a share
                points[row] = rng.uniform(0, 1, POINTS)
        with np.errstate(all="ignore"):
            values = Numeric((slope,), arguments).value(*points, *self.numbers.values(), shape=(POINTS,))[0]
        values = values[np.isfinite(values) & (values != 0)]
        return int(np.sign(values[0])) if len(values) and np.all(np.sign(values) == np.sign(values[0])) else 0

    # ---- routes ----------------------------------------------------------------------------------------------------

    def _entries(self) -> tuple[Entry, ...]:
        living: dict[str, list[str]] = {}
        dead: dict[str, list[str]] = {}
        for route in self.model.routes:
            for state, expression in route.into:
                share = to_sympy(expression, self.units)
                if share != 0:
                    only_dead = VIABLE in share.free_symbols and sympy.expand(share.subs(VIABLE, 1)) == 0
                    (dead if only_dead else living).setdefault(state, []).append(route.name)
        order = self.model.state_names
        return (
            *(Entry(name, tuple(living[name])) for name in order if name in living),
            *(Entry(name, tuple(dead[name]), dead_only=True) for name in order if name in dead),
        )


def _by_ends(
    arrows: Iterable[tuple[str, str, _Part]],
) -> Iterable[tuple[tuple[str, str], list[tuple[str, str, _Part]]]]:
    order: dict[tuple[str, str], int] = {}
    listed = list(arrows)
    for source, target, _ in listed:
        order.setdefault((source, target), len(order))
    listed.sort(key=lambda arrow: order[arrow[:2]])
    return [(ends, list(group)) for ends, group in groupby(listed, key=lambda arrow: arrow[:2])]
