"""The three jobs, end to end, on shipped data: fit, simulate, score; one report."""

from __future__ import annotations

import dataclasses
import json
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from mscpkpd.cohort import read_cohort
from mscpkpd.data import Study, read_study
from mscpkpd.demo.findings import origin_of, sentences
from mscpkpd.demo.preclinical import MODEL, compare
from mscpkpd.exposures import exposure
from mscpkpd.files import check_place
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.result import Fit, versions
from mscpkpd.model import Model
from mscpkpd.modelfile import library_path, load_model, load_regimen
from mscpkpd.report import write_fit_run, write_report, write_score_run, write_simulation_run
from mscpkpd.report.content import MARK
from mscpkpd.responder import load_responder
from mscpkpd.simulation import simulate

__all__ = ["DemoResult", "Settings", "run_demo"]

Progress = Callable[[str, int, int], None]

HUMAN, MOUSE = "human_111In_gholamrezanezhad_2011.csv", "mouse_iv_SYNTHETIC"
FIRST_IMAGE, EARLIER = 2.0, 0.5  # h after the dose: as dated in one abstract, and if it was taken at once
PARTS = {
    "human": "fit_human",
    "human_early": "fit_human_05h",
    "mouse": "fit_mouse_SYNTHETIC",
    "simulation": "simulation",
    "scores": "scores_SYNTHETIC",
}


@dataclass(frozen=True)
class Settings:
    """How much is computed.

    Attributes
    ----------
    draws, tune, chains : int
        Of each sampled fit.
    subjects, posterior_draws : int
        Of the simulation.
    prior_draws : int
        Of each preclinical model.
    weight, until : str
        Of the simulated adult; length of the simulation.
    regimens, outputs : tuple of str
        What is simulated.
    """

    draws: int = 1500
    tune: int = 500
    chains: int = 4
    subjects: int = 20
    posterior_draws: int = 15
    prior_draws: int = 200
    weight: str = "70 kg"
    until: str = "60 d"
    regimens: tuple[str, ...] = ("ryoncil", "temcell", "amimestrocel")
    outputs: tuple[str, ...] = ("lung_cells", "lung_label", "pge2_lung", "il10")


FULL = Settings()
QUICK = Settings(draws=30, tune=60, chains=2, subjects=5, posterior_draws=4, prior_draws=40)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    report : Path
        The page.
    exit_status : int
        0, or 3 if a part fails its own checks.
    first_line : str
        Verdict in one line.
    """

    report: Path
    exit_status: int
    first_line: str


@dataclass
class _Run:
    """State of one demo: where it writes, how much it computes, what it found so far."""

    out: Path
    quick: bool
    tell: Progress
    seed: int
    settings: Settings
    began: float = field(default_factory=time.time)
    missing: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def record(self, status: str) -> None:
        """Write the record: from the start on the folder is known as that of a demo."""
        content = {
            "format": 1, "kind": "demo", "status": status, "quick": self.quick, "seed": self.seed, "parts": PARTS,
            "missing": self.missing, "faults": self.faults, "found": self.found,
            "settings": dataclasses.asdict(self.settings), "versions": versions(),
            "seconds": round(time.time() - self.began, 1),
        }  # fmt: skip
        (self.out / MARK).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def keep(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table for the report."""
        folder = self.out / "tables"
        folder.mkdir(exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False)


