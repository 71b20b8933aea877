"""``mscpkpd score``: probability of response from CXCL10, with what every score must say about itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table, table_records
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.provenance import Record
from mscpkpd.cli.words import in_shell_words
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place, whole_file

if TYPE_CHECKING:
    import pandas as pd

    from mscpkpd.cohort import Cohort
    from mscpkpd.responder import Scorer

__all__ = ["score", "scorer_folder"]

MARK = "provenance.json"
ONE = "One patient, instead of a file"


def score(
    ctx: typer.Context,
    patients: Annotated[Path | None, typer.Argument(help="Cohort table of the patients to score.")] = None,
    *,
    cxcl10: Annotated[str | None, typer.Option(help="Level before the first infusion.", rich_help_panel=ONE)] = None,
    unit: Annotated[str | None, typer.Option(help="Of the level: pg/mL, ng/mL.", rich_help_panel=ONE)] = None,
    platform: Annotated[str | None, typer.Option(help="ELISA, Luminex, MSD, ...", rich_help_panel=ONE)] = None,
    grade: Annotated[str | None, typer.Option(help="Acute GVHD, A to D.", rich_help_panel=ONE)] = None,
    liver: Annotated[str | None, typer.Option(help="1 if involved, 0 if not.", rich_help_panel=ONE)] = None,
    age: Annotated[str | None, typer.Option(help="Years.", rich_help_panel=ONE)] = None,
    responder: Annotated[
        str, typer.Option(metavar="NAME|FILE|DIR", help="A shipped responder model, its file, or a saved scorer.")
    ] = "sr_agvhd_cxcl10",
    cohort: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Patients with known response to learn from.")
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv|DIR", help="Table, or run folder with report.")] = None,
    as_json: Json = False,
) -> int:
    """Score the probability of response of patients from CXCL10 before the first infusion. Research use only."""
    record = Record(ctx.obj, seed)
    as_table = out is not None and out.suffix.casefold() == ".csv"
    if out is not None:
        check_place(out, "" if as_table else MARK)
    covariates = {"grade": grade, "liver": liver, "age": age}
    chosen = _patients(patients, cxcl10, unit, platform, covariates)
    scorer = _scorer(responder, cohort, seed)
    table = scorer.score(chosen, seed=seed)
    if out is not None and as_table:
        _write_table(table, scorer, out)
    elif out is not None:
        from mscpkpd.report import write_score_run

        write_score_run(scorer, table, out, record.content(patients, responder, cohort))
    if as_json:
        show_json(_json(table, scorer, chosen, out))
    else:
        _show(table, scorer, chosen, out)
    return 0 if scorer.ok else 3


def _scorer(responder: str, cohort: Path | None, seed: int) -> Scorer:
    from mscpkpd.cohort import read_cohort
    from mscpkpd.responder import load_responder, load_scorer

    if Path(responder).is_dir():
        if cohort is not None:
            hint = "mscpkpd responder update with all patients: a saved scorer has learned already"
            raise UsageError("--cohort beside a saved scorer", hint=hint)
        return load_scorer(scorer_folder(Path(responder)))
    prior = load_responder(responder)
    return prior.scorer(seed=seed) if cohort is None else prior.update(read_cohort(cohort), seed=seed)


def scorer_folder(folder: Path) -> Path:
    """Return the folder of the scorer: itself, or the part of a run folder that holds it."""
    return folder / "scorer" if (folder / "scorer").is_dir() else folder


def _patients(
    file: Path | None, cxcl10: str | None, unit: str | None, platform: str | None, covariates: dict[str, str | None]
) -> Cohort:
    from mscpkpd.cohort import Cohort, read_cohort

    if (file is None) == (cxcl10 is None):
        problem = "no patient" if file is None else "a file and --cxcl10"
        hint = "mscpkpd score PATIENTS.csv, or --cxcl10 640 --unit pg/mL --platform ELISA"
        raise UsageError(problem, expected="either a table of patients or one level", hint=hint)
    with in_shell_words("unit", "platform"):
        if file is not None:
            stated = [f"--{name}" for name, value in covariates.items() if value is not None]
            if stated:
                raise UsageError(f"{', '.join(stated)} beside a file", hint="a column of the table")
            return read_cohort(file, unit=unit or "", platform=platform or "")
        missing = [f"--{name}" for name, value in (("unit", unit), ("platform", platform)) if value is None]
        if missing:
            hint = "--unit pg/mL --platform ELISA: levels of two assays differ"
            raise UsageError(f"--cxcl10 without {' and '.join(missing)}", hint=hint)
        return Cohort.of_one(str(cxcl10), str(unit), str(platform), **dict[str, Any](covariates))


def _shown(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in table_records(table):
        p, lower, upper, share = (f"{row[key]:.2f}" for key in ("p_response", "lower", "upper", "prior_share"))
        yield (str(row["patient"]), p, f"{lower} to {upper}", share, str(row["flags"]))


def _first_lines(scorer: Scorer, table: pd.DataFrame) -> Iterator[str]:
    if not scorer.ok:
        yield f"NOT RELIABLE: {scorer.check}"
    yield str(table.attrs["banner"])


def _notes(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table.attrs["notes"]))


def _show(table: pd.DataFrame, scorer: Scorer, patients: Cohort, out: Path | None) -> None:
    say(*_first_lines(scorer, table), "")
    say(f"{scorer.definition.title}", f"Outcome: {table.attrs['outcome']}")
    if patients.synthetic:
        say("SYNTHETIC patients: the numbers describe no real patient")
    say(*(f"note: {note}" for note in _notes(table)))
    show_table(("patient", "P(response)", str(table.attrs["interval"]), "prior share", "flags"), _shown(table))
    say("Prior share: 1 means that the score rests on the prior alone, 0 that the cohort leaves nothing open.")
    if out is not None:
        say(f"Wrote {out}")


def _write_table(table: pd.DataFrame, scorer: Scorer, out: Path) -> None:
    """Write the scores; the banner is a column, so that it stays with every row that is copied from the file."""
    with whole_file(out) as part:
        banner = " ".join(_first_lines(scorer, table))
        table.assign(banner=banner).to_csv(part, index=False)


def _json(table: pd.DataFrame, scorer: Scorer, patients: Cohort, out: Path | None) -> dict[str, Any]:
    return {
        "ok": scorer.ok,
        "banner": table.attrs["banner"],
        "check": scorer.check,
        "outcome": table.attrs["outcome"],
        "interval": table.attrs["interval"],
        "synthetic": patients.synthetic,
        "notes": _notes(table),
        "updated": scorer.updated,
        "scores": table_records(table),
        "out": None if out is None else str(out),
    }
