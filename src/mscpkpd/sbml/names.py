"""Names: what SBML allows, what this package allows, and the annotations that keep what SBML has no word for."""

from __future__ import annotations

import re
from collections.abc import Collection
from xml.sax.saxutils import quoteattr

from mscpkpd.errors import ExpressionError
from mscpkpd.expressions import check_name

__all__ = ["ROW_NAMESPACE", "annotation", "own_name", "sid"]

ROW_NAMESPACE = "urn:mscpkpd:row"  # of our annotations
NOT_SID = re.compile(r"\W+", re.ASCII)


def sid(text: str, taken: Collection[str]) -> str:
    """Return an SBML id like `text` that nothing else has.

    Parameters
    ----------
    text : str
        Any text.
    taken : collection of str
        Ids in use.
    """
    plain = NOT_SID.sub("_", text).strip("_") or "x"
    return _free(plain if not plain[0].isdigit() else f"_{plain}", taken)


def own_name(text: str, taken: Collection[str]) -> str:
    """Return a name for formulas like `text` that nothing else has.

    Parameters
    ----------
    text : str
        An SBML id: a letter or an underscore, then letters, digits and underscores.
    taken : collection of str
        Names in use.
    """
    plain = text.lstrip("_") or "x"
    if plain[0].isdigit():
        plain = f"x{plain}"
    try:
        check_name(plain)
    except ExpressionError:
        plain = f"{plain}_1"
    return _free(plain, taken)


def _free(text: str, taken: Collection[str]) -> str:
    found, number = text, 1
    while found in taken:
        number += 1
        found = f"{text}_{number}"
    return found


def annotation(facts: dict[str, str]) -> str:
    """Return an annotation of our own, which other tools keep and ignore."""
    words = " ".join(f"{key}={quoteattr(value)}" for key, value in facts.items() if value)
    return f'<row xmlns="{ROW_NAMESPACE}" {words}/>'
