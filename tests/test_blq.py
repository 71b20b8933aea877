"""Values below a limit by each method (B2 to B14), residuals that follow each other (R9), counts (R10): whole fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pytensor.compile.mode import Mode
from scipy import stats

from mscpkpd.blq import treated, with_blq
from mscpkpd.data import study_from_frame
from mscpkpd.errors import DataError, ModelError, UnknownName, UsageError
from mscpkpd.fitting import api
from mscpkpd.fitting.bayes import build_pymc
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.replicates import observe
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.noise import Noise
from mscpkpd.observations import bind
from mscpkpd.problem import Problem, pose, refuse_broken_series
from toy import study_of, toy_model

VALUES = {"k": 0.13, "F": 0.7, "a": 1.3, "b": 0.25}
PLAIN = Mode("py", None)  # the graph as it is, in Python
METHODS = ("M1", "M2", "M3", "M4", "M5", "M6", "M7")
LIMIT = 30.0
MIXED = [
    {"time": 1.0, "value": 66.0},
    {"time": 4.0, "value": 41.0},
    {"time": 6.0, "value": f"<{LIMIT}"},
    {"time": 7.0, "value": 33.0},
    {"time": 9.0, "value": f"<{LIMIT}"},
    {"time": 11.0, "value": f"<{LIMIT}"},
    {"time": 12.0, "lower": 8.0, "upper": LIMIT, "censoring": "interval"},
    {"time": 2.0, "value": ">60"},
]


def predicted(times) -> np.ndarray:
    return 100 * VALUES["F"] * np.exp(-VALUES["k"] * np.asarray(times))


def theta_of(problem: Problem) -> np.ndarray:
    return np.array([VALUES[name] for name in problem.names])


def rows_density(problem: Problem) -> np.ndarray:
    """Log density of each row, as `map` and `focei` take it."""
    exact = replace(problem, tolerance=1e-12)
    theta = theta_of(exact)
    return densities(exact, exact.predict(theta).value, exact.values(theta)).value


def by_pymc(problem: Problem, mode: object = PLAIN) -> float:
    """Log likelihood, as `nuts` takes it."""
    exact = replace(problem, tolerance=1e-12)
    model = build_pymc(exact)
    suffix = {"log": "_log__", "logit": "_logodds__", "identity": ""}
    at = {p.name + suffix[p.prior.transform]: float(p.prior.to_free(VALUES[p.name])) for p in exact.free}
    return float(model.compile_logp([*model.observed_RVs, *model.potentials], mode=mode)(at))


# ---- each method -----------------------------------------------------------------------------------------------------


def test_known_contributions_of_one_row(tmp_path) -> None:
    """B3, B4, B6: f = 1, sd = 0.5, LLOQ = 0.6, y = 1.2, through the rows of a study."""
    model = toy_model(tmp_path, "additive(0.5)").fix(k=1e-9, V=500.0)
    row = [{"time": 1.0, "value": 1.2, "lloq": 0.6}, {"time": 1.5, "value": "<0.6"}]
    known = {
        "M1": (-0.3057913526, 0.0),
        "M2": (-0.0677176510, 0.0),
        "M3": (-0.3057913526, -1.5518513192),
        "M4": (-0.2827784433, -1.6424385433),
        "M5": (-0.3057913526, stats.norm(1, 0.5).logpdf(0.3)),
        "M6": (-0.3057913526, stats.norm(1, 0.5).logpdf(0.3)),
        "M7": (-0.3057913526, stats.norm(1, 0.5).logpdf(0.0)),
    }
    for method, contributions in known.items():
        problem = pose(with_blq(model, method), study_of(row), free=["F"])
        exact = replace(problem, tolerance=1e-12)
        found = densities(exact, np.array([1.0, 1.0]), exact.values(exact.start)).value
        np.testing.assert_allclose(found, contributions, atol=5e-11, err_msg=method)


def test_b4_m2_takes_the_limit_of_the_row_else_the_one_of_all(tmp_path) -> None:
    """B4: rows that state another limit keep it; without any the row is named."""
    model = with_blq(toy_model(tmp_path, "additive(a)"), "M2")
    rows = [{"time": 1.0, "value": 60.0, "lloq": 50.0}, {"time": 2.0, "value": 55.0}, {"time": 9.0, "value": "<20"}]
    found = treated(model, bind(model, study_of(rows))[0])
    np.testing.assert_array_equal(found.floor, [50.0, 20.0, np.nan])
    assert list(found.kind) == ["value", "value", "dropped"]
    with pytest.raises(DataError, match=r"row 3.*M2 needs the limit of quantification of 'conc'.*no row is below one"):
        pose(model, study_of(rows[:2]))
    with pytest.raises(DataError, match=r"row 3.*those of the rows below one differ \(B4\). Try: a column 'lloq'"):
        pose(model, study_of([*rows, {"time": 11.0, "value": "<10"}]))


def test_b2_limit_beside_an_observed_value_is_for_m2_alone(tmp_path) -> None:
    """B2: LIMIT on a CENS 0 row is ignored, but for M2 it bounds what could have been in the table."""
    dose = {"ID": "s1", "TIME [h]": 0, "EVID": 1, "AMT [cells]": 1000, "CMT": "iv", "CENS": 0}
    seen = {"ID": "s1", "TIME [h]": 4, "EVID": 0, "DV [cells/mL]": 50, "CENS": 0, "LIMIT": 20, "CMT": "iv"}
    study = study_from_frame(pd.DataFrame([dose, seen]).assign(DVID="conc"))
    model, f = toy_model(tmp_path, "additive(a)"), predicted([4.0])[0]
    plain = stats.norm(f, VALUES["a"])
    for method, expected in (("M3", plain.logpdf(50)), ("M2", plain.logpdf(50) - plain.logsf(20))):
        assert rows_density(pose(with_blq(model, method), study))[0] == pytest.approx(expected, rel=1e-9)
    above = study_from_frame(pd.DataFrame([dose, {**seen, "LIMIT": 60}]).assign(DVID="conc"))
    with pytest.raises(DataError, match="value 50 of 'conc' is below the limit of its row"):
        pose(with_blq(model, "M2"), above)


def test_b10_what_stands_in_the_place_of_a_value(tmp_path) -> None:
    """B7, B10: M5 half the limit, M7 zero, M6 one of each run; the rest of a run is left out."""
    texts = ["<10", "<10", "50", "<10", "<10", "40", "<10", "30", "<10", "<10"]
    rows = [{"time": float(t), "value": text} for t, text in enumerate(texts, 1)]
    rows += [{"subject": "s2", "time": float(t), "value": "<10"} for t in (1, 2)]  # nothing quantified: all left out
    study, half = study_of(rows), 5.0

    def found(method: str) -> list[object]:
        model = with_blq(toy_model(tmp_path, "additive(a)"), {"conc": method})
        taken = treated(model, bind(model, study)[0])
        return [None if kind == "dropped" else y for kind, y in zip(taken.kind, taken.value, strict=True)]

    assert found("M5") == [half, half, 50, half, half, 40, half, 30, half, half, half, half]
    assert found("M7") == [0, 0, 50, 0, 0, 40, 0, 30, 0, 0, 0, 0]
    assert found("M6") == [None, half, 50, half, None, 40, half, 30, half, None, None, None]
    assert found("M1") == [None, None, 50, None, None, 40, None, 30, None, None, None, None]


@pytest.mark.parametrize(
    ("noise", "method"),
    [
        *(("combined2(a, b)", method) for method in METHODS),
        *(("student(a, proportional(b))", method) for method in ("M2", "M3", "M4")),
        *(("lognormal(b)", method) for method in ("M2", "M7")),
        ("yeojohnson(0.4, b)", "M4"),
        ("boxcox(0.4, b)", "M2"),
    ],
)
def test_both_samplers_and_searches_see_the_same_likelihood(tmp_path, noise: str, method: str) -> None:
    """B3 to B9, B13: PyMC's density of every method and noise is the sum of the rows' densities."""
    model = with_blq(toy_model(tmp_path, noise, unit="1" if noise.startswith("student") else "cells/mL"), method)
    if noise == "lognormal(b)" and method == "M7":
        with pytest.raises(DataError, match=r"M7 puts 0 in the place of a value of 'conc', which lognormal"):
            pose(model, study_of(MIXED))
        return
    problem = pose(model, study_of(MIXED))
    assert by_pymc(problem) == pytest.approx(float(np.sum(rows_density(problem))), rel=1e-8)


@pytest.mark.parametrize(
    "noise",
    [
        "lognormal(b)",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("student(a, proportional(b))", "negbinomial(a)")),
    ],
)
def test_the_density_of_limits_compiles_for_jax(tmp_path, noise: str) -> None:
    """B11, B13: what the exact engine's samplers compile has the same value, and a finite gradient."""
    from mscpkpd.fitting.traced import teach_jax

    problem = pose(toy_model(tmp_path, noise, unit="1"), study_of(MIXED))
    assert problem.sampled_by == "exact"
    teach_jax()
    assert by_pymc(problem, "JAX") == pytest.approx(by_pymc(problem), rel=1e-8)


