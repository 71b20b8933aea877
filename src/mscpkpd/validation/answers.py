"""One known answer, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mscpkpd.errors import MscError
from mscpkpd.model import Model
from mscpkpd.modelfile import load_model

__all__ = ["BOUNDS", "KnownAnswer", "Outcome", "judged"]

BOUNDS = ("", "at least", "at most")


@dataclass(frozen=True)
class KnownAnswer:
    """A number that is known without this program.

    Attributes
    ----------
    name : str
        What is computed.
    source : str
        Why it is known.
    model : str
        Name in the library.
    values : tuple of str
        Values files, laid over the model from left to right; empty for none.
    expected, tolerance : float
        The number and how far the result may be from it [unit].
    unit : str
        Unit of both; "1" for none.
    compute : callable
        From the loaded model to the number, through the engine.
    bound : str
        "at least" or "at most" where only one side is known; blank where the number is.
    """

    name: str
    source: str
    model: str
    values: tuple[str, ...]
    expected: float
    tolerance: float
    unit: str
    compute: Callable[[Model], float]
    bound: str = ""

    def holds(self, got: float) -> bool:
        """Whether a result is the known answer; what is not finite never is."""
        if self.bound not in BOUNDS:
            raise ValueError(f"bound {self.bound!r} of '{self.name}' is none of {BOUNDS}")
        above, below = got >= self.expected - self.tolerance, got <= self.expected + self.tolerance
        within = {"": above and below, "at least": above, "at most": below}[self.bound]
        return within and math.isfinite(got)


@dataclass(frozen=True)
class Outcome:
    """What became of a known answer.

    Attributes
    ----------
    answer : KnownAnswer
        What is known.
    got : float
        The result [unit of the answer]; NaN where there is none.
    passed : bool
        Whether it is the known one.
    problem : str
        Why there is no result; blank where there is one.
    """

    answer: KnownAnswer
    got: float
    passed: bool
    problem: str = ""


def judged(answer: KnownAnswer) -> Outcome:
    """Compute a known answer again.

    Parameters
    ----------
    answer : KnownAnswer
        A model that is missing, or cannot be solved, fails; nothing is skipped.

    Returns
    -------
    Outcome
    """
    try:
        got = float(answer.compute(load_model(answer.model, answer.values or None)))
    except MscError as error:
        return Outcome(answer, math.nan, passed=False, problem=str(error))
    return Outcome(answer, got, answer.holds(got))
