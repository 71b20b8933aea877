"""`mscpkpd nca` and the figure of the terminal phases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from mscpkpd import cli, plots
from mscpkpd.errors import UsageError
from mscpkpd.noncompartmental import nca
from mscpkpd.plots.style import Marks
from profiles import SAMPLES, bolus, study

MOUSE = Path(__file__).parents[1] / "models" / "data" / "mouse_iv_SYNTHETIC.csv"
HEADER = "subject,time [h],output,value,unit,dose,dose_unit,route"
TEXT = "\n".join(
    [HEADER, *(f"S1,{t},drug,{c:.6f},mg/L,100,mg,iv" for t, c in zip(SAMPLES, bolus(SAMPLES), strict=True))]
)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command in a folder with one study."""
    (tmp_path / "study.csv").write_text(TEXT)
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        return (cli.run(["nca", *map(str, words)]), *capsys.readouterr())

    return command


def test_the_table_is_shown_and_written(shell) -> None:
    status, out, err = shell("study.csv", "--out", "nca.csv", "--figure", "nca.png")
    assert (status, err) == (0, "")
    assert "18.19 mg/L*h" in out
    assert "Wrote nca.csv" in out
    written = pd.read_csv("nca.csv").set_index("parameter")
    assert written.loc["cl", "value"] == pytest.approx(5, rel=1e-4)
    assert written.loc["cl", "code"] == "CLO"
    assert Path("nca.png").read_bytes().startswith(b"\x89PNG")


def test_a_sparse_study_shows_standard_errors_and_says_what_it_is(shell) -> None:
    status, out, _ = shell(MOUSE)
    assert status == 0
    assert out.startswith("SYNTHETIC data")
    assert "(SE " in out
    assert "cannot be had, each with its reason" in out


def test_json_has_rules_and_reasons(shell) -> None:
    status, out, _ = shell(
        "study.csv", "--json", "--times-in", "d", "--steady-state", "--tau", "24 h", "--cells", "drug"
    )
    found = json.loads(out)
    assert status == 0
    assert found["rules"]["steady state"] == "declared: CL = dose/AUCtau"
    assert found["time_unit"] == "d"
    by_name = {row["parameter"]: row for row in found["parameters"]}
    assert by_name["persistence"]["value"] is None
    assert by_name["persistence"]["reason"].startswith("right-censored")


EVENTS = """ID,TIME,EVID,AMT,CMT,DVID,DV
1,0,1,100,1,.,.
1,1,0,.,1,1,3
1,2,0,.,1,2,5
2,0,1,100,2,.,.
2,1,0,.,2,1,2
"""


def test_outputs_and_routes_name_the_numbers_of_an_event_table_or_choose(shell) -> None:
    Path("events.csv").write_text(EVENTS)
    words = ("events.csv", "--unit", "mg/L", "--time-unit", "h", "--amount-unit", "mg", "--json")
    _, out, _ = shell(*words, "--outputs", "1=conc,2=il10", "--routes", "1=iv,2=sc")
    found = {(row["subject"], row["output"]) for row in json.loads(out)["parameters"]}
    assert found == {("1", "conc"), ("1", "il10"), ("2", "conc")}
    Path("named.csv").write_text(
        EVENTS.replace("1,1,3", "1,conc,3").replace("1,2,5", "1,il10,5").replace("2,1,2", "2,conc,2")
    )
    _, out, _ = shell("named.csv", *words[1:], "--outputs", "conc", "--routes", "2")
    assert {(row["subject"], row["output"]) for row in json.loads(out)["parameters"]} == {("2", "conc")}


