"""The public names: complete, typed, and documented with units, shapes, errors and source.

The rule. numpydoc sections, each a title underlined by dashes.

- A public function has Parameters (every one, none besides), Returns, Raises (or the sentence "Raises nothing."), and
  Notes or References that name the formula, the convention or the paper behind it.
- A public class has Parameters or Attributes that name every public field.
- A public method of such a class has a docstring; one that takes arguments has Parameters with each of them.
- An entry whose type says float or array states its unit, one whose type says array states its shape.
- Every parameter and every returned value is annotated.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import mscpkpd

UNIT = re.compile(
    r"\[[^\]]+\]|\b(units?|dimensionless|fractions?|probabilit\w+|relative|percent|scale)\b", re.IGNORECASE
)


class Entry(NamedTuple):
    """One documented parameter, attribute or return value."""

    name: str
    kind: str
    text: str


def sections(docstring: str) -> dict[str, str]:
    """Text of each numpydoc section by title; the text before the first stands under ''."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> list[Entry]:
    """Entries ``name : type`` with the indented text below them; several names may share an entry."""
    found = []
    for head, text in re.findall(r"^(\S.*)\n?((?:(?:[ \t]+.*)?(?:\n|\Z))*)", section, flags=re.MULTILINE):
        names, _, kind = head.partition(" : ")
        found += [Entry(name.strip().lstrip("*"), kind or head, text) for name in names.split(",")]
    return found


def complaints(name: str, thing: Any) -> list[str]:
    """What the documentation of one public name lacks."""
    return list(
        _class_complaints(name, thing) if inspect.isclass(thing) else _function_complaints(name, thing, whole=True)
    )


def _function_complaints(name: str, function: Callable[..., Any], *, whole: bool) -> Iterator[str]:
    if not inspect.getdoc(function):
        yield f"{name} has no docstring"
        return
    doc = sections(inspect.getdoc(function) or "")
    signature = inspect.signature(function)
    taken = {p.name: p for p in signature.parameters.values() if p.name not in {"self", "cls"}}
    yield from (f"{name}: parameter '{p.name}' is not annotated" for p in taken.values() if p.annotation is p.empty)
    if signature.return_annotation is signature.empty:
        yield f"{name}: the returned value is not annotated"
    documented = {entry.name for entry in entries(doc.get("Parameters", ""))}
    yield from (f"{name}: parameter '{one}' is not documented" for one in sorted(taken.keys() - documented))
    yield from (f"{name}: documents '{one}', which it does not take" for one in sorted(documented - taken.keys()))
    if whole:
        yield from _missing_sections(name, doc, returns=signature.return_annotation not in {None, "None"})
    yield from _vague_entries(name, doc)


def _missing_sections(name: str, doc: dict[str, str], *, returns: bool) -> Iterator[str]:
    if returns and "Returns" not in doc:
        yield f"{name} has no section Returns"
    if "Raises" not in doc and not any("Raises nothing." in text for text in doc.values()):
        yield f"{name} has no section Raises, and does not say 'Raises nothing.'"
    if not {"Notes", "References"} & doc.keys():
        yield f"{name} names no source: it needs a section Notes or References"


def _vague_entries(name: str, doc: dict[str, str]) -> Iterator[str]:
    for title in ("Parameters", "Attributes", "Returns"):
        for entry in entries(doc.get(title, "")):
            array = re.search(r"\barray\b", entry.kind)
            if (array or re.search(r"\bfloat\b", entry.kind)) and not UNIT.search(f"{entry.kind} {entry.text}"):
                yield f"{name}: '{entry.name}' under {title} states no unit"
            if array and "shape" not in f"{entry.kind} {entry.text}":
                yield f"{name}: '{entry.name}' under {title} states no shape"


def _class_complaints(name: str, cls: type) -> Iterator[str]:
    doc = sections(inspect.getdoc(cls) or "")
    if not {"Parameters", "Attributes"} & doc.keys():
        yield f"{name} has neither Parameters nor Attributes"
    documented = {entry.name for title in ("Parameters", "Attributes") for entry in entries(doc.get(title, ""))}
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    yield from (f"{name}: field '{one}' is not documented" for one in sorted(fields - documented) if one[0] != "_")
    yield from _vague_entries(name, doc)
    for member, value in vars(cls).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property | functools.cached_property):
            if not inspect.getdoc(value):
                yield f"{name}.{member} has no docstring"
        elif callable(function := getattr(value, "__func__", value)) and not inspect.isclass(function):
            yield from _function_complaints(f"{name}.{member}", function, whole=False)


