"""Subjects whose plans have one shape, solved together by the exact engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mscpkpd.engine.compiled import Found, Inputs, Layout, Task, compiled, exchanged, solved
from mscpkpd.engine.exact import layout_of, task_of
from mscpkpd.engine.plan import Plan
from mscpkpd.engine.resolution import Resolution
from mscpkpd.engine.system import System
from mscpkpd.engine.traced import Equations

__all__ = ["Doses", "Pick", "Shape", "doses_of", "function_of", "pulled", "shape_of", "solver_of", "subjects_together"]

# What a core keeps in its cache, and what keeps an accelerator busy.
CHUNK, CHUNK_ACCELERATED = 32, 1024


class Doses(NamedTuple):
    """Amounts before they are shared out among the states; subjects last, or one for all of them.

    Attributes
    ----------
    begins, lengths : array of shape (n_intervals, n_subjects)
    amounts, speeds : array of shape (n_ways, n_intervals, n_subjects)
        At the begins of the intervals, and per time during them.
    scale : array of shape (n_ways, n_subjects)
        Body weight where a way is per weight, else 1.
    viable : array of shape (n_ways, n_subjects)
        Of the doses; NaN where it is that of the route.
    own : array of shape (n_ways, n_varying, n_subjects)
        Covariates that change, when the doses enter; NaN where their route does not depend on them.
    """

    begins: Any
    lengths: Any
    amounts: Any
    speeds: Any
    scale: Any
    viable: Any
    own: Any


class Pick(NamedTuple):
    """Outputs of some subjects at some times.

    Attributes
    ----------
    output, time, subject : array of int, shape (n_rows,)
    own : array of shape (n_varying, n_rows)
        Covariates that change, on the record of each row (K6).
    """

    output: Any
    time: Any
    subject: Any
    own: Any


class Shape(NamedTuple):
    """What plans must have in common to be solved together.

    Attributes
    ----------
    routes : tuple of (str, bool, bool)
        Of each way, and whether its doses have a viable fraction, and covariates, of their own.
    infused : tuple of int
        States that an infusion enters.
    alike : tuple of int
        The kind of each interval.
    times : int
        How many there are.
    anew : bytes
        Which intervals stand for their kind, and which begin anew.
    changing : tuple of int
        Parameters that change from one interval to the next; the first `varying` of them are covariates.
    varying : int
    """

    routes: tuple[tuple[str, bool, bool], ...]
    infused: tuple[int, ...]
    alike: tuple[int, ...]
    times: int
    anew: bytes
    changing: tuple[int, ...]
    varying: int


def subjects_together() -> int:
    """How many subjects a solver should be given at a time on this machine."""
    return CHUNK if jax.default_backend() == "cpu" else CHUNK_ACCELERATED


def shape_of(plan: Plan) -> Shape:
    """Shape of a plan."""
    layout = plan.intervals
    anew = layout.sample.tobytes() + layout.kept.tobytes()
    routes = tuple((way.route, way.viable is not None, bool(way.own)) for way in plan.ways)
    kinds = tuple(layout.kind.tolist())
    return Shape(routes, plan.infused, kinds, len(layout.times), anew, plan.changing, plan.varying)


def doses_of(plans: Sequence[Plan], weights: np.ndarray) -> tuple[Doses, Layout]:
    """Stack the plans of subjects, one for all of them where there is one.

    Parameters
    ----------
    plans : sequence of Plan
        Of one shape.
    weights : array of shape (n_subjects,)
        In kg.

    Returns
    -------
    Doses, Layout
    """
    all_of = [plan.intervals for plan in plans]
    begins, lengths, amounts, speeds = (
        np.stack([getattr(each, name) for each in all_of], axis=-1) for name in ("begins", "lengths", "jumps", "rates")
    )
    count = len(plans[0].ways)
    per_weight = np.array([[way.per_weight for way in plan.ways] for plan in plans]).T.reshape(count, len(plans))
    scale = np.where(per_weight, weights, 1.0)
    fractions = [[np.nan if way.viable is None else way.viable for way in plan.ways] for plan in plans]
    nothing = (np.nan,) * plans[0].varying
    own = np.array([[way.own or nothing for way in plan.ways] for plan in plans])
    own = own.reshape(len(plans), count, len(nothing))  # also where nothing is given
    times = np.stack([each.times for each in all_of], axis=-1)
    at = np.stack([each.at for each in all_of], axis=-1)
    numbers = np.stack([each.numbers for each in all_of], axis=-1)
    layout = layout_of(all_of[0])._replace(times=times, at=at, numbers=numbers)
    viable = np.array(fractions).T.reshape(count, len(plans))
    return Doses(begins, lengths, amounts, speeds, scale, viable, np.moveaxis(own, 0, -1)), layout


@lru_cache(maxsize=256)
def solver_of(
    system: System, shape: Shape, wanted: tuple[int, ...], resolution: Resolution, mode: str
) -> Callable[..., Any]:
    """A compiled `function_of`."""
    return compiled(function_of(system, shape, wanted, resolution, mode), thoroughly=mode == "states")


def function_of(
    system: System, shape: Shape, wanted: tuple[int, ...], resolution: Resolution, mode: str
) -> Callable[..., Any]:
    """What solves subjects of one shape; written to be traced.

    Parameters
    ----------
    system : System
        Equations.
    shape : Shape
        Of the plans.
    wanted : tuple of int
        States that are asked for.
    resolution : Resolution
        How finely intervals are divided.
    mode : str
        "states": of values, doses and layout to `Found`. "rows": of values, doses, layout and pick to picked outputs
        and `Found`. "linearized": of these to picked outputs, what `pulled` takes, and `Found`. "sloped": of these and
        directions of shape (n_directions, n_parameters) to picked outputs, their derivatives of shape (n_rows,
        n_directions), and `Found`.

    Returns
    -------
    callable
        Values have the shape (n_parameters, n_subjects).
    """
    task = task_of(system, shape.infused, shape.alike, wanted, resolution, shape.changing)
    covariates = shape.changing[: shape.varying]

    def states(values: Any, doses: Doses, layout: Layout) -> Found:
        return solved(task, _shared_out(task.equations, shape.routes, covariates, values, doses), layout)

    rows = partial(_rows, task, covariates, states)

    def linearized(values: Any, doses: Doses, layout: Layout, pick: Pick) -> tuple[Any, Any, Found]:
        return jax.vjp(lambda x: rows(x, doses, layout, pick), values, has_aux=True)

    def sloped(values: Any, doses: Doses, layout: Layout, pick: Pick, directions: Any) -> tuple[Any, Any, Found]:
        found, push, quality = jax.linearize(lambda x: rows(x, doses, layout, pick), values, has_aux=True)
        moves = directions[:, :, None] * jnp.ones(values.shape[1])
        return found, jax.vmap(push)(moves).T, quality

    modes: dict[str, Callable[..., Any]] = {
        "states": states, "rows": rows, "linearized": linearized, "sloped": sloped,
    }  # fmt: skip
    return modes[mode]


@compiled
def pulled(back: Any, weights: Any) -> Any:
    """Derivatives of the weighted sum of rows by the values of each subject, from what "linearized" has kept."""
    return back(weights)[0]


def _rows(  # noqa: PLR0917 - what is known before a trace, and what only in it
    task: Task,
    covariates: tuple[int, ...],
    states: Callable[..., Found],
    values: Any,
    doses: Doses,
    layout: Layout,
    pick: Pick,
) -> tuple[Any, Found]:
    """Picked outputs."""
    found = states(values, doses, layout)
    numbers = [jnp.nan] * len(task.equations.order.linear + task.equations.order.following)
    if covariates:  # a row has those of its own record
        for k, i in enumerate(task.wanted):
            numbers[i] = found.states[k, pick.time, pick.subject]
        own = exchanged(values[:, pick.subject], covariates, pick.own)
        at_rows = task.equations.observed(*numbers, *own, layout.times[pick.time, pick.subject])
        each = [jnp.broadcast_to(x, pick.output.shape) for x in at_rows]
        return jnp.stack(each)[pick.output, jnp.arange(len(pick.output))], found
    for k, i in enumerate(task.wanted):
        numbers[i] = found.states[k]
    shape = found.states.shape[1:]
    each = [jnp.broadcast_to(x, shape) for x in task.equations.observed(*numbers, *values, layout.times)]
    return jnp.stack(each)[pick.output, pick.time, pick.subject], found


def _shared_out(
    equations: Equations,
    routes: tuple[tuple[str, bool, bool], ...],
    covariates: tuple[int, ...],
    values: Any,
    doses: Doses,
) -> Inputs:
    """Amounts by state."""
    count = len(equations.order.linear + equations.order.following)
    intervals, subjects = doses.begins.shape[0], values.shape[1]
    jumps, rates = (jnp.zeros((count, intervals, subjects)) for _ in range(2))
    for k, (route, own, moved) in enumerate(routes):
        mine = exchanged(values, covariates, doses.own[k]) if moved else values
        viable = doses.viable[k] if own else equations.viable[route](*mine)[0]
        each = [jnp.broadcast_to(x, (subjects,)) for x in equations.into[route](*mine, viable)]
        share = (jnp.stack(each) * doses.scale[k])[:, None]
        jumps, rates = jumps + share * doses.amounts[k], rates + share * doses.speeds[k]
    return Inputs(values, doses.begins, doses.lengths, jumps, rates)
