"""States that are linear in themselves: dy/dt = b(t) - a(t) y, with a and b known at the collocation points.

Each step is a small linear system, solved for all steps at once; what is left is a chain of affine maps from the
start of one step to that of the next. A derivative of y obeys the same equation with another b, so that it costs no
further system: this is told to JAX, and makes derivatives cheap and exactly those of the computed numbers.

Arrays have the dimensions (state, point of the step, interval, step), those of whole steps (state, interval, step).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mscpkpd.engine.mesh import Mesh, Rule

__all__ = ["Series", "following_states"]


class Series(NamedTuple):
    """Values at the starts of all steps, and at their points."""

    starts: jax.Array
    inside: jax.Array


class _Steps(NamedTuple):
    """The solved systems.

    How the points of a step answer to its start, and to b at each of its points, shapes (state, point, interval, step)
    and (state, point, point, interval, step); and how the start of a group of steps answers to that of the interval
    and to what each group before it adds, shape (state, interval, group + 1, group + 1).
    """

    to_start: jax.Array
    to_gain: jax.Array
    chain: jax.Array


def following_states(loss: jax.Array, gain: jax.Array, jumps: jax.Array, kind: jax.Array, mesh: Mesh) -> Series:
    """Solve dy/dt = b - a y through all steps of all intervals, for states that do not need one another.

    Parameters
    ----------
    loss, gain : jax.Array
        a and b at the points, each times the length of its step; `loss` for intervals that differ in it, and with a
        dimension of 1 for the points where it does not move in an interval.
    jumps : jax.Array
        What is added at the begin of each interval, the first to nothing, shape (n_states, n_intervals).
    kind : jax.Array
        Which interval of `loss` each interval is like, shape (n_intervals,).
    mesh : Mesh
        Steps of every interval.

    Returns
    -------
    Series
    """

    @jax.custom_jvp
    def solved(loss: jax.Array, gain: jax.Array, jumps: jax.Array) -> Series:
        return _through(_steps(loss, kind, mesh), gain, jumps)

    def tangents(primals: tuple[jax.Array, ...], moves: tuple[jax.Array, ...]) -> tuple[Series, Series]:
        loss, gain, jumps = primals
        d_loss, d_gain, d_jumps = moves
        steps = _steps(loss, kind, mesh)
        found = _through(steps, gain, jumps)
        return found, _through(steps, d_gain - d_loss[:, :, kind] * found.inside, d_jumps)

    solved.defjvp(tangents)
    return solved(loss, gain, jumps)


def _steps(loss: jax.Array, kind: jax.Array, mesh: Mesh) -> _Steps:
    to_gain = _of_constant(loss, mesh.rule) if loss.shape[1] == 1 else _of_moving(loss, mesh.rule)
    to_start = 1.0 - jnp.sum(to_gain * loss[:, None], axis=2)
    groups = to_start[:, -1].reshape(loss.shape[0], loss.shape[2], -1, mesh.steps)
    chain = _chained(jnp.prod(groups, axis=-1))
    return _Steps(to_start[:, :, kind], to_gain[:, :, :, kind], chain[:, kind])


def _of_constant(loss: jax.Array, rule: Rule) -> jax.Array:
    """(1 + z A)^-1 A for the loss z of every step, by the eigenvalues of A; it begins at nothing, so digits stay."""
    count, flat = len(rule.points), loss.reshape(1, -1)
    roots = jnp.asarray(rule.roots)[:, None]
    size = 1.0 + flat * (2.0 * roots.real + flat * jnp.abs(roots) ** 2)  # |1 + z r|^2
    parts = jnp.concatenate([(roots.real + flat * jnp.abs(roots) ** 2) / size, roots.imag / size])
    entries = (jnp.asarray(rule.modes) @ parts).reshape(count, count, loss.shape[0], *loss.shape[2:])
    return jnp.moveaxis(entries, 2, 0)


def _of_moving(loss: jax.Array, rule: Rule) -> jax.Array:
    """(1 + A diag(z))^-1 A by elimination; its pivots need no exchange while a loss is not very negative."""
    integrals, shape = jnp.asarray(rule.integrals), loss.shape
    count = len(integrals)
    flat = jnp.moveaxis(loss, 1, 0).reshape(count, -1)
    several = jnp.broadcast_to(integrals[:, :, None], (count, count, flat.shape[1]))
    table = jnp.concatenate([jnp.eye(count)[:, :, None] + several * flat, several], axis=1)

    def eliminated(k: int, table: jax.Array) -> jax.Array:
        row = table[k] / table[k, k]
        return jnp.where(jnp.arange(count)[:, None, None] == k, row, table - table[:, k][:, None] * row)

    solved = jax.lax.fori_loop(0, count, eliminated, table)[:, count:]
    return jnp.moveaxis(solved.reshape(count, count, shape[0], *shape[2:]), 2, 0)


def _chained(factors: jax.Array) -> jax.Array:
    """Products of the factors of groups: entry (m, i) is that from the end of group i - 1 to the start of group m."""
    sizes = jnp.log(jnp.maximum(jnp.abs(factors), 1e-300))
    signs = jnp.where(factors < 0, 1.0, 0.0)
    reach, flips = (_before(each) for each in (sizes, signs))
    parity = 1.0 - 2.0 * jnp.mod(flips[..., :, None] - flips[..., None, :], 2.0)
    ratio = jnp.tril(reach[..., :, None] - reach[..., None, :])
    return jnp.tril(parity * jnp.exp(ratio))


def _before(numbers: jax.Array) -> jax.Array:
    """Sums of what stands before each place and after the last, along the last dimension."""
    zero = jnp.zeros((*numbers.shape[:-1], 1))
    return jnp.concatenate([zero, jnp.cumsum(numbers, axis=-1)], axis=-1)


def _through(steps: _Steps, gain: jax.Array, jumps: jax.Array) -> Series:
    """Chain the groups of steps, then the steps in them, then fill in the points."""
    answer = jnp.sum(steps.to_gain * gain[:, None], axis=2)
    grouped = (gain.shape[0], gain.shape[2], steps.chain.shape[-1] - 1, -1)
    factors, added = steps.to_start[:, -1].reshape(grouped), answer[:, -1].reshape(grouped)
    size = factors.shape[-1]
    total = added[..., 0]
    for k in range(1, size):
        total = factors[..., k] * total + added[..., k]
    reached = jnp.einsum("skmi,ski->skm", steps.chain[..., 1:], total)
    begins = _begins(steps.chain[:, :, -1, 0], reached[:, :, -1], jumps)
    each = [(reached + steps.chain[..., 0] * begins[..., None])[..., :-1]]
    for k in range(size - 1):
        each.append(factors[..., k] * each[-1] + added[..., k])
    starts = jnp.stack(each, axis=-1).reshape(*gain.shape[:1], *gain.shape[2:])
    return Series(starts, answer + steps.to_start * starts[:, None])


def _begins(factors: jax.Array, added: jax.Array, jumps: jax.Array) -> jax.Array:
    """Values at the begins of the intervals, shape (n_states, n_intervals)."""

    def over(end: jax.Array, interval: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        factor, more, jump = interval
        begin = end + jump
        return factor * begin + more, begin

    _, begins = jax.lax.scan(over, jnp.zeros(len(factors)), (factors.T, added.T, jumps.T))
    return begins.T
