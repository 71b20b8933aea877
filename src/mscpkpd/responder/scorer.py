"""A scorer: the draws after an update (or of the prior alone), ready to score patients; it holds no patient data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mscpkpd.cohort import Cohort, Patient
from mscpkpd.errors import ModelError, UnknownName, UsageError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.conflict import Contrast
from mscpkpd.responder.definition import Definition
from mscpkpd.responder.draws import (
    CENTRE,
    SLOPE_ON_PREDICTOR,
    TRIAL,
    TRIAL_SLOPE,
    Draws,
    prior_draws,
    prior_of,
)
from mscpkpd.responder.performance import calibration, calibration_curve, decision_curve
from mscpkpd.responder.pooling import RateUpdate, update_rate
from mscpkpd.responder.question import predictor_slope_prior
from mscpkpd.responder.samples import Groups
from mscpkpd.responder.scoring import INTERVALS, Batch, CohortFacts, Predictions, batches, flags_of, groups_in
from mscpkpd.responder.storage import Stored, read_folder, write_folder

__all__ = ["Scorer", "load_scorer"]

STORED = ("updated", "method", "check", "ess", "ok", "notes", "seed", "contrasts")
PRIOR_STREAM = 71  # of the prior draws, apart from the streams of patients
MANY_PATIENTS, DRAWS_FOR_MANY = 2000, 400
ALTERNATIVES = {"ruxolitinib": 0.62, "best_available": 0.39}  # REACH2, overall response at day 28 (percentages read)
KIND = "95 % central interval"


class _Versions(NamedTuple):
    """Draws that a score compares."""

    own: Draws
    prior: Draws
    untaught: Draws  # levels and offsets as the cohort taught them, coefficients from the prior


@dataclass(frozen=True, eq=False)
class Scorer:
    """What the prior and a cohort say about patients like those of the cohort.

    Attributes
    ----------
    definition : Definition
        The responder file with its slope prior.
    draws : Draws
        Parameter draws.
    updated : str
        "none", "alpha", "slope" or "full": what the cohort updated (see `mscpkpd.responder.updating`).
    facts : CohortFacts or None
        Counts of the cohort; None for the prior alone.
    method, check : str
        How the draws were made, and its own check in words.
    ess : float
        Effective number of independent draws [draws]; nan for the prior alone.
    ok : bool
        Whether that check passed. If not, the first line of every report says so.
    notes : tuple of str
        What a reader must know.
    seed : int
        Of the update.
    contrasts : tuple of Contrast
        Prior, cohort and both together, with the two-sided tail of their conflict.
    known : frozenset of str
        Names of the patients of the cohort; in memory only, never saved.
    """

    definition: Definition
    draws: Draws
    updated: str = "none"
    facts: CohortFacts | None = None
    method: str = "prior"
    check: str = ""
    ess: float = math.nan
    ok: bool = True
    notes: tuple[str, ...] = ()
    seed: int = 0
    contrasts: tuple[Contrast, ...] = ()
    known: frozenset[str] = field(default=frozenset(), repr=False)

    # ---- scores ----------------------------------------------------------------------------------------------------

    def score(
        self, patients: Cohort, *, draws: int | None = None, seed: int = 0, threshold: float | None = None
    ) -> pd.DataFrame:
        """Score patients.

        Parameters
        ----------
        patients : Cohort
            Responses, if any, are not used. Each patient is scored alone.
        draws : int, optional
            Number of parameter draws; all by default, 400 for more than 2000 patients.
        seed : int
            Of the random numbers: the same seed gives the same table, whoever else is in it.
        threshold : float, optional
            A probability; adds the columns ``p_above``, the posterior probability that P(response) exceeds it, and
            ``gain_above``, the posterior mean of what it exceeds it by.

        Returns
        -------
        DataFrame
            One row a patient:

            - ``patient``; ``p_response``: posterior mean of P(response), a probability of overall response at day 28;
            - ``lower``, ``upper`` (95 %), ``lower_80``, ``upper_80``, ``lower_50``, ``upper_50``: central intervals;
            - ``p_prior_only``: the same mean without the cohort;
            - ``prior_share``: var(logit p | cohort)/var(logit p | prior of alpha, b1 and gamma) for this patient, cut
              to 0..1, with levels and platform offsets as the cohort taught them in both. 1 means that the score rests
              on the prior alone, 0 that the cohort leaves nothing open; 1 exactly without a cohort;
            - ``share_measurement``, ``share_intercept``, ``share_trial``, ``share_slope`` and
              ``share_covariates``: parts of var(logit p) that sum to 1: true level given the measured one, alpha,
              effects of trial and centre, b1, and gamma with missing covariates;
            - ``flags``: warnings, joined by "; ".

            ``attrs`` holds the banner, the outcome, the notes and the kind of the intervals.

        Raises
        ------
        UsageError
            If `draws` or `threshold` is out of range.
        """
        self._check_request(draws, threshold)
        own = self._draws_for(len(patients), draws)
        taught = groups_in(self.definition, own)
        rng = np.random.default_rng([seed, PRIOR_STREAM])
        before = prior_draws(self.definition, taught.platforms, len(own), rng, taught)
        versions = _Versions(own, before, own.with_coefficients(before))
        columns: dict[int, dict[str, Any]] = {}
        for chosen, shared in batches(patients.patients, len(own), taught):
            batch = [patients.patients[k] for k in chosen]
            columns |= dict(zip(chosen, self._rows(batch, shared, versions, seed, threshold), strict=True))
        table = pd.DataFrame([columns[k] for k in range(len(patients))])
        table.attrs.update(
            banner=BANNER,
            outcome=self.definition.outcome,
            notes=(*self.notes, *patients.notes),
            interval=KIND,
            seed=seed,
            draws=len(own),
        )
        return table

    def _draws_for(self, patients: int, draws: int | None) -> Draws:
        if draws is None and patients > MANY_PATIENTS:
            draws = min(len(self.draws), DRAWS_FOR_MANY)
        return self.draws if draws is None else self.draws.first(draws)

    def _check_request(self, draws: int | None, threshold: float | None) -> None:
        if draws is not None and not 100 <= draws <= len(self.draws):
            raise UsageError(
                f"draws={draws}",
                expected=f"100 to {len(self.draws)}, what the scorer holds",
                hint="update(..., draws=...)",
            )
        if threshold is not None and not 0 < threshold < 1:
            raise UsageError(f"threshold={threshold}", expected="a probability between 0 and 1; levels have no cut-off")

    def _rows(
        self, patients: list[Patient], shared: Groups, versions: _Versions, seed: int, threshold: float | None
    ) -> list[dict[str, Any]]:
        after, prior, prior_share = self._compared(patients, shared, versions, seed)
        columns: dict[str, Any] = {"patient": [patient.id for patient in patients], "p_response": after.mean}
        ends = [(1 + sign * level) / 2 for level in INTERVALS.values() for sign in (-1, 1)]
        names = [end + suffix for suffix in INTERVALS for end in ("lower", "upper")]
        columns |= dict(zip(names, after.quantiles(ends).T, strict=True))
        if threshold is not None:
            columns["p_above"] = after.above(threshold)
            columns["gain_above"] = after.gain_above(threshold)
        columns |= {"p_prior_only": prior.mean, "prior_share": prior_share}
        columns |= {f"share_{name}": share for name, share in after.shares.items()}
        columns["flags"] = [
            self._flags(patient, float(z), float(effective), float(share))
            for patient, z, effective, share in zip(patients, after.z, after.effective, prior_share, strict=True)
        ]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _compared(
        self, patients: list[Patient], shared: Groups, versions: _Versions, seed: int
    ) -> tuple[Predictions, Predictions, np.ndarray]:
        """Predictions, those of the prior, and the share of the prior."""
        own = Batch(self.definition, versions.own, patients, shared, seed)
        after = own.predict()
        if self.facts is None:
            return after, after, np.ones(len(patients))
        prior = Batch(self.definition, versions.prior, patients, shared, seed).predict()
        return after, prior, np.minimum(1.0, after.variance / own.variance_with(versions.untaught))

    def _flags(self, patient: Patient, z: float, effective: float, prior_share: float) -> str:
        found = list(
            flags_of(
                self.definition.reference_platform,
                self.facts,
                patient,
                z=z,
                effective=effective,
                prior_share=prior_share,
                several_trials="tau_trial" in self.draws.names,
            )
        )
        if patient.id in self.known:
            found.append("a patient of this name was in the cohort of the update")
        return "; ".join([*([] if self.ok else ["NOT RELIABLE: the draws failed their check"]), *found])

    def calibration(self, holdout: Cohort, *, seed: int = 0) -> pd.DataFrame:
        """Compare scores with the responses of patients who were not in the update.

        Parameters
        ----------
        holdout : Cohort
            Patients with known responses; those without one are left out.
        seed : int
            Of scores and bootstrap.

        Returns
        -------
        DataFrame
            See `mscpkpd.responder.performance.calibration`.

        Raises
        ------
        CohortError
            For fewer than 10 known responses, or one outcome only.
        """
        return self._judged(calibration, holdout, seed)

    def decision_curve(
        self, holdout: Cohort, *, seed: int = 0, alternative: Mapping[str, bool] | None = None
    ) -> pd.DataFrame:
        """Return the net value of acting on the score at each threshold.

        Parameters
        ----------
        holdout : Cohort
            As in `calibration`.
        seed : int
            Of scores and bootstrap.
        alternative : mapping of str to bool, optional
            Whom another, declared rule treats, by name of the patient.

        Returns
        -------
        DataFrame
            See `mscpkpd.responder.performance.decision_curve`.

        Raises
        ------
        CohortError
            As `calibration`.
        """
        other = None
        if alternative is not None:
            missing = [patient.id for patient in holdout.labelled if patient.id not in alternative]
            if missing:
                raise UsageError(
                    f"no alternative for patient '{missing[0]}'", expected="True or False for every patient"
                )
            other = np.array([float(alternative[patient.id]) for patient in holdout.labelled])
        return self._judged(partial(decision_curve, alternative=other), holdout, seed)

    def calibration_curve(self, holdout: Cohort, *, seed: int = 0) -> pd.DataFrame:
        """Return the response rate at each score, with a band.

        Parameters
        ----------
        holdout : Cohort
            As in `calibration`.
        seed : int
            Of scores and bootstrap.

        Returns
        -------
        DataFrame
            See `mscpkpd.responder.performance.calibration_curve`.

        Raises
        ------
        CohortError
            As `calibration`.
        """
        return self._judged(calibration_curve, holdout, seed)

    def decide(
        self, patients: Cohort, *, alternative: float | str = "ruxolitinib", cost: float = 0.0, seed: int = 0
    ) -> pd.DataFrame:
        """Compare P(response) under MSC with that of another therapy; the threshold follows from utilities alone.

        Parameters
        ----------
        patients : Cohort
            As in `score`.
        alternative : float or str
            P(response) of the other therapy, a probability, flat over patients; "ruxolitinib" (0.62) and
            "best_available" (0.39) are those of REACH2 at day 28.
        cost : float
            What MSC cost more than it in burden and delay, in units of P(response).
        seed : int
            Of the scores.

        Returns
        -------
        DataFrame
            patient, p_response, threshold (alternative + cost), p_above (posterior probability that P(response) exceeds
            it), expected_gain (p_response - threshold) and evpi (expected gain from knowing P(response) exactly). A
            level of CXCL10 has no threshold.

        Raises
        ------
        UnknownName
            For another therapy by name.
        UsageError
            If the threshold is not between 0 and 1.
        """
        if isinstance(alternative, str):
            if alternative not in ALTERNATIVES:
                raise UnknownName.among("alternative", alternative, ALTERNATIVES)
            alternative = ALTERNATIVES[alternative]
        threshold = alternative + cost
        if not 0 < threshold < 1:
            raise UsageError(f"alternative {alternative:g}, cost {cost:g}", expected="a sum between 0 and 1")
        scored = self.score(patients, seed=seed, threshold=threshold)
        gain = scored["p_response"] - threshold
        table = scored[["patient", "p_response"]].assign(
            threshold=threshold,
            p_above=scored["p_above"],
            expected_gain=gain,
            evpi=scored["gain_above"] - gain.clip(lower=0),
            flags=scored["flags"],
        )
        table.attrs.update(scored.attrs)
        return table

    def _judged(self, judge: Any, holdout: Cohort, seed: int) -> pd.DataFrame:
        labelled = Cohort(holdout.labelled, holdout.source)
        scores = self.score(labelled, seed=seed)["p_response"].to_numpy() if labelled.patients else np.zeros(0)
        responses = np.array([patient.response for patient in labelled.patients], float)
        table: pd.DataFrame = judge(scores, responses, np.random.default_rng(seed), holdout.source)
        again = sum(patient.id in self.known for patient in labelled.patients)
        notes = (
            [f"{again} of these patients were in the update: this is apparent performance, too good"] if again else []
        )
        table.attrs.update(banner=BANNER, outcome=self.definition.outcome, notes=(*self.notes, *notes), interval=KIND)
        return table

    # ---- what was learned ------------------------------------------------------------------------------------------

    @property
    def rate(self) -> RateUpdate | None:
        """The cohort's response rate without and with the prior, and its prior predictive tail probability."""
        if self.facts is None:
            return None
        return update_rate(self.facts.responders, self.facts.labelled, self.definition.rate_prior)

    @property
    def comparison(self) -> pd.DataFrame:
        """Prior, cohort alone and both together: parameter, their mean and 95 % interval, conflict (two-sided tail)."""
        rows = []
        for one in self.contrasts:
            row: dict[str, Any] = {"parameter": one.parameter}
            for name in ("prior", "cohort", "posterior"):
                ends = ("", "_lower", "_upper")
                row |= {name + end: value for end, value in zip(ends, getattr(one, name), strict=True)}
            rows.append({**row, "conflict": one.conflict})
        table = pd.DataFrame(rows)
        table.attrs.update(banner=BANNER, notes=self.notes, interval=KIND)
        return table

    def summary(self) -> pd.DataFrame:
        """Return the parameter table.

        Returns
        -------
        DataFrame
            parameter, estimate (posterior mean), lower, upper (95 % central interval), sd, unit, learned (S2:
            1 - var(posterior)/var(prior) on the free scale; 0 for what the cohort was too small to update).
            ``attrs`` holds the banner and the notes.
        """
        rows = [self._summary_row(name) for name in self.draws.names]
        table = pd.DataFrame(rows)
        table.attrs.update(banner=BANNER, notes=self.notes, interval=KIND, updated=self.updated)
        return table

    def _summary_row(self, name: str) -> dict[str, Any]:
        values = self.draws.column(name)
        on_predictor = name == SLOPE_ON_PREDICTOR
        several = "tau_trial" in self.draws.names
        covariates = groups_in(self.definition, self.draws).covariates
        prior = (
            predictor_slope_prior(self.definition, covariates)
            if on_predictor
            else prior_of(self.definition, name, several_trials=several)
        )
        effect = not on_predictor and name.startswith((TRIAL, CENTRE, TRIAL_SLOPE))
        free = prior.free(values)
        untouched = self.updated == "none" or (self.updated == "alpha" and name.startswith(("b1", "gamma")))
        lower, upper = np.quantile(values, [0.025, 0.975])
        family = next((kind for kind in ("offset", "plate") if name.startswith(kind)), name)
        parameter = None if on_predictor or effect else self.definition.parameter(family)
        return {
            "parameter": name,
            "estimate": float(values.mean()),
            "lower": float(lower),
            "upper": float(upper),
            "sd": float(values.std(ddof=1)),
            "unit": parameter.unit if parameter else "1",
            "learned": 0.0 if untouched else math.nan if effect else 1.0 - float(free.var(ddof=1)) / prior.sd**2,
        }

    def __str__(self) -> str:
        head = [] if self.ok else [f"NOT RELIABLE: {self.check}"]
        source = (
            "the prior alone"
            if self.facts is None
            else f"{'SYNTHETIC ' * self.facts.synthetic}cohort {self.facts.source}"
        )
        lines = [
            *head,
            BANNER,
            "",
            f"{self.definition.title}; {source}, slope prior '{self.definition.slope}'",
            self.definition.outcome,
        ]
        lines += [*(f"note: {note}" for note in self.notes)]
        if self.rate is not None:
            lines += [str(self.rate), f"draws: {self.method}, {self.check}"]
        lines += [str(one) for one in self.contrasts]
        table = self.summary().to_string(index=False, float_format="{:.3g}".format)
        return "\n".join([*lines, "", table, f"({KIND}; learned = share of the prior variance removed)"])

    # ---- files -----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write a folder: a readable ``scorer.toml``, the responder file with its trials, the draws; no patient data.

        Parameters
        ----------
        path : str or Path
            Folder; an earlier scorer there is replaced.

        Returns
        -------
        Path

        Raises
        ------
        UsageError
            If something else stands there.
        """
        values = {name: getattr(self, name) for name in STORED}
        values["contrasts"] = [one.as_row() for one in self.contrasts]
        cohort = {} if self.facts is None else self.facts._asdict()
        table = self.summary().to_string(index=False, float_format="{:.4g}".format)
        return write_folder(path, Stored(self.definition, self.draws, values, cohort), table)

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """Read a folder written by `save`.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        ModelError
            If it is no such folder, or a file in it is damaged.
        """
        return load_scorer(path)


def load_scorer(path: str | Path) -> Scorer:
    """Read a scorer written by `Scorer.save`.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Scorer
        It scores as before; the names of the cohort's patients are not known to it.

    Raises
    ------
    ModelError
        If it is no such folder, or a file in it is damaged.

    Notes
    -----
    Only text, numbers and names are read: nothing in the folder is executed.
    """
    stored = read_folder(path)
    try:
        facts = CohortFacts(**stored.cohort) if stored.cohort else None
        plain = {name: stored.plain[name] for name in STORED}
        plain["contrasts"] = tuple(Contrast.of(row) for row in plain["contrasts"])
        return Scorer(stored.definition, stored.draws, facts=facts, **plain)
    except (KeyError, TypeError) as error:
        raise ModelError(f"damaged ({error})", where=str(path), hint="save the scorer again") from error
