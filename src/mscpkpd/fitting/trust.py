"""May a fit be trusted? What its data can tell at all, whether they contradict each other, whether the noise is right.

These checks cost one prediction with derivatives, so every fit makes them. Each is a test with a small level: a fit of
data that the model made fails one of them in less than 2 of 100 cases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtri_exp
from scipy.stats import f as f_distribution
from scipy.stats import shapiro, spearmanr, t

from mscpkpd.fitting.densities import spread_of
from mscpkpd.fitting.draws import Check
from mscpkpd.problem import Problem
from mscpkpd.rounding import number

__all__ = ["WITHOUT_PRIORS", "noise_findings", "normal_scores", "trust_checks"]

WITHOUT_PRIORS = ("least_squares", "foce", "focei", "laplace")
NULL = 1e-6  # share of the largest singular value below which a direction is not seen at all
STEP = 0.02  # relative steps below this share of the largest are not worth naming
LEVEL = 1e-3  # of each family of tests
# Good real data depart from any noise model by a little: theophylline (R's `Theoph`), which everybody fits with
# additive error, has a rank correlation of 0.30 and a Shapiro-Wilk statistic of 0.91. Only more makes a fit no result.
GROSS_TREND, GROSS_SHAPE = 0.45, 0.85
FEWEST = 20  # values of an output from which its noise can be judged
HIDDEN = 1e-3  # chance of a value under its limit below which the limit does not bend its distribution
NOTHING_LEARNED = 0.05  # share of the prior variance
HIDING = ("left", "interval", "dropped")  # rows that say that values under a limit are not seen
MOST = 5000  # values beyond which the test of normality is not defined


def trust_checks(
    problem: Problem,
    predicted: np.ndarray,
    values: Mapping[str, float],
    table: pd.DataFrame,
    *,
    method: str,
    levels: Collection[str] = (),
) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """Judge a fit at its estimates.

    Parameters
    ----------
    problem : Problem
    predicted : array of shape (n_rows,)
        Predictions at the estimates, individual ones where there are random effects, in the units of the outputs.
    values : mapping of str to float
        All parameters at the estimates.
    table : pandas.DataFrame
        Of the fit.
    method : str
        Of `fit`.
    levels : collection of str
        Levels of random effects.

    Returns
    -------
    before, after : tuple of Check
        What the design can tell, which comes before all other checks; what the residuals say, which comes after them.
    """
    scores = normal_scores(problem, predicted, values)
    before = []
    if method in WITHOUT_PRIORS:
        fitted = [name for name in table["parameter"] if name in problem.names]
        before.append(_design(problem, values, fitted))
    elif table["learned"].notna().any():
        before.append(_learned(problem, table))
    data = _data(problem, scores, levels)
    # residuals of data that contradict each other are odd whatever the noise
    if not data.ok:
        return tuple(before), (data,)
    found = list(noise_findings(problem, predicted, scores, values))
    good = "The residuals are nearly as the noise of each output says."
    return tuple(before), (data, Check("noise", ok=not found, sentence=" ".join(found) if found else good))


def normal_scores(problem: Problem, predicted: np.ndarray, values: Mapping[str, float]) -> np.ndarray:
    """Every row as the standard normal number that its noise makes of it.

    Parameters
    ----------
    problem : Problem
    predicted : array of shape (n_rows,)
        In the units of the outputs.
    values : mapping of str to float
        All parameters.

    Returns
    -------
    array of shape (n_rows,)
        NaN for censored rows, counts, and rows without a spread.
    """
    rows, scores = problem.rows, np.full(len(problem.rows), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread, _ = spread_of(problem, predicted, values)
        center = np.where(rows.kind == "logmean", np.log(np.maximum(predicted, 1e-300)), predicted)
        own = rows.has_own_sd
        scores[own] = ((rows.value - center) / spread)[own]
        for k, name in enumerate(rows.outputs):
            noise, mine = problem.model.output(name).noise, (rows.output == k) & (rows.kind == "value")
            if noise is None or noise.is_count or not np.any(mine):
                continue
            below, above = (tail(rows.value[mine], predicted[mine], values) for tail in (noise.log_cdf, noise.log_sf))
            scores[mine] = np.where(below < above, ndtri_exp(below), -ndtri_exp(above))
    return np.where(np.isfinite(scores), scores, np.nan)


# ---- what the design can tell ----------------------------------------------------------------------------------------


def _design(problem: Problem, values: Mapping[str, float], fitted: Collection[str]) -> Check:
    """Directions of the estimates along which no prediction changes."""
    noise = problem.model.noise_parameters
    names = [name for name in problem.names if name in fitted and name not in noise]
    good = Check("design", ok=True, sentence="The data see every estimated parameter.")
    if not names:
        return good
    theta = np.array([values[name] for name in problem.names])
    found = problem.predict(theta, jacobian=True)
    columns = [problem.names.index(name) for name in names]
    size = np.maximum(np.abs(found.value), 1e-300)[:, None]
    slopes = found.jacobian[:, columns] * theta[columns] / size
    slopes = slopes[np.all(np.isfinite(slopes), axis=1)]
    if not len(slopes):
        return good
    lengths = np.linalg.norm(slopes, axis=0)
    still = [name for name, length in zip(names, lengths, strict=True) if length <= NULL * np.max(lengths)]
    if still:
        sentence = f"No observation depends on {_listed(still)} here: hold at a known value what the data cannot see."
        return Check("design", ok=False, sentence=sentence)
    _, singular, axes = np.linalg.svd(slopes / lengths, full_matrices=True)
    singular = np.append(singular, np.zeros(len(names) - len(singular)))
    if singular[-1] > NULL * singular[0]:
        return good
    return Check("design", ok=False, sentence=_ridge(names, axes[-1] / lengths))


def _ridge(names: list[str], steps: np.ndarray) -> str:
    """A direction that changes nothing, in words."""
    relative = steps / steps[int(np.argmax(np.abs(steps)))]
    named = [(name, step) for name, step in zip(names, relative, strict=True) if abs(step) > STEP]
    sign = np.sign(named[0][1])
    moves = [f"{'raising' if step * sign > 0 else 'lowering'} {n} by {number(abs(step), 2)} %" for n, step in named]
    apart = _listed([name for name, _ in named])
    return (
        f"The design cannot tell {apart} apart: {_listed(moves)} changes no prediction, so that their estimates mean "
        "nothing. Hold one of them at a known value, observe something else as well, or sample with priors (nuts)."
    )


def _learned(problem: Problem, table: pd.DataFrame) -> Check:
    mine = table[table["learned"].notna() & (table["note"] != "prior only")]
    mine = mine[~mine["parameter"].isin(problem.model.noise_parameters)]
    most = float(mine["learned"].max()) if len(mine) else 1.0
    ok = most >= NOTHING_LEARNED
    nothing = (
        f"The design tells nothing: of no parameter did the data remove more than {max(most, 0.0):.0%} of the prior "
        "variance, so that the result is the prior. Observe something else, or at other times."
    )
    return Check("design", ok=ok, sentence="The data taught something." if ok else nothing)


# ---- data that contradict each other ---------------------------------------------------------------------------------


def _data(problem: Problem, scores: np.ndarray, levels: Collection[str]) -> Check:
    found = next(_contradictions(problem, scores), "") if "study" not in levels else ""
    advice = (
        " Look for another unit, dose or method; leave one out, or let studies differ by a random effect over 'study'."
    )
    return Check("data", ok=not found, sentence=f"{found}{advice}" if found else "No data contradict each other.")


def _contradictions(problem: Problem, scores: np.ndarray) -> Iterator[str]:
    yield from _summaries(problem)
    rows = problem.rows
    studies = np.array([record.study for record in problem.study.records])
    for k, name in enumerate(rows.outputs):
        mine = np.flatnonzero((rows.output == k) & (rows.kind == "value") & np.isfinite(scores))
        p, means = _between(studies[mine], np.array(rows.subject)[mine], scores[mine])
        if p < LEVEL / len(rows.outputs):
            low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            yield (
                f"The data contradict each other: values of '{name}' from {low or 'rows without a study'} lie below "
                f"the model ({number(means[low], 2)} SD on average) and those from {high or 'rows without a study'} "
                f"above it ({number(means[high], 2)} SD), more than chance explains (p {number(p, 1)})."
            )


def _summaries(problem: Problem) -> Iterator[str]:
    """Means of one output after the same doses at the same time whose intervals exclude each other."""
    rows = problem.rows
    cells: dict[tuple[object, ...], list[int]] = {}
    points = rows.points
    for row in np.flatnonzero(rows.has_own_sd):
        of = points.row == row  # a half-life is one of a window
        asked = tuple(zip(points.output[of], points.group[of], points.time[of], strict=True))
        key = (int(rows.output[row]), asked, str(rows.kind[row]))
        cells.setdefault(key, []).append(int(row))
    pairs = [pair for cell in cells.values() for pair in combinations(cell, 2)]
    found = [(_differ(rows.value[[*pair]], rows.sd[[*pair]], rows.count[[*pair]]), *pair) for pair in pairs]
    for p, i, j in sorted(found)[:1]:
        if p < LEVEL / len(pairs):
            yield (
                f"The data contradict each other: {rows.where[i]} and {rows.where[j]} state "
                f"{number(rows.value[i])} and {number(rows.value[j])} for '{rows.outputs[rows.output[i]]}' after the "
                f"same doses at {number(rows.time[i])} {problem.model.time}, more than their errors explain "
                f"(p {number(p, 1)})."
            )


def _differ(means: np.ndarray, sd: np.ndarray, count: np.ndarray) -> float:
    """Welch's test of two means with the SD and number of their subjects: p."""
    share = sd**2 / count
    error, least = float(np.sum(share)), np.maximum(count - 1, 1)
    if not error > 0:
        return 1.0
    degrees = error**2 / float(np.sum(share**2 / least))
    return 2 * float(t.sf(abs(means[0] - means[1]) / np.sqrt(error), degrees))


