"""``mscpkpd calibrate``: fits of simulated studies, to see whether posteriors hold the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mscpkpd.cli.console import say, show_json, table_records
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.progress import progress
from mscpkpd.files import whole_file

__all__ = ["calibrate"]

UNEVEN = 3  # exit status of a result that fails its own checks


def calibrate(
    model: Annotated[str, typer.Argument(help="Shipped model or path of a model file.")],
    design: Annotated[Path, typer.Argument(help="Study table: its doses, times and limits count, its values do not.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder; the same command goes on from what it holds.")],
    n: Annotated[int, typer.Option("--n", help="Simulated studies.")] = 200,
    values: Annotated[str | None, typer.Option(help="Values file, such as mouse.")] = None,
    method: Annotated[str, typer.Option(help="Of fit.")] = "nuts",
    draws: Annotated[int, typer.Option(help="Draws per chain.")] = 250,
    tune: Annotated[int, typer.Option(help="Warm-up draws per chain.")] = 300,
    chains: Annotated[int, typer.Option(help="Chains.")] = 2,
    cores: Annotated[int | None, typer.Option(help="Studies at a time; all processors by default.")] = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> int:
    """Simulation-based calibration: whether posteriors of simulated studies hold the truth as often as they say."""
    from mscpkpd.calibration import calibrate as repeat
    from mscpkpd.data import read_study
    from mscpkpd.modelfile import load_model
    from mscpkpd.plots import rank_plots, save

    described, template = load_model(model, values=values), read_study(design)
    with progress("studies") as tell:
        found = repeat(
            described, template, n, method=method, draws=draws, tune=tune, chains=chains, seed=seed, cores=cores,
            folder=out, progress=tell,
        )  # fmt: skip
    for name, table in (("ranks", found.ranks), ("calibration", found.table)):
        with whole_file(out / f"{name}_SYNTHETIC.csv") as part:
            table.to_csv(part, index=False)
    with whole_file(out / "ranks_SYNTHETIC.png") as part:
        save(rank_plots(found), part)
    if as_json:
        show_json(
            {"verdict": found.verdict, "passed": found.passed, "quantities": table_records(found.table),
             "failures": found.failures, "settings": found.settings, "out": str(out)}
        )  # fmt: skip
    else:
        say(*str(found).splitlines(), f"Wrote {out}")
    return 0 if found.passed else UNEVEN
