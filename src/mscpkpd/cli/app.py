"""The program: its commands, and how every end becomes a message and an exit status.

0 done; 1 a fault of mscpkpd; 2 bad usage or bad input: one message, nothing half-written; 3 done, but the result fails
its own checks, which the first line of the output says; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mscpkpd.cli import (
    calibrating,
    checking,
    diagnosing,
    fitting,
    library,
    noncompartmental,
    predictive,
    profiling,
    responding,
    scoring,
    showing,
    simulating,
    validating,
)
from mscpkpd.cli.console import say, show_json, warn
from mscpkpd.errors import MscError

__all__ = ["main", "run"]

DEBUG = "MSCPKPD_DEBUG"
FAULT, INTERRUPTED = 1, 130
# typer carries its own copy of click since 0.26; the base of all its usage errors is reached through a public name
ShellError: Any = typer.BadParameter.__mro__[-4]

app = typer.Typer(name="mscpkpd", add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
app.command("demo")(showing.demo)
app.command("models")(library.models)
app.command("check")(checking.check)
app.command("fit")(fitting.fit)
app.command("simulate")(simulating.simulate)
app.command("nca")(noncompartmental.nca)
app.command("diagnose")(diagnosing.diagnose)
app.command("compare")(diagnosing.compare)
app.command("vpc")(predictive.vpc)
app.command("profile")(profiling.profile)
app.command("calibrate")(calibrating.calibrate)
app.command("score")(scoring.score)
app.add_typer(responding.app, name="responder")
app.command("new")(library.new)
app.command("report")(showing.report)
app.command("validate")(validating.validate)


@app.callback(invoke_without_command=True)
def top(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the version as JSON.")] = False,
) -> int:
    """PK-PD modelling of mesenchymal stromal cell (MSC) therapies: fit, simulate, score.

    Start with [bold]mscpkpd demo --quick[/bold], or with [bold]mscpkpd new study FILE.csv[/bold] and your own data.
    """
    if version:
        from importlib.metadata import version as installed

        number = installed("mscpkpd")
        show_json({"version": number}) if as_json else say(f"mscpkpd {number}")
        raise typer.Exit
    return 0


def main() -> None:
    """Run the command of this process; ends it with the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters shows question marks
    if not (sys.warnoptions or os.environ.get(DEBUG)):
        warnings.simplefilter("ignore")  # of third parties; what a user must know stands in the results
    raise SystemExit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str
        Words behind ``mscpkpd``; none shows the help.

    Returns
    -------
    int
        Exit status.
    """
    words = list(arguments) or ["--help"]
    try:
        status = app(words, prog_name="mscpkpd", standalone_mode=False, obj=words)
        sys.stdout.flush()
    except MscError as error:
        return _failed(error.exit_status, str(error))
    except ShellError as error:
        return _failed(2, _usage(error))
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # typer exits where nobody reads any more
        return _closed()
    except OSError as error:
        return _failed(2, f"{error.filename}: {error.strerror}") if error.filename else _fault(error)
    except Exception as error:  # noqa: BLE001 - the last resort: a message instead of a traceback
        return _fault(error)
    if status == INTERRUPTED:  # typer may turn the exception into this status
        return _failed(INTERRUPTED, "interrupted; nothing half-written was left under the name of the result")
    return int(status or 0)


def _failed(status: int, message: str) -> int:
    if os.environ.get(DEBUG) and sys.exc_info()[0] is not None:
        traceback.print_exc()
    warn(f"mscpkpd: {message}")
    return status


def _usage(error: Any) -> str:
    command = error.ctx.command_path if error.ctx is not None else "mscpkpd"
    return f"{error.format_message().rstrip('.')}. Try: {command} --help"


def _fault(error: Exception) -> int:
    lines = (str(error) or type(error).__name__).splitlines()
    how = f"Please report this with the command and its files; {DEBUG}=1 shows where it happened."
    return _failed(FAULT, f"unexpected {type(error).__name__}: {lines[0]}. This is a fault of mscpkpd. {how}")


def _closed() -> int:
    """Whoever read the output has seen enough, as in ``mscpkpd models | head -1``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
