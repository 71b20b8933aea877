"""The likelihood of a population with its random effects integrated out, by Laplace's approximation about their mode.

For each cluster of cases that share random effects the mode of their density given data is found, and the integral over
them is that of a normal density with the same mode and curvature. The curvature is the expected one (FOCE, FOCEI:
derivatives of first order) or the true one (Laplace).

FOCE takes the residual spread at eta = 0, FOCEI at the mode (P11). With H the curvature of -log p(y, eta) at the mode,
minus2ll = sum of -2 log p(y | eta) + eta' Omega^-1 eta + log det Omega + log det H: the powers of 2 pi of the density
of eta and of the integral cancel, those of the observations stay (P9).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mscpkpd.fitting.coordinates import Coordinates, Spreads
from mscpkpd.fitting.densities import densities
from mscpkpd.population import Population

__all__ = ["APPROXIMATIONS", "Clusters", "Marginal", "Mode"]

APPROXIMATIONS = ("foce", "focei", "laplace")
MOST_STEPS = 60
DECREMENT = 1e-13  # of the log density at the mode: what is left of it moves eta by less than 1e-6 of its spread
SMALLEST = 1e-5  # share of a step below which a cluster stops
STEP = 1e-4  # of central differences of the gradient, in units of eta


@dataclass(frozen=True, eq=False)
class Mode:
    """Random effects at their mode.

    Attributes
    ----------
    eta : array of shape (n_eta,)
    contribution : array of shape (n_clusters,)
        Of each cluster to minus2ll; infinite where the model cannot be solved.
    covariance : array of shape (n_eta, n_eta)
        Of `eta` given data and parameters, by the same approximation; block diagonal.
    converged : bool
        Whether every cluster reached its mode.
    """

    eta: np.ndarray
    contribution: np.ndarray
    covariance: np.ndarray
    converged: bool

    @property
    def minus2ll(self) -> float:
        """-2 log likelihood."""
        return float(np.sum(self.contribution))


@dataclass(frozen=True, eq=False)
class Clusters:
    """Cases that share random effects, or rows of a subject that none moves; where each effect stands in its cluster.

    Attributes
    ----------
    of_row, of_eta : array of int
        Cluster of each row and of each random effect.
    local : array of int, shape (n_eta,)
        Place of each random effect in its cluster.
    count, size : int
        Number of clusters, and random effects in the largest.
    """

    of_row: np.ndarray
    of_eta: np.ndarray
    local: np.ndarray
    count: int
    size: int

    @classmethod
    def of(cls, population: Population) -> Clusters:
        """Cases connected by shared random effects."""
        cases, total = len(population.group), population.offsets[-1]
        root = list(range(cases + total))

        def find(k: int) -> int:
            while root[k] != k:
                root[k] = root[root[k]]
                k = root[k]
            return k

        for row in population.places:
            for c in np.flatnonzero(row >= 0):
                root[find(int(c))] = find(cases + int(row[c]))
        free = ~np.any(population.places >= 0, axis=0)  # cases that no effect moves; subjects dosed alike share them
        subjects = population.problem.rows.subject
        of_row = [(find(c), s if free[c] else "") for c, s in zip(population.case.tolist(), subjects, strict=True)]
        effects = [(find(k), "") for k in range(cases, cases + total)]
        number = {name: k for k, name in enumerate(dict.fromkeys([*of_row, *effects]))}
        of_eta = np.array([number[name] for name in effects], dtype=int)
        local = np.zeros(total, dtype=int)
        seen = np.zeros(len(number), dtype=int)
        for k, c in enumerate(of_eta):
            local[k] = seen[c]
            seen[c] += 1
        rows = np.array([number[name] for name in of_row], dtype=int)
        return cls(rows, of_eta, local, len(number), int(max(seen, default=0)))


@dataclass(frozen=True, eq=False)
class _Point:
    """Joint density at one value of the random effects, by cluster."""

    value: np.ndarray  # -log p(y, eta), without constants of the prior of eta
    gradient: np.ndarray  # shape (n_clusters, size)
    curvature: np.ndarray  # shape (n_clusters, size, size)


class Marginal:
    """Likelihood of a population as a function of the vector of `Coordinates`.

    Parameters
    ----------
    population : Population
    approximation : str
        One of `APPROXIMATIONS`.
    """

    def __init__(self, population: Population, approximation: str = "focei") -> None:
        self.population, self.approximation = population, approximation
        self.coordinates = Coordinates(population)
        self.clusters = Clusters.of(population)
        self._eta_places = population.places[:, population.case].T  # (n_rows, n_effects)

    def at(self, x: np.ndarray, eta: np.ndarray | None = None, near: np.ndarray | None = None) -> Mode:
        """Find the mode of the random effects and integrate about it.

        Parameters
        ----------
        x : array of shape (n,)
            Coordinates.
        eta : array of shape (n_eta,), optional
            Where the search for the mode begins.
        near : array of shape (n_clusters, size, size), optional
            True curvature at a mode nearby (`curvature_at`), with which a few steps are enough.

        Returns
        -------
        Mode
        """
        with np.errstate(all="ignore"):  # what is not finite is refused
            theta, spreads = self.coordinates.theta(x), self.coordinates.spreads(x)
            start = np.zeros(self.population.offsets[-1]) if eta is None else eta
            try:
                return self._mode(theta, spreads, start, near)
            except np.linalg.LinAlgError:  # spreads so far apart that their matrices cannot be inverted
                return self._refused(start)

    def curvature_at(self, x: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """Second derivatives of -log p(y, eta) at a mode, shape (n_clusters, size, size)."""
        with np.errstate(all="ignore"):
            theta, spreads = self.coordinates.theta(x), self.coordinates.spreads(x)
            inverses = [np.linalg.inv(omega) for omega in self._omegas(spreads)]
            frozen = self._frozen(theta)
            here = self._point(theta, inverses, eta, frozen)
            return self._true_curvature(theta, inverses, eta, here, frozen)

    def _frozen(self, theta: np.ndarray) -> np.ndarray | None:
        """Predictions at which FOCE takes the residual spread."""
        if self.approximation != "foce":
            return None
        return self.population.predict(theta, np.zeros(self.population.offsets[-1])).value

    # ---- the joint density -------------------------------------------------------------------------------------------

    def _point(
        self, theta: np.ndarray, inverses: list[np.ndarray], eta: np.ndarray, frozen: np.ndarray | None
    ) -> _Point:
        found = self.population.predict(theta, eta, by_eta=True)
        row = densities(self.population.problem, found.value, self.population.problem.values(theta), frozen)
        clusters, size = self.clusters, self.clusters.size
        log_density = np.where(np.isnan(row.value) | found.failed, -np.inf, row.value)
        value = -np.bincount(clusters.of_row, log_density, clusters.count)
        value = np.where(np.isnan(value), np.inf, value)
        flat_slope, flat_curvature = np.zeros(clusters.count * size), np.zeros(clusters.count * size**2)
        slope = np.nan_to_num(row.slope, posinf=0.0, neginf=0.0)
        information = np.nan_to_num(row.information, posinf=0.0)
        by_eta = np.nan_to_num(found.by_eta)
        for e, at in enumerate(self._flat):
            flat_slope += np.bincount(at, -slope * by_eta[:, e], len(flat_slope))
            for other, both in enumerate(self._pairs[e]):
                weights = information * by_eta[:, e] * by_eta[:, other]
                flat_curvature += np.bincount(both, weights, len(flat_curvature))
        gradient = flat_slope.reshape(clusters.count, size)
        curvature = flat_curvature.reshape(clusters.count, size, size)
        self._add_prior(inverses, eta, value, gradient, curvature)
        return _Point(value, gradient, curvature)

    @cached_property
    def _flat(self) -> list[np.ndarray]:
        """Place of each effect of each row in the gradient; rows without the effect point to one with no slope."""
        clusters, places = self.clusters, np.maximum(self._eta_places, 0)
        return [clusters.of_eta[at] * clusters.size + clusters.local[at] for at in places.T]

    @cached_property
    def _pairs(self) -> list[list[np.ndarray]]:
        clusters, places, size = self.clusters, np.maximum(self._eta_places, 0), self.clusters.size
        local = clusters.local[places]
        base = [clusters.of_eta[at] * size**2 for at in places.T]
        effects = range(places.shape[1])
        return [[base[e] + local[:, e] * size + local[:, other] for other in effects] for e in effects]

    def _add_prior(
        self, inverses: list[np.ndarray], eta: np.ndarray, value: np.ndarray, slope: np.ndarray, curvature: np.ndarray
    ) -> None:
        """Add the density of the random effects to that of the data."""
        clusters = self.clusters
        for k, inverse in enumerate(inverses):
            block = self.population.eta_of(k, eta)
            pulled = block @ inverse
            places = np.arange(*self.population.offsets[k : k + 2]).reshape(block.shape)
            c, local = clusters.of_eta[places], clusters.local[places]
            np.add.at(value, c[:, 0], 0.5 * np.sum(block * pulled, axis=1))
            np.add.at(slope, (c, local), pulled)
            np.add.at(curvature, (c[:, :, None], local[:, :, None], local[:, None, :]), inverse)

    @cached_property
    def _padding(self) -> np.ndarray:
        """1 on the diagonal where a cluster has fewer effects than the largest, shape (n_clusters, size, size)."""
        clusters = self.clusters
        used = np.zeros((clusters.count, clusters.size))
        used[clusters.of_eta, clusters.local] = 1.0
        return np.asarray((1.0 - used)[:, :, None] * np.eye(clusters.size))

    # ---- the mode ----------------------------------------------------------------------------------------------------

    def _mode(self, theta: np.ndarray, spreads: Spreads, eta: np.ndarray, near: np.ndarray | None) -> Mode:
        omegas = self._omegas(spreads)
        inverses = [np.linalg.inv(omega) for omega in omegas]
        frozen = self._frozen(theta)
        here = self._point(theta, inverses, eta, frozen)
        if not np.all(np.isfinite(here.value)) and np.any(eta):
            eta = np.zeros_like(eta)
            here = self._point(theta, inverses, eta, frozen)
        if not np.all(np.isfinite(here.value)):
            return self._refused(eta)
        eta, here, converged = self._climbed(theta, inverses, eta, here, frozen, near)
        curvature = here.curvature
        if self.approximation == "laplace" and len(eta):
            curvature = self._true_curvature(theta, inverses, eta, here, frozen)
        return self._integrated(eta, here.value, curvature + self._padding, omegas, converged=converged)

    def _omegas(self, spreads: Spreads) -> list[np.ndarray]:
        """Covariance of the effects of each level."""
        out, at = [], 0
        for level, root in zip(self.population.levels, spreads.roots, strict=True):
            scaled = spreads.sd[at : at + len(level.effects), None] * root
            at += len(level.effects)
            out.append(scaled @ scaled.T)
        return out

    def _climbed(
        self,
        theta: np.ndarray,
        inverses: list[np.ndarray],
        eta: np.ndarray,
        here: _Point,
        frozen: np.ndarray | None,
        near: np.ndarray | None,
    ) -> tuple[np.ndarray, _Point, bool]:
        """Newton steps with the expected curvature, or one from nearby; each cluster halves its own steps."""
        clusters = self.clusters
        share, trusted = np.ones(clusters.count), np.full(clusters.count, near is not None)
        if not len(eta):
            return eta, here, True
        for _ in range(MOST_STEPS):
            metric = here.curvature if near is None else _chosen(trusted, near, here.curvature)
            step = -np.linalg.solve(metric + self._padding, here.gradient[:, :, None])[:, :, 0]
            decrement = -np.sum(step * here.gradient, axis=1)
            moving = (decrement > DECREMENT * (1.0 + np.abs(here.value))) & (share > SMALLEST)
            if not np.any(moving):
                break
            step *= (share * moving)[:, None]
            tried = eta + step[clusters.of_eta, clusters.local]
            there = self._point(theta, inverses, tried, frozen)
            # rounding may hide the last gains; a step that loses no more than that is taken
            better = there.value <= here.value + 1e-12 * (1.0 + np.abs(here.value))
            eta = np.where(better[clusters.of_eta], tried, eta)
            here = _Point(*(_chosen(better, new, old) for new, old in zip(_parts(there), _parts(here), strict=True)))
            share = np.where(better, np.minimum(1.0, 2.0 * share), 0.5 * share)
            trusted &= better
        step = -np.linalg.solve(here.curvature + self._padding, here.gradient[:, :, None])[:, :, 0]
        left = -np.sum(step * here.gradient, axis=1)
        return eta, here, bool(np.all(left < 1e-6))

    def _true_curvature(
        self, theta: np.ndarray, inverses: list[np.ndarray], eta: np.ndarray, here: _Point, frozen: np.ndarray | None
    ) -> np.ndarray:
        """Second derivatives of -log p(y, eta) by central differences; the expected ones where they are no maximum."""
        clusters, columns = self.clusters, []
        for k in range(clusters.size):
            move = STEP * (clusters.local == k)
            up, down = (self._point(theta, inverses, eta + sign * move, frozen).gradient for sign in (1.0, -1.0))
            columns.append((up - down) / (2 * STEP))
        found = np.stack(columns, axis=2)
        found = 0.5 * (found + np.swapaxes(found, 1, 2))
        smallest = np.linalg.eigvalsh(found + self._padding)[:, 0]
        return _chosen(smallest > 0, found, here.curvature)

    def _integrated(
        self, eta: np.ndarray, value: np.ndarray, curvature: np.ndarray, omegas: list[np.ndarray], *, converged: bool
    ) -> Mode:
        clusters = self.clusters
        contribution = 2.0 * value
        if len(eta):
            contribution += np.linalg.slogdet(curvature)[1]
        for k, omega in enumerate(omegas):
            begin, end = self.population.offsets[k : k + 2]
            firsts = np.arange(begin, end, len(omega))
            np.add.at(contribution, clusters.of_eta[firsts], np.linalg.slogdet(omega)[1])
        covariance = np.zeros((len(eta), len(eta)))
        if len(eta):
            inverse = np.linalg.inv(curvature)
            same = clusters.of_eta[:, None] == clusters.of_eta[None, :]
            of_pairs = inverse[clusters.of_eta[:, None], clusters.local[:, None], clusters.local[None, :]]
            covariance = np.where(same, of_pairs, 0.0)
        return Mode(eta, contribution, covariance, converged)

    def _refused(self, eta: np.ndarray) -> Mode:
        nothing = np.full(self.clusters.count, np.inf)
        return Mode(eta, nothing, np.full((len(eta), len(eta)), np.nan), converged=False)


def _parts(point: _Point) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return point.value, point.gradient, point.curvature


def _chosen(which: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """New values for the clusters that are chosen."""
    return np.asarray(np.where(which.reshape(-1, *[1] * (new.ndim - 1)), new, old))
