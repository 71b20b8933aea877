"""How a result came about: command, versions, seed, input files, times."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Record"]


class Record:
    """What one command used, from its start on.

    Parameters
    ----------
    command : sequence of str
        Words behind ``mscpkpd``.
    seed : int
        Seed of all random numbers.
    """

    def __init__(self, command: Sequence[str], seed: int) -> None:
        self.command, self.seed, self.began = shlex.join(["mscpkpd", *command]), seed, datetime.now(UTC)

    def content(self, *files: str | Path | None) -> dict[str, Any]:
        """Return the record, with the SHA-256 of those of `files` that are files."""
        from mscpkpd.fitting.result import versions

        ended = datetime.now(UTC)
        return {
            "command": self.command,
            "seed": self.seed,
            "versions": versions(),
            "inputs": {str(file): _digest(Path(file)) for file in files if file is not None and Path(file).is_file()},
            "began": self.began.isoformat(timespec="seconds"),
            "ended": ended.isoformat(timespec="seconds"),
            "seconds": round((ended - self.began).total_seconds(), 1),
        }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
