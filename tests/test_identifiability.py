"""What a design can tell: exact groups, what it cannot separate in practice, and how precise the rest will be."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import toy
from mscpkpd import plots
from mscpkpd.data import read_study
from mscpkpd.designs import Design
from mscpkpd.dosing import Regimen, bolus, infusion
from mscpkpd.errors import DataError, UnitError, UnknownName, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.identifiability import Identifiability
from mscpkpd.identifiability.directions import (
    blocks,
    formula,
    invariants,
    null_space,
    rank,
    reduced,
    standard_errors,
)
from mscpkpd.modelfile import library_path, load_model

TIMES = (1.0, 3.0, 6.0, 12.0, 24.0, 36.0)
SECRETION = ("q0", "V_loc", "k_Ploc", "EC50_P")
DOSES = tuple(bolus(f"{cells} cells", "iv") for cells in ("1e4", "1e5", "1e6"))
LATER = (6.0, 12.0, 24.0, 48.0, 72.0, 96.0)


@pytest.fixture
def simple(tmp_path):
    return toy.toy_model(tmp_path)


@pytest.fixture(scope="module")
def mouse():
    return load_model("two_functional_compartments", values="mouse")


@pytest.fixture(scope="module")
def human() -> Identifiability:
    model = load_model("two_functional_compartments", values="human_70kg")
    return model.identifiability(read_study(library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv"))


def altered(tmp_path, *changes: tuple[str, str], name: str = "altered"):
    """The toy with lines of its file replaced."""
    text = toy.TEXT.format(noise="lognormal(b)", unit="cells/mL", origin=toy.ORIGIN, other=toy.OTHER)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return load_model(path)


# ---- a toy: dose * F / V ---------------------------------------------------------------------------------------------


def test_dose_times_share_over_volume_is_one_group(simple) -> None:
    design = Design(bolus("1000 cells", "iv"), ("conc",), TIMES)
    report = simple.identifiability(design, free=("k", "F", "V"))
    (group,) = report.groups
    assert group.exact
    assert group.names == ("F", "V")
    assert group.formulas == ("F/V",)
    assert [str(one) for one in report.null_directions] == ["raising F by 1 % and V by 1 %"]
    assert (report.rank, report.structural_rank) == (2, 2)
    assert "k" in report.identifiable
    assert not {"F", "V"} & set(report.identifiable)
    assert len({"F", "V"} & set(report.recoverable)) == 1
    (pair,) = report.pairs
    assert (pair.first, pair.second, pair.exact) == ("F", "V", True)
    assert pair.alignment == pytest.approx(-1.0)
    assert pair.collinearity == np.inf


def test_the_group_is_told_in_words(simple) -> None:
    report = simple.identifiability(Design(bolus("1000 cells", "iv"), ("conc",), TIMES), free=("k", "F", "V"))
    text = str(report)
    assert "No data on these outputs can separate" in text
    assert "F and V enter only as one group: F/V" in text
    assert "raising F by 1 % and V by 1 % changes nothing" in text
    assert "(at 5 of 5 parameter points)" in text
    assert "6 observations show 2 independent combinations" in text
    assert "Identifiable from the data alone: k\n" in text
    assert "identifiability" not in repr(report)
    assert "1 of 3 parameters identifiable" in repr(report)


def test_another_output_separates_the_pair(simple) -> None:
    design = Design(bolus("1000 cells", "iv"), ("conc", "count"), TIMES, subjects=4)
    report = simple.identifiability(design, free=("k", "F", "V"))
    assert report.groups == ()
    assert report.pairs == ()
    assert report.identifiable == ("k", "F", "V")
    assert report.identifiable == report.recoverable
    assert "No data on these outputs" not in str(report)


def test_two_losses_of_which_only_the_sum_is_seen(tmp_path) -> None:
    model = altered(
        tmp_path,
        ('"-k*body"', '"-(k + idle)*body"'),
        ("normal(2, 1)", "lognormal(2, 1)"),
        ('1", prior = "lognormal(2', '1/h", prior = "lognormal(2'),
    )
    report = model.identifiability(
        Design(bolus("1000 cells", "iv"), ("count",), (0.1, 0.3, 0.6, 1.0)), free=("k", "idle")
    )
    (group,) = report.groups
    assert group.formulas == ("k + idle",)
    (direction,) = group.directions
    assert direction.steps == pytest.approx((1.0, -0.05), rel=1e-3)
    assert str(direction) == "raising k by 1 % and lowering idle by 0.05 %"
    assert "at 5 of 5 parameter points" in str(report)


def test_a_power_is_recognised(tmp_path) -> None:
    model = altered(tmp_path, ('"-k*body"', '"-k*idle**2*body"'), ("normal(2, 1)", "lognormal(2, 1)"))
    report = model.identifiability(Design(bolus("1000 cells", "iv"), ("count",), TIMES), free=("k", "idle"))
    assert report.groups[0].formulas == ("k idle^2",)


def test_what_has_no_formula_is_reported_as_it_is(tmp_path) -> None:
    model = altered(tmp_path, ('"-k*body"', '"-k*exp(idle)*body"'), ("normal(2, 1)", "lognormal(2, 1)"))
    report = model.identifiability(Design(bolus("1000 cells", "iv"), ("count",), TIMES), free=("k", "idle"))
    (group,) = report.groups
    assert group.exact
    assert group.formulas == ()
    assert "k and idle show only one combination, which no simple formula gives" in str(report)
    assert "near these values, raising k by 1 % and lowering idle by 0.5 % changes nothing" in str(report)


def test_a_parameter_without_influence_is_named(simple) -> None:
    report = simple.identifiability(Design(bolus("1000 cells", "iv"), ("count",), TIMES), free=("k", "idle", "V"))
    assert report.without_influence == ("idle", "V")
    assert report.table.loc["idle", "verdict"] == "no influence"
    assert report.table.loc["idle", "with_prior"] == report.table.loc["idle", "prior"] == pytest.approx(0.5)
    assert report.table.loc["V", "prior"] == np.inf
    assert "Without influence on these outputs: idle, V" in str(report)


def test_a_chance_degeneracy_at_the_typical_values_is_not_exact(tmp_path) -> None:
    """At the typical F of 0.8 idle has no effect; elsewhere it has."""
    changes = ('"2*body"', '"body*(1 + idle*(F - 0.8)**2*k*t)"'), ("normal(2, 1)", "lognormal(2, 1)")
    report = altered(tmp_path, *changes).identifiability(
        Design(bolus("1000 cells", "iv"), ("silent",), TIMES), free=("k", "F", "idle")
    )
    assert report.without_influence == ()
    assert (report.rank, report.structural_rank, report.by_chance) == (2, 3, 1)
    assert "1 cannot be seen at exactly these values, by chance" in str(report)
    assert report.groups == ()
    assert report.table.loc["idle", "verdict"] == "hardly seen"


def test_equal_rates_hide_what_others_would_show(mouse) -> None:
    """The shipped k_L and k_T are equal, as are phi_L and phi_T: that is no property of the model."""
    free = ("k_L", "k_T", "phi_T", "k_B")
    design = Design(bolus("1e6 cells", "iv"), ("blood_cells", "liver_cells"), LATER)
    report = mouse.identifiability(design, free=free)
    assert report.structural_rank == 4
    assert not any(group.exact for group in report.groups)


def test_infusions_and_doses_per_weight(simple) -> None:
    given = infusion("50 cells/kg", "iv", over="1 h", every="12 h", doses=3)
    report = simple.identifiability(Design(given, ("conc",), TIMES, weight=20.0), free=("k", "F", "V"))
    assert [group.formulas for group in report.groups] == [("F/V",)]


# ---- precision -------------------------------------------------------------------------------------------------------


def test_standard_errors_are_those_of_the_fisher_information(simple) -> None:
    """Lognormal noise of SD b: log y = log(dose F/V) - k t, linear in k and in log F."""
    report = simple.identifiability(Design(bolus("1000 cells", "iv"), ("conc",), TIMES, subjects=4), free=("k", "F"))
    rows = np.stack([-0.1 * np.array(TIMES), np.ones(len(TIMES))], axis=1) / (0.3 / np.sqrt(4))
    errors = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows)))
    assert report.table["without_prior"].to_numpy() == pytest.approx(errors, rel=1e-6)
    assert report.table["alone"].to_numpy() == pytest.approx(1 / np.linalg.norm(rows, axis=0), rel=1e-6)
    prior = np.array([np.sqrt(np.log1p(0.25)), 0.2 * 0.1 / 0.2])  # logit: d ln x = (1 - x) dz
    assert report.table["prior"].to_numpy() == pytest.approx(prior, rel=1e-9)
    both = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows + np.diag(prior**-2.0))))
    assert report.table["with_prior"].to_numpy() == pytest.approx(both, rel=1e-6)
    assert report.table["learned"].to_numpy() == pytest.approx(1 - both**2 / prior**2, rel=1e-6)


def test_a_fit_has_the_errors_that_the_report_expects(simple) -> None:
    times = (1.0, 4.0, 8.0, 16.0, 24.0)
    model = simple.fix(b=0.3)
    study = toy.study_of([{"time": t, "value": 80 * np.exp(-0.1 * t)} for t in times])
    report = model.identifiability(study, free=("k", "F"))
    found = fit(model, study, free=["k", "F"]).table.set_index("parameter")
    assert found.loc["k", "sd"] / 0.1 == pytest.approx(report.table.loc["k", "without_prior"], rel=1e-3)
    assert found.loc["F", "sd"] / 0.8 == pytest.approx(report.table.loc["F", "without_prior"], rel=1e-3)


def test_values_of_a_study_do_not_count(simple) -> None:
    reports = [
        simple.identifiability(toy.study_of([{"time": t, "value": value} for t in TIMES])) for value in (1.0, 70.0)
    ]
    assert reports[0].table.equals(reports[1].table)
    assert str(reports[0]) == str(reports[1])


def test_an_output_without_noise_counts_as_measured_to_ten_percent(simple) -> None:
    report = simple.identifiability(Design(bolus("1000 cells", "iv"), ("silent",), (1.0,)), free=("F",))
    assert report.table.loc["F", "alone"] == pytest.approx(0.1, rel=1e-6)


def test_several_arms_and_an_untreated_one(simple) -> None:
    one = simple.identifiability(Design(bolus("1000 cells", "iv"), ("count",), TIMES), free=("k", "F"))
    arms = (bolus("1000 cells", "iv"), bolus("2000 cells", "iv"), Regimen())
    more = simple.identifiability(Design(arms, ("count",), TIMES), free=("k", "F"))
    assert more.observations == 3 * one.observations
    ratio = one.table["without_prior"] / more.table["without_prior"]
    assert ratio.to_numpy() == pytest.approx(np.sqrt(2) * np.ones(2), rel=1e-6)


def test_time_unit_of_the_model_counts(tmp_path) -> None:
    days = altered(tmp_path, ('time = "h"', 'time = "d"'), ('unit = "1/h"', 'unit = "1/d"'))
    hours = toy.toy_model(tmp_path)
    design = Design(bolus("1000 cells", "iv"), ("count",), TIMES)
    assert days.identifiability(design).table["alone"].to_numpy() == pytest.approx(
        hours.identifiability(design).table["alone"].to_numpy(), rel=1e-6
    )


# ---- the core: Pi = q0/(V_loc k_Ploc EC50) ---------------------------------------------------------------------------


def test_il10_and_m_show_secretion_as_one_group(mouse) -> None:
    """From 6 h on local PGE2 follows the cells: its loss only sets the level, and Pi is all that can be learned."""
    free = (*SECRETION, "k_on", "k_off", "Smax")
    report = mouse.identifiability(Design(DOSES, ("il10", "m"), LATER), free=free)
    exact = next(group for group in report.groups if group.exact)
    assert exact.formulas == ("q0/(V_loc EC50_P)",)
    assert [str(one) for one in exact.directions] == [
        "raising q0 by 1 % and EC50_P by 1 %",
        "raising q0 by 1 % and V_loc by 1 %",
    ]
    near = next(group for group in report.groups if not group.exact)
    assert near.names == SECRETION
    assert near.formulas == ("q0/(V_loc k_Ploc EC50_P)",)
    assert near.shift < 0.1 * near.alone
    assert {(pair.first, pair.second) for pair in report.pairs if "k_Ploc" in (pair.first, pair.second)} >= {
        ("q0", "k_Ploc"),
        ("k_Ploc", "EC50_P"),
    }
    assert len(set(SECRETION) & set(report.recoverable)) == 1
    assert not set(SECRETION) & set(report.identifiable)
    assert "act nearly only as one group: q0/(V_loc k_Ploc EC50_P)" in str(report)


def test_early_and_precise_data_separate_the_loss_of_pge2_from_the_group(mouse) -> None:
    times = (0.25, 0.5, 1.0, 2.0, *LATER)
    report = mouse.identifiability(Design(DOSES, ("il10", "m"), times, subjects=6), free=(*SECRETION, "k_on", "k_off"))
    assert "k_Ploc" in report.identifiable
    assert [group.formulas for group in report.groups] == [("q0/(V_loc EC50_P)",)]


def test_from_il10_alone_the_dose_joins_the_group(mouse) -> None:
    """Where nobody counts cells, the viable fraction scales the same quantity."""
    free = [name for name in mouse.free_names if name not in {"phi_L", "phi_T", "s_T"}]
    report = mouse.identifiability(Design(DOSES, ("il10",), LATER, subjects=6), free=(*free, "V_loc"))
    formulas = [formula for group in report.groups if group.exact for formula in group.formulas]
    assert any("q0" in one and one.startswith("F_v") and one.endswith("/(V_loc EC50_P)") for one in formulas)


def test_measured_local_pge2_breaks_the_group(mouse) -> None:
    report = mouse.identifiability(
        Design(DOSES, ("il10", "m", "pge2_lung"), LATER, subjects=6), free=("q0", "EC50_P", "k_on", "k_off")
    )
    assert not any(group.exact for group in report.groups)
    assert "EC50_P" in report.identifiable


# ---- human label data ------------------------------------------------------------------------------------------------


def test_human_label_data_teach_what_the_posterior_says(human) -> None:
    """The sampled fit of these data learns rho_L and k_XL, and hardly k_B, F_v, k_L, k_T, phi_L and phi_T."""
    learned = human.table["learned"]
    assert min(learned["rho_L"], learned["k_XL"]) > 0.9
    assert all(learned[name] < 0.1 for name in ("k_B", "F_v", "k_L", "k_T", "phi_L", "phi_T"))
    assert human.identifiable == ()
    assert {"rho_L", "k_XL"} <= set(human.recoverable)
    assert human.rank == human.observations == 6


def test_human_label_data_name_what_they_cannot_separate(human) -> None:
    pairs = {frozenset((pair.first, pair.second)) for pair in human.pairs}
    assert {frozenset(("k_L", "k_XL")), frozenset(("k_XR", "k_Xout")), frozenset(("s_T", "t_Li"))} <= pairs
    assert not any(group.exact for group in human.groups)  # more data on the label would separate them
    assert "k_L and k_XL: the same effect" in str(human)
    assert {"q0", "Smax", "k_on"} <= set(human.without_influence)
    assert human.table.loc["k_B", "verdict"] == "hardly seen"


def test_a_report_is_the_same_whenever_it_is_asked(human) -> None:
    model = load_model("two_functional_compartments", values="human_70kg")
    again = model.identifiability(read_study(library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv"))
    assert str(again) == str(human)


# ---- what cannot be asked --------------------------------------------------------------------------------------------


def test_impossible_questions_are_refused(simple, mouse) -> None:
    design = Design(bolus("1000 cells", "iv"), ("conc",), TIMES)
    with pytest.raises(UnknownName, match="unknown parameter 'kk'"):
        simple.identifiability(design, free=("kk",))
    with pytest.raises(UnknownName, match="design: unknown output 'concc'"):
        simple.identifiability(replace(design, outputs=("concc",)))
    with pytest.raises(UsageError, match="only noise parameters are free"):
        simple.identifiability(design, free=("b",))
    with pytest.raises(UsageError, match="no free parameter affects the observed outputs"):
        simple.identifiability(design, free=("idle",))
    with pytest.raises(UsageError, match="parameter 'w_B' is 0: what it stands for is off"):
        mouse.identifiability(Design(bolus("1e6 cells", "iv"), ("il10",), TIMES), free=("w_B",))
    with pytest.raises(DataError, match="unknown route 'nose'"):
        simple.identifiability(replace(design, regimen=bolus("1000 cells", "nose")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": ()}, "1 arms, 1 outputs and 0 times"),
        ({"outputs": ()}, "1 arms, 0 outputs and 6 times"),
        ({"regimen": ()}, "0 arms, 1 outputs and 6 times"),
        ({"times": (1.0, np.nan)}, "finite times"),
        ({"subjects": 0}, "at least one subject"),
    ],
)
def test_impossible_designs_are_refused(changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        replace(Design(bolus("1000 cells", "iv"), ("conc",), TIMES), **changes)


def test_a_design_says_what_it_is(simple) -> None:
    design = Design(bolus("1000 cells", "iv"), "conc", [1, 2])
    assert str(design) == "design: 1 arm, 2 observations of conc at 1, 2"
    assert design.outputs == ("conc",)
    study = design.study(simple)
    assert (len(study), study.outputs, study.records[0].unit) == (2, ("conc",), "cells/mL")


def test_a_design_takes_a_weight_as_it_is_typed(simple) -> None:
    design = Design(bolus("1000 cells", "iv"), "conc", [1, 2], weight="20 g")
    assert design.kilograms == pytest.approx(0.02)
    assert design.study(simple).subjects[0].weight == design.kilograms
    with pytest.raises(UnitError, match="weight: "):
        Design(bolus("1000 cells", "iv"), "conc", [1], weight="20 h")


# ---- linear algebra --------------------------------------------------------------------------------------------------


def test_rank_ignores_the_size_of_columns() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((9, 3)) * [1.0, 1e-6, 1e6]
    assert rank(matrix)[0] == 3
    assert rank(np.column_stack([matrix, matrix[:, 0] * 1e-4]))[0] == 3
    assert rank(np.zeros((4, 2)))[0] == 0


def test_a_null_space_in_whole_exponents() -> None:
    """x0/(x1 x2) and x3 x4^2 enter; the rows know nothing else."""
    rng = np.random.default_rng(2)
    known = np.array([[1, -1, -1, 0, 0], [0, 0, 0, 1, 2]], float)
    basis = reduced(null_space(rng.standard_normal((12, 2)) @ known))
    first, second = sorted((tuple(columns), basis[np.ix_(rows, columns)]) for rows, columns in blocks(basis))
    assert (first[0], second[0]) == ((0, 1, 2), (3, 4))
    assert invariants(first[1]) == [[Fraction(1), Fraction(-1), Fraction(-1)]]
    assert formula("abc", invariants(first[1])[0]) == "a/(b c)"
    assert formula("de", invariants(second[1])[0]) == "d e^2"


def test_formulas_read_well() -> None:
    assert formula("ab", [Fraction(-1), Fraction(-1)]) == "1/(a b)"
    assert formula("ab", [Fraction(1), Fraction(-1, 2)]) == "a/b^(1/2)"
    assert formula("ab", [Fraction(1), Fraction(371, 1000)]) == "a b^0.37"


def test_errors_of_what_is_not_seen_are_infinite() -> None:
    matrix = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    assert np.all(np.isinf(standard_errors(matrix)))
    errors = standard_errors(matrix, np.array([1.0, np.inf, 2.0]))
    assert errors[0] == pytest.approx(1.0)
    assert errors[2] == pytest.approx(2.0)
    assert np.isfinite(errors[1])


def test_what_cannot_be_seen_does_not_spoil_the_errors_of_the_rest() -> None:
    """The last parameter is known to 0.1 although the first two are one direction with some rounding in it."""
    rng = np.random.default_rng(3)
    one = rng.standard_normal(20)
    matrix = np.column_stack([one, one + 1e-10 * rng.standard_normal(20), rng.standard_normal(20)])
    whole = standard_errors(matrix)
    assert np.all(np.isinf(whole[:2]))
    assert whole[2] == pytest.approx(standard_errors(matrix[:, [0, 2]])[1], rel=1e-6)


# ---- the figure ------------------------------------------------------------------------------------------------------


def test_the_figure_shows_errors_and_what_looks_alike(human, simple) -> None:
    figure = plots.identifiability(human)
    assert len(figure.axes) == 2
    texts = " ".join(
        " ".join(text.get_text().split()) for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))
    )
    assert "relative standard error" in texts
    assert "Without influence, not drawn: k_S" in texts
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "rho_L"  # the most precise with its prior
    assert "q0" not in labels
    clear = simple.identifiability(
        Design(bolus("1000 cells", "iv"), ("conc",), (1.0, 40.0), subjects=9), free=("k", "F")
    )
    assert len(plots.identifiability(clear).axes) in {1, 2}
