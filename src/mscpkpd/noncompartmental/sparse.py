"""Sparse designs: means by time over animals, with the covariance of these means (N9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mscpkpd.data import Study, Subject
from mscpkpd.errors import UnknownName
from mscpkpd.noncompartmental.profiles import Given, Profile, Spread
from mscpkpd.noncompartmental.rules import Rules

__all__ = ["alike", "area_error", "is_sparse", "pooled", "unlike"]

INTERVAL = 0.95


def alike(study: Study, profiles: Sequence[Profile], rules: Rules) -> list[list[Profile]]:
    """Group profiles of single animals that were treated alike.

    Parameters
    ----------
    study : Study
        Gives subjects and their covariates.
    profiles : sequence of Profile
        Of single subjects.
    rules : Rules
        `by` names further columns that tell groups apart.

    Returns
    -------
    list of list of Profile
        Of one study, species, output, method, unit, occasion and way of dosing.

    Raises
    ------
    UnknownName
        For a column in `by` that no subject has.
    """
    _check_columns(study, rules)
    groups: dict[tuple[object, ...], list[Profile]] = {}
    for profile in profiles:
        subject = study.subject(profile.subject)
        what = (profile.study, subject.species, profile.output, profile.assay, profile.unit, profile.occasion)
        arm = tuple(_column(subject, name) for name in rules.by)
        groups.setdefault((*what, _dosing(subject), arm), []).append(profile)
    return list(groups.values())


def is_sparse(group: Sequence[Profile], rules: Rules) -> bool:
    """Say whether animals that were treated alike are one sparse design, to be pooled.

    With sampling "auto" they are if there are several times, and no animal has more than one (T9).
    """
    if len(group) < 2 or rules.sampling == "serial":
        return False
    if rules.sampling == "sparse":
        return True
    times = {float(t) for profile in group for t in profile.time}
    return all(len(profile.time) == 1 for profile in group) and len(times) > 1


def _dosing(subject: Subject) -> tuple[object, ...]:
    """What makes two animals equally dosed: amounts as stated, so that doses per kg are equal at any weight."""
    return tuple(
        (d.time, d.amount, d.unit, d.route, d.duration, d.timed_by, d.viable, d.steady, d.every, d.reset, d.event)
        for d in subject.regimen.doses
        if d.event != "phantom"
    )


def _check_columns(study: Study, rules: Rules) -> None:
    known = {name for subject in study.subjects for name, _ in subject.covariates}
    for name in rules.by:
        if name not in known:
            raise UnknownName.among("column", name, known, where="by")


def _column(subject: Subject, name: str) -> str:
    return dict(subject.covariates).get(name, "")


def unlike(study: Study, group: Iterable[Profile], rules: Rules) -> list[str]:
    """Return columns of words that differ within a group: perhaps arms that should not be pooled."""
    subjects = [study.subject(profile.subject) for profile in group]
    names = dict.fromkeys(name for subject in subjects for name, _ in subject.covariates)
    found = []
    for name in names:
        texts = {_column(subject, name) for subject in subjects}
        if name not in rules.by and 1 < len(texts) < len(subjects) and not all(_is_number(text) for text in texts):
            found.append(name)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def pooled(group: Sequence[Profile], name: str, rules: Rules) -> Profile:
    """Return the means of a group by time, with their covariance.

    Values below the limit count as 0, or LLOQ/2 by `rules.blq`; where more than half of the animals of a time are
    below, the mean is.

    Parameters
    ----------
    group : sequence of Profile
        Of single animals, equally dosed.
    name : str
        Of the group, for the column subject.
    rules : Rules
        `blq`.
    """
    times = np.array(sorted({float(t) for profile in group for t in profile.time}))
    table = np.full((len(group), len(times)), np.nan)
    limits = np.full_like(table, np.nan)
    above = np.zeros(len(times), dtype=bool)
    for row, profile in enumerate(group):
        columns = np.searchsorted(times, profile.time)
        replaced = np.zeros_like(profile.limit) if rules.blq == "drop" else profile.limit / 2
        table[row, columns] = np.where(profile.below, replaced, profile.value)
        limits[row, columns] = profile.limit
        above[columns] |= profile.above
    sampled = np.isfinite(table)
    counts = sampled.sum(axis=0)
    below = np.isfinite(limits).sum(axis=0)
    means = np.where(above, np.nan, np.nansum(table, axis=0) / np.maximum(counts, 1))
    quantified = ~above & (2 * below <= counts) & (means > 0)
    value = np.where(quantified, means, np.nan)
    highest = np.array([np.nanmax(column, initial=0.0) for column in limits.T])
    first = group[0]
    return Profile(
        first.study, name, first.output, first.assay, first.unit, times, value,
        np.where(quantified | above, np.nan, highest), above, _mean_doses(group), len(group),
        _spread(table, sampled, counts, times), f"means of {len(group)} animals", first.occasion,
    )  # fmt: skip


def _mean_doses(group: Sequence[Profile]) -> tuple[Given, ...]:
    """Doses of a group; per body weight they differ between animals, and their mean counts."""
    made = []
    for same in zip(*(profile.given for profile in group), strict=True):
        totals = [dose.total for dose in same if dose.total is not None]
        total = float(np.mean(totals)) if totals else None
        first = same[0]
        amount = float(np.mean([dose.amount for dose in same]))
        made.append(Given(first.time, amount, total, first.unit, first.kind, first.duration, first.route,
                          first.steady, first.every, first.later))  # fmt: skip
    return tuple(made)


def _spread(table: np.ndarray, sampled: np.ndarray, counts: np.ndarray, times: np.ndarray) -> Spread:
    """Covariance of the means: within-animal covariances after Holder, within the bound of Cauchy and Schwarz."""
    residuals = np.where(sampled, table - np.nansum(table, axis=0) / np.maximum(counts, 1), 0.0)
    present = sampled.astype(float)
    both = present.T @ present
    share = both / np.maximum(counts, 1)[:, None]
    divisor = (both - 1) + (1 - share) * (1 - share.T)
    usable = (both > 1) & (divisor > 0)
    products = residuals.T @ residuals
    covariance = np.where(usable, products / np.where(usable, divisor, 1.0), 0.0)
    alone = counts < 2
    sds = np.sqrt(np.where(alone, 0.0, np.diag(covariance)))
    bound = np.outer(sds, sds)
    covariance = np.clip(covariance, -bound, bound) * both / np.outer(np.maximum(counts, 1), np.maximum(counts, 1))
    covariance[alone, alone] = np.nan
    reason = f"one animal only at {times[alone][0]:g}: no SD" if alone.any() else ""
    return Spread(covariance, _batches(sampled), reason)


def _batches(sampled: np.ndarray) -> tuple[tuple[tuple[int, ...], int], ...] | None:
    """Times that the same animals share; None where times overlap in some animals only."""
    animals: dict[tuple[bool, ...], list[int]] = {}
    for column in range(sampled.shape[1]):
        animals.setdefault(tuple(bool(here) for here in sampled[:, column]), []).append(column)
    sets = [{row for row, here in enumerate(pattern) if here} for pattern in animals]
    if sum(map(len, sets)) != len(set().union(*sets)):
        return None
    return tuple((tuple(columns), sum(pattern)) for pattern, columns in animals.items())


def area_error(spread: Spread, weights: np.ndarray) -> tuple[float, float, float, str]:
    """Return the standard error of a weighted sum of means (N9).

    Parameters
    ----------
    spread : Spread
        Of the means.
    weights : array of shape (n_times,)
        Weight of each mean, in the unit of time.

    Returns
    -------
    se : float
        In the unit of the sum; NaN with a reason.
    df : float
        Degrees of freedom after Satterthwaite [1]; NaN where they cannot be had.
    half : float
        Half of the 95 % interval, in the unit of the sum; NaN where there are no degrees of freedom.
    reason : str
        Why there is no standard error, or no interval.
    """
    used = np.flatnonzero(weights)
    covariance = spread.covariance[np.ix_(used, used)]
    if not np.isfinite(covariance).all():
        return np.nan, np.nan, np.nan, f"no standard error: {spread.reason}"
    variance = float(weights[used] @ covariance @ weights[used])
    se = float(np.sqrt(max(variance, 0.0)))
    if spread.batches is None:
        return se, np.nan, np.nan, "no interval: degrees of freedom need animals in batches with the same times"
    below = 0.0
    for columns, n in spread.batches:
        w = weights[list(columns)]
        if not w.any():
            continue
        share = float(w @ spread.covariance[np.ix_(columns, columns)] @ w)
        if n < 2:
            return se, np.nan, np.nan, "no interval: a mean of one animal has no degrees of freedom"
        below += share**2 / (n - 1)
    if not below > 0:
        return se, np.nan, np.nan, "no interval: the values do not vary"
    from scipy.stats import t as student

    df = variance**2 / below
    return se, df, float(student.ppf(0.5 + INTERVAL / 2, df)) * se, ""
