"""Broken event tables: each is refused with a message that says in which row and column, by which rule, what to try.

Each file of ``tests/broken_events`` has one mistake. Its first line names it, its lines ``# expect:`` hold the whole
message. ``# simulate NAME`` marks a table that is simulated with a model of the library; others are read as a study.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broken_files import assert_advice, assert_small_and_explained, comments
from mscpkpd import cli
from mscpkpd.data import read_study
from mscpkpd.errors import DataError
from mscpkpd.modelfile import load_model
from mscpkpd.simulation import simulate

FOLDER = Path(__file__).parent / "broken_events"
FILES = sorted(FOLDER.glob("*.csv"))
SOUND = """ID,TIME [h],EVID,AMT [mg],CMT,DVID,DV [mg/L]
1,0,1,100,1,.,.
1,1,0,.,1,1,3.5
"""


def load(path: Path) -> None:
    """Read a file as its comments say."""
    names = comments(path, "simulate ")
    if names:
        simulate(load_model(names[0]), events=path)
    else:
        read_study(path, outputs={1: "conc"}, routes={1: "iv"})


def test_there_are_many() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_table_is_refused_with_advice(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert re.sub(r"\n\s*", "\n", message) == "\n".join(comments(path, "expect:"))
    assert message.startswith(path.name)
    assert_advice(message)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_table_is_small_and_says_what_is_broken(path: Path) -> None:
    assert_small_and_explained(path, 8)


@pytest.mark.parametrize("path", FILES[::8], ids=lambda path: path.stem)
def test_the_shell_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`mscpkpd check` ends with status 2, and prints no traceback."""
    if comments(path, "simulate "):
        pytest.skip("sound without its model")
    assert cli.run(["check", str(path), "--outputs", "1=conc", "--routes", "1=iv"]) == 2
    shown = capsys.readouterr()
    assert path.stem in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_every_mistake_is_reported_in_one_pass(tmp_path: Path) -> None:
    """D14: up to 50 findings are written out, and the others are counted."""
    path = tmp_path / "many.csv"
    path.write_text(SOUND + "1,1,0,5,1,1,3\n" * 60, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"(?s)^many.csv: 60 problems.*AMT 5 on a row with EVID 0 .*and 10 more"
    ) as caught:
        load(path)
    assert str(caught.value).count("\n  - ") == 50


def test_a_byte_order_mark_is_read_silently(tmp_path: Path) -> None:
    path = tmp_path / "mark.csv"
    path.write_text("\ufeff" + SOUND, encoding="utf-8")
    study = read_study(path, outputs={1: "conc"}, routes={1: "iv"})
    assert len(study) == 1
    assert study.notes == ()


def test_decimal_commas_are_read_where_they_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "commas.csv"
    path.write_text(SOUND.replace(",", ";").replace("3.5", "3,5").replace("1;1;0", "1;1,5;0"), encoding="utf-8")
    (record,) = read_study(path, outputs={1: "conc"}, routes={1: "iv"}, decimal=",").records
    assert (record.time, record.value) == (1.5, 3.5)


@pytest.mark.parametrize("time", ["1.500", "9" * 400, "1e999", "nan", "0x1", "1_0", "1,5", "-"])
def test_a_time_that_is_none_is_found_in_plain_rows_too(tmp_path: Path, time: str) -> None:
    """Most rows take a short way: it must not let pass what the long one refuses."""
    path = tmp_path / "times.csv"
    decimal = "," if time == "1.500" else "."
    path.write_text(SOUND.replace(",", ";").replace("1;1;0", f"1;{time};0"), encoding="utf-8")
    with pytest.raises(DataError, match="times.csv: row 3, column 'TIME': "):
        read_study(path, outputs={1: "conc"}, routes={1: "iv"}, decimal=decimal)


def test_the_shell_speaks_of_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.csv"
    path.write_text(SOUND.replace(" [h]", "").replace(" [mg]", "").replace(" [mg/L]", ""), encoding="utf-8")
    assert cli.run(["check", str(path)]) == 2
    shown = capsys.readouterr().err
    for option in ("--time-unit h", "--amount-unit cells", "--unit cells"):
        assert option in shown
    told = ["--time-unit", "h", "--amount-unit", "mg", "--unit", "mg/L"]
    assert cli.run(["check", str(path), *told]) == 2
    assert "--outputs 1=conc" in capsys.readouterr().err
    assert cli.run(["check", str(path), *told, "--outputs", "1=conc"]) == 0


# what the package promises to name, by the file that holds it to
KINDS = {
    "wrong order": "time_goes_back", "EVID 7": "evid_7", "RATE without AMT": "rate_without_amt",
    "ADDL without II": "addl_without_ii", "SS without II": "ss_without_ii", "CENS without DV": "cens_without_dv",
    "interval row without both bounds": "interval_without_dv", "unit mismatch": "amount_in_another_unit",
    "CMT that does not exist": "cmt_that_does_not_exist", "subjects split apart": "subjects_apart",
    "dates as times": "time_is_a_date", "decimal commas": "decimal_commas",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mistake_that_is_promised_has_its_file(kind: str) -> None:
    assert (FOLDER / f"{KINDS[kind]}.csv").is_file()


def test_merged_cells_of_an_event_table_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D14: a merged ID holds one value and hides the others; in a table that is read, and in one that is simulated."""
    from openpyxl import Workbook

    book = Workbook()
    for cells in ("ID,TIME [h],EVID,AMT [mg],CMT,DV [mg/L]", "1,0,1,100,iv,.", "1,1,0,.,iv,3.5", "1,2,0,.,iv,3"):
        book.active.append(cells.split(","))
    book.active.merge_cells("A2:A4")
    path = tmp_path / "merged.xlsx"
    book.save(path)
    with pytest.raises(DataError, match=r"^merged.xlsx: row 2, column 'ID': cells A2:A4 are merged: .*Try: "):
        read_study(path, outputs="conc")
    with pytest.raises(DataError, match="cells A2:A4 are merged"):
        simulate(load_model("pk_one_compartment"), events=path)
    assert cli.run(["check", str(path), "--outputs", "conc"]) == 2
    assert "cells A2:A4 are merged" in capsys.readouterr().err


def test_two_encodings_in_one_event_table_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    text = "ID,TIME [h],EVID,AMT [µg],CMT,DV [mg/L]\n1,0,1,100,iv,.\n1,1,0,.,Blut ü,3\n".encode()
    path.write_bytes(text.replace("ü".encode(), "ü".encode("latin-1")))
    with pytest.raises(DataError, match=r"mixed.csv: .*is not UTF-8, but row 1 is: two encodings in one file"):
        read_study(path, outputs="conc")
