"""One verb: `fit` a model to a study; `to_pymc` for those who want the model itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mscpkpd.blq import with_blq
from mscpkpd.covariates import said_of
from mscpkpd.data import Study
from mscpkpd.data.dose_properties import SPREADS, UNUSED
from mscpkpd.engine.steady import collecting, superposes
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.fitting.conflicts import conflicts_of_draws
from mscpkpd.fitting.draws import Check
from mscpkpd.fitting.nuts import TARGET_ACCEPT, Progress
from mscpkpd.fitting.replicates import observe, row_frame, shown
from mscpkpd.fitting.result import SAMPLED, Fit, Outcome, Posterior, load_fit, versions
from mscpkpd.fitting.sampled import Sampling, drawn_by_nuts, posterior_fit
from mscpkpd.fitting.trust import trust_checks
from mscpkpd.model import Model
from mscpkpd.model.observed import biased_by
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

__all__ = ["fit", "load_fit", "to_pymc"]

METHODS = ("least_squares", "map", "foce", "focei", "laplace", "pathfinder", "nuts", "smc")
POPULATION = ("foce", "focei", "laplace")  # methods that are about random effects
PREDICTIVE_DRAWS = 400


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
    folder: str | Path | None = None,
    starts: int = 1,
    bootstrap: int = 0,
) -> Fit:
    """Fit a model to a study.

    Parameters
    ----------
    model : Model
        With values for every parameter.
    study : Study
        Observations and doses.
    method : {"least_squares", "map", "foce", "focei", "laplace", "pathfinder", "nuts", "smc"}
        A quick estimate by lmfit that pools all subjects; the mode of the posterior; population maximum likelihood
        (P11: "focei" is the usual one, "foce" without interaction, "laplace" with the true curvature); a normal
        approximation of the posterior, weighed and judged by Pareto k ("pathfinder"); the full posterior by PyMC and
        nutpie ("nuts"); or the posterior by tempered particles, for several modes and for the evidence of the model
        ("smc": ``Fit.statistics["log_evidence"]``).
    free : collection of str, optional
        Parameters to learn. By default "nuts" learns all with a prior that the observed outputs depend on, and
        "least_squares" those of them that the design identifies.
    fix : mapping of str to float, optional
        Parameters held at these values, in the units of the model.
    start : Fit, optional
        An earlier fit by any method; its estimates are where the search begins. The particles of "smc" begin
        at draws of the priors all the same.
    seed : int
        Same seed, same result, on any number of cores.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain; number of chains. For "smc", particles and independent runs; for
        "pathfinder", draws, and half the number of paths.
    cores : int, optional
        Worker processes; all processors by default.
    target_accept : float
        Acceptance that the sampler's step size aims at, a probability.
    progress : callable, optional
        Receives what is done, what is wanted, both over all chains, and words: divergences, step size.
    random : collection of str, bool or None
        Which of the random effects that the model declares are in the fit: "CL" for all its levels, "CL:lot" for one.
        By default all that the data can tell, and the notes name the others; False for none.
    blq : str or mapping of str to str, optional
        What values below the limit of quantification count for: "M1" to "M7" (B3), for all outputs or by output. By
        default what the model file declares, and "M3" where it declares nothing: the probability below the limit.
    folder : str or Path, optional
        Where "nuts" keeps draws as they come (Zarr). The same call goes on from there after an interruption or a kill.
    starts : int
        Searches of "least_squares", all but the first from draws of the priors; the notes say where they ended.
    bootstrap : int
        Samples of subjects (of rows where there are fewer than 5) behind the intervals of "least_squares"; 0 for
        intervals from the curvature.

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
    InputError
        If the folder holds draws of another model, other data, options or seed.

    Notes
    -----
    Parameters vary over the levels that ``[variability]`` of the model file declares (P2, P3, P8), but for
    "least_squares", where variation between subjects is part of the residual. No row informs a prior and
    is fitted: where a study of `prior_source` is in the data, the parameter takes its wide prior, and the notes of
    the fit say so.
    """
    sampling = Sampling(draws, tune, chains, cores, target_accept, None if folder is None else Path(folder))
    _refuse_options(method, sampling, starts, bootstrap, random=random)
    model = with_blq(model, blq)
    if method == "least_squares":
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
    if population is None:
        from mscpkpd.fitting.estimated import Searching, estimated_fit

        outcome = estimated_fit(problem, Searching(starts, bootstrap, cores), seed, progress, choose=free is None)
    elif method in SAMPLED:
        outcome = _posterior(population, method, seed, sampling, progress)
    else:
        outcome = _approximate(population, method, seed)
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
    notes = (*_notes(problem), *outcome.notes, *_conflicts(problem, outcome, method))
    predictions = outcome.predictions
    if predictions is None:
        predictions = _predictions(problem, outcome.posterior, seed)
    levels = [level.name for level in population.levels] if population else []
    return Fit(
        problem.model, study, method, outcome.table, outcome.posterior, outcome.draws,
        _judged(problem, outcome, predictions, method, levels), notes, predictions, settings, outcome.individuals,
    )  # fmt: skip


def to_pymc(
    model: Model,
    study: Study,
    *,
    free: Collection[str] | None = None,
    fix: Mapping[str, float] | None = None,
    random: Collection[str] | bool | None = None,
    blq: str | Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
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
    given : mapping of str to PyTensor expression, optional
        Parameters that you define yourself, in the units of the model, with your own prior or as a formula: one
        value, or one for each subject in the order of ``study.subjects``, as a covariate gives. Their priors in the
        model file do not act.

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
    Called within a ``with pymc.Model():`` block, it adds to that model; there `given` may use your variables.
    The prediction is one PyTensor operation with the engine's exact Jacobian. Parameters that no observed output
    depends on are not in the model: their posterior is their prior.
    """
    from mscpkpd.fitting.bayes import build_pymc
    from mscpkpd.fitting.hierarchy import build_hierarchy

    population = pose_population(
        with_blq(model, blq), study, _with_given(model, free, given), fix, random=random, by_subject=bool(given)
    )
    _refuse_useless(given or {}, population)
    refuse_unclear_columns(population.problem, free)
    refuse_broken_series(population.problem)
    if population.sampled_by == "exact":  # then JAX is at hand, and samplers that want JAX find the engine
        from mscpkpd.fitting.traced import teach_jax

        teach_jax()
    if population.levels or given:
        return build_hierarchy(population, given=given)
    return build_pymc(population.problem)


