"""Simulated studies: truths with random effects, densities compiled once, and the plans of `make sbc`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import erfcx
from scipy.stats import binom, kstest

from mscpkpd.calibration import calibrate, experiment
from mscpkpd.calibration.plans import publish, read_plan, read_published
from mscpkpd.calibration.posteriors import LOG_DENSITY, Drawn, Sampling, sampled
from mscpkpd.calibration.ranks import LEVEL, judged
from mscpkpd.calibration.truths import Truth, drawn_truth, from_priors, simulated_rows, simulated_study, summaries_of
from mscpkpd.errors import DataError, InputError
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.repeated import Repeated
from mscpkpd.population import pose_population
from reference.small_models import one_compartment, study
from toy import study_of, toy_model

ROOT = Path(__file__).parents[1]
PLANS = sorted((ROOT / "calibration").glob("*.toml"))
PUBLISHED = ROOT / "docs" / "calibration"
FLAT = Sampling(100, 100, 1, 0.9)


def design(*subjects, times=(1, 4, 12), **more):
    """Subjects with a bolus and values at some times."""
    rows = [{"subject": name, "time": t, "output": "conc", "value": 1.0, "unit": "mg/L", **more}
            for name in subjects or ("S1",) for t in times]  # fmt: skip
    return study(*rows)


VARIED = one_compartment(spread=(("k", "subject", 0.3), ("V", "subject", 0.2)))
THREE = ("S1", "S2", "S3")


@pytest.fixture(scope="module")
def pooled():
    return pose_population(one_compartment(), design(lloq=1.0))


@pytest.fixture(scope="module")
def varied():
    return pose_population(VARIED, design(*THREE))


# ---- truths --------------------------------------------------------------------------------------------------------


def test_truths_have_the_priors_spreads_and_correlations_that_are_declared(varied):
    """Effects over their own spread are standard normal; spreads follow half-normals, correlations LKJ(2)."""
    rng = np.random.default_rng(1)
    found = [from_priors(varied, rng) for _ in range(600)]
    coordinates = Coordinates(varied)
    spreads = np.array([coordinates.spreads(each.x).sd for each in found])
    unit = np.concatenate([varied.eta_of(0, each.eta) / coordinates.spreads(each.x).sd for each in found])
    for column in unit.T:
        assert kstest(column, "norm").pvalue > 1e-3
    for column, effect in zip(spreads.T, varied.effects, strict=True):
        assert kstest(effect.prior.to_free(column) / 1.0, lambda z, p=effect.prior: _cdf(p, z)).pvalue > 1e-3
    r = np.array([each.named["corr_k__V"] for each in found])
    assert kstest((r + 1) / 2, "beta", args=(2.0, 2.0)).pvalue > 1e-3  # two effects, LKJ(2)
    own = np.array([np.corrcoef(unit.reshape(-1, 3, 2)[k].T)[0, 1] for k in range(len(found))])
    assert np.corrcoef(own, r)[0, 1] > 0.3


def simulated(population, rng):
    """A truth and rows that it gave."""
    truth, f = drawn_truth(population, rng)
    return truth, simulated_rows(population.problem, f, population.problem.values(truth.theta), rng)


def _cdf(prior, z):
    grid = prior.quantile(np.linspace(1e-6, 1 - 1e-6, 20_001))
    return np.interp(prior.from_free(np.asarray(z)), grid, np.linspace(1e-6, 1 - 1e-6, 20_001))


def test_typical_values_of_truths_follow_their_priors(pooled):
    rng = np.random.default_rng(2)
    thetas = np.array([from_priors(pooled, rng).theta for _ in range(400)])
    for column, parameter in zip(thetas.T, pooled.problem.free, strict=True):
        mean, sd = parameter.prior.free_moments()
        assert kstest((np.log(column) - mean) / sd, "norm").pvalue > 1e-3


def test_summaries_of_random_effects_by_hand(varied):
    etas = np.arange(12.0).reshape(2, 6)  # draws x (S1 k, S1 V, S2 k, ...)
    found = summaries_of(varied, etas)
    assert list(found) == ["eta_k[S1]", "sd(eta_k)", "eta_V[S1]", "sd(eta_V)"]
    np.testing.assert_allclose(found["eta_k[S1]"], [0.0, 6.0])
    np.testing.assert_allclose(found["sd(eta_V)"][0], np.sqrt((1 + 9 + 25) / 3))


def test_a_mean_that_states_its_sd_keeps_it_and_scatters_by_it():
    """A mean of 9 with an SD of 3 for one subject scatters by 1 about its prediction."""
    rows = [{"time": 1, "output": "conc", "value": 2.0, "unit": "mg/L", "stat": "mean", "sd": 3.0, "n": 9}]
    problem = pose_population(one_compartment(), study(*rows)).problem
    rng = np.random.default_rng(3)
    given = (problem, np.array([2.0]), problem.values(problem.start), rng)
    record = simulated_study(*given).records[0]
    assert (record.kind, record.sd, record.n) == ("mean", 3.0, 9)
    made = [simulated_rows(*given) for _ in range(400)]
    values = np.array([each.value[0] for each in made])
    assert {(each.kind[0], each.sd[0], each.count[0]) for each in made} == {("mean", 3.0, 9.0)}
    assert kstest(values - 2.0, "norm").pvalue > 1e-3


# ---- the law: ranks of draws of the prior itself -------------------------------------------------------------------


def from_the_prior(narrow=1.0):
    """Stands for a sampler: where the data say nothing, the posterior is the prior; `narrow` shrinks its effects."""
    pool: dict[str, np.ndarray] = {}

    def drawn(_repeated, population, truth, *_, seed, ranked):
        if not pool:
            rng = np.random.default_rng(0)
            others = [from_priors(population, rng) for _ in range(1500)]
            named = [Truth(population, each.x, narrow * each.eta).named for each in others]
            pool.update({name: np.array([each[name] for each in named]) for name in named[0]})
        picked = np.random.default_rng(seed).choice(1500, ranked, replace=False)
        return Drawn(truth.named, {name: pool[name][picked] for name in truth.named})

    return drawn


@pytest.mark.parametrize(
    ("narrow", "uneven"), [(1.0, set()), (0.5, {"eta_k[S1]", "sd(eta_k)", "eta_V[S1]", "sd(eta_V)"})]
)
def test_ranks_among_draws_of_the_prior_are_even_and_half_the_spread_is_seen(monkeypatch, narrow, uneven):
    monkeypatch.setattr(experiment, "sampled", from_the_prior(narrow))
    found = calibrate(VARIED, design(*THREE, times=(1, 4)), 200, cores=1)
    assert set(found.table.loc[~found.table["even"], "quantity"]) == uneven
    assert found.passed is (not uneven)
    assert {"k", "omega_sd_k", "corr_k__V"} <= set(found.table["quantity"])


# ---- one compiled density for all studies --------------------------------------------------------------------------


def by_hand(population, truth, frame, x):
    """Log density of data, parameters and random effects, up to a constant, without PyMC or JAX."""
    coordinates, z = Coordinates(population), frame.place(x)
    n = len(coordinates.names)
    spreads = coordinates.spreads(z[:n])
    unit = z[n:]
    etas = []
    at = first = 0
    for level, root in zip(population.levels, spreads.roots, strict=True):
        size = len(level.labels) * len(level.effects)
        u = unit[at : at + size].reshape(len(level.labels), -1)
        sd = spreads.sd[first : first + len(level.effects)]
        etas.append((u @ root.T * sd).reshape(-1))
        at, first = at + size, first + len(level.effects)
    eta = np.concatenate([np.zeros(0), *etas])
    theta = coordinates.theta(z)
    f = population.predict(theta, eta).value
    rows = densities(population.problem, f, population.problem.values(theta))
    del truth
    return float(np.sum(rows.value)) + coordinates.log_prior(z[:n]) - 0.5 * float(unit @ unit)


def plain_frame(population, rng):
    """A frame that is not the identity."""
    coordinates = Coordinates(population)
    size = len(coordinates.names) + population.offsets[-1]
    axes = np.tril(0.05 * rng.standard_normal((size, size)), -1) + np.diag(rng.uniform(0.2, 0.4, size))
    return Frame(np.concatenate([coordinates.start, np.zeros(population.offsets[-1])]), axes)


def compare(repeated, population, numbers):
    """Differences of the log density between two points, and its gradient, for several studies."""
    compiled = []
    for number in numbers:
        rng = np.random.default_rng(number)
        truth, made = simulated(population, rng)
        seen, frame = population.rebound(made), plain_frame(population, rng)
        density = repeated.density(seen if population.levels else seen.problem, frame)
        here, there = (0.3 * rng.standard_normal(density.size) for _ in range(2))
        wanted = by_hand(seen, truth, frame, here) - by_hand(seen, truth, frame, there)
        assert density(here)[0] - density(there)[0] == pytest.approx(wanted, rel=1e-7, abs=1e-6), number
        move, step = rng.standard_normal(density.size), 1e-5
        slope = (density(here + step * move)[0] - density(here - step * move)[0]) / (2 * step)
        assert density(here)[1] @ move == pytest.approx(slope, rel=1e-5, abs=1e-5)
        compiled.append(repeated.compiled)
    return compiled


def test_one_compiled_density_serves_every_study_of_a_design(varied):
    """Against the numbers of `densities`, `Coordinates.log_prior` and a normal density."""
    compiled = compare(Repeated(), varied, (1, 2, 3))
    assert len(set(compiled)) == 1


def test_rows_that_are_censored_in_one_study_alone_are_compiled_apart_from_the_predictions(pooled):
    """Predictions and draws stay compiled; only what is made of the predictions may be new."""
    compiled = compare(Repeated(apart=True), pooled, (1, 2, 3, 4, 5))
    kinds = set()
    for number in (1, 2, 3, 4, 5):
        _, made = simulated(pooled, np.random.default_rng(number))
        kinds.add(int(np.sum(made.kind == "left")))
    assert len(kinds) > 1
    assert compiled[-1] == 3 + len(kinds)  # predictions, their derivatives and draws, and one for each number of rows


def test_tails_of_a_normal_density_need_no_tensorflow():
    """PyTensor's own translation of erfcx to JAX asks for it; the log of it and its slope hold far out."""
    import pytensor.tensor as pt
    from pytensor.graph.fg import FunctionGraph
    from pytensor.link.jax.dispatch import jax_funcify

    from mscpkpd.engine.traceable import sloped
    from mscpkpd.fitting.traced import teach_jax

    teach_jax()
    x = pt.dscalar()
    function = sloped(jax_funcify(FunctionGraph([x], [pt.log(pt.erfcx(x))], clone=True)), 1)
    for at in (-2.0, 0.5, 5.0, 30.0, 700.0):
        value, (slope,) = function(np.float64(at))
        assert float(value) == pytest.approx(np.log(erfcx(at)), rel=1e-13)
        # d log erfcx(x)/dx = 2x - 2/(sqrt(pi) erfcx(x)), by its asymptotic series where that would cancel
        exact = 2 * at - 2 / np.sqrt(np.pi) / erfcx(at) if at < 10 else -1 / at + 1 / at**3 - 2.5 / at**5
        assert float(slope) == pytest.approx(exact, rel=1e-4 if at > 100 else 1e-5)


