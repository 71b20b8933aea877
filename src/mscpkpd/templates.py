"""Commented templates to fill in: ``mscpkpd new study|doses|cohort|model|schedules FILE``.

Every template can be read as it stands, so that a user changes something that works.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.files import whole_file

__all__ = ["KINDS", "template", "write_template"]

STUDY = """\
# Study: one row for each observation. Lines like this one, above the header, are comments.
# subject   who was observed; the name of the group for a published mean
# time      since the start; the unit stands in brackets and is never guessed: h, d or min
# output    what was observed: a name of the model's outputs (mscpkpd models NAME lists them)
# value     a number; <7.8 and >500 are below and above a limit; blank, . or NA is missing
# unit      of the value: cells, pg/mL, ng/mL, %ID (percent of the dose given so far), ...
# stat      value, or a summary of n subjects: mean with sd and n; median with quartiles in lower and upper, and n;
#           range with limits in lower and upper, and n from 2 to 10
# censoring none, left (limit in upper), right (limit in lower) or interval (lower and upper)
# method    assay; outputs measured by different methods stay apart
# dose      what the subject received; 0 for an untreated control. Several doses: a second table, mscpkpd new doses
# route     iv, ia, ip, im, sc, intratracheal, intra_articular, ...
# Further columns: organ, lloq, lot, occasion, study, replicate, viability (0 to 1), weight [g] for doses per kg; lod
# (value may then be ND, DNQ or BLQ), organ_mass [g] for %ID/g, decay_corrected and half_life [h], sample, pooled:
# docs/measurements.md
# The numbers below are invented: delete these rows.
subject,species,time [h],output,value,unit,stat,sd,n,lower,upper,censoring,method,dose,dose_unit,route,\
dose_time [h],duration [min]
M01,mouse,1,lung_cells,6.1e5,cells,value,,,,,none,qPCR,1e6,cells,iv,0,2
M01,mouse,1,liver_cells,<2000,cells,value,,,,,left,qPCR,1e6,cells,iv,0,2
M02,mouse,24,lung_cells,3.3e5,cells,value,,,,,none,qPCR,1e6,cells,iv,0,2
group of 5,mouse,24,il10,82,pg/mL,mean,30,5,,,none,ELISA,1e6,cells,iv,0,2
"""

DOSES = """\
# Doses: one row for each dose, beside a study. Save it as NAME_doses.csv beside NAME.csv, as a sheet named doses in the
# same Excel file, or name it: read_study("NAME.csv", doses="FILE"). Then the study has no columns of doses.
# subject   as in the study
# time      of the dose, with its unit in brackets
# dose      amount; 0 for an untreated control
# dose_unit cells, or cells/kg (the study then has a column weight [kg]), or vials (with a column cells_per_vial)
# route     iv, ia, ip, im, sc, intratracheal, intra_articular, ...
# duration  of an infusion; blank or 0 is a bolus
# viability fraction of the cells alive at the bedside, 0 to 1; blank if not known (viability_thaw: at thaw)
# every     interval to the next of several equal doses
# doses     how many of them, this one included
# Further columns: infusion_loss (fraction left in bag and line), donor, potency, filter, dose_activity [MBq].
# The numbers below are invented: delete these rows.
subject,time [h],dose,dose_unit,route,duration [min],viability,every [d],doses,lot
M01,0,1e6,cells,iv,2,0.92,7,4,A17
M02,0,1e6,cells,iv,2,0.92,,,A17
M02,240,2e6,cells,iv,2,0.88,,,A18
M03,0,0,cells,iv,,,,,
"""

COHORT = """\
# Cohort: one row for each patient.
# patient   a name without meaning outside your files
# cxcl10_0h CXCL10 before the first infusion; <78 or >5000 beyond the limits of the assay
# unit      of CXCL10: pg/mL, ng/mL, ...
# platform  assay: ELISA, Luminex, MSD, ...
# lloq,uloq limits of quantification, in the same unit
# grade     of acute GVHD: A to D (IBMTR) or I to IV; blank if not known
# liver     1 if involved, 0 if not
# age       years
# response  1 overall response at day 28, 0 none; blank for patients to be scored
# Further columns: cxcl10_24h, centre, trial, plate, child (1 or 0, where the age is not known), delay (days from
# steroids to MSC), basiliximab, ruxolitinib, viral (1 or 0), st2 [pg/mL], reg3a [pg/mL]; replicates of the sample in
# cxcl10_0h_2 to cxcl10_0h_4, with platform_2 and plate_2 where they differ: docs/responder.md
# The patients below are invented: delete these rows and the column synthetic.
patient,cxcl10_0h,unit,platform,lloq,uloq,grade,liver,age,response,synthetic
P01,640,pg/mL,ELISA,78,5000,C,0,44,1,true
P02,<78,pg/mL,ELISA,78,5000,B,0,61,0,true
P03,310,pg/mL,Luminex,,,D,1,9,,true
"""

MODEL = """\
# A model: one row a line; every number with its unit, prior and origin. `mscpkpd check FILE` tests units and names.
# evidence: read (checked against the source), derived, recalled, assumed, review.
# priors: lognormal(median, cv), logitnormal(median, cv), normal(mean, sd), halfnormal(scale), beta(a, b), fixed.
# noise: additive(a), proportional(b), combined1(a, b), combined2(a, b), power(b, c), lognormal(s), student(nu, a),
# student(nu, proportional(b)), boxcox(lam, s), yeojohnson(lam, s), ar1(rho, lognormal(s)), poisson(),
# negbinomial(size).
# The numbers below are examples.

format = 1
name   = "my_model"
title  = "Intravenous MSC: first pass through the lung, loss of viability"
about  = "Say what the model is for and what it leaves out."
time   = "h"

