"""PyTensor as a library of arrays, for the formulas of `noise` and `tails`."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from mscpkpd.tails import Library

__all__ = ["TENSORS"]


def _array(x: Any) -> Any:
    return pt.as_tensor_variable(x, dtype=None if hasattr(x, "type") else "float64")


class _Tensors:
    exp, log, log1p, expm1, sqrt, abs = pt.exp, pt.log, pt.log1p, pt.expm1, pt.sqrt, pt.abs
    maximum, minimum, gammaln, erfc = pt.maximum, pt.minimum, pt.gammaln, pt.erfc
    where, array = staticmethod(pt.switch), staticmethod(_array)


TENSORS: Library = _Tensors()
