"""One verb: `fit` a model to a study; `to_pymc` for those who want the model itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mscpkpd.blq import with_blq
from mscpkpd.covariates import said_of
from mscpkpd.data import Study
from mscpkpd.data.dose_properties import SPREADS, UNUSED
from mscpkpd.engine.steady import collecting, superposes
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.fitting.draws import INTERVAL, Check
from mscpkpd.fitting.nuts import TARGET_ACCEPT, Progress
from mscpkpd.fitting.replicates import observe, row_frame
from mscpkpd.fitting.result import Fit, Outcome, Posterior, load_fit, versions
from mscpkpd.fitting.sampled import Sampling, sampled_fit, table_of
from mscpkpd.model import Model
from mscpkpd.population import Population, pose_population
from mscpkpd.problem import (
    Problem,
    pose,
    refuse_broken_series,
    refuse_impossible_rows,
    refuse_unclear_columns,
)

if TYPE_CHECKING:
    import pymc

    from mscpkpd.fitting.least_squares import Estimate

__all__ = ["fit", "load_fit", "to_pymc"]

METHODS = ("least_squares", "map", "foce", "focei", "laplace", "nuts")
POPULATION = ("foce", "focei", "laplace")  # methods that are about random effects
PREDICTIVE_DRAWS = 400
ASYMPTOTIC_DRAWS = 4000
LARGEST_ERROR = 1e3  # on the transformed scale: beyond it an estimate says nothing


def fit(
    model: Model,
    study: Study,
    method: str = "least_squares",
    *,
    free: Collection[str] | None = None,
    fix: Mapping[str, float] | None = None,
    start: Fit | None = None,
    seed: int = 0,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    target_accept: float = TARGET_ACCEPT,
    progress: Progress | None = None,
    random: Collection[str] | bool | None = None,
    blq: str | Mapping[str, str] | None = None,
) -> Fit:
    """Fit a model to a study.

    Parameters
    ----------
    model : Model
        With values for every parameter.
    study : Study
        Observations and doses.
    method : {"least_squares", "map", "foce", "focei", "laplace", "nuts"}
        A quick estimate by lmfit that pools all subjects; the mode of the posterior; population maximum likelihood
        (P11: "focei" is the usual one, "foce" without interaction, "laplace" with the true curvature); or the full
        posterior by PyMC and nutpie.
    free : collection of str, optional
        Parameters to learn. By default "nuts" learns all with a prior that the observed outputs depend on, and
        "least_squares" those of them that the design identifies.
    fix : mapping of str to float, optional
        Parameters held at these values, in the units of the model.
    start : Fit, optional
        An earlier fit; its estimates are where the search begins.
    seed : int
        Same seed, same result, on any number of cores.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain; number of chains. Only for "nuts".
    cores : int, optional
        Worker processes; all processors by default.
    target_accept : float
        Acceptance that the sampler's step size aims at, a probability.
    progress : callable, optional
        Receives draws done and draws wanted, both over all chains.
    random : collection of str, bool or None
        Which of the random effects that the model declares are in the fit: "CL" for all its levels, "CL:lot" for one.
        By default all that the data can tell, and the notes name the others; False for none.
    blq : str or mapping of str to str, optional
        What values below the limit of quantification count for: "M1" to "M7" (B3), for all outputs or by output. By
        default what the model file declares, and "M3" where it declares nothing: the probability below the limit.

    Returns
    -------
    Fit
        Ask `Fit.converged` before using it: a fit that has not converged is not a result.

    Raises
    ------
    DataError
        If the study does not fit the model (unknown output, wrong unit, ...).
    UnknownName
        For an unknown method, parameter or random effect.
    UsageError
        If nothing is left to learn, the options contradict each other, or nothing varies where the method needs it.
    FitError
        If the model cannot be solved where the search starts.

    Notes
    -----
    Parameters vary over the levels that ``[variability]`` of the model file declares (P2, P3, P8), but for
    "least_squares", where variation between subjects is part of the residual. No row informs a prior and
    is fitted: where a study of `prior_source` is in the data, the parameter takes its wide prior, and the notes of
    the fit say so.
    """
    if method not in METHODS:
        raise UnknownName.among("method", method, METHODS)
    if min(draws, tune, chains) < 1 or not 0 < target_accept < 1:
        raise UsageError(
            f"draws={draws}, tune={tune}, chains={chains}, target_accept={target_accept}",
            expected="counts of at least 1 and an acceptance between 0 and 1",
        )
    model = with_blq(model, blq)
    if method == "least_squares":
        if random:
            hint = "method='focei', 'map' or 'nuts', or one subject at a time"
            raise UsageError(f"random={random!r} with least squares, which pools all subjects", hint=hint)
        population = None
        problem = _started(pose(model, study, free, fix), start)
    else:
        population = _begun(pose_population(model, study, free, fix, random=random), start)
        problem = population.problem
    refuse_unclear_columns(problem, free)
    refuse_impossible_rows(problem)
    refuse_broken_series(problem)
    _refuse_method(problem, method)
    began = time.time()
    sampling = Sampling(draws, tune, chains, cores, target_accept)
    if population is None:
        outcome = _least_squares(problem, choose=free is None)
    elif method != "nuts":
        outcome = _approximate(population, method, seed)
    else:
        outcome = sampled_fit(population, seed, sampling, progress)
    settings = {
        "method": method,
        "seed": seed,
        "seconds": round(time.time() - began, 1),
        "free": list(outcome.names),
        "fixed": dict(fix or {}),
        "random": [f"{e.parameter}:{e.level}" for e in population.effects] if population else [],
        "uninformed": list(problem.uninformed),
        "covariates": {name: problem.rows.rules.get(name, "constant") for name in problem.rows.covariates},
        "blq": {name: problem.model.output(name).blq for name in problem.rows.outputs},
        "tolerance": problem.tolerance,
        "versions": versions(),
        **outcome.settings,
    }
    notes = (*_notes(problem), *outcome.notes)
    predictions = outcome.predictions
    if predictions is None:
        predictions = _predictions(problem, outcome.posterior, seed)
    return Fit(
        problem.model, study, method, outcome.table, outcome.posterior, outcome.draws, outcome.checks, notes,
        predictions, settings, outcome.individuals,
    )  # fmt: skip


def to_pymc(
    model: Model,
    study: Study,
    *,
    free: Collection[str] | None = None,
    fix: Mapping[str, float] | None = None,
    random: Collection[str] | bool | None = None,
    blq: str | Mapping[str, str] | None = None,
) -> pymc.Model:
    """Translate a model and a study into an ordinary PyMC model.

    Parameters
    ----------
    model : Model
    study : Study
    free : collection of str, optional
        Parameters to learn, by default all with a prior that the observed outputs depend on.
    fix : mapping of str to float, optional
        Parameters held at these values, in the units of the model.
    random : collection of str, bool or None
        Random effects, as in `fit`: spreads are ``omega_sd_CL``, effects ``eta_CL`` over the groups of their level,
        sampled in units of their spread.
    blq : str or mapping of str to str, optional
        As in `fit`.

    Returns
    -------
    pymc.Model
        One random variable per free parameter under its own name and unit; use it as a context to change priors or
        add terms, and with any sampler.

    Raises
    ------
    DataError
        If the study does not fit the model.
    UnknownName, UsageError
        As in `fit`.

    Notes
    -----
    The prediction is one PyTensor operation with the engine's exact Jacobian. Parameters that no observed output
    depends on are not in the model: their posterior is their prior.
    """
    from mscpkpd.fitting.bayes import build_pymc
    from mscpkpd.fitting.hierarchy import build_hierarchy

    population = pose_population(with_blq(model, blq), study, free, fix, random=random)
    refuse_unclear_columns(population.problem, free)
    refuse_broken_series(population.problem)
    if population.sampled_by == "exact":  # then JAX is at hand, and samplers that want JAX find the engine
        from mscpkpd.fitting.traced import teach_jax

        teach_jax()
    if population.levels:
        return build_hierarchy(population)
    return build_pymc(population.problem)


def _refuse_method(problem: Problem, method: str) -> None:
    """Refuse a method that would not do what the noise and the limits of the model say."""
    for k, name in enumerate(problem.rows.outputs):
        output, mine = problem.model.output(name), problem.rows.output == k
        if output.noise is None:
            continue
        if output.noise.kind == "ar1" and method in ("least_squares", "foce", "focei"):
            hint = "method='laplace', 'map' or 'nuts'"
            raise UsageError(f"residuals of '{name}' correlate (R9), which {method} leaves out", hint=hint)
        if method != "least_squares":
            continue
        if output.noise.is_count and np.any(np.isin(problem.rows.kind[mine], ("left", "right", "interval"))):
            hint = "method='map' or 'nuts'"
            raise UsageError(f"'{name}' has counts below or above a limit, which are no residuals (B13)", hint=hint)
        if np.any(np.isfinite(problem.rows.floor[mine])):
            hint = f"method='map' or 'nuts', or blq={{'{name}': 'M3'}}"
            raise UsageError(f"{output.blq} of '{name}' is a probability, which has no residual (B4, B6)", hint=hint)


def _started(problem: Problem, start: Fit | None) -> Problem:
    if start is None:
        return problem
    known = start.estimates
    moved = tuple(replace(p, start=_or(known.get(p.name), p.start)) for p in problem.free)
    return replace(problem, free=moved)


def _begun(population: Population, start: Fit | None) -> Population:
    """The same population, starting from the estimates of an earlier fit, spreads included."""
    if start is None:
        return population
    known = start.estimates
    levels = tuple(
        replace(level, effects=tuple(replace(e, sd=_or(known.get(e.omega_sd), e.sd)) for e in level.effects))
        for level in population.levels
    )
    return replace(population, problem=_started(population.problem, start), levels=levels)


def _approximate(population: Population, method: str, seed: int) -> Outcome:
    from mscpkpd.fitting.approximate import approximate_fit

    if method in POPULATION and not population.levels:
        reasons = "; ".join(population.notes) or f"model '{population.problem.model.name}' declares no random effects"
        hint = "a row in [variability] of the model file, or method='map' or 'least_squares', which need none"
        raise UsageError(f"nothing varies between subjects: {reasons}", hint=hint)
    return approximate_fit(population, method, seed)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _notes(problem: Problem) -> tuple[str, ...]:
    notes = [
        f"{p.name}: the wide prior {p.prior} replaces the usual one, which was read from {', '.join(p.widened_for)}"
        for p in problem.free
        if p.widened_for
    ]
    notes += _notes_of_doses(problem)
    notes += _notes_of_sampling(problem)
    notes += _notes_of_limits(problem)
    if problem.fixed:
        notes.append(f"held at the model's value: {', '.join(problem.fixed)}")
    if problem.rows.covariates:
        notes.append(f"of each subject, from the study: {', '.join(problem.rows.covariates)} (K1)")
    notes += said_of(problem.rows.rules)
    return tuple(notes)


def _notes_of_doses(problem: Problem) -> Iterator[str]:
    """What is known of doses and not used, and steady states that mean less than they seem to."""
    kept = {name for subject in problem.study.subjects for own in subject.properties for name, _ in own}
    if unused := [name for name in (*SPREADS, *UNUSED) if name in kept]:
        yield f"properties of doses that are not used: {', '.join(unused)} (T3)"
    steady = {dose.steady for group in problem.groups for dose in group.regimen}
    if "added" in steady and not superposes(problem.system):
        yield f"SS 2 adds responses, which do not add up in '{problem.model.name}' (E28)"
    loose = collecting(problem.system) if steady - {""} else ()
    if loose:
        named = ", ".join(f"'{name}'" for name in loose)
        yield f"no steady state of what only collects, {named}: it begins again there (E31)"


def _notes_of_limits(problem: Problem) -> Iterator[str]:
    """What became of rows below the limit of quantification, where it is not the usual M3."""
    rows = problem.rows
    for k, name in enumerate(rows.outputs):
        method = problem.model.output(name).blq
        below = sum(record.kind == "left" and record.output == name for record in problem.study.records)
        dropped = int(np.sum((rows.output == k) & (rows.kind == "dropped")))
        if method != "M3":
            yield f"{name}: {below} rows below the limit of quantification by {method}, {dropped} of them left out (B3)"


def _notes_of_sampling(problem: Problem) -> Iterator[str]:
    """One value for each animal: the noise of the output holds the spread between animals, too (T9)."""
    counts: dict[str, Counter[str]] = {}
    for record in problem.study.records:
        if record.kind not in ("mean", "logmean"):
            counts.setdefault(record.output, Counter())[record.subject] += 1
    single = [f"'{name}'" for name, own in counts.items() if len(own) > 1 and max(own.values()) == 1]
    if single:
        yield f"one value for each subject: the noise of {', '.join(single)} contains the spread between subjects (T9)"


def _least_squares(problem: Problem, *, choose: bool) -> Outcome:
    from mscpkpd.fitting.least_squares import estimate, identified, quantile

    names, reasons = identified(problem) if choose else (problem.names, {})
    if not names:
        raise UsageError(
            "the design identifies no parameter", hint="--free a,b, or fit with method='nuts', which uses the priors"
        )
    found = estimate(problem, names)
    if choose:  # judged again where the data are, with the noise that they show
        problem = _moved(problem, found)
        again, reasons = identified(problem)
        found = found if set(again) == set(names) else estimate(problem, again or names)
    reach = quantile(found.degrees, INTERVAL)
    priors = {p.name: p.prior for p in problem.free}
    errors = np.sqrt(np.diag(found.covariance))
    rows = []
    for name, z, error in zip(found.names, found.free_values, errors, strict=True):
        prior = priors[name]
        lower, upper = sorted(float(prior.from_free(z + k * reach * error)) for k in (-1, 1))
        sd = float(abs(prior.dx_dz(z)) * error)
        rows.append(
            {"parameter": name, "estimate": float(prior.from_free(z)), "lower": lower, "upper": upper, "sd": sd,
             "unit": problem.model.parameter(name).unit, "note": ""}
        )  # fmt: skip
    for name, value in found.noise.items():
        unit = problem.model.parameter(name).unit
        rows.append({"parameter": name, "estimate": value, "unit": unit, "note": "from the residuals"})
    table = table_of(rows, f"optimum with {INTERVAL:.0%} asymptotic interval, transformed scale")
    notes = tuple(f"{name} held at {problem.model.parameter(name).value:.4g}: {why}" for name, why in reasons.items())
    if notes:
        notes = (
            "every estimate is conditional on the values held; method='nuts' lets them vary within their priors",
            *notes,
        )
    posterior = _asymptotic(problem, found.names, found.free_values, found.covariance, found.noise)
    settings = {"degrees_of_freedom": found.degrees, "message": found.message}
    return Outcome(found.names, table, posterior, None, _estimate_checks(found, errors), notes, settings)


def _moved(problem: Problem, found: Estimate) -> Problem:
    """The same problem, starting from estimates."""
    priors = {p.name: p.prior for p in problem.free}
    values = {n: float(priors[n].from_free(z)) for n, z in zip(found.names, found.free_values, strict=True)}
    values.update(found.noise)
    return replace(problem, free=tuple(replace(p, start=values.get(p.name, p.start)) for p in problem.free))


def _estimate_checks(found: Any, errors: np.ndarray) -> tuple[Check, ...]:
    finite = bool(np.all(np.isfinite(errors)) and np.all(errors < LARGEST_ERROR))
    stuck = [n for n in found.names if _at_bound(found.result.params[f"z_{n}"])]
    undetermined = "The data do not determine all parameters; free fewer."
    at_edge = f"At the edge of its prior: {', '.join(stuck)}; fix it or use method='nuts'."
    return (
        Check("optimum", found.success, f"The optimiser ended with: {found.message}"),
        Check("errors", finite, "Standard errors exist." if finite else undetermined),
        Check("bounds", not stuck, at_edge if stuck else "No estimate is at a bound."),
    )


def _at_bound(parameter: Any) -> bool:
    room = 1e-4 * (parameter.max - parameter.min)
    return bool(parameter.value - parameter.min < room or parameter.max - parameter.value < room)


def _asymptotic(
    problem: Problem, names: tuple[str, ...], z: np.ndarray, covariance: np.ndarray, noise: Mapping[str, float]
) -> Posterior:
    rng = np.random.default_rng(0)  # fixed: these draws are a way to write down a normal distribution
    normal = rng.multivariate_normal(z, covariance, size=ASYMPTOTIC_DRAWS, method="svd")
    priors = {p.name: p.prior for p in problem.free}
    values = {name: np.asarray(priors[name].from_free(normal[:, k]))[None] for k, name in enumerate(names)}
    return Posterior({**values, **{name: np.full((1, ASYMPTOTIC_DRAWS), x) for name, x in noise.items()}})


def _predictions(problem: Problem, posterior: Posterior, seed: int) -> pd.DataFrame:
    """Every row with the median of its prediction and the 95 % band of prediction and of new observations."""
    flat = posterior.flat()
    rng = np.random.default_rng(seed)
    n = min(PREDICTIVE_DRAWS, len(next(iter(flat.values()))))
    picked = rng.choice(len(next(iter(flat.values()))), size=n, replace=False)
    start = dict(zip(problem.names, problem.start, strict=True))
    means, seen = [], []
    for k in picked:
        theta = np.array([flat[name][k] if name in flat else start[name] for name in problem.names])
        f = problem.predict(theta).value
        means.append(f)
        seen.append(observe(problem, f, problem.values(theta), rng))
    mean = np.array(means)
    return row_frame(problem.rows, np.median(mean, axis=0), mean, np.array(seen))
