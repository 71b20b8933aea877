"""What a fit is asked by `check`, and fits compared: laws first, then messages."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

import mscpkpd as msc
from mscpkpd import cli
from mscpkpd.data import study_from_frame
from mscpkpd.diagnostics.influence import influence
from mscpkpd.diagnostics.leave_out import left_out, limit_of, smoothed
from mscpkpd.diagnostics.pointwise import pointwise
from mscpkpd.diagnostics.posterior import drawn_from
from mscpkpd.diagnostics.precision import tolerance_sensitivity
from mscpkpd.diagnostics.predictive_checks import predictive_checks
from mscpkpd.diagnostics.sampling import correlations, divergences
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.draws import make_draws
from mscpkpd.fitting.result import Fit, Posterior
from mscpkpd.model import Variability
from mscpkpd.modelfile import load_model
from mscpkpd.plots import check_figures, comparison
from mscpkpd.population import pose_population
from population_models import grid, one_compartment, table
from test_trust import concentrations
from toy import study_of, toy_model

MODEL = "pk_one_compartment"
SAMPLED = 0.03  # of a log density by 4000 draws: a few times its Monte Carlo error
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def normal():
    """A normal mean with SD 1 and a wide normal prior: exact draws, and the exact density of each value left out."""
    rng = np.random.default_rng(0)
    y = rng.normal(1.0, 1.0, 20)
    y[3] = 4.0
    precision = 0.01

    def posterior(values):
        return values.sum() / (len(values) + precision), 1 / np.sqrt(len(values) + precision)

    mean, sd = posterior(y)
    draws = rng.normal(mean, sd, 4000)
    exact = []
    for k in range(len(y)):
        center, width = posterior(np.delete(y, k))
        exact.append(norm.logpdf(y[k], center, np.hypot(1.0, width)))
    return y, draws, np.array(exact)


@pytest.fixture(scope="module")
def mode():
    """A fit by map of values that the model made."""
    return by_map(study_from_frame(concentrations()))


@pytest.fixture(scope="module")
def squares():
    return thinned(msc.fit(load_model(MODEL), study_from_frame(concentrations()), "least_squares", free=["CL", "V1"]))


def thinned(fit: Fit, count=800) -> Fit:
    """The same fit with fewer draws, to be quick."""
    learned = {name: np.asarray(x).reshape(1, -1)[:, :count] for name, x in fit.posterior.learned.items()}
    return dataclasses.replace(fit, posterior=Posterior(learned))


def by_map(study, free=("CL", "V1", "sigma_conc"), **options) -> Fit:
    return thinned(msc.fit(load_model(MODEL), study, "map", free=list(free), **options))


def as_nuts(fit: Fit, *, chains=4, diverging=None, **changes) -> Fit:
    """The same draws as if they had come from a sampler."""
    learned = {name: np.asarray(x).reshape(chains, -1) for name, x in fit.posterior.learned.items()}
    shape = next(iter(learned.values())).shape
    marked = np.zeros(shape, bool) if diverging is None else diverging(learned)
    stats = {"diverging": marked, "energy": np.random.default_rng(0).standard_normal(shape)}
    table = fit.table.assign(ess_bulk=2000.0, ess_tail=2000.0, r_hat=1.0, learned=0.9)
    return dataclasses.replace(
        fit, method="nuts", posterior=Posterior(learned), draws=make_draws(learned, stats), table=table, **changes
    )


# ---- leaving out ----------------------------------------------------------------------------------------------------


def test_leave_one_out_is_exact_for_a_conjugate_model(normal):
    y, draws, exact = normal
    found = left_out(norm.logpdf(y, draws[:, None], 1.0))
    np.testing.assert_allclose(found.elpd, exact, atol=SAMPLED)
    assert found.total == pytest.approx(exact.sum(), abs=SAMPLED * 2)
    assert not found.bad.any()
    # one parameter, of which the outlier makes more
    assert 0.5 < found.p_loo < 1.5


def test_leaving_groups_out_is_exact_for_a_conjugate_model(normal):
    """Two halves of the data are two subjects."""
    y, draws, _ = normal
    halves = np.stack(
        [norm.logpdf(y[:4], draws[:, None], 1.0).sum(1), norm.logpdf(y[4:8], draws[:, None], 1.0).sum(1)], 1
    )
    found = left_out(halves)
    rest = y[4:]
    precision = len(rest) + 0.01
    center, cov = rest.sum() / precision, np.eye(4) + 1 / precision
    from scipy.stats import multivariate_normal

    assert found.elpd[0] == pytest.approx(multivariate_normal(np.full(4, center), cov).logpdf(y[:4]), abs=3 * SAMPLED)


def test_smoothing_is_that_of_arviz(normal):
    """Vehtari's algorithm as ArviZ has it, in both of its generations, for short and long tails."""
    _, draws, _ = normal
    ratios = np.stack([0.3 * draws, 3.0 * draws**2, np.abs(draws) ** 3], axis=1)
    weights, shapes = smoothed(ratios)
    assert logsumexp(weights, axis=0) == pytest.approx(0.0, abs=ROUNDING)
    try:
        from arviz import psislw

        expected, k = psislw(ratios.T)
    except ImportError:
        from arviz_stats.base import array_stats

        expected, k = array_stats.psislw(ratios.T)
    expected = np.asarray(expected) - logsumexp(np.asarray(expected), axis=1, keepdims=True)
    np.testing.assert_allclose(shapes, k, atol=1e-7)
    np.testing.assert_allclose(weights, expected.T, atol=1e-7)


