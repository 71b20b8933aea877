"""How long does a user wait before anything happens?

Python alone is the first way, so the ratio says what mscpkpd adds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from _timing import compare, machine


def starting(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)


if __name__ == "__main__":
    print(__doc__.splitlines()[0])
    print(machine("typer", "rich"))
    ways = {
        "python -c pass": starting("-c", "pass"),
        "import mscpkpd": starting("-c", "import mscpkpd"),
        "mscpkpd --help": starting("-c", "import sys; from mscpkpd.cli import main; sys.argv[1:] = ['--help']; main()"),
        "mscpkpd.load_model": starting("-c", "import mscpkpd; mscpkpd.load_model"),
    }
    compare(ways, repeats=10)
