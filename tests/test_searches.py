"""Several starts and bootstrap samples: what they find, that they say it, and that processors change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mscpkpd.errors import UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.least_squares import estimate
from mscpkpd.fitting.resampling import Samples, strata
from mscpkpd.fitting.searches import APART, End, Ends, Searches, _start
from mscpkpd.problem import pose
from reference.small_models import model, one_compartment, parameter, route, study

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0])


def rows(values, times=TIMES, **more):
    return [
        {"time": t, "output": "conc", "value": y, "unit": "mg/L", **more} for t, y in zip(times, values, strict=True)
    ]


def animals(n=8, sd=0.3, seed=2, each=None):
    """Serial subjects with a level of their own; `each` keeps one time of each (destructive)."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        own = 100 / 41 * np.exp(-0.17 * TIMES + sd * rng.standard_normal() + 0.1 * rng.standard_normal(len(TIMES)))
        keep = slice(None) if each is None else [k % each]
        made += rows(own[keep], TIMES[keep], subject=f"m{k:02d}")
    return made


# ---- several starts --------------------------------------------------------------------------------------------------


def test_one_optimum_is_reached_from_everywhere():
    """A smooth problem with one optimum: all starts agree with the first, and the note says so."""
    data = study(*animals(2))
    one = fit(one_compartment(), data, "least_squares", free=("k", "V", "s"))
    found = fit(one_compartment(), data, "least_squares", free=("k", "V", "s"), starts=5, cores=1)
    assert found.estimates == pytest.approx(one.estimates, rel=1e-6)
    assert any(note.startswith("5 of 5 starts reached the best optimum") for note in found.notes)
    assert found.settings["starts"] == 5
    assert found.converged


def test_ends_are_counted_and_told_apart():
    """Reached, worse, nowhere; an optimum that is no worse and far away makes the fit undetermined."""
    errors = np.array([0.1, 0.1])

    def ends(*pairs):
        return Ends(tuple(End(k, m, np.array(z, float)) for k, (m, z) in enumerate(pairs)), errors, ("a", "b"))

    plain = ends((10.0, (1, 2)), (10.005, (1.01, 2)), (14.0, (3, 3)), (np.inf, (np.nan, np.nan)))
    assert plain.sentence == (
        "2 of 4 starts reached the best optimum (minus2ll 10.00); 1 ended elsewhere, the best of them 4 above it; "
        "1 ended nowhere."
    )
    assert plain.twins == ()
    twins = ends((10.0, (1, 2)), (10.0, (1, 2 + 1.01 * APART * 0.1)))
    assert twins.twins == ("b",)
    assert "other values of b fit as well" in twins.sentence
    assert "take more" in ends((10.0, (1, 2)), (14.0, (3, 3))).sentence


def test_rates_that_can_be_swapped_are_found_out():
    """Flip-flop: absorption and elimination exchange roles where V is free, and both fits are equally good."""
    described = model(
        {"depot": "-ka*depot", "central": "ka*depot - k*central"},
        [
            parameter("ka", 1.0, "1/h", "lognormal(0.5, 1.5)"), parameter("k", 0.2, "1/h", "lognormal(0.5, 1.5)"),
            parameter("V", 40.0, "L", "lognormal(40, 1.5)"), parameter("s", 0.1, "1", "lognormal(0.1, 1)"),
        ],
        routes=[route("iv", {"depot": "1"})],
        outputs={"conc": ("central/V", "mg/L", "lognormal(s)")},
    )  # fmt: skip
    ka, k, v = 1.0, 0.2, 40.0
    rng = np.random.default_rng(0)
    f = 100 / v * ka / (ka - k) * (np.exp(-k * TIMES) - np.exp(-ka * TIMES))
    data = study(*rows(f * np.exp(0.05 * rng.standard_normal(len(TIMES)))))
    problem = pose(described, data)
    one = estimate(problem, ("ka", "k", "V"))
    assert one.success
    found = fit(described, data, "least_squares", free=("ka", "k", "V", "s"), starts=8, cores=1)
    assert not found.converged
    assert "other values of ka, k, V fit as well" in found.verdict


def test_starts_do_not_depend_on_the_processors():
    """Each start has a stream of its own, from the seed and its number."""
    problem = pose(one_compartment(), study(*animals(2)))
    starts = [(k, _start(problem, ("k", "V"), 3, k)) for k in range(1, 4)]
    whole = Searches(problem, ("k", "V"), tuple(starts)).run(lambda **_: None)
    split = [Searches(problem, ("k", "V"), (one,)).run(lambda **_: None)[0] for one in reversed(starts)]
    assert [end.minus2ll for end in whole] == [end.minus2ll for end in reversed(split)]
    assert len({tuple(theta) for _, theta in starts}) == 3
    assert not np.allclose(_start(problem, ("k", "V"), 4, 1), starts[0][1])
    assert starts[0][1][problem.names.index("s")] == problem.start[problem.names.index("s")]