def run_demo(out: str | Path, quick: bool = False, progress: Progress | None = None, seed: int = 1) -> DemoResult:  # noqa: FBT001, FBT002 - called by position
    """Fit, simulate and score the shipped data and write one report.

    Parameters
    ----------
    out : str or Path
        New, empty, or the folder of an earlier demo.
    quick : bool
        Few draws: every page and figure says that it is no result.
    progress : callable, optional
        Receives the name of the stage, and how much of it is done and wanted.
    seed : int
        Same seed, same numbers.

    Returns
    -------
    DemoResult

    Raises
    ------
    UsageError
        If the folder holds something that no run made.
    """
    out = Path(out)
    check_place(out, MARK)
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(out, quick, progress or (lambda *_: None), seed, QUICK if quick else FULL)
    run.record("running")
    human = _human(run)
    _preclinical(run)
    _mouse(run)
    sims, exposures = _schedules(run, human)
    scores = _scores(run)
    run.found = sentences(human, sims, exposures, scores)
    run.record("done")
    run.tell("writing the report", 0, 1)
    page = write_report(out)
    run.tell("writing the report", 1, 1)
    faulty = bool(run.faults) and not quick
    return DemoResult(page, 3 if faulty else 0, _first_line(run))


def _first_line(run: _Run) -> str:
    if run.quick:
        return "QUICK, not a result: the three jobs ran on the shipped data with few draws."
    if run.faults:
        return f"NOT A RESULT: {' '.join(run.faults)}"
    return "Done: all fits pass their checks, every schedule was solved, the scorer passes its check."


# ---- (a) fits ----------------------------------------------------------------------------------------------------


def _human(run: _Run) -> Fit:
    """Fit the human label data with the first image at 2 h, and again at 0.5 h."""
    model = load_model(MODEL, values="human_70kg")
    study = read_study(library_path() / "data" / HUMAN)
    shown = _mirpour()
    main = _sampled(run, model, study, "human", "fitting the human data, first image at 2 h", shown)
    early = _sampled(run, model, _dated(study), "human_early", "fitting again, first image at 0.5 h", shown)
    run.keep("first_image", _beside(main, early))
    return main


def _dated(study: Study) -> Study:
    """The same study with the first image at 0.5 h."""
    records = tuple(
        dataclasses.replace(record, time=EARLIER) if record.time == FIRST_IMAGE else record for record in study.records
    )
    return dataclasses.replace(study, name=f"{study.name}, first image at {EARLIER:g} h", records=records)


def _sampled(run: _Run, model: Model, study: Study, part: str, stage: str, shown: pd.DataFrame) -> Fit:
    how = run.settings
    run.tell(stage, 0, 1)
    start = fit(model, study, "least_squares")
    found = fit(
        model, study, "nuts", start=start, seed=run.seed, draws=how.draws, tune=how.tune, chains=how.chains,
        progress=lambda done, wanted, _: run.tell(stage, done, wanted),
    )  # fmt: skip
    return _kept(run, found, part, shown)


def _kept(run: _Run, found: Fit, part: str, shown: pd.DataFrame | None = None) -> Fit:
    """Write the run folder of a fit; a quick fit is not judged, so that the later jobs can be seen."""
    if run.quick:
        notes = (
            *found.notes,
            *(f"not judged in a quick run: {check.sentence}" for check in found.checks if not check.ok),
        )
        found = dataclasses.replace(found, checks=(), notes=notes, settings={**found.settings, "quick": True})
    elif not found.converged:
        run.faults.append(f"{PARTS[part]}: {found.verdict}")
    early = shown if shown is None or part != "human_early" else _moved(shown)
    write_fit_run(found, run.out / PARTS[part], str(found), shown=early)
    return found


def _moved(shown: pd.DataFrame) -> pd.DataFrame:
    return shown.assign(time=shown["time"].replace(FIRST_IMAGE, EARLIER))


def _evidence() -> pd.DataFrame:
    return pd.read_csv(library_path() / "data" / "biodistribution_evidence.csv")


def _mirpour() -> pd.DataFrame:
    rows = _evidence().query("study == 'mirpour_2009'")
    label = "Mirpour 2009, 2 of the 4"
    output = [f"{organ}_label" for organ in rows["organ"]]
    return pd.DataFrame({"output": output, "time": rows["time_h"], "value": rows["value"], "label": label})


