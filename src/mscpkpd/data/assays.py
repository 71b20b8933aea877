"""What an assay counts in, and what its numbers need to be comparable: units (T5), decay (T6), limits (T8)."""

from __future__ import annotations

import re

from mscpkpd.errors import UnitError, closest
from mscpkpd.units import scale_factor

__all__ = [
    "HALF_LIVES",
    "PERCENT_OF_DOSE",
    "PERCENT_PER_GRAM",
    "assay_unit",
    "decay_factor",
    "half_life_of",
    "is_share",
    "limit_of_tissue",
]

PERCENT_OF_DOSE = "%ID"
PERCENT_PER_GRAM = "%ID/g"
PERCENT_NAMES = frozenset(
    f"{percent}{what}"
    for percent in ("%", "% ", "percent ", "percent_")
    for what in ("id", "dose", "of dose", "of_dose", "injected dose", "of injected dose", "of the dose")
)
PERCENT_PER_MASS = re.compile(r"(?P<share>.*\S)\s*(?:/|\bper\b)\s*(?P<mass>\w+)", re.IGNORECASE)
GRAM = ("g", "gram", "grams")
# what was weighed or counted is said by the output; the unit is the rest
OF_WHAT = re.compile(r"\s+(?:g?DNA|genomic DNA|tissue|wet tissue|blood|plasma|serum|organ)$", re.IGNORECASE)
SPELLINGS = (
    (re.compile(r"\s+per\s+"), "/"),
    (re.compile(r"^p(?=/s)"), "photons"),
    (re.compile(r"/sec\b"), "/s"),
    (re.compile("²"), "2"),
    (re.compile("³"), "3"),
)
# half-lives of the labels in use [h], recalled from NuDat 3: check yours, and state it where digits matter
HALF_LIVES = {
    "C-11": 0.33940, "Cr-51": 664.86, "Cu-64": 12.701, "F-18": 1.8295, "Ga-67": 78.279, "Ga-68": 1.1285,
    "I-123": 13.224, "I-124": 100.22, "I-125": 1425.8, "I-131": 192.60, "In-111": 67.313, "Lu-177": 159.46,
    "Tc-99m": 6.0072, "Zr-89": 78.41,
}  # fmt: skip


def assay_unit(text: str) -> str:
    """Return the unit of an observation as it is kept (T5).

    Parameters
    ----------
    text : str
        Unit as written; all spellings of percent of dose become "%ID" or "%ID/g". What was weighed or counted is left
        out: "copies/ug DNA" is copies/ug.

    Returns
    -------
    str
        "%ID", "%ID/g", or a unit of measurement.

    Raises
    ------
    UnitError
        For an unknown unit.
    """
    plain = OF_WHAT.sub("", " ".join(text.split()))
    if plain.casefold() in PERCENT_NAMES:
        return PERCENT_OF_DOSE
    per_mass = PERCENT_PER_MASS.fullmatch(plain)
    if per_mass and per_mass["share"].casefold() in PERCENT_NAMES:
        if per_mass["mass"].casefold() not in GRAM:
            raise UnitError(
                f"percent of dose per '{per_mass['mass']}'", expected=PERCENT_PER_GRAM, hint="values per gram"
            )
        return PERCENT_PER_GRAM
    for pattern, replacement in SPELLINGS:
        plain = pattern.sub(replacement, plain)
    scale_factor(plain, plain)  # refuses what is no unit
    return plain


def is_share(unit: str) -> bool:
    """Whether a unit is a share of the dose, which no unit of measurement is."""
    return unit in (PERCENT_OF_DOSE, PERCENT_PER_GRAM)


def half_life_of(nuclide: str) -> float:
    """Return the half-life of a nuclide [h].

    Parameters
    ----------
    nuclide : str
        Such as "In-111", "111In" or "99mTc".

    Raises
    ------
    UnitError
        If it is not in the table.
    """
    bare = re.sub(r"[\s\W_]", "", nuclide).casefold()
    for name, hours in HALF_LIVES.items():
        element, mass = name.casefold().split("-")
        if bare in (f"{element}{mass}", f"{mass}{element}"):
            return hours
    near = closest(nuclide, HALF_LIVES)
    raise UnitError(
        f"no half-life of '{nuclide}' is known", expected=f"one of {', '.join(HALF_LIVES)}",
        hint=" or ".join(near) or "the column 'half_life [h]'",
    )  # fmt: skip


def decay_factor(hours: float, half_life: float) -> float:
    """Return what turns an activity measured `hours` after the reference time into that at the reference time (T6).

    2**(hours/half_life).

    Parameters
    ----------
    hours : float
        Time since the reference time [h].
    half_life : float
        Of the nuclide [h].
    """
    return float(2.0 ** (hours / half_life))


def limit_of_tissue(per_reaction: float, extract: float, reaction: float, mass: float, recovery: float) -> float:
    """Return the limit of detection of a tissue behind that of one reaction (T8).

    LOD_tissue = LOD_reaction * (extract volume/volume per reaction)/(tissue mass * recovery).

    Parameters
    ----------
    per_reaction : float
        Limit of one reaction [copies].
    extract, reaction : float
        Volume of the whole extract, and of what goes into one reaction [same unit].
    mass : float
        Of the tissue that was extracted.
    recovery : float
        Fraction of a spike that is found again; never taken for 1.

    Returns
    -------
    float
        In copies per unit of `mass`.
    """
    return per_reaction * (extract / reaction) / (mass * recovery)
