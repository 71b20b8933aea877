"""Write the page of a run folder again: which folder it is decides which page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mscpkpd.errors import InputError
from mscpkpd.files import whole_file
from mscpkpd.report.content import MARK, PAGE, Content, read_record, write_page
from mscpkpd.report.demonstration import demo_content
from mscpkpd.report.fits import fit_content
from mscpkpd.report.responders import responder_content
from mscpkpd.report.scores import score_content
from mscpkpd.report.simulations import simulation_content

__all__ = ["write_report"]


def write_report(folder: str | Path, *, show_data: bool = True) -> Path:
    """Write the page of a run folder, or write it again.

    Parameters
    ----------
    folder : str or Path
        Of a fit, a simulation, scores, or the demo.
    show_data : bool
        Whether rows of single subjects and patients are shown, in tables and in figures. The files of the folder keep
        them all the same.

    Returns
    -------
    Path
        report.html, one file that needs no network; its figures also stand in figures/.

    Raises
    ------
    InputError
        If the folder is no run folder, or a file in it is missing or damaged.
    """
    folder = Path(folder)
    record = read_record(folder)
    parts = {key: folder / name for key, name in record.get("parts", {}).items() if (folder / name / MARK).is_file()}
    contents = {key: _written(part, {}, show_data=show_data) for key, part in parts.items()}
    _written(folder, contents, show_data=show_data)
    return folder / PAGE


def _written(folder: Path, contents: Mapping[str, Content], *, show_data: bool) -> Content:
    """Write one page; `contents` are those of the parts of a demo."""
    record = read_record(folder)
    kind = str(record.get("kind") or ("fit" if "method" in record else ""))
    try:
        content = _content(folder, kind, contents, show_data=show_data)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder} is damaged: {error}", hint="run the command that made it again") from error
    with whole_file(folder / PAGE) as path:
        write_page(content, path)
    return content


def _content(folder: Path, kind: str, contents: Mapping[str, Content], *, show_data: bool) -> Content:
    if kind == "fit":
        return fit_content(folder, show_data=show_data)
    if kind == "simulation":
        return simulation_content(folder)
    if kind == "scores":
        return score_content(folder, show_data=show_data)
    if kind == "responder":
        return responder_content(folder, show_data=show_data)
    if kind == "demo":
        return demo_content(folder, contents, show_data=show_data)
    raise InputError(
        f"{folder} is no run folder",
        where=str(folder / MARK),
        expected="kind fit, simulation, scores, responder or demo",
    )
