"""Model files: what is read, what is refused with which advice, and that what is written reads back."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscpkpd.errors import ModelError, UnknownName, UsageError
from mscpkpd.modelfile import (
    declaration,
    load_model,
    load_regimen,
    models,
    overlays_besides,
    regimens,
    save_model,
    values_of,
)

GOOD = """
format = 1
name = "small"
title = "One state"
time = "h"
reference = ["lee_2009"]
conserved = ["lung"]

[parameters]
k_L = { value = 0.03, unit = "1/h", prior = "lognormal(0.03, 0.4)", about = "Loss", source = "A", evidence = "read" }
s   = { value = 0.3, unit = "1" }

[parameters.F_v]
value = 0.9
unit = "1"
prior = "logitnormal(0.9, 0.08)"
low = 0.7
high = 0.98
prior_source = ["lee_2009"]
prior_without = "beta(2, 1)"
note = "n"

[states]
lung = { unit = "cells", about = "Viable cells", start = "0" }

[routes]
iv = { into = { lung = "viable" }, viable = "F_v", lag = "30 min", duration = "0 h", about = "Vein" }

[derived]
half_life = { is = "log(2)/k_L", unit = "h" }

[rates]
lung = "-k_L*lung"

[outputs]
lung_cells = { is = "lung", unit = "cells", noise = "lognormal(s)", organ = "lung", method = "qPCR" }

[variability]
k_L = { subject = 0.5, lot = 0.2, source = "guess", evidence = "assumed" }
"""

VALUES = """
format = 1
name = "mine"
model = "small"
reference = ["toma_2009"]

[parameters]
k_L = { value = 0.05, source = "my data", evidence = "derived" }
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="small.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


# ---- read


def test_a_file_becomes_a_model(write):
    model = load_model(write(GOOD))
    assert (model.name, model.title, model.time) == ("small", "One state", "h")
    loss, spread, viable = model.parameters
    assert (loss.value, loss.unit, str(loss.prior), loss.about) == (0.03, "1/h", "lognormal(0.03, 0.4)", "Loss")
    assert (viable.low, viable.high, viable.prior_source, str(viable.prior_without)) == (
        0.7,
        0.98,
        ("lee_2009",),
        "beta(2, 1)",
    )
    assert (str(spread.prior), spread.evidence, spread.source) == ("fixed", "assumed", "")
    assert str(model.state("lung").start) == "0"
    assert model.route("iv").lag.number == 0.5  # 30 min in hours
    assert model.route("iv").duration.number == 0
    assert [(row.level, row.sd) for row in model.variability] == [("subject", 0.5), ("lot", 0.2)]
    assert model.references == ("lee_2009",)
    assert model.conserved == ("lung",)
    assert model.source_path.endswith("small.toml")


def test_a_lag_may_be_a_parameter(write):
    text = changed('lag = "30 min"', 'lag = "delay"').replace("s   =", 'delay = { value = 1, unit = "h" }\ns   =')
    assert load_model(write(text)).route("iv").lag.names == {"delay"}


def test_an_implied_factor_is_a_notice(write):
    text = changed('unit = "cells", noise', 'unit = "kcell", noise')
    model = load_model(write(text))
    assert model.output("lung_cells").unit == "kcell"
    assert model.notices == (
        "[outputs].lung_cells: the unit of lung_cells implies a factor 0.001; numbers are taken as written",
    )


@given(st.data())
def test_a_damaged_file_is_a_model_or_an_error_with_advice(tmp_path_factory, data):
    start = data.draw(st.integers(0, len(GOOD) - 1))
    length = data.draw(st.integers(0, 40))
    new = data.draw(
        st.one_of(st.text(max_size=5), st.sampled_from(['"', "{", "]", "= 3", "[x]\n", "1e400", "true", "''"]))
    )
    path = tmp_path_factory.mktemp("damaged") / "small.toml"
    path.write_text(GOOD[:start] + new + GOOD[start + length :], encoding="utf-8", errors="replace")
    with contextlib.suppress(ModelError, UnknownName):
        assert str(load_model(path))


# ---- refused: text, expected message

