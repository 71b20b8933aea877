"""Designs for cells carried by blood flow: organs of animals, label in man."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import bolus, infusion

HOURS = (0.25, 1, 4, 12, 24, 48, 72, 120)
ORGANS = ("lung", "liver", "spleen", "kidney", "heart", "gut", "muscle", "rest")
CELLS = tuple(f"{organ}_cells" for organ in ORGANS)
LABEL = ("lung_label", "liver_label", "spleen_label", "kidney_label")
# the extraction of every organ but one: cells are arrested somewhere, so the shares add up to one
FRACTIONS = tuple(f"eps_{organ}" for organ in ORGANS[:-1])

DESIGNS = (
    Design("pbk", "mouse", bolus("1e6 cells", "iv"), CELLS, HOURS, free=(*FRACTIONS, "k_d_lung", "k_d_tissue")),
    Design(
        "pbk",
        "rat",
        bolus("2e6 cells", "limb_artery"),
        CELLS,
        HOURS,
        free=("eps_muscle", "eps_lung", "eps_liver", "k_d_tissue", "k_d_lung"),
    ),
    Design(
        "pbk",
        "human_70kg",
        infusion("1.4e8 cells", "iv", "1 h"),
        LABEL,
        (2, 6, 24, 48, 96, 168, 240),
        free=("eps_lung", "k_XL", "k_XR", "k_Xout", "f_XLi"),
    ),
    Design(
        "pbk_homing",
        ("mouse", "homing_on"),
        bolus("1e6 cells", "iv"),
        CELLS,
        HOURS,
        free=("a_home", "eps_lung", "k_d_lung", "k_d_tissue"),
    ),
)
