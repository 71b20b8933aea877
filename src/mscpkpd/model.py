"""A model: states, rates, routes, outputs and parameters as frozen values, checked before anything runs.

A `Model` describes and computes nothing: engines translate its formulas. A changed model is a new model.

>>> from mscpkpd.modelfile import load_model
>>> model = load_model("two_functional_compartments", values="mouse")
>>> model.fix(k_L=0.05).parameter("k_L").prior.family
'fixed'
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol, TypeVar

from mscpkpd.errors import ModelError, MscError, UnitError, UnknownName
from mscpkpd.expressions import TIME, Expression, check_name, check_unit
from mscpkpd.noise import Noise
from mscpkpd.parameters import Parameter, Prior, number_text
from mscpkpd.units import Unit, parse_unit, scale_factor, unit_factor, unit_text

__all__ = ["LEVELS", "VIABLE", "Derived", "Model", "Output", "Route", "State", "Variability", "check"]

# within `into` of a route: the viable fraction of the dose (E11, T1)
VIABLE = "viable"
# random levels: P3, P8
LEVELS = ("subject", "occasion", "lot", "donor", "site", "study")


@dataclass(frozen=True)
class State:
    """An amount that changes in time.

    Attributes
    ----------
    name, unit, about : str
        Name in formulas, unit, meaning.
    start : Expression or None
        Value at time 0 and after a reset (E32); 0 where None.
    """

    name: str
    unit: str
    about: str = ""
    start: Expression | None = None


@dataclass(frozen=True)
class Route:
    """What one unit of dose becomes.

    Attributes
    ----------
    name : str
        Name of the route (T3).
    into : tuple of (str, Expression)
        State and the fraction of the dose that it receives. The name ``viable`` stands for the viable fraction of the
        dose: VIAB of its row where given, else the parameter `viable`, else 1.
    viable : str or None
        Parameter that holds the viable fraction.
    lag, duration, rate : Expression or None
        Delay, modelled duration and modelled rate (E7, E8, E15).
    about : str
        Meaning.
    """

    name: str
    into: tuple[tuple[str, Expression], ...]
    viable: str | None = None
    lag: Expression | None = None
    duration: Expression | None = None
    rate: Expression | None = None
    about: str = ""


@dataclass(frozen=True)
class Derived:
    """A named quantity that follows from states, parameters, time and other derived quantities."""

    name: str
    unit: str
    expression: Expression
    about: str = ""


@dataclass(frozen=True)
class Output:
    """What can be observed.

    Attributes
    ----------
    name : str
        Name in data; the name of a state only where the output is that state.
    expression : Expression
        Formula in states, derived quantities, parameters and time.
    unit : str
        Unit of predictions and data.
    noise : Noise or None
        Residual error; an output without it can be simulated but not fitted.
    about, organ, method : str
        Meaning; organ and assay of the data that it predicts.
    """

    name: str
    expression: Expression
    unit: str
    noise: Noise | None = None
    about: str = ""
    organ: str = ""
    method: str = ""


@dataclass(frozen=True)
class Variability:
    """Spread of a parameter over a random level, as SD on the parameter's own transformed scale (P2, P8)."""

    parameter: str
    level: str
    sd: float
    source: str = ""
    evidence: str = "assumed"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=_Named)


