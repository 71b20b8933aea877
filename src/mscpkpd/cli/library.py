"""``mscpkpd models`` and ``mscpkpd new``: what is there to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mscpkpd.cli.console import say, show_json, show_table
from mscpkpd.cli.options import Json, Values
from mscpkpd.cli.words import in_shell_words
from mscpkpd.errors import UsageError
from mscpkpd.files import check_place, whole_file

if TYPE_CHECKING:
    from mscpkpd.model import Model
    from mscpkpd.modelfile import Declaration

__all__ = ["models", "new"]


def models(
    name: Annotated[str | None, typer.Argument(help="A shipped name, or a model file.")] = None,
    *,
    values: Values = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the model as a LaTeX document.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the model as Markdown with equations.")] = False,
    structure: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw compartments and arrows.")] = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Count numbers of the library by evidence.")] = False,
    as_json: Json = False,
) -> int:
    """List the library, or show one model with its equations, units, priors and sources."""
    _check_together(name, latex=latex, markdown=markdown, structure=structure is not None, provenance=provenance)
    if provenance:
        _show_provenance(as_json=as_json)
        return 0
    if name is None:
        _show_library(as_json=as_json)
        return 0
    from mscpkpd.modelfile import declaration, load_model, load_regimen, regimens
    from mscpkpd.responder import load_responder, responders

    another_form = latex or markdown or structure is not None
    if name in (*regimens(), *responders()):
        if another_form:
            hint = f"mscpkpd models {name}"
            raise UsageError(
                f"{name} is no model", expected="a model behind --latex, --markdown, --structure", hint=hint
            )
        text = str(load_regimen(name) if name in regimens() else load_responder(name))
        show_json({"name": name, "text": text}) if as_json else say(text)
        return 0
    with in_shell_words("values"):
        declared = declaration(name)
        if declared.without_value and values is None and not another_form:
            show_json(_declared_json(declared)) if as_json else _show_declared(declared)
            return 0
        model = load_model(name, values)
    if structure is not None:
        _draw(model, structure, as_json=as_json)
    elif another_form:
        text = _written(model, latex=latex)
        show_json({"name": model.name, "text": text}) if as_json else say(text.rstrip("\n"))
    else:
        show_json(_model_json(model)) if as_json else say(str(model), "", f"Equations: {_solving(model)} engine")
    return 0


def new(
    kind: Annotated[str, typer.Argument(metavar="study|doses|cohort|model|schedules", help="What to fill in.")],
    file: Annotated[Path, typer.Argument(help="New file: .csv, .tsv, .xlsx for tables; .toml for the others.")],
    *,
    as_json: Json = False,
) -> int:
    """Write a commented template to fill in; it overwrites nothing."""
    from mscpkpd.templates import write_template

    path = write_template(kind, file)
    kept = {"doses": "; save it beside its study"}.get(kind, "")
    show_json({"file": str(path), "kind": kind}) if as_json else say(f"Wrote {path}{kept}. Then: mscpkpd check {path}")
    return 0


def _check_together(name: str | None, **asked: bool) -> None:
    """At most one form at a time; all but the counts are about one model."""
    options = [f"--{option}" for option, given in asked.items() if given]
    if len(options) > 1:
        raise UsageError(f"{' and '.join(options)} together", expected="one of them", hint=options[0])
    if name is None and options and options != ["--provenance"]:
        raise UsageError(f"{options[0]} without a model", hint=f"mscpkpd models NAME {options[0]}")
    if name is not None and options == ["--provenance"]:
        hint = f"mscpkpd models --provenance, or mscpkpd models {name} for the evidence of each number"
        raise UsageError("--provenance counts the whole library", expected="no name", hint=hint)


def _written(model: Model, *, latex: bool) -> str:
    from mscpkpd.model.latex import latex_document
    from mscpkpd.model.markdown import markdown_page

    return latex_document(model) if latex else markdown_page(model)


def _draw(model: Model, file: Path, *, as_json: bool) -> None:
    if file.suffix.casefold() != ".png":
        hint = f"--structure {file.stem or model.name}.png"
        raise UsageError(
            f"cannot draw into '{file}'", where="--structure", expected="a file that ends with .png", hint=hint
        )
    check_place(file)
    from mscpkpd.plots import save, structure

    with whole_file(file) as path:
        save(structure(model), path)
    show_json({"file": str(file)}) if as_json else say(f"Wrote {file}")


def _show_provenance(*, as_json: bool) -> None:
    from mscpkpd.modelfile.provenance import provenance

    counted = provenance()
    if as_json:
        show_json({
            "models": [{"name": row.name, **row.counts, "total": row.total} for row in counted[:-1]],
            "library": {**counted[-1].counts, "total": counted[-1].total},
        })  # fmt: skip
        return
    words = tuple(counted[-1].counts)
    rows = [(row.name, *(str(row.counts[word]) for word in words), str(row.total)) for row in counted]
    show_table(("model", *words, "total"), rows)
    say(
        "Numbers in the files of each model and its values; what a model inherits is counted where it stands, and a",
        "number that stands in several files once in the library.",
        "read: in the named source; derived: computed from read numbers; recalled: from memory, to be verified;",
        "review: stated by a review; assumed: no source known, with a range.",
    )


def _show_library(*, as_json: bool) -> None:
    listed = _library()
    if as_json:
        show_json(listed)
        return
    show_table(
        ("model", "values", "title"), [(m["name"], ", ".join(m["values"]), m["title"]) for m in listed["models"]]
    )
    show_table(("regimen", "doses", "title"), [(r["name"], str(r["doses"]), r["title"]) for r in listed["regimens"]])
    show_table(("responder", "title"), [(row["name"], row["title"]) for row in listed["responders"]])
    say("mscpkpd models NAME [--values V] shows one of them. Files: " + listed["folder"])


def _library() -> dict[str, Any]:
    from mscpkpd.modelfile import declaration, library_path, load_regimen, models, regimens
    from mscpkpd.responder import load_responder, responders

    given = [load_regimen(name) for name in regimens()]
    return {
        "models": [{"name": d.name, "title": d.title, "values": list(d.overlays)} for d in map(declaration, models())],
        "regimens": [{"name": r.name, "title": r.about.split(". ")[0], "doses": len(r)} for r in given],
        "responders": [{"name": n, "title": load_responder(n).definition.title} for n in responders()],
        "folder": str(library_path()),
    }


def _show_declared(declared: Declaration) -> None:
    say(f"{declared.name}: {declared.title}")
    if declared.about:
        say(declared.about)
    count, overlays = len(declared.without_value), ", ".join(declared.overlays) or "none is shipped"
    say(f"\n{count} parameters have no value of their own. Values files: {overlays}.")
    say(*(f"  mscpkpd models {declared.name} --values {overlay}" for overlay in declared.overlays))
    say("show equations, units, priors and sources.\n" if declared.overlays else "")
    show_table(("parameter", "value", "unit", "meaning"), _declared_rows(declared))


def _declared_rows(declared: Declaration) -> Iterator[tuple[str, str, str, str]]:
    for name, row in declared.parameters.items():
        yield name, str(row.get("value", "-")), str(row.get("unit", "")), str(row.get("about", ""))


def _declared_json(declared: Declaration) -> dict[str, Any]:
    return {
        "name": declared.name,
        "title": declared.title,
        "about": declared.about,
        "values": list(declared.overlays),
        "without_value": list(declared.without_value),
        "parameters": declared.parameters,
    }


def _solving(model: Model) -> str:
    """How the equations of a model are solved, with all its states and routes."""
    from mscpkpd.engine.structure import solving_order
    from mscpkpd.engine.system import build_system

    return str(solving_order(build_system(model, model.state_names, model.route_names)))


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "about": model.about,
        "values": model.values_name,
        "time": model.time,
        "equations": _solving(model),
        "parameters": [
            {
                **{key: getattr(p, key) for key in ("name", "value", "unit", "about", "source", "evidence", "note")},
                "prior": str(p.prior),
                "low": p.low,
                "high": p.high,
            }
            for p in model.parameters
        ],
        "assumed": [p.name for p in model.parameters if p.evidence == "assumed"],
        "states": [
            {"name": row.name, "unit": row.unit, "about": row.about, "start": str(row.start or 0)}
            for row in model.states
        ],
        "derived": [{"name": row.name, "is": str(row.expression), "unit": row.unit} for row in model.derived],
        "rates": {name: str(rate) for name, rate in model.rates},
        "routes": {row.name: {state: str(share) for state, share in row.into} for row in model.routes},
        "outputs": [
            {"name": row.name, "is": str(row.expression), "unit": row.unit, "noise": str(row.noise or "")}
            for row in model.outputs
        ],
        "references": list(model.references),
        "notices": list(model.notices),
    }
