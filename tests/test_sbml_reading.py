"""Reading SBML that other tools wrote: its meaning by libRoadRunner, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import libsbml
import numpy as np
import pytest
import roadrunner

from mscpkpd.errors import ModelError
from mscpkpd.modelfile import load_model
from mscpkpd.sbml.reading import read_sbml
from reference.runs import run
from sbml_files import Maker, roadrun

TIMES = np.array([0.3, 0.9, 1.6, 2.7, 4.4, 8.1])


def compare(made, folder, names, times=TIMES):
    """Every asked state and output, read by us and by libRoadRunner."""
    path = made.write(folder)
    model = read_sbml(path)
    asked = tuple(f"[{name}]" if _is_level(made, name) else name for name in names)
    expected = roadrun(path, asked, times)
    found = run(model, model.doses, times, tuple(names))
    for name, shown in zip(names, asked, strict=True):
        close(found[name], expected[shown], name)
    return model


def close(found, expected, what=""):
    """To the tolerance of the library (L9)."""
    np.testing.assert_allclose(found, expected, 1e-6, 1e-9 * np.max(np.abs(expected)), err_msg=what)


def _is_level(made, name):
    """Whether an id means a concentration."""
    species = made.model.getSpecies(name)
    return species is not None and not species.getHasOnlySubstanceUnits()


def cell():
    """A compartment of 2 L and a rate constant."""
    made = Maker()
    made.compartment("c", 2.0)
    made.parameter("k", 0.4)
    return made


# ---- amounts and concentrations


@pytest.mark.parametrize("only_amount", [True, False])
@pytest.mark.parametrize("start", ["amount", "level"])
def test_what_the_id_of_a_species_means(only_amount, start, tmp_path):
    """The state is what the id means in formulas: here amount or concentration, started by either."""
    made = cell()
    made.species("A", only_amount=only_amount, **{start: 6.0})
    made.species("B", amount=0.0)
    made.reaction("r", {"A": 2}, {"B": 1}, "k*A*c")
    path = made.write(tmp_path)
    model = read_sbml(path)
    found = run(model, model.doses, TIMES)
    expected = roadrun(path, ["A" if only_amount else "[A]", "[B]"], TIMES)
    close(found["A"], expected["A" if only_amount else "[A]"])
    close(found["B"], expected["[B]"])


def test_a_compartment_without_dimensions_holds_amounts(tmp_path):
    made = Maker()
    made.compartment("c", None, dimensions=0)
    made.parameter("k", 0.4)
    made.species("A", amount=6.0)
    made.reaction("r", {"A": 1}, {}, "k*A")
    model = read_sbml(made.write(tmp_path))
    np.testing.assert_allclose(run(model, model.doses, TIMES)["A"], 6 * np.exp(-0.4 * TIMES), 1e-6)


def test_a_conversion_factor_turns_extents_into_amounts(tmp_path):
    made = cell()
    made.parameter("per_extent", 3.0)
    made.species("A", only_amount=True, amount=6.0)
    made.species("B", only_amount=True, amount=1.0).setConversionFactor("per_extent")
    made.reaction("r", {"A": 1}, {"B": 1}, "k*A")
    compare(made, tmp_path, ("A", "B"))


def test_boundary_species_do_not_react(tmp_path):
    made = cell()
    made.species("feed", level=3.0, boundary=True)
    made.species("A", level=0.0)
    made.reaction("r", {"feed": 1}, {"A": 1}, "k*feed*c - k*A*c")
    model = compare(made, tmp_path, ("A",))
    assert model.state_names == ("A",)
    assert model.values["feed"] == 3.0


def test_a_boundary_species_may_follow_a_rule(tmp_path):
    made = cell()
    made.species("feed", level=3.0, boundary=True)
    made.species("A", level=0.0)
    made.rule("Rate", "feed", "-0.1*feed")
    made.reaction("r", {"feed": 1}, {"A": 1}, "k*feed*c")
    compare(made, tmp_path, ("A", "feed"))


# ---- formulas


FORMULAS = {
    "functions": "exp(-x) + ln(x + 2) + sqrt(x + 1) + abs(x - 1) + x^1.5",
    "hyperbolic": "tanh(x) + sinh(x/5) - cosh(x/5) + sech(x) + coth(x + 1) + csch(x + 1)",
    "logarithms and roots": "log10(x + 1) + log(2, x + 3) + root(3, x + 1)",
    "constants": "pi*x + exponentiale + 0*avogadro",
    "sums of many": "plus(x, 1, 2, x) + times(x, 2, x) + (-x)",
    "piecewise": "piecewise(1, x < 0.5, 2, x < 1.5, 3)",
    "words between": "piecewise(x, x > 0.4 && x < 1.2 || time > 6, 7*x)",
    "not": "piecewise(x, !(x > 0.7), 5)",
    "always": "piecewise(x, true, 5) + piecewise(x, false, 5)",
    "least and most": "min(x, 1) + max(x, 0.2, 0.3)",
    "a function of the file": "square_and(x, 3) + twice(square_and(x, x))",
    "time": "x*time + piecewise(1, time > 3, 0)",
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_formulas_mean_the_same(formula, tmp_path):
    made = Maker()
    made.function("twice", "lambda(a, a + a)")
    made.function("square_and", "lambda(a, b, a^2 + twice(b))")
    made.parameter("x", 2.0, constant=False)
    made.parameter("y", constant=False)
    made.rule("Rate", "x", "-0.4*x")
    made.rule("Assignment", "y", formula)
    model = compare(made, tmp_path, ("y",))
    assert model.output_names == ("y",)


def test_names_of_other_tools(tmp_path):
    """Underscores, words of the language and of Python become names that formulas allow."""
    made = Maker()
    for name in ("_k", "exp", "lambda", "t"):
        made.parameter(name, 0.5)
    made.parameter("_x", 1.0, constant=False)
    rule = made.model.createRateRule()
    rule.setVariable("_x")
    top = libsbml.parseL3Formula("-_k*a1*a2*a3*_x")
    for old, new in (("a1", "exp"), ("a2", "lambda"), ("a3", "t")):
        top.renameSIdRefs(old, new)
    rule.setMath(top)
    path = made.write(tmp_path)
    model = read_sbml(path)
    assert model.state_names == ("x",)
    assert set(model.parameter_names) == {"k", "exp_1", "lambda_1", "t_1"}
    np.testing.assert_allclose(run(model, model.doses, TIMES)["x"], np.exp(-(0.5**4) * TIMES), 1e-7)


def test_start_values_may_depend_on_each_other(tmp_path):
    made = cell()
    made.parameter("total", 5.0)
    made.parameter("derived_once")
    made.parameter("share", constant=False)
    made.species("A", level=1.0)
    made.species("B", level=1.0)
    made.start("A", "0.4*total")
    made.start("B", "total - A + k*time")
    made.start("derived_once", "A*B/c")
    made.rule("Assignment", "share", "A/(A + B)")
    made.reaction("r", {"A": 1}, {"B": 1}, "k*A*c*derived_once")
    model = compare(made, tmp_path, ("A", "B"))
    assert model.fix(total=10).values["total"] == 10


def test_local_parameters_and_flows(tmp_path):
    """The same local name in two reactions; a reaction named in a rule."""
    made = cell()
    made.species("A", level=1.0)
    made.species("B", level=0.0)
    made.parameter("flow", constant=False)
    made.reaction("there", {"A": 1}, {"B": 1}, "q*A*c", {"q": 0.7})
    made.reaction("back", {"B": 1}, {"A": 1}, "q*B*c", {"q": 0.2})
    made.rule("Assignment", "flow", "there + back")
    model = compare(made, tmp_path, ("A", "B", "flow"))
    assert model.values["there_q"] == 0.7
    assert {row.name for row in model.derived} == {"there", "back"}


def test_stoichiometry_with_a_name(tmp_path):
    made = cell()
    made.species("A", level=1.0)
    made.species("B", level=0.0)
    reaction = made.reaction("r", {"A": 1}, {"B": 2}, "k*A*c")
    reaction.getProduct(0).setId("yield_of_B")
    assert read_sbml(made.write(tmp_path)).values["yield_of_B"] == 2
    compare(made, tmp_path, ("A", "B"))


# ---- events


def test_events_that_add_are_doses(tmp_path):
    made = cell()
    made.parameter("D", 3.0)
    made.parameter("when", 2.0)
    made.species("A", only_amount=True, amount=1.0)
    made.reaction("r", {"A": 1}, {}, "k*A")
    made.event("at_once", "time >= 0", {"A": "A + 5"})
    made.event("later", "time > when", {"A": "A + D/2 + 1"})
    made.event("last", "5 <= time", {"A": "D + A - 1"})
    model = compare(made, tmp_path, ("A",))
    assert [dose.time for dose in model.doses] == [0, 0, 5]
    assert str(model.route("later").lag) == "when"


def test_an_event_that_holds_from_the_start_never_happens(tmp_path):
    made = cell()
    made.species("A", only_amount=True, amount=1.0)
    made.reaction("r", {"A": 1}, {}, "k*A")
    made.event("never", "time >= 0", {"A": "A + 5"}, at_start=True)
    assert not compare(made, tmp_path, ("A",)).doses


def test_events_that_set_anything_else_are_steps(tmp_path):
    made = cell()
    made.parameter("rate", 0.1, constant=False)
    made.parameter("level", 2.0)
    made.species("A", only_amount=True, amount=1.0)
    made.reaction("r", {}, {"A": 1}, "rate - k*A")
    made.event("second", "time >= 4", {"rate": "rate*3 + 1"})
    made.event("first", "time >= 1.5", {"rate": "level", "A": "A + 1"})
    model = compare(made, tmp_path, ("A",))
    assert str({row.name: row for row in model.derived}["rate"].expression) == (
        "where(t < 1.5, 0.1, where(t < 4, level, level * 3 + 1))"
    )


def test_amounts_of_events_may_have_units(tmp_path):
    """An amount in the unit of the state, as a number and as a parameter."""
    made = Maker()
    for name, kind in (("h", "second"), ("per_h", "second"), ("mg", "gram")):
        definition = made.model.createUnitDefinition()
        definition.setId(name)
        unit = definition.createUnit()
        unit.setKind(libsbml.UnitKind_forName(kind))
        unit.setExponent(-1 if name == "per_h" else 1)
        unit.setScale(-3 if name == "mg" else 0)
        unit.setMultiplier(3600.0 if kind == "second" else 1.0)
    made.model.setTimeUnits("h")
    made.parameter("k", 0.4).setUnits("per_h")
    for name in ("A", "B"):
        made.parameter(name, 1.0, constant=False).setUnits("mg")
        made.rule("Rate", name, f"-k*{name}")
    made.parameter("D", 3.0).setUnits("mg")
    made.event("both", "time >= 2 h", {"A": "A + 5 mg", "B": "B - 0.1 mg"})
    made.event("later", "time >= 3 h", {"A": "A + D*2"})
    model = compare(made, tmp_path, ("A", "B"))
    assert model.notices == ()
    assert model.units["k"] == "1/h" or model.units["k"] == "h**(-1)"


def test_an_older_level(tmp_path):
    made = Maker(2, 4)
    made.compartment("c", 2.0)
    made.species("A", level=1.0)
    made.species("B", level=0.0)
    made.reaction("r", {"A": 1.0}, {"B": 1.0}, "q*A*c", {"q": 0.7})
    model = load_model(made.write(tmp_path))
    assert model.time == "s"  # what Level 2 means where it says nothing
    np.testing.assert_allclose(run(model, model.doses, TIMES)["A"], np.exp(-0.7 * TIMES), 1e-6)


def test_a_file_without_units_says_so(tmp_path):
    made = cell()
    made.species("A", level=1.0)
    made.reaction("r", {"A": 1}, {}, "k*A*c")
    model = read_sbml(made.write(tmp_path))
    assert model.notices == ("the units of the file are incomplete; units are not checked; time is taken to be in h",)
    assert {*model.units.values()} == {"1", "h"}


# ---- refused by name


def _two(made):
    made.species("A", only_amount=True, amount=1.0)
    made.species("B", only_amount=True, amount=1.0)
    made.parameter("p", 1.0, constant=False)


def _fast(made):
    made.document.setLevelAndVersion(3, 1, False)
    made.reaction("r", {"A": 1}, {}, "k*A").setFast(True)


def _delayed(made):
    made.event("e", "time > 1", {"A": "A + 1"}).createDelay().setMath(made.math("2"))


def _first(made):
    made.event("e", "time > 1", {"A": "A + 1"}).createPriority().setMath(made.math("2"))


def _flux(made):
    made.document.enablePackage(libsbml.FbcExtension.getXmlnsL3V1V2(), "fbc", True)
    made.document.setPackageRequired("fbc", True)


REFUSED = {
    "algebraic": (
        lambda made: made.rule("Algebraic", None, "A + B - p"),
        r"algebraic rule number 1: algebraic rules are not supported\. Try: solve it for one quantity",
    ),
    "delay": (_delayed, r"event e: the event has a delay; expected an event at a time that parameters fix"),
    "priority": (_first, r"event e: the event has a priority"),
    "state": (
        lambda made: made.event("low", "A < 0.5", {"B": "B + 1"}),
        r"event low: the event happens when A < 0\.5; expected an event at a time that parameters fix",
    ),
    "moving time": (
        lambda made: made.event("e", "time > B", {"A": "A + 1"}),
        r"event e: the event depends on what changes in time: B",
    ),
    "reset": (
        lambda made: made.event("e", "time > 1", {"A": "0"}),
        r"event e: the event sets 'A' to 0; expected an event that adds: A \+ \.\.\.",
    ),
    "doubling": (lambda made: made.event("e", "time > 1", {"A": "2*A"}), r"event e: the event sets 'A' to 2 \* A"),
    "moving dose": (
        lambda made: made.event("e", "time > 1", {"A": "A + B"}),
        r"event e: the event adds B to 'A', which depends on B; expected an amount that parameters fix",
    ),
    "moving step": (
        lambda made: made.event("e", "time > 1", {"p": "B"}),
        r"event e: the event sets 'p' to B, which depends on B; expected a value that parameters fix",
    ),
    "two at once": (
        lambda made: [made.event(name, "time > 1", {"A": "A + 1"}) for name in ("one", "two")],
        r"event two: events one and two change 'A' at one time",
    ),
    "sine": (
        lambda made: made.rule("Assignment", "p", "sin(A)"),
        r"assignment rule of p: 'sin' cannot be said in formulas of this package; expected numbers, names",
    ),
    "floor": (lambda made: made.rule("Assignment", "p", "floor(A)"), r"rule of p: 'floor' cannot be said"),
    "delayed value": (lambda made: made.rule("Assignment", "p", "delay(A, 1)"), r"rule of p: 'delay' cannot be said"),
    "rate of": (lambda made: made.rule("Assignment", "p", "rateOf(A)"), r"rule of p: 'rateOf' cannot be said"),
    "no otherwise": (
        lambda made: made.rule("Assignment", "p", "piecewise(1, A < 2)"),
        r"rule of p: piecewise without otherwise",
    ),
    "no law": (
        lambda made: made.reaction("r", {"A": 1}, {}, None),
        r"reaction r: the reaction has no kinetic law\. Try: a kinetic law",
    ),
    "no stoichiometry": (lambda made: made.reaction("r", {"A": None}, {}, "k*A"), r"reaction r: no stoichiometry of A"),
    "no value": (lambda made: made.parameter("q"), r"parameter q: no value at the start\. Try: a value"),
    "fast": (_fast, r"reaction r: fast reactions are not supported\. Try: a large rate"),
    "package": (_flux, r"package fbc: the package 'fbc' is not supported"),
}


@pytest.mark.parametrize(("add", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_by_name(add, message, tmp_path):
    made = cell()
    _two(made)
    add(made)
    if made.model.getNumReactions() == 0:
        made.reaction("loss", {"A": 1}, {}, "k*A")
        made.reaction("other", {"B": 1}, {}, "k*B")
    with pytest.raises(ModelError, match=message) as caught:
        read_sbml(made.write(tmp_path))
    assert "made.xml" in str(caught.value)


def test_a_changing_volume_is_refused(tmp_path):
    made = Maker()
    made.compartment("c", 2.0, constant=False)
    made.species("A", level=1.0)
    made.rule("Rate", "c", "0.1")
    made.reaction("r", {"A": 1}, {}, "0.3*A*c")
    with pytest.raises(ModelError, match="compartment 'c' changes, and 'A' is a concentration in it"):
        read_sbml(made.write(tmp_path))


def test_start_values_in_a_circle_are_refused(tmp_path):
    made = cell()
    made.species("A", level=1.0)
    made.parameter("p", constant=False)
    made.reaction("r", {"A": 1}, {}, "k*A")
    made.rule("Assignment", "p", "2*A")
    made.start("A", "p + 1")
    with pytest.raises(ModelError, match=r"no valid SBML|in a circle"):
        read_sbml(made.write(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("this is no XML", "is no valid SBML"),
        ("<sbml/>", "is no valid SBML"),
        ('<?xml version="1.0"?><html><body/></html>', "is no valid SBML"),
    ],
)
def test_files_that_are_no_models(text, message, tmp_path):
    path = tmp_path / "x.xml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ModelError, match=message):
        read_sbml(path)


# ---- files of another tool

OTHERS = ("feedback.xml", "linearPathwayClosed.xml", "linearPathwayOpen.xml", "test_data/Test_2.xml", "test_1.xml")


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_libroadrunner_ships(name):
    """Networks of mass action and enzymes, from Level 2 and 3: the same trajectories."""
    path = Path(roadrunner.__file__).parent / "tests" / name
    model = read_sbml(path)
    times = np.array([0.31, 1.7, 4.3])
    found = run(model, model.doses, times)
    file = libsbml.readSBMLFromFile(str(path)).getModel()
    for state in model.state_names:
        shown = state if file.getSpecies(state).getHasOnlySubstanceUnits() else f"[{state}]"
        close(found[state], roadrun(path, [shown], times)[shown], state)
