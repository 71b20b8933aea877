"""Normalised prediction distribution errors: where an observation lies among those that were simulated (V7 to V10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm, skewtest, ttest_1samp

from mscpkpd.errors import FitError
from mscpkpd.fitting.result import Fit
from mscpkpd.predictive.replicates import Progress, Replicates, replicates

__all__ = ["NPDE", "npde"]

INDEPENDENT = 1e-6  # share of its spread that a value must not have in common with those before it
FEWEST_FOR_SKEW = 8  # below which the test of skewness has no meaning


@dataclass(frozen=True, eq=False)
class NPDE:
    """Normalised prediction distribution errors.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per observation: output, subject, time [model time unit], predicted (PRED), censored, npd, npde
        (standard normal under the true model), where.
    tests : pandas.DataFrame
        One row per output and test ("mean is 0", "variance is 1", "no skew"): output, test, n, estimate, p (of the
        test alone), p_adjusted (times the three tests, at most 1: Bonferroni).
    settings : mapping
        Seed, number of replicates, what the parameters were.
    notes : tuple of str
        What was left out, and why.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    settings: Mapping[str, object]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [_sentence(row) for _, row in self.tests.iterrows()]
        return "\n".join(["Normalised prediction distribution errors", *lines, *self.notes])


def npde(
    fit: Fit | Replicates, *, count: int = 1000, parameters: str = "", seed: int = 0, progress: Progress | None = None
) -> NPDE:
    """Place every observation among its simulated replicates, with the correlation within a subject taken out.

    Parameters
    ----------
    fit : Fit or Replicates
        A converged fit, or replicates that were made before.
    count : int
        Replicates; 1000 or more are advised (V7).
    parameters : str
        See `replicates`.
    seed : int
        Of draws and noise, and of the place of censored observations (V9).
    progress : callable, optional
        Called with the predictions done and all of them.

    Returns
    -------
    NPDE

    Raises
    ------
    FitError
        If the fit has not converged, or the simulated values of a subject do not vary independently.
    UsageError
        For an impossible choice.

    Notes
    -----
    Rules V7 to V10 of the conventions; subjects are taken output by output.
    """
    repeated = fit if isinstance(fit, Replicates) else replicates(
        fit, count, parameters=parameters, seed=seed, progress=progress
    )  # fmt: skip
    n = len(repeated)
    npd, errors = np.empty(n), np.empty(n)
    output, subject = np.array(repeated.output), np.array(repeated.subject)
    for name in dict.fromkeys(repeated.output):
        for who in dict.fromkeys(subject[output == name]):
            mine = np.flatnonzero((output == name) & (subject == who))
            rng = np.random.default_rng([seed, mine[0]])
            npd[mine], errors[mine] = _of_subject(repeated.taken(mine), rng)
    table = pd.DataFrame(
        {"output": output, "subject": subject, "time": repeated.time, "predicted": repeated.predicted,
         "censored": np.isinf(repeated.observed), "npd": npd, "npde": errors, "where": repeated.where}
    )  # fmt: skip
    return NPDE(table, _tests(table), repeated.settings, repeated.notes)


def _of_subject(part: Replicates, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Errors of one subject without and with decorrelation."""
    count = len(part.simulated)
    pd_, seen = _placed(part, rng)
    mean, spread = part.simulated.mean(axis=0), np.atleast_2d(np.cov(part.simulated, rowvar=False))
    root = _root(spread)
    if root is None:
        raise FitError(
            f"{count} replicates of the {len(part)} values of subject '{part.subject[0]}' do not vary independently",
            where=part.where[0],
            hint="more replicates; or the values are copies of one another",
        )
    own = np.linalg.solve(root, seen - mean)
    others = np.linalg.solve(root, (part.simulated - mean).T).T
    return _normal(pd_, count), _normal(np.mean(others < own, axis=0), count)


def _root(spread: np.ndarray) -> np.ndarray | None:
    """Cholesky factor; None where a value follows from those before it."""
    try:
        root = np.linalg.cholesky(spread)
    except np.linalg.LinAlgError:
        return None
    own = np.diag(root) / np.sqrt(np.diag(spread))
    return root if np.all(own > INDEPENDENT) else None


def _placed(part: Replicates, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Share of simulated values below each observation, and its value; a censored one is drawn (V9)."""
    low, high = np.isneginf(part.observed), np.isposinf(part.observed)
    share = np.mean(part.simulated < np.where(low | high, np.nan, part.observed), axis=0)
    uniform = rng.uniform(size=len(part))
    below = np.mean(part.simulated < part.lloq, axis=0)
    under = np.mean(part.simulated < part.uloq, axis=0)
    share = np.where(low, uniform * below, np.where(high, under + uniform * (1 - under), share))
    drawn = np.array([np.quantile(each, p) for each, p in zip(part.simulated.T, share, strict=True)])
    return share, np.where(low | high, drawn, part.observed)


def _normal(share: np.ndarray, count: int) -> np.ndarray:
    edge = 1 / (2 * count)  # V8
    return np.asarray(norm.ppf(np.clip(share, edge, 1 - edge)))


def _tests(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, part in table.groupby("output", sort=False):
        values = part["npde"].to_numpy()
        n = len(values)
        if n < 2:
            continue
        variance = float(np.var(values, ddof=1))
        lower = float(chi2.cdf((n - 1) * variance, n - 1))
        found = [
            ("mean is 0", float(np.mean(values)), float(ttest_1samp(values, 0.0).pvalue)),
            ("variance is 1", variance, 2 * min(lower, 1 - lower)),
        ]
        if n >= FEWEST_FOR_SKEW:
            skew = float(np.mean(((values - values.mean()) / values.std()) ** 3))
            found.append(("no skew", skew, float(skewtest(values).pvalue)))
        rows += [
            {"output": name, "test": test, "n": n, "estimate": estimate, "p": p, "p_adjusted": min(1.0, len(found) * p)}
            for test, estimate, p in found
        ]
    return pd.DataFrame(rows, columns=["output", "test", "n", "estimate", "p", "p_adjusted"])


def _sentence(row: pd.Series) -> str:
    verdict = "is doubtful" if row["p_adjusted"] < 0.05 else "is not contradicted"
    return (
        f"{row['output']}: '{row['test']}' {verdict} (estimate {row['estimate']:.3g} of {row['n']} values, "
        f"p {row['p']:.2g} alone and {row['p_adjusted']:.2g} among the tests)"
    )
