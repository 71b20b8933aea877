"""The general engine: any model, by a compiled stiff solver (BDF) with exact forward sensitivities.

A system is written in DiffSL, compiled by LLVM through pydiffsol and kept. States are scaled to the order of one,
because the solver knows one absolute tolerance for all of them. Free parameters, start values and infusion rates
are inputs, so that one compiled program serves every interval, subject and draw. Without sensitivities, where an input
costs nothing, the scale is an input too, and the program serves every regimen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pydiffsol
import sympy
from sympy.printing.str import StrPrinter

from mscpkpd.engine.system import System
from mscpkpd.errors import ModelError, SolveError

__all__ = ["Interval", "Program", "compile_program"]

# Absolute tolerance per unit of scaled state, as a multiple of the relative one: four digits below what rule L9 allows.
ABSOLUTE_SHARE = 1e-4
# The BDF of diffsol leaves the right-hand side of the sensitivities out of its first step, and with it an error of one
# step length, which is about the root of the tolerance: 1e-4 at one unit of time. One more state, too small to count
# and too fast to follow, makes that first step about 1e-9 long. Measured: errors of slow models fall from 1e-4 to 1e-8.
KICK_START, KICK_RATE = 1e-18, 1e11
# Blood flow through an organ turns over 1e4 times an hour and more: the first steps after a dose are shorter than the
# 1e-13 at which diffsol gives up of itself.
SHORTEST_STEP = 1e-30
OVERSHOT = "Solver reached stop time before consuming all t_eval points"


@dataclass(frozen=True)
class Interval:
    """States between two changes, at the asked times.

    Attributes
    ----------
    states : array of shape (n_states, n_times)
    sensitivities : array of shape (n_inputs, n_states, n_times) or None
        By free parameter, then by active start value, then by active infusion rate.
    """

    states: np.ndarray
    sensitivities: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled system.

    Attributes
    ----------
    inputs : tuple of int
        Positions of the parameters that are inputs, in the order of the system.
    starts, rates : tuple of int
        Positions of the states whose start value, or infusion rate, is an input; all others are zero.
    scale : array of shape (n_states,)
        What one unit of scaled state is worth.
    sensitivities : bool
        Whether it is made for sensitivities.
    """

    system: System
    ode: pydiffsol.Ode
    inputs: tuple[int, ...]
    starts: tuple[int, ...]
    rates: tuple[int, ...]
    scale: np.ndarray
    sensitivities: bool

    def run(
        self,
        values: np.ndarray,
        state: np.ndarray,
        rate: np.ndarray,
        switches: np.ndarray,
        *,
        begin: float,
        times: np.ndarray,
        tolerance: float,
        careful: bool = False,
        further: bool = False,
    ) -> Interval:
        """Integrate from `begin` to the last of `times`; `careful` controls the error of the sensitivities too.

        `further` says that the last of `times` lies beyond what is wanted.

        Raises
        ------
        SolveError
            If the solver gives up; the message holds its reason and the time.
        """
        try:
            return self._solved(
                values, state, rate, switches, begin=begin, times=times, tolerance=tolerance, careful=careful
            )
        except RuntimeError as error:
            raise _stopped(begin, times, error) from error
        except BaseException as error:  # it also panics, in ways that are no Exception, and then stays locked
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            _ode.cache_clear()
            _compile.cache_clear()
            if OVERSHOT not in str(error) or further:
                raise _stopped(begin, times, error) from error
        # Where states stand still, it may step over the last time by rounding: a time beyond is not asked for in vain.
        fresh = compile_program(
            self.system, values, self.inputs, self.starts, self.rates, self.scale, sensitivities=self.sensitivities
        )
        more = np.append(times, times[-1] + (times[-1] - begin) / 8)
        found = fresh.run(
            values, state, rate, switches, begin=begin, times=more, tolerance=tolerance, careful=careful, further=True
        )
        slopes = found.sensitivities
        return Interval(found.states[:, :-1], None if slopes is None else slopes[:, :, :-1])

    def _solved(
        self,
        values: np.ndarray,
        state: np.ndarray,
        rate: np.ndarray,
        switches: np.ndarray,
        *,
        begin: float,
        times: np.ndarray,
        tolerance: float,
        careful: bool,
    ) -> Interval:
        starts, rates = list(self.starts), list(self.rates)
        numbers = [values[list(self.inputs)], state[starts] / self.scale[starts], rate[rates] / self.scale[rates]]
        inputs = np.concatenate([*numbers, switches, *([] if self.sensitivities else [self.scale])])
        ode = self.ode
        ode.t0, ode.rtol, ode.atol = begin, tolerance, tolerance * ABSOLUTE_SHARE
        ode.h0 = max(1e-6, 1e-4 * (times[-1] - begin))
        if not self.sensitivities:
            return Interval(ode.solve_dense(inputs, times).ys * self.scale[:, None], None)
        # The steps that the states need carry the sensitivities to about 1e-6 as well: controlling their error too
        # was measured to cost 20 to 40 % and to gain nothing, but where states stand still: at a steady state.
        ode.sens_rtol = tolerance if careful else None
        ode.sens_atol = tolerance * ABSOLUTE_SHARE if careful else None
        solution = ode.solve_fwd_sens(inputs, times)
        return Interval(solution.ys[:-1] * self.scale[:, None], self._unscaled(solution.sens))

    def _unscaled(self, sensitivities: Sequence[np.ndarray]) -> np.ndarray:
        n, kept = len(self.inputs), len(self.inputs) + len(self.starts) + len(self.rates)
        out = np.array(sensitivities[:kept])[:, :-1] * self.scale[:, None]
        for k, position in enumerate((*self.starts, *self.rates)):
            out[n + k] /= self.scale[position]
        return np.asarray(out)


