"""CXCL10 in acute GVHD: living cells, dying cells, or both drive the effect."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import infusion

TWICE = infusion("2e6 cells/kg", "iv", "1 h", every="84 h", doses=2)
TIMES = (2.0, 4.0, 8.0, 12.0, 24.0, 36.0, 48.0, 72.0, 84.0, 96.0, 108.0, 132.0)

DESIGNS = tuple(
    Design(
        "agvhd_cxcl10", f"human_70kg,{mechanism}", TWICE, ("cxcl10",), TIMES, weight=70.0, free=("t_C", "a_I", "C_0")
    )
    for mechanism in ("live", "death", "both")
)