@dataclass(frozen=True)
class Model:
    """States, rates, routes, outputs and parameters, in the order of the model file.

    Attributes
    ----------
    name, title, about : str
        Name in the library, one line, and a paragraph.
    time : str
        Unit of time; rates are per this unit.
    parameters, states, routes, derived, outputs, variability : tuple
        The rows of the tables of the model file.
    rates : tuple of (str, Expression)
        Rate of change of each state, in the unit of the state per `time`.
    references : tuple of str
        Keys of the papers behind the model.
    values_name : str
        Values file that the numbers were read from.
    conserved : tuple of str
        States whose sum changes only by dosing.
    source_path : str
        File that the model was read from; does not count in comparisons.

    Notes
    -----
    Building a model checks nothing, so that changed copies are cheap: `check` does, and `load_model` calls it.
    """

    name: str
    title: str
    time: str
    parameters: tuple[Parameter, ...]
    states: tuple[State, ...]
    routes: tuple[Route, ...]
    rates: tuple[tuple[str, Expression], ...]
    derived: tuple[Derived, ...] = ()
    outputs: tuple[Output, ...] = ()
    variability: tuple[Variability, ...] = ()
    references: tuple[str, ...] = ()
    about: str = ""
    values_name: str = ""
    conserved: tuple[str, ...] = ()
    source_path: str = field(default="", compare=False)

    # ---- names -----------------------------------------------------------------------------------------------------

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters in file order."""
        return tuple(row.name for row in self.parameters)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states in file order; a number n as CMT means the n-th of them (D6)."""
        return tuple(row.name for row in self.states)

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the routes in file order."""
        return tuple(row.name for row in self.routes)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs in file order."""
        return tuple(row.name for row in self.outputs)

    def parameter(self, name: str) -> Parameter:
        """Return the parameter `name`; `UnknownName` with the closest names where there is none."""
        return _pick("parameter", name, self.parameters)

    def state(self, name: str) -> State:
        """Return the state `name`; `UnknownName` with the closest names where there is none."""
        return _pick("state", name, self.states)

    def route(self, name: str) -> Route:
        """Return the route `name`; `UnknownName` with the closest names where there is none."""
        return _pick("route", name, self.routes)

    def output(self, name: str) -> Output:
        """Return the output `name`; `UnknownName` with the closest names where there is none."""
        return _pick("output", name, self.outputs)

    def rate(self, state: str) -> Expression:
        """Return the rate of change of `state`."""
        self.state(state)
        return dict(self.rates)[state]

    # ---- numbers ---------------------------------------------------------------------------------------------------

    @property
    def values(self) -> dict[str, float]:
        """Value of each parameter, in its unit."""
        return {row.name: row.value for row in self.parameters}

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each name: parameters, states, derived quantities, outputs and the time `t`."""
        rows: Iterable[Parameter | State | Derived | Output] = (*self.parameters, *self.states, *self.derived, *self.outputs)
        return {TIME: self.time, **{row.name: row.unit for row in rows}}

    @property
    def free_names(self) -> tuple[str, ...]:
        """Parameters that a fit estimates by default: those with a free prior whose mechanism is not off (value 0)."""
        return tuple(row.name for row in self.parameters if row.is_free)

    @property
    def fixed(self) -> tuple[str, ...]:
        """Parameters that a fit keeps by default."""
        return tuple(row.name for row in self.parameters if not row.is_free)

    @property
    def noise_parameters(self) -> tuple[str, ...]:
        """Parameters that the noise of some output uses."""
        used = {name for output in self.outputs if output.noise for name in output.noise.parameters}
        return tuple(name for name in self.parameter_names if name in used)

    @cached_property
    def derived_in_order(self) -> tuple[Derived, ...]:
        """Derived quantities, each after those that it uses."""
        rows = {row.name: row for row in self.derived}
        return tuple(rows[name] for name in _in_order({name: row.expression.names & rows.keys() for name, row in rows.items()}))

    def amount_unit(self, route: str) -> str:
        """Return the unit of a dose by `route`: cells where states in cells receive plain fractions.

        Doses in this unit per kg become doses in this unit by the body weight (T4).
        """
        row = self.route(route)
        state, expression = row.into[0]
        fraction = expression.unit({**self.units, VIABLE: "1"})
        if fraction is None or fraction == parse_unit("1"):
            return self.state(state).unit
        return unit_text(parse_unit(self.state(state).unit) / fraction)

    # ---- changed models --------------------------------------------------------------------------------------------

    def fix(self, **values: float) -> Model:
        """Return the model with these parameters set and no longer estimated.

        Parameters
        ----------
        **values : float
            Parameter and its value, in the parameter's unit.

        Raises
        ------
        UnknownName
            For a name that is no parameter.
        ParameterError
            For a value that is not finite.
        """
        return self._with({name: self.parameter(name).fixed_at(value) for name, value in values.items()})

    def replace_values(self, values: Mapping[str, float]) -> Model:
        """Return the model with other typical values and unchanged priors.

        Raises
        ------
        UnknownName
            For a name that is no parameter.
        ParameterError
            For a value outside the support of the prior.
        """
        return self._with({name: self.parameter(name).changed(value=float(value)) for name, value in values.items()})

    def with_prior(self, name: str, prior: str | Prior) -> Model:
        """Return the model with another prior for one parameter.

        A mechanism that is off (value 0) starts from the median of its new prior; the studies behind the old prior no
        longer count.

        Parameters
        ----------
        name : str
            Parameter.
        prior : str or Prior
            For example ``"lognormal(1, 0.3)"``.

        Raises
        ------
        UnknownName, ParameterError
            For an unknown name, and for a prior that is malformed or excludes the value.
        """
        new = prior if isinstance(prior, Prior) else Prior.parse(prior, where=f"prior of {name}")
        old = self.parameter(name)
        value = new.median if new.is_free and old.value == 0 and not new.holds(0.0) else old.value
        return self._with({name: old.changed(value=value, prior=new, prior_source=(), prior_without=None)})

    def _with(self, changed: Mapping[str, Parameter]) -> Model:
        return replace(self, parameters=tuple(changed.get(row.name, row) for row in self.parameters))

    # ---- text ------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        values = f", values={self.values_name!r}" if self.values_name else ""
        counts = f"{len(self.states)} states, {len(self.parameters)} parameters, {len(self.outputs)} outputs"
        return f"Model({self.name!r}{values}: {counts})"

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _pick(kind: str, name: str, rows: tuple[Row, ...]) -> Row:
    for row in rows:
        if row.name == name:
            return row
    raise UnknownName.among(kind, name, [row.name for row in rows])


def _in_order(uses: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return names so that each follows those that it uses; a cycle raises `ModelError` with its path."""
    order: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise ModelError(f"derived quantities use each other in a circle: {cycle}", where="[derived]")
        if name not in order:
            for other in sorted(uses[name]):
                visit(other, (*path, name))
            order[name] = None

    for name in uses:
        visit(name, ())
    return tuple(order)


