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

from mscpkpd.covariates import said_of
from mscpkpd.data import Study
from mscpkpd.data.dose_properties import SPREADS, UNUSED
from mscpkpd.engine.steady import collecting, superposes
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.fitting.draws import Check
from mscpkpd.fitting.nuts import TARGET_ACCEPT, Progress
from mscpkpd.fitting.replicates import observe, row_frame
from mscpkpd.fitting.result import Fit, Outcome, Posterior, load_fit, versions
from mscpkpd.fitting.sampled import Sampling, sampled_fit
from mscpkpd.fitting.trust import trust_checks
from mscpkpd.model import Model
from mscpkpd.population import Population, pose_population
from mscpkpd.problem import Problem, pose, refuse_impossible_rows, refuse_unclear_columns

if TYPE_CHECKING:
    import pymc

__all__ = ["fit", "load_fit", "to_pymc"]

METHODS = ("least_squares", "map", "foce", "focei", "laplace", "nuts")
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
        Receives what is done, what is wanted, both over all chains, and words: divergences, step size.
    random : collection of str, bool or None
        Which of the random effects that the model declares are in the fit: "CL" for all its levels, "CL:lot" for one.
        By default all that the data can tell, and the notes name the others; False for none.
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
    if method not in METHODS:
        raise UnknownName.among("method", method, METHODS)
    if min(draws, tune, chains) < 1 or not 0 < target_accept < 1:
        raise UsageError(
            f"draws={draws}, tune={tune}, chains={chains}, target_accept={target_accept}",
            expected="counts of at least 1 and an acceptance between 0 and 1",
        )
    if method != "least_squares" and (starts != 1 or bootstrap):
        raise UsageError(f"starts={starts}, bootstrap={bootstrap} with {method}", expected="method='least_squares'")
    if folder is not None and method != "nuts":
        raise UsageError(f"folder={str(folder)!r} with {method}", expected="method='nuts', whose draws are kept")
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
    began = time.time()
    sampling = Sampling(draws, tune, chains, cores, target_accept, None if folder is None else Path(folder))
    if population is None:
        from mscpkpd.fitting.estimated import Searching, estimated_fit

        outcome = estimated_fit(problem, Searching(starts, bootstrap, cores), seed, progress, choose=free is None)
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
        "tolerance": problem.tolerance,
        "versions": versions(),
        **outcome.settings,
    }
    notes = (*_notes(problem), *outcome.notes)
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
        model, study, _with_given(model, free, given), fix, random=random, by_subject=bool(given)
    )
    _refuse_useless(given or {}, population)
    refuse_unclear_columns(population.problem, free)
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


def _judged(
    problem: Problem, outcome: Outcome, predictions: pd.DataFrame, method: str, levels: Collection[str]
) -> tuple[Check, ...]:
    """Checks of the method, between what the design can tell and what the residuals say."""
    found = dict(zip(outcome.table["parameter"], outcome.table["estimate"], strict=True))
    estimates = np.array([found.get(p.name, p.start) for p in problem.free], dtype=float)
    before, after = trust_checks(
        problem, predictions["predicted"].to_numpy(float), problem.values(estimates), outcome.table, method=method,
        levels=levels,
    )  # fmt: skip
    return (*before, *outcome.checks, *after)


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


def _notes_of_sampling(problem: Problem) -> Iterator[str]:
    """One value for each animal: the noise of the output holds the spread between animals, too (T9)."""
    counts: dict[str, Counter[str]] = {}
    for record in problem.study.records:
        if record.kind not in ("mean", "logmean"):
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
        means.append(f)
        seen.append(observe(problem, f, problem.values(theta), rng))
    mean = np.array(means)
    return row_frame(problem.rows, np.median(mean, axis=0), mean, np.array(seen))
