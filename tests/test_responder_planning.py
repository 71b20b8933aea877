"""From a paper to a prior, designs of studies, SYNTHETIC cohorts, optimism and decisions."""

import csv
import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mscpkpd as msc
from mscpkpd.cohort import Cohort, cohort_from_frame, read_cohort
from mscpkpd.errors import CohortError, InputError, UnknownName, UsageError
from mscpkpd.responder import auc_of_slope, load_responder
from mscpkpd.responder.design import MARKERS, adaptive_design, assurance, enrichment_power, sample_size, slope_learning
from mscpkpd.responder.performance import calibration, calibration_curve, decision_curve
from mscpkpd.responder.summaries import FORM, blank_form, prior_from_form, prior_from_summary
from mscpkpd.responder.synthetic import SCENARIOS, synthetic_cohort


@pytest.fixture(scope="module")
def prior():
    return load_responder()


# ---- from a summary to a prior ---------------------------------------------------------------------------------------


def quartiles(median: float, s: float) -> tuple[float, float]:
    return median * np.exp(-0.6745 * s), median * np.exp(0.6745 * s)


def test_summaries_of_lognormal_groups_give_their_slope():
    """GMR 1.6, SD 0.9 measured with error 0.3: b1 = 0.9 ln(1.6)/(0.81 - 0.09), AUC Phi(delta/(s sqrt 2))."""
    found = msc.prior_from_summary((960, 600), (quartiles(960, 0.9), quartiles(600, 0.9)), (24, 16))
    delta, true = np.log(1.6), 0.9**2 - 0.3**2
    assert found.b1 == pytest.approx(0.9 * delta / true, rel=1e-3)
    assert found.auc == pytest.approx(norm.cdf(delta / (0.9 * np.sqrt(2))), abs=1e-4)
    of_delta, of_s = np.pi / 2 * 0.81 * (1 / 24 + 1 / 16), 1.36 * 0.81 / 40
    se = np.sqrt(0.81 * (of_delta / true**2 + 4 * delta**2 * 0.81 * of_s / true**4))
    assert found.se == pytest.approx(se, rel=1e-3)


def test_an_auc_and_medians_agree():
    medians = prior_from_summary((960, 600), (quartiles(960, 0.9), quartiles(600, 0.9)), (24, 16))
    by_auc = prior_from_summary(n=(24, 16), auc=medians.auc)
    assert by_auc.b1 == pytest.approx(medians.b1, rel=1e-3)


def test_a_p_value_needs_a_direction_and_is_flagged():
    up = prior_from_summary(n=(24, 16), p_value=0.04, higher_in_responders=True)
    down = prior_from_summary(n=(24, 16), p_value=0.04, higher_in_responders=False)
    assert up.b1 == pytest.approx(-down.b1)
    assert up.b1 > 0
    assert any("DIRECTION FROM WORDS" in note for note in up.notes)
    with pytest.raises(UsageError, match=r"p_value=0.04 without a direction"):
        prior_from_summary(n=(24, 16), p_value=0.04)


def test_the_discount_shrinks_widens_and_keeps_a_wide_part(prior):
    found = prior_from_summary((960, 600), (quartiles(960, 0.9), quartiles(600, 0.9)), (24, 16))
    assert 0 < found.discounted < found.b1
    assert found.discounted_se > found.se
    mixture = prior.with_prior("b1", found.prior).definition.prior("b1")
    assert mixture.weights == pytest.approx((0.8, 0.2))
    assert 0.1 < mixture.cdf(0.0) < 0.4  # both signs stay possible
    halved = prior_from_summary((960, 600), (quartiles(960, 0.9), quartiles(600, 0.9)), (24, 16), exaggeration=2.0)
    assert halved.discounted < 0.5 * found.b1