# The package itself

FUNCTIONS_AND_CLASSES = [name for name in mscpkpd.__all__ if name not in mscpkpd._MODULES]


def test_all_is_sorted_and_says_each_name_once() -> None:
    assert list(mscpkpd.__all__) == sorted(set(mscpkpd.__all__))
    assert set(mscpkpd.__all__) < set(dir(mscpkpd))


@pytest.mark.parametrize("name", mscpkpd.__all__)
def test_public_name_exists_and_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(mscpkpd, name))


@pytest.mark.parametrize("name", FUNCTIONS_AND_CLASSES)
def test_public_name_is_fully_documented(name: str) -> None:
    found = complaints(name, getattr(mscpkpd, name))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", FUNCTIONS_AND_CLASSES)
def test_public_name_is_no_submodule(name: str) -> None:
    """Importing a submodule `fit` would silently replace the function `mscpkpd.fit`."""
    assert name not in {module.split(".")[0] for module in mscpkpd._PUBLIC.values()}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mscpkpd' has no attribute 'fitt'"):
        mscpkpd.fitt  # noqa: B018 - looking it up is the test


# The rule itself


def dose_rate(amount: float, times: list[float], *, over: float = 1.0) -> float:
    """Rate of an infusion.

    Parameters
    ----------
    amount : float
        Cells given [cells].
    times : array of shape (n,)
        Model time unit.
    over : float
        Duration [h].

    Returns
    -------
    float
        Rate [cells/h].

    Raises
    ------
    DosingError
        If `over` is not positive.

    Notes
    -----
    Rule E5.
    """
    return amount / over + len(times)


class Bag:
    """A bag of cells.

    Attributes
    ----------
    count : float
        Cells [cells].
    """

    count: float

    def empty(self) -> None:
        """Take all cells out."""


def test_a_full_docstring_has_no_complaints() -> None:
    assert complaints("dose_rate", dose_rate) == []
    assert complaints("Bag", Bag) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    over : float\n        Duration [h].\n", "", "parameter 'over' is not documented"),
        ("    over : float\n", "    under : float\n", "documents 'under', which it does not take"),
        ("Duration [h].", "Duration.", "'over' under Parameters states no unit"),
        ("array of shape (n,)", "array", "'times' under Parameters states no shape"),
        ("    Returns\n    -------\n    float\n        Rate [cells/h].\n", "", "has no section Returns"),
        ("    Raises\n    ------\n", "", "has no section Raises"),
        ("    Notes\n    -----\n", "", "names no source"),
    ],
)
def test_a_gap_in_a_docstring_is_found(monkeypatch, old: str, new: str, complaint: str) -> None:
    text = inspect.cleandoc(dose_rate.__doc__ or "")
    old, new = (re.sub(r"^    ", "", part, flags=re.MULTILINE) for part in (old, new))
    assert old in text
    monkeypatch.setattr(dose_rate, "__doc__", text.replace(old, new))
    assert any(complaint in found for found in complaints("dose_rate", dose_rate))


def test_a_missing_annotation_is_found(monkeypatch) -> None:
    monkeypatch.setattr(dose_rate, "__annotations__", {"times": "list[float]", "over": "float"})
    assert complaints("dose_rate", dose_rate) == [
        "dose_rate: parameter 'amount' is not annotated",
        "dose_rate: the returned value is not annotated",
    ]


def test_gaps_in_a_class_are_found(monkeypatch) -> None:
    monkeypatch.setattr(Bag, "__doc__", "A bag of cells.")
    monkeypatch.setattr(Bag.empty, "__doc__", None)
    assert complaints("Bag", Bag) == ["Bag has neither Parameters nor Attributes", "Bag.empty has no docstring"]


def test_a_function_without_failure_may_say_so(monkeypatch) -> None:
    text = re.sub(r"Raises\n------\n.*\n.*\n", "Raises nothing.\n", inspect.cleandoc(dose_rate.__doc__ or ""))
    assert "Raises nothing." in text
    monkeypatch.setattr(dose_rate, "__doc__", text)
    assert complaints("dose_rate", dose_rate) == []
