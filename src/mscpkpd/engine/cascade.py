"""States that are linear in themselves: dy/dt = b(t) - a(t) y, with a and b known at the collocation points.

Each step is a small linear system, solved for all steps of all subjects at once; what is left is a chain of affine
maps from the start of one step to that of the next. A derivative of y obeys the same equation with another b, so that
it costs no further system: this is told to JAX, and makes derivatives cheap and exactly those of the computed numbers.

Arrays have the dimensions (point of the step, state, interval, step, subject), those of whole steps (state, interval,
step, subject). Subjects come last so that neighbours in memory share every instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mscpkpd.engine.mesh import Mesh, Rule

__all__ = ["Events", "Series", "following_states", "spread"]


class Series(NamedTuple):
    """Values at the starts of all steps, and at their points."""

    starts: jax.Array
    inside: jax.Array


class Events(NamedTuple):
    """What happens at the begins of intervals.

    Attributes
    ----------
    alike : tuple of int
        Which interval of those whose loss is given each interval is like.
    kept : jax.Array
        0 where an interval begins anew, else 1, shape (n_intervals,).
    """

    alike: tuple[int, ...]
    kept: jax.Array


class _Steps(NamedTuple):
    """The solved systems: how the points of a step answer to its start, and to b at its points."""

    to_start: jax.Array
    answer: Callable[[jax.Array], jax.Array]


def following_states(loss: jax.Array, gain: jax.Array, jumps: jax.Array, events: Events, mesh: Mesh) -> Series:
    """Solve dy/dt = b - a y through all steps of all intervals, for states that do not need one another.

    Parameters
    ----------
    loss, gain : jax.Array
        a and b at the points, each times the length of its step; `loss` for intervals that differ in it, and with a
        dimension of 1 for the points where it does not move in an interval.
    jumps : jax.Array
        What is added at the begin of each interval, the first to nothing, shape (n_states, n_intervals, n_subjects).
    events : Events
        Which intervals are alike, and which begin anew.
    mesh : Mesh
        Steps of every interval.

    Returns
    -------
    Series
    """

    @jax.custom_jvp
    def solved(loss: jax.Array, gain: jax.Array, jumps: jax.Array) -> Series:
        return _through(_steps(loss, events.alike, mesh.rule), gain, jumps, events.kept)

    def tangents(primals: tuple[jax.Array, ...], moves: tuple[jax.Array, ...]) -> tuple[Series, Series]:
        loss, gain, jumps = primals
        d_loss, d_gain, d_jumps = moves
        steps = _steps(loss, events.alike, mesh.rule)
        found = _through(steps, gain, jumps, events.kept)
        d_gain = d_gain - spread(d_loss, events.alike, axis=2) * found.inside
        return found, _through(steps, d_gain, d_jumps, events.kept)

    solved.defjvp(tangents)
    return solved(loss, gain, jumps)


def spread(each: jax.Array, alike: tuple[int, ...], axis: int) -> jax.Array:
    """From one entry of each kind to one of each interval."""
    if alike == tuple(range(each.shape[axis])):
        return each
    return jnp.take(each, np.array(alike), axis=axis)


def _steps(loss: jax.Array, alike: tuple[int, ...], rule: Rule) -> _Steps:
    return (_of_constant if loss.shape[0] == 1 else _of_moving)(loss, alike, rule)


def _of_constant(loss: jax.Array, alike: tuple[int, ...], rule: Rule) -> _Steps:
    """By the eigenvalues r of A, because (1 + z A)^-1 A has r / (1 + z r); what a step adds begins at nothing."""
    real, imaginary = rule.roots.real[:, None], rule.roots.imag[:, None]
    flat = loss.reshape(1, -1)
    size = 1.0 + flat * (2.0 * real + flat * (real**2 + imaginary**2))  # |1 + z r|^2
    shape = (len(rule.roots), *loss.shape[1:])
    turned = ((real + flat * (real**2 + imaginary**2)) / size).reshape(shape), (imaginary / size).reshape(shape)
    to_start = 1.0 - loss * _by_modes(turned, jnp.ones((len(rule.points), 1, 1, 1, 1)), rule)
    each = tuple(spread(part, alike, axis=2) for part in turned)
    return _Steps(spread(to_start, alike, axis=2), lambda gain: _by_modes(each, gain, rule))


def _by_modes(turned: tuple[jax.Array, ...], gain: jax.Array, rule: Rule) -> jax.Array:
    """(1 + z A)^-1 A of b, with the real and the imaginary parts of r / (1 + z r)."""
    real, imaginary = jnp.split(_mixed(rule.to_modes, gain), 2)
    parts = jnp.concatenate([turned[0] * real - turned[1] * imaginary, turned[0] * imaginary + turned[1] * real])
    return _mixed(rule.from_modes, parts)


def _mixed(matrix: np.ndarray, arrays: jax.Array) -> jax.Array:
    """A matrix times the first dimension of arrays."""
    return (jnp.asarray(matrix) @ arrays.reshape(len(arrays), -1)).reshape(-1, *arrays.shape[1:])


def _of_moving(loss: jax.Array, alike: tuple[int, ...], rule: Rule) -> _Steps:
    """By (1 + A diag(z))^-1 A = (1/A + diag(z))^-1, whose pivots need no exchange while a loss is not very negative."""
    slopes = jnp.linalg.inv(jnp.asarray(rule.integrals))
    count = len(slopes)
    flat = loss.reshape(count, -1)
    diagonal = jnp.eye(count)[:, :, None]
    table = slopes[:, :, None] + diagonal * flat

    def inverted(k: int, table: jax.Array) -> jax.Array:
        """One round of Gauss and Jordan, in place."""
        at_row = (jnp.arange(count) == k)[:, None, None]
        at_column = (jnp.arange(count) == k)[None, :, None]
        row = jnp.where(at_column[0], 1.0, table[k]) / table[k, k]
        column = table[:, k][:, None]
        return jnp.where(at_row, row[None], jnp.where(at_column, 0.0, table) - column * row)

    inverse = jax.lax.fori_loop(0, count, inverted, table).reshape(count, *loss.shape)
    to_start = 1.0 - jnp.sum(inverse * loss, axis=1)
    each = spread(inverse, alike, axis=3)
    return _Steps(spread(to_start, alike, axis=2), lambda gain: jnp.sum(each * gain, axis=1))


def _through(steps: _Steps, gain: jax.Array, jumps: jax.Array, kept: jax.Array) -> Series:
    """Chain the steps of all intervals at once, then the intervals, then fill in the points."""
    answer = steps.answer(gain)
    factors, added = steps.to_start[-1], answer[-1]
    (factor, more), (product, total) = jax.lax.scan(
        _over_step,
        (jnp.ones_like(factors[:, :, 0]), jnp.zeros_like(added[:, :, 0])),
        (_ahead(factors, 2), _ahead(added, 2)),
    )
    each = _ahead(factor, 1), _ahead(more, 1), _ahead(jumps, 1), kept
    _, begins = jax.lax.scan(_over_interval, jnp.zeros_like(more[:, 0]), each)
    starts = jnp.moveaxis(product, 0, 2) * jnp.moveaxis(begins, 0, 1)[:, :, None] + jnp.moveaxis(total, 0, 2)
    return Series(starts, answer + steps.to_start * starts)


def _ahead(each: jax.Array, axis: int) -> jax.Array:
    return jnp.moveaxis(each, axis, 0)


def _over_step(reached: tuple[jax.Array, jax.Array], step: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
    """How the end of a step answers to the begin of its interval, and what has been added until then."""
    factor, more = step
    return (factor * reached[0], factor * reached[1] + more), reached


def _over_interval(end: jax.Array, interval: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    factor, more, jump, keep = interval
    begin = keep * end + jump
    return factor * begin + more, begin
