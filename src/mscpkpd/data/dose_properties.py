"""Properties of a dose beyond amount, route and time: viability, vials, losses, potency (T2, T3)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mscpkpd.data.record import DOSE_PROPERTIES
from mscpkpd.dosing import check_spread
from mscpkpd.errors import DosingError

if TYPE_CHECKING:
    from mscpkpd.data.cells import Reading
    from mscpkpd.data.tables import Row
    from mscpkpd.dosing import Dose

__all__ = [
    "SPREADS",
    "UNUSED",
    "VIALS",
    "Properties",
    "bedside_viability",
    "dose_properties",
    "entering",
    "stated_amount",
    "stated_viability",
    "with_spread",
]

Properties = tuple[tuple[str, str], ...]

FRACTIONS = ("viability_thaw", "viability_sd", "infusion_loss", "infusion_loss_sd")
VIALS = ("vial", "vials")
# of these a model makes nothing: a fit and a simulation say so by name
UNUSED = ("potency", "potency_sd")
SPREADS = ("viability_sd", "infusion_loss_sd")
WORDS = {"viability_sd": "viability", "infusion_loss_sd": "loss"}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?(?![\d,.])")


def dose_properties(reading: Reading, row: Row) -> Properties:
    """Return what a row says about its dose beyond its columns, as text by name; what is impossible is a finding."""
    if row.cells.keys().isdisjoint(DOSE_PROPERTIES) and row.text("dose_unit") not in VIALS:
        return ()
    for name in FRACTIONS:
        reading.fraction(row, name)
    if reading.fraction(row, "infusion_loss") == 1:
        reading.note(row, "infusion_loss", "the whole dose is lost", expected="below 1", hint="dose 0 for no dose")
    for name in ("cells_per_vial", "vials"):
        number = reading.number(row, name)
        if number is not None and number <= 0:
            reading.note(row, name, f"'{row.text(name)}'", expected="a number above 0", hint="NA if it is not known")
    _check_spreads(reading, row)
    reading.above_zero(row, "dose_activity", "MBq", "a header such as 'dose_activity [MBq]'")
    found = [(name, _text(reading, row, name)) for name in DOSE_PROPERTIES if name in row.cells]
    if row.text("dose_unit") in VIALS and "vials" not in row.cells:
        found.append(("vials", row.text("dose")))
    return tuple(sorted(found))


def _text(reading: Reading, row: Row, name: str) -> str:
    """Text of a cell with the unit of its header, so that it can stand alone; numbers with a decimal point."""
    unit, text = reading.table.units.get(name, ""), row.text(name)
    if reading.decimal == "," and DECIMAL_COMMA.match(text):
        text = text.replace(",", ".", 1)
    return f"{text} {unit}".strip()


def _check_spreads(reading: Reading, row: Row) -> None:
    """Refuse an SD that no fraction of its mean has."""
    before = len(reading.findings)
    at_thaw, loss = reading.number(row, "viability_thaw"), reading.number(row, "infusion_loss")
    viable = reading.number(row, "viability")
    stated = {
        "viability_sd": at_thaw if viable is None else viable,
        "infusion_loss_sd": loss,
    }
    for name, mean in stated.items():
        sd = reading.fraction(row, name)
        if len(reading.findings) > before or sd is None or (mean is None and name == "viability_sd"):
            continue  # the viable fraction may be that of the route
        try:
            check_spread(WORDS[name], mean, sd)
        except DosingError as error:
            reading.note(row, name, error.problem, expected=error.expected, hint=error.hint or "NA if it is not known")


def with_spread(dose: Dose, properties: Properties) -> Dose:
    """Return a dose with the uncertainty of its viable fraction and of what is lost (T3)."""
    known = dict(properties)
    if known.keys().isdisjoint(("viability_sd", "infusion_loss_sd", "infusion_loss")) or not dose.gives:
        return dose
    viable_sd = 0.0 if dose.viable is None else float(known.get("viability_sd", 0.0))
    loss, loss_sd = (float(known.get(name, 0.0)) for name in ("infusion_loss", "infusion_loss_sd"))
    try:
        return replace(dose, viable_sd=viable_sd, loss=loss, loss_sd=loss_sd)
    except DosingError:
        return dose  # `dose_properties` has noted why


def entering(reading: Reading, row: Row, amount: float, unit: str) -> tuple[float, str]:
    """Return the amount that leaves the bag, line and filter: vials counted in cells, without what is lost in them.

    Parameters
    ----------
    reading : Reading
        Problems are noted in its findings.
    row : Row
    amount : float
        As stated [`unit`].
    unit : str
        "vials" counts `cells_per_vial`.
    """
    if unit.casefold() in VIALS:
        each = reading.number(row, "cells_per_vial")
        if each is None:
            hint = "a column 'cells_per_vial'"
            reading.note(row, "dose", f"'{row.text('dose')}' vials of unknown content", hint=hint)
            return amount, "cells"
        amount, unit = amount * each, "cells"
    loss = reading.fraction(row, "infusion_loss") or 0.0
    return (float(f"{amount * (1 - loss):.12g}") if loss else amount), unit


def stated_amount(amount: float, properties: Properties) -> float:
    """Return the amount before losses, which a table states (see `entering`)."""
    loss = float(dict(properties).get("infusion_loss", 0.0))
    return float(f"{amount / (1 - loss):.12g}") if loss else amount


def stated_viability(viable: float | None, properties: Properties) -> float | None:
    """Return the viable fraction that a table states at the bedside; None where it was taken from that at thaw (T2)."""
    thaw = dict(properties).get("viability_thaw", "")
    return None if thaw and float(thaw) == viable else viable


def bedside_viability(reading: Reading, row: Row, notes: list[str]) -> float | None:
    """Return the viable fraction at the bedside, else at thaw with a note (T2)."""
    stated = reading.number(row, "viability")
    thaw = reading.fraction(row, "viability_thaw")
    if stated is not None or thaw is None:
        return stated
    notes.append(f"row {row.number}: viable fraction {thaw:g} at thaw is used, none is stated at the bedside (T2)")
    return thaw
