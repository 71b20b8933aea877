"""Exposure metrics against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from mscpkpd.errors import UnitError, UnknownName, UsageError
from mscpkpd.exposures import exposure


def sims_of(paths: np.ndarray, time: np.ndarray) -> xr.Dataset:
    """A simulated data set with one output, paths of shape (schedule, subject, draw, time)."""
    dims = ("schedule", "subject", "draw", "time")
    data = {
        "il10": xr.Variable(dims, paths, {"units": "pg/mL"}),
        "failed": xr.Variable(dims[:3], ~np.all(np.isfinite(paths), axis=-1)),
    }
    coords = {"schedule": [f"s{k}" for k in range(len(paths))], "time": xr.Variable("time", time, {"units": "h"})}
    return xr.Dataset(data, coords)


def value(table, metric: str, column: str = "median", schedule: str = "s0") -> float:
    row = table[(table["metric"] == metric) & (table["schedule"] == schedule)]
    return float(row[column].iloc[0])


def test_an_exponential_has_its_area_peak_and_time_above():
    """AUC (1 - exp(-k T))/k, peak at 0, time above L is ln(C0/L)/k; the grid's error is below 1e-5."""
    k, end, level = 0.2, 30.0, 1.0
    time = np.linspace(0.0, end, 6001)
    paths = 10.0 * np.exp(-k * time)[None, None, None]
    table = exposure(sims_of(paths, time), "il10", above=f"{level} pg/mL")
    assert value(table, "auc") == pytest.approx(10 * (1 - np.exp(-k * end)) / k, rel=1e-5)
    assert value(table, "peak") == pytest.approx(10.0)
    assert value(table, "time_of_peak") == 0.0
    assert value(table, "time_above") == pytest.approx(np.log(10.0 / level) / k, rel=1e-5)
    assert list(table["unit"]) == ["pg/mL*h", "pg/mL", "h", "h"]


def test_crossings_are_interpolated_and_resting_on_the_level_is_not_above():
    """A triangle from 0 over 2 back to 0 spends half its time above 1; a line at the level spends none."""
    time = np.array([0.0, 1.0, 2.0])
    triangle, flat = np.array([0.0, 2.0, 0.0]), np.ones(3)
    assert value(exposure(sims_of(triangle[None, None, None], time), "il10", above="1 pg/mL"), "time_above") == 1.0
    assert value(exposure(sims_of(flat[None, None, None], time), "il10", above="1 pg/mL"), "time_above") == 0.0


def test_the_level_may_have_another_unit_of_the_same_dimension():
    """0.001 ng/mL is 1 pg/mL (L5)."""
    time = np.linspace(0.0, 10.0, 101)
    sims = sims_of(np.linspace(2.0, 0.0, 101)[None, None, None], time)
    here, there = (value(exposure(sims, "il10", above=text), "time_above") for text in ("1 pg/mL", "0.001 ng/mL"))
    assert here == pytest.approx(there) == pytest.approx(5.0)


def test_limits_hold_the_central_95_percent_of_subjects_and_draws_together():
    """With peaks 1 to 100 the limits are their percentiles."""
    time = np.array([0.0, 1.0])
    peaks = np.arange(1.0, 101.0).reshape(1, 10, 10, 1) * np.array([1.0, 0.5])
    table = exposure(sims_of(peaks, time), "il10")
    assert value(table, "peak", "median") == pytest.approx(50.5)
    assert value(table, "peak", "lower") == pytest.approx(np.percentile(np.arange(1, 101), 2.5))
    assert value(table, "peak", "n") == 100


def test_a_failed_solve_is_counted_and_left_out():
    """NaN paths do not enter the metrics; `failed` counts them."""
    time = np.array([0.0, 1.0])
    paths = np.ones((1, 1, 3, 2))
    paths[0, 0, 1] = np.nan
    table = exposure(sims_of(paths, time), "il10")
    assert value(table, "auc", "n") == 2
    assert value(table, "auc", "failed") == 1
    assert value(table, "auc") == 1.0


def test_until_ends_the_period():
    """AUC of a constant over half the time is half."""
    sims = sims_of(np.ones((1, 1, 1, 101)), np.linspace(0.0, 48.0, 101))
    assert value(exposure(sims, "il10", until="1 d"), "auc") == pytest.approx(24.0)


@pytest.mark.parametrize("hours", [0.5, 1.0, 24.0, 24.3, 47.99, 48.0])
def test_a_period_may_end_between_two_times(hours):
    """T10: the value at the end is interpolated, so that an area does not lose the last step (until="28 d")."""
    time = np.linspace(0.0, 48.0, 49)
    table = exposure(sims_of((2.0 * time + 1.0)[None, None, None], time), "il10", above="3 pg/mL", until=f"{hours} h")
    assert value(table, "auc") == pytest.approx(hours**2 + hours, rel=1e-12)
    assert value(table, "peak") == pytest.approx(2 * hours + 1)
    assert value(table, "time_of_peak") == pytest.approx(hours)
    assert value(table, "time_above") == pytest.approx(max(hours - 1.0, 0.0), abs=1e-12)
    assert table.attrs["until"] == hours


def test_days_and_hours_end_at_the_same_time():
    """A day is 24 h to the last digit: the grid's own last time is used."""
    sims = sims_of(np.ones((1, 1, 1, 29)), 24.0 * np.arange(29))
    one, other = (exposure(sims, "il10", until=text) for text in ("28 d", "672 h"))
    assert value(one, "auc") == value(other, "auc") == pytest.approx(672.0)


def test_a_schedule_without_a_solution_has_no_numbers():
    """All failed: NaN, n = 0, and the count of failures."""
    paths = np.full((1, 1, 2, 2), np.nan)
    table = exposure(sims_of(paths, np.array([0.0, 1.0])), "il10", above="1 pg/mL")
    assert table["median"].isna().all()
    assert set(table["n"]) == {0}
    assert set(table["failed"]) == {2}


def test_schedules_stand_side_by_side_in_their_order():
    """Twice the path, twice the area: one call compares regimens in a tidy table (G8)."""
    time, path = np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 0.0])
    table = exposure(sims_of(np.stack([path, 2 * path])[:, None, None], time), "il10")
    assert list(dict.fromkeys(table["schedule"])) == ["s0", "s1"]
    assert value(table, "auc", schedule="s1") == 2 * value(table, "auc", schedule="s0") == 4.0


def test_mistakes_are_named():
    """An unknown output, a level without unit or with another dimension, an empty period."""
    sims = sims_of(np.ones((1, 1, 1, 3)), np.array([0.0, 1.0, 2.0]))
    with pytest.raises(UnknownName, match="unknown output 'il11'.*Try: 'il10'"):
        exposure(sims, "il11")
    with pytest.raises(UnitError, match="10"):
        exposure(sims, "il10", above="10")
    with pytest.raises(UnitError, match="pg/mL"):
        exposure(sims, "il10", above="10 cells")
    with pytest.raises(UsageError, match="holds 1 times; expected at least 2"):
        exposure(sims, "il10", until="0 h")
    with pytest.raises(UsageError, match=r"the simulation ends at 2 h, before 3 h. Try: simulate\(until='3 h'\)"):
        exposure(sims, "il10", until="3 h")
