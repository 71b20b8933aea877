"""Figures say what they must, show what they should, and leave Matplotlib as they found it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import small_fits
from evidence_models import evidence, two_organs
from mscpkpd import plots
from mscpkpd.dosing import bolus
from mscpkpd.exposures import exposure
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.result import Fit
from mscpkpd.modelfile import load_model
from mscpkpd.plots.curves import doses_text
from mscpkpd.plots.style import Marks, wrapped
from mscpkpd.responder.banner import BANNER
from mscpkpd.rounding import decimals, number, span, time_scale, unit_text
from mscpkpd.simulation import simulate

QUICK = Marks(quick=True)


def texts(figure: Figure) -> str:
    """All texts on a figure, in one line each."""
    found = [" ".join(text.get_text().split()) for text in figure.findobj(Text)]
    return "\n".join(text for text in found if text)


@pytest.fixture(scope="module")
def sampled() -> Fit:
    return small_fits.as_sampled(small_fits.least_squares_human())


@pytest.fixture(scope="module")
def curves(sampled: Fit) -> pd.DataFrame:
    return plots.fitted_curves(sampled, n_draws=20)


@pytest.fixture(scope="module")
def mice_curves() -> pd.DataFrame:
    return plots.fitted_curves(small_fits.least_squares_mice(), n_draws=20)


@pytest.fixture(scope="module")
def sims():
    model = load_model("two_functional_compartments", values="human_70kg")
    schedules = {name: bolus("2e6 cells/kg", "iv", every="84 h", doses=n) for name, n in (("one", 1), ("$wo", 2))}
    made = simulate(
        model, schedules, draws=6, weight="70 kg", until="20 d", step="12 h", outputs=["lung_cells", "il10", "m"]
    )
    made["il10"].attrs["prior_only"] = "q0, Smax"
    made["lung_cells"].attrs["little_learned"] = "k_L"
    return made


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0302891, "0.0303"),
        (1234.5, "1230"),
        (99999.0, "10⁵"),
        (3.25e8, "3.25 × 10⁸"),
        (-0.00012, "−1.2 × 10⁻⁴"),
        (1e10, "10¹⁰"),
        (0.0, "0"),
        (np.nan, "–"),
        (None, "–"),
        (np.inf, "∞"),
        (240.0, "240"),
    ],
)
def test_numbers_have_few_digits(value, text) -> None:
    assert number(value) == text


def test_other_words_for_numbers() -> None:
    assert span(0.2734, 0.3335, 2) == "0.27 to 0.33"
    assert span(np.nan, 1.0) == "–"
    assert [decimals(x) for x in (0.996, -0.001, -0.5, np.nan)] == ["1.00", "0.00", "−0.50", "–"]
    assert time_scale("h", 240.0) == (1 / 24, "days")
    assert time_scale("h", 48.0) == (1.0, "hours")
    assert unit_text("1") == ""
    assert unit_text("pg/mL*h") == "pg/mL h"


# ---- data and fit ----------------------------------------------------------------------------------------------------


def test_means_are_shown_in_percent_of_the_dose(sampled: Fit, curves: pd.DataFrame) -> None:
    shown = pd.DataFrame({"output": ["liver_label"], "time": [240.0], "value": [13.5], "label": ["Mirpour 2009"]})
    figure = plots.data_and_fit(sampled, curves, "liver_label", shown=shown)
    said = texts(figure)
    assert "% of the dose given" in said
    assert "mean of 4 and SD of one subject" in said
    assert "Mirpour 2009, not fitted" in said
    assert "time [days]" in said
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(points[0].get_xydata(), [[2 / 24, 1.4], [10, 15.2]])


def test_one_subject_is_left_out_on_request(sampled: Fit, curves: pd.DataFrame, mice_curves: pd.DataFrame) -> None:
    shown = pd.DataFrame({"output": ["liver_label"], "time": [240.0], "value": [13.5], "label": ["Mirpour 2009"]})
    figure = plots.data_and_fit(sampled, curves, "liver_label", shown=shown, individuals=False)
    assert "Mirpour" not in texts(figure)
    assert "mean of 4" in texts(figure)
    figure = plots.data_and_fit(small_fits.least_squares_mice(), mice_curves, "lung_cells", individuals=False)
    assert "one subject" not in texts(figure)
    markers = {line.get_marker() for ax in figure.axes for line in ax.lines}
    assert markers <= {"None", ""}


def test_censored_rows_are_triangles_at_their_limit(mice_curves: pd.DataFrame) -> None:
    figure = plots.data_and_fit(small_fits.least_squares_mice(), mice_curves, "lung_cells")
    markers = {line.get_marker(): line.get_xydata().tolist() for ax in figure.axes for line in ax.lines}
    assert markers["v"] == [[120.0, 5e4]]
    assert markers["^"] == [[2.0, 1e6]]
    said = texts(figure)
    for label in ("below this limit", "above this limit", "between two limits", "95 % of new observations"):
        assert label in said


def test_medians_are_shown_on_the_scale_of_the_data(mice_curves: pd.DataFrame) -> None:
    found = small_fits.least_squares_mice()
    logs = {"observed": np.log(5e5), "lower_limit": np.log(3e5), "upper_limit": np.log(8e5), "sd": 0.5, "n": 6.0}
    rows = found.predictions.assign(kind="logmean", **logs)
    figure = plots.data_and_fit(dataclasses.replace(found, predictions=rows), mice_curves, "lung_cells")
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(points[0].get_ydata(), 5e5)
    assert "median of 6 and SD of one subject" in texts(figure)


def test_axes_are_chosen_by_the_data(mice_curves: pd.DataFrame, sampled: Fit, curves: pd.DataFrame) -> None:
    mice = plots.data_and_fit(small_fits.least_squares_mice(), mice_curves, "lung_cells").axes[0]
    assert (mice.get_xscale(), mice.get_yscale()) == ("log", "log")
    assert mice.get_ylim()[0] > 1e3  # the curve falls for ever, the axis does not
    human = plots.data_and_fit(sampled, curves, "lung_label").axes[0]
    assert (human.get_xscale(), human.get_yscale()) == ("linear", "linear")


def test_each_group_of_doses_has_its_panel(mice_curves: pd.DataFrame) -> None:
    figure = plots.data_and_fit(small_fits.least_squares_mice(), mice_curves, "lung_cells")
    titles = [ax.get_title() for ax in figure.axes if ax.get_visible()]
    assert titles == ["1e+06 cells iv", "3e+06 cells iv"]


def test_doses_in_words() -> None:
    assert doses_text(bolus("1e6 cells", "iv", every="7 d", doses=3)) == "3 x 1e+06 cells iv"


def test_bands_hold_the_median_and_widen_for_new_observations(mice_curves: pd.DataFrame) -> None:
    late = mice_curves[mice_curves["time"] > 1]
    assert (late["lower"] <= late["lower_50"]).all()
    assert (late["lower_50"] <= late["median"]).all()
    assert (late["median"] <= late["upper"]).all()
    assert (late["upper_new"] > late["upper"]).all()
    assert (late["lower_new"] < late["lower"]).all()


# ---- what the data taught --------------------------------------------------------------------------------------------


def test_parameters_drawn_from_their_prior_are_listed_not_drawn(sampled: Fit) -> None:
    figure = plots.priors_and_posteriors(sampled)
    assert figure is not None
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert len(titles) == 15
    assert "k_XL [1/h]" in titles
    assert not any(title.startswith("q0") for title in titles)
    assert "Prior only, not drawn: CL_P" in texts(figure)
    assert "learned 0.95" in texts(figure)


def test_the_share_learned_has_a_bar_each(sampled: Fit) -> None:
    figure = plots.learned_shares(sampled)
    assert figure is not None
    assert len(figure.axes[0].patches) == 15 + 1  # and the band of what is too little
    assert "Prior only, learned 0: CL_P" in texts(figure)
    assert set(sampled.little_learned()) >= {"k_B", "F_v", "k_L"}


def test_least_squares_has_no_prior_to_compare_with() -> None:
    assert plots.learned_shares(small_fits.least_squares_mice()) is None
    assert plots.priors_and_posteriors(small_fits.least_squares_mice()) is None


# ---- schedules -------------------------------------------------------------------------------------------------------


def test_an_output_that_rests_on_priors_says_so(sims) -> None:
    il10 = texts(plots.schedules_side_by_side(sims, "il10"))
    assert "IL-10 in plasma (prior only)" in il10
    assert "Prior only: the data said nothing about q0, Smax." in il10
    cells = texts(plots.schedules_side_by_side(sims, "lung_cells"))
    assert "prior only" not in cells.lower()
    assert "Viable cells in lung (in part near the prior)" in cells
    assert "Little learned, so near the prior: k_L." in cells


def test_schedules_share_their_axes_and_cells_are_on_a_log_scale(sims) -> None:
    figure = plots.schedules_side_by_side(sims, "lung_cells", remarks={"one": "schedule recalled"})
    first, second = figure.axes
    assert first.get_yscale() == "log"
    assert first.get_ylim() == second.get_ylim()
    assert [ax.get_title() for ax in figure.axes] == ["one", r"\$wo"]
    said = texts(figure)
    assert "schedule recalled" in said
    assert "lung_cells [cells]" in said
    assert plots.schedules_side_by_side(sims, "m").axes[0].get_ylabel() == "m"


def test_schedules_that_could_not_be_solved_are_left_out(sims) -> None:
    broken = sims.copy(deep=True)
    broken["il10"][0] = np.nan
    figure = plots.schedules_side_by_side(broken, "il10")
    assert len(figure.axes) == 2


def test_exposures_have_a_panel_for_each_metric(sims) -> None:
    table = exposure(sims, "il10", above="1 pg/mL")
    figure = plots.exposure_comparison(table, "il10", title="IL-10 (prior only)")
    assert [ax.get_xlabel() for ax in figure.axes] == ["AUC [pg/mL h]", "peak [pg/mL]", "time above [h]"]
    assert "IL-10 (prior only)" in texts(figure)


# ---- patients and evidence -------------------------------------------------------------------------------------------


def scores(n: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.8, n)
    return pd.DataFrame(
        {"patient": [f"P{k}" for k in range(n)], "p_response": p, "lower": p - 0.2, "upper": p + 0.2,
         "lower_50": p - 0.1, "upper_50": p + 0.1, "p_prior_only": 0.5, "prior_share": np.linspace(0.1, 0.9, n),
         "flags": "prior-dominated"}
    )  # fmt: skip


def test_patients_stand_in_order_under_the_banner() -> None:
    table = scores()
    figure = plots.scored_patients(table, marks=Marks(synthetic=True))
    said = texts(figure)
    assert BANNER in said.replace("\n", " ")
    assert "SYNTHETIC" in said
    assert "prior only, no cohort" in said
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(table.sort_values("p_response", ascending=False)["patient"])


def test_a_long_list_of_patients_is_cut() -> None:
    assert "40 more patients are in the table." in texts(plots.scored_patients(scores(100)))


def test_facts_that_wrote_a_prior_are_marked() -> None:
    shared = {"unit": "%", "lower": 1.0, "lower_50": 2.0, "median": 3.0, "upper_50": 4.0, "upper": 5.0, "sd": 1.0}
    table = pd.DataFrame(
        [
            {**shared, "label": "a", "observed": 3.0, "bound": "", "informed": True, "recalled": False},
            {**shared, "label": "b", "observed": 4.0, "bound": "<", "informed": False, "recalled": True},
            {
                **shared,
                "label": "c",
                "observed": np.nan,
                "bound": "",
                "informed": False,
                "recalled": False,
                "unit": "h",
            },
        ]
    )
    figure = plots.facts_and_priors(table, marks=QUICK)
    said = texts(figure)
    assert "(prior only)" in said
    assert "not independent" in said
    assert "cannot test the model alone" in said
    assert "QUICK, not a result" in said
    assert len(figure.axes) == 2


def test_facts_that_are_no_curve_stand_beside_the_fit(tmp_path) -> None:
    """Each on the axis on which it is read: counts of n in percent, shares too, limits as arrows; values are curves."""
    rows = [
        {"quantity": "half_life", "time": 1.0, "time_to": 24.0, "value": 7.0, "unit": "h"},
        {"quantity": "half_life", "time": 1.0, "time_to": 9.0, "censoring": "left", "upper": 9.0, "unit": "h"},
        {"quantity": "ratio", "versus": "liver_cells", "time": 6.0, "value": 2.0, "unit": "1"},
        {"quantity": "positive", "subject": "herd", "time": 24.0, "value": 7, "n": 10, "unit": "1"},
        {"quantity": "present", "time": 30.0, "value": 1, "unit": "1"},
        *({"quantity": "share", "output": name, "time": 6.0, "sample": "a", "value": share, "unit": "%"}
          for name, share in (("lung_cells", 60.0), ("liver_cells", 40.0))),
        {"time": 2.0, "value": 800.0},
    ]  # fmt: skip
    found = fit(two_organs(tmp_path), evidence(*rows), "map", free=["k", "q", "lod", "b"])
    figure = plots.facts_and_fit(found, marks=Marks(synthetic=True))
    panels = {ax.get_xlabel(): [label.get_text() for label in ax.get_yticklabels()] for ax in figure.axes}
    assert panels == {
        "time [h]": ["m1: half-life of lung_cells, 1 to 24 h", "m1: half-life of lung_cells, 1 to 9 h"],
        "ratio": ["m1: ratio of lung_cells to liver_cells, 6 h"],
        "animals [%]": ["herd: lung_cells positive, 24 h", "m1: lung_cells present, 30 h"],
        "share [%]": ["m1: share of lung_cells, 6 h", "m1: share of liver_cells, 6 h"],
    }
    seen = {
        ax.get_xlabel(): [line for line in ax.lines if line.get_label().startswith("observed")] for ax in figure.axes
    }
    np.testing.assert_allclose(seen["animals [%]"][0].get_xdata(), [70.0, 100.0])
    np.testing.assert_allclose(seen["share [%]"][0].get_xdata(), [60.0, 40.0])
    assert "below this" in texts(figure)
    assert "SYNTHETIC" in texts(figure)
    (herd,) = plots.facts_and_fit(found, individuals=False).axes
    assert [label.get_text() for label in herd.get_yticklabels()] == ["herd: lung_cells positive, 24 h"]


def test_a_study_of_values_alone_has_no_facts(sampled: Fit) -> None:
    assert plots.facts_and_fit(sampled) is None


def test_intervals_that_miss_the_truth_are_counted() -> None:
    table = pd.DataFrame(
        {"parameter": ["a", "b"], "estimate": [1.0, 2.0], "lower": [0.5, 1.5], "upper": [2.0, 3.0], "truth": [1.1, 1.0]}
    )
    figure = plots.estimates_and_truth(table, marks=Marks(synthetic=True))
    assert "1 of 2 miss the value" in texts(figure)
    assert "SYNTHETIC" in texts(figure)


# ---- marks and style -------------------------------------------------------------------------------------------------


def test_marks_stand_on_every_kind_of_figure(sampled: Fit, curves: pd.DataFrame, sims) -> None:
    marks = Marks(synthetic=True, quick=True, warning="NOT A RESULT: the fit does not pass its checks")
    figures = [
        plots.data_and_fit(sampled, curves, "lung_label", marks=marks),
        plots.priors_and_posteriors(sampled, marks=marks),
        plots.learned_shares(sampled, marks=marks),
        plots.schedules_side_by_side(sims, "il10", marks=marks),
        plots.exposure_comparison(exposure(sims, "il10"), "il10", marks=marks),
        plots.scored_patients(scores(), marks=marks),
    ]
    for figure in figures:
        said = texts(figure)
        for mark in ("QUICK, not a result", "NOT A RESULT", "SYNTHETIC"):
            assert mark in said


def test_legends_and_notes_stand_under_the_panels(sampled: Fit, curves: pd.DataFrame, tmp_path: Path) -> None:
    figure = plots.data_and_fit(sampled, curves, "lung_label")
    plots.save(figure, tmp_path / "x.png")
    lowest = min(ax.get_tightbbox().y0 for ax in figure.axes)
    assert figure.legends[0].get_window_extent().y1 <= lowest + 2


def test_the_same_figure_gives_the_same_file(tmp_path: Path) -> None:
    files = [plots.save(plots.scored_patients(scores()), tmp_path / f"{k}.png") for k in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(b"\x89PNG")


def test_names_in_any_script_and_with_dollars_can_be_drawn(tmp_path: Path) -> None:
    table = scores().assign(patient=["$\\frac$", "患者", "a$b$c", "x_y"])
    assert plots.save(plots.scored_patients(table), tmp_path / "x.png").is_file()


def test_long_texts_are_broken() -> None:
    assert max(map(len, wrapped("word " * 60, 3.0).splitlines())) < 60
    assert wrapped("", 3.0) == ""


def test_matplotlib_keeps_its_settings(sampled: Fit, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figure = plots.learned_shares(sampled)
    assert figure is not None
    plots.save(figure, tmp_path / "x.png")
    assert dict(mpl.rcParams) == before


def test_no_window_is_needed() -> None:
    code = "import sys, mscpkpd.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
