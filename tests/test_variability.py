"""Random effects as declared: scales, names, what the data can tell, and messages for what they cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mscpkpd.errors import DataError, ModelError, UnknownName, UsageError
from mscpkpd.fitting.api import fit, to_pymc
from mscpkpd.model import Covariance, Variability, check
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.parameters import Prior
from mscpkpd.population import pose_population
from mscpkpd.problem import pose
from mscpkpd.simulation import simulate
from mscpkpd.variability import Scale, scale_of
from population_models import grid, linear, one_compartment, table
from toy import ORIGIN, OTHER, TEXT

CL = Variability("CL", "subject", 0.3)
TIMES = (1.0, 4.0, 9.0)
SHAPES = {
    "lognormal": (Scale("log"), lambda tv, eta: tv * np.exp(eta)),
    "normal": (Scale("identity"), lambda tv, eta: tv + eta),
    "logitnormal": (Scale("logit"), lambda tv, eta: 1 / (1 + (1 - tv) / tv * np.exp(-eta))),
    "logitnormal(0.2, 4)": (
        Scale("logit", 0.2, 4.0), lambda tv, eta: 0.2 + 3.8 / (1 + (4 - tv) / (tv - 0.2) * np.exp(-eta)),
    ),
    "boxcox(0.5)": (Scale("log", bend=0.5), lambda tv, eta: tv * np.exp((np.exp(eta) ** 0.5 - 1) / 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_p2_an_effect_acts_on_the_scale_of_its_shape(shape):
    """The formulas of P2, and their slopes by central differences."""
    scale, formula = SHAPES[shape]
    row = Variability("x", "subject", 0.3, shape=shape)
    assert scale_of(row, Prior("fixed")) == scale
    eta = np.array([-0.7, 0.0, 0.4])

    def value(e):
        return scale.from_free(scale.to_free(np.full(3, 0.6)) + scale.added(e))

    np.testing.assert_allclose(value(eta), formula(0.6, eta), rtol=1e-12)
    slope = scale.slope(value(eta)) * scale.added_slope(eta)
    np.testing.assert_allclose(slope, (value(eta + 1e-5) - value(eta - 1e-5)) / 2e-5, rtol=1e-8)


def test_p2_the_scale_is_that_of_the_prior_where_no_shape_is_stated():
    row = Variability("x", "subject", 0.3)
    texts = ("lognormal(1, 1)", "beta(2, 3)", "normal(0, 1)", "fixed")
    assert [scale_of(row, Prior.parse(text)).kind for text in texts] == ["log", "logit", "identity", "log"]


def test_p5_the_cv_of_a_lognormal_parameter():
    """omega2 = 0.09 gives 30.6878288097 % (section 14.1); other scales have none."""
    assert Scale("log").cv(0.09) == pytest.approx(30.6878288097, abs=1e-9)
    assert np.isnan(Scale("logit").cv(0.09))
    assert np.isnan(Scale("log", bend=0.5).cv(0.09))


def test_p3_p4_p8_names_of_effects():
    """eta_ between subjects, kappa_ between occasions, the level behind all others; both scales of omega."""
    rows = grid(4, TIMES)
    for k, row in enumerate(rows):
        row |= {"occasion": k % 2, "lot": f"L{k % 5 % 2}"}
    spread = (CL, Variability("V", "subject", 0.2), Variability("CL", "occasion", 0.1), Variability("CL", "lot", 0.1))
    population = pose_population(one_compartment(*spread), table(rows))
    assert [e.name for e in population.effects] == ["eta_CL", "eta_V", "kappa_CL", "eta_CL_lot"]
    assert [e.omega2 for e in population.effects] == ["omega2_CL", "omega2_V", "omega2_CL_occasion", "omega2_CL_lot"]
    assert population.effects[0].omega_sd == "omega_sd_CL"
    level = population.levels[0]
    assert (level.correlation_names, level.covariance_names) == (("corr_CL__V",), ("omega2_CL__V",))
    assert population.eta_names[:2] == ("eta_CL[S1]", "eta_V[S1]")
    assert len(population.levels[1].labels) == 8  # two occasions of each subject
    assert population.levels[2].labels == ("L0", "L1")


def test_p7_full_is_the_default_and_diagonal_is_declared():
    spread = (CL, Variability("V", "subject", 0.2))
    study = table(grid(4, TIMES))
    assert pose_population(one_compartment(*spread), study).levels[0].full
    declared = one_compartment(*spread, covariance=(Covariance("subject", "diagonal"),))
    assert not pose_population(declared, study).levels[0].full


# ---- what the data can tell ------------------------------------------------------------------------------------------


def notes_of(spread: Variability, rows: list[dict[str, object]], **more: object) -> tuple[int, str]:
    population = pose_population(one_compartment(spread, **more), table(rows))
    return len(population.levels), "; ".join(population.notes)


def test_t9_destructive_data_cannot_tell_animals_from_assays():
    """One animal, one time, one value: the effect is left out and the note says why, naming the output."""
    rows = [{"subject": f"m{k}", "time": t, "value": 1.0} for k, t in enumerate((1.0, 2.0, 4.0, 8.0))]
    levels, note = notes_of(CL, rows)
    assert levels == 0
    assert "CL does not vary between subjects here: one value per subject of 'conc', as in destructive sampling" in note
    assert "cannot be told from the residual one (T9)" in note
    asked = pose_population(one_compartment(CL), table(rows), random=["CL"])
    assert len(asked.levels) == 1
    assert "cannot be told from the residual one (T9)" in asked.notes[0]


REASONS = {
    "one subject": (CL, grid(1, TIMES), "the study has one subject only"),
    "no column": (Variability("CL", "lot", 0.1), grid(3, TIMES), "the study has no column 'lot'"),
    "one lot": (Variability("CL", "lot", 0.1), grid(3, TIMES, lot="A"), "the study has one lot only"),
    "fixed": (Variability("weight", "subject", 0.1), grid(3, TIMES), "it is fixed at 70; free it, or give it a prior"),
    "not involved": (Variability("ka", "subject", 0.1), grid(3, TIMES), "no observed output depends on it"),
    "noise": (Variability("s", "subject", 0.1), grid(3, TIMES), "it is a size of noise"),
    "means": (CL, grid(3, TIMES, stat="mean", n=4), "the study reports means, which are no subjects"),
    "off its scale": (Variability("CL", "subject", 0.1, shape="logitnormal(0, 1)"), grid(3, TIMES),
                      "its value 5 is not on the scale of its effect"),
}  # fmt: skip


@pytest.mark.parametrize("case", REASONS)
def test_what_cannot_vary_is_left_out_with_its_reason(case):
    """And refused where it was asked for by name."""
    spread, rows, reason = REASONS[case]
    levels, note = notes_of(spread, rows)
    assert levels == 0
    assert reason in note
    with pytest.raises(UsageError, match=f"'{spread.parameter}' cannot vary between {spread.level}s: {reason}"):
        pose_population(one_compartment(spread), table(rows), random=[spread.parameter])


def test_a_level_that_some_rows_do_not_state():
    rows = grid(3, TIMES, occasion="1")
    rows[4]["occasion"] = rows[7]["occasion"] = ""
    with pytest.raises(DataError, match=r"row 6; frame row 9: 2 rows do not say their occasion, over which 'CL'"):
        pose_population(one_compartment(Variability("CL", "occasion", 0.1)), table(rows))


def test_an_effect_that_is_not_declared():
    with pytest.raises(UnknownName, match="unknown random effect 'Cl'.*Try: 'CL'"):
        pose_population(one_compartment(CL), table(grid(3, TIMES)), random=["Cl"])


def test_a_method_that_needs_random_effects_says_what_is_missing():
    with pytest.raises(UsageError, match="nothing varies between subjects: CL does not vary .* one subject only"):
        fit(one_compartment(CL), table(grid(1, TIMES)), "focei")
    with pytest.raises(UsageError, match="declares no random effects.*method='map' or 'least_squares'"):
        fit(one_compartment(), table(grid(3, TIMES)), "focei")
    with pytest.raises(UsageError, match="nothing varies"):
        fit(one_compartment(CL), table(grid(3, TIMES)), "laplace", random=False)


def test_least_squares_has_no_random_effects():
    with pytest.raises(
        UsageError, match=r"random=\['CL'\] with least squares, which pools all subjects.*one subject at"
    ):
        fit(one_compartment(CL), table(grid(3, TIMES)), "least_squares", random=["CL"])


def test_random_effects_can_be_chosen():
    rows = grid(4, TIMES)
    for k, row in enumerate(rows):
        row["lot"] = f"L{k % 2}"
    model, study = one_compartment(CL, Variability("CL", "lot", 0.1), Variability("V", "subject", 0.1)), table(rows)
    names = {
        str(random): [e.name for e in pose_population(model, study, random=random).effects]
        for random in (None, False, ["CL"], ["CL:lot"], "V")
    }
    assert names == {
        "None": ["eta_CL", "eta_V", "eta_CL_lot"], "False": [], "['CL']": ["eta_CL", "eta_CL_lot"],
        "['CL:lot']": ["eta_CL_lot"], "V": ["eta_V"],
    }  # fmt: skip


def test_a_chosen_prior_is_named():
    _, note = notes_of(CL, grid(3, TIMES))
    assert note == "priors chosen here, since the model file states none: omega_sd_CL halfnormal(1)"
    stated = dataclasses.replace(CL, prior=Prior("halfnormal", (0.5,)))
    assert notes_of(stated, grid(3, TIMES))[1] == ""


def test_donors_sites_studies_and_species_are_found():
    """Each level where its column stands (P8): of doses, of subjects, of rows."""
    rows = grid(4, TIMES)
    for k, row in enumerate(rows):
        i = k // len(TIMES)
        row |= {"donor": f"D{i % 2}", "site": f"X{i % 2}", "study": f"T{i % 2}", "species": ("rat", "mouse")[i % 2]}
    for level, labels in (("donor", ("D0", "D1")), ("site", ("X0", "X1")), ("study", ("T0", "T1")),
                          ("species", ("rat", "mouse"))):  # fmt: skip
        assert pose_population(one_compartment(Variability("CL", level, 0.1)), table(rows)).levels[0].labels == labels


# ---- covariates ------------------------------------------------------------------------------------------------------


def with_columns(**columns: list[object]) -> list[dict[str, object]]:
    rows = grid(3, TIMES)
    for k, row in enumerate(rows):
        row |= {name: values[k // len(TIMES)] for name, values in columns.items()}
    return rows


def kilograms(model):
    """The model with a weight in kg."""
    changed = (dataclasses.replace(p, unit="kg") if p.name == "weight" else p for p in model.parameters)
    return dataclasses.replace(model, parameters=tuple(changed))


def test_p6_columns_give_parameters_of_each_subject():
    """A column of the name of a parameter, and a category (K1); exponents are parameters like others."""
    study = table(with_columns(weight=["50 kg", "70 kg", "140 kg"], sex=["m", "F", "f"]))
    population = pose_population(kilograms(one_compartment(CL)), study)
    found = population.problem.rows.covariates
    assert found["weight"][:: len(TIMES)].tolist() == [50.0, 70.0, 140.0]
    assert found["sex_f"][:: len(TIMES)].tolist() == [0.0, 1.0, 1.0]
    eta = np.array([0.1, -0.2, 0.3])
    f = population.predict(population.problem.start, eta).value
    cl = 5.0 * np.exp(eta) * (np.array([50, 70, 140]) / 70) ** 0.75 * (1 + 0.1 * np.array([0, 1, 1]))
    expected = 100 / 50 * np.exp(-cl[:, None] / 50 * np.array(TIMES))
    np.testing.assert_allclose(f.reshape(3, 3), expected, rtol=1e-7)
    assert {"theta", "d"} <= set(population.problem.names)
    assert {"weight", "sex_f"} & set(population.problem.fixed) == set()


def test_a_category_counts_in_every_fit_and_must_be_stated():
    """Species, too; a subject without one is named."""
    model = one_compartment()
    rat = dataclasses.replace(model.parameter("sex_f"), name="species_rat")
    model = dataclasses.replace(model, parameters=(*model.parameters, rat))
    rows = with_columns(sex=["m", "f", "f"])
    assert pose(model, table(rows)).rows.covariates.keys() == {"sex_f"}  # nothing depends on the other
    with pytest.raises(DataError, match=r"subject 'S3' has no 'sex_f', which others have \(K1\)"):
        pose(model, table(with_columns(sex=["m", "f", ""])))


# ---- the model file --------------------------------------------------------------------------------------------------

TOY = TEXT.format(noise="lognormal(b)", unit="cells/mL", origin=ORIGIN, other=OTHER)
DECLARED = """
[variability]
k = { subject = 0.3, occasion = 0.1, shape = "boxcox(0.5)", prior = "halfnormal(0.7)" }
F = { subject = 0.2, lot = 0.1 }

