"""What one row of a study says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["COLUMNS", "Kind", "Record"]

Kind = Literal["value", "left", "right", "interval", "mean", "logmean"]

# columns of a tidy table with a meaning; all others are kept as text (D15)
COLUMNS = (
    "subject", "time", "time_unit", "output", "value", "unit", "stat", "sd", "n", "lower", "upper",
    "censoring", "lloq", "uloq", "method", "organ", "species", "weight", "weight_unit",
    "dose", "dose_unit", "route", "dose_time", "dose_time_unit", "duration", "duration_unit", "viability",
    "every", "every_unit", "doses", "timed_by", "lot", "occasion", "study", "replicate", "synthetic", "pre_dose",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One observation.

    Attributes
    ----------
    row : int
        Row number in the file.
    subject : str
        Who was observed; for a summary, the group.
    time : float
        Time since the start [`time_unit`].
    time_unit : str
        Always "h": other units are converted when the table is read.
    output : str
        Name of what was observed.
    kind : str
        "value": an observed value. "left": below `upper`. "right": above `lower`. "interval": between `lower` and
        `upper` (B8). "mean": mean of `n` subjects. "logmean": mean of the natural logarithm of `n` subjects.
    value : float
        Value, limit, middle of an interval, or mean, in `unit`; for "logmean" the mean of the logarithm of numbers in
        `unit`.
    lower, upper : float or None
        Bounds of a censored value, limits of a range, or quartiles (as logarithms for "logmean"), in `unit`.
    sd : float or None
        Standard deviation of ONE subject behind a mean: in `unit` for "mean", of the logarithm for "logmean"; None
        where only the mean is known.
    n : int or None
        Number of subjects behind a mean.
    unit : str
        Unit of `value`; "%ID" is percent of the dose given to the subject so far.
    method, organ, study, stat, occasion, lot, replicate : str
        As in the table; blank if not stated. `stat` is "value", "mean", "median" or "range".
    pre_dose : int
        How many doses of the very time of the record come after it (E3); 0: the value is one after all of them.
    where : str
        File and row, for messages.
    extra : tuple of (str, str)
        Other columns with their text (D15).
    """

    row: int
    subject: str
    time: float
    time_unit: str
    output: str
    kind: Kind
    value: float
    lower: float | None
    upper: float | None
    sd: float | None
    n: int | None
    unit: str
    method: str = ""
    organ: str = ""
    study: str = ""
    stat: str = "value"
    occasion: str = ""
    lot: str = ""
    replicate: str = ""
    pre_dose: int = 0
    where: str = ""
    extra: tuple[tuple[str, str], ...] = ()
