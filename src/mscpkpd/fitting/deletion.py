"""Case deletion about a maximum: where it would stand without some of the clusters, by one Newton step each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mscpkpd.fitting.focei import Maximum
from mscpkpd.fitting.marginal import Marginal
from mscpkpd.population import Population

__all__ = ["Deleted", "clusters_by", "deleted"]

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
        Log likelihood of the part at the estimates without it; its random effects are integrated out.
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
    xs, elpd, trusted = [], [], []
    for clusters in parts:
        slope = found.scores[clusters].sum(axis=0)
        rest = found.information - found.curvatures[clusters].sum(axis=0)
        definite = bool(np.all(np.isfinite(rest)) and np.linalg.eigvalsh(rest)[0] > 0)
        step = np.linalg.solve(rest, slope) if definite else found.covariance @ slope
        there = marginal.at(found.x + step, found.mode.eta).contribution
        others = np.setdiff1d(np.arange(len(there)), clusters)
        priors = marginal.coordinates.log_prior(found.x + step) - marginal.coordinates.log_prior(found.x)
        gained = 0.5 * float(np.sum(found.mode.contribution[others] - there[others])) + found.with_priors * priors
        forecast = 0.5 * float(slope @ step)
        xs.append(found.x + step)
        elpd.append(-0.5 * float(np.sum(there[clusters])))
        trusted.append(definite and abs(gained - forecast) <= max(AGREED * forecast, SMALL))
    return Deleted(np.array(xs), np.array(elpd), np.array(trusted))