def test_coordinates_of_a_frame_are_found_again():
    rng = np.random.default_rng(4)
    for exchange in (None, (2, 0)):
        frame = Frame(rng.standard_normal(4), np.tril(rng.uniform(0.5, 1.5, (4, 4))), exchange)
        x = rng.standard_normal(4)
        np.testing.assert_allclose(frame.find(frame.place(x)), x, rtol=0, atol=1e-12)


def test_another_study_of_the_same_design_shares_what_is_compiled(varied):
    _ = varied.exactly
    _, made = simulated(varied, np.random.default_rng(5))
    again = varied.rebound(made)
    assert again.problem.system is varied.problem.system
    assert again.exactly is varied.exactly
    assert again.problem.rows.value[0] == made.value[0]
    with pytest.raises(DataError, match="of another design than 'toy'"):
        varied.rebound(pose_population(VARIED, design(*THREE, times=(1, 4, 13))).problem.rows)


def test_draws_are_those_of_the_posterior_in_closed_form():
    """One value, lognormal prior and noise known: the posterior of log V is normal, and the truth is ranked in it."""
    model = one_compartment().fix(k=0.1, s=0.3)
    population = pose_population(model, design(times=(1,)))
    truth, made = simulated(population, np.random.default_rng(6))
    seen = population.rebound(made)
    found = sampled(Repeated(), seen, truth, Sampling(400, 200, 2, 0.9), seed=1, ranked=99)
    prior_mean, prior_sd = population.problem.free[0].prior.free_moments()
    y = np.log(100 * np.exp(-0.1) / made.value[0])
    precision = prior_sd**-2 + 0.3**-2
    mean = (prior_mean * prior_sd**-2 + y * 0.3**-2) / precision
    z = (np.log(found.draws["V"]) - mean) * np.sqrt(precision)
    assert abs(z.mean()) < 0.2
    assert z.std() == pytest.approx(1.0, abs=0.15)
    assert set(found.truths) == {LOG_DENSITY, "V"}
    expected = -0.5 * ((np.log(found.truths["V"]) - mean) ** 2 - (np.log(found.draws["V"]) - mean) ** 2) * precision
    np.testing.assert_allclose(found.truths[LOG_DENSITY] - found.draws[LOG_DENSITY], expected, atol=1e-6)
    assert not found.failure


