"""The compartments and arrows of a model, drawn from its equations."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from mscpkpd.engine.arrows import Entry, Flow, Influence, Structure, Term
from mscpkpd.engine.flows import structure_of
from mscpkpd.expressions import parse
from mscpkpd.expressions.latex import latex_name, to_latex
from mscpkpd.model import Model
from mscpkpd.plots.layout import Edge, place
from mscpkpd.plots.style import AXIS, INK, MUTED, SERIES, finish, plain, sheet

__all__ = ["structure"]

PITCH = 2.15  # inches from column to column
BOX, TALL = 1.02, 0.42  # inches: width of a box, its least height
HEAD = "-|>,head_length=3.4,head_width=1.8"
BAR = 0.055  # inches: half of the bar of an inhibition
PORT = 0.15  # inches between arrows at one side of a box
STUB = 0.27  # inches that an arrow from or to outside takes
GAP = 0.12  # inches between a box and the next
NARROWEST = 4.2  # inches
MANY = 4  # influences on one state that run together
WIDE = 30  # letters of a line of a label beside an arrow to outside
TINY = 6.4  # points
LINE, TERM = 0.095, 0.15  # inches from line to line: of words, of formulas
LETTER = 0.052  # inches of a letter of that size
FLOW, INFLUENCE, DOSE = INK, SERIES[1], SERIES[0]
TINTS = ("#E3EEF7", "#FBE9DC", "#DFF2EA", "#F6E6EF", "#FBF1D6", "#E4F3FB", "#EEEEEE")


@dataclass(frozen=True)
class _Arrow:
    """One arrow between two boxes."""

    source: str
    target: str
    label: str
    letters: int
    dashed: bool
    sign: int
    off: bool


def structure(model: Model) -> Figure:
    """Draw the compartments of a model and the arrows between them, derived from its equations.

    Parameters
    ----------
    model : Model
        A checked model.

    Returns
    -------
    matplotlib.figure.Figure
        A full arrow is a flow with its rate constant; from or to nowhere, it enters or leaves the model. A broken
        arrow is an influence on the rate of a state without a flow, ending in a bar where it only lowers the rate.
        Pale arrows are mechanisms that the numbers of the model switch off. Blue arrows are doses.

    Raises
    ------
    UnitError
        If a formula of the model cannot be translated.

    Notes
    -----
    Nothing is drawn that does not follow from the rates: see `mscpkpd.engine.flows`. The layout is that of Sugiyama,
    Tagawa and Toda (1981).
    """
    derived = structure_of(model)
    arrows = [*_flow_arrows(derived.flows), *_influence_arrows(derived.influences)]
    drawing = _Drawing(model, derived, arrows)
    width, height = drawing.size
    width = max(width, NARROWEST)
    figure, axes = sheet(width=width, height=height)
    ax: Axes = axes[0, 0]
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    drawing.draw(ax)
    off = " Pale: switched off by the numbers of the model." if any(arrow.off for arrow in arrows) else ""
    foot = f"Drawn from the equations. f(...): depends on what stands in brackets.{off}"
    return finish(figure, f"{model.name}: {model.title}", foot=foot, legend=_legend(derived), columns=4)


def _legend(derived: Structure) -> dict[str, Line2D]:
    """What each kind of arrow means, of those that are there."""
    kinds = {"flow, with its rate constant": Line2D([], [], color=FLOW, lw=1.2)}
    if any(influence.sign >= 0 for influence in derived.influences):
        kinds["acts on the rate"] = Line2D([], [], color=INFLUENCE, lw=1.2, ls=(0, (3, 2)), marker=">", ms=4)
    if any(influence.sign < 0 for influence in derived.influences):
        kinds["lowers the rate"] = Line2D([], [], color=INFLUENCE, lw=1.2, ls=(0, (3, 2)), marker="|", ms=6)
    if derived.entries:
        kinds["doses"] = Line2D([], [], color=DOSE, lw=1.2)
    return kinds


def _flow_arrows(flows: Iterable[Flow]) -> Iterator[_Arrow]:
    for flow in flows:
        if flow.source and flow.target:
            text, letters = _label(flow.terms)
            yield _Arrow(flow.source, flow.target, text, letters, dashed=False, sign=1, off=flow.off)


def _influence_arrows(influences: Iterable[Influence]) -> Iterator[_Arrow]:
    for one in influences:
        yield _Arrow(one.source, one.target, "", 0, dashed=True, sign=one.sign, off=one.off)


def _label(terms: Sequence[Term]) -> tuple[str, int]:
    """The rates at an arrow as a formula in one line, and about how many letters it takes."""
    texts, letters = zip(*(_term(term) for term in terms), strict=True)
    return f"${' + '.join(texts)}$", sum(letters) + 3 * (len(terms) - 1)


def _lines(terms: Sequence[Term]) -> list[tuple[str, int]]:
    """The rates at an arrow in lines that are not too wide."""
    lines: list[tuple[str, int]] = []
    for text, letters in (_term(term) for term in terms):
        if lines and lines[-1][1] + letters <= WIDE:
            lines[-1] = (f"{lines[-1][0]} + {text}", lines[-1][1] + letters + 3)
        else:
            lines.append((f"+ {text}" if lines else text, letters + 2))
    return [(f"${text}$", letters) for text, letters in lines]


def _term(term: Term) -> tuple[str, int]:
    above, _, below = term.factor.partition("/")  # small print is no place for a fraction
    if below and above.count("(") == above.count(")"):
        factor = f"{_formula(above)}/{_formula(below)}"
    else:
        factor = _formula(term.factor)
    of = ", ".join(latex_name(name) for name in term.names)
    parts = [part for part in (factor, rf"f({of})" if of else "") if part]
    letters = len(term.factor) + sum(len(name) + 2 for name in term.names) + (3 if of else 0)
    return r" \cdot ".join(parts), letters


def _formula(text: str) -> str:
    if not text:
        return ""
    written = to_latex(parse(text))
    return rf"\left({written}\right)" if text.startswith("(") and text.endswith(")") else written


class _Drawing:
    """Places of everything on one picture."""

    def __init__(self, model: Model, derived: Structure, arrows: Sequence[_Arrow]) -> None:
        self.model, self.derived, self.arrows = model, derived, arrows
        self.outs = {flow.source: flow for flow in derived.flows if not flow.target}
        self.made = {flow.target: flow for flow in derived.flows if not flow.source}
        self.doses: dict[str, list[Entry]] = {}
        for entry in derived.entries:
            self.doses.setdefault(entry.state, []).append(entry)
        self.tall = dict.fromkeys(derived.states, TALL)
        self.bundles = self._bundles()
        edges = [Edge(a.source, a.target, (0.3 if a.off else 1.0) if a.dashed else 3.0, bundle)
                 for a, bundle in zip(arrows, self.bundles, strict=True)]  # fmt: skip
        for _ in range(2):  # the number of arrows at a side decides how tall a box is
            self.placed = place(derived.states, edges, self._room)
            self.tall = {name: max(TALL, PORT * self._most_ports(name) + 0.1) for name in derived.states}
        self.taken: list[tuple[float, float, float, float]] = []

    def _bundles(self) -> list[str]:
        """Influences of one kind on one state run together where they are many."""
        kinds = [(a.target, a.sign, a.off) if a.dashed else None for a in self.arrows]
        return [f"{kind}" if kind is not None and kinds.count(kind) >= MANY else "" for kind in kinds]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height [inches]."""
        columns = max(self.placed.column.values()) + 1
        return (columns - 1) * PITCH + BOX + 0.9, self.placed.total + 0.25

    def _room(self, name: str) -> tuple[float, float]:
        above = self.tall[name] / 2 + GAP + self._above(name)
        below = _stub_length(self.outs[name]) if name in self.outs else 0.0
        return above, self.tall[name] / 2 + GAP + below

    def _above(self, name: str) -> float:
        lines = sum(len(self._dose_lines(entry)) for entry in self.doses.get(name, ()))
        made = _stub_length(self.made[name]) if name in self.made else 0.0
        return max(made, STUB + LINE * max(lines - 2, 0) if lines else 0.0)

    @staticmethod
    def _dose_lines(entry: Entry) -> list[str]:
        words = ("dead cells: " if entry.dead_only else "") + ", ".join(entry.routes)
        return textwrap.wrap(words, 26)

    def _most_ports(self, name: str) -> int:
        sides = {(self._side(arrow, name), bundle if bundle and arrow.target == name else k)
                 for k, (arrow, bundle) in enumerate(zip(self.arrows, self.bundles, strict=True))
                 if name in (arrow.source, arrow.target)}  # fmt: skip
        return max(sum(side == wanted for side, _ in sides) for wanted in ("left", "right"))

    def _side(self, arrow: _Arrow, name: str) -> str:
        other = arrow.target if arrow.source == name else arrow.source
        return "right" if self.placed.column[other] > self.placed.column[name] else "left"

    def _x(self, column: int) -> float:
        return 0.3 + BOX / 2 + column * PITCH

    def draw(self, ax: Axes) -> None:
        """Put everything onto the picture."""
        for name in self.derived.states:
            self._box(ax, name)
        paths = self._paths()
        drawn: set[tuple[str, float, float]] = set()
        for arrow, bundle, points in zip(self.arrows, self.bundles, paths, strict=True):
            own = len(points)
            while bundle and own > 2 and (bundle, *points[own - 2]) in drawn:
                own -= 1  # an earlier arrow of the bundle goes on from here
            drawn |= {(bundle, *point) for point in points[:-1]}
            self._line(ax, arrow, points[:own], whole=own == len(points))
        for name in self.derived.states:
            self._stubs(ax, name)
        for arrow, points in sorted(zip(self.arrows, paths, strict=True), key=lambda pair: -pair[0].letters):
            if arrow.label:
                self._text(ax, arrow, points)

    def _box(self, ax: Axes, name: str) -> None:
        x, y, tall = self._x(self.placed.column[name]), self.placed.height[name], self.tall[name]
        units = list(dict.fromkeys(self.model.units[state] for state in self.derived.states))
        tint = TINTS[units.index(self.model.units[name]) % len(TINTS)]
        ax.add_patch(FancyBboxPatch(
            (x - BOX / 2, y - tall / 2), BOX, tall, boxstyle="round,pad=0,rounding_size=0.06", fc=tint, ec=INK, lw=0.8,
            zorder=3, gid=name,
        ))  # fmt: skip
        size = min(8.2, 8.2 * 12.5 / max(len(name), 1))
        unit = self.model.units[name]
        shift = 0.07 if unit != "1" else 0.0
        ax.text(x, y + shift, plain(name), ha="center", va="center", size=size, weight="bold", color=INK, zorder=4)
        if unit != "1":
            ax.text(x, y - 0.085, plain(unit), ha="center", va="center", size=6, color=MUTED, zorder=4)
        self.taken.append((x - BOX / 2, y - tall / 2, x + BOX / 2, y + tall / 2))

    # ---- arrows ----------------------------------------------------------------------------------------------------

    def _paths(self) -> list[np.ndarray]:
        """Points of each arrow, shape (n_points, 2): its port, its lanes, its other port."""
        ends: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
        for k, arrow in enumerate(self.arrows):
            lanes = self.placed.lanes[k]
            for end, name in enumerate((arrow.source, arrow.target)):
                other = self.placed.height[(arrow.target, arrow.source)[end]]
                toward = (lanes[0][1] if end == 0 else lanes[-1][1]) if lanes else other
                ends.setdefault((name, self._side(arrow, name)), []).append((toward, k, end))
        ports: dict[tuple[int, int], tuple[float, float]] = {}
        for (name, side), found in ends.items():
            x = self._x(self.placed.column[name]) + (BOX / 2 if side == "right" else -BOX / 2)
            ordered = sorted(found, key=lambda one: (one[0], self._tie(one[1])))
            shared = list(
                dict.fromkeys(self.bundles[k] if end and self.bundles[k] else (k, end) for _, k, end in ordered)
            )
            step = min(PORT, (self.tall[name] - 0.08) / len(shared))
            for _, k, end in ordered:
                i = shared.index(self.bundles[k] if end and self.bundles[k] else (k, end))
                ports[k, end] = (x, self.placed.height[name] + (i - (len(shared) - 1) / 2) * step)
        paths = []
        for k, lanes in enumerate(self.placed.lanes):
            middle = [(self._x(column), y) for column, y in lanes]
            paths.append(np.array([ports[k, 0], *middle, ports[k, 1]]))
        return paths

    def _tie(self, k: int) -> tuple[bool, int]:
        """The same order at both ends for arrows between the same boxes, so that a pair does not cross."""
        arrow = self.arrows[k]
        return self.placed.column[arrow.source] > self.placed.column[arrow.target], k

    @staticmethod
    def _line(ax: Axes, arrow: _Arrow, points: np.ndarray, *, whole: bool) -> None:
        colour = AXIS if arrow.off else INFLUENCE if arrow.dashed else FLOW
        head = HEAD if whole and arrow.sign >= 0 else "-"
        ax.add_patch(FancyArrowPatch(
            path=_curve(points), arrowstyle=head, color=colour, lw=0.9, ls=(0, (3.2, 2)) if arrow.dashed else "-",
            shrinkA=0, shrinkB=0, mutation_scale=1.6, zorder=2, joinstyle="miter", capstyle="butt",
        ))  # fmt: skip
        if whole and arrow.sign < 0:
            x, y = points[-1] + np.sign(points[-2] - points[-1]) * (0.025, 0.0)
            ax.plot([x, x], [y - BAR, y + BAR], color=colour, lw=1.5, solid_capstyle="butt", zorder=2)

    def _text(self, ax: Axes, arrow: _Arrow, points: np.ndarray) -> None:
        """Write a label on its arrow where it hides least."""
        path = _walk(points)
        w, h = arrow.letters * LETTER * 0.85 + 0.05, 0.13
        best, cost = path[len(path) // 2], np.inf
        for share in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.85):
            x, y = path[int(share * (len(path) - 1))]
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            hidden = sum(_overlap(box, other) for other in self.taken) + 0.002 * abs(share - 0.5)
            if hidden < cost:
                best, cost = np.array([x, y]), hidden
        x, y = best
        self.taken.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
        _write(ax, x, y, arrow.label, AXIS if arrow.off else FLOW, ha="center")

    # ---- from and to outside ---------------------------------------------------------------------------------------

    def _stubs(self, ax: Axes, name: str) -> None:
        x, y, half = self._x(self.placed.column[name]), self.placed.height[name], self.tall[name] / 2
        if name in self.outs:
            below = y - half - _stub_length(self.outs[name])
            self._stub(ax, (x - 0.3, y - half), (x - 0.3, below), self.outs[name])
        if name in self.made:
            left = x + 0.1 if name in self.doses else x - 0.3
            self._stub(ax, (left, y + half + _stub_length(self.made[name])), (left, y + half), self.made[name])
        lines = [(line, entry.dead_only) for entry in self.doses.get(name, ()) for line in self._dose_lines(entry)]
        if lines:
            only_dead = all(entry.dead_only for entry in self.doses[name])
            colour = MUTED if only_dead else DOSE
            above = y + half + self._above(name)
            _arrow(ax, (x - 0.42, above), (x - 0.42, y + half), colour)
            for k, (line, dead) in enumerate(lines):
                _write(ax, x - 0.36, above - 0.03 - LINE * k, plain(line), MUTED if dead else DOSE)
            self.taken.append((x - 0.45, y + half, x + 0.9, above))

    def _stub(self, ax: Axes, start: tuple[float, float], end: tuple[float, float], flow: Flow) -> None:
        colour = AXIS if flow.off else FLOW
        _arrow(ax, start, end, colour)
        lines = _lines(flow.terms)
        x, middle = start[0] + 0.06, (start[1] + end[1]) / 2
        for k, (text, letters) in enumerate(lines):
            y = middle + ((len(lines) - 1) / 2 - k) * TERM
            _write(ax, x, y, text, colour)
            self.taken.append((x, y - 0.06, x + letters * LETTER, y + 0.06))