def test_b12_m4_is_m3_where_values_are_above_zero(tmp_path) -> None:
    """B12: on the scale of the logarithm positivity is certain; and counts are never below 0."""
    for noise, rows in (("lognormal(b)", MIXED), ("boxcox(0.3, b)", MIXED), ("poisson()", MIXED[:6])):
        model = toy_model(tmp_path, noise)
        three, four = (rows_density(pose(with_blq(model, m), study_of(rows))) for m in ("M3", "M4"))
        np.testing.assert_array_equal(three, four)


def test_b14_three_classes_make_one_probability(tmp_path) -> None:
    """B14: not detected, detected but not quantified, quantified; the last by summing over values."""
    words = [{"subject": word, "time": 9.0, "value": word, "lod": 8.0, "lloq": LIMIT} for word in ("ND", "DNQ")]
    for noise in ("additive(9)", "lognormal(b)", "student(3, proportional(b))", "negbinomial(2)"):
        problem = pose(toy_model(tmp_path, noise), study_of(words))
        assert list(problem.rows.kind) == ["left", "interval"]
        below = float(np.sum(np.exp(rows_density(problem))))
        f = predicted([9.0])[0]
        kept = float(np.exp(Noise.parse(noise).log_kept(LIMIT, f, {"b": VALUES["b"]})))
        assert below + kept == pytest.approx(1.0, abs=1e-9), noise


