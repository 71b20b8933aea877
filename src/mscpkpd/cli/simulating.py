"""``mscpkpd simulate``: schedules become trajectories, in a table or a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table, table_records
from mscpkpd.cli.options import Covariates, Decimal, Dialect, Json, Seed, Values
from mscpkpd.cli.progress import progress
from mscpkpd.cli.provenance import Record
from mscpkpd.cli.words import in_shell_words, read_names, read_numbers, read_rules, read_settings
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.files import check_place, whole_file

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from mscpkpd.dosing import Regimen
    from mscpkpd.model import Model

__all__ = ["simulate"]

MARK = "provenance.json"
OTHER_TABLES = (".xlsx", ".xls", ".tsv", ".txt", ".parquet", ".json", ".nc")
AFTER_LAST_DOSE = 28 * 24.0  # hours simulated where nothing else is asked
MOST_NUMBERS = 300_000_000  # 2.4 GB
GIVEN, WHO, WHEN = "What is given: one of --dose, --regimen, --schedules, --events, --untreated", "To whom", "When"


@dataclass(frozen=True)
class Given:
    """The options that say what is given."""

    dose: str | None
    route: str | None
    over: str | None
    every: str | None
    doses: int | None
    regimen: str | None
    schedules: Path | None
    events: Path | None
    untreated: bool


def simulate(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A shipped model, or a model file.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.csv|DIR", help="Table, or run folder with report.")],
    values: Values = None,
    settings: Annotated[
        str | None, typer.Option("--set", metavar="a=1,b=2", help="Other values, in the model's units.")
    ] = None,
    dose: Annotated[str | None, typer.Option(help='Each dose: "2e6 cells/kg".', rich_help_panel=GIVEN)] = None,
    route: Annotated[str | None, typer.Option(help="iv, ip, im, ...", rich_help_panel=GIVEN)] = None,
    over: Annotated[str | None, typer.Option(help='Duration: "1 h"; else a bolus.', rich_help_panel=GIVEN)] = None,
    every: Annotated[str | None, typer.Option(help='Interval: "84 h".', rich_help_panel=GIVEN)] = None,
    doses: Annotated[int | None, typer.Option(help="Number of doses.", rich_help_panel=GIVEN)] = None,
    regimen: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A shipped regimen, or its file.", rich_help_panel=GIVEN)
    ] = None,
    schedules: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Schedules to compare.", rich_help_panel=GIVEN)
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="NONMEM-style event table.", rich_help_panel=GIVEN)
    ] = None,
    untreated: Annotated[
        bool, typer.Option("--untreated", help="No dose: the model runs by itself.", rich_help_panel=GIVEN)
    ] = False,
    weight: Annotated[str | None, typer.Option(help='Body weight: "70 kg".', rich_help_panel=WHO)] = None,
    fit: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Draw parameters from this fit.", rich_help_panel=WHO)
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Draws from the fit, else from the priors.", rich_help_panel=WHO)
    ] = None,
    subjects: Annotated[int, typer.Option(min=1, help="Subjects, each different.", rich_help_panel=WHO)] = 1,
    until: Annotated[
        str | None, typer.Option(help='End: "28 d"; else 28 d after the last dose.', rich_help_panel=WHEN)
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(metavar="0,1,2.5", help="Exact ascending times, model time unit.", rich_help_panel=WHEN),
    ] = None,
    step: Annotated[str | None, typer.Option(help='Regular grid: "1 h".', rich_help_panel=WHEN)] = None,
    outputs: Annotated[str | None, typer.Option(metavar="a,b", help="Columns wanted; all by default.")] = None,
    decimal: Decimal = ".",
    covariates: Covariates = None,
    dialect: Dialect = "",
    rows: Annotated[
        str, typer.Option(metavar="observed|all", help="all: a row for each row of --events, with TAD and PRED.")
    ] = "observed",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Simulate dosing schedules over subjects and parameter draws."""
    record = Record(ctx.obj, seed)
    as_table = _is_table(out)
    check_place(out, "" if as_table else MARK)
    asked = Given(dose, route, over, every, doses, regimen, schedules, events, untreated)
    _check_given(asked)
    grid = _times(times, step, until)
    wanted, changes = read_names(outputs, "--outputs"), read_settings(settings, "--set")
    rules = read_rules(covariates, "--covariates")
    if rules is not None and events is None:
        raise UsageError("--covariates without --events", hint="--set a=1 for one value")
    if events is not None:
        others = {"--fit": fit, "--draws": draws, "--until": until, "--step": step}
        _check_beside_events([name for name, value in others.items() if value is not None], subjects, as_table=as_table)
        chosen, _ = _model(model, values, None)
        how: dict[str, Any] = {
            "outputs": wanted, "times": grid, "weight": weight, "decimal": decimal, "dialect": dialect, "rows": rows,
            "covariates": rules,
        }  # fmt: skip
        return _rows(_changed(chosen, changes), events, how, out, as_json=as_json)
    alone = "--dialect" if dialect else "--rows" if rows != "observed" else ""
    if alone:
        raise UsageError(f"{alone} without --events", expected="what goes with an event table", hint="--events FILE")
    from mscpkpd.simulation import simulate as run

    chosen, source = _model(model, values, fit)
    changed = _changed(chosen, changes)
    given = _schedules(asked)
    end = until or f"{max(regimen.end for regimen in given.values()) + AFTER_LAST_DOSE:g} h"
    count = draws or (100 if fit else 1)
    _check_size(changed, given, wanted, subjects * count, grid, step, end)
    with in_shell_words("weight", "until", "step", "draws", "subjects"), progress("simulating") as tell:
        sims = run(
            changed, given, draws=source or draws, n_draws=count, subjects=subjects, weight=weight, until=end,
            times=grid, step=step, outputs=wanted, seed=seed, progress=tell,
        )  # fmt: skip
    exposures = _exposures(sims)
    if as_table:
        _write_table(sims, out)
    else:
        from mscpkpd.report import write_simulation_run

        content = record.content(model, *(values or "").split(","), schedules, regimen, fit and fit / MARK)
        write_simulation_run(sims, exposures, out, {**content, "set": changes})
    failed, solves = int(sims.attrs["failures"]), int(sims["failed"].size)
    verdict = f"NOT COMPLETE: {failed} of {solves} solves failed; their rows are blank" if failed else ""
    if as_json:
        show_json(_json(sims, exposures, out, verdict))
    else:
        _show(sims, exposures, changed.output_names, out, verdict)
    return 3 if failed else 0


