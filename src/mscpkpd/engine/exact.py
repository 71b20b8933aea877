"""The exact engine: systems without feedback, by matrix exponentials and collocation, compiled by JAX.

States that exchange linearly are carried by matrix exponentials, those that follow by collocation on steps that are
short after every event and double from there. How fine the steps are is chosen before a solve, from the fastest rate;
what they leave out is measured in it; where that is too much, the solve is repeated with finer ones. A solve does not
depend on the solves before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from mscpkpd.engine.compiled import Found, Inputs, Layout, Task, compiled, solved
from mscpkpd.engine.course import LINE, Driven
from mscpkpd.engine.intervals import Intervals, intervals_of
from mscpkpd.engine.mesh import mesh_of
from mscpkpd.engine.resolution import LEVELS, Resolution, finer_than, guessed, met
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System
from mscpkpd.engine.timeline import Change
from mscpkpd.engine.traced import equations_of
from mscpkpd.errors import ModelError, SolveError

__all__ = [
    "Given",
    "change_when_finer",
    "layout_of",
    "pull_back",
    "require_order",
    "solve_exactly",
    "task_of",
]


def solve_exactly(
    system: System,
    changes: Sequence[Change],
    times: np.ndarray,
    values: np.ndarray,
    free: np.ndarray,
    tolerance: float,
    *,
    driven: Driven | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve a system without feedback through all its changes.

    Parameters
    ----------
    system : System
        Equations.
    changes : sequence of Change
        In order of time.
    times : array of shape (n_times,)
        Model time unit; before time 0 states have their start values.
    values : array of shape (n_parameters,)
        In the order of the system.
    free : array of int, shape (n_free,)
        Positions of the parameters to differentiate by.
    tolerance : float
        What may be left out, relative to the largest value of each state.
    driven : Driven, optional
        Covariates, of this system; `values` are those of time 0.

    Returns
    -------
    tuple of array
        States of shape (n_states, n_times), sensitivities of shape (n_states, n_times, n_free).

    Raises
    ------
    ModelError
        If the system has feedback.
    SolveError
        If a rate or a state is not finite, or the steps would have to be too many.
    """
    states, slopes, _ = _solved(system, changes, times, values, free, tolerance=tolerance, driven=driven)
    return states, slopes


def change_when_finer(
    system: System, changes: Sequence[Change], times: np.ndarray, values: np.ndarray, tolerance: float
) -> np.ndarray:
    """Check the accuracy of a solve: repeat it with steps of half the size, the shortest 2^9 times shorter.

    Parameters
    ----------
    system, changes, times, values, tolerance
        As in `solve_exactly`.

    Returns
    -------
    array of shape (n_states,)
        Largest change of each state, relative to its largest value.

    Raises
    ------
    ModelError, SolveError
        As in `solve_exactly`.
    """
    none = np.array([], dtype=int)
    usual, _, resolution = _solved(system, changes, times, values, none, tolerance=tolerance)
    finer = Resolution(resolution.levels + 2 * LEVELS, 2 * resolution.steps, resolution.points)
    again, _, _ = _solved(system, changes, times, values, none, tolerance=tolerance, resolution=finer)
    size = np.max(np.abs(again), axis=1, initial=0.0)
    return np.asarray(np.max(np.abs(usual - again), axis=1, initial=0.0) / np.where(size > 0, size, 1.0))


