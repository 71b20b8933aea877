"""Known answers of CXCL10 in acute GVHD (research use only; every number of CXCL10 here is assumed)."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from mscpkpd.dosing import Regimen, bolus, infusion
from mscpkpd.errors import ModelError
from mscpkpd.modelfile import library_path, load_model
from reference.runs import run

NONE = Regimen()
DOSE = bolus("2e6 cells/kg", "iv")
HOURS = np.arange(0.0, 84.05, 0.1)
ASKED = ("cxcl10", "cxcl10_change", "mediator", "ifng")
MECHANISMS = ("live", "death", "both")

loaded = cache(load_model)


def gvhd(regimen=NONE, mechanism="live", times=HOURS, **values):
    model = loaded("agvhd_cxcl10", ("human_70kg", mechanism))
    return run(model, regimen, times, ASKED, values=values, weight=70.0)


def change(found, hour):
    """ln C/C(0) at an hour after the first dose."""
    return found["cxcl10_change"][round(10 * hour)]


def test_nothing_moves_without_cells():
    """At zero dose CXCL10 stays at its level."""
    found = gvhd(G_0=1.7)
    np.testing.assert_allclose(found["cxcl10"], 1000 * 1.7**0.7, rtol=1e-9)
    np.testing.assert_allclose(found["cxcl10_change"], 0, atol=1e-8)


@pytest.mark.parametrize(("hour", "expected"), [(4, -0.06), (8, -0.17), (12, -0.25), (24, -0.32), (84, -0.03)])
def test_the_formal_signal_gives_the_known_course(hour, expected):
    """Base values with a signal of 1 at the start."""
    assert change(gvhd(M_0=1.0), hour) == pytest.approx(expected, abs=0.005)


def test_the_lowest_level_is_at_21_hours():
    found = gvhd(M_0=1.0)
    assert HOURS[np.argmin(found["cxcl10_change"])] == pytest.approx(21, abs=0.5)
    assert 1 - math.exp(np.min(found["cxcl10_change"])) == pytest.approx(0.27, abs=0.01)


@pytest.mark.parametrize(("drive", "expected"), [(0.4, -0.17), (2.5, -0.44)])
def test_a_hot_recipient_has_more_and_loses_more(drive, expected):
    """Licensing: the drive raises the level before cells and the fall after them."""
    found = gvhd(M_0=1.0, G_0=drive)
    assert change(found, 24) == pytest.approx(expected, abs=0.005)
    assert found["cxcl10"][0] == pytest.approx(1000 * drive**0.7)


def test_escape_turns_the_link_of_level_and_fall_around():
    """The alternative to licensing: an IC50 that grows with the drive makes hot recipients lose less."""
    by_drive = [change(gvhd(M_0=1.0, G_0=drive, h_esc=1.0), 24) for drive in (0.4, 1.0, 2.5)]
    assert by_drive[0] > -0.32  # licensing still rules at low drive
    assert by_drive[2] > by_drive[1]


@pytest.mark.parametrize(("k_out", "fall"), [(0.03, 0.26), (0.1, 0.45), (0.3, 0.50)])
def test_the_fall_at_24_hours_under_a_held_suppression(k_out, fall):
    """s (1 - exp(-24 k_outC)) for s = 0.5: a signal without end and without bound on production of CXCL10 alone."""
    held = {"M_0": 1e9, "t_M": 1e12, "Imax_G": 0.0, "Imax_C": 0.5, "t_C": math.log(2) / k_out}
    found = 1 - math.exp(change(gvhd(**held), 24))
    assert found == pytest.approx(0.5 * (1 - math.exp(-24 * k_out)), rel=1e-5)
    assert found == pytest.approx(fall, abs=0.005)


@pytest.mark.parametrize(("half_life", "largest"), [(4, 98), (8, 88), (12, 75), (24, 50), (48, 29)])
def test_the_half_life_bounds_what_24_hours_can_show(half_life, largest):
    """Production stopped from the start: the largest fall."""
    stopped = {"M_0": 1e9, "t_M": 1e12, "Imax_C": 1.0, "t_C": float(half_life)}
    assert 100 * (1 - math.exp(change(gvhd(**stopped), 24))) == pytest.approx(largest, abs=0.6)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_cells_lower_cxcl10_by_each_mechanism(mechanism):
    found = gvhd(DOSE, mechanism)
    assert -0.6 < change(found, 24) < -0.25
    assert change(found, 84) > change(found, 24)


def test_dying_cells_need_no_licensing_and_act_first():
    """What tells the two apart: without a drive only dying cells act; many die in the first minutes, in blood."""
    none, full = {"G_0": 0.01}, {"G_0": 1.0}
    live, death = (np.max(gvhd(DOSE, mechanism, **none)["mediator"]) for mechanism in ("live", "death"))
    assert live < 0.01 * np.max(gvhd(DOSE, "live", **full)["mediator"])
    assert death == pytest.approx(np.max(gvhd(DOSE, "death", **full)["mediator"]), rel=1e-6)
    assert change(gvhd(DOSE, "death"), 4) < change(gvhd(DOSE, "live"), 4)


def test_a_living_and_a_dying_signal_have_the_same_area():
    """1/k_L of each; of the living one a tenth is lacking, as cells that die in blood live for minutes."""
    times = np.linspace(0, 600, 6001)
    model = loaded("agvhd_cxcl10", ("human_70kg", "both"))
    p, found = model.values, run(model, DOSE, times, weight=70.0)
    alive = sum(found[state] for state in ("blood", "lung", "liver", "spleen", "rest", "depot"))
    living = float(np.trapezoid(alive, times)) / p["N_ref"]
    dying = found["dead"][-1] - 0.1 * 1.4e8
    assert dying / p["J_ref"] == pytest.approx(1 / p["k_L"], rel=2e-3)
    assert living == pytest.approx(1 / p["k_L"], rel=0.12)


def test_twice_weekly_doses_make_a_saw_tooth():
    """The hour of sampling matters: low a day after each dose, most of the way back before the next."""
    found = gvhd(infusion("2e6 cells/kg", "iv", "1 h", every="84 h", doses=2), times=np.arange(0.0, 168.05, 0.1))
    low, before, again = (change(found, hour) for hour in (24, 84, 108))
    assert before - low > 0.15
    assert again < low + 0.02


def test_release_by_licensed_cells_may_raise_cxcl10():
    """Either sign is possible; it is off by default."""
    assert loaded("agvhd_cxcl10", ("human_70kg", "live")).parameter("r_C").value == 0
    assert change(gvhd(DOSE, r_C=1.0), 4) > 0


def test_only_the_ratio_of_gain_and_ic50_counts():
    one, other = gvhd(DOSE), gvhd(DOSE, a_I=4.0, IC50_I=1.0)
    np.testing.assert_allclose(other["cxcl10"], one["cxcl10"], rtol=1e-7)


def test_a_species_is_needed():
    with pytest.raises(ModelError, match="N_ref, J_ref"):
        load_model("agvhd_cxcl10", values=("mouse", "live"))


def test_no_paper_is_credited_with_a_level_and_no_level_is_a_limit():
    """Research use only, said in the file; the unverified trial has no place in it."""
    numbers = (library_path() / "values" / "agvhd_cxcl10").glob("*.toml")
    for file in (library_path() / "pkpd" / "agvhd_cxcl10.toml", *numbers):
        assert "zhao" not in file.read_text(encoding="utf-8").lower()
    assert "research use only" in load_model("agvhd_cxcl10", ("human_70kg", "live")).about
