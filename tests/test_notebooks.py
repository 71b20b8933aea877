"""The notebooks run from top to bottom, and are committed with the outputs of a full run."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
# in place of the sampler, which takes a minute to compile even for a few draws: the quick estimate
NO_SAMPLING = """\
import mscpkpd
_fit = mscpkpd.fit
mscpkpd.fit = lambda *given, method="least_squares", start=None, **options: start or _fit(*given)
"""


@pytest.fixture(params=NOTEBOOKS, ids=NAMES)
def notebook(request) -> Any:
    return nbformat.read(request.param, as_version=4)


def execute(notebook: Any, folder: Path) -> None:
    """Run a notebook in a folder of its own; a cell that fails is an error."""
    from nbclient import NotebookClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about transports and event loops, which are none of our business
        client = NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        asyncio.run(client.async_execute())


def outputs(notebook: Any) -> Iterator[Any]:
    return (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)


def text_of(output: Any) -> str:
    data = output.get("data", {})
    return str(output.get("text", "")) + "".join(str(data.get(kind, "")) for kind in ("text/plain", "text/html"))


def test_there_is_one_for_each_job() -> None:
    assert NAMES == ["1_fit_biodistribution", "2_simulate_schedules", "3_score_response"]


def test_notebook_runs(notebook, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MSCPKPD_QUICK", "1")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_SAMPLING))
    execute(notebook, tmp_path)
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_notebook_samples(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MSCPKPD_QUICK", "1")
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    execute(notebook, tmp_path)
    assert "r_hat" in "".join(map(text_of, outputs(notebook)))


def test_notebook_is_committed_with_its_outputs(notebook) -> None:
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run it from top to bottom: make notebooks"
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 1
    assert {output.output_type for output in outputs(notebook)} <= {"display_data", "execute_result", "stream"}
    said = "".join(map(text_of, outputs(notebook)))
    assert "NOT A RESULT" not in said
    assert [output.name for output in outputs(notebook) if output.output_type == "stream"].count("stderr") == 0
    assert not re.search(r"/(home|tmp|Users|root|work)/", said), "a path of somebody's machine"


def test_prose_goes_before_code(notebook) -> None:
    """A scientist reads it: it starts with a title, and words stand between the cells of code."""
    kinds = [cell.cell_type for cell in notebook.cells]
    assert notebook.cells[0].source.startswith("# ")
    assert kinds.count("markdown") >= 0.5 * kinds.count("code")
