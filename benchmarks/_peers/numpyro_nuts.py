"""NumPyro's NUTS on a log density that diffrax solves, compiled by JAX; chains are drawn together on one device."""

from __future__ import annotations

import time

import jax
import numpy as np
from _density import Density
from numpyro.infer import MCMC, NUTS

from _peers.diffrax_kvaerno import gradient as slopes
from _peers.diffrax_kvaerno import log_density_of

NAME = "NumPyro + diffrax"
__all__ = ["NAME", "sample", "slopes"]


def sample(
    density: Density, tolerance: float, *, draws: int, tune: int, chains: int, seed: int
) -> tuple[np.ndarray, float]:
    """Draws of the coordinates (chains, draws, n), and the seconds that it took, compilation included."""
    total = log_density_of(density)
    kernel = NUTS(potential_fn=lambda z: -total(z, tolerance))
    method = "vectorized" if chains > 1 else "sequential"
    sampler = MCMC(
        kernel, num_warmup=tune, num_samples=draws, num_chains=chains, chain_method=method, progress_bar=False
    )
    start = np.tile(density.z0, (chains, 1)) if chains > 1 else density.z0
    begin = time.perf_counter()
    sampler.run(jax.random.PRNGKey(seed), init_params=jax.numpy.asarray(start))
    found = np.asarray(sampler.get_samples(group_by_chain=True))
    return found, time.perf_counter() - begin
