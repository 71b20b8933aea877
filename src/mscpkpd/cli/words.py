"""What is typed behind an option, as values; and messages about arguments in the words of the shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from mscpkpd.errors import MscError, UsageError

__all__ = [
    "in_shell_words",
    "read_mapping",
    "read_names",
    "read_numbers",
    "read_quantities",
    "read_rules",
    "read_settings",
]


def read_names(text: str | None, option: str) -> tuple[str, ...] | None:
    """Read ``a,b`` as names; None where the option is not given.

    Raises
    ------
    UsageError
        For no name, or a name twice.
    """
    if text is None:
        return None
    names = _parts(text, option, "a,b")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"'{name}' stands twice", where=option, expected="each name once")
    return tuple(names)


def read_settings(text: str | None, option: str) -> dict[str, float]:
    """Read ``a=1,b=2`` as numbers by name; empty where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``name=number``, or a name twice.
    """
    parts = _parts(text, option, "a=1,b=2") if text is not None else []
    return {
        name: _number(value, f"{option} {name}", "a number, in the unit of the parameter")
        for name, value in _pairs(parts, option, "name=number", "k_L=0.03", whole=False)
    }


def read_quantities(text: str | None, option: str) -> dict[str, str] | None:
    """Read ``lung=0.17 g,liver=1.2 g`` as quantities by name; None where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``name=quantity``, or a name twice.
    """
    if text is None:
        return None
    return dict(_pairs(_parts(text, option, "lung=0.17 g"), option, "name=quantity", '"lung=0.17 g"'))


def read_mapping(text: str | None, option: str) -> dict[int | str, str] | str | None:
    """Read ``1=conc,2=il10`` as names by number; one name alone stands for all; None where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``number=name``, or a number twice.
    """
    if text is None:
        return None
    parts = _parts(text, option, "1=conc,2=il10")
    if len(parts) == 1 and "=" not in parts[0]:
        return parts[0]
    return dict(_pairs(parts, option, "number=name", "1=conc"))


def read_rules(text: str | None, option: str) -> dict[str, str] | str | None:
    """Read ``WT=linear,CRCL=locf`` as rules by name; a rule alone is one for all; None where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``name=rule``, or a name twice.
    """
    if text is None or "=" not in text:
        return text
    return dict(_pairs(_parts(text, option, "WT=linear,CRCL=locf"), option, "name=rule", "WT=linear"))


def read_numbers(text: str, option: str) -> list[float]:
    """Read ``0,1,2.5`` as numbers in ascending order; a number may stand twice.

    Raises
    ------
    UsageError
        For text that is no number, or a number below the one before it.
    """
    numbers = [_number(part, option, "numbers with commas between, such as 0,1,2.5") for part in _parts(text, option)]
    for before, after in pairwise(numbers):
        if after < before:
            raise UsageError(f"{after:g} stands after {before:g}", where=option, expected="times in ascending order")
    return numbers


def _parts(text: str, option: str, form: str = "0,1,2.5") -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"'{text}' has an empty part", where=option, expected=form)
    return parts


def _pairs(parts: list[str], option: str, form: str, example: str, *, whole: bool = True) -> Iterator[tuple[str, str]]:
    """Keys with what stands behind their sign of equality, which may be nothing where `whole` is false."""
    seen: set[str] = set()
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and (value or not whole)):
            raise UsageError(f"'{part}'", where=option, expected=form, hint=f"{option} {example}")
        if key in seen:
            raise UsageError(f"'{key}' stands twice", where=option, expected=f"each {form.partition('=')[0]} once")
        seen.add(key)
        yield key, value


def _number(text: str, where: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if abs(number) < float("inf"):  # false for nan, too
        return number
    raise UsageError(f"'{text}' is no number", where=where, expected=expected)


@contextmanager
def in_shell_words(*options: str, **renamed: str) -> Iterator[None]:
    """Turn ``values='mouse'`` in a message into ``--values mouse`` for these arguments.

    Parameters
    ----------
    *options : str
        Arguments whose option has the same name.
    **renamed : str
        Arguments whose option is called otherwise: ``amount="dose"``.
    """
    try:
        yield
    except MscError as error:
        named = {**{name: name.replace("_", "-") for name in options}, **renamed}
        texts = {key: _shell(getattr(error, key), named) for key in ("where", "expected", "hint")}
        raise type(error)(_shell(error.problem, named), **texts) from error


def _shell(text: str, named: dict[str, str]) -> str:
    text = re.sub(r'\bread_study\("[^"]*", ([^()]*)\)', r"\1", text)
    keys = "|".join(re.escape(name) for name in named)
    mapping = rf"\b(?P<name>{keys})=\{{(?P<key>\w+|'\w+'): '(?P<value>[^']*)'\}}"
    text = re.sub(mapping, lambda found: _entry(named[found["name"]], found["key"].strip("'"), found["value"]), text)
    argument = rf"\b(?P<name>{keys})\s?=\s?(?P<value>'[^']*'|\"[^\"]*\"|[-+\w.]+)"
    return re.sub(argument, lambda found: _option(named[found["name"]], found["value"].strip("'\"")), text)


def _entry(name: str, key: str, value: str) -> str:
    return f'--{name} "{key}={value}"' if " " in value else f"--{name} {key}={value}"


def _option(name: str, value: str) -> str:
    return f'--{name} "{value}"' if " " in value or not value else f"--{name} {value}"
