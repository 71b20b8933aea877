"""Laws that every model of the library obeys, over the designs of `tests/designs`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from designs import DESIGNS, Design
from mscpkpd.data import Study
from mscpkpd.data.record import Record
from mscpkpd.data.study import Subject
from mscpkpd.fitting.api import fit
from mscpkpd.model import check
from mscpkpd.modelfile import library_path, models
from mscpkpd.modelfile.library import read_toml
from mscpkpd.units import scale_factor, to_unit
from reference.rescaling import other_unit, rescaled, rescaled_doses
from reference.runs import run

BALANCE = 1e-8  # mass, of the dose
RESCALED = 1e-6  # rule L9, of each value
FLOOR = 1e-9  # of the largest value of the series
RECOVERED = 0.01  # of the true value
SHIFT = 0.3  # how far the truth lies from the start of a search, in prior SD

every_design = pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.key)
# fits of the large models in more than one species take as long as those of all other models together
LONG = ("pbk/mouse", "pbk/rat", "pbk_homing/")
every_design_fitted = pytest.mark.parametrize(
    "design",
    [pytest.param(d, marks=pytest.mark.slow if d.key.startswith(LONG) else (), id=d.key) for d in DESIGNS],
)


# ---- the designs cover the library


def test_every_model_has_a_design():
    assert set(models()) <= {design.model for design in DESIGNS}


def test_every_values_file_has_a_design():
    """Used with its model or with one that extends it."""
    used = {(name, stem) for design in DESIGNS for name in chain(design.model) for stem in design.stems.split(",")}
    files = {(file.parent.name, file.stem) for file in (library_path() / "values").glob("*/*.toml")}
    assert files <= used


def chain(name):
    """A model and all that it extends."""
    raw = read_toml(library_path() / "pkpd" / f"{name}.toml")
    return [name, *(chain(raw["extend"]) if "extend" in raw else [])]


def test_a_variant_extends_and_does_not_copy():
    """No rate of a model is written twice in the files of what it extends."""
    for name in models():
        rows = [read_toml(library_path() / "pkpd" / f"{link}.toml").get("rates", {}) for link in chain(name)]
        for child, *above in (rows[k:] for k in range(len(rows))):
            copied = {state for state, rate in child.items() for base in above if base.get(state) == rate}
            assert not copied, f"{name}: {copied}"


# ---- laws


@every_design
def test_it_runs_and_no_amount_falls_below_zero(design):
    model = design.load()
    found = run(model, design.regimen, design.path_times, weight=design.weight)
    assert found.path.ok, found.path.failure
    for state in model.state_names:
        assert np.all(np.isfinite(found[state])), state
        if not design.negative:
            assert np.min(found[state]) >= -FLOOR * np.max(found[state]), state


@every_design
def test_what_was_given_is_all_there(design):
    """The conserved states add up to the doses given so far (L3)."""
    model = design.load()
    if not model.conserved:
        pytest.skip("the file claims no balance")
    times = design.path_times
    found = run(model, design.regimen, times, weight=design.weight)
    total = sum(found[state] for state in model.conserved)
    start = sum(run(model, replace(design.regimen, doses=()), times)[state][0] for state in model.conserved)
    hours = to_unit(f"1 {model.time}", "h")
    counted = [dose for dose in design.regimen.doses if _into(model, dose.route) & set(model.conserved)]
    given = sum(_given(design, dose, times, hours) for dose in counted)
    np.testing.assert_allclose(total, start + given, rtol=BALANCE, atol=BALANCE * np.max(start + given))


def _into(model, route):
    """States that a dose enters."""
    return {state for state, _ in model.route(route).into} if route in model.route_names else {route}


def _given(design, dose, times, hours):
    """Amount of one dose that has been given at each time."""
    since = times * hours - dose.time
    share = np.clip(since / dose.duration, 0, 1) if dose.duration else (since >= 0).astype(float)
    return dose.cells(design.weight) * share


@every_design
def test_other_units_give_the_same_answers(design):
    """Hours to days, cells to millions, pg to ng: every state is the same amount."""
    model = design.load()
    other = rescaled(model)
    assert check(other) == ()
    factor = scale_factor(model.time, other.time)
    found = run(model, design.regimen, design.path_times, weight=design.weight)
    again = run(other, rescaled_doses(design.regimen), design.path_times * factor, weight=design.weight)
    for state in model.states:
        expected = found[state.name] * scale_factor(state.unit, other_unit(state.unit))
        floor = FLOOR * np.max(np.abs(expected))
        np.testing.assert_allclose(again[state.name], expected, RESCALED, floor, err_msg=state.name)


def test_a_hidden_unit_would_be_noticed():
    """The law is a test: a rate constant written as a bare number changes its meaning with the unit of time."""
    from reference.small_models import model, parameter

    hidden = model({"a": "-(k + 0.1*k/k2)*a"}, (parameter("k", 0.03, "1/h"), parameter("k2", 1.0, "1")))
    hidden = replace(hidden, parameters=(hidden.parameters[0], replace(hidden.parameters[1], unit="1")))
    plain = rescaled(hidden)
    assert plain.parameter("k").value == pytest.approx(0.72)
    wrong = replace(plain, parameters=tuple(replace(p, value=0.03) if p.name == "k" else p for p in plain.parameters))
    one = run(hidden, _one_mg(), (24.0,))["a"][0]
    other = run(wrong, rescaled_doses(_one_mg()), (1.0,))["a"][0] * 1000
    assert abs(one - other) > RESCALED * one


def _one_mg():
    from mscpkpd.dosing import bolus

    return bolus("1 mg", "a")


# ---- recovery


def observed(design: Design, truth: dict[str, float]) -> Study:
    """What the design shows of the truth, without noise."""
    model = design.load()
    times = np.array(sorted(set(design.times)))
    found = run(model, design.regimen, times, design.outputs, values=truth, weight=design.weight)
    hours = to_unit(f"1 {model.time}", "h")
    records = tuple(
        Record(0, "s", time * hours, "h", name, "value", value, None, None, None, None, model.output(name).unit)
        for name in design.outputs
        for time, value in zip(times, found[name], strict=True)
    )
    return Study("simulated", (Subject("s", design.regimen, design.weight),), records, synthetic=True)


@every_design_fitted
def test_least_squares_finds_the_truth(design):
    """What the design can tell is found again from another start, to one percent."""
    model = design.load()
    names = design.free or model.identifiability(observed(design, {})).recoverable
    assert names, "the design tells nothing"
    for name, (found, true) in recovered(design, names).items():
        assert found == pytest.approx(true, rel=RECOVERED), name


def test_a_search_leaves_the_medians_of_the_priors():
    """A start at every prior median is no place where the search takes its first step for its last."""
    mediator = next(d for d in DESIGNS if (d.model, d.stems) == ("two_functional_mediator", "human_70kg,ido"))
    outputs = ("lung_cells", "mediator_lung", "mediator_plasma", "il10")
    design = replace(mediator, outputs=outputs)
    for found, true in recovered(design, ("k_L", "q_med", "k_med", "f_CL", "I10_0")).values():
        assert found == pytest.approx(true, rel=1e-6)


def recovered(design, names):
    """Estimate and truth of each parameter, from observations without noise."""
    model = design.load()
    model = model.fix(**{name: model.parameter(name).value for name in model.noise_parameters})
    rng = np.random.default_rng(7)
    truth = {name: moved(model.parameter(name), SHIFT * rng.choice([-1, 1])) for name in names}
    result = fit(model, observed(design, truth), "least_squares", free=list(names))
    estimates = result.table.set_index("parameter")["estimate"]
    return {name: (estimates[name], truth[name]) for name in names}


def moved(parameter, steps):
    """Another value of a parameter: some prior SD away on its free scale."""
    prior = parameter.prior
    sd = float(prior.free_moments()[1])
    return float(prior.from_free(prior.to_free(parameter.value) + steps * min(sd, 1.0)))
