"""Known answers of the models of cells, label, detection and products, and what a variant is when switched off."""

from __future__ import annotations

from functools import cache
from math import exp, factorial, log

import numpy as np
import pytest

from mscpkpd.dosing import Dose, Regimen, bolus, infusion
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.modelfile.library import read_toml
from reference.runs import run

SPECIES = ("mouse", "rat", "human_70kg")
ALIVE = ("blood", "lung", "liver", "spleen", "rest", "depot")
ROUTES = (
    "iv", "ia", "portal", "intratracheal", "ip", "im", "sc", "intra_articular", "intrathecal", "intralesional",
)  # fmt: skip
TIMES = (0.01, 0.25, 1.0, 6.0, 24.0, 72.0, 168.0)
GIVEN = {"mouse": "1e6 cells", "rat": "2e6 cells", "human_70kg": "1.4e8 cells"}

loaded = cache(load_model)


def course(species):
    """By vein, artery and into a joint, so that every state and parameter is in use."""
    dose = GIVEN[species]
    return infusion(dose, "iv", "1 h") + bolus(dose, "ia", at="6 h") + bolus(dose, "intra_articular", at="12 h")


def assert_same(variant, base, regimen, states, *, values=None, rtol=1e-6, other=None):
    """States of one model equal those of another; `other` names them there."""
    found, expected = run(variant, regimen, TIMES, values=values), run(base, regimen, TIMES)
    for state in states:
        numbers = expected[(other or {}).get(state, state)]
        np.testing.assert_allclose(found[state], numbers, rtol=rtol, atol=1e-9 * np.max(numbers), err_msg=state)


# ---- cells


@pytest.mark.parametrize("name", ["cells", "label", "cells_saturable_lung", "cells_thawed", "label_detection"])
@pytest.mark.parametrize("species", SPECIES)
def test_lung_holds_its_share_after_a_quarter_of_an_hour(name, species):
    """Test 4: rho_L F_v of the count, to 2 %."""
    model = loaded(name, species)
    found = run(model, bolus("1e4 cells", "iv"), (0.25,), ("lung_cells",))["lung_cells"][0]
    assert found == pytest.approx(1e4 * model.values["rho_L"] * model.values["F_v"], rel=0.02)


@pytest.mark.parametrize("species", SPECIES)
def test_blood_is_in_quasi_steady_state(species):
    """Test 2: B = (phi_L k_L L + phi_T k_T T)/k_B from an hour on."""
    model = loaded("cells", species)
    p, found = model.values, run(model, bolus("1e6 cells", "iv"), (1.0, 6.0, 24.0))
    tissue = found["liver"] + found["spleen"] + found["rest"]
    expected = (p["phi_L"] * p["k_L"] * found["lung"] + p["phi_T"] * p["k_T"] * tissue) / p["k_B"]
    np.testing.assert_allclose(found["blood"], expected, rtol=2 * p["k_L"] / p["k_B"])


@pytest.mark.parametrize("species", SPECIES)
def test_living_cells_are_the_same_with_their_label_and_their_mediators(species):
    base, states = loaded("cells", species), ALIVE
    for name in ("label", "label_detection", "two_functional_compartments"):
        assert_same(loaded(name, species), base, course(species), states)


@pytest.mark.parametrize("name", ["label", "product_hydrogel"])
@pytest.mark.parametrize("species", SPECIES)
def test_dead_cells_are_those_that_label_counts(name, species):
    """What `cells` counts as dead is the label of dead cells, wherever it is by now."""
    found = run(loaded(name, species), course(species), TIMES)
    label = sum(found[f"label_{part}"] for part in ("lung", "liver", "spleen", "rest", "lost"))
    expected = run(loaded("cells", species), course(species), TIMES)["dead"]
    np.testing.assert_allclose(label, expected, rtol=1e-7)


@pytest.mark.parametrize(
    "name", ["cells", "cells_ageing", "cells_thawed", "label", "label_detection", "product_hydrogel"]
)
def test_no_route_is_lost(name):
    assert set(ROUTES) <= set(loaded(name, "mouse").route_names)


