"""Shell commands: ``mscpkpd demo | models | check | fit | simulate | score | new | report``.

Every command calls one public function and shows what it returns. What is slow to load is imported inside the
commands, so that ``mscpkpd --help`` answers at once.
"""

from mscpkpd.cli.app import main, run

__all__ = ["main", "run"]
