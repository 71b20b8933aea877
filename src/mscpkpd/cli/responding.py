"""``mscpkpd responder``: the prior, an update with a cohort, calibration, design of a study. Research use only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, table_records
from mscpkpd.cli.options import Json, Seed
from mscpkpd.cli.provenance import Record
from mscpkpd.cli.scoring import scorer_folder
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place, whole_file

if TYPE_CHECKING:
    import pandas as pd

    from mscpkpd.cohort import Cohort
    from mscpkpd.report.responders import Chapter
    from mscpkpd.responder import Responder, Scorer

__all__ = ["app"]

app = typer.Typer(help="Who responds, by CXCL10: prior, update, calibration, design. Research use only.")

MARK = "provenance.json"
Model = Annotated[str, typer.Option("--responder", metavar="NAME|FILE", help="A shipped responder model, or its file.")]
Slope = Annotated[str, typer.Option(help="Prior of b1: default, sceptical, enthusiastic or conflict.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder with tables, figures and report.")]
Unit = Annotated[str | None, typer.Option(help="Unit of the levels, where the table does not say.")]
Platform = Annotated[str | None, typer.Option(help="Assay platform, where the table does not say.")]
SHIPPED = "sr_agvhd_cxcl10"


@app.command("prior")
def prior(
    ctx: typer.Context,
    *,
    responder: Model = SHIPPED,
    slope: Slope = "default",
    subset: Annotated[str, typer.Option(help="Trials to pool: all, UC, BM, children or prospective.")] = "all",
    without: Annotated[str | None, typer.Option(metavar="STUDY,...", help="Studies to leave out of the pool.")] = None,
    rows: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Trials of your own: study, n, responders.")
    ] = None,
    form: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Filled extraction form of a paper.")] = None,
    blank: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the empty form and stop.")] = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Show the prior: response rate of published trials, priors with sources, or the slope that a paper implies."""
    from mscpkpd.responder import load_responder
    from mscpkpd.responder.banner import BANNER
    from mscpkpd.responder.summaries import blank_form, prior_from_form

    record = Record(ctx.obj, seed)
    if blank is not None:
        _say_or_json({"out": str(blank_form(blank))}, [f"Wrote {blank}: empty; nothing quantitative is known"], as_json)
        return 0
    _check(out)
    model = load_responder(responder, slope)
    own = _rows(rows)
    left = [name.strip() for name in (without or "").split(",") if name.strip()]
    pooled = model.response_rate(subset, rows=own, without=left)
    lines = [str(pooled), f"prior of alpha for a new cohort: {pooled.robust_prior()}"]
    answer: dict[str, Any] = {"banner": BANNER, "pooled": str(pooled), "trials": list(pooled.trials)}
    answer["alpha"] = pooled.robust_prior()
    texts: dict[str, str] = {}
    if form is not None:
        found = prior_from_form(form)
        lines += ["", f"from {form}: {found}"]
        answer["b1"] = found.prior
        model = model.with_prior("b1", found.prior, f"extraction form {form.name}; read from the paper by its user")
        texts["b1_prior.txt"] = f"{found}\n"
    if out is not None:
        _write_prior(model, pooled, lines, texts, out, record.content(rows, form))
        lines.append(f"Wrote {out}")
    _say_or_json(
        answer | {"out": _text(out)}, [str(model) if form is None and out is None else BANNER, "", *lines], as_json
    )
    return 0


