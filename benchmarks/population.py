"""How long does a population of 10,000 subjects take, on one core?"""

from __future__ import annotations

import _ours
import _problems
from _comparing import compare_populations
from _record import Row, Target

PROBLEMS = {
    _problems.core: Target(50, "libRoadRunner"),
    _problems.core_infusions: Target(30, "libRoadRunner"),
    _problems.core_irregular: Target(30, "libRoadRunner"),
    _problems.pbk: None,
}


def main() -> None:
    for problem, target in PROBLEMS.items():
        posed = problem()
        row = Row("population", "Population of 10,000 subjects, on one core", posed.name, "ms a subject", target)
        compare_populations(row, posed, 10_000, {"mscpkpd exact": _ours.solver})
        row.finish()


if __name__ == "__main__":
    main()