def test_the_derivative_of_every_row_is_that_of_differences(tmp_path) -> None:
    """R1 to R10 with B3 to B9: slopes of the densities that `map`, `focei` and `laplace` climb."""
    noises = {
        "combined1(a, b)": "cells/mL", "boxcox(0.3, b)": "1", "yeojohnson(-0.4, b)": "1",
        "student(a, combined2(3, b))": "1", "poisson()": "1", "negbinomial(a)": "1",
        "ar1(0.8, combined2(a, b))": "cells/mL", "ar1(0.8, lognormal(b))": "1",
    }  # fmt: skip
    for noise, unit in noises.items():
        for method in ("M1",) if noise.startswith("ar1") else ("M2", "M4"):
            model = with_blq(toy_model(tmp_path, noise, unit), method)
            mixed = MIXED[:6] if noise.startswith("ar1") else MIXED
            problem = pose(model, study_of(mixed))
            values, f = problem.values(theta_of(problem)), predicted([row["time"] for row in mixed]) * 1.1
            found = densities(problem, f, values)
            for i in range(len(f)):
                step = 1e-5 * f[i] * (np.arange(len(f)) == i)
                up, down = (float(np.sum(densities(problem, f + s * step, values).value)) for s in (1, -1))
                slope = (up - down) / (2 * step[i])
                assert found.slope[i] == pytest.approx(slope, rel=1e-5, abs=1e-8), (noise, method, i)
            assert np.all(found.information >= 0)


# ---- residuals that follow each other --------------------------------------------------------------------------------


def series(tmp_path, noise: str, *, second: bool = True) -> Problem:
    rows = [{"time": t, "value": y} for t, y in ((1.0, 60.0), (1.5, 66.0), (4.0, 44.0), (9.0, 20.0))]
    if second:
        rows += [{"subject": "s2", "time": t, "value": y} for t, y in ((2.0, 50.0), (3.0, 45.0))]
        rows += [{"time": 2.0, "output": "count", "unit": "cells", "value": 500.0}]
    return pose(toy_model(tmp_path, noise), study_of(rows[::-1]))


