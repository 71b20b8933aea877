"""SYNTHETIC cohorts: invented patients of five scenarios, and of one draw from the prior. They are not patients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mscpkpd.cohort import Cohort, cohort_from_frame
from mscpkpd.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from mscpkpd.responder.definition import Definition
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["SCENARIOS", "Scenario", "cohort_of_draw", "synthetic_cohort"]

VERSION = 1
CENTRE, SPREAD, WITHIN = math.log(600.0), 0.9, 0.85
ALPHA, GRADE, LIVER, CHILD = 0.42, -0.28, -0.6, 0.35
S_U, S_PLATE, S_D, LUMINEX = 0.30, 0.08, 0.35, 0.5
LLOQ, ULOQ = 7.8, 500.0
SHARES = {"liver": 0.4, "child": 0.2, "luminex": 0.3, "missing_24h": 0.15}
GRADES = ((-1, 0.2), (0, 0.3), (1, 0.5))
FEWEST, MOST = 1, 100_000


@dataclass(frozen=True)
class Scenario:
    """One truth about CXCL10 and response; everything in it is assumed.

    Attributes
    ----------
    name : str
        "null", "weak", "base", "strong" or "reversed".
    ratio : float
        Geometric mean CXCL10 of responders over that of the others, relative.
    fall : float
        Mean 24 h log fold change of responders, natural log, dimensionless; -0.10 in the others.
    """

    name: str
    ratio: float
    fall: float

    @property
    def b1(self) -> float:
        """Slope of the logit per 0.9 ln units."""
        return SPREAD * math.log(self.ratio) / WITHIN**2


SCENARIOS = {
    row.name: row
    for row in (
        Scenario("null", 1.0, -0.10),
        Scenario("weak", 1.3, -0.30),
        Scenario("base", 1.6, -0.60),
        Scenario("strong", 2.5, -0.60),
        Scenario("reversed", 0.625, -0.60),
    )
}


def synthetic_cohort(scenario: str = "base", n: int = 60, *, seed: int = 0, dilution: float = 10.0) -> Cohort:
    """Return SYNTHETIC patients of a scenario; they describe no real patient.

    Parameters
    ----------
    scenario : str
        "null", "weak", "base", "strong" or "reversed".
    n : int
        Number of patients.
    seed : int
        The same seed gives the same patients.
    dilution : float
        Of the samples on the ELISA [1]: limits are 7.8 and 500 pg/mL times it.

    Returns
    -------
    Cohort
        Labelled SYNTHETIC, with names that begin with SYN-.

    Raises
    ------
    UnknownName
        For another scenario.
    UsageError
        If n or the dilution is out of range.

    Notes
    -----
    True ln CXCL10 is normal around ln 600 with SD 0.85 within responders and within the others; response follows the
    logit model with the published slopes of grade, liver and child; error SD 0.30, plates 0.08, Luminex +0.5 ln; 15 %
    of the 24 h samples are missing. Only response rate, covariate shares and covariate slopes descend from read data.
    """
    if scenario not in SCENARIOS:
        raise UnknownName.among("scenario", scenario, SCENARIOS)
    if not FEWEST <= n <= MOST or not dilution > 0:
        raise UsageError(f"n={n}, dilution={dilution}", expected=f"n from {FEWEST} to {MOST}, a dilution above 0")
    chosen = SCENARIOS[scenario]
    rng = np.random.default_rng([VERSION, seed, *scenario.encode()])
    rate = float(expit(ALPHA))
    spread = math.sqrt(WITHIN**2 + rate * (1 - rate) * math.log(chosen.ratio) ** 2)
    x = CENTRE + spread * rng.standard_normal(n)
    design = _design(n, rng)
    linear = ALPHA + chosen.b1 * (x - CENTRE) / SPREAD
    linear += GRADE * design["grade"] + LIVER * (design["liver"] - SHARES["liver"])
    linear += CHILD * (design["child"] - SHARES["child"])
    response = rng.random(n) < expit(linear)
    change = np.where(response, chosen.fall, -0.10) + S_D * rng.standard_normal(n)
    luminex = rng.random(n) < SHARES["luminex"]
    plate = rng.integers(4, size=n)
    shift = LUMINEX * luminex + (S_PLATE * rng.standard_normal(4))[plate]
    first, second = (np.exp(level + shift + S_U * rng.standard_normal(n)) for level in (x, x + change))
    frame = _frame(n, first, response, luminex, design, (LLOQ * dilution, ULOQ * dilution))
    missing = rng.random(n) < SHARES["missing_24h"]
    frame["cxcl10_24h"] = np.where(missing, "", [f"{value:.1f}" for value in second])
    frame["plate"] = [f"plate {k + 1}" for k in plate]
    frame["generator"] = f"{scenario}, seed {seed}, version {VERSION}"
    return cohort_from_frame(frame.drop(columns="generator"), source=f"{scenario}_seed{seed}_SYNTHETIC")


def _design(n: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    steps, shares = zip(*GRADES, strict=True)
    return {
        "grade": rng.choice(steps, n, p=shares),
        "liver": (rng.random(n) < SHARES["liver"]).astype(float),
        "child": (rng.random(n) < SHARES["child"]).astype(float),
    }


def _frame(
    n: int,
    level: FloatArray,
    response: NDArray[np.bool_],
    luminex: NDArray[np.bool_],
    design: dict[str, FloatArray],
    limits: tuple[float, float],
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": [f"SYN-{k + 1:04d}" for k in range(n)],
            "cxcl10_0h": level,
            "unit": "pg/mL",
            "platform": np.where(luminex, "Luminex", "ELISA"),
            "lloq": limits[0],
            "uloq": limits[1],
            "grade": [("BCD"[int(step) + 1]) for step in design["grade"]],
            "liver": design["liver"].astype(int),
            "age": np.where(design["child"] > 0, 9, 40),
            "response": response.astype(int),
            "label": "SYNTHETIC",
        }
    )


def cohort_of_draw(
    definition: Definition,
    truth: dict[str, float],
    n: int,
    rng: np.random.Generator,
    *,
    limits: tuple[float, float] = (78.0, 5000.0),
) -> Cohort:
    """Return SYNTHETIC patients of one draw of all parameters, two platforms, for simulation-based calibration.

    Parameters
    ----------
    definition : Definition
        Centre, spread and shares.
    truth : dict of str to float
        alpha, b1, gamma_grade, gamma_liver, gamma_child, mu_x, s_x, s_u, offset_Luminex; with mu_d, s_d, r_dx and b2
        also levels at 24 h.
    n : int
        Number of patients.
    rng : numpy.random.Generator
        Source of random numbers.
    limits : tuple of float
        Lower and upper limit of quantification [pg/mL].
    """
    x = truth["mu_x"] + truth["s_x"] * rng.standard_normal(n)
    design = _design(n, rng)
    linear = truth["alpha"] + truth["b1"] * (x - math.log(definition.centre)) / definition.spread
    linear += truth["gamma_grade"] * design["grade"]
    for name in ("liver", "child"):
        linear += truth[f"gamma_{name}"] * (design[name] - definition.share(name))
    luminex = rng.random(n) < SHARES["luminex"]
    shift = truth["offset_Luminex"] * luminex
    change = None
    if "mu_d" in truth:
        change = truth["mu_d"] + truth["r_dx"] * (x - truth["mu_x"]) + truth["s_d"] * rng.standard_normal(n)
        linear += truth["b2"] * change / definition.change_spread
    response = rng.random(n) < expit(linear)
    frame = _frame(n, np.exp(x + shift + truth["s_u"] * rng.standard_normal(n)), response, luminex, design, limits)
    if change is not None:
        later = np.exp(x + change + shift + truth["s_u"] * rng.standard_normal(n))
        missing = rng.random(n) < SHARES["missing_24h"]
        frame["cxcl10_24h"] = np.where(missing, "", [f"{value:.6g}" for value in later])
    return cohort_from_frame(frame, source="prior_draw_SYNTHETIC")
