"""A problem as a PyMC model.

Each free parameter is a random variable under its own name and on its own scale; the prediction is one operation;
every kind of row has its likelihood (rules R1 to R8 and B1 to B16 of the conventions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from mscpkpd.errors import ParameterError
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.op import PredictionOp
from mscpkpd.noise import Noise
from mscpkpd.observations import Rows
from mscpkpd.parameters import Prior
from mscpkpd.problem import Problem

__all__ = ["FRAME", "THETA", "build_pymc", "density_of", "likelihood", "natural_of", "placed", "variable"]

FRAME, THETA = "frame", "theta"
TINY = 1e-30  # keeps the logarithm of a prediction finite where the model says zero


def build_pymc(problem: Problem, frame: Frame | None = None) -> pm.Model:
    """Translate a problem.

    Parameters
    ----------
    problem : Problem
        Bound model and study.
    frame : Frame, optional
        Coordinates for a sampler: then the random variable is ``frame`` of shape (n_free,), and the parameters are
        its deterministic ``theta`` of the same shape. The posterior is the same.

    Returns
    -------
    pymc.Model
        With one variable per free parameter, a deterministic ``prediction`` over the rows, and one likelihood per
        output and kind of row. The names of the rows are the dimension ``row``.

    Raises
    ------
    ParameterError
        For a prior that has no PyMC form.
    """
    with pm.Model(coords={"row": np.arange(len(problem.rows))}) as model:
        if frame is None:
            free = {parameter.name: variable(parameter.name, parameter.prior) for parameter in problem.free}
            theta = pt.stack([free[name] for name in problem.names])
        else:
            theta = _framed(problem, frame)
            free = {name: theta[k] for k, name in enumerate(problem.names)}
        prediction = PredictionOp(problem)(theta)[0]
        values: dict[str, Any] = {**problem.model.values, **free}
        for k, name in enumerate(problem.rows.outputs):
            likelihood(problem, k, name, prediction, values)
    return model


def _framed(problem: Problem, frame: Frame) -> Any:
    """All parameters as one deterministic vector of the coordinates of a frame, with their joint prior density.

    Written with few vector operations, because each operation costs compile time.
    """
    z = placed(frame)
    priors = [parameter.prior for parameter in problem.free]
    pm.Potential("prior", density_of(priors, z))
    return pm.Deterministic(THETA, natural_of(priors, z))


def placed(frame: Frame) -> Any:
    """Transformed parameters of a new flat variable, the coordinates of a frame."""
    x = pm.Flat(FRAME, shape=len(frame.center), initval=np.zeros(len(frame.center)))
    z = pt.constant(frame.center) + pt.dot(pt.constant(frame.axes), x)
    if frame.exchange:
        i, j = frame.exchange
        s, d = z[i], z[j]
        z = pt.set_subtensor(pt.set_subtensor(z[i], pt.softplus(d) - s)[j], pt.softplus(-d) - s)
    return z


def natural_of(priors: Sequence[Prior], z: Any) -> Any:
    """Natural values of transformed parameters."""
    log = np.array([prior.transform == "log" for prior in priors])
    logit = np.array([prior.transform == "logit" for prior in priors])
    return pt.switch(log, pt.exp(z), pt.switch(logit, pt.sigmoid(z), z))


def density_of(priors: Sequence[Prior], z: Any) -> Any:
    """Log density of transformed parameters, up to a constant."""
    moments = np.array([prior.free_moments() for prior in priors])
    gaussian = np.array([prior.family in ("lognormal", "logitnormal", "normal") for prior in priors])
    density = pt.sum(pt.switch(gaussian, -0.5 * ((z - moments[:, 0]) / moments[:, 1]) ** 2, 0.0))
    for k in np.flatnonzero(~gaussian):
        density += _other_density(priors[int(k)], z[k])
    return density


def _other_density(prior: Prior, z: Any) -> Any:
    """Log density of a transformed parameter whose prior is not normal there, up to a constant."""
    match prior.family, prior.args:
        case "halfnormal", (scale,):
            return z - 0.5 * (pt.exp(z) / scale) ** 2
        case "beta", (a, b):
            return -a * pt.softplus(-z) - b * pt.softplus(z)
    raise ParameterError(f"prior {prior} cannot be sampled", expected="a continuous prior")


def variable(name: str, prior: Prior) -> Any:
    """Random variable of a prior; PyMC gives the logit-normal no transform, and a sampler would walk out of (0, 1)."""
    family, arguments = _distribution(name, prior)
    if family is pm.LogitNormal:
        return family(name, *arguments, default_transform=pm.distributions.transforms.logodds)
    return family(name, *arguments)


def _distribution(name: str, prior: Prior) -> tuple[Any, tuple[float, ...]]:
    """PyMC's distribution of a prior and its arguments."""
    match prior.family, prior.args:
        case "lognormal", (median, cv):
            return pm.LogNormal, (np.log(median), np.sqrt(np.log1p(cv**2)))
        case "logitnormal", (median, cv):
            return pm.LogitNormal, (np.log(median / (1 - median)), cv / (1 - median))
        case "normal" | "halfnormal" | "beta", arguments:
            families = {"normal": pm.Normal, "halfnormal": pm.HalfNormal, "beta": pm.Beta}
            return families[prior.family], tuple(arguments)
    raise ParameterError(f"prior {prior} of '{name}' cannot be sampled", expected="a continuous prior")