@pytest.mark.parametrize("noise", ["ar1(0.7, combined2(a, b))", "ar1(0.7, lognormal(b))", "ar1(0.7, boxcox(0.4, b))"])
def test_r9_the_chain_is_the_joint_normal(tmp_path, noise: str) -> None:
    """R9: the product of conditional densities is the multivariate normal with rho^|t - s|, Jacobian included."""
    problem, model = series(tmp_path, noise), Noise.parse(noise)
    rows, expected = problem.rows, 0.0
    f = predicted(rows.time) * np.where(rows.output == 1, 10.0, 1.0)
    for subject, output in (("s1", 0), ("s2", 0)):
        mine = (np.array(rows.subject) == subject) & (rows.output == output)
        sd = model.sd(f[mine], VALUES)
        apart = np.abs(rows.time[mine][:, None] - rows.time[mine])
        joint = stats.multivariate_normal(model.scaled(f[mine], VALUES), np.outer(sd, sd) * 0.7**apart)
        expected += joint.logpdf(model.scaled(rows.value[mine], VALUES))
        expected += float(np.sum(model.log_slope(rows.value[mine], VALUES) * np.ones(mine.sum())))
    single = rows.output == 1
    expected += stats.lognorm(VALUES["b"], scale=f[single]).logpdf(rows.value[single])[0]
    assert float(np.sum(rows_density(problem))) == pytest.approx(expected, rel=1e-9)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-8)


def test_r9_without_correlation_is_without_order(tmp_path) -> None:
    """R9: rho next to 0 is no correlation."""
    found = float(np.sum(rows_density(series(tmp_path, "ar1(1e-40, lognormal(b))"))))
    assert found == pytest.approx(float(np.sum(rows_density(series(tmp_path, "lognormal(b)")))), rel=1e-12)


def test_r9_new_observations_follow_each_other(tmp_path) -> None:
    """R9: replicates correlate as rho^|t - s| within a subject, and not between subjects."""
    problem = series(tmp_path, "ar1(0.7, additive(a))")
    rng, theta = np.random.default_rng(3), theta_of(problem)
    f, values = problem.predict(theta).value, problem.values(theta)
    drawn = np.array([observe(problem, f, values, rng) for _ in range(4000)])
    rows, conc = problem.rows, problem.rows.output == 0
    found = np.corrcoef(drawn[:, conc].T)
    same = np.array(rows.subject)[conc][:, None] == np.array(rows.subject)[conc]
    expected = np.where(same, 0.7 ** np.abs(rows.time[conc][:, None] - rows.time[conc]), 0.0)
    np.testing.assert_allclose(found, expected, atol=5 / np.sqrt(4000))


def test_r9_what_makes_no_series_is_refused(tmp_path) -> None:
    model = toy_model(tmp_path, "ar1(0.7, lognormal(b))")
    rows = [
        {"time": 1.0, "value": 60.0}, {"time": 1.0, "value": 61.0, "replicate": "2"}, {"time": 9.0, "value": "<20"},
        {"time": 3.0, "value": 50.0, "n": 3, "stat": "mean"},
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"3 problems") as caught:
        refuse_broken_series(pose(model, study_of(rows)))
    for part in ("a second value of 'conc' at one time", "not a plain value", "blq = 'M1'", "a mean of 'conc'"):
        assert part in str(caught.value)
    refuse_broken_series(pose(with_blq(model, "M1"), study_of([rows[0], rows[2]])))
    with pytest.raises(DataError, match=r"prior halfnormal\(0.5\) of 'b', the correlation .*Try: beta"):
        refuse_broken_series(pose(toy_model(tmp_path, "ar1(b, additive(a))"), study_of(rows[:1])))
    with pytest.raises(UsageError, match=r"'conc' correlate \(R9\), which focei leaves out. Try: method='laplace'"):
        api._refuse_method(pose(model, study_of(rows[:1])), "focei")


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_r10_a_count_is_a_whole_number(tmp_path) -> None:
    """R10: the row and its value are named."""
    model = toy_model(tmp_path, "poisson()")
    with pytest.raises(DataError, match=r"row 3.*value 2.5 cells/mL of 'conc' is no count \(R10\); expected 0, 1, 2"):
        pose(model, study_of([{"time": 1.0, "value": 3.0}, {"time": 2.0, "value": 2.5}]))
    with pytest.raises(DataError, match="value -1 cells/mL"):
        pose(model, study_of([{"time": 1.0, "value": -1.0}]))
    with pytest.raises(DataError, match=r"M5 puts 2.5 in the place of a value of 'conc', which poisson\(\) excludes"):
        pose(with_blq(model, "M5"), study_of([{"time": 1.0, "value": 3.0}, {"time": 2.0, "value": "<5"}]))


def test_r10_poisson_is_the_limit_of_the_negative_binomial() -> None:
    """R10: with its size the excess of the variance vanishes, f^2/size."""
    one, other = Noise.parse("poisson()"), Noise.parse("negbinomial(1e12)")
    y = np.arange(0.0, 60.0)
    np.testing.assert_allclose(other.log_density(y, 17.0, {}), one.log_density(y, 17.0, {}), rtol=1e-9)
    np.testing.assert_allclose(other.log_cdf(y[1:], 17.0, {}), one.log_cdf(y[1:], 17.0, {}), rtol=1e-8)
    assert Noise.parse("negbinomial(2)").sd(10.0, {}) == pytest.approx(np.sqrt(10 + 50))


