"""Small fits for tests of figures and pages: nothing here samples."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd

from mscpkpd.data import Study, read_study, study_from_frame
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.draws import Check, make_draws
from mscpkpd.fitting.result import Fit, Posterior
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.problem import pose

HUMAN = "human_111In_gholamrezanezhad_2011.csv"
CHAINS, DRAWS = 2, 120


def human_study() -> Study:
    """The shipped label data."""
    return read_study(library_path() / "data" / HUMAN)


@cache
def least_squares_human() -> Fit:
    """The human label data by least squares."""
    return fit(load_model("two_functional_compartments", values="human_70kg"), human_study(), "least_squares")


def as_sampled(start: Fit, study: Study | None = None, *, converged: bool = True, seed: int = 0) -> Fit:
    """What a sampled fit looks like: draws about the optimum where the data say something, else from the priors."""
    study = study or start.study
    problem, rng = pose(start.model, study), np.random.default_rng(seed)
    known = start.table.set_index("parameter")["estimate"].to_dict()
    learned, rows = {}, []
    for p in problem.free:
        mean, sd = p.prior.free_moments()
        share = 0.95 if p.name in known else 0.02
        z = (p.prior.to_free(known[p.name]) if p.name in known else mean) + sd * np.sqrt(
            1 - share
        ) * rng.standard_normal((CHAINS, DRAWS))
        learned[p.name] = np.asarray(p.prior.from_free(z))
        rows.append(_row(start, p.name, learned[p.name], share, "wide prior" if p.widened_for else "", 1.001))
    only = {
        name: np.asarray(start.model.parameter(name).prior.sample(rng, (CHAINS, DRAWS))) for name in problem.uninformed
    }
    rows += [_row(start, name, values, 0.0, "prior only", np.nan) for name, values in only.items()]
    table = pd.DataFrame(rows)
    table.attrs["interval"] = "median with 95% interval"
    checks = (
        Check(
            "r_hat", converged, "Largest R-hat 1.0010 (k_XL), limit 1.01." if converged else "R-hat 1.3: more draws."
        ),
    )
    return dataclasses.replace(
        start, study=study, method="nuts", table=table, posterior=Posterior(learned, only),
        draws=make_draws({**learned, **only}, {}), checks=checks, notes=("a note with <b>markup</b>",),
    )  # fmt: skip


def _row(start: Fit, name: str, values: np.ndarray, share: float, note: str, r_hat: float) -> dict[str, object]:
    lower, upper = np.quantile(values, [0.025, 0.975])
    return {
        "parameter": name, "estimate": float(np.median(values)), "lower": float(lower), "upper": float(upper),
        "sd": float(np.std(values)), "unit": start.model.parameter(name).unit, "r_hat": r_hat, "ess_bulk": 900.0,
        "ess_tail": 800.0, "learned": share, "note": note,
    }  # fmt: skip


def mice(**columns: object) -> Study:
    """Single mice with a censored row, an interval, and names that a page must escape."""
    rows = [
        {"subject": name, "route": "iv", "dose": dose, "dose_unit": "cells", "time": time, "time_unit": "h",
         "output": "lung_cells", "unit": "cells", "value": value, "censoring": censoring, "lower": lower,
         "upper": upper, "species": "mouse"}
        for name, dose, time, value, censoring, lower, upper in (
            ("<script>alert(1)</script>", 1e6, 1.0, 7e5, "none", None, None),
            ("b & c", 1e6, 6.0, 5e5, "none", None, None),
            ("$x_1$", 1e6, 24.0, 3.2e5, "none", None, None),
            ("m4", 1e6, 48.0, 2e5, "none", None, None),
            ("m5", 1e6, 120.0, None, "left", None, 5e4),
            ("m6", 1e6, 96.0, None, "interval", 2e4, 9e4),
            ("m7", 3e6, 0.25, 2.2e6, "none", None, None),
            ("m8", 3e6, 72.0, 3e5, "none", None, None),
            ("m9", 3e6, 2.0, None, "right", 1e6, None),
        )
    ]  # fmt: skip
    return study_from_frame(pd.DataFrame(rows).assign(**columns), name="mice & <men>")


@cache
def least_squares_shipped_mice() -> Fit:
    """The shipped SYNTHETIC mouse study by least squares."""
    study = read_study(library_path() / "data" / "mouse_iv_SYNTHETIC.csv")
    return fit(load_model("two_functional_compartments", values="mouse"), study, "least_squares")


@cache
def least_squares_mice() -> Fit:
    """Two parameters from a few invented mice."""
    model = load_model("two_functional_compartments", values="mouse")
    return fit(model, mice(), "least_squares", free=["rho_L", "k_L"])
