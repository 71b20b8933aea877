"""Sampled posteriors as fits: with subjects pooled, or with random effects."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.draws import INTERVAL, Check, diagnose, highest_density, make_draws
from mscpkpd.fitting.kept import Place, described
from mscpkpd.fitting.nuts import TARGET_ACCEPT, Arrays, Progress, drawing_place, framed, sample_chains
from mscpkpd.fitting.population_tables import (
    individual_table,
    population_table,
    prediction_table,
    shrinkage,
    spread_rows,
)
from mscpkpd.fitting.result import Outcome, Posterior
from mscpkpd.model import Model
from mscpkpd.population import Population
from mscpkpd.problem import FreeParameter, Problem

__all__ = [
    "Drawn",
    "Sampling",
    "drawn_by_nuts",
    "from_prior",
    "posterior_fit",
    "posterior_row",
    "prior_row",
    "table_of",
]

COLUMNS = ("parameter", "estimate", "lower", "upper", "sd", "unit", "r_hat", "ess_bulk", "ess_tail", "learned", "note")
PREDICTIVE_DRAWS = 400


@dataclass(frozen=True)
class Sampling:
    """How long and how carefully to sample."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    target_accept: float = TARGET_ACCEPT
    folder: Path | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of a posterior by any method, and what is known about them.

    Attributes
    ----------
    population : Population
        As it was sampled.
    samples : dict of str to array of shape (chains, draws)
        By `Coordinates.names`, then every random effect.
    statistics : dict of str to array of shape (chains, draws)
        Of the sampler, where it has any.
    diagnostics : dict of str to dict
        What the table says of each name: r_hat, ess_bulk, ess_tail.
    checks : tuple of Check
    settings : mapping
    notes : tuple of str
    """

    population: Population
    samples: Arrays
    statistics: Arrays
    diagnostics: Mapping[str, Mapping[str, float]]
    checks: tuple[Check, ...]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def drawn_by_nuts(population: Population, seed: int, how: Sampling, progress: Progress | None) -> Drawn:
    """Sample the posterior by NUTS.

    Parameters
    ----------
    population : Population
        Without levels all subjects are pooled.
    seed : int
    how : Sampling
    progress : callable or None

    Returns
    -------
    Drawn

    Raises
    ------
    FitError
        If a worker stopped.
    InputError
        If the folder holds draws of something else.
    """
    options = {"draws": how.draws, "tune": how.tune, "chains": how.chains, "target_accept": how.target_accept}
    if how.folder is not None:
        Place(how.folder).claim(described(population, seed=seed, **options))
    run = partial(
        sample_chains, draws=how.draws, tune=how.tune, chains=how.chains, seed=seed, cores=how.cores,
        target_accept=how.target_accept, progress=progress,
    )  # fmt: skip
    if population.levels:
        with drawing_place(how.folder) as place:
            population, frame = framed(population, place)
            values, stats = run(population, frame=frame, folder=place.folder)
    else:
        values, stats = run(population.problem, folder=how.folder)
    table, checks = diagnose(values, stats)
    forms = [
        f"{effect.name} {'centred' if effect.name in population.centred else 'non-centred'}"
        for effect in population.effects
    ]
    notes = (f"random effects sampled: {', '.join(forms)}",) if forms else ()
    diagnostics = {str(name): dict(row) for name, row in table.iterrows()}
    return Drawn(population, values, stats, diagnostics, checks, options, notes)


def posterior_fit(drawn: Drawn, seed: int) -> Outcome:
    """Draws of a posterior as a fit.

    Parameters
    ----------
    drawn : Drawn
    seed : int
        Of what is drawn from the prior, and of the bands of predictions.

    Returns
    -------
    Outcome
    """
    outcome = _hierarchical(drawn, seed) if drawn.population.levels else _pooled(drawn, seed)
    only = drawn.population.problem.uninformed
    prior = (f"prior only, since no observed output depends on them: {', '.join(only)}",) if only else ()
    return replace(outcome, notes=(*drawn.population.notes, *drawn.notes, *prior))


def _hierarchical(found: Drawn, seed: int) -> Outcome:
    population, drawn, diagnostics = found.population, found.samples, found.diagnostics
    problem, coordinates = population.problem, Coordinates(population)
    learned = {name: drawn[name] for name in coordinates.names}
    prior_only = _prior_only(problem, learned, seed)
    names = population.eta_names
    etas = np.stack([drawn[name] for name in names], axis=-1) if names else None
    center, thetas, each = _centers(population, learned, etas)
    values = {name: float(np.median(column)) for name, column in learned.items()}
    sd = np.array([values.get(effect.omega_sd, effect.sd) for effect in population.effects])
    shrunk = shrinkage(population, *center, sd)
    rows = [posterior_row(problem.model, p, learned[p.name], diagnostics[p.name]) for p in problem.free]
    spreads = {name: _spread_row(coordinates, name, learned[name], diagnostics) for name in learned}
    fixed = {effect.omega_sd: effect.sd for effect in population.effects}
    rows += spread_rows(coordinates, spreads, {**fixed, **values}, shrunk)
    rows += [prior_row(problem.model, name, prior_only[name]) for name in problem.uninformed]
    table = population_table(rows, f"median with {INTERVAL:.0%} highest-density interval")
    individuals = None
    if etas is not None:
        deviations = np.std(each, axis=0, ddof=1)
        individuals = individual_table(
            population, *center, deviations, "posterior means of the effects; parameters there"
        )
    settings = {
        **found.settings, "engine": population.sampled_by, "centred": list(population.centred),
        "statistics": {**found.settings.get("statistics", {}), "eps_shrinkage_sd": shrunk.eps_sd},
    }  # fmt: skip
    predictions = prediction_table(population, center, _some(thetas, each, seed), seed)
    arrays = make_draws({**learned, **prior_only, **_by_effect(population, etas)}, found.statistics)
    return Outcome(
        coordinates.names, table, Posterior(learned, prior_only), arrays, found.checks, (), settings, individuals,
        predictions,
    )  # fmt: skip


def _prior_only(problem: Problem, learned: Arrays, seed: int) -> Arrays:
    chains, draws = next(iter(learned.values())).shape
    return {name: from_prior(problem.model, name, seed, (chains, draws)) for name in problem.uninformed}


def _centers(
    population: Population, learned: Arrays, etas: np.ndarray | None
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Median parameters with mean random effects, and all draws of both."""
    thetas = np.stack([learned[name].reshape(-1) for name in population.problem.names], axis=1)
    each = np.zeros((len(thetas), 0)) if etas is None else etas.reshape(len(thetas), -1)
    return (np.median(thetas, axis=0), np.mean(each, axis=0)), thetas, each


