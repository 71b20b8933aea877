"""Pages: self-contained, escaped, honest about what they show, and written again from their folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import small_fits
from mscpkpd.cohort import read_cohort
from mscpkpd.dosing import bolus
from mscpkpd.errors import InputError, UsageError
from mscpkpd.exposures import exposure
from mscpkpd.fitting.result import load_fit
from mscpkpd.modelfile import library_path, load_model
from mscpkpd.plots.style import Marks
from mscpkpd.report import write_fit_run, write_report, write_score_run, write_simulation_run
from mscpkpd.report.html import Column, Html, element, escaped, image, notice, page, table
from mscpkpd.responder import load_responder
from mscpkpd.responder.banner import BANNER
from mscpkpd.simulation import simulate
from pages import read


@pytest.fixture(scope="module")
def mice_run(tmp_path_factory) -> Path:
    """Least squares on invented mice with difficult names."""
    study = dataclasses.replace(small_fits.least_squares_mice().study, synthetic=True)
    found = dataclasses.replace(small_fits.least_squares_mice(), study=study)
    return write_fit_run(found, tmp_path_factory.mktemp("mice") / "run", "what was typed")


@pytest.fixture(scope="module")
def human_run(tmp_path_factory) -> Path:
    """What a sampled fit leaves behind."""
    shown = pd.DataFrame({"output": ["liver_label"], "time": [240.0], "value": [13.5], "label": ["Mirpour 2009"]})
    sampled = small_fits.as_sampled(small_fits.least_squares_human())
    return write_fit_run(sampled, tmp_path_factory.mktemp("human") / "run", shown=shown)


@pytest.fixture(scope="module")
def simulation_run(tmp_path_factory) -> Path:
    model = load_model("two_functional_compartments", values="human_70kg")
    sims = simulate(
        model, {"<one>": bolus("1e8 cells", "iv")}, draws=4, until="9 d", step="12 h", outputs=["il10", "m"]
    )
    sims["il10"].attrs["prior_only"] = "q0"
    exposures = {"il10": exposure(sims, "il10", above="1 pg/mL")}
    record = {"command": "mscpkpd simulate", "schedules": {"<one>": {"about": "a & b", "remark": "schedule recalled"}}}
    return write_simulation_run(sims, exposures, tmp_path_factory.mktemp("sims") / "run", record)


@pytest.fixture(scope="module")
def score_run(tmp_path_factory) -> Path:
    data = library_path() / "data"
    scorer = load_responder().update(read_cohort(data / "cxcl10_cohort_SYNTHETIC.csv"), seed=1, draws=1000)
    scores = scorer.score(read_cohort(data / "cxcl10_patients_SYNTHETIC.csv"))
    scores.loc[0, "patient"] = "<img src=x onerror=alert(1)>"
    return write_score_run(scorer, scores, tmp_path_factory.mktemp("scores") / "run", {"command": "mscpkpd score"})


# ---- markup ----------------------------------------------------------------------------------------------------------


def test_only_markup_is_taken_as_markup() -> None:
    assert escaped("<b>") == "&lt;b&gt;"
    assert escaped(Html("<b>")) == "<b>"
    assert element("p", "a & b", class_='x"y') == '<p class="x&quot;y">a &amp; b</p>'
    assert notice() == ""
    cells = table([{"a": "<i>"}], [Column("<u>", lambda row: row["a"], numeric=True)], caption="1 < 2")
    assert "<i>" not in cells
    assert "<u>" not in cells
    assert '<td class="n">&lt;i&gt;</td>' in cells
    assert "1 &lt; 2" in cells


def test_marks_stand_before_the_title() -> None:
    marks = Marks(synthetic=True, quick=True, warning="NOT A RESULT: too few draws")
    text = page("<title>", "found", marks=marks)
    assert (
        text.index("QUICK, not a result; NOT A RESULT") < text.index("NOT A RESULT: too few draws") < text.index("<h1>")
    )
    assert "SYNTHETIC data: invented" in text
    assert "<title>&lt;title&gt;</title>" in text


def test_figures_are_embedded(mice_run: Path) -> None:
    picture = next((mice_run / "figures").glob("*.png"))
    assert "data:image/png;base64,iVBOR" in image(picture, 'a "quote"')
    assert 'alt="a &quot;quote&quot;"' in image(picture, 'a "quote"')


# ---- fits ------------------------------------------------------------------------------------------------------------


def test_a_fit_leaves_a_complete_folder(human_run: Path) -> None:
    names = {path.name for path in human_run.iterdir()}
    expected = ("summary.csv", "draws.nc", "predictions.csv", "report.html", "model.toml", "data.csv", "log.txt")
    assert names >= {*expected, "provenance.json", "curves.csv", "shown.csv", "figures"}
    assert load_fit(human_run).method == "nuts"
    assert {path.name for path in (human_run / "figures").iterdir()} == {
        *(f"data_{organ}_label.png" for organ in ("lung", "liver", "spleen")),
        "learned.png",
        "priors_and_posteriors.png",
        "goodness_of_fit.png",
        "residuals.png",
    }


def test_the_page_of_a_fit_says_what_was_learned_and_what_was_not(human_run: Path) -> None:
    text = read(human_run)
    assert "What the data did not inform" in text
    assert "Prior only (20): " in text
    assert "Learned less than 0.1" in text
    assert "logitnormal(0.6, 0.5) (wide)" in text
    assert '<span class="word assumed">assumed</span>' in text
    assert "Half-life 1.94 h (radwanski_1998)" in text  # the source of a prior
    assert "30.2 ± 3.16 (n = 4)" in text  # in percent of the dose
    assert "a note with &lt;b&gt;markup&lt;/b&gt;" in text
    assert "QUICK" not in text
    assert "NOT A RESULT" not in text


def test_names_from_users_are_escaped(mice_run: Path) -> None:
    text = read(mice_run)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "b &amp; c" in text
    assert "mice &amp; &lt;men&gt;" in text
    assert "<script" not in text


def test_single_subjects_are_left_out_on_request(mice_run: Path, human_run: Path) -> None:
    before = (mice_run / "figures" / "data_lung_cells.png").read_bytes()
    write_report(mice_run, show_data=False)
    text = read(mice_run)
    assert "alert(1)" not in text
    assert "9 rows of single subjects are left out." in text
    assert (mice_run / "figures" / "data_lung_cells.png").read_bytes() != before
    write_report(human_run, show_data=False)
    assert "mean of 4 patients" in read(human_run)  # a mean is no single subject
    write_report(mice_run)
    assert "alert(1)" in read(mice_run)
    assert (mice_run / "figures" / "data_lung_cells.png").read_bytes() == before


def test_invented_data_are_marked(mice_run: Path) -> None:
    assert "SYNTHETIC data: invented, not measured." in read(mice_run)


def test_a_fit_that_has_not_converged_says_so_first(tmp_path: Path) -> None:
    sampled = small_fits.as_sampled(small_fits.least_squares_human(), converged=False)
    text = read(write_fit_run(sampled, tmp_path / "run"))
    assert text.index("NOT A RESULT: the fit does not pass its checks") < text.index("<h1>")
    assert "NOT A RESULT: R-hat 1.3: more draws." in text
    assert "FAILS" in text


def test_a_quick_fit_is_marked(tmp_path: Path) -> None:
    sampled = small_fits.as_sampled(small_fits.least_squares_human())
    quick = dataclasses.replace(sampled, checks=(), settings={**sampled.settings, "quick": True})
    text = read(write_fit_run(quick, tmp_path / "run"))
    assert text.index("QUICK, not a result") < text.index("<h1>")
    assert "its checks were not judged" in text


def test_a_folder_of_a_bare_fit_gets_a_page(tmp_path: Path) -> None:
    folder = small_fits.least_squares_mice().save(tmp_path / "run")
    assert write_report(folder) == folder / "report.html"
    assert (folder / "curves.csv").is_file()
    assert "held at the values of the model" in read(folder)


# ---- simulations -----------------------------------------------------------------------------------------------------


def test_a_simulation_leaves_a_complete_folder(simulation_run: Path) -> None:
    names = {path.name for path in simulation_run.iterdir()}
    assert names == {
        "simulation.nc", "predictions.csv", "exposures.csv", "figures", "report.html", "provenance.json", "log.txt",
    }  # fmt: skip
    bands = pd.read_csv(simulation_run / "predictions.csv")
    assert list(bands.columns[:4]) == ["schedule", "output", "unit", "time"]
    assert (bands["lower"] <= bands["median"]).all()
    assert json.loads((simulation_run / "provenance.json").read_text())["command"] == "mscpkpd simulate"


def test_the_page_of_a_simulation_says_what_rests_on_priors(simulation_run: Path) -> None:
    text = read(simulation_run)
    assert "IL-10 in plasma (prior only)" in text
    assert "The data said nothing about q0." in text
    assert "marker that macrophages have been engaged, not of efficacy" in text
    assert "benefit" not in text
    assert "schedule recalled" in text
    assert "a &amp; b" in text
    assert "&lt;one&gt;" in text
    assert "time above 1 pg/mL" in text


def test_a_simulation_of_one_time_has_no_figures(tmp_path: Path) -> None:
    model = load_model("two_functional_compartments", values="human_70kg")
    sims = simulate(model, bolus("1e8 cells", "iv"), times=[2.0], outputs=["il10"])
    text = read(write_simulation_run(sims, pd.DataFrame(), tmp_path / "run", {}))
    assert "also hold il10" in text
    assert list((tmp_path / "run" / "figures").iterdir()) == []


def test_failed_solves_are_counted_first(tmp_path: Path) -> None:
    model = load_model("two_functional_compartments", values="human_70kg")
    sims = simulate(model, bolus("1e8 cells", "iv"), draws=3, until="2 d", step="12 h", outputs=["il10"])
    sims["il10"][0, 0, 1] = np.nan
    sims["failed"][0, 0, 1] = True
    sims.attrs["failures"] = 1
    text = read(write_simulation_run(sims, exposure(sims, "il10").assign(output="il10"), tmp_path / "run", {}))
    assert text.index("1 of 3 solves failed") < text.index("<h1>")


def test_exposures_must_say_of_what(tmp_path: Path) -> None:
    model = load_model("two_functional_compartments", values="human_70kg")
    sims = simulate(model, bolus("1e8 cells", "iv"), until="2 d", step="12 h", outputs=["il10"])
    whole = exposure(sims, "il10")
    run = write_simulation_run(sims, whole, tmp_path / "run", {})
    assert "Exposure over the simulated period" in read(run)  # the output is named in the attributes of the table
    whole.attrs.clear()
    with pytest.raises(UsageError, match="without a column output"):
        write_simulation_run(sims, whole, tmp_path / "other", {})
    assert not (tmp_path / "other").exists()


# ---- scores ----------------------------------------------------------------------------------------------------------


def test_the_page_of_scores_carries_the_banner(score_run: Path) -> None:
    text = read(score_run)
    assert text.index(BANNER) < text.index("10 patients were scored")
    assert "SYNTHETIC data: invented, not measured." in text
    assert "SYN-P02" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "prior share" in text
    assert "SYNTHETIC cohort of 60 with a known response, 32 of whom responded" in text
    names = {path.name for path in score_run.iterdir()}
    assert names == {"scores.csv", "summary.csv", "scorer", "figures", "report.html", "provenance.json", "log.txt"}


def test_patients_are_left_out_on_request(score_run: Path) -> None:
    write_report(score_run, show_data=False)
    text = read(score_run)
    assert "SYN-P02" not in text
    assert "onerror" not in text
    assert "Patients are left out." in text
    assert BANNER in text
    assert not (score_run / "figures" / "scores.png").exists()
    write_report(score_run)
    assert "SYN-P02" in read(score_run)


def test_scores_of_the_prior_alone(tmp_path: Path) -> None:
    patients = read_cohort(library_path() / "data" / "cxcl10_patients_SYNTHETIC.csv")
    scorer = load_responder().scorer(draws=1000)
    text = read(write_score_run(scorer, scorer.score(patients), tmp_path / "run", {"quick": True}))
    assert "without a cohort" in text
    assert "QUICK, not a result" in text


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_no_run_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        write_report(tmp_path)
    (tmp_path / "provenance.json").write_text("[]")
    with pytest.raises(InputError, match="expected a JSON object"):
        write_report(tmp_path)
    (tmp_path / "provenance.json").write_text('{"kind": "poem"}')
    with pytest.raises(InputError, match="expected kind fit, simulation, scores, responder or demo"):
        write_report(tmp_path)


def test_a_damaged_folder_is_named(simulation_run: Path, tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text((simulation_run / "provenance.json").read_text())
    with pytest.raises(InputError, match="is damaged: .*simulation.nc"):
        write_report(tmp_path)


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mscpkpd.report.runs.write_report", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_fit_run(small_fits.least_squares_mice(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
