"""What the demo found, in plain sentences made from its numbers; and how well known a schedule is."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import xarray as xr

from mscpkpd.dosing import Regimen
from mscpkpd.fitting.result import Fit
from mscpkpd.plots import little_learned
from mscpkpd.rounding import decimals, number

__all__ = ["origin_of", "sentences"]

WORDS = {"amount": "dose", "doses": "schedule", "every": "schedule", "over": "infusion time", "at": "start"}
WEAK = ("recalled", "review", "assumed")


def sentences(
    human: Fit, sims: xr.Dataset | None, exposures: dict[str, pd.DataFrame], scores: pd.DataFrame
) -> list[str]:
    """Three sentences, one a job."""
    return [_fitted(human), _simulated(sims, exposures), _scored(scores)]


def _fitted(human: Fit) -> str:
    lung = next(row for row in human.table.to_dict("records") if row["parameter"] == "rho_L")
    low, middle, high = (number(100 * lung[name], 2) for name in ("lower", "estimate", "upper"))
    few, only = little_learned(human), human.posterior.prior_only
    dose = sum(dose.amount for dose in human.study.subjects[0].regimen.doses)
    at = {(row["output"], row["time"]): 100 * row["predicted"] / dose for row in human.predictions.to_dict("records")}
    first, last = min(time for _, time in at), max(time for _, time in at)
    return (
        f"In four patients the label in lung falls from {number(at['lung_label', first], 2)} % of the dose at {first:g} h "
        f"to {number(at['lung_label', last], 2)} % on day {last / 24:g} while liver and spleen together rise to "
        f"{number(at['liver_label', last] + at['spleen_label', last], 2)} %: this fixes the share that the lung catches "
        f"({middle} %, 95 % interval {low} to {high} %), but teaches little about {len(few)} parameters and nothing about "
        f"{len(only)}, among them all that PGE2 and IL-10 depend on alone."
    )


def _simulated(sims: xr.Dataset | None, exposures: dict[str, pd.DataFrame]) -> str:
    if sims is None:
        return "The schedules were not simulated, because the human fit does not pass its checks."
    cells = exposures["lung_cells"].query("metric == 'auc'").set_index("schedule")["median"]
    high, low = str(cells.idxmax()), str(cells.idxmin())
    il10 = sims["il10"].to_numpy()
    start, peak = np.nanmedian(il10[..., 0]), np.nanmedian(np.nanmax(il10, axis=-1))
    prior = [name for name in exposures if sims[name].attrs.get("prior_only")]
    return (
        f"For an adult of 70 kg, {high} gives {number(cells.max() / cells.min(), 2)} times the viable cells in lung over "
        f"60 days that {low} gives, in proportion to the dose; the predictions of {' and '.join(prior)} are prior only "
        f"(IL-10, a marker of engagement and not of efficacy, goes from a median of {number(start, 2)} to a peak of "
        f"{number(peak, 2)} pg/mL), because the label data say nothing about them."
    )


def _scored(scores: pd.DataFrame) -> str:
    p, share = scores["p_response"], scores["prior_share"]
    cohort = scores.attrs["cohort"]
    width = float((scores["upper"] - scores["lower"]).median())
    return (
        f"After a SYNTHETIC cohort of {cohort['labelled']}, {cohort['responders']} of whom responded, ten SYNTHETIC patients "
        f"score from {decimals(p.min())} to {decimals(p.max())} with 95 % intervals {decimals(width)} wide in the middle; "
        f"for {int((share > 0.5).sum())} of them more than half of the uncertainty is still that of the prior."
    )


def origin_of(regimen: Regimen) -> str:
    """Say which numbers of a regimen are not read or derived: "schedule recalled, infusion time assumed"."""
    found = re.findall(r"(?:^|; )(\w+): .*? \((\w+)\)(?=; \w+: |$)", regimen.source)
    weak = [f"{WORDS.get(key, key)} {evidence}" for key, evidence in found if evidence in WEAK]
    return ", ".join(dict.fromkeys(weak))
