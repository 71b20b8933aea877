r"""A model as a LaTeX document: equations and the table of parameters, assumed numbers first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mscpkpd.expressions import Expression
from mscpkpd.expressions.latex import latex_name, latex_number, latex_terms, latex_unit, to_latex
from mscpkpd.model.description import Model
from mscpkpd.model.rows import Route
from mscpkpd.parameters import Parameter

__all__ = ["latex_document", "latex_equation"]

LINE = 76  # letters of an equation that fit on a line of the page
SPECIAL = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{amsmath}
\usepackage{array}
\usepackage{longtable}
\usepackage[a4paper,margin=18mm]{geometry}
\setlength{\parindent}{0pt}
\allowdisplaybreaks
\begin{document}"""


def latex_document(model: Model) -> str:
    r"""Return a model as a document that LaTeX compiles.

    Parameters
    ----------
    model : Model
        A checked model.

    Returns
    -------
    str
        From ``\documentclass`` to ``\end{document}``; needs the packages amsmath, geometry and longtable.
    """
    return "\n".join(_lines(model)) + "\n"


def latex_equation(left: str, right: Expression, unit: str = "", line: int = LINE) -> str:
    """Return ``left = right`` for a display, broken between terms where it is long.

    Parameters
    ----------
    left : str
        Left side, in LaTeX.
    right : Expression
        Right side.
    unit : str
        Unit in words of the model file; none for 1.
    line : int
        Letters on a line.
    """
    written = latex_unit(unit)
    end = rf" \quad \left[{written}\right]" if written else ""
    whole = to_latex(right)
    if _length(whole) + _length(left) <= line:
        return f"{left} = {whole}{end}"
    rows = list(_rows(latex_terms(right), line - _length(left)))
    if len(rows) == 1:
        return f"{left} = {whole}{end}"
    body = " \\\\\n  &\\quad ".join(rows)
    return f"\\begin{{aligned}}\n  {left} = {{}}& {body}{end}\n\\end{{aligned}}"


def _rows(terms: Sequence[str], line: int) -> Iterator[str]:
    """Terms of a sum, as many on a line as fit."""
    row = ""
    for piece in (piece for term in terms for piece in _pieces(term, line)):
        text = piece if row or not piece.startswith("+ ") else piece[2:]
        if row and _length(row) + _length(text) > line:
            yield row
            row = piece
        else:
            row = f"{row} {text}".strip()
    yield row


def _pieces(term: str, line: int) -> Iterator[str]:
    """A term, or the factors of one that is too long for a line."""
    if _length(term) <= line:
        yield term
        return
    depth, start = 0, 0
    for found in re.finditer(r"\\left|\\right|[{}]|\\cdot", term):
        depth += {"{": 1, r"\left": 1, "}": -1, r"\right": -1}.get(found[0], 0)
        if found[0] == r"\cdot" and depth == 0:
            yield term[start : found.start()].strip()
            start = found.start()
    yield term[start:]


def _length(latex: str) -> int:
    """About how many letters a formula shows; of a fraction, the longer part counts, which is close to half."""
    shown = latex.replace(r"\_", "w").replace(r"\cdot", "xx")
    shown = re.sub(r"\\(mathrm|left|right|frac|begin|end)|[{}_^ ]", "", shown)
    return len(re.sub(r"\\[a-zA-Z]+", "x", shown))


def _lines(model: Model) -> Iterator[str]:
    values = f" (values: {model.values_name})" if model.values_name else ""
    yield PREAMBLE
    yield rf"\section*{{{_plain(model.title or model.name)}}}"
    yield rf"\texttt{{{_plain(model.name)}}}{_plain(values)}. {_plain(model.about)}"
    yield from _assumed(model.parameters)
    yield rf"\subsection*{{Equations, time in {_plain(model.time)}}}"
    for state, rate in model.rates:
        left = rf"\frac{{\mathrm{{d}} {latex_name(state)}}}{{\mathrm{{d}} t}}"
        yield from _display(latex_equation(left, rate, _per(model.units[state], model.time)))
    yield from _starts(model)
    if model.derived:
        yield r"\subsection*{Derived quantities}"
        for row in model.derived:
            yield from _display(latex_equation(latex_name(row.name), row.expression, row.unit))
    yield from _routes(model.routes)
    if model.outputs:
        yield r"\subsection*{Outputs}"
        for output in model.outputs:
            noise = _plain(str(output.noise or "no noise model"))
            yield rf"\par\texttt{{{_plain(output.name)}}}: {_plain(output.about)}; {noise}"
            if str(output.expression) != output.name:  # else it is the state of this name
                yield from _display(latex_equation(latex_name(output.name), output.expression, output.unit))
    yield from _states(model)
    yield from _parameters(model.parameters)
    if model.variability:
        yield r"\subsection*{Variability, SD on the transformed scale}"
        rows = [(f"${latex_name(v.parameter)}$", f"${latex_number(v.sd)}$", v.level, v.evidence, _plain(v.source))
                for v in model.variability]  # fmt: skip
        yield from _table("llllp{3.2in}", ("parameter", "SD", "between", "evidence", "source"), rows)
    if model.references:
        yield "\\subsection*{References}\n\\raggedright\n" + _plain(", ".join(model.references))
    yield r"\end{document}"


