"""Every row with its prediction and its residual as a standard normal number, by output, method and organ."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from mscpkpd.fitting.result import Fit
from mscpkpd.fitting.trust import normal_scores
from mscpkpd.population import Population

__all__ = ["residual_groups", "residual_table"]

SHIFTED = 1e-3  # p of a mean residual from which a group is flagged, over all groups


def residual_table(fit: Fit, population: Population) -> pd.DataFrame:
    """Observed, predicted and residual of each row.

    Parameters
    ----------
    fit : Fit
    population : Population
        Its problem.

    Returns
    -------
    pandas.DataFrame
        Columns subject, study, output, method, organ, time, kind, observed (in the unit of the output; a median as
        itself, a limit where the row is censored), predicted, score (NaN where a row has none), where.
    """
    problem, known = population.problem, fit.estimates
    theta = np.array([known.get(p.name, p.start) for p in problem.free], dtype=float)
    individual = bool(population.levels)
    predicted = fit.predictions["predicted"].to_numpy(float) if individual else problem.predict(theta).value
    rows, records = problem.rows, problem.study.records
    shown = np.where(np.isin(rows.kind, ("left", "interval")), rows.upper, rows.value)
    shown = np.where(rows.kind == "right", rows.lower, shown)
    return pd.DataFrame(
        {
            "subject": rows.subject,
            "study": [record.study for record in records],
            "output": [rows.outputs[k] for k in rows.output],
            "method": [record.method for record in records],
            "organ": [record.organ for record in records],
            "time": rows.time,
            "kind": rows.kind,
            "observed": np.where(rows.kind == "logmean", np.exp(np.where(rows.kind == "logmean", shown, 0.0)), shown),
            "predicted": predicted,
            "score": normal_scores(problem, predicted, problem.values(theta)),
            "where": rows.where,
        }
    )


def residual_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of the residuals of each output, method, organ and study.

    Parameters
    ----------
    table : pandas.DataFrame
        From `residual_table`.

    Returns
    -------
    pandas.DataFrame
        Columns by, group, n, mean, sd (both in SD of the noise), p (that the mean is 0), shifted.
    """
    known = table[np.isfinite(table["score"].to_numpy(float))]
    rows = []
    for by in ("output", "method", "organ", "study"):
        groups = [(str(name), part["score"].to_numpy(float)) for name, part in known.groupby(by) if str(name)]
        if by != "output" and len(groups) < 2:
            continue
        for name, scores in groups:
            n, mean = len(scores), float(np.mean(scores))
            p = 2 * float(norm.sf(abs(mean) * np.sqrt(n)))
            spread = float(np.std(scores, ddof=1)) if n > 1 else float("nan")
            rows.append({"by": by, "group": name, "n": n, "mean": mean, "sd": spread, "p": p})
    groups_ = pd.DataFrame(rows, columns=["by", "group", "n", "mean", "sd", "p"])
    return groups_.assign(shifted=groups_["p"] < SHIFTED / max(len(groups_), 1))