WRONG = {
    "nothing": ({}, "0 of medians, auc and p_value"),
    "two": ({"auc": 0.7, "p_value": 0.1}, "2 of medians, auc and p_value"),
    "no quartiles": ({"medians": (2, 1)}, "medians without quartiles"),
    "crossed": ({"medians": (2, 1), "quartiles": ((3, 4), (0.5, 2))}, "median 2, quartiles 3 and 4"),
    "auc": ({"auc": 1.0}, "auc=1.0; expected a number between 0 and 1"),
    "few": ({"auc": 0.7, "n": (1, 30)}, r"n=\(1, 30\); expected at least two responders"),
    "exaggeration": ({"auc": 0.7, "exaggeration": 0.5}, "exaggeration=0.5; expected 1 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_impossible_summaries_are_refused(case):
    arguments, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        prior_from_summary(**{"n": (24, 16)} | arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "bias", "coverage"), [((12, 8), 0.20, 0.996), ((24, 16), 0.11, 0.977), ((60, 40), 0.05, 0.964)]
)
def test_the_conversion_covers_the_truth(n, bias, coverage):
    """Known answers at GMR 1.6: coverage of b1 +/- 1.96 se, and the median of the estimate too high by 5 to 20 %."""
    rng = np.random.default_rng(0)
    truth = 0.9 * np.log(1.6) / 0.85**2
    estimates = []
    for _ in range(2000):
        groups = [
            np.exp(mean + 0.9 * rng.standard_normal(size)) for mean, size in zip((np.log(1.6), 0.0), n, strict=True)
        ]
        medians = tuple(np.median(group) for group in groups)
        spans = tuple(tuple(np.quantile(group, [0.25, 0.75])) for group in groups)
        found = prior_from_summary(medians, spans, n)
        estimates.append((found.b1, found.se))
    b1, se = np.array(estimates).T
    assert np.mean(abs(b1 - truth) < 1.96 * se) == pytest.approx(coverage, abs=0.02)
    assert np.median(b1) / truth - 1 == pytest.approx(bias, abs=0.08)


# ---- the form --------------------------------------------------------------------------------------------------------


def test_the_shipped_form_is_empty(repository):
    """Nothing quantitative may be attributed to Zhao 2025."""
    text = (repository / "models/responder" / FORM).read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert len(rows) > 25
    for row in rows:
        assert not row["value"]
        assert not row["value_low"]
        assert not row["value_high"]
        assert row["status"] in ("not_verified", "partial")
        assert not any(character.isdigit() for character in row["value_text"].replace("Ib/IIa", ""))


def filled(path, **values) -> None:
    """The blank form with SYNTHETIC numbers typed in."""
    blank_form(path)
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    for row in rows:
        row.update(values.get(row["field"], {}))
    frame = pd.DataFrame(rows)
    path.write_text("\n".join(head) + "\n" + frame.to_csv(index=False))


READ = {"status": "read", "page_or_table": "SYNTHETIC table 2"}
COUNTS = {
    "n responders with CXCL10": {"value": "24"} | READ,
    "n non-responders with CXCL10": {"value": "16"} | READ,
}
MEDIANS = {
    "CXCL10 baseline responders median (IQR)": {"value": "960", "value_low": "523", "value_high": "1762"} | READ,
    "CXCL10 baseline non-responders median (IQR)": {"value": "600", "value_low": "327", "value_high": "1101"} | READ,
}


def test_a_filled_form_becomes_a_prior(tmp_path):
    path = tmp_path / "form.csv"
    filled(path, **COUNTS, **MEDIANS)
    assert prior_from_form(path).b1 == pytest.approx(0.588, abs=0.01)
    filled(tmp_path / "auc.csv", **COUNTS, **{"ROC AUC and CI": {"value": "0.65"} | READ})
    assert prior_from_form(tmp_path / "auc.csv").auc == pytest.approx(0.65)
    filled(tmp_path / "p.csv", **COUNTS, **{"test and p value baseline": {"value": "0.03"} | READ})
    assert prior_from_form(tmp_path / "p.csv").direction_stated


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no numbers of responders and non-responders"),
        (COUNTS, "no medians with quartiles, no AUC and no p value"),
        (COUNTS | {"ROC AUC and CI": {"value": "0.65"}}, r"ROC AUC and CI.*status 'not_verified'.*page or table"),
        (
            COUNTS | {"ROC AUC and CI": {"value": "about 0.65"} | READ},
            r"column 'value': 'about 0.65'; expected a number",
        ),
    ],
)
def test_a_form_that_says_too_little_is_refused(tmp_path, values, message):
    filled(tmp_path / "form.csv", **values)
    with pytest.raises(InputError, match=message):
        prior_from_form(tmp_path / "form.csv")


def test_a_form_is_not_overwritten(tmp_path):
    blank_form(tmp_path / "form.csv")
    with pytest.raises(UsageError, match="is there already"):
        blank_form(tmp_path / "form.csv")
    (tmp_path / "other.csv").write_text("field,value\na,1\n")
    with pytest.raises(InputError, match="no row 'design'; expected the rows of the form"):
        prior_from_form(tmp_path / "other.csv")