def _with_given(model: Model, free: Collection[str] | None, given: Mapping[str, Any] | None) -> Collection[str] | None:
    known = [parameter.name for parameter in model.parameters]
    for name in given or {}:
        if name not in known:
            raise UnknownName.among("parameter", name, known)
    return free if free is None else tuple(dict.fromkeys((*free, *(given or {}))))


def _refuse_useless(given: Mapping[str, Any], population: Population) -> None:
    """A given parameter must be one that the data depend on, and have a shape that means something."""
    problem = population.problem
    for name, value in given.items():
        if name not in problem.names:
            raise UsageError(
                f"'{name}' is given, but is not among the parameters to learn",
                expected=f"one of {', '.join(problem.names)}",
                hint="a prior in the model file, and an observed output that depends on it",
            )
        shape: tuple[int | None, ...] = getattr(getattr(value, "type", value), "shape", ())
        subjects = len(problem.study.subjects)
        if len(shape) > 1 or (len(shape) == 1 and shape[0] not in (None, subjects)):
            raise UsageError(
                f"'{name}' is given with shape {tuple(shape)}",
                expected=f"one value, or one for each of the {subjects} subjects of the study, in its order",
            )
        if len(shape) == 1 and name not in population.positions:
            raise UsageError(f"'{name}' of the noise is given for each subject", expected="one value for all")


