"""Non-compartmental analysis: each rule of the conventions by its number, and closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from event_models import frame
from mscpkpd.data import Study, study_from_frame
from mscpkpd.errors import DataError, UnitError, UnknownName, UsageError
from mscpkpd.noncompartmental import nca
from mscpkpd.noncompartmental.areas import area, interpolated, moment, trapezoid_weights
from mscpkpd.noncompartmental.metrics import Metric, derived
from profiles import SAMPLES, bolus, infused, oral, rows, study, values

# ---- the numbers of the conventions ----------------------------------------------------------------------------------

CASE = study(SAMPLES, bolus(SAMPLES))


@pytest.mark.parametrize(
    ("parameter", "printed"),
    [
        ("auc_last", "18.1856409342"),  # N4
        ("auc_inf_obs", "20.0000000000"),  # N6
        ("auc_inf_pred", "20.0000000000"),  # N6
        ("mrt", "10.0000000000"),  # N7
        ("half_life", "6.9314718056"),  # N7
        ("vz", "50.0000000000"),  # N7
        ("cl", "5.0000000000"),  # N7
        ("vss", "50.0000000000"),
        ("auc_percent_extrapolated_obs", "9.0717953289"),  # N6
    ],
)
def test_numbers_of_the_conventions_hold_to_every_printed_digit(parameter: str, printed: str) -> None:
    assert f"{values(CASE)[parameter]:.10f}" == printed


def test_number_of_n4_linear_holds_to_every_printed_digit() -> None:
    assert f"{values(CASE, areas='linear')['auc_last']:.10f}" == "18.7991978315"


# ---- N1: below the limit ---------------------------------------------------------------------------------------------

GAPS = study((0, 1, 2, 4, 6, 8, 12), ("<0.1", "<0.1", 4, "<0.1", 2, 1, "<0.1"), route="oral")


def test_n1_values_below_the_limit_are_0_before_and_dropped_between() -> None:
    found = values(GAPS, areas="linear")
    assert found["auc_last"] == pytest.approx(0 + 2 + 4 * 3 + 2 * 1.5)
    assert found["tlast"] == 8
    assert found["auc_all"] == pytest.approx(17 + 4 * 0.5)


def test_n1_values_below_the_limit_are_half_of_it_on_request() -> None:
    found = values(GAPS, areas="linear", blq="half")
    assert found["auc_last"] == pytest.approx(0 + 2 + 2 * 2.025 + 2 * 1.025 + 2 * 1.5)
    assert found["auc_all"] - found["auc_last"] == pytest.approx(4 * 0.525)


@pytest.mark.parametrize(("blq", "word"), [("drop", "dropped"), ("half", "LLOQ/2")])
def test_n1_the_rule_is_written_into_the_result(blq: str, word: str) -> None:
    table = nca(GAPS, blq=blq)
    assert table.attrs["rules"]["N1"].endswith(word)
    assert table.attrs["options"]["blq"] == blq
    assert word in table.set_index("parameter").loc["auc_last", "method"]


def test_n1_a_value_of_0_is_below_the_limit() -> None:
    assert values(study((0, 1, 2, 3), (0, 4, 2, 0), route="oral"))["tlast"] == 2


# ---- N2 and observed values ------------------------------------------------------------------------------------------


def test_n2_tlast_is_the_last_quantifiable_value() -> None:
    found = values(GAPS)
    assert (found["tlast"], found["clast"], found["cmax"], found["tmax"]) == (8, 1, 4, 2)


def test_detected_but_not_quantified_is_below_the_limit() -> None:
    given = study(
        (1, 2, 3, 4), (4, 2, 1, ""), route="oral", lower=["", "", "", "0.1"], upper=["", "", "", "0.5"],
        censoring=["none", "none", "none", "interval"],
    )  # fmt: skip
    assert values(given)["tlast"] == 3


def test_a_value_above_its_limit_leaves_no_peak_and_no_area_but_a_terminal_phase() -> None:
    found = rows(study((1, 2, 3, 4, 5, 6), (5, ">9", 4, 2, 1, 0.5), route="oral"))
    for parameter in ("cmax", "tmax", "auc_last", "auc_inf_obs", "cl/F"):
        assert math.isnan(found.loc[parameter, "value"])
        assert found.loc[parameter, "reason"] == "a value above its limit at 2 after the dose"
    assert found.loc["half_life", "value"] == pytest.approx(1)


# ---- N3: the beginning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("route", "duration"), [("oral", "0 h"), ("iv", "1 h")])
def test_n3_without_a_value_at_the_dose_an_infusion_or_absorption_begins_at_0(route: str, duration: str) -> None:
    found = rows(study((2, 4, 6), (4, 2, 1), route=route, duration=duration), areas="linear")
    assert found.loc["auc_last", "value"] == pytest.approx(4 + 6 + 3)
    assert "0 at the dose" in found.loc["auc_last", "method"]


def test_n3_a_bolus_is_extrapolated_back_through_its_first_two_values() -> None:
    later = study(SAMPLES[1:], bolus(SAMPLES[1:]))
    found = values(later)
    assert found["c0"] == pytest.approx(2, rel=1e-14)
    assert found["auc_last"] == pytest.approx(values(CASE)["auc_last"], rel=1e-14)
    assert found["auc_back_extrapolated"] == pytest.approx(100 * (1 - math.exp(-0.2)))
    assert values(CASE)["auc_back_extrapolated"] == 0


def test_n3_a_bolus_that_rises_begins_with_its_first_value() -> None:
    found = rows(study((1, 2, 4, 6, 8), (1, 3, 2, 1, 0.5)))
    assert found.loc["c0", "value"] == 1
    assert "do not fall" in found.loc["c0", "method"]


def test_n3_a_sample_below_the_limit_at_a_bolus_was_drawn_before_it() -> None:
    assert values(study((0, *SAMPLES[1:]), ("<0.01", *bolus(SAMPLES[1:]))))["c0"] == pytest.approx(2)


def test_n3_a_value_before_the_dose_is_where_the_curve_begins() -> None:
    given = study((0, 4, 6, 8), (1, 3, 2, 1), route="oral", dose_time=2)
    assert values(given, areas="linear")["auc_last"] == pytest.approx(4 + 5 + 3)


# ---- N4: areas -------------------------------------------------------------------------------------------------------


def test_n4_a_falling_step_is_exponential_and_a_rising_one_straight() -> None:
    time, value = np.array([0.0, 1, 3]), np.array([1.0, 4, 1])
    assert area(time, value, log=True) == pytest.approx(2.5 + 3 / (math.log(4) / 2))
    assert area(time, value, log=False) == pytest.approx(2.5 + 5)


def test_n4_the_moment_of_a_falling_step() -> None:
    k = math.log(4) / 2
    assert moment(np.array([1.0, 3]), np.array([4.0, 1]), log=True) == pytest.approx((4 - 3) / k + 3 / k**2)
    assert moment(np.array([1.0, 3]), np.array([1.0, 4]), log=True) == pytest.approx(2 * (1 + 12) / 2)


@pytest.mark.parametrize("fall", [1e-12, 1e-8, 1e-5, 1e-3, 0.0099, 0.0101, 0.5])
def test_n4_nothing_is_lost_where_two_values_are_nearly_equal(fall: float) -> None:
    time, value = np.array([10.0, 12]), np.array([1.0, math.exp(-fall)])
    fine = np.linspace(0, 1, 20001)
    exact = np.exp(-fall * fine)
    assert area(time, value, log=True) == pytest.approx(2 * np.trapezoid(exact, fine), rel=1e-9)
    assert moment(time, value, log=True) == pytest.approx(2 * np.trapezoid((10 + 2 * fine) * exact, fine), rel=1e-9)


def test_n4_a_step_to_0_is_straight() -> None:
    assert area(np.array([0.0, 2]), np.array([3.0, 0]), log=True) == 3


def test_n4_values_between_samples_lie_on_the_steps() -> None:
    time, value = np.array([0.0, 2, 4]), np.array([0.0, 4, 1])
    assert interpolated(time, value, 1, log=True) == 2
    assert interpolated(time, value, 3, log=True) == pytest.approx(2)
    assert interpolated(time, value, 3, log=False) == 2.5
    assert interpolated(time, value, 4, log=True) == 1


def test_n4_partial_areas_add_up() -> None:
    found = values(CASE, periods=["0-5 h", "5-24 h", "0 to 1 d", "0-30 h"])
    assert found["auc_0_5h"] + found["auc_5_24h"] == pytest.approx(found["auc_last"], rel=1e-14)
    assert found["auc_0_1d"] == found["auc_last"]
    assert found["auc_0_5h"] == pytest.approx(20 * (1 - math.exp(-0.5)))
    assert math.isnan(found["auc_0_30h"])


# ---- N5: the terminal phase ------------------------------------------------------------------------------------------


def test_n5_the_best_adjusted_r2_chooses_the_last_points() -> None:
    time = np.array([0.5, 1, 2, 4, 8, 12, 16, 24])
    value = np.array([3.0, 5.1, 4.2, 2.6, 1.6, 0.98, 0.61, 0.22])
    found = rows(study(time, value, route="oral"))
    candidates = {n: _adjusted(time[-n:], value[-n:]) for n in range(3, 7)}  # after Cmax at 1 h
    best = max(candidates.values())
    n = max(n for n, adjusted in candidates.items() if adjusted >= best - 1e-4)
    assert found.loc["lambda_z_points", "value"] == n
    assert found.loc["r2_adjusted", "value"] == pytest.approx(candidates[n])
    assert found.loc["lambda_z", "value"] == pytest.approx(-np.polyfit(time[-n:], np.log(value[-n:]), 1)[0])
    assert found.loc["lambda_z_from", "value"] == time[-n]
    chosen = ", ".join(f"{t:g}" for t in time[-n:])
    assert f"at {chosen} h" in found.loc["lambda_z", "method"]


def _adjusted(time: np.ndarray, value: np.ndarray) -> float:
    r2 = np.corrcoef(time, np.log(value))[0, 1] ** 2
    return float(1 - (1 - r2) * (len(time) - 1) / (len(time) - 2))


def test_n5_within_1e_4_of_the_best_the_most_points_win() -> None:
    time = np.array([0.0, 2, 4, 6, 8, 10, 12])
    wobble = np.array([0, 1, -1, 1, 0, 0, 0]) * 1e-3
    found = values(study(time, np.exp(1 - 0.1 * time + wobble)))
    assert found["lambda_z_points"] == 7
    assert found["r2_adjusted"] < 1


@pytest.mark.parametrize(("route", "duration", "points"), [("iv", "0 h", 4), ("oral", "0 h", 3), ("iv", "1 h", 3)])
def test_n5_cmax_counts_after_a_bolus_only(route: str, duration: str, points: int) -> None:
    given = study((1, 2, 4, 8), bolus((1, 2, 4, 8)), route=route, duration=duration)
    assert values(given)["lambda_z_points"] == points


def test_n5_values_during_an_infusion_do_not_count() -> None:
    given = study((1, 2, 3, 4, 5), (3, 2.5, 2, 1.5, 1), duration="3.5 h")
    assert rows(given).loc["lambda_z", "reason"] == "2 quantifiable values after Cmax, lambda_z needs 3"


def test_n5_the_slope_must_be_negative() -> None:
    found = rows(study((1, 2, 3, 4, 5), (9, 1, 1, 2, 3), route="oral"))
    assert found.loc["half_life", "reason"] == "the last values do not fall"
    assert rows(study((1, 2, 3, 4), (9, 1, 1, 1), route="oral")).loc["lambda_z", "reason"].endswith("do not fall")


def test_n5_half_a_limit_is_no_point_of_the_line() -> None:
    given = study((0, 1, 2, 3, 4, 5), (8, 4, 2, "<0.1", 0.5, 0.25))
    assert values(given, blq="half")["half_life"] == pytest.approx(1)


# ---- N6 to N8 --------------------------------------------------------------------------------------------------------


def test_n6_observed_and_predicted_areas_differ_by_the_fit_at_tlast() -> None:
    found = values(study((0, 1, 2, 4, 6), (10, 6, 4.1, 1.4, 0.6)))
    rate = found["lambda_z"]
    assert found["auc_inf_obs"] == pytest.approx(found["auc_last"] + 0.6 / rate)
    assert found["auc_inf_pred"] == pytest.approx(found["auc_last"] + found["clast_pred"] / rate)
    assert found["clast_pred"] != pytest.approx(0.6, rel=1e-3)
    rest = 100 * (1 - found["auc_last"] / found["auc_inf_pred"])
    assert found["auc_percent_extrapolated_pred"] == pytest.approx(rest)


def test_n7_an_infusion_loses_half_its_duration_from_the_mean_residence_time() -> None:
    time = np.unique(np.concatenate([np.linspace(0, 2, 200), np.linspace(2, 120, 200)]))
    found = values(study(time, infused(time, 2.0), duration="2 h"))
    assert found["mrt"] == pytest.approx(10, rel=1e-4)
    assert found["vss"] == pytest.approx(50, rel=1e-4)
    assert found["cl"] == pytest.approx(5, rel=1e-4)


def test_n7_after_extravascular_doses_clearance_and_volume_are_apparent() -> None:
    time = np.unique(np.concatenate([np.linspace(0, 8, 400), np.linspace(8, 240, 300)]))
    found = rows(study(time, oral(time), route="oral"))
    assert found.loc["cl/F", "value"] == pytest.approx(1.1, rel=1e-4)
    assert found.loc["vz/F", "value"] == pytest.approx(20, rel=1e-3)
    assert found.loc["mrt", "value"] == pytest.approx(20 / 1.1 + 1 / 1.5, rel=1e-3)
    assert not {"cl", "vz"} & set(found.index)
    assert found.loc["vss", "reason"] == "needs a bolus or an infusion into the blood"


@pytest.mark.parametrize(
    ("time", "value", "columns", "parameter", "reason"),
    [
        ((1, 2), ("<1", "<1"), {}, "cmax", "no quantifiable value"),
        ((1, 2), ("<1", "<1"), {}, "auc_last", "no quantifiable value"),
        ((1, 2), (2, 1), {}, "half_life", "2 quantifiable values from Cmax on, lambda_z needs 3"),
        ((1, 2), (2, 1), {}, "cl", "2 quantifiable values from Cmax on, lambda_z needs 3"),
        ((0, 1, 2), (4, 2, 1), {"unit": "nmol/L"}, "cl", "dose in mg over values in nmol/L is no volume"),
        ((0, 1, 2), (4, 2, 1), {"unit": "mg"}, "vz", "dose in mg over values in mg is no volume"),
    ],
)
def test_n8_what_cannot_be_had_has_its_reason(time, value, columns, parameter: str, reason: str) -> None:
    row = rows(study(time, value, **columns)).loc[parameter]
    assert math.isnan(row["value"])
    assert row["reason"] == reason


def test_n8_an_untreated_subject_has_what_needs_no_dose() -> None:
    table = nca(study((1, 2, 3, 4), (4, 2, 1, 0.5), dose=0, route="")).set_index("parameter")
    assert table.loc["half_life", "value"] == pytest.approx(1)
    assert set(table["dose"]) == {""}
    assert "cl" not in table.index
    assert any("without a dose" in note for note in nca(study((1, 2), (4, 2), dose=0, route="")).attrs["notes"])


# ---- N10: codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "duration", "codes"),
    [
        ("iv", "0 h", {"mrt": "MRTIVIFO", "cl": "CLO", "vz": "VZO", "vss": "VSSO", "c0": "C0"}),
        ("iv", "1 h", {"mrt": "MRTIVIFO", "cl": "CLO", "vz": "VZO", "vss": "VSSO"}),
        ("oral", "0 h", {"mrt": "MRTEVIFO", "cl/F": "CLFO", "vz/F": "VZFO"}),
    ],
)
def test_n10_codes_of_cdisc_by_the_route(route: str, duration: str, codes: dict[str, str]) -> None:
    everywhere = {"auc_last": "AUCLST", "auc_inf_obs": "AUCIFO", "cmax": "CMAX", "tmax": "TMAX", "half_life": "LAMZHL"}
    found = dict(rows(study((1, 2, 4, 8), bolus((1, 2, 4, 8)), route=route, duration=duration))["code"])
    assert everywhere | codes == {name: found[name] for name in (everywhere | codes)}


def test_n10_a_partial_area_has_the_code_of_partial_areas() -> None:
    assert rows(CASE, periods=["0-5 h"]).loc["auc_0_5h", "code"] == "AUCINT"


# ---- units, weights, replicates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "factor", "volume"), [("mg/L", 1, "L"), ("ng/mL", 1e3, "mL"), ("ug/mL", 1, "mL"), ("mg/dL", 0.1, "dL")]
)
def test_clearance_is_in_the_volume_of_the_values(unit: str, factor: float, volume: str) -> None:
    found = rows(study(SAMPLES, factor * bolus(SAMPLES), unit=unit))
    assert found.loc["cl", "unit"] == f"{volume}/h"
    assert found.loc["cl", "value"] * {"L": 1, "mL": 1e-3, "dL": 0.1}[volume] == pytest.approx(5)
    assert found.loc["auc_last", "unit"] == f"{unit}*h"


def test_t4_a_dose_per_body_weight_counts_as_what_was_given() -> None:
    per_kg = study(SAMPLES, bolus(SAMPLES), dose=5, dose_unit="mg/kg", weight=20, weight_unit="kg")
    assert values(per_kg)["cl"] == pytest.approx(5)


def test_t1_viable_cells_are_the_dose_and_both_amounts_are_kept() -> None:
    cells = {"unit": "cells/mL", "dose": 1e6, "dose_unit": "cells"}
    found = rows(study((0, 1, 2), (400, 200, 100), viability=0.8, **cells))
    assert found.loc["dose_viable", "value"] == 8e5
    assert found.loc["dose_total", "value"] == 1e6
    assert found.loc["cl", "value"] == pytest.approx(8e5 / found.loc["auc_inf_obs", "value"])
    plain = rows(study((0, 1, 2), (400, 200, 100), **cells))
    assert plain.loc["dose", "value"] == 1e6
    assert "viable fraction is not stated" in plain.loc["dose_total", "reason"]


def test_replicates_are_averaged() -> None:
    given = study((1, 1, 2, 2, 3, 3), (3, 5, 2, "<1", "<1", "<1"), replicate=[1, 2] * 3, route="oral")
    found = values(given, areas="linear")
    assert (found["cmax"], found["clast"], found["tlast"]) == (4, 1.25, 2)


def test_units_of_one_dimension_are_made_one_and_others_refused() -> None:
    mixed = study((1, 2, 3), (4, 2000, 1), unit=["mg/L", "ng/mL", "mg/L"], route="oral")
    assert values(mixed)["auc_last"] == pytest.approx(values(study((1, 2, 3), (4, 2, 1), route="oral"))["auc_last"])
    with pytest.raises(DataError, match=r"'plasma' of subject 'S1' is in mg/L and in nmol/L.*one unit for each output"):
        nca(study((1, 2), (4, 2), unit=["mg/L", "nmol/L"]))
    with pytest.raises(DataError, match=r"is in %ID and in cells"):
        nca(study((1, 2), (4, 2), unit=["%ID", "cells"], dose_unit="cells"))


def test_t5_assays_of_one_output_are_apart() -> None:
    both = study((1, 1, 2, 2), (4, 40, 2, 20), method=["qPCR", "flow"] * 2)
    table = nca(both)
    assert dict(table[table["parameter"] == "cmax"].set_index("assay")["value"]) == {"qPCR": 4, "flow": 40}


def test_a_route_by_number_is_said_to_be_extravascular() -> None:
    given = study(SAMPLES, bolus(SAMPLES), route="1")
    assert "route '1' counts as extravascular" in nca(given).attrs["notes"][0]
    assert values(given, intravascular=["1"])["cl"] == pytest.approx(5)


def test_doses_at_one_time_are_one_dose() -> None:
    frame = pd.DataFrame(
        {"subject": "S1", "time": SAMPLES, "output": "plasma", "value": bolus(SAMPLES), "unit": "mg/L"}
    )
    doses = pd.DataFrame(
        {"subject": "S1", "time": [0, 0], "dose": [60, 40000], "dose_unit": ["mg", "ug"], "route": "iv"}
    )
    assert values(study_from_frame(frame, doses, time_unit="h"))["cl"] == pytest.approx(5)
    doses["route"] = ["iv", "oral"]
    assert values(study_from_frame(frame, doses, time_unit="h"))["cl/F"] > 0


def test_cells_and_a_drug_together_have_no_amount_and_no_clearance() -> None:
    time = [*SAMPLES, 26, 30, 40]
    frame = pd.DataFrame({"subject": "S1", "time": time, "output": "plasma", "value": bolus(time), "unit": "mg/L"})
    doses = {"subject": "S1", "dose": [100, 1e6], "dose_unit": ["mg", "cells"], "route": "iv"}
    together = rows(study_from_frame(frame, pd.DataFrame({**doses, "time": [0, 0]}), time_unit="h"))
    assert together.loc["dose", "reason"] == "doses of several kinds have no amount together"
    assert together.loc["cl", "reason"] == "dose in mg and cells over values in mg/L is no volume"
    apart = study_from_frame(frame, pd.DataFrame({**doses, "time": [0, 25]}), time_unit="h")
    assert values(apart, "1")["cl"] == pytest.approx(5)
    assert rows(apart, "all").loc["dose", "reason"] == "doses of several kinds have no amount together"
    assert "differ in amount" in rows(apart, "2").loc["accumulation_cmax", "reason"]


def test_n8_a_number_that_is_not_finite_is_no_value() -> None:
    zero = Metric("area", 0.0, "h")
    assert derived("rate", "1/h", "1/area", lambda a: 1 / a, zero).reason == "no finite value from area"


# ---- several doses ---------------------------------------------------------------------------------------------------


def repeated(n: int, interval: float = 12.0, until: float = 120.0, step: float = 2.0):
    """Boluses of 100 mg, superposed."""
    time = np.arange(0, until, step)
    value = sum(np.where(time >= k * interval, bolus(time - k * interval), 0) for k in range(n))
    return study(time, value, every=f"{interval} h", doses=n)


def test_intervals_of_several_doses() -> None:
    given = repeated(3)
    first, last = values(given, "1"), values(given, "3")
    assert first["tau"] == last["tau"] == 12
    assert first["auc_tau"] == pytest.approx(20 * (1 - math.exp(-1.2)))
    assert first["cavg"] == pytest.approx(first["auc_tau"] / 12)
    grown = sum(math.exp(-1.2 * k) for k in range(3))
    assert last["accumulation_auc"] == pytest.approx(grown)
    assert last["accumulation_cmax"] == pytest.approx(grown)
    assert first["cmin"] == first["ctrough"] == pytest.approx(2 * math.exp(-1))
    assert first["swing"] == pytest.approx(math.exp(1) - 1)
    assert first["fluctuation"] == pytest.approx(100 * (2 - first["cmin"]) / first["cavg"])
    assert first["cl"] == pytest.approx(5)


def test_earlier_doses_take_the_area_to_infinity_from_later_ones() -> None:
    found = rows(repeated(2), "2")
    assert "earlier doses still contribute" in found.loc["auc_inf_obs", "reason"]
    assert "steady_state=True" in found.loc["cl", "reason"]
    assert found.loc["half_life", "value"] == pytest.approx(math.log(2) / 0.1)


def test_a_dose_after_everything_is_gone_stands_alone() -> None:
    time = [0, 2, 4, 8, 90, 100, 102, 104, 108]
    given = study(time, [*bolus([0, 2, 4, 8]), "<0.01", *bolus([0, 2, 4, 8])], every="100 h", doses=2)
    assert values(given, "2")["cl"] == pytest.approx(5)


def test_at_a_declared_steady_state_clearance_is_dose_over_auctau() -> None:
    time = np.array([0, 1, 2, 4, 6, 8, 10, 12.0])
    steady = bolus(time) / (1 - math.exp(-1.2))
    found = values(study(time, steady), tau="12 h", steady_state=True)
    assert found["cl"] == pytest.approx(5, rel=1e-12)
    assert found["auc_tau"] == pytest.approx(20, rel=1e-12)
    assert found["mrt"] == pytest.approx(10, rel=1e-12)
    assert found["vss"] == pytest.approx(50, rel=1e-12)
    assert found["vz"] == pytest.approx(50, rel=1e-12)


def test_the_interval_is_completed_with_the_terminal_phase_and_says_so() -> None:
    row = rows(repeated(3), "3", tau="200 h").loc["auc_tau"]
    assert row["method"].endswith("after tlast with lambda_z")
    steady = values(study((0, 2, 4, 8), bolus((0, 2, 4, 8))), tau="12 h", steady_state=True)
    assert steady["auc_tau"] == pytest.approx(20 * (1 - math.exp(-1.2)))
    assert steady["mrt"] == pytest.approx(10)


def test_unequal_doses_and_intervals_have_their_reasons() -> None:
    frame = pd.DataFrame({"subject": "S1", "time": np.arange(1, 61, 4.0), "output": "plasma", "unit": "mg/L"})
    frame["value"] = bolus(frame["time"] % 20)
    doses = pd.DataFrame(
        {"subject": "S1", "time": [0, 20, 48], "dose": [100, 100, 50], "dose_unit": "mg", "route": "iv"}
    )
    found = rows(study_from_frame(frame, doses, time_unit="h"), "3")
    assert "doses are not equally spaced; state tau" in found.loc["auc_tau", "reason"]
    assert "differ in amount" in found.loc["accumulation_auc", "reason"]


def test_a_sample_at_the_time_of_a_later_dose_ends_the_interval_unless_it_is_a_bolus() -> None:
    time = [0, 4, 8, 12, 16, 20, 24]
    swallowed = study(time, [0, 4, 2, 1, 4.5, 2.5, 1.2], route="oral", every="12 h", doses=2)
    assert values(swallowed, "1", areas="linear")["auc_tau"] == pytest.approx(8 + 12 + 6)
    assert values(swallowed, "1")["ctrough"] == 1
    assert values(repeated(2), "1")["ctrough"] == pytest.approx(2 * math.exp(-1))


def test_a_later_dose_without_any_value_before_it_has_no_area() -> None:
    given = study((16, 18, 20, 24), (4, 2, 1, 0.5), route="oral", every="12 h", doses=2)
    assert "earlier doses were given" in rows(given, "2").loc["auc_last", "reason"]


def test_the_lowest_value_below_a_limit_has_its_reason() -> None:
    given = study((0, 2, 6, 10, 14, 18, 22), ("<1", 8, 4, "<1", 8, 4, 2), route="oral", every="12 h", doses=2)
    found = rows(given)
    assert found.loc["cmin", "reason"] == "a value below its limit at 0 h after the dose"
    assert found.loc["ctrough", "reason"] == "the last value of the interval is below its limit"


def test_the_time_over_all_doses_has_its_own_rows() -> None:
    found = values(repeated(3), "all")
    assert found["dose"] == 300
    assert found["auc_inf_obs"] == pytest.approx(60, rel=1e-9)
    assert found["cmax"] == pytest.approx(2 * sum(math.exp(-1.2 * k) for k in range(3)))
    assert found["tmax"] == 24
    assert "cl" not in found


def test_doses_without_samples_are_one_curve_and_it_says_so() -> None:
    given = study((1, 5, 60, 70, 80), (4, 2, 4, 2, 1), every="24 h", doses=3)
    assert "not every one has values" in rows(given, "all").loc["auc_last", "method"]


def test_a_steady_state_has_no_area_of_one_dose_to_infinity() -> None:
    found = rows(study(SAMPLES, bolus(SAMPLES)), steady_state=True)
    assert found.loc["auc_inf_obs", "reason"].startswith("earlier doses still contribute at steady state")
    assert "state tau" in found.loc["cl", "reason"]
    assert "state tau" in found.loc["mrt", "reason"]


def test_a_value_at_the_time_of_a_later_dose_says_what_was_left_of_the_earlier_ones() -> None:
    given = study((0, 4, 12, 14, 18, 22, 26), ("<1", 4, "<1", 4, 2, 1, 0.5), route="oral", every="12 h", doses=2)
    assert rows(given, "2").loc["cl/F", "value"] > 0
    given = study((12, 14, 18, 22), (2, 4, 2, 1), route="oral", every="12 h", doses=2)
    assert "earlier doses" in rows(given, "2").loc["cl/F", "reason"]


def test_occasions_whose_times_begin_anew_are_profiles_of_their_own() -> None:
    crossed = study([0, 2, 4] * 2, [4, 2, 1, 8, 4, 2], occasion=[1] * 3 + [2] * 3)
    table = nca(crossed)
    assert list(table[table["parameter"] == "cmax"][["occasion", "value"]].itertuples(index=False, name=None)) == [
        ("1", 4), ("2", 8)
    ]  # fmt: skip
    going_on = study([0, 2, 4, 24, 26, 28], [4, 2, 1, 4, 2, 1], occasion=[1] * 3 + [2] * 3, every="24 h", doses=2)
    assert set(nca(going_on)["occasion"]) == {""}


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"areas": "log"}, UsageError, "areas = 'log'; expected 'linear_up_log_down' or 'linear'"),
        ({"blq": "zero"}, UsageError, "blq = 'zero'; expected 'drop' or 'half'"),
        ({"sampling": "dense"}, UsageError, "sampling = 'dense'; expected 'auto' or 'serial' or 'sparse'"),
        ({"time_unit": "mg"}, UnitError, "time_unit = 'mg' is no time"),
        ({"time_unit": "dayz"}, UnitError, "unknown unit 'dayz'"),
        ({"tau": "12"}, UnitError, "'12' has no unit"),
        ({"tau": "0 h"}, UsageError, "tau = '0 h'; expected an interval above 0"),
        ({"periods": ["24-0 h"]}, UsageError, "period '24-0 h'; expected a start, a later end and a unit"),
        ({"periods": ["0-24"]}, UsageError, "period '0-24'"),
        ({"periods": ["0-1..2 h"]}, UsageError, "period '0-1..2 h'"),
        ({"periods": ["0-24 mg"]}, UnitError, "mg is no time"),
        ({"periods": "0-24 h"}, UsageError, r"periods=\['0-24 h'\]"),
        ({"by": ["arm"]}, UnknownName, "by: unknown column 'arm'"),
        ({"cells": ["plasm"]}, UnknownName, "unknown output 'plasm'.*'plasma'"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        nca(CASE, **options)


def test_what_is_no_study_is_refused() -> None:
    with pytest.raises(UsageError, match=r"nca of DataFrame; expected a study. Try: msc.nca\(msc.read_study"):
        nca(pd.DataFrame())


def test_weights_of_a_linear_area_reach_into_steps() -> None:
    time, value = np.array([0.0, 2, 4, 8]), np.array([1.0, 3, 2, 1])
    weights = trapezoid_weights(time, 1, 6)
    assert weights @ value == pytest.approx(0.5 * (2 + 3) + 5 + 2 * (2 + 1.5) / 2)


# ---- a part of the study ---------------------------------------------------------------------------------------------


def _two_routes() -> Study:
    shared = {"time": [1, 2, 4, 8], "value": [8, 6, 4, 2], "unit": "mg/L", "dose": "100 mg"}
    parts = [("S1", "plasma", "iv"), ("S1", "csf", "iv"), ("S2", "plasma", "sc")]
    frames = [pd.DataFrame(shared | {"subject": s, "output": o, "route": r}) for s, o, r in parts]
    return study_from_frame(pd.concat(frames), time_unit="h")


def test_outputs_and_routes_choose_profiles() -> None:
    """The rows of a part are those of the whole."""
    whole = nca(_two_routes())
    part = nca(_two_routes(), outputs=["plasma"], routes=["intravenous"])
    wanted = whole[(whole["output"] == "plasma") & (whole["subject"] == "S1")].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, wanted, check_like=False)
    assert part.attrs["rules"]["analysed"] == "outputs: plasma; subjects dosed by: iv"
    assert whole.attrs["rules"]["analysed"] == "outputs: all; subjects dosed by: any route"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ["plasm"]}, "outputs: unknown output 'plasm'. Try: 'plasma'"),
        ({"routes": ["im"]}, "routes: unknown route 'im'"),
        ({"outputs": "plasma"}, r"outputs = 'plasma'; expected several texts. Try: outputs=\['plasma'\]"),
        ({"outputs": ["csf"], "routes": ["sc"]}, "nothing is left of csf, sc; expected values of subjects dosed by"),
    ],
)
def test_a_part_that_is_none_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, UnknownName), match=message):
        nca(_two_routes(), **options)


def test_subjects_with_other_routes_beside_are_left_out_and_named() -> None:
    doses = pd.DataFrame(
        {"subject": ["A", "A", "B"], "time [h]": [0, 24, 0], "dose": "1 mg", "route": ["iv", "sc", "iv"]}
    )
    frame = pd.DataFrame({"subject": ["A", "B"], "time [h]": 1, "output": "drug", "value": 2, "unit": "mg/L"})
    table = nca(study_from_frame(frame, doses), routes=["iv"])
    assert set(table["subject"]) == {"B"}
    assert table.attrs["notes"] == ["left out, because of doses by other routes beside: A"]


# ---- doses whose duration only a model knows (E7, E8) ----------------------------------------------------------------


@pytest.mark.parametrize("rate", [-1, -2])
def test_a_modelled_duration_is_an_infusion_of_unknown_length(rate: int) -> None:
    """N3, N5, N7: it begins at 0, its largest value is no terminal phase, and MRT and Vss have a reason."""
    times = np.array([1.0, 2, 4, 8, 12, 24])
    dose = {"TIME [h]": 0, "EVID": 1, "AMT [mg]": 100, "RATE": rate}
    seen = [{"TIME [h]": t, "EVID": 0, "DV [mg/L]": c} for t, c in zip(times, infused(times, 2.0), strict=True)]
    frame = pd.DataFrame([dose, *seen]).assign(ID=1, CMT="iv")
    modelled = rows(study_from_frame(frame, outputs="drug"))
    stated = rows(study_from_frame(frame.assign(RATE=frame["RATE"].replace(rate, 50)), outputs="drug"))
    same = ["cmax", "auc_last", "auc_inf_obs", "lambda_z", "cl", "vz", "code"]
    assert dict(modelled["value"].reindex(same).dropna()) == pytest.approx(dict(stated["value"].reindex(same).dropna()))
    assert list(modelled["code"]) == list(stated["code"])
    untimed = "RATE -1 or -2: the duration of the infusion is not in the table"
    assert modelled.loc["mrt", "reason"] == modelled.loc["vss", "reason"] == untimed
    notes = nca(study_from_frame(frame, outputs="drug")).attrs["notes"]
    assert f"{untimed}: values count as after it from the largest on" in notes
    steady = rows(study_from_frame(frame, outputs="drug"), tau="24 h", steady_state=True)
    assert steady.loc["mrt", "reason"] == untimed


# ---- what an event table says about the time before a dose (E21, E27, E28, E32) -----------------------------


def _events(*rows: dict[str, float]) -> Study:
    ordered = sorted(rows, key=lambda row: row["TIME"])
    return study_from_frame(pd.DataFrame(ordered).assign(ID=1, CMT="iv"), outputs="drug", unit="mg/L", time_unit="h",
                            amount_unit="mg")  # fmt: skip


def _seen(times: Sequence[float], factor: float = 1.0) -> list[dict[str, float]]:
    return [{"TIME": t, "EVID": 0, "DV": factor * float(bolus([t % 12])[0])} for t in times]


def test_ss_1_declares_the_steady_state_of_its_dose_and_of_those_that_keep_it_up() -> None:
    """E21, N7: CL is dose/AUCtau; nothing is said to infinity."""
    factor = 1 / (1 - math.exp(-1.2))
    first = {"TIME": 0, "EVID": 1, "AMT": 100, "SS": 1, "II": 12}
    study_ = _events({**first, "ADDL": 1}, *_seen((0, 2, 4, 8, 11, 12, 14, 16, 20, 23), factor))
    for dose in ("1", "2"):
        found = rows(study_, dose)
        assert found.loc["cl", "value"] == pytest.approx(5, rel=1e-4)
        assert found.loc["mrt", "value"] == pytest.approx(10, rel=1e-4)
        assert found.loc["auc_tau", "value"] == pytest.approx(20, rel=1e-4)
        assert found.loc["auc_inf_obs", "reason"].startswith("earlier doses still contribute at steady state")
    note = "SS 1: the interval after such a dose is taken as one at steady state (E21)"
    assert note in nca(study_).attrs["notes"]
    other = _events(first, {**first, "TIME": 12, "SS": 0, "II": 0, "AMT": 50}, *_seen((0, 2, 4, 8, 14, 16, 20), factor))
    assert rows(other, "2").loc["cl", "reason"].startswith("earlier doses still contribute (the value before")


def test_ss_2_says_that_other_doses_contribute() -> None:
    """E28: what is added to them is no steady state by itself."""
    found = rows(_events({"TIME": 0, "EVID": 1, "AMT": 100, "SS": 2, "II": 12}, *_seen((0, 2, 4, 8, 11))))
    assert found.loc["cl", "reason"].startswith("earlier doses still contribute (the value before")


def test_an_endless_infusion_that_stops_is_no_dose() -> None:
    """E27: values after it belong to no dose, and the table says so."""
    table = nca(_events({"TIME": 0, "EVID": 1, "AMT": 0, "SS": 1, "RATE": 10}, *_seen((0, 2, 4, 8))))
    assert set(table["dose"]) == {""}
    assert any("(SS 1 without AMT, E27) is no dose" in note for note in table.attrs["notes"])


def test_a_reset_begins_a_new_curve() -> None:
    """E32, E33: nothing from before it contributes; an observation before it at its time belongs to the first."""
    dose, again = {"TIME": 0, "EVID": 1, "AMT": 100}, {"TIME": 11, "EVID": 4, "AMT": 200}
    later = [{**row, "TIME": row["TIME"] + 11, "DV": 2 * row["DV"]} for row in _seen((0, 2, 4, 8))]
    table = nca(_events(dose, *_seen((0, 2, 4, 8, 11)), again, *later))
    found = table[table["dose"] == "1"].set_index(["occasion", "parameter"])["value"]
    for episode in ("episode 1", "episode 2"):
        assert found[episode, "cl"] == pytest.approx(5)
        assert found[episode, "mrt"] == pytest.approx(10)
    assert (found["episode 1", "tlast"], found["episode 2", "tlast"]) == (11, 8)
    only = nca(_events(dose, *_seen((0, 2, 4)), {"TIME": 5, "EVID": 3}, {"TIME": 6, "EVID": 0, "DV": 0}))
    assert set(only["occasion"]) == {"episode 1", "episode 2"}
    assert not (only["value"].isna() & (only["reason"] == "")).any()


def test_a_spread_beyond_all_bounds_is_a_spread() -> None:
    """N9: no error of arithmetic, whatever a table says."""
    found = rows(study((1, 2, 4), (5, 4, 3), stat="mean", sd=1e300, n=4))
    assert found.loc["auc_last", "value"] == pytest.approx((6.25 + 5) / 2 + 4.5 + 7)


def test_what_gives_nothing_is_no_dose() -> None:
    """E32, E36, E38: resets, events with names and phantoms are no doses of an analysis; those that act are said."""
    text = "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n1 1 0 . iv 8\n1 2 {} . iv .\n"
    text += "1 4 0 . iv 4\n1 8 0 . iv 2\n1 12 0 . iv 1"
    units = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
    plain = nca(study_from_frame(frame(text.replace("1 2 {} . iv .\n", "")), **units))
    phantom = nca(study_from_frame(frame(text.format("phantom")), **units))
    assert phantom["value"].tolist() == pytest.approx(plain["value"].tolist(), nan_ok=True)
    acted = text.replace("1 2 {} . iv .", "1 2 replace 5 central .")
    table = nca(study_from_frame(frame(acted), **units))
    assert table["value"].tolist() == pytest.approx(plain["value"].tolist(), nan_ok=True)
    assert any(note.startswith("'replace' is no dose (E36)") for note in table.attrs["notes"])
    untreated = nca(study_from_frame(frame(text.replace("1 100", "3 .").format("phantom")), **units))
    assert "subjects without a dose: times count from 0" in untreated.attrs["notes"]
