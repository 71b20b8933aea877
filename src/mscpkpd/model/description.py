"""`Model`: a frozen description that computes nothing; engines translate its formulas. A changed model is a new one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Protocol, TypeVar

from mscpkpd.dosing import Regimen
from mscpkpd.errors import ModelError, ParameterError, UnknownName
from mscpkpd.expressions import TIME, Expression, unit_of
from mscpkpd.model import text
from mscpkpd.model.rows import VIABLE, Covariance, Derived, Output, Route, State, Variability
from mscpkpd.model.verbs import verb
from mscpkpd.parameters import Parameter, Prior
from mscpkpd.units import divided, parse_unit, unit_text

if TYPE_CHECKING:
    from mscpkpd.model.verbs import Design, Identifiability, Study

__all__ = ["Model"]

WIDTH = 120  # of a paragraph in the text of a model


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
    parameters, states, routes, derived, outputs, variability, covariance : tuple
        The rows of the tables of the model file.
    rates : tuple of (str, Expression)
        Rate of change of each state, in the unit of the state per `time`.
    references : tuple of str
        Keys of the papers behind the model.
    values_name : str
        Values file that the numbers were read from.
    conserved : tuple of str
        States whose sum changes only by dosing.
    doses : Regimen
        Doses that belong to the model itself, such as the events of an SBML file; what is simulated where no regimen
        is named.
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
    covariance: tuple[Covariance, ...] = ()
    references: tuple[str, ...] = ()
    about: str = ""
    values_name: str = ""
    conserved: tuple[str, ...] = ()
    doses: Regimen = field(default_factory=Regimen)
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
        """Parameters that the noise or the detection of some output uses."""
        used = {name for output in self.outputs for name in output.measurement_parameters}
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
            For a value that is not finite, or outside the support of the prior; 0 and 1 are allowed.
        """
        return self._with({name: _held(self.parameter(name), value) for name, value in values.items()})

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

    # ---- verbs: what higher rows do, see `mscpkpd.model.verbs` -------------------------------------------------------

    def identifiability(self, design: Design | Study, free: Collection[str] | None = None) -> Identifiability:
        """Find what a design can tell about the parameters, before anything is measured.

        Names the parameters that enter the observations only together, those that this design cannot separate, and
        the relative standard errors to expect without and with the priors. The answer is local: it holds near the
        values of the model.

        Parameters
        ----------
        design : Design or Study
            What is given, and what is observed when. Of a study, the doses, times, outputs and spreads are used and
            the values are not.
        free : collection of str, optional
            Parameters to ask about, by default all with a prior. A parameter that the model fixes may be named; it
            counts as unknown, without a prior.

        Returns
        -------
        Identifiability
            Print it, or use `identifiable`, `recoverable`, `groups`, `pairs` and `table`.

        Raises
        ------
        UnknownName
            For a parameter or an output that the model does not have.
        DataError
            If a study does not fit the model.
        UsageError
            If no parameter asked about affects the observed outputs, or one of them is 0, which means off.
        SolveError
            If the model cannot be solved at its values.

        Notes
        -----
        Rank and null space of the sensitivities on the relative scale, at five parameter points; what looks like an
        exact product or sum is confirmed by a step of 20 percent. Standard errors from the Fisher information of the
        noise models. Collinearity index: Brun 2001. The limits are conventions of this package: a relative standard
        error of 0.5 counts as precise, effects with a cosine beyond 0.95 as alike and beyond 0.99 as one.

        Examples
        --------
        >>> from mscpkpd.designs import Design
        >>> from mscpkpd.dosing import bolus
        >>> from mscpkpd.modelfile import load_model
        >>> model = load_model("two_functional_compartments", values="mouse")
        >>> design = Design(bolus("1e6 cells", "iv"), ("il10",), (2, 6, 12, 24, 48))
        >>> report = model.identifiability(design, free=("q0", "V_loc", "EC50_P", "Smax"))
        >>> report.groups[0].formulas
        ('q0/(V_loc EC50_P)',)
        """
        report: Identifiability = verb("identifiability")(self, design, free)
        return report

    def to_sbml(
        self, path: str | os.PathLike[str], regimen: Regimen | None = None, weight: str | float | None = None
    ) -> Path:
        """Write the model, and what is given, as one SBML file for other simulators.

        Parameters
        ----------
        path : str or path
            The file; it appears under this name only when it is complete.
        regimen : Regimen, optional
            Doses, written as events; those of the model itself by default.
        weight : str or float, optional
            Body weight such as ``"70 kg"``, or a number [kg]; needed for doses per kg.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        DosingError
            For a dose per kg without a weight, or an impossible duration.
        UnknownName
            For a route that the model does not have.
        ModelError
            If libSBML finds the result wrong.
        UsageError
            If the file cannot be written.

        Notes
        -----
        SBML Level 3 Version 2 core (hucka_2019), with units, initial amounts and dose events.
        """
        written: Path = verb("to_sbml")(self, path, regimen, weight)
        return written

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
            yield fill(self.about, WIDTH)
        yield from (f"\nNotice: {notice}" for notice in self.notices)
        yield from text.assumed_text(self.parameters)
        yield from text.equations_text(self.rates, self.states, self.units, self.time)
        yield from text.derived_text(self.derived)
        yield from text.routes_text(self.routes)
        yield from text.outputs_text(self.outputs)
        yield from text.parameters_text(self.parameters)
        yield from text.spread_text(self.variability, self.covariance)
        if self.references:
            yield f"\nReferences: {', '.join(self.references)}"


def _held(row: Parameter, value: float) -> Parameter:
    held = row.fixed_at(value)
    at_an_end = value in (0, 1)  # off, or all of it: no prior holds the ends of a share
    if not at_an_end and row.prior.is_free and not row.prior.holds(value):
        hint = "with_prior for another range"
        raise ParameterError(f"{row.name} fixed at {value:g}", expected=f"a value inside {row.prior}", hint=hint)
    return held


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
            problem = f"derived quantities use each other in a circle: {circle}"
            raise ModelError(problem, where="[derived]", hint="one of them in states and parameters alone")
        if name not in order:
            for other in sorted(uses[name]):
                visit(other, (*path, name))
            order[name] = None

    for name in uses:
        visit(name, ())
    return tuple(order)