# ---- synthetic cohorts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_have_their_known_auc(name):
    """AUC = Phi(b1/0.9*0.85/sqrt 2) by the identity; by 6,000 SYNTHETIC patients, diluted a little by error."""
    known = {"null": 0.5, "weak": 0.586, "base": 0.652, "strong": 0.777, "reversed": 0.348}[name]
    assert auc_of_slope(SCENARIOS[name].b1) == pytest.approx(known, abs=0.001)
    cohort = synthetic_cohort(name, 6000, seed=1)
    chosen = [one for one in cohort.patients if one.platform == "ELISA" and one.level.censoring == "none"]
    levels = np.log([one.level.value for one in chosen])
    response = np.array([one.response for one in chosen])
    ranks = pd.Series(levels).rank().to_numpy()
    yes, no = response.sum(), len(response) - response.sum()
    auc = (ranks[response == 1].sum() - yes * (yes + 1) / 2) / (yes * no)
    assert auc == pytest.approx(0.5 + 0.92 * (known - 0.5), abs=0.03)


def test_synthetic_cohorts_are_labelled_and_repeatable():
    one, again, other = (synthetic_cohort("base", 50, seed=seed) for seed in (1, 1, 2))
    assert one.digest == again.digest != other.digest
    assert one.synthetic
    assert all(patient.id.startswith("SYN-") and patient.synthetic for patient in one.patients)
    assert "SYNTHETIC" in one.source
    assert 0.05 < np.mean([patient.level_24h is None for patient in one.patients]) < 0.3
    for name in ("zhao", "kurtzberg", "niu2024"):
        assert name not in one.source
    with pytest.raises(UnknownName, match="unknown scenario 'bse'. Try: 'base'"):
        synthetic_cohort("bse")
    with pytest.raises(UsageError, match="n=0"):
        synthetic_cohort(n=0)


def test_the_shipped_cohort_has_the_columns_of_a_cohort_file(repository):
    path = repository / "models/data/cxcl10_cohort_SYNTHETIC.csv"
    header = next(line for line in path.read_text().splitlines() if not line.startswith("#")).split(",")
    assert {
        "patient",
        "cxcl10_0h",
        "cxcl10_24h",
        "unit",
        "platform",
        "lloq",
        "uloq",
        "grade",
        "liver",
        "age",
        "response",
    } <= set(header)
    assert read_cohort(path).synthetic


# ---- designs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auc", "parameters", "patients"),
    [(0.65, 1, 131), (0.65, 4, 522), (0.70, 1, 72), (0.70, 4, 290), (0.75, 1, 45), (0.75, 4, 180), (0.80, 4, 122)],
)
def test_riley_sample_size(auc, parameters, patients):
    """Known answers, R2 by simulation there and by quadrature here: to 1 % or one patient."""
    table = sample_size(auc, parameters).set_index("criterion")["patients"]
    assert table["shrinkage of 0.9"] == pytest.approx(patients, abs=max(1, 0.01 * patients))
    assert table["response rate to +/-0.05"] == 369
    assert table["response rate to +/-0.1"] == 93  # 92.2, rounded up


POWER = {
    "predictive": ((0.16, 0.45), (0.24, 0.73), (0.34, 0.90), (0.52, 0.99)),
    "prognostic": ((0.15, 0.15), (0.24, 0.25), (0.34, 0.34), (0.52, 0.52)),
    "mixed": ((0.16, 0.27), (0.24, 0.48), (0.33, 0.67), (0.52, 0.86)),
}


@pytest.mark.parametrize("marker", POWER)
def test_enrichment_power(marker):
    """Known answers by simulation; the normal approximation agrees to 0.025."""
    table = enrichment_power(marker)
    for row, (everybody, high) in zip(table.itertuples(), POWER[marker], strict=True):
        assert row.all == pytest.approx(everybody, abs=0.025)
        assert row.enriched == pytest.approx(high, abs=0.025)
        assert row.screened == 2 * row.patients


def test_an_unreliable_marker_enriches_less():
    """Reliability 0.8 costs 1 to 5 points."""
    lost = enrichment_power("predictive").enriched - enrichment_power("predictive", reliability=0.8).enriched
    assert lost.between(0.005, 0.055).all()


def test_the_adaptive_design_holds_its_error_and_helps_a_predictive_marker():
    none = adaptive_design("none", 240, treated=0.5, replicates=20_000)
    assert none.rejected < 0.025 + 3 * np.sqrt(0.025 * 0.975 / 20_000)
    predictive, prognostic = adaptive_design("predictive", 240), adaptive_design("prognostic", 240)
    assert predictive.rejected > predictive.single_stage + 0.1
    assert predictive.enriched > prognostic.enriched
    assert none.mean_patients <= 240


