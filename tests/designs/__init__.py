"""A design for every shipped model and every values file: what is given, what is observed and when.

The laws of the library (`test_library`), the stored references and the round trips are run over these designs, so that
a new model is tested by adding one row beside those of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from mscpkpd.dosing import Regimen
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model


@dataclass(frozen=True)
class Design:
    """One way to study a model.

    `free` names the candidates of a recovery, by default all free parameters without those of the noise; `negative`
    allows states below zero.
    """

    model: str
    values: str | tuple[str, ...] | None
    regimen: Regimen
    outputs: tuple[str, ...]
    times: tuple[float, ...]
    weight: float | None = None
    free: tuple[str, ...] = ()
    negative: bool = False

    @property
    def key(self) -> str:
        """Name of the model with its values, as in the files of references."""
        return f"{self.model}/{self.stems}"

    @property
    def stems(self) -> str:
        """Names of the values files, separated by commas."""
        return self.values if isinstance(self.values, str) else ",".join(self.values or ())

    def load(self) -> Model:
        """The model with its values."""
        return _loaded(self.model, self.values)

    @property
    def path_times(self) -> np.ndarray:
        """Times at which states are compared: dense after the first dose, to the end of the design."""
        return np.unique(np.concatenate([max(self.times) * np.geomspace(1e-4, 1.0, 9), self.times]))


_loaded = cache(load_model)

GROUPS = tuple(sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py")))
DESIGNS: tuple[Design, ...] = tuple(
    design for group in GROUPS for design in import_module(f"{__name__}.{group}").DESIGNS
)
