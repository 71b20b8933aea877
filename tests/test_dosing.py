"""Regimens: laws first, then what is refused and how."""

import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscpkpd.dosing import Dose, Regimen, bolus, infusion, read_schedules, regimen_from_table, route_name
from mscpkpd.errors import DosingError, UnknownName

hours = st.integers(0, 5000)
doses = st.builds(
    Dose,
    time=hours.map(float),
    amount=st.floats(1.0, 1e9),
    unit=st.sampled_from(["cells", "cells/kg"]),
    route=st.sampled_from(["iv", "ip"]),
    duration=st.floats(0, 48),
)
regimens_ = st.lists(doses, max_size=6).map(lambda given: Regimen(tuple(given)))


@given(regimens_, regimens_)
def test_addition_commutes_up_to_the_order_of_equal_times(one, other):
    assert Counter((one + other).doses) == Counter((other + one).doses)
    assert [dose.time for dose in one + other] == [dose.time for dose in other + one]


@given(regimens_, regimens_, regimens_)
def test_addition_is_associative(one, two, three):
    assert ((one + two) + three).doses == (one + (two + three)).doses


@given(regimens_)
def test_doses_are_in_order_of_time_and_nothing_is_neutral(regimen):
    times = [dose.time for dose in regimen]
    assert times == sorted(times)
    assert (regimen + Regimen()).doses == regimen.doses


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 20))
def test_every_equals_explicit_doses(count, days, start):
    repeated = infusion("1e6 cells/kg", route="iv", over="30 min", every=f"{days} d", doses=count, at=f"{start} d")
    explicit = Regimen()
    for number in range(count):
        explicit += infusion("1e6 cells/kg", route="iv", over="30 min", at=f"{start + number * days} d")
    assert repeated.doses == explicit.doses


@given(regimens_, hours, hours)
def test_shifts_add_up(regimen, first, second):
    twice = regimen.shifted(f"{first} h").shifted(f"{second} h")
    assert [dose.time for dose in twice] == pytest.approx(
        [dose.time for dose in regimen.shifted(f"{first + second} h")]
    )


def test_units_of_time_mean_the_same():
    assert bolus("1e6 cells", "iv", at="7 d") == bolus("1e6 cells", "iv", at="168 h")
    assert infusion("1e6 cells", "iv", "30 min") == infusion("1e6 cells", "iv", "0.5 h")


def test_an_infusion_over_no_time_is_a_bolus():
    assert infusion("1e6 cells", "iv", over="0 min") == bolus("1e6 cells", "iv")  # L6


def test_readme_regimen():
    weekly = infusion("1e6 cells/kg", route="iv", over="30 min", every="7 d", doses=4)
    boost = weekly + bolus("2e6 cells/kg", route="iv", at="35 d")
    assert [dose.time for dose in boost] == [0, 168, 336, 504, 840]
    assert boost.end == 840
    assert boost.doses[-1] == Dose(840.0, 2e6, "cells/kg", "iv")
    assert boost.doses[0].end == 0.5
    assert boost.expand() == boost.doses
    assert boost.routes == ("iv",)


def test_printed_as_a_table():
    weekly = infusion("1e6 cells/kg", route="iv", over="30 min", every="7 d", doses=2, lot="A17", viable=0.9)
    assert str((weekly + bolus("2e6 cells/kg", route="ip", at="20 min")).named("boost")) == (
        "Regimen boost: 3 doses\n"
        "  #  time         amount          route  over    viable  lot\n"
        "  1  0 h          1e+06 cells/kg  iv     30 min  0.9     A17\n"
        "  2  20 min       2e+06 cells/kg  ip     bolus\n"
        "  3  168 h (7 d)  1e+06 cells/kg  iv     30 min  0.9     A17"
    )
    assert str(Regimen()) == "Regimen: no doses"
    assert "1 dose\n" in str(bolus("1 cells", "iv"))


def test_cells_of_a_dose_per_weight():
    dose = bolus("2e6 cells/kg", "iv").doses[0]
    assert dose.cells(70) == 1.4e8  # T4
    assert dose.absolute_unit == "cells"
    assert bolus("2e6 cells / kg", "iv").doses[0] == dose
    assert bolus("1e8 cells", "iv").doses[0].cells() == 1e8


