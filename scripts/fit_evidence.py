# ruff: noqa: INP001, T201 (a script, not a package; it says how far it is)
"""Fit the published evidence on biodistribution, leave each study out in turn, and write the tables behind the page.

    python scripts/fit_evidence.py                    # everything: about an hour on 2 cores
    python scripts/fit_evidence.py --quick --out DIR  # the same steps with too few draws: QUICK, not a result
    python scripts/fit_evidence.py --figures          # only the figures, from the tables that are there

Tables go to docs/evidence, figures to docs/figures; docs/evidence_fit.md shows both, and a test holds its numbers to the
tables. Everything is drawn from one seed: the same versions give the same tables. A fit that has not converged is
refused, but for --quick.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, logsumexp

import mscpkpd as msc
from mscpkpd.data import study_from_frame
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.replicates import observe, shown
from mscpkpd.modelfile import library_path
from mscpkpd.population import Population, pose_population

ROOT = Path(__file__).parents[1]
TABLES, FIGURES = ROOT / "docs" / "evidence", ROOT / "docs" / "figures"
MODEL, STUDY = "biodistribution", library_path() / "data" / "biodistribution_study.csv"
SEED = 20261123
SHAPES = (1, 2, 3, 4, 5)
SHOWN = 1  # the shape of the tables and figures that show one
THINNED = 400  # draws that predictions are made of
SPECIES = ("mouse", "rat", "human")
LITTLE = 0.1  # share of the prior variance below which a parameter is called "prior only"
ENOUGH = 3  # studies that must inform a spread between studies before it is called learned


@dataclass(frozen=True)
class Run:
    """A fit, the study that it leaves out, and what it took."""

    shape: int
    without: str
    fit: msc.Fit
    wall: float
    cpu: float


@dataclass(frozen=True)
class Length:
    """How long chains are."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    quick: bool = False


def load(shape: int) -> msc.Model:
    """The model with as many stages in lung and in the muscle bed."""
    return msc.load_model(MODEL, stages={"lung": shape, "bed": shape})


def evidence(without: str = "") -> msc.Study:
    """All studies but one."""
    table = pd.read_csv(STUDY, dtype=str, keep_default_na=False)
    return study_from_frame(table[table["study"] != without], name="biodistribution_study")


def run(shape: int, without: str, length: Length) -> Run:
    """Sample one posterior."""
    began, spent = time.time(), _cpu()
    fit = msc.fit(load(shape), evidence(without), "nuts", draws=length.draws, tune=length.tune, chains=length.chains, seed=SEED)
    found = Run(shape, without, fit, time.time() - began, _cpu() - spent)
    print(f"{shape} stages, without {without or 'none'}: {found.wall:.0f} s, CPU {found.cpu:.0f} s; {fit.verdict}", flush=True)
    if not (fit.converged or length.quick):
        raise SystemExit(f"{shape} stages, without {without or 'none'}: {fit.verdict}")
    return found


