"""Rule L9: the two engines agree, whatever the draw and the regimen, for every model that both can solve.

Every new shape of a regimen is compiled, so that this takes an hour; `test_engine_exact` has the core alone, quickly.
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
from reference.runs import run

AT_DEFAULTS, AT_TIGHT = 1e-6, 1e-8
TIGHT = 1e-12  # relative tolerance of the adaptive engine, as the rule asks
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


def names():
    return sorted(both())


@st.composite
def regimens(draw, design):
    """One to three doses, by the routes and in the amounts of a design, some of them infused."""
    own, doses = design.regimen.doses, []
    for _ in range(draw(st.integers(1, 3))):
        like = draw(st.sampled_from(own))
        times = draw(st.integers(0, 60)) / 60 * max(design.times)
        length = draw(st.sampled_from((0.0, like.duration or 1.5)))
        amount = like.amount * draw(st.integers(1, 20)) / 10
        doses.append(Dose(times, amount, like.unit, like.route, length, like.viable))
    return Regimen(tuple(sorted(doses, key=lambda dose: dose.time)))


def drawn(described, seed):
    """Values from the priors, as a sampler may try them."""
    rng = np.random.default_rng(seed)
    return {name: float(described.parameter(name).prior.sample(rng, 1)[0]) for name in described.free_names}


def agree(design, seed, regimen, by=()):
    described = design.load()
    chosen = {"values": drawn(described, seed), "weight": design.weight, "by": by}
    exact = run(described, regimen, design.path_times, engine="exact", **chosen)
    if not exact.path.ok:  # a rate so fast, or a fall so steep, that it says so
        assert "would be needed" in exact.path.failure, exact.path.failure
        return
    for tolerance, allowed in ((None, AT_DEFAULTS), (TIGHT, AT_TIGHT)):
        options = {"tolerance": tolerance} if tolerance else {}
        stiff = run(described, regimen, design.path_times, engine="stiff", **options, **chosen)
        assert stiff.path.ok, stiff.path.failure
        most = np.max(np.abs(stiff.path.states))
        for state in exact.system.states:
            size = np.max(np.abs(stiff[state])) + EMPTY * most
            np.testing.assert_allclose(
                exact[state], stiff[state], rtol=allowed, atol=allowed * FLOOR * size, err_msg=f"{state}, {tolerance}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
@given(data=st.data())
@settings(max_examples=200, **QUIET)
def test_both_engines_agree_for_many_draws_of_any_model(name, data):
    agree(both()[name], data.draw(st.integers(0, 10_000)), data.draw(regimens(both()[name])))
