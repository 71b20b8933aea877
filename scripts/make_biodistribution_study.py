# ruff: noqa: INP001 (a script, not a package)
"""Write the study table and the table of what is left out, from the table of published facts.

    python scripts/make_biodistribution_study.py [FOLDER]

Reads models/data/biodistribution_evidence.csv; writes biodistribution_study.csv, which `mscpkpd fit` reads, and
biodistribution_excluded.csv into the same folder, or into FOLDER. Every fact is in exactly one of the two. Numbers are
copied, never typed: what a row of the study says beyond its fact (the output, the window of a half-life) is here.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parents[1] / "models" / "data"
FACTS = DATA / "biodistribution_evidence.csv"
STUDY, EXCLUDED = "biodistribution_study.csv", "biodistribution_excluded.csv"

COLUMNS = (
    "fact", "study", "subject", "species", "route", "dose", "dose_unit", "viability", "time", "time_to",
    "time_from", "time_unit", "output", "quantity", "value", "unit", "stat", "sd", "n", "lower", "upper", "organ",
    "method", "source", "evidence", "note",
)  # fmt: skip
LEFT_OUT = ("fact", "study", "species", "organ", "time_h", "quantity", "quantity_detail", "use", "provenance", "reason")

# columns of the facts that are copied into the study under the name on the right
COPIED = {"study": "study", "species": "species", "organ": "organ", "method": "method", "reference": "source",
          "provenance": "evidence", "note": "note"}  # fmt: skip
CULTURE = {"lung": "lung", "liver": "liver", "spleen": "spleen", "kidney": "kidney", "bone_marrow": "marrow",
           "blood": "blood"}  # fmt: skip
NOMINAL = "1e6"  # cells; where no dose is given, the observation does not depend on it
NO_DOSE = "dose not given: 1e6 is nominal, the quantity does not depend on it"
FIRST_HALF = "window of the half-life not given: taken from 1 h to one reported half-life later"

# reasons for facts that could enter a likelihood and are not fitted with this model
DEPOT = "local dose: informs no parameter of the lung, of release or of label transfer, and the model has no"
REASONS = {
    "shim_2015": f"{DEPOT} depot beside a muscle; a mean residence time is no quantity of a row",
    "toupet_2013": f"{DEPOT} second phase of a depot, which 15 % at a month and 1.5 % at six months need",
    "li_yan_2007": f"{DEPOT} washout at injection; a flat label of dead and living cells has no rate in it",
    "sole_2012": "regional limb perfusion under a tourniquet, in horses: no such route and no numbers of that species",
    "francois_2014": "organ within the rest of the body: its share of the rest is not in the model, and a row for each "
    "unknown share would say nothing about anything else",
}


def facts() -> list[dict[str, str]]:
    """All facts, with their line in the file."""
    with FACTS.open(encoding="utf-8", newline="") as file:
        return [{"fact": str(line), **row} for line, row in enumerate(csv.DictReader(file), 2)]


def study_row(fact: dict[str, str]) -> dict[str, str] | None:
    """The fact as a row of the study; None where it is not fitted."""
    make = {
        "gholamrezanezhad_2011": _human_label, "assis_2010": _rat_label, "eggenhofer_2012": _reculture,
        "francois_2014": _detected, "lee_2009": _half_life, "wuttisarnwattana_2020": _half_life, "toma_2009": _arrested,
    }.get(fact["study"])  # fmt: skip
    own = make(fact) if make and fact["use"] == "fit" else None
    if own is None:
        return None
    row = dict.fromkeys(COLUMNS, "") | {"fact": fact["fact"]} | {new: fact[old] for old, new in COPIED.items()}
    row |= {"subject": fact["study"], "route": "iv", "dose": fact["dose"] or NOMINAL, "dose_unit": "cells",
            "time": fact["time_h"], "time_unit": "h", "n": fact["n"], "stat": "value"}  # fmt: skip
    said = [text for text in (row["note"], own.pop("remark", "")) if text]
    return row | own | {"note": "; ".join(said)}


def _human_label(fact: dict[str, str]) -> dict[str, str]:
    midpoint = (float(fact["dose_low"]) + float(fact["dose_high"])) / 2
    return {"dose": f"{midpoint:g}", "output": f"{fact['organ']}_label", "value": fact["value"], "unit": "%ID",
            "stat": "range", "lower": fact["lower"], "upper": fact["upper"],
            "remark": "dose is the midpoint of 2.5e8 to 4e8, percentages do not depend on it"}  # fmt: skip


def _rat_label(fact: dict[str, str]) -> dict[str, str]:
    return {"output": "lung_label", "value": fact["value"], "unit": "%ID"}


def _reculture(fact: dict[str, str]) -> dict[str, str]:
    return {"output": f"{CULTURE[fact['organ']]}_cells", "quantity": "present", "value": fact["value"], "n": "1"}


def _detected(fact: dict[str, str]) -> dict[str, str] | None:
    if fact["organ"] not in CULTURE:
        return None
    return {"output": f"{CULTURE[fact['organ']]}_qPCR", "quantity": "positive", "value": fact["n_positive"]}


def _half_life(fact: dict[str, str]) -> dict[str, str]:
    output = {"lung": "lung_qPCR", "whole_body": "body_cells"}[fact["organ"]]
    remark = FIRST_HALF if fact["dose"] else f"{FIRST_HALF}; {NO_DOSE}"
    return {"output": output, "quantity": "half_life", "time": "1", "time_to": f"{1 + float(fact['value']):g}",
            "value": fact["value"], "unit": fact["unit"], "remark": remark}  # fmt: skip


def _arrested(fact: dict[str, str]) -> dict[str, str]:
    own = {
        "route": "ia",
        "output": "bed_cells",
        "viability": "1",
        "remark": f"{NO_DOSE}; viability 1: cells were followed one by one",
    }
    if fact["sd"]:
        return own | {"value": fact["value"], "unit": "%ID", "stat": "mean", "sd": fact["sd"]}
    return own | {"quantity": "fold_change", "time_from": "0", "value": f"{float(fact['value']) / 100:g}"}


def reason(fact: dict[str, str]) -> str:
    """Why a fact is not fitted."""
    return REASONS[fact["study"]] if fact["use"] == "fit" else fact["use_reason"]


def tables() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows of the study, and rows of what is left out."""
    known = facts()
    fitted = [row for row in map(study_row, known) if row is not None]
    done = {row["fact"] for row in fitted}
    left = [{name: {**fact, "reason": reason(fact)}[name] for name in LEFT_OUT} for fact in _others(known, done)]
    return fitted, left


def _others(known: list[dict[str, str]], done: set[str]) -> Iterator[dict[str, str]]:
    return (fact for fact in known if fact["fact"] not in done)


def write(folder: Path) -> None:
    """Write both tables."""
    for name, columns, rows in zip((STUDY, EXCLUDED), (COLUMNS, LEFT_OUT), tables(), strict=True):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
