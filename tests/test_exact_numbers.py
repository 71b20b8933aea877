"""Section 14.1 and law L8 with both engines: the exact one to every printed digit, the stiff one to 1e-6 (L9).

Every case goes the whole way: an event table, a study, the doses as the model takes them, an engine.
"""

from __future__ import annotations

import numpy as np
import pytest

from event_models import frame, one_compartment
from mscpkpd.data import study_from_frame
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.observations import bind
from reference.runs import run

UNITS = {"time_unit": "h", "amount_unit": "mg", "unit": "mg/L", "outputs": "conc"}
HEAD = "ID TIME EVID AMT RATE DUR VIAB ADDL II SS CMT DV"
PRINTED = 0.5e-10  # half a unit of the last of ten printed decimals
ENGINES = ("exact", "stiff")
# one case: rows of the table, values other than CL 5, V 50, and the numbers of the page by time
NUMBERS: dict[str, tuple[tuple[str, ...], dict[str, float], dict[float, float]]] = {
    "E21 SS bolus": (("1 0 1 100 . . . . 12 1 iv",), {}, {0: 2.8620255214, 12: 0.8620255214}),
    "E21 SS infusion, duration 2": (("1 0 1 100 . 2 . . 12 1 iv",), {}, {2: 2.5939860547, 12: 0.9542741402}),
    "E5 oral": (("1 0 1 100 . . . . . . oral",), {"KA": 1.5, "CL": 1.1, "V": 20.0}, {1: 3.7544376530}),
    "E6 RATE 50, F 0.5": (("1 0 1 100 50 . . . . . iv",), {"F": 0.5}, {1: 0.9516258196, 2: 0.8610666496}),
    "E8 duration 2, F 0.5": (("1 0 1 100 -2 . . . . . slow",), {"F": 0.5}, {1: 0.4758129098, 2: 0.9063462346}),
    "E9 duration 2, F 0.5": (("1 0 1 100 . 2 . . . . iv",), {"F": 0.5}, {1: 0.4758129098, 2: 0.9063462346}),
    "E7 modelled rate 50, F 0.5": (
        ("1 0 1 100 -1 . . . . . pump",), {"F": 0.5, "R": 50.0}, {1: 0.9516258196, 2: 0.8610666496},
    ),
    "E11 RATE 50, v 0.8": (("1 0 1 100 50 . 0.8 . . . thaw",), {}, {2: 1.4501539754}),
    "E15, E17, E2 L 3, ADDL 1, II 12": (
        ("1 0 1 100 . . . 1 12 . iv",), {"L": 3.0}, {12: 0.8131393195, 15: 2.6023884238},
    ),
    "E23 SS bolus, L 3": (("1 0 1 100 . . . . 12 1 iv",), {"L": 3.0}, {0: 1.1636127424, 3: 2.8620255214}),
    "E24 SS bolus, L 15": (
        ("1 0 1 100 . . . . 12 1 iv",), {"L": 15.0},
        {0: 1.1636127424, 3: 2.8620255214, 15: 2.8620255214, 27: 0.8620255214},
    ),
    "E25 SS infusion, duration 18": (
        ("1 0 1 100 . 18 . . 12 1 iv",), {}, {0: 1.5048263264, 6: 1.8285070069, 18: 1.3271866026, 24: 0.7283754508},
    ),
    "E26 SS infusion, duration 12": (
        ("1 0 1 100 . 12 . . 12 1 iv",), {}, {0: 1.6666666667, 12: 1.6666666667, 24: 0.5019903532},
    ),
    "E27 SS constant infusion, RATE 10": (("1 0 1 0 10 . . . . 1 iv",), {}, {0: 2.0, 12: 0.6023884238}),
    "E28 SS 1 with ADDL 1, then SS 2": (
        ("1 0 1 100 . . . 1 12 1 iv", "1 5 1 60 . . . . 8 2 iv"), {}, {5: 3.9150656927, 12: 3.9441640864},
    ),
    "E32 bolus, ADDL 1, EVID 3 at 6": (
        ("1 0 1 100 . . . 1 12 . iv", "1 6 3 . . . . . . . 1"), {}, {6: 0.0, 12: 0.0, 20: 0.0},
    ),
    "E33 the same with EVID 4, AMT 50": (
        ("1 0 1 100 . . . 1 12 . iv", "1 6 4 50 . . . . . . iv"), {}, {6: 1.0, 12: 0.5488116361},
    ),
}  # fmt: skip


MODEL = one_compartment()