# ---- check -------------------------------------------------------------------------------------------------------


def check(model: Model, shipped: bool = False) -> tuple[str, ...]:
    """Check names, units and references of a model.

    Parameters
    ----------
    model : Model
        The model.
    shipped : bool
        Refuse implied scale factors, and demand meaning, source and evidence of every number.

    Returns
    -------
    tuple of str
        Notices: formulas whose unit differs from the declared one by a factor (numbers are taken as written).

    Raises
    ------
    ModelError
        All findings together, in file order.
    """
    findings: list[str | MscError] = [*_name_findings(model)]
    notices: list[str] = []
    if not findings:
        findings += _use_findings(model)
    if not findings:
        unit_findings = _unit_findings(model, notices)
        findings += unit_findings
    if shipped:
        findings += [f"{notice}; a shipped model writes to(..., unit)" for notice in notices]
        findings += _origin_findings(model)
    if findings:
        raise ModelError.of(findings, where=model.source_path or f"model {model.name}")
    return tuple(notices)


def _name_findings(model: Model) -> Iterator[str | MscError]:
    """Names are well formed, unique, and an output with the name of a state is that state."""
    if not model.states:
        yield ModelError("the model has no states", where="[states]", hint='lung = { unit = "cells" }')
    seen: dict[str, str] = {}
    tables = {"parameters": model.parameters, "states": model.states, "derived": model.derived, "outputs": model.outputs}
    for table, rows in tables.items():
        for row in rows:
            try:
                check_name(row.name, where=f"[{table}]")
            except MscError as error:
                yield error
            itself = isinstance(row, Output) and row.expression.text == row.name
            if row.name in seen and not itself:
                hint = f'is = "{row.name}"' if table == "outputs" else "another name"
                yield ModelError(f"'{row.name}' stands in [{seen[row.name]}] too", where=f"[{table}].{row.name}", hint=hint)
            seen.setdefault(row.name, table)
    rates = [state for state, _ in model.rates]
    for name in model.state_names:
        if name not in rates:
            yield ModelError(f"state '{name}' has no rate", where="[rates]", hint=f'{name} = "0" where it does not change')
    for name in rates:
        if name not in model.state_names:
            yield UnknownName.among("state", name, model.state_names, where=f"[rates].{name}")


