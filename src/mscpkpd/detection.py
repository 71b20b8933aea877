"""Detection: how likely an assay is positive, given the amount that is there (Q4).

``probit(lod, s)`` means P(positive) = Phi((log f - log lod)/s): half of the samples that hold the limit `lod` are
positive, and `s` says how wide the step is, on the scale of the natural logarithm of the amount.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mscpkpd.errors import ParameterError
from mscpkpd.expressions import parse_call

__all__ = ["Detection"]

FORM = "probit(lod, s)"


@dataclass(frozen=True)
class Detection:
    """An uncertain limit of detection.

    Attributes
    ----------
    lod : str or float
        Amount of which half of the samples are positive, in the unit of the output: a parameter or a number.
    s : str or float
        Standard deviation of the logarithm of the limit [1]: a parameter or a number.

    Raises
    ------
    ParameterError
        If a number is not above 0.
    """

    lod: str | float
    s: str | float

    def __post_init__(self) -> None:
        for name, argument in (("lod", self.lod), ("s", self.s)):
            if not isinstance(argument, str) and not (math.isfinite(argument) and argument > 0):
                problem = f"{name} of detection '{self}' is {argument:g}"
                raise ParameterError(problem, expected="a number above 0 or a parameter")

    @classmethod
    def parse(cls, text: str, where: str = "") -> Detection:
        """Read ``"probit(lod, s)"``.

        Parameters
        ----------
        text : str
            As written in a model file.
        where : str
            File and key, for the error message.

        Raises
        ------
        ParameterError
            If the text has another form.
        """
        kind, arguments = parse_call(text, where)
        if kind != "probit" or len(arguments) != 2:
            raise ParameterError(
                f"detection '{text}'", where=where, expected=FORM, hint='detection = "probit(100, 0.5)"'
            )
        try:
            return cls(*arguments)
        except ParameterError as error:
            raise ParameterError(error.problem, where=where, expected=error.expected, hint=error.hint) from None

    def __str__(self) -> str:
        shown = (x if isinstance(x, str) else repr(x).removesuffix(".0") for x in (self.lod, self.s))
        return f"probit({', '.join(shown)})"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it uses."""
        return tuple(dict.fromkeys(x for x in (self.lod, self.s) if isinstance(x, str)))

    def of(self, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Limit [unit of the output] and spread [1] for values of the parameters.

        Parameters
        ----------
        values : mapping of str to float, or to what stands for one in a graph
        """
        lod, s = (values[x] if isinstance(x, str) else x for x in (self.lod, self.s))
        return lod, s
