"""Which of several fits predicts new data best, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from mscpkpd.diagnostics.leave_out import LeftOut, left_out
from mscpkpd.diagnostics.pointwise import pointwise, refuse_without_posterior
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.result import Fit
from mscpkpd.rounding import decimals

__all__ = ["Comparison", "compare"]

KINDS = ("stacking", "pseudo_bma")
ROUNDS, STILL = 20_000, 1e-12  # of the search for stacking weights
REPLICATES = 1000  # of the Bayesian bootstrap behind pseudo-BMA weights
CLEAR = 2.0  # standard errors that a difference must have to count


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of the same data, the best predictor first.

    Attributes
    ----------
    table : pandas.DataFrame
        Index: name of the fit. Columns: elpd_loo (log density of each row given all others, summed), se, p_loo
        (effective number of parameters), elpd_diff (to the best) with diff_se, weight, bad_k (rows whose Pareto k is
        over its limit), method.
    rows : pandas.DataFrame
        One line per row of the data with the log density that each fit gives it when it is left out.
    weights : str
        What the weights are: "stacking" or "pseudo_bma".
    notes : tuple of str
        What the numbers are conditional on, and what is not to be trusted.
    """

    table: pd.DataFrame
    rows: pd.DataFrame
    weights: str
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The answer in words."""
        best, *others = self.table.index
        if not others:
            return f"'{best}' alone: nothing to compare with."
        parts = []
        for name in others:
            gap, error = -float(self.table.loc[name, "elpd_diff"]), float(self.table.loc[name, "diff_se"])
            said = f"'{name}' is {decimals(gap, 1)} worse (SE {decimals(error, 1)})"
            parts.append(f"{said}, a clear difference" if gap > CLEAR * error else f"{said}, within error")
        return f"'{best}' predicts left-out rows best; {'; '.join(parts)}."

    def __str__(self) -> str:
        body = self.table.to_string(float_format=lambda x: f"{x:.4g}")
        return "\n".join([self.sentence, "", f"Weights: {self.weights}", body, *(f"- {note}" for note in self.notes)])


def compare(fits: Mapping[str, Fit] | Sequence[Fit], *, weights: str = "stacking") -> Comparison:
    """Compare fits of the same data by what they predict for rows that are left out.

    Parameters
    ----------
    fits : mapping of str to Fit, or sequence of Fit
        By "nuts" or "map", all of one study. In a sequence each is called by the name of its model and values.
    weights : {"stacking", "pseudo_bma"}
        Weights of the models, dimensionless: those with which a mixture predicts best (stacking), or relative
        predictive densities with the Bayesian bootstrap (pseudo-BMA+).

    Returns
    -------
    Comparison

    Raises
    ------
    UsageError
        If there are no fits, the data differ, or a method has no posterior.
    FitError
        If a fit has not converged, or a row has no density.

    Notes
    -----
    Leave-one-out by Pareto-smoothed importance sampling (Vehtari 2017); stacking and pseudo-BMA+ as in Yao 2018,
    Bayesian Anal 13:917. A difference counts from about 4 on and where it is over twice its standard error (Sivula
    2020, arXiv:2008.10296).
    """
    if weights not in KINDS:
        raise UsageError(f"weights = '{weights}'", expected=" or ".join(f"'{kind}'" for kind in KINDS))
    named = _named(fits)
    _refuse(named)
    found, rows = {}, None
    notes = []
    for name, fit in named.items():
        likelihood = pointwise(fit)
        order = np.lexsort([likelihood.rows[c].to_numpy() for c in ("observed", "kind", "time", "output", "subject")])
        if rows is None:
            rows = likelihood.rows.iloc[order].reset_index(drop=True)
        found[name] = left_out(likelihood.log_likelihood[:, order], likelihood.efficiency)
        notes.append(f"{name}: {likelihood.draws}; rows {likelihood.given}")
        bad = int(found[name].bad.sum())
        if bad:
            notes.append(
                f"{name}: {bad} rows have a Pareto k over {decimals(found[name].limit)}, so its numbers are too good; "
                "see check()"
            )
    each = np.stack([one.elpd for one in found.values()], axis=1)
    shares = _stacked(each) if weights == "stacking" else _pseudo(each)
    assert rows is not None  # noqa: S101 - at least one fit
    table = _table(named, found, each, shares)
    if len({fit.settings.get("random") != [] for fit in named.values()}) > 1:
        notes.append("pooled and hierarchical fits: the latter predict another row of subjects that they know")
    return Comparison(table, pd.concat([rows, pd.DataFrame(each, columns=list(found))], axis=1), weights, tuple(notes))


def _named(fits: Mapping[str, Fit] | Sequence[Fit]) -> dict[str, Fit]:
    if isinstance(fits, Mapping):
        named = {str(name): fit for name, fit in fits.items()}
    else:
        named = {}
        for fit in fits:
            base = f"{fit.model.name} ({fit.method})"
            count = sum(name == base or name.startswith(f"{base} #") for name in named)
            named[f"{base} #{count + 1}" if count else base] = fit
    if not named:
        raise UsageError("no fits to compare", expected="two or more")
    return named


def _refuse(named: Mapping[str, Fit]) -> None:
    """Refuse what cannot be compared, before anything is computed."""
    (first, reference), *others = named.items()
    for name, fit in named.items():
        refuse_without_posterior(fit)
        if not fit.converged:
            raise FitError(f"'{name}': {fit.verdict}", hint="only results can be compared")
    for name, fit in others:
        if fit.study.digest != reference.study.digest:
            raise UsageError(
                f"'{first}' and '{name}' are fits of different data ('{reference.study.name}' and '{fit.study.name}')",
                expected="fits of the same rows, doses and covariates",
                hint="fit both models to one table",
            )
        for output in dict.fromkeys(record.output for record in fit.study.records):
            units = reference.model.output(output).unit, fit.model.output(output).unit
            if units[0] != units[1]:
                raise UsageError(
                    f"'{output}' is in {units[0]} in '{first}' and in {units[1]} in '{name}'",
                    expected="one unit, since a density depends on it",
                )


def _table(
    named: Mapping[str, Fit], found: Mapping[str, LeftOut], each: np.ndarray, shares: np.ndarray
) -> pd.DataFrame:
    totals = each.sum(axis=0)
    best = int(np.argmax(totals))
    gaps = each - each[:, [best]]
    ones = list(found.values())
    table = pd.DataFrame(
        {
            "elpd_loo": totals,
            "se": [one.error for one in ones],
            "p_loo": [one.p_loo for one in ones],
            "elpd_diff": gaps.sum(axis=0),
            "diff_se": np.sqrt(len(each)) * np.std(gaps, axis=0, ddof=1),
            "weight": shares,
            "bad_k": [int(one.bad.sum()) for one in ones],
            "method": [fit.method for fit in named.values()],
        },
        index=pd.Index(list(found), name="fit"),
    )
    return table.sort_values("elpd_loo", ascending=False, kind="stable")


def _stacked(each: np.ndarray) -> np.ndarray:
    """Weights of the mixture that predicts the left-out rows best; the problem is convex."""
    density = np.exp(each - each.max(axis=1, keepdims=True))
    weights = np.full(each.shape[1], 1.0 / each.shape[1])
    for _ in range(ROUNDS):
        again = weights * np.mean(density / (density @ weights)[:, None], axis=0)
        if np.max(np.abs(again - weights)) < STILL:
            break
        weights = again
    return np.asarray(weights / weights.sum())


def _pseudo(each: np.ndarray) -> np.ndarray:
    """Weights by relative predictive densities, averaged over the Bayesian bootstrap of the rows."""
    rng, count = np.random.default_rng(0), len(each)
    drawn = rng.dirichlet(np.ones(count), size=REPLICATES)
    sums = count * drawn @ each
    shares = softmax(sums - logsumexp(sums, axis=1, keepdims=True), axis=1)
    return np.asarray(shares.mean(axis=0))
