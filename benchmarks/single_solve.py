"""How long does one solve of one subject take, on one core?"""

from __future__ import annotations

import _ours
import _problems
from _comparing import compare_populations
from _record import Row

BOTH = {"mscpkpd exact": _ours.solver, "mscpkpd stiff": _ours.stiff_solver}
PROBLEMS = {
    _problems.core: BOTH,
    _problems.core_infusions: BOTH,
    _problems.pbk: BOTH,
    _problems.biodistribution: BOTH,
    _problems.endotoxaemia: {"mscpkpd stiff": _ours.stiff_solver},
}


def main() -> None:
    for problem, ours in PROBLEMS.items():
        posed = problem()
        row = Row("single_solve", "One solve of one subject, on one core", posed.name, "ms")
        compare_populations(row, posed, 1, ours)
        row.finish()


if __name__ == "__main__":
    main()
