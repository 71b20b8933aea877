"""Which subjects and studies pull: how far estimates move where one of them is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.leave_out import left_out
from mscpkpd.diagnostics.pointwise import PointwiseLikelihood
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.deletion import clusters_by, deleted
from mscpkpd.fitting.focei import Maximum, maximum_at
from mscpkpd.fitting.result import Fit
from mscpkpd.population import Population

__all__ = ["influence", "influence_on_maximum", "maximum_of"]

CONSTANT = 1e-9  # relative range of draws that are one number, as noise is in least squares


def influence(likelihood: PointwiseLikelihood, draws: Mapping[str, np.ndarray], by: str = "subject") -> pd.DataFrame:
    """Leave out every subject or study by weighing the draws.

    Parameters
    ----------
    likelihood : PointwiseLikelihood
    draws : mapping of str to array of shape (n_draws,)
        What may move, in the order of the draws of `likelihood`.
    by : {"subject", "study"}

    Returns
    -------
    pandas.DataFrame
        One row per subject or study, the most influential first: rows, elpd (log density given all others), pareto_k,
        trusted, parameter (the one that moves most), shift (of its mean, in SD of its draws), usual (shift that leaving
        out so large a share of the rows brings by chance, in SD), change (of its mean, in percent).

    Notes
    -----
    A large k says that the draws without it are too unlike those with it: it is influential, and only another fit
    without it says how much.
    """
    names, values = likelihood.summed(by)
    found = left_out(values, likelihood.efficiency)
    weights = np.exp(found.weights)
    moving = {name: column for name, column in draws.items() if np.ptp(column) > CONSTANT * np.max(np.abs(column))}
    columns = np.stack(list(moving.values()), axis=1)
    mean, sd = columns.mean(axis=0), columns.std(axis=0, ddof=1)
    without = weights.T @ columns
    moved = _Moved(tuple(moving), (without - mean) / sd, mean, without)
    more = {"elpd": found.elpd, "pareto_k": found.k, "trusted": ~found.bad}
    return _table(by, likelihood.rows[by], names, moved, more)


def maximum_of(fit: Fit, population: Population) -> Maximum:
    """Say again what is known at the maximum of a fit.

    Parameters
    ----------
    fit : Fit
        By foce, focei, laplace or map.
    population : Population
        Its problem.

    Raises
    ------
    FitError
        If the fit is not at a maximum: what a step from it says would mean nothing.
    """
    known = maximum_at(population, str(fit.settings["approximation"]), fit.estimates, with_priors=fit.method == "map")
    if not known.converged:
        raise FitError("the search did not end at a maximum, from which parts could be left out", hint="another start")
    return known


def influence_on_maximum(fit: Fit, population: Population, known: Maximum, by: str = "subject") -> pd.DataFrame:
    """Leave out every subject or study by one Newton step from the maximum of an approximate likelihood.

    Parameters
    ----------
    fit : Fit
        By foce, focei, laplace or map.
    population : Population
        Its problem.
    known : Maximum
        Of this fit.
    by : {"subject", "study"}

    Returns
    -------
    pandas.DataFrame
        As `influence` has it: shifts (without minus with) are on the estimation scale, those of correlations on their
        own; elpd is the log likelihood of the part at the estimates without it, with its random effects integrated out.
        No Pareto k: `trusted` says whether the likelihood of the rest gained by the step what its curvature forecast.
        One part alone cannot be left out: its numbers are missing.

    Raises
    ------
    UsageError
        If parts share random effects.
    """
    problem, approximation = population.problem, str(fit.settings["approximation"])
    labels = list(problem.rows.subject) if by == "subject" else [record.study for record in problem.study.records]
    parts = clusters_by(population, approximation, labels)
    if parts is None:
        raise UsageError(
            f"some random effects belong to more than one {by}, so that none can be left out alone",
            hint=f"fit again without the {by} in question and compare",
        )
    used = pd.Series(labels)[problem.rows.kind != "dropped"]
    nothing = np.full(len(parts), np.nan)
    if len(parts) < 2:
        return pd.DataFrame({by: list(parts), "rows": len(used), "elpd": nothing, "pareto_k": nothing, "trusted": False,
                             "parameter": "", "shift": nothing, "usual": nothing, "change": nothing})  # fmt: skip
    without = deleted(population, known, approximation, list(parts.values()))
    coordinates = known.coordinates
    before, after = coordinates.natural(known.x), np.array([coordinates.natural(x) for x in without.x])
    shifts = (without.x - known.x) / np.sqrt(np.diag(known.covariance))
    errors = fit.table.set_index("parameter")["sd"]
    for k in range(len(before) - coordinates.counts[2], len(before)):  # a coordinate is a partial correlation
        shifts[:, k] = (after[:, k] - before[k]) / float(errors[coordinates.names[k]])
    more = {"elpd": without.elpd, "pareto_k": nothing, "trusted": without.trusted}
    return _table(by, used, tuple(parts), _Moved(coordinates.names, shifts, before, after), more)


@dataclass(frozen=True, eq=False)
class _Moved:
    """Estimates with all data and without each part."""

    names: tuple[str, ...]
    shifts: np.ndarray  # shape (n_parts, n), in SD
    before: np.ndarray  # shape (n,)
    after: np.ndarray  # shape (n_parts, n)


def _table(
    by: str, labels: pd.Series, names: Sequence[str], moved: _Moved, more: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Each part with the estimate that it moves most."""
    most, each = np.argmax(np.abs(moved.shifts), axis=1), np.arange(len(names))
    before, after = moved.before[most], moved.after[each, most]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = 100 * (after - before) / np.abs(before)
    counts = labels.astype(str).value_counts()
    table = pd.DataFrame(
        {
            by: names,
            "rows": [int(counts[name]) for name in names],
            **more,
            "parameter": [moved.names[k] for k in most],
            "shift": moved.shifts[each, most],
            "usual": _usual(counts.loc[list(names)].to_numpy(float)),
            "change": change,
        }
    )
    order = np.argsort(-np.abs(table["shift"].to_numpy()), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _usual(rows: np.ndarray) -> np.ndarray:
    """SD of the shift of an estimate, in its SD, where a share of equally informative rows is left out."""
    share = np.minimum(rows / rows.sum(), 0.999)
    return np.asarray(np.sqrt(share / (1.0 - share)))
