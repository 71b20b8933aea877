"""Everything that touches ArviZ: containers, diagnostics, files.

ArviZ 0.23 (Python 3.11) and ArviZ 1 (3.12 and later) differ in their containers and defaults; no other module needs
to know. Draws are arrays of shape (chain, draw) by parameter name everywhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mscpkpd.errors import InputError

__all__ = [
    "Check",
    "arrays_of",
    "diagnose",
    "highest_density",
    "make_draws",
    "read_draws",
    "split_draws",
    "write_draws",
]

RHAT_LIMIT, ESS_LIMIT, BFMI_LIMIT = 1.01, 400, 0.3
INTERVAL = 0.95
TAILS = (0.05, 0.95)

Draws = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Check:
    """One verdict about a fit.

    Attributes
    ----------
    name : str
        What was checked.
    ok : bool
        Whether it holds.
    sentence : str
        The verdict in words, with what to do where it does not hold.
    """

    name: str
    ok: bool
    sentence: str


def make_draws(posterior: Draws, sample_stats: Draws) -> Any:
    """Wrap arrays of shape (chain, draw) as the ArviZ object of the installed generation."""
    arviz = _arviz()
    groups = {"posterior": dict(posterior), "sample_stats": dict(sample_stats)}
    if arviz.__version__.startswith("0."):
        return arviz.from_dict(**groups)
    return arviz.from_dict(groups)


def write_draws(draws: Any, path: Path) -> None:
    """Write the draws as netCDF."""
    draws.to_netcdf(str(path), engine="h5netcdf")


def read_draws(path: Path) -> Any:
    """Read draws written by `write_draws`; raises InputError where the file is none."""
    arviz = _arviz()
    try:
        return arviz.from_netcdf(str(path), engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"these are no draws: {error}", where=str(path), hint="the draws.nc of a run folder"
        ) from error


def split_draws(draws: Any) -> dict[str, np.ndarray]:
    """Posterior of an ArviZ object as plain arrays of shape (chain, draw); random effects, which have more, stay."""
    found = {str(name): np.asarray(draws["posterior"][name].values) for name in draws["posterior"].data_vars}
    return {name: values for name, values in found.items() if values.ndim == 2}


def arrays_of(trace: Any, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Posterior of one variable and the sampler's statistics as plain arrays (chain, draw, ...)."""
    wanted = ("diverging", "energy", "depth", "n_steps", "step_size")
    stats = trace["sample_stats"]
    return np.asarray(trace["posterior"][name].values), {n: np.asarray(stats[n].values) for n in wanted if n in stats}


def diagnose(posterior: Draws, sample_stats: Draws) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Rank-normalised R-hat, effective sample sizes, divergences and E-BFMI.

    Returns
    -------
    table : pandas.DataFrame
        Index parameter; columns r_hat, ess_bulk, ess_tail.
    checks : tuple of Check
    """
    arviz = _arviz()
    rows = {}
    for name, values in posterior.items():
        rows[name] = [
            float(arviz.rhat(np.asarray(values))),
            float(arviz.ess(np.asarray(values), method="bulk")),
            float(arviz.ess(np.asarray(values), method="tail", prob=TAILS)),
        ]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["r_hat", "ess_bulk", "ess_tail"])
    shapes = [np.shape(values) for values in posterior.values()]
    return table, _sampler_checks(table, sample_stats, shapes[0] if shapes else (0, 0))


def _sampler_checks(table: pd.DataFrame, stats: Draws, draws: tuple[int, ...]) -> tuple[Check, ...]:
    ess = float(table[["ess_bulk", "ess_tail"]].min().min())
    diverging = int(np.sum(stats["diverging"])) if "diverging" in stats else 0
    bfmi = float(np.min(_bfmi(stats["energy"]))) if "energy" in stats else float("nan")
    more = "the chains do not agree yet; take more draws."
    tighter = "parts of the posterior were not reached; fix a parameter or give a tighter prior."
    return (
        _enough(draws),
        _agreement(table["r_hat"], more),
        _check(
            "ess", ess >= ESS_LIMIT, f"Smallest effective sample size {ess:.0f}, limit {ESS_LIMIT}", "enough.", more
        ),
        _check("divergences", diverging == 0, f"{diverging} divergent transitions", "none is right.", tighter),
        # without an energy there is nothing to judge: only a number under the limit fails
        _check(
            "e_bfmi",
            not bfmi < BFMI_LIMIT,
            f"Smallest E-BFMI {bfmi:.2f}, limit {BFMI_LIMIT}",
            "no heavy tails.",
            tighter,
        ),
    )


def _agreement(rhat: pd.Series, more: str) -> Check:
    """R-hat compares chains: one chain has none."""
    if not rhat.notna().any():
        alone = "nothing says whether another chain would find the same; take 4."
        return Check("r_hat", ok=False, sentence=f"R-hat cannot be computed from one chain or so few draws: {alone}")
    largest = float(rhat.max())
    finding = f"Largest R-hat {largest:.4f} ({rhat.idxmax()}), limit {RHAT_LIMIT}"
    return _check("r_hat", largest <= RHAT_LIMIT, finding, "chains agree.", more)


def _enough(shape: tuple[int, ...]) -> Check:
    """R-hat and effective sample sizes of few draws say nothing, whatever they are."""
    chains, draws = shape[:2]
    each = f"{draws} draw{'s' * (draws != 1)} in each of {chains} chain{'s' * (chains != 1)}"
    few = f"fewer than {ESS_LIMIT} in all, too few to judge or to use; take 1000 in each of 4 chains."
    return _check("draws", chains * draws >= ESS_LIMIT, each, "enough to judge.", few)


def _check(name: str, holds: object, finding: str, good: str, advice: str) -> Check:
    ok = bool(holds)
    return Check(name, ok, f"{finding}: {good if ok else advice}")


def _bfmi(energy: np.ndarray) -> np.ndarray:
    """Energy fraction of missing information per chain, energy of shape (chain, draw)."""
    return np.asarray(np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1))


def highest_density(values: np.ndarray, probability: float = INTERVAL) -> tuple[float, float]:
    """Narrowest interval that holds a share `probability` of the draws."""
    ordered = np.sort(np.asarray(values).reshape(-1))
    inside = int(np.floor(probability * len(ordered)))
    widths = ordered[inside:] - ordered[: len(ordered) - inside]
    first = int(np.argmin(widths))
    return float(ordered[first]), float(ordered[first + inside])


def _arviz() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # 0.23 announces the refactoring on import
        import arviz
    return arviz
