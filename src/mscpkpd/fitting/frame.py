"""A frame for the sampler: the mode of the posterior and the directions and widths of its Gaussian approximation.

Few data leave strong correlations between parameters. In coordinates in which the posterior is about a standard
normal the sampler needs fewer and larger steps, each of which is a solve. The change of coordinates is linear on the
transformed scale and exact: it changes the speed, not the posterior.

Two rates that follow each other, as loss of cells from lung and loss of their label, can exchange roles (flip-flop):
the data fix the sum of their times 1/a + 1/b, and the posterior bends along it. One such pair is sampled as
s = log(1/a + 1/b) and d = log(a/b), along which it is straight. That map keeps volumes: its Jacobian is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from mscpkpd.fitting.residuals import Residuals
from mscpkpd.problem import Problem

__all__ = ["Frame", "find_frame"]

MOST_EVALUATIONS = 60
# Squared residuals, in units of their variance: below the first the swap of two rates is where a chain may begin and
# stay, however small its share of the posterior; above the second the data see each of the two.
UNSEEN, SEEN = 50.0, 1.0


@dataclass(frozen=True, eq=False)
class Frame:
    """Linear coordinates of the transformed parameters: z = center + axes @ x.

    Attributes
    ----------
    center : array of shape (n_free,)
        About the mode.
    axes : array of shape (n_free, n_free)
        Lower triangular; its square is the covariance of the approximation.
    exchange : (int, int) or None
        Positions of two log rates that are sampled as (s, d).
    """

    center: np.ndarray
    axes: np.ndarray
    exchange: tuple[int, int] | None = None

    def place(self, x: np.ndarray) -> np.ndarray:
        """Transformed parameters of the coordinates `x`, shape (n_free,)."""
        z: np.ndarray = self.center + self.axes @ x
        if self.exchange:
            i, j = self.exchange
            s, d = z[i], z[j]
            z[i], z[j] = np.logaddexp(0.0, d) - s, np.logaddexp(0.0, -d) - s
        return z

    def find(self, z: np.ndarray) -> np.ndarray:
        """Coordinates of the transformed parameters `z`, shape (n_free,): the inverse of `place`."""
        z = np.array(z, dtype=float)
        if self.exchange:
            i, j = self.exchange
            a, b = z[i], z[j]
            z[i], z[j] = np.logaddexp(-a, -b), a - b
        return np.asarray(np.linalg.solve(self.axes, z - self.center))


def find_frame(problem: Problem) -> Frame:
    """Approximate the posterior of a problem.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Frame
        Where the search fails: the priors alone, which is slower to sample and no less right.

    Notes
    -----
    Gauss-Newton with the engine's Jacobian on residuals and priors together; noise parameters keep their prior width,
    narrowed by the number of rows that inform them.
    """
    priors = [parameter.prior for parameter in problem.free]
    moments = np.array([prior.free_moments() for prior in priors])
    center, spread = moments[:, 0].copy(), moments[:, 1].copy()
    work = Residuals(problem, problem.names)
    mean, sd = moments[work.index, 0], moments[work.index, 1]
    try:
        z = _mode(work, mean, sd)
    except (ValueError, np.linalg.LinAlgError):
        return Frame(center, np.diag(spread))
    for name, rows in work.noise_rows().items():
        k = problem.names.index(name)
        center[k] = float(priors[k].to_free(work.values[name]))
        spread[k] = 1.0 / np.sqrt(1.0 / spread[k] ** 2 + 2.0 * rows)
    jacobian = work.jacobian(z)
    covariance = np.diag(spread**2)
    covariance[np.ix_(work.index, work.index)] = np.linalg.inv(jacobian.T @ jacobian + np.diag(1.0 / sd**2))
    center[work.index] = z
    pair = _exchangeable(problem, work, z)
    return _bent(center, covariance, pair) if pair else Frame(center, np.linalg.cholesky(covariance))


def _exchangeable(problem: Problem, work: Residuals, z: np.ndarray) -> tuple[int, int] | None:
    """Positions of the two rates whose values the data would see swapped least; None where they see every swap."""
    rates = [k for k, name in enumerate(work.names) if problem.model.parameter(name).unit.startswith("1/")]
    rates = [k for k in rates if work.priors[k].transform == "log"]
    here, best, pair = work(z), UNSEEN, None
    for n, a in enumerate(rates):
        for b in rates[n + 1 :]:
            swapped, one = z.copy(), z.copy()
            swapped[[a, b]] = z[[b, a]]
            one[a] = z[b]
            change = float(np.sum((work(swapped) - here) ** 2))
            if change < best and float(np.sum((work(one) - here) ** 2)) > SEEN:
                best, pair = change, (int(work.index[a]), int(work.index[b]))
    return pair


def _bent(center: np.ndarray, covariance: np.ndarray, pair: tuple[int, int]) -> Frame:
    """The frame in which a pair of log rates (a, b) stands as (s, d)."""
    i, j = pair
    center = center.copy()
    a, b = center[i], center[j]
    center[i], center[j] = np.logaddexp(-a, -b), a - b
    share = 1.0 / (1.0 + np.exp(-center[j]))
    inverse = np.eye(len(center))  # d(s, d)/d(a, b)
    inverse[np.ix_(pair, pair)] = np.linalg.inv(np.array([[-1.0, share], [-1.0, share - 1.0]]))
    return Frame(center, np.linalg.cholesky(inverse @ covariance @ inverse.T), pair)


def _mode(work: Residuals, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    z = work.start
    for _ in range(2 if work.noise_rows() else 1):
        work.freeze(z)
        found = least_squares(
            lambda x: np.concatenate([work(x), (x - mean) / sd]),
            z,
            jac=lambda x: np.concatenate([work.jacobian(x), np.diag(1.0 / sd)]),
            max_nfev=MOST_EVALUATIONS,
            xtol=1e-6,
            ftol=1e-6,
        )
        z = np.asarray(found.x)
        work.rescale(z)
    return z
