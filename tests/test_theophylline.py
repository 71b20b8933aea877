"""Theophylline, twelve subjects: against R's nls, nlme and lme4::nlmer on the same data.

The numbers of R come from R 4.2.2 with nlme 3.1-162 and lme4 1.1-31; docs/theophylline.md has the calls.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mscpkpd.data import Study, read_study
from mscpkpd.fitting import focei
from mscpkpd.fitting.api import fit, load_fit
from mscpkpd.modelfile import library_path, load_model

NLME = {"ke": -2.4547046, "ka": 0.4657371, "CL": -3.2272230}
VARIANCES = {"omega2_ka": 0.414187062, "omega2_CL": 0.027865033}
RESIDUAL, LOGLIK = 0.70925455, -177.02141
# lme4::nlmer searches for the maximum of the very approximation that focei has where the error is additive
NLMER = {"ke": -2.465609, "ka": 0.481939, "CL": -3.230367}
NLMER_VARIANCES, NLMER_SD, NLMER_LOGLIK = {"omega2_ka": 0.430945, "omega2_CL": 0.028059}, 0.70777, -176.99183
# nls(conc ~ SSfol(Dose, Time, lKe, lKa, lCl)): lKe, lKa, lCl, residual standard error
NLS = {
    "01": (-2.9196142, 0.57516119, -3.9158566, 0.73195022), "02": (-2.2861083, 0.66405678, -3.1063169, 1.0576096),
    "03": (-2.5080732, 0.89754224, -3.2299646, 0.23352568), "04": (-2.436494, 0.15826383, -3.2860869, 0.84645958),
    "05": (-2.4254859, 0.38628533, -3.1326003, 1.2972793), "06": (-2.3073316, 0.15162338, -2.9732417, 0.55274771),
    "07": (-2.2803698, -0.38605108, -2.9643353, 0.35294426), "08": (-2.3864369, 0.31883391, -3.069111, 0.67854171),
    "09": (-2.4460877, 2.1821879, -3.4207739, 0.55776943), "10": (-2.6041476, -0.3631216, -3.4282705, 0.41100521),
    "11": (-2.3215304, 1.3478239, -2.8603974, 0.23081817), "12": (-2.2483257, -0.18284423, -3.1701582, 0.59257882),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load_model("theophylline")


@pytest.fixture(scope="module")
def study() -> Study:
    return read_study(library_path() / "data" / "theophylline_boeckmann_1994.csv")


@pytest.fixture(scope="module")
def fitted(model, study):
    return fit(model, study, "focei")


@pytest.fixture(scope="module")
def estimates(fitted):
    return dict(zip(fitted.table["parameter"], fitted.table["estimate"], strict=True))


def test_the_data_are_those_of_r(study):
    """132 values of 12 subjects, and their sums: of the table Theoph of R's datasets."""
    assert (len(study.subjects), len(study)) == (12, 132)
    assert sum(record.value for record in study.records) == pytest.approx(654.78)
    assert sum(record.time for record in study.records) == pytest.approx(778.09)
    assert sum(s.regimen.doses[0].amount for s in study.subjects) == pytest.approx(55.51)


def test_focei_is_nlme_s_maximum_likelihood(fitted, estimates):
    """2 % of typical values and 10 % of variances; nlme's algorithm stops a little before its maximum."""
    assert fitted.ok
    for name, log in NLME.items():
        assert estimates[name] == pytest.approx(np.exp(log), rel=0.02)
    for name, variance in VARIANCES.items():
        assert estimates[name] == pytest.approx(variance, rel=0.10)
    assert estimates["sigma_conc"] == pytest.approx(RESIDUAL, rel=0.02)
    assert fitted.statistics["log_likelihood"] == pytest.approx(LOGLIK, abs=0.05)
    assert fitted.statistics["log_likelihood"] > LOGLIK


