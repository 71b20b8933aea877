"""Covariates that change, in both engines: they agree, and derivatives go through every change point.

The regimen has lags, modelled durations and rates, an infusion of given rate, a steady state that replaces and one that
is added, and a reset; the covariates touch all of them (`covariate_models`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from covariate_models import chained, touched
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.batches import solve_batch
from mscpkpd.engine.course import Course, Given, Track, drive
from mscpkpd.engine.plan import plan_of
from mscpkpd.engine.solve import Trajectory, solve
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import System, build_system
from mscpkpd.errors import ModelError

AT_DEFAULTS, AT_TIGHT = 1e-6, 1e-8  # L9
FLOOR = 1e-3  # of the largest value of a series
ROUTES = ("iv", "oral", "slow", "pump", "fed")
REGIMEN = Regimen(
    (
        Dose(0.0, 100.0, "mg", "oral"),
        Dose(3.0, 100.0, "mg", "iv", 2.0),
        Dose(8.0, 100.0, "mg", "fed", 3.0, timed_by="rate"),
        Dose(15.0, 50.0, "mg", "slow"),
        Dose(20.0, 60.0, "mg", "pump"),
        Dose(30.0, 80.0, "mg", "iv", 1.5, steady="reached", every=12.0),
        Dose(36.0, 20.0, "mg", "fed", steady="added", every=8.0),
        Dose(50.0, 10.0, "mg", "fed", reset=True),
    )
)
TIMES = np.array([0, 0.3, 2, 3.7, 6, 9, 14, 16, 21, 25, 30, 30.5, 31.3, 35, 36, 40, 50, 55], dtype=float)
GIVEN = tuple(Given(dose.time, (None, 1.1 if k % 2 else None)) for k, dose in enumerate(REGIMEN))
Y = ((0.0, 4.0, 9.0, 22.0, 31.0, 45.0), (1.0, 1.3, 0.8, 1.1, 1.2, 0.9))
X = ((1.0, 5.0, 16.0, 29.0, 40.0), (1.0, 1.2, 0.9, 1.25, 1.05))
CASES = ["locf", "nocb", "linear"]


def course_of(rule: str) -> Course:
    return Course((Track("y", rule, *Y), Track("x", rule, *X)), GIVEN)


@cache
def system_of(*, follows: bool) -> System:
    """The model; the exact engine follows straight lines where states follow one another alone."""
    return build_system(chained() if follows else touched(), ("conc", "level"), ROUTES)


def free_of(system: System) -> tuple[int, ...]:
    return tuple(i for i, name in enumerate(system.parameters) if name not in ("x", "y"))


@cache
def solved(rule: str, engine: str, tolerance: float, *, follows: bool, slopes: bool = True) -> Trajectory:
    system = system_of(follows=follows)
    path = solve(
        system, REGIMEN, TIMES, np.array(system.nominal), free=free_of(system) if slopes else (),
        course=course_of(rule), engine=engine, tolerance=tolerance,
    )  # fmt: skip
    assert path.ok, path.failure
    return path


def off(one: np.ndarray, other: np.ndarray, size: np.ndarray) -> float:
    """Largest difference, as rule L9 counts it."""
    return float(np.max(np.abs(one - other) / (np.abs(other) + FLOOR * size)))


def sizes(states: np.ndarray) -> np.ndarray:
    return np.max(np.abs(states), axis=1, keepdims=True)


@pytest.mark.parametrize("rule", CASES)
def test_l9_the_engines_agree(rule: str) -> None:
    """At default tolerances to 1e-6, with derivatives; to 1e-8 when the stiff engine is asked for 1e-12."""
    follows = rule == "linear"
    exact = solved(rule, "exact", 1e-9, follows=follows)
    stiff = solved(rule, "stiff", 3e-9, follows=follows)
    tight = solved(rule, "stiff", 1e-12, follows=follows, slopes=False)
    assert off(stiff.states, exact.states, sizes(exact.states)) < AT_DEFAULTS
    assert off(tight.states, exact.states, sizes(exact.states)) < AT_TIGHT
    system = system_of(follows=follows)
    values = np.array(system.nominal)[list(free_of(system))]
    one, other = stiff.sensitivities * values, exact.sensitivities * values
    largest = np.maximum(np.max(np.abs(other), axis=1, keepdims=True), sizes(exact.states)[:, :, None])
    assert off(one, other, largest) < AT_DEFAULTS


@pytest.mark.parametrize("rule", [*CASES[:2], pytest.param("linear", marks=pytest.mark.slow)])
def test_l8_g2_derivatives_are_those_of_central_differences(rule: str) -> None:
    """To 1e-5, for every parameter, through lags, durations, rates, steady states, a reset and all change points."""
    follows = rule == "linear"
    system, found = system_of(follows=follows), solved(rule, "exact", 1e-9, follows=follows)
    values, course = np.array(system.nominal), course_of(rule)

    def states(i: int, by: float) -> np.ndarray:
        moved = values.copy()
        moved[i] *= 1 + by
        return solve(system, REGIMEN, TIMES, moved, course=course, engine="exact", tolerance=1e-9).states

    h = 2e-4
    for k, i in enumerate(free_of(system)):
        slope = (8 * (states(i, h) - states(i, -h)) - (states(i, 2 * h) - states(i, -2 * h))) / (12 * h)
        analytic = found.sensitivities[:, :, k] * values[i]
        assert off(analytic, slope, 10 * np.maximum(sizes(slope), sizes(found.states))) < 1e-5, system.parameters[i]
    moved = found.sensitivities[list(system.states).index("central")]
    assert all(np.any(moved[:, k] != 0) for k, i in enumerate(free_of(system)) if system.parameters[i] in "CLVFDR")


def test_l8_derivatives_through_straight_lines_in_the_stiff_engine() -> None:
    """K4 with exchange: coefficients that move are left to the stiff engine."""
    system, course = system_of(follows=False), course_of("linear")
    found = solved("linear", "stiff", 1e-10, follows=False)
    values, h = np.array(system.nominal), 1e-3
    for name in ("CL", "L", "F"):
        i = system.parameters.index(name)
        ends = []
        for by in (h, -h):
            moved = values.copy()
            moved[i] *= 1 + by
            ends.append(solve(system, REGIMEN, TIMES, moved, course=course, tolerance=1e-12).states)
        slope = (ends[0] - ends[1]) / (2 * h)
        analytic = found.sensitivities[:, :, free_of(system).index(i)] * values[i]
        assert off(analytic, slope, 100 * np.maximum(sizes(slope), sizes(found.states))) < 1e-5


def test_k4_the_exact_engine_says_why_it_cannot_follow_a_straight_line() -> None:
    system = system_of(follows=False)
    reason = r"cannot solve this where y, x follows a straight line \(K4\): feedback between central and peripheral"
    with pytest.raises(ModelError, match=reason):
        solve(system, REGIMEN, TIMES, np.array(system.nominal), course=course_of("linear"), engine="exact")
    auto = solve(system, REGIMEN, TIMES, np.array(system.nominal), course=course_of("linear"), engine="auto")
    assert off(auto.states, solved("linear", "stiff", 3e-9, follows=False).states, sizes(auto.states)) < AT_DEFAULTS
    assert solving_order(drive(system, course_of("locf"), 1.0).system).exact


def test_k8_the_solver_stops_at_every_change_point_alone() -> None:
    """No change point without a change, and none of a constant covariate; a straight line changes at its records."""
    system = system_of(follows=False)
    times, values = (0.0, 2.0, 4.0, 6.0), (1.0, 1.0, 1.5, 1.5)
    for rule, moments in (("locf", [0, 4]), ("nocb", [0, 2]), ("linear", [0, 2, 4])):
        course = Course((Track("x", rule, times, values), Track("y", rule, (0.0,), (1.1,))))
        driven = drive(system, course, 1.0)
        assert [time for time, _ in driven.segments] == moments
        assert len(driven.changing) == (3 if rule == "linear" else 1)
    assert drive(system, Course((Track("y", "locf", (0.0,), (1.1,)),)), 1.0).segments == ()


def test_a_constant_covariate_costs_no_interval() -> None:
    """The same numbers, bit by bit, as with its value among the parameters."""
    system = system_of(follows=False)
    values, course = np.array(system.nominal), Course((Track("y", "locf", (0.0,), (1.4,)),))
    held = values.copy()
    held[system.parameters.index("y")] = 1.4
    one = solve(system, REGIMEN, TIMES, values, course=course)
    other = solve(system, REGIMEN, TIMES, held)
    assert np.array_equal(one.states, other.states)
    doses = Regimen((Dose(0.0, 1.0, "mg", "fed"), Dose(5.0, 1.0, "mg", "fed", 2.0)))
    plan = plan_of(system, doses, TIMES, 1.0, drive(system, course, 1.0))
    bare = plan_of(system, doses, TIMES, 1.0)
    assert plan is not None
    assert bare is not None
    assert plan.changing == ()
    assert plan.intervals.numbers.shape == (0, len(bare.intervals.begins))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["nocb", "linear"])
def test_batches_agree_with_single_solves(rule: str) -> None:
    system = system_of(follows=True)
    doses = Regimen((Dose(0.0, 100.0, "mg", "fed"), Dose(8.0, 60.0, "mg", "fed", 3.0)))
    values = np.array(system.nominal) * np.array([[1.0], [1.2], [0.9]])
    course = Course((Track("y", rule, *Y), Track("x", rule, *X)))
    together = solve_batch(system, doses, TIMES, values, tolerance=1e-9, course=course)
    for states, own in zip(together, values, strict=True):
        alone = solve(system, doses, TIMES, own, course=course, tolerance=1e-11)
        assert off(states, alone.states, sizes(alone.states) + 1e-9) < AT_DEFAULTS
