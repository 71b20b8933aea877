"""Small studies for the tests of the non-compartmental analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.data import Study, study_from_frame
from mscpkpd.noncompartmental import nca

SAMPLES = (0, 2, 4, 8, 12, 24)  # of the case of the conventions: bolus of 100, CL 5, V 50


def study(time: Sequence[float], value: Sequence[object], time_unit: str = "h", **columns: Any) -> Study:
    """A study of one subject, by default 100 mg as a bolus and values in mg/L."""
    defaults = {"subject": "S1", "output": "plasma", "unit": "mg/L", "dose": 100.0, "dose_unit": "mg", "route": "iv"}
    frame = pd.DataFrame({"time": list(time), "value": [str(v) for v in value], **defaults, **columns})
    return study_from_frame(frame, time_unit=time_unit)


def bolus(time: np.ndarray | Sequence[float], dose: float = 100.0) -> np.ndarray:
    """Concentration after a bolus, CL 5 L/h, V 50 L [mg/L]."""
    return dose / 50 * np.exp(-0.1 * np.asarray(time, dtype=float))


def infused(time: np.ndarray, duration: float) -> np.ndarray:
    """Concentration during and after an infusion of 100 mg [mg/L]."""
    running = np.minimum(time, duration)
    return 100 / duration / 5 * (1 - np.exp(-0.1 * running)) * np.exp(-0.1 * (time - running))


def oral(time: np.ndarray, ka: float = 1.5) -> np.ndarray:
    """Concentration after 100 mg by mouth, CL 1.1 L/h, V 20 L [mg/L]."""
    k = 1.1 / 20
    return 100 / 20 * ka / (ka - k) * (np.exp(-k * time) - np.exp(-ka * time))


def rows(given: Study, dose: str = "1", subject: str = "", **options: Any) -> pd.DataFrame:
    """Rows after one dose by parameter."""
    table = nca(given, **options)
    assert not (table["value"].isna() & (table["reason"] == "")).any(), "a value is missing without a reason (N8)"
    table = table[table["dose"] == dose]
    return table[table["subject"] == (subject or table["subject"].iloc[0])].set_index("parameter")


def values(given: Study, dose: str = "1", **options: Any) -> dict[str, float]:
    """Values after one dose by parameter."""
    return dict(rows(given, dose, **options)["value"])
