"""A calibration as a file: model, design, numbers; what `make sbc` runs, and what it leaves behind."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import pandas as pd

from mscpkpd.calibration.ranks import Calibration
from mscpkpd.calibration.runs import Progress, calibrate
from mscpkpd.data import Study, read_study
from mscpkpd.errors import InputError
from mscpkpd.files import whole_file
from mscpkpd.fitting.nuts import TARGET_ACCEPT
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model

__all__ = ["Plan", "publish", "read_plan", "read_published"]

SUMMARY, RANKS = "summary.json", "ranks.csv"


@dataclass(frozen=True)
class Plan:
    """What is calibrated.

    Attributes
    ----------
    name : str
        Of the file.
    folder : Path
        Beside which model files and designs are found.
    title : str
        In words.
    model : str
        Shipped model, or a model file beside the plan.
    design : str
        Study table beside the plan: its doses, times and limits count, its values do not.
    n : int
        Simulated studies.
    values : str
        Values file of the model; blank for none.
    about : str
        What it is good for.
    seed : int
    method : str
        Of `fit`.
    draws, tune, chains : int
        Of every study.
    target_accept : float
        Acceptance that the step size aims at, a probability.
    fix : mapping of str to float
        Parameters that are held, in the units of the model.
    priors : mapping of str to str
        Priors in place of those of the model.
    """

    name: str
    folder: Path
    title: str
    model: str
    design: str
    n: int
    values: str = ""
    about: str = ""
    seed: int = 0
    method: str = "nuts"
    draws: int = 250
    tune: int = 300
    chains: int = 2
    target_accept: float = TARGET_ACCEPT
    fix: Mapping[str, float] = field(default_factory=dict)
    priors: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> Model:
        """The model, with the priors of the plan."""
        own = self.folder / self.model
        model = load_model(own if own.suffix == ".toml" else self.model, values=self.values or None)
        for name, prior in self.priors.items():
            model = model.with_prior(name, prior)
        return model

    def template(self) -> Study:
        """The design, as a study whose values stand for nothing."""
        return read_study(self.folder / self.design, name=self.name)

    def run(self, folder: Path, cores: int | None = None, progress: Progress | None = None) -> Calibration:
        """Run it, or go on from what a folder holds.

        Parameters
        ----------
        folder : Path
            Where finished studies are kept.
        cores : int, optional
            Studies at a time.
        progress : callable, optional
            Called with the studies done and all of them.
        """
        return calibrate(
            self.described(), self.template(), self.n, method=self.method, draws=self.draws, tune=self.tune,
            chains=self.chains, target_accept=self.target_accept, fix=self.fix, seed=self.seed, cores=cores,
            folder=folder, progress=progress,
        )  # fmt: skip


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Parameters
    ----------
    path : Path
        A TOML file with the attributes of `Plan`.

    Raises
    ------
    InputError
        If it cannot be read, or a key is unknown or missing.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"this is no plan: {error}", where=str(path)) from error
    known = {each.name for each in fields(Plan)} - {"name", "folder"}
    wrong = sorted(given.keys() - known)
    missing = sorted({"title", "model", "design", "n"} - given.keys())
    if wrong or missing:
        said = [f"unknown: {', '.join(wrong)}"] * bool(wrong) + [f"missing: {', '.join(missing)}"] * bool(missing)
        raise InputError("; ".join(said), where=str(path), expected=", ".join(sorted(known)))
    return Plan(path.stem, path.parent, **given)


def publish(plan: Plan, found: Calibration, folder: Path) -> None:
    """Write what is kept of a calibration: verdict, one row for each quantity, and all ranks.

    Parameters
    ----------
    plan : Plan
    found : Calibration
    folder : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = {
        "title": plan.title, "about": plan.about, "verdict": found.verdict, "passed": found.passed,
        "draws": found.draws, "settings": dict(found.settings),
        "failures": {str(k): why for k, why in found.failures.items()},
        "quantities": json.loads(found.table.round(6).to_json(orient="records")),
    }  # fmt: skip
    with whole_file(folder / f"{plan.name}_{SUMMARY}") as part:
        part.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    table = found.ranks.pivot_table(index="study", columns="quantity", values="rank", aggfunc="first")
    wide = table[list(found.table["quantity"])].astype(int)
    with whole_file(folder / f"{plan.name}_{RANKS}") as part:
        wide.to_csv(part)


def read_published(folder: Path, name: str) -> tuple[dict[str, object], pd.DataFrame]:
    """Summary and ranks that `publish` wrote, the ranks with columns study, quantity and rank.

    Parameters
    ----------
    folder : Path
    name : str
        Of the plan.
    """
    summary = json.loads((folder / f"{name}_{SUMMARY}").read_text(encoding="utf-8"))
    wide = pd.read_csv(folder / f"{name}_{RANKS}")
    return summary, wide.melt(id_vars="study", var_name="quantity", value_name="rank")
