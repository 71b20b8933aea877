"""The choices behind a non-compartmental analysis: declared once, written into every result."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mscpkpd.dosing import route_name
from mscpkpd.errors import UnitError, UsageError
from mscpkpd.units import same_dimension, scale_factor, to_unit

__all__ = ["INTRAVASCULAR", "Blq", "Integration", "Rules", "Sampling", "rules_of"]

Integration = Literal["linear_up_log_down", "linear"]
Blq = Literal["drop", "half"]
Sampling = Literal["auto", "serial", "sparse"]

INTRAVASCULAR = ("blood", "central", "ia", "intracardiac", "intracoronary", "iv", "portal")
NUMBER = r"[\d.]+(?:[eE][+-]?\d+)?"
PERIOD = re.compile(rf"\s*(?P<start>{NUMBER})\s*(?:-|to)\s*(?P<end>{NUMBER})\s*(?P<unit>[A-Za-z]\S*)\s*")


@dataclass(frozen=True, slots=True)
class Period:
    """Part of the time after a dose.

    Attributes
    ----------
    name : str
        ``auc_0_28d`` and the like.
    start, end : float
        Time after the dose [unit of time of the result].
    """

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Choices of one analysis.

    Attributes
    ----------
    areas : str
        "linear_up_log_down" or "linear" (N4).
    blq : str
        What becomes of values below the limit after the first quantifiable one: "drop", or "half" for LLOQ/2 (N1).
    time : str
        Unit of time of the result.
    tau : float or None
        Interval of the last, or only, dose [`time`]; None where the doses say it.
    steady_state : bool
        Whether the intervals are at steady state.
    intravascular : tuple of str
        Routes that are; all others are extravascular.
    cells : tuple of str or None
        Outputs that count cells; None: those whose unit does.
    periods : tuple of Period
        Partial areas.
    sampling : str
        "auto", "serial" or "sparse".
    by : tuple of str
        Further columns that tell the groups of a sparse design apart.
    outputs : tuple of str or None
        Outputs that are analysed; None: all.
    routes : tuple of str or None
        Routes by which all doses of a subject went that is analysed; None: all subjects.
    """

    areas: Integration = "linear_up_log_down"
    blq: Blq = "drop"
    time: str = "h"
    tau: float | None = None
    steady_state: bool = False
    intravascular: tuple[str, ...] = INTRAVASCULAR
    cells: tuple[str, ...] | None = None
    periods: tuple[Period, ...] = ()
    sampling: Sampling = "auto"
    by: tuple[str, ...] = ()
    outputs: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None

    @property
    def days_28(self) -> float:
        """28 days in the unit of time."""
        return 28 * scale_factor("d", self.time)

    def sentences(self) -> dict[str, str]:
        """Return each rule used, by its number."""
        between = "dropped" if self.blq == "drop" else "LLOQ/2"
        log = "linear up, log down" if self.areas == "linear_up_log_down" else "linear trapezoid"
        steady = (
            "declared: CL = dose/AUCtau" if self.steady_state else "as SS of the table says, otherwise not declared"
        )
        below = "0" if self.blq == "drop" else "LLOQ/2"
        return {
            "N1": "values below the limit, and values of 0, are 0 before the first quantifiable one; after it "
            f"{between}",
            "N2": "tlast is the time of the last quantifiable value",
            "N3": "without a value at the dose: 0 after extravascular doses and infusions, or the last value before "
            "the dose; after a bolus log-linear through the first two values if they fall, else the first value",
            "N4": f"areas: {log}",
            "N5": "lambda_z: last n >= 3 quantifiable values of best adjusted R2, the most values within 1e-4 of it; "
            "without Cmax and values during the dose, except after a bolus",
            "N6": "AUCinf_obs from Clast, AUCinf_pred from the fitted value at tlast",
            "N7": "MRT = AUMCinf/AUCinf, minus Tinf/2 for an infusion; CL and Vz as /F after extravascular doses",
            "N8": "what cannot be computed is missing and has its reason",
            "N9": "sparse designs and reported means: linear trapezoid of the means, standard error by the batch "
            f"method, 95 % interval of t; an animal below the limit counts as {below}; a mean is below the limit where "
            "more than half of its animals are",
            "T1": "doses count viable cells where the viable fraction is stated, else what is stated",
            "T10": "cells: time from the first dose; areas end at tlast unless a value below the limit follows",
            "steady state": steady,
            "replicates": "averaged; one below the limit counts as LLOQ/2, and if all are, so is the sample",
            "above the limit": "such a value leaves Cmax, Tmax and areas missing",
            "routes": f"into the blood: {', '.join(self.intravascular)}; all others are extravascular",
            "analysed": f"outputs: {_listed(self.outputs)}; subjects dosed by: {_listed(self.routes, 'any route')}",
        }


