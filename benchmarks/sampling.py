"""How many independent draws of a posterior does a second give, and is it the same posterior?

The core with three outputs at ten times, and label in four organs at ten times. Everybody samples with its own
defaults; compilation of the model is not counted where it is done once and kept. The number is the smallest effective
sample size of all parameters over the seconds of warm-up and draws, on all cores.
"""

from __future__ import annotations

import time
from types import ModuleType

import _ours
import _problems
import arviz
import numpy as np
from _accuracy import SLOPES, directional, loosest, random_directions, slope_error
from _density import Density, density
from _peers import offering, scipy_lsoda
from _record import Row, Target, quick

# What the data can tell of the core, as in the synthetic study of the library; of the label everything is learned.
CORE = ("rho_L", "k_L", "k_T", "q0", "k_on", "k_off", "Smax", "k_out10", "I10_0")
PROBLEMS = {_problems.core_ten_times: CORE, _problems.biodistribution: None}
FULL = {"draws": 500, "tune": 500, "chains": 4}
SHORT = {"draws": 100, "tune": 100, "chains": 4}
LONG_FOR = {"NumPyro + diffrax": SHORT}  # who would take an hour otherwise
MOVED = 0.1  # of a standard deviation: means that differ by more are of different posteriors


def main() -> None:
    for problem, free in PROBLEMS.items():
        posed = problem()
        posterior = density(posed, scipy_lsoda.solver(posed, 1e-10), free=free)
        target = Target(30, "Stan ode_bdf")
        row = Row("sampling", "Smallest bulk ESS per second of NUTS", posed.name, "ms an independent draw", target)
        compare(row, posterior)
        row.finish()


def compare(row: Row, posterior: Density) -> None:
    """Sample with everybody; our own draws come first, and the others' means are compared with them."""
    how = {"draws": 20, "tune": 30, "chains": 2} if quick() else FULL
    seed = int(time.time()) % 100_000  # PyStan gives back what it drew before from the same seed
    ours, took = _ours.sample(posterior, **how, seed=seed)
    add(row, "mscpkpd fit", ours, took, ours)
    peers, row.skipped = offering("sample")
    for peer in peers:
        settings = how if quick() else LONG_FOR.get(peer.NAME, how)
        drawn, took = peer.sample(posterior, tolerance_of(peer, posterior), **settings, seed=seed)
        add(row, peer.NAME, drawn, took, ours)
    row.facts["coordinates"] = len(posterior.z0)


def tolerance_of(peer: ModuleType, posterior: Density) -> float:
    """The tolerance with which the gradients of a peer are as right as asked."""
    z = posterior.z0
    directions = random_directions(len(z), 1 if quick() else 4)
    right = directional(posterior, z, directions, scipy_lsoda.solver(posterior.posed, 1e-12))

    def wrong(tolerance: float) -> float:
        return slope_error(peer.slopes(posterior, tolerance)(z), directions, right)

    return loosest(wrong, SLOPES)[0]


def add(row: Row, name: str, drawn: np.ndarray, took: float, ours: np.ndarray) -> None:
    """Add one posterior: ms for each independent draw of the parameter that has the fewest."""
    fewest = float(np.min(independent(drawn)))
    mine, theirs = (part.reshape(-1, part.shape[-1]) for part in (ours, drawn))
    off = np.abs(mine.mean(axis=0) - theirs.mean(axis=0)) / mine.std(axis=0)
    chance = 2.0 * np.sqrt(1.0 / independent(ours) + 1.0 / independent(drawn))  # of so many draws
    same = "" if np.all(off <= MOVED + chance) else f", NOT the same within {MOVED:g}"
    note = f"ESS {fewest:.0f} in {took:.1f} s; means differ by at most {np.max(off):.2f} sd{same}"
    row.add(name, 1e3 * took / fewest, seconds=took, ess=fewest, moved=float(np.max(off)), note=note)


def independent(drawn: np.ndarray) -> np.ndarray:
    """Bulk effective sample size of every coordinate of draws (chains, draws, n)."""
    return np.array([float(arviz.ess(drawn[..., k], method="bulk")) for k in range(drawn.shape[-1])])


if __name__ == "__main__":
    main()
