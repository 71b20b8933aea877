# ruff: noqa: INP001, T201 (a script, not a package; it says how far it is)
"""Fit the published evidence on biodistribution, leave out each study in turn, and write tables and figures.

    python scripts/fit_evidence.py                    # about 12 minutes of processor time for each number of stages
    python scripts/fit_evidence.py --quick --out DIR  # the same steps with few draws: QUICK, not a result
    python scripts/fit_evidence.py --figures          # the figures alone, from the tables that are there

Tables go to docs/evidence, figures to docs/figures; docs/evidence_fit.md shows both, and a test holds its numbers to
the tables. Same seed and versions, same tables. A fit that has not converged is refused, but for --quick.

A study is left out by weighing the draws, its own random effects integrated out: p(theta | others) is proportional to
p(theta | all)/p(study | theta). Where the Pareto k of the weights is over its limit the answer is marked as not to be
trusted, and `--refit STUDY` samples without the study instead.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import gammaincinv, logsumexp

import mscpkpd as msc
from mscpkpd.data import study_from_frame
from mscpkpd.diagnostics.leave_out import limit_of, smoothed
from mscpkpd.fitting.densities import densities
from mscpkpd.fitting.replicates import observe, shown
from mscpkpd.modelfile import library_path
from mscpkpd.plots.style import AXIS, DATA, FIT, INK, MUTED, PRIOR, Marks, finish, legend_of, save, sheet
from mscpkpd.population import Population, pose_population

ROOT = Path(__file__).parents[1]
TABLES, FIGURES = ROOT / "docs" / "evidence", ROOT / "docs" / "figures"
MODEL, STUDY = "biodistribution", library_path() / "data" / "biodistribution_study.csv"
SEED = 20261123
SHAPES = (1, 2, 3, 4, 5)
THINNED = 500  # draws that predictions are made of
WEIGHED = 500  # draws that another number of stages is weighed from
FRESH = 16  # random effects of a new study for each draw
SPECIES = ("mouse", "rat", "human")
LITTLE = 0.1  # share of the prior variance below which a quantity is called "prior only"
TIMES = "times.json"  # beside a kept fit: seconds of clock and of processor
ENOUGH = 3  # groups that must inform a spread between groups before it is called learned


@dataclass(frozen=True)
class Length:
    """How long chains are."""

    draws: int = 900
    tune: int = 400
    chains: int = 4
    target_accept: float = 0.95


def load(shape: int) -> msc.Model:
    """The model with as many stages in lung and in the muscle bed."""
    return msc.load_model(MODEL, stages={"lung": shape, "bed": shape})


def evidence(without: str = "") -> msc.Study:
    """All studies but one."""
    table = pd.read_csv(STUDY, dtype=str, keep_default_na=False)
    return study_from_frame(table[table["study"] != without], name="biodistribution_study")


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
    """What draws say of every row: expectation, a new observation, log density; each of shape (draw, row)."""

    expected: np.ndarray
    new: np.ndarray
    log_density: np.ndarray


def predicted(draws: Draws, eta: np.ndarray, rng: np.random.Generator) -> Predicted:
    """Predict every row with every draw."""
    problem, found = draws.population.problem, []
    for theta, own in zip(draws.theta, eta, strict=True):
        f, values = draws.population.predict(theta, own).value, problem.values(theta)
        found.append((shown(problem, f, values), observe(problem, f, values, rng), densities(problem, f, values).value))
    return Predicted(*(np.array(part) for part in zip(*found, strict=True)))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Every study left out, by weighing draws: log weights of shape (draw, study), Pareto k and elpd by study."""

    studies: tuple[str, ...]
    weights: np.ndarray
    k: np.ndarray
    elpd: np.ndarray
    limit: float
    new: tuple[Predicted, ...]  # with effects of new studies


def leave_out(draws: Draws, base: np.ndarray | float = 0.0) -> LeftOut:
    """Leave out each study in turn; `base` are the log weights of draws of another number of stages."""
    rng = np.random.default_rng(SEED + 1)
    new = tuple(predicted(draws, draws.fresh(rng), rng) for _ in range(FRESH))
    own = [record.study for record in draws.population.problem.study.records]
    studies = tuple(dict.fromkeys(own))
    mine = np.array([[name == study for study in studies] for name in own], dtype=float)
    each = np.stack([one.log_density @ mine for one in new])  # (fresh, draw, study)
    marginal = logsumexp(each, axis=0) - np.log(FRESH)
    weights, k = smoothed(np.reshape(base, (-1, 1)) - marginal)
    elpd = logsumexp(weights + marginal, axis=0)
    return LeftOut(studies, weights, k, elpd, limit_of(len(draws)), new)


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


