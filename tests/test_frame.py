"""The frame of the sampler: a change of coordinates that leaves the posterior as it is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mscpkpd.data import read_study, study_from_frame
from mscpkpd.fitting.bayes import build_pymc
from mscpkpd.fitting.frame import Frame, _exchangeable, find_frame
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.problem import Problem, pose

pd = pytest.importorskip("pandas")

FAST = "FAST_COMPILE"  # compiling costs more than evaluating

DECAY = """
format = 1
name = "decay"
title = "Decay"
about = "One state that is lost."
time = "h"

[parameters]
k = {{ value = 0.1, unit = "1/h", prior = "lognormal(0.1, 0.5)", about = "loss", source = "test", evidence = "{how}" }}
f = {{ value = 0.5, unit = "1", prior = "{share}", about = "share", source = "test", evidence = "{how}" }}
b = {{ value = 3.0, unit = "cells", prior = "normal(0, 10)", about = "rest", source = "test", evidence = "{how}" }}
s = {{ value = 0.2, unit = "1", prior = "halfnormal(0.5)", about = "noise", source = "test", evidence = "{how}" }}

[states]
body = {{ unit = "cells", about = "cells" }}

[routes]
iv = {{ into = {{ body = "f" }} }}

[rates]
body = "-k*body"

[outputs]
seen = {{ is = "body + abs(b)", unit = "cells", noise = "lognormal(s)" }}
"""


def problem_of(tmp_path, share: str) -> Problem:
    path = tmp_path / "decay.toml"
    path.write_text(DECAY.format(share=share, how="assumed"))
    frame = pd.DataFrame(
        {
            "subject": "a", "time": [1.0, 5.0, 10.0, 20.0], "time_unit": "h", "output": "seen", "unit": "cells",
            "value": [450.0, 300.0, 190.0, 70.0], "route": "iv", "dose": 1000.0, "dose_unit": "cells",
        }
    )  # fmt: skip
    return pose(load_model(path), study_from_frame(frame, name="decay"))


@pytest.mark.parametrize("exchange", [None, (0, 3)])
@pytest.mark.parametrize("share", ["logitnormal(0.5, 0.3)", "beta(2, 3)"])
def test_a_frame_changes_the_coordinates_and_not_the_posterior(tmp_path, share, exchange):
    """Log densities of the plain and the framed model differ by one constant, at any point, for every prior family."""
    problem = problem_of(tmp_path, share)
    frame = replace(find_frame(problem), exchange=exchange)
    plain = build_pymc(problem).compile_logp(mode=FAST)
    framed = build_pymc(problem, frame).compile_logp(mode=FAST)
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(6):
        x = rng.standard_normal(len(problem.free))
        z = frame.place(x)
        point = {_value_name(p.name, p.prior.transform): z[k] for k, p in enumerate(problem.free)}
        differences.append(float(framed({"frame": x}) - plain(point)))
    # the two sums run in another order over values of some tens: rounding stays below 1e-9
    np.testing.assert_allclose(differences, differences[0], atol=1e-9)


def test_rates_that_can_exchange_roles_are_found():
    """Flip-flop: loss of cells from lung and loss of their label give the same curve of the label when swapped."""
    model = load_model("two_functional_compartments", values="human_70kg")
    problem = pose(model, read_study(library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv"))
    frame = find_frame(problem)
    i, j = frame.exchange
    assert (problem.names[i], problem.names[j]) == ("k_L", "k_XL")
    mode = np.exp(frame.place(np.zeros(len(problem.free)))[[i, j]])
    np.testing.assert_allclose(mode, [0.029, 0.0105], rtol=0.05)
    s, d = frame.center[[i, j]]
    assert (np.exp(s), np.exp(d)) == pytest.approx((1 / mode[0] + 1 / mode[1], mode[0] / mode[1]))


@pytest.mark.parametrize(("seen", "pair"), [(0.2, (0, 1)), (3.0, (0, 1)), (4.0, None)])
def test_a_swap_in_which_a_chain_could_stay_is_sampled_along(seen, pair):
    """Squared residuals of the swap of two rates that differ by e: 0.2, 36 and 64; the last is nothing."""
    rate, log = SimpleNamespace(unit="1/h"), SimpleNamespace(transform="log")
    problem = SimpleNamespace(model=SimpleNamespace(parameter={"a": rate, "b": rate}.get))

    class Work:
        names, index, priors = ("a", "b"), np.array([0, 1]), (log, log)

        def __call__(self, z):
            return np.array([10 * (z[0] + z[1]), seen * (z[0] - z[1])])

    assert _exchangeable(problem, Work(), np.array([0.0, 1.0])) == pair


def test_one_rate_has_nothing_to_exchange_roles_with(tmp_path):
    assert find_frame(problem_of(tmp_path, "beta(2, 3)")).exchange is None


def test_the_frame_stands_at_the_mode_with_its_curvature(tmp_path):
    """With informative data the centre is near the optimum and the axes are narrower than the priors."""
    problem = problem_of(tmp_path, "logitnormal(0.5, 0.3)")
    frame = find_frame(problem)
    prior_sd = np.array([p.prior.free_moments()[1] for p in problem.free])
    sd = np.sqrt(np.diag(frame.axes @ frame.axes.T))
    k = problem.names.index("k")
    assert sd[k] < 0.5 * prior_sd[k]
    assert np.all(sd <= prior_sd * (1 + 1e-9))
    assert np.exp(frame.center[k]) == pytest.approx(0.1, rel=0.2)


def test_a_frame_that_cannot_be_found_is_the_prior(tmp_path, monkeypatch):
    """A search that fails falls back on the priors: slower to sample, no less right."""
    problem = problem_of(tmp_path, "logitnormal(0.5, 0.3)")

    def fail(*_args, **_kwargs):
        raise ValueError("no mode")

    monkeypatch.setattr("mscpkpd.fitting.frame.least_squares", fail)
    frame = find_frame(problem)
    assert isinstance(frame, Frame)
    moments = np.array([p.prior.free_moments() for p in problem.free])
    np.testing.assert_allclose(frame.center, moments[:, 0])
    np.testing.assert_allclose(frame.axes, np.diag(moments[:, 1]))


def _value_name(name: str, transform: str) -> str:
    suffix = {"log": "_log__", "logit": "_logodds__", "identity": ""}
    return name + suffix[transform]
