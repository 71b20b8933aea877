"""A patient before the first infusion, and a CXCL10 level that may lie below or above a limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from mscpkpd.parameters import number_text

__all__ = ["GRADES", "PLAUSIBLE", "UNIT", "Level", "Measurement", "Patient"]

UNIT = "pg/mL"
GRADES = "ABCD"
ADULT = 18
# outside these no assay and no disease in the tables of the responder file lies: most likely another unit
PLAUSIBLE = (1.0, 50_000.0)


@dataclass(frozen=True, slots=True)
class Level:
    """One CXCL10 level.

    Attributes
    ----------
    value : float
        Level [pg/mL]; the limit of a censored one.
    censoring : str
        "none", "left" (below `value`) or "right" (above it).
    """

    value: float
    censoring: str = "none"

    def __str__(self) -> str:
        return {"none": "", "left": "<", "right": ">"}[self.censoring] + number_text(self.value)

    @property
    def plausible(self) -> bool:
        """Whether a level of this size has been seen anywhere; if not, the unit is in doubt."""
        low, high = PLAUSIBLE
        return self.value <= high and (self.value >= low or self.censoring == "left")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One more measurement of the sample before the first infusion: a replicate, or a bridge to another platform.

    Attributes
    ----------
    level : Level
        CXCL10.
    platform : str
        Assay platform.
    plate : str
        Plate or run; blank if not given.
    """

    level: Level
    platform: str
    plate: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient before the first infusion; None is "not known".

    Attributes
    ----------
    id : str
        Name of the patient in the table.
    level : Level or None
        CXCL10 before the first infusion.
    platform : str
        Assay platform.
    grade : str or None
        "A" to "D" (IBMTR).
    liver : bool or None
        Liver involved (stage 1 or more).
    age : float or None
        Age [years].
    response : int or None
        1 overall response (CR or PR) at day 28, 0 none.
    level_24h : Level or None
        CXCL10 24 h after the first infusion.
    centre : str
        Treating centre; blank if not given.
    trial : str
        Trial or series; blank if not given.
    plate : str
        Plate or run of the assay of `level`; blank if not given.
    replicates : tuple of Measurement
        More measurements of the same sample.
    delay : float or None
        From the start of steroids to the first infusion [d].
    basiliximab, ruxolitinib : bool or None
        Given together with the cells.
    viral : bool or None
        Viral infection or reactivation at the sample.
    minor : bool or None
        Whether the patient is below 18 years of age, where the age itself is not known.
    st2, reg3a : float or None
        Companion markers before the first infusion [pg/mL].
    synthetic : bool
        Whether the patient is invented.
    row : int
        Row in the file.
    """

    id: str
    level: Level | None
    platform: str
    grade: str | None = None
    liver: bool | None = None
    age: float | None = None
    response: int | None = None
    level_24h: Level | None = None
    centre: str = ""
    synthetic: bool = False
    trial: str = ""
    plate: str = ""
    replicates: tuple[Measurement, ...] = ()
    delay: float | None = None
    basiliximab: bool | None = None
    ruxolitinib: bool | None = None
    viral: bool | None = None
    minor: bool | None = None
    st2: float | None = None
    reg3a: float | None = None
    row: int = field(default=0, compare=False)

    @property
    def child(self) -> bool | None:
        """Whether the patient is below 18 years of age."""
        return self.minor if self.age is None else self.age < ADULT