def _between(studies: np.ndarray, subjects: np.ndarray, scores: np.ndarray) -> tuple[float, dict[str, float]]:
    """Whether studies differ in the mean of their subjects: p of the F test, and the means."""
    means = pd.DataFrame({"study": studies, "subject": subjects, "score": scores})
    each = means.groupby(["study", "subject"])["score"].mean().reset_index()
    groups = [part["score"].to_numpy() for _, part in each.groupby("study")]
    within = len(each) - len(groups)
    by_study = {str(name): float(part["score"].mean()) for name, part in each.groupby("study")}
    if len(groups) < 2 or within < 2:
        return 1.0, by_study
    grand = float(each["score"].mean())
    outer = sum(len(g) * (g.mean() - grand) ** 2 for g in groups) / (len(groups) - 1)
    inner = sum(float(np.sum((g - g.mean()) ** 2)) for g in groups) / within
    return float(f_distribution.sf(outer / max(inner, 1e-300), len(groups) - 1, within)), by_study


# ---- the noise model -------------------------------------------------------------------------------------------------


def noise_findings(
    problem: Problem, predicted: np.ndarray, scores: np.ndarray, values: Mapping[str, float], *, gross: bool = True
) -> Iterator[str]:
    """What the residuals say against the noise of each output, in sentences with what to try.

    Parameters
    ----------
    problem : Problem
    predicted, scores : array of shape (n_rows,)
        In the units of the outputs; from `normal_scores`.
    values : mapping of str to float
        All parameters.
    gross : bool
        Whether only what makes a fit useless is told, or all that is more than chance.
    """
    for k in range(len(problem.rows.outputs)):
        yield from _misfits(problem, k, predicted, scores, values, gross=gross)


