"""Malformed study tables: each message names row, column and value, and says what to try (D14)."""

import time

import pandas as pd
import pytest

from mscpkpd.data import read_study, study_from_frame
from mscpkpd.errors import DataError, UsageError

HEAD = "subject,time [h],output,value,unit,dose,dose_unit,route"


@pytest.fixture
def read(tmp_path):
    def study(text: str | bytes, name: str = "mouse.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_study(path, **options)

    return study


def row(*cells: str, columns: str = "") -> str:
    """One row of a dosed subject: time, output, value, unit and further columns."""
    return f"subject,dose,dose_unit,route,time [h],output,value,unit{columns}\nM1,1e6,cells,iv,{','.join(cells)}\n"


CELLS = {
    "unknown unit": (row("1", "lung", "5", "celsius_cells"), r"row 2, column 'unit': unknown unit 'celsius_cells'"),
    "close unit": (row("1", "il10", "5", "pg/mLL"), r"unknown unit 'pg/mLL'.*Try: .*'pg/mL'"),
    "unit missing in a row": (row("1", "lung", "5", ""), r"row 2, column 'value': no unit. Try: a column 'unit'"),
    "no unit anywhere": (
        "subject,time [h],output,value,dose,route\nM1,1,lung,5,1 cells,iv\n",
        r"no unit. Try: a column 'unit', a header such as 'value \[cells\]', or unit='cells'",
    ),
    "no unit of time": (
        "subject,time,output,value,unit,dose,route\nM1,1,lung,5,cells,1 cells,iv\n",
        r"column 'time': '1' has no unit. Try: a header such as 'time \[h\]', a column 'time_unit', or time_unit='h'",
    ),
    "time in cells": (
        "subject,time [cells],output,value,unit,dose,route\nM1,1,lung,5,cells,1 cells,iv\n",
        r"column 'time': cannot turn cells into h",
    ),
    "two units": (
        "subject,time [h],output,value [pg/mL],unit,dose,route\nM1,1,il10,5,ng/mL,1 cells,iv\n",
        r"unit stated as 'ng/mL' and 'pg/mL'. Try: one unit",
    ),
    "percent per milligram": (
        row("1", "lung", "5", "%ID/mg"),
        r"row 2, column 'unit': percent of dose per 'mg'; expected %ID/g. Try: values per gram",
    ),
    "text": (row("1", "lung", "lots", "cells"), r"row 2, column 'value': 'lots' is not a number. Try: NA"),
    "unit in a value": (
        row("1", "lung", "5 cells", "cells"),
        r"'5 cells' is not a number. Try: the unit in the column",
    ),
    "decimal comma": (row("1", "lung", '"5,5"', "cells"), r"'5,5' is not a number. Try: decimal=','"),
    "thousands": (row("1", "lung", '"1,000,000"', "cells"), r"'1,000,000' is not a number. Try: no thousands"),
    "spreadsheet error": (row("1", "lung", "#DIV/0!", "cells"), r"'#DIV/0!' is not a number"),
    "infinite": (row("1", "lung", "inf", "cells"), r"'inf' is not finite; expected a number"),
    "overflow": (row("1", "lung", "1e999", "cells"), r"'1e999' is not finite"),
    "nan": (row("1", "lung", "nan", "cells"), r"'nan' is not finite; expected a number. Try: NA for a missing value"),
    "nan in a time": (row("nan", "lung", "5", "cells"), r"column 'time': 'nan' is not finite"),
    "negative cells": (
        row("1", "lung", "-5", "cells"),
        r"negative value -5 cells; expected 0 or more.*censoring = left",
    ),
    "negative share": (row("1", "lung", "-5", "%ID"), r"negative value -5 %ID"),
    "negative time": (row("-1", "lung", "5", "cells"), r"row 2, column 'time': negative time '-1'; expected 0 or more"),
    "share above 100": (row("1", "lung", "104", "%ID"), r"104 % of the dose in one place; expected at most 100 %ID"),
    "no time": (row("", "lung", "5", "cells"), r"row 2, column 'time': missing. Try: every observation has a time"),
    "no output": (row("1", "", "5", "cells"), r"row 2, column 'output': missing"),
    "no subject": (row("1", "lung", "5", "cells").replace("M1", ""), r"row 2, column 'subject': missing"),
}

SUMMARIES = {
    "sd of a value": (("1", "lung", "5", "cells", "2", ""), ",sd,n", r"sd of a single value. Try: stat = mean"),
    "n of a value": (("1", "lung", "5", "cells", "", "4"), ",sd,n", r"n of a single value"),
    "mean without n": (("1", "lung", "5", "cells", "mean", "2"), ",stat,sd", r"column 'n': mean without n \(B16\)"),
    "sd 0": (
        ("1", "lung", "5", "cells", "mean", "0", "4"),
        ",stat,sd,n",
        r"column 'sd': '0'; expected a number above 0",
    ),
    "n 2.5": (("1", "lung", "5", "cells", "mean", "1", "2.5"), ",stat,sd,n", r"'2.5' is no count; expected a whole"),
    "n 0": (("1", "lung", "5", "cells", "mean", "1", "0"), ",stat,sd,n", r"'0' is no count"),
    "sem": (
        ("1", "lung", "5", "cells", "mean", "1", "4"),
        ",stat,sem,n",
        r"a standard error; .*Try: sd = sem\*sqrt\(n\)",
    ),
    "unknown stat": (("1", "lung", "5", "cells", "meen", "4"), ",stat,n", r"'meen'; expected one of .*Try: mean"),
    "median without quartiles": (("1", "lung", "5", "cells", "median", "4"), ",stat,n", r"median without quartiles"),
    "quartiles around": (
        ("1", "lung", "5", "cells", "median", "4", "6", "8"),
        ",stat,n,lower,upper",
        r"quartiles 6 and 8 around the median 5",
    ),
    "quartile 0": (
        ("1", "lung", "5", "cells", "median", "4", "0", "8"),
        ",stat,n,lower,upper",
        r"expected 0 < lower <= median",
    ),
    "range of 20": (
        ("1", "lung", "5", "cells", "range", "20", "2", "8"),
        ",stat,n,lower,upper",
        r"range over n = 20; expected n from 2 to",
    ),
    "range without limits": (("1", "lung", "5", "cells", "range", "4"), ",stat,n", r"range without both limits"),
    "range upside down": (
        ("1", "lung", "5", "cells", "range", "4", "8", "2"),
        ",stat,n,lower,upper",
        r"lower 8 is not below upper 2",
    ),
    "censored range": (
        ("1", "lung", "", "cells", "range", "4", "2", "8", "interval"),
        ",stat,n,lower,upper,censoring",
        r"censoring interval of a range. Try: censoring none: a range is no interval-censored value",
    ),
    "mean without a value": (
        ("1", "lung", "", "cells", "mean", "4", "2", "8"),
        ",stat,n,lower,upper",
        r"column 'value': missing mean",
    ),
    "bounds without a value": (("1", "lung", "", "cells", "2", "8"), ",lower,upper", r"missing beside lower or upper"),
}

CENSORED = {
    "left without a limit": (("1", "lung", "", "cells", "left"), ",censoring", r"left-censored without a limit \(B1\)"),
    "right without a limit": (("1", "lung", "", "cells", "right"), ",censoring", r"right-censored without a limit"),
    "half an interval": (
        ("1", "lung", "", "cells", "interval", "5"),
        ",censoring,lower",
        r"interval without both bounds",
    ),
    "unknown word": (("1", "lung", "5", "cells", "lft"), ",censoring", r"'lft'; expected one of none, left.*Try: left"),
    "contradiction": (("1", "lung", "<5", "cells", "right"), ",censoring", r"'<5' with censoring right"),
    "above the limit": (("1", "lung", "9", "cells", "left", "5"), ",censoring,upper", r"9 is above the limit 5"),
    "below the limit": (("1", "lung", "3", "cells", "right", "5"), ",censoring,lower", r"3 is below the limit 5"),
    "below the lloq": (
        ("1", "il10", "3", "pg/mL", "7.8"),
        ",lloq",
        r"3 is below the lloq 7.8 but not censored \(B1\). Try: .*'<7.8'",
    ),
    "above the uloq": (("1", "il10", "900", "pg/mL", "500"), ",uloq", r"900 is above the uloq 500 but not censored"),
    "limit of text": (("1", "il10", "<low", "pg/mL"), "", r"'low' is not a number"),
}

DOSES = {
    "negative dose": (f"{HEAD}\nM1,1,lung,5,cells,-1e6,cells,iv\n", r"column 'dose': negative dose '-1e6'; expected"),
    "dose without a unit": (f"{HEAD}\nM1,1,lung,5,cells,1e6,,iv\n", r"dose '1e6' has no unit. Try: a header such as"),
    "dose in an unknown unit": (f"{HEAD}\nM1,1,lung,5,cells,1e6,cels,iv\n", r"column 'dose': .*unknown unit 'cels'"),
    "dose without a route": (
        f"{HEAD}\nM1,1,lung,5,cells,1e6,cells,\n",
        r"column 'route': missing beside a dose. Try: iv",
    ),
    "subject without a dose": (
        f"{HEAD}\nM1,1,lung,5,cells,1e6,cells,iv\nM2,1,lung,5,cells,,,\n",
        r"row 3, column 'dose': subject 'M2' has no dose. Try: its dose, or dose 0 for an untreated control",
    ),
    "no dose at all": (
        "subject,time [h],output,value,unit\nM1,1,lung,5,cells\n",
        r"no doses; .*Try: columns dose, dose_unit",
    ),
    "two doses": (
        f"{HEAD}\nM1,1,lung,5,cells,1e6,cells,iv\nM1,2,lung,5,cells,2e6,cells,iv\n",
        r"row 3, column 'dose': subject 'M1' has another dose in row 2; .*Try: repeated doses in a second table",
    ),
    "per kg without a weight": (
        f"{HEAD}\nM1,1,lung,5,cells,1e6,cells/kg,iv\n",
        r"dosed per kg without a weight \(T4\)",
    ),
    "negative duration": (
        f"{HEAD},duration [min]\nM1,1,lung,5,cells,1,cells,iv,-5\n",
        r"column 'duration': negative time '-5'",
    ),
    "duration without a unit": (
        f"{HEAD},duration\nM1,1,lung,5,cells,1,cells,iv,5\n",
        r"column 'duration': '5' has no unit. Try: a header such as 'duration \[h\]' or a column 'duration_unit'",
    ),
    "viability in percent": (f"{HEAD},viability\nM1,1,lung,5,cells,1,cells,iv,90\n", r"column 'viability': .*0 to 1"),
    "doses without every": (f"{HEAD},doses\nM1,1,lung,5,cells,1,cells,iv,3\n", r"doses = 3 without an interval"),
    "weight without a unit": (
        f"{HEAD},weight\nM1,1,lung,5,cells,1,cells,iv,25\n",
        r"column 'weight': '25' has no unit",
    ),
    "weight 0": (f"{HEAD},weight [g]\nM1,1,lung,5,cells,1,cells,iv,0\n", r"weight '0'; expected a number above 0"),
    "two weights": (
        f"{HEAD},weight [g]\nM1,1,lung,5,cells,1,cells,iv,25\nM1,2,lung,5,cells,1,cells,iv,26\n",
        r"row 3, column 'weight': '26' for subject 'M1', but '25' in row 2",
    ),
    "two species": (
        f"{HEAD},species\nM1,1,lung,5,cells,1,cells,iv,mouse\nM1,2,lung,5,cells,1,cells,iv,rat\n",
        r"column 'species': 'rat' for subject 'M1', but 'mouse' in row 2",
    ),
    "two studies": (
        f"{HEAD},study\nM1,1,lung,5,cells,1,cells,iv,a\nM1,2,lung,5,cells,1,cells,iv,b\n",
        r"column 'study': 'b' for subject 'M1'.*Try: a name of its own",
    ),
    "the same thing twice": (
        f"{HEAD}\nM1,1,lung,5,cells,1,cells,iv\nM1,2,lung,5,cells,1,cells,iv\nM1,1,lung,7,cells,1,cells,iv\n",
        r"row 4: subject 'M1', time 1 h, output 'lung' also in row 2. Try: a column 'replicate'",
    ),
    "no observation": (
        f"{HEAD}\nM1,1,lung,NA,cells,1,cells,iv\n",
        r"no observation. Try: rows with an output and a value",
    ),
}

COLUMNS = {
    "misspelt column": (
        "subjct,time [h],output,value,unit,dose\nM1,1,lung,5,cells,1 cells\n",
        r"no column 'subject'; .*Try: rename 'subjct' to 'subject'",
    ),
    "other word": (
        "animal,time [h],output,value,unit,dose\nM1,1,lung,5,cells,1 cells\n",
        r"Try: rename 'animal' to 'subject'",
    ),
    "other word for output": (
        "subject,time [h],Organ,value,unit,dose\nM1,1,lung,5,cells,1 cells\n",
        r"Try: rename 'Organ' to 'output'",
    ),
    "name twice": (
        "subject,time [h],output,value,Value,unit\nM1,1,lung,5,5,cells\n",
        r"'Value' stands twice \(columns 4 and 5\)",
    ),
    "name twice by its unit": (
        "subject,time [h],time [d],value\nM1,1,2,5\n",
        r"row 1: column name 'time' stands twice",
    ),
    "no name": ("subject,,output,value\nM1,1,lung,5\n", r"column 2 has no name"),
    "too many cells": (f"{HEAD}\nM1,1,lung,5,5,cells,1,cells,iv\n", r"row 2: 9 cells, the header has 8. Try: quotes"),
    "too few cells": (f"{HEAD}\nM1,1,lung,5\n", r"row 2: 4 cells, the header has 8"),
    "wide": (
        "subject,time [h],lung [cells],liver [cells],dose\nM1,1,5,6,1 cells\n",
        r"looks wide: .*'lung', 'liver'. Try: read_study\(\"mouse.csv\", layout=\"wide\"\)",
    ),
    "NONMEM": (
        "ID,TIME,AMT,DV,EVID\n1,0,100,.,1\n1,1,0,5,0\n",
        r"5 problems.*TIME.*no unit.*no CMT says.*no unit of AMT.*no unit of DV.*nothing says what DV observes",
    ),
    "header only": (f"{HEAD}\n", r"a header without rows"),
    "prose": ("Dear all,\nplease find attached\n", r"1 cells, the header has 1|no column|column 2|header"),
    "numbers only": ("1,2,3\n4,5,6\n", r"no column 'subject'"),
    "comments only": ("# nothing\n", r"no header"),
    "unclosed quote": (f'{HEAD}\nM1,1,"lung,5,cells,1,cells,iv\n' + "x" * 140_000, r"row 2 cannot be split into cells"),
}

ALL = {
    **{f"cell: {k}": v for k, v in CELLS.items()},
    **{f"summary: {k}": (row(*cells, columns=head), message) for k, (cells, head, message) in SUMMARIES.items()},
    **{f"censored: {k}": (row(*cells, columns=head), message) for k, (cells, head, message) in CENSORED.items()},
    **{f"dose: {k}": v for k, v in DOSES.items()},
    **{f"column: {k}": v for k, v in COLUMNS.items()},
}


@pytest.mark.parametrize("case", ALL)
def test_malformed_table(read, case):
    text, message = ALL[case]
    with pytest.raises(DataError, match=rf"(?s)^mouse.csv: .*{message}") as caught:
        read(text)
    assert "Traceback" not in str(caught.value)
    assert caught.value.exit_status == 2


WIDE = {
    "no unit": (
        "subject,time [h],lung,dose\nM1,1,5,1 cells\n",
        r"column 'lung': no unit. Try: the header 'lung \[cells\]'",
    ),
    "value column": ("subject,time [h],lung [cells],value,dose\nM1,1,5,5,1 cells\n", r"column 'value' in a wide table"),
    "no output": ("subject,time [h],sex,dose\nM1,1,f,1 cells\n", r"no column of an output"),
    "text": (
        "subject,time [h],Lung [cells],dose,route\nM1,1,x,1 cells,iv\n",
        r"row 2, column 'Lung': 'x' is not a number",
    ),
    "same row twice": (
        "subject,time [h],lung [cells],dose,route\nM1,1,5,1 cells,iv\nM1,1,6,1 cells,iv\n",
        r"row 3: .* also in row 2",
    ),
    "two units": (
        "subject,time [h],il10 [ng/mL],dose,route\nM1,1,5,1 cells,iv\n",
        r"unit stated as 'ng/mL' and 'pg/mL'",
    ),
}


@pytest.mark.parametrize("case", WIDE)
def test_malformed_wide_table(read, case):
    text, message = WIDE[case]
    with pytest.raises(DataError, match=rf"(?s)mouse.csv: .*{message}"):
        read(text, layout="wide", unit="pg/mL" if case == "two units" else None)


SECOND = {
    "no subject": ("subject,time [h],dose,route\n,0,1 cells,iv\n", r"d.csv: row 2, column 'subject': missing"),
    "no dose": ("subject,time [h],dose,route\nM1,0,,iv\n", r"d.csv: row 2, column 'dose': missing"),
    "no column": ("subject,dose,route\nM1,1 cells,iv\n", r"d.csv: no column 'time'; expected subject, time, dose"),
    "other subject": ("subject,time [h],dose,route\nM9,0,1 cells,iv\n", r"subject 'M1' has no dose in d.csv"),
    "time without a unit": (
        "subject,time,dose,route\nM1,3,1 cells,iv\n",
        r"d.csv: row 2, column 'time': '3' has no unit",
    ),
}


@pytest.mark.parametrize("case", SECOND)
def test_malformed_second_table(read, tmp_path, case):
    text, message = SECOND[case]
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read("subject,time [h],output,value,unit\nM1,1,lung,5,cells\n", doses=tmp_path / "d.csv")


def test_doses_in_two_places(read, tmp_path):
    (tmp_path / "mouse_doses.csv").write_text("subject,time [h],dose,route\nM1,0,1 cells,iv\n")
    with pytest.raises(DataError, match="doses stand both here and in mouse_doses.csv. Try: delete one of them"):
        read(f"{HEAD}\nM1,1,lung,5,cells,1,cells,iv\n")


@pytest.mark.parametrize("number", ["1.500", "1.500,5", "1.000.000", "1,5,5"])
def test_thousands_beside_a_decimal_comma_are_refused(read, number):
    with pytest.raises(DataError, match=f"'{number}' is not a number. Try: no thousands separators"):
        read(row("1", "lung", number, "cells").replace(",", ";").replace(number.replace(",", ";"), number), decimal=",")


# ---- everything at once ----------------------------------------------------------------------------------------------


def test_all_findings_are_reported_together(read):
    text = f"{HEAD}\nM1,1,lung,x,cells,1e6,cells,iv\nM1,-1,lung,5,cells,1e6,cells,iv\nM2,1,lung,5,cellz,,,\n"
    with pytest.raises(DataError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("mouse.csv: 4 problems\n")
    for part in (
        "row 2, column 'value': 'x'",
        "row 3, column 'time'",
        "row 4, column 'unit'",
        "subject 'M2' has no dose",
    ):
        assert part in message


def test_at_most_50_findings_are_written_out(read):
    rows = "".join(f"M1,{k},lung,x,cells,1e6,cells,iv\n" for k in range(80))
    with pytest.raises(DataError, match=r"(?s)80 problems.*\.\.\. and 30 more") as caught:
        read(f"{HEAD}\n{rows}")
    assert str(caught.value).count("\n  - ") == 50


# ---- files that are no tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "mouse.csv", r"mouse.csv: the file is empty. Try: mscpkpd new study"),
        (b"\n\n \n", "mouse.csv", r"no header"),
        (b"\x00\x01\x02" * 1000, "mouse.csv", r"holds NUL bytes: it is binary"),
        ("subject,time".encode("utf-16"), "mouse.csv", r"the text is UTF-16. Try: save it as CSV \(UTF-8\)"),
        (
            "subject,µ\nM1,µ".encode("latin-1"),
            "mouse.csv",
            r"(?s)^mouse.csv: 2 problems\n  - row 1: .µ. is not UTF-8. Try: .*  - row 2, column .µ.: .µ. is not UTF-8",
        ),
        (b"garbage", "mouse.xlsx", r"not a readable Excel file"),
        (b"PK\x03\x04garbage", "mouse.xlsx", r"not a readable Excel file"),
        (b"garbage", "mouse.xls", r"the old Excel format .xls is not read"),
        (b"garbage", "mouse.parquet", r"needs pyarrow|not a readable Parquet file"),
        (b"a" * 200_000, "mouse.csv", r"row 1 cannot be split into cells"),
        (b",".join(b"c%d" % k for k in range(2000)) + b"\n1\n", "mouse.csv", r"2000 columns; expected at most 1000"),
    ],
)
def test_files_that_are_no_tables(read, content, name, message):
    with pytest.raises(DataError, match=message):
        read(content, name)


