"""Draws of a fit as parameters and random effects of its rows, and what each of them predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.approximate import METHODS
from mscpkpd.fitting.result import Fit
from mscpkpd.population import Population, pose_population

__all__ = ["Drawn", "drawn_from", "population_of", "sampled_levels"]

SLOW = 400  # draws that are kept where each costs a solve by the stiff engine


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of a fit, ready to predict its rows.

    Attributes
    ----------
    population : Population
    thetas : array of shape (n_draws, n_free)
        Free parameters on their natural scale.
    etas : array of shape (n_draws, n_eta)
        Random effects of the groups in the data.
    chains : int
        Chains that the draws come from, one after the other.
    thinned : bool
        Whether draws were left out, because each is slow to solve.
    """

    population: Population
    thetas: np.ndarray
    etas: np.ndarray
    chains: int
    thinned: bool

    def __len__(self) -> int:
        return len(self.thetas)

    def predictions(self) -> np.ndarray:
        """Predict every row at every draw.

        Returns
        -------
        array of shape (n_draws, n_rows)
            In the units of the outputs; NaN where a solve failed.
        """
        found = np.empty((len(self), len(self.population.problem.rows)))
        for k, (theta, eta) in enumerate(zip(self.thetas, self.etas, strict=True)):
            found[k] = self.population.predict(theta, eta).value
        return found


def population_of(fit: Fit) -> Population:
    """The problem of a fit, bound again; of a maximum with what was estimated as what is free."""
    free = [name for name in fit.estimates if name in fit.model.parameter_names] if fit.method in METHODS else None
    return pose_population(fit.model, fit.study, free, random=fit.settings.get("random") or False)


def sampled_levels(fit: Fit) -> bool:
    """Whether random effects were sampled with the parameters, so that each draw has those of every subject."""
    return fit.draws is not None and bool(fit.settings.get("random"))


def drawn_from(fit: Fit, population: Population | None = None) -> Drawn:
    """Take the draws of a fit.

    Parameters
    ----------
    fit : Fit
        Converged or not.
    population : Population, optional
        Its problem, where it is bound already.

    Returns
    -------
    Drawn

    Raises
    ------
    UsageError
        If the fit integrated its random effects away: then no draw has those of each subject.
    FitError
        If draws of random effects are missing.
    """
    population = population or population_of(fit)
    if population.levels and not sampled_levels(fit):
        raise UsageError(
            f"a {fit.method} fit has no draws of its random effects", hint="method='nuts', which samples them"
        )
    flat, problem = fit.posterior.flat(), population.problem
    count = len(next(iter(flat.values())))
    chains = len(next(iter(fit.posterior.learned.values())))
    thetas = np.stack([flat.get(p.name, np.full(count, p.start)) for p in problem.free], axis=1)
    etas = _effects(fit, population, count)
    step = -(-count // SLOW) if population.sampled_by == "stiff" else 1
    return Drawn(population, thetas[::step], etas[::step], chains, step > 1)


def _effects(fit: Fit, population: Population, count: int) -> np.ndarray:
    """Random effects of every draw, level by level, group by group, effect by effect."""
    parts = [np.zeros((count, 0))]
    for level in population.levels:
        try:
            each = [np.asarray(fit.draws["posterior"][effect.name].values) for effect in level.effects]
        except KeyError as error:
            raise FitError(
                f"the fit has no draws of {error}", hint="fit again; the run is of another version"
            ) from None
        parts.append(np.stack(each, axis=-1).reshape(count, -1))
    return np.concatenate(parts, axis=1)