def _use_findings(model: Model) -> Iterator[str | MscError]:
    """Formulas use names that exist and that may stand there."""
    reach = _Reach(model)
    if reach.cycle is not None:
        yield reach.cycle
        return
    every = {*model.parameter_names, *model.state_names, *(row.name for row in model.derived)}
    for state, rate in model.rates:
        yield from _unknown(rate, every, f"[rates].{state}")
    for derived in model.derived:
        yield from _unknown(derived.expression, every, f"[derived].{derived.name}")
    for output in model.outputs:
        yield from _unknown(output.expression, every, f"[outputs].{output.name}")
        for name in output.noise.parameters if output.noise else ():
            if name not in model.parameter_names:
                yield UnknownName.among("parameter", name, model.parameter_names, where=f"[outputs].{output.name}, noise")
    for state_row in model.states:
        if state_row.start is not None:
            yield from reach.constant(state_row.start, f"[states].{state_row.name}, start", ())
    for route in model.routes:
        yield from _route_uses(model, route, reach)
    for row in model.variability:
        where = f"[variability].{row.parameter}"
        if row.parameter not in model.parameter_names:
            yield UnknownName.among("parameter", row.parameter, model.parameter_names, where=where)
        if row.level not in LEVELS:
            yield UnknownName.among("level", row.level, LEVELS, where=where)
        if not 0 <= row.sd < float("inf"):
            yield ModelError(f"SD of {row.parameter} between {row.level}s is {row.sd:g}", where=where, expected="0 or more")
    for name in model.conserved:
        if name not in model.state_names:
            yield UnknownName.among("state", name, model.state_names, where="conserved")


def _route_uses(model: Model, route: Route, reach: _Reach) -> Iterator[str | MscError]:
    where = f"[routes].{route.name}"
    if not route.into:
        yield ModelError("the route leads nowhere", where=where, hint='into = { blood = "1" }')
    for state, fraction in route.into:
        if state not in model.state_names:
            yield UnknownName.among("state", state, model.state_names, where=f"{where}, into")
        yield from reach.constant(fraction, f"{where}, into {state}", (VIABLE,))
    if route.viable is not None and route.viable not in model.parameter_names:
        yield UnknownName.among("parameter", route.viable, model.parameter_names, where=f"{where}, viable")
    for key, expression in (("lag", route.lag), ("duration", route.duration), ("rate", route.rate)):
        if expression is not None:
            yield from reach.constant(expression, f"{where}, {key}", ())


def _unknown(expression: Expression, known: Collection[str], where: str) -> Iterator[UnknownName]:
    for name in sorted(expression.names - {TIME} - set(known)):
        yield UnknownName.among("name", name, known, where=where)


class _Reach:
    """Which derived quantities follow from parameters alone; doses and starts may use only these (E16, E32)."""

    def __init__(self, model: Model) -> None:
        self.constants = set(model.parameter_names)
        self.moving = set(model.state_names)
        self.cycle: ModelError | None = None
        try:
            for row in model.derived_in_order:
                group = self.constants if row.expression.names <= self.constants else self.moving
                group.add(row.name)
        except ModelError as error:
            self.cycle = error

    def constant(self, expression: Expression, where: str, extra: tuple[str, ...]) -> Iterator[str | MscError]:
        for name in sorted(expression.names - self.constants - set(extra)):
            if name in self.moving or name == TIME:
                yield ModelError(f"'{name}' changes in time", where=where, expected="parameters and what follows from them alone")
            else:
                yield UnknownName.among("name", name, sorted(self.constants | set(extra)), where=where)


