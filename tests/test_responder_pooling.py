"""Response rates without a marker: the pool of published cohorts, its table, and the closed-form update."""

import csv
import io

import numpy as np
import pytest
from scipy.stats import betabinom

from mscpkpd.errors import ModelError, UnknownName, UsageError
from mscpkpd.parameters import EVIDENCE
from mscpkpd.responder import load_responder, update_rate
from mscpkpd.responder.pooling import Trial, parse_trials, pool_rates

HEAD = "study,n,responders,tissue,in_pool,prospective,evidence"


@pytest.fixture(scope="module")
def prior():
    return load_responder("sr_agvhd_cxcl10")


@pytest.fixture(scope="module")
def rows(repository):
    text = (repository / "models/responder/response_rates.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


# ---- known answers: random-effects logit-binomial model by an independent grid, rounded to three digits --------------

KNOWN = {
    #              trials  responders  n    rate                    tau    new cohort
    "all": (13, 677, 1131, (0.603, 0.559, 0.653), 0.18, (0.602, 0.475, 0.727)),
    "UC": (6, 175, 296, (0.594, 0.523, 0.667), None, (0.594, 0.460, 0.724)),
    "BM": (7, 502, 835, (0.612, 0.524, 0.710), 0.363, (0.611, 0.370, 0.820)),
    "prospective": (8, 239, 392, (0.620, 0.537, 0.713), None, (0.618, 0.402, 0.817)),
    # by 60-node quadrature on mu -4 to 6, tau to 2.5: two trials leave wide tails, which a narrower grid cuts off
    "children": (2, 195, 295, (0.667, 0.522, 0.799), None, (0.667, 0.420, 0.858)),
}


@pytest.mark.parametrize("subset", KNOWN)
def test_pooled_rates(prior, subset):
    trials, responders, patients, rate, tau, new_cohort = KNOWN[subset]
    pooled = prior.response_rate(subset)
    assert (len(pooled.trials), pooled.responders, pooled.patients) == (trials, responders, patients)
    assert pooled.rate == pytest.approx(rate, abs=0.01)
    assert pooled.new_cohort == pytest.approx(new_cohort, abs=0.01)
    if tau is not None:
        assert pooled.tau.median == pytest.approx(tau, abs=0.01)


def test_population_logit(prior):
    pooled = prior.response_rate()
    assert (pooled.mean_logit, pooled.sd_logit) == pytest.approx((0.422, 0.099), abs=0.005)
    assert "677 of 1131 responded: population rate 0.60" in str(pooled)


@pytest.mark.parametrize(("tau_scale", "expected"), [(0.25, (0.495, 0.707)), (1.0, (0.465, 0.735))])
def test_the_prior_of_tau_moves_the_new_cohort_as_known(prior, tau_scale, expected):
    chosen = [trial for trial in prior.trials if trial.pooled]
    assert pool_rates(chosen, tau_scale=tau_scale).new_cohort[1:] == pytest.approx(expected, abs=0.01)


def test_equal_trials_leave_less_spread_than_different_ones():
    """A law: tau follows the heterogeneity, the rate does not."""

    def pooled(*counts: int):
        return pool_rates([Trial(f"t{k}", 100, y, "BM", True, True, "read") for k, y in enumerate(counts)])

    same, apart = pooled(60, 60, 60, 60), pooled(40, 55, 65, 80)
    assert same.tau.median < 0.2 < apart.tau.median
    assert same.rate.median == pytest.approx(apart.rate.median, abs=0.01)


def test_an_unknown_subset_is_refused(prior):
    with pytest.raises(UnknownName, match="unknown subset of trials 'uc'. Try: 'UC'"):
        prior.response_rate("uc")


# ---- the user's own rows, and the prior that a pool makes ------------------------------------------------------------

OWN = {"study": "ours2026", "n": 40, "responders": 16, "tissue": "UC"}


def test_rows_of_the_user_are_pooled_like_the_others(prior):
    pooled = prior.response_rate(rows=[OWN])
    assert len(pooled.trials) == 14
    assert pooled.trials[-1] == "ours2026"
    assert (pooled.responders, pooled.patients) == (677 + 16, 1131 + 40)
    assert pooled.rate.median < prior.response_rate().rate.median
    assert len(prior.response_rate("UC", rows=[OWN]).trials) == 7


def test_a_study_may_be_left_out(prior):
    """Known answer: without Muroi 2013, the outlier, tau falls from 0.18 to 0.15."""
    pooled = prior.response_rate(without=["muroi2013"])
    assert len(pooled.trials) == 12
    assert pooled.tau.median == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rows": [OWN | {"study": "niu2024"}]}, ModelError, "study 'niu2024' stands twice"),
        ({"rows": [OWN | {"responders": 41}]}, ModelError, "41 responders of 40"),
        ({"rows": [OWN | {"country": "FR"}]}, UnknownName, "unknown column of the trial table 'country'"),
        ({"without": ["niu2023"]}, UnknownName, "unknown study 'niu2023'.*Try: 'niu2024'"),
        ({"subset": "children", "without": ["kurtzberg2020", "kurtzberg2020eap"]}, UsageError, "no cohort is left"),
    ],
)
def test_wrong_rows_are_refused(prior, arguments, error, message):
    with pytest.raises(error, match=message):
        prior.response_rate(**arguments)