def test_b13_limits_of_a_count_part_the_whole_numbers() -> None:
    """B13: below the limit lies what is less; a count at the limit is quantified, as one at the upper limit is."""
    noise = Noise.parse("poisson()")
    reference = stats.poisson(4.2)
    assert noise.log_cdf(3.0, 4.2, {}) == pytest.approx(reference.logcdf(2))
    assert noise.log_cdf(2.5, 4.2, {}) == pytest.approx(reference.logcdf(2))
    assert noise.log_kept(3.0, 4.2, {}) == pytest.approx(reference.logsf(2))
    assert noise.log_sf(3.0, 4.2, {}) == pytest.approx(reference.logsf(3))
    assert noise.log_interval(2.0, 4.0, 4.2, {}) == pytest.approx(np.log(reference.pmf(2) + reference.pmf(3)))
    assert noise.log_cdf(0.0, 4.2, {}) == -np.inf


def test_none_where_none_is_expected_is_certain(tmp_path) -> None:
    """R13: a count of 0 before the dose is no news; any other count there is impossible, and named."""
    model = toy_model(tmp_path, "poisson()")
    rows = [{"time": 0.0, "value": 0.0, "pre_dose": 1}, {"time": 1.0, "value": 60.0}, {"time": 6.0, "value": 30.0}]
    assert api.fit(model, study_of(rows), "map").ok
    rows[0]["value"] = 2.0
    with pytest.raises(DataError, match=r"'conc' is predicted to be 0 at 0 h, where poisson\(\) gives a value no"):
        api.fit(model, study_of(rows), "map")


# ---- declared and told -----------------------------------------------------------------------------------------------


def test_a_method_is_declared_in_the_file_or_in_the_fit(tmp_path) -> None:
    """B3: the key `blq` of an output, or the option; written again, read again, and named in the result."""
    path = tmp_path / "toy.toml"
    model = with_blq(toy_model(tmp_path, "additive(a)"), {"conc": "M4"})
    save_model(model, path)
    assert 'blq = "M4"' in path.read_text()
    again = load_model(path)
    assert [again.output(name).blq for name in ("conc", "count")] == ["M4", "M3"]
    found = api.fit(again, study_of(MIXED), "map", free=["k", "F"], blq="M6")
    assert found.settings["blq"] == {"conc": "M6"}
    assert any("conc: 3 rows below the limit of quantification by M6, 1 of them left out" in n for n in found.notes)
    assert list(found.predictions["kind"]).count("dropped") == 1
    path.write_text(path.read_text().replace('blq = "M4"', 'blq = "M8"'))
    with pytest.raises(ModelError, match=r"conc.*unknown method 'M8'"):
        load_model(path)
    with pytest.raises(UnknownName, match=r"blq: unknown output 'konc'. Try: 'conc'"):
        with_blq(model, {"konc": "M1"})
    with pytest.raises(UnknownName, match="blq: unknown method 'm3'"):
        with_blq(model, "m3")


def test_least_squares_refuses_what_has_no_residual(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"M4 of 'conc' is a probability, which has no residual .*Try: method='map'"):
        api.fit(toy_model(tmp_path, "additive(a)"), study_of(MIXED), blq="M4")
    with pytest.raises(UsageError, match=r"'conc' has counts below or above a limit"):
        api.fit(toy_model(tmp_path, "poisson()"), study_of(MIXED))


def test_m1_is_the_fit_without_the_rows(tmp_path) -> None:
    """M1 leaves rows out of the likelihood, the residuals and the counts of rows."""
    model = toy_model(tmp_path, "lognormal(b)").fix(F=0.7)
    without = [row for row in MIXED if str(row.get("value", ""))[:1] != "<"]
    for method in ("least_squares", "map"):
        one, other = api.fit(model, study_of(MIXED), method, blq="M1"), api.fit(model, study_of(without), method)
        np.testing.assert_allclose(one.table["estimate"], other.table["estimate"], rtol=1e-6)
        np.testing.assert_allclose(one.table["sd"].dropna(), other.table["sd"].dropna(), rtol=1e-4)


# ---- recovery --------------------------------------------------------------------------------------------------------

