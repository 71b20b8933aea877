"""Subjects left out of a population fit by a step from its maximum, against fits without them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mscpkpd.data import Study, read_study
from mscpkpd.diagnostics.influence import influence_on_maximum
from mscpkpd.diagnostics.posterior import population_of
from mscpkpd.errors import UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.coordinates import Coordinates
from mscpkpd.fitting.deletion import clusters_by, deleted
from mscpkpd.fitting.focei import maximize, maximum_at
from mscpkpd.fitting.marginal import Marginal
from mscpkpd.model import Covariance, Variability
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.plots.diagnosis import influence_plot
from mscpkpd.population import pose_population
from population_models import grid, linear, table

TIMES = (0.5, 2.0, 5.0, 11.0)
THREE = tuple(Variability(name, "subject", 0.3) for name in ("c0", "slope", "s"))


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
    found = influence_on_maximum(fitted, population).set_index("subject")
    assert sorted(found.index) == [f"{k:02d}" for k in range(1, 13)]
    approximation = fitted.settings["approximation"]
    whole = maximum_at(population, approximation, fitted.estimates, with_priors=fitted.method == "map")
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
    assert "LOO by subject: elpd −195" in verdicts["leave-one-out"].sentence
    assert "its random effects integrated out; not to be trusted of 09, 01." in verdicts["leave-one-out"].sentence
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
        influence_on_maximum(Made, population)


def test_what_is_known_at_a_maximum_can_be_said_again():
    """From estimates by name: the same vector, also of correlations, and the same curvature of each cluster."""
    full = (Covariance("subject", "full", 2.0, (("c0", "slope", 0.4),)),)
    population = pose_population(linear(*THREE[:2], covariance=full), table(grid(6, TIMES)))
    found = maximize(population)
    values = dict(zip(found.coordinates.names, found.coordinates.natural(found.x), strict=True))
    again = maximum_at(population, "focei", values)
    np.testing.assert_allclose(again.x, found.x, rtol=1e-9)
    np.testing.assert_allclose(again.information, found.information, rtol=1e-3, atol=0.01)  # found a step before
    np.testing.assert_allclose(found.curvatures.sum(axis=0), found.information, rtol=1e-9)


def test_a_vector_is_the_inverse_of_its_values():
    """Three effects and their correlations, at any point; nothing given is where a search starts."""
    full = (Covariance("subject", "full", 2.0, (("c0", "slope", 0.4), ("c0", "s", -0.2), ("slope", "s", 0.1))),)
    coordinates = Coordinates(pose_population(linear(*THREE, covariance=full), table(grid(5, TIMES))))
    rng = np.random.default_rng(1)
    x = coordinates.start + rng.normal(0, 0.7, len(coordinates.start))
    values = dict(zip(coordinates.names, coordinates.natural(x), strict=True))
    np.testing.assert_allclose(coordinates.vector(values), x, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(coordinates.vector({}), coordinates.start)
