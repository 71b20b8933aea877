"""Designs of the models of cells, label and detection."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import bolus, infusion

MOUSE = bolus("1e6 cells", "iv")
RAT = bolus("2e6 cells", "iv")
MAN = infusion("2e6 cells/kg", "iv", "1 h")
KG = 70.0
DAYS = (0.25, 1.0, 6.0, 24.0, 48.0, 72.0)
MAN_DAYS = (1.5, 6.0, 24.0, 48.0, 72.0, 96.0)
WEEKS = (1.0, 6.0, 24.0, 72.0, 120.0, 240.0)
JOINT = bolus("1e6 cells", "intra_articular")

CELLS = ("lung_cells", "liver_cells", "blood_cells")
CELLS_FREE = ("rho_L", "k_L", "phi_L", "t_Li", "k_T")
LABEL = ("lung_label", "liver_label", "spleen_label", "rest_label")
LABEL_FREE = ("k_L", "k_XL", "k_XR", "f_XLi", "s_Sp")
FIT = ("lung_cells", "lung_fit", "liver_cells")
FIT_FREE = ("w0", "k_rec", "k_L")
LIFE_FREE = ("life_L", "rho_L", "t_Li")
METHODS = ("lung_label", "lung_qPCR", "lung_bioluminescence", "lung_flow", "liver_iron", "liver_label")
METHODS_FREE = ("k_L", "k_XL", "k_NL", "p_bli", "r_flow")
COUNTED = ("lung_counts", "liver_counts", "lung_reculture", "lung_histology")
COUNTED_FREE = ("k_L", "k_XL", "y_cul", "e_hist")
EVIDENCE = ("lung_label", "liver_label", "spleen_label", "lung_qPCR")
EVIDENCE_FREE = ("k_L", "k_XL", "f_XLi", "s_Sp", "k_N")
HOURS = (0.25, 1.0, 2.0, 4.0, 8.0, 12.0)

DESIGNS = (
    Design("cells", "mouse", MOUSE, CELLS, DAYS, free=CELLS_FREE),
    Design("cells", "rat", RAT, CELLS, DAYS, free=CELLS_FREE),
    Design("cells", "human_70kg", MAN, CELLS, MAN_DAYS, weight=KG, free=CELLS_FREE),
    Design("cells_ageing", "mouse", MOUSE, CELLS, DAYS, free=LIFE_FREE),
    Design("cells_ageing", "rat", RAT, CELLS, DAYS, free=LIFE_FREE),
    Design("cells_ageing", "human_70kg", MAN, CELLS, MAN_DAYS, weight=KG, free=LIFE_FREE),
    Design("cells_thawed", "mouse", MOUSE, FIT, DAYS, free=FIT_FREE),
    Design("cells_thawed", "rat", RAT, FIT, DAYS, free=FIT_FREE),
    Design("cells_thawed", "human_70kg", MAN, FIT, MAN_DAYS, weight=KG, free=FIT_FREE),
    Design("cells_thawed", ("mouse", "cultured"), MOUSE, FIT, DAYS, free=("k_L", "rho_L")),
    Design(
        "cells_saturable_lung",
        "mouse",
        bolus("1e7 cells", "iv", every="24 h", doses=2),
        CELLS,
        (0.25, 6.0, 23.0, 24.25, 30.0, 48.0),
        free=("N_L", "k_L", "rho_L"),
    ),
    Design("cells_saturable_lung", "rat", RAT, CELLS, DAYS, free=("k_L", "rho_L")),
    Design("cells_saturable_lung", "human_70kg", MAN, CELLS, MAN_DAYS, weight=KG, free=("k_L", "rho_L")),
    Design("label", "mouse", MOUSE, LABEL, WEEKS, free=LABEL_FREE),
    Design("label", "rat", RAT, LABEL, WEEKS, free=LABEL_FREE),
    Design("label", "human_70kg", MAN, LABEL, (1.5, *WEEKS[1:]), weight=KG, free=LABEL_FREE),
    Design("label_detection", "mouse", MOUSE, METHODS, WEEKS[:5], free=METHODS_FREE),
    Design("label_detection", "rat", RAT, METHODS, WEEKS[:5], free=METHODS_FREE),
    Design(
        "label_detection",
        "human_70kg",
        MAN,
        ("lung_label", "liver_label", "spleen_counts"),
        WEEKS,
        weight=KG,
        free=("k_L", "k_XL", "f_XLi", "s_Sp"),
    ),
    Design("label_detection", ("mouse", "chromium_51"), MOUSE, COUNTED, WEEKS[:5], free=COUNTED_FREE),
    Design("label_detection", ("mouse", "zirconium_89"), MOUSE, COUNTED, WEEKS[:5], free=COUNTED_FREE),
    Design("label_detection", ("rat", "technetium_99m"), RAT, COUNTED, HOURS, free=COUNTED_FREE),
    Design("label_detection", ("rat", "fluorine_18"), RAT, COUNTED, HOURS, free=COUNTED_FREE),
    Design(
        "label_detection",
        "mouse",
        JOINT,
        ("depot_qPCR", "depot_iron", "depot_bioluminescence", "depot_histology"),
        WEEKS,
        free=("k_dS", "k_NS", "k_Fe", "p_bli", "e_hist"),
    ),
    Design("biodistribution", None, MOUSE, EVIDENCE, WEEKS, free=EVIDENCE_FREE),
)
