"""Endotoxaemia, infection and survival."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import Regimen, bolus

# bacteria fall to nothing later on, where no assay sees them and a fit has nothing to hold
TWO_DAYS = (2.0, 4.0, 8.0, 12.0, 18.0, 24.0, 36.0, 48.0)

DESIGNS = (
    Design(
        "endotoxaemia_human", "human_70kg", bolus("2e6 cells/kg", "iv") + bolus("2 ng/kg", "lps"),
        ("tnf", "il6", "il10"), (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 12.0), weight=70.0,
        free=("k_E", "k_MA", "kTNFM", "k_outT", "k6M", "k_out6", "k10M", "k_out10"),
    ),
    # the challenge after the cells: feedback amplifies what error the solver has made by then
    Design(
        "endotoxaemia_human", "human_70kg", bolus("2e6 cells/kg", "iv") + bolus("2 ng/kg", "lps", at="6 h"),
        ("tnf", "il6", "il10"), (6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 10.0, 12.0, 16.0), weight=70.0,
        free=("k_E", "k_MA", "kTNFM", "k_outT", "k6M", "k_out6", "k10M", "k_out10"),
    ),
    Design(
        "sepsis_reynolds", None, Regimen(),
        ("bacteria", "phagocytes", "damage"), (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0),
        free=("kpg", "inoculum", "mu_D"),
    ),
    Design(
        "sepsis_clp_mouse", "mouse", bolus("1e6 cells", "iv"),
        ("bacteria", "damage", "tnf", "il10", "survival"), TWO_DAYS,
        free=("kpg", "mu_D", "k_TN", "k_10N", "k_out10", "beta_D"),
    ),
    Design(
        "sepsis_clp_mouse_saturable", "mouse", bolus("1e6 cells", "iv", at="2 h"),
        ("damage", "tnf", "il10", "survival"), TWO_DAYS,
        free=("kpg", "mu_D", "k_TN", "k_10N", "beta_D"),
    ),
    Design(
        "tnf_challenge_rat", None, bolus("1 1", "compound") + bolus("5 1", "lps", at="30 min"),
        ("tnf",), (0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0),
        free=("k_s", "Rmax", "k_outT"),
    ),
)  # fmt: skip
