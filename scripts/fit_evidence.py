# ruff: noqa: INP001, T201 (a script, not a package; it says how far it is)
"""Fit the published evidence on biodistribution, all of it and without each study, and write tables.

    python scripts/fit_evidence.py --runs DIR                      # one fit of all studies
    python scripts/fit_evidence.py --runs DIR --refit              # and one without each of them
    python scripts/fit_evidence.py --runs DIR --refit --stages 2 3 4 5   # and other numbers of stages
    python scripts/fit_evidence.py --quick --out DIR               # few draws: QUICK, not a result

Tables go to docs/evidence; `draw_evidence.py` and `write_evidence_page.py` make figures and page of them, and a test
holds the page to them. A fit that is in DIR is read, not made again, so that all of it can be done in parts. Same seed
and versions, same draws. The fit of all studies is refused unless it converged; one without a study, or of another
number of stages, is kept in the tables as not converged, and nothing is shown of it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from _evidence import TABLES
from scipy.optimize import brentq
from scipy.special import expit, gammaincinv

import mscpkpd as msc
from mscpkpd.data import study_from_frame
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.replicates import observe, shown
from mscpkpd.modelfile import library_path
from mscpkpd.population import Population, pose_population

MODEL, STUDY = "biodistribution", library_path() / "data" / "biodistribution_study.csv"
SEED = 20261123
SHAPES = (2, 3, 4, 5)
THINNED = 1000  # draws that predictions and ratios of evidence are made of
SPECIES = ("mouse", "rat", "human")
LITTLE = 0.1  # share of the prior variance below which a quantity is called "prior only"
TIMES = "times.json"  # beside a kept fit: seconds of clock and of processor
ENOUGH = 3  # groups that must inform a spread between groups before it is called learned


@dataclass(frozen=True)
class Length:
    """How long chains are."""

    draws: int = 1500
    tune: int = 500
    chains: int = 4
    target_accept: float = 0.95


def load(shape: int) -> msc.Model:
    """The model with as many stages in lung and in the muscle bed."""
    return msc.load_model(MODEL, stages={"lung": shape, "bed": shape})


def evidence(without: str = "") -> msc.Study:
    """All studies but one."""
    table = pd.read_csv(STUDY, dtype=str, keep_default_na=False)
    return study_from_frame(table[table["study"] != without], name="biodistribution_study")


def studies() -> tuple[str, ...]:
    """All of them."""
    return tuple(dict.fromkeys(record.study for record in evidence().records))


# ---- draws in the terms of the whole evidence ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of free parameters, spreads and random effects of all studies, one row a draw."""

    population: Population
    theta: np.ndarray
    eta: np.ndarray
    spread: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.theta[:, self.population.problem.names.index(name)]

    def effect(self, name: str) -> np.ndarray:
        """Random effects of one group, by their name in the population."""
        return self.eta[:, self.population.eta_names.index(name)]

    def fresh(self, rng: np.random.Generator, study: str = "") -> np.ndarray:
        """Random effects with those of studies, or of one study, drawn anew."""
        eta = self.eta.copy()
        at = 0
        for level in self.population.levels:
            for label in level.labels:
                for effect in level.effects:
                    if level.name == "study" and study in ("", label):
                        eta[:, at] = self.spread[effect.omega_sd] * rng.standard_normal(len(eta))
                    at += 1
        return eta

    def __len__(self) -> int:
        return len(self.theta)

    def some(self, count: int) -> Draws:
        """A few of them, evenly spaced."""
        kept = np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)
        return Draws(self.population, self.theta[kept], self.eta[kept], {k: v[kept] for k, v in self.spread.items()})


def drawn(fit: msc.Fit, population: Population) -> Draws:
    """Draws of a fit; groups that it did not see get random effects from their spread."""
    flat, rng = fit.posterior.flat(), np.random.default_rng(SEED)
    count = len(next(iter(flat.values())))
    theta = np.stack([flat[name] for name in population.problem.names], axis=1)
    spread = {effect.omega_sd: flat.get(effect.omega_sd, np.full(count, effect.sd)) for effect in population.effects}
    own = {level.name: level.labels for level in pose_population(fit.model, fit.study).levels}
    columns = []
    for level in population.levels:
        for label in level.labels:
            for effect in level.effects:
                new = spread[effect.omega_sd] * rng.standard_normal(count)
                labels = own.get(level.name, ())
                columns.append(_seen(fit, effect.name, labels.index(label)) if label in labels else new)
    return Draws(population, theta, np.stack(columns, axis=1), spread)