def test_a_part_that_says_nothing_changes_no_weight_and_few_draws_are_never_trusted():
    weights, shapes = smoothed(np.zeros((500, 1)))
    assert np.ptp(weights) == 0
    assert shapes[0] == -np.inf
    assert limit_of(4000) == 0.7
    assert limit_of(100) == pytest.approx(0.5)
    few = left_out(np.random.default_rng(0).standard_normal((12, 1)))
    assert few.bad.all()


# ---- the likelihood of each row -------------------------------------------------------------------------------------


def test_the_likelihood_of_each_kind_of_row_is_that_of_its_noise(tmp_path):
    """Values, limits, an interval and a mean, at every draw; a draw predicts what the problem predicts."""
    rows = [
        {"time": 1.0, "value": 80.0},
        {"time": 2.0, "value": 70.0, "censoring": "left", "upper": 70.0},
        {"time": 3.0, "value": 50.0, "censoring": "right", "lower": 50.0},
        {"time": 4.0, "value": 50.0, "censoring": "interval", "lower": 40.0, "upper": 60.0},
        {"time": 5.0, "value": 45.0, "sd": 6.0, "n": 4, "stat": "mean"},
    ]
    model, study = toy_model(tmp_path, "proportional(b)"), study_of(rows)
    fit = thinned(msc.fit(model, study, "map", free=["k", "b"]), 50)
    drawn = drawn_from(fit)
    found = pointwise(fit, drawn)
    assert found.log_likelihood.shape == (len(drawn), 5)
    assert list(found.rows["kind"]) == ["value", "left", "right", "interval", "mean"]
    noise, problem = model.output("conc").noise, drawn.population.problem
    for draw in (0, 17, len(drawn) - 1):
        theta = drawn.thetas[draw]
        f, values = problem.predict(theta).value, problem.values(theta)
        expected = [
            noise.log_density(80.0, f[0], values),
            noise.log_cdf(70.0, f[1], values),
            noise.log_sf(50.0, f[2], values),
            noise.log_interval(40.0, 60.0, f[3], values),
            norm.logpdf(45.0, f[4], 3.0),
        ]
        np.testing.assert_allclose(found.log_likelihood[draw], expected, rtol=1e-6)


def hierarchical(seed=0, draws=30):
    """A fit by nuts of two random effects, as far as `drawn_from` looks: draws of everything, none of them fitted."""
    model = one_compartment(Variability("CL", "subject", 0.3), Variability("V", "subject", 0.2), noise="lognormal(s)")
    study = table(grid(5, (1.0, 4.0, 9.0)))
    population = pose_population(model, study)
    rng, shape = np.random.default_rng(seed), (2, draws)
    problem = population.problem
    learned = {p.name: p.start * np.exp(0.1 * rng.standard_normal(shape)) for p in problem.free}
    learned |= {effect.omega_sd: 0.3 * np.exp(0.1 * rng.standard_normal(shape)) for effect in population.effects}
    etas = {effect.name: 0.3 * rng.standard_normal((*shape, 5)) for effect in population.effects}
    estimates = pd.DataFrame(
        {"parameter": list(learned), "estimate": 1.0, "ess_bulk": 60.0, "learned": 0.9, "note": ""}
    )
    settings = {"random": [f"{e.parameter}:{e.level}" for e in population.effects]}
    draws_ = make_draws({**learned, **etas}, {"energy": rng.standard_normal(shape)})
    fit = Fit(model, study, "nuts", estimates, Posterior(learned), draws_, (), (), pd.DataFrame(), settings)
    return fit, population, etas


