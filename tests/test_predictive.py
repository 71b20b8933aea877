"""Visual predictive checks and prediction distribution errors: rules V1 to V10, against sums by hand and the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mscpkpd.cli.app import run
from mscpkpd.data import study_from_frame
from mscpkpd.errors import FitError, UnknownName, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.modelfile import load_model
from mscpkpd.plots import prediction_errors, visual_check
from mscpkpd.predictive import Replicates, npde, replicates, vpc
from mscpkpd.predictive.bins import binned
from mscpkpd.predictive.percentiles import percentiles

EXACT = 1e-12
CHANCE = 4.0  # standard errors
LIMIT = 0.3


def made(simulated, observed, *, time=None, lloq=np.nan, uloq=np.nan, subject=None, predicted=None, stratum=None):
    """Replicates written by hand: one output, "y"."""
    n = len(observed)
    return Replicates(
        ("y",) * n, tuple(subject or ["s"] * n), tuple(f"row {i}" for i in range(n)), tuple(stratum or ["1 mg iv"] * n),
        np.zeros(n) if time is None else np.asarray(time, float), np.asarray(observed, float),
        np.broadcast_to(lloq, n).astype(float), np.broadcast_to(uloq, n).astype(float),
        np.ones(n) if predicted is None else np.asarray(predicted, float), np.asarray(simulated, float),
        {"y": "mg/L"}, "h", {"replicates": len(simulated), "parameters": "estimate", "draws": 1, "seed": 0},
    )  # fmt: skip


def normal_replicates(rng, count=4000, subjects=60, n=4, **options):
    """Correlated normal values and as many observed, from the same distribution."""
    root = np.linalg.cholesky(0.5 * np.eye(n) + 0.5)

    def draw(k):
        return (2.0 + rng.standard_normal((k, subjects, n)) @ root.T).reshape(k, -1)

    who = [f"s{i}" for i in range(subjects) for _ in range(n)]
    return made(draw(count), draw(1)[0], subject=who, time=np.tile(np.arange(n), subjects), **options)


def dosed_study(subjects=20, limit=0.0, seed=1):
    rng = np.random.default_rng(seed)
    k = 0.1  # CL 5 over V1 50
    rows = []
    for s in range(subjects):
        dose = 100.0 if s % 2 else 300.0
        for t in (1.0, 4.0, 12.0, 24.0):
            y = dose / 50.0 * np.exp(-k * t) * rng.lognormal(0, 0.15)
            rows.append(
                {"subject": f"s{s}", "time": t, "time_unit": "h", "output": "conc", "value": max(y, limit),
                 "unit": "mg/L", "censoring": "left" if y < limit else "none", "upper": limit if y < limit else np.nan,
                 "dose": dose, "dose_unit": "mg", "route": "iv", "dose_time": 0.0}
            )  # fmt: skip
    return study_from_frame(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def fitted():
    return fit(load_model("pk_one_compartment"), dosed_study(limit=LIMIT), "least_squares", free=["CL", "V1"])


# ---- percentiles (V3, V6) ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from((6, 7)))
@settings(deadline=None)
def test_percentiles_without_limits_are_those_of_numpy(values, kind):
    """V3."""
    shares = np.array([0.0, 0.05, 0.5, 0.77, 0.95, 1.0])
    method = {7: "linear", 6: "weibull"}[kind]
    expected = np.quantile(values, shares, method=method)
    size = np.max(np.abs(values))
    np.testing.assert_allclose(percentiles(np.array(values), shares, kind), expected, rtol=EXACT, atol=EXACT * size)


def test_a_percentile_among_values_below_the_limit_is_below_the_limit():
    """V6: ranked below all others, never dropped and never averaged with a value."""
    values = np.array([-np.inf, -np.inf, 1.0, 2.0, 3.0])
    found = percentiles(values, np.array([0.05, 0.3, 0.5, 0.6, 1.0]))
    assert found.tolist() == [-np.inf, -np.inf, 1.0, 1.4, 3.0]
    assert percentiles(-values, np.array([0.95]))[0] == np.inf


# ---- bins (V2) -----------------------------------------------------------------------------------------------------

TIMES = np.array([1.0, 1.0, 2.0, 2.1, 2.2, 10.0, 10.1, 30.0])


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("ties", None, [0, 0, 1, 2, 3, 4, 5, 6]),
        ("counts", 4, [0, 0, 1, 1, 2, 2, 3, 3]),
        ("kmeans", 3, [0, 0, 0, 0, 0, 1, 1, 2]),
        ("kmeans", 1, [0] * 8),
        ("counts", 50, [0, 0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_times_fall_into_the_declared_bins(kind, count, expected):
    """V2."""
    assert binned(TIMES, kind, count).tolist() == expected


@given(st.lists(st.integers(0, 40), min_size=3, max_size=9), st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_clusters_have_the_least_spread_of_all_partitions(times, wanted):
    from itertools import combinations

    times = np.sort(np.array(times, float))
    distinct = np.unique(times)

    def spread(label):
        return sum(np.sum((times[label == k] - times[label == k].mean()) ** 2) for k in np.unique(label))

    count = min(wanted, len(distinct))
    cuts = combinations(distinct[1:], count - 1)
    best = min(spread(np.searchsorted(np.array(cut), times, side="right")) for cut in cuts)
    assert spread(binned(times, "kmeans", wanted)) <= best + 1e-9


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [("sturges", None, "one of 'ties', 'counts', 'kmeans'"), ("ties", 4, "each distinct time is a bin"),
     ("counts", 0, "1 or more")],
)  # fmt: skip
def test_impossible_bins_are_refused(kind, count, message):
    with pytest.raises(UsageError, match=message):
        binned(TIMES, kind, count)


# ---- visual predictive check (V1, V4, V5, V6) ----------------------------------------------------------------------


def test_percentiles_and_their_intervals_stand_at_the_median_time_of_the_bin():
    """V1, V2: by hand, with replicates whose percentiles are known."""
    shifts = np.arange(1000.0)
    simulated = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0]) + shifts[:, None]
    check = vpc(made(simulated, [2, 4, 6, 8, 10, 12], time=[1, 2, 3, 50, 60, 70]), bins="kmeans", n_bins=2)
    first = check.table[(check.table["bin"] == 0) & (check.table["percentile"] == 50)].iloc[0]
    assert (first["time"], first["n"], first["observed"]) == (2.0, 3, 4.0)
    assert (first["lower"], first["median"], first["upper"]) == (2.0 + 24, 2.0 + 499, 2.0 + 974)
    assert (check.settings["bins"], check.settings["quantile_type"]) == ("kmeans", 7)


def test_the_correction_takes_out_what_the_prediction_explains():
    """V4: subjects who differ by their dose alone fall on one curve; what is below the limit stays there."""
    rng = np.random.default_rng(1)
    dose = np.array([1.0, 10.0, 100.0, 1000.0])
    noise = rng.lognormal(0, 0.2, (600, 4))
    given_ = made(dose * noise, 1.1 * dose, predicted=dose)
    points = vpc(given_, corrected=True).points["value"]
    np.testing.assert_allclose(points, 1.1 * np.median(dose), rtol=EXACT)
    moved = made(5.0 + dose * noise, 5.0 + 1.1 * dose, predicted=5.0 + dose)
    points = vpc(moved, corrected=True, lower_bound=5.0).points["value"]
    np.testing.assert_allclose(points, 5.0 + 1.1 * np.median(dose), rtol=EXACT)
    censored = made(dose * noise, [-np.inf, 11.0, 110.0, 1100.0], predicted=dose, lloq=2.0)
    assert np.isneginf(vpc(censored, corrected=True).points["value"][0])


def test_a_correction_by_nothing_is_refused():
    with pytest.raises(UsageError, match="prediction of 1 rows of 'y' is not above the lower bound 0"):
        vpc(made(np.ones((600, 2)), [1, 1], predicted=[0, 1]), corrected=True)


def test_shares_below_the_limit_have_a_panel_of_their_own():
    """V6: half of the simulated values lie below the limit, and two of three observed ones."""
    simulated = np.where(np.arange(1000)[:, None] % 2 == 0, 0.5, 2.0) * np.ones(3)
    check = vpc(made(simulated, [-np.inf, -np.inf, 2.0], lloq=1.0))
    share = check.blq.iloc[0]
    assert share["observed"] == pytest.approx(2 / 3)
    assert (share["lower"], share["upper"]) == (0.0, 1.0)
    median = check.table[check.table["percentile"] == 50].iloc[0]
    assert median["observed"] == -np.inf
    assert median["lower"] == -np.inf


def test_strata_are_doses_and_routes(fitted):
    """V5."""
    check = vpc(fitted, stratified=True, count=500)
    assert list(check.table["stratum"].unique()) == ["300 mg iv", "100 mg iv"]
    assert set(vpc(fitted, count=500).table["stratum"]) == {""}


def test_data_of_the_model_lie_inside(fitted):
    """V1: 1000 replicates by default; most observed percentiles lie in their 95 % intervals."""
    check = vpc(fitted)
    assert check.settings["replicates"] == 1000
    assert check.share_inside >= 0.8


def test_data_of_another_model_lie_outside(fitted):
    doubled = dataclasses.replace(fitted.study, records=tuple(
        dataclasses.replace(r, value=2 * r.value) if r.time < 20 and r.kind == "value" else r
        for r in fitted.study.records
    ))  # fmt: skip
    assert vpc(dataclasses.replace(fitted, study=doubled), count=500).share_inside < 0.7


def test_limits_hold_for_all_rows_of_an_output(fitted):
    """B15: rows that state no limit have that of the censored ones, as their replicates have."""
    repeated = replicates(fitted, 500)
    assert set(repeated.lloq) == {LIMIT}
    late = np.array(repeated.time) == 24.0
    share = np.mean(np.isneginf(repeated.ranked()[:, late]))
    seen = np.mean(np.isneginf(repeated.observed[late]))
    assert 0.2 < seen < 0.9
    assert abs(share - seen) < 0.25


def test_replicates_keep_their_streams(fitted):
    """More replicates leave the first as they were; another seed does not."""
    few, many = replicates(fitted, 500, seed=3), replicates(fitted, 600, seed=3)
    np.testing.assert_array_equal(few.simulated, many.simulated[:500])
    assert np.any(replicates(fitted, 500, seed=4).simulated != few.simulated)


def test_draws_widen_the_replicates(fitted):
    """The parameters of "draws" vary from replicate to replicate, those of "estimate" do not."""
    at, over = (replicates(fitted, 500, parameters=which) for which in ("estimate", "draws"))
    assert (at.settings["draws"], over.settings["draws"]) == (1, 200)
    assert over.simulated.mean(axis=1).std() > 1.1 * at.simulated.mean(axis=1).std()


def test_summaries_of_groups_are_left_out_and_said_so():
    rows = [{"subject": "a", "time": t, "time_unit": "h", "output": "conc", "unit": "mg/L", "value": y, "stat": stat,
             "sd": sd, "n": n, "dose": 100.0, "dose_unit": "mg", "route": "iv", "dose_time": 0.0}
            for t, y, stat, sd, n in ((1.0, 1.8, "value", None, None), (4.0, 1.4, "value", None, None),
                                      (8.0, 0.9, "mean", 0.2, 5.0))]  # fmt: skip
    found = fit(load_model("pk_one_compartment"), study_from_frame(pd.DataFrame(rows)), "least_squares", free=["CL"])
    repeated = replicates(dataclasses.replace(found, checks=()), 500)
    assert len(repeated) == 2
    assert repeated.notes == ("1 rows are summaries of several subjects and are left out",)


# ---- prediction distribution errors (V7 to V10) --------------------------------------------------------------------


def test_errors_of_a_subject_are_decorrelated_by_cholesky():
    """V7 and V8 by hand: pde is the share of simulated y* below the observed y*."""
    rng = np.random.default_rng(2)
    simulated = rng.multivariate_normal([1.0, 2.0], [[1.0, 0.6], [0.6, 2.0]], size=1000)
    observed = np.array([1.5, 1.0])
    found = npde(made(simulated, observed)).table
    mean, root = simulated.mean(axis=0), np.linalg.cholesky(np.cov(simulated.T))
    stars, star = np.linalg.inv(root) @ (simulated - mean).T, np.linalg.inv(root) @ (observed - mean)
    share = np.mean(stars < star[:, None], axis=1)
    np.testing.assert_allclose(found["npde"], norm.ppf(share), atol=1e-3)
    np.testing.assert_allclose(found["npd"], norm.ppf(np.mean(simulated < observed, axis=0)), rtol=EXACT)


def test_shares_of_none_and_all_stay_finite():
    """V8."""
    found = npde(made(np.random.default_rng(3).normal(size=(1000, 2)), [-50.0, 50.0], subject=["a", "b"])).table
    np.testing.assert_allclose(found["npde"], norm.ppf([1 / 2000, 1 - 1 / 2000]))


def test_an_observation_below_its_limit_is_placed_among_the_simulated_ones_below_it():
    """V9: uniform on (0, p), over many seeds."""
    simulated = np.random.default_rng(4).normal(size=(1000, 1))
    given_ = made(simulated, [-np.inf], lloq=-0.5)
    p = float(np.mean(simulated < -0.5))
    shares = norm.cdf([npde(given_, seed=k).table["npd"][0] for k in range(300)])
    assert np.max(shares) <= p
    assert abs(np.mean(shares) - p / 2) < CHANCE * p / np.sqrt(12 * 300)
    above = made(simulated, [np.inf], uloq=0.5)
    assert all(norm.cdf(npde(above, seed=k).table["npd"][0]) >= np.mean(simulated < 0.5) for k in range(20))


def test_errors_of_the_true_model_are_standard_normal():
    """V10: mean 0, variance 1, no skew; with a third of the values below a limit as well."""
    for limit in (-np.inf, 1.6):
        given_ = normal_replicates(np.random.default_rng(5), lloq=limit)
        low = given_.observed < given_.lloq
        given_ = dataclasses.replace(given_, observed=np.where(low, -np.inf, given_.observed))
        found = npde(given_)
        n = len(given_)
        errors = found.table["npde"]
        assert abs(errors.mean()) < CHANCE / np.sqrt(n)
        assert abs(errors.var() - 1) < CHANCE * np.sqrt(2 / n)
        assert list(found.tests["test"]) == ["mean is 0", "variance is 1", "no skew"]
        assert np.all(found.tests["p_adjusted"] > 0.05)


def test_errors_of_a_wrong_model_are_not():
    """V10: a mean that is off by half a standard deviation is seen."""
    given_ = normal_replicates(np.random.default_rng(6))
    found = npde(dataclasses.replace(given_, observed=given_.observed + 0.5))
    assert found.tests["p_adjusted"][0] < 1e-3
    assert "'mean is 0' is doubtful" in str(found)


def test_values_that_are_copies_have_no_errors():
    simulated = np.repeat(np.random.default_rng(7).normal(size=(1000, 1)), 2, axis=1)
    with pytest.raises(FitError, match="1000 replicates of the 2 values of subject 's' do not vary independently"):
        npde(made(simulated, [0.0, 0.0]))


# ---- choices -------------------------------------------------------------------------------------------------------


def test_impossible_choices_are_refused(fitted):
    with pytest.raises(UsageError, match=r"50 replicates are too few.*at least 500"):
        vpc(fitted, count=50)
    with pytest.raises(UsageError, match="quantile_type = 5"):
        vpc(fitted, quantile_type=5)
    with pytest.raises(UsageError, match="parameters = 'best'"):
        replicates(fitted, 500, parameters="best")
    with pytest.raises(UnknownName, match=r"unknown observed output 'cone'.*conc"):
        vpc(fitted, outputs=["cone"], count=500)


def test_a_fit_that_is_no_result_has_no_check(fitted):
    failed = dataclasses.replace(fitted, checks=(dataclasses.replace(fitted.checks[0], ok=False),))
    with pytest.raises(FitError, match="NOT A RESULT"):
        vpc(failed)


def test_figures_show_every_panel(fitted, tmp_path):
    figure = visual_check(vpc(fitted, stratified=True, count=500))
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels.count("share < LLOQ") == 2
    assert labels.count("conc [mg/L]") == 2
    errors = prediction_errors(npde(fitted))
    assert len(errors.axes) == 3
    for k, each in enumerate((figure, errors)):
        each.savefig(tmp_path / f"{k}.png")


def test_the_shell_writes_tables_and_figures(fitted, tmp_path, capsys):
    run_folder, out = tmp_path / "run", tmp_path / "check"
    fitted.save(run_folder)
    assert run(["vpc", str(run_folder), "--out", str(out), "--replicates", "500", "--bins", "counts"]) == 0
    said = capsys.readouterr().out
    assert "observed percentiles lie inside" in said
    assert {path.name for path in out.iterdir()} == {
        "vpc.csv", "blq.csv", "npde.csv", "tests.csv", "vpc.png", "npde.png"
    }  # fmt: skip
    assert run(["vpc", str(run_folder), "--out", str(out), "--replicates", "20"]) == 2
    said = capsys.readouterr()
    assert "20 replicates are too few" in said.err
    assert run(["vpc", str(run_folder), "--out", str(tmp_path / "c2"), "--bins", "pies", "--replicates", "500"]) == 2
    assert "--bins" in capsys.readouterr().err
