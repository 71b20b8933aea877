"""Write a file or a folder whole or not at all: nothing half-written is ever left under its final name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mscpkpd.errors import UsageError

__all__ = ["check_place", "whole_file", "whole_folder"]


def check_place(path: str | Path, mark: str = "") -> None:
    """Say before long work whether its result can be written; nothing is left behind.

    Parameters
    ----------
    path : str or Path
        Final name.
    mark : str
        For a folder, the name of the file that every such folder holds; blank for a file.

    Raises
    ------
    UsageError
        If the name is taken by something else, or the place cannot be written to.
    """
    final = Path(path).absolute()
    if mark and final.exists() and not _replaceable(final, mark):
        raise UsageError(f"{final} exists and is no earlier run", hint="another --out, or remove it")
    if not mark:
        _check_file_place(final)
    above = next(folder for folder in final.parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise UsageError(f"cannot write here: {error.strerror}", where=str(path), hint="another folder") from error


def _check_file_place(final: Path) -> None:
    if final.is_dir():
        raise UsageError("is a folder", where=str(final), expected="the name of a file")
    if not final.parent.is_dir():
        raise UsageError(f"folder {final.parent} does not exist", where=str(final), hint=f"mkdir -p {final.parent}")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the final name when the block ends well and vanishes when it does not.

    Parameters
    ----------
    path : str or Path
        Final name; an existing file is replaced.

    Yields
    ------
    Path
        In the same folder, with the same ending.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written to.
    """
    final = Path(path)
    _check_file_place(final)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{final.stem}-", suffix=final.suffix, dir=final.parent)
    except OSError as error:
        raise UsageError(f"cannot write here: {error.strerror}", where=str(final), hint="another folder") from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(final)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Yield a new folder to fill; it takes the final name when the block ends well.

    Parameters
    ----------
    path : str or Path
        Final name. A folder of that name is replaced if it is empty or holds a file `mark`, which shows that an
        earlier run made it.
    mark : str
        Name of the file that every such folder holds.

    Yields
    ------
    Path

    Raises
    ------
    UsageError
        If the final name is taken by something that no run made.
    """
    final = Path(path).absolute()
    if final.exists() and not _replaceable(final, mark):
        raise UsageError(f"{final} exists and is no earlier run", hint="another --out, or remove it")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    except OSError as error:
        raise UsageError(f"cannot write here: {error.strerror}", where=str(final), hint="another folder") from error
    try:
        yield part
        part.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replaceable(folder: Path, mark: str) -> bool:
    return folder.is_dir() and ((folder / mark).exists() or not any(folder.iterdir()))
