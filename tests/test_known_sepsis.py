"""Known answers of endotoxaemia, infection, caecal ligation and the TNF challenge."""

from __future__ import annotations

import math
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mscpkpd.dosing import Regimen, bolus
from mscpkpd.errors import ModelError
from mscpkpd.modelfile import load_model
from reference.runs import run

NONE = Regimen()
loaded = cache(load_model)


def peak(found, state):
    """Largest value and its time."""
    at = int(np.argmax(found[state]))
    return found[state][at], found.path.times[at]


# ---- endotoxaemia in man ---------------------------------------------------------------------------------------------

LPS = bolus("2 ng/kg", "lps")
CELLS = bolus("2e6 cells/kg", "iv")
HOURS = np.arange(0.0, 12.0, 0.05)
HELD = {"C_L_held": 2.0, "m_0": 0.6, "Smax": 2.0}  # PGE2 held at 2 ng/mL, macrophages reprogrammed from the start


def endotoxaemia(regimen=LPS, times=HOURS, **values):
    model = loaded("endotoxaemia_human", "human_70kg")
    asked = ("tnf", "il6", "il10", "m", "pge2_local", "pge2_plasma", "licensing")
    return run(model, regimen, times, asked, values=values, weight=70.0)


@pytest.mark.parametrize(("state", "height", "time"), [("tnf", 478, 1.8), ("il10", 23, 2.4), ("il6", 486, 2.1)])
def test_lps_in_volunteers_gives_the_published_peaks(state, height, time):
    found, at = peak(endotoxaemia(), state)
    assert found == pytest.approx(height, abs=0.6)  # the last digit given
    assert at == pytest.approx(time, abs=0.06)


def test_the_coded_constant_is_not_the_constant_of_the_equations():
    """The trap of kmtnf: times 100**3.16 it is kMTNF, by itself it gives a TNF peak of 31 pg/mL."""
    model = loaded("endotoxaemia_human", "human_70kg")
    coded, p = 4.14e-6, model.values
    assert p["kMTNF"] == pytest.approx(coded * p["xMTNF"] ** p["hMTNF"], rel=1e-3)
    found, at = peak(endotoxaemia(kMTNF=coded), "tnf")
    assert found == pytest.approx(31, abs=0.5)
    assert at == pytest.approx(1.4, abs=0.06)


@pytest.mark.parametrize(
    ("values", "tnf", "il10"),
    [({}, (477, 479), (23, 24)), (HELD, (293, 295), (37.5, 38.5)), (HELD | {"Imax_P": 0.96}, (12, 13), (1, 2))],
    ids=["no cells", "IL-10 alone", "with direct inhibition of TNF"],
)
def test_direct_inhibition_of_tnf_takes_il10_down_with_it(values, tnf, il10):
    """The trap: with MSC-driven IL-10 alone TNF falls and IL-10 rises; inhibit TNF directly too and both collapse."""
    found = endotoxaemia(**values)
    assert tnf[0] <= peak(found, "tnf")[0] <= tnf[1]
    assert il10[0] <= peak(found, "il10")[0] <= il10[1]


def test_direct_inhibition_is_off_by_default():
    assert loaded("endotoxaemia_human", "human_70kg").parameter("Imax_P").value == 0


def test_nothing_happens_without_lps():
    """Cells alone reprogram macrophages, and no cytokine moves: monocytes are not active."""
    found = endotoxaemia(CELLS)
    p = loaded("endotoxaemia_human", "human_70kg").values
    for state, rest in (("tnf", "TNF_0"), ("il6", "I6_0"), ("il10", "I10_0")):
        np.testing.assert_allclose(found[state], p[rest], rtol=1e-9)
    assert np.max(found["m"]) > 0.1


def test_tnf_licenses_the_cells_and_one_fold_switches_it_off():
    """PGE2 in lung is that of the core without licensing, and more with it; in plasma it stays far below its EC50."""
    given = CELLS + LPS
    plain, licensed = endotoxaemia(given, Lmax=1.0), endotoxaemia(given)
    core = run(loaded("two_functional_compartments", "human_70kg"), CELLS, HOURS, ("pge2_local",), weight=70.0)
    np.testing.assert_allclose(plain["pge2_local"], core["pge2_local"], rtol=1e-6, atol=1e-3)
    assert 1.5 < np.max(licensed["pge2_local"] / np.maximum(core["pge2_local"], 1e-9)) < 10
    assert np.max(licensed["pge2_plasma"]) < 1089 / 50


