"""The table of a non-compartmental analysis."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from mscpkpd.data import Study
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.noncompartmental.cells import cell_metrics, counts_cells
from mscpkpd.noncompartmental.metrics import Metric, code_of, missing
from mscpkpd.noncompartmental.parameters import Analysis, after_dose, period_area
from mscpkpd.noncompartmental.profiles import UNTIMED, Profile, profiles_of
from mscpkpd.noncompartmental.repeated import accumulation, interval, interval_of
from mscpkpd.noncompartmental.rules import INTRAVASCULAR, Rules, rules_of
from mscpkpd.noncompartmental.selection import selected
from mscpkpd.noncompartmental.sparse import alike, is_sparse, pooled, unlike
from mscpkpd.noncompartmental.windows import ALL, windows_of
from mscpkpd.units import same_dimension, scale_factor

__all__ = ["COLUMNS", "analysed", "nca"]

COLUMNS = (
    "study", "subject", "occasion", "output", "assay", "dose", "dose_time", "parameter", "code", "value", "unit",
    "reason", "method", "se", "df", "lower", "upper", "n",
)  # fmt: skip


def nca(
    study: Study,
    *,
    areas: str = "linear_up_log_down",
    blq: str = "drop",
    time_unit: str = "h",
    periods: Sequence[str] = (),
    tau: str | None = None,
    steady_state: bool = False,
    sampling: str = "auto",
    by: Collection[str] = (),
    intravascular: Collection[str] = INTRAVASCULAR,
    cells: Collection[str] | None = None,
    outputs: Collection[str] | None = None,
    routes: Collection[str] | None = None,
) -> pd.DataFrame:
    """Analyse every profile of a study without a model.

    Parameters
    ----------
    study : Study
        Observations and doses, from `read_study`.
    areas : "linear_up_log_down" or "linear"
        How areas are taken (N4); means of sparse designs always with the linear trapezoid (N9).
    blq : "drop" or "half"
        What becomes of values below the limit after the first quantifiable one: dropped, or LLOQ/2 (N1).
    time_unit : str
        Unit of time of the result, such as "d".
    periods : sequence of str
        Partial areas, such as ["0-24 h", "7-28 d"], counted from the (first) dose.
    tau : str, optional
        Interval after the last, or only, dose, such as "24 h", where the doses do not say it.
    steady_state : bool
        Whether every interval is at steady state, so that CL = dose/AUCtau. It is never assumed.
    sampling : "auto", "serial" or "sparse"
        "sparse": animals that were dosed alike are pooled to means by time (N9). "auto" does so where every animal has
        one time; batch designs, in which animals have some of the times, need "sparse".
    by : collection of str
        Further columns that tell the groups of a sparse design apart, such as ["arm"].
    intravascular : collection of str
        Routes into the blood; all others are extravascular.
    cells : collection of str, optional
        Outputs that count cells and get their metrics (T10); by default those in cells, copies, photons or %ID.
    outputs, routes : collection of str, optional
        Analyse these outputs only, and only subjects whose doses all went by these routes.

    Returns
    -------
    pandas.DataFrame
        One row for each parameter: study, subject, occasion (where times begin
        anew with each), output, assay (the column method of the data), dose (its number,
        "all" for the time from the first of several doses on, blank without a dose), dose_time, parameter, code (CDISC
        PPTESTCD, N10), value, unit, reason (why there is no value, or no standard error), method, se, df, lower, upper
        (95 % of a sparse area; the limits of a persistence) and n (animals). Times count from the dose of the row.
        ``attrs`` hold the rules used, notes and the options.

    Raises
    ------
    UsageError
        For an unknown word, a period or interval that is none, or what is no study.
    UnitError
        For a unit that is no time.
    DataError
        If an output of one subject has values in units of different dimensions.
    UnknownName
        For a column in `by`, an output in `cells` or `outputs`, or a route in `routes`, that the study does not have.

    Notes
    -----
    Rules N1 to N10, T1, T7 and T10 of the conventions. AUC by steps: (c1 - c2)/k with k = ln(c1/c2)/(t2 - t1) where it
    falls, else the trapezoid. Standard error of sparse areas after Bailer (1988), Nedelman and Jia (1998) and Holder
    (2001): sum of w w' cov of the means; degrees of freedom after Satterthwaite.
    """
    if not isinstance(study, Study):
        hint = "msc.nca(msc.read_study('data.csv'))"
        raise UsageError(f"nca of {type(study).__name__}", expected="a study", hint=hint)
    rules = rules_of(
        areas=areas, blq=blq, time=time_unit, tau=tau, steady_state=steady_state, intravascular=intravascular,
        cells=cells, periods=periods, sampling=sampling, by=by, outputs=outputs, routes=routes,
    )  # fmt: skip
    profiles, notes = analysed(study, rules)
    rows = [row for profile in profiles for row in _rows(profile, rules)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs.update(
        study=study.name, synthetic=study.synthetic, time_unit=rules.time, rules=rules.sentences(), notes=notes,
        options=asdict(rules),
    )  # fmt: skip
    return table


def analysed(study: Study, rules: Rules) -> tuple[list[Profile], list[str]]:
    """Return the profiles of a study, sparse designs pooled, and what a user should know about them."""
    study, left_out = selected(study, rules)
    single = profiles_of(study, rules)
    _check_outputs(study, rules)
    animals = alike(study, [profile for profile in single if profile.spread is None], rules)
    groups = [group for group in animals if is_sparse(group, rules)]
    first = {id(group[0]): group for group in groups}
    pooled_away = {id(profile) for group in groups for profile in group[1:]}
    names = _group_names(study, groups, rules)
    made = [
        pooled(first[id(profile)], names[id(profile)], rules) if id(profile) in first else profile
        for profile in single
        if id(profile) not in pooled_away
    ]
    notes = [*left_out, *_notes(study, single), *_arm_notes(study, groups, names, rules), *_batch_notes(animals, rules)]
    return made, list(dict.fromkeys(notes))


def _group_names(study: Study, groups: Sequence[Sequence[Profile]], rules: Rules) -> dict[int, str]:
    """Names of groups by their first profile; a number where two would have the same."""
    names: dict[int, str] = {}
    seen: dict[tuple[str, ...], int] = {}
    for group in groups:
        first = group[0]
        name = _group_name(study, group, rules)
        key = (first.study, name, first.occasion, first.output, first.assay)
        seen[key] = seen.get(key, 0) + 1
        names[id(first)] = name if seen[key] == 1 else f"{name}, {seen[key]}"
    return names


def _arm_notes(study: Study, groups: Sequence[Sequence[Profile]], names: dict[int, str], rules: Rules) -> Iterator[str]:
    for group in groups:
        for column in unlike(study, group, rules):
            name = names[id(group[0])]
            yield f"{name}: '{column}' differs within the group; by=['{column}'] keeps the groups apart"


def _batch_notes(animals: Sequence[Sequence[Profile]], rules: Rules) -> Iterator[str]:
    """Say where animals have so few of the times of their group that they look like a batch design."""
    for group in animals:
        times = {float(t) for profile in group for t in profile.time}
        most = max(len(profile.time) for profile in group)
        if rules.sampling == "auto" and 1 < most <= len(times) / 2 and len(group) > 2:
            output = group[0].output
            yield f"'{output}': no subject has more than {most} of {len(times)} times; sampling='sparse' pools them"


def _check_outputs(study: Study, rules: Rules) -> None:
    for name in rules.cells or ():
        if name not in study.outputs:
            raise UnknownName.among("output", name, study.outputs, where="cells")


def _notes(study: Study, profiles: Sequence[Profile]) -> Iterator[str]:
    numbered = dict.fromkeys(dose.route for profile in profiles for dose in profile.given if dose.route.isdigit())
    for route in numbered:
        yield f"route '{route}' counts as extravascular; intravascular=['{route}', ...] if it is into the blood"
    if any(profile.basis == "reported means" for profile in profiles):
        yield "reported means: the standard error takes the animals of each time for different ones"
    if any(math.isnan(dose.duration) for profile in profiles for dose in profile.given):
        yield f"{UNTIMED}: values count as after it from the largest on"
    if any(dose.steady for profile in profiles for dose in profile.given):
        yield "SS 1: the interval after such a dose is taken as one at steady state (E21)"
    if any(dose.steady == "constant" for subject in study.subjects for dose in subject.regimen.doses):
        yield "an endless infusion that stops (SS 1 without AMT, E27) is no dose: values after it belong to none"
    changed = dict.fromkeys(dose.event for subject in study.subjects for dose in subject.regimen if dose.event)
    for name in (name for name in changed if name != "phantom"):
        yield f"'{name}' is no dose (E36): what is computed across it is of the state before and after it together"
    if any(not any(dose.gives for dose in subject.regimen) for subject in study.subjects):
        yield "subjects without a dose: times count from 0"


def _group_name(study: Study, group: Sequence[Profile], rules: Rules) -> str:
    subject = study.subject(group[0].subject)
    columns = dict(subject.covariates)
    doses = [f"{dose.amount:g} {dose.unit} {dose.route}" for dose in subject.regimen.doses if dose.gives]
    given = ", ".join(dict.fromkeys(doses)) or "untreated"
    more = f" x{len(doses)}" if len(doses) > 1 else ""
    arms = [columns[name] for name in rules.by if columns.get(name)]
    return ", ".join([*([subject.species] if subject.species else []), f"{given}{more}", *arms])


def _rows(profile: Profile, rules: Rules) -> Iterator[dict[str, Any]]:
    known: dict[str, dict[str, Metric]] = {}
    windows = windows_of(profile)
    for number, window in enumerate(windows):
        steady = window.given is not None and window.given.steady and window.label != ALL
        analysis = Analysis.of(window, replace(rules, steady_state=True) if steady else rules)
        metrics = [*_doses(analysis), *after_dose(analysis)]
        found = {metric.parameter: metric for metric in metrics}
        repeated = len(profile.given) > 1 or rules.tau is not None or analysis.rules.steady_state
        if repeated and window.given is not None and window.label != ALL:
            metrics += interval(analysis, interval_of(profile.given, number, rules.tau), found)
        if window is windows[-1]:
            metrics += [period_area(analysis, period) for period in rules.periods]
            if counts_cells(analysis):
                metrics += cell_metrics(analysis, found)
        known[window.label] = {metric.parameter: metric for metric in metrics}
        if window.label == str(len(profile.given)) and len(profile.given) > 1:
            metrics += accumulation(known["1"], known[window.label], profile.given)
        for metric in metrics:
            yield _row(profile, window.label, window.start, window.kind, metric)


def _doses(analysis: Analysis) -> Iterator[Metric]:
    """Total and viable amount, both kept in every result (T1)."""
    doses = analysis.window.doses
    if not doses:
        return
    unit = doses[0].unit
    how = ", ".join(dict.fromkeys(f"{dose.kind}, {dose.route}" for dose in doses))
    units = list(dict.fromkeys(dose.unit for dose in doses))
    if any(math.isnan(dose.amount) or not same_dimension(dose.unit, unit) for dose in doses):
        yield missing("dose", " and ".join(units), "doses of several kinds have no amount together", how)
        return
    factors = [scale_factor(dose.unit, unit) for dose in doses]
    amount = sum(dose.amount * factor for dose, factor in zip(doses, factors, strict=True))
    totals = [dose.total * factor for dose, factor in zip(doses, factors, strict=True) if dose.total is not None]
    if len(totals) == len(doses):
        yield Metric("dose_viable", amount, unit, method=how)
        yield Metric("dose_total", sum(totals), unit, method=how)
        return
    yield Metric("dose", amount, unit, method=how)
    if unit in ("cell", "cells"):
        yield missing("dose_total", unit, "the viable fraction is not stated: the dose counts viable cells (T1)", how)


def _row(profile: Profile, label: str, start: float, kind: str, metric: Metric) -> dict[str, Any]:
    method = f"{metric.method}; {profile.basis}" if profile.basis and metric.method else metric.method
    return {
        "study": profile.study, "subject": profile.subject, "occasion": profile.occasion, "output": profile.output,
        "assay": profile.assay, "dose": label, "dose_time": start, "parameter": metric.parameter,
        "code": code_of(metric.parameter, kind), "value": metric.value, "unit": metric.unit, "reason": metric.reason,
        "method": method, "se": metric.se, "df": metric.df, "lower": metric.lower, "upper": metric.upper,
        "n": profile.n,
    }  # fmt: skip
