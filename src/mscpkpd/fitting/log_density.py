"""The log density of a posterior in the coordinates of a frame, for methods that ask for it themselves.

What the exact engine solves becomes one compiled function over many points; everything else is asked point by point.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np

from mscpkpd.fitting.bayes import FRAME, THETA, build_pymc
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.hierarchy import build_hierarchy
from mscpkpd.population import Population

__all__ = ["LogDensity"]

PRIOR = "prior"
AT_ONCE = 256  # points of a compiled call: one shape, one compilation


class LogDensity:
    """Log density of a population's posterior, up to a constant, and its part that is the prior.

    Parameters
    ----------
    population : Population
    frame : Frame
        Coordinates x of everything that is sampled.
    """

    def __init__(self, population: Population, frame: Frame) -> None:
        self.population, self.size = population, len(frame.center)
        self.compiled = population.sampled_by == "exact"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = (
                build_hierarchy(population, frame) if population.levels else build_pymc(population.problem, frame)
            )

    def value(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density and log prior at points.

        Parameters
        ----------
        x : array of shape (n, size)

        Returns
        -------
        total, prior : array of shape (n,)
            Minus infinity where the model cannot be solved; the prior up to a constant.
        """
        total, prior = self._values(x)
        return np.where(np.isfinite(total), total, -np.inf), prior

    def gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and its gradient at one point, shape (size,)."""
        value, slope = self._gradient(x)
        return float(value), np.asarray(slope, dtype=float)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Everything that is sampled on its natural scale, shape (n, n_names)."""
        place = self._place
        return np.array([place(point) for point in x])

    # ---- compiled ----------------------------------------------------------------------------------------------------

    @cached_property
    def _point(self) -> Any:
        return self._model.rvs_to_values[self._model[FRAME]]

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Log density and log prior as expressions of the point."""
        prior = self._model.replace_rvs_by_values([self._model[PRIOR]])[0]
        return self._model.logp(), prior

    @cached_property
    def _place(self) -> Any:
        return self._function([self._model.replace_rvs_by_values([self._model[THETA]])[0]])

    def _function(self, outputs: list[Any]) -> Any:
        """A PyTensor function without a compiler: most of its time is the solver's anyway."""
        import pytensor

        mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile").including("stabilize")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function = pytensor.function([self._point], outputs, mode=mode, on_unused_input="ignore")
        return (lambda x: function(x)[0]) if len(outputs) == 1 else function

    @cached_property
    def _traced(self) -> Any:
        from pymc.sampling.jax import get_jaxified_graph

        from mscpkpd.fitting.traced import teach_jax

        teach_jax()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_jaxified_graph([self._point], list(self._parts))

    @cached_property
    def _values(self) -> Any:
        if not self.compiled:
            each = self._function(list(self._parts))

            def looped(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                found = np.array([[float(part) for part in each(point)] for point in x])
                return found[:, 0], found[:, 1]

            return looped
        import jax

        traced = self._traced
        many = jax.jit(jax.vmap(traced))

        def batched(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            padded = np.concatenate([x, np.zeros((-len(x) % AT_ONCE, self.size))])
            parts = [many(padded[k : k + AT_ONCE]) for k in range(0, len(padded), AT_ONCE)]
            total, prior = (np.concatenate([np.asarray(part[i]) for part in parts])[: len(x)] for i in (0, 1))
            return total, prior

        return batched

    @cached_property
    def _gradient(self) -> Any:
        if not self.compiled:
            import pytensor.tensor as pt

            total = self._parts[0]
            return self._function([total, pt.grad(total, self._point)])
        import jax

        traced = self._traced
        return jax.jit(jax.value_and_grad(lambda x: traced(x)[0]))
