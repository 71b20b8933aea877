"""Sampling in worker processes: streams, order, progress, last words; and the posterior itself against quadrature."""

from __future__ import annotations

import os
import pickle
import sys
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import trapezoid

from mscpkpd.data import read_study
from mscpkpd.errors import FitError
from mscpkpd.fitting import nuts, workers
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.chain import compile_problem, run_leg
from mscpkpd.fitting.frame import find_frame
from mscpkpd.fitting.kept import Leg, Place
from mscpkpd.fitting.nuts import sample_chains
from mscpkpd.fitting.workers import run_jobs
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.problem import pose
from reference.small_models import one_compartment, study

HUMAN = library_path() / "data" / "human_111In_gholamrezanezhad_2011.csv"


def problem_of(*, free=("k",)):
    """One compartment, eight values, lognormal noise of 0.3 and, unless asked, one parameter."""
    described = one_compartment().replace_values({"s": 0.3})
    times = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0)
    values = (2.3, 1.6, 1.8, 1.2, 0.9, 0.5, 0.28, 0.2)
    rows = [{"time": t, "output": "conc", "value": y, "unit": "mg/L"} for t, y in zip(times, values, strict=True)]
    return pose(described, study(*rows), free=free)


@dataclass(frozen=True)
class Work:
    """What a stand-in for a worker is told; plain, so that the program starts without importing this package."""

    number: int


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Put a program in the place of the workers; it sees its number as `number` and writes what it returns."""

    def install(body):
        script = tmp_path / "worker"
        text = f"#!{sys.executable} -IS\n" + textwrap.dedent(
            """
            import json, os, pickle, sys, time
            from pathlib import Path
            path = Path(sys.argv[-1])
            number = int(path.stem.removeprefix("job-"))
            """
        )
        script.write_text(text + textwrap.dedent(body))
        script.chmod(0o755)
        monkeypatch.setattr(workers.sys, "executable", str(script))
        monkeypatch.setattr(workers, "GRACE", 0.2)

    return install


def test_jobs_report_and_return(worker):
    """In the order of the jobs; what a worker prints besides its reports is not for the caller."""
    worker(
        """
        print(json.dumps({"chain": number}), flush=True)
        print("not for the parent", flush=True)
        path.with_suffix(".result").write_bytes(pickle.dumps(10 * number))
        """
    )
    said = []
    assert run_jobs([Work(0), Work(1), Work(2)], said.append) == [0, 10, 20]
    assert sorted(each["chain"] for each in said) == [0, 1, 2]


def test_a_worker_that_stops_is_quoted(worker):
    """The status and the last line of its complaint, not a traceback of the parent."""
    worker(
        """
        sys.stderr.write("Traceback\\n  much text\\nMemoryError: no room\\n")
        sys.exit(5)
        """
    )
    with pytest.raises(FitError, match="a worker process stopped with status 5: MemoryError: no room"):
        run_jobs([Work(0), Work(1)])


def test_a_silent_death_is_named_too(worker):
    worker("sys.exit(3)")
    with pytest.raises(FitError, match="stopped with status 3: no message"):
        run_jobs([Work(0)])


def test_an_interrupt_ends_the_workers(worker, tmp_path):
    """Whatever stops the parent, no process is left behind, not even one that does not listen."""
    worker(
        f"""
        Path({str(tmp_path)!r}, f"pid-{{number}}").write_text(str(os.getpid()))
        print(json.dumps({{"chain": number}}), flush=True)
        time.sleep(600)
        """
    )

    def interrupt(_):
        if len(list(tmp_path.glob("pid-*"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        # the second worker reports after the first, so that both have started when the parent is interrupted
        run_jobs([Work(0), Work(1)], interrupt)
    for file in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


def test_each_chain_has_a_stream_of_its_own(tmp_path):
    """G3: the seed of a chain depends neither on the number of chains nor on that of the processes."""
    seeds = [[leg.seed for leg in Place(tmp_path).legs(n, 10, 10, seed)] for n, seed in ((3, 7), (2, 7), (3, 8))]
    assert len(set(seeds[0])) == 3
    assert seeds[1] == seeds[0][:2]
    assert not set(seeds[2]) & set(seeds[0])


def test_progress_is_over_all_chains_with_divergences_and_step_size():
    """Warm-up included; what was drawn before an interruption counts; the smallest step is shown."""
    seen = []
    legs = [Leg(0, 0, 1, 10, 5), Leg(1, 1, 1, 4, 5, np.zeros(1), before=6)]
    told = nuts._Told(legs, 30, lambda *what: seen.append(what))
    told({"chain": 1, "drawn": 0, "diverging": 0, "step": None})
    told({"chain": 0, "drawn": 7, "diverging": 1, "step": 0.5})
    told({"chain": 1, "drawn": 9, "diverging": 1, "step": 0.25})
    told({"chain": 0, "drawn": 15, "diverging": 1, "step": 0.5})
    assert seen == [
        (6, 30, "0 divergences"),
        (13, 30, "1 divergence, step size 0.5"),
        (22, 30, "2 divergences, step size 0.25"),
        (30, 30, "2 divergences, step size 0.25"),
    ]


def test_a_problem_crosses_to_a_worker_after_it_was_used():
    """Compiled functions stay behind."""
    problem = problem_of()
    before = problem.predict(problem.start).value
    again = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own
    np.testing.assert_array_equal(again.predict(again.start).value, before)


# ---- real sampling ---------------------------------------------------------------------------------------------------


def posterior_by_quadrature(problem):
    """Mean and SD of ln k from prior times likelihood on a grid: closed form of the model, no sampler."""
    prior = problem.free[0].prior
    z = np.linspace(np.log(0.02), np.log(0.6), 4001)
    f = 100 / 50 * np.exp(-np.exp(z)[:, None] * problem.rows.time)
    log_likelihood = -0.5 * np.sum(((np.log(problem.rows.value) - np.log(f)) / 0.3) ** 2, axis=1)
    log_posterior = log_likelihood + prior.log_density_free(z)
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= trapezoid(weight, z)
    mean = trapezoid(weight * z, z)
    return mean, np.sqrt(trapezoid(weight * (z - mean) ** 2, z))


def test_a_chain_finds_the_posterior(tmp_path):
    """One parameter, sampled in this process: mean and SD of ln k within 4 Monte Carlo errors of the quadrature."""
    problem = problem_of()
    passed = []
    compiled = compile_problem(problem, find_frame(problem), lambda: passed.append(1))
    place = Place(tmp_path)
    run_leg(compiled, Leg(0, 0, 5, 1500, 300), place, 0.9)
    theta, statistics = place.collected(1, 1500)
    z = np.log(theta[0, :, 0])
    mean, sd = posterior_by_quadrature(problem)
    error = sd / np.sqrt(len(z) / 3)  # as if every third draw were independent; NUTS does better here
    assert np.mean(z) == pytest.approx(mean, abs=4 * error)
    assert np.std(z) == pytest.approx(sd, abs=4 * error)
    assert not statistics["diverging"].any()
    assert statistics["energy"].shape == (1, 1500)
    assert len(passed) >= 1800  # every draw, warm-up included, reports that it passed


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws_on_one_core_and_on_two():
    """G3 through real workers."""
    problem = problem_of(free=("k", "V", "s"))
    one, two = (sample_chains(problem, draws=60, tune=60, chains=2, seed=11, cores=cores)[0] for cores in (1, 2))
    for name in problem.names:
        np.testing.assert_array_equal(one[name], two[name])
    other = sample_chains(problem, draws=60, tune=60, chains=2, seed=12, cores=2)[0]
    assert not np.allclose(one["k"], other["k"])


@pytest.mark.slow
def test_what_the_human_label_data_teach():
    """Four patients, three organs, two times: rho_L and k_XL are learned; blood, viability, death and release are not.

    Everything behind PGE2 and IL-10 is named as drawn from its prior.
    """
    described, data = load_model("two_functional_compartments", values="human_70kg"), read_study(HUMAN)
    result = fit(described, data, "nuts", draws=1000, tune=1000, chains=4, seed=1)
    assert result.converged, result.verdict
    table = result.summary().set_index("parameter")
    for name in ("rho_L", "k_XL"):
        assert table.loc[name, "learned"] > 0.9, name
    for name in ("k_B", "F_v", "k_L", "k_T", "phi_L", "phi_T"):
        assert table.loc[name, "learned"] < 0.1, name
    behind = {"q0", "k_Ploc", "s_P", "k_P", "CL_P", "EC50_P", "h_P", "k_on", "k_off", "Smax", "k_out10", "I10_0"}
    assert behind <= set(result.posterior.prior_only)
    for name in behind:
        assert table.loc[name, "learned"] == 0
        assert table.loc[name, "note"] == "prior only"
    assert any("prior only" in note and "Smax" in note for note in result.notes)
    # no row informs a prior and is fitted: what was read from this study has its wide prior
    assert table.loc["rho_L", "note"] == "wide prior"
    assert table.loc["f_XLi", "note"] == "wide prior"
    assert table.loc["rho_L", "lower"] < 0.34
    assert 0.003 < table.loc["k_XL", "estimate"] < 0.04
