"""A model as a Markdown page with equations, as GitHub shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mscpkpd.expressions.latex import latex_name, to_latex
from mscpkpd.model.description import Model
from mscpkpd.model.latex import latex_equation
from mscpkpd.model.rows import Route
from mscpkpd.parameters import Parameter, number_text

__all__ = ["markdown_page"]

LINE = 88  # letters of an equation that fit on a page of GitHub


def markdown_page(model: Model) -> str:
    """Return a model as Markdown: assumed numbers, equations between ``$$``, outputs and the table of parameters.

    Parameters
    ----------
    model : Model
        A checked model.
    """
    return "\n".join(_lines(model)) + "\n"


def _lines(model: Model) -> Iterator[str]:
    values = f" (values: {model.values_name})" if model.values_name else ""
    yield f"# {_plain(model.title or model.name)}"
    yield f"\n`{model.name}`{_plain(values)}. {_plain(model.about)}"
    yield from _assumed(model.parameters)
    yield f"\n## Equations\n\nTime in {_plain(model.time)}."
    for state, rate in model.rates:
        left = rf"\frac{{\mathrm{{d}} {latex_name(state)}}}{{\mathrm{{d}} t}}"
        yield _display(latex_equation(left, rate, f"{model.units[state]}/{model.time}", LINE))
    yield from _starts(model)
    if model.derived:
        yield "\n## Derived quantities"
        for row in model.derived:
            yield _display(latex_equation(latex_name(row.name), row.expression, row.unit, LINE))
    yield from _routes(model.routes)
    if model.outputs:
        rows = [(_code(o.name), _code(str(o.expression)), _plain(o.unit), _code(str(o.noise or "")), _plain(o.about))
                for o in model.outputs]  # fmt: skip
        yield "\n## Outputs\n"
        yield from _table(("output", "is", "unit", "noise", "meaning"), rows)
    yield "\n## States\n"
    states = [(_code(row.name), _plain(row.unit), _plain(row.about)) for row in model.states]
    yield from _table(("state", "unit", "meaning"), states)
    yield from _parameters(model.parameters)
    if model.variability:
        yield "\n## Variability, SD on the transformed scale\n"
        spread = [(_code(v.parameter), number_text(v.sd), v.level, v.evidence, _plain(v.source))
                  for v in model.variability]  # fmt: skip
        yield from _table(("parameter", "SD", "between", "evidence", "source"), spread)
    if model.references:
        yield f"\n## References\n\n{', '.join(_code(key) for key in model.references)}"


def _display(equation: str) -> str:
    return f"\n$$\n{equation}\n$$"


def _assumed(parameters: Sequence[Parameter]) -> Iterator[str]:
    rows = [(_code(p.name), _quantity(p), _range(p), _plain(p.source)) for p in parameters if p.evidence == "assumed"]
    if rows:
        yield f"\n## Assumed numbers ({len(rows)} of {len(parameters)}): no source known, check them first\n"
        yield from _table(("parameter", "value", "range", "reason"), rows)


def _starts(model: Model) -> Iterator[str]:
    for row in model.states:
        if row.start is not None:
            yield _display(f"{latex_name(row.name)}(0) = {to_latex(row.start)}")
    started = any(row.start is not None for row in model.states)
    yield "\nAll other states start at 0." if started else "\nAll states start at 0."


def _routes(routes: Sequence[Route]) -> Iterator[str]:
    if not routes:
        return
    yield "\n## Routes\n\nWhat each state receives of a dose; `viable` is the viable fraction.\n"
    rows = []
    for row in routes:
        shares = "<br>".join(f"{_code(state)}: {_code(str(share))}" for state, share in row.into)
        keys = {"viable": row.viable, "lag": row.lag, "duration": row.duration, "rate": row.rate}
        extras = "<br>".join(f"{key} = {_code(str(value))}" for key, value in keys.items() if value is not None)
        rows.append((_code(row.name), shares, extras, _plain(row.about)))
    yield from _table(("route", "into", "with", "meaning"), rows)


def _parameters(parameters: Sequence[Parameter]) -> Iterator[str]:
    yield "\n## Parameters\n"
    rows = []
    for p in parameters:
        source = f"{p.source} ({p.note})" if p.note else p.source
        rows.append(
            (_code(p.name), _quantity(p), _range(p), _code(str(p.prior)), p.evidence, _plain(p.about), _plain(source))
        )
    yield from _table(("parameter", "value", "range", "prior", "evidence", "meaning", "source"), rows)


def _quantity(row: Parameter) -> str:
    off = " (off)" if row.is_off else ""
    return f"{number_text(row.value)}{'' if row.unit == '1' else ' ' + _plain(row.unit)}{off}"


def _range(row: Parameter) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{number_text(row.low)} to {number_text(row.high)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for sign in ("\\", "`", "*", "_", "<", ">", "|", "$", "#", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
