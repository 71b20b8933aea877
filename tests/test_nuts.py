"""Sampling in worker processes: streams, order, progress, last words; and the posterior itself against quadrature."""

from __future__ import annotations

import os
import pickle
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import trapezoid

from mscpkpd.data import read_study
from mscpkpd.errors import FitError
from mscpkpd.fitting import nuts
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.chain import compile_problem, run_chain
from mscpkpd.fitting.frame import Frame, find_frame
from mscpkpd.fitting.nuts import sample_chains
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


@pytest.fixture
def frame_of_priors(monkeypatch):
    """No search for the mode: the frame is not what is tested."""

    def found(problem):
        moments = np.array([p.prior.free_moments() for p in problem.free])
        return Frame(moments[:, 0], np.diag(moments[:, 1]))

    monkeypatch.setattr(nuts, "find_frame", found)


@pytest.fixture
def worker(tmp_path, monkeypatch, frame_of_priors):  # noqa: ARG001 - a worker needs no mode
    """Put a program in the place of the workers; it sees the job as `job` and its folder as `folder`."""

    def job(problem, frame, draws, tune, target_accept, chains, folder):  # noqa: ARG001 - those of the real one
        # plain, so that the program starts without importing this package
        return SimpleNamespace(draws=draws, tune=tune, chains=chains, folder=folder)

    def install(body):
        monkeypatch.setattr(nuts, "Job", job)
        script = tmp_path / "worker"
        text = f"#!{sys.executable} -IS\n" + textwrap.dedent(
            """
            import json, pickle, sys
            from pathlib import Path
            job = pickle.loads(Path(sys.argv[-1]).read_bytes())
            folder = Path(job.folder)
            """
        )
        script.write_text(text + textwrap.dedent(body))
        script.chmod(0o755)
        monkeypatch.setattr(nuts.sys, "executable", str(script))

    return install


DRAWS_ARE_SEEDS = """
    for number, seed in job.chains:
        result = {"k": [[float(seed)] * job.draws]}, {"chain": [[number] * job.draws]}
        print(json.dumps({"chain": number, "drawn": 1}), flush=True)
        print("not for the parent", flush=True)
        (folder / f"chain-{number}.pickle").write_bytes(pickle.dumps(result))
        print(json.dumps({"chain": number, "drawn": job.draws + job.tune}), flush=True)
"""


def test_each_chain_has_a_stream_of_its_own_on_any_number_of_workers(worker):
    """G3: seeds and the order of the chains do not depend on the number of processes, nor on the number of chains."""
    worker(DRAWS_ARE_SEEDS)
    found = {}
    for cores in (1, 2, 3, 8):
        posterior, stats = sample_chains(problem_of(), draws=2, tune=1, chains=3, seed=7, cores=cores)
        assert posterior["k"].shape == (3, 2)
        assert stats["chain"][:, 0].tolist() == [0, 1, 2]
        found[cores] = posterior["k"][:, 0].tolist()
    assert found[1] == found[2] == found[3] == found[8]
    assert len(set(found[1])) == 3
    fewer, _ = sample_chains(problem_of(), draws=2, tune=1, chains=2, seed=7, cores=1)
    assert fewer["k"][:, 0].tolist() == found[1][:2]
    other, _ = sample_chains(problem_of(), draws=2, tune=1, chains=3, seed=8, cores=1)
    assert not set(other["k"][:, 0]) & set(found[1])


def test_progress_is_over_all_chains_and_ends_at_all_draws(worker):
    """Warm-up included; what a worker prints besides its reports is not for the caller."""
    worker(DRAWS_ARE_SEEDS)
    seen = []
    sample_chains(problem_of(), draws=5, tune=3, chains=2, seed=1, cores=1, progress=lambda *n: seen.append(n))
    assert seen == [(1, 16), (8, 16), (9, 16), (16, 16)]


def test_a_worker_that_stops_is_quoted(worker):
    """The status and the last line of its complaint, not a traceback of the parent."""
    worker(
        """
        sys.stderr.write("Traceback\\n  much text\\nMemoryError: no room\\n")
        sys.exit(5)
        """
    )
    with pytest.raises(FitError, match="a sampling process stopped with status 5: MemoryError: no room"):
        sample_chains(problem_of(), draws=2, tune=1, chains=2, seed=7, cores=2)


def test_a_silent_death_is_named_too(worker):
    worker("sys.exit(3)")
    with pytest.raises(FitError, match="stopped with status 3: no message"):
        sample_chains(problem_of(), draws=2, tune=1, chains=1, seed=7, cores=1)


def test_an_interrupt_ends_the_workers(worker, tmp_path):
    """Whatever stops the parent, no process is left behind."""
    worker(
        f"""
        import os, time
        Path({str(tmp_path)!r}, f"pid-{{job.chains[0][0]}}").write_text(str(os.getpid()))
        print(json.dumps({{"chain": job.chains[0][0], "drawn": 1}}), flush=True)
        time.sleep(600)
        """
    )

    def interrupt(*_):
        if len(list(tmp_path.glob("pid-*"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        # the second worker reports after the first, so that both have started when the parent is interrupted
        sample_chains(problem_of(), draws=2, tune=1, chains=2, seed=7, cores=2, progress=interrupt)
    for file in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


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


def test_a_chain_finds_the_posterior():
    """One parameter, sampled in this process: mean and SD of ln k within 4 Monte Carlo errors of the quadrature."""
    problem = problem_of()
    passed = []
    compiled = compile_problem(problem, find_frame(problem), lambda: passed.append(1))
    job = SimpleNamespace(problem=problem, draws=1500, tune=300, target_accept=0.9)
    posterior, statistics = run_chain(compiled, job, 5)
    z = np.log(posterior["k"][0])
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