def likelihood(problem: Problem, k: int, name: str, prediction: Any, values: Mapping[str, Any]) -> None:
    """Add the rows of one output, by kind."""
    rows, noise = problem.rows, problem.model.output(name).noise
    for kind in sorted(set(rows.kind[rows.output == k])):
        own_sd = np.isfinite(rows.sd) & np.isin(rows.kind, ("mean", "logmean"))
        for with_sd in (False, True):
            mine = np.flatnonzero((rows.output == k) & (rows.kind == kind) & (own_sd == with_sd))
            if len(mine) == 0:
                continue
            label = f"{name}_{kind}{'_sd' if with_sd else ''}"
            f = prediction[mine]
            if with_sd:
                _summary(label, rows.value[mine], f, rows.sd[mine] / np.sqrt(rows.count[mine]), log=kind == "logmean")
            elif noise is not None:
                _rows(label, noise, f, values, problem.rows, mine)


def _summary(label: str, value: np.ndarray, f: Any, sd: np.ndarray, *, log: bool) -> None:
    """A mean with its spread (B16), on the scale of the mean or of its logarithm."""
    pm.Normal(label, pt.log(pt.maximum(f, TINY)) if log else f, sd, observed=value)


def _rows(label: str, noise: Noise, f: Any, values: Mapping[str, Any], rows: Rows, mine: np.ndarray) -> None:
    """Rows of one kind whose spread is the noise of their output."""
    kind = str(rows.kind[mine[0]])
    center = pt.log(pt.maximum(f, TINY)) if noise.is_log else f
    sd = _sd(noise, f, values)
    if kind in ("mean", "logmean"):
        observed = np.log(rows.value[mine]) if noise.is_log and kind == "mean" else rows.value[mine]
        pm.Normal(label, center, sd / np.sqrt(rows.count[mine]), observed=observed)
    elif kind == "value":
        _exact(label, noise, center, sd, values, rows.value[mine])
    else:
        lower, upper = rows.lower[mine], rows.upper[mine]
        if noise.is_log:
            lower, upper = np.log(np.maximum(lower, TINY)), np.log(np.maximum(upper, TINY))
        centered = _centered(noise, sd, values)
        pm.Potential(label, pt.sum(_log_probability(kind, centered, lower - center, upper - center)))


def _exact(label: str, noise: Noise, center: Any, sd: Any, values: Mapping[str, Any], observed: np.ndarray) -> None:
    if noise.is_log:
        pm.LogNormal(label, center, sd, observed=observed)
    elif noise.kind == "student":
        pm.StudentT(label, nu=_value(noise.args[0], values), mu=center, sigma=sd, observed=observed)
    else:
        pm.Normal(label, center, sd, observed=observed)


def _centered(noise: Noise, sd: Any, values: Mapping[str, Any]) -> Any:
    if noise.kind == "student":
        return pm.StudentT.dist(nu=_value(noise.args[0], values), mu=0.0, sigma=sd)
    return pm.Normal.dist(0.0, sd)


def _log_probability(kind: str, centered: Any, lower: Any, upper: Any) -> Any:
    """Log probability of a censored row: below (B5), above (B9) or between its limits (B8).

    Upper tails are taken as lower tails of the mirrored limits, so that nothing cancels (B11).
    """
    if kind == "left":
        return pm.logcdf(centered, upper)
    if kind == "right":
        return pm.logcdf(centered, -lower)
    mirrored = lower > 0
    high = pm.logcdf(centered, pt.switch(mirrored, -lower, upper))
    low = pm.logcdf(centered, pt.switch(mirrored, -upper, lower))
    return high + pm.math.log1mexp(low - high)


def _sd(noise: Noise, f: Any, values: Mapping[str, Any]) -> Any:
    a = [_value(argument, values) for argument in noise.args]
    match noise.kind:
        case "additive" | "lognormal":
            return a[0] + pt.zeros_like(f)
        case "student":
            return a[1] + pt.zeros_like(f)
        case "proportional":
            return a[0] * pt.abs(f)
        case "power":
            return a[0] * pt.abs(f) ** a[1]
        case "combined1":
            return a[0] + a[1] * pt.abs(f) ** (a[2] if len(a) > 2 else 1.0)
        case "combined2":
            return pt.sqrt(a[0] ** 2 + (a[1] * pt.abs(f) ** (a[2] if len(a) > 2 else 1.0)) ** 2)
    raise ParameterError(f"noise '{noise.kind}' has no PyMC form")


def _value(argument: str | float, values: Mapping[str, Any]) -> Any:
    return values[argument] if isinstance(argument, str) else argument
