"""Kinds of noise and of censoring against 50 digits, in NumPy and in PyTensor, far out as well as near (R1 to R10).

The reference is written out here a second time, in mpmath, from the rules alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import mpmath as mp
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from mscpkpd.fitting.tensors import TENSORS
from mscpkpd.noise import Noise

PARAMETERS = {"a": 0.5, "b": 0.2, "c": 0.8, "s": 0.3, "nu": 3.5, "lam": 0.4, "mu": -0.7, "size": 1.7, "rho": 0.6}
SPREADS = ("additive(a)", "proportional(b)", "combined1(a, b, c)", "combined2(a, b, c)", "power(b, c)")
CONTINUOUS = (
    *SPREADS,
    "combined1(a, b)",
    "combined2(a, b)",
    "lognormal(s)",
    "student(nu, a)",
    *(f"student(nu, {spread})" for spread in SPREADS[1:]),
    "student(300, proportional(b))",
    "boxcox(lam, s)",
    "boxcox(mu, s)",
    "boxcox(1e-9, s)",
    "yeojohnson(lam, s)",
    "yeojohnson(1.6, s)",
)
COUNTS = ("poisson()", "negbinomial(size)", "negbinomial(1e7)")
FINE = 1e-8  # of every log density (the promise of the package), relative
SLOPE = 1e-5  # of every derivative, relative
PLAIN = pytensor.compile.mode.Mode("py", None)  # the graph as it is, in Python


# ---- the reference ---------------------------------------------------------------------------------------------------

Numbers = dict[str, Any]


def numbers() -> Numbers:
    return {name: mp.mpf(x) for name, x in PARAMETERS.items()}


def given(noise: Noise, name: str, at: Numbers) -> Any:
    arg = noise.arguments.get(name, 1.0)
    return at[arg] if isinstance(arg, str) else mp.mpf(arg)


def spread(noise: Noise, f: Any, at: Numbers) -> Any:
    def of(name: str) -> Any:
        return given(noise, name, at)

    return {
        "additive": lambda: of("a"),
        "proportional": lambda: of("b") * f,
        "combined1": lambda: of("a") + of("b") * f ** of("c"),
        "combined2": lambda: mp.sqrt(of("a") ** 2 + (of("b") * f ** of("c")) ** 2),
        "power": lambda: of("b") * f ** of("c"),
    }.get(noise.form, lambda: of("s"))()


def transformed(noise: Noise, x: Any, at: Numbers) -> Any:
    if noise.form == "lognormal":
        return mp.log(x)
    if noise.form == "boxcox":
        lam = given(noise, "lam", at)
        return (x**lam - 1) / lam
    if noise.form == "yeojohnson":
        lam = given(noise, "lam", at)
        return ((1 + x) ** lam - 1) / lam if x >= 0 else -((1 - x) ** (2 - lam) - 1) / (2 - lam)
    return x


def log_jacobian(noise: Noise, y: Any, at: Numbers) -> Any:
    if noise.form == "lognormal":
        return -mp.log(y)
    if noise.form == "boxcox":
        return (given(noise, "lam", at) - 1) * mp.log(y)
    if noise.form == "yeojohnson":
        lam = given(noise, "lam", at)
        return (lam - 1) * mp.log1p(y) if y >= 0 else (1 - lam) * mp.log1p(-y)
    return mp.mpf(0)


def probability(noise: Noise, z: Any, at: Numbers, *, upper: bool) -> Any:
    """P(Z > z) or P(Z < z) of the standard distribution."""
    z = -z if upper else z
    if noise.kind != "student":
        return mp.ncdf(z)
    nu = given(noise, "nu", at)
    tail = mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + z * z), regularized=True) / 2
    return tail if z < 0 else 1 - tail


def pmf(noise: Noise, y: int, f: Any, at: Numbers) -> Any:
    if noise.kind == "poisson":
        return mp.exp(y * mp.log(f) - f - mp.loggamma(y + 1))
    r = given(noise, "size", at)
    rise = mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1)
    return mp.exp(rise + r * mp.log(r / (r + f)) + y * mp.log(f / (r + f)))


def chances(noise: Noise, first: int, f: Any, at: Numbers) -> Iterator[Any]:
    """P(Y = first), P(Y = first + 1), ... by their ratios."""
    y, chance = first, pmf(noise, first, f, at)
    r = given(noise, "size", at) if noise.kind == "negbinomial" else None
    while True:
        yield chance
        chance *= f / (y + 1) if r is None else (y + r) / (y + 1) * f / (r + f)
        y += 1


def among(noise: Noise, first: int, end: int, f: Any, at: Numbers) -> Any:
    return mp.fsum(islice(chances(noise, first, f, at), end - first))


def above(noise: Noise, limit: Any, f: Any, at: Numbers) -> Any:
    """P(Y > limit), summed where it lies, so that nothing cancels."""
    first, terms = math.floor(limit) + 1, []
    for chance in chances(noise, first, f, at):
        terms.append(chance)
        if chance < terms[0] * mp.mpf(10) ** -25 and first + len(terms) > f:
            return mp.fsum(terms)
    raise AssertionError


def reference(noise: Noise, kind: str, where: tuple[Any, ...], f: Any, at: Numbers) -> Any:
    """Log probability of a row: a value, or one below, above or between limits."""
    if noise.is_count:
        return {
            "value": lambda: mp.log(pmf(noise, int(where[0]), f, at)),
            "left": lambda: mp.log(among(noise, 0, math.ceil(where[0]), f, at)),
            "right": lambda: mp.log(above(noise, where[0], f, at)),
            "interval": lambda: mp.log(among(noise, int(where[0]), int(where[1]), f, at)),
        }[kind]()
    sd, center = spread(noise, f, at), transformed(noise, f, at)
    z = [(transformed(noise, mp.mpf(x), at) - center) / sd for x in where]
    if kind == "value":
        if noise.kind == "student":
            nu = given(noise, "nu", at)
            constant = mp.loggamma((nu + 1) / 2) - mp.loggamma(nu / 2) - mp.log(nu * mp.pi) / 2
            density = constant - (nu + 1) / 2 * mp.log1p(z[0] ** 2 / nu)
        else:
            density = -mp.log(2 * mp.pi) / 2 - z[0] ** 2 / 2
        return density - mp.log(sd) + log_jacobian(noise, mp.mpf(where[0]), at)
    if kind == "interval":
        upper = z[0] > 0
        one, other = (probability(noise, x, at, upper=upper) for x in z)
        return mp.log(abs(one - other))
    return mp.log(probability(noise, z[0], at, upper=kind == "right"))


# ---- places ----------------------------------------------------------------------------------------------------------

DISTANCES = (-1000.0, -40.0, -5.0, -1.0001, -0.3, 0.0, 0.7, 2.0, 6.0, 40.0, 1000.0)
KINDS = ("value", "left", "right", "interval")


def places(noise: Noise, kind: str) -> Iterator[tuple[tuple[float, ...], float]]:
    """Where rows of a kind stand, and the prediction: up to 1000 standard deviations away, where there is anything."""
    if noise.is_count:
        for f in (0.02, 0.9, 12.0, 60.0):
            sd = float(noise.sd(f, PARAMETERS))
            found = {max(0.0, float(round(f + d * sd))) for d in (-40.0, -3.0, -1.0, 0.0, 1.0, 3.0, 40.0)}
            for y in sorted(found):
                if kind != "left" or y > 0:
                    yield ((y, y + 1.0 + round(sd)) if kind == "interval" else (y,)), f
        return
    for f in (0.6, 35.0):
        for d in DISTANCES:
            with np.errstate(all="ignore"):
                ends = [float(noise.moved(np.array(f), np.array(x), PARAMETERS)) for x in (d, d + 0.5)]
            if all(math.isfinite(x) and (x > 1e-290 or not noise.is_positive) for x in ends) and ends[0] < 1e290:
                yield (tuple(ends) if kind == "interval" else (ends[0],)), f


def of_kind(noise: Noise, kind: str) -> Callable[..., Any]:
    return {"value": noise.log_density, "left": noise.log_cdf, "right": noise.log_sf, "interval": noise.log_interval}[
        kind
    ]


def close(found: float, expected: Any, what: object) -> None:
    """To 1e-8, relative; the logarithm of a probability next to 1 keeps what doubles leave of it."""
    assert abs(found - float(expected)) <= FINE * abs(float(expected)) + 1e-15, (what, found, float(expected))


@cache
def expected(text: str, kind: str) -> tuple[float, ...]:
    noise = Noise.parse(text)
    with mp.workdps(50):
        return tuple(float(reference(noise, kind, w, mp.mpf(f), numbers())) for w, f in places(noise, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [*CONTINUOUS, *COUNTS])
def test_every_log_density_is_that_of_fifty_digits(text: str, kind: str) -> None:
    """R1 to R8, R10, B5, B8, B9, B11, B12, B13 in NumPy: values and limits up to 1000 standard deviations away."""
    noise, count = Noise.parse(text), 0
    for (where, f), value in zip(places(noise, kind), expected(text, kind), strict=True):
        close(float(of_kind(noise, kind)(*where, f, PARAMETERS)), value, (text, kind, where, f))
        count += 1
    assert count >= 12


def by_pytensor(noise: Noise, kind: str) -> list[np.ndarray]:
    """Log density of many rows, and its derivatives by the prediction and each parameter."""
    rows = list(places(noise, kind))
    where, at = np.array([w for w, _ in rows]).T, np.array([f for _, f in rows])
    f = pt.dvector("f")
    values = {name: pt.dvector(name) for name in noise.parameters}
    density = of_kind(noise, kind)(*where, f, values, TENSORS)
    each = pt.grad(density.sum(), [f, *values.values()], disconnected_inputs="ignore")
    function = pytensor.function([f, *values.values()], [density, *each], mode=PLAIN, on_unused_input="ignore")
    return function(at, *(np.full(len(at), PARAMETERS[name]) for name in noise.parameters))


@pytest.mark.parametrize("text", [*CONTINUOUS, *COUNTS])
def test_pytensor_says_the_same_with_its_derivatives(text: str) -> None:
    """The same rows by PyTensor to 1e-8, and its gradient by differences of 50 digits to 1e-5."""
    noise = Noise.parse(text)
    for kind in KINDS:
        rows, found = list(places(noise, kind)), by_pytensor(noise, kind)
        for i, value in enumerate(expected(text, kind)):
            close(float(found[0][i]), value, (text, kind, rows[i]))
        for i in range(0, len(rows), 7 if noise.is_count else 3):
            where, at = rows[i]
            for k, name in enumerate(("f", *noise.parameters)):
                slope = derivative(noise, kind, where, at, name)
                assert found[1 + k][i] == pytest.approx(slope, rel=SLOPE, abs=1e-12), (kind, rows[i], name)


def derivative(noise: Noise, kind: str, where: tuple[float, ...], f: float, name: str) -> float:
    """Central difference of the reference."""
    with mp.workdps(50):
        at = numbers()
        center = mp.mpf(f) if name == "f" else at[name]
        step = abs(center) * mp.mpf(10) ** -12

        def shifted(x: Any) -> Any:
            moved = at if name == "f" else {**at, name: x}
            return reference(noise, kind, where, x if name == "f" else mp.mpf(f), moved)

        return float((shifted(center + step) - shifted(center - step)) / (2 * step))
