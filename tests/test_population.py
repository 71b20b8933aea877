"""Predictions with parameters of each subject, and their PyMC model: derivatives, engines, densities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytensor
import pytest
from scipy import stats

from mscpkpd.data import study_from_frame
from mscpkpd.fitting.bayes import THETA
from mscpkpd.fitting.chain import compile_problem
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.hierarchy import build_hierarchy
from mscpkpd.fitting.parametrization import as_sampled, draw_names, parametrized
from mscpkpd.model import Covariance, Variability
from mscpkpd.parameters import Prior
from mscpkpd.population import Population, pose_population
from population_models import grid, one_compartment, table

ENGINES = 1e-6  # L9
FAST = "FAST_COMPILE"  # the graph as it is, in Python: compiling costs more than evaluating
TIMES = (1.0, 4.0, 9.0)
SPREAD = (
    Variability("CL", "subject", 0.3), Variability("V", "subject", 0.2, shape="boxcox(0.4)"),
    Variability("CL", "occasion", 0.2), Variability("V", "lot", 0.1),
)  # fmt: skip


def mixed(*, engine: str = "auto") -> Population:
    """Subjects with occasions, crossed with lots, one of them dosed twice."""
    rows = grid(4, TIMES, 1.2)
    for k, row in enumerate(rows):
        row |= {"occasion": k % 2, "lot": f"L{k % 5 % 2}"}
    covariance = (Covariance("subject", "full", 2.0, (("CL", "V", 0.5),)),)
    population = pose_population(one_compartment(*SPREAD, covariance=covariance), table(rows))
    return replace(population, problem=replace(population.problem, engine=engine))


@pytest.fixture(scope="module")
def population() -> Population:
    return mixed()


def point(population: Population) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    theta = population.problem.start * (1 + 0.1 * rng.random(len(population.problem.names)))
    return theta, 0.3 * rng.standard_normal(population.offsets[-1])


def test_derivatives_by_effects_and_typical_values(population):
    """Against central differences: every random effect, every free parameter."""
    theta, eta = point(population)
    found = population.predict(theta, eta, by_eta=True, by_theta=True)
    step = 1e-5
    for k in range(len(eta)):
        move = step * (np.arange(len(eta)) == k)
        difference = population.predict(theta, eta + move).value - population.predict(theta, eta - move).value
        mine = population.places[:, population.case] == k
        np.testing.assert_allclose(np.sum(found.by_eta.T * mine, axis=0), difference / (2 * step), rtol=1e-6, atol=1e-8)
    for k in range(len(theta)):
        move = step * theta[k] * (np.arange(len(theta)) == k)
        difference = population.predict(theta + move, eta).value - population.predict(theta - move, eta).value
        np.testing.assert_allclose(found.by_theta[:, k], difference / (2 * step * theta[k]), rtol=1e-5, atol=1e-7)


def test_both_engines_predict_the_same(population):
    """L9, with individual parameters, and derivatives by both."""
    stiff = mixed(engine="stiff")
    assert (population.sampled_by, stiff.sampled_by) == ("exact", "stiff")
    one, other = (each.predict(*point(each), by_eta=True, by_theta=True) for each in (population, stiff))
    np.testing.assert_allclose(one.value, other.value, rtol=ENGINES)
    for a, b in ((one.by_eta, other.by_eta), (one.by_theta, other.by_theta)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.max(np.abs(b)))


def test_a_subject_moves_nobody_else(population):
    """L10: what one subject's effects change is its own rows alone."""
    theta, eta = point(population)
    moved = eta.copy()
    moved[0] += 0.5
    before, after = population.predict(theta, eta).value, population.predict(theta, moved).value
    own = np.array([name == "S1" for name in population.problem.rows.subject])
    assert np.all(before[own] != after[own])
    np.testing.assert_array_equal(before[~own], after[~own])


def any_frame(population: Population) -> Frame:
    """Coordinates about the start, in which everything depends on everything before it."""
    start = Coordinates(population).start
    n, rng = len(start) + population.offsets[-1], np.random.default_rng(7)
    axes = 0.1 * np.tril(rng.standard_normal((n, n))) + 0.3 * np.eye(n)
    return Frame(np.append(start, np.zeros(n - len(start))), axes)


