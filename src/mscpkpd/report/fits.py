"""The page of a fit: data and bands, parameters with their origin, and what the data did not inform."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mscpkpd.fitting.result import Fit, load_fit
from mscpkpd.plots import data_and_fit, fitted_curves, learned_shares, priors_and_posteriors, save
from mscpkpd.plots.learning import LITTLE, little_learned, prior_in_force
from mscpkpd.plots.observations import observed_rows
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import FIGURES, Content, Part, origin, settings_table
from mscpkpd.report.html import Html, bullets, details, element, gallery, image, joined, paragraph, table
from mscpkpd.rounding import decimals, number, span

__all__ = ["CURVES", "SHOWN", "fit_content", "marks_of_fit"]

CURVES, SHOWN = "curves.csv", "shown.csv"
METHODS = {"nuts": "Posterior by NUTS", "least_squares": "Least squares"}
MOST_ROWS = 400
TOP = 3  # parameters named in the first sentences


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
    data = [
        _picture(data_and_fit(fit, curves, name, marks=marks, individuals=show_data, shown=shown), pictures, f"data_{name}",
                 f"Data and fitted model of {name}")
        for name in dict.fromkeys(curves["output"])
    ]  # fmt: skip
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
        Part("Parameters", joined(_parameters(fit), gallery(learned), _held(fit))),
        Part("What the data did not inform", _not_informed(fit)),
        Part("Observations and predictions", _observations(fit, show_data=show_data)),
        Part("How it was made", joined(_checks(fit), bullets(fit.notes), details("Settings and versions", settings_table(fit.settings)))),
    )  # fmt: skip
    title = f"{METHODS.get(fit.method, fit.method)}: {fit.model.title or fit.model.name}, {fit.study.name}"
    return Content(title, _found(fit), marks, parts)


def marks_of_fit(fit: Fit) -> Marks:
    """Marks that every figure and page of a fit carries."""
    quick = bool(fit.settings.get("quick", False))
    warning = "" if fit.converged else "NOT A RESULT: the fit does not pass its checks"
    return Marks(synthetic=fit.study.synthetic, quick=quick, warning=warning)


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
        few, none = little_learned(fit), len(fit.posterior.prior_only)
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
    header = ["parameter", "meaning", "estimate", "95 % interval", "unit"]
    header += ["learned", "R-hat", "ESS", "prior"] if sampled else ["SD"]
    rows = [_parameter_row(fit, row, sampled=sampled) for row in fit.table.to_dict("records")]
    right = (2, 3, 5, 6, 7) if sampled else (2, 3, 5)
    kind = str(fit.table.attrs.get("interval", ""))
    return table([*header, "evidence and source of the prior"], rows, numbers=right, caption=f"Estimates: {kind}")


def _parameter_row(fit: Fit, row: Mapping[Any, Any], *, sampled: bool) -> list[object]:
    name = str(row["parameter"])
    parameter = fit.model.parameter(name)
    cells: list[object] = [
        element("strong", name), parameter.about, number(row["estimate"]), span(row["lower"], row["upper"]),
        "" if parameter.unit == "1" else parameter.unit,
    ]  # fmt: skip
    if sampled:
        only = row["note"] == "prior only"
        ess = min(row["ess_bulk"], row["ess_tail"])
        share = element("span", "prior only", class_="alert") if only else decimals(max(row["learned"], 0.0))
        prior = f"{prior_in_force(fit, name)}" + (" (wide)" if row["note"] == "wide prior" else "")
        cells += [share, decimals(row["r_hat"], 3), number(ess, 3) if ess == ess else "–", prior]  # noqa: PLR0124 - NaN
    else:
        cells.append(number(row["sd"]))
    return [*cells, origin(parameter.evidence, parameter.source)]


def _held(fit: Fit) -> Html:
    known = set(fit.table["parameter"])
    rest = [parameter for parameter in fit.model.parameters if parameter.name not in known]
    rows = [
        (
            element("strong", p.name),
            p.about,
            number(p.value),
            "" if p.unit == "1" else p.unit,
            origin(p.evidence, p.source),
        )
        for p in rest
    ]
    body = table(("parameter", "meaning", "value", "unit", "evidence and source"), rows, numbers=(2,))
    return details(f"{len(rest)} parameters held at the values of the model", body) if rows else Html("")


def _not_informed(fit: Fit) -> Html:
    only, few = sorted(fit.posterior.prior_only), little_learned(fit)
    parts = []
    if only:
        parts.append(
            paragraph(
                element("strong", f"Prior only ({len(only)}): "),
                ", ".join(only),
                ". No observed output depends on them; their draws are draws from the prior, and every prediction that "
                "rests on them says so.",
            )  # fmt: skip
        )
    if few:
        listed = ", ".join(f"{name} ({decimals(max(share, 0.0))})" for name, share in few.items())
        parts.append(
            paragraph(
                element("strong", f"Learned less than {LITTLE} ({len(few)}): "),
                listed,
                ". The observed outputs depend on them, but these data hardly narrow them: their posterior is about "
                "their prior.",
            )  # fmt: skip
        )
    held = [note for note in fit.notes if "held at" in note]
    if held:
        parts.append(
            joined(paragraph("Held, because the design does not identify them or they were fixed:"), bullets(held))
        )
    return joined(*parts) if parts else paragraph(f"Every free parameter has learned at least {LITTLE}.")


def _observations(fit: Fit, *, show_data: bool) -> Html:
    everything = observed_rows(fit)
    kept = everything if show_data else everything[~everything["single"]]
    left = len(everything) - len(kept)
    rows = [_observation(fit, row) for row in kept.head(MOST_ROWS).to_dict("records")]
    time = f"time [{fit.model.time}]"
    header = ("subject", "output", time, "observed", "predicted", "95 % of new observations", "unit", "origin")
    more = len(kept) - len(rows)
    words = [
        f"{left} rows of single subjects are left out." if left else "",
        f"{more} more rows are in predictions.csv." if more else "",
    ]
    body = details(f"{len(rows)} rows", table(header, rows, numbers=(2, 3, 4, 5))) if rows else Html("")
    return joined(body, *(paragraph(word, class_="soft") for word in words if word))


def _observation(fit: Fit, row: Mapping[Any, Any]) -> list[object]:
    percent = math.isfinite(row["given"])
    factor = 100 / row["given"] if percent else 1.0

    def amount(column: str) -> str:
        return number(row[column] * factor)

    observed = {
        "left": f"< {amount('upper_limit')}",
        "right": f"> {amount('lower_limit')}",
        "interval": f"{amount('lower_limit')} to {amount('upper_limit')}",
        "mean": f"{amount('observed')} ± {amount('sd')} (n = {number(row['n'])})",
        "logmean": f"median {number(math.exp(row['observed']))} (n = {number(row['n'])})",
    }.get(row["kind"], amount("observed"))
    unit = "% of the dose" if percent else fit.model.output(str(row["output"])).unit
    return [
        row["subject"], row["output"], number(row["time"], 4), observed, amount("predicted"),
        f"{amount('lower_new')} to {amount('upper_new')}", unit, row["where"],
    ]  # fmt: skip


def _checks(fit: Fit) -> Html:
    rows = [
        (check.name, "holds" if check.ok else element("span", "FAILS", class_="alert"), check.sentence)
        for check in fit.checks
    ]
    return table(("check", "verdict", "what it says"), rows) if rows else paragraph("No check was judged.")
