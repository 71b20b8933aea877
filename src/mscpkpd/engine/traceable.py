"""Functions that JAX can trace, compiled in the forms that a sampler needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.scipy.special import erfcx

from mscpkpd.engine.compiled import compiled

__all__ = ["erfcx", "many", "mapped", "placed", "plain", "pulled", "sloped"]

Traceable = Callable[..., Any]


def sloped(function: Traceable, count: int) -> Traceable:
    """Value of a function with one number as its result, and its derivatives by the first `count` arguments."""
    return compiled(jax.value_and_grad(lambda *given: function(*given)[0], argnums=tuple(range(count))))


def plain(function: Traceable) -> Traceable:
    """Results of a function of `x` and numbers."""
    return compiled(function)


def pulled(function: Traceable) -> Traceable:
    """Derivatives by `x` of the weighted sum of the results, as a function of `x`, the weights and numbers.

    The results are computed again: what a backward pass needs is dearer to hand over than to make.
    """
    return compiled(lambda x, weights, *numbers: jax.vjp(lambda x: tuple(function(x, *numbers)), x)[1](weights)[0])


def many(function: Traceable, numbers: int) -> Traceable:
    """First result of a function for many `x`, with as many other arguments, which stay."""
    return compiled(jax.vmap(lambda x, *given: function(x, *given)[0], in_axes=(0, *[None] * numbers)))


def mapped(function: Traceable) -> Traceable:
    """All results of a function of `x`, for many `x`."""
    return compiled(jax.vmap(function))


def placed(numbers: Sequence[np.ndarray]) -> list[Any]:
    """Numbers where compiled functions find them at once."""
    return [jax.device_put(each) for each in numbers]
