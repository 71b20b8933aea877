"""Every failure that a user can cause or meet, in one tree.

::

    MscError
    ├── InputError            something the user gave cannot be used (exit status 2)
    │   ├── UnitError         a unit is unknown, or its dimension does not fit
    │   ├── ExpressionError   a formula is not in the closed language
    │   ├── UnknownName       a name that nothing defines, with the closest known ones
    │   ├── ParameterError    a parameter, prior or noise model is malformed
    │   ├── DosingError       a dose or a regimen is impossible
    │   ├── ModelError        a model or values file is wrong
    │   ├── DataError         a data table is wrong
    │   ├── CohortError       a cohort table is wrong
    │   └── UsageError        arguments contradict each other
    ├── SolveError            the equations could not be solved (a labelled outcome, never a crash)
    └── FitError              a fit could not be carried out (exit status 3)

A message says what was given, what was expected, where, and what to try.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

__all__ = [
    "CohortError",
    "DataError",
    "DosingError",
    "ExpressionError",
    "FitError",
    "InputError",
    "ModelError",
    "MscError",
    "ParameterError",
    "SolveError",
    "UnitError",
    "UnknownName",
    "UsageError",
    "closest",
]

MAX_FINDINGS = 50


def closest(name: str, known: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """Return the known names most like `name`, best first.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        What would have been understood.
    n : int
        Most names to return.

    Returns
    -------
    tuple of str
        At most `n` names; empty where nothing is similar.
    """
    by_fold = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_fold, n=n, cutoff=0.5)
    return tuple(by_fold[match] for match in matches)


class MscError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    problem : str
        What is wrong, with the value that was given.
    where : str
        File, row, column or key.
    expected : str
        What would have been right.
    hint : str
        What to try.
    """

    exit_status = 1

    def __init__(self, problem: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        self.problem, self.where, self.expected, self.hint = problem, where, expected, hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole message as one paragraph."""
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.expected:
            text += f"; expected {self.expected}"
        if self.hint:
            text += f". Try: {self.hint}"
        return text

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive a process boundary by default.
        return (_rebuild, (type(self), self.problem, self.where, self.expected, self.hint))


def _rebuild(kind: type[MscError], problem: str, where: str, expected: str, hint: str) -> MscError:
    return kind(problem, where=where, expected=expected, hint=hint)


class InputError(MscError):
    """Something that the user gave cannot be used."""

    exit_status = 2

    @classmethod
    def of(cls, findings: Collection[str | MscError], where: str = "") -> InputError:
        """Make one error of several findings, in order, at most 50 of them."""
        lines = [str(finding) for finding in findings]
        if len(lines) == 1:
            return cls(lines[0], where=where)
        shown = "".join(f"\n  - {line}" for line in lines[:MAX_FINDINGS])
        if len(lines) > MAX_FINDINGS:
            shown += f"\n  ... and {len(lines) - MAX_FINDINGS} more"
        return cls(f"{len(lines)} problems{shown}", where=where)


class UnitError(InputError):
    """A unit is unknown, or its dimension does not fit."""


class ExpressionError(InputError):
    """A formula is not in the closed language of model files."""


class ParameterError(InputError):
    """A parameter, prior or noise model is malformed."""


class DosingError(InputError):
    """A dose or a regimen is impossible."""


class ModelError(InputError):
    """A model or values file is wrong."""


class DataError(InputError):
    """A data table is wrong."""


class CohortError(InputError):
    """A cohort table is wrong."""


class UsageError(InputError):
    """Arguments contradict each other or cannot be used together."""


class UnknownName(InputError):
    """A name that nothing defines; the message holds the closest known ones.

    Use `UnknownName.among` to build it.
    """

    @classmethod
    def among(cls, kind: str, name: str, known: Collection[str], where: str = "") -> UnknownName:
        """Say that `name` is no known `kind`, and which known names come close."""
        near = closest(name, known)
        listed = ", ".join(sorted(known)[:30]) or "none"
        hint = " or ".join(f"'{match}'" for match in near) if near else f"one of: {listed}"
        return cls(f"unknown {kind} '{name}'", where=where, hint=hint)


class SolveError(MscError):
    """The equations could not be solved for these parameters."""

    exit_status = 3


class FitError(MscError):
    """A fit could not be carried out, or its result cannot be used."""

    exit_status = 3