@pytest.mark.parametrize(
    ("written", "name"),
    [("IV", "iv"), ("i.v.", "iv"), ("intra_arterial", "ia"), ("Intraperitoneal", "ip"), ("subcutaneous", "sc"),
     ("intratracheal", "intratracheal"), (" portal ", "portal"), ("B", "B")],
)  # fmt: skip
def test_routes_have_one_name(written, name):
    assert route_name(written) == name  # T3
    assert bolus("1 cells", written).doses[0].route == name


def test_words_are_joined_and_regimens_pickle():
    one = Regimen(bolus("1 cells", "iv").doses, name="a", source="x")
    both = one + Regimen(bolus("2 cells", "iv").doses, name="b", source="x")
    assert (both.name, both.source) == ("a + b", "x")
    assert pickle.loads(pickle.dumps(both)) == both  # noqa: S301  (our own bytes)
    assert one.__add__(3) is NotImplemented


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bolus("-2e6 cells", "iv"), r"dose of -2e\+06 cells; expected a finite amount above 0"),
        (lambda: bolus("0 cells", "iv"), "dose of 0 cells; expected a finite amount above 0"),
        (lambda: bolus("2e6", "iv"), r"amount = '2e6': .*no unit.*Try: a number and a unit, such as '2e6 cells/kg'"),
        (lambda: bolus(2e6, "iv"), r"amount = 2000000.0 has no unit"),
        (lambda: bolus("2e6 cels", "iv"), r"unknown unit 'cels'.*Try: 'cells'"),
        (lambda: bolus("two cells", "iv"), r"amount = 'two cells'"),
        (lambda: bolus("2 h", "iv"), "amount = '2 h' is a time, not a dose"),
        (lambda: bolus("2 cells/g", "iv"), "per body weight; expected a unit that ends with /kg"),
        (lambda: bolus("2e6 cells", ""), r"dose of 2e\+06 cells has no route"),
        (lambda: bolus("2e6 cells", "iv", at="3"), "at = '3' is not a time.*Try: a number and a time unit"),
        (lambda: bolus("2e6 cells", "iv", at=3), "at = 3 has no time unit"),
        (lambda: bolus("2e6 cells", "iv", at="3 cells"), "at = '3 cells' is not a time"),
        (lambda: bolus("2e6 cells", "iv", at="3 dayz"), "at = '3 dayz' is not a time: unknown unit 'dayz'"),
        (lambda: bolus("2e6 cells", "iv", at="-3 h"), "at = '-3 h' is negative; expected 0 or more"),
        (lambda: infusion("2e6 cells", "iv", over="-1 h"), "over = '-1 h' is negative"),
        (lambda: bolus("2e6 cells", "iv", doses=0), "doses = 0; expected a whole number, 1 or more"),
        (lambda: bolus("2e6 cells", "iv", doses=2.5, every="7 d"), "doses = 2.5; expected a whole number"),
        (lambda: bolus("2e6 cells", "iv", doses=10**9, every="7 d"), "expected at most 10000"),
        (lambda: bolus("2e6 cells", "iv", doses=3), "doses = 3 without an interval. Try: every='7 d'"),
        (lambda: bolus("2e6 cells", "iv", every="7 d"), "every = '7 d' without the number of doses"),
        (lambda: bolus("2e6 cells", "iv", every="0 d", doses=2), "every = '0 d'; expected an interval above 0"),
        (lambda: bolus("2e6 cells", "iv", viable=90), "viable fraction 90; expected a number from 0 to 1"),
        (lambda: bolus("2e6 cells", "iv", at="2 d").shifted("-3 d"), "time of a dose is -24 h"),
        (bolus("2e6 cells/kg", "iv").doses[0].cells, "needs a body weight"),
        (lambda: bolus("2e6 cells/kg", "iv").doses[0].cells(-1), "body weight of -1 kg"),
        (lambda: Dose(0.0, float("nan"), "cells", "iv"), "dose of nan cells"),
        (lambda: Dose(0.0, 1.0, " ", "iv"), "dose of 1 has no unit"),
        (lambda: Dose(0.0, 1.0, "cells", "iv", float("inf")), "duration of a dose is inf h"),
    ],
)
def test_impossible_doses_say_what_to_try(make, message):
    with pytest.raises(DosingError, match=message):
        make()