BROKEN = {
    "no format": (changed("format = 1\n", ""), "format is missing; expected format = 1"),
    "another format": (changed("format = 1", "format = 2"), "format is 2; expected format = 1"),
    "an unknown key": (changed("title =", "titel ="), "unknown key 'titel'. Try: 'title'"),
    "an unknown table": (GOOD + "\n[output]\n", "unknown table 'output'. Try: 'outputs'"),
    "an unknown key in a row": (
        changed('about = "Loss"', 'abuot = "Loss"'),
        r"\[parameters\].k_L: unknown key 'abuot'. Try: 'about'",
    ),
    "a key twice": (changed("[states]", "[states]\nlung = 1"), "not valid TOML: Cannot overwrite a value.*line"),
    "bad TOML": (changed('name = "small"', "name = small"), r"not valid TOML: .*\(at line 3, column 8\)"),
    "a title that is no text": (changed('title = "One state"', "title = 3"), "title is 3; expected a text in quotes"),
    "references that are no list": (
        changed('["lee_2009"]\nconserved', '"lee_2009"\nconserved'),
        "reference is 'lee_2009'; expected a list",
    ),
    "no states": (changed("[states]", "[outputs.more]"), r"there is no table \[states\]"),
    "a table that is none": (
        changed("[variability]\nk_L = {", "variability = 3\n[outputs.x]\nk_L = {"),
        "unknown key|variability is 3",
    ),
    "a row that is none": (
        changed('s   = { value = 0.3, unit = "1" }', "s = 0.3"),
        r"\[parameters\].s: the row is 0.3; expected a row in braces. Try: s = { value = 0.03, unit",
    ),
    "a rate that is a number": (
        changed('lung = "-k_L*lung"', "lung = 3"),
        r"\[rates\].lung: the row is 3; expected a formula in quotes",
    ),
    "a value that is a text": (
        changed("value = 0.3,", 'value = "0.3",'),
        r"\[parameters\].s: value is '0.3'; expected a finite number",
    ),
    "a value that is true": (changed("value = 0.3,", "value = true,"), "value is True; expected a finite number"),
    "a value that is infinite": (changed("value = 0.3,", "value = inf,"), "value is inf; expected a finite number"),
    "no value": (
        changed("value = 0.3, ", ""),
        r"\[parameters\]: s has no value; expected a value in the row or in a values file",
    ),
    "no unit": (changed('value = 0.3, unit = "1"', "value = 0.3"), r"\[parameters\].s: no unit; expected a unit"),
    "an unknown unit": (
        changed('unit = "1/h", prior', 'unit = "1/hr2", prior'),
        r"\[parameters\].k_L: unknown unit '1/hr2'",
    ),
    "a bad prior": (
        changed("lognormal(0.03, 0.4)", "lognormal(0.03)"),
        r"\[parameters\].k_L, prior: prior 'lognormal\(0.03\)' has 1 arguments",
    ),
    "a value outside its prior": (
        changed("value = 0.9\n", "value = 1.2\n").replace("high = 0.98", "high = 2"),
        "F_v is 1.2, outside its prior",
    ),
    "a value outside its range": (
        changed("value = 0.9\n", "value = 0.5\n"),
        "value 0.5 lies outside its range 0.7 to 0.98",
    ),
    "an unknown evidence": (
        changed('evidence = "read"', 'evidence = "seen"'),
        "evidence of k_L is 'seen'; expected one of read, derived",
    ),
    "an unknown evidence of variability": (
        changed('evidence = "assumed"', 'evidence = "x"'),
        r"\[variability\].k_L: unknown evidence 'x'",
    ),
    "a spread that is a text": (changed("subject = 0.5", 'subject = "0.5"'), r"\[variability\].k_L: subject is '0.5'"),
    "a bad name": (
        changed("s   = {", "'s-1' = {").replace("lognormal(s)", "lognormal(0.3)"),
        "name 's-1'; expected a letter",
    ),
    "no into": (changed('into = { lung = "viable" }, ', ""), r"\[routes\].iv: no into; expected into = { blood"),
    "an into that is no table": (changed('{ lung = "viable" }', '"lung"'), r"\[routes\].iv: into is 'lung'"),
    "a lag without a unit": (
        changed("30 min", "2"),
        r"\[routes\].iv: lag is 2, without a unit; expected a time. Try: lag = \"2 h\"",
    ),
    "a lag that is no time": (
        changed("30 min", "30 kg"),
        r"\[routes\].iv, lag: '30 kg' is in kg; expected a unit like h",
    ),
    "an output without a formula": (changed('is = "lung", ', ""), r"\[outputs\].lung_cells: no is"),
    "code in a rate": (
        changed("-k_L*lung", "__import__('os')"),
        r"\[rates\].lung: unknown function '__import__'",
    ),
    "an unknown name in a rate": (changed("-k_L*lung", "-k_l*lung"), r"\[rates\].lung: unknown name 'k_l'. Try: 'k_L'"),
    "a wrong unit": (
        changed("-k_L*lung", "-k_L*lung**2"),
        r"\[rates\].lung: rate of lung is cell\*\*2/h; expected cell/h",
    ),
    "combined noise": (
        changed("lognormal(s)", "combined(s, s)"),
        r"\[outputs\].lung_cells, noise: noise 'combined' has two meanings",
    ),
    "extend that is no text": ("extend = 3\n" + GOOD, "extend is 3; expected the name or path of a model"),
    "extend of nothing": ('extend = "othr"\n' + GOOD, "unknown model 'othr'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_with_file_table_and_key(write, case):
    text, message = BROKEN[case]
    with pytest.raises((ModelError, UnknownName), match=f"(?s){message}") as caught:
        load_model(write(text))
    assert case == "extend of nothing" or "small.toml" in str(caught.value)


def test_all_findings_of_a_file_are_reported_together(write):
    text = (
        changed("value = 0.3,", "")
        .replace("abc", "")
        .replace('about = "Loss"', "about = 1")
        .replace("-k_L*lung", "x..y")
    )
    with pytest.raises(
        ModelError, match=r"(?s)small.toml: 3 problems.*about is 1.*s has no value.*\[rates\].lung: 'x..y'"
    ):
        load_model(write(text))


def test_a_large_file_is_not_read(write):
    path = write(GOOD + "#" * 1_000_001)
    with pytest.raises(
        ModelError, match=r"small.toml: the file has 1,00\d,\d+ bytes; expected at most 1,000,000 bytes"
    ):
        load_model(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "small.toml"
    path.write_bytes(b"format = 1\n\xff\xfe")
    with pytest.raises(ModelError, match="small.toml: byte 11 is not UTF-8 text"):
        load_model(path)


def test_a_deep_file_is_refused(write):
    with pytest.raises(ModelError, match="nested too deep|not valid TOML"):
        load_model(write("x = " + "[" * 5000))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("two_functional_compartment", UnknownName, "unknown model .*Try: 'two_functional_compartments'"),
        ("zzz", UnknownName, "unknown model 'zzz'. Try: one of: .*cells, "),
        ("", UnknownName, "unknown model ''"),
        (
            "nowhere/model.toml",
            ModelError,
            "there is no file 'nowhere/model.toml'; expected the path of a model file, or one of",
        ),
        ("model.toml", ModelError, "there is no file 'model.toml'"),
        ("x" * 300, UnknownName, "unknown model 'xxx"),
        ("~nobody/x", ModelError, "there is no file '~nobody/x'"),
        (".", UnknownName, "unknown model '.'"),
    ],
)
def test_an_unknown_model_is_answered_with_known_ones(name, error, message):
    with pytest.raises(error, match=message):
        load_model(name)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="' is a folder; expected the path of a model file"):
        load_model(tmp_path)