def test_a_huge_file_gives_one_quick_message(tmp_path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"200 MB is more than the limit of 50 MB"):
        read_study(path)
    assert time.perf_counter() - start < 1


def test_a_large_file_of_garbage_rows_gives_one_quick_message(read):
    with pytest.raises(DataError, match=r"\.\.\. and 95. more"):
        read(f"{HEAD}\n" + "M1,x,y,z,w,1,cells,iv\n" * 100_000)


def test_an_excel_file_that_unpacks_too_far(tmp_path, monkeypatch):
    import openpyxl

    book = openpyxl.Workbook()
    book.save(tmp_path / "mouse.xlsx")
    monkeypatch.setattr("mscpkpd.data.workbooks.MOST_UNPACKED_BYTES", 10)
    with pytest.raises(DataError, match="unpacks to"):
        read_study(tmp_path / "mouse.xlsx")


def test_no_file_a_folder_and_a_sheet_of_csv(read, tmp_path):
    (tmp_path / "mouse.csv").write_text("x")
    with pytest.raises(DataError, match=r"mous.csv: cannot be read \(No such file or directory\). Try: 'mouse.csv'"):
        read_study(tmp_path / "mous.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_study(tmp_path)
    with pytest.raises(DataError, match="sheet 'a' of a file that has none"):
        read(f"{HEAD}\n", sheet="a")


def test_arguments_that_mean_nothing():
    frame = pd.DataFrame({"subject": ["M1"]})
    with pytest.raises(UsageError, match="layout = 'long'; expected 'tidy' or 'wide'"):
        study_from_frame(frame, layout="long")
    with pytest.raises(UsageError, match="decimal = ';'; expected '.' or ','"):
        study_from_frame(frame, decimal=";")
    with pytest.raises(DataError, match="frame: a header without rows"):
        study_from_frame(frame.iloc[:0])


# ---- encodings and merged cells --------------------------------------------------------------------------------------


def test_two_encodings_in_one_file_are_named_by_row_and_column(read):
    """D14: each cell that is not UTF-8, as it reads in the letters of Western Europe, and the row that is."""
    head = "subject,time [h],output,value,unit,dose,dose_unit,route,note"
    start = "M1,1,lung,5,cells,1,cells,iv,"
    lines = [
        head.encode(),
        (start + "Zürich").encode(),
        (start + "5 µL").encode("latin-1"),
        b"",
        b"M2,1,lun\xfc,5\xb5,1,,",
    ]
    with pytest.raises(DataError) as caught:
        read(b"\r\n".join(lines))
    hint = "Try: these cells typed again, and the file saved as 'CSV UTF-8'"
    mixed = "is not UTF-8, but row 2 is: two encodings in one file"
    assert str(caught.value) == (
        "mouse.csv: 3 problems\n"
        f"  - row 3, column 'note': '5 µL' {mixed}. {hint}\n"
        f"  - row 5, column 'output': 'lunü' {mixed}. {hint}\n"
        f"  - row 5, column 'value': '5µ' {mixed}. {hint}"
    )


def test_a_character_that_another_program_lost_is_named(read):
    with pytest.raises(DataError) as caught:
        read("# note\nsubject;time [h];unit\nM1;1;\ufffdg\n")
    hint = "Try: the cell as it was meant: a program before read another encoding"
    assert str(caught.value) == f"mouse.csv: row 3, column 'unit': '\ufffdg' has lost a character. {hint}"


def test_many_rows_in_another_encoding_give_one_message(read):
    with pytest.raises(DataError, match=r"(?s)^mouse.csv: 1000 problems\n  - row 1: 'µ' is not.*and 950 more$"):
        read(("µ,value\n" + "µ,1\n" * 3000).encode("latin-1"))


@pytest.fixture
def merged(tmp_path):
    """An Excel table with a title, with these ranges merged."""
    import openpyxl

    def make(*ranges: str):
        book = openpyxl.Workbook()
        sheet = book.active
        for cells in (["# a title"], HEAD.split(","), ["M1", 1, "lung", 5, "cells", 1, "cells", "iv"],
                      ["M1", 2, "lung", 4, "cells", 1, "cells", "iv"]):  # fmt: skip
            sheet.append(cells)
        for found in ranges:
            sheet.merge_cells(found)
        book.save(tmp_path / "mouse.xlsx")
        return tmp_path / "mouse.xlsx"

    return make


def test_merged_cells_are_refused_by_row_and_column(merged):
    """D14: a merged cell holds one value and hides the others."""
    with pytest.raises(DataError) as caught:
        read_study(merged("D3:D4", "A3:A4", "E2:F2"))
    hint = "only the first holds a value. Try: unmerge them, and write the value into each cell that it is meant for"
    assert str(caught.value) == (
        "mouse.xlsx: 3 problems\n"
        f"  - row 2: cells E2:F2 are merged: {hint}\n"
        f"  - row 3, column 'subject': cells A3:A4 are merged: {hint}\n"
        f"  - row 3, column 'value': cells D3:D4 are merged: {hint}"
    )


def test_merged_cells_that_hide_nothing_are_read(merged):
    """A title above the header, and blank cells beside the table."""
    assert read_study(merged("A1:H1", "J3:K9")).digest == read_study(merged()).digest


def test_blank_cells_above_an_excel_table_are_no_header(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    for cells in ([" ", None], HEAD.split(","), ["M1", 1, "lung", 5, "cells", 1, "cells", "iv"]):
        book.active.append(cells)
    book.save(tmp_path / "mouse.xlsx")
    assert [record.row for record in read_study(tmp_path / "mouse.xlsx").records] == [3]


def test_the_shell_says_which_cells_are_merged(merged, capsys):
    from mscpkpd import cli

    assert cli.run(["check", str(merged("A3:A4"))]) == 2
    shown = capsys.readouterr()
    assert "row 3, column 'subject': cells A3:A4 are merged" in shown.out + shown.err
    assert "Traceback" not in shown.err
