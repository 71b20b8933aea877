"""What one row of a study says."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ASSAY_FIELDS", "COLUMNS", "DOSE_PROPERTIES", "KNOWN_COLUMNS", "QUANTITY_FIELDS", "Decay", "Kind", "Record", "like",
]  # fmt: skip

Kind = Literal["value", "left", "right", "interval", "mean", "logmean", "count"]

Decay = Literal["", "corrected", "corrected here"]

# fields that say more about a value; most records have none of them
ASSAY_FIELDS = (
    "sample", "pooled", "lod", "lloq", "uloq", "truncation", "decay", "organ_mass", "calibration", "calibration_unit",
)  # fmt: skip

# fields that say what was observed, where it is not the output at a time (Q1)
QUANTITY_FIELDS = ("quantity", "versus", "versus_subject", "time_to", "time_from")

# columns of a tidy table with a meaning; all others are kept as text (D15)
COLUMNS = (
    "subject", "time", "time_unit", "output", "value", "unit", "stat", "sd", "n", "lower", "upper",
    "censoring", "lloq", "uloq", "method", "organ", "species", "weight", "weight_unit",
    "dose", "dose_unit", "route", "dose_time", "dose_time_unit", "duration", "duration_unit", "viability",
    "every", "every_unit", "doses", "timed_by", "lot", "occasion", "study", "replicate", "synthetic", "pre_dose",
    "tad",
)  # fmt: skip
# how a value was measured, and what else is known of a dose (T2 to T8)
ASSAY_COLUMNS = (
    "sample", "pooled", "lod", "organ_mass", "organ_mass_unit", "calibration", "calibration_unit",
    "decay_corrected", "half_life", "half_life_unit", "nuclide", "decay_reference", "decay_reference_unit",
    "lod_reaction", "extract_volume", "extract_volume_unit", "reaction_volume", "reaction_volume_unit",
    "tissue_mass", "tissue_mass_unit", "recovery",
)  # fmt: skip
DOSE_PROPERTIES = (
    "viability_thaw", "viability_sd", "infusion_loss", "infusion_loss_sd", "vials", "cells_per_vial", "dose_activity",
    "potency", "potency_sd", "donor", "thaw_time", "filter",
)  # fmt: skip
QUANTITY_COLUMNS = (*QUANTITY_FIELDS, "time_to_unit", "time_from_unit")
KNOWN_COLUMNS = frozenset((*COLUMNS, *ASSAY_COLUMNS, *DOSE_PROPERTIES, *QUANTITY_COLUMNS, "truncation"))


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
        `upper` (B8). "mean": mean of `n` subjects. "logmean": mean of the natural logarithm of `n` subjects. "count":
        `value` of `n` subjects (Q4).
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
    sample : str
        Name of the sample, which several assays may share.
    pooled : int or None
        Number of subjects whose material is in the sample; None for one.
    lod, lloq, uloq : float or None
        Limits of detection and of quantification of the assay, where stated, in `unit` (B14).
    truncation : float or None
        What the value is known not to be below, as rows below it were left out: LIMIT beside CENS 0 (B2), in `unit`.
        Only the method M2 uses it.
    decay : str
        Of radiolabel data (T6): "corrected" as the table says, "corrected here" by its half-life; blank if not stated.
    organ_mass : float or None
        Mass of the organ [g], which turns an amount per gram into one per organ (T7).
    calibration : float or None
        Signal of one unit of what is counted, in `calibration_unit` (T5).
    calibration_unit : str
        Such as "photons/s/cm2/sr/cell".
    extra : tuple of (str, str)
        Other columns with their text (D15).
    quantity : str
        What was observed of the output (Q1), such as "half_life"; blank for the output at `time`.
    versus, versus_subject : str
        Outputs and subject below the line of a ratio; blank if not stated.
    time_to, time_from : float or None
        End of the window that begins at `time`, and the time of a baseline [`time_unit`]; None if not stated.
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
    sample: str = ""
    pooled: int | None = None
    lod: float | None = None
    lloq: float | None = None
    uloq: float | None = None
    truncation: float | None = None
    decay: Decay = ""
    organ_mass: float | None = None
    calibration: float | None = None
    calibration_unit: str = ""
    quantity: str = ""
    versus: str = ""
    versus_subject: str = ""
    time_to: float | None = None
    time_from: float | None = None

    @property
    def observed(self) -> str:
        """What was observed, in words: the output, with the quantity where there is one."""
        return f"{self.output} {self.quantity}" if self.quantity else self.output


def like(template: Record, *varying: str) -> Callable[..., Record]:
    """Return what makes records that differ from a template in a few fields.

    To make a frozen record of so many fields takes longer than to read a row of a long table; this takes half as long.

    Parameters
    ----------
    template : Record
    *varying : str
        Names of the fields that differ; the function takes their values in this order.
    """
    put = {each.name: getattr(Record, each.name).__set__ for each in fields(Record)}
    same = [(put[name], getattr(template, name)) for name in put if name not in varying]
    own = [put[name] for name in varying]

    def make(*values: Any) -> Record:
        record = object.__new__(Record)
        for setter, value in same:
            setter(record, value)
        for setter, value in zip(own, values, strict=True):
            setter(record, value)
        return record

    return make