[covariance]
subject = { form = "full", lkj = 3, corr_k__F = 0.25 }
lot = { form = "diagonal" }
"""


def test_the_model_file_declares_all_of_it_and_is_saved_so(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(TOY + DECLARED)
    model = load_model(path)
    prior = Prior("halfnormal", (0.7,))
    assert model.variability[0] == Variability("k", "subject", 0.3, "", "assumed", "boxcox(0.5)", prior)
    assert model.covariance == (Covariance("subject", "full", 3.0, (("k", "F", 0.25),)), Covariance("lot", "diagonal"))
    assert load_model(save_model(model, tmp_path / "again.toml")) == model
    assert "boxcox(0.5), prior of the SD halfnormal(0.7)" in str(model)
    assert "covariance between subjects: full, k with F 0.25" in str(model)


SLIPS = {
    "unknown level": ("subject = 0.2, lot = 0.1", "subject = 0.2, lott = 0.1", "unknown level 'lott'.*'lot'"),
    "unknown shape": ("boxcox(0.5)", "boxcoxx(0.5)", "unknown shape 'boxcoxx'.*'boxcox'"),
    "a shape without its number": ("boxcox(0.5)", "boxcox", r"shape is 'boxcox'; expected lognormal"),
    "ends that are no interval": ("boxcox(0.5)", "logitnormal(2, 1)", r"shape is 'logitnormal\(2, 1\)'"),
    "a prior that allows negative spreads": ("halfnormal(0.7)", "normal(0, 1)", r"prior of the SD is normal\(0, 1\)"),
    "unknown form": ('form = "full"', 'form = "ful"', "unknown form 'ful'.*'full'"),
    "a correlation of nothing": ("corr_k__F", "corr_k__G", "unknown varying parameter 'G'"),
    "a correlation of 1": ("0.25", "1.25", "corr_k__F is 1.25; expected two parameters and a number between -1 and 1"),
    "a level of the covariance": ("lot = { form", "lots = { form", r"\[covariance\].lots: unknown level 'lots'"),
    "lkj of 0": ("lkj = 3", "lkj = 0", "lkj is 0; expected a number above 0"),
    "an unknown key": ("lkj = 3", "lkl = 3", "unknown key 'lkl'"),
    "diagonal with correlations": ('form = "full"', 'form = "diagonal"', "a diagonal form with correlations"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_model_file_is_named(slip, tmp_path):
    right, wrong, message = SLIPS[slip]
    path = tmp_path / "toy.toml"
    assert right in DECLARED
    path.write_text(TOY + DECLARED.replace(right, wrong))
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_a_spread_may_be_held():
    """A fixed prior keeps the SD of the model file."""
    model = one_compartment(dataclasses.replace(CL, prior=Prior("fixed")))
    check(model)
    from mscpkpd.fitting.coordinates import Coordinates

    coordinates = Coordinates(pose_population(model, table(grid(4, TIMES))))
    assert "omega_sd_CL" not in coordinates.names
    assert coordinates.spreads(coordinates.start).sd.tolist() == [0.3]


def test_simulated_subjects_have_the_declared_correlation_and_shape():
    """Deviations recovered from individual parameters of a linear model: correlation 0.8, SD 2 and 0.3 (P2, P7)."""
    spread = (Variability("c0", "subject", 2.0), Variability("slope", "subject", 0.3))
    model = linear(*spread, covariance=(Covariance("subject", "full", 2.0, (("c0", "slope", 0.8),)),))
    from mscpkpd.dosing import bolus

    sims = simulate(model, bolus("100 mg", "iv"), subjects=600, times=[0.0, 10.0], outputs=["conc"], seed=4)
    at = sims["conc"].to_numpy()[0, :, 0, :]
    c0 = at[:, 0]
    slope = (at[:, 1] - c0 * np.exp(-1.0)) / 10
    assert np.std(c0) == pytest.approx(2.0, rel=0.1)
    assert np.std(slope) == pytest.approx(0.3, rel=0.1)
    assert np.corrcoef(c0, slope)[0, 1] == pytest.approx(0.8, abs=0.05)


def test_to_pymc_names_spreads_and_effects():
    """The user's own model: ordinary variables under the names of P4."""
    spread = (CL, Variability("V", "subject", 0.2))
    model = to_pymc(one_compartment(*spread), table(grid(4, TIMES)))
    assert {"CL", "V", "omega_sd_CL", "omega_sd_V", "corr_CL__V", "eta_CL", "eta_V"} <= set(model.named_vars)
    assert "kappa_CL" not in model.named_vars
    assert set(to_pymc(one_compartment(CL), study_rows(), random=False).named_vars) & {"omega_sd_CL", "eta_CL"} == set()


def study_rows():
    """Four subjects at three times."""
    return table(grid(4, TIMES))


def test_reported_means_have_no_subject_of_their_own():
    """Beside single subjects a mean is predicted by the typical values."""
    rows = [*grid(3, TIMES), {"subject": "mean of 8", "time": 2.0, "value": 1.5, "stat": "mean", "n": 8, "sd": 0.3}]
    population = pose_population(one_compartment(CL), table(rows))
    assert population.levels[0].labels == ("S1", "S2", "S3")
    moved = population.predict(population.problem.start, np.ones(3)).value - population.predict(
        population.problem.start, np.zeros(3)
    ).value  # fmt: skip
    assert moved[-1] == 0
    assert np.all(moved[:-1] != 0)
