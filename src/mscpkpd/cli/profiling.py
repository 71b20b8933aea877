"""``mscpkpd profile``: what the data say about single parameters of a least-squares fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mscpkpd.cli.console import say, show_json, table_records
from mscpkpd.cli.options import Json
from mscpkpd.cli.progress import progress
from mscpkpd.cli.words import in_shell_words, read_names
from mscpkpd.files import check_place, whole_folder

__all__ = ["profile"]

MARK = "profiles.csv"


def profile(
    run: Annotated[Path, typer.Argument(help="Run folder of fit --method least_squares.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for tables and the figure.")],
    parameters: Annotated[str | None, typer.Option(metavar="a,b", help="Only these; all, unless given.")] = None,
    level: Annotated[float, typer.Option(help="Of the intervals, between 0 and 1.")] = 0.95,
    as_json: Json = False,
) -> int:
    """Profile likelihood of estimated parameters: intervals, curves, and what the data leave open."""
    check_place(out, MARK)
    wanted = read_names(parameters, "--parameters")
    import pandas as pd

    from mscpkpd.fitting.api import load_fit
    from mscpkpd.fitting.profiling import profile as profile_of
    from mscpkpd.plots import likelihood_profile, save

    fit = load_fit(run)
    names = wanted or tuple(fit.settings["free"])
    found = []
    with in_shell_words("level"), progress("profiles") as tell:
        for k, name in enumerate(names):
            tell(k, len(names), name)
            found.append(profile_of(fit, name, level=level))
    rows = [
        {"parameter": p.parameter, "estimate": p.estimate, "lower": p.lower, "upper": p.upper, "unit": p.unit,
         "asymptotic_lower": p.asymptotic[0], "asymptotic_upper": p.asymptotic[1], "closed": p.closed}
        for p in found
    ]  # fmt: skip
    with whole_folder(out, MARK) as part:
        pd.DataFrame(rows).to_csv(part / MARK, index=False)
        for each in found:
            each.table.to_csv(part / f"profile_{each.parameter}.csv", index=False)
        save(likelihood_profile(found), part / "profiles.png")
    if as_json:
        shown = [{**row, "notes": p.notes, "curve": table_records(p.table)} for row, p in zip(rows, found, strict=True)]
        show_json({"level": level, "synthetic": fit.study.synthetic, "profiles": shown, "out": str(out)})
        return 0
    if fit.study.synthetic:
        say("SYNTHETIC data: the numbers describe nothing real")
    say(*(str(each).rstrip() for each in found), f"Wrote {out}")
    return 0
