"""Profile likelihood: of a linear model it is the t interval itself; an end that the data leave open is open."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from mscpkpd import cli
from mscpkpd.errors import FitError, UnknownName, UsageError
from mscpkpd.fitting.api import fit
from mscpkpd.fitting.profiling import profile
from mscpkpd.plots import likelihood_profile
from reference.small_models import model, one_compartment, parameter, route, study

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0])


def rows(values, times=TIMES, **more):
    return [
        {"time": t, "output": "conc", "value": y, "unit": "mg/L", **more} for t, y in zip(times, values, strict=True)
    ]


def straight_line():
    """y = a + b t with additive noise: linear in a and b, whose priors are normal, so on their own scale."""
    return model(
        {"central": "-k*central"},
        [
            parameter("k", 1.0, "1/h"),
            parameter("litre", 1.0, "L"),
            parameter("a", 1.0, "mg/L", "normal(1, 50)"),
            parameter("b", 0.1, "mg/L/h", "normal(0, 50)"),
            parameter("s", 0.5, "mg/L", "lognormal(0.5, 2)"),
        ],
        routes=[route("iv", {"central": "1"})],
        outputs={"conc": ("a + b*t + 0*central/litre", "mg/L", "additive(s)")},
    )


def exponential(values, **more):
    return fit(one_compartment(**more), study(*rows(values)), "least_squares", free=("k", "V", "s"))


def noisy(seed=3, sd=0.2):
    rng = np.random.default_rng(seed)
    return 100 / 41 * np.exp(-0.17 * TIMES + sd * rng.standard_normal(len(TIMES)))


def test_the_profile_of_a_linear_model_is_the_t_interval():
    """To 1e-4 of its width: ordinary least squares by NumPy, Student's t with n - 2 degrees (Bates and Watts)."""
    rng = np.random.default_rng(1)
    values = 2.0 + 0.3 * TIMES + 0.5 * rng.standard_normal(len(TIMES))
    found = fit(straight_line(), study(*rows(values)), "least_squares", free=("a", "b", "s"))
    design = np.stack([np.ones_like(TIMES), TIMES], axis=1)
    best, squares, *_ = np.linalg.lstsq(design, values, rcond=None)
    covariance = np.linalg.inv(design.T @ design) * squares[0] / (len(values) - 2)
    reach = stats.t.ppf(0.975, len(values) - 2)
    for k, name in enumerate(("a", "b")):
        curve, width = profile(found, name), reach * np.sqrt(covariance[k, k])
        assert curve.estimate == pytest.approx(best[k], abs=1e-4 * width)
        assert curve.lower == pytest.approx(best[k] - width, abs=2e-3 * width)
        assert curve.upper == pytest.approx(best[k] + width, abs=2e-3 * width)
        assert curve.asymptotic == pytest.approx((best[k] - width, best[k] + width), abs=1e-3 * width)
        assert curve.limit == pytest.approx(reach**2)
        assert curve.closed
        # the curve is the parabola of the covariance
        expected = (curve.table["value"] - best[k]) ** 2 / covariance[k, k]
        np.testing.assert_allclose(curve.table["deviance"], expected, atol=1e-3 * reach**2)


def test_the_interval_ends_where_the_best_fit_is_that_much_worse():
    """Of a curved model: with k held at either end, the best fit has the deviance of the limit, by another search."""
    found = exponential(noisy())
    curve = profile(found, "k")
    assert curve.lower < curve.asymptotic[0] * 1.1
    spread = found.estimates["s"]
    y = np.log(found.predictions["observed"].to_numpy())

    def squares(k):  # log V is linear: its best value is a mean
        residual = y + k * TIMES
        return np.sum((residual - residual.mean()) ** 2) / spread**2

    for end in (curve.lower, curve.upper):
        assert squares(end) - squares(curve.estimate) == pytest.approx(curve.limit, rel=5e-3)
    assert curve.table["root"].is_monotonic_increasing
    assert "V" in curve.table.columns


def test_an_end_that_the_data_leave_open_is_open():
    """A value at time 0 and one limit: k cannot be too slow, but how fast it is nobody knows."""
    described = one_compartment(k="lognormal(0.1, 3)")
    early = [{"time": t, "output": "conc", "value": 2.0, "unit": "mg/L", "subject": s} for t, s in ((0.0, "a"),) * 3]
    late = [
        {
            "time": 24.0,
            "output": "conc",
            "value": None,
            "unit": "mg/L",
            "censoring": "left",
            "upper": 0.05,
            "subject": s,
        }
        for s in "bcd"
    ]
    data = study(*[{"censoring": "none", "upper": None, **row} for row in (*early, *late)])
    found = fit(described, data, "least_squares", free=("k",), fix={"s": 0.2})
    curve = profile(found, "k")
    assert np.isinf(curve.upper)
    assert 0.1 < curve.lower < 0.2  # 2 mg/L to 0.05 in 24 h is 0.154 per h
    assert not curve.closed
    assert any("do not bound k from above" in note for note in curve.notes)
    assert "∞" in str(curve)


def test_what_is_no_optimum_has_no_profile():
    found = exponential(noisy())
    table = found.table.copy()
    table.loc[table["parameter"] == "k", "estimate"] *= 1.5
    import dataclasses

    with pytest.raises(FitError, match="the fit is not at its optimum"):
        profile(dataclasses.replace(found, table=table), "k")
    with pytest.raises(UnknownName, match="'CL'"):
        profile(found, "CL")
    with pytest.raises(UnknownName, match="'s'"):
        profile(found, "s")
    with pytest.raises(UsageError, match="level=2"):
        profile(found, "k", level=2)
    with pytest.raises(UsageError, match="a profile of a map fit"):
        profile(dataclasses.replace(found, method="map"), "k")


def test_the_picture_and_the_command(tmp_path, capsys):
    found = exponential(noisy())
    found.save(tmp_path / "run")
    figure = likelihood_profile([profile(found, "k")])
    assert [ax.get_xlabel() for ax in figure.axes] == ["k [1/h]"]
    with pytest.raises(UsageError, match="no profile"):
        likelihood_profile([])
    assert cli.run(["profile", str(tmp_path / "run"), "--out", str(tmp_path / "p"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["parameter"] for row in shown["profiles"]] == ["k", "V"]
    assert {path.name for path in (tmp_path / "p").iterdir()} == {
        "profiles.csv", "profile_k.csv", "profile_V.csv", "profiles.png",
    }  # fmt: skip
    assert cli.run(["profile", str(tmp_path / "run"), "--out", str(tmp_path / "p"), "--parameters", "nix"]) == 2
    assert "unknown estimated parameter 'nix'" in capsys.readouterr().err
