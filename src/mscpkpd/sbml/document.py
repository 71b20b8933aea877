"""Open an SBML file: sound, of Level 3, and without what this package cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mscpkpd.errors import ModelError

if TYPE_CHECKING:
    import libsbml

__all__ = ["open_document"]

MOST_PROBLEMS = 10
# What changes no trajectory; the last is libSBML's name for functions of the core of Version 2.
HARMLESS = {"layout", "render", "groups", "l3v2extendedmath"}


def open_document(path: Path) -> libsbml.SBMLDocument:
    """Return the document of a file as SBML Level 3.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ModelError
        If the file is missing or broken, or holds elements that cannot be read; all of them by name.
    """
    import libsbml

    if not path.is_file():
        raise ModelError("no such file", where=str(path), expected="an SBML file", hint="another path")
    document = libsbml.readSBMLFromFile(str(path))
    _refuse_broken(document, str(path))
    if document.getModel() is None:
        raise ModelError("the file holds no model", where=str(path), expected="an SBML file with a model")
    if document.getLevel() < 3 and not document.setLevelAndVersion(3, 1, False):
        level = f"Level {document.getLevel()} Version {document.getVersion()}"
        raise ModelError(
            f"libSBML cannot turn {level} into Level 3", where=str(path), hint="convert it with its own tool"
        )
    refused = [ModelError(problem, where=where, hint=hint) for problem, where, hint in _unsupported(document)]
    if refused:
        raise ModelError.of(refused, where=str(path))
    return document


def _refuse_broken(document: libsbml.SBMLDocument, where: str) -> None:
    import libsbml

    for category in (libsbml.LIBSBML_CAT_UNITS_CONSISTENCY, libsbml.LIBSBML_CAT_MODELING_PRACTICE):
        document.setConsistencyChecks(category, False)
    if document.getNumErrors(libsbml.LIBSBML_SEV_ERROR) + document.getNumErrors(libsbml.LIBSBML_SEV_FATAL) == 0:
        document.checkConsistency()
    problems = [document.getError(i) for i in range(document.getNumErrors())]
    wrong = [p for p in problems if p.getSeverity() >= libsbml.LIBSBML_SEV_ERROR and p.getPackage() in ("", "core")]
    if wrong:
        lines = [f"line {p.getLine()}: {_essence(p)}" for p in wrong[:MOST_PROBLEMS]]
        raise ModelError.of(lines, where=f"{where} is no valid SBML")


def _essence(problem: libsbml.SBMLError) -> str:
    """What is wrong here: libSBML quotes the specification first, and says it last."""
    lines = [line.strip() for line in problem.getMessage().splitlines() if line.strip()]
    return f"{problem.getShortMessage()}: {lines[-1]}" if lines else str(problem.getShortMessage())


def _unsupported(document: libsbml.SBMLDocument) -> Iterator[tuple[str, str, str]]:
    """Problem, element and advice for everything that would change the trajectories and cannot be read."""
    for i in range(document.getNumPlugins()):
        package = document.getPlugin(i).getPackageName()
        if document.getPackageRequired(package) and package not in HARMLESS:
            hint = "flatten the model first" if package == "comp" else "a file without it"
            yield f"the package '{package}' is not supported", f"package {package}", hint
    for i in range(document.getNumUnknownPackages()):
        package = document.getUnknownPackagePrefix(i)
        if document.getPackageRequired(package):
            yield f"the package '{package}' is not supported", f"package {package}", "a file without it"
    model = document.getModel()
    for i in range(model.getNumRules()):
        rule = model.getRule(i)
        if rule.isAlgebraic():
            name = rule.getIdAttribute() or rule.getMetaId() or f"number {i + 1}"
            yield "algebraic rules are not supported", f"algebraic rule {name}", "solve it for one quantity by hand"
    for i in range(model.getNumReactions()):
        reaction = model.getReaction(i)
        where = f"reaction {reaction.getId()}"
        if reaction.isSetFast() and reaction.getFast():
            yield "fast reactions are not supported", where, "a large rate, or its equilibrium as an assignment rule"
        if not reaction.isSetKineticLaw() or reaction.getKineticLaw().getMath() is None:
            yield "the reaction has no kinetic law", where, "a kinetic law"
