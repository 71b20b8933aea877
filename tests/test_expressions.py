"""The closed language of formulas: what it holds, what it refuses, its units and its translation to SymPy."""

from __future__ import annotations

import contextlib
import math
import pickle

import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from mscpkpd.errors import ExpressionError, ParameterError, UnitError
from mscpkpd.expressions import Hill, check_name, check_unit, parse, parse_call, to_sympy, unit_of
from mscpkpd.units import unit_text

UNITS = {
    "t": "h",
    "k": "1/h",
    "x": "cells",
    "y": "cells",
    "p": "pg",
    "V": "mL",
    "EC": "ng/mL",
    "h": "1",
    "a": "1",
    "b": "1",
    "Tmax": "h",
    "days": "d",
}


def value(text, **numbers):
    """Value of a formula by way of SymPy."""
    made = to_sympy(parse(text), {**UNITS, **dict.fromkeys(numbers.keys() - UNITS.keys(), "1")})
    made = made.replace(Hill, lambda x, e, h: x**h / (x**h + e**h))
    return float(made.subs({sympy.Symbol(name, real=True): number for name, number in numbers.items()}))


# ---- the language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3", 7),
        ("-2**2", -4),
        ("2**3**2", 512),
        ("10/4/5", 0.5),
        ("a - b - 1", -2),
        ("exp(a)*log(b)", math.e * math.log(2)),
        ("sqrt(b)", math.sqrt(2)),
        ("abs(a - b)", 1),
        ("min(a, b, 0.5)", 0.5),
        ("max(a, b)", 2),
        ("hill(b, a, 2)", 0.8),
        ("where(a < b, 10, 20)", 10),
        ("where(a >= b, 10, 20)", 20),
        ("where(1 <= 2, a, b)", 1),
        ("+a", 1),
        ("1e-3*a", 0.001),
        ("(a + b)**(1/2)", math.sqrt(3)),
    ],
)
def test_a_formula_means_what_it_says(text, expected):
    assert value(text, a=1, b=2) == pytest.approx(expected, rel=1e-14)


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_arithmetic_agrees_with_python(a, b):
    assume(abs(b) > 1e-6)
    assert value("a*b - a/b + 2*(a - b)", a=a, b=b) == pytest.approx(a * b - a / b + 2 * (a - b), rel=1e-9, abs=1e-9)


def test_an_expression_is_a_value():
    one, other = parse("k * x"), parse("k  *\n x")
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == "k * x"
    assert one.names == {"k", "x"}
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes
    assert one.number is None
    assert parse("-3/4").number == -0.75