@app.command("update")
def update(
    ctx: typer.Context,
    cohort: Annotated[Path, typer.Argument(help="Cohort table, responses where known.")],
    *,
    responder: Model = SHIPPED,
    slope: Slope = "default",
    learn: Annotated[str, typer.Option(help="auto (by size), alpha, slope or full.")] = "auto",
    method: Annotated[str, typer.Option(help="auto, importance, nuts or metropolis.")] = "auto",
    priors: Annotated[
        list[str] | None,
        typer.Option("--prior", metavar="NAME=PRIOR", help="Another prior, such as 's_u=lognormal(0.1, 0.2)'."),
    ] = None,
    refits: Annotated[int, typer.Option(min=0, help="Bootstrap cohorts for optimism; 0 leaves it out.")] = 0,
    by_trial: Annotated[bool, typer.Option("--by-trial", help="Judge each trial by the others.")] = False,
    landmark: Annotated[bool, typer.Option("--landmark", help="Also the model with the 24 h level.")] = False,
    unit: Unit = None,
    platform: Platform = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Learn from a cohort; the run folder holds a scorer without patient data, TRIPOD+AI checklist and model card."""
    from mscpkpd.cohort import read_cohort
    from mscpkpd.responder import load_responder

    record = Record(ctx.obj, seed)
    _check(out)
    model = load_responder(responder, slope)
    for text in priors or []:
        name, found, value = text.partition("=")
        if not found:
            raise UsageError(f"--prior '{text}'", expected="NAME=PRIOR, such as 's_u=lognormal(0.1, 0.2)'")
        model = model.with_prior(name.strip(), value.strip(), "given on the command line")
    patients = read_cohort(cohort, unit=unit or "", platform=platform or "")
    scorer = model.update(patients, seed=seed, learn=learn, method=method)
    tables: dict[str, pd.DataFrame] = {}
    if refits:
        tables["internal"] = model.internal_validation(patients, refits=refits, seed=seed)
    if by_trial:
        tables["trials"] = model.leave_one_trial_out(patients, seed=seed)
    lines = [str(scorer)]
    for name, table in tables.items():
        lines += ["", f"{name}:", table.to_string(index=False, float_format="{:.3f}".format)]
    if out is not None:
        chapters = _update_chapters(model, patients, scorer, tables, seed, landmark=landmark)
        _write_run(out, f"Update with {cohort.name}", chapters, record.content(cohort, responder), scorer, tables)
        lines.append(f"Wrote {out}; {out}/scorer holds no patient data")
    _say_or_json(_update_json(scorer, tables, out), lines, as_json)
    return 0 if scorer.ok else 3


@app.command("calibrate")
def calibrate(
    ctx: typer.Context,
    scorer: Annotated[Path, typer.Argument(help="Folder of a saved scorer, or of an update.")],
    holdout: Annotated[Path, typer.Argument(help="Cohort table of patients who were not in the update.")],
    *,
    unit: Unit = None,
    platform: Platform = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Judge a saved scorer on other patients: AUC, calibration, decision curve."""
    from mscpkpd.cohort import read_cohort
    from mscpkpd.plots import Marks, calibration_plot, decision_curves
    from mscpkpd.report.responders import Chapter
    from mscpkpd.responder import load_scorer

    record = Record(ctx.obj, seed)
    _check(out)
    model = load_scorer(scorer_folder(scorer))
    patients = read_cohort(holdout, unit=unit or "", platform=platform or "")
    measures, curve = model.calibration(patients, seed=seed), model.calibration_curve(patients, seed=seed)
    decisions = model.decision_curve(patients, seed=seed)
    synthetic = patients.synthetic or bool(model.facts and model.facts.synthetic)
    lines = [*([] if model.ok else [f"NOT RELIABLE: {model.check}"]), str(measures.attrs["banner"]), ""]
    lines += ["SYNTHETIC patients: the numbers describe no real patient"] * synthetic
    lines.append(measures.to_string(index=False, float_format="{:.3f}".format))
    if out is not None:
        marks = Marks(synthetic=synthetic)
        scores = model.score(patients, seed=seed)["p_response"].to_numpy()
        chapters = [
            Chapter(
                "Calibration",
                ("Intervals are Bayesian bootstrap.",),
                {"calibration": measures, "calibration_curve": curve},
                {"calibration": calibration_plot(curve, measures, scores, marks=marks)},
            ),
            Chapter(
                "Acting on the score",
                ("A threshold of P(response) follows from utilities: the other therapy, and what MSC cost.",),
                {"decision_curve": decisions},
                {"decision_curve": decision_curves(decisions, marks=marks)},
            ),
        ]
        content = record.content(holdout)
        _write_run(
            out,
            f"Calibration on {holdout.name}",
            chapters,
            content,
            model,
            {"calibration": measures},
            synthetic=synthetic,
        )
        lines.append(f"Wrote {out}")
    answer = {"banner": measures.attrs["banner"], "measures": table_records(measures), "out": _text(out)}
    _say_or_json(answer | {"decision_curve": table_records(decisions), "synthetic": synthetic}, lines, as_json)
    return 0 if model.ok else 3


@app.command("design")
def design(
    ctx: typer.Context,
    *,
    auc: Annotated[float, typer.Option(help="AUC to expect.")] = 0.70,
    parameters: Annotated[int, typer.Option(min=1, help="Slopes of the model.")] = 4,
    rate: Annotated[float, typer.Option(help="Response rate.")] = 0.60,
    patients: Annotated[str, typer.Option(metavar="N,N,...", help="Sizes of randomised trials.")] = "80,160,240,400",
    control: Annotated[float, typer.Option(help="Response rate of the control arm.")] = 0.50,
    treated: Annotated[float, typer.Option(help="Response rate under MSC.")] = 0.60,
    cohorts: Annotated[
        int, typer.Option(min=0, help="SYNTHETIC cohorts of each size for slope learning; 0: none.")
    ] = 0,
    responder: Model = SHIPPED,
    slope: Slope = "default",
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Plan a study: Riley sample size, enrichment, assurance, an adaptive trial, slope learning. SYNTHETIC."""
    import pandas as pd

    from mscpkpd.responder import design as planned
    from mscpkpd.responder import load_responder
    from mscpkpd.responder.banner import BANNER

    record = Record(ctx.obj, seed)
    _check(out)
    model = load_responder(responder, slope)
    sizes = _sizes(patients)
    tables = {
        "sample_size": planned.sample_size(auc, parameters, rate),
        "enrichment": pd.concat(
            [planned.enrichment_power(name, sizes, control=control, treated=treated) for name in planned.MARKERS[1:]]
        ),
        "assurance": planned.assurance(model, sizes, control=control, seed=seed),
        "adaptive": pd.DataFrame(
            [
                vars(planned.adaptive_design(name, sizes[-1], control=control, treated=treated, seed=seed))
                for name in planned.MARKERS
            ]
        ),
    }
    if cohorts:
        tables["slope_learning"] = planned.slope_learning(model, replicates=cohorts, seed=seed)
    lines = [BANNER, "SYNTHETIC trials: planning, no result", ""]
    for name, table in tables.items():
        lines += [f"{name.replace('_', ' ')}:", table.to_string(index=False, float_format="{:.2f}".format), ""]
    if out is not None:
        chapters = _design_chapters(tables)
        _write_run(out, "Design of a study of CXCL10 and response", chapters, record.content(responder), synthetic=True)
        lines.append(f"Wrote {out}")
    answer = {"banner": BANNER, "out": _text(out), **{name: table_records(table) for name, table in tables.items()}}
    _say_or_json(answer, lines, as_json)
    return 0


@app.command("synthetic")
def synthetic(
    scenario: Annotated[str, typer.Argument(metavar="null|weak|base|strong|reversed", help="Truth to draw from.")],
    file: Annotated[Path, typer.Argument(metavar="FILE_SYNTHETIC.csv", help="New table; its name contains SYNTHETIC.")],
    *,
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 60,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Write a SYNTHETIC cohort: invented patients, labelled as such in every row."""
    from mscpkpd.responder.synthetic import synthetic_cohort

    if "SYNTHETIC" not in file.name:
        raise UsageError(f"'{file.name}'", expected="a file name that contains SYNTHETIC")
    check_place(file, "")
    cohort = synthetic_cohort(scenario, patients, seed=seed)
    with whole_file(file) as part:
        frame = cohort.to_frame().assign(label="SYNTHETIC", generator=cohort.source)
        frame.to_csv(part, index=False)
    _say_or_json(
        {"out": str(file), "patients": len(cohort)}, [f"Wrote {file}: {len(cohort)} SYNTHETIC patients"], as_json
    )
    return 0


# ---- parts ---------------------------------------------------------------------------------------------------------


def _say_or_json(answer: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:  # noqa: FBT001 (the option of the shell)
    show_json(answer) if as_json else say(*lines)


def _text(out: Path | None) -> str | None:
    return None if out is None else str(out)


def _check(out: Path | None) -> None:
    if out is not None:
        check_place(out, MARK)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(20 <= n <= 5000 for n in sizes):
        raise UsageError(f"--patients {text}", expected="whole numbers from 20 to 5000, separated by commas")
    return sizes


def _rows(file: Path | None) -> list[dict[str, object]]:
    if file is None:
        return []
    from mscpkpd.data.tables import read_table

    table = read_table(file)
    return [{str(name): text for name, text in row.cells.items() if text} for row in table.rows]


def _write_prior(
    model: Responder, pooled: Any, lines: list[str], texts: dict[str, str], out: Path, provenance: dict[str, Any]
) -> None:
    import pandas as pd

    from mscpkpd.plots import response_rates
    from mscpkpd.report.responders import Chapter

    trials = pd.DataFrame([trial._asdict() for trial in pooled.table])
    shrunken = pd.DataFrame(
        [{"study": name, **rate._asdict()} for name, rate in zip(pooled.trials, pooled.shrunken, strict=True)]
    )
    priors = pd.DataFrame(
        [
            {
                "parameter": row.name,
                "prior": row.prior.text,
                "unit": row.unit,
                "evidence": row.evidence,
                "source": row.source,
            }
            for row in model.definition.parameters
        ]
    )
    chapters = [
        Chapter(
            "Response rates without a marker",
            tuple(line for line in lines if line),
            {"trials": trials, "given_all": shrunken},
            {"response_rates": response_rates(pooled)},
        ),
        Chapter("Priors with their sources", (), {"priors": priors}),
    ]
    _write_run(out, "Prior of the responder model", chapters, provenance, texts=texts)


def _update_chapters(
    model: Responder,
    patients: Cohort,
    scorer: Scorer,
    tables: dict[str, pd.DataFrame],
    seed: int,
    *,
    landmark: bool,
) -> list[Chapter]:
    from mscpkpd.plots import Marks, level_and_change, prior_and_cohort, scored_patients
    from mscpkpd.report.responders import Chapter

    marks = Marks(synthetic=patients.synthetic, warning="" if scorer.ok else f"NOT RELIABLE: {scorer.check}")
    comparison = scorer.comparison
    figures = {"prior_and_cohort": prior_and_cohort(comparison, marks=marks)} if len(comparison) else {}
    chapters = [
        Chapter(
            "What was learned",
            (str(scorer.rate), *(str(one) for one in scorer.contrasts), *scorer.notes),
            {"summary": scorer.summary(), "comparison": comparison},
            figures,
        ),
    ]
    if tables:
        chapters.append(Chapter("Performance", ("Judged within this cohort; external patients: calibrate.",), tables))
    scores = scorer.score(patients, seed=seed)
    text = ("Apparent: these patients were in the update.",)
    picture = {"scores": scored_patients(scores, marks=marks)}
    chapters.append(Chapter("Patients of the cohort", text, {"scores": scores}, picture, patients=True))
    if landmark:
        fitted = model.landmark(patients, seed=seed)
        table = fitted.score(patients, seed=seed)
        warned = Marks(synthetic=patients.synthetic, warning="" if fitted.ok else f"NOT RELIABLE: {fitted.check}")
        chapters.append(
            Chapter(
                "With the level at 24 h: for continuing, never for selecting",
                (*fitted.notes, f"draws: {fitted.method}, {fitted.check}"),
                {"landmark_summary": fitted.summary(), "landmark_scores": table},
                {"landmark": level_and_change(table, marks=warned)},
                patients=True,
            )
        )
    return chapters


def _design_chapters(tables: dict[str, pd.DataFrame]) -> list[Chapter]:
    from mscpkpd.plots import enrichment, learning_curves
    from mscpkpd.report.responders import Chapter

    chapters = [
        Chapter("Sample size", ("Criteria of Riley; the largest is needed.",), {"sample_size": tables["sample_size"]}),
        Chapter(
            "Randomised trials",
            ("SYNTHETIC trials, two-sided 5 %; assurance averages over priors, part of them assumed.",),
            {name: tables[name] for name in ("enrichment", "assurance", "adaptive")},
            {"enrichment": enrichment(tables["enrichment"])},
        ),
    ]
    if "slope_learning" in tables:
        table = tables["slope_learning"]
        picture = {"slope_learning": learning_curves(table)}
        chapters.append(
            Chapter("What a cohort would teach", ("SYNTHETIC cohorts.",), {"slope_learning": table}, picture)
        )
    return chapters


def _write_run(
    out: Path,
    title: str,
    chapters: Sequence[Chapter],
    provenance: dict[str, Any],
    scorer: Scorer | None = None,
    tables: dict[str, pd.DataFrame] | None = None,
    *,
    synthetic: bool = False,
    texts: dict[str, str] | None = None,
) -> None:
    from mscpkpd.report import write_responder_run

    invented = synthetic or bool(scorer and scorer.facts and scorer.facts.synthetic)
    write_responder_run(out, title, chapters, provenance, scorer=scorer, tables=tables, synthetic=invented, texts=texts)


def _update_json(scorer: Scorer, tables: dict[str, pd.DataFrame], out: Path | None) -> dict[str, Any]:
    summary = scorer.summary()
    return {
        "ok": scorer.ok,
        "banner": summary.attrs["banner"],
        "check": scorer.check,
        "updated": scorer.updated,
        "notes": list(scorer.notes),
        "summary": table_records(summary),
        "comparison": table_records(scorer.comparison),
        **{name: table_records(table) for name, table in tables.items()},
        "synthetic": bool(scorer.facts and scorer.facts.synthetic),
        "out": _text(out),
    }
