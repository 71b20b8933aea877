"""Parameters after one dose (N2 to N7)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mscpkpd.errors import UnitError
from mscpkpd.noncompartmental.areas import area, interpolated, moment, trapezoid_weights
from mscpkpd.noncompartmental.metrics import Metric, derived, missing
from mscpkpd.noncompartmental.profiles import UNTIMED
from mscpkpd.noncompartmental.rules import Period, Rules
from mscpkpd.noncompartmental.sparse import area_error
from mscpkpd.noncompartmental.terminal import Line
from mscpkpd.noncompartmental.windows import ALL, Curve, Window
from mscpkpd.units import same_dimension, scale_factor

__all__ = ["Analysis", "after_dose", "clearance", "period_area", "times_unit", "volume_unit"]

LN2 = math.log(2)
EARLIER = "earlier doses still contribute"


@dataclass(frozen=True)
class Analysis:
    """A window with its curve and its terminal phase.

    Attributes
    ----------
    window : Window
    rules : Rules
    curve : Curve or str
        The points of areas, or why there are none.
    line : Line or str
        The terminal phase, or why there is none.
    """

    window: Window
    rules: Rules
    curve: Curve | str
    line: Line | str

    @classmethod
    def of(cls, window: Window, rules: Rules) -> Analysis:
        """Find curve and terminal phase of a window."""
        return cls(window, rules, window.curve(rules), window.terminal())

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self.window.profile.unit

    @property
    def area_unit(self) -> str:
        """Unit of areas."""
        return times_unit(self.unit, self.rules.time)

    @property
    def log(self) -> bool:
        """Whether falling steps are exponential: not for means of sparse designs (N9)."""
        return self.rules.areas == "linear_up_log_down" and self.window.profile.spread is None

    @property
    def how(self) -> str:
        """How areas are taken, for the table."""
        steps = "linear up, log down" if self.log else "linear trapezoid"
        between = "dropped" if self.rules.blq == "drop" else "LLOQ/2"
        begins = f"; at the dose: {self.curve.begins}" if isinstance(self.curve, Curve) else ""
        joined = "as after each" in begins or self.window.label != ALL
        over = "" if joined else f"; one curve over {len(self.window.doses)} doses, not every one has values"
        return f"{steps}; below the limit: 0 before, then {between}{begins}{over}"

    @property
    def alone(self) -> bool:
        """Whether the values after this dose come from this dose alone."""
        return not self.rules.steady_state and (not self.window.later or self.window.carried == 0)


def after_dose(analysis: Analysis) -> Iterator[Metric]:
    """Yield the parameters after one dose, in the order of the table."""
    peak = list(_observed(analysis))
    yield from peak
    if analysis.window.kind == "bolus" and analysis.window.label != ALL:
        yield _start(analysis)
    areas = {metric.parameter: metric for metric in _areas(analysis)}
    line = {metric.parameter: metric for metric in _terminal(analysis)}
    total = {metric.parameter: metric for metric in _to_infinity(analysis, areas, line, peak)}
    yield from areas.values()
    yield from line.values()
    yield from total.values()
    single = analysis.window.given is not None and analysis.window.label != ALL
    if single and not analysis.rules.steady_state:
        yield from _disposition(analysis, total, line)


# ---- what was observed -----------------------------------------------------------------------------------------------


def _observed(analysis: Analysis) -> Iterator[Metric]:
    window, time = analysis.window, analysis.rules.time
    quantified = np.flatnonzero(np.isfinite(window.value))
    if window.trouble:
        yield missing("cmax", analysis.unit, window.trouble)
        yield missing("tmax", time, window.trouble)
    else:
        top = quantified[int(np.argmax(window.value[quantified]))]
        yield _mean_or_value(analysis, "cmax", int(top))
        yield Metric("tmax", float(window.time[top]), time, method="time after the dose of the first largest value")
    if len(quantified) == 0:
        yield missing("clast", analysis.unit, "no quantifiable value")
        yield missing("tlast", time, "no quantifiable value")
        return
    yield _mean_or_value(analysis, "clast", int(quantified[-1]))
    yield Metric("tlast", float(window.time[quantified[-1]]), time, method="last quantifiable value (N2)")


def _mean_or_value(analysis: Analysis, parameter: str, k: int) -> Metric:
    profile, place = analysis.window.profile, analysis.window.places[k]
    value = float(profile.value[place])
    if profile.spread is None:
        return Metric(parameter, value, analysis.unit, method="observed")
    se = float(np.sqrt(profile.spread.covariance[place, place]))
    reason = "" if math.isfinite(se) else f"no standard error: {profile.spread.reason}"
    return Metric(parameter, value, analysis.unit, reason, "mean at that time (N9)", se)


def _start(analysis: Analysis) -> Metric:
    if isinstance(analysis.curve, str):
        return missing("c0", analysis.unit, analysis.curve)
    return Metric("c0", float(analysis.curve.value[0]), analysis.unit, method=f"{analysis.curve.begins} (N3)")


# ---- areas -----------------------------------------------------------------------------------------------------------


def _areas(analysis: Analysis) -> Iterator[Metric]:
    unit, how = analysis.area_unit, analysis.how
    curve, moment_unit = analysis.curve, times_unit(analysis.unit, f"{analysis.rules.time}**2")
    if isinstance(curve, str):
        yield missing("auc_last", unit, curve, how)
        yield missing("auc_all", unit, curve, how)
        yield missing("aumc_last", moment_unit, curve, how)
        return
    t, c, last = curve.time, curve.value, curve.last
    yield _area(analysis, "auc_last", curve, 0.0, float(t[last]), how)
    to_limit = f"{how}; and to the first value below the limit after tlast"
    yield _area(analysis, "auc_all", curve, 0.0, float(t[min(last + 1, len(t) - 1)]), to_limit)
    momentum = moment(t[: last + 1], c[: last + 1], log=analysis.log)
    yield Metric("aumc_last", momentum, moment_unit, method=how)


def _area(analysis: Analysis, parameter: str, curve: Curve, start: float, end: float, how: str) -> Metric:
    """Area between two times of the curve, with its standard error where the values are means."""
    t, c = _between(curve, start, end, log=analysis.log)
    value = area(t, c, log=analysis.log)
    spread = analysis.window.profile.spread
    if spread is None:
        return Metric(parameter, value, analysis.area_unit, method=how)
    weights = trapezoid_weights(curve.time, start, end) @ curve.origin
    se, df, half, reason = area_error(spread, weights)
    method = f"{how}; standard error by the batch method, 95 % interval (N9)"
    return Metric(parameter, value, analysis.area_unit, reason, method, se, df, value - half, value + half)


def _between(curve: Curve, start: float, end: float, *, log: bool) -> tuple[np.ndarray, np.ndarray]:
    inner = (curve.time > start) & (curve.time < end)
    ends = [interpolated(curve.time, curve.value, at, log=log) if len(curve.time) > 1 else float(curve.value[0])
            for at in (start, end)]  # fmt: skip
    if end <= start:
        return np.array([start]), np.array(ends[:1])
    return (
        np.concatenate([[start], curve.time[inner], [end]]),
        np.concatenate([[ends[0]], curve.value[inner], [ends[1]]]),
    )


def period_area(analysis: Analysis, period: Period, *, extrapolate: bool = False) -> Metric:
    """Return the area from one time after the dose to another (T10).

    Parameters
    ----------
    analysis : Analysis
        Of the window.
    period : Period
        From when to when.
    extrapolate : bool
        Whether the terminal phase may stand for values after tlast. Otherwise the area is missing unless a value below
        the limit follows, from which on the curve is 0 (or LLOQ/2).
    """
    name, unit, curve, how = period.name, analysis.area_unit, analysis.curve, analysis.how
    if isinstance(curve, str):
        return missing(name, unit, curve, how)
    tlast, until = float(curve.time[curve.last]), float(curve.time[-1])
    if period.end <= until * (1 + 1e-12):
        return _area(analysis, name, curve, min(period.start, until), min(period.end, until), how)
    if until > tlast:  # what is below the limit stays there
        longer = Curve(
            np.append(curve.time, period.end), np.append(curve.value, curve.value[-1]), curve.last,
            np.vstack([curve.origin, np.zeros(curve.origin.shape[1])]), curve.begins,
        )  # fmt: skip
        return _area(analysis, name, longer, period.start, period.end, f"{how}; below the limit after tlast")
    when = f"the last value is at {tlast:g} {analysis.rules.time}, before {period.end:g} {analysis.rules.time}"
    if not extrapolate or period.start > tlast:
        return missing(name, unit, f"{when}, and no value below the limit follows", how)
    if isinstance(analysis.line, str):
        return missing(name, unit, f"{when}; {analysis.line}", how)
    known = _area(analysis, name, curve, period.start, tlast, how)
    rate = analysis.line.rate
    rest = float(curve.value[curve.last]) / rate * -math.expm1(-rate * (period.end - tlast))
    return Metric(name, known.value + rest, unit, method=f"{how}; after tlast with lambda_z")


# ---- terminal phase and what follows from it -------------------------------------------------------------------------


def _terminal(analysis: Analysis) -> Iterator[Metric]:
    time, line = analysis.rules.time, analysis.line
    units = {
        "lambda_z": f"1/{time}", "lambda_z_points": "1", "lambda_z_from": time, "lambda_z_to": time, "r2": "1",
        "r2_adjusted": "1", "clast_pred": analysis.unit, "half_life": time,
    }  # fmt: skip
    if isinstance(line, str):
        for name, unit in units.items():
            yield missing(name, unit, line)
        return
    chosen = "at " + ", ".join(f"{t:.6g}" for t in line.times) + f" {time} after the dose"
    values = {
        "lambda_z": (line.rate, f"ln of the values {chosen} (N5)"),
        "lambda_z_points": (len(line.times), chosen),
        "lambda_z_from": (line.times[0], chosen),
        "lambda_z_to": (line.times[-1], chosen),
        "r2": (line.r2, chosen),
        "r2_adjusted": (line.adjusted, f"best of the last n values {chosen} (N5)"),
        "clast_pred": (line.at(line.times[-1]), "fitted value at tlast"),
        "half_life": (LN2 / line.rate, "ln 2/lambda_z"),
    }
    for name, (value, method) in values.items():
        yield Metric(name, float(value), units[name], method=method)


def _to_infinity(
    analysis: Analysis, areas: dict[str, Metric], line: dict[str, Metric], peak: list[Metric]
) -> Iterator[Metric]:
    time, unit = analysis.rules.time, analysis.area_unit
    moment_unit = times_unit(analysis.unit, f"{time}**2")
    rate, tlast = line["lambda_z"], next(metric for metric in peak if metric.parameter == "tlast")
    lasts = {"obs": next(metric for metric in peak if metric.parameter == "clast"), "pred": line["clast_pred"]}
    names = {"obs": "Clast", "pred": "fitted value at tlast"}
    whole = {}
    for form, last in lasts.items():
        how = f"AUClast + {names[form]}/lambda_z (N6)"
        whole[form] = derived(f"auc_inf_{form}", unit, how, lambda a, c, k: a + c / k, areas["auc_last"], last, rate)
        if not analysis.alone:
            whole[form] = missing(f"auc_inf_{form}", unit, _earlier(analysis), how)
        yield whole[form]
    for form in lasts:
        how = f"100 (AUCinf_{form} - AUClast)/AUCinf_{form} (N6)"
        name = f"auc_percent_extrapolated_{form}"
        yield derived(name, "%", how, lambda a, last: 100 * (a - last) / a, whole[form], areas["auc_last"])
    if analysis.window.kind == "bolus" and analysis.window.label != ALL and isinstance(analysis.curve, Curve):
        yield _back(analysis, analysis.curve, whole["obs"])
    for form, last in lasts.items():
        how = f"AUMClast + tlast*C/lambda_z + C/lambda_z^2, C = {names[form]}"
        yield derived(
            f"aumc_inf_{form}", moment_unit, how, lambda m, t, c, k, _: m + t * c / k + c / k**2,
            areas["aumc_last"], tlast, last, rate, whole[form],
        )  # fmt: skip


def _back(analysis: Analysis, curve: Curve, whole: Metric) -> Metric:
    observed = analysis.window.time[np.isfinite(analysis.window.value)]
    added = area(*_between(curve, 0.0, float(observed[0]), log=analysis.log), log=analysis.log)
    how = "share of AUCinf_obs before the first quantifiable value"
    return derived("auc_back_extrapolated", "%", how, lambda a: 100 * added / a, whole)


def _earlier(analysis: Analysis) -> str:
    if analysis.rules.steady_state:
        return f"{EARLIER} at steady state; AUCtau is the area of one dose"
    return (
        f"{EARLIER} (the value before this dose is not below the limit); at steady state declare it: steady_state=True"
    )


def _disposition(analysis: Analysis, total: dict[str, Metric], line: dict[str, Metric]) -> Iterator[Metric]:
    """MRT, CL, Vz and Vss after this dose alone."""
    window, time = analysis.window, analysis.rules.time
    whole, rate = total["auc_inf_obs"], line["lambda_z"]
    half = window.given.duration / 2 if window.given is not None and window.kind == "infusion" else 0.0
    how = "AUMCinf/AUCinf" + (" - Tinf/2" if half else "") + " (N7)"
    mrt = missing("mrt", time, UNTIMED, how)
    if not math.isnan(half):
        mrt = derived("mrt", time, how, lambda m, a: m / a - half, total["aumc_inf_obs"], whole)
    yield mrt
    yield from clearance(analysis, whole, rate, mrt, "dose/AUCinf_obs")


def clearance(analysis: Analysis, exposure: Metric, rate: Metric, mrt: Metric, how: str) -> Iterator[Metric]:
    """Yield CL, Vz and Vss, as /F after extravascular doses (N7).

    Parameters
    ----------
    analysis : Analysis
        Of the window.
    exposure, rate, mrt : Metric
        AUCinf, or AUCtau at steady state; lambda_z; MRT.
    how : str
        What CL is.
    """
    window, time = analysis.window, analysis.rules.time
    apparent = "/F" if window.kind == "extravascular" else ""
    volume, factor, reason = _dose_in_volume(analysis)
    flow = f"{volume}/{time}"
    if reason or window.given is None:
        cl = missing(f"cl{apparent}", flow, reason)
    else:
        amount = window.given.amount * factor
        cl = derived(f"cl{apparent}", flow, f"{how} (N7)", lambda a: amount / a, exposure)
    yield cl
    yield derived(f"vz{apparent}", volume, "CL/lambda_z (N7)", lambda x, k: x / k, cl, rate)
    if apparent:
        yield missing("vss", volume, "needs a bolus or an infusion into the blood")
    else:
        yield derived("vss", volume, "CL*MRT", lambda x, m: x * m, cl, mrt)


def _dose_in_volume(analysis: Analysis) -> tuple[str, float, str]:
    """Unit of volume, factor of dose over value in it, and why there is none."""
    unit, given = analysis.unit, analysis.window.given
    volume = volume_unit(unit)
    if given is None:
        return volume, math.nan, "no dose"
    reason = f"dose in {given.unit} over values in {unit} is no volume"
    if not volume_unit(unit, default=""):
        return volume, math.nan, reason
    try:
        return volume, scale_factor(f"({given.unit})/({unit})", volume), ""
    except UnitError:
        return volume, math.nan, reason


def volume_unit(unit: str, default: str = "L") -> str:
    """Return the volume of a concentration: mL of ng/mL; `default` where there is none."""
    _, slash, below = unit.rpartition("/")
    try:
        return below.strip(" ()") if slash and same_dimension(below.strip(" ()"), "L") else default
    except UnitError:
        return default


def times_unit(unit: str, time: str) -> str:
    """Return the unit of a value times a time."""
    return time if unit == "1" else f"{unit}*{time}"
