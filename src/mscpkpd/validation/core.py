"""Known answers of the core: cells, PGE2, macrophages and IL-10."""

from __future__ import annotations

from functools import partial

import numpy as np

from mscpkpd.model import Model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.solving import apart, given, solved

__all__ = ["ANSWERS", "COUNT", "SPECIES"]

CORE, LICENSING = "two_functional_compartments", "two_functional_licensing"
SPECIES = ("mouse", "rat", "human_70kg")
COUNT = {"mouse": 1e6, "rat": 2e6, "human_70kg": 1.4e8}  # cells by vein
REFERENCE = "Reference simulation of the core: bolus, all cells fit, constant secretion, phi 0.05, k_T = k_L"
PLASMA = "Reference simulation of the core: what rules out plasma PGE2 as the driver"

# hours, share of the count in lung [%], cells in blood, PGE2 in lung [ng/mL] and plasma [pg/mL]
Rows = list[tuple[int, float, float, float, float]]
TABLE: dict[str, Rows] = {
    "mouse": [(1, 72.70, 18.6, 3.606, 0.322), (6, 63.32, 16.2, 3.669, 0.311), (24, 38.51, 9.8, 2.231, 0.189)],
    "rat": [(1, 70.08, 55.7, 0.971, 0.127), (6, 61.04, 48.5, 0.990, 0.120), (24, 37.12, 29.5, 0.602, 0.073)],
    "human_70kg": [(1, 52.60, 7814, 0.125, 0.417), (6, 45.81, 6806, 0.129, 0.376), (24, 27.86, 4139, 0.078, 0.228)],
}
RHO_T = {"mouse": 0.05, "rat": 0.08, "human_70kg": 0.28}  # the table was computed with; s_T is printed in two digits
COLUMNS = (
    ("lung_cells", "share of the count in lung", "%"),
    ("blood_cells", "cells in blood", "cells"),
    ("pge2_lung", "PGE2 in lung", "ng/mL"),
    ("pge2_plasma", "PGE2 in plasma", "pg/mL"),
)
RATIO = {"mouse": 3496.0, "rat": 9049.0, "human_70kg": 2899.0}
# body weight [kg]; metabolite at 6 h without and with licensing [pg/mL]
METABOLITE = {"mouse": (0.02, 65.0, 650.0), "human_70kg": (70.0, 2.6, 26.0)}


def _of_table(model: Model, values: str, output: str, hour: float) -> float:
    changes = {"s_T": RHO_T[values] / (1 - model.values["rho_L"])}
    hours = tuple(float(row[0]) for row in TABLE[values])
    found = solved(model, given(COUNT[values]), hours, changes)[output][hours.index(hour)]
    return float(100 * found / COUNT[values] if output == "lung_cells" else found)


def _half_a_digit(output: str, values: str) -> float:
    if output == "blood_cells":
        return 0.51 if values == "human_70kg" else 0.051
    return 0.0051 if output == "lung_cells" else 0.00051


def _below_ec50(model: Model, values: str, hours: tuple[float, ...]) -> float:
    """Smallest ratio of EC50 to plasma PGE2."""
    found = solved(model, given(COUNT[values]), hours)["pge2_plasma"]
    return 1000 * model.values["EC50_P"] / float(np.max(found))


def _metabolite(model: Model, values: str) -> float:
    volume = {"V_M": 200 * METABOLITE[values][0]}  # 0.2 L/kg
    return float(solved(model, given(COUNT[values]), (6.0,), volume)["pge2_metabolite_plasma"][0])


def _settled_il10(model: Model) -> float:
    """IL-10 over I10_0 (1 + Smax m), under endless cells."""
    found, p = solved(model, given(1e9, over=3000.0), (2900.0,)), model.values
    return float(found["il10"][0] / (p["I10_0"] * (1 + p["Smax"] * found["m"][0])))


def _same_group(model: Model, values: str) -> float:
    """How far m moves when q0 and EC50_P change by the same factor."""
    changes = {name: 7 * model.values[name] for name in ("q0", "EC50_P")}
    hours = (1.0, 6.0, 24.0, 72.0)
    plain, changed = (solved(model, given(COUNT[values]), hours, c)["m"] for c in (None, changes))
    return apart(changed, plain)


def _two_exponentials(model: Model) -> float:
    """How far PGE2 in lung is from the formula, for cells given into the airways that are not released."""
    p, hours = model.values, np.array([0.1, 1.0, 3.0, 12.0, 48.0])
    found = solved(model, given(1e6, "intratracheal"), hours, {"phi_L": 0.0})["pge2_local"]
    both = np.exp(-p["k_L"] * hours) - np.exp(-p["k_Ploc"] * hours)
    return apart(found, p["q0"] * 1e6 * p["F_v"] * both / (p["k_Ploc"] - p["k_L"]))


ANSWERS = (
    *(
        KnownAnswer(
            f"{about} at {row[0]} h", REFERENCE, CORE, (values,), float(row[1 + k]), _half_a_digit(output, values),
            unit, partial(_of_table, values=values, output=output, hour=float(row[0])),
        )
        for values in SPECIES
        for row in TABLE[values]
        for k, (output, about, unit) in enumerate(COLUMNS)
    ),
    *(
        KnownAnswer(
            "EC50 over plasma PGE2 at 6 h, unlicensed", PLASMA, CORE, (values,), ratio, 0.01 * ratio, "1",
            partial(_below_ec50, values=values, hours=(6.0,)),
        )
        for values, ratio in RATIO.items()
    ),
    *(
        KnownAnswer(
            "EC50 over plasma PGE2 at any time, all cells licensed", PLASMA, LICENSING, (values, "licensed"), 50.0,
            0.0, "1", partial(_below_ec50, values=values, hours=tuple(np.geomspace(1e-4, 200, 200))), "at least",
        )
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            "PGE2 metabolite in plasma at 6 h" + (", all cells licensed" if licensed else ""),
            f"Reference simulation, metabolite volume of 0.2 L/kg at {row[0]:g} kg",
            LICENSING if licensed else CORE, (values, "licensed") if licensed else (values,), row[1 + licensed],
            0.02 * row[1 + licensed], "pg/mL", partial(_metabolite, values=values),
        )
        for values, row in METABOLITE.items()
        for licensed in (0, 1)
    ),
    KnownAnswer(
        "IL-10 settled over I10_0 (1 + Smax m)", "Steady state of the IL-10 equation", CORE, ("mouse",), 1.0, 1e-6, "1",
        _settled_il10,
    ),
    *(
        KnownAnswer(
            "change of m when q0 and EC50_P change together", "Only Pi = q0/(V_loc k_Ploc EC50_P) acts", CORE,
            (values,), 0.0, 1e-6, "1", partial(_same_group, values=values),
        )
        for values in SPECIES
    ),
    KnownAnswer(
        "PGE2 in lung against two exponentials", "q N0 (exp(-k_d t) - exp(-k_c t))/(k_c - k_d)", CORE, ("rat",), 0.0,
        1e-6, "1", _two_exponentials,
    ),
)  # fmt: skip
