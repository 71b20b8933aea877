"""Doses, regimens and schedules: what was given, when, by which route and for how long."""

from mscpkpd.dosing.regimen import Dose, Regimen, bolus, check_spread, hours, infusion, route_name
from mscpkpd.dosing.schedules import read_schedules, regimen_from_table

__all__ = [
    "Dose",
    "Regimen",
    "bolus",
    "check_spread",
    "hours",
    "infusion",
    "read_schedules",
    "regimen_from_table",
    "route_name",
]
