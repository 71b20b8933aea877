"""Rows that have a probability instead of a noise, as terms of a PyMC model: the densities of `counted` again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from mscpkpd.counted import log_choose
from mscpkpd.fitting.tensors import TENSORS
from mscpkpd.observations import Rows
from mscpkpd.problem import Problem
from mscpkpd.tails import log_normal_cdf

__all__ = ["UNCOMMON", "count_of", "counted_term"]

UNCOMMON = ("positive", "alive", "event")
TINY = 1e-30  # keeps the logarithm of a prediction finite where the model says zero


def count_of(rows: Rows, mine: np.ndarray) -> np.ndarray:
    """Subjects behind each row, 1 where it is of one."""
    return np.asarray(np.where(np.isin(rows.kind[mine], ("mean", "logmean")), rows.count[mine], 1.0))


def counted_term(problem: Problem, label: str, f: Any, values: Mapping[str, Any], mine: np.ndarray) -> None:
    """Add rows of one output and one of the kinds in `UNCOMMON`.

    Parameters
    ----------
    problem : Problem
    label : str
        Name of the term.
    f : tensor of shape (n_mine,)
        Predictions of the rows.
    values : mapping of str to float or tensor
        Parameters.
    mine : array of int, shape (n_mine,)
        Rows.
    """
    rows, kind = problem.rows, str(problem.rows.kind[mine[0]])
    k, n = rows.value[mine], rows.count[mine]
    if kind == "event":
        term = f
    elif kind == "alive":
        h = pt.maximum(f, TINY)
        term = log_choose(k, n) - k * h + _times(n - k, pt.log(-pt.expm1(-h)))
    else:
        detection = problem.model.output(rows.outputs[rows.output[mine[0]]]).detection
        if detection is None:  # refused when the study was bound
            return
        lod, s = detection.of(values)
        u = (pt.log(pt.maximum(f, TINY)) - pt.log(lod)) / s
        term = log_choose(k, n) + _times(k, log_normal_cdf(u, TENSORS)) + _times(n - k, log_normal_cdf(-u, TENSORS))
    pm.Potential(label, pt.sum(term))


def _times(count: np.ndarray, x: Any) -> Any:
    """A product over the rows where anybody was counted, so that what is infinite elsewhere leaves no NaN."""
    seen = np.flatnonzero(count > 0)
    if len(seen) == len(count):
        return count * x
    return pt.set_subtensor(pt.zeros(len(count))[seen], count[seen] * x[seen]) if len(seen) else pt.zeros(len(count))
