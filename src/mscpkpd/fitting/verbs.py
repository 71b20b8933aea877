"""Verbs of a fit whose work stands in higher rows: named here as text, loaded when they are called.

As `model.verbs` does for a model: a fit knows its draws and its data, and ``fit.check()`` is what people look for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mscpkpd.model.verbs import verb as verb_of

if TYPE_CHECKING:  # the types in the signatures of these verbs
    from matplotlib.figure import Figure

    from mscpkpd.diagnostics.checkup import Diagnosis

__all__ = ["VERBS", "Diagnosis", "Figure", "verb"]

# method of `Fit` or of what `Fit.check` returns -> module and function that does the work; the object is its first
# argument
VERBS = {
    "check": "mscpkpd.diagnostics.checkup:check_fit",
    "plot": "mscpkpd.plots.diagnosis:check_figures",
    "save": "mscpkpd.report.checkup:write_check",
}


def verb(name: str) -> Callable[..., Any]:
    """Load the function behind a verb.

    Parameters
    ----------
    name : str
        A key of `VERBS`.
    """
    return verb_of(name, VERBS)
