"""What the demo found, in plain sentences made from its numbers; and how well known a schedule is."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from mscpkpd.dosing import Regimen
from mscpkpd.fitting.result import Fit
from mscpkpd.plots.learning import MUCH
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
    few, only = human.little_learned(), human.posterior.prior_only
    dose = sum(dose.amount for dose in human.study.subjects[0].regimen.doses)
    at = {(row["output"], row["time"]): 100 * row["predicted"] / dose for row in human.predictions.to_dict("records")}
    first, last = min(time for _, time in at), max(time for _, time in at)
    lung_label = [number(at["lung_label", time], 2) for time in (first, last)]
    elsewhere = number(at["liver_label", last] + at["spleen_label", last], 2)
    verb = "fixes" if lung["learned"] > MUCH else "narrows"
    return (
        f"In four patients the label in lung falls from {lung_label[0]} % of the dose at {first:g} h to "
        f"{lung_label[1]} % on day {last / 24:g} while liver and spleen together rise to {elsewhere} %: this {verb} "
        f"the share that the lung catches ({middle} %, 95 % interval {low} to {high} %), but teaches little about "
        f"{len(few)} parameters and nothing about {len(only)}, such as how much PGE2 a cell makes."
    )


def _simulated(sims: xr.Dataset | None, exposures: dict[str, pd.DataFrame]) -> str:
    if sims is None:
        return "The schedules were not simulated, because the human fit does not pass its checks."
    cells = exposures["lung_cells"].query("metric == 'auc'").set_index("schedule")["median"]
    most = _listed(name for name, value in cells.items() if value > 0.99 * cells.max())
    least = _listed(name for name, value in cells.items() if value < 1.01 * cells.min())
    il10 = sims["il10"].to_numpy()
    start, peak = (number(float(x), 2) for x in (np.nanmedian(il10[..., 0]), np.nanmedian(np.nanmax(il10, axis=-1))))
    prior = [
        str(sims[name].attrs["long_name"]).partition(",")[0] for name in exposures if sims[name].attrs.get("prior_only")
    ]
    ratio = number(float(cells.max() / cells.min()), 2)
    return (
        f"For an adult of 70 kg the viable cells in lung over 60 days are in proportion to the dose: {ratio} times as "
        f"many with {most} as with {least}; the predictions of {' and '.join(prior)} are prior only, because the label "
        f"data say nothing about them (IL-10, a marker of engagement and not of efficacy, goes from a median of "
        f"{start} to a peak of {peak} pg/mL)."
    )


def _listed(names: Iterable[object]) -> str:
    return " and ".join(str(name).capitalize() for name in names)


def _scored(scores: pd.DataFrame) -> str:
    p, share = scores["p_response"], scores["prior_share"]
    cohort = scores.attrs["cohort"]
    width = float((scores["upper"] - scores["lower"]).median())
    dominated = int((share > 0.5).sum())
    return (
        f"After a SYNTHETIC cohort of {cohort['labelled']}, {cohort['responders']} of whom responded, ten SYNTHETIC "
        f"patients score from {decimals(p.min())} to {decimals(p.max())}, half of them with 95 % intervals wider than "
        f"{decimals(width)}; for {dominated} of them more than half of the uncertainty is still that of the prior."
    )


def origin_of(regimen: Regimen) -> str:
    """Say which numbers of a regimen are not read or derived: "schedule recalled, infusion time assumed"."""
    found = re.findall(r"(?:^|; )(\w+): .*? \((\w+)\)(?=; \w+: |$)", regimen.source)
    weak = [f"{WORDS.get(key, key)} {evidence}" for key, evidence in found if evidence in WEAK]
    return ", ".join(dict.fromkeys(weak))
