"""The responder model before any cohort: its priors, the response rate without a marker, its update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from mscpkpd.cohort import Cohort
from mscpkpd.errors import CohortError, UsageError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.classes import Classes, fit_classes
from mscpkpd.responder.companions import UNVERIFIED
from mscpkpd.responder.conflict import contrasts_of
from mscpkpd.responder.definition import Definition, find, read_definition
from mscpkpd.responder.draws import prior_draws
from mscpkpd.responder.landmark import Landmark, fit_landmark
from mscpkpd.responder.pooling import PooledRate, Trial, parse_trials, pool_rates, select
from mscpkpd.responder.scorer import Scorer
from mscpkpd.responder.scoring import CohortFacts
from mscpkpd.responder.updating import posterior_draws
from mscpkpd.responder.validating import by_trial, optimism

__all__ = ["Responder", "load_responder"]

DRAWS = 4000
FEWEST_DRAWS, MOST_DRAWS = 500, 200_000


@dataclass(frozen=True)
class Responder:
    """A responder model before any cohort.

    Attributes
    ----------
    definition : Definition
        The responder file with one slope prior chosen.
    """

    definition: Definition

    @property
    def name(self) -> str:
        """Name of the responder file."""
        return self.definition.name

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trial table, rows with counts."""
        return parse_trials(self.definition.trials, self.definition.trials_name)

    @property
    def p_slope_positive(self) -> float:
        """Prior probability that more CXCL10 goes with more response."""
        return 1.0 - self.definition.prior("b1").cdf(0.0)

    def with_prior(self, name: str, prior: str, source: str = "chosen by the user") -> Responder:
        """Return this model with another prior, for example s_u from the QC replicates of a laboratory.

        Parameters
        ----------
        name : str
            alpha, b1, gamma_grade, gamma_liver, gamma_child, mu_x, s_x, s_u or offset.
        prior : str
            Such as ``"lognormal(0.1, 0.2)"`` for s_x and s_u, ``"normal(0, 0.4)"`` or a mixture for the others.
        source : str
            Where it comes from.

        Raises
        ------
        UnknownName, ParameterError
            If there is no such parameter or prior.
        """
        return Responder(self.definition.with_prior(name, prior, source))

    def response_rate(
        self, subset: str = "all", *, rows: Sequence[Mapping[str, object]] = (), without: Sequence[str] = ()
    ) -> PooledRate:
        """Pool the response rates of the published cohorts, without any marker.

        Parameters
        ----------
        subset : str
            "all", "UC" (umbilical cord), "BM" (bone marrow), "children" or "prospective".
        rows : sequence of mapping
            Cohorts of your own: study, n, responders and, where known, tissue, population, prospective, source.
        without : sequence of str
            Studies to leave out, for example because their patients are in your cohort.

        Returns
        -------
        PooledRate
            See `pool_rates`.

        Raises
        ------
        UnknownName
            For an unknown subset, study or column.
        ModelError
            If counts are impossible or a study stands twice.
        """
        definition = self.definition.with_trials(rows, without) if rows or without else self.definition
        trials = parse_trials(definition.trials, definition.trials_name)
        chosen = select(trials, subset)
        if not chosen:
            raise UsageError("no cohort is left to pool", hint="fewer studies in without=")
        return pool_rates(chosen, mu_sd=definition.pool_mu_sd, tau_scale=definition.pool_tau_scale, subset=subset)

    def with_pool(
        self, subset: str = "all", *, rows: Sequence[Mapping[str, object]] = (), without: Sequence[str] = ()
    ) -> Responder:
        """Return this model with the intercept that a pool of trials gives, as a robust mixture for a new cohort.

        Parameters
        ----------
        subset, rows, without
            As in `response_rate`.

        Raises
        ------
        UnknownName, ModelError
            As `response_rate`.
        """
        pooled = self.response_rate(subset, rows=rows, without=without)
        definition = self.definition.with_trials(rows, without) if rows or without else self.definition
        source = f"pool of {len(pooled.trials)} cohorts ({subset}): {', '.join(pooled.trials)}"
        return Responder(definition.with_prior("alpha", pooled.robust_prior(), source))

    def interval_at(self, z: float, level: float = 0.9) -> tuple[float, float]:
        """Return the prior interval of P(response) of a patient with known true level and covariates at their centres.

        Parameters
        ----------
        z : float
            (ln CXCL10 - ln centre)/spread, dimensionless.
        level : float
            Probability of the central interval.

        Returns
        -------
        tuple of float
            Lower and upper probability.

        Raises
        ------
        UsageError
            If `level` is not between 0 and 1, or z is not finite.
        """
        if not 0 < level < 1 or not math.isfinite(z):
            raise UsageError(f"z={z}, level={level}", expected="a finite z and a level between 0 and 1")
        linear = (
            self.definition.prior("alpha").plus(self.definition.prior("b1"), z) if z else self.definition.prior("alpha")
        )
        low, high = (float(expit(linear.quantile(p))) for p in ((1 - level) / 2, (1 + level) / 2))
        return low, high

    def update(
        self,
        cohort: Cohort,
        *,
        seed: int = 0,
        learn: str = "auto",
        draws: int = DRAWS,
        method: str = "auto",
        contrast: bool = True,
    ) -> Scorer:
        """Learn from a cohort.

        Parameters
        ----------
        cohort : Cohort
            Patients of one trial or centre series, or of several by their columns ``trial`` and ``centre``; responses
            where known; a patient without one informs the levels.
            A cohort that is among the pooled trials (by its column ``trial``) would count twice, and is refused: leave
            it out of the pool first, ``with_pool(without=[...])``.
        seed : int
            The same seed gives the same numbers.
        learn : str
            "auto": by the number of known responses, fewer than 30 "alpha", to 100 "slope", beyond (or from 60
            responders and 40 others) "full"; or one of these words to overrule it. See `mscpkpd.responder.updating`.
        draws : int
            Number of draws to keep.
        method : str
            "auto" (importance resampling, and NUTS where that fails its check), "importance", "nuts" or "metropolis".
        contrast : bool
            Whether the cohort is also fitted without the prior, to show where the two disagree.

        Returns
        -------
        Scorer
            Its ``notes`` say what was updated; ``ok`` and ``check`` whether the draws can be trusted.

        Raises
        ------
        CohortError
            If no response is known, or the cohort is one of the pooled trials.
        UsageError, UnknownName
            If an argument is out of range.
        """
        _check_draws(draws)
        _check_overlap(cohort, self.trials)
        rng = np.random.default_rng(seed)
        updated = posterior_draws(self.definition, cohort, learn=learn, draws=draws, rng=rng, method=method)
        sample = updated.sample
        return Scorer(
            self.definition,
            updated.draws,
            updated=updated.rule.learn,
            facts=_facts(cohort),
            method=sample.method,
            check=sample.check,
            ess=sample.ess,
            ok=sample.ok,
            notes=(updated.rule.reason, *_notes(cohort), *cohort.notes),
            seed=seed,
            contrasts=contrasts_of(self.definition, cohort, updated.draws, rng) if contrast else (),
            known=frozenset(patient.id for patient in cohort.patients),
        )

    def internal_validation(self, cohort: Cohort, *, refits: int = 40, seed: int = 0) -> pd.DataFrame:
        """Judge the update on its own cohort, corrected for optimism by the refit bootstrap.

        Parameters
        ----------
        cohort : Cohort
            As for `update`.
        refits : int
            Bootstrap cohorts, at least 10.
        seed : int
            The same seed gives the same numbers.

        Returns
        -------
        DataFrame
            measure (auc, brier, calibration_slope), apparent, optimism, corrected.

        Raises
        ------
        CohortError
            As `calibration`.
        UsageError
            For too few refits.

        References
        ----------
        Harrell 1996, Stat Med 15:361: optimism is the mean over bootstrap cohorts of the performance in the bootstrap
        cohort less that in the original one.
        """
        return optimism(self.update, cohort, refits=refits, seed=seed)

    def leave_one_trial_out(self, cohort: Cohort, *, seed: int = 0) -> pd.DataFrame:
        """Learn from all trials but one and judge on that one, for each trial.

        Parameters
        ----------
        cohort : Cohort
            At least two trials (column ``trial``) with ten known responses and both outcomes in each.
        seed : int
            The same seed gives the same numbers.

        Returns
        -------
        DataFrame
            trial, patients, auc, auc_lower, auc_upper, calibration_slope, observed_over_expected, brier.

        Raises
        ------
        CohortError
            If there is one trial only, or a trial is too small to judge.
        """
        return by_trial(self.update, cohort, seed=seed)

    def landmark(self, cohort: Cohort, *, seed: int = 0, draws: int = DRAWS, method: str = "auto") -> Landmark:
        """Learn from levels before and 24 h after the first infusion: for continuing, never for selecting.

        Parameters
        ----------
        cohort : Cohort
            At least ten patients with both levels; responses where known.
        seed : int
            The same seed gives the same numbers.
        draws : int
            Number of draws to keep.
        method : str
            "auto" (importance resampling, and a Metropolis sampler where that fails its check), "importance" or
            "metropolis".

        Returns
        -------
        Landmark
            See `mscpkpd.responder.landmark`. All parameters are updated, whatever the size of the cohort.

        Raises
        ------
        CohortError
            For too few pairs of levels, no response, or patients of a pooled trial.
        UsageError, UnknownName
            If an argument is out of range.
        """
        _check_draws(draws)
        _check_overlap(cohort, self.trials)
        return fit_landmark(self.definition, cohort, seed=seed, draws=draws, method=method)

    def latent_classes(self, cohort: Cohort, *, seed: int = 0, draws: int = 2000) -> Classes:
        """Fit latent responder classes where labels are missing; refuses classes that the data cannot tell.

        Parameters
        ----------
        cohort : Cohort
            At least 20 patients of one platform with both levels measured; responses where known.
        seed : int
            The same seed gives the same numbers.
        draws : int
            Number of draws.

        Returns
        -------
        Classes
            Its ``refusal`` says why no classes are shown; printing it shows what can be said.

        Raises
        ------
        CohortError
            For too few patients, or several platforms.
        UsageError
            If `draws` is out of range.
        """
        _check_draws(draws)
        return fit_classes(self.definition, cohort, seed=seed, draws=draws)

    def scorer(self, *, draws: int = DRAWS, seed: int = 0) -> Scorer:
        """Return a scorer of the prior alone.

        Parameters
        ----------
        draws : int
            Number of draws.
        seed : int
            The same seed gives the same numbers.

        Raises
        ------
        UsageError
            If `draws` is out of range.
        """
        _check_draws(draws)
        platforms = (self.definition.reference_platform,)
        values = prior_draws(self.definition, platforms, draws, np.random.default_rng(seed))
        return Scorer(self.definition, values, notes=("no cohort: the scores rest on the prior alone",), seed=seed)

    def score(
        self, patients: Cohort, *, draws: int = DRAWS, seed: int = 0, threshold: float | None = None
    ) -> pd.DataFrame:
        """Score patients with the prior alone.

        Parameters
        ----------
        patients : Cohort
            Responses, if any, are not used.
        draws : int
            Number of draws.
        seed : int
            The same seed gives the same table.
        threshold : float, optional
            A probability; adds the column ``p_above``.

        Returns
        -------
        DataFrame
            See `Scorer.score`; ``prior_share`` is 1.
        """
        return self.scorer(draws=draws, seed=seed).score(patients, seed=seed, threshold=threshold)

    def __str__(self) -> str:
        definition = self.definition
        shares = {name: f"{definition.share(name):g}" for name in ("liver", "child")}
        equation = f"""\
logit P(response) = alpha + b1 z + gamma_grade g + gamma_liver (liver - {shares["liver"]}) \
+ gamma_child (child - {shares["child"]})
z = (x - ln {definition.centre:g})/{definition.spread:g}, g = grade in steps from C
ln level = x + offset[platform] + e, e ~ N(0, s_u), x ~ N(mu_x, s_x), offset of {definition.reference_platform} is 0"""
        priors = sorted(definition.parameters, key=lambda row: row.evidence != "assumed")
        lines = [
            BANNER,
            "",
            f"{definition.name}: {definition.title}",
            f"outcome: {definition.outcome}",
            f"estimand: {definition.estimand}",
            f"use: {definition.use}",
            "",
            equation,
            "",
            f"priors (slope '{definition.slope}', P(b1 > 0) = {self.p_slope_positive:.2f}), assumed ones first:",
            *(f"  {row.name:<12} {row.prior.text:<50} {row.unit:<9} {row.evidence:<8} {row.about}" for row in priors),
            "",
            "sources:",
            *(f"  {row.name:<12} {row.source}" for row in priors),
            "",
            f"response rate without a marker: {self.response_rate()}",
        ]
        return "\n".join(lines)


