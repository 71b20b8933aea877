"""A small model with one state and every kind of row, shared by the tests of observations, problems and likelihoods."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mscpkpd.data import Study, study_from_frame
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model

ORIGIN = 'source = "test", evidence = "assumed"'
OTHER = 'prior_source = ["other"], prior_without = "lognormal(0.2, 1.0)"'
TEXT = """
format = 1
name = "toy"
title = "Toy"
about = "Cells that are lost at one rate."
time = "h"

[parameters]
k  = {{ value = 0.1, unit = "1/h", prior = "lognormal(0.1, 0.5)", about = "loss", {origin}, {other} }}
F  = {{ value = 0.8, unit = "1", prior = "logitnormal(0.8, 0.1)", about = "share that arrives", {origin} }}
idle = {{ value = 2.0, unit = "1", prior = "normal(2, 1)", about = "in no equation", {origin} }}
V  = {{ value = 10.0, unit = "mL", prior = "fixed", about = "volume", {origin} }}
a  = {{ value = 3.0, unit = "{unit}", prior = "halfnormal(5)", about = "noise", {origin} }}
b  = {{ value = 0.3, unit = "1", prior = "halfnormal(0.5)", about = "noise", {origin} }}

[states]
body = {{ unit = "cells", about = "cells" }}

[routes]
iv = {{ into = {{ body = "F" }} }}

[rates]
body = "-k*body"

[outputs]
conc   = {{ is = "body/V", unit = "cells/mL", noise = "{noise}" }}
count  = {{ is = "body", unit = "cells", noise = "lognormal(b)" }}
silent = {{ is = "2*body", unit = "cells" }}
"""


def toy_model(folder: Path, noise: str = "lognormal(b)", unit: str = "cells/mL") -> Model:
    """The model with a noise model of one's choice for `conc`."""
    path = folder / "toy.toml"
    path.write_text(TEXT.format(noise=noise, unit=unit, origin=ORIGIN, other=OTHER))
    return load_model(path)


def study_of(rows: list[dict[str, object]], dose: float = 1000.0, **extra: object) -> Study:
    """Rows with time and value; all else has a default."""
    base = {
        "subject": "s1", "time_unit": "h", "output": "conc", "unit": "cells/mL", "route": "iv", "dose": dose,
        "dose_unit": "cells", **extra,
    }  # fmt: skip
    return study_from_frame(pd.DataFrame([{**base, **row} for row in rows]), name="toy")
