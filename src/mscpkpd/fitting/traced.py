"""The operations of a PyTensor graph as JAX functions, for problems that the exact engine solves.

With them a whole log density and its gradient become one compiled function, which JAX differentiates in reverse
through every dose: nutpie, NumPyro and BlackJAX find them once `teach_jax` has been called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.scalar.math import Erfcx

from mscpkpd.engine.traceable import erfcx
from mscpkpd.fitting.op import CaseOp, PredictionOp

__all__ = ["teach_jax"]


def teach_jax() -> None:
    """Register the operations of this package; more than once is as good as once."""
    jax_funcify.register(PredictionOp, _predictions)
    jax_funcify.register(CaseOp, _cases)
    jax_funcify.register(Erfcx, _scaled_tail)


def _predictions(op: PredictionOp, **_: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Predictions of all rows; their Jacobian, which only a gradient by PyTensor would ask for, is left at NaN."""
    rows = op.problem.traced()
    unused = np.full((len(op.problem.rows), len(op.problem.free)), np.nan)

    def predicted(theta: Any) -> tuple[Any, Any]:
        return rows(theta), unused

    return predicted


def _cases(op: CaseOp, **_: Any) -> Callable[[Any], tuple[Any, Any]]:
    """The same for cases with parameters of their own."""
    points = op.population.traced()
    unused = np.full((len(op.population.point_case), len(op.moving)), np.nan)

    def predicted(values: Any) -> tuple[Any, Any]:
        return points(values), unused

    return predicted


def _scaled_tail(op: Erfcx, **_: Any) -> Callable[[Any], Any]:  # noqa: ARG001
    """What tails of normal densities are made of: PyTensor would ask TensorFlow Probability for it."""
    return erfcx
