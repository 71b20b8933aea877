"""Simulation-based calibration: even ranks pass, posteriors that are wrong in any way do not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest

from mscpkpd.calibration import calibrate, experiment, runs, truths
from mscpkpd.calibration.ranks import LEVEL, Calibration, band, judged, rank_of, unevenness
from mscpkpd.cli.app import run
from mscpkpd.data import study_from_frame
from mscpkpd.designs import Design
from mscpkpd.dosing import bolus
from mscpkpd.errors import InputError, UsageError
from mscpkpd.plots import rank_plots
from reference.small_models import model, parameter

DRAWS = 99


# ---- ranks and their band ------------------------------------------------------------------------------------------


def test_a_truth_below_and_above_all_draws_has_the_first_and_the_last_rank():
    rng, draws = np.random.default_rng(0), np.linspace(0.0, 1.0, 500)
    assert rank_of(-1.0, draws, DRAWS, rng) == 0
    assert rank_of(2.0, draws, DRAWS, rng) == DRAWS
    assert rank_of(0.5001, draws, DRAWS, rng) in (49, 50)


def test_ties_are_broken_at_random():
    rng = np.random.default_rng(1)
    found = {rank_of(1.0, np.ones(200), 4, rng) for _ in range(200)}
    assert found == {0, 1, 2, 3, 4}


def test_unevenness_is_the_least_tail_of_the_cumulative_numbers():
    """By hand: three ranks of 0..3, all 0."""
    tails = [binom.sf(2, 3, share) for share in (0.25, 0.5, 0.75)]
    assert unevenness(np.array([0, 0, 0]), 3) == pytest.approx(2 * min(tails))


def test_even_ranks_stay_in_the_band_as_often_as_it_says():
    """1000 sets of 100 even ranks: those that leave the 95 % band anywhere are binomial, and those with p < 0.05."""
    rng, n, repeats = np.random.default_rng(2), 100, 1000
    lower, upper = band(n, DRAWS, level=0.95)
    outside, small = 0, 0
    for _ in range(repeats):
        ranks = rng.integers(0, DRAWS + 1, n)
        reached = np.cumsum(np.bincount(ranks, minlength=DRAWS + 1))[:-1] / n
        left = bool(np.any((reached < lower - 1e-12) | (reached > upper + 1e-12)))
        outside += left
        table = pd.DataFrame(
            {"study": range(n), "quantity": "k", "truth": ranks, "rank": ranks, "mean": 0.0, "sd": 1.0}
        )
        small += bool(judged(table, DRAWS)["p"][0] < 0.05)
    low, high = binom.interval(0.999, repeats, 0.05)
    assert low <= outside <= high
    assert low <= small <= high


def wrongly_ranked(rng, n, shift=0.0, widen=1.0):
    """Ranks of normal truths whose posterior is shifted, or too wide."""
    centre = rng.standard_normal(n)
    truth = centre + rng.standard_normal(n)
    draws = centre[:, None] + shift + widen * rng.standard_normal((n, DRAWS))
    return pd.DataFrame(
        {"study": range(n), "quantity": "k", "truth": truth, "rank": np.sum(draws < truth[:, None], axis=1),
         "mean": draws.mean(axis=1), "sd": draws.std(axis=1)}
    )  # fmt: skip


@pytest.mark.parametrize(("wrong", "even"), [({}, True), ({"shift": 0.5}, False), ({"widen": 0.6}, False),
                                             ({"widen": 1.8}, False)])  # fmt: skip
def test_a_posterior_that_is_off_or_of_the_wrong_width_is_seen(wrong, even):
    table = judged(wrongly_ranked(np.random.default_rng(3), 200, **wrong), DRAWS)
    assert bool(table["even"][0]) is even


def test_coverage_and_shrinkage_are_those_of_the_draws():
    """Prior variance 2, posterior variance 1: half of it is gone; intervals hold the truth as often as they say."""
    table = judged(wrongly_ranked(np.random.default_rng(4), 4000), DRAWS).iloc[0]
    assert table["covered_90"] == pytest.approx(0.9, abs=0.02)
    assert table["covered_50"] == pytest.approx(0.5, abs=0.03)
    assert table["shrinkage"] == pytest.approx(0.5, abs=0.05)
    assert table["bias"] == pytest.approx(0.0, abs=0.05)


def test_many_quantities_are_judged_together():
    """The same ranks are less surprising as one of twenty, and the band is wider."""
    one = wrongly_ranked(np.random.default_rng(5), 100, shift=0.2)
    many = pd.concat([one.assign(quantity=f"q{k}") for k in range(20)])
    assert judged(many, DRAWS)["p_adjusted"][0] == pytest.approx(min(1.0, 20 * judged(one, DRAWS)["p"][0]))
    assert np.all(band(100, DRAWS, 20)[1] >= band(100, DRAWS)[1])


# ---- whole runs, with a posterior that is known in closed form -----------------------------------------------------


def constant_model():
    """One output that is the parameter itself, normal prior and noise: the posterior is normal."""
    return model(
        {"a": "-a*rate"},
        (parameter("k", 2.0, "mg", "normal(2, 1)"), parameter("s", 0.5, "mg"), parameter("rate", 1.0, "1/h")),
        outputs={"y": ("k", "mg", "additive(s)")},
    )  # fmt: skip


def conjugate(widen=1.0, failing=()):
    """Stands for `fit`: exact draws of the posterior of k, or wider ones; some studies do not converge."""

    def fitted(_model, study, _method, *, seed, draws, chains, **_):
        y = np.array([record.value for record in study.records])
        precision = 1 + len(y) / 0.25
        mean, sd = (2 + y.sum() / 0.25) / precision, widen / np.sqrt(precision)
        normal = np.random.default_rng(seed).normal(mean, sd, draws * chains)
        ok = round(float(y[0]), 6) not in failing
        return SimpleNamespace(
            converged=ok, verdict="NOT A RESULT: R-hat", posterior=SimpleNamespace(flat=lambda: {"k": normal})
        )

    return fitted


DESIGN = Design(bolus("1 mg", "iv"), ("y",), (1.0, 2.0, 3.0))


@pytest.fixture
def design():
    """Three values of one subject, without a dose."""
    rows = [
        {
            "subject": "a",
            "time": t,
            "time_unit": "h",
            "output": "y",
            "value": 1.0,
            "unit": "mg",
            "dose": 0.0,
            "dose_unit": "mg",
            "route": "iv",
        }
        for t in (1, 2, 3)
    ]
    return study_from_frame(pd.DataFrame(rows))


def test_an_exact_posterior_passes(design, monkeypatch):
    monkeypatch.setattr(experiment, "fit", conjugate())
    found = calibrate(constant_model(), design, 200, cores=1, method="map")
    assert found.passed, str(found)
    assert found.verdict.startswith("Calibrated as far as 200 studies can tell")
    assert kstest((found.ranks["rank"] + 0.5) / 100, "uniform").pvalue > 1e-3
    assert found.table["shrinkage"][0] == pytest.approx(1 - 1 / 13, abs=0.04)


def test_a_posterior_that_is_too_narrow_does_not(design, monkeypatch):
    monkeypatch.setattr(experiment, "fit", conjugate(widen=0.6))
    found = calibrate(constant_model(), design, 200, cores=1, method="map")
    assert not found.passed
    assert found.verdict == "NOT CALIBRATED: the ranks of k are uneven over 200 studies."


def test_a_run_goes_on_where_it_stopped(design, monkeypatch, tmp_path):
    """Killed after some studies, with a line half written: the same numbers, and no study is fitted twice."""
    counted = []
    once = conjugate()

    def fitted(*args, **options):
        counted.append(1)
        return once(*args, **options)

    monkeypatch.setattr(experiment, "fit", fitted)
    whole = calibrate(constant_model(), design, 30, cores=1, method="map", folder=tmp_path / "run")
    kept = tmp_path / "run" / runs.DONE
    lines = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join(lines[:20]) + lines[20][:15])
    counted.clear()
    again = calibrate(constant_model(), design, 30, cores=1, method="map", folder=tmp_path / "run")
    assert len(counted) == 10
    pd.testing.assert_frame_equal(again.ranks, whole.ranks)
    assert all(json.loads(line) for line in kept.read_text().splitlines() if line.endswith("}"))
    more = calibrate(constant_model(), design, 40, cores=1, method="map", folder=tmp_path / "run")
    pd.testing.assert_frame_equal(more.ranks[more.ranks["study"] < 30], whole.ranks)
    with pytest.raises(InputError, match="of another model, design or settings"):
        calibrate(constant_model(), design, 30, cores=1, method="map", folder=tmp_path / "run", seed=1)


def test_studies_that_fail_are_counted_against_the_model(design, monkeypatch):
    def failing(*args, **options):
        found = conjugate()(*args, **options)
        found.converged = options["seed"] % 4 != 0
        return found

    monkeypatch.setattr(experiment, "fit", failing)
    found = calibrate(constant_model(), design, 40, cores=1, method="map")
    assert not found.passed
    assert found.verdict.startswith("NOT A RESULT: ")
    assert "studies could not be fitted" in found.verdict
    assert set(found.failures.values()) == {"NOT A RESULT: R-hat"}


@pytest.mark.parametrize(("unit", "limit"), [("mg", 2.0), ("ug", 2000.0)])
def test_limits_of_the_design_hold_for_its_replicates(unit, limit):
    """A row below a limit in the template makes rows below that limit, and none below it that are quantified."""
    rows = [{"subject": "a", "time": t, "time_unit": "h", "output": "y", "value": limit, "upper": limit, "unit": unit,
             "censoring": "left", "dose": 0.0, "dose_unit": "mg", "route": "iv"} for t in range(1, 40)]  # fmt: skip
    from mscpkpd.problem import pose

    problem = pose(constant_model(), study_from_frame(pd.DataFrame(rows)))
    made = truths.simulated_study(problem, np.full(39, 2.0), problem.values(np.array([2.0])), np.random.default_rng(1))
    low = [record for record in made.records if record.kind == "left"]
    assert 5 < len(low) < 34
    assert all(record.value == 2.0 for record in low)
    assert all(record.value >= 2.0 for record in made.records if record.kind == "value")
    assert made.synthetic
    assert "SYNTHETIC" in made.name


def test_a_design_without_values_is_enough(monkeypatch):
    """Designs have no limits; the outputs of a shipped model are simulated at its times."""
    seen = []

    def fitted(_model, study, *_, **options):
        seen.append(study)
        names = ("CL", "V1", "KA", "F", "D1", "sigma_conc")
        flat = {name: np.full(options["draws"] * options["chains"], 1.0) for name in names}
        return SimpleNamespace(converged=True, verdict="", posterior=SimpleNamespace(flat=lambda: flat))

    from mscpkpd.modelfile import load_model

    monkeypatch.setattr(experiment, "fit", fitted)
    calibrate(load_model("pk_one_compartment"), Design(bolus("100 mg", "iv"), ("conc",), (1, 8, 24)), 20, cores=1,
              method="map")  # fmt: skip
    assert [record.time for record in seen[0].records] == [1.0, 8.0, 24.0]
    assert len({record.value for study in seen for record in study.records}) == 60


def test_one_and_two_processors_give_the_same_ranks(design):
    """Real fits by least squares in worker processes."""
    described = constant_model()
    one, two = (calibrate(described, design, 20, method="least_squares", cores=cores) for cores in (1, 2))
    pd.testing.assert_frame_equal(one.ranks, two.ranks)


def test_too_few_studies_are_refused(design):
    with pytest.raises(UsageError, match="5 studies"):
        calibrate(constant_model(), design, 5)


def test_the_figure_says_that_its_data_are_invented():
    ranks = pd.concat(
        [wrongly_ranked(np.random.default_rng(k), 100, shift=0.4 * k).assign(quantity=f"q{k}") for k in (0, 1)]
    )
    found = Calibration(ranks, judged(ranks, DRAWS), {}, DRAWS, {})
    texts = [text.get_text() for text in rank_plots(found).texts]
    assert "SYNTHETIC" in texts
    assert any("NOT CALIBRATED: the ranks of q1" in text for text in texts)
    assert LEVEL == 0.99


def test_the_shell_keeps_what_it_has_and_tells_by_its_status(tmp_path, monkeypatch, capsys):
    """0 where the ranks are even, 3 where they are not."""
    table = tmp_path / "design.csv"
    table.write_text(
        "subject,time,time_unit,output,value,unit,dose,dose_unit,route,dose_time\n"
        + "".join(f"a,{t},h,conc,1,mg/L,100,mg,iv,0\n" for t in (1, 8, 24))
    )

    def fitted(_model, _study, _method, *, seed, draws, chains, **_):
        rng = np.random.default_rng(seed)
        flat = {name: rng.uniform(0, 1e-9, draws * chains) for name in ("CL", "V1", "KA", "F", "D1", "sigma_conc")}
        return SimpleNamespace(converged=True, verdict="", posterior=SimpleNamespace(flat=lambda: flat))

    monkeypatch.setattr(experiment, "fit", fitted)
    arguments = [
        "calibrate",
        "pk_one_compartment",
        str(table),
        "--n",
        "25",
        "--cores",
        "1",
        "--method",
        "map",
        "--out",
        str(tmp_path / "sbc"),
    ]
    assert run(arguments) == 3
    assert capsys.readouterr().out.startswith("NOT CALIBRATED")
    written = {path.name for path in (tmp_path / "sbc").iterdir()}
    assert {"ranks_SYNTHETIC.csv", "calibration_SYNTHETIC.csv", "ranks_SYNTHETIC.png"} <= written
