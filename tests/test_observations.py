"""Binding a study to a model: units, doses, groups; every misfit is named with its row."""

from __future__ import annotations

from dataclasses import replace

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


def test_a_summary_of_logarithms_moves_by_the_logarithm_of_the_unit(tmp_path):
    """B16: a median with quartiles in another unit has the same spread, and a mean of logarithms that is shifted."""
    row = {"time": 2.0, "lower": 40.0, "upper": 60.0, "value": 50.0, "n": 6, "stat": "median"}
    other = row | {"lower": 0.04, "upper": 0.06, "value": 0.05, "unit": "cells/uL"}
    one, two = (bind(toy_model(tmp_path), study_of([each]))[0] for each in (row, other))
    for name in ("value", "lower", "upper", "sd", "count"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-12), name
    assert one.kind[0] == "logmean"
    assert np.exp(one.value[0]) == pytest.approx(50.0, rel=0.02)


def test_percent_counts_the_doses_so_far(tmp_path):
    """%ID is of what the subject has been given by then; before any dose it means nothing."""
    rows = [
        {"time": t, "output": "count", "unit": "%ID", "value": 10.0, "every": 24.0, "every_unit": "h", "doses": 3}
        for t in (0.0, 23.0, 24.0, 50.0)
    ]
    bound, _ = bind(toy_model(tmp_path), study_of(rows))
    assert bound.value == pytest.approx([100.0, 100.0, 200.0, 300.0])
    early = [{"time": 1.0, "output": "count", "unit": "%ID", "value": 10.0, "dose_time": 2.0, "dose_time_unit": "h"}]
    with pytest.raises(DataError, match="10 %ID at a time before any dose.*Try: a dose time before the row"):
        bind(toy_model(tmp_path), study_of(early))


def test_weights_matter_only_for_doses_per_weight(tmp_path):
    """T4: two weights are two groups where the dose is per kg, and one where it is not."""

    def groups(unit):
        rows = [
            {"subject": f"s{k}", "time": 1.0, "value": 50.0, "weight": w, "weight_unit": "g", "dose_unit": unit}
            for k, w in enumerate((20.0, 25.0, 20.0))
        ]
        return [group.subjects for group in bind(toy_model(tmp_path), study_of(rows))[1]]

    assert groups("cells") == [("s0", "s1", "s2")]
    assert groups("cells/kg") == [("s0", "s2"), ("s1",)]


def test_a_mean_of_zero_is_no_lognormal_either(tmp_path):
    """A mean without sd takes the noise model of its output; one with its sd does not."""
    row = {"time": 1.0, "value": 0.0, "n": 4, "stat": "mean"}
    with pytest.raises(DataError, match="value 0 of 'conc' with lognormal noise"):
        bind(toy_model(tmp_path), study_of([row]))
    bound, _ = bind(toy_model(tmp_path), study_of([row | {"sd": 2.0}]))
    assert bound.has_own_sd.tolist() == [True]


def test_an_empty_study_is_refused(tmp_path):
    """Doses without observations cannot be fitted."""
    study = replace(study_of([{"time": 1.0, "value": 5.0}]), records=())
    with pytest.raises(DataError, match="study 'toy' has no observations"):
        bind(toy_model(tmp_path), study)
