"""Covariates in fits: subjects with other records are other groups, which both engines predict, and fits learn from.

All data here are SYNTHETIC.
"""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from covariate_models import touched
from event_models import FIXED, TEXT, frame, loaded
from mscpkpd import cli
from mscpkpd.data import Study, study_from_frame
from mscpkpd.errors import DataError, UsageError
from mscpkpd.fitting.api import fit, load_fit
from mscpkpd.model import Model
from mscpkpd.plots.curves import fitted_curves
from mscpkpd.problem import Problem, pose
from mscpkpd.simulation import simulate

RULES = ("locf", "nocb", "linear")
SIZED = TEXT.replace(
    "CL/V*central", "CL*(WT/WT0)**theta/V*central"
).replace("[states]", f"""WT = {{ value = 70, unit = "kg", {FIXED} }}
WT0 = {{ value = 70, unit = "kg", {FIXED} }}
theta = {{ value = 0.6, unit = "1", prior = "normal(0.6, 0.5)", about = "x", source = "test", evidence = "assumed" }}

[states]""")  # fmt: skip


@lru_cache
def sized() -> Model:
    """One compartment whose clearance follows the body weight; CL, V, theta and the noise can be learned."""
    model = loaded(SIZED)
    for name, prior in (("CL", "lognormal(4, 0.8)"), ("V", "lognormal(40, 0.8)"), ("s", "halfnormal(0.3)")):
        model = model.with_prior(name, prior)
    return model


