"""One sentence for each thing that was looked at, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mscpkpd.diagnostics.leave_out import LeftOut
from mscpkpd.diagnostics.precision import LARGEST_CHANGE
from mscpkpd.diagnostics.sampling import diverging
from mscpkpd.fitting.result import LITTLE, Fit
from mscpkpd.identifiability.report import Identifiability
from mscpkpd.predictive import NPDE, VPC
from mscpkpd.predictive.priors import PriorPredictive
from mscpkpd.rounding import decimals, number

__all__ = ["ORDER", "UNUSUAL", "Status", "Verdict"]

Status = Literal["fail", "warn", "ok", "not given"]
ORDER: tuple[Status, ...] = ("fail", "warn", "not given", "ok")
SHRUNK = 0.3  # from which individual estimates say little about individuals
FEW = 4  # things that are named in a sentence
UNUSUAL = 3.5  # times the shift that leaving out so many rows brings by chance
INSIDE = 0.8  # share of observed percentiles in intervals that hold 95 %
DOUBTFUL = 0.01  # adjusted p of a test of prediction errors

# what to do where a check of the fit itself fails, by its name
NEXT = {
    "draws": "Take at least 1000 draws in each of 4 chains.",
    "r_hat": "Take more draws and tuning; if that does not help, two explanations of the data compete: look at pairs.",
    "ess": "Take more draws; look at correlated parameters.",
    "divergences": "See where they are; raise target_accept, fix a parameter there or give it a tighter prior.",
    "e_bfmi": "Give spreads and noise tighter priors, or take more tuning.",
    "design": "Fix what the data cannot see, observe another output, or use priors with method='nuts'.",
    "data": "Compare the units, doses and methods of the rows named; fit the parts alone and compare.",
    "noise": "Change the noise of that output in the model file and fit again; compare() says which is better.",
    "optimum": "Start from other values (start=...), or free fewer parameters.",
    "errors": "Fix a parameter, or give more data.",
    "bounds": "Fix that parameter or use method='nuts', where the prior says how far it may go.",
    "spreads": "Leave the random effect out: random=[...].",
}


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what it means.

    Attributes
    ----------
    name : str
    status : {"fail", "warn", "ok", "not given"}
        "fail": the fit is no result. "warn": it is one, with care. "not given": the method or data cannot say.
    sentence : str
        In words.
    advice : str
        What to do next; blank where nothing is to be done.
    """

    name: str
    status: Status
    sentence: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.status.upper():9} {self.name}: {self.sentence}{' ' + self.advice if self.advice else ''}"


def of_fit(fit: Fit) -> Iterator[Verdict]:
    """The checks that every fit makes of itself."""
    for check in fit.checks:
        yield Verdict(
            check.name, "ok" if check.ok else "fail", check.sentence, "" if check.ok else NEXT.get(check.name, "")
        )


def of_sampler(fit: Fit, where: pd.DataFrame) -> Iterator[Verdict]:
    """Divergences by their place; what methods without chains cannot say."""
    if diverging(fit) is None:
        sentence = f"{fit.method} has no chains: no R-hat, effective sample size, divergence or E-BFMI exists."
        yield Verdict("sampler", "not given", sentence, "A posterior by method='nuts' has them.")
    elif len(where):
        places = "; ".join(
            f"{row['parameter']} {number(row['divergent'])} instead of {number(row['rest'])}"
            for row in where.head(FEW).to_dict("records")
        )
        sentence = f"The {where.attrs['count']} divergent draws lie at {places} (medians)."
        yield Verdict("where divergences are", "fail", sentence, NEXT["divergences"])


def of_learning(fit: Fit, pairs: pd.DataFrame) -> Iterator[Verdict]:
    """What was learned of each parameter, and which of them only make sense together."""
    few, only = fit.little_learned(), sorted(fit.posterior.prior_only)
    if fit.table["learned"].notna().any():
        if few or only:
            said = f"The data taught less than {LITTLE} of {_named(few)}" if few else ""
            nothing = f"{'and n' if few else 'N'}othing of {_named(only)}" if only else ""
            sentence = f"{' '.join(part for part in (said, nothing) if part)}: what rests on them is prior."
            yield Verdict("learned", "warn", sentence, "Say so where you use them, or observe what depends on them.")
        else:
            yield Verdict("learned", "ok", f"Every parameter has learned at least {LITTLE} of its prior variance.")
    if len(pairs):
        named = ", ".join(
            f"{row['first']} and {row['second']} ({decimals(row['correlation'])})"
            for row in pairs.head(FEW).to_dict("records")
        )
        sentence = f"{len(pairs)} pairs of parameters are known only together: {named}."
        yield Verdict("correlations", "warn", sentence, "Use their joint draws, never one estimate with the other's.")
    else:
        yield Verdict("correlations", "ok", "No two parameters have a rank correlation of 0.95 or more.")


