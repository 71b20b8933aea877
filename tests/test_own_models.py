"""A user's own model file and any event table: a value at each row with EVID 0 or 2, in order, here and in the shell.

Held against SciPy's LSODA with a walk through the rows that shares nothing with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from mscpkpd import cli
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

FIXED = 'prior = "fixed", about = "x", source = "mine", evidence = "assumed"'


class Case(NamedTuple):
    """A model file, its start values, and the same equations as a function of time and state."""

    units: dict[str, tuple[float, str]]
    states: dict[str, str]
    rates: dict[str, str]
    output: str
    equations: Callable[[np.ndarray], list[float]]
    starts: tuple[float, ...]
    amount: str = "mg"


def linear(matrix: list[list[float]]) -> Callable[[np.ndarray], list[float]]:
    return lambda y: list(np.array(matrix) @ y)


CASES = {
    "one compartment": Case(
        {"k": (0.2, "1/h"), "V": (10.0, "L")}, {"a": "0"}, {"a": "-k*a"}, "a/V", linear([[-0.2]]), (0.0,),
    ),
    "two compartments": Case(
        {"k": (0.2, "1/h"), "p": (0.5, "1/h"), "q": (0.3, "1/h"), "V": (10.0, "L")}, {"a": "0", "b": "0"},
        {"a": "-(k + p)*a + q*b", "b": "p*a - q*b"}, "a/V", linear([[-0.7, 0.3], [0.5, -0.3]]), (0.0, 0.0),
    ),
    "three compartments": Case(
        {"k": (0.2, "1/h"), "p": (0.5, "1/h"), "q": (0.3, "1/h"), "r": (0.1, "1/h"), "u": (0.02, "1/h"),
         "V": (10.0, "L")},
        {"a": "0", "b": "0", "c": "0"},
        {"a": "-(k + p + r)*a + q*b + u*c", "b": "p*a - q*b", "c": "r*a - u*c"}, "a/V",
        linear([[-0.8, 0.3, 0.02], [0.5, -0.3, 0.0], [0.1, 0.0, -0.02]]), (0.0, 0.0, 0.0),
    ),
    "transit": Case(
        {"k": (0.2, "1/h"), "ktr": (1.5, "1/h"), "V": (10.0, "L")}, {"a": "0", "b": "0", "c": "0", "d": "0"},
        {"a": "-ktr*a", "b": "ktr*(a - b)", "c": "ktr*(b - c)", "d": "ktr*c - k*d"}, "d/V",
        linear([[-1.5, 0, 0, 0], [1.5, -1.5, 0, 0], [0, 1.5, -1.5, 0], [0, 0, 1.5, -0.2]]), (0.0,) * 4,
    ),
    "turnover": Case(
        {"k": (0.2, "1/h"), "kin": (6.0, "mg/h"), "kout": (0.3, "1/h"), "ic": (20.0, "mg"), "V": (10.0, "L")},
        {"a": "0", "r": "kin/kout"}, {"a": "-k*a", "r": "kin*(1 - a/(ic + a)) - kout*r"}, "r/V",
        lambda y: [-0.2 * y[0], 6.0 * (1 - y[0] / (20 + y[0])) - 0.3 * y[1]], (0.0, 20.0),
    ),
    "Michaelis-Menten": Case(
        {"vmax": (15.0, "mg/h"), "km": (30.0, "mg"), "V": (10.0, "L")}, {"a": "0"}, {"a": "-vmax*a/(km + a)"}, "a/V",
        lambda y: [-15 * y[0] / (30 + y[0])], (0.0,),
    ),
    "logistic growth": Case(
        {"g": (0.15, "1/h"), "most": (5e6, "cells"), "start": (2e4, "cells"), "V": (10.0, "L")}, {"a": "start"},
        {"a": "g*a*(1 - a/most)"}, "a/V", lambda y: [0.15 * y[0] * (1 - y[0] / 5e6)], (2e4,), "cells",
    ),
    "cell cascade": Case(
        {"k": (0.2, "1/h"), "die": (0.05, "1/h"), "make": (1e-3, "mg/h/cell"), "lose": (0.4, "1/h"),
         "V": (10.0, "L")},
        {"a": "0", "b": "0", "m": "0"}, {"a": "-k*a", "b": "k*a - die*b", "m": "make*b - lose*m"}, "m/V",
        linear([[-0.2, 0, 0], [0.2, -0.05, 0], [0, 1e-3, -0.4]]), (0.0, 0.0, 0.0), "cells",
    ),
}  # fmt: skip
# duplicates, a dose between two rows of its time, overlapping infusions, resets, time that restarts, EVID 2, names
TABLE = """ID,TIME,EVID,AMT,RATE,DUR,ADDL,II,CMT,DVID,OTHER
P7,0,0,.,.,.,.,.,in,seen,x
P7,0,1,100,.,.,2,8,in,.,x
P7,0,0,.,.,.,.,.,in,seen,x
P7,3,2,.,.,.,.,.,1,.,y
P7,3,0,.,.,.,.,.,in,seen,y
P7,3,0,.,.,.,.,.,in,seen,y
P7,4,1,60,20,.,.,.,in,.,y
P7,5,1,50,.,4,.,.,1,.,y
P7,6.5,0,.,.,.,.,.,in,seen,y
P7,8,0,.,.,.,.,.,in,seen,y
P7,20,3,.,.,.,.,.,in,.,z
P7,20,0,.,.,.,.,.,in,seen,z
P7,22,1,30,.,.,.,.,in,.,z
P7,25,0,.,.,.,.,.,in,seen,z
P7,0,4,80,.,.,1,6,in,.,z
P7,1,0,.,.,.,.,.,in,seen,z
P7,12,2,.,.,.,.,.,in,.,z
2,5,0,.,.,.,.,.,in,seen,x
2,9,2,.,.,.,.,.,in,.,x
"""


def written(folder: Path, name: str, case: Case) -> Path:
    """The model file of a case."""
    first = next(iter(case.states))
    lines = ["format = 1", f'name = "{name.lower().replace(" ", "_").replace("-", "_")}"', 'title = "Mine"',
             'about = "A model of my own."', 'time = "h"', "[parameters]"]  # fmt: skip
    lines += [f'{key} = {{ value = {value}, unit = "{unit}", {FIXED} }}' for key, (value, unit) in case.units.items()]
    amounts = {state: "mg" if state == "m" else case.amount for state in case.states}
    starts = {state: "" if start == "0" else f', start = "{start}"' for state, start in case.states.items()}
    lines += ["[states]", *(f'{s} = {{ unit = "{amounts[s]}"{starts[s]}, about = "x" }}' for s in case.states)]
    lines += ["[routes]", f'in = {{ into = {{ {first} = "1" }} }}', "[rates]"]
    lines += [f'{state} = "{rate}"' for state, rate in case.rates.items()]
    unit = amounts[case.output.split("/")[0]]
    lines += ["[outputs]", f'seen = {{ is = "{case.output}", unit = "{unit}/L", noise = "proportional(s)" }}']
    lines.insert(6, f's = {{ value = 0.1, unit = "1", {FIXED} }}')
    path = folder / "mine.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def walked(case: Case, rows: pd.DataFrame) -> list[float]:
    """The first listed state of the output at each row with EVID 0 or 2, over V, by LSODA from event to event."""
    seen = list(case.states).index(case.output.split("/")[0])
    out: list[float] = []
    for _, own in rows.groupby("ID", sort=False):
        state, now = np.array(case.starts), float(own.iloc[0]["TIME"])
        jumps: list[tuple[float, float]] = []
        infusions: list[tuple[float, float, float]] = []
        for row in own.to_dict("records"):
            time = float(row["TIME"])
            if row["EVID"] in (3, 4):  # what is pending is dropped, and time may restart
                state, jumps, infusions, now = np.array(case.starts), [], [], time
            state, jumps = _moved(case, state, now, time, jumps, infusions)
            now = time
            if row["EVID"] in (1, 4):
                times = [time + k * float(row["II"]) for k in range(int(row["ADDL"]) + 1)]
                length = float(row["DUR"]) or (float(row["AMT"]) / float(row["RATE"]) if float(row["RATE"]) else 0.0)
                if length:
                    infusions += [(t, t + length, float(row["AMT"]) / length) for t in times]
                else:
                    state = state + float(row["AMT"]) * np.eye(len(state))[0]
                    jumps += [(t, float(row["AMT"])) for t in times[1:]]
            if row["EVID"] in (0, 2):
                out.append(state[seen] / 10.0)
    return out


def _moved(case: Case, state: np.ndarray, now: float, until: float, jumps: Any, infusions: Any) -> tuple[Any, Any]:
    """The state at `until`, with every jump due by then, and the jumps that are left."""
    edges = {t for t, _ in jumps} | {t for start, end, _ in infusions for t in (start, end)}
    stops = sorted({t for t in edges if now < t < until} | {until})
    for stop in stops:
        if stop > now:
            rate = sum(r for start, end, r in infusions if start <= now and end >= stop)
            entering = rate * np.eye(len(state))[0]
            found = solve_ivp(lambda _, y, e=entering: np.array(case.equations(y)) + e, (now, stop), state,
                              method="LSODA", rtol=1e-11, atol=1e-11)  # fmt: skip
            state, now = found.y[:, -1], stop
        state = state + sum(a for t, a in jumps if t == stop) * np.eye(len(state))[0]
        jumps = [(t, a) for t, a in jumps if t > stop]
    return state, jumps


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_ones_own_takes_any_event_table(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """E1 to E3, E32, E33, E35: columns ID, TIME, EVID, DVID and one per output, rows in the order given."""
    case = CASES[name]
    path, events, out = written(tmp_path, name, case), tmp_path / "events.csv", tmp_path / "out.csv"
    events.write_text(TABLE, encoding="utf-8")
    rows = pd.read_csv(events, na_values=".", dtype={"ID": str})
    rows = rows.fillna(dict.fromkeys(("AMT", "RATE", "DUR", "ADDL", "II"), 0))
    asked = rows[rows["EVID"].isin([0, 2])]
    found = simulate(load_model(path), events=events, outputs=["seen"])
    assert found.columns.tolist() == ["ID", "TIME", "EVID", "DVID", "seen"]
    for column in ("ID", "TIME", "EVID"):
        assert found[column].astype(str).tolist() == asked[column].astype(str).tolist()
    assert found["DVID"].fillna("").tolist() == asked["DVID"].fillna("").tolist()
    expected = np.array(walked(case, rows))
    assert np.isfinite(found["seen"]).all()
    np.testing.assert_allclose(found["seen"], expected, rtol=1e-6, atol=1e-8 * np.max(np.abs(expected)))
    assert cli.run(["simulate", str(path), "--events", str(events), "--out", str(out), "--outputs", "seen"]) == 0
    written_out = pd.read_csv(out, dtype={"ID": str})
    assert written_out.columns.tolist() == ["ID", "TIME", "EVID", "DVID", "seen"]
    assert written_out["ID"].tolist() == asked["ID"].tolist()
    np.testing.assert_allclose(written_out["seen"], found["seen"], rtol=1e-12)
    capsys.readouterr()
