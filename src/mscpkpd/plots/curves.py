"""The fitted model between the observations: curves of the observed outputs with their bands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from mscpkpd.dosing import Regimen
from mscpkpd.fitting.result import Fit
from mscpkpd.noise import Noise
from mscpkpd.observations import Group, bind
from mscpkpd.simulation import follow
from mscpkpd.units import to_unit

__all__ = ["MOST_GROUPS", "doses_text", "fitted_curves", "given", "group_of"]

MOST_GROUPS = 6  # panels side by side
DRAWS, REPEATS = 200, 10  # draws of the parameters; new observations of each
TINY = 1e-300  # the logarithm of nothing
BANDS = {"lower": 2.5, "lower_50": 25.0, "median": 50.0, "upper_50": 75.0, "upper": 97.5}


def fitted_curves(fit: Fit, *, n_draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Follow the fitted model through the whole period of the data.

    Parameters
    ----------
    fit : Fit
        Converged or not: whoever shows the curves says which.
    n_draws : int
        Draws of the parameters.
    seed : int
        Which draws.

    Returns
    -------
    pandas.DataFrame
        Columns group, doses, output, time [model time unit], lower, lower_50, median, upper_50, upper (of the
        prediction), lower_new, upper_new (95 % of new observations of one subject; NaN for an output without noise
        model) and given [cells], the dose given by then. The unit is that of the output. At most six groups of equal
        doses and covariates, those with most rows.
    """
    rows, groups = bind(fit.model, fit.study)
    times = _grid(rows.points.time)
    curve = [not fit.model.output(name).quantity for name in rows.outputs]  # a half-life has none
    usable = dataclasses.replace(fit, checks=())  # a fit that may not be used may still be looked at
    values = usable.sample(n_draws, seed)
    counts = np.bincount(rows.group, minlength=len(groups))
    kept = sorted(np.argsort(-counts, kind="stable")[:MOST_GROUPS])
    tables = []
    for k in kept:
        outputs = [rows.outputs[j] for j in sorted(set(rows.output[rows.group == k])) if curve[j]]
        if outputs:
            sims = follow(
                fit.model, groups[k].regimen, draws=usable, n_draws=n_draws, times=times.tolist(), outputs=outputs,
                weight=_weight(groups[k]), seed=seed, course=groups[k].course,
            )  # fmt: skip
            tables += [_table(fit, groups[k], sims[name], values, seed).assign(group=int(k)) for name in outputs]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


COLUMNS = ["doses", "output", "time", *BANDS, "lower_new", "upper_new", "given", "group"]


def _weight(group: Group) -> str | None:
    return None if group.weight is None else f"{group.weight} kg"


def _grid(observed: np.ndarray) -> np.ndarray:
    positive = observed[observed > 0]
    last = 1.04 * float(np.max(positive, initial=1.0))
    first = float(np.min(positive, initial=last)) / 3
    return np.unique(np.concatenate([np.linspace(0.0, last, 140), np.geomspace(first, last, 70), positive]))


def _table(
    fit: Fit, group: Group, simulated: xr.DataArray, values: Mapping[str, np.ndarray], seed: int
) -> pd.DataFrame:
    name, paths = str(simulated.name), simulated.to_numpy()[0, 0]  # (draw, time)
    good = np.all(np.isfinite(paths), axis=1)
    paths, times = paths[good], simulated["time"].to_numpy()
    columns = {label: np.percentile(paths, p, axis=0) for label, p in BANDS.items()}
    drawn = {key: np.tile(column[good], REPEATS) for key, column in values.items()}
    new = _new_observations(fit.model.output(name).noise, np.tile(paths, (REPEATS, 1)), drawn, seed)
    hours = to_unit(f"1 {fit.model.time}", "h")
    doses = [given(group.regimen, group.weight, time * hours) for time in times]
    table = pd.DataFrame({"time": times, **columns, "lower_new": new[0], "upper_new": new[1], "given": doses})
    table.insert(0, "output", name)
    table.insert(0, "doses", doses_text(group.regimen))
    return table


def _new_observations(
    noise: Noise | None, paths: np.ndarray, values: Mapping[str, np.ndarray], seed: int
) -> np.ndarray:
    """Central 95 % of new observations, shape (2, n_times); the same random numbers at every time keep it smooth."""
    if noise is None:
        return np.full((2, paths.shape[1]), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = [noise.single.sample(np.random.default_rng(seed), np.maximum(f, TINY), values) for f in paths.T]
    return np.asarray(np.percentile(np.array(seen), [2.5, 97.5], axis=1))


def given(regimen: Regimen, weight: float | None, hours: float) -> float:
    """Amount given until a time [h], in the absolute unit of the doses."""
    return sum(dose.cells(weight) for dose in regimen.doses if dose.time <= hours)


def doses_text(regimen: Regimen) -> str:
    """Write the doses in a few words: "3 x 1e+06 cells iv"."""
    count = sum(dose.gives for dose in regimen)
    return f"{count} x {regimen.kinds}" if count > 1 else regimen.kinds


def group_of(fit: Fit) -> dict[str, int]:
    """Number of the group of equal doses of each subject."""
    return {subject: k for k, group in enumerate(bind(fit.model, fit.study)[1]) for subject in group.subjects}
