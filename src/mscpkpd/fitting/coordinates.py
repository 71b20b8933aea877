"""What a population fit estimates, as one vector without bounds: typical values, spreads, correlations.

Typical values and noise stand on the scale of their priors, spreads as logarithms. The correlations of a level follow
from partial correlations tanh(y), each free of the others (Lewandowski, Kurowicka and Joe 2009): the prior LKJ(lkj) is
then a product, and every vector y gives a valid matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lgamma, log
from typing import Any

import numpy as np

from mscpkpd.population import Population
from mscpkpd.variability import Level

__all__ = ["Coordinates", "Spreads", "cholesky_rows", "drawn_effects", "lkj_exponents", "spreads_from"]

EDGE = 0.99  # of a partial correlation where a search starts


@dataclass(frozen=True, eq=False)
class Spreads:
    """Spreads of the random effects at one point.

    Attributes
    ----------
    sd : array of shape (n_effects,)
        On the scales of the parameters.
    roots : tuple of array of shape (n, n)
        For each level the Cholesky factor of the correlations of its effects.
    """

    sd: np.ndarray
    roots: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Where each quantity stands in the vector of a population fit.

    Attributes
    ----------
    population : Population
    """

    population: Population

    @cached_property
    def free_effects(self) -> tuple[int, ...]:
        """Effects whose spread is estimated."""
        return tuple(k for k, effect in enumerate(self.population.effects) if effect.prior.is_free)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Free parameters, ``omega_sd_CL``, ``corr_CL__V``."""
        effects = self.population.effects
        correlations = (name for level in self.population.levels for name in level.correlation_names)
        spreads = (effects[k].omega_sd for k in self.free_effects)
        return (*self.population.problem.names, *spreads, *correlations)

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """How many typical values, spreads and correlations there are."""
        thetas, spreads = len(self.population.problem.names), len(self.free_effects)
        return thetas, spreads, len(self.names) - thetas - spreads

    @cached_property
    def start(self) -> np.ndarray:
        """Where a search begins, shape (n,)."""
        x, correlations = self.vector({}), self.counts[2]
        first = len(x) - correlations
        x[first:] = np.clip(x[first:], -np.arctanh(EDGE), np.arctanh(EDGE))
        return x

    def vector(self, values: Mapping[str, float]) -> np.ndarray:
        """Turn values by name into a vector; the inverse of `natural`.

        Parameters
        ----------
        values : mapping of str to float
            By the names of `names`; what is not given is as a search starts.

        Returns
        -------
        array of shape (n,)
        """
        problem, effects = self.population.problem, self.population.effects
        theta = [float(p.prior.to_free(values.get(p.name, p.start))) for p in problem.free]
        sds = [(effects[k].omega_sd, effects[k].sd) for k in self.free_effects]
        spreads = [float(np.log(values.get(name, sd))) for name, sd in sds]
        partial = [_partial(level, values) for level in self.population.levels]
        return np.array([*theta, *spreads, *(y for each in partial for y in each)])

    def theta(self, x: np.ndarray) -> np.ndarray:
        """Free parameters on their natural scale, shape (n_free,)."""
        free = self.population.problem.free
        return np.array([float(p.prior.from_free(z)) for p, z in zip(free, x, strict=False)])

    def spreads(self, x: np.ndarray) -> Spreads:
        """Spreads at a point."""
        thetas, count, _ = self.counts
        sd = np.array([effect.sd for effect in self.population.effects])
        sd[list(self.free_effects)] = np.exp(x[thetas : thetas + count])
        roots, at = [], thetas + count
        for level in self.population.levels:
            y = x[at : at + len(level.pairs)]
            at += len(level.pairs)
            rows = cholesky_rows(len(level.effects), list(np.tanh(y)), np.sqrt) if level.full else None
            roots.append(np.eye(len(level.effects)) if rows is None else np.array(rows, dtype=float))
        return Spreads(sd, tuple(roots))

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Everything in the order of `names`, on its natural scale, shape (n,)."""
        found = self.spreads(x)
        correlations = [
            float((root @ root.T)[i, j])
            for level, root in zip(self.population.levels, found.roots, strict=True)
            for i, j in level.pairs
        ]
        return np.array([*self.theta(x), *found.sd[list(self.free_effects)], *correlations])

    def log_prior(self, x: np.ndarray) -> float:
        """Log density of the priors, on the scale of the vector."""
        thetas, count, _ = self.counts
        priors = [p.prior for p in self.population.problem.free]
        priors += [self.population.effects[k].prior for k in self.free_effects]
        total = sum(float(prior.log_density_free(z)) for prior, z in zip(priors, x, strict=False))
        at = thetas + count
        for level in self.population.levels:
            for exponent in lkj_exponents(level):
                norm = lgamma(2 * exponent) - 2 * lgamma(exponent) - (2 * exponent - 1) * log(2)
                total += norm + exponent * float(np.log1p(-(np.tanh(x[at]) ** 2)))
                at += 1
        return total


