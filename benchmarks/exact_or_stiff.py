"""How much faster than the stiff engine is the exact one, and after how long is it compiled?

The label of the human model after one dose, the mouse core, and the human core under eight infusions; one core.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import _ours
import _problems
from _accuracy import error
from _density import density
from _record import Row, quick
from _timing import Way, measured, one_core, seconds

ALLOWED = 1e-6  # of the largest value of each output (rule L9)
TOLERANCE = 1e-9
PROBLEMS = (_problems.biodistribution, _problems.core, _problems.core_infusions)


def main() -> None:
    one_core()
    for problem in PROBLEMS:
        posed = problem()
        values = posed.nominal[None]
        exact, stiff = _ours.solver(posed, TOLERANCE), _ours.stiff_solver(posed, TOLERANCE)
        posterior = density(posed, stiff)
        slopes = {"exact": _ours.gradient(posterior, TOLERANCE), "stiff": _ours.stiff_gradient(posterior, TOLERANCE)}
        jobs: dict[str, Callable[[], object]] = {
            "mscpkpd exact, outputs": partial(exact, values),
            "mscpkpd stiff, outputs": partial(stiff, values),
            **{f"mscpkpd {name}, gradient": partial(slope, posterior.z0) for name, slope in slopes.items()},
        }
        row = Row("exact_or_stiff", "The two engines, one subject, on one core", posed.name, "ms")
        row.facts |= {f"first call, {name} [s]": round(seconds(job), 2) for name, job in jobs.items()}
        off = error(exact(values), stiff(values))
        row.facts["largest difference"] = off
        if off > ALLOWED:
            raise SystemExit(f"the engines differ by {off:.1e}, more than {ALLOWED:g}; speed does not matter")
        row.add_timings(
            measured([Way(name, job, ready=True) for name, job in jobs.items()], budget=2.0 if quick() else 15.0)
        )
        row.finish()


if __name__ == "__main__":
    main()
