"""The published evidence as one study: its tables, the rule that no row counts twice, and its fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import draw_evidence
import fit_evidence
import make_biodistribution_study
import numpy as np
import pandas as pd
import pytest

from mscpkpd.data import read_study, study_from_frame
from mscpkpd.fitting.api import fit
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.population import pose_population
from mscpkpd.problem import pose

ROOT = Path(__file__).parents[1]
DATA = library_path() / "data"
STUDY = DATA / "biodistribution_study.csv"


def table(name):
    return pd.read_csv(DATA / name, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def facts():
    """The facts by their line in the file."""
    found = table("biodistribution_evidence.csv")
    return found.set_index(np.arange(2, len(found) + 2))


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_the_tables_are_those_that_the_script_writes(tmp_path):
    make_biodistribution_study.write(tmp_path)
    for name in ("biodistribution_study.csv", "biodistribution_excluded.csv"):
        assert (tmp_path / name).read_text() == (DATA / name).read_text()


def test_every_fact_is_fitted_or_left_out_with_a_reason(facts):
    fitted, left = table("biodistribution_study.csv"), table("biodistribution_excluded.csv")
    lines = [*fitted["fact"], *left["fact"]]
    assert sorted(map(int, lines)) == list(facts.index)
    assert len(lines) == len(set(lines)) == 156
    assert (left["reason"].str.len() > 10).all()
    assert len(fitted) == 41
    assert (left["use"] == "fit").sum() == 64 - 41


def test_what_is_fitted_may_be_fitted(facts):
    for line in map(int, table("biodistribution_study.csv")["fact"]):
        fact = facts.loc[line]
        assert fact["use"] == "fit"
        assert fact["is_msc"] == "true"
        assert fact["provenance"] in ("read", "derived")


def test_numbers_are_those_of_the_facts(facts):
    scale = {"fold_change": 100.0}
    for row in table("biodistribution_study.csv").to_dict("records"):
        fact = facts.loc[int(row["fact"])]
        column = "n_positive" if row["quantity"] == "positive" else "value"
        assert float(row["value"]) * scale.get(row["quantity"], 1.0) == pytest.approx(float(fact[column]), rel=1e-12), (
            row["fact"]
        )
        for name in ("study", "species", "organ", "method"):
            assert row[name] == fact[name]
        assert row["evidence"] == fact["provenance"]
        assert row["source"] == fact["reference"]
        if fact["time_h"]:
            assert float(row["time"]) == float(fact["time_h"])
        if fact["dose"]:
            assert float(row["dose"]) == float(fact["dose"])
        else:
            assert "nominal" in row["note"] or "midpoint" in row["note"]
        if row["sd"] or row["stat"] == "range":
            assert (row["sd"], row["lower"], row["upper"]) == (fact["sd"], fact["lower"], fact["upper"])
        assert row["n"] in (fact["n"], "1" if row["quantity"] == "present" else fact["n"])


def test_a_window_that_was_not_read_is_said_to_be_assumed():
    rows = table("biodistribution_study.csv")
    lives = rows[rows["quantity"] == "half_life"]
    assert len(lives) == 2
    assert lives["note"].str.contains("window of the half-life not given").all()
    np.testing.assert_allclose(
        lives["time_to"].astype(float) - lives["time"].astype(float), lives["value"].astype(float)
    )


# ---- no row counts twice ---------------------------------------------------------------------------------------------


def test_no_prior_in_force_was_read_from_a_fitted_study():
    model, study = load_model("biodistribution"), read_study(STUDY)
    problem = pose(model, study)
    for free in problem.free:
        parameter = model.parameter(free.name)
        named = {key for key in study.studies if key in parameter.source} | set(parameter.prior_source)
        if named & set(study.studies):
            assert set(free.widened_for) == set(parameter.prior_source) & set(study.studies), free.name
            assert free.prior == parameter.prior_without, free.name
    assert {free.name for free in problem.free if free.widened_for} == {"k_L", "phi_L"}


def test_studies_are_a_level_and_species_have_their_own_lung_share():
    population = pose_population(load_model("biodistribution"), read_study(STUDY))
    assert {level.name: len(level.labels) for level in population.levels} == {"study": 7}
    assert len(population.group) == 7


def test_shapes_are_numbers_of_stages():
    """Erlang: with one mean life, more stages leave fewer cells late (known answer: 50 % after the median)."""
    from scipy.stats import gamma

    from mscpkpd.dosing import bolus
    from mscpkpd.simulation import simulate

    for stages in (1, 3, 5):
        model = load_model("biodistribution", stages={"lung": stages, "bed": stages}).fix(eps_bed=0.99, F_v=1.0)
        sims = simulate(model, bolus("1e6 cells", "ia"), times=[24.0, 72.0], outputs=["bed_cells"])
        left = sims["bed_cells"].to_numpy().squeeze() / 0.99e6
        np.testing.assert_allclose(left, gamma(stages, scale=1 / (stages * 0.0289)).sf([24.0, 72.0]), rtol=1e-6)


# ---- the fit ---------------------------------------------------------------------------------------------------------


def test_the_mode_is_found_where_half_lives_say_it():
    """Two half-lives of 24 h and 21 h and 14 % left after 72 h: about a day."""
    rows = table("biodistribution_study.csv")
    few = rows[rows["study"].isin(("wuttisarnwattana_2020", "toma_2009"))]
    found = fit(load_model("biodistribution"), study_from_frame(few), "map", free=["k_L", "eps_bed"], random=False)
    assert found.converged
    assert 20 < np.log(2) / found.estimates["k_L"] < 28
    assert found.estimates["eps_bed"] == pytest.approx(0.92, abs=0.03)


@pytest.mark.slow
def test_the_evidence_is_sampled_within_the_limits():
    """R-hat at most 1.01, ESS at least 400, no divergences: `Fit.converged` is just that."""
    found, ran = fit_evidence.sampled(1, "", fit_evidence.Length(), quick=False)
    assert found.converged
    assert ran["r_hat"][0] <= 1.01
    assert ran["ess"][0] >= 400
    assert ran["divergences"][0] == 0


@pytest.mark.slow
def test_the_script_runs_in_a_quick_form_and_reads_what_it_kept(tmp_path):
    """Tables, and figures that say QUICK; a second call reads the fits of the first."""
    command = [sys.executable, str(ROOT / "scripts" / "fit_evidence.py"), "--quick", "--stages", "2"]
    command += ["--refit", "assis_2010", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    kept = {path: path.stat().st_mtime for path in tmp_path.glob("runs/*/draws.nc")}
    assert len(kept) == 3
    subprocess.run(command, check=True)
    assert {path: path.stat().st_mtime for path in tmp_path.glob("runs/*/draws.nc")} == kept
    runs = pd.read_csv(tmp_path / "runs.csv", keep_default_na=False)
    assert list(runs["without"]) == ["", "assis_2010", ""]
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert len(rows) == 41
    assert set(rows.loc[rows["held_out_lower"].notna(), "study"]) == {"assis_2010"}
    assert list(pd.read_csv(tmp_path / "stages.csv")["stages"]) == [1, 2]
    draw_evidence.figures(draw_evidence.read(tmp_path), tmp_path, quick=True)
    for name in ("posterior", "rows", "studies", "stages"):
        assert (tmp_path / f"evidence_{name}.png").stat().st_size > 10_000


def test_evidence_of_two_normal_posteriors_is_told_from_their_draws(monkeypatch):
    """Bennett's ratio against the closed form: likelihoods exp(-x^2/2s^2) under one normal prior."""
    rng, wide = np.random.default_rng(0), (1.0, 0.3)
    monkeypatch.setattr(fit_evidence, "log_likelihood", lambda s, draws: -0.5 * (draws.x / s) ** 2)
    sides = []
    for s in wide:
        sd = 1 / np.sqrt(1 + 1 / s**2)
        sides.append(SimpleNamespace(population=s, x=sd * rng.standard_normal(4000)))
    found, error = fit_evidence.log_ratio(*sides, chains=4)
    exact = -0.5 * np.log1p(1 / wide[1] ** 2) + 0.5 * np.log1p(1 / wide[0] ** 2)
    assert error < 0.05
    assert found == pytest.approx(exact, abs=0.1)
    alone, unknown = fit_evidence.log_ratio(*sides, chains=1)
    assert alone == found
    assert np.isnan(unknown)