def test_a_declaration_says_what_values_are_missing():
    declared = declaration("two_functional_compartments")
    assert declared.overlays == ("human_70kg", "mouse", "rat")
    assert "rho_L" in declared.without_value
    assert "k_L" not in declared.without_value
    assert declared.parameters["rho_L"]["unit"] == "1"
    assert declared.title


# ---- values


def test_values_are_laid_over_a_model(write):
    model = load_model(write(GOOD), values=write(VALUES, "mine.toml"))
    row = model.parameter("k_L")
    assert (row.value, row.source, row.evidence) == (0.05, "my data", "derived")
    # the meaning, unit and prior are still those of the model
    assert (row.about, row.unit, str(row.prior)) == ("Loss", "1/h", "lognormal(0.03, 0.4)")
    assert model.values_name == "mine"
    assert model.references == ("lee_2009", "toma_2009")


def test_a_prior_of_a_values_file_brings_its_own_sources(write):
    values = VALUES + 'F_v = { value = 0.8, prior = "beta(4, 1)", source = "x", evidence = "read" }\n'
    row = load_model(write(GOOD), values=write(values, "mine.toml")).parameter("F_v")
    assert (str(row.prior), row.prior_source, row.prior_without, row.low, row.note) == (
        "beta(4, 1)",
        (),
        None,
        None,
        "",
    )