# ---- what is asked -----------------------------------------------------------------------------------------------


def _is_table(out: Path) -> bool:
    ending = out.suffix.casefold()
    if ending in OTHER_TABLES:
        raise UsageError(f"'{out.name}' ends with {ending}", where="--out", expected="FILE.csv, or a folder")
    return ending == ".csv"


def _check_given(given: Given) -> None:
    ways = {"--dose": given.dose, "--regimen": given.regimen, "--schedules": given.schedules, "--events": given.events}
    chosen = [name for name, value in ways.items() if value is not None] + ["--untreated"] * given.untreated
    if len(chosen) != 1:
        problem = f"{' and '.join(chosen)} together" if chosen else "nothing is given"
        raise UsageError(
            problem,
            expected="one of --dose, --regimen, --schedules, --events, --untreated",
            hint='--dose "2e6 cells/kg" --route iv',
        )
    details = {"--route": given.route, "--over": given.over, "--every": given.every, "--doses": given.doses}
    extra = [name for name, value in details.items() if value is not None]
    if given.dose is None and extra:
        raise UsageError(f"{', '.join(extra)} together with {chosen[0]}", expected="these only with --dose")
    if given.dose is not None and given.route is None:
        raise UsageError("--dose without --route", hint="--route iv; mscpkpd models MODEL lists the routes")


def _times(times: str | None, step: str | None, until: str | None) -> list[float] | None:
    if times is None:
        return None
    if step is not None or until is not None:
        other = "--step" if step is not None else "--until"
        raise UsageError(f"--times and {other} together", expected="one of them: --times says where every row stands")
    return read_numbers(times, "--times")