def test_cells_given_a_day_before_act_more_than_cells_given_with_lps():
    """Reprogramming is slower than TNF."""
    before = endotoxaemia(CELLS + LPS.shifted("24 h"), 24 + HOURS, Smax=2.0)
    beside = endotoxaemia(CELLS + LPS, Smax=2.0)
    none = endotoxaemia()
    assert peak(before, "tnf")[0] < peak(beside, "tnf")[0] < peak(none, "tnf")[0]
    assert peak(before, "il10")[0] > peak(beside, "il10")[0] > peak(none, "il10")[0]


def test_lps_per_kg_and_in_all_is_the_same():
    one, other = endotoxaemia(), endotoxaemia(bolus("140 ng", "lps"))
    np.testing.assert_allclose(other["tnf"], one["tnf"], rtol=1e-9)


@pytest.mark.parametrize("values", ["mouse", "rat"])
def test_numbers_of_animals_are_refused(values):
    with pytest.raises(ModelError, match="body_weight has no value"):
        load_model("endotoxaemia_human", values=values)


# ---- infection alone -------------------------------------------------------------------------------------------------

DAYS = np.linspace(0.0, 400.0, 1601)


def infection(**values):
    return run(loaded("sepsis_reynolds"), NONE, DAYS, values=values)


@pytest.mark.parametrize(
    ("growth", "inoculum", "largest", "recovers"),
    [(0.3, 1, 3.4, True), (0.6, 1, 17.5, False), (0.3, 0.5, 0.09, True), (0.3, 2, 17.4, False), (0.32, 1, 17.4, False)],
)
def test_the_infection_is_bistable(growth, inoculum, largest, recovers):
    """The switch in growth lies between 0.30 and 0.32 for an inoculum of 1, and at 0.3 it depends on the inoculum."""
    damage = infection(kpg=growth, inoculum=inoculum)["damage"]
    assert np.max(damage) == pytest.approx(largest, rel=0.02, abs=0.005)
    assert (damage[-1] < 0.1) == recovers


def test_without_bacteria_nothing_moves():
    found = infection(inoculum=0.0)
    np.testing.assert_allclose(found["ca"], 0.125, rtol=1e-9)
    assert np.max(found["damage"]) < 1e-100


# ---- caecal ligation in mice -----------------------------------------------------------------------------------------

MOUSE, SATURABLE = "sepsis_clp_mouse", "sepsis_clp_mouse_saturable"
MSC = bolus("1e6 cells", "iv")
FOUR_DAYS = np.linspace(0.0, 96.0, 97)
ASKED = ("bacteria", "damage", "tnf", "il10", "m", "hazard_sum", "survival")


def ligation(regimen=NONE, name=MOUSE, **values):
    return run(loaded(name, "mouse"), regimen, FOUR_DAYS, ASKED, values=values)


def test_the_infection_is_that_of_the_model_alone():
    """A model extends one other, so the rows of Reynolds stand twice: the two copies are equal."""
    alone, coupled = loaded("sepsis_reynolds"), loaded(MOUSE, "mouse")
    chosen = {"kpg", "inoculum"}  # free in the published model, and chosen anew for ligation
    for row in alone.parameters:
        if row.name not in chosen:
            assert coupled.parameter(row.name) == row
    for row in alone.derived:
        assert row in coupled.derived
    for row in alone.states:
        assert coupled.state(row.name) == row
        if row.name != "ca":  # IL-10 adds to its source
            assert coupled.rate(row.name) == alone.rate(row.name)
    one = run(alone, NONE, FOUR_DAYS, values={"kpg": 0.45})
    other = ligation(k_C10=0.0)
    np.testing.assert_allclose(other["damage"], one["damage"], rtol=1e-6)


