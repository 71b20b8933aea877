"""Is the posterior right? Simulation-based calibration: truths drawn from the priors rank evenly among the draws."""

from __future__ import annotations

from mscpkpd.calibration.ranks import Calibration
from mscpkpd.calibration.runs import calibrate

__all__ = ["Calibration", "calibrate"]
