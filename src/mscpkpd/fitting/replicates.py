"""Rows of a study beside what a fit predicts for them, and new observations in their place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mscpkpd.counted import probabilities
from mscpkpd.fitting.draws import INTERVAL
from mscpkpd.observations import Rows
from mscpkpd.problem import Problem
from mscpkpd.variability import SUMMARIES

__all__ = ["observe", "row_frame", "shown"]


def observe(
    problem: Problem,
    f: np.ndarray,
    values: Mapping[str, float],
    rng: np.random.Generator,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """A new observation of every row, or of those `among` marks: one subject, or the mean of as many as the row has."""
    rows, out = problem.rows, np.array(f)
    before, gap = rows.before
    for k, name in enumerate(rows.outputs):
        noise, mine = problem.model.output(name).noise, rows.output == k
        mine = mine if among is None else mine & among
        own = mine & np.isfinite(rows.sd)
        for of_log in (False, True):  # the sd of a median is one of the logarithm
            rest = own & ((rows.kind == "logmean") == of_log)
            error = rng.standard_normal(int(rest.sum())) * rows.sd[rest] / np.sqrt(rows.count[rest])
            out[rest] = f[rest] * np.exp(error) if of_log else f[rest] + error
        if noise is None:
            continue
        # B16: a mean without an sd has the variance of the noise over the number of its subjects
        rest = mine & ~own & np.isin(rows.kind, SUMMARIES)
        out[rest] = noise.moved(f[rest], rng.standard_normal(int(rest.sum())) / np.sqrt(rows.count[rest]), values)
        rest = mine & ~own & ~rest
        if np.any(rest):
            place = np.cumsum(rest) - 1  # of each row among these
            ahead = before[rest]
            ahead = np.where((ahead >= 0) & rest[ahead], place[ahead], -1)
            out[rest] = noise.sample_series(rng, f[rest], values, ahead, gap[rest])
    return _closed(rows, f, _counted(problem, f, values, rng, out))


def _counted(
    problem: Problem, f: np.ndarray, values: Mapping[str, float], rng: np.random.Generator, out: np.ndarray
) -> np.ndarray:
    """How many of as many animals are positive or alive; the time of an event is not drawn."""
    rows = problem.rows
    for kind in ("positive", "alive"):
        mine = np.flatnonzero(rows.kind == kind)
        if len(mine):
            chance = np.nan_to_num(probabilities(problem, f, values, mine))
            out[mine] = rng.binomial(rows.count[mine].astype(int), np.clip(chance, 0.0, 1.0))
    out[rows.kind == "event"] = np.nan
    return out


def _closed(rows: Rows, f: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Take the error that the organs of a sample share out of its composition (Q5)."""
    if rows.sample is None:
        return out
    for sample in np.unique(rows.sample[rows.sample >= 0]):
        mine = rows.sample == sample
        out[mine] /= np.exp(np.mean(np.log(out[mine] / f[mine])))
    return out


def shown(problem: Problem, f: np.ndarray, values: Mapping[str, float]) -> np.ndarray:
    """Predictions in the terms of the data: how many are expected, shares of what is found, a chance to survive.

    Parameters
    ----------
    problem : Problem
    f : array of shape (n_rows,)
        As predicted.
    values : mapping of str to float
        Parameters.

    Returns
    -------
    array of shape (n_rows,)
        Counts as their expectation; shares as fractions of their sample; NaN for the time of an event.
    """
    rows, out = problem.rows, np.array(f)
    for kind in ("positive", "alive"):
        mine = np.flatnonzero(rows.kind == kind)
        if len(mine):
            out[mine] = rows.count[mine] * probabilities(problem, f, values, mine)
    out[rows.kind == "event"] = np.nan
    return rows.as_shares(out)


def row_frame(rows: Rows, predicted: np.ndarray, means: np.ndarray, seen: np.ndarray) -> pd.DataFrame:
    """Every row with its prediction and the 95 % bands of prediction and of new observations.

    Parameters
    ----------
    rows : Rows
    predicted : array of shape (n_rows,)
        In the units of the outputs.
    means, seen : array of shape (n_draws, n_rows)
        Predictions and new observations of each draw, in the units of the outputs.
    """
    low, high = 50 * (1 - INTERVAL), 50 * (1 + INTERVAL)
    return pd.DataFrame(
        {
            "subject": rows.subject,
            "output": [rows.outputs[k] for k in rows.output],
            "time": rows.time,
            "kind": rows.kind,
            "observed": rows.as_shares(rows.value),
            "sd": rows.sd,
            "n": rows.count,
            "lower_limit": rows.lower,
            "upper_limit": rows.upper,
            "predicted": predicted,
            "lower": np.percentile(means, low, axis=0),
            "upper": np.percentile(means, high, axis=0),
            "lower_new": np.percentile(seen, low, axis=0),
            "upper_new": np.percentile(seen, high, axis=0),
            "where": rows.where,
        }
    )
