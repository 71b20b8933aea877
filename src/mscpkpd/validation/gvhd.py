"""Known answers of acute GVHD: CXCL10 after cells."""

from __future__ import annotations

from functools import partial

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.model import Model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.solving import solved

__all__ = ["ANSWERS"]

MODEL, VALUES = "agvhd_cxcl10", ("human_70kg",)
HOURS = tuple(np.round(np.arange(0.0, 96.5, 0.5), 10))
BASE = "Reference simulation at the base values, which are all assumed: M(0) = 1, no cells"
FORMULA = "s (1 - exp(-24 k_outC)), s 0.5"
CHANGE = ((4.0, -0.06), (8.0, -0.17), (12.0, -0.25), (24.0, -0.32), (84.0, -0.03))
DRIVE = ((0.4, -0.17), (2.5, -0.44))
FALL = ((0.03, 26.0), (0.1, 45.0), (0.3, 50.0))


def _change(model: Model, hour: float, drive: float = 1.0) -> float:
    """Log fold change ln C(t)/C(0) with the formal signal of 1."""
    found = solved(model, Regimen(()), HOURS, {"M_0": 1.0, "G_0": drive})
    return float(found["cxcl10_change"][HOURS.index(hour)])


def _lowest(model: Model) -> float:
    found = solved(model, Regimen(()), HOURS, {"M_0": 1.0})["cxcl10"]
    return float(HOURS[int(np.argmin(found))])


def _untreated(model: Model) -> float:
    """Largest change without cells and without the formal signal."""
    return float(np.max(np.abs(solved(model, Regimen(()), HOURS, {"M_0": 0.0})["cxcl10_change"])))


def _fall(model: Model, loss: float) -> float:
    """Percent by which CXCL10 is lower at 24 h when production is halved at once and for long."""
    held = {"M_0": 1.0, "t_M": 1e7, "t_I": 1e-3, "IC50_I": 1e-9, "Imax_C": 0.5, "Imax_G": 0.0, "t_C": np.log(2) / loss}
    return float(100 * (1 - np.exp(solved(model, Regimen(()), HOURS, held)["cxcl10_change"][HOURS.index(24.0)])))


ANSWERS = (
    *(
        KnownAnswer(
            f"ln CXCL10/before at {hour:g} h", BASE, MODEL, VALUES, change, 0.0051, "1", partial(_change, hour=hour)
        )
        for hour, change in CHANGE
    ),
    KnownAnswer("hour of the lowest CXCL10", BASE, MODEL, VALUES, 21.0, 0.5, "h", _lowest),
    *(
        KnownAnswer(
            f"ln CXCL10/before at 24 h, IFN-gamma drive times {drive:g}", BASE, MODEL, VALUES, change, 0.0051, "1",
            partial(_change, hour=24.0, drive=drive),
        )
        for drive, change in DRIVE
    ),
    KnownAnswer("change of CXCL10 without cells", "Steady state", MODEL, VALUES, 0.0, 1e-9, "1", _untreated),
    *(
        KnownAnswer(
            f"fall of CXCL10 at 24 h, k_outC {loss:g} 1/h", FORMULA, MODEL, VALUES, fall, 0.55, "%",
            partial(_fall, loss=loss),
        )
        for loss, fall in FALL
    ),
)  # fmt: skip