def load_responder(name_or_path: str | Path = "sr_agvhd_cxcl10", slope: str = "default") -> Responder:
    """Read a responder model.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped name (`responders`) or the path of a responder file.
    slope : str
        Which prior of the CXCL10 slope: "default", "sceptical", "enthusiastic" or "conflict".

    Returns
    -------
    Responder

    Raises
    ------
    UnknownName
        For an unknown name or slope.
    ModelError
        If the file is wrong.

    Notes
    -----
    The file is the model: its head holds the equations, each prior its source and how well it is known.
    """
    return Responder(read_definition(find(name_or_path), slope))


def _check_draws(draws: int) -> None:
    if not FEWEST_DRAWS <= draws <= MOST_DRAWS:
        raise UsageError(f"draws={draws}", expected=f"{FEWEST_DRAWS} to {MOST_DRAWS}", hint=f"draws={DRAWS}")


def _check_overlap(cohort: Cohort, trials: Sequence[Trial]) -> None:
    """Refuse to count patients twice whose trial is in the prior already."""
    pooled = {trial.study for trial in trials if trial.pooled}
    both = sorted({patient.trial for patient in cohort.patients} & pooled)
    if both:
        raise CohortError(
            f"patients of {', '.join(both)} are in the pooled response rate already",
            where=cohort.source,
            hint=f"prior.with_pool(without={both}): the same patients never count twice",
        )


