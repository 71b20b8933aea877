"""Files and folders are written whole or not at all."""

from __future__ import annotations

import pytest

from mscpkpd.errors import UsageError
from mscpkpd.files import whole_file, whole_folder

MARK = "provenance.json"


def half_a_file(target):
    with whole_file(target) as part:
        part.write_text("half")
        raise KeyboardInterrupt


def half_a_folder(target):
    with whole_folder(target, MARK) as part:
        (part / "draws.nc").write_text("half")
        raise ValueError("stop")


def test_a_file_appears_whole(tmp_path):
    """The final name holds the new text, and nothing else is left."""
    target = tmp_path / "out.csv"
    target.write_text("old")
    with whole_file(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    """An error, or an interrupt, in the middle changes nothing."""
    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        half_a_file(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_needs_its_folder(tmp_path):
    """The message says how to make it."""
    with pytest.raises(UsageError, match="does not exist.*mkdir -p"), whole_file(tmp_path / "none" / "out.csv"):
        pass


def test_a_folder_appears_whole_and_replaces_an_earlier_run(tmp_path):
    """A folder with the mark of a run is replaced, an empty one is used."""
    target = tmp_path / "run"
    target.mkdir()
    for text in ("one", "two"):
        with whole_folder(target, MARK) as part:
            (part / MARK).write_text(text)
    assert (target / MARK).read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    """Half a run never stands under the final name."""
    target = tmp_path / "run"
    with pytest.raises(ValueError, match="stop"):
        half_a_folder(target)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_run_made_is_not_touched(tmp_path):
    """Somebody's folder is refused by name."""
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter1.txt").write_text("years of work")
    with pytest.raises(UsageError, match="thesis"), whole_folder(target, MARK):
        pass
    assert (target / "chapter1.txt").read_text() == "years of work"
