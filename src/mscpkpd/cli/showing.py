"""``mscpkpd demo`` and ``mscpkpd report``: pages to open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mscpkpd.cli.console import say, show_json
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.progress import steps

__all__ = ["demo", "report"]


def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report.")] = Path("demo-report"),
    quick: Annotated[bool, typer.Option("--quick", help="Few draws: a look, not a result.")] = False,
    seed: Seed = 1,
    as_json: Json = False,
) -> int:
    """Fit, simulate and score the shipped data; writes DIR/report.html (about 3 minutes)."""
    from mscpkpd.demo import run_demo

    with steps() as tell:
        result = run_demo(out, quick, tell, seed)
    if as_json:
        show_json({"verdict": result.first_line, "report": str(result.report), "exit_status": result.exit_status})
    else:
        say(result.first_line, f"Report: {result.report}")
    return int(result.exit_status)


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of fit, simulate, score or demo.")],
    *,
    no_data: Annotated[bool, typer.Option("--no-data", help="Leave out individual rows.")] = False,
    as_json: Json = False,
) -> int:
    """Write RUN/report.html, or write it again."""
    from mscpkpd.report import write_report

    path = write_report(run, show_data=not no_data)
    show_json({"report": str(path)}) if as_json else say(f"Report: {path}")
    return 0
