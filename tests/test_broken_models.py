"""Broken model files: each is refused with a message that says in which file, table and key, and what to try.

Each file of ``tests/broken_models`` has one mistake. Its first line names it, its lines ``# expect:`` hold the whole
message, in which ``[...]`` stands for anything. ``# values over NAME`` marks a values file for the model NAME, and
``# as shipped`` a model that is checked as those of the library are.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broken_files import assert_advice, assert_small_and_explained, comments
from mscpkpd import cli
from mscpkpd.errors import InputError, ModelError
from mscpkpd.model import check
from mscpkpd.modelfile import load_model

FOLDER = Path(__file__).parent / "broken_models"
SOUND = FOLDER / "sound.toml"
FILES = [path for path in sorted(FOLDER.glob("*.toml")) if path != SOUND]
# where a finding may be: a row of a table, a table, or a key of the file
PLACE = re.compile(r"\[\w+\]|\b(?:format|extend|without|conserved|time|model|title|reference|outputs|key|line)\b")


def load(path: Path) -> None:
    """Load a file as its comments say."""
    base = comments(path, "values over ")
    if base:
        load_model(FOLDER / f"{base[0]}.toml", values=path)
    else:
        model = load_model(path)
        if comments(path, "as shipped"):
            check(model, shipped=True)


def message_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value).replace(f"{FOLDER}/", "")


def test_the_base_of_the_broken_files_is_sound() -> None:
    assert check(load_model(SOUND), shipped=True) == ()


def test_there_are_many() -> None:
    assert len(FILES) >= 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_file_is_refused_with_advice(path: Path) -> None:
    message = message_of(path)
    expected = "\n".join(comments(path, "expect:"))
    pattern = re.escape(expected).replace(re.escape("[...]"), ".*").replace(re.escape("\n"), r"\n\s*")
    assert re.fullmatch(pattern, message, flags=re.DOTALL), f"expected:\n{expected}\nfound:\n{message}"
    assert path.stem in message
    assert PLACE.search(message.split(": ", 1)[1])
    assert_advice(message)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_file_is_small_and_says_what_is_broken(path: Path) -> None:
    assert_small_and_explained(path, 20)


@pytest.mark.parametrize("path", FILES[::10], ids=lambda path: path.stem)
def test_the_shell_says_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`mscpkpd check` ends with status 2, and prints no traceback."""
    if comments(path, "as shipped"):
        pytest.skip("sound, but for the library")
    assert cli.run(["check", str(path)]) == 2
    shown = capsys.readouterr()
    assert path.stem in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_one_mistake_does_not_hide_another(tmp_path: Path) -> None:
    rows = (
        FOLDER / "unknown_name_in_rate.toml"
    ).read_text() + '\n[outputs]\nlung_cells = { is = "lnug", unit = "cells" }\n'
    path = tmp_path / "two.toml"
    path.write_text(rows.replace('"sound"', f'"{SOUND}"'))
    with pytest.raises(
        ModelError, match=r"(?s)two.toml .*: 2 problems.*'k_l'. Try: 'k_L'.*unknown name 'lnug'. Try: 'lung'"
    ):
        load_model(path)
