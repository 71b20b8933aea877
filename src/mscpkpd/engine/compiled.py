"""The exact solution of a system over its intervals as one function that JAX compiles and differentiates.

The linear block comes first, then the states that follow, rank by rank, all at the starts and the points of all steps
of all intervals; the asked times are read off the polynomials of the steps that hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

import jax
import jax.monitoring
import jax.numpy as jnp

from mscpkpd.engine.cascade import Events, Series, following_states, spread
from mscpkpd.engine.mesh import Mesh
from mscpkpd.engine.propagator import SPARE, block_states, gains, product
from mscpkpd.engine.traced import Equations, Rank

__all__ = ["Found", "Inputs", "Layout", "Task", "compiled", "exchanged", "solved"]

MOST_MAPPED = 0.5  # share of what the system allows

# What XLA need not try: its longest passes, and a module for each of its operations; from 0.11 on it has no choice.
QUICKLY = {"xla_llvm_disable_expensive_passes": True}
if jax.__version_info__ < (0, 11):
    QUICKLY["xla_cpu_use_fusion_emitters"] = False


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
    """What a solve may be differentiated by; subjects last, or one for all of them. See `Intervals`.

    Attributes
    ----------
    values : array of shape (n_parameters, n_subjects)
    begins, lengths : array of shape (n_intervals, n_subjects)
    jumps, rates : array of shape (n_states, n_intervals, n_subjects)
    """

    values: Any
    begins: Any
    lengths: Any
    jumps: Any
    rates: Any


class Layout(NamedTuple):
    """What a solve is not differentiated by. See `Intervals`.

    Attributes
    ----------
    switches : array of shape (n_switches, n_intervals, n_subjects)
    numbers : array of shape (n_changing, n_intervals, n_subjects)
    kept : array of shape (n_intervals,)
    sample : array of shape (n_kinds,)
    times, at : array of shape (n_times, n_subjects)
    """

    switches: Any
    numbers: Any
    kept: Any
    sample: Any
    times: Any
    at: Any


class Found(NamedTuple):
    """States, and how well the steps resolve them.

    Attributes
    ----------
    states : array of shape (n_wanted, n_times, n_subjects)
    reach : array of shape (n_subjects,)
        Norm of the block times the longest time for which its Taylor series is used.
    early, late : array of shape (n_subjects,)
        Last coefficient of the polynomials, relative to the largest value of the state: the largest in the first
        group of steps of an interval, and in all others.
    """

    states: Any
    reach: Any
    early: Any
    late: Any


class Task(NamedTuple):
    """What is compiled.

    Attributes
    ----------
    equations : Equations
        The system.
    infused : tuple of int
        States that an infusion enters.
    alike : tuple of int
        The kind of each interval.
    wanted : tuple of int
        States that are asked for.
    mesh : Mesh
        Steps of every interval.
    changing : tuple of int
        Parameters that are numbers of the layout, one for each interval.
    """

    equations: Equations
    infused: tuple[int, ...]
    alike: tuple[int, ...]
    wanted: tuple[int, ...]
    mesh: Mesh
    changing: tuple[int, ...] = ()


def compiled(function: Callable[..., Any], *, thoroughly: bool = False) -> Callable[..., Any]:
    """Compile at the first use with arrays of one shape.

    Thoroughly takes twice as long and serves batches, whose code is a quarter faster then; that for one subject is not.
    What is compiled is forgotten, to be compiled again when it is asked for, where this process has little room left.
    """
    made = jax.jit(function, compiler_options={} if thoroughly else QUICKLY)
    _made.add(made)
    return made


_made: WeakSet[Any] = WeakSet()


def _make_room(event: str, duration_secs: float, **_: object) -> None:  # noqa: ARG001 - as JAX calls it
    """Forget what has been compiled before the system refuses to map more memory, which would end the process."""
    if event.endswith("backend_compile_duration") and _mapped() > MOST_MAPPED * _most_maps():
        for each in list(_made):
            each.clear_cache()


def _mapped() -> int:
    """How many pieces of memory this process has mapped; every compiled program takes some hundreds."""
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.is_file() else 0


@lru_cache(maxsize=1)
def _most_maps() -> int:
    """How many the system lets it map."""
    limit = Path("/proc/sys/vm/max_map_count")
    return int(limit.read_text()) if limit.is_file() else 65530


jax.monitoring.register_event_duration_secs_listener(_make_room)


def solved(task: Task, inputs: Inputs, layout: Layout) -> Found:
    """Solve a system; written to be traced.

    Parameters
    ----------
    task : Task
        What to solve.
    inputs : Inputs
        Numbers.
    layout : Layout
        What changes when, and the asked times.

    Returns
    -------
    Found
    """
    subjects = max(each.shape[-1] for each in (*inputs, layout.numbers))
    start = _filled(task.equations.start(*inputs.values), (subjects,))
    anew = jnp.where(layout.kept[:, None] > 0, 0.0, start[:, None, :] if len(start) else 0.0).at[:, 0].set(start)
    first = jnp.broadcast_to(inputs.jumps, (*inputs.jumps.shape[:2], subjects)) + anew
    parts, reach = [], jnp.zeros(subjects)
    known: dict[int, tuple[Any, Any]] = {}
    if task.equations.block:
        found, reach = _block(task, inputs, layout, first)
        parts.append((task.equations.block, found))
        known.update(_singly(task.equations.block, found))
    for rank in task.equations.ranks:
        found = _rank(task, rank, inputs, layout, first=first, known=known)
        parts.append((rank.states, found))
        known.update(_singly(rank.states, found))
    errors = [_left_out(found, task.mesh) for _, found in parts]
    early, late = (jnp.max(jnp.stack(each), axis=0) for each in zip(*errors, strict=True))
    return Found(_read(task, known, inputs, layout), reach, early, late)


def exchanged(values: Any, places: tuple[int, ...], numbers: Any) -> Any:
    """Parameters with the numbers of some places put in their stead; the same object where there are none."""
    if not places:
        return values
    mine = list(values)
    for place, number in zip(places, numbers, strict=True):
        mine[place] = number
    return mine


def _singly(states: tuple[int, ...], found: Series) -> dict[int, tuple[Any, Any]]:
    return {i: (found.starts[k], found.inside[:, k]) for k, i in enumerate(states)}


def _filled(numbers: Any, shape: tuple[int, ...]) -> Any:
    """Numbers, each a constant or an array, as one array with one more dimension in front."""
    each = [jnp.broadcast_to(jnp.asarray(x, dtype=float), shape) for x in numbers]
    return jnp.stack(each) if each else jnp.zeros((0, *shape))


def _rank(
    task: Task, rank: Rank, inputs: Inputs, layout: Layout, *, first: Any, known: dict[int, tuple[Any, Any]]
) -> Series:
    """States that need one another no more, at the starts and points of all steps."""
    mesh = task.mesh
    steps = inputs.lengths[:, None] * mesh.lengths[:, None]  # (n_intervals, n_steps, n_subjects)
    moments = inputs.begins[:, None] + inputs.lengths[:, None] * mesh.starts[:, None]
    clock = moments + mesh.rule.points[:, None, None, None] * steps
    given = [known[i][1] if i in known else jnp.nan for i in range(len(inputs.jumps))]
    shape = (len(mesh.rule.points), *steps.shape[:2], first.shape[-1])
    values = exchanged(inputs.values, task.changing, layout.numbers[:, :, None])
    gain = _filled(rank.gains(*given, *values, *layout.switches[:, :, None], clock), shape)
    gain = jnp.moveaxis(gain, 0, 1)
    chosen = jnp.array(rank.states)
    if set(rank.states) & set(task.infused):
        gain = gain + inputs.rates[chosen][None, :, :, None]
    alike, own = tuple(range(len(task.alike))), steps
    if rank.constant:
        alike, own = task.alike, steps[layout.sample]
        alike_values = exchanged(inputs.values, task.changing, layout.numbers[:, layout.sample, None])
        numbers = rank.losses(*given, *alike_values, *layout.switches[:, layout.sample, None], jnp.nan)
        loss = _filled(numbers, (*own.shape[:2], first.shape[-1]))[None]
    else:
        loss = _filled(rank.losses(*given, *values, *layout.switches[:, :, None], clock), shape)
        loss = jnp.moveaxis(loss, 0, 1)
    return following_states(loss * own, gain * steps, first[chosen], Events(alike, layout.kept), mesh)


def _block(task: Task, inputs: Inputs, layout: Layout, first: Any) -> tuple[Series, Any]:
    """States of the linear block at the starts and points of all steps, and how far its Taylor series reaches."""
    equations, mesh, sample = task.equations, task.mesh, layout.sample
    block, n, subjects = equations.block, len(equations.block), first.shape[-1]
    places = [k for k, i in enumerate(block) if k in equations.constant_into or i in task.infused]
    inflow = jnp.zeros((n, len(places))).at[jnp.array(places, dtype=int), jnp.arange(len(places))].set(1.0)
    alike_values = exchanged(inputs.values, task.changing, layout.numbers[:, sample])
    matrix = _filled(equations.matrix(*alike_values, *layout.switches[:, sample]), (len(sample), subjects))
    matrix = jnp.moveaxis(matrix.reshape(n, n, len(sample), subjects), 2, 0)
    values = exchanged(inputs.values, task.changing, layout.numbers)
    constant = _filled(equations.constant(*values, *layout.switches), (len(inputs.begins), subjects))
    flows = jnp.moveaxis((constant + inputs.rates[jnp.array(block)])[jnp.array(places, dtype=int)], 0, 1)
    lengths = inputs.lengths[sample]
    sizes, whole = gains(matrix, inflow, lengths, mesh)
    jumps = jnp.moveaxis(first[jnp.array(block)], 0, 1)
    begins = _begins(spread(whole, task.alike, axis=0), jumps, flows, layout.kept)
    starts, inside = block_states(sizes, begins, flows, task.alike, mesh)
    norm = jnp.max(jnp.sum(jnp.abs(matrix), axis=1), axis=1)
    reach = jnp.max(norm * lengths, axis=0) * (mesh.lengths[0] * mesh.steps / 2**SPARE)
    return Series(starts, jnp.moveaxis(inside, 0, 1)), reach


def _begins(whole: Any, jumps: Any, flows: Any, kept: Any) -> Any:
    """States of the block at the begins of the intervals."""

    def over(end: Any, interval: tuple[Any, ...]) -> tuple[Any, Any]:
        own, jump, flow, keep = interval
        begin = keep * end + jump
        return begin + product(own, jnp.concatenate([begin, flow])[:, None])[:, 0], begin

    _, begins = jax.lax.scan(over, jnp.zeros(jumps.shape[1:]), (whole, jumps, flows, kept))
    return begins


def _read(task: Task, known: dict[int, tuple[Any, Any]], inputs: Inputs, layout: Layout) -> Any:
    """Wanted states at the asked times, by the polynomial of the step that holds each."""
    times, at, mesh = layout.times, layout.at, task.mesh
    since = (times - _at(inputs.begins, at)) / _at(inputs.lengths, at)
    edges = jnp.asarray(mesh.starts)
    step = jnp.clip(jnp.searchsorted(edges, since, side="right") - 1, 0, len(edges) - 1)
    place = (since - edges[step]) / jnp.asarray(mesh.lengths)[step]
    series = _legendre(2 * place - 1, len(mesh.rule.points))
    weights = place * jnp.einsum("dtb,dp->ptb", series, jnp.asarray(mesh.rule.to_series))
    where = at * len(edges) + step
    states = []
    for i in task.wanted:
        starts, inside = known[i]
        flat = starts.shape[0] * starts.shape[1], starts.shape[2]
        begin = _at(starts.reshape(flat), where)
        within = _at(inside.reshape(len(inside), *flat), where)
        states.append(begin * (1.0 - jnp.sum(weights, axis=0)) + jnp.sum(weights * within, axis=0))
    return jnp.stack(states)


def _at(numbers: Any, where: Any) -> Any:
    """Entries along the last dimension but one; the last are subjects, and `where` may be the same for all."""
    if where.shape[-1] == 1:
        return jnp.take(numbers, where[:, 0], axis=-2, mode="clip")
    wide = jnp.broadcast_to(numbers, (*numbers.shape[:-1], where.shape[-1]))
    return jnp.take_along_axis(wide, where.reshape((1,) * (numbers.ndim - 2) + where.shape), axis=-2, mode="clip")


def _left_out(found: Series, mesh: Mesh) -> tuple[Any, Any]:
    """Last coefficient of the polynomials relative to the largest value: in the first group of steps, and after it."""
    last = jnp.asarray(mesh.rule.to_last)
    begin, within = found
    tail = jnp.abs(last[0] * begin + jnp.tensordot(last[1:], within, axes=1))
    size = jnp.maximum(jnp.max(jnp.abs(begin), axis=(1, 2)), jnp.max(jnp.abs(within), axis=(0, 2, 3)))
    relative = tail / jnp.where(size > 0, size, 1.0)[:, None, None]
    return jnp.max(relative[:, :, : mesh.steps], axis=(0, 1, 2)), jnp.max(relative[:, :, mesh.steps :], axis=(0, 1, 2))


def _legendre(x: Any, count: int) -> Any:
    """The first Legendre polynomials at x, one row per degree."""
    rows = [jnp.ones_like(x), x]
    for k in range(1, count - 1):
        rows.append(((2 * k + 1) * x * rows[k] - k * rows[k - 1]) / (k + 1))
    return jnp.stack(rows)