def test_values_fill_what_the_model_leaves_open(write):
    path = write(changed("value = 0.03, ", ""))
    with pytest.raises(ModelError, match="k_L has no value"):
        load_model(path)
    assert load_model(path, values=write(VALUES, "mine.toml")).parameter("k_L").value == 0.05


VALUES_BROKEN = {
    "no source": (
        VALUES.replace('source = "my data", ', ""),
        r"\[parameters\].k_L: no source; expected a source: a values file cannot hold",
    ),
    "no evidence": (VALUES.replace(', evidence = "derived"', ""), "no evidence; expected a source"),
    "no value": (VALUES.replace("value = 0.05, ", ""), r"\[parameters\].k_L: no value; expected a number"),
    "another unit": (
        VALUES.replace("value = 0.05,", 'value = 0.05, unit = "1/d",'),
        "unit is '1/d'; expected '1/h' as in the model. Try: convert",
    ),
    "an unknown parameter": (VALUES.replace("k_L", "k_l"), r"\[parameters\].k_l: unknown parameter 'k_l'. Try: 'k_L'"),
    "an unknown key": (VALUES.replace("source", "sauce"), "unknown key 'sauce'. Try: 'source'"),
    "a table of a model": (
        VALUES + '[rates]\nlung = "0"\n',
        r"\[rates\] stands in a values file; expected numbers in \[parameters\] only",
    ),
    "another model": (
        VALUES.replace('model = "small"', 'model = "large"'),
        "these values are for the model 'large'; expected 'small'",
    ),
    "no format": (VALUES.replace("format = 1", ""), "format is missing"),
}


@pytest.mark.parametrize("case", VALUES_BROKEN)
def test_a_values_file_holds_numbers_with_sources_only(write, case):
    text, message = VALUES_BROKEN[case]
    with pytest.raises(ModelError, match=f"(?s)mine.toml: .*{message}"):
        load_model(write(GOOD), values=write(text, "mine.toml"))


def test_unknown_values_are_answered_with_known_ones():
    with pytest.raises(UnknownName, match="unknown values file of two_functional_compartments 'mose'. Try: 'mouse'"):
        load_model("two_functional_compartments", values="mose")


def test_a_model_without_its_species_names_the_values_files():
    message = r"k_B, rho_L, .* have no value; .*Try: values='human_70kg' or values='mouse' or values='rat'"
    with pytest.raises(ModelError, match=message):
        load_model("two_functional_compartments")


# ---- extend

CHILD = """
format = 1
name = "child"
extend = "small"

[parameters]
k_L = { value = 0.1, unit = "1/h", source = "another study", evidence = "read" }
k_X = { value = 0.2, unit = "1/h" }

[states]
gone = { unit = "cells" }

[rates]
lung = "-(k_L + k_X)*lung"
gone = "k_X*lung"
"""


def test_a_model_may_extend_another(write):
    write(GOOD)
    child = load_model(write(CHILD, "child.toml"))
    assert (child.name, child.title) == ("child", "One state")
    assert child.parameter_names == ("k_L", "s", "F_v", "k_X")
    assert str(child.parameter("k_L").prior) == "fixed"  # a row is replaced whole
    assert child.state_names == ("lung", "gone")
    assert str(child.rate("lung")) == "-(k_L + k_X)*lung"
    assert child.output_names == ("lung_cells",)


def test_a_path_in_extend_counts_from_the_file(write, tmp_path):
    (tmp_path / "deep").mkdir()
    write(GOOD)
    path = write(CHILD.replace('"small"', '"../small.toml"'), "deep/child.toml")
    assert load_model(path).name == "child"


def test_values_of_a_parent_fit_its_child(write):
    write(GOOD)
    child = load_model(write(CHILD, "child.toml"), values=write(VALUES, "mine.toml"))
    assert child.parameter("k_L").value == 0.05