def test_sampled_random_effects_stand_where_the_population_expects_them():
    """Level by level, group by group, effect by effect: each draw gives each subject its own effects."""
    fit, population, etas = hierarchical()
    drawn = drawn_from(fit)
    assert (drawn.chains, len(drawn)) == (2, 60)
    blocks = population.eta_of(0, drawn.etas)
    for e, effect in enumerate(population.effects):
        np.testing.assert_array_equal(blocks[..., e], etas[effect.name].reshape(60, 5))
    found = pointwise(fit, drawn)
    assert found.conditional
    assert "random effects of its own subject (conditional, not marginal)" in found.given


def test_fits_that_integrate_their_random_effects_have_no_draws_of_them():
    fit, *_ = hierarchical()
    with pytest.raises(UsageError, match="a focei fit has no draws of its random effects. Try: method='nuts'"):
        drawn_from(dataclasses.replace(fit, method="focei", draws=None))


def test_rows_without_a_density_are_named(mode):
    drawn = drawn_from(mode)
    predictions = np.tile(mode.predictions["predicted"].to_numpy(float), (len(drawn), 1))
    predictions[:, 3] = np.nan
    with pytest.raises(FitError, match=r"frame row 5: 1 rows have no density at any draw, such as a 'value' of 'conc'"):
        pointwise(mode, drawn, predictions)


# ---- fits compared --------------------------------------------------------------------------------------------------


def test_a_model_compared_with_itself_differs_by_0(mode):
    found = msc.compare({"one": mode, "other": mode})
    np.testing.assert_allclose(found.table["elpd_diff"], 0.0, atol=ROUNDING)
    np.testing.assert_allclose(found.table["weight"], 0.5, atol=1e-6)
    assert "'other' is 0.0 worse (SE 0.0), within error" in found.sentence
    comparison(found)


def test_the_better_model_is_found_and_says_by_how_much(mode):
    """A clearance held at half its value cannot predict the late values; the sum over rows is the total."""
    wrong = by_map(mode.study, ("V1", "sigma_conc"), fix={"CL": 3.5})
    found = msc.compare({"wrong": wrong, "right": mode})
    assert list(found.table.index) == ["right", "wrong"]
    assert "'right' predicts left-out rows best; 'wrong' is" in found.sentence
    assert "a clear difference" in found.sentence
    gap = found.rows["wrong"] - found.rows["right"]
    assert found.table.loc["wrong", "elpd_diff"] == pytest.approx(gap.sum())
    assert found.table.loc["wrong", "diff_se"] == pytest.approx(np.sqrt(len(gap)) * gap.std(ddof=1))
    assert found.table["weight"].sum() == pytest.approx(1.0)
    assert found.table.loc["right", "weight"] > 0.9
    other = msc.compare([wrong, mode], weights="pseudo_bma")
    assert list(other.table.index) == [f"{MODEL} (map) #2", f"{MODEL} (map)"]
    assert other.table.iloc[0]["weight"] > 0.9


def test_what_cannot_be_compared_is_refused(mode, squares):
    other = by_map(study_from_frame(concentrations(5)))
    with pytest.raises(UsageError, match="'a' and 'b' are fits of different data .*Try: fit both models to one table"):
        msc.compare({"a": mode, "b": other})
    with pytest.raises(UsageError, match="a least_squares fit has no posterior.*expected fits by nuts or map"):
        msc.compare([mode, squares])
    with pytest.raises(UsageError, match="weights = 'aic'; expected 'stacking' or 'pseudo_bma'"):
        msc.compare([mode], weights="aic")
    with pytest.raises(UsageError, match="no fits to compare"):
        msc.compare([])
    failed = dataclasses.replace(mode, checks=(dataclasses.replace(mode.checks[0], ok=False, sentence="Bad."),))
    with pytest.raises(FitError, match="'x': NOT A RESULT: Bad..*Try: only results can be compared"):
        msc.compare({"x": failed})


