"""What every test shares: where things are, clean subprocesses, and repeatable examples."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Two test processes on two cores: linear algebra with threads of its own would only wait. Set before NumPy loads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis  # noqa: E402 - may load NumPy
import pytest  # noqa: E402 - as above

# Tests give the same answer on every machine; HYPOTHESIS_PROFILE=search looks for new examples.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def unmeasured() -> dict[str, str]:
    """Environment in which a subprocess is not measured by coverage: its modules and its speed are its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}


@pytest.fixture
def python(tmp_path: Path, unmeasured: dict[str, str]) -> Callable[..., str]:
    """Run code in a new interpreter outside the repository; gives what it prints, fails with what it complains."""

    def run(code: str, *, interpreter: str | Path = sys.executable, options: tuple[str, ...] = ()) -> str:
        done = subprocess.run(
            [str(interpreter), *options, "-c", code],
            cwd=tmp_path,
            env=unmeasured,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as "summary": numbers to look at, not to judge."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    notes = [value for report in reports for key, value in getattr(report, "user_properties", []) if key == "summary"]
    if notes:
        terminalreporter.section("numbers to look at")
        for note in dict.fromkeys(notes):
            terminalreporter.write_line(str(note))
