"""Non-compartmental analysis: what a profile says by itself, serial and destructive sampling, drugs and cells."""

from mscpkpd.noncompartmental.rules import INTRAVASCULAR, Rules
from mscpkpd.noncompartmental.table import COLUMNS, analysed, nca

__all__ = ["COLUMNS", "INTRAVASCULAR", "Rules", "analysed", "nca"]
