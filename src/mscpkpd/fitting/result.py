"""What a fit found, whether it may be used, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mscpkpd.data import Study, read_study
from mscpkpd.errors import FitError, InputError
from mscpkpd.files import whole_folder
from mscpkpd.fitting.draws import Check, Draws, make_draws, read_draws, split_draws, write_draws
from mscpkpd.fitting.verbs import verb
from mscpkpd.model import LEVELS, Model
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.observed_points import observed_by

if TYPE_CHECKING:
    from mscpkpd.fitting.verbs import Diagnosis

__all__ = ["LITTLE", "SAMPLED", "Fit", "Outcome", "Posterior", "load_fit", "versions"]

SAMPLED = ("pathfinder", "nuts", "smc")  # methods whose draws are the result
LITTLE = 0.1  # share of the prior variance under which a parameter has learned nothing worth the name
MARK = "provenance.json"  # every run folder holds it


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of every parameter with a prior, learned or not.

    Attributes
    ----------
    learned, prior_only : mapping of str to array of shape (n_chains, n_draws)
        Parameters that the data can inform, and those drawn from their prior because no observed output depends on
        them.
    """

    learned: Draws
    prior_only: Draws = field(default_factory=lambda: MappingProxyType({}))

    def flat(self) -> dict[str, np.ndarray]:
        """All draws with the chains joined, arrays of shape (n_chains * n_draws,)."""
        return {name: np.asarray(a).reshape(-1) for name, a in {**self.learned, **self.prior_only}.items()}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method found; `Fit` adds what it was found for.

    Attributes
    ----------
    names : tuple of str
        What was estimated.
    table : pandas.DataFrame
    posterior : Posterior
    draws : arviz object or None
    checks : tuple of Check
    notes : tuple of str
    settings : mapping
    individuals, predictions : pandas.DataFrame or None
        Of a fit with random effects.
    """

    names: tuple[str, ...]
    table: pd.DataFrame
    posterior: Posterior
    draws: Any
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    individuals: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of fitting a model to a study.

    Attributes
    ----------
    model : Model
        As fitted, complete.
    study : Study
        The data.
    method : str
        "least_squares", "map", "foce", "focei", "laplace", "pathfinder", "nuts" or "smc".
    table : pandas.DataFrame
        One row per parameter; see `summary`.
    posterior : Posterior
        Draws; for least squares, of the asymptotic normal distribution of the estimates.
    draws : arviz object or None
        InferenceData (ArviZ 0.23) or DataTree (ArviZ 1) of a sampled fit; None for least squares.
    checks : tuple of Check
        Verdicts; the fit may be used if all hold.
    notes : tuple of str
        What was decided on the way: widened priors, fixed parameters, parameters drawn from their prior.
    predictions : pandas.DataFrame
        Every row of the data with its prediction, lower and upper limit.
    settings : mapping
        Method, seed, numbers of draws, versions, times.
    individuals : pandas.DataFrame or None
        Of a fit with random effects: the effects of each subject (lot, study, ...) with their standard deviations,
        and the individual parameters.

    Notes
    -----
    A fit that has not converged is not a result: see `converged` and `verdict`.
    """

    model: Model
    study: Study
    method: str
    table: pd.DataFrame
    posterior: Posterior
    draws: Any
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    predictions: pd.DataFrame
    settings: Mapping[str, Any]
    individuals: pd.DataFrame | None = None

    @property
    def ok(self) -> bool:
        """Whether the fit may be used: `converged` under the short name that solves have, too."""
        return self.converged

    @property
    def statistics(self) -> Mapping[str, float]:
        """Numbers of the whole fit (S4 to S7), as far as its method knows them.

        ``minus2ll``, ``ofv`` (P9), ``log_likelihood``, ``aic``, ``bic_obs``, ``bic_subjects``, ``condition_number``,
        ``eps_shrinkage_sd``, and counts. Of "smc" ``log_evidence``, the log marginal likelihood of the data, with its
        Monte Carlo error ``log_evidence_se``.
        """
        return dict(self.settings.get("statistics", {}))

    @property
    def converged(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    @property
    def estimates(self) -> dict[str, float]:
        """Estimate of each parameter of the table, in its unit."""
        return dict(zip(self.table["parameter"], self.table["estimate"], strict=True))

    @property
    def verdict(self) -> str:
        """One line: usable, or what is wrong, first things first."""
        failed = [check.sentence for check in self.checks if not check.ok]
        if not failed:
            return "All checks of the fit hold."
        return "NOT A RESULT: " + " ".join(failed)

    @property
    def uninformed(self) -> tuple[str, ...]:
        """Parameters that no observed output depends on: what rests on them is prior only."""
        return tuple(self.settings.get("uninformed", ()))

    def little_learned(self, limit: float = LITTLE) -> dict[str, float]:
        """Name the parameters that the outputs depend on but of which the data taught little.

        Parameters
        ----------
        limit : float
            Share of the prior variance [1] under which a parameter has learned little.

        Returns
        -------
        dict of str to float
            Share learned [1], by parameter; empty for least squares, which has no prior to compare with.
        """
        table = self.table[(self.table["note"] != "prior only") & self.table["learned"].notna()]
        few = table[table["learned"] < limit]
        return {str(name): float(share) for name, share in zip(few["parameter"], few["learned"], strict=True)}

    def summary(self) -> pd.DataFrame:
        """Return the table of parameters.

        Returns
        -------
        pandas.DataFrame
            Columns parameter, estimate, lower, upper (95 %), sd, unit, r_hat, ess_bulk, ess_tail, learned. The
            estimate is the posterior median or the optimum; `learned` is 1 - var(posterior)/var(prior) on the
            transformed scale of the parameter (rule S2), and empty for least squares. The kind of interval stands
            in ``summary().attrs["interval"]``. A fit with random effects has their spreads as ``omega_sd_CL`` and
            ``omega2_CL`` (P4), correlations and covariances, and as far as its method knows them the columns rse and cv
            (in %), eta_shrinkage_sd, eta_shrinkage_var (S7) and sd_sandwich.

        Notes
        -----
        Parameters that the data cannot inform are listed with ``learned`` = 0 and the note "prior only".
        """
        return self.table.copy()

    def check(self, *, seed: int = 0, count: int = 1000) -> Diagnosis:
        """Look at everything that tells whether this fit can be trusted.

        Parameters
        ----------
        seed : int
            Of replicates.
        count : int
            Replicates of the study for visual predictive checks and prediction distribution errors, at least 500.

        Returns
        -------
        Diagnosis
            Verdicts in words, the gravest first, each with what to do next; `tables`, `plot()`, `save(folder)`, and
            ``print``. What the method cannot give is said.

        Raises
        ------
        Raises nothing that `fit` did not: what cannot be computed becomes a verdict with its reason.
        """
        found: Diagnosis = verb("check")(self, seed=seed, count=count)
        return found

    def sample(self, n: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Draw parameter values, joint over all parameters.

        Parameters
        ----------
        n : int
            Number of draws.
        seed : int
            Which draws are taken.

        Returns
        -------
        dict of str to array of shape (n,)
            Every parameter of the model in its own unit; those without a distribution are constant.

        Raises
        ------
        FitError
            If the fit has not converged: it is not a result.

        Notes
        -----
        Draws are taken without replacement as long as there are enough.
        """
        if not self.converged:
            raise FitError(self.verdict, hint="more draws, another start, or fewer free parameters; see fit.checks")
        flat = self.posterior.flat()
        available = len(next(iter(flat.values())))
        picked = np.random.default_rng(seed).choice(available, size=n, replace=n > available)
        constant = {parameter.name: np.full(n, parameter.value) for parameter in self.model.parameters}
        return {**constant, **{name: values[picked] for name, values in flat.items()}}

    def save(self, folder: str | Path) -> Path:
        """Write the fit as a run folder, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            New, empty, or an earlier run, which is replaced.

        Returns
        -------
        Path
            The folder: summary.csv, draws.nc, predictions.csv, model.toml, data.csv, provenance.json.

        Raises
        ------
        UsageError
            If the folder holds something that no run made.

        Notes
        -----
        `load_fit` reads it back.
        """
        with whole_folder(folder, MARK) as part:
            self.write(part)
        return Path(folder)

    def write(self, folder: Path) -> None:
        """Write the files of a run into an existing folder.

        Parameters
        ----------
        folder : Path
            Where; files of the same names are replaced.
        """
        self.table.to_csv(folder / "summary.csv", index=False)
        self.predictions.to_csv(folder / "predictions.csv", index=False)
        if self.individuals is not None:
            self.individuals.to_csv(folder / "individuals.csv", index=False)
        draws = self.draws if self.draws is not None else make_draws(self.posterior.learned, {})
        write_draws(draws, folder / "draws.nc")
        save_model(self.model, folder / "model.toml")
        self.study.save(folder / "data.csv")
        record = {
            "format": 1,
            "method": self.method,
            "study": self.study.name,
            "data_digest": self.study.digest,
            "interval": self.table.attrs.get("interval", ""),
            "individuals": "" if self.individuals is None else self.individuals.attrs.get("kind", ""),
            "prior_only": sorted(self.posterior.prior_only),
            "checks": [asdict(check) for check in self.checks],
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }
        (folder / MARK).write_text(json.dumps(record, indent=2, default=str) + "\n")

    def __str__(self) -> str:
        head = f"{self.method} fit of '{self.model.name}' to '{self.study.name}'\n{self.verdict}\n"
        kind = self.table.attrs.get("interval", "")
        body = self.table.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        whole = f"{_numbers_text(self.statistics)}\n" if self.statistics else ""
        return f"{head}{whole}\nInterval: {kind}\n{body}\n" + "".join(f"- {note}\n" for note in self.notes)


def _numbers_text(statistics: Mapping[str, float]) -> str:
    shown = (
        "minus2ll",
        "ofv",
        "aic",
        "bic_obs",
        "bic_subjects",
        "condition_number",
        "eps_shrinkage_sd",
        "log_evidence",
    )
    return ", ".join(f"{name} {statistics[name]:.6g}" for name in shown if name in statistics)


def load_fit(folder: str | Path) -> Fit:
    """Read a fit from its run folder.

    Parameters
    ----------
    folder : str or Path
        Written by `Fit.save` or ``mscpkpd fit --out``.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        If the folder is no run, one of its files is missing or damaged, or the data have changed since the fit.

    Notes
    -----
    The data are read again and compared with their digest at the time of the fit.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / MARK).read_text())
        table = pd.read_csv(folder / "summary.csv", dtype={"note": str})  # else all blank is a column of numbers
        predictions = pd.read_csv(folder / "predictions.csv", dtype={"subject": str})  # "01" is a name
        individuals = _individuals(folder, record.get("individuals", ""))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is no run folder: {error}", hint="the folder given to fit --out") from error
    table["note"] = table["note"].fillna("")
    table.attrs["interval"] = record["interval"]
    draws = read_draws(folder / "draws.nc")
    values = split_draws(draws)
    prior_only = {name: values.pop(name) for name in record["prior_only"]}
    study = read_study(folder / "data.csv", name=record["study"])
    if study.digest != record["data_digest"]:
        raise InputError(
            "the data have changed since the fit", where=str(folder / "data.csv"), hint="fit again, or restore the file"
        )
    return Fit(
        observed_by(load_model(folder / "model.toml"), study),
        study,
        record["method"],
        table,
        Posterior(values, prior_only),
        draws if record["method"] in SAMPLED else None,
        tuple(Check(**check) for check in record["checks"]),
        tuple(record["notes"]),
        predictions,
        record["settings"],
        individuals,
    )


def _individuals(folder: Path, kind: str) -> pd.DataFrame | None:
    path = folder / "individuals.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype=dict.fromkeys(LEVELS, str), keep_default_na=False)
    table.attrs["kind"] = kind
    return table


def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    packages = ("mscpkpd", "numpy", "scipy", "pydiffsol", "jax", "pymc", "pytensor", "nutpie", "arviz", "lmfit")
    return {name: version(name) for name in packages}
