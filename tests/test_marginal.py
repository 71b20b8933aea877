"""The likelihood with random effects integrated out: exact where the model is linear, and near quadrature elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mscpkpd.fitting.coordinates import Coordinates, cholesky_rows
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.focei import maximize
from mscpkpd.fitting.marginal import APPROXIMATIONS, Clusters, Marginal
from mscpkpd.model import Covariance, Variability
from mscpkpd.population import Population, pose_population
from mscpkpd.problem import pose
from population_models import grid, linear, one_compartment, table
from toy import study_of, toy_model

TIMES = (0.5, 2.0, 5.0, 11.0)
C0, SLOPE = Variability("c0", "subject", 2.0), Variability("slope", "subject", 0.3)
FULL = (Covariance("subject", "full", 2.0, (("c0", "slope", 0.4),)),)
DIAGONAL = (Covariance("subject", "diagonal"),)


def varied(subjects: int) -> list[dict[str, object]]:
    """Values of subjects that differ, in both parameters."""
    rng, rows = np.random.default_rng(5), []
    for i in range(subjects):
        c0, slope = 10 + 2 * rng.standard_normal(), 0.5 + 0.4 * rng.standard_normal()
        y = c0 * np.exp(-0.1 * np.array(TIMES)) + slope * np.array(TIMES) + 0.5 * rng.standard_normal(len(TIMES))
        rows += [{"subject": f"S{i}", "time": t, "value": float(v)} for t, v in zip(TIMES, y, strict=True)]
    return rows


def several_levels() -> Population:
    """Crossed subjects and lots, and occasions within subjects."""
    rows = grid(6, TIMES)
    for k, row in enumerate(rows):
        row |= {"lot": f"L{k % 4 // 2}", "occasion": f"{k % 2}"}
    spread = (C0, Variability("slope", "lot", 0.4), Variability("c0", "occasion", 0.7))
    return pose_population(linear(*spread), table(rows))


CASES = {
    "diagonal": lambda: pose_population(linear(C0, SLOPE, covariance=DIAGONAL), table(grid(5, TIMES))),
    "full": lambda: pose_population(linear(C0, SLOPE, covariance=FULL), table(grid(5, TIMES))),
    "unbalanced": lambda: pose_population(linear(C0, SLOPE), table([*grid(3, TIMES), *grid(2, (1.0,))])),
    "several levels": several_levels,
}


def multivariate_normal(population: Population, x: np.ndarray) -> float:
    """-2 log density of all rows as one normal vector, from the formula of the model alone."""
    coordinates, problem = Coordinates(population), population.problem
    values, spreads = problem.values(coordinates.theta(x)), coordinates.spreads(x)
    t = problem.rows.time
    by = {"c0": np.exp(-0.1 * t), "slope": t}
    mean = values["c0"] * by["c0"] + values["slope"] * by["slope"]
    covariance, first = values["s"] ** 2 * np.eye(len(t)), 0
    for k, level in enumerate(population.levels):
        sd = spreads.sd[first : first + len(level.effects)]
        first += len(level.effects)
        omega = np.outer(sd, sd) * (spreads.roots[k] @ spreads.roots[k].T)
        g = np.stack([by[effect.parameter] for effect in level.effects], axis=1)
        group = population.member[k][population.case]
        covariance += (group[:, None] == group[None, :]) * (g @ omega @ g.T)
    return -2 * float(stats.multivariate_normal(mean, covariance).logpdf(problem.rows.value))


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
@pytest.mark.parametrize("case", CASES)
def test_p9_a_linear_model_is_integrated_exactly(case, approximation):
    """Every level, form and approximation, at a point away from the start; -2LL is the full one (P7, P8, P9)."""
    population = CASES[case]()
    marginal = Marginal(population, approximation)
    x = marginal.coordinates.start + 0.1 * np.sin(np.arange(len(marginal.coordinates.names)))
    mode = marginal.at(x)
    assert mode.converged
    # 1e-6: the engine's predictions; second differences of Laplace
    assert mode.minus2ll == pytest.approx(multivariate_normal(population, x), rel=1e-6)


def test_clusters_are_what_shares_random_effects():
    """Subjects alone are clusters of their own; lots that cross subjects make one cluster of them."""
    alone = Clusters.of(CASES["diagonal"]())
    assert (alone.count, alone.size) == (5, 2)
    crossed = several_levels()
    assert Clusters.of(crossed).count == 1
    assert Clusters.of(crossed).size == crossed.offsets[-1] == 6 + 2 + 12


def test_the_search_finds_what_the_multivariate_normal_says():
    """Estimates and standard errors against a maximum of the exact likelihood by another optimiser."""
    from scipy.optimize import minimize

    population = pose_population(linear(C0, SLOPE, covariance=FULL), table(varied(8)))
    found = maximize(population)
    assert found.converged
    best = minimize(lambda x: multivariate_normal(population, x), found.x + 0.05, method="Nelder-Mead",
                    options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 20000, "maxfev": 20000})  # fmt: skip
    assert found.mode.minus2ll == pytest.approx(best.fun, abs=1e-5)
    np.testing.assert_allclose(found.x, best.x, atol=2e-3)  # what 1e-5 of -2LL leaves open
    h = 1e-3 * np.eye(len(found.x))
    exact = [
        [
            sum(
                a * b * multivariate_normal(population, found.x + a * h[i] + b * h[j]) for a in (1, -1) for b in (1, -1)
            )
            for j in range(len(h))
        ]
        for i in range(len(h))
    ]
    np.testing.assert_allclose(found.information, np.array(exact) / 8e-6, rtol=2e-2, atol=0.05)


def one_effect(times: tuple[float, ...], *, lloq: float = 0.0) -> Marginal:
    """Two subjects with an effect on clearance, by Laplace; values under a limit are below it (B5)."""
    model = one_compartment(Variability("CL", "subject", 0.5), noise="lognormal(s)")
    rng, rows = np.random.default_rng(0), []
    for k, c in ((1, 0.7), (2, 1.6)):
        for t in (t + d for t in times for d in (0.0, 0.01)):
            value = float(2 * np.exp(-0.1 * c * t + 0.1 * rng.standard_normal()))
            below = {"value": lloq, "upper": lloq, "censoring": "left"} if value < lloq else {}
            rows.append({"subject": f"S{k}", "time": t, "value": value, "censoring": "none", **below})
    return Marginal(pose_population(model, table(rows), random=["CL"]), "laplace")


def by_quadrature(marginal: Marginal) -> float:
    """-2 log likelihood at the start, by the trapezoid on a fine grid about the modes."""
    population, x = marginal.population, marginal.coordinates.start
    theta, omega = marginal.coordinates.theta(x), marginal.coordinates.spreads(x).sd[0]
    mode = marginal.at(x)
    width = 8 * np.sqrt(np.max(np.diag(mode.covariance)))
    at = np.linspace(mode.eta.min() - width, mode.eta.max() + width, 401)
    first = np.array([name == "S1" for name in population.problem.rows.subject])
    logs = []
    for eta in at:
        f = population.predict(theta, np.full(2, eta)).value
        row = densities(population.problem, f, population.problem.values(theta)).value
        logs.append([row[first].sum(), row[~first].sum()])
    each = np.array(logs) + stats.norm(0, omega).logpdf(at)[:, None]
    return -2 * float(np.sum(np.log(np.trapezoid(np.exp(each), at, axis=0))))


def test_laplace_is_near_quadrature_and_its_error_shrinks_with_the_data():
    """One effect, nonlinear; two values of each subject, and twelve."""
    errors = []
    for times in ((1.0,), (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)):
        marginal = one_effect(times)
        errors.append(abs(marginal.at(marginal.coordinates.start).minus2ll - by_quadrature(marginal)))
    assert errors[0] < 0.05
    assert errors[1] < 0.2 * errors[0]


def test_values_below_a_limit_are_integrated_too():
    """M3 inside of the integral (B5, G6): three of 24 values below 0.6."""
    marginal = one_effect((0.5, 1.0, 2.0, 4.0, 8.0, 16.0), lloq=0.6)
    kinds = list(marginal.population.problem.rows.kind)
    assert kinds.count("left") == 3
    assert marginal.at(marginal.coordinates.start).minus2ll == pytest.approx(by_quadrature(marginal), abs=0.05)


def test_both_engines_integrate_the_same():
    """L9: the stiff engine, one subject at a time."""
    population = one_effect((1.0, 8.0)).population
    stiff = replace(population, problem=replace(population.problem, engine="stiff"))
    one, other = (Marginal(each, "focei").at(Coordinates(each).start).minus2ll for each in (population, stiff))
    assert stiff.sampled_by == "stiff"
    assert one == pytest.approx(other, rel=1e-6)


def test_p11_foce_freezes_the_spread_at_eta_0_and_focei_does_not():
    """The same where the error is additive; different where it grows with the prediction, by the formula of P11."""

    def at(noise: str, how: str) -> float:
        model = one_compartment(Variability("CL", "subject", 0.5), noise=noise)
        marginal = Marginal(pose_population(model, table(grid(3, TIMES, 1.5))), how)
        return marginal.at(marginal.coordinates.start).minus2ll

    assert at("additive(s)", "foce") == pytest.approx(at("additive(s)", "focei"), rel=1e-9)
    assert abs(at("proportional(s)", "foce") - at("proportional(s)", "focei")) > 0.1


NOISES = (
    "lognormal(b)", "proportional(b)", "additive(a)", "combined1(a, b)", "combined2(a, b)", "power(b, 1)",
    "student(4, a)",
)  # fmt: skip


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_density_of_a_row_and_its_slope(tmp_path, noise, frozen):
    """Every kind of row (B5 to B9, B16): the value against that of `Noise`, the slope against differences."""
    rows = [
        {"time": 1.0, "value": 70.0},
        {"time": 2.0, "value": 20.0, "upper": 20.0, "censoring": "left"},
        {"time": 3.0, "value": 60.0, "lower": 60.0, "censoring": "right"},
        {"time": 4.0, "value": 40.0, "lower": 30.0, "upper": 50.0, "censoring": "interval"},
        {"time": 5.0, "value": 55.0, "sd": 9.0, "n": 4, "stat": "mean"},
    ]
    problem = pose(toy_model(tmp_path, noise), study_of(rows))
    values = {**problem.values(problem.start), "a": 8.0, "b": 0.25}
    f = np.array([62.0, 31.0, 55.0, 41.0, 52.0])
    fixed = 1.1 * f if frozen else None
    got = densities(problem, f, values, fixed)
    if not frozen:
        law = problem.model.output("conc").noise
        expected = [
            law.log_density(70.0, f[0], values),
            law.log_cdf(20.0, f[1], values),
            law.log_sf(60.0, f[2], values),
            law.log_interval(30.0, 50.0, f[3], values),
            stats.norm(52.0, 4.5).logpdf(55.0),
        ]
        np.testing.assert_allclose(got.value, expected, rtol=1e-10)
    step = 1e-4
    up, down = (densities(problem, f + s, values, fixed).value for s in (step, -step))
    np.testing.assert_allclose(got.slope, (up - down) / (2 * step), rtol=1e-6, atol=1e-9)
    assert np.all(got.information >= 0)


def test_tails_of_a_density_do_not_underflow(tmp_path):
    """A censored row 100 standard deviations away (B11)."""
    rows = [{"time": 1.0, "value": 1e-9, "upper": 1e-9, "censoring": "left"},
            {"time": 2.0, "value": 1e15, "lower": 1e15, "censoring": "right"}]  # fmt: skip
    problem = pose(toy_model(tmp_path), study_of(rows))
    got = densities(problem, np.array([70.0, 60.0]), problem.values(problem.start))
    assert np.all(np.isfinite(got.value))
    assert np.all(got.value < -500)
    assert np.all(np.isfinite(got.slope))


def test_partial_correlations_give_the_matrix_that_they_came_from():
    """From correlations to coordinates and back, for three effects (P4)."""
    spread = (C0, SLOPE, Variability("k", "subject", 0.2))
    correlations = (("c0", "slope", 0.4), ("c0", "k", -0.3))
    model = linear(*spread, covariance=(Covariance("subject", "full", 2.0, correlations),))
    model = model.with_prior("k", "lognormal(0.1, 0.5)")
    coordinates = Coordinates(pose_population(model, table(grid(4, TIMES))))
    assert coordinates.names[-3:] == ("corr_c0__slope", "corr_c0__k", "corr_slope__k")
    np.testing.assert_allclose(coordinates.natural(coordinates.start)[-3:], [0.4, -0.3, 0.0], atol=1e-12)
    root = np.array(cholesky_rows(3, [0.3, -0.5, 0.7], np.sqrt))
    np.testing.assert_allclose(np.diag(root @ root.T), 1.0)


def test_the_prior_of_correlations_is_lkj():
    """The density of a 3 x 3 matrix R is proportional to det(R)**(lkj - 1), up to the Jacobian of the coordinates."""
    spread = (C0, SLOPE, Variability("k", "subject", 0.2))
    flat = linear(*spread, covariance=(Covariance("subject", "full", 1.0),)).with_prior("k", "lognormal(0.1, 0.5)")
    peaked = replace(flat, covariance=(Covariance("subject", "full", 3.5),))
    one, other = (Coordinates(pose_population(m, table(grid(4, TIMES)))) for m in (flat, peaked))
    rng, found = np.random.default_rng(0), []
    for _ in range(4):
        x = one.start.copy()
        x[-3:] = rng.normal(size=3)
        root = one.spreads(x).roots[0]
        det = float(np.linalg.det(root @ root.T))
        found.append(other.log_prior(x) - one.log_prior(x) - 2.5 * np.log(det))
    np.testing.assert_allclose(found, found[0], rtol=1e-9)