def test_assurance_is_below_the_power_at_the_truth_and_grows(prior):
    table = assurance(prior, (80, 400), draws=200)
    assert table["all"].is_monotonic_increasing
    assert 0.05 < table["all"].iloc[0] < table["all"].iloc[1] < 0.7


@pytest.mark.slow
def test_slope_learning_of_the_null_stays_at_its_nominal_rate(prior):
    table = slope_learning(prior, (40,), ("null", "strong"), replicates=10).set_index("scenario")
    assert table.loc["null", "positive"] <= 0.25
    assert table.loc["strong", "positive"] > 0.6
    assert table.loc["strong", "mean_estimate"] > 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: sample_size(0.5), "auc=0.5"),
        (lambda _: enrichment_power("best"), "unknown marker 'best'"),
        (lambda _: enrichment_power(share=1.0), "share=1.0"),
        (lambda _: adaptive_design(n=20), "n=20"),
        (lambda p: assurance(p, draws=2), "draws=2"),
        (lambda p: slope_learning(p, replicates=1), "replicates=1"),
    ],
)
def test_impossible_designs_are_refused(prior, call, message):
    with pytest.raises((UsageError, UnknownName), match=message):
        call(prior)


def test_no_design_speaks_of_a_level(prior):
    for table in (sample_size(), *(enrichment_power(marker) for marker in MARKERS), assurance(prior, draws=20)):
        assert "pg/mL" not in table.to_string()
        assert table.attrs["banner"]


# ---- performance -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged():
    """Scores that are right: SYNTHETIC responses drawn from them."""
    rng = np.random.default_rng(2)
    scores = rng.beta(3, 2, 600)
    return scores, (rng.random(600) < scores).astype(float)


def test_a_right_score_lies_on_the_diagonal(judged):
    curve = calibration_curve(*judged, np.random.default_rng(0))
    middle = curve[curve["score"].between(0.3, 0.9)]
    assert (middle["observed"] - middle["score"]).abs().max() < 0.08
    assert (middle["lower"] < middle["observed"]).all()
    assert (middle["observed"] < middle["upper"]).all()
    table = calibration(*judged, np.random.default_rng(0)).set_index("measure")
    assert table.loc["ici", "estimate"] < 0.05
    few = calibration(judged[0][:100], judged[1][:100], np.random.default_rng(0))
    assert "ici" not in set(few["measure"])


def test_strategies_and_what_knowing_the_best_is_worth(judged):
    scores, responses = judged
    alternative = (np.arange(len(scores)) % 2).astype(float)
    table = decision_curve(scores, responses, np.random.default_rng(0), alternative=alternative)
    sums = table[["p_best", "p_best_all", "p_best_none", "p_best_alternative"]].sum(axis=1)
    assert (sums <= 1 + 1e-9).all()
    assert (table["evpi"] >= -1e-12).all()
    row = table.set_index("threshold").loc[0.6]
    treated = scores >= 0.6
    exact = np.mean(responses * treated) - np.mean((1 - responses) * treated) * 0.6 / 0.4
    assert row["net_value"] == pytest.approx(exact)
    assert row["p_best"] > 0.95
    assert row["alternative"] == pytest.approx(np.mean((responses - (1 - responses) * 1.5) * alternative))


@pytest.mark.slow
def test_optimism_is_positive_and_taken_off(prior):
    cohort = synthetic_cohort("base", 40, seed=3)
    table = prior.internal_validation(cohort, refits=10, seed=1).set_index("measure")
    assert table.loc["auc", "optimism"] > 0
    assert table.loc["auc", "corrected"] < table.loc["auc", "apparent"]
    assert table.loc["auc", "corrected"] == pytest.approx(table.loc["auc", "apparent"] - table.loc["auc", "optimism"])
    with pytest.raises(UsageError, match="refits=3"):
        prior.internal_validation(cohort, refits=3)


@pytest.mark.slow
def test_each_trial_is_judged_by_the_others(prior):
    cohort = synthetic_cohort("base", 90, seed=3)
    patients = (dataclasses.replace(one, trial=f"T{k % 2}", plate="") for k, one in enumerate(cohort.patients))
    table = prior.leave_one_trial_out(Cohort(tuple(patients), cohort.source), seed=1)
    assert table["trial"].tolist() == ["T0", "T1"]
    assert (table["auc_lower"] < table["auc"]).all()
    with pytest.raises(CohortError, match="one trial only"):
        prior.leave_one_trial_out(cohort)