def pull_back(
    system: System,
    changes: Sequence[Change],
    times: np.ndarray,
    values: np.ndarray,
    free: np.ndarray,
    *,
    cotangent: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve, and differentiate a weighted sum of the states in reverse: its cost does not grow with the parameters.

    Parameters
    ----------
    system, changes, times, values, free, tolerance
        As in `solve_exactly`.
    cotangent : array of shape (n_states, n_times)
        Weight of each state at each time.

    Returns
    -------
    tuple of array
        States of shape (n_states, n_times), derivatives of the sum by the free parameters of shape (n_free,).

    Raises
    ------
    ModelError, SolveError
        As in `solve_exactly`.
    """
    given = given_of(system, changes, times, values, len(free))
    if given is None:
        return np.zeros(cotangent.shape), np.zeros(len(free))
    weights = np.zeros((len(cotangent), len(given.intervals.times)))
    weights[:, : len(times)] = cotangent
    found, pulled, _ = _resolved(given, "reverse", weights[:, :, None], tolerance)
    moves = _moves(given.intervals, free, len(values))
    gradient = sum(
        np.tensordot(move, np.asarray(pull)[..., 0], axes=np.ndim(pull) - 1)
        for move, pull in zip(moves, pulled, strict=True)
    )
    return np.asarray(found.states)[:, : len(times), 0], np.asarray(gradient)


class Given(NamedTuple):
    """One solve.

    Attributes
    ----------
    system : System
    intervals : Intervals
    infused : tuple of int
        States that an infusion enters.
    inputs : Inputs
    layout : Layout
    changing : tuple of int
        Parameters that change from one interval to the next.
    """

    system: System
    intervals: Intervals
    infused: tuple[int, ...]
    inputs: Inputs
    layout: Layout
    changing: tuple[int, ...]


def given_of(
    system: System,
    changes: Sequence[Change],
    times: np.ndarray,
    values: np.ndarray,
    n_free: int,
    changing: tuple[int, ...] = (),
) -> Given | None:
    """Lay out a solve; None where there is nothing to solve.

    Parameters
    ----------
    system, changes, times, values
        As in `solve_exactly`.
    n_free : int
        Number of free parameters.
    changing : tuple of int
        Parameters that change from one interval to the next.

    Returns
    -------
    Given or None

    Raises
    ------
    ModelError
        If the system has feedback.
    """
    require_order(system)
    if not system.states or len(times) == 0:
        return None
    shape = (len(system.states), len(system.switches), n_free)
    intervals = intervals_of(changes, times, shape, changing=len(changing))
    infused = tuple(int(i) for i in np.flatnonzero(np.any(intervals.rates != 0, axis=1)))
    numbers = (values, intervals.begins, intervals.lengths, intervals.jumps, intervals.rates)
    inputs = Inputs(*(each[..., None] for each in numbers))
    return Given(system, intervals, infused, inputs, layout_of(intervals), changing)


def require_order(system: System) -> None:
    """Refuse a system with feedback.

    Raises
    ------
    ModelError
        With the states that need one another.
    """
    order = solving_order(system)
    if not order.exact:
        lines = [name.removesuffix(LINE) for name in system.parameters if name.endswith(LINE)]
        along = f" where {', '.join(lines)} follows a straight line (K4)" if lines else ""
        raise ModelError(f"the exact engine cannot solve this{along}: {order}", hint="engine='stiff'")


def layout_of(intervals: Intervals) -> Layout:
    """What changes when, for one subject or for all that share it."""
    numbers = (intervals.switches, intervals.numbers, intervals.times, intervals.at)
    switches, covariates, times, at = (each[..., None] for each in numbers)
    return Layout(switches, covariates, intervals.kept, intervals.sample, times, at)


def _solved(
    system: System,
    changes: Sequence[Change],
    times: np.ndarray,
    values: np.ndarray,
    free: np.ndarray,
    *,
    tolerance: float,
    resolution: Resolution | None = None,
    driven: Driven | None = None,
) -> tuple[np.ndarray, np.ndarray, Resolution]:
    """States, sensitivities, and the resolution that they needed."""
    given = given_of(system, changes, times, values, len(free), driven.changing if driven else ())
    if given is None:
        n = len(system.states)
        return np.zeros((n, len(times))), np.zeros((n, len(times), len(free))), Resolution(LEVELS)
    moves = None
    if len(free):
        moves = Inputs(*(each[..., None] for each in _moves(given.intervals, free, len(values))))
    mode = "states" if moves is None else "forward"
    found, slopes, resolution = _resolved(given, mode, moves, tolerance, resolution)
    states = np.asarray(found.states)[:, : len(times), 0]
    if slopes is None:
        return states, np.zeros((*states.shape, 0)), resolution
    return states, np.moveaxis(np.asarray(slopes)[..., 0], 0, -1)[:, : len(times)], resolution


def _resolved(
    given: Given, mode: str, along: Any, tolerance: float, resolution: Resolution | None = None
) -> tuple[Found, Any, Resolution]:
    """Solve with finer steps until what they leave out is small enough."""
    intervals, inputs = given.intervals, given.inputs
    if resolution is None:
        longest = intervals.lengths.max()[None]
        values = met(inputs.values, given.changing, intervals.numbers[:, :, None])
        each = guessed(given.system, values, intervals.switches, longest, tolerance)
        resolution = None if None in each else max(one for one in each if one is not None)
    if resolution is None:
        raise SolveError("a rate is not finite, or too fast for any number of steps")
    wanted = tuple(range(len(given.system.states)))
    while True:
        alike = tuple(intervals.kind.tolist())
        solver = compiled_solver(given.system, given.infused, alike, wanted, resolution, mode, changing=given.changing)
        found, more = solver(inputs, along, given.layout)
        finer = finer_than(found, 0, resolution, tolerance)
        if finer == resolution:
            return found, more, resolution
        resolution = finer


def _moves(intervals: Intervals, free: np.ndarray, count: int) -> Inputs:
    """Derivatives of the inputs by each free parameter, as first dimension."""
    own = np.zeros((len(free), count))
    own[np.arange(len(free)), free] = 1.0
    moved = (intervals.d_begins, intervals.d_lengths, intervals.d_jumps, intervals.d_rates)
    return Inputs(own, *(np.moveaxis(each, -1, 0) for each in moved))


@lru_cache(maxsize=256)
def compiled_solver(
    system: System,
    infused: tuple[int, ...],
    alike: tuple[int, ...],
    wanted: tuple[int, ...],
    resolution: Resolution,
    mode: str,
    *,
    changing: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """A solver for one system, one set of infused states and one resolution.

    Parameters
    ----------
    system : System
        Equations.
    infused : tuple of int
        States that an infusion enters.
    alike : tuple of int
        The kind of each interval.
    wanted : tuple of int
        States that are asked for.
    resolution : Resolution
        How finely intervals are divided.
    mode : str
        "states"; "forward" or "reverse" for derivatives.
    changing : tuple of int
        Parameters that change from one interval to the next.

    Returns
    -------
    callable
        Of inputs, what the mode needs beside them, and layout; compiled at its first use with arrays of one shape.
    """
    solve = partial(solved, task_of(system, infused, alike, wanted, resolution, changing))

    def forward(inputs: Inputs, moves: Inputs, layout: Layout) -> tuple[Found, Any]:
        def along(move: Inputs) -> tuple[Found, Found]:
            return jax.jvp(lambda given: solve(given, layout), (inputs,), (move,))

        found, moved = jax.vmap(along, out_axes=(None, 0))(moves)
        return found, moved.states

    def reverse(inputs: Inputs, weights: Any, layout: Layout) -> tuple[Found, Inputs]:
        def states_first(given: Inputs) -> tuple[Any, Found]:
            found = solve(given, layout)
            return found.states, found

        _, back, found = jax.vjp(states_first, inputs, has_aux=True)
        return found, back(weights)[0]

    def states(inputs: Inputs, _: None, layout: Layout) -> tuple[Found, None]:
        return solve(inputs, layout), None

    modes: dict[str, Callable[..., Any]] = {"states": states, "forward": forward, "reverse": reverse}
    return compiled(modes[mode])


def task_of(
    system: System,
    infused: tuple[int, ...],
    alike: tuple[int, ...],
    wanted: tuple[int, ...],
    resolution: Resolution,
    changing: tuple[int, ...] = (),
) -> Task:
    """What is compiled for one resolution."""
    return Task(equations_of(system), infused, alike, wanted, mesh_of(*resolution), changing)
