"""Intervals of repeated doses: AUCtau, Cavg, trough, fluctuation, accumulation; what follows at steady state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mscpkpd.errors import UnitError
from mscpkpd.noncompartmental.areas import interpolated, moment
from mscpkpd.noncompartmental.metrics import Metric, derived, missing
from mscpkpd.noncompartmental.parameters import Analysis, clearance, period_area
from mscpkpd.noncompartmental.profiles import UNTIMED, Given
from mscpkpd.noncompartmental.rules import Period
from mscpkpd.noncompartmental.windows import Curve
from mscpkpd.units import scale_factor

__all__ = ["accumulation", "interval", "interval_of"]

STEADY = "dose/AUCtau at steady state"
EQUAL = 1e-6  # relative difference of intervals, and of doses, that is rounding


def interval_of(given: Sequence[Given], k: int, tau: float | None) -> float | str:
    """Return the interval after dose k (from 0), or why it is not known.

    Parameters
    ----------
    given : sequence of Given
        Doses in order of time.
    k : int
        Which dose.
    tau : float or None
        Stated interval after the last dose [unit of time of the result].
    """
    if k + 1 < len(given):
        return given[k + 1].time - given[k].time
    if given[k].every > 0:
        return given[k].every
    if tau is not None:
        return tau
    steps = np.diff([dose.time for dose in given])
    if len(steps) and np.ptp(steps) <= EQUAL * steps[0]:
        return float(steps[0])
    return "the interval after the last dose is not known: doses are not equally spaced; state tau"


def interval(analysis: Analysis, tau: float | str, known: dict[str, Metric]) -> Iterator[Metric]:
    """Yield the parameters of one dosing interval.

    Parameters
    ----------
    analysis : Analysis
        Of the window after the dose.
    tau : float or str
        Interval [unit of time of the result], or why it is not known.
    known : dict of str to Metric
        Parameters after the dose by name.
    """
    time, unit = analysis.rules.time, analysis.unit
    if isinstance(tau, str):
        for name, its in {
            "auc_tau": analysis.area_unit, "cavg": unit, "cmin": unit, "ctrough": unit, "fluctuation": "%", "swing": "1"
        }.items():  # fmt: skip
            yield missing(name, its, tau)
        if analysis.rules.steady_state:
            mrt = missing("mrt", time, tau)
            yield mrt
            yield from clearance(analysis, missing("auc_tau", unit, tau), known["lambda_z"], mrt, STEADY)
        return
    within = f"{tau:g} {time}"
    exposure = period_area(analysis, Period("auc_tau", 0.0, tau), extrapolate=True)
    average = derived("cavg", unit, f"AUCtau/tau, tau = {within}", lambda a: a / tau, exposure)
    low = _lowest(analysis, tau)
    yield Metric("tau", tau, time, method="to the next dose, or as stated")
    yield exposure
    yield average
    yield low
    yield _trough(analysis, tau)
    peak = known["cmax"]
    yield derived("fluctuation", "%", "100 (Cmax - Cmin)/Cavg", lambda h, m, a: 100 * (h - m) / a, peak, low, average)
    yield derived("swing", "1", "(Cmax - Cmin)/Cmin", lambda h, m: (h - m) / m, peak, low)
    if analysis.rules.steady_state:
        yield from _steady(analysis, tau, exposure, known)


def _inside(analysis: Analysis, tau: float) -> np.ndarray:
    return np.flatnonzero(analysis.window.time <= tau * (1 + EQUAL))


def _lowest(analysis: Analysis, tau: float) -> Metric:
    window = analysis.window
    inside = _inside(analysis, tau)
    below = inside[window.below[inside]]
    values = window.value[inside]
    if len(below):
        reason = f"a value below its limit at {window.time[below[0]]:g} {analysis.rules.time} after the dose"
        return missing("cmin", analysis.unit, reason)
    if not np.isfinite(values).any():
        return missing("cmin", analysis.unit, "no quantifiable value")
    return Metric("cmin", float(np.nanmin(values)), analysis.unit, method="smallest value of the interval")


def _trough(analysis: Analysis, tau: float) -> Metric:
    window = analysis.window
    inside = _inside(analysis, tau)
    if not len(inside):
        return missing("ctrough", analysis.unit, "no value in the interval")
    last = inside[-1]
    method = f"last value of the interval, {window.time[last]:g} {analysis.rules.time} after the dose"
    if not np.isfinite(window.value[last]):
        where = "below" if window.below[last] else "above"
        return missing("ctrough", analysis.unit, f"the last value of the interval is {where} its limit", method)
    return Metric("ctrough", float(window.value[last]), analysis.unit, method=method)


def _steady(analysis: Analysis, tau: float, exposure: Metric, known: dict[str, Metric]) -> Iterator[Metric]:
    """CL, Vz and Vss at a declared steady state."""
    rate, given = known["lambda_z"], analysis.window.given
    half = given.duration / 2 if given is not None and given.kind == "infusion" else 0.0
    curve = analysis.curve
    how = "(AUMCtau + tau*AUC after tau)/AUCtau" + (" - Tinf/2" if half else "") + " at steady state"
    mrt = missing("mrt", analysis.rules.time, exposure.reason or rate.reason or UNTIMED, how)
    if not math.isnan(half) and isinstance(curve, Curve) and exposure.known and rate.known:
        momentum, end = _moment_until(analysis, curve, tau, rate.value)
        mrt = derived(
            "mrt", analysis.rules.time, how,
            lambda a, k: (momentum + tau * end / k) / a - half, exposure, rate,
        )  # fmt: skip
    yield mrt
    yield from clearance(analysis, exposure, rate, mrt, STEADY)


def _moment_until(analysis: Analysis, curve: Curve, tau: float, rate: float) -> tuple[float, float]:
    """Area under time times value until tau, and the value at tau; after tlast with lambda_z."""
    t, c = curve.time[: curve.last + 1], curve.value[: curve.last + 1]
    if t[-1] < tau:
        fine = np.array([t[-1], tau])
        rest = c[-1] * np.exp(-rate * (fine - t[-1]))
        return moment(t, c, log=analysis.log) + moment(fine, rest, log=True), float(rest[-1])
    end = interpolated(t, c, tau, log=analysis.log) if t[-1] > tau else float(c[-1])
    kept = t < tau
    return moment(np.append(t[kept], tau), np.append(c[kept], end), log=analysis.log), end


def accumulation(first: dict[str, Metric], last: dict[str, Metric], given: Sequence[Given]) -> Iterator[Metric]:
    """Yield how much more the last interval holds than the first.

    Parameters
    ----------
    first, last : dict of str to Metric
        Parameters of the first and the last interval by name.
    given : sequence of Given
        Doses in order of time.
    """
    unequal = _unequal(given)
    for name, of, how in (
        ("accumulation_auc", "auc_tau", "AUCtau of the last over that of the first dose"),
        ("accumulation_cmax", "cmax", "Cmax of the last over that of the first dose"),
    ):
        if unequal:
            yield missing(name, "1", unequal, how)
        else:
            yield derived(name, "1", how, lambda b, a: b / a, last[of], first[of])


def _unequal(given: Sequence[Given]) -> str:
    first, last = given[0], given[-1]
    try:
        ratio = last.amount * scale_factor(last.unit, first.unit) / first.amount
    except UnitError:
        ratio = float("inf")
    if abs(ratio - 1) > EQUAL or first.kind != last.kind:
        return "first and last dose differ in amount, route or duration"
    return ""
