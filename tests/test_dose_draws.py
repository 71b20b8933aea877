"""Uncertainty of doses of cells: viable fraction and losses in draws of a simulation, named where it is not used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_models import TEXT, frame, loaded, one_compartment
from mscpkpd.data import Study, study_from_frame
from mscpkpd.dose_draws import drawn_regimens
from mscpkpd.dosing import Dose, Regimen, bolus
from mscpkpd.errors import DataError, DosingError
from mscpkpd.fitting.api import fit
from mscpkpd.simulation import simulate

COLUMNS = {"subject": "s1", "time [h]": 2.0, "output": "conc", "value [mg/L]": 1.5, "dose [mg]": 100, "route": "thaw"}
MODEL = one_compartment()


def study(**columns: object) -> Study:
    return study_from_frame(pd.DataFrame([{**COLUMNS, **columns}]))


def peaks(regimen: Regimen, draws: int | None = 4000, **options: object) -> np.ndarray:
    """Concentration just after the dose, one for each draw: amount times viable fraction over 50 L."""
    sims = simulate(MODEL, regimen, draws=draws, times=[0.0], outputs=["conc"], **options)  # type: ignore[arg-type]
    return sims["conc"].to_numpy()[0, :, :, 0]


def test_t1_t3_draws_have_the_mean_and_the_sd_that_are_stated() -> None:
    """T1, T3: viable fraction 0.8 with SD 0.05, a loss of 0.1 with SD 0.02; 4000 draws, so 3 standard errors apart."""
    made = study(viability=0.8, viability_sd=0.05, infusion_loss=0.1, infusion_loss_sd=0.02)
    (dose,) = made.subjects[0].regimen
    assert (dose.amount, dose.viable, dose.viable_sd, dose.loss, dose.loss_sd) == (90.0, 0.8, 0.05, 0.1, 0.02)
    drawn = peaks(made.subjects[0].regimen)[0] * 50
    assert drawn.mean() == pytest.approx(72.0, abs=3 * 4.8 / np.sqrt(4000))
    expected = 100 * np.sqrt((0.9**2 + 0.02**2) * (0.8**2 + 0.05**2) - (0.9 * 0.8) ** 2)
    assert drawn.std(ddof=1) == pytest.approx(expected, rel=0.05)


def test_t1_without_draws_doses_are_as_stated_and_the_result_says_so() -> None:
    regimen = bolus("100 mg", "thaw", viable=0.8, viable_sd=0.05)
    assert peaks(regimen, None)[0].tolist() == pytest.approx([1.6])
    sims = simulate(MODEL, regimen, times=[0.0])
    assert sims.attrs["doses"] == "viable fractions and losses as stated: their SD is used with draws alone (T3)"
    assert "doses" not in simulate(MODEL, bolus("100 mg", "thaw", viable=0.8), times=[0.0], draws=2).attrs
    drawn = simulate(MODEL, regimen, times=[0.0], draws=2).attrs["doses"]
    assert drawn == "viable fractions and losses drawn within their SD (T3)"


def test_g3_a_further_subject_dose_or_schedule_changes_no_other_draw() -> None:
    """G3: one stream for each subject, dose and fraction."""
    one = bolus("100 mg", "thaw", viable=0.8, viable_sd=0.05)
    two = one + bolus("100 mg", "thaw", at="9 h", viable=0.6, viable_sd=0.1)
    alone = peaks(one, 20, seed=3)
    assert np.array_equal(peaks(one, 20, seed=3, subjects=3)[:1], alone)
    assert np.array_equal(peaks(two, 20, seed=3), alone)
    both = simulate(MODEL, {"a": one, "b": two}, draws=20, seed=3, times=[0.0])["conc"].to_numpy()[:, 0, :, 0]
    assert np.array_equal(both, np.repeat(alone, 2, axis=0))
    assert not np.array_equal(peaks(one, 20, seed=4), alone)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.01, 0.99), st.floats(0.0, 0.9))
def test_t1_drawn_fractions_stay_fractions(mean: float, share: float, loss: float) -> None:
    """T1: between 0 and 1 for every SD that a fraction may have, and no more cells than the bag held."""
    sd = share * np.sqrt(mean * (1 - mean))
    dose = Dose(
        0.0, 100 * (1 - loss), "mg", "thaw", viable=mean, viable_sd=sd, loss=loss, loss_sd=loss * (1 - loss) / 2
    )
    for drawn in drawn_regimens(Regimen((dose,)), 0, 1, 50):
        (own,) = drawn
        assert 0 <= own.viable <= 1
        assert 0 <= own.amount <= 100 * (1 + 1e-12)
        assert own.viable_sd == own.loss_sd == 0


def test_t3_an_sd_that_no_fraction_has_is_refused() -> None:
    with pytest.raises(DosingError, match=r"SD 0.5 of a viable fraction of 0.9 \(T3\); expected above 0 and below 0.3"):
        bolus("100 mg", "thaw", viable=0.9, viable_sd=0.5)
    with pytest.raises(DosingError, match="SD 0.1 of a viable fraction that is not stated"):
        bolus("100 mg", "thaw", viable_sd=0.1)
    with pytest.raises(DataError, match=r"row 2, column 'viability_sd': SD 0.5 of a viability of 0.9"):
        study(viability=0.9, viability_sd=0.5)
    with pytest.raises(DataError, match=r"column 'infusion_loss_sd': SD 0.1 of a loss that is not stated"):
        study(infusion_loss_sd=0.1)


def test_t3_a_fit_names_what_it_does_not_use() -> None:
    """T3: by name, in the notes of the fit."""
    rows = [{**COLUMNS, "time [h]": t, "value [mg/L]": v, "viability": 0.9, "viability_sd": 0.02, "potency": "9 IU"}
            for t, v in ((1.0, 1.6), (4.0, 1.2), (9.0, 0.75), (15.0, 0.4))]  # fmt: skip
    model = MODEL.with_prior("CL", "lognormal(5, 0.3)")
    found = fit(model, study_from_frame(pd.DataFrame(rows)), free=["CL"])
    assert "properties of doses that are not used: viability_sd, potency (T3)" in found.notes
    plain = fit(model, study_from_frame(pd.DataFrame(rows).drop(columns=["viability_sd", "potency"])), free=["CL"])
    assert not any("not used" in note for note in plain.notes)


def test_t3_an_event_table_says_that_it_is_simulated_without_draws() -> None:
    table = pd.DataFrame([
        {"ID": 1, "TIME": 0, "EVID": 1, "AMT": 100, "CMT": "thaw", "VIAB": 0.9, "VIABILITY_SD": 0.02, "POTENCY": 7},
        {"ID": 1, "TIME": 1, "EVID": 0, "CMT": "thaw"},
    ])  # fmt: skip
    notes = simulate(MODEL, events=table).attrs["notes"]
    assert "not used, a table is simulated once: VIABILITY_SD, POTENCY (T3)" in notes


def test_decimal_commas_of_properties_become_points() -> None:
    """A property stands alone: it is read again wherever its text goes."""
    table = pd.DataFrame([{**COLUMNS, "value [mg/L]": "1,5", "time [h]": "2,5", "viability": "0,8",
                           "viability_sd": "0,05", "infusion_loss": "0,25"}])  # fmt: skip
    made = study_from_frame(table, decimal=",")
    assert dict(made.subjects[0].properties[0]) == {"infusion_loss": "0.25", "viability_sd": "0.05"}
    assert made.subjects[0].regimen.doses[0].amount == 75.0
    assert study_from_frame(made.to_nonmem()).digest == made.digest


# ---- what else a fit says of doses and samples -----------------------------------------------------------------------


def test_t9_a_fit_to_one_value_for_each_animal_says_what_its_noise_contains() -> None:
    """T9: by the names of the outputs; two values of one animal are another matter."""
    model = MODEL.with_prior("CL", "lognormal(5, 0.3)")
    rows = [{**COLUMNS, "subject": f"m{k}", "time [h]": t, "value [mg/L]": v}
            for k, (t, v) in enumerate(((1.0, 1.6), (4.0, 1.2), (9.0, 0.75), (15.0, 0.4)))]  # fmt: skip
    said = "one value for each subject: the noise of 'conc' contains the spread between subjects (T9)"
    assert said in fit(model, study_from_frame(pd.DataFrame(rows)), free=["CL"]).notes
    again = [*rows, {**rows[0], "replicate": 2}]
    assert said not in fit(model, study_from_frame(pd.DataFrame(again)), free=["CL"]).notes


def test_e28_a_fit_warns_where_responses_do_not_add_up() -> None:
    """E28: SS 2 in a model that saturates; not in a linear one."""
    text = "ID TIME EVID AMT II SS CMT DV\n1 0 1 100 12 2 iv .\n1 1 0 . . . iv 3\n1 5 0 . . . iv 2\n1 9 0 . . . iv 1"
    made = study_from_frame(frame(text), time_unit="h", amount_unit="mg", unit="mg/L", outputs="conc")
    said = "SS 2 adds responses, which do not add up in 'one' (E28)"
    saturating = loaded(TEXT.replace("- CL/V*central", "- CL/V*central/(1 + central/(R*D))"))
    for model, warned in ((saturating, True), (MODEL, False)):
        found = fit(model.with_prior("CL", "lognormal(5, 0.3)"), made, free=["CL"])
        assert (said in found.notes) is warned