def _schedules(given: Given) -> dict[str, Regimen]:
    from mscpkpd.dosing import Regimen, infusion, read_schedules
    from mscpkpd.modelfile import load_regimen

    if given.untreated:
        return {"untreated": Regimen()}
    if given.schedules is not None:
        return read_schedules(given.schedules, load_regimen)
    if given.regimen is not None:
        regimen = load_regimen(given.regimen)
        return {regimen.name: regimen}
    with in_shell_words("route", "over", "every", "doses", amount="dose"):
        made = infusion(str(given.dose), str(given.route), given.over or "0 h", every=given.every, doses=given.doses)
    return {"schedule": made}


def _model(name: str, values: str | None, fit: Path | None) -> tuple[Model, Any]:
    """Return the model and the fit to draw from; with a fit and no values of its own, the model as fitted."""
    from mscpkpd.modelfile import declaration, load_model

    if fit is None:
        with in_shell_words("values"):
            return load_model(name, values), None
    from mscpkpd.fitting.api import load_fit

    found = load_fit(fit)
    if values is not None:
        with in_shell_words("values"):
            return load_model(name, values), found
    if (declared := declaration(name).name) != found.model.name:
        raise UsageError(
            f"{fit} is a fit of {found.model.name}, not of {declared}", hint="that model, or another --fit"
        )
    return found.model, found


def _changed(model: Model, changes: Mapping[str, float]) -> Model:
    for name, value in changes.items():
        if name not in model.parameter_names:
            raise UnknownName.among("parameter", name, model.parameter_names, where="--set")
        parameter = model.parameter(name)
        if value != 0 and parameter.prior.is_free and not parameter.prior.holds(value):
            raise UsageError(f"{name}={value:g}", where="--set", expected=f"a value inside {parameter.prior}")
    return model.fix(**changes) if changes else model


def _check_size(  # noqa: PLR0917 - the numbers that multiply to the size
    model: Model,
    given: Mapping[str, Regimen],
    wanted: tuple[str, ...] | None,
    paths: int,
    grid: list[float] | None,
    step: str | None,
    end: str,
) -> None:
    """Refuse what would not fit into the memory of a laptop."""
    from mscpkpd.units import to_unit

    columns = len(wanted or {*model.output_names, *model.state_names})
    with in_shell_words("until", "step"):
        width = to_unit(step, "h") if step else 0.0
        points = len(grid) if grid else to_unit(end, "h") / width if width > 0 else 400
    numbers = len(given) * paths * points * columns
    if numbers > MOST_NUMBERS:
        size = f"{len(given)} schedules, {paths} subjects x draws, {points:.0f} times, {columns} columns"
        raise UsageError(
            f"{size}: {numbers:.1g} numbers",
            expected=f"at most {MOST_NUMBERS:.0g}",
            hint="fewer --subjects or --draws, a longer --step, or --outputs a,b",
        )


# ---- event tables ------------------------------------------------------------------------------------------------


def _check_beside_events(beside: list[str], subjects: int, *, as_table: bool) -> None:
    beside = [*beside, *(["--subjects"] if subjects != 1 else [])]
    if beside:
        raise UsageError(
            f"{', '.join(beside)} beside --events", expected="subjects, doses and times of the table alone"
        )
    if not as_table:
        raise UsageError("--events makes a table", where="--out", expected="FILE.csv")


def _rows(model: Model, events: Path, how: Mapping[str, Any], out: Path, *, as_json: bool) -> int:
    """Write the row output of an event table (conventions, section 8)."""
    from mscpkpd.event_output import simulate_events

    with in_shell_words("weight", "decimal", "dialect", "rows", "times", "covariates"):
        rows = simulate_events(model, events, **how)
    with whole_file(out) as part:
        rows.to_csv(part, index=False, lineterminator="\n")
    failures: list[str] = rows.attrs["failures"]
    verdict = f"NOT COMPLETE: {len(failures)} solves failed; their rows are blank" if failures else ""
    notes = rows.attrs["notes"]
    if as_json:
        facts = {"complete": not verdict, "verdict": verdict or "every solve succeeded", "out": str(out)}
        units = rows.attrs["units"]
        covariates = rows.attrs["covariates"]
        told = {"failures": failures, "notes": list(notes), "covariates": covariates}
        show_json({**facts, "rows": len(rows), "units": units, **told})
    else:
        say(*([verdict, *failures[:10]] if verdict else []))
        say(f"{model.name}: {_count(len(rows), 'row')} of {_count(rows['ID'].nunique(), 'subject')}")
        say(*(f"  note: {note}" for note in notes), f"Wrote {out}")
    return 3 if failures else 0


