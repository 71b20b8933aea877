"""Simulated truth comes back: typical values, variances and correlations of a hierarchy, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mscpkpd.data import Study
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.replicates import observe
from mscpkpd.model import Covariance, Model, Variability
from mscpkpd.parameters import Prior
from mscpkpd.population import pose_population
from population_models import one_compartment, table

TIMES = (0.5, 2.0, 5.0, 10.0, 18.0, 30.0)
HALF = Prior("halfnormal", (0.5,))
TRUTH = {"CL": 5.0, "V": 50.0, "s": 0.1, "omega_sd_CL": 0.3, "omega_sd_V": 0.2, "corr_CL__V": 0.5}
MANY = 40  # fits by FOCEI; each takes some seconds


def hierarchical() -> Model:
    """Clearance and volume that correlate between subjects, 10 % residual error."""
    spread = (Variability("CL", "subject", 0.3, prior=HALF), Variability("V", "subject", 0.2, prior=HALF))
    covariance = (Covariance("subject", "full", 2.0, (("CL", "V", 0.5),)),)
    return one_compartment(*spread, covariance=covariance, noise="lognormal(s)").fix(theta=0.75, d=0.0)


def simulated(model: Model, subjects: int, seed: int) -> Study:
    """A study of subjects drawn from the model."""
    rng = np.random.default_rng(seed)
    rows = [{"subject": f"S{i:02d}", "time": t, "value": 1.0} for i in range(subjects) for t in TIMES]
    population = pose_population(model, table(rows))
    sd, r = np.array([TRUTH["omega_sd_CL"], TRUTH["omega_sd_V"]]), TRUTH["corr_CL__V"]
    root = np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
    eta = (rng.standard_normal((subjects, 2)) @ root.T) * sd
    theta = np.array([TRUTH[name] for name in population.problem.names])
    f = population.predict(theta, eta.reshape(-1)).value
    y = observe(population.problem, f, population.problem.values(theta), rng)
    return table([{**row, "value": float(value)} for row, value in zip(rows, y, strict=True)])


@pytest.mark.slow
def test_focei_recovers_the_truth_and_its_intervals_cover():
    """40 studies of 32 subjects: bias within 3 standard errors of its mean, 95 % intervals cover as a binomial says."""
    model, found = hierarchical(), []
    for seed in range(MANY):
        fitted = fit(model, simulated(model, 32, seed), "focei")
        assert fitted.ok, fitted.verdict
        found.append(fitted.table.set_index("parameter")[["estimate", "lower", "upper", "sd"]])
    low, high = stats.binom(MANY, 0.95).ppf([0.001, 0.999])
    for name, truth in TRUTH.items():
        covered = sum(each.loc[name, "lower"] < truth < each.loc[name, "upper"] for each in found)
        # maximum likelihood underestimates variances by about 1/(2 * subjects); intervals are asymptotic
        assert low - 1 <= covered <= high, (name, covered)
        estimates = np.array([each.loc[name, "estimate"] for each in found])
        error = np.std(estimates, ddof=1) / np.sqrt(MANY)
        assert abs(np.mean(estimates) - truth) < 3 * error + truth / 64, name
        stated = np.mean([each.loc[name, "sd"] for each in found])
        assert stated == pytest.approx(np.std(estimates, ddof=1), rel=0.35), name


@pytest.mark.slow
def test_nuts_recovers_the_truth_of_twelve_subjects():
    """Five studies: every fit passes its checks; of 30 central 90 % intervals about 27 hold the truth (27 did)."""
    model, covered = hierarchical(), 0
    for seed in range(5):
        fitted = fit(model, simulated(model, 12, 100 + seed), "nuts", chains=2, draws=1000, tune=500, seed=seed)
        assert fitted.ok, fitted.verdict
        for name, truth in TRUTH.items():
            low, high = np.quantile(fitted.posterior.learned[name], [0.05, 0.95])
            covered += int(low < truth < high)
    assert stats.binom(30, 0.9).ppf(0.001) <= covered


def test_replicates_of_a_fit_have_other_subjects_each_time():
    """V1, V7: the spread between simulated subjects is that of the fit, residual error aside."""
    from mscpkpd.predictive.replicates import replicates

    model = hierarchical()
    fitted = fit(model, simulated(model, 8, 3), "focei")
    found = replicates(fitted, 500, seed=1)
    assert fitted.settings["random"] == ["CL:subject", "V:subject"]
    table_ = fitted.table.set_index("parameter")["estimate"]
    early = found.time == TIMES[0]
    # at 0.5 h the logarithm of the concentration is -ln V - CL/V t: nearly the effect on V alone
    spread = np.std(np.log(found.simulated[:, early]), ddof=1)
    assert spread == pytest.approx(np.hypot(table_["omega_sd_V"], table_["s"]), rel=0.1)
    np.testing.assert_allclose(found.predicted, fitted.predictions["population"])
