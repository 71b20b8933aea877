"""Published facts beside prior predictions, as a part of the page of the demo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mscpkpd.plots import facts_and_priors, save
from mscpkpd.plots.style import Marks
from mscpkpd.report.content import origin
from mscpkpd.report.html import Column, Html, bullets, details, element, image, joined, paragraph, table
from mscpkpd.rounding import number, span

__all__ = ["preclinical_part"]

SELDOM = 0.1  # share of prior draws that agree, under which an order is named


def preclinical_part(
    numbers: pd.DataFrame, orders: pd.DataFrame, listed: pd.DataFrame, picture: Path, marks: Marks
) -> Html:
    """Show what is published about rats and mice beside what the priors predict.

    Parameters
    ----------
    numbers, orders, listed : pandas.DataFrame
        As made by the demo.
    picture : Path
        Where the figure goes.
    marks : Marks
        QUICK, warnings.
    """
    about = paragraph(
        "Published means, bounds and orders in rats and mice beside what the models predict before any data: nothing "
        "here is fitted, every prediction is prior only. ",
        element("strong", "These facts cannot test the model alone"),
        ": they are single numbers of single studies, most without a spread, and those of ",
        ", ".join(_informing(numbers, orders)),
        " were used to write priors, so that agreement with them is no evidence.",
    )
    save(facts_and_priors(numbers, marks=marks), picture)
    shown = image(
        picture, "Published facts beside prior predictions", caption="Prior only. Grey: the study informed a prior."
    )
    return joined(about, shown, _apart(numbers, orders), _numbers(numbers), _orders(orders), _listed(listed))


def _apart(numbers: pd.DataFrame, orders: pd.DataFrame) -> Html:
    """Name what the priors do not expect, first."""
    outside = numbers[(numbers["observed"] < numbers["lower"]) | (numbers["observed"] > numbers["upper"])]
    bounded = numbers[(numbers["bound"] == "<") & (numbers["median"] > numbers["observed"])]
    nothing = numbers[numbers["finding"] == "none found"]
    seldom = orders[orders["agree"] < SELDOM]
    lines = [
        *(f"{row['reference']}: {row['statement']} Outside the prior 95 %." for row in outside.to_dict("records")),
        *(f"{row['reference']}: {row['statement']} The prior median is above." for row in bounded.to_dict("records")),
        *(
            f"{row['reference']}: {row['statement']} The prior expects {number(row['median'], 2)} % of the dose "
            f"({span(row['lower'], row['upper'], 2)}); no detection limit was given."
            for row in nothing.to_dict("records")
        ),
        *(
            f"{row['reference']}: {row['statement']} {100 * row['agree']:.0f} % of the prior draws agree."
            for row in seldom.to_dict("records")
        ),
    ]
    if not lines:
        return paragraph("No published number lies outside its prior 95 %, and no order disagrees with most draws.")
    return joined(
        paragraph(element("strong", "Where priors and publications disagree:")), bullets(dict.fromkeys(lines))
    )


def _informing(numbers: pd.DataFrame, orders: pd.DataFrame) -> list[str]:
    both = pd.concat([numbers, orders])
    used = both[both["informed_priors"].fillna("") != ""]
    return list(dict.fromkeys(" ".join(str(reference).split()[:2]) for reference in used["reference"]))


def _numbers(numbers: pd.DataFrame) -> Html:
    columns = (
        Column("study", lambda row: row["reference"]),
        Column("published", lambda row: row["statement"]),
        Column("value", _published, numeric=True),
        Column("prior median", lambda row: number(row["median"]), numeric=True),
        Column("prior 95 %", lambda row: span(row["lower"], row["upper"]), numeric=True),
        Column("predicted as", lambda row: row["predicted_as"]),
        *ORIGIN,
    )
    return table(numbers.to_dict("records"), columns, caption="Numbers: percent; half-lives in h")


def _published(row: Mapping[Any, Any]) -> str:
    if isinstance(row["finding"], str):
        return row["finding"]
    sign = "< " if row["bound"] == "<" else ""
    return f"{sign}{number(row['observed'])}" + (f" ± {number(row['sd'])}" if math.isfinite(row["sd"]) else "")


def _informed(row: Mapping[Any, Any]) -> str:
    names = row["informed_priors"]
    return names if isinstance(names, str) and names else "none: independent"


ORIGIN = (
    Column("informed the prior of", _informed),
    Column("use", lambda row: row["use"]),
    Column("evidence", lambda row: origin(row["provenance"], "")),
)


def _orders(orders: pd.DataFrame) -> Html:
    columns = (
        Column("study", lambda row: row["reference"]),
        Column("published", lambda row: row["statement"]),
        Column("prior draws that agree", lambda row: f"{100 * row['agree']:.0f} %", numeric=True),
        Column("a draw agrees if", lambda row: row["predicted_as"]),
        *ORIGIN,
    )
    return table(orders.to_dict("records"), columns, caption="Orders of organs and times")


def _listed(listed: pd.DataFrame) -> Html:
    columns = (
        Column("study", lambda row: row["reference"]),
        Column("species", lambda row: row["species"]),
        Column("published", lambda row: row["statement"]),
        ORIGIN[1],
        ORIGIN[2],
        Column("why this use", lambda row: row["use_reason"]),
    )
    body = table(listed.fillna("").to_dict("records"), columns)
    return details(f"{len(listed)} further facts of the evidence table, with what a fit may do with them", body)
