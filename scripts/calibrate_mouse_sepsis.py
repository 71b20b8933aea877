# ruff: noqa: INP001, T201 (a script, not a package; it prints its result)
"""Calibrate survival in models/pkpd/sepsis_clp_mouse.toml: the hazard of damage, and what reprogramming takes off it.

Run from the root of the repository: ``python scripts/calibrate_mouse_sepsis.py``. It prints the numbers that stand in
models/values/sepsis_clp_mouse/mouse.toml; run it again, and copy them, where another number of the model changes.

The target is from memory of a second-hand text of Nemeth 2009 (medium confidence), it is not data: all mice dead 96 h
after caecal ligation without cells, and half alive with 1e6 cells iv at surgery. Ranges that pass: 0 to 5 % and 40 to
60 %.
Nothing is drawn at random: the same model gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import mscpkpd as msc

MODEL, VALUES = "sepsis_clp_mouse", "mouse"
END = 96.0  # h after surgery
CELLS = msc.bolus("1e6 cells", route="iv")
NONE = msc.Regimen()
# share alive: the middle of the range that passes for "none", as a hazard cannot leave none of endlessly many animals
UNTREATED, TREATED = 0.025, 0.5
RANGES = {"untreated": (0.0, 0.05), "treated": (0.4, 0.6)}
DIGITS = 3


@dataclass(frozen=True)
class Calibration:
    """Calibrated numbers, as they stand in the values file, and the survival that they give."""

    hazard: float  # beta_D, 1/h
    share: float  # R_m
    untreated: float
    treated: float


def summed_hazard(model: msc.Model, regimen: msc.Regimen, **values: float) -> float:
    """Hazard of death summed from surgery to the end."""
    sims = msc.simulate(model, regimen, times=[END], outputs=["hazard_sum"], parameters=values)
    return float(sims["hazard_sum"].values.squeeze())


def calibrated() -> Calibration:
    """Find beta_D from untreated mice, then R_m from treated ones."""
    model = msc.load_model(MODEL, values=VALUES)
    hazard = _solved(lambda beta: summed_hazard(model, NONE, beta_D=beta), UNTREATED)
    share = _solved(lambda r: summed_hazard(model, CELLS, beta_D=hazard, R_m=r), TREATED)
    alive = [math.exp(-summed_hazard(model, arm, beta_D=hazard, R_m=share)) for arm in (NONE, CELLS)]
    return Calibration(hazard, share, *alive)


def _solved(summed: Callable[[float], float], alive: float) -> float:
    """Where a summed hazard leaves this share alive: it is linear in beta_D and in R_m, so that two points do."""
    at_0, at_1 = summed(0.0), summed(1.0)
    return float(f"{(-math.log(alive) - at_0) / (at_1 - at_0):.{DIGITS}g}")


def main() -> None:
    """Print the numbers and what they give."""
    found = calibrated()
    print(f"[parameters] of models/values/{MODEL}/{VALUES}.toml")
    print(f"beta_D = {found.hazard:g} 1/h")
    print(f"R_m    = {found.share:g}")
    for arm, (low, high) in RANGES.items():
        alive = getattr(found, arm)
        verdict = "in" if low <= alive <= high else "OUT OF"
        print(f"alive at {END:g} h, {arm}: {100 * alive:.1f} %, {verdict} the range {100 * low:g} to {100 * high:g} %")


if __name__ == "__main__":
    main()