def test_thresholds_come_from_utilities_alone(prior):
    cohort = synthetic_cohort("base", 30, seed=3)
    scorer = prior.update(cohort, draws=1000, contrast=False)
    table = scorer.decide(cohort, alternative="ruxolitinib", cost=0.03)
    assert (table["threshold"] == 0.65).all()
    assert table["expected_gain"].to_numpy() == pytest.approx((table["p_response"] - 0.65).to_numpy())
    assert (table["evpi"] >= -1e-12).all()
    assert scorer.decide(cohort, alternative="best_available")["threshold"][0] == 0.39
    with pytest.raises(UnknownName, match="unknown alternative 'ruxolitnib'. Try: 'ruxolitinib'"):
        scorer.decide(cohort, alternative="ruxolitnib")
    with pytest.raises(UsageError, match="expected a sum between 0 and 1"):
        scorer.decide(cohort, alternative=0.9, cost=0.2)


def test_a_declared_alternative_names_every_patient(prior):
    cohort = synthetic_cohort("base", 30, seed=3)
    scorer = prior.scorer(draws=500)
    rule = {one.id: one.grade == "D" for one in cohort.patients}
    assert "alternative" in scorer.decision_curve(cohort, alternative=rule)
    with pytest.raises(UsageError, match="no alternative for patient 'SYN-0001'"):
        scorer.decision_curve(cohort, alternative={})


# ---- what else a table may hold --------------------------------------------------------------------------------------

HEAD = {"patient": "P1", "cxcl10_0h": "640", "unit": "pg/mL", "platform": "ELISA"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"st2": "30"}, r"column 'st2': no unit. Try: a header 'st2 \[pg/mL\]'"),
        ({"st2 [mol/L]": "30"}, r"column 'st2': 'mol/L': cannot turn mol/L into pg/mL"),
        ({"st2 [pg/mL]": "-1"}, r"column 'st2': -1; expected a level above 0"),
        ({"delay": "-3"}, r"column 'delay': -3; expected days from steroids to MSC"),
        ({"ruxolitinib": "perhaps"}, r"column 'ruxolitinib': 'perhaps'; expected 1 or 0"),
        ({"age [weeks]": "30"}, r"unit 'weeks' of age; expected years or months"),
        ({"child": "1", "age": "40"}, r"column 'child': '1' beside age 40; expected one statement"),
        ({"cxcl10_0h_2": "high"}, r"column 'cxcl10_0h_2': 'high'; expected a level above 0"),
    ],
)
def test_further_columns_are_checked(columns, message):
    with pytest.raises(CohortError, match=message):
        cohort_from_frame(pd.DataFrame([HEAD | columns]))


def test_a_replicate_of_a_missing_level_is_refused():
    with pytest.raises(CohortError, match="a replicate of a missing level"):
        cohort_from_frame(pd.DataFrame([HEAD | {"cxcl10_0h": "", "cxcl10_0h_2": "640"}]))


def test_ages_in_months_by_their_header_are_divided():
    cohort = cohort_from_frame(pd.DataFrame([HEAD | {"age [months]": "96"}]))
    assert (cohort.patients[0].age, cohort.patients[0].child) == (8.0, True)
    assert any("ages were read as months" in note for note in cohort.notes)


def test_more_than_half_of_the_responses_missing_makes_a_note():
    rows = [HEAD | {"patient": f"P{k}", "response": "1" if k == 0 else ""} for k in range(5)]
    assert any("4 of 5 responses are missing" in note for note in cohort_from_frame(pd.DataFrame(rows)).notes)


def test_further_columns_are_written_and_read_again():
    row = HEAD | {
        "cxcl10_0h_2": "<700", "platform_2": "MSD", "plate_2": "b", "plate": "a", "trial": "T", "delay": "9",
        "child": "1", "basiliximab": "0", "ruxolitinib": "1", "viral": "", "st2 [ng/mL]": "30", "reg3a [pg/mL]": "9000",
    }  # fmt: skip
    cohort = cohort_from_frame(pd.DataFrame([row]))
    again = cohort_from_frame(cohort.to_frame())
    assert again.patients == cohort.patients
    one = cohort.patients[0]
    assert (str(one.replicates[0].level), one.replicates[0].platform, one.replicates[0].plate) == ("<700", "MSD", "b")
    assert (one.trial, one.plate, one.delay, one.basiliximab, one.ruxolitinib, one.viral) == (
        "T",
        "a",
        9,
        False,
        True,
        None,
    )


def test_a_single_patient_with_a_response_updates_the_intercept_alone(prior):
    cohort = cohort_from_frame(pd.DataFrame([HEAD | {"response": "1"}]))
    scorer = prior.update(cohort, draws=500)
    assert scorer.updated == "alpha"
    assert any("all of one outcome" in note for note in scorer.notes)
