"""The exact solution of a system over its intervals as one function that JAX compiles and differentiates.

The linear block comes first, then the states that follow, rank by rank, all at the starts and the points of all steps
of all intervals; the asked times are read off the polynomials of the steps that hold them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mscpkpd.engine.cascade import Series, following_states
from mscpkpd.engine.mesh import Mesh
from mscpkpd.engine.propagator import block_states, gains
from mscpkpd.engine.traced import Equations, Rank

__all__ = ["Found", "Inputs", "Layout", "solved"]


def _settle() -> None:
    """Count in 64 bits, and keep what is compiled on disk, so that a second start takes a second and not ten."""
    config: Any = jax.config
    config.update("jax_enable_x64", True)
    if config.jax_compilation_cache_dir is None:  # else somebody chose a place
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        config.update("jax_compilation_cache_dir", str(Path(caches) / "mscpkpd" / "jax"))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


_settle()


class Inputs(NamedTuple):
    """What a solve may be differentiated by; see `Intervals`.

    Attributes
    ----------
    values, begins, lengths, jumps, rates : array
    """

    values: Any
    begins: Any
    lengths: Any
    jumps: Any
    rates: Any


class Layout(NamedTuple):
    """What a solve is not differentiated by; see `Intervals`.

    Attributes
    ----------
    switches, kind, sample, times, at : array
    """

    switches: Any
    kind: Any
    sample: Any
    times: Any
    at: Any


class Found(NamedTuple):
    """States, and how well the steps resolve them.

    Attributes
    ----------
    states : array of shape (n_states, n_times)
    reach : array of shape ()
        Norm of the block times the longest time for which its Taylor series is used.
    early, late : array of shape ()
        Last coefficient of the polynomials, relative to the largest value of the state: the largest in the first
        group of steps of an interval, and in all others.
    """

    states: Any
    reach: Any
    early: Any
    late: Any


def solved(equations: Equations, infused: tuple[int, ...], mesh: Mesh, inputs: Inputs, layout: Layout) -> Found:
    """Solve a system; written to be traced.

    Parameters
    ----------
    equations : Equations
        The system.
    infused : tuple of int
        States that an infusion enters.
    mesh : Mesh
        Steps of every interval.
    inputs : Inputs
        Numbers.
    layout : Layout
        What changes when, and the asked times.

    Returns
    -------
    Found
    """
    n = len(inputs.jumps)
    start = jnp.stack([jnp.asarray(x, dtype=float) for x in equations.start(*inputs.values)]) if n else jnp.zeros(0)
    first = inputs.jumps.at[:, 0].add(start)
    starts, inside, reach = _block(equations, infused, mesh, inputs, first, layout)
    for rank in equations.ranks:
        found = _rank(
            rank, infused, mesh, inputs, layout, first=first, given=[inside.get(i, jnp.nan) for i in range(n)]
        )
        starts.update(zip(rank.states, found.starts, strict=True))
        inside.update(zip(rank.states, found.inside, strict=True))
    return _read(mesh, [starts[i] for i in range(n)], [inside[i] for i in range(n)], inputs, layout, reach)


def _rank(
    rank: Rank, infused: tuple[int, ...], mesh: Mesh, inputs: Inputs, layout: Layout, *, first: Any, given: list[Any]
) -> Series:
    """States that need one another no more, at the starts and points of all steps."""
    steps = inputs.lengths[:, None] * mesh.lengths  # (n_intervals, n_steps)
    moments = inputs.begins[:, None] + inputs.lengths[:, None] * mesh.starts
    clock = moments + mesh.rule.points[:, None, None] * steps

    def filled(numbers: Any, shape: tuple[int, ...]) -> Any:
        return jnp.stack([jnp.broadcast_to(x, shape) for x in numbers])

    chosen = jnp.array(rank.states)
    gain = filled(rank.gains(*given, *inputs.values, *layout.switches[:, :, None], clock), clock.shape)
    if set(rank.states) & set(infused):
        gain = gain + inputs.rates[chosen][:, None, :, None]
    kind, own = jnp.arange(len(inputs.begins)), steps
    if rank.constant:
        kind, own = layout.kind, steps[layout.sample]
        numbers = rank.losses(*given, *inputs.values, *layout.switches[:, layout.sample, None], jnp.nan)
        loss = filled(numbers, (1, *own.shape))
    else:
        loss = filled(rank.losses(*given, *inputs.values, *layout.switches[:, :, None], clock), clock.shape)
    return following_states(loss * own, gain * steps, first[chosen], kind, mesh)


def _block(
    equations: Equations, infused: tuple[int, ...], mesh: Mesh, inputs: Inputs, first: Any, layout: Layout
) -> tuple[dict[int, Any], dict[int, Any], Any]:
    """States of the linear block at the starts and points of all steps."""
    block, n = equations.block, len(equations.block)
    if n == 0:
        return {}, {}, jnp.zeros(())
    places = [k for k, i in enumerate(block) if k in equations.constant_into or i in infused]
    inflow = jnp.zeros((n, len(places))).at[jnp.array(places, dtype=int), jnp.arange(len(places))].set(1.0)

    def filled(numbers: Any, count: int) -> Any:
        return jnp.stack([jnp.broadcast_to(jnp.asarray(x, dtype=float), (count,)) for x in numbers], axis=-1)

    sample, kinds = layout.sample, len(layout.sample)
    matrix = filled(equations.matrix(*inputs.values, *layout.switches[:, sample]), kinds).reshape(kinds, n, n)
    constant = filled(equations.constant(*inputs.values, *layout.switches), len(inputs.begins))
    flows = (constant + inputs.rates[jnp.array(block)].T)[:, places]
    lengths = inputs.lengths[sample]
    sizes, whole = jax.vmap(gains, in_axes=(0, None, 0, None))(matrix, inflow, lengths, mesh)
    jumps = first[jnp.array(block)].T
    _, begins = jax.lax.scan(_over_interval, jnp.zeros(n), (jumps, whole[layout.kind], flows))
    starts, inside = jax.vmap(block_states, in_axes=(0, 0, 0, None))(sizes[layout.kind], begins, flows, mesh)
    norm = jnp.max(jnp.sum(jnp.abs(matrix), axis=1), axis=-1)
    reach = jnp.max(norm * lengths) * mesh.lengths[0] * mesh.steps
    starts, inside = jnp.moveaxis(starts, 1, 0), jnp.moveaxis(inside, (1, 3), (0, 1))
    return dict(zip(block, starts, strict=True)), dict(zip(block, inside, strict=True)), reach


def _over_interval(state: Any, interval: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    jump, whole, flow = interval
    begin = state + jump
    return begin + whole @ jnp.concatenate([begin, flow]), begin


def _read(mesh: Mesh, starts: list[Any], inside: list[Any], inputs: Inputs, layout: Layout, reach: Any) -> Found:
    """States at the asked times, by the polynomial of the step that holds each, and what it leaves out."""
    times, at = layout.times, layout.at
    if not starts:
        return Found(jnp.zeros((0, len(times))), reach, jnp.zeros(()), jnp.zeros(()))
    begin, within = jnp.stack(starts), jnp.stack(inside)  # (n, intervals, steps), (n, points, intervals, steps)
    since = (times - inputs.begins[at]) / inputs.lengths[at]
    edges = jnp.asarray(mesh.starts)
    step = jnp.clip(jnp.searchsorted(edges, since, side="right") - 1, 0, len(edges) - 1)
    place = (since - edges[step]) / jnp.asarray(mesh.lengths)[step]
    weights = place[:, None] * (_legendre(2 * place - 1, len(mesh.rule.points)).T @ mesh.rule.to_series)
    gained = within[:, :, at, step] - begin[:, None, at, step]
    states = begin[:, at, step] + jnp.einsum("npt,tp->nt", gained, weights)
    return Found(states, reach, *_left_out(begin, within, mesh))


def _left_out(begin: Any, within: Any, mesh: Mesh) -> tuple[Any, Any]:
    """Last coefficient of the polynomials relative to the largest value: in the first group of steps, and after it."""
    last = jnp.asarray(mesh.rule.to_last)
    tail = jnp.abs(last[0] * begin + jnp.einsum("p,npks->nks", last[1:], within))
    size = jnp.maximum(jnp.max(jnp.abs(begin), axis=(1, 2)), jnp.max(jnp.abs(within), axis=(1, 2, 3)))
    relative = tail / jnp.where(size > 0, size, 1.0)[:, None, None]
    return jnp.max(relative[:, :, : mesh.steps]), jnp.max(relative[:, :, mesh.steps :])


def _legendre(x: Any, count: int) -> Any:
    """The first Legendre polynomials at x, one row per degree."""
    rows = [jnp.ones_like(x), x]
    for k in range(1, count - 1):
        rows.append(((2 * k + 1) * x * rows[k] - k * rows[k - 1]) / (k + 1))
    return jnp.stack(rows)
