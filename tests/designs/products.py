"""Designs of the products: modified cells, gels, vesicles and a drug given beside cells."""

from __future__ import annotations

from designs import Design
from designs.cells import KG, MAN, MAN_DAYS, MOUSE, RAT
from mscpkpd.dosing import Dose, Regimen, bolus

DAYS = (0.5, 1.0, 2.0, 6.0, 24.0, 48.0)
CORE = ("lung_cells", "pge2_plasma", "il10")
CORE_FREE = ("k_L", "q0", "Smax")
FACTOR = ("lung_cells", "factor_plasma", "il10")
FACTOR_FREE = ("k_L", "q_F", "k_F")
SITE = ("gel_cells", "site_cells", "lung_cells")
SITE_FREE = ("b_gel", "k_gel", "k_dG", "k_dS")
WEEKS = (1.0, 24.0, 72.0, 168.0, 336.0, 504.0)
UPTAKE = ("vesicles_blood", "vesicles_lung", "vesicles_liver", "vesicles_spleen")
UPTAKE_FREE = ("k_V", "v_L", "v_Li", "v_Sp", "k_E")
HOURS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
DRUG = ("ifng_plasma", "pge2_plasma", "lung_licensed")
AFTER = (2.0, 3.0, 6.0, 12.0, 24.0, 48.0)  # the cells come at 1 h
DRUG_FREE = ("k_G", "k_lic", "EC50_G")


def gel(amount: str) -> Regimen:
    return bolus(amount, "gel")


def with_interferon(cells: Regimen, amount: float) -> Regimen:
    """Interferon under the skin an hour before the cells [ng]."""
    return Regimen((Dose(0.0, amount, "ng", "ifng_sc"),)) + cells.shifted("1 h")


DESIGNS = (
    Design("product_gene_modified", "mouse", MOUSE, CORE, DAYS, free=CORE_FREE),
    Design("product_gene_modified", "rat", RAT, CORE, DAYS, free=CORE_FREE),
    Design("product_gene_modified", "human_70kg", MAN, CORE, MAN_DAYS, weight=KG, free=CORE_FREE),
    Design("product_gene_modified", ("mouse", "il10_secreting"), MOUSE, FACTOR, DAYS, free=FACTOR_FREE),
    Design("product_gene_modified", ("human_70kg", "pge2_tenfold"), MAN, CORE, MAN_DAYS, weight=KG, free=CORE_FREE),
    Design("product_hydrogel", "mouse", gel("1e6 cells"), SITE, WEEKS, free=SITE_FREE),
    Design("product_hydrogel", "rat", gel("2e6 cells"), SITE, WEEKS, free=SITE_FREE),
    Design("product_hydrogel", "human_70kg", gel("1e8 cells"), SITE, WEEKS, weight=KG, free=SITE_FREE),
    Design("product_vesicles", "mouse", bolus("1e10 particles", "iv"), UPTAKE, HOURS, free=UPTAKE_FREE),
    Design("product_vesicles", "rat", bolus("1e11 particles", "iv"), UPTAKE, HOURS, free=UPTAKE_FREE),
    Design("product_vesicles", "human_70kg", bolus("1e13 particles", "iv"), UPTAKE, HOURS, free=UPTAKE_FREE),
    Design(
        "product_vesicles",
        "mouse",
        bolus("1e10 particles", "sc"),
        ("vesicles_blood", "vesicles_depot"),
        (0.5, 2.0, 8.0, 24.0, 48.0),
        free=("k_VS", "k_ES"),
    ),
    Design("product_ifng_cotreatment", "mouse", with_interferon(MOUSE, 20.0), DRUG, AFTER, free=DRUG_FREE),
    Design("product_ifng_cotreatment", "rat", with_interferon(RAT, 200.0), DRUG, AFTER, free=DRUG_FREE),
    Design(
        "product_ifng_cotreatment", "human_70kg", with_interferon(MAN, 1e5), DRUG, MAN_DAYS, weight=KG, free=DRUG_FREE
    ),
)
