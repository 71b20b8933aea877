"""Read a model file, with what it extends and with values files laid over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mscpkpd.errors import ModelError
from mscpkpd.model import Model, check
from mscpkpd.modelfile import rows
from mscpkpd.modelfile.chains import check_chains, expand, resize
from mscpkpd.modelfile.extending import TABLES, Layers, layered
from mscpkpd.modelfile.findings import ROWS, Findings
from mscpkpd.modelfile.library import Table, library_path, locate, models
from mscpkpd.modelfile.overlays import Values, kinds_of, lay_values, overlays_of, sufficient_overlays, usable_overlays

__all__ = ["Declaration", "declaration", "load_model", "overlays_besides"]

SCALARS = ("format", "name", "title", "about", "time", "extend", "without", "values", "reference", "conserved")
MODEL_KEYS = (*SCALARS, *TABLES)
SBML_ENDINGS = (".xml", ".sbml")


def load_model(
    name_or_path: str | os.PathLike[str], values: Values | None = None, *, stages: Mapping[str, int] | None = None
) -> Model:
    """Read a model and check it.

    Parameters
    ----------
    name_or_path : str or path
        A name of the shipped library (`models`), or the path of a model file; one that ends with .xml or .sbml is SBML.
    values : str, path or sequence of them, optional
        Values files: names that are shipped for the model (`values_of`) or paths. Several, as a sequence or as one
        text with commas, are laid over the model from left to right.
    stages : mapping of str to int, optional
        Another number of stages for chains of the model.

    Returns
    -------
    Model
        The checked model. Its `notices` name formulas whose unit has the right dimension and another size.

    Raises
    ------
    ModelError
        All findings of the file together, each with table and key; or that numbers are missing, which `values=` gives.
    UnknownName
        For a name that is not in the library; the message holds the closest ones.

    Notes
    -----
    The format is a convention of this package: every number stands with its unit, prior, source and evidence, and
    each rate, route and output is checked for its unit. A model that extends another, has chains of states or takes
    values from a file is checked as a whole.

    Examples
    --------
    >>> load_model("two_functional_compartments", values="mouse").parameter("k_B").value
    60.0
    """
    path = locate("model", name_or_path, [library_path() / "pkpd"], models())
    if path.suffix.casefold() in SBML_ENDINGS:
        return _from_sbml(path, values, stages)
    layers = layered(path)
    given = "" if values is None else lay_values(layers, values)
    place = _place(path, layers)
    findings = Findings(place)
    resize(layers.raw, stages or {}, findings)
    chains = expand(layers.raw, findings)
    model = replace(_model(layers, given, findings), source_path=place)
    findings.stop()
    check_chains(chains, model, findings)
    findings.stop()
    notices = check(model, shipped=library_path() in path.resolve().parents)
    return replace(model, source_path=str(path), notices=notices)


def _place(path: Path, layers: Layers) -> str:
    """Name every file in which a row that is wrong may stand."""
    values = layers.raw.get("values")
    others = [f"extends {', '.join(layers.chain[1:])}"] if layers.chain[1:] else []
    others += [f"values {values}"] if isinstance(values, str) and values else []
    return f"{path} ({'; '.join(others)})" if others else str(path)


def _from_sbml(path: Path, values: Values | None, stages: Mapping[str, int] | None) -> Model:
    if values is not None or stages:
        hint = "save_model(load_model(FILE), 'model.toml'), and lay values over that file"
        raise ModelError("values and stages go with model files in TOML, not with SBML", where=str(path), hint=hint)
    from mscpkpd.sbml.reading import read_sbml

    return read_sbml(path)


@dataclass(frozen=True)
class Declaration:
    """What a model file says before any numbers are laid over it.

    Attributes
    ----------
    name, title, about : str
        As in the file.
    parameters : dict of str to dict
        Raw rows of the table of parameters.
    without_value : tuple of str
        Parameters that take their number from a values file.
    overlays : tuple of str
        Values files that are shipped for the model and those that it extends, and that it can be loaded with.
    sufficient : tuple of str
        Those of them with which the model can be loaded: each gives every missing number, or does so as a pair with a
        comma between, where none does alone.
    """

    name: str
    title: str
    about: str
    parameters: dict[str, Table]
    without_value: tuple[str, ...]
    overlays: tuple[str, ...]
    sufficient: tuple[str, ...] = ()


def declaration(name_or_path: str | os.PathLike[str]) -> Declaration:
    """Read what a model declares, also one whose numbers are in values files; formulas are not checked.

    Parameters
    ----------
    name_or_path : str or path
        As for `load_model`.

    Raises
    ------
    ModelError
        For a file that cannot be read.
    UnknownName
        For a name that is not in the library.
    """
    path = locate("model", name_or_path, [library_path() / "pkpd"], models())
    if path.suffix.casefold() in SBML_ENDINGS:
        model = _from_sbml(path, None, None)
        numbers: dict[str, Table] = {row.name: {"value": row.value, "unit": row.unit} for row in model.parameters}
        return Declaration(model.name, model.title, model.about, numbers, (), ())
    layers = layered(path)
    title, about = (str(layers.raw.get(key, "")) for key in ("title", "about"))
    missing = _without_value(layers)
    sufficient = sufficient_overlays(layers.chain, missing)
    overlays = usable_overlays(layers.chain, sufficient) if missing else overlays_of(layers.chain)
    return Declaration(layers.chain[0], title, about, _parameter_rows(layers), missing, overlays, sufficient)


def overlays_besides(name_or_path: str | os.PathLike[str], values: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the shipped values files that a values file needs below it: mouse, rat, ... for that of a product.

    Parameters
    ----------
    name_or_path : str or path
        The model, as for `load_model`.
    values : str or path
        The values file, as for `load_model`.

    Returns
    -------
    tuple of str
        Each is enough; the one of the same name alone, where there is one. Empty where none is needed or none helps.

    Raises
    ------
    ModelError
        For a file that cannot be read or used.
    UnknownName
        For a name that is not in the library.
    """
    layers = layered(locate("model", name_or_path, [library_path() / "pkpd"], models()))
    lay_values(layers, values)
    missing = _without_value(layers)
    found = sufficient_overlays(layers.chain, missing) if missing else ()
    same = Path(values).stem
    return (same,) if same in found else found


