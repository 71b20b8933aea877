"""Tables of a population fit: typical values and spreads, individuals, predictions, numbers of the whole fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.densities import LOG_2PI, gaussian_rows, spread_of
from mscpkpd.fitting.replicates import observe, row_frame, shown
from mscpkpd.population import Population
from mscpkpd.problem import Problem
from mscpkpd.variability import Effect

__all__ = [
    "Shrinkage",
    "individual_table",
    "population_table",
    "prediction_table",
    "shrinkage",
    "spread_rows",
    "statistics",
]

COLUMNS = ("parameter", "estimate", "lower", "upper", "sd", "unit", "r_hat", "ess_bulk", "ess_tail", "learned")
MORE = ("rse", "cv", "eta_shrinkage_sd", "eta_shrinkage_var", "sd_sandwich")  # where a fit has them


@dataclass(frozen=True)
class Shrinkage:
    """How far individual estimates are drawn to the typical value (S7).

    Attributes
    ----------
    eta_sd, eta_var : dict of str to float
        By effect, fractions: 1 - SD(eta)/omega_sd and 1 - Var(eta)/omega2, with divisor n - 1.
    eps_sd : float
        1 - SD of the individual weighted residuals, a fraction.
    """

    eta_sd: Mapping[str, float]
    eta_var: Mapping[str, float]
    eps_sd: float


def shrinkage(population: Population, theta: np.ndarray, eta: np.ndarray, sd: np.ndarray) -> Shrinkage:
    """Shrinkage at individual estimates.

    Parameters
    ----------
    population : Population
    theta : array of shape (n_free,)
        Natural scale.
    eta : array of shape (n_eta,)
        Modes, or posterior means.
    sd : array of shape (n_effects,)
        Spreads.

    Returns
    -------
    Shrinkage
    """
    by_sd, by_var = {}, {}
    columns = [column for k in range(len(population.levels)) for column in population.eta_of(k, eta).T]
    for effect, column, omega in zip(population.effects, columns, sd, strict=True):
        ratio = float(np.std(column, ddof=1)) / omega if len(column) > 1 else np.nan
        by_sd[effect.name], by_var[effect.name] = 1.0 - ratio, 1.0 - ratio**2
    residuals = _weighted(population.problem, population.predict(theta, eta).value, theta)
    return Shrinkage(by_sd, by_var, 1.0 - float(np.std(residuals, ddof=1)) if len(residuals) > 1 else np.nan)


def _weighted(problem: Problem, f: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Individual weighted residuals of the uncensored rows of single subjects (B15)."""
    rows = problem.rows
    spread, _ = spread_of(problem, f, problem.values(theta))
    difference = rows.value - f
    for k, name in enumerate(rows.outputs):
        noise, mine = problem.model.output(name).noise, (rows.output == k) & (rows.kind == "value")
        if noise is not None and noise.form in ("lognormal", "boxcox", "yeojohnson"):
            values = problem.values(theta)
            difference[mine] = noise.scaled(rows.value[mine], values) - noise.scaled(f[mine], values)
    mine = rows.kind == "value"
    none = spread[mine] == 0  # no count where none is expected
    return np.where(none, 0.0, difference[mine] / np.where(none, 1.0, spread[mine]))


def spread_rows(
    coordinates: Coordinates, rows: Mapping[str, Mapping[str, Any]], values: Mapping[str, float], shrunk: Shrinkage
) -> list[dict[str, Any]]:
    """Rows of spreads on both scales and of correlations with their covariances (P4).

    Parameters
    ----------
    coordinates : Coordinates
    rows : mapping of str to mapping
        Estimate, limits and standard errors of ``omega_sd_*`` and ``corr_*``, as far as they were estimated.
    values : mapping of str to float
        Estimates by name.
    shrunk : Shrinkage

    Returns
    -------
    list of dict
    """
    out: list[dict[str, Any]] = []
    for level in coordinates.population.levels:
        for effect in level.effects:
            mine = rows.get(effect.omega_sd) or {"estimate": effect.sd, "note": "fixed"}
            head = {
                "cv": effect.scale.cv(float(mine["estimate"]) ** 2), "unit": _unit(coordinates.population, effect),
                "eta_shrinkage_sd": shrunk.eta_sd[effect.name], "eta_shrinkage_var": shrunk.eta_var[effect.name],
                "note": f"SD between {_groups(level.name)}", **_without_empty(mine),
            }  # fmt: skip
            out.append({**head, "parameter": effect.omega_sd})
            out.append({**_squared(head), "parameter": effect.omega2, "note": "its square, the variance"})
        for name, square, (i, j) in zip(level.correlation_names, level.covariance_names, level.pairs, strict=True):
            out.append({"parameter": name, "unit": "1", "note": "correlation", **_without_empty(rows[name])})
            product = float(rows[name]["estimate"])
            product *= values[level.effects[i].omega_sd] * values[level.effects[j].omega_sd]
            out.append({"parameter": square, "estimate": product, "note": "covariance"})
    return out


def population_table(rows: list[dict[str, Any]], interval: str) -> pd.DataFrame:
    """Rows as the table of a fit; the columns of all fits, then those that this one has."""
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, *MORE, "note"])
    table = table.drop(columns=[name for name in MORE if table[name].isna().all()])
    table["note"] = table["note"].fillna("")
    table.attrs["interval"] = f"{interval}; cv in % (P5)"
    return table


