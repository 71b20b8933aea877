"""The responder file: priors with units, sources and evidence, read once into a frozen description."""

from __future__ import annotations

import csv
import io
import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mscpkpd.errors import ModelError, ParameterError, UnknownName
from mscpkpd.modelfile import library_path
from mscpkpd.modelfile.library import locate
from mscpkpd.parameters import EVIDENCE, Prior
from mscpkpd.responder.mixtures import NormalMixture, parse_terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BETWEEN",
    "COVARIATES",
    "EXTRAS",
    "FILE",
    "Definition",
    "ResponderParameter",
    "find",
    "read_definition",
    "responders",
    "write_definition",
]

COVARIATES = ("gamma_grade", "gamma_liver", "gamma_child")
# in the model where the cohort has the column
EXTRAS = ("gamma_delay", "gamma_basiliximab", "gamma_map")
BETWEEN = ("tau_trial", "tau_centre", "tau_slope")
# order of the parameters in every table
PARAMETERS = (
    *("alpha", "b1", *COVARIATES, *EXTRAS, "mu_x", "s_x", "s_u", "offset", "plate"),
    *("alpha_trials", *BETWEEN, "b2", "mu_d", "s_d", "r_dx"),
)
POSITIVE = ("s_x", "s_u", "s_d")
SHARES = ("grade_B", "grade_C", "grade_D", "liver", "child", "delay", "basiliximab")
MAP = ("intercept", "st2", "reg3a", "centre", "spread")
# what a row of the user's own is where it does not say
OWN_TRIAL = {"arm": "msc", "in_pool": "true", "prospective": "true", "evidence": "user", "source": "added by the user"}
LARGEST_FILE = 1_000_000
FILE = "responder.toml"  # name of the copy in the folder of a saved scorer


@dataclass(frozen=True)
class ResponderParameter:
    """One prior of the responder file.

    Attributes
    ----------
    name, unit, about, source, evidence : str
        As in the file.
    prior : NormalMixture
        On the free scale (ln for `s_x` and `s_u`).
    """

    name: str
    unit: str
    prior: NormalMixture
    about: str = ""
    source: str = ""
    evidence: str = "assumed"


