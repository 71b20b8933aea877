"""Units: parse, compare, convert; unknown ones are answered with the closest known."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscpkpd.errors import UnitError
from mscpkpd.units import (
    divided,
    multiplied,
    parse_quantity,
    parse_unit,
    raised,
    same_dimension,
    same_size,
    scale_factor,
    to_unit,
    unit_text,
)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("1", "1"),
        ("1/h", "1/h"),
        ("hours", "h"),
        ("cells", "cell"),
        ("cell", "cell"),
        ("cells/kg", "cell/kg"),
        ("pg/mL", "pg/mL"),
        ("pg/ml", "pg/mL"),
        ("L/h", "L/h"),
        ("pg/cell/h", "pg/cell/h"),
        ("copies/ug", "copies/ug"),
        ("µg/mL", "ug/mL"),
        ("μg/mL", "ug/mL"),
        ("%", "%"),
        ("IU/mL", "IU/mL"),
        ("cells/mm3", "cell/mm**3"),
        ("cells/uL", "cell/uL"),
        ("mmol", "mmol"),
        ("animal", "animal"),
        ("1e6/kg", None),
    ],
)
def test_the_units_of_the_field_are_known(text, short):
    if short is None:
        with pytest.raises(UnitError, match="unknown unit '1e6/kg'"):
            parse_unit(text)
    else:
        assert unit_text(parse_unit(text)) == short


def test_the_unit_of_bioluminescence_is_known():
    per_metre = scale_factor("photon/s/cm2/sr", "photon/s/m2/sr")
    assert per_metre == pytest.approx(1e4)


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("d", "h", 24.0),
        ("min", "h", 1 / 60),
        ("week", "d", 7.0),
        ("ng/mL", "pg/mL", 1000.0),
        ("pg", "ng", 0.001),
        ("ug/L", "ng/mL", 1.0),
        ("cells/uL", "cells/mL", 1000.0),
        ("%", "1", 0.01),
        ("L/d", "mL/h", 1000 / 24),
        ("nM", "pM", 1000.0),
    ],
)
def test_factors_are_the_textbook_ones(source, target, factor):
    assert scale_factor(source, target) == pytest.approx(factor, rel=1e-12)
    assert scale_factor(target, source) == pytest.approx(1 / factor, rel=1e-12)


def test_whole_factors_are_whole():
    assert scale_factor("ng/mL", "pg/mL") == 1000.0
    assert scale_factor("d", "h") == 24.0
    assert scale_factor("h", "h") == 1.0
    assert scale_factor("pg", "ng") == 0.001
    assert to_unit("30 min", "h") == 0.5


@pytest.mark.parametrize(
    ("a", "b"), [("cells/kg", "1/kg"), ("copies", "cells"), ("1/h", "h"), ("pg/mL", "pM"), ("animal", "1")]
)
def test_counts_are_dimensions_of_their_own(a, b):
    assert not same_dimension(a, b)
    with pytest.raises(UnitError, match="cannot turn"):
        scale_factor(a, b)


def test_factors_compose():
    pairs = ["pg/mL", "ng/mL", "ug/L", "mg/L"]
    for a in pairs:
        for b in pairs:
            for c in pairs:
                assert scale_factor(a, b) * scale_factor(b, c) == pytest.approx(scale_factor(a, c))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("cels", "'cells'"),
        ("cells/kgg", "'cells/kg'"),
        ("pgg/mL", "'pg/mL'"),
        ("PG/ML", "'pg/mL'"),
        ("1/hh", "'1/h'"),
        ("zzzz", "'1/h', 'cells/kg', 'pg/mL', or '1' for none"),
    ],
)
def test_an_unknown_unit_is_answered_with_known_ones(text, hint):
    with pytest.raises(UnitError, match=f"model.toml: unknown unit '{text}'.*Try: .*{hint}"):
        parse_unit(text, where="model.toml")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_unit_is_refused(text):
    with pytest.raises(UnitError, match="the unit is empty; expected a unit. Try: '1'"):
        parse_unit(text)


@pytest.mark.parametrize("text", ["degC", "degF"])
def test_a_scale_that_does_not_start_at_zero_is_refused(text):
    with pytest.raises(UnitError, match="does not start at 0"):
        parse_unit(text)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "h; import os", "kg" * 60, "**", "h**1e9", "(((h", "h/", "%ID", "h\nh", "2 h", "/"]
)
def test_text_that_is_no_unit_is_refused(text):
    with pytest.raises(UnitError, match="unknown unit"):
        parse_unit(text)


@given(st.text(max_size=30))
def test_any_text_is_a_unit_or_an_error_with_advice(text):
    with contextlib.suppress(UnitError):
        assert unit_text(parse_unit(text))


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("7 d", 7.0, "d"),
        ("2e6 cells/kg", 2e6, "cells/kg"),
        ("30min", 30.0, "min"),
        (" .5 h ", 0.5, "h"),
        ("-1.5e-3 pg/mL", -0.0015, "pg/mL"),
        ("70 %", 70.0, "%"),
    ],
)
def test_a_quantity_is_a_number_and_a_unit(text, number, unit):
    assert parse_quantity(text) == (number, unit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7", "'7' has no unit; expected a number and a unit. Try: '7 h' or '7 cells'"),
        ("h", "'h' is no quantity"),
        ("", "'' is no quantity"),
        ("7 dd", "unknown unit 'dd'"),
        ("1e999 h", "'1e999 h' is not finite"),
        ("7 d 3 h", "unknown unit 'd 3 h'"),
        ("nan h", "'nan h' is no quantity"),
    ],
)
def test_what_is_no_quantity_is_refused(text, message):
    with pytest.raises(UnitError, match=message):
        parse_quantity(text, where="--until")


def test_a_quantity_is_converted():
    assert to_unit("7 d", "h") == 168.0
    assert to_unit("2 mg/L", "ug/mL") == 2.0


def test_a_bare_number_is_not_converted():
    with pytest.raises(UnitError, match="--until: 7 has no unit; expected a text with a unit like h. Try: '7 h'"):
        to_unit(7, "h", where="--until")


def test_a_quantity_of_another_dimension_is_not_converted():
    with pytest.raises(UnitError, match="weight: '7 d' is in d; expected a unit like kg"):
        to_unit("7 d", "kg", where="weight")


@given(st.floats(1e-6, 1e6), st.sampled_from(["min", "h", "d", "week"]), st.sampled_from(["min", "h", "d"]))
def test_there_and_back_is_the_same_number(value, source, target):
    there = to_unit(f"{value!r} {source}", target)
    assert math.isclose(to_unit(f"{there!r} {target}", source), value, rel_tol=1e-12)


def test_units_multiply_without_changing_size():
    concentration = divided(parse_unit("pg"), parse_unit("mL"))
    assert unit_text(concentration) == "pg/mL"
    assert unit_text(multiplied(concentration, parse_unit("L"))) == "L*pg/mL"
    assert unit_text(raised(parse_unit("cells"), 2)) == "cell**2"
    assert same_size(concentration, parse_unit("ng/L"))
    assert not same_size(concentration, parse_unit("ng/mL"))
    assert not same_size(concentration, parse_unit("ng"))