def test_time_is_always_known():
    assert parse("k*t", known=["k"]).names == {"k", "t"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os')", "unknown function '__import__'"),
        ("__import__('os').system('ls')", "is not in the language of formulas"),
        ("x.y", "'x.y' in 'x.y' is not in the language"),
        ("x[0]", r"character '\['"),
        ("lambda: 1", "character ':'"),
        ("x if x else y", "is not in the language"),
        ("x and y", "is not in the language"),
        ("not x", "is not in the language"),
        ("x % y", "is not in the language"),
        ("x // y", "is not in the language"),
        ("~x", "character '~'"),
        ("x^2", r"'\^' in 'x\^2'. Try: '\*\*' for powers"),
        ("x < y", "comparison 'x < y'.*only as the first argument of where"),
        ("where(x, 1, 2)", r"first argument of where.*expected one comparison with < <= > >=. Try: where\(t < Tmax"),
        ("where(0 < x < 1, 1, 2)", "first argument of where"),
        ("where(x == 1, 1, 2)", "first argument of where"),
        ("exp(x, y)", "exp with 2 arguments in .*; expected 1 arguments"),
        ("max(x)", "max with 1 arguments in .*; expected 2 to 20"),
        ("hill(x, y)", "hill with 2 arguments"),
        ("exp(x=1)", "character|is not in the language"),
        ("exp(*x)", "is not in the language"),
        ("hil(x)", "unknown function 'hil' in .*Try: 'hill'"),
        ("sin(x)", "unknown function 'sin'"),
        ("exp", "is not in the language"),
        ("_x", "is not in the language"),
        ("'text'", "is not in the language"),
        ("True", "is not in the language"),
        ("2j", "is not in the language"),
        ("to(x, y)", "second argument of to.*expected a unit in quotes"),
        ("", "the formula is empty"),
        ("x +", "cannot be read"),
        ("x y", "cannot be read"),
        ("1if x", "cannot be read|is not in the language"),
        ("(((x", "cannot be read"),
        ("x; y", "character ';'"),
        ("x # y", "character '#'"),
        ("ｘ", "character 'ｘ'"),
        ("x\u200b", "character"),
        ("1/0", "'1 / 0' in '1/0' is not a finite number"),
        ("log(0)", "is not a finite number"),
        ("sqrt(-1)", "is not a finite number"),
        ("1e999", "is not a finite number"),
        ("9" * 1900, "is not a finite number"),
        ("10**10**10", "is not a finite number"),
        ("x**(2**9)", "exponent 512 in .*; expected at most 100"),
        ("exp(exp(exp(1000)))", "is not a finite number"),
        ("(-8)**(1/3)", "is not a finite number"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text, message):
    with pytest.raises(ExpressionError, match=rf"m.toml \[rates\].lung: .*({message})"):
        parse(text, where="m.toml [rates].lung")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 2001, "the formula has 2001 characters; expected at most 2000"),
        ("-" * 60 + "x", "is too large; expected at most 500 parts, nested at most 50 deep"),
        ("+".join(["x"] * 300), "is too large"),
        ("-" * 1999 + "x", "is too large|too deep or too long"),
        ("(" * 900 + "x" + ")" * 900, "cannot be read"),
        ("exp(" * 60 + "x" + ")" * 60, "is too large"),
    ],
)
def test_a_formula_has_a_limited_size(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse(text)


def test_a_long_sum_is_not_deep():
    assert parse("+".join(f"x{i}" for i in range(200))).names == {f"x{i}" for i in range(200)}


@pytest.mark.parametrize("given", [None, 3, ["x"]])
def test_only_text_is_a_formula(given):
    with pytest.raises(ExpressionError, match="is no formula; expected a text"):
        parse(given)


def test_an_unknown_name_is_answered_with_known_ones():
    with pytest.raises(ExpressionError, match=r"f.toml: unknown name 'k_l' in 'k_l\*lung'. Try: 'k_L'"):
        parse("k_l*lung", where="f.toml", known=["k_L", "lung", "rho_L"])


@given(st.text(max_size=40))
def test_any_text_is_a_formula_or_an_error(text):
    with contextlib.suppress(ExpressionError):
        assert parse(text).names is not None


@pytest.mark.parametrize("name", ["k_L", "EC50_P", "x1", "m"])
def test_names_of_the_field_are_names(name):
    check_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1x", "name '1x'; expected a letter, then letters, digits and _"),
        ("_x", "expected a letter"),
        ("k-L", "expected a letter"),
        ("ka\n", "expected a letter"),
        ("µ", "expected a letter"),
        ("t", "has a meaning of its own. Try: another name, such as 't_1'"),
        ("exp", "has a meaning of its own"),
        ("viable", "has a meaning of its own"),
        ("lambda", "has a meaning of its own"),
    ],
)
def test_words_of_the_language_are_no_names(name, message):
    with pytest.raises(ExpressionError, match=message):
        check_name(name)