# ---- plans and what they left behind -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_plan_has_a_model_and_a_design_that_fit(path):
    plan = read_plan(path)
    template = plan.template()
    assert template.synthetic
    population = pose_population(plan.described(), template)
    assert plan.n >= 200
    truth, made = simulated(population, np.random.default_rng(0))
    assert len(made) == len(template.records)
    assert np.all(np.isfinite(truth.x))


def test_a_plan_with_a_key_that_nobody_knows_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('title = "x"\nmodel = "label"\ndesing = "a.csv"\nn = 20\n')
    with pytest.raises(InputError, match="unknown: desing; missing: design") as error:
        read_plan(path)
    assert str(path) in str(error.value)


def test_what_is_published_is_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "sampled", from_the_prior())
    found = calibrate(VARIED, design(*THREE, times=(1,)), 20, cores=1)
    plan = read_plan(PLANS[0])
    publish(plan, found, tmp_path)
    summary, ranks = read_published(tmp_path, plan.name)
    assert summary["verdict"] == found.verdict
    again = pd.Series(ranks.set_index(["study", "quantity"])["rank"])
    for row in found.ranks.itertuples():
        assert again[row.study, row.quantity] == row.rank


NAMES = sorted(path.name.removesuffix("_summary.json") for path in PUBLISHED.glob("*_summary.json"))