def _stub_length(flow: Flow) -> float:
    return STUB + TERM * (len(_lines(flow.terms)) - 1)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle=HEAD, color=colour, lw=0.9, shrinkA=0, shrinkB=0, mutation_scale=1.6)
    )


def _write(ax: Axes, x: float, y: float, text: str, colour: str, ha: str = "left") -> None:
    box = {"boxstyle": "square,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.88}
    ax.text(x, y, text, size=TINY, color=colour, ha=ha, va="center", bbox=box, zorder=5)


def _controls(points: np.ndarray) -> list[np.ndarray]:
    """Cubic pieces that are level at every point, shape (4, 2) each."""
    pieces = []
    for a, b in pairwise(points):
        reach = np.array([(b[0] - a[0]) * 0.45, 0.0])
        pieces.append(np.array([a, a + reach, b - reach, b]))
    return pieces


def _curve(points: np.ndarray) -> Path:
    pieces = _controls(points)
    vertices = [pieces[0][0], *(vertex for piece in pieces for vertex in piece[1:])]
    return Path(vertices, [Path.MOVETO, *[Path.CURVE4] * (3 * len(pieces))])


def _walk(points: np.ndarray, steps: int = 30) -> np.ndarray:
    """Points along a curve, shape (n_points, 2)."""
    s = np.linspace(0, 1, steps)[:, None]
    parts = [
        (1 - s) ** 3 * p[0] + 3 * (1 - s) ** 2 * s * p[1] + 3 * (1 - s) * s**2 * p[2] + s**3 * p[3]
        for p in _controls(points)
    ]
    return np.concatenate(parts)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Area that two rectangles share [square inches]."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)
