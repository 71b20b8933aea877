"""Parameter draws by name, on their natural scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mscpkpd.responder.definition import COVARIATES
from mscpkpd.responder.likelihood import Theta
from mscpkpd.responder.mixtures import FloatArray, NormalMixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mscpkpd.responder.definition import Definition

__all__ = ["OFFSET", "OUTCOME", "SLOPE_ON_PREDICTOR", "Draws", "natural", "prior_draws", "prior_of"]

OUTCOME = ("alpha", "b1", *COVARIATES)
LEVELS = ("mu_x", "s_x", "s_u")
OFFSET = "offset_"
SLOPE_ON_PREDICTOR = "slope_on_predictor"


@dataclass(frozen=True, eq=False)
class Draws:
    """Equally weighted draws.

    Attributes
    ----------
    names : tuple of str
        alpha, b1, gamma_..., mu_x, s_x, s_u, offset_<platform>, and slope_on_predictor where it was updated.
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

    def theta(self, offset: FloatArray) -> Theta:
        """Return the draws for patients of one platform with this offset, shape (n,)."""
        gamma = np.column_stack([self.column(name) for name in COVARIATES])
        mu_x, s_x, s_u = (self.column(name) for name in LEVELS)
        return Theta(self.column("alpha"), self.column("b1"), gamma, mu_x, s_x, s_u, offset[:, None])

    def with_coefficients(self, other: Draws) -> Draws:
        """Return these draws with alpha, b1 and gamma of others, of the same number."""
        columns = [other.column(name) if name in OUTCOME else self.column(name) for name in self.names]
        return Draws(self.names, np.column_stack(columns))

    def first(self, n: int) -> Draws:
        """Return the first n draws; they are in random order."""
        return Draws(self.names, self.values[:n].copy())


def prior_of(definition: Definition, name: str) -> NormalMixture:
    """Return the prior of any column of `Draws` except slope_on_predictor, on its free scale."""
    return definition.prior("offset" if name.startswith(OFFSET) else name)


def natural(prior: NormalMixture, z: FloatArray) -> FloatArray:
    """Return natural values of free ones."""
    return np.exp(z) if prior.transform == "log" else z


def prior_draws(definition: Definition, platforms: Sequence[str], n: int, rng: np.random.Generator) -> Draws:
    """Return draws from the prior, with an offset for each platform but the first (the reference)."""
    names = (*OUTCOME, *LEVELS, *(OFFSET + platform for platform in platforms[1:]))
    priors = [prior_of(definition, name) for name in names]
    return Draws(names, np.column_stack([natural(prior, prior.sample(rng, n)) for prior in priors]))
