"""May a fit be trusted, and which of several predicts best? Everything that was looked at, in one call."""

from __future__ import annotations

from mscpkpd.diagnostics.checkup import Diagnosis, check_fit
from mscpkpd.diagnostics.comparison import Comparison, compare

__all__ = ["Comparison", "Diagnosis", "check_fit", "compare"]