def _misfits(
    problem: Problem,
    k: int,
    predicted: np.ndarray,
    scores: np.ndarray,
    values: Mapping[str, float],
    *,
    gross: bool,
) -> Iterator[str]:
    """What the residuals of one output say against its noise."""
    rows, name = problem.rows, problem.rows.outputs[k]
    noise = problem.model.output(name).noise
    mine = (rows.output == k) & (rows.kind == "value") & np.isfinite(scores) & ~_bent(problem, k, predicted, values)
    z, f = scores[mine], predicted[mine]
    if noise is None or noise.kind == "ar1" or not FEWEST <= len(z) <= MOST or np.ptp(z) == 0:
        return  # tests take residuals for independent
    limit = LEVEL / len(problem.rows.outputs)
    head = f"The noise of '{name}', {noise}, is {'wrong' if gross else 'not quite right'}: "
    trend, p = spearmanr(np.abs(z), np.abs(f)) if np.ptp(f) > 0 else (0.0, 1.0)
    if p < limit and (abs(trend) > GROSS_TREND or not gross):
        how = "larger" if trend > 0 else "smaller"
        better = "proportional or lognormal" if trend > 0 else "additive or combined2"
        yield (
            f"{head}residuals are {how} where more is predicted (rank correlation {number(float(trend), 2)}, "
            f"p {number(float(p), 1)}). Try {better} noise in the model file; look at the residuals."
        )
        return
    shape, p = (float(x) for x in shapiro(z))
    if p < limit and (shape < GROSS_SHAPE or not gross):
        far = int(np.argmax(np.abs(z)))
        where = rows.where[int(np.flatnonzero(mine)[far])]
        yield (
            f"{head}residuals are not normal (p {number(p, 1)}); the farthest is {where}, {number(float(z[far]), 2)} "
            "SD away. Look at that row and at groups of rows that keep together; student or lognormal noise, or a "
            "random effect, may be what is missing."
        )


def _bent(problem: Problem, k: int, predicted: np.ndarray, values: Mapping[str, float]) -> np.ndarray:
    """Rows that could well have been censored: what remains of them is not distributed as the noise says."""
    rows, noise = problem.rows, problem.model.output(problem.rows.outputs[k]).noise
    bent = np.zeros(len(rows), dtype=bool)
    own = rows.output == k
    low = np.concatenate([rows.upper[own & np.isin(rows.kind, HIDING)], rows.floor[own]])
    low, high = low[np.isfinite(low)], rows.lower[own & (rows.kind == "right")]
    if noise is None or noise.is_count:
        return bent
    for limits, tail, extreme in ((low, noise.log_cdf, np.max), (high, noise.log_sf, np.min)):
        if len(limits):
            bent[own] |= tail(extreme(limits), predicted[own], values) > np.log(HIDDEN)
    return bent


def _listed(parts: Collection[str]) -> str:
    ordered = list(parts)
    return ordered[0] if len(ordered) == 1 else f"{', '.join(ordered[:-1])} and {ordered[-1]}"
