"""SBML: what is written is valid and means the same to libRoadRunner; what is read means the same to us."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from designs import DESIGNS
from mscpkpd.dosing import Regimen, bolus, infusion
from mscpkpd.errors import DosingError, UnknownName, UsageError
from mscpkpd.modelfile import load_model
from mscpkpd.modelfile.save import save_model
from mscpkpd.sbml.reading import read_sbml
from mscpkpd.sbml.writing import write_sbml
from mscpkpd.simulation import simulate
from reference import solver
from reference.runs import run
from reference.small_models import model, parameter, route
from sbml_files import complaints, roadrun

AGREES = 1e-6  # rule L9, of each value
FLOOR = 1e-9  # of the largest value of the series
SAME = 1e-10  # formulas written and read, of the largest: each number has 15 digits
CANNOT_CHECK = 99505  # libSBML cannot check units of functions


def _cases():
    """One design for each model at once, all others among the slow tests."""
    seen = set()
    for design in DESIGNS:
        later = design.model in seen
        seen.add(design.model)
        yield pytest.param(design, id=design.key, marks=[pytest.mark.slow] if later else [])


every_design = pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.key)


def assert_same(found, expected, states):
    """Every state, to the tolerance of the library."""
    for state in states:
        floor = FLOOR * np.max(np.abs(expected[state]))
        np.testing.assert_allclose(found[state], expected[state], AGREES, floor, err_msg=state)


def times_of(design, described):
    """Times of a design that are no times of events, where before and after differ."""
    doses = solver.events(described, design.regimen, described.values, weight=design.weight)
    moments = [each[0] for each in doses]
    return np.array([t for t in design.path_times if t > 0 and all(abs(t - m) > 1e-6 * (1 + m) for m in moments)])


# ---- the library, to libRoadRunner and back


@pytest.mark.parametrize("design", list(_cases()))
def test_roadrunner_agrees_with_the_engine(design, tmp_path):
    described = design.load()
    path = write_sbml(described, tmp_path / "model.xml", design.regimen, design.weight)
    times = times_of(design, described)
    expected = run(described, design.regimen, times, weight=design.weight)
    assert_same(roadrun(path, described.state_names, times), expected, described.state_names)


@every_design
def test_what_is_written_is_valid_and_reads_back(design, tmp_path):
    """libSBML finds nothing wrong; units are kept; rates, outputs and doses have the same values at random states."""
    described = design.load()
    path = write_sbml(described, tmp_path / "model.xml", design.regimen, design.weight)
    assert {number for _, number, _ in complaints(path)} <= {CANNOT_CHECK}
    again = read_sbml(path)
    assert again.notices == ()
    assert again.state_names == described.state_names
    assert set(again.output_names) == set(described.output_names)
    assert {row.name: row.noise for row in again.outputs} == {row.name: row.noise for row in described.outputs}
    rng = np.random.default_rng(5)
    horizon = max(design.times)
    for moment in horizon * rng.random(5):
        states = list(10 ** rng.uniform(-3, 3, len(described.states)))
        one, other = (_movement(each, doses, moment, states, design.weight) for each, doses in (
            (described, design.regimen), (again, again.doses)))  # fmt: skip
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(b, a, SAME, SAME * (1 + np.max(np.abs(a))))


def _movement(described, regimen, moment, states, weight):
    """Rates with infusions, amounts given so far by bolus, outputs, and start values."""
    rates = dict(described.rates)
    names = [row.name for row in described.outputs]
    texts = tuple(str(rates[name]) for name in described.state_names)
    outputs = tuple(str(described.output(name).expression) for name in sorted(names))
    starts = tuple(str(row.start) if row.start is not None else "0" for row in described.states)
    flow = np.array(solver.compiled(described, texts)(moment, states, described.values), float)
    given, infused, most = np.zeros((3, len(states)))
    for time, jump, rate in solver.events(described, regimen, described.values, weight=weight):
        if time <= moment:
            infused, given, most = infused + rate, given + jump, np.maximum(most, np.abs(rate))
    flow = flow + np.where(np.abs(infused) > SAME * most, infused, 0.0)  # rounding leaves some when an infusion ends
    shown = np.array(solver.compiled(described, outputs)(moment, states, described.values), float)
    begun = np.array(solver.compiled(described, starts)(0.0, [0.0] * len(states), described.values), float)
    return flow, given, shown, begun


ROUND_TRIPS = ("two_functional_compartments/mouse", "pk_one_compartment/", "cart_expansion/")


@pytest.mark.parametrize("design", [each for each in DESIGNS if each.key in ROUND_TRIPS], ids=lambda each: each.key)
def test_what_is_read_back_runs_the_same(design, tmp_path):
    described = design.load()
    again = load_model(write_sbml(described, tmp_path / "model.xml", design.regimen, design.weight))
    times = times_of(design, described)
    expected = run(described, design.regimen, times, weight=design.weight)
    assert_same(run(again, again.doses, times), expected, described.state_names)
    assert again.doses


# ---- doses


def one_state(**options):
    """A depot with a lag, and a modelled duration or rate."""
    return model(
        {"a": "-k*a", "b": "k*a - k*b"},
        (parameter("k", 0.3, "1/h"), parameter("D", 2.0, "h"), parameter("R", 40.0, "cells/h"),
         parameter("F", 0.8, "1"), parameter("lag", 1.5, "h")),
        units={"a": "cells", "b": "cells"},
        routes=(route("iv", {"a": "viable", "b": "(1 - viable)*0.5"}, viable="F", **options),),
    )  # fmt: skip


TIMED = {
    "bolus": {},
    "lag": {"lag": "lag"},
    "duration": {"duration": "D"},
    "rate": {"rate": "R"},
    "both": {"duration": "2*D", "lag": "lag + D"},
    "no duration": {"duration": "0*D"},
}


@pytest.mark.parametrize("timing", TIMED)
def test_every_kind_of_dose(timing, tmp_path):
    """Together at one time, with its own viable fraction, into a state, over a time, per kg."""
    described = one_state(**TIMED[timing])
    regimen = (
        bolus("100 cells", "iv") + bolus("50 cells", "iv", viable=0.3) + bolus("7 cells", "b", at="3 h")
        + infusion("2 cells/kg", "iv", "4 h", at="2 h", every="1 h", doses=3) + bolus("9 cells", "a", at="3 h")
    )  # fmt: skip
    path = write_sbml(described, tmp_path / "model.xml", regimen, "10 kg")
    times = np.array([0.2, 1.7, 2.4, 4.6, 5.3, 7.7, 9.9, 14.2])
    expected = run(described, regimen, times, weight=10.0)
    assert_same(roadrun(path, ("a", "b"), times), expected, ("a", "b"))
    again = read_sbml(path)
    assert again.notices == ()
    assert_same(run(again, again.doses, times), expected, ("a", "b"))


def test_a_model_keeps_its_own_doses(tmp_path):
    """What is read is simulated without naming a schedule; what is named replaces it."""
    described = one_state()
    again = read_sbml(write_sbml(described, tmp_path / "model.xml", bolus("100 cells", "iv", at="1 h")))
    alone = simulate(again, times=[0.5, 1.0, 2.0], outputs=["a"])["a"].values.ravel()
    np.testing.assert_allclose(alone, [0, 80, 80 * np.exp(-0.3)], rtol=1e-7, atol=1e-12)
    assert np.all(simulate(again, Regimen(()), times=[2.0], outputs=["a"])["a"].values == 0)
    assert write_sbml(again, tmp_path / "twice.xml").exists()
    twice = read_sbml(tmp_path / "twice.xml")
    np.testing.assert_allclose(simulate(twice, times=[2.0], outputs=["a"])["a"].values.ravel(), alone[2:], rtol=1e-7)


def test_doses_come_back_as_doses(tmp_path):
    """By their routes and with their amounts, infusions as infusions, although SBML knows only events."""
    described = load_model("two_functional_compartments", "mouse")
    regimen = infusion("1e6 cells", "iv", "30 min", every="7 d", doses=3) + bolus("2e5 cells", "ip", at="50 h")
    again = read_sbml(write_sbml(described, tmp_path / "model.xml", regimen))
    assert again.doses.doses == regimen.doses
    assert again.parameter_names[: len(described.parameters)] == described.parameter_names
    assert {name: str(rate) for name, rate in again.rates} == {
        name: ast.unparse(ast.parse(str(rate))) for name, rate in described.rates
    }


def test_doses_are_not_lost_in_a_model_file(tmp_path):
    """A file without doses is an ordinary model; doses of the model itself are refused, not dropped."""
    path = write_sbml(one_state(), tmp_path / "model.xml", bolus("1 cells", "iv"))
    with pytest.raises(UsageError, match=r"1 doses belong to model 'small'\. Try: model\.to_sbml"):
        save_model(read_sbml(path), tmp_path / "model.toml")
    plain = read_sbml(write_sbml(one_state(), path))
    assert load_model(save_model(plain, tmp_path / "model.toml")).rates == plain.rates


def test_a_dose_in_another_unit(tmp_path):
    """Milligrams into a state in grams: as the engine has it."""
    described = model({"a": "-k*a"}, (parameter("k", 0.3, "1/h"),), units={"a": "g"}, routes=(route("iv", {"a": "1"}),))
    regimen = bolus("1500 mg", "iv") + infusion("500 mg", "a", "2 h", at="1 h")
    path = write_sbml(described, tmp_path / "model.xml", regimen)
    times = np.array([0.5, 1.5, 4.0])
    expected = run(described, regimen, times)
    assert expected["a"][0] == pytest.approx(1.5 * np.exp(-0.15))
    assert_same(roadrun(path, ("a",), times), expected, ("a",))
    again = read_sbml(path)
    assert_same(run(again, again.doses, times), expected, ("a",))
    assert [str(dose.amount) + dose.unit for dose in again.doses] == ["1.5g", "0.5g"]


def test_a_model_without_doses_asks_for_a_schedule():
    with pytest.raises(UsageError, match=r"has no doses of its own\. Try: simulate\(model, bolus"):
        simulate(one_state(), until="1 d")


@pytest.mark.parametrize(
    ("regimen", "error", "message"),
    [
        (bolus("1 cells/kg", "iv"), DosingError, "needs a body weight"),
        (bolus("1 cells", "nose"), UnknownName, "unknown route 'nose'"),
    ],
)
def test_doses_that_cannot_be_written(regimen, error, message, tmp_path):
    with pytest.raises(error, match=message):
        write_sbml(one_state(), tmp_path / "model.xml", regimen)
    assert not list(tmp_path.iterdir())


def test_a_negative_duration_is_refused(tmp_path):
    described = one_state(duration="-D")
    with pytest.raises(DosingError, match="duration -2 of a dose by 'iv' is negative"):
        write_sbml(described, tmp_path / "model.xml", bolus("1 cells", "iv"))


def test_to_sbml_is_a_method(tmp_path):
    path = one_state().to_sbml(tmp_path / "model.xml", bolus("1 cells", "iv"))
    assert read_sbml(path).state_names == ("a", "b")


def test_every_word_of_the_language_is_written(tmp_path):
    """Functions, comparisons, powers and conversions, at several times."""
    text = (
        "where(w*t <= 2, exp(-x), sqrt(abs(x))) + min(x, 2, w*t) + max(x, -3) + log(x + 1)**2 + hill(x, 2, 1.5)"
        " + where(x > 0.5, 1, -1)/(1 + x) - where(w*t > 3, 0.1, 0)*where(x >= 0.1, 1, 2)"
    )
    described = model(
        {"x": "-k*x"},
        (parameter("k", 0.3, "1/h"), parameter("w", 1.0, "1/h")),
        outputs={"y": (text, "1", None)},
        units={"x": "1"},
        starts={"x": "4"},
    )
    path = write_sbml(described, tmp_path / "model.xml")
    times = np.array([0.5, 1.9, 2.5, 3.5, 9.0])
    expected = run(described, Regimen(()), times, ("y",))["y"]
    np.testing.assert_allclose(roadrun(path, ("y",), times)["y"], expected, rtol=AGREES)
    again = read_sbml(path)
    assert again.notices == ()
    np.testing.assert_allclose(run(again, Regimen(()), times, ("y",))["y"], expected, rtol=1e-7)


def test_the_page_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "exchange.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(code, "exchange.md", "exec"), names)  # noqa: S102 - the page is the test
    assert "3  336 h (14 d)  1e+06 cells  iv     30 min" in capsys.readouterr().out
    assert names["sims"]["lung"].max() > 5e5
