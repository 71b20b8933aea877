"""What a design can tell: which parameters, which groups of them only, and how precisely."""

from mscpkpd.identifiability.analysis import identify
from mscpkpd.identifiability.report import Direction, Group, Identifiability, Pair

__all__ = ["Direction", "Group", "Identifiability", "Pair", "identify"]