TRUTH = {"k": 0.15, "F": 0.6, "a": 2.5, "b": 0.2}
RECOVERED = {
    "student(3, proportional(b))": "1",
    "student(a, proportional(b))": "1",
    "boxcox(0.5, a)": "cells/mL",
    "yeojohnson(0.5, a)": "cells/mL",
    "ar1(0.6, lognormal(b))": "1",
    "poisson()": "1",
    "negbinomial(a)": "1",
}


def simulated(model, count: int, seed: int, limit: float | None = None):
    """A SYNTHETIC study of many subjects at the truth."""
    times = (0.5, 1.0, 2.0, 4.0, 7.0, 11.0, 16.0)
    rows = [{"subject": f"s{i}", "time": t, "value": 1.0} for i in range(count) for t in times]
    problem = pose(model, study_of(rows))
    f = 100 * TRUTH["F"] * np.exp(-TRUTH["k"] * problem.rows.time)
    y = observe(problem, f, {**problem.values(problem.start), **TRUTH}, np.random.default_rng(seed))
    texts = [f"<{limit:g}" if limit is not None and x < limit else repr(float(x)) for x in y]
    return study_of([{**row, "value": text} for row, text in zip(rows, texts, strict=True)])


@pytest.mark.parametrize("noise", RECOVERED)
def test_what_was_simulated_is_found_again(tmp_path, noise: str) -> None:
    """R7, R8, R9, R10: the mode lies within 4 standard errors of the truth."""
    model = toy_model(tmp_path, noise, RECOVERED[noise])
    found = api.fit(model, simulated(model, 30, seed=11), "map")
    assert found.ok
    for row in found.table.itertuples():
        assert abs(row.estimate - TRUTH[row.parameter]) < 4 * row.sd, (row.parameter, row.estimate, row.sd)
        assert row.sd < 0.6 * row.estimate


@pytest.mark.parametrize("method", ["M2", "M3", "M4"])
def test_values_below_a_limit_do_not_bend_the_estimate(tmp_path, method: str) -> None:
    """B4 to B6: a third of the rows below the limit; what is simply left out bends it (M1)."""
    model = toy_model(tmp_path, "lognormal(0.6)").fix(F=TRUTH["F"])
    study = simulated(model, 40, seed=5, limit=18.0)
    blq = sum(record.kind == "left" for record in study.records)
    assert 0.25 < blq / len(study.records) < 0.5
    found = api.fit(model, study, "map", blq=method)
    for row in found.table.itertuples():
        assert abs(row.estimate - TRUTH[row.parameter]) < 4 * row.sd, (method, row.parameter)
    if method == "M3":
        bent = api.fit(model, study, "map", blq="M1").table.set_index("parameter")
        assert abs(bent.loc["k", "estimate"] - TRUTH["k"]) > 3 * bent.loc["k", "sd"]


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["ar1(0.6, lognormal(b))", "negbinomial(a)", "student(3, proportional(b))"])
def test_sampled_posteriors_hold_the_truth(tmp_path, noise: str) -> None:
    """R8, R9, R10 by NUTS, with rows below a limit where the noise allows them."""
    model = toy_model(tmp_path, noise, RECOVERED[noise])
    study = simulated(model, 12, seed=2, limit=None if noise.startswith("ar1") else 10.0)
    found = api.fit(model, study, "nuts", draws=1000, tune=500, chains=2, seed=1)
    assert found.converged
    for row in found.table.itertuples():
        if row.parameter in TRUTH:
            assert abs(row.estimate - TRUTH[row.parameter]) < 4 * row.sd, row.parameter


def test_every_row_is_ranked_in_replicates_whatever_the_fit_made_of_it(tmp_path) -> None:
    """B15: a fit by M1 has the panel of shares below the limit all the same."""
    from mscpkpd.predictive.replicates import replicates

    model = toy_model(tmp_path, "lognormal(b)")
    found = api.fit(model, simulated(model, 6, seed=3, limit=12.0), "map", blq="M1")
    drawn = replicates(found, 500)
    assert len(drawn) == len(found.predictions)
    assert np.any(np.isneginf(drawn.observed))


def test_the_frame_has_what_a_table_needs(tmp_path) -> None:
    found = api.fit(toy_model(tmp_path, "negbinomial(a)", "1"), study_of(MIXED[:2]), "map", free=["k"])
    assert isinstance(found.predictions, pd.DataFrame)
    assert np.all(found.predictions["upper_new"] % 1 >= 0)