[parameters]
F_v   = { value = 0.9,  unit = "1",   prior = "logitnormal(0.9, 0.08)", \
about = "Viable fraction of the dose", source = "example", evidence = "assumed" }
k_B   = { value = 20,   unit = "1/h", prior = "lognormal(20, 0.8)",     \
about = "Loss of viable cells from blood, all ways", source = "example", evidence = "assumed" }
rho_L = { value = 0.6,  unit = "1",   prior = "logitnormal(0.6, 0.35)", \
about = "Share of that loss that is caught in lung", source = "example", evidence = "assumed" }
k_L   = { value = 0.03, unit = "1/h", prior = "lognormal(0.03, 0.4)",   \
about = "Loss of viable cells from lung", source = "example", evidence = "assumed" }
s     = { value = 0.5,  unit = "1",   prior = "lognormal(0.5, 0.3)",    \
about = "Residual SD, natural-log scale", source = "example", evidence = "assumed" }

[states] # a state may have start = "expression"; otherwise it starts at 0
blood = { unit = "cells", about = "Viable cells in blood" }
lung  = { unit = "cells", about = "Viable cells held in lung" }

[routes] # the fraction of the count that each state receives; "viable" is the viable fraction of the dose
iv            = { into = { blood = "viable" }, viable = "F_v", about = "Vein" }
intratracheal = { into = { lung = "viable" },  viable = "F_v", about = "Airways" }

[rates] # change of each state per unit of time
blood = "-k_B*blood"
lung  = "rho_L*k_B*blood - k_L*lung"

[outputs] # what can be observed; an output without noise can be simulated but not fitted
blood_cells = { is = "blood", unit = "cells", noise = "lognormal(s)", about = "Viable cells in blood" }
lung_cells  = { is = "lung",  unit = "cells", noise = "lognormal(s)", about = "Viable cells in lung" }
"""

SCHEDULES = """\
# Schedules to compare: mscpkpd simulate MODEL --schedules FILE --out DIR
# One table [schedule.NAME] each. Every amount and every time has its unit.
# amount  of each dose: "1e6 cells/kg" (with --weight "70 kg") or "1e8 cells"
# route   iv, ia, ip, im, sc, intratracheal, intra_articular, ...
# at      time of the first dose; "0 h" if left out
# over    duration of an infusion; a bolus if left out
# every   interval, together with doses
# doses   number of doses
# viable  fraction of the cells alive, 0 to 1, if known

[schedule.weekly]
amount = "1e6 cells/kg"
route  = "iv"
over   = "30 min"
every  = "7 d"
doses  = 4

# several parts: [[schedule.NAME]] once for each
[[schedule.boost]]
amount = "1e6 cells/kg"
route  = "iv"
over   = "30 min"
every  = "7 d"
doses  = 4

[[schedule.boost]]
amount = "2e6 cells/kg"
route  = "iv"
at     = "35 d"

# a shipped regimen of an approved product, by name (remove the #):
# [schedule.approved]
# regimen = "ryoncil"
"""

TEXTS = {"study": STUDY, "doses": DOSES, "cohort": COHORT, "model": MODEL, "schedules": SCHEDULES}
KINDS = tuple(TEXTS)
TABLE_ENDINGS = (".csv", ".tsv", ".xlsx")


def template(kind: str) -> str:
    """Return the text of a template.

    Parameters
    ----------
    kind : str
        One of `KINDS`: "study", "doses", "cohort" (CSV), "model", "schedules" (TOML).

    Returns
    -------
    str
        Commented text with invented examples.

    Raises
    ------
    UnknownName
        For another kind.
    """
    if kind not in TEXTS:
        raise UnknownName.among("template", kind, KINDS)
    return TEXTS[kind]


def write_template(kind: str, path: str | Path) -> Path:
    """Write a template to a new file.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    path : str or Path
        New file: .csv, .tsv or .xlsx for study, doses and cohort; .toml for model and schedules.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownName
        For an unknown kind.
    UsageError
        If the file exists, its folder does not, or its ending does not fit.
    """
    path = Path(path)
    text = template(kind)
    endings = (".toml",) if kind in ("model", "schedules") else TABLE_ENDINGS
    ending = path.suffix.casefold()
    if ending not in endings:
        hint = f"{path.stem or kind}{endings[0]}"
        raise UsageError(
            f"'{path.name}' for a {kind}", expected=f"a file that ends with {', '.join(endings)}", hint=hint
        )
    if path.exists():
        raise UsageError("the file exists", where=str(path), hint="another name; templates overwrite nothing")
    with whole_file(path) as part:
        if ending == ".xlsx":
            _write_excel(part, kind, _cells(text))
        elif ending == ".tsv":
            part.write_text("".join("\t".join(row) + "\n" for row in _cells(text)), encoding="utf-8")
        else:
            part.write_text(text, encoding="utf-8")
    return path


def _cells(text: str) -> list[list[str]]:
    lines = text.splitlines()
    comments = [[line] for line in lines if line.startswith("#")]
    table = csv.reader(io.StringIO("\n".join(line for line in lines if not line.startswith("#"))))
    return [*comments, *table]


def _write_excel(path: Path, kind: str, rows: list[list[str]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = kind
    for row in rows:
        sheet.append([_excel_value(cell) for cell in row])
    header = next(number for number, row in enumerate(rows, 1) if not row[0].startswith("#"))
    for cell in sheet[header]:
        cell.font = openpyxl.styles.Font(bold=True)
    sheet.freeze_panes = f"A{header + 1}"
    book.save(path)
    book.close()


def _excel_value(cell: str) -> str | float | None:
    try:
        return float(cell)
    except ValueError:
        return cell or None
