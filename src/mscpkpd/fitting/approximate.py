"""Fits by a likelihood whose integral over random effects is approximated: FOCE, FOCEI, Laplace; and the mode (map)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.draws import INTERVAL, Check
from mscpkpd.fitting.focei import DECREMENT, Maximum, maximize
from mscpkpd.fitting.population_tables import (
    individual_table,
    population_table,
    prediction_table,
    shrinkage,
    spread_rows,
    statistics,
)
from mscpkpd.fitting.result import Outcome, Posterior
from mscpkpd.population import Population

__all__ = ["METHODS", "approximate_fit"]

# how each method integrates; the mode has the true curvature, and priors
METHODS = {"foce": "foce", "focei": "focei", "laplace": "laplace", "map": "laplace"}
WORDS = {
    "foce": "FOCE without interaction: the residual spread is taken at eta = 0, the curvature from first derivatives",
    "focei": "FOCEI: the residual spread is taken at each individual mode, the curvature from first derivatives",
    "laplace": "Laplace: the curvature about each individual mode is the true one",
    "map": "MAP: the mode of the posterior on the transformed scale",
}
LIMITS = "sparse data and strong nonlinearity bias its variances; method='nuts' does without the approximation"
ASYMPTOTIC_DRAWS, PREDICTIVE_DRAWS = 4000, 200
LARGEST_ERROR = 1e3  # on the transformed scale: beyond it an estimate says nothing
VANISHED = 1e-3  # a spread below this is none
STEP = 1e-5  # of central differences of the change of scale


def approximate_fit(population: Population, method: str, seed: int) -> Outcome:
    """Search for the maximum, and say what is known about it.

    Parameters
    ----------
    population : Population
    method : str
        One of `METHODS`.
    seed : int
        For the draws behind bands of predictions.

    Returns
    -------
    Outcome

    Raises
    ------
    FitError
        If the model cannot be solved where the search starts.
    """
    found = maximize(population, METHODS[method], with_priors=method == "map")
    coordinates, names = found.coordinates, found.coordinates.names
    values = dict(zip(names, coordinates.natural(found.x), strict=True))
    spreads = coordinates.spreads(found.x)
    shrunk = shrinkage(population, coordinates.theta(found.x), found.mode.eta, spreads.sd)
    rows = _rows(found)
    thetas = population.problem.names
    spread = spread_rows(coordinates, rows, {**_fixed(coordinates), **values}, shrunk)
    kind = "mode" if method == "map" else "maximum of the likelihood"
    interval = f"{kind} with {INTERVAL:.0%} asymptotic interval, transformed scale"
    table = population_table([rows[name] for name in thetas] + spread, interval)
    posterior = _asymptotic(found)
    individuals = None
    if population.levels:
        deviations = np.sqrt(np.maximum(np.diag(found.mode.covariance), 0.0))
        individuals = individual_table(
            population, coordinates.theta(found.x), found.mode.eta, deviations, "modes given the estimates"
        )
    numbers = statistics(population, found.mode.minus2ll, len(names), found.covariance, shrunk.eps_sd)
    settings = {
        "approximation": METHODS[method], "statistics": numbers, "evaluations": found.evaluations,
        "message": found.message, "engine": population.sampled_by,
    }  # fmt: skip
    return Outcome(
        names, table, posterior, None, _checks(found, values), _notes(population, method), settings, individuals,
        _predictions(found, seed),
    )  # fmt: skip


def _fixed(coordinates: Coordinates) -> dict[str, float]:
    return {effect.omega_sd: effect.sd for effect in coordinates.population.effects}


def _rows(found: Maximum) -> dict[str, dict[str, Any]]:
    """Estimate, limits and errors of everything that was estimated, by name."""
    coordinates, x = found.coordinates, found.x
    natural, slopes = coordinates.natural(x), _slopes(coordinates, x)
    usual, robust = (
        np.sqrt(np.maximum(np.diag(slopes @ c @ slopes.T), 0.0)) for c in (found.covariance, found.sandwich)
    )
    reach, model = float(norm.ppf(0.5 + INTERVAL / 2)), coordinates.population.problem.model
    errors = np.sqrt(np.maximum(np.diag(found.covariance), 0.0))
    enough = len(found.scores) > len(x)  # else the scores span too little for the sandwich
    rows: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(coordinates.names):
        lower, upper = _limits(coordinates, k, x, natural[k], usual[k], reach * errors[k], reach)
        rows[name] = {
            "parameter": name, "estimate": natural[k], "lower": lower, "upper": upper, "sd": usual[k],
            "rse": 100 * usual[k] / abs(natural[k]) if natural[k] else np.nan,
            "sd_sandwich": robust[k] if enough else np.nan,
            "unit": model.parameter(name).unit if name in model.parameter_names else "", "note": "",
        }  # fmt: skip
    return rows


def _limits(
    coordinates: Coordinates, k: int, x: np.ndarray, estimate: float, sd: float, *widths: float
) -> tuple[float, float]:
    """Limits formed on the estimation scale (S3), those of a correlation on that of atanh."""
    width, reach = widths
    thetas, spreads, _ = coordinates.counts
    if k < thetas:
        prior = coordinates.population.problem.free[k].prior
        lower, upper = sorted(float(prior.from_free(x[k] + sign * width)) for sign in (-1, 1))
        return lower, upper
    if k < thetas + spreads:
        with np.errstate(over="ignore"):  # of a spread that went to 0 nothing is known upwards
            return float(np.exp(x[k] - width)), float(np.exp(x[k] + width))
    center, spread = np.arctanh(estimate), reach * sd / max(1.0 - estimate**2, 1e-12)
    return float(np.tanh(center - spread)), float(np.tanh(center + spread))


def _slopes(coordinates: Coordinates, x: np.ndarray) -> np.ndarray:
    """Derivatives of the natural values by the coordinates, shape (n, n)."""
    moves = STEP * np.eye(len(x))
    return np.stack([coordinates.natural(x + m) - coordinates.natural(x - m) for m in moves], axis=1) / (2 * STEP)


def _checks(found: Maximum, values: Mapping[str, float]) -> tuple[Check, ...]:
    errors = np.sqrt(np.maximum(np.diag(found.covariance), 0.0))
    weak = [name for name, error in zip(found.coordinates.names, errors, strict=True) if not error < LARGEST_ERROR]
    gone = [name for name, value in values.items() if name.startswith("omega_sd_") and value < VANISHED]
    inside = found.left < DECREMENT and found.mode.converged
    ended = f"another step would gain {max(found.left, 0.0):.2g} of minus2ll, limit {DECREMENT:g}"
    known = found.concave and not weak
    undetermined = f"The data do not determine {', '.join(weak) or 'all parameters'}: fix some, or give more data."
    vanished = f"{', '.join(gone)} went to 0: the data show no such variance; leave it out with random=[...]."
    return (
        Check("optimum", inside, f"The search {'ended at a maximum' if inside else 'did NOT converge'}: {ended}."),
        Check("errors", known, "Standard errors exist." if known else undetermined),
        Check("spreads", not gone, vanished if gone else "No variance went to 0."),
    )


def _notes(population: Population, method: str) -> tuple[str, ...]:
    integrated = ", with random effects integrated by Laplace" if method == "map" else ""
    approximation = WORDS[method] + (f"{integrated}; {LIMITS}" if population.levels else "")
    used = "priors count" if method == "map" else "maximum likelihood: priors are not used"
    return (approximation, used, *(note for note in population.notes if method == "map" or "prior" not in note))


def _asymptotic(found: Maximum) -> Posterior:
    rng = np.random.default_rng(0)  # fixed: these draws are a way to write down a normal distribution
    normal = rng.multivariate_normal(found.x, found.covariance, size=ASYMPTOTIC_DRAWS, method="svd")
    natural = np.array([found.coordinates.natural(x) for x in normal])
    return Posterior({name: natural[None, :, k] for k, name in enumerate(found.coordinates.names)})


def _predictions(found: Maximum, seed: int) -> pd.DataFrame:
    rng, coordinates = np.random.default_rng(seed), found.coordinates
    xs = rng.multivariate_normal(found.x, found.covariance, size=PREDICTIVE_DRAWS, method="svd")
    thetas = np.array([coordinates.theta(x) for x in xs])
    eta = found.mode.eta
    etas = np.zeros((PREDICTIVE_DRAWS, 0))
    if len(eta):  # modes drift with the estimates, and random effects scatter about their modes
        scatter = rng.multivariate_normal(eta, found.mode.covariance, size=PREDICTIVE_DRAWS, method="svd")
        etas = scatter + (xs - found.x) @ found.drift.T
    return prediction_table(coordinates.population, (coordinates.theta(found.x), eta), (thetas, etas), seed)
