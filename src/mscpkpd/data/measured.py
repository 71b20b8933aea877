"""What a row says about how its value was measured: sample, limits, decay, mass of the organ, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mscpkpd.data.assays import decay_factor, half_life_of, is_share, limit_of_tissue
from mscpkpd.errors import UnitError
from mscpkpd.units import parse_unit, scale_factor

if TYPE_CHECKING:
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.record import Decay
    from mscpkpd.data.tables import Row

__all__ = ["COLUMNS", "corrected_for_decay", "detection_limit", "measured_how"]

OF_ASSAY = frozenset(("sample", "pooled", "calibration", "organ_mass"))
OF_DECAY = frozenset(("decay_corrected", "half_life", "nuclide", "decay_reference"))
OF_REACTION = ("lod_reaction", "extract_volume", "reaction_volume", "tissue_mass", "recovery")
COLUMNS = frozenset((*OF_ASSAY, *OF_DECAY, *OF_REACTION))
YES, NO = ("yes", "true", "1", "y"), ("no", "false", "0", "n")
MOST_HALF_LIVES = 50  # a quadrillionth is left: nobody measures that
HALF_LIFE_HINT = "a column 'half_life [h]', or 'nuclide' with a name such as In-111"
MASS_HINT = "a header such as 'organ_mass [g]'"


def measured_how(reading: Reading, row: Row) -> dict[str, Any]:
    """Return sample, pool, mass of the organ and calibration as fields of a `Record`; empty where none is stated."""
    found: dict[str, Any] = {}
    mass = reading.above_zero(row, "organ_mass", "g", MASS_HINT)
    if mass is None and reading.masses:
        mass = reading.masses.get(row.text("organ")) or reading.masses.get(row.text("output"))
    if mass is not None:
        found["organ_mass"] = mass
    if row.cells.keys().isdisjoint(OF_ASSAY):
        return found
    if "sample" in row.cells:
        found["sample"] = row.text("sample")
    if "pooled" in row.cells:
        found["pooled"] = reading.whole(row, "pooled")
    if "calibration" in row.cells:
        found |= _calibration(reading, row)
    return found


def _calibration(reading: Reading, row: Row) -> dict[str, Any]:
    """Signal of one unit of what is counted (T5)."""
    stated = reading.quantity(row, "calibration")
    if stated is None:
        return {}
    number, unit = stated
    hint = "a header such as 'calibration [photons/s/cm2/sr/cell]'"
    if not unit:
        reading.note(row, "calibration", f"'{row.text('calibration')}' has no unit (T5)", hint=hint)
    elif number <= 0:
        reading.note(row, "calibration", f"'{row.text('calibration')}'", expected="a number above 0", hint="NA if none")
    else:
        try:
            parse_unit(unit)
        except UnitError as error:
            reading.note(row, "calibration", error.problem, expected=error.expected, hint=error.hint)
            return {}
    return {"calibration": number, "calibration_unit": unit}


def corrected_for_decay(reading: Reading, row: Row, hours: float) -> tuple[float, Decay]:
    """Return the factor of a value of radiolabel, and what became of its decay (T6).

    Parameters
    ----------
    reading : Reading
        Problems are noted in its findings.
    row : Row
    hours : float
        Time of the row [h]. The reference time is `decay_reference`, else that of the dose in the row, else 0.

    Returns
    -------
    factor : float
        1 where the table says that values are corrected, or nothing.
    decay : str
        As in `Record`.
    """
    if row.cells.keys().isdisjoint(OF_DECAY):
        return 1.0, ""
    word = row.text("decay_corrected").casefold()
    if word not in (*YES, *NO):
        said = f"'{row.text('decay_corrected')}'" if word else "not stated beside a half-life or a nuclide"
        reading.note(
            row, "decay_corrected", f"{said} (T6)", expected="yes or no", hint="no: it is corrected here, once"
        )
        return 1.0, ""
    if word in YES:
        return 1.0, "corrected"
    half_life = _half_life(reading, row)
    column = next((name for name in ("decay_reference", "dose_time") if name in row.cells), "")
    reference = reading.hours(row, column, reading.unit(row, "time")) if column else 0.0
    if half_life is None or reference is None:
        return 1.0, ""
    if abs(hours - reference) > MOST_HALF_LIVES * half_life:
        problem = f"more than {MOST_HALF_LIVES} half-lives from the reference time (T6)"
        reading.note(row, "time", problem, hint="the half-life and its unit; decay_corrected yes if it is")
        return 1.0, ""
    return decay_factor(hours - reference, half_life), "corrected here"


def _half_life(reading: Reading, row: Row) -> float | None:
    if "half_life" in row.cells:
        return reading.above_zero(row, "half_life", "h", "a header such as 'half_life [h]'")
    if "nuclide" not in row.cells:
        reading.note(row, "decay_corrected", "no, and no half-life is stated (T6)", hint=HALF_LIFE_HINT)
        return None
    try:
        return half_life_of(row.text("nuclide"))
    except UnitError as error:
        reading.note(row, "nuclide", error.problem, expected=error.expected, hint=error.hint)
        return None


def detection_limit(reading: Reading, row: Row, unit: str) -> float | None:
    """Return the limit of detection in the unit of the value; that of one reaction becomes that of the tissue (T8)."""
    stated = reading.number(row, "lod")
    if "lod_reaction" not in row.cells:
        return stated
    if stated is not None:
        reading.note(row, "lod_reaction", "a limit per reaction beside one per tissue (T8)", hint="one of them")
        return None
    missing = [column for column in OF_REACTION if column not in row.cells]
    if missing:
        hint = "recovery of a spike is measured, never taken for 1" if "recovery" in missing else "all five of them"
        reading.note(row, "lod_reaction", f"without {', '.join(missing)} (T8)", hint=hint)
        return None
    copies, recovery = reading.number(row, "lod_reaction"), reading.fraction(row, "recovery")
    if recovery == 0:
        reading.note(
            row, "recovery", "nothing is recovered (T8)", expected="a fraction above 0", hint="that of a spike"
        )
    volumes = [
        reading.above_zero(row, column, "uL", f"a header such as '{column} [uL]'") for column in OF_REACTION[1:3]
    ]
    mass = reading.above_zero(row, "tissue_mass", "mg", "a header such as 'tissue_mass [mg]'")
    if copies is None or not recovery or None in volumes or mass is None:
        return None
    extract, reaction = (volume or 0.0 for volume in volumes)
    return _in_unit(reading, row, unit, limit_of_tissue(copies, extract, reaction, mass, recovery))


def _in_unit(reading: Reading, row: Row, unit: str, per_mg: float) -> float | None:
    counted = reading.table.units.get("lod_reaction", "copies")
    if is_share(unit):
        problem = f"a limit per reaction beside a value in {unit} (T8)"
        reading.note(row, "lod_reaction", problem, expected="values such as copies/mg", hint="the limit in 'lod'")
        return None
    try:
        return per_mg * scale_factor(f"{counted}/mg", unit)
    except UnitError as error:
        reading.note(row, "lod_reaction", error.problem, expected=error.expected, hint=error.hint)
        return None
