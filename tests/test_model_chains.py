"""Chains: states in series, written once, are the states, rates and sums that one would write by hand."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from mscpkpd.dosing import bolus
from mscpkpd.errors import InputError, ModelError, UnknownName
from mscpkpd.expressions import parse, to_sympy
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.simulation import simulate

CHAIN = 'lung = { stages = 3, unit = "cells", rate = "stages*k_L", in = "k_B*blood", about = "Cells in lung" }'
HEAD = """
format = 1
name = "chained"
title = "Cells pass the lung in steps"
conserved = ["blood", "lung", "gone"]

[parameters]
k_B = { value = 20, unit = "1/h" }
k_L = { value = 0.03, unit = "1/h" }
k_X = { value = 0.01, unit = "1/h" }

[states]
blood = { unit = "cells" }
gone  = { unit = "cells" }
"""
TAIL = """
[routes]
iv           = { into = { blood = "1" } }
intratracheal = { into = { lung = "0.9", gone = "0.1" } }

[outputs]
lung_cells = { is = "lung", unit = "cells" }
"""
CHAINED = f"""{HEAD}
[chains]
{CHAIN}

[rates]
blood = "-k_B*blood"
gone  = "lung_out"
{TAIL}"""
BY_HAND = f"""{HEAD.replace('"lung"', '"lung_1", "lung_2", "lung_3"')}
lung_1 = {{ unit = "cells", about = "Cells in lung, stage 1 of 3" }}
lung_2 = {{ unit = "cells", about = "Cells in lung, stage 2 of 3" }}
lung_3 = {{ unit = "cells", about = "Cells in lung, stage 3 of 3" }}

[rates]
blood  = "-k_B*blood"
gone   = "lung_out"
lung_1 = "k_B*blood - 3*k_L*lung_1"
lung_2 = "3*k_L*lung_1 - 3*k_L*lung_2"
lung_3 = "3*k_L*lung_2 - 3*k_L*lung_3"

[derived]
lung     = {{ is = "lung_1 + lung_2 + lung_3", unit = "cells", about = "Cells in lung" }}
lung_out = {{ is = "3*k_L*lung_3", unit = "cells/h", about = "What leaves the last stage of lung" }}
{TAIL.replace("into = { lung ", "into = { lung_1 ")}"""
SINGLE = """
format = 1
name = "single"
title = "Cells stay in lung"
conserved = ["blood", "lung", "gone"]

[parameters]
k_B = { value = 20, unit = "1/h" }
k_L = { value = 0.03, unit = "1/h" }

[states]
blood = { unit = "cells" }
lung  = { unit = "cells", start = "5" }
gone  = { unit = "cells" }

[routes]
intratracheal = { into = { lung = "1" } }

[rates]
blood = "-k_B*blood"
lung  = "k_B*blood - k_L*lung"
gone  = "k_L*lung"

[outputs]
lung_cells = { is = "lung", unit = "cells" }
"""
CHILD = f"""
format = 1
name = "child"
extend = "single"

[chains]
{CHAIN}

[rates]
gone = "lung_out"
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="model.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def symbolic(model, state):
    """Rate of a state in parameters and states alone."""
    formula = to_sympy(model.rate(state), model.units)
    for row in reversed(model.derived_in_order):
        formula = formula.subs(sympy.Symbol(row.name, real=True), to_sympy(row.expression, model.units))
    return sympy.expand(formula)


# ---- laws


def test_a_chain_is_what_one_would_write_by_hand(write, tmp_path):
    chained, by_hand = load_model(write(CHAINED)), load_model(write(BY_HAND, "by_hand.toml"))
    assert chained == by_hand
    texts = [save_model(model, tmp_path / f"{i}.toml").read_text() for i, model in enumerate((chained, by_hand))]
    assert texts[0] == texts[1]
    assert "chains" not in texts[0]
    assert load_model(tmp_path / "0.toml") == chained