def _seen(fit: msc.Fit, effect: str, place: int) -> np.ndarray:
    return np.asarray(fit.draws["posterior"][effect].values)[..., place].reshape(-1)


def of_priors(population: Population, count: int) -> Draws:
    """Draws of the priors alone."""
    rng = np.random.default_rng(SEED)
    theta = np.stack([p.prior.sample(rng, count) for p in population.problem.free], axis=1)
    spread = {effect.omega_sd: np.abs(effect.prior.sample(rng, count)) for effect in population.effects}
    columns = [
        spread[effect.omega_sd] * rng.standard_normal(count)
        for level in population.levels for _ in level.labels for effect in level.effects
    ]  # fmt: skip
    return Draws(population, theta, np.stack(columns, axis=1), spread)


# ---- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Predicted:
    """What draws say of every row: expectation, and a new observation; each of shape (draw, row)."""

    expected: np.ndarray
    new: np.ndarray


def predicted(draws: Draws, eta: np.ndarray, rng: np.random.Generator) -> Predicted:
    """Predict every row with every draw."""
    problem, found = draws.population.problem, []
    for theta, own in zip(draws.theta, eta, strict=True):
        f, values = draws.population.predict(theta, own).value, problem.values(theta)
        found.append((shown(problem, f, values), observe(problem, f, values, rng)))
    return Predicted(*(np.array(part) for part in zip(*found, strict=True)))


# ---- quantities of the page ------------------------------------------------------------------------------------------

INFORMED = {"spread of loss from lung between studies, log": 5}  # groups that say something about a spread


def quantities(shape: int, draws: Draws) -> dict[str, np.ndarray]:
    """What the evidence is asked for."""
    found = {f"lung share, {species}": draws[f"rho_L_{species}"] for species in SPECIES}
    found["half-life of living cells in lung [h]"] = gammaincinv(shape, 0.5) / (shape * draws["k_L"])
    found["share of that loss released alive"] = draws["phi_L"]
    found["half-life of label left in lung [h]"] = np.log(2) / draws["k_XL"]
    found["half-life of label left in the rest of the body [h]"] = np.log(2) / draws["k_XR"]
    found["half-life of label in the body [h]"] = np.log(2) / draws["k_Xout"]
    found["share of freed label that goes to liver"] = draws["f_XLi"]
    found["share of the others that goes to spleen"] = draws["s_Sp"]
    found["half-life of DNA of dead cells [h]"] = np.log(2) / draws["k_N"]
    found["cells that re-culture finds in half of the attempts"] = draws["lod_cul"]
    found["spread of loss from lung between studies, log"] = draws.spread["omega_sd_k_L_study"]
    return found


def straight(name: str, values: np.ndarray) -> np.ndarray:
    """Values on the scale on which their prior is about normal."""
    share = name.startswith(("lung share", "share"))
    return np.asarray(np.log(values / (1 - values)) if share else np.log(values))


def band(values: np.ndarray, prefix: str = "") -> dict[str, float]:
    """Median and 95 % interval."""
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return {f"{prefix}median": float(middle), f"{prefix}lower": float(low), f"{prefix}upper": float(high)}


# ---- tables ----------------------------------------------------------------------------------------------------------


