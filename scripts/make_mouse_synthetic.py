# ruff: noqa: INP001 (a script, not a package)
"""Make models/data/mouse_iv_SYNTHETIC.csv: an invented destructive mouse study with known truth.

Run from the root of the repository: ``python scripts/make_mouse_synthetic.py``. Nothing in the table was measured.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import mscpkpd as msc

SEED = 2011
DATA = Path(__file__).parents[1] / "models" / "data"
DOSE = 1e6
TIMES = (0.25, 1.0, 6.0, 24.0, 48.0, 72.0)
ANIMALS_PER_TIME = 5
# Moved away from the values of the mouse model, inside their priors.
TRUTH = {
    "rho_L": 0.78, "s_T": 0.45, "t_Li": 0.30, "t_Sp": 0.08, "k_L": 0.036, "k_T": 0.021, "q0": 0.004, "k_on": 0.12,
    "k_off": 0.03, "Smax": 2.5, "k_out10": 1.3, "I10_0": 8.0, "sigma_qPCR": 0.35, "sigma_cyt": 0.25,
}  # fmt: skip
# Limit of quantification and method of each output; the unit is the model's.
ASSAYS = {
    "blood_cells": (1000.0, "qPCR"),
    "lung_cells": (1000.0, "qPCR"),
    "liver_cells": (1000.0, "qPCR"),
    "spleen_cells": (1000.0, "qPCR"),
    "rest_cells": (1000.0, "qPCR"),
    "pge2_lung": (0.05, "ELISA"),
    "il10": (4.0, "ELISA"),
}
COLUMNS = (
    "synthetic", "subject", "species", "strain", "route", "dose", "dose_unit", "time", "time_unit", "output", "value",
    "unit", "censoring", "upper", "method",
)  # fmt: skip


def main() -> None:
    """Simulate, add noise, censor, write the table and the truth."""
    model = msc.load_model("two_functional_compartments", values="mouse").fix(**TRUTH)
    sims = msc.simulate(model, msc.bolus(f"{DOSE:g} cells", route="iv"), times=TIMES, outputs=list(ASSAYS))
    rng = np.random.default_rng(SEED)
    rows = []
    for k, time in enumerate(TIMES):
        for animal in range(ANIMALS_PER_TIME):
            subject = f"SYN-{k * ANIMALS_PER_TIME + animal + 1:02d}"
            for output, (limit, method) in ASSAYS.items():
                expected = float(sims[output].values[0, 0, 0, k])
                sd = TRUTH["sigma_qPCR" if method == "qPCR" else "sigma_cyt"]
                seen = float(f"{expected * np.exp(sd * rng.standard_normal()):.4g}")
                below = seen < limit
                rows.append(
                    ("true", subject, "mouse", "SYNTHETIC", "iv", f"{DOSE:g}", "cells", time, "h", output,
                     limit if below else seen, model.output(output).unit, "left" if below else "none",
                     limit if below else "", method)
                )  # fmt: skip
    with (DATA / "mouse_iv_SYNTHETIC.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    truth = "".join(f"{name} = {value}\n" for name, value in TRUTH.items())
    head = f"# SYNTHETIC: parameters behind mouse_iv_SYNTHETIC.csv (seed {SEED}); all others as in the mouse values.\n"
    (DATA / "mouse_iv_SYNTHETIC.toml").write_text(f"{head}\n[truth]\n{truth}")


if __name__ == "__main__":
    main()
