"""A model in which a covariate touches everything that an event can depend on, shared by the tests of covariates."""

from __future__ import annotations

from functools import lru_cache

from event_models import FIXED, loaded
from mscpkpd.model import Model

TEXT = f"""
format = 1
name = "touched"
title = "Two compartments, every number touched by a covariate"
about = "x scales clearance, volume, lag, duration, rate, fraction and start; y a clearance alone."
time = "h"

[parameters]
CL = {{ value = 5, unit = "L/h", {FIXED} }}
V  = {{ value = 50, unit = "L", {FIXED} }}
Q  = {{ value = 3, unit = "L/h", {FIXED} }}
V2 = {{ value = 30, unit = "L", {FIXED} }}
KA = {{ value = 1.5, unit = "1/h", {FIXED} }}
F  = {{ value = 0.7, unit = "1", {FIXED} }}
L  = {{ value = 0.5, unit = "h", {FIXED} }}
D  = {{ value = 2, unit = "h", {FIXED} }}
R  = {{ value = 50, unit = "mg/h", {FIXED} }}
B  = {{ value = 10, unit = "mg", {FIXED} }}
k  = {{ value = 0.05, unit = "1/h", {FIXED} }}
x  = {{ value = 1, unit = "1", {FIXED} }}
y  = {{ value = 1, unit = "1", {FIXED} }}
s  = {{ value = 0.1, unit = "1", {FIXED} }}

[states]
central    = {{ unit = "mg", about = "amount" }}
peripheral = {{ unit = "mg", about = "amount" }}
depot      = {{ unit = "mg", about = "amount" }}
pool       = {{ unit = "mg", start = "B*x", about = "amount" }}

[routes]
iv   = {{ into = {{ central = "F*x" }}, lag = "L*x" }}
oral = {{ into = {{ depot = "F*x" }}, lag = "L*x" }}
slow = {{ into = {{ central = "F" }}, duration = "D*x" }}
pump = {{ into = {{ central = "F*x" }}, rate = "R*x" }}
fed  = {{ into = {{ central = "F*x" }} }}

[rates]
central    = "KA*depot - (CL*x*y + Q)/V*central + Q/V2*peripheral"
peripheral = "Q/V*central - Q/V2*peripheral"
depot      = "-KA*depot"
pool       = "k*B - k*x*pool"

[outputs]
conc  = {{ is = "central/(V*x)", unit = "mg/L", noise = "proportional(s)" }}
level = {{ is = "pool/V", unit = "mg/L", noise = "proportional(s)" }}
"""


@lru_cache
def touched() -> Model:
    """The model."""
    return loaded(TEXT)


@lru_cache
def chained() -> Model:
    """The same without exchange: the exact engine follows straight lines, too."""
    text = TEXT.replace(' + Q/V2*peripheral"', '"').replace(" + Q)/V*central", ")/V*central")
    return loaded(text.replace('"Q/V*central - Q/V2*peripheral"', '"CL*x/V*central - Q/V2*peripheral"'))
