"""diffrax: Kvaerno5 compiled by JAX; a batch is solved together by `vmap`, doses are a scan over segments."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from _density import Density
from _posed import Posed, lambdified

NAME = "diffrax Kvaerno5"
STEPS = 4096  # of one segment, at most
TOGETHER = 64  # subjects of a batch

jax.config.update("jax_enable_x64", True)


def solver(posed: Posed, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters of subjects (n, n_parameters) to outputs (n, n_outputs, n_times)."""
    batch = _batch(posed)

    def solve(values: np.ndarray) -> np.ndarray:
        width = min(TOGETHER, len(values))
        parts = [batch(values[i : i + width], tolerance) for i in range(0, len(values), width)]
        return np.concatenate([np.asarray(part) for part in parts])

    return solve


@lru_cache(maxsize=8)
def _batch(posed: Posed) -> Callable[[Any, float], Any]:
    """Compiled once for all tolerances."""
    outputs: Callable[[Any, float], Any] = jax.jit(jax.vmap(outputs_of(posed), in_axes=(0, None)))
    return outputs


def gradient(density: Density, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Coordinates (n,) to the gradient of the log density (n,), by checkpointed reverse mode."""
    slopes = _slopes(density)
    return lambda z: np.asarray(slopes(z, tolerance))


@lru_cache(maxsize=8)
def _slopes(density: Density) -> Callable[[Any, float], Any]:
    slopes: Callable[[Any, float], Any] = jax.jit(jax.grad(log_density_of(density)))
    return slopes


def log_density_of(density: Density) -> Callable[[Any, Any], Any]:
    """Coordinates and tolerance to the log density, for JAX to differentiate and compile."""
    outputs = jax.vmap(outputs_of(density.posed), in_axes=(0, None))
    return lambda z, tolerance: density.of(z, outputs(density.values(z, jnp), tolerance), jnp)


def outputs_of(posed: Posed) -> Callable[[Any, Any], Any]:
    """Parameters (n_parameters,) and tolerance to outputs (n_outputs, n_times), as a function for JAX."""
    rates = lambdified((posed.states, posed.parameters), (posed.rhs,), jnp.maximum, "jax")
    entering = lambdified((posed.parameters,), (posed.start, *posed.into), jnp.maximum, "jax")
    observed = lambdified((posed.states, posed.parameters), (posed.observed,), jnp.maximum, "jax")
    at, places = _laid_out(posed)
    term = diffrax.ODETerm(lambda _, y, args: jnp.stack(rates(y, args[0])[0]) + args[1])

    def outputs(values: Any, tolerance: Any) -> Any:
        control = diffrax.PIDController(rtol=tolerance, atol=tolerance)
        rows = jnp.stack([jnp.stack([jnp.asarray(each, dtype=float) for each in row]) for row in entering(values)])
        start, into = rows[0], rows[1:]

        def segment(state: Any, given: Any) -> tuple[Any, Any]:
            bolus, inflow, times = given
            path = diffrax.diffeqsolve(
                term, diffrax.Kvaerno5(), times[0], times[-1], None, state + bolus @ into,
                args=(values, inflow @ into), saveat=diffrax.SaveAt(ts=times), stepsize_controller=control,
                max_steps=STEPS, throw=False,  # a sampler may propose what cannot be solved
            ).ys  # fmt: skip
            return path[-1], path

        _, paths = jax.lax.scan(segment, start, (posed.bolus, posed.inflow, at))
        states = paths.reshape(-1, len(posed.states))[places].T
        return jnp.stack([jnp.broadcast_to(each, posed.times.shape) for each in observed(states, values)[0]])

    return outputs


def _laid_out(posed: Posed) -> tuple[np.ndarray, np.ndarray]:
    """Times of all segments in rows of one length, filled up with the ends, and where the wanted ones stand in them."""
    longest = max(map(len, posed.inside)) + 2
    rows = [np.concatenate([[begin], posed.times[mine], np.full(longest - 1 - len(mine), end)])
            for mine, begin, end in zip(posed.inside, posed.edges, posed.edges[1:], strict=False)]  # fmt: skip
    places = [k * longest + 1 + np.arange(len(mine)) for k, mine in enumerate(posed.inside)]
    return np.array(rows), np.concatenate(places)