def _stopped(begin: float, times: np.ndarray, error: BaseException) -> SolveError:
    return SolveError(f"the solver stopped between {begin:g} and {times[-1]:g}: {error}")


def compile_program(
    system: System,
    values: np.ndarray,
    inputs: tuple[int, ...],
    starts: tuple[int, ...],
    rates: tuple[int, ...],
    scale: np.ndarray,
    *,
    sensitivities: bool,
) -> Program:
    """Translate and compile a system; equal programs are compiled once per process.

    Parameters
    ----------
    system : System
        Equations.
    values : array of shape (n_parameters,)
        Values written into the program for the parameters that are no inputs.
    inputs, starts, rates : tuple of int
        See `Program`.
    scale : array of shape (n_states,)
        State units.
    sensitivities : bool
        Whether derivatives by the inputs are wanted.

    Returns
    -------
    Program

    Raises
    ------
    ModelError
        If the solver's compiler refuses the equations.
    """
    held = tuple(float(v) for i, v in enumerate(values) if i not in inputs)
    written = tuple(map(float, scale)) if sensitivities else None
    return Program(
        system, _ode(system, held, inputs, starts, rates, written), inputs, starts, rates, scale, sensitivities
    )


@lru_cache(maxsize=512)
def _ode(
    system: System,
    held: tuple[float, ...],
    inputs: tuple[int, ...],
    starts: tuple[int, ...],
    rates: tuple[int, ...],
    scale: tuple[float, ...] | None,
) -> pydiffsol.Ode:
    rest = iter(held)
    values = np.array([np.nan if i in inputs else next(rest) for i in range(len(system.parameters))])
    return _compile(_code(system, values, inputs, starts, rates, scale))


@lru_cache(maxsize=256)
def _compile(code: str) -> pydiffsol.Ode:
    try:
        ode = pydiffsol.Ode(code, matrix_type=pydiffsol.nalgebra_dense)
    except BaseException as error:  # the compiler panics in ways that are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise ModelError(f"the solver cannot compile these equations: {error}") from error
    ode.options.min_timestep = SHORTEST_STEP
    return ode


