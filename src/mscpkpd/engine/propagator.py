"""The linear block: states that exchange with one another, by matrix exponentials.

Between events dx/dt = A x + B u with constant A, B and u. Over a time h the states change by W(h) (x, u) with
W(h) = (exp(A h) - 1, integral of exp(A s) B over s from 0 to h). A Taylor series gives W for a time that is short for
the fastest rate, and doubling gives it for all longer ones: with E the left part of W, W(2h) = 2 W(h) + E(h) W(h).
Nothing is divided and no eigenvalue is needed, so that equal, zero and defective ones are no special case; because
the identity is left out, slow rates keep their digits beside fast ones.

Subjects are the last dimension of all arrays.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mscpkpd.engine.mesh import Mesh

__all__ = ["REACH", "SPARE", "block_states", "gains", "product"]

REACH = 1.0  # norm of A h up to which the Taylor series is used
SPARE = 3  # doublings from there to the first group of steps
TERMS = 18  # the first term left out is then 1/19! = 8e-18


def gains(matrix: jax.Array, inflow: jax.Array, lengths: jax.Array, mesh: Mesh) -> tuple[jax.Array, jax.Array]:
    """W for the collocation points of a step and for a group of steps, at every size of steps; and for the interval.

    Parameters
    ----------
    matrix : jax.Array
        A, shape (n_kinds, n, n, n_subjects).
    inflow : jax.Array
        B, shape (n, n_inputs).
    lengths : jax.Array
        Length of an interval of each kind, shape (n_kinds, n_subjects).
    mesh : Mesh
        Its steps.

    Returns
    -------
    tuple of jax.Array
        Shapes (levels, n_points + 1, n_kinds, n, n + n_inputs, n_subjects) and (n_kinds, n, n + n_inputs, n_subjects).
    """
    kinds, n, _, subjects = matrix.shape
    longest = (lengths * (mesh.lengths[0] * mesh.steps / 2**SPARE))[:, None, None]
    shares = np.append(mesh.rule.points / mesh.steps, 1.0)[:, None, None, None, None]
    held = jnp.broadcast_to(inflow[None, :, :, None], (kinds, n, inflow.shape[1], subjects))
    term = longest * jnp.concatenate([matrix, held], axis=2)

    def added(sums: tuple[Any, Any, Any], k: jax.Array) -> tuple[tuple[Any, Any, Any], None]:
        term, power, total = sums
        term, power = longest / k * product(matrix, term), power * shares
        return (term, power, total + term * power), None

    powers = jnp.asarray(shares)
    (_, _, total), _ = jax.lax.scan(added, (term, powers, term * powers), jnp.arange(2.0, TERMS + 1.0))

    def doubled(gain: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return 2 * gain + product(gain[..., :n, :], gain), gain

    first, _ = jax.lax.scan(lambda gain, _: (doubled(gain, None)[0], None), total, None, length=SPARE)
    last, sizes = jax.lax.scan(doubled, first, None, length=mesh.levels)
    return sizes, last[-1]


def block_states(
    sizes: jax.Array, begins: jax.Array, inputs: jax.Array, alike: tuple[int, ...], mesh: Mesh
) -> tuple[jax.Array, jax.Array]:
    """States at the start and at the collocation points of every step of all intervals.

    Parameters
    ----------
    sizes : jax.Array
        Of `gains`, shape (levels, n_points + 1, n_kinds, n, n + n_inputs, n_subjects).
    begins : jax.Array
        States at the begins of the intervals, shape (n_intervals, n, n_subjects).
    inputs : jax.Array
        u, shape (n_intervals, n_inputs, n_subjects).
    alike : tuple of int
        The kind of each interval.
    mesh : Mesh
        Its steps.

    Returns
    -------
    tuple of jax.Array
        Shapes (n, n_intervals, n_steps, n_subjects) and (n, n_points, n_intervals, n_steps, n_subjects).
    """
    kinds = np.array(alike)
    members = [np.flatnonzero(kinds == kind) for kind in range(sizes.shape[2])]
    parts = [_of_kind(sizes[:, :, k], begins[mine], inputs[mine], mesh) for k, mine in enumerate(members) if len(mine)]
    order = np.argsort(np.concatenate(members))
    starts, inside = (jnp.concatenate(each, axis=-3) for each in zip(*parts, strict=True))
    if np.any(np.diff(order) != 1):
        starts, inside = jnp.take(starts, order, axis=-3), jnp.take(inside, order, axis=-3)
    return starts, inside


def _of_kind(sizes: jax.Array, begins: jax.Array, inputs: jax.Array, mesh: Mesh) -> tuple[jax.Array, jax.Array]:
    """The same for intervals of one kind, which share their propagators."""
    intervals, n, subjects = begins.shape
    groups, points = mesh.levels + 1, len(mesh.rule.points)
    held = jnp.moveaxis(inputs, 0, 1)  # (n_inputs, n_intervals, n_subjects): each interval is a column
    columns = jnp.moveaxis(begins, 0, 1)
    reached = columns + product(sizes[:, -1], jnp.concatenate([columns, held]))
    group = jnp.concatenate([columns[None], reached])  # at the start of each group
    own = jnp.concatenate([sizes[:1], sizes])[:, :-1]  # the first two groups have steps of one size
    wide = jnp.broadcast_to(held, (groups, *held.shape))
    starts = [group]
    for _ in range(mesh.steps - 1):
        starts.append(starts[-1] + product(own[:, -1], jnp.concatenate([starts[-1], wide], axis=1)))
    every = jnp.stack(starts, axis=3)  # (groups, n, n_intervals, steps, n_subjects)
    flat = every.reshape(groups, n, intervals * mesh.steps, subjects)
    driven = jnp.broadcast_to(wide[:, :, :, None], (*wide.shape[:3], mesh.steps, subjects))
    driven = driven.reshape(groups, -1, intervals * mesh.steps, subjects)
    inside = flat[:, None] + product(own, jnp.concatenate([flat, driven], axis=1)[:, None])
    inside = inside.reshape(groups, points, n, intervals, mesh.steps, subjects)
    steps = groups * mesh.steps
    return (
        jnp.transpose(every, (1, 2, 0, 3, 4)).reshape(n, intervals, steps, subjects),
        jnp.transpose(inside, (2, 1, 3, 0, 4, 5)).reshape(n, points, intervals, steps, subjects),
    )


def product(one: jax.Array, other: jax.Array) -> jax.Array:
    """Matrix products of (..., n, k, n_subjects) with (..., k, m, n_subjects)."""
    if one.shape[-1] == 1 == other.shape[-1]:
        return (one[..., 0] @ other[..., 0])[..., None]
    terms = (one[..., :, k, None, :] * other[..., None, k, :, :] for k in range(one.shape[-2]))
    return sum(terms, start=jnp.zeros(()))