@dataclass(frozen=True)
class Definition:
    """A responder file with one slope prior chosen.

    Attributes
    ----------
    name, title, outcome, estimand, use : str
        As in the file.
    slope : str
        Which prior of b1.
    centre : float
        CXCL10 at z = 0, pg/mL.
    spread : float
        ln units of one step of z.
    change_spread : float
        ln units of change at 24 h of one step of b2.
    reference_platform : str
        The platform whose offset is 0.
    parameters : tuple of ResponderParameter
        alpha, b1, gamma_grade, gamma_liver, gamma_child, gamma_delay, gamma_basiliximab, gamma_map, mu_x, s_x, s_u,
        offset, plate, alpha_trials, tau_trial, tau_centre, tau_slope, b2, mu_d, s_d, r_dx.
    shares : tuple of (str, float)
        grade_B, grade_C, grade_D, liver, child, delay, basiliximab: used where a covariate is missing; all but the
        grades are also the centres.
    magic : tuple of (str, float)
        intercept, st2, reg3a of the MAGIC probability (unverified), and centre and spread of the covariate made of it.
    pool_mu_sd, pool_tau_scale : float
        Priors of the random-effects pool, logit units.
    rate_prior : tuple of (weight, a, b)
        Beta mixture of the response rate of a new cohort.
    trials_name, trials : str
        Name and text of the trial table, CSV.
    text : str
        The whole file.
    changes : tuple of (name, prior, source)
        Priors replaced by `with_prior`, in order.
    """

    name: str
    title: str
    outcome: str
    estimand: str
    use: str
    slope: str
    centre: float
    spread: float
    change_spread: float
    reference_platform: str
    parameters: tuple[ResponderParameter, ...]
    shares: tuple[tuple[str, float], ...]
    magic: tuple[tuple[str, float], ...]
    pool_mu_sd: float
    pool_tau_scale: float
    rate_prior: tuple[tuple[float, float, float], ...]
    trials_name: str
    trials: str = field(repr=False)
    text: str = field(repr=False)
    changes: tuple[tuple[str, str, str], ...] = ()

    def parameter(self, name: str) -> ResponderParameter:
        """Return one parameter.

        Raises
        ------
        UnknownName
            If there is none of that name.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise UnknownName.among("parameter", name, PARAMETERS, self.name)

    def prior(self, name: str) -> NormalMixture:
        """Return the prior of a parameter on its free scale."""
        return self.parameter(name).prior

    def share(self, name: str) -> float:
        """Return a share of `shares`."""
        return dict(self.shares)[name]

    def with_prior(self, name: str, prior: str, source: str) -> Definition:
        """Return this definition with another prior for one parameter; its evidence becomes "assumed"."""
        old = self.parameter(name)
        mixture = _mixture(name, prior, f"prior of {name}")
        new = replace(old, prior=mixture, source=source, evidence="assumed")
        parameters = tuple(new if parameter is old else parameter for parameter in self.parameters)
        return replace(self, parameters=parameters, changes=(*self.changes, (name, prior, source)))

    def with_trials(self, rows: Sequence[Mapping[str, object]], without: Sequence[str] = ()) -> Definition:
        """Return this definition with rows added to the trial table and others left out of the pool.

        Raises
        ------
        ModelError
            If a row is impossible, or its study is in the table already.
        UnknownName
            If a study to leave out is not in the table.
        """
        table = list(csv.DictReader(io.StringIO(self.trials)))
        columns = list(table[0])
        studies = [row["study"] for row in table]
        for name in without:
            if name not in studies:
                raise UnknownName.among("study", name, studies, self.trials_name)
        out = {"in_pool": "false", "not_pooled_because": "left out by the user"}
        table = [row | out if row["study"] in without else row for row in table]
        own = [
            dict.fromkeys(columns, "") | OWN_TRIAL | {name: str(value) for name, value in row.items()} for row in rows
        ]
        unknown = sorted({name for row in own for name in row} - set(columns))
        if unknown:
            raise UnknownName.among("column of the trial table", unknown[0], columns, self.trials_name)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*table, *own])
        return replace(self, trials=text.getvalue())


def responders() -> tuple[str, ...]:
    """Return the names of the shipped responder files.

    Returns
    -------
    tuple of str
        Sorted; what `load_responder` takes.

    Raises
    ------
    ModelError
        If the installation has no library.

    Notes
    -----
    They are the TOML files of the folder ``responder`` of the library.
    """
    return tuple(sorted(path.stem for path in (library_path() / "responder").glob("*.toml")))


def find(name: str | Path) -> Path:
    """Return the file of a shipped name, or the path itself.

    Raises
    ------
    UnknownName
        For a name that is not in the library.
    ModelError
        For a path where there is no file.
    """
    return locate("responder", name, [library_path() / "responder"], responders())


def read_definition(path: Path, slope: str = "default") -> Definition:
    """Read a responder file.

    Parameters
    ----------
    path : Path
        TOML file; the trial table that it names stands beside it.
    slope : str
        Which prior of b1.

    Returns
    -------
    Definition

    Raises
    ------
    ModelError
        If the file cannot be read, or a table, key, prior or evidence word is missing or wrong.
    UnknownName
        If the file has no such slope prior.
    """
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(
            f"no valid TOML: {error}", where=path.name, hint="the shipped responder file as a pattern"
        ) from error
    if data.get("kind") != "responder" or data.get("format") != 1:
        raise ModelError(
            f"kind '{data.get('kind')}', format {data.get('format')}",
            where=path.name,
            expected='kind = "responder", format = 1',
        )
    try:
        return _definition(data, path, slope, text)
    except KeyError as error:
        raise ModelError(
            f"no key {error}", where=path.name, hint="the tables and keys of the shipped responder file"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"a value of the wrong type ({error})", where=path.name, hint="the shipped responder file as a pattern"
        ) from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError("more than 1 MB", where=path.name, expected="a responder file or its trial table")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be read ({error})", where=str(path), expected="a text file in UTF-8") from error


def _definition(data: dict[str, Any], path: Path, slope: str, text: str) -> Definition:
    slopes, scale, rate = data["slopes"], data["scale"], data["rate"]
    if slope not in slopes:
        raise UnknownName.among("slope prior", slope, slopes, path.name)
    rows = {**data["parameters"], "b1": slopes[slope]}
    for name in rows:
        if name not in PARAMETERS:
            raise UnknownName.among("parameter", name, PARAMETERS, f"{path.name} [parameters]")
    shares = tuple((name, float(data["missing"][name]["share"])) for name in SHARES)
    _check_shares(dict(shares), path.name)
    return Definition(
        name=str(data["name"]),
        title=str(data["title"]),
        outcome=str(data["outcome"]),
        estimand=str(data["estimand"]),
        use=str(data["use"]),
        slope=slope,
        centre=_positive(scale["centre"], f"{path.name} [scale].centre"),
        spread=_positive(scale["spread"], f"{path.name} [scale].spread"),
        change_spread=_positive(scale["change_spread"], f"{path.name} [scale].change_spread"),
        reference_platform=str(scale["reference_platform"]),
        parameters=tuple(_parameter(name, rows[name], path.name) for name in PARAMETERS),
        shares=shares,
        magic=tuple((name, float(data["map"][name])) for name in MAP),
        pool_mu_sd=_scale(rate["mu"]["prior"], "normal", path.name),
        pool_tau_scale=_scale(rate["tau"]["prior"], "halfnormal", path.name),
        rate_prior=_rate_prior(rate["beta"]["prior"], path.name),
        trials_name=Path(rate["trials"]).name,
        trials=_text(path.parent / Path(rate["trials"]).name),
        text=text,
    )


def _parameter(name: str, row: dict[str, str], file: str) -> ResponderParameter:
    where = f"{file} [{'slopes' if name == 'b1' else 'parameters'}].{name}"
    if row["evidence"] not in EVIDENCE:
        raise ModelError(f"evidence '{row['evidence']}'", where=where, expected=f"one of {', '.join(EVIDENCE)}")
    prior = _mixture(name, row["prior"], where)
    return ResponderParameter(name, row["unit"], prior, row["about"], row["source"], row["evidence"])


def _mixture(name: str, text: str, where: str) -> NormalMixture:
    mixture = NormalMixture.parse(text, where)
    expected = "log" if name in POSITIVE else "halfnormal" if name in BETWEEN else "identity"
    if mixture.transform != expected:
        kinds = {"log": "lognormal(median, cv)", "halfnormal": "halfnormal(scale)", "identity": "normal(mean, sd)"}
        kind = kinds[expected]
        raise ParameterError(f"prior '{text}' of {name}", where=where, expected=kind)
    return mixture


def _positive(value: float, where: str) -> float:
    if not 0 < value < math.inf:
        raise ModelError(f"{value}", where=where, expected="a number above 0")
    return float(value)


def _check_shares(shares: dict[str, float], file: str) -> None:
    grades = sum(shares[name] for name in SHARES[:3])
    if not math.isclose(grades, 1.0, abs_tol=1e-9) or not all(0 <= share <= 1 for share in shares.values()):
        raise ModelError(
            f"shares {shares}", where=f"{file} [missing]", expected="grades that sum to 1, each share from 0 to 1"
        )


def _scale(text: str, family: str, file: str) -> float:
    prior = Prior.parse(text, f"{file} [rate]")
    if prior.family != family:
        raise ModelError(f"prior '{text}'", where=f"{file} [rate]", expected=f"a {family} prior")
    return prior.args[-1]


def _rate_prior(text: str, file: str) -> tuple[tuple[float, float, float], ...]:
    terms = parse_terms(text, f"{file} [rate].beta")
    if any(prior.family != "beta" for _, prior in terms):
        raise ModelError(f"prior '{text}'", where=f"{file} [rate].beta", expected="beta(a, b), or a mixture of them")
    return tuple((weight, prior.args[0], prior.args[1]) for weight, prior in terms)


def write_definition(definition: Definition, folder: Path) -> None:
    """Write the responder file as it was read, and its trial table, into a folder; see `FILE`."""
    (folder / FILE).write_text(definition.text, encoding="utf-8")
    (folder / definition.trials_name).write_text(definition.trials, encoding="utf-8")
