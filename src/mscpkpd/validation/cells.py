"""Known answers of cells and label: balance, superposition, shares, ages."""

from __future__ import annotations

from functools import partial

import numpy as np

from mscpkpd.dosing import Dose, Regimen
from mscpkpd.model import Model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.core import COUNT, SPECIES
from mscpkpd.validation.solving import apart, given, linear, solved

__all__ = ["ANSWERS"]

CORE = "two_functional_compartments"
HOURS = (24.0, 48.0, 72.0, 96.0)
SURVIVORS = (50.0, 6.6, 0.49, 0.027)  # percent, four stages of rate 0.153/h
TIGHT = 1e-12  # tolerance of the solver where it is compared with the exact solution


def _imbalance(model: Model) -> float:
    """Largest relative error of cells, label and losses against what was given so far."""
    regimen = given(1e6) + given(2e6, over=1.0, at=5.0) + given(5e5, "intra_articular", at=100.0)
    hours = (0.0, 0.01, 1.0, 5.5, 6.0, 24.0, 150.0, 1000.0)
    found = solved(model, regimen, hours)
    total = sum(found[state] for state in model.conserved)
    return apart(np.asarray(total), np.array([1e6, 1e6, 1e6, 2e6, 3e6, 3e6, 3.5e6, 3.5e6]))


def _lowest(model: Model, count: float, until: float) -> float:
    """Smallest value of any state, relative to its largest."""
    found = solved(model, given(count), np.geomspace(0.001, until, 60))
    largest = {name: float(np.max(np.abs(found[name]))) for name in model.state_names}
    return min(float(np.min(found[name])) / size for name, size in largest.items() if size > 0)


def _quasi_steady(model: Model) -> float:
    """Cells in blood over what their inflow and k_B make of them."""
    found, p = solved(model, given(1e6), (6.0,)), model.values
    tissue = found["liver"] + found["spleen"] + found["rest"]
    inflow = p["phi_L"] * p["k_L"] * found["lung"] + p["phi_T"] * p["k_T"] * tissue
    return float(found["blood"][0] * p["k_B"] / inflow[0])


def _superposition(model: Model) -> float:
    """Largest relative difference between two doses together and the sum of each alone."""
    one, other = given(1e6, over=1.0), given(3e6, "intra_articular", at=1.0)
    hours = (0.5, 2.0, 6.0, 24.0, 100.0)
    apart_, together = [solved(model, regimen, hours) for regimen in (one, other)], solved(model, one + other, hours)
    states = (*model.conserved, "pge2_local", "pge2_systemic")
    return max(apart(together[name], apart_[0][name] + apart_[1][name]) for name in states)


def _lung_share(model: Model) -> float:
    return float(100 * solved(model, given(1e6), (0.25,))["lung"][0] / 1e6)


def _survivors(model: Model, hour: float) -> float:
    """Percent of cells given into the airways that are still in lung; none is released."""
    regimen = Regimen((Dose(0.0, 1e6, "cells", "intratracheal", viable=1.0),))
    found = solved(model, regimen, HOURS, {"phi_L": 0.0})
    stages = [name for name in model.state_names if name == "lung" or name.startswith("lung_")]
    return float(100 * sum(found[name] for name in stages)[HOURS.index(hour)] / 1e6)  # type: ignore[index] # a sum of arrays


def _against_exact(model: Model, values: str) -> float:
    """Largest relative difference between the solver and the matrix exponential, after 1 h of infusion and 23 h."""
    from scipy.linalg import expm

    names = [*model.conserved, "pge2_local", "pge2_systemic"]
    regimen = given(COUNT[values], over=1.0)
    matrix, _ = linear(model, regimen, names)
    _, speed = linear(model, given(COUNT[values]), names)  # what a bolus gives at once an infusion gives in 1 h
    n = len(names)
    augmented = np.zeros((n + 1, n + 1))
    augmented[:n, :n], augmented[:n, n] = matrix, speed
    exact = expm(23.0 * matrix) @ expm(augmented)[:n, n]
    found = solved(model, regimen, (24.0,), tolerance=TIGHT)
    return apart(np.array([found[name][0] for name in names]), exact)


ANSWERS = (
    *(
        KnownAnswer(
            "cells, label and losses against what was given", "Nothing appears, nothing vanishes", CORE, (values,), 0.0,
            1e-8, "1", _imbalance,
        )
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            "smallest state, relative to its largest value", "No amount is negative", model, (values,), 0.0, 1e-9, "1",
            partial(_lowest, count=COUNT[values], until=until), "at least",
        )
        for model, until in ((CORE, 5000.0), ("pbk", 500.0))
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            "cells in blood at 6 h over (phi_L k_L L + phi_T k_T T)/k_B", "Quasi-steady state of blood", CORE,
            (values,), 1.0, tolerance, "1", _quasi_steady,
        )
        for values, tolerance in zip(SPECIES, (0.001, 0.0015, 0.003), strict=True)
    ),
    *(
        KnownAnswer(
            "two doses together against the sum of each", "Cells, label and PGE2 are linear in the doses", CORE,
            (values,), 0.0, 1e-6, "1", _superposition,
        )
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            "share of the count in lung at 15 min", "rho_L F_v, to 2 %", CORE, (values,), share, 0.02 * share, "%",
            _lung_share,
        )
        for values, share in zip(SPECIES, (74.7, 72.0, 54.0), strict=True)
    ),
    *(
        KnownAnswer(
            f"survivors in lung at {hour:g} h, four stages", "Erlang survival, rate 0.153 1/h a stage", "cells_ageing",
            ("human_70kg",), share, 0.02 * share, "%", partial(_survivors, hour=hour),
        )
        for hour, share in zip(HOURS, SURVIVORS, strict=True)
    ),
    *(
        KnownAnswer(
            f"survivors in lung at {hour:g} h, one exponential", "Half-life of 24 h", "cells", ("mouse",), share,
            0.01 * share, "%", partial(_survivors, hour=hour),
        )
        for hour, share in zip(HOURS, (50.0, 25.0, 12.5, 6.25), strict=True)
    ),
    *(
        KnownAnswer(
            "solver against the matrix exponential, cells, label and PGE2", "1 h of infusion and 23 h after it", CORE,
            (values,), 0.0, 1e-8, "1", partial(_against_exact, values=values),
        )
        for values in SPECIES
    ),
)  # fmt: skip