def of_replicates(table: pd.DataFrame) -> Verdict:
    """Statistics of the data among those of replicates."""
    odd = table[table["odd"]]
    if not len(odd):
        return Verdict(
            "posterior predictive checks", "ok", f"All {len(table)} statistics of the data are among their replicates."
        )
    named = "; ".join(
        f"{row['statistic']} of {row['output']} ({row['rows']}) is {number(row['observed'])}, replicates have "
        f"{number(row['lower'])} to {number(row['upper'])}"
        for row in odd.head(FEW).to_dict("records")
    )
    sentence = f"{len(odd)} of {len(table)} statistics of the data are unlike those of replicates: {named}."
    return Verdict(
        "posterior predictive checks",
        "warn",
        sentence,
        "The model cannot make such data: see which part of them it is.",
    )


def of_prior(expected: PriorPredictive) -> Verdict:
    """Whether priors and data go together."""
    good = expected.verdict.startswith("Priors and data go together")
    named = " ".join(each.sentence + "." for each in expected.conflicts[:FEW])
    sentence = f"{expected.verdict} {named}".strip()
    advice = "Check units and doses of these rows, and where the prior comes from, before you trust either."
    return Verdict("prior predictive check", "ok" if good else "warn", sentence, "" if good else advice)


def of_left_out(found: LeftOut, bad: pd.DataFrame, given: str) -> Verdict:
    """Leave-one-out by row."""
    total = f"LOO: elpd {decimals(found.total, 1)} (SE {decimals(found.error, 1)}), p_loo {decimals(found.p_loo, 1)}"
    if not len(bad):
        limit = decimals(found.limit)
        return Verdict("leave-one-out", "ok", f"{total}; all Pareto k are at most {limit}; rows {given}.")
    named = "; ".join(
        f"{row['where']} (subject {row['subject']}, {row['output']}, k {decimals(row['pareto_k'])})"
        for row in bad.head(FEW).to_dict("records")
    )
    return Verdict(
        "leave-one-out",
        "warn",
        f"{total}; {len(bad)} rows have a Pareto k over {decimals(found.limit)}: {named}; rows {given}.",
        "Look at these rows first: they pull hardest, or do not fit. Without them, fit again and compare estimates.",
    )


def of_subjects_left_out(table: pd.DataFrame | None) -> Verdict:
    """Leave-one-out by subject, where a maximum has no draws."""
    name = "leave-one-out"
    if table is None or len(table) < 2:
        return Verdict(name, "not given", "No subject can be left out alone.", "A posterior by method='nuts' has rows.")
    elpd = table["elpd"].to_numpy(float)[table["trusted"].to_numpy(bool)]
    total = f"LOO by subject: elpd {decimals(float(elpd.sum()), 1)}"
    if len(elpd) > 1:
        total += f" (SE {decimals(float(np.sqrt(len(elpd) * elpd.var(ddof=1))), 1)})"
    how = "each subject given the estimates without it, its random effects integrated out"
    unsure = table.loc[~table["trusted"], "subject"]
    if not len(unsure):
        return Verdict(name, "ok", f"{total}; {how}.")
    sentence = f"{total} of {len(elpd)} of {len(table)} subjects; {how}; of {_named(unsure)} only another fit can tell."
    return Verdict(name, "warn", sentence, "Fit again without them.")


def of_influence(tables: Mapping[str, pd.DataFrame]) -> Iterator[Verdict]:
    """Who pulls."""
    for by, table in tables.items():
        name = f"influence by {by}"
        if len(table) < 2:
            yield Verdict(name, "not given", f"There is one {by} only: nothing can be left out.")
            continue
        strong = np.abs(table["shift"]) > UNUSUAL * table["usual"]
        pulling, unsure = table[strong], table[~strong & ~table["trusted"]]
        left = f" Without {_named(unsure[by])} only another fit can tell." if len(unsure) else ""
        again = f"Fit again without the {by} and compare." if len(unsure) else ""
        if not len(pulling):
            first = table.iloc[0]
            sentence = (
                f"No {by} pulls more than its share; most does {first[by] or 'the one without a name'} "
                f"({first['parameter']}, {number(first['shift'], 2)} SD).{left}"
            )
            yield Verdict(name, "ok", sentence, again)
            continue
        named = "; ".join(_pull(by, row) for row in pulling.head(FEW).to_dict("records"))
        advice = f"Fit again without the {by} named first and compare; report both."
        yield Verdict(
            name, "warn", f"{len(pulling)} of {len(table)} pull more than their share: {named}.{left}", advice
        )


def _pull(by: str, row: Mapping[str, object]) -> str:
    said = f"{row[by] or 'rows without a name'} ({row['parameter']} by {number(float(str(row['shift'])), 2)} SD"
    k = float(str(row["pareto_k"]))
    known = f"k {decimals(k)}: more than weights can tell" if not np.isnan(k) else "more than a step can tell"
    trusted = "" if row["trusted"] else f", {known}"
    return f"{said}{trusted})"