def _cpu() -> float:
    """Seconds of processor time of this process and of those it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# ---- draws of a fit, in the terms of the whole evidence --------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """Draws of all free parameters and random effects of the whole evidence, one row a draw."""

    theta: np.ndarray
    eta: np.ndarray
    scale: np.ndarray  # SD of each random effect in each draw

    def effect(self, population: Population, name: str) -> np.ndarray:
        return np.asarray(self.eta[:, population.eta_names.index(name)])


def drawn(run: Run, population: Population, fresh: str = "") -> Drawn:
    """Thinned draws; effects of groups that the fit did not see, and those of the study `fresh`, are drawn anew."""
    flat = run.fit.posterior.flat()
    rng = np.random.default_rng(SEED)
    count = len(next(iter(flat.values())))
    picked = rng.choice(count, min(THINNED, count), replace=False)
    theta = np.stack([flat[name][picked] for name in population.problem.names], axis=1)
    etas, scales = [], []
    for level in population.levels:
        for label in level.labels:
            for effect in level.effects:
                scale = flat[effect.omega_sd][picked] if effect.omega_sd in flat else np.full(len(picked), effect.sd)
                seen = _effect(run.fit, effect.name, level.name, label)
                new = scale * rng.standard_normal(len(picked))
                etas.append(new if seen is None or label == fresh else seen[picked])
                scales.append(scale)
    return Drawn(theta, np.stack(etas, axis=1), np.stack(scales, axis=1))


def _effect(fit: msc.Fit, name: str, level: str, label: str) -> np.ndarray | None:
    posterior = fit.draws["posterior"]
    if name not in posterior:
        return None
    effects, labels = posterior[name].values, _labels(fit, level)
    return effects[..., labels.index(label)].reshape(-1) if label in labels else None


def _labels(fit: msc.Fit, level: str) -> list[str]:
    """Groups of a level in the order of the draws."""
    own = pose_population(fit.model, fit.study)
    return next((list(each.labels) for each in own.levels if each.name == level), [])


def prior_draws(population: Population) -> Drawn:
    """As `drawn`, of the priors alone."""
    rng = np.random.default_rng(SEED)
    theta = np.stack([p.prior.sample(rng, THINNED) for p in population.problem.free], axis=1)
    etas, scales = [], []
    spread = {e.omega_sd: np.abs(e.prior.sample(rng, THINNED)) for e in population.effects}
    for level in population.levels:
        for _ in level.labels:
            for effect in level.effects:
                scales.append(spread[effect.omega_sd])
                etas.append(scales[-1] * rng.standard_normal(THINNED))
    return Drawn(theta, np.stack(etas, axis=1), np.stack(scales, axis=1))


# ---- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """What draws say of every row: expectation, a new observation, log density; each of shape (draw, row)."""

    expected: np.ndarray
    new: np.ndarray
    log_density: np.ndarray


def rows_of(population: Population, draws: Drawn) -> Rows:
    """Predict every row with every draw."""
    rng, problem = np.random.default_rng(SEED), population.problem
    expected, new, log_density = [], [], []
    for theta, eta in zip(draws.theta, draws.eta, strict=True):
        f, values = population.predict(theta, eta).value, problem.values(theta)
        expected.append(shown(problem, f, values))
        new.append(observe(problem, f, values, rng))
        log_density.append(densities(problem, f, values).value)
    return Rows(np.array(expected), np.array(new), np.array(log_density))


def elpd(rows: Rows, mine: np.ndarray) -> float:
    """Log of the mean density of some rows together."""
    each = rows.log_density[:, mine].sum(axis=1)
    return float(logsumexp(each) - np.log(len(each)))


# ---- quantities of the page --------------------------------------------------------------------------------------------


def quantities(shape: int, population: Population, draws: Drawn) -> dict[str, np.ndarray]:
    """What the evidence is asked for, from draws."""
    column = {name: draws.theta[:, k] for k, name in enumerate(population.problem.names)}
    logit = np.log(column["rho_L"] / (1 - column["rho_L"]))
    found = {}
    for species in SPECIES:
        name = f"eta_rho_L_species[{species}]"
        found[f"lung share, {species}"] = 1 / (1 + np.exp(-(logit + draws.effect(population, name))))
    found["half-life of cells in lung [h]"] = gammaincinv(shape, 0.5) / (shape * column["k_L"])
    found["released alive from lung"] = column["phi_L"]
    found["half-life of label in lung after death [h]"] = np.log(2) / column["k_XL"]
    found["half-life of label in the rest of the body [h]"] = np.log(2) / column["k_XR"]
    found["freed label to liver"] = column["f_XLi"]
    found["freed label past liver to spleen"] = column["s_Sp"]
    found["half-life of DNA after death [h]"] = np.log(2) / column["k_N"]
    found["spread of loss from lung between studies (log)"] = _spread(population, draws, "eta_k_L_study")
    found["spread of lung share between studies (logit)"] = _spread(population, draws, "eta_rho_L_study")
    found["spread of lung share between species (logit)"] = _spread(population, draws, "eta_rho_L_species")
    return found


def _spread(population: Population, draws: Drawn, effect: str) -> np.ndarray:
    k = next(k for k, name in enumerate(population.eta_names) if name.startswith(f"{effect}["))
    return np.asarray(draws.scale[:, k])


def band(values: np.ndarray, prefix: str = "") -> dict[str, float]:
    """Median and 95 % interval."""
    low, middle, high = np.percentile(values, [2.5, 50.0, 97.5])
    return {f"{prefix}median": middle, f"{prefix}lower": low, f"{prefix}upper": high}


# ---- tables ------------------------------------------------------------------------------------------------------------


def quantity_table(run: Run, population: Population) -> pd.DataFrame:
    """Each quantity with its prior, its posterior and what was learned."""
    after = quantities(run.shape, population, drawn(run, population, count=MANY))
    before = quantities(run.shape, population, prior_draws(population, MANY))
    rows = []
    for name, values in after.items():
        learned = 1.0 - float(np.var(_straight(name, values)) / np.var(_straight(name, before[name])))
        rows.append(
            {"stages": run.shape, "quantity": name, **band(before[name], "prior_"), **band(values), "learned": learned,
             "verdict": verdict(name, learned)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _straight(name: str, values: np.ndarray) -> np.ndarray:
    """Values on the scale on which their prior is about normal."""
    share = name.startswith(("lung share", "released", "freed"))
    return np.asarray(np.log(values / (1 - values)) if share else np.log(values))


def verdict(name: str, learned: float) -> str:
    """Whether the evidence says anything; a spread needs three studies, however narrow its posterior looks."""
    if name in INFORMED and INFORMED[name] < ENOUGH:
        return f"prior only: {INFORMED[name]} informative groups"
    return "prior only" if learned < LITTLE else "learned"


def shift_table(full: Run, left_out: Sequence[Run], population: Population) -> pd.DataFrame:
    """Each quantity without each study; `shift` in units of the posterior SD of all studies, on the straight scale."""
    whole = quantities(full.shape, population, drawn(full, population, count=MANY))
    rows = []
    for run_ in [full, *left_out]:
        for name, values in quantities(full.shape, population, drawn(run_, population, count=MANY)).items():
            at, here = _straight(name, whole[name]), _straight(name, values)
            shift = float((np.mean(here) - np.mean(at)) / np.std(at))
            rows.append({"stages": full.shape, "quantity": name, "without": run_.without, **band(values), "shift": shift})
    return pd.DataFrame(rows)


def row_table(full: Run, left_out: Sequence[Run], population: Population) -> pd.DataFrame:
    """Every row beside its prior prediction, its fit, and its prediction by the other studies."""
    table = pd.read_csv(STUDY, keep_default_na=False, dtype=str)
    bound = population.problem.rows
    factor = pd.to_numeric(table["value"]).to_numpy() / np.where(bound.value == 0, 1.0, bound.value)
    factor = np.where(bound.value == 0, 1.0, factor)
    prior, fitted = rows_of(population, prior_draws(population)), rows_of(population, drawn(full, population))
    own = {each.without: rows_of(population, drawn(each, population, fresh=each.without)) for each in left_out}
    found = []
    for k, row in table.iterrows():
        held = own.get(row["study"])
        cell = {name: row[name] for name in ("fact", "study", "species", "organ", "output", "quantity", "time")}
        cell |= {"observed": float(row["value"]), "observed_lower": row["lower"], "observed_upper": row["upper"],
                 "sd": row["sd"], "n": row["n"], "unit": row["unit"]}  # fmt: skip
        for prefix, rows in (("prior_", prior), ("fitted_", fitted), ("held_out_", held)):
            if rows is not None:
                cell |= band(rows.expected[:, k] * factor[k], prefix)
        if held is not None:
            new = held.new[:, k] * factor[k]
            cell |= {"held_out_new_lower": np.percentile(new, 2.5), "held_out_new_upper": np.percentile(new, 97.5)}
        found.append(cell)
    return pd.DataFrame(found)


def score_table(runs: Sequence[Run], populations: Mapping[int, Population]) -> pd.DataFrame:
    """Log predictive density of each study by the others, for each number of stages that has them all."""
    rows = []
    for run_ in runs:
        population = populations[run_.shape]
        mine = np.array([record.study == run_.without for record in population.problem.study.records])
        score = elpd(rows_of(population, drawn(run_, population, fresh=run_.without)), mine)
        rows.append({"stages": run_.shape, "study": run_.without, "rows": int(mine.sum()), "elpd": score})
    return pd.DataFrame(rows)


def run_table(runs: Sequence[Run], length: Length) -> pd.DataFrame:
    """How each fit went, and with what it was made."""
    return pd.DataFrame([
        {"stages": r.shape, "without": r.without, "draws": length.draws, "tune": length.tune, "chains": length.chains,
         "r_hat": r.fit.table["r_hat"].max(), "ess": r.fit.table[["ess_bulk", "ess_tail"]].min(axis=None),
         "divergences": _divergences(r.fit), "converged": r.fit.converged, "wall_s": round(r.wall), "cpu_s": round(r.cpu),
         "seed": SEED, "mscpkpd": msc.__version__, "pymc": r.fit.versions.get("pymc", "")}
        for r in runs
    ])  # fmt: skip


def _divergences(fit: msc.Fit) -> int:
    return int(np.sum(fit.draws["sample_stats"]["diverging"].values))