def _parameter_rows(layers: Layers) -> dict[str, Table]:
    table = layers.raw.get("parameters")
    return {name: row for name, row in table.items() if isinstance(row, dict)} if isinstance(table, dict) else {}


def _without_value(layers: Layers) -> tuple[str, ...]:
    return tuple(name for name, row in _parameter_rows(layers).items() if "value" not in row)


# ---- raw content to a Model --------------------------------------------------------------------------------------


def _model(layers: Layers, given: str, findings: Findings) -> Model:
    raw = layers.raw
    findings.keys(raw, MODEL_KEYS)
    findings.format(raw)
    for table in ("states", "rates"):
        if table not in raw:
            hint = f"[{table}] with a row lung = {ROWS[table]}"
            findings.add(f"there is no table [{table}]", expected=f"a table [{table}]", hint=hint)
    time = findings.text(raw, "time", default="h")
    parameters = rows.read_parameters(raw, findings)
    _find_missing(layers, given, findings)
    return Model(
        name=findings.text(raw, "name", default=layers.chain[0]),
        title=findings.text(raw, "title"),
        about=findings.text(raw, "about"),
        time=time,
        parameters=parameters,
        states=tuple(rows.read_states(raw, findings)),
        routes=tuple(rows.read_routes(raw, time, findings)),
        derived=tuple(rows.read_derived(raw, findings)),
        rates=tuple(rows.read_rates(raw, findings)),
        outputs=tuple(rows.read_outputs(raw, findings)),
        variability=tuple(rows.read_variability(raw, findings)),
        covariance=tuple(rows.read_covariance(raw, findings)),
        references=findings.texts(raw, "reference"),
        values_name=findings.text(raw, "values"),
        conserved=findings.texts(raw, "conserved"),
    )


def _besides(chain: tuple[str, ...], overlay: str, given: str) -> str:
    """Name an overlay together with those given files that are of another kind."""
    kinds = {kind for one in overlay.split(",") for kind in kinds_of(chain, one)}
    kept = [one for one in given.split(",") if one and not kinds_of(chain, one) & kinds]
    return ",".join([overlay, *kept])


def _find_missing(layers: Layers, given: str, findings: Findings) -> None:
    """Note the parameters without a value, and the values files that give them besides those that are given."""
    names = _without_value(layers)
    if not names:
        return
    overlays = sufficient_overlays(layers.chain, names) or overlays_of(layers.chain)
    hints = dict.fromkeys(f"values='{_besides(layers.chain, overlay, given)}'" for overlay in overlays)
    hint = " or ".join(hints) or "value = ... in the row"
    expected = "a value in the row or in a values file"
    verb = "has" if len(names) == 1 else "have"
    findings.add(f"{', '.join(names)} {verb} no value", "[parameters]", expected=expected, hint=hint)
