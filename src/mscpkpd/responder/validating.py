"""Performance that is not apparent: optimism by refitting bootstrap cohorts, and each trial judged by the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mscpkpd.cohort import Cohort
from mscpkpd.errors import CohortError, UsageError
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.performance import calibration, discrimination

if TYPE_CHECKING:
    from mscpkpd.responder.mixtures import FloatArray
    from mscpkpd.responder.scorer import Scorer

__all__ = ["by_trial", "optimism"]

Update = Callable[..., "Scorer"]  # `Responder.update` of the model that is judged

DRAWS = 500
FEWEST_REFITS = 10


def optimism(update: Update, cohort: Cohort, *, refits: int, seed: int) -> pd.DataFrame:
    """See `Responder.internal_validation`."""
    if refits < FEWEST_REFITS:
        raise UsageError(f"refits={refits}", expected=f"at least {FEWEST_REFITS}")
    known = Cohort(cohort.labelled, cohort.source)
    calibrated = update(cohort, seed=seed, contrast=False).calibration(known, seed=seed)
    apparent = calibrated.set_index("measure")["estimate"]
    rng = np.random.default_rng(seed)
    differences: list[dict[str, float]] = []
    while len(differences) < refits:
        chosen = rng.integers(len(known), size=len(known))
        patients = tuple(replace(known.patients[i], id=f"{known.patients[i].id}/{k}") for k, i in enumerate(chosen))
        drawn = Cohort(patients, cohort.source)
        if drawn.responders in (0, len(drawn)):
            continue  # a bootstrap cohort of one outcome has no AUC
        scorer = update(drawn, seed=seed, draws=DRAWS, contrast=False)
        own, original = (_performance(scorer, table, seed) for table in (drawn, known))
        differences.append({name: own[name] - original[name] for name in own})
    rows = []
    for name in differences[0]:
        excess = float(np.mean([row[name] for row in differences]))
        value = float(apparent[name])
        rows.append({"measure": name, "apparent": value, "optimism": excess, "corrected": value - excess})
    table = pd.DataFrame(rows)
    notes = ["apparent performance less the mean optimism of refitted bootstrap cohorts"]
    table.attrs.update(banner=BANNER, notes=tuple(notes + ["SYNTHETIC cohort"] * cohort.synthetic), refits=refits)
    return table


def _performance(scorer: Scorer, cohort: Cohort, seed: int) -> dict[str, float]:
    scores = scorer.score(cohort, seed=seed)["p_response"].to_numpy()
    return discrimination(scores, _responses(cohort))


def _responses(cohort: Cohort) -> FloatArray:
    return np.array([patient.response for patient in cohort.patients], float)


def by_trial(update: Update, cohort: Cohort, *, seed: int) -> pd.DataFrame:
    """See `Responder.leave_one_trial_out`."""
    trials = list(dict.fromkeys(patient.trial for patient in cohort.patients))
    if len(trials) < 2:
        raise CohortError("one trial only", where=cohort.source, expected="a column 'trial' with at least two names")
    rows = []
    for trial in trials:
        rest = Cohort(tuple(one for one in cohort.patients if one.trial != trial), cohort.source)
        own = Cohort(tuple(one for one in cohort.labelled if one.trial == trial), f"{cohort.source}, trial {trial}")
        scorer = update(rest, seed=seed, contrast=False)
        scores = scorer.score(own, seed=seed)["p_response"].to_numpy()
        found = calibration(scores, _responses(own), np.random.default_rng(seed), own.source).set_index("measure")
        row: dict[str, object] = {"trial": trial, "patients": len(own), "auc": found["estimate"]["auc"]}
        row |= {f"auc_{end}": found[end]["auc"] for end in ("lower", "upper")}
        measures = ("calibration_slope", "observed_over_expected", "brier")
        rows.append({**row, **{name: found["estimate"][name] for name in measures}})
    table = pd.DataFrame(rows)
    table.attrs.update(banner=BANNER, notes=("each trial judged by a model that never saw it",))
    return table
