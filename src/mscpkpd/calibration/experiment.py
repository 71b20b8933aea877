"""One simulated study: a truth from the priors, data from the truth, a posterior from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mscpkpd.calibration.ranks import rank_of
from mscpkpd.conversions import factor_of
from mscpkpd.data import Record, Study
from mscpkpd.data.record import Kind
from mscpkpd.errors import MscError
from mscpkpd.fitting.api import fit
from mscpkpd.model import Model
from mscpkpd.problem import Problem, pose

__all__ = ["Experiment", "Ranked", "simulated_study"]

PATIENCE = 5  # truths in a row that the solver cannot follow


@dataclass(frozen=True)
class Ranked:
    """Where the truths of one study stand among its draws.

    Attributes
    ----------
    study : int
        Number of the simulated study.
    rows : tuple of (str, float, int, float, float)
        Quantity, truth, rank, mean and sd of the draws.
    failure : str
        Why there are none; empty where there are.
    """

    study: int
    rows: tuple[tuple[str, float, int, float, float], ...]
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is repeated.

    Attributes
    ----------
    model : Model
    template : Study
        Who is dosed how and what is observed when; its values stand for nothing, its limits count.
    method : str
        Of `fit`.
    ranked : int
        Draws behind a rank.
    options : mapping
        Further options of `fit`.
    seed : int
        Of everything.
    """

    model: Model
    template: Study
    method: str
    ranked: int
    options: Mapping[str, object]
    seed: int

    def run(self, number: int) -> Ranked:
        """Simulate and fit one study; what depends on its number depends on nothing else.

        Parameters
        ----------
        number : int
            From 0.
        """
        rng = np.random.default_rng([self.seed, number])
        problem = pose(self.model, self.template)
        try:
            truth, study = _drawn(problem, rng)
            found = fit(self.model, study, self.method, cores=1, seed=int(rng.integers(2**31)), **self.options)  # type: ignore[arg-type]  # checked by fit
        except MscError as error:
            return Ranked(number, (), str(error).splitlines()[0])
        if not found.converged:
            return Ranked(number, (), found.verdict)
        flat = found.posterior.flat()
        rows = [
            (name, true, rank_of(true, flat[name], self.ranked, rng), float(flat[name].mean()), float(flat[name].std()))
            for name, true in truth.items()
        ]
        return Ranked(number, tuple(rows))


def _drawn(problem: Problem, rng: np.random.Generator) -> tuple[dict[str, float], Study]:
    """A truth that can be solved, and data."""
    failure = ""
    for _ in range(PATIENCE):
        theta = np.array([float(parameter.prior.sample(rng, 1)[0]) for parameter in problem.free])
        prediction = problem.predict(theta)
        if not prediction.failure:
            return dict(zip(problem.names, theta.tolist(), strict=True)), simulated_study(
                problem, prediction.value, problem.values(theta), rng
            )
        failure = prediction.failure
    raise MscError(f"{PATIENCE} truths in a row could not be solved: {failure}")


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
    for i, record in enumerate(study.records):
        output = problem.model.output(record.output)
        count = record.n or 1 if record.kind in ("mean", "logmean") else 1
        y = f[i]
        if output.noise is not None:
            y = float(np.mean(output.noise.sample(rng, np.full(count, f[i]), values)))
        factor = factor_of(output, study.subject(record.subject), record)
        records.append(_measured(record, y, factor, output.unit))
    return replace(study, records=tuple(records), name=f"{study.name} SYNTHETIC", synthetic=True)


def _measured(record: Record, y: float, factor: float, unit: str) -> Record:
    """A value under the limits of its row, in the unit of the output."""
    kind: Kind = "mean" if record.kind in ("mean", "logmean") else "value"
    plain = replace(
        record, kind=kind, value=y, lower=None, upper=None, unit=unit, sd=None, lod=None, lloq=None, uloq=None
    )
    low = record.upper if record.kind in ("left", "interval") else record.lloq
    high = record.lower if record.kind == "right" else record.uloq
    if low is not None and y < low * factor:
        return replace(plain, kind="left", value=low * factor, upper=low * factor)
    if high is not None and y > high * factor:
        return replace(plain, kind="right", value=high * factor, lower=high * factor)
    return plain
