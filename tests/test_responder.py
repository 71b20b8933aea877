"""The responder model: priors, likelihood, posterior, rules of updating, scores. All patients are SYNTHETIC."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import kstest, norm

import mscpkpd as msc
from mscpkpd.cohort import Cohort, Level, Patient, cohort_from_frame
from mscpkpd.errors import CohortError, FitError, ModelError, ParameterError, UnknownName, UsageError
from mscpkpd.responder import BANNER, Responder, Scorer, auc_of_slope, load_responder, load_scorer, responders
from mscpkpd.responder import sampling as sampling_module
from mscpkpd.responder.draws import prior_draws
from mscpkpd.responder.likelihood import CohortLikelihood, Theta, latent
from mscpkpd.responder.mixtures import JointPrior, NormalMixture
from mscpkpd.responder.pooling import update_rate
from mscpkpd.responder.question import predictor_slope_prior
from mscpkpd.responder.samples import samples_of
from mscpkpd.responder.sampling import sample_posterior
from mscpkpd.responder.updating import rule_for

CENTRE = np.log(600.0)
SPREAD = 0.9


@pytest.fixture(scope="module")
def prior():
    return load_responder("sr_agvhd_cxcl10")


@pytest.fixture(scope="module")
def shipped(repository):
    return tuple(
        msc.read_cohort(repository / f"models/data/cxcl10_{name}_SYNTHETIC.csv") for name in ("cohort", "patients")
    )


def synthetic_cohort(n: int, seed: int, *, b1: float = 0.585, alpha: float = 0.42) -> Cohort:
    """A SYNTHETIC cohort with the published covariate shares and slopes, and an assumed CXCL10 slope."""
    rng = np.random.default_rng(seed)
    x = CENTRE + 0.9 * rng.standard_normal(n)
    grade = rng.choice([-1, 0, 1], n, p=[0.2, 0.3, 0.5])
    liver, child, luminex = rng.random(n) < 0.4, rng.random(n) < 0.2, rng.random(n) < 0.3
    p = expit(alpha + b1 * (x - CENTRE) / SPREAD - 0.28 * grade - 0.6 * (liver - 0.4) + 0.35 * (child - 0.2))
    response = rng.random(n) < p
    level = np.exp(x + 0.5 * luminex + 0.3 * rng.standard_normal(n))
    return Cohort(
        tuple(
            Patient(
                f"SYN-{k}",
                Level(level[k]),
                "Luminex" if luminex[k] else "ELISA",
                grade="BCD"[grade[k] + 1],
                liver=bool(liver[k]),
                age=9.0 if child[k] else 40.0,
                response=int(response[k]),
                synthetic=True,
            )
            for k in range(n)
        ),
        "SYNTHETIC",
    )


def changed(cohort: Cohort, **values) -> Cohort:
    """The cohort with some attributes of every patient replaced."""
    return Cohort(tuple(dataclasses.replace(one, **values) for one in cohort.patients), cohort.source)


# ---- priors: known answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("z", "low", "high"), [(0, 0.27, 0.77), (1, 0.25, 0.91), (-1, 0.14, 0.83)])
def test_width_without_data(prior, z, low, high):
    assert prior.interval_at(z) == pytest.approx((low, high), abs=0.02)


def test_width_without_data_agrees_with_draws(prior):
    draws = prior_draws(prior.definition, ("ELISA",), 200_000, np.random.default_rng(0))
    p = expit(draws.column("alpha") + draws.column("b1"))
    assert prior.interval_at(1.0) == pytest.approx(np.quantile(p, [0.05, 0.95]), abs=0.005)


@pytest.mark.parametrize(
    ("slope", "p_positive"), [("default", 0.68), ("sceptical", 0.5), ("enthusiastic", 0.964), ("conflict", 0.65)]
)
def test_every_slope_prior_allows_both_signs(slope, p_positive):
    model = load_responder("sr_agvhd_cxcl10", slope=slope)
    assert model.p_slope_positive == pytest.approx(p_positive, abs=0.01)
    assert 0.01 < model.p_slope_positive < 0.99


def test_positive_priors_are_lognormal_of_the_stated_width(prior):
    for name, median in (("s_x", 0.9), ("s_u", 0.30)):
        mixture = prior.definition.prior(name)
        assert mixture.transform == "log"
        assert (np.exp(mixture.mean), mixture.sd) == pytest.approx((median, 0.35), rel=1e-3)


def test_every_prior_has_unit_source_and_evidence(prior):
    for parameter in prior.definition.parameters:
        assert parameter.unit
        assert parameter.about
        assert parameter.source
        assert parameter.evidence in {"derived", "assumed"}


def test_printing_shows_banner_equation_and_assumed_priors_first(prior):
    text = str(prior)
    assert text.startswith(BANNER)
    assert "logit P(response) = alpha + b1 z" in text
    assert text.index("b1    ") < text.index("alpha   ")
    assert "13 cohorts" in text


def test_mixture_moments_density_and_quantiles():
    mixture = NormalMixture.parse("0.7*normal(0.5, 0.5) + 0.3*normal(-0.4, 0.5)")
    density = lambda z: float(np.exp(mixture.log_density(np.array([z])))[0])  # noqa: E731 - one line, used in two integrals
    assert quad(density, -8, 8)[0] == pytest.approx(1.0, abs=1e-9)
    assert quad(lambda z: z * density(z), -8, 8)[0] == pytest.approx(mixture.mean, abs=1e-9)
    assert mixture.cdf(mixture.quantile(0.3)) == pytest.approx(0.3, abs=1e-9)
    sample = mixture.sample(np.random.default_rng(1), 200_000)
    assert (sample.mean(), sample.std()) == pytest.approx((mixture.mean, mixture.sd), abs=0.01)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s_u", "normal(0.3, 0.1)", r"prior 'normal\(0.3, 0.1\)' of s_u; expected lognormal\(median, cv\)"),
        ("b1", "lognormal(1, 1)", r"of b1; expected normal\(mean, sd\)"),
        ("b1", "beta(2, 2)", r"expected normal\(mean, sd\) or lognormal"),
        ("b1", "0.5*normal(0, 1) + 0.4*normal(1, 1)", r"weights of .* sum to 0.9; expected 1"),
        ("b1", "0.5*normal(0, 1) + normal(1, 1)", r"is no mixture"),
        ("b1", "0.5*normal(0, 1) + 0.5*lognormal(1, 1)", r"a mixture of one kind"),
    ],
)
def test_a_wrong_prior_is_refused(prior, name, text, message):
    with pytest.raises(ParameterError, match=message):
        prior.with_prior(name, text)


def test_an_unknown_parameter_is_refused(prior):
    with pytest.raises(UnknownName, match=r"unknown parameter 'gamma_livr'. Try: 'gamma_liver'"):
        prior.with_prior("gamma_livr", "normal(0, 1)")


# ---- likelihood ------------------------------------------------------------------------------------------------------


def theta(**values: float) -> Theta:
    """One draw of parameters."""
    given = {"alpha": 0.3, "b1": 0.8, "mu_x": 6.2, "s_x": 0.8, "s_u": 0.35} | values
    gamma = np.array([[-0.28, -0.6, 0.35]])
    offset = np.array([[0.0, 0.5]])
    plain = {name: np.array([given[name]]) for name in ("alpha", "b1", "mu_x", "s_x", "s_u")}
    return Theta(plain["alpha"], plain["b1"], gamma, plain["mu_x"], plain["s_x"], plain["s_u"], offset)


def one(level: Level | None, response: int | None = 1, **values) -> Patient:
    """A patient on the platform with offset 0.5."""
    plain = {"grade": "D", "liver": True, "age": 40.0} | values
    return Patient("SYN-1", level, "Luminex", response=response, **plain)


def log_likelihood(prior: Responder, *patients: Patient, **values: float) -> float:
    """Log likelihood of patients at one draw."""
    samples = samples_of(prior.definition, patients, ("ELISA", "Luminex"))
    return float(CohortLikelihood(samples)(theta(**values))[0])


LINEAR = 0.3 - 0.28 - 0.6 * 0.6 - 0.35 * 0.2  # alpha and covariates of `one`


def p_response(x: float) -> float:
    """P(response | x) of `one`."""
    return float(expit(LINEAR + 0.8 * (x - CENTRE) / SPREAD))


def test_measured_level_agrees_with_adaptive_quadrature(prior):
    w = np.log(900.0)
    for response, p in ((1, p_response), (0, lambda x: 1 - p_response(x))):
        exact = quad(lambda x: p(x) * norm.pdf(w, x + 0.5, 0.35) * norm.pdf(x, 6.2, 0.8), 2, 11, epsabs=1e-13)[0]  # noqa: B023
        assert log_likelihood(prior, one(Level(900.0), response)) == pytest.approx(np.log(exact), abs=1e-8)


@pytest.mark.parametrize(
    ("level", "sign"), [(Level(60.0, "left"), 1), (Level(5000.0, "right"), -1), (Level(600.0, "left"), 1)]
)
def test_censored_level_agrees_with_adaptive_quadrature(prior, level, sign):
    limit = np.log(level.value)
    integrand = lambda x: p_response(x) * norm.cdf(sign * (limit - x - 0.5) / 0.35) * norm.pdf(x, 6.2, 0.8)  # noqa: E731
    exact = quad(integrand, -2, 14, epsabs=1e-14, limit=200)[0]
    # 20 nodes over the probability of the level, whose quantile is singular at its ends: 1e-4 of one log likelihood
    assert log_likelihood(prior, one(level)) == pytest.approx(np.log(exact), abs=1e-4)


def test_missing_level_is_averaged_over_the_population(prior):
    exact = quad(lambda x: p_response(x) * norm.pdf(x, 6.2, 0.8), -2, 14, epsabs=1e-13)[0]
    assert log_likelihood(prior, one(None)) == pytest.approx(np.log(exact), abs=1e-7)


def test_a_limit_is_the_integral_of_the_levels_beyond_it(prior):
    """A law: d/d ln L of P(w < L, y) is the density of w = L and y; the censored and the measured row are one model."""
    step = 1e-4
    above, below = (np.exp(log_likelihood(prior, one(Level(300.0 * np.exp(h), "left")))) for h in (step, -step))
    density = np.exp(log_likelihood(prior, one(Level(300.0))))
    assert (above - below) / (2 * step) == pytest.approx(density, rel=1e-3)


def test_censored_likelihood_tends_to_the_uncensored_one(prior):
    """Known answer: as LLOQ goes to 0, nothing is censored any more."""
    cohort = synthetic_cohort(40, 5)
    plain = log_likelihood(prior, *cohort.patients)
    for lloq in (1.0, 1e-3, 1e-6):
        frame = cohort.to_frame().assign(lloq=lloq)
        assert log_likelihood(prior, *cohort_from_frame(frame).patients) == plain
    far = [log_likelihood(prior, one(Level(limit, "right"))) for limit in (10.0, 0.1, 1e-6)]
    nothing_measured = log_likelihood(prior, one(None))
    assert abs(far[0] - nothing_measured) > abs(far[1] - nothing_measured)
    assert far[2] == pytest.approx(nothing_measured, abs=1e-4)


def test_far_limits_stay_finite(prior):
    for level in (Level(1e-12, "left"), Level(1e12, "right")):
        assert np.isfinite(log_likelihood(prior, one(level)))
        samples = samples_of(prior.definition, [one(level)], ("ELISA", "Luminex"))
        assert np.isfinite(latent(theta(), samples)).all()


def test_outcomes_are_exhaustive(prior):
    """A law: the two responses add up to the level alone."""
    for level in (Level(900.0), Level(60.0, "left"), Level(5000.0, "right"), None):
        both = [log_likelihood(prior, one(level, response)) for response in (0, 1)]
        assert np.logaddexp(*both) == pytest.approx(log_likelihood(prior, one(level, None)), abs=1e-10)


def test_missing_covariates_are_averaged_over_their_shares(prior):
    shares = {"B": 0.2, "C": 0.3, "D": 0.5}
    by_grade = sum(w * np.exp(log_likelihood(prior, one(Level(900.0), grade=grade))) for grade, w in shares.items())
    assert np.exp(log_likelihood(prior, one(Level(900.0), grade=None))) == pytest.approx(by_grade, rel=1e-12)
    ages = 0.2 * np.exp(log_likelihood(prior, one(Level(900.0), age=9.0)))
    ages += 0.8 * np.exp(log_likelihood(prior, one(Level(900.0), age=40.0)))
    assert np.exp(log_likelihood(prior, one(Level(900.0), age=None))) == pytest.approx(ages, rel=1e-12)


def test_patients_are_independent_and_draws_too(prior):
    """Laws: log likelihoods of patients add up, whatever their kinds; a batch of draws is the draws one by one."""
    patients = [one(Level(900.0)), one(Level(60.0, "left"), 0), one(None), one(Level(5000.0, "right"), None)]
    apart = sum(log_likelihood(prior, patient) for patient in patients)
    assert log_likelihood(prior, *patients) == pytest.approx(apart, abs=1e-10)
    samples = samples_of(prior.definition, patients, ("ELISA", "Luminex"))
    likelihood = CohortLikelihood(samples)
    pairs = zip(theta(), theta(b1=-1.0), strict=True)
    batch = Theta(*(None if pair[0] is None else np.concatenate(pair) for pair in pairs))
    assert likelihood(batch) == pytest.approx([likelihood(theta())[0], likelihood(theta(b1=-1.0))[0]], abs=1e-12)


def test_moments_of_the_true_level(prior):
    samples = samples_of(prior.definition, [one(Level(300.0, "left"))], ("ELISA", "Luminex"))
    mean, sd = (float(values[0, 0]) for values in latent(theta(), samples))
    weight = lambda x: norm.cdf((np.log(300.0) - x - 0.5) / 0.35) * norm.pdf(x, 6.2, 0.8)  # noqa: E731
    moments = [quad(lambda x, k=k: x**k * weight(x), -2, 14, epsabs=1e-13)[0] for k in range(3)]
    assert mean == pytest.approx(moments[1] / moments[0], abs=1e-8)
    assert sd == pytest.approx(np.sqrt(moments[2] / moments[0] - (moments[1] / moments[0]) ** 2), abs=1e-8)


# ---- posterior -------------------------------------------------------------------------------------------------------


def known_except_two(prior: Responder) -> Responder:
    """All but alpha and b1 as good as fixed."""
    fixed = {"gamma_grade": -0.28, "gamma_liver": -0.6, "gamma_child": 0.35, "mu_x": CENTRE, "offset": 0.5}
    for name, value in fixed.items():
        prior = prior.with_prior(name, f"normal({value}, 0.0001)")
    return prior.with_prior("s_x", "lognormal(0.9, 0.0001)").with_prior("s_u", "lognormal(0.3, 0.0001)")


def test_importance_resampling_agrees_with_a_grid(prior):
    """Brute force on the two free parameters, with a cohort that lies between the two parts of the prior of alpha."""
    small = known_except_two(prior)
    cohort = changed(synthetic_cohort(25, 8, b1=0.9, alpha=-0.9), platform="ELISA")
    scorer = small.update(cohort, learn="full", seed=1, draws=8000)
    alpha, b1 = np.meshgrid(np.linspace(-3, 3, 241), np.linspace(-2, 3.5, 221), indexing="ij")
    size = alpha.size
    gamma = np.tile([-0.28, -0.6, 0.35], (size, 1))
    flat = [np.full(size, value) for value in (CENTRE, 0.9, 0.3)]
    grid = Theta(alpha.ravel(), b1.ravel(), gamma, *flat, np.zeros((size, 1)))
    log_posterior = CohortLikelihood(samples_of(prior.definition, cohort.patients, ("ELISA",)))(grid)
    log_posterior += prior.definition.prior("alpha").log_density(alpha.ravel())
    log_posterior += prior.definition.prior("b1").log_density(b1.ravel())
    weights = np.exp(log_posterior - log_posterior.max())
    weights /= weights.sum()
    assert scorer.ok
    for name, values in (("alpha", alpha.ravel()), ("b1", b1.ravel())):
        mean = weights @ values
        sd = np.sqrt(weights @ (values - mean) ** 2)
        draws = scorer.draws.column(name)
        assert draws.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(scorer.ess))
        assert draws.std() == pytest.approx(sd, rel=0.05)
        order = np.argsort(values)
        exact = np.interp([0.05, 0.5, 0.95], np.cumsum(weights[order]), values[order])
        assert np.quantile(draws, [0.05, 0.5, 0.95]) == pytest.approx(exact, abs=0.08 * sd)


def test_both_parts_of_a_mixture_prior_are_covered():
    """Two far modes: the share of each is the one of the product, known in closed form."""
    prior = JointPrior(("a",), (NormalMixture.parse("0.8*normal(-4, 0.5) + 0.2*normal(4, 0.5)"),))
    sample = sample_posterior(lambda z: -0.5 * (z[:, 0] - 1.0) ** 2, prior, 8000, np.random.default_rng(0))
    masses = np.array([0.8 * norm.pdf(1, -4, np.hypot(0.5, 1)), 0.2 * norm.pdf(1, 4, np.hypot(0.5, 1))])
    assert np.mean(sample.draws > 0) == pytest.approx(masses[1] / masses.sum(), abs=0.02)
    assert sample.ok


def test_a_bad_proposal_is_fitted_again(monkeypatch):
    """A curved ridge: the first proposal is too narrow, the refitted one covers it."""

    def ridge(z):
        return -0.5 * ((z[:, 0] ** 2 + z[:, 1] ** 2 - 4) / 0.02) ** 2

    prior = JointPrior(("a", "b"), (NormalMixture.parse("normal(0.3, 2)"),) * 2)
    sample = sample_posterior(ridge, prior, 2000, np.random.default_rng(0), "importance")
    assert sample.method == "importance, refitted"
    assert not sample.ok
    assert re.fullmatch(r"\d+ effective of 4000 proposals \(a tenth is required\)", sample.check)
    monkeypatch.setattr(sampling_module, "STEPS", 600)
    assert sample_posterior(ridge, prior, 2000, np.random.default_rng(0)).method == "metropolis"


def test_metropolis_agrees_with_a_normal_posterior():
    prior = JointPrior(("a", "b"), (NormalMixture.parse("normal(0, 1)"), NormalMixture.parse("normal(2, 3)")))
    sample = sample_posterior(
        lambda z: -0.5 * (z[:, 0] + z[:, 1]) ** 2, prior, 20_000, np.random.default_rng(0), "metropolis"
    )
    covariance = np.linalg.inv(np.array([[2.0, 1.0], [1.0, 1 + 1 / 9]]))
    assert sample.ok
    assert sample.draws.mean(axis=0) == pytest.approx(covariance @ [0, 2 / 9], abs=0.1)
    assert np.cov(sample.draws.T) == pytest.approx(covariance, abs=0.1)


def test_a_method_and_a_likelihood_must_make_sense():
    prior = JointPrior(("a",), (NormalMixture.parse("normal(0, 1)"),))
    with pytest.raises(UnknownName, match="unknown method 'nuts'"):
        sample_posterior(lambda z: -(z[:, 0] ** 2), prior, 1000, np.random.default_rng(0), "nuts")
    with pytest.raises(FitError, match="not finite at the centre of the prior"):
        sample_posterior(lambda z: np.full(len(z), -np.inf), prior, 1000, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_draws(prior):
    cohort = synthetic_cohort(20, 1)
    first, again, other = (prior.update(cohort, seed=seed, draws=1000) for seed in (3, 3, 4))
    assert np.array_equal(first.draws.values, again.draws.values)
    assert not np.array_equal(first.draws.values, other.draws.values)


def test_a_failed_check_is_on_the_first_line(prior, monkeypatch):
    monkeypatch.setattr(sampling_module, "LEAST_EFFECTIVE", 2.0)
    scorer = prior.update(synthetic_cohort(20, 1), method="importance", draws=1000)
    assert not scorer.ok
    assert str(scorer).startswith("NOT RELIABLE: ")
    table = scorer.score(Cohort.of_one(640, "pg/mL", "ELISA"))
    assert table["flags"][0].startswith("NOT RELIABLE: the draws failed their check")


def test_a_reversed_cohort_turns_the_slope(prior):
    """SYNTHETIC cohort with more CXCL10 in non-responders: the default prior does not hold the sign."""
    scorer = prior.update(synthetic_cohort(160, 2, b1=-0.585), seed=1)
    assert scorer.updated == "full"
    assert np.mean(scorer.draws.column("b1") < 0) > 0.95
    assert np.mean(scorer.draws.column("b1")) == pytest.approx(-0.585, abs=0.5)


@pytest.mark.slow
def test_reversed_cohorts_turn_the_slope_as_often_as_known(prior):
    """P(b1 < 0) > 0.95 in about 91 % of SYNTHETIC reversed cohorts of 160."""
    scorers = (prior.update(synthetic_cohort(160, 100 + k, b1=-0.585), draws=1000) for k in range(60))
    turned = [np.mean(scorer.draws.column("b1") < 0) > 0.95 for scorer in scorers]
    assert 0.78 < np.mean(turned) <= 1.0


@pytest.mark.slow
def test_simulation_based_calibration(prior):
    """Cohorts drawn from the prior, with censored levels and missing covariates: ranks of the truth are uniform."""
    rng = np.random.default_rng(0)
    names = ("alpha", "b1", "gamma_liver", "mu_x", "s_x", "s_u", "offset_Luminex")
    ranks = []
    for k in range(150):
        truth = prior_draws(prior.definition, ("ELISA", "Luminex"), 1, rng)
        scorer = prior.update(drawn_cohort(truth, 40, rng), seed=k, learn="full", draws=1000)
        assert scorer.ok
        ranks.append([np.mean(scorer.draws.column(name) < truth.column(name)) for name in names])
    for name, column in zip(names, np.array(ranks).T, strict=True):
        assert 0.89 < np.mean((column > 0.025) & (column < 0.975)) <= 1.0, name
        assert kstest(column, "uniform").pvalue > 0.002, name


def drawn_cohort(truth, n, rng):
    """A SYNTHETIC cohort from one draw of all parameters."""
    of = {name: truth.column(name)[0] for name in truth.names}
    x = of["mu_x"] + of["s_x"] * rng.standard_normal(n)
    grade = rng.choice([-1, 0, 1], n, p=[0.2, 0.3, 0.5])
    liver, child, luminex = rng.random(n) < 0.4, rng.random(n) < 0.2, rng.random(n) < 0.3
    linear = of["alpha"] + of["b1"] * (x - CENTRE) / SPREAD + of["gamma_grade"] * grade
    linear += of["gamma_liver"] * (liver - 0.4) + of["gamma_child"] * (child - 0.2)
    response = rng.random(n) < expit(linear)
    level = np.exp(x + of["offset_Luminex"] * luminex + of["s_u"] * rng.standard_normal(n))
    frame = pd.DataFrame(
        {
            "patient": [f"SYN-{k}" for k in range(n)],
            "cxcl10_0h": level,
            "unit": "pg/mL",
            "platform": np.where(luminex, "Luminex", "ELISA"),
            "lloq": 78,
            "uloq": 5000,
            "grade": np.where(rng.random(n) < 0.1, "", [("BCD"[step + 1]) for step in grade]),
            "liver": liver,
            "age": np.where(child, 9, 40),
            "response": response,
            "label": "SYNTHETIC",
        }
    )
    return cohort_from_frame(frame)


@pytest.mark.slow
def test_importance_resampling_agrees_with_metropolis(prior):
    cohort = synthetic_cohort(60, 1)
    two = [prior.update(cohort, seed=5, learn="full", method=method) for method in ("importance", "metropolis")]
    assert [scorer.method for scorer in two] == ["importance", "metropolis"]
    assert all(scorer.ok for scorer in two)
    one_table, other = (scorer.summary().set_index("parameter") for scorer in two)
    difference = (one_table["estimate"] - other["estimate"]).abs() / one_table["sd"]
    assert difference.max() < 0.15
    assert (one_table["sd"] / other["sd"]).between(0.85, 1.15).all()


# ---- what a cohort may teach -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "responded", "learn"),
    [
        (1, 1, "alpha"),
        (29, 15, "alpha"),
        (30, 15, "slope"),
        (99, 60, "slope"),
        (100, 50, "slope"),
        (100, 60, "full"),
        (101, 50, "full"),
        (40, 40, "alpha"),
        (120, 0, "alpha"),
    ],
)
def test_rule_by_size(n, responded, learn):
    patients = [Patient(f"SYN-{k}", Level(640.0), "ELISA", response=int(k < responded)) for k in range(n)]
    rule = rule_for(Cohort(tuple(patients)))
    assert rule.learn == learn
    assert f"{n} with a known response, {responded} responded" in rule.reason


def test_the_rule_can_be_overruled_and_says_so(prior):
    scorer = prior.update(synthetic_cohort(20, 1), learn="full", draws=1000)
    assert scorer.updated == "full"
    assert "every coefficient updated on request; the rule for this size is 'alpha'" in scorer.notes[0]


def test_a_small_cohort_moves_the_intercept_alone(prior):
    scorer = prior.update(synthetic_cohort(20, 1), draws=4000)
    table = scorer.summary().set_index("parameter")
    assert scorer.updated == "alpha"
    assert "the CXCL10 slope on its own keeps its prior" in scorer.notes[0]
    assert (table.loc[["b1", "gamma_grade", "gamma_liver", "gamma_child"], "learned"] == 0).all()
    assert table.loc["alpha", "learned"] > 0.3
    assert table.loc["mu_x", "learned"] > 0.3
    assert table.loc["b1", "estimate"] == pytest.approx(0.35, abs=0.06)
    assert table.loc["b1", "sd"] == pytest.approx(0.75, rel=0.05)


def test_the_intercept_of_a_cohort_without_anything_else_is_close_to_the_closed_form(prior):
    """No level and no covariate: the rate of 6 of 20 under the logit mixture against its beta form."""
    plain = changed(synthetic_cohort(20, 1), level=None, grade=None, liver=None, age=None, platform="ELISA")
    patients = tuple(dataclasses.replace(one, response=int(k < 6)) for k, one in enumerate(plain.patients))
    scorer = prior.update(Cohort(patients), seed=1)
    p = scorer.score(Cohort((dataclasses.replace(patients[0], id="SYN-new"),)))["p_response"][0]
    assert p == pytest.approx(update_rate(6, 20).mean, abs=0.06)


def test_the_prior_of_the_predictor_slope_is_the_one_that_the_coefficients_imply(prior):
    """A law: projecting prior draws on the published predictor gives that prior."""
    mixture = predictor_slope_prior(prior.definition)
    draws = prior_draws(prior.definition, ("ELISA",), 100_000, np.random.default_rng(0))
    names = ("b1", "gamma_grade", "gamma_liver", "gamma_child")
    means = np.array([prior.definition.prior(name).mean for name in names])
    precision = means / np.array([prior.definition.prior(name).sd for name in names]) ** 2
    k = np.column_stack([draws.column(name) for name in names]) @ precision / (means @ precision)
    assert (k.mean(), k.std()) == pytest.approx((1.0, mixture.sd), abs=0.01)


def test_a_cohort_that_says_nothing_gives_the_prior_back(prior):
    """Outcomes unknown but for one patient: at every size of update the coefficients keep their prior."""
    cohort = synthetic_cohort(1, 3)
    for learn in ("slope", "full"):
        table = prior.update(cohort, learn=learn, seed=2, draws=8000).summary().set_index("parameter")
        for name in ("b1", "gamma_grade", "gamma_liver", "gamma_child"):
            mixture = prior.definition.prior(name)
            assert table.loc[name, "estimate"] == pytest.approx(mixture.mean, abs=0.25 * mixture.sd), (learn, name)
            assert table.loc[name, "sd"] == pytest.approx(mixture.sd, rel=0.08), (learn, name)


def test_the_slope_stage_needs_a_published_predictor(prior):
    flat = prior
    for name in ("b1", "gamma_grade", "gamma_liver", "gamma_child"):
        flat = flat.with_prior(name, "normal(0, 0.5)")
    with pytest.raises(UsageError, match="no coefficient has a prior mean other than 0. Try: learn='alpha'"):
        flat.update(synthetic_cohort(40, 1))


def test_patients_without_a_response_teach_levels_only(prior):
    few = synthetic_cohort(40, 4)
    hidden = Cohort(
        tuple(dataclasses.replace(one, response=None if k > 9 else one.response) for k, one in enumerate(few.patients))
    )
    scorer = prior.update(hidden, draws=2000)
    assert scorer.updated == "alpha"
    assert "30 of 40 patients with no known response (levels only)" in scorer.notes
    fewer = prior.update(Cohort(hidden.patients[:10]), draws=2000).summary().set_index("parameter")
    more = scorer.summary().set_index("parameter")
    assert more.loc["mu_x", "sd"] < 0.8 * fewer.loc["mu_x", "sd"]


def test_a_cohort_without_responses_is_refused(prior, shipped):
    with pytest.raises(CohortError, match=r"no patient has a known response. Try: a column 'response' with 1 or 0"):
        prior.update(shipped[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learn": "everything"}, UnknownName, "unknown learn 'everything'"),
        ({"draws": 10}, UsageError, "draws=10; expected 500 to 200000"),
        ({"method": "gibbs"}, UnknownName, "unknown method 'gibbs'"),
    ],
)
def test_wrong_options_are_refused(prior, options, error, message):
    with pytest.raises(error, match=message):
        prior.update(synthetic_cohort(5, 1), **options)


# ---- scores ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorer(prior, shipped):
    return prior.update(shipped[0], seed=3, learn="full", draws=3000)


@pytest.fixture(scope="module")
def table(scorer, shipped):
    return scorer.score(shipped[1], seed=1)


def test_score_table(table):
    assert list(table["patient"]) == [f"SYN-P{k:02d}" for k in range(1, 11)]
    inside = ["lower", "lower_80", "lower_50", "upper_50", "upper_80", "upper"]
    assert (np.diff(table[inside].to_numpy(), axis=1) >= 0).all()
    numbers = table.drop(columns=["patient", "flags"]).to_numpy(float)
    assert np.isfinite(numbers).all()
    assert (
        table[["p_response", "p_prior_only", "prior_share"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    )
    shares = table[["share_measurement", "share_intercept", "share_slope", "share_covariates"]].sum(axis=1)
    assert shares.to_numpy() == pytest.approx(np.ones(10))


def test_banner_goes_with_every_output(scorer, table):
    assert table.attrs["banner"] == scorer.summary().attrs["banner"] == BANNER
    assert BANNER in str(scorer)
    for words in (
        "RESEARCH USE ONLY",
        "not a diagnostic",
        "Not validated externally",
        "not benefit",
        "withhold therapy",
    ):
        assert words in BANNER


def test_no_output_speaks_of_more_than_prognosis(prior, scorer, table, repository):
    """Single-arm data cannot say who gains from MSC: the word stands in the banner alone, and no level is a cut-off."""
    texts = [str(prior), str(scorer), table.to_string(), *scorer.notes, *table["flags"]]
    assert not any("benefit" in text.replace(BANNER, "").casefold() for text in texts)
    assert not any(re.search(r"cut-?off", text) for text in texts)
    sources = (repository / "src/mscpkpd/responder").glob("*.py")
    assert not any("benefit" in file.read_text().casefold() for file in sources if file.name != "banner.py")


def test_scores_follow_the_slope_of_the_data(scorer):
    """SYNTHETIC cohort with a rising truth: more CXCL10, higher score."""
    frame = pd.DataFrame({"patient": list("abc"), "cxcl10_0h": [150, 600, 2400], "unit": "pg/mL", "platform": "ELISA"})
    scores = scorer.score(cohort_from_frame(frame.assign(grade="C", liver=0, age=40)))["p_response"]
    assert scores.is_monotonic_increasing


def test_a_score_agrees_with_quadrature(prior):
    """All parameters known: the mean score is P(response | level), by adaptive quadrature."""
    fixed = known_except_two(prior).with_prior("alpha", "normal(0.3, 0.0001)").with_prior("b1", "normal(0.8, 0.0001)")
    w = np.log(1500.0)
    posterior = lambda x: norm.pdf(w, x, 0.3) * norm.pdf(x, CENTRE, 0.9)  # noqa: E731
    p = lambda x: expit(0.3 + 0.8 * (x - CENTRE) / SPREAD - 0.28 - 0.6 * 0.6 - 0.35 * 0.2)  # noqa: E731
    exact = quad(lambda x: p(x) * posterior(x), 3, 11)[0] / quad(posterior, 3, 11)[0]
    table = fixed.score(Cohort.of_one(1500, "pg/mL", "ELISA", grade="D", liver=1, age=40), draws=20_000)
    assert table["p_response"][0] == pytest.approx(exact, abs=0.002)
    assert table["share_measurement"][0] > 0.999


def test_the_own_level_weighs_platform_and_population(prior):
    """One patient without any cohort: E[x | w] of the joint normal prior of level, offset, mean and error."""
    flat = prior.with_prior("s_x", "lognormal(0.9, 0.0001)").with_prior("s_u", "lognormal(0.3, 0.0001)")
    flat = flat.with_prior("b1", "normal(1, 0.0001)").with_prior("alpha", "normal(0, 0.0001)")
    for name in ("gamma_grade", "gamma_liver", "gamma_child"):
        flat = flat.with_prior(name, "normal(0, 0.0001)")
    variance = 0.9**2 + 0.7**2  # of x: between patients, and of the population mean
    z = (np.log(3000.0) - CENTRE) / SPREAD * variance / (variance + 0.7**2 + 0.3**2)
    table = flat.score(Cohort.of_one(3000, "pg/mL", "Luminex", grade="C", liver=0, age=40), draws=50_000)
    sd = np.sqrt(variance * (0.7**2 + 0.3**2) / (variance + 0.7**2 + 0.3**2)) / SPREAD
    exact = quad(lambda u: expit(u) * norm.pdf(u, z, sd), z - 8 * sd, z + 8 * sd)[0]
    assert table["p_response"][0] == pytest.approx(exact, abs=0.01)


def test_without_a_cohort_the_prior_share_is_one(prior, shipped):
    table = prior.score(shipped[1], draws=2000)
    assert (table["prior_share"] == 1).all()
    assert (table["p_response"] == table["p_prior_only"]).all()
    assert table["flags"].str.contains("no cohort: the prior alone").all()
    assert prior.scorer(draws=500).rate is None
    assert "the prior alone" in str(prior.scorer(draws=500))


def test_more_patients_leave_less_to_the_prior(prior):
    patient = Cohort.of_one(640, "pg/mL", "ELISA", grade="C", liver=0, age=40)
    shares = [
        prior.update(synthetic_cohort(n, 6), draws=2000, learn="full").score(patient)["prior_share"][0]
        for n in (5, 40, 250)
    ]
    assert 1 > shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.3


def test_adding_a_patient_changes_nothing_for_the_others(scorer, shipped, table):
    alone = scorer.score(Cohort(shipped[1].patients[3:4]), seed=1)
    pd.testing.assert_frame_equal(alone, table.iloc[3:4].reset_index(drop=True))


def test_the_same_seed_gives_the_same_scores(scorer, shipped, table):
    pd.testing.assert_frame_equal(scorer.score(shipped[1], seed=1), table)
    other = scorer.score(shipped[1], seed=2)
    assert not other["p_response"].equals(table["p_response"])
    assert other["p_response"].to_numpy() == pytest.approx(table["p_response"].to_numpy(), abs=0.05)


def test_units_do_not_matter(scorer):
    two = [Cohort.of_one(*given, "ELISA", grade="C") for given in ((640, "pg/mL"), (0.64, "ng/mL"))]
    pd.testing.assert_frame_equal(*(scorer.score(patient) for patient in two))


def test_platform_names_ignore_case(scorer):
    two = [Cohort.of_one(640, "pg/mL", name, grade="C") for name in ("Luminex", "LUMINEX")]
    pd.testing.assert_frame_equal(*(scorer.score(patient) for patient in two))


def test_fewer_draws_and_a_threshold(scorer, shipped):
    table = scorer.score(shipped[1], draws=500, threshold=0.5)
    high = table["lower"] > 0.5
    assert (table.loc[high, "p_above"] > 0.97).all()
    with pytest.raises(UsageError, match=r"draws=5000; expected 100 to 3000, what the scorer holds"):
        scorer.score(shipped[1], draws=5000)
    with pytest.raises(UsageError, match=r"threshold=600; expected a probability between 0 and 1"):
        scorer.score(shipped[1], threshold=600)


FLAGS = {
    "below": ({"cxcl10": "<7.8"}, "below the limit of quantification"),
    "above": ({"cxcl10": ">5000"}, "above the limit of quantification"),
    "far": ({"cxcl10": 9000}, r"level outside the range of the model \(z = 3.0\)"),
    "unit": ({"cxcl10": 640, "unit": "ng/mL"}, "implausible level: check the unit"),
    "platform": ({"platform": "MSD"}, "platform 'MSD' unknown to the cohort: its offset is from the prior alone"),
    "covariates": ({"liver": None, "age": None}, "liver, age missing: averaged over published shares"),
    "level": ({"cxcl10": ""}, "CXCL10 missing: average over the population"),
    "grade": ({"grade": "A"}, "grade A outside the data"),
    "same": ({"patient": "SYN-001"}, "a patient of this name was in the cohort of the update"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_flags(scorer, case):
    options, message = FLAGS[case]
    given = {"cxcl10": 640, "unit": "pg/mL", "platform": "ELISA", "grade": "C", "liver": 0, "age": 40} | options
    flags = scorer.score(Cohort.of_one(**given))["flags"][0]
    assert re.search(message, flags), flags
    assert "SYNTHETIC cohort" in flags


def test_flags_of_a_plain_patient_name_the_synthetic_cohort_only(scorer):
    plain = Cohort.of_one(640, "pg/mL", "ELISA", grade="C", liver=0, age=40)
    assert scorer.score(plain)["flags"][0] == "SYNTHETIC cohort"


def test_flags_of_a_small_cohort_without_children(prior):
    scorer = prior.update(changed(synthetic_cohort(12, 1), age=40.0, grade="C", synthetic=False), draws=1000)
    child = Cohort.of_one(2400, "pg/mL", "ELISA", grade="D", liver=0, age=9)
    flags = scorer.score(child)["flags"][0].split("; ")
    assert flags == [
        "grade D outside the data",
        "no child in the cohort",
        "small cohort (12 with a known response)",
        "prior-dominated",
    ]


def test_summary(scorer):
    table = scorer.summary()
    assert list(table.columns) == ["parameter", "estimate", "lower", "upper", "sd", "unit", "learned"]
    assert {"alpha", "b1", "mu_x", "s_x", "s_u", "offset_Luminex"} <= set(table["parameter"])
    assert (table["lower"] < table["estimate"]).all()
    assert table.attrs["updated"] == "full"
    assert table.set_index("parameter").loc["alpha", "learned"] > 0.5


def test_printing_a_scorer_reports_the_rate_with_and_without_the_prior(scorer):
    text = str(scorer)
    assert "32 of 60 responded: 0.53 (0.41-0.65) without the prior, 0.56 (0.46-0.66) with it" in text
    assert "prior predictive tail probability" in text
    assert "SYNTHETIC cohort" in text
    assert "effective of 6000 proposals" in text


def test_the_shipped_cohort_is_updated_by_the_rule(prior, shipped):
    scorer = prior.update(shipped[0], seed=3, draws=2000)
    assert scorer.updated == "slope"
    row = scorer.summary().set_index("parameter").loc["slope_on_predictor"]
    assert row["lower"] < row["estimate"] < row["upper"]
    assert row["learned"] > 0.1
    assert scorer.ess > 1000


# ---- performance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("b1", "auc"), [(0.0, 0.5), (0.327, 0.586), (0.585, 0.652), (1.141, 0.777), (-0.585, 0.348)])
def test_auc_identity(b1, auc):
    """Known answers, and the area between two normal samples whose log odds have that slope."""
    assert auc_of_slope(b1) == pytest.approx(auc, abs=0.001)
    rng = np.random.default_rng(0)
    shift = b1 / SPREAD * 0.85**2
    responders_, others = shift + 0.85 * rng.standard_normal(200_000), 0.85 * rng.standard_normal(200_000)
    assert np.mean(responders_ > others) == pytest.approx(auc_of_slope(b1), abs=0.005)


def test_calibration_of_a_good_scorer(prior):
    scorer = prior.update(synthetic_cohort(150, 1, b1=1.2), draws=1000)
    fresh = synthetic_cohort(200, 2, b1=1.2).patients
    holdout = Cohort(tuple(dataclasses.replace(one, id=f"new-{one.id}") for one in fresh), "holdout")
    table = scorer.calibration(holdout).set_index("measure")
    assert table.loc["patients", "estimate"] == 200
    for name in ("observed_over_expected", "calibration_intercept", "calibration_slope"):
        assert table.loc[name, "lower"] < table.loc[name, "perfect"] < table.loc[name, "upper"], name
    assert table.loc["auc", "estimate"] > 0.65
    assert 0 < table.loc["scaled_brier", "estimate"] < 1
    assert not any("apparent" in note for note in table.attrs["notes"])


def test_calibration_on_the_cohort_of_the_update_says_so(scorer, shipped):
    notes = scorer.calibration(shipped[0]).attrs["notes"]
    assert "60 of these patients were in the update: this is apparent performance, too good" in notes


def test_decision_curve(scorer, shipped):
    table = scorer.decision_curve(shipped[0], seed=1)
    assert table["threshold"].between(0.05, 0.95).all()
    rate, t = 32 / 60, table["threshold"]
    assert table["treat_all"].to_numpy() == pytest.approx((rate - (1 - rate) * t / (1 - t)).to_numpy())
    assert (table["treat_none"] == 0).all()
    assert table["p_best"].between(0, 1).all()
    assert table["net_value"].iloc[0] == pytest.approx(table["treat_all"].iloc[0], abs=0.02)


def test_performance_needs_both_outcomes(scorer, shipped):
    with pytest.raises(CohortError, match=r"0 patients with a known response, 0 responded; expected at least 10"):
        scorer.calibration(shipped[1])
    with pytest.raises(CohortError, match=r"60 patients with a known response, 60 responded"):
        scorer.decision_curve(changed(shipped[0], response=1))


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_saved_scorer_scores_the_same(scorer, shipped, table, tmp_path):
    path = scorer.save(tmp_path / "trial_scorer")
    again = load_scorer(path)
    pd.testing.assert_frame_equal(again.score(shipped[1], seed=1), table)
    assert again.definition == scorer.definition
    assert (again.facts, again.notes, again.updated) == (scorer.facts, scorer.notes, scorer.updated)
    assert str(Scorer.load(path)) == str(scorer)


def test_a_saved_scorer_holds_no_patient(scorer, shipped, tmp_path):
    path = scorer.save(tmp_path / "trial_scorer")
    names = {"draws.npz", "response_rates.csv", "responder.toml", "scorer.toml"}
    assert {file.name for file in path.iterdir()} == names
    content = b"".join(file.read_bytes() for file in path.iterdir())
    for one in shipped[0].patients:
        assert one.id.encode() not in content
    text = (path / "scorer.toml").read_text()
    assert BANNER in text
    assert "# " in text, "the parameter table for a reader"
    assert load_scorer(path).known == frozenset()


def test_changed_priors_and_the_slope_prior_are_saved(tmp_path):
    model = load_responder(slope="sceptical").with_prior("s_u", "lognormal(0.1, 0.2)", 'QC replicates "2024"')
    path = model.scorer(draws=500).save(tmp_path / "mine")
    again = load_scorer(path)
    assert again.definition == model.definition
    assert again.facts is None
    assert np.isnan(again.ess)
    assert again.definition.parameter("s_u").source == 'QC replicates "2024"'


def test_saving_again_replaces_only_a_scorer(prior, tmp_path):
    scorer = prior.scorer(draws=500)
    scorer.save(scorer.save(tmp_path / "mine"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.csv").write_text("x")
    with pytest.raises(UsageError, match="exists"):
        scorer.save(tmp_path / "other")


def test_a_damaged_scorer_is_refused(prior, tmp_path):
    with pytest.raises(ModelError, match=r"no scorer.toml; expected a folder written by scorer.save\(\)"):
        load_scorer(tmp_path)
    path = prior.scorer(draws=500).save(tmp_path / "mine")
    (path / "draws.npz").write_bytes(b"not a zip file")
    with pytest.raises(ModelError, match=r"damaged .*Try: save the scorer again"):
        load_scorer(path)
    np.savez(path / "draws.npz", names=np.array(["alpha"]), values=np.full((5, 2), 1.0))
    with pytest.raises(ModelError, match="one finite number for each draw and name"):
        load_scorer(path)
    np.savez(path / "draws.npz", names=np.array(["alpha"]), values=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelError, match="damaged"):
        load_scorer(path)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("format    = 1", "format = 2", ModelError, r"mine.toml: kind 'responder', format 2; expected kind"),
        ("spread             = 0.9", "", ModelError, r"mine.toml: no key 'spread'"),
        ("centre             = 600.0", "centre = -1", ModelError, r"\[scale\].centre: -1; expected a number above 0"),
        (
            "grade_C  = { share = 0.3",
            "grade_C = { share = 0.4",
            ModelError,
            r"\[missing\]: shares .*grades that sum to 1",
        ),
        (
            'tau    = { prior = "halfnormal(0.5)"',
            'tau    = { prior = "normal(0, 1)"',
            ModelError,
            r"\[rate\]: prior .* expected a halfnormal",
        ),
        ("0.8*beta(24, 16)", "0.8*normal(24, 16)", ModelError, r"\[rate\].beta: prior .*expected beta"),
        (
            'evidence = "assumed", about = "Mean ln',
            'evidence = "guess", about = "Mean ln',
            ModelError,
            "evidence 'guess'",
        ),
        ("mu_x  ", "mu_y  ", UnknownName, r"unknown parameter 'mu_y'. Try: 'mu_x'"),
        ("[scale]", "[scale", ModelError, r"mine.toml: no valid TOML"),
        ("centre             = 600.0", 'centre = "much"', ModelError, r"a value of the wrong type"),
        ('"response_rates.csv"', '"rates.csv"', ModelError, r"rates.csv: cannot be read"),
    ],
)
def test_a_wrong_responder_file_is_refused(repository, tmp_path, old, new, error, message):
    folder = repository / "models/responder"
    text = (folder / "sr_agvhd_cxcl10.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    (tmp_path / "response_rates.csv").write_bytes((folder / "response_rates.csv").read_bytes())
    with pytest.raises(error, match=message):
        load_responder(tmp_path / "mine.toml")


def test_names_of_the_library():
    assert "sr_agvhd_cxcl10" in responders()
    with pytest.raises(UnknownName, match=r"unknown responder 'sr_agvhd'. Try: 'sr_agvhd_cxcl10'"):
        load_responder("sr_agvhd")
    with pytest.raises(UnknownName, match=r"unknown slope prior 'skeptical'. Try: 'sceptical'"):
        load_responder("sr_agvhd_cxcl10", slope="skeptical")


def test_the_public_names_lead_here():
    assert msc.load_responder is load_responder
    assert msc.Responder is Responder
    assert load_responder().name == "sr_agvhd_cxcl10"
