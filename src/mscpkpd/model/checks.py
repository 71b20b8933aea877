"""Check a model: names that exist, stand where they may and are used once; units; the origin of every number."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from mscpkpd.errors import ModelError, MscError, UnknownName
from mscpkpd.expressions import TIME, Expression, check_name, parse_call
from mscpkpd.model.description import Model
from mscpkpd.model.rows import FORMS, LEVELS, SHAPES, VIABLE, WITH_NOISE, Covariance, Output, Route, Variability
from mscpkpd.model.unit_checks import unit_findings

__all__ = ["check"]


def check(model: Model, *, shipped: bool = False) -> tuple[str, ...]:
    """Check names, units and references of a model.

    Parameters
    ----------
    model : Model
        The model.
    shipped : bool
        Refuse implied scale factors, and demand meaning and source of every number and a range of assumed ones.

    Returns
    -------
    tuple of str
        Notices: formulas whose unit differs from the declared one by a factor (numbers are taken as written).

    Raises
    ------
    ModelError
        All findings together, in file order.
    """
    notices: list[str] = []
    findings = [*_names(model)] or [*_uses(model)]
    if not findings:
        findings, notices = unit_findings(model)
    if shipped:
        findings += [ModelError(notice, hint='to(..., "unit") in a shipped model') for notice in notices]
        findings += _origins(model)
    if findings:
        raise ModelError.of(findings, where=model.source_path or f"model {model.name}")
    return tuple(notices)


def _names(model: Model) -> Iterator[MscError]:
    """Names are well formed and unique; an output with the name of a state is that state."""
    if not model.states:
        yield ModelError("the model has no states", where="[states]", hint='lung = { unit = "cells" }')
    seen: dict[str, str] = {}
    for table, name, row in _named_rows(model):
        try:
            check_name(name, where=f"[{table}]")
        except MscError as error:
            yield error
        itself = isinstance(row, Output) and row.expression.text == name
        if name in seen and not itself:
            hint = f'is = "{name}"' if table == "outputs" and seen[name] == "states" else "another name"
            yield ModelError(f"'{name}' stands in [{seen[name]}] too", where=f"[{table}].{name}", hint=hint)
        seen.setdefault(name, table)
    rates = [state for state, _ in model.rates]
    for name in model.state_names:
        if name not in rates:
            yield ModelError(f"state '{name}' has no rate", where="[rates]", hint=f'{name} = "0" if it does not change')
    for name in rates:
        if name not in model.state_names:
            yield UnknownName.among("state", name, model.state_names, where=f"[rates].{name}")


def _named_rows(model: Model) -> Iterator[tuple[str, str, object]]:
    yield from (("parameters", row.name, row) for row in model.parameters)
    yield from (("states", row.name, row) for row in model.states)
    yield from (("derived", row.name, row) for row in model.derived)
    yield from (("outputs", row.name, row) for row in model.outputs)


def _uses(model: Model) -> Iterator[MscError]:
    """Formulas use names that exist and that may stand there."""
    try:
        reach = _Reach(model)
    except ModelError as error:
        yield error
        return
    every = reach.constants | reach.moving
    for state, rate in model.rates:
        yield from _unknown(rate, every, f"[rates].{state}")
    for derived in model.derived:
        yield from _unknown(derived.expression, every, f"[derived].{derived.name}")
    for output in model.outputs:
        yield from _output_uses(output, model, every)
    for start, where in ((row.start, f"[states].{row.name}, start") for row in model.states):
        yield from reach.moving_in(start, where) if start is not None else ()
    for route in model.routes:
        yield from _route_uses(route, model, reach)
    for row in model.variability:
        yield from _variability_uses(row, model)
    for covariance in model.covariance:
        yield from _covariance_uses(covariance, model)
    for name in sorted(set(model.conserved) - set(model.state_names)):
        yield UnknownName.among("state", name, model.state_names, where="conserved")


def _unknown(expression: Expression, known: Collection[str], where: str) -> Iterator[UnknownName]:
    for name in sorted(expression.names - {TIME} - set(known)):
        yield UnknownName.among("name", name, known, where=where)


def _output_uses(output: Output, model: Model, every: Collection[str]) -> Iterator[MscError]:
    yield from _unknown(output.expression, every, f"[outputs].{output.name}")
    noises = {"noise": output.noise, **{f"quantities {name}": noise for name, noise in output.quantities}}
    used = [(key, name) for key, noise in noises.items() if noise for name in noise.parameters]
    used += [("detection", name) for name in (output.detection.parameters if output.detection else ())]
    used += [(f"bias {method}", name) for method, name in output.bias]
    for key, name in used:
        if name not in model.parameter_names:
            where = f"[outputs].{output.name}, {key}"
            yield UnknownName.among("parameter", name, model.parameter_names, where=where)
    for name, _ in output.quantities:
        if name not in WITH_NOISE:
            yield UnknownName.among("quantity", name, WITH_NOISE, where=f"[outputs].{output.name}, quantities")


def _route_uses(route: Route, model: Model, reach: _Reach) -> Iterator[MscError]:
    where = f"[routes].{route.name}"
    if not route.into:
        yield ModelError("the route leads nowhere", where=where, hint='into = { blood = "1" }')
    for state, fraction in route.into:
        if state not in model.state_names:
            yield UnknownName.among("state", state, model.state_names, where=f"{where}, into")
        yield from reach.moving_in(fraction, f"{where}, into {state}", VIABLE)
    if route.viable is not None and route.viable not in model.parameter_names:
        yield UnknownName.among("parameter", route.viable, model.parameter_names, where=f"{where}, viable")
    for key, expression in (("lag", route.lag), ("duration", route.duration), ("rate", route.rate)):
        if expression is not None:
            yield from reach.moving_in(expression, f"{where}, {key}")


def _variability_uses(row: Variability, model: Model) -> Iterator[MscError]:
    where = f"[variability].{row.parameter}"
    if row.parameter not in model.parameter_names:
        yield UnknownName.among("parameter", row.parameter, model.parameter_names, where=where)
    if row.level not in LEVELS:
        yield UnknownName.among("level", row.level, LEVELS, where=where)
    if not (math.isfinite(row.sd) and row.sd >= 0):
        yield ModelError(
            f"SD between {row.level}s is {row.sd:g}", where=where, expected="0 or more", hint="0 for no spread"
        )
    if row.prior is not None and not (row.prior.transform == "log" or row.prior.family == "fixed"):
        hint = 'prior = "halfnormal(1)", or "fixed" to hold the SD'
        yield ModelError(f"prior of the SD is {row.prior}", where=where, expected="one of positive numbers", hint=hint)
    yield from _shape_uses(row, where)


def _shape_uses(row: Variability, where: str) -> Iterator[MscError]:
    """A shape has a name and arguments of `SHAPES` (P2)."""
    if not row.shape:
        return
    expected = "lognormal, normal, logitnormal, logitnormal(lo, hi) or boxcox(lambda)"
    try:
        name, given = parse_call(row.shape, where)
    except MscError as error:
        yield error
        return
    numbers = [x for x in given if not isinstance(x, str)]
    counts = {"lognormal": (0,), "normal": (0,), "logitnormal": (0, 2), "boxcox": (1,)}
    if name not in SHAPES:
        yield UnknownName.among("shape", name, SHAPES, where=where)
    elif len(numbers) < len(given) or len(numbers) not in counts[name] or numbers != sorted(set(numbers)):
        yield ModelError(f"shape is '{row.shape}'", where=where, expected=expected, hint='shape = "boxcox(0.5)"')


def _covariance_uses(row: Covariance, model: Model) -> Iterator[MscError]:
    where = f"[covariance].{row.level}"
    varying = [each.parameter for each in model.variability if each.level == row.level]
    if row.level not in LEVELS:
        yield UnknownName.among("level", row.level, LEVELS, where=where)
    if row.form not in FORMS:
        yield UnknownName.among("form", row.form, FORMS, where=where)
    if not row.lkj > 0:
        hint = "2, or 1 for a flat prior"
        yield ModelError(f"lkj is {row.lkj:g}", where=where, expected="a number above 0", hint=hint)
    for a, b, r in row.correlations:
        for name in (a, b):
            if name not in varying:
                yield UnknownName.among("varying parameter", name, varying, where=where)
        if not -1 < r < 1 or a == b:
            problem = f"corr_{a}__{b} is {r:g}"
            yield ModelError(problem, where=where, expected="two parameters and a number between -1 and 1")
    if row.form == "diagonal" and row.correlations:
        yield ModelError("a diagonal form with correlations", where=where, hint='form = "full"')


class _Reach:
    """Which names follow from parameters alone; doses and starts may use only these (E16, E32)."""

    def __init__(self, model: Model) -> None:
        self.constants = set(model.parameter_names)
        self.moving = set(model.state_names)
        for row in model.derived_in_order:
            group = self.constants if row.expression.names <= self.constants else self.moving
            group.add(row.name)

    def moving_in(self, expression: Expression, where: str, *extra: str) -> Iterator[MscError]:
        """Yield a finding for every name of a formula that changes in time or does not exist."""
        for name in sorted(expression.names - self.constants - set(extra)):
            if name in self.moving or name == TIME:
                expected = "parameters, and what follows from them alone"
                hint = "a parameter here; what changes in time belongs into [rates]"
                yield ModelError(f"'{name}' changes in time", where=where, expected=expected, hint=hint)
            else:
                yield UnknownName.among("name", name, sorted(self.constants.union(extra)), where=where)


def _origins(model: Model) -> Iterator[MscError]:
    for row in model.parameters:
        where = f"[parameters].{row.name}"
        missing = [key for key in ("about", "source") if not getattr(row, key)]
        if missing:
            hint = ", ".join(f'{key} = "..."' for key in missing)
            yield ModelError(
                f"no {' and no '.join(missing)}", where=where, expected="both in a shipped model", hint=hint
            )
        if row.evidence == "assumed" and (row.low is None or row.high is None):
            hint = "low = ..., high = ... as far as the number could be wrong"
            yield ModelError("assumed and without a range", where=where, expected="low and high", hint=hint)