@pytest.mark.parametrize("species", SPECIES)
def test_a_number_of_a_species_is_written_once(species):
    chain = ("cells", "label", "two_functional_compartments")
    rows = [read_toml(library_path() / "values" / name / f"{species}.toml")["parameters"] for name in chain]
    names = [name for table in rows for name in table]
    assert len(names) == len(set(names))


# ---- delayed death

ERLANG = {24.0: 50.0, 48.0: 6.6, 72.0: 0.49, 96.0: 0.027}  # survivors [%], four stages


def test_survivors_in_lung_without_release():
    """Test 7, through the shipped chain: a dose into the airways, no cell leaves lung alive."""
    model = loaded("cells_ageing", "mouse")
    hours, rate = np.array(list(ERLANG)), 4 / model.values["life_L"]
    found = run(model, bolus("1e6 cells", "intratracheal"), hours, ("lung_cells",), values={"phi_L": 0.0})["lung_cells"]
    survivors = 100 * found / (1e6 * model.values["F_v"])
    series = [100 * exp(-rate * t) * sum((rate * t) ** k / factorial(k) for k in range(4)) for t in hours]
    np.testing.assert_allclose(survivors, series, rtol=1e-6)
    np.testing.assert_allclose(survivors, list(ERLANG.values()), rtol=0.02)


def test_one_stage_is_an_exponential():
    """With one stage and its mean life, the chain is the model without a chain."""
    base = loaded("cells", "rat")
    single = load_model("cells_ageing", values="rat", stages={"lung": 1})
    same = {**dict.fromkeys(ALIVE, ""), "dead": ""}
    names = {("lung_1" if state == "lung" else state): state for state in same}
    assert_same(single, base, course("rat"), names, values={"life_L": 1 / base.values["k_L"]}, other=names)


@pytest.mark.parametrize("stages", [1, 2, 4, 8])
def test_more_stages_keep_the_mean_life(stages):
    """The area under the survivors is the mean life, for any number of stages."""
    model = load_model("cells_ageing", values="mouse", stages={"lung": stages})
    hours = np.linspace(0.0, 400.0, 801)
    found = run(model, bolus("1e6 cells", "intratracheal"), hours, ("lung_cells",), values={"phi_L": 0.0})["lung_cells"]
    area = np.trapezoid(found, hours) / (1e6 * model.values["F_v"])
    assert area == pytest.approx(model.values["life_L"], rel=1e-3)


# ---- thawed cells


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("w0", [0.0, 0.5, 1.0])
def test_fit_and_stunned_cells_add_up_to_cells(species, w0):
    thawed, times = loaded("cells_thawed", species), TIMES
    found = run(thawed, course(species), times, values={"w0": w0})
    expected = run(loaded("cells", species), course(species), times)
    for state in ALIVE:
        both = found[state] + found[f"{state}_stunned"]
        np.testing.assert_allclose(both, expected[state], rtol=1e-6, atol=1e-9 * np.max(expected[state]))
    np.testing.assert_allclose(found["dead"], expected["dead"], rtol=1e-6)


def test_cells_from_culture_are_all_fit():
    cultured = loaded("cells_thawed", ("mouse", "cultured"))
    assert_same(cultured, loaded("cells", "mouse"), course("mouse"), (*ALIVE, "dead"))


def test_the_fit_share_recovers_alike_everywhere():
    """1 - (1 - w0) exp(-k_rec t) in every pool after one dose."""
    model, times = loaded("cells_thawed", "human_70kg"), np.array(TIMES)
    found, p = run(model, bolus("1e8 cells", "iv"), times), model.values
    expected = 1 - (1 - p["w0"]) * np.exp(-p["k_rec"] * times)
    for state in ("blood", "lung", "liver", "spleen", "rest"):
        share = found[state] / (found[state] + found[f"{state}_stunned"])
        np.testing.assert_allclose(share, expected, rtol=1e-5)


# ---- a lung that fills up


