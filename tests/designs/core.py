"""Two functional compartments: the core, licensing, mediators, mechanisms and options."""

from __future__ import annotations

from designs import Design
from mscpkpd.dosing import Regimen, bolus

DAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 48.0, 72.0, 120.0, 168.0)  # h
GIVEN = {
    "mouse": bolus("1e6 cells", "iv"),
    "rat": bolus("2e6 cells", "iv"),
    "human_70kg": bolus("1.4e8 cells", "iv"),
}
CORE = ("lung_label", "liver_label", "lung_cells", "pge2_lung", "il10")
PLASMA = ("pge2_plasma", "pge2_metabolite_plasma")
# PGE2 in lung tells q0; of k_on, EC50_P and Smax, IL-10 after one dose tells one, two where PGE2 crosses EC50_P
LABEL_FREE = ("rho_L", "k_L", "k_XL", "q0", "I10_0")


def design(
    model: str,
    values: str,
    outputs: tuple[str, ...],
    free: tuple[str, ...],
    regimen: Regimen | None = None,
    times: tuple[float, ...] = DAYS,
) -> Design:
    """A design of the group: the usual dose of the species and a week of samples unless others are named."""
    stems = tuple(values.split(","))
    return Design(
        model=f"two_functional_{model}",
        values=stems if len(stems) > 1 else stems[0],
        regimen=regimen or GIVEN[stems[0]],
        outputs=outputs,
        times=times,
        free=free,
    )


SECRETION = ("lung_cells", "pge2_lung", "il10")
LICENSED = ("lung_cells", "lung_licensed", "pge2_lung", "il10")
MEDIATOR = ("lung_cells", "mediator_lung", "mediator_plasma", "il10")
DEATHS = ("lung_cells", "dead_cells", "il10")
TNF = ("lung_cells", "il10", "tnf_local", "tnf_systemic")
# after a small dose and a large one: a single dose does not show that the effect turns down
TWO_DOSES = bolus("1e5 cells", "iv") + bolus("2e6 cells", "iv", at="72 h")
# the licensed share of cells that fall back is gone within two days
FIRST_DAY = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0)
EARLY = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 24.0, 48.0)

DESIGNS = (
    design("compartments", "mouse", CORE, (*LABEL_FREE, "Smax", "k_off")),
    design("compartments", "rat", CORE, (*LABEL_FREE, "EC50_P")),
    design("compartments", "human_70kg", (*CORE, *PLASMA), (*LABEL_FREE, "Smax", "k_M")),
    design("licensing", "mouse", SECRETION, ("k_L", "q0", "Smax", "k_off")),
    design("licensing", "rat,unstimulated", SECRETION, ("k_L", "q0", "EC50_P", "k_off")),
    design("licensing", "mouse,host_ifn", LICENSED, ("k_L", "k_lic", "s_lic", "Lmax", "q0", "Smax")),
    design("licensing", "rat,prelicensed", LICENSED, ("k_L", "k_lic", "f_lic", "Lmax", "q0"), times=FIRST_DAY),
    # every cell is licensed: q0 and Lmax cannot be told apart
    design("licensing", "human_70kg,licensed", LICENSED, ("k_L", "q0", "Smax", "I10_0")),
    design("mediator", "rat,pge2", MEDIATOR, ("k_L", "q_med", "s_med", "Smax", "k_off")),
    design("mediator", "mouse,tsg6", MEDIATOR, ("k_L", "q_med", "k_loc", "k_med", "EC50_med")),
    design("mediator", "rat,tsg6", MEDIATOR, ("k_L", "q_med", "k_loc", "k_med", "EC50_med")),
    design("mediator", "human_70kg,ido", MEDIATOR, ("k_L", "q_med", "f_CL", "I10_0")),
    design("mechanism", "mouse,secretion", SECRETION, ("k_L", "q0", "Smax", "k_off")),
    design("mechanism", "rat,efferocytosis", DEATHS, ("k_L", "k_eng", "J_50", "k_off")),
    design("mechanism", "human_70kg,both", (*DEATHS, "pge2_lung"), ("k_L", "k_eng", "q0", "Smax", "I10_0")),
    design("mechanism", "mouse,secretion,bell_shaped", SECRETION, ("k_L", "q0", "b_sec", "k_off"), TWO_DOSES),
    design("mechanism", "mouse,efferocytosis,bell_shaped", DEATHS, ("k_L", "k_eng", "b_eff"), TWO_DOSES),
    design("options", "mouse", TNF, ("k_L", "Smax", "T_local_0", "T_systemic_0")),
    design("options", "mouse,tnf_effects", TNF, ("k_L", "Imax_T_local", "Imax_T_systemic", "k_outT"), times=EARLY),
    design("options", "rat,early_phase", TNF, ("k_L", "S_early", "k_early", "T_systemic_0"), times=EARLY),
    design("options", "mouse,il10_lower", SECRETION, ("k_L", "q0", "a_10", "Smax"), times=EARLY),
    design("options", "human_70kg,macrophage_pge2", (*SECRETION, "pge2_lung_total"), ("k_L", "q0", "q_M1", "I10_0")),
)
