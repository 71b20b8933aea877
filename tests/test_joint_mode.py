"""The frame about the joint mode of parameters and random effects: its gradient, and its answer where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from mscpkpd.fitting import parametrization
from mscpkpd.fitting.joint_mode import _Joint, joint_frame
from mscpkpd.model import Covariance, Variability
from mscpkpd.population import pose_population
from population_models import HALF, grid, linear, table

GRADIENT = 1e-6  # relative, against central differences


@pytest.fixture(scope="module", params=["full", "diagonal"])
def population(request):
    spread = (Variability("c0", "subject", 2.0, prior=HALF), Variability("slope", "subject", 0.3, prior=HALF))
    made = linear(*spread, covariance=(Covariance("subject", request.param),))
    return pose_population(made, table(grid(5, (1.0, 4.0, 9.0), value=9.0)))


def test_the_gradient_is_that_of_the_density(population):
    joint = _Joint(population)
    z = joint.start + 0.2 * np.random.default_rng(1).standard_normal(len(joint.start))
    _, slope = joint(z)
    moves = 1e-5 * np.eye(len(z))
    differences = [(joint(z + move)[0] - joint(z - move)[0]) / 2e-5 for move in moves]
    np.testing.assert_allclose(slope, differences, rtol=GRADIENT, atol=GRADIENT * np.max(np.abs(slope)))


def test_the_frame_stands_at_the_mode(population):
    frame = joint_frame(population)
    assert frame is not None
    _, slope = _Joint(population)(frame.center)
    assert np.max(np.abs(frame.axes.T @ slope)) < 0.05
    assert np.allclose(frame.axes, np.tril(frame.axes))


def test_many_coordinates_take_it(population, monkeypatch):
    few = parametrization.parametrized(population)[1]
    monkeypatch.setattr(parametrization, "MOST_COORDINATES", 0)
    chosen, frame = parametrization.parametrized(population)
    assert chosen.centred == ()
    assert np.allclose(frame.center, joint_frame(population).center)
    assert not np.allclose(frame.center, few.center)
