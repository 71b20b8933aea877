"""Visual predictive check: percentiles of the data beside those of data that the model simulates (V1 to V6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.fitting.result import Fit
from mscpkpd.predictive.bins import binned
from mscpkpd.predictive.percentiles import TYPES, percentiles
from mscpkpd.predictive.replicates import Progress, Replicates, replicates

__all__ = ["VPC", "vpc"]

PERCENTILES = (5.0, 50.0, 95.0)
INTERVAL = (0.025, 0.5, 0.975)  # of the same percentile over the replicates
BLQ = "below the limit"


@dataclass(frozen=True, eq=False)
class VPC:
    """A visual predictive check.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per output, stratum, bin and percentile: output, stratum, bin, time [model time unit], n (rows),
        percentile, observed, lower, median, upper (95 % interval of the same percentile over the replicates), in the
        unit of the output; -inf is "below the limit of quantification" (V6).
    blq : pandas.DataFrame
        One row per output, stratum and bin that has a limit: output, stratum, bin, time, n (rows with a limit),
        observed, lower, median, upper: the share below it [1].
    points : pandas.DataFrame
        The observations: output, stratum, time, value (as corrected, if it is), lloq.
    units : mapping of str to str
        Of the outputs.
    time_unit : str
        Of the model.
    settings : mapping
        Binning, quantile type, correction, numbers, seed.
    notes : tuple of str
        What was left out, and why.
    """

    table: pd.DataFrame
    blq: pd.DataFrame
    points: pd.DataFrame
    units: Mapping[str, str]
    time_unit: str
    settings: Mapping[str, object]
    notes: tuple[str, ...]

    @property
    def share_inside(self) -> float:
        """Share of the observed percentiles that lie in the interval of the simulated ones [1]."""
        inside = (self.table["observed"] >= self.table["lower"]) & (self.table["observed"] <= self.table["upper"])
        return float(inside.mean())

    def __str__(self) -> str:
        head = f"Visual predictive check: {self.share_inside:.0%} of {len(self.table)} observed percentiles lie inside"
        chosen = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return "\n".join([head, chosen, *self.notes, self.table.to_string(index=False, float_format="{:.4g}".format)])


def vpc(
    fit: Fit | Replicates,
    *,
    outputs: Sequence[str] = (),
    bins: str = "ties",
    n_bins: int | None = None,
    corrected: bool = False,
    lower_bound: float = 0.0,
    stratified: bool = False,
    quantile_type: int = 7,
    count: int = 1000,
    parameters: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> VPC:
    """Compare percentiles of the data with those of simulated replicates of the same design.

    Parameters
    ----------
    fit : Fit or Replicates
        A converged fit, or replicates that were made before.
    outputs : sequence of str
        Which; all by default.
    bins : str
        "ties" (a bin for each distinct time), "counts" (equal numbers of rows) or "kmeans" (clusters) (V2).
    n_bins : int, optional
        For "counts" and "kmeans"; 8 by default.
    corrected : bool
        Prediction-corrected: each value times the typical prediction of its bin over its own (V4).
    lower_bound : float
        Least possible value for the correction, in the unit of the output.
    stratified : bool
        A panel for each kind of doses and route (V5).
    quantile_type : int
        7 (NumPy and R) or 6 (PsN) (V3).
    count : int
        Replicates, at least 500 (V1).
    parameters : str
        See `replicates`.
    seed : int
        Of draws and noise.
    progress : callable, optional
        Called with the predictions done and all of them.

    Returns
    -------
    VPC

    Raises
    ------
    FitError
        If the fit has not converged.
    UnknownName
        For an output that was not observed.
    UsageError
        For an impossible choice, or a correction by predictions that are not above the lower bound.

    Notes
    -----
    Rules V1 to V6 of the conventions.
    """
    if quantile_type not in TYPES:
        raise UsageError(f"quantile_type = {quantile_type}", expected="7 (NumPy, R) or 6 (PsN)")
    repeated = fit if isinstance(fit, Replicates) else replicates(
        fit, count, parameters=parameters, seed=seed, progress=progress
    )  # fmt: skip
    seen = tuple(dict.fromkeys(repeated.output))
    for name in outputs:
        if name not in seen:
            raise UnknownName.among("observed output", name, seen)
    tables, fractions, points = [], [], []
    for output, stratum, part in _panels(repeated, tuple(outputs) or seen, stratified=stratified):
        label = binned(part.time, bins, n_bins)
        observed, simulated = part.observed, part.ranked()
        if corrected:
            observed, simulated = _corrected(part, label, observed, simulated, lower_bound)
        heads = {"output": output, "stratum": stratum}
        tables.append(_percentile_rows(part, label, observed, simulated, quantile_type).assign(**heads))
        fractions.append(_below_rows(part, label).assign(**heads))
        points.append(pd.DataFrame({**heads, "time": part.time, "value": observed, "lloq": part.lloq}))
    settings = {
        **repeated.settings, "bins": bins, "prediction-corrected": corrected, "quantile_type": quantile_type,
    }  # fmt: skip
    return VPC(
        _ordered(tables), _ordered(fractions), _ordered(points), repeated.units, repeated.time_unit, settings,
        repeated.notes,
    )  # fmt: skip


def _panels(
    repeated: Replicates, outputs: tuple[str, ...], *, stratified: bool
) -> Iterator[tuple[str, str, Replicates]]:
    for output in outputs:
        part = repeated.of(output)
        if not stratified:
            yield output, "", part
            continue
        for stratum in dict.fromkeys(part.stratum):
            yield output, stratum, part.taken(np.flatnonzero(np.array(part.stratum) == stratum))


def _corrected(
    part: Replicates, label: np.ndarray, observed: np.ndarray, simulated: np.ndarray, lower_bound: float
) -> tuple[np.ndarray, np.ndarray]:
    """V4: every value times the median prediction of its bin over its own prediction."""
    above = part.predicted - lower_bound
    if np.any(above <= 0):
        worst = part.where[int(np.argmin(above))]
        raise UsageError(
            f"the prediction of {int(np.sum(above <= 0))} rows of '{part.output[0]}' is not above the lower bound "
            f"{lower_bound:g}",
            where=worst,
            hint="a lower bound below all predictions, or corrected=False",
        )
    typical = np.array([np.median(above[label == k]) for k in range(label.max() + 1)])[label]
    factor = typical / above
    return lower_bound + (observed - lower_bound) * factor, lower_bound + (simulated - lower_bound) * factor


def _percentile_rows(
    part: Replicates, label: np.ndarray, observed: np.ndarray, simulated: np.ndarray, kind: int
) -> pd.DataFrame:
    rows, shares = [], np.array(PERCENTILES) / 100
    for k in range(label.max() + 1):
        mine = label == k
        seen = percentiles(observed[mine], shares, kind)
        made = _interval(percentiles(simulated[:, mine], shares, kind))
        rows += [
            {"bin": k, "time": float(np.median(part.time[mine])), "n": int(mine.sum()), "percentile": percentile,
             "observed": seen[j], "lower": made[0, j], "median": made[1, j], "upper": made[2, j]}
            for j, percentile in enumerate(PERCENTILES)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _below_rows(part: Replicates, label: np.ndarray) -> pd.DataFrame:
    """Shares below the limit, of the rows that have one."""
    rows = []
    for k in range(label.max() + 1):
        mine = (label == k) & np.isfinite(part.lloq)
        if not np.any(mine):
            continue
        made = _interval(np.mean(part.simulated[:, mine] < part.lloq[mine], axis=1)[:, None])[:, 0]
        rows.append(
            {"bin": k, "time": float(np.median(part.time[mine])), "n": int(mine.sum()),
             "observed": float(np.mean(np.isneginf(part.observed[mine]))),
             "lower": made[0], "median": made[1], "upper": made[2]}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["bin", "time", "n", "observed", "lower", "median", "upper"])


def _interval(over_replicates: np.ndarray) -> np.ndarray:
    """Quantiles over the first dimension, shape (3, ...); values of the replicates themselves, infinite ones too."""
    return np.stack([np.quantile(over_replicates, share, axis=0, method="inverted_cdf") for share in INTERVAL])


def _ordered(parts: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[["output", "stratum", *(name for name in table.columns if name not in ("output", "stratum"))]]
