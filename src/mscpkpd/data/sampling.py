"""How a study was sampled: one time for each animal or several, replicates, pools, samples that assays share (T9)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mscpkpd.data.record import Record

__all__ = ["sampling_frame"]

COLUMNS = (
    "output", "method", "design", "subjects", "times", "times_each", "values", "replicates", "pooled",
    "shared_samples",
)  # fmt: skip
SUMMARIES = ("mean", "logmean")


def sampling_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a row for each output and method, in order of first appearance; see `Study.sampling`."""
    records = tuple(records)
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        parts.setdefault((record.observed, record.method), []).append(record)
    assays: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for record in records:
        if record.sample:
            assays.setdefault((record.subject, record.sample), set()).add((record.observed, record.method))
    shared = {sample for sample, used in assays.items() if len(used) > 1}
    return pd.DataFrame([_row(*key, own, shared) for key, own in parts.items()], columns=list(COLUMNS))


def _row(output: str, method: str, records: Sequence[Record], shared: set[tuple[str, str]]) -> dict[str, Any]:
    times: dict[str, set[float]] = {}
    for record in records:
        times.setdefault(record.subject, set()).add(record.time)
    samples = Counter((record.subject, record.time, record.pre_dose, record.occasion) for record in records)
    return {
        "output": output, "method": method, "design": _design(records, times), "subjects": len(times),
        "times": len(set().union(*times.values())), "times_each": max(map(len, times.values())), "values": len(records),
        "replicates": max(samples.values()), "pooled": max((record.pooled or 1 for record in records), default=1),
        "shared_samples": len({(record.subject, record.sample) for record in records} & shared),
    }  # fmt: skip


def _design(records: Sequence[Record], times: dict[str, set[float]]) -> str:
    """Reported means, serial, destructive, batches, or one time alone."""
    if all(record.kind in SUMMARIES for record in records):
        return "reported means"
    everything = set().union(*times.values())
    most = max(map(len, times.values()))
    if len(everything) == 1:
        return "one time"
    if most == 1:
        return "destructive"
    return "batches" if 2 * most <= len(everything) and len(times) > 2 else "serial"
