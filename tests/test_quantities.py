"""Rows that observe something else than an output at a time: predictions, densities and slopes (Q1 to Q7)."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import jax
import mpmath
import numpy as np
import pytest

from evidence_models import DOSE, evidence, liver, lung, two_organs
from mscpkpd.errors import DataError, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.bayes import build_pymc
from mscpkpd.fitting.densities import densities
from mscpkpd.problem import Problem, pose

FAST = "FAST_COMPILE"  # the graph as it is, in Python: compiling costs more than evaluating
SUFFIX = {"log": "_log__", "logit": "_logodds__", "identity": ""}
# PyMC keeps log(2 pi)/2 in single precision, which moves no posterior: 2e-8 for each row of its normal distribution
CONSTANT = 2e-8
HALF = np.log(2) / 0.1

# quantity -> rows, and closed forms of their predictions
HALF_LIFE = {"quantity": "half_life", "time": 4.0, "time_to": 30.0, "unit": "h"}
RATIO = {"quantity": "ratio", "time": 6.0, "unit": None}
ROWS = {
    "half_life": ([{**HALF_LIFE, "value": 6.0}], [HALF]),
    "half_life in days, with its sd": (
        [{**HALF_LIFE, "value": 0.4, "unit": "d", "stat": "mean", "sd": 0.1, "n": 5}],
        [HALF],
    ),
    "ratio of organs": (
        [{"quantity": "ratio", "versus": "liver_cells", "time": 6.0, "value": 1.3, "unit": None}],
        [lung(6.0) / liver(6.0)],
    ),
    "ratio of an organ to a sum": (
        [{"quantity": "ratio", "versus": "lung_cells+liver_cells", "time": 6.0, "value": 60, "unit": "%"}],
        [lung(6.0) / (lung(6.0) + liver(6.0))],
    ),
    "ratio of routes": (
        [
            {**RATIO, "output": "liver_cells", "versus_subject": "m2", "value": 0.5},
            {"subject": "m2", "route": "portal", "output": "liver_cells", "time": 6.0, "value": 800.0},
        ],
        [liver(6.0) / (DOSE * np.exp(-0.03 * 6.0)), DOSE * np.exp(-0.03 * 6.0)],
    ),
    "fold_change": (
        [{"quantity": "fold_change", "time_from": 1.0, "time": 6.0, "value": 0.5, "unit": None}],
        [lung(6.0) / lung(1.0)],
    ),
    "fold_change from before the dose": (
        [{"quantity": "fold_change", "output": "marker", "time": 6.0, "value": 2.0, "unit": None}],
        [1 + 0.01 * lung(6.0) / 5],
    ),
    "difference": (
        [{"quantity": "difference", "output": "marker", "time": 6.0, "value": 5.0, "unit": "pg/mL"}],
        [0.01 * lung(6.0)],
    ),
}  # fmt: skip


def posed(folder, *rows, **extra) -> Problem:
    return replace(pose(two_organs(folder), evidence(*rows), **extra), tolerance=1e-11)


def point_of(problem: Problem, moved: dict[str, float] | None = None) -> dict[str, float]:
    return {
        p.name + SUFFIX[p.prior.transform]: float(p.prior.to_free(p.start)) + (moved or {}).get(p.name, 0.0)
        for p in problem.free
    }


def by_pymc(problem: Problem) -> float:
    """Log likelihood of all rows."""
    model = build_pymc(problem)
    terms = [*model.observed_RVs, *model.potentials]
    return float(model.compile_logp(terms, mode=FAST)(point_of(problem)))


def by_numpy(problem: Problem) -> float:
    """The same by the densities of population fits."""
    f = problem.predict(problem.start).value
    return float(np.sum(densities(problem, f, problem.values(problem.start)).value))


def check_gradients(problem: Problem) -> None:
    """Jacobian, density by NumPy and density by PyMC against central differences, to 1e-5."""
    theta, step = problem.start, 1e-4
    found = problem.predict(theta, jacobian=True)
    row = densities(problem, found.value, problem.values(theta))
    model = build_pymc(problem)
    gradient, density = model.compile_dlogp(mode=FAST)(point_of(problem)), model.compile_logp(mode=FAST)
    for k, name in enumerate(problem.names):
        moved = [theta * (1 + s * step * (np.arange(len(theta)) == k)) for s in (-2, -1, 1, 2)]
        f = [problem.predict(each).value for each in moved]
        slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step * theta[k])
        size = np.maximum(np.abs(found.value), 1e-12) / theta[k]
        np.testing.assert_allclose(found.jacobian[:, k] / size, slope / size, rtol=1e-5, atol=1e-6)
        at = [float(density(point_of(problem, {name: s * 1e-3}))) for s in (-2, -1, 1, 2)]
        slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / 12e-3
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=2e-5 * max(1.0, float(np.max(np.abs(gradient))))), name
    values = problem.values(theta)
    up, down = (densities(problem, found.value * (1 + s * 1e-6), values).value for s in (1, -1))
    np.testing.assert_allclose(row.slope, (up - down) / (2e-6 * found.value), rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_quantity_is_predicted_by_its_closed_form(tmp_path, name):
    """Each function of points against the closed form of the model, by the stiff and by the exact engine (Q2, Q3)."""
    rows, expected = ROWS[name]
    problem = posed(tmp_path, *rows)
    np.testing.assert_allclose(problem.predict(problem.start).value, expected, rtol=1e-8)
    np.testing.assert_allclose(problem.linearized(problem.start)[0], expected, rtol=1e-8)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_slopes_of_quantities(tmp_path, name):
    """Jacobian, log density by both ways and their derivatives against central differences."""
    check_gradients(posed(tmp_path, *ROWS[name][0]))


def test_the_backward_pass_and_jax_agree_with_the_jacobian(tmp_path):
    """One definition of each quantity serves NumPy and JAX: weights pulled back are those of the Jacobian."""
    chosen = [rows[0] for rows, _ in ROWS.values() if "m2" not in str(rows)]
    problem = posed(tmp_path, *({**row, "replicate": k} for k, row in enumerate(chosen, 1)))
    weights = np.linspace(1.0, 2.0, len(problem.rows))
    jacobian = problem.predict(problem.start, jacobian=True).jacobian
    np.testing.assert_allclose(problem.linearized(problem.start)[1](weights), weights @ jacobian, rtol=1e-6, atol=1e-9)
    rows, pull = jax.vjp(problem.traced(), problem.start)
    np.testing.assert_allclose(rows, problem.predict(problem.start).value, rtol=1e-7)
    np.testing.assert_allclose(pull(weights)[0], weights @ jacobian, rtol=1e-6, atol=1e-9)


def test_a_half_life_that_is_none_is_long_and_not_negative(tmp_path):
    """What grows has no half-life: its prediction is long, and has a slope, so that a search finds out (Q2)."""
    row = {"quantity": "half_life", "output": "liver_cells", "time": 0.5, "time_to": 4.0, "value": 24.0, "unit": "h"}
    problem = posed(tmp_path, {**row, "stat": "mean", "sd": 3.0, "n": 4})
    found = problem.predict(problem.start, jacobian=True)
    assert found.value[0] > 1000 * 4.0
    assert np.all(np.isfinite(found.jacobian))
    assert np.any(found.jacobian != 0)


# ---- densities -------------------------------------------------------------------------------------------------------


def normal(y, mean, sd):
    return -((mpmath.mpf(y) - mean) ** 2) / (2 * mpmath.mpf(sd) ** 2) - mpmath.log(mpmath.sqrt(2 * mpmath.pi) * sd)


@pytest.mark.parametrize(
    ("row", "log_density"),
    [
        (
            {**HALF_LIFE, "value": 0.4, "unit": "d", "stat": "mean", "sd": 0.1, "n": 5},
            lambda: normal(9.6, mpmath.log(2) / mpmath.mpf("0.1"), mpmath.mpf("2.4") / mpmath.sqrt(5)),
        ),
        (
            {**HALF_LIFE, "value": 9.0},
            lambda: normal(mpmath.log(9), mpmath.log(10 * mpmath.log(2)), mpmath.mpf("0.3")) - mpmath.log(9),
        ),
        (
            {"quantity": "half_life", "time": 4.0, "time_to": 30.0, "value": 24.0, "unit": "h", "censoring": "right"},
            lambda: mpmath.log(
                mpmath.ncdf(-(mpmath.log(24) - mpmath.log(mpmath.log(2) / mpmath.mpf("0.1"))) / mpmath.mpf("0.3"))
            ),
        ),
        (
            {"quantity": "fold_change", "time_from": 1.0, "time": 6.0, "value": 0.3, "unit": None},
            lambda: normal(mpmath.log("0.3"), mpmath.mpf("-0.5"), mpmath.mpf("0.3")) - mpmath.log("0.3"),
        ),
    ],
)  # fmt: skip
def test_the_density_of_a_quantity_is_that_of_its_noise(tmp_path, row, log_density):
    """Mean with sd, lognormal value and limit of a quantity, to 1e-8 by mpmath."""
    problem = posed(tmp_path, row)
    with mpmath.workdps(50):
        expected = float(log_density())
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-8, abs=CONSTANT + 4e-8 * abs(expected))


def test_a_ratio_a_thousand_standard_deviations_away(tmp_path):
    """The tail of a censored ratio stays a number with a slope (B11)."""
    row = {"quantity": "ratio", "versus": "liver_cells", "time": 6.0, "unit": None, "censoring": "right"}
    limit = float(lung(6.0) / liver(6.0) * np.exp(300.0))
    problem = posed(tmp_path, {**row, "value": limit})
    with mpmath.workdps(50):
        z = mpmath.log(mpmath.mpf(limit) / mpmath.mpf(float(lung(6.0) / liver(6.0)))) / mpmath.mpf("0.3")
        expected = float(mpmath.log(mpmath.ncdf(-z)))
    assert expected < -499_000
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-7)


# ---- how many are positive -------------------------------------------------------------------------------------------


def exact_positive(f, k, n, lod=50.0, s=0.7):
    u = (mpmath.log(mpmath.mpf(float(f))) - mpmath.log(lod)) / mpmath.mpf(s)
    return (
        mpmath.log(comb(n, k))
        + (k * mpmath.log(mpmath.ncdf(u)) if k else 0)
        + ((n - k) * mpmath.log(mpmath.ncdf(-u)) if n > k else 0)
    )


@pytest.mark.parametrize(("time", "k", "n"), [(30.0, 5, 10), (30.0, 0, 10), (30.0, 10, 10), (1.0, 2, 7), (60.0, 3, 4)])
def test_a_detection_frequency_is_binomial_around_an_uncertain_limit(tmp_path, time, k, n):
    """k of n with P = Phi((log f - log lod)/s), by mpmath to 1e-8, both ways, with its slopes (Q4)."""
    row = {"quantity": "positive", "time": time, "value": k, "n": n, "unit": None}
    problem = posed(tmp_path, row)
    assert {"lod", "s"} <= set(problem.names)
    with mpmath.workdps(50):
        expected = float(exact_positive(lung(time), k, n))
    assert by_numpy(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert by_pymc(problem) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    if time == 30.0 and k < n:
        check_gradients(problem)


@pytest.mark.parametrize("found", [0, 1])
def test_presence_a_thousand_standard_deviations_away(tmp_path, found):
    """Cells that are there though the model has none, and the reverse: finite, to 1e-8 of the tail (Q4)."""
    described = two_organs(tmp_path).fix(s=0.02)
    row = {"quantity": "present", "value": found, "unit": None}
    time = (np.log(DOSE / 50.0) + (20.0 if found else -2.9)) / 0.1
    problem = replace(pose(described, evidence({**row, "time": time})), tolerance=1e-12)
    # so far below its tolerance the solver takes other steps when it is asked for slopes, as PyMC does
    for slopes, found_by in ((False, by_numpy), (True, by_pymc)):
        f = float(problem.predict(problem.start, jacobian=slopes).value[0])
        with mpmath.workdps(300):
            expected = float(exact_positive(f, found, 1, s=0.02))
        assert expected < (-490_000 if found else -10_000)
        assert found_by(problem) == pytest.approx(expected, rel=1e-8)


def test_least_squares_refuses_counts_and_says_what_fits_them(tmp_path):
    """A count has no residual (Q4)."""
    study = evidence({"quantity": "positive", "time": 5.0, "value": 3, "n": 10})
    with pytest.raises(UsageError, match=r"least squares with 'positive' of 'lung_cells'.*method='map' or"):
        fit(two_organs(tmp_path), study, "least_squares", free=["k"])


def test_positive_needs_a_limit_of_detection(tmp_path):
    """An output without `detection` cannot say how likely an animal is positive."""
    study = evidence({"quantity": "positive", "output": "marker", "time": 5.0, "value": 3, "n": 10})
    with pytest.raises(DataError, match=r"row 2: 'positive' of 'marker', whose model has no limit.*probit"):
        pose(two_organs(tmp_path), study)


def test_ratios_to_nothing_are_refused_row_by_row(tmp_path):
    """A fold change from before the cells were given, and a ratio to an organ that they have not reached (Q3)."""
    rows = (
        {"quantity": "fold_change", "time": 6.0, "value": 0.5, "unit": None},
        {"quantity": "ratio", "versus": "liver_cells", "time": 0.0, "value": 9.0, "unit": None},
        {"time": 6.0, "value": 500.0},
    )
    with pytest.raises(DataError) as refused:
        fit(two_organs(tmp_path), evidence(*rows), "map")
    text = str(refused.value)
    assert (
        "row 2: a fold change of 'lung_cells' from before any dose, where nothing is predicted. Try: time_from" in text
    )
    assert "row 3: a ratio to liver_cells, of which nothing is predicted. Try: a later time" in text
    assert "row 4" not in text
