"""The tables of a model file as the rows of a `Model`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from mscpkpd.detection import Detection
from mscpkpd.errors import InputError, ModelError, UnitError, UnknownName
from mscpkpd.expressions import Expression, parse
from mscpkpd.model import BLQ_METHODS, Covariance, Derived, Output, Route, State, Variability
from mscpkpd.modelfile.findings import Findings
from mscpkpd.modelfile.library import Table
from mscpkpd.noise import Noise
from mscpkpd.parameters import EVIDENCE, Parameter, Prior, number_text
from mscpkpd.units import parse_quantity, to_unit

__all__ = [
    "PARAMETER_KEYS",
    "read_covariance",
    "read_derived",
    "read_outputs",
    "read_parameters",
    "read_rates",
    "read_routes",
    "read_states",
    "read_variability",
]

PARAMETER_KEYS = (
    "value",
    "unit",
    "prior",
    "about",
    "source",
    "evidence",
    "low",
    "high",
    "prior_source",
    "prior_without",
    "note",
)
STATE_KEYS = ("unit", "about", "start")
ROUTE_KEYS = ("into", "viable", "lag", "duration", "rate", "about")
DERIVED_KEYS = ("is", "unit", "about")
OUTPUT_KEYS = ("is", "unit", "noise", "about", "organ", "method", "detection", "quantities", "bias", "blq")
SPREAD_KEYS = ("shape", "prior", "source", "evidence")
COVARIANCE_KEYS = ("form", "lkj")
CORRELATION = "corr_"  # corr_a__b: the correlation of the effects of parameters a and b (P4)
ZERO = parse("0")


def read_parameters(raw: Table, findings: Findings) -> tuple[Parameter, ...]:
    """Return the parameters that have a value."""
    made = []
    for name, row, where in findings.rows(raw, "parameters"):
        findings.keys(row, PARAMETER_KEYS, where)
        if "value" not in row:
            continue
        before = len(findings.found)
        arguments = _parameter_arguments(row, findings, where)
        if len(findings.found) == before:
            parameter = findings.attempt(partial(_parameter, name, arguments, where))
            made += [parameter] if parameter is not None else []
    return tuple(made)


def _parameter_arguments(row: Table, findings: Findings, where: str) -> Table:
    if "unit" not in row:
        findings.add("no unit", where, expected="a unit", hint='unit = "1/h", or unit = "1" for none')
    value, low, high = (findings.number(row, key, where) for key in ("value", "low", "high"))
    if low is not None and high is not None and low > high:
        findings.add(f"low is {low:g} and high is {high:g}", where, expected="low below high", hint="exchange them")
    elif value and low is not None and high is not None and not low <= value <= high:
        problem = f"value {value:g} lies outside its range {low:g} to {high:g}"
        findings.add(problem, where, expected="low, value, high in this order", hint="another value, or a wider range")
    return {
        "value": value,
        "unit": findings.text(row, "unit", where),
        "prior": _prior(row, "prior", "fixed", findings, where),
        "prior_without": _prior(row, "prior_without", "", findings, where),
        "prior_source": findings.texts(row, "prior_source", where),
        "evidence": findings.text(row, "evidence", where, default="assumed"),
        "low": low,
        "high": high,
        **{key: findings.text(row, key, where) for key in ("about", "source", "note")},
    }


def _prior(row: Table, key: str, default: str, findings: Findings, where: str) -> Prior | None:
    text = findings.text(row, key, where, default)
    return findings.attempt(lambda: Prior.parse(text, f"{where}, {key}")) if text else None


def _parameter(name: str, arguments: Table, where: str) -> Parameter:
    try:
        return Parameter(name, **arguments)
    except InputError as error:
        raise ModelError(error.problem, where=where, expected=error.expected, hint=error.hint) from None


def _formula(text: Any, findings: Findings, where: str) -> Expression:
    made = findings.attempt(lambda: parse(text, where))
    return ZERO if made is None else made


def read_states(raw: Table, findings: Findings) -> Iterator[State]:
    """Yield the states."""
    for name, row, where in findings.rows(raw, "states"):
        findings.keys(row, STATE_KEYS, where)
        findings.need(row, ("unit",), where)
        start = _formula(row["start"], findings, f"{where}, start") if "start" in row else None
        yield State(name, findings.text(row, "unit", where, "1"), findings.text(row, "about", where), start)


def read_rates(raw: Table, findings: Findings) -> Iterator[tuple[str, Expression]]:
    """Yield state and rate of change."""
    for name, text, where in findings.rows(raw, "rates", str):
        yield name, _formula(text, findings, where)


def read_derived(raw: Table, findings: Findings) -> Iterator[Derived]:
    """Yield the derived quantities."""
    for name, row, where in findings.rows(raw, "derived"):
        findings.keys(row, DERIVED_KEYS, where)
        findings.need(row, ("is", "unit"), where)
        expression = _formula(row.get("is", "0"), findings, where)
        yield Derived(name, findings.text(row, "unit", where, "1"), expression, findings.text(row, "about", where))


def read_routes(raw: Table, time: str, findings: Findings) -> Iterator[Route]:
    """Yield the routes; a lag or duration such as "30 min" becomes a number in the model's unit of time."""
    for name, row, where in findings.rows(raw, "routes"):
        findings.keys(row, ROUTE_KEYS, where)
        into = row.get("into")
        if not isinstance(into, dict):
            problem = "no into" if into is None else f"into is {into!r}"
            findings.add(problem, where, expected='into = { blood = "1" }')
            continue
        yield Route(
            name=name,
            into=tuple((state, _formula(text, findings, f"{where}, into {state}")) for state, text in into.items()),
            viable=findings.text(row, "viable", where) or None,
            lag=_timed(row, "lag", time, findings, where),
            duration=_timed(row, "duration", time, findings, where),
            rate=_formula(row["rate"], findings, f"{where}, rate") if "rate" in row else None,
            about=findings.text(row, "about", where),
        )


