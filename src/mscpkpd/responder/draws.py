"""Parameter draws by name, on their natural scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.responder.definition import BETWEEN, COVARIATES, EXTRAS
from mscpkpd.responder.mixtures import FloatArray, NormalMixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.responder.definition import Definition
    from mscpkpd.responder.samples import Groups

__all__ = [
    "CENTRE",
    "LEVELS",
    "OFFSET",
    "PLATE",
    "SLOPE_ON_PREDICTOR",
    "TRIAL",
    "TRIAL_SLOPE",
    "Draws",
    "prior_draws",
    "prior_of",
]

LEVELS = ("mu_x", "s_x", "s_u")
OFFSET, PLATE, TRIAL, CENTRE, TRIAL_SLOPE = "offset_", "plate_", "trial_", "centre_", "slope_"
SLOPE_ON_PREDICTOR = "slope_on_predictor"
COEFFICIENTS = ("alpha", "b1", *COVARIATES, *EXTRAS)
EFFECTS = {TRIAL: "tau_trial", CENTRE: "tau_centre", TRIAL_SLOPE: "tau_slope"}


@dataclass(frozen=True, eq=False)
class Draws:
    """Equally weighted draws.

    Attributes
    ----------
    names : tuple of str
        alpha, b1, gamma_..., mu_x, s_x, s_u, offset_<platform>; plate_<name>, tau_..., trial_<name>, centre_<name> and
        slope_<trial> where the cohort has them, and slope_on_predictor where it was updated.
    values : array of shape (n, number of names)
        Natural scales; read-only.
    """

    names: tuple[str, ...]
    values: FloatArray

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> FloatArray:
        """Return the draws of one parameter, shape (n,)."""
        return self.values[:, self.names.index(name)]

    def columns(self, prefix: str) -> dict[str, FloatArray]:
        """Return the draws of all parameters of one prefix, by the rest of their names."""
        found = [name for name in self.names if name.startswith(prefix) and name != SLOPE_ON_PREDICTOR]
        return {name.removeprefix(prefix): self.column(name) for name in found}

    def with_coefficients(self, other: Draws) -> Draws:
        """Return these draws with coefficients and effects of others, of the same number and names."""
        taken = (*COEFFICIENTS, *BETWEEN)
        columns = [
            other.column(name) if name in other.names and (name in taken or name.startswith(tuple(EFFECTS))) else own
            for name, own in zip(self.names, self.values.T, strict=True)
        ]
        return Draws(self.names, np.column_stack(columns))

    def first(self, n: int) -> Draws:
        """Return the first n draws; they are in random order."""
        return Draws(self.names, self.values[:n].copy())


def prior_of(definition: Definition, name: str, *, several_trials: bool = False) -> NormalMixture:
    """Return the prior of any column of `Draws` on its free scale; of an effect, of effect/tau.

    `slope_on_predictor` has none here.
    """
    if name.startswith(tuple(EFFECTS)):
        return NormalMixture("normal(0, 1)", (1.0,), (0.0,), (1.0,))
    for prefix, family in ((OFFSET, "offset"), (PLATE, "plate")):
        if name.startswith(prefix):
            return definition.prior(family)
    return definition.prior("alpha_trials" if several_trials and name == "alpha" else name)


def names_of(groups: Groups) -> tuple[str, ...]:
    """Return the names of all parameters of a cohort, in order."""
    between = (*(["tau_trial"] * bool(groups.trials)), *(["tau_centre"] * bool(groups.centres)))
    return (
        *("alpha", "b1", *COVARIATES, *groups.extras, *LEVELS),
        *(OFFSET + name for name in groups.platforms[1:]),
        *(PLATE + name for name in groups.plates),
        *between,
        *(["tau_slope"] * bool(groups.slopes)),
        *(TRIAL + name for name in groups.trials),
        *(CENTRE + name for name in groups.centres),
        *(TRIAL_SLOPE + name for name in groups.slopes),
    )


def effects_scaled(columns: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Return columns with standardised effects times their SD."""
    scaled = dict(columns)
    for prefix, tau in EFFECTS.items():
        for name, column in columns.items():
            if name.startswith(prefix) and name != SLOPE_ON_PREDICTOR:
                scaled[name] = columns[tau] * column
    return scaled


def prior_draws(
    definition: Definition, platforms: Sequence[str], n: int, rng: np.random.Generator, groups: Groups | None = None
) -> Draws:
    """Return draws from the prior, with an offset for each platform but the first (the reference)."""
    names = (
        names_of(groups)
        if groups
        else (*("alpha", "b1", *COVARIATES), *LEVELS, *(OFFSET + platform for platform in platforms[1:]))
    )
    several = bool(groups and groups.trials)
    priors = {name: prior_of(definition, name, several_trials=several) for name in names}
    columns = effects_scaled({name: prior.natural(prior.sample(rng, n)) for name, prior in priors.items()})
    return Draws(names, np.column_stack(list(columns.values())))
