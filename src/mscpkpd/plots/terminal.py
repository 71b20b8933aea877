"""Profiles with the values that make the terminal phase (N5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mscpkpd.data import Study
from mscpkpd.errors import UsageError
from mscpkpd.noncompartmental import Rules, analysed
from mscpkpd.noncompartmental.profiles import Profile
from mscpkpd.plots.style import AXIS, DATA, FIT, MUTED, SMALL, Marks, finish, legend_of, plain, sheet, wrapped
from mscpkpd.rounding import number

__all__ = ["terminal_phases"]

MOST_PANELS, ACROSS = 24, 4
WIDTH = 1.9  # of a panel [inches]
ROUNDING = 1e-9


def terminal_phases(study: Study, table: pd.DataFrame, *, marks: Marks | None = None) -> Figure:
    """Show each profile on a logarithmic scale with the values chosen for lambda_z.

    Parameters
    ----------
    study : Study
        The data.
    table : pandas.DataFrame
        Made by `nca` from them.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each subject (or sparse group) and output, at most 24. Filled points are those of the terminal phase
        after the last dose that has one; where there is none, the panel says why.
    """
    if "options" not in table.attrs:
        raise UsageError("a table without its rules", expected="the table as nca returned it", hint="msc.nca(study)")
    options = dict(table.attrs["options"])
    rules = replace(Rules(), **{**options, "periods": ()})
    profiles, _ = analysed(study, rules)
    shown = profiles[:MOST_PANELS]
    across = min(ACROSS, max(len(shown), 1))
    deep = max(1, -(-len(shown) // across))
    figure, axes = sheet(across, deep, width=(WIDTH + 0.4) * across + 0.6, height=2.4 * deep + 0.3)
    for ax, profile in zip(axes.flat, shown, strict=False):
        _panel(ax, profile, table, rules.time)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    left = len(profiles) - len(shown)
    return finish(
        figure, "Terminal phases", marks=marks, subtitle=f"{study.name}: values, and those chosen for lambda_z",
        legend=legend_of(axes), columns=2, foot=f"{left} more profiles are in the table." if left else "",
    )  # fmt: skip


def _panel(ax: Axes, profile: Profile, table: pd.DataFrame, time: str) -> None:
    rows = _rows_of(profile, table)
    good = np.isfinite(profile.value)
    ax.set_yscale("log")
    ax.plot(profile.time[good], profile.value[good], "o-", color=DATA, mfc="white", ms=4, lw=0.7, label="value")
    below = profile.below & (profile.limit > 0)
    if below.any():
        ax.plot(profile.time[below], profile.limit[below], "v", color=MUTED, mfc="none", ms=4, label="below this limit")
    for dose in profile.given:
        ax.axvline(dose.time, color=AXIS, lw=0.6, ls=":", zorder=0)
    said = _line(ax, profile, rows, time)
    output = f"{profile.output} ({profile.assay})" if profile.assay else profile.output
    who = f"{profile.subject}, occasion {profile.occasion}" if profile.occasion else profile.subject
    ax.set_title(plain(f"{who}\n{output}\n{wrapped(said, WIDTH, SMALL)}"), fontsize=SMALL)
    ax.set_xlabel(f"time [{time}]", fontsize=SMALL)
    ax.set_ylabel(plain(profile.unit), fontsize=SMALL)


def _rows_of(profile: Profile, table: pd.DataFrame) -> pd.DataFrame:
    same = np.ones(len(table), dtype=bool)
    for column in ("study", "subject", "occasion", "output", "assay"):
        same &= (table[column] == getattr(profile, column)).to_numpy()
    return table[same & (table["dose"] != "all").to_numpy()]


def _line(ax: Axes, profile: Profile, rows: pd.DataFrame, time: str) -> str:
    """Draw the terminal phase after the last dose that has one; say its half-life, or why there is none."""
    said = ""
    for _, own in rows.groupby("dose", sort=False):
        values_of = dict(zip(own["parameter"], own["value"].astype(float), strict=True))
        rate = values_of["lambda_z"]
        if not np.isfinite(rate):
            reason = own.loc[own["parameter"] == "lambda_z", "reason"].iloc[0]
            said = said or f"no lambda_z: {reason}"
            continue
        names = ("lambda_z_from", "lambda_z_to", "clast_pred", "half_life", "r2_adjusted")
        begin, end, last, half, adjusted = (values_of[name] for name in names)
        start = float(own["dose_time"].iloc[0])
        times = np.linspace(begin, end, 50)
        values = last * np.exp(-rate * (times - end))
        slack = ROUNDING * max(abs(end), 1.0)
        after = profile.time - start
        chosen = np.isfinite(profile.value) & (after >= begin - slack) & (after <= end + slack)
        ax.plot(times + start, values, color=FIT, lw=1.2, label="terminal phase", zorder=3)
        ax.plot(profile.time[chosen], profile.value[chosen], "o", color=FIT, ms=4, label="chosen value", zorder=4)
        said = f"half-life {number(half)} {time}, adj. R2 {number(adjusted, 4)}"
    return said
