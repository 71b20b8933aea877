"""`Model`: lookups, changed copies, the readable text, and the check of names and units."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from mscpkpd.errors import ModelError, ParameterError, UnknownName
from mscpkpd.expressions import parse
from mscpkpd.model import Derived, Model, Output, Route, State, Variability, check
from mscpkpd.noise import Noise
from mscpkpd.parameters import FIXED, Parameter, Prior


def parameter(name, value, unit, prior="fixed", **more):
    return Parameter(name, value, unit, Prior.parse(prior), **{"about": "x", "source": "y", "evidence": "read", **more})


@pytest.fixture
def model():
    return Model(
        name="small",
        title="Cells in lung and what they make",
        about="For tests.",
        time="h",
        parameters=(
            parameter("k_L", 0.03, "1/h", "lognormal(0.03, 0.4)"),
            parameter("F_v", 0.9, "1", "logitnormal(0.9, 0.08)"),
            parameter(
                "q", 0.0, "pg/cell/h", "lognormal(0.002, 1)", evidence="assumed", low=0.0, high=0.02, source="guess"
            ),
            parameter("V", 2.0, "mL"),
            parameter("EC", 1.0, "ng/mL", "lognormal(1, 1)"),
            parameter("delay", 0.5, "h"),
            parameter("s", 0.3, "1", "halfnormal(0.5)"),
        ),
        states=(State("lung", "cells", "Viable cells"), State("pge2", "pg", start=parse("0*V*EC*1000"))),
        routes=(Route("iv", (("lung", parse("viable")),), viable="F_v", lag=parse("delay")),),
        rates=(("lung", parse("-k_L*lung")), ("pge2", parse("q*lung - 2*k_L*pge2"))),
        derived=(
            Derived("effect", "1", parse("hill(level, EC, 1)")),
            Derived("level", "ng/mL", parse('to(pge2/V, "ng/mL")')),
            Derived("half_life", "h", parse("log(2)/k_L")),
        ),
        outputs=(
            Output("lung_cells", parse("lung"), "cells", Noise.parse("lognormal(s)")),
            Output("lung", parse("lung"), "cells"),
        ),
        variability=(Variability("k_L", "subject", 0.5, evidence="assumed"),),
        references=("lee_2009",),
        values_name="mouse",
        conserved=("lung",),
    )


# ---- lookups and copies


def test_a_sound_model_passes(model):
    assert check(model) == ()


def test_rows_are_found_by_name(model):
    assert model.parameter("V").value == 2.0
    assert model.state("lung").unit == "cells"
    assert model.route("iv").viable == "F_v"
    assert model.output("lung_cells").noise == Noise("lognormal", ("s",))
    assert str(model.rate("lung")) == "-k_L*lung"
    assert model.parameter_names[:2] == ("k_L", "F_v")
    assert model.state_names == ("lung", "pge2")
    assert model.route_names == ("iv",)
    assert model.output_names == ("lung_cells", "lung")


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("parameter", "k_l", "'k_L'"),
        ("state", "lungs", "'lung'"),
        ("route", "i.v.", "'iv'"),
        ("output", "lung_cell", "'lung_cells'"),
    ],
)
def test_an_unknown_name_is_answered_with_known_ones(model, kind, name, hint):
    with pytest.raises(UnknownName, match=f"unknown {kind} '{name}'. Try: .*{hint}"):
        getattr(model, kind)(name)


def test_numbers_and_units_by_name(model):
    assert model.values["EC"] == 1.0
    assert model.units["t"] == "h"
    assert model.units["pge2"] == "pg"
    assert model.units["effect"] == "1"
    assert model.units["lung_cells"] == "cells"


def test_what_a_fit_estimates_by_default(model):
    # q has value 0: its mechanism is off until someone frees it
    assert model.free_names == ("k_L", "F_v", "EC", "s")
    assert model.fixed == ("q", "V", "delay")
    assert model.noise_parameters == ("s",)


def test_derived_quantities_stand_after_what_they_use(model):
    assert [row.name for row in model.derived_in_order] == ["level", "effect", "half_life"]


def test_the_unit_of_a_dose_is_that_of_the_state(model):
    assert model.amount_unit("iv") == "cells"
    per_cell = Route("iv", (("pge2", parse("q*1*delay")),))
    assert replace(model, routes=(per_cell,)).amount_unit("iv") == "cell"


@pytest.mark.parametrize(("name", "value"), [("k_L", -1.0), ("F_v", 1.5)])
def test_fixing_outside_the_support_is_refused(model, name, value):
    with pytest.raises(ParameterError, match=f"{name} fixed at {value:g}; expected a value inside log.*Try: "):
        model.fix(**{name: value})


def test_fixing_gives_a_new_model(model):
    fixed = model.fix(k_L=0.05, q=0)
    assert fixed.parameter("k_L").value == 0.05
    assert fixed.parameter("k_L").prior == FIXED
    assert model.parameter("k_L").value == 0.03
    assert fixed.free_names == ("F_v", "EC", "s")
    assert replace(fixed, parameters=model.parameters) == model


def test_other_values_keep_their_priors(model):
    assert model.replace_values({"k_L": 0.06}).parameter("k_L").prior == model.parameter("k_L").prior


def test_a_prior_can_be_replaced(model):
    changed = model.with_prior("k_L", "lognormal(0.1, 0.3)")
    assert str(changed.parameter("k_L").prior) == "lognormal(0.1, 0.3)"
    assert changed.parameter("k_L").value == 0.03


def test_a_mechanism_that_is_freed_starts_at_the_median_of_its_prior(model):
    freed = model.with_prior("q", Prior.parse("lognormal(0.004, 1)"))
    assert freed.parameter("q").value == pytest.approx(0.004)
    assert "q" in freed.free_names


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: m.fix(k_l=1), UnknownName, "unknown parameter 'k_l'. Try: 'k_L'"),
        (lambda m: m.fix(k_L=float("nan")), ParameterError, "k_L is nan"),
        (lambda m: m.fix(k_L="fast"), ParameterError, "k_L is 'fast'; expected a finite number"),
        (lambda m: m.replace_values({"F_v": 2}), ParameterError, "F_v is 2, outside its prior logitnormal"),
        (lambda m: m.with_prior("k_L", "lognormal(1)"), ParameterError, "prior of k_L: prior .* has 1 arguments"),
        (lambda m: m.with_prior("EC", "beta(1, 1)"), ParameterError, "EC is 1, outside its prior"),
    ],
)
def test_an_impossible_change_is_refused(model, change, error, message):
    with pytest.raises(error, match=message):
        change(model)


def test_a_model_is_a_value(model):
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301 - our own bytes
    assert replace(model, source_path="/elsewhere") == model
    assert hash(model) == hash(replace(model))


# ---- text


def test_the_text_shows_what_a_reader_judges(model):
    text = str(model)
    assert text.startswith("small (values: mouse): Cells in lung and what they make\nFor tests.\n")
    # assumed numbers come first
    assert text.index("Assumed numbers (1 of 7)") < text.index("Equations") < text.index("Parameters")
    for part in (
        "q  0 pg/cell/h (off)  0 to 0.02  guess",
        "d lung/dt = -k_L*lung    [cells/h]",
        "at time 0: pge2 = 0*V*EC*1000; all others 0",
        'level      = to(pge2/V, "ng/mL")',
        "iv: lung viable; viable F_v, lag delay",
        "lung_cells  = lung  [cells]  lognormal(s)",
        "no noise: cannot be fitted",
        "lognormal(0.03, 0.4)",
        "k_L: 0.5 between subjects (assumed)",
        "References: lee_2009",
    ):
        assert part in text


def test_the_short_text_counts(model):
    assert repr(model) == "Model('small', values='mouse': 2 states, 7 parameters, 2 outputs)"


def test_notices_are_shown_and_do_not_count(model):
    noticed = replace(model, notices=("[rates].x: a factor 0.001",))
    assert "Notice: [rates].x: a factor 0.001" in str(noticed)
    assert noticed == model


def test_a_bare_model_has_a_text():
    bare = Model("bare", "", "h", (), (State("x", "1"),), (), (("x", parse("0")),))
    assert "d x/dt = 0" in str(bare)
    assert "Routes" not in str(bare)


# ---- check


def with_rate(model, text):
    return replace(model, rates=(("lung", parse(text)), model.rates[1]))


def with_route(model, **changes):
    return replace(model, routes=(replace(model.routes[0], **changes),))


def with_output(model, **changes):
    return replace(model, outputs=(replace(model.outputs[0], **changes),))


def with_derived(model, *rows):
    return replace(model, derived=tuple(Derived(name, unit, parse(text)) for name, unit, text in rows))


BROKEN = {
    "no states": (lambda m: replace(m, states=(), rates=()), r"\[states\]: the model has no states"),
    "reserved name": (lambda m: replace(m, states=(State("t", "cells"),)), "name 't' has a meaning of its own"),
    "a name twice": (
        lambda m: replace(m, parameters=(*m.parameters, parameter("lung", 1.0, "1"))),
        r"\[states\].lung: 'lung' stands in \[parameters\] too",
    ),
    "an output that is not its state": (
        lambda m: with_output(m, name="pge2"),
        r"\[outputs\].pge2: 'pge2' stands in \[states\] too. Try: is = \"pge2\"",
    ),
    "a state without a rate": (lambda m: replace(m, rates=m.rates[1:]), r"\[rates\]: state 'lung' has no rate"),
    "a rate without a state": (
        lambda m: replace(m, rates=(*m.rates, ("lungs", parse("0")))),
        r"\[rates\].lungs: unknown state 'lungs'. Try: 'lung'",
    ),
    "an unknown name in a rate": (
        lambda m: with_rate(m, "-k_l*lung"),
        r"\[rates\].lung: unknown name 'k_l'. Try: 'k_L'",
    ),
    "viable in a rate": (lambda m: with_rate(m, "-k_L*viable"), r"\[rates\].lung: unknown name 'viable'"),
    "a wrong unit in a rate": (
        lambda m: with_rate(m, "-k_L*lung*lung"),
        r"\[rates\].lung: rate of lung is cell\*\*2/h; expected cell/h",
    ),
    "a sum of different units": (
        lambda m: with_rate(m, "lung - k_L*lung"),
        "'lung' is cell and 'k_L \\* lung' is cell/h",
    ),
    "a wrong unit of an output": (
        lambda m: with_output(m, unit="cells/kg"),
        r"\[outputs\].lung_cells: lung_cells is cell; expected cells/kg",
    ),
    "an unknown unit": (lambda m: with_output(m, unit="cels"), r"\[outputs\].lung_cells: unknown unit 'cels'.*'cells'"),
    "a unit of time that is none": (
        lambda m: replace(m, time="cells"),
        "time: time is in 'cells'; expected a unit of time",
    ),
    "an unknown noise parameter": (
        lambda m: with_output(m, noise=Noise.parse("lognormal(sigma)")),
        r"\[outputs\].lung_cells, noise: unknown parameter 'sigma'",
    ),
    "noise of another unit": (
        lambda m: with_output(m, noise=Noise.parse("additive(s)")),
        r"\[outputs\].lung_cells: s in additive\(s\) is 1; expected cells",
    ),
    "power noise of another unit": (
        lambda m: with_output(m, noise=Noise.parse("power(s, 0.5)")),
        r"s in power\(s, 0.5\) is 1; expected cell\*\*0.5",
    ),
    "exponent with a unit": (
        lambda m: with_output(m, noise=Noise.parse("power(s, V)")),
        r"V in power\(s, V\) is mL; expected 1",
    ),
    "a circle": (
        lambda m: with_derived(m, ("one", "1", "two"), ("two", "1", "three*2"), ("three", "1", "one")),
        "in a circle: one -> two -> three -> one",
    ),
    "derived of another unit": (
        lambda m: with_derived(m, ("level", "ng/mL", "pge2")),
        r"\[derived\].level: level is pg; expected ng/mL",
    ),
    "an unknown name in derived": (
        lambda m: with_derived(m, ("level", "1", "foo")),
        r"\[derived\].level: unknown name 'foo'",
    ),
    "a start that moves": (
        lambda m: replace(m, states=(m.states[0], replace(m.states[1], start=parse("lung")))),
        r"\[states\].pge2, start: 'lung' changes in time; expected parameters",
    ),
    "a start of another unit": (
        lambda m: replace(m, states=(m.states[0], replace(m.states[1], start=parse("V")))),
        r"\[states\].pge2: start of pge2 is mL; expected pg",
    ),
    "a route into nowhere": (lambda m: with_route(m, into=()), r"\[routes\].iv: the route leads nowhere"),
    "a route into an unknown state": (
        lambda m: with_route(m, into=(("lungs", parse("1")),)),
        r"\[routes\].iv, into: unknown state 'lungs'. Try: 'lung'",
    ),
    "a fraction that moves": (
        lambda m: with_route(m, into=(("lung", parse("effect")),)),
        r"\[routes\].iv, into lung: 'effect' changes in time",
    ),
    "an unknown fraction": (
        lambda m: with_route(m, into=(("lung", parse("viabel")),)),
        r"\[routes\].iv, into lung: unknown name 'viabel'. Try: 'viable'",
    ),
    "doses of two units": (
        lambda m: with_route(m, into=(("lung", parse("viable")), ("pge2", parse("1")))),
        r"\[routes\].iv: the dose into pge2 is in pg; expected cell, as into lung",
    ),
    "an unknown viable fraction": (
        lambda m: with_route(m, viable="F_w"),
        r"\[routes\].iv, viable: unknown parameter 'F_w'",
    ),
    "a viable fraction with a unit": (lambda m: with_route(m, viable="V"), "viable fraction V is mL; expected 1"),
    "a lag that is no time": (lambda m: with_route(m, lag=parse("V")), r"\[routes\].iv: lag is mL; expected h"),
    "a lag that moves": (lambda m: with_route(m, lag=parse("t")), r"\[routes\].iv, lag: 't' changes in time"),
    "a rate that is none": (lambda m: with_route(m, rate=parse("k_L")), r"\[routes\].iv: rate is 1/h; expected cell/h"),
    "variability of nothing": (
        lambda m: replace(m, variability=(Variability("k_l", "subject", 0.1),)),
        r"\[variability\].k_l: unknown parameter 'k_l'. Try: 'k_L'",
    ),
    "an unknown level": (
        lambda m: replace(m, variability=(Variability("k_L", "subjekt", 0.1),)),
        "unknown level 'subjekt'. Try: 'subject'",
    ),
    "a negative SD": (
        lambda m: replace(m, variability=(Variability("k_L", "lot", -0.1),)),
        r"\[variability\].k_L: SD between lots is -0.1; expected 0 or more",
    ),
    "an unknown conserved state": (lambda m: replace(m, conserved=("lungs",)), "conserved: unknown state 'lungs'"),
    "conserved states of two units": (
        lambda m: replace(m, conserved=("lung", "pge2")),
        "conserved: cannot turn cells into pg|cannot turn pg",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_with_its_place(model, case):
    change, message = BROKEN[case]
    with pytest.raises(ModelError, match=f"(?s)^model small: .*({message})"):
        check(change(model))


def test_all_findings_are_reported_together(model):
    broken = with_output(with_rate(model, "-k_L*lung*lung"), unit="h")
    with pytest.raises(ModelError, match=r"(?s)2 problems.*rate of lung is.*lung_cells is cell; expected h"):
        check(broken)


def test_an_output_may_be_a_state_or_a_derived_quantity_of_its_name(model):
    row = Output("level", parse("level"), "ng/mL")
    assert check(replace(model, outputs=(*model.outputs, row))) == ()


def test_another_size_of_a_unit_is_a_notice_and_refused_in_shipped_models(model):
    other = with_derived(model, ("level", "ng/mL", "pge2/V"))
    notice = r"[derived].level: the unit of level implies a factor 0.001; numbers are taken as written"
    assert check(other) == (notice,)
    with pytest.raises(ModelError, match=r"implies a factor 0.001.*Try: to\(..., \"unit\"\) in a shipped model"):
        check(other, shipped=True)


def test_unit_one_throughout_switches_the_check_off():
    bare = Model(
        "bare",
        "",
        "h",
        (parameter("k", 1.0, "1"),),
        (State("x", "1"),),
        (Route("iv", (("x", parse("1")),)),),
        (("x", parse("-k*x + exp(x)")),),
    )
    assert check(bare) == ()
    with pytest.raises(ModelError, match="rate of x is 1; expected 1/h"):
        check(replace(bare, parameters=(*bare.parameters, parameter("V", 1.0, "mL"))))


def test_a_shipped_model_says_where_its_numbers_come_from(model):
    rows = (parameter("a", 1.0, "1", source=""), parameter("b", 1.0, "1", evidence="assumed"))
    with pytest.raises(
        ModelError, match=r"(?s)\[parameters\].a: no source.*\[parameters\].b: assumed and without a range"
    ):
        check(replace(model, parameters=(*model.parameters, *rows)), shipped=True)