def _unit_findings(model: Model, notices: list[str]) -> list[str | MscError]:
    """Every formula has the dimension that its place demands; factors other than 1 go into `notices`."""
    findings = [*_bad_units(model)]
    if findings or set(model.units.values()) - {model.time} == {"1"}:
        return findings  # unit "1" throughout switches the check off
    for attempt, what, where in _unit_checks(model):
        try:
            factor = attempt()
        except MscError as error:
            findings.append(error)
            continue
        if factor != 1.0:
            notices.append(f"{where}: the unit of {what} implies a factor {factor:g}; its numbers are taken as written")
    return findings


def _bad_units(model: Model) -> Iterator[str | MscError]:
    tables = {"parameters": model.parameters, "states": model.states, "derived": model.derived, "outputs": model.outputs}
    for table, rows in tables.items():
        for row in rows:
            try:
                parse_unit(row.unit, where=f"[{table}].{row.name}")
            except UnitError as error:
                yield error
    try:
        scale_factor("h", model.time)
    except UnitError:
        yield ModelError(f"time is in '{model.time}'", expected="a unit of time", hint="h or d")


UnitCheck = tuple[Callable[[], float], str, str]


def _unit_checks(model: Model) -> Iterator[UnitCheck]:
    units = {**model.units, VIABLE: "1"}

    def formula(expression: Expression, expected: str, what: str, where: str) -> UnitCheck:
        return partial(check_unit, expression, units, expected, where, what), what, where

    for state in model.states:
        if state.start is not None:
            yield formula(state.start, state.unit, f"start of {state.name}", f"[states].{state.name}")
    for derived in model.derived:
        yield formula(derived.expression, derived.unit, derived.name, f"[derived].{derived.name}")
    for name, rate in model.rates:
        per_time = unit_text(parse_unit(units[name]) / parse_unit(model.time))
        yield formula(rate, per_time, f"rate of {name}", f"[rates].{name}")
    for route in model.routes:
        yield from _route_checks(model, route, units)
        if route.viable is not None:
            viable = Expression(route.viable, frozenset((route.viable,)))
            yield formula(viable, "1", "viable fraction", f"[routes].{route.name}")
        for key, timed in (("lag", route.lag), ("duration", route.duration)):
            if timed is not None:
                yield formula(timed, model.time, key, f"[routes].{route.name}")
    for output in model.outputs:
        yield formula(output.expression, output.unit, output.name, f"[outputs].{output.name}")
        for argument, expected in _noise_units(output):
            yield formula(argument, expected, f"{argument} in noise '{output.noise}'", f"[outputs].{output.name}")
    for one, other in zip(model.conserved, model.conserved[1:], strict=False):
        yield partial(scale_factor, units[one], units[other], "conserved"), "conserved states", "conserved"


def _route_checks(model: Model, route: Route, units: Mapping[str, str]) -> Iterator[UnitCheck]:
    """All states of a route agree on one unit of the dose; a modelled rate is that unit per time (E7)."""
    where = f"[routes].{route.name}"

    def amount(state: str, fraction: Expression) -> Unit:
        unit = fraction.unit(units, f"{where}, into {state}")
        return parse_unit(units[state]) / (unit if unit is not None else parse_unit("1"))

    def agree(state: str, fraction: Expression) -> float:
        first, here = amount(*route.into[0]), amount(state, fraction)
        if first.dimensionality != here.dimensionality:
            raise UnitError(f"dose into {state} is in {unit_text(here)}", where=where, expected=unit_text(first))
        return unit_factor(here, first)

    for state, fraction in route.into:
        yield partial(agree, state, fraction), f"the dose into {state}", where
    if route.rate is not None:
        rate = route.rate

        def rate_factor() -> float:
            return check_unit(rate, units, unit_text(amount(*route.into[0]) / parse_unit(model.time)), where, "rate")

        yield rate_factor, "rate", where


