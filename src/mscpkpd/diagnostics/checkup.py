"""Everything that can be asked of a fit, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mscpkpd.diagnostics import verdicts as say
from mscpkpd.diagnostics.influence import influence, influence_on_maximum, maximum_of
from mscpkpd.diagnostics.leave_out import left_out, rows_with_trouble
from mscpkpd.diagnostics.pointwise import pointwise, refuse_without_posterior
from mscpkpd.diagnostics.posterior import drawn_from, population_of
from mscpkpd.diagnostics.precision import tolerance_sensitivity
from mscpkpd.diagnostics.predictive_checks import predictive_checks
from mscpkpd.diagnostics.residuals import residual_groups, residual_table
from mscpkpd.diagnostics.sampling import correlations, divergences
from mscpkpd.diagnostics.verdicts import ORDER, Verdict
from mscpkpd.errors import MscError, UsageError
from mscpkpd.fitting.approximate import METHODS
from mscpkpd.fitting.result import Fit
from mscpkpd.fitting.trust import WITHOUT_PRIORS, noise_findings
from mscpkpd.fitting.verbs import verb
from mscpkpd.population import Population
from mscpkpd.predictive import NPDE, VPC, npde, replicates, vpc
from mscpkpd.predictive.priors import PriorPredictive, prior_predictive

if TYPE_CHECKING:
    from mscpkpd.fitting.verbs import Figure

__all__ = ["Diagnosis", "check_fit"]

REPLICATES, FROM_PRIOR = 1000, 200
SEEN_BY_REPLICATES = ("data", "noise")
MANY_TIMES = 12  # distinct times from which rows are binned by counts


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was looked at in a fit, in words, numbers and pictures.

    Attributes
    ----------
    fit : Fit
    verdicts : tuple of Verdict
        The gravest first: name, status, sentence, advice.
    tables : mapping of str to pandas.DataFrame
        The numbers behind them: parameters, residuals, residual_groups, predictive_checks, divergences, correlations,
        tolerance; and where the method has them loo (by row), influence_by_subject, influence_by_study, design,
        shrinkage.
    prior : PriorPredictive or None
    vpc, corrected_vpc : VPC or None
    npde : NPDE or None
    """

    fit: Fit
    verdicts: tuple[Verdict, ...]
    tables: Mapping[str, pd.DataFrame]
    vpc: VPC | None = None
    corrected_vpc: VPC | None = None
    npde: NPDE | None = None
    prior: PriorPredictive | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed; there may be warnings."""
        return not self.of("fail")

    @property
    def sentence(self) -> str:
        """One line: what is wrong, or that nothing is."""
        failed, warned = self.of("fail"), self.of("warn")
        if failed:
            return "NOT A RESULT: " + " ".join(each.sentence for each in failed)
        count = f"{len(warned)} warning{'s' * (len(warned) != 1)}"
        names = f": {', '.join(each.name for each in warned)}" if warned else ""
        return (
            f"Nothing speaks against this fit, with {count}{names}." if warned else "Nothing speaks against this fit."
        )

    def of(self, status: str) -> tuple[Verdict, ...]:
        """Verdicts of one status.

        Parameters
        ----------
        status : {"fail", "warn", "ok", "not given"}
        """
        return tuple(each for each in self.verdicts if each.status == status)

    def plot(self) -> dict[str, Figure]:
        """Draw everything.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            By name, in the order in which they are best looked at.
        """
        figures: dict[str, Figure] = verb("plot")(self)
        return figures

    def save(self, folder: str | Path) -> Path:
        """Write verdicts, tables and figures.

        Parameters
        ----------
        folder : str or Path
            New, empty, or of an earlier diagnosis, which is replaced.

        Returns
        -------
        Path
            The folder: verdicts.csv, a table for each of `tables`, figures, and check.html, which shows them all.

        Raises
        ------
        UsageError
            If the folder holds something else.
        """
        path: Path = verb("save")(self, folder)
        return path

    def __str__(self) -> str:
        head = f"{self.fit.method} fit of '{self.fit.model.name}' to '{self.fit.study.name}'"
        return "\n".join([self.sentence, head, "", *map(str, self.verdicts)])


def check_fit(fit: Fit, *, seed: int = 0, count: int = REPLICATES) -> Diagnosis:
    """Look at everything that tells whether a fit can be trusted; see `Fit.check`."""
    population = population_of(fit)
    found = _Findings()
    found.add(say.of_fit(fit))
    where, pairs = divergences(fit), correlations(fit)
    residuals = residual_table(fit, population)
    groups = residual_groups(residuals)
    found.tables |= {
        "parameters": fit.table, "divergences": where, "correlations": pairs, "residuals": residuals,
        "residual_groups": groups,
    }  # fmt: skip
    found.add(say.of_sampler(fit, where))
    found.add(say.of_learning(fit, pairs))
    found.add([say.of_residuals(groups)])
    if all(check.ok for check in fit.checks if check.name in SEEN_BY_REPLICATES):  # else it is said already
        found.add([say.of_noise(_odd_noise(fit, population, residuals))])
    found.add(say.of_shrinkage(fit))
    found.attempt("prior predictive check", lambda: _prior(fit, seed, found))
    found.attempt("posterior predictive checks", lambda: _replicated(fit, population, seed, found))
    found.attempt("leave-one-out and influence", lambda: _left_out(fit, population, found))
    found.attempt("VPC and NPDE", lambda: _simulated(fit, seed, count, found))
    found.attempt("tolerance", lambda: _tolerance(fit, population, seed, found))
    found.attempt("local identifiability", lambda: _design(fit, found))
    ordered = sorted(found.verdicts, key=lambda each: ORDER.index(each.status))
    return Diagnosis(fit, tuple(ordered), found.tables, *found.checks, found.prior)


def _odd_noise(fit: Fit, population: Population, residuals: pd.DataFrame) -> list[str]:
    """What residuals say against the noise, however little."""
    problem, known = population.problem, fit.estimates
    theta = np.array([known.get(p.name, p.start) for p in problem.free], dtype=float)
    predicted, scores = (residuals[name].to_numpy(float) for name in ("predicted", "score"))
    return list(noise_findings(problem, predicted, scores, problem.values(theta), gross=False))


class _Findings:
    """What has been found so far."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.tables: dict[str, pd.DataFrame] = {}
        self.prior: PriorPredictive | None = None
        self.checks: tuple[VPC | None, VPC | None, NPDE | None] = (None, None, None)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take verdicts."""
        self.verdicts.extend(verdicts)

    def attempt(self, name: str, work: Callable[[], Any]) -> None:
        """Do what the method or the data may not allow; then the reason is the verdict."""
        try:
            work()
        except MscError as error:
            hint = f"Try: {error.hint}." if error.hint else ""
            self.verdicts.append(Verdict(name, "not given", f"{error.problem}.", hint))


def _replicated(fit: Fit, population: Population, seed: int, found: _Findings) -> None:
    table = predictive_checks(fit, population, seed=seed)
    found.tables["predictive_checks"] = table
    found.add([say.of_replicates(table)])


def _prior(fit: Fit, seed: int, found: _Findings) -> None:
    if fit.method in WITHOUT_PRIORS:
        raise UsageError(
            f"{fit.method} uses no priors", hint="msc.prior_predictive(model, study) says what they expect"
        )
    names = [name for name in fit.settings.get("free", ()) if name in fit.model.parameter_names]
    expected = prior_predictive(
        fit.model, fit.study, FROM_PRIOR, free=names, random=fit.settings.get("random") or False, seed=seed
    )
    found.tables["prior_predictive"], found.prior = expected.table, expected
    found.add([say.of_prior(expected)])


def _left_out(fit: Fit, population: Population, found: _Findings) -> None:
    if population.levels and fit.method in METHODS:
        _cases_deleted(fit, population, found)
        return
    drawn = drawn_from(fit, population)
    likelihood = pointwise(fit, drawn)
    flat = {name: np.asarray(x).reshape(-1) for name, x in fit.posterior.learned.items()}
    step = -(-len(next(iter(flat.values()))) // len(drawn)) if drawn.thinned else 1
    moving = {name: x[::step] for name, x in flat.items()}
    if len(likelihood.log_likelihood) == len(drawn):
        tables = {by: influence(likelihood, moving, by) for by in ("subject", "study")}
        found.tables |= {f"influence_by_{by}": table for by, table in tables.items()}
        found.add(say.of_influence(tables))
    try:
        refuse_without_posterior(fit)
    except MscError as error:
        found.add([Verdict("leave-one-out", "not given", f"{error.problem}.", f"Try: {error.hint}.")])
        return
    by_row = left_out(likelihood.log_likelihood, likelihood.efficiency)
    found.tables["loo"] = likelihood.rows.assign(elpd=by_row.elpd, pareto_k=by_row.k, bad=by_row.bad)
    found.tables["loo"].attrs["limit"] = by_row.limit
    found.add([say.of_left_out(by_row, rows_with_trouble(by_row, likelihood.rows), likelihood.given)])


def _cases_deleted(fit: Fit, population: Population, found: _Findings) -> None:
    """A maximum has no draws to weigh: each part is taken out by a step from it."""
    known = maximum_of(fit, population)
    tables: dict[str, pd.DataFrame] = {}
    for by in ("subject", "study"):
        try:
            tables[by] = influence_on_maximum(fit, population, known, by)
        except UsageError as error:
            name = f"influence by {by}"
            found.add([Verdict(name, "not given", f"{error.problem}.", f"Try: {error.hint}.")])
    found.tables |= {f"influence_by_{by}": table for by, table in tables.items()}
    found.add(say.of_influence(tables))
    found.add([say.of_subjects_left_out(tables.get("subject"))])


def _simulated(fit: Fit, seed: int, count: int, found: _Findings) -> None:
    # what data or noise speak against is best seen beside replicates; a search that failed has none
    shown = replace(fit, checks=tuple(check for check in fit.checks if check.name not in SEEN_BY_REPLICATES))
    repeated = replicates(shown, count, seed=seed)
    bins = "ties" if len(np.unique(repeated.time)) <= MANY_TIMES else "counts"
    usual = vpc(repeated, bins=bins)
    corrected = vpc(repeated, bins=bins, corrected=True) if np.all(repeated.predicted > 0) else None
    errors = npde(repeated, seed=seed)
    found.checks = (usual, corrected, errors)
    found.add(say.of_replicated_study(usual, corrected, errors))


def _tolerance(fit: Fit, population: Population, seed: int, found: _Findings) -> None:
    table = tolerance_sensitivity(fit, population, seed=seed)
    found.tables["tolerance"] = table
    found.add([say.of_tolerance(table)])


def _design(fit: Fit, found: _Findings) -> None:
    noise = fit.model.noise_parameters
    names = [name for name in fit.settings.get("free", ()) if name in fit.model.parameter_names and name not in noise]
    report = fit.model.identifiability(fit.study, free=names)
    found.tables["design"] = report.table.reset_index()
    found.add([say.of_design(report)])


def verdict_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """Verdicts as a table: name, status, sentence, advice."""
    return pd.DataFrame([vars(each) for each in diagnosis.verdicts])


def lines(diagnosis: Diagnosis) -> Iterator[str]:
    """What a command prints."""
    yield from str(diagnosis).splitlines()
