"""Rule L9: the two engines agree, whatever the draw and the regimen, for every model that both can solve.

`test_engine_exact` has the core alone, with regimens of many shapes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from designs import DESIGNS
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.engine.structure import solving_order
from mscpkpd.engine.system import build_system
from mscpkpd.units import to_unit
from reference.runs import run

AT_DEFAULTS, AT_TIGHT = 1e-6, 1e-8
TIGHT = 1e-12  # relative tolerance of the adaptive engine, as the rule asks
SLOPE = 1e-6  # of derivatives
BY = 4  # parameters to differentiate by, others in every draw
REFUSED = 0.9  # the least share of draws that the exact engine solves
FLOOR = 1e-3  # of the largest value of a series
EMPTY = 1e-9  # of the largest amount anywhere: a state with less holds what rounding has left there
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@cache
def both():
    """The first design of every model that the exact engine can solve."""
    first = {}
    for design in DESIGNS:
        first.setdefault(design.model, design)
    found = {}
    for name, design in first.items():
        described = design.load()
        routes = tuple(sorted({*described.route_names, *design.regimen.routes}))
        if solving_order(build_system(described, described.state_names, routes)).exact:
            found[name] = design
    return found


@cache
def moving(design):
    """Parameters that the states depend on."""
    described = design.load()
    routes = tuple(sorted({*described.route_names, *design.regimen.routes}))
    return frozenset(build_system(described, described.state_names, routes).parameters)


def hours(design):
    """Length of the time unit of its model, in which its times are; doses are in hours."""
    return to_unit(f"1 {design.load().time}", "h")


def names():
    return sorted(both())


@st.composite
def regimens(draw, design):
    """An infusion and a bolus, at any times and of any size, perhaps one during the other: one shape to compile."""
    own, doses, span = design.regimen.doses, [], max(design.times) * hours(design)
    lengths = (draw(st.integers(1, 30)) / 60 * span, 0.0)
    for like, length in zip((own[0], own[-1]), lengths, strict=True):
        time, amount = draw(st.integers(0, 60)) / 61 * span, like.amount * draw(st.integers(1, 20)) / 10
        doses.append(Dose(time, amount, like.unit, like.route, length, like.viable))
    return Regimen(tuple(sorted(doses, key=lambda dose: dose.time)))


def drawn(described, seed):
    """Values from the priors, as a sampler may try them; in one draw of four, the cells leave all organs alike."""
    rng = np.random.default_rng(seed)
    values = {name: float(described.parameter(name).prior.sample(rng, 1)[0]) for name in described.free_names}
    if seed % 4 == 0 and {"k_L", "k_T"} <= set(described.parameter_names):
        values["k_T"] = values.get("k_L", described.values["k_L"])
    return values


def sizes(curve):
    """Largest value of every state over the whole curve; what is empty all along holds what rounding has left there."""
    most = np.max(np.abs(curve.path.states))
    return {state: np.max(np.abs(curve[state])) + EMPTY * most for state in curve.system.states}


def compare(exact, stiff, size, allowed, by=()):
    """Compare every state, and every derivative relative to its parameter."""
    assert stiff.path.ok, stiff.path.failure
    for state in exact.system.states:
        near = {"rtol": allowed, "atol": allowed * FLOOR * size[state]}
        np.testing.assert_allclose(exact[state], stiff[state], **near, err_msg=state)
        for name in by:
            scale = abs(dict(zip(exact.system.parameters, exact.values, strict=True))[name])
            mine, other = exact.slope(state, name) * scale, stiff.slope(state, name) * scale
            near = {"rtol": SLOPE, "atol": SLOPE * max(np.max(np.abs(other)), size[state])}
            np.testing.assert_allclose(mine, other, **near, err_msg=f"{state} by {name}")


def times_of(design, regimen):
    """Those of the design, and the begin and the end of each dose."""
    begins = np.array([dose.time for dose in regimen.doses]) / hours(design)
    lengths = [dose.duration / hours(design) or max(design.times) / 7 for dose in regimen.doses]
    return np.unique([*design.path_times, *begins, *(begins + lengths)])


def agree(design, seed, regimen):
    described, times = design.load(), times_of(design, regimen)
    able = [name for name in described.free_names if name in moving(design)]
    by = tuple(np.random.default_rng(seed).choice(able, min(BY, len(able)), replace=False).tolist())
    chosen = {"values": drawn(described, seed), "weight": design.weight}
    exact = run(described, regimen, times, engine="exact", by=by, **chosen)
    if not exact.path.ok:  # a rate so fast, or a fall so steep, that it says so
        assert "would be needed" in exact.path.failure, exact.path.failure
        return False
    grid = max(design.times) * np.concatenate([np.linspace(0, 1, 200), np.geomspace(1e-4, 1, 60)])
    curve = run(described, regimen, np.unique([*grid, *times]), engine="stiff", **chosen)
    size = sizes(curve)
    compare(exact, run(described, regimen, times, engine="stiff", **chosen), size, AT_DEFAULTS)
    tight = run(described, regimen, times, engine="stiff", by=by, tolerance=TIGHT, **chosen)
    compare(exact, tight, size, AT_TIGHT, by)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_both_engines_agree_for_many_draws_of_any_model(name):
    design, solved = both()[name], []

    @given(seed=st.integers(0, 10_000), regimen=regimens(design))
    @settings(max_examples=200, **QUIET)
    def each(seed, regimen):
        solved.append(agree(design, seed, regimen))

    each()
    assert np.mean(solved) > REFUSED
