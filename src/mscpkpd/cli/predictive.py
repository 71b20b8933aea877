"""``mscpkpd vpc``: a fit compared with data that it simulates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mscpkpd.cli.console import say, show_json, table_records
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.progress import progress
from mscpkpd.cli.words import in_shell_words, read_names
from mscpkpd.files import check_place, whole_folder

if TYPE_CHECKING:
    from mscpkpd.fitting.result import Fit
    from mscpkpd.predictive import NPDE, VPC

__all__ = ["vpc"]

MARK = "vpc.csv"
HOW = "How it is made"


def vpc(
    run: Annotated[Path, typer.Argument(help="Run folder of fit.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for tables and figures.")],
    bins: Annotated[str, typer.Option(help="ties, counts or kmeans.", rich_help_panel=HOW)] = "ties",
    n_bins: Annotated[int | None, typer.Option(help="For counts and kmeans.", rich_help_panel=HOW)] = None,
    corrected: Annotated[
        bool, typer.Option("--corrected", help="Prediction-corrected (pcVPC).", rich_help_panel=HOW)
    ] = False,
    stratified: Annotated[
        bool, typer.Option("--stratified", help="A panel per kind of doses and route.", rich_help_panel=HOW)
    ] = False,
    quantile_type: Annotated[int, typer.Option(help="7 (NumPy, R) or 6 (PsN).", rich_help_panel=HOW)] = 7,
    replicates: Annotated[int, typer.Option(help="Simulated studies.", rich_help_panel=HOW)] = 1000,
    parameters: Annotated[str, typer.Option(help="estimate or draws.", rich_help_panel=HOW)] = "",
    outputs: Annotated[str | None, typer.Option(metavar="a,b", help="Only these.")] = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> int:
    """Visual predictive check and prediction distribution errors (NPDE) of a fit."""
    check_place(out, MARK)
    wanted = read_names(outputs, "--outputs") or ()
    from mscpkpd.fitting.api import load_fit
    from mscpkpd.predictive import npde
    from mscpkpd.predictive import replicates as repeat
    from mscpkpd.predictive import vpc as compare

    fit = load_fit(run)
    with in_shell_words("bins", "quantile_type", "parameters", "outputs", "corrected", count="replicates"):
        with progress("replicates") as tell:
            repeated = repeat(fit, replicates, parameters=parameters, seed=seed, progress=tell)
        found = compare(
            repeated, outputs=wanted, bins=bins, n_bins=n_bins, corrected=corrected, stratified=stratified,
            quantile_type=quantile_type,
        )  # fmt: skip
    errors = npde(repeated, seed=seed)
    _write(fit, found, errors, out)
    if as_json:
        show_json(
            {"share_inside": found.share_inside, "percentiles": table_records(found.table),
             "below_the_limit": table_records(found.blq), "npde_tests": table_records(errors.tests),
             "settings": found.settings, "notes": found.notes, "out": str(out)}
        )  # fmt: skip
        return 0
    if fit.study.synthetic:
        say("SYNTHETIC data: the numbers describe nothing real")
    say(str(found).partition("\n")[0], *str(errors).splitlines()[1:])
    say(*(f"note: {note}" for note in found.notes), f"Wrote {out}")
    return 0


def _write(fit: Fit, found: VPC, errors: NPDE, out: Path) -> None:
    from mscpkpd.plots import Marks, prediction_errors, save, visual_check

    marks = Marks(synthetic=fit.study.synthetic)
    with whole_folder(out, MARK) as part:
        for name, table in (("vpc", found.table), ("blq", found.blq), ("npde", errors.table), ("tests", errors.tests)):
            table.to_csv(part / f"{name}.csv", index=False)
        save(visual_check(found, marks=marks), part / "vpc.png")
        save(prediction_errors(errors, marks=marks), part / "npde.png")