def _noise_units(output: Output) -> Iterator[tuple[Expression, str]]:
    """Unit of each parameter of a noise model; b of b f**c is free where c is estimated."""
    if output.noise is None:
        return
    arguments = output.noise.arguments
    power = arguments.get("c", 1.0)
    for name, value in arguments.items():
        if not isinstance(value, str):
            continue
        expected = output.unit if name == "a" else "1"
        if name == "b" and power != 1.0:
            if isinstance(power, str):
                continue
            expected = unit_text(parse_unit(output.unit) ** (1.0 - power))
        yield Expression(value, frozenset((value,))), expected


def _origin_findings(model: Model) -> Iterator[str | MscError]:
    for row in model.parameters:
        missing = [key for key in ("about", "source", "evidence") if not getattr(row, key)]
        if missing:
            yield ModelError(f"{row.name} has no {' and no '.join(missing)}", where=f"[parameters].{row.name}")
        if row.evidence == "assumed" and row.value != 0 and (row.low is None or row.high is None) and row.prior.is_free:
            yield ModelError(f"{row.name} is assumed and has no range", where=f"[parameters].{row.name}", expected="low and high")


# ---- text --------------------------------------------------------------------------------------------------------


def _lines(model: Model) -> Iterator[str]:
    values = f" (values: {model.values_name})" if model.values_name else ""
    yield f"{model.name}{values}: {model.title}"
    if model.about:
        yield model.about
    assumed = [row for row in model.parameters if row.evidence == "assumed"]
    if assumed:
        yield f"\nAssumed numbers ({len(assumed)} of {len(model.parameters)}): no source known, check them first"
        yield from _table([(f"  {row.name}", _quantity(row), _range(row), row.source) for row in assumed])
    yield f"\nEquations, per {model.time}"
    for state, rate in model.rates:
        yield f"  d {state}/dt = {rate}    [{model.units[state]}/{model.time}]"
    starts = [f"{row.name} = {row.start}" for row in model.states if row.start is not None]
    if starts:
        yield f"  at time 0: {', '.join(starts)}; all others 0"
    if model.derived:
        yield "\nDerived"
        yield from _table([(f"  {row.name}", f"= {row.expression}", f"[{row.unit}]", row.about) for row in model.derived])
    yield "\nRoutes"
    yield from (f"  {row.name}: {_route_text(row)}" for row in model.routes)
    yield "\nOutputs"
    yield from _table([(f"  {row.name}", f"= {row.expression}", f"[{row.unit}]", _noise_text(row)) for row in model.outputs])
    yield "\nParameters"
    head = ("  name", "value", "prior", "evidence", "meaning", "source")
    yield from _table([head, *((f"  {row.name}", _quantity(row), str(row.prior), row.evidence, row.about, row.source) for row in model.parameters)])
    if model.variability:
        yield "\nVariability, SD on the transformed scale"
        yield from (f"  {row.parameter}: {number_text(row.sd)} between {row.level}s ({row.evidence})" for row in model.variability)
    if model.references:
        yield f"\nReferences: {', '.join(model.references)}"


def _quantity(row: Parameter) -> str:
    off = " (off)" if row.is_off else ""
    return f"{number_text(row.value)}{'' if row.unit == '1' else ' ' + row.unit}{off}"


def _range(row: Parameter) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{number_text(row.low)} to {number_text(row.high)}"


def _noise_text(row: Output) -> str:
    return str(row.noise) if row.noise is not None else "no noise: cannot be fitted"


def _route_text(row: Route) -> str:
    parts = [f"{state} {fraction}" for state, fraction in row.into]
    extras = [f"{key} {value}" for key, value in (("viable", row.viable), ("lag", row.lag), ("duration", row.duration), ("rate", row.rate)) if value]
    return ", ".join(parts) + (f"; {', '.join(extras)}" if extras else "")


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Align the columns of a table; the last one runs free."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


