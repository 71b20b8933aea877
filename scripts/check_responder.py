"""The statistical acceptance of the responder model: resumable, one JSON line for each cohort.

    python scripts/check_responder.py sbc --cohorts 1000      # ranks of the truth, fast path, n = 40, two platforms
    python scripts/check_responder.py sbc-nuts --cohorts 200  # the same by NUTS
    python scripts/check_responder.py landmark --cohorts 1000 # the model with the 24 h change
    python scripts/check_responder.py agree --cohorts 20      # fast path against NUTS, 20,000 effective draws each
    python scripts/check_responder.py scenarios --cohorts 120 # P(slope) of the null and the reversed scenario, n = 160
    python scripts/check_responder.py summary                 # docs/responder/acceptance.json and its figure

Lines are appended to build/responder/<task>.jsonl; a task goes on where it stopped. Every patient is SYNTHETIC.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mscpkpd.responder import load_responder
from mscpkpd.responder.draws import prior_draws
from mscpkpd.responder.landmark import landmark_prior_draw
from mscpkpd.responder.nuts import compiled_model, sampled
from mscpkpd.responder.samples import Groups
from mscpkpd.responder.synthetic import cohort_of_draw, synthetic_cohort
from mscpkpd.responder.question import question_of

REPOSITORY = Path(__file__).parents[1]
ROWS = REPOSITORY / "build" / "responder"
PAGE = REPOSITORY / "docs" / "responder"
PLATFORMS = ("ELISA", "Luminex")
N = 40
ENOUGH = 20_000  # effective draws of either way


def sbc(k: int) -> dict[str, Any]:
    """Ranks of one truth in its posterior, fast path."""
    prior, truth, cohort = _drawn(k)
    scorer = prior.update(cohort, learn="full", seed=k, draws=1000, method="importance")
    ranks = {name: float(np.mean(scorer.draws.column(name) < value)) for name, value in truth.items()}
    return {"ok": scorer.ok, "ess": scorer.ess, "ranks": ranks}


def _drawn(k: int) -> tuple[Any, dict[str, float], Any]:
    prior = load_responder()
    rng = np.random.default_rng([7, k])
    drawn = prior_draws(prior.definition, PLATFORMS, 1, rng)
    truth = {name: float(drawn.column(name)[0]) for name in drawn.names}
    while True:  # a cohort on one platform cannot tell the offset
        cohort = cohort_of_draw(prior.definition, truth, N, rng)
        if len({patient.platform for patient in cohort.patients}) == len(PLATFORMS):
            return prior, truth, cohort


@cache
def _compiled() -> Any:
    """One compiled NUTS model for all cohorts of the same layout."""
    prior, _, cohort = _drawn(0)
    return compiled_model(question_of(prior.definition, cohort, "full"))


def _nuts(prior: Any, cohort: Any, k: int, draws: int, tune: int) -> tuple[dict[str, np.ndarray], Any]:
    question = question_of(prior.definition, cohort, "full")
    if question.groups != Groups(PLATFORMS):
        raise ValueError(f"another layout: {question.groups}")
    sample = sampled(_compiled(), draws, k, tune=tune, samples=question.samples)
    return question.columns(sample.draws), sample


def sbc_nuts(k: int) -> dict[str, Any]:
    """Ranks of one truth in its posterior by NUTS."""
    prior, truth, cohort = _drawn(k)
    columns, sample = _nuts(prior, cohort, k, 2000, 500)
    ranks = {name: float(np.mean(columns[name] < value)) for name, value in truth.items()}
    return {"ok": sample.ok, "ess": sample.ess, "ranks": ranks}


def agree(k: int) -> dict[str, Any]:
    """Means and SDs of both ways, in posterior SDs."""
    prior, _, cohort = _drawn(10_000 + k)
    fast = prior.update(cohort, learn="full", seed=k, draws=40_000, method="importance")
    for draws in (48_000, 150_000):
        columns, sample = _nuts(prior, cohort, k, draws, 1000)
        if sample.ess >= ENOUGH:
            break
    names = fast.draws.names
    own = {name: fast.draws.column(name) for name in names}
    difference = {name: float((own[name].mean() - columns[name].mean()) / columns[name].std()) for name in names}
    ratio = {name: float(own[name].std() / columns[name].std()) for name in names}
    effective = {"fast_ess": fast.ess, "nuts_ess": sample.ess, "ok": fast.ok and sample.ok}
    return {**effective, "difference": difference, "sd_ratio": ratio}


def scenarios(k: int) -> dict[str, Any]:
    """P(b1 > 0) of one cohort of each of two scenarios, n = 160, at the dilution of the shipped file."""
    prior = load_responder()
    found = {}
    for name in ("null", "reversed"):
        scorer = prior.update(synthetic_cohort(name, 160, seed=k), learn="full", seed=k, draws=1000)
        found[name] = float(np.mean(scorer.draws.column("b1") > 0))
    return found


def landmark(k: int) -> dict[str, Any]:
    """Ranks of one truth of the landmark model."""
    prior = load_responder()
    rng = np.random.default_rng([8, k])
    truth = landmark_prior_draw(prior.definition, PLATFORMS, rng)
    while True:
        cohort = cohort_of_draw(prior.definition, truth, N, rng)
        if len({patient.platform for patient in cohort.patients}) == len(PLATFORMS):
            break
    fitted = prior.landmark(cohort, seed=k, draws=1000)
    ranks = {name: float(np.mean(fitted.draws.column(name) < value)) for name, value in truth.items()}
    return {"ok": fitted.ok, "ess": fitted.ess, "ranks": ranks}


TASKS: dict[str, Callable[[int], dict[str, Any]]] = {
    "sbc": sbc,
    "sbc-nuts": sbc_nuts,
    "agree": agree,
    "scenarios": scenarios,
    "landmark": landmark,
}


def rows(task: str) -> list[dict[str, Any]]:
    """What is there of a task."""
    path = ROWS / f"{task}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run(task: str, cohorts: int, limit: float) -> Iterator[str]:
    """Do what is missing, for at most some seconds."""
    ROWS.mkdir(parents=True, exist_ok=True)
    done = {row["k"] for row in rows(task)}
    started = time.monotonic()
    for k in (k for k in range(cohorts) if k not in done):
        if time.monotonic() - started > limit:
            yield f"{task}: stopped after {limit:g} s; the same command goes on"
            return
        row = {"k": k, **TASKS[task](k)}
        with (ROWS / f"{task}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    yield f"{task}: {len(rows(task))} of {cohorts}"


def main() -> None:
    """Run one task, or write the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*TASKS, "summary"])
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1e9)
    given = parser.parse_args()
    if given.task == "summary":
        from _responder_summary import write_summary

        print(write_summary({task: rows(task) for task in TASKS}, PAGE))
        return
    for line in run(given.task, given.cohorts, given.seconds):
        print(line)


if __name__ == "__main__":
    main()
