"""How long does a gradient take where there is feedback, which only the stiff engine can solve?"""

from __future__ import annotations

import _ours
import _problems
from _comparing import compare_gradients
from _density import density
from _peers import scipy_lsoda
from _record import Row, Target

WITHOUT_EFFECT = {"EC50_P", "h_P", "k_on", "k_off", "Smax"}  # on volunteers who are given no cells


def main() -> None:
    posed = _problems.endotoxaemia()
    free = tuple(name for name in posed.model.free_names if name not in WITHOUT_EFFECT)
    posterior = density(posed, scipy_lsoda.solver(posed, 1e-10), free=free)
    title = "Gradient of the log density, nonlinear with feedback"
    row = Row("gradient_stiff", title, posed.name, "ms", Target(5, "Stan ode_bdf"))
    compare_gradients(row, posterior, {"mscpkpd stiff": _ours.stiff_gradient})
    row.finish()


if __name__ == "__main__":
    main()