# ---- who pulls ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_outlier():
    """Subject s7 clears three times as fast as all others."""
    rng = np.random.default_rng(2)
    frame = concentrations(1)
    mine = frame["subject"] == "s7"
    slow = frame.loc[mine, "dose"] / 50.0 * np.exp(-0.16 * frame.loc[mine, "time"])
    frame.loc[mine, "value"] = slow * rng.lognormal(0, 0.05, int(mine.sum()))
    return by_map(study_from_frame(frame))


def test_influence_names_the_planted_outlier(with_outlier):
    drawn = drawn_from(with_outlier)
    likelihood = pointwise(with_outlier, drawn)
    flat = {name: np.asarray(x).reshape(-1) for name, x in with_outlier.posterior.learned.items()}
    found = influence(likelihood, flat)
    assert found["subject"].iloc[0] == "s7"
    assert found["rows"].tolist() == [4] * 20
    assert found["parameter"].iloc[0] in ("CL", "sigma_conc")
    assert found["shift"].iloc[0] < -0.5  # without it, clearance and noise are smaller
    by_study = influence(likelihood, flat, "study")
    assert set(by_study["study"]) == {"A", "B"}


def test_weights_move_an_estimate_to_where_a_fit_without_the_subject_has_it(with_outlier):
    """The shift by weights is that of another fit, to a third of an SD, where k allows it."""
    likelihood = pointwise(with_outlier)
    flat = {name: np.asarray(x).reshape(-1) for name, x in with_outlier.posterior.learned.items()}
    found = influence(likelihood, {"CL": flat["CL"]}).set_index("subject")
    frame = concentrations(1)
    chosen = found[found["trusted"]].index[0]
    kept = [record for record in with_outlier.study.records if record.subject != chosen]
    study = dataclasses.replace(
        with_outlier.study,
        records=tuple(kept),
        subjects=tuple(s for s in with_outlier.study.subjects if s.id != chosen),
    )
    again = by_map(study)
    sd = float(np.std(flat["CL"]))
    expected = (again.estimates["CL"] - with_outlier.estimates["CL"]) / sd
    assert found.loc[chosen, "shift"] == pytest.approx(expected, abs=0.33)
    assert len(frame) == 80


# ---- draws ----------------------------------------------------------------------------------------------------------


def test_divergences_are_placed(mode):
    """Draws of the lowest clearance diverged: the table says so first."""
    fit = as_nuts(mode, diverging=lambda draws: draws["CL"] < np.quantile(draws["CL"], 0.02))
    found = divergences(fit)
    assert found.attrs["count"] == 16
    assert found["parameter"].iloc[0] == "CL"
    assert found["distance"].iloc[0] < -1.5
    none = divergences(as_nuts(mode))
    assert (len(none), none.attrs["count"]) == (0, 0)


def test_pairs_that_are_known_only_together_are_named(mode):
    draws = np.asarray(mode.posterior.learned["CL"])
    copy = -(draws**3)
    fit = dataclasses.replace(mode, posterior=Posterior({**mode.posterior.learned, "twin": copy}))
    found = correlations(fit)
    assert found[["first", "second"]].to_numpy().tolist() == [["CL", "twin"]]
    assert found["correlation"].iloc[0] == pytest.approx(-1.0)


# ---- replicates -----------------------------------------------------------------------------------------------------


def test_statistics_of_data_of_the_model_are_among_their_replicates(mode):
    found = predictive_checks(mode, count=200)
    assert found["statistic"].tolist() == ["mean", "spread", "smallest", "largest"]
    assert not found["odd"].any()
    assert ((found["lower"] < found["median"]) & (found["median"] < found["upper"])).all()


def test_a_statistic_that_the_model_cannot_make_is_odd(mode):
    """The largest value ten times too large; the fit is that of the data without it."""
    records = list(mode.study.records)
    records[0] = dataclasses.replace(records[0], value=records[0].value * 10)
    found = predictive_checks(dataclasses.replace(mode, study=dataclasses.replace(mode.study, records=tuple(records))))
    odd = found[found["odd"]].set_index("statistic")
    assert "largest" in odd.index
    assert odd.loc["largest", "p"] < 0.005


