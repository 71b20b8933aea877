"""The demo end to end, with fits that were not sampled."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import small_fits
from mscpkpd.demo import DemoResult, run_demo
from mscpkpd.demo import run as demo_run
from mscpkpd.demo.findings import origin_of
from mscpkpd.demo.preclinical import compare
from mscpkpd.errors import UsageError
from mscpkpd.fitting.result import Fit
from mscpkpd.modelfile import library_path, load_regimen
from mscpkpd.plots import fitted_curves
from mscpkpd.report import write_report
from mscpkpd.responder.banner import BANNER
from pages import read

SENTENCES = ("In four patients the label in lung falls from", "For an adult of 70 kg", "After a SYNTHETIC cohort of 60")


def make_it_fast(patch: pytest.MonkeyPatch, *, converged: bool = True) -> None:
    """Make by hand what would be sampled, draw few curves, and write the pages of the parts only once."""

    def fit(_model, study, method: str = "least_squares", **options) -> Fit:
        if "human" not in study.name:
            return small_fits.least_squares_shipped_mice()
        if method == "least_squares":
            return small_fits.least_squares_human()
        options["progress"](1, 2, "")
        return small_fits.as_sampled(small_fits.least_squares_human(), study, converged=converged, seed=options["seed"])

    patch.setattr(demo_run, "fit", fit)
    patch.setattr("mscpkpd.report.runs.fitted_curves", partial(fitted_curves, n_draws=20))
    patch.setattr("mscpkpd.report.runs.write_report", lambda _: None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[DemoResult, Path, list[tuple[str, int, int]]]:
    """One quick demo for all tests of its page."""
    out, told = tmp_path_factory.mktemp("demo") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        make_it_fast(patch)
        result = run_demo(out, quick=True, progress=lambda *step: told.append(step), seed=1)
    return result, out, told


def test_the_demo_leaves_a_report_and_a_folder_for_each_part(demo) -> None:
    result, out, _ = demo
    assert result == DemoResult(out / "report.html", 0, result.first_line)
    assert result.first_line.startswith("QUICK, not a result")
    for part in ("fit_human", "fit_human_05h", "fit_mouse_SYNTHETIC", "simulation", "scores_SYNTHETIC"):
        assert (out / part / "report.html").is_file()
        assert "QUICK, not a result" in read(out / part)
    assert json.loads((out / "provenance.json").read_text())["status"] == "done"


def test_the_report_opens_with_what_was_found(demo) -> None:
    text = read(demo[1])
    places = [text.index(sentence) for sentence in SENTENCES]
    assert places == sorted(places)
    assert places[-1] < text.index("<h2>")
    assert "Ryoncil and Temcell as with Amimestrocel" in text
    assert "a marker of engagement and not of efficacy" in text


def test_the_report_shows_every_part(demo) -> None:
    text = read(demo[1])
    for title in (
        "Human label data: fit", "If the first image was taken at 0.5 h", "Preclinical facts beside the priors",
        "SYNTHETIC mouse study: fit", "What the data did not inform", "Dosing schedules side by side",
        "Scored patients", "Estimates against the truth (SYNTHETIC)", "How it was made",
    ):  # fmt: skip
        assert title in text
    assert BANNER in text
    assert "IL-10 in plasma (prior only)" in text
    assert "PGE2 in lung, made by the cells (prior only)" in text
    assert "schedule recalled, infusion time assumed" in text
    assert "shown, not counted twice" in text
    assert "cannot test the model alone" in text
    assert "not of efficacy" in text
    assert text.count("data:image/png") >= 20


def test_predictions_name_what_was_hardly_learned(demo) -> None:
    text = read(demo[1])
    assert "Viable cells in lung (in part near the prior)" in text
    little = text.partition("The data hardly narrow (learned less than 0.1) ")[2].partition(";")[0]
    assert "k_L" in little.split(", ")


def test_the_second_fit_has_its_first_image_earlier(demo) -> None:
    data = pd.read_csv(demo[1] / "fit_human_05h" / "data.csv")
    assert set(data["time"]) == {0.5, 240.0}
    shown = pd.read_csv(demo[1] / "fit_human_05h" / "shown.csv")
    assert set(shown["time"]) == {0.5, 240.0}
    assert set(shown["output"]) == {"liver_label"}


def test_progress_is_told_throughout(demo) -> None:
    stages = list(dict.fromkeys(stage for stage, _, _ in demo[2]))
    assert len(stages) == 7
    assert all(0 <= done <= wanted for _, done, wanted in demo[2])


def test_single_subjects_are_left_out_on_request(demo, tmp_path: Path) -> None:
    out = shutil.copytree(demo[1], tmp_path / "out")
    write_report(out, show_data=False)
    text = read(out)
    assert "SYN-P01" not in text
    assert "SYN-01" not in text
    assert "Single subjects and patients are left out." in text
    assert "SYN-P01" not in read(out / "scores_SYNTHETIC")
    assert "SYN-P01" in read(demo[1])


def test_an_interrupted_demo_can_be_shown_and_run_again(tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_run, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "out")
    text = read(write_report(tmp_path / "out").parent)
    assert text.index("the demo was interrupted") < text.index("<h1>")
    with pytest.raises(KeyboardInterrupt):  # the folder is known as that of a demo
        run_demo(tmp_path / "out")


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="is no earlier run"):
        run_demo(tmp_path)


def test_a_fit_that_has_not_converged_ends_with_status_3(tmp_path: Path, monkeypatch) -> None:
    make_it_fast(monkeypatch, converged=False)
    monkeypatch.setattr(demo_run, "FULL", demo_run.QUICK)
    result = run_demo(tmp_path / "out")
    assert result.exit_status == 3
    assert result.first_line.startswith("NOT A RESULT: fit_human: NOT A RESULT: R-hat 1.3")
    text = read(tmp_path / "out")
    assert text.index("NOT A RESULT") < text.index("<h1>")
    assert "Not simulated: the human fit does not pass its checks" in text
    assert "QUICK" not in text
    assert not (tmp_path / "out" / "simulation").exists()


# ---- preclinical facts -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    evidence = pd.read_csv(library_path() / "data" / "biodistribution_evidence.csv")
    return compare(evidence, draws=25, seed=1, progress=lambda *_: None)


def test_facts_are_read_from_the_evidence_table(compared) -> None:
    numbers = compared.numbers.set_index("label")
    published = {label.splitlines()[0]: row["observed"] for label, row in numbers.iterrows()}
    assert published["rat, label in lung at 5 min"] == 70
    assert published["rat, arrested at first pass, muscle"] == 92
    assert published["rat, left in tissue at 72 h"] == 14
    assert published["mouse, half-life in lung"] == 24
    assert published["mouse, half-life in the whole body"] == 21
    assert published["mouse, cells in six other tissues"] == pytest.approx(0.05)  # percent of 2e6
    assert np.isnan(published["mouse, viable in lung at 72 h"])


def test_predictions_are_those_of_the_priors(compared) -> None:
    medians = {row["label"].splitlines()[0]: row["median"] for row in compared.numbers.to_dict("records")}
    assert medians["mouse, half-life in lung"] == pytest.approx(np.log(2) / 0.0289, rel=1e-3)
    assert medians["rat, left in tissue at 72 h"] == pytest.approx(100 * np.exp(-72 * 0.0289), rel=1e-3)
    assert 10 < medians["mouse, half-life in the whole body"] < 24
    assert medians["mouse, viable in lung at 72 h"] < medians["mouse, viable in lung at 24 h"] < 60


def test_studies_that_wrote_a_prior_are_not_independent(compared) -> None:
    informed = {row["reference"].split()[0]: row["informed"] for row in compared.numbers.to_dict("records")}
    assert informed == {"Assis": False, "Bonios": False, "Toma": True, "Lee": True, "Eggenhofer": True,
                        "Wuttisarnwattana": False}  # fmt: skip
    assert "eps_bed" in compared.numbers.set_index("statement")["informed_priors"].filter(like="arrested").iloc[0]


def test_orders_are_shares_of_draws(compared) -> None:
    assert compared.orderings["agree"].between(0, 1).all()
    assert len(compared.orderings) == 6


def test_every_other_fact_is_listed_with_its_use(compared) -> None:
    assert set(compared.listed["use"]) == {"fit", "shown", "ordering", "no", "prior only"}
    assert (
        len(compared.listed) + len(compared.numbers) + len(compared.orderings) == 156 - 10
    )  # less the human label data


@pytest.mark.parametrize(
    ("name", "words"),
    [("temcell", "schedule recalled, infusion time assumed"), ("ryoncil", "infusion time assumed")],
)
def test_what_is_weak_in_a_schedule_is_named(name: str, words: str) -> None:
    assert origin_of(load_regimen(name)) == words
