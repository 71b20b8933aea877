"""Where an interval is sampled: steps that double after an event, with collocation points in each.

An interval between two events has the length 1 here. Its first group of steps is short enough for the fastest rate;
every further group reaches twice as far, so that decays of any speed are seen by steps of their own size. States are
polynomials in each step, through its start and the points of Radau IIA, the last of which is its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

__all__ = ["Mesh", "Rule", "mesh_of", "radau"]


@dataclass(frozen=True, eq=False)
class Rule:
    """Collocation points of one step from 0 to 1.

    Attributes
    ----------
    points : array of shape (n_points,)
        Ascending; the last is 1.
    integrals : array of shape (n_points, n_points)
        Integral from 0 to point i of the polynomial that is 1 at point j and 0 at the others.
    roots : array of complex, shape (n_roots,)
        Eigenvalues of `integrals`, one of each conjugate pair.
    to_modes : array of shape (2 * n_roots, n_points)
        From values at the points to real and imaginary parts of their components along the eigenvectors.
    from_modes : array of shape (n_points, 2 * n_roots)
        Back to values at the points.
    to_series : array of shape (n_points, n_points)
        From what a state has gained at the points to x times a sum of Legendre polynomials.
    to_last : array of shape (n_points + 1,)
        From values at 0 and the points to the coefficient of the Legendre polynomial of the highest degree.
    """

    points: np.ndarray
    integrals: np.ndarray
    roots: np.ndarray
    to_modes: np.ndarray
    from_modes: np.ndarray
    to_series: np.ndarray
    to_last: np.ndarray


@lru_cache(maxsize=8)
def radau(count: int) -> Rule:
    """Points of Radau IIA, an implicit method of order 2 count - 1 that damps what is too fast for a step.

    Parameters
    ----------
    count : int
        Points in a step, at least 2.

    Returns
    -------
    Rule
    """
    series = np.zeros(count + 1)
    series[count - 1 :] = -1.0, 1.0
    points = (np.sort(legendre.legroots(series).real) + 1) / 2
    points[-1] = 1.0
    antiderivatives = np.stack(
        [legendre.legval(2 * points - 1, legendre.legint(unit, lbnd=-1)) / 2 for unit in np.eye(count)], axis=1
    )
    to_series = np.linalg.inv(legendre.legvander(2 * points - 1, count - 1))
    all_points = np.append(0.0, points)
    last = np.linalg.inv(legendre.legvander(2 * all_points - 1, count))[-1]
    integrals = antiderivatives @ to_series
    return Rule(points, integrals, *_modes(integrals), to_series / points, last)


def _modes(integrals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues of a matrix, which are distinct, and the way to its eigenvectors and back; twelve digits are left."""
    roots, vectors = np.linalg.eig(integrals)
    upper = roots.imag > -1e-9 * np.abs(roots)
    twice = np.where(roots[upper].imag > 1e-9 * np.abs(roots[upper]), 2.0, 1.0)  # a pair counts for both of its members
    there, back = np.linalg.inv(vectors)[upper], twice * vectors[:, upper]
    return roots[upper], np.concatenate([there.real, there.imag]), np.concatenate([back.real, -back.imag], axis=1)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Steps of an interval from 0 to 1.

    Attributes
    ----------
    rule : Rule
        Points of each step.
    levels : int
        How often the size of the steps doubles.
    steps : int
        Steps in each group.
    starts, lengths : array of shape (n_steps,)
        One per step, fractions of the interval.
    """

    rule: Rule
    levels: int
    steps: int
    starts: np.ndarray
    lengths: np.ndarray


@lru_cache(maxsize=64)
def mesh_of(levels: int, steps: int, points: int) -> Mesh:
    """Lay out an interval.

    Parameters
    ----------
    levels : int
        How often the size of the steps doubles.
    steps : int
        Steps in each group; there are ``levels + 1`` groups.
    points : int
        Collocation points in each step.

    Returns
    -------
    Mesh
    """
    ends = np.append(0.0, 2.0 ** np.arange(-levels, 1))
    starts = np.concatenate([a + (b - a) * np.arange(steps) / steps for a, b in pairwise(ends)])
    lengths = np.repeat(np.diff(ends) / steps, steps)
    return Mesh(radau(points), levels, steps, starts, lengths)