# ---- what is found -----------------------------------------------------------------------------------------------


def _names(sims: xr.Dataset) -> list[str]:
    return [str(name) for name in sims.data_vars if name != "failed"]


def _exposures(sims: xr.Dataset) -> pd.DataFrame:
    """Exposure to every column, one below the other; empty where there is one time only."""
    import pandas as pd

    from mscpkpd.exposures import exposure

    if sims.sizes["time"] < 2:
        return pd.DataFrame()
    tables = [exposure(sims, name).assign(output=name) for name in _names(sims)]
    return pd.concat(tables, ignore_index=True).pipe(lambda table: table[["output", *table.columns[:-1]]])


def _write_table(sims: xr.Dataset, out: Path) -> None:
    """Write one row for each schedule, subject, draw and time, without holding all of them as text."""
    with whole_file(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        for number, rows in enumerate(_frames(sims)):
            rows.to_csv(file, index=False, header=number == 0, lineterminator="\n")


def _frames(sims: xr.Dataset) -> Iterator[pd.DataFrame]:
    import numpy as np
    import pandas as pd

    names, times, draws = _names(sims), sims["time"].to_numpy(), sims["draw"].to_numpy()
    for s, schedule in enumerate(sims["schedule"].to_numpy()):
        for i, subject in enumerate(sims["subject"].to_numpy()):
            columns = {
                "schedule": schedule,
                "subject": subject,
                "draw": np.repeat(draws, len(times)),
                "time": np.tile(times, len(draws)),
            }
            yield pd.DataFrame({**columns, **{name: sims[name].to_numpy()[s, i].reshape(-1) for name in names}})


def _show(sims: xr.Dataset, exposures: pd.DataFrame, outputs: tuple[str, ...], out: Path, verdict: str) -> None:
    if verdict:
        say(verdict)
    counts = ", ".join(_count(sims.sizes[name], name) for name in ("schedule", "subject", "draw", "time"))
    say(f"{sims.attrs['model']}: {counts}; from {sims.attrs['parameters']}")
    if len(exposures):
        peaks = exposures[(exposures["metric"] == "peak") & exposures["output"].isin(outputs)]
        say("Peak: median, and 95 % of subjects and draws" if peaks["n"].max() > 1 else "Peak")
        schedules = list(dict.fromkeys(peaks["schedule"]))
        priors = _prior_only(sims)
        header = ("output", "unit", *schedules, *(["prior only"] if priors else []))
        show_table(header, _peak_rows(peaks, schedules, priors))
        if priors:
            say("Prior only: parameters behind this output of which the fitted data say nothing.")
    say(f"Wrote {out}" if _is_table(out) else f"Run folder: {out}. Open {out / 'report.html'}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _prior_only(sims: xr.Dataset) -> dict[str, str]:
    """Parameters that are drawn from their prior, by the output that rests on them."""
    texts = {name: str(sims[name].attrs.get("prior_only", "")) for name in _names(sims)}
    return {name: text for name, text in texts.items() if text}


def _peak_rows(peaks: pd.DataFrame, schedules: list[str], priors: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for output, rows in peaks.groupby("output", sort=False):
        cells = {row["schedule"]: _peak(row) for row in table_records(rows)}
        only = [priors.get(str(output), "")] if priors else []
        yield (str(output), str(rows["unit"].iloc[0]), *(cells[name] for name in schedules), *only)


def _peak(row: Mapping[str, Any]) -> str:
    spread = f" ({row['lower']:.3g} to {row['upper']:.3g})" if row["n"] > 1 else ""
    return f"{row['median']:.3g}{spread}"


def _json(sims: xr.Dataset, exposures: pd.DataFrame, out: Path, verdict: str) -> dict[str, Any]:
    return {
        "complete": not verdict,
        "verdict": verdict or "every solve succeeded",
        "out": str(out),
        "sizes": {str(name): size for name, size in sims.sizes.items()},
        "units": {"time": sims["time"].attrs["units"], **{name: sims[name].attrs["units"] for name in _names(sims)}},
        "parameters": sims.attrs["parameters"],
        "prior_only": _prior_only(sims),
        "exposures": table_records(exposures),
    }
