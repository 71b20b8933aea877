"""One row of a result: a value with its unit, or the reason why there is none (N8)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CODES", "Metric", "code_of", "derived", "missing"]

NAN = math.nan

# CDISC names of parameters (PPTESTCD) where there is one (N10)
CODES = {
    "accumulation_auc": "ARAUC",
    "accumulation_cmax": "ARCMAX",
    "auc_all": "AUCALL",
    "auc_back_extrapolated": "AUCPBEO",
    "auc_inf_obs": "AUCIFO",
    "auc_inf_pred": "AUCIFP",
    "auc_last": "AUCLST",
    "auc_percent_extrapolated_obs": "AUCPEO",
    "auc_percent_extrapolated_pred": "AUCPEP",
    "auc_tau": "AUCTAU",
    "aumc_inf_obs": "AUMCIFO",
    "aumc_inf_pred": "AUMCIFP",
    "aumc_last": "AUMCLST",
    "c0": "C0",
    "cavg": "CAVG",
    "cl": "CLO",
    "cl/F": "CLFO",
    "clast": "CLST",
    "clast_pred": "CLSTP",
    "cmax": "CMAX",
    "cmin": "CMIN",
    "ctrough": "CTROUGH",
    "fluctuation": "FLUCP",
    "half_life": "LAMZHL",
    "lambda_z": "LAMZ",
    "lambda_z_from": "LAMZLL",
    "lambda_z_points": "LAMZNPT",
    "lambda_z_to": "LAMZUL",
    "r2": "R2",
    "r2_adjusted": "R2ADJ",
    "swing": "SWING",
    "tlast": "TLST",
    "tmax": "TMAX",
    "vss": "VSSO",
    "vz": "VZO",
    "vz/F": "VZFO",
}
# the code of a mean residence time names the kind of dose (N10)
MRT_CODES = {"bolus": "MRTIVIFO", "infusion": "MRTIVIFO", "extravascular": "MRTEVIFO"}
PARTIAL = "AUCINT"


@dataclass(frozen=True, slots=True)
class Metric:
    """One parameter of one profile.

    Attributes
    ----------
    parameter, unit : str
        Name, and unit of value, se, lower and upper.
    value : float
        NaN where there is none.
    reason : str
        Why there is no value, or no standard error of a mean.
    method : str
        How it was obtained.
    se, df, lower, upper : float
        Standard error [`unit`], degrees of freedom [1] and limits [`unit`]; NaN where they mean nothing.
    """

    parameter: str
    value: float
    unit: str
    reason: str = ""
    method: str = ""
    se: float = NAN
    df: float = NAN
    lower: float = NAN
    upper: float = NAN

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)


def missing(parameter: str, unit: str, reason: str, method: str = "") -> Metric:
    """Return a parameter that cannot be had, with its reason."""
    return Metric(parameter, NAN, unit, reason, method)


def derived(parameter: str, unit: str, method: str, compute: Callable[..., float], *needs: Metric) -> Metric:
    """Compute a parameter from others; where one of them is missing, so is this one, for the same reason."""
    for need in needs:
        if not need.known:
            return missing(parameter, unit, need.reason, method)
    try:
        value = float(compute(*(need.value for need in needs)))
    except (ZeroDivisionError, OverflowError):
        value = NAN
    if not math.isfinite(value):
        names = " and ".join(need.parameter for need in needs)
        return missing(parameter, unit, f"no finite value from {names}", method)
    return Metric(parameter, value, unit, method=method)


def code_of(parameter: str, kind: str) -> str:
    """Return the CDISC code of a parameter; blank where none is known.

    Parameters
    ----------
    parameter : str
        Name in the table.
    kind : str
        "bolus", "infusion", "extravascular", or blank without a dose.
    """
    if parameter == "mrt":
        return MRT_CODES.get(kind, "")
    if parameter in CODES:
        return CODES[parameter]
    return PARTIAL if parameter.startswith("auc_") else ""
