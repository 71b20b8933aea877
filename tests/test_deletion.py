"""Subjects left out of a population fit by a step from its maximum, against fits without them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mscpkpd.data import Study, read_study
from mscpkpd.diagnostics.influence import influence_on_maximum, maximum_of
from mscpkpd.diagnostics.posterior import population_of
from mscpkpd.diagnostics.verdicts import of_subjects_left_out
from mscpkpd.errors import FitError, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.deletion import clusters_by, deleted
from mscpkpd.fitting.focei import maximize, maximum_at
from mscpkpd.fitting.marginal import Marginal
from mscpkpd.model import Covariance, Variability
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.plots.diagnosis import influence_plot
from mscpkpd.population import pose_population
from population_models import grid, linear, one_compartment, table
from test_marginal import varied

TIMES = (0.5, 2.0, 5.0, 11.0)
BOTH = tuple(Variability(name, "subject", 0.3) for name in ("c0", "slope"))


@pytest.fixture(scope="module")
def study() -> Study:
    return read_study(library_path() / "data" / "theophylline_boeckmann_1994.csv")


@pytest.fixture(scope="module", params=["focei", "map"])
def fitted(study, request):
    return fit(load_model("theophylline"), study, request.param)


def without(study: Study, subject: str) -> Study:
    return dataclasses.replace(study, records=tuple(r for r in study.records if r.subject != subject))


def test_a_step_is_a_fit_without_the_subject_or_says_that_it_is_not(fitted, study):
    """Of subject 03 the step is the fit to 5 % of an SD; of 09, who absorbs fastest, it is not, and is not trusted."""
    population = population_of(fitted)
    whole = maximum_of(fitted, population)
    found = influence_on_maximum(fitted, population, whole).set_index("subject")
    assert sorted(found.index) == [f"{k:02d}" for k in range(1, 13)]
    approximation = fitted.settings["approximation"]
    parts = clusters_by(population, approximation, list(population.problem.rows.subject))
    steps = deleted(population, whole, approximation, list(parts.values()))
    errors = np.sqrt(np.diag(whole.covariance))
    for subject, trusted in (("03", True), ("09", False)):
        again = fit(load_model("theophylline"), without(study, subject), fitted.method)
        x = whole.coordinates.vector(again.estimates)
        left = list(parts).index(subject)
        assert found.loc[subject, "trusted"] == steps.trusted[left] == trusted
        if trusted:
            np.testing.assert_allclose(steps.x[left], x, atol=0.05 * float(errors.min()))
            elpd = -0.5 * Marginal(population, approximation).at(x).contribution[parts[subject]].sum()
            assert steps.elpd[left] == pytest.approx(elpd, abs=0.05)
            assert found.loc[subject, "elpd"] == pytest.approx(steps.elpd[left], abs=1e-6)
            most = found.loc[subject, "parameter"]
            change = 100 * (again.estimates[most] / fitted.estimates[most] - 1)
            assert found.loc[subject, "change"] == pytest.approx(change, abs=0.5)


def test_a_population_fit_is_told_who_pulls(study):
    found = fit(load_model("theophylline"), study, "focei").check(count=500)
    verdicts = {verdict.name: verdict for verdict in found.verdicts}
    assert verdicts["influence by subject"].status == "warn"
    assert "09 (omega_sd_ka by" in verdicts["influence by subject"].sentence
    assert "more than a step can tell" in verdicts["influence by subject"].sentence
    loo = verdicts["leave-one-out"].sentence
    assert loo.startswith("LOO by subject: elpd −148.3 (SE")
    assert "of 10 of 12 subjects; each subject given the estimates without it" in loo
    assert loo.endswith("its random effects integrated out; of 09, 01 only another fit can tell.")
    assert "There is one study only" in verdicts["influence by study"].sentence
    labels = influence_plot(found.tables["influence_by_subject"], "subject").legends[0].get_texts()
    assert "by a step from the maximum" in [text.get_text() for text in labels]


def test_parts_that_share_random_effects_cannot_be_left_out_alone():
    """Two subjects of one lot: the lot can be left out, its subjects cannot."""
    rows = grid(4, TIMES)
    for k, row in enumerate(rows):
        row |= {"lot": f"L{k // 8}"}
    population = pose_population(linear(Variability("slope", "lot", 0.4)), table(rows))
    assert clusters_by(population, "focei", list(population.problem.rows.subject)) is None
    by_lot = clusters_by(population, "focei", [str(row["lot"]) for row in rows])
    assert by_lot is not None
    assert [len(clusters) for clusters in by_lot.values()] == [1, 1]

    class Made:
        method, settings, estimates = "focei", {"approximation": "focei"}, {}

    with pytest.raises(UsageError, match="some random effects belong to more than one subject"):
        influence_on_maximum(Made, population, maximize(population))


def test_only_what_was_estimated_moves():
    """What a fit held is held again; else its prior would be taken for a maximum."""
    made = pose_population(linear(BOTH[0]), table(rows := varied(16)))
    assert "slope" in made.problem.names
    found = fit(linear(BOTH[0]), table(rows), "focei", free=["c0", "s"])
    population = population_of(found)
    assert population.problem.names == ("c0", "s")
    moved = influence_on_maximum(found, population, maximum_of(found, population))
    assert set(moved["parameter"]) <= {"c0", "s", "omega_sd_c0"}
    assert moved["trusted"].mean() > 0.5


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_a_study_of_several_subjects_is_left_out_as_one(method):
    """Two subjects of each of five studies, and a reported mean, which no effect moves, in two of them."""
    rows = varied(10)
    for k, row in enumerate(rows):
        row["study"] = f"T{k // 8}"
    mean = {"time": 5.0, "value": 8.0, "sd": 1.0, "n": 6, "stat": "mean"}
    rows += [{**mean, "subject": f"review {name}", "study": name} for name in ("T0", "T1")]
    studies, model = table(rows), linear(BOTH[0])
    found = fit(model, studies, method, free=["c0", "s"])
    population = population_of(found)
    whole = maximum_of(found, population)
    by_study = influence_on_maximum(found, population, whole, "study").set_index("study")
    assert dict(by_study["rows"]) == {"T0": 9, "T1": 9, "T2": 8, "T3": 8, "T4": 8}
    assert len(influence_on_maximum(found, population, whole)) == 12
    rest = dataclasses.replace(studies, records=tuple(r for r in studies.records if r.study != "T3"))
    again, row = fit(model, rest, method, free=["c0", "s"]), by_study.loc["T3"]
    assert row["trusted"]
    change = 100 * (again.estimates[row["parameter"]] / found.estimates[row["parameter"]] - 1)
    assert row["change"] == pytest.approx(change, rel=0.2)


def test_one_subject_cannot_be_left_out():
    rows = [{**row, "subject": "S0", "occasion": str(row["subject"])} for row in varied(6)]
    spread = Variability("c0", "occasion", 0.3)
    found = fit(linear(spread), table(rows), "focei", free=["c0", "s"])
    population = population_of(found)
    alone = influence_on_maximum(found, population, maximum_of(found, population))
    assert len(alone) == 1
    assert alone[["elpd", "shift"]].isna().all(axis=None)
    verdict = of_subjects_left_out(alone)
    assert (verdict.status, verdict.sentence) == ("not given", "No subject can be left out alone.")


def test_a_search_that_did_not_end_at_a_maximum_has_nothing_left_out(study):
    found = fit(load_model("theophylline"), study, "focei")
    off = found.table.assign(estimate=found.table["estimate"] * 1.05)
    with pytest.raises(FitError, match="the search did not end at a maximum"):
        maximum_of(dataclasses.replace(found, table=off), population_of(found))


def test_what_is_known_at_a_maximum_can_be_said_again():
    """From estimates by name: the same vector, also of correlations, and the same curvature of each cluster."""
    full = (Covariance("subject", "full", 2.0, (("c0", "slope", 0.4),)),)
    population = pose_population(linear(*BOTH, covariance=full), table(grid(6, TIMES)))
    found = maximize(population)
    values = dict(zip(found.coordinates.names, found.coordinates.natural(found.x), strict=True))
    again = maximum_at(population, "focei", values)
    np.testing.assert_allclose(again.x, found.x, rtol=1e-9)
    np.testing.assert_allclose(again.information, found.information, rtol=1e-3, atol=0.01)  # found a step before
    np.testing.assert_allclose(found.curvatures.sum(axis=0), found.information, rtol=1e-9)


def test_a_vector_is_the_inverse_of_its_values():
    """Three effects and their correlations, at any point; nothing given is where a search starts."""
    spread = tuple(Variability(name, "subject", 0.3) for name in ("CL", "V", "ka"))
    full = (Covariance("subject", "full", 2.0, (("CL", "V", 0.4), ("CL", "ka", -0.2), ("V", "ka", 0.1))),)
    study = table(grid(5, TIMES), route="oral")
    coordinates = Coordinates(pose_population(one_compartment(*spread, covariance=full), study))
    assert coordinates.counts[1:] == (3, 3)
    rng = np.random.default_rng(1)
    x = coordinates.start + rng.normal(0, 0.7, len(coordinates.start))
    values = dict(zip(coordinates.names, coordinates.natural(x), strict=True))
    np.testing.assert_allclose(coordinates.vector(values), x, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(coordinates.vector({}), coordinates.start)