def rules_of(
    *,
    areas: str,
    blq: str,
    time: str,
    tau: str | None,
    steady_state: bool,
    intravascular: Collection[str],
    cells: Collection[str] | None,
    periods: Sequence[str],
    sampling: str,
    by: Collection[str],
    outputs: Collection[str] | None = None,
    routes: Collection[str] | None = None,
) -> Rules:
    """Check the arguments of `nca`.

    Raises
    ------
    UsageError
        For a word that is not known, a period or an interval that is none.
    UnitError
        For a unit that is no time.
    """
    words: Mapping[str, tuple[str, tuple[str, ...]]] = {
        "areas": (areas, ("linear_up_log_down", "linear")),
        "blq": (blq, ("drop", "half")),
        "sampling": (sampling, ("auto", "serial", "sparse")),
    }
    for name, (given, known) in words.items():
        if given not in known:
            raise UsageError(f"{name} = {given!r}", expected=" or ".join(f"'{word}'" for word in known))
    if not same_dimension(time, "h"):
        raise UnitError(f"time_unit = '{time}' is no time", expected="a unit like h", hint="'h' or 'd'")
    several = {"intravascular": intravascular, "cells": cells, "periods": periods, "by": by}
    for name, value in {**several, "outputs": outputs, "routes": routes}.items():
        if isinstance(value, str):
            raise UsageError(f"{name} = {value!r}", expected="several texts", hint=f"{name}=[{value!r}]")
    return Rules(
        areas=areas,  # type: ignore[arg-type]  # checked above
        blq=blq,  # type: ignore[arg-type]  # checked above
        time=time,
        tau=None if tau is None else _interval(tau, time),
        steady_state=steady_state,
        intravascular=tuple(sorted(route_name(name) for name in intravascular)),
        cells=None if cells is None else tuple(cells),
        periods=tuple(period_of(text, time) for text in periods),
        sampling=sampling,  # type: ignore[arg-type]  # checked above
        by=tuple(by),
        outputs=None if outputs is None else tuple(outputs),
        routes=None if routes is None else tuple(route_name(name) for name in routes),
    )


def _listed(names: tuple[str, ...] | None, everything: str = "all") -> str:
    return everything if names is None else ", ".join(names)


def _interval(tau: str, time: str) -> float:
    value = to_unit(tau, time, where="tau")
    if not value > 0:
        raise UsageError(f"tau = '{tau}'", expected="an interval above 0", hint="'24 h'")
    return value


def period_of(text: str, time: str) -> Period:
    """Read "0-24 h" as a period.

    Raises
    ------
    UsageError
        If it is none, or ends before it starts.
    """
    found = PERIOD.fullmatch(text) if isinstance(text, str) else None
    try:
        ends = (float(found["start"]), float(found["end"])) if found else (math.nan, math.nan)
    except ValueError:
        ends = (math.nan, math.nan)
    if found is None or not 0 <= ends[0] < ends[1]:
        raise UsageError(f"period '{text}'", expected="a start, a later end and a unit", hint="'0-24 h' or '7-28 d'")
    unit = found["unit"]
    if not same_dimension(unit, "h"):
        raise UnitError(f"period '{text}': {unit} is no time", expected="a unit like h", hint="'0-24 h' or '7-28 d'")
    factor = scale_factor(unit, time)
    return Period(f"auc_{ends[0]:g}_{ends[1]:g}{unit}", ends[0] * factor, ends[1] * factor)
