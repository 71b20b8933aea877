"""How long does a table of 1,000 subjects and 100,000 rows take to read, and to read, check and simulate?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _record import Row, Target, quick
from _timing import Way, measured

SUBJECTS, ROWS_EACH = 1000, 100
READ, EVERYTHING = Target(2.0), Target(20.0)  # seconds, on two cores


def table_of(subjects: int) -> pd.DataFrame:
    """Three additional doses, 99 observations and a body weight for each subject; the same for the same number."""
    rng = np.random.default_rng(0)
    rows = []
    for subject in range(1, subjects + 1):
        weight = round(float(rng.normal(70, 10)), 1)
        rows.append((subject, 0, 1, 100, 3, 12, "iv", ".", ".", 1, 0, weight))
        times = np.sort(np.round(rng.uniform(0.1, 72, ROWS_EACH - 1), 2))
        values = np.round(np.exp(rng.normal(0, 1, ROWS_EACH - 1)), 4)
        rows += [(subject, t, 0, ".", ".", ".", "iv", 1, y, 0, 0, weight) for t, y in zip(times, values, strict=True)]
    header = (
        "ID",
        "TIME [h]",
        "EVID",
        "AMT [mg]",
        "ADDL",
        "II",
        "CMT",
        "DVID",
        "DV [mg/L]",
        "MDV",
        "CENS",
        "WEIGHT [kg]",
    )
    return pd.DataFrame(rows, columns=list(header))


def main() -> None:
    from mscpkpd import load_model, read_study, simulate
    from mscpkpd.cli.checking import Reading, verdict_of

    subjects = 50 if quick() else SUBJECTS
    model, named = load_model("pk_one_compartment"), {1: "conc"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        table_of(subjects).to_csv(path, index=False)

        def read() -> object:
            return read_study(path, outputs=named)

        def everything() -> None:
            read()
            problem = verdict_of(path, Reading(outputs=named)).problem
            rows = simulate(model, events=path)
            if problem or rows.attrs["failures"] or len(rows) != subjects * (ROWS_EACH - 1):
                raise SystemExit(f"the table was not simulated as a whole: {problem} {rows.attrs['failures'][:1]}")

        problem = f"{subjects} subjects, {subjects * ROWS_EACH} rows"
        for title, call, target in (
            ("Time to read a table", read, READ),
            ("Time to read, check and simulate a table", everything, EVERYTHING),
        ):
            row = Row("reading", title, problem, "s", target)
            row.add_timings(measured([Way(f"mscpkpd.{call.__name__}", call)], budget=1.0 if quick() else 20.0), 1e-3)
            row.finish()


if __name__ == "__main__":
    main()
