"""``mscpkpd nca``: non-compartmental analysis of a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table, table_records
from mscpkpd.cli.options import AmountUnit, DataUnit, Decimal, Dialect, Doses, Json, Layout, OrganMass, Sheet, TimeUnit
from mscpkpd.cli.words import in_shell_words, read_mapping, read_names, read_quantities
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place, whole_file

if TYPE_CHECKING:
    import pandas as pd

    from mscpkpd.data import Study

__all__ = ["nca"]

HOW = "How it is computed"
SHOWN = ("cmax", "tmax", "auc_last", "auc_inf_obs", "half_life", "cl")
MOST_ROWS = 40


def nca(
    data: Annotated[Path, typer.Argument(help="Study table.")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="All parameters, with reasons.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Profiles and terminal phases.")] = None,
    areas: Annotated[
        str, typer.Option(help="linear_up_log_down or linear.", rich_help_panel=HOW)
    ] = "linear_up_log_down",
    blq: Annotated[str, typer.Option(help="Below the limit: drop or half.", rich_help_panel=HOW)] = "drop",
    times_in: Annotated[str, typer.Option(help="Unit of time of the result.", rich_help_panel=HOW)] = "h",
    periods: Annotated[
        str | None, typer.Option(metavar='"0-24 h,7-28 d"', help="Partial areas.", rich_help_panel=HOW)
    ] = None,
    tau: Annotated[str | None, typer.Option(help='Last dosing interval: "24 h".', rich_help_panel=HOW)] = None,
    steady_state: Annotated[
        bool, typer.Option("--steady-state", help="Intervals are at steady state.", rich_help_panel=HOW)
    ] = False,
    sampling: Annotated[str, typer.Option(help="auto, serial or sparse.", rich_help_panel=HOW)] = "auto",
    by: Annotated[
        str | None, typer.Option(metavar="a,b", help="Columns that part sparse groups.", rich_help_panel=HOW)
    ] = None,
    cells: Annotated[
        str | None, typer.Option(metavar="a,b", help="Outputs that count cells.", rich_help_panel=HOW)
    ] = None,
    outputs: Annotated[
        str | None, typer.Option(metavar="a,b", help="Only these; 1=a,2=b names what DVID, else CMT, observes.")
    ] = None,
    routes: Annotated[
        str | None, typer.Option(metavar="iv,sc", help="Only subjects dosed so; 1=iv names the CMT of doses.")
    ] = None,
    layout: Layout = "tidy",
    sheet: Sheet = None,
    decimal: Decimal = ".",
    unit: DataUnit = None,
    time_unit: TimeUnit = None,
    amount_unit: AmountUnit = None,
    doses: Doses = None,
    dialect: Dialect = "",
    organ_mass: OrganMass = None,
    as_json: Json = False,
) -> int:
    """Non-compartmental analysis: areas, terminal phase, clearance, cell kinetics; serial and destructive sampling."""
    _check_places(out, figure)
    wanted = [part.strip() for part in periods.split(",")] if periods is not None else []
    columns, counted = read_names(by, "--by") or (), read_names(cells, "--cells")
    (observed, only), (given, by_route) = _names(outputs, "--outputs"), _names(routes, "--routes")
    from mscpkpd.data import read_study
    from mscpkpd.noncompartmental import nca as analyse

    read: dict[str, Any] = {
        "layout": layout, "sheet": sheet, "decimal": decimal, "unit": unit, "time_unit": time_unit, "doses": doses,
        "amount_unit": amount_unit, "outputs": observed, "routes": given, "dialect": dialect,
        "organ_mass": read_quantities(organ_mass, "--organ-mass"),
    }  # fmt: skip
    with in_shell_words(*read):
        study = read_study(data, **read)
    with in_shell_words(
        "areas", "blq", "tau", "sampling", "steady_state", "by", "outputs", "routes", time_unit="times-in"
    ):
        table = analyse(
            study, areas=areas, blq=blq, time_unit=times_in, periods=wanted, tau=tau, steady_state=steady_state,
            sampling=sampling, by=columns, cells=counted, outputs=only, routes=by_route,
        )  # fmt: skip
    if out is not None:
        with whole_file(out) as part:
            table.to_csv(part, index=False)
    if figure is not None:
        _draw(study, table, figure)
    if as_json:
        show_json(_json(table, out, figure))
    else:
        _show(table, out, figure)
    return 0


def _names(text: str | None, option: str) -> tuple[dict[int | str, str] | None, tuple[str, ...] | None]:
    """Names for the numbers of an event table, or names of what is to be analysed."""
    if text is None or "=" not in text:
        return None, read_names(text, option)
    named = read_mapping(text, option)
    return (named, None) if isinstance(named, dict) else (None, None)


def _check_places(out: Path | None, figure: Path | None) -> None:
    for path, option, ending in ((out, "--out", ".csv"), (figure, "--figure", ".png")):
        if path is None:
            continue
        if path.suffix.casefold() != ending:
            hint = f"{option} {path.stem or 'nca'}{ending}"
            raise UsageError(f"'{path.name}'", where=option, expected=f"a file that ends with {ending}", hint=hint)
        check_place(path)


def _draw(study: Study, table: pd.DataFrame, figure: Path) -> None:
    from mscpkpd.plots import Marks, save, terminal_phases

    with whole_file(figure) as part:
        save(terminal_phases(study, table, marks=Marks(synthetic=study.synthetic)), part)


def _show(table: pd.DataFrame, out: Path | None, figure: Path | None) -> None:
    if table.attrs["synthetic"]:
        say("SYNTHETIC data: the numbers describe nothing real")
    say(f"{table.attrs['study']}: times in {table.attrs['time_unit']}", f"N4: {table.attrs['rules']['N4']}")
    say(f"N1: {table.attrs['rules']['N1']}")
    say(*(f"note: {note}" for note in table.attrs["notes"]))
    rows = list(_profile_rows(table))
    show_table(("subject", "output", "dose", *SHOWN), rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        say(f"and {len(rows) - MOST_ROWS} more")
    without = table[table["value"].isna()]
    say(f"{len(table) - len(without)} values; {len(without)} cannot be had, each with its reason in the table.")
    for path in (out, figure):
        if path is not None:
            say(f"Wrote {path}")


def _profile_rows(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    keys = ["study", "subject", "occasion", "output", "assay", "dose"]
    for (_, subject, occasion, output, assay, dose), rows in table.groupby(keys, sort=False):
        found = {row["parameter"].removesuffix("/F"): row for row in table_records(rows)}
        name = f"{output} ({assay})" if assay != "" else str(output)
        who = f"{subject}, occasion {occasion}" if occasion != "" else str(subject)
        yield (who, name, str(dose), *(_cell(found.get(parameter)) for parameter in SHOWN))


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] != row["value"]:
        return "-"
    error = f" (SE {row['se']:.3g})" if row["se"] == row["se"] else ""
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    return f"{row['value']:.4g}{error}{unit}"


def _json(table: pd.DataFrame, out: Path | None, figure: Path | None) -> dict[str, Any]:
    attrs = table.attrs
    return {
        **{key: attrs[key] for key in ("study", "synthetic", "time_unit", "rules", "notes")},
        "parameters": table_records(table),
        "out": None if out is None else str(out),
        "figure": None if figure is None else str(figure),
    }