def test_a_shipped_model_can_be_extended_with_its_values(write):
    text = 'format = 1\nname = "mine"\nextend = "two_functional_compartments"\n[rates]\nil10 = "0*il10*k_L"\n'
    mine = load_model(write(text, "mine.toml"), values="rat")
    assert str(mine.rate("il10")) == "0*il10*k_L"
    assert mine.values_name == "rat"


def test_values_meet_a_model_whose_lists_are_wrong(write):
    text = changed('["lee_2009"]\nconserved', "3\nconserved")
    with pytest.raises(ModelError, match="reference is 3; expected a list of texts"):
        load_model(write(text), values=write(VALUES, "mine.toml"))


def test_models_do_not_extend_each_other_in_a_circle(write):
    write(GOOD.replace("format = 1", 'format = 1\nextend = "child"'))
    with pytest.raises(ModelError, match="extend each other in a circle: child -> small -> child"):
        load_model(write(CHILD, "child.toml"))


# ---- without

WITHOUT = """
format = 1
name = "child"
extend = "small"
without = ["outputs.lung_cells", "routes.iv", "parameters.F_v"]

[outputs]
half = { is = "lung/2", unit = "cells", noise = "lognormal(s)" }
"""


def test_rows_of_the_base_are_left_out(write):
    write(GOOD)
    child = load_model(write(WITHOUT, "child.toml"))
    assert (child.output_names, child.route_names, child.parameter_names) == (("half",), (), ("k_L", "s"))
    assert {row.parameter for row in child.variability} == {"k_L"}


def test_what_means_nothing_alone_goes_too(write):
    """The rate and the place in `conserved` of a state, the variability of a parameter."""
    write(CHILD.replace("format = 1", "format = 1\nconserved = ['lung', 'gone']"), "child.toml")
    write(GOOD)
    text = """
        format = 1
        name = "grandchild"
        extend = "child"
        without = ["states.gone", "parameters.k_X", "variability.k_L"]
        [rates]
        lung = "-k_L*lung"
    """
    model = load_model(write(text, "grandchild.toml"))
    assert [state for state, _ in model.rates] == ["lung"]
    assert model.conserved == ("lung",)
    assert model.variability == ()
    no_loss = (
        text.replace('"variability.k_L"', '"parameters.k_L"')
        .replace("-k_L*lung", "0")
        .replace("states.gone", "routes.iv")
    )
    no_loss = no_loss.replace("lung =", "gone = '0'\nlung =") + "\n[derived]\nhalf_life = { is = '1', unit = 'h' }\n"
    assert load_model(write(no_loss, "grandchild.toml")).variability == ()


def test_a_row_may_be_left_out_by_name_and_by_what_it_follows(write):
    write(GOOD)
    text = """
        format = 1
        name = "child"
        extend = "small"
        without = ["states.lung", "rates.lung", "states.lung", "parameters.k_L", "variability.k_L", "routes.iv",
                   "derived.half_life", "outputs.lung_cells"]
        [states]
        liver = { unit = "cells" }
        [rates]
        liver = "0"
    """
    assert load_model(write(text, "child.toml")).state_names == ("liver",)


def test_a_base_that_is_no_file_is_named_where_it_is_wanted(write):
    with pytest.raises(ModelError, match=r"child.toml: extend: there is no file 'there/small.toml'; expected the path"):
        load_model(write(CHILD.replace('"small"', '"there/small.toml"'), "child.toml"))


def test_a_row_that_is_left_out_and_written_again_stands_last(write):
    write(GOOD)
    text = (
        WITHOUT.replace('"parameters.F_v"', '"parameters.k_L"') + '\n[parameters]\nk_L = { value = 1, unit = "1/h" }\n'
    )
    assert load_model(write(text, "child.toml")).parameter_names == ("s", "F_v", "k_L")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("outputs.lung_cells", "outputs.lung_cell", r"unknown row 'outputs.lung_cell'. Try: 'outputs.lung_cells'"),
        ("outputs.lung_cells", "lung_cells", r"without: unknown row 'lung_cells'. Try: 'outputs.lung_cells'"),
        ("outputs.lung_cells", "title", r"unknown row 'title'. Try: one of: derived.half_life, outputs.lung_cells"),
        ('["outputs.lung_cells", "routes.iv", "parameters.F_v"]', '"all"', "without is 'all'; expected a list"),
        ('extend = "small"\n', "", "without: the file extends no model. Try: extend ="),
    ],
)  # fmt: skip
def test_what_cannot_be_left_out_is_named(write, old, new, message):
    write(GOOD)
    with pytest.raises(ModelError, match=f"child.toml: .*{message}"):
        load_model(write(WITHOUT.replace(old, new), "child.toml"))