# ---- units


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("k*x", "cell/h"),
        ("-k*x + 3*k*y", "cell/h"),
        ("x/V", "cell/mL"),
        ("x**2", "cell**2"),
        ("sqrt(x**2)", "cell"),
        ("a**h", "1"),
        ("exp(-k*t)", "1"),
        ("hill(to(p/V, 'ng/mL'), EC, h)", "1"),
        ("to(p/V, 'ng/mL')", "ng/mL"),
        ("where(t < Tmax, k*x, 0)", "cell/h"),
        ("where(t < 5*Tmax, k, 2*k)", "1/h"),
        ("max(x, 0)", "cell"),
        ("min(x, y)", "cell"),
        ("abs(x - y)", "cell"),
        ("x + 0", "cell"),
        ("(x/y)**h", "1"),
    ],
)
def test_a_formula_has_the_unit_of_its_parts(text, unit):
    assert unit_text(unit_of(parse(text), UNITS)) == unit


@pytest.mark.parametrize("text", ["0", "-0", "0*x", "0/x", "min(0, 0)", "sqrt(0)", "0**2", "to(0, 'h')*0"])
def test_zero_fits_every_unit(text):
    assert check_unit(parse(text), UNITS, "pg/mL") == 1.0


def test_a_constant_is_taken_as_written():
    assert check_unit(parse("100"), UNITS, "cells") == 1.0


@pytest.mark.parametrize(
    ("text", "expected", "factor"),
    [
        ("p/V", "ng/mL", 0.001),
        ("p/V", "pg/mL", 1.0),
        ("x/days", "cells/h", 1 / 24),
        ("to(x/days, 'cells/h')", "cells/h", 1),
    ],
)
def test_another_size_of_the_unit_is_an_implied_factor(text, expected, factor):
    assert check_unit(parse(text), UNITS, expected) == pytest.approx(factor)


def test_a_wrong_unit_is_named_with_its_place():
    message = (
        r"^m.toml \[rates\].lung: rate of lung is cell\*\*2/h; expected cells/h. Try: check the units in 'k\*x\*x'"
    )
    with pytest.raises(UnitError, match=message):
        check_unit(parse("k*x*x"), UNITS, "cells/h", "m.toml [rates].lung", "rate of lung")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k + x", r"\+: 'k' is 1/h and 'x' is cell; expected the same unit"),
        ("x - 1", "-: 'x' is cell and '1' is 1"),
        ("p/V + EC", r"\+: 'p / V' is pg/mL and 'EC' is ng/mL; expected the same unit. Try: to\(EC, \"pg/mL\"\)"),
        ("exp(x)", "argument of exp 'x' is cell; expected a number without unit. Try: divide by a reference value"),
        ("log(p/V/EC)", r"argument of log .*Try: to\(x, \"1\"\)"),
        ("a**x", "exponent 'x' is cell"),
        ("x**h", "with a name in the exponent, base 'x' is cell"),
        ("hill(p/V, EC, h)", "hill: 'p / V' is pg/mL and 'EC' is ng/mL"),
        ("hill(x, y, k)", "third argument of hill 'k' is 1/h"),
        ("where(t < x, 1, 2)", "comparison: 't' is h and 'x' is cell"),
        ("where(t < days, 1, 2)", "comparison: 't' is h and 'days' is d"),
        ("where(t < Tmax, x, k)", "where: 'x' is cell and 'k' is 1/h"),
        ("min(x, p)", "min: 'x' is cell and 'p' is pg"),
        ("to(p, 'ng/mL')", "to: 'p' is pg; expected a unit like ng/mL"),
        ("to(p, 'nngg')", "unknown unit 'nngg'"),
        ("k_l*x", "unknown name 'k_l'"),
    ],
)
def test_parts_that_do_not_fit_are_named(text, message):
    with pytest.raises(UnitError, match=f"rates: in '.*': .*{message}"):
        unit_of(parse(text), UNITS, "rates")


# ---- SymPy


def test_symbols_are_real_and_keep_their_names():
    made = to_sympy(parse("k*x"), UNITS)
    assert made == sympy.Symbol("k", real=True) * sympy.Symbol("x", real=True)


