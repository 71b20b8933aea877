"""One compartment with every kind of route, and tables of events for it, shared by the tests of event tables."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from mscpkpd.model import Model
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

FIXED = 'prior = "fixed", about = "x", source = "test", evidence = "assumed"'
TEXT = f"""
format = 1
name = "one"
title = "One compartment"
about = "CL 5, V 50, as in the closed forms."
time = "h"

[parameters]
CL = {{ value = 5, unit = "L/h", {FIXED} }}
V  = {{ value = 50, unit = "L", {FIXED} }}
KA = {{ value = 1.5, unit = "1/h", {FIXED} }}
F  = {{ value = 1, unit = "1", {FIXED} }}
L  = {{ value = 0, unit = "h", {FIXED} }}
D  = {{ value = 2, unit = "h", {FIXED} }}
R  = {{ value = 50, unit = "mg/h", {FIXED} }}
v0 = {{ value = 1, unit = "1", {FIXED} }}
s  = {{ value = 0.1, unit = "1", {FIXED} }}

[states]
central = {{ unit = "mg", about = "amount" }}
depot   = {{ unit = "mg", about = "amount" }}

[routes]
iv    = {{ into = {{ central = "F*viable" }}, lag = "L" }}
thaw  = {{ into = {{ central = "viable" }}, viable = "v0" }}
slow  = {{ into = {{ central = "F" }}, duration = "D" }}
pump  = {{ into = {{ central = "F" }}, rate = "R" }}
oral  = {{ into = {{ depot = "F" }}, lag = "L" }}
split = {{ into = {{ central = "0.6", depot = "0.4" }} }}

[rates]
central = "KA*depot - CL/V*central"
depot   = "-KA*depot"

[outputs]
conc = {{ is = "central/V", unit = "mg/L", noise = "proportional(s)" }}
"""


@lru_cache
def one_compartment() -> Model:
    """The model, read from a file that is gone."""
    return loaded(TEXT)


def loaded(text: str) -> Model:
    """A model from its text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.toml"
        path.write_text(text)
        return load_model(path)


def frame(text: str) -> pd.DataFrame:
    """A table from text with blanks between the columns."""
    return pd.read_csv(StringIO(text), sep=r"\s+", dtype=str, keep_default_na=False)


def conc(text: str, model: Model | None = None, **values: float) -> list[float]:
    """Concentration at the rows of a table."""
    return list(simulate(model or one_compartment(), events=frame(text), parameters=values or None)["conc"])
