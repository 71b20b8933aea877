"""The responder model by NUTS, with the true levels as parameters: the way out where importance resampling fails.

It is written apart from `likelihood`: latent levels are sampled, not integrated, so that the two check one another.
A measured level leaves its true level normal, which is sampled on that scale; of a censored or missing one the
population is the scale, and the probability of lying beyond the limit weighs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mscpkpd.fitting.latent import compiled_by, sampled_chains
from mscpkpd.responder.draws import CENTRE, OFFSET, PLATE, SLOPE_ON_PREDICTOR, TRIAL, TRIAL_SLOPE
from mscpkpd.responder.samples import Kind, Replicates, Samples
from mscpkpd.responder.sampling import PosteriorSample

if TYPE_CHECKING:
    from mscpkpd.responder.mixtures import FloatArray, NormalMixture
    from mscpkpd.responder.question import Question

__all__ = ["compiled_model", "nuts_sample", "sampled"]

FREE = "z"
CHAINS, TUNE, LEAST_DRAWS = 4, 1000, 500
LARGEST_R_HAT, LEAST_EFFECTIVE = 1.02, 400
TARGET_ACCEPT = 0.9


def nuts_sample(question: Question, draws: int, seed: int) -> PosteriorSample:
    """Draw from the posterior of a cohort by NUTS.

    Parameters
    ----------
    question : Question
        Cohort and priors.
    draws : int
        Number to keep.
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    PosteriorSample
        ``ok`` where R-hat is at most 1.02, every parameter has 400 effective draws and nothing diverged.

    Raises
    ------
    FitError
        If PyMC or nutpie is missing.
    """
    return sampled(compiled_model(question), draws, seed, tune=TUNE)


def compiled_model(question: Question) -> Any:
    """Return the compiled model; cohorts of the same layout may take the place of its own, see `data_of`."""
    return compiled_by(lambda pymc, tensor: _model(pymc, tensor, question))


def sampled(compiled: Any, draws: int, seed: int, *, tune: int, samples: Samples | None = None) -> PosteriorSample:
    """Sample a compiled model, for another cohort of the same layout if given, and judge the chains."""
    each = max(LEAST_DRAWS, -(-draws // CHAINS))
    chains, diverged = sampled_chains(
        compiled, FREE, None if samples is None else data_of(samples), draws=each, tune=tune, chains=CHAINS, seed=seed,
        target_accept=TARGET_ACCEPT,
    )  # fmt: skip
    r_hat, effective = _split_r_hat(chains), _least_effective(chains)
    ok = r_hat <= LARGEST_R_HAT and effective >= LEAST_EFFECTIVE and diverged == 0
    check = (
        f"largest R-hat {r_hat:.3f} (at most {LARGEST_R_HAT} is required), {effective:.0f} effective draws "
        f"({LEAST_EFFECTIVE} are required), {diverged} diverged"
    )
    every = chains.reshape(-1, chains.shape[-1])
    chosen = every[np.random.default_rng(seed).permutation(len(every))[:draws]]
    return PosteriorSample(chosen, min(effective, draws), "nuts", ok, check)


def _split_r_hat(chains: FloatArray) -> float:
    halves = np.concatenate(np.array_split(chains[:, : chains.shape[1] // 2 * 2], 2, axis=1), axis=0)
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    return float(np.sqrt(1 + np.max(between / within)))


def _least_effective(chains: FloatArray) -> float:
    """Effective number of draws of the worst parameter, by Geyer's initial positive pairs of autocorrelations."""
    n_chains, n, _ = chains.shape
    away = chains - chains.mean(axis=1, keepdims=True)
    transformed = np.fft.rfft(away, 2 * n, axis=1)
    correlation = np.fft.irfft(np.abs(transformed) ** 2, axis=1)[:, :n].mean(axis=0) / n
    spread = chains.mean(axis=1).var(axis=0, ddof=1)
    variance = correlation[0] * n / (n - 1)
    total = correlation[0] + spread
    rho = 1 - (variance - correlation) / total
    pairs = rho[0 : n // 2 * 2 : 2] + rho[1 : n // 2 * 2 : 2]
    positive = np.cumprod(pairs > 0, axis=0)
    time = np.maximum(2 * (pairs * positive).sum(axis=0) - 1, 1 / np.log10(n_chains * n))
    return float(np.min(n_chains * n / time))


# ---- the model -----------------------------------------------------------------------------------------------------


def _model(pymc: Any, pt: Any, question: Question) -> Any:
    samples, prior = question.samples, question.prior
    with pymc.Model() as model:
        data = {name: pymc.Data(name, values) for name, values in data_of(samples).items()}
        standard = pymc.Flat(FREE, shape=len(prior.names))
        columns = {}
        for k, (name, mixture) in enumerate(zip(prior.names, prior.mixtures, strict=True)):
            pymc.Potential(f"prior_{k}", _log_prior(pt, mixture, standard[k]))
            columns[name] = _natural(pt, mixture, standard[k])
        _effects(columns)
        k_slope = columns.get(SLOPE_ON_PREDICTOR, 1.0)
        for name in question.slopes:
            columns.setdefault(name, k_slope * question.definition.prior(name).mean)
        eps = pymc.Normal("eps", shape=len(samples.level))
        x, log_levels = _levels(pymc, pt, question, columns, data, eps)
        pymc.Potential("levels", log_levels.sum())
        pymc.Potential("responses", _log_responses(pt, question, columns, data, x))
    return model


def data_of(samples: Samples) -> dict[str, FloatArray]:
    """Return what may change between cohorts of the same layout."""
    return {
        "level": samples.level,
        "measured": (samples.kind == Kind.MEASURED).astype(float),
        "below": (samples.kind == Kind.BELOW).astype(float),
        "above": (samples.kind == Kind.ABOVE).astype(float),
        "sign": samples.sign.astype(float),
        "on": np.eye(int(samples.platform.max(initial=0)) + 1)[samples.platform],
        "design": samples.design,
        "log_weight": np.log(samples.weight),
    }


def _log_prior(pt: Any, mixture: NormalMixture, z: Any) -> Any:
    terms = [
        np.log(weight) - np.log(sd) - 0.5 * ((z - mean) / sd) ** 2
        for weight, mean, sd in zip(mixture.weights, mixture.means, mixture.sds, strict=True)
    ]
    return pt.logsumexp(pt.stack(terms)) if len(terms) > 1 else terms[0]


def _natural(pt: Any, mixture: NormalMixture, z: Any) -> Any:
    if mixture.transform == "log":
        return pt.exp(z)
    if mixture.transform == "halfnormal":
        # the half-normal quantile of Phi(z): -ndtri(Phi(-z)/2) = sqrt(2) erfcinv(Phi(-z))
        return mixture.scale * np.sqrt(2.0) * pt.erfcinv(0.5 * pt.erfc(z / np.sqrt(2.0)))
    return z


def _effects(columns: dict[str, Any]) -> None:
    for prefix, tau in ((TRIAL, "tau_trial"), (CENTRE, "tau_centre"), (TRIAL_SLOPE, "tau_slope")):
        for name in list(columns):
            if name.startswith(prefix) and name != SLOPE_ON_PREDICTOR:
                columns[name] = columns[tau] * columns[name]


def _levels(
    pymc: Any, pt: Any, question: Question, columns: dict[str, Any], data: dict[str, Any], eps: Any
) -> tuple[Any, Any]:
    """True levels, and the log density of what was measured."""
    samples = question.samples
    offsets = pt.stack([pt.constant(0.0), *(columns[OFFSET + name] for name in question.groups.platforms[1:])])
    shift = pt.dot(data["on"], offsets[: data["on"].shape[1]]) + _shifts(
        pt, columns, PLATE, question.groups.plates, samples.plate
    )
    mu, s_x, s_u = (columns[name] for name in ("mu_x", "s_x", "s_u"))
    level = data["level"] - shift
    variance = s_x**2 + s_u**2
    given, deviation = mu + s_x**2 / variance * (level - mu), s_x * s_u / pt.sqrt(variance)
    x = pt.switch(data["measured"] > 0, given + deviation * eps, mu + s_x * eps)
    scaled = (level - x) / s_u
    log_levels = data["measured"] * (-0.5 * (level - mu) ** 2 / variance - 0.5 * pt.log(variance))
    log_levels += data["below"] * _log_phi(pymc, scaled) + data["above"] * _log_phi(pymc, -scaled)
    if samples.more is not None:
        log_levels = pt.concatenate([log_levels, _replicates(pymc, pt, question, columns, samples.more, x)])
    return x, log_levels


def _replicates(pymc: Any, pt: Any, question: Question, columns: dict[str, Any], more: Replicates, x: Any) -> Any:
    offsets = pt.stack([pt.constant(0.0), *(columns[OFFSET + name] for name in question.groups.platforms[1:])])
    shift = offsets[more.platform] + _shifts(pt, columns, PLATE, question.groups.plates, more.plate)
    scaled = (more.level - shift - x[more.owner]) / columns["s_u"]
    measured = -0.5 * scaled**2 - pt.log(columns["s_u"])
    side = np.where(more.kind == Kind.BELOW, 1.0, -1.0)
    return pt.switch(more.kind == Kind.MEASURED, measured, _log_phi(pymc, side * scaled))


def _log_phi(pymc: Any, z: Any) -> Any:
    return pymc.logcdf(pymc.Normal.dist(), z)


def _shifts(pt: Any, columns: dict[str, Any], prefix: str, names: tuple[str, ...], places: Any) -> Any:
    """Shift of each patient; 0 where there is none."""
    if not names:
        return np.zeros(len(places))
    values = pt.stack([*(columns[prefix + name] for name in names), pt.constant(0.0)])
    return values[np.where(places >= 0, places, len(names))]


def _log_responses(pt: Any, question: Question, columns: dict[str, Any], data: dict[str, Any], x: Any) -> Any:
    samples, groups = question.samples, question.groups
    owner = np.repeat(np.arange(len(samples.level)), np.diff(np.append(samples.start, len(samples.weight))))
    effects = _shifts(pt, columns, TRIAL, groups.trials, samples.trial)
    effects = effects + _shifts(pt, columns, CENTRE, groups.centres, samples.clinic)
    slope = columns["b1"] + _shifts(pt, columns, TRIAL_SLOPE, groups.slopes, samples.trial)
    patient = columns["alpha"] + effects + slope * (x - samples.centre) / samples.spread
    gamma = pt.stack([columns[name] for name in groups.covariates])
    linear = patient[owner] + pt.dot(data["design"], gamma)
    rows = data["log_weight"] - pt.softplus(-data["sign"][owner] * linear)
    if len(owner) == len(samples.level):
        total = rows
    else:
        membership = owner[None, :] == np.arange(len(samples.level))[:, None]
        total = pt.logsumexp(pt.switch(membership, rows[None, :], -np.inf), axis=1)
    return (total * pt.abs(data["sign"])).sum()
