"""Rows that are functions of one or several predicted points: half-lives, ratios, changes, shares, peaks (Q1 to Q7).

A point is an output of a group at a time, which is what an engine predicts. Each function is written once, in
operations that NumPy, PyTensor and JAX share; NumPy takes its derivatives by complex steps, exact to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["PEAK_TIMES", "Part", "Points", "window"]

TINY = 1e-30  # keeps logarithms and ratios finite where the model says zero
STEP = 1e-30  # of derivatives, relative to the point
SLOWEST = 1e-3  # decline of ln y over a window below which a half-life, of 693 windows there, goes on as a line
PEAK_TIMES = 129  # points in the window of a peak

Function = Callable[[Any, np.ndarray, Any], Any]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one quantity with equally many points.

    Attributes
    ----------
    quantity : str
    rows : array of int, shape (n_mine,)
        Positions among all rows.
    points : array of int, shape (n_mine, n_each)
        Positions among all points.
    numbers : array of float, shape (n_mine, n_numbers)
        What else the function of the quantity needs, in the units of the model.
    """

    quantity: str
    rows: np.ndarray
    points: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Points:
    """What an engine predicts for the rows of a study, and how rows follow from it.

    Attributes
    ----------
    output, group, time : array of shape (n_points,)
        Of each point: positions of its output and its group, and its time [model time unit].
    row : array of int, shape (n_points,)
        Row that each point belongs to.
    plain : array of int, shape (2, n_plain)
        Rows that are one point, and their points.
    parts : tuple of Part
        All other rows.
    covariates : mapping of str to array of shape (n_points,)
        Parameters that are covariates, at each point.
    """

    output: np.ndarray
    group: np.ndarray
    time: np.ndarray
    row: np.ndarray
    plain: np.ndarray
    parts: tuple[Part, ...] = ()
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, predicted: Any, xp: Any = np) -> Any:
        """Rows of predicted points.

        Parameters
        ----------
        predicted : array or tensor of shape (n_points,)
            In the units of the outputs.
        xp : module
            ``numpy``, ``jax.numpy`` or ``pytensor.tensor``.

        Returns
        -------
        array or tensor of shape (n_rows,)
            In the units of what the rows observe.
        """
        if not self.parts:
            return predicted
        pieces = [predicted[self.plain[1]]]
        for part in self.parts:
            p = predicted[part.points.ravel()].reshape(part.points.shape)
            pieces.append(FUNCTIONS[part.quantity](p, part.numbers, xp))
        return xp.concatenate(pieces)[self._order]

    def chained(self, predicted: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Derivatives of rows, shape (n_rows, n), from those of points, shape (n_points, n)."""
        if not self.parts:
            return slopes
        out = np.zeros((len(self._order), slopes.shape[1]))
        out[self.plain[0]] = slopes[self.plain[1]]
        for part in self.parts:
            out[part.rows] = np.einsum("rk,rkn->rn", _partials(part, predicted), slopes[part.points])
        return out

    def pulled(self, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weights of points, shape (n_points,), that do what weights of rows, shape (n_rows,), do."""
        if not self.parts:
            return weights
        out = np.zeros(len(self))
        out[self.plain[1]] = weights[self.plain[0]]
        for part in self.parts:
            np.add.at(out, part.points, _partials(part, predicted) * weights[part.rows][:, None])
        return out

    @cached_property
    def _order(self) -> np.ndarray:
        """Where each row stands among the pieces."""
        return np.argsort(np.concatenate([self.plain[0], *(part.rows for part in self.parts)]), kind="stable")


def window(begin: float, end: float) -> np.ndarray:
    """Times at which a peak is looked for: evenly spaced on both scales, so that early and late peaks are found."""
    half = PEAK_TIMES // 2
    early = begin + (end - begin) * np.geomspace(1e-4, 1.0, half)
    times = np.unique([*np.linspace(begin, end, PEAK_TIMES - half), *early])
    while len(times) < PEAK_TIMES:  # a time that both have
        widest = int(np.argmax(np.diff(times)))
        times = np.insert(times, widest + 1, 0.5 * (times[widest] + times[widest + 1]))
    return times


def _partials(part: Part, predicted: np.ndarray) -> np.ndarray:
    """Derivatives of the rows of a part by its points, shape (n_mine, n_each)."""
    p, out = predicted[part.points], np.empty(part.points.shape)
    function = FUNCTIONS[part.quantity]
    with np.errstate(all="ignore"):
        for k in range(p.shape[1]):
            step = STEP * np.where(np.abs(p[:, k]) > TINY, np.abs(p[:, k]), 1.0)
            moved = p.astype(complex)
            moved[:, k] += 1j * step
            out[:, k] = np.imag(function(moved, part.numbers, np)) / step
    return out


def _log(x: Any, xp: Any) -> Any:
    return xp.log(xp.maximum(x, TINY))


def _half_life(p: Any, numbers: np.ndarray, xp: Any) -> Any:
    """Ln 2 dt/ln(y1/y2); where nearly nothing declines it goes on as a straight line, not through infinity (Q2)."""
    decline = _log(p[:, 0], xp) - _log(p[:, 1], xp)
    slower = (2.0 - xp.minimum(decline, SLOWEST) / SLOWEST) / SLOWEST
    return math.log(2.0) * numbers[:, 0] * xp.where(decline > SLOWEST, 1.0 / xp.maximum(decline, SLOWEST), slower)


def _ratio(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    return p[:, 0] / xp.maximum(xp.sum(p[:, 1:], axis=1), TINY)


def _difference(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    return p[:, 0] - p[:, 1]


def _balance(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    """An organ over the geometric mean of all organs of its sample (Q5); the organ itself is the first point."""
    logs = _log(p, xp)
    return xp.exp(logs[:, 0] - xp.sum(logs, axis=1) / p.shape[1])


def _recovery(p: Any, numbers: np.ndarray, xp: Any) -> Any:
    return xp.sum(p, axis=1) / numbers[:, 0]


def _since(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    """What a cumulative hazard has gained since observation began."""
    return p[:, 0] - p[:, 1]


def _event(p: Any, numbers: np.ndarray, xp: Any) -> Any:
    """Log density of an event: the hazard then, and the cumulative hazards then and at the beginning (Q7)."""
    return _log(p[:, 0] * numbers[:, 0], xp) - (p[:, 1] - p[:, 2])


def _event_after(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    """Log probability of an event after a time: cumulative hazards then and at the beginning."""
    return -(p[:, 0] - p[:, 1])


def _event_within(p: Any, numbers: np.ndarray, xp: Any) -> Any:  # noqa: ARG001 (all functions are called alike)
    """Log probability of an event between two times: cumulative hazards at both and at the beginning."""
    width = xp.maximum(p[:, 1] - p[:, 0], TINY)
    return -(p[:, 0] - p[:, 2]) + xp.log(-xp.expm1(-width))


def _peak(p: Any, numbers: np.ndarray, xp: Any) -> Any:
    return _top(p, numbers, xp)[0]


def _peak_time(p: Any, numbers: np.ndarray, xp: Any) -> Any:
    return _top(p, numbers, xp)[1]


def _top(p: Any, times: np.ndarray, xp: Any) -> tuple[Any, Any]:
    """Value and time of the top of the parabola through the largest point and its neighbours (Q2)."""
    count, width = times.shape
    largest = xp.argmax(p.real if xp is np else p, axis=1)
    middle = xp.minimum(xp.maximum(largest, 1), width - 2)
    at = np.arange(count) * width + middle
    flat, clock = p.reshape((-1,)), xp.asarray(times.ravel()) if hasattr(xp, "asarray") else xp.constant(times.ravel())
    (y0, y1, y2), (t0, t1, t2) = ((line[at - 1], line[at], line[at + 1]) for line in (flat, clock))
    first, second = (y1 - y0) / (t1 - t0), (y2 - y1) / (t2 - t1)
    bend = (second - first) / (t2 - t0)
    inside = (largest > 0) & (largest < width - 1)
    safe = xp.where(inside, bend, -1.0)
    top = xp.where(inside, 0.5 * (t0 + t1) - first / (2.0 * safe), xp.where(largest > 0, t2, t0))
    value = y0 + first * (top - t0) + bend * (top - t0) * (top - t1)
    return xp.where(inside, value, xp.where(largest > 0, y2, y0)), top


FUNCTIONS: Mapping[str, Function] = {
    "half_life": _half_life,
    "ratio": _ratio,
    "fold_change": _ratio,
    "difference": _difference,
    "share": _balance,
    "recovery": _recovery,
    "alive": _since,
    "event": _event,
    "event_after": _event_after,
    "event_within": _event_within,
    "peak": _peak,
    "peak_time": _peak_time,
}
