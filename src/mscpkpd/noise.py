"""Residual error models: density of an observation given its prediction, censored observations included.

============================  =============================================================  ====
text                          what it says at prediction f                                   rule
============================  =============================================================  ====
``additive(a)``               standard deviation a                                           R1
``proportional(b)``           b f                                                            R2
``combined1(a, b, c)``        a + b f**c          (c = 1 if left out)                        R3
``combined2(a, b, c)``        sqrt(a**2 + b**2 f**(2 c))                                     R4
``power(b, c)``               b f**c                                                         R5
``lognormal(s)``              log y ~ Normal(log f, s)                                       R6
``boxcox(lam, s)``            h(y) ~ Normal(h(f), s), h(y) = (y**lam - 1)/lam                R7
``yeojohnson(lam, s)``        the same with h of 1 + y, and mirrored below 0                 R7
``student(nu, a)``            Student t, location f, scale a                                 R8
``student(nu, SPREAD)``       the same with the scale of R1 to R5: ``student(4, power(b, c))``  R8
``ar1(rho, NOISE)``           residuals of R1 to R7 that correlate as rho**(time between)    R9
``poisson()``                 a count with mean f                                            R10
``negbinomial(size)``         a count with mean f and variance f + f**2/size                 R10
============================  =============================================================  ====

All probabilities are computed as logarithms (B11), so that they survive 1000 standard deviations from the prediction.
The formulas are written for any library of arrays (`tails.Library`): the same serve NumPy and PyTensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mscpkpd.errors import ParameterError, UnknownName, closest
from mscpkpd.expressions import parse_nested_call
from mscpkpd.tails import (
    NUMPY,
    Library,
    log_difference,
    log_negbinomial,
    log_negbinomial_tails,
    log_normal_cdf,
    log_normal_density,
    log_poisson,
    log_poisson_tails,
    log_student_cdf,
    log_student_density,
)

__all__ = ["LEAST", "NOTHING_PREDICTED", "Noise"]

Array = NDArray[np.float64]
NOTHING_PREDICTED = 1e-30  # keeps the logarithm of a prediction finite where the model says zero
LEAST = 1e-300  # the same for observations and limits, of which none is 0
SMALL_POWER = 1e-5  # below it (exp(x) - 1)/x is its series

# kind -> names of its arguments and how many of them must be given
SPREADS: dict[str, tuple[tuple[str, ...], int]] = {
    "additive": (("a",), 1),
    "proportional": (("b",), 1),
    "combined1": (("a", "b", "c"), 2),
    "combined2": (("a", "b", "c"), 2),
    "power": (("b", "c"), 2),
}
GAUSSIAN = {
    **SPREADS,
    "lognormal": (("s",), 1),
    "boxcox": (("lam", "s"), 2),
    "yeojohnson": (("lam", "s"), 2),
}
COUNTS = {"poisson": ((), 0), "negbinomial": (("size",), 1)}
# kind -> its own argument, and what it may stand around
AROUND = {"student": ("nu", SPREADS), "ar1": ("rho", GAUSSIAN)}
KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    **GAUSSIAN, **COUNTS, "student": (("nu", "a"), 2), "ar1": (("rho", "noise"), 2),
}  # fmt: skip
ANY_NUMBER = ("c", "lam")  # arguments that may be 0 or less


@dataclass(frozen=True)
class Noise:
    """A residual error model; see the table in the module's head.

    Attributes
    ----------
    kind : str
        Word of the table.
    args : tuple of str or float
        Names of parameters, or numbers, in the order of the table; of ``student`` and ``ar1`` their own argument, then
        those of what they stand around.
    around : str
        Of ``student`` and ``ar1``: the kind inside; blank for all others.

    Raises
    ------
    ParameterError
        If the kind is unknown (``combined`` without a number is refused, R11) or an argument is missing.
    """

    kind: str
    args: tuple[str | float, ...]
    around: str = ""

    def __post_init__(self) -> None:
        if self.kind == "student" and not self.around:
            object.__setattr__(self, "around", "additive")
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
        if self.kind in AROUND:
            self._check_around()
        elif self.around:
            hint = "student(nu, proportional(b)) or ar1(rho, lognormal(s))"
            raise ParameterError(f"noise '{self.kind}' stands around no other", expected=_form(self.kind), hint=hint)
        names, fewest = self._signature
        if not fewest <= len(self.args) <= len(names):
            raise ParameterError(
                f"noise '{self}' has {len(self.args)} arguments", expected=_form(self.kind, self.around)
            )
        for name, arg in self.arguments.items():
            _check_number(self, name, arg)

    def _check_around(self) -> None:
        own, allowed = AROUND[self.kind]
        if self.around not in allowed:
            inside = f"'{self.around}' inside" if self.around else "nothing inside"
            raise ParameterError(
                f"noise '{self.kind}' with {inside}",
                expected=f"{self.kind}({own}, NOISE) around one of {', '.join(allowed)}",
                hint=f"{self.kind}({own}, {'proportional(b)' if self.kind == 'student' else 'lognormal(s)'})",
            )

    @classmethod
    def parse(cls, text: str, where: str = "") -> Noise:
        """Read a noise model such as ``"lognormal(sigma)"`` or ``"student(4, proportional(b))"``.

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
        kind, args, inside = parse_nested_call(text, where)
        around, more = inside if inside is not None else ("", ())
        try:
            return cls(kind, (*args, *more), around)
        except ParameterError as error:
            raise ParameterError(error.problem, where=where, expected=error.expected, hint=error.hint) from None

    def __str__(self) -> str:
        args = [arg if isinstance(arg, str) else repr(arg).removesuffix(".0") for arg in self.args]
        if self.around and (self.kind, self.around) != ("student", "additive"):
            return f"{self.kind}({args[0]}, {self.around}({', '.join(args[1:])}))"
        return f"{self.kind}({', '.join(args)})"

    @property
    def _signature(self) -> tuple[tuple[str, ...], int]:
        if self.kind not in AROUND:
            return KINDS[self.kind]
        names, fewest = GAUSSIAN[self.around]
        return (AROUND[self.kind][0], *names), fewest + 1

    @property
    def form(self) -> str:
        """The kind that gives scale and spread: what ``student`` or ``ar1`` stand around, else the kind itself."""
        return self.around or self.kind

    @property
    def single(self) -> Noise:
        """The noise of one row alone: without the correlation of ``ar1``."""
        return Noise(self.around, self.args[1:]) if self.kind == "ar1" else self

    @property
    def arguments(self) -> dict[str, str | float]:
        """Arguments by their names in the table, without those left out."""
        return dict(zip(self._signature[0], self.args, strict=False))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that it uses."""
        return tuple(dict.fromkeys(arg for arg in self.args if isinstance(arg, str)))

    @property
    def is_log(self) -> bool:
        """Whether the error is additive on the scale of log y."""
        return self.form == "lognormal"

    @property
    def is_positive(self) -> bool:
        """Whether only values above 0 are possible."""
        return self.form in ("lognormal", "boxcox")

    @property
    def is_count(self) -> bool:
        """Whether only whole numbers are possible."""
        return self.kind in COUNTS

    @property
    def is_gaussian(self) -> bool:
        """Whether residuals are normal on some scale."""
        return self.kind in GAUSSIAN or self.kind == "ar1"

    def value(self, name: str, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return the value of an argument by its name in the table, as an array of the library."""
        arg = self.arguments.get(name, 1.0)  # only the exponent c may be left out
        if not isinstance(arg, str):
            return xp.array(arg)
        if arg not in values:
            raise UnknownName.among("parameter", arg, tuple(values), where=f"noise {self}")
        return xp.array(values[arg])

    # ---- scale and spread --------------------------------------------------------------------------------------------

    def scaled(self, x: Any, values: Mapping[str, Any], xp: Library = NUMPY, least: float = NOTHING_PREDICTED) -> Any:
        """Return values or predictions on the scale on which the error is additive: x itself, log x, or R7.

        Parameters
        ----------
        x : array_like
            In the unit of the output.
        values : mapping of str to float or array
            Values of the parameters.
        xp : Library
            Of the arrays.
        least : float
            What takes the place of less, where only values above 0 are possible.
        """
        x = xp.array(x)
        if self.form == "lognormal":
            return xp.log(xp.maximum(x, least))
        if self.form == "boxcox":
            return _power(xp.log(xp.maximum(x, least)), self.value("lam", values, xp), xp)
        if self.form == "yeojohnson":
            lam = self.value("lam", values, xp)
            size = xp.log1p(xp.abs(x))
            return xp.where(x >= 0, _power(size, lam, xp), -_power(size, 2.0 - lam, xp))
        return x

    def log_slope(self, x: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return the logarithm of the derivative of `scaled`: what a density on the scale of y gains (P10)."""
        x = xp.array(x)
        if self.form in ("lognormal", "boxcox"):
            power = self.value("lam", values, xp) if self.form == "boxcox" else 0.0
            return (power - 1.0) * xp.log(xp.maximum(x, LEAST))
        if self.form == "yeojohnson":
            lam = self.value("lam", values, xp)
            return xp.where(x >= 0, lam - 1.0, 1.0 - lam) * xp.log1p(xp.abs(x))
        return xp.array(0.0)

    def spread(self, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return the standard deviation as `sd` does, for arrays of any library."""
        f = xp.array(f)
        if self.is_count:
            mean = xp.maximum(f, 0.0)
            more = mean**2 / self.value("size", values, xp) if self.kind == "negbinomial" else 0.0
            return xp.sqrt(mean + more)
        if self.form == "additive":
            return self.value("a", values, xp) + 0.0 * f
        if self.form in ("lognormal", "boxcox", "yeojohnson"):
            return self.value("s", values, xp) + 0.0 * f
        size = xp.abs(f)  # a solver may return -1e-12 for nothing
        if self.arguments.get("c", 1.0) != 1.0:
            grown = xp.maximum(size, NOTHING_PREDICTED) ** self.value("c", values, xp)
            size = xp.where(size > 0, grown, 0.0)
        relative = self.value("b", values, xp) * size
        if self.form == "combined1":
            return self.value("a", values, xp) + relative
        if self.form == "combined2":
            return xp.sqrt(self.value("a", values, xp) ** 2 + relative**2)
        return relative

    def sd(self, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return the standard deviation at predictions `f` (scale for ``student``; on the scale of `scaled`).

        Parameters
        ----------
        f : array_like
            Predictions, in the unit of the output.
        values : mapping of str to float or array
            Values of the parameters, each broadcast against `f`.

        Returns
        -------
        array
            In the unit of the output, or of the scale of the error.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.spread(f, values))

    # ---- densities ---------------------------------------------------------------------------------------------------

    def log_density(self, y: Any, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return the log density of observations on the scale of y (P10: R6 and R7 carry their Jacobian).

        Parameters
        ----------
        y, f : array_like
            Observations and predictions, in the unit of the output.
        values : mapping of str to float or array
            Values of the parameters.
        xp : Library
            Of the arrays.

        Returns
        -------
        array
            -inf where the observation is impossible (y <= 0 under ``lognormal``, sd = 0). Of one row alone for
            ``ar1``.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.is_count:
                mean = xp.maximum(f, NOTHING_PREDICTED)
                if self.kind == "poisson":
                    return log_poisson(xp.array(y), mean, xp)
                return log_negbinomial(xp.array(y), mean, self.value("size", values, xp), xp)
            z, scale = self._standard(y, f, values, xp)
            density = self._log_standard(z, values, xp) - xp.log(scale)
            if self.form in ("lognormal", "boxcox", "yeojohnson"):
                density = density + self.log_slope(y, values, xp)
            return xp.where(scale <= 0, -np.inf, density)

    def log_cdf(self, limit: Any, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return log P(Y < limit): a left-censored observation (B5, B12, B13); a count at the limit is not below it."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.is_count:
                return self._tails(limit, f, values, xp)[0]
            return self._log_tail(self._standard(limit, f, values, xp)[0], values, xp)

    def log_sf(self, limit: Any, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return log P(Y > limit): a right-censored observation (B9)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.is_count:
                return self._tails(np.floor(limit) + 1.0, f, values, xp)[1]
            return self._log_tail(-self._standard(limit, f, values, xp)[0], values, xp)

    def log_kept(self, limit: Any, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return log P(Y >= limit): what M2 and M4 divide by (B4, B6)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self._tails(limit, f, values, xp)[1] if self.is_count else self.log_sf(limit, f, values, xp)

    def log_interval(self, lo: Any, hi: Any, f: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return log P(lo < Y < hi): an interval-censored observation (B8); for counts P(lo <= Y < hi).

        Raises
        ------
        ParameterError
            If a lower bound is not below its upper bound.
        """
        if not np.all(np.asarray(lo, float) < np.asarray(hi, float)):
            raise ParameterError("lower bound of an interval is not below its upper bound", expected="lower < upper")
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.is_count:
                low, high = self._tails(lo, f, values, xp), self._tails(hi, f, values, xp)
                upper = low[0] > -math.log(2)  # the two upper tails are small and differ, the two lower ones near 1
                return log_difference(xp.where(upper, low[1], high[0]), xp.where(upper, high[1], low[0]), xp)
            a, b = self._standard(lo, f, values, xp)[0], self._standard(hi, f, values, xp)[0]
            upper = a > 0
            big = self._log_tail(xp.where(upper, -a, b), values, xp)
            small = self._log_tail(xp.where(upper, -b, a), values, xp)
            return log_difference(big, small, xp)

    def sample(self, rng: np.random.Generator, f: ArrayLike, values: Mapping[str, ArrayLike]) -> Array:
        """Return simulated observations of the shape of `f`, in the unit of the output; each by itself, but for R9.

        Raises
        ------
        ParameterError
            For ``ar1``, whose rows depend on each other: `sample_series` draws them, `single` one by one.
        """
        if self.kind == "ar1":
            raise ParameterError(f"noise '{self}' has no rows by themselves (R9)", hint="sample_series, or single")
        mean = np.asarray(f, float)
        if self.is_count:
            mean = np.maximum(mean, 0.0)
            if self.kind == "negbinomial":
                size = self.value("size", values)
                mean = rng.gamma(size, 1.0, np.broadcast_shapes(size.shape, mean.shape)) * mean / size
            return np.asarray(rng.poisson(mean), dtype=float)
        sd = self.sd(mean, values)
        if self.kind == "student":
            return self.moved(mean, rng.standard_t(np.broadcast_to(self.value("nu", values), sd.shape)), values)
        return self.moved(mean, rng.standard_normal(sd.shape), values)

    def sample_series(
        self, rng: np.random.Generator, f: Array, values: Mapping[str, ArrayLike], before: NDArray[np.intp], gap: Array
    ) -> Array:
        """Return simulated observations whose residuals follow each other (R9); as `sample` for all other noise.

        Parameters
        ----------
        rng : numpy.random.Generator
        f : array of shape (n,)
            Predictions.
        values : mapping of str to float
            Values of the parameters.
        before : array of int, shape (n,)
            Position of the row of the same series that comes before; -1 where there is none.
        gap : array of shape (n,)
            Time since then.
        """
        if self.kind != "ar1":
            return self.sample(rng, f, values)
        error = rng.standard_normal(len(f))
        kept = self.value("rho", values) ** np.where(before < 0, 0.0, gap)
        todo = np.flatnonzero(before >= 0)
        done = before < 0
        while len(todo):  # each round does the rows whose predecessor is done
            now = todo[done[before[todo]]]
            error[now] = kept[now] * error[before[now]] + np.sqrt(1.0 - kept[now] ** 2) * error[now]
            done[now] = True
            todo = todo[~done[todo]]
        return self.moved(f, error, values)

    def moved(self, f: Array, error: Array, values: Mapping[str, ArrayLike]) -> Array:
        """Return observations whose distance from the prediction is `error` standard deviations."""
        shift = self.sd(f, values) * error
        if self.form == "lognormal":
            return np.asarray(f * np.exp(shift))
        if self.form in ("boxcox", "yeojohnson"):
            return self._unscaled(self.scaled(f, values) + shift, values)
        return np.asarray(f + shift)

    def _unscaled(self, h: Array, values: Mapping[str, ArrayLike]) -> Array:
        """Inverse of `scaled`; what lies beyond its range is 0, or infinite."""
        lam = self.value("lam", values)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.form == "boxcox":
                return np.asarray(np.exp(_unpower(h, lam)))
            return np.asarray(np.where(h >= 0, np.expm1(_unpower(h, lam)), -np.expm1(_unpower(-h, 2.0 - lam))))

    # ---- R9 ----------------------------------------------------------------------------------------------------------

    def series_terms(self, z: Any, before: Any, gap: Any, values: Mapping[str, Any], xp: Library = NUMPY) -> Any:
        """Return the log density of standard residuals given the one before each (R9), without their scale.

        Parameters
        ----------
        z : array of shape (n,)
            (h(y) - h(f))/sd of each row.
        before, gap : array of shape (n,)
            As in `sample_series`.
        values : mapping of str to float
            Values of the parameters.
        xp : Library
            Of the arrays.

        Notes
        -----
        The chain is Markov: given the residual before, the next is Normal(r z, 1 - r^2) with r = rho^gap.
        """
        first = before < 0
        exponent = xp.where(first, 1.0, gap) * xp.log(self.value("rho", values, xp))
        kept = xp.where(first, 0.0, xp.exp(exponent))
        rest = xp.where(first, 1.0, -xp.expm1(2.0 * exponent))  # 1 - r^2, also where r is near 1
        return log_normal_density((z - kept * z[np.maximum(before, 0)]) / xp.sqrt(rest)) - 0.5 * xp.log(rest)

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _standard(self, y: Any, f: Any, values: Mapping[str, Any], xp: Library) -> tuple[Any, Any]:
        """Return z = (y - f)/sd, on the scale of the error (B12), and sd."""
        y, f = xp.array(y), xp.array(f)
        scale = self.spread(f, values, xp)
        distance = self.scaled(y, values, xp, LEAST) - self.scaled(f, values, xp)
        if self.is_positive:  # nothing lies below 0
            distance = xp.where(y <= 0, -np.inf, distance)
            if xp is NUMPY and self.is_log:  # and a prediction of 0 lies below every limit
                distance = np.where((f <= 0) & (y > 0), np.inf, distance)
        return distance / scale, scale

    def _tails(self, limit: Any, f: Any, values: Mapping[str, Any], xp: Library) -> tuple[Any, Any]:
        """Return log P(Y < limit) and log P(Y >= limit) of a count."""
        largest, mean = xp.array(np.ceil(limit) - 1.0), xp.maximum(f, NOTHING_PREDICTED)
        if self.kind == "poisson":
            return log_poisson_tails(largest, mean, xp)
        return log_negbinomial_tails(largest, mean, self.value("size", values, xp), xp)

    def _log_standard(self, z: Any, values: Mapping[str, Any], xp: Library) -> Any:
        if self.kind == "student":
            return log_student_density(z, self.value("nu", values, xp), xp)
        return log_normal_density(z)

    def _log_tail(self, z: Any, values: Mapping[str, Any], xp: Library) -> Any:
        """Return the log of the standard distribution function at z."""
        if self.kind == "student":
            return log_student_cdf(z, self.value("nu", values, xp) + 0.0 * z, xp)
        return log_normal_cdf(z, xp)


def _form(kind: str, around: str = "") -> str:
    """How a kind is written."""
    if around and (kind, around) != ("student", "additive"):
        return f"{kind}({AROUND[kind][0]}, {_form(around)})"
    return f"{kind}({', '.join(KINDS[kind][0])})"


def _check_number(noise: Noise, name: str, arg: str | float) -> None:
    if isinstance(arg, str):
        return
    if not math.isfinite(arg) or (arg <= 0 and name not in ANY_NUMBER):
        raise ParameterError(f"{name} of noise '{noise}' is {arg:g}", expected="a number above 0 or a parameter")
    if name == "rho" and arg >= 1:
        raise ParameterError(f"rho of noise '{noise}' is {arg:g}", expected="a number between 0 and 1, or a parameter")


def _power(log_x: Any, lam: Any, xp: Library) -> Any:
    """(x**lam - 1)/lam of log x, smooth where lam passes 0."""
    w = lam * log_x
    small = xp.abs(w) < SMALL_POWER
    safe = xp.where(small, 1.0, w)
    return log_x * xp.where(small, 1.0 + w * (0.5 + w * (1 / 6 + w / 24)), xp.expm1(safe) / safe)


def _unpower(h: Array, lam: Array) -> Array:
    """Log x of (x**lam - 1)/lam."""
    w = lam * h
    small = np.abs(w) < SMALL_POWER
    series = h * (1.0 - w * (0.5 - w * (1 / 3 - w / 4)))
    outside = np.where(lam > 0, -np.inf, np.inf)
    return np.asarray(np.where(small, series, np.where(w > -1, np.log1p(w) / np.where(small, 1.0, lam), outside)))