def test_a_finding_in_a_base_names_both_files(write):
    write(GOOD.replace("-k_L*lung", "-k_l*lung"))
    with pytest.raises(ModelError, match=r"child.toml \(extends small\): \[rates\].lung: unknown name 'k_l'"):
        load_model(write(WITHOUT, "child.toml"))


# ---- values files over one another


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of a base, its child, and values files for both."""
    for module in ("library", "extending", "overlays", "load"):
        monkeypatch.setattr(f"mscpkpd.modelfile.{module}.library_path", lambda: tmp_path)
    origin = 'about = "x", source = "A", evidence = "read"'
    base = f"""
        format = 1
        name = "base"
        title = "Base"
        [parameters]
        a = {{ unit = "1", {origin} }}
        b = {{ unit = "1", {origin} }}
        c = {{ value = 1, unit = "1", {origin} }}
        [states]
        x = {{ unit = "1" }}
        [rates]
        x = "-a*b*x"
    """
    child = f"""
        format = 1
        name = "child"
        extend = "base"
        without = ["parameters.b"]
        [parameters]
        d = {{ unit = "1", {origin} }}
        [rates]
        x = "-a*d*x"
    """
    head = 'format = 1\nname = "{name}"\nmodel = "{model}"\nreference = ["{model}_{name}"]\n[parameters]\n'
    files = {
        "pkpd/base.toml": base,
        "pkpd/child.toml": child,
        "values/base/mouse.toml": (1, 2, None, None),
        "values/base/drug.toml": (None, None, 30, None),
        "values/child/mouse.toml": (None, None, 3, 4),
        "values/child/slow.toml": (0.1, None, None, None),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            rows = [f'{key} = {{ value = {value}, unit = "1", source = "{name}", evidence = "read" }}'
                    for key, value in zip("abcd", content, strict=True) if value is not None]  # fmt: skip
            content = head.format(name=path.stem, model=path.parent.name) + "\n".join(rows)  # noqa: PLW2901 - the text
        path.write_text(content)
    return tmp_path


@pytest.mark.usefixtures("library")
def test_values_of_the_base_are_laid_first():
    model = load_model("child", "mouse")
    assert model.values == {"a": 1, "c": 3, "d": 4}  # b was left out by the child, so that its number is not missed
    assert model.parameter("a").source == "values/base/mouse.toml"
    assert model.references == ("base_mouse", "child_mouse")
    assert model.values_name == "mouse"
    assert load_model("base", "mouse").values == {"a": 1, "b": 2, "c": 1}


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "values", ["mouse,slow,drug", ("mouse", "slow", "drug"), ["mouse", "slow,drug"], "mouse, slow, drug"]
)
def test_several_values_files_are_laid_from_left_to_right(values):
    model = load_model("child", values)
    assert model.values == {"a": 0.1, "c": 30, "d": 4}
    assert model.values_name == "mouse,slow,drug"
    assert load_model("child", model.values_name) == model


@pytest.mark.usefixtures("library")
def test_the_order_of_values_files_counts():
    assert load_model("child", ("drug", "mouse")).values["c"] == 3
    assert load_model("child", ("mouse", "drug")).values["c"] == 30


def test_names_and_paths_may_be_mixed(library):
    mine = library / "a file, mine.toml"
    mine.write_text('format = 1\n[parameters]\nc = { value = 7, source = "me", evidence = "derived" }\n')
    model = load_model("child", ("mouse", mine))
    assert (model.values["c"], model.values["d"], model.values_name) == (7, 4, "mouse,a file, mine")
    assert load_model(library / "pkpd" / "base.toml", ["mouse", str(mine)]).values == {"a": 1, "b": 2, "c": 7}


@pytest.mark.usefixtures("library")
def test_no_values_files_are_none():
    with pytest.raises(ModelError, match="a, d have no value; .*Try: values='mouse'"):
        load_model("child", ())


@pytest.mark.usefixtures("library")
def test_the_advice_names_values_files_that_are_enough():
    assert values_of("child") == ("drug", "mouse", "slow")
    declared = declaration("child")
    assert (declared.without_value, declared.overlays) == (("a", "d"), ("drug", "mouse", "slow"))
    assert declared.sufficient == ("mouse",)
    with pytest.raises(ModelError, match=r"\[parameters\]: d has no value; .*Try: values='mouse,slow,drug'$"):
        load_model("child", "slow,drug")


def test_the_advice_names_pairs_where_no_values_file_is_enough(library):
    (library / "values" / "child" / "mouse.toml").unlink()
    text = 'format = 1\nmodel = "child"\n[parameters]\nd = { value = 5, source = "A", evidence = "read" }\n'
    (library / "values" / "child" / "alpha.toml").write_text(text)
    assert declaration("child").sufficient == ("mouse,alpha", "alpha,slow")  # that of the base first
    with pytest.raises(ModelError, match="a, d have no value; .*Try: values='mouse,alpha' or values='alpha,slow'$"):
        load_model("child")
    assert load_model("child", "mouse,alpha").values["d"] == 5


def test_a_values_file_says_what_it_needs_besides(library):
    values = library / "values"
    assert overlays_besides("child", "slow") == ("mouse",)
    assert overlays_besides("base", values / "base" / "drug.toml") == ("mouse",)
    assert overlays_besides("child", values / "child" / "mouse.toml") == ("mouse",)  # that of the base
    assert overlays_besides("child", "mouse") == ()


@pytest.mark.parametrize(
    ("name", "values", "kind", "one", "other"),
    [
        ("two_functional_compartments", "mouse,rat", "species", "mouse", "rat"),
        ("two_functional_mediator", ("mouse", "tsg6", "ido"), "mediator", "tsg6", "ido"),
        ("agvhd_cxcl10", "human_70kg,live,death", "mechanism", "live", "death"),
    ],
)
def test_two_values_files_of_a_kind_are_refused(name, values, kind, one, other):
    message = (
        f"{name}: values '{one}' and '{other}' are both of the kind {kind}.* Try: values='{one}' or values='{other}'"
    )
    with pytest.raises(ModelError, match=message):
        load_model(name, values)


@pytest.mark.parametrize(
    ("name", "values", "advice"),
    [
        ("endotoxaemia_human", "mouse", "values='human_70kg'"),
        ("sepsis_clp_mouse", "rat", "values='mouse'"),
        ("agvhd_cxcl10", "live", "values='human_70kg,live'"),
    ],
)
def test_advice_never_mixes_species(name, values, advice):
    with pytest.raises(ModelError, match=f"Try: {advice}$"):
        load_model(name, values)


def test_a_species_that_does_not_complete_a_model_is_not_listed():
    assert declaration("endotoxaemia_human").overlays == ("human_70kg",)
    assert {"mouse", "rat", "tsg6", "ido"} < set(declaration("two_functional_mediator").overlays)


@pytest.mark.usefixtures("library")
def test_an_unknown_one_among_several_is_named():
    with pytest.raises(UnknownName, match="unknown values file of child 'slaw'. Try: 'slow'"):
        load_model("child", "mouse,slaw")
    with pytest.raises(UnknownName, match="unknown values file of child ''"):
        load_model("child", "mouse,")


def test_a_number_for_a_parameter_that_no_model_has_is_refused(library):
    file = library / "values" / "base" / "mouse.toml"
    file.write_text(file.read_text() + '\ne = { value = 1, source = "x", evidence = "read" }\n')
    with pytest.raises(ModelError, match=r"mouse.toml: \[parameters\].e: unknown parameter 'e'. Try: one of: a, c, d"):
        load_model("child", "mouse")


# ---- other formats


@pytest.mark.parametrize("ending", [".xml", ".sbml", ".XML"])
def test_values_are_not_laid_over_sbml(tmp_path, ending):
    (tmp_path / f"model{ending}").write_text("<sbml/>")
    with pytest.raises(
        ModelError, match="values and stages go with model files in TOML, not with SBML. Try: save_model"
    ):
        load_model(tmp_path / f"model{ending}", values="mouse")


# ---- save


def test_what_is_written_reads_back(write, tmp_path):
    model = load_model(write(GOOD), values=write(VALUES, "mine.toml"))
    path = save_model(model, tmp_path / "model.toml")
    assert load_model(path) == model
    assert not list(tmp_path.glob("*.part"))


def test_a_changed_model_reads_back(write, tmp_path):
    model = load_model(write(GOOD)).fix(F_v=1e-17 + 0.8).with_prior("k_L", "lognormal(0.012345678901234567, 1)")
    assert load_model(save_model(model, tmp_path / "model.toml")) == model


def test_odd_characters_read_back(write, tmp_path):
    text = changed('about = "Loss"', r'about = "a \"quote\", a \\, µ, 细胞, \u007f, \n and \t"')
    model = load_model(write(text))
    assert "细胞" in model.parameter("k_L").about
    assert load_model(save_model(model, tmp_path / "model.toml")) == model


def test_nothing_is_written_where_nothing_can_be(write, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        save_model(load_model(write(GOOD)), tmp_path / "nowhere" / "model.toml")


# ---- regimens

REGIMEN = """
format = 1
name = "mine"
title = "Two doses"