@pytest.mark.parametrize("name", NAMES)
def test_published_verdicts_follow_from_published_ranks_and_plans(name):
    """The band is computed again from the ranks; seeds and numbers are those of the plan."""
    summary, ranks = read_published(PUBLISHED, name)
    plan = read_plan(ROOT / "calibration" / f"{name}.toml")
    settings = summary["settings"]
    for key in ("seed", "draws", "tune", "chains", "method", "target_accept"):
        assert settings[key] == getattr(plan, key), key
    assert settings["studies"] == plan.n
    assert settings["digest"] == plan.template().digest
    ranks = ranks.assign(truth=0.0, mean=0.0, sd=0.0)
    table = judged(ranks, summary["draws"]).set_index("quantity")
    assert LEVEL == 0.99
    for row in summary["quantities"]:
        assert table.loc[row["quantity"], "p_adjusted"] == pytest.approx(row["p_adjusted"], abs=2e-6)
        assert bool(table.loc[row["quantity"], "even"]) is row["even"]
    assert ranks["study"].nunique() + len(summary["failures"]) == plan.n


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_runs_found(name):
    summary = json.loads((PUBLISHED / f"{name}_summary.json").read_text())
    page = (ROOT / "docs" / "calibration.md").read_text()
    assert summary_line(name, summary) in page
    assert f"calibration/{name}_SYNTHETIC.png" in page


def summary_line(name, summary):
    """The row of the page's table."""
    settings, rows = summary["settings"], summary["quantities"]
    worst = min(row["p_adjusted"] for row in rows)
    covered = sum(row["covered_90"] for row in rows) / len(rows)
    return (
        f"| `{name}` | {settings['studies']} | {len(rows)} | {'yes' if summary['passed'] else 'NO'} | {worst:.2g} "
        f"| {covered:.3f} | {len(summary['failures'])} | {settings['again']} | {settings['divergent']} "
        f"| {settings['seconds'] / settings['studies']:.1f} |"
    )


# ---- whole runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nuts_with_random_effects_is_calibrated_and_resumes_where_it_stopped(tmp_path):
    """30 studies of three subjects; an interrupted run ends with the ranks of an unbroken one."""
    given = {"cores": 1, "draws": 150, "tune": 200, "seed": 3}
    whole = calibrate(VARIED, design(*THREE, times=(1, 6, 12, 24)), 30, folder=tmp_path / "a", **given)
    assert whole.passed, str(whole)
    kept = tmp_path / "a" / "studies.jsonl"
    lines = kept.read_text().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "settings.json").write_text((tmp_path / "a" / "settings.json").read_text())
    (tmp_path / "b" / "studies.jsonl").write_text("".join(lines[:27]) + lines[27][:10])
    again = calibrate(VARIED, design(*THREE, times=(1, 6, 12, 24)), 30, folder=tmp_path / "b", **given)
    pd.testing.assert_frame_equal(again.ranks, whole.ranks)
    covered = binom.interval(0.9999, 30, 0.9)
    assert all(covered[0] <= 30 * share <= 30 for share in whole.table["covered_90"])


@pytest.mark.slow
def test_residuals_that_follow_each_other_are_calibrated(tmp_path):
    """R9: new series of three subjects are drawn as the density of the fit has them."""
    rows = [{"subject": f"s{k}", "time": t, "value": 1.0} for k in range(3) for t in (1.0, 2.0, 4.0, 8.0)]
    found = calibrate(toy_model(tmp_path, "ar1(0.6, lognormal(b))"), study_of(rows), 40, cores=1, seed=5)
    assert found.passed, str(found)
    assert found.table.set_index("quantity")["shrinkage"][["k", "b"]].min() > 0.5  # ranks of posteriors that learned
