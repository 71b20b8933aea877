"""Binding a study to a model: units, doses, groups; every misfit is named with its row."""

from __future__ import annotations

import numpy as np
import pytest

from mscpkpd.errors import DataError
from mscpkpd.observations import bind
from toy import study_of, toy_model


def test_values_take_the_unit_of_the_output_and_times_that_of_the_model(tmp_path):
    """Rows in other units of the same dimension give the same numbers (L5)."""
    model = toy_model(tmp_path)
    plain, _ = bind(model, study_of([{"time": 2.0, "value": 50.0}]))
    other, _ = bind(model, study_of([{"time": 120.0, "time_unit": "min", "value": 0.05, "unit": "cells/uL"}]))
    assert other.time == pytest.approx(plain.time)
    assert other.value == pytest.approx(plain.value)


def test_percent_of_the_dose_becomes_an_amount(tmp_path):
    """30 %ID of 1000 cells are 300 cells, spread and limits alike."""
    rows, _ = bind(
        toy_model(tmp_path),
        study_of([{"time": 2.0, "output": "count", "unit": "%ID", "value": 30.0, "sd": 4.0, "n": 4, "stat": "mean"}]),
    )
    assert (rows.value[0], rows.sd[0], rows.count[0]) == (300.0, 40.0, 4.0)


def test_subjects_dosed_alike_form_one_group(tmp_path):
    """One solve serves all of them; another dose makes another group."""
    rows = [{"subject": f"s{k}", "time": 1.0, "value": 50.0, "dose": d} for k, d in enumerate((1000.0, 1000.0, 500.0))]
    bound, groups = bind(toy_model(tmp_path), study_of(rows))
    assert [group.subjects for group in groups] == [("s0", "s1"), ("s2",)]
    np.testing.assert_array_equal(bound.group, [0, 0, 1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"output": "kidney_cells"}, "unknown output 'kidney_cells'"),
        ({"output": "conk"}, "unknown output 'conk'. Try: 'conc'"),
        ({"unit": "pg/mL"}, "pg/mL"),
        ({"route": "intratracheal"}, "unknown route 'intratracheal'"),
        ({"unit": "%ID"}, "%ID cannot be an amount of 'conc'.*expected an output in cells"),
        ({"output": "silent", "unit": "cells"}, "'silent' has no noise model and the row has no sd"),
        ({"value": 0.0}, "value 0 of 'conc' with lognormal noise; expected a value above 0.*censoring = left"),
    ],
)
def test_a_row_that_does_not_fit_the_model_is_named(tmp_path, row, message):
    """Output, unit, route, noise: what is wrong, where and what to try."""
    study = study_of([{"time": 1.0, "value": 50.0, **row}])
    with pytest.raises(DataError, match=message):
        bind(toy_model(tmp_path), study)


def test_all_findings_come_together(tmp_path):
    """Two bad rows are reported in one message (D14)."""
    study = study_of([{"time": 1.0, "value": 0.0}, {"time": 2.0, "value": 5.0, "output": "liver"}])
    with pytest.raises(DataError, match="2 problems") as caught:
        bind(toy_model(tmp_path), study)
    assert "value 0 of 'conc'" in str(caught.value)
    assert "unknown output 'liver'" in str(caught.value)
