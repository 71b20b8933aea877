"""Published facts about rats and mice beside what the priors of the models alone predict.

Means, bounds and orders of single studies cannot test a model alone, and some of them were used to write its priors;
which, is read from the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.dosing import bolus
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

__all__ = ["Comparison", "compare"]

MODEL = "two_functional_compartments"
DOSE = {"rat": 5e6, "mouse": 2e6}  # cells; shares of the dose do not depend on it
TIMES = {  # h; the fine grid is for half-lives
    "rat": np.array([0.083, 1.0, 2.0, 20.0, 24.0, 48.0, 72.0]),
    "mouse": np.unique(np.concatenate([[0.083, 0.25, 1.0, 24.0, 72.0, 96.0], np.arange(0.0, 121.0, 1.0)])),
}
ORGANS = ("lung", "liver", "spleen")
BODY = ("blood", *ORGANS, "rest")
OUTPUTS = (*(f"{organ}_label" for organ in ORGANS), *(f"{place}_cells" for place in BODY))
PERCENT, HOURS = "% (of the dose, or as named)", "half-life [h]"
QUANTILES = {"lower": 0.025, "lower_50": 0.25, "median": 0.5, "upper_50": 0.75, "upper": 0.975}


@dataclass(frozen=True)
class Comparison:
    """Facts and predictions.

    Attributes
    ----------
    numbers : pandas.DataFrame
        One row a published number or finding, with quantiles of its prior prediction.
    orderings : pandas.DataFrame
        One row a published order, with the share of prior draws that agree [fraction].
    listed : pandas.DataFrame
        The other facts of the evidence table, with what a fit may do with them.
    """

    numbers: pd.DataFrame
    orderings: pd.DataFrame
    listed: pd.DataFrame


@dataclass(frozen=True)
class _Animal:
    """A model with its prior draws."""

    model: Model
    times: np.ndarray
    paths: Mapping[str, np.ndarray]  # output -> (draw, time), percent of the dose

    def at(self, output: str, time: float) -> np.ndarray:
        return np.asarray(self.paths[output][:, int(np.argmin(np.abs(self.times - time)))])

    def prior(self, name: str) -> np.ndarray:
        """Evenly spaced quantiles of a prior, which say more than as many draws."""
        return np.asarray(self.model.parameter(name).prior.quantile((np.arange(999) + 0.5) / 999))

    def half_life(self) -> np.ndarray:
        """First time at which at most half of the viable cells are left; NaN where that is later than the grid."""
        body = np.asarray(sum(self.paths[f"{place}_cells"] for place in BODY))
        left = body / body[:, :1]
        out = np.full(len(left), np.nan)
        for k, path in enumerate(left):
            if np.any(path <= 0.5):
                j = int(np.argmax(path <= 0.5))
                out[k] = np.interp(-0.5, [-path[j - 1], -path[j]], self.times[j - 1 : j + 1])
        return out

    def informed_by(self, study: str) -> str:
        """Parameters whose prior rests on a study."""
        names = [p.name for p in self.model.parameters if study in p.prior_source or study in p.source]
        return ", ".join(names)


@dataclass(frozen=True)
class _Number:
    """A published number, where it stands in the evidence table, and how it is predicted."""

    species: str
    title: str
    keys: Mapping[str, object]
    unit: str
    predict: Callable[[_Animal], np.ndarray]
    how: str
    finding: str = ""  # for a fact without a number


@dataclass(frozen=True)
class _Order:
    """A published order, where it stands in the evidence table, and when a draw agrees."""

    species: str
    keys: Mapping[str, object]
    agrees: Callable[[_Animal], np.ndarray]
    how: str


NUMBERS = (
    _Number(
        "rat", "label in lung at 5 min", {"study": "assis_2010", "organ": "lung", "unit": "percent"}, PERCENT,
        lambda a: a.at("lung_label", 0.083), "lung_label at 5 min",
    ),
    _Number(
        "rat", "label in lung at 1 h, other cells", {"study": "bonios_2011", "organ": "lung", "route": "iv"}, PERCENT,
        lambda a: a.at("lung_label", 1.0), "lung_label at 1 h",
    ),
    _Number(
        "rat", "arrested at first pass, muscle",
        {"study": "toma_2009", "quantity_detail": "percent_arrested_at_first_pass"}, PERCENT,
        lambda a: 100 * a.prior("eps_bed"), "eps_bed",
    ),
    _Number(
        "rat", "left in tissue at 72 h", {"study": "toma_2009", "time_h": 72.0}, PERCENT,
        lambda a: 100 * np.exp(-72 * a.prior("k_T")), "exp(-k_T 72 h)",
    ),
    _Number(
        "mouse", "cells in lung at 15 min", {"study": "lee_2009", "time_h": 0.25}, PERCENT,
        lambda a: a.at("lung_cells", 0.25), "lung_cells at 15 min",
    ),
    _Number(
        "mouse", "viable in lung at 24 h", {"study": "eggenhofer_2012", "organ": "lung", "time_h": 24.0, "unit": "0_1",
        "quantity": "detected_0_1"}, PERCENT, lambda a: a.at("lung_cells", 24.0), "lung_cells at 24 h", "found",
    ),
    _Number(
        "mouse", "viable in lung at 72 h", {"study": "eggenhofer_2012", "organ": "lung", "time_h": 72.0}, PERCENT,
        lambda a: a.at("lung_cells", 72.0), "lung_cells at 72 h", "none found",
    ),
    _Number(
        "mouse", "cells in six other tissues", {"study": "lee_2009", "organ": "other_tissues_sum"}, PERCENT,
        lambda a: a.at("liver_cells", 24.0) + a.at("spleen_cells", 24.0), "liver_cells + spleen_cells at 24 h",
    ),
    _Number(
        "mouse", "half-life in lung", {"study": "lee_2009", "quantity": "half_life_h"}, HOURS,
        lambda a: np.log(2) / a.prior("k_L"), "ln 2 / k_L",
    ),
    _Number(
        "mouse", "half-life in the whole body", {"study": "wuttisarnwattana_2020", "quantity": "half_life_h"}, HOURS,
        _Animal.half_life, "time until half of the viable cells are left",
    ),
)  # fmt: skip

ORDERS = (
    _Order(
        "rat", {"study": "assis_2010", "organ": "lung", "quantity": "marker"},
        lambda a: a.at("lung_label", 1.0) < a.at("lung_label", 0.083), "lung_label at 1 h below that at 5 min",
    ),
    _Order(
        "rat", {"study": "detante_2009", "organ": "lung"},
        lambda a: a.at("lung_label", 20.0) < a.at("lung_label", 2.0), "lung_label at 20 h below that at 2 h",
    ),
    _Order(
        "rat", {"study": "detante_2009", "organ": "spleen"},
        lambda a: (a.at("spleen_label", 20.0) > a.at("spleen_label", 2.0))
        & (a.at("liver_label", 20.0) <= a.at("liver_label", 2.0)),
        "spleen_label rises from 2 to 20 h, liver_label does not",
    ),
    _Order(
        "rat", {"study": "gao_2001", "organ": "lung"}, lambda a: _largest(a, "lung", 48.0),
        "lung_label the largest of lung, liver, spleen at 48 h",
    ),
    _Order(
        "mouse", {"study": "eggenhofer_2012", "organ": "lung", "quantity": "marker"},
        lambda a: _largest(a, "lung", 1.0),
        "lung_label the largest of lung, liver, spleen at 1 h",
    ),
    _Order(
        "mouse", {"study": "eggenhofer_2012", "organ": "liver", "quantity": "marker"},
        lambda a: _largest(a, "liver", 24.0), "liver_label the largest of lung, liver, spleen at 24 h",
    ),
)  # fmt: skip


def compare(evidence: pd.DataFrame, *, draws: int, seed: int, progress: Callable[[int, int], None]) -> Comparison:
    """Set published facts beside prior predictions.

    Parameters
    ----------
    evidence : pandas.DataFrame
        The shipped evidence table.
    draws : int
        Prior draws of each model.
    seed : int
    progress : callable
        Receives solves done and wanted.
    """
    animals = {
        species: _animal(species, draws, seed, lambda done, n, k=k: progress(k * n + done, len(TIMES) * n))  # type: ignore[misc]
        for k, species in enumerate(TIMES)
    }
    used: set[int] = set()
    numbers = [_number_row(fact, animals[fact.species], evidence, used) for fact in NUMBERS]
    orderings = [_order_row(fact, animals[fact.species], evidence, used) for fact in ORDERS]
    rest = evidence.drop(index=sorted(used))
    rest = rest[~rest["study"].isin(["gholamrezanezhad_2011", "mirpour_2009"])]
    columns = ["reference", "species", "organ", "statement", "use", "use_reason", "provenance"]
    return Comparison(pd.DataFrame(numbers), pd.DataFrame(orderings), rest[columns].reset_index(drop=True))


def _animal(species: str, draws: int, seed: int, progress: Callable[[int, int], None]) -> _Animal:
    model = load_model(MODEL, values=species)
    times = TIMES[species]
    sims = simulate(
        model, bolus(f"{DOSE[species]:g} cells", "iv"), draws=draws, times=times.tolist(), outputs=OUTPUTS, seed=seed,
        progress=progress,
    )  # fmt: skip
    paths = {name: 100 * sims[name].to_numpy()[0, 0] / DOSE[species] for name in OUTPUTS}
    return _Animal(model, times, paths)


def _find(evidence: pd.DataFrame, keys: Mapping[str, object]) -> pd.Series:
    found = evidence
    for column, value in keys.items():
        found = found[found[column] == value]
    return found.iloc[0]


def _number_row(fact: _Number, animal: _Animal, evidence: pd.DataFrame, used: set[int]) -> dict[str, object]:
    row = _find(evidence, fact.keys)
    used.add(int(str(row.name)))
    predicted = fact.predict(animal)
    predicted = predicted[np.isfinite(predicted)]
    value, bound = float(row["value"]), "<" if row["censoring"] == "left" else ""
    if row["quantity"] == "cells":
        value *= 100 / float(row["dose"])
    if fact.finding:
        value = np.nan
    informed = animal.informed_by(str(row["study"]))
    end = f": {fact.finding}" if fact.finding else ""
    return {
        "label": f"{fact.species}, {fact.title}\n{_short(row)}{end}",
        "species": fact.species, "reference": row["reference"], "statement": row["statement"], "unit": fact.unit,
        "observed": value, "sd": float(row["sd"]), "bound": bound, "finding": fact.finding, "predicted_as": fact.how,
        **{name: float(np.quantile(predicted, p)) for name, p in QUANTILES.items()},
        "informed": bool(informed), "informed_priors": informed, "use": row["use"], "provenance": row["provenance"],
        "recalled": row["provenance"] == "recalled",
    }  # fmt: skip


def _order_row(fact: _Order, animal: _Animal, evidence: pd.DataFrame, used: set[int]) -> dict[str, object]:
    row = _find(evidence, fact.keys)
    used.add(int(str(row.name)))
    return {
        "species": fact.species, "reference": row["reference"], "statement": row["statement"], "predicted_as": fact.how,
        "agree": float(np.mean(fact.agrees(animal))), "informed_priors": animal.informed_by(str(row["study"])),
        "use": row["use"], "provenance": row["provenance"],
    }  # fmt: skip


def _short(row: pd.Series) -> str:
    return " ".join(str(row["reference"]).split()[:2])


def _largest(animal: _Animal, organ: str, time: float) -> np.ndarray:
    others = [name for name in ORGANS if name != organ]
    mine = animal.at(f"{organ}_label", time)
    return np.asarray(np.all([mine > animal.at(f"{name}_label", time) for name in others], axis=0))
