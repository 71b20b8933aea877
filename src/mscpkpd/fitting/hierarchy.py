"""A population as a PyMC model: typical values, spreads, correlations and the random effects of every group.

Random effects are eta = sd * root @ w with w standard normal. What is sampled of each is w (non-centred), or, in a
frame, the effect as it is (centred) where `Population.centred` names it: where each group's own data tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from mscpkpd.fitting.bayes import THETA, density_of, likelihood, natural_of, placed, variable
from mscpkpd.fitting.coordinates import Coordinates, cholesky_rows, lkj_exponents
from mscpkpd.fitting.frame import Frame
from mscpkpd.fitting.op import CaseOp
from mscpkpd.population import Population
from mscpkpd.variability import Level, Scale

__all__ = ["build_hierarchy"]


def build_hierarchy(
    population: Population, frame: Frame | None = None, given: Mapping[str, Any] | None = None
) -> pm.Model:
    """Translate a population.

    Parameters
    ----------
    population : Population
    frame : Frame, optional
        Coordinates for a sampler, as in `build_pymc`: the deterministic ``theta`` then holds all of
        `draw_names`.
    given : mapping of str to PyTensor expression, optional
        Free parameters that have an expression in place of their prior: one value, or one per subject of the study,
        for a population that keeps its subjects apart. Not with a frame.

    Returns
    -------
    pymc.Model
        Without a frame: a variable for each free parameter, ``omega_sd_CL`` for each spread, ``partial_subject`` for
        the correlations of a level, ``eta_CL`` over the groups of its level, a deterministic ``prediction`` over the
        rows and one likelihood per output and kind of row.

    Raises
    ------
    ParameterError
        For a prior that has no PyMC form.

    Notes
    -----
    Within the context of a PyMC model, everything is added to that model.
    """
    problem = population.problem
    coords: dict[str, Any] = {"row": np.arange(len(problem.rows))}
    coords |= {level.name: list(level.labels) for level in population.levels}
    with pm.modelcontext(None) if pm.Model.get_context(error_if_none=False) else pm.Model() as model:
        model.add_coords(coords)
        free, etas = _named(population, given or {}) if frame is None else _framed(population, frame)
        prediction = problem.rows.points.rows(CaseOp(population)(_values(population, free, etas))[0], pt)
        if frame is None:
            pm.Deterministic("prediction", prediction, dims="row")
        values: dict[str, Any] = {**problem.model.values, **free}
        for k, name in enumerate(problem.rows.outputs):
            likelihood(problem, k, name, prediction, values)
    return model


# ---- values of each case ---------------------------------------------------------------------------------------------


def _values(population: Population, free: Mapping[str, Any], etas: Sequence[Any]) -> Any:
    """Parameters of the system for each case, shape (n_parameters, n_cases); `etas` of shape (n_groups, n_effects)."""
    table = pt.constant(population.typical(population.problem.start))
    added: dict[str, Any] = {}
    for k, (level, eta) in enumerate(zip(population.levels, etas, strict=True)):
        member = population.member[k]
        for e, effect in enumerate(level.effects):
            mine = eta[np.maximum(member, 0), e] * (member >= 0)
            bend = effect.scale.bend
            part = pt.expm1(bend * mine) / bend if bend else mine
            added[effect.parameter] = added.get(effect.parameter, 0.0) + part
    scales = {effect.parameter: effect.scale for effect in population.effects}
    cases = len(population.group)
    for name in population.moving:
        k = population.positions[name]
        value = _of_cases(population, free[name]) * pt.ones(cases) if name in free else table[k]
        if name in added:
            value = _from_free(scales[name], _to_free(scales[name], value) + added[name])
        table = pt.set_subtensor(table[k], value)
    return table


def _of_cases(population: Population, value: Any) -> Any:
    """One value for all, or that of the subject of each case."""
    if pt.as_tensor_variable(value).ndim == 0:
        return value
    points = population.problem.rows.points
    first = points.row[np.unique(population.point_case, return_index=True)[1]]  # a row of each case
    order = {subject.id: k for k, subject in enumerate(population.problem.study.subjects)}
    return value[np.array([order[population.problem.rows.subject[row]] for row in first])]


def _to_free(scale: Scale, x: Any) -> Any:
    if scale.kind == "log":
        return pt.log(x)
    return x if scale.kind == "identity" else pt.log(x - scale.low) - pt.log(scale.high - x)


def _from_free(scale: Scale, z: Any) -> Any:
    if scale.kind == "log":
        return pt.exp(z)
    return z if scale.kind == "identity" else scale.low + (scale.high - scale.low) * pt.sigmoid(z)


# ---- with a variable for everything ----------------------------------------------------------------------------------


def _named(population: Population, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    free = {
        parameter.name: given[parameter.name] if parameter.name in given else variable(parameter.name, parameter.prior)
        for parameter in population.problem.free
    }
    return free, [_level_variables(level) for level in population.levels]


def _level_variables(level: Level) -> Any:
    """Spreads, correlations and effects of one level, shape (n_groups, n_effects)."""
    sd = pt.stack(
        [
            variable(effect.omega_sd, effect.prior) if effect.prior.is_free else pt.constant(effect.sd)
            for effect in level.effects
        ]
    )
    rows = None
    if level.full:
        exponents = np.array(lkj_exponents(level))
        shares = pm.Beta(f"partial_{level.name}", exponents, exponents, shape=len(exponents))
        partial = 2.0 * shares - 1.0
        rows = cholesky_rows(len(level.effects), [partial[k] for k in range(len(exponents))], pt.sqrt)
        for name, r in zip(level.correlation_names, _correlations(level, rows), strict=True):
            pm.Deterministic(name, r)
    u = pm.Normal(f"unit_{level.name}", 0.0, 1.0, shape=(len(level.labels), len(level.effects)))
    eta, _, _ = _unfolded(u, sd, rows, [False] * len(level.effects))
    for e, effect in enumerate(level.effects):
        pm.Deterministic(effect.name, eta[:, e], dims=level.name)
    return eta


def _correlations(level: Level, rows: list[list[Any]]) -> list[Any]:
    return [sum(rows[i][m] * rows[j][m] for m in range(j + 1)) for i, j in level.pairs]


def _centred(population: Population, level: Level) -> list[bool]:
    return [effect.name in population.centred for effect in level.effects]


def _unfolded(u: Any, sd: Any, rows: list[list[Any]] | None, centred: Sequence[bool]) -> tuple[Any, list[Any], Any]:
    """Effects of what is sampled, one group a row; standard normal variables behind them, effect by effect; log slope.

    Effect after effect, so that one that is known by its own data leaves the next what it says about it.
    """
    etas: list[Any] = []
    whitened: list[Any] = []
    log_slope: Any = 0.0
    for k, as_it_is in enumerate(centred):
        row = [0.0] * k + [1.0] if rows is None else rows[k]
        shift = sum(row[m] * whitened[m] for m in range(k)) if rows is not None else 0.0
        if as_it_is:
            etas.append(u[:, k])
            whitened.append((u[:, k] / sd[k] - shift) / row[k])
            log_slope = log_slope - u.shape[0] * pt.log(sd[k] * row[k])
        else:
            whitened.append(u[:, k])
            etas.append((shift + row[k] * u[:, k]) * sd[k])
    return pt.stack(etas, axis=1), whitened, log_slope


# ---- in the coordinates of a frame -----------------------------------------------------------------------------------


def _framed(population: Population, frame: Frame) -> tuple[dict[str, Any], list[Any]]:
    """All of it as one deterministic vector of the coordinates of a frame, with their joint prior density."""
    coordinates = Coordinates(population)
    priors = [p.prior for p in population.problem.free]
    priors += [population.effects[k].prior for k in coordinates.free_effects]
    z = placed(frame)
    density = density_of(priors, z[: len(priors)])
    natural = natural_of(priors, z[: len(priors)])
    free = {name: natural[k] for k, name in enumerate(population.problem.names)}
    sd: list[Any] = [pt.constant(effect.sd) for effect in population.effects]
    for at, k in enumerate(coordinates.free_effects):
        sd[k] = natural[len(free) + at]
    at, first, etas, drawn = len(priors), 0, [], [natural]
    u_at = len(coordinates.names)
    for level in population.levels:
        mine = pt.stack(sd[first : first + len(level.effects)])
        first += len(level.effects)
        partial = [pt.tanh(z[at + k]) for k in range(len(level.pairs))]
        at += len(partial)
        rows = cholesky_rows(len(level.effects), partial, pt.sqrt) if level.full else None
        if rows is not None:
            density += sum(b * pt.log1p(-(p**2)) for b, p in zip(lkj_exponents(level), partial, strict=True))
            drawn.append(pt.stack(_correlations(level, rows)))
        size = len(level.labels) * len(level.effects)
        u = z[u_at : u_at + size].reshape((len(level.labels), len(level.effects)))
        u_at += size
        eta, whitened, log_slope = _unfolded(u, mine, rows, _centred(population, level))
        density += log_slope - 0.5 * sum(pt.sum(w**2) for w in whitened)
        etas.append(eta)
    pm.Potential("prior", density)
    pm.Deterministic(THETA, pt.concatenate([*drawn, *(eta.flatten() for eta in etas)]))
    return free, etas