def test_focei_is_nlmer_s_maximum(fitted, estimates):
    """The same approximation by another program: log-likelihood to 1e-3, estimates to 1e-3."""
    assert fitted.statistics["log_likelihood"] == pytest.approx(NLMER_LOGLIK, abs=1e-3)
    for name, log in NLMER.items():
        assert np.log(estimates[name]) == pytest.approx(log, abs=1e-3)
    for name, variance in NLMER_VARIANCES.items():
        assert estimates[name] == pytest.approx(variance, rel=1e-3)
    assert estimates["sigma_conc"] == pytest.approx(NLMER_SD, rel=1e-3)


def test_p9_s4_s5_the_numbers_of_the_fit(fitted):
    """minus2ll, the ofv of NONMEM, AIC, both BIC with their n; nlme prints 366.04 and 383.34 for AIC and BIC."""
    numbers = fitted.statistics
    assert numbers["ofv"] == pytest.approx(numbers["minus2ll"] - 132 * 1.8378770664, abs=1e-6)
    assert numbers["aic"] == pytest.approx(366.04282, abs=0.1)
    assert numbers["bic_obs"] == pytest.approx(383.33963, abs=0.1)
    assert numbers["bic_subjects"] == pytest.approx(numbers["minus2ll"] + 6 * np.log(12))
    assert (numbers["observations"], numbers["censored"], numbers["subjects"], numbers["estimated"]) == (132, 0, 12, 6)


def test_s6_the_condition_number_is_that_of_the_correlations(fitted):
    """Largest over smallest eigenvalue; here of a matrix that draws of the estimates show, too."""
    draws = np.log(np.stack([fitted.posterior.learned[name][0] for name in fitted.settings["free"]]))
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(draws))
    assert fitted.statistics["condition_number"] == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=0.15)


def test_standard_errors_are_those_of_nlme(fitted):
    """On the natural-log scale, to 5 % (nlme takes degrees of freedom into account: sqrt(132/129))."""
    table = fitted.table.set_index("parameter")
    for name, error in {"ke": 0.052490400, "ka": 0.198562785, "CL": 0.060010231}.items():
        row = table.loc[name]
        assert row["sd"] / row["estimate"] == pytest.approx(error, rel=0.05)
        assert row["rse"] == pytest.approx(100 * row["sd"] / row["estimate"])
        width = 2 * 1.959964 * row["sd"] / row["estimate"]
        assert np.log(row["upper"] / row["lower"]) == pytest.approx(width, rel=1e-6)
        assert 0.5 < row["sd_sandwich"] / row["sd"] < 2


def test_p4_p5_s7_both_scales_and_the_form_of_shrinkage(fitted):
    """omega as SD and as variance, CV %, and shrinkage with its form, by hand from the individual table."""
    table, each = fitted.table.set_index("parameter"), fitted.individuals
    sd, variance = table.loc["omega_sd_ka"], table.loc["omega2_ka"]
    assert variance["estimate"] == pytest.approx(sd["estimate"] ** 2)
    assert sd["cv"] == pytest.approx(100 * np.sqrt(np.expm1(variance["estimate"])))
    assert "cv in % (P5)" in fitted.table.attrs["interval"]
    spread = np.std(each["eta_ka"], ddof=1)
    assert sd["eta_shrinkage_sd"] == pytest.approx(1 - spread / sd["estimate"])
    assert sd["eta_shrinkage_var"] == pytest.approx(1 - spread**2 / variance["estimate"])
    residuals = (fitted.predictions["observed"] - fitted.predictions["predicted"]) / table.loc["sigma_conc", "estimate"]
    assert fitted.statistics["eps_shrinkage_sd"] == pytest.approx(1 - np.std(residuals, ddof=1), rel=1e-6)


def test_individual_estimates_are_those_of_nlme(fitted):
    """Random effects of three subjects as ranef(nlme) prints them; 0.03 is what its other optimum moves them."""
    each = fitted.individuals.set_index("subject")
    for subject, ka, cl in (("01", -0.119258471, -0.354249403), ("09", 1.405390907, -0.200850091),
                            ("11", 0.853173034, 0.249042640)):  # fmt: skip
        assert each.loc[subject, "eta_ka"] == pytest.approx(ka, abs=0.03)
        assert each.loc[subject, "eta_CL"] == pytest.approx(cl, abs=0.03)
        typical = fitted.table.set_index("parameter").loc["ka", "estimate"]
        assert each.loc[subject, "ka"] == pytest.approx(typical * np.exp(each.loc[subject, "eta_ka"]))