def test_many_profiles_are_cut_short(shell) -> None:
    rows = "".join(f"\nP{k},1,drug,{k + 1},mg/L,100,mg,iv" for k in range(45))
    Path("many.csv").write_text(HEADER + rows)
    assert "and 5 more" in shell("many.csv")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("study.csv", "--out", "nca.xlsx"), "--out: 'nca.xlsx'; expected a file that ends with .csv"),
        (("study.csv", "--figure", "nca.pdf"), "--figure: 'nca.pdf'; expected a file that ends with .png"),
        (("study.csv", "--out", "no/nca.csv"), "does not exist"),
        (("study.csv", "--areas", "log"), "--areas log; expected"),
        (("study.csv", "--blq", "zero"), "--blq zero; expected"),
        (("study.csv", "--sampling", "dense"), "--sampling dense; expected"),
        (("study.csv", "--periods", "0-24"), "period '0-24'; expected"),
        (("study.csv", "--periods", "0-24 h,"), "period ''"),
        (("study.csv", "--tau", "12"), "tau: '12' has no unit"),
        (("study.csv", "--times-in", "mg"), "--times-in mg is no time"),
        (("study.csv", "--by", "arm"), "unknown column 'arm'"),
        (("study.csv", "--cells", "dru"), "unknown output 'dru'. Try: 'drug'"),
        (("study.csv", "--outputs", "dru"), "unknown output 'dru'. Try: 'drug'"),
        (("study.csv", "--routes", "ip"), "unknown route 'ip'"),
        (("study.csv", "--routes", "1="), "--routes: '1='; expected number=name. Try: --routes 1=conc"),
        (("study.csv", "--outputs", "a,a"), "--outputs: 'a' stands twice; expected each name once"),
        (("nowhere.csv",), "cannot be read"),
        (("bad.csv",), "row 3, column 'value': 'many' is not a number"),
        (("two.csv",), "'drug' of subject 'S1' is in mg/L and in nmol/L"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(shell, words: tuple[str, ...], message: str) -> None:
    Path("bad.csv").write_text(TEXT.replace("1.637462", "many"))
    Path("two.csv").write_text(TEXT.replace("1.637462,mg/L", "1.637462,nmol/L"))
    before = sorted(Path().iterdir())
    status, out, err = shell(*words)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert sorted(Path().iterdir()) == before


# ---- the figure ------------------------------------------------------------------------------------------------------


def texts(figure) -> str:
    return "\n".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))


def test_the_figure_fills_the_chosen_points() -> None:
    given = study((0, 1, 2, 4, 8, 12, 24), (0, 3, 5, 3, 2, 1, "<0.5"), route="oral")
    table = nca(given)
    figure = plots.terminal_phases(given, table, marks=Marks(synthetic=True))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    chosen = lines["chosen value"].get_xdata()
    found = table.set_index("parameter")["value"]
    assert list(chosen) == [t for t in (4, 8, 12) if t >= found["lambda_z_from"]]
    drawn = lines["terminal phase"].get_ydata()
    assert drawn[-1] == pytest.approx(found["clast_pred"])
    assert np.diff(np.log(drawn)) == pytest.approx(-found["lambda_z"] * np.diff(lines["terminal phase"].get_xdata()))
    assert lines["below this limit"].get_xdata() == [24]
    assert "half-life" in texts(figure)
    assert "SYNTHETIC" in texts(figure)


def test_the_figure_says_why_there_is_no_terminal_phase_and_cuts_many_panels_short() -> None:
    given = study(range(30), [4.0] * 30, subject=[f"S{k}" for k in range(30)])
    figure = plots.terminal_phases(given, nca(given, sampling="serial"))
    assert "no lambda_z: 1 quantifiable value from Cmax on" in texts(figure)
    assert len([ax for ax in figure.axes if ax.get_visible()]) == 24
    assert "6 more profiles are in the table." in texts(figure)


def test_the_figure_shows_means_and_the_last_of_several_doses() -> None:
    time = np.arange(0, 48, 4.0)
    value = bolus(time) + np.where(time >= 24, bolus(time - 24), 0)
    given = study(time, value, every="24 h", doses=2, method="ELISA")
    figure = plots.terminal_phases(given, nca(given, periods=["0-24 h"]))
    ends = [line.get_xdata()[-1] for line in figure.axes[0].lines if line.get_label() == "terminal phase"]
    assert ends == [20, 44]
    assert "plasma (ELISA)" in texts(figure)


def test_the_figure_needs_the_rules() -> None:
    with pytest.raises(UsageError, match="a table without its rules.*Try: msc.nca"):
        plots.terminal_phases(study(SAMPLES, bolus(SAMPLES)), pd.DataFrame())
