"""How much faster than the stiff engine is the exact one, and after how long is it compiled?

The label of the human model after one dose, the mouse model with all its states, and the human model under eight
infusions; one core. "All slopes" are derivatives of every state at every time by every parameter; "one gradient" is
that of one weighted sum of them, which is what a sampler asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from _timing import compare, machine

from mscpkpd.dosing import Regimen, bolus, infusion
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.exact import pull_back
from mscpkpd.engine.solve import DEFAULT_TOLERANCE, Trajectory, solve
from mscpkpd.engine.system import System, build_system
from mscpkpd.engine.timeline import timeline
from mscpkpd.modelfile import load_model

ALLOWED = 1e-6  # of the largest value of each state (rule L9)
BATCHES = (256, 2000)
WEEK = np.linspace(0.0, 168.0, 100)
LABEL = ("lung_label", "liver_label", "spleen_label", "rest_label", "blood_cells")
PROBLEMS = {
    "label, human, 1 dose, 10 times": ("human_70kg", LABEL, bolus("1e8 cells", "iv"), np.geomspace(0.5, 168.0, 10)),
    "core, mouse, 1 dose, 100 times": ("mouse", None, bolus("5e5 cells", "iv"), WEEK),
    "core, human, 8 infusions in 28 d, 100 times": (
        "human_70kg",
        None,
        infusion("1.4e8 cells", "iv", "1 h", every="84 h", doses=8),
        4 * WEEK,
    ),
}


def seconds(way: Callable[[], object]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


def check(system: System, exact: Trajectory, stiff: Trajectory) -> None:
    size = np.maximum(np.max(np.abs(stiff.states), axis=1), 1e-300)
    errors = np.max(np.abs(exact.states - stiff.states) / size[:, None], axis=1)
    worst = int(np.argmax(errors))
    print(f"  largest difference between the engines: {errors[worst]:.1e} ({system.states[worst]})")
    if errors[worst] > ALLOWED:
        raise SystemExit(f"more than the {ALLOWED:g} allowed; speed does not matter")


def measure(values: str, outputs: tuple[str, ...] | None, regimen: Regimen, times: np.ndarray) -> None:
    model = load_model("two_functional_compartments", values=values)
    system = build_system(model, outputs or model.state_names, regimen.routes)
    numbers = np.array(system.nominal)
    free = tuple(system.parameters.index(name) for name in model.free_names if name in system.parameters)
    weights = np.ones((len(system.states), len(times)))
    print(f"  {len(system.states)} states, {len(free)} free parameters")

    def run(engine: str, slopes: tuple[int, ...]) -> Trajectory:
        return solve(system, regimen, times, numbers, free=slopes, engine=engine)

    def gradient() -> tuple[np.ndarray, np.ndarray]:
        index = np.array(free)
        changes = timeline(system, regimen, numbers, index)
        return pull_back(system, changes, times, numbers, index, cotangent=weights, tolerance=DEFAULT_TOLERANCE)

    ways: dict[str, Callable[[], object]] = {
        "stiff, states": partial(run, "stiff", ()),
        "exact, states": partial(run, "exact", ()),
        "stiff, all slopes": partial(run, "stiff", free),
        "exact, all slopes": partial(run, "exact", free),
        "exact, one gradient": gradient,
    }
    for name, way in ways.items():
        print(f"  first call, {name}: {seconds(way):.2f} s")
    check(system, run("exact", ()), run("stiff", ()))
    compare(ways)
    draws = numbers * np.random.default_rng(0).lognormal(0.0, 0.1, (max(BATCHES), len(numbers)))
    for count in BATCHES:
        batch = partial(solve_batch, system, regimen, times, draws[:count], tolerance=DEFAULT_TOLERANCE)
        batch()
        print(f"  exact, batch of {count}: {1e3 * seconds(batch) / count:.4f} ms a subject")


def main() -> None:
    print(__doc__.splitlines()[0])
    print(machine("numpy", "jax", "pydiffsol"))
    for name, problem in PROBLEMS.items():
        print(name)
        measure(*problem)


if __name__ == "__main__":
    main()
