"""Truths from the priors, random effects included, and studies that they could have given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mscpkpd.conversions import factor_of
from mscpkpd.data import Record, Study
from mscpkpd.data.record import Kind
from mscpkpd.errors import MscError
from mscpkpd.fitting.coordinates import Coordinates, drawn_effects, lkj_exponents
from mscpkpd.fitting.parametrization import as_sampled
from mscpkpd.fitting.replicates import observe
from mscpkpd.observations import Rows
from mscpkpd.population import Population
from mscpkpd.problem import Problem
from mscpkpd.variability import SUMMARIES

__all__ = ["Truth", "drawn_truth", "from_priors", "simulated_rows", "simulated_study", "summaries_of"]

PATIENCE = 5  # truths in a row that the solver cannot follow


@dataclass(frozen=True, eq=False)
class Truth:
    """One set of parameters.

    Attributes
    ----------
    population : Population
        What they are parameters of.
    x : array of shape (n,)
        Typical values, spreads and correlations, in the coordinates of a population fit.
    eta : array of shape (n_eta,)
        Random effects of every group, on the scales of their parameters.
    """

    population: Population
    x: np.ndarray
    eta: np.ndarray

    @property
    def theta(self) -> np.ndarray:
        """Free parameters on their natural scale, shape (n_free,)."""
        return Coordinates(self.population).theta(self.x)

    @property
    def named(self) -> dict[str, float]:
        """Typical values, spreads and correlations, then summaries of the random effects, by name."""
        coordinates = Coordinates(self.population)
        values = dict(zip(coordinates.names, coordinates.natural(self.x).tolist(), strict=True))
        return values | {name: float(one[0]) for name, one in summaries_of(self.population, self.eta[None]).items()}

    def sampled(self, population: Population) -> np.ndarray:
        """Transformed parameters as a sampler of `population` has them, shape (n + n_eta,)."""
        effects = as_sampled(population, self.eta, Coordinates(population).spreads(self.x))
        return np.concatenate([self.x, effects])


def summaries_of(population: Population, etas: np.ndarray) -> dict[str, np.ndarray]:
    """What is judged of the random effects: those of the first group, and how far those of all groups lie apart.

    Parameters
    ----------
    population : Population
    etas : array of shape (n_draws, n_eta)

    Returns
    -------
    dict of str to array of shape (n_draws,)
        ``eta_CL[S1]``, and ``sd(eta_CL)``: the root of the mean square over the groups.
    """
    found: dict[str, np.ndarray] = {}
    for k, level in enumerate(population.levels):
        block = population.eta_of(k, etas)
        for e, effect in enumerate(level.effects):
            found[f"{effect.name}[{level.labels[0]}]"] = block[:, 0, e]
            found[f"sd({effect.name})"] = np.sqrt(np.mean(block[:, :, e] ** 2, axis=1))
    return found


def drawn_truth(population: Population, rng: np.random.Generator) -> tuple[Truth, np.ndarray]:
    """Draw a truth that can be solved, with what it predicts for every row, in the units of the outputs.

    Parameters
    ----------
    population : Population
    rng : numpy.random.Generator

    Raises
    ------
    MscError
        If several truths in a row could not be solved.
    """
    for _ in range(PATIENCE):
        truth = from_priors(population, rng)
        if population.levels:
            f = population.predict(truth.theta, truth.eta).value
        else:
            f = population.problem.predict(truth.theta).value
        if np.all(np.isfinite(f)):
            return truth, f
    raise MscError(f"{PATIENCE} truths in a row could not be solved")


def simulated_rows(problem: Problem, f: np.ndarray, values: Mapping[str, float], rng: np.random.Generator) -> Rows:
    """Rows that the model could have given in place of those of a problem, under their limits.

    Parameters
    ----------
    problem : Problem
        Binds the study; its values stand for nothing.
    f : array of shape (n_rows,)
        Predictions in the units of the outputs.
    values : mapping of str to float
        All parameters, in the units of the model.
    rng : numpy.random.Generator
        Of the noise.
    """
    rows = problem.rows
    value = observe(problem, f, values, rng)
    value = np.where(rows.kind == "logmean", np.log(np.where(rows.kind == "logmean", value, 1.0)), value)
    single = np.isin(rows.kind, ("value", "left", "right", "interval"))
    low = np.where(np.isin(rows.kind, ("left", "interval")), rows.upper, rows.lloq)
    high = np.where(rows.kind == "right", rows.lower, _upper_limits(problem))
    below, above = single & (value < low), single & (value > high)  # no row is beyond a limit that it has not
    kind = np.where(below, "left", np.where(above, "right", np.where(single, "value", rows.kind)))
    value = np.where(below, low, np.where(above, high, value))
    return replace(
        rows, value=value, kind=kind, lower=np.where(above, high, np.nan), upper=np.where(below, low, np.nan)
    )


def _upper_limits(problem: Problem) -> np.ndarray:
    """Upper limits of quantification that the rows state, in the units of the outputs."""
    found = np.full(len(problem.rows), np.nan)
    for i, record in enumerate(problem.study.records):
        if record.uloq is not None:
            output = problem.model.output(record.output)
            found[i] = record.uloq * factor_of(output, problem.study.subject(record.subject), record)
    return found


def from_priors(population: Population, rng: np.random.Generator) -> Truth:
    """Draw typical values, spreads, correlations, and random effects of new groups.

    Parameters
    ----------
    population : Population
    rng : numpy.random.Generator
    """
    coordinates = Coordinates(population)
    priors = [parameter.prior for parameter in population.problem.free]
    priors += [population.effects[k].prior for k in coordinates.free_effects]
    x = [float(prior.to_free(prior.sample(rng, 1)[0])) for prior in priors]
    for level in population.levels:
        x += [float(np.arctanh(2.0 * rng.beta(b, b) - 1.0)) for b in lkj_exponents(level)]
    found = np.array(x)
    return Truth(population, found, drawn_effects(population, coordinates.spreads(found), rng))


def simulated_study(problem: Problem, f: np.ndarray, values: Mapping[str, float], rng: np.random.Generator) -> Study:
    """Replace every value of a study by one that the model could have given, under the limits of its row.

    Parameters
    ----------
    problem : Problem
        Binds the study.
    f : array of shape (n_rows,)
        Predictions in the units of the outputs.
    values : mapping of str to float
        All parameters, in the units of the model.
    rng : numpy.random.Generator
        Of the noise.
    """
    study, records = problem.study, []
    observed = observe(problem, f, values, rng)
    for record, y in zip(study.records, observed.tolist(), strict=True):
        output = problem.model.output(record.output)
        records.append(_measured(record, y, factor_of(output, study.subject(record.subject), record), output.unit))
    return replace(study, records=tuple(records), name=f"{study.name} SYNTHETIC", synthetic=True)


def _measured(record: Record, y: float, factor: float, unit: str) -> Record:
    """A value under the limits of its row, in the unit of the output."""
    plain = replace(record, kind="value", value=y, lower=None, upper=None, unit=unit, sd=None,
                    lod=None, lloq=None, uloq=None)  # fmt: skip
    if record.kind in SUMMARIES:
        kind: Kind = "logmean" if record.kind == "logmean" and record.sd is not None else "mean"
        sd = None if record.sd is None else record.sd * (1.0 if kind == "logmean" else factor)
        return replace(plain, kind=kind, value=float(np.log(y)) if kind == "logmean" else y, sd=sd)
    low = record.upper if record.kind in ("left", "interval") else record.lloq
    high = record.lower if record.kind == "right" else record.uloq
    if low is not None and y < low * factor:
        return replace(plain, kind="left", value=low * factor, upper=low * factor)
    if high is not None and y > high * factor:
        return replace(plain, kind="right", value=high * factor, lower=high * factor)
    return plain
