"""How long does a hierarchical fit of 32 subjects with four random effects take?

The core at ten times, 1000 warm-up draws and 1000 draws of four chains, on all cores.
"""

from __future__ import annotations

import _ours
import _problems
import numpy as np
from _density import density
from _peers import scipy_lsoda
from _record import Row, Target, quick
from sampling import independent

VARIED = ("k_L", "k_T", "q0", "Smax")


def main() -> None:
    posed = _problems.core_ten_times()
    subjects = 2 if quick() else 32
    posterior = density(posed, scipy_lsoda.solver(posed, 1e-10), subjects=subjects, varied=VARIED)
    row = Row("hierarchical", "Hierarchical fit, 4 random effects", f"{posed.name}, 32 subjects", "s", Target(180.0))
    length = 20 if quick() else 1000
    try:
        drawn, took = _ours.hierarchical(posterior, draws=length, tune=length, chains=4, seed=1)
    except NotImplementedError as reason:
        row.skipped["mscpkpd fit"] = str(reason)
    else:
        row.add("mscpkpd fit", took, note=f"smallest bulk ESS {np.min(independent(drawn)):.0f}")
    row.finish()


if __name__ == "__main__":
    main()
