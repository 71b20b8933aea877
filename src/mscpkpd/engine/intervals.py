"""The changes of one subject as arrays: intervals, what changes at their begins, and the place of each asked time.

Every number carries its derivatives by the free parameters, so that lags, modelled durations and switch times are
inputs of the exact engine like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mscpkpd.engine.timeline import Change, without_residue

__all__ = ["Intervals", "intervals_of"]


@dataclass(frozen=True)
class Intervals:
    """What the equations of one subject meet, interval by interval.

    Attributes
    ----------
    begins, lengths : array of shape (n_intervals,)
        In the time unit of the model; padded intervals have no length.
    jumps, rates : array of shape (n_states, n_intervals)
        Added to the amounts at the begin; infused during the interval.
    switches : array of shape (n_switches, n_intervals)
        0 before a switch, 1 from then on.
    numbers : array of shape (n_changing, n_intervals)
        Covariates that change, during the interval.
    d_begins, d_lengths, d_jumps, d_rates : array of shape (..., n_free)
        Their derivatives.
    kept : array of shape (n_intervals,)
        0 where the states take their start values at the begin, else 1.
    kind : array of int, shape (n_intervals,)
        Intervals of one kind have the same length, move alike and have the same switches and covariates.
    sample : array of int, shape (n_kinds,)
        One interval of each kind.
    times : array of shape (n_times,)
        Asked times, not before 0; padded with the last.
    at : array of int, shape (n_times,)
        The interval of each.
    """

    begins: np.ndarray
    lengths: np.ndarray
    jumps: np.ndarray
    rates: np.ndarray
    switches: np.ndarray
    numbers: np.ndarray
    d_begins: np.ndarray
    d_lengths: np.ndarray
    d_jumps: np.ndarray
    d_rates: np.ndarray
    kept: np.ndarray
    kind: np.ndarray
    sample: np.ndarray
    times: np.ndarray
    at: np.ndarray


def intervals_of(
    changes: Sequence[Change],
    times: np.ndarray,
    shape: tuple[int, int, int],
    *,
    padded: bool = True,
    changing: int = 0,
    apart: bool = False,
) -> Intervals:
    """Lay out the intervals until the last asked time.

    Parameters
    ----------
    changes : sequence of Change
        In order of time.
    times : array of shape (n_times,)
        Asked times; what is before 0 has the values at 0 (L10).
    shape : tuple of int
        Numbers of states, switches and free parameters.
    padded : bool
        Whether to fill up with intervals without length, so that few shapes occur.
    changing : int
        Number of covariates that change.
    apart : bool
        Whether each interval is a kind of its own, so that few shapes occur.

    Returns
    -------
    Intervals
    """
    n, n_switches, n_free = shape
    end = max(float(times.max(initial=0.0)), 0.0)
    moments = _moments([change for change in changes if change.time <= end])
    count = _padded(len(moments)) if padded else len(moments)
    begins, d_begins = np.full(count, end), np.zeros((count, n_free))
    jumps, d_jumps = np.zeros((n, count)), np.zeros((n, count, n_free))
    rates, d_rates = np.zeros((n, count)), np.zeros((n, count, n_free))
    switches, kept = np.zeros((n_switches, count)), np.ones(count)
    numbers = np.zeros((changing, count))
    for k, moment in enumerate(moments):
        for change in moment:
            if change.reset:  # what happened before is forgotten (E32)
                kept[k] = 0.0
                for each in (jumps, d_jumps):
                    each[:, k] = 0.0
                for each in (rates, d_rates):
                    each[:, k:] = 0.0
            jumps[:, k] += change.jump
            d_jumps[:, k] += change.d_jump
            rates[:, k:] = without_residue(rates[:, k:] + change.rate[:, None], rates[:, k:])
            d_rates[:, k:] += change.d_rate[:, None]
            if change.switch >= 0:
                switches[change.switch, k:] = 1.0
            if change.numbers is not None:
                numbers[:, k:] = change.numbers[:, None]
        begins[k] = max(moment[0].time, 0.0) if moment else 0.0
        d_begins[k] = _move(moment[0]) if moment else 0.0
    last = len(moments) - 1
    stop = end if end > begins[last] else begins[last] + 1.0
    begins[last + 1 :] = stop
    lengths = np.append(np.diff(begins), 0.0)
    lengths[last] = stop - begins[last]
    d_lengths = np.append(np.diff(d_begins, axis=0), np.zeros((1, n_free)), axis=0)
    d_lengths[last] = -d_begins[last]
    asked = np.concatenate([times, np.full(_padded(len(times), 8) - len(times), end)])
    asked = np.maximum(asked, 0.0)
    at = np.clip(np.searchsorted(begins[: last + 1], asked, side="right") - 1, 0, last)
    kind, sample = _kinds(lengths, d_lengths, np.concatenate([switches, numbers]), apart=apart)
    return Intervals(
        begins, lengths, jumps, rates, switches, numbers, d_begins, d_lengths, d_jumps, d_rates, kept, kind, sample,
        asked, at,
    )  # fmt: skip


def _kinds(
    lengths: np.ndarray, d_lengths: np.ndarray, switches: np.ndarray, *, apart: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Number the intervals that differ; times such as 85 and 169 differ from 84 hours by rounding alone."""
    rounded = np.round(lengths / max(lengths.max(), 1e-300), 13)
    _, sample, kind = np.unique(
        np.column_stack([rounded, d_lengths, switches.T]), axis=0, return_index=True, return_inverse=True
    )
    if apart or len(sample) * 2 > len(lengths):  # hardly any are alike: each is its own kind, in order
        return np.arange(len(lengths)), np.arange(len(lengths))
    padding = _padded(len(sample)) - len(sample)
    return kind.reshape(-1), np.append(sample, np.full(padding, sample[0]))


def _moments(changes: list[Change]) -> list[list[Change]]:
    """Changes that happen, and move, together; the first moment is time 0, with all that switched before."""
    moments: list[list[Change]] = [[]]
    for change in changes:
        with_last = moments[-1][-1] if moments[-1] else None
        at_zero = with_last is None and change.time <= 0 and not np.any(change.d_time)
        together = with_last is not None and _same(with_last, change)
        if change.time < 0 or at_zero or together:
            moments[-1].append(change)
        else:
            moments.append([change])
    return moments


def _same(one: Change, other: Change) -> bool:
    return max(one.time, 0.0) == max(other.time, 0.0) and np.array_equal(_move(one), _move(other))


def _move(change: Change) -> np.ndarray:
    """Derivatives of the time of a change; what switched before time 0 does not move the start."""
    return change.d_time if change.time >= 0 else np.zeros_like(change.d_time)


def _padded(count: int, least: int = 1) -> int:
    """The next of least times 1, 2, 3, 4, 6, 8, 12, 16 ..."""
    size = least
    while size < count:
        grown = size * 3 // 2 if (size // least).bit_count() == 1 and size > least else size * 4 // 3
        size = 2 * least if size == least else grown
    return size
