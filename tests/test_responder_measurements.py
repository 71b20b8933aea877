"""M1 beyond one level per patient: replicates, bridges, plates, trials, centres, further covariates. All SYNTHETIC."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import halfnorm, norm

from mscpkpd.cohort import Cohort, Level, Measurement, Patient, cohort_from_frame
from mscpkpd.errors import CohortError
from mscpkpd.responder import load_responder
from mscpkpd.responder.companions import magic_probability, map_covariate
from mscpkpd.responder.conflict import Contrast
from mscpkpd.responder.likelihood import CohortLikelihood, Theta
from mscpkpd.responder.mixtures import NormalMixture
from mscpkpd.responder.samples import Groups, covariate_ways, groups_of, samples_of
from mscpkpd.responder.synthetic import synthetic_cohort

CENTRE = np.log(600.0)
S_U, S_X, MU = 0.35, 0.8, 6.2
GROUPS = Groups(("ELISA", "Luminex"), ("p1", "p2"), ("T1", "T2", "T3"), ("C1", "C2"))


@pytest.fixture(scope="module")
def prior():
    return load_responder()


def theta(covariates: int = 3) -> Theta:
    one = lambda value: np.array([value])  # noqa: E731
    gamma = np.array([[-0.28, -0.6, 0.35, -0.4, 0.9, -0.3]])[:, :covariates]
    return Theta(
        one(0.3), one(0.8), gamma, one(MU), one(S_X), one(S_U), np.array([[0.0, 0.5]]),
        plate=np.array([[0.1, -0.2]]), trial=np.array([[0.2, -0.4, 0.0]]), centre=np.array([[0.3, -0.1]]),
        slope=np.array([[0.15, -0.3, 0.0]]),
    )  # fmt: skip


def patient(level, *more: Measurement, response=1, **values) -> Patient:
    plain = {"grade": "D", "liver": True, "age": 40.0} | values
    return Patient("SYN-1", level, "ELISA", response=response, replicates=more, **plain)


def log_likelihood(prior, one: Patient, groups: Groups = GROUPS) -> float:
    samples = samples_of(prior.definition, [one], groups.platforms, groups)
    return float(CohortLikelihood(samples)(theta(3 + len(groups.extras)))[0])


def exact(measured, *, alpha=0.3, b1=0.8, response=1) -> float:
    """Log probability by adaptive quadrature; `measured`: functions of x."""
    linear = alpha - 0.28 - 0.6 * 0.6 - 0.35 * 0.2
    p = lambda x: expit((2 * response - 1) * (linear + b1 * (x - CENTRE) / 0.9))  # noqa: E731
    value = quad(
        lambda x: p(x) * np.prod([f(x) for f in measured]) * norm.pdf(x, MU, S_X), 1, 12, epsabs=1e-14, limit=300
    )[0]
    return float(np.log(value))


def at(level: float, shift: float = 0.0):
    return lambda x: norm.pdf(np.log(level), x + shift, S_U)


def below(limit: float, shift: float = 0.0):
    return lambda x: norm.cdf(np.log(limit), x + shift, S_U)


def above(limit: float, shift: float = 0.0):
    return lambda x: norm.sf(np.log(limit), x + shift, S_U)


CASES = {
    "two replicates": (patient(Level(900.0), Measurement(Level(700.0), "ELISA")), [at(900), at(700)], 1e-8),
    "a bridge to another platform": (
        patient(Level(900.0), Measurement(Level(1500.0), "Luminex")),
        [at(900), at(1500, 0.5)],
        1e-8,
    ),
    "three, two of them on plates": (
        patient(Level(900.0), Measurement(Level(700.0), "ELISA", "p2"), Measurement(Level(950.0), "ELISA"), plate="p1"),
        [at(900, 0.1), at(700, -0.2), at(950)],
        1e-8,
    ),
    "a replicate above its limit": (
        patient(Level(900.0), Measurement(Level(500.0, "right"), "ELISA")),
        [at(900), above(500)],
        1e-5,
    ),
    "a replicate below its limit, first in the table": (
        patient(Level(100.0, "left"), Measurement(Level(120.0), "ELISA")),
        [below(100), at(120)],
        1e-4,
    ),
    "two below their limits": (
        patient(Level(200.0, "left"), Measurement(Level(150.0, "left"), "ELISA")),
        [below(200), below(150)],
        2e-3,
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("response", [0, 1])
def test_replicates_agree_with_adaptive_quadrature(prior, case, response):
    one, measured, tolerance = CASES[case]
    one = dataclasses.replace(one, response=response)
    assert log_likelihood(prior, one) == pytest.approx(exact(measured, response=response), abs=tolerance)


def test_replicates_do_not_depend_on_their_order(prior):
    first = patient(Level(900.0), Measurement(Level(700.0), "Luminex"))
    other = dataclasses.replace(
        first, level=Level(700.0), platform="Luminex", replicates=(Measurement(Level(900.0), "ELISA"),)
    )
    assert log_likelihood(prior, first) == pytest.approx(log_likelihood(prior, other), abs=1e-12)


def test_responses_are_exhaustive_with_replicates(prior):
    for one, _, _ in CASES.values():
        both = [log_likelihood(prior, dataclasses.replace(one, response=y)) for y in (0, 1)]
        assert np.logaddexp(*both) == pytest.approx(
            log_likelihood(prior, dataclasses.replace(one, response=None)), abs=1e-9
        )


def test_trials_and_centres_shift_intercept_and_slope(prior):
    one = patient(Level(900.0), trial="T2", centre="C1")
    expected = exact([at(900)], alpha=0.3 - 0.4 + 0.3, b1=0.8 - 0.3)
    assert log_likelihood(prior, one) == pytest.approx(expected, abs=1e-8)
    assert log_likelihood(prior, patient(Level(900.0))) == pytest.approx(exact([at(900)]), abs=1e-8)


def test_further_covariates_enter_where_the_cohort_has_them(prior):
    plain = patient(Level(900.0))
    late = patient(Level(900.0), delay=14.0, basiliximab=True)
    assert groups_of(prior.definition, [plain]).extras == ()
    groups = groups_of(prior.definition, [plain, late])
    assert groups.covariates[3:] == ("gamma_delay", "gamma_basiliximab")
    assert prior.definition.share("delay") == 0.4
    expected = exact([at(900)], alpha=0.3 - 0.4 * (1 - 0.4) + 0.9 * (1 - 0.1))
    assert log_likelihood(prior, late, GROUPS._replace(extras=groups.extras)) == pytest.approx(expected, abs=1e-8)


def test_a_missing_companion_keeps_mean_variance_and_kurtosis(prior):
    values, weights = covariate_ways(prior.definition, patient(Level(900.0)), ("gamma_map",))
    moments = [float(weights @ values[:, 3] ** k) for k in (0, 1, 2, 3, 4)]
    assert moments == pytest.approx([1, 0, 1, 0, 3], abs=1e-12)


@pytest.mark.parametrize(("st2", "reg3a", "p"), [(1e4, 4e3, 0.151), (2e4, 2e4, 0.348), (3.3e4, 5e4, 0.552)])
def test_magic_probability_known_values(prior, st2, reg3a, p):
    """Sanity values of the recalled coefficients, complementary log-log link."""
    assert magic_probability(st2, reg3a) == pytest.approx(p, abs=0.001)
    # the covariate is 0 at a probability of 0.25 and grows with it
    assert (map_covariate(prior.definition, st2, reg3a) > 0) == (p > 0.25)
    assert map_covariate(prior.definition, None, reg3a) is None


def test_the_magic_probability_is_marked_as_unverified_wherever_it_is_used(prior):
    frame = synthetic_cohort("base", 40, seed=1).to_frame().assign(**{"st2 [ng/mL]": 30, "reg3a [pg/mL]": 9000})
    cohort = cohort_from_frame(frame)
    assert cohort.patients[0].st2 == 30_000
    scorer = prior.update(cohort, draws=500, contrast=False)
    assert any("coefficients of the MAGIC probability are unverified" in note for note in scorer.notes)
    assert "unverified" in scorer.score(cohort)["flags"][0]
    assert "gamma_map" in scorer.draws.names


def test_half_normal_scales_are_half_normal(prior):
    tau = prior.definition.prior("tau_trial")
    z = np.linspace(-6, 6, 25)
    assert tau.natural(z) == pytest.approx(halfnorm.ppf(norm.cdf(z), scale=0.5), rel=1e-6)
    assert tau.free(tau.natural(z)) == pytest.approx(z, abs=1e-6)
    assert np.isfinite(NormalMixture.parse("halfnormal(0.3)").natural(np.array([-40.0, 30.0]))).all()


def of_trials(cohort: Cohort, trials: int) -> Cohort:
    patients = (dataclasses.replace(one, trial=f"T{k % trials}", plate="") for k, one in enumerate(cohort.patients))
    return Cohort(tuple(patients), cohort.source)


@pytest.fixture(scope="module")
def several(prior):
    cohort = of_trials(synthetic_cohort("base", 90, seed=4), 2)
    return prior.update(cohort, seed=1, draws=1000, method="importance"), cohort


def test_several_trials_have_intercepts_of_their_own(prior, several):
    scorer, cohort = several
    assert {"tau_trial", "trial_T0", "trial_T1"} <= set(scorer.draws.names)
    assert "tau_slope" not in scorer.draws.names  # two slopes say nothing about their spread
    assert groups_of(prior.definition, of_trials(cohort, 3).patients).slopes == ("T0", "T1", "T2")
    # alpha keeps the narrow prior of several trials: its SD cannot exceed it by much
    assert scorer.draws.column("alpha").std() < 0.2
    assert any("several trials" in note for note in scorer.notes)


def test_a_patient_of_a_new_trial_is_less_certain(several):
    scorer, cohort = several
    known = dataclasses.replace(cohort.patients[0], id="one")
    new = dataclasses.replace(known, trial="T9")
    table = scorer.score(Cohort((known, dataclasses.replace(new, id="two"))))
    width = table["upper"] - table["lower"]
    assert width[1] > width[0]
    assert table["share_trial"][1] > table["share_trial"][0]
    assert "trial not in the cohort" in table["flags"][1]
    shares = table.filter(like="share_").drop(columns="prior_share", errors="ignore")
    assert shares.sum(axis=1).to_numpy() == pytest.approx([1, 1], abs=1e-9)


def test_replicates_and_bridges_narrow_what_they_tell_of(prior):
    """Laws: a replicate halves the error variance of its patient; bridge samples teach the offset of a platform."""
    cohort = synthetic_cohort("base", 30, seed=2)
    scorer = prior.update(cohort, draws=1000, contrast=False)
    one = dataclasses.replace(cohort.patients[0], platform="ELISA", level=Level(600.0), plate="", id="a")
    twice = dataclasses.replace(one, replicates=(Measurement(Level(600.0), "ELISA"),) * 3, id="b")
    table = scorer.score(Cohort((one, twice)))
    assert table["share_measurement"][1] < 0.6 * table["share_measurement"][0]
    bridged = [
        dataclasses.replace(one, id=f"c{k}", replicates=(Measurement(Level(600.0 * 1.6), "MSD"),), response=None)
        for k in range(12)
    ]
    with_bridges = prior.update(cohort.together(Cohort(tuple(bridged))), draws=1000, contrast=False)
    offset = with_bridges.draws.column("offset_MSD")
    assert offset.mean() == pytest.approx(np.log(1.6), abs=0.15)
    assert offset.std() < 0.2


# ---- the same patients never twice -----------------------------------------------------------------------------------


def test_patients_in_two_tables_are_refused():
    one, two = synthetic_cohort("base", 20, seed=1), synthetic_cohort("base", 10, seed=2)
    with pytest.raises(CohortError, match=r"10 patients in two tables \(SYN-0001, .*never count twice"):
        one.together(two)


def test_a_pooled_trial_is_refused_until_it_leaves_the_pool(prior):
    cohort = synthetic_cohort("base", 20, seed=1)
    own = Cohort(tuple(dataclasses.replace(one, trial="niu2024") for one in cohort.patients), cohort.source)
    with pytest.raises(CohortError, match=r"patients of niu2024 are in the pooled response rate already.*with_pool"):
        prior.update(own)
    assert prior.with_pool(without=["niu2024"]).update(own, draws=500, contrast=False).ok


# ---- prior against cohort --------------------------------------------------------------------------------------------


def test_contrast_of_prior_and_cohort(prior):
    cohort = synthetic_cohort("strong", 160, seed=3)
    enthusiastic, against = load_responder(slope="enthusiastic"), prior.with_prior("b1", "normal(-1.5, 0.2)")
    for model, disagrees in ((enthusiastic, False), (against, True)):
        scorer = model.update(cohort, seed=1, draws=1000)
        table = scorer.comparison.set_index("parameter")
        assert (table.loc["b1", "conflict"] < 0.05) == disagrees
        low, high = sorted((table.loc["b1", "prior"], table.loc["b1", "cohort"]))
        assert low < table.loc["b1", "posterior"] < high
        assert ("DISAGREE" in str(scorer)) == disagrees


def test_one_outcome_gives_no_estimate_without_the_prior(prior):
    cohort = synthetic_cohort("base", 20, seed=1)
    all_of_them = Cohort(tuple(dataclasses.replace(one, response=1) for one in cohort.patients), cohort.source)
    scorer = prior.update(all_of_them, draws=500)
    assert scorer.contrasts == ()
    assert len(scorer.comparison) == 0


def test_contrasts_survive_saving(prior, tmp_path):
    from mscpkpd.responder import load_scorer

    scorer = prior.update(synthetic_cohort("base", 40, seed=1), draws=500)
    loaded = load_scorer(scorer.save(tmp_path / "scorer"))
    assert loaded.contrasts == scorer.contrasts
    assert Contrast.of(scorer.contrasts[0].as_row()) == scorer.contrasts[0]


# ---- real data: the covariate part -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def erbey(repository):
    from mscpkpd.cohort import read_cohort

    return read_cohort(repository / "models/data/human_response_erbey_2016.csv")


def test_erbey_liver_contrast(erbey):
    """Real data: liver involved 8/13, not involved 17/19; logit -1.67 (se 0.94); 25 of 33 responded."""
    assert (len(erbey), erbey.responders, erbey.synthetic) == (33, 25, False)
    known = [one for one in erbey.patients if one.liver is not None]
    counts = {side: [one.response for one in known if one.liver is side] for side in (True, False)}
    (yes, n1), (no, n0) = ((sum(values), len(values)) for values in (counts[True], counts[False]))
    assert (yes, n1, no, n0) == (8, 13, 17, 19)
    contrast = np.log(yes / (n1 - yes)) - np.log(no / (n0 - no))
    assert contrast == pytest.approx(-1.67, abs=0.005)
    assert np.sqrt(1 / 8 + 1 / 5 + 1 / 17 + 1 / 2) == pytest.approx(0.94, abs=0.005)


def test_erbey_moves_the_covariates_and_says_nothing_of_cxcl10(prior, erbey):
    """The model without levels: the liver slope moves towards -1.67 and narrows, b1 hardly, levels not at all."""
    scorer = prior.update(erbey, learn="full", seed=1)
    table = scorer.summary().set_index("parameter")
    assert -1.67 < table.loc["gamma_liver", "estimate"] < -0.65
    assert table.loc["gamma_liver", "sd"] < 0.4
    assert table.loc["b1", "estimate"] == pytest.approx(0.35, abs=0.1)
    assert abs(table.loc["mu_x", "learned"]) < 0.15
    assert [one.parameter for one in scorer.contrasts] == ["alpha"]
    assert all(patient.child for patient in erbey.patients)


# ---- two ways of sampling --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nuts_agrees_with_importance_resampling(prior):
    """With replicates, plates, two trials and missing covariates, where both models are written apart."""
    cohort = of_trials(synthetic_cohort("base", 60, seed=6), 2)
    patients = [
        dataclasses.replace(
            one,
            grade=None if k % 7 == 0 else one.grade,
            plate=f"p{k % 2}",
            replicates=(Measurement(Level(one.level.value * 1.1), "ELISA"),) if k % 5 == 0 else (),
        )
        for k, one in enumerate(cohort.patients)
    ]
    cohort = Cohort(tuple(patients), cohort.source)
    two = [prior.update(cohort, seed=2, learn="full", method=way, draws=6000) for way in ("importance", "nuts")]
    assert all(scorer.ok for scorer in two)
    first, second = (scorer.summary().set_index("parameter") for scorer in two)
    assert ((first["estimate"] - second["estimate"]).abs() / second["sd"]).max() < 0.12
    assert (first["sd"] / second["sd"]).between(0.88, 1.14).all()


@pytest.mark.slow
def test_a_bad_importance_sample_falls_back_to_nuts(prior, monkeypatch):
    from mscpkpd.responder import sampling

    monkeypatch.setattr(sampling, "LEAST_EFFECTIVE", 2.0)
    scorer = prior.update(synthetic_cohort("base", 30, seed=1), draws=1000, contrast=False)
    assert scorer.method == "nuts"
    assert scorer.ok
