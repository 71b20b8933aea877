"""The problems of all benchmarks: models of the library, schedules, times and what is asked for."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from _posed import Posed, pose

from mscpkpd.dosing import bolus, infusion
from mscpkpd.modelfile import load_model

CORE = ("lung_cells", "pge2_plasma", "il10")  # what a user of the core asks for: cells, what they secrete, the answer
LABEL = ("lung_label", "liver_label", "spleen_label", "rest_label")
CYTOKINES = ("tnf", "il6", "il10")
WEEK = np.linspace(1.68, 168.0, 100)
IRREGULAR = np.array(
    [0.08, 0.25, 0.5, 1.0, 1.7, 3.0, 4.5, 6.0, 9.5, 13.0, 18.0, 24.0, 31.0, 45.0, 50.0, 72.0, 97.0, 120.0, 145.0, 168.0]
)


@lru_cache
def core() -> Posed:
    """Mouse, one dose, 100 times over a week."""
    model = load_model("two_functional_compartments", values="mouse")
    return pose("core, 1 dose, 100 times", model, CORE, bolus("5e5 cells", "iv"), WEEK)


@lru_cache
def core_irregular() -> Posed:
    """The same at 20 irregular times."""
    model = load_model("two_functional_compartments", values="mouse")
    return pose("core, 1 dose, 20 irregular times", model, CORE, bolus("5e5 cells", "iv"), IRREGULAR)


@lru_cache
def core_ten_times() -> Posed:
    """The same at ten times, as an experiment would have them."""
    model = load_model("two_functional_compartments", values="mouse")
    times = np.array([0.25, 1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 120.0, 168.0])
    return pose("core, 1 dose, 10 times", model, CORE, bolus("5e5 cells", "iv"), times)


@lru_cache
def core_infusions() -> Posed:
    """Adult of 70 kg, eight infusions over 28 days, 100 times."""
    model = load_model("two_functional_compartments", values="human_70kg")
    regimen = infusion("1.4e8 cells", "iv", "1 h", every="84 h", doses=8)
    return pose("core, 8 infusions in 28 d, 100 times", model, CORE, regimen, 4.0 * WEEK)


@lru_cache
def pbk() -> Posed:
    """Circulation of an adult with organs, one infusion, 100 times over a week."""
    model = load_model("pbk", values="human_70kg")
    outputs = (*LABEL, "blood_concentration", "kidney_label", "pge2_plasma", "il10")
    return pose("PBK, 1 infusion, 100 times", model, outputs, infusion("1.4e8 cells", "iv", "1 h"), WEEK)


@lru_cache
def endotoxaemia() -> Posed:
    """Volunteers given 2 ng/kg of endotoxin, nonlinear: three cytokines at 100 times over a day."""
    model = load_model("endotoxaemia_human", values="human_70kg")
    return pose("human LPS, 100 times", model, CYTOKINES, bolus("140 ng", "lps"), np.linspace(0.24, 24.0, 100))


@lru_cache
def biodistribution() -> Posed:
    """Label in four organs of an adult at ten times."""
    model = load_model("two_functional_compartments", values="human_70kg")
    times = np.array([0.5, 2.0, 4.0, 8.0, 24.0, 48.0, 72.0, 120.0, 168.0, 240.0])
    return pose("biodistribution, 1 dose, 10 times", model, LABEL, bolus("1e8 cells", "iv"), times)
