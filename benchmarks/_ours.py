"""Our own side of every question, behind the same few functions as the peers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from _comparing import population
from _density import Density
from _posed import Posed

from mscpkpd.data import Study
from mscpkpd.data.read import study_from_frame
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.compiled import compiled
from mscpkpd.engine.plan import plan_of
from mscpkpd.engine.planned import doses_of, shape_of, solver_of
from mscpkpd.engine.predictions import predictions_of
from mscpkpd.engine.resolution import guessed
from mscpkpd.engine.solve import solve
from mscpkpd.fitting.api import fit, to_pymc

NAME = "mscpkpd"
LOOSE = 1e-6  # tolerance of a population


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times), by the exact engine in batches."""
    system = posed.system
    asked = set().union(*(expression.free_symbols for expression in system.observed))
    wanted = tuple(k for k, symbol in enumerate(system.state_symbols) if symbol in asked)

    def run(values: np.ndarray) -> np.ndarray:
        found = solve_batch(system, posed.regimen, posed.times, values, wanted=wanted, tolerance=tolerance)
        states = np.full((len(values), len(system.states), len(posed.times)), np.nan)
        states[:, list(wanted)] = found
        return _outputs(posed, states, values)

    return run


def stiff_solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """The same by the stiff engine, one subject after the other."""
    one = partial(solve, posed.system, posed.regimen, posed.times, tolerance=tolerance, engine="stiff")
    return lambda values: _outputs(posed, np.array([one(numbers).states for numbers in values]), values)


def _outputs(posed: Posed, states: np.ndarray, values: np.ndarray) -> np.ndarray:
    shape = (len(values), len(posed.times))
    columns = [*np.moveaxis(states, 1, 0), *values.T[..., None], np.broadcast_to(posed.times, shape)]
    return np.moveaxis(posed.system.observed_function.value(*columns, shape=shape), 0, 1)


def gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Coordinates (n,) to the gradient of the log density (n,), by the exact engine in reverse."""
    function = compiled_density(density, tolerance)
    return lambda z: np.asarray(function(z)[1])


def compiled_density(density: Density, tolerance: float) -> Callable[[Any], tuple[Any, Any]]:
    """Coordinates (n,) to the log density and its gradient, as one compiled function."""
    posed, shape = density.posed, density.data.shape
    subject, output, time_ = (each.ravel() for each in np.indices(shape))
    rows = predictions_of(
        posed.system, [(posed.regimen, None)] * shape[0], subject=subject, output=output, time=posed.times[time_],
        hours=1.0, tolerance=tolerance,
    )  # fmt: skip
    if rows is None:
        raise ValueError("the exact engine cannot solve this")
    predict = rows.traced(population(posed, 500).T)

    def log_density(z: Any) -> Any:
        return density.of(z, predict(density.values(z, jnp).T).reshape(shape), jnp)

    return compiled(jax.value_and_grad(log_density))


def stiff_gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """The same by the forward sensitivities of the stiff engine."""
    posed, free = density.posed, density.places
    one = partial(solve, posed.system, posed.regimen, posed.times, free=tuple(map(int, free)), tolerance=tolerance)

    def evaluate(z: np.ndarray) -> np.ndarray:
        values = density.values(z)
        paths = [one(numbers, engine="stiff") for numbers in values]
        outputs = _outputs(posed, np.array([path.states for path in paths]), values)
        pulled = []
        for numbers, path, pull in zip(values, paths, density.pull(z, outputs), strict=True):
            by_state, by_parameter = _observed_slopes(posed, path.states, numbers)
            slopes = np.einsum("otn,ntf->otf", by_state, path.sensitivities) + by_parameter[..., free]
            pulled.append(np.einsum("ot,otf->f", pull, slopes))
        return density.slope(z, outputs, np.array(pulled))

    return evaluate


def _observed_slopes(posed: Posed, states: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of outputs by states (n_outputs, n_times, n_states) and by parameters."""
    columns, shape = [*states, *numbers, posed.times], posed.times.shape
    full = np.moveaxis(posed.system.observed_function.jacobian(*columns, shape=shape), 1, 2)
    return full[..., : len(states)], full[..., len(states) : -1]


def study_of(density: Density) -> Study:
    """The data of a density of one dose as a table that a user would bring."""
    posed = density.posed
    (dose,) = posed.regimen.doses
    rows = [
        {
            "subject": f"S{i + 1}", "route": dose.route, "dose": dose.amount, "dose_unit": dose.unit, "time": t,
            "time_unit": "h", "output": name, "value": value, "unit": posed.model.output(name).unit,
        }
        for i, subject in enumerate(density.data)
        for name, curve in zip(posed.system.outputs, subject, strict=True)
        for t, value in zip(posed.times, curve, strict=True)
    ]  # fmt: skip
    return study_from_frame(pd.DataFrame(rows))


def pymc_gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:  # noqa: ARG001 (that of fits)
    """Coordinates (n,) to the gradient of the log density (n,), as `to_pymc` gives it to samplers."""
    model = to_pymc(density.posed.model, study_of(density), free=[*density.free, *density.noise])
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    order = [*density.free, *density.noise]
    places = [order.index(variable.name) for variable in model.free_RVs]
    back = np.argsort(places)
    return lambda z: function(z[places])[1][back]


def sample(density: Density, *, draws: int, tune: int, chains: int, seed: int) -> tuple[np.ndarray, float]:
    """Draws of the coordinates (chains, draws, n) by `fit` as a user calls it, and the seconds that it took."""
    names = [*density.free, *density.noise]
    begin = time.perf_counter()
    found = fit(
        density.posed.model, study_of(density), "nuts", free=names, draws=draws, tune=tune, chains=chains, seed=seed
    )
    took = time.perf_counter() - begin
    columns = [prior.to_free(found.posterior.learned[name]) for name, prior in zip(names, density.priors, strict=False)]
    return np.stack(columns, axis=-1), took


def traced(posed: Posed, values: np.ndarray) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What JAX runs for a chunk of subjects, and its arguments; for counting its operations."""
    system, everything = posed.system, tuple(range(len(posed.system.states)))
    plan = plan_of(system, posed.regimen, posed.times, 1.0)
    if plan is None:
        raise ValueError("events depend on parameters")
    longest = np.full(len(values), plan.intervals.lengths.max())
    resolution = max(each for each in guessed(system, values.T, np.zeros((0, 1)), longest, LOOSE) if each)
    doses, layout = doses_of([plan], np.ones(len(values)))
    return solver_of(system, shape_of(plan), everything, resolution, "states"), (values.T, doses, layout)