def band(values: np.ndarray, prefix: str = "", weights: np.ndarray | None = None) -> dict[str, float]:
    """Median and 95 % interval, of draws with log weights where given."""
    order = np.argsort(values)
    share = np.full(len(values), 1 / len(values)) if weights is None else np.exp(weights[order])
    below = np.cumsum(share) - 0.5 * share
    low, middle, high = np.interp([0.025, 0.5, 0.975], below / share.sum(), values[order])
    return {f"{prefix}median": float(middle), f"{prefix}lower": float(low), f"{prefix}upper": float(high)}


# ---- tables ----------------------------------------------------------------------------------------------------------


def quantity_table(shape: int, after: Draws, before: Draws, weights: np.ndarray | None = None) -> pd.DataFrame:
    """Each quantity with prior, posterior and what was learned; with log weights of draws if given."""
    prior = quantities(shape, before)
    rows = []
    for name, values in quantities(shape, after).items():
        here = straight(name, values)
        share = np.full(len(here), 1 / len(here)) if weights is None else np.exp(weights)
        learned = 1.0 - float(share @ (here - share @ here) ** 2 / np.var(straight(name, prior[name])))
        rows.append(
            {"stages": shape, "quantity": name, **band(prior[name], "prior_"), **band(values, "", weights),
             "learned": learned, "verdict": verdict(name, learned)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def verdict(name: str, learned: float) -> str:
    """Whether the evidence says anything; a spread needs three groups, however narrow its posterior looks."""
    if INFORMED.get(name, ENOUGH) < ENOUGH:
        return "prior only"
    return "prior only" if learned < LITTLE else "learned"


def shift_table(shape: int, draws: Draws, left: LeftOut, refitted: Mapping[str, Draws]) -> pd.DataFrame:
    """Each quantity without each study; `shift` in posterior SD of all studies, on the straight scale."""
    rows = []
    whole = quantities(shape, draws)
    for j, study in enumerate(left.studies):
        again = quantities(shape, refitted[study]) if study in refitted else None
        for name, values in whole.items():
            at = straight(name, values)
            moved = np.mean(straight(name, again[name])) if again else np.exp(left.weights[:, j]) @ at
            found = band(again[name]) if again else band(values, weights=left.weights[:, j])
            rows.append(
                {"stages": shape, "quantity": name, "without": study, **found, "shift": (moved - at.mean()) / at.std(),
                 "how": "refit" if again else "weights", "pareto_k": left.k[j],
                 "trusted": bool(again) or left.k[j] <= left.limit}
            )  # fmt: skip
    return pd.DataFrame(rows)


def row_table(draws: Draws, left: LeftOut, before: Draws, refitted: Mapping[str, Draws]) -> pd.DataFrame:
    """Every row beside its prior prediction, its fit, and its prediction by the other studies."""
    table = pd.read_csv(STUDY, keep_default_na=False, dtype=str)
    bound, rng = draws.population.problem.rows, np.random.default_rng(SEED + 2)
    observed = pd.to_numeric(table["value"]).to_numpy()
    factor = np.where(bound.value == 0, 1.0, observed / np.where(bound.value == 0, 1.0, bound.value))
    prior, fitted = predicted(before, before.eta, rng), predicted(draws, draws.eta, rng)
    again = {study: predicted(one, one.fresh(rng, study), rng) for study, one in refitted.items()}
    found = []
    for k, row in enumerate(table.to_dict("records")):
        j = left.studies.index(row["study"])
        cell = {name: row[name] for name in ("fact", "study", "species", "organ", "output", "quantity", "time")}
        cell |= {"observed": observed[k], "observed_lower": row["lower"], "observed_upper": row["upper"],
                 "sd": row["sd"], "n": row["n"], "unit": row["unit"]}  # fmt: skip
        cell |= band(prior.expected[:, k] * factor[k], "prior_") | band(fitted.expected[:, k] * factor[k], "fitted_")
        one = again.get(row["study"])
        chosen = one or left.new[0]
        weights = None if one else left.weights[:, j]
        cell |= band(chosen.expected[:, k] * factor[k], "held_out_", weights) | band(
            chosen.new[:, k] * factor[k], "held_out_new_", weights
        )
        found.append(
            cell | {"held_out": "refit" if one else "weights", "trusted": bool(one) or left.k[j] <= left.limit}
        )
    return pd.DataFrame(found)


def score_table(shape: int, left: LeftOut) -> pd.DataFrame:
    """Log predictive density of each study by the others."""
    return pd.DataFrame(
        {"stages": shape, "study": left.studies, "elpd": left.elpd, "pareto_k": left.k, "trusted": left.k <= left.limit}
    )


def run_table(shape: int, without: str, fit: msc.Fit, length: Length, took: tuple[float, float]) -> pd.DataFrame:
    """How a fit went, and with what it was made."""
    worst = fit.table[["ess_bulk", "ess_tail"]].min(axis=None)
    return pd.DataFrame([
        {"stages": shape, "without": without, "draws": length.draws, "tune": length.tune, "chains": length.chains,
         "r_hat": fit.table["r_hat"].max(), "ess": worst,
         "divergences": int(np.sum(fit.draws["sample_stats"]["diverging"].values)), "converged": fit.converged,
         "wall_s": round(took[0]), "cpu_s": round(took[1]),
         "seed": SEED, "mscpkpd": msc.__version__}
    ])  # fmt: skip


# ---- all of it -------------------------------------------------------------------------------------------------------


def sampled(
    shape: int, without: str, length: Length, *, quick: bool, folder: Path | None = None
) -> tuple[msc.Fit, pd.DataFrame]:
    """One posterior, refused unless it converged; read from its folder where that is there."""
    times = folder / TIMES if folder else None
    if folder and times and times.is_file():
        fit = msc.load_fit(folder)
        wall, cpu = json.loads(times.read_text())
    else:
        began, spent = time.time(), _cpu()
        fit = msc.fit(
            load(shape), evidence(without), "nuts", draws=length.draws, tune=length.tune, chains=length.chains,
            target_accept=length.target_accept, seed=SEED,
        )  # fmt: skip
        wall, cpu = time.time() - began, _cpu() - spent
        if folder and times:
            fit.save(folder)
            times.write_text(json.dumps([wall, cpu]))
    title = f"{shape} stages, without {without or 'none'}"
    print(f"{title}: {wall:.0f} s, CPU {cpu:.0f} s; {fit.verdict}", flush=True)
    if not (fit.converged or quick):
        raise SystemExit(f"not a result: {fit.verdict}")
    return fit, run_table(shape, without, fit, length, (wall, cpu))


def _cpu() -> float:
    """Seconds of processor time of this process and of those that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def tables(
    shape: int, refit: Sequence[str], length: Length, *, quick: bool, folder: Path | None = None
) -> tuple[dict[str, pd.DataFrame], Draws]:
    """All tables of one number of stages, and the draws behind them."""
    population = pose_population(load(shape), evidence())
    fit, ran = sampled(shape, "", length, quick=quick, folder=folder)
    runs, refitted = [ran], {}
    for study in refit:
        other, ran = sampled(shape, study, length, quick=quick)
        runs.append(ran)
        refitted[study] = drawn(other, population).some(THINNED)
    whole = drawn(fit, population)
    few, before = whole.some(THINNED), of_priors(population, THINNED)
    left = leave_out(few)
    found = {
        "runs": pd.concat(runs), "quantities": quantity_table(shape, whole, of_priors(population, 20 * THINNED)),
        "shifts": shift_table(shape, few, left, refitted),
        "rows": row_table(few, left, before, refitted).assign(stages=shape),
        "scores": score_table(shape, left),
    }  # fmt: skip
    return found, whole


def weighed(shape: int, draws: Draws, sampled_shape: int) -> dict[str, pd.DataFrame]:
    """Tables of another number of stages, from draws of the one that was sampled, by importance weights.

    Priors are the same for all numbers of stages, so that the weights are ratios of likelihoods.
    """
    population, rng = pose_population(load(shape), evidence()), np.random.default_rng(SEED + 3)
    other = Draws(population, draws.theta, draws.eta, draws.spread)
    ratio = predicted(other, other.eta, rng).log_density.sum(axis=1) - predicted(draws, draws.eta, rng).log_density.sum(
        axis=1
    )
    weights, k = smoothed(ratio[:, None])
    left = leave_out(other, weights[:, 0])
    gain = float(logsumexp(ratio) - np.log(len(ratio)))
    how = {"stages": shape, "from_stages": sampled_shape, "draws": len(ratio), "pareto_k": k[0],
           "log_bayes_factor": gain, "trusted": bool(k[0] <= limit_of(len(ratio)))}  # fmt: skip
    return {
        "weighed": pd.DataFrame([how]), "scores": score_table(shape, left),
        "quantities": quantity_table(shape, other, of_priors(population, 20 * THINNED), weights[:, 0]),
    }  # fmt: skip


def write(found: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write tables, or put those of other numbers of stages beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        path = folder / f"{name}.csv"
        if path.is_file():
            known = pd.read_csv(path, keep_default_na=False)
            known = known[~known["stages"].isin(set(table["stages"]))]
        every = pd.concat([known, table]) if path.is_file() and len(known) else table
        every.sort_values("stages", kind="stable").to_csv(path, index=False, float_format="%.5g")


# ---- figures ---------------------------------------------------------------------------------------------------------

STUDIES = {  # how studies are called in figures
    "gholamrezanezhad_2011": "Gholamrezanezhad 2011, man", "lee_2009": "Lee 2009, mouse",
    "eggenhofer_2012": "Eggenhofer 2012, mouse",
    "toma_2009": "Toma 2009, rat", "francois_2014": "Francois 2014, mouse",
    "wuttisarnwattana_2020": "Wuttisarnwattana 2020, mouse",
    "assis_2010": "Assis 2010, rat",
}  # fmt: skip
LEARNED, UNTAUGHT, OTHERS = FIT, "#B9B9B9", "#D55E00"
BANDS = (  # columns, colour, offset and width of a band, and what it is
    ("prior_", UNTAUGHT, 0.27, 1.6, "prior prediction, 95 %"),
    ("fitted_", FIT, 0.0, 3.0, "fit, 95 %"),
    ("held_out_", OTHERS, -0.27, 1.6, "predicted by the other studies, 95 %"),
)


def figures(tables_: Mapping[str, pd.DataFrame], shape: int, folder: Path, *, quick: bool) -> None:
    """Draw the three figures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    one = {name: table[table["stages"] == shape] for name, table in tables_.items()}
    marks = Marks(quick=quick)
    save(posterior_figure(one["quantities"], marks), folder / "evidence_posterior.png")
    save(row_figure(one["rows"], marks), folder / "evidence_rows.png")
    if (one["shifts"]["how"] == "refit").any():  # weights alone are seldom to be trusted
        save(study_figure(one["shifts"], tables_["scores"], marks), folder / "evidence_studies.png")


def posterior_figure(table: pd.DataFrame, marks: Marks) -> Figure:
    """Prior and posterior of each quantity, in three panels by scale."""
    groups = [
        ("Share [fraction]", [q for q in table["quantity"] if q.startswith(("lung share", "share"))], "linear"),
        ("Half-life [h], logarithmic", [q for q in table["quantity"] if "[h]" in q], "log"),
        (
            "Spread between studies [SD on the log scale]",
            [q for q in table["quantity"] if q.startswith("spread")],
            "linear",
        ),
    ]
    heights = [len(names) + 1.2 for _, names, _ in groups]
    figure, axes = sheet(1, 3, width=7.2, height=0.27 * sum(heights) + 1.0, height_ratios=heights)
    known = table.set_index("quantity")
    for ax, (label, names, scale) in zip(axes[:, 0], groups, strict=True):
        for y, name in enumerate(reversed(names)):
            row, told = known.loc[name], known.loc[name, "verdict"] == "learned"
            ax.plot(
                [row["prior_lower"], row["prior_upper"]],
                [y + 0.17] * 2,
                color=PRIOR,
                lw=2.2,
                solid_capstyle="butt",
                label="prior, 95 %",
            )
            colour = LEARNED if told else UNTAUGHT
            name_ = "posterior, median and 95 %" if told else "posterior that is the prior again: prior only"
            ax.plot(
                [row["lower"], row["upper"]], [y - 0.17] * 2, color=colour, lw=4, solid_capstyle="butt", label=name_
            )
            ax.plot(row["median"], y - 0.17, "o", ms=4.5, mfc="white", mec=colour, mew=1.4)
        ax.set_xscale(scale)
        ax.set_yticks(range(len(names)), [name.removesuffix(" [h]") for name in reversed(names)])
        ax.set_ylim(-0.7, len(names) - 0.3)
        ax.set_xlabel(label)
        if scale == "log":
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    foot = "Label is not living cells, and DNA is not either. A spread that fewer than three groups inform is called "
    foot += "prior only, whatever its interval."
    return finish(
        figure,
        "What the published evidence says, and what it leaves to the prior",
        marks=marks,
        foot=foot,
        legend=legend_of(axes),
        columns=1,
    )


def row_figure(table: pd.DataFrame, marks: Marks) -> Figure:
    """Every row: observed, fitted, and predicted by the other studies."""
    amounts = table[(table["unit"] == "%ID") | (table["quantity"] == "fold_change")]
    lives, counts = table[table["quantity"] == "half_life"], table[table["quantity"].isin(("present", "positive"))]
    panels = [("Percent of the dose, or of what was arrested", amounts, "linear"), ("Half-life [h]", lives, "log"),
              ("Share of animals positive, or chance to find living cells", counts, "linear")]  # fmt: skip
    heights = [len(rows) + 1.5 for _, rows, _ in panels]
    figure, axes = sheet(1, 3, width=7.2, height=0.185 * sum(heights) + 1.2, height_ratios=heights)
    for ax, (label, rows, scale) in zip(axes[:, 0], panels, strict=True):
        titles = []
        for y, row in enumerate(reversed(rows.to_dict("records"))):
            factor = (
                100.0
                if row["quantity"] == "fold_change"
                else 1.0 / float(row["n"])
                if row["quantity"] in ("present", "positive")
                else 1.0
            )
            for prefix, colour, lift, width, name in BANDS:
                if prefix == "held_out_" and row["held_out"] != "refit":
                    continue
                style = "-" if prefix != "held_out_" or row["trusted"] in (True, "True") else ":"
                shown_ = name if style == "-" else f"{name}: weights not to be trusted"
                ax.plot(
                    [factor * row[f"{prefix}lower"], factor * row[f"{prefix}upper"]],
                    [y + lift] * 2,
                    style,
                    color=colour,
                    lw=width,
                    solid_capstyle="butt",
                    label=shown_,
                )
            if str(row["observed_lower"]) not in ("", "nan"):
                ax.plot(
                    [float(row["observed_lower"]), float(row["observed_upper"])],
                    [y] * 2,
                    color=DATA,
                    lw=0.8,
                    label="observed range",
                )
            ax.plot(factor * row["observed"], y, "D", color=DATA, ms=3.2, label="observed")
            titles.append(_row_title(row))
        ax.set_yticks(range(len(titles)), titles, fontsize=6.5)
        ax.set_ylim(-0.8, len(titles) - 0.2)
        ax.set_xscale(scale)
        ax.set_xlabel(label)
        if scale == "log":
            ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
            ax.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if x in (20, 50, 200) else "")
    foot = (
        "Bands are of the expected value; a new observation scatters more. Prior predictions are shown for comparison, "
    )
    foot += "they are not fits."
    return finish(
        figure, "Every fitted row beside its prediction", marks=marks, foot=foot, legend=legend_of(axes), columns=2
    )


def _row_title(row: Mapping[str, object]) -> str:
    study = STUDIES[str(row["study"])].rsplit(" ", 1)[0].rstrip(",").split(",")[0]
    what = {"half_life": "half-life", "fold_change": "left after", "present": "re-culture", "positive": "PCR"}.get(
        str(row["quantity"]), "label" if "label" in str(row["output"]) else "arrested"
    )
    hours = float(str(row["time"]))
    when = "" if row["quantity"] == "half_life" else f", {hours * 60:.0f} min" if hours < 1 else f", {hours:g} h"
    return f"{study}: {str(row['organ']).replace('_', ' ').replace(' muscle', '')}, {what}{when}"


def study_figure(shifts: pd.DataFrame, scores: pd.DataFrame, marks: Marks) -> Figure:
    """What moves without each study, and which number of stages predicts each study."""
    studies = [name for name in STUDIES if name in set(shifts["without"])]
    names = list(dict.fromkeys(shifts["quantity"]))
    known = shifts.set_index(["quantity", "without"])
    figure, axes = sheet(1, 2, width=7.2, height=0.24 * len(names) + 4.2, height_ratios=[0.24 * len(names) + 0.6, 2.4])
    ax = axes[0, 0]
    for y, name in enumerate(reversed(names)):
        for x, study in enumerate(studies):
            row = known.loc[(name, study)]
            sure = row["trusted"] in (True, "True")
            strong = abs(row["shift"]) >= 0.5
            ax.text(
                x,
                y,
                f"{row['shift']:+.1f}{'' if sure else '*'}",
                ha="center",
                va="center",
                size=7.5,
                color=INK if strong else MUTED,
                weight="bold" if strong else "normal",
            )
            if strong:
                ax.add_patch(
                    _cell(x, y, OTHERS if row["shift"] > 0 else FIT, min(0.5, 0.15 + 0.12 * abs(row["shift"])))
                )
    ax.set_xticks(
        range(len(studies)), [STUDIES[s].replace(" 20", "\n20").replace(", ", "\n") for s in studies], fontsize=5.5
    )
    ax.set_yticks(range(len(names)), list(reversed(names)), fontsize=7)
    ax.set_xlim(-0.5, len(studies) - 0.5)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.tick_params(length=0)
    ax.set_title("Shift of each quantity without the study [posterior SD]", loc="left", fontsize=9)
    _score_panel(axes[1, 0], scores, studies)
    foot = "* the weights that leave the study out are not to be trusted (Pareto k over its limit): the study matters, "
    foot += "how much is unknown. Bold: at least half a posterior SD."
    return finish(
        figure,
        "Which studies pull, and how many stages of ageing they want",
        marks=marks,
        foot=foot,
        legend=legend_of(axes[1:]),
        columns=4,
    )


def _cell(x: float, y: float, colour: str, alpha: float) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, color=colour, alpha=alpha, lw=0, zorder=0)


