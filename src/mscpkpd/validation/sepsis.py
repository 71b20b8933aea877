"""Known answers of sepsis: endotoxaemia in volunteers with and without cells, and the bistable infection."""

from __future__ import annotations

from functools import partial

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.model import Model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.solving import given, solved

__all__ = ["ANSWERS"]

LPS, INFECTION = "endotoxaemia_human", "sepsis_reynolds"
HOURS = tuple(np.round(np.arange(0.0, 24.0, 0.01), 10))
LONG = tuple(np.arange(0.0, 1500.0, 1.0))
VOLUNTEERS = "Reference simulation of human_lps_b with kMTNF 8.65 1/h, LPS 2 ng/kg"
# TNF and IL-10 peaks as published for PGE2 held at 2 ng/mL and m at 0.6 from the start
HELD = {"C_L_held": 2.0, "m_0": 0.6}
TRAP = "Reference simulation with PGE2 held at 2 ng/mL and m(0) 0.6: direct TNF inhibition takes IL-10 down, too"
TARGET = "Target of the calibration, from memory (nemeth_2009): not data"
SWITCH = "Reference simulation of reynolds_2006: bistable"


def _course(model: Model, changes: dict[str, float]) -> dict[str, np.ndarray]:
    return solved(model, given(2.0, "lps", unit="ng/kg"), HOURS, changes, weight=70.0)


def _peak(model: Model, state: str, changes: dict[str, float]) -> float:
    return float(np.max(_course(model, changes)[state]))


def _time_of_peak(model: Model, state: str, changes: dict[str, float]) -> float:
    return float(HOURS[int(np.argmax(_course(model, changes)[state]))])


def _largest_damage(model: Model, changes: dict[str, float]) -> float:
    return float(np.max(solved(model, Regimen(()), LONG, changes)["damage"]))


def _lasting_damage(model: Model, changes: dict[str, float]) -> float:
    return float(solved(model, Regimen(()), LONG, changes)["damage"][-1])


def _alive(model: Model, cells: float) -> float:
    """Percent alive at 96 h with so many cells by vein at surgery."""
    treatment = given(cells) if cells else Regimen(())
    return float(100 * solved(model, treatment, (96.0,))["survival"][0])


PEAKS = (("tnf", "TNF", 478.0, 0.5, 1.8), ("il10", "IL-10", 23.0, 0.5, 2.4), ("il6", "IL-6", 486.0, 0.5, 2.1))
CASES = (
    ("MSC-driven IL-10 alone", {"Smax": 2.0, "Imax_P": 0.0}, (294.0, 0.5), (38.0, 0.5)),
    ("MSC-driven IL-10 and direct TNF inhibition", {"Smax": 2.0, "Imax_P": 0.96}, (12.5, 0.6), (1.5, 0.5)),
)
DAMAGE = (
    ("kpg 0.3, inoculum 1", {"kpg": 0.3, "inoculum": 1.0}, 3.4, 0.05),
    ("kpg 0.3, inoculum 0.5", {"kpg": 0.3, "inoculum": 0.5}, 0.09, 0.005),
    ("kpg 0.3, inoculum 2", {"kpg": 0.3, "inoculum": 2.0}, 17.4, 0.05),
)
RECOVERY = (
    ("kpg 0.30, below the switch", {"kpg": 0.30, "inoculum": 1.0}, 0.01, 0.0, "at most"),
    ("kpg 0.32, above the switch", {"kpg": 0.32, "inoculum": 1.0}, 10.0, 0.0, "at least"),
    ("kpg 0.6, inoculum 1", {"kpg": 0.6, "inoculum": 1.0}, 17.0, 0.5, ""),
)

ANSWERS = (
    *(
        answer
        for state, name, height, digit, hour in PEAKS
        for answer in (
            KnownAnswer(
                f"{name} peak after LPS", VOLUNTEERS, LPS, ("human_70kg",), height, digit, "pg/mL",
                partial(_peak, state=state, changes={}),
            ),
            KnownAnswer(
                f"time of the {name} peak after LPS", VOLUNTEERS, LPS, ("human_70kg",), hour, 0.05, "h",
                partial(_time_of_peak, state=state, changes={}),
            ),
        )
    ),
    KnownAnswer(
        "TNF peak after LPS with the coded 4.14e-06 as kMTNF", "The trap of the published code", LPS, ("human_70kg",),
        31.0, 0.5, "pg/mL", partial(_peak, state="tnf", changes={"kMTNF": 4.14e-6}),
    ),
    *(
        KnownAnswer(
            f"{name} peak after LPS, {case}", TRAP, LPS, ("human_70kg",), *known, "pg/mL",
            partial(_peak, state=state, changes={**HELD, **changes}),
        )
        for case, changes, tnf, il10 in CASES
        for state, name, known in (("tnf", "TNF", tnf), ("il10", "IL-10", il10))
    ),
    *(
        KnownAnswer(
            f"largest damage, {case}", SWITCH, INFECTION, (), expected, digit, "1",
            partial(_largest_damage, changes=changes),
        )
        for case, changes, expected, digit in DAMAGE
    ),
    *(
        KnownAnswer(
            f"damage after 1500 h, {case}", SWITCH, INFECTION, (), expected, digit, "1",
            partial(_lasting_damage, changes=changes), bound,
        )
        for case, changes, expected, digit, bound in RECOVERY
    ),
    *(
        KnownAnswer(
            f"mice alive 96 h after caecal ligation, {case}", TARGET, "sepsis_clp_mouse", ("mouse",), alive, width, "%",
            partial(_alive, cells=count),
        )
        for case, count, alive, width in (("untreated", 0.0, 2.5, 2.5), ("1e6 cells at surgery", 1e6, 50.0, 10.0))
    ),
)  # fmt: skip
