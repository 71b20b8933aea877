"""A TRIPOD+AI checklist and a model card, filled with what the program knows; the rest is marked for the authors.

Items are numbered as in TRIPOD+AI (27 items). Their titles are short forms from memory: compare with the published
form before submission.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.definition import BETWEEN, EXTRAS
from mscpkpd.responder.draws import SLOPE_ON_PREDICTOR

if TYPE_CHECKING:
    import pandas as pd

    from mscpkpd.responder.scorer import Scorer

__all__ = ["AUTHORS", "SOURCE", "Item", "checklist", "checklist_markdown", "equation_of", "model_card"]

AUTHORS = "TO BE FILLED BY THE AUTHORS"
SOURCE = (
    "Numbers of items as in TRIPOD+AI (Collins 2024, BMJ 385:e078378), titles shortened from memory: compare with the "
    "published form before submission. PROBAST+AI: expect high concern for analysis below 100 patients, predictors "
    "measured with knowledge of the outcome, and a single arm."
)
NOT_FOR = (
    "**Not for.** Selecting or refusing therapy for a patient; levels of another assay; any threshold of CXCL10; "
    "saying what MSC add: a single arm cannot."
)
Tables = Mapping[str, "pd.DataFrame"]


class Item(NamedTuple):
    """One item of the checklist.

    Attributes
    ----------
    number, title : str
        As in TRIPOD+AI, shortened.
    answer : str
        What the program knows; `AUTHORS` where it knows nothing.
    """

    number: str
    title: str
    answer: str

    @property
    def filled(self) -> bool:
        """Whether nothing is left to the authors."""
        return AUTHORS not in self.answer


def checklist(scorer: Scorer, tables: Tables | None = None) -> tuple[Item, ...]:
    """Return the checklist of a scorer.

    Parameters
    ----------
    scorer : Scorer
        The model after its update.
    tables : mapping of str to DataFrame, optional
        Performance: "calibration" (of patients not in the update), "internal" (corrected for optimism), "trials" (leave
        one trial out).

    Returns
    -------
    tuple of Item
        All 27 items, sub-items where they differ.
    """
    known = tables or {}
    return tuple(
        Item(number, title, answer)
        for number, title, answer in (
            *_front(scorer),
            *_methods(scorer),
            *_open(scorer),
            *_results(scorer, known),
            *_discussion(scorer),
        )
    )


def _front(scorer: Scorer) -> Sequence[tuple[str, str, str]]:
    definition = scorer.definition
    return (
        ("1", "Title", f"{definition.title}: {'update' if scorer.facts else 'prior'} of a prediction model"),
        ("2", "Abstract (13 items)", AUTHORS),
        ("3a", "Healthcare context, existing models", AUTHORS),
        ("3b", "Target population and intended use", definition.use + "; research use only"),
        ("3c", "Known health inequalities", AUTHORS),
        ("4", "Objectives", f"Estimate {definition.estimand}; development by Bayesian updating of published priors"),
    )


def _methods(scorer: Scorer) -> Sequence[tuple[str, str, str]]:
    facts, definition = scorer.facts, scorer.definition
    data = "no cohort: priors alone" if facts is None else f"{facts.source}, SHA-256 {facts.digest[:12]}"
    size = "no cohort" if facts is None else f"{facts.patients} patients, {facts.labelled} with a known response"
    platforms = definition.reference_platform if facts is None else ", ".join(facts.platforms)
    return (
        ("5a", "Source of data", f"{_label(scorer)}{data}; {AUTHORS}: design, why representative"),
        ("5b", "Dates", AUTHORS),
        ("6a", "Setting and centres", AUTHORS),
        ("6b", "Eligibility", AUTHORS),
        ("6c", "Treatments", f"MSC; dose, schedule and co-therapy: {AUTHORS}"),
        (
            "7",
            "Data preparation",
            "levels to pg/mL and ln; grades to A to D; limits kept as censoring; no value imputed",
        ),
        ("8a", "Outcome", definition.outcome),
        ("8b", "Who assessed the outcome", AUTHORS),
        ("8c", "Blinding of the outcome", AUTHORS),
        (
            "9a",
            "Predictors chosen in advance",
            "CXCL10 before the first infusion, grade, liver, child" + _extras(scorer),
        ),
        ("9b", "Predictors: definition, assay, timing", f"platforms {platforms}; matrix and timing: {AUTHORS}"),
        ("9c", "Blinding of predictors", AUTHORS),
        ("10", "Sample size", f"{size}; sample_size() gives the criteria of Riley; a prior replaces missing patients"),
        (
            "11",
            "Missing data",
            "averaged over published shares within the likelihood; missing levels over the population",
        ),
        (
            "12a",
            "How data were used",
            f"all patients in the update ({scorer.updated}); {scorer.method}, {scorer.check}",
        ),
        ("12b", "Handling of predictors", "ln CXCL10 with measurement error, platform offsets and censoring"),
        ("12c", "Type of model", "Bayesian logistic regression on the latent ln level; " + equation_of(scorer)),
        ("12d", "Heterogeneity between clusters", _clusters(scorer)),
        ("12e", "Measures of performance", "AUC, Brier score, calibration intercept, slope and curve, net value"),
        ("12f", "Model updating", "; ".join(scorer.notes[:1]) or "none"),
        ("12g", "How predictions were made", "posterior mean of P(response) with central intervals"),
        ("13", "Class imbalance", "no resampling, no class weights"),
        ("14", "Fairness", f"child against adult is in the model; ancestry, centre, sex: {AUTHORS}"),
        ("15", "Output", "a probability; no classification, no threshold of a level"),
        ("16", "Differences of development and evaluation", AUTHORS),
        ("17", "Ethical approval", AUTHORS),
    )


def _open(scorer: Scorer) -> Sequence[tuple[str, str, str]]:
    return (
        ("18a", "Funding", AUTHORS),
        ("18b", "Conflicts of interest", AUTHORS),
        ("18c", "Protocol", AUTHORS),
        ("18d", "Registration", AUTHORS),
        ("18e", "Data sharing", "the saved scorer holds no patient data and may be shared; data: " + AUTHORS),
        ("18f", "Code sharing", f"mscpkpd, open source; responder file '{scorer.definition.name}' inside the folder"),
        ("19", "Patient and public involvement", AUTHORS),
    )


def _results(scorer: Scorer, tables: Tables) -> Sequence[tuple[str, str, str]]:
    facts = scorer.facts
    flow = AUTHORS
    if facts is not None:
        flow = (
            f"{facts.patients} patients, {facts.labelled} with a known response, {facts.responders} responded; "
            f"{facts.children} children, {facts.adults} adults; flow of patients: {AUTHORS}"
        )
    return (
        ("20a", "Participants", _label(scorer) + flow),
        ("20b", "Characteristics", AUTHORS),
        ("20c", "Comparison with evaluation data", AUTHORS),
        (
            "21",
            "Development",
            "no cohort" if facts is None else f"{facts.labelled} patients, {facts.responders} events",
        ),
        (
            "22",
            "Full model",
            f"{equation_of(scorer)}; {_coefficients(scorer)}; all draws in draws.npz of the saved scorer",
        ),
        ("23a", "Performance with intervals", _performance(tables)),
        ("23b", "Heterogeneity of performance", _by_trial(tables)),
        (
            "24",
            "Results of updating",
            "; ".join(str(one) for one in scorer.contrasts) or "no contrast of prior and cohort",
        ),
    )


def _discussion(scorer: Scorer) -> Sequence[tuple[str, str, str]]:
    assumed = [row.name for row in scorer.definition.parameters if row.evidence == "assumed"]
    return (
        ("25", "Interpretation", AUTHORS),
        ("26", "Limitations", f"{BANNER} Assumed priors: {', '.join(assumed)}."),
        ("27a", "Poor or missing input", "flags of every score: out of range, unknown platform, missing covariates"),
        ("27b", "Needed expertise and interaction", "reads as one piece of evidence beside the clinical picture"),
        ("27c", "Next steps", "external validation on another platform and centre; see slope_learning() for its size"),
    )


def _label(scorer: Scorer) -> str:
    return "SYNTHETIC cohort, no real patient: " if scorer.facts is not None and scorer.facts.synthetic else ""


def _extras(scorer: Scorer) -> str:
    found = [name.removeprefix("gamma_") for name in EXTRAS if name in scorer.draws.names]
    return "".join(f", {name}" for name in found)


def _clusters(scorer: Scorer) -> str:
    found = [name for name in BETWEEN if name in scorer.draws.names]
    return f"random effects ({', '.join(found)})" if found else "one trial: its spread is in the prior of the intercept"


def _coefficients(scorer: Scorer) -> str:
    table = scorer.summary()
    chosen = table[table["parameter"].str.startswith(("alpha", "b1", "gamma"))]
    rows = (f"{row.parameter} {row.estimate:.2f} ({row.lower:.2f} to {row.upper:.2f})" for row in chosen.itertuples())
    return ", ".join(rows)


def _performance(tables: Tables) -> str:
    found = []
    if "calibration" in tables:
        table = tables["calibration"].set_index("measure")
        for name in ("auc", "calibration_slope", "calibration_intercept", "brier"):
            row = table.loc[name]
            found.append(f"{name} {row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})")
        found.append("in patients who were not in the update")
    if "internal" in tables:
        table = tables["internal"].set_index("measure")
        values = (f"{name} {table.loc[name, 'corrected']:.2f}" for name in table.index)
        found.append(f"corrected for optimism: {', '.join(values)}")
    return "; ".join(found) or f"not judged; {AUTHORS}"


def _by_trial(tables: Tables) -> str:
    if "trials" not in tables:
        return f"not judged; {AUTHORS}"
    return "; ".join(f"{row.trial}: auc {row.auc:.2f}" for row in tables["trials"].itertuples())


def equation_of(scorer: Scorer) -> str:
    """Return the linear predictor in words."""
    definition = scorer.definition
    terms = "alpha + b1 z + gamma_grade g + gamma_liver (liver - {liver:g}) + gamma_child (child - {child:g})".format(
        liver=definition.share("liver"), child=definition.share("child")
    )
    own = "".join(f" + {name} {name.removeprefix('gamma_')}" for name in EXTRAS if name in scorer.draws.names)
    return f"logit p = {terms}{own}, z = (x - ln {definition.centre:g})/{definition.spread:g}"


def checklist_markdown(items: Sequence[Item]) -> str:
    """Return the checklist as Markdown."""
    open_items = sum(not item.filled for item in items)
    lines = [
        "# TRIPOD+AI checklist",
        "",
        f"> {BANNER}",
        "",
        f"{len(items)} entries, {open_items} left to the authors. {SOURCE}",
        "",
        "| item | what | answer |",
        "|---|---|---|",
        *(f"| {item.number} | {item.title} | {item.answer.replace('|', '/')} |" for item in items),
    ]
    return "\n".join(lines) + "\n"


def model_card(scorer: Scorer, tables: Tables | None = None) -> str:
    """Return the model card as Markdown: what it is for, what it rests on, how it did, what it must not be used for.

    Parameters
    ----------
    scorer : Scorer
        The model after its update.
    tables : mapping of str to DataFrame, optional
        As for `checklist`.
    """
    definition = scorer.definition
    head = [] if scorer.ok else [f"**NOT RELIABLE: {scorer.check}**", ""]
    notes = [f"- {note}" for note in scorer.notes]
    priors = [
        f"| {row.name} | {row.prior.text} | {row.unit} | {row.evidence} | {row.source.replace('|', '/')} |"
        for row in sorted(definition.parameters, key=lambda row: row.evidence != "assumed")
        if row.name in scorer.draws.names or row.name in ("offset", "plate")
    ]
    learned = [
        f"| {row.parameter} | {row.estimate:.3g} | {row.lower:.3g} to {row.upper:.3g} | {row.learned:.2f} |"
        for row in scorer.summary().itertuples()
        if row.parameter != SLOPE_ON_PREDICTOR
    ]
    lines = [
        f"# Model card: {definition.name}",
        "",
        *head,
        f"> {BANNER}",
        "",
        f"**What it estimates.** {definition.estimand}. Outcome: {definition.outcome}.",
        "",
        f"**For.** {definition.use}; research, planning of studies, learning from your own cohort.",
        "",
        NOT_FOR,
        "",
        f"**Equation.** {equation_of(scorer)}",
        "",
        f"**Rests on.** {_label(scorer)}{'; '.join(scorer.notes[:1]) or 'priors alone'}.",
        "",
        f"**Performance.** {_performance(tables or {})}.",
        "",
        "## What a reader must know",
        "",
        *notes,
        "",
        "## Coefficients",
        "",
        "| parameter | mean | 95 % interval | learned |",
        "|---|---|---|---|",
        *learned,
        "",
        "## Priors, assumed ones first",
        "",
        "| parameter | prior | unit | evidence | source |",
        "|---|---|---|---|---|",
        *priors,
    ]
    return "\n".join(lines) + "\n"