def of_replicated_study(check: VPC, corrected: VPC | None, errors: NPDE | None) -> Iterator[Verdict]:
    """Visual predictive checks and prediction distribution errors."""
    for name, one in (("VPC", check), ("pcVPC", corrected)):
        if one is not None:
            share = one.share_inside
            good = share >= INSIDE
            sentence = f"{share:.0%} of {len(one.table)} observed percentiles lie in their simulated 95 % intervals."
            yield Verdict(
                name, "ok" if good else "warn", sentence, "" if good else "See where lines leave their bands."
            )
    if len(check.blq):
        outside = check.blq[(check.blq["observed"] < check.blq["lower"]) | (check.blq["observed"] > check.blq["upper"])]
        kind = check.settings["quantile_type"]
        sentence = (
            f"The share below the limit leaves its interval in {len(outside)} of {len(check.blq)} bins (quantile type "
            f"{kind}; values below rank below all others)."
        )
        yield Verdict("below the limit", "warn" if len(outside) > 0.1 * len(check.blq) + 1 else "ok", sentence)
    if errors is None:
        return
    odd = errors.tests[errors.tests["p_adjusted"] < DOUBTFUL]
    named = "; ".join(
        f"{row['output']}: '{row['test']}' (estimate {number(row['estimate'])}, p {number(row['p_adjusted'], 1)})"
        for row in odd.head(FEW).to_dict("records")
    )
    if len(odd):
        yield Verdict("NPDE", "warn", f"Doubtful: {named}.", "A mean: the model; a variance: noise or random effects.")
    else:
        yield Verdict("NPDE", "ok", "Prediction distribution errors are as under the true model.")


def of_residuals(groups: pd.DataFrame) -> Verdict:
    """Residuals by output, method, organ and study."""
    shifted = groups[groups["shifted"]]
    if not len(shifted):
        return Verdict("residuals by group", "ok", "No output, method, organ or study lies off the model as a whole.")
    named = "; ".join(
        f"{row['by']} {row['group']} by {number(row['mean'], 2)} SD ({row['n']} rows)"
        for row in shifted.head(FEW).to_dict("records")
    )
    advice = "A method with its own recovery, or an organ with its own rate, may be missing from the model."
    return Verdict("residuals by group", "warn", f"Groups lie off the model: {named}.", advice)


def of_noise(findings: list[str]) -> Verdict:
    """Departures from the noise of an output that do not make the fit useless."""
    if not findings:
        return Verdict("residuals and noise", "ok", "Residuals are normal and as large as the noise says.")
    advice = "Another noise in the model file may fit better: compare() says whether it does."
    return Verdict("residuals and noise", "warn", " ".join(findings), advice)


def of_shrinkage(fit: Fit) -> Iterator[Verdict]:
    """Shrinkage with its form."""
    if "eta_shrinkage_sd" not in fit.table:
        return
    known = fit.table[fit.table["eta_shrinkage_sd"].notna() & fit.table["parameter"].str.startswith("omega_sd_")]
    eps = fit.statistics.get("eps_shrinkage_sd", float("nan"))
    named = ", ".join(
        f"{row['parameter'].removeprefix('omega_sd_')} {decimals(row['eta_shrinkage_sd'])} (SD) and "
        f"{decimals(row['eta_shrinkage_var'])} (variance)"
        for row in known.to_dict("records")
    )
    large = bool((known["eta_shrinkage_sd"] > SHRUNK).any())
    sentence = (
        f"Shrinkage of random effects, 1 - SD(eta)/omega and its variance form: {named}; residuals {decimals(eps)}."
    )
    advice = "Do not judge individuals or covariates by individual estimates: they are drawn to the typical value."
    yield Verdict("shrinkage", "warn" if large else "ok", sentence, advice if large else "")


def of_tolerance(table: pd.DataFrame) -> Verdict:
    """Whether the solver is fine enough."""
    change = float(np.max(np.abs(table["change"])))
    sentence = (
        f"With tolerance {table.attrs['finer']:.0e} instead of {table.attrs['tolerance']:.0e} the log density changes "
        f"by at most {number(change, 2)} at {len(table)} draws."
    )
    good = change <= LARGEST_CHANGE
    advice = "" if good else "Tell the authors: the solver is too coarse for this model, and intervals may be wrong."
    return Verdict("tolerance", "ok" if good else "warn", sentence, advice)


def of_design(report: Identifiability) -> Verdict:
    """What the design can tell, near the values of the model."""
    exact = [group for group in report.groups if group.exact]
    if exact:
        named = "; ".join(", ".join(group.names) for group in exact[:FEW])
        sentence = f"No data on these outputs can separate {named}: only their combinations are learned."
        return Verdict("local identifiability", "warn", sentence, "Use the combination, or fix one of them.")
    left = [name for name in report.names if name not in report.identifiable]
    if left:
        sentence = f"The data alone do not tell {_named(left)} (relative standard error over 50 %)."
        return Verdict("local identifiability", "warn", sentence, "Their priors, or values held, decide.")
    return Verdict("local identifiability", "ok", "The design tells every estimated parameter without its prior.")


def _named(names: object) -> str:
    every = list(names)  # type: ignore[call-overload]  # a mapping or a sequence of names
    return ", ".join(map(str, every[:FEW])) + (f" and {len(every) - FEW} more" if len(every) > FEW else "")