def test_a_chain_of_one_stage_is_the_single_state(write):
    single = load_model(write(SINGLE, "single.toml"))
    child = load_model(write(CHILD, "child.toml"), stages={"lung": 1})
    assert child.state_names == ("blood", "lung_1", "gone")
    stage, state = (sympy.Symbol(name, real=True) for name in ("lung_1", "lung"))
    for one, other in zip(child.state_names, single.state_names, strict=True):
        assert symbolic(child, one).subs(stage, state) == symbolic(single, other)


@given(
    stages=st.integers(1, 12),
    rate=st.sampled_from(
        ["k_L", "stages*k_L", "k_L + k_X", "-(k_L - k_X)", "k_L*stages/2", "hill(lung/gone, 9, 2)*k_L"]
    ),
    inflow=st.sampled_from([None, "k_B*blood", "k_B*blood - k_X*gone", "-k_X*gone"]),
)
def test_what_leaves_a_stage_enters_the_next(tmp_path_factory, stages, rate, inflow):
    """The sum of the stages changes by what enters the first and what leaves the last."""
    entering = f', in = "{inflow}"' if inflow else ""
    row = f'lung = {{ stages = {stages}, unit = "cells", rate = "{rate}"{entering} }}'
    path = tmp_path_factory.mktemp("chain") / "model.toml"
    path.write_text(CHAINED.replace(CHAIN, row))
    model = load_model(path)
    assert len(model.states) == stages + 2
    total = sum(symbolic(model, f"lung_{i}") for i in range(1, stages + 1))
    leaving = symbolic(model, "gone")
    entered = to_sympy(parse(inflow or "0"), model.units)
    assert sympy.expand(total + leaving - entered) == 0


def test_the_time_in_a_chain_has_a_gamma_distribution(write):
    """n stages at n k_L: the share still there is that of an Erlang law with mean 1/k_L."""
    model = load_model(write(CHAINED), stages={"lung": 5})
    times = [5.0, 20.0, 33.0, 60.0, 120.0]
    sims = simulate(model, bolus("1e6 cells", route="intratracheal"), times=times, outputs=["lung_cells", "gone"])
    expected = 0.9e6 * gamma.sf(times, 5, scale=1 / (5 * 0.03))
    np.testing.assert_allclose(sims["lung_cells"].values.ravel(), expected, rtol=1e-6)
    np.testing.assert_allclose(sims["gone"].values.ravel(), 1e6 - expected, rtol=1e-6)


# ---- what the rows become


def test_a_chain_takes_the_place_of_the_state_it_replaces(write):
    write(SINGLE, "single.toml")
    model = load_model(write(CHILD, "child.toml"))
    assert model.state_names == ("blood", "lung_1", "lung_2", "lung_3", "gone")
    assert [state for state, _ in model.rates] == list(model.state_names)
    assert model.conserved == model.state_names
    assert [state for state, _ in model.route("intratracheal").into] == ["lung_1"]
    assert model.state("lung_1").start is None  # a chain starts empty


@pytest.mark.parametrize(
    ("rate", "inflow", "first", "second"),
    [
        ("k_L", None, "-k_L*lung_1", "k_L*lung_1 - k_L*lung_2"),
        ("stages*k_L", "k_B*blood", "k_B*blood - 2*k_L*lung_1", "2*k_L*lung_1 - 2*k_L*lung_2"),
        ("k_L + k_X", None, "-(k_L + k_X)*lung_1", "(k_L + k_X)*lung_1 - (k_L + k_X)*lung_2"),
        ("k_L/2", "k_X*blood + k_B*blood", "k_X*blood + k_B*blood - k_L/2*lung_1", "k_L/2*lung_1 - k_L/2*lung_2"),
        ("-k_L", None, "-(-k_L)*lung_1", "(-k_L)*lung_1 - (-k_L)*lung_2"),
    ],
)
def test_parentheses_stand_where_they_are_needed(write, rate, inflow, first, second):
    entering = f', in = "{inflow}"' if inflow else ""
    row = f'lung = {{ stages = 2, unit = "cells", rate = "{rate}"{entering} }}'
    model = load_model(write(CHAINED.replace(CHAIN, row)))
    assert (str(model.rate("lung_1")), str(model.rate("lung_2"))) == (first, second)


