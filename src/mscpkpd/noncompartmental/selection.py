"""Which outputs and which subjects of a study are analysed."""

from __future__ import annotations

from dataclasses import replace

from mscpkpd.data import Study
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.noncompartmental.rules import Rules

__all__ = ["selected"]


def selected(study: Study, rules: Rules) -> tuple[Study, list[str]]:
    """Return the part of a study that was asked for.

    Parameters
    ----------
    study : Study
    rules : Rules
        With `outputs` and `routes`; None is all of them.

    Returns
    -------
    study : Study
        The same where nothing was asked for.
    notes : list of str
        Who was left out because another route was used beside.

    Raises
    ------
    UnknownName
        For an output or a route that the study does not have.
    UsageError
        If nothing is left.
    """
    if rules.outputs is None and rules.routes is None:
        return study, []
    outputs = _known("output", "outputs", rules.outputs, study.outputs)
    used = {subject.id: set(subject.regimen.routes) for subject in study.subjects}
    given = dict.fromkeys(route for subject in study.subjects for route in subject.regimen.routes)
    routes = _known("route", "routes", rules.routes, tuple(given))
    kept = {name for name, own in used.items() if rules.routes is None or (own and own <= routes)}
    mixed = [name for name, own in used.items() if rules.routes is not None and own & routes and not own <= routes]
    records = tuple(record for record in study.records if record.subject in kept and record.output in outputs)
    if not records:
        asked = ", ".join((*(rules.outputs or ()), *(rules.routes or ())))
        raise UsageError(f"nothing is left of {asked}", expected="values of subjects dosed by these routes alone")
    subjects = tuple(subject for subject in study.subjects if subject.id in kept)
    notes = [f"left out, because of doses by other routes beside: {', '.join(mixed)}"] if mixed else []
    return replace(study, subjects=subjects, records=records), notes


def _known(kind: str, where: str, asked: tuple[str, ...] | None, known: tuple[str, ...]) -> set[str]:
    for name in asked or ():
        if name not in known:
            raise UnknownName.among(kind, name, known, where=where)
    return set(known if asked is None else asked)
