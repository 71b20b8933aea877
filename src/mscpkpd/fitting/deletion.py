"""Case deletion about a maximum: where it would stand without some of the clusters, by one Newton step each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mscpkpd.fitting.focei import Maximum
from mscpkpd.fitting.marginal import Marginal, Mode
from mscpkpd.population import Population

__all__ = ["Deleted", "clusters_by", "deleted"]

TRIES = 5  # halvings of a step that the rest does not gain by
AGREED = 0.2  # share by which gain and quadratic forecast may differ where one step is enough
SMALL = 0.005  # of the log likelihood: a tenth of an SD; below it their difference does not matter


@dataclass(frozen=True, eq=False)
class Deleted:
    """The maximum without each part of the data.

    Attributes
    ----------
    x : array of shape (n_parts, n)
        Coordinates without the part.
    elpd : array of shape (n_parts,)
        Log likelihood of the part at the estimates without it, its random effects integrated out; NaN where the step is
        not to be trusted.
    trusted : array of bool, shape (n_parts,)
        Whether the rest gained by the step what its curvature forecast.
    """

    x: np.ndarray
    elpd: np.ndarray
    trusted: np.ndarray


def clusters_by(population: Population, approximation: str, labels: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Clusters of random effects of each part of the data.

    Parameters
    ----------
    population : Population
    approximation : str
    labels : sequence of str, one per row of the data
        To which part each row belongs; rows without a likelihood do not count.

    Returns
    -------
    dict of str to array of int, or None
        By label; None where parts share random effects, so that none can be taken out alone.
    """
    used = population.problem.rows.kind != "dropped"
    of_row, named = Marginal(population, approximation).clusters.of_row[used], np.asarray(labels)[used]
    owner: dict[int, str] = {}
    for cluster, label in zip(of_row.tolist(), named.tolist(), strict=True):
        if owner.setdefault(cluster, label) != label:
            return None
    return {label: np.unique(of_row[named == label]) for label in dict.fromkeys(named.tolist())}


def deleted(population: Population, found: Maximum, approximation: str, parts: Sequence[np.ndarray]) -> Deleted:
    """Take out one part after the other.

    Parameters
    ----------
    population : Population
    found : Maximum
        Of the likelihood, or of the posterior; its priors stay.
    approximation : str
        With which it was found.
    parts : sequence of array of int
        Clusters of each part.

    Returns
    -------
    Deleted

    Notes
    -----
    Without part g the gradient of the objective at the maximum is that of all but g, so minus its own: a Newton step
    with the curvature of the rest leads to the new maximum, exactly where the rest is quadratic (Cook and Weisberg,
    Residuals and Influence in Regression, 1982, section 5.2). The likelihood at the new point tells whether it is.
    """
    marginal = Marginal(population, approximation)
    steps, elpd, trusted = [], [], []
    with np.errstate(all="ignore"):  # what is not finite is not trusted
        for clusters in parts:
            slope = found.scores[clusters].sum(axis=0)
            rest = found.information - found.curvatures[clusters].sum(axis=0)
            definite = bool(np.all(np.isfinite(rest)) and np.linalg.eigvalsh(rest)[0] > 0)
            step = np.linalg.solve(rest, slope) if definite else found.covariance @ slope
            forecast, whole = 0.5 * float(slope @ step), step
            for _ in range(TRIES):
                there = marginal.at(found.x + step, found.mode.eta)
                gained = _gained(marginal, found, there, step, clusters)
                if gained >= -SMALL:
                    break
                step = 0.5 * step
            sure = definite and step is whole and there.converged
            sure = sure and abs(gained - forecast) <= max(AGREED * forecast, SMALL)
            steps.append(step)
            elpd.append(-0.5 * float(np.sum(there.contribution[clusters])) if sure else np.nan)
            trusted.append(sure)
    return Deleted(found.x + np.array(steps), np.array(elpd), np.array(trusted))


def _gained(marginal: Marginal, found: Maximum, there: Mode, step: np.ndarray, without: np.ndarray) -> float:
    """What the log likelihood of the rest, or its posterior, gains by a step."""
    others = np.setdiff1d(np.arange(len(found.scores)), without)
    gained = 0.5 * float(np.sum(found.mode.contribution[others] - there.contribution[others]))
    if found.with_priors:
        gained += marginal.coordinates.log_prior(found.x + step) - marginal.coordinates.log_prior(found.x)
    return gained