def _score_panel(ax: object, scores: pd.DataFrame, studies: Sequence[str]) -> None:
    table = scores.pivot_table(index="study", columns="stages", values="elpd").loc[list(studies)]
    gaps = table.sub(table[table.columns[0]], axis=0)
    colours = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9")
    for stages, colour in zip(gaps.columns[1:], colours, strict=False):
        at = np.arange(len(studies) + 1) + 0.15 * (stages - 3.5)
        ax.plot(at, [*gaps[stages], gaps[stages].sum()], "o", color=colour, ms=4, label=f"{stages} stages")
    ax.axhline(0, color=AXIS, lw=0.8)
    ax.axvline(len(studies) - 0.5, color=AXIS, lw=0.8)
    ax.set_xticks(range(len(studies) + 1), [*(STUDIES[s].split(" ")[0] for s in studies), "all"], fontsize=5.5)
    ax.set_ylabel("Log predictive density\nminus that of 1 stage")
    ax.set_title("Each study predicted by the others, against 1 stage (above 0: better)", loc="left", fontsize=9)


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stages", type=int, default=1, help="number of stages that is sampled")
    parser.add_argument(
        "--weigh", type=int, nargs="*", help="numbers of stages that are weighed; all others by default"
    )
    parser.add_argument("--refit", nargs="*", default=[], help="studies that are left out by sampling again")
    parser.add_argument("--quick", action="store_true", help="few draws: QUICK, not a result")
    parser.add_argument(
        "--run", type=Path, help="folder of the fit with all studies: written, or read where it is there"
    )
    parser.add_argument("--figures", action="store_true", help="only draw the figures, from the tables in --out")
    parser.add_argument("--out", type=Path, help="folder of tables and figures (docs/evidence and docs/figures)")
    chosen = parser.parse_args()
    folder, drawn_in = (chosen.out, chosen.out) if chosen.out else (TABLES, FIGURES)
    length = Length(20, 20, 1) if chosen.quick else Length()
    if not chosen.figures:
        found, draws = tables(chosen.stages, chosen.refit, length, quick=chosen.quick, folder=chosen.run)
        write(found, folder)
        others = [shape for shape in SHAPES if shape != chosen.stages] if chosen.weigh is None else chosen.weigh
        for shape in others:
            write(weighed(shape, draws.some(WEIGHED), chosen.stages), folder)
    found = {name: pd.read_csv(folder / f"{name}.csv") for name in ("quantities", "shifts", "rows", "scores")}
    figures(found, chosen.stages, drawn_in, quick=chosen.quick)


if __name__ == "__main__":
    main()
