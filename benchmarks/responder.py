"""How long do 10,000 scores with a saved model take, and an update with 200 patients?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from _record import Row, Target, quick
from _timing import Way, measured

from mscpkpd.responder import load_responder, load_scorer
from mscpkpd.responder.synthetic import synthetic_cohort

PATIENTS, COHORT = 10_000, 200


def main() -> None:
    """Both questions; every patient is SYNTHETIC."""
    prior, cohort = load_responder(), synthetic_cohort("base", COHORT, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        scorer = load_scorer(prior.update(cohort, seed=1).save(Path(folder) / "scorer"))
    patients = synthetic_cohort("base", PATIENTS, seed=2)
    budget = 1.0 if quick() else 20.0
    for problem, target, way in (
        (f"scores of {PATIENTS:,} patients", 2.0, Way("mscpkpd", lambda: scorer.score(patients))),
        (f"update with {COHORT} patients", 30.0, Way("mscpkpd", lambda: prior.update(cohort, seed=1))),
    ):
        row = Row("responder", "CXCL10 and response: learn and score", problem, "s", Target(target))
        row.add_timings(measured([way], budget=budget), factor=1e-3)
        row.finish()


if __name__ == "__main__":
    main()
