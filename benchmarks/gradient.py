"""How long does a gradient of the log density take, one subject and 32, on one core?"""

from __future__ import annotations

import _ours
import _problems
from _comparing import compare_gradients
from _density import density
from _peers import scipy_lsoda
from _record import Row, Target

VARIED = ("k_L", "k_T", "q0", "Smax")


def main() -> None:
    posed = _problems.core()
    solve = scipy_lsoda.solver(posed, 1e-10)
    row = Row("gradient", "Gradient of the log density, one subject", posed.name, "ms", Target(25, "Stan ode_bdf"))
    compare_gradients(
        row, density(posed, solve), {"mscpkpd exact": _ours.gradient, "mscpkpd stiff": _ours.stiff_gradient}
    )
    row.finish()
    many = density(posed, solve, subjects=32, varied=VARIED)
    title = "Gradient of the log density, 32 subjects with 4 random effects"
    row = Row("gradient", title, f"{posed.name}, 32 subjects", "ms a subject", Target(100, "Stan ode_bdf"))
    compare_gradients(row, many, {"mscpkpd exact": _ours.gradient})
    row.finish()


if __name__ == "__main__":
    main()
