"""What every score must say about itself."""

from __future__ import annotations

__all__ = ["BANNER"]

BANNER = (
    "RESEARCH USE ONLY: not a diagnostic or companion diagnostic. Not validated externally. Prognostic: estimates "
    "P(response) under MSC, not benefit. Levels are not transferable between assays. Do not withhold therapy. "
    "Priors are partly assumed. Synthetic data are not patients."
)
