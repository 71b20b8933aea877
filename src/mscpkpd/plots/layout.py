"""Where boxes and arrows go: boxes in columns from left to right, arrows between them without crossing a box.

The steps are those of Sugiyama, Tagawa and Toda (1981): few arrows against the direction, columns, few crossings,
and room. An arrow over several columns gets a place of its own in every column between.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Edge", "Placement", "place"]

SWEEPS, PATIENCE = 24, 6  # passes over all columns; without gain
LANE = 0.3  # inches that an arrow takes in a column that it passes


@dataclass(frozen=True)
class Edge:
    """An arrow to place; heavier ones are kept along the direction of reading, those of one bundle run together."""

    source: str
    target: str
    weight: float = 1.0
    bundle: str = ""


@dataclass(frozen=True)
class Placement:
    """Places, in inches from the lower left corner.

    Attributes
    ----------
    column : dict of int by name
        Column of each box, from 0.
    height : dict of float by name
        Of the middle of each box [inches].
    lanes : tuple of tuple of (int, float)
        For each edge the column and height of its places between the boxes, from source to target [inches].
    total : float
        Height of everything [inches].
    """

    column: Mapping[str, int]
    height: Mapping[str, float]
    lanes: tuple[tuple[tuple[int, float], ...], ...]
    total: float


def place(names: Sequence[str], edges: Sequence[Edge], room: Callable[[str], tuple[float, float]]) -> Placement:
    """Place boxes and arrows.

    Parameters
    ----------
    names : sequence of str
        Boxes in the order in which they are read.
    edges : sequence of Edge
        Arrows between them.
    room : callable
        Inches that a box takes above and below its middle.

    Returns
    -------
    Placement
    """
    rank = _reading_order(names, edges)
    column = _columns(names, edges, rank)
    graph = _Layers(names, edges, column)
    graph.untangle()
    height, total = _heights(graph, room)
    lanes = tuple(tuple((graph.column[node], height[node]) for node in graph.lanes[k]) for k in range(len(edges)))
    return Placement(column, {name: height[name] for name in names}, lanes, total)


def _reading_order(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """An order with little weight of arrows against it (Eades, Lin and Smyth 1993), then improved by moving one box."""
    weight = {(e.source, e.target): 0.0 for e in edges}
    for edge in edges:
        weight[edge.source, edge.target] += edge.weight
    left: list[str] = []
    right: list[str] = []
    rest = list(names)
    while rest:
        outgoing = {n: sum(w for (a, b), w in weight.items() if a == n and b in rest) for n in rest}
        incoming = {n: sum(w for (a, b), w in weight.items() if b == n and a in rest) for n in rest}
        sinks = [n for n in rest if outgoing[n] == 0 and incoming[n] > 0]
        sources = [n for n in rest if incoming[n] == 0]
        if sources:
            chosen = sources[0]
            left.append(chosen)
        elif sinks:
            chosen = sinks[-1]
            right.insert(0, chosen)
        else:
            chosen = max(rest, key=lambda n: (outgoing[n] - incoming[n], -rest.index(n)))
            left.append(chosen)
        rest.remove(chosen)
    order = _improved([*left, *right], weight)
    return {name: k for k, name in enumerate(order)}


def _improved(order: list[str], weight: Mapping[tuple[str, str], float]) -> list[str]:
    """Move one box at a time as long as less weight points backwards."""

    def backward(candidate: Sequence[str]) -> float:
        at = {name: k for k, name in enumerate(candidate)}
        return sum(w for (a, b), w in weight.items() if at[a] > at[b])

    best = backward(order)
    for _ in range(3):
        for name in list(order):
            without = [other for other in order if other != name]
            tries = [[*without[:k], name, *without[k:]] for k in range(len(order))]
            cost, index = min((backward(candidate), k) for k, candidate in enumerate(tries))
            if cost < best - 1e-9:
                order, best = tries[index], cost
    return order


def _columns(names: Sequence[str], edges: Sequence[Edge], rank: Mapping[str, int]) -> dict[str, int]:
    """Each box one column after the last that points to it, then as near to what it points to as it can be."""
    pairs = {tuple(sorted((e.source, e.target), key=rank.__getitem__)) for e in edges if e.source != e.target}
    ordered = sorted(names, key=rank.__getitem__)
    column = dict.fromkeys(names, 0)
    for name in ordered:
        column[name] = max((column[a] + 1 for a, b in pairs if b == name), default=0)
    for name in reversed(ordered):
        after = [column[b] for a, b in pairs if a == name]
        before = [column[a] for a, b in pairs if b == name]
        if after and (not before or len(after) > len(before)):
            column[name] = max(column[name], min(after) - 1)
    return column


class _Layers:
    """Boxes and lanes by column, and their order in it."""

    def __init__(self, names: Sequence[str], edges: Sequence[Edge], column: Mapping[str, int]) -> None:
        self.column: dict[Hashable, int] = dict(column.items())
        self.lanes: list[list[Hashable]] = []
        self.links: list[tuple[Hashable, Hashable, float]] = []
        for k, edge in enumerate(edges):
            first, last = column[edge.source], column[edge.target]
            step = 1 if last > first else -1
            between: list[Hashable] = [(edge.bundle or k, c) for c in range(first + step, last, step)]
            self.column.update(dict(zip(between, range(first + step, last, step), strict=True)))
            self.lanes.append(between)
            chain = [edge.source, *between, edge.target]
            self.links += [(*_by_column(a, b, self.column), edge.weight) for a, b in pairwise(chain)]
        count = max(self.column.values(), default=0) + 1
        self.order: list[list[Hashable]] = [[] for _ in range(count)]
        for name in names:
            self.order[column[name]].append(name)
        for node in dict.fromkeys(node for lane in self.lanes for node in lane):
            self.order[self.column[node]].append(node)
        self.before: dict[Hashable, list[tuple[Hashable, float]]] = {node: [] for node in self.column}
        self.after: dict[Hashable, list[tuple[Hashable, float]]] = {node: [] for node in self.column}
        for a, b, weight in self.links:
            self.after[a].append((b, weight))
            self.before[b].append((a, weight))

    def untangle(self) -> None:
        """Order every column so that few arrows cross."""
        best, fewest, found = [list(layer) for layer in self.order], self._crossings(), 0
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for k in range(len(self.order)) if down else reversed(range(len(self.order))):
                self._sort(k, self.before if down else self.after)
            self._swap()
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest, found = [list(layer) for layer in self.order], crossings, sweep
            elif sweep - found > PATIENCE:
                break
        self.order = best

    def _sort(self, k: int, neighbours: Mapping[Hashable, list[tuple[Hashable, float]]]) -> None:
        at = self._positions()
        own = {node: i for i, node in enumerate(self.order[k])}

        def middle(node: Hashable) -> float:
            known = [(at[other], weight) for other, weight in neighbours[node]]
            total = sum(weight for _, weight in known)
            return sum(p * w for p, w in known) / total if total else (own[node] + 0.5) / len(own)

        self.order[k].sort(key=middle)

    def _positions(self) -> dict[Hashable, float]:
        return {node: (i + 0.5) / len(layer) for layer in self.order for i, node in enumerate(layer)}

    def _swap(self) -> None:
        """Exchange neighbours where that removes crossings."""
        for k, layer in enumerate(self.order):
            for i in range(len(layer) - 1):
                old = self._crossings_at(k)
                layer[i], layer[i + 1] = layer[i + 1], layer[i]
                if self._crossings_at(k) >= old:
                    layer[i], layer[i + 1] = layer[i + 1], layer[i]

    def _crossings(self) -> float:
        return sum(self._between(k) for k in range(len(self.order) - 1))

    def _crossings_at(self, k: int) -> float:
        return (self._between(k - 1) if k else 0) + (self._between(k) if k + 1 < len(self.order) else 0)

    def _between(self, k: int) -> float:
        """Crossings between a column and the next."""
        left = {node: i for i, node in enumerate(self.order[k])}
        right = {node: i for i, node in enumerate(self.order[k + 1])}
        ends = np.array([(left[a], right[b]) for a in self.order[k] for b, _ in self.after[a] if b in right])
        if len(ends) < 2:
            return 0
        one, other = ends[:, 0][:, None] - ends[:, 0], ends[:, 1][:, None] - ends[:, 1]
        return float(np.sum(one * other < 0) / 2)


def _by_column(a: Hashable, b: Hashable, column: Mapping[Hashable, int]) -> tuple[Hashable, Hashable]:
    return (a, b) if column[a] <= column[b] else (b, a)


def _heights(graph: _Layers, room: Callable[[str], tuple[float, float]]) -> tuple[dict[Hashable, float], float]:
    """Heights at which boxes have room and arrows are nearly straight."""
    need = {node: room(node) if isinstance(node, str) else (LANE / 2, LANE / 2) for node in graph.column}
    height: dict[Hashable, float] = {}
    for layer in graph.order:
        y = 0.0
        for node in layer:
            y -= need[node][0]
            height[node] = y
            y -= need[node][1]
    middle = {k: np.mean([height[n] for n in layer]) for k, layer in enumerate(graph.order) if layer}
    for k, layer in enumerate(graph.order):
        for node in layer:
            height[node] -= float(middle[k])
    for sweep in range(60):
        for layer in graph.order if sweep % 2 else reversed(graph.order):
            wanted = [_wanted(node, graph, height) for node in layer]
            _settle(layer, wanted, need, height)
    top = max(height[n] + need[n][0] for n in height)
    bottom = min(height[n] - need[n][1] for n in height)
    return {node: y - bottom for node, y in height.items()}, top - bottom


def _wanted(node: Hashable, graph: _Layers, height: Mapping[Hashable, float]) -> tuple[float, float]:
    """Where a node would like to be and how much: lanes want to be straight."""
    near = [*graph.before[node], *graph.after[node]]
    total = sum(weight for _, weight in near)
    if not total:
        return height[node], 0.1
    return sum(height[other] * weight for other, weight in near) / total, total * (
        1.0 if isinstance(node, str) else 3.0
    )


def _settle(
    layer: Sequence[Hashable],
    wanted: Sequence[tuple[float, float]],
    need: Mapping[Hashable, tuple[float, float]],
    height: dict[Hashable, float],
) -> None:
    """Put a column as near to its wishes as its order and its room allow: nodes that would collide move as a block."""
    offsets = [0.0]
    for above, below in pairwise(layer):
        offsets.append(offsets[-1] - need[above][1] - need[below][0])
    blocks: list[list[float]] = []  # mean wish (without the offsets), weight, number of nodes
    for (y, weight), offset in zip(wanted, offsets, strict=True):
        blocks.append([y - offset, weight, 1])
        while len(blocks) > 1 and blocks[-1][0] > blocks[-2][0]:
            last, other = blocks.pop(), blocks.pop()
            total = last[1] + other[1]
            blocks.append([(last[0] * last[1] + other[0] * other[1]) / total, total, last[2] + other[2]])
    k = 0
    for y, _, count in blocks:
        for _ in range(int(count)):
            height[layer[k]] = y + offsets[k]
            k += 1
