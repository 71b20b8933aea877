"""What a model says in words: readable text, LaTeX, Markdown, and how well its numbers are known."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from mscpkpd import cli
from mscpkpd.expressions import parse
from mscpkpd.expressions.latex import latex_name, latex_number, latex_terms, latex_unit, to_latex
from mscpkpd.model.latex import latex_document
from mscpkpd.model.markdown import markdown_page
from mscpkpd.modelfile import declaration, load_model, models
from mscpkpd.modelfile.provenance import provenance

CORE = "two_functional_compartments"
LIBRARY = Path(__file__).parents[1] / "models"


@cache
def loaded(name):
    """A model of the library with its first sufficient values file, where it needs one."""
    declared = declaration(name)
    return load_model(name, declared.sufficient[0] if declared.without_value else None)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def command(*words):
        status = cli.run([str(word) for word in words])
        done = capsys.readouterr()
        return status, done.out, done.err

    return command


# ---- names, numbers, units


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("k_L", "k_{L}"),
        ("sigma_img", r"\sigma_{img}"),
        ("rho_L", r"\rho_{L}"),
        ("eps_bed", r"\varepsilon_{bed}"),
        ("lung", r"\mathrm{lung}"),
        ("label_lung", r"\mathrm{label\_lung}"),
        ("lung_1", r"\mathrm{lung}_{1}"),
        ("EC50_P", r"\mathrm{EC50}_{P}"),
        ("q0", "q_{0}"),
        ("I10_0", "I_{10,0}"),
        ("Smax", r"\mathrm{Smax}"),
        ("m", "m"),
        ("t", "t"),
    ],
)
def test_names_become_symbols(name, latex):
    assert latex_name(name) == latex


@pytest.mark.parametrize(
    ("number", "latex"),
    [
        (2.0, "2"),
        (0.0289, "0.0289"),
        (1e6, "10^{6}"),
        (1.4e8, r"1.4 \times 10^{8}"),
        (2.5e-7, r"2.5 \times 10^{-7}"),
        (28200.0, "28200"),
        (-3.0, "-3"),
    ],
)
def test_numbers(number, latex):
    assert latex_number(number) == latex


def test_units():
    assert latex_unit("pg/cell/h") == r"\mathrm{pg/cell/h}"
    assert latex_unit("cells**2") == r"\mathrm{cells^{2}}"
    assert latex_unit("%") == r"\mathrm{\%}"
    assert latex_unit("1") == ""


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        ("-k_L*lung/(1 + x**2)", r"-\frac{k_{L} \cdot \mathrm{lung}}{1 + x^{2}}"),
        ("a - (b - c)", r"a - \left(b - c\right)"),
        ("a - (-b)", r"a - \left(-b\right)"),
        ("(a + b)*c", r"\left(a + b\right) \cdot c"),
        ("(-a)**2", r"\left(-a\right)^{2}"),
        ("-a**2", "-a^{2}"),
        ("a/(b/c)", r"\frac{a}{\frac{b}{c}}"),
        ("(a/b)**2", r"\left(\frac{a}{b}\right)^{2}"),
        ("hill(x, e, h)", r"\frac{x^{h}}{x^{h} + e^{h}}"),
        ("hill(x, e, 1)", r"\frac{x}{x + e}"),
        ('to(x/V, "ng/mL")', r"\left[\frac{x}{V}\right]_{\mathrm{ng/mL}}"),
        ("where(t <= D, a, b)", r"\begin{cases} a & \mathrm{if}\ t \le D \\ b & \mathrm{otherwise} \end{cases}"),
        ("exp(-k*t)", r"\exp\left(-k \cdot t\right)"),
        ("log(x) + sqrt(y)*abs(z)", r"\ln\left(x\right) + \sqrt{y} \cdot \left|z\right|"),
        ("max(a, b, 0)", r"\max\left(a, b, 0\right)"),
    ],
)
def test_formulas(formula, latex):
    assert to_latex(parse(formula)) == latex


def test_terms_of_a_sum_join_to_the_whole():
    formula = parse("-a + b*(c - d) - (e + f) - g")
    assert latex_terms(formula) == ("-a", r"+ b \cdot \left(c - d\right)", r"- \left(e + f\right)", "- g")


# ---- the same value: LaTeX read back by rules of its own


def closing(text, start):
    """Position of the brace that closes the one at `start`."""
    depth = 0
    for k in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[k], 0)
        if depth == 0:
            return k
    raise AssertionError(text[start:])


def opened(text, command, form):
    """Replace a command with braced arguments."""
    while (at := text.find(command)) >= 0:
        arguments, end = [], at + len(command)
        while end < len(text) and text[end] == "{" and len(arguments) < form.count("{}"):
            stop = closing(text, end)
            arguments.append(text[end + 1 : stop])
            end = stop + 1
        text = text[:at] + form.format(*arguments) + text[end:]
    return text


def read_back(latex, names):
    """A formula in LaTeX as Python; the names are known."""
    for k, name in enumerate(sorted(names, key=lambda name: -len(latex_name(name)))):
        latex = re.sub(rf"(?<![A-Za-z\\{{_]){re.escape(latex_name(name))}(?![A-Za-z_{{])", f" v{k} ", latex)
        latex = re.sub(rf"(?<=[{{]){re.escape(latex_name(name))}(?![A-Za-z_{{])", f" v{k} ", latex)
    latex = re.sub(r"\\left\[(.*?)\\right\]_\{\\mathrm\{[^}]*\}\}", r"(\1)", latex)
    latex = opened(latex, r"\frac", "(({})/({}))")
    latex = opened(latex, r"\sqrt", "(({})**0.5)")
    latex = opened(latex, "^", "**({})")
    replaced = {r"\cdot": "*", r"\times": "*", r"\left(": "(", r"\right)": ")", r"\ln": "log", r"\exp": "exp",
                r"\max": "max", r"\min": "min", r"\left|": "abs(", r"\right|": ")"}  # fmt: skip
    for sign, python in replaced.items():
        latex = latex.replace(sign, python)
    return latex


def reference(formula):
    """The same formula in Python, units left aside."""
    text = re.sub(r'to\((.*?), "[^"]*"\)', r"(\1)", formula)
    return text.replace("hill(", "_hill(")


def all_formulas():
    found = {}
    for name in models():
        model = loaded(name)
        rows = [rate for _, rate in model.rates] + [row.expression for row in (*model.derived, *model.outputs)]
        rows += [share for route in model.routes for _, share in route.into]
        found |= {row.text: row for row in rows if "where(" not in row.text}
    return found


def test_latex_of_every_formula_of_the_library_has_the_value_of_the_formula():
    functions = {"exp": math.exp, "log": math.log, "max": max, "min": min, "abs": abs, "sqrt": math.sqrt,
                 "_hill": lambda x, e, h: x**h / (x**h + e**h)}  # fmt: skip
    checked = 0
    for text, formula in all_formulas().items():
        names = sorted(formula.names, key=lambda name: -len(latex_name(name)))
        values = {name: 1.1 + 0.37 * k for k, name in enumerate(names)}
        back = read_back(to_latex(formula), names)
        try:
            expected = eval(reference(text), functions, values)  # noqa: S307 - formulas of our own library
        except (ValueError, TypeError):
            continue  # log of a negative number at these values
        got = eval(back, functions, {f"v{k}": values[name] for k, name in enumerate(names)})  # noqa: S307 - as above
        if isinstance(expected, complex):
            continue
        assert got == pytest.approx(expected, rel=1e-12), (text, back)
        checked += 1
    assert checked > 250


# ---- pages


@pytest.mark.parametrize("name", models())
def test_every_model_can_be_written(name):
    model = loaded(name)
    latex, markdown = latex_document(model), markdown_page(model)
    assert latex.startswith(r"\documentclass")
    assert latex.endswith("\\end{document}\n")
    plain = re.sub(r"\\[{}]", "", latex)
    assert plain.count("{") == plain.count("}")
    assert markdown.count("\n$$\n") % 2 == 0
    assert markdown.count("\n$$\n") >= 2 * len(model.states)
    for row in model.parameters:
        assert f"${latex_name(row.name)}$ & " in latex
        assert f"| `{row.name}` | " in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


@pytest.mark.parametrize("write", [str, latex_document, markdown_page])
def test_what_is_assumed_stands_first(write):
    model = loaded(CORE)
    text = write(model)
    assumed = [row for row in model.parameters if row.evidence == "assumed"]
    assert f"Assumed numbers ({len(assumed)} of {len(model.parameters)})" in text
    positions = [text.index(part) for part in ("Assumed numbers", "Equations", "Outputs", "Parameters")]
    assert positions == sorted(positions)
    first = text[positions[0] : positions[1]]
    for row in assumed:
        assert (latex_name(row.name) if write is latex_document else row.name) in first


def test_text_signs_are_shown_as_they_are():
    from dataclasses import replace

    odd = replace(loaded("sepsis_reynolds"), about="50 % of A_B & C #1 {x} ~ $5 < 6 \\ ^", title="a_b | c")
    assert r"50 \% of A\_\allowbreak{}B \& C \#1 \{x\} \textasciitilde{} \$5 \textless{} 6" in latex_document(odd)
    assert r"# a\_b \| c" in markdown_page(odd)


def test_long_equations_are_broken_between_terms():
    document = latex_document(loaded(CORE))
    equation = next(part for part in document.split(r"\[") if r"\mathrm{label\_rest}}{\mathrm{d} t}" in part)
    assert equation.count(r"\\") >= 1
    assert r"\begin{aligned}" in equation


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("name", [CORE, "cart_expansion", "endotoxaemia_human", "pbk"])
def test_latex_compiles(name, tmp_path):
    (tmp_path / "model.tex").write_text(latex_document(loaded(name)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "model.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "model.pdf").stat().st_size > 10_000
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(wide, default=0) < 50, "something sticks out of the page"  # the margin


# ---- provenance


def rows_of_files():
    """Numbers of the library read without the code under test: (file's model, name, value, source, evidence)."""
    for file in sorted([*LIBRARY.glob("pkpd/*.toml"), *LIBRARY.glob("values/*/*.toml")]):
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        model = file.stem if file.parent.name == "pkpd" else file.parent.name
        for name, row in raw.get("parameters", {}).items():
            if "value" in row:
                yield model, (name, float(row["value"]), row.get("source"), row["evidence"])
        for name, row in raw.get("variability", {}).items():
            for level in ("subject", "occasion", "lot", "donor", "site", "study"):
                if level in row:
                    yield model, (f"sd {name} {level}", float(row[level]), row.get("source"), row["evidence"])


def test_every_number_of_the_library_is_counted_once():
    listed = set(rows_of_files())
    counted = {row.name: row for row in provenance()}
    everything = {number for _, number in listed}
    assert counted["library"].total == len(everything)
    expected = Counter(evidence for *_, evidence in everything)
    assert {word: n for word, n in counted["library"].counts.items() if n} == dict(expected)
    for model in models():
        assert counted[model].total == len({number for name, number in listed if name == model}), model


def test_inherited_numbers_are_not_repeated():
    counted = {row.name: row.total for row in provenance()}
    assert counted["turnover_loss_inhibited"] == 0  # it takes every number from the model that it extends
    assert counted["library"] <= sum(total for name, total in counted.items() if name != "library")


# ---- the shell


def test_models_prints_latex_and_markdown(shell):
    status, out, _ = shell("models", CORE, "--values", "mouse", "--latex")
    assert (status, out) == (0, latex_document(load_model(CORE, "mouse")))
    status, out, _ = shell("models", CORE, "--values", "mouse", "--markdown")
    assert (status, out) == (0, markdown_page(load_model(CORE, "mouse")))
    status, out, _ = shell("models", CORE, "--values", "mouse", "--markdown", "--json")
    assert json.loads(out)["text"].startswith("# MSC and their PGE2")


def test_models_shows_several_values_files(shell):
    status, out, _ = shell("models", "two_functional_mediator", "--values", "mouse,tsg6")
    assert status == 0
    assert out.startswith("two_functional_mediator (values: mouse")
    assert "tsg6" in out.splitlines()[0]


def test_models_counts_the_evidence(shell):
    status, out, _ = shell("models", "--provenance")
    assert status == 0
    library = next(line for line in out.splitlines() if line.startswith("library"))
    counted = provenance()[-1]
    assert [int(word) for word in library.split()[1:]] == [*counted.counts.values(), counted.total]
    content = json.loads(shell("models", "--provenance", "--json")[1])
    assert content["library"] == {**counted.counts, "total": counted.total}
    assert {row["name"] for row in content["models"]} == set(models())


def test_json_of_a_model_names_what_is_assumed(shell):
    content = json.loads(shell("models", CORE, "--values", "mouse", "--json")[1])
    assert content["assumed"] == [p.name for p in load_model(CORE, "mouse").parameters if p.evidence == "assumed"]
    assert {"name": "E", "is": "hill(C_L, EC50_P, h_P)", "unit": "1"} in content["derived"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((CORE, "--latex"), "--values mouse"),
        (("--latex",), "--latex without a model. Try: mscpkpd models NAME --latex"),
        ((CORE, "--latex", "--markdown"), "--latex and --markdown together"),
        ((CORE, "--provenance"), "--provenance counts the whole library"),
        (("ryoncil", "--markdown"), "ryoncil is no model"),
        (("sepsis_reynolds", "--structure", "picture.pdf"), "a file that ends with .png"),
        (("sepsis_reynolds", "--structure", "none/picture.png"), "does not exist"),
    ],
)
def test_what_cannot_be_shown_is_refused(shell, words, message):
    status, out, err = shell("models", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
