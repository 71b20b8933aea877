"""What the mechanistic model of acute GVHD says about the 24 h change of CXCL10, as a prior of the landmark model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.errors import FitError, UsageError
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

if TYPE_CHECKING:
    from mscpkpd.dosing import Regimen
    from mscpkpd.responder.mixtures import FloatArray

__all__ = ["ChangePrior", "change_prior"]

MODEL, OUTPUT, DRIVE = "agvhd_cxcl10", "cxcl10_change", "G_0"
# patients of low, typical and high IFN-gamma drive: three points with mean, variance and kurtosis of a normal
POINTS, SHARES = np.array([-math.sqrt(3.0), 0.0, math.sqrt(3.0)]), np.array([1 / 6, 2 / 3, 1 / 6])
DRIVE_SD = math.sqrt(math.log(1 + 0.5**2))  # of ln G_0, as its prior in the model file
DRIVE_EXPONENT = 0.7  # h_C: from drive to CXCL10
ALL_SD = 0.9  # of ln CXCL10 between patients, of which the drive explains a part
RESIDUAL, WIDEST = 0.35, 0.18  # SD of the change between patients and of its mean that the model does not explain
FEWEST = 20


@dataclass(frozen=True, eq=False)
class ChangePrior:
    """Prior of the true log fold change at 24 h; every number behind it is assumed.

    Attributes
    ----------
    mu_d, s_d, r_dx : str
        Priors for ``Responder.with_prior``: mean and SD of the change between patients, and its regression on true ln
        CXCL10 before.
    means : array of shape (draws,)
        Mean change of each draw of the model's priors, natural log, dimensionless.
    slopes : array of shape (draws,)
        Regression on the part of ln CXCL10 that follows the drive [1].
    source : str
        Model, values, dose and number of draws.
    """

    mu_d: str
    s_d: str
    r_dx: str
    means: FloatArray
    slopes: FloatArray
    source: str

    def __str__(self) -> str:
        low, high = np.quantile(self.means, [0.05, 0.95])
        return f"{self.source}: mean change {self.means.mean():.2f} ({low:.2f} to {high:.2f}, 90 % of draws)"


def change_prior(
    regimen: Regimen,
    *,
    values: str = "human_70kg,live",
    weight: str = "70 kg",
    coupling: str = "draws",
    draws: int = 200,
    seed: int = 0,
) -> ChangePrior:
    """Predict the 24 h log fold change of CXCL10 from dose and licensing, and make a prior of it.

    Parameters
    ----------
    regimen : Regimen
        The first infusion.
    values : str
        Values of ``agvhd_cxcl10``: the species, and "live" (licensing), "death" or "both".
    weight : str
        Body weight.
    coupling : str
        "draws": the spread of the model's own priors is carried over (the default); "plug-in": the model is taken at
        its word, for comparison only. A full joint fit of both models is not offered.
    draws : int
        Draws of the model's priors, at least 20.
    seed : int
        The same seed gives the same numbers.

    Returns
    -------
    ChangePrior

    Raises
    ------
    UsageError
        For another coupling, or too few draws.
    FitError
        If the model could not be solved.

    Notes
    -----
    Three patients (drive low, typical, high) are simulated for each draw. The change a hot recipient shows is larger,
    so that level and change go together; only the part of ln CXCL10 that follows the drive carries it. What the model
    leaves unexplained between patients, and whether there is a fall at all, is assumed: SD 0.35 and 0.18 are added.
    """
    if coupling not in ("draws", "plug-in") or draws < FEWEST:
        raise UsageError(
            f"coupling='{coupling}', draws={draws}", expected=f"'draws' or 'plug-in', at least {FEWEST} draws"
        )
    changes = np.array([_changes(regimen, values, weight, float(z), draws, seed) for z in POINTS])
    means = SHARES @ changes
    level = DRIVE_EXPONENT * DRIVE_SD * POINTS
    slopes = (SHARES * level) @ (changes - means) / float(SHARES @ level**2)
    explained = float(SHARES @ level**2) / ALL_SD**2
    spread = math.sqrt(float(np.mean(SHARES @ (changes - means) ** 2)) + RESIDUAL**2)
    uncertain = math.hypot(float(means.std()), WIDEST) if coupling == "draws" else 1e-3
    regression = f"normal({explained * slopes.mean():.3f}, {0.15 if coupling == 'draws' else 1e-3:g})"
    return ChangePrior(
        mu_d=f"normal({means.mean():.3f}, {uncertain:.3g})",
        s_d=f"lognormal({spread:.3f}, {0.361 if coupling == 'draws' else 1e-3:g})",
        r_dx=regression,
        means=means,
        slopes=slopes,
        source=f"{MODEL} ({values}), {draws} draws of its assumed priors, coupling '{coupling}'",
    )


def _changes(regimen: Regimen, values: str, weight: str, z: float, draws: int, seed: int) -> FloatArray:
    """Change at 24 h of one patient for each draw, shape (draws,)."""
    found = simulate(
        load_model(MODEL, values=values),
        regimen,
        draws=draws,
        weight=weight,
        times=[24.0],
        outputs=[OUTPUT],
        parameters={DRIVE: math.exp(z * DRIVE_SD)},
        seed=seed,
    )
    change = np.asarray(found[OUTPUT].values[0, 0, :, 0], float)
    if not np.isfinite(change).all():
        raise FitError(f"{int((~np.isfinite(change)).sum())} of {draws} simulations of {MODEL} failed")
    return change
