"""The search for the maximum of a population's likelihood, or of its posterior, and what is known about it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from mscpkpd.errors import FitError
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.marginal import Marginal, Mode
from mscpkpd.population import Population

__all__ = ["Maximum", "maximize", "maximum_at"]

STEP = 1e-3  # of central differences of the objective, whose rounding is about 1e-9
MOST_ITERATIONS = 200
POLISHED, ROUNDS = 5, 3  # Newton steps with one true curvature that follow the search, and how often it is renewed
RENEWED = 0.01  # gain of minus2ll from which on the curvature is computed again
DECREMENT = 1e-3  # of minus2ll: more than this may not be left to gain
FARTHEST = 1e9  # what a search is told where the model cannot be solved


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where a search ended.

    Attributes
    ----------
    coordinates : Coordinates
        What the entries mean.
    x : array of shape (n,)
    mode : Mode
        Random effects and contributions of the clusters there.
    information : array of shape (n, n)
        Half of the second derivatives of the objective: the inverse is the covariance of the estimates.
    scores : array of shape (n_clusters, n)
        Half of the derivatives of each cluster's contribution to minus2ll.
    curvatures : array of shape (n_clusters, n, n)
        Half of their second derivatives.
    left : float
        What another Newton step would gain, in units of minus2ll.
    drift : array of shape (n_eta, n)
        How the modes of the random effects move with the coordinates.
    evaluations : int
        How often the likelihood was computed.
    message : str
        What the optimiser said.
    with_priors : bool
        Whether priors count.
    """

    coordinates: Coordinates
    x: np.ndarray
    mode: Mode
    information: np.ndarray
    scores: np.ndarray
    curvatures: np.ndarray
    left: float
    drift: np.ndarray
    evaluations: int
    message: str
    with_priors: bool

    @property
    def concave(self) -> bool:
        """Whether the likelihood falls in every direction."""
        return bool(np.all(np.isfinite(self.information)) and np.linalg.eigvalsh(self.information)[0] > 0)

    @property
    def converged(self) -> bool:
        """Whether this is a maximum, to what can be told."""
        return self.mode.converged and self.concave and 0 <= self.left < DECREMENT

    @property
    def covariance(self) -> np.ndarray:
        """Of the estimates, from the curvature; along directions without information very large."""
        values, vectors = np.linalg.eigh(np.where(np.isfinite(self.information), self.information, 0.0))
        return np.asarray(vectors / np.maximum(values, 1e-12) @ vectors.T)

    @property
    def sandwich(self) -> np.ndarray:
        """Of the estimates, from curvature and scores: it also holds where the model is not quite right."""
        inverse = self.covariance
        return np.asarray(inverse @ (self.scores.T @ self.scores) @ inverse)


class _Objective:
    """minus2ll, with -2 log prior where asked, and its derivatives by central differences."""

    def __init__(self, marginal: Marginal, *, with_priors: bool) -> None:
        self.marginal, self.with_priors = marginal, with_priors
        self.eta = np.zeros(marginal.population.offsets[-1])
        self.best, self.evaluations = np.inf, 0
        self.known: dict[bytes, Mode] = {}
        self.near: np.ndarray | None = None  # curvature at the point about which differences are taken

    def mode(self, x: np.ndarray) -> Mode:
        key = np.ascontiguousarray(x, dtype=float).tobytes()
        if key not in self.known:
            self.evaluations += 1
            self.known[key] = mode = self.marginal.at(x, self.eta, self.near)
            if mode.minus2ll < self.best:
                self.best, self.eta = mode.minus2ll, mode.eta
        return self.known[key]

    @contextmanager
    def about(self, x: np.ndarray) -> Iterator[None]:
        """While differences about a point are taken, searches start from its mode with its curvature."""
        here, kept, best = self.mode(x), self.eta, self.best
        if np.isfinite(here.minus2ll) and len(here.eta):
            self.eta, self.best, self.near = here.eta, -np.inf, self.marginal.curvature_at(x, here.eta)
        try:
            yield
        finally:
            self.eta, self.best, self.near = kept, best, None

    def penalty(self, x: np.ndarray) -> float:
        return -2.0 * self.marginal.coordinates.log_prior(x) if self.with_priors else 0.0

    def __call__(self, x: np.ndarray) -> float:
        value = self.mode(x).minus2ll + self.penalty(x)
        return value if np.isfinite(value) else FARTHEST

    def slopes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of shape (n,), and that of each cluster, shape (n_clusters, n)."""
        columns, penalties = [], []
        with self.about(x):
            for move in STEP * np.eye(len(x)):
                up, down = self.mode(x + move).contribution, self.mode(x - move).contribution
                with np.errstate(invalid="ignore"):
                    columns.append((up - down) / (2 * STEP))
                penalties.append((self.penalty(x + move) - self.penalty(x - move)) / (2 * STEP))
        each = np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0)
        return each.sum(axis=0) + np.array(penalties), each

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self.slopes(x)[0]

    def curvatures(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Second derivatives by central differences, shape (n, n), and those of each cluster, (n_clusters, n, n)."""
        n, moves = len(x), STEP * 5 * np.eye(len(x))
        with self.about(x):
            here = self.terms(x)
            out = np.empty((n, n, len(here)))
            for i in range(n):
                out[i, i] = (self.terms(x + moves[i]) - 2 * here + self.terms(x - moves[i])) / (25 * STEP**2)
                for j in range(i):
                    plus, minus = moves[i] + moves[j], moves[i] - moves[j]
                    corners = self.terms(x + plus) + self.terms(x - plus)
                    corners -= self.terms(x + minus) + self.terms(x - minus)
                    out[i, j] = out[j, i] = corners / (100 * STEP**2)
        return out.sum(axis=2), np.moveaxis(out[:, :, :-1], 2, 0)

    def terms(self, x: np.ndarray) -> np.ndarray:
        """Contributions of the clusters and, last, of the priors, shape (n_clusters + 1,)."""
        every = np.append(self.mode(x).contribution, self.penalty(x))
        return np.where(np.isfinite(every), every, FARTHEST)