def reference(population: Population, x: np.ndarray, eta: np.ndarray) -> float:
    """Log density of data, random effects and priors, from their formulas."""
    coordinates, problem = Coordinates(population), population.problem
    theta, spreads = coordinates.theta(x), coordinates.spreads(x)
    f = population.predict(theta, eta).value
    total = float(np.sum(densities(problem, f, problem.values(theta)).value)) + coordinates.log_prior(x)
    first = 0
    for k, level in enumerate(population.levels):
        sd = spreads.sd[first : first + len(level.effects)]
        first += len(level.effects)
        omega = np.outer(sd, sd) * (spreads.roots[k] @ spreads.roots[k].T)
        block = population.eta_of(k, eta)
        total += float(np.sum(stats.multivariate_normal(np.zeros(len(sd)), omega).logpdf(block.reshape(-1, len(sd)))))
    return total


EVERY = ("eta_CL", "eta_V", "kappa_CL", "eta_V_lot")


@pytest.mark.parametrize("centred", [(), EVERY, ("eta_CL",), ("eta_V", "kappa_CL")])
def test_the_sampled_density_is_that_of_the_formulas(population, centred):
    """In a frame, centred, not, or one of two that correlate: up to a constant, with the Jacobian of the form."""
    chosen = replace(population, centred=centred)
    frame = any_frame(chosen)
    model = build_hierarchy(chosen, frame)
    log_density, gradient = model.compile_logp(mode=FAST), model.compile_dlogp(mode=FAST)
    names, n = draw_names(chosen), len(Coordinates(chosen).names)
    (expression,) = model.replace_rvs_by_values([model[THETA]])
    drawn = pytensor.function(model.value_vars, expression, mode=FAST)
    constants = []
    for seed in range(3):
        at = 0.3 * np.random.default_rng(seed).standard_normal(len(frame.center))
        z, values = frame.place(at), drawn(at)
        eta = np.asarray(values)[n:]
        np.testing.assert_allclose(np.asarray(values)[:n], Coordinates(chosen).natural(z[:n]), rtol=1e-9)
        jacobian = 0.0
        spreads, first = Coordinates(chosen).spreads(z[:n]), 0
        for k, level in enumerate(chosen.levels):
            sd = spreads.sd[first : first + len(level.effects)]
            first += len(level.effects)
            each = np.log(sd) + np.log(np.diag(spreads.roots[k]))
            units = [effect.name not in centred for effect in level.effects]
            jacobian += len(level.labels) * float(np.sum(each[units]))
        constants.append(float(log_density({"frame": at})) - reference(chosen, z[:n], eta) - jacobian)
    assert len(names) == len(values)
    np.testing.assert_allclose(constants, constants[0], atol=1e-6)
    slope = gradient({"frame": at})
    for k in range(0, len(at), 4):
        move = 1e-4 * (np.arange(len(at)) == k)
        difference = (log_density({"frame": at + move}) - log_density({"frame": at - move})) / 2e-4
        assert slope[k] == pytest.approx(float(difference), rel=1e-5, abs=1e-5)


def test_the_user_s_model_has_the_same_density(population):
    """`to_pymc` without a frame: log density as the formulas say, at one point of its own coordinates."""
    model = build_hierarchy(population)
    start = model.initial_point()
    log_density = model.compile_logp(mode=FAST, jacobian=False)
    rng = np.random.default_rng(2)
    at = {name: value + 0.1 * rng.standard_normal(np.shape(value)) for name, value in start.items()}
    names = (
        *population.problem.names, "omega_sd_CL", "omega_sd_V", "omega_sd_CL_occasion", "omega_sd_V_lot",
        "partial_subject", "eta_CL", "eta_V", "kappa_CL", "eta_V_lot",
    )  # fmt: skip
    outputs = [model[name] for name in names]
    replaced = model.replace_rvs_by_values(outputs)
    values = pytensor.function(model.value_vars, replaced, mode=FAST, on_unused_input="ignore")(
        *(at[v.name] for v in model.value_vars)
    )
    n = len(population.problem.names)
    thetas, sds, (share,), etas = values[:n], values[n : n + 4], values[n + 4], values[n + 5 :]
    free = population.problem.free
    total = sum(float(stats_of(p.prior).logpdf(x)) for p, x in zip(free, thetas, strict=True))
    total += sum(float(stats.halfnorm(scale=1.0).logpdf(x)) for x in sds)
    total += float(stats.beta(2, 2).logpdf(share))
    r, eta = 2 * share - 1, np.zeros(population.offsets[-1])
    for k, block in enumerate((np.stack(etas[:2], axis=1), etas[2][:, None], etas[3][:, None])):
        eta[population.offsets[k] : population.offsets[k + 1]] = block.reshape(-1)
    u = np.concatenate([np.asarray(at[v.name]).reshape(-1) for v in model.value_vars if v.name.startswith("unit_")])
    total += float(np.sum(stats.norm.logpdf(u)))
    first = np.stack(etas[:2], axis=1) / np.array(sds[:2])
    root = np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
    np.testing.assert_allclose(np.linalg.solve(root, first.T).T.reshape(-1), u[: first.size], rtol=1e-9)
    f = population.predict(np.array(thetas), eta).value
    total += float(np.sum(densities(population.problem, f, population.problem.values(np.array(thetas))).value))
    assert float(log_density(at)) == pytest.approx(total, rel=1e-8)


