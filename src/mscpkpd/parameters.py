"""Parameters and their priors: value, unit, prior, where the number comes from and how well it is known.

Priors are written in numbers that can be read aloud::

    lognormal(median, cv)     sdlog = sqrt(ln(1 + cv**2))
    logitnormal(median, cv)   SD(logit) = cv / (1 - median)
    normal(mean, sd)          halfnormal(scale)          beta(a, b)
    discrete(lo, hi)          fixed

Each continuous family has a free scale z on which it is estimated: z = ln x, z = logit x or z = x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mscpkpd.errors import ParameterError, closest
from mscpkpd.expressions import check_name, parse_call

__all__ = ["EVIDENCE", "FIXED", "Parameter", "Prior"]

Array = NDArray[np.float64]

# how well a number is known, best first: read in the named source, computed from read numbers, from general knowledge,
# stated by a review, no source known
EVIDENCE = ("read", "derived", "recalled", "review", "assumed")
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class _Family:
    """One row of the table of prior families."""

    arguments: tuple[str, ...]
    transform: str
    check: Callable[..., str]  # what is wrong with the arguments, "" if nothing


def _positive(**values: float) -> str:
    return "; ".join(f"{name} is {value:g}, expected above 0" for name, value in values.items() if not value > 0)


def _check_logitnormal(median: float, cv: float) -> str:
    inside = "" if 0 < median < 1 else f"median is {median:g}, expected between 0 and 1"
    return inside or _positive(cv=cv)


def _check_discrete(lo: float, hi: float) -> str:
    whole = lo == int(lo) and hi == int(hi) and lo <= hi
    return "" if whole else f"limits are {lo:g} and {hi:g}, expected two whole numbers in order"


FAMILIES = {
    "lognormal": _Family(("median", "cv"), "log", lambda median, cv: _positive(median=median, cv=cv)),
    "logitnormal": _Family(("median", "cv"), "logit", _check_logitnormal),
    "normal": _Family(("mean", "sd"), "identity", lambda _, sd: _positive(sd=sd)),
    "halfnormal": _Family(("scale",), "log", lambda scale: _positive(scale=scale)),
    "beta": _Family(("a", "b"), "logit", lambda a, b: _positive(a=a, b=b)),
    "discrete": _Family(("lo", "hi"), "identity", _check_discrete),
    "fixed": _Family((), "identity", lambda: ""),
}


@dataclass(frozen=True)
class Prior:
    """A prior distribution; see the table in the module's head.

    Attributes
    ----------
    family : str
        "lognormal", "logitnormal", "normal", "halfnormal", "beta", "discrete" or "fixed".
    args : tuple of float
        Its arguments in the order of the table.

    Raises
    ------
    ParameterError
        If the family is unknown, or an argument is missing or impossible.
    """

    family: str
    args: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            known = ", ".join(FAMILIES)
            near = closest(self.family, FAMILIES)
            raise ParameterError(f"unknown prior '{self.family}'", expected=f"one of {known}", hint=" or ".join(near))
        names = FAMILIES[self.family].arguments
        form = f"{self.family}({', '.join(names)})" if names else self.family
        if len(self.args) != len(names) or not all(math.isfinite(arg) for arg in self.args):
            raise ParameterError(f"prior '{self}' has {len(self.args)} arguments", expected=form)
        wrong = FAMILIES[self.family].check(*self.args)
        if wrong:
            raise ParameterError(f"prior '{self}': {wrong}", hint=form)

    @classmethod
    def parse(cls, text: str, where: str = "") -> Prior:
        """Read a prior such as ``"lognormal(20, 0.8)"`` or ``"fixed"``.

        Parameters
        ----------
        text : str
            The prior as written in a model file.
        where : str
            File and key, for the error message.

        Raises
        ------
        ParameterError
            If the text is no prior.

        Examples
        --------
        >>> Prior.parse("lognormal(20, 0.8)").transform
        'log'
        """
        family, args = parse_call(text, where)
        numbers = tuple(arg for arg in args if not isinstance(arg, str))
        if len(numbers) < len(args):
            raise ParameterError(
                f"prior '{text}' uses a name", where=where, expected="numbers", hint="lognormal(20, 0.8)"
            )
        try:
            return cls(family, numbers)
        except ParameterError as error:
            raise ParameterError(error.problem, where=where, expected=error.expected, hint=error.hint) from None

    def __str__(self) -> str:
        return f"{self.family}({', '.join(number_text(arg) for arg in self.args)})" if self.args else self.family

    @property
    def is_free(self) -> bool:
        """Whether the parameter can be estimated: not for ``fixed`` and ``discrete``."""
        return self.family not in ("fixed", "discrete")

    @property
    def transform(self) -> str:
        """The free scale: "log", "logit" or "identity"."""
        return FAMILIES[self.family].transform

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the support (open at its ends)."""
        if self.family == "discrete":
            return value == int(value) and self.args[0] <= value <= self.args[1]
        return {"log": value > 0, "logit": 0 < value < 1, "identity": True}[self.transform]

    # ---- the free scale --------------------------------------------------------------------------------------------

    def to_free(self, x: ArrayLike) -> Array:
        """Return z of natural values x: ln x, logit x or x. Values outside the support give infinity or nan."""
        value = np.asarray(x, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.transform == "log":
                return np.asarray(np.log(value))
            if self.transform == "logit":
                return np.asarray(np.log(value) - np.log1p(-value))
        return value

    def from_free(self, z: ArrayLike) -> Array:
        """Return natural values of z, the inverse of `to_free`."""
        free = np.asarray(z, float)
        with np.errstate(over="ignore"):
            if self.transform == "log":
                return np.asarray(np.exp(free))
            if self.transform == "logit":
                return np.asarray(np.exp(-np.logaddexp(0.0, -free)))
        return free

    def dx_dz(self, z: ArrayLike) -> Array:
        """Return the derivative of `from_free` at z."""
        free = np.asarray(z, float)
        if self.transform == "log":
            return self.from_free(free)
        if self.transform == "logit":
            return np.asarray(np.exp(-np.logaddexp(0.0, -free) - np.logaddexp(0.0, free)))
        return np.ones_like(free)

    def log_density_free(self, z: ArrayLike) -> Array:
        """Return the log density of z, Jacobian included; it integrates to 1 over z.

        Raises
        ------
        ParameterError
            For ``fixed`` and ``discrete``, which have no density.
        """
        free = np.asarray(z, float)
        if self.family == "halfnormal":
            (scale,) = self.args
            return np.asarray(
                math.log(2) - math.log(scale) - HALF_LOG_2PI - 0.5 * (self.from_free(free) / scale) ** 2 + free
            )
        if self.family == "beta":
            a, b = self.args
            log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
            return np.asarray(-a * np.logaddexp(0.0, -free) - b * np.logaddexp(0.0, free) - log_beta)
        mean, sd = self.free_moments()
        return np.asarray(-HALF_LOG_2PI - math.log(sd) - 0.5 * ((free - mean) / sd) ** 2)

    def d_log_density_free(self, z: ArrayLike) -> Array:
        """Return the derivative of `log_density_free` at z."""
        free = np.asarray(z, float)
        if self.family == "halfnormal":
            return np.asarray(1.0 - (self.from_free(free) / self.args[0]) ** 2)
        if self.family == "beta":
            a, b = self.args
            return np.asarray(a - (a + b) * self.from_free(free))
        mean, sd = self.free_moments()
        return np.asarray((mean - free) / sd**2)

    def free_moments(self) -> tuple[float, float]:
        """Return mean and standard deviation of z.

        Raises
        ------
        ParameterError
            For ``fixed`` and ``discrete``.
        """
        match self.family, self.args:
            case "lognormal", (median, cv):
                return math.log(median), math.sqrt(math.log1p(cv**2))
            case "logitnormal", (median, cv):
                return math.log(median) - math.log1p(-median), cv / (1 - median)
            case "normal", (mean, sd):
                return mean, sd
            case "halfnormal", (scale,):
                # ln|N(0, 1)| has mean -(Euler's gamma + ln 2)/2 and variance pi**2/8
                return math.log(scale) - (float(np.euler_gamma) + math.log(2)) / 2, math.pi / math.sqrt(8)
            case "beta", (a, b):
                from scipy.special import polygamma, psi

                return float(psi(a) - psi(b)), math.sqrt(float(polygamma(1, a) + polygamma(1, b)))
        raise ParameterError(
            f"prior '{self}' has no density", expected="a prior that can be estimated", hint="lognormal(median, cv)"
        )

    # ---- natural scale ---------------------------------------------------------------------------------------------

    @property
    def median(self) -> float:
        """The median, in the parameter's unit."""
        return float(self.quantile(0.5))

    def quantile(self, p: ArrayLike) -> Array:
        """Return quantiles in the parameter's unit.

        Parameters
        ----------
        p : array_like
            Probabilities between 0 and 1.

        Raises
        ------
        ParameterError
            For ``fixed``.
        """
        from scipy.special import betaincinv, ndtri

        probability = np.asarray(p, float)
        match self.family, self.args:
            case "discrete", (lo, hi):
                return np.asarray(lo + np.clip(np.ceil(probability * (hi - lo + 1)) - 1, 0, hi - lo))
            case "halfnormal", (scale,):
                return np.asarray(scale * ndtri((1 + probability) / 2))
            case "beta", (a, b):
                return np.asarray(betaincinv(a, b, probability))
        mean, sd = self.free_moments()
        return self.from_free(mean + sd * ndtri(probability))

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> Array:
        """Return random values in the parameter's unit.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of the numbers.
        size : int or tuple of int, optional
            Shape of the result.

        Raises
        ------
        ParameterError
            For ``fixed``.
        """
        return self.quantile(rng.random(size))


FIXED = Prior("fixed")


def number_text(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    text = repr(float(value))
    return text.removesuffix(".0")


@dataclass(frozen=True)
class Parameter:
    """One number of a model, with its unit, prior and origin.

    Attributes
    ----------
    name : str
        Name in formulas.
    value : float
        Typical value in `unit`. 0 for a positive quantity means that its mechanism is off.
    unit : str
        Unit; "1" for none.
    prior : Prior
        How well it is known before the data.
    about : str
        Meaning in words.
    source : str
        Where the number comes from.
    evidence : str
        "read", "derived", "recalled", "review" or "assumed"; see `EVIDENCE`.
    low, high : float or None
        Plausible range.
    prior_source : tuple of str
        Studies that the prior was read from; where one of them is fitted, `prior_without` takes its place.
    prior_without : Prior or None
        The prior without these studies.
    note : str
        Anything else.

    Raises
    ------
    ParameterError
        If the value is not finite or outside the support of its prior, or a word is unknown.
    """

    name: str
    value: float
    unit: str
    prior: Prior = FIXED
    about: str = ""
    source: str = ""
    evidence: str = "assumed"
    low: float | None = None
    high: float | None = None
    prior_source: tuple[str, ...] = ()
    prior_without: Prior | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if isinstance(self.value, str) or not math.isfinite(self.value):
            raise ParameterError(f"{self.name} is {self.value!r}", expected="a finite number")
        object.__setattr__(self, "value", float(self.value))
        if self.evidence not in EVIDENCE:
            near = closest(self.evidence, EVIDENCE)
            raise ParameterError(
                f"evidence of {self.name} is '{self.evidence}'",
                expected=f"one of {', '.join(EVIDENCE)}",
                hint=" or ".join(near),
            )
        if self.value != 0 and not self.prior.holds(self.value):
            raise ParameterError(
                f"{self.name} is {self.value:g}, outside its prior {self.prior}", hint="another value or prior"
            )
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ParameterError(f"range of {self.name} is {self.low:g} to {self.high:g}", expected="low below high")

    @property
    def is_off(self) -> bool:
        """Whether the value 0 switches a mechanism off that its prior would switch on."""
        return self.value == 0 and self.prior.is_free and not self.prior.holds(0.0)

    @property
    def is_free(self) -> bool:
        """Whether the parameter is estimated unless someone says otherwise."""
        return self.prior.is_free and not self.is_off

    @property
    def start(self) -> float:
        """Where an estimation starts: the value, or the prior median where the mechanism is off."""
        return self.prior.median if self.is_off else self.value

    def fixed_at(self, value: float) -> Parameter:
        """Return this parameter with a value that is not estimated."""
        return self.changed(value=value, prior=FIXED, prior_source=(), prior_without=None)

    def changed(self, **changes: Any) -> Parameter:
        """Return this parameter with some attributes replaced."""
        return replace(self, **changes)