@pytest.mark.parametrize("species", SPECIES)
def test_a_huge_capacity_is_no_limit(species):
    model = loaded("cells_saturable_lung", species)
    assert_same(model, loaded("cells", species), course(species), (*ALIVE, "dead"), values={"N_L": 1e30})


def test_a_larger_dose_passes_a_larger_share():
    model = loaded("cells_saturable_lung", "mouse")
    shares = [run(model, bolus(f"{n:g} cells", "iv"), (0.25,))["lung"][0] / n for n in (1e4, 1e6, 1e7, 1e8)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(model.values["rho_L"] * model.values["F_v"], rel=0.02)
    assert shares[-1] < 0.6 * shares[0]


def test_a_second_bolus_passes_more_cells_than_the_first():
    model = loaded("cells_saturable_lung", "rat")
    twice = run(model, bolus("1e8 cells", "iv", every="0.5 h", doses=2), (0.0, 0.25, 0.5, 0.75))["lung"]
    assert twice[3] - twice[2] < 0.9 * twice[1]


# ---- methods of detection


def detected(changes=(), hours=TIMES, dose="iv", values="mouse"):
    model = loaded("label_detection", values)
    return model, run(model, bolus("1e6 cells", dose), hours, values=dict(changes)), np.array(hours)


@pytest.mark.parametrize("species", SPECIES)
def test_without_leakage_the_label_is_that_of_the_label_model(species):
    labels = [f"label_{part}" for part in ("lung", "liver", "spleen", "rest", "lost")]
    assert_same(loaded("label_detection", species), loaded("label", species), course(species), labels)
    held = {f"held_{state}": state for state in ALIVE}
    assert_same(loaded("label_detection", species), loaded("label", species), course(species), held, other=held)


def test_label_that_leaks_leaves_the_cells_and_not_the_body():
    _, plain, _ = detected()
    model, found, hours = detected({"k_leak": 0.01})
    np.testing.assert_allclose(found["held_lung"], plain["lung"] * np.exp(-0.01 * hours), rtol=1e-5)
    assert np.all(found["label_liver"][3:6] > plain["label_liver"][3:6])
    np.testing.assert_allclose(sum(found[state] for state in model.conserved), 1e6, rtol=1e-8)


@pytest.mark.parametrize("isotope", ["chromium_51", "technetium_99m", "zirconium_89", "fluorine_18"])
def test_counts_decay_from_time_zero(isotope):
    model = loaded("label_detection", ("mouse", isotope))
    found = run(model, bolus("1e6 cells", "iv"), TIMES, ("lung_label", "lung_counts"))
    half_lives = np.array(TIMES) / model.values["t_iso"]
    np.testing.assert_allclose(found["lung_counts"], found["lung_label"] * 0.5**half_lives, rtol=1e-9)


def test_dna_and_iron_that_stay_are_those_of_all_cells():
    """Without loss, living cells with the DNA, or the iron, of dead ones are the dose, from every route."""
    still = dict.fromkeys(("k_NL", "k_NLi", "k_NSp", "k_NR", "k_NS", "k_Fe"), 0.0)
    for route in ROUTES:
        _, found, _ = detected(still, dose=route)
        alive = sum(found[state] for state in ALIVE)
        for kind in ("dna", "iron"):
            dead = sum(found[f"{kind}_{part}"] for part in ALIVE[1:])
            np.testing.assert_allclose(alive + dead, 1e6, rtol=1e-8, err_msg=f"{route} {kind}")


def test_each_method_sees_less_or_more_of_the_same_cells():
    """A day after the dose: re-culture < living < qPCR < label and iron in the lung."""
    model = loaded("label_detection", "mouse")
    asked = ("lung_reculture", "lung_histology", "lung_flow", "lung_cells", "lung_qPCR", "lung_iron", "lung_label")
    found = run(model, bolus("1e6 cells", "iv"), (24.0,), asked)
    seen = {name: found[name][0] for name in asked}
    assert seen["lung_reculture"] < seen["lung_cells"] < seen["lung_qPCR"] < seen["lung_iron"]
    p = model.values
    assert seen["lung_flow"] == pytest.approx(p["r_flow"] * seen["lung_cells"])
    assert seen["lung_histology"] == pytest.approx(p["f_hist"] * p["e_hist"] * seen["lung_cells"])


def test_label_leads_to_the_liver_where_no_cells_are():
    """What made label and cells two outputs: the label moves to the liver, living cells stay in lung."""
    model = loaded("label_detection", ("mouse", "chromium_51"))
    found = run(
        model, bolus("5e5 cells", "iv"), (1.0, 24.0, 72.0), ("liver_label", "liver_reculture", "lung_reculture")
    )
    assert found["liver_label"][2] > 5 * found["liver_label"][0]
    assert np.all(found["liver_reculture"] < 0.05 * found["lung_reculture"])


# ---- the metabolite of PGE2 (2.5)


@pytest.mark.parametrize(
    ("species", "expected", "changes"),
    # the table is of a mouse of 20 g, to which 1e6 cells are 5e7/kg; the values are of one of 25 g
    [("mouse", 65.0, {"V_M": 4.0}), ("mouse", 52.0, {}), ("human_70kg", 2.6, {})],
)
def test_the_metabolite_of_pge2_after_six_hours(species, expected, changes):
    model = loaded("two_functional_compartments", species)
    found = run(model, bolus(GIVEN[species], "iv"), (6.0,), ("pge2_metabolite_plasma",), values=changes)
    assert found["pge2_metabolite_plasma"][0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("species", SPECIES)
def test_the_metabolite_collects_all_pge2(species):
    """In steady state what is lost as metabolite is what the cells secrete."""
    model = loaded("two_functional_compartments", species)
    endless = Regimen((Dose(0, 1e9, "cells", "iv", 3000.0),))
    found, p = run(model, endless, (2900.0,)), model.values
    alive = sum(found[state][0] for state in ("blood", "lung", "liver", "spleen", "rest"))
    assert p["k_M"] * found["pge2_metabolite"][0] == pytest.approx(p["q0"] * alive, rel=1e-5)


# ---- products


@pytest.mark.parametrize("species", SPECIES)
def test_a_cell_that_was_not_modified_is_the_core(species):
    core = loaded("two_functional_compartments", species)
    assert_same(loaded("product_gene_modified", species), core, course(species), core.state_names)


def test_a_fold_of_secretion_is_a_fold_of_pge2():
    core, modified = (
        loaded("two_functional_compartments", "mouse"),
        loaded("product_gene_modified", ("mouse", "pge2_tenfold")),
    )
    states = ("pge2_local", "pge2_systemic", "pge2_metabolite")
    found, expected = run(modified, course("mouse"), TIMES), run(core, course("mouse"), TIMES)
    for state in states:
        np.testing.assert_allclose(found[state], 10 * expected[state], rtol=1e-6)


@pytest.mark.parametrize("loss", [0.005, 0.93, 20.0])
def test_a_new_factor_has_two_exponentials(loss):
    """Test 5: cells that die at one rate and a factor that is lost at another."""
    model = loaded("product_gene_modified", ("mouse", "il10_secreting"))
    p, t = {**model.values, "k_F": loss}, np.array([0.1, 1.0, 6.0, 24.0, 300.0, 360.0])
    alone = {"k_F": loss, "phi_L": 0.0}
    found = run(model, bolus("1e6 cells", "intratracheal"), t, ("factor_plasma",), values=alone)["factor_plasma"]
    start = p["q_F"] * 1e6 * p["F_v"] / p["V_F"]
    expected = start * (np.exp(-p["k_L"] * t) - np.exp(-loss * t)) / (loss - p["k_L"])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    last = np.log(found[-2] / found[-1]) / (t[-1] - t[-2])  # the slower of the two sets the end
    assert last == pytest.approx(min(p["k_L"], loss), rel=0.1)


def test_a_gel_that_frees_all_cells_at_once_is_no_gel():
    gel, label = loaded("product_hydrogel", "mouse"), loaded("label", "mouse")
    found = run(gel, bolus("1e6 cells", "gel"), TIMES, values={"b_gel": 1.0})
    expected = run(label, bolus("1e6 cells", "intra_articular"), TIMES)
    for state in label.state_names:
        floor = 1e-9 * max(np.max(expected[state]), 1.0)
        np.testing.assert_allclose(found[state], expected[state], rtol=1e-6, atol=floor, err_msg=state)


def test_cells_of_a_gel_outlive_free_cells():
    model = loaded("product_hydrogel", "mouse")
    hours = (24.0, 168.0, 336.0)
    in_gel = run(model, bolus("1e6 cells", "gel"), hours, ("site_cells",))["site_cells"]
    free = run(model, bolus("1e6 cells", "intra_articular"), hours, ("site_cells",))["site_cells"]
    assert np.all(in_gel > free)
    p = model.values
    alike = run(model, bolus("1e6 cells", "gel"), hours, ("site_cells",), values={"k_dG": p["k_dS"], "k_S": 0.0})
    np.testing.assert_allclose(alike["site_cells"], 1e6 * p["F_v"] * np.exp(-p["k_dS"] * np.array(hours)), rtol=1e-6)


@pytest.mark.parametrize("species", SPECIES)
def test_vesicles_leave_blood_within_an_hour(species):
    model, t = loaded("product_vesicles", species), np.array([0.02, 0.1, 0.5, 1.0])
    p, found = model.values, run(model, bolus("1e10 particles", "iv"), t)
    np.testing.assert_allclose(found["ev_blood"], 1e10 * np.exp(-p["k_V"] * t), rtol=1e-6)
    assert log(2) / p["k_V"] < 0.25  # minutes
    assert found["ev_lung"][-1] < 0.15e10  # no entrapment: cells leave four fifths of a dose there
    assert found["ev_liver"][-1] == max(found[f"ev_{organ}"][-1] for organ in ("lung", "liver", "spleen"))


def test_shares_of_vesicles_are_those_read_in_the_mouse():
    """28, 1.6 and 7 % of the label in liver, spleen and lung at 4 h."""
    found = run(loaded("product_vesicles", "mouse"), bolus("100 particles", "iv"), (4.0,))
    for organ, expected in (("liver", 28.0), ("spleen", 1.6), ("lung", 7.0)):
        assert found[f"ev_{organ}"][0] == pytest.approx(expected, rel=0.05), organ


# ---- interferon beside cells


@pytest.mark.parametrize("species", SPECIES)
def test_without_interferon_licensing_is_that_of_the_host(species):
    base = loaded("two_functional_licensing", (species, "host_ifn"))
    variant = loaded("product_ifng_cotreatment", (species, "host_ifn"))
    assert_same(variant, base, course(species), base.state_names)


def test_interferon_has_two_exponentials_and_licenses_cells():
    model, t = loaded("product_ifng_cotreatment", "human_70kg"), np.array([1.0, 4.0, 12.0, 24.0])
    p = model.values
    cells = bolus("1e8 cells", "iv")
    drug = Regimen((Dose(0.0, 1e5, "ng", "ifng_sc"),))
    found = run(model, drug + cells, t, ("ifng_plasma", "pge2_lung"))
    ka, k = p["k_aG"], p["k_G"]
    nanograms = 1e5 * p["F_G"] * ka / (k - ka) * (np.exp(-ka * t) - np.exp(-k * t))
    np.testing.assert_allclose(found["ifng_plasma"], 1e3 * nanograms / p["V_G"], rtol=1e-6)
    alone = run(model, cells, t, ("pge2_lung",))["pge2_lung"]
    assert np.all(found["pge2_lung"] > alone)
    assert np.all(found["pge2_lung"] < p["Lmax"] * alone)


def test_interferon_without_end_licenses_every_cell():
    model = loaded("product_ifng_cotreatment", "mouse")
    drug = Regimen((Dose(0.0, 1e9, "ng", "ifng_iv", 300.0),))
    found = run(model, drug + bolus("1e6 cells", "iv"), (72.0, 120.0))
    np.testing.assert_allclose(found["lung_licensed"], found["lung"], rtol=1e-3)