@pytest.mark.parametrize("name", [MOUSE, SATURABLE])
def test_survival_is_in_the_range_of_the_recalled_target(name):
    """Nemeth 2009, from memory of a second-hand text: none alive at 96 h untreated, half with cells at surgery."""
    assert 0 <= ligation(name=name)["survival"][-1] <= 0.05
    assert 0.40 <= ligation(MSC, name)["survival"][-1] <= 0.60


def test_the_calibrated_numbers_are_those_that_the_script_gives():
    script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "calibrate_mouse_sepsis.py"))
    found, p = script["calibrated"](), loaded(MOUSE, "mouse").values
    assert (p["beta_D"], p["R_m"]) == (found.hazard, found.share), "copy what the script prints into the values file"
    for arm, (low, high) in script["RANGES"].items():
        assert low <= getattr(found, arm) <= high


def test_survival_is_the_exponential_of_the_summed_hazard():
    found, p = ligation(MSC), loaded(MOUSE, "mouse").values
    hazard = p["h_0"] + p["beta_D"] * found["damage"] * (1 - p["R_m"] * found["m"])
    summed = np.concatenate([[0.0], np.cumsum((hazard[1:] + hazard[:-1]) / 2)])
    np.testing.assert_allclose(found["survival"], np.exp(-summed), rtol=0, atol=2e-3)
    assert np.all(np.diff(found["survival"]) < 0)
    assert found["survival"][0] == 1


def test_il10_is_no_part_of_the_hazard():
    """IL-10 is a marker of engagement: it has no place in the hazard, and no weight in survival."""
    model = loaded(MOUSE, "mouse")
    rows = {row.name: row.expression.names for row in model.derived}
    assert "il10" not in rows["hazard"] | rows["benefit"]
    with_rise, without = ligation(MSC), ligation(MSC, Smax=0.0)
    assert with_rise["il10"][24] > 2 * without["il10"][24]
    assert with_rise["survival"][-1] == pytest.approx(without["survival"][-1], abs=0.03)


def test_more_il10_does_not_save_mice():
    """As in Remick 1998: five times the IL-10 takes TNF down and leaves survival where it was."""
    plain, more = ligation(), ligation(k_10N=5 * loaded(MOUSE, "mouse").parameter("k_10N").value)
    assert more["tnf"][24] < 0.5 * plain["tnf"][24]
    assert more["survival"][-1] < 0.05


def test_il10_through_the_mediator_would_help_only_by_letting_bacteria_grow():
    """Why the benefit does not come through ca: less damage, as phagocytes rest, and bacteria near their capacity."""
    plain, held = ligation(MSC, R_m=0.0), ligation(MSC, R_m=0.0, k_C10=0.1)
    assert np.sum(held["damage"]) < 0.2 * np.sum(plain["damage"])
    assert held["survival"][-1] > 0.5
    assert held["bacteria"][-1] > 0.8 * loaded(MOUSE, "mouse").parameter("Pinf").value


def test_il10_of_untreated_mice_is_as_read_at_12_hours():
    """12.7 +/- 5.7 ng/mL in plasma, van der Poll 1995."""
    assert ligation()["il10"][12] == pytest.approx(12700, rel=0.02)


def test_cells_lower_tnf_and_raise_il10():
    plain, treated = ligation(), ligation(MSC)
    assert treated["tnf"][24] < 0.6 * plain["tnf"][24]
    assert treated["il10"][24] > 2 * plain["il10"][24]


def test_half_the_inoculum_is_survived_without_cells():
    """The doubt about the inoculum, in numbers."""
    assert ligation(inoculum=0.5)["survival"][-1] > 0.8


def test_late_cells_save_fewer():
    alive = [ligation(MSC.shifted(at))["survival"][-1] for at in ("0 h", "6 h", "24 h")]
    assert alive[0] > alive[1] > alive[2] > ligation()["survival"][-1]


def test_the_benefit_may_fade():
    """With a half-life of 24 h the hazard comes back; survival is lower at the end and all but the same at first."""
    lasting, fading = ligation(MSC), ligation(MSC, k_fade=math.log(2) / 24)
    assert fading["survival"][-1] < 0.5 * lasting["survival"][-1]
    assert fading["survival"][6] == pytest.approx(lasting["survival"][6], abs=0.005)
    assert fading["survival"][-1] > ligation()["survival"][-1]