def regimen_of(rows: tuple[str, ...]) -> Regimen:
    """The doses of a table as the model takes them."""
    table = frame("\n".join([HEAD, *(f"{row} ." for row in rows), "1 40 0 . . . . . . . iv 1"]))
    return bind(MODEL, study_from_frame(table, **UNITS))[1][0].regimen


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_14_1_hold_with_both_engines(case: str, engine: str) -> None:
    """L9: every printed digit with the exact engine, 1e-6 with the stiff one."""
    rows, values, expected = NUMBERS[case]
    found = run(MODEL, regimen_of(rows), list(expected), ("conc",), values=values, engine=engine)["conc"]
    bound = PRINTED * 1.01 if engine == "exact" else 1e-6 * np.maximum(np.abs(list(expected.values())), 1e-6)
    assert np.all(np.abs(found - list(expected.values())) <= bound), found


# ---- derivatives -----------------------------------------------------------------------------------------------------

TIMES = np.array([0.7, 1.9, 5.2, 11.9, 13.7, 30.0])
# doses, other values, and what is differentiated by: lag, F, duration, rate, and what steady states rest on
SLOPES: dict[str, tuple[tuple[Dose, ...], dict[str, float], tuple[str, ...]]] = {
    "E15 lag and F of a bolus, and of its additional doses": (
        (Dose(0.0, 100.0, "mg", "oral"), Dose(12.0, 100.0, "mg", "oral")), {"L": 1.3, "F": 0.7}, ("L", "F", "KA", "CL"),
    ),
    "E8 modelled duration": ((Dose(0.0, 100.0, "mg", "slow"),), {"D": 3.1, "F": 0.7}, ("D", "F", "CL", "V")),
    "E7 modelled rate": ((Dose(0.0, 100.0, "mg", "pump"),), {"R": 27.0, "F": 0.7}, ("R", "F", "CL", "V")),
    "E6 given rate, which F lengthens": (
        (Dose(0.0, 100.0, "mg", "iv", 4.0, timed_by="rate"),), {"L": 0.4, "F": 0.7}, ("F", "L", "CL"),
    ),
    "E21 steady state": (
        (Dose(0.0, 100.0, "mg", "oral", steady="reached", every=12.0),), {"L": 1.3, "F": 0.7}, ("L", "F", "KA", "CL"),
    ),
    "E24 steady state with a lag beyond II": (
        (Dose(0.0, 100.0, "mg", "oral", steady="reached", every=12.0),), {"L": 15.4}, ("L", "F", "KA", "CL"),
    ),
    "E25 steady state of a modelled duration beyond II": (
        (Dose(0.0, 100.0, "mg", "slow", steady="reached", every=12.0),), {"D": 16.6}, ("D", "F", "CL", "V"),
    ),
    "E21 steady state of a modelled rate": (
        (Dose(0.0, 100.0, "mg", "pump", steady="reached", every=12.0),), {"R": 27.0}, ("R", "F", "CL"),
    ),
    "E27 endless infusion": (
        (Dose(0.0, 0.0, "mg", "pump", steady="constant", timed_by="model rate"),), {"R": 9.0}, ("R", "CL", "V"),
    ),
    "E28 steady state that is added": (
        (Dose(0.0, 80.0, "mg", "iv"), Dose(1.0, 60.0, "mg", "oral", steady="added", every=8.0)),
        {"L": 0.6, "F": 0.7}, ("L", "F", "KA", "CL"),
    ),
    "E33 reset and a lagged dose": (
        (Dose(0.0, 100.0, "mg", "iv"), Dose(4.0, 50.0, "mg", "oral", reset=True)), {"L": 0.8}, ("L", "F", "KA", "CL"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", SLOPES)
def test_l8_derivatives_are_high_order_differences_with_both_engines(case: str, engine: str) -> None:
    """L8, G2: to 1e-5, against central differences of sixth order of the same engine."""
    doses, values, by = SLOPES[case]
    base, regimen = {**MODEL.values, **values}, Regimen(doses)
    found = run(MODEL, regimen, TIMES, ("conc",), by=by, values=base, engine=engine)
    for name in by:
        h = 2e-3 * base[name]

        def at(k: int, name: str = name, h: float = h) -> np.ndarray:
            moved = {**base, name: base[name] + k * h}
            return run(MODEL, regimen, TIMES, ("conc",), values=moved, engine=engine, tolerance=1e-12)["central"]

        pairs = [(45, 1), (-9, 2), (1, 3)]
        expected = sum(c * (at(k) - at(-k)) for c, k in pairs) / (60 * h)
        size = 1e-6 * np.max(np.abs(expected))
        np.testing.assert_allclose(found.slope("central", name), expected, rtol=1e-5, atol=size, err_msg=name)
