"""What the data taught: prior and posterior of each parameter, and the share of the prior variance that is gone."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from mscpkpd.fitting.result import LITTLE, Fit
from mscpkpd.parameters import Prior
from mscpkpd.plots.style import AXIS, FIT, MUTED, PRIOR, SMALL, WARN, Marks, blank_axes, finish, legend_of, plain, sheet
from mscpkpd.rounding import decimals, number

__all__ = ["learned_shares", "prior_in_force", "priors_and_posteriors"]

MUCH = 0.9
BINS = 40
TAILS = (0.2, 99.8)  # percentiles of posterior and prior that set the width of a panel


def prior_in_force(fit: Fit, name: str) -> Prior:
    """The prior that the fit used: the wide one where the usual prior was read from the data that were fitted."""
    parameter = fit.model.parameter(name)
    note = dict(zip(fit.table["parameter"], fit.table["note"], strict=True)).get(name, "")
    return parameter.prior_without if note == "wide prior" and parameter.prior_without else parameter.prior


def _learned(fit: Fit) -> list[tuple[str, float]]:
    """Parameters that the data could inform with their share, most first."""
    known = fit.table["parameter"].isin(fit.model.parameter_names)  # spreads of random effects stand elsewhere
    table = fit.table[known & (fit.table["note"] != "prior only") & fit.table["learned"].notna()]
    pairs = [(str(name), float(share)) for name, share in zip(table["parameter"], table["learned"], strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


def priors_and_posteriors(fit: Fit, *, marks: Marks | None = None) -> Figure | None:
    """Show prior and posterior of every parameter that the data could inform.

    Parameters
    ----------
    fit : Fit
        A sampled fit.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure or None
        A small panel each, the best learned first; parameters drawn from their prior are listed, not drawn. None for
        least squares, which uses no priors.
    """
    pairs = _learned(fit)
    if not pairs:
        return None
    columns = 3
    rows = int(np.ceil(len(pairs) / columns))
    figure, axes = sheet(columns, rows, width=6.4, height=1.42 * rows + 0.3)
    for ax, (name, share) in zip(axes.flat, pairs, strict=False):
        _panel(ax, prior_in_force(fit, name), fit.posterior.learned[name])
        unit = fit.model.parameter(name).unit
        ax.set_title(
            plain(name + ("" if unit == "1" else f" [{unit}]")), fontsize=SMALL + 0.5, loc="left", weight="bold"
        )
        colour = WARN if share < LITTLE else MUTED
        ax.set_title(f"learned {decimals(max(share, 0.0))}", fontsize=SMALL, loc="right", color=colour)
    for ax in axes.flat[len(pairs) :]:
        blank_axes(ax)
    rest = sorted(fit.posterior.prior_only)
    foot = f"Prior only, not drawn: {', '.join(rest)}. No observed output depends on them." if rest else ""
    return finish(
        figure, "What the data taught about each parameter", marks=marks, foot=foot,
        subtitle="Densities on the scale on which each parameter is estimated, best learned first.",
        legend=legend_of(axes[:1, :1]),
    )  # fmt: skip


def _panel(ax: Axes, prior: Prior, values: np.ndarray) -> None:
    free = np.asarray(prior.to_free(np.asarray(values).reshape(-1)))
    mean, sd = prior.free_moments()
    low = min(mean - 2.6 * sd, float(np.percentile(free, TAILS[0])))
    high = max(mean + 2.6 * sd, float(np.percentile(free, TAILS[1])))
    grid = np.linspace(low, high, 200)
    density = np.exp(prior.log_density_free(grid))
    ax.fill_between(grid, density, color=PRIOR, alpha=0.25, lw=0)
    ax.plot(grid, density, color=PRIOR, lw=1.2, ls=(0, (4, 2)), label="prior")
    bins = max(12, min(BINS, int(np.sqrt(len(free)))))
    ax.hist(free, bins=bins, density=True, histtype="stepfilled", color=FIT, alpha=0.55, label="posterior")
    ax.set_xlim(low, high)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines["left"].set_visible(False)
    places = _ticks(prior, low, high)
    ax.xaxis.set_major_locator(FixedLocator([float(prior.to_free(x)) for x in places]))
    ax.set_xticks([float(prior.to_free(x)) for x in places], [number(x, 2) for x in places], fontsize=SMALL)


def _ticks(prior: Prior, low: float, high: float) -> list[float]:
    """Three round values, evenly spread on the free scale."""
    spots = np.asarray(prior.from_free(np.array([low + share * (high - low) for share in (0.12, 0.5, 0.88)])))
    digits = 1 if spots[-1] > 3 * abs(spots[0]) else 2
    rounded = [float(f"{x:.{digits}g}") for x in spots]
    if prior.transform == "logit":
        rounded = [x if 0 < x < 1 else float(f"{y:.3g}") for x, y in zip(rounded, spots, strict=True)]
    return list(dict.fromkeys(x for x in rounded if prior.transform != "logit" or 0 < x < 1))


def learned_shares(fit: Fit, *, marks: Marks | None = None) -> Figure | None:
    """Show how much of the prior variance of each parameter the data removed.

    Parameters
    ----------
    fit : Fit
        A sampled fit.
    marks : Marks
        SYNTHETIC, QUICK, warnings.

    Returns
    -------
    matplotlib.figure.Figure or None
        None for least squares, which uses no priors.
    """
    pairs = _learned(fit)
    if not pairs:
        return None
    figure, axes = sheet(width=5.2, height=0.6 + 0.21 * len(pairs))
    ax = axes[0, 0]
    names, shares = [name for name, _ in pairs], np.clip([share for _, share in pairs], 0.0, 1.0)
    places = np.arange(len(pairs))[::-1]
    ax.axvspan(0, LITTLE, color=WARN, alpha=0.08, lw=0)
    ax.barh(places, shares, height=0.66, color=[PRIOR if share < LITTLE else FIT for share in shares])
    for y, share in zip(places, shares, strict=True):
        ax.text(share + 0.012, y, decimals(float(share)), va="center", fontsize=SMALL, color=MUTED)
    ax.axvline(MUCH, color=AXIS, lw=0.8, ls=":")
    ax.set_yticks(places, [plain(name) for name in names], fontsize=SMALL)
    ax.set_xlim(0, 1.09)
    ax.set_ylim(-0.6, len(pairs) - 0.4)
    ax.set_xticks([0, 0.1, 0.5, 0.9, 1.0])
    ax.set_xlabel("learned: 1 − posterior variance / prior variance")
    rest = sorted(fit.posterior.prior_only)
    foot = f"Grey: under {LITTLE}, the data hardly narrow the prior."
    if rest:
        foot += f" Prior only, learned 0: {', '.join(rest)}."
    return finish(figure, "How much the data taught", marks=marks, foot=foot)
