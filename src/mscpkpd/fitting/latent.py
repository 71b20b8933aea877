"""Chains of a PyMC model that somebody else writes: compiled once, sampled by nutpie."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mscpkpd.errors import FitError

__all__ = ["compiled_by", "sampled_chains"]


def compiled_by(build: Callable[[Any, Any], Any]) -> Any:
    """Return a compiled model.

    Parameters
    ----------
    build : callable
        Takes ``pymc`` and ``pytensor.tensor``; returns a PyMC model.

    Raises
    ------
    FitError
        If PyMC or nutpie is missing.
    """
    try:
        import nutpie
        import pymc
        import pytensor.tensor
    except ImportError as error:
        raise FitError("NUTS needs PyMC and nutpie", hint="install mscpkpd again, or method='importance'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nutpie.compile_pymc_model(build(pymc, pytensor.tensor), backend="numba")


def sampled_chains(
    compiled: Any,
    variable: str,
    data: Mapping[str, np.ndarray] | None = None,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    target_accept: float,
) -> tuple[np.ndarray, int]:
    """Sample a compiled model.

    Parameters
    ----------
    compiled : compiled model
        Made by `compiled_by`.
    variable : str
        What is kept.
    data : mapping of str to array, optional
        Other values of its data.
    draws, tune, chains, seed : int
    target_accept : float
        Of the step size, a probability.

    Returns
    -------
    values : array of shape (chains, draws, ...)
    diverged : int
    """
    import nutpie

    model = compiled if data is None else compiled.with_data(**data)
    trace = nutpie.sample(
        model, draws=draws, tune=tune, chains=chains, cores=chains, seed=seed, progress_bar=False,
        target_accept=target_accept, save_warmup=False,
    )  # fmt: skip
    return np.asarray(trace.posterior[variable], float), int(np.asarray(trace.sample_stats["diverging"]).sum())
