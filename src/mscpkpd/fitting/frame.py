"""A frame for the sampler: the mode of the posterior and the directions and widths of its Gaussian approximation.

Few data leave strong correlations between parameters. In coordinates in which the posterior is about a standard
normal the sampler needs fewer and larger steps, each of which is a solve. The change of coordinates is linear on the
transformed scale and exact: it changes the speed, not the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from mscpkpd.fitting.residuals import Residuals
from mscpkpd.problem import Problem

__all__ = ["Frame", "find_frame"]

MOST_EVALUATIONS = 60


@dataclass(frozen=True, eq=False)
class Frame:
    """Linear coordinates of the transformed parameters: z = center + axes @ x.

    Attributes
    ----------
    center : array of shape (n_free,)
        About the mode.
    axes : array of shape (n_free, n_free)
        Lower triangular; its square is the covariance of the approximation.
    """

    center: np.ndarray
    axes: np.ndarray


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
    return Frame(center, np.linalg.cholesky(covariance))


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
