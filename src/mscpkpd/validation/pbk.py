"""Known answers of the PBK model: the core as its limit, and how far release takes it from there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from mscpkpd.model import Model
from mscpkpd.modelfile import load_model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.core import COUNT, SPECIES
from mscpkpd.validation.solving import apart, given, linear, solved

__all__ = ["ANSWERS"]

PBK, CORE = "pbk", "two_functional_compartments"
ORGANS = ("lung", "liver", "spleen", "kidney", "heart", "gut", "muscle", "rest")
OTHERS = ("kidney", "heart", "gut", "muscle", "rest")  # what the core lumps as the rest of the body
KEPT = {"k_r_lung": 0.0, "k_r_tissue": 0.0}  # nothing is released
HOURS = (1.0, 6.0, 24.0)


def _shares(model: Model, changes: Mapping[str, float]) -> dict[str, float]:
    """Where a cell in venous blood is arrested in the end, from extraction and flows alone."""
    p = {**model.values, **changes}
    eps = {organ: p[f"eps_{organ}"] for organ in ORGANS}
    flow = {organ: p[f"Q_{organ}"] / p["Q_co"] for organ in ("spleen", "gut", "kidney", "heart", "muscle")}
    flow["rest"] = 1 - p["Q_ha"] / p["Q_co"] - sum(flow.values())
    portal = sum(flow[organ] * (1 - eps[organ]) for organ in ("spleen", "gut"))
    passing = {**flow, "liver": p["Q_ha"] / p["Q_co"] + portal}
    back = sum(share * (1 - eps[organ]) for organ, share in passing.items() if organ not in ("spleen", "gut"))
    passes = 1 / (1 - (1 - eps["lung"]) * back)  # of lung, by an average cell
    past = (1 - eps["lung"]) * passes
    return {"lung": eps["lung"] * passes, **{organ: past * share * eps[organ] for organ, share in passing.items()}}


def _as_core(model: Model, changes: Mapping[str, float]) -> dict[str, float]:
    """Parameters of the core that mean the same."""
    p, pi = {**model.values, **changes}, _shares(model, changes)
    loss, elsewhere = p["k_r_lung"] + p["k_d_lung"], 1 - pi["lung"]
    released = p["k_r_lung"] / loss
    return {
        "rho_L": pi["lung"],
        "s_T": 1.0,
        "t_Li": pi["liver"] / elsewhere,
        "t_Sp": pi["spleen"] / (elsewhere - pi["liver"]),
        "k_B": 1e6,
        "k_L": loss,
        "phi_L": released,
        "k_T": loss,
        "phi_T": released,
    }


def _core(values: str, changes: Mapping[str, float], model: Model) -> dict[str, np.ndarray]:
    return solved(load_model(CORE, values), given(COUNT[values]), HOURS, _as_core(model, changes))


def _from_core(model: Model, values: str) -> float:
    """Largest relative difference of arrested cells from the core, nothing released, vessels eliminated exactly."""
    from scipy.linalg import expm

    names = [name for name in model.conserved if not name.startswith("label") and name != "depot"]
    passing = np.array([name in ("venous", "arterial") or name.endswith("_blood") for name in names])
    matrix, begin = linear(model, given(COUNT[values]), names, KEPT)
    solved_vessels = np.linalg.inv(matrix[np.ix_(passing, passing)])
    through = -matrix[np.ix_(~passing, passing)] @ solved_vessels
    slow = matrix[np.ix_(~passing, ~passing)] + through @ matrix[np.ix_(passing, ~passing)]
    first = begin[~passing] + through @ begin[passing]
    kept = [name for name, fast in zip(names, passing, strict=True) if not fast]
    found = dict(zip(kept, np.array([expm(slow * hour) @ first for hour in HOURS]).T, strict=True))
    core = _core(values, KEPT, model)
    found["rest"] = np.sum([found[organ] for organ in OTHERS], axis=0)
    return max(apart(core[name], found[name]) for name in ("lung", "liver", "spleen", "rest"))


def _arrested(model: Model, values: str) -> float:
    """Largest relative difference of what is arrested in the end from the shares; no release, no death."""
    forever = {**KEPT, "k_d_lung": 0.0, "k_d_tissue": 0.0}
    found = solved(model, given(COUNT[values]), (5.0,), forever)
    viable = COUNT[values] * model.values["F_v"]
    shares = _shares(model, {})
    return max(abs(float(found[organ][0]) / (viable * share) - 1) for organ, share in shares.items())


def _with_release(model: Model, organ: str) -> float:
    """Percent by which the core has more at 24 h, half of the cells kept by every organ but lung."""
    changes = {"eps_muscle": 0.5}
    found = solved(model, given(COUNT["mouse"]), HOURS, changes)[organ][-1]
    core = _core("mouse", changes, model)[organ][-1]
    if organ == "rest":
        pi = _shares(model, changes)
        core *= pi["rest"] / sum(pi[other] for other in OTHERS)
    return float(100 * (core / found - 1))


ANSWERS = (
    *(
        KnownAnswer(
            "arrested cells against extraction and flow", "Absorbing Markov chain of passes", PBK, (values,), 0.0, 1e-6,
            "1", partial(_arrested, values=values),
        )
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            "arrested cells against the core, no release", "The core is the limit of quasi-steady vessels", PBK,
            (values,), 0.0, 1e-6, "1", partial(_from_core, values=values),
        )
        for values in SPECIES
    ),
    *(
        KnownAnswer(
            f"core above PBK in {organ} at 24 h, with release", "Reference simulation, mouse", PBK, ("mouse",),
            difference, 0.05, "%", partial(_with_release, organ=organ),
        )
        for organ, difference in (("lung", 0.24), ("rest", -1.5))
    ),
)  # fmt: skip
