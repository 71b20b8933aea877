"""``mscpkpd fit``: a model and a table become a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table, table_records, warn
from mscpkpd.cli.options import (
    AmountUnit,
    Covariates,
    DataUnit,
    Decimal,
    Dialect,
    Doses,
    Json,
    Layout,
    Observed,
    OrganMass,
    Routes,
    Seed,
    Sheet,
    TimeUnit,
    Values,
)
from mscpkpd.cli.progress import progress
from mscpkpd.cli.provenance import Record
from mscpkpd.cli.words import in_shell_words, read_mapping, read_names, read_quantities, read_rules, read_settings
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place

if TYPE_CHECKING:
    from mscpkpd.fitting.result import Fit

__all__ = ["fit"]

MARK = "provenance.json"  # every run folder holds it
SAMPLING = "For nuts"
UNFINISHED = ".unfinished"  # behind the name of the run: where draws are kept until it is done
RESUME_HELP = "Go on with an interrupted or killed fit of the same name, model, data, options and seed."
SEARCHING = "For least_squares"
STARTS_HELP = "Searches, all but the first from draws of the priors."
BOOTSTRAP_HELP = "Bootstrap samples behind the intervals; 0 for the curvature."
RANDOM_HELP = "Random effects of the fit; none for none. All that the data can tell, unless given."
BLQ_HELP = "What values below the limit of quantification count for: M1 to M7, by output or for all."
COLUMNS = ("parameter", "estimate", "lower", "upper", "unit")
SAMPLED = (("r_hat", ".4f", "R-hat"), ("ess", ".0f", "ESS"), ("learned", ".2f", "learned"))
LIKELIHOOD = (
    ("rse", ".3g", "RSE %"), ("cv", ".3g", "CV %"), ("eta_shrinkage_sd", ".2f", "shrinkage (SD)"),
    ("eta_shrinkage_var", ".2f", "shrinkage (var)"),
)  # fmt: skip


def fit(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A shipped model, or a model file.")],
    data: Annotated[Path, typer.Argument(help="Study table: CSV, Excel or Parquet.")],
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder for the result; an earlier run is replaced.")],
    values: Values = None,
    method: Annotated[
        str, typer.Option(help="nuts, a full posterior; smc; pathfinder; focei, foce, laplace or map; least_squares.")
    ] = "nuts",
    free: Annotated[str | None, typer.Option(metavar="a,b", help="Parameters to learn, and no others.")] = None,
    fix: Annotated[str | None, typer.Option(metavar="a=1,b=2", help="Parameters held, in the model's units.")] = None,
    random: Annotated[str | None, typer.Option(metavar="a,b:lot", help=RANDOM_HELP)] = None,
    blq: Annotated[str | None, typer.Option(metavar="M4|a=M1,b=M5", help=BLQ_HELP)] = None,
    seed: Seed = 0,
    draws: Annotated[int, typer.Option(min=1, help="Draws kept, each chain.", rich_help_panel=SAMPLING)] = 1000,
    tune: Annotated[int, typer.Option(min=1, help="Warm-up draws, each chain.", rich_help_panel=SAMPLING)] = 1000,
    chains: Annotated[int, typer.Option(min=1, help="Number of chains.", rich_help_panel=SAMPLING)] = 4,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP, rich_help_panel=SAMPLING)] = False,
    starts: Annotated[int, typer.Option(min=1, help=STARTS_HELP, rich_help_panel=SEARCHING)] = 1,
    bootstrap: Annotated[int, typer.Option(min=0, help=BOOTSTRAP_HELP, rich_help_panel=SEARCHING)] = 0,
    layout: Layout = "tidy",
    sheet: Sheet = None,
    decimal: Decimal = ".",
    unit: DataUnit = None,
    time_unit: TimeUnit = None,
    amount_unit: AmountUnit = None,
    outputs: Observed = None,
    routes: Routes = None,
    doses: Doses = None,
    covariates: Covariates = None,
    dialect: Dialect = "",
    organ_mass: OrganMass = None,
    as_json: Json = False,
) -> int:
    """Fit a model to a study; the summary says what the data taught about each parameter."""
    record = Record(ctx.obj, seed)
    check_place(out, MARK)
    kept = _draws_place(out, method, resume=resume)
    learned, held = read_names(free, "--free"), read_settings(fix, "--fix")
    varying = False if random == "none" else read_names(random, "--random")
    from mscpkpd.data import read_study
    from mscpkpd.fitting.api import fit as fit_model
    from mscpkpd.modelfile import load_model

    with in_shell_words("values"):
        chosen = load_model(model, values)
    table: dict[str, Any] = {
        "layout": layout, "sheet": sheet, "decimal": decimal, "unit": unit, "time_unit": time_unit,
        "amount_unit": amount_unit, "doses": doses, "dialect": dialect,
        "outputs": read_mapping(outputs, "--outputs"), "routes": read_mapping(routes, "--routes"),
        "organ_mass": read_quantities(organ_mass, "--organ-mass"), "covariates": read_rules(covariates, "--covariates"),
    }  # fmt: skip
    with in_shell_words(*table):
        study = read_study(data, **table)
    with (
        in_shell_words(
            "method", "free", "fix", "random", "blq", "draws", "tune", "chains", "covariates", "starts", "bootstrap"
        ),
        progress(f"{method}, {data.name}") as tell,
        _kept_draws(kept),
    ):
        if method == "nuts":
            tell(0, chains * (draws + tune))  # the sampler is compiled before the first draw
        found = fit_model(
            chosen, study, method, free=learned, fix=held or None, seed=seed, draws=draws, tune=tune, chains=chains,
            progress=tell, random=varying, blq=read_rules(blq, "--blq"), folder=kept, starts=starts,
            bootstrap=bootstrap,
        )  # fmt: skip
    from mscpkpd.report import write_fit_run

    used = (data, doses, model, *(values or "").split(","))
    found = replace(found, settings={**record.content(*used), **found.settings})
    text = "\n".join(_lines(found))
    write_fit_run(found, out, f"{record.command}\n\n{text}\n{found}")
    if kept is not None:
        shutil.rmtree(kept)
    if as_json:
        show_json(_json(found, out))
    else:
        _show(found, out)
    return 0 if found.converged else 3


def _draws_place(out: Path, method: str, *, resume: bool) -> Path | None:
    """Folder of draws beside the run; None for a method that keeps none."""
    if method != "nuts":
        if resume:
            raise UsageError(f"--resume with --method {method}", expected="nuts, whose draws are kept as they come")
        return None
    place = out.absolute().with_name(out.name + UNFINISHED)
    if resume and not place.exists():
        raise UsageError(f"nothing to resume: there is no {place}", hint="the same command without --resume")
    if place.exists() and not resume:
        hint = f"--resume to go on, or remove {place} to start anew"
        raise UsageError("an interrupted fit of this name is kept", where=str(place), hint=hint)
    return place


@contextmanager
def _kept_draws(place: Path | None) -> Iterator[None]:
    """Say where draws are when their sampling is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        if place is not None and place.exists():
            warn(f"mscpkpd: what was drawn is kept in {place}; the same command with --resume goes on")
        raise


