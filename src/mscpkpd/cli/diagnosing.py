"""``mscpkpd diagnose`` and ``mscpkpd compare``: whether a fit may be trusted, and which of several predicts best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mscpkpd.cli.console import say, show_json, table_records
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.words import in_shell_words
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place, whole_folder

if TYPE_CHECKING:
    from mscpkpd.diagnostics import Comparison

__all__ = ["compare", "diagnose"]

VERDICTS, COMPARISON = "verdicts.csv", "comparison.csv"


def diagnose(
    run: Annotated[Path, typer.Argument(help="Run folder of fit.")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for page, tables and figures.")] = None,
    replicates: Annotated[int, typer.Option(help="Simulated studies, 500 or more.")] = 1000,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Look at everything that tells whether a fit can be trusted, in words."""
    if out is not None:
        check_place(out, VERDICTS)
    from mscpkpd.fitting.result import load_fit

    found = load_fit(run).check(seed=seed, count=replicates)
    if out is not None:
        found.save(out)
    if as_json:
        show_json(
            {"verdict": found.sentence, "ok": found.ok, "verdicts": [vars(each) for each in found.verdicts],
             "out": None if out is None else str(out)}
        )  # fmt: skip
    else:
        say(found.sentence)
        if found.fit.study.synthetic:
            say("SYNTHETIC data: not measured")
        say(*str(found).splitlines()[1:])
        if out is not None:
            say(f"Wrote {out}. Open {out / 'check.html'}")
    return 0 if found.ok else 3


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of fit, all of the same data.")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for tables and the figure.")] = None,
    weights: Annotated[str, typer.Option(help="stacking or pseudo_bma.")] = "stacking",
    as_json: Json = False,
) -> int:
    """Compare fits of the same data by what they predict for rows that are left out."""
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run to compare", expected="two or more", hint="mscpkpd compare RUN RUN")
    if out is not None:
        check_place(out, COMPARISON)
    from mscpkpd.diagnostics import compare as weigh
    from mscpkpd.fitting.result import load_fit

    fits = {str(path): load_fit(path) for path in runs}
    with in_shell_words("weights"):
        found = weigh(fits, weights=weights)
    if out is not None:
        _write(found, out, synthetic=any(fit.study.synthetic for fit in fits.values()))
    if as_json:
        show_json(
            {"verdict": found.sentence, "weights": found.weights, "table": table_records(found.table.reset_index()),
             "notes": found.notes, "out": None if out is None else str(out)}
        )  # fmt: skip
    else:
        say(*str(found).splitlines(), *([f"Wrote {out}"] if out is not None else []))
    return 0


def _write(found: Comparison, out: Path, *, synthetic: bool) -> None:
    from mscpkpd.plots import Marks, comparison, save

    with whole_folder(out, COMPARISON) as part:
        found.table.to_csv(part / COMPARISON)
        found.rows.to_csv(part / "rows.csv", index=False)
        save(comparison(found, marks=Marks(synthetic=synthetic)), part / "comparison.png")