def _beside(one: Fit, other: Fit) -> pd.DataFrame:
    """Estimates of two fits beside each other, for the parameters that the data could inform."""
    columns = ["parameter", "estimate", "lower", "upper", "learned"]
    left = one.table[one.table["note"] != "prior only"][[*columns, "unit", "sd"]]
    table = left.merge(other.table[columns], on="parameter", suffixes=("", "_early"))
    table["shift"] = (table["estimate_early"] - table["estimate"]) / table["sd"]
    return table.drop(columns="sd")


def _preclinical(run: _Run) -> None:
    stage = "prior predictions for rat and mouse"
    compared = compare(
        _evidence(), draws=run.settings.prior_draws, seed=run.seed, progress=lambda done, n: run.tell(stage, done, n)
    )
    run.keep("preclinical", compared.numbers)
    run.keep("orderings", compared.orderings)
    run.keep("listed", compared.listed)


def _mouse(run: _Run) -> None:
    stage = "fitting the SYNTHETIC mouse study"
    run.tell(stage, 0, 1)
    folder = library_path() / "data"
    model = load_model(MODEL, values="mouse")
    found = fit(model, read_study(folder / f"{MOUSE}.csv"), "least_squares", seed=run.seed)
    found = _kept(run, found, "mouse")
    truth = tomllib.loads((folder / f"{MOUSE}.toml").read_text(encoding="utf-8"))["truth"]
    table = found.table[["parameter", "unit", "estimate", "lower", "upper", "note"]].copy()
    table["truth"] = [truth.get(name, model.parameter(name).value) for name in table["parameter"]]
    run.keep("truth", table)
    run.tell(stage, 1, 1)


# ---- (b) schedules -----------------------------------------------------------------------------------------------


def _schedules(run: _Run, human: Fit) -> tuple[xr.Dataset | None, dict[str, pd.DataFrame]]:
    stage, how = "simulating three schedules", run.settings
    if not human.converged:
        run.missing["simulation"] = (
            "Not simulated: the human fit does not pass its checks, so it is no result to build on."
        )
        return None, {}
    regimens = {name: load_regimen(name) for name in how.regimens}
    sims = simulate(
        human.model, regimens, draws=human, n_draws=how.posterior_draws, subjects=how.subjects, weight=how.weight,
        until=how.until, outputs=how.outputs, seed=run.seed, progress=lambda done, n: run.tell(stage, done, n),
    )  # fmt: skip
    if sims.attrs["failures"]:
        run.faults.append(f"{sims.attrs['failures']} of {sims['failed'].size} solves of the schedules failed.")
    exposures = {name: exposure(sims, name) for name in how.outputs}
    known = {
        name: {"about": regimen.about, "remark": origin_of(regimen), "source": regimen.source}
        for name, regimen in regimens.items()
    }
    write_simulation_run(
        sims, exposures, run.out / PARTS["simulation"],
        {"title": f"Three schedules for an adult of {how.weight}", "quick": run.quick, "schedules": known,
         "weight": how.weight, "versions": versions()},
    )  # fmt: skip
    return sims, exposures


# ---- (c) scores --------------------------------------------------------------------------------------------------


def _scores(run: _Run) -> pd.DataFrame:
    stage = "scoring ten SYNTHETIC patients"
    run.tell(stage, 0, 1)
    folder = library_path() / "data"
    cohort = read_cohort(folder / "cxcl10_cohort_SYNTHETIC.csv")
    patients = read_cohort(folder / "cxcl10_patients_SYNTHETIC.csv")
    scorer = load_responder().update(cohort, seed=run.seed)
    table = scorer.score(patients, seed=run.seed)
    if not scorer.ok:
        run.faults.append(f"The scorer fails its check: {scorer.check}.")
    record: dict[str, Any] = {"quick": run.quick, "synthetic": True, "versions": versions()}
    write_score_run(scorer, table, run.out / PARTS["scores"], record)
    table.attrs["cohort"] = {"labelled": len(cohort.labelled), "responders": cohort.responders}
    run.tell(stage, 1, 1)
    return table