SCHEDULES = """
[schedule.weekly]
about  = "four doses"
amount = "1e6 cells/kg"
route  = "iv"
over   = "30 min"
every  = "7 d"
doses  = 4

[[schedule.boost]]
regimen = "shipped"
[[schedule.boost]]
amount = "2e6 cells/kg"
route  = "iv"
at     = "35 d"
viable = 0.9
"""


def written(tmp_path, text):
    path = tmp_path / "schedules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def shipped(name):
    assert name == "shipped"
    return infusion("1e6 cells/kg", "iv", "30 min", every="7 d", doses=4)


def test_schedules_are_read_in_order(tmp_path):
    schedules = read_schedules(written(tmp_path, SCHEDULES), load_regimen=shipped)
    assert list(schedules) == ["weekly", "boost"]
    assert schedules["weekly"].doses == shipped("shipped").doses
    assert schedules["weekly"].about == "four doses"
    assert schedules["boost"].name == "boost"
    assert schedules["boost"].doses == (shipped("shipped") + bolus("2e6 cells/kg", "iv", at="35 d", viable=0.9)).doses


def test_a_regimen_may_start_later():
    table = {"regimen": "shipped", "at": "2 d"}
    assert regimen_from_table(table, load_regimen=shipped).doses[0].time == 48


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[schedule.a]\namount = '1e6'\nroute = 'iv'", r"schedules.toml \[schedule.a\]: amount = '1e6'.*no unit"),
        ("[schedule.a]\namount = '1e6 cells'", "no 'route'"),
        ("[schedule.a]\nroute = 'iv'", "no 'amount'"),
        ("[schedule.a]\namount = '1e6 cells'\nroute = 'iv'\nevry = '7 d'", "unknown key 'evry'. Try: every"),
        ("[schedule.a]\nregimen = 'x'\namount = '1e6 cells'", "'regimen' together with amount"),
        ("[schedule.a]\nregimen = 'x'", "regimen = 'x' cannot be looked up here"),
        ("[schedule.a]\namount = '1e6 cells'\nroute = 'iv'\nviable = 'most'", "viable = 'most'; expected a number"),
        ("[schedule.a]\namount = '1e6 cells'\nroute = 'iv'\nevery = 7\ndoses = 2", "every = 7 has no time unit"),
        (
            "[[schedule.a]]\namount = '1 cells'\nroute = 'iv'\n[[schedule.a]]\namount = '1'\nroute = 'iv'",
            "a. dose 2: am",
        ),
        ("[schedule.a]\namount = '1'\nroute = 'iv'\n[schedule.b]\namount = '1'\nroute = 'iv'", "2 problems"),
        ("[schedule]\na = 3", "3 is not a table"),
        ("[schedule]\na = [3]", "3 is not a table"),
        ("[schedule]\na = []", "no dose"),
        ("schedule = 3", r"no schedule; expected tables \[schedule.NAME\]"),
        ("", "no schedule"),
        ("[schedule.a\n", "not a TOML file"),
    ],
)
def test_malformed_schedules(tmp_path, text, message):
    with pytest.raises(DosingError, match=message):
        read_schedules(written(tmp_path, text))


def test_schedule_files_that_are_none(tmp_path):
    with pytest.raises(UnknownName, match="unknown table 'schedules'. Try: 'schedule'|where"):
        read_schedules(written(tmp_path, "[schedules.a]\n"))
    with pytest.raises(DosingError, match="cannot be read"):
        read_schedules(tmp_path / "none.toml")
    with pytest.raises(DosingError, match="larger than 1 MB"):
        read_schedules(written(tmp_path, "#" * 1_000_001))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DosingError, match="not a TOML file: byte 0 is not UTF-8"):
        read_schedules(tmp_path / "binary.toml")
    with pytest.raises(DosingError, match="is a folder"):
        read_schedules(tmp_path)
