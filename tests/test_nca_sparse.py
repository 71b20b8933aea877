"""Destructive and batch designs: means by time, areas with standard errors (N9)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from mscpkpd.data import Study, study_from_frame
from mscpkpd.noncompartmental import nca
from profiles import bolus, rows

# an example that goes around with the batch method: three batches of three animals, 100 mg
ANIMALS = (1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 7, 8, 9)
VALUES = (0, 0, 0, 1.75, 2.2, 1.58, 4.63, 2.99, 1.52, 3.03, 1.98, 2.22, 3.34, 1.3, 1.22, 3.54, 2.84, 2.55, 0.3, 0.0421)
TIMES = (0, 0, 0, 1, 1, 1, 6, 6, 6, 2, 2, 2, 10, 10, 10, 4, 4, 4, 24, 24, 24)


def animals(names, time, value, **columns) -> Study:
    defaults = {"output": "plasma", "unit": "mg/L", "dose": 100, "dose_unit": "mg", "route": "oral"}
    texts = [str(v) for v in value]
    frame = pd.DataFrame(
        {"subject": [f"A{name}" for name in names], "time": time, "value": texts, **defaults, **columns}
    )
    return study_from_frame(frame, time_unit="h")


BATCH = animals(ANIMALS, TIMES, (*VALUES, 0.231))
SERIAL = animals(range(21), TIMES, (*VALUES, 0.231))


def test_n9_the_batch_method_agrees_with_the_reference_implementation() -> None:
    """Area, standard error and degrees of freedom as R's package PK prints them for the batch design."""
    row = rows(BATCH, sampling="sparse").loc["auc_last"]
    assert row["value"] == pytest.approx(39.4689, rel=1e-12)
    assert row["se"] == pytest.approx(7.30997787038754, rel=1e-12)
    assert row["df"] == pytest.approx(2.74598236184576, rel=1e-12)
    assert row["n"] == 9


def test_t9_n9_one_time_per_animal_is_recognised_and_agrees_with_the_reference_implementation() -> None:
    row = rows(SERIAL).loc["auc_last"]
    assert row["value"] == pytest.approx(39.4689, rel=1e-12)
    assert row["se"] == pytest.approx(6.86584835083522, rel=1e-12)
    assert row["df"] == pytest.approx(2.82631153092225, rel=1e-12)
    half = student.ppf(0.975, row["df"]) * row["se"]
    assert (row["lower"], row["upper"]) == (pytest.approx(row["value"] - half), pytest.approx(row["value"] + half))


def test_n9_several_times_per_animal_are_serial_unless_declared_sparse() -> None:
    assert set(nca(BATCH)["subject"]) == {f"A{k}" for k in range(1, 10)}
    assert set(nca(BATCH, sampling="sparse")["subject"]) == {"100 mg oral"}
    assert len(set(nca(SERIAL, sampling="serial")["subject"])) == 21


def test_n9_means_are_taken_with_the_linear_trapezoid_whatever_the_rule_for_areas() -> None:
    for areas in ("linear", "linear_up_log_down"):
        row = rows(SERIAL, areas=areas).loc["auc_last"]
        assert row["value"] == pytest.approx(39.4689)
        assert row["method"].startswith("linear trapezoid")


def test_n9_the_standard_error_is_right_in_repeated_studies() -> None:
    rng = np.random.default_rng(1)
    times = np.repeat([1.0, 2, 4, 8], 6)
    found = []
    for _ in range(60):
        values = 4 * np.exp(-0.3 * times) * np.exp(0.3 * rng.standard_normal(len(times)))
        found.append(rows(animals(range(len(times)), times, values)).loc["auc_last", ["value", "se"]].astype(float))
    areas, errors = np.transpose([row.to_numpy() for row in found])
    assert np.mean(errors) == pytest.approx(np.std(areas, ddof=1), rel=0.25)


def test_n9_the_peak_is_a_mean_with_its_standard_error() -> None:
    row = rows(SERIAL).loc["cmax"]
    peak = [4.63, 2.99, 1.52]
    assert row["value"] == pytest.approx(np.mean(peak))
    assert row["se"] == pytest.approx(np.std(peak, ddof=1) / math.sqrt(3))


