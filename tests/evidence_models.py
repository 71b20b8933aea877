"""A model of two organs with a limit of detection, a biased method and a hazard, shared by the tests of quantities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mscpkpd.data import Study, study_from_frame
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model

ORIGIN = 'source = "test", evidence = "assumed"'
TEXT = """
format = 1
name = "two_organs"
title = "Two organs"
about = "Cells that leave the lung for the liver and are lost there, and animals that they harm."
time = "h"

[parameters]
k    = {{ value = 0.1,  unit = "1/h", prior = "lognormal(0.1, 0.5)", about = "loss from the lung", {origin} }}
q    = {{ value = 0.03, unit = "1/h", prior = "lognormal(0.03, 0.5)", about = "loss from the liver", {origin} }}
b    = {{ value = 0.2,  unit = "1", prior = "lognormal(0.2, 0.5)", about = "noise", {origin} }}
r    = {{ value = 0.3,  unit = "1", prior = "lognormal(0.3, 0.5)", about = "noise of ratios", {origin} }}
lod  = {{ value = 50,   unit = "cells", prior = "lognormal(50, 0.8)", about = "limit of detection", {origin} }}
s    = {{ value = 0.7,  unit = "1", prior = "lognormal(0.7, 0.3)", about = "width of the limit", {origin} }}
pet  = {{ value = 1.5,  unit = "1", prior = "lognormal(1, 0.5)", about = "bias of PET", {origin} }}
h0   = {{ value = 0.002, unit = "1/h", prior = "lognormal(0.002, 1)", about = "hazard", {origin} }}
harm = {{ value = 2e-5, unit = "1/h/cells", prior = "lognormal(2e-5, 1)", about = "harm", {origin} }}

m0   = {{ value = 5, unit = "pg/mL", prior = "fixed", about = "marker before", {origin} }}
m1   = {{ value = 0.01, unit = "pg/mL/cells", prior = "fixed", about = "marker of a cell", {origin} }}

[states]
lung  = {{ unit = "cells", about = "cells in the lung" }}
liver = {{ unit = "cells", about = "cells in the liver" }}

[routes]
iv     = {{ into = {{ lung = "1" }} }}
portal = {{ into = {{ liver = "1" }} }}

[rates]
lung  = "-k*lung"
liver = "k*lung - q*liver"

[outputs]
lung_cells  = {{ is = "lung", unit = "cells", noise = "lognormal(b)", detection = "probit(lod, s)", bias = {{ PET = "pet" }}, quantities = {{ half_life = "lognormal(r)", ratio = "lognormal(r)", fold_change = "lognormal(r)", peak_time = "additive(2)" }} }}
liver_cells = {{ is = "liver", unit = "cells", noise = "lognormal(b)", detection = "probit(lod, s)", quantities = {{ peak_time = "additive(2)", ratio = "lognormal(r)" }} }}
marker      = {{ is = "m0 + m1*lung", unit = "pg/mL", noise = "additive(0.5)", quantities = {{ fold_change = "lognormal(r)" }} }}
hazard      = {{ is = "h0 + harm*lung", unit = "1/h" }}
risk        = {{ is = "2*t*h0", unit = "1" }}
"""  # noqa: E501 (rows of a model file)
VALUES = {"k": 0.1, "q": 0.03, "b": 0.2, "r": 0.3, "lod": 50.0, "s": 0.7, "pet": 1.5, "h0": 0.002, "harm": 2e-5}
DOSE = 1000.0


def two_organs(folder: Path) -> Model:
    """The model, read from a file."""
    path = folder / "two_organs.toml"
    path.write_text(TEXT.format(origin=ORIGIN))
    return load_model(path)


def evidence(*rows: dict[str, object], **extra: object) -> Study:
    """Rows with what differs from 1000 cells i.v. in mouse m1, observed in the lung."""
    base = {
        "subject": "m1", "time": 0.0, "time_unit": "h", "output": "lung_cells", "unit": "cells", "route": "iv",
        "dose": DOSE, "dose_unit": "cells", **extra,
    }  # fmt: skip
    return study_from_frame(pd.DataFrame([{**base, **row} for row in rows]), name="evidence")


def lung(t: float | np.ndarray, k: float = 0.1) -> float | np.ndarray:
    """Closed form of the cells in the lung."""
    return DOSE * np.exp(-k * t)


def liver(t: float | np.ndarray, k: float = 0.1, q: float = 0.03) -> float | np.ndarray:
    """Closed form of the cells in the liver."""
    return DOSE * k / (q - k) * (np.exp(-k * t) - np.exp(-q * t))