def maximize(population: Population, approximation: str = "focei", *, with_priors: bool = False) -> Maximum:
    """Search for the maximum of the likelihood.

    Parameters
    ----------
    population : Population
    approximation : str
        "foce", "focei" or "laplace".
    with_priors : bool
        Whether the priors count: then the maximum is that of the posterior, on the scale of `Coordinates`.

    Returns
    -------
    Maximum

    Raises
    ------
    FitError
        If the model cannot be solved where the search starts.

    Notes
    -----
    BFGS from the curvature that the scores of the clusters show (Berndt, Hall, Hall and Hausman 1974), then Newton
    steps with second derivatives by central differences.
    """
    marginal = Marginal(population, approximation)
    objective = _Objective(marginal, with_priors=with_priors)
    x = marginal.coordinates.start
    if not np.isfinite(objective.mode(x).minus2ll):
        raise FitError("the model cannot be predicted at the start values", hint="other values, or fix a parameter")
    found = _searched(objective, x)
    return _known(objective, *_polished(objective, np.asarray(found.x)), str(found.message))


def maximum_at(
    population: Population, approximation: str, values: Mapping[str, float], *, with_priors: bool = False
) -> Maximum:
    """Say again what is known at a maximum that was found before.

    Parameters
    ----------
    population : Population
    approximation : str
    values : mapping of str to float
        Estimates by name.
    with_priors : bool

    Returns
    -------
    Maximum

    Raises
    ------
    FitError
        If the model cannot be solved there, or correlations are at the edge.
    """
    marginal = Marginal(population, approximation)
    objective = _Objective(marginal, with_priors=with_priors)
    try:
        x = marginal.coordinates.vector(values)
    except np.linalg.LinAlgError:
        raise FitError("correlations of random effects are at the edge", hint="fit them as independent") from None
    if not np.isfinite(objective.mode(x).minus2ll):
        raise FitError("the model cannot be predicted at the estimates", hint="fit again: another version made it")
    return _known(objective, x, objective.curvatures(x), "found before")


def _known(objective: _Objective, x: np.ndarray, curvatures: tuple[np.ndarray, np.ndarray], message: str) -> Maximum:
    """All that a maximum holds, from where it is and its second derivatives."""
    hessian, by_cluster = curvatures
    gradient, each = objective.slopes(x)
    left = float(gradient @ np.linalg.pinv(hessian, hermitian=True) @ gradient)
    moved = [objective.mode(x + m).eta - objective.mode(x - m).eta for m in STEP * np.eye(len(x))]
    drift = np.stack(moved, axis=1) / (2 * STEP)
    return Maximum(
        objective.marginal.coordinates, x, objective.mode(x), 0.5 * hessian, 0.5 * each, 0.5 * by_cluster, left, drift,
        objective.evaluations, message, objective.with_priors,
    )  # fmt: skip


def _searched(objective: _Objective, x: np.ndarray) -> Any:
    _, each = objective.slopes(x)
    expected = 0.5 * each.T @ each + 2.0 * np.eye(len(x))
    guess = np.linalg.inv(expected)
    options = {"maxiter": MOST_ITERATIONS, "gtol": 1e-2, "hess_inv0": 0.5 * (guess + guess.T)}
    return minimize(objective, x, jac=objective.gradient, method="BFGS", options=options)


def _polished(objective: _Objective, x: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Newton steps until nothing is left to gain; the last point and its second derivatives."""
    curvatures, gained = objective.curvatures(x), 0.0
    for _ in range(ROUNDS):
        x, gained = _with_curvature(objective, x, curvatures[0])
        if gained < RENEWED:
            break
        curvatures = objective.curvatures(x)
    return x, curvatures


def _with_curvature(objective: _Objective, x: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton steps with one curvature; where they end, and what they gained."""
    first = objective(x)
    values, vectors = np.linalg.eigh(hessian)
    for _ in range(POLISHED):
        gradient = objective.gradient(x)
        step = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-3))
        step *= min(1.0, 1.0 / max(float(np.max(np.abs(step))), 1e-12))
        if not -gradient @ step > DECREMENT * 1e-3 or not objective(x + step) < objective(x):
            break
        x = x + step
    return x, first - objective(x)
