"""A scorer as a folder: a readable ``scorer.toml``, the responder file with its trials, the draws; no patient data."""

from __future__ import annotations

import json
import math
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mscpkpd.errors import InputError, ModelError
from mscpkpd.files import whole_folder
from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.definition import FILE, Definition, read_definition, write_definition
from mscpkpd.responder.draws import Draws

__all__ = ["Stored", "read_folder", "write_folder"]

MARK = "scorer.toml"
DRAWS = "draws.npz"
MOST_BYTES = 200_000_000


class Stored(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    definition : Definition
        The responder file, changed priors included.
    draws : Draws
        Parameter draws.
    plain : dict
        Plain values of the scorer by name.
    cohort : dict
        Counts of the cohort; empty for the prior alone.
    """

    definition: Definition
    draws: Draws
    plain: dict[str, Any]
    cohort: dict[str, Any]


def write_folder(path: str | Path, stored: Stored, comment: str) -> Path:
    """Write a folder, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Its name; an earlier scorer of that name is replaced.
    stored : Stored
        The content.
    comment : str
        Lines for a human reader at the end of ``scorer.toml``.

    Raises
    ------
    UsageError
        If something else stands there.
    """
    definition = stored.definition
    top = {"format": 1, "kind": "scorer", "banner": BANNER, "slope": definition.slope}
    lines = _toml({**top, "prior_changes": [list(change) for change in definition.changes], **stored.plain})
    if stored.cohort:
        lines += ["", "[cohort]", *_toml(stored.cohort)]
    with whole_folder(path, MARK) as folder:
        write_definition(definition, folder)
        text = "\n".join([*lines, "", *(f"# {line}" for line in comment.splitlines())])
        (folder / MARK).write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(folder / DRAWS, names=np.array(stored.draws.names), values=stored.draws.values)
    return Path(path)


def _toml(values: Mapping[str, object]) -> list[str]:
    return [f"{key} = {_toml_value(value)}" for key, value in values.items()]


def _toml_value(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # a JSON string is a TOML basic string, except that TOML wants DEL escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_folder(path: str | Path) -> Stored:
    """Read a folder written by `write_folder`.

    Raises
    ------
    ModelError
        If it is no such folder, or a file in it is damaged.
    """
    folder = Path(path)
    if not (folder / MARK).is_file():
        problem = f"is a folder, with no {MARK}" if folder.is_dir() else f"no {MARK}"
        raise ModelError(problem, where=str(folder), expected="a folder written by scorer.save()")
    try:
        return _stored(folder)
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"damaged ({error})", where=str(folder), hint="save the scorer again") from error


def _stored(folder: Path) -> Stored:
    data = tomllib.loads((folder / MARK).read_text(encoding="utf-8"))
    definition = read_definition(folder / FILE, data["slope"])
    for name, prior, source in data["prior_changes"]:
        definition = definition.with_prior(name, prior, source)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    cohort = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.get("cohort", {}).items()
    }
    return Stored(definition, _draws(folder / DRAWS), values, cohort)


def _draws(path: Path) -> Draws:
    if path.stat().st_size > MOST_BYTES:
        raise ModelError(f"larger than {MOST_BYTES / 1e6:.0f} MB", where=str(path))
    with np.load(path, allow_pickle=False) as arrays:
        names, values = tuple(str(name) for name in arrays["names"]), np.array(arrays["values"], float)
    if values.ndim != 2 or values.shape[1] != len(names) or not np.isfinite(values).all():
        raise ModelError("does not hold one finite number for each draw and name", where=str(path))
    return Draws(names, values)
