"""Designs for molecules, their effects, growth and CAR-T cells."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import bolus, infusion

TWICE = bolus("100 mg", "iv") + bolus("100 mg", "oral", at="48 h")  # with and without absorption, so that F shows
ORAL = (0.5, 2, 6, 12, 24, 48.25, 48.5, 49, 50, 54, 60, 72)
EFFECT = (0.25, 0.5, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36)
WIDE = infusion("100 mg", "iv", "1 h")
TURNOVER = (0.5, 1, 2, 4, 6, 9, 12, 18, 24, 36, 48)


def turnover(name: str, *effect: str) -> Design:
    """A response to a dose well above the concentration for half of the effect."""
    free = ("CL", "V1", "R0", "KOUT", *effect)
    return Design(name, None, infusion("200 mg", "iv", "2 h"), ("conc", "response"), TURNOVER, free=free)


DESIGNS = (
    Design("pk_one_compartment", None, TWICE, ("conc",), ORAL, free=("CL", "V1", "KA", "F")),
    Design("theophylline", None, bolus("300 mg", "oral"), ("conc",), (0.5, 1, 2, 5, 9, 24), free=("ke", "ka", "CL")),
    Design(
        "pk_two_compartment",
        None,
        TWICE,
        ("conc",),
        (0.25, 1, 3, 8, 16, 30, 47, 48.3, 49, 51, 56, 90),
        free=("CL", "V1", "KA", "F", "Q2", "V2"),
    ),
    Design(
        "pk_three_compartment",
        None,
        WIDE,
        ("conc",),
        (0.5, 1, 2, 5, 10, 20, 40, 70, 110, 200, 300, 450),
        free=("CL", "V1", "Q2", "V2", "Q3", "V3"),
    ),
    Design("pk_transit", None, TWICE, ("conc",), ORAL, free=("CL", "V1", "F", "MTT")),
    Design(
        "pk_michaelis_menten",
        None,
        infusion("300 mg", "iv", "1 h"),
        ("conc",),
        (0.5, 1, 3, 8, 14, 20, 26, 32, 40, 50),
        free=("V1", "VMAX", "KM"),
    ),
    Design(
        "pkpd_effect_compartment",
        None,
        bolus("200 mg", "iv"),
        ("conc", "effect"),
        EFFECT,
        free=("CL", "V1", "KE0", "E0", "EMAX", "EC50", "GAMMA"),
    ),
    turnover("turnover_production_inhibited", "IMAX", "IC50"),
    # with IMAX free as well, noise of 2 % moves IC50 by a quarter
    turnover("turnover_loss_inhibited", "IC50"),
    turnover("turnover_production_stimulated", "SMAX", "SC50"),
    turnover("turnover_loss_stimulated", "SMAX", "SC50"),
    Design(
        "growth_logistic",
        None,
        bolus("100 mg", "iv", at="48 h"),
        ("cell_count",),
        (12, 24, 49, 52, 60, 72, 96, 144, 192, 240, 300),
        free=("KG", "N0", "NMAX", "KKILL"),
    ),
    Design(
        "cart_expansion",
        None,
        bolus("1e8 cells", "iv"),
        ("transgene",),
        (1, 3, 5, 7, 12, 16, 21, 28, 60, 120, 240, 480),
        free=("foldx", "Tmax", "Cmax", "alpha", "FB", "beta"),
    ),
)