def test_tnf_may_add_to_the_hazard():
    plain, more = ligation(), ligation(beta_T=0.01)
    expected = 0.01 * np.log(np.maximum(plain["tnf"] / 100, 1))
    added = np.concatenate([[0.0], np.cumsum((expected[1:] + expected[:-1]) / 2)])
    np.testing.assert_allclose(more["hazard_sum"] - plain["hazard_sum"], added, rtol=0.01, atol=1e-4)


# ---- the saturable loss of IL-10 -------------------------------------------------------------------------------------


def test_the_saturable_loss_balances_the_published_source():
    p = loaded(SATURABLE, "mouse").values
    assert p["d_IL10"] * p["x_IL10d"] * p["I10_0"] / (p["x_IL10d"] + p["I10_0"]) == pytest.approx(1187.2, rel=1e-3)
    assert "k_out10" not in p
    still = ligation(name=SATURABLE, inoculum=0.0)
    np.testing.assert_allclose(still["il10"], p["I10_0"], rtol=1e-9)


def test_production_above_the_largest_loss_runs_away():
    """The trap of the saturable form: at 12.7 ng/mL the loss is saturated to 95 %."""
    p = loaded(SATURABLE, "mouse").values
    assert 12700 / (12700 + p["x_IL10d"]) == pytest.approx(0.947, abs=0.001)
    treated, more = ligation(MSC, SATURABLE), ligation(MSC, SATURABLE, k_10N=100000.0)
    assert np.max(treated["il10"]) < 12700
    assert np.max(more["il10"]) > 1e6


def test_saturation_multiplies_the_rise_of_il10():
    rise = {name: ligation(MSC, name)["il10"][48] / ligation(name=name)["il10"][48] for name in (MOUSE, SATURABLE)}
    assert rise[MOUSE] == pytest.approx(1 + 2 * 0.86, abs=0.05)
    assert rise[SATURABLE] > 10


# ---- TNF challenge ---------------------------------------------------------------------------------------------------

CHALLENGE = bolus("5 1", "lps")
FINE = np.linspace(0.0, 30.0, 6001)


def challenge(regimen=CHALLENGE, **values):
    return run(loaded("tnf_challenge_rat"), regimen, FINE, values=values)


def area(values):
    return float(np.trapezoid(values, FINE))


@pytest.mark.parametrize("dose", [0.1, 5.0, 100.0])
def test_the_chain_passes_on_what_it_receives(dose):
    """Area of the last transit state: the integral of L/(Km + L) for L that decays, ln(1 + L0/Km)/k."""
    p = loaded("tnf_challenge_rat").values
    found = challenge(bolus(f"{dose:g} 1", "lps"))
    assert area(found["signal_3"]) == pytest.approx(math.log(1 + dose / p["Km_LPS"]) / p["k_LPS"], rel=1e-5)


def test_all_tnf_that_is_released_is_lost():
    p, found = loaded("tnf_challenge_rat").values, challenge()
    power = np.maximum(found["signal_3"], 0) ** p["h_s"]
    released = p["Rmax"] * power / (power + p["SC50"] ** p["h_s"])
    assert area(found["tnf"]) == pytest.approx(area(released) / p["k_outT"], rel=1e-4)


def test_the_compound_lowers_tnf_by_its_share():
    """Far above IC50_A the release is 1 - Imax_A of the plain one; without a dose of it Imax_A does not count."""
    p, plain = loaded("tnf_challenge_rat").values, challenge()
    flooded = challenge(bolus("1e4 1", "compound") + CHALLENGE.shifted("1 h"))
    assert np.max(flooded["tnf"]) / np.max(plain["tnf"]) == pytest.approx(1 - p["Imax_A"], rel=1e-3)
    some = challenge(bolus("1 1", "compound") + CHALLENGE.shifted("1 h"))
    assert np.max(flooded["tnf"]) < np.max(some["tnf"]) < np.max(plain["tnf"])
    np.testing.assert_allclose(challenge(Imax_A=0.0)["tnf"], plain["tnf"], rtol=1e-9)
