"""From published summaries to a prior of the slope, and the form in which a paper is typed in.

The slope follows from medians and quartiles of responders and the others (or an AUC, or a p value with its group
sizes); its standard error from the sampling of medians and SDs. It is then discounted: a small study that is
significant exaggerates, and a fifth of the weight stays on a wide prior of either sign.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.special import ndtri
from scipy.stats import t as student

from mscpkpd.errors import InputError, UsageError
from mscpkpd.files import whole_file
from mscpkpd.modelfile import library_path

__all__ = ["FORM", "SummaryPrior", "blank_form", "prior_from_form", "prior_from_summary"]

QUARTILE_SPAN = 1.349  # SDs between the quartiles of a normal distribution
SPREAD, ERROR_SD = 0.9, 0.30  # ln units of one step of z; SD of measurement
WIDE_WEIGHT, POWER = 0.2, 0.5
WIDE = "normal(0, 1)"
FORM = "zhao2025_extraction_form.csv"
PAIR = 2


@dataclass(frozen=True)
class SummaryPrior:
    """A prior of b1 from one publication.

    Attributes
    ----------
    prior : str
        For ``Responder.with_prior("b1", ...)``: 0.8 on the discounted estimate, 0.2 on normal(0, 1).
    b1, se : float
        Slope per 0.9 ln units and its standard error, before the discount, dimensionless.
    discounted, discounted_se : float
        After it, dimensionless.
    auc : float
        Of the measured level, a probability.
    direction_stated : bool
        Whether the sign was taken from words, not from numbers.
    notes : tuple of str
        What a reader must know.
    """

    prior: str
    b1: float
    se: float
    discounted: float
    discounted_se: float
    auc: float
    direction_stated: bool
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"b1 {self.b1:.2f} (se {self.se:.2f}), AUC {self.auc:.2f}", f"prior of b1: {self.prior}"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def prior_from_summary(
    medians: tuple[float, float] | None = None,
    quartiles: tuple[tuple[float, float], tuple[float, float]] | None = None,
    n: tuple[int, int] = (0, 0),
    *,
    auc: float | None = None,
    p_value: float | None = None,
    higher_in_responders: bool | None = None,
    s_u: float = ERROR_SD,
    exaggeration: float | None = None,
) -> SummaryPrior:
    """Turn published CXCL10 summaries of responders and the others into a prior of the slope b1.

    Parameters
    ----------
    medians : tuple of float, optional
        Responders, the others, one unit of level for both.
    quartiles : tuple of (float, float), optional
        Lower and upper quartile of the responders, and of the others, in the unit of level of the medians.
    n : tuple of int
        Patients: responders, the others.
    auc : float, optional
        A probability; instead of medians.
    p_value : float, optional
        Two-sided probability of a t test; instead of medians, with `higher_in_responders`.
    higher_in_responders : bool, optional
        Direction stated in words.
    s_u : float
        SD of measurement of ln CXCL10, in ln units (dimensionless).
    exaggeration : float, optional
        By which factor a study of this size exaggerates when significant [1]: the mean is divided by it. By default
        the study counts half (power prior 0.5: its variance is doubled). In both cases normal(0, 1) is the prior
            that it updates.

    Returns
    -------
    SummaryPrior

    Raises
    ------
    UsageError
        If numbers are impossible, or not exactly one of medians, auc and p_value is given.

    Notes
    -----
    ``delta = ln(m1/m0)``, ``s = pooled ln(Q3/Q1)/1.349``, ``s_t^2 = max(s^2 - s_u^2, s^2/4)``,
    ``b1 = 0.9 delta/s_t^2``; ``Var(delta) = (pi/2) s^2 (1/n1 + 1/n0)``, ``Var(s) = 1.36 s^2/(n1 + n0)``,
    ``Var(b1) = 0.81 (Var(delta)/s_t^4 + 4 delta^2 s^2 Var(s)/s_t^8)``,
    ``AUC = Phi(delta/(s sqrt 2))``. An AUC gives ``delta/s = sqrt 2 Phi^-1(AUC)``, a p
    value ``delta/s = t sqrt(1/n1 + 1/n0)``; both take s as 0.9. Convention of this package, by the delta method.

    Examples
    --------
    >>> print(prior_from_summary((640, 400), ((330, 1240), (210, 770)), (24, 16)).prior)
    0.8*normal(0.346, 0.544) + 0.2*normal(0, 1)
    """
    given = [value is not None for value in (medians, auc, p_value)]
    if sum(given) != 1:
        raise UsageError(f"{sum(given)} of medians, auc and p_value", expected="exactly one of them")
    if min(n) < PAIR:
        raise UsageError(f"n={n}", expected="at least two responders and two others")
    stated = False
    if medians is not None:
        delta, s = _from_medians(medians, quartiles, n)
    else:
        s = SPREAD
        delta = s * _standardised(auc, p_value, n, higher_in_responders)
        stated = p_value is not None
    return _discounted(delta, s, n, s_u, exaggeration, stated=stated)


def _from_medians(
    medians: tuple[float, float],
    quartiles: tuple[tuple[float, float], tuple[float, float]] | None,
    n: tuple[int, int],
) -> tuple[float, float]:
    if quartiles is None:
        raise UsageError("medians without quartiles", hint="quartiles=((q1, q3), (q1, q3)), or auc= or p_value=")
    for median, (low, high) in zip(medians, quartiles, strict=True):
        if not 0 < low <= median <= high < math.inf or low == high:
            raise UsageError(
                f"median {median:g}, quartiles {low:g} and {high:g}", expected="0 < lower <= median <= upper"
            )
    spans = [math.log(high / low) / QUARTILE_SPAN for low, high in quartiles]
    freedom = [count - 1 for count in n]
    pooled = sum(f * s**2 for f, s in zip(freedom, spans, strict=True)) / sum(freedom)
    return math.log(medians[0] / medians[1]), math.sqrt(pooled)


def _standardised(auc: float | None, p_value: float | None, n: tuple[int, int], higher: bool | None) -> float:  # noqa: FBT001 (a private step)
    if auc is not None:
        if not 0 < auc < 1:
            raise UsageError(f"auc={auc}", expected="a number between 0 and 1")
        return math.sqrt(2) * float(ndtri(auc))
    if higher is None or p_value is None or not 0 < p_value <= 1:
        raise UsageError(
            f"p_value={p_value} without a direction" if higher is None else f"p_value={p_value}",
            expected="a probability, and higher_in_responders=True or False",
        )
    size = float(student.isf(p_value / 2, sum(n) - 2)) * math.sqrt(1 / n[0] + 1 / n[1])
    return size if higher else -size


def _discounted(
    delta: float, s: float, n: tuple[int, int], s_u: float, exaggeration: float | None, *, stated: bool
) -> SummaryPrior:
    true = max(s**2 - s_u**2, s**2 / 4)
    b1 = SPREAD * delta / true
    of_delta, of_s = math.pi / 2 * s**2 * (1 / n[0] + 1 / n[1]), 1.36 * s**2 / sum(n)
    se = SPREAD * math.sqrt(of_delta / true**2 + 4 * delta**2 * s**2 * of_s / true**4)
    if exaggeration is None:
        mean, own_se = b1, se / math.sqrt(POWER)
        discount = f"the study counts half (power prior {POWER:g})"
    elif exaggeration >= 1:
        mean, own_se = b1 / exaggeration, se
        discount = f"its estimate is divided by {exaggeration:g}, the exaggeration of a study of this size"
    else:
        raise UsageError(f"exaggeration={exaggeration}", expected="1 or more")
    # precision-weighted with the wide prior, so that a half-counted study is shrunk as well as widened
    weight = 1 / (1 + own_se**2)
    shrunk, shrunk_se = weight * mean, math.sqrt(weight) * own_se
    notes = [f"discount: {discount}; {WIDE_WEIGHT:.0%} of the weight stays on {WIDE}"]
    if stated:
        notes.append("DIRECTION FROM WORDS: the sign was stated, not computed")
    text = f"{1 - WIDE_WEIGHT:g}*normal({shrunk:.3f}, {shrunk_se:.3f}) + {WIDE_WEIGHT:g}*{WIDE}"
    auc = 0.5 * math.erfc(-delta / (2 * s))
    return SummaryPrior(text, b1, se, shrunk, shrunk_se, auc, stated, tuple(notes))


# ---- the form ------------------------------------------------------------------------------------------------------


def blank_form(path: str | Path) -> Path:
    """Write the empty form for Zhao 2025 to a new file. Nothing quantitative of that paper is known to this package.

    Parameters
    ----------
    path : str or Path
        New CSV file.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If the file is there already.
    """
    target = Path(path)
    if target.exists():
        raise UsageError("is there already", where=str(target), hint="another name: a filled form is not overwritten")
    text = (library_path() / "responder" / FORM).read_text(encoding="utf-8")
    with whole_file(target) as part:
        part.write_text(text, encoding="utf-8")
    return target


def prior_from_form(path: str | Path, *, s_u: float = ERROR_SD) -> SummaryPrior:
    """Turn a filled form into a prior of the slope.

    Parameters
    ----------
    path : str or Path
        The form, filled by a person who has the paper: status "read" and a page or table for every number used.
    s_u : float
        SD of measurement of ln CXCL10, in ln units (dimensionless).

    Returns
    -------
    SummaryPrior

    Raises
    ------
    InputError
        If a number needed is missing, is no number, or has no page or table.
    UsageError
        As `prior_from_summary`.

    Notes
    -----
    Medians with quartiles are preferred to an AUC, an AUC to a p value.
    """
    rows = _form_rows(Path(path))
    n = _numbers(rows, path, {"n responders with CXCL10": "value", "n non-responders with CXCL10": "value"})
    if n is None:
        raise InputError(
            "no numbers of responders and non-responders",
            where=str(path),
            hint="rows 'n responders with CXCL10' and 'n non-responders with CXCL10', with page_or_table",
        )
    counts = (int(n[0]), int(n[1]))
    medians = [f"CXCL10 baseline {who} median (IQR)" for who in ("responders", "non-responders")]
    if all(rows[name]["value"] for name in medians):
        found = [
            _number(rows, path, name, column) for name in medians for column in ("value", "value_low", "value_high")
        ]
        m1, low1, high1, m0, low0, high0 = found
        return prior_from_summary((m1, m0), ((low1, high1), (low0, high0)), counts, s_u=s_u)
    if rows["ROC AUC and CI"]["value"]:
        return prior_from_summary(n=counts, auc=_number(rows, path, "ROC AUC and CI", "value"), s_u=s_u)
    row = rows["test and p value baseline"]
    if row["value"]:
        direction = row["direction"] or rows[medians[0]]["direction"]
        higher = {"higher_in_responders": True, "higher_than_non_responders": True, "lower_in_responders": False,
                  "lower_than_non_responders": False}.get(direction)  # fmt: skip
        p_value = _number(rows, path, "test and p value baseline", "value")
        return prior_from_summary(n=counts, p_value=p_value, higher_in_responders=higher, s_u=s_u)
    raise InputError(
        "no medians with quartiles, no AUC and no p value",
        where=str(path),
        hint="fill one of these rows from the paper; never from memory",
    )


def _form_rows(path: Path) -> dict[str, dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", where=str(path), hint="mscpkpd responder prior --blank FILE.csv"
        ) from error
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    table = {row["field"]: row for row in csv.DictReader(io.StringIO("\n".join(lines))) if row.get("field")}
    template = (library_path() / "responder" / FORM).read_text(encoding="utf-8")
    own = [line for line in template.splitlines() if not line.startswith("#")]
    missing = [row["field"] for row in csv.DictReader(io.StringIO("\n".join(own))) if row["field"] not in table]
    if missing:
        raise InputError(
            f"no row '{missing[0]}'",
            where=str(path),
            expected="the rows of the form",
            hint="mscpkpd responder prior --blank",
        )
    return table


def _numbers(
    rows: Mapping[str, Mapping[str, str]], path: str | Path, wanted: Mapping[str, str]
) -> Sequence[float] | None:
    if not all(rows[name][column] for name, column in wanted.items()):
        return None
    return [_number(rows, path, name, column) for name, column in wanted.items()]


def _number(rows: Mapping[str, Mapping[str, str]], path: str | Path, name: str, column: str) -> float:
    row = rows[name]
    try:
        value = float(row[column])
    except ValueError:
        raise InputError(
            f"'{row[column]}'", where=f"{path}, row '{name}', column '{column}'", expected="a number"
        ) from None
    if row["status"] != "read" or not row["page_or_table"]:
        raise InputError(
            f"status '{row['status']}', page_or_table '{row['page_or_table']}'",
            where=f"{path}, row '{name}'",
            expected="status 'read' and the page or table in the paper",
            hint="numbers that nobody checked against the text do not become a prior",
        )
    return value