def _refuse_options(
    method: str, how: Sampling, starts: int, bootstrap: int, *, random: Collection[str] | bool | None
) -> None:
    if method not in METHODS:
        raise UnknownName.among("method", method, METHODS)
    if min(how.draws, how.tune, how.chains, starts) < 1 or not 0 < how.target_accept < 1 or bootstrap < 0:
        raise UsageError(
            f"draws={how.draws}, tune={how.tune}, chains={how.chains}, target_accept={how.target_accept}, "
            f"starts={starts}, bootstrap={bootstrap}",
            expected="counts of at least 1 (bootstrap 0) and an acceptance between 0 and 1",
        )
    if method == "least_squares" and random:
        hint = "method='focei', 'map' or 'nuts', or one subject at a time"
        raise UsageError(f"random={random!r} with least squares, which pools all subjects", hint=hint)
    if method != "least_squares" and (starts != 1 or bootstrap):
        raise UsageError(f"starts={starts}, bootstrap={bootstrap} with {method}", expected="method='least_squares'")
    if how.folder is not None and method != "nuts":
        raise UsageError(f"folder={str(how.folder)!r} with {method}", expected="method='nuts', whose draws are kept")


def _posterior(population: Population, method: str, seed: int, how: Sampling, progress: Progress | None) -> Outcome:
    from mscpkpd.fitting.pathfinder import found_by_paths
    from mscpkpd.fitting.tempering import led_from_prior

    draw = {"nuts": drawn_by_nuts, "pathfinder": found_by_paths, "smc": led_from_prior}[method]
    return posterior_fit(draw(population, seed, how, progress), seed)


def _judged(
    problem: Problem, outcome: Outcome, predictions: pd.DataFrame, method: str, levels: Collection[str]
) -> tuple[Check, ...]:
    """Checks of the method, between what the design can tell and what the residuals say."""
    found = dict(zip(outcome.table["parameter"], outcome.table["estimate"], strict=True))
    estimates = np.array([found.get(p.name, p.start) for p in problem.free], dtype=float)
    individual = predictions["predicted"].to_numpy(float) if levels else problem.predict(estimates).value
    before, after = trust_checks(
        problem, individual, problem.values(estimates), outcome.table, method=method, levels=levels
    )
    return (*before, *outcome.checks, *after)


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

    if method in ("foce", "focei") and np.any(population.problem.rows.kind == "event"):
        hint = "method='laplace', 'map' or 'nuts'"
        raise UsageError(f"{method} with the times of events, which have no expected information (Q7)", hint=hint)
    if method in POPULATION and not population.levels:
        reasons = "; ".join(population.notes) or f"model '{population.problem.model.name}' declares no random effects"
        hint = "a row in [variability] of the model file, or method='map' or 'least_squares', which need none"
        raise UsageError(f"nothing varies between subjects: {reasons}", hint=hint)
    return approximate_fit(population, method, seed)


def _or(value: float | None, default: float) -> float:
    return default if value is None or value != value else float(value)  # noqa: PLR0124 - nan is unlike itself


def _conflicts(problem: Problem, outcome: Outcome, method: str) -> Iterator[str]:
    """Priors that the data contradict, where priors were used."""
    if method in ("map", *SAMPLED):
        units = {p.name: problem.model.parameter(p.name).unit for p in problem.free}
        yield from (each.sentence for each in conflicts_of_draws(problem.free, outcome.posterior.learned, units))


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
    notes += _notes_of_bias(problem)
    return tuple(notes)


def _notes_of_bias(problem: Problem) -> Iterator[str]:
    """A method can only be biased relative to another one (Q6)."""
    rows, model = problem.rows, problem.model
    seen = {rows.outputs[k] for k in np.unique(rows.output)}
    for name in sorted(seen):
        output = model.output(name)
        if output.of and not output.quantity and output.of not in seen:
            factor = biased_by(model.output(output.of), output.method)
            yield (
                f"{factor}: no row of '{output.of}' by another method than {output.method}, so only its prior tells "
                "the bias from the amount (Q6)"
            )


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
        if record.kind not in ("mean", "logmean") and not record.quantity:
            counts.setdefault(record.output, Counter())[record.subject] += 1
    single = [f"'{name}'" for name, own in counts.items() if len(own) > 1 and max(own.values()) == 1]
    if single:
        yield f"one value for each subject: the noise of {', '.join(single)} contains the spread between subjects (T9)"


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
        values = problem.values(theta)
        means.append(shown(problem, f, values))
        seen.append(problem.rows.as_shares(observe(problem, f, values, rng)))
    mean = np.array(means)
    return row_frame(problem.rows, np.median(mean, axis=0), mean, np.array(seen))
