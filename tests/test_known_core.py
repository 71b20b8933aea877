"""The core and what extends it: licensing, mediators, mechanisms and options, against what the science knows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mscpkpd.dosing import Dose, Regimen, bolus
from mscpkpd.modelfile import load_model, values_of
from reference.runs import run

CORE = "two_functional_compartments"
LICENSING, MEDIATOR = "two_functional_licensing", "two_functional_mediator"
MECHANISM, OPTIONS = "two_functional_mechanism", "two_functional_options"
SPECIES = ("mouse", "rat", "human_70kg")
GIVEN = {
    "mouse": bolus("1e6 cells", "iv"),
    "rat": bolus("2e6 cells", "iv"),
    "human_70kg": bolus("1.4e8 cells", "iv"),
}
TIMES = np.array([0.02, 0.25, 1.0, 2.0, 6.0, 24.0, 72.0, 168.0])
SAME = 1e-6  # rule L9, of each value
DEAD = Regimen((Dose(0, 1e6, "cells", "iv", viable=0.0),))

loaded = cache(load_model)


@cache
def after_the_dose(name, *values):
    """States after the usual dose of the species, which is named first."""
    return run(loaded(name, values), GIVEN[values[0]], TIMES)


def assert_same(found, expected, names, renamed=None):
    """States agree with those of another model."""
    for state in names:
        wanted = expected[state]
        made = found[(renamed or {}).get(state, state)]
        np.testing.assert_allclose(made, wanted, SAME, 1e-9 * np.max(np.abs(wanted)), err_msg=state)


def core_states(values):
    return loaded(CORE, values).state_names


# ---- the core: plasma cannot be the driver, and only one group can be learned


@pytest.mark.parametrize(("values", "ratio"), [("mouse", 3496), ("rat", 9049), ("human_70kg", 2899)])
def test_plasma_pge2_is_thousands_of_times_below_its_ec50(values, ratio):
    """At 6 h, unlicensed: to 1 %."""
    found = run(loaded(CORE, values), GIVEN[values], (6.0,), ("pge2_plasma",))["pge2_plasma"][0]
    assert 1000 * loaded(CORE, values).values["EC50_P"] / found == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize("values", SPECIES)
def test_plasma_pge2_never_comes_within_fifty_times_of_its_ec50(values):
    """At any time, all cells licensed tenfold; a tenth of the ratio of unlicensed cells."""
    times = np.geomspace(1e-4, 200, 200)
    model = loaded(LICENSING, (values, "licensed"))
    licensed = run(model, GIVEN[values], times, ("pge2_plasma",))["pge2_plasma"]
    plain = run(loaded(CORE, values), GIVEN[values], times, ("pge2_plasma",))["pge2_plasma"]
    assert 1000 * model.values["EC50_P"] / np.max(licensed) > 50
    np.testing.assert_allclose(licensed, model.values["Lmax"] * plain, SAME)


@pytest.mark.parametrize(("values", "kilograms", "licensed"), [("mouse", 0.02, 650), ("human_70kg", 70, 26)])
def test_the_metabolite_can_be_seen_in_mice_but_not_in_man(values, kilograms, licensed):
    """At 6 h about 65 (licensed 650) pg/mL in a mouse of 20 g and 2.6 (26) in man, where the background is 137."""
    volume = {"V_M": 200 * kilograms}  # 0.2 L/kg
    for model, expected in ((loaded(CORE, values), licensed / 10), (loaded(LICENSING, (values, "licensed")), licensed)):
        found = run(model, GIVEN[values], (6.0,), ("pge2_metabolite_plasma",), values=volume)
        assert found["pge2_metabolite_plasma"][0] == pytest.approx(expected, rel=0.02), model.name


@pytest.mark.parametrize("factor", [0.1, 7.0])
@pytest.mark.parametrize("values", SPECIES)
def test_only_the_group_of_secretion_and_potency_acts(values, factor):
    """Pi = q0/(V_loc k_Ploc EC50_P): q0 and EC50_P times the same factor leave m and IL-10 unchanged."""
    model = loaded(CORE, values)
    changed = {name: factor * model.values[name] for name in ("q0", "EC50_P")}
    assert_same(run(model, GIVEN[values], TIMES, values=changed), after_the_dose(CORE, values), ("m", "il10"))


def test_the_volume_of_the_lung_belongs_to_the_group():
    model = loaded(CORE, "mouse")
    changed = {"V_loc": 5 * model.values["V_loc"], "EC50_P": model.values["EC50_P"] / 5}
    assert_same(run(model, GIVEN["mouse"], TIMES, values=changed), after_the_dose(CORE, "mouse"), ("m", "il10"))
    alone = run(model, GIVEN["mouse"], TIMES, values={"EC50_P": model.values["EC50_P"] / 5})
    assert np.all(alone["m"] > after_the_dose(CORE, "mouse")["m"])


# ---- licensing


@pytest.mark.parametrize("more", [(), ("unstimulated",)])
@pytest.mark.parametrize("values", SPECIES)
def test_without_a_stimulus_licensing_is_the_core(values, more):
    found = after_the_dose(LICENSING, values, *more)
    assert_same(found, after_the_dose(CORE, values), core_states(values))
    assert not np.any(found["lung_licensed"])


@pytest.mark.parametrize("values", SPECIES)
def test_all_cells_licensed_make_all_pge2_lmax_fold(values):
    found, core = after_the_dose(LICENSING, values, "licensed"), after_the_dose(CORE, values)
    for state in ("pge2_local", "pge2_systemic", "pge2_metabolite"):
        np.testing.assert_allclose(found[state], 10 * core[state], SAME, err_msg=state)
    assert_same(found, core, loaded(CORE, values).conserved)
    assert np.all(found["m"] > core["m"])


@pytest.mark.parametrize("route", ["iv", "ia", "portal", "intratracheal", "im"])
@pytest.mark.parametrize(("more", "before", "stimulus"), [("host_ifn", 0.0, 0.5), ("prelicensed", 0.9, 0.0)])
def test_the_licensed_share_goes_to_the_stimulus(route, more, before, stimulus):
    """In every pool of cells and by every route it is s + (f - s) exp(-k_lic t): licensing leaves the cells alone."""
    model, times = loaded(LICENSING, ("rat", more)), TIMES[:6]
    found = run(model, bolus("1e6 cells", route), times)
    share = stimulus + (before - stimulus) * np.exp(-model.values["k_lic"] * times)
    tissue = found["liver"] + found["spleen"] + found["rest"]
    for pool, cells in (("blood", found["blood"]), ("lung", found["lung"]), ("tissue", tissue)):
        np.testing.assert_allclose(found[f"{pool}_licensed"], share * cells, 1e-5, 1e-9 * np.max(cells), err_msg=pool)


# ---- the mediator


@pytest.mark.parametrize("values", SPECIES)
def test_pge2_as_the_mediator_is_the_core(values):
    found, core = after_the_dose(MEDIATOR, values, "pge2"), after_the_dose(CORE, values)
    renamed = {"pge2_local": "mediator_local", "pge2_systemic": "mediator_systemic"}
    assert_same(found, core, [state for state in core_states(values) if state != "pge2_metabolite"], renamed)
    outputs = {"mediator_lung": "pge2_lung", "mediator_plasma": "pge2_plasma"}
    made = run(loaded(MEDIATOR, (values, "pge2")), GIVEN[values], TIMES, tuple(outputs))
    plain = run(loaded(CORE, values), GIVEN[values], TIMES, tuple(outputs.values()))
    for output, expected in outputs.items():
        np.testing.assert_allclose(made[output], plain[expected], SAME, err_msg=output)


def test_species_and_mediator_are_laid_over_each_other():
    """The mediator brings no number of the species, in any order."""
    assert {"mouse", "rat", "human_70kg", "pge2", "tsg6", "ido"} <= set(values_of(MEDIATOR))
    mouse = loaded(MEDIATOR, ("mouse", "tsg6"))
    assert mouse.values == loaded(MEDIATOR, ("tsg6", "mouse")).values
    assert mouse.values["V_loc"] == loaded(CORE, "mouse").values["V_loc"]
    assert mouse.values["k_loc"] == loaded(MEDIATOR, ("human_70kg", "tsg6")).values["k_loc"]
    assert "q0" not in mouse.parameter_names


@pytest.mark.parametrize("mediator", ["tsg6", "ido"])
def test_numbers_of_other_mediators_are_assumed_and_have_ranges(mediator):
    model, core = loaded(MEDIATOR, ("mouse", mediator)), loaded(CORE, "mouse")
    own = [row for row in model.parameters if row.name not in core.parameter_names]
    assert {row.evidence for row in own} == {"assumed"}
    assert all(row.low < row.value < row.high for row in own)


def test_a_mediator_that_is_lost_slowly_comes_later():
    """TSG-6, lost from lung ten times as slowly as PGE2, peaks hours later."""
    times = np.linspace(0.1, 40, 400)
    peak = {
        mediator: times[np.argmax(run(loaded(MEDIATOR, ("mouse", mediator)), GIVEN["mouse"], times)["mediator_local"])]
        for mediator in ("pge2", "tsg6")
    }
    assert peak["pge2"] < 4 < peak["tsg6"]


# ---- the mechanism


@pytest.mark.parametrize("more", [(), ("secretion",)])
@pytest.mark.parametrize("values", SPECIES)
def test_secretion_is_the_core(values, more):
    assert_same(after_the_dose(MECHANISM, values, *more), after_the_dose(CORE, values), core_states(values))


@pytest.mark.parametrize("values", SPECIES)
def test_both_drives_do_more_than_one(values):
    m = {stem: after_the_dose(MECHANISM, values, stem)["m"] for stem in ("secretion", "efferocytosis", "both")}
    assert np.all(m["both"] > np.maximum(m["secretion"], m["efferocytosis"]))
    assert np.all(m["both"] < 1)


def test_cells_that_were_never_alive_act_by_engulfment_alone():
    """Dead cells have no secretion; rule of the switch."""
    assert np.max(run(loaded(MECHANISM, ("mouse", "efferocytosis")), DEAD, TIMES)["m"]) > 0.1
    assert np.max(run(loaded(MECHANISM, ("mouse", "secretion")), DEAD, TIMES)["m"]) < 1e-20


@pytest.mark.parametrize("q0", [0.0, 0.02])
def test_engulfment_needs_neither_secretion_nor_licensing(q0):
    """PGE2 of none, or of cells licensed tenfold: the same."""
    found = run(loaded(MECHANISM, ("mouse", "efferocytosis")), GIVEN["mouse"], TIMES, values={"q0": q0})
    assert_same(found, after_the_dose(MECHANISM, "mouse", "efferocytosis"), ("m", "il10"))


def test_engulfment_acts_when_the_cells_are_gone():
    """Cells that live an hour: a day later nothing secretes, and phagocytes still find debris."""
    short = {"k_L": 1.0, "k_T": 1.0, "phi_L": 0.0, "phi_T": 0.0}
    found = run(loaded(MECHANISM, ("mouse", "both")), GIVEN["mouse"], (0.5, 24.0), values=short)
    p = loaded(MECHANISM, ("mouse", "both")).values
    assert found["lung"][1] < 1e-9 * found["lung"][0]
    assert found["pge2_local"][1] / p["V_loc"] / 1000 < 1e-6 * p["EC50_P"]
    assert p["k_eng"] * found["debris"][1] / p["V_loc"] > 0.01 * p["J_50"]


def test_every_death_and_every_dead_cell_given_becomes_debris():
    """With no engulfment debris is the dose without the living."""
    model = loaded(MECHANISM, ("rat", "both"))
    for route in ("iv", "ia", "intratracheal", "ip"):
        found = run(model, bolus("1e6 cells", route), TIMES, values={"k_eng": 1e-12})
        living = sum(found[state] for state in ("blood", "lung", "liver", "spleen", "rest", "depot"))
        np.testing.assert_allclose(found["debris"], 1e6 - living, 1e-6, 1e-3, err_msg=route)


DOSES = np.geomspace(1e3, 1e9, 13)


def reprogrammed_by_dose(*values):
    model = loaded(MECHANISM, values)
    return np.array([run(model, Regimen((Dose(0, dose, "cells", "iv"),)), (24.0,))["m"][0] for dose in DOSES])


@pytest.mark.parametrize("mechanism", ["secretion", "efferocytosis", "both"])
def test_the_effect_rises_with_the_dose_or_has_a_best_dose(mechanism):
    assert np.all(np.diff(reprogrammed_by_dose("mouse", mechanism)) > 0)
    bell = reprogrammed_by_dose("mouse", mechanism, "bell_shaped")
    best = int(np.argmax(bell))
    assert 0 < best < len(DOSES) - 1
    assert bell[-1] < 0.5 * bell[best]
    assert np.all(np.diff(bell[: best + 1]) > 0)
    assert np.all(np.diff(bell[best:]) < 0)


@pytest.mark.parametrize("b", [0.25, 9.0])
def test_the_best_level_and_its_effect(b):
    """x/((1 + x)(1 + b x)) is largest at x = 1/sqrt(b), where it is 1/(1 + sqrt(b))^2."""
    model, changed = loaded(MECHANISM, ("mouse", "secretion")), {"b_sec": b}
    p = model.values

    def settled(dose):
        """PGE2 over EC50_P, and the effect that holds m where it is."""
        found = run(model, Regimen((Dose(0, dose, "cells", "iv", 3000.0),)), (2900.0,), values=changed)
        m = found["m"][0]
        return found["pge2_local"][0] / p["V_loc"] / 1000 / p["EC50_P"], p["k_off"] * m / (p["k_on"] * (1 - m))

    dose = 1e8 / settled(1e8)[0] / np.sqrt(b)
    level, effect = settled(dose)
    assert level == pytest.approx(1 / np.sqrt(b), rel=1e-5)
    assert effect == pytest.approx(1 / (1 + np.sqrt(b)) ** 2, rel=1e-5)
    assert effect > max(settled(0.8 * dose)[1], settled(1.25 * dose)[1])


# ---- the options


@pytest.mark.parametrize("values", SPECIES)
def test_with_every_option_off_the_core_remains(values):
    found, p = after_the_dose(OPTIONS, values), loaded(OPTIONS, values).values
    assert_same(found, after_the_dose(CORE, values), core_states(values))
    np.testing.assert_allclose(found["tnf_local"], p["T_local_0"], 1e-12)
    np.testing.assert_allclose(found["tnf_systemic"], p["T_systemic_0"], 1e-12)
    assert not np.any(found["pge2_host"])


@pytest.mark.parametrize("name", [LICENSING, MECHANISM, OPTIONS])
def test_a_switch_that_is_off_is_not_estimated(name):
    switches = {"s_lic", "f_lic", "phi_eff", "b_sec", "b_eff", "a_10", "Imax_T_local", "Imax_T_systemic", "S_early"}
    model = loaded(name, "mouse")
    assert all(model.values[switch] == 0 for switch in switches & set(model.parameter_names))
    assert not (switches | {"q_M1"}) & set(model.free_names)


MOVED = {
    "il10_lower": {"il10"},
    "tnf_effects": {"tnf_local", "tnf_systemic"},
    "early_phase": {"tnf_local", "tnf_systemic"},
    "macrophage_pge2": {"pge2_host"},
}


@pytest.mark.parametrize(("option", "moved"), MOVED.items())
@pytest.mark.parametrize("values", SPECIES)
def test_an_option_moves_its_own_states_only(values, option, moved):
    found, off = after_the_dose(OPTIONS, values, option), after_the_dose(OPTIONS, values)
    names = loaded(OPTIONS, values).state_names
    assert_same(found, off, [state for state in names if state not in moved])
    for state in moved:
        assert np.max(np.abs(found[state] - off[state])) > 1e-3 * np.max(found[state]), state


@pytest.mark.parametrize("values", SPECIES)
def test_il10_may_fall_rise_or_stay(values):
    """The additive term is at work at once and takes either sign; production never falls below zero."""
    model, base = loaded(OPTIONS, values), loaded(OPTIONS, values).values["I10_0"]
    found = {a: run(model, GIVEN[values], TIMES, values={"a_10": a})["il10"] for a in (-50.0, -0.5, 0.0, 0.5)}
    assert np.min(found[-0.5]) < base
    assert np.all(found[-0.5][2:] < found[0.0][2:])
    assert np.all(found[0.5][2:] > found[0.0][2:])
    assert np.min(found[-50.0]) > -1e-9 * base


def test_tnf_falls_by_its_own_share_in_airways_and_plasma():
    """Held where it is by endless cells, TNF is T0 (1 - Imax E) in airways and T0 (1 - Imax m) in plasma."""
    model = loaded(OPTIONS, ("mouse", "tnf_effects"))
    found = run(model, Regimen((Dose(0, 1e9, "cells", "iv", 3000.0),)), (2900.0,))
    p, level = model.values, found["pge2_local"][0] / model.values["V_loc"] / 1000
    effect = level / (level + p["EC50_P"])
    expected = {
        "tnf_local": p["T_local_0"] * (1 - p["Imax_T_local"] * effect),
        "tnf_systemic": p["T_systemic_0"] * (1 - p["Imax_T_systemic"] * found["m"][0]),
    }
    for state, value in expected.items():
        assert found[state][0] == pytest.approx(value, rel=1e-6), state


@pytest.mark.parametrize("switch", ["Imax_T_local", "Imax_T_systemic"])
def test_effects_in_airways_and_plasma_are_separate(switch):
    state = {"Imax_T_local": "tnf_local", "Imax_T_systemic": "tnf_systemic"}[switch]
    found = run(loaded(OPTIONS, "mouse"), GIVEN["mouse"], TIMES, values={switch: 0.5})
    off = after_the_dose(OPTIONS, "mouse")
    assert np.all(found[state] < off[state])
    assert_same(found, off, {"tnf_local", "tnf_systemic"} - {state})


@pytest.mark.parametrize("values", SPECIES)
def test_tnf_is_up_at_first_and_down_later(values):
    """Above the baseline at 1 h, below it at 6 h and after; without the effects on TNF it only returns."""
    both = after_the_dose(OPTIONS, values, "tnf_effects", "early_phase")
    base = loaded(OPTIONS, values).values
    for state, start in (("tnf_local", "T_local_0"), ("tnf_systemic", "T_systemic_0")):
        assert both[state][2] > base[start]
        assert np.all(both[state][4:] < base[start])
    alone = after_the_dose(OPTIONS, values, "early_phase")["tnf_systemic"]
    assert np.all(alone >= base["T_systemic_0"] * (1 - SAME))
    assert alone[-1] == pytest.approx(base["T_systemic_0"], rel=1e-6)


def test_total_pge2_may_fall_while_the_cells_secrete():
    """Macrophages make much, few cells reprogram them: PGE2 of the cells is there, and the total is below the start."""
    model, few = loaded(OPTIONS, ("mouse", "macrophage_pge2")), bolus("1e5 cells", "iv")
    found = run(model, few, (0.0, 24.0), ("pge2_lung", "pge2_lung_total"), values={"q_M1": 5.0})
    assert found["pge2_lung"][1] > 0
    assert found["pge2_lung_total"][1] < found["pge2_lung_total"][0]
    settled = run(model, Regimen(()), (0.0, 500.0), ("pge2_lung_total",))["pge2_lung_total"]
    np.testing.assert_allclose(settled, settled[0], 1e-9)  # without cells the host stays where it was
    p = model.values
    assert settled[0] == pytest.approx(p["q_M1"] * p["q0"] * p["n_M1"] / p["k_Ploc"] / 1000)


def test_the_mechanism_is_an_option_too():
    found = after_the_dose(OPTIONS, "rat", "both")
    assert_same(found, after_the_dose(MECHANISM, "rat", "both"), loaded(MECHANISM, "rat").state_names)
