"""Rules of docs/conventions.md that belong to no single module."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mscpkpd.data import study_from_frame
from mscpkpd.errors import DataError, UnknownName
from mscpkpd.fitting.sampled import posterior_row
from mscpkpd.model.rows import LEVELS, Variability
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.noise import Noise
from mscpkpd.observations import bind
from mscpkpd.problem import FIT_TOLERANCE, pose
from mscpkpd.simulation import simulate
from toy import study_of, toy_model


def test_p1_parameters_go_by_name_and_never_by_position(tmp_path) -> None:
    """P1: another order of the same numbers is the same model; a name that is none has a neighbour."""
    model = toy_model(tmp_path)
    assert model.replace_values({"V": 5.0, "k": 0.2}) == model.replace_values({"k": 0.2, "V": 5.0})
    with pytest.raises(UnknownName, match="unknown parameter 'K'. Try: 'k'"):
        model.replace_values({"K": 0.2})


@pytest.mark.parametrize("level", LEVELS)
def test_p8_g5_a_spread_is_declared_on_every_level(tmp_path, level: str) -> None:
    """P8, G5: subject, occasion, lot, donor, site and study; written and read again."""
    declared = (Variability("k", level, 0.3, evidence="assumed"),)
    model = replace(toy_model(tmp_path), variability=declared)
    save_model(model, tmp_path / "again.toml")
    assert [(row.parameter, row.level, row.sd) for row in load_model(tmp_path / "again.toml").variability] == [
        ("k", level, 0.3)
    ]


def test_b15_g6_one_meaning_of_censoring_for_tidy_and_event_tables(tmp_path) -> None:
    """B15, G6: CENS and LIMIT, and the words of a tidy table, end in the same rows of a likelihood."""
    model = toy_model(tmp_path)
    tidy = study_of(
        [
            {"time": 1.0, "value": "<20"},
            {"time": 2.0, "value": ">90"},
            {"time": 3.0, "value": "DNQ", "lod": 5, "lloq": 20},
            {"time": 4.0, "value": 50},
        ]
    )
    dose = {"TIME [h]": 0, "EVID": 1, "AMT [cells]": 1000, "CENS": 0}
    rows = [(1, 20, 1, None), (2, 90, -1, None), (3, 20, 1, 5), (4, 50, 0, None)]
    seen = [{"TIME [h]": t, "EVID": 0, "DV [cells/mL]": y, "CENS": cens, "LIMIT": limit} for t, y, cens, limit in rows]
    events = study_from_frame(pd.DataFrame([dose, *seen]).assign(ID="s1", CMT="iv", DVID="conc"))
    one, other = bind(model, tidy)[0], bind(model, events)[0]
    assert list(one.kind) == list(other.kind) == ["left", "right", "interval", "value"]
    for name in ("time", "lower", "upper"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_g6_a_value_below_the_limit_weighs_as_all_that_it_may_be() -> None:
    """B5, G6: M3 is the probability below the limit, at 40 standard deviations as well (B11)."""
    noise = Noise.parse("additive(1)")
    assert noise.log_cdf(1.0, 0.0, {}) == pytest.approx(norm.logcdf(1))
    assert noise.log_cdf(0.0, 40.0, {}) == pytest.approx(-804.6084420138)


def test_s2_learned_is_one_minus_the_ratio_of_variances(tmp_path) -> None:
    """S2: on the transformed scale, here the logarithm; S1 and S8 have its column."""
    problem = pose(toy_model(tmp_path), study_of([{"time": 1.0, "value": 50.0}]))
    free = next(p for p in problem.free if p.name == "k")
    prior_sd = math.sqrt(math.log(1 + 0.5**2))
    draws = np.exp(np.random.default_rng(1).normal(math.log(0.1), prior_sd / 2, size=(4, 5000)))
    row = posterior_row(problem.model, free, draws, {"r_hat": 1.0, "ess_bulk": 1.0, "ess_tail": 1.0})
    assert row["learned"] == pytest.approx(0.75, abs=0.01)
    assert {"parameter", "estimate", "lower", "upper", "sd", "unit", "r_hat", "ess_bulk", "ess_tail"} <= set(row)
    assert row["estimate"] == pytest.approx(np.median(draws))


def test_g9_everything_is_checked_before_anything_runs(tmp_path) -> None:
    """G9, D14: units and names of all rows are refused together, and no equation is solved."""
    study = study_of([{"time": 1.0, "output": "conk"}, {"time": 2.0, "unit": "pg/mL"}], value=50.0)
    with pytest.raises(DataError, match=r"2 problems\n.*unknown output 'conk'.*\n.*pg/mL"):
        pose(toy_model(tmp_path), study)


def test_g10_a_fit_solves_to_1e_8(tmp_path) -> None:
    """G10: relative, by default."""
    assert FIT_TOLERANCE == 1e-8
    problem = pose(toy_model(tmp_path), study_of([{"time": 10.0, "value": 50.0}]))
    assert problem.tolerance == 1e-8
    found = problem.predict(problem.start).value[0]
    assert found == pytest.approx(0.8 * 1000 / 10 * math.exp(-1), rel=1e-6)


def test_g1_steady_state_is_exact() -> None:
    """G1, E21: the first numbers of section 14.1, one compartment, CL 5, V 50, 100 every 12 h."""
    model = load_model("pk_one_compartment").replace_values({"CL": 5.0, "V1": 50.0})
    rows = pd.DataFrame(
        {
            "ID": 1,
            "TIME": [0, 0, 12],
            "EVID": [1, 0, 0],
            "AMT": [100, 0, 0],
            "II": [12, 0, 0],
            "SS": [1, 0, 0],
            "CMT": "iv",
        }
    )
    found = simulate(model, events=rows, outputs=["conc"])["conc"]
    np.testing.assert_allclose(found, [2.8620255214, 0.8620255214], rtol=1e-6)
