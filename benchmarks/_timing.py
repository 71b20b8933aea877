"""Shared by the benchmarks: which machine this is, and medians of ways that are measured in turns."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version


def machine(*packages: str) -> str:
    """One line: processor cores, system, Python and the versions of some packages."""
    computer = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    versions = [f"{package} {version(package)}" for package in packages]
    return ", ".join([computer, f"Python {platform.python_version()}", *versions])


def compare(ways: Mapping[str, Callable[[], object]], *, repeats: int = 30) -> None:
    """Print median and quartiles of each way in ms, and its ratio to the first one."""
    for way in ways.values():
        way()  # compiled, cached and paged in before the clock starts
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():  # in turns, so that a busy moment of the machine hits all of them
            begin = time.perf_counter()
            way()
            times[name].append(1e3 * (time.perf_counter() - begin))
    width = max(map(len, ways))
    first = statistics.median(next(iter(times.values())))
    for name, measured in times.items():
        low, middle, high = statistics.quantiles(measured, n=4)
        print(f"  {name:{width}}  {middle:9.3f} ms  ({low:.3f} to {high:.3f})  ratio {middle / first:.3g}")
