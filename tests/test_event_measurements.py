"""How values and doses were measured, in event tables: the same meaning as in tidy tables, and no loss on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import frame, one_compartment
from mscpkpd.data import Study, study_from_frame
from mscpkpd.errors import DataError
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

few = settings(max_examples=40, deadline=None)
DOSE = {"dose": 1e6, "dose_unit": "cells", "route": "iv", "dose_time": 2, "dose_time_unit": "h"}
SEEN = {"subject": "s1", "time": 26.0, "time_unit": "h", "output": "lung_cells", "value": 5.0, "unit": "cells"}


def as_events(row: dict[str, Any], dose: dict[str, Any], **titles: str) -> pd.DataFrame:
    """What a tidy row and its dose say, as an event table of two rows."""
    first = {"ID": row["subject"], "TIME [h]": dose["dose_time"], "EVID": 1, "AMT": dose["dose"],
             "AMT_UNIT": dose["dose_unit"], "CMT": dose["route"]}  # fmt: skip
    first |= {name.upper(): value for name, value in dose.items() if name not in DOSE and name != "viability"}
    first |= {"VIAB": dose["viability"]} if "viability" in dose else {}
    second = {"ID": row["subject"], "TIME [h]": row["time"], "EVID": 0, "CMT": row["output"], "DV": row["value"],
              "UNIT": row["unit"]}  # fmt: skip
    second |= {name.upper(): value for name, value in row.items() if name not in SEEN}
    return pd.DataFrame([first, second]).rename(columns=titles)


BOTH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limits of detection and quantification": ({"lod": 2, "lloq": 4, "uloq": 9}, {}),
    "detected, not quantified": ({"value": "DNQ", "lod": 2, "lloq": 4}, {}),
    "not detected": ({"value": "ND", "lod": 2}, {}),
    "below the limit of quantification": ({"value": "BLQ", "lloq": 4}, {}),
    "sample, pool and assay": ({"sample": "a", "pooled": 3, "method": "qPCR", "organ": "lung"}, {}),
    "mass of the organ": ({"unit": "%ID/g", "organ_mass": 200, "organ_mass_unit": "mg"}, {}),
    "calibration": ({"unit": "photons/s", "calibration": "120 photons/s/cell"}, {}),
    "decay, corrected": ({"unit": "kBq", "decay_corrected": "yes"}, {"dose_activity": "3 MBq"}),
    "decay, counted from the dose": (
        {"unit": "kBq", "decay_corrected": "no", "half_life": "12 h"}, {"dose_activity": "3 MBq"},
    ),
    "decay, counted from a time of its own": (
        {"unit": "kBq", "decay_corrected": "no", "nuclide": "In-111", "decay_reference": "1 h"},
        {"dose_activity": "3 MBq"},
    ),
    "a limit per reaction": (
        {"unit": "copies/mg", "value": "ND", "lod_reaction": 5, "extract_volume": "100 uL",
         "reaction_volume": "5 uL", "tissue_mass": "25 mg", "recovery": 0.5}, {},
    ),
    "cells that are lost": ({}, {"infusion_loss": 0.1, "infusion_loss_sd": 0.02, "viability": 0.9}),
    "vials": ({}, {"dose": 4, "dose_unit": "vials", "cells_per_vial": 5e7, "infusion_loss": 0.05}),
    "viability at thaw": ({}, {"viability_thaw": 0.93, "viability_sd": 0.02}),
    "viability at thaw and at the bedside": ({}, {"viability_thaw": 0.93, "viability": 0.88}),
    "donor, potency, filter": ({}, {"donor": "D1", "potency": "120 IU", "thaw_time": "08:30", "filter": "none"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BOTH)
def test_t3_t6_t7_t8_b14_a_column_means_the_same_in_both_tables(case: str) -> None:
    """T2 to T8, B14: one study, whichever way it is written; and it comes back from all of them."""
    seen, given_ = BOTH[case]
    row, dose = {**SEEN, **seen}, {**DOSE, **given_}
    tidy = study_from_frame(pd.DataFrame([row | dose]))
    events = study_from_frame(as_events(row, dose))
    assert events.subjects[0].properties == tidy.subjects[0].properties
    assert events.digest == tidy.digest
    for made in (tidy, events):
        assert study_from_frame(made.to_nonmem()).digest == tidy.digest
        assert study_from_frame(made.to_tidy()).digest == tidy.digest


def test_t7_masses_of_organs_are_given_beside_an_event_table() -> None:
    """T7: by organ or output, as beside a tidy table; a column goes before."""
    table = as_events({**SEEN, "unit": "%ID/g"}, DOSE)
    assert study_from_frame(table, organ_mass={"lung_cells": "0.2 g"}).records[0].organ_mass == 0.2
    own = as_events({**SEEN, "unit": "%ID/g", "organ_mass": "150 mg"}, DOSE)
    assert study_from_frame(own, organ_mass={"lung_cells": "0.2 g"}).records[0].organ_mass == 0.15


def test_d13_a_unit_in_the_header_of_such_a_column_counts() -> None:
    table = as_events({**SEEN, "unit": "%ID/g", "organ_mass": 170}, DOSE, ORGAN_MASS="ORGAN_MASS [mg]")
    assert study_from_frame(table).records[0].organ_mass == pytest.approx(0.17)


@pytest.mark.parametrize("column", ["lod", "lloq", "uloq", "lower", "upper", "sd"])
def test_d13_a_limit_in_another_unit_than_the_value_is_refused(column: str) -> None:
    row = {**SEEN, **DOSE, f"{column} [ug]": 1.0}
    with pytest.raises(DataError, match=rf"column '{column}': {column} in ug beside a value in cells .D13."):
        study_from_frame(pd.DataFrame([row]))


def test_d13_the_unit_of_a_limit_may_be_spelled_otherwise() -> None:
    row = {**SEEN, **DOSE, "unit": "copies/ug", "value": "ND", "lod [copies/ug DNA]": 3.0}
    assert study_from_frame(pd.DataFrame([row])).records[0].upper == 3.0


@pytest.mark.parametrize(("column", "stated", "left"), [("DUR", "2", "2"), ("RATE", "100", "75"), ("DUR", ".", ".")])
def test_t3_what_is_lost_does_not_enter_in_a_simulation(column: str, stated: str, left: str) -> None:
    """T3: a quarter of 200 mg stays in the line, and the rest takes the same time."""
    lost = f"ID TIME EVID AMT {column} INFUSION_LOSS CMT\n1 0 1 200 {stated} 0.25 thaw\n1 8 0 . . . thaw"
    bare = f"ID TIME EVID AMT {column} CMT\n1 0 1 150 {left} thaw\n1 8 0 . . thaw"
    one, other = (simulate(one_compartment(), events=frame(text))["conc"].tolist() for text in (lost, bare))
    assert one == pytest.approx(other, rel=1e-9)


def test_t3_vials_count_the_cells_that_they_hold_in_a_simulation() -> None:
    model = load_model("two_functional_compartments", values="mouse")
    text = "ID TIME EVID AMT AMT_UNIT CELLS_PER_VIAL CMT\n1 0 1 {} {} ip\n1 0 0 . . . ip"
    vials, cells = (
        simulate(model, events=frame(text.format(*row))) for row in (("2", "vials 5e5"), ("1e6", "cells ."))
    )
    assert vials.equals(cells)
    with pytest.raises(DataError, match="column 'AMT': '2' vials of unknown content. Try: a column 'cells_per_vial'"):
        simulate(model, events=frame(text.format("2", "vials .")))


def test_t2_viability_at_thaw_counts_in_a_simulation_where_none_is_stated_at_the_bedside() -> None:
    text = "ID TIME EVID AMT VIABILITY_THAW VIAB CMT\n1 0 1 100 0.8 {} thaw\n1 0 0 . . . thaw"
    thaw, bedside = (simulate(one_compartment(), events=frame(text.format(viab))) for viab in (".", "0.5"))
    assert thaw["conc"].tolist() == pytest.approx([1.6])
    assert bedside["conc"].tolist() == pytest.approx([1.0])
    assert any("0.8 at thaw is used" in note for note in thaw.attrs["notes"])
    assert not bedside.attrs["notes"]


# ---- there and back --------------------------------------------------------------------------------------------------


@st.composite
def measured(draw: st.DrawFn) -> Study:
    """Subjects with doses of cells that have properties, and values of several assays."""
    rows: list[dict[str, Any]] = []
    for subject in draw(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)):
        dose = {"subject": subject, **DOSE, "dose": draw(st.integers(1, 9)) * 1e5}
        dose |= draw(st.sampled_from([
            {}, {"viability": 0.8, "viability_thaw": 0.9, "viability_sd": 0.05}, {"viability_thaw": 0.9},
            {"infusion_loss": 0.3, "infusion_loss_sd": 0.1}, {"donor": "D1", "potency": "7 IU", "potency_sd": 1},
            {"dose": 3, "dose_unit": "vials", "cells_per_vial": 1e5, "infusion_loss": 0.07},
            {"dose_activity": "3 MBq"},
        ]))  # fmt: skip
        for number, time in enumerate(draw(st.lists(st.integers(3, 90), min_size=1, max_size=4))):
            how = draw(st.sampled_from([
                {}, {"lod": 0.5}, {"lod": 0.5, "lloq": 1}, {"lloq": 1, "uloq": 99}, {"value": "ND", "lod": 0.25},
                {"value": "DNQ", "lod": 0.25, "lloq": 3}, {"value": "BLQ", "lloq": 3}, {"value": ">8", "uloq": 8},
                {"unit": "%ID/g", "organ_mass": "170 mg"}, {"unit": "%ID/g", "organ": "lung"},
                {"unit": "kBq", "decay_corrected": "no", "half_life": "7 h", "lod": 0.1},
                {"unit": "kBq", "decay_corrected": "yes"}, {"unit": "photons/s", "calibration": "12 photons/s/cell"},
                {"sample": "a", "method": "qPCR"}, {"sample": "b", "pooled": 2, "method": "flow"},
            ]))  # fmt: skip
            value = draw(st.integers(10, 79)) / 10
            rows.append({**SEEN, "value": value, **how, **dose, "time": float(time), "replicate": str(number)})
    return study_from_frame(pd.DataFrame(rows), organ_mass={"lung": "0.3 g"})


@few
@given(measured())
def test_how_values_and_doses_were_measured_comes_back_from_both_tables(made: Study) -> None:
    """D15: nothing of a study is lost on the way to an event table, to a tidy one, and back."""
    doses = None if made.doses_fit_in_rows else made.doses_frame()
    for back in (study_from_frame(made.to_nonmem()), study_from_frame(made.to_tidy(), doses)):
        assert back.digest == made.digest
        assert [each.properties for each in back.subjects] == [each.properties for each in made.subjects]
        assert sorted(map(tuple, back.sampling().values)) == sorted(map(tuple, made.sampling().values))


NAMES = "ID TIME EVID AMT CMT DV\n1 0 1 100 iv .\n"
NAMES += "1 5 replace 20 central .\n1 6 multiply 3 1 .\n1 7 phantom . iv .\n1 9 0 . iv 4"


def test_e36_events_with_names_come_back_too() -> None:
    """E36, D11: by name, whatever the dialect was; a phantom counts for the time after a dose alone (E38)."""
    units = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
    made = study_from_frame(frame(NAMES), **units)
    assert [dose.event for dose in made.subjects[0].regimen] == ["", "replace", "multiply", "phantom"]
    table = made.to_nonmem()
    assert table["EVID"].tolist() == [1, "replace", "multiply", "phantom", 0]
    assert study_from_frame(table).digest == made.digest
    assert study_from_frame(made.to_tidy(), made.doses_frame()).digest == made.digest
    numbers = frame(NAMES.replace("replace", "5").replace("multiply", "6").replace("phantom", "7"))
    assert study_from_frame(numbers, dialect="rxode2", **units).digest == made.digest
    assert np.isfinite(made.records[0].value)