def quantity_table(shape: int, after: Draws, before: Draws) -> pd.DataFrame:
    """Each quantity with prior, posterior and what was learned."""
    prior = quantities(shape, before)
    rows = []
    for name, values in quantities(shape, after).items():
        learned = 1.0 - float(np.var(straight(name, values)) / np.var(straight(name, prior[name])))
        rows.append(
            {"stages": shape, "quantity": name, **band(prior[name], "prior_"), **band(values), "learned": learned,
             "verdict": verdict(name, learned)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def verdict(name: str, learned: float) -> str:
    """Whether the evidence says anything; a spread needs three groups, however narrow its posterior looks."""
    if INFORMED.get(name, ENOUGH) < ENOUGH:
        return "prior only"
    return "prior only" if learned < LITTLE else "learned"


def shift_table(shape: int, draws: Draws, refitted: Mapping[str, Draws]) -> pd.DataFrame:
    """Each quantity without each study; `shift` in posterior SD of all studies, on the straight scale."""
    rows, whole = [], quantities(shape, draws)
    for study, other in refitted.items():
        again = quantities(shape, other)
        for name, values in whole.items():
            at, moved = straight(name, values), straight(name, again[name])
            shift = (moved.mean() - at.mean()) / at.std()
            rows.append({"stages": shape, "quantity": name, "without": study, **band(again[name]), "shift": shift})
    return pd.DataFrame(rows, columns=["stages", "quantity", "without", "median", "lower", "upper", "shift"])


def row_table(draws: Draws, before: Draws, refitted: Mapping[str, Draws]) -> pd.DataFrame:
    """Every row beside its prior prediction, its fit, and its prediction by the other studies where there is one."""
    table = pd.read_csv(STUDY, keep_default_na=False, dtype=str)
    bound, rng = draws.population.problem.rows, np.random.default_rng(SEED + 2)
    observed = pd.to_numeric(table["value"]).to_numpy()
    factor = np.where(bound.value == 0, 1.0, observed / np.where(bound.value == 0, 1.0, bound.value))
    prior, fitted = predicted(before, before.eta, rng), predicted(draws, draws.eta, rng)
    held_out = {study: predicted(one, one.fresh(rng, study), rng) for study, one in refitted.items()}
    found = []
    for k, row in enumerate(table.to_dict("records")):
        cell = {name: row[name] for name in ("fact", "study", "species", "organ", "output", "quantity", "time")}
        cell |= {"observed": observed[k], "observed_lower": row["lower"], "observed_upper": row["upper"],
                 "sd": row["sd"], "n": row["n"], "unit": row["unit"]}  # fmt: skip
        cell |= band(prior.expected[:, k] * factor[k], "prior_") | band(prior.new[:, k] * factor[k], "prior_new_")
        cell |= band(fitted.expected[:, k] * factor[k], "fitted_")
        if row["study"] in held_out:
            one = held_out[row["study"]]
            cell |= band(one.expected[:, k] * factor[k], "held_out_")
            cell |= band(one.new[:, k] * factor[k], "held_out_new_")
        found.append(cell)
    return pd.DataFrame(found)


def run_table(shape: int, without: str, fit: msc.Fit, took: tuple[float, float]) -> pd.DataFrame:
    """How a fit went, and with what it was made."""
    how = fit.settings
    worst = fit.table[["ess_bulk", "ess_tail"]].min(axis=None)
    return pd.DataFrame([
        {"stages": shape, "without": without, "draws": how["draws"], "tune": how["tune"], "chains": how["chains"],
         "r_hat": fit.table["r_hat"].max(), "ess": worst,
         "divergences": int(np.sum(fit.draws["sample_stats"]["diverging"].values)), "converged": fit.converged,
         "wall_s": round(took[0]), "cpu_s": round(took[1]),
         "seed": SEED, "mscpkpd": msc.__version__}
    ])  # fmt: skip


# ---- numbers of stages -----------------------------------------------------------------------------------------------


def log_likelihood(population: Population, draws: Draws) -> np.ndarray:
    """Of all rows, for each draw; priors are the same for all numbers of stages."""
    found = []
    for theta, eta in zip(draws.theta, draws.eta, strict=True):
        f, values = population.predict(theta, eta).value, population.problem.values(theta)
        found.append(densities(population.problem, f, values).value.sum())
    return np.nan_to_num(np.array(found), nan=-np.inf)


def log_ratio(one: Draws, two: Draws, chains: int) -> tuple[float, float]:
    """Log of the evidence of the second over that of the first, from draws of both (Bennett 1976), and its error.

    The error is that of leaving out each chain in turn; one chain has none.
    """
    up = log_likelihood(two.population, one) - log_likelihood(one.population, one)
    down = log_likelihood(two.population, two) - log_likelihood(one.population, two)

    def ratio(up: np.ndarray, down: np.ndarray) -> float:
        low, high = min(up.min(), down.min()), max(up.max(), down.max())
        low, high = max(low, -1e6) - 1.0, high + 1.0
        return float(brentq(lambda c: np.mean(expit(up - c)) - np.mean(expit(c - down)), low, high))

    if chains == 1:
        return ratio(up, down), np.nan
    parts = [np.array_split(each, chains) for each in (up, down)]
    without = [
        ratio(*(np.concatenate([part for k, part in enumerate(each) if k != left]) for each in parts))
        for left in range(chains)
    ]
    return ratio(up, down), float(np.sqrt((chains - 1) * np.var(without)))


def stage_table(drawn_by: Mapping[int, Draws], chains: int) -> pd.DataFrame:
    """Each number of stages: its evidence relative to one stage, by a chain of neighbours."""
    shapes = sorted(drawn_by)
    rows, total, error = [{"stages": shapes[0], "log_bayes_factor": 0.0, "error": 0.0}], 0.0, 0.0
    for low, high in pairwise(shapes):
        step, spread = log_ratio(drawn_by[low], drawn_by[high], chains)
        total, error = total + step, float(np.hypot(error, spread))
        rows.append({"stages": high, "log_bayes_factor": total, "error": error})
    return pd.DataFrame(rows)


# ---- all of it -------------------------------------------------------------------------------------------------------


def sampled(
    shape: int, without: str, length: Length, *, quick: bool, runs: Path | None = None
) -> tuple[msc.Fit, pd.DataFrame]:
    """One posterior, read from its folder where that is there."""
    folder = runs / f"stages-{shape}{'-without-' * bool(without)}{without}" if runs else None
    if folder and (folder / TIMES).is_file():
        fit = msc.load_fit(folder)
        wall, cpu = json.loads((folder / TIMES).read_text())
    else:
        began, spent = time.time(), _cpu()
        fit = msc.fit(
            load(shape), evidence(without), "nuts", draws=length.draws, tune=length.tune, chains=length.chains,
            target_accept=length.target_accept, seed=SEED,
        )  # fmt: skip
        wall, cpu = time.time() - began, _cpu() - spent
        if folder:
            fit.save(folder)
            (folder / TIMES).write_text(json.dumps([wall, cpu]))
    title = f"{shape} stages, without {without or 'none'}"
    print(f"{title}: {wall:.0f} s, CPU {cpu:.0f} s; {fit.verdict}", flush=True)
    if not (fit.converged or quick or without or shape > 1):
        raise SystemExit(f"not a result: {fit.verdict}")
    return fit, run_table(shape, without, fit, (wall, cpu))


def _cpu() -> float:
    """Seconds of processor time of this process and of those that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def tables(
    refit: Sequence[str], shapes: Sequence[int], length: Length, *, quick: bool, runs: Path | None = None
) -> dict[str, pd.DataFrame]:
    """All tables."""
    population = pose_population(load(1), evidence())
    fit, ran = sampled(1, "", length, quick=quick, runs=runs)
    went, refitted = [ran], {}
    for study in refit:
        other, ran = sampled(1, study, length, quick=quick, runs=runs)
        went.append(ran)
        if other.converged or quick:
            refitted[study] = drawn(other, population)
    whole = drawn(fit, population)
    before = of_priors(population, 10_000)  # the same for all numbers of stages
    learned, by_shape = [quantity_table(1, whole, before)], {1: whole.some(THINNED)}
    for shape in shapes:
        other, ran = sampled(shape, "", length, quick=quick, runs=runs)
        went.append(ran)
        if other.converged or quick:
            again = drawn(other, pose_population(load(shape), evidence()))
            learned.append(quantity_table(shape, again, before))
            by_shape[shape] = again.some(THINNED)
    few = {study: one.some(THINNED) for study, one in refitted.items()}
    return {
        "runs": pd.concat(went), "quantities": pd.concat(learned), "shifts": shift_table(1, whole, refitted),
        "rows": row_table(whole.some(THINNED), of_priors(population, THINNED), few),
        "stages": stage_table(by_shape, length.chains),
    }  # fmt: skip


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--refit", nargs="*", help="studies that are left out in turn; all where none is named")
    parser.add_argument("--stages", type=int, nargs="*", default=(), help="other numbers of stages that are sampled")
    parser.add_argument("--quick", action="store_true", help="few draws: QUICK, not a result")
    parser.add_argument("--runs", type=Path, help="folder of fits: those that are there are read, others are put there")
    parser.add_argument("--out", type=Path, default=TABLES, help="folder of the tables (docs/evidence)")
    chosen = parser.parse_args()
    refit = () if chosen.refit is None else chosen.refit or studies()
    length = Length(20, 20, 1) if chosen.quick else Length()
    found = tables(refit, chosen.stages, length, quick=chosen.quick, runs=chosen.runs)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        table.to_csv(chosen.out / f"{name}.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
