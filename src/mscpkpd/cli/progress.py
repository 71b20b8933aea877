"""How far long work is: a bar on a terminal, now and then a line elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

__all__ = ["Steps", "progress", "steps"]

EVERY_SECONDS = 5.0


class Steps(Protocol):
    """What is called with the name of a step, done, wanted, and what else is known, in words."""

    def __call__(self, step: str, done: int, wanted: int, words: str = "", /) -> None:
        """Report."""


class Step(Protocol):
    """The same for one step."""

    def __call__(self, done: int, wanted: int, words: str = "", /) -> None:
        """Report."""


@contextmanager
def progress(step: str) -> Iterator[Step]:
    """Show one step; yields what to call with done and wanted."""
    with steps() as report:
        yield partial(report, step)


@contextmanager
def steps() -> Iterator[Steps]:
    """Show several steps, one after the other; yields what to call with name, done and wanted."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Steps]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def report(step: str, done: int, wanted: int, words: str = "", /) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step)
            shown = f"{step}, {words}" if words else step
            bars.update(tasks[step], completed=done, total=wanted, description=shown)

        yield report


class _Lines:
    """A line at the start of each step and at most every few seconds."""

    def __init__(self) -> None:
        self.step, self.last = "", 0.0
        self.first = (0.0, 0)  # when the step began to move, and where: preparation says nothing of its pace

    def __call__(self, step: str, done: int, wanted: int, words: str = "", /) -> None:
        now = time.monotonic()
        if step != self.step or self.first[1] == 0:
            self.first = (now, done)
        if step == self.step and now - self.last < EVERY_SECONDS:
            return
        self.step, self.last = step, now
        known = f", {words}" if words else ""
        sys.stderr.write(f"{step}: {done} of {wanted}{known}{self._left(done, wanted, now)}\n")
        sys.stderr.flush()

    def _left(self, done: int, wanted: int, now: float) -> str:
        began, start = self.first
        if now - began < EVERY_SECONDS or not start < done < wanted:
            return ""
        minutes, seconds = divmod(round((now - began) / (done - start) * (wanted - done)), 60)
        return f", about {minutes}:{seconds:02d} min left"