def test_n9_the_error_of_a_value_extrapolated_back_to_a_bolus_is_carried_on() -> None:
    """Against the same area with the means moved, one at a time."""
    time = np.repeat([1.0, 2, 4, 8], 3)
    values = bolus(time) * np.tile([0.8, 1.0, 1.25], 4)
    row = rows(animals(range(12), time, values, route="iv")).loc["auc_last"]
    variance = 0.0
    for k, t in enumerate((1.0, 2, 4, 8)):
        mine = values[time == t]
        moved = []
        for step in (1e-6, -1e-6):
            shifted = values.copy()
            shifted[time == t] += step
            moved.append(rows(animals(range(12), time, shifted, route="iv")).loc["auc_last", "value"])
        variance += ((moved[0] - moved[1]) / 2e-6) ** 2 * np.var(mine, ddof=1) / 3
        assert k < 4
    assert row["se"] == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_n9_a_partial_area_of_means_has_its_standard_error() -> None:
    row = rows(SERIAL, periods=["1-5 h"]).loc["auc_1_5h"]
    m = {t: [v for v, at in zip((*VALUES, 0.231), TIMES, strict=True) if at == t] for t in (1, 2, 4, 6)}
    weights = {1: 0.5, 2: 1.5, 4: 1 + 0.75, 6: 0.25}
    assert row["value"] == pytest.approx(sum(weights[t] * np.mean(m[t]) for t in m))
    assert row["se"] == pytest.approx(math.sqrt(sum(weights[t] ** 2 * np.var(m[t], ddof=1) / 3 for t in m)))


def test_n9_an_animal_below_the_limit_counts_as_0_or_half_of_it() -> None:
    given = animals(range(9), (1, 1, 1, 2, 2, 2, 4, 4, 4), (4, 5, 6, 2, 3, "<1", 1.5, "<1", "<1"))
    found = rows(given)
    assert found.loc["tlast", "value"] == 2
    assert found.loc["clast", "value"] == pytest.approx(5 / 3)
    assert rows(given, blq="half").loc["clast", "value"] == pytest.approx(5.5 / 3)


def test_n9_one_animal_at_a_time_gives_an_area_without_standard_error_and_says_why() -> None:
    row = rows(animals(range(5), (1, 1, 2, 4, 4), (4, 5, 3, 2, 1))).loc["auc_last"]
    assert row["value"] > 0
    assert math.isnan(row["se"])
    assert row["reason"] == "no standard error: one animal only at 2: no SD"


def test_n9_animals_that_share_some_times_have_no_degrees_of_freedom() -> None:
    given = animals((1, 2, 3, 1, 2, 3, 4, 2, 3, 4), (1, 1, 1, 2, 2, 2, 2, 4, 4, 4), (1, 2, 3, 4, 6, 5, 4, 3, 2, 4))
    row = rows(given, sampling="sparse").loc["auc_last"]
    assert row["se"] > 0
    assert math.isnan(row["df"])
    assert row["reason"].startswith("no interval: degrees of freedom need animals in batches")


def test_n9_covariances_stay_within_the_bound_of_cauchy_and_schwarz() -> None:
    given = animals((1, 2, 1, 2, 3), (1, 1, 2, 2, 2), (1, 11, 1, 11, 6))
    row = rows(given, sampling="sparse", areas="linear").loc["auc_last"]
    spread = np.array([[50.0, math.sqrt(50 * 25)], [math.sqrt(50 * 25), 25]]) * [[1 / 2, 1 / 3], [1 / 3, 1 / 3]]
    weights = np.array([1.0, 0.5])
    assert row["se"] == pytest.approx(math.sqrt(weights @ spread @ weights))


def test_n9_identical_animals_have_no_interval() -> None:
    row = rows(animals(range(4), (1, 1, 2, 2), (4, 4, 2, 2))).loc["auc_last"]
    assert (row["se"], row["reason"]) == (0, "no interval: the values do not vary")


