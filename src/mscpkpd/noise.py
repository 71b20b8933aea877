"""Residual error models: density of an observation given its prediction, censored observations included.

========================  =========================================  ====
text                      standard deviation at prediction f         rule
========================  =========================================  ====
``additive(a)``           a                                          R1
``proportional(b)``       b f                                        R2
``combined1(a, b, c)``    a + b f**c          (c = 1 if left out)    R3
``combined2(a, b, c)``    sqrt(a**2 + b**2 f**(2 c))                 R4
``power(b, c)``           b f**c                                     R5
``lognormal(s)``          log y ~ Normal(log f, s)                   R6
``student(nu, a)``        Student t, location f, scale a             R8
========================  =========================================  ====

All probabilities are computed as logarithms (B11), so that they survive 40 standard deviations from the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mscpkpd.errors import ParameterError, UnknownName, closest
from mscpkpd.expressions import parse_call

__all__ = ["Noise"]

Array = NDArray[np.float64]
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# kind -> names of its arguments and how many of them must be given
KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "additive": (("a",), 1),
    "proportional": (("b",), 1),
    "combined1": (("a", "b", "c"), 2),
    "combined2": (("a", "b", "c"), 2),
    "power": (("b", "c"), 2),
    "lognormal": (("s",), 1),
    "student": (("nu", "a"), 2),
}


@dataclass(frozen=True)
class Noise:
    """A residual error model; see the table in the module's head.

    Attributes
    ----------
    kind : str
        Word of the table.
    args : tuple of str or float
        Names of parameters, or numbers, in the order of the table.

    Raises
    ------
    ParameterError
        If the kind is unknown (``combined`` without a number is refused, R11) or an argument is missing.
    """

    kind: str
    args: tuple[str | float, ...]

    def __post_init__(self) -> None:
        if self.kind == "combined":
            raise ParameterError(
                "noise 'combined' has two meanings (R11)",
                hint="combined1(a, b) for a + b f, combined2(a, b) for sqrt(a^2 + b^2 f^2)",
            )
        if self.kind not in KINDS:
            near = closest(self.kind, KINDS)
            raise ParameterError(
                f"unknown noise '{self.kind}'", expected=f"one of {', '.join(KINDS)}", hint=" or ".join(near)
            )
        names, fewest = KINDS[self.kind]
        if not fewest <= len(self.args) <= len(names):
            raise ParameterError(
                f"noise '{self}' has {len(self.args)} arguments", expected=f"{self.kind}({', '.join(names)})"
            )
        for name, arg in zip(names, self.args, strict=False):
            if not isinstance(arg, str) and not (math.isfinite(arg) and (arg > 0 or name == "c")):
                raise ParameterError(f"{name} of noise '{self}' is {arg:g}", expected="a number above 0 or a parameter")

    @classmethod
    def parse(cls, text: str, where: str = "") -> Noise:
        """Read a noise model such as ``"lognormal(sigma)"``.

        Parameters
        ----------
        text : str
            The noise as written in a model file.
        where : str
            File and key, for the error message.

        Raises
        ------
        ParameterError
            If the text is no noise model.

        Examples
        --------
        >>> Noise.parse("combined2(a, 0.2)").parameters
        ('a',)
        """
        kind, args = parse_call(text, where)
        try:
            return cls(kind, args)
        except ParameterError as error:
            raise ParameterError(error.problem, where=where, expected=error.expected, hint=error.hint) from None

    def __str__(self) -> str:
        args = (arg if isinstance(arg, str) else repr(arg).removesuffix(".0") for arg in self.args)
        return f"{self.kind}({', '.join(args)})"

    @property
    def arguments(self) -> dict[str, str | float]:
        """Arguments by their names in the table, without those left out."""
        return dict(zip(KINDS[self.kind][0], self.args, strict=False))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it uses."""
        return tuple(dict.fromkeys(arg for arg in self.args if isinstance(arg, str)))

    @property
    def is_log(self) -> bool:
        """Whether the error is additive on the scale of log y."""
        return self.kind == "lognormal"

    def _value(self, name: str, values: Mapping[str, ArrayLike]) -> Array:
        arg = self.arguments.get(name, 1.0)  # only the exponent c may be left out
        if not isinstance(arg, str):
            return np.asarray(arg, float)
        if arg not in values:
            raise UnknownName.among("parameter", arg, tuple(values), where=f"noise {self}")
        return np.asarray(values[arg], float)

    def sd(self, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return the standard deviation at predictions `f` (scale for ``student``; of log y for ``lognormal``).

        Parameters
        ----------
        f : array_like
            Predictions, in the unit of the output.
        values : mapping of str to float or array
            Values of the parameters, each broadcast against `f`.

        Returns
        -------
        array
            In the unit of the output, or of log y.
        """
        prediction = np.asarray(f, float)
        if self.kind in ("additive", "student"):
            return np.asarray(self._value("a", values) + np.zeros_like(prediction))
        if self.kind == "lognormal":
            return np.asarray(self._value("s", values) + np.zeros_like(prediction))
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = self._value("c", values)
            size = np.abs(prediction)  # a solver may return -1e-12 for nothing
            relative = self._value("b", values) * (size if np.all(exponent == 1) else size**exponent)
        if self.kind == "combined1":
            return np.asarray(self._value("a", values) + relative)
        if self.kind == "combined2":
            return np.asarray(np.hypot(self._value("a", values), relative))
        return np.asarray(relative)

    def log_density(self, y: ArrayLike, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return the log density of observations on the scale of y (P10: ``lognormal`` carries its Jacobian).

        Parameters
        ----------
        y, f : array_like
            Observations and predictions, in the unit of the output.
        values : mapping of str to float or array
            Values of the parameters.

        Returns
        -------
        array
            -inf where the observation is impossible (y <= 0 under ``lognormal``, sd = 0).
        """
        z, scale = self._standard(y, f, values)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.kind == "student":
                density = self._student(z, values) - np.log(scale)
            else:
                density = -HALF_LOG_2PI - np.log(scale) - 0.5 * z**2
            if self.is_log:
                density = density - np.log(np.where(np.asarray(y) > 0, y, 1.0))
        return np.asarray(np.where(scale <= 0, -np.inf, density))

    def log_cdf(self, limit: ArrayLike, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return log P(Y < limit): a left-censored observation (B5, B12)."""
        return self._log_tail(self._standard(limit, f, values)[0], values)

    def log_sf(self, limit: ArrayLike, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return log P(Y > limit): a right-censored observation (B9)."""
        return self._log_tail(-self._standard(limit, f, values)[0], values)

    def log_interval(self, lo: ArrayLike, hi: ArrayLike, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return log P(lo < Y < hi): an interval-censored observation (B8).

        Raises
        ------
        ParameterError
            If a lower bound is not below its upper bound.
        """
        if not np.all(np.asarray(lo, float) < np.asarray(hi, float)):
            raise ParameterError("lower bound of an interval is not below its upper bound", expected="lower < upper")
        a, b = np.broadcast_arrays(self._standard(lo, f, values)[0], self._standard(hi, f, values)[0])
        # above the prediction the two upper tails are small and differ, the two lower ones are both near 1
        upper = a > 0
        big = self._log_tail(np.where(upper, -a, b), values)
        small = self._log_tail(np.where(upper, -b, a), values)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(small == -np.inf, big, big + np.log(-np.expm1(small - big))))

    def sample(self, rng: np.random.Generator, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return simulated observations of the shape of `f`, in the unit of the output."""
        prediction = np.asarray(f, float)
        sd = self.sd(prediction, values)
        if self.kind == "student":
            degrees = np.broadcast_to(self._value("nu", values), sd.shape)
            return np.asarray(prediction + sd * rng.standard_t(degrees))
        error = sd * rng.standard_normal(sd.shape)
        return np.asarray(prediction * np.exp(error) if self.is_log else prediction + error)

    def _standard(self, y: ArrayLike, f: ArrayLike, values: Mapping[str, ArrayLike]) -> tuple[Array, Array]:
        """Return z = (y - f)/sd, on the log scale where the error is (B12), and sd."""
        seen, prediction = np.asarray(y, float), np.asarray(f, float)
        scale = self.sd(prediction, values)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.is_log:
                # nothing lies below 0, and a prediction of 0 lies below every limit
                distance = np.where(seen <= 0, -np.inf, np.log(np.maximum(seen, 0)) - np.log(np.maximum(prediction, 0)))
            else:
                distance = seen - prediction
            return np.asarray(distance / scale), scale

    def _log_tail(self, z: Array, values: Mapping[str, ArrayLike]) -> Array:
        """Return the log of the standard distribution function at z."""
        from scipy.special import log_ndtr, stdtr

        if self.kind != "student":
            return np.asarray(log_ndtr(z))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(stdtr(self._value("nu", values), z)))

    def _student(self, z: Array, values: Mapping[str, ArrayLike]) -> Array:
        from scipy.special import gammaln

        nu = self._value("nu", values)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * math.pi)
        return np.asarray(constant - 0.5 * (nu + 1) * np.log1p(z**2 / nu))
