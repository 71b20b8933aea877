"""A problem as a PyMC model.

Each free parameter is a random variable under its own name and on its own scale; the prediction is one operation;
every kind of row has its likelihood (rules R1 to R10 and B1 to B16 of the conventions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from mscpkpd.errors import ParameterError
from mscpkpd.fitting.counted_terms import UNCOMMON, count_of, counted_term
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.op import PredictionOp
from mscpkpd.fitting.tensors import TENSORS
from mscpkpd.noise import LEAST, Noise
from mscpkpd.observations import Rows
from mscpkpd.parameters import Prior
from mscpkpd.problem import Problem
from mscpkpd.tails import HALF_LOG_2PI, log_normal_density

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
    for kind in sorted(set(rows.kind[rows.output == k]) - {"dropped"}):
        of_kind = (rows.output == k) & (rows.kind == kind)
        if kind in UNCOMMON:
            mine = np.flatnonzero(of_kind)
            counted_term(problem, f"{name}_{kind}", prediction[mine], values, mine)
            continue
        for suffix, chosen in (("", ~rows.has_own_sd & np.isnan(rows.floor)), ("_above", np.isfinite(rows.floor))):
            mine = np.flatnonzero(of_kind & chosen)
            if noise is not None and len(mine):
                _rows(f"{name}_{kind}{suffix}", noise, prediction[mine], values, rows, mine)
        mine = np.flatnonzero(of_kind & rows.has_own_sd)
        if len(mine):
            spread = rows.sd[mine] / np.sqrt(rows.count[mine])
            _summary(f"{name}_{kind}_sd", rows.value[mine], prediction[mine], spread, log=kind == "logmean")
    mine = np.flatnonzero((rows.output == k) & (rows.spared > 0))
    if len(mine) and noise is not None:  # a composition is one number less than its rows (Q5)
        each = pt.log(noise.spread(prediction[mine], values, TENSORS)) - 0.5 * np.log(count_of(rows, mine))
        pm.Potential(f"{name}_closure", pt.sum(rows.spared[mine] * (each + HALF_LOG_2PI)))


def _summary(label: str, value: np.ndarray, f: Any, sd: np.ndarray, *, log: bool) -> None:
    """A mean with its spread (B16), on the scale of the mean or of its logarithm."""
    pm.Normal(label, pt.log(pt.maximum(f, TINY)) if log else f, sd, observed=value)


def _rows(label: str, noise: Noise, f: Any, values: Mapping[str, Any], rows: Rows, mine: np.ndarray) -> None:
    """Rows of one kind whose spread is the noise of their output."""
    kind, floor = str(rows.kind[mine[0]]), rows.floor[mine]
    if kind in ("mean", "logmean"):
        center = noise.scaled(f, values, TENSORS)
        observed = noise.scaled(rows.value[mine], values, TENSORS) if kind == "mean" else rows.value[mine]
        spread = noise.spread(f, values, TENSORS) / np.sqrt(rows.count[mine])
        if noise.form not in ("boxcox", "yeojohnson"):
            value = rows.value[mine]
            pm.Normal(label, center, spread, observed=np.log(value) if noise.is_log and kind == "mean" else value)
            return
        density = log_normal_density((observed - center) / spread) - pt.log(spread)
        pm.Potential(label, pt.sum(density + noise.log_slope(rows.value[mine], values, TENSORS)))
    elif kind == "value" and noise.kind == "ar1":
        pm.Potential(label, _series(noise, f, values, rows, mine))
    elif kind == "value":
        _exact(label, noise, f, values, rows.value[mine], floor)
    else:
        bounds = {"left": (rows.upper[mine],), "right": (rows.lower[mine],)}
        limits = bounds.get(kind, (rows.lower[mine], rows.upper[mine]))
        of_kind = {"left": noise.log_cdf, "right": noise.log_sf, "interval": noise.log_interval}[kind]
        density = of_kind(*limits, f, values, TENSORS)  # type: ignore[operator]
        if np.isfinite(floor[0]):  # given that the row is not below its floor (B6)
            density = density - noise.log_kept(floor, f, values, TENSORS)
        pm.Potential(label, pt.sum(density))


def _exact(
    label: str, noise: Noise, f: Any, values: Mapping[str, Any], observed: np.ndarray, floor: np.ndarray
) -> None:
    """Values, as a distribution that also draws: one log density for each, to the last digits."""
    names = noise.parameters

    def log_density(y: Any, center: Any, *given: Any) -> Any:
        told = dict(zip(names, given, strict=True))
        density = noise.log_density(y, center, told, TENSORS)
        return density - noise.log_kept(floor, center, told, TENSORS) if np.isfinite(floor[0]) else density

    def drawn(center: Any, *given: Any, rng: np.random.Generator, size: Any) -> np.ndarray:
        told = {name: np.asarray(x) for name, x in zip(names, given, strict=True)}
        return noise.sample(rng, np.broadcast_to(center, size) if size is not None else center, told)

    pm.CustomDist(label, f, *(values[name] for name in names), logp=log_density, random=drawn, observed=observed)


def _series(noise: Noise, f: Any, values: Mapping[str, Any], rows: Rows, mine: np.ndarray) -> Any:
    """Log density of values whose residuals follow each other (R9)."""
    place = np.full(len(rows), -1)
    place[mine] = np.arange(len(mine))
    before, gap = rows.before[0][mine], rows.before[1][mine]
    before = np.where(before < 0, -1, place[before])
    y, spread = rows.value[mine], noise.spread(f, values, TENSORS)
    z = (noise.scaled(y, values, TENSORS, LEAST) - noise.scaled(f, values, TENSORS)) / spread
    terms = noise.series_terms(z, before, np.where(before < 0, 1.0, gap), values, TENSORS) - pt.log(spread)
    return pt.sum(terms + noise.log_slope(y, values, TENSORS))
