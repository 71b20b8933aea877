"""Verbs of a model whose work stands in higher rows: named here as text, loaded when they are called.

This is the only place of the package that points upwards. A model describes and computes nothing; `model.to_sbml(path)`
is nevertheless what people look for, and the table below is all that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the types in the signatures of these verbs
    from mscpkpd.data import Study
    from mscpkpd.designs import Design
    from mscpkpd.identifiability.report import Identifiability

__all__ = ["VERBS", "Design", "Identifiability", "Study", "verb"]

# method of `Model` -> module and function that does the work; the model is its first argument
VERBS = {
    "identifiability": "mscpkpd.identifiability.analysis:identify",
    "to_sbml": "mscpkpd.sbml.writing:write_sbml",
}


def verb(name: str, verbs: Mapping[str, str] = VERBS) -> Callable[..., Any]:
    """Load the function behind a verb.

    Parameters
    ----------
    name : str
        A key of `verbs`.
    verbs : mapping of str to str
        Module and function of each; another row may have a table of its own.
    """
    module, _, function = verbs[name].partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded
