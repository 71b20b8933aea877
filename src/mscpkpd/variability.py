"""Random effects: which parameters vary over which levels, on which scale, under which names (P2 to P4, P7, P8).

What a model file declares is taken as far as the data can tell it; everything left out carries its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mscpkpd.data import Record, Subject
from mscpkpd.errors import DataError, UnknownName, UsageError
from mscpkpd.expressions import parse_call
from mscpkpd.model import Model, Variability
from mscpkpd.parameters import Prior
from mscpkpd.problem import Problem

__all__ = ["SUMMARIES", "Effect", "Level", "Scale", "label_of", "levels_of", "scale_of"]

SUMMARIES = ("mean", "logmean")  # rows that speak of several subjects at once
SHOWN = 5  # rows named in a message
WIDE = 1.0  # scale of the prior of a spread where the model file states none, on a log or logit scale


@dataclass(frozen=True)
class Scale:
    """The scale on which random effects are added to a parameter (P2).

    Attributes
    ----------
    kind : str
        "log", "logit" or "identity".
    low, high : float
        Ends of a logit scale, in the unit of the parameter.
    bend : float
        Exponent of a Box-Cox effect, which is (exp(bend eta) - 1)/bend instead of eta; 0 for eta itself.
    """

    kind: str
    low: float = 0.0
    high: float = 1.0
    bend: float = 0.0

    def to_free(self, x: np.ndarray) -> np.ndarray:
        """Values on the scale."""
        if self.kind == "identity":
            return np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "log":
                return np.asarray(np.log(x))
            return np.asarray(np.log(x - self.low) - np.log(self.high - x))

    def from_free(self, z: np.ndarray) -> np.ndarray:
        """Natural values, the inverse of `to_free`."""
        if self.kind == "identity":
            return np.asarray(z, dtype=float)
        with np.errstate(over="ignore"):
            if self.kind == "log":
                return np.asarray(np.exp(z))
            return np.asarray(self.low + (self.high - self.low) / (1.0 + np.exp(-z)))

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Derivative of `from_free`, at natural values."""
        if self.kind == "identity":
            return np.ones_like(x, dtype=float)
        return np.asarray(x if self.kind == "log" else (x - self.low) * (self.high - x) / (self.high - self.low))

    def added(self, eta: np.ndarray) -> np.ndarray:
        """What an effect adds on the scale."""
        return np.asarray(np.expm1(self.bend * eta) / self.bend if self.bend else eta)

    def added_slope(self, eta: np.ndarray) -> np.ndarray:
        """Derivative of `added`."""
        return np.asarray(np.exp(self.bend * eta))

    def cv(self, omega2: float) -> float:
        """CV % of a log-normal parameter (P5); NaN for other scales."""
        return 100 * float(np.sqrt(np.expm1(omega2))) if self.kind == "log" and not self.bend else float("nan")


@dataclass(frozen=True)
class Effect:
    """A parameter that varies over a level.

    Attributes
    ----------
    parameter, level : str
    scale : Scale
    sd : float
        Standard deviation that the model file states, on the scale.
    prior : Prior
        Of the standard deviation.
    chosen : bool
        Whether the prior was chosen here, because the model file states none.
    """

    parameter: str
    level: str
    scale: Scale
    sd: float
    prior: Prior
    chosen: bool

    @property
    def suffix(self) -> str:
        """Parameter and, unless it is the subject, the level (P8)."""
        return self.parameter if self.level == "subject" else f"{self.parameter}_{self.level}"

    @property
    def name(self) -> str:
        """``eta_CL``, ``kappa_CL`` between occasions, ``eta_CL_lot`` (P3, P4, P8)."""
        return f"kappa_{self.parameter}" if self.level == "occasion" else f"eta_{self.suffix}"

    @property
    def omega_sd(self) -> str:
        """Name of the standard deviation (P4)."""
        return f"omega_sd_{self.suffix}"

    @property
    def omega2(self) -> str:
        """Name of the variance (P4)."""
        return f"omega2_{self.suffix}"


@dataclass(frozen=True)
class Level:
    """The random effects of one level, which may vary together.

    Attributes
    ----------
    name : str
        One of `LEVELS`.
    labels : tuple of str
        Its groups: subjects, lots, ...
    effects : tuple of Effect
    full : bool
        Whether the effects correlate (P7).
    lkj : float
        Shape of the prior of the correlations.
    correlations : tuple of float
        Where fits start: below the diagonal, row by row; empty unless `full`.
    """

    name: str
    labels: tuple[str, ...]
    effects: tuple[Effect, ...]
    full: bool
    lkj: float
    correlations: tuple[float, ...] = ()

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Positions of the effects that correlate: below the diagonal, row by row."""
        return tuple((i, j) for i in range(len(self.effects)) for j in range(i)) if self.full else ()

    @property
    def correlation_names(self) -> tuple[str, ...]:
        """``corr_CL__V`` (P4), with the level behind it unless it is the subject."""
        end = "" if self.name == "subject" else f"_{self.name}"
        pairs = ((self.effects[j].parameter, self.effects[i].parameter) for i, j in self.pairs)
        return tuple(f"corr_{a}__{b}{end}" for a, b in pairs)

    @property
    def covariance_names(self) -> tuple[str, ...]:
        """``omega2_CL__V`` (P4)."""
        return tuple(name.replace("corr_", "omega2_", 1) for name in self.correlation_names)


def scale_of(row: Variability, prior: Prior) -> Scale:
    """The scale of a declared effect: its shape where stated, else that of the parameter's prior (P2)."""
    if not row.shape:
        kind = prior.transform if prior.is_free else "log"
        return Scale({"log": "log", "logit": "logit", "identity": "identity"}[kind])
    word, given = parse_call(row.shape)
    numbers = [float(x) for x in given]
    if word == "logitnormal":
        return Scale("logit", *(numbers or (0.0, 1.0)))
    return Scale("identity") if word == "normal" else Scale("log", bend=numbers[0] if word == "boxcox" else 0.0)


def label_of(subject: Subject, record: Record, level: str) -> str:
    """The group of a record at a level; blank where the study does not say.

    Parameters
    ----------
    subject : Subject
    record : Record
        One of the subject's records.
    level : str
        One of `LEVELS`.

    Returns
    -------
    str
        Occasions are those of a subject: "S1, occasion 2".
    """
    if level == "subject":
        return subject.id
    if level == "occasion":
        return f"{subject.id}, occasion {record.occasion}" if record.occasion else ""
    if level == "species":
        return subject.species
    own = {"lot": record.lot, "study": record.study}.get(level, "")
    covariates = {name.casefold(): text for name, text in (*subject.covariates, *record.extra)}
    doses = subject.regimen.doses
    of_doses = {dose.lot if level == "lot" else subject.property_of(k, level) for k, dose in enumerate(doses)} - {""}
    return own or covariates.get(level, "") or (of_doses.pop() if len(of_doses) == 1 else "")


def levels_of(problem: Problem, *, random: Collection[str] | bool | None) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """Decide which declared effects a fit has.

    Parameters
    ----------
    problem : Problem
        Bound model and study.
    random : collection of str, bool or None
        Effects asked for: "CL" for all its levels, or "CL:lot". None, or True, for all that the data can tell; False
        for none.

    Returns
    -------
    levels : tuple of Level
    notes : tuple of str
        What was left out, and why; priors that were chosen here.

    Raises
    ------
    UnknownName
        For an effect that the model does not declare.
    UsageError
        If an effect that was asked for by name cannot be had.
    DataError
        With the rows that do not say to which group of a level they belong.
    """
    declared = problem.model.variability
    asked = _asked(declared, random=random)
    notes: list[str] = []
    kept: dict[str, list[Variability]] = defaultdict(list)
    left: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in declared if random is not False else ():
        if asked is not None and row not in asked:
            continue
        reason, remark = _reason_against(problem, row), _weakness(problem, row)
        if reason and asked is not None:
            problem_ = f"'{row.parameter}' cannot vary between {_groups(row.level)}: {reason}"
            raise UsageError(problem_, hint="random=None")
        if reason or (remark and asked is None):
            left[row.level, reason or remark].append(row.parameter)
            continue
        if remark:
            notes.append(f"{row.parameter} between {_groups(row.level)}: {remark}")
        kept[row.level].append(row)
    out = (
        f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not vary between {_groups(level)} here: {reason}"
        for (level, reason), names in left.items()
    )
    notes = [*out, *notes]
    levels = tuple(_level(problem, name, rows) for name, rows in kept.items())
    chosen = [effect for level in levels for effect in level.effects if effect.chosen]
    if chosen:
        text = ", ".join(f"{effect.omega_sd} {effect.prior}" for effect in chosen)
        notes.append(f"priors chosen here, since the model file states none: {text}")
    return levels, tuple(notes)


def _asked(declared: tuple[Variability, ...], *, random: Collection[str] | bool | None) -> list[Variability] | None:
    if random is None or isinstance(random, bool):
        return None
    found: list[Variability] = []
    names = [*dict.fromkeys(row.parameter for row in declared), *(f"{row.parameter}:{row.level}" for row in declared)]
    for name in [random] if isinstance(random, str) else random:
        if name not in names:
            if not names:
                raise UsageError(f"random='{name}', but the model declares no random effects", hint="[variability]")
            raise UnknownName.among("random effect", name, names)
        found += [row for row in declared if name in (row.parameter, f"{row.parameter}:{row.level}")]
    return found


def _reason_against(problem: Problem, row: Variability) -> str:
    """Why an effect is impossible here; blank where it is possible."""
    model, name = problem.model, row.parameter
    if name not in problem.system.parameters:
        return "no observed output depends on it" if name not in model.noise_parameters else "it is a size of noise"
    if name in problem.rows.covariates:
        return "each subject has its value in a column of the study"
    if name in problem.fixed:
        return f"it is fixed at {model.values[name]:g}; free it, or give it a prior"
    scale = scale_of(row, model.parameter(name).prior)
    if not np.isfinite(scale.to_free(np.array(model.values[name]))):
        return f"its value {model.values[name]:g} is not on the scale of its effect"
    labels = _labels(problem, row.level)
    if not any(labels):
        return f"the study has no column '{row.level}'"
    blank = [problem.rows.where[k] for k, label in enumerate(labels) if not label]
    if blank:
        rows = "; ".join(blank[:SHOWN]) + ("; ..." if len(blank) > SHOWN else "")
        raise DataError(
            f"{len(blank)} rows do not say their {row.level}, over which '{name}' varies", where=rows,
            expected=f"a '{row.level}' in every row", hint=f"random=False, or random without '{name}:{row.level}'",
        )  # fmt: skip
    if row.level == "subject" and np.all(problem.rows.of_several):
        return "the study reports means, which are no subjects"
    count = len(set(labels))
    return "" if count > 1 else f"the study has one {row.level} only"


def _weakness(problem: Problem, row: Variability) -> str:
    """Why the data cannot tell the spread of an effect from the residual error (T9); blank where they can."""
    if row.level not in ("subject", "occasion") or row.parameter not in problem.system.parameters:
        return ""
    rows = problem.rows
    values = Counter(zip(_labels(problem, row.level), rows.output, strict=True))
    if max(values.values()) > 1:
        return ""
    outputs = ", ".join(f"'{name}'" for name in rows.outputs)
    return (
        f"one value per {row.level} of {outputs}, as in destructive sampling; the variance between "
        f"{_groups(row.level)} cannot be told from the residual one (T9), which here contains it"
    )


def _labels(problem: Problem, level: str) -> list[str]:
    study = problem.study
    return [label_of(study.subject(record.subject), record, level) for record in study.records]


def _level(problem: Problem, name: str, rows: list[Variability]) -> Level:
    model = problem.model
    effects = tuple(_effect(model, row) for row in rows)
    labels = _labels(problem, name)
    single = [label for label, several in zip(labels, problem.rows.of_several, strict=True) if not several]
    wanted = labels if name not in ("subject", "occasion") else single
    declared = next((each for each in model.covariance if each.level == name), None)
    full = len(effects) > 1 and (declared is None or declared.form == "full")
    stated = {frozenset((a, b)): r for a, b, r in declared.correlations} if declared else {}
    level = Level(name, tuple(dict.fromkeys(wanted)), effects, full, declared.lkj if declared else 2.0)
    start = tuple(stated.get(frozenset((effects[i].parameter, effects[j].parameter)), 0.0) for i, j in level.pairs)
    return Level(name, level.labels, effects, full, level.lkj, start)


def _effect(model: Model, row: Variability) -> Effect:
    scale = scale_of(row, model.parameter(row.parameter).prior)
    sd = row.sd or 0.1
    prior = row.prior
    if prior is None:
        prior = Prior("halfnormal", (WIDE if scale.kind != "identity" else 2.0 * sd,))
    return Effect(row.parameter, row.level, scale, sd, prior, row.prior is None)


def _groups(level: str) -> str:
    return {"study": "studies", "species": "species"}.get(level, f"{level}s")