def test_the_shipped_intercept_is_the_robust_mixture_of_the_pool(prior):
    """The prior of alpha in the file, 0.8 N(0.42, 0.35) + 0.2 N(0, 1.5), is what the pool of all trials gives."""
    shipped, made = prior.definition.prior("alpha"), prior.with_pool().definition.prior("alpha")
    assert made.weights == pytest.approx(shipped.weights)
    assert made.means == pytest.approx(shipped.means, abs=0.01)
    assert made.sds == pytest.approx(shipped.sds, abs=0.02)
    children = prior.with_pool("children").definition.parameter("alpha")
    assert children.prior.means[0] > shipped.means[0]
    assert "kurtzberg2020eap" in children.source


def test_shrunken_rates_lie_between_their_own_and_the_pooled_rate(prior):
    """A law of partial pooling; cohorts with few patients move the most."""
    pooled = prior.response_rate()
    for trial, rate in zip(pooled.table, pooled.shrunken, strict=True):
        own = trial.responders / trial.n
        low, high = sorted((own, pooled.rate.median))
        assert low - 0.01 < rate.median < high + 0.01, trial.study
        assert rate.lower < rate.median < rate.upper
    shrunken = dict(zip(pooled.trials, pooled.shrunken, strict=True))
    assert shrunken["muroi2013"].median < 0.75  # 13 of 14
    assert shrunken["murata2021"].median == pytest.approx(171 / 306, abs=0.03)


# ---- the closed-form update ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("responders", "n", "weight", "mean"),
    [(12, 20, 0.92, 0.60), (6, 20, 0.53, 0.41), (18, 20, 0.45, 0.79), (8, 40, 0.02, 0.22)],
)
def test_intercept_only_table(responders, n, weight, mean):
    updated = update_rate(responders, n)
    assert updated.weights[0] == pytest.approx(weight, abs=0.005)
    assert updated.mean == pytest.approx(mean, abs=0.005)
    assert updated.quantile(0.025) < updated.mean < updated.quantile(0.975)


def test_prior_predictive_tail_is_that_of_the_beta_binomial_mixture():
    counts = np.arange(7)
    below = 0.8 * betabinom.pmf(counts, 20, 24, 16).sum() + 0.2 * betabinom.pmf(counts, 20, 1, 1).sum()
    assert update_rate(6, 20).prior_tail == pytest.approx(2 * below, rel=1e-9)
    assert update_rate(12, 20).prior_tail == 1.0


def test_the_update_is_reported_with_and_without_the_prior():
    text = str(update_rate(6, 20))
    assert text.startswith("6 of 20 responded: 0.30 (0.15-0.52) without the prior, 0.41 (0.17-0.61) with it")
    assert "prior predictive tail probability 0.17" in text


@pytest.mark.parametrize(("responders", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(responders, n):
    with pytest.raises(UsageError, match=rf"{responders} responders of {n}; expected 0 <= responders <= n"):
        update_rate(responders, n)


# ---- the trial table -------------------------------------------------------------------------------------------------


def test_every_row_with_counts_says_how_well_they_are_known(rows):
    for row in rows:
        if row["n"]:
            assert row["evidence"] in EVIDENCE, row["study"]
            assert row["n_evidence"] in EVIDENCE, row["study"]
            assert row["source"], row["study"]
        if row["responders"]:
            assert row["count_evidence"] in EVIDENCE, row["study"]


def test_only_read_cohorts_on_msc_are_pooled(rows):
    pooled = [row for row in rows if row["in_pool"] == "true"]
    assert len(pooled) == 13
    assert {row["arm"] for row in pooled} == {"msc"}
    assert {row["evidence"] for row in pooled} == {"read"}
    assert {row["not_pooled_because"] for row in pooled} == {""}
    assert all(row["not_pooled_because"] for row in rows if row["in_pool"] != "true")


def test_an_unverified_paper_is_an_empty_row(rows):
    """Nothing quantitative about this paper is verified: no number may stand beside its name."""
    (row,) = (row for row in rows if row["study"] == "zhao2025")
    numbers = ("n", "responders", "complete", "partial", "or_percent_reported", "cr_percent_reported")
    assert [row[name] for name in numbers] == [""] * 6
    assert row["evidence"] == row["n_evidence"] == row["count_evidence"] == ""
    assert not any(character.isdigit() for character in row["note"])


def test_second_hand_rows_are_marked(rows):
    marked = {row["study"] for row in rows if row["second_hand"] == "true"}
    assert {"ding2023", "leblanc2008", "reach2_rux"} <= marked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study,n\na,3\n", r"rates.csv: no column evidence, in_pool, prospective, responders, tissue"),
        (f"{HEAD}\na,3,4,BM,true,true,read\n", r"rates.csv row 2: 4 responders of 3; expected 0 <= responders <= n"),
        (f"{HEAD}\na,x,4,BM,true,true,read\n", r"rates.csv row 2: n 'x', responders '4'; expected whole numbers"),
        (f"{HEAD}\na,3,,BM,true,true,read\n", r"rates.csv row 2: 'a' is in the pool without counts"),
        (f"{HEAD}\na,3,2,BM,true,true,read\na,3,2,BM,true,true,read\n", r"row 3: study 'a' stands twice"),
    ],
)
def test_a_wrong_trial_table_is_refused(text, message):
    with pytest.raises(ModelError, match=message):
        parse_trials(text, "rates.csv")
