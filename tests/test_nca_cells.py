"""Metrics of cells (T10): growth, decline, persistence, and what an organ holds of the dose."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from profiles import rows, study, values

CELLS = {"unit": "copies/ug", "dose": 1e8, "dose_unit": "cells", "duration": "0.5 h", "output": "transgene"}


def expanding(time, value, **columns):
    return study(time, value, time_unit="d", **{**CELLS, **columns})


def in_days(given, **options) -> pd.DataFrame:
    return rows(given, time_unit="d", **options)


def test_t10_cmax_and_tmax_are_observed() -> None:
    found = in_days(expanding((1, 4, 7, 10, 14), (1, 20, 300, 900, 400)))
    assert (found.loc["cmax", "value"], found.loc["tmax", "value"]) == (900, 10)


def test_t10_the_area_until_day_28_is_interpolated_there() -> None:
    found = in_days(expanding((0, 10, 20, 40), (0, 100, 50, 25)), areas="linear")
    assert found.loc["auc_0_28d", "value"] == pytest.approx(500 + 750 + 8 * (50 + 40) / 2)
    log = in_days(expanding((0, 10, 20, 40), (0, 100, 50, 25)))
    at_28 = 50 * 2 ** (-8 / 20)
    rate = math.log(2) / 20
    assert log.loc["auc_0_28d", "value"] == pytest.approx(500 + 50 / (math.log(2) / 10) + (50 - at_28) / rate)
    assert log.loc["auc_0_28d", "code"] == "AUCINT"


def test_t10_the_area_is_not_extrapolated_beyond_tlast() -> None:
    row = in_days(expanding((1, 10, 20, 25), (1, 100, 50, 30))).loc["auc_0_28d"]
    assert math.isnan(row["value"])
    assert row["reason"] == "the last value is at 25 d, before 28 d, and no value below the limit follows"


def test_t10_the_area_goes_on_where_a_value_below_the_limit_follows() -> None:
    given = expanding((0, 10, 20, 24), (0, 100, 50, "<10"))
    row = in_days(given, areas="linear").loc["auc_0_28d"]
    assert row["value"] == pytest.approx(500 + 750 + 100)
    half = in_days(given, areas="linear", blq="half").loc["auc_0_28d"]
    assert half["value"] == pytest.approx(500 + 750 + 2 * 55 + 4 * 5)
    late = in_days(expanding((0, 10, 20, 32), (0, 100, 60, "<10")), areas="linear").loc["auc_0_28d"]
    assert late["value"] == pytest.approx(500 + 800 + 8 * (60 + 20) / 2)


def test_t10_the_doubling_time_runs_from_the_first_quantifiable_value_to_cmax() -> None:
    time = np.array([1.0, 3, 5, 7, 9, 12])
    value = ["<5", *(10 * 2 ** ((time[1:5] - 3) / 1.5)), 50]
    assert in_days(expanding(time, value)).loc["doubling_time", "value"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("time", "value", "reason"),
    [
        ((3, 5, 7, 9), (10, 90, 40, 20), "2 quantifiable values until Cmax, a doubling time needs 3"),
        ((3, 5), ("<1", "<1"), "no quantifiable value"),
    ],
)
def test_t10_a_doubling_time_needs_three_values(time, value, reason: str) -> None:
    assert in_days(expanding(time, value)).loc["doubling_time", "reason"] == reason


def test_t10_initial_and_terminal_half_lives() -> None:
    time = np.array([10.0, 11, 12, 13, 14, 60, 120, 240, 360])
    value = 1000 * np.exp(-(time - 10) * math.log(2) / 1.2) + 20 * np.exp(-(time - 10) * math.log(2) / 150)
    found = in_days(expanding(time, value))
    assert found.loc["half_life", "value"] == pytest.approx(150, rel=1e-3)
    assert found.loc["half_life_initial", "value"] == pytest.approx(1.2, rel=0.15)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((900, 450, 225, 112.5, 56.25), "1 value from Cmax to the terminal phase, an initial half-life needs 3"),
        ((900, 890, 450), "2 quantifiable values after Cmax, lambda_z needs 3"),
        ((900, 899, 898, 880, 300, 90, 27.1, 8.1), "the values do not fall faster at first than in the end"),
    ],
)
def test_t10_an_initial_half_life_that_cannot_be_had(value, reason: str) -> None:
    given = expanding(range(10, 10 + len(value)), value)
    assert in_days(given).loc["half_life_initial", "reason"] == reason


def test_t10_persistence_is_interval_censored_or_right_censored() -> None:
    row = in_days(expanding((1, 10, 30, 60, 90), (5, 90, 20, "<5", "<5"))).loc["persistence"]
    assert (row["lower"], row["upper"]) == (30, 60)
    assert row["reason"] == "interval-censored: between 30 and 60 d"
    row = in_days(expanding((1, 10, 30), (5, 90, 20))).loc["persistence"]
    assert (row["lower"], row["upper"]) == (30, math.inf)
    assert row["reason"].startswith("right-censored: quantifiable at 30 d")
    row = in_days(expanding((1, 10, 30), ("<5", "<5", "<5"))).loc["persistence"]
    assert row["reason"] == "no quantifiable value"
    row = in_days(expanding((1, 10, 30), (5, ">90", "<5"))).loc["persistence"]
    assert (row["lower"], row["upper"]) == (10, 30)


def test_t11_a_published_course_is_found_again() -> None:
    """Liso-cel: lag 3.27 d, doubling time 0.755 d, Tmax 9.29 d, half-lives 5.00 d and 352 d."""
    lag, doubling, peak, fast, slow = 3.27, 0.755, 9.29, 5.00, 352.0
    time = np.array([1, 2, *np.linspace(lag, peak, 8), 11, 13, 15, 17, 19, 90, 180, 270, 365, 545, 730])
    top = 10 * 2 ** ((peak - lag) / doubling)
    falling = 0.9995 * 2 ** (-(time - peak) / fast) + 0.0005 * 2 ** (-(time - peak) / slow)
    value = np.where(time < peak, 10 * 2 ** ((time - lag) / doubling), top * falling)
    texts = ["<10" if t < lag else str(v) for t, v in zip(time, value, strict=True)]
    found = in_days(expanding(time, texts))
    assert found.loc["tmax", "value"] == pytest.approx(peak)
    assert found.loc["doubling_time", "value"] == pytest.approx(doubling)
    assert found.loc["half_life_initial", "value"] == pytest.approx(fast, rel=0.01)
    assert found.loc["half_life", "value"] == pytest.approx(slow, rel=0.05)


def test_only_outputs_in_cells_have_these_metrics_unless_declared() -> None:
    given = study((0, 1, 2), (4, 2, 1), unit="pg/mL", dose=1e6, dose_unit="cells", output="il10")
    assert "persistence" not in rows(given).index
    assert "persistence" in rows(given, cells=["il10"]).index
    assert "persistence" not in rows(expanding((1, 2), (4, 2)), cells=[]).index


ORGAN = {"output": "lung", "unit": "%ID", "dose": 1e6, "dose_unit": "cells"}


def test_the_residence_time_is_the_area_of_the_share_of_the_dose() -> None:
    time = np.array([0, 2, 4, 8, 24, 48.0])
    found = values(study(time, 60 * np.exp(-0.05 * time), **ORGAN))
    assert found["residence_time"] == pytest.approx(0.6 / 0.05)
    assert found["residence_time_last"] == pytest.approx(0.6 / 0.05 * (1 - math.exp(-2.4)))
    assert found["recovery"] == pytest.approx(60)


def test_an_organ_in_cells_is_compared_with_the_viable_dose() -> None:
    found = rows(study((0, 2, 4), (4e5, 2e5, 1e5), **{**ORGAN, "unit": "cells", "viability": 0.8}))
    assert found.loc["recovery", "value"] == pytest.approx(50)
    assert "the viable dose" in found.loc["recovery", "method"]
    assert found.loc["residence_time", "value"] == pytest.approx(0.5 * 2 / math.log(2))


def test_t7_an_amount_per_gram_needs_the_mass_of_the_organ() -> None:
    row = rows(study((0, 2, 4), (4, 2, 1), **{**ORGAN, "unit": "cells/mg"})).loc["recovery"]
    assert row["reason"].endswith("needs the mass of the organ (T7)")
    row = rows(expanding((1, 2), (4, 2)), time_unit="d").loc["recovery"]
    assert row["reason"] == "values in copies/ug are no part of a dose in cells"


def test_several_doses_are_one_course_from_the_first_on() -> None:
    given = study((1, 12, 23, 25, 30, 40), (40, 20, 10, 50, 20, 5), **{**ORGAN, "unit": "cells"}, every="24 h", doses=2)
    found = rows(given, "all")
    assert found.loc["persistence", "lower"] == 40
    assert found.loc["doubling_time", "reason"] == "another dose at 24 h"
    percent = study((1, 12, 23, 25), (40, 20, 10, 50), **ORGAN, every="24 h", doses=2)
    assert "grows with each of several doses" in rows(percent, "all").loc["recovery", "reason"]
    fall = study((1, 2, 25, 26, 27, 28, 29, 80, 120, 160), (90, 50, 60, 20, 7, 4, 3, 2, 1.5, 1.2),
                 **{**ORGAN, "unit": "cells"}, every="24 h", doses=2)  # fmt: skip
    assert rows(fall, "all").loc["half_life_initial", "reason"] == "another dose at 24 h"
