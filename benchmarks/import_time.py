"""How long does a user wait before anything happens? Python alone is part of it."""

from __future__ import annotations

from _record import Row, quick
from _timing import Way, measured
from cold_start import running

STATEMENTS = {
    "mscpkpd imported": "import mscpkpd",
    "mscpkpd --help": "import sys; from mscpkpd.cli import main; sys.argv[1:] = ['--help']; main()",
    "mscpkpd.load_model": "import mscpkpd; mscpkpd.load_model",
    "python -c pass": "pass",
}


def main() -> None:
    row = Row("import_time", "Time until anything happens, in a new process", "-", "ms")
    ways = [
        Way(name, running("-c", statement), baseline=name.startswith("python"))
        for name, statement in STATEMENTS.items()
    ]
    row.add_timings(measured(ways, budget=1.0 if quick() else 15.0))
    row.finish()


if __name__ == "__main__":
    main()