# ---- bootstrap -------------------------------------------------------------------------------------------------------


def test_what_is_drawn_again():
    """Subjects within their doses; animals within each time where each has one; rows where subjects are few."""
    serial = [{**row, "dose": "100 mg" if row["subject"] < "m04" else "200 mg"} for row in animals(8)]
    unit, found = strata(pose(one_compartment(), study(*serial)))
    assert unit == "subjects"
    assert [len(stratum) for stratum in found] == [4, 4]
    assert all(len(own) == len(TIMES) for stratum in found for own in stratum)
    unit, found = strata(pose(one_compartment(), study(*animals(24, each=8))))
    assert unit == "animals, within each time"
    assert [len(stratum) for stratum in found] == [3] * 8
    unit, found = strata(pose(one_compartment(), study(*animals(2))))
    assert (unit, [len(stratum) for stratum in found]) == ("rows", [16])
    with pytest.raises(UsageError, match="3 rows are too few for a bootstrap"):
        strata(pose(one_compartment(), study(*rows([2.0, 1.0, 0.5], TIMES[:3]))))


def test_rows_that_count_twice_are_rows_written_twice():
    """Estimates, errors, noise and degrees of freedom are those of the study with the rows repeated."""
    made = animals(3)
    times = np.tile([2.0, 0.0, 1.0], (8, 1)).T.reshape(-1)
    problem = pose(one_compartment(), study(*made))
    found = estimate(problem, ("k", "V"), times)
    twice = [
        dict(row, subject=f"{row['subject']}-{k}") for row, n in zip(made, times, strict=True) for k in range(int(n))
    ]
    written = estimate(pose(one_compartment(), study(*twice)), ("k", "V"))
    np.testing.assert_allclose(found.free_values, written.free_values, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, written.covariance, rtol=1e-5)
    assert found.noise == pytest.approx(written.noise, rel=1e-5)
    assert found.degrees == written.degrees == 22


def test_bootstrap_samples_do_not_depend_on_the_processors():
    problem = pose(one_compartment(), study(*animals(6)))
    _, units = strata(problem)
    whole = Samples(problem, ("k", "V"), units, (0, 1, 2), 5).run(lambda **_: None)
    split = [Samples(problem, ("k", "V"), units, (k,), 5).run(lambda **_: None)[0] for k in (2, 0, 1)]
    assert whole == sorted(split)
    assert len({values["k"] for _, values in whole}) == 3
    other = Samples(problem, ("k", "V"), units, (0,), 6).run(lambda **_: None)
    assert other != whole[:1]


def test_the_bootstrap_sees_what_the_curvature_cannot():
    """Levels differ between subjects by 0.3, rows of one by 0.1: drawn by subject, V is as uncertain as it is.

    The mean of ln V over 8 subjects has an error of 0.3/sqrt(8) = 0.11; the curvature takes 64 independent rows and
    says a third of it. Within 45 %: 60 samples of 8 subjects.
    """
    data = study(*animals(8, sd=0.3, seed=4))
    plain = fit(one_compartment(), data, "least_squares", free=("k", "V", "s"))
    found = fit(one_compartment(), data, "least_squares", free=("k", "V", "s"), bootstrap=60, cores=1, seed=1)
    assert found.converged
    assert found.table.attrs["interval"] == "optimum with 95% percentile interval of 60 bootstrap samples (subjects)"
    table, asymptotic = (each.table.set_index("parameter") for each in (found, plain))
    levels = [
        np.log(100) - np.mean(np.log([r["value"] for r in animals(8, sd=0.3, seed=4)[k * 8 : k * 8 + 8]]))
        for k in range(8)
    ]
    truth = np.std(levels, ddof=1) / np.sqrt(8)
    assert table.loc["V", "sd"] / table.loc["V", "estimate"] == pytest.approx(truth, rel=0.45)
    assert table.loc["V", "sd"] > 1.3 * asymptotic.loc["V", "sd"]
    assert table.loc["V", "lower"] < table.loc["V", "estimate"] < table.loc["V", "upper"]
    assert table.loc["s", "lower"] < table.loc["s", "upper"]
    assert found.posterior.learned["V"].shape == (1, 60)
    assert found.settings["bootstrap"] == 60


def test_only_least_squares_takes_them():
    with pytest.raises(UsageError, match="starts=3, bootstrap=0 with map"):
        fit(one_compartment(), study(*animals(2)), "map", starts=3)
