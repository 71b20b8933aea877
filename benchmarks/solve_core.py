"""Is our engine right on the core model, and how much faster than SciPy is it?

The mouse model with all its states, 5e5 cells into a vein, 100 times over a week. SciPy gets a right-hand side in plain
Python floats, the fastest form that needs no compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import sympy
from _timing import compare, machine
from scipy.integrate import solve_ivp

from mscpkpd.dosing import bolus
from mscpkpd.engine.solve import Trajectory, solve
from mscpkpd.engine.system import TIME, System, build_system
from mscpkpd.modelfile import load_model

TIMES = np.linspace(0.0, 168.0, 100)
REGIMEN = bolus("5e5 cells", route="iv")
ALLOWED = 1e-6  # of the largest value of each state (rule L9)

RightHandSide = Callable[[float, np.ndarray], Sequence[float]]


def core() -> System:
    model = load_model("two_functional_compartments", values="mouse")
    return build_system(model, model.state_names, ("iv",))


def plain_python(system: System) -> RightHandSide:
    values = dict(zip(system.parameter_symbols, system.nominal, strict=True))
    rates = [rate.subs(values) for rate in system.rhs]
    function = sympy.lambdify((system.state_symbols, TIME), rates, modules=[{"Hill": hill}, "math"], cse=True)
    return lambda t, y: function(y.tolist(), t)


def hill(x: float, half: float, exponent: float) -> float:
    return 1.0 / (1.0 + math.pow(half / x, exponent)) if x > 0 else 0.0


def scipy(method: str, rtol: float, atol: np.ndarray, start: np.ndarray, rates: RightHandSide) -> np.ndarray:
    done = solve_ivp(rates, (0.0, TIMES[-1]), start, method=method, t_eval=TIMES, rtol=rtol, atol=atol)
    assert done.success, done.message  # noqa: S101 - a benchmark of a failed solve means nothing
    return np.asarray(done.y)


def main() -> None:
    print(__doc__.splitlines()[0])
    print(machine("numpy", "scipy", "pydiffsol"))
    system = core()
    values = np.array(system.nominal)
    free = tuple(range(len(values)))

    def ours(*, gradient: bool) -> Trajectory:
        return solve(system, REGIMEN, TIMES, values, free=free if gradient else ())

    states = ours(gradient=False).states
    size = np.maximum(np.max(np.abs(states), axis=1), 1e-300)
    rates, start = plain_python(system), states[:, 0]
    reference = scipy("Radau", 1e-11, 1e-13 * size, start, rates)
    errors = np.max(np.abs(states - reference) / size[:, None], axis=1)
    worst = int(np.argmax(errors))
    print(f"  {len(states)} states, {len(free)} parameters, {len(TIMES)} times")
    print(f"  largest difference from SciPy Radau at 1e-11: {errors[worst]:.1e} ({system.states[worst]})")
    if errors[worst] > ALLOWED:
        raise SystemExit(f"more than the {ALLOWED:g} allowed; speed does not matter")
    compare(
        {
            "SciPy LSODA, rtol 1e-6": lambda: scipy("LSODA", 1e-6, 1e-9 * size, start, rates),
            "SciPy LSODA, rtol 1e-8": lambda: scipy("LSODA", 1e-8, 1e-11 * size, start, rates),
            "ours, rtol 1e-8": lambda: ours(gradient=False),
            "ours with all derivatives": lambda: ours(gradient=True),
        }
    )


if __name__ == "__main__":
    main()