def _show(found: Fit, out: Path) -> None:
    say(*_lines(found))
    say(f"Interval: {found.table.attrs.get('interval', '')}\n")
    show_table((*COLUMNS, *(title for _, _, title in _shown(found)), "note"), _rows(found))
    if found.statistics:
        say(", ".join(f"{name} {value:.6g}" for name, value in found.statistics.items()))
    say(*(f"- {note}" for note in found.notes))
    say(f"\nRun folder: {out}. Open {out / 'report.html'}")


def _lines(found: Fit) -> Iterator[str]:
    yield found.verdict
    yield f"{found.method} fit of {found.model.name} to {found.study.name}"
    if found.study.synthetic:
        yield "SYNTHETIC data: not measured"
    yield from (f"note: {note}" for note in found.study.notes)


def _shown(found: Fit) -> tuple[tuple[str, str, str], ...]:
    """Key, form and title of the numbers behind the estimates: those that the method has."""
    table = found.summary()
    of_sampling = () if "rse" in table else SAMPLED
    return (*of_sampling, *(each for each in LIKELIHOOD if each[0] in table))


def _rows(found: Fit) -> Iterator[tuple[str, ...]]:
    for row in table_records(found.summary()):
        row["ess"] = min(row["ess_bulk"], row["ess_tail"])
        numbers = (_number(row[key], form) for key, form, _ in _shown(found))
        estimates = (_number(row[key], ".4g") for key in ("estimate", "lower", "upper"))
        yield (row["parameter"], *estimates, row["unit"], *numbers, row["note"])


def _number(value: float, form: str) -> str:
    return format(value, form) if value == value else ""  # noqa: PLR0124 - nan, the only number unlike itself, is blank


def _json(found: Fit, out: Path) -> dict[str, Any]:
    return {
        "converged": found.converged,
        "verdict": found.verdict,
        "checks": [vars(check) for check in found.checks],
        "method": found.method,
        "model": found.model.name,
        "study": found.study.name,
        "synthetic": found.study.synthetic,
        "interval": found.table.attrs.get("interval", ""),
        "summary": table_records(found.summary()),
        "notes": [*found.study.notes, *found.notes],
        "run": str(out),
    }