def _some(thetas: np.ndarray, etas: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    count = min(PREDICTIVE_DRAWS, len(thetas))
    picked = np.random.default_rng(seed).choice(len(thetas), size=count, replace=False)
    return thetas[picked], etas[picked]


def _by_effect(population: Population, etas: np.ndarray | None) -> Arrays:
    """Draws of each effect over the groups of its level, shape (n_chains, n_draws, n_groups)."""
    found: Arrays = {}
    for k, level in enumerate(population.levels if etas is not None else ()):
        block = population.eta_of(k, np.asarray(etas))
        found |= {effect.name: block[..., e] for e, effect in enumerate(level.effects)}
    return found


def _spread_row(
    coordinates: Coordinates, name: str, values: np.ndarray, diagnostics: Mapping[str, Mapping[str, float]]
) -> Mapping[str, Any]:
    lower, upper = highest_density(values)
    row = {
        "parameter": name, "estimate": float(np.median(values)), "lower": lower, "upper": upper,
        "sd": float(np.std(values, ddof=1)), **diagnostics[name],
    }  # fmt: skip
    prior = {effect.omega_sd: effect.prior for effect in coordinates.population.effects}.get(name)
    if prior is not None and prior.is_free:
        row["learned"] = 1.0 - float(np.var(prior.to_free(values), ddof=1)) / prior.free_moments()[1] ** 2
    return row


def _pooled(found: Drawn, seed: int) -> Outcome:
    problem, learned = found.population.problem, found.samples
    prior_only = _prior_only(problem, learned, seed)
    rows = [posterior_row(problem.model, p, learned[p.name], found.diagnostics[p.name]) for p in problem.free]
    rows += [prior_row(problem.model, name, prior_only[name]) for name in problem.uninformed]
    table = table_of(rows, f"median with {INTERVAL:.0%} highest-density interval")
    settings = {**found.settings, "engine": problem.sampled_by}
    arrays = make_draws({**learned, **prior_only}, found.statistics)
    return Outcome(problem.names, table, Posterior(learned, prior_only), arrays, found.checks, (), settings)


def from_prior(model: Model, name: str, seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Draws of a parameter that the data cannot inform."""
    # one stream per parameter: another parameter in the model changes nothing here (G3)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return np.asarray(model.parameter(name).prior.sample(rng, shape[0] * shape[1])).reshape(shape)


def posterior_row(model: Model, p: FreeParameter, values: np.ndarray, diagnostics: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table for a parameter that was learned."""
    lower, upper = highest_density(values)
    prior_sd = p.prior.free_moments()[1]
    learned = 1.0 - float(np.var(p.prior.to_free(values), ddof=1)) / prior_sd**2
    return {
        "parameter": p.name, "estimate": float(np.median(values)), "lower": lower, "upper": upper,
        "sd": float(np.std(values, ddof=1)), "unit": model.parameter(p.name).unit, **diagnostics,
        "learned": learned, "note": "wide prior" if p.widened_for else "",
    }  # fmt: skip


def prior_row(model: Model, name: str, values: np.ndarray) -> dict[str, Any]:
    """A row of the table for a parameter that was drawn from its prior."""
    lower, upper = highest_density(values)
    return {
        "parameter": name, "estimate": float(np.median(values)), "lower": lower, "upper": upper,
        "sd": float(np.std(values, ddof=1)), "unit": model.parameter(name).unit, "learned": 0.0, "note": "prior only",
    }  # fmt: skip


def table_of(rows: list[dict[str, Any]], interval: str) -> pd.DataFrame:
    """Rows as the table of a fit."""
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    table["note"] = table["note"].fillna("")
    table.attrs["interval"] = interval
    return table
