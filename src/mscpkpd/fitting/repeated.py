"""Compiled log densities for samplers; for many studies of one design one that is given the numbers of each study.

To compile a log density takes seconds, to evaluate it less than a millisecond. The PyMC model of every study is built
by the code that `fit` uses; where its graph has the structure of one that is compiled already, only its constant
arrays, which hold the data and the frame, are put into that one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mscpkpd.engine import traceable
from mscpkpd.fitting.bayes import FRAME, THETA, build_pymc
from mscpkpd.fitting.draws import arrays_of
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.hierarchy import build_hierarchy
from mscpkpd.population import Population
from mscpkpd.problem import Problem

__all__ = ["Density", "Repeated"]

NUMBERS = "numbers"
INDEXING = "Advanced"  # operations that take rows out of an array: their places are data, too
TRIES = 20  # starting points that are tried, each nearer to the mode


@dataclass(frozen=True, eq=False)
class Density:
    """Log density of one posterior in the coordinates of its frame.

    Attributes
    ----------
    size : int
        Number of coordinates.
    """

    size: int
    _sloped: Callable[[np.ndarray], tuple[Any, Any]]
    _natural: Callable[[np.ndarray], Any]

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density up to a constant, and its gradient of shape (size,)."""
        value, slope = self._sloped(x)
        return float(value), np.asarray(slope, dtype=float)

    def natural(self, xs: np.ndarray) -> np.ndarray:
        """What a sampler draws, on natural scales, for coordinates of shape (n, size); shape (n, n_drawn)."""
        return np.asarray(self._natural(xs), dtype=float)

    def sample(
        self, *, draws: int, tune: int, chains: int, seed: int, target_accept: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Sample by NUTS in this process, one chain after the other.

        Returns
        -------
        array of shape (chains, draws, size)
            Coordinates.
        dict of str to array of shape (chains, draws)
            What the sampler says of each draw, and its log density as "logp".
        """
        import nutpie

        model = self._giving(lambda x: {FRAME: np.array(x)}, {FRAME: self.size})
        values, statistics = [], []
        for stream in np.random.SeedSequence(seed).spawn(chains):
            trace = nutpie.sample(
                model, draws=draws, tune=tune, chains=1, cores=1, seed=int(stream.generate_state(1)[0]),
                progress_bar=False, target_accept=target_accept, save_warmup=False,
            )  # fmt: skip
            value, said = arrays_of(trace, FRAME)
            values.append(value)
            statistics.append({**said, "logp": np.asarray(trace["sample_stats"]["logp"].values)})
        return np.concatenate(values), {
            name: np.concatenate([each[name] for each in statistics]) for name in statistics[0]
        }

    def for_sampler(self, passed: Callable[[], None]) -> Any:
        """What nutpie samples: each draw in coordinates and on natural scales; `passed` is called at each."""

        def draw(x: np.ndarray) -> dict[str, np.ndarray]:
            passed()
            return {FRAME: np.array(x), THETA: self.natural(x[None])[0]}

        return self._giving(draw, {FRAME: self.size, THETA: self.natural(np.zeros((1, self.size))).shape[1]})

    def _giving(self, draw: Callable[[np.ndarray], dict[str, np.ndarray]], kept: Mapping[str, int]) -> Any:
        """A model for nutpie that keeps of each draw what a function makes of it: arrays of known names and sizes."""
        from nutpie.compiled_pyfunc import from_pyfunc

        return from_pyfunc(
            self.size, lambda: self.__call__, lambda *_: draw, [np.dtype("float64")] * len(kept),
            [(size,) for size in kept.values()], list(kept), make_initial_point_fn=self._start,
        )  # fmt: skip

    def _start(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        point = rng.uniform(-1.0, 1.0, self.size)
        for _ in range(TRIES):
            value, slope = self(point)
            if np.isfinite(value) and np.all(np.isfinite(slope)):
                return point
            point = 0.5 * point
        return np.zeros(self.size)


class Repeated:
    """Log densities of studies of one design.

    All problems that are given to one of these must have the same model, doses, times and priors; values, limits and
    kinds of their rows, and frames, may differ.

    Parameters
    ----------
    apart : bool
        Compile what the exact engine predicts, which is dear to compile, apart from what is made of it: rows that are
        censored in one study and not in another then change the second alone. It costs some time at each evaluation.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self.apart = apart
        self._known: dict[Any, Callable[..., Any]] = {}

    @property
    def compiled(self) -> int:
        """How many graphs have been compiled."""
        return len(self._known)

    def density(self, problem: Problem | Population, frame: Frame) -> Density:
        """Log density of a problem in a frame.

        Parameters
        ----------
        problem : Problem or Population
        frame : Frame
            Coordinates of the sampler.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as where a chain is compiled
            model = build_hierarchy(problem, frame) if isinstance(problem, Population) else build_pymc(problem, frame)
            x = model.rvs_to_values[model[FRAME]]
            logp, theta = model.logp(), model.replace_rvs_by_values([model[THETA]])[0]
            if problem.sampled_by == "stiff":
                sloped = self._function(_sloped_by_numba, [x], [logp])
                natural = self._function(_many_by_numba, [x], [theta])
            else:
                sloped = self._by_jax(x, logp)
                natural = self._function(_many_by_jax, [x], [theta])
        return Density(len(frame.center), sloped, natural)

    def _by_jax(self, x: Any, logp: Any) -> Callable[..., Any]:
        """Log density with its gradient: at once, or of predictions and of what is made of them put together."""
        from mscpkpd.fitting.traced import teach_jax

        teach_jax()
        if not self.apart:
            whole = self._function(_sloped_by_jax, [x], [logp])

            def at_once(x: np.ndarray) -> tuple[Any, Any]:
                value, (slope,) = whole(x)
                return value, slope

            return at_once
        made, given, logp = _cut(x, logp)
        graph = _simplified(x, made)
        predict, pull = self._function(_plain_by_jax, *graph), self._function(_pulled_by_jax, *graph)
        weigh = self._function(_sloped_by_jax, [x, *given], [logp])

        def sloped(x: np.ndarray) -> tuple[Any, Any]:
            value, (slope, *weights) = weigh(x, *predict(x))
            return value, np.asarray(slope) + np.asarray(pull(x, tuple(weights)))

        return sloped

    def _function(self, build: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[..., Any]:
        """What a compiler makes of a graph, with its numbers in their places."""
        structure, constants = _structure(inputs, outputs)
        key = (build, structure)
        if key not in self._known:
            self._known[key] = build(inputs, outputs, constants)
        known, numbers = self._known[key], [each.data for each in constants]
        if build in (_sloped_by_numba, _many_by_numba):
            return lambda *given: known(*given, *numbers)
        placed = traceable.placed(numbers)
        return lambda *given: known(*given, *placed)


def _cut(x: Any, output: Any) -> tuple[list[Any], list[Any], Any]:
    """What the operations of this package predict, variables in its place, and the output as a function of those."""
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.traversal import io_toposort

    made: dict[Any, Any] = {}
    given: dict[Any, Any] = {}
    instead: dict[Any, Any] = {}
    for node in io_toposort([x], [output]):
        if _ours(node.op):  # the likelihood of each kind of row brings a node of its own
            predicted = made.setdefault(node.op, node.outputs[0])
            instead[node.outputs[0]] = given.setdefault(node.op, predicted.type())
    return list(made.values()), list(given.values()), clone_replace(output, instead)


def _simplified(x: Any, outputs: list[Any]) -> tuple[list[Any], list[Any]]:
    """Graphs that are the same in every study: PyMC simplifies what observed rows ask for, and not what others do."""
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.rewriting.utils import rewrite_graph

    own = x.type()
    return [own], list(rewrite_graph(clone_replace(outputs, {x: own}), include=("canonicalize",), clone=False))


def _ours(op: Any) -> bool:
    return type(op).__module__.startswith("mscpkpd.")


# ---- structure -------------------------------------------------------------------------------------------------------


def _structure(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """What a graph is but for the numbers in its arrays, and the constants that hold them, in its order."""
    from pytensor.graph.basic import Constant
    from pytensor.graph.traversal import io_toposort

    nodes = io_toposort(inputs, outputs)
    other = {v for node in nodes if not type(node.op).__name__.startswith(INDEXING) for v in node.inputs}
    places: dict[Any, Any] = {v: ("input", k, str(v.type)) for k, v in enumerate(inputs)}
    constants: list[Any] = []

    def place(v: Any) -> Any:
        if v not in places and isinstance(v, Constant):
            if _holds_numbers(v, indexing=v not in other):
                places[v] = (NUMBERS, len(constants), str(v.type), v.data.shape)
                constants.append(v)
            else:
                places[v] = (str(v.type), v.data.tobytes() if isinstance(v.data, np.ndarray) else repr(v.data))
        return places[v]

    key: list[Any] = []
    for n, node in enumerate(nodes):
        op = type(node.op) if _ours(node.op) else node.op  # ours belong to the design
        key.append((op, *(place(v) for v in node.inputs)))
        places |= {v: (n, k) for k, v in enumerate(node.outputs)}
    return (*key, tuple(place(v) for v in outputs)), constants


def _holds_numbers(v: Any, *, indexing: bool) -> bool:
    if not isinstance(v.data, np.ndarray) or v.data.ndim == 0:
        return False
    return v.data.dtype.kind == "f" or (v.data.dtype.kind in "iu" and indexing)


# ---- compilers -------------------------------------------------------------------------------------------------------

Graph = Sequence[Any]


def _opened(inputs: Graph, outputs: Graph, constants: Graph) -> tuple[list[Any], list[Any]]:
    """The graph with variables in place of constants."""
    from pytensor.graph.replace import clone_replace

    old, new = [*inputs, *constants], [v.type() for v in (*inputs, *constants)]
    return new, clone_replace(list(outputs), dict(zip(old, new, strict=True)))


def _by_jax(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    from pytensor.compile.mode import get_mode
    from pytensor.graph.fg import FunctionGraph
    from pytensor.link.jax.dispatch import jax_funcify

    graph = FunctionGraph(*_opened(inputs, outputs, constants), clone=True)
    get_mode("JAX").optimizer.rewrite(graph)
    return jax_funcify(graph)  # type: ignore[no-any-return]  # a function of the inputs, returning a tuple


def _plain_by_jax(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    return traceable.plain(_by_jax(inputs, outputs, constants))


def _pulled_by_jax(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    return traceable.pulled(_by_jax(inputs, outputs, constants))


def _sloped_by_jax(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    return traceable.sloped(_by_jax(inputs, outputs, constants), len(inputs))


def _many_by_jax(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    return traceable.many(_by_jax(inputs, outputs, constants), len(constants))


def _sloped_by_numba(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    import pytensor

    new, (density,) = _opened(inputs, outputs, constants)
    return pytensor.function(  # type: ignore[no-any-return]  # PyTensor has no types
        new, [density, pytensor.grad(density, new[0])], mode="NUMBA", on_unused_input="ignore"
    )


def _many_by_numba(inputs: Graph, outputs: Graph, constants: Graph) -> Callable[..., Any]:
    import pytensor

    new, found = _opened(inputs, outputs, constants)
    one = pytensor.function(new, found[0], mode="NUMBA", on_unused_input="ignore")
    return lambda xs, *numbers: np.array([one(x, *numbers) for x in xs])
