"""The linear block: states that exchange with one another, by matrix exponentials.

Between events dx/dt = A x + B u with constant A, B and u. Over a time h the states change by W(h) (x, u) with
W(h) = (exp(A h) - 1, integral of exp(A s) B over s from 0 to h). A Taylor series gives W for a time that is short for
the fastest rate, and doubling gives it for all longer ones: with E the left part of W, W(2h) = 2 W(h) + E(h) W(h).
Nothing is divided and no eigenvalue is needed, so that equal, zero and defective ones are no special case; because
the identity is left out, slow rates keep their digits beside fast ones.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mscpkpd.engine.mesh import Mesh

__all__ = ["REACH", "block_states", "gains"]

REACH = 1.0  # norm of A h up to which the Taylor series is used
TERMS = 18  # the first term left out is then 1/19! = 8e-18


def gains(matrix: jax.Array, inflow: jax.Array, length: jax.Array, mesh: Mesh) -> tuple[jax.Array, jax.Array]:
    """W for the collocation points of a step and for a group of steps, at every size of steps; and for the interval.

    Parameters
    ----------
    matrix : jax.Array
        A, shape (n, n).
    inflow : jax.Array
        B, shape (n, n_inputs).
    length : jax.Array
        Length of the interval.
    mesh : Mesh
        Its steps.

    Returns
    -------
    tuple of jax.Array
        Shapes (levels, n_points + 1, n, n + n_inputs) and (n, n + n_inputs).
    """
    longest = length * mesh.lengths[0] * mesh.steps
    shares = np.append(mesh.rule.points / mesh.steps, 1.0)[:, None, None]
    term = longest * jnp.concatenate([matrix, inflow], axis=1)
    total = term * shares
    for k in range(2, TERMS + 1):
        term = longest / k * (matrix @ term)
        total = total + term * shares**k
    n = matrix.shape[0]

    def doubled(gain: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return 2 * gain + gain[:, :, :n] @ gain, gain

    last, sizes = jax.lax.scan(doubled, total, None, length=mesh.levels)
    return sizes, last[-1]


def block_states(sizes: jax.Array, begins: jax.Array, inputs: jax.Array, mesh: Mesh) -> tuple[jax.Array, jax.Array]:
    """States at the start and at the collocation points of every step of one interval.

    Parameters
    ----------
    sizes : jax.Array
        Of `gains`, shape (levels, n_points + 1, n, n + n_inputs).
    begins : jax.Array
        States at the begin of the interval, shape (n,).
    inputs : jax.Array
        u, shape (n_inputs,).
    mesh : Mesh
        Its steps.

    Returns
    -------
    tuple of jax.Array
        Shapes (n, n_steps) and (n, n_steps, n_points).
    """
    levels, n = mesh.levels, sizes.shape[2]
    with_inputs = jnp.concatenate([begins, inputs])
    reached = begins + sizes[:, -1] @ with_inputs
    group = jnp.concatenate([begins[None], reached])  # states at the start of each group, shape (levels + 1, n)
    own = jnp.concatenate([sizes[:1], sizes])[:, :-1]  # the first two groups have steps of one size
    held = jnp.broadcast_to(inputs, (levels + 1, len(inputs)))
    starts = [group]
    for _ in range(mesh.steps - 1):
        here = jnp.concatenate([starts[-1], held], axis=1)
        starts.append(starts[-1] + jnp.einsum("lij,lj->li", own[:, -1], here))
    every = jnp.stack(starts, axis=1)  # (levels + 1, steps, n)
    here = jnp.concatenate([every, jnp.broadcast_to(held[:, None], (*every.shape[:2], len(inputs)))], axis=2)
    inside = every[:, :, None] + jnp.einsum("lpij,lsj->lspi", own, here)
    flat = inside.reshape(-1, len(mesh.rule.points), n)
    return every.reshape(-1, n).T, jnp.moveaxis(flat, 2, 0)