def _code(
    system: System,
    values: np.ndarray,
    inputs: tuple[int, ...],
    starts: tuple[int, ...],
    rates: tuple[int, ...],
    scale: tuple[float, ...] | None,
) -> str:
    """Write a program: for sensitivities with the scale as numbers and a kick, else with the scale as inputs."""
    # DiffSL names carry no underscore and some short ones are reserved, hence positions behind a prefix.
    names = {symbol: sympy.Symbol(f"par{i}") for i, symbol in enumerate(system.parameter_symbols) if i in inputs}
    constants = {
        s: sympy.Float(float(values[i]), 17) for i, s in enumerate(system.parameter_symbols) if i not in inputs
    }
    units = [sympy.Symbol(f"sca{i}") for i in range(len(system.states))]
    if scale is not None:
        units = [sympy.Float(unit, 17) for unit in scale]
    scaled = {s: sympy.Symbol(f"sta{i}") * units[i] for i, s in enumerate(system.state_symbols)}
    flags = {switch.symbol: sympy.Symbol(f"swi{k}") for k, switch in enumerate(system.switches)}
    replace = {**names, **constants, **scaled, **flags}
    printer = _DiffSL()
    declared = [f"par{i}" for i in inputs] + [f"ini{i}" for i in starts] + [f"inf{i}" for i in rates]
    declared += [f"swi{k}" for k in range(len(system.switches))]
    declared += [str(unit) for unit in units if unit.is_Symbol]
    body = []
    for i, rhs in enumerate(system.rhs):
        term = printer.doprint(rhs.xreplace(replace) / units[i])
        body.append(f"  {term} + inf{i}" if i in rates else f"  {term}")
    start = [f"  sta{i} = ini{i}" if i in starts else f"  sta{i} = 0.0" for i in range(len(system.states))]
    if scale is not None:
        start.append(f"  kick = {KICK_START}")
        body.append(f"  (-{KICK_RATE})*kick")
    header = "in_i {\n" + ",\n".join(f"  {name} = 1.0" for name in declared) + "\n}\n" if declared else ""
    return f"{header}u_i {{\n" + ",\n".join(start) + "\n}\nF_i {\n" + ",\n".join(body) + "\n}\n"


class _DiffSL(StrPrinter):
    """SymPy to DiffSL text: ``pow`` for powers, no integers, Hill functions in a form that is safe at zero."""

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"{int(expr)}.0" if expr >= 0 else f"(-{-int(expr)}.0)"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return f"({int(expr.p)}.0/{int(expr.q)}.0)"

    def _print_Float(self, expr: sympy.Float) -> str:
        text = repr(float(expr))
        return f"({text})" if text.startswith("-") else text

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:  # noqa: ARG002, FBT001, FBT002
        base, exponent = self._print(expr.base), expr.exp
        if exponent == -1:
            return f"(1.0/({base}))"
        if exponent == sympy.Rational(1, 2):
            return f"sqrt({base})"
        return f"pow({base}, {self._print(exponent)})"

    def _print_Mul(self, expr: sympy.Mul) -> str:
        return "*".join(f"({self._print(a)})" if a.is_Add else self._print(a) for a in expr.args)

    def _print_Hill(self, expr: sympy.Function) -> str:
        x, half, exponent = (f"({self._print(a)})" for a in expr.args)
        if expr.args[2] == 1:
            return f"({x}/({half}+{x}))"
        ratio = f"pow(max({x}/{half}, 1e-30), {exponent})"
        return f"({ratio}/(1.0+{ratio}))"

    def _print_Heaviside(self, expr: sympy.Heaviside) -> str:
        return f"heaviside({self._print(expr.args[0])})"

    def _print_Abs(self, expr: sympy.Abs) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_Max(self, expr: sympy.Max) -> str:
        return self._nested("max", expr.args)

    def _print_Min(self, expr: sympy.Min) -> str:
        return self._nested("min", expr.args)

    def _nested(self, name: str, arguments: Sequence[sympy.Expr]) -> str:
        text = str(self._print(arguments[0]))
        for argument in arguments[1:]:
            text = f"{name}({text}, {self._print(argument)})"
        return text