def test_t9_organs_of_one_animal_are_profiles_of_their_own() -> None:
    names = [f"{time}{k}" for time, k in itertools.product((1, 2, 4), range(3))] * 2
    organs = ["lung"] * 9 + ["liver"] * 9
    given = animals(names, [float(n[0]) for n in names], np.arange(1.0, 19), output=organs)
    assert set(nca(given)["output"]) == {"lung", "liver"}


def test_arms_are_kept_apart_by_a_column_and_a_note_says_that_they_were_not() -> None:
    arms = ["healthy", "injured"] * 6
    given = animals(range(12), np.repeat([1.0, 2, 4], 4), np.arange(1.0, 13), arm=arms)
    together = nca(given)
    assert together.attrs["notes"] == ["100 mg oral: 'arm' differs within the group; by=['arm'] keeps the groups apart"]
    apart = nca(given, by=["arm"])
    assert list(dict.fromkeys(apart["subject"])) == ["100 mg oral, healthy", "100 mg oral, injured"]
    assert apart.attrs["notes"] == []


def test_doses_per_body_weight_are_one_group_with_their_mean_dose() -> None:
    weights = [0.02, 0.03] * 3
    given = animals(
        range(6), [1, 1, 2, 2, 4, 4], np.arange(6, 0, -1), dose=1e6, dose_unit="cells/kg", weight=weights,
        weight_unit="kg", unit="cells/mL", viability=0.8,
    )  # fmt: skip
    found = rows(given)
    assert found.loc["dose_total", "value"] == pytest.approx(25_000)
    assert found.loc["dose_viable", "value"] == pytest.approx(20_000)


def test_two_studies_are_two_groups() -> None:
    given = animals(range(8), [1, 1, 2, 2] * 2, np.arange(8, 0, -1), study=["one"] * 4 + ["two"] * 4)
    assert len(nca(given).groupby(["study", "subject"])) == 2


def test_groups_that_differ_in_what_their_name_does_not_say_are_numbered() -> None:
    given = animals(range(8), [1, 1, 2, 2] * 2, np.arange(8, 0, -1), route="iv", duration=["0 h"] * 4 + ["1 h"] * 4)
    assert list(dict.fromkeys(nca(given)["subject"])) == ["100 mg iv", "100 mg iv, 2"]


def test_what_looks_like_a_batch_design_is_said_to() -> None:
    assert nca(BATCH).attrs["notes"] == [
        "'plasma': no subject has more than 3 of 7 times; sampling='sparse' pools them"
    ]
    assert nca(BATCH, sampling="sparse").attrs["notes"] == []


def test_reported_means_have_an_area_with_standard_error() -> None:
    given = animals("GGG", (1, 2, 4), (4, 3, 1), stat="mean", sd=[1, 0.5, 0.2], n=[4, 5, 6])
    row = rows(given).loc["auc_last"]
    weights, sd, n = np.array([1, 1.5, 1]), np.array([1, 0.5, 0.2]), np.array([4, 5, 6])
    parts = weights**2 * sd**2 / n
    assert row["se"] == pytest.approx(math.sqrt(parts.sum()))
    assert row["df"] == pytest.approx(parts.sum() ** 2 / (parts**2 / (n - 1)).sum())
    assert "reported means" in row["method"]
    assert "takes the animals of each time for different ones" in nca(given).attrs["notes"][0]


def test_reported_means_without_sd_and_medians_have_no_standard_error() -> None:
    row = rows(animals("GGG", (1, 2, 4), (4, 3, 1), stat="mean", n=4)).loc["auc_last"]
    assert row["reason"] == "no standard error: no SD of the mean at 1 h"
    quartiles = {"stat": "median", "lower": [3, 2, 0.5], "upper": [5, 4, 2], "n": 4}
    found = rows(animals("GGG", (1, 2, 4), (4, 3, 1), **quartiles))
    assert found.loc["cmax", "value"] == pytest.approx(4)
    assert math.isnan(found.loc["cmax", "se"])


def test_a_mean_of_one_has_no_interval() -> None:
    row = rows(animals("GG", (1, 2), (4, 3), stat="mean", sd=[1, 0.5], n=1)).loc["auc_last"]
    assert row["reason"] == "no interval: a mean of one animal has no degrees of freedom"
