"""Exposure: how much, how high, how long, for each schedule, with intervals over subjects and draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.units import parse_quantity, to_unit

__all__ = ["exposure"]

INTERVAL = 0.95
ROUNDING = 1e-9  # "28 d" in hours may differ in its last digit from the end of a grid


def exposure(sims: xr.Dataset, output: str, above: str | None = None, until: str | None = None) -> pd.DataFrame:
    """Summarise the exposure to one output.

    Parameters
    ----------
    sims : xarray.Dataset
        Made by `simulate`.
    output : str
        Name of an output or state.
    above : str, optional
        Level with its unit, such as "10 pg/mL", for the time spent above it.
    until : str, optional
        End of the period, such as "28 d"; the whole simulation by default.

    Returns
    -------
    pandas.DataFrame
        Columns schedule, metric, unit, median, lower, upper, mean, n, failed. Metrics: ``auc`` [output unit x time
        unit], ``peak`` [output unit], ``time_of_peak`` and ``time_above`` [time unit]. Limits hold the central 95 %
        of subjects and draws together; ``n`` counts them, ``failed`` those without a solution.

    Raises
    ------
    UnknownName
        For an output that was not simulated.
    UsageError
        If the period holds fewer than two times, or ends after the simulation.
    UnitError
        If `above` has another dimension than the output.

    Notes
    -----
    Areas by the linear trapezoid on the simulated grid; crossings of the level, and the value at the end of the period,
    by linear interpolation (T10).
    """
    names = [str(name) for name in sims.data_vars if name != "failed"]
    if output not in names:
        raise UnknownName.among("output", output, names)
    unit, time_unit = str(sims[output].attrs["units"]), str(sims["time"].attrs["units"])
    last = float(sims["time"].max())
    end = to_unit(until, time_unit, where="until") if until is not None else last
    if end > last * (1 + ROUNDING):
        raise UsageError(
            f"the simulation ends at {last:g} {time_unit}, before {until}", hint=f"simulate(until='{until}')"
        )
    time, values = _cut(sims["time"].to_numpy(), sims[output].to_numpy(), end)
    if len(time) < 2:
        raise UsageError(f"the period until {until or end} holds {len(time)} times", expected="at least 2")
    level = None if above is None else _level(above, unit)
    rows = []
    for k, schedule in enumerate(sims["schedule"].to_numpy()):
        paths = values[k].reshape(-1, len(time))
        good = paths[np.all(np.isfinite(paths), axis=1)]
        for metric, (numbers, its_unit) in _metrics(time, good, unit, time_unit, level).items():
            rows.append(_row(str(schedule), metric, its_unit, numbers, len(paths) - len(good)))
    table = pd.DataFrame(rows)
    table.attrs.update(output=output, until=end, time_unit=time_unit, above=above or "", interval=INTERVAL)
    return table


def _cut(time: np.ndarray, values: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Times up to `end` and their values, the last ones interpolated where `end` lies between two times."""
    kept = int(np.sum(time <= end * (1 + ROUNDING)))
    if kept == len(time) or kept == 0 or time[kept - 1] >= end * (1 - ROUNDING):
        return time[:kept], values[..., :kept]
    share = (end - time[kept - 1]) / (time[kept] - time[kept - 1])
    at_end = (1 - share) * values[..., kept - 1] + share * values[..., kept]
    return np.append(time[:kept], end), np.concatenate([values[..., :kept], at_end[..., None]], axis=-1)


def _level(above: str, unit: str) -> float:
    parse_quantity(above, where="above")  # a bare number gets a message about its unit
    return to_unit(above, unit, where="above")


def _metrics(
    time: np.ndarray, paths: np.ndarray, unit: str, time_unit: str, level: float | None
) -> dict[str, tuple[np.ndarray, str]]:
    metrics = {
        "auc": (np.trapezoid(paths, time, axis=1), f"{unit}*{time_unit}"),
        "peak": (np.max(paths, axis=1, initial=-np.inf), unit),
        "time_of_peak": (time[np.argmax(paths, axis=1)], time_unit),
    }
    if level is not None:
        metrics["time_above"] = (_time_above(time, paths, level), time_unit)
    return metrics


def _time_above(time: np.ndarray, paths: np.ndarray, level: float) -> np.ndarray:
    """Time above a level, each step a straight line."""
    left, right = paths[:, :-1] - level, paths[:, 1:] - level
    top, bottom = np.maximum(left, right), np.minimum(left, right)
    span = np.where(top > bottom, top - bottom, 1.0)
    share = np.where(bottom >= 0, 1.0, np.where(top <= 0, 0.0, top / span))
    share = np.where((top == 0) & (bottom == 0), 0.0, share)
    return np.asarray(share @ np.diff(time))


def _row(schedule: str, metric: str, unit: str, numbers: np.ndarray, failed: int) -> dict[str, object]:
    tail = 50 * (1 - INTERVAL)
    lower, median, upper = np.percentile(numbers, [tail, 50, 100 - tail]) if len(numbers) else (np.nan,) * 3
    mean = float(np.mean(numbers)) if len(numbers) else np.nan
    return {
        "schedule": schedule, "metric": metric, "unit": unit, "median": float(median), "lower": float(lower),
        "upper": float(upper), "mean": mean, "n": len(numbers), "failed": failed,
    }  # fmt: skip