def test_the_summary_is_honest(fitted):
    """What kind of approximation, that no prior counts, where the weight comes from."""
    text = str(fitted)
    assert "FOCEI: the residual spread is taken at each individual mode" in text
    assert "method='nuts' does without the approximation" in text
    assert "maximum likelihood: priors are not used" in text
    assert "weight" in text
    assert "minus2ll 353.984" in text


def test_a_population_fit_is_kept_whole(fitted, tmp_path):
    again = load_fit(fitted.save(tmp_path / "run"))
    assert again.statistics == fitted.statistics
    assert again.ok
    np.testing.assert_allclose(again.individuals["eta_ka"], fitted.individuals["eta_ka"])
    assert again.individuals["subject"].tolist()[:2] == ["01", "02"]
    assert again.individuals.attrs == fitted.individuals.attrs


def test_a_search_that_did_not_converge_says_so_first(model, study, monkeypatch):
    monkeypatch.setattr(focei, "MOST_ITERATIONS", 1)
    monkeypatch.setattr(focei, "ROUNDS", 0)
    stopped = fit(model, study, "focei")
    assert not stopped.ok
    assert stopped.verdict.startswith("NOT A RESULT: The search did NOT converge: another step would gain")
    assert str(stopped).splitlines()[1] == stopped.verdict


@pytest.mark.parametrize("subject", NLS)
def test_least_squares_by_subject_is_nls(model, study, subject):
    """One subject at a time: estimates to 1e-3 of R's on the natural-log scale, residual SD to 1e-3."""
    one = study.subject(subject)
    alone = dataclasses.replace(study, subjects=(one,), records=tuple(r for r in study.records if r.subject == subject))
    found = fit(model, alone, "least_squares", free=["ke", "ka", "CL", "sigma_conc"])
    assert found.ok
    table = found.table.set_index("parameter")
    for name, log in zip(("ke", "ka", "CL"), NLS[subject], strict=False):
        assert np.log(table.loc[name, "estimate"]) == pytest.approx(log, abs=1e-3)
    assert table.loc["sigma_conc", "estimate"] == pytest.approx(NLS[subject][3], rel=1e-3)


@pytest.mark.slow
def test_90_percent_intervals_of_nuts_contain_nlme(model, study):
    """A full posterior with weak priors: checks hold, and nlme's estimates lie in the central 90 %."""
    found = fit(model, study, "nuts", chains=2, draws=1000, tune=500, seed=1)
    assert found.ok
    expected = {name: np.exp(log) for name, log in NLME.items()} | {"sigma_conc": RESIDUAL}
    expected |= {name.replace("omega2", "omega_sd"): np.sqrt(v) for name, v in VARIANCES.items()}
    for name, value in expected.items():
        low, high = np.quantile(found.posterior.learned[name], [0.05, 0.95])
        assert low < value < high, name
    assert {"eta_ka", "eta_CL"} <= set(found.draws["posterior"].data_vars)
    shrunk = found.table.set_index("parameter")
    assert 0 < shrunk.loc["omega_sd_CL", "eta_shrinkage_var"] < 0.4


def test_a_spread_that_went_to_zero_has_no_upper_limit_and_no_warning(recwarn):
    """Three subjects that do not differ: nothing overflows where their spread has no upper limit."""
    from mscpkpd.model import Variability
    from population_models import linear, table

    times = np.array((0.5, 2.0, 5.0, 11.0))
    values = 10 * np.exp(-0.1 * times) + 0.5 * times + 0.5 * np.array((1.0, -1.2, 0.4, -0.3))
    rows = [
        {"subject": f"S{k}", "time": t, "value": y} for k in range(3) for t, y in zip(times, values, strict=True)
    ]  # fmt: skip
    found = fit(linear(Variability("c0", "subject", 0.3)), table(rows), "focei", free=["c0", "s"])
    assert not [each for each in recwarn if "overflow" in str(each.message)]
    assert found.table.set_index("parameter").loc["omega_sd_c0", "upper"] > 1e3
