"""What was measured where: printed, and a line of JSON in ``results/``, from which ``_table.py`` makes a page."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _timing import Timing, cores

RESULTS = Path(__file__).parent / "results"
OURS = "mscpkpd"  # names of our own ways begin with it
PACKAGES = (
    "mscpkpd", "numpy", "scipy", "jax", "pydiffsol", "pymc", "nutpie", "libroadrunner", "diffrax", "casadi", "pystan",
    "httpstan", "numpyro",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is aimed at: so many times quicker than a peer, or a number below a limit."""

    value: float
    against: str = ""

    def reached(self, ours: float, peer: float | None) -> bool | None:
        """Whether it is; None where the peer was not run."""
        if not self.against:
            return ours < self.value
        return None if peer is None else peer / ours >= self.value

    def __str__(self) -> str:
        return f">= {self.value:g}x {self.against}" if self.against else f"< {self.value:g}"


@dataclass
class Row:
    """The outcome of one question on one problem.

    Attributes
    ----------
    question : str
        Key: the newest row of each question and problem is shown.
    title, problem, unit : str
    target : Target, optional
    ways : list of dict
        Name, value with quartiles, and what else is known of each.
    skipped : dict of str to str
        Who was not measured, and why.
    facts : dict
        Other numbers.
    """

    question: str
    title: str
    problem: str
    unit: str
    target: Target | None = None
    ways: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: float, **known: Any) -> None:
        """Add one way by its value."""
        self.ways.append({"name": name, "value": value, **{k: v for k, v in known.items() if v not in (None, "")}})

    def add_timings(self, timings: Sequence[Timing], factor: float = 1.0) -> None:
        """Add measured ways; `factor` takes ms to the unit of the row."""
        for each in timings:
            self.add(
                each.way.name, factor * each.median, low=factor * each.low, high=factor * each.high,
                rounds=each.rounds, units=each.way.units, tolerance=each.way.tolerance, error=each.way.error,
                baseline=each.way.baseline or None,
            )  # fmt: skip

    @property
    def ours(self) -> dict[str, Any] | None:
        """The first of our own ways."""
        return next((way for way in self.ways if way["name"].startswith(OURS)), None)

    def finish(self) -> None:
        """Print the row; keep it unless this is a quick check."""
        print("\n".join(self.lines()), flush=True)
        if quick():
            return
        RESULTS.mkdir(exist_ok=True)
        kept = {
            "question": self.question, "title": self.title, "problem": self.problem, "unit": self.unit,
            "target": vars(self.target) if self.target else None, "ways": self.ways, "skipped": self.skipped,
            "facts": self.facts, "cores": cores(), "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(), "versions": versions(),
        }  # fmt: skip
        with (RESULTS / f"{self.question}.jsonl").open("a") as file:
            file.write(json.dumps(rounded(kept)) + "\n")

    def lines(self) -> list[str]:
        """What is printed."""
        ours = self.ours
        lines = [f"{self.title} [{self.problem}; {self.unit}]"]
        width = max(map(len, [way["name"] for way in self.ways] + list(self.skipped)), default=0)
        for way in self.ways:
            spread = f"({way['low']:.4g} to {way['high']:.4g})" if "low" in way else ""
            ratio = f"{way['value'] / ours['value']:7.3g}x" if ours else ""
            error = f"error {way['error']:.1e} at {way['tolerance']:g}" if "error" in way else ""
            line = f"  {way['name']:{width}}  {way['value']:10.4g} {spread:24} {ratio} {error} {way.get('note', '')}"
            lines.append(line.rstrip())
        lines += [f"  {name:{width}}  not run: {reason}" for name, reason in self.skipped.items()]
        return [*lines, *(f"  {key}: {value}" for key, value in self.facts.items())]


def quick() -> bool:
    """Whether only a check in seconds is asked for; its numbers are not kept."""
    return "--quick" in sys.argv


def machine() -> dict[str, Any]:
    """The computer, and how busy it was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(), "cores": os.cpu_count(), "system": platform.system(),
        "architecture": platform.machine(), "python": platform.python_version(), "load": load,
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of everything that takes part and is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def rounded(value: Any) -> Any:
    """Four digits are enough for what is measured."""
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