def _without_empty(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in ("", None)}


def _squared(row: Mapping[str, Any]) -> dict[str, Any]:
    """A standard deviation as a variance: limits squared, errors by the chain rule."""
    estimate = float(row["estimate"])
    out = {**row, "estimate": estimate**2}
    out |= {key: float(row[key]) ** 2 for key in ("lower", "upper") if key in row}
    out |= {key: 2 * estimate * float(row[key]) for key in ("sd", "sd_sandwich") if key in row}
    out |= {"rse": 2 * float(row["rse"])} if "rse" in row else {}
    return {key: value for key, value in out.items() if key != "unit"} | {"unit": _square(str(row["unit"]))}


def _square(unit: str) -> str:
    return unit if unit == "1" else f"({unit})**2"


def _unit(population: Population, effect: Effect) -> str:
    return population.problem.model.parameter(effect.parameter).unit if effect.scale.kind == "identity" else "1"


def _groups(level: str) -> str:
    return {"study": "studies", "species": "species"}.get(level, f"{level}s")


def individual_table(
    population: Population, theta: np.ndarray, eta: np.ndarray, sd: np.ndarray, kind: str
) -> pd.DataFrame:
    """One row for each combination of groups that the data have.

    Parameters
    ----------
    population : Population
    theta : array of shape (n_free,)
        Natural scale.
    eta, sd : array of shape (n_eta,)
        Individual estimates of the random effects and their standard deviations given the data.
    kind : str
        What the estimates are, for ``attrs``.

    Returns
    -------
    pandas.DataFrame
        The group of each level, each effect with its standard deviation, and the individual parameters.
    """
    values, effects = population.individual(theta, eta), population.of_cases(eta)
    errors = population.of_cases(sd)
    rows, seen = [], set()
    for c in range(len(population.group)):
        key = tuple(population.member[:, c])
        if key in seen or not population.levels:
            continue
        seen.add(key)
        row: dict[str, Any] = {
            level.name: level.labels[k] if k >= 0 else "" for level, k in zip(population.levels, key, strict=True)
        }
        for e, effect in enumerate(population.effects):
            row |= {effect.name: effects[e, c], f"{effect.name}_sd": errors[e, c]}
        names = dict.fromkeys(effect.parameter for effect in population.effects)
        row |= {name: values[population.positions[name], c] for name in names}
        rows.append(row)
    table = pd.DataFrame(rows)
    table.attrs["kind"] = kind
    return table


def prediction_table(
    population: Population,
    at: tuple[np.ndarray, np.ndarray],
    draws: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> pd.DataFrame:
    """Every row with its prediction, the 95 % band of predictions and of new observations.

    Parameters
    ----------
    population : Population
    at : array of shape (n_free,), array of shape (n_eta,)
        Parameters on their natural scale and random effects, for the columns `predicted` and `population`.
    draws : array of shape (n_draws, n_free), array of shape (n_draws, n_eta)
        For the bands.
    seed : int

    Returns
    -------
    pandas.DataFrame
    """
    problem, rng = population.problem, np.random.default_rng(seed)
    means, seen = [], []
    for theta, eta in zip(*draws, strict=True):
        f = population.predict(theta, eta).value
        values = problem.values(theta)
        means.append(shown(problem, f, values))
        seen.append(problem.rows.as_shares(observe(problem, f, values, rng)))
    best = problem.values(at[0])
    predicted = shown(problem, population.predict(*at).value, best)
    table = row_frame(problem.rows, predicted, np.array(means), np.array(seen))
    typical = shown(problem, population.predict(at[0], np.zeros_like(at[1])).value, best)
    table.insert(list(table.columns).index("lower"), "population", typical)
    return table


def statistics(
    population: Population, minus2ll: float, count: int, covariance: np.ndarray, eps: float
) -> dict[str, float]:
    """Numbers of the whole fit (S4 to S7, P9).

    Parameters
    ----------
    population : Population
    minus2ll : float
    count : int
        Estimated quantities.
    covariance : array of shape (n, n)
        Of the estimates.
    eps : float
        Shrinkage of the residuals.

    Returns
    -------
    dict of str to float
    """
    rows = population.problem.rows
    used = int(np.sum(rows.kind != "dropped"))
    gaussian = int(np.sum(gaussian_rows(population.problem)))
    subjects = len(set(rows.subject))
    errors = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    eigenvalues = np.linalg.eigvalsh(covariance / np.outer(errors, errors))
    return {
        "minus2ll": minus2ll,
        "ofv": minus2ll - LOG_2PI * gaussian,
        "log_likelihood": -0.5 * minus2ll,
        "aic": minus2ll + 2 * count,
        "bic_obs": minus2ll + count * float(np.log(used)),
        "bic_subjects": minus2ll + count * float(np.log(subjects)),
        "estimated": count,
        "observations": used,
        "censored": int(np.sum(np.isin(rows.kind, ("left", "right", "interval")))),
        "subjects": subjects,
        "condition_number": float(eigenvalues[-1] / max(eigenvalues[0], 1e-300)),
        "eps_shrinkage_sd": eps,
    }