def _timed(row: Table, key: str, time: str, findings: Findings, where: str) -> Expression | None:
    text = row.get(key)
    if text is None:
        return None
    if isinstance(text, str) and _is_quantity(text):
        number = findings.attempt(lambda: to_unit(text, time, f"{where}, {key}"))
        return parse(number_text(number or 0.0))
    made = _formula(text, findings, f"{where}, {key}")
    if made.number:
        findings.add(f"{key} is {text}, without a unit", where, expected="a time", hint=f'{key} = "{text} {time}"')
    return made


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except UnitError:
        return False
    return True


def read_outputs(raw: Table, findings: Findings) -> Iterator[Output]:
    """Yield the outputs."""
    for name, row, where in findings.rows(raw, "outputs"):
        findings.keys(row, OUTPUT_KEYS, where)
        findings.need(row, ("is", "unit"), where)
        text = findings.text(row, "noise", where)
        blq = findings.text(row, "blq", where, "M3")
        if blq not in BLQ_METHODS:
            findings.found.append(UnknownName.among("method", blq, BLQ_METHODS, where=f"{where}, blq"))
        yield Output(
            name=name,
            expression=_formula(row.get("is", "0"), findings, where),
            unit=findings.text(row, "unit", where, "1"),
            noise=findings.attempt(partial(Noise.parse, text, f"{where}, noise")) if text else None,
            about=findings.text(row, "about", where),
            organ=findings.text(row, "organ", where),
            method=findings.text(row, "method", where),
            detection=_detection(row, findings, where),
            quantities=tuple(_quantities(row, findings, where)),
            bias=tuple(_texts_of(row, "bias", 'bias = { PET = "bias_PET" }', findings, where)),
            blq=blq,
        )


def _detection(row: Table, findings: Findings, where: str) -> Detection | None:
    text = findings.text(row, "detection", where)
    return findings.attempt(partial(Detection.parse, text, f"{where}, detection")) if text else None


def _quantities(row: Table, findings: Findings, where: str) -> Iterator[tuple[str, Noise]]:
    """Noise of each quantity of an output."""
    for name, text in _texts_of(row, "quantities", 'quantities = { half_life = "lognormal(0.3)" }', findings, where):
        noise = findings.attempt(partial(Noise.parse, text, f"{where}, quantities {name}"))
        if noise is not None:
            yield name, noise


def _texts_of(row: Table, key: str, example: str, findings: Findings, where: str) -> Iterator[tuple[str, str]]:
    """Texts of a table within a row."""
    table = row.get(key, {})
    if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
        findings.add(f"{key} is {table!r}", where, expected=example)
        return
    yield from table.items()


def read_variability(raw: Table, findings: Findings) -> Iterator[Variability]:
    """Yield one row for each parameter and level."""
    for name, row, where in findings.rows(raw, "variability"):
        source = findings.text(row, "source", where)
        evidence = findings.text(row, "evidence", where, "assumed")
        if evidence not in EVIDENCE:
            findings.found.append(UnknownName.among("evidence", evidence, EVIDENCE, where=where))
        shape = findings.text(row, "shape", where)
        prior = _prior(row, "prior", "", findings, where)
        for level in row:
            sd = findings.number(row, level, where) if level not in SPREAD_KEYS else None
            if sd is not None:
                yield Variability(name, level, sd, source, evidence, shape, prior)


def read_covariance(raw: Table, findings: Findings) -> Iterator[Covariance]:
    """Yield one row for each level."""
    for level, row, where in findings.rows(raw, "covariance"):
        named = [key for key in row if key.startswith(CORRELATION) and "__" in key]
        findings.keys(row, (*COVARIANCE_KEYS, *named), where)
        lkj = findings.number(row, "lkj", where)
        pairs = ((key.removeprefix(CORRELATION).split("__", 1), findings.number(row, key, where)) for key in named)
        yield Covariance(
            level,
            findings.text(row, "form", where, "full"),
            2.0 if lkj is None else lkj,
            tuple((a, b, r) for (a, b), r in pairs if r is not None),
        )
