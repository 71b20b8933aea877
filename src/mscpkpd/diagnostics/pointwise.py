"""Log likelihood of every row at every draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.posterior import Drawn, drawn_from
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.result import Fit
from mscpkpd.fitting.trust import WITHOUT_PRIORS

__all__ = ["KINDS_OF_DRAWS", "PointwiseLikelihood", "pointwise"]

# methods whose draws stand for a posterior, and what they are
KINDS_OF_DRAWS = {
    "nuts": "draws of the posterior",
    "map": "draws of the normal approximation about the mode",
    "least_squares": "draws of the asymptotic normal distribution of the estimates",
}


@dataclass(frozen=True, eq=False)
class PointwiseLikelihood:
    """Log likelihood of every row at every draw.

    Attributes
    ----------
    log_likelihood : array of shape (n_draws, n_rows)
        Log density on the scale of the observation (P10), log probability where a row is censored; chain after chain.
    rows : pandas.DataFrame
        One line per row: subject, study, output, time, kind, observed, where.
    draws : str
        What the draws are.
    conditional : bool
        Whether rows are taken given the random effects of their own subject, which were sampled with the parameters.
    efficiency : float
        Effective share of the draws, a fraction: below 1 where chains are correlated.
    """

    log_likelihood: np.ndarray
    rows: pd.DataFrame
    draws: str
    conditional: bool
    efficiency: float

    @property
    def given(self) -> str:
        """What the likelihood of a row is conditional on, in words."""
        if self.conditional:
            return "given the parameters and the random effects of its own subject (conditional, not marginal)"
        return "given the parameters"

    def summed(self, by: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Sum over the rows of each subject or study.

        Parameters
        ----------
        by : str
            Column of `rows`.

        Returns
        -------
        names : tuple of str
        values : array of shape (n_draws, n_groups)
        """
        labels = self.rows[by].astype(str).to_numpy()
        names = tuple(dict.fromkeys(labels))
        return names, np.stack([self.log_likelihood[:, labels == name].sum(axis=1) for name in names], axis=1)


def pointwise(fit: Fit, drawn: Drawn | None = None, predictions: np.ndarray | None = None) -> PointwiseLikelihood:
    """Take the likelihood of a fit apart, row by row and draw by draw.

    Parameters
    ----------
    fit : Fit
        By nuts, map or least squares.
    drawn : Drawn, optional
        Its draws, where they are taken already.
    predictions : array of shape (n_draws, n_rows), optional
        Of these draws, in the units of the outputs.

    Returns
    -------
    PointwiseLikelihood

    Raises
    ------
    UsageError
        If the method has no draws that carry the random effects of each subject.
    FitError
        If rows have no density, or a solve failed at too many draws.
    """
    drawn = drawn or drawn_from(fit)
    problem = drawn.population.problem
    predictions = drawn.predictions() if predictions is None else predictions
    values = np.empty(predictions.shape)
    with np.errstate(all="ignore"):
        for k, (theta, f) in enumerate(zip(drawn.thetas, predictions, strict=True)):
            values[k] = densities(problem, f, problem.values(theta)).value
    rows = problem.rows
    table = pd.DataFrame(
        {
            "subject": rows.subject,
            "study": [record.study for record in problem.study.records],
            "output": [rows.outputs[k] for k in rows.output],
            "time": rows.time,
            "kind": rows.kind,
            "observed": rows.value,
            "where": rows.where,
        }
    )
    values = _finite(values, table)
    return PointwiseLikelihood(
        values,
        table,
        KINDS_OF_DRAWS.get(fit.method, f"draws by {fit.method}"),
        bool(drawn.population.levels),
        _efficiency(fit, len(values)),
    )


def _finite(values: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Drop draws that cannot be solved; refuse rows that never have a density."""
    without = np.flatnonzero(~np.any(np.isfinite(values), axis=0))
    if len(without):
        row = table.iloc[int(without[0])]
        raise FitError(
            f"{len(without)} rows have no density at any draw, such as a '{row['kind']}' of '{row['output']}'",
            where=str(row["where"]),
            hint="leave these rows out, or give their output a noise model",
        )
    bad = np.any(np.isnan(values) | np.isposinf(values), axis=1)
    if np.mean(bad) > 0.1:
        raise FitError(
            f"{int(bad.sum())} of {len(values)} draws cannot be solved", hint="tighter priors; see fit.predictions"
        )
    return np.asarray(np.maximum(values[~bad], -1e6))  # a draw under which a row is impossible weighs nothing


def _efficiency(fit: Fit, count: int) -> float:
    sizes = fit.table["ess_bulk"].to_numpy(float)
    if not np.any(np.isfinite(sizes)):
        return 1.0
    drawn = fit.posterior.learned
    everything = next(iter(drawn.values())).size
    return float(np.clip(np.nanmean(sizes) / everything, 1.0 / count, 1.0))


def refuse_without_posterior(fit: Fit) -> None:
    """Refuse a fit whose draws are not those of a posterior.

    Raises
    ------
    UsageError
        With what to do instead.
    """
    if fit.method in WITHOUT_PRIORS:
        raise UsageError(
            f"a {fit.method} fit has no posterior, and so no leave-one-out density",
            expected="fits by nuts or map",
            hint="fit(..., 'nuts'); or compare fit.statistics of population fits (aic, bic) yourself",
        )
