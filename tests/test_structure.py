"""The picture of a model: arrows that follow from the equations, and boxes that can be told apart."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from mscpkpd import cli, plots
from mscpkpd.engine.arrows import Entry, Flow, Influence, Term
from mscpkpd.engine.flows import structure_of
from mscpkpd.engine.system import build_system
from mscpkpd.expressions import parse
from mscpkpd.modelfile import declaration, load_model, models
from mscpkpd.plots.layout import Edge, place
from reference.small_models import model as small_model
from reference.small_models import parameter, route

CORE = "two_functional_compartments"
DRAWN = (CORE, "endotoxaemia_human", "sepsis_reynolds", "pbk", "pk_transit", "cart_expansion", "agvhd_cxcl10")


@cache
def loaded(name):
    declared = declaration(name)
    return load_model(name, declared.sufficient[0] if declared.without_value else None)


@cache
def derived(name):
    return structure_of(loaded(name))


def changed(model, **rates):
    """The model with other rates."""
    new = {**dict(model.rates), **{name: parse(text) for name, text in rates.items()}}
    return replace(model, rates=tuple((name, new[name]) for name, _ in model.rates))


def arrows(structure):
    """Flows by their ends, as text."""
    return {(f.source, f.target): " + ".join(t.factor or f"f({', '.join(t.names)})" for t in f.terms)
            for f in structure.flows}  # fmt: skip


def two_boxes(a, b, **numbers):
    names = {name for text in (a, b) for name in parse(text).names} - {"a", "b", "t"}
    rows = tuple(parameter(name, numbers.get(name, 0.3), "1" if name == "I" else "1/h") for name in sorted(names))
    return small_model({"a": a, "b": b}, rows, units={"a": "1", "b": "1"})


# ---- what flows


def test_what_leaves_one_state_and_enters_another_is_one_arrow():
    found = structure_of(two_boxes("-k*a", "k*a - d*b"))
    assert arrows(found) == {("a", "b"): "k", ("b", ""): "d"}
    assert found.influences == ()


def test_shares_of_a_loss_are_arrows_and_the_rest_goes_outside():
    assert arrows(structure_of(two_boxes("-(k + d)*a", "k*a"))) == {("a", "b"): "k", ("a", ""): "d"}
    shared = small_model(
        {"a": "-k*a", "b": "phi*k*a"}, (parameter("k", 0.3, "1/h"), parameter("phi", 0.2, "1")),
    )  # fmt: skip
    assert arrows(structure_of(shared)) == {("a", "b"): "k*phi", ("a", ""): "k*(1 - phi)"}


def test_exchange_is_two_arrows():
    found = structure_of(two_boxes("-k*a + r*b", "k*a - r*b"))
    assert arrows(found) == {("a", "b"): "k", ("b", "a"): "r"}


def test_a_rate_constant_of_its_own_is_no_flow():
    """An effect compartment takes nothing from plasma."""
    found = structure_of(two_boxes("-k*a", "e*(a - b)"))
    assert arrows(found) == {("a", ""): "k", ("b", ""): "e"}
    assert found.influences == (Influence("a", "b", 1),)


def test_cells_that_die_do_not_become_what_they_release():
    released = small_model(
        {"a": "-k*a", "b": "u*k*a - d*b"},
        (parameter("k", 0.3, "1/h"), parameter("d", 0.3, "1/h"), parameter("u", 2.0, "pg/cell")),
        units={"a": "cells", "b": "pg"},
    )
    assert arrows(structure_of(released)) == {("a", ""): "k", ("b", ""): "d"}
    assert structure_of(released).influences == (Influence("a", "b", 1),)


def test_growth_to_a_limit_enters_and_does_not_leave():
    found = structure_of(two_boxes("k*a*(1 - a/I) - d*a", "0*k*b", k=0.5))
    assert arrows(found) == {("", "a"): "k*a", ("a", ""): "d"}


def test_birth_and_death_are_two_arrows():
    assert arrows(structure_of(two_boxes("r*a - d*a", "0*d*b"))) == {("", "a"): "r*a", ("a", ""): "d"}


def test_an_influence_that_slows_is_told_from_one_that_speeds():
    up = structure_of(two_boxes("-k*a", "p*a/(1 + a) - d*b"))
    down = structure_of(two_boxes("-k*a", "p/(1 + a) - d*b"))
    assert up.influences == (Influence("a", "b", 1),)
    assert down.influences == (Influence("a", "b", -1),)


def test_a_mechanism_that_is_off_is_marked():
    assert structure_of(two_boxes("-k*a", "p*a - d*b", p=0.0)).influences == (Influence("a", "b", 1, off=True),)
    inside = structure_of(two_boxes("-k*a", "p*(1 - I*a/(1 + a)) - d*b", I=0.0))
    assert inside.influences == (Influence("a", "b", -1, off=True),)


def test_each_side_of_a_condition_counts():
    found = derived("cart_expansion")
    assert ("", "fast") in arrows(found)
    assert ("fast", "") in arrows(found)


# ---- the core, arrow by arrow


def test_arrows_of_the_core():
    found = arrows(derived(CORE))
    expected = {
        ("depot", "blood"): "k_S",
        ("depot", "label_rest"): "k_dS",
        ("blood", "lung"): "k_B*rho_L",
        ("blood", "liver"): "k_B*share_liver",
        ("blood", "spleen"): "k_B*share_spleen",
        ("blood", "rest"): "k_B*share_rest",
        ("blood", "label_rest"): "k_B*rho_D",
        ("lung", "blood"): "k_L*phi_L",
        ("lung", "label_lung"): "k_L*(1 - phi_L)",
        ("liver", "blood"): "k_T*phi_T",
        ("liver", "label_liver"): "k_T*(1 - phi_T)",
        ("spleen", "blood"): "k_T*phi_T",
        ("spleen", "label_spleen"): "k_T*(1 - phi_T)",
        ("rest", "blood"): "k_T*phi_T",
        ("rest", "label_rest"): "k_T*(1 - phi_T)",
        ("label_lung", "label_liver"): "f_XLi*k_XL",
        ("label_lung", "label_spleen"): "f_XSp*k_XL",
        ("label_lung", "label_rest"): "k_XL*(1 - f_XLi - f_XSp)",
        ("label_rest", "label_liver"): "f_XLi*k_XR",
        ("label_rest", "label_spleen"): "f_XSp*k_XR",
        ("label_liver", "label_lost"): "k_Xout",
        ("label_spleen", "label_lost"): "k_Xout",
        ("label_rest", "label_lost"): "k_Xout",
        ("pge2_local", "pge2_systemic"): "k_Ploc*s_P",
        ("pge2_local", "pge2_metabolite"): "k_Ploc*(1 - s_P)",
        ("pge2_systemic", "pge2_metabolite"): "k_P",
        ("pge2_metabolite", ""): "k_M",
        ("m", ""): "k_off",
        ("", "il10"): "I10_0*k_out10",
        ("il10", ""): "k_out10",
    }
    assert found == expected
    influences = {(one.source, one.target): (one.sign, one.off) for one in derived(CORE).influences}
    assert influences == {
        ("lung", "pge2_local"): (1, False),
        ("blood", "pge2_local"): (1, True),  # w_B is 0
        ("blood", "pge2_systemic"): (1, False),
        ("liver", "pge2_systemic"): (1, False),
        ("spleen", "pge2_systemic"): (1, False),
        ("rest", "pge2_systemic"): (1, False),
        ("pge2_local", "m"): (1, False),
        ("m", "il10"): (1, False),
    }
    entries = derived(CORE).entries
    assert Entry("blood", ("iv", "ia")) in entries
    assert Entry("label_liver", ("iv", "ia", "portal"), dead_only=True) in entries


def test_a_changed_equation_changes_the_picture():
    """Cells released from lung no longer reach blood: the arrow is gone, and something leaves the model."""
    base = loaded(CORE)
    leaking = changed(base, blood="k_S*depot + phi_T*k_T*(liver + spleen + rest) - k_B*blood")
    found = arrows(structure_of(leaking))
    assert ("lung", "blood") not in found
    assert found["lung", ""] == "k_L*phi_L"
    driven = structure_of(changed(base, m="k_on*E*(1 - m) - k_off*m*il10/I10_0"))
    assert Influence("il10", "m", -1) in driven.influences


def test_inhibition_and_activation_in_endotoxaemia():
    signs = {(one.source, one.target): one.sign for one in derived("endotoxaemia_human").influences}
    assert signs["il10", "tnf"] == -1
    assert signs["il6", "tnf"] == -1
    assert signs["endotoxin", "monocytes_active"] == 1
    assert signs["monocytes_active", "il10"] == 1
    assert ("endotoxin", "monocytes_resting") not in signs  # it moves them on, which is drawn where they arrive
    assert arrows(derived("endotoxaemia_human"))["monocytes_resting", "monocytes_active"] == "activation"


# ---- every model of the library


def conserved_alone(name):
    """Whether nothing but doses changes the sum of the conserved states."""
    return bool(loaded(name).conserved)


@pytest.mark.parametrize("name", models())
def test_nothing_conserved_comes_from_or_goes_outside(name):
    kept = set(loaded(name).conserved)
    assert not [flow for flow in derived(name).flows if flow.source in kept and flow.target not in kept]
    assert not [flow for flow in derived(name).flows if flow.target in kept and flow.source not in kept]


@pytest.mark.parametrize("name", models())
def test_every_dependence_of_a_rate_is_an_arrow(name):
    """A state in the rate of another flows into it, acts on it, is what it receives from it, or acts on such a flow."""
    model, structure = loaded(name), derived(name)
    flows = {(flow.source, flow.target) for flow in structure.flows}
    acts = {(one.source, one.target) for one in structure.influences}
    onward = {source: {target for begin, target in flows if begin == source} for source in model.state_names}
    system = build_system(model, model.state_names, model.route_names)
    for state, rate in zip(system.states, system.rhs, strict=True):
        for other in {str(symbol) for symbol in rate.free_symbols} & set(system.states) - {state}:
            moved = any((other, target) in flows | acts or other == target for target in onward[state])
            assert (other, state) in flows | acts or moved, (other, state)


@pytest.mark.parametrize("name", models())
def test_every_arrow_is_in_the_equations(name):
    model, structure = loaded(name), derived(name)
    written = {row.name: row.expression for row in model.derived}

    def states_in(expression):
        names = set(expression.names)
        while names & written.keys():
            names = {n for n in names if n not in written}.union(*(written[n].names for n in names & written.keys()))
        return names

    used = {name: states_in(rate) for name, rate in model.rates}
    for flow in structure.flows:
        assert not flow.source or flow.source in used[flow.source]
        assert not (flow.source and flow.target) or flow.source in used[flow.target]
    for one in structure.influences:
        assert one.source in used[one.target]
    received = {(entry.state, route) for entry in structure.entries for route in entry.routes}
    assert received == {(state, row.name) for row in model.routes for state, share in row.into if share.number != 0}


# ---- the picture


@cache
def picture(name):
    return plots.structure(loaded(name))


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def boxes(figure):
    return [patch for patch in figure.findobj(FancyBboxPatch) if patch.get_gid() is not None]


@pytest.mark.parametrize("name", DRAWN)
def test_boxes_do_not_overlap_and_hold_their_names(name):
    figure = picture(name)
    found = {patch.get_gid(): patch for patch in boxes(figure)}
    assert set(found) == set(loaded(name).state_names)
    for one, other in itertools.combinations(found.values(), 2):
        apart_x = abs(one.get_x() - other.get_x()) >= one.get_width() + 0.2
        gap = abs(one.get_y() + one.get_height() / 2 - other.get_y() - other.get_height() / 2)
        assert apart_x or gap >= (one.get_height() + other.get_height()) / 2 + 0.1
    renderer = rendered(figure)
    for text in figure.findobj(Text):
        if text.get_text() in found and text.get_weight() == "bold":
            inside, frame = text.get_window_extent(renderer), found[text.get_text()].get_window_extent(renderer)
            assert frame.x0 <= inside.x0
            assert inside.x1 <= frame.x1


@pytest.mark.parametrize("name", DRAWN)
def test_no_arrow_runs_through_a_box(name):
    figure = picture(name)
    found = boxes(figure)
    for curve in figure.axes[0].patches:
        if curve.get_gid() is not None or not hasattr(curve, "get_arrowstyle"):
            continue
        points = curve.get_path().to_polygons(closed_only=False)
        line = np.concatenate(points)
        for box in found:
            low = np.array([box.get_x(), box.get_y()]) + 0.03
            high = low + np.array([box.get_width() - 0.06, box.get_height() - 0.06])
            assert not np.any(np.all((line > low) & (line < high), axis=1)), box.get_gid()


@pytest.mark.parametrize("name", DRAWN)
def test_everything_is_on_the_page(name):
    figure = picture(name)
    renderer, page = rendered(figure), figure.bbox
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            place_ = text.get_window_extent(renderer)
            assert page.x0 - 1 <= place_.x0
            assert place_.x1 <= page.x1 + 1, text.get_text()


def test_the_picture_says_what_it_shows():
    figure = picture(CORE)
    assert isinstance(figure, Figure)
    words = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "two_functional_compartments: MSC and their PGE2, macrophages and their IL-10" in words
    assert r"$k_{B} \cdot \rho_{L}$" in words
    assert "flow, with its rate constant" in words
    assert "dead cells: iv, ia" in words
    assert "Pale: switched off" in words
    labels = [text.get_text() for text in figure.findobj(Text) if text.get_text().startswith("$")]
    assert len(labels) == len(derived(CORE).flows)


def test_the_same_model_gives_the_same_picture(tmp_path):
    before = dict(mpl.rcParams)
    one, other = (
        plots.save(plots.structure(loaded("sepsis_reynolds")), tmp_path / name) for name in ("a.png", "b.png")
    )
    assert one.read_bytes() == other.read_bytes()
    assert dict(mpl.rcParams) == before


def test_a_model_without_any_arrow_can_be_drawn():
    alone = small_model({"a": "0*k*a"}, (parameter("k", 1, "1/h"),), routes=(route("iv", {"a": "1"}),))
    assert structure_of(alone).flows == ()
    assert structure_of(alone).entries == (Entry("a", ("iv",)),)
    assert boxes(plots.structure(alone))[0].get_gid() == "a"


@pytest.mark.parametrize(
    "rate", ["-(c/(a + c) + k)*a", "-k**2/c*a", "-exp(-k/c)*k*a", "-max(k, c*a)*a", "-0.1234567*k*a"]
)
def test_any_rate_can_be_written_at_its_arrow(rate):
    odd = changed(two_boxes("-k*a", "-c*b"), a=rate)
    assert len(structure_of(odd).flows) >= 1
    rendered(plots.structure(odd))


def test_long_rates_are_shortened_to_what_they_depend_on():
    long = two_boxes("-k*a/(1 + a + b)**2*exp(-a*b)", "0*k*b")
    assert structure_of(long).flows == (Flow("a", "", (Term("k", ("a", "b")),)),)


# ---- layout


def test_columns_follow_the_arrows():
    chain = [Edge(a, b) for a, b in itertools.pairwise("abcd")]
    placed = place(tuple("abcd"), [*chain, Edge("d", "a", 0.1)], lambda _: (0.5, 0.5))
    assert [placed.column[name] for name in "abcd"] == [0, 1, 2, 3]
    assert [column for column, _ in placed.lanes[3]] == [2, 1]  # the way back has places between


def test_boxes_get_the_room_they_ask_for():
    names = tuple("abcdefgh")
    edges = [Edge("a", name) for name in names[1:]]
    placed = place(names, edges, lambda name: (0.2, 0.3) if name < "e" else (0.6, 0.1))
    column = sorted((placed.height[name], name) for name in names[1:])
    for (low, lower), (high, upper) in itertools.pairwise(column):
        need = (0.2 if lower < "e" else 0.6) + (0.3 if upper < "e" else 0.1)
        assert high - low >= need - 1e-9
    assert min(placed.height.values()) >= 0
    assert max(placed.height.values()) <= placed.total


# ---- the shell


def test_models_draws_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["models", "sepsis_reynolds", "--structure", "picture.png"]) == 0
    assert capsys.readouterr().out == "Wrote picture.png\n"
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
