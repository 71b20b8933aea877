"""Draws of the posterior of one simulated study: by a density that is compiled once for all studies, or by `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.calibration.truths import Truth, summaries_of
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.draws import diagnose
from mscpkpd.fitting.frame import Frame, find_frame
from mscpkpd.fitting.parametrization import parametrized
from mscpkpd.population import Population
from mscpkpd.problem import Problem

if TYPE_CHECKING:
    from mscpkpd.fitting.repeated import Repeated

__all__ = ["LOG_DENSITY", "Drawn", "Sampling", "sampled"]

LOG_DENSITY = "log density"
LONGER = 6  # times that chains are added to a study until its draws are enough
PER_RANK = 1.5  # effective draws for each draw that is ranked: then draws at even distances are nearly independent
AGREE, APART = 1.05, 1.1  # R-hat up to which draws are taken at once, and above which they never are


@dataclass(frozen=True)
class Sampling:
    """How long and how carefully every study is sampled.

    Attributes
    ----------
    draws, tune, chains : int
        At a time.
    target_accept : float
        Acceptance that the step size aims at, a probability.
    """

    draws: int
    tune: int
    chains: int
    target_accept: float


@dataclass(frozen=True, eq=False)
class Drawn:
    """A posterior beside its truth.

    Attributes
    ----------
    truths : mapping of str to float
        What is ranked.
    draws : mapping of str to array of shape (n_draws,)
        Chain after chain.
    divergent : int
        Transitions that the sampler could not follow.
    attempts : int
        How often chains were added.
    failure : str
        Why the draws are not to be ranked; empty where they are.
    """

    truths: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    divergent: int = 0
    attempts: int = 1
    failure: str = ""


def sampled(
    repeated: Repeated, population: Population, truth: Truth, how: Sampling, *, seed: int, ranked: int
) -> Drawn:
    """Sample the posterior of one study until its draws are enough for a rank.

    Parameters
    ----------
    repeated : Repeated
        Keeps what was compiled for earlier studies.
    population : Population
        With the data.
    truth : Truth
        Behind them.
    how : Sampling
    seed : int
    ranked : int
        Draws behind a rank.

    Returns
    -------
    Drawn
        With the joint log density of parameters and data among the quantities (Modrak et al. 2023): it tells what ranks
        of single parameters do not, such as a posterior that is the prior.
    """
    levels = bool(population.levels)
    seen, frame = _seen(population)
    density = repeated.density(seen, frame)
    place = truth.sampled(seen) if isinstance(seen, Population) else truth.x
    truths = {LOG_DENSITY: density(frame.find(place))[0], **truth.named}
    names = Coordinates(population).names
    xs, logp, divergent = np.zeros((0, how.draws, density.size)), np.zeros((0, how.draws)), 0
    for attempt in range(LONGER):
        more, stats = density.sample(
            draws=how.draws, tune=how.tune, chains=how.chains, seed=seed + attempt, target_accept=how.target_accept
        )
        xs, logp = np.concatenate([xs, more]), np.concatenate([logp, stats["logp"]])
        divergent += int(np.sum(stats["diverging"]))
        natural = density.natural(xs.reshape(-1, density.size))
        flat = {name: natural[:, k] for k, name in enumerate(names)}
        flat |= summaries_of(population, natural[:, len(names) :]) if levels else {}
        flat[LOG_DENSITY] = logp.reshape(-1)
        table, _ = diagnose({name: values.reshape(*_parts(xs.shape)) for name, values in flat.items()}, {})
        ess, apart = float(table["ess_bulk"].min()), float(table["r_hat"].max())
        if ess >= PER_RANK * ranked and apart <= AGREE:
            break
    failure = ""
    if not (ess >= ranked and apart <= APART):
        failure = (
            f"R-hat {apart:.3f} ({table['r_hat'].idxmax()}), {ess:.0f} effective draws ({table['ess_bulk'].idxmin()})"
        )
    elif not np.isfinite(truths[LOG_DENSITY]):
        failure = "the density at the truth is not finite"
    return Drawn(truths, flat, divergent, attempt + 1, failure)


def _parts(shape: tuple[int, ...]) -> tuple[int, int]:
    """Chains and draws that are compared with one another: the halves of a single chain."""
    chains, draws = shape[:2]
    return (chains, draws) if chains > 1 or draws % 2 else (2, draws // 2)


def _seen(population: Population) -> tuple[Problem | Population, Frame]:
    """What a sampler of `fit` is given."""
    if population.levels:
        return parametrized(population)
    if np.any(population.problem.rows.without_noise):  # those rows have no residuals
        return population.problem, parametrized(population)[1]
    return population.problem, find_frame(population.problem)
