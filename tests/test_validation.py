"""The known answers: the same table that ``mscpkpd validate`` computes on a user's machine."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from mscpkpd import cli
from mscpkpd.modelfile import load_model, models
from mscpkpd.validation import KnownAnswer, judged, known_answers, rerun, write_table
from mscpkpd.validation import table as tables
from mscpkpd.validation.solving import apart, given, linear, solved

ANSWERS = [(group, answer) for group, answers in known_answers().items() for answer in answers]
CORE = "two_functional_compartments"
LUNG = next(answer for _, answer in ANSWERS if answer.name == "share of the count in lung at 15 min")

outcome = cache(judged)


def named(group, answer):
    return f"{group}: {answer.name}, {answer.model} {' '.join(answer.values)}"


# ---- the table


@pytest.mark.parametrize(("group", "answer"), ANSWERS, ids=[named(*row) for row in ANSWERS])
def test_known_answer(group, answer):
    found = outcome(answer)
    assert found.passed, (
        f"{named(group, answer)}: expected {answer.bound} {answer.expected}, got {found.got} {found.problem}"
    )


def test_every_answer_has_a_name_of_its_own_and_a_source():
    names = [(answer.name, answer.model, answer.values) for _, answer in ANSWERS]
    assert len(set(names)) == len(names)
    assert all(answer.source and answer.unit for _, answer in ANSWERS)
    assert {answer.model for _, answer in ANSWERS} <= set(models())
    assert len(names) > 100


def test_tolerances_are_narrow():
    """No tolerance lets a number pass that is not the known one."""
    for _, answer in ANSWERS:
        if not answer.bound:
            narrow = 1e-5 if answer.expected == 0 else 0.35 * abs(answer.expected)
            assert answer.tolerance <= narrow or answer.source.startswith("Target"), answer.name


# ---- a table that cannot fail proves nothing


@pytest.mark.parametrize(("group", "answer"), ANSWERS[::9], ids=[named(*row) for row in ANSWERS[::9]])
def test_another_number_fails(group, answer):
    step = max(10 * answer.tolerance, 0.01 * abs(answer.expected), 1e-6)
    off = -step if answer.bound == "at most" else step
    if answer.bound:
        off += abs(outcome(answer).got - answer.expected) * (1 if answer.bound == "at least" else -1)
    wrong = replace(answer, expected=answer.expected + off)
    assert not wrong.holds(outcome(answer).got), group


@pytest.mark.parametrize("factor", [0.97, 1.03])
@pytest.mark.parametrize("name", ["k_B", "rho_L", "k_L", "q0", "V_loc", "k_Ploc", "CL_P"])
def test_a_changed_number_of_the_model_fails_the_core_table(name, factor):
    """Three percent in any number behind the reference table are noticed."""
    model = load_model(CORE, "mouse")
    moved = model.replace_values({name: factor * model.values[name]})
    rows = [answer for answer in known_answers()["core"] if answer.values == ("mouse",) and " at " in answer.name]
    assert not all(answer.holds(answer.compute(moved)) for answer in rows)


@pytest.mark.parametrize("name", ["kMTNF", "k_MA", "kTNFM", "k_outT", "x_T10", "Smax"])
def test_a_changed_number_of_endotoxaemia_is_noticed(name):
    model = load_model("endotoxaemia_human", "human_70kg")
    moved = model.replace_values({name: 1.1 * model.values[name]})
    rows = [answer for answer in known_answers()["sepsis"] if answer.model == model.name and "coded" not in answer.name]
    if name == "Smax":  # set by the answers themselves
        assert all(answer.holds(answer.compute(moved)) for answer in rows)
    else:
        assert not all(answer.holds(answer.compute(moved)) for answer in rows)


def test_a_missing_model_fails_and_is_not_skipped():
    found = judged(replace(LUNG, model="no_such_model"))
    assert (found.passed, math.isnan(found.got)) == (False, True)
    assert "no_such_model" in found.problem


def test_missing_values_fail():
    assert "have no value" in judged(replace(LUNG, values=())).problem


def test_a_solve_that_fails_is_a_failure():
    diverging = replace(LUNG, compute=partial(_diverging))
    assert not judged(diverging).passed
    assert judged(diverging).problem


def _diverging(model):
    return solved(model, given(1e6), (1.0, 24.0), {"k_L": -1e6})["lung"][0]


@pytest.mark.parametrize("got", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bound", ["", "at least", "at most"])
def test_what_is_not_finite_never_passes(got, bound):
    assert not replace(LUNG, bound=bound).holds(got)


def test_bounds():
    answer = replace(LUNG, expected=2.0, tolerance=0.5)
    assert [answer.holds(x) for x in (1.4, 1.6, 2.4, 2.6)] == [False, True, True, False]
    assert [replace(answer, bound="at least").holds(x) for x in (1.4, 1.6, 9.0)] == [False, True, True]
    assert [replace(answer, bound="at most").holds(x) for x in (-9.0, 2.4, 2.6)] == [True, True, False]
    with pytest.raises(ValueError, match="below"):
        replace(answer, bound="below").holds(1.0)


# ---- what the answers are computed with


def test_solved_states_and_outputs_by_name():
    model = load_model(CORE, "mouse")
    found = solved(model, given(1e6), (0.0, 1.0))
    assert set(found) == {*model.state_names, *model.output_names}
    assert not np.any(found["depot"])
    assert found["lung_label"][1] == pytest.approx(found["lung"][1] + found["label_lung"][1])
    faster = solved(model, given(1e6), (1.0,), {"k_L": 1.0})["lung"][0]
    assert faster < found["lung"][1]


def test_a_changed_name_that_does_not_exist_is_an_error():
    found = judged(replace(LUNG, compute=lambda model: solved(model, given(1e6), (1.0,), {"k_LL": 1.0})["lung"][0]))
    assert "k_LL" in found.problem


def test_linear_block_of_two_states():
    model = load_model("pk_two_compartment")
    matrix, start = linear(model, given(10.0, "iv", unit="mg"), ("central", "peripheral"))
    p = model.values
    k, k12, k21 = p["CL"] / p["V1"], p["Q2"] / p["V1"], p["Q2"] / p["V2"]
    np.testing.assert_allclose(matrix, [[-k - k12, k21], [k12, -k21]], rtol=1e-12)
    np.testing.assert_allclose(start, [10, 0])


def test_differences_are_relative():
    assert apart(np.array([1.1, 200.0]), np.array([1.0, 200.0])) == pytest.approx(0.1)
    assert apart(np.array([1e-15, 1.0]), np.array([0.0, 1.0])) < 1e-5


# ---- the command

FEW = {"few": (LUNG, replace(LUNG, name="the same", expected=1.0))}


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def command(*words, answers=FEW):
        monkeypatch.setattr(tables, "GROUPS", answers)
        status = cli.run(["validate", *words])
        return status, *capsys.readouterr()

    return command


def test_validate_prints_the_table(shell):
    status, out, _ = shell(answers={"few": FEW["few"][:1]})
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "All 1 known answers pass"
    assert lines[1].split() == ["known", "answer", "model", "source", "expected", "got", "tolerance", "pass"]
    assert "rho_L F_v, to 2 %" in out
    assert out.rstrip().endswith("yes")


def test_validate_fails_with_status_3(shell):
    status, out, _ = shell()
    assert status == 3
    assert out.splitlines()[0] == "FAILED: 1 of 2 known answers"
    assert out.index("NO") < out.index("yes")  # what failed stands first
    content = json.loads(shell("--json")[1])
    assert (content["passed"], [row["pass"] for row in content["answers"]]) == (False, [True, False])


def test_validate_writes_table_and_page(shell, tmp_path):
    status, out, _ = shell("--out", "proof")
    assert status == 3
    assert out.rstrip().endswith("Wrote proof. Open proof/validation.html")
    with (tmp_path / "proof" / "validation.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["pass"] for row in rows] == ["True", "False"]
    assert {"name", "source", "expected", "got", "tolerance", "pass"} <= rows[0].keys()
    content = json.loads((tmp_path / "proof" / "validation.json").read_text())
    assert content["passed"] is False
    assert {"mscpkpd", "pydiffsol", "python"} <= content["made_with"].keys()
    page = (tmp_path / "proof" / "validation.html").read_text()
    assert "1 of 2 known answers pass." in page
    assert "1 known answers FAIL" in page
    assert 'src="http' not in page
    assert shell("--out", "proof")[0] == 3  # an earlier table is replaced


def test_validate_does_not_write_over_something_else(shell, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    status, out, err = shell("--out", "mine")
    assert (status, out) == (2, "")
    assert "is no earlier run" in err


def test_missing_models_are_in_the_table(tmp_path):
    found = rerun({"few": [replace(LUNG, model="no_such_model")]})
    write_table(found, tmp_path / "proof")
    content = json.loads((tmp_path / "proof" / "validation.json").read_text())
    assert content["answers"][0]["got"] is None
    assert "no_such_model" in content["answers"][0]["problem"]
    assert "no_such_model" in (tmp_path / "proof" / "validation.html").read_text()


def test_progress_counts_every_answer():
    told = []
    rerun(FEW, tell=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_an_answer_is_a_value():
    assert isinstance(LUNG, KnownAnswer)
    assert replace(LUNG) == LUNG