def table_of(model: Model, rule: str = "nocb", noise: float = 0.0, subjects: int = 6, seed: int = 1) -> pd.DataFrame:
    """Subjects whose weight changes from visit to visit and while infusions run, the last but constant; SYNTHETIC."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for k in range(subjects):
        weight = 40 + 12 * k
        times = [1.0, 4.0, 12.0, 20.0, 24.5, 30.0, 48.0]
        rows.append({"ID": k, "TIME": 0.0, "EVID": 1, "AMT": 100, "DUR": 3, "ADDL": 1, "II": 24, "WT": weight})
        for number, time in enumerate(times):
            moved = weight * (1 + 0.1 * (number + 1) * (-1) ** k) if number % 2 else None
            rows.append({"ID": k, "TIME": time, "EVID": 0, "WT": None if k == 5 else moved})
    table = pd.DataFrame(rows).rename(columns={"WT": "WT [kg]"}).assign(CMT="central", SYNTHETIC="true")
    made = simulate(model, events=table.drop(columns="SYNTHETIC"), covariates=rule, outputs=["conc"])
    seen = (table["EVID"] == 0).to_numpy()
    table["DV"] = np.nan
    table.loc[seen, "DV"] = made["conc"].to_numpy() * (1 + noise * rng.standard_normal(len(made)))
    return table.assign(CMT=np.where(seen, "conc", "central"))


def study_of(table: pd.DataFrame, rule: Any = None) -> Study:
    return study_from_frame(table, unit="mg/L", time_unit="h", amount_unit="mg", covariates=rule)


@lru_cache
def problem_of(rule: str) -> Problem:
    return pose(sized(), study_of(table_of(sized(), rule), rule))


# ---- predictions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_a_fit_predicts_what_a_simulation_of_the_same_table_says(rule: str) -> None:
    problem = problem_of(rule)
    theta = np.array([sized().parameter(name).value for name in problem.names])
    assert problem.predict(theta).value == pytest.approx(problem.rows.value, rel=1e-6)


def test_subjects_with_other_records_are_other_groups() -> None:
    problem = problem_of("nocb")
    assert [group.subjects for group in problem.groups] == [(str(k),) for k in range(6)]
    assert problem.groups[5].course is not None
    assert not problem.groups[5].course.varies
    assert problem.rows.rules == {"WT": "nocb"}
    assert "WT" not in problem.fixed
    alike = table_of(sized(), subjects=2).assign(ID=lambda each: each["ID"] * 0)
    two = pd.concat([alike.iloc[:8].assign(ID="a"), alike.iloc[:8].assign(ID="b")])
    (group,) = pose(sized(), study_of(two)).groups
    assert group.subjects == ("a", "b")


@pytest.mark.parametrize("rule", ["nocb", pytest.param("linear", marks=pytest.mark.slow)])
def test_l9_both_engines_predict_the_rows_with_the_same_gradient(rule: str) -> None:
    problem = problem_of(rule)
    assert problem.sampled_by == "exact"
    theta = problem.start * 1.1
    predicted = problem.predict(theta, jacobian=True)
    rows, back = problem.linearized(theta)
    assert rows == pytest.approx(predicted.value, rel=1e-6)
    weights = np.random.default_rng(0).standard_normal(len(rows))
    assert back(weights) == pytest.approx(weights @ predicted.jacobian, rel=1e-5)


@pytest.mark.slow
def test_a_traced_prediction_is_the_same() -> None:
    import jax

    problem = problem_of("nocb")
    rows, back = problem.linearized(problem.start)
    again, pull = jax.vjp(jax.jit(problem.traced()), problem.start)
    assert np.asarray(again) == pytest.approx(rows, rel=1e-7)
    weights = np.ones(len(rows))
    assert np.asarray(pull(weights)[0]) == pytest.approx(back(weights), rel=1e-6)


def test_l8_derivatives_of_rows_are_central_differences() -> None:
    problem = problem_of("locf")
    theta = problem.start
    slope = problem.predict(theta, jacobian=True).jacobian
    for k in range(len(theta)):
        by = np.zeros(len(theta))
        by[k] = 1e-3 * max(abs(theta[k]), 0.1)
        ends = [problem.predict(theta + sign * by).value for sign in (2, 1, -1, -2)]
        numeric = (8 * (ends[1] - ends[2]) - (ends[0] - ends[3])) / (12 * by[k])
        assert slope[:, k] == pytest.approx(numeric, rel=1e-5, abs=1e-6 * float(np.max(np.abs(numeric), initial=1e-9)))


def test_a_fraction_that_depends_on_a_covariate_is_exact_too() -> None:
    """Food: F of each dose is that of its own time; outputs have the value of their own record."""
    model = touched().with_prior("CL", "lognormal(5, 0.5)").with_prior("s", "halfnormal(0.3)")
    text = (
        "ID TIME EVID AMT ADDL II CMT DVID DV x\n1 0 1 100 2 12 fed . . 1\n1 6 0 . . . conc conc 1 1.3\n"
        "1 11 2 . . . conc . . 0.7\n1 18 0 . . . conc conc 1 1.2\n1 30 0 . . . conc conc 1 .\n"
        "2 0 1 100 2 12 fed . . 0.9\n2 6 0 . . . conc conc 1 1.1\n2 30 0 . . . conc conc 1 0.8"
    )
    for rule in ("locf", "nocb"):
        study = study_from_frame(frame(text), unit="mg/L", time_unit="h", amount_unit="mg", covariates=rule)
        problem = pose(model, study)
        assert problem.sampled_by == "exact"
        simulated = simulate(model, events=frame(text), covariates=rule)
        wanted = [value for value, name in zip(simulated["conc"], simulated["DVID"], strict=True) if name == "conc"]
        assert problem.predict(problem.start).value == pytest.approx(wanted, rel=1e-6)
        if rule == "locf":
            rows, _ = problem.linearized(problem.start)
            assert rows == pytest.approx(wanted, rel=1e-6)


def test_where_the_exact_engine_cannot_follow_the_stiff_one_samples() -> None:
    """K4: exchange with coefficients that follow a straight line; a lag that depends on a covariate."""
    model = touched().with_prior("CL", "lognormal(5, 0.5)").with_prior("s", "halfnormal(0.3)")
    text = "ID TIME EVID AMT CMT DVID DV y\n1 0 1 100 fed . . 1\n1 6 0 . conc conc 1 1.3\n1 9 0 . conc conc 1 1.1"
    for rule, engine in (("locf", "exact"), ("linear", "stiff")):
        study = study_from_frame(frame(text), unit="mg/L", time_unit="h", amount_unit="mg", covariates=rule)
        assert pose(model, study).sampled_by == engine
    lagged = study_from_frame(frame(text.replace("fed", "iv")), unit="mg/L", time_unit="h", amount_unit="mg")
    assert pose(model, lagged).sampled_by == "stiff"


def test_a_problem_with_covariates_travels_between_processes() -> None:
    problem = problem_of("locf")
    again = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own
    assert np.array_equal(again.predict(problem.start).value, problem.predict(problem.start).value)


# ---- what is learned -------------------------------------------------------------------------------------------------


@lru_cache
def fitted() -> Any:
    return fit(
        sized(), study_of(table_of(sized(), noise=0.05, subjects=8)), "least_squares", free=["CL", "V", "theta", "s"]
    )


def test_least_squares_recovers_the_effect_of_a_weight_that_changes() -> None:
    """SYNTHETIC: CL 5, V 50, theta 0.6, noise 5 %, 56 rows; each within three standard errors."""
    found = fitted()
    assert found.converged, found.verdict
    table = found.table.set_index("parameter")
    for name, truth in (("CL", 5.0), ("V", 50.0), ("theta", 0.6)):
        assert abs(table.loc[name, "estimate"] - truth) < 3 * table.loc[name, "sd"]
        assert table.loc[name, "sd"] < 0.1 * max(truth, 0.6)


def test_k1_the_rule_is_written_into_the_fit_and_comes_back(tmp_path: Path) -> None:
    found = fitted()
    assert found.settings["covariates"] == {"WT": "nocb"}
    assert "WT changes within subjects: nocb between its records (K1)" in found.notes
    assert "of each subject, from the study: WT (K1)" in found.notes
    found.save(tmp_path / "run")
    again = load_fit(tmp_path / "run")
    assert again.study.digest == found.study.digest
    assert again.settings["covariates"] == {"WT": "nocb"}
    one, other = (pose(each.model, each.study) for each in (found, again))
    assert other.groups == one.groups


def test_curves_of_a_fit_follow_the_covariates_of_their_group() -> None:
    found = fitted()
    problem = pose(found.model, found.study)
    curves = fitted_curves(found, n_draws=5)
    theta = np.array(
        [dict(zip(found.table["parameter"], found.table["estimate"], strict=True))[n] for n in problem.names]
    )
    predicted = problem.predict(theta).value
    for k in curves["group"].unique()[:2]:
        mine = curves[curves["group"] == k]
        own = problem.rows.group == k
        at = np.interp(problem.rows.time[own], mine["time"], mine["median"])
        assert at == pytest.approx(predicted[own], rel=0.1)


def test_identifiability_of_a_study_knows_its_covariates() -> None:
    """With weights that differ the exponent can be told from the clearance; with one weight it cannot."""
    table = table_of(sized(), subjects=3)
    assert sized().identifiability(study_of(table), free=["CL", "theta"]).groups == ()
    table["WT [kg]"] = 80.0
    (together,) = sized().identifiability(study_of(table), free=["CL", "theta"]).groups
    assert together.names == ("CL", "theta")


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_k1_a_tidy_table_must_declare_its_rule() -> None:
    tidy = pd.DataFrame(
        {"subject": ["a", "a"], "time [h]": [1, 5], "output": "conc", "value [mg/L]": [1.5, 1.0], "dose [mg]": 100,
         "route": "central", "WT": [70, 77]}
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        pose(sized(), study_from_frame(tidy))
    assert str(caught.value) == (
        "study 'frame' with model 'one': subject 'a': 'wt' changes, and nothing says what holds between its records "
        "(K1); expected locf, nocb or linear. Try: covariates='locf'"
    )
    for covariates in ("linear", {"WT": "linear"}):
        problem = pose(sized(), study_from_frame(tidy, covariates=covariates))
        assert problem.rows.rules == {"WT": "linear"}
        assert problem.rows.covariates["WT"].tolist() == [70, 77]


def test_k7_a_subject_without_a_covariate_that_others_have_is_refused() -> None:
    table = table_of(sized(), subjects=2)
    table.loc[table["ID"] == 1, "WT [kg]"] = None
    table = table.rename(columns={"WT [kg]": "WT"})
    with pytest.raises(DataError, match=r"subject '1' has no 'WT', which others have \(K1\). Try: a value in one of"):
        pose(sized(), study_of(table))


@pytest.mark.parametrize(
    ("column", "options", "error", "message"),
    [
        ("CL", {"free": ["CL"]}, DataError, "column 'CL' of the study is a parameter of 'one' that is to be learned"),
        (
            "CL",
            {},
            DataError,
            r"column 'CL' of the study is a parameter of 'one' that is to be learned; expected one of",
        ),
        ("s", {}, DataError, r"column 's' is a parameter of the noise of model 'one'"),
        ("WT", {"fix": {"WT": 70}}, UsageError, r"fix: 'WT' is a column of the study; expected one of the two"),
    ],
)
def test_a_column_that_is_to_be_learned_or_held_is_refused(
    column: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    table = table_of(sized(), subjects=2).rename(columns={"WT [kg]": column})
    table[column] = np.where(np.arange(len(table)) % 2, 60.0, 66.0)
    with pytest.raises(error, match=message):
        fit(sized(), study_of(table), "least_squares", **options)


def test_a_column_of_a_parameter_that_is_not_learned_is_taken() -> None:
    table = table_of(sized(), subjects=2).rename(columns={"WT [kg]": "CL"})
    table["CL"] = 7.0
    problem = pose(sized(), study_of(table), free=["V"])
    assert problem.rows.covariates["CL"].tolist() == [7.0] * len(problem.rows)
    assert problem.rows.rules == {}


def test_k4_a_straight_line_between_categories_is_refused_in_a_fit() -> None:
    model = loaded(SIZED).with_prior("V", "lognormal(40, 0.5)").with_prior("s", "halfnormal(0.3)")
    table = (
        table_of(sized(), subjects=2)
        .rename(columns={"WT [kg]": "F"})
        .assign(CMT=lambda t: t["CMT"].replace("central", "iv"))
    )
    table["F"] = np.where(np.arange(len(table)) % 2, 1, 2)
    with pytest.raises(DataError, match=r"covariates='linear' for 'F', whose values 1, 2 are categories \(K4\)"):
        pose(model, study_of(table, "linear"))


# ---- the shell -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shell_fits_with_the_rule_that_is_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = tmp_path / "one.toml", tmp_path / "study.csv"
    text = SIZED.replace(
        'V  = { value = 50, unit = "L", prior = "fixed"', 'V  = { value = 40, unit = "L", prior = "lognormal(40, 0.5)"'
    )
    model.write_text(
        text.replace(
            's  = { value = 0.1, unit = "1", prior = "fixed"',
            's  = { value = 0.1, unit = "1", prior = "halfnormal(0.3)"',
        )
    )
    table_of(sized(), "linear", noise=0.05).to_csv(data, index=False)
    words = ["fit", str(model), str(data), "--method", "least_squares", "--unit", "mg/L", "--time-unit", "h"]
    words += ["--amount-unit", "mg", "--free", "V,theta,s", "--out", str(tmp_path / "run")]
    assert cli.run([*words, "--covariates", "WT=linear"]) == 0
    shown = capsys.readouterr().out
    assert "WT changes within subjects: linear between its records (K1)" in shown


def test_the_shell_says_that_a_rule_of_a_fit_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "study.csv"
    table_of(sized(), subjects=1).to_csv(data, index=False)
    words = ["fit", "pk_one_compartment", str(data), "--out", str(tmp_path / "run"), "--covariates", "wt=straight"]
    assert cli.run([*words, "--unit", "mg/L", "--time-unit", "h", "--amount-unit", "mg"]) == 2
    assert "expected locf, nocb or linear (K1)" in capsys.readouterr().err
