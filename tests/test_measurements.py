"""How cells and their doses are measured: rules T1 to T9, B14 and D15 of the data."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mscpkpd.data import Study, read_study, study_from_frame
from mscpkpd.data.assays import HALF_LIVES, assay_unit, decay_factor, half_life_of, limit_of_tissue
from mscpkpd.errors import DataError, MscError, UnitError, UsageError
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model
from mscpkpd.noncompartmental import nca
from mscpkpd.observations import bind
from mscpkpd.units import same_dimension

BASE = {"subject": "M1", "time": 2, "output": "lung_cells", "value": 5, "unit": "cells", "dose": "1e6 cells",
        "route": "iv"}  # fmt: skip


def study(*rows: dict[str, Any], organ_mass: dict[str, str] | None = None, **columns: Any) -> Study:
    """Rows of one mouse in hours; all else has a default."""
    frame = pd.DataFrame([{**BASE, **columns, **row} for row in rows or ({},)])
    return study_from_frame(frame, time_unit="h", organ_mass=organ_mass)


def again(found: Study, tmp_path) -> Study:
    """The study saved and read."""
    found.save(tmp_path / "again.csv")
    return read_study(tmp_path / "again.csv")


@cache
def mouse_model() -> Model:
    return load_model("two_functional_compartments", values="mouse")


@pytest.fixture
def mouse() -> Model:
    return mouse_model()


def bound(model: Model, found: Study) -> list[float]:
    return list(bind(model, found)[0].value)


# ---- T5: each assay keeps its own unit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("copies/ug DNA", "copies/ug"),  # qPCR
        ("copies/ug genomic DNA", "copies/ug"),
        ("cells/uL", "cells/uL"),  # flow cytometry
        ("cells per mg tissue", "cells/mg"),  # digital PCR
        ("photons/s/cm2/sr", "photons/s/cm2/sr"),  # bioluminescence
        ("p/s/cm²/sr", "photons/s/cm2/sr"),
        ("photons/sec/cm2/sr", "photons/s/cm2/sr"),
        ("%ID/g", "%ID/g"),  # radiolabel
        ("% injected dose per gram", "%ID/g"),
        ("percent of dose", "%ID"),
        ("cells/section", "cells/section"),  # histology
        ("kBq", "kBq"),
    ],
)
def test_t5_units_of_assays(written: str, kept: str) -> None:
    """T5: the unit is kept as it is, without what was weighed."""
    assert study(unit=written).records[0].unit == kept


def test_t5_a_section_is_no_square_mile() -> None:
    assert not same_dimension("cells/section", "cells/m2")


def test_t5_a_signal_becomes_cells_only_through_its_calibration(mouse: Model, tmp_path) -> None:
    signal = {"unit": "photons/s/cm2/sr", "value": 6e5, "method": "BLI"}
    with pytest.raises(DataError, match=r"cannot turn photons/s/cm2/sr into cells"):
        bound(mouse, study(signal))
    calibrated = study(signal, calibration="120 photons/s/cm2/sr/cell")
    assert calibrated.records[0].unit == "photons/s/cm2/sr"
    assert bound(mouse, calibrated) == [5000.0]
    assert again(calibrated, tmp_path).digest == calibrated.digest
    by_thousand = study(signal, calibration="120e3 photons/s/cm2/sr/kcell")
    assert bound(mouse, by_thousand) == pytest.approx([5000.0])


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (
            "120",
            r"^frame: row 2, column 'calibration': '120' has no unit \(T5\)\. Try: a header such as 'calibration \[",
        ),
        ("0 photons/cell", r"^frame: row 2, column 'calibration': '0 photons/cell'; expected a number above 0"),
        ("2 fotons/cell", r"^frame: row 2, column 'calibration': unknown unit 'fotons/cell'; expected a unit of meas"),
        ("many", r"^frame: row 2, column 'calibration': 'many' is not a number\. Try: NA for a missing value$"),
    ],
)
def test_a_calibration_that_is_none(calibration: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        study(calibration=calibration)


def test_a_calibration_of_something_else_is_refused(mouse: Model) -> None:
    message = (
        r"frame row 2: calibration in copies/cell does not turn photons/s into cells \(T5\); expected photons/s for"
    )
    with pytest.raises(DataError, match=message):
        bound(mouse, study(unit="photons/s", calibration="3 copies/cell"))


# ---- T6: decay -------------------------------------------------------------------------------------------------------


@given(st.floats(-50, 50), st.sampled_from(sorted(HALF_LIVES)))
def test_t6_correction_undoes_decay(half_lives: float, nuclide: str) -> None:
    """T6: 2^((t - t0)/half-life)."""
    hours = half_lives * HALF_LIVES[nuclide]
    left = 100 * math.exp(-math.log(2) * half_lives)
    assert left * decay_factor(hours, HALF_LIVES[nuclide]) == pytest.approx(100)


def test_t6_an_uncorrected_value_is_corrected_once(tmp_path) -> None:
    """T6: value, limits and spread alike; saved and read again it stays as it is."""
    half_life = {"half_life": "67.313 h", "decay_corrected": "no", "unit": "%ID"}
    raw = study({"value": 10, "time": 67.313}, {"value": "<2", "time": 134.626}, **half_life)
    assert [record.value for record in raw.records] == pytest.approx([20, 8])
    assert raw.records[1].upper == pytest.approx(8)
    assert {record.decay for record in raw.records} == {"corrected here"}
    saved = again(raw, tmp_path)
    assert {record.decay for record in saved.records} == {"corrected"}
    assert saved.digest == raw.digest
    mean = study(stat="mean", sd=1, n=4, value=10, time=67.313, **half_life).records[0]
    assert (mean.value, mean.sd) == pytest.approx((20, 2))


def test_t6_the_reference_time_is_stated_or_that_of_the_dose() -> None:
    shared = {"value": 10, "unit": "kBq", "decay_corrected": "no", "half_life": "6 h", "time": 12}
    assert study(**shared).records[0].value == 40
    assert study(**shared, dose_time="6 h").records[0].value == 20
    assert study(**shared, dose_time="6 h", decay_reference="12 h").records[0].value == 10
    assert study(**shared | {"decay_corrected": "yes"}).records[0].value == 10


@pytest.mark.parametrize("written", ["In-111", "111In", "in111", "¹¹¹In".replace("¹¹¹", "111")])
def test_t6_nuclides_have_their_half_life(written: str) -> None:
    assert half_life_of(written) == 67.313
    raw = study(value=10, time=67.313, unit="%ID", decay_corrected="no", nuclide=written)
    assert raw.records[0].value == pytest.approx(20)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"half_life": "6 h"},
            (
                "row 2, column 'decay_corrected': not stated beside a half-life or a nuclide (T6); expected yes or no. "
                "Try: no: it is corrected here, once"
            ),
        ),
        (
            {"decay_corrected": "perhaps"},
            "row 2, column 'decay_corrected': 'perhaps' (T6); expected yes or no. Try: no: it is corrected here, once",
        ),
        (
            {"decay_corrected": "no"},
            (
                "row 2, column 'decay_corrected': no, and no half-life is stated (T6). "
                "Try: a column 'half_life [h]', or 'nuclide' with a name such as In-111"
            ),
        ),
        (
            {"decay_corrected": "no", "half_life": "2 min", "time": 3},
            (
                "row 2, column 'time': more than 50 half-lives from the reference time (T6). "
                "Try: the half-life and its unit; decay_corrected yes if it is"
            ),
        ),
        (
            {"decay_corrected": "no", "half_life": "6"},
            "row 2, column 'half_life': '6' has no unit. Try: a header such as 'half_life [h]'",
        ),
        (
            {"decay_corrected": "no", "half_life": "0 h"},
            "row 2, column 'half_life': '0 h'; expected a number above 0. Try: NA if it is not known",
        ),
    ],
)
def test_t6_what_cannot_be_corrected_is_named(columns: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        study(unit="%ID", **columns)
    assert str(caught.value) == f"frame: {message}"


def test_t6_an_unknown_nuclide_is_named() -> None:
    with pytest.raises(
        DataError, match=r"column 'nuclide': no half-life of 'In-112' is known; expected one of C-11, .*Try"
    ):
        study(unit="%ID", decay_corrected="no", nuclide="In-112")
    with pytest.raises(UnitError, match="Try: the column 'half_life"):
        half_life_of("unobtainium")


def test_activity_becomes_cells_through_the_activity_of_the_dose(mouse: Model, tmp_path) -> None:
    """T5, T6: a measured factor, where both are corrected to the same time."""
    shared = {"value": 30, "unit": "kBq", "dose_activity": "0.1 MBq"}
    found = study(**shared, decay_corrected="yes")
    assert bound(mouse, found) == pytest.approx([0.3 * 1e6])
    assert again(found, tmp_path).digest == found.digest
    for columns, message in (
        (shared, r"kBq without saying whether it is decay-corrected \(T6\)"),
        (shared | {"decay_corrected": "yes", "dose_activity": None}, r"only through the activity of the dose \(T5\)"),
        (shared | {"decay_corrected": "yes", "dose_time": "4 h"}, "at a time before any dose"),
    ):
        with pytest.raises(DataError, match=message):
            bound(mouse, study(**columns))


# ---- T7: mass of the organ -------------------------------------------------------------------------------------------


def test_t7_percent_per_gram_is_read_and_analysed_as_it_is() -> None:
    """T5 and T7: without a mass the values stand, and nothing is recovered of a dose."""
    found = study(*({"time": t, "value": 8 / t} for t in (1, 2, 4, 8)), unit="%ID/g")
    table = nca(found).set_index("parameter")
    assert table.loc["cmax", "unit"] == "%ID/g"
    assert "(T7)" in table.loc["recovery", "reason"]


@pytest.mark.parametrize("how", ["column", "by output", "by organ"])
def test_t7_percent_per_gram_becomes_cells_with_the_mass(mouse: Model, how: str, tmp_path) -> None:
    """T7: 5 %ID/g in 0.2 g are 1 % of a million cells."""
    columns = {"organ_mass [mg]": 200} if how == "column" else {}
    masses = {"by output": {"lung_cells": "0.2 g"}, "by organ": {"lung": "200 mg"}}.get(how)
    found = study(unit="%ID/g", organ="lung", organ_mass=masses, **columns)
    assert bound(mouse, found) == pytest.approx([1e4])
    assert again(found, tmp_path).digest == found.digest


def test_t7_cells_per_gram_become_cells_with_the_mass(mouse: Model) -> None:
    assert bound(mouse, study(unit="cells/mg", organ_mass={"lung_cells": "0.2 g"})) == pytest.approx([1000])


@pytest.mark.parametrize("unit", ["%ID/g", "cells/g", "cells/mg"])
def test_t7_the_mass_is_asked_for_by_name(mouse: Model, unit: str) -> None:
    with pytest.raises(DataError) as caught:
        bound(mouse, study(unit=unit, organ="lung"))
    assert str(caught.value) == (
        "study 'frame' with model 'two_functional_compartments': frame row 2: "
        f"{unit} of 'lung' needs the mass of 'lung' to be an amount of 'lung_cells' (T7). "
        "Try: a column 'organ_mass [g]', or organ_mass={'lung': '0.2 g'} in read_study"
    )


def test_t7_a_mass_is_above_zero() -> None:
    with pytest.raises(DataError, match=r"^frame: row 2, column 'organ_mass': '0 g'; expected a number above 0"):
        study(unit="%ID/g", **{"organ_mass [g]": "0 g"})
    with pytest.raises(UnitError, match="organ_mass of lung"):
        study(unit="%ID/g", organ_mass={"lung": "0.2"})
    with pytest.raises(
        UsageError, match=r"^organ_mass of 'lung' is 0 g; expected a mass above 0. Try: organ_mass={'lung'"
    ):
        study(unit="%ID/g", organ_mass={"lung": "0 g"})
    with pytest.raises(
        UsageError, match=r"^organ_mass = '0.2 g'; expected masses by organ or output. Try: organ_mass={"
    ):
        study(unit="%ID/g", organ_mass="0.2 g")


# ---- T8 and B14: limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "lower", "upper"),
    [
        ("ND", "left", None, 2),
        ("<LOD", "left", None, 2),
        ("not detected", "left", None, 2),
        ("DNQ", "interval", 2, 10),
        ("detected, not quantified", "interval", 2, 10),
        ("BLQ", "left", None, 10),
        ("<LLOQ", "left", None, 10),
        ("12", "value", None, None),
    ],
)
def test_b14_three_classes(value: str, kind: str, lower: float | None, upper: float | None, tmp_path) -> None:
    """B14: not detected, detected but not quantified, quantified; both limits stay with the record."""
    found = study(value=value, lod=2, lloq=10)
    record = found.records[0]
    assert (record.kind, record.lower, record.upper) == (kind, lower, upper)
    assert (record.lod, record.lloq) == (2, 10)
    assert again(found, tmp_path).digest == found.digest


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"value": "ND", "lloq": 10},
            "column 'value': 'ND' without lod (B14). Try: the limit of the assay in 'lod', or a value such as '<7.8'",
        ),
        (
            {"value": "DNQ"},
            (
                "column 'value': 'DNQ' without lloq and lod (B14). "
                "Try: the limit of the assay in 'lloq' and 'lod', or a value such as '<7.8'"
            ),
        ),
        (
            {"lod": 10, "lloq": 10, "value": 12},
            "column 'lod': lod 10 (B14); expected above 0 and below the lloq. Try: NA if it is not known",
        ),
        (
            {"value": "BLQ", "lloq": 10, "censoring": "right"},
            "column 'value': 'BLQ' with censoring right. Try: leave censoring blank",
        ),
    ],
)
def test_b14_limits_that_are_missing_or_exchanged(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        study(**columns)
    assert str(caught.value) == f"frame: row 2, {message}"


REACTION = {"value": "ND", "unit": "copies/mg", "lod_reaction": 5, "extract_volume": "100 uL",
            "reaction_volume": "5 uL", "tissue_mass": "25 mg", "recovery": 0.5}  # fmt: skip


def test_t8_a_limit_of_a_reaction_becomes_that_of_the_tissue() -> None:
    """T8: 5 copies * (100/5)/(25 mg * 0.5) = 8 copies/mg."""
    assert limit_of_tissue(5, 100, 5, 25, 0.5) == 8
    assert study(**REACTION).records[0].upper == 8
    assert study(**REACTION | {"unit": "copies/g"}).records[0].upper == pytest.approx(8000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"recovery": None},
            "without recovery (T8). Try: recovery of a spike is measured, never taken for 1",
        ),
        ({"tissue_mass": None}, "without tissue_mass (T8). Try: all five of them"),
        ({"lod": 3}, "a limit per reaction beside one per tissue (T8). Try: one of them"),
        (
            {"unit": "%ID"},
            (
                "a limit per reaction beside a value in %ID (T8); expected values such as copies/mg. "
                "Try: the limit in 'lod'"
            ),
        ),
    ],
)
def test_t8_nothing_is_taken_for_granted(change: dict[str, Any], message: str) -> None:
    """T8: the recovery is never silently 1."""
    columns = {name: value for name, value in {**REACTION, **change, "value": "<9"}.items() if value is not None}
    with pytest.raises(DataError) as caught:
        study(**columns)
    assert str(caught.value) == f"frame: row 2, column 'lod_reaction': {message}"


@pytest.mark.parametrize("recovery", [0, 1.2])
def test_t8_a_recovery_is_a_fraction(recovery: float) -> None:
    with pytest.raises(DataError, match=r"column 'recovery': .*expected a (fraction above 0|number from 0 to 1)"):
        study(**REACTION | {"recovery": recovery})


# ---- T1 to T4: doses -------------------------------------------------------------------------------------------------


def test_t1_both_amounts_are_kept_in_the_result_of_an_analysis() -> None:
    """T1: AMT counts total cells where the viable fraction is stated."""
    table = nca(study(*({"time": t, "value": 9 - t} for t in (1, 2, 4)), viability=0.8)).set_index("parameter")
    assert (table.loc["dose_total", "value"], table.loc["dose_viable", "value"]) == (1e6, 8e5)


def test_t2_the_viability_at_the_bedside_counts(tmp_path) -> None:
    found = study(viability=0.8, viability_thaw=0.95)
    assert found.subjects[0].regimen.doses[0].viable == 0.8
    assert found.subjects[0].property_of(0, "viability_thaw") == "0.95"
    assert found.notes == ()
    assert again(found, tmp_path).digest == found.digest


def test_t2_else_that_at_thaw_with_a_note(tmp_path) -> None:
    found = study(viability_thaw=0.95)
    assert found.subjects[0].regimen.doses[0].viable == 0.95
    note = "row 2: viable fraction 0.95 at thaw is used, none is stated at the bedside (T2)"
    assert found.notes == again(found, tmp_path).notes == (note,)


def test_t3_dose_properties_stay_with_their_dose(tmp_path) -> None:
    """T3, K9: each dose has its own."""
    doses = pd.DataFrame(
        {"subject": "M1", "time [h]": [168, 0], "dose": "1e6 cells", "route": "iv", "donor": ["D2", "D1"],
         "potency": ["90 IU", "120 IU"], "filter": ["200 um", None], "lot": ["L2", "L1"]}
    )  # fmt: skip
    frame = pd.DataFrame([{name: BASE[name] for name in ("subject", "output", "value", "unit")} | {"time [h]": 2}])
    found = study_from_frame(frame, doses)
    subject = found.subjects[0]
    assert [subject.property_of(k, "donor") for k in (0, 1)] == ["D1", "D2"]
    assert [subject.property_of(k, "potency") for k in (0, 1)] == ["120 IU", "90 IU"]
    assert [subject.property_of(k, "filter") for k in (0, 1)] == ["", "200 um"]
    assert again(found, tmp_path).digest == found.digest


def test_t4_vials_count_the_cells_in_them(tmp_path) -> None:
    """Issue of doses: three vials of 5e5 cells, of which a tenth stays in bag and line."""
    found = study(dose=3, dose_unit="vials", cells_per_vial=5e5, infusion_loss=0.1)
    dose = found.subjects[0].regimen.doses[0]
    assert (dose.amount, dose.unit) == (1.35e6, "cells")
    assert dict(found.subjects[0].properties[0]) == {"cells_per_vial": "500000", "infusion_loss": "0.1", "vials": "3"}
    frame = found.to_frame()
    assert frame.loc[0, "dose"] == 1.5e6, "what was stated, so that the loss counts once"
    assert again(found, tmp_path).digest == found.digest


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"dose": 3, "dose_unit": "vials"},
            "column 'dose': '3' vials of unknown content. Try: a column 'cells_per_vial'",
        ),
        (
            {"infusion_loss": 1.5},
            "column 'infusion_loss': '1.5'; expected a number from 0 to 1. Try: 0.9 for 90 %",
        ),
        (
            {"viability_thaw": 95},
            "column 'viability_thaw': '95'; expected a number from 0 to 1. Try: 0.9 for 90 %",
        ),
        (
            {"infusion_loss": 1},
            "column 'infusion_loss': the whole dose is lost; expected below 1. Try: dose 0 for no dose",
        ),
        (
            {"dose_activity": "12"},
            "column 'dose_activity': '12' has no unit. Try: a header such as 'dose_activity [MBq]'",
        ),
    ],
)
def test_properties_that_are_impossible(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        study(**columns)
    assert f"row 2, {message}" in str(caught.value)


# ---- T9: samples -----------------------------------------------------------------------------------------------------


def test_t9_the_study_knows_how_it_was_sampled() -> None:
    """T9: destructive, serial and batch designs, replicates, pools, samples that two assays share."""
    destructive = [
        {"subject": f"D{k}", "time": t, "output": organ, "method": "qPCR", "sample": organ, "pooled": 2}
        for k, t in enumerate((1, 4, 24))
        for organ in ("lung_cells", "liver_cells")
    ]
    shared = [row | {"method": "flow"} for row in destructive[::2]]
    serial = [{"time": t, "output": "il10", "replicate": r} for t, r in product((1, 2, 3), "12")]
    batches = [{"subject": f"B{k}", "time": t, "output": "m"} for k in range(3) for t in (k, k + 12)]
    means = [{"subject": "group", "output": "kd", "stat": "mean", "n": 4}]
    table = study(*destructive, *shared, *serial, *batches, *means).sampling().set_index(["output", "method"])
    assert list(table["design"]) == ["destructive", "destructive", "destructive", "serial", "batches", "reported means"]
    lung = table.loc["lung_cells", "qPCR"]
    assert (lung["subjects"], lung["times"], lung["times_each"], lung["pooled"], lung["shared_samples"]) == (
        3,
        3,
        1,
        2,
        3,
    )
    assert table.loc["liver_cells", "qPCR"]["shared_samples"] == 0
    assert table.loc["il10", ""]["replicates"] == 2
    assert study().sampling()["design"].tolist() == ["one time"]


def test_samples_and_pools_are_kept(tmp_path) -> None:
    """D15: saved and read again without loss; two samples of one time are no repetition."""
    found = study({"sample": "a"}, {"sample": "b", "pooled": 3})
    assert [(record.sample, record.pooled) for record in found.records] == [("a", None), ("b", 3)]
    assert again(found, tmp_path).digest == found.digest
    with pytest.raises(DataError, match=r"^frame: row 2, column 'pooled': '0' is no count; expected a whole number, 1"):
        study(pooled=0)


def test_units_that_are_none() -> None:
    for text in ("%ID/mg", "copies/reaktion"):
        with pytest.raises(UnitError):
            assay_unit(text)


def test_an_event_table_says_what_a_tidy_table_says() -> None:
    """D15: limits, doses and what is known of them come back as they are."""
    limits = study({"value": "BLQ", "time": 1}, {"value": 30, "time": 2}, lloq=10)
    assert study_from_frame(limits.to_nonmem()).digest == limits.digest
    found = study(unit="%ID/g", sample="a", decay_corrected="yes", donor="D1", infusion_loss=0.5,
                  organ_mass={"lung_cells": "0.2 g"})  # fmt: skip
    table = found.to_nonmem()
    dose, seen = table.iloc[0], table.iloc[1]
    assert (dose["AMT [cells]"], dose["INFUSION_LOSS"], dose["DONOR"]) == (1e6, "0.5", "D1"), "AMT as stated (T3)"
    assert study_from_frame(table).digest == found.digest
    assert (seen["ORGAN_MASS"], seen["ORGAN_MASS_UNIT"], seen["SAMPLE"], seen["DECAY_CORRECTED"]) == (
        0.2,
        "g",
        "a",
        "yes",
    )


# ---- laws ------------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from([("g", 1.0), ("mg", 1e3), ("kg", 1e-3)]),
    st.sampled_from([("h", 1.0), ("d", 1 / 24), ("min", 60.0)]),
    st.sampled_from([("uL", 1.0), ("mL", 1e-3)]),
    st.floats(0.1, 10),
)
def test_l5_units_of_masses_times_and_volumes_change_nothing(mass, time, volume, number) -> None:
    """L5: the same mass, half-life and volume in another unit."""
    grams = study(unit="%ID/g", **{f"organ_mass [{mass[0]}]": number * mass[1]}).records[0].organ_mass
    assert grams == pytest.approx(number)
    decayed = {"decay_corrected": "no", f"half_life [{time[0]}]": number * 10 * time[1], "unit": "kBq", "time": 7}
    assert study(**decayed).records[0].value == pytest.approx(5 * 2 ** (7 / (10 * number)))
    reaction = {"extract_volume": f"{100 * number * volume[1]!r} {volume[0]}", "reaction_volume": f"{number!r} uL"}
    assert study(**REACTION | reaction).records[0].upper == pytest.approx(5 * 100 / (25 * 0.5))


NASTY = ("", "NA", "0", "-1", "1e999", "nan", "-inf", "1e-320", "1e300", "yes", "µ", "1,5", "3 fotons", "5 g", "5 h",
         "5 MBq", "5 uL", "5 photons/s/cell", "In-111", "=1/0", "1e300 g", "1e-300 h", "1e300 MBq")  # fmt: skip
COLUMNS = ("sample", "pooled", "lod", "lloq", "organ_mass", "calibration", "decay_corrected", "half_life", "nuclide",
           "decay_reference", "lod_reaction", "extract_volume", "reaction_volume", "tissue_mass", "recovery",
           "viability_thaw", "infusion_loss", "vials", "cells_per_vial", "dose_activity", "dose_unit", "value",
           "unit")  # fmt: skip
UNITS = ("cells", "%ID/g", "kBq", "copies/mg", "photons/s", "vials")


@given(st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from((*NASTY, *UNITS, "ND", "DNQ", "no")), max_size=7))
@example({"unit": "kBq", "decay_corrected": "yes", "dose_activity": "1e300 MBq"})
@example({"unit": "%ID", "decay_corrected": "no", "half_life": "1e-300 h"})
@example({"dose": "3", "dose_unit": "vials", "cells_per_vial": "1e300"})
@settings(max_examples=200, deadline=None)
def test_nothing_written_in_these_columns_is_more_than_a_message(columns: dict[str, str]) -> None:
    """D14: a table is read, analysed and bound, or refused in words; no other error."""
    frame = pd.DataFrame([{**BASE, "unit": "%ID", **columns}])
    with suppress(MscError):
        found = study_from_frame(frame, time_unit="h")
        assert study_from_frame(found.to_frame()).digest == found.digest
        nca(found)
        bind(mouse_model(), found)
