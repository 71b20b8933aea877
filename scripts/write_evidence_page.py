# ruff: noqa: INP001, E501, ISC004 (a script, not a package; sentences and rows of tables stand whole)
"""Write docs/evidence_fit.md from the tables in docs/evidence: ``python scripts/write_evidence_page.py``.

Every number of the page is taken from these tables, and from those of the study; `tests/test_evidence_fit.py` holds the
page to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from _evidence import CALLED, HALF, ROOT, STRONG, TABLES

DOCS, DATA = ROOT / "docs", ROOT / "models" / "data"
PAGE = DOCS / "evidence_fit.md"
DECISIVE = 10  # odds under which two numbers of stages are not told apart


def number(x: float) -> str:
    """Three figures, and none behind the point from 100 on."""
    return f"{float(x):.3g}" if abs(float(x)) < 100 else f"{float(x):.0f}"


def interval(row: pd.Series, prefix: str = "", factor: float = 1.0) -> str:
    """Median and 95 % interval."""
    middle, low, high = (number(factor * row[f"{prefix}{end}"]) for end in ("median", "lower", "upper"))
    return f"{middle} ({low} to {high})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of a page."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Numbers:
    """The tables behind the page."""

    def __init__(self, folder: Path = TABLES) -> None:
        self.runs, self.rows, self.shifts, self.stages, every = (
            pd.read_csv(folder / f"{name}.csv") for name in ("runs", "rows", "shifts", "stages", "quantities")
        )
        self.by_stages = {int(n): part.set_index("quantity") for n, part in every.groupby("stages")}
        self.quantities = every[every["stages"] == 1]
        self.study = pd.read_csv(DATA / "biodistribution_study.csv")
        self.excluded = pd.read_csv(DATA / "biodistribution_excluded.csv")

    def quantity(self, name: str) -> pd.Series:
        """The row of a quantity."""
        return self.by_stages[1].loc[name]

    def without(self, study: str) -> str:
        """How the fit without a study went: "fitted", "failed" or "not done"."""
        mine = self.runs[(self.runs["without"] == study) & (self.runs["stages"] == 1)]
        return "not done" if mine.empty else "fitted" if bool(mine["converged"].iloc[0]) else "failed"


def fitted_table(n: Numbers) -> str:
    """Studies that are fitted."""
    rows = []
    for study, own in n.study.groupby("study", sort=False):
        kinds = (
            own["quantity"]
            .fillna("")
            .replace(
                {
                    "": "amount",
                    "half_life": "half-life",
                    "fold_change": "share left",
                    "present": "found or not",
                    "positive": "k of n",
                }
            )
        )
        what = ", ".join(f"{count} {kind}" for kind, count in kinds.value_counts(sort=False).items())
        methods = "; ".join(dict.fromkeys(text.split(",")[0] for text in own["method"]))
        rows.append(
            (CALLED[str(study)], own["species"].iloc[0], methods, what, "/".join(dict.fromkeys(own["evidence"])))
        )
    return table(("study", "species", "method", "rows", "numbers are"), rows)


def excluded_table(n: Numbers) -> str:
    """Facts that could be fitted and are not."""
    own = n.excluded[n.excluded["use"] == "fit"]
    rows = [(str(study), str(len(part)), part["reason"].iloc[0]) for study, part in own.groupby("study", sort=False)]
    return table(("study", "facts", "why not"), rows)


def quantity_table(n: Numbers) -> str:
    """Prior and posterior."""
    rows = [
        (
            row["quantity"],
            interval(row, "prior_"),
            interval(row) if row["verdict"] == "learned" else f"prior only: {interval(row)}",
            f"{row['learned']:.2f}",
        )
        for _, row in n.quantities.iterrows()
    ]
    return table(("quantity", "prior, median (95 %)", "posterior, median (95 %)", "learned"), rows)


def held_out_table(n: Numbers) -> str:
    """What the other studies predict of each."""
    rows = []
    for study, called in CALLED.items():
        own, how = n.rows[n.rows["study"] == study], n.without(study)
        if how != "fitted":
            rows.append((called, str(len(own)), how, "", "", ""))
            continue
        moved = n.shifts[n.shifts["without"] == study].set_index("quantity")["shift"]
        strong = moved[moved.abs() >= STRONG].sort_values(key=abs, ascending=False)
        pulls = "; ".join(f"{name.removesuffix(' [h]')} {shift:+.1f}" for name, shift in strong.items())
        drawn = own.dropna(subset=["held_out_new_lower"])
        narrower = np.median(_width(drawn, "held_out_new_") / _width(drawn, "prior_new_"))
        rows.append(
            (
                called,
                str(len(own)),
                _inside(drawn, "held_out_new_"),
                _inside(drawn, "prior_new_"),
                f"{narrower:.2f}",
                pulls or "nothing",
            )
        )
    return table(
        (
            "left out",
            "rows",
            "inside 95 % of the others",
            "inside 95 % of the priors",
            "width, others over priors",
            "what moves without it [posterior SD]",
        ),
        rows,
    )


def _inside(rows: pd.DataFrame, prefix: str) -> str:
    slack = 1e-4 * rows["observed"].abs()  # tables keep five figures
    low, high = rows[f"{prefix}lower"] - slack, rows[f"{prefix}upper"] + slack
    return f"{int(((rows['observed'] >= low) & (rows['observed'] <= high)).sum())} of {len(rows)}"


def _width(rows: pd.DataFrame, prefix: str) -> np.ndarray:
    return np.maximum(rows[f"{prefix}upper"] - rows[f"{prefix}lower"], 1e-12).to_numpy()


def stage_table(n: Numbers) -> str:
    """Evidence for each number of stages, and what it does to the half-life."""
    known = n.stages.set_index("stages")
    rows = []
    for shape in range(1, 6):
        ran = n.runs[(n.runs["stages"] == shape) & n.runs["without"].isna()]
        if shape not in known.index:
            rows.append((str(shape), "not done" if ran.empty else "failed", "", ""))
            continue
        row, own = known.loc[shape], n.by_stages[shape]
        gain = "0" if shape == 1 else f"{row['log_bayes_factor']:+.2f} ({row['error']:.2f})"
        rows.append((str(shape), gain, interval(own.loc[HALF]), interval(own.loc["share of that loss released alive"])))
    return table(("stages", "log evidence over one stage (error)", HALF, "share released alive"), rows)


def stage_words(n: Numbers) -> str:
    """What the ranking says, made from its numbers."""
    known = n.stages.set_index("stages")["log_bayes_factor"]
    if len(known) < 5:
        return "Not all numbers of stages have been sampled: **no ranking stands here yet**."
    best, span = int(known.idxmax()), float(known.max() - known.min())
    odds = np.exp(known - known.max())
    near = [str(k) for k, odd in odds.items() if odd > 1 / DECISIVE and k != best]
    words = f"The evidence is largest for {best} stage{'s' * (best > 1)}; it spans {span:.1f} in its logarithm. "
    if near:
        words += f"Against {', '.join(near)} the odds are under {DECISIVE} to 1: these facts do not tell them apart. "
    words += "What speaks of the shape here are half-lives, and living cells found or not at a few times."
    return words + "\n\n![Evidence and half-life for each number of stages](figures/evidence_stages.png)"


def failures(n: Numbers) -> str:
    """Refits that are not shown."""
    names = {how: [CALLED[study] for study in CALLED if n.without(study) == how] for how in ("failed", "not done")}
    words = ""
    if names["failed"]:
        words += f"Without {', '.join(names['failed'])} the chains did not converge, and nothing is shown. "
    if names["not done"]:
        words += f"Not fitted yet without {', '.join(names['not done'])}. "
    return words


def run_table(n: Numbers) -> str:
    """How the fits went."""
    rows = [
        (str(row["stages"]), CALLED.get(str(row["without"]), "none"), "yes" if row["converged"] else "NO", f"{row['chains']} x {row['draws']}", f"{row['r_hat']:.3f}", f"{row['ess']:.0f}",
         str(row["divergences"]), f"{row['cpu_s']:.0f} s", f"{row['wall_s']:.0f} s")
        for _, row in n.runs.iterrows()
    ]  # fmt: skip
    return table(
        (
            "stages",
            "without",
            "converged",
            "draws",
            "largest R-hat",
            "smallest ESS",
            "divergences",
            "processor time",
            "wall time",
        ),
        rows,
    )


def text() -> str:
    """The whole page."""
    n = Numbers()
    first = n.runs.iloc[0]
    count, left = len(n.study), n.excluded[n.excluded["use"] == "fit"]
    return PARTS.format(
        rows=count, studies=n.study["study"].nunique(), could=count + len(left), not_fitted=len(left), facts=count + len(n.excluded),
        fitted=fitted_table(n), excluded=excluded_table(n), quantities=quantity_table(n),
        runs=run_table(n), seed=first["seed"], version=first["mscpkpd"], findings=findings(n),
        held_out=held_out_table(n), failures=failures(n), stages=stage_table(n), stage_words=stage_words(n),
    )  # fmt: skip


def findings(n: Numbers) -> str:
    """What agrees and what does not: each sentence is made from the numbers that it names."""
    mouse, rat, man = (n.quantity(f"lung share, {name}") for name in ("mouse", "rat", "human"))
    half, released = (
        n.quantity(HALF),
        n.quantity("share of that loss released alive"),
    )
    between = n.quantity("spread of loss from lung between studies, log")
    apart = "do not overlap" if man["upper"] < rat["lower"] or rat["upper"] < man["lower"] else "overlap"
    label = n.quantity("half-life of label left in lung [h]")
    slower = "outlasts" if label["lower"] > half["upper"] else "may outlast, or not,"
    lines = [
        f"**Rats and man.** The lung share is {interval(rat)} in the rat and {interval(man)} in man; the two intervals {apart}. "
        f"One study each: it may be the species, the camera, or the time of the first image. The mouse, {interval(mouse)}, "
        "is wide: "
        "its rows say that cells were found, not how many.",
        f"**Loss of living cells.** Half of them are gone from lung after {interval(half)} h. Half-lives of DNA and of labelled cells in "
        "mice, the cells left in rat muscle and re-culture are read as one process here. The spread between studies is "
        f"{'learned' if between['verdict'] == 'learned' else 'prior only'}: {interval(between)} on the log scale.",
        f"**Label in man.** Label that dead cells leave in lung has a half-life of {interval(label)} h there: it {slower} "
        "the cells. Organs of label are no organs of living cells.",
        f"**Release.** The share of the loss from lung that is release of living cells is {interval(released)}, "
        f"of which little was learned ({released['learned']:.2f}).",
    ]
    return "\n".join(f"- {line}" for line in lines)


PARTS = """# The published evidence in one fit