def test_a_file_may_have_chains_and_no_other_states(write):
    text = """
        format = 1
        name = "transit"
        [parameters]
        k = { value = 2, unit = "1" }
        [chains]
        a = { stages = 2, unit = "1", rate = "k*stages_of_mine" }
        b = { stages = 2, unit = "1", rate = "k", in = "a_out" }
        [derived]
        stages_of_mine = { is = "k", unit = "1" }
    """
    model = load_model(write(text))
    assert model.state_names == ("a_1", "a_2", "b_1", "b_2")
    assert str(model.rate("b_1")) == "a_out - k*b_1"
    assert set(model.units.values()) == {"h", "1"}  # unit "1" throughout stays so, and switches the check of units off
    assert model.state("a_2").about == "Stage 2 of 2"


def test_what_leaves_has_the_unit_per_time(write):
    days = CHAINED.replace("title =", 'time = "d"\ntitle =').replace('"1/h"', '"1/d"')
    assert load_model(write(days)).units["lung_out"] == "cells/d"


# ---- another number of stages


def test_the_number_of_stages_can_be_given_at_loading(write):
    path = write(CHAINED)
    assert [len(load_model(path, stages={"lung": n}).states) for n in (1, 3, 7)] == [3, 5, 9]
    assert load_model(path, stages={}) == load_model(path)


def test_an_extending_file_changes_the_number_of_stages(write):
    write(CHAINED)
    few = 'format = 1\nname = "few"\nextend = "model"\n[chains]\n'
    assert len(load_model(write(few + "lung = { stages = 2 }\n", "few.toml")).states) == 4
    whole = few + 'lung = { stages = 2, unit = "cells", rate = "k_X" }\n'
    assert str(load_model(write(whole, "few.toml")).rate("lung_1")) == "-k_X*lung_1"  # a whole row brings its own `in`


def test_an_extending_file_writes_a_chain_as_a_single_state_again(write):
    write(CHAINED)
    text = """
        format = 1
        name = "one"
        extend = "model"
        [states]
        lung = { unit = "cells" }
        [rates]
        lung = "k_B*blood - k_L*lung"
        gone = "k_L*lung"
    """
    assert load_model(write(text, "one.toml")).state_names == ("blood", "gone", "lung")


# ---- refused

