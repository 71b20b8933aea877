"""From a model to the equations that an engine solves: what is kept, what is left out, how formulas become numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from mscpkpd.dosing import Regimen, bolus
from mscpkpd.engine.stiff import compile_program
from mscpkpd.engine.system import Numeric, build_system
from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.modelfile import load_model
from reference import solver
from reference.runs import run
from reference.small_models import model, parameter, route

NOTHING = Regimen(())
K = parameter("k", 1.0, "mg/h")
T = parameter("T", 2.0, "h", "lognormal(2, 0.5)")


@pytest.fixture(scope="module")
def human():
    return load_model("two_functional_compartments", "human_70kg")


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_a_label_study_does_not_pay_for_cytokines(human):
    """Only the states that an asked output depends on are solved, and only their parameters can be learned."""
    system = build_system(human, ("lung_label", "liver_label"), ("iv",))
    assert system.states == ("blood", "lung", "liver", "spleen", "rest", "label_lung", "label_liver", "label_rest")
    assert not {"q0", "EC50_P", "k_on", "CL_P", "sigma_img"} & set(system.parameters)
    assert {"F_v", "rho_L", "k_XL", "f_XLi"} <= set(system.parameters)


def test_a_state_that_no_dose_reaches_is_left_out(human):
    """Nothing enters the depot by vein: its rates are not among the parameters."""
    by_vein = build_system(human, human.state_names, ("iv",))
    assert "depot" not in by_vein.states
    assert not {"k_S", "k_dS"} & set(by_vein.parameters)
    into_joint = build_system(human, human.state_names, ("intra_articular",))
    assert into_joint.states == human.state_names
    assert {"k_S", "k_dS"} <= set(into_joint.parameters)


def test_a_state_with_a_start_value_or_a_source_is_kept():
    """IL-10 starts at its baseline without any dose; a source fills a state that starts empty."""
    described = model(
        {"held": "-k*held", "filled": "c", "fed": "k*filled", "empty": "-k*empty"},
        (parameter("k", 0.1, "1/h"), parameter("c", 1.0, "mg/h"), parameter("x", 5.0, "mg")),
        starts={"held": "x"},
    )
    assert build_system(described, described.state_names, ()).states == ("held", "filled", "fed")
    found = run(described, NOTHING, (0, 10))
    assert found["empty"].tolist() == [0, 0]
    np.testing.assert_allclose(found["fed"], [0, 5], rtol=1e-7)


def test_order_is_that_of_the_model_file(human):
    """States and parameters keep their order whatever is asked first; outputs keep the order asked."""
    one = build_system(human, ("liver_label", "lung_label"), ("iv",))
    other = build_system(human, ("lung_label", "liver_label"), ("iv",))
    assert (one.states, one.parameters) == (other.states, other.parameters)
    assert one.outputs == ("liver_label", "lung_label")
    assert one.nominal == tuple(human.values[name] for name in one.parameters)


def test_a_state_may_be_asked_for_by_name(human):
    assert build_system(human, ("label_lost",), ("iv",)).outputs == ("label_lost",)


@pytest.mark.parametrize(
    ("outputs", "routes", "message"),
    [
        (("lung_labels",), ("iv",), "unknown output 'lung_labels'. Try: 'lung_label'"),
        (("lung_label",), ("i.v.",), "unknown state 'i.v.'"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(human, outputs, routes, message):
    with pytest.raises(UnknownName, match=message):
        build_system(human, outputs, routes)


def test_the_same_question_is_translated_once(human):
    assert build_system(human, ("lung_label",), ("iv",)) is build_system(human, ("lung_label",), ("iv",))


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["mouse", "rat", "human_70kg"])
def test_the_right_hand_side_is_that_of_the_text(values):
    """Rates, starts, outputs and doses agree with an evaluator that shares only the text of the formulas."""
    described = load_model("two_functional_compartments", values)
    system = build_system(described, described.output_names, ("ia", "intra_articular", "iv"))
    rng = np.random.default_rng(1)
    numbers = np.array([described.values[name] for name in system.parameters])
    texts = tuple(str(described.rate(name)) for name in described.state_names)
    for _ in range(5):
        state = 10 ** rng.uniform(-2, 6, len(described.states))
        expected = solver.compiled(described, texts)(0.0, state, described.values)
        kept = [described.state_names.index(name) for name in system.states]
        found = system.rhs_function.value(*state[kept], *numbers, 0.0)
        np.testing.assert_allclose(found, np.array(expected)[kept], rtol=1e-12, atol=1e-300)
        asked = solver.outputs(described, system.outputs, [0.0], state[:, None], described.values)
        made = system.observed_function.value(*state[kept], *numbers, 0.0)
        np.testing.assert_allclose(made, asked[:, 0], rtol=1e-12)


def test_derivatives_of_formulas_are_exact():
    """`Numeric.jacobian` against imaginary steps, for every function of the language that is smooth."""
    x, y = sympy.symbols("x y", real=True)
    formulas = (x**2 * y, sympy.exp(-x / y), sympy.log(x * y + 1), sympy.sqrt(x + y), x**y, sympy.Integer(3))
    numeric = Numeric(formulas, (x, y))
    at = (1.3, 0.7)
    step = 1e-30
    functions = [sympy.lambdify((x, y), formula, "numpy") for formula in formulas]
    expected = [
        [np.imag(f(at[0] + 1j * step, at[1])) / step, np.imag(f(at[0], at[1] + 1j * step)) / step] for f in functions
    ]
    np.testing.assert_allclose(numeric.jacobian(*at), expected, rtol=1e-13)
    np.testing.assert_allclose(numeric.value(*at), [f(*at) for f in functions], rtol=1e-14)


def test_arrays_of_times_give_arrays_of_outputs():
    t, x = sympy.symbols("t x", real=True)
    numeric = Numeric((x * t, sympy.Integer(2)), (x, t))
    times = np.array([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(numeric.value(3.0, times, shape=(3,)), [[0, 3, 6], [2, 2, 2]])
    np.testing.assert_array_equal(numeric.jacobian(3.0, times, shape=(3,))[0], [[0, 1, 2], [3, 3, 3]])


# ---- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "at_5"),
    [
        ("where(t < T, k, 3*k)", 11),
        ("where(t <= T, k, 3*k)", 11),
        ("where(t > T, k, 3*k)", 9),
        ("where(T > t, k, 3*k)", 11),
        ("where(T >= t, k, 3*k)", 11),
        ("where(2*t < T, k, 3*k)", 13),
        ("where(t/T < 1, k, 3*k)", 11),
        ("where(-t/T < -1, k, 3*k)", 9),
        ("where(t < T, k, where(t < 2*T, 3*k, 5*k))", 13),
        ("where(t < 2*T, where(t < T, k, 3*k), 5*k)", 13),
        ("where(t < T, k, 3*k)*where(t >= 2*T, 2, 1)", 14),
        ('where(T < to(1, "1")*T, k, 3*k)', 15),
        ("where(t < T, k, k)", 5),
        ("where(t > -T, k, 3*k)", 5),
    ],
)
def test_a_condition_on_time_is_a_switch(rate, at_5):
    """T12: the engine stops at the time of a switch; whatever the form of the condition, the integral is exact."""
    found = run(model({"x": rate}, (K, T)), NOTHING, (0, 5))
    np.testing.assert_allclose(found["x"], [0, at_5], rtol=1e-9)


def test_switches_at_one_time_are_one():
    described = model({"x": "where(t < T, k, 3*k)", "y": "where(T <= t, x/T, 0*k)"}, (K, T))
    assert len(build_system(described, ("y",), ()).switches) == 1


@given(st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from([0.0, 0.5]))
def test_a_condition_on_a_state_holds_at_its_edge(comparison, start):
    """Before any dose a state is exactly 0: `x > 0` is false there and `x <= 0` true, as anywhere in Python."""
    described = model({"x": "0*k", "y": f"where(x {comparison} x0, k, 3*k)"}, (K, parameter("x0", start, "mg")))
    found = run(described, bolus("0.5 mg", "x", at="1 h"), (0, 1, 2))
    truth = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[comparison]
    slopes = np.where(truth([0.0, 0.5], start), 1.0, 3.0)
    np.testing.assert_allclose(np.diff(found["y"]), slopes, rtol=1e-6)


def test_a_switch_of_long_ago_has_happened():
    """A switch time before 0 is a switch that is on from the start; states still start at time 0."""
    described = model({"x": "where(t < T, k, 3*k)"}, (K, T))
    np.testing.assert_allclose(run(described, NOTHING, (0, 2), values={"T": -5.0})["x"], [0, 6], rtol=1e-9)


def test_a_condition_that_the_engine_cannot_place_in_time_is_refused():
    """Solving across it would lose accuracy, and derivatives by T would silently be 0."""
    described = model({"x": "where(log(t/T) < 0, k, 3*k)"}, (K, T))
    with pytest.raises(ModelError, match=r"switches at a time that the engine cannot find; expected .* linear in t"):
        build_system(described, ("x",), ())


def test_outputs_may_switch():
    described = model({"x": "k"}, (K, T), outputs={"seen": ("where(t < T, x, 2*x)", "mg", None)})
    assert run(described, NOTHING, (0, 1, 2, 3), ("seen",))["seen"] == pytest.approx([0, 1, 4, 6], rel=1e-7)


# ---- the language in the compiled solver -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate",
    [
        "-k*x*exp(-t/T)",
        "-k*x*log(1 + t/T)",
        "-k*x*sqrt(t/T)",
        "-k*x*(t/T)**0.5",
        "-k*x*(t/T)**3",
        "-k*x*(1 + t/T)**(-2)",
        "-k*x**2/V",
        "-k*V*hill(x, V, 1)",
        "-k*V*hill(x, V, 2.5)",
        "-k*V*hill(x, V, h)",
        "-k*min(x, 0.3*V)",
        "-k*min(x, 0.3*V, 0.2*V)",
        "-k*max(x, 0.3*V)",
        "-k*abs(x - 2*V)",
        "-k*x*where(t < T, 1, 0.2)",
        "-k*x + 1e-3*k*V - -k*V/7",
        "-k*x*(0.25 + 1/3 - 1e-7*1e5)",
        "-k*x*where(h > 2, 0.1, 1)",
    ],
)
def test_every_function_of_the_language_compiles_and_is_right(rate):
    """Each formula against SciPy on its text; the solver's own language knows no such functions as we write them."""
    described = model(
        {"x": rate},
        (
            parameter("k", 0.4, "1/h"),
            parameter("V", 3.0, "mg"),
            parameter("h", 1.7, "1"),
            parameter("T", 2.5, "h"),
        ),
        routes=(route("iv", {"x": "1"}),),
    )
    times, regimen = (0, 0.5, 1, 2.5, 4, 9), bolus("10 mg", "iv")
    expected = solver.solve(described, regimen, times, breaks=(2.5,))[0]
    # kinks of min, max and abs are crossed, not stopped at: they cost a digit
    np.testing.assert_allclose(run(described, regimen, times)["x"], expected, rtol=3e-6, atol=1e-8)


def test_equations_that_the_solver_cannot_compile_say_so():
    """The compiler's own words, as a model error and not as a crash."""
    sound = build_system(model({"x": "k"}, (K,)), ("x",), ())
    system = replace(sound, rhs=(sympy.Function("unheard_of")(*sound.parameter_symbols),))
    with pytest.raises(ModelError, match="(?s)the solver cannot compile these equations: .*unheard_of"):
        compile_program(system, np.array([1.0]), (0,), (0,), (), np.array([1.0]), sensitivities=False)
