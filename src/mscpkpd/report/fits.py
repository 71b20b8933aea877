"""The page of a fit: data and bands, parameters with their origin, and what the data did not inform."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mscpkpd.diagnostics.posterior import population_of
from mscpkpd.diagnostics.residuals import residual_table
from mscpkpd.fitting.result import LITTLE, Fit, load_fit
from mscpkpd.parameters import Parameter
from mscpkpd.plots import (
    data_and_fit,
    facts_and_fit,
    fitted_curves,
    individual_fits,
    learned_shares,
    priors_and_posteriors,
    save,
)
from mscpkpd.plots.diagnosis import goodness_of_fit, residual_plots
from mscpkpd.plots.learning import prior_in_force
from mscpkpd.plots.observations import observed_rows
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import (
    FIGURES,
    Content,
    Part,
    estimate_columns,
    named,
    origin,
    settings_table,
    share,
)
from mscpkpd.report.html import Column, Html, bullets, details, element, gallery, image, joined, paragraph, table
from mscpkpd.rounding import decimals, number, unit_text

__all__ = ["CURVES", "SHOWN", "fit_content", "marks_of_fit"]

CURVES, SHOWN = "curves.csv", "shown.csv"
METHODS = {
    "nuts": "Posterior by NUTS", "smc": "Posterior by sequential Monte Carlo",
    "pathfinder": "Posterior approximated by Pathfinder",
    "least_squares": "Least squares", "map": "Mode of the posterior",
    "foce": "Population likelihood by FOCE", "focei": "Population likelihood by FOCEI",
    "laplace": "Population likelihood by Laplace",
}  # fmt: skip
MOST_ROWS = 400
TOP = 3  # parameters named in the first sentences
WIDE, PERCENT = " (wide)", "% of the dose"
NO_OUTPUT = (
    "No observed output depends on them: their draws are draws from the prior, and every prediction that rests on them "
    "says so."
)
HARDLY = "The observed outputs depend on them, but these data hardly narrow them."


def fit_content(folder: Path, *, show_data: bool = True) -> Content:
    """Draw the figures of a fit into its folder and say what it found.

    Parameters
    ----------
    folder : Path
        Run folder of a fit.
    show_data : bool
        Whether rows of single subjects are shown.
    """
    fit = load_fit(folder)
    marks = marks_of_fit(fit)
    curves = _curves(fit, folder)
    shown = pd.read_csv(folder / SHOWN) if (folder / SHOWN).is_file() else None
    pictures = folder / FIGURES
    pictures.mkdir(exist_ok=True)
    data = [_data_picture(fit, curves, name, pictures, shown, show_data=show_data) for name in _outputs(curves)]
    facts = facts_and_fit(fit, marks=marks, individuals=show_data)
    if facts is not None:
        data.append(_picture(facts, pictures, "facts", "Facts that are no curve, beside the fit"))
    learned = [
        _picture(figure, pictures, name, alt)
        for figure, name, alt in (
            (learned_shares(fit, marks=marks), "learned", "Share of the prior variance removed, by parameter"),
            (priors_and_posteriors(fit, marks=marks), "priors_and_posteriors", "Prior and posterior of each parameter"),
        )
        if figure is not None
    ]
    parts = (
        Part("Data and fitted model", joined(gallery(data), _about_the_bands(fit, shown, show_data=show_data))),
        Part("Can it be trusted?", _trust(fit, pictures, marks, show_data=show_data)),
        Part("Parameters", joined(gallery(learned), _parameters(fit), _held(fit))),
        *((Part("Random effects", _random_effects(fit)),) if fit.individuals is not None and show_data else ()),
        Part("What the data did not inform", _not_informed(fit)),
        Part("Observations and predictions", _observations(fit, show_data=show_data)),
        Part("How it was made", _made(fit)),
    )
    title = f"{METHODS.get(fit.method, fit.method)}: {fit.model.title or fit.model.name}, {fit.study.name}"
    return Content(title, _found(fit), marks, parts)


def marks_of_fit(fit: Fit) -> Marks:
    """Marks that every figure and page of a fit carries."""
    quick = bool(fit.settings.get("quick", False))
    warning = "" if fit.converged else "NOT A RESULT: the fit does not pass its checks"
    return Marks(synthetic=fit.study.synthetic, quick=quick, warning=warning)


def _outputs(curves: pd.DataFrame) -> list[str]:
    return [str(name) for name in dict.fromkeys(curves["output"])]


def _data_picture(
    fit: Fit, curves: pd.DataFrame, output: str, folder: Path, shown: pd.DataFrame | None, *, show_data: bool
) -> Html:
    if fit.individuals is not None and "subject" in fit.individuals.columns and show_data:
        figure = individual_fits(fit, output, marks=marks_of_fit(fit))
    else:
        figure = data_and_fit(fit, curves, output, marks=marks_of_fit(fit), individuals=show_data, shown=shown)
    return _picture(figure, folder, f"data_{output}", f"Data and fitted model of {output}")


def _picture(figure: Any, folder: Path, name: str, alt: str) -> Html:
    return image(save(figure, folder / f"{name}.png"), alt)


def _curves(fit: Fit, folder: Path) -> pd.DataFrame:
    """Curves kept in the folder, so that a page can be written again without solving anything."""
    path = folder / CURVES
    if not path.is_file():
        fitted_curves(fit).to_csv(path, index=False)
    return pd.read_csv(path, keep_default_na=True)


def _found(fit: Fit) -> tuple[str, ...]:
    judged = bool(fit.checks)
    sentences = (
        [] if judged and fit.converged else [fit.verdict if judged else "A quick run: its checks were not judged."]
    )
    table_ = fit.table
    best = table_[table_["learned"].notna() & (table_["note"] != "prior only")].nlargest(TOP, "learned")
    if len(best):
        named = ", ".join(f"{row['parameter']} ({decimals(row['learned'])})" for row in best.to_dict("records"))
        few, none = fit.little_learned(), len(fit.posterior.prior_only)
        sentences.append(
            f"The data taught most about {named}: the share of the prior variance that is gone. They taught less than "
            f"{LITTLE} about {len(few)} parameters and nothing about {none}."
        )
    else:
        free = [str(name) for name in table_["parameter"]]
        sentences.append(
            f"{len(free)} parameters were estimated from {len(fit.predictions)} observations; all others are held at "
            "the values of the model."
        )
    inside, total = _covered(fit.predictions)
    if total:
        sentences.append(f"{inside} of {total} uncensored observations lie within their 95 % prediction interval.")
    return tuple(sentences)


def _covered(predictions: pd.DataFrame) -> tuple[int, int]:
    part = predictions[predictions["kind"].isin(["value", "mean"])]
    inside = (part["observed"] >= part["lower_new"]) & (part["observed"] <= part["upper_new"])
    return int(inside.sum()), len(part)


def _about_the_bands(fit: Fit, shown: pd.DataFrame | None, *, show_data: bool) -> Html:
    lines = ["Bands hold 95 %. Amounts are in percent of the dose given where the data are."]
    if shown is not None:
        lines.append("Diamonds were not fitted.")
    if fit.study.synthetic:
        lines.append("SYNTHETIC data: invented, not measured.")
    if not show_data:
        lines.append("Single subjects are left out.")
    return paragraph(" ".join(lines), class_="soft")


def _parameters(fit: Fit) -> Html:
    sampled = bool(fit.table["learned"].notna().any())
    mine = fit.table[fit.table["parameter"].isin(fit.model.parameter_names)]
    columns = (
        Column("parameter", lambda row: named(row["parameter"], fit.model.parameter(row["parameter"]).about)),
        *estimate_columns("estimate"),
        Column("unit", lambda row: unit_text(row["unit"])),
        *(_sampled_columns(fit) if sampled else (Column("SD", lambda row: number(row["sd"]), numeric=True),)),
        Column("evidence and source of the prior", lambda row: _origin(fit.model.parameter(row["parameter"]))),
    )
    caption = f"Estimates: {fit.table.attrs.get('interval', '')}"
    return table(mine.to_dict("records"), columns, caption=caption)


def _random_effects(fit: Fit) -> Html:
    """Spreads on both scales with shrinkage, the numbers of the whole fit, and each subject."""
    spreads = fit.table[~fit.table["parameter"].isin(fit.model.parameter_names)]
    percent = {"cv": "CV %", "eta_shrinkage_sd": "shrinkage (SD)", "eta_shrinkage_var": "shrinkage (variance)"}
    columns = (
        Column("random effect", lambda row: named(row["parameter"], row["note"])),
        *estimate_columns("estimate"),
        *(Column(title, partial(_cell, key), numeric=True) for key, title in percent.items()),
    )
    parts = [table(spreads.to_dict("records"), columns, caption=f"Spreads: {fit.table.attrs.get('interval', '')}")]
    if fit.statistics:
        parts.append(paragraph(", ".join(f"{name} {number(value)}" for name, value in fit.statistics.items())))
    if fit.individuals is not None:
        shown = tuple(Column(str(name), partial(_cell, str(name))) for name in fit.individuals.columns)
        kind = fit.individuals.attrs.get("kind", "")
        parts.append(details(f"Individuals: {kind}", table(fit.individuals.to_dict("records"), shown)))
    return joined(*parts)


def _cell(key: str, row: Mapping[Any, Any]) -> object:
    value = row.get(key, "")
    return number(value) if isinstance(value, float) else value


def _sampled_columns(fit: Fit) -> tuple[Column, ...]:
    return (
        Column("learned", _learned, numeric=True),
        Column("R-hat", lambda row: decimals(row["r_hat"], 3), numeric=True),
        Column("ESS", lambda row: number(min(row["ess_bulk"], row["ess_tail"])), numeric=True),
        Column("prior", lambda row: f"{prior_in_force(fit, row['parameter'])}" + WIDE * (row["note"] == "wide prior")),
    )


def _learned(row: Mapping[Any, Any]) -> object:
    return element("span", "prior only", class_="alert") if row["note"] == "prior only" else share(row)


def _origin(parameter: Parameter) -> Html:
    return origin(parameter.evidence, parameter.source)


def _held(fit: Fit) -> Html:
    known = set(fit.table["parameter"])
    rows = [{"name": p.name, "parameter": p} for p in fit.model.parameters if p.name not in known]
    columns = (
        Column("parameter", lambda row: named(row["name"], row["parameter"].about)),
        Column("value", lambda row: number(row["parameter"].value), numeric=True),
        Column("unit", lambda row: unit_text(row["parameter"].unit)),
        Column("evidence and source", lambda row: _origin(row["parameter"])),
    )
    return (
        details(f"{len(rows)} parameters held at the values of the model", table(rows, columns)) if rows else Html("")
    )


def _not_informed(fit: Fit) -> Html:
    only, few = sorted(fit.posterior.prior_only), fit.little_learned()
    shares = ", ".join(f"{name} ({decimals(max(value, 0.0))})" for name, value in few.items())
    held = [note for note in fit.notes if "held at" in note]
    parts = [
        _listed(f"Prior only ({len(only)}): ", ", ".join(only), NO_OUTPUT) if only else "",
        _listed(f"Learned less than {LITTLE} ({len(few)}): ", shares, HARDLY) if few else "",
        joined(paragraph("Held, because the design does not identify them:"), bullets(held)) if held else "",
    ]
    return joined(*parts) if any(parts) else paragraph(f"Every free parameter has learned at least {LITTLE}.")


def _listed(title: str, names: str, words: str) -> Html:
    return paragraph(element("strong", title), names, ". ", words)


def _observations(fit: Fit, *, show_data: bool) -> Html:
    everything = observed_rows(fit)
    kept = everything if show_data else everything[~everything["single"]]
    shown = kept.head(MOST_ROWS)
    left, more = len(everything) - len(kept), len(kept) - len(shown)
    words = [
        f"{left} rows of single subjects are left out." if left else "",
        f"{more} more rows are in predictions.csv." if more else "",
    ]
    columns = (
        Column("subject", lambda row: row["subject"]),
        Column("output", lambda row: row["output"]),
        Column(f"time [{fit.model.time}]", lambda row: number(row["time"], 4), numeric=True),
        Column("observed", _observed, numeric=True),
        Column("predicted", lambda row: _amount(row, "predicted"), numeric=True),
        Column("95 % of new observations", lambda row: _between(row, "lower_new", "upper_new"), numeric=True),
        Column("unit", lambda row: PERCENT if math.isfinite(row["given"]) else fit.model.output(row["output"]).unit),
        Column("origin", lambda row: row["where"]),
    )
    body = details(f"{len(shown)} rows", table(shown.to_dict("records"), columns)) if len(shown) else Html("")
    return joined(body, *(paragraph(word, class_="soft") for word in words if word))


def _amount(row: Mapping[Any, Any], column: str) -> str:
    """A number of a row, in percent of the dose given by then where the data are."""
    return number(row[column] * (100 / row["given"] if math.isfinite(row["given"]) else 1.0))


def _between(row: Mapping[Any, Any], lower: str, upper: str) -> str:
    return f"{_amount(row, lower)} to {_amount(row, upper)}"


def _observed(row: Mapping[Any, Any]) -> str:
    count = f"(n = {number(row['n'])})"
    words: dict[str, Callable[[], str]] = {
        "left": lambda: f"< {_amount(row, 'upper_limit')}",
        "right": lambda: f"> {_amount(row, 'lower_limit')}",
        "interval": lambda: _between(row, "lower_limit", "upper_limit"),
        "mean": lambda: f"{_amount(row, 'observed')} ± {_amount(row, 'sd')} {count}",
        "logmean": lambda: f"median {_amount(row, 'observed')} {count}",
        "positive": lambda: f"{_amount(row, 'observed')} of {number(row['n'])}",
        "alive": lambda: f"{_amount(row, 'observed')} of {number(row['n'])}",
    }
    return words.get(row["kind"], lambda: _amount(row, "observed"))()


def _trust(fit: Fit, folder: Path, marks: Marks, *, show_data: bool) -> Html:
    """What the fit judged of itself, and the pictures in which it is seen."""
    more = paragraph(
        "Everything else that can be asked, with pictures: ", element("code", "mscpkpd diagnose RUN --out DIR"),
        ".", class_="soft",
    )  # fmt: skip
    if not show_data:
        return joined(_checks(fit), more)
    residuals = residual_table(fit, population_of(fit))
    drawn = [
        _picture(goodness_of_fit(residuals, marks=marks), folder, "goodness_of_fit", "Observed and predicted values"),
        _picture(residual_plots(residuals, fit.model.time, marks=marks), folder, "residuals", "Residuals"),
    ]
    return joined(_checks(fit), gallery(drawn), more)


def _checks(fit: Fit) -> Html:
    columns = (
        Column("check", lambda row: row["check"].name),
        Column("verdict", lambda row: "holds" if row["check"].ok else element("span", "FAILS", class_="alert")),
        Column("what it says", lambda row: row["check"].sentence),
    )
    ordered = sorted(fit.checks, key=lambda check: check.ok)  # what fails stands first
    return table([{"check": check} for check in ordered], columns) if ordered else paragraph("No check was judged.")


def _made(fit: Fit) -> Html:
    return joined(bullets(fit.notes), details("Settings and versions", settings_table(fit.settings)))