def test_a_conversion_becomes_a_factor():
    p, volume = sympy.symbols("p V", real=True)
    assert to_sympy(parse("to(p/V, 'ng/mL')"), UNITS) == sympy.Float(0.001) * p / volume
    assert to_sympy(parse("to(0, 'h')"), UNITS) == 0


def test_a_conversion_between_dimensions_is_refused():
    with pytest.raises(UnitError, match="to: 'p' is pg; expected a unit like mL"):
        to_sympy(parse("to(p, 'mL')"), UNITS)


def test_whole_numbers_stay_whole():
    assert to_sympy(parse("1*x + 2.0*x"), UNITS) == 3 * sympy.Symbol("x", real=True)


def test_where_becomes_piecewise():
    made = to_sympy(parse("where(t < Tmax, a, b)"), UNITS)
    assert isinstance(made, sympy.Piecewise)
    assert sympy.Symbol("t", real=True) in made.free_symbols


def test_constants_are_folded_before_sympy_sees_them():
    assert to_sympy(parse("exp(100)*x"), UNITS).coeff(sympy.Symbol("x", real=True)) == sympy.Float(math.exp(100))


@pytest.mark.parametrize("argument", [1, 2, 3])
@given(st.floats(0.01, 50), st.floats(0.1, 10), st.floats(0.5, 4))
def test_derivatives_of_hill_equal_differences(argument, x, e, h):
    numbers = [x, e, h]

    def hill(at):
        return at[0] ** at[2] / (at[0] ** at[2] + at[1] ** at[2])

    step = 1e-6 * numbers[argument - 1]
    up, down = list(numbers), list(numbers)
    up[argument - 1] += step
    down[argument - 1] -= step
    symbols = sympy.symbols("x e h", real=True)
    slope = Hill(*symbols).diff(symbols[argument - 1]).replace(Hill, lambda x, e, h: x**h / (x**h + e**h))
    exact = float(slope.subs(dict(zip(symbols, numbers, strict=True))))
    assert exact == pytest.approx((hill(up) - hill(down)) / (2 * step), rel=1e-5, abs=1e-8)


def test_the_slope_of_hill_at_nothing_is_finite():
    x, e = sympy.symbols("x e", real=True)
    slope = sympy.lambdify((x, e), Hill(x, e, 1).diff(x), "numpy")
    assert slope(np.array([0.0]), 2.0) == pytest.approx(0.5)


def test_hill_has_a_value():
    assert float(Hill(3.0, 1.0, 2.0).evalf()) == pytest.approx(0.9)


# ---- calls


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("lognormal(20, 0.8)", ("lognormal", (20.0, 0.8))),
        ("fixed", ("fixed", ())),
        ("combined2(a, b)", ("combined2", ("a", "b"))),
        ("normal(-1e-3, 2/3)", ("normal", (-0.001, 2 / 3))),
        ("power(b, 0)", ("power", ("b", 0.0))),
    ],
)
def test_a_call_is_a_word_with_arguments(text, call):
    assert parse_call(text) == call


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lognormal(20, 0.8", "cannot be read"),
        ("lognormal(20; 0.8)", "character ';'"),
        ("lognormal(median=20)", r"cannot be read; expected name\(number, ...\)|character '='"),
        ("lognormal(a + 1, 2)", "'a \\+ 1' in .*expected a finite number or a name"),
        ("student(4, additive(a))", r"'additive\(a\)' in .*expected a finite number or a name"),
        ("lognormal(1/0, 2)", "expected a finite number"),
        ("lognormal('a', 2)", "expected a finite number"),
        ("20", r"cannot be read; expected name\(number, ...\). Try: lognormal\(20, 0.8\)"),
        ("", "the formula is empty"),
        ("__import__('os')", "expected a finite number or a name"),
        ("a.b(1)", "cannot be read"),
    ],
)
def test_what_is_no_call_is_refused(text, message):
    with pytest.raises(ParameterError, match=f"prior of k: .*({message})"):
        parse_call(text, where="prior of k")