def _display(equation: str) -> Iterator[str]:
    yield rf"\[ {equation} \]"


def _per(unit: str, time: str) -> str:
    return f"{unit}/{time}"


def _assumed(parameters: Sequence[Parameter]) -> Iterator[str]:
    rows = [(f"${latex_name(p.name)}$", _quantity(p), _range(p), _plain(p.source))
            for p in parameters if p.evidence == "assumed"]  # fmt: skip
    if rows:
        yield rf"\subsection*{{Assumed numbers ({len(rows)} of {len(parameters)}): no source known, check them first}}"
        yield from _table("lllp{3.3in}", ("symbol", "value", "range", "reason"), rows)


def _starts(model: Model) -> Iterator[str]:
    starts = [f"{latex_name(row.name)}(0) = {to_latex(row.start)}" for row in model.states if row.start is not None]
    if starts:
        yield "At time 0: " + ", ".join(f"${start}$" for start in starts) + "; all others 0."
    else:
        yield "All states start at 0."


def _routes(routes: Sequence[Route]) -> Iterator[str]:
    if not routes:
        return
    yield r"\subsection*{Routes}"
    yield r"\begin{itemize}"
    for row in routes:
        shares = ", ".join(f"${latex_name(state)}$ receives ${_breakable(share)}$" for state, share in row.into)
        viable = rf"; $\mathrm{{viable}} = {latex_name(row.viable)}$" if row.viable else ""
        extras = {"lag": row.lag, "duration": row.duration, "rate": row.rate}
        more = "".join(f"; {key} ${to_latex(value)}$" for key, value in extras.items() if value is not None)
        yield rf"\item \texttt{{{_plain(row.name)}}}: {shares}{viable}{more}"
    yield r"\end{itemize}"


def _breakable(formula: Expression) -> str:
    """A formula that may go on in the next line of a text: LaTeX breaks none between growing brackets."""
    return to_latex(formula).replace(r"\left(", "(").replace(r"\right)", ")")


def _states(model: Model) -> Iterator[str]:
    yield r"\subsection*{States}"
    rows = [(f"${latex_name(row.name)}$", _unit(row.unit), _plain(row.about)) for row in model.states]
    yield from _table("llp{4.4in}", ("symbol", "unit", "meaning"), rows)


def _parameters(parameters: Sequence[Parameter]) -> Iterator[str]:
    yield r"\subsection*{Parameters}"
    yield r"\footnotesize"
    head = ("symbol", "value", "prior", "evidence", "meaning", "source")
    rows = [
        (f"${latex_name(p.name)}$", _quantity(p), _plain(str(p.prior)), p.evidence, _plain(p.about), _source(p))
        for p in parameters
    ]
    yield from _table("p{0.6in}p{0.9in}p{0.95in}p{0.55in}p{1.3in}p{1.6in}", head, rows)
    yield r"\normalsize"


def _quantity(row: Parameter) -> str:
    off = " (off)" if row.is_off else ""
    return f"${latex_number(row.value)}${'' if row.unit == '1' else ' ' + _unit(row.unit)}{off}"


def _range(row: Parameter) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"${latex_number(row.low)}$ to ${latex_number(row.high)}$"


def _source(row: Parameter) -> str:
    return _plain(f"{row.source} ({row.note})" if row.note else row.source)


def _unit(unit: str) -> str:
    return f"${latex_unit(unit)}$" if latex_unit(unit) else "1"


def _table(columns: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    columns = re.sub(r"p(?=\{)", r">{\\raggedright\\arraybackslash}p", columns)
    yield rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}"
    yield r"\hline " + " & ".join(rf"\textbf{{{name}}}" for name in head) + r" \\ \hline \endhead"
    yield from (" & ".join(row) + r" \\" for row in rows)
    yield r"\hline"
    yield r"\end{longtable}"


def _plain(text: str) -> str:
    """Text that LaTeX shows as it is, with places where long names may break."""
    shown = "".join(SPECIAL.get(sign, sign) for sign in text)
    return shown.replace(r"\_", r"\_\allowbreak{}")