Seven studies of where MSC, their label and their DNA go after a dose, in mouse, rat and man, fitted together: amounts of
label, half-lives, a share left, living cells found or not, DNA found in k of n animals. The page is written from tables of
draws (`docs/evidence`, seed {seed}, mscpkpd {version}) by `scripts/write_evidence_page.py`; a test holds it to them.

**Read this first.** Label is not living cells, and DNA is not either. The largest data set in man is a range over four patients,
as read in abstracts. Limits of detection are assumed. {not_fitted} of the {could} facts that could be fitted are not, for
reasons that stand below, and nothing recalled is. Where the evidence does not say anything, the tables say *prior only*.

## 1. What is fitted

`models/data/biodistribution_study.csv` has {rows} rows of {studies} studies, one for each fact;
`biodistribution_excluded.csv` has the other facts of the {facts}, each with its reason.

{fitted}

{excluded}

The model is `biodistribution`: the cells and the label of `label`, DNA of dead cells, and cells arrested in a muscle bed, which
are lost at the same rate as those in lung. The lung share has a value for each species, under one wide prior; the loss from lung
varies between studies. A spread of the lung share between studies is prior only by construction and is left out: one study informs
it in the rat and one in man, so that a study cannot be told from its species. Other numbers that are not shared by species have a
value for man and one for rodents. No prior in force was read from a study that is
fitted: `k_L` and `phi_L` take their wide priors, and the fit says so.

