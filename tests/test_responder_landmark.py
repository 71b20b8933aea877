"""The landmark model, the prior of the change from the mechanism, and latent classes. All patients are SYNTHETIC."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

import mscpkpd as msc
from mscpkpd.cohort import Cohort, Level, Patient
from mscpkpd.errors import CohortError, FitError, UsageError
from mscpkpd.responder import landmark as landmark_module
from mscpkpd.responder import load_responder
from mscpkpd.responder.classes import separation
from mscpkpd.responder.landmark import USE, _log_likelihood, _pairs, _Theta, landmark_prior_draw, largest_fall
from mscpkpd.responder.mechanism import change_prior
from mscpkpd.responder.synthetic import cohort_of_draw, synthetic_cohort

CENTRE = np.log(600.0)
A = {"alpha": 0.3, "b1": 0.8, "b2": -0.5, "mu_x": 6.2, "s_x": 0.8, "s_u": 0.3, "mu_d": -0.35, "s_d": 0.4, "r_dx": -0.1}
OFFSET = 0.5
LINEAR = 0.3 - 0.28 - 0.6 * 0.6 - 0.35 * 0.2


@pytest.fixture(scope="module")
def prior():
    return load_responder()


@pytest.fixture(scope="module")
def fitted(prior):
    return prior.landmark(synthetic_cohort("base", 60, seed=3), seed=1, draws=1000)


def theta() -> _Theta:
    one = {name: np.array([value]) for name, value in A.items()}
    gamma = np.array([[-0.28, -0.6, 0.35]])
    return _Theta(
        one["alpha"], one["b1"], one["b2"], gamma, one["mu_x"], one["s_x"], one["s_u"], one["mu_d"], one["s_d"],
        one["r_dx"], np.array([[0.0, OFFSET]]),
    )  # fmt: skip


def patient(first, second, response=1) -> Patient:
    return Patient("SYN-1", first, "Luminex", grade="D", liver=True, age=40.0, response=response, level_24h=second)


def log_likelihood(prior, one: Patient) -> float:
    (pairs,) = _pairs(prior.definition, [one], ("ELISA", "Luminex"))
    return float(_log_likelihood(prior.definition, theta(), pairs)[0])


def exact(first, second, response) -> float:
    """Brute force on a grid of x and d."""
    x, d = np.linspace(1.5, 11, 1201), np.linspace(-3.2, 2.6, 1001)
    density = norm.pdf(x, A["mu_x"], A["s_x"])[:, None] * norm.pdf(
        d, A["mu_d"] + A["r_dx"] * (x[:, None] - A["mu_x"]), A["s_d"]
    )
    for level, place in ((first, x[:, None]), (second, x[:, None] + d)):
        if level is None:
            continue
        away = np.log(level.value) - place - OFFSET
        density = (
            density
            * {
                "none": norm.pdf(away, 0, A["s_u"]),
                "left": norm.cdf(away / A["s_u"]),
                "right": norm.sf(away / A["s_u"]),
            }[level.censoring]
        )
    if response is not None:
        linear = LINEAR + A["b1"] * (x[:, None] - CENTRE) / 0.9 + A["b2"] * d / 0.45
        density = density * expit((2 * response - 1) * linear)
    return float(np.log(density.sum() * (x[1] - x[0]) * (d[1] - d[0])))


LEVELS = {
    "both": (Level(900.0), Level(500.0), 1e-6),
    "no second": (Level(900.0), None, 1e-6),
    "no first": (None, Level(500.0), 1e-6),
    "none": (None, None, 1e-6),
    "second below": (Level(300.0), Level(180.0, "left"), 2e-4),
    "first above": (Level(2000.0, "right"), Level(900.0), 2e-4),
    "both below": (Level(200.0, "left"), Level(200.0, "left"), 1e-3),
    "above and below": (Level(900.0, "right"), Level(400.0, "left"), 1e-3),
}


@pytest.mark.parametrize("case", LEVELS)
@pytest.mark.parametrize("response", [0, 1, None])
def test_likelihood_agrees_with_brute_force(prior, case, response):
    first, second, tolerance = LEVELS[case]
    assert log_likelihood(prior, patient(first, second, response)) == pytest.approx(
        exact(first, second, response), abs=tolerance
    )


def test_without_the_second_level_and_without_b2_it_is_the_baseline_model(prior):
    """A law: the landmark model contains M1."""
    p = lambda x: expit(LINEAR + 0.8 * (x - CENTRE) / 0.9)  # noqa: E731
    w = np.log(900.0)
    value = quad(lambda x: p(x) * norm.pdf(w, x + OFFSET, 0.3) * norm.pdf(x, 6.2, 0.8), 2, 11, epsabs=1e-13)[0]
    (pairs,) = _pairs(prior.definition, [patient(Level(900.0), None)], ("ELISA", "Luminex"))
    found = _log_likelihood(prior.definition, theta()._replace(b2=np.zeros(1)), pairs)[0]
    assert found == pytest.approx(np.log(value), abs=1e-8)


@pytest.mark.parametrize(("half_life", "fall"), [(4, 0.98), (8, 0.88), (12, 0.75), (24, 0.50), (48, 0.29)])
def test_the_half_life_bounds_the_fall_at_24_hours(half_life, fall):
    assert largest_fall(half_life) == pytest.approx(fall, abs=0.0051)


def test_observed_baseline_and_observed_change_share_their_error():
    """Known answer: corr(w0, w24 - w0) is -0.17 at s_u 0.3, s_d 0.35 without any link: they never enter as exact."""
    s_x, s_u, s_d = 0.9, 0.3, 0.35
    rng = np.random.default_rng(0)
    x, d = s_x * rng.standard_normal(200_000), s_d * rng.standard_normal(200_000)
    w0, w24 = x + s_u * rng.standard_normal(200_000), x + d + s_u * rng.standard_normal(200_000)
    formula = -(s_u**2) / np.sqrt((s_x**2 + s_u**2) * (s_d**2 + 2 * s_u**2))
    assert formula == pytest.approx(-0.17, abs=0.005)
    assert np.corrcoef(w0, w24 - w0)[0, 1] == pytest.approx(formula, abs=0.01)


def test_true_changes_are_shrunk_towards_their_population(fitted):
    """The posterior of a change is that of the bivariate normal given both levels, not the measured difference."""
    cohort = synthetic_cohort("base", 60, seed=3)
    table = fitted.score(cohort)
    measured, estimated = [], []
    for one, row in zip(cohort.patients, table.itertuples(), strict=True):
        if one.level and one.level_24h and one.level.censoring == one.level_24h.censoring == "none":
            measured.append(np.log(one.level_24h.value / one.level.value))
            estimated.append(row.change)
    measured, estimated = np.array(measured), np.array(estimated)
    assert np.corrcoef(measured, estimated)[0, 1] > 0.9
    assert estimated.std() < 0.85 * measured.std()


def test_a_known_change_is_the_regression_on_both_levels(prior):
    """One draw, both levels measured: mean of d given (w0, w24) in closed form."""
    (pairs,) = _pairs(prior.definition, [patient(Level(900.0), Level(400.0))], ("ELISA", "Luminex"))
    found = landmark_module._given(theta(), pairs, np.zeros(1), np.ones(1), landmark_module._GRID)
    v, u, e, r = 0.8**2, 0.3**2, 0.4**2, -0.1
    cov = np.array([[v + u, (1 + r) * v], [(1 + r) * v, (1 + r) ** 2 * v + e + u]])
    with_d = np.array([r * v, r * (1 + r) * v + e])
    away = np.array([np.log(900) - OFFSET - 6.2, np.log(400) - OFFSET - 6.2 + 0.35])
    assert found.mean[0, 0, 0] == pytest.approx(with_d @ np.linalg.solve(cov, away), abs=1e-10)
    assert found.log_weight[0, 0, 0] == pytest.approx(multivariate_normal(np.zeros(2), cov).logpdf(away), abs=1e-10)
    variance = r**2 * v + e - with_d @ np.linalg.solve(cov, with_d)
    assert found.sd[0, 0, 0] == pytest.approx(np.sqrt(variance), abs=1e-10)


def test_the_use_stands_on_everything(fitted):
    table = fitted.score(synthetic_cohort("base", 12, seed=9))
    assert table.attrs["use"] == fitted.summary().attrs["use"] == USE
    assert USE in str(fitted)
    assert "never selecting" in USE
    assert "benefit" not in str(fitted).replace(table.attrs["banner"], "")


def test_a_patient_without_the_second_level_is_averaged_and_flagged(fitted):
    cohort = synthetic_cohort("base", 40, seed=9)
    table = fitted.score(cohort)
    for one, row in zip(cohort.patients, table.itertuples(), strict=True):
        if one.level_24h is None:
            assert row.p_response == pytest.approx(row.p_without_24h)
            assert "no level at 24 h" in row.flags
            assert row.change_upper - row.change_lower > 1


@pytest.mark.slow
def test_recovery_of_the_change_effect(prior):
    """Large SYNTHETIC cohort from a known truth."""
    rng = np.random.default_rng(5)
    truth = landmark_prior_draw(prior.definition, ("ELISA", "Luminex"), rng) | {
        "b1": 0.6, "b2": -0.8, "mu_d": -0.4, "s_d": 0.5, "s_u": 0.2, "s_x": 0.9, "mu_x": 6.4, "alpha": 0.3,
    }  # fmt: skip
    cohort = cohort_of_draw(prior.definition, truth, 300, rng, limits=(8.0, 50_000.0))
    fit = prior.with_prior("s_u", "lognormal(0.2, 0.05)").landmark(cohort, seed=1, draws=1000)
    assert fit.ok
    for name in ("b1", "b2", "mu_d", "s_d"):
        values = fit.draws.column(name)
        assert abs(values.mean() - truth[name]) < 3 * values.std(), name
        assert values.std() < 0.3


def test_too_few_pairs_or_another_platform_are_refused(prior, fitted):
    few = Cohort(synthetic_cohort("base", 60, seed=3).patients[:8], "few")
    with pytest.raises(CohortError, match=r"6 patients with levels before and at 24 h.*update\(\) for the model"):
        prior.landmark(few)
    with pytest.raises(CohortError, match="platform 'MSD' of patient 'p' was not in the cohort"):
        fitted.score(Cohort((Patient("p", Level(900.0), "MSD"),)))


# ---- the mechanism ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dose():
    return msc.infusion("2e6 cells/kg", route="iv", over="30 min")


def test_the_mechanism_gives_the_shipped_prior_of_the_change(prior, dose):
    """The numbers of [parameters].mu_d and r_dx by the stated recipe, to 0.05 (fewer draws)."""
    found = change_prior(dose, draws=60, seed=1)
    shipped = prior.definition.prior("mu_d")
    made = prior.with_prior("mu_d", found.mu_d).definition.prior("mu_d")
    assert made.mean == pytest.approx(shipped.mean, abs=0.05)
    assert made.sd == pytest.approx(shipped.sd, abs=0.05)
    assert found.slopes.mean() == pytest.approx(-0.21, abs=0.05)  # a hot recipient falls more
    assert "assumed" in str(found)


def test_the_dose_moves_the_prior(dose):
    """A law: fewer cells, a smaller fall; plug-in is narrow."""
    small = change_prior(msc.infusion("2e5 cells/kg", route="iv", over="30 min"), draws=20)
    assert change_prior(dose, draws=20).means.mean() < small.means.mean() < 0
    assert change_prior(dose, draws=20, coupling="plug-in").mu_d.endswith("0.001)")
    with pytest.raises(UsageError, match="coupling='joint'"):
        change_prior(dose, coupling="joint")


# ---- latent classes --------------------------------------------------------------------------------------------------


def one_platform(cohort: Cohort, labelled: int) -> Cohort:
    patients = (
        dataclasses.replace(one, platform="ELISA", response=one.response if k < labelled else None)
        for k, one in enumerate(cohort.patients)
    )
    return Cohort(tuple(patients), cohort.source)


def test_separation_known_values():
    assert separation(0.55) == pytest.approx(0.55)
    assert separation(0.55, -1.11, -0.3) == pytest.approx(1.13, abs=0.005)


def test_unlabelled_patients_of_the_base_scenario_get_no_classes(prior):
    found = prior.latent_classes(one_platform(synthetic_cohort("base", 120, seed=3, dilution=10.0), 20), seed=1)
    assert np.median(found.distance) < 2
    assert "NO CLASSES: " in str(found)
    assert "prior of the responder fraction 0.60 (0.45 to 0.74)" in str(found)
    with pytest.raises(FitError, match=r"labels are missing and the classes are not apart .*collect the responses"):
        found.table()


def test_classes_far_apart_are_found(prior):
    """Two SYNTHETIC classes at a distance of 5: shown without any label, and right."""
    rng = np.random.default_rng(1)
    member = rng.random(120) < 0.6
    x = np.where(member, 7.2, 6.0) + 0.4 * rng.standard_normal(120)
    d = np.where(member, -1.4, 0.1) + 0.3 * rng.standard_normal(120)
    patients = [
        Patient(f"SYN-{k}", Level(np.exp(x[k])), "ELISA", level_24h=Level(np.exp(x[k] + d[k])), synthetic=True)
        for k in range(120)
    ]
    found = prior.latent_classes(Cohort(tuple(patients), "SYNTHETIC"), seed=1)
    assert found.missing == 1.0
    assert np.median(found.distance) > 2
    table = found.table()
    assert np.mean((table["p_class"] > 0.5) == member) > 0.93


def test_classes_need_patients_of_one_platform(prior):
    with pytest.raises(CohortError, match="on 2 platforms; expected at least 20 on one platform"):
        prior.latent_classes(synthetic_cohort("base", 60, seed=3))