EXTENDING = 'format = 1\nname = "child"\nextend = "model"\n'
REFUSED = {
    "no stages": ("stages = 3, ", "", r"\[chains\].lung: no stages; expected .*Try: lung = { stages = 4"),
    "0 stages": ("stages = 3", "stages = 0", r"\[chains\].lung: stages is 0; expected a whole number from 1 to 100"),
    "half a stage": ("stages = 3", "stages = 2.5", "stages is 2.5; expected a whole number from 1"),
    "true stages": ("stages = 3", "stages = true", "stages is True; expected a whole number from 1"),
    "too many stages": ("stages = 3", "stages = 101", "stages is 101; expected a whole number from 1 to 100"),
    "no rate": ('rate = "stages*k_L", ', "", r"\[chains\].lung: no rate; expected .*Try: lung = { stages = 4"),
    "no unit": ('unit = "cells", rate', "rate", r"\[chains\].lung: no unit"),
    "an unknown unit": ('unit = "cells", rate', 'unit = "sells", rate', r"\[chains\].lung: unknown unit 'sells'"),
    "an unknown key": ("rate =", "raet =", "unknown key 'raet'. Try: 'rate'"),
    "an unknown name in the rate": ("*k_L", "*k_l", r"\[chains\].lung, rate: unknown name 'k_l'. Try: 'k_L'"),
    "an unknown name that enters": ("k_B*blood", "k_B*blod", r"\[chains\].lung, in: unknown name 'blod'. Try: 'blood'"),
    "a rate of another unit": ("stages*k_L", "k_L*blood", r"\[chains\].lung, rate: rate is cell/h; expected 1/h"),
    "an inflow of another unit": ("k_B*blood", "k_B", r"\[chains\].lung, in: in is 1/h; expected cells/h"),
    "a rate that closes a bracket": ("stages*k_L", "k_L) - (k_L", r"\[chains\].lung, rate: .* cannot be read"),
    "code": ("stages*k_L", "__import__('os')", r"\[chains\].lung, rate: unknown function '__import__'"),
    "a number for a rate": ('"stages*k_L"', "3", r"\[chains\].lung, rate: 3 is no formula; expected a text"),
    "a bad name": ("lung = {", "'lu-ng' = {", r"\[chains\]: name 'lu-ng'; expected a letter"),
    "a row that is none": (CHAIN, "lung = 3", r"\[chains\].lung: the row is 3; expected a row in braces"),
    "a state besides": ("[states]", '[states]\nlung = { unit = "cells" }', r"lung: 'lung' stands in \[states\] too"),
    "a rate besides": ("[rates]", '[rates]\nlung = "0"', r"\[chains\].lung: 'lung' stands in \[rates\] too. Try"),
    "a stage besides": (
        "[states]",
        '[states]\nlung_2 = { unit = "cells" }',
        r"\[chains\].lung: the chain makes 'lung_2', which stands in \[states\] too. Try: another name",
    ),
    "the sum besides": (
        "[chains]",
        '[derived]\nlung = { is = "2*blood", unit = "cells" }\n[chains]',
        r"the chain makes 'lung', which stands in \[derived\] too. Try: .*without = \[\"derived.lung\"\]",
    ),
    "the sum and the first stage": (
        'lung = "0.9", gone',
        'lung = "0.9", lung_1',
        r"\[routes\].intratracheal, into: 'lung' and 'lung_1' are the same state. Try: 'lung_1' alone",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_a_chain_is_named_where_it_was_written(write, case):
    old, new, message = REFUSED[case]
    assert old in CHAINED
    with pytest.raises(ModelError, match=f"(?s)model.toml: .*{message}") as caught:
        load_model(write(CHAINED.replace(old, new)))
    assert str(caught.value).count("unknown name") <= 1  # once, not for each stage


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"long": 2}, r"stages: unknown chain 'long'. Try: 'lung'"),
        ({"lung": 0}, r"\[chains\].lung: stages is 0; expected a whole number from 1 to 100. Try: stages = 4"),
        ({"lung": "3"}, r"\[chains\].lung: stages is '3'; expected a whole number"),
    ],
)
def test_a_number_of_stages_that_cannot_be_is_refused(write, stages, message):
    with pytest.raises((ModelError, UnknownName), match=message):
        load_model(write(CHAINED), stages=stages)


def test_a_model_without_chains_has_no_stages(write):
    with pytest.raises(
        ModelError, match=r"stages: 'lung' is no chain: the model has none. Try: \[chains\] with lung ="
    ):
        load_model(write(SINGLE), stages={"lung": 2})


def test_the_rate_of_a_chain_of_the_base_cannot_be_written_alone(write):
    write(CHAINED)
    with pytest.raises(
        ModelError, match=r"child.toml: \[rates\].lung: 'lung' is a chain of states. Try: a row \[chains\]"
    ):
        load_model(write(EXTENDING + '[rates]\nlung = "0"\n', "child.toml"))


def test_any_number_of_stages_reads_back(write, tmp_path):
    for stages, unit in itertools.product((1, 2, 100), ("cells", "pg/mL")):
        text = CHAINED.replace('unit = "cells"', f'unit = "{unit}"')
        model = load_model(write(text), stages={"lung": stages})
        assert load_model(save_model(model, tmp_path / "saved.toml")) == model


@given(st.data())
def test_a_damaged_chain_is_a_model_or_an_error_with_advice(tmp_path_factory, data):
    start = data.draw(st.integers(0, len(CHILD) - 1))
    length = data.draw(st.integers(0, 30))
    pieces = ['"', "{", "]", "= 3", "[x]\n", "stages", "'''", "lung", "without = ['states.lung']\n", "in = 3, ", "\n"]
    new = data.draw(st.one_of(st.text(max_size=5), st.sampled_from(pieces)))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "single.toml").write_text(SINGLE)
    (folder / "child.toml").write_text(CHILD[:start] + new + CHILD[start + length :], "utf-8", errors="replace")
    with contextlib.suppress(InputError):
        assert str(load_model(folder / "child.toml"))
