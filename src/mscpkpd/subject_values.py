"""Values of parameters that the columns of a study state for each subject: covariates that do not change (K1).

A column with the name of a parameter gives its value: ``weight``, ``age``. A parameter ``sex_female`` is 1 for subjects
whose column ``sex`` says female, else 0. How a covariate acts is a formula of the model file, such as
``CL*(weight/70)**theta`` (P6), so that exponents are parameters like all others.
"""

from __future__ import annotations

from collections.abc import Mapping

from mscpkpd.data import Study, Subject
from mscpkpd.errors import DataError, MscError
from mscpkpd.model import Model
from mscpkpd.units import to_unit

__all__ = ["subject_values"]


def subject_values(model: Model, study: Study) -> dict[str, dict[str, float]]:
    """Read the covariates of the model from the columns of a study.

    Parameters
    ----------
    model : Model
        Its parameters that are not estimated may be covariates.
    study : Study
        Subjects with their columns.

    Returns
    -------
    dict of str to dict of str to float
        By parameter and subject, in the unit of the parameter.

    Raises
    ------
    DataError
        With every value that is missing for some subjects or is no number, and every column that would replace a
        parameter that is to be estimated.
    """
    findings: list[MscError] = []
    stated = {subject.id: _columns(subject) for subject in study.subjects}
    found: dict[str, dict[str, float]] = {}
    for name in model.parameter_names:
        given = _numbers(model, name, stated, findings) or _categories(model, name, stated)
        missing = [subject for subject in stated if given and subject not in given]
        findings += [
            DataError(f"subject '{subject}' has no '{name}'", expected="a value for every subject (K1)")
            for subject in missing
        ]
        found |= {name: given} if given else {}
    if findings:
        raise DataError.of(findings, where=f"study '{study.name}' with model '{model.name}'")
    return found


def _columns(subject: Subject) -> Mapping[str, str]:
    """Columns of a subject by their names in lower case; its weight is in kg."""
    columns = {name.casefold(): text for name, text in subject.covariates}
    columns |= {"species": subject.species} if subject.species else {}
    return columns | ({"weight": f"{subject.weight!r} kg"} if subject.weight is not None else {})


def _numbers(
    model: Model, name: str, stated: Mapping[str, Mapping[str, str]], findings: list[MscError]
) -> dict[str, float]:
    """Values of a parameter that a column of its name gives, by subject."""
    texts = {subject: columns[name.casefold()] for subject, columns in stated.items() if name.casefold() in columns}
    if texts and model.parameter(name).prior.is_free:
        problem = f"column '{name}' is a parameter of model '{model.name}' that is to be estimated"
        hint = f"another name for the column, or prior = \"fixed\" for '{name}' in the model file"
        findings.append(DataError(problem, hint=hint))
        return {}
    found = {}
    for subject, text in texts.items():
        try:
            found[subject] = to_unit(text, model.parameter(name).unit) if text.endswith(" kg") else float(text)
        except (ValueError, MscError):
            problem = f"'{text}' of subject '{subject}' is not the number that parameter '{name}' needs"
            hint = f"a number, or a parameter '{name}_{text}' that is 1 where the column says so"
            findings.append(DataError(problem, hint=hint))
            return {}
    return found


def _categories(model: Model, name: str, stated: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """1 for subjects of the category that the name of a parameter ends with, 0 for others; empty where it is none."""
    if model.parameter(name).prior.is_free:
        return {}
    for column in dict.fromkeys(column for columns in stated.values() for column in columns):
        wanted = name.casefold().removeprefix(f"{column}_")
        texts = {subject: columns[column].casefold() for subject, columns in stated.items() if column in columns}
        if name.casefold() != wanted and wanted in texts.values():
            return {subject: float(text == wanted) for subject, text in texts.items()}
    return {}
