"""A fit as a value: what it says about itself, and what is left of it on disk."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mscpkpd.data import study_from_frame
from mscpkpd.errors import FitError, InputError, UnknownName, UsageError
from mscpkpd.fitting.api import fit, load_fit
from mscpkpd.fitting.draws import Check, diagnose, highest_density, make_draws
from mscpkpd.fitting.sampled import from_prior
from mscpkpd.modelfile import load_model


@pytest.fixture(scope="module")
def mouse():
    return load_model("two_functional_compartments", values="mouse")


@pytest.fixture(scope="module")
def study():
    return study_from_frame(frame_of(), name="small")


def frame_of() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    time = np.repeat([1.0, 6.0, 24.0, 48.0], 4)
    value = 7.4e5 * np.exp(-0.033 * time + 0.1 * rng.standard_normal(16))
    return pd.DataFrame(
        {
            "subject": [f"m{k}" for k in range(16)], "time": time, "time_unit": "h", "output": "lung_cells",
            "value": value, "unit": "cells", "route": "iv", "dose": 1e6, "dose_unit": "cells",
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def quick(mouse, study):
    return fit(mouse, study, "least_squares")


@pytest.fixture
def sampled(mouse, study, monkeypatch):
    """A NUTS fit whose chains are drawn from the priors instead of sampled."""

    def from_priors(problem, *, draws, tune, chains, seed, progress=None, **_options):  # noqa: ARG001
        rng = np.random.default_rng(seed)
        posterior = {p.name: p.prior.sample(rng, chains * draws).reshape(chains, draws) for p in problem.free}
        stats = {"diverging": np.zeros((chains, draws), bool), "energy": rng.standard_normal((chains, draws))}
        return posterior, stats

    monkeypatch.setattr("mscpkpd.fitting.sampled.sample_chains", from_priors)
    return fit(mouse, study, "nuts", draws=300, chains=4, seed=2)


def test_least_squares_says_what_it_fixed_and_leaves_learned_empty(quick):
    """Estimates of what the design identifies; the rest has its reason; the table names its interval (S1, S3)."""
    table = quick.summary().set_index("parameter")
    assert quick.converged
    assert table.loc["k_L", "estimate"] == pytest.approx(0.033, rel=0.1)
    assert table["learned"].isna().all()
    assert "conditional on the values held" in "\n".join(quick.notes)
    assert "95% asymptotic interval" in table.attrs["interval"]
    assert "q0" in quick.uninformed


def with_a_missing_value(subject: str) -> pd.DataFrame:
    frame = frame_of()
    missing = frame.iloc[[3]].assign(subject=subject, time=30.0, value=np.nan)
    return pd.concat([frame.iloc[:7], missing, frame.iloc[7:]], ignore_index=True)


@pytest.mark.parametrize("subject", ["m3", "m99"])
def test_a_missing_value_changes_nothing(mouse, study, quick, subject):
    """Of a subject with other values, and of one without: the same rows, the same estimates to the last digit."""
    more = study_from_frame(with_a_missing_value(subject), name="small")
    assert [(r.subject, r.time, r.value) for r in more.records] == [(r.subject, r.time, r.value) for r in study.records]
    assert fit(mouse, more, "least_squares").estimates == quick.estimates


@pytest.mark.slow
def test_a_missing_value_changes_no_draw(mouse, study):
    options = {"draws": 40, "tune": 60, "chains": 2, "seed": 3, "free": ("k_L", "sigma_qPCR")}
    one = fit(mouse, study, "nuts", **options)
    two = fit(mouse, study_from_frame(with_a_missing_value("m99"), name="small"), "nuts", **options)
    np.testing.assert_array_equal(one.posterior.learned["k_L"], two.posterior.learned["k_L"])


def test_nuts_names_what_the_data_cannot_inform(sampled):
    """Uninformed parameters are drawn from their prior, listed with learned 0 and the note 'prior only'."""
    table = sampled.summary().set_index("parameter")
    assert table.loc["q0", "learned"] == 0
    assert table.loc["q0", "note"] == "prior only"
    assert "q0" in sampled.posterior.prior_only
    assert any("prior only" in note and "q0" in note for note in sampled.notes)
    # chains drawn from the prior have learned nothing: the ratio of variances is 1 up to its own error
    assert abs(table.loc["k_L", "learned"]) < 0.2


def test_the_draws_of_one_parameter_do_not_depend_on_the_others(mouse, sampled):
    """Prior-only draws have a stream per parameter (G3)."""
    again = from_prior(mouse, "q0", 2, (4, 300))
    np.testing.assert_array_equal(sampled.posterior.prior_only["q0"], again)


def test_a_run_folder_holds_everything_and_reads_back(quick, tmp_path):
    """Least squares: same table, draws, notes, checks, model and data."""
    quick.save(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"summary.csv", "draws.nc", "predictions.csv", "model.toml", "data.csv", "provenance.json"} <= names
    again = load_fit(tmp_path / "run")
    pd.testing.assert_frame_equal(again.summary(), quick.summary(), check_dtype=False)
    assert (again.model, again.checks, again.notes) == (quick.model, quick.checks, quick.notes)
    assert again.study.digest == quick.study.digest
    np.testing.assert_allclose(again.posterior.flat()["k_L"], quick.posterior.flat()["k_L"])
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert {"pymc", "arviz", "pydiffsol"} <= set(record["settings"]["versions"])


def test_a_sampled_run_reads_back_on_both_arviz_generations(sampled, tmp_path):
    """Draws, prior-only draws and the verdict survive."""
    sampled.save(tmp_path / "run")
    again = load_fit(tmp_path / "run")
    assert again.method == "nuts"
    assert again.verdict == sampled.verdict
    np.testing.assert_allclose(again.posterior.learned["k_L"], sampled.posterior.learned["k_L"])
    np.testing.assert_allclose(again.posterior.prior_only["q0"], sampled.posterior.prior_only["q0"])
    assert again.draws["posterior"]["k_L"].shape == (4, 300)


def test_samples_are_joint_and_complete(quick):
    """Every parameter of the model, constant where it has no distribution; no draw twice while there are enough."""
    values = quick.sample(10, seed=4)
    assert set(values) == set(quick.model.parameter_names)
    assert len(set(values["k_L"])) == 10
    assert len(set(values["q0"])) == 1
    np.testing.assert_array_equal(values["k_L"], quick.sample(10, seed=4)["k_L"])


def test_diagnostics_say_in_words_what_is_wrong():
    """Chains that disagree, divergences, low energy exchange: each a sentence with advice."""
    rng = np.random.default_rng(0)
    good = rng.standard_normal((4, 500))
    energy = rng.standard_normal((4, 500))
    table, checks = diagnose({"a": good}, {"diverging": np.zeros((4, 500), bool), "energy": energy})
    assert all(check.ok for check in checks)
    assert table.loc["a", "r_hat"] < 1.01
    apart = good + np.arange(4)[:, None]
    walk = np.cumsum(energy, axis=1)
    _, checks = diagnose({"a": apart}, {"diverging": np.ones((4, 500), bool), "energy": walk})
    failed = {check.name: check.sentence for check in checks if not check.ok}
    assert set(failed) == {"r_hat", "ess", "divergences", "e_bfmi"}
    assert "take more draws" in failed["r_hat"]
    assert "2000 divergent transitions" in failed["divergences"]
    assert "limit 0.3" in failed["e_bfmi"]


def test_one_chain_is_no_result():
    """Its draws may be perfect: nothing says so."""
    rng = np.random.default_rng(1)
    draws = {"k": rng.standard_normal((1, 1000))}
    table, checks = diagnose(draws, {"diverging": np.zeros((1, 1000), bool), "energy": rng.standard_normal((1, 1000))})
    failed = [check.sentence for check in checks if not check.ok]
    assert table.loc["k", "ess_bulk"] > 400
    assert len(failed) == 1
    assert "nothing says whether another chain would find the same; take 4." in failed[0]


def test_the_highest_density_interval_is_the_narrowest():
    """S8: for an exponential it starts at the smallest draws, unlike the central interval."""
    values = np.random.default_rng(1).exponential(size=20000)
    low, high = highest_density(values)
    assert low < 0.01
    # 95 % of an exponential lie below 3.0; three standard errors of that quantile are 0.09
    assert high == pytest.approx(-np.log(0.05), abs=0.1)


def test_a_fit_that_fails_its_checks_is_not_a_result(quick):
    """It says so first, and gives no samples."""
    import dataclasses

    failed = Check("ess", False, "Smallest effective sample size 12: take more draws.")
    bad = dataclasses.replace(quick, checks=(failed,))
    assert str(bad).splitlines()[1].startswith("NOT A RESULT: Smallest effective sample size 12")
    with pytest.raises(FitError, match="NOT A RESULT.*Try: more draws"):
        bad.sample(5)


def test_draws_are_an_ordinary_arviz_object():
    """Groups posterior and sample_stats, dimensions chain and draw."""
    draws = make_draws({"a": np.zeros((2, 5))}, {"energy": np.ones((2, 5))})
    assert draws["posterior"]["a"].dims == ("chain", "draw")
    assert draws["sample_stats"]["energy"].shape == (2, 5)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    """Missing and damaged files."""
    with pytest.raises(InputError, match="is no run folder.*Try: the folder given to fit --out"):
        load_fit(tmp_path)


def test_data_that_changed_after_the_fit_are_refused(quick, tmp_path):
    """A run folder is one thing: an edited table no longer belongs to its fit."""
    quick.save(tmp_path / "run")
    table = tmp_path / "run" / "data.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match=r"data.csv: the data have changed since the fit. Try: fit again, or restore"):
        load_fit(tmp_path / "run")


@pytest.mark.parametrize("name", ["summary.csv", "draws.nc", "model.toml", "data.csv", "provenance.json"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_damaged_run_is_an_error_with_a_name(quick, tmp_path, name, damage):
    """Any file of a run may be gone or overwritten: never a traceback of a library."""
    quick.save(tmp_path / "run")
    if damage == "missing":
        (tmp_path / "run" / name).unlink()
    else:
        (tmp_path / "run" / name).write_bytes(b"\x00\xff garbage")
    with pytest.raises(InputError, match="run|draws|data|model"):
        load_fit(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "nutts"}, UnknownName, "unknown method 'nutts'. Try: 'nuts'"),
        ({"free": ["k_l"]}, UnknownName, "unknown parameter 'k_l'. Try: 'k_L'"),
        ({"fix": {"kL": 1.0}}, UnknownName, "'kL'"),
        ({"free": ["k_L"], "fix": {"k_L": 0.1}}, UsageError, "k_L cannot be both free and fixed"),
        ({"free": ["q0"]}, UsageError, "no free parameter affects the observed outputs"),
        ({"method": "nuts", "draws": 0}, UsageError, "draws=0"),
    ],
)
def test_mistakes_are_named(mouse, study, options, error, message):
    """Each message says what was given and what to try."""
    with pytest.raises(error, match=message):
        fit(mouse, study, **options)