def spreads_from(population: Population, values: Mapping[str, float]) -> Spreads:
    """Spreads from the named estimates of a fit; what is not among them is as the model file states.

    Parameters
    ----------
    population : Population
    values : mapping of str to float
        ``omega_sd_CL``, ``corr_CL__V``, ... by name.

    Returns
    -------
    Spreads
    """
    sd = np.array([float(values.get(effect.omega_sd, effect.sd)) for effect in population.effects])
    return Spreads(sd, tuple(_root(level, values) for level in population.levels))


def drawn_effects(population: Population, spreads: Spreads, rng: np.random.Generator) -> np.ndarray:
    """Random effects of new groups in place of those of the data, shape (n_eta,)."""
    parts, first = [np.zeros(0)], 0
    for level, root in zip(population.levels, spreads.roots, strict=True):
        sd = spreads.sd[first : first + len(level.effects)]
        first += len(level.effects)
        parts.append((rng.standard_normal((len(level.labels), len(sd))) @ root.T * sd).reshape(-1))
    return np.concatenate(parts)


def cholesky_rows(size: int, partial: Sequence[Any], root: Callable[[Any], Any]) -> list[list[Any]]:
    """Rows of the Cholesky factor of a correlation matrix from partial correlations, row by row below the diagonal.

    Parameters
    ----------
    size : int
    partial : sequence
        Numbers, or symbols of a graph, between -1 and 1.
    root : callable
        Square root of such.
    """
    rows: list[list[Any]] = []
    given = iter(partial)
    for i in range(size):
        left: Any = 1.0
        row: list[Any] = []
        for _ in range(i):
            p = next(given)
            row.append(p * (root(left) if row else 1.0))
            left = left * (1.0 - p**2)
        rows.append([*row, root(left) if row else 1.0, *[0.0] * (size - i - 1)])
    return rows


def lkj_exponents(level: Level) -> tuple[float, ...]:
    """For each partial correlation p the b of its density, which is proportional to (1 - p**2)**(b - 1)."""
    size = len(level.effects)
    return tuple(level.lkj + 0.5 * (size - 2 - j) for _, j in level.pairs)


def _root(level: Level, values: Mapping[str, float]) -> np.ndarray:
    """Cholesky factor of the correlations of a level, stated or given by name."""
    matrix = np.eye(len(level.effects))
    for name, stated, (i, j) in zip(level.correlation_names, level.correlations, level.pairs, strict=True):
        matrix[i, j] = matrix[j, i] = float(values.get(name, stated))
    return np.linalg.cholesky(matrix)


def _partial(level: Level, values: Mapping[str, float]) -> list[float]:
    """Partial correlations, as atanh, of correlations that are stated or given by name."""
    if not level.full:
        return []
    root = _root(level, values)
    out = []
    for i, j in level.pairs:
        left = 1.0 - float(np.sum(root[i, :j] ** 2))
        out.append(float(np.arctanh(root[i, j] / np.sqrt(left))))
    return out