def test_the_share_below_the_limit_is_a_statistic():
    study = study_from_frame(concentrations(limit=0.9))
    fit = by_map(study)
    found = predictive_checks(fit, count=200).set_index("statistic")
    share = np.mean([record.kind == "left" for record in study.records])
    assert found.loc["share below the limit", "observed"] == pytest.approx(share)
    assert not found.loc["share below the limit", "odd"]
    assert found.loc["smallest", "observed"] == pytest.approx(0.9)


def test_a_finer_solver_changes_nothing_that_counts(mode):
    found = tolerance_sensitivity(mode)
    assert len(found) == 5
    assert np.abs(found["change"]).max() < 1e-4


# ---- everything in one call -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diagnosis(mode):
    return as_nuts(mode).check(count=500)


def test_a_good_fit_is_told_so(diagnosis):
    assert diagnosis.ok
    assert diagnosis.sentence.startswith("Nothing speaks against this fit")
    names = {verdict.name for verdict in diagnosis.verdicts}
    assert {
        "leave-one-out", "influence by subject", "influence by study", "posterior predictive checks", "VPC", "pcVPC",
        "NPDE", "tolerance", "local identifiability", "correlations", "residuals by group", "data", "noise",
    } <= names  # fmt: skip
    assert {"loo", "influence_by_subject", "residuals", "predictive_checks", "tolerance", "design"} <= set(
        diagnosis.tables
    )
    (loo,) = (verdict for verdict in diagnosis.verdicts if verdict.name == "leave-one-out")
    assert "rows given the parameters." in loo.sentence
    text = str(diagnosis)
    assert text.splitlines()[0] == diagnosis.sentence
    statuses = [verdict.status for verdict in diagnosis.verdicts]
    assert statuses == sorted(statuses, key=["fail", "warn", "not given", "ok"].index)


def test_what_a_method_cannot_give_is_said(squares, with_outlier):
    found = {verdict.name: verdict for verdict in squares.check(count=500).verdicts}
    assert found["sampler"].status == "not given"
    assert "least_squares has no chains: no R-hat" in found["sampler"].sentence
    assert found["leave-one-out"].status == "not given"
    assert "a least_squares fit has no posterior" in found["leave-one-out"].sentence
    assert found["influence by subject"].status in ("ok", "warn")
    assert with_outlier is not None


def test_a_diagnosis_is_kept_whole(diagnosis, tmp_path):
    folder = diagnosis.save(tmp_path / "check")
    names = {path.name for path in folder.iterdir()}
    assert {"verdicts.csv", "loo.csv", "check.html", "figures"} <= names
    table = pd.read_csv(folder / "verdicts.csv", keep_default_na=False)
    assert table["sentence"].tolist() == [verdict.sentence for verdict in diagnosis.verdicts]
    page = (folder / "check.html").read_text()
    assert all(word in page for word in ("what to do next", "Influence by subject", "Leaving rows out"))
    assert {path.stem for path in (folder / "figures").iterdir()} == set(check_figures(diagnosis))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no earlier run"):
        diagnosis.save(tmp_path / "other")


def test_the_shell_diagnoses_and_compares(mode, squares, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mode.save("run")
    squares.save("quick")
    assert cli.run(["diagnose", "run", "--out", "check", "--replicates", "500"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Nothing speaks against this fit")
    assert "Open check/check.html" in shown
    assert cli.run(["compare", "run", "run", "--out", "weighed", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"].startswith("'run' alone")
    mode.save("again")
    assert cli.run(["compare", "run", "again", "--out", "weighed"]) == 0
    assert "'again' is 0.0 worse" in capsys.readouterr().out
    assert (tmp_path / "weighed" / "comparison.png").is_file()
    assert cli.run(["compare", "run", "quick"]) == 2
    assert "a least_squares fit has no posterior" in capsys.readouterr().err
    assert cli.run(["compare", "run"]) == 2
    assert "1 run to compare; expected two or more" in capsys.readouterr().err


def test_a_failed_fit_is_diagnosed_with_exit_status_3(mode, tmp_path, monkeypatch, capsys):
    """What speaks against it comes first; what only a result has is not given."""
    monkeypatch.chdir(tmp_path)
    bad = dataclasses.replace(mode.checks[0], ok=False, sentence="The search did NOT converge: too soon.")
    dataclasses.replace(mode, checks=(bad, *mode.checks[1:])).save("run")
    assert cli.run(["diagnose", "run"]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("NOT A RESULT: The search did NOT converge: too soon.")
    assert "NOT GIVEN VPC and NPDE" in shown
