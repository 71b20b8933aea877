"""Errors are advice: what was given, what was expected, where, what to try."""

from __future__ import annotations

import pickle

import pytest

from mscpkpd import errors
from mscpkpd.errors import DataError, InputError, MscError, UnknownName, closest


def test_a_message_has_four_parts_in_order():
    """Where, what, expected, hint."""
    error = DataError("value 'abc'", where="a.csv row 3", expected="a number", hint="4.2")
    assert str(error) == "a.csv row 3: value 'abc'; expected a number. Try: 4.2"
    assert str(MscError("it broke")) == "it broke"


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n not in ("closest", "MscError")])
def test_every_error_is_in_the_tree_and_survives_a_process_boundary(name):
    """Pickling keeps type, message and exit status."""
    kind = getattr(errors, name)
    assert issubclass(kind, MscError)
    again = pickle.loads(pickle.dumps(kind("p", where="w", expected="e", hint="h")))  # noqa: S301 (our own)
    assert type(again) is kind
    assert str(again) == "w: p; expected e. Try: h"
    assert again.exit_status == (3 if name in ("SolveError", "FitError") else 2)


def test_an_unknown_name_answers_with_the_closest():
    """Or with the list, where nothing is close."""
    near = UnknownName.among("parameter", "k_l", ["k_L", "rho_L", "k_T"], where="--set")
    assert str(near).startswith("--set: unknown parameter 'k_l'. Try: 'k_L'")
    far = UnknownName.among("method", "zzz", ["nuts", "map"])
    assert "one of: map, nuts" in str(far)
    assert closest("LUNG_CELLS", ["lung_cells"]) == ("lung_cells",)


def test_findings_are_reported_together_up_to_fifty():
    """One finding stands alone; many are listed and the rest counted (D14)."""
    assert str(InputError.of(["only this"], where="f")) == "f: only this"
    many = str(InputError.of([f"finding {k}" for k in range(60)], where="f"))
    assert many.startswith("f: 60 problems\n  - finding 0\n")
    assert "finding 49" in many
    assert "finding 50" not in many
    assert many.endswith("... and 10 more")
