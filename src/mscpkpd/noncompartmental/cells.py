"""Metrics of cells (T10): growth, decline, persistence, residence in an organ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from mscpkpd.data import PERCENT_OF_DOSE
from mscpkpd.errors import UnitError
from mscpkpd.noncompartmental.metrics import Metric, derived, missing
from mscpkpd.noncompartmental.parameters import LN2, Analysis, period_area
from mscpkpd.noncompartmental.rules import Period
from mscpkpd.noncompartmental.terminal import FEWEST, initial_line, line_through
from mscpkpd.units import same_dimension, scale_factor

__all__ = ["cell_metrics", "counts_cells"]

PER_MASS = re.compile(r"^(%ID|cells?|[mkM]?Bq)\s*/\s*\w*g$")
CELL_UNIT = re.compile(r"%ID|\b(cells?|copies|copy|photons?)\b")


def counts_cells(analysis: Analysis) -> bool:
    """Say whether an output counts cells: it is declared to, or its unit does."""
    declared = analysis.rules.cells
    if declared is not None:
        return analysis.window.profile.output in declared
    return CELL_UNIT.search(analysis.unit) is not None


def cell_metrics(analysis: Analysis, known: dict[str, Metric]) -> Iterator[Metric]:
    """Yield the metrics of cells over the time from the first dose on (T10).

    Parameters
    ----------
    analysis : Analysis
        Of the window from the first dose on.
    known : dict of str to Metric
        Parameters of this window by name.
    """
    yield period_area(analysis, Period("auc_0_28d", 0.0, analysis.rules.days_28))
    yield _doubling(analysis, known)
    yield _initial(analysis, known)
    yield _persistence(analysis)
    if analysis.window.given is not None:
        yield from _residence(analysis, known)


def _dosed_within(analysis: Analysis, start: float, end: float) -> str:
    """Why a slope between two times means nothing: a dose was given between them."""
    window = analysis.window
    for dose in window.profile.given[1:]:
        if start < dose.time - window.start < end:
            return f"another dose at {dose.time - window.start:g} {analysis.rules.time}"
    return ""


def _doubling(analysis: Analysis, known: dict[str, Metric]) -> Metric:
    window, time = analysis.window, analysis.rules.time
    how = "ln 2/slope of ln value from the first quantifiable value to Cmax (T10)"
    if not known["tmax"].known:
        return missing("doubling_time", time, known["tmax"].reason, how)
    rising = np.isfinite(window.value) & (window.time <= known["tmax"].value)
    t, c = window.time[rising], window.value[rising]
    if len(t) < FEWEST:
        count = f"{len(t)} quantifiable value{'' if len(t) == 1 else 's'} until Cmax"
        return missing("doubling_time", time, f"{count}, a doubling time needs 3", how)
    if dosed := _dosed_within(analysis, float(t[0]), float(t[-1])):
        return missing("doubling_time", time, dosed, how)
    slope = line_through(t, c).slope
    if slope <= 0:
        return missing("doubling_time", time, "the values until Cmax do not rise", how)
    return Metric("doubling_time", LN2 / slope, time, method=how)


def _initial(analysis: Analysis, known: dict[str, Metric]) -> Metric:
    window, time = analysis.window, analysis.rules.time
    how = "ln 2/slope of the first n >= 3 values from Cmax on, before the terminal phase, of best adjusted R2 (T10)"
    for need in (known["tmax"], known["lambda_z"]):
        if not need.known:
            return missing("half_life_initial", time, need.reason, how)
    begin, end = known["tmax"].value, known["lambda_z_from"].value
    early = np.isfinite(window.value) & (window.time >= begin) & (window.time < end)
    line = initial_line(window.time[early], window.value[early])
    if isinstance(line, str):
        return missing("half_life_initial", time, line, how)
    if dosed := _dosed_within(analysis, begin, line.times[-1]):
        return missing("half_life_initial", time, dosed, how)
    rate = line.rate
    if rate <= known["lambda_z"].value:
        return missing("half_life_initial", time, "the values do not fall faster at first than in the end", how)
    return Metric("half_life_initial", LN2 / rate, time, method=how)


def _persistence(analysis: Analysis) -> Metric:
    """Time until cells can no longer be quantified: between tlast and the next value below the limit."""
    window, time = analysis.window, analysis.rules.time
    how = "between tlast and the next value below the limit (T10)"
    quantified = window.time[np.isfinite(window.value)]
    if window.profile.above[window.places].any():
        quantified = np.append(quantified, window.time[window.profile.above[window.places]])
    if not len(quantified):
        return missing("persistence", time, "no quantifiable value", how)
    tlast = float(np.max(quantified))
    after = window.time[window.below & (window.time > tlast)]
    if not len(after):
        reason = f"right-censored: quantifiable at {tlast:g} {time}, and no later value is below the limit"
        return Metric("persistence", math.nan, time, reason, how, lower=tlast, upper=math.inf)
    reason = f"interval-censored: between {tlast:g} and {after[0]:g} {time}"
    return Metric("persistence", math.nan, time, reason, how, lower=tlast, upper=float(after[0]))


def _residence(analysis: Analysis, known: dict[str, Metric]) -> Iterator[Metric]:
    """Residence time and recovery: the share of the dose in a place, over time and at its largest."""
    time = analysis.rules.time
    dose, basis, reason = _whole_dose(analysis)
    for name, of in (("residence_time", "auc_inf_obs"), ("residence_time_last", "auc_last")):
        until = "infinity" if name == "residence_time" else "tlast"
        how = f"area until {until} over {basis}"
        if reason:
            yield missing(name, time, reason, how)
        else:
            yield derived(name, time, how, lambda a: a / dose, known[of])
    how = f"100 Cmax/{basis}"
    if reason:
        yield missing("recovery", "%", reason, how)
    else:
        yield derived("recovery", "%", how, lambda c: 100 * c / dose, known["cmax"])


def _whole_dose(analysis: Analysis) -> tuple[float, str, str]:
    """The dose in the unit of the values, what it is, and why there is none."""
    profile = analysis.window.profile
    if profile.unit == PERCENT_OF_DOSE:
        if len(profile.given) > 1:
            return math.nan, "the dose", "percent of a dose that grows with each of several doses"
        return 100.0, "the whole dose (100 %ID)", ""
    stated = all(dose.total is not None for dose in profile.given)
    basis = "the viable dose" if stated else "the dose"
    try:
        if all(same_dimension(dose.unit, profile.unit) for dose in profile.given):
            whole = sum(dose.amount * scale_factor(dose.unit, profile.unit) for dose in profile.given)
            return whole, basis, ""
    except UnitError:
        pass
    hint = "; an amount per gram needs the mass of the organ (T7)" if PER_MASS.search(profile.unit) else ""
    return math.nan, basis, f"values in {profile.unit} are no part of a dose in {profile.given[0].unit}{hint}"
