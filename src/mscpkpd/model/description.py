"""`Model`: a frozen description that computes nothing; engines translate its formulas. A changed model is a new one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, TypeVar

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.expressions import TIME, Expression, unit_of
from mscpkpd.model import text
from mscpkpd.model.rows import VIABLE, Derived, Output, Route, State, Variability
from mscpkpd.parameters import Parameter, Prior
from mscpkpd.units import divided, parse_unit, unit_text

__all__ = ["Model"]


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
        File that the model was read from.
    notices : tuple of str
        What the check found remarkable: formulas whose unit implies a factor other than 1.

        Neither of these two counts in comparisons.

    Notes
    -----
    Building a model checks nothing, so that changed copies are cheap: `mscpkpd.model.check` does, and `load_model`
    calls it.

    Examples
    --------
    >>> from mscpkpd.modelfile import load_model
    >>> model = load_model("two_functional_compartments", values="mouse")
    >>> str(model.fix(k_L=0.05).parameter("k_L").prior)
    'fixed'
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
    notices: tuple[str, ...] = field(default=(), compare=False)

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
        """Return the parameter `name`.

        Parameters
        ----------
        name : str
            Name of a parameter.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        return _picked("parameter", name, self.parameters)

    def state(self, name: str) -> State:
        """Return the state `name`.

        Parameters
        ----------
        name : str
            Name of a state.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        return _picked("state", name, self.states)

    def route(self, name: str) -> Route:
        """Return the route `name`.

        Parameters
        ----------
        name : str
            Name of a route.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        return _picked("route", name, self.routes)

    def output(self, name: str) -> Output:
        """Return the output `name`.

        Parameters
        ----------
        name : str
            Name of a output.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        return _picked("output", name, self.outputs)

    def rate(self, state: str) -> Expression:
        """Return the rate of change of `state`.

        Parameters
        ----------
        state : str
            Name of a state.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        return dict(self.rates)[self.state(state).name]

    # ---- numbers ---------------------------------------------------------------------------------------------------

    @property
    def values(self) -> dict[str, float]:
        """Value of each parameter, in its unit."""
        return {row.name: row.value for row in self.parameters}

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each name: parameters, states, derived quantities, outputs and the time `t`."""
        rows: tuple[Parameter | State | Derived | Output, ...]
        rows = (*self.parameters, *self.states, *self.derived, *self.outputs)
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
        """Derived quantities, each after those that it uses; a circle of them raises `ModelError`."""
        rows = {row.name: row for row in self.derived}
        uses = {name: row.expression.names & rows.keys() for name, row in rows.items()}
        return tuple(rows[name] for name in _in_order(uses))

    def amount_unit(self, route: str) -> str:
        """Return the unit of a dose by `route`: cells where states in cells receive plain fractions.

        Doses in this unit per kg become doses in this unit by the body weight (T4).

        Parameters
        ----------
        route : str
            Name of a route.

        Raises
        ------
        UnknownName
            Where there is none; the message holds the closest names.
        """
        state, expression = self.route(route).into[0]
        fraction = unit_of(expression, {**self.units, VIABLE: "1"})
        if fraction is None or fraction == parse_unit("1"):
            return self.state(state).unit
        return unit_text(divided(parse_unit(self.state(state).unit), fraction))

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

        Parameters
        ----------
        values : mapping of str to float
            Parameter and its value, in the parameter's unit.

        Raises
        ------
        UnknownName
            For a name that is no parameter.
        ParameterError
            For a value outside the support of the prior.
        """
        return self._with({name: self.parameter(name).changed(value=value) for name, value in values.items()})

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
        UnknownName
            For a name that is no parameter.
        ParameterError
            For a prior that is malformed or excludes the value.
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
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        values = f" (values: {self.values_name})" if self.values_name else ""
        yield f"{self.name}{values}: {self.title}"
        if self.about:
            yield self.about
        yield from (f"\nNotice: {notice}" for notice in self.notices)
        yield from text.assumed_text(self.parameters)
        yield from text.equations_text(self.rates, self.states, self.units, self.time)
        yield from text.derived_text(self.derived)
        yield from text.routes_text(self.routes)
        yield from text.outputs_text(self.outputs)
        yield from text.parameters_text(self.parameters)
        yield from text.spread_text(self.variability)
        if self.references:
            yield f"\nReferences: {', '.join(self.references)}"


def _picked(kind: str, name: str, rows: tuple[Row, ...]) -> Row:
    for row in rows:
        if row.name == name:
            return row
    raise UnknownName.among(kind, name, [row.name for row in rows])


def _in_order(uses: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return names so that each follows those that it uses; a circle raises `ModelError` with its path."""
    order: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise ModelError(f"derived quantities use each other in a circle: {circle}", where="[derived]")
        if name not in order:
            for other in sorted(uses[name]):
                visit(other, (*path, name))
            order[name] = None

    for name in uses:
        visit(name, ())
    return tuple(order)
