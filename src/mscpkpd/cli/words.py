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
    found: dict[str, float] = {}
    for part in _parts(text, option, "a=1,b=2") if text is not None else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise UsageError(f"'{part}'", where=option, expected="name=number", hint=f"{option} k_L=0.03")
        if name in found:
            raise UsageError(f"'{name}' stands twice", where=option, expected="each name once")
        found[name] = _number(value, f"{option} {name}", "a number, in the unit of the parameter")
    return found


def read_quantities(text: str | None, option: str) -> dict[str, str] | None:
    """Read ``lung=0.17 g,liver=1.2 g`` as quantities by name; None where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``name=quantity``, or a name twice.
    """
    if text is None:
        return None
    found: dict[str, str] = {}
    for part in _parts(text, option, "lung=0.17 g"):
        name, equals, quantity = (piece.strip() for piece in part.partition("="))
        if not (name and equals and quantity):
            raise UsageError(f"'{part}'", where=option, expected="name=quantity", hint=f'{option} "lung=0.17 g"')
        if name in found:
            raise UsageError(f"'{name}' stands twice", where=option, expected="each name once")
        found[name] = quantity
    return found


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
    found: dict[int | str, str] = {}
    for part in parts:
        key, equals, name = (piece.strip() for piece in part.partition("="))
        if not (key and equals and name):
            raise UsageError(f"'{part}'", where=option, expected="number=name", hint=f"{option} 1=conc")
        if key in found:
            raise UsageError(f"'{key}' stands twice", where=option, expected="each number once")
        found[key] = name
    return found


def read_rules(text: str | None, option: str) -> dict[str, str] | str | None:
    """Read ``WT=linear,CRCL=locf`` as rules by name; a rule alone is one for all; None where the option is not given.

    Raises
    ------
    UsageError
        For a part that is no ``name=rule``, or a name twice.
    """
    if text is None or "=" not in text:
        return text
    found: dict[str, str] = {}
    for part in _parts(text, option, "WT=linear,CRCL=locf"):
        name, equals, rule = (piece.strip() for piece in part.partition("="))
        if not (name and equals and rule):
            raise UsageError(f"'{part}'", where=option, expected="name=rule", hint=f"{option} WT=linear")
        if name in found:
            raise UsageError(f"'{name}' stands twice", where=option, expected="each name once")
        found[name] = rule
    return found


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
