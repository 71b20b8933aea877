"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AmountUnit",
    "Covariates",
    "DataUnit",
    "Decimal",
    "Dialect",
    "Doses",
    "Json",
    "Layout",
    "Observed",
    "OrganMass",
    "Routes",
    "Seed",
    "Sheet",
    "TimeUnit",
    "Values",
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")]
VALUES = "Values file of the model, such as mouse; several, separated by commas, are laid over it from left to right."
Values = Annotated[str | None, typer.Option(metavar="NAME|FILE", help=VALUES)]

TABLE = "How the table is written"
Layout = Annotated[str, typer.Option(help="tidy, or wide: one column for each output.", rich_help_panel=TABLE)]
Sheet = Annotated[str | None, typer.Option(help="Sheet of an Excel file.", rich_help_panel=TABLE)]
Decimal = Annotated[str, typer.Option(help="Decimal sign, . or ,", rich_help_panel=TABLE)]
DataUnit = Annotated[str | None, typer.Option("--unit", help="Unit of all values.", rich_help_panel=TABLE)]
TimeUnit = Annotated[str | None, typer.Option(help="Unit of all times.", rich_help_panel=TABLE)]
AmountUnit = Annotated[str | None, typer.Option(help="Unit of AMT of an event table.", rich_help_panel=TABLE)]
Observed = Annotated[
    str | None, typer.Option(metavar="1=conc,2=il10", help="What DVID, else CMT, observes.", rich_help_panel=TABLE)
]
Dialect = Annotated[
    str, typer.Option(metavar="rxode2|mrgsolve", help="Whose numbers of EVID above 4.", rich_help_panel=TABLE)
]
OrganMass = Annotated[
    str | None, typer.Option(metavar='"lung=0.17 g"', help="Masses of organs or outputs.", rich_help_panel=TABLE)
]
Routes = Annotated[str | None, typer.Option(metavar="1=iv,2=ip", help="Route by CMT of a dose.", rich_help_panel=TABLE)]
BETWEEN = "Between records of covariates: locf, nocb or linear, or WT=linear,CRCL=locf."
Covariates = Annotated[str | None, typer.Option(metavar="RULE", help=BETWEEN, rich_help_panel=TABLE)]
Doses = Annotated[Path | None, typer.Option(metavar="FILE", help="Second table, of doses.", rich_help_panel=TABLE)]