[[course]]
route = "iv"
amount = { value = "1e6 cells/kg", source = "protocol", evidence = "read" }
doses = { value = 2, source = "protocol", evidence = "read" }
every = { value = "7 d", source = "guess", evidence = "assumed" }
"""


def test_a_regimen_is_read(write):
    regimen = load_regimen(write(REGIMEN, "mine.toml"))
    assert [(dose.time, dose.amount, dose.unit, dose.duration) for dose in regimen.doses] == [
        (0.0, 1e6, "cells/kg", 0.0),
        (168.0, 1e6, "cells/kg", 0.0),
    ]
    assert regimen.name == "mine"
    assert regimen.evidence == "assumed"  # the weakest of its numbers
    assert regimen.source == "amount: protocol (read); doses: protocol (read); every: guess (assumed)"


def test_courses_follow_each_other(write):
    more = '[[course]]\nroute = "iv"\n' + "".join(
        f'{key} = {{ value = "{value}", source = "x", evidence = "read" }}\n'
        for key, value in {"amount": "2e6 cells", "at": "30 d", "over": "1 h"}.items()
    )
    regimen = load_regimen(write(REGIMEN + more, "mine.toml"))
    assert [dose.time for dose in regimen.doses] == [0, 168, 720]
    assert regimen.doses[-1].duration == 1.0


REGIMENS_BROKEN = {
    "no course": ("format = 1\n", r"there is no \[\[course\]\]"),
    "no route": (REGIMEN.replace('route = "iv"\n', ""), r"\[\[course\]\] 1: no route"),
    "no amount": (REGIMEN.replace("amount", "amuont"), r"unknown key 'amuont'. Try: 'amount'.*no amount"),
    "a bare number": (
        REGIMEN.replace('{ value = 2, source = "protocol", evidence = "read" }', "2"),
        r"\[\[course\]\] 1, doses: the number is 2; expected { value",
    ),
    "no source": (
        REGIMEN.replace('source = "guess", ', ""),
        "every: source is '', evidence is 'assumed'; expected a source",
    ),
    "an unknown evidence": (
        REGIMEN.replace("assumed", "sure"),
        "evidence is 'sure'; expected a source, and one of read",
    ),
    "an impossible amount": (REGIMEN.replace("1e6 cells/kg", "1e6"), "1e6"),
    "an unknown key": (REGIMEN.replace("title", "titel"), "unknown key 'titel'. Try: 'title'"),
}


@pytest.mark.parametrize("case", REGIMENS_BROKEN)
def test_a_regimen_holds_numbers_with_sources_only(write, case):
    text, message = REGIMENS_BROKEN[case]
    with pytest.raises(ModelError, match=f"(?s)mine.toml: .*{message}"):
        load_regimen(write(text, "mine.toml"))


def test_an_unknown_regimen_is_answered_with_known_ones():
    with pytest.raises(UnknownName, match="unknown regimen 'ryoncyl'. Try: 'ryoncil'"):
        load_regimen("ryoncyl")


# ---- library


def test_the_library_lists_its_names():
    assert "two_functional_compartments" in models()
    assert values_of("two_functional_compartments") == ("human_70kg", "mouse", "rat")
    assert values_of("nothing") == ()
    assert {"ryoncil", "temcell", "amimestrocel"} <= set(regimens())
