"""The shipped library of models, values and regimens, and how a name or a path becomes a file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mscpkpd.errors import ModelError, UnknownName
from mscpkpd.expressions import shortened

__all__ = ["Table", "is_file", "library_path", "locate", "models", "read_toml", "regimens", "stems", "values_of"]

Table = dict[str, Any]

LARGEST_FILE = 1_000_000


def library_path() -> Path:
    """Return the folder of the shipped models: inside the package in a wheel, beside ``src`` in an editable install.

    Raises
    ------
    ModelError
        If the installation has no library.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "models", package.parents[1] / "models"):
        if (folder / "pkpd").is_dir():
            return folder
    raise ModelError("the library of models is missing", where=str(package), hint="install mscpkpd again")


def models() -> tuple[str, ...]:
    """Return the names of the shipped models, for `load_model`.

    Returns
    -------
    tuple of str
        Sorted.

    Raises
    ------
    ModelError
        If the installation has no library.

    Notes
    -----
    The library is a convention of this package: one text file for each model, in the folder ``models/pkpd``.
    """
    return stems(library_path() / "pkpd")


def regimens() -> tuple[str, ...]:
    """Return the names of the shipped regimens, for `load_regimen`."""
    return stems(library_path() / "regimens")


def values_of(name: str) -> tuple[str, ...]:
    """Return the names of the values files shipped for a model, those of the models that it extends included.

    Parameters
    ----------
    name : str
        A shipped model.

    Returns
    -------
    tuple of str
        Sorted; empty where there are none, or no such model.
    """
    chain = [name]
    file = library_path() / "pkpd" / f"{name}.toml"
    while file.is_file():
        parent = read_toml(file).get("extend")
        if not isinstance(parent, str) or parent in chain:
            break
        chain.append(parent)
        file = library_path() / "pkpd" / f"{parent}.toml"
    return tuple(sorted({stem for model in chain for stem in stems(library_path() / "values" / model)}))


def stems(folder: Path) -> tuple[str, ...]:
    """Return the names of the TOML files of a folder, sorted."""
    return tuple(sorted(file.stem for file in folder.glob("*.toml")))


def locate(kind: str, name: str | os.PathLike[str], folders: Iterable[Path], known: Iterable[str]) -> Path:
    """Return the file that a shipped name or a path means.

    Parameters
    ----------
    kind : str
        "model", "regimen", ...: for the error message.
    name : str or path
        A name in one of `folders`, else a path.
    folders : iterable of Path
        Where names are looked up, in order.
    known : iterable of str
        Names that exist, for the error message.

    Raises
    ------
    UnknownName
        For a name that does not exist.
    ModelError
        For a path where there is no file.
    """
    text = os.fspath(name)
    if isinstance(name, str) and text and not {"/", "\\"} & set(text):
        for folder in folders:
            if is_file(folder / f"{text}.toml"):
                return folder / f"{text}.toml"
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    if is_file(path):
        return path
    if path.suffix or len(path.parts) > 1:
        expected = f"the path of a {kind} file, or one of: {', '.join(known)}"
        taken = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise ModelError(f"'{text}' is a folder" if taken else f"there is no file '{text}'", expected=expected)
    raise UnknownName.among(kind, text, tuple(known))


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that is too long is none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for a name that is too long


def _line_of(problem: str, path: Path) -> str:
    """Return the line that a message of the TOML reader is about."""
    number = re.search(r"line (\d+)", problem)
    lines = path.read_text(encoding="utf-8").splitlines()
    if number is None or int(number[1]) > len(lines):
        return ""
    return f": {shortened(lines[int(number[1]) - 1].strip())}"


def read_toml(path: Path) -> Table:
    """Return the raw content of a TOML file of at most 1 MB.

    Raises
    ------
    ModelError
        With file and line, if it is too large, cannot be read or is not TOML (a key twice, for example).
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            expected = f"at most {LARGEST_FILE:,} bytes"
            raise ModelError(f"the file has {size:,} bytes", where=str(path), expected=expected, hint="check the path")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        problem = f"not valid TOML: {error}{_line_of(str(error), path)}"
        twice = "overwrite" in problem or "twice" in problem
        hint = "another name, or one of the two" if twice else "texts in quotes, each row in braces on one line"
        raise ModelError(problem, where=str(path), hint=hint) from None
    except UnicodeDecodeError as error:
        raise ModelError(f"byte {error.start} is not UTF-8 text", where=str(path), expected="a TOML file") from None
    except (RecursionError, ValueError) as error:
        why = "lists are nested too deep" if isinstance(error, RecursionError) else f"a value is out of range ({error})"
        raise ModelError(why, where=str(path), expected="a TOML file") from None
    except OSError as error:
        raise ModelError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
