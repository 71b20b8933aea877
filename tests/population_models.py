"""Small hierarchical models and studies, shared by the tests of random effects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mscpkpd.data import Study, study_from_frame
from mscpkpd.model import Covariance, Model, Variability, check
from mscpkpd.parameters import Prior
from reference.small_models import model, parameter, route

HALF = Prior("halfnormal", (2.0,))


def linear(*spread: Variability, covariance: tuple[Covariance, ...] = (), noise: str = "additive(s)") -> Model:
    """A concentration that is linear in c0 and slope: its marginal likelihood is that of a multivariate normal."""
    made = model(
        {"central": "-k*central"},
        (
            parameter("k", 0.1, "1/h"),
            parameter("D", 100.0, "mg"),
            parameter("c0", 10.0, "mg/L", "normal(10, 5)"),
            parameter("slope", 0.5, "mg/L/h", "normal(0, 2)"),
            parameter("s", 0.5, "mg/L", "lognormal(0.5, 1)"),
        ),
        routes=(route("iv", {"central": "1"}),),
        outputs={"conc": ("c0*central/D + slope*t", "mg/L", noise)},
    )
    made = replace(made, variability=spread, covariance=covariance)
    check(made)
    return made


def one_compartment(*spread: Variability, noise: str = "additive(s)", covariance: tuple[Covariance, ...] = ()) -> Model:
    """CL, V and absorption, with a covariate effect of weight and of sex on CL."""
    made = model(
        {"depot": "-ka*depot", "central": "ka*depot - CL*(weight/70)**theta*(1 + d*sex_f)/V*central"},
        (
            parameter("CL", 5.0, "L/h", "lognormal(5, 0.5)"),
            parameter("V", 50.0, "L", "lognormal(50, 0.5)"),
            parameter("ka", 1.5, "1/h", "lognormal(1.5, 0.5)"),
            parameter("F", 0.6, "1", "logitnormal(0.6, 0.2)"),
            parameter("theta", 0.75, "1", "normal(0.75, 0.2)"),
            parameter("d", 0.1, "1", "normal(0, 0.3)"),
            parameter("weight", 70.0, "1"),
            parameter("sex_f", 0.0, "1"),
            parameter("s", 0.1, "mg/L" if noise.startswith("additive") else "1", "lognormal(0.1, 1)"),
        ),
        routes=(route("oral", {"depot": "F"}), route("iv", {"central": "1"})),
        outputs={"conc": ("central/V", "mg/L", noise)},
    )
    made = replace(made, variability=spread, covariance=covariance)
    check(made)
    return made


def table(rows: list[dict[str, object]], **common: object) -> Study:
    """A study with doses of 100 mg and times in hours."""
    shared = {"dose": "100 mg", "route": "iv", "output": "conc", "unit": "mg/L", **common}
    frame = pd.DataFrame([{**shared, **row, "replicate": str(k)} for k, row in enumerate(rows, 1)])
    return study_from_frame(frame, name="toy", time_unit="h")


def grid(subjects: int, times: tuple[float, ...], value: float = 5.0, **columns: object) -> list[dict[str, object]]:
    """Rows of subjects S1, S2, ... at the same times, with values that scatter."""
    rng = np.random.default_rng(3)
    return [
        {"subject": f"S{i}", "time": t, "value": round(value * np.exp(0.2 * rng.standard_normal()), 3), **columns}
        for i in range(1, subjects + 1)
        for t in times
    ]