```sh
mscpkpd fit biodistribution models/data/biodistribution_study.csv --method nuts --out run
python scripts/fit_evidence.py --runs evidence-runs --refit --stages 2 3 4 5   # all fits of this page; goes on where it stopped
python scripts/draw_evidence.py && python scripts/write_evidence_page.py       # its figures, and the page
```

{runs}

**How this fit was reached.** It is the sixth attempt on the same data, and the first that passed all checks; every change
on the way was made after the checks of the attempt before had been seen. First, study effects on the lung share were in the
model, too: R-hat 1.015, smallest ESS 117. Then a lung share for each species took their place and the spread of summed
organs was held at 0.15: R-hat 1.011. Then the prior of the spread of `k_L` between studies became lognormal(0.2, 0.7) in
place of halfnormal(0.3), which excludes zero and was chosen so that chains mix: do not lean on what is learned of it. More
draws gave R-hat 1.008 and two divergences, and a target acceptance of 0.95 none. The smallest effective sample size stands
just at its limit of 400, and the wall time was measured on a computer that did other work, too.

## 2. What the evidence says

With one stage (exponential) in lung. `learned` is the share of the prior variance that the evidence took away, on the log or logit scale; under
0.1 a quantity is called prior only, and so is a spread between groups that fewer than three groups inform.

![Prior and posterior of each quantity](figures/evidence_posterior.png)

{quantities}

{findings}

## 3. Every row

![Every row: observed, fitted, and what the priors alone predict](figures/evidence_rows.png)

## 4. Which studies pull, and what the others predict of each

Each study is left out in turn, and all else is sampled again. The others then predict its rows, with a study effect drawn anew:
*inside* counts the rows whose observed number lies in the 95 % interval of a new observation, and *width* is how much narrower
than the priors alone that interval is (median of the rows; 1: the others say nothing). Weighing the draws of the whole fit
instead was tried first and failed: a study that alone informs a quantity leaves no draws where it should return to the prior.
The first fit without Lee 2009 had 900 draws a chain and an R-hat of 1.012; the chains of all that follow are longer.

{held_out}

{failures}Rows of found or not found lie inside almost any prediction; the amounts and half-lives are the test.

![What moves without each study](figures/evidence_studies.png)

## 5. The shape of death: one to five stages

One stage is exponential, more is later and sharper. Each number is sampled; the ratio of evidence between neighbours is
Bennett's, from the draws of both, and its error is that of leaving out each chain. Priors are the same for all numbers.

{stages}

{stage_words}
"""


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
