"""Laws that a non-compartmental analysis keeps for any profile, and closed forms of compartments."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mscpkpd.data import study_from_frame
from mscpkpd.noncompartmental import nca
from profiles import SAMPLES, bolus, rows, study, values

few = settings(max_examples=15, deadline=None)
levels = st.lists(st.floats(0.05, 50), min_size=6, max_size=6)
TIME = (0.5, 1, 2, 4, 8, 24)
PROPORTIONAL = ("cmax", "clast", "auc_last", "auc_all", "aumc_last", "auc_inf_obs", "auc_inf_pred", "clast_pred")
UNCHANGED = ("tmax", "tlast", "lambda_z", "half_life", "mrt", "r2_adjusted", "auc_percent_extrapolated_obs")


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=1e-9)


@few
@given(levels, st.floats(0.1, 10))
def test_a_scaled_dose_with_scaled_values_leaves_clearance(value: list[float], factor: float) -> None:
    one = values(study(TIME, value))
    other = values(study(TIME, factor * np.array(value), dose=100 * factor))
    assert all(same(other[name], factor * one[name]) for name in PROPORTIONAL)
    assert all(same(other[name], one[name]) for name in (*UNCHANGED, "cl", "vz", "vss"))


@few
@given(levels)
def test_l5_days_and_hours_say_the_same(value: list[float]) -> None:
    hours, days = (rows(study(TIME, value), time_unit=unit) for unit in ("h", "d"))
    assert list(hours.index) == list(days.index)
    for name, row in hours.iterrows():
        other = days.loc[name]
        power = {"1/h": 1, "L/h": 1, "h": -1, "mg/L*h": -1, "mg/L*h**2": -2}.get(row["unit"], 0)
        assert same(other["value"], row["value"] * 24.0**power), name
        assert other["unit"] == row["unit"].replace("h", "d")


@few
@given(levels, st.sampled_from([("ng/mL", 1e3), ("mg/mL", 1e-3)]))
def test_l5_another_unit_of_the_values_says_the_same(value: list[float], scale: tuple[str, float]) -> None:
    unit, factor = scale
    one, other = values(study(TIME, value)), values(study(TIME, factor * np.array(value), unit=unit))
    assert all(same(other[name], factor * one[name]) for name in PROPORTIONAL)
    assert same(other["cl"], one["cl"] * 1e3)  # L/h in mL/h


@few
@given(levels, levels)
def test_l1_linear_areas_superpose(one: list[float], other: list[float]) -> None:
    options = {"areas": "linear", "periods": ["1-12 h"]}
    both = values(study(TIME, np.array(one) + np.array(other), route="oral"), **options)
    single = [values(study(TIME, value, route="oral"), **options) for value in (one, other)]
    for name in ("auc_last", "aumc_last", "auc_1_12h"):
        assert both[name] == pytest.approx(single[0][name] + single[1][name])


def test_l1_areas_of_repeated_doses_superpose_to_infinity() -> None:
    time = np.arange(0.0, 100, 2)
    value = sum(np.where(time >= 24 * k, bolus(time - 24 * k), 0) for k in range(3))
    whole = values(study(time, value, every="24 h", doses=3), "all")["auc_inf_obs"]
    assert whole == pytest.approx(3 * values(study(SAMPLES, bolus(SAMPLES)))["auc_inf_obs"], rel=1e-12)


@few
@given(levels, st.floats(0, 1000))
def test_l2_shifting_dose_and_samples_changes_nothing(value: list[float], shift: float) -> None:
    one = rows(study(TIME, value))
    other = rows(study([t + shift for t in TIME], value, dose_time=shift))
    slack = 1e-6 if shift else 1e-12
    for name, row in one.iterrows():
        number = other.loc[name, "value"]
        assert (math.isnan(number) and math.isnan(row["value"])) or number == pytest.approx(
            row["value"], rel=slack, abs=1e-6
        )


def test_l10_other_subjects_and_the_order_of_rows_change_nothing() -> None:
    frame = pd.DataFrame({
        "subject": np.repeat(["A", "B"], 6), "time": np.tile(TIME, 2), "output": "plasma", "unit": "mg/L",
        "value": np.concatenate([bolus(TIME), 2 * bolus(TIME)]), "dose": 100, "dose_unit": "mg", "route": "iv",
    })  # fmt: skip
    alone = nca(study_from_frame(frame[:6], time_unit="h"))
    shuffled = nca(study_from_frame(frame.sample(frac=1, random_state=1), time_unit="h"))
    mine = shuffled[shuffled["subject"] == "A"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone, check_like=False)


def test_two_compartments_by_their_closed_form() -> None:
    a, alpha, b, beta = 3.0, 0.8, 1.0, 0.05
    time = np.unique(np.concatenate([np.linspace(0, 10, 400), np.linspace(10, 200, 400)]))
    found = values(study(time, a * np.exp(-alpha * time) + b * np.exp(-beta * time)))
    area, moment = a / alpha + b / beta, a / alpha**2 + b / beta**2
    assert found["lambda_z"] == pytest.approx(beta, rel=1e-2)
    assert found["auc_inf_obs"] == pytest.approx(area, rel=1e-3)
    assert found["cl"] == pytest.approx(100 / area, rel=1e-3)
    assert found["mrt"] == pytest.approx(moment / area, rel=1e-3)
    assert found["vss"] == pytest.approx(100 * moment / area**2, rel=1e-2)
    assert found["vz"] == pytest.approx(100 / area / beta, rel=1e-2)
    assert found["c0"] == pytest.approx(a + b)


@pytest.mark.parametrize("samples", [(0, 1, 2), (0, 5, 40), SAMPLES, (1, 3, 9, 11)])
def test_one_compartment_is_exact_for_any_samples(samples) -> None:
    found = values(study(samples, bolus(samples)))
    for name, exact in {
        "c0": 2,
        "cl": 5,
        "vss": 50,
        "vz": 50,
        "mrt": 10,
        "auc_inf_obs": 20,
        "aumc_inf_obs": 200,
    }.items():
        assert found[name] == pytest.approx(exact, rel=1e-11), name
