"""How long does a hierarchical fit of 32 subjects with four random effects take?

The core at ten times, 1000 warm-up draws and 1000 draws of four chains by `fit`, on all cores; start of the workers and
compilation included. After `LIMIT` seconds it is stopped, and the row says how far it came.
"""

from __future__ import annotations

import time
from dataclasses import replace

import _problems
import numpy as np
import pandas as pd
from _record import Row, Target, quick
from sampling import CORE

from mscpkpd import fit, simulate
from mscpkpd.data import Study, study_from_frame
from mscpkpd.model import Covariance, Model, Variability

VARIED = ("k_L", "k_T", "q0", "Smax")
LIMIT = 900.0  # s
SPREAD = 0.3  # SD on the scale of the logarithm, between subjects
DOSE = {"dose": 5e5, "dose_unit": "cells", "route": "iv", "dose_time": 0.0, "time_unit": "h", "synthetic": "yes"}


def varying(model: Model) -> Model:
    """The model with four parameters that vary between subjects, without correlations."""
    rows = tuple(Variability(name, "subject", SPREAD, source="for a benchmark") for name in VARIED)
    return replace(model, variability=rows, covariance=(Covariance("subject", "diagonal"),))


def study_of(model: Model, posed: _problems.Posed, subjects: int) -> Study:
    """SYNTHETIC values of all outputs of the problem."""
    outputs = posed.system.outputs
    drawn = simulate(model, posed.regimen, subjects=subjects, times=posed.times.tolist(), outputs=outputs, seed=1)
    rng, rows = np.random.default_rng(1), []
    for name in outputs:
        output = model.output(name)
        values = output.noise.sample(rng, drawn[name].to_numpy()[0, :, 0], model.values)
        rows += [
            {"subject": f"S{k}", "time": t, "output": name, "value": value, "unit": output.unit, **DOSE}
            for k, own in enumerate(values)
            for t, value in zip(posed.times, own, strict=True)
        ]
    return study_from_frame(pd.DataFrame(rows))


class OutOfTime(Exception):
    """The fit took longer than the benchmark waits."""


def main() -> None:
    posed = _problems.core_ten_times()
    model = varying(posed.model)
    study = study_of(model, posed, 2 if quick() else 32)
    row = Row("hierarchical", "Hierarchical fit, 4 random effects", f"{posed.name}, 32 subjects", "s", Target(180.0))
    length = 20 if quick() else 1000
    began = time.perf_counter()
    free = [name for name in CORE if name in model.free_names]

    def watch(done: int, wanted: int, _words: str) -> None:
        if time.perf_counter() - began > LIMIT:
            raise OutOfTime(f"{done} of {wanted} draws, warm-up included, in {LIMIT:g} s")

    try:
        found = fit(model, study, "nuts", free=free, draws=length, tune=length, chains=4, seed=1, progress=watch)
    except OutOfTime as reason:
        row.skipped["mscpkpd fit"] = f"not finished: {reason}"
        row.finish()
        return
    took = time.perf_counter() - began
    ess = found.table["ess_bulk"].min()
    row.add("mscpkpd fit", took, note=f"smallest bulk ESS {ess:.0f}, largest R-hat {found.table['r_hat'].max():.3f}")
    row.facts["engine"] = found.settings["engine"]
    row.facts["seconds"] = round(took, 1)
    row.facts["verdict"] = found.verdict
    row.finish()


if __name__ == "__main__":
    main()
