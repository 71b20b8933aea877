"""Known answers: what is known about the models without this program, computed again on the user's machine."""

from mscpkpd.validation.answers import KnownAnswer, Outcome, judged
from mscpkpd.validation.table import known_answers, rerun, write_table

__all__ = ["KnownAnswer", "Outcome", "judged", "known_answers", "rerun", "write_table"]
