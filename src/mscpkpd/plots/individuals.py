"""Each subject of a population fit: values, its own curve and the typical one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.errors import UsageError
from mscpkpd.fitting.result import Fit
from mscpkpd.observations import Group, bind
from mscpkpd.plots.style import DATA, FIT, MUTED, SMALL, Marks, finish, legend_of, plain, sheet
from mscpkpd.simulation import follow

__all__ = ["individual_fits"]

MOST_PANELS, ACROSS = 24, 4
POINTS = 160


def individual_fits(fit: Fit, output: str | None = None, *, marks: Marks | None = None) -> Figure:
    """Show the values of each subject with its own curve and the typical one.

    Parameters
    ----------
    fit : Fit
        With random effects between subjects.
    output : str, optional
        What was observed; the first output by default.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each subject, at most 24.
    """
    if fit.individuals is None or "subject" not in fit.individuals.columns:
        raise UsageError(f"a {fit.method} fit without random effects between subjects", hint="fit(..., 'focei')")
    rows = fit.predictions[fit.predictions["output"] == (output or fit.predictions["output"].iloc[0])]
    name, each = str(rows["output"].iloc[0]), fit.individuals.drop_duplicates("subject").set_index("subject")
    typical = {
        str(parameter): float(value)
        for parameter, value in fit.estimates.items()
        if parameter in fit.model.parameter_names
    }
    _, groups = bind(fit.model, fit.study)
    group_of = {subject: group for group in reversed(groups) for subject in group.subjects}
    subjects = [subject for subject in dict.fromkeys(rows["subject"]) if subject in each.index]
    across = min(ACROSS, len(subjects))
    deep = -(-min(len(subjects), MOST_PANELS) // across)
    figure, axes = sheet(across, deep, width=2.1 * across + 0.5, height=1.75 * deep + 0.3, sharey=True)
    times = np.linspace(0.0, float(rows["time"].max()) * 1.02, POINTS)
    for ax, subject in zip(axes.flat, subjects, strict=False):
        group = group_of[subject]
        own = {parameter: float(each.loc[subject, parameter]) for parameter in each.columns if parameter in typical}
        ax.plot(times, _curve(fit, group, name, times, typical), color=MUTED, lw=1.0, ls="--", label="typical")
        ax.plot(times, _curve(fit, group, name, times, {**typical, **own}), color=FIT, lw=1.3, label="individual")
        _values(ax, rows[rows["subject"] == subject].to_dict("list"), subject)
    for ax in axes.flat[len(subjects) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(f"time [{fit.model.time}]", fontsize=SMALL)
    for ax in axes[:, 0]:
        ax.set_ylabel(plain(fit.model.output(name).unit), fontsize=SMALL)
    left = len(subjects) - MOST_PANELS
    return finish(
        figure, f"Individual fits of {name}", marks=marks, legend=legend_of(axes), columns=3,
        subtitle=f"{fit.study.name}, {fit.method}", foot=f"{left} more subjects are not drawn." if left > 0 else "",
    )  # fmt: skip


def _curve(fit: Fit, group: Group, output: str, times: np.ndarray, parameters: Mapping[str, float]) -> np.ndarray:
    weight = None if group.weight is None else f"{group.weight} kg"
    sims = follow(
        fit.model, group.regimen, times=times.tolist(), outputs=[output], weight=weight, parameters=dict(parameters),
        course=group.course,
    )  # fmt: skip
    return np.asarray(sims[output].to_numpy().reshape(-1))


def _values(ax: Axes, rows: Mapping[str, list[float]], subject: str) -> None:
    kinds, time, value = np.array(rows["kind"]), np.array(rows["time"]), np.array(rows["observed"])
    exact = kinds == "value"
    ax.plot(time[exact], value[exact], "o", color=DATA, ms=3.5, label="value")
    if not np.all(exact):
        ax.plot(time[~exact], value[~exact], "v", color=MUTED, mfc="none", ms=4, label="limit or summary")
    ax.set_title(plain(str(subject)), fontsize=SMALL)
