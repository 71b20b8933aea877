"""Values at time 0: formulas whose changing names are replaced by what these start from."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mscpkpd.errors import ExpressionError, ModelError
from mscpkpd.expressions import TIME, Expression
from mscpkpd.sbml.substitution import substituted

__all__ = ["at_start"]


def at_start(
    expression: Expression,
    moving: Collection[str],
    start_of: Callable[[str], Expression],
    where: str,
    path: tuple[str, ...] = (),
) -> Expression:
    """Return a formula at time 0, in names that do not change.

    Parameters
    ----------
    expression : Expression
        The formula.
    moving : collection of str
        Names that change in time.
    start_of : callable
        Formula of such a name at time 0; it may use further names that change.
    where : str
        File and element, for error messages.
    path : tuple of str
        Names on the way here.

    Raises
    ------
    ModelError
        If start values depend on each other in a circle, or the result is too large.
    """
    texts = {TIME: "0"} if TIME in expression.names else {}
    for name in sorted(expression.names & set(moving) - {TIME}):
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise ModelError(f"start values use each other in a circle: {circle}", where=where, hint="one number")
        texts[name] = f"({at_start(start_of(name), moving, start_of, where, (*path, name))})"
    try:
        return substituted(expression, texts)
    except ExpressionError as error:
        raise ModelError(error.problem, where=where, expected=error.expected, hint=error.hint) from None