def stats_of(prior):
    """The SciPy distribution of a prior on its natural scale."""
    if prior.family == "lognormal":
        median, cv = prior.args
        return stats.lognorm(np.sqrt(np.log1p(cv**2)), scale=median)
    return stats.norm(*prior.args)


def test_the_compiled_density_of_the_sampler(population):
    """By JAX through all subjects at once, against PyMC's own."""
    chosen, frame = replace(population, centred=("eta_V_lot",)), any_frame(population)
    passed: list[int] = []
    density = compile_problem(chosen, frame, lambda: passed.append(1))._make_logp_func()
    model = build_hierarchy(chosen, frame)
    log_density, gradient = model.compile_logp(mode=FAST), model.compile_dlogp(mode=FAST)
    at = 0.3 * np.random.default_rng(0).standard_normal(len(frame.center))
    value, slope = density(at)
    assert value == pytest.approx(float(log_density({"frame": at})), abs=1e-6)
    expected = gradient({"frame": at})
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-5 * np.max(np.abs(expected)))


@pytest.mark.parametrize("centred", [(), EVERY, ("eta_CL",), ("eta_V", "kappa_CL")])
def test_what_a_sampler_has_is_what_its_effects_are(population, centred):
    """`as_sampled` and the graph of the sampler are inverse to each other, whatever is centred."""
    chosen = replace(population, centred=centred)
    frame = any_frame(chosen)
    model = build_hierarchy(chosen, frame)
    (expression,) = model.replace_rvs_by_values([model[THETA]])
    at = 0.3 * np.random.default_rng(4).standard_normal(len(frame.center))
    drawn = pytensor.function(model.value_vars, expression, mode=FAST)(at)
    n, z = len(Coordinates(chosen).names), frame.place(at)
    np.testing.assert_allclose(as_sampled(chosen, drawn[n:], Coordinates(chosen).spreads(z[:n])), z[n:], rtol=1e-8)


def test_the_form_is_chosen_by_what_the_data_say():
    """Many values of each subject: centred; two values with a wide error: not."""
    rng = np.random.default_rng(0)

    def of(times, noise):
        rows = [
            {"subject": f"S{i}", "time": t, "value": 2 * np.exp(noise * rng.standard_normal() - 0.1 * c * t)}
            for i, c in enumerate(np.exp(0.5 * rng.standard_normal(8)))
            for t in times
        ]
        model = one_compartment(Variability("CL", "subject", 0.5), noise="lognormal(s)")
        model = model.fix(V=50.0, theta=0.75, d=0.0, s=noise)
        return parametrized(pose_population(model, table(rows)))[0].centred

    assert of(np.linspace(1, 30, 12), 0.05) == ("eta_CL",)
    assert of((1.0, 5.0), 0.5) == ()


def test_p3_occasions_after_a_washout_are_exact_and_others_say_so():
    """Two doses: each occasion has its kappa, and what the first leaves behind is named where it counts."""

    def notes(second: float) -> str:
        times = [1.0, 4.0, second + 1.0, second + 4.0]
        rows = [
            {"subject": f"S{i}", "time": t, "value": 1.0, "occasion": "12"[t > second]}
            for i in range(3) for t in times
        ]  # fmt: skip
        doses = pd.DataFrame(
            [{"subject": f"S{i}", "time": t, "dose": "100 mg", "route": "iv"} for i in range(3) for t in (0.0, second)]
        )
        frame = pd.DataFrame(rows).assign(output="conc", unit="mg/L")
        study = study_from_frame(frame, name="toy", time_unit="h", doses=doses)
        model = one_compartment(Variability("CL", "occasion", 0.2, prior=Prior("halfnormal", (1.0,))))
        return "; ".join(pose_population(model, study).notes)

    assert notes(200.0) == ""
    share = np.exp(-1.3) / (np.exp(-1.3) + np.exp(-0.1))
    assert f"what is left of earlier occasions, up to {share:.0%} of the prediction, is carried" in notes(12.0)
