"""What no data on the observed outputs can separate: products, sums and other combinations that alone enter them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from mscpkpd.identifiability.directions import (
    NOTHING,
    WHOLE,
    blocks,
    formula,
    invariants,
    is_clear,
    null_space,
    rank,
    reduced,
)
from mscpkpd.identifiability.report import Direction, Group
from mscpkpd.identifiability.sensitivity import Point, Scale, relative_rows
from mscpkpd.problem import Problem

__all__ = ["Exact", "find_exact"]

LIMITS = (NOTHING, 1e-2 * NOTHING, 1e-3 * NOTHING)
SMALL = 1e-4  # share of a sum that still counts: rates of one sum may differ that much
STEP = 0.2  # of the large step that confirms a direction: relative
UNCHANGED = 1e-6  # relative: what such a step may move a prediction by, which is the rounding of the solver


@dataclass(frozen=True)
class Exact:
    """What no data on the observed outputs can separate.

    Attributes
    ----------
    groups : tuple of Group
    rank : int
        Number of combinations that can be learned.
    by_chance : int
        Combinations that vanish at the typical values only, such as those of two rates that happen to be equal there.
    """

    groups: tuple[Group, ...]
    rank: int
    by_chance: int


def find_exact(problem: Problem, scale: Scale, tried: Sequence[Point]) -> Exact:
    """Find parameters that enter only together.

    Parameters
    ----------
    problem : Problem
        Observed at many times.
    scale : Scale
        Parameters that have an influence.
    tried : sequence of Point
        Parameter points, the typical values first; derivatives of all of them are looked at together.

    Returns
    -------
    Exact

    Notes
    -----
    A direction in the logarithms of the parameters that is null at every point is a product that they enter through; a
    direction in the parameters themselves is a sum. What is null at every point in a direction that differs between
    points has no simple formula; it is reported where a gap in the singular values leaves no doubt.
    """
    sizes = [relative_rows(problem, point.value)[:, None] for point in tried]
    relative = [point.slope * _units(scale, point) / size for point, size in zip(tried, sizes, strict=True)]
    ranks = [rank(matrix) for matrix in relative]
    known = max(each for each, _ in ranks)
    by_chance = known - ranks[0][0] if is_clear(ranks[0][1], ranks[0][0]) else 0
    if known == len(scale.names):
        return Exact((), known, by_chance)
    typical = np.vstack([point.slope * scale.unit / size for point, size in zip(tried, sizes, strict=True)])
    positive = np.flatnonzero(scale.logs)
    products = np.vstack(relative)[:, positive]
    test = partial(_unchanged, problem, scale, tried)
    found = [
        *_confirmed(products, lambda index, v: test(positive[index], v, product=True), scale, positive, len(tried)),
        *_confirmed(typical, lambda index, v: test(index, v, product=False), scale, None, len(tried)),
    ]
    first = next(k for k, (each, _) in enumerate(ranks) if each == known)
    if is_clear(ranks[first][1], known):
        found += _others(scale, null_space(relative[first]), found, len(tried))
    return Exact(tuple(found), known, by_chance)


def _units(scale: Scale, point: Point) -> np.ndarray:
    """What a relative step of 1 is at a point."""
    return np.where(scale.logs, point.theta[scale.index], scale.unit)


def _confirmed(
    matrix: np.ndarray,
    holds: Callable[[np.ndarray, np.ndarray], bool],
    scale: Scale,
    positive: np.ndarray | None,
    points: int,
) -> list[Group]:
    """Groups of a null space whose directions hold for large steps, products of `positive` parameters or else sums.

    Directions that are nearly null spoil those that are exactly so: while one does not hold, the limit is tightened.
    """
    found: list[Group] = []
    for nothing in LIMITS:
        basis = reduced(null_space(matrix, nothing), SMALL if positive is None else WHOLE)
        parts = [(index, basis[np.ix_(rows, index)]) for rows, index in blocks(basis)]
        held = [(index, part) for index, part in parts if all(holds(index, v) for v in part)]
        found = [_group(scale, index, part, positive, points) for index, part in held]
        if len(held) == len(parts):
            break
    return found


def _group(scale: Scale, index: np.ndarray, part: np.ndarray, positive: np.ndarray | None, points: int) -> Group:
    where = index if positive is None else positive[index]
    names = [scale.names[k] for k in where]
    if positive is None:
        formulas = tuple(_sum(names, weights) for weights in invariants(reduced(part * scale.unit[where], SMALL)))
    else:
        formulas = tuple(formula(names, exponents) for exponents in invariants(part))
    return Group(tuple(names), formulas, exact=True, directions=_directions(names, part), points=points)


def _others(scale: Scale, null: np.ndarray, found: Sequence[Group], points: int) -> Iterator[Group]:
    """Blocks of directions that the products and sums do not account for."""
    basis = reduced(null)
    for rows, index in blocks(basis):
        names = [scale.names[k] for k in index]
        inside = sum(len(group.directions) for group in found if set(group.names) <= set(names))
        if len(rows) > inside:
            part = basis[np.ix_(rows, index)]
            yield Group(tuple(names), (), exact=True, directions=_directions(names, part), points=points)


def _unchanged(
    problem: Problem, scale: Scale, tried: Sequence[Point], index: np.ndarray, direction: np.ndarray, *, product: bool
) -> bool:
    """Whether a large step along a direction leaves all predictions as they are, at every point."""
    for point in tried:
        theta = _stepped(scale, point, index, direction, product=product)
        value = problem.predict(theta).value
        if not np.all(np.abs(value - point.value) <= UNCHANGED * relative_rows(problem, point.value)):
            return False
    return True


def _stepped(scale: Scale, point: Point, index: np.ndarray, direction: np.ndarray, *, product: bool) -> np.ndarray:
    """Parameters after a step along a direction, as large as shares below 1 and positive values allow."""
    places = scale.index[index]
    x, step = point.theta[places], direction / np.max(np.abs(direction))
    theta = point.theta.copy()
    for length in (STEP, -STEP, STEP / 20, -STEP / 20):
        moved = x * np.exp(length * step) if product else x + length * step * scale.unit[index]
        if np.all(moved[scale.shares[index]] < 1) and np.all(moved[scale.logs[index]] > 0):
            theta[places] = moved
            break
    return theta


def _directions(names: Sequence[str], part: np.ndarray) -> tuple[Direction, ...]:
    found = []
    for row in part:
        kept = [int(k) for k in np.flatnonzero(row)]
        steps = row[kept] / row[kept[0]]
        found.append(Direction(tuple(names[k] for k in kept), tuple(float(x) for x in steps)))
    return tuple(found)


def _sum(names: Sequence[str], weights: Sequence[Fraction]) -> str:
    """Write a weighted sum: ``k_L + k_T``."""
    text = ""
    for name, weight in zip(names, weights, strict=True):
        if weight != 0:
            size = "" if abs(weight) == 1 else f"{float(abs(weight)):.3g} "
            text += f" {'+' if weight > 0 else '-'} {size}{name}"
    return text.removeprefix(" + ")
