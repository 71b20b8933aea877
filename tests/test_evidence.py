"""Evidence tables: columns of quantities, messages about them, fits of them, and what a fit shows (Q1 to Q7)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evidence_models import VALUES, evidence, liver, lung, two_organs
from mscpkpd.data import read_study, study_from_frame
from mscpkpd.errors import DataError, MscError
from mscpkpd.fitting.api import fit, load_fit
from mscpkpd.modelfile import load_model, save_model
from mscpkpd.problem import pose
from mscpkpd.report.pages import write_report
from mscpkpd.report.runs import write_fit_run


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"quantity": "halflife", "value": 3}, r"row 2, column 'quantity'.*'halflife'.*half_life"),
        ({"quantity": "half_life", "value": 3, "unit": "h"}, r"row 2, column 'time_to'.*without the end of its window"),
        (
            {"quantity": "half_life", "time": 5, "time_to": 2, "value": 3, "unit": "h"},
            r"row 2, column 'time_to'.*ends at 2 h and begins at 5 h",
        ),
        ({"quantity": "half_life", "time_to": 9, "value": 3, "unit": "cells"}, r"row 2, column 'unit'.*a unit of time"),
        ({"quantity": "half_life", "time_to": 9, "value": -3, "unit": "h"}, r"row 2, column 'value'.*number above 0"),
        ({"quantity": "ratio", "value": 3, "unit": None}, r"row 2, column 'versus'.*a ratio to nothing"),
        ({"quantity": "ratio", "versus": "liver_cells", "value": 3}, r"row 2, column 'unit'.*'ratio' in cells"),
        ({"versus": "liver_cells", "value": 3}, r"row 2, column 'versus'.*versus with no quantity"),
        ({"quantity": "positive", "value": 3}, r"row 2, column 'n'.*'positive' without n"),
        (
            {"quantity": "positive", "value": 11, "n": 10},
            r"column 'value'.*'11' of 10.*whole number from 0 to 10",
        ),
        ({"quantity": "positive", "value": 0.5, "n": 10}, r"row 2, column 'value'.*the number of animals, not a share"),
        ({"quantity": "present", "value": 2}, r"row 2, column 'value'.*from 0 to 1"),
        ({"quantity": "positive", "value": 3, "n": 10, "stat": "mean"}, r"row 2, column 'stat'.*leave stat blank"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_column(row, message):
    """Q1 to Q5: file, row, column, and what to try."""
    with pytest.raises(DataError, match=message):
        evidence(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"quantity": "difference", "output": "hazard", "time": 2, "value": 3, "unit": "1/h"},
            r"row 2: 'difference' of 'hazard' has neither an sd nor a noise",
        ),
        (
            {"quantity": "ratio", "versus": "liverr", "time": 2, "value": 3, "unit": None},
            r"row 2, column versus.*'liverr'.*liver_cells",
        ),
        (
            {"quantity": "ratio", "versus": "marker", "time": 2, "value": 3, "unit": None},
            r"'marker' in pg/mL below 'lung_cells' in cells",
        ),
        (
            {"quantity": "ratio", "versus_subject": "m9", "time": 2, "value": 3, "unit": None},
            r"row 2, column versus_subject.*subject 'm9'",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_said_with_its_row(tmp_path, row, message):
    """A quantity that the model cannot predict is refused when the study is bound."""
    with pytest.raises(MscError, match=message):
        pose(two_organs(tmp_path), evidence(row))


def test_quantities_survive_a_table(tmp_path):
    """A study with quantities is written and read again without loss; an event table has no place for them."""
    study = evidence(
        {"quantity": "half_life", "time": 1, "time_to": 9, "value": 7, "unit": "h", "stat": "mean", "sd": 2, "n": 3},
        {"quantity": "positive", "time": 30, "value": 2, "n": 8},
        {"quantity": "ratio", "versus": "liver_cells", "time": 6, "value": 1.2, "unit": None},
        {"quantity": "fold_change", "time": 6, "time_from": 1, "value": 0.6, "unit": None},
    )
    study.save(tmp_path / "study.csv")
    again = read_study(tmp_path / "study.csv", name="evidence")
    assert again.digest == study.digest
    assert [record.quantity for record in again.records] == ["half_life", "positive", "ratio", "fold_change"]
    assert again.records[0].time_to == 9
    with pytest.raises(DataError, match=r"'half_life' of 'lung_cells' has no form in an event table"):
        study.to_nonmem()


def test_a_model_with_detection_bias_and_noises_of_quantities_is_saved_whole(tmp_path):
    """What an output says about quantities is in the file; what was made for the rows of a study is not."""
    described = two_organs(tmp_path)
    study = evidence({"quantity": "half_life", "time": 1, "time_to": 9, "value": 7, "unit": "h"})
    bound = pose(described, study).model
    assert "lung_cells__half_life" in bound.output_names
    save_model(bound, tmp_path / "again.toml")
    assert load_model(tmp_path / "again.toml") == described


def test_names_in_detection_bias_and_quantities_are_checked(tmp_path):
    """Each unknown name is reported with its output and key."""
    from evidence_models import ORIGIN, TEXT

    text = TEXT.format(origin=ORIGIN)
    text = text.replace("probit(lod, s)", "probit(lodd, s)", 1).replace('PET = "pet"', 'PET = "pett"')
    text = text.replace("peak_time = ", "peaktime = ", 1)
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(MscError) as caught:
        load_model(tmp_path / "broken.toml")
    for part in ("lung_cells, detection", "'lodd'", "lung_cells, bias PET", "'pett'", "quantities", "'peaktime'"):
        assert part in str(caught.value)


def mixed(truth: dict[str, float], seed: int, count: int = 12) -> pd.DataFrame:
    """Half-lives, ratios, fold changes and detection frequencies drawn from closed forms."""
    rng = np.random.default_rng(seed)
    k, q = truth["k"], truth["q"]
    rows = []
    for time in np.linspace(2.0, 12.0, count):
        half = np.log(2) / k * np.exp(truth["r"] * rng.standard_normal())
        rows.append({"quantity": "half_life", "time": time, "time_to": time + 8, "value": half, "unit": "h"})
        ratio = lung(time, k) / liver(time, k, q) * np.exp(truth["r"] * rng.standard_normal())
        rows.append({"quantity": "ratio", "versus": "liver_cells", "time": time, "value": ratio, "unit": "1"})
    from scipy.stats import norm

    for time in np.linspace(10.0, 45.0, count):
        p = norm.cdf((np.log(lung(time, k)) - np.log(truth["lod"])) / truth["s"])
        rows.append({"quantity": "positive", "time": time, "value": rng.binomial(40, p), "n": 40, "unit": "1"})
    base = {
        "subject": "m1",
        "time_unit": "h",
        "output": "lung_cells",
        "route": "iv",
        "dose": 1000,
        "dose_unit": "cells",
    }
    return pd.DataFrame([{**base, **row} for row in rows])


def within(found, truth: dict[str, float], widths: float = 3.5) -> None:
    """Every estimate within some of its standard errors of the truth."""
    table = found.table.set_index("parameter")
    for name, value in truth.items():
        sd = table.loc[name, "sd"]
        assert abs(table.loc[name, "estimate"] - value) < widths * sd, (name, table.loc[name, "estimate"], value, sd)
        assert sd < value, name


def test_half_lives_ratios_and_detection_frequencies_are_recovered(tmp_path):
    """MAP of simulated quantities finds what they were simulated with, and keeps the fit (Q2 to Q4)."""
    study = study_from_frame(mixed(VALUES, seed=3))
    found = fit(two_organs(tmp_path), study, "map")
    assert found.ok
    within(found, {name: VALUES[name] for name in ("k", "q", "r", "lod", "s")})
    table = found.predictions
    counts = table[table["output"] == "lung_cells__positive"]
    assert (counts["predicted"] <= counts["n"]).all()
    assert np.corrcoef(counts["predicted"], counts["observed"])[0, 1] > 0.9
    assert ((counts["upper_new"] - counts["lower_new"]) > 2).any()
    write_fit_run(found, tmp_path / "run")
    assert "lung_cells__half_life" in write_report(tmp_path / "run").read_text()
    again = load_fit(tmp_path / "run")
    assert again.model.output("lung_cells__positive").quantity == "positive"
    assert again.study.digest == study.digest
