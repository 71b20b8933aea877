"""Local identifiability: what enters only together, what a design cannot separate, and how precise the rest will be.

Three questions, of one sensitivity matrix at a time:

- exact: the same doses and outputs, observed at many times and without error, at several parameter points. A product
  or a sum of parameters that no point shows is confirmed by a large step along it, not by derivatives alone.
- practical: the rows of the design in units of their noise, at the typical values.
- precision: standard errors from the same matrix, without and with the priors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from mscpkpd.data import Study
from mscpkpd.designs import Design
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.identifiability import directions
from mscpkpd.identifiability.exact import find_exact
from mscpkpd.identifiability.practical import PRECISE, TEN_PERCENT, Seen
from mscpkpd.identifiability.report import Identifiability
from mscpkpd.identifiability.sensitivity import (
    Point,
    Scale,
    dense,
    design_matrix,
    points,
    relative_rows,
    scale_of,
    solvable,
    with_noise,
)
from mscpkpd.model import Model
from mscpkpd.noise import Noise
from mscpkpd.parameters import Parameter
from mscpkpd.problem import Problem, pose

__all__ = ["identify"]

RANDOM_POINTS = 4
UNMOVED = 1e-6  # relative change of every prediction per relative change of a parameter: no influence
MEASURED = Noise("proportional", (0.1,))  # for an output without a noise model: measured to 10 %
STAND_IN = 1.0  # CV of the prior that only says on which scale a fixed parameter is freed


def identify(model: Model, design: Design | Study, free: Collection[str] | None = None) -> Identifiability:
    """Find what a design can tell about the parameters of a model; see `Model.identifiability`."""
    problem, unseen, without_prior = _posed(model, design, free)
    scale = scale_of(problem, without_prior)
    if not scale.names:
        raise UsageError("only noise parameters are free", hint="free at least one parameter of the equations")
    rich = solvable(dense(problem))
    tried = points(rich, scale, RANDOM_POINTS)
    still = _without_influence(rich, scale, tried)
    moving = scale.take(np.flatnonzero(~still))
    tried = points(rich, moving, RANDOM_POINTS) if np.any(still) else tried
    exact = find_exact(rich, moving, tried)
    matrix = design_matrix(problem, points(solvable(problem), moving, 0)[0], moving.unit)
    seen = Seen(moving, matrix, exact.groups)
    rank, singular = directions.rank(matrix)
    unseen = (*unseen, *(name for name, none in zip(scale.names, still, strict=True) if none))
    return Identifiability(
        _title(model),
        _described(design, problem),
        tuple(name for name in model.parameter_names if name in {*scale.names, *unseen}),
        rank,
        exact.rank,
        exact.by_chance,
        singular,
        (*exact.groups, *seen.groups()),
        seen.pairs(),
        seen.identifiable,
        seen.recoverable,
        tuple(name for name in model.parameter_names if name in unseen),
        _table(problem.model, seen, unseen, without_prior),
        pd.DataFrame(seen.alignment, index=list(moving.names), columns=list(moving.names)),
        len(problem.rows),
        len(tried),
    )


def _posed(
    model: Model, design: Design | Study, free: Collection[str] | None
) -> tuple[Problem, tuple[str, ...], frozenset[str]]:
    """The problem, parameters that no observed output depends on, and those that have no prior of their own."""
    freed = []
    for name in free or ():
        if name not in model.parameter_names:
            raise UnknownName.among("parameter", name, model.parameter_names)
        parameter = model.parameter(name)
        if not parameter.prior.is_free:
            freed.append(name)
            if parameter.value == 0:
                raise UsageError(
                    f"parameter '{name}' is 0: what it stands for is off", hint=f"model.replace_values({{'{name}': 1}})"
                )
            prior = f"lognormal({parameter.value!r}, {STAND_IN})"
            if parameter.value < 0:
                prior = f"normal({parameter.value!r}, {abs(parameter.value)!r})"
            model = model.with_prior(name, prior)
    model = with_noise(model, MEASURED)
    study = design.study(model) if isinstance(design, Design) else design
    problem = pose(model, study, free)
    candidates = model.free_names if free is None else tuple(free)
    unseen = tuple(name for name in candidates if name not in problem.names and name not in model.noise_parameters)
    return problem, unseen, frozenset(freed)


def _without_influence(problem: Problem, scale: Scale, tried: Sequence[Point]) -> np.ndarray:
    """Which parameters move no prediction at any point, shape (n,)."""
    effect = [
        np.max(np.abs(point.slope * scale.unit / relative_rows(problem, point.value)[:, None]), axis=0)
        for point in tried
    ]
    return np.asarray(np.max(effect, axis=0) < UNMOVED)


def _table(model: Model, seen: Seen, unseen: Collection[str], without_prior: Collection[str]) -> pd.DataFrame:
    scale = seen.scale
    priors = dict(zip(scale.names, scale.prior_sd, strict=True))
    known = {
        name: (TEN_PERCENT * length, *errors)
        for name, length, *errors in zip(
            scale.names, seen.length, seen.alone, seen.errors, seen.errors_with_prior, strict=True
        )
    }
    rows = []
    for name in (name for name in model.parameter_names if name in {*scale.names, *unseen}):
        parameter = model.parameter(name)
        prior = np.inf if name in without_prior else priors.get(name, _prior_sd(parameter))
        influence, alone, without, with_prior = known.get(name, (0.0, np.inf, np.inf, prior))
        learned = 1.0 - (with_prior / prior) ** 2 if np.isfinite(prior) else np.nan
        rows.append(
            {"parameter": name, "value": parameter.start, "unit": parameter.unit, "influence": influence,
             "alone": alone, "without_prior": without, "prior": prior, "with_prior": with_prior, "learned": learned,
             "verdict": _verdict(name, seen)}
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("parameter")


def _prior_sd(parameter: Parameter) -> float:
    """Relative SD of the prior of a parameter that nothing depends on."""
    prior, start = parameter.prior, parameter.start
    sd = float(prior.dx_dz(prior.to_free(start))) * prior.free_moments()[1]
    return sd / abs(start) if start else 1.0


def _verdict(name: str, seen: Seen) -> str:
    """What can be said of one parameter, in a few words."""
    if name not in seen.scale.names:
        return "no influence"
    if name in seen.identifiable:
        return "identifiable"
    if name in seen.recoverable:
        return "if others are held"
    if seen.alone[seen.scale.names.index(name)] > PRECISE:
        return "hardly seen"
    groups = [group for group in (*seen.exact, *seen.groups()) if group.formulas and name in group.names]
    partners = dict.fromkeys(other for group in groups for other in group.names if other != name)
    if partners:
        return f"not apart from {', '.join(partners)}"
    mimics = seen.mimics(name)
    return f"looks like {' and '.join(mimics)}" if mimics else "not apart from others"


def _title(model: Model) -> str:
    return f"{model.name} ({model.values_name})" if model.values_name else model.name


def _described(design: Design | Study, problem: Problem) -> str:
    if isinstance(design, Design):
        return f"{design} {problem.model.time}"
    arms = "1 regimen" if len(problem.groups) == 1 else f"{len(problem.groups)} regimens"
    return f"study {design.name}: {arms}, {len(problem.rows)} observations of {', '.join(problem.rows.outputs)}"
