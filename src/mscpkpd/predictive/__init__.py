"""Does a fitted model produce data like those that were seen? Replicates of a study, VPC and NPDE."""

from __future__ import annotations

from mscpkpd.predictive.distribution_errors import NPDE, npde
from mscpkpd.predictive.replicates import Replicates, replicates
from mscpkpd.predictive.visual_check import VPC, vpc

__all__ = ["NPDE", "VPC", "Replicates", "npde", "replicates", "vpc"]
