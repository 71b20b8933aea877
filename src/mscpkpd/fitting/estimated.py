"""Least squares as a fit: one search or several, intervals from curvature or from a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mscpkpd.errors import UsageError
from mscpkpd.fitting.draws import INTERVAL, Check
from mscpkpd.fitting.least_squares import Estimate, estimate, identified, moved, quantile
from mscpkpd.fitting.nuts import Progress
from mscpkpd.fitting.resampling import Resampled, bootstrapped
from mscpkpd.fitting.result import Outcome, Posterior
from mscpkpd.fitting.sampled import table_of
from mscpkpd.fitting.searches import Ends, searched
from mscpkpd.problem import Problem

__all__ = ["Searching", "estimated_fit"]

ASYMPTOTIC_DRAWS = 4000
LARGEST_ERROR = 1e3  # on the transformed scale: beyond it an estimate says nothing
FEW = 0.1  # share of bootstrap samples that may fail


@dataclass(frozen=True)
class Searching:
    """How many searches, how many bootstrap samples, on how many processors."""

    starts: int = 1
    bootstrap: int = 0
    cores: int | None = None


def estimated_fit(problem: Problem, how: Searching, seed: int, progress: Progress | None, *, choose: bool) -> Outcome:
    """Fit by least squares.

    Parameters
    ----------
    problem : Problem
    how : Searching
    seed : int
        Of starts and bootstrap samples.
    progress : callable or None
    choose : bool
        Whether only what the design identifies is estimated.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        If the design identifies nothing, or there is nothing to resample.
    FitError
        If the model cannot be solved where the search starts.
    """
    names, reasons = identified(problem) if choose else (problem.names, {})
    if not names:
        raise UsageError(
            "the design identifies no parameter", hint="--free a,b, or fit with method='nuts', which uses the priors"
        )
    found = estimate(problem, names)
    if choose:  # judged again where the data are, with the noise that they show
        problem = moved(problem, found)
        again, reasons = identified(problem)
        found = found if set(again) == set(names) else estimate(problem, again or names)
    ends = None
    if how.starts > 1:
        found, ends = searched(problem, found, how.starts, seed, how.cores, progress)
    resampled = bootstrapped(problem, found, how.bootstrap, seed, how.cores, progress) if how.bootstrap else None
    errors = np.sqrt(np.diag(found.covariance))
    kind = f"optimum with {INTERVAL:.0%} asymptotic interval, transformed scale"
    posterior = _asymptotic(problem, found)
    if resampled is not None:
        posterior = Posterior({name: column[None] for name, column in resampled.values.items()})
        made = f"{resampled.wanted} bootstrap samples ({resampled.unit})"
        kind = f"optimum with {INTERVAL:.0%} percentile interval of {made}"
    table = table_of(_rows(problem, found, errors, resampled), kind)
    notes = tuple(f"{name} held at {problem.model.parameter(name).value:.4g}: {why}" for name, why in reasons.items())
    if notes:
        notes = (
            "every estimate is conditional on the values held; method='nuts' lets them vary within their priors",
            *notes,
        )
    settings: dict[str, Any] = {"degrees_of_freedom": found.degrees, "message": found.message}
    if ends is not None:
        notes, settings = (ends.sentence, *notes), {**settings, "starts": how.starts}
    if resampled is not None:
        notes, settings = (resampled.sentence, *notes), {**settings, "bootstrap": how.bootstrap}
    checks = (*_estimate_checks(found, errors), *_more_checks(ends, resampled))
    return Outcome(found.names, table, posterior, None, checks, notes, settings)


def _rows(problem: Problem, found: Estimate, errors: np.ndarray, again: Resampled | None) -> list[dict[str, Any]]:
    reach = quantile(found.degrees, INTERVAL)
    priors = {p.name: p.prior for p in problem.free}
    rows = []
    for name, z, error in zip(found.names, found.free_values, errors, strict=True):
        prior = priors[name]
        lower, upper = sorted(float(prior.from_free(z + k * reach * error)) for k in (-1, 1))
        sd = float(abs(prior.dx_dz(z)) * error)
        rows.append(
            {"parameter": name, "estimate": float(prior.from_free(z)), "lower": lower, "upper": upper, "sd": sd,
             "unit": problem.model.parameter(name).unit, "note": ""}
        )  # fmt: skip
    for name, value in found.noise.items():
        unit = problem.model.parameter(name).unit
        rows.append({"parameter": name, "estimate": value, "unit": unit, "note": "from the residuals"})
    return rows if again is None else [{**row, **again.spread(str(row["parameter"]))} for row in rows]


def _more_checks(ends: Ends | None, again: Resampled | None) -> tuple[Check, ...]:
    checks = []
    if ends is not None:
        checks.append(Check("starts", not ends.twins, ends.sentence))
    if again is not None:
        checks.append(Check("bootstrap", again.failed <= FEW * again.wanted, again.sentence))
    return tuple(checks)


def _estimate_checks(found: Estimate, errors: np.ndarray) -> tuple[Check, ...]:
    finite = bool(np.all(np.isfinite(errors)) and np.all(errors < LARGEST_ERROR))
    stuck = [n for n in found.names if _at_bound(found.result.params[f"z_{n}"])]
    undetermined = "The data do not determine all parameters; free fewer."
    at_edge = f"At the edge of its prior: {', '.join(stuck)}; fix it or use method='nuts'."
    return (
        Check("optimum", found.success, f"The optimiser ended with: {found.message}"),
        Check("errors", finite, "Standard errors exist." if finite else undetermined),
        Check("bounds", not stuck, at_edge if stuck else "No estimate is at a bound."),
    )


def _at_bound(parameter: Any) -> bool:
    room = 1e-4 * (parameter.max - parameter.min)
    return bool(parameter.value - parameter.min < room or parameter.max - parameter.value < room)


def _asymptotic(problem: Problem, found: Estimate) -> Posterior:
    rng = np.random.default_rng(0)  # fixed: these draws are a way to write down a normal distribution
    normal = rng.multivariate_normal(found.free_values, found.covariance, size=ASYMPTOTIC_DRAWS, method="svd")
    priors = {p.name: p.prior for p in problem.free}
    values = {name: np.asarray(priors[name].from_free(normal[:, k]))[None] for k, name in enumerate(found.names)}
    return Posterior({**values, **{name: np.full((1, ASYMPTOTIC_DRAWS), x) for name, x in found.noise.items()}})