def _facts(cohort: Cohort) -> CohortFacts:
    patients = cohort.patients
    return CohortFacts(
        source=cohort.source,
        digest=cohort.digest,
        patients=len(patients),
        labelled=len(cohort.labelled),
        responders=cohort.responders,
        platforms=tuple(dict.fromkeys(patient.platform for patient in patients)),
        grades=tuple(sorted({patient.grade for patient in patients if patient.grade})),
        children=sum(patient.child is True for patient in patients),
        adults=sum(patient.child is False for patient in patients),
        synthetic=cohort.synthetic,
        trials=tuple(trials) if len(trials := dict.fromkeys(patient.trial for patient in patients)) > 1 else (),
    )


def _notes(cohort: Cohort) -> tuple[str, ...]:
    patients = cohort.patients
    counts = {
        "CXCL10 below or above a limit (censored likelihood)": sum(
            p.level is not None and p.level.censoring != "none" for p in patients
        ),
        "a covariate missing (averaged over published shares)": sum(
            None in (p.grade, p.liver, p.child) for p in patients
        ),
        "no known response (levels only)": len(patients) - len(cohort.labelled),
        "a level at 24 h, which this baseline model does not use": sum(p.level_24h is not None for p in patients),
    }
    notes = [f"{n} of {len(patients)} patients with {what}" for what, n in counts.items() if n]
    if len({p.trial for p in patients}) > 1:
        notes.append("several trials: each has an intercept of its own, and from three on a slope")
    if len({p.centre for p in patients if p.centre}) > 1:
        notes.append("several centres: each has an intercept of its own")
    if any(p.st2 is not None and p.reg3a is not None for p in patients):
        notes.append(UNVERIFIED)
    if any(p.ruxolitinib for p in patients):
        notes.append("patients on ruxolitinib: it lowers CXCL10 whatever the cells do")
    if cohort.synthetic:
        notes.insert(0, "SYNTHETIC cohort: the numbers describe no real patient")
    return tuple(notes)
