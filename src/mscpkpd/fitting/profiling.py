"""Profile likelihood: how much worse the best fit becomes as one parameter is held elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import brentq, least_squares

from mscpkpd.errors import FitError, UnknownName, UsageError
from mscpkpd.fitting.draws import INTERVAL
from mscpkpd.fitting.least_squares import quantile
from mscpkpd.fitting.residuals import Residuals
from mscpkpd.fitting.result import Fit
from mscpkpd.problem import pose
from mscpkpd.rounding import number, span

__all__ = ["Profile", "profile"]

STEP, GROWTH = 0.5, 1.4  # standard errors of the first step away from the optimum, and how the next ones grow
MOST_STEPS = 16
BEYOND = 1.25  # the curve is drawn this far beyond the limit of the interval, in roots of the deviance
SHARP = 1e-3  # of the root of the deviance at the limits
FALLEN = 1e-3  # deviance below that of the fit: then the fit is no optimum
MOST_EVALUATIONS = 60


@dataclass(frozen=True, eq=False)
class Profile:
    """Profile likelihood of one parameter.

    Attributes
    ----------
    parameter, unit : str
    estimate : float
        Optimum, in the unit of the parameter.
    lower, upper : float
        Profile-likelihood interval, in the unit of the parameter; an end that the data leave open is 0 or infinite,
        or the bound of the parameter.
    asymptotic : (float, float)
        The interval from the curvature alone (S3), to compare with; in the unit of the parameter.
    level : float
        Of both intervals, a probability.
    limit : float
        Deviance at the ends of the interval [1]: a squared quantile of Student's t, or of the normal.
    table : pandas.DataFrame
        The curve: columns value, deviance, root (its signed square root) and every other parameter at its best there.
    notes : tuple of str
        What the curve says, in words.
    synthetic : bool
        Whether the data are invented.
    """

    parameter: str
    unit: str
    estimate: float
    lower: float
    upper: float
    asymptotic: tuple[float, float]
    level: float
    limit: float
    table: pd.DataFrame
    notes: tuple[str, ...]
    synthetic: bool = False

    @property
    def closed(self) -> bool:
        """Whether the data bound the parameter on both sides."""
        low, high = self.table["root"].iloc[[0, -1]]
        reach = float(np.sqrt(self.limit))
        return bool(low <= -reach and high >= reach)

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        head = f"{self.parameter} {number(self.estimate)}{unit}, {self.level:.0%} profile-likelihood interval "
        asymptotic = f"asymptotic {span(*self.asymptotic)}"
        return f"{head}{number(self.lower)} to {number(self.upper)}{unit} ({asymptotic})\n" + "".join(
            f"- {note}\n" for note in self.notes
        )


def profile(fit: Fit, parameter: str, *, level: float = INTERVAL) -> Profile:
    """Hold one parameter at other values and fit all others again.

    Parameters
    ----------
    fit : Fit
        By least squares.
    parameter : str
        One that was estimated, noise aside.
    level : float
        Of the interval, a probability.

    Returns
    -------
    Profile
        Draw it with ``msc.plots.likelihood_profile``.

    Raises
    ------
    UsageError
        If the fit is not one by least squares, or the level is no probability.
    UnknownName
        If the parameter was not estimated.
    FitError
        If the fit is not at its optimum: the curve falls below it.

    Notes
    -----
    With the weights of the rows as at the optimum, the deviance is the sum of squared weighted residuals above that of
    the fit; the interval ends where it reaches the squared quantile of Student's t with the residual degrees of freedom
    (of the normal where every row brings its own standard deviation). For a linear model this is the t interval itself
    (Bates and Watts 1988, Nonlinear Regression Analysis, ch. 6). It needs no symmetry, and an end that the data leave
    open is said to be open.
    """
    if fit.method != "least_squares":
        raise UsageError(
            f"a profile of a {fit.method} fit", expected="a fit by least_squares", hint="its draws say more"
        )
    if not 0 < level < 1:
        raise UsageError(f"level={level}", expected="a probability between 0 and 1")
    names = tuple(fit.settings["free"])
    if parameter not in names:
        raise UnknownName.among("estimated parameter", parameter, names)
    work = _work(fit, names)
    curve = _Curve(work, work.names.index(parameter))
    reach = quantile(float(fit.settings["degrees_of_freedom"]), level)
    low, lower = curve.walked(-1, reach)
    high, upper = curve.walked(1, reach)
    prior, at = work.priors[curve.k], work.start[curve.k]
    ends = sorted(float(prior.from_free(at + sign * reach * curve.error)) for sign in (-1, 1))
    points = [*reversed(low), (0.0, work.start), *high]
    if prior.from_free(points[0][1][curve.k]) > prior.from_free(points[-1][1][curve.k]):
        points, lower, upper = points[::-1], upper, lower
    return Profile(
        parameter, fit.model.parameter(parameter).unit, float(prior.from_free(at)),
        _end(prior.from_free, lower, -1), _end(prior.from_free, upper, 1), (ends[0], ends[1]), level, reach**2,
        _table(work, curve.k, points), _notes(parameter, lower, upper), fit.study.synthetic,
    )  # fmt: skip


def _work(fit: Fit, names: tuple[str, ...]) -> Residuals:
    """Residuals at the optimum, with its weights."""
    problem = pose(fit.model, fit.study, tuple(fit.table["parameter"]))
    known = fit.estimates
    problem = replace(problem, free=tuple(replace(p, start=float(known.get(p.name, p.start))) for p in problem.free))
    work = Residuals(problem, names)
    work.freeze(work.start)
    return work


class _Curve:
    """Deviance along one parameter."""

    def __init__(self, work: Residuals, k: int) -> None:
        self.work, self.k = work, k
        self.others = np.array([j for j in range(len(work.names)) if j != k], dtype=int)
        self.least = float(np.sum(work(work.start) ** 2))
        jacobian = work.jacobian(work.start)
        self.covariance = np.linalg.pinv(jacobian.T @ jacobian)
        self.error = float(np.sqrt(self.covariance[k, k]))
        self.along = self.covariance[:, k] / self.covariance[k, k]  # how the others follow, to first order

    def best(self, value: float, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Deviance with the parameter at a value, and the others at their best; the search begins at `z`."""
        z = z.copy()
        z[self.k] = value
        if len(self.others):

            def full(x: np.ndarray) -> np.ndarray:
                whole = z.copy()
                whole[self.others] = x
                return whole

            box = np.array([self.work.box[j] for j in self.others]).T
            found = least_squares(
                lambda x: self.work(full(x)),
                np.clip(z[self.others], box[0] + 1e-9, box[1] - 1e-9),
                jac=lambda x: self.work.jacobian(full(x))[:, self.others],
                bounds=(box[0], box[1]),
                x_scale="jac",
                max_nfev=MOST_EVALUATIONS,
            )
            z = full(found.x)
        deviance = float(np.sum(self.work(z) ** 2)) - self.least
        if deviance < -FALLEN:
            raise FitError(
                f"holding '{self.work.names[self.k]}' elsewhere fits better: the fit is not at its optimum",
                hint="starts=20 tries other starts; then take the profile of that fit",
            )
        return deviance, z

    def walked(self, sign: int, reach: float) -> tuple[list[tuple[float, np.ndarray]], float | None]:
        """Signed roots of the deviance going outwards on one side, and where they reach the limit; None if never."""
        low, high = self.work.box[self.k]
        z, step, points = self.work.start, STEP * self.error, [(0.0, self.work.start)]
        end: float | None = None
        for _ in range(MOST_STEPS):
            value = float(np.clip(z[self.k] + sign * step, low, high))
            if value == z[self.k]:
                break
            deviance, moved = self.best(value, z + (value - z[self.k]) * self.along)
            points.append((sign * float(np.sqrt(max(deviance, 0.0))), moved))
            if end is None and abs(points[-1][0]) >= reach:
                end = self._crossing(points[-2], points[-1], reach)
            if abs(points[-1][0]) >= BEYOND * reach:
                break
            z, step = moved, step * GROWTH
        return points[1:], end

    def _crossing(self, before: tuple[float, np.ndarray], after: tuple[float, np.ndarray], reach: float) -> float:
        z = before[1]

        def over(value: float) -> float:
            return float(np.sqrt(max(self.best(value, z)[0], 0.0))) - reach

        a, b = before[1][self.k], after[1][self.k]
        return float(brentq(over, a, b, xtol=SHARP * abs(b - a) + 1e-12, rtol=1e-10))


def _end(natural: Callable[[float], float], z: float | None, sign: int) -> float:
    return float(natural(sign * np.inf if z is None else z))


def _table(work: Residuals, k: int, points: list[tuple[float, np.ndarray]]) -> pd.DataFrame:
    values = np.array([[float(p.from_free(x)) for p, x in zip(work.priors, z, strict=True)] for _, z in points])
    roots = np.array([root for root, _ in points])
    order = np.argsort(values[:, k], kind="stable")
    signs = np.where(values[:, k] < values[roots == 0.0][0, k], -1.0, 1.0)
    others = {name: values[order, j] for j, name in enumerate(work.names) if j != k}
    return pd.DataFrame(
        {"value": values[order, k], "deviance": roots[order] ** 2, "root": (signs * np.abs(roots))[order], **others}
    )


def _notes(parameter: str, lower: float | None, upper: float | None) -> tuple[str, ...]:
    notes = ["weights of the rows as at the optimum"]
    for end, word in ((lower, "below"), (upper, "above")):
        if end is None:
            notes.append(f"the data do not bound {parameter} from {word}: give it a prior (method='nuts') or fix it")
    return tuple(notes)
