"""Known answers of the reference models of molecules: closed forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.model import Model
from mscpkpd.validation.answers import KnownAnswer
from mscpkpd.validation.solving import apart, given, solved

__all__ = ["ANSWERS"]

HOURS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0])
DOSE = 100.0  # mg
TIGHT = 1e-10  # tolerance of the solver where it is compared with a closed form
Closed = Callable[[dict[str, float], np.ndarray], np.ndarray]


def _against(model: Model, route: str, output: str, closed: Closed, hours: np.ndarray = HOURS) -> float:
    """Largest relative difference of an output from its closed form."""
    regimen = given(DOSE, route, unit="mg") if route else Regimen(())
    return apart(solved(model, regimen, hours, tolerance=TIGHT)[output], closed(model.values, hours))


def _bolus(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    return np.asarray(DOSE / p["V1"] * np.exp(-p["CL"] / p["V1"] * t))


def _oral(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    k = p["CL"] / p["V1"]
    both = np.exp(-k * t) - np.exp(-p["KA"] * t)
    return np.asarray(p["F"] * DOSE * p["KA"] / (p["V1"] * (p["KA"] - k)) * both)


def _two(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    k, k12, k21 = p["CL"] / p["V1"], p["Q2"] / p["V1"], p["Q2"] / p["V2"]
    total = k + k12 + k21
    root = np.sqrt(total**2 - 4 * k * k21)
    fast, slow = (total + root) / 2, (total - root) / 2
    parts = (fast - k21) * np.exp(-fast * t) + (k21 - slow) * np.exp(-slow * t)
    return np.asarray(DOSE / p["V1"] * parts / (fast - slow))


def _saturable(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    from scipy.special import lambertw

    start = DOSE / p["V1"]
    return np.asarray(p["KM"] * lambertw(start / p["KM"] * np.exp((start - p["VMAX"] / p["V1"] * t) / p["KM"])).real)


def _site(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    k = p["CL"] / p["V1"]
    return np.asarray(DOSE / p["V1"] * p["KE0"] / (p["KE0"] - k) * (np.exp(-k * t) - np.exp(-p["KE0"] * t)))


def _logistic(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    return np.asarray(p["NMAX"] / (1 + (p["NMAX"] / p["N0"] - 1) * np.exp(-p["KG"] * t)))


def _transgene(p: dict[str, float], t: np.ndarray) -> np.ndarray:
    rise = p["Cmax"] / p["foldx"] * np.exp(t * np.log(p["foldx"]) / p["Tmax"])
    after = t - p["Tmax"]
    fall = (1 - p["FB"]) * np.exp(-p["alpha"] * after) + p["FB"] * np.exp(-p["beta"] * after)
    return np.asarray(np.where(after < 0, rise, p["Cmax"] * fall))


def _in_chain(model: Model) -> float:
    """Largest relative difference of what is still in the chain from a gamma tail."""
    from scipy.special import gammaincc

    stages = [name for name in model.state_names if name.startswith("transit_")]
    found = solved(model, given(DOSE, "oral", unit="mg"), HOURS[:6], tolerance=TIGHT)
    p, n = model.values, len(stages)
    tail = p["F"] * DOSE * gammaincc(n, n / p["MTT"] * HOURS[:6])
    return apart(np.sum([found[name] for name in stages], axis=0), tail)


def _settled(model: Model, level: float) -> float:
    """Response over baseline after weeks of a constant concentration [mg/L]."""
    p = model.values
    long = 2000.0
    infused = given(level * p["CL"] * long, "iv", unit="mg", over=long)
    return float(solved(model, infused, (long - 1,))["response"][0] / p["R0"])


def _closed(name: str, source: str, model: str, route: str, output: str, closed: Closed) -> KnownAnswer:
    compute = partial(_against, route=route, output=output, closed=closed)
    return KnownAnswer(name, source, model, (), 0.0, 1e-6, "1", compute)


# response over baseline at the concentration of half the effect
TURNOVER = (
    ("turnover_production_inhibited", lambda p: 1 - p["IMAX"] / 2),
    ("turnover_loss_inhibited", lambda p: 1 / (1 - p["IMAX"] / 2)),
    ("turnover_production_stimulated", lambda p: 1 + p["SMAX"] / 2),
    ("turnover_loss_stimulated", lambda p: 1 / (1 + p["SMAX"] / 2)),
)


def _turnover(model: Model, closed: Callable[[dict[str, float]], float]) -> float:
    """Relative difference of the settled response from its formula."""
    half = model.values.get("IC50", model.values.get("SC50", np.nan))
    return _settled(model, half) / closed(model.values) - 1


ANSWERS = (
    _closed("one compartment, vein", "dose/V1 exp(-k t)", "pk_one_compartment", "iv", "conc", _bolus),
    _closed("one compartment, mouth", "F dose KA/(V1 (KA - k)) (exp(-k t) - exp(-KA t))", "pk_one_compartment",
            "oral", "conc", _oral),
    _closed("two compartments, vein", "Two exponentials", "pk_two_compartment", "iv", "conc", _two),
    _closed("saturable elimination", "Lambert's W", "pk_michaelis_menten", "iv", "conc", _saturable),
    _closed("site of effect", "C0 KE0/(KE0 - k) (exp(-k t) - exp(-KE0 t))", "pkpd_effect_compartment", "iv", "CE",
            _site),
    _closed("growth to a limit", "NMAX/(1 + (NMAX/N0 - 1) exp(-KG t))", "growth_logistic", "", "cell_count", _logistic),
    _closed("CAR-T expansion and contraction", "stein_2019", "cart_expansion", "", "transgene", _transgene),
    KnownAnswer("amount in the chain of absorption", "Gamma tail", "pk_transit", (), 0.0, 1e-6, "1", _in_chain),
    *(
        KnownAnswer("settled response at a constant concentration", "Steady state of the turnover model", model, (),
                    0.0, 1e-6, "1", partial(_turnover, closed=closed))
        for model, closed in TURNOVER
    ),
)  # fmt: skip
